//! softstop's `main`: block signals, read settings, start the log and the child, watch over it.
//!
//! It is the C library's `main` and not Rust's, because the Rust runtime acts before its own: it ignores SIGPIPE and
//! opens /dev/null for closed descriptors, and so hides what we inherited and the child is to find.
#![no_main]

use std::env;
use std::ffi::{OsString, c_char, c_int};
use std::io::{self, Write};
use std::mem;
use std::os::fd::AsRawFd;

use log::{debug, warn};

use softstop::cli::WRONG_USAGE;
use softstop::explain;
use softstop::logging;
use softstop::lookout::Scope;
use softstop::personality::{Asked, Personality, Refusal, Variables};
use softstop::report::Report;
use softstop::settings::{Error, LogFormat, Settings, base_name};
use softstop::shutdown::{Place, Shutdown, WaitFor};
use softstop::supervise::{self, Options, supervise};
use softstop::sys::process::{self, Child};
use softstop::sys::signals::{self, Inbox, Inherited};
use softstop::sys::{arguments, descriptors, memory, terminal};
use softstop::voice::{Fact, Voice};

#[unsafe(no_mangle)]
#[expect(unsafe_code, reason = "the C library looks for this name, and hands over raw pointers")]
extern "C" fn main(count: c_int, argv: *const *const c_char) -> c_int {
    // First of all: what arrives earlier is lost to PID 1.
    let inherited = signals::block_all();
    descriptors::fill_standard_holes();
    // SAFETY: the C library passes `count` strings that live as long as the process.
    let arguments = unsafe { arguments::collect(count, argv) };
    let personality = Personality::named(arguments.first());
    let code = run(&arguments, inherited, personality);
    c_int::from(code.unwrap_or_else(|failure| failure.tell(LogFormat::Text, personality.voice)))
}

/// Why nothing was started, or not what was asked for.
enum Failure {
    /// A command line that is not understood.
    Refused(Refusal),
    /// Anything else, in one sentence.
    Said { code: u8, sentence: String },
}

impl Failure {
    fn of_ours(voice: Voice, doing: &str, error: &io::Error) -> Self {
        Self::Said { code: voice.our_failure, sentence: format!("{doing}: {error}") }
    }

    /// On stderr, whatever the log's level.
    fn tell(self, format: LogFormat, voice: Voice) -> u8 {
        let (code, text) = match self {
            Self::Refused(Refusal { code, text }) => (code, text),
            Self::Said { code, sentence } => (code, logging::line(format, voice, log::Level::Error, &sentence)),
        };
        let _ = io::stderr().write_all(text.as_bytes()); // nobody is left to tell
        code
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Said { code: WRONG_USAGE, sentence: error.to_string() }
    }
}

fn run(arguments: &[OsString], inherited: Inherited, personality: &Personality) -> Result<u8, Failure> {
    let variables = Variables(env::vars_os().collect());
    let asked = (personality.parse)(arguments, &variables).map_err(Failure::Refused)?;
    let Variables(variables) = variables;
    match asked {
        Asked::Print(text) => Ok(print(io::stdout(), &text)),
        Asked::PrintToStderr(text) => Ok(print(io::stderr(), &text)),
        Asked::Explain(invocation) => {
            let command = invocation.command.clone();
            let settings = Settings::resolve(invocation, variables)?;
            Ok(print(io::stdout(), &explain::explain(&settings, &command)))
        }
        Asked::Pause => pause(personality.voice),
        Asked::Run(mut invocation) => {
            let (command, remarks) = (invocation.command.clone(), mem::take(&mut invocation.remarks));
            let settings = Settings::resolve(invocation, variables)?;
            let Some(program) = command.first() else { return Err(Error::NoCommand.into()) };
            let voice = personality.voice;
            Ok(start(&command, program, &settings, inherited, voice, &remarks)
                .unwrap_or_else(|failure| failure.tell(settings.log_format.value, voice)))
        }
    }
}

/// Starts the program and watches over it to its end.
fn start(
    command: &[OsString],
    program: &OsString,
    settings: &Settings,
    inherited: Inherited,
    voice: Voice,
    remarks: &[String],
) -> Result<u8, Failure> {
    let log = logging::start(settings, voice);
    for remark in remarks {
        debug!("{remark}");
    }
    for warning in &settings.warnings {
        warn!("{warning}");
    }
    let inbox = open_inbox(voice)?;
    prepare(settings, voice);
    let place = settings.manners.place;
    let has_terminal = place == Place::OwnGroup && terminal::controls_us();
    // httpd would take the resizes that a terminal tells its foreground for stop requests.
    let hands_over = has_terminal && !settings.takes_resize_for_stop();
    // Started in the background we have no foreground to hand over yet: a shell's `fg` may bring it.
    let in_foreground = hands_over && terminal::is_ours();
    if place == Place::OwnSession {
        if let Err(error) = terminal::let_go() {
            voice.say(Fact::NoTerminal(&error));
        }
    }
    let child = Child::start(command, inherited, place, in_foreground).map_err(|error| {
        if in_foreground {
            terminal::take_back_from_nobody();
        }
        let (code, sentence) = (voice.not_started)(program, &error);
        Failure::Said { code, sentence }
    })?;

    // From here on nothing may end us but the child.
    voice.say(Fact::Started { program, pid: child.pid() });
    settle(&inbox, log);
    let report = Report::new(base_name(program), child.pid());
    let options = Options {
        voice,
        target: settings.target.value,
        warn_on_reap: settings.warn_on_reap.value,
        // Who waits for all bids nobody farewell: they are asked to stop, and have the drain's time for it.
        farewell: settings.manners.farewell.filter(|_| settings.wait_for.value == WaitFor::Main),
        has_terminal,
        hands_over,
        scope: Scope { ports: settings.ports.value.clone(), ignore_peers: settings.ignore_peers.value.clone() },
    };
    let code = supervise(child, inbox, Shutdown::new(settings.rules()), options, report);
    Ok(if settings.remap_exit.value.contains(&code) { 0 } else { code })
}

/// Runs no program: holds a pod's namespaces, and reaps what is left to us.
fn pause(voice: Voice) -> Result<u8, Failure> {
    let inbox = open_inbox(voice)?;
    if !process::is_pid_one() {
        let _ = process::become_subreaper(); // without it we hold the namespaces all the same
    }
    settle(&inbox, None);
    supervise::pause(inbox);
    Ok(0)
}

fn open_inbox(voice: Voice) -> Result<Inbox, Failure> {
    Inbox::open().map_err(|error| Failure::of_ours(voice, "cannot receive signals", &error))
}

/// Lets go of all that we shall not need, and others may miss.
fn settle(inbox: &Inbox, log: Option<i32>) {
    descriptors::close_inherited(inbox.as_raw_fd(), log);
    let _ = env::set_current_dir("/"); // a directory that we stand in could not be unmounted
    memory::give_back_stack();
}

/// What we want to be for our descendants and our parent. A refusal (seccomp) is no reason not to serve.
fn prepare(settings: &Settings, voice: Voice) {
    if settings.subreaper.value.unwrap_or(!process::is_pid_one()) {
        if let Err(error) = process::become_subreaper() {
            warn!("cannot become a subreaper, so orphans will be neither reaped nor waited for: {error}");
        }
    }
    if !process::is_pid_one() && !process::is_subreaper() {
        voice.say(Fact::NoReaper);
    }
    if let Some(signal) = settings.parent_death_signal.value {
        if let Err(error) = process::set_parent_death_signal(signal) {
            warn!("cannot ask for {signal} on the parent's death: {error}");
        }
    }
}

/// Prints what was asked for. Who closes the stream did not want to read it.
fn print(mut stream: impl Write, text: &str) -> u8 {
    let _ = stream.write_all(text.as_bytes());
    0
}
