//! How much silence proves that nobody calls any more. It makes no system call: calls and times go in.
//!
//! # The reasoning
//!
//! A balancer goes on sending for some seconds after the stop request, for as long as its news of the stop takes (the *lag*).
//! Nobody tells us when it has ended. What we see is silence, and silence has two explanations: the balancer has gone, or it
//! has had nothing to send. If it has, and sends at a *rate* of r calls a second, independent of each other (a Poisson
//! process), then a pause is longer than s seconds with the probability e^(-r s) (the exponential distribution). Until the
//! upper bound U of the wait there are about r U pauses, each of which may be that long. So all of them together are longer
//! than s with a probability of at most r U e^(-r s). That is at most 1 in 100 for
//!
//! ```text
//! s = ln(100 max(1, r U)) / r
//! ```
//!
//! This much silence is *needed*: it is 1.1 s at 10 calls a second for U = 10 s, and 6.9 s at one call a second. Below some 0.4 calls
//! a second nothing can be proved before the upper bound.
//!
//! # The rate
//!
//! It must rather be too low than too high, since a rate that is too high ends the wait too early. So calls are not counted.
//! What is counted is the tenths of a second in which somebody called: a burst is a few calls and not many. If a share f of
//! the tenths of a window has a call, then r = -ln(1 - f) / 0.1 s, because a Poisson process leaves a tenth empty with the
//! probability e^(-0.1 r). From the count one standard deviation of it is subtracted, √(n f (1 - f)) for n tenths (the
//! binomial distribution).
//!
//! There are two windows: the last minute before the stop ([`MEMORY`], or our own age if that is less) up to the last call,
//! and the stop alone up to the last call, which is the only one if the kernel has no memory of the callers. Each needs
//! [`ENOUGH`] calls. The higher rate counts, since in either window calls may be missing and none is invented.
//!
//! # Bursts
//!
//! Calls are often not independent: a page brings its pictures, a job runs each ten seconds. Their pauses are longer than a
//! Poisson process of that rate would have. Among n pauses of such a process the longest is about ln(n) / r, and longer than
//! (ln(n) + 3) / r in 5 of 100 cases. If the longest pause of the last minute is longer, the calls are bursts, and the silence must be twice that pause.
//!
//! # Probes
//!
//! A *probe* calls at even intervals, whether or not a balancer sends. So its calls are neither a rate nor an end of the
//! silence. It is a series of at least four calls of one peer whose gaps are within 5 % of one period, from 0.5 s to 15 s;
//! a peer may have three of them. Calls that come by chance sometimes look like a series too. If n of the m calls of a peer are evenly spaced
//! to within ±d while its other calls come at a rate of q, then chance would bring a further member with a probability of
//! about 2 d q each time. There are m² choices of the first two, so m² (2 d q)^(n-2) such series are expected by chance.
//! If that is more than 1 in 100, it is no probe.
//!
//! # Unknown
//!
//! The rate is *unknown* if fewer than [`ENOUGH`] calls are visible and somebody may have called unseen. Then nothing but the
//! upper bound ends the wait. The namespace's counters cannot raise a rate, but can show that nobody has called: no connection was accepted since our start, or
//! none that carried data, or no more than the probes have made.

use std::net::IpAddr;
use std::time::Duration;

/// How long the kernel remembers a connection that the server closed (`TCP_TIMEWAIT_LEN`), and how old the last data of an open
/// connection may be to count as a call.
pub const MEMORY: Duration = Duration::from_secs(60);

/// So many tenths of a second with a call are a visible history.
const ENOUGH: usize = 5;
/// The length of a tenth of a second, in milliseconds.
const TENTH: i32 = 100;
/// By how much the longest pause may exceed that of independent calls, as a multiple of the mean pause.
const LONGEST_BY_CHANCE: f64 = 3.0;

/// A probe's period, in milliseconds.
const SHORTEST_PERIOD: i32 = 500;
const LONGEST_PERIOD: i32 = 15_000;
/// A probe has called at least so often.
const SHORTEST_SERIES: usize = 4;
/// One peer has at most so many probes: liveness, readiness, and one more.
const MOST_SERIES: usize = 3;
/// All probes of a peer together make at most so many calls a second. More are the even calls of a client.
const MOST_PROBES_PER_SECOND: f64 = 3.1;
/// A peer with more calls than this is no probe. Three calls a second make 180 in a minute.
const MOST_CALLS_OF_A_PROBE: usize = 400;
/// Times are exact to about so many milliseconds: the kernel's clock ticks every 1 to 10 ms.
const TICK: i32 = 10;
/// So many series may look like a probe by chance.
const MOST_BY_CHANCE: f64 = 0.01;

/// So many calls are remembered, the latest ones.
const MOST_CALLS: usize = 4096;

/// A call: a request, or a connection that brought one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// When it came, in milliseconds since the stop began; negative before.
    pub at: i32,
    /// The client.
    pub peer: IpAddr,
    /// Whether it may be a probe's. It is not if a person has named the client.
    pub may_be_probe: bool,
}

/// What the namespace's counters say about the time before the stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// Nobody has called: no connection was accepted since our start, or none brought data.
    Nobody,
    /// So many connections were accepted since our start, by whichever process.
    Accepted(u64),
    /// The counters cannot be read.
    Unknown,
}

/// The calls of the last minute before the stop and of the stop itself.
#[derive(Clone, Debug)]
pub struct Calls {
    /// In order.
    calls: Vec<Call>,
    /// For how long we had run when the stop began.
    age: Duration,
    before: Before,
    finding: Finding,
}

/// What the calls prove.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Finding {
    /// When the last call came that is no probe's, in milliseconds since the stop began.
    pub last: Option<i32>,
    /// The rate, in calls a second. `None`: unknown.
    pub rate: Option<f64>,
    /// The longest pause between two calls, if the calls come in bursts.
    pub pause: Option<Duration>,
    /// Whether nobody but probes has ever called.
    pub is_nobody: bool,
}

impl Finding {
    /// The silence that proves that nobody calls any more, in a wait with this upper bound. `None`: the rate is unknown.
    #[must_use]
    pub fn needed(&self, upper_bound: Duration) -> Option<Duration> {
        if self.is_nobody {
            return Some(Duration::ZERO);
        }
        let pauses = self.pause.map_or(Duration::ZERO, |pause| pause.saturating_mul(2));
        Some(needed_silence(self.rate?, upper_bound).max(pauses))
    }
}

/// The silence that proves that nobody calls any more, after independent calls at this rate, in a wait with this upper bound.
#[must_use]
pub fn needed_silence(calls_per_second: f64, upper_bound: Duration) -> Duration {
    let pauses = (calls_per_second * upper_bound.as_secs_f64()).max(1.0);
    let seconds = (100.0 * pauses).ln() / calls_per_second;
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

impl Calls {
    /// No calls yet. We had run for `age` when the stop began.
    #[must_use]
    pub fn new(age: Duration, before: Before) -> Self {
        let mut calls = Self { calls: Vec::new(), age, before, finding: Finding::default() };
        calls.finding = calls.evaluate();
        calls
    }

    /// Adds calls.
    pub fn add(&mut self, calls: impl IntoIterator<Item = Call>) {
        let known = self.calls.len();
        self.calls.extend(calls);
        if self.calls.len() == known {
            return;
        }
        self.calls.sort_unstable();
        self.calls.dedup();
        let surplus = self.calls.len().saturating_sub(MOST_CALLS);
        self.calls.drain(..surplus);
        self.finding = self.evaluate();
    }

    /// What the calls so far prove.
    #[must_use]
    pub fn finding(&self) -> Finding {
        self.finding
    }

    fn evaluate(&self) -> Finding {
        let (calls, probes) = without_probes(&self.calls);
        let last = calls.last().copied();
        let is_nobody = match self.before {
            Before::Nobody => calls.is_empty(),
            Before::Accepted(accepted) => {
                calls.is_empty() && accepted <= probes.iter().map(|probe| probe.calls_before_stop(self.age)).sum()
            }
            Before::Unknown => false,
        };
        let remembered = i32::try_from(self.age.min(MEMORY).as_millis()).unwrap_or(0);
        let end = last.unwrap_or(0).max(0);
        let windows = [Window::new(&calls, -remembered, end), Window::new(&calls, 0, end)];
        let windows = || windows.iter().flatten();
        Finding {
            last,
            rate: windows().map(|window| window.rate).reduce(f64::max),
            pause: windows().filter_map(|window| window.pause).max(),
            is_nobody,
        }
    }
}

/// The calls of some time.
#[derive(Clone, Copy, Debug)]
struct Window {
    rate: f64,
    /// The longest pause, if the calls come in bursts.
    pause: Option<Duration>,
}

impl Window {
    /// The calls from `start` to `end`. `None`: there are too few.
    fn new(calls: &[i32], start: i32, end: i32) -> Option<Self> {
        let calls = calls.get(calls.partition_point(|&at| at < start)..)?;
        let mut tenths: Vec<i32> = calls.iter().map(|at| at.div_euclid(TENTH)).collect();
        tenths.dedup();
        if tenths.len() < ENOUGH {
            return None;
        }
        let all = f64::from((end - start) / TENTH + 1);
        let with_call = float(tenths.len());
        let deviation = (with_call * (1.0 - with_call / all).max(0.0)).sqrt();
        // If each tenth has a call the rate would be infinite.
        let share = ((with_call - deviation) / all).min(1.0 - 0.5 / all);
        let rate = -(1.0 - share).ln() / 0.1;
        let pauses = calls.iter().zip(calls.iter().skip(1)).map(|(one, next)| next - one);
        let longest = pauses.max().map_or(0.0, f64::from) / 1000.0;
        let is_bursty = longest * rate > with_call.ln() + LONGEST_BY_CHANCE;
        let pause = is_bursty.then(|| Duration::try_from_secs_f64(longest).unwrap_or(Duration::MAX));
        Some(Self { rate, pause })
    }
}

/// A small count as a float.
fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

/// The calls of a probe.
#[derive(Clone, Copy, Debug)]
struct Probe {
    /// In milliseconds.
    period: f64,
    last: i32,
}

impl Probe {
    /// How often it has called at most between our start, `age` before the stop, and the stop.
    fn calls_before_stop(&self, age: Duration) -> u64 {
        let last = f64::from(self.last);
        let last_before = last - (last / self.period).ceil().max(0.0) * self.period;
        let since_start = Duration::try_from_secs_f64(age.as_secs_f64() + last_before / 1000.0);
        // A float is cut off to a whole number, and a negative one to 0.
        since_start.map_or(0, |time| (time.as_secs_f64() * 1000.0 / self.period) as u64 + 1)
    }

    fn per_second(&self) -> f64 {
        1000.0 / self.period
    }
}

/// The times of the calls that are no probe's, and the probes.
fn without_probes(calls: &[Call]) -> (Vec<i32>, Vec<Probe>) {
    let mut rest = Vec::with_capacity(calls.len());
    let mut found = Vec::new();
    let mut by_peer = calls.to_vec();
    by_peer.sort_unstable_by_key(|call| (call.peer, call.at));
    for of_peer in by_peer.chunk_by(|one, next| one.peer == next.peer) {
        let times: Vec<i32> = of_peer.iter().map(|call| call.at).collect();
        let may_be_probe = times.len() <= MOST_CALLS_OF_A_PROBE && of_peer.iter().all(|call| call.may_be_probe);
        let (others, probes) = if may_be_probe { probes(&times) } else { (times.clone(), Vec::new()) };
        if probes.iter().map(Probe::per_second).sum::<f64>() > MOST_PROBES_PER_SECOND {
            rest.extend(times);
        } else {
            rest.extend(others);
            found.extend(probes);
        }
    }
    rest.sort_unstable();
    (rest, found)
}

/// The probes of one peer, and its other calls.
fn probes(times: &[i32]) -> (Vec<i32>, Vec<Probe>) {
    let (mut rest, mut found) = (times.to_vec(), Vec::new());
    while found.len() < MOST_SERIES {
        let Some((probe, calls)) = longest_series(&rest) else { break };
        rest.retain(|at| calls.binary_search(at).is_err());
        found.push(probe);
    }
    (rest, found)
}

/// The longest series that goes on until now.
fn longest_series(times: &[i32]) -> Option<(Probe, Vec<i32>)> {
    let &newest = times.last()?;
    let mut longest: Option<(Probe, Vec<i32>)> = None;
    let recent = times.iter().rev().take_while(|&&last| newest - last <= LONGEST_PERIOD);
    for (skipped, &last) in recent.enumerate() {
        for &before in times.iter().rev().skip(skipped + 1).take_while(|&&before| last - before <= LONGEST_PERIOD) {
            let period = last - before;
            // A series whose next call is overdue has ended.
            if period < SHORTEST_PERIOD || newest - last > period + period / 20 {
                continue;
            }
            let calls = follow(times, last, period);
            if calls.len() > longest.as_ref().map_or(SHORTEST_SERIES - 1, |(_, calls)| calls.len()) {
                if let Some(probe) = probe(&calls, times) {
                    longest = Some((probe, calls));
                }
            }
        }
    }
    longest
}

/// The calls up to `last` that follow each other with this period.
fn follow(times: &[i32], last: i32, period: i32) -> Vec<i32> {
    let mut calls = vec![last];
    let (mut at, mut period) = (last, period);
    loop {
        let expected = at - period;
        let index = times.partition_point(|&time| time < expected);
        let near = times.get(index.saturating_sub(1)..times.len().min(index + 1)).unwrap_or_default();
        let Some(&next) = near.iter().min_by_key(|&&time| (time - expected).abs()) else { break };
        if (next - expected).abs() > period / 20 || next >= at {
            break;
        }
        calls.push(next);
        at = next;
        // The mean of all gaps so far.
        period = (last - at) / i32::try_from(calls.len() - 1).unwrap_or(1);
    }
    calls.reverse();
    calls
}

/// The probe that makes these calls of a peer's, unless they may be even by chance.
fn probe(calls: &[i32], all: &[i32]) -> Option<Probe> {
    let (&first, &last) = (calls.first()?, calls.last()?);
    let period = f64::from(last - first) / float(calls.len() - 1);
    let gaps = calls.iter().zip(calls.iter().skip(1)).map(|(one, next)| f64::from(next - one));
    let spread = gaps.map(|gap| (gap - period).abs()).fold(f64::from(TICK), f64::max);
    if spread > (period * 0.05).max(f64::from(TICK)) {
        return None;
    }
    let others = float(all.len() - calls.len() + 1) / f64::from(all.last()? - all.first()?);
    let further = i32::try_from(calls.len() - 2).ok()?;
    let by_chance = float(all.len()).powi(2) * (2.0 * spread * others).powi(further);
    (by_chance < MOST_BY_CHANCE).then_some(Probe { period, last })
}
