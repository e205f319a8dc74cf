//! What a run has shown, and what a reader must know about its figures. The table, the page, the charts and the exit code all
//! use it.

use super::summary::Summary;
use crate::format::{count, counted, listed, printable};
use crate::rehearsal::{Rehearsal, Request, Run};
use crate::verdict::Verdict;

/// What a run has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conclusion {
    /// Every request that was sent was answered, and at most one in a hundred could not be sent.
    NothingLost,
    Lost,
    /// No loss was seen, but the measurement is incomplete.
    Inconclusive,
}

impl Conclusion {
    pub(crate) fn of(run: &Run, summary: &Summary) -> Self {
        if summary.lost() > 0 {
            Self::Lost
        } else if run.incomplete.is_some() || !met_the_update(run) || summary.too_few_sent() {
            Self::Inconclusive
        } else {
            Self::NothingLost
        }
    }
}

/// Whether any request was in flight during the update or was sent after it. If none was, the update could not lose any.
pub(crate) fn met_the_update(run: &Run) -> bool {
    let sent = |request: &&Request| request.verdict != Verdict::NotSent;
    run.requests.iter().filter(sent).any(|request| request.end_ms() >= run.update_began_ms)
}

/// `213 of 5,020 requests lost`, `none of 5,020 requests lost`
pub(crate) fn finding(run: &Run, summary: &Summary) -> String {
    let sent = summary.sent();
    let finding = match summary.lost() {
        _ if sent == 0 => "no request was sent".to_owned(),
        0 if sent == 1 => "the only request was answered".to_owned(),
        0 => format!("none of {} requests lost", count(sent)),
        lost => format!("{} of {} lost", count(lost), counted(sent, "request")),
    };
    let mut reservations = Vec::new();
    if sent > 0 && summary.count(Verdict::NotSent) > 0 {
        reservations.push(format!("{} could not be sent", count(summary.count(Verdict::NotSent))));
    }
    if run.incomplete.is_some() {
        reservations.push("the measurement is incomplete".to_owned());
    } else if sent > 0 && !met_the_update(run) {
        reservations.push("none was in flight during the update".to_owned());
    }
    if reservations.is_empty() { finding } else { format!("{finding}, but {}", reservations.join(", and ")) }
}

/// `120 5xx, 60 refused`; empty if nothing was lost.
pub(crate) fn lost_by_verdict(summary: &Summary) -> String {
    let lost = Verdict::lost().filter(|verdict| summary.count(*verdict) > 0);
    lost.map(|verdict| format!("{} {}", count(summary.count(verdict)), verdict.name())).collect::<Vec<_>>().join(", ")
}

/// `short ` if there were slow requests too, which the latency figures leave out.
pub(crate) fn short_if_slow_too<'a>(runs: impl IntoIterator<Item = &'a Run>) -> &'static str {
    let has_slow = runs.into_iter().any(|run| run.requests.iter().any(|request| request.slow));
    if has_slow { "short " } else { "" }
}

/// What a reader must know about the figures. Each sentence comes once, with the names of the runs to which it applies.
pub(crate) fn cautions(rehearsal: &Rehearsal) -> Vec<String> {
    let mut found: Vec<(Vec<String>, String)> = Vec::new();
    for run in &rehearsal.runs {
        let mut sentences: Vec<String> = Vec::new();
        sentences.extend(run.incomplete.iter().map(|why| format!("incomplete measurement: {}", printable(why))));
        sentences.extend(run.limits.iter().map(|limit| printable(limit)));
        let retried = run.requests.iter().filter(|request| request.retried).count() as u64;
        if retried > 0 {
            let (were, each) = if retried == 1 { ("was", "it") } else { ("were", "each") };
            sentences.push(format!(
                "{} {were} sent again on a new connection after a kept-alive one had been closed, as browsers do; {each} counts once",
                counted(retried, "request")
            ));
        }
        for sentence in sentences {
            match found.iter_mut().find(|(_, earlier)| *earlier == sentence) {
                Some((names, _)) => names.push(printable(&run.name)),
                None => found.push((vec![printable(&run.name)], sentence)),
            }
        }
    }
    let all = rehearsal.runs.len();
    let prefix = |names: Vec<String>| match all {
        1 => String::new(),
        _ if names.len() == all => "all: ".to_owned(),
        _ => listed(&names) + ": ",
    };
    found.into_iter().map(|(names, sentence)| prefix(names) + &sentence).collect()
}
