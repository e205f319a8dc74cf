//! The load: sends the requests on time and keeps a record of each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cli::Http;
use crate::figures::Request;
use crate::progress::Counts;

/// What is asked, and which answer is right.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) uri: Uri,
    pub(crate) status: u16,
    /// None: any body that is whole.
    pub(crate) sha256: Option<[u8; 32]>,
    /// Its answer takes seconds by itself.
    pub(crate) slow: bool,
    /// Of all requests (or users) this many parts go here.
    pub(crate) share: u32,
}

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// So many a second, whatever becomes of the earlier ones; at most `in_flight` at once.
    Open { per_second: f64, in_flight: u32 },
    /// So many users, each of whom asks, waits for the answer and pauses.
    Closed { users: u32, pause: Duration },
}

/// A load.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) targets: Vec<Target>,
    pub(crate) pace: Pace,
    pub(crate) http: Option<Http>,
    pub(crate) timeout: Duration,
    pub(crate) max_requests: u64,
    pub(crate) max_time: Duration,
}

/// What a load saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) requests: Vec<Request>,
    /// As in [`crate::figures::Run`].
    pub(crate) errors: BTreeMap<String, u64>,
    pub(crate) limits: Vec<String>,
    pub(crate) incomplete: Option<String>,
    pub(crate) generator_cores: f64,
}

impl Load {
    /// Sends requests from `began` on until `stop` says true, then waits for the answers that are still due. It ends early
    /// at its bounds, and says so in [`Seen::incomplete`].
    pub(crate) async fn send(self, began: Instant, stop: watch::Receiver<bool>, counts: Arc<Counts>) -> Seen {
        let _ = (self, began, stop, counts);
        todo!()
    }
}
