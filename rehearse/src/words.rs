//! Figures as people read them, and what a run comes to in one sentence.

use crate::figures::{Kind, Rehearsal, Request, Run, Summary};

/// A count for a scale or a mean: exact up to 2^53, which no rehearsal reaches.
#[expect(clippy::cast_precision_loss, reason = "see above")]
pub(crate) fn real(count: u64) -> f64 {
    count as f64
}

/// `5,020`
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut words = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            words.push(',');
        }
        words.push(digit);
    }
    words
}

/// `1 request`, `5,020 requests`
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Milliseconds for a column of them: `0.4`, `12`, `3,104`.
pub(crate) fn milliseconds(value: f64) -> String {
    if value < 9.95 { format!("{value:.1}") } else { count(whole(value)) }
}

/// `0.4 ms`, `12 ms`, `3.1 s`, `15 s`
pub(crate) fn latency(milliseconds_: f64) -> String {
    if milliseconds_ < 999.5 {
        format!("{} ms", milliseconds(milliseconds_))
    } else if milliseconds_ < 9_950.0 {
        format!("{:.1} s", milliseconds_ / 1000.0)
    } else {
        format!("{} s", count(whole(milliseconds_ / 1000.0)))
    }
}

/// A value of a setting, as the command line takes it: `500ms`, `3s`.
pub(crate) fn setting(seconds: f64) -> String {
    let milliseconds = whole(seconds * 1000.0);
    if milliseconds % 1000 == 0 { format!("{}s", milliseconds / 1000) } else { format!("{milliseconds}ms") }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of a float saturates")]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// Text from elsewhere (a log line, a command) as it can stand in a report and on a terminal: what would control either is
/// replaced, by its picture where it has one.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            '\t' => ' ',
            '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(letter)).unwrap_or('\u{fffd}'),
            '\x7f' => '\u{2421}',
            // C1 controls, what reorders text, and what XML forbids.
            '\u{80}'..='\u{9f}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{fffe}'
            | '\u{ffff}' => '\u{fffd}',
            _ => letter,
        })
        .collect()
}

/// `short `, where there were slow requests too, which no latency figure counts.
pub(crate) fn short<'a>(runs: impl IntoIterator<Item = &'a Run>) -> &'static str {
    let has_slow = runs.into_iter().any(|run| run.requests.iter().any(|request| request.slow));
    if has_slow { "short " } else { "" }
}

/// The beginning of a text, with a sign where it was cut.
pub(crate) fn beginning(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    text.chars().take(letters.saturating_sub(1)).chain(['…']).collect()
}

/// Names in a row: `tini`, `tini and softstop`, `tini; nginx, bare; and softstop`.
pub(crate) fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [one, other] => format!("{one} and {other}"),
        [first @ .., last] => format!("{}; and {last}", first.join("; ")),
    }
}

/// What a run has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Every request that was sent was answered, and as good as all were sent.
    NothingLost,
    Lost,
    /// None was seen lost, but the measurement is not whole.
    Unclear,
}

/// How many were sent: the generator's own failures are nobody's loss.
pub(crate) fn sent(summary: &Summary) -> u64 {
    summary.requests - summary.count(Kind::NotSent)
}

/// With more of the requests not sent, in hundredths, nothing can be said.
const NOT_SENT: u64 = 1;

pub(crate) fn too_few_sent(summary: &Summary) -> bool {
    summary.count(Kind::NotSent) * 100 > summary.requests * NOT_SENT
}

/// Whether any request was under way while the update was, or after it: if none was, none could be lost to it.
pub(crate) fn met_the_update(run: &Run) -> bool {
    let sent = |request: &&Request| request.kind != Kind::NotSent;
    run.requests.iter().filter(sent).any(|request| request.end_ms() >= run.update_began_ms)
}

pub(crate) fn verdict(run: &Run, summary: &Summary) -> Verdict {
    if summary.lost() > 0 {
        Verdict::Lost
    } else if run.incomplete.is_some() || !met_the_update(run) || too_few_sent(summary) {
        Verdict::Unclear
    } else {
        Verdict::NothingLost
    }
}

/// `213 of 5,020 requests lost`, `none of 5,020 requests lost`
pub(crate) fn finding(run: &Run, summary: &Summary) -> String {
    let sent = sent(summary);
    let what = match summary.lost() {
        _ if sent == 0 => "no request was sent".to_owned(),
        0 if sent == 1 => "the one request was answered".to_owned(),
        0 => format!("none of {} requests lost", count(sent)),
        lost => format!("{} of {} lost", count(lost), counted(sent, "request")),
    };
    let mut care = Vec::new();
    if sent > 0 && summary.count(Kind::NotSent) > 0 {
        care.push(format!("{} could not be sent", count(summary.count(Kind::NotSent))));
    }
    if run.incomplete.is_some() {
        care.push("the measurement is not whole".to_owned());
    } else if sent > 0 && !met_the_update(run) {
        care.push("none met the update".to_owned());
    }
    if care.is_empty() { what } else { format!("{what}, but {}", care.join(", and ")) }
}

/// `120 5xx, 60 refused`; nothing where nothing was lost.
pub(crate) fn lost_by_kind(summary: &Summary) -> String {
    let kinds = Kind::ALL.into_iter().filter(|kind| kind.is_lost() && summary.count(*kind) > 0);
    kinds.map(|kind| format!("{} {}", count(summary.count(kind)), kind.name())).collect::<Vec<_>>().join(", ")
}

/// So much of a name stands in a headline.
const NAME: usize = 48;

/// The whole rehearsal in one line.
pub(crate) fn headline(rehearsal: &Rehearsal) -> String {
    if let Some(choice) = Choice::of(rehearsal) {
        return capital(&choice.sentence);
    }
    let summed = rehearsal.runs.iter().map(|run| (run, Summary::of(run)));
    let each: Vec<_> = summed.map(|(run, summary)| (run, verdict(run, &summary), summary)).collect();
    let short = |run: &Run| beginning(&printable(&run.name), NAME);
    let names = |which: Verdict| -> Vec<String> {
        each.iter().filter(|(_, verdict, _)| *verdict == which).map(|(run, ..)| short(run)).collect()
    };
    let (clean, lost) = (names(Verdict::NothingLost), names(Verdict::Lost));
    let worst = each.iter().filter(|(_, verdict, _)| *verdict == Verdict::Lost).max_by(|(.., a), (.., b)| {
        let share = |summary: &Summary| real(summary.lost()) / real(sent(summary));
        share(a).total_cmp(&share(b))
    });
    match (each.as_slice(), worst) {
        ([], _) => "Nothing was measured".to_owned(),
        ([(run, _, summary)], _) => format!("{}: {}", short(run), finding(run, summary)),
        (_, None) if clean.is_empty() => "Nothing can be said: no measurement is whole".to_owned(),
        (_, None) if clean.len() == each.len() => {
            let requests = each.iter().map(|(.., summary)| summary.requests).sum();
            format!("Nobody lost anything: {} in {} updates", counted(requests, "request"), each.len())
        }
        (_, None) => format!("{} lost nothing; the other measurements are not whole", who(&clean, each.len())),
        (_, Some((run, _, summary))) => {
            let worst = format!("{} lost {} of {}", short(run), count(summary.lost()), count(sent(summary)));
            match (clean.len(), lost.len()) {
                (0, 1) => format!("{worst} requests; the other measurements are not whole"),
                (0, all) if all == each.len() => format!("Everybody lost requests: {worst}, the most"),
                (0, _) => format!("{worst} requests, the most; not every measurement is whole"),
                (_, 1) => format!("{} lost nothing; {worst} requests", who(&clean, each.len())),
                _ => format!("{} lost nothing; {worst} requests, the most", who(&clean, each.len())),
            }
        }
    }
}

/// Up to three names, else how many of how many.
fn who(names: &[String], of: usize) -> String {
    if names.len() <= 3 { listed(names) } else { format!("{} of {of}", names.len()) }
}

fn capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// What needs care before anyone believes the figures, and of whom it is said; the same sentence once.
pub(crate) fn cautions(rehearsal: &Rehearsal) -> Vec<String> {
    let mut found: Vec<(Vec<String>, String)> = Vec::new();
    for run in &rehearsal.runs {
        let mut sentences: Vec<String> = Vec::new();
        sentences.extend(run.incomplete.iter().map(|why| format!("not a whole measurement: {}", printable(why))));
        sentences.extend(run.limits.iter().map(|limit| printable(limit)));
        let retried = run.requests.iter().filter(|request| request.retried).count() as u64;
        if retried > 0 {
            let (were, they) = if retried == 1 { ("was", "it counts") } else { ("were", "they count") };
            sentences.push(format!(
                "{} {were} sent once more on a new connection after a kept-alive one had been closed, as browsers do; {they} once",
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
    let whom = |names: Vec<String>| match all {
        1 => String::new(),
        _ if names.len() == all => "all: ".to_owned(),
        _ => listed(&names) + ": ",
    };
    found.into_iter().map(|(names, sentence)| whom(names) + &sentence).collect()
}

/// What a sweep says about the value to choose.
#[derive(Debug)]
pub(crate) struct Choice {
    /// The place of the chosen value among the runs.
    pub(crate) chosen: Option<usize>,
    /// `the smallest value that lost nothing: pre-delay=3s`
    pub(crate) sentence: String,
    pub(crate) cautions: Vec<String>,
}

impl Choice {
    /// None where there was no sweep.
    pub(crate) fn of(rehearsal: &Rehearsal) -> Option<Self> {
        let sweep = rehearsal.sweep.as_ref()?;
        let mut values: Vec<(usize, f64, Verdict, u64)> = sweep
            .values
            .iter()
            .zip(&rehearsal.runs)
            .enumerate()
            .map(|(index, (value, run))| {
                let summary = Summary::of(run);
                (index, *value, verdict(run, &summary), summary.lost())
            })
            .collect();
        values.sort_by(|a, b| a.1.total_cmp(&b.1));
        // The lag is the platform's doing and nobody's choice: what counts is how much of it is borne.
        let most = sweep.setting == "lag";
        let (extreme, beyond) = if most { ("largest", "smaller") } else { ("smallest", "larger") };
        if most {
            values.reverse();
        }
        let named = |value: f64| format!("{}={}", printable(&sweep.setting), setting(value));

        let mut cautions = Vec::new();
        let chosen = values.iter().position(|(_, _, verdict, _)| *verdict == Verdict::NothingLost);
        let sentence = if let Some((_, value, ..)) = chosen.and_then(|place| values.get(place)) {
            format!("the {extreme} value that lost nothing: {}", named(*value))
        } else {
            cautions.push(format!("widen the range: there is no {} to choose yet", printable(&sweep.setting)));
            let lost = values.iter().all(|(_, _, verdict, _)| *verdict == Verdict::Lost) && !values.is_empty();
            if lost { "every value lost requests" } else { "no value is known to have lost nothing" }.to_owned()
        };
        for (_, value, verdict, lost) in values.iter().skip(chosen.map_or(values.len(), |place| place + 1)) {
            if *verdict == Verdict::Lost {
                let (named, lost) = (named(*value), counted(*lost, "request"));
                cautions.push(format!("{named}, which is {beyond}, lost {lost}: repeat the sweep before you choose"));
            }
        }
        for (_, value, verdict, _) in &values {
            if *verdict == Verdict::Unclear {
                cautions.push(format!("{} says nothing: its measurement is not whole", named(*value)));
            }
        }
        Some(Self { chosen: chosen.and_then(|place| values.get(place)).map(|(index, ..)| *index), sentence, cautions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_as_people_read_them() {
        assert_eq!([0, 999, 1000, 5020, 1_234_567].map(count), ["0", "999", "1,000", "5,020", "1,234,567"]);
        assert_eq!([0.04, 9.94, 9.96, 3104.2].map(milliseconds), ["0.0", "9.9", "10", "3,104"]);
        assert_eq!([0.4, 12.0, 999.4, 3104.0, 15_000.0].map(latency), ["0.4 ms", "12 ms", "999 ms", "3.1 s", "15 s"]);
        assert_eq!([0.0, 3.0, 0.5, 1.5].map(setting), ["0s", "3s", "500ms", "1500ms"]);
    }

    #[test]
    fn what_would_control_a_terminal_or_break_xml_is_shown_instead() {
        assert_eq!(printable("a\x1b[31mb\0\r\n\u{85}\u{202e}\u{ffff}é✓"), "a␛[31mb␀␍␊\u{fffd}\u{fffd}\u{fffd}é✓");
    }
}
