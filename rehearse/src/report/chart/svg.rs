//! A picture as SVG text, with the few elements that the charts need.

use std::fmt::{self, Write};

use crate::format::escape;

/// Text is measured in the first font. A browser without it uses one of the others, and most of these are narrower.
const FONT: &str = "'DejaVu Sans', Verdana, 'Segoe UI', system-ui, sans-serif";

/// A number in SVG, to a hundredth of a pixel. NaN and infinity become 0, as they would make the picture invalid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number(pub(crate) f64);

impl fmt::Display for Number {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = (self.0 * 100.0).round() / 100.0 + 0.0; // no "-0"
        if rounded.is_finite() { write!(to, "{rounded}") } else { to.write_str("0") }
    }
}

/// A rectangle of the picture.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Area {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Area {
    pub(crate) fn new(left: f64, top: f64, width: f64, height: f64) -> Self {
        Self { left, top, width, height }
    }

    pub(crate) fn right(&self) -> f64 {
        self.left + self.width
    }

    pub(crate) fn bottom(&self) -> f64 {
        self.top + self.height
    }

    pub(crate) fn middle(&self) -> f64 {
        self.left + self.width / 2.0
    }
}

/// The style of a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TextStyle {
    size: f64,
    bold: bool,
    colour: &'static str,
    anchor: Anchor,
    /// A white outline, for a text that is drawn over lines.
    halo: bool,
}

/// Which part of a text is at its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Anchor {
    Start,
    Middle,
    End,
}

const INK: &str = "#222222";
const QUIET: &str = "#595959";

impl TextStyle {
    pub(crate) fn of(size: f64) -> Self {
        Self { size, bold: false, colour: INK, anchor: Anchor::Start, halo: false }
    }

    pub(crate) fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    pub(crate) fn colour(self, colour: &'static str) -> Self {
        Self { colour, ..self }
    }

    pub(crate) fn quiet(self) -> Self {
        self.colour(QUIET)
    }

    pub(crate) fn middle(self) -> Self {
        Self { anchor: Anchor::Middle, ..self }
    }

    pub(crate) fn end(self) -> Self {
        Self { anchor: Anchor::End, ..self }
    }

    pub(crate) fn halo(self) -> Self {
        Self { halo: true, ..self }
    }

    /// The width of a text in pixels.
    pub(crate) fn width(self, text: &str) -> f64 {
        let thousandths: u32 = text.chars().map(|letter| advance(letter, self.bold)).sum();
        f64::from(thousandths) * self.size / 1000.0
    }

    /// The text, cut with an ellipsis if it does not fit.
    pub(crate) fn fit(self, text: &str, width: f64) -> String {
        if self.width(text) <= width {
            return text.to_owned();
        }
        let mut kept: Vec<char> = text.chars().collect();
        while kept.pop().is_some() {
            let shortened: String = kept.iter().collect::<String>().trim_end().to_owned() + "…";
            if self.width(&shortened) <= width {
                return shortened;
            }
        }
        String::new()
    }

    /// The text broken into at most `most` lines that fit.
    pub(crate) fn wrap(self, text: &str, width: f64, most: usize) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for word in text.split(' ') {
            let full = lines.last().is_none_or(|line| self.width(line) + self.width(" ") + self.width(word) > width);
            match lines.last_mut() {
                Some(line) if !full || most == 1 => *line = format!("{line} {word}"),
                _ => lines.push(word.to_owned()),
            }
        }
        // Whatever exceeds `most` lines is joined to the last one, and is cut there.
        let rest = lines.split_off(lines.len().min(most.saturating_sub(1))).join(" ");
        lines.push(rest);
        lines.iter().map(|line| self.fit(line, width)).filter(|line| !line.is_empty()).collect()
    }
}

/// The advance width of a letter of `DejaVu Sans`, in thousandths of its size. Bold letters are at most 13 % wider.
fn advance(letter: char, bold: bool) -> u32 {
    #[rustfmt::skip]
    const PRINTABLE_ASCII: [u32; 95] = [
        318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361, 318, 337, 636, 636, 636, 636, 636, 636, 636, 636,
        636, 636, 337, 337, 838, 838, 838, 531, 1000, 684, 686, 698, 770, 632, 575, 775, 752, 295, 295, 656, 557, 863, 748, 787,
        603, 787, 695, 635, 611, 732, 684, 989, 685, 611, 685, 390, 337, 390, 838, 500, 500, 613, 635, 550, 635, 615, 352, 635,
        634, 278, 278, 579, 278, 974, 634, 612, 635, 635, 411, 521, 392, 634, 592, 818, 592, 592, 525, 636, 337, 636, 838,
    ];
    let place = (letter as usize).checked_sub(' ' as usize);
    let regular = place.and_then(|place| PRINTABLE_ASCII.get(place)).copied().unwrap_or(1000);
    if bold { regular * 113 / 100 } else { regular }
}

/// A picture under construction.
#[derive(Debug)]
pub(crate) struct Svg {
    /// The prefix of every id in it: all pictures of an HTML page share one namespace of ids.
    id: String,
    width: f64,
    height: f64,
    body: String,
}

impl Svg {
    pub(crate) fn new(id: &str, width: f64, height: f64) -> Self {
        let mut svg = Self { id: id.to_owned(), width, height, body: String::new() };
        svg.rect(Area::new(0.0, 0.0, width, height), "fill=\"#ffffff\"");
        svg
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Adds elements.
    pub(crate) fn add(&mut self, element: fmt::Arguments<'_>) {
        let _ = self.body.write_fmt(element); // writing to a String cannot fail
        self.body.push('\n');
    }

    pub(crate) fn rect(&mut self, area: Area, attributes: &str) {
        let Area { left, top, width, height } = area;
        self.add(format_args!(
            r#"<rect x="{}" y="{}" width="{}" height="{}" {attributes}/>"#,
            Number(left),
            Number(top),
            Number(width.max(0.0)),
            Number(height.max(0.0))
        ));
    }

    pub(crate) fn line(&mut self, from: (f64, f64), to: (f64, f64), attributes: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.add(format_args!(
            r#"<line x1="{}" y1="{}" x2="{}" y2="{}" {attributes}/>"#,
            Number(x1),
            Number(y1),
            Number(x2),
            Number(y2)
        ));
    }

    pub(crate) fn path(&mut self, data: &str, attributes: &str) {
        self.add(format_args!(r#"<path d="{data}" {attributes}/>"#));
    }

    /// `at` is on the baseline.
    pub(crate) fn text(&mut self, at: (f64, f64), style: TextStyle, text: &str) {
        let anchor = match style.anchor {
            Anchor::Start => "",
            Anchor::Middle => r#" text-anchor="middle""#,
            Anchor::End => r#" text-anchor="end""#,
        };
        let weight = if style.bold { r#" font-weight="bold""# } else { "" };
        let halo = if style.halo {
            r##" stroke="#ffffff" stroke-width="4" stroke-linejoin="round" paint-order="stroke""##
        } else {
            ""
        };
        self.add(format_args!(
            r#"<text x="{}" y="{}" font-size="{}" fill="{}"{anchor}{weight}{halo}>{}</text>"#,
            Number(at.0),
            Number(at.1),
            Number(style.size),
            style.colour,
            escape(text)
        ));
    }

    /// The text that a browser shows while the pointer is over the area.
    pub(crate) fn tooltip(&mut self, area: Area, text: &str) {
        let Area { left, top, width, height } = area;
        self.add(format_args!(
            r#"<rect x="{}" y="{}" width="{}" height="{}" fill="none" pointer-events="all"><title>{}</title></rect>"#,
            Number(left),
            Number(top),
            Number(width.max(1.0)),
            Number(height.max(1.0)),
            escape(text)
        ));
    }

    /// The whole picture; `description` is for screen readers.
    pub(crate) fn finish(self, description: &str) -> String {
        let (width, height) = (Number(self.width), Number(self.height));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"{FONT}\" role=\"img\" aria-label=\"{}\">\n{}</svg>\n",
            escape(description),
            self.body
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_wide_is_cut_with_an_ellipsis() {
        let style = TextStyle::of(16.0);
        assert_eq!(style.fit("softstop", 200.0), "softstop");
        let cut = style.fit("kubectl rollout restart deployment/web", 200.0);
        assert!(cut.ends_with('…') && style.width(&cut) <= 200.0, "{cut}");
        assert_eq!(style.fit("softstop", 1.0), "");
        assert_eq!(style.wrap("one two three", style.width("one two "), 2), ["one two", "three"]);
        assert_eq!(style.wrap("one two three", style.width("one two "), 1), ["one t…"]);
        assert_eq!(style.wrap("one two", 400.0, 3), ["one two"]);
    }

    #[test]
    fn nan_and_infinity_do_not_break_the_picture() {
        assert_eq!(
            [-0.001, 1.0, 2.346, f64::NAN, f64::INFINITY].map(|n| Number(n).to_string()),
            ["0", "1", "2.35", "0", "0"]
        );
    }
}
