//! The platform that we run on, and the upper bound of a pre-delay that nobody chose.
//!
//! A platform is recognised by what it leaves in every container. How long it waits after the stop request can be configured
//! and is told to nobody inside, so its default is assumed. The pre-delay gets less than half of it: the server needs time to finish
//! its work. The bound is for the pre-delay only. A guess never sets a drain timeout, so it is never a reason for SIGKILL.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::duration::{half, show};

/// What starts and stops containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Platform {
    Nomad,
    Fly,
    Kubernetes,
    Docker,
    Podman,
}

/// The variables that a platform always sets. Of two platforms the one with the shorter time counts: a pre-delay that is too
/// long ends in SIGKILL.
const VARIABLES: &[(&str, Platform)] = &[
    ("NOMAD_ALLOC_ID", Platform::Nomad),
    // People set FLY_APP_NAME in other places too, for the program that deploys to Fly.
    ("FLY_MACHINE_ID", Platform::Fly),
    ("KUBERNETES_SERVICE_HOST", Platform::Kubernetes),
];

/// The files that a container engine creates.
const FILES: &[(&str, Platform)] = &[("/.dockerenv", Platform::Docker), ("/run/.containerenv", Platform::Podman)];

impl Platform {
    /// The platform, by the environment and by the files that exist.
    ///
    /// The variables outrank the files: Nomad and some Kubernetes nodes run their containers with Docker, whose file is there
    /// then, but it is not Docker that stops them.
    pub(super) fn recognise(environment: &[(OsString, OsString)], file_exists: &dyn Fn(&Path) -> bool) -> Option<Self> {
        let is_set = |name| environment.iter().any(|(variable, value)| variable == name && !value.is_empty());
        let by_variable = VARIABLES.iter().find(|&&(name, _)| is_set(name));
        let by_file = || FILES.iter().find(|&&(path, _)| file_exists(Path::new(path)));
        by_variable.or_else(by_file).map(|&(_, platform)| platform)
    }

    /// The upper bound of a pre-delay. Beside it is how long the platform waits by default before it sends SIGKILL.
    const fn upper_bound(self) -> Duration {
        Duration::from_secs(match self {
            Self::Nomad | Self::Fly => 2,     // 5 s
            Self::Docker | Self::Podman => 4, // 10 s
            Self::Kubernetes => 10,           // 30 s
        })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nomad => "Nomad",
            Self::Fly => "Fly",
            Self::Kubernetes => "Kubernetes",
            Self::Docker => "Docker",
            Self::Podman => "podman",
        })
    }
}

/// Where the upper bound of a profile's pre-delay comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpperBound {
    /// It is half of this grace period.
    HalfOf(Duration),
    /// It is this rest, which the drain leaves of the grace period.
    LeftByDrain(Duration),
    /// This platform's default is assumed.
    Assumed(Platform),
    /// No platform is recognised.
    Unknown,
}

/// The upper bound on a platform that is not recognised.
const UNKNOWN: Duration = Duration::from_secs(5);

impl UpperBound {
    /// Half of the grace period if it is known, else what suits the platform.
    pub(super) fn choose(grace_period: Option<Duration>, platform: Option<Platform>) -> Self {
        match (grace_period, platform) {
            (Some(grace_period), _) => Self::HalfOf(grace_period),
            (None, Some(platform)) => Self::Assumed(platform),
            (None, None) => Self::Unknown,
        }
    }

    /// The bound itself.
    pub(super) fn length(self) -> Duration {
        match self {
            Self::HalfOf(grace_period) => half(grace_period),
            Self::LeftByDrain(rest) => rest,
            Self::Assumed(platform) => platform.upper_bound(),
            Self::Unknown => UNKNOWN,
        }
    }
}

impl fmt::Display for UpperBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HalfOf(_) => f.write_str("half of the grace period"),
            Self::LeftByDrain(_) => f.write_str("what the drain leaves of the grace period"),
            Self::Assumed(platform) => write!(f, "{platform} ({})", show(platform.upper_bound())),
            Self::Unknown => f.write_str("no platform recognised"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recognised(variables: &[(&str, &str)], files: &[&str]) -> Option<Platform> {
        let variables: Vec<_> = variables.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        Platform::recognise(&variables, &|path| files.iter().any(|file| Path::new(file) == path))
    }

    #[test]
    fn each_platform_is_recognised_and_has_its_bound() {
        for (variables, files, platform, seconds) in [
            (&[("NOMAD_ALLOC_ID", "5456bd7a")][..], &[][..], Platform::Nomad, 2),
            (&[("FLY_MACHINE_ID", "e784")], &[], Platform::Fly, 2),
            (&[("KUBERNETES_SERVICE_HOST", "10.0.0.1")], &[], Platform::Kubernetes, 10),
            (&[], &["/.dockerenv"], Platform::Docker, 4),
            (&[], &["/run/.containerenv"], Platform::Podman, 4),
        ] {
            assert_eq!(recognised(variables, files), Some(platform));
            assert_eq!(UpperBound::choose(None, Some(platform)).length(), Duration::from_secs(seconds), "{platform}");
        }
    }

    #[test]
    fn elsewhere_no_platform_is_recognised() {
        assert_eq!(recognised(&[("FLY_APP_NAME", "web"), ("KUBERNETES_SERVICE_HOST", "")], &["/etc/passwd"]), None);
        assert_eq!(UpperBound::choose(None, None).length(), Duration::from_secs(5));
    }

    #[test]
    fn a_variable_outranks_a_file_and_the_shorter_time_a_longer_one() {
        let kubernetes = ("KUBERNETES_SERVICE_HOST", "10.0.0.1");
        assert_eq!(recognised(&[kubernetes], &["/.dockerenv"]), Some(Platform::Kubernetes));
        assert_eq!(recognised(&[kubernetes, ("FLY_MACHINE_ID", "e784")], &[]), Some(Platform::Fly));
    }

    #[test]
    fn a_known_grace_period_outranks_the_platform() {
        let upper_bound = UpperBound::choose(Some(Duration::from_millis(30_001)), Some(Platform::Nomad));
        assert_eq!(upper_bound.length(), Duration::from_secs(15), "whole milliseconds");
    }
}
