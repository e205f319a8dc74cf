//! Sends the requests of a load on time, in an open or a closed loop, and records what became of each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use softstop::duration::show;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use super::client::{Client, Outcome};
use super::deadline::later;
use super::monitor::{Monitor, STALL, Usage, too_late};
use super::pool::Pool;
use super::round_robin::{RoundRobin, users_of};
use super::{Load, LoadResult, Pace, limits, locked};
use crate::progress::Counts;
use crate::rehearsal::Request;
use crate::verdict::Verdict;

/// An open loop opens this many HTTP/2 connections for each target before a connection carries two requests at once.
const SHARED_CONNECTIONS: usize = 8;
/// How often the thread that sends arrivals checks whether the load has ended.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// The reason for a request that was not sent because all places in flight were taken.
const NO_PLACE: &str = "the maximum number of requests was in flight";

/// See [`Load::send`].
pub(crate) async fn send(load: Load, began: Instant, stop: watch::Receiver<bool>, counts: Arc<Counts>) -> LoadResult {
    let clients = match Client::all(&load.targets, load.http) {
        Ok(clients) => clients,
        Err(why) => {
            return LoadResult { incomplete: Some(format!("Nothing was sent: {why}.")), ..LoadResult::default() };
        }
    };
    let generator =
        Arc::new(Generator { load, began, clients, counts, records: Mutex::default(), end_reason: OnceLock::new() });
    let monitor = Monitor::start();
    match generator.load.settings.pace {
        Pace::Open { per_second, in_flight } => generator.clone().open_loop(per_second, in_flight, stop).await,
        Pace::Closed { users, pause } => generator.clone().closed_loop(users, pause, stop).await,
    }
    generator.result(&monitor.stop())
}

/// A load that is being sent.
#[derive(Debug)]
struct Generator {
    load: Load,
    began: Instant,
    /// One for each target.
    clients: Vec<Client>,
    counts: Arc<Counts>,
    records: Mutex<Records>,
    /// Why the load ended early, if it did.
    end_reason: OnceLock<String>,
}

/// What is recorded of the requests.
#[derive(Debug, Default)]
struct Records {
    /// How many were begun, including those that could not be sent.
    begun: u64,
    requests: Vec<Request>,
    /// How often requests were lost, and how often they were not sent, by the error message.
    lost: BTreeMap<String, u64>,
    not_sent: BTreeMap<String, u64>,
    end_unknown: u64,
    /// When each request that timed out ended.
    timed_out: Vec<Instant>,
    /// How late each arrival was sent.
    delays: Vec<Duration>,
}

impl Generator {
    /// Every user is a task, so no user waits for the slow answer of another.
    async fn closed_loop(self: Arc<Self>, users: u32, pause: Duration, stop: watch::Receiver<bool>) {
        let mut tasks = JoinSet::new();
        for (number, (target, fresh)) in (0_u32..).zip(users_of(&self.load.targets, users)) {
            // Spread over the first pause, so that users do not send at the same moment.
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
        let pool = (!fresh).then(|| Pool::new(1));
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
            self.ask(target, due, pool.as_ref(), fresh).await;
            next = Instant::now() + pause;
        }
    }

    /// Requests are sent from a separate thread. It waits for no answer, and its timer is finer than the runtime's.
    async fn open_loop(self: Arc<Self>, per_second: f64, in_flight: u32, stop: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(in_flight as usize));
        let (sender, runtime) = (self.clone(), Handle::current());
        let places_of_sender = places.clone();
        let sent = spawn_blocking(move || sender.send_arrivals(per_second, &places_of_sender, &stop, &runtime)).await;
        if let Err(error) = sent {
            let _ = self.end_reason.set(format!("The generator failed: {error}."));
        }
        // All places are free when every request has ended. The semaphore is never closed, so this cannot fail.
        let _ = places.acquire_many(in_flight).await;
    }

    fn send_arrivals(
        self: &Arc<Self>,
        per_second: f64,
        places: &Arc<Semaphore>,
        stop: &watch::Receiver<bool>,
        runtime: &Handle,
    ) {
        let round_robin = RoundRobin::new(&self.load.targets);
        let pools: Arc<Vec<Pool>> = Arc::new(self.clients.iter().map(|_| Pool::new(SHARED_CONNECTIONS)).collect());
        let mut ended = None;
        for (number, (target, fresh)) in (0_u64..).zip(round_robin) {
            #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
            let due = self.began + Duration::from_secs_f64(number as f64 / per_second);
            loop {
                let now = Instant::now();
                if ended.is_none() && (*stop.borrow() || stop.has_changed().is_err()) {
                    ended = Some(now);
                }
                // Requests that were due before the end are sent, however late this thread is.
                if ended.is_some_and(|ended| due > ended) {
                    return;
                }
                if due <= now {
                    break;
                }
                std::thread::sleep((due - now).min(CHECK_INTERVAL));
            }
            if !self.may_send(due) {
                return;
            }
            let Ok(place) = places.clone().try_acquire_owned() else {
                self.record(target, due, fresh, &not_sent(NO_PLACE, due));
                continue;
            };
            let (generator, pools) = (self.clone(), pools.clone());
            runtime.spawn(async move {
                locked(&generator.records).delays.push(due.elapsed());
                generator.ask(target, due, pools.get(target).filter(|_| !fresh), fresh).await;
                drop(place);
            });
        }
    }

    async fn ask(&self, target: usize, due: Instant, pool: Option<&Pool>, fresh: bool) {
        if let Some(client) = self.clients.get(target) {
            let outcome = client.ask(pool, self.load.settings.timeout).await;
            self.record(target, due, fresh, &outcome);
        }
    }

    fn latest(&self) -> Instant {
        later(self.began, self.load.settings.max_time)
    }

    /// Whether one more request is within the bounds of the load. If so, it is counted.
    fn may_send(&self, due: Instant) -> bool {
        let mut records = locked(&self.records);
        let settings = &self.load.settings;
        let reason = if self.end_reason.get().is_some() {
            return false;
        } else if records.begun >= settings.max_requests {
            format!("The load ended at its limit of {} requests (--max-requests).", settings.max_requests)
        } else if due >= self.latest() {
            format!("The load ended at its limit of {} (--max-time).", show(settings.max_time))
        } else {
            records.begun += 1;
            return true;
        };
        let _ = self.end_reason.set(reason); // the first reason stays
        false
    }

    fn record(&self, target: usize, due: Instant, fresh: bool, outcome: &Outcome) {
        let milliseconds = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64() * 1000.0;
        self.counts.add(outcome.verdict);
        let mut records = locked(&self.records);
        records.requests.push(Request {
            due_ms: milliseconds(self.began, due),
            latency_ms: milliseconds(due, outcome.ended),
            verdict: outcome.verdict,
            status: outcome.status,
            slow: self.load.targets.get(target).is_some_and(|target| target.slow),
            fresh,
            retried: outcome.retried,
        });
        if let Some(error) = &outcome.error {
            let errors = if outcome.verdict.is_lost() { &mut records.lost } else { &mut records.not_sent };
            *errors.entry(error.clone()).or_default() += 1;
        }
        records.end_unknown += u64::from(outcome.end_unknown);
        if outcome.verdict == Verdict::TimedOut {
            records.timed_out.push(outcome.ended);
        }
    }

    fn result(&self, usage: &Usage) -> LoadResult {
        let mut records = std::mem::take(&mut *locked(&self.records));
        records.requests.sort_by(|one, other| one.due_ms.total_cmp(&other.due_ms));
        let mut limits = usage.sentences();
        if let Some((p99, most)) = too_late(std::mem::take(&mut records.delays)) {
            limits.push(format!(
                "The generator sent late: one request in a hundred was sent {} ms late or more, the worst {} ms. Latency is \
                 measured from the time when a request was due, so the figures include it.",
                p99.as_millis(),
                most.as_millis()
            ));
        }
        for (error, count) in &records.not_sent {
            limits.push(format!(
                "{count} requests were not sent: {error}{}. They count neither as answered nor as lost.",
                self.explanation(error)
            ));
        }
        let met_a_stall = |ended: &&Instant| {
            let sent = ended.checked_sub(self.load.settings.timeout).unwrap_or(self.began);
            usage.stalled_between(sent, **ended) >= STALL
        };
        let in_a_stall = records.timed_out.iter().filter(met_a_stall).count();
        if in_a_stall > 0 {
            limits.push(format!(
                "{in_a_stall} of the {} requests that timed out did so while the generator itself was stalled for part of the \
                 time: the generator may be the cause.",
                records.timed_out.len()
            ));
        }
        if records.end_unknown > 0 {
            limits.push(format!(
                "{} answers had neither a Content-Length nor chunks and ended with their connection: without the hash of the \
                 body (--expect-body-sha256) it is unknown whether they were whole.",
                records.end_unknown
            ));
        }
        let unrecorded = records.begun.saturating_sub(records.requests.len() as u64);
        let failed =
            || (unrecorded > 0).then(|| format!("The generator failed: {unrecorded} requests have no record."));
        LoadResult {
            requests: records.requests,
            errors: records.lost,
            limits,
            incomplete: self.end_reason.get().cloned().or_else(failed),
            generator_cores: usage.cores,
        }
    }

    /// More about an error because of which requests were not sent, in brackets.
    fn explanation(&self, error: &str) -> String {
        match self.load.settings.pace {
            Pace::Open { in_flight, .. } if error == NO_PLACE => format!(" ({in_flight}; --concurrency sets it)"),
            _ if error.contains("open files") => {
                format!(" ({} are allowed; `ulimit -n` raises it)", limits::descriptors())
            }
            _ if error.contains("assign requested address") => {
                " (no free port was left for another connection)".to_owned()
            }
            _ => String::new(),
        }
    }
}

fn not_sent(why: &str, ended: Instant) -> Outcome {
    Outcome {
        verdict: Verdict::NotSent,
        status: 0,
        retried: false,
        error: Some(why.to_owned()),
        version: None,
        end_unknown: false,
        sha256: None,
        ended,
    }
}
