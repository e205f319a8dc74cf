//! A cell: a number of stops with the same parameters, and what became of them.

use std::fmt::{self, Display, Formatter};

use super::arrivals::Arrivals;
use super::pod::Pod;
use super::random::Random;
use super::rules::{Looks, Rule};

/// How calls come on connections.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Connect {
    /// A new connection each, which the server closes: a TIME-WAIT stays in the pod.
    ByServer,
    /// A new connection each, which the client closes: nothing stays.
    ByClient,
    /// Each client has one connection, which stays open.
    Kept,
    /// A balancer has so many connections open and uses the one that it used last, or any.
    Pool { connections: usize, is_lifo: bool },
    /// Half as `Kept`, half as `ByServer`.
    Half,
}

/// Where the snapshots come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source {
    Netlink,
    Proc,
}

/// Where a probe comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Address {
    Own,
    /// One address for all probes: kubelet's.
    OfAllProbes,
    /// That of a client.
    OfClient,
}

/// An HTTP probe. The server closes its connections, as kubelet asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probe {
    pub period: f64,
    pub address: Address,
    /// How long after the start of the pod it begins.
    pub starts: f64,
}

impl Probe {
    pub fn each(period: f64, address: Address) -> Self {
        Self { period, address, starts: 0.0 }
    }
}

/// Times are in seconds.
#[derive(Clone, Debug)]
pub struct Cell {
    pub arrivals: Arrivals,
    pub connect: Connect,
    /// How many addresses the clients have.
    pub clients: u8,
    /// Whether a person has said that the clients are no probes.
    pub is_named: bool,
    pub probes: Vec<Probe>,
    pub source: Source,
    /// For how long the pod had run.
    pub age: f64,
    /// For how long calls come after the stop request.
    pub lag: f64,
    /// The upper bound of the wait.
    pub upper: f64,
}

impl Default for Cell {
    fn default() -> Self {
        Self {
            arrivals: Arrivals::Nobody,
            connect: Connect::ByServer,
            clients: 20,
            is_named: false,
            probes: Vec::new(),
            source: Source::Netlink,
            age: 3600.0,
            lag: 4.0,
            upper: 15.0,
        }
    }
}

/// What became of one stop.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    /// How long the wait took.
    pub took: f64,
    /// Requests since the stop began.
    pub requests: usize,
    /// Whether a client has called before.
    pub was_called: bool,
    /// Whether one of them came after the wait.
    pub is_losing: bool,
}

/// What became of the stops of a cell under one rule, the shortest wait first.
#[derive(Clone, Debug)]
pub struct Outcome(pub Vec<Stop>);

impl Outcome {
    pub fn losing(&self) -> usize {
        self.0.iter().filter(|stop| stop.is_losing).count()
    }

    /// How long the wait took of which this share of the stops took at most as long.
    pub fn percentile(&self, share: f64) -> f64 {
        self.0[((self.0.len() - 1) as f64 * share).round() as usize].took
    }

    /// How many waits took at most this long.
    pub fn over_by(&self, time: f64) -> usize {
        self.0.partition_point(|stop| stop.took <= time)
    }
}

impl Cell {
    /// What becomes of this many stops under each of these rules.
    pub fn run(&self, stops: usize, rules: &[Rule]) -> Vec<Outcome> {
        let mut outcomes = vec![Outcome(Vec::with_capacity(stops)); rules.len()];
        let seed = self.seed();
        for stop in 0..stops {
            let mut random = Random::from_seed(seed ^ stop as u64);
            let pod = Pod::new(self, &mut random);
            let first = pod.first_snapshot(&mut random);
            let looks = Looks::new(self.upper, &mut random);
            for (rule, outcome) in rules.iter().zip(&mut outcomes) {
                let took = rule.end(self, &pod, &first, &looks);
                let is_losing = pod.requests().any(|at| at > took);
                outcome.0.push(Stop { took, requests: pod.requests().count(), was_called: pod.was_called, is_losing });
            }
        }
        for Outcome(stops) in &mut outcomes {
            stops.sort_by(|one, next| one.took.total_cmp(&next.took));
        }
        outcomes
    }

    /// Each cell has its own calls, so that chance favours no rule in all of them at once: FNV-1a of its description.
    fn seed(&self) -> u64 {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        self.to_string().bytes().fold(0xcbf2_9ce4_8422_2325, step)
    }
}

impl Cell {
    /// What else there is beside the clients' calls.
    pub fn beside(&self) -> String {
        let mut beside: Vec<String> = self.probes.iter().map(ToString::to_string).collect();
        if self.age < 3600.0 {
            beside.push(format!("runs for {} s", self.age));
        }
        if self.source == Source::Proc {
            beside.push("netlink refused".into());
        }
        if self.is_named {
            beside.push("`count_peers`".into());
        }
        if self.clients != 20 && self.arrivals != Arrivals::Nobody {
            beside.push(format!("{} client address", self.clients));
        }
        beside.join(", ")
    }
}

impl Display for Cell {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        let Self { arrivals, connect, lag, upper, .. } = self;
        write!(formatter, "{arrivals}, {connect}, lag {lag} s, upper bound {upper} s")?;
        let beside = self.beside();
        formatter.write_str(if beside.is_empty() { "" } else { ", " })?;
        formatter.write_str(&beside)
    }
}

impl Display for Probe {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        write!(formatter, "probe each {} s", self.period)?;
        if self.starts > 0.0 {
            write!(formatter, " from {} s on", self.starts)?;
        }
        formatter.write_str(if self.address == Address::OfClient { " from a client's address" } else { "" })
    }
}

impl Display for Connect {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        match self {
            Self::ByServer => formatter.write_str("closed by the server"),
            Self::ByClient => formatter.write_str("closed by the client"),
            Self::Kept => formatter.write_str("kept"),
            Self::Pool { connections, is_lifo: true } => write!(formatter, "pool of {connections}, last used first"),
            Self::Pool { connections, is_lifo: false } => write!(formatter, "pool of {connections}, at random"),
            Self::Half => formatter.write_str("half kept"),
        }
    }
}
