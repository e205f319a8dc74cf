//! One contender's panel, as a monitoring dashboard would show it.

use super::paint;
use super::plot;
use super::series::{Axes, Scene};
use super::svg::{Area, Svg, Type};
use crate::figures::{Kind, Mark, Run, Summary};
use crate::words::{counted, finding, latency, lost_by_kind, printable, short, verdict};

const WIDTH: f64 = 1600.0;
const LEFT: f64 = 290.0;
const RIGHT: f64 = 1564.0;
const LANE: f64 = 27.0;
const TEXT: f64 = 17.0;

/// The panel of the run at `index`. `id` is unique in the page.
pub(crate) fn panel(scene: &Scene, index: usize, run: &Run, id: &str) -> String {
    let axes = &scene.axes;
    let Some(series) = scene.series.get(index) else { return String::new() };
    let summary = Summary::of(run);
    let verdict = verdict(run, &summary);
    let lanes = axes.marks.len();

    // From the top down.
    let mut y = 104.0;
    let mut next = |height: f64, gap: f64| {
        let area = Area::new(LEFT, y, RIGHT - LEFT, height);
        y += height + gap;
        area
    };
    let names = next(26.0, 0.0);
    let marks = next(super::real_usize(lanes) * LANE, 6.0);
    let legend = next(28.0, 4.0);
    let rates = next(280.0, 22.0);
    let losses = next(110.0, 8.0);
    let latency_legend = next(32.0, 4.0);
    let latencies = next(190.0, 0.0);
    let height = y + 66.0;

    let mut svg = Svg::new(id, WIDTH, height);
    paint::define(&mut svg);
    let title = format!("{}: {}", printable(&run.name), finding(run, &summary));
    head(&mut svg, run, &summary);

    let whole = Area::new(LEFT, names.top, RIGHT - LEFT, latencies.bottom() - names.top);
    plot::phases(&mut svg, axes, run, whole);
    plot::phase_names(&mut svg, axes, run, whole, names.top + 19.0, TEXT);
    paint::legend(&mut svg, &axes.kinds, (LEFT + 8.0, legend.top + 20.0), TEXT);
    let lost: Vec<Kind> = axes.kinds.iter().copied().filter(|kind| kind.is_lost()).collect();
    plot::latency_legend(&mut svg, &lost, (LEFT + 8.0, latency_legend.top + 23.0), TEXT);

    plot::rates(&mut svg, axes, series, rates, TEXT);
    plot::losses(&mut svg, axes, series, losses, TEXT);
    plot::latencies(&mut svg, axes, series, latencies, TEXT);
    for area in [rates, losses, latencies] {
        plot::mark_lines(&mut svg, axes, &run.marks, area);
    }
    plot::nothing_lost(&mut svg, verdict, losses);
    lanes_of(&mut svg, axes, &run.marks, marks);
    plot::time_axis(&mut svg, axes, latencies, TEXT, true);

    beside(&mut svg, rates, "answers", &["per second".to_owned(), counted(summary.requests, "request")]);
    let lost = match summary.lost() {
        0 => String::new(),
        lost => format!("{} in all", crate::words::count(lost)),
    };
    beside(&mut svg, losses, "lost", &["per second".to_owned(), lost]);
    let mut figures = vec![format!("of {}requests,", short([run])), "log scale".to_owned()];
    if let Some(all) = summary.latency {
        figures.push(format!("p50 {}", latency(all.p50)));
        figures.push(format!("p99 {}", latency(all.p99)));
        figures.push(format!("max {}", latency(all.max)));
    }
    beside(&mut svg, latencies, "latency", &figures);

    let all = Area::new(LEFT, rates.top, RIGHT - LEFT, latencies.bottom() - rates.top);
    plot::tooltips(&mut svg, axes, series, all);
    svg.finish(&title)
}

fn head(svg: &mut Svg, run: &Run, summary: &Summary) {
    paint::badge(svg, verdict(run, summary), (58.0, 48.0), 19.0);
    // A long name is cut, never what was found.
    let room = RIGHT - 92.0;
    let (name, found) = (printable(&run.name), format!(": {}", finding(run, summary)));
    let large = Type::of(30.0).bold();
    let look = if large.width(&name) + large.width(&found) <= room { large } else { Type::of(25.0).bold() };
    let name = look.fit(&name, room - look.width(&found));
    svg.text((92.0, 59.0), look, &look.fit(&format!("{name}{found}"), room));
    let mut says: Vec<String> = Vec::new();
    says.extend(Some(lost_by_kind(summary)).filter(|kinds| !kinds.is_empty()));
    if let Some(all) = summary.latency {
        let (p50, p99, max) = (latency(all.p50), latency(all.p99), latency(all.max));
        says.push(format!("{}answers: p50 {p50}, p99 {p99}, max {max}", short([run])));
    }
    if let Some(seconds) = summary.seconds_per_stop {
        says.push(format!("{}, {seconds:.1} s each", counted(run.stops.len() as u64, "stop")));
    }
    let look = Type::of(18.0).quiet();
    svg.text((92.0, 88.0), look, &look.fit(&says.join("  ·  "), RIGHT - 92.0));
}

/// What a plot shows, to its left.
fn beside(svg: &mut Svg, area: Area, title: &str, figures: &[String]) {
    svg.text((36.0, area.top + 18.0), Type::of(20.0).bold(), title);
    let mut y = area.top + 18.0;
    for figure in figures {
        y += TEXT * 1.42;
        let look = Type::of(TEXT).quiet();
        svg.text((36.0, y), look, &look.fit(figure, LEFT - 36.0 - 66.0));
    }
}

/// A lane for each kind of mark, so that no label meets another.
fn lanes_of(svg: &mut Svg, axes: &Axes, marks: &[Mark], area: Area) {
    let x = plot::time(axes, &area);
    for (lane, what) in axes.marks.iter().enumerate() {
        let y = area.top + (super::real_usize(lane) + 0.5) * LANE;
        svg.text((LEFT - 14.0, y + 6.0), Type::of(TEXT).end(), &format!("pod {}", paint::name(*what)));
        let mut own: Vec<(f64, &str)> = marks
            .iter()
            .filter(|mark| mark.what == *what)
            .map(|mark| (x.at(mark.at_ms / 1000.0), &*mark.whom))
            .collect();
        own.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut drawn = f64::NEG_INFINITY;
        for (place, (at, whom)) in own.iter().enumerate() {
            if at - drawn < 2.0 {
                continue; // it would lie on the one before
            }
            drawn = *at;
            svg.line((at.round(), y), (at.round(), area.bottom() + 6.0), paint::line(*what));
            paint::head(svg, *what, (at.round(), y));
            // Its name, where there is room before the next one.
            let next = own.get(place + 1).map_or(area.right() + 30.0, |(next, _)| next - 10.0);
            let (look, name) = (Type::of(15.0).quiet().halo(), printable(whom));
            if at + 12.0 + look.width(&name) < next {
                svg.text((at + 12.0, y + 5.5), look, &name);
            }
        }
    }
}
