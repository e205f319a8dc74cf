//! `docs/servers.md`: the table of all rows, as seen.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use common::root;
use tempfile::TempDir;

use super::judge::{both, shown};
use super::row::{Part, Row};
use super::rows;
use super::run::{Observed, run_prints};

const PAGE: &str = "docs/servers.md";

const HEAD: &str = "\
# Real servers, in the forms in which people start them

Each row is a server and a form. It was stopped twice, by SIGTERM to PID 1: under tini, and under
`softstop --grace-period 30s -- COMMAND`, with no other setting.

    tests/servers/table            # makes this page again, on Debian, as root
    tests/servers/table nginx ..   # these rows only

With SIGTERM at T:

- **A**: three slow answers of 4 s, asked at T-0.5 s.
- **B**: three more, asked at T+2.5 s, while load balancers may still send.
- **short**: a client that keeps its connection and one that opens a new one each time ask every 0.3 s from T-1.5 s to T+3 s.

An answer counts only when the whole of it came. `A 1/3` means that one of three was lost. What says `long` in its name had A
only, of 6 s; in `kaslow` the slow question follows three short ones on its connection. *sent* is what softstop's log names;
*heard* is how many stop signals the server itself has counted. The exit code `none` means that after 45 s it had not exited, and
was killed. Up to two short ones more than with tini do not count as more: they are a matter of milliseconds.
";

const COLUMNS: [&str; 9] = [
    "row",
    "server",
    "command",
    "lost with tini",
    "lost with softstop",
    "exit code, tini / softstop",
    "seconds, tini / softstop",
    "sent",
    "remark",
];

/// Runs the rows of these names, or all, and writes the page anew, with the other lines as they were.
pub fn write(names: &str) {
    let names: Vec<&str> = names.split_whitespace().collect();
    let all = rows::all();
    let unknown: Vec<&&str> = names.iter().filter(|name| !all.iter().any(|row| row.name == **name)).collect();
    assert!(unknown.is_empty(), "no rows of these names: {unknown:?}");
    let lines = Mutex::new(written());
    thread::scope(|scope| {
        for row in all.iter().filter(|row| names.is_empty() || names.contains(&row.name.as_str())) {
            let (lines, all) = (&lines, &all);
            scope.spawn(move || {
                let line = line(row);
                // After each row: a run that is broken off leaves what it has seen.
                let mut lines = lines.lock().unwrap();
                lines.insert(row.name.clone(), line);
                put_down(all, &lines);
            });
        }
    });
    run_prints(&summary(&all, &lines.into_inner().unwrap()));
}

/// The lines of the page as it stands, by row.
fn written() -> BTreeMap<String, String> {
    let page = fs::read_to_string(root().join(PAGE)).unwrap_or_default();
    let lines = page.lines().filter(|line| line.starts_with("| "));
    lines.filter_map(|line| Some((line.split('|').nth(1)?.trim().to_owned(), line.to_owned()))).collect()
}

fn put_down(all: &[Row], lines: &BTreeMap<String, String>) {
    let columns = format!("| {} |\n|{}\n", COLUMNS.join(" | "), " --- |".repeat(COLUMNS.len()));
    let table: Vec<&str> = all.iter().filter_map(|row| lines.get(&row.name)).map(String::as_str).collect();
    let page = format!("{HEAD}\n{}\n\n{columns}{}\n", summary(all, lines), table.join("\n"));
    fs::write(root().join(PAGE), page).unwrap();
}

/// In how many rows what happened.
fn summary(all: &[Row], lines: &BTreeMap<String, String>) -> String {
    let seen: Vec<(&str, [BTreeMap<&str, usize>; 2])> = all
        .iter()
        .filter_map(|row| {
            let cells: Vec<&str> = lines.get(&row.name)?.split(" | ").collect();
            Some((row.name.as_str(), [lost_in(cells.get(3)?)?, lost_in(cells.get(4)?)?]))
        })
        .collect();
    let lost = |who: usize| seen.iter().filter(|(_, both)| both[who].values().any(|&lost| lost > 0)).count();
    let is_worse = |[tini, softstop]: &[BTreeMap<&str, usize>; 2]| {
        // Two short answers more or less are a matter of milliseconds.
        softstop
            .iter()
            .any(|(part, &lost)| lost > tini.get(part).copied().unwrap_or(0) + if *part == "short" { 2 } else { 0 })
    };
    let worse: Vec<&str> = seen.iter().filter(|(_, both)| is_worse(both)).map(|&(name, _)| name).collect();
    format!(
        "Something was asked for in {} rows. tini lost something in {} of them, softstop in {}. softstop lost more than tini of A, of B or of the short ones in {}{}{}.",
        seen.len(),
        lost(0),
        lost(1),
        worse.len(),
        if worse.is_empty() { "" } else { ": " },
        worse.join(", ")
    )
}

/// How many were lost, by part: `A 1/3, B 0/3`.
fn lost_in(cell: &str) -> Option<BTreeMap<&str, usize>> {
    cell.split(", ")
        .map(|count| {
            let (part, counts) = count.trim().split_once(' ')?;
            Some((part, counts.split_once('/')?.0.parse().ok()?))
        })
        .collect()
}

fn line(row: &Row) -> String {
    if let Some(missing) = row.missing() {
        run_prints(&format!("*** {}: {missing} is missing", row.name));
        return cells(row, &["", "", "", "", "", &format!("not tried: {missing} is missing")]);
    }
    let [tini, softstop] = both(row);
    for (init, seen) in [("tini", &tini), ("softstop", &softstop)] {
        run_prints(&match seen {
            Ok(seen) => format!("{:<26} {init:<8} {}", row.name, shown(seen)),
            Err(why) => format!("{:<26} {init:<8} {why}", row.name),
        });
    }
    if let Ok(seen) = &softstop {
        run_prints(&format!("    {}", [seen.how(), seen.log.clone()].concat().join("\n    ")));
    }
    let pair = |of: fn(&Observed) -> String| {
        [&tini, &softstop].map(|seen| seen.as_ref().map_or_else(|_| "-".to_owned(), of)).join(" / ")
    };
    let lost = |seen: &Result<Observed, String>| seen.as_ref().map_or_else(|_| "did not start".to_owned(), counts);
    let sent = softstop.as_ref().map(|seen| {
        let sent: Vec<String> = seen.sent.iter().map(|(signal, receiver)| format!("{signal} to {receiver}")).collect();
        let profile = seen.profile.as_ref().map(|name| format!("profile {name}: ")).unwrap_or_default();
        profile + &sent.join(", ") + &seen.counted.map(|times| format!(" (heard {times}x)")).unwrap_or_default()
    });
    let mut remarks: Vec<String> = Vec::new();
    remarks.extend([row.remark].iter().filter(|remark| !remark.is_empty()).map(|&remark| remark.to_owned()));
    if let Ok(seen) = &softstop {
        let mut reasons: Vec<&str> =
            row.expected.may_lose.iter().filter(|(part, _)| seen.lost(*part) > 0).map(|&(_, why)| why).collect();
        reasons.dedup();
        remarks.extend(reasons.into_iter().map(str::to_owned));
        if seen.code.is_none() {
            remarks.push("had not ended after 45 s".to_owned());
        }
    }
    cells(
        row,
        &[
            &lost(&tini),
            &lost(&softstop),
            &pair(|seen| seen.code.map_or("none".to_owned(), |code| code.to_string())),
            &pair(|seen| format!("{:.2}", seen.seconds)),
            &sent.unwrap_or_default(),
            &remarks.join("; "),
        ],
    )
}

fn counts(seen: &Observed) -> String {
    let count =
        |part: Part| seen.counts.get(&part).map(|count| format!("{} {}/{}", part.name(), count.lost, count.asked));
    Part::ALL.into_iter().filter_map(count).collect::<Vec<_>>().join(", ")
}

fn cells(row: &Row, rest: &[&str]) -> String {
    let server = [row.server.to_owned(), version(row)].join(" ");
    let command = format!("`{}`", row.shown());
    let cells = [&[row.name.as_str(), server.trim(), &command], rest].concat();
    let escaped: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |", escaped.join(" | "))
}

/// The first number with a point in it that the version's command prints.
fn version(row: &Row) -> String {
    let directory = TempDir::new().unwrap();
    let mut command = Command::new("env");
    command.args(row.words_of_environment(directory.path()));
    command.args(["sh", "-c", &super::row::filled(row.version, directory.path())]).stdin(Stdio::null());
    let said = String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned();
    let words = said.split(|c: char| !(c.is_ascii_digit() || c == '.')).map(|word| word.trim_matches('.'));
    words.filter(|word| word.contains('.')).map(str::to_owned).next().unwrap_or_default()
}
