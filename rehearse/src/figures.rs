//! All that a rehearsal saw, as plain figures: what the table, the charts and `rehearsal.json` are made from.
//!
//! Pure: nothing here asks a clock, a file or a server.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The form of `rehearsal.json`; another number is another form.
pub(crate) const FORM: u32 = 1;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// The right status and the whole body.
    #[serde(rename = "answered")]
    Answered,
    /// A status of 500 or more.
    #[serde(rename = "5xx")]
    ServerError,
    /// No connection could be made: refused, unreachable, or TLS failed.
    #[serde(rename = "refused")]
    Refused,
    /// There was a connection, and it ended before the whole answer had come.
    #[serde(rename = "cut off")]
    CutOff,
    /// A whole answer, but another status or body than expected.
    #[serde(rename = "wrong answer")]
    WrongAnswer,
    /// No whole answer in time.
    #[serde(rename = "timed out")]
    TimedOut,
    /// The generator itself could not send it: out of sockets, ports or its own bound. Nobody's loss, and no answer either.
    #[serde(rename = "not sent")]
    NotSent,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Answered,
        Self::ServerError,
        Self::Refused,
        Self::CutOff,
        Self::WrongAnswer,
        Self::TimedOut,
        Self::NotSent,
    ];

    /// Whether a client lost something by it.
    pub(crate) fn is_lost(self) -> bool {
        match self {
            Self::Answered | Self::NotSent => false,
            Self::ServerError | Self::Refused | Self::CutOff | Self::WrongAnswer | Self::TimedOut => true,
        }
    }

    /// As people read it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::ServerError => "5xx",
            Self::Refused => "refused",
            Self::CutOff => "cut off",
            Self::WrongAnswer => "wrong answer",
            Self::TimedOut => "timed out",
            Self::NotSent => "not sent",
        }
    }
}

/// One request. In JSON it is a row: `[due_ms, latency_ms, kind, status, slow, fresh, retried]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "Row", from = "Row")]
pub(crate) struct Request {
    /// When it was to be sent, in milliseconds since the load began.
    pub(crate) due_ms: f64,
    /// From then to the last byte of its answer, or to its loss.
    pub(crate) latency_ms: f64,
    pub(crate) kind: Kind,
    /// 0 where none came.
    pub(crate) status: u16,
    /// Its answer takes seconds by itself; such ones are left out of the latency figures.
    pub(crate) slow: bool,
    /// On a connection of its own, rather than a kept-alive one.
    pub(crate) fresh: bool,
    /// A kept-alive connection was closed before any byte of an answer, and it was sent once more on a new one, as browsers
    /// do (RFC 9112, section 9.3.1).
    pub(crate) retried: bool,
}

/// A [`Request`] as JSON has it.
type Row = (f64, f64, Kind, u16, u8, u8, u8);

impl From<Request> for Row {
    fn from(request: Request) -> Self {
        let tenths = |value: f64| (value * 10.0).round() / 10.0;
        (
            tenths(request.due_ms),
            tenths(request.latency_ms),
            request.kind,
            request.status,
            request.slow.into(),
            request.fresh.into(),
            request.retried.into(),
        )
    }
}

impl From<Row> for Request {
    fn from((due_ms, latency_ms, kind, status, slow, fresh, retried): Row) -> Self {
        Self { due_ms, latency_ms, kind, status, slow: slow != 0, fresh: fresh != 0, retried: retried != 0 }
    }
}

impl Request {
    /// When it was answered, or lost.
    pub(crate) fn end_ms(&self) -> f64 {
        self.due_ms + self.latency_ms
    }
}

/// What happened to a pod, or to the command, at a moment: a line in the chart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) at_ms: f64,
    pub(crate) what: What,
    /// Which pod, or which command.
    pub(crate) whom: String,
}

/// What a [`Mark`] marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    /// The balancer began to send requests to a new pod.
    Added,
    /// The old pod was told to stop.
    Stop,
    /// The balancer no longer sends requests to the old pod.
    Removed,
    /// The old pod is gone.
    Gone,
}

/// How one pod stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stop {
    pub(crate) pod: String,
    /// From being told to being gone.
    pub(crate) seconds: f64,
    /// Its exit code, where one could be had.
    pub(crate) exit: Option<i32>,
    /// The platform had to kill it at the end of the grace period.
    pub(crate) killed: bool,
}

/// A tell-tale line that the servers' own logs hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Telltale {
    /// What it says, in words for people.
    pub(crate) means: String,
    /// A good end or a bad one.
    pub(crate) good: bool,
    pub(crate) count: u64,
    /// The first such line.
    pub(crate) example: String,
    /// Where it stands, beneath the report's directory.
    pub(crate) log: String,
}

/// One update under load: one contender, or the one command of `run`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// `nginx, bare`, `tini`, `softstop` or the command's own words.
    pub(crate) name: String,
    /// What was run in each pod, or the command.
    pub(crate) command: String,
    /// The update began, in milliseconds since the load began.
    pub(crate) update_began_ms: f64,
    /// It ended; what follows is "after".
    pub(crate) update_ended_ms: f64,
    /// The load ended.
    pub(crate) ended_ms: f64,
    pub(crate) marks: Vec<Mark>,
    pub(crate) stops: Vec<Stop>,
    pub(crate) telltales: Vec<Telltale>,
    /// What was lost, in the words of the failure, and how often.
    pub(crate) errors: BTreeMap<String, u64>,
    /// The generator's own limits that were met, in sentences; with any of these the figures need care.
    pub(crate) limits: Vec<String>,
    /// Why the measurement is not whole, where it is not.
    pub(crate) incomplete: Option<String>,
    /// The generator's use of the CPU, in cores.
    pub(crate) generator_cores: f64,
    pub(crate) requests: Vec<Request>,
}

/// The range of one setting, and the lost requests at each value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sweep {
    /// `pre-delay`
    pub(crate) setting: String,
    /// The value of each of [`Rehearsal::runs`], in seconds, in the same order.
    pub(crate) values: Vec<f64>,
}

/// All of it: `rehearsal.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rehearsal {
    /// [`FORM`].
    pub(crate) form: u32,
    pub(crate) softstop_version: String,
    /// RFC 3339, UTC.
    pub(crate) made_at: String,
    /// `local` or `run`.
    pub(crate) verb: String,
    /// What was set and what took part, by name: `lag`, `rate`, `application`: `nginx/1.22.1` ...
    pub(crate) settings: BTreeMap<String, String>,
    /// How it was measured, in sentences.
    pub(crate) method: Vec<String>,
    pub(crate) runs: Vec<Run>,
    pub(crate) sweep: Option<Sweep>,
}

/// A [`Run`] in numbers: one row of the table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) requests: u64,
    counts: [u64; Kind::ALL.len()],
    pub(crate) retried: u64,
    /// Of the answered short requests, in milliseconds; none without one.
    pub(crate) latency: Option<Latency>,
    /// The mean time of a stop, in seconds.
    pub(crate) seconds_per_stop: Option<f64>,
}

/// In milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Summary {
    pub(crate) fn of(run: &Run) -> Self {
        let mut counts = [0; Kind::ALL.len()];
        for request in &run.requests {
            for (count, kind) in counts.iter_mut().zip(Kind::ALL) {
                *count += u64::from(kind == request.kind);
            }
        }
        let short = run.requests.iter().filter(|request| request.kind == Kind::Answered && !request.slow);
        Self {
            requests: run.requests.len() as u64,
            counts,
            retried: run.requests.iter().filter(|request| request.retried).count() as u64,
            latency: Latency::of(short.map(|request| request.latency_ms).collect()),
            seconds_per_stop: mean(&run.stops.iter().map(|stop| stop.seconds).collect::<Vec<_>>()),
        }
    }

    pub(crate) fn count(&self, kind: Kind) -> u64 {
        Kind::ALL.iter().zip(self.counts).filter(|(each, _)| **each == kind).map(|(_, count)| count).sum()
    }

    pub(crate) fn lost(&self) -> u64 {
        Kind::ALL.iter().zip(self.counts).filter(|(kind, _)| kind.is_lost()).map(|(_, count)| count).sum()
    }
}

impl Latency {
    /// None of nothing. A percentile is the smallest value that so many hundredths of all do not exceed.
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
    fn a_percentile_is_a_value_that_was_seen() {
        let latency = Latency::of((1..=200).rev().map(f64::from).collect()).unwrap();
        assert_eq!(latency, Latency { p50: 100.0, p99: 198.0, max: 200.0 });
        assert_eq!(Latency::of(vec![7.0]), Some(Latency { p50: 7.0, p99: 7.0, max: 7.0 }));
        assert_eq!(Latency::of(Vec::new()), None);
    }
}
