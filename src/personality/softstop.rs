//! softstop under its own name: its command line, its messages and exit codes.

use std::ffi::{OsStr, OsString};

use clap::error::ErrorKind;
use clap::{ArgAction, Parser};
use log::Level;
use nix::errno::Errno;

use super::{BUILD, Environment, Operation, Personality, UsageError, WRONG_USAGE};
use crate::log_style::{LogEvent, LogStyle};
use crate::process::SpawnError;
use crate::settings::{Error, Invocation, Key, Layer, RawSetting, Source, base_name, disabled};

const OWN_FAILURE: u8 = 125;
const NOT_RUNNABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

pub(super) static PERSONALITY: Personality =
    Personality { names: &[], parse, style: LogStyle { line, describe, not_started, own_failure: OWN_FAILURE } };

/// Starts COMMAND, passes signals on to it, reaps zombies, and stops it without dropping requests.
///
/// On a stop request (SIGTERM) COMMAND keeps serving for the pre-delay, while load balancers take it out of rotation. Then
/// softstop sends it the signal on which it finishes its work, and waits up to the drain timeout before SIGKILL.
///
/// Each option can also be an environment variable (`SOFTSTOP_PRE_DELAY`) or a key in the TOML file (`pre_delay`). Options
/// override variables, and variables override the file. A known server needs none of them: see --list-profiles and
/// --explain.
#[derive(Debug, Parser)]
#[command(name = "softstop", version = BUILD, disable_help_subcommand = true)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag on the command line")]
struct Cli {
    /// Read settings from FILE [default: /etc/softstop.toml where it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
    /// Use the known good settings of a server [default: auto, the server that runs; none: no profile]
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Signals that are a stop request [default: TERM and the profile's stop signal]
    #[arg(long, value_name = "SIG,..")]
    stop_on: Option<String>,
    /// Signals that end the present wait during a stop [default: INT]
    #[arg(long, value_name = "SIG,..")]
    hurry_on: Option<String>,
    /// The signal that asks COMMAND to stop [default: what the received signal is rewritten to, else the profile's, else the received signal]
    #[arg(long, value_name = "SIG")]
    stop_signal: Option<String>,
    /// How long COMMAND keeps serving after a stop request: 5s, or 2s..15s to end it early when traffic has stopped [default: the profile's, else 0s]
    #[arg(long, value_name = "DUR", allow_hyphen_values = true)]
    pre_delay: Option<String>,
    /// A pre-delay with two bounds ends when no request has arrived for DUR [default: 2s]
    #[arg(long, value_name = "DUR", allow_hyphen_values = true)]
    quiet: Option<String>,
    /// What must be quiet: `requests`, `traffic` to include responses and unanswered requests, or new `connections` alone [default: the server's]
    #[arg(long, value_name = "WHAT")]
    quiet_means: Option<String>,
    /// The TCP ports whose traffic counts [default: those on which COMMAND listens]
    #[arg(long, value_name = "PORT,..", allow_hyphen_values = true)]
    ports: Option<String>,
    /// Peers whose requests do not count, such as probes: addresses or CIDRs [default: none]
    #[arg(long, value_name = "ADDRESS,..")]
    ignore_peers: Option<String>,
    /// Peers that call evenly and are no probes: addresses or CIDRs [default: none]
    #[arg(long, value_name = "ADDRESS,..")]
    count_peers: Option<String>,
    /// How long COMMAND may take after its stop signal, before SIGKILL [default: the rest of the grace period, else no limit]
    #[arg(long, value_name = "DUR", allow_hyphen_values = true)]
    drain_timeout: Option<String>,
    /// End the drain on COMMAND's `exit`, or also when all its connections are `closed` or `idle` [default: exit]
    #[arg(long, value_name = "WHEN")]
    drain_until: Option<String>,
    /// The platform's whole budget for a stop (terminationGracePeriodSeconds, docker stop -t) [default: unknown]
    #[arg(long, value_name = "DUR", allow_hyphen_values = true)]
    grace_period: Option<String>,
    /// Send COMMAND the signal TO when FROM is received; TO may be `ignore` (repeatable)
    #[arg(short, long, value_name = "FROM:TO", action = ArgAction::Append)]
    rewrite: Vec<String>,
    /// Send signals to COMMAND's whole process group
    #[arg(short, long, conflicts_with = "target")]
    group: bool,
    /// What is sent the stop signal: the `server` alone, the `child`, or its process `group` [default: the server, or a process above it that stops it]
    #[arg(long, value_name = "WHAT")]
    target: Option<String>,
    /// Exit after the `main` child, or after `all` its descendants too [default: all in a stop, main otherwise]
    #[arg(long, value_name = "WHOM")]
    wait_for: Option<String>,
    /// Adopt orphans, as PID 1 does [default: yes, unless PID 1]
    #[arg(short, long)]
    subreaper: bool,
    /// Ask the kernel to send softstop SIG when softstop's parent dies
    #[arg(short, long, value_name = "SIG")]
    parent_death_signal: Option<String>,
    /// Exit with 0 if COMMAND's exit code is CODE (repeatable)
    #[arg(short = 'e', long, value_name = "CODE", action = ArgAction::Append, allow_hyphen_values = true)]
    remap_exit: Vec<String>,
    /// Log a warning for each orphan that is reaped
    #[arg(short, long)]
    warn_on_reap: bool,
    /// Log more: -v info, -vv debug [environment: `SOFTSTOP_LOG=level`; default: warnings, and the lines about a stop]
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
    /// Write log lines as `text` or `json` [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Start no program: reap, and exit on TERM or INT, as a pod's infra container does
    #[arg(short = 'P', long, conflicts_with_all = ["command", "explain"])]
    pause: bool,
    /// Print the settings in force with their sources, and the timeline of a stop; start nothing
    #[arg(long)]
    explain: bool,
    /// Print the table of known servers
    #[arg(long)]
    list_profiles: bool,
    /// The program to start, and its arguments
    // The first word that is not an option begins it, and all words after that belong to it, options too.
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    command: Vec<OsString>,
}

fn parse(arguments: &[OsString], environment: &Environment) -> Result<Operation, UsageError> {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(shown) if matches!(shown.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return Ok(Operation::Print(shown.to_string()));
        }
        Err(error) => return Err(usage_error(&sentence(&error))),
    };
    if cli.list_profiles {
        return Ok(Operation::ListProfiles);
    }
    if cli.pause {
        return Ok(Operation::Pause);
    }
    let explain = cli.explain;
    let flags = cli.layer(environment).map_err(|error| usage_error(&error.to_string()))?;
    let invocation = Invocation { flags, command: cli.command, ..Invocation::default() };
    Ok(if explain { Operation::Explain(invocation) } else { Operation::Run(invocation) })
}

fn usage_error(sentence: &str) -> UsageError {
    UsageError { code: WRONG_USAGE, text: line(Level::Error, sentence) }
}

impl Cli {
    /// The settings on the command line. If the soft stop is disabled, its settings are not even read, so they may be invalid.
    fn layer(&self, environment: &Environment) -> Result<Layer, Error> {
        let is_disabled = disabled(&environment.0)?.is_some();
        let mut layer = Layer::default();
        for setting in self.settings().filter(|setting| !is_disabled || setting.key.is_of_plain_init()) {
            layer.read(&setting)?;
        }
        Ok(layer)
    }

    fn settings(&self) -> impl Iterator<Item = RawSetting> {
        let verbosity = match self.verbose {
            0 => None,
            1 => Some("info"),
            2 => Some("debug"),
            _ => Some("trace"),
        };
        let once = [
            (Key::Config, "--config", self.config.as_deref()),
            (Key::Profile, "--profile", self.profile.as_deref()),
            (Key::StopOn, "--stop-on", self.stop_on.as_deref()),
            (Key::HurryOn, "--hurry-on", self.hurry_on.as_deref()),
            (Key::StopSignal, "--stop-signal", self.stop_signal.as_deref()),
            (Key::PreDelay, "--pre-delay", self.pre_delay.as_deref()),
            (Key::Quiet, "--quiet", self.quiet.as_deref()),
            (Key::QuietMeans, "--quiet-means", self.quiet_means.as_deref()),
            (Key::Ports, "--ports", self.ports.as_deref()),
            (Key::IgnorePeers, "--ignore-peers", self.ignore_peers.as_deref()),
            (Key::CountPeers, "--count-peers", self.count_peers.as_deref()),
            (Key::DrainTimeout, "--drain-timeout", self.drain_timeout.as_deref()),
            (Key::DrainUntil, "--drain-until", self.drain_until.as_deref()),
            (Key::GracePeriod, "--grace-period", self.grace_period.as_deref()),
            (Key::Target, "--group", self.group.then_some("group")),
            (Key::Target, "--target", self.target.as_deref()),
            (Key::WaitFor, "--wait-for", self.wait_for.as_deref()),
            (Key::Subreaper, "--subreaper", self.subreaper.then_some("true")),
            (Key::ParentDeathSignal, "--parent-death-signal", self.parent_death_signal.as_deref()),
            (Key::WarnOnReap, "--warn-on-reap", self.warn_on_reap.then_some("true")),
            (Key::Log, "--verbose", verbosity),
            (Key::LogFormat, "--log-format", self.log_format.as_deref()),
        ];
        let once = once.into_iter().filter_map(|(key, flag, text)| Some((key, flag, text?.to_owned())));
        let rewrites = (!self.rewrite.is_empty()).then(|| (Key::Rewrite, "--rewrite", self.rewrite.join(",")));
        let remaps = (!self.remap_exit.is_empty()).then(|| (Key::RemapExit, "--remap-exit", self.remap_exit.join(",")));
        let all = once.chain(rewrites).chain(remaps);
        all.map(|(key, flag, text)| RawSetting { key, text, source: Source::Flag(flag) })
    }
}

/// clap's message as one sentence.
fn sentence(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let message = lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    // clap's tip is wrong here, since the command follows `--`.
    let message = message.filter(|line| !line.starts_with("tip: to pass"));
    let message: Vec<&str> = message.map(|line| line.trim_start_matches("error: ")).collect();
    format!("{}: `softstop --help` shows the usage", message.join("; "))
}

fn line(level: Level, message: &str) -> String {
    let severity = match level {
        Level::Error => "error: ",
        Level::Warn => "warning: ",
        Level::Info => "",
        Level::Debug => "debug: ",
        Level::Trace => "trace: ",
    };
    format!("softstop: {severity}{message}\n")
}

fn describe(event: LogEvent<'_>) -> Option<(Level, String)> {
    let text = match event {
        LogEvent::Started { program, pid } => format!("started {} as pid {pid}", base_name(program)),
        LogEvent::Received(signal, origin) => format!("received {signal} {origin}"),
        LogEvent::Sent(signal) => format!("sent {signal}"),
        LogEvent::Reaped { pid, warn: true, .. } => {
            return Some((Level::Warn, format!("reaped orphan with pid {pid}")));
        }
        LogEvent::Reaped { pid, exit, warn: false } => format!("reaped pid {pid}, which {exit}"),
        LogEvent::MainExited { pid, exit } => format!("pid {pid} {exit}"),
        LogEvent::Suspends => "stopping ourselves, because the terminal stopped the program".to_owned(),
        LogEvent::NoSubreaper | LogEvent::NoTerminal(_) | LogEvent::Exits(_) => return None,
    };
    Some((Level::Debug, text))
}

fn not_started(program: &OsStr, error: &SpawnError) -> (u8, String) {
    let shown = program.to_string_lossy();
    let (error, file_exists, interpreter) = match error {
        SpawnError::Fork(error) => {
            return (OWN_FAILURE, format!("cannot create a process for `{shown}`: {error}"));
        }
        SpawnError::Setup(error) => {
            return (OWN_FAILURE, format!("cannot set up the process for `{shown}`: {error}"));
        }
        SpawnError::Exec { error, file_exists, interpreter } => (error, *file_exists, interpreter),
    };
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOEXEC) => {
            (NOT_RUNNABLE, format!("`{shown}` cannot be run: it is neither a program for this machine nor a script"))
        }
        Some(Errno::ENOENT) if file_exists => (NOT_FOUND, missing_interpreter(&shown, interpreter.as_deref())),
        Some(Errno::ENOENT | Errno::ENOTDIR) => {
            (NOT_FOUND, format!("`{shown}` was not found: check its name and PATH"))
        }
        _ => (NOT_RUNNABLE, format!("`{shown}` cannot be run: {error}")),
    }
}

fn missing_interpreter(shown: &str, interpreter: Option<&str>) -> String {
    match interpreter {
        Some(named) if named.ends_with('\r') => format!(
            "`{shown}` exists, but its interpreter does not: its first line ends in a carriage return after `{}` (saved with \
             Windows line ends?), so convert it, for example with dos2unix",
            named.trim_end_matches('\r')
        ),
        Some(named) => format!("`{shown}` exists, but its interpreter does not: add `{named}` to the image"),
        None => format!("`{shown}` exists, but its interpreter does not: add its dynamic loader to the image"),
    }
}
