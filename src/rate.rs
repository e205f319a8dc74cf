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
//! This much silence is *needed*: for U = 10 s it is 0.9 s at 10 calls a second and 6.9 s at one. Below some 0.5 calls a second
//! nothing can be proved before the upper bound.
//!
//! # The rate
//!
//! It must rather be too low than too high, since a rate that is too high ends the wait too early. So what is counted is not the
//! calls but the tenths of a second in which somebody called: a burst is a few tenths, however many calls it has. If a share f
//! of the tenths of a window has a call, then r = -ln(1 - f) / 0.1 s, because independent calls leave a tenth empty with the
//! probability e^(-0.1 r). One standard deviation is first subtracted from the count, √(n f (1 - f)) of n tenths (the binomial
//! distribution).
//!
//! There are two windows, each of which needs five tenths with a call: the last minute before the stop ([`MEMORY`], or our
//! own age), of which the kernel shows what it remembers, and the stop up to the last call, of which everything is seen. The
//! higher rate counts, since the kernel forgets calls and invents none. But the window of the stop is short and may be one
//! burst. So if connections that have ended are visible in the last minute, the stop counts for at most twice its rate: the other
//! half may have come on connections that are kept open, each of which shows its last call only.
//!
//! # Bursts
//!
//! Calls are often not independent: a page brings its pictures, a job runs each ten seconds. Then pauses are longer than those
//! of independent calls of that rate. Of n independent pauses the longest is about ln(n) / r, and longer than (ln(n) + 5) / r in
//! 7 of 1,000 cases. If the longest pause in a window is longer than that, the calls come in bursts, and the silence must last
//! for twice that pause. But an open connection shows its last call only, and others may have come before it. So if open
//! connections are all that is visible of the time before the stop, what looks like a pause before the last of their calls
//! counts for nothing.
//!
//! # Probes
//!
//! The calls of a [probe](crate::probe) are neither a rate nor an end of the silence.
//!
//! # Unknown
//!
//! If fewer than five tenths with a call are visible, the rate is *unknown*, and only the upper bound ends the wait. The counters of the
//! network namespace never raise a rate, but they may prove that nobody has ever called: no connection was accepted
//! since our start, or none that brought data, or as many as the visible probes have made. A probe that has begun later than we
//! did has made fewer, and then rare others may be hidden among those that are missing. So if many are missing, we must have run
//! for so long that these others are too rare to matter.
//!
//! `tests/rate_simulation.rs` simulates thousands of stops; `docs/how-much-silence.md` has its table.

use std::net::IpAddr;
use std::time::Duration;

use crate::probe::{Call, Caller, MEMORY, Probe, float, without_probes};

/// So many tenths of a second with a call are a visible history.
const ENOUGH: usize = 5;
/// The length of a tenth of a second, in milliseconds.
const TENTH: i32 = 100;
/// The longest of n independent pauses is rarely longer than ln(n) and this many mean pauses together.
const LONGEST_BY_CHANCE: f64 = 5.0;
/// What is seen in the stop counts for at most this many times the rate of the connections that had ended before it.
const MOST_UNSEEN: f64 = 2.0;

/// A probe usually begins this soon after our start: the server has to open its listener first. With a delay that a person has
/// set it begins this long after it at most, as far as is supposed.
const USUAL_DELAY: Duration = Duration::from_secs(5);
const LONG_DELAY: Duration = Duration::from_secs(60);
/// In a wait of this length fewer than one client in a hundred stops may be overlooked.
const LONG_WAIT: Duration = Duration::from_secs(20);

/// So many calls are remembered, the latest ones. If there are more, so many of each tenth of a second are enough.
const MOST_CALLS: usize = 4096;
const MOST_IN_A_TENTH: usize = 4;

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

/// What the network namespace has received since our start. `None`: unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Connections that were accepted, by whichever process.
    pub accepted: u64,
    /// TCP segments.
    pub segments: u64,
    /// Octets of IP packets.
    pub octets: Option<u64>,
}

/// The segments that a client sends on a connection without data, in octets with timestamps, by IPv4 and by IPv6: a SYN, the end
/// of the handshake, a FIN and an acknowledgement.
const WITHOUT_DATA: [[u64; 4]; 2] = [[60, 52, 52, 52], [80, 72, 72, 72]];

impl Before {
    /// What the counters prove.
    ///
    /// If segments and octets are exactly those of connections without data, there was no data. The last connection may be under
    /// way. A connection that the client resets has other numbers, and so has everything else that the namespace receives: then
    /// nothing is proved.
    #[must_use]
    pub fn of(received: Received) -> Self {
        let is_without_data = WITHOUT_DATA.iter().any(|sizes| received.is_without_data(sizes));
        if is_without_data { Self::Nobody } else { Self::of_others(received.accepted) }
    }

    fn of_others(accepted: u64) -> Self {
        if accepted == 0 { Self::Nobody } else { Self::Accepted(accepted) }
    }
}

impl Received {
    /// Whether all of it is connections with segments of these sizes. The last of them may have some left to send.
    fn is_without_data(self, sizes: &[u64; 4]) -> bool {
        let Some(octets) = self.octets else { return false };
        let of_all = |of_each: u64| self.accepted.saturating_mul(of_each);
        let mut left = [0, 0];
        // The SYN has been sent, or nothing would have been accepted.
        for size in sizes.iter().skip(1).rev().map(Some).chain([None]) {
            let [segments_left, octets_left] = left;
            if self.segments + segments_left == of_all(4) && octets + octets_left == of_all(sizes.iter().sum()) {
                return true;
            }
            left = [segments_left + 1, octets_left + size.copied().unwrap_or(0)];
        }
        false
    }
}

/// The calls of the last minute before the stop and of the stop itself.
#[derive(Clone, Debug)]
pub struct Calls {
    /// All of them, in order.
    seen: Vec<Call>,
    /// Those that are no probe's.
    counted: Vec<Call>,
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
    /// How many probes call.
    pub probes: usize,
    /// Whether nobody but probes has ever called, and those whose connections are kept.
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
        let mut calls = Self { seen: Vec::new(), counted: Vec::new(), age, before, finding: Finding::default() };
        calls.evaluate();
        calls
    }

    /// Adds calls.
    pub fn add(&mut self, calls: impl IntoIterator<Item = Call>) {
        let known = self.seen.len();
        self.seen.extend(calls);
        if self.seen.len() == known {
            return;
        }
        // A connection that was reset long ago may be closed, and show its last call, only now.
        let oldest = i32::try_from(MEMORY.as_millis()).map_or(i32::MIN, |memory| -memory);
        self.seen.retain(|call| call.at >= oldest);
        self.seen.sort_unstable_by_key(|call| call.at);
        if self.seen.len() > MOST_CALLS {
            self.seen.retain(|call| call.caller != Caller::Ignored);
            keep_last_of_each_tenth(&mut self.seen);
        }
        let surplus = self.seen.len().saturating_sub(MOST_CALLS);
        self.seen.drain(..surplus);
        self.evaluate();
    }

    /// Notes how many connections were open when the stop began. If only new connections are calls, each of these has its client for
    /// ever, and is explained.
    pub fn note_kept(&mut self, kept: u64) {
        if let Before::Accepted(accepted) = self.before {
            self.before = Before::of_others(accepted.saturating_sub(kept));
            self.evaluate();
        }
    }

    /// Notes that somebody may have called unseen.
    pub fn note_unseen(&mut self) {
        if self.before != Before::Unknown {
            self.before = Before::Unknown;
            self.evaluate();
        }
    }

    /// The clients that called at this time or later, in milliseconds since the stop began, without probes.
    #[must_use]
    pub fn peers_since(&self, at: i32) -> Vec<IpAddr> {
        let mut peers: Vec<IpAddr> = self.counted.iter().filter(|call| call.at >= at).map(|call| call.peer).collect();
        peers.sort_unstable();
        peers.dedup();
        peers
    }

    /// What the calls so far prove.
    #[must_use]
    pub fn finding(&self) -> Finding {
        self.finding
    }

    fn evaluate(&mut self) {
        let (calls, probes) = without_probes(&self.seen);
        let last = calls.last().map(|call| call.at);
        let is_nobody = calls.is_empty()
            && match self.before {
                Before::Nobody => true,
                Before::Accepted(accepted) => self.are_explained(accepted, &probes),
                Before::Unknown => false,
            };
        let (before, during) = calls.split_at(calls.partition_point(|call| call.at < 0));
        let remembered = i32::try_from(self.age.min(MEMORY).as_millis()).unwrap_or(0);
        let before = before.get(before.partition_point(|call| call.at < -remembered)..).unwrap_or_default();
        let has_ended = has_enough(before.iter().filter(|call| !call.hides_earlier));
        // Calls of open connections that are not seen may have come in each pause before their last ones.
        let hidden_until = before.iter().filter(|call| call.hides_earlier && !has_ended).map(|call| call.at).max();
        let since = hidden_until.unwrap_or(-remembered);
        let windows = [Window::new(before, remembered, since), Window::new(during, last.unwrap_or(0), 0)];
        let rate = match windows {
            [Some(before), Some(during)] if has_ended => {
                Some(before.rate.max(during.rate.min(MOST_UNSEEN * before.rate)))
            }
            [before, during] => before.into_iter().chain(during).map(|window| window.rate).reduce(f64::max),
        };
        let pause = windows.iter().flatten().filter_map(|window| window.pause).max();
        self.finding = Finding { last, rate, pause, probes: probes.len(), is_nobody };
        self.counted = calls;
    }

    /// Whether the probes explain all connections that were accepted.
    fn are_explained(&self, accepted: u64, probes: &[Probe]) -> bool {
        let by_probes = probes.iter().map(|probe| probe.connections_before_stop(self.age)).sum::<u64>();
        let Some(missing) = by_probes.checked_sub(accepted) else { return false };
        if self.age <= MEMORY {
            return true; // every call of the probes is visible
        }
        // If the probes have begun later than we did, they have made fewer, and others may have made as many.
        let per_second: f64 = probes.iter().map(Probe::per_second).sum();
        let fewer = |delay: Duration| per_second * delay.as_secs_f64() + float(probes.len());
        let missing = u32::try_from(missing).map_or(f64::MAX, f64::from);
        let hidden_per_second = fewer(LONG_DELAY) / self.age.as_secs_f64();
        missing <= fewer(USUAL_DELAY) || hidden_per_second * LONG_WAIT.as_secs_f64() < 0.01
    }
}

/// The tenths of a second in which somebody called.
fn tenths<'a>(calls: impl Iterator<Item = &'a Call>) -> usize {
    let mut tenths: Vec<i32> = calls.map(|call| call.at.div_euclid(TENTH)).collect();
    tenths.dedup();
    tenths.len()
}

/// Keeps the last [`MOST_IN_A_TENTH`] calls of each tenth of a second.
fn keep_last_of_each_tenth(calls: &mut Vec<Call>) {
    let (mut tenth, mut kept) = (None, 0);
    calls.reverse();
    calls.retain(|call| {
        let this = Some(call.at.div_euclid(TENTH));
        kept = if tenth == this { kept + 1 } else { 1 };
        tenth = this;
        kept <= MOST_IN_A_TENTH
    });
    calls.reverse();
}

fn has_enough<'a>(calls: impl Iterator<Item = &'a Call>) -> bool {
    tenths(calls) >= ENOUGH
}

/// The calls of some time.
#[derive(Clone, Copy, Debug)]
struct Window {
    rate: f64,
    /// The longest pause, if the calls come in bursts.
    pause: Option<Duration>,
}

impl Window {
    /// The calls of a window of this length in milliseconds, whose pauses are certain from `since` on. `None`: there are too few
    /// calls.
    fn new(calls: &[Call], length: i32, since: i32) -> Option<Self> {
        if !has_enough(calls.iter()) {
            return None;
        }
        let all = f64::from(length / TENTH + 1);
        let with_call = float(tenths(calls.iter()));
        let deviation = (with_call * (1.0 - with_call / all).max(0.0)).sqrt();
        // If each tenth had a call the rate would be infinite.
        let share = ((with_call - deviation) / all).min(1.0 - 0.5 / all);
        let rate = -(1.0 - share).ln() / 0.1;
        let pairs = calls.iter().zip(calls.iter().skip(1)).filter(|(one, _)| one.at >= since);
        let pauses = pairs.map(|(one, next)| next.at - one.at);
        let longest = pauses.max().map_or(0.0, f64::from) / 1000.0;
        let is_bursty = longest * rate > with_call.ln() + LONGEST_BY_CHANCE;
        let pause = is_bursty.then(|| Duration::try_from_secs_f64(longest).unwrap_or(Duration::MAX));
        Some(Self { rate, pause })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPPER: Duration = Duration::from_secs(15);
    const HOUR: Duration = Duration::from_secs(3600);

    fn calls(times: impl IntoIterator<Item = i32>, peer: u8) -> Vec<Call> {
        let peer = IpAddr::from([10, 0, 0, peer]);
        let call = |at| Call { at, peer, caller: Caller::Any, is_first: true, hides_earlier: false };
        times.into_iter().map(call).collect()
    }

    fn finding(before: Before, calls: &[Call]) -> Finding {
        let mut all = Calls::new(HOUR, before);
        all.add(calls.iter().copied());
        all.finding()
    }

    /// Calls about each `gap` milliseconds, unevenly.
    fn uneven(gap: i32, from: i32, to: i32) -> Vec<i32> {
        let mut state = 12_345_u32;
        let mut random = move || {
            state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
            i32::try_from(state >> 16 & 0x7fff).unwrap()
        };
        (from..to).step_by(usize::try_from(gap).unwrap()).map(|at| at + random() % (gap / 2)).collect()
    }

    #[test]
    fn the_silence_that_is_needed_is_that_of_the_formula() {
        let needed = |rate| needed_silence(rate, Duration::from_secs(10)).as_millis();
        assert_eq!([0.1, 1.0, 10.0].map(needed), [46_051, 6_907, 921]);
    }

    #[test]
    fn without_any_connection_nobody_has_called_and_no_silence_is_needed() {
        assert_eq!(finding(Before::Nobody, &[]).needed(UPPER), Some(Duration::ZERO));
        assert_eq!(finding(Before::Accepted(0), &[]).needed(UPPER), Some(Duration::ZERO));
    }

    #[test]
    fn connections_without_a_byte_are_nobodys() {
        let of = |segments, octets| Before::of(Received { accepted: 23, segments, octets });
        assert_eq!(of(92, Some(4_968)), Before::Nobody);
        assert_eq!(of(90, Some(4_968 - 104)), Before::Nobody, "the last one is still open");
        assert_eq!(of(92, Some(23 * 296)), Before::Nobody, "by IPv6");
        for (segments, octets) in [(92, Some(4_968 - 104)), (92, None), (93, Some(5_020)), (91, Some(4_968))] {
            assert_eq!(of(segments, octets), Before::Accepted(23), "{segments} {octets:?}");
        }
        assert_eq!(Before::of(Received { accepted: 0, segments: 9, octets: None }), Before::Nobody);
    }

    #[test]
    fn resets_and_a_request_do_not_add_up_to_connections_without_data() {
        // Three checks that end by a reset (60 + 52 + 40), and a request of 164 octets that its client closes.
        let received = Received { accepted: 4, segments: 3 * 3 + 6, octets: Some(3 * 152 + 60 + 5 * 52 + 88) };
        assert_eq!(received.octets, Some(4 * 216));
        assert_eq!(Before::of(received), Before::Accepted(4));
    }

    #[test]
    fn the_probes_calls_before_our_start_explain_no_connections_since_then() {
        let probe = calls((-58_000..0).step_by(2_000), 1);
        let is_nobody = |accepted| {
            let mut all = Calls::new(Duration::from_secs(12), Before::Accepted(accepted));
            all.add(probe.iter().copied());
            all.finding().is_nobody
        };
        assert!(is_nobody(6) && !is_nobody(7), "the program was restarted 12 s ago, in the same network namespace");
    }

    #[test]
    fn thousands_of_calls_a_second_do_not_displace_the_earlier_ones() {
        let mut all = Calls::new(HOUR, Before::Accepted(1 << 40));
        for second in 0..20 {
            let of_three_peers = [1, 2, 3].map(|peer| calls(second * 1_000..(second + 1) * 1_000, peer));
            all.add(of_three_peers.concat());
        }
        let finding = all.finding();
        assert!(finding.rate > Some(20.0), "{finding:?}");
    }

    #[test]
    fn a_probe_among_many_calls_of_the_same_peer_is_found() {
        let busy = calls(uneven(100, -60_000, 1_000), 1);
        let probe = calls((-59_950..9_000).step_by(1_000), 1);
        let both = finding(Before::Accepted(40_000), &[busy, probe].concat());
        assert!(both.probes == 1 && both.last < Some(1_100), "{both:?}");
    }

    #[test]
    fn a_call_that_nobody_saw_makes_the_rate_unknown() {
        assert_eq!(finding(Before::Accepted(1), &[]).needed(UPPER), None);
        assert_eq!(finding(Before::Unknown, &[]).needed(UPPER), None);
        assert_eq!(finding(Before::Nobody, &calls([100], 1)).needed(UPPER), None, "the first call ever, in the stop");
    }

    #[test]
    fn four_calls_are_no_history_and_five_are() {
        let times = [-50_000, -33_000, -31_000, -9_000, -2_000];
        assert_eq!(finding(Before::Accepted(9), &calls(times.into_iter().skip(1), 1)).needed(UPPER), None);
        assert!(finding(Before::Accepted(9), &calls(times, 1)).needed(UPPER).is_some());
    }

    #[test]
    fn a_burst_is_one_call_in_its_tenth() {
        let burst = |at: i32| (at..at + 50).step_by(2);
        let times: Vec<i32> = [-50_000, -31_000, -30_000, -9_000, -2_000].into_iter().flat_map(burst).collect();
        let rate = finding(Before::Accepted(200), &calls(times, 1)).rate.unwrap();
        assert!(rate < 0.1, "{rate}");
    }

    #[test]
    fn a_long_pause_between_bursts_is_needed_twice() {
        let bursts = [-55_000, -40_000, -20_000, -5_000].into_iter().flat_map(|at| uneven(100, at, at + 4_000));
        let finding = finding(Before::Accepted(200), &calls(bursts, 1));
        assert!(finding.pause > Some(Duration::from_secs(15)), "{finding:?}");
        assert!(finding.needed(UPPER) > Some(Duration::from_secs(30)));
        // The control: the same number of calls without the pauses.
        let steady = finding_of_steady(400);
        assert_eq!(steady.pause, None, "{steady:?}");
    }

    fn finding_of_steady(gap: i32) -> Finding {
        finding(Before::Accepted(200), &calls(uneven(gap, -60_000, 0), 1))
    }

    #[test]
    fn a_pause_before_the_last_call_of_an_open_connection_is_none() {
        let open = |call: Call| Call { hides_earlier: true, is_first: false, ..call };
        let kept = calls([-40_100, -21_300, -9_200, -900, -300], 1).into_iter().map(open);
        let all: Vec<Call> = kept.chain(calls(uneven(100, 0, 3_000), 1)).collect();
        let with_kept = finding(Before::Accepted(200), &all);
        assert_eq!(with_kept.pause, None, "{with_kept:?}");
        assert!(with_kept.needed(UPPER) < Some(Duration::from_secs(2)));
    }

    #[test]
    fn the_higher_rate_counts_if_the_kernel_has_forgotten_calls() {
        let in_the_stop = calls(uneven(100, 0, 2_000), 1);
        let rate = finding(Before::Accepted(200), &in_the_stop).rate.unwrap();
        assert!(rate > 5.0, "{rate}");
        // But in front of a slow history the same calls are a burst.
        let both = [calls(uneven(2_000, -60_000, 0), 1), in_the_stop.clone()].concat();
        let capped = finding(Before::Accepted(200), &both).rate.unwrap();
        assert!(capped < 1.0, "{capped}");
        // Open connections show their last call only, so they do not prove that the history was slow.
        let open = |call: &Call| Call { hides_earlier: true, is_first: false, ..*call };
        let kept: Vec<Call> = calls(uneven(2_000, -60_000, 0), 1).iter().map(open).chain(in_the_stop).collect();
        assert_eq!(finding(Before::Accepted(200), &kept).rate, Some(rate));
    }

    #[test]
    fn even_calls_of_one_peer_are_a_probe_and_count_for_nothing() {
        for period in [500, 1_000, 2_000, 5_000, 10_000, 15_000] {
            let steps = usize::try_from(period).unwrap();
            let probe = calls((-60_000 + period / 3..0).step_by(steps), 1);
            let accepted = 3_600_000 / u64::try_from(period).unwrap();
            let finding = finding(Before::Accepted(accepted), &probe);
            assert!(finding.is_nobody && finding.last.is_none(), "{period}: {finding:?}");
            // One connection more than the probe can have made was somebody else's.
            assert!(!super::tests::finding(Before::Accepted(accepted + 2), &probe).is_nobody, "{period}");
        }
    }

    #[test]
    fn a_probe_of_the_shortest_or_longest_period_may_come_a_little_late() {
        for period in [500, 15_000] {
            let late = [3, 0, 4, 1, 0, 2].into_iter().cycle();
            let times = (-60_000 + period / 3..0).step_by(usize::try_from(period).unwrap());
            let accepted = 3_600_000 / u64::try_from(period).unwrap();
            let finding = finding(Before::Accepted(accepted), &calls(times.zip(late).map(|(at, late)| at + late), 1));
            assert!(finding.is_nobody, "{period}: {finding:?}");
        }
    }

    #[test]
    fn three_overlaid_probes_are_probes_and_the_rest_of_that_peer_counts() {
        let probes = |period: i32, phase: i32| (-60_000 + phase..0).step_by(usize::try_from(period).unwrap());
        let three = probes(10_000, 100).chain(probes(5_000, 1_300)).chain(probes(2_000, 777));
        let all = finding(Before::Accepted(360 + 720 + 1_800), &calls(three.clone(), 1));
        assert!(all.is_nobody, "{all:?}");
        let with_a_call = three.chain([-12_345]);
        assert_eq!(finding(Before::Accepted(9_999), &calls(with_a_call, 1)).last, Some(-12_345));
    }

    #[test]
    fn a_probe_whose_gaps_vary_by_a_twentieth_is_one_and_by_a_tenth_is_none() {
        let late = [0, 1, -1, 0, -1, 1, 1, 0, 1, -1, -1, 0];
        let probe = |by: i32| calls(late.into_iter().zip(0..).map(|(late, n)| -58_000 + 5_000 * n + late * by), 1);
        assert!(finding(Before::Accepted(700), &probe(120)).last.is_none());
        assert!(finding(Before::Accepted(700), &probe(400)).last.is_some());
    }

    #[test]
    fn a_late_probe_hides_no_call_of_a_young_pod() {
        let probe = calls((-40_500..0).step_by(1_000), 1);
        let is_nobody = |accepted| {
            let mut all = Calls::new(Duration::from_secs(60), Before::Accepted(accepted));
            all.add(probe.iter().copied());
            all.finding().is_nobody
        };
        assert!(is_nobody(41));
        assert!(!is_nobody(42), "somebody called whose connections have left nothing");
    }

    #[test]
    fn a_late_probe_hides_no_callers_of_an_older_pod_unless_they_are_rarer_than_matters() {
        let probe = calls((-60_000..0).step_by(10_000), 1);
        let is_nobody = |age, accepted| {
            let mut all = Calls::new(Duration::from_secs(age), Before::Accepted(accepted));
            all.add(probe.iter().copied());
            all.finding().is_nobody
        };
        assert!(is_nobody(600, 60) && is_nobody(600, 59), "it began when we did, or the server was slow to listen");
        assert!(!is_nobody(600, 57), "it began 30 s later, or later still, and others called");
        assert!(is_nobody(50_000, 4_997), "three calls in 14 hours");
    }

    #[test]
    fn a_startup_probe_that_has_ended_is_a_probe_too() {
        let mut all = Calls::new(Duration::from_secs(60), Before::Accepted(15));
        all.add(calls((-60_000..-30_000).step_by(2_000), 1));
        assert!(all.finding().is_nobody);
    }

    #[test]
    fn a_client_that_a_person_has_named_is_no_probe() {
        let named = |call: Call| Call { caller: Caller::Client, ..call };
        let polls: Vec<Call> = calls((-58_000..0).step_by(5_000), 1).into_iter().map(named).collect();
        assert_eq!(finding(Before::Accepted(12), &polls).last, Some(-3_000));
    }

    #[test]
    fn even_calls_on_one_connection_do_not_explain_the_connections_of_others() {
        let on_one = |call: Call| Call { is_first: false, hides_earlier: true, ..call };
        let pings: Vec<Call> = calls((-1_000..6_000).step_by(1_000), 1).into_iter().map(on_one).collect();
        assert!(finding(Before::Accepted(1), &pings).is_nobody);
        assert!(!finding(Before::Accepted(2), &pings).is_nobody, "one more connection was made");
    }

    #[test]
    fn a_call_of_long_ago_that_shows_only_now_counts_for_nothing() {
        let mut all = Calls::new(HOUR, Before::Accepted(9_999));
        all.add(calls([i32::MIN, -61_000], 1));
        all.add(calls(uneven(2_000, -60_000, 0), 1));
        assert_eq!(all.finding().rate, finding_of_steady(2_000).rate);
    }

    #[test]
    fn an_ignored_peer_counts_for_nothing_and_its_even_connections_are_explained() {
        let ignored = |call: Call| Call { caller: Caller::Ignored, ..call };
        let uneven: Vec<Call> = calls(uneven(3_000, -60_000, 2_000), 1).into_iter().map(ignored).collect();
        let of_uneven = finding(Before::Accepted(1_200), &uneven);
        assert_eq!((of_uneven.last, of_uneven.rate, of_uneven.is_nobody), (None, None, false), "some may be others'");
        let even: Vec<Call> = calls((-58_000..0).step_by(2_000), 1).into_iter().map(ignored).collect();
        assert!(finding(Before::Accepted(1_800), &even).is_nobody);
    }

    #[test]
    fn even_calls_that_are_too_many_for_probes_are_a_clients() {
        let fast = finding(Before::Accepted(300), &calls((-60_000..0).step_by(200), 1));
        assert_eq!(fast.last, Some(-200));
    }

    #[test]
    fn a_probe_continues_in_the_stop() {
        let probe = calls((-58_000..9_000).step_by(2_000), 1);
        let finding = finding(Before::Accepted(1_800), &probe);
        assert!(finding.is_nobody && finding.last.is_none(), "{finding:?}");
    }
}
