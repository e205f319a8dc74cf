//! The plots of a panel and of the overview: time to the right, one quantity upwards.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::palette;
use super::scale::{Linear, Log, tick_label, ticks_beyond, ticks_within};
use super::series::{Axes, Series, Span};
use super::svg::{Area, Number, Svg, TextStyle};
use crate::format::{count, latency, real};
use crate::rehearsal::{Mark, MarkKind, Run};
use crate::report::conclusion::Conclusion;
use crate::verdict::Verdict;

const GRID: &str = r##"stroke="#e2e2e2" stroke-width="1""##;
const FRAME: &str = r##"stroke="#7a7a7a" stroke-width="1.2""##;
/// The least height of a bar of lost requests, so that a single one is visible.
const MIN_BAR: f64 = 3.0;
/// More lines than these would hide the plot; the page lists all stops in a table.
const MAX_LINES: usize = 120;

/// The time scale of an area.
pub(crate) fn time(axes: &Axes, area: &Area) -> Linear {
    Linear::new(0.0, axes.end, area.left, area.right())
}

/// A band for the update, and hatching for the time after the load.
pub(crate) fn phases(svg: &mut Svg, axes: &Axes, run: &Run, area: Area) {
    let x = time(axes, &area);
    let (began, ended) = (x.at(run.update_began_ms / 1000.0), x.at(run.update_ended_ms / 1000.0));
    svg.rect(Area::new(began, area.top, ended - began, area.height), r##"fill="#f1efe6""##);
    let over = x.at(run.ended_ms / 1000.0);
    if area.right() - over >= 1.0 {
        let fill = palette::ended(svg);
        svg.rect(Area::new(over, area.top, area.right() - over, area.height), &fill);
    }
    for at in [began, ended] {
        svg.line((at, area.top), (at, area.bottom()), r##"stroke="#b5b09a" stroke-width="1.2""##);
    }
}

/// The names of the phases, where there is room; `y` is the baseline.
pub(crate) fn phase_names(svg: &mut Svg, axes: &Axes, run: &Run, area: Area, y: f64, size: f64) {
    let x = time(axes, &area);
    let edges = [0.0, run.update_began_ms, run.update_ended_ms, run.ended_ms, f64::MAX].map(|at| x.at(at / 1000.0));
    let style = TextStyle::of(size).quiet().middle();
    for ((from, to), name) in edges.iter().zip(edges.iter().skip(1)).zip(["before", "update", "after", "load ended"]) {
        if to - from > style.width(name) + 8.0 {
            svg.text((f64::midpoint(*from, *to), y), style, name);
        }
    }
}

/// A vertical line for each mark. Lines of one kind at the same pixel are drawn once.
pub(crate) fn mark_lines(svg: &mut Svg, axes: &Axes, marks: &[Mark], area: Area) {
    let x = time(axes, &area);
    let mut drawn = BTreeSet::new();
    for mark in marks {
        let at = x.at(mark.at_ms / 1000.0).round();
        if drawn.len() < MAX_LINES && drawn.insert((pixel(at), palette::mark_name(mark.kind))) {
            svg.line((at, area.top), (at, area.bottom()), palette::mark_line(mark.kind));
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a position in a picture")]
fn pixel(at: f64) -> i32 {
    at.round() as i32
}

/// Grid lines with labels to their left.
fn grid(svg: &mut Svg, area: Area, y: Linear, ticks: &[f64], size: f64) {
    for tick in ticks {
        let at = y.at(*tick).round();
        svg.line((area.left, at), (area.right(), at), GRID);
        svg.text((area.left - 9.0, at + size * 0.36), TextStyle::of(size).quiet().end(), &tick_label(*tick));
    }
}

fn base_line(svg: &mut Svg, area: Area) {
    svg.line((area.left, area.bottom()), (area.right(), area.bottom()), FRAME);
    svg.line((area.left, area.top), (area.left, area.bottom()), FRAME);
}

/// The left edge and the width of a span, in whole pixels: fractions would blur the edge between two bars.
fn extent(x: Linear, span: &Span) -> (f64, f64) {
    let (from, to) = (x.at(span.from).round(), x.at(span.to).round());
    let gap = if to - from > 5.0 { 1.0 } else { 0.0 };
    (from, (to - from - gap).max(1.0))
}

/// A stack of bars, in the order of `verdicts` from the bottom up. Returns the top.
fn stack(svg: &mut Svg, x: Linear, y: Linear, span: &Span, verdicts: impl Iterator<Item = Verdict>) -> f64 {
    let (left, width) = extent(x, span);
    let mut bottom = y.at(0.0);
    for verdict in verdicts.filter(|verdict| span.count(*verdict) > 0) {
        let height = (y.at(0.0) - y.at(span.per_second(verdict))).max(if verdict.is_lost() { MIN_BAR } else { 0.6 });
        let fill = palette::fill(svg, verdict);
        svg.rect(Area::new(left, bottom - height, width, height), &fill);
        bottom -= height;
    }
    bottom
}

/// Requests per second, stacked by verdict, with the lost ones on top.
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

/// The order of a stack from the bottom up: answered, not sent, lost.
fn order() -> impl Iterator<Item = Verdict> {
    [Verdict::Answered, Verdict::NotSent].into_iter().chain(Verdict::lost())
}

/// Lost requests per second, on a scale of their own: a few among many answers would be invisible.
pub(crate) fn losses(svg: &mut Svg, axes: &Axes, series: &Series, area: Area, size: f64) {
    let ticks = ticks_beyond(axes.lost.max(1.0), if area.height > 80.0 { 3 } else { 1 });
    let y = Linear::new(0.0, ticks.last().copied().unwrap_or(1.0), area.bottom(), area.top);
    grid(svg, area, y, &ticks, size);
    let x = time(axes, &area);
    let bars: Vec<(f64, f64)> = series
        .spans
        .iter()
        .map(|span| {
            let (left, width) = extent(x, span);
            (left + width / 2.0, stack(svg, x, y, span, Verdict::lost()))
        })
        .collect();
    let height = |top: f64| area.bottom() - top;
    let near = |at: f64, other: f64| (at - other).abs() < 60.0;
    let mut last = f64::NEG_INFINITY;
    for (at, top) in bars.iter().filter(|(_, top)| height(*top) > 0.0) {
        // An arrow points at a bar that is low and far from any higher one, as it would be overlooked.
        if at - last > 14.0 && !bars.iter().any(|(other, top)| near(*at, *other) && height(*top) >= 9.0) {
            let data = format!("M{} {}l-5.5 -9h11z", Number(*at), Number(top - 3.0));
            svg.path(&data, &format!(r#"class="pointer" fill="{}""#, palette::BAD));
            last = *at;
        }
    }
    base_line(svg, area);
}

/// Says why there are no bars of lost requests.
pub(crate) fn nothing_lost(svg: &mut Svg, conclusion: Conclusion, area: Area) {
    let text = match conclusion {
        Conclusion::Lost => return,
        Conclusion::NothingLost => "nothing lost",
        Conclusion::Inconclusive => "inconclusive",
    };
    let size = (area.height * 0.4).clamp(15.0, 26.0);
    let style = TextStyle::of(size).bold().colour(palette::conclusion_colour(conclusion));
    let width = style.width(text) + size * 1.4;
    let (left, middle) = (area.middle() - width / 2.0, area.top + area.height / 2.0);
    // A background, as the lines of the marks pass behind the text.
    let background = Area::new(left - size * 0.5, middle - size * 0.8, width + size, size * 1.6);
    let colour = palette::conclusion_colour(conclusion);
    svg.rect(
        background,
        &format!(r##"rx="{}" fill="#ffffff" stroke="{colour}" stroke-width="1.5""##, Number(size * 0.8)),
    );
    palette::badge(svg, conclusion, (left + size * 0.5, middle), size * 0.55);
    svg.text((left + size * 1.4, middle + size * 0.36), style, text);
}

/// The latency of the short requests that were answered, and how long the lost ones waited.
pub(crate) fn latencies(svg: &mut Svg, axes: &Axes, series: &Series, area: Area, size: f64) {
    let y = Log::new(&axes.latency, area.bottom(), area.top);
    let room = area.height / f64::from((axes.latency.end() - axes.latency.start()).max(1));
    for power in axes.latency.clone() {
        let value = 10_f64.powi(power);
        let at = y.at(value).round();
        svg.line((area.left, at), (area.right(), at), GRID);
        // If decades are too close, only every second one has a label.
        if room > size * 1.15 || (power - axes.latency.start()) % 2 == 0 {
            svg.text((area.left - 9.0, at + size * 0.36), TextStyle::of(size).quiet().end(), &decade(value));
        }
    }
    let x = time(axes, &area);
    let measured: Vec<_> = series
        .spans
        .iter()
        .filter_map(|span| span.latency.map(|latency| (x.at(span.from), x.at(span.to), latency)))
        .collect();
    // Steps rather than slopes: nothing was measured between two spans.
    let mut middle = String::new();
    let mut high = String::new();
    let mut last = f64::NAN;
    for (from, to, latency) in &measured {
        let (low, top) = (y.at(latency.p50), y.at(latency.p99));
        svg.rect(Area::new(*from, top, to - from, low - top), r##"fill="#0072b2" fill-opacity="0.16""##);
        let joined = if (from - last).abs() < 0.01 { 'L' } else { 'M' };
        let _ = write!(middle, "{joined}{} {}H{}", Number(*from), Number(low), Number(*to)); // writing to a String cannot fail
        let _ = write!(high, "{joined}{} {}H{}", Number(*from), Number(top), Number(*to));
        last = *to;
    }
    if !measured.is_empty() {
        svg.path(&high, P99);
        svg.path(&middle, P50);
    }
    for (from, to, latency) in &measured {
        svg.add(format_args!(
            r##"<circle class="max" cx="{}" cy="{}" r="2.6" fill="#ffffff" stroke="#003f66" stroke-width="1.3"/>"##,
            Number(f64::midpoint(*from, *to)),
            Number(y.at(latency.max))
        ));
    }
    let mut drawn = BTreeSet::new();
    for (at, wait, verdict) in &series.lost {
        let (at, wait) = (x.at(*at), y.at(*wait));
        // Only as many as can be told apart.
        if drawn.insert((pixel(at / 4.0), pixel(wait / 4.0), *verdict)) {
            palette::symbol(svg, *verdict, (at, wait));
        }
    }
    base_line(svg, area);
}

const P50: &str = r##"fill="none" stroke="#003f66" stroke-width="2.4""##;
const P99: &str = r##"fill="none" stroke="#0072b2" stroke-width="1.5" stroke-dasharray="5 3""##;

fn decade(milliseconds: f64) -> String {
    if milliseconds >= 1000.0 {
        format!("{} s", tick_label(milliseconds / 1000.0))
    } else {
        format!("{} ms", tick_label(milliseconds))
    }
}

/// The legend of [`latencies`], which begins at `(x, y)` on the baseline. Returns where it ends.
pub(crate) fn latency_legend(svg: &mut Svg, lost: &[Verdict], (mut x, y): (f64, f64), size: f64) -> f64 {
    let style = TextStyle::of(size);
    let middle = y - size * 0.35;
    let label = |svg: &mut Svg, x: &mut f64, label: &str| {
        svg.text((*x, y), style, label);
        *x += style.width(label) + size * 1.4;
    };
    for (name, line) in [("p50", P50), ("p99", P99)] {
        svg.line((x, middle), (x + 30.0, middle), line);
        x += 37.0;
        label(svg, &mut x, name);
    }
    svg.add(format_args!(
        r##"<circle cx="{}" cy="{}" r="3.4" fill="#ffffff" stroke="#003f66" stroke-width="1.5"/>"##,
        Number(x + 5.0),
        Number(middle)
    ));
    x += 15.0;
    label(svg, &mut x, "max");
    if !lost.is_empty() {
        label(svg, &mut x, "lost after this time:");
        x -= size * 0.7;
    }
    for verdict in lost {
        palette::symbol(svg, *verdict, (x + 5.0, middle));
        x += 17.0;
        label(svg, &mut x, verdict.name());
    }
    x
}

/// The ticks and the title of the time axis below an area.
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
        svg.text((at, area.bottom() + 9.0 + size), TextStyle::of(size).quiet().middle(), &tick_label(tick));
    }
    if named {
        let short_title = format!("{unit} since the load began");
        let title = format!("{short_title}; a request is shown at the time when it was answered or lost");
        let title = if TextStyle::of(size).width(&title) <= area.width { title } else { short_title };
        svg.text((area.middle(), area.bottom() + 16.0 + size * 2.1), TextStyle::of(size).quiet().middle(), &title);
    }
}

/// A tooltip for each span of time.
pub(crate) fn tooltips(svg: &mut Svg, axes: &Axes, series: &Series, area: Area) {
    let x = time(axes, &area);
    svg.add(format_args!("<g class=\"tips\">"));
    for span in &series.spans {
        let mut text = format!("{} to {} s: ", Number(span.from), Number(span.to));
        let seen = Verdict::ALL.into_iter().filter(|verdict| span.count(*verdict) > 0);
        let seen: Vec<_> = seen.map(|verdict| format!("{} {}", count(span.count(verdict)), verdict.name())).collect();
        text += &if seen.is_empty() { "no answers".to_owned() } else { seen.join(", ") };
        if let Some(each) = span.latency {
            let _ = write!(text, "; p50 {}, p99 {}, max {}", latency(each.p50), latency(each.p99), latency(each.max));
        }
        let (left, width) = extent(x, span);
        svg.tooltip(Area::new(left, area.top, width, area.height), &text);
    }
    svg.add(format_args!("</g>"));
}

/// The height of a bar for so many lost requests.
pub(crate) fn bar_height(y: Linear, requests: u64) -> f64 {
    if requests == 0 { 0.0 } else { (y.at(0.0) - y.at(real(requests))).max(MIN_BAR) }
}

/// The heads of the marks above a plot, in at most two rows. Those that would overlap others are left out.
pub(crate) fn mark_heads(svg: &mut Svg, axes: &Axes, marks: &[Mark], area: Area) {
    let x = time(axes, &area);
    let mut taken: Vec<(f64, f64)> = Vec::new();
    for kind in [MarkKind::Stop, MarkKind::Removed, MarkKind::Added, MarkKind::Gone] {
        for mark in marks.iter().filter(|mark| mark.kind == kind) {
            let at = x.at(mark.at_ms / 1000.0).round();
            let rows = [area.top - 8.0, area.top - 23.0].into_iter();
            let free = |y: &f64| !taken.iter().any(|(x, row)| (x - at).abs() < 15.0 && (row - y).abs() < 1.0);
            if let Some(y) = rows.into_iter().find(free) {
                taken.push((at, y));
                palette::mark_head(svg, kind, (at, y));
            }
        }
    }
}
