//! The contenders: which init runs the server in each pod, and how the pod is stopped.

use std::path::{Path, PathBuf};
use std::time::Duration;

use softstop::duration::Bounds;
use softstop::settings::base_name;

use super::application::{Application, PodSpec};
use crate::duration::one_word;

/// A way to run and stop a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContenderKind {
    /// The server is PID 1.
    Bare,
    Tini,
    /// `dumb-init --rewrite 15:3`
    DumbInit,
    /// The server is PID 1, and a preStop hook sleeps before SIGTERM.
    Prestop,
    Softstop,
}

impl ContenderKind {
    /// In the order in which they are rehearsed.
    pub(crate) const ALL: [Self; 5] = [Self::Bare, Self::Tini, Self::DumbInit, Self::Prestop, Self::Softstop];

    /// The name on the command line, which is also the directory of the logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Tini => "tini",
            Self::DumbInit => "dumb-init",
            Self::Prestop => "prestop",
            Self::Softstop => "softstop",
        }
    }
}

/// A contender with its program and options.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    /// `nginx, bare`, `softstop`
    pub(crate) name: String,
    /// The directory of its logs, relative to `logs`.
    pub(crate) directory: String,
    /// The init and its options. None if the server itself is PID 1.
    init: Option<(PathBuf, Vec<String>)>,
    /// How long the preStop hook of the platform sleeps before SIGTERM.
    pub(crate) pre_stop: Option<Duration>,
}

/// The settings of softstop; the preStop hook sleeps for the pre-delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StopTimes {
    pub(crate) pre_delay: Bounds,
    pub(crate) drain_timeout: Duration,
}

/// The inits of this machine. None: not installed, or not needed.
#[derive(Debug)]
pub(crate) struct Inits {
    pub(crate) tini: Option<PathBuf>,
    pub(crate) dumb_init: Option<PathBuf>,
    pub(crate) softstop: Option<PathBuf>,
}

impl Contender {
    /// None if its init is not installed.
    pub(crate) fn new(kind: ContenderKind, inits: &Inits, times: StopTimes, application: &Application) -> Option<Self> {
        let name = match kind {
            ContenderKind::Bare => format!("{}, bare", application.name()),
            ContenderKind::Prestop => "preStop sleep".to_owned(),
            ContenderKind::Tini | ContenderKind::DumbInit | ContenderKind::Softstop => kind.name().to_owned(),
        };
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let init = match kind {
            ContenderKind::Bare | ContenderKind::Prestop => None,
            ContenderKind::Tini => Some((inits.tini.clone()?, words(&["--"]))),
            ContenderKind::DumbInit => Some((inits.dumb_init.clone()?, words(&["--rewrite", "15:3", "--"]))),
            ContenderKind::Softstop => {
                let (pre_delay, drain_timeout) =
                    (times.pre_delay.to_string().replace(' ', ""), one_word(times.drain_timeout));
                let mut options = words(&["--pre-delay", &pre_delay, "--drain-timeout", &drain_timeout]);
                if application.is_embedded() {
                    options.extend(words(&["--stop-signal", "SIGQUIT"])); // no profile knows the embedded server
                }
                options.push("--".to_owned());
                Some((inits.softstop.clone()?, options))
            }
        };
        let pre_stop = (kind == ContenderKind::Prestop).then_some(times.pre_delay.most);
        Some(Self { name, directory: kind.name().to_owned(), init, pre_stop })
    }

    /// A contender without an init and without a preStop hook, for a pod that only tests whether pods can be started.
    pub(crate) fn probe() -> Self {
        Self { name: String::new(), directory: String::new(), init: None, pre_stop: None }
    }

    /// What runs in each pod, for the report: the init, its options, and the server.
    pub(crate) fn command(&self, application: &Application) -> String {
        let server = application.command();
        match (&self.init, self.pre_stop) {
            (Some((program, options)), _) => {
                format!("{} {} {server}", base_name(program.as_os_str()), options.join(" "))
            }
            (None, Some(pre_stop)) => format!("{server} (preStop: sleep {})", pre_stop.as_secs_f64()),
            (None, None) => server.to_owned(),
        }
    }

    /// The command line of a pod: the init, if any, and the server. `in_pod` maps a program to its path in the pod.
    pub(crate) fn command_line(
        &self,
        application: &Application,
        pod: &PodSpec,
        mut in_pod: impl FnMut(&Path) -> String,
    ) -> Result<Vec<String>, String> {
        let mut words = Vec::new();
        if let Some((program, options)) = &self.init {
            words.push(in_pod(program));
            words.extend(options.iter().cloned());
        }
        words.push(in_pod(application.program()));
        let arguments = application.arguments(pod);
        words.extend(arguments.map_err(|error| format!("cannot write {}: {error}", pod.files.display()))?);
        Ok(words)
    }
}
