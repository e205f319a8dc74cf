//! The requests of a run as a series over time, and the axes that all runs of a rehearsal share.

use std::ops::RangeInclusive;

use super::scale::decades;
use crate::format::real;
use crate::rehearsal::{MarkKind, Rehearsal, Request, Run};
use crate::report::summary::Latency;
use crate::verdict::{Verdict, VerdictCounts};

/// The most spans of time for the longest run; more would show noise.
const MAX_SPANS: f64 = 80.0;

/// The requests that ended in a span of time.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    /// In seconds since the load began.
    pub(crate) from: f64,
    pub(crate) to: f64,
    counts: VerdictCounts,
    /// Of the short requests that were answered.
    pub(crate) latency: Option<Latency>,
}

impl Span {
    pub(crate) fn count(&self, verdict: Verdict) -> u64 {
        self.counts.of(verdict)
    }

    /// Divided by the length of this span, so that a shorter last span does not show as a dip.
    pub(crate) fn per_second(&self, verdict: Verdict) -> f64 {
        real(self.count(verdict)) / (self.to - self.from)
    }

    fn sum_per_second(&self, of: impl Fn(Verdict) -> bool) -> f64 {
        Verdict::ALL.into_iter().filter(|verdict| of(*verdict)).map(|verdict| self.per_second(verdict)).sum()
    }
}

/// A run over time.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) spans: Vec<Span>,
    /// The short requests that were lost: when, after how many milliseconds, and how.
    pub(crate) lost: Vec<(f64, f64, Verdict)>,
}

impl Series {
    /// Spans of `length` seconds.
    fn of(run: &Run, length: f64) -> Self {
        let load_ended = seconds(run.ended_ms);
        let end = run.requests.iter().map(end_of).fold(load_ended, f64::max);
        let edges = edges(load_ended, end, length);
        let mut spans: Vec<(Span, Vec<f64>)> = edges
            .iter()
            .zip(edges.iter().skip(1))
            .map(|(from, to)| {
                (Span { from: *from, to: *to, counts: VerdictCounts::default(), latency: None }, Vec::new())
            })
            .collect();
        let final_span = spans.len().saturating_sub(1);
        let mut lost = Vec::new();
        for request in &run.requests {
            let at = end_of(request);
            let place = edges.partition_point(|edge| *edge <= at).saturating_sub(1).min(final_span);
            let Some((span, latencies)) = spans.get_mut(place) else { continue };
            span.counts.add(request.verdict);
            match request.verdict {
                _ if request.slow => {}
                Verdict::Answered => latencies.push(request.latency_ms),
                verdict if verdict.is_lost() => lost.push((at, request.latency_ms, verdict)),
                _ => {}
            }
        }
        let spans =
            spans.into_iter().map(|(span, latencies)| Span { latency: Latency::of(latencies), ..span }).collect();
        Self { spans, lost }
    }
}

fn seconds(milliseconds: f64) -> f64 {
    if milliseconds.is_finite() { (milliseconds / 1000.0).max(0.0) } else { 0.0 }
}

fn end_of(request: &Request) -> f64 {
    seconds(request.end_ms())
}

/// The edges between spans of time. One edge is the end of the load, so that no span mixes the time under load with the time
/// after it. The span before that edge has 0.5 to 1.5 times the usual length.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the length is a part of the end")]
fn edges(load_ended: f64, end: f64, length: f64) -> Vec<f64> {
    let steps = |within: f64| (within / length).floor().min(10_000.0) as u32;
    let whole = steps(load_ended);
    let mut edges: Vec<f64> = (0..=whole).map(|step| f64::from(step) * length).collect();
    let left = load_ended - f64::from(whole) * length;
    if left > 0.0 {
        if left < length / 2.0 && whole > 0 {
            edges.pop();
        }
        edges.push(load_ended);
    }
    let beyond = steps((end - load_ended).max(0.0) + length * 0.999);
    edges.extend((1..=beyond).map(|step| load_ended + f64::from(step) * length));
    edges
}

/// The length of a span for a chart of so many seconds.
fn span_length(end: f64) -> f64 {
    const LENGTHS: [f64; 13] = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0];
    LENGTHS.into_iter().find(|length| end / length <= MAX_SPANS).unwrap_or(end / MAX_SPANS)
}

/// The axes that all panels of a rehearsal share, so that they can be compared.
#[derive(Debug)]
pub(crate) struct Axes {
    /// In seconds.
    pub(crate) end: f64,
    /// The most answers and losses in a second.
    pub(crate) rate: f64,
    /// The most losses in a second; 0 if no run lost anything.
    pub(crate) lost: f64,
    /// Milliseconds, as powers of ten.
    pub(crate) latency: RangeInclusive<i32>,
    /// The verdicts that occur in any run.
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) marks: Vec<MarkKind>,
}

/// The series of all runs of a rehearsal, and their axes.
#[derive(Debug)]
pub(crate) struct ChartData {
    pub(crate) axes: Axes,
    /// In the order of the runs.
    pub(crate) series: Vec<Series>,
}

impl ChartData {
    pub(crate) fn of(rehearsal: &Rehearsal) -> Self {
        let requests = || rehearsal.runs.iter().flat_map(|run| &run.requests);
        let marked = rehearsal.runs.iter().flat_map(|run| &run.marks).map(|mark| seconds(mark.at_ms));
        let ended = rehearsal.runs.iter().map(|run| seconds(run.ended_ms.max(run.update_ended_ms)));
        let ends = ended.chain(requests().map(end_of)).chain(marked);
        let end = ends.fold(1.0, f64::max);
        let length = span_length(end);
        let series: Vec<Series> = rehearsal.runs.iter().map(|run| Series::of(run, length)).collect();

        let spans = || series.iter().flat_map(|series| &series.spans);
        let most = |of: fn(Verdict) -> bool| spans().map(|span| span.sum_per_second(of)).fold(0.0, f64::max);
        let latencies = || spans().filter_map(|span| span.latency);
        let waits = || series.iter().flat_map(|series| &series.lost).map(|(_, wait, _)| *wait);
        let least = latencies().map(|latency| latency.p50).fold(f64::INFINITY, f64::min);
        let least = if least.is_finite() { least } else { waits().fold(1.0, f64::min) };
        let slowest = latencies().map(|latency| latency.max).chain(waits()).fold(least, f64::max);
        let marks = [MarkKind::Added, MarkKind::Stop, MarkKind::Removed, MarkKind::Gone];
        let has = |kind: MarkKind| rehearsal.runs.iter().any(|run| run.marks.iter().any(|mark| mark.kind == kind));
        let axes = Axes {
            end: spans().map(|span| span.to).fold(end, f64::max),
            rate: most(|_| true).max(1.0),
            lost: most(Verdict::is_lost),
            latency: decades(least, slowest),
            verdicts: Verdict::ALL
                .into_iter()
                .filter(|verdict| requests().any(|request| request.verdict == *verdict))
                .collect(),
            marks: marks.into_iter().filter(|kind| has(*kind)).collect(),
        };
        Self { axes, series }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_load_is_an_edge_and_no_span_is_tiny() {
        assert_eq!(edges(2.0, 2.0, 1.0), [0.0, 1.0, 2.0]);
        assert_eq!(edges(2.3, 2.3, 1.0), [0.0, 1.0, 2.3]);
        assert_eq!(edges(2.7, 2.7, 1.0), [0.0, 1.0, 2.0, 2.7]);
        assert_eq!(edges(2.7, 4.0, 1.0), [0.0, 1.0, 2.0, 2.7, 3.7, 4.7]);
        assert_eq!(edges(0.3, 0.3, 1.0), [0.0, 0.3]);
        assert_eq!(edges(0.0, 0.5, 1.0), [0.0, 1.0]);
    }

    #[test]
    fn a_steady_rate_is_level_to_the_end() {
        let request = |number: u32| Request {
            due_ms: f64::from(number) * 10.0,
            latency_ms: 1.0,
            verdict: Verdict::Answered,
            status: 200,
            slow: false,
            fresh: false,
            retried: false,
        };
        let run = Run {
            name: "level".into(),
            command: String::new(),
            update_began_ms: 0.0,
            update_ended_ms: 0.0,
            ended_ms: 7330.0,
            marks: Vec::new(),
            stops: Vec::new(),
            log_findings: Vec::new(),
            errors: std::collections::BTreeMap::new(),
            limits: Vec::new(),
            incomplete: None,
            generator_cores: 0.0,
            requests: (0..733).map(request).collect(),
        };
        let series = Series::of(&run, 1.0);
        assert_eq!(series.spans.len(), 7);
        for span in &series.spans {
            assert!((99.0..=101.0).contains(&span.per_second(Verdict::Answered)), "{span:?}");
        }
    }
}
