//! tini 0.19.0, which is also Docker's `docker-init`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::process;

use log::Level;
use nix::errno::Errno;

use super::{Asked, BUILD, LICENSE, Refusal, Variables, getopt, leading_number};
use crate::settings::{Given, Invocation, Key, base_name};
use crate::shutdown::Exit;
use crate::signal::Signal;
use crate::sys::process::reason;
use crate::sys::signals::describe;
use crate::voice::{Fact, Voice};

const NAME: &str = "tini";

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

/// `-p` takes the classic signals by these prefixed names, but for some and for the aliases.
const NOT_FOR_PARENTS_DEATH: &[&str] = &["STKFLT", "IO", "PWR", "IOT", "CLD", "POLL", "UNUSED"];

pub(super) fn parse(arguments: &[OsString], variables: &Variables) -> Result<Asked, Refusal> {
    let of_tini = |what, key, text: &str| super::given(NAME, what, key, text);
    if let [_, only] = arguments {
        if only == "--version" {
            return Ok(Asked::Print(version() + "\n"));
        }
    }
    let (options, command) = getopt::read(arguments, OPTIONS);
    let (mut flags, mut verbosity, mut codes) = (Vec::new(), 1_i64, Vec::new());
    for (letter, value) in options {
        let value = value.unwrap_or_default().to_string_lossy().into_owned();
        let not_valid = || fatal(&format!("Not a valid option for -{letter}: {value}"));
        match letter {
            'h' => return Ok(Asked::Print(usage(arguments))),
            'l' => return Ok(Asked::Print(LICENSE.to_owned())),
            's' => flags.push(of_tini("-s", Key::Subreaper, "true")),
            'g' => flags.push(of_tini("-g", Key::Target, "group")),
            'w' => flags.push(of_tini("-w", Key::WarnOnReap, "true")),
            'v' => verbosity += 1,
            'p' if is_known(&value) => flags.push(of_tini("-p", Key::ParentDeathSignal, &value)),
            'e' => codes.push(exit_code(&value).ok_or_else(not_valid)?.to_string()),
            _ => return Err(not_valid()),
        }
    }
    let command = command.map_err(|complaint| refusal(complaint + &usage(arguments)))?;
    if command.is_empty() {
        return Err(refusal(usage(arguments)));
    }
    if !codes.is_empty() {
        flags.push(of_tini("-e", Key::RemapExit, &codes.join(",")));
    }

    flags.extend(log_level("-v", verbosity));

    let mut from_variables: Vec<Given> = Vec::new();
    if variables.get("TINI_SUBREAPER").is_some() {
        from_variables.push(of_tini("TINI_SUBREAPER", Key::Subreaper, "true"));
    }
    if variables.get("TINI_KILL_PROCESS_GROUP").is_some() {
        from_variables.push(of_tini("TINI_KILL_PROCESS_GROUP", Key::Target, "group"));
    }
    if let Some(value) = variables.get("TINI_VERBOSITY") {
        let verbosity = leading_number(&value.to_string_lossy()).map_or(0, |(number, _)| number);
        flags.retain(|given| given.key != Key::Log); // it replaces what -v says
        from_variables.extend(log_level("TINI_VERBOSITY", verbosity));
    }
    Ok(Asked::Run(Invocation {
        command,
        flags,
        variables: from_variables,
        defaults: vec![super::manner(NAME, Key::Subreaper, "false")],
        personality: Some(NAME),
        ..Invocation::default()
    }))
}

fn log_level(what: &'static str, verbosity: i64) -> Option<Given> {
    let level = match verbosity {
        0 => "error",
        1 => return None, // warnings, and a soft stop's own lines
        2 => "info",
        3 => "debug",
        _ => "trace", // a negative one is a big one to tini
    };
    Some(super::given(NAME, what, Key::Log, level))
}

fn is_known(name: &str) -> bool {
    let is_known = |bare| Signal::names().any(|known| known == bare) && !NOT_FOR_PARENTS_DEATH.contains(&bare);
    name.strip_prefix("SIG").is_some_and(is_known)
}

/// As strtol(3) reads it: no digits at all are a 0.
fn exit_code(text: &str) -> Option<u8> {
    let (number, rest) = leading_number(text).unwrap_or((0, text));
    u8::try_from(number).ok().filter(|_| rest.is_empty())
}

/// Docker's engine asks for it, and takes the version and the commit from it.
fn version() -> String {
    format!("tini version 0.19.0_softstop-{BUILD}")
}

fn usage(arguments: &[OsString]) -> String {
    let name = arguments.first().map(|name| base_name(name)).unwrap_or_default();
    format!("{name} ({})\nUsage: {name} [OPTIONS] PROGRAM -- [ARGS] | --version\n{HELP}", version())
}

fn refusal(text: String) -> Refusal {
    Refusal { code: 1, text }
}

fn fatal(text: &str) -> Refusal {
    refusal(line(Level::Error, text))
}

pub(super) const VOICE: Voice = Voice { line, tell, not_started, our_failure: 1 };

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

fn tell(fact: Fact<'_>) -> Option<(Level, String)> {
    Some(match fact {
        Fact::NoReaper => (
            Level::Warn,
            "Tini is not running as PID 1 and isn't registered as a child subreaper.\n\
             Zombie processes will not be re-parented to Tini, so zombie reaping won't work.\n\
             To fix the problem, use the -s option or set the environment variable TINI_SUBREAPER to register Tini as a \
             child subreaper, or run Tini as PID 1."
                .to_owned(),
        ),
        Fact::Started { program, pid } => {
            (Level::Info, format!("Spawned child process '{}' with pid '{pid}'", program.to_string_lossy()))
        }
        Fact::Received(Signal::CHLD, _) => (Level::Debug, "Received SIGCHLD".to_owned()),
        Fact::Received(signal, _) => (Level::Debug, format!("Passing signal: '{}'", describe(signal))),
        Fact::Reaped { pid, warn: true, .. } => (Level::Warn, format!("Reaped zombie process with pid={pid}")),
        Fact::Reaped { pid, .. } => (Level::Debug, format!("Reaped child with pid: '{pid}'")),
        Fact::MainExited { exit: Exit::Code(code), .. } => {
            (Level::Info, format!("Main child exited normally (with status '{code}')"))
        }
        Fact::MainExited { exit: Exit::Signal(signal), .. } => {
            (Level::Info, format!("Main child exited with signal (with signal '{}')", describe(signal)))
        }
        Fact::Leaves(_) => (Level::Trace, "Exiting: child has exited".to_owned()),
        Fact::NoTerminal(_) | Fact::Sent(_) | Fact::Suspends => return None,
    })
}

fn not_started(program: &OsStr, error: &io::Error) -> (u8, String) {
    let reason = reason(error);
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => (1, format!("fork failed: {reason}")),
        _ => {
            let code = match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::ENOENT) => 127,
                Some(Errno::EACCES) => 126,
                _ => 1,
            };
            (code, format!("exec {} failed: {reason}", program.to_string_lossy()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_for_what_cannot_be_run_is_by_errno() {
        let code = |errno| not_started(OsStr::new("x"), &io::Error::from(errno)).0;
        assert_eq!([Errno::ENOENT, Errno::EACCES, Errno::EPERM, Errno::ENOEXEC].map(code), [127, 126, 1, 1]);
    }
}
