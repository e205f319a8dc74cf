//! `rehearse compare`: two results side by side.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

use super::conclusion::{cautions, short_if_slow_too};
use super::json;
use super::summary::{Latency, Summary};
use crate::failure::Failure;
use crate::format::{count, milliseconds, printable, real};
use crate::rehearsal::{Rehearsal, Run};
use crate::verdict::Verdict;

/// A difference is significant if chance alone would produce it with a lower probability than this.
const SIGNIFICANCE: f64 = 0.01;

pub(crate) fn compare(file_a: &Path, file_b: &Path) -> Result<u8, Failure> {
    let (a, b) = (json::read(file_a)?, json::read(file_b)?);
    let text = comparison(&a, &b, file_a, file_b);
    // A closed pipe is no failure: the reader has read enough.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(0)
}

fn comparison(a: &Rehearsal, b: &Rehearsal, file_a: &Path, file_b: &Path) -> String {
    let mut lines = Vec::new();
    for (letter, file, rehearsal) in [("A", file_a, a), ("B", file_b, b)] {
        let Rehearsal { verb, made_at, softstop_version, .. } = rehearsal;
        let about = format!("{verb}, {made_at}, softstop {softstop_version}");
        lines.push(format!("{letter}: {} ({})", file.display(), printable(&about)));
    }
    lines.push(String::new());
    lines.extend(settings(a, b));

    let (pairs, unpaired) = pairs(a, b);
    for (of_a, of_b) in &pairs {
        lines.push(String::new());
        lines.extend(pair(of_a, of_b));
    }
    if pairs.is_empty() {
        lines.push(String::new());
        lines.push("No run of A has the name of a run of B: there is nothing to compare.".to_owned());
    } else {
        lines.push(String::new());
        lines.push(format!(
            "Latency: of the {}requests that were answered.",
            short_if_slow_too(a.runs.iter().chain(&b.runs))
        ));
        lines.push(
            "Fisher's exact test assumes independent requests, but requests are lost in bursts: repeat both before you"
                .to_owned(),
        );
        lines.push("believe a small difference.".to_owned());
    }
    if !unpaired.is_empty() {
        lines.push(String::new());
        lines.extend(unpaired);
    }
    let cautions: Vec<String> = [("A", a), ("B", b)]
        .into_iter()
        .flat_map(|(letter, rehearsal)| {
            cautions(rehearsal).into_iter().map(move |caution| format!("careful: {letter}: {caution}"))
        })
        .collect();
    if !cautions.is_empty() {
        lines.push(String::new());
        lines.extend(cautions);
    }
    lines.into_iter().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// The settings that differ. If there are several, it is unknown which of them made a difference.
fn settings(a: &Rehearsal, b: &Rehearsal) -> Vec<String> {
    let mut differ: Vec<(String, String, String)> = Vec::new();
    let mut compare = |name: &str, a: Option<&str>, b: Option<&str>| {
        let shown = |value: Option<&str>| value.map_or("(not set)".to_owned(), printable);
        if a != b {
            differ.push((printable(name), shown(a), shown(b)));
        }
    };
    compare("verb", Some(&a.verb), Some(&b.verb));
    compare("softstop's version", Some(&a.softstop_version), Some(&b.softstop_version));
    let names: BTreeSet<&String> = a.settings.keys().chain(b.settings.keys()).collect();
    for name in names {
        compare(name, a.settings.get(name).map(String::as_str), b.settings.get(name).map(String::as_str));
    }
    let mut lines = vec![match differ.len() {
        0 => "No setting differs: any difference below is chance, or was caused by something that was not recorded."
            .to_owned(),
        1 => "One thing differs:".to_owned(),
        more => format!("{more} things differ, so it is unknown which one made a difference. Change one at a time."),
    }];
    let width = differ.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
    lines.extend(differ.into_iter().map(|(name, a, b)| format!("  {name:<width$}  {a} -> {b}")));
    lines
}

/// The pairs of runs with the same name, or the only two runs; and a line for each run without a partner.
fn pairs<'a>(a: &'a Rehearsal, b: &'a Rehearsal) -> (Vec<(&'a Run, &'a Run)>, Vec<String>) {
    if let ([of_a], [of_b]) = (a.runs.as_slice(), b.runs.as_slice()) {
        return (vec![(of_a, of_b)], Vec::new());
    }
    let mut remaining: Vec<&Run> = b.runs.iter().collect();
    let (mut pairs, mut unpaired) = (Vec::new(), Vec::new());
    for run in &a.runs {
        match remaining.iter().position(|other| other.name == run.name) {
            Some(place) => pairs.push((run, remaining.remove(place))),
            None => unpaired.push(format!("Only in A: {}", printable(&run.name))),
        }
    }
    unpaired.extend(remaining.into_iter().map(|run| format!("Only in B: {}", printable(&run.name))));
    (pairs, unpaired)
}

fn pair(run_a: &Run, run_b: &Run) -> Vec<String> {
    let (a, b) = (Summary::of(run_a), Summary::of(run_b));
    let mut rows: Vec<[String; 4]> = vec![[String::new(), "A".into(), "B".into(), "difference".into()]];
    let mut counts = |name: &str, of_a: u64, of_b: u64| {
        let sign = if of_b < of_a { "-" } else { "+" };
        let difference = if of_a == of_b { "0".to_owned() } else { format!("{sign}{}", count(of_a.abs_diff(of_b))) };
        rows.push([name.to_owned(), count(of_a), count(of_b), difference]);
    };
    counts("requests", a.requests, b.requests);
    counts("lost", a.lost(), b.lost());
    for verdict in Verdict::ALL.into_iter().filter(|verdict| *verdict != Verdict::Answered) {
        if a.count(verdict) + b.count(verdict) > 0 {
            let name = if verdict.is_lost() { format!("  {}", verdict.name()) } else { verdict.name().to_owned() };
            counts(&name, a.count(verdict), b.count(verdict));
        }
    }
    let mut figures = |name: &str, of_a: Option<f64>, of_b: Option<f64>, show: fn(f64) -> String| {
        let difference = match (of_a, of_b) {
            (Some(a), Some(b)) if show(a) == show(b) => "0".to_owned(),
            (Some(a), Some(b)) => format!("{}{}", if b < a { "-" } else { "+" }, show((a - b).abs())),
            _ => "-".to_owned(),
        };
        let shown = |value: Option<f64>| value.map_or("-".to_owned(), show);
        rows.push([name.to_owned(), shown(of_a), shown(of_b), difference]);
    };
    for (name, which) in
        [("p50 ms", (|all| all.p50) as fn(Latency) -> f64), ("p99 ms", |all| all.p99), ("max ms", |all| all.max)]
    {
        figures(name, a.latency.map(which), b.latency.map(which), milliseconds);
    }
    if a.seconds_per_stop.or(b.seconds_per_stop).is_some() {
        figures("s per stop", a.seconds_per_stop, b.seconds_per_stop, |seconds| format!("{seconds:.1}"));
    }

    let name = if run_a.name == run_b.name {
        printable(&run_a.name)
    } else {
        format!("{} -> {}", printable(&run_a.name), printable(&run_b.name))
    };
    let mut lines = vec![name];
    if run_a.command != run_b.command {
        lines.push(format!("  A runs {}", printable(&run_a.command)));
        lines.push(format!("  B runs {}", printable(&run_b.command)));
    }
    lines.extend(aligned(&rows));
    lines.push(format!("  {}", significance(&a, &b)));
    lines
}

fn aligned(rows: &[[String; 4]]) -> Vec<String> {
    let widths: [usize; 4] = std::array::from_fn(|column| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    });
    let [first, second, third, fourth] = widths;
    rows.iter()
        .map(|[name, a, b, difference]| format!("  {name:<first$}  {a:>second$}  {b:>third$}  {difference:>fourth$}"))
        .collect()
}

/// Whether the lost requests differ by more than chance would explain.
fn significance(a: &Summary, b: &Summary) -> String {
    let (lost_a, sent_a, lost_b, sent_b) = (a.lost(), a.sent(), b.lost(), b.sent());
    if sent_a == 0 || sent_b == 0 {
        return "Inconclusive: A or B sent no request.".to_owned();
    }
    if lost_a + lost_b == 0 {
        return "Neither lost anything.".to_owned();
    }
    let share = |lost: u64, sent: u64| 100.0 * real(lost) / real(sent);
    let shares = format!("{:.2} % of A and {:.2} % of B", share(lost_a, sent_a), share(lost_b, sent_b));
    let p = fisher_p((lost_a, sent_a), (lost_b, sent_b));
    let test = if p < 0.0001 { "p < 0.0001".to_owned() } else { format!("p = {p:.4}") };
    if p < SIGNIFICANCE {
        let (better, worse) = if share(lost_b, sent_b) < share(lost_a, sent_a) { ("B", "A") } else { ("A", "B") };
        format!(
            "{better} lost less than {worse}, by more than chance would explain: {shares} (Fisher's exact test, {test})."
        )
    } else {
        format!("The difference in lost requests may be chance: {shares} (Fisher's exact test, {test}).")
    }
}

/// Fisher's exact test, two-sided: the probability, if A and B were alike, of a split of the lost requests that is at most as
/// likely as the observed one.
fn fisher_p((lost_a, sent_a): (u64, u64), (lost_b, sent_b): (u64, u64)) -> f64 {
    let lost = lost_a + lost_b;
    // ln n! for every n up to the number of requests. It takes no more memory than the requests themselves.
    let mut sum = 0.0;
    let logs: Vec<f64> = (0..=sent_a + sent_b)
        .map(|n| {
            sum += if n == 0 { 0.0 } else { real(n).ln() };
            sum
        })
        .collect();
    let log = |n: u64| usize::try_from(n).ok().and_then(|n| logs.get(n)).copied().unwrap_or(f64::INFINITY);
    let choose = |n: u64, k: u64| log(n) - log(k) - log(n - k);
    let log_probability =
        |in_a: u64| choose(sent_a, in_a) + choose(sent_b, lost - in_a) - choose(sent_a + sent_b, lost);
    let observed = log_probability(lost_a);
    // The tolerance makes a tie count as "at most as likely" despite rounding.
    let splits = lost.saturating_sub(sent_b)..=lost.min(sent_a);
    splits.map(log_probability).filter(|each| *each <= observed + 1e-7).map(f64::exp).sum::<f64>().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fishers_test_gives_known_values() {
        // Fisher's lady tasting tea, and a table for which R's fisher.test gives 0.002759 (two-sided).
        assert!((fisher_p((3, 4), (1, 4)) - 0.485_714).abs() < 1e-5);
        assert!((fisher_p((1, 12), (9, 12)) - 0.002_759).abs() < 1e-5);
        assert!((fisher_p((0, 5000), (0, 5000)) - 1.0).abs() < 1e-6);
        assert!(fisher_p((213, 5020), (0, 5013)) < 1e-50);
        assert!(fisher_p((3, 5020), (0, 5013)) > 0.1);
    }
}
