//! The load: sends the requests on time and records each.
//!
//! [`generator`] sends them at the pace that [`Load`] asks for and [`round_robin`] distributes them over the targets.
//! [`client`] carries one request to its verdict, over connections that [`connection`] makes and [`pool`] keeps; [`resolver`]
//! and [`tls`] serve them, and [`error`] says what went wrong. [`limits`] and [`monitor`] tell the generator's own limits from
//! the server's.

pub(crate) mod client;
mod connection;
mod deadline;
mod error;
mod generator;
pub(crate) mod limits;
mod monitor;
mod pool;
mod resolver;
mod round_robin;
mod tls;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use softstop::duration::show;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::format::counted;
use crate::progress::Counts;
use crate::rehearsal::Request;
use crate::target::{HttpVersion, Target};

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// So many requests a second, whether or not earlier ones were answered, with at most `in_flight` at once.
    Open { per_second: f64, in_flight: u32 },
    /// So many users, each of whom sends a request, waits for the answer and pauses.
    Closed { users: u32, pause: Duration },
}

impl Pace {
    /// As settings for the report, by name.
    pub(crate) fn settings(self) -> [(&'static str, String); 2] {
        match self {
            Self::Open { per_second, in_flight } => {
                [("rate", format!("{per_second} requests a second")), ("in flight at most", in_flight.to_string())]
            }
            Self::Closed { users, pause } => [("users", users.to_string()), ("pause", show(pause))],
        }
    }
}

/// The pace of a load and its bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadSettings {
    pub(crate) pace: Pace,
    /// A request without a whole answer after this time is lost.
    pub(crate) timeout: Duration,
    pub(crate) max_requests: u64,
    pub(crate) max_time: Duration,
}

/// What to send and where.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) targets: Vec<Target>,
    /// None: with TLS what is negotiated, and HTTP/1.1 without TLS.
    pub(crate) http: Option<HttpVersion>,
    pub(crate) settings: LoadSettings,
}

/// What a load recorded. The fields are those of [`crate::rehearsal::Run`].
#[derive(Clone, Debug, Default)]
pub(crate) struct LoadResult {
    pub(crate) requests: Vec<Request>,
    pub(crate) errors: BTreeMap<String, u64>,
    pub(crate) limits: Vec<String>,
    pub(crate) incomplete: Option<String>,
    pub(crate) generator_cores: f64,
}

impl Load {
    /// Sends requests from `began` on until `stop` becomes true, then waits for the outstanding answers. If it reaches one of
    /// its limits it ends early, and [`LoadResult::incomplete`] has the reason.
    pub(crate) async fn send(self, began: Instant, stop: watch::Receiver<bool>, counts: Arc<Counts>) -> LoadResult {
        generator::send(self, began, stop, counts).await
    }

    /// How it measures, in sentences.
    pub(crate) fn method(&self) -> Vec<String> {
        let pace = match self.settings.pace {
            Pace::Open { per_second, in_flight } => format!(
                "Open loop: {per_second} requests a second are sent at evenly spaced times, whether or not earlier ones were \
                 answered. Latency is measured from the time when a request was due, so a server that hangs shows in every request \
                 that was due meanwhile (no coordinated omission). At most {in_flight} are in flight at once; those beyond that \
                 are not sent, and are reported."
            ),
            Pace::Closed { users, pause } => format!(
                "Closed loop: {}, each of whom sends a request, waits for the whole answer and pauses for {}. While a server \
                 hangs its users wait and send nothing, so the hang weighs less in the percentiles than with --rate.{}",
                counted(users.into(), "user"),
                show(pause),
                match self.targets.as_slice() {
                    [_] => "",
                    _ => " Slow answers have users of their own, so that they delay no short request.",
                }
            ),
        };
        let connections = match self.settings.pace {
            Pace::Open { .. } => {
                "Half of the requests use kept-alive connections, the other half a new connection each"
            }
            Pace::Closed { users: 1, .. } => "The user has a kept-alive connection",
            Pace::Closed { .. } => {
                "Every other user has a kept-alive connection; the others open a new connection for each request"
            }
        };
        let connections = format!(
            "{connections}. Latency includes opening the connection, and ends with the last byte of the answer."
        );
        let rest = [
            "A request is answered if its answer has the expected status and is whole, with the expected hash if one is given. It \
             is lost if it is 5xx (a status of 500 or more that was not expected), refused (no connection, or TLS failed), cut \
             off (the connection or stream ended before the whole answer), a wrong answer (whole, but with another status or \
             body) or timed out.",
            "A request whose kept-alive connection ends before the first byte of its answer is sent again on a new connection, as \
             browsers do (RFC 9112, section 9.3.1). So is a request that an HTTP/2 server did not process by its own account \
             (GOAWAY, REFUSED_STREAM; RFC 9113, section 8.7). Such a request counts as retried, with the verdict of the second \
             attempt.",
            "A request that the generator could not send for want of descriptors, ports or places in flight is \"not sent\": \
             neither answered nor lost. The generator measures its own delays and CPU use.",
            "When the load ends, outstanding answers are awaited until their timeout, so every request has a verdict.",
        ];
        [pace, connections].into_iter().chain(rest.map(str::to_owned)).collect()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
