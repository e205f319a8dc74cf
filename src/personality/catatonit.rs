//! catatonit 0.2.1, which is also podman's `podman-init`.

use std::ffi::{OsStr, OsString};
use std::process;

use log::{Level, LevelFilter};

use super::glibc::error_description;
use super::{BUILD, Environment, LICENSE, Operation, Personality, UsageError, getopt, given};
use crate::log_style::{LogEvent, LogStyle};
use crate::process::{SpawnError, Target};
use crate::settings::{Invocation, Layer, Source, Sourced};
use crate::shutdown::Exit;
use crate::signal::{Rewrite, Signal, SignalMap};

const NAME: &str = "catatonit";

pub(super) static PERSONALITY: Personality = Personality {
    names: &["catatonit", "podman-init"],
    parse,
    style: LogStyle { line, describe, not_started, own_failure: 1 },
};

const OPTIONS: getopt::Options =
    &[('g', false, None), ('h', false, None), ('L', false, None), ('P', false, None), ('V', false, Some("version"))];

const USAGE: &str = "usage: catatonit [-ghLPV] [--] <progname> [<arguments>...]\n";

const HELP: &str = "
Starts a program as its only child, passes signals on to it and reaps zombies, as catatonit does; softstop by the name of
catatonit.

  -g              send signals to the program's process group
  -h              print this help
  -L              print the license
  -P              start no program: reap, and leave on SIGTERM or SIGINT
  -V, --version   print the version

  CATATONIT_DEBUG   set: log what happens

A SOFTSTOP_ variable, or /etc/softstop.toml, turns the soft stop on.
";

fn parse(arguments: &[OsString], environment: &Environment) -> Result<Operation, UsageError> {
    let usage_error = |text| UsageError { code: 1, text };
    if environment.get("CATATONIT_LOG").is_some() {
        return Err(usage_error(line(Level::Error, "CATATONIT_LOG is reserved for future use")));
    }
    let (options, command) = getopt::read(arguments, OPTIONS);
    let (mut flags, mut pause) = (Layer::default(), false);
    for (letter, _) in options {
        match letter {
            'g' => flags.target = given(NAME, "-g", Target::Group),
            'P' => pause = true,
            'h' => return Ok(Operation::PrintToStderr(format!("{USAGE}{HELP}"))),
            'L' => return Ok(Operation::Print(LICENSE.to_owned())),
            // Docker's engine looks for the name of tini.
            _ => return Ok(Operation::Print(format!("tini version 0.2.1_catatonit_softstop-{BUILD}\n"))),
        }
    }
    let command = command.map_err(|message| usage_error(message + USAGE))?;
    if pause {
        return Ok(Operation::Pause);
    }
    if command.is_empty() {
        return Err(usage_error(line(Level::Error, "missing program name") + USAGE));
    }
    let debug = environment.get("CATATONIT_DEBUG").and_then(|_| given(NAME, "CATATONIT_DEBUG", LevelFilter::Debug));
    let ignored = Sourced::new(Rewrite::Ignore, Source::PersonalityDefault(NAME));
    Ok(Operation::Run(Invocation {
        command,
        flags,
        variables: Layer { log: debug, ..Layer::default() },
        defaults: Layer { rewrite: SignalMap::from_iter([(Signal::TSTP, ignored)]), ..Layer::default() },
        personality: Some(NAME),
        ..Invocation::default()
    }))
}

fn line(level: Level, message: &str) -> String {
    format!("{level} (catatonit:{}): {message}\n", process::id())
}

fn describe(event: LogEvent<'_>) -> Option<(Level, String)> {
    let text = match event {
        LogEvent::Started { program, pid } => format!("pid1 ({pid}) spawned: {}", program.to_string_lossy()),
        LogEvent::Reaped { pid, exit: Exit::Code(code), .. } => format!("child process {pid} exited with code {code}"),
        LogEvent::Reaped { pid, exit: Exit::Signal(signal), .. } => {
            format!("child process {pid} exited due to signal {}", signal.number())
        }
        LogEvent::NoSubreaper
        | LogEvent::NoTerminal(_)
        | LogEvent::Received(..)
        | LogEvent::Sent(_)
        | LogEvent::MainExited { .. }
        | LogEvent::Suspends
        | LogEvent::Exits(_) => return None,
    };
    Some((Level::Debug, text))
}

fn not_started(_: &OsStr, error: &SpawnError) -> (u8, String) {
    let (what, error) = match error {
        SpawnError::Fork(error) => ("failed to fork child", error),
        SpawnError::Setup(error) => ("failed to set up child", error),
        SpawnError::Exec { error, .. } => ("failed to exec pid1", error),
    };
    (1, format!("{what}: {}", error_description(error)))
}
