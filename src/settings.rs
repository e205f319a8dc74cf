//! Settings. A flag overrides the environment, which overrides the file, the profile and the default. The result is one
//! validated [`Settings`], each value with its source.
//!
//! The flags, the variables and the file each become a [`Layer`] of typed values. The text of a value is a [`RawSetting`], and
//! one function per type reads it (`value`), from whatever source. If we are called by another init's name, its options,
//! variables and defaults are layers too.

mod environment;
mod error;
mod file;
mod grace;
mod invocation;
mod key;
mod layer;
mod platform;
mod source;
mod value;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use log::LevelFilter;

pub use self::environment::disabled;
pub use self::error::Error;
pub use self::invocation::{ChildSetup, Invocation};
pub use self::key::{Key, RawSetting};
pub use self::layer::Layer;
pub use self::platform::{Platform, UpperBound};
pub use self::source::{Source, Sourced};
use self::value::ProfileChoice;
use crate::duration::Bounds;
use crate::network::Network;
use crate::process::Target;
use crate::profile::{Finishes, PreDelay, Profile};
use crate::shutdown::{Activity, Plan, Quiet, Rules, StopSignal, Wait, WaitFor};
use crate::signal::{Rewrite, Signal, SignalMap, SignalSet};

/// The name of the profile for servers that have no profile of their own.
const SERVER: &str = "server";

/// This file is read if no other is named and it exists.
const DEFAULT_FILE: &str = "/etc/softstop.toml";

/// What each signal is rewritten to.
pub type Rewrites = SignalMap<Sourced<Rewrite>>;

fn ignored(rewrite: &Rewrites) -> SignalSet {
    rewrite.iter().filter(|(_, to)| to.value == Rewrite::Ignore).map(|(from, _)| from).collect()
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// What ends a drain before its timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainUntil {
    /// The app has exited.
    Exit,
    /// The app has closed all its connections.
    Closed,
    /// All its connections are idle.
    Idle,
}

/// The default of `quiet`.
const QUIET: Duration = Duration::from_secs(2);

/// The settings in force.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the help text in personality/softstop/flags.rs describes each")]
pub struct Settings {
    pub profile: Sourced<Option<&'static Profile>>,
    choice: ProfileChoice,
    pub stop_on: Sourced<SignalSet>,
    pub hurry_on: Sourced<SignalSet>,
    pub stop_signal: Sourced<StopSignal>,
    pub pre_delay: Sourced<Bounds>,
    /// Where the upper bound of the pre-delay comes from. `None`: it is a person's or the profile's own.
    pub upper_bound: Option<UpperBound>,
    /// Where we run, as far as it is recognised.
    platform: Option<Platform>,
    pub quiet: Sourced<Duration>,
    pub quiet_means: Sourced<Activity>,
    /// Empty: the ports on which our own processes listen.
    pub ports: Sourced<Vec<u16>>,
    pub ignore_peers: Sourced<Vec<Network>>,
    /// Their evenly spaced calls are no probes.
    pub count_peers: Sourced<Vec<Network>>,
    pub drain_until: Sourced<DrainUntil>,
    pub drain_timeout: Sourced<Option<Duration>>,
    pub grace_period: Sourced<Option<Duration>>,
    pub rewrite: Rewrites,
    /// `None`: the processes that the search for the server finds ([`crate::server`]).
    pub target: Sourced<Option<Target>>,
    pub wait_for: Sourced<WaitFor>,
    /// `None`: we become a subreaper unless we are PID 1.
    pub subreaper: Sourced<Option<bool>>,
    pub parent_death_signal: Sourced<Option<Signal>>,
    pub remap_exit: Sourced<Vec<u8>>,
    pub warn_on_reap: Sourced<bool>,
    /// `None`: warnings, and the lines about a stop.
    pub log: Sourced<Option<LevelFilter>>,
    pub log_format: Sourced<LogFormat>,
    pub child: ChildSetup,
    /// Warnings for the user, such as a value that was shortened to fit.
    pub warnings: Vec<String>,
}

/// The program that settings are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// It is not a server, as far as is known.
    Plain,
    /// A server without a profile.
    Server {
        /// Whether a client may have connected to it since the start.
        has_clients: bool,
        /// Whether it can finish what is under way, as far as is known.
        finishes: bool,
    },
    /// A server of this profile.
    Known(&'static Profile),
}

impl Settings {
    /// Reads the environment and the file, and resolves all layers for this command.
    ///
    /// # Errors
    ///
    /// The first mistake that is found.
    pub fn resolve(invocation: Invocation, environment: Vec<(OsString, OsString)>) -> Result<Self, Error> {
        let platform = Platform::recognise(&environment, &|path| path.exists());
        let Invocation { command, flags, variables, defaults, personality, child, remarks: _ } = invocation;
        let mut warnings = Vec::new();
        let given = if let Some(source) = disabled(&environment)? {
            // Neither our other variables nor the file are read, so mistakes in them do not matter.
            Layer::without_soft_stop(&source).over(flags).over(variables).over(defaults)
        } else {
            let environment = environment::read(environment, &flags, &mut warnings)?;
            let has_variables = environment.is_some();
            let given = flags.over(environment.unwrap_or_default()).over(variables);
            let file = match &given.config {
                Some(config) => file::read(&config.value, config.source.clone(), &given)?,
                None => file::read(Path::new(DEFAULT_FILE), Source::Default, &given)?,
            };
            let is_soft = personality.is_none() || has_variables || file.is_some();
            let given = given.over(file.unwrap_or_default()).over(defaults);
            match personality {
                Some(name) if !is_soft => {
                    warnings.clear(); // the other init would not log them
                    Layer::without_soft_stop(&Source::PersonalityDefault(name)).over(given)
                }
                _ => given,
            }
        };
        let subject = Profile::of_command(&command).map_or(Subject::Plain, Subject::Known);
        let mut settings = Self { platform, child, warnings, ..given_settings(given)? };
        settings.adapt(subject)?;
        Ok(settings)
    }

    /// The settings for the server that runs. They keep a profile and all values that the user has set. If the server's
    /// defaults contradict those values, the result is the present settings.
    #[must_use]
    pub fn for_subject(&self, subject: Subject) -> Self {
        let mut found = self.clone();
        if found.adapt(subject).is_err() {
            return self.clone();
        }
        found
    }

    /// Whether a stop begins with the search for the server. Under another init's name it does only if the soft stop is on.
    #[must_use]
    pub fn looks_for_server(&self) -> bool {
        self.stop_on.value != SignalSet::default()
    }

    /// The name of the profile in force. `None`: there is none.
    #[must_use]
    pub fn profile_name(&self) -> Option<&'static str> {
        match (self.choice, self.profile.value) {
            (ProfileChoice::Server, _) => Some(SERVER),
            (_, profile) => profile.map(|profile| profile.name),
        }
    }

    /// Whether the server that runs decides the profile, because no setting names one.
    #[must_use]
    pub fn has_auto_profile(&self) -> bool {
        matches!(self.choice, ProfileChoice::Auto)
    }

    /// What the state machine needs to know.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules {
            stop_on: self.stop_on.value,
            hurry_on: self.hurry_on.value,
            rewrite: self.rewrite.iter().map(|(from, to)| (from, to.value)).collect(),
            plan: Plan::soft(self.pre_delay_wait(), self.stop_signal.value, self.drain_wait()),
            drain_gets_the_rest: self.drain_timeout.source == Source::GracePeriod,
            once_idle: self.profile.value.and_then(|profile| profile.once_idle),
            suspend_on: self.child.suspend_on,
            wait_for: self.wait_for.value,
        }
    }

    fn pre_delay_wait(&self) -> Wait {
        let Bounds { least, most } = self.pre_delay.value;
        if !self.pre_delay.value.is_range() {
            return Wait::fixed(most);
        }
        Wait::until(Quiet { of: self.quiet_means.value, lasts: self.quiet.value }, least, most)
    }

    fn drain_wait(&self) -> Wait {
        match (self.drain_until.value, self.drain_timeout.value) {
            (until @ (DrainUntil::Closed | DrainUntil::Idle), Some(drain)) => {
                let of = if until == DrainUntil::Idle { Activity::BusyConnections } else { Activity::Connections };
                let quiet = Quiet { of, lasts: self.quiet.value };
                // Quiet counts from the stop signal: an app without connections may still have data to write.
                Wait::until(quiet, quiet.lasts.min(drain), drain)
            }
            (_, drain) => Wait::up_to(drain),
        }
    }

    /// Whether the terminal's SIGWINCH must be kept from the app, because SIGWINCH is a stop request.
    #[must_use]
    pub fn takes_resize_for_stop(&self) -> bool {
        self.stop_on.value.contains(Signal::WINCH)
    }
}

/// Validates what was given. What depends on the server is left open for [`Settings::adapt`].
fn given_settings(mut given: Layer) -> Result<Settings, Error> {
    for signals in [&given.stop_on, &given.hurry_on].into_iter().flatten() {
        // A setting that gives a signal a meaning overrides a rewrite of that signal which is another init's default.
        given
            .rewrite
            .retain(|from, to| !(signals.value.contains(from) && matches!(to.source, Source::PersonalityDefault(_))));
    }
    let rewrite = given.rewrite;
    let stop_signal = given.stop_signal.map(|given| Sourced::new(StopSignal::Always(given.value), given.source));
    let choice = given.profile.unwrap_or(Sourced::default(ProfileChoice::Auto));
    let mut settings = Settings {
        profile: Sourced::new(None, choice.source),
        choice: choice.value,
        stop_on: or_default(not_ignored(given.stop_on, &rewrite)?, SignalSet::default()),
        hurry_on: or_default(not_ignored(given.hurry_on, &rewrite)?, SignalSet::default()),
        stop_signal: or_default(stop_signal, StopSignal::Mapped(None)),
        pre_delay: or_default(given.pre_delay, Bounds::NONE),
        upper_bound: None,
        platform: None,
        quiet: or_default(given.quiet, QUIET),
        quiet_means: or_default(given.quiet_means, Activity::Requests),
        ports: or_default(given.ports, Vec::new()),
        ignore_peers: or_default(given.ignore_peers, Vec::new()),
        count_peers: or_default(given.count_peers, Vec::new()),
        drain_until: or_default(given.drain_until, DrainUntil::Exit),
        drain_timeout: optional(given.drain_timeout),
        grace_period: optional(given.grace_period),
        rewrite,
        target: optional(given.target),
        wait_for: or_default(given.wait_for, WaitFor::AllInStop),
        subreaper: optional(given.subreaper),
        parent_death_signal: optional(given.parent_death_signal),
        remap_exit: or_default(given.remap_exit, Vec::new()),
        warn_on_reap: or_default(given.warn_on_reap, false),
        log: optional(given.log),
        log_format: or_default(given.log_format, LogFormat::Text),
        child: ChildSetup::default(),
        warnings: Vec::new(),
    };
    if settings.wait_for.value == WaitFor::All && settings.subreaper.value == Some(false) {
        let (wait_for, subreaper) = (settings.wait_for.source.clone(), settings.subreaper.source);
        if subreaper.is_set_by_user() {
            return Err(Error::NeedsSubreaper { wait_for, subreaper });
        }
        settings.subreaper = Sourced::new(None, wait_for);
    }
    Ok(settings)
}

impl Settings {
    /// Sets what depends on the server and was not given.
    fn adapt(&mut self, subject: Subject) -> Result<(), Error> {
        let subject = match (self.choice, subject) {
            (ProfileChoice::Auto, subject) => subject,
            (ProfileChoice::None, _) => Subject::Plain,
            (ProfileChoice::Server, Subject::Server { finishes, .. }) => {
                Subject::Server { has_clients: true, finishes }
            }
            (ProfileChoice::Server, _) => Subject::Server { has_clients: true, finishes: true },
            (ProfileChoice::Named(profile), _) => Subject::Known(profile),
        };
        let (pre_delay, stop_signal, quiet_means, name) = match subject {
            Subject::Plain => (PreDelay::None, None, Activity::Requests, None),
            Subject::Server { has_clients, finishes } => {
                let pre_delay = if has_clients { PreDelay::BehindBalancer } else { PreDelay::None };
                // What is under way would be cut off.
                let quiet_means = if finishes { Activity::Requests } else { Activity::Traffic };
                (pre_delay, None, quiet_means, Some(SERVER))
            }
            Subject::Known(profile) => {
                let stop_signal = profile.stop_signal_within(self.grace_period.value);
                let quiet_means =
                    if profile.finishes == Finishes::Yes { profile.quiet_means } else { Activity::Traffic };
                (profile.pre_delay, Some(stop_signal), quiet_means, Some(profile.name))
            }
        };
        self.profile.value = match subject {
            Subject::Known(profile) => Some(profile),
            Subject::Plain | Subject::Server { .. } => None,
        };
        let ignored = ignored(&self.rewrite);
        // Base images set STOPSIGNAL to the server's own stop signal, so the request is often not SIGTERM.
        let stop_on: SignalSet = [Signal::TERM].into_iter().chain(stop_signal).collect();
        let source = || name.map_or(Source::Default, Source::Profile);
        let of_known = || stop_signal.map_or(Source::Default, |_| source());
        self.stop_on.fill(stop_on.without(ignored), of_known());
        // By default SIGINT, unless it is a stop request: a repeated stop request must change no clock.
        let hurry_on = SignalSet::from(Signal::INT).without(self.stop_on.value).without(ignored);
        self.hurry_on.fill(hurry_on, Source::Default);
        self.stop_signal.fill(StopSignal::Mapped(stop_signal), of_known());
        let (pre_delay, upper_bound) = (pre_delay.bounds(), UpperBound::choose(self.grace_period.value, self.platform));
        let is_capped = !self.pre_delay.source.is_set_by_user() && pre_delay.most > upper_bound.length();
        self.upper_bound = is_capped.then_some(upper_bound);
        self.pre_delay.fill(pre_delay.capped(upper_bound.length()), source());
        self.quiet.fill(QUIET, Source::Default);
        self.quiet_means.fill(quiet_means, source());
        self.drain_timeout.fill(None, Source::Default);
        self.fit_into_grace_period()?;
        self.fit_quiet()
    }
}

fn or_default<T>(given: Option<Sourced<T>>, default: T) -> Sourced<T> {
    given.unwrap_or_else(|| Sourced::default(default))
}

fn optional<T>(given: Option<Sourced<T>>) -> Sourced<Option<T>> {
    match given {
        Some(given) => Sourced::new(Some(given.value), given.source),
        None => Sourced::default(None),
    }
}

/// A signal that a setting gives a meaning to may not be ignored as well.
fn not_ignored(given: Option<Sourced<SignalSet>>, rewrite: &Rewrites) -> Result<Option<Sourced<SignalSet>>, Error> {
    let Some(given) = given else { return Ok(None) };
    for (signal, to) in rewrite.iter() {
        if to.value == Rewrite::Ignore && given.value.contains(signal) {
            return Err(Error::Ignored { source: given.source, signal, ignored_by: to.source.clone() });
        }
    }
    Ok(Some(given))
}

/// The last part of a program's path.
#[must_use]
pub fn base_name(program: &OsStr) -> String {
    Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pre-delay of nginx with these settings on this platform, and where its upper bound comes from.
    fn of_nginx(settings: &[(Key, &str)], platform: Option<Platform>) -> (String, Option<String>) {
        let mut given = Layer::default();
        for &(key, text) in settings {
            given.read(&RawSetting { key, text: text.to_owned(), source: Source::Flag("--flag") }).unwrap();
        }
        let mut settings = Settings { platform, ..given_settings(given).unwrap() };
        settings.adapt(Subject::Known(Profile::named("nginx").unwrap())).unwrap();
        assert!(settings.drain_timeout.value.is_none() || settings.grace_period.value.is_some(), "only a guess");
        (settings.pre_delay.value.to_string(), settings.upper_bound.map(|upper_bound| upper_bound.to_string()))
    }

    #[test]
    fn where_nobody_chose_a_pre_delay_the_grace_period_or_the_platform_bounds_it() {
        let grace_30 = (Key::GracePeriod, "30s");
        for (settings, platform, pre_delay, upper_bound) in [
            (&[][..], None, "2s..5s", Some("no platform recognised")),
            (&[], Some(Platform::Docker), "2s..4s", Some("Docker (4s)")),
            (&[], Some(Platform::Kubernetes), "2s..10s", Some("Kubernetes (10s)")),
            (&[], Some(Platform::Nomad), "1s..2s", Some("Nomad (2s)")),
            (&[grace_30], Some(Platform::Nomad), "2s..15s", Some("half of the grace period")),
            (&[grace_30, (Key::PreDelay, "2s..20s")], Some(Platform::Nomad), "2s..20s", None),
            (&[(Key::PreDelay, "2s..20s")], Some(Platform::Nomad), "2s..20s", None),
        ] {
            assert_eq!(of_nginx(settings, platform), (pre_delay.to_owned(), upper_bound.map(str::to_owned)));
        }
    }
}
