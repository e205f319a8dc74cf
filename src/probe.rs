//! Which calls are a probe's. It makes no system call.
//!
//! A *probe* calls at even intervals, whether or not a balancer sends to us. So its calls are no sign of a balancer. It is a
//! series of at least four calls of one peer whose gaps are within 5 % of one period, from 0.5 s to 15 s, and which goes on; a
//! peer may have three of them, overlaid. Independent calls may look like a series by chance. If n of the m calls of a peer
//! lie within ±d of even intervals, and its other calls come at a rate of q, then chance continues a series once more with a
//! probability of about 2 d q, and there are m² ways to begin one. So m² (2 d q)^(n-2) such series are expected by chance. If
//! that is more than 1 in 100, the calls are counted.

use std::net::IpAddr;
use std::time::Duration;

/// How long the kernel remembers a connection that the server closed (`TCP_TIMEWAIT_LEN`), and how old the last data of an open
/// connection may be to count as a call.
pub const MEMORY: Duration = Duration::from_secs(60);

/// A probe's period is between 0.5 s and 15 s. These are 5 % less and more, in milliseconds.
const SHORTEST_PERIOD: i32 = 475;
const LONGEST_PERIOD: i32 = 15_750;
/// A probe has called at least so often.
const SHORTEST_SERIES: usize = 4;
/// One peer has at most so many probes: liveness, readiness, and one more.
const MOST_SERIES: usize = 3;
/// All probes of a peer together make at most so many calls a second. More are the even calls of a client.
const MOST_PROBES_PER_SECOND: f64 = 3.1;
/// Probes are searched among so many calls of a peer, the latest ones. Three calls a second make 180 in a minute.
const MOST_SEARCHED: usize = 400;
/// Times are exact to about so many milliseconds: the kernel's clock ticks every 1 to 10 ms.
const TICK: i32 = 10;
/// So many series may look like a probe by chance.
const MOST_BY_CHANCE: f64 = 0.01;

/// A call: a request, or a connection that brought one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// When it came, in milliseconds since the stop began; negative before.
    pub at: i32,
    /// The client.
    pub peer: IpAddr,
    /// What a person has said of the client.
    pub caller: Caller,
    /// Whether it was the first on its connection.
    pub is_first: bool,
    /// Whether it is the last call on a connection that is open, so that earlier ones are not seen.
    pub hides_earlier: bool,
}

/// What a person has said of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caller {
    /// Nothing: it may be a probe.
    Any,
    /// It is no probe, though its calls may be even.
    Client,
    /// Its calls count for nothing.
    Ignored,
}

/// The calls of a probe.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Its shortest period, given that the times are exact to a tick.
    period: Duration,
    last: i32,
    /// When it has called, as far as is visible.
    calls: Vec<i32>,
    /// Whether each call is a connection of its own. Otherwise they may all have come on one.
    has_connections: bool,
}

impl Probe {
    /// How many connections it has made at most between our start, `age` before the stop, and the stop.
    #[must_use]
    pub fn connections_before_stop(&self, age: Duration) -> u64 {
        if !self.has_connections {
            return 1;
        }
        let count = |is_meant: &dyn Fn(i32) -> bool| self.calls.iter().map(|&at| u64::from(is_meant(at))).sum::<u64>();
        // Then all of its calls are visible. If we reckoned from our start, a probe that has begun later would hide calls.
        // Those that came before our start are not among the connections that are to be explained.
        if age <= MEMORY {
            let start = i32::try_from(age.as_millis()).map_or(i32::MIN, |age| -age);
            return count(&|at| (start..0).contains(&at));
        }
        let since = count(&|at| at >= 0);
        let from_start_to_last = i64::try_from(age.as_millis()).unwrap_or(i64::MAX).saturating_add(self.last.into());
        let from_start_to_last = Duration::from_millis(u64::try_from(from_start_to_last).unwrap_or(0));
        let periods = from_start_to_last.as_nanos() / self.period.as_nanos().max(1);
        u64::try_from(periods + 1).unwrap_or(u64::MAX).saturating_sub(since)
    }

    /// How often it calls.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        1.0 / self.period.as_secs_f64()
    }
}

/// The calls that are no probe's, in order, and the probes.
#[must_use]
pub fn without_probes(calls: &[Call]) -> (Vec<Call>, Vec<Probe>) {
    let (mut rest, mut found) = (Vec::with_capacity(calls.len()), Vec::new());
    let mut by_peer = calls.to_vec();
    by_peer.sort_unstable_by_key(|call| (call.peer, call.at));
    for of_peer in by_peer.chunk_by(|one, next| one.peer == next.peer) {
        let is_client = of_peer.iter().any(|call| call.caller == Caller::Client);
        let (earlier, latest) = of_peer.split_at(of_peer.len().saturating_sub(MOST_SEARCHED));
        let (others, probes) = if is_client { (latest.to_vec(), Vec::new()) } else { probes(latest) };
        if probes.iter().map(Probe::per_second).sum::<f64>() > MOST_PROBES_PER_SECOND {
            rest.extend_from_slice(of_peer);
        } else {
            rest.extend_from_slice(earlier);
            rest.extend(others);
            found.extend(probes);
        }
    }
    rest.retain(|call| call.caller != Caller::Ignored);
    rest.sort_unstable_by_key(|call| call.at);
    (rest, found)
}

/// The probes of one peer, and its other calls.
fn probes(calls: &[Call]) -> (Vec<Call>, Vec<Probe>) {
    let (mut rest, mut found) = (calls.to_vec(), Vec::new());
    while found.len() < MOST_SERIES {
        let times: Vec<i32> = rest.iter().map(|call| call.at).collect();
        let Some(mut probe) = longest_series(&times) else { break };
        let is_member = |call: &Call| probe.calls.binary_search(&call.at).is_ok();
        let has_connections = rest.iter().filter(|call| is_member(call)).all(|call| call.is_first);
        rest.retain(|call| !is_member(call));
        probe.has_connections = has_connections;
        found.push(probe);
    }
    (rest, found)
}

/// The longest series that goes on until the last of these calls.
fn longest_series(times: &[i32]) -> Option<Probe> {
    let &newest = times.last()?;
    let mut longest: Option<Probe> = None;
    let recent = times.iter().rev().take_while(|&&last| newest - last <= LONGEST_PERIOD);
    for (skipped, &last) in recent.enumerate() {
        for &before in times.iter().rev().skip(skipped + 1).take_while(|&&before| last - before <= LONGEST_PERIOD) {
            let period = last - before;
            // A series whose next call is overdue has ended.
            if period < SHORTEST_PERIOD || newest - last > period + period / 20 {
                continue;
            }
            let shortest = longest.as_ref().map_or(SHORTEST_SERIES - 1, |longest| longest.calls.len());
            if Series::new(times, last, period).count() > shortest {
                let mut calls: Vec<i32> = Series::new(times, last, period).collect();
                calls.reverse();
                longest = probe(calls, times).or(longest);
            }
        }
    }
    longest
}

/// The calls that follow each other with one period, from the last one back.
#[derive(Clone, Debug)]
struct Series<'a> {
    times: &'a [i32],
    /// How near to its time a call must be at most. Where calls are dense there is always one near to the time that is expected,
    /// and only an exact one is a sign.
    nearest: i32,
    last: i32,
    /// The call that is next in the series.
    next: Option<i32>,
    /// How many came before it.
    count: i32,
    /// The mean of all gaps so far.
    period: i32,
}

impl<'a> Series<'a> {
    fn new(times: &'a [i32], last: i32, period: i32) -> Self {
        let span = times.first().zip(times.last()).map_or(0, |(oldest, newest)| newest - oldest);
        let mean_gap = i32::try_from(times.len()).ok().and_then(|calls| span.checked_div(calls)).unwrap_or(0);
        Self { times, nearest: (mean_gap / 4).max(TICK), last, next: Some(last), count: 0, period }
    }
}

impl Iterator for Series<'_> {
    type Item = i32;

    fn next(&mut self) -> Option<i32> {
        let at = self.next?;
        self.count += 1;
        if self.count > 1 {
            self.period = (self.last - at) / (self.count - 1);
        }
        // One gap may be 5 % shorter than the period and the next one 5 % longer; their mean is the period.
        let tolerance = if self.count == 2 { self.period / 10 } else { self.period / 20 };
        let expected = at - self.period;
        let index = self.times.partition_point(|&time| time < expected);
        let near = self.times.get(index.saturating_sub(1)..self.times.len().min(index + 1)).unwrap_or_default();
        let nearest = near.iter().copied().min_by_key(|time| (time - expected).abs());
        let is_in_time = |&time: &i32| (time - expected).abs() <= tolerance.max(TICK).min(self.nearest) && time < at;
        self.next = nearest.filter(is_in_time);
        Some(at)
    }
}

/// The probe that makes these calls of a peer's, unless they may be even by chance.
fn probe(calls: Vec<i32>, all: &[i32]) -> Option<Probe> {
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
    if by_chance >= MOST_BY_CHANCE {
        return None;
    }
    let shortest = period - f64::from(TICK) / float(calls.len() - 1);
    let period = Duration::try_from_secs_f64(shortest / 1000.0).ok()?;
    Some(Probe { period, last, calls, has_connections: false })
}

/// A small count as a float.
#[must_use]
pub fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
