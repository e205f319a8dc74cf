//! Which updates to rehearse, from the options; and whether the options contradict each other.
//!
//! Nothing here looks for a program or starts one.

use std::time::Duration;

use softstop::duration::{Bounds, show};
use softstop::shutdown::KILL_WAIT;

use super::Options;
use super::sweep_range::{SweepRange, SweptSetting};
use crate::duration::one_word;
use crate::failure::Failure;
use crate::rehearsal::Sweep;
use crate::update::contender::{ContenderKind, StopTimes};
use crate::update::content::SHORTEST_SLOW;

/// What will be rehearsed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) updates: Vec<PlannedUpdate>,
    pub(crate) sweep: Option<Sweep>,
}

/// The update of one contender.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PlannedUpdate {
    pub(crate) contender: ContenderKind,
    /// `pre-delay=2s`, in a sweep.
    pub(crate) name: Option<String>,
    pub(crate) times: StopTimes,
    pub(crate) lag: Duration,
}

impl Plan {
    /// # Errors
    ///
    /// The options contradict each other.
    pub(crate) fn of(options: &Options) -> Result<Self, Failure> {
        if options.slow < SHORTEST_SLOW {
            return Err(Failure::usage(format!("--slow must be at least {}", show(SHORTEST_SLOW))));
        }
        if options.slow >= options.load.timeout {
            return Err(Failure::usage(format!(
                "every slow request (--slow {}) would be lost to --timeout {}: give a longer --timeout",
                show(options.slow),
                show(options.load.timeout)
            )));
        }
        let of = |contender| PlannedUpdate { contender, name: None, times: options.times, lag: options.lag };
        let (updates, sweep) = match &options.sweep {
            None => (contenders(&options.contenders)?.into_iter().map(of).collect(), None),
            Some(range) => {
                if options.contenders.iter().any(|contender| *contender != ContenderKind::Softstop) {
                    return Err(Failure::usage("--sweep applies to softstop only: leave out --contender"));
                }
                (swept(&of(ContenderKind::Softstop), range), Some(range.to_record()))
            }
        };
        let plan = Self { updates, sweep };
        plan.updates.iter().try_for_each(|update| update.fits(options.grace_period))?;
        Ok(plan)
    }

    pub(crate) fn has(&self, contender: ContenderKind) -> bool {
        self.updates.iter().any(|update| update.contender == contender)
    }
}

impl PlannedUpdate {
    /// Whether a stop fits into the grace period; for softstop by its own rules.
    fn fits(&self, grace_period: Duration) -> Result<(), Failure> {
        let (pre_delay, drain_timeout) = (self.times.pre_delay.most, self.times.drain_timeout);
        match self.contender {
            ContenderKind::Softstop if pre_delay + drain_timeout + KILL_WAIT > grace_period => {
                Err(Failure::usage(format!(
                    "a pre-delay of {}, a drain timeout of {} and {} for the end do not fit into the grace period of {}: give \
                     a longer --grace-period, or shorten the others",
                    show(pre_delay),
                    show(drain_timeout),
                    show(KILL_WAIT),
                    show(grace_period)
                )))
            }
            ContenderKind::Prestop if pre_delay >= grace_period => Err(Failure::usage(format!(
                "a preStop hook that sleeps for {} leaves nothing of the grace period of {}: give a longer --grace-period, or \
                 a shorter --pre-delay",
                show(pre_delay),
                show(grace_period)
            ))),
            ContenderKind::Bare
            | ContenderKind::Tini
            | ContenderKind::DumbInit
            | ContenderKind::Prestop
            | ContenderKind::Softstop => Ok(()),
        }
    }
}

/// The contenders that were asked for, or all, always in the order of [`ContenderKind::ALL`].
fn contenders(asked: &[ContenderKind]) -> Result<Vec<ContenderKind>, Failure> {
    let is_repeated = |(at, each): &(usize, &ContenderKind)| asked.iter().take(*at).any(|earlier| earlier == *each);
    if let Some((_, twice)) = asked.iter().enumerate().find(is_repeated) {
        return Err(Failure::usage(format!("--contender names {} twice", twice.name())));
    }
    Ok(ContenderKind::ALL.into_iter().filter(|each| asked.is_empty() || asked.contains(each)).collect())
}

/// The update once for each value of the sweep.
fn swept(update: &PlannedUpdate, range: &SweepRange) -> Vec<PlannedUpdate> {
    let with = |value: Duration| {
        let mut update = update.clone();
        match range.setting {
            SweptSetting::PreDelay => update.times.pre_delay = Bounds::exactly(value),
            SweptSetting::DrainTimeout => update.times.drain_timeout = value,
            SweptSetting::Lag => update.lag = value,
        }
        update.name = Some(format!("{}={}", range.setting.name(), one_word(value)));
        update
    };
    range.values.iter().copied().map(with).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    fn plan(flags: &[&str]) -> Result<Plan, String> {
        let options = cli::local_options(flags);
        options.and_then(|options| Plan::of(&options)).map_err(|failure| {
            assert_eq!(failure.code, 2);
            failure.sentence
        })
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn without_flags_all_contenders_take_part() {
        let plan = plan(&[]).unwrap();
        let contenders: Vec<_> = plan.updates.iter().map(|update| update.contender).collect();
        assert_eq!(contenders, ContenderKind::ALL);
        assert_eq!(plan.sweep, None);
    }

    #[test]
    fn contenders_come_in_their_usual_order() {
        let plan = plan(&["--contender", "softstop,bare"]).unwrap();
        assert_eq!(
            plan.updates.iter().map(|update| update.contender).collect::<Vec<_>>(),
            [ContenderKind::Bare, ContenderKind::Softstop]
        );
        assert!(plan.has(ContenderKind::Bare) && !plan.has(ContenderKind::Tini));
    }

    #[test]
    fn a_sweep_rehearses_softstop_once_for_each_value_including_both_ends() {
        let plan = plan(&["--sweep", "pre-delay=0s..3s:1500ms"]).unwrap();
        let names: Vec<_> = plan.updates.iter().map(|update| update.name.as_deref().unwrap()).collect();
        assert_eq!(names, ["pre-delay=0s", "pre-delay=1s500ms", "pre-delay=3s"]);
        let delays: Vec<_> = plan.updates.iter().map(|update| update.times.pre_delay.most).collect();
        assert_eq!(delays, [secs(0), Duration::from_millis(1500), secs(3)]);
        assert_eq!(plan.sweep, Some(Sweep { setting: "pre-delay".to_owned(), values: vec![0.0, 1.5, 3.0] }));
    }

    #[test]
    fn the_other_settings_can_be_swept_too() {
        let lags = plan(&["--sweep", "lag=1..2:1"]).unwrap();
        assert_eq!(lags.updates.iter().map(|update| update.lag).collect::<Vec<_>>(), [secs(1), secs(2)]);
        let drains = plan(&["--sweep", "drain-timeout=5s..5s:1s"]).unwrap();
        assert_eq!(drains.updates.iter().map(|update| update.times.drain_timeout).collect::<Vec<_>>(), [secs(5)]);
    }

    #[test]
    fn what_is_impossible_is_refused_with_a_remedy() {
        for (flags, remedy) in [
            (&["--sweep", "pre-delay"][..], "write it as SETTING=FROM..TO:STEP"),
            (&["--sweep", "pre-delay=0s-6s:1s"], "write it as SETTING=FROM..TO:STEP"),
            (&["--sweep", "pre-delay=0s..6s"], "write it as SETTING=FROM..TO:STEP"),
            (&["--sweep", "grace=0s..6s:1s"], "only pre-delay, drain-timeout, lag"),
            (&["--sweep", "lag=0s..6x:1s"], "`6x`: `x` is not a unit"),
            (&["--sweep", "lag=6s..0s:1s"], "it begins at 6s but ends before, at 0s"),
            (&["--sweep", "lag=0s..6s:0s"], "the step must be above zero"),
            (&["--sweep", "lag=0s..60s:1s"], "these are 61 values; the maximum is 60"),
            (&["--sweep", "lag=0s..6s:1s", "--contender", "bare"], "leave out --contender"),
            (&["--contender", "tini,tini"], "names tini twice"),
            (&["--pre-delay", "10s"], "give a longer --grace-period"),
            (&["--sweep", "pre-delay=0s..10s:1s"], "a pre-delay of 10s"),
            (&["--contender", "prestop", "--pre-delay", "30s"], "a preStop hook that sleeps for 30s"),
            (&["--slow", "20s"], "give a longer --timeout"),
            (&["--slow", "5ms"], "--slow must be at least 100ms"),
        ] {
            let sentence = plan(flags).unwrap_err();
            assert!(sentence.contains(remedy), "{flags:?}: {sentence}");
        }
        // The drain timeout applies to softstop only.
        assert!(plan(&["--contender", "prestop,bare", "--pre-delay", "10s"]).is_ok());
    }
}
