//! Settings: flag > environment > file > profile > default, into one validated [`Settings`], each value with its source.
//!
//! A flag, a variable and a line of the file all become a [`Given`]: the key, the text, and where it stands. So each
//! value is read by one piece of code, however it was given. What another init was told, or does by itself where we are called
//! by its name, stands among them: its options with the flags, its variables below ours, its manner below the file.

mod environment;
mod error;
mod file;
mod grace;
mod invocation;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::LevelFilter;

pub use self::error::Error;
use self::invocation::plain;
pub use self::invocation::{Invocation, Manners};
use crate::duration::Bounds;
use crate::network::Network;
use crate::profile::Profile;
use crate::shutdown::{Plan, Quiet, Rules, StopSignal, Target, Wait, WaitFor, Watched};
use crate::signal::{Rewrite, Signal, SignalSet};

/// Read where no other file is named, if it exists.
const DEFAULT_FILE: &str = "/etc/softstop.toml";

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// This flag.
    Flag(&'static str),
    /// This environment variable.
    Environment(String),
    /// This line and column of the file, counted from 1.
    File {
        /// The file's path as it was given.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The column, in characters.
        column: usize,
    },
    /// The profile of this name.
    Profile(&'static str),
    /// What remains of the grace period.
    GracePeriod,
    /// An option or a variable of the init by whose name we are called.
    Personality {
        /// The init.
        name: &'static str,
        /// What of it.
        what: &'static str,
    },
    /// What that init does by itself.
    Manner(&'static str),
    /// Nobody said anything.
    Default,
}

impl Source {
    /// Whether a person chose the value, as a setting of softstop's.
    fn is_a_person(&self) -> bool {
        match self {
            Self::Flag(_) | Self::Environment(_) | Self::File { .. } => true,
            Self::Profile(_) | Self::GracePeriod | Self::Personality { .. } | Self::Manner(_) | Self::Default => false,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => f.write_str(name),
            Self::Environment(name) => f.write_str(name),
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Profile(name) => write!(f, "profile {name}"),
            Self::GracePeriod => f.write_str("what grace_period leaves"),
            Self::Personality { name, what } => write!(f, "{what} of {name}"),
            Self::Manner(name) => write!(f, "the manner of {name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub source: Source,
}

impl<T> Sourced<T> {
    fn new(value: T, source: Source) -> Self {
        Self { value, source }
    }

    fn default(value: T) -> Self {
        Self::new(value, Source::Default)
    }
}

/// A setting. `KEYS` has its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "cli.rs says for each what it does")]
pub enum Key {
    Disabled,
    Config,
    Profile,
    StopOn,
    HurryOn,
    StopSignal,
    PreDelay,
    Quiet,
    QuietMeans,
    Ports,
    IgnorePeers,
    DrainTimeout,
    DrainUntil,
    GracePeriod,
    Rewrite,
    Target,
    WaitFor,
    Subreaper,
    ParentDeathSignal,
    RemapExit,
    WarnOnReap,
    Log,
    LogFormat,
}

/// Each setting with its name in the environment (behind the prefix) and in the file, where it has one there.
const KEYS: &[(Key, &str, Option<&str>)] = &[
    (Key::Disabled, "DISABLED", None),
    (Key::Config, "CONFIG", None),
    (Key::Profile, "PROFILE", Some("profile")),
    (Key::StopOn, "STOP_ON", Some("stop_on")),
    (Key::HurryOn, "HURRY_ON", Some("hurry_on")),
    (Key::StopSignal, "STOP_SIGNAL", Some("stop_signal")),
    (Key::PreDelay, "PRE_DELAY", Some("pre_delay")),
    (Key::Quiet, "QUIET", Some("quiet")),
    (Key::QuietMeans, "QUIET_MEANS", Some("quiet_means")),
    (Key::Ports, "PORTS", Some("ports")),
    (Key::IgnorePeers, "IGNORE_PEERS", Some("ignore_peers")),
    (Key::DrainTimeout, "DRAIN_TIMEOUT", Some("drain_timeout")),
    (Key::DrainUntil, "DRAIN_UNTIL", Some("drain_until")),
    (Key::GracePeriod, "GRACE_PERIOD", Some("grace_period")),
    (Key::Rewrite, "REWRITE", Some("signals")),
    (Key::Target, "TARGET", Some("target")),
    (Key::WaitFor, "WAIT_FOR", Some("wait_for")),
    (Key::Subreaper, "SUBREAPER", Some("subreaper")),
    (Key::ParentDeathSignal, "PARENT_DEATH_SIGNAL", Some("parent_death_signal")),
    (Key::RemapExit, "REMAP_EXIT", Some("remap_exit")),
    (Key::WarnOnReap, "WARN_ON_REAP", Some("warn_on_reap")),
    (Key::Log, "LOG", Some("log")),
    (Key::LogFormat, "LOG_FORMAT", None),
];

/// A value as a person wrote it.
#[derive(Clone, Debug)]
pub struct Given {
    /// Which setting.
    pub key: Key,
    /// What was written.
    pub text: String,
    /// Where.
    pub source: Source,
}

/// What each signal is rewritten to.
pub type Rewrites = BTreeMap<Signal, Sourced<Rewrite>>;

fn ignored(rewrite: &Rewrites) -> SignalSet {
    rewrite.iter().filter(|(_, to)| to.value == Rewrite::Ignore).map(|(&from, _)| from).collect()
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What the app must have done before its drain is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainUntil {
    /// It has exited.
    Exit,
    /// It has closed all its connections.
    Closed,
}

/// What the quiet that ends a pre-delay is, unless somebody says.
const QUIET: Duration = Duration::from_secs(2);

/// The settings in force.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "cli.rs says for each what it does")]
pub struct Settings {
    pub profile: Sourced<Option<&'static Profile>>,
    pub stop_on: Sourced<SignalSet>,
    pub hurry_on: Sourced<SignalSet>,
    pub stop_signal: Sourced<StopSignal>,
    pub pre_delay: Sourced<Bounds>,
    pub quiet: Sourced<Duration>,
    pub quiet_means: Sourced<Watched>,
    /// Empty: those on which our own processes listen.
    pub ports: Sourced<Vec<u16>>,
    pub ignore_peers: Sourced<Vec<Network>>,
    pub drain_until: Sourced<DrainUntil>,
    pub drain_timeout: Sourced<Option<Duration>>,
    pub grace_period: Sourced<Option<Duration>>,
    pub rewrite: Rewrites,
    pub target: Sourced<Target>,
    pub wait_for: Sourced<WaitFor>,
    /// `None`: a subreaper unless PID 1.
    pub subreaper: Sourced<Option<bool>>,
    pub parent_death_signal: Sourced<Option<Signal>>,
    pub remap_exit: Sourced<BTreeSet<u8>>,
    pub warn_on_reap: Sourced<bool>,
    /// `None`: warnings, and the lines of a stop.
    pub log: Sourced<Option<LevelFilter>>,
    pub log_format: Sourced<LogFormat>,
    pub manners: Manners,
    /// What was changed to fit, in whole sentences.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Reads the file, if there is one, and resolves everything that was given for this command.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn resolve(invocation: Invocation, environment: Vec<(OsString, OsString)>) -> Result<Self, Error> {
        let Invocation { command, mut flags, variables, defaults, personality, manners, remarks: _ } = invocation;
        let layers = if let Some(disabled) = environment::disabled(&environment)? {
            // Whatever else is written there, and be it wrong: this is the way out.
            flags.retain(|given| given.key.is_a_plain_inits());
            vec![plain(&disabled), flags, variables, defaults]
        } else {
            let environment = environment::read(environment)?;
            let config = flags.iter().chain(&environment).find(|given| given.key == Key::Config);
            let file = match config {
                Some(given) => file::read(Path::new(&given.text), given.source.clone())?,
                None => file::read(Path::new(DEFAULT_FILE), Source::Default)?,
            };
            let soft = personality.is_none() || !environment.is_empty() || file.is_some();
            let unless_soft = personality.filter(|_| !soft).map(Source::Manner);
            let plain = unless_soft.map(|source| plain(&source)).unwrap_or_default();
            vec![plain, flags, environment, variables, file.unwrap_or_default(), defaults]
        };
        Ok(Self { manners, ..Layers(layers).settings(&command)? })
    }

    /// What the state machine needs to know.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules {
            stop_on: self.stop_on.value,
            hurry_on: self.hurry_on.value,
            rewrite: self.rewrite.iter().map(|(&from, to)| (from, to.value)).collect(),
            plan: Plan::soft(self.pre_delay_wait(), self.stop_signal.value, self.drain_wait()),
            drain_gets_the_rest: self.drain_timeout.source == Source::GracePeriod,
            suspend_on: self.manners.suspend_on,
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
            (DrainUntil::Closed, Some(drain)) => {
                let quiet = Quiet { of: Watched::Connections, lasts: self.quiet.value };
                // Counted from the stop signal: what nobody had called for long may have something to write down.
                Wait::until(quiet, quiet.lasts.min(drain), drain)
            }
            (DrainUntil::Exit | DrainUntil::Closed, drain) => Wait::up_to(drain),
        }
    }

    /// Whether the terminal's resize is to be kept from the app: its SIGWINCH would be a stop request.
    #[must_use]
    pub fn takes_resize_for_stop(&self) -> bool {
        self.stop_on.value.contains(Signal::WINCH)
    }
}

/// Everything that was given, the strongest layer first.
struct Layers(Vec<Vec<Given>>);

impl Layers {
    /// The strongest word on this setting.
    fn pick(&self, key: Key) -> Option<&Given> {
        self.0.iter().flatten().find(|given| given.key == key)
    }

    /// The strongest word on this setting, read.
    fn read<T>(&self, key: Key, read: impl FnOnce(&Given) -> Result<T, Error>) -> Result<Option<Sourced<T>>, Error> {
        let Some(given) = self.pick(key) else { return Ok(None) };
        Ok(Some(Sourced::new(read(given)?, given.source.clone())))
    }

    fn settings(&self, command: &[OsString]) -> Result<Settings, Error> {
        let profile = self.profile(command)?;
        let mut rewrite = self.rewrite()?;
        for key in [Key::StopOn, Key::HurryOn] {
            // What another init does with a signal by itself yields to a person who gave it a meaning.
            if let Some(given) = self.read(key, value::received_signals)? {
                rewrite.retain(|&from, to| !(given.value.contains(from) && matches!(to.source, Source::Manner(_))));
            }
        }
        let stop_on = self.stop_on(profile.value, &rewrite)?;
        let mut settings = Settings {
            hurry_on: self.hurry_on(stop_on.value, &rewrite)?,
            stop_on,
            stop_signal: self.stop_signal(profile.value)?,
            pre_delay: match (self.read(Key::PreDelay, value::bounds)?, profile.value) {
                (Some(given), _) => given,
                (None, Some(profile)) => Sourced::new(profile.pre_delay, Source::Profile(profile.name)),
                (None, None) => Sourced::default(Bounds::NONE),
            },
            quiet: self.or_default(Key::Quiet, QUIET, value::duration)?,
            quiet_means: match (self.read(Key::QuietMeans, value::quiet_means)?, profile.value) {
                (Some(given), _) => given,
                (None, Some(profile)) => Sourced::new(profile.quiet_means, Source::Profile(profile.name)),
                (None, None) => Sourced::default(Watched::Requests),
            },
            ports: self.or_default(Key::Ports, Vec::new(), value::ports)?,
            ignore_peers: self.or_default(Key::IgnorePeers, Vec::new(), value::networks)?,
            drain_until: self.or_default(Key::DrainUntil, DrainUntil::Exit, value::drain_until)?,
            drain_timeout: optional(self.read(Key::DrainTimeout, value::duration)?),
            grace_period: optional(self.read(Key::GracePeriod, value::duration)?),
            rewrite,
            target: self.or_default(Key::Target, Target::Child, value::target)?,
            wait_for: self.or_default(Key::WaitFor, WaitFor::Main, value::wait_for)?,
            subreaper: optional(self.read(Key::Subreaper, value::boolean)?),
            parent_death_signal: optional(self.read(Key::ParentDeathSignal, value::signal)?),
            remap_exit: self.or_default(Key::RemapExit, BTreeSet::new(), value::exit_codes)?,
            warn_on_reap: self.or_default(Key::WarnOnReap, false, value::boolean)?,
            log: optional(self.read(Key::Log, value::log_level)?),
            log_format: self.or_default(Key::LogFormat, LogFormat::Text, value::log_format)?,
            profile,
            manners: Manners::default(),
            warnings: Vec::new(),
        };
        if settings.wait_for.value == WaitFor::All && settings.subreaper.value == Some(false) {
            let (wait_for, subreaper) = (settings.wait_for.source.clone(), settings.subreaper.source);
            if subreaper.is_a_person() {
                return Err(Error::OrphansGetLost { wait_for, subreaper });
            }
            settings.subreaper = Sourced::new(None, wait_for);
        }
        settings.fit_into_grace_period()?;
        settings.fit_quiet()?;
        Ok(settings)
    }

    fn or_default<T>(
        &self,
        key: Key,
        default: T,
        read: impl FnOnce(&Given) -> Result<T, Error>,
    ) -> Result<Sourced<T>, Error> {
        Ok(self.read(key, read)?.unwrap_or_else(|| Sourced::default(default)))
    }

    fn profile(&self, command: &[OsString]) -> Result<Sourced<Option<&'static Profile>>, Error> {
        let chosen = self.read(Key::Profile, value::profile)?.unwrap_or(Sourced::default(value::ProfileChoice::Auto));
        let profile = match chosen.value {
            value::ProfileChoice::Auto => Profile::of_command(command),
            value::ProfileChoice::None => None,
            value::ProfileChoice::Named(profile) => Some(profile),
        };
        Ok(Sourced::new(profile, chosen.source))
    }

    /// All layers together, signal by signal: the strongest word on each.
    fn rewrite(&self) -> Result<Rewrites, Error> {
        let mut all = BTreeMap::new();
        for layer in &self.0 {
            let mut in_layer = Rewrites::new();
            for given in layer.iter().filter(|given| given.key == Key::Rewrite) {
                for (from, to) in value::rewrites(given)? {
                    if in_layer.insert(from, Sourced::new(to, given.source.clone())).is_some() {
                        return Err(Error::RewrittenTwice { source: given.source.clone(), signal: from });
                    }
                }
            }
            for (from, to) in in_layer {
                all.entry(from).or_insert(to);
            }
        }
        Ok(all)
    }

    fn stop_on(&self, profile: Option<&'static Profile>, rewrite: &Rewrites) -> Result<Sourced<SignalSet>, Error> {
        if let Some(given) = self.received_signals(Key::StopOn, rewrite)? {
            return Ok(given);
        }
        let term = SignalSet::from(Signal::TERM);
        Ok(match profile {
            // Base images set STOPSIGNAL to the server's own, so the request is often no TERM.
            Some(profile) => {
                let both: SignalSet = [Signal::TERM, profile.stop_signal].into_iter().collect();
                Sourced::new(both.without(ignored(rewrite)), Source::Profile(profile.name))
            }
            None => Sourced::default(term.without(ignored(rewrite))),
        })
    }

    /// By default SIGINT, unless it is a stop request: a repeated one must change no clock.
    fn hurry_on(&self, stop_on: SignalSet, rewrite: &Rewrites) -> Result<Sourced<SignalSet>, Error> {
        let given = self.received_signals(Key::HurryOn, rewrite)?;
        let default = SignalSet::from(Signal::INT).without(stop_on).without(ignored(rewrite));
        Ok(given.unwrap_or_else(|| Sourced::default(default)))
    }

    /// Signals that a person gave a meaning to, none of which may be ignored as well.
    fn received_signals(&self, key: Key, rewrite: &Rewrites) -> Result<Option<Sourced<SignalSet>>, Error> {
        let Some(given) = self.read(key, value::received_signals)? else { return Ok(None) };
        for (&signal, to) in rewrite {
            if to.value == Rewrite::Ignore && given.value.contains(signal) {
                return Err(Error::Ignored { source: given.source, signal, ignored_by: to.source.clone() });
            }
        }
        Ok(Some(given))
    }

    fn stop_signal(&self, profile: Option<&'static Profile>) -> Result<Sourced<StopSignal>, Error> {
        if let Some(given) = self.read(Key::StopSignal, value::stop_signal)? {
            return Ok(Sourced::new(StopSignal::Always(given.value), given.source));
        }
        Ok(match profile {
            Some(profile) => Sourced::new(StopSignal::Mapped(Some(profile.stop_signal)), Source::Profile(profile.name)),
            None => Sourced::default(StopSignal::Mapped(None)),
        })
    }
}

fn optional<T>(given: Option<Sourced<T>>) -> Sourced<Option<T>> {
    match given {
        Some(given) => Sourced::new(Some(given.value), given.source),
        None => Sourced::default(None),
    }
}

/// The name by which people know a command: the last part of its path.
#[must_use]
pub fn base_name(program: &OsStr) -> String {
    Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned()
}
