//! Measures the delays and the CPU time of the generator itself, so that they are not attributed to the server.

use std::num::NonZero;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::locked;

/// The interval of the timer whose delays are measured.
const INTERVAL: Duration = Duration::from_millis(20);
/// A delay this long counts as a stall.
pub(crate) const STALL: Duration = Duration::from_millis(250);
/// If one delay in a hundred is longer than this, it is more than the scheduler's usual jitter.
const JITTER: Duration = Duration::from_millis(50);
/// With a larger share of all cores in use, requests wait for a core.
const BUSY: f64 = 0.9;

/// Watches whether this process runs when it is due, and how much CPU time it uses.
#[derive(Debug)]
pub(crate) struct Monitor {
    began: Instant,
    cpu_before: Duration,
    usage: Arc<Mutex<Usage>>,
    task: JoinHandle<()>,
}

/// What the monitor measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    /// How late each timer fired.
    delays: Vec<Duration>,
    /// The beginning and the end of each stall.
    stalls: Vec<(Instant, Instant)>,
    /// The cores in use in the busiest second.
    busiest_cores: f64,
    /// The cores in use on average.
    pub(crate) cores: f64,
}

impl Monitor {
    pub(crate) fn start() -> Self {
        let usage: Arc<Mutex<Usage>> = Arc::default();
        let task = tokio::spawn(watch(usage.clone()));
        Self { began: Instant::now(), cpu_before: cpu_time(), usage, task }
    }

    pub(crate) fn stop(self) -> Usage {
        self.task.abort();
        let cores = cores(cpu_time().saturating_sub(self.cpu_before), self.began.elapsed());
        Usage { cores, ..locked(&self.usage).clone() }
    }
}

async fn watch(usage: Arc<Mutex<Usage>>) {
    let (mut second_began, mut cpu_then) = (Instant::now(), cpu_time());
    loop {
        let due = Instant::now() + INTERVAL;
        sleep_until(due).await;
        let now = Instant::now();
        let mut usage = locked(&usage);
        usage.delays.push(now - due);
        if now - due > STALL {
            usage.stalls.push((due, now));
        }
        if now - second_began >= Duration::from_secs(1) {
            let cpu_now = cpu_time();
            usage.busiest_cores = usage.busiest_cores.max(cores(cpu_now.saturating_sub(cpu_then), now - second_began));
            (second_began, cpu_then) = (now, cpu_now);
        }
    }
}

impl Usage {
    /// What a reader of the figures must know, in sentences.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        #[expect(clippy::cast_precision_loss, reason = "a count of cores")]
        if self.busiest_cores > BUSY * cores as f64 {
            sentences.push(format!(
                "The generator used {:.1} of {cores} cores in its busiest second: latencies may include waiting for a core.",
                self.busiest_cores
            ));
        }
        if let Some((p99, most)) = too_late(self.delays.clone()) {
            sentences.push(format!(
                "The generator did not always run when it was due: one of its timers in a hundred was {} ms late or more, the \
                 worst {} ms. Latencies may include that delay.",
                p99.as_millis(),
                most.as_millis()
            ));
        }
        sentences
    }

    /// How long stalls lasted in this time.
    pub(crate) fn stalled_between(&self, from: Instant, to: Instant) -> Duration {
        let shared = |(began, ended): &(Instant, Instant)| ended.min(&to).saturating_duration_since(*began.max(&from));
        self.stalls.iter().map(shared).sum()
    }
}

/// The 99th percentile and the maximum of the delays, if either is more than jitter.
pub(crate) fn too_late(mut delays: Vec<Duration>) -> Option<(Duration, Duration)> {
    delays.sort_unstable();
    let p99 = *delays.get((delays.len() * 99).div_ceil(100).saturating_sub(1))?;
    let most = *delays.last()?;
    (p99 > JITTER || most > STALL).then_some((p99, most))
}

/// The CPU time that this process has used.
fn cpu_time() -> Duration {
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
    fn small_delays_are_jitter_and_one_long_stall_is_not() {
        let mut delays = vec![Duration::from_millis(3); 1000];
        assert_eq!(too_late(delays.clone()), None);
        delays.push(Duration::from_millis(400));
        assert_eq!(too_late(delays), Some((Duration::from_millis(3), Duration::from_millis(400))));
        assert_eq!(too_late(Vec::new()), None);
    }

    #[test]
    fn a_generator_that_uses_nearly_all_cores_is_reported() {
        let busy = |busiest_cores| Usage { busiest_cores, ..Usage::default() }.sentences();
        assert!(busy(100_000.0).concat().contains("cores in its busiest second"));
        assert_eq!(busy(0.2), Vec::<String>::new());
    }

    #[test]
    fn only_the_part_of_a_stall_within_the_time_counts() {
        let at = |start: Instant, seconds| start + Duration::from_secs(seconds);
        let start = Instant::now();
        let usage = Usage { stalls: vec![(at(start, 2), at(start, 5))], ..Usage::default() };
        assert_eq!(usage.stalled_between(at(start, 4), at(start, 9)), Duration::from_secs(1));
        assert_eq!(usage.stalled_between(at(start, 5), at(start, 9)), Duration::ZERO);
        assert_eq!(usage.stalled_between(start, at(start, 1)), Duration::ZERO);
    }
}
