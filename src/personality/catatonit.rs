//! catatonit 0.2.1, which is also podman's `podman-init`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::process;

use log::Level;

use super::{Asked, BUILD, LICENSE, Refusal, Variables, getopt};
use crate::settings::{Invocation, Key};
use crate::shutdown::Exit;
use crate::sys::process::reason;
use crate::voice::{Fact, Voice};

const NAME: &str = "catatonit";

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

pub(super) fn parse(arguments: &[OsString], variables: &Variables) -> Result<Asked, Refusal> {
    let given = |what, key, text: &str| super::given(NAME, what, key, text);
    let refusal = |text| Refusal { code: 1, text };
    if variables.get("CATATONIT_LOG").is_some() {
        return Err(refusal(line(Level::Error, "CATATONIT_LOG is reserved for future use")));
    }
    let (options, command) = getopt::read(arguments, OPTIONS);
    let (mut flags, mut pause) = (Vec::new(), false);
    for (letter, _) in options {
        match letter {
            'g' => flags.push(given("-g", Key::Target, "group")),
            'P' => pause = true,
            'h' => return Ok(Asked::PrintToStderr(format!("{USAGE}{HELP}"))),
            'L' => return Ok(Asked::Print(LICENSE.to_owned())),
            // The name of tini is what Docker's engine looks for.
            _ => return Ok(Asked::Print(format!("tini version 0.2.1_catatonit_softstop-{BUILD}\n"))),
        }
    }
    let command = command.map_err(|complaint| refusal(complaint + USAGE))?;
    if pause {
        return Ok(Asked::Pause);
    }
    if command.is_empty() {
        return Err(refusal(line(Level::Error, "missing program name") + USAGE));
    }
    let debug = variables.get("CATATONIT_DEBUG").map(|_| given("CATATONIT_DEBUG", Key::Log, "debug"));
    Ok(Asked::Run(Invocation {
        command,
        flags,
        variables: debug.into_iter().collect(),
        defaults: vec![super::manner(NAME, Key::Rewrite, "TSTP:ignore")],
        personality: Some(NAME),
        ..Invocation::default()
    }))
}

pub(super) const VOICE: Voice = Voice { line, tell, not_started, our_failure: 1 };

fn line(level: Level, message: &str) -> String {
    format!("{level} (catatonit:{}): {message}\n", process::id())
}

fn tell(fact: Fact<'_>) -> Option<(Level, String)> {
    let said = match fact {
        Fact::Started { program, pid } => format!("pid1 ({pid}) spawned: {}", program.to_string_lossy()),
        Fact::Reaped { pid, exit: Exit::Code(code), .. } => format!("child process {pid} exited with code {code}"),
        Fact::Reaped { pid, exit: Exit::Signal(signal), .. } => {
            format!("child process {pid} exited due to signal {}", signal.number())
        }
        Fact::NoReaper
        | Fact::NoTerminal(_)
        | Fact::Received(..)
        | Fact::Sent(_)
        | Fact::MainExited { .. }
        | Fact::Suspends
        | Fact::Leaves(_) => return None,
    };
    Some((Level::Debug, said))
}

fn not_started(_: &OsStr, error: &io::Error) -> (u8, String) {
    let reason = reason(error);
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => (1, format!("failed to fork child: {reason}")),
        _ => (1, format!("failed to exec pid1: {reason}")),
    }
}
