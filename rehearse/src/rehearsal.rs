//! What a rehearsal recorded, as plain data: the content of `rehearsal.json`.
//!
//! Nothing here reads a clock or a file, or talks to a server.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::verdict::Verdict;

/// The version of the format of `rehearsal.json`.
pub(crate) const FORMAT: u32 = 1;

/// A whole rehearsal: the content of `rehearsal.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rehearsal {
    /// [`FORMAT`].
    #[serde(rename = "form")]
    pub(crate) format: u32,
    pub(crate) softstop_version: String,
    /// RFC 3339, UTC.
    pub(crate) made_at: String,
    /// `local` or `run`.
    pub(crate) verb: String,
    /// The settings and the versions of the components, by name: `lag`, `rate`, `application`: `nginx/1.22.1` ...
    pub(crate) settings: BTreeMap<String, String>,
    /// How it was measured, in sentences.
    pub(crate) method: Vec<String>,
    pub(crate) runs: Vec<Run>,
    pub(crate) sweep: Option<Sweep>,
}

/// One update under load: of one contender, or by the command of `rehearse run`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// `nginx, bare`, `tini`, `softstop`, or the command line.
    pub(crate) name: String,
    /// What ran in each pod, or the command line.
    pub(crate) command: String,
    /// The begin of the update, in milliseconds since the load began.
    pub(crate) update_began_ms: f64,
    /// The end of the update.
    pub(crate) update_ended_ms: f64,
    /// The end of the load.
    pub(crate) ended_ms: f64,
    pub(crate) marks: Vec<Mark>,
    pub(crate) stops: Vec<Stop>,
    #[serde(rename = "telltales")]
    pub(crate) log_findings: Vec<LogFinding>,
    /// How often requests were lost, by the error message.
    pub(crate) errors: BTreeMap<String, u64>,
    /// The limits of the generator itself that it reached, in sentences. If there are any, the figures may be wrong.
    pub(crate) limits: Vec<String>,
    /// Why the measurement is incomplete, if it is.
    pub(crate) incomplete: Option<String>,
    /// The CPU time that the generator used, in cores.
    pub(crate) generator_cores: f64,
    pub(crate) requests: Vec<Request>,
}

/// One request. In JSON it is a row: `[due_ms, latency_ms, verdict, status, slow, fresh, retried]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "Row", from = "Row")]
pub(crate) struct Request {
    /// When it was to be sent, in milliseconds since the load began.
    pub(crate) due_ms: f64,
    /// From `due_ms` to the last byte of the answer, or to the loss.
    pub(crate) latency_ms: f64,
    pub(crate) verdict: Verdict,
    /// 0 if no status was received.
    pub(crate) status: u16,
    /// The server takes seconds to answer by design; latency figures leave such requests out.
    pub(crate) slow: bool,
    /// Sent on a new connection rather than on a kept-alive one.
    pub(crate) fresh: bool,
    /// A kept-alive connection was closed before any byte of an answer, and the request was sent once more on a new one, as
    /// browsers do (RFC 9112, section 9.3.1).
    pub(crate) retried: bool,
}

/// A [`Request`] in JSON.
type Row = (f64, f64, Verdict, u16, u8, u8, u8);

impl From<Request> for Row {
    fn from(request: Request) -> Self {
        let tenths = |value: f64| (value * 10.0).round() / 10.0;
        (
            tenths(request.due_ms),
            tenths(request.latency_ms),
            request.verdict,
            request.status,
            request.slow.into(),
            request.fresh.into(),
            request.retried.into(),
        )
    }
}

impl From<Row> for Request {
    fn from((due_ms, latency_ms, verdict, status, slow, fresh, retried): Row) -> Self {
        Self { due_ms, latency_ms, verdict, status, slow: slow != 0, fresh: fresh != 0, retried: retried != 0 }
    }
}

impl Request {
    /// When it was answered or lost.
    pub(crate) fn end_ms(&self) -> f64 {
        self.due_ms + self.latency_ms
    }
}

/// Something that happened to a pod: a vertical line in the charts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) at_ms: f64,
    #[serde(rename = "what")]
    pub(crate) kind: MarkKind,
    #[serde(rename = "whom")]
    pub(crate) pod: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MarkKind {
    /// The balancer began to send requests to a new pod.
    Added,
    /// The old pod was told to stop.
    Stop,
    /// The balancer no longer sends requests to the old pod.
    Removed,
    /// The old pod has ended.
    Gone,
}

/// How one pod stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stop {
    pub(crate) pod: String,
    /// From the request to stop until the pod had ended.
    pub(crate) seconds: f64,
    /// The exit code, if it is known.
    pub(crate) exit: Option<i32>,
    /// Whether the platform had to kill it at the end of the grace period.
    pub(crate) killed: bool,
}

/// Lines with one meaning in the logs of the servers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LogFinding {
    pub(crate) means: String,
    /// Whether it is a good sign or a bad one.
    pub(crate) good: bool,
    pub(crate) count: u64,
    /// The first such line.
    pub(crate) example: String,
    /// The log that holds it, relative to the directory of the report.
    pub(crate) log: String,
}

/// The values of one setting that a sweep tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sweep {
    /// `pre-delay`
    pub(crate) setting: String,
    /// The value of each of [`Rehearsal::runs`], in seconds, in the same order.
    pub(crate) values: Vec<f64>,
}
