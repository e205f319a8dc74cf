//! The colours and shapes. The colours are those of Okabe and Ito, which colour-blind people can tell apart, and each comes with
//! a pattern or a shape, so that nothing depends on colour alone.

use super::svg::{Area, Number, Svg, TextStyle};
use crate::rehearsal::MarkKind;
use crate::report::conclusion::Conclusion;
use crate::verdict::Verdict;

/// Bluish green, for "nothing lost".
pub(crate) const GOOD: &str = "#00795a";
/// Vermilion, for losses.
pub(crate) const BAD: &str = "#b84a00";
/// Grey, for "inconclusive".
const INCONCLUSIVE: &str = "#595959";

/// The colour of a verdict, below its pattern.
fn base(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Answered => "#56b4e9",
        Verdict::ServerError => "#d55e00",
        Verdict::Refused => "#1a1a1a",
        Verdict::CutOff => "#cc79a7",
        Verdict::WrongAnswer => "#f0e442",
        Verdict::TimedOut => "#e69f00",
        Verdict::NotSent => "#dddddd",
    }
}

/// The pattern of a verdict. The two most frequent ones have none.
fn pattern(verdict: Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::Answered | Verdict::ServerError => None,
        Verdict::Refused => Some(r##"<path d="M0 0L8 8M8 0L0 8" stroke="#ffffff" stroke-width="0.9"/>"##),
        Verdict::CutOff => Some(r##"<path d="M-2 6L6 -2M2 10L10 2" stroke="#5e1f45" stroke-width="1.6"/>"##),
        Verdict::WrongAnswer => Some(r##"<circle cx="4" cy="4" r="1.8" fill="#4d4700"/>"##),
        Verdict::TimedOut => Some(r##"<path d="M0 2H8M0 6H8" stroke="#5c3f00" stroke-width="1.3"/>"##),
        Verdict::NotSent => Some(r##"<path d="M2 0V8M6 0V8" stroke="#777777" stroke-width="0.9"/>"##),
    }
}

/// The pattern of the time after the end of the load.
const ENDED: &str = r##"<path d="M-2 6L6 -2M2 10L10 2" stroke="#d0d0d0" stroke-width="1"/>"##;

/// Defines the patterns that [`fill`] and [`ended`] use.
pub(crate) fn define(svg: &mut Svg) {
    let id = svg.id().to_owned();
    let mut tile = |name: &str, base: &str, drawing: &str| {
        svg.add(format_args!(
            r#"<defs><pattern id="{id}-{name}" width="8" height="8" patternUnits="userSpaceOnUse"><rect width="8" height="8" fill="{base}"/>{drawing}</pattern></defs>"#
        ));
    };
    for verdict in Verdict::ALL {
        if let Some(drawing) = pattern(verdict) {
            tile(&css_class(verdict), base(verdict), drawing);
        }
    }
    tile("ended", "#ffffff", ENDED);
}

fn css_class(verdict: Verdict) -> String {
    verdict.name().replace(' ', "-")
}

/// The attributes of an area that stands for this verdict.
pub(crate) fn fill(svg: &Svg, verdict: Verdict) -> String {
    match pattern(verdict) {
        Some(_) => format!(r#"class="bar {0}" fill="url(#{1}-{0})""#, css_class(verdict), svg.id()),
        None => format!(r#"class="bar {}" fill="{}""#, css_class(verdict), base(verdict)),
    }
}

/// The attributes of an area after the end of the load.
pub(crate) fn ended(svg: &Svg) -> String {
    format!(r#"fill="url(#{}-ended)""#, svg.id())
}

/// A small symbol for one lost request.
pub(crate) fn symbol(svg: &mut Svg, verdict: Verdict, (x, y): (f64, f64)) {
    let r = 4.5;
    let (left, right, top, bottom) = (Number(x - r), Number(x + r), Number(y - r), Number(y + r));
    let (x, y) = (Number(x), Number(y));
    let path = match verdict {
        Verdict::ServerError => format!("M{left} {top}L{right} {bottom}M{right} {top}L{left} {bottom}"),
        Verdict::Refused => format!("M{left} {top}H{right}L{x} {bottom}Z"),
        Verdict::CutOff => format!("M{x} {top}L{right} {y}L{x} {bottom}L{left} {y}Z"),
        Verdict::WrongAnswer => format!("M{left} {top}H{right}V{bottom}H{left}Z"),
        Verdict::TimedOut => format!("M{left} {y}H{right}M{x} {top}V{bottom}"),
        Verdict::Answered | Verdict::NotSent => return,
    };
    let style = match verdict {
        Verdict::ServerError | Verdict::TimedOut => {
            format!(r#"fill="none" stroke="{}" stroke-width="2.2""#, base(verdict))
        }
        _ => format!(r##"fill="{}" stroke="#222222" stroke-width="0.8""##, base(verdict)),
    };
    svg.path(&path, &style);
}

/// The name of a mark.
pub(crate) fn mark_name(kind: MarkKind) -> &'static str {
    match kind {
        MarkKind::Added => "added to balancer",
        MarkKind::Stop => "told to stop",
        MarkKind::Removed => "removed from it",
        MarkKind::Gone => "gone",
    }
}

/// The attributes of a mark's line, different for each kind.
pub(crate) fn mark_line(kind: MarkKind) -> &'static str {
    match kind {
        MarkKind::Added => r##"stroke="#00795a" stroke-width="1.6" stroke-dasharray="2 4""##,
        MarkKind::Stop => r##"stroke="#111111" stroke-width="2""##,
        MarkKind::Removed => r##"stroke="#0060a0" stroke-width="1.8" stroke-dasharray="9 5""##,
        MarkKind::Gone => r##"stroke="#6b6b6b" stroke-width="1.6" stroke-dasharray="10 4 2 4""##,
    }
}

/// The head of a mark's line, around `(x, y)`.
pub(crate) fn mark_head(svg: &mut Svg, kind: MarkKind, (x, y): (f64, f64)) {
    let r = 6.5;
    let (left, right, top, bottom) = (Number(x - r), Number(x + r), Number(y - r), Number(y + r));
    let (path, style) = match kind {
        MarkKind::Added => (format!("M{} {top}L{right} {bottom}H{left}Z", Number(x)), r##"fill="#00795a""##),
        MarkKind::Stop => (format!("M{left} {top}H{right}V{bottom}H{left}Z"), r##"fill="#111111""##),
        MarkKind::Removed => (format!("M{left} {top}H{right}L{} {bottom}Z", Number(x)), r##"fill="#0060a0""##),
        MarkKind::Gone => (
            format!("M{left} {top}L{right} {bottom}M{right} {top}L{left} {bottom}"),
            r##"fill="none" stroke="#6b6b6b" stroke-width="2.6""##,
        ),
    };
    svg.path(&path, style);
}

/// A round badge with a tick, a cross or a question mark.
pub(crate) fn badge(svg: &mut Svg, conclusion: Conclusion, (x, y): (f64, f64), radius: f64) {
    let colour = conclusion_colour(conclusion);
    svg.add(format_args!(r#"<circle cx="{}" cy="{}" r="{}" fill="{colour}"/>"#, Number(x), Number(y), Number(radius)));
    let stroke = format!(
        r##"fill="none" stroke="#ffffff" stroke-width="{}" stroke-linecap="round" stroke-linejoin="round""##,
        Number(radius * 0.22)
    );
    let at = |dx: f64, dy: f64| format!("{} {}", Number(x + dx * radius), Number(y + dy * radius));
    match conclusion {
        Conclusion::NothingLost => {
            svg.path(&format!("M{}L{}L{}", at(-0.45, 0.05), at(-0.12, 0.4), at(0.5, -0.38)), &stroke);
        }
        Conclusion::Lost => {
            let data = format!("M{}L{}M{}L{}", at(-0.38, -0.38), at(0.38, 0.38), at(0.38, -0.38), at(-0.38, 0.38));
            svg.path(&data, &stroke);
        }
        Conclusion::Inconclusive => {
            svg.text((x, y + radius * 0.5), TextStyle::of(radius * 1.4).bold().middle().colour("#ffffff"), "?");
        }
    }
}

pub(crate) fn conclusion_colour(conclusion: Conclusion) -> &'static str {
    match conclusion {
        Conclusion::NothingLost => GOOD,
        Conclusion::Lost => BAD,
        Conclusion::Inconclusive => INCONCLUSIVE,
    }
}

/// A row of swatches that begins at `(x, y)` on the baseline. Returns where it ends.
pub(crate) fn legend(svg: &mut Svg, verdicts: &[Verdict], (mut x, y): (f64, f64), size: f64) -> f64 {
    for verdict in verdicts {
        let fill = fill(svg, *verdict).replace("class=\"bar ", "class=\"swatch ");
        svg.rect(
            Area::new(x, y - size * 0.85, size * 1.4, size),
            &format!(r##"{fill} stroke="#555555" stroke-width="0.8""##),
        );
        x += size * 1.4 + 7.0;
        let style = TextStyle::of(size);
        svg.text((x, y), style, verdict.name());
        x += style.width(verdict.name()) + size * 1.4;
    }
    x
}

/// The same for marks.
pub(crate) fn mark_legend(svg: &mut Svg, kinds: &[MarkKind], (mut x, y): (f64, f64), size: f64) -> f64 {
    for kind in kinds {
        let middle = y - size * 0.35;
        svg.line((x, middle), (x + 34.0, middle), mark_line(*kind));
        mark_head(svg, *kind, (x + 17.0, middle));
        x += 34.0 + 7.0;
        let style = TextStyle::of(size);
        svg.text((x, y), style, mark_name(*kind));
        x += style.width(mark_name(*kind)) + size * 1.4;
    }
    x
}
