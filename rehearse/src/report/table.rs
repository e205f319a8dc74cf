//! The table that ends a rehearsal on the terminal: one row per run.

use std::fmt::Write;

use super::conclusion::{cautions, short_if_slow_too};
use super::summary::{Latency, Summary};
use super::sweep_choice::SweepChoice;
use crate::format::{count, milliseconds, printable, setting_value, truncated};
use crate::rehearsal::{Rehearsal, Run};
use crate::verdict::Verdict;

/// The heading of the mean duration of a stop. It is known only for pods that this program stops itself.
const PER_STOP: &str = "s/stop";
/// The most letters in a row. To keep to it, names are shortened, but not below [`MIN_NAME`].
const WIDTH: usize = 118;
/// The letters of a name that are always shown.
const MIN_NAME: usize = 16;

/// The table, followed by a line for each caution. It is valid Markdown.
pub(crate) fn table(rehearsal: &Rehearsal) -> String {
    let mut lines = rows(rehearsal);
    lines.push(String::new());
    lines.push(legend(rehearsal));
    if let Some(choice) = SweepChoice::of(rehearsal) {
        lines.push(choice.sentence);
        lines.extend(choice.cautions.iter().map(|caution| format!("careful: {caution}")));
    }
    lines.extend(cautions(rehearsal).into_iter().map(|sentence| format!("careful: {sentence}")));
    lines.into_iter().map(|line| line + "\n").collect()
}

/// Explains the headings of the columns.
pub(crate) fn legend(rehearsal: &Rehearsal) -> String {
    let mut legend = format!("Latency: of the {}requests that were answered.", short_if_slow_too(&rehearsal.runs));
    if rehearsal.runs.iter().any(|run| !run.stops.is_empty()) {
        legend.push_str(" s/stop: the mean time from the request to stop until the pod has ended.");
    }
    legend
}

/// The columns, each with its heading and a cell for each run. A column that no run needs is left out.
fn columns(summaries: &[Summary]) -> Vec<(&'static str, Vec<String>)> {
    let counts = |verdict: Verdict| summaries.iter().map(|summary| count(summary.count(verdict))).collect::<Vec<_>>();
    let latency = |which: fn(&Latency) -> f64| {
        let figure =
            |summary: &Summary| summary.latency.as_ref().map_or("-".to_owned(), |all| milliseconds(which(all)));
        summaries.iter().map(figure).collect::<Vec<_>>()
    };
    let mut columns = vec![("requests", summaries.iter().map(|summary| count(summary.requests)).collect())];
    for verdict in Verdict::ALL {
        let always = matches!(verdict, Verdict::Answered | Verdict::ServerError | Verdict::Refused | Verdict::CutOff);
        if always || summaries.iter().any(|summary| summary.count(verdict) > 0) {
            columns.push((verdict.name(), counts(verdict)));
        }
    }
    if summaries.iter().any(|summary| summary.retried > 0) {
        columns.push(("retried", summaries.iter().map(|summary| count(summary.retried)).collect()));
    }
    columns.push(("p50 ms", latency(|all| all.p50)));
    columns.push(("p99 ms", latency(|all| all.p99)));
    columns.push(("max ms", latency(|all| all.max)));
    let stop = |summary: &Summary| summary.seconds_per_stop.map_or("-".to_owned(), |seconds| format!("{seconds:.1}"));
    if summaries.iter().any(|summary| summary.seconds_per_stop.is_some()) {
        columns.push((PER_STOP, summaries.iter().map(stop).collect()));
    }
    columns
}

/// The heading of the first column, and the name of each row: the value in a sweep, else the name of the run.
pub(crate) fn row_names(rehearsal: &Rehearsal) -> (String, Vec<String>) {
    match &rehearsal.sweep {
        Some(sweep) => (printable(&sweep.setting), sweep.values.iter().map(|value| setting_value(*value)).collect()),
        None if rehearsal.verb == "run" => ("command".to_owned(), rehearsal.runs.iter().map(name).collect()),
        None => ("contender".to_owned(), rehearsal.runs.iter().map(name).collect()),
    }
}

fn name(run: &Run) -> String {
    printable(&run.name)
}

/// The headings and the rows, cell by cell.
pub(crate) fn cells(rehearsal: &Rehearsal) -> (Vec<String>, Vec<Vec<String>>) {
    let summaries: Vec<Summary> = rehearsal.runs.iter().map(Summary::of).collect();
    let columns = columns(&summaries);
    let (heading, names) = row_names(rehearsal);
    let headings = [heading].into_iter().chain(columns.iter().map(|(heading, _)| (*heading).to_owned())).collect();
    let row = |(index, name): (usize, String)| {
        let cells = columns.iter().filter_map(|(_, cells)| cells.get(index).cloned());
        [name].into_iter().chain(cells).collect()
    };
    (headings, names.into_iter().enumerate().map(row).collect())
}

fn rows(rehearsal: &Rehearsal) -> Vec<String> {
    let (headings, mut rows) = cells(rehearsal);
    let letters = |text: &str| text.chars().count();
    let widest = |rows: &[Vec<String>], column: usize| {
        rows.iter().chain([&headings]).filter_map(|row| row.get(column)).map(|cell| letters(cell)).max().unwrap_or(0)
    };
    let others: usize = (1..headings.len()).map(|column| widest(&rows, column) + 3).sum();
    for name in rows.iter_mut().filter_map(|row| row.first_mut()) {
        *name = truncated(name, WIDTH.saturating_sub(others + 4).max(MIN_NAME)).replace('|', "\\|");
    }
    let widths: Vec<usize> = (0..headings.len()).map(|column| widest(&rows, column)).collect();

    let line = |row: &[String]| {
        let mut line = String::from("|");
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match column {
                0 => write!(line, " {cell:<width$} |"),
                _ => write!(line, " {cell:>width$} |"),
            }; // writing to a String cannot fail
        }
        line
    };
    let mut rule = String::from("|");
    for (column, width) in widths.iter().enumerate() {
        let _ = write!(rule, "-{}{}|", "-".repeat(*width), if column == 0 { "-" } else { ":" });
    }
    let rows: Vec<String> = rows.iter().map(|row| line(row)).collect();
    [line(&headings), rule].into_iter().chain(rows).collect()
}
