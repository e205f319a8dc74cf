//! A run in numbers: how many requests had which verdict, the latencies, and how long a stop took.

use crate::rehearsal::Run;
use crate::verdict::{Verdict, VerdictCounts};

/// One row of the table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) requests: u64,
    counts: VerdictCounts,
    pub(crate) retried: u64,
    /// Of the short requests that were answered. None if there are none.
    pub(crate) latency: Option<Latency>,
    /// The mean duration of a stop.
    pub(crate) seconds_per_stop: Option<f64>,
}

/// In milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

/// With more than this percentage of the requests not sent, no conclusion is possible.
const MAX_PERCENT_NOT_SENT: u64 = 1;

impl Summary {
    pub(crate) fn of(run: &Run) -> Self {
        let mut counts = VerdictCounts::default();
        run.requests.iter().for_each(|request| counts.add(request.verdict));
        let short = run.requests.iter().filter(|request| request.verdict == Verdict::Answered && !request.slow);
        Self {
            requests: run.requests.len() as u64,
            counts,
            retried: run.requests.iter().filter(|request| request.retried).count() as u64,
            latency: Latency::of(short.map(|request| request.latency_ms).collect()),
            seconds_per_stop: mean(&run.stops.iter().map(|stop| stop.seconds).collect::<Vec<_>>()),
        }
    }

    pub(crate) fn count(&self, verdict: Verdict) -> u64 {
        self.counts.of(verdict)
    }

    pub(crate) fn lost(&self) -> u64 {
        Verdict::lost().map(|verdict| self.count(verdict)).sum()
    }

    /// How many requests were sent. Those that the generator itself could not send do not count.
    pub(crate) fn sent(&self) -> u64 {
        self.requests - self.count(Verdict::NotSent)
    }

    pub(crate) fn too_few_sent(&self) -> bool {
        self.count(Verdict::NotSent) * 100 > self.requests * MAX_PERCENT_NOT_SENT
    }
}

impl Latency {
    /// The percentiles by the nearest-rank method. None of no values.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let at = |percent: usize| values.get((values.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        Some(Self { p50: at(50)?, p99: at(99)?, max: at(100)? })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of stops")]
fn mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() { None } else { Some(values.iter().sum::<f64>() / values.len() as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let latency = Latency::of((1..=200).rev().map(f64::from).collect()).unwrap();
        assert_eq!(latency, Latency { p50: 100.0, p99: 198.0, max: 200.0 });
        assert_eq!(Latency::of(vec![7.0]), Some(Latency { p50: 7.0, p99: 7.0, max: 7.0 }));
        assert_eq!(Latency::of(Vec::new()), None);
    }
}
