//! Who takes part: the inits and what each is started as.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use softstop::duration::{Bounds, show};
use softstop::settings::base_name;
use tokio::process::Command;

use crate::Failure;
use crate::cli::Contender;
use crate::server::Application;

/// The order in which they take part.
pub(crate) const ALL: [Contender; 5] =
    [Contender::Bare, Contender::Tini, Contender::DumbInit, Contender::Prestop, Contender::Softstop];

/// One who stops the server.
#[derive(Clone, Debug)]
pub(crate) struct Participant {
    /// `nginx, bare`, `softstop`
    pub(crate) name: String,
    /// Where its logs stand, beneath `logs`.
    pub(crate) directory: String,
    /// The init and its own words; none where the server is PID 1 itself.
    pub(crate) init: Option<(PathBuf, Vec<String>)>,
    /// How long the platform's preStop hook sleeps before SIGTERM.
    pub(crate) pre_stop: Option<Duration>,
}

/// What softstop and the preStop hook are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) pre_delay: Bounds,
    pub(crate) drain_timeout: Duration,
}

/// The programs of this machine.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) tini: Option<PathBuf>,
    pub(crate) dumb_init: Option<PathBuf>,
    /// Where softstop takes part.
    pub(crate) softstop: Option<PathBuf>,
}

impl Participant {
    /// None where its program is not installed.
    pub(crate) fn new(
        contender: Contender,
        programs: &Programs,
        times: Times,
        application: &Application,
    ) -> Option<Self> {
        let (name, directory) = match contender {
            Contender::Bare => (format!("{}, bare", application.name()), "bare"),
            Contender::Tini => ("tini".to_owned(), "tini"),
            Contender::DumbInit => ("dumb-init".to_owned(), "dumb-init"),
            Contender::Prestop => ("preStop sleep".to_owned(), "prestop"),
            Contender::Softstop => ("softstop".to_owned(), "softstop"),
        };
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let init = match contender {
            Contender::Bare | Contender::Prestop => None,
            Contender::Tini => Some((programs.tini.clone()?, words(&["--"]))),
            Contender::DumbInit => Some((programs.dumb_init.clone()?, words(&["--rewrite", "15:3", "--"]))),
            Contender::Softstop => {
                let (pre_delay, drain_timeout) =
                    (times.pre_delay.to_string().replace(' ', ""), short(times.drain_timeout));
                let mut options = words(&["--pre-delay", &pre_delay, "--drain-timeout", &drain_timeout]);
                if application.is_embedded() {
                    options.extend(words(&["--stop-signal", "SIGQUIT"])); // no profile knows it
                }
                options.push("--".to_owned());
                Some((programs.softstop.clone()?, options))
            }
        };
        let pre_stop = (contender == Contender::Prestop).then_some(times.pre_delay.most);
        Some(Self { name, directory: directory.to_owned(), init, pre_stop })
    }

    /// What runs in each pod, in short: the init, its options, and the server.
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
}

/// A duration as one word.
fn short(duration: Duration) -> String {
    show(duration).replace(' ', "")
}

/// A program in PATH or in the directories of system programs, which an ordinary user's PATH lacks.
pub(crate) fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories =
        std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into(), "/usr/local/sbin".into()]);
    directories.map(|directory| directory.join(program)).find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

/// The first line that a program says of its version, on stdout or stderr.
pub(crate) async fn version(program: &Path, flag: &str) -> Option<String> {
    let output = Command::new(program).arg(flag).stdin(Stdio::null()).kill_on_drop(true).output().await.ok()?;
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&said).lines().next().map(|line| line.trim().to_owned())
}

/// The softstop to rehearse.
pub(crate) async fn softstop(asked: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(file) = asked {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        return if is_program(&file) {
            Ok(file)
        } else {
            Err(Failure::usage(format!("--softstop {}: there is no program of that name", file.display())))
        };
    }
    // Under `cargo run` the current sources are meant, not what an earlier build left.
    if let Some(cargo) = std::env::var_os("CARGO").filter(|_| std::env::var_os("CARGO_MANIFEST_DIR").is_some()) {
        return build(Path::new(&cargo)).await;
    }
    let beside = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.join("softstop")));
    beside.filter(|file| is_program(file)).or_else(|| in_path("softstop")).ok_or_else(|| {
        Failure::not_measured(
            "found no softstop, neither beside this program nor on PATH: name it with --softstop FILE, or leave it out with \
             --contender bare,prestop",
        )
    })
}

/// Builds it as it ships, and asks cargo where it has put it.
async fn build(cargo: &Path) -> Result<PathBuf, Failure> {
    let failed = |why: String| Failure::not_measured(format!("softstop could not be built: {why}"));
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default().join("Cargo.toml");
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "-p", "softstop", "--message-format=json-render-diagnostics"]);
    command.arg("--manifest-path").arg(manifest).stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    let output =
        command.stdout(Stdio::piped()).spawn().map_err(|error| failed(error.to_string()))?.wait_with_output().await;
    let output = output.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed("cargo says why above".to_owned()));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut programs = artifacts.filter_map(|message| message.get("executable")?.as_str().map(PathBuf::from));
    programs.next_back().ok_or_else(|| failed("cargo does not say where it is".to_owned()))
}
