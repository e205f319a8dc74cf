//! The names of the settings, and a setting before its value is read.

use super::Source;

/// A setting. `KEYS` has its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the help text in personality/softstop/flags.rs describes each")]
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
    CountPeers,
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

/// Each setting with its name in the environment (after the prefix), and its name in the file if it has one.
pub(super) const KEYS: &[(Key, &str, Option<&str>)] = &[
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
    (Key::CountPeers, "COUNT_PEERS", Some("count_peers")),
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

impl Key {
    /// Whether the setting applies to a plain init too. The others concern only the soft stop.
    #[must_use]
    pub fn is_of_plain_init(self) -> bool {
        matches!(
            self,
            Self::Rewrite
                | Self::Target
                | Self::Subreaper
                | Self::ParentDeathSignal
                | Self::RemapExit
                | Self::WarnOnReap
                | Self::Log
                | Self::LogFormat
        )
    }
}

/// A setting as the user wrote it.
#[derive(Clone, Debug)]
pub struct RawSetting {
    /// Which setting.
    pub key: Key,
    /// The text of the value.
    pub text: String,
    /// Where it was written.
    pub source: Source,
}
