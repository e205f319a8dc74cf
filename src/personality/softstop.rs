//! softstop by its own name: what it says day by day. Its command line is in [`cli`](crate::cli).

use std::ffi::OsStr;
use std::io;

use log::Level;
use nix::errno::Errno;

use crate::settings::base_name;
use crate::sys::process::file_of;
use crate::voice::{Fact, Voice};

const OUR_FAILURE: u8 = 125;
const NOT_RUNNABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

pub(super) const VOICE: Voice = Voice { line, tell, not_started, our_failure: OUR_FAILURE };

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

fn tell(fact: Fact<'_>) -> Option<(Level, String)> {
    let said = match fact {
        Fact::Started { program, pid } => format!("started {} as pid {pid}", base_name(program)),
        Fact::Received(signal, origin) => format!("{signal} {origin}"),
        Fact::Sent(signal) => format!("sent {signal}"),
        Fact::Reaped { pid, warn: true, .. } => {
            return Some((Level::Warn, format!("reaped zombie process with pid {pid}")));
        }
        Fact::Reaped { pid, exit, warn: false } => format!("reaped pid {pid}, which {exit}"),
        Fact::MainExited { pid, exit } => format!("pid {pid} {exit}"),
        Fact::Suspends => "stopping, as the program is".to_owned(),
        Fact::NoReaper | Fact::NoTerminal(_) | Fact::Leaves(_) => return None,
    };
    Some((Level::Debug, said))
}

fn not_started(program: &OsStr, error: &io::Error) -> (u8, String) {
    let shown = program.to_string_lossy();
    match error.raw_os_error().map(Errno::from_raw) {
        // Not of execve(2), but of what comes before it: no process, memory or descriptor left.
        Some(Errno::EAGAIN | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE) => {
            (OUR_FAILURE, format!("cannot make a process for `{shown}`: {error}"))
        }
        Some(Errno::ENOEXEC) => (
            NOT_RUNNABLE,
            format!("`{shown}` cannot be run: it is no program for this machine, nor a script for /bin/sh"),
        ),
        Some(Errno::ENOENT) if file_of(program).is_some() => (
            NOT_FOUND,
            format!(
                "`{shown}` is there, but the interpreter it names (behind #!, or its dynamic loader) is not: add that"
            ),
        ),
        Some(Errno::ENOENT | Errno::ENOTDIR) => {
            (NOT_FOUND, format!("`{shown}` was not found: check its name and PATH"))
        }
        _ => (NOT_RUNNABLE, format!("`{shown}` cannot be run: {error}")),
    }
}
