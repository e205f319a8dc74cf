//! The whole rehearsal in one line.

use super::conclusion::{Conclusion, finding};
use super::summary::Summary;
use super::sweep_choice::SweepChoice;
use crate::format::{capitalized, count, counted, listed, printable, real, truncated};
use crate::rehearsal::{Rehearsal, Run};

/// The most letters of a name in the headline.
const HEADLINE_NAME: usize = 48;

/// The whole rehearsal in one line.
pub(crate) fn headline(rehearsal: &Rehearsal) -> String {
    if let Some(choice) = SweepChoice::of(rehearsal) {
        return capitalized(&choice.sentence);
    }
    let summed = rehearsal.runs.iter().map(|run| (run, Summary::of(run)));
    let each: Vec<_> = summed.map(|(run, summary)| (run, Conclusion::of(run, &summary), summary)).collect();
    let short_name = |run: &Run| truncated(&printable(&run.name), HEADLINE_NAME);
    let names = |which: Conclusion| -> Vec<String> {
        each.iter().filter(|(_, conclusion, _)| *conclusion == which).map(|(run, ..)| short_name(run)).collect()
    };
    let (clean, lost) = (names(Conclusion::NothingLost), names(Conclusion::Lost));
    let losers = each.iter().filter(|(_, conclusion, _)| *conclusion == Conclusion::Lost);
    let worst = losers.max_by(|(.., a), (.., b)| {
        let share = |summary: &Summary| real(summary.lost()) / real(summary.sent());
        share(a).total_cmp(&share(b))
    });
    match (each.as_slice(), worst) {
        ([], _) => "Nothing was measured".to_owned(),
        ([(run, _, summary)], _) => format!("{}: {}", short_name(run), finding(run, summary)),
        (_, None) if clean.is_empty() => "Inconclusive: no measurement is complete".to_owned(),
        (_, None) if clean.len() == each.len() => {
            let requests = each.iter().map(|(.., summary)| summary.requests).sum();
            format!("Nothing was lost: {} in {} updates", counted(requests, "request"), each.len())
        }
        (_, None) => format!("{} lost nothing; the other measurements are incomplete", some_of(&clean, each.len())),
        (_, Some((run, _, summary))) => {
            let worst = format!("{} lost {} of {}", short_name(run), count(summary.lost()), count(summary.sent()));
            match (clean.len(), lost.len()) {
                (0, 1) => format!("{worst} requests; the other measurements are incomplete"),
                (0, all) if all == each.len() => format!("All lost requests: {worst}, the most"),
                (0, _) => format!("{worst} requests, the most; some measurements are incomplete"),
                (_, 1) => format!("{} lost nothing; {worst} requests", some_of(&clean, each.len())),
                _ => format!("{} lost nothing; {worst} requests, the most", some_of(&clean, each.len())),
            }
        }
    }
}

/// Up to three names, else how many of how many.
fn some_of(names: &[String], of: usize) -> String {
    if names.len() <= 3 { listed(names) } else { format!("{} of {of}", names.len()) }
}
