//! The panel of one run, as a monitoring dashboard would show it.

use super::palette;
use super::plot;
use super::series::{Axes, ChartData};
use super::svg::{Area, Svg, TextStyle};
use crate::format::{count, counted, latency, printable};
use crate::rehearsal::{Mark, Run};
use crate::report::conclusion::{Conclusion, finding, lost_by_verdict, short_if_slow_too};
use crate::report::summary::Summary;
use crate::verdict::Verdict;

const WIDTH: f64 = 1600.0;
const LEFT: f64 = 290.0;
const RIGHT: f64 = 1564.0;
const LANE_HEIGHT: f64 = 27.0;
const TEXT_SIZE: f64 = 17.0;

/// The panel of the run at `index`. `id` must be unique in the page.
pub(crate) fn panel(data: &ChartData, index: usize, run: &Run, id: &str) -> String {
    let axes = &data.axes;
    let Some(series) = data.series.get(index) else { return String::new() };
    let summary = Summary::of(run);
    let conclusion = Conclusion::of(run, &summary);
    let lanes = axes.marks.len();

    // The areas from the top down.
    let mut y = 104.0;
    let mut next = |height: f64, gap: f64| {
        let area = Area::new(LEFT, y, RIGHT - LEFT, height);
        y += height + gap;
        area
    };
    let names = next(26.0, 0.0);
    let marks = next(super::real_usize(lanes) * LANE_HEIGHT, 6.0);
    let legend = next(28.0, 4.0);
    let rates = next(280.0, 22.0);
    let losses = next(110.0, 8.0);
    let latency_legend = next(32.0, 4.0);
    let latencies = next(190.0, 0.0);
    let height = y + 66.0;

    let mut svg = Svg::new(id, WIDTH, height);
    palette::define(&mut svg);
    let title = format!("{}: {}", printable(&run.name), finding(run, &summary));
    heading(&mut svg, run, &summary);

    let whole = Area::new(LEFT, names.top, RIGHT - LEFT, latencies.bottom() - names.top);
    plot::phases(&mut svg, axes, run, whole);
    plot::phase_names(&mut svg, axes, run, whole, names.top + 19.0, TEXT_SIZE);
    palette::legend(&mut svg, &axes.verdicts, (LEFT + 8.0, legend.top + 20.0), TEXT_SIZE);
    let lost: Vec<Verdict> = axes.verdicts.iter().copied().filter(|verdict| verdict.is_lost()).collect();
    plot::latency_legend(&mut svg, &lost, (LEFT + 8.0, latency_legend.top + 23.0), TEXT_SIZE);

    plot::rates(&mut svg, axes, series, rates, TEXT_SIZE);
    plot::losses(&mut svg, axes, series, losses, TEXT_SIZE);
    plot::latencies(&mut svg, axes, series, latencies, TEXT_SIZE);
    for area in [rates, losses, latencies] {
        plot::mark_lines(&mut svg, axes, &run.marks, area);
    }
    plot::nothing_lost(&mut svg, conclusion, losses);
    mark_lanes(&mut svg, axes, &run.marks, marks);
    plot::time_axis(&mut svg, axes, latencies, TEXT_SIZE, true);

    labels(&mut svg, rates, "answers", &["per second".to_owned(), counted(summary.requests, "request")]);
    let lost = match summary.lost() {
        0 => String::new(),
        lost => format!("{} in all", count(lost)),
    };
    labels(&mut svg, losses, "lost", &["per second".to_owned(), lost]);
    let mut figures = vec![format!("of {}requests,", short_if_slow_too([run])), "log scale".to_owned()];
    if let Some(all) = summary.latency {
        figures.push(format!("p50 {}", latency(all.p50)));
        figures.push(format!("p99 {}", latency(all.p99)));
        figures.push(format!("max {}", latency(all.max)));
    }
    labels(&mut svg, latencies, "latency", &figures);

    let all = Area::new(LEFT, rates.top, RIGHT - LEFT, latencies.bottom() - rates.top);
    plot::tooltips(&mut svg, axes, series, all);
    svg.finish(&title)
}

fn heading(svg: &mut Svg, run: &Run, summary: &Summary) {
    palette::badge(svg, Conclusion::of(run, summary), (58.0, 48.0), 19.0);
    // A long name is cut, but the finding never is.
    let room = RIGHT - 92.0;
    let (name, found) = (printable(&run.name), format!(": {}", finding(run, summary)));
    let large = TextStyle::of(30.0).bold();
    let style = if large.width(&name) + large.width(&found) <= room { large } else { TextStyle::of(25.0).bold() };
    let name = style.fit(&name, room - style.width(&found));
    svg.text((92.0, 59.0), style, &style.fit(&format!("{name}{found}"), room));
    let mut figures: Vec<String> = Vec::new();
    figures.extend(Some(lost_by_verdict(summary)).filter(|lost| !lost.is_empty()));
    if let Some(all) = summary.latency {
        let (p50, p99, max) = (latency(all.p50), latency(all.p99), latency(all.max));
        figures.push(format!("{}answers: p50 {p50}, p99 {p99}, max {max}", short_if_slow_too([run])));
    }
    if let Some(seconds) = summary.seconds_per_stop {
        figures.push(format!("{}, {seconds:.1} s each", counted(run.stops.len() as u64, "stop")));
    }
    let style = TextStyle::of(18.0).quiet();
    svg.text((92.0, 88.0), style, &style.fit(&figures.join("  ·  "), RIGHT - 92.0));
}

/// The title and the figures of a plot, to its left.
fn labels(svg: &mut Svg, area: Area, title: &str, figures: &[String]) {
    svg.text((36.0, area.top + 18.0), TextStyle::of(20.0).bold(), title);
    let mut y = area.top + 18.0;
    for figure in figures {
        y += TEXT_SIZE * 1.42;
        let style = TextStyle::of(TEXT_SIZE).quiet();
        svg.text((36.0, y), style, &style.fit(figure, LEFT - 36.0 - 66.0));
    }
}

/// A lane for each kind of mark, so that labels of different kinds cannot overlap.
fn mark_lanes(svg: &mut Svg, axes: &Axes, marks: &[Mark], area: Area) {
    let x = plot::time(axes, &area);
    for (lane, kind) in axes.marks.iter().enumerate() {
        let y = area.top + (super::real_usize(lane) + 0.5) * LANE_HEIGHT;
        svg.text((LEFT - 14.0, y + 6.0), TextStyle::of(TEXT_SIZE).end(), &format!("pod {}", palette::mark_name(*kind)));
        let mut own: Vec<(f64, &str)> = marks
            .iter()
            .filter(|mark| mark.kind == *kind)
            .map(|mark| (x.at(mark.at_ms / 1000.0), &*mark.pod))
            .collect();
        own.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut drawn = f64::NEG_INFINITY;
        for (place, (at, pod)) in own.iter().enumerate() {
            if at - drawn < 2.0 {
                continue; // it would overlap the one before
            }
            drawn = *at;
            svg.line((at.round(), y), (at.round(), area.bottom() + 6.0), palette::mark_line(*kind));
            palette::mark_head(svg, *kind, (at.round(), y));
            // The name, if there is room before the next one.
            let next = own.get(place + 1).map_or(area.right() + 30.0, |(next, _)| next - 10.0);
            let (style, name) = (TextStyle::of(15.0).quiet().halo(), printable(pod));
            if at + 12.0 + style.width(&name) < next {
                svg.text((at + 12.0, y + 5.5), style, &name);
            }
        }
    }
}
