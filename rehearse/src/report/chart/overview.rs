//! All runs in one picture, with the same axes.

use super::palette;
use super::plot;
use super::series::ChartData;
use super::svg::{Area, Svg, TextStyle};
use crate::format::{count, counted, latency};
use crate::rehearsal::{Rehearsal, Run};
use crate::report::conclusion::{Conclusion, lost_by_verdict, short_if_slow_too};
use crate::report::headline::headline;
use crate::report::summary::Summary;
use crate::report::table::row_names;
use crate::verdict::Verdict;

const WIDTH: f64 = 1600.0;
/// The left and the right edge of each column: the text, the rates and the latency.
const TEXT_COLUMN: (f64, f64) = (36.0, 372.0);
const RATE_COLUMN: (f64, f64) = (446.0, 1030.0);
const LATENCY_COLUMN: (f64, f64) = (1118.0, 1564.0);
const TEXT_SIZE: f64 = 16.0;

pub(crate) fn overview(rehearsal: &Rehearsal, data: &ChartData, id: &str) -> String {
    let runs = rehearsal.runs.len();
    let row = match runs {
        0..=5 => 192.0,
        6..=8 => 164.0,
        _ => 144.0,
    };
    let style = TextStyle::of(34.0).bold();
    let title = style.wrap(&headline(rehearsal), WIDTH - 72.0, 2);
    let mut y = 20.0;
    let lines: Vec<(f64, &String)> = title.iter().map(|line| (next(&mut y, 42.0), line)).collect();
    let legend = next(&mut y, 40.0);
    let marks = if data.axes.marks.is_empty() { y } else { next(&mut y, 30.0) };
    let headings = next(&mut y, 40.0);
    let first = y + 38.0;
    let height = first + super::real_usize(runs) * row + 40.0;

    let mut svg = Svg::new(id, WIDTH, height);
    palette::define(&mut svg);
    for (y, line) in lines {
        svg.text((36.0, y), style, line);
    }
    palette::legend(&mut svg, &data.axes.verdicts, (36.0, legend), TEXT_SIZE);
    if !data.axes.marks.is_empty() {
        let x = palette::mark_legend(&mut svg, &data.axes.marks, (36.0, marks), TEXT_SIZE);
        svg.rect(Area::new(x, marks - 13.0, 24.0, 16.0), r##"fill="#f1efe6" stroke="#b5b09a""##);
        svg.text((x + 31.0, marks), TextStyle::of(TEXT_SIZE), "during the update");
    }
    svg.text((RATE_COLUMN.0, headings), TextStyle::of(18.0).bold(), "answers per second; below, lost per second");
    let heading = format!("latency of {}requests", short_if_slow_too(&rehearsal.runs));
    svg.text((LATENCY_COLUMN.0, headings), TextStyle::of(18.0).bold(), &heading);
    let (_, names) = row_names(rehearsal);
    for (index, run) in rehearsal.runs.iter().enumerate() {
        let area = Area::new(0.0, first + super::real_usize(index) * row, WIDTH, row - 44.0);
        let name = match &rehearsal.sweep {
            Some(sweep) => format!("{}={}", sweep.setting, names.get(index).map_or("", String::as_str)),
            None => run.name.clone(),
        };
        row_of(&mut svg, data, (index, run), &name, area, index + 1 == runs);
    }
    svg.finish(&headline(rehearsal))
}

/// Advances by the height of a line, and returns its baseline.
fn next(y: &mut f64, height: f64) -> f64 {
    *y += height;
    *y
}

fn row_of(svg: &mut Svg, data: &ChartData, (index, run): (usize, &Run), name: &str, area: Area, last: bool) {
    let axes = &data.axes;
    let Some(series) = data.series.get(index) else { return };
    let summary = Summary::of(run);
    let conclusion = Conclusion::of(run, &summary);
    text_column(svg, &summary, conclusion, name, area);

    let column =
        |(left, right): (f64, f64), top: f64, height: f64| Area::new(left, area.top + top, right - left, height);
    let strip = (area.height * 0.24).max(26.0);
    let rates = column(RATE_COLUMN, 0.0, area.height - strip - 12.0);
    let losses = column(RATE_COLUMN, area.height - strip, strip);
    let latencies = column(LATENCY_COLUMN, 0.0, area.height);
    for whole in [column(RATE_COLUMN, 0.0, area.height), latencies] {
        plot::phases(svg, axes, run, whole);
    }
    plot::rates(svg, axes, series, rates, 14.0);
    plot::losses(svg, axes, series, losses, 14.0);
    plot::latencies(svg, axes, series, latencies, 14.0);
    for whole in [rates, losses, latencies] {
        plot::mark_lines(svg, axes, &run.marks, whole);
    }
    plot::nothing_lost(svg, conclusion, losses);
    plot::mark_heads(svg, axes, &run.marks, rates);
    if last {
        plot::time_axis(svg, axes, losses, 15.0, true);
        plot::time_axis(svg, axes, latencies, 15.0, true);
    }
    plot::tooltips(svg, axes, series, column(RATE_COLUMN, 0.0, area.height));
    plot::tooltips(svg, axes, series, latencies);
}

fn text_column(svg: &mut Svg, summary: &Summary, conclusion: Conclusion, name: &str, area: Area) {
    let width = TEXT_COLUMN.1 - TEXT_COLUMN.0;
    let style = TextStyle::of(20.0).bold();
    svg.text((TEXT_COLUMN.0, area.top + 16.0), style, &style.fit(name, width));
    palette::badge(svg, conclusion, (TEXT_COLUMN.0 + 15.0, area.top + 46.0), 14.0);
    let found = match (conclusion, summary.lost()) {
        (Conclusion::Lost, lost) => format!("{} lost", count(lost)),
        (Conclusion::NothingLost, _) => "nothing lost".to_owned(),
        (Conclusion::Inconclusive, _) => "inconclusive".to_owned(),
    };
    let size = if conclusion == Conclusion::Inconclusive { 21.0 } else { 27.0 };
    let style = TextStyle::of(size).bold().colour(palette::conclusion_colour(conclusion));
    svg.text((TEXT_COLUMN.0 + 40.0, area.top + 56.0), style, &style.fit(&found, width - 40.0));
    let mut lines = vec![format!("of {}", counted(summary.sent(), "request"))];
    lines.extend(Some(lost_by_verdict(summary)).filter(|lost| !lost.is_empty()));
    if summary.count(Verdict::NotSent) > 0 {
        lines.push(format!("{} not sent", count(summary.count(Verdict::NotSent))));
    }
    if let Some(seconds) = summary.seconds_per_stop {
        lines.push(format!("{seconds:.1} s per stop"));
    }
    if let Some(all) = summary.latency {
        lines.push(format!("p50 {}, p99 {}", latency(all.p50), latency(all.p99)));
    }
    let style = TextStyle::of(TEXT_SIZE).quiet();
    let mut y = area.top + 80.0;
    for line in lines {
        if y > area.bottom() + 6.0 {
            break;
        }
        svg.text((TEXT_COLUMN.0, y), style, &style.fit(&line, width));
        y += TEXT_SIZE * 1.35;
    }
}
