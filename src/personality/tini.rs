//! tini 0.19.0, which is also Docker's `docker-init`.

use std::ffi::{OsStr, OsString};
use std::process;

use log::{Level, LevelFilter};
use nix::errno::Errno;

use super::glibc::{error_description, signal_description};
use super::{
    BUILD, Environment, LICENSE, Operation, Personality, UsageError, by_default, getopt, given, leading_number,
};
use crate::log_style::{LogEvent, LogStyle};
use crate::process::{SpawnError, Target};
use crate::settings::{Invocation, Layer, Sourced, base_name};
use crate::shutdown::Exit;
use crate::signal::Signal;

const NAME: &str = "tini";

pub(super) static PERSONALITY: Personality = Personality {
    names: &["tini", "tini-static", "docker-init"],
    parse,
    style: LogStyle { line, describe, not_started, own_failure: 1 },
};

const OPTIONS: getopt::Options = &[
    ('p', true, None),
    ('h', false, None),
    ('v', false, None),
    ('w', false, None),
    ('g', false, None),
    ('l', false, None),
    ('e', true, None),
    ('s', false, None),
];

const HELP: &str = "
Starts PROGRAM as its only child, passes signals on to it and reaps zombies, as tini does; softstop by the name of tini.

  --version    print the version (alone on the command line)
  -h           print this help
  -s           become a subreaper: adopt orphans though not PID 1
  -p SIGNAL    be sent SIGNAL (SIGKILL, SIGTERM..) when the parent dies
  -v           say more: -v info, -vv debug, -vvv all
  -w           warn of each zombie reaped
  -g           send signals to the child's process group
  -e CODE      leave with 0 where the child's exit code is CODE (0 to 255; repeatable)
  -l           print the license

  TINI_SUBREAPER             set: as -s
  TINI_KILL_PROCESS_GROUP    set: as -g
  TINI_VERBOSITY             0 to 4, in place of what -v says (1 without it)

A SOFTSTOP_ variable, or /etc/softstop.toml, turns the soft stop on.
";

/// The names of classic signals that `-p` does not accept.
const UNKNOWN_NAMES: &[&str] = &["STKFLT", "IO", "PWR", "IOT", "CLD", "POLL", "UNUSED"];

fn parse(arguments: &[OsString], environment: &Environment) -> Result<Operation, UsageError> {
    if let [_, only] = arguments {
        if only == "--version" {
            return Ok(Operation::Print(version() + "\n"));
        }
    }
    let (options, command) = getopt::read(arguments, OPTIONS);
    let (mut flags, mut verbosity, mut codes) = (Layer::default(), 1_i64, Vec::new());
    for (letter, value) in options {
        let value = value.unwrap_or_default().to_string_lossy().into_owned();
        let not_valid = || fatal(&format!("Not a valid option for -{letter}: {value}"));
        match letter {
            'h' => return Ok(Operation::Print(usage(arguments))),
            'l' => return Ok(Operation::Print(LICENSE.to_owned())),
            's' => flags.subreaper = given(NAME, "-s", true),
            'g' => flags.target = given(NAME, "-g", Target::Group),
            'w' => flags.warn_on_reap = given(NAME, "-w", true),
            'v' => verbosity += 1,
            'p' => {
                let signal = death_signal(&value).ok_or_else(not_valid)?;
                flags.parent_death_signal = flags.parent_death_signal.or(given(NAME, "-p", signal));
            }
            'e' => codes.push(exit_code(&value).ok_or_else(not_valid)?),
            _ => return Err(not_valid()),
        }
    }
    let command = command.map_err(|message| usage_error(message + &usage(arguments)))?;
    if command.is_empty() {
        return Err(usage_error(usage(arguments)));
    }
    if !codes.is_empty() {
        flags.remap_exit = given(NAME, "-e", codes);
    }
    flags.log = log_level("-v", verbosity);

    let mut variables = Layer::default();
    if environment.get("TINI_SUBREAPER").is_some() {
        variables.subreaper = given(NAME, "TINI_SUBREAPER", true);
    }
    if environment.get("TINI_KILL_PROCESS_GROUP").is_some() {
        variables.target = given(NAME, "TINI_KILL_PROCESS_GROUP", Target::Group);
    }
    if let Some(value) = environment.get("TINI_VERBOSITY") {
        let verbosity = leading_number(&value.to_string_lossy()).map_or(0, |(number, _)| number);
        flags.log = None; // the variable replaces the count of -v
        variables.log = log_level("TINI_VERBOSITY", verbosity);
    }
    Ok(Operation::Run(Invocation {
        command,
        flags,
        variables,
        defaults: Layer { subreaper: by_default(NAME, false), ..Layer::default() },
        personality: Some(NAME),
        ..Invocation::default()
    }))
}

fn log_level(what: &'static str, verbosity: i64) -> Option<Sourced<LevelFilter>> {
    let level = match verbosity {
        0 => LevelFilter::Error,
        1 => return None, // warnings, and the lines about a stop
        2 => LevelFilter::Info,
        3 => LevelFilter::Debug,
        _ => LevelFilter::Trace, // a negative number too, as with tini
    };
    given(NAME, what, level)
}

/// Names of the signals that `-p` takes.
fn death_signal(name: &str) -> Option<Signal> {
    let bare = name.strip_prefix("SIG")?;
    let is_known = Signal::names().any(|known| known == bare) && !UNKNOWN_NAMES.contains(&bare);
    is_known.then(|| bare.parse().ok())?
}

/// Reads an exit code like strtol(3): without a digit it is 0.
fn exit_code(text: &str) -> Option<u8> {
    let (number, rest) = leading_number(text).unwrap_or((0, text));
    u8::try_from(number).ok().filter(|_| rest.is_empty())
}

/// The version line, from which Docker's engine reads the version and the commit.
fn version() -> String {
    format!("tini version 0.19.0_softstop-{BUILD}")
}

fn usage(arguments: &[OsString]) -> String {
    let name = arguments.first().map(|name| base_name(name)).unwrap_or_default();
    format!("{name} ({})\nUsage: {name} [OPTIONS] PROGRAM -- [ARGS] | --version\n{HELP}", version())
}

fn usage_error(text: String) -> UsageError {
    UsageError { code: 1, text }
}

fn fatal(text: &str) -> UsageError {
    usage_error(line(Level::Error, text))
}

fn line(level: Level, message: &str) -> String {
    let level = match level {
        Level::Error => "FATAL",
        Level::Warn => "WARN ",
        Level::Info => "INFO ",
        Level::Debug => "DEBUG",
        Level::Trace => "TRACE",
    };
    format!("[{level} tini ({})] {message}\n", process::id())
}

fn describe(event: LogEvent<'_>) -> Option<(Level, String)> {
    Some(match event {
        LogEvent::NoSubreaper => (
            Level::Warn,
            "Tini is not running as PID 1 and isn't registered as a child subreaper.\n\
             Zombie processes will not be re-parented to Tini, so zombie reaping won't work.\n\
             To fix the problem, use the -s option or set the environment variable TINI_SUBREAPER to register Tini as a \
             child subreaper, or run Tini as PID 1."
                .to_owned(),
        ),
        LogEvent::Started { program, pid } => {
            (Level::Info, format!("Spawned child process '{}' with pid '{pid}'", program.to_string_lossy()))
        }
        LogEvent::Received(Signal::CHLD, _) => (Level::Debug, "Received SIGCHLD".to_owned()),
        LogEvent::Received(signal, _) => (Level::Debug, format!("Passing signal: '{}'", signal_description(signal))),
        LogEvent::Reaped { pid, warn: true, .. } => (Level::Warn, format!("Reaped zombie process with pid={pid}")),
        LogEvent::Reaped { pid, .. } => (Level::Debug, format!("Reaped child with pid: '{pid}'")),
        LogEvent::MainExited { exit: Exit::Code(code), .. } => {
            (Level::Info, format!("Main child exited normally (with status '{code}')"))
        }
        LogEvent::MainExited { exit: Exit::Signal(signal), .. } => {
            (Level::Info, format!("Main child exited with signal (with signal '{}')", signal_description(signal)))
        }
        LogEvent::Exits(_) => (Level::Trace, "Exiting: child has exited".to_owned()),
        LogEvent::NoTerminal(_) | LogEvent::Sent(_) | LogEvent::Suspends => return None,
    })
}

fn not_started(program: &OsStr, error: &SpawnError) -> (u8, String) {
    match error {
        SpawnError::Fork(error) => (1, format!("fork failed: {}", error_description(error))),
        SpawnError::Setup(error) => (1, format!("Failed to set up the child: {}", error_description(error))),
        SpawnError::Exec { error, .. } => {
            let code = match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::ENOENT) => 127,
                Some(Errno::EACCES) => 126,
                _ => 1,
            };
            (code, format!("exec {} failed: {}", program.to_string_lossy(), error_description(error)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_of_a_failed_exec_depends_on_errno() {
        let code = |errno: Errno| {
            not_started(
                OsStr::new("x"),
                &SpawnError::Exec { error: errno.into(), file_exists: false, interpreter: None },
            )
            .0
        };
        assert_eq!([Errno::ENOENT, Errno::EACCES, Errno::EPERM, Errno::ENOEXEC].map(code), [127, 126, 1, 1]);
    }
}
