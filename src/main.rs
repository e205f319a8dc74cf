//! softstop's `main`: block signals, read settings, start the log and the child, watch over it.
//!
//! It is the C library's `main` and not Rust's, because the Rust runtime acts before its own: it ignores SIGPIPE and
//! opens /dev/null for closed descriptors, and so hides what we inherited and the child is to find.
#![no_main]

use std::env;
use std::ffi::{OsString, c_char, c_int};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use clap::Parser;
use clap::error::ErrorKind;
use log::{debug, warn};
use nix::errno::Errno;

use softstop::cli::{self, Cli};
use softstop::explain;
use softstop::logging;
use softstop::lookout::Scope;
use softstop::report::Report;
use softstop::settings::{Error, LogFormat, Settings, base_name};
use softstop::shutdown::Shutdown;
use softstop::supervise::{Options, supervise};
use softstop::sys::process::{self, Child};
use softstop::sys::signals::{self, Inbox, Inherited};
use softstop::sys::{arguments, descriptors, memory, terminal};

const WRONG_USAGE: u8 = 2;
const OUR_FAILURE: u8 = 125;
const NOT_RUNNABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

#[unsafe(no_mangle)]
#[expect(unsafe_code, reason = "the C library looks for this name, and hands over raw pointers")]
extern "C" fn main(count: c_int, argv: *const *const c_char) -> c_int {
    // First of all: what arrives earlier is lost to PID 1.
    let inherited = signals::block_all();
    descriptors::fill_standard_holes();
    // SAFETY: the C library passes `count` strings that live as long as the process.
    let arguments = unsafe { arguments::collect(count, argv) };
    c_int::from(run(&arguments, inherited).unwrap_or_else(|failure| failure.tell(LogFormat::Text)))
}

/// Why nothing was started, or not what was asked for.
struct Failure {
    code: u8,
    sentence: String,
}

impl Failure {
    fn new(code: u8, sentence: String) -> Self {
        Self { code, sentence }
    }

    /// One sentence on stderr, whatever the log's level.
    fn tell(&self, format: LogFormat) -> u8 {
        let line = logging::line(format, log::Level::Error, &self.sentence);
        let _ = io::stderr().write_all(line.as_bytes()); // nobody is left to tell
        self.code
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(WRONG_USAGE, error.to_string())
    }
}

fn run(arguments: &[OsString], inherited: Inherited) -> Result<u8, Failure> {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(asked) if matches!(asked.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return Ok(print(&asked.to_string()));
        }
        Err(wrong) => return Err(Failure::new(WRONG_USAGE, cli::sentence(&wrong))),
    };
    if cli.list_profiles {
        return Ok(print(&explain::profiles()));
    }
    let settings = Settings::resolve(&cli.command, cli.given(), env::vars_os())?;
    if cli.explain {
        return Ok(print(&explain::explain(&settings, &cli.command)));
    }
    let Some(program) = cli.command.first() else { return Err(Error::NoCommand.into()) };

    Ok(start(&cli.command, program, &settings, inherited)
        .unwrap_or_else(|failure| failure.tell(settings.log_format.value)))
}

/// Starts the program and watches over it to its end.
fn start(command: &[OsString], program: &OsString, settings: &Settings, inherited: Inherited) -> Result<u8, Failure> {
    let log = logging::start(settings);
    for warning in &settings.warnings {
        warn!("{warning}");
    }
    let inbox = Inbox::open().map_err(|error| Failure::new(OUR_FAILURE, format!("cannot receive signals: {error}")))?;
    prepare(settings);
    let has_terminal = terminal::controls_us();
    // httpd would take the resizes that a terminal tells its foreground for stop requests.
    let hands_over = has_terminal && !settings.takes_resize_for_stop();
    // Started in the background we have no foreground to hand over yet: a shell's `fg` may bring it.
    let in_foreground = hands_over && terminal::is_ours();
    let child = Child::start(command, inherited, in_foreground).map_err(|error| {
        if in_foreground {
            terminal::take_back_from_nobody();
        }
        not_started(program, &error)
    })?;

    // From here on nothing may end us but the child.
    let name = base_name(program);
    debug!("started {name} as pid {}", child.pid());
    descriptors::close_inherited(inbox.as_raw_fd(), log);
    let _ = env::set_current_dir("/"); // a directory that we stand in could not be unmounted
    memory::give_back_stack();
    let report = Report::new(name, child.pid());
    let options = Options {
        target: settings.target.value,
        warn_on_reap: settings.warn_on_reap.value,
        has_terminal,
        hands_over,
        scope: Scope { ports: settings.ports.value.clone(), ignore_peers: settings.ignore_peers.value.clone() },
    };
    let code = supervise(child, inbox, Shutdown::new(settings.rules()), options, report);
    Ok(if settings.remap_exit.value.contains(&code) { 0 } else { code })
}

/// What we want to be for our descendants and our parent. A refusal (seccomp) is no reason not to serve.
fn prepare(settings: &Settings) {
    if settings.subreaper.value.unwrap_or(!process::is_pid_one()) {
        if let Err(error) = process::become_subreaper() {
            warn!("cannot become a subreaper, so orphans will be neither reaped nor waited for: {error}");
        }
    }
    if let Some(signal) = settings.parent_death_signal.value {
        if let Err(error) = process::set_parent_death_signal(signal) {
            warn!("cannot ask for {signal} on the parent's death: {error}");
        }
    }
}

fn not_started(program: &OsString, error: &io::Error) -> Failure {
    let shown = program.to_string_lossy();
    match error.raw_os_error().map(Errno::from_raw) {
        // Not of execve(2), but of what comes before it: no process, memory or descriptor left.
        Some(Errno::EAGAIN | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE) => {
            Failure::new(OUR_FAILURE, format!("cannot make a process for `{shown}`: {error}"))
        }
        Some(Errno::ENOEXEC) => Failure::new(
            NOT_RUNNABLE,
            format!("`{shown}` cannot be run: it is no program for this machine, nor a script that begins with #!"),
        ),
        Some(Errno::ENOENT) if exists(program) => Failure::new(
            NOT_FOUND,
            format!(
                "`{shown}` is there, but the interpreter it names (behind #!, or its dynamic loader) is not: add that"
            ),
        ),
        Some(Errno::ENOENT | Errno::ENOTDIR) => {
            Failure::new(NOT_FOUND, format!("`{shown}` was not found: check its name and PATH"))
        }
        _ => Failure::new(NOT_RUNNABLE, format!("`{shown}` cannot be run: {error}")),
    }
}

/// Whether the program is a file, by its path or in PATH.
fn exists(program: &OsString) -> bool {
    if program.as_bytes().contains(&b'/') {
        return Path::new(program).exists();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    !program.is_empty() && env::split_paths(&path).any(|directory| directory.join(program).exists())
}

/// Prints what was asked for. Who closes stdout did not want to read it.
fn print(text: &str) -> u8 {
    let _ = io::stdout().write_all(text.as_bytes());
    0
}
