//! The generator's own limits: met, they must not pass for the server's.

use std::num::NonZero;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::TimeVal;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::client::locked;

/// How often the pulse is felt.
const BEAT: Duration = Duration::from_millis(20);
/// A beat this late is a moment in which the generator stood still.
pub(crate) const STALL: Duration = Duration::from_millis(250);
/// One in a hundred this late is more than a scheduler's noise.
const LATE: Duration = Duration::from_millis(50);
/// With so much of all cores in use a request waits for its turn.
const BUSY: f64 = 0.9;

/// The soft limit of descriptors before it was raised.
static BEFORE: OnceLock<u64> = OnceLock::new();

/// Lets this process have as many descriptors as it may.
pub(crate) fn raise_descriptors() {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        let _ = BEFORE.set(soft); // only the first was not ours
    }
}

/// What a program that is started from here is to have, where it would inherit something else.
pub(crate) fn descriptors_before() -> Option<u64> {
    BEFORE.get().copied()
}

/// How many descriptors this process may have.
pub(crate) fn descriptors() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft)
}

/// Feels the pulse of this process: whether it runs when it wants to.
#[derive(Debug)]
pub(crate) struct Pulse {
    began: Instant,
    cpu_before: Duration,
    felt: Arc<Mutex<Felt>>,
    beating: JoinHandle<()>,
}

/// What was felt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Felt {
    /// By how much each beat was late.
    late: Vec<Duration>,
    /// From when to when it stood still.
    pub(crate) stalls: Vec<(Instant, Instant)>,
    /// The cores in use in the busiest second.
    busiest: f64,
    /// And in all the time.
    pub(crate) cores: f64,
}

impl Pulse {
    pub(crate) fn start() -> Self {
        let felt: Arc<Mutex<Felt>> = Arc::default();
        let beating = tokio::spawn(beat(felt.clone()));
        Self { began: Instant::now(), cpu_before: cpu(), felt, beating }
    }

    pub(crate) fn stop(self) -> Felt {
        self.beating.abort();
        let cores = cores(cpu().saturating_sub(self.cpu_before), self.began.elapsed());
        Felt { cores, ..locked(&self.felt).clone() }
    }
}

async fn beat(felt: Arc<Mutex<Felt>>) {
    let (mut second, mut used) = (Instant::now(), cpu());
    loop {
        let due = Instant::now() + BEAT;
        sleep_until(due).await;
        let now = Instant::now();
        let mut felt = locked(&felt);
        felt.late.push(now - due);
        if now - due > STALL {
            felt.stalls.push((due, now));
        }
        if now - second >= Duration::from_secs(1) {
            let now_used = cpu();
            felt.busiest = felt.busiest.max(cores(now_used.saturating_sub(used), now - second));
            (second, used) = (now, now_used);
        }
    }
}

impl Felt {
    /// What of it a reader of the figures must know, in sentences.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        #[expect(clippy::cast_precision_loss, reason = "a count of cores")]
        if self.busiest > BUSY * cores as f64 {
            sentences.push(format!(
                "The generator used {:.1} of {cores} cores in its busiest second: waiting for a core may be in the latencies.",
                self.busiest
            ));
        }
        if let Some((p99, most)) = too_late(self.late.clone()) {
            sentences.push(format!(
                "The generator did not run when it wanted to: a beat in a hundred came {} ms late or more, one {} ms; so much \
                 may be its own in a latency.",
                p99.as_millis(),
                most.as_millis()
            ));
        }
        sentences
    }

    /// How much of this time it stood still.
    pub(crate) fn stood_still(&self, from: Instant, to: Instant) -> Duration {
        let shared = |(began, ended): &(Instant, Instant)| ended.min(&to).saturating_duration_since(*began.max(&from));
        self.stalls.iter().map(shared).sum()
    }
}

/// The 99th percentile and the most, where one of them is more than noise.
pub(crate) fn too_late(mut late: Vec<Duration>) -> Option<(Duration, Duration)> {
    late.sort_unstable();
    let p99 = *late.get((late.len() * 99).div_ceil(100).saturating_sub(1))?;
    let most = *late.last()?;
    (p99 > LATE || most > STALL).then_some((p99, most))
}

/// What this process has used.
fn cpu() -> Duration {
    let time = |value: TimeVal| {
        Duration::from_secs(value.tv_sec().try_into().unwrap_or(0))
            + Duration::from_micros(value.tv_usec().try_into().unwrap_or(0))
    };
    getrusage(UsageWho::RUSAGE_SELF).map_or(Duration::ZERO, |usage| time(usage.user_time()) + time(usage.system_time()))
}

fn cores(used: Duration, within: Duration) -> f64 {
    if within.is_zero() { 0.0 } else { used.as_secs_f64() / within.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_little_late_is_noise_and_one_long_stall_is_not() {
        let mut late = vec![Duration::from_millis(3); 1000];
        assert_eq!(too_late(late.clone()), None);
        late.push(Duration::from_millis(400));
        assert_eq!(too_late(late), Some((Duration::from_millis(3), Duration::from_millis(400))));
        assert_eq!(too_late(Vec::new()), None);
    }

    #[test]
    fn nearly_all_cores_in_use_is_said() {
        let busy = |busiest| Felt { busiest, ..Felt::default() }.sentences();
        assert!(busy(100_000.0).concat().contains("cores in its busiest second"));
        assert_eq!(busy(0.2), Vec::<String>::new());
    }

    #[test]
    fn a_stall_counts_only_as_far_as_it_lies_within() {
        let at = |start: Instant, seconds| start + Duration::from_secs(seconds);
        let start = Instant::now();
        let felt = Felt { stalls: vec![(at(start, 2), at(start, 5))], ..Felt::default() };
        assert_eq!(felt.stood_still(at(start, 4), at(start, 9)), Duration::from_secs(1));
        assert_eq!(felt.stood_still(at(start, 5), at(start, 9)), Duration::ZERO);
        assert_eq!(felt.stood_still(start, at(start, 1)), Duration::ZERO);
    }
}
