//! The plots that a panel and the overview are put together from: time to the right, one figure upwards.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::paint;
use super::scale::{Linear, Log, short, ticks_beyond, ticks_within};
use super::series::{Axes, Series, Span};
use super::svg::{Area, N, Svg, Type};
use crate::figures::{Kind, Mark, Run, What};
use crate::words::{Verdict, count, latency, real};

const GRID: &str = r##"stroke="#e2e2e2" stroke-width="1""##;
const FRAME: &str = r##"stroke="#7a7a7a" stroke-width="1.2""##;
/// What little was lost is still drawn so high.
const LEAST: f64 = 3.0;
/// More lines than these would hide what is behind them: the rest are in the table of stops.
const MOST_LINES: usize = 120;

/// The time scale of an area.
pub(crate) fn time(axes: &Axes, area: &Area) -> Linear {
    Linear::new(0.0, axes.end, area.left, area.right())
}

/// The update's band, and the hatched end where no load is any more.
pub(crate) fn phases(svg: &mut Svg, axes: &Axes, run: &Run, area: Area) {
    let x = time(axes, &area);
    let (began, ended) = (x.at(run.update_began_ms / 1000.0), x.at(run.update_ended_ms / 1000.0));
    svg.rect(Area::new(began, area.top, ended - began, area.height), r##"fill="#f1efe6""##);
    let over = x.at(run.ended_ms / 1000.0);
    if area.right() - over >= 1.0 {
        let fill = paint::ended(svg);
        svg.rect(Area::new(over, area.top, area.right() - over, area.height), &fill);
    }
    for at in [began, ended] {
        svg.line((at, area.top), (at, area.bottom()), r##"stroke="#b5b09a" stroke-width="1.2""##);
    }
}

/// Their names, each where it has room; `y` is the base line.
pub(crate) fn phase_names(svg: &mut Svg, axes: &Axes, run: &Run, area: Area, y: f64, size: f64) {
    let x = time(axes, &area);
    let edges = [0.0, run.update_began_ms, run.update_ended_ms, run.ended_ms, f64::MAX].map(|at| x.at(at / 1000.0));
    let look = Type::of(size).quiet().middle();
    for ((from, to), name) in edges.iter().zip(edges.iter().skip(1)).zip(["before", "update", "after", "load ended"]) {
        if to - from > look.width(name) + 8.0 {
            svg.text((f64::midpoint(*from, *to), y), look, name);
        }
    }
}

/// A vertical line for each mark; one for all those of a kind that would lie upon each other.
pub(crate) fn mark_lines(svg: &mut Svg, axes: &Axes, marks: &[Mark], area: Area) {
    let x = time(axes, &area);
    let mut drawn = BTreeSet::new();
    for mark in marks {
        let at = x.at(mark.at_ms / 1000.0).round();
        if drawn.len() < MOST_LINES && drawn.insert((pixel(at), paint::name(mark.what))) {
            svg.line((at, area.top), (at, area.bottom()), paint::line(mark.what));
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a place in a picture")]
fn pixel(at: f64) -> i32 {
    at.round() as i32
}

/// Grid lines and their labels to the left.
fn grid(svg: &mut Svg, area: Area, y: Linear, ticks: &[f64], size: f64) {
    for tick in ticks {
        let at = y.at(*tick).round();
        svg.line((area.left, at), (area.right(), at), GRID);
        svg.text((area.left - 9.0, at + size * 0.36), Type::of(size).quiet().end(), &short(*tick));
    }
}

fn base_line(svg: &mut Svg, area: Area) {
    svg.line((area.left, area.bottom()), (area.right(), area.bottom()), FRAME);
    svg.line((area.left, area.top), (area.left, area.bottom()), FRAME);
}

/// A span's place, in whole pixels: an edge between two must not shimmer.
fn place(x: Linear, span: &Span) -> (f64, f64) {
    let (from, to) = (x.at(span.from).round(), x.at(span.to).round());
    let gap = if to - from > 5.0 { 1.0 } else { 0.0 };
    (from, (to - from - gap).max(1.0))
}

/// A stack of bars, `kinds` from the bottom up; says where it ends.
fn stack(svg: &mut Svg, x: Linear, y: Linear, span: &Span, kinds: impl Iterator<Item = Kind>) -> f64 {
    let (left, width) = place(x, span);
    let mut bottom = y.at(0.0);
    for kind in kinds.filter(|kind| span.count(*kind) > 0) {
        let height = (y.at(0.0) - y.at(span.per_second(kind))).max(if kind.is_lost() { LEAST } else { 0.6 });
        let fill = paint::fill(svg, kind);
        svg.rect(Area::new(left, bottom - height, width, height), &fill);
        bottom -= height;
    }
    bottom
}

/// Answers of a second, stacked by kind: what was lost lies on top.
pub(crate) fn rates(svg: &mut Svg, axes: &Axes, series: &Series, area: Area, size: f64) {
    let ticks = ticks_beyond(axes.rate, if area.height > 200.0 { 5 } else { 3 });
    let y = Linear::new(0.0, ticks.last().copied().unwrap_or(1.0), area.bottom(), area.top);
    grid(svg, area, y, &ticks, size);
    let x = time(axes, &area);
    for span in &series.spans {
        stack(svg, x, y, span, order());
    }
    base_line(svg, area);
}

/// From the bottom up. What was not sent is no answer; it lies above these, below what was lost.
fn order() -> impl Iterator<Item = Kind> {
    let lost = Kind::ALL.into_iter().filter(|kind| kind.is_lost());
    [Kind::Answered, Kind::NotSent].into_iter().chain(lost)
}

/// Lost requests of a second, on a scale of their own: a few among many would not be seen otherwise.
pub(crate) fn losses(svg: &mut Svg, axes: &Axes, series: &Series, area: Area, size: f64) {
    let ticks = ticks_beyond(axes.lost.max(1.0), if area.height > 80.0 { 3 } else { 1 });
    let y = Linear::new(0.0, ticks.last().copied().unwrap_or(1.0), area.bottom(), area.top);
    grid(svg, area, y, &ticks, size);
    let x = time(axes, &area);
    let bars: Vec<(f64, f64)> = series
        .spans
        .iter()
        .map(|span| {
            let (left, width) = place(x, span);
            (left + width / 2.0, stack(svg, x, y, span, Kind::ALL.into_iter().filter(|kind| kind.is_lost())))
        })
        .collect();
    let height = |top: f64| area.bottom() - top;
    let near = |at: f64, other: f64| (at - other).abs() < 60.0;
    let mut last = f64::NEG_INFINITY;
    for (at, top) in bars.iter().filter(|(_, top)| height(*top) > 0.0) {
        // What is so low, and so far from what is higher, that one could overlook it, is pointed at.
        if at - last > 14.0 && !bars.iter().any(|(other, top)| near(*at, *other) && height(*top) >= 9.0) {
            let data = format!("M{} {}l-5.5 -9h11z", N(*at), N(top - 3.0));
            svg.path(&data, &format!(r#"class="pointer" fill="{}""#, paint::BAD));
            last = *at;
        }
    }
    base_line(svg, area);
}

/// In the place of bars that are not there, what that means.
pub(crate) fn nothing_lost(svg: &mut Svg, verdict: Verdict, area: Area) {
    let says = match verdict {
        Verdict::Lost => return,
        Verdict::NothingLost => "nothing lost",
        Verdict::Unclear => "nothing can be said",
    };
    let size = (area.height * 0.4).clamp(15.0, 26.0);
    let look = Type::of(size).bold().colour(paint::verdict_colour(verdict));
    let width = look.width(says) + size * 1.4;
    let (left, middle) = (area.middle() - width / 2.0, area.top + area.height / 2.0);
    // Upon the lines of the marks.
    let board = Area::new(left - size * 0.5, middle - size * 0.8, width + size, size * 1.6);
    let colour = paint::verdict_colour(verdict);
    svg.rect(board, &format!(r##"rx="{}" fill="#ffffff" stroke="{colour}" stroke-width="1.5""##, N(size * 0.8)));
    paint::badge(svg, verdict, (left + size * 0.5, middle), size * 0.55);
    svg.text((left + size * 1.4, middle + size * 0.36), look, says);
}

/// Latency of the answered short requests, and how long the lost ones waited for nothing.
pub(crate) fn latencies(svg: &mut Svg, axes: &Axes, series: &Series, area: Area, size: f64) {
    let y = Log::new(&axes.latency, area.bottom(), area.top);
    let room = area.height / f64::from((axes.latency.end() - axes.latency.start()).max(1));
    for power in axes.latency.clone() {
        let value = 10_f64.powi(power);
        let at = y.at(value).round();
        svg.line((area.left, at), (area.right(), at), GRID);
        // Where decades are low, every second one has a label.
        if room > size * 1.15 || (power - axes.latency.start()) % 2 == 0 {
            svg.text((area.left - 9.0, at + size * 0.36), Type::of(size).quiet().end(), &decade(value));
        }
    }
    let x = time(axes, &area);
    let measured: Vec<_> = series
        .spans
        .iter()
        .filter_map(|span| span.latency.map(|latency| (x.at(span.from), x.at(span.to), latency)))
        .collect();
    // Steps, not slopes: between two spans nothing was measured.
    let mut middle = String::new();
    let mut high = String::new();
    let mut last = f64::NAN;
    for (from, to, latency) in &measured {
        let (low, top) = (y.at(latency.p50), y.at(latency.p99));
        svg.rect(Area::new(*from, top, to - from, low - top), r##"fill="#0072b2" fill-opacity="0.16""##);
        let joined = if (from - last).abs() < 0.01 { 'L' } else { 'M' };
        let _ = write!(middle, "{joined}{} {}H{}", N(*from), N(low), N(*to)); // a string takes all
        let _ = write!(high, "{joined}{} {}H{}", N(*from), N(top), N(*to));
        last = *to;
    }
    if !measured.is_empty() {
        svg.path(&high, P99);
        svg.path(&middle, P50);
    }
    for (from, to, latency) in &measured {
        svg.add(format_args!(
            r##"<circle class="max" cx="{}" cy="{}" r="2.6" fill="#ffffff" stroke="#003f66" stroke-width="1.3"/>"##,
            N(f64::midpoint(*from, *to)),
            N(y.at(latency.max))
        ));
    }
    let mut drawn = BTreeSet::new();
    for (at, wait, kind) in &series.lost {
        let (at, wait) = (x.at(*at), y.at(*wait));
        // As many as can be told apart.
        if drawn.insert((pixel(at / 4.0), pixel(wait / 4.0), *kind)) {
            paint::sign(svg, *kind, (at, wait));
        }
    }
    base_line(svg, area);
}

const P50: &str = r##"fill="none" stroke="#003f66" stroke-width="2.4""##;
const P99: &str = r##"fill="none" stroke="#0072b2" stroke-width="1.5" stroke-dasharray="5 3""##;

fn decade(milliseconds: f64) -> String {
    if milliseconds >= 1000.0 {
        format!("{} s", short(milliseconds / 1000.0))
    } else {
        format!("{} ms", short(milliseconds))
    }
}

/// What the lines and signs of [`latencies`] mean; `(x, y)` is where it begins, on the base line.
pub(crate) fn latency_legend(svg: &mut Svg, lost: &[Kind], (mut x, y): (f64, f64), size: f64) -> f64 {
    let look = Type::of(size);
    let middle = y - size * 0.35;
    let word = |svg: &mut Svg, x: &mut f64, word: &str| {
        svg.text((*x, y), look, word);
        *x += look.width(word) + size * 1.4;
    };
    for (name, line) in [("p50", P50), ("p99", P99)] {
        svg.line((x, middle), (x + 30.0, middle), line);
        x += 37.0;
        word(svg, &mut x, name);
    }
    svg.add(format_args!(
        r##"<circle cx="{}" cy="{}" r="3.4" fill="#ffffff" stroke="#003f66" stroke-width="1.5"/>"##,
        N(x + 5.0),
        N(middle)
    ));
    x += 15.0;
    word(svg, &mut x, "max");
    if !lost.is_empty() {
        word(svg, &mut x, "lost after so long:");
        x -= size * 0.7;
    }
    for kind in lost {
        paint::sign(svg, *kind, (x + 5.0, middle));
        x += 17.0;
        word(svg, &mut x, kind.name());
    }
    x
}

/// The ticks of the time axis below an area, and what it is.
pub(crate) fn time_axis(svg: &mut Svg, axes: &Axes, area: Area, size: f64, named: bool) {
    let (unit, each) = match axes.end {
        end if end > 3.0 * 3600.0 => ("hours", 3600.0),
        end if end > 180.0 => ("minutes", 60.0),
        _ => ("seconds", 1.0),
    };
    let x = time(axes, &area);
    let most = if area.width > 800.0 { 14 } else { 6 };
    for tick in ticks_within(axes.end / each, most) {
        let at = x.at(tick * each).round();
        svg.line((at, area.bottom()), (at, area.bottom() + 6.0), FRAME);
        svg.text((at, area.bottom() + 9.0 + size), Type::of(size).quiet().middle(), &short(tick));
    }
    if named {
        let says = format!("{unit} since the load began; a request stands where its answer came or was lost");
        let says =
            if Type::of(size).width(&says) <= area.width { says } else { format!("{unit} since the load began") };
        svg.text((area.middle(), area.bottom() + 16.0 + size * 2.1), Type::of(size).quiet().middle(), &says);
    }
}

/// For each span of time, what a pointer on it is told.
pub(crate) fn tooltips(svg: &mut Svg, axes: &Axes, series: &Series, area: Area) {
    let x = time(axes, &area);
    svg.add(format_args!("<g class=\"tips\">"));
    for span in &series.spans {
        let mut says = format!("{} to {} s: ", N(span.from), N(span.to));
        let kinds = Kind::ALL.into_iter().filter(|kind| span.count(*kind) > 0);
        let kinds: Vec<_> = kinds.map(|kind| format!("{} {}", count(span.count(kind)), kind.name())).collect();
        says += &if kinds.is_empty() { "no answers".to_owned() } else { kinds.join(", ") };
        if let Some(each) = span.latency {
            let _ = write!(says, "; p50 {}, p99 {}, max {}", latency(each.p50), latency(each.p99), latency(each.max));
        }
        let (left, width) = place(x, span);
        svg.tooltip(Area::new(left, area.top, width, area.height), &says);
    }
    svg.add(format_args!("</g>"));
}

/// How high a bar for so many lost requests is, where `most` is the highest: none at all is no bar.
pub(crate) fn bar(y: Linear, requests: u64) -> f64 {
    if requests == 0 { 0.0 } else { (y.at(0.0) - y.at(real(requests))).max(LEAST) }
}

/// The heads of the marks above a plot, in two rows at the most: those that would lie upon others are left out.
pub(crate) fn mark_heads(svg: &mut Svg, axes: &Axes, marks: &[Mark], area: Area) {
    let x = time(axes, &area);
    let mut taken: Vec<(f64, f64)> = Vec::new();
    for what in [What::Stop, What::Removed, What::Added, What::Gone] {
        for mark in marks.iter().filter(|mark| mark.what == what) {
            let at = x.at(mark.at_ms / 1000.0).round();
            let rows = [area.top - 8.0, area.top - 23.0].into_iter();
            let free = |y: &f64| !taken.iter().any(|(x, row)| (x - at).abs() < 15.0 && (row - y).abs() < 1.0);
            if let Some(y) = rows.into_iter().find(free) {
                taken.push((at, y));
                paint::head(svg, what, (at, y));
            }
        }
    }
}
