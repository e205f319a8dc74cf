//! What the tests hold: the rows of a family, all at once.

use std::thread;

use common::have;

use super::row::{Part, Row};
use super::run::{Init, LIMIT, Observed, run};

/// A program that had nobody to wait for may end so much later under softstop, in seconds.
const AS_FAST: f64 = 0.5;

/// Runs these rows that are marked as held, and fails where one does not do what it shall.
#[track_caller]
pub fn hold(rows: Vec<Row>) {
    let rows: Vec<Row> = rows.into_iter().filter(|row| row.is_held && is_complete(row)).collect();
    let wrong: Vec<String> = thread::scope(|scope| {
        let runs: Vec<_> = rows.iter().map(|row| (row, scope.spawn(|| both(row)))).collect();
        runs.into_iter().filter_map(|(row, run)| judge(row, &run.join().unwrap())).collect()
    });
    assert!(wrong.is_empty(), "{} of {} rows:\n\n{}", wrong.len(), rows.len(), wrong.join("\n\n"));
}

/// Whether all that it needs is there, by the rules of `have`.
#[track_caller]
fn is_complete(row: &Row) -> bool {
    let lacking = ["unshare", "tini"].map(str::to_owned).into_iter().find(|program| common::in_path(program).is_none());
    let missing = lacking.or_else(|| row.missing());
    have(&format!("{} (for {})", missing.as_deref().unwrap_or("nothing"), row.name), missing.is_none())
        && have("root, who may make namespaces,", common::is_root())
}

/// Under tini and under softstop.
pub fn both(row: &Row) -> [Result<Observed, String>; 2] {
    thread::scope(|scope| {
        [Init::Tini, Init::Softstop].map(|init| scope.spawn(move || run(row, init))).map(|run| run.join().unwrap())
    })
}

/// What is wrong with a row, if anything is.
fn judge(row: &Row, [tini, softstop]: &[Result<Observed, String>; 2]) -> Option<String> {
    let mut wrong = Vec::new();
    match tini {
        Err(why) => wrong.push(format!("under tini: {why}")),
        Ok(seen) => {
            println!("{:<24} tini     {}", row.name, shown(seen));
            if seen.lost_at_all() == 0 && !row.expected.tini_keeps && !row.asks.is_empty() {
                wrong.push("the control lost nothing: the row proves nothing".to_owned());
            }
        }
    }
    match softstop {
        Err(why) => wrong.push(format!("under softstop: {why}")),
        Ok(seen) => {
            println!("{:<24} softstop {}", row.name, shown(seen));
            wrong.extend(wrong_with(row, seen));
            if let Ok(tini) = tini.as_ref() {
                if row.expected.no_slower_than_tini && seen.seconds > tini.seconds + AS_FAST {
                    wrong.push(format!("it took {:.2} s, and {:.2} s under tini", seen.seconds, tini.seconds));
                }
            }
            if !wrong.is_empty() {
                wrong.extend(seen.how());
                wrong.push(format!("softstop's log:\n{}", seen.log.join("\n")));
            }
        }
    }
    (!wrong.is_empty()).then(|| format!("{}: {}\n{}", row.name, row.shown(), wrong.join("\n")))
}

/// What of this is not as it shall be under softstop.
fn wrong_with(row: &Row, seen: &Observed) -> Vec<String> {
    let expected = &row.expected;
    let mut wrong = Vec::new();
    for part in Part::ALL {
        let may = expected.may_lose.iter().any(|&(may, _)| may == part);
        if seen.lost(part) > 0 && !may {
            wrong.push(format!("{} of {} were lost", part.name(), shown(seen)));
        }
    }
    match seen.code {
        None => wrong.push(format!("it had not ended after {LIMIT:?}")),
        Some(code) if code == i32::from(expected.code) => {}
        Some(code) => wrong.push(format!("its exit code is {code}, not {}", expected.code)),
    }
    let mut sent: Vec<(&str, &str)> =
        seen.sent.iter().map(|(signal, receiver)| (signal.as_str(), receiver.as_str())).collect();
    let mut wanted = expected.sent.clone();
    sent.sort_unstable();
    wanted.sort_unstable();
    if sent != wanted {
        wrong.push(format!("the log names {sent:?}, not {wanted:?}"));
    }
    if let (Some((file, part, times)), Some(counted)) = (expected.counted, seen.counted) {
        if counted != times {
            wrong.push(format!("{file} has {part:?} {counted} times, not {times}"));
        }
    }
    wrong
}

/// A run in a line.
pub fn shown(seen: &Observed) -> String {
    let counts: Vec<String> =
        seen.counts.iter().map(|(part, count)| format!("{} {}/{}", part.name(), count.lost, count.asked)).collect();
    let sent: Vec<String> = seen.sent.iter().map(|(signal, receiver)| format!("{signal} to {receiver}")).collect();
    let code = seen.code.map_or("none".to_owned(), |code| code.to_string());
    format!(
        "{:<30} code {code:<4} {:>6.2} s  {}{}",
        counts.join(", "),
        seen.seconds,
        sent.join(", "),
        seen.counted.map(|times| format!("  counted {times}")).unwrap_or_default()
    )
}
