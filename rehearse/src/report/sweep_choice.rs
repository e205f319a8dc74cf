//! Which value of a sweep to choose.

use super::conclusion::Conclusion;
use super::summary::Summary;
use crate::format::{counted, printable, setting_value};
use crate::rehearsal::{Rehearsal, Sweep};

/// What a sweep says about the value to choose.
#[derive(Debug)]
pub(crate) struct SweepChoice {
    /// The index of the chosen value among the runs.
    pub(crate) chosen: Option<usize>,
    /// `the smallest value that lost nothing: pre-delay=3s`
    pub(crate) sentence: String,
    pub(crate) cautions: Vec<String>,
}

impl SweepChoice {
    /// None if there was no sweep.
    pub(crate) fn of(rehearsal: &Rehearsal) -> Option<Self> {
        let sweep = rehearsal.sweep.as_ref()?;
        let mut values: Vec<(usize, f64, Conclusion, u64)> = sweep
            .values
            .iter()
            .zip(&rehearsal.runs)
            .enumerate()
            .map(|(index, (value, run))| {
                let summary = Summary::of(run);
                (index, *value, Conclusion::of(run, &summary), summary.lost())
            })
            .collect();
        values.sort_by(|a, b| a.1.total_cmp(&b.1));
        let largest = wants_the_largest(sweep);
        let beyond = if largest { "smaller" } else { "larger" };
        if largest {
            values.reverse();
        }
        let named = |value: f64| format!("{}={}", printable(&sweep.setting), setting_value(value));

        let mut cautions = Vec::new();
        let chosen = values.iter().position(|(_, _, conclusion, _)| *conclusion == Conclusion::NothingLost);
        let sentence = if let Some((_, value, ..)) = chosen.and_then(|place| values.get(place)) {
            format!("the {} value that lost nothing: {}", extreme(sweep), named(*value))
        } else {
            cautions.push(format!("widen the range: there is no {} to choose yet", printable(&sweep.setting)));
            let all_lost = values.iter().all(|(_, _, conclusion, _)| *conclusion == Conclusion::Lost);
            let all_lost = all_lost && !values.is_empty();
            if all_lost { "every value lost requests" } else { "no value is known to have lost nothing" }.to_owned()
        };
        for (_, value, conclusion, lost) in values.iter().skip(chosen.map_or(values.len(), |place| place + 1)) {
            if *conclusion == Conclusion::Lost {
                let (named, lost) = (named(*value), counted(*lost, "request"));
                cautions.push(format!("{named}, which is {beyond}, lost {lost}: repeat the sweep before you choose"));
            }
        }
        for (_, value, conclusion, _) in &values {
            if *conclusion == Conclusion::Inconclusive {
                cautions.push(format!("{} is inconclusive: its measurement is incomplete", named(*value)));
            }
        }
        Some(Self { chosen: chosen.and_then(|place| values.get(place)).map(|(index, ..)| *index), sentence, cautions })
    }
}

/// A pre-delay is chosen as short as possible. The lag is a property of the platform, so the question is with how long a lag
/// softstop still loses nothing.
fn wants_the_largest(sweep: &Sweep) -> bool {
    sweep.setting == "lag"
}

/// `smallest` or `largest`: which of the values that lost nothing is chosen.
pub(crate) fn extreme(sweep: &Sweep) -> &'static str {
    if wants_the_largest(sweep) { "largest" } else { "smallest" }
}
