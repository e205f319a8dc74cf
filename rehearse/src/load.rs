//! The load: sends the requests on time and keeps a record of each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use hyper::Uri;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use crate::cli::{self, Http};
use crate::client::{Client, Kept, Outcome, later, locked};
use crate::figures::{Kind, Request};
use crate::limits::{self, Felt, Pulse, STALL, too_late};
use crate::progress::Counts;
use crate::words::counted;

/// Where nobody says how many users.
const USERS: u32 = 20;
/// Where nobody says how many arrivals may be in flight.
const IN_FLIGHT: u32 = 1000;
/// The HTTP/2 connections which the arrivals of an open loop share, before one carries two requests at once.
const SHARED: usize = 8;
/// How soon the thread that sends arrivals notices that it is over.
const LOOK: Duration = Duration::from_millis(20);
/// Why an arrival was not sent that found all places taken.
const FULL: &str = "the most requests that may be in flight at once";

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
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// So many a second, whatever becomes of the earlier ones; at most `in_flight` at once.
    Open { per_second: f64, in_flight: u32 },
    /// So many users, each of whom asks, waits for the answer and pauses.
    Closed { users: u32, pause: Duration },
}

impl From<&cli::Pace> for Pace {
    fn from(asked: &cli::Pace) -> Self {
        match asked.rate {
            Some(per_second) => Self::Open { per_second, in_flight: asked.concurrency.unwrap_or(IN_FLIGHT) },
            None => Self::Closed { users: asked.concurrency.unwrap_or(USERS), pause: asked.pause },
        }
    }
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
        limits::raise_descriptors();
        let clients = match Client::all(&self.targets, self.http) {
            Ok(clients) => clients,
            Err(why) => return Seen { incomplete: Some(format!("Nothing was sent: {why}.")), ..Seen::default() },
        };
        let sending =
            Arc::new(Sending { began, clients, counts, ledger: Mutex::default(), bound: OnceLock::new(), load: self });
        let pulse = Pulse::start();
        match sending.load.pace {
            Pace::Open { per_second, in_flight } => sending.clone().open(per_second, in_flight, stop).await,
            Pace::Closed { users, pause } => sending.clone().closed(users, pause, stop).await,
        }
        sending.seen(&pulse.stop())
    }

    /// How it measures, in sentences.
    pub(crate) fn method(&self) -> Vec<String> {
        let pace = match self.pace {
            Pace::Open { per_second, in_flight } => format!(
                "Open loop: {per_second} requests a second arrive at evenly spaced moments, whether or not earlier ones were \
                 answered. Latency counts from the moment a request was due, so a server that stands still is seen by all that \
                 arrive meanwhile (no coordinated omission). At most {in_flight} are in flight at once; what arrives beyond that \
                 is not sent, and reported."
            ),
            Pace::Closed { users, pause } => format!(
                "Closed loop: {}, each of whom asks, waits for the whole answer and pauses for {}. While a server \
                 stands still its users wait and ask nothing, so a stall weighs less in the percentiles than with --rate.{}",
                counted(users.into(), "user"),
                humantime::format_duration(pause),
                match self.targets.as_slice() {
                    [_] => "",
                    _ => " A user of slow answers asks for nothing else, so they hold up nobody.",
                }
            ),
        };
        let connections = match self.pace {
            Pace::Open { .. } => "Half of the requests are on kept-alive connections, half on a new connection each",
            Pace::Closed { users: 1, .. } => "The user has a kept-alive connection",
            Pace::Closed { .. } => {
                "Every other user has a kept-alive connection, the others open a new one for each request"
            }
        };
        let connections =
            format!("{connections}; latency includes the making of the connection and ends with the last byte.");
        let rest = [
            "Answered means: the expected status and the whole body, of the expected hash where one is given. Lost are: 5xx (a \
             status of 500 or more, where another was expected), refused (no connection, TLS included), cut off (the connection \
             or stream ended before the whole answer), wrong answer (whole, but another status or body) and timed out.",
            "A request whose kept-alive connection ends before a byte of its answer is sent once more on a new connection, as \
             browsers do (RFC 9112, section 9.3.1), and so is one that an HTTP/2 server says it did not process (GOAWAY, \
             REFUSED_STREAM; RFC 9113, section 8.7). Such a request counts as retried, and as what became of the second try.",
            "What the generator could not send for want of its own descriptors, ports or places in flight is \"not sent\": neither \
             answered nor lost. Its lateness and its use of the CPU are measured while it runs.",
            "When the load ends, the answers that are still due are waited for until their timeout: no request is without a record.",
        ];
        [pace, connections].into_iter().chain(rest.map(str::to_owned)).collect()
    }
}

/// A load that is under way.
#[derive(Debug)]
struct Sending {
    load: Load,
    began: Instant,
    /// One for each target.
    clients: Vec<Client>,
    counts: Arc<Counts>,
    ledger: Mutex<Ledger>,
    /// Which bound was reached.
    bound: OnceLock<String>,
}

/// What is written down of each request.
#[derive(Debug, Default)]
struct Ledger {
    /// How many were begun, and those that were never sent.
    begun: u64,
    requests: Vec<Request>,
    lost: BTreeMap<String, u64>,
    not_sent: BTreeMap<String, u64>,
    end_unknown: u64,
    /// When those ended that had no answer in time.
    timed_out: Vec<Instant>,
    /// By how much each arrival was sent late.
    late: Vec<Duration>,
}

impl Sending {
    /// Every user is a task of its own, so nobody waits for another's slow answer.
    async fn closed(self: Arc<Self>, users: u32, pause: Duration, stop: watch::Receiver<bool>) {
        let mut tasks = JoinSet::new();
        for (number, (target, fresh)) in (0_u32..).zip(users_of(&self.load.targets, users)) {
            // They come in one after the other, and not all at the same moment.
            let first = self.began + pause.mul_f64(f64::from(number) / f64::from(users));
            tasks.spawn(self.clone().user(target, fresh, first, pause, stop.clone()));
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn user(
        self: Arc<Self>,
        target: usize,
        fresh: bool,
        first: Instant,
        pause: Duration,
        mut stop: watch::Receiver<bool>,
    ) {
        let kept = (!fresh).then(|| Kept::new(1));
        let mut next = first;
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                () = sleep_until(next.min(self.latest())) => {}
            }
            let due = Instant::now();
            if !self.may_send(due) {
                return;
            }
            self.ask(target, due, kept.as_ref(), fresh).await;
            next = Instant::now() + pause;
        }
    }

    /// A thread of its own sends the arrivals: it depends on no answer, and not on the runtime's coarse clock.
    async fn open(self: Arc<Self>, per_second: f64, in_flight: u32, stop: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(in_flight as usize));
        let (arriving, runtime) = (self.clone(), Handle::current());
        let taken = places.clone();
        let arrived = spawn_blocking(move || arriving.arrivals(per_second, &taken, &stop, &runtime)).await;
        if let Err(error) = arrived {
            let _ = self.bound.set(format!("The generator failed: {error}."));
        }
        let _ = places.acquire_many(in_flight).await; // nobody closes it: every request has come to its end
    }

    fn arrivals(
        self: &Arc<Self>,
        per_second: f64,
        places: &Arc<Semaphore>,
        stop: &watch::Receiver<bool>,
        runtime: &Handle,
    ) {
        let turns = Turns::new(&self.load.targets);
        let kept: Arc<Vec<Kept>> = Arc::new(self.clients.iter().map(|_| Kept::new(SHARED)).collect());
        let mut ended = None;
        for (number, (target, fresh)) in (0_u64..).zip(turns) {
            #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
            let due = self.began + Duration::from_secs_f64(number as f64 / per_second);
            loop {
                let now = Instant::now();
                if ended.is_none() && (*stop.borrow() || stop.has_changed().is_err()) {
                    ended = Some(now);
                }
                // Those that were due before the end are sent, however late we are.
                if ended.is_some_and(|ended| due > ended) {
                    return;
                }
                if due <= now {
                    break;
                }
                std::thread::sleep((due - now).min(LOOK));
            }
            if !self.may_send(due) {
                return;
            }
            let Ok(place) = places.clone().try_acquire_owned() else {
                self.write(target, due, fresh, &not_sent(FULL, due));
                continue;
            };
            let (sending, kept) = (self.clone(), kept.clone());
            runtime.spawn(async move {
                locked(&sending.ledger).late.push(due.elapsed());
                sending.ask(target, due, kept.get(target).filter(|_| !fresh), fresh).await;
                drop(place);
            });
        }
    }

    async fn ask(&self, target: usize, due: Instant, kept: Option<&Kept>, fresh: bool) {
        if let Some(client) = self.clients.get(target) {
            let outcome = client.ask(kept, self.load.timeout).await;
            self.write(target, due, fresh, &outcome);
        }
    }

    fn latest(&self) -> Instant {
        later(self.began, self.load.max_time)
    }

    /// Whether one more request is within the bounds. It is counted if so.
    fn may_send(&self, due: Instant) -> bool {
        let mut ledger = locked(&self.ledger);
        let bound = if self.bound.get().is_some() {
            return false;
        } else if ledger.begun >= self.load.max_requests {
            format!("The load ended at its bound of {} requests (--max-requests).", self.load.max_requests)
        } else if due >= self.latest() {
            let time = humantime::format_duration(self.load.max_time);
            format!("The load ended at its bound of {time} (--max-time).")
        } else {
            ledger.begun += 1;
            return true;
        };
        let _ = self.bound.set(bound); // another may have come first
        false
    }

    fn write(&self, target: usize, due: Instant, fresh: bool, outcome: &Outcome) {
        let milliseconds = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64() * 1000.0;
        self.counts.add(outcome.kind);
        let mut ledger = locked(&self.ledger);
        ledger.requests.push(Request {
            due_ms: milliseconds(self.began, due),
            latency_ms: milliseconds(due, outcome.ended),
            kind: outcome.kind,
            status: outcome.status,
            slow: self.load.targets.get(target).is_some_and(|target| target.slow),
            fresh,
            retried: outcome.retried,
        });
        if let Some(words) = &outcome.words {
            let words_of = if outcome.kind.is_lost() { &mut ledger.lost } else { &mut ledger.not_sent };
            *words_of.entry(words.clone()).or_default() += 1;
        }
        ledger.end_unknown += u64::from(outcome.end_unknown);
        if outcome.kind == Kind::TimedOut {
            ledger.timed_out.push(outcome.ended);
        }
    }

    fn seen(&self, felt: &Felt) -> Seen {
        let mut ledger = std::mem::take(&mut *locked(&self.ledger));
        ledger.requests.sort_by(|one, other| one.due_ms.total_cmp(&other.due_ms));
        let mut limits = felt.sentences();
        if let Some((p99, most)) = too_late(std::mem::take(&mut ledger.late)) {
            limits.push(format!(
                "The generator sent late: one request in a hundred by {} ms or more, one by {} ms. Latency counts from when it \
                 was due, so this is in the figures.",
                p99.as_millis(),
                most.as_millis()
            ));
        }
        for (words, count) in &ledger.not_sent {
            limits.push(format!(
                "{count} requests were not sent: {words}{}. They count neither as answered nor as lost.",
                self.way_out(words)
            ));
        }
        let waited = |ended: &&Instant| {
            let sent = ended.checked_sub(self.load.timeout).unwrap_or(self.began);
            felt.stood_still(sent, **ended) >= STALL
        };
        let in_a_stall = ledger.timed_out.iter().filter(waited).count();
        if in_a_stall > 0 {
            limits.push(format!(
                "{in_a_stall} of the {} requests that timed out did so while the generator itself stood still for some of the \
                 time: they may be its own fault.",
                ledger.timed_out.len()
            ));
        }
        if ledger.end_unknown > 0 {
            limits.push(format!(
                "{} answers had neither a Content-Length nor chunks and ended with their connection: whether those were whole \
                 cannot be told without the hash of the body (--expect-body-sha256).",
                ledger.end_unknown
            ));
        }
        let unwritten = ledger.begun.saturating_sub(ledger.requests.len() as u64);
        let failed = || (unwritten > 0).then(|| format!("The generator failed: {unwritten} requests have no record."));
        Seen {
            requests: ledger.requests,
            errors: ledger.lost,
            limits,
            incomplete: self.bound.get().cloned().or_else(failed),
            generator_cores: felt.cores,
        }
    }

    fn way_out(&self, words: &str) -> String {
        match self.load.pace {
            Pace::Open { in_flight, .. } if words == FULL => {
                format!(", {in_flight} (--concurrency), waited for their answers")
            }
            _ if words.contains("open files") => {
                format!(" ({} are allowed; `ulimit -n` raises it)", limits::descriptors())
            }
            _ if words.contains("assign requested address") => " (no free port for one more connection)".to_owned(),
            _ => String::new(),
        }
    }
}

fn not_sent(words: &str, ended: Instant) -> Outcome {
    Outcome {
        kind: Kind::NotSent,
        status: 0,
        retried: false,
        words: Some(words.to_owned()),
        version: None,
        end_unknown: false,
        sha256: None,
        ended,
    }
}

/// Who is next: the targets in turn by their shares, spread evenly, and each target on a kept-alive connection and on a fresh
/// one in turn.
#[derive(Debug)]
struct Turns(Vec<Turn>);

#[derive(Debug)]
struct Turn {
    share: i64,
    owed: i64,
    fresh: bool,
}

impl Turns {
    fn new(targets: &[Target]) -> Self {
        let of = |target: &Target| Turn { share: target.share.into(), owed: 0, fresh: true };
        Self(targets.iter().map(of).collect())
    }
}

impl Iterator for Turns {
    type Item = (usize, bool);

    fn next(&mut self) -> Option<Self::Item> {
        let all: i64 = self.0.iter().map(|turn| turn.share).sum();
        for turn in &mut self.0 {
            turn.owed += turn.share;
        }
        // Backwards: of equals the last is taken, and the first is to come first.
        let (index, turn) = self.0.iter_mut().enumerate().rev().max_by_key(|(_, turn)| turn.owed)?;
        turn.owed -= all;
        turn.fresh = !turn.fresh;
        Some((index, turn.fresh))
    }
}

/// What each user asks for, and whether on fresh connections. Where there are enough users every target has one.
fn users_of(targets: &[Target], users: u32) -> Vec<(usize, bool)> {
    let mut of_users: Vec<_> = Turns::new(targets).take(users as usize).collect();
    let missing: Vec<_> =
        (0..targets.len()).filter(|target| of_users.iter().all(|(index, _)| index != target)).collect();
    if targets.len() <= of_users.len() {
        for (user, target) in of_users.iter_mut().rev().zip(missing) {
            *user = (target, false);
        }
    }
    of_users
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(shares: &[u32]) -> Vec<Target> {
        let target = |share: &u32| Target {
            uri: Uri::from_static("http://localhost/"),
            status: 200,
            sha256: None,
            slow: false,
            share: *share,
        };
        shares.iter().map(target).collect()
    }

    #[test]
    fn half_of_the_slow_requests_are_on_fresh_connections() {
        let targets = targets(&[9, 1]);
        let turns: Vec<_> = Turns::new(&targets).take(1000).collect();
        let count = |wanted| turns.iter().filter(|turn| **turn == wanted).count();
        assert_eq!([(0, false), (0, true), (1, false), (1, true)].map(count), [450, 450, 50, 50]);
    }

    #[test]
    fn the_slow_requests_are_spread_among_the_others() {
        let targets = targets(&[9, 1]);
        let turns: Vec<_> = Turns::new(&targets).take(1000).collect();
        assert!(turns.chunks(10).all(|ten| ten.iter().filter(|(target, _)| *target == 1).count() == 1));
    }

    #[test]
    fn every_target_has_a_user_where_there_are_enough() {
        let count =
            |users, target| users_of(&targets(&[9, 1]), users).iter().filter(|(index, _)| *index == target).count();
        assert_eq!((count(20, 0), count(20, 1)), (18, 2));
        assert_eq!((count(3, 0), count(3, 1)), (2, 1));
        assert_eq!((count(1, 0), count(1, 1)), (1, 0));
    }
}
