//! All panels in one picture, under the same axes.

use super::paint;
use super::plot;
use super::series::Scene;
use super::svg::{Area, Svg, Type};
use crate::figures::{Kind, Rehearsal, Run, Summary};
use crate::table::row_names;
use crate::words::{Verdict, count, counted, headline, latency, lost_by_kind, sent, short, verdict};

const WIDTH: f64 = 1600.0;
/// The words, the answers, the latency: where each begins and ends.
const WORDS: (f64, f64) = (36.0, 372.0);
const ANSWERS: (f64, f64) = (446.0, 1030.0);
const LATENCY: (f64, f64) = (1118.0, 1564.0);
const TEXT: f64 = 16.0;

pub(crate) fn overview(rehearsal: &Rehearsal, scene: &Scene, id: &str) -> String {
    let runs = rehearsal.runs.len();
    let row = match runs {
        0..=5 => 192.0,
        6..=8 => 164.0,
        _ => 144.0,
    };
    let look = Type::of(34.0).bold();
    let title = look.wrap(&headline(rehearsal), WIDTH - 72.0, 2);
    let mut y = 20.0;
    let lines: Vec<(f64, &String)> = title.iter().map(|line| (next(&mut y, 42.0), line)).collect();
    let kinds = next(&mut y, 40.0);
    let marks = if scene.axes.marks.is_empty() { y } else { next(&mut y, 30.0) };
    let heads = next(&mut y, 40.0);
    let first = y + 38.0;
    let height = first + super::real_usize(runs) * row + 40.0;

    let mut svg = Svg::new(id, WIDTH, height);
    paint::define(&mut svg);
    for (y, line) in lines {
        svg.text((36.0, y), look, line);
    }
    paint::legend(&mut svg, &scene.axes.kinds, (36.0, kinds), TEXT);
    if !scene.axes.marks.is_empty() {
        let x = paint::mark_legend(&mut svg, &scene.axes.marks, (36.0, marks), TEXT);
        svg.rect(Area::new(x, marks - 13.0, 24.0, 16.0), r##"fill="#f1efe6" stroke="#b5b09a""##);
        svg.text((x + 31.0, marks), Type::of(TEXT), "during the update");
    }
    svg.text((ANSWERS.0, heads), Type::of(18.0).bold(), "answers per second; below, lost per second");
    let says = format!("latency of {}requests", short(&rehearsal.runs));
    svg.text((LATENCY.0, heads), Type::of(18.0).bold(), &says);
    let (_, names) = row_names(rehearsal);
    for (index, run) in rehearsal.runs.iter().enumerate() {
        let area = Area::new(0.0, first + super::real_usize(index) * row, WIDTH, row - 44.0);
        let name = match &rehearsal.sweep {
            Some(sweep) => format!("{}={}", sweep.setting, names.get(index).map_or("", String::as_str)),
            None => run.name.clone(),
        };
        one(&mut svg, scene, (index, run), &name, area, index + 1 == runs);
    }
    svg.finish(&headline(rehearsal))
}

/// The base line of a line so high, and on to the next.
fn next(y: &mut f64, height: f64) -> f64 {
    *y += height;
    *y
}

fn one(svg: &mut Svg, scene: &Scene, (index, run): (usize, &Run), name: &str, area: Area, last: bool) {
    let axes = &scene.axes;
    let Some(series) = scene.series.get(index) else { return };
    let summary = Summary::of(run);
    let verdict = verdict(run, &summary);
    words(svg, &summary, verdict, name, area);

    let column =
        |(left, right): (f64, f64), top: f64, height: f64| Area::new(left, area.top + top, right - left, height);
    let strip = (area.height * 0.24).max(26.0);
    let rates = column(ANSWERS, 0.0, area.height - strip - 12.0);
    let losses = column(ANSWERS, area.height - strip, strip);
    let latencies = column(LATENCY, 0.0, area.height);
    for whole in [column(ANSWERS, 0.0, area.height), latencies] {
        plot::phases(svg, axes, run, whole);
    }
    plot::rates(svg, axes, series, rates, 14.0);
    plot::losses(svg, axes, series, losses, 14.0);
    plot::latencies(svg, axes, series, latencies, 14.0);
    for whole in [rates, losses, latencies] {
        plot::mark_lines(svg, axes, &run.marks, whole);
    }
    plot::nothing_lost(svg, verdict, losses);
    plot::mark_heads(svg, axes, &run.marks, rates);
    if last {
        plot::time_axis(svg, axes, losses, 15.0, true);
        plot::time_axis(svg, axes, latencies, 15.0, true);
    }
    plot::tooltips(svg, axes, series, column(ANSWERS, 0.0, area.height));
    plot::tooltips(svg, axes, series, latencies);
}

fn words(svg: &mut Svg, summary: &Summary, verdict: Verdict, name: &str, area: Area) {
    let width = WORDS.1 - WORDS.0;
    let look = Type::of(20.0).bold();
    svg.text((WORDS.0, area.top + 16.0), look, &look.fit(name, width));
    paint::badge(svg, verdict, (WORDS.0 + 15.0, area.top + 46.0), 14.0);
    let says = match (verdict, summary.lost()) {
        (Verdict::Lost, lost) => format!("{} lost", count(lost)),
        (Verdict::NothingLost, _) => "nothing lost".to_owned(),
        (Verdict::Unclear, _) => "nothing can be said".to_owned(),
    };
    let size = if verdict == Verdict::Unclear { 21.0 } else { 27.0 };
    let look = Type::of(size).bold().colour(paint::verdict_colour(verdict));
    svg.text((WORDS.0 + 40.0, area.top + 56.0), look, &look.fit(&says, width - 40.0));
    let mut lines = vec![format!("of {}", counted(sent(summary), "request"))];
    lines.extend(Some(lost_by_kind(summary)).filter(|kinds| !kinds.is_empty()));
    if summary.count(Kind::NotSent) > 0 {
        lines.push(format!("{} not sent", count(summary.count(Kind::NotSent))));
    }
    if let Some(seconds) = summary.seconds_per_stop {
        lines.push(format!("{seconds:.1} s per stop"));
    }
    if let Some(all) = summary.latency {
        lines.push(format!("p50 {}, p99 {}", latency(all.p50), latency(all.p99)));
    }
    let look = Type::of(TEXT).quiet();
    let mut y = area.top + 80.0;
    for line in lines {
        if y > area.bottom() + 6.0 {
            break;
        }
        svg.text((WORDS.0, y), look, &look.fit(&line, width));
        y += TEXT * 1.35;
    }
}
