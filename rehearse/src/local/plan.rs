//! What the flags mean together: who plays which scene, and whether that can be.
//!
//! Pure: no program is looked for, nothing is started.

use std::time::Duration;

use clap::ValueEnum;
use softstop::duration::{Bounds, show};
use softstop::shutdown::KILL_WAIT;

use crate::Failure;
use crate::cli::{self, Contender, Local};
use crate::contender::{self, Times};
use crate::figures::Sweep;
use crate::load::Pace;
use crate::server::SHORTEST_SLOW;

/// The rate without `--rate` and `--concurrency`.
const RATE: f64 = 200.0;
/// The most requests in flight where only a rate is given.
const IN_FLIGHT: u32 = 2000;
/// A sweep of more would take hours.
const MOST_VALUES: u128 = 60;

/// What will be rehearsed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) scenes: Vec<Scene>,
    pub(crate) sweep: Option<Sweep>,
    pub(crate) pace: Pace,
}

/// One contender's update.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scene {
    pub(crate) contender: Contender,
    /// `pre-delay=2s`, in a sweep.
    pub(crate) name: Option<String>,
    pub(crate) times: Times,
    pub(crate) lag: Duration,
}

impl Plan {
    /// # Errors
    ///
    /// The flags contradict each other, or one of them cannot be read.
    pub(crate) fn of(arguments: &Local) -> Result<Self, Failure> {
        if arguments.slow < SHORTEST_SLOW {
            return Err(Failure::usage(format!("--slow is {} at least", show(SHORTEST_SLOW))));
        }
        if arguments.slow >= arguments.pace.timeout {
            return Err(Failure::usage(format!(
                "every slow request (--slow {}) would be lost to --timeout {}: give a longer --timeout",
                show(arguments.slow),
                show(arguments.pace.timeout)
            )));
        }
        let base = Times { pre_delay: arguments.pre_delay, drain_timeout: arguments.drain_timeout };
        let scene = |contender| Scene { contender, name: None, times: base, lag: arguments.lag };
        let (scenes, sweep) = match &arguments.sweep {
            None => (contenders(&arguments.contender)?.into_iter().map(scene).collect(), None),
            Some(range) => {
                if arguments.contender.iter().any(|contender| *contender != Contender::Softstop) {
                    return Err(Failure::usage("--sweep is softstop's alone: leave out --contender"));
                }
                let (setting, values) =
                    range_of(range).map_err(|why| Failure::usage(format!("--sweep {range}: {why}")))?;
                let scenes = values.iter().map(|value| setting.applied(scene(Contender::Softstop), *value)).collect();
                let values = values.iter().map(Duration::as_secs_f64).collect();
                (scenes, Some(Sweep { setting: setting.name().to_owned(), values }))
            }
        };
        let plan = Self { scenes, sweep, pace: pace(&arguments.pace) };
        plan.scenes.iter().try_for_each(|scene| scene.fits(arguments.grace_period))?;
        Ok(plan)
    }

    pub(crate) fn has(&self, contender: Contender) -> bool {
        self.scenes.iter().any(|scene| scene.contender == contender)
    }
}

impl Scene {
    /// By softstop's own rules for a grace period.
    fn fits(&self, grace_period: Duration) -> Result<(), Failure> {
        let (pre_delay, drain_timeout) = (self.times.pre_delay.most, self.times.drain_timeout);
        let refused = match self.contender {
            Contender::Softstop => pre_delay.saturating_add(drain_timeout).saturating_add(KILL_WAIT) > grace_period,
            Contender::Prestop => pre_delay >= grace_period,
            Contender::Bare | Contender::Tini | Contender::DumbInit => false,
        };
        if !refused {
            return Ok(());
        }
        let [pre_delay, drain_timeout, grace_period] = [pre_delay, drain_timeout, grace_period].map(show);
        Err(Failure::usage(format!(
            "a pre-delay of {pre_delay} and a drain timeout of {drain_timeout}, and {} to report in, do not fit into the grace \
             period of {grace_period}: give a longer --grace-period, or less of the others",
            show(KILL_WAIT)
        )))
    }
}

fn pace(asked: &cli::Pace) -> Pace {
    match (asked.rate, asked.concurrency) {
        (None, Some(users)) => Pace::Closed { users, pause: asked.pause },
        (rate, in_flight) => Pace::Open { per_second: rate.unwrap_or(RATE), in_flight: in_flight.unwrap_or(IN_FLIGHT) },
    }
}

/// Those asked for, or all; in the order in which they take part.
fn contenders(asked: &[Contender]) -> Result<Vec<Contender>, Failure> {
    if let Some(twice) = asked.iter().enumerate().find(|(at, each)| asked.iter().take(*at).any(|other| other == *each))
    {
        return Err(Failure::usage(format!("--contender names {} twice", name(*twice.1))));
    }
    Ok(contender::ALL.into_iter().filter(|each| asked.is_empty() || asked.contains(each)).collect())
}

/// As the command line has it.
pub(crate) fn name(contender: Contender) -> String {
    contender.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// What can be swept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setting {
    PreDelay,
    DrainTimeout,
    Lag,
}

impl Setting {
    const ALL: [Self; 3] = [Self::PreDelay, Self::DrainTimeout, Self::Lag];

    fn name(self) -> &'static str {
        match self {
            Self::PreDelay => "pre-delay",
            Self::DrainTimeout => "drain-timeout",
            Self::Lag => "lag",
        }
    }

    fn applied(self, mut scene: Scene, value: Duration) -> Scene {
        match self {
            Self::PreDelay => scene.times.pre_delay = Bounds::exactly(value),
            Self::DrainTimeout => scene.times.drain_timeout = value,
            Self::Lag => scene.lag = value,
        }
        scene.name = Some(format!("{}={}", self.name(), show(value).replace(' ', "")));
        scene
    }
}

/// `pre-delay=0s..6s:1s`
fn range_of(word: &str) -> Result<(Setting, Vec<Duration>), String> {
    let form = || "write it as SETTING=FROM..TO:STEP, for example pre-delay=0s..6s:1s".to_owned();
    let (setting, range) = word.split_once('=').ok_or_else(form)?;
    let setting = Setting::ALL
        .into_iter()
        .find(|each| each.name() == setting.trim())
        .ok_or_else(|| format!("`{setting}` cannot be swept, only {}", Setting::ALL.map(Setting::name).join(", ")))?;
    let (from, rest) = range.split_once("..").ok_or_else(form)?;
    let (to, step) = rest.split_once(':').ok_or_else(form)?;
    let read = |word: &str| cli::duration(word.trim()).map_err(|why| format!("`{}`: {why}", word.trim()));
    let (from, to, step) = (read(from)?, read(to)?, read(step)?);
    if step.is_zero() {
        return Err("the step is above zero".to_owned());
    }
    let Some(span) = to.checked_sub(from) else {
        return Err(format!("it begins at {} and ends before, at {}", show(from), show(to)));
    };
    let count = span.as_nanos() / step.as_nanos() + 1;
    if count > MOST_VALUES {
        return Err(format!("these are {count} values, and {MOST_VALUES} are the most: take a longer step"));
    }
    let values = std::iter::successors(Some(from), |value| value.checked_add(step)).take_while(|value| *value <= to);
    Ok((setting, values.collect()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Verb};

    fn plan(flags: &[&str]) -> Result<Plan, String> {
        let words = ["softstop-rehearse", "local"].iter().chain(flags);
        let Verb::Local(arguments) = Cli::try_parse_from(words).map_err(|error| error.to_string())?.verb else {
            unreachable!("that is the verb")
        };
        Plan::of(&arguments).map_err(|failure| {
            assert_eq!(failure.code, crate::WRONG_USAGE);
            failure.sentence
        })
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn without_flags_everybody_takes_part_at_an_open_rate() {
        let plan = plan(&[]).unwrap();
        assert_eq!(plan.scenes.iter().map(|scene| scene.contender).collect::<Vec<_>>(), contender::ALL);
        assert_eq!(plan.pace, Pace::Open { per_second: 200.0, in_flight: 2000 });
        assert_eq!(plan.sweep, None);
    }

    #[test]
    fn concurrency_alone_is_a_number_of_users() {
        let pause = Duration::from_millis(100);
        assert_eq!(plan(&["--concurrency", "20"]).unwrap().pace, Pace::Closed { users: 20, pause });
        let both = plan(&["--concurrency", "20", "--rate", "50"]).unwrap().pace;
        assert_eq!(both, Pace::Open { per_second: 50.0, in_flight: 20 });
    }

    #[test]
    fn contenders_come_in_their_own_order() {
        let plan = plan(&["--contender", "softstop,bare"]).unwrap();
        assert_eq!(
            plan.scenes.iter().map(|scene| scene.contender).collect::<Vec<_>>(),
            [Contender::Bare, Contender::Softstop]
        );
        assert!(plan.has(Contender::Bare) && !plan.has(Contender::Tini));
    }

    #[test]
    fn a_sweep_plays_softstop_once_for_each_value_both_ends_included() {
        let plan = plan(&["--sweep", "pre-delay=0s..3s:1500ms"]).unwrap();
        let names: Vec<_> = plan.scenes.iter().map(|scene| scene.name.as_deref().unwrap()).collect();
        assert_eq!(names, ["pre-delay=0s", "pre-delay=1s500ms", "pre-delay=3s"]);
        let delays: Vec<_> = plan.scenes.iter().map(|scene| scene.times.pre_delay.most).collect();
        assert_eq!(delays, [secs(0), Duration::from_millis(1500), secs(3)]);
        assert_eq!(plan.sweep, Some(Sweep { setting: "pre-delay".to_owned(), values: vec![0.0, 1.5, 3.0] }));
    }

    #[test]
    fn the_other_settings_can_be_swept_too() {
        let lags: Vec<_> = plan(&["--sweep", "lag=1..2:1"]).unwrap().scenes.iter().map(|scene| scene.lag).collect();
        assert_eq!(lags, [secs(1), secs(2)]);
        let drains = plan(&["--sweep", "drain-timeout=5s..5s:1s"]).unwrap();
        assert_eq!(drains.scenes.iter().map(|scene| scene.times.drain_timeout).collect::<Vec<_>>(), [secs(5)]);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_remedy() {
        for (flags, remedy) in [
            (&["--sweep", "pre-delay"][..], "write it as SETTING=FROM..TO:STEP"),
            (&["--sweep", "pre-delay=0s-6s:1s"], "write it as SETTING=FROM..TO:STEP"),
            (&["--sweep", "pre-delay=0s..6s"], "write it as SETTING=FROM..TO:STEP"),
            (&["--sweep", "grace=0s..6s:1s"], "only pre-delay, drain-timeout, lag"),
            (&["--sweep", "lag=0s..6x:1s"], "`6x`: `x` is no unit"),
            (&["--sweep", "lag=6s..0s:1s"], "it begins at 6s and ends before, at 0s"),
            (&["--sweep", "lag=0s..6s:0s"], "the step is above zero"),
            (&["--sweep", "lag=0s..60s:1s"], "these are 61 values, and 60 are the most"),
            (&["--sweep", "lag=0s..6s:1s", "--contender", "bare"], "leave out --contender"),
            (&["--contender", "tini,tini"], "names tini twice"),
            (&["--pre-delay", "10s"], "give a longer --grace-period"),
            (&["--sweep", "pre-delay=0s..10s:1s"], "a pre-delay of 10s"),
            (&["--contender", "prestop", "--pre-delay", "30s"], "give a longer --grace-period"),
            (&["--slow", "20s"], "give a longer --timeout"),
            (&["--slow", "5ms"], "--slow is 100ms at least"),
        ] {
            let sentence = plan(flags).unwrap_err();
            assert!(sentence.contains(remedy), "{flags:?}: {sentence}");
        }
        // The drain timeout is softstop's alone.
        assert!(plan(&["--contender", "prestop,bare", "--pre-delay", "10s"]).is_ok());
    }
}
