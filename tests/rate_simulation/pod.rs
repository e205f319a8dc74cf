//! A pod, and what its kernel shows of the calls.

use std::net::IpAddr;
use std::time::Duration;

use softstop::probe::{Caller, MEMORY};
use softstop::snapshot::{SeenCall, Snapshot};

use super::arrivals::{Arrival, LATEST, even};
use super::cell::{Address, Cell, Connect, Source};
use super::random::Random;

/// TIME-WAITs that the first snapshot has at most.
const MOST_TIME_WAITS: usize = 1_000;
/// The kernel's clock ticks each 4 ms.
const TICK: f64 = 0.004;
/// A snapshot has the calls on open connections since so long before the last one.
const OVERLAP: f64 = 0.01;
/// How long a response takes on average, which decides how many connections of a pool are in use.
const RESPONSE: f64 = 0.05;
/// The address of the first probe that has one of its own.
const PROBES: u8 = 200;

/// A call that the pod receives.
#[derive(Clone, Copy, Debug)]
struct Received {
    at: f64,
    peer: u8,
    on: Connection,
    is_probe: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Connection {
    /// A new one, which ends with the call.
    Fresh {
        /// The server closes it, so a TIME-WAIT stays.
        leaves_time_wait: bool,
    },
    /// An open one.
    Kept(usize),
}

/// The calls of one stop, from a minute before it until nobody calls any more.
#[derive(Debug)]
pub struct Pod<'a> {
    cell: &'a Cell,
    calls: Vec<Received>,
    /// Connections that the pod accepted before the stop.
    pub accepted: u64,
    /// Whether a client has called before the stop.
    pub was_called: bool,
}

impl<'a> Pod<'a> {
    pub fn new(cell: &'a Cell, random: &mut Random) -> Self {
        let remembered = cell.age.min(MEMORY.as_secs_f64());
        let arrivals = cell.arrivals.between(-remembered, cell.lag, cell.clients, random);
        let mut assign = Assignment::new(cell);
        let mut calls: Vec<Received> = arrivals.into_iter().map(|arrival| assign.connect(arrival, random)).collect();
        // An open connection was accepted at some time.
        let mut accepted = match cell.connect {
            Connect::ByServer | Connect::ByClient => cell.arrivals.earlier(cell.age - remembered, random),
            Connect::Half => cell.arrivals.earlier((cell.age - remembered) / 2.0, random) + u64::from(cell.clients),
            Connect::Kept => u64::from(cell.clients),
            Connect::Pool { connections, .. } => connections as u64,
        };
        let was_called = accepted > 0 || calls.first().is_some_and(|call| call.at <= 0.0);
        for (number, probe) in (0..).zip(&cell.probes) {
            let peer = match probe.address {
                Address::Own => PROBES + number,
                Address::OfAllProbes => PROBES,
                Address::OfClient => 0,
            };
            let first = probe.starts + random.fraction() * probe.period - cell.age;
            let earlier = ((-remembered - first) / probe.period).ceil().max(0.0);
            accepted += earlier as u64;
            // In a wait probes go on. The longest upper bound is 25 s.
            let times = even(first + earlier * probe.period, probe.period, 30.0, random);
            let on = Connection::Fresh { leaves_time_wait: true };
            calls.extend(times.map(|at| Received { at, peer, on, is_probe: true }));
        }
        calls.sort_by(|one, next| one.at.total_cmp(&next.at));
        let is_fresh = |call: &&Received| call.at <= 0.0 && matches!(call.on, Connection::Fresh { .. });
        accepted += calls.iter().filter(is_fresh).count() as u64;
        Self { cell, calls, accepted, was_called }
    }

    /// The clients' calls since the stop began.
    pub fn requests(&self) -> impl Iterator<Item = f64> + '_ {
        self.calls.iter().filter(|call| call.at > 0.0 && !call.is_probe).map(|call| call.at)
    }

    /// When somebody last called before `now`, probes included.
    pub fn last_before(&self, now: f64) -> Option<f64> {
        self.between(f64::NEG_INFINITY, now).last().map(|call| call.at)
    }

    fn between(&self, from: f64, to: f64) -> &[Received] {
        let index = |time: f64| self.calls.partition_point(|call| call.at <= time);
        &self.calls[index(from)..index(to)]
    }

    /// The first snapshot: what the kernel remembers.
    pub fn first_snapshot(&self, random: &mut Random) -> Snapshot {
        let mut snapshot = self.snapshot();
        let past = self.between(-MEMORY.as_secs_f64(), 0.0);
        let mut time_waits: Vec<&Received> =
            past.iter().filter(|call| call.on == Connection::Fresh { leaves_time_wait: true }).collect();
        for index in 0..time_waits.len().min(MOST_TIME_WAITS) {
            let other = index + (random.fraction() * (time_waits.len() - index) as f64) as usize;
            time_waits.swap(index, other);
        }
        for call in time_waits.into_iter().take(MOST_TIME_WAITS) {
            snapshot.add_call(self.seen(call, 0.0, true));
        }
        if self.cell.source == Source::Netlink {
            for call in last_on_each(past) {
                snapshot.add_call(SeenCall { is_first: false, ..self.seen(call, 0.0, false) });
            }
        }
        snapshot
    }

    /// What has come since the last snapshot.
    pub fn later_snapshot(&self, last: f64, now: f64) -> Snapshot {
        let mut snapshot = self.snapshot();
        let calls = self.between(last, now);
        let fresh = || calls.iter().filter(|call| matches!(call.on, Connection::Fresh { .. }));
        let accepted = fresh().count() as u64;
        // A new connection has at least four segments: the handshake's two, the request and the end. A request has two.
        let segments = 4 * accepted + 2 * (calls.len() as u64 - accepted);
        (snapshot.accepted_in_namespace, snapshot.segments, snapshot.new) = (Some(accepted), Some(segments), accepted);
        if self.cell.source == Source::Netlink {
            for call in fresh() {
                snapshot.add_call(self.seen(call, now, true));
            }
            for call in last_on_each(self.between(last - OVERLAP, now)) {
                snapshot.add_call(SeenCall { is_first: false, ..self.seen(call, now, false) });
            }
        }
        snapshot
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot { listening: vec![80], sees_calls: self.cell.source == Source::Netlink, ..Snapshot::default() }
    }

    fn seen(&self, call: &Received, now: f64, has_ended: bool) -> SeenCall {
        let age = ((now - call.at) / TICK).floor() * TICK;
        SeenCall {
            peer: IpAddr::from([10, 0, 0, call.peer]),
            age: Duration::from_secs_f64(age),
            is_first: has_ended,
            hides_earlier: !has_ended,
            caller: if self.cell.is_named && !call.is_probe { Caller::Client } else { Caller::Any },
        }
    }
}

/// The last of these calls on each open connection.
fn last_on_each(calls: &[Received]) -> Vec<&Received> {
    let mut last: Vec<Option<&Received>> = Vec::new();
    for call in calls {
        if let Connection::Kept(number) = call.on {
            last.resize(last.len().max(number + 1), None);
            last[number] = Some(call);
        }
    }
    last.into_iter().flatten().collect()
}

/// Which connection a call comes on.
struct Assignment {
    connect: Connect,
    /// For each connection of a pool, when its last response was sent.
    free_since: Vec<f64>,
}

impl Assignment {
    fn new(cell: &Cell) -> Self {
        let connections = if let Connect::Pool { connections, .. } = cell.connect { connections } else { 0 };
        Self { connect: cell.connect, free_since: vec![f64::NEG_INFINITY; connections] }
    }

    fn connect(&mut self, Arrival { at, client }: Arrival, random: &mut Random) -> Received {
        let on = match self.connect {
            Connect::ByServer => Connection::Fresh { leaves_time_wait: true },
            Connect::ByClient => Connection::Fresh { leaves_time_wait: false },
            Connect::Half if random.fraction() < 0.5 => Connection::Fresh { leaves_time_wait: true },
            Connect::Half | Connect::Kept => Connection::Kept(usize::from(client)),
            Connect::Pool { is_lifo, .. } => Connection::Kept(self.of_pool(at, is_lifo, random)),
        };
        Received { at, peer: client, on, is_probe: false }
    }

    /// A free connection: the one that was used last, or any. If none is free, one more request waits on one of them.
    fn of_pool(&mut self, at: f64, is_lifo: bool, random: &mut Random) -> usize {
        let all = || 0..self.free_since.len();
        let free: Vec<usize> = all().filter(|&number| self.free_since[number] <= at).collect();
        let last_used = |one: &usize, other: &usize| self.free_since[*one].total_cmp(&self.free_since[*other]);
        let number = if free.is_empty() {
            all().min_by(last_used).unwrap()
        } else if is_lifo {
            free.into_iter().max_by(last_used).unwrap()
        } else {
            free[(random.fraction() * free.len() as f64) as usize]
        };
        self.free_since[number] = at.max(self.free_since[number]) + random.pause(1.0 / RESPONSE).as_secs_f64();
        number
    }
}

// A call that is late must not come before the one before it.
const _: () = assert!(LATEST < 0.5);
