//! The table that ends a rehearsal on the terminal: one row per contender.

use std::fmt::Write;

use crate::figures::{Kind, Rehearsal, Run, Summary};
use crate::words::{Choice, beginning, cautions, count, milliseconds, printable, setting, short};

/// Only where pods of our own are stopped: of a person's own command nobody knows.
const PER_STOP: &str = "s/stop";
/// No row is wider, as long as a name keeps some letters.
const WIDTH: usize = 118;
/// That many letters of a name are always shown.
const NAME: usize = 16;

/// The table, with a line for what needs care (limits, retries), each line ended. It is Markdown too, to be pasted.
pub(crate) fn table(rehearsal: &Rehearsal) -> String {
    let mut lines = rows(rehearsal);
    lines.push(String::new());
    lines.push(legend(rehearsal));
    if let Some(choice) = Choice::of(rehearsal) {
        lines.push(choice.sentence);
        lines.extend(choice.cautions.iter().map(|caution| format!("careful: {caution}")));
    }
    lines.extend(cautions(rehearsal).into_iter().map(|sentence| format!("careful: {sentence}")));
    lines.into_iter().map(|line| line + "\n").collect()
}

/// What the heads of the columns leave open.
pub(crate) fn legend(rehearsal: &Rehearsal) -> String {
    let mut legend = format!("Latency: of the {}requests that were answered.", short(&rehearsal.runs));
    if rehearsal.runs.iter().any(|run| !run.stops.is_empty()) {
        legend.push_str(" s/stop: from being told to stop to being gone, the mean.");
    }
    legend
}

/// A column: its head, and what it says of a run; none where no run needs it.
fn columns(summaries: &[Summary]) -> Vec<(&'static str, Vec<String>)> {
    let kind = |kind: Kind| summaries.iter().map(|summary| count(summary.count(kind))).collect::<Vec<_>>();
    let latency = |which: fn(&crate::figures::Latency) -> f64| {
        let figure =
            |summary: &Summary| summary.latency.as_ref().map_or("-".to_owned(), |all| milliseconds(which(all)));
        summaries.iter().map(figure).collect::<Vec<_>>()
    };
    let mut columns = vec![("requests", summaries.iter().map(|summary| count(summary.requests)).collect())];
    for each in Kind::ALL {
        let always = matches!(each, Kind::Answered | Kind::ServerError | Kind::Refused | Kind::CutOff);
        if always || summaries.iter().any(|summary| summary.count(each) > 0) {
            columns.push((each.name(), kind(each)));
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

/// What a row is called: the value in a sweep, else the contender.
pub(crate) fn row_names(rehearsal: &Rehearsal) -> (String, Vec<String>) {
    match &rehearsal.sweep {
        Some(sweep) => (printable(&sweep.setting), sweep.values.iter().map(|value| setting(*value)).collect()),
        None if rehearsal.verb == "run" => ("command".to_owned(), rehearsal.runs.iter().map(name).collect()),
        None => ("contender".to_owned(), rehearsal.runs.iter().map(name).collect()),
    }
}

fn name(run: &Run) -> String {
    printable(&run.name)
}

/// The heads and the rows, cell by cell.
pub(crate) fn cells(rehearsal: &Rehearsal) -> (Vec<String>, Vec<Vec<String>>) {
    let summaries: Vec<Summary> = rehearsal.runs.iter().map(Summary::of).collect();
    let columns = columns(&summaries);
    let (head, names) = row_names(rehearsal);
    let heads = [head].into_iter().chain(columns.iter().map(|(head, _)| (*head).to_owned())).collect();
    let row = |(index, name): (usize, String)| {
        let cells = columns.iter().filter_map(|(_, cells)| cells.get(index).cloned());
        [name].into_iter().chain(cells).collect()
    };
    (heads, names.into_iter().enumerate().map(row).collect())
}

fn rows(rehearsal: &Rehearsal) -> Vec<String> {
    let (heads, mut rows) = cells(rehearsal);
    let wide = |text: &str| text.chars().count();
    let widest = |rows: &[Vec<String>], column: usize| {
        rows.iter().chain([&heads]).filter_map(|row| row.get(column)).map(|cell| wide(cell)).max().unwrap_or(0)
    };
    let others: usize = (1..heads.len()).map(|column| widest(&rows, column) + 3).sum();
    for name in rows.iter_mut().filter_map(|row| row.first_mut()) {
        *name = beginning(name, WIDTH.saturating_sub(others + 4).max(NAME)).replace('|', "\\|");
    }
    let widths: Vec<usize> = (0..heads.len()).map(|column| widest(&rows, column)).collect();

    let line = |row: &[String]| {
        let mut line = String::from("|");
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match column {
                0 => write!(line, " {cell:<width$} |"),
                _ => write!(line, " {cell:>width$} |"),
            }; // a string takes all
        }
        line
    };
    let mut rule = String::from("|");
    for (column, width) in widths.iter().enumerate() {
        let _ = write!(rule, "-{}{}|", "-".repeat(*width), if column == 0 { "-" } else { ":" });
    }
    let rows: Vec<String> = rows.iter().map(|row| line(row)).collect();
    [line(&heads), rule].into_iter().chain(rows).collect()
}
