//! softstop under its own name: its command line, its messages and exit codes.

mod flags;

use std::ffi::{OsStr, OsString};

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};
use log::Level;
use nix::errno::Errno;

use self::flags::{FLAGS, Flag, long};
use super::{BUILD, Environment, Operation, Personality, UsageError, WRONG_USAGE};
use crate::log_style::{LogEvent, LogStyle};
use crate::process::SpawnError;
use crate::settings::{Error, Invocation, Layer, RawSetting, Source, base_name, disabled};

const OWN_FAILURE: u8 = 125;
const NOT_RUNNABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

pub(super) static PERSONALITY: Personality =
    Personality { names: &[], parse, style: LogStyle { line, describe, not_started, own_failure: OWN_FAILURE } };

/// `-h` shows only its first sentence.
const ABOUT: &str = "\
Starts COMMAND, passes signals on to it, reaps zombies, and stops it without dropping requests.

On a stop request (SIGTERM) COMMAND keeps serving for the pre-delay, while load balancers take it out of rotation. Then \
softstop sends it the signal on which it finishes its work, and waits up to the drain timeout before SIGKILL.

Each option can also be an environment variable (`SOFTSTOP_PRE_DELAY`) or a key in the TOML file (`pre_delay`). Options \
override variables, and variables override the file. A known server needs none of them: see --list-profiles and --explain.";

const PAUSE: &str = "--pause";
const EXPLAIN: &str = "--explain";
const LIST_PROFILES: &str = "--list-profiles";
const COMMAND: &str = "COMMAND";

fn command_line() -> Command {
    let switch = |name| Arg::new(name).long(long(name)).action(ArgAction::SetTrue);
    Command::new("softstop")
        .version(BUILD)
        .about(ABOUT.split_once('.').map_or(ABOUT, |(first, _)| first))
        .long_about(ABOUT)
        .args(FLAGS.iter().map(Flag::argument))
        // Both say what is sent the stop signal, so they exclude each other.
        .group(ArgGroup::new("whom").args(["--group", "--target"]))
        .arg(
            switch(PAUSE)
                .short('P')
                .conflicts_with_all([COMMAND, EXPLAIN])
                .help("Start no program: reap, and exit on TERM or INT, as a pod's infra container does"),
        )
        .arg(
            switch(EXPLAIN)
                .help("Print the settings in force with their sources, and the timeline of a stop; start nothing"),
        )
        .arg(switch(LIST_PROFILES).help("Print the table of known servers"))
        .arg(
            // The first word that is not an option begins it, and all words after that belong to it, options too.
            Arg::new(COMMAND)
                .num_args(1..)
                .trailing_var_arg(true)
                .value_parser(value_parser!(OsString))
                .help("The program to start, and its arguments"),
        )
}

fn parse(arguments: &[OsString], environment: &Environment) -> Result<Operation, UsageError> {
    let mut given = match command_line().try_get_matches_from(arguments) {
        Ok(given) => given,
        Err(shown) if matches!(shown.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return Ok(Operation::Print(shown.to_string()));
        }
        Err(error) => return Err(usage_error(&sentence(&error))),
    };
    if given.get_flag(LIST_PROFILES) {
        return Ok(Operation::ListProfiles);
    }
    if given.get_flag(PAUSE) {
        return Ok(Operation::Pause);
    }
    let flags = layer(&given, environment).map_err(|error| usage_error(&error.to_string()))?;
    let command = given.remove_many(COMMAND).map(Iterator::collect).unwrap_or_default();
    let invocation = Invocation { command, flags, ..Invocation::default() };
    Ok(if given.get_flag(EXPLAIN) { Operation::Explain(invocation) } else { Operation::Run(invocation) })
}

fn usage_error(sentence: &str) -> UsageError {
    UsageError { code: WRONG_USAGE, text: line(Level::Error, sentence) }
}

/// The settings on the command line. If the soft stop is disabled, its settings are not even read, so they may be invalid.
fn layer(given: &ArgMatches, environment: &Environment) -> Result<Layer, Error> {
    let is_disabled = disabled(&environment.0)?.is_some();
    let mut layer = Layer::default();
    for flag in FLAGS.iter().filter(|flag| !is_disabled || flag.key.is_of_plain_init()) {
        if let Some(text) = flag.text(given) {
            layer.read(&RawSetting { key: flag.key, text, source: Source::Flag(flag.name) })?;
        }
    }
    Ok(layer)
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
