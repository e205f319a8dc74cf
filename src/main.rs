//! softstop's `main`: block signals, read settings, start the log and the child, watch over it.
//!
//! It is the C library's `main` and not Rust's, because the Rust runtime acts before its own: it ignores SIGPIPE and
//! opens /dev/null for closed descriptors, and so hides what we inherited and the child is to find.
#![no_main]

use std::env;
use std::ffi::{OsString, c_char, c_int};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

use clap::Parser;
use clap::error::ErrorKind;
use log::{debug, warn};

use softstop::cli::{self, Cli};
use softstop::explain;
use softstop::logging;
use softstop::report::Report;
use softstop::settings::{Error, Settings, base_name};
use softstop::shutdown::Shutdown;
use softstop::supervise::{Manner, supervise};
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
    c_int::from(run(&arguments, inherited).unwrap_or_else(|failure| failure.tell()))
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

    /// One sentence on stderr.
    fn tell(&self) -> u8 {
        let line = logging::text_line(log::Level::Error, &self.sentence);
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

    let log = logging::start(&settings);
    for warning in &settings.warnings {
        warn!("{warning}");
    }
    let inbox = Inbox::open().map_err(|error| Failure::new(OUR_FAILURE, format!("cannot receive signals: {error}")))?;
    prepare(&settings);
    let has_terminal = terminal::controls_us();
    // httpd would take the resizes that a terminal tells its foreground for stop requests.
    let hands_over = has_terminal && !settings.takes_resize_for_stop();
    // Started in the background we have no foreground to hand over yet: a shell's `fg` may bring it.
    let child = Child::start(&cli.command, inherited, hands_over && terminal::is_ours())
        .map_err(|error| not_started(program, &error))?;

    // From here on nothing may end us but the child.
    let name = base_name(program);
    debug!("started {name} as pid {}", child.pid());
    descriptors::close_inherited(inbox.as_raw_fd(), log);
    let _ = env::set_current_dir("/"); // a directory that we stand in could not be unmounted
    memory::give_back_stack();
    let report = Report::new(name, child.pid());
    let manner =
        Manner { target: settings.target.value, warn_on_reap: settings.warn_on_reap.value, has_terminal, hands_over };
    let code = supervise(child, inbox, Shutdown::new(settings.rules()), manner, report);
    Ok(if settings.remap_exit.value.contains(&code) { 0 } else { code })
}

/// What we want to be for our descendants and our parent. A refusal (seccomp) is no reason not to serve.
fn prepare(settings: &Settings) {
    if settings.subreaper.value.unwrap_or(!process::is_pid_one()) {
        if let Err(error) = process::become_subreaper() {
            warn!("cannot become a subreaper, so orphans will not be reaped by us: {error}");
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
    match error.kind() {
        // fork(2), not execve(2): no more processes or memory
        io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => {
            Failure::new(OUR_FAILURE, format!("cannot make a process for `{shown}`: {error}"))
        }
        // What the kernel does not know (ENOEXEC) the C library gives to /bin/sh, and it is that which is not there.
        io::ErrorKind::NotFound if shown.contains('/') && is_file_of_no_known_kind(Path::new(program)) => Failure::new(
            NOT_RUNNABLE,
            format!(
                "`{shown}` cannot be run: it is no program for this machine, and there is no /bin/sh to take it for a script"
            ),
        ),
        io::ErrorKind::NotFound if shown.contains('/') && Path::new(program).exists() => Failure::new(
            NOT_FOUND,
            format!(
                "`{shown}` is there, but the interpreter it names (behind #!, or its dynamic loader) is not: add that to the image"
            ),
        ),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            Failure::new(NOT_FOUND, format!("`{shown}` was not found: check its name and PATH"))
        }
        _ => Failure::new(NOT_RUNNABLE, format!("`{shown}` cannot be run: {error}")),
    }
}

/// Whether a file has neither `#!` nor the header of a program for this machine, which is that of our own.
fn is_file_of_no_known_kind(path: &Path) -> bool {
    const ELF_HEADER: usize = 20; // as far as the machine it is for, which ends it; the word size is the fifth byte
    let head = |path: &Path| {
        let mut head = [0_u8; ELF_HEADER];
        File::open(path).and_then(|mut file| file.read(&mut head)).map(|_| head)
    };
    let (Ok(theirs), Ok(ours)) = (head(path), head(Path::new("/proc/self/exe"))) else { return false };
    let is_elf_for_us = theirs.get(..5) == ours.get(..5) && theirs.get(18..) == ours.get(18..);
    !theirs.starts_with(b"#!") && !is_elf_for_us
}

/// Prints what was asked for. Who closes stdout did not want to read it.
fn print(text: &str) -> u8 {
    let _ = io::stdout().write_all(text.as_bytes());
    0
}
