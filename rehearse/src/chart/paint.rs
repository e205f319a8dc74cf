//! The colours and shapes: those of Okabe and Ito, which colour-blind people can tell apart, and never a colour alone.

use super::svg::{Area, N, Svg, Type};
use crate::figures::{Kind, What};

/// Bluish green: nothing was lost.
pub(crate) const GOOD: &str = "#00795a";
/// Vermilion: something was.
pub(crate) const BAD: &str = "#b84a00";
/// Neither can be said.
pub(crate) const UNCLEAR: &str = "#595959";

/// The colour beneath a kind's pattern.
fn base(kind: Kind) -> &'static str {
    match kind {
        Kind::Answered => "#56b4e9",
        Kind::ServerError => "#d55e00",
        Kind::Refused => "#1a1a1a",
        Kind::CutOff => "#cc79a7",
        Kind::WrongAnswer => "#f0e442",
        Kind::TimedOut => "#e69f00",
        Kind::NotSent => "#dddddd",
    }
}

/// What is drawn upon it; nothing on the two that are most often seen.
fn pattern(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Answered | Kind::ServerError => None,
        Kind::Refused => Some(r##"<path d="M0 0L8 8M8 0L0 8" stroke="#ffffff" stroke-width="0.9"/>"##),
        Kind::CutOff => Some(r##"<path d="M-2 6L6 -2M2 10L10 2" stroke="#5e1f45" stroke-width="1.6"/>"##),
        Kind::WrongAnswer => Some(r##"<circle cx="4" cy="4" r="1.8" fill="#4d4700"/>"##),
        Kind::TimedOut => Some(r##"<path d="M0 2H8M0 6H8" stroke="#5c3f00" stroke-width="1.3"/>"##),
        Kind::NotSent => Some(r##"<path d="M2 0V8M6 0V8" stroke="#777777" stroke-width="0.9"/>"##),
    }
}

/// Where the load has ended already.
const ENDED: &str = r##"<path d="M-2 6L6 -2M2 10L10 2" stroke="#d0d0d0" stroke-width="1"/>"##;

/// The patterns that [`fill`] and [`ended`] name.
pub(crate) fn define(svg: &mut Svg) {
    let id = svg.id().to_owned();
    let mut tile = |name: &str, base: &str, marks: &str| {
        svg.add(format_args!(
            r#"<defs><pattern id="{id}-{name}" width="8" height="8" patternUnits="userSpaceOnUse"><rect width="8" height="8" fill="{base}"/>{marks}</pattern></defs>"#
        ));
    };
    for kind in Kind::ALL {
        if let Some(marks) = pattern(kind) {
            tile(&word(kind), base(kind), marks);
        }
    }
    tile("ended", "#ffffff", ENDED);
}

fn word(kind: Kind) -> String {
    kind.name().replace(' ', "-")
}

/// The attributes of an area of this kind.
pub(crate) fn fill(svg: &Svg, kind: Kind) -> String {
    match pattern(kind) {
        Some(_) => format!(r#"class="bar {0}" fill="url(#{1}-{0})""#, word(kind), svg.id()),
        None => format!(r#"class="bar {}" fill="{}""#, word(kind), base(kind)),
    }
}

/// The attributes of an area after the load.
pub(crate) fn ended(svg: &Svg) -> String {
    format!(r#"fill="url(#{}-ended)""#, svg.id())
}

/// A small sign for one lost request.
pub(crate) fn sign(svg: &mut Svg, kind: Kind, (x, y): (f64, f64)) {
    let r = 4.5;
    let (left, right, top, bottom) = (N(x - r), N(x + r), N(y - r), N(y + r));
    let (x, y) = (N(x), N(y));
    let path = match kind {
        Kind::ServerError => format!("M{left} {top}L{right} {bottom}M{right} {top}L{left} {bottom}"),
        Kind::Refused => format!("M{left} {top}H{right}L{x} {bottom}Z"),
        Kind::CutOff => format!("M{x} {top}L{right} {y}L{x} {bottom}L{left} {y}Z"),
        Kind::WrongAnswer => format!("M{left} {top}H{right}V{bottom}H{left}Z"),
        Kind::TimedOut => format!("M{left} {y}H{right}M{x} {top}V{bottom}"),
        Kind::Answered | Kind::NotSent => return,
    };
    let look = match kind {
        Kind::ServerError | Kind::TimedOut => format!(r#"fill="none" stroke="{}" stroke-width="2.2""#, base(kind)),
        _ => format!(r##"fill="{}" stroke="#222222" stroke-width="0.8""##, base(kind)),
    };
    svg.path(&path, &look);
}

/// What a mark is called.
pub(crate) fn name(what: What) -> &'static str {
    match what {
        What::Added => "added to balancer",
        What::Stop => "told to stop",
        What::Removed => "removed from it",
        What::Gone => "gone",
    }
}

/// How a mark's line is drawn, each in a way of its own.
pub(crate) fn line(what: What) -> &'static str {
    match what {
        What::Added => r##"stroke="#00795a" stroke-width="1.6" stroke-dasharray="2 4""##,
        What::Stop => r##"stroke="#111111" stroke-width="2""##,
        What::Removed => r##"stroke="#0060a0" stroke-width="1.8" stroke-dasharray="9 5""##,
        What::Gone => r##"stroke="#6b6b6b" stroke-width="1.6" stroke-dasharray="10 4 2 4""##,
    }
}

/// The head of a mark's line, around `(x, y)`.
pub(crate) fn head(svg: &mut Svg, what: What, (x, y): (f64, f64)) {
    let r = 6.5;
    let (left, right, top, bottom) = (N(x - r), N(x + r), N(y - r), N(y + r));
    let (path, look) = match what {
        What::Added => (format!("M{} {top}L{right} {bottom}H{left}Z", N(x)), r##"fill="#00795a""##),
        What::Stop => (format!("M{left} {top}H{right}V{bottom}H{left}Z"), r##"fill="#111111""##),
        What::Removed => (format!("M{left} {top}H{right}L{} {bottom}Z", N(x)), r##"fill="#0060a0""##),
        What::Gone => (
            format!("M{left} {top}L{right} {bottom}M{right} {top}L{left} {bottom}"),
            r##"fill="none" stroke="#6b6b6b" stroke-width="2.6""##,
        ),
    };
    svg.path(&path, look);
}

/// A round sign with a tick, a cross or a question mark in it.
pub(crate) fn badge(svg: &mut Svg, verdict: crate::words::Verdict, (x, y): (f64, f64), radius: f64) {
    use crate::words::Verdict;
    let colour = verdict_colour(verdict);
    svg.add(format_args!(r#"<circle cx="{}" cy="{}" r="{}" fill="{colour}"/>"#, N(x), N(y), N(radius)));
    let stroke = format!(
        r##"fill="none" stroke="#ffffff" stroke-width="{}" stroke-linecap="round" stroke-linejoin="round""##,
        N(radius * 0.22)
    );
    let at = |dx: f64, dy: f64| format!("{} {}", N(x + dx * radius), N(y + dy * radius));
    match verdict {
        Verdict::NothingLost => {
            svg.path(&format!("M{}L{}L{}", at(-0.45, 0.05), at(-0.12, 0.4), at(0.5, -0.38)), &stroke);
        }
        Verdict::Lost => {
            let data = format!("M{}L{}M{}L{}", at(-0.38, -0.38), at(0.38, 0.38), at(0.38, -0.38), at(-0.38, 0.38));
            svg.path(&data, &stroke);
        }
        Verdict::Unclear => {
            svg.text((x, y + radius * 0.5), Type::of(radius * 1.4).bold().middle().colour("#ffffff"), "?");
        }
    }
}

pub(crate) fn verdict_colour(verdict: crate::words::Verdict) -> &'static str {
    use crate::words::Verdict;
    match verdict {
        Verdict::NothingLost => GOOD,
        Verdict::Lost => BAD,
        Verdict::Unclear => UNCLEAR,
    }
}

/// A row of swatches that begins at `(x, y)`, the base line of its texts; says where it ends.
pub(crate) fn legend(svg: &mut Svg, kinds: &[Kind], (mut x, y): (f64, f64), size: f64) -> f64 {
    for kind in kinds {
        let fill = fill(svg, *kind).replace("class=\"bar ", "class=\"swatch ");
        svg.rect(
            Area::new(x, y - size * 0.85, size * 1.4, size),
            &format!(r##"{fill} stroke="#555555" stroke-width="0.8""##),
        );
        x += size * 1.4 + 7.0;
        let look = Type::of(size);
        svg.text((x, y), look, kind.name());
        x += look.width(kind.name()) + size * 1.4;
    }
    x
}

/// The same of marks.
pub(crate) fn mark_legend(svg: &mut Svg, marks: &[What], (mut x, y): (f64, f64), size: f64) -> f64 {
    for what in marks {
        let middle = y - size * 0.35;
        svg.line((x, middle), (x + 34.0, middle), line(*what));
        head(svg, *what, (x + 17.0, middle));
        x += 34.0 + 7.0;
        let look = Type::of(size);
        svg.text((x, y), look, name(*what));
        x += look.width(name(*what)) + size * 1.4;
    }
    x
}
