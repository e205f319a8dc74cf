//! When a wait ends: softstop's rule and simpler ones.

use std::time::Duration;

use softstop::probe::MEMORY;
use softstop::rate::Before;
use softstop::shutdown::Activity;
use softstop::snapshot::Snapshot;
use softstop::traffic::{Silence, Traffic};

use super::cell::Cell;
use super::pod::Pod;
use super::random::Random;

/// The interval of snapshots.
const INTERVAL: f64 = 0.25;
/// A snapshot is late by at most so much.
const LATEST: f64 = 0.001;
/// The lower bound of the wait, and the silence that is always needed.
pub const LOWER: f64 = 2.0;
pub const QUIET: f64 = 2.0;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// softstop's own code.
    Softstop,
    /// It waits for so many seconds.
    Fixed(f64),
    /// Two seconds of silence, whoever calls: what softstop did before.
    TwoSeconds,
    /// ln(100) / r seconds of silence, with r as counted in the last minute.
    OnePause,
}

/// When snapshots are taken during a wait, in seconds since the first one.
#[derive(Debug)]
pub struct Looks(Vec<f64>);

impl Looks {
    pub fn new(upper: f64, random: &mut Random) -> Self {
        let mut looks = vec![0.0];
        while let Some(next) = looks.last().map(|last| last + INTERVAL).filter(|&next| next < upper) {
            looks.push(next + random.fraction() * LATEST);
        }
        Self(looks)
    }
}

impl Rule {
    /// When the wait ends.
    pub fn end(self, cell: &Cell, pod: &Pod, first: &Snapshot, looks: &Looks) -> f64 {
        match self {
            Self::Fixed(seconds) => seconds,
            Self::Softstop => softstop(cell, pod, first.clone(), looks).unwrap_or(cell.upper),
            Self::TwoSeconds => silence(pod, looks, QUIET).unwrap_or(cell.upper),
            Self::OnePause => {
                let rate = first.calls.len() as f64 / cell.age.min(MEMORY.as_secs_f64());
                silence(pod, looks, QUIET.max(100.0_f64.ln() / rate)).unwrap_or(cell.upper)
            }
        }
    }
}

/// When so much silence has been since the stop began.
fn silence(pod: &Pod, Looks(looks): &Looks, needed: f64) -> Option<f64> {
    let is_over = |now: f64| now >= LOWER && now - pod.last_before(now).unwrap_or(0.0).max(0.0) >= needed;
    looks.iter().copied().find(|&now| is_over(now))
}

/// As `Supervisor::watch_traffic` and `Shutdown::quiet_reached` do it.
fn softstop(cell: &Cell, pod: &Pod, first: Snapshot, Looks(looks): &Looks) -> Option<f64> {
    let of = Activity::Requests;
    let moment = |time: f64| Duration::from_secs_f64(cell.age + time);
    let mut traffic = Traffic::begin(
        moment(0.0),
        Before::of(softstop::rate::Received { accepted: pod.accepted, segments: 0, octets: None }),
        of,
    );
    traffic.add(first, None, moment(0.0));
    let later = looks.iter().zip(looks.iter().skip(1));
    later.map(|(&last, &now)| (last, now)).find_map(|(last, now)| {
        traffic.add(pod.later_snapshot(last, now), None, moment(now));
        let needed = traffic.needed(of, Some(Duration::from_secs_f64(cell.upper)))?.max(Duration::from_secs_f64(QUIET));
        let is_quiet = matches!(traffic.silence(of, moment(now)), Silence::Seen(silence) if silence >= needed);
        (is_quiet && now >= LOWER).then_some(now)
    })
}
