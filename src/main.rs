//! softstop's `main`: block signals, read settings, start the log and the child, supervise it.
//!
//! It is the C library's `main` and not Rust's. The Rust runtime ignores SIGPIPE and opens /dev/null for closed descriptors
//! before its own `main`, and so hides what we inherited and the child must get.
#![no_main]

use std::env;
use std::ffi::{OsString, c_char, c_int};
use std::io::{self, Write};
use std::mem;
use std::os::fd::{AsRawFd, RawFd};

use log::{debug, warn};

use softstop::explain;
use softstop::log_style::{LogEvent, LogStyle};
use softstop::logging;
use softstop::personality::{Environment, Operation, Personality, UsageError, WRONG_USAGE};
use softstop::process::{ChildGroup, SpawnError};
use softstop::report::Report;
use softstop::settings::{Error, LogFormat, Settings, base_name};
use softstop::shutdown::{Shutdown, WaitFor};
use softstop::supervise::{self, Ending, Options, supervise};
use softstop::sys::child::Child;
use softstop::sys::log_pipe::LogPipe;
use softstop::sys::signals::{self, Inbox, Inherited};
use softstop::sys::sockets::NamespaceCounters;
use softstop::sys::{arguments, descriptors, memory, role, terminal};

#[unsafe(no_mangle)]
#[expect(unsafe_code, reason = "the C library looks for this name, and passes raw pointers")]
extern "C" fn main(count: c_int, argv: *const *const c_char) -> c_int {
    // First of all: a signal that arrives earlier is lost to PID 1.
    let inherited = signals::block_all();
    descriptors::fill_standard_descriptors();
    // SAFETY: the C library passes `count` strings that live as long as the process.
    let arguments = unsafe { arguments::collect(count, argv) };
    let personality = Personality::by_name(arguments.first());
    let code = run(&arguments, inherited, personality);
    c_int::from(code.unwrap_or_else(|failure| failure.report(LogFormat::Text, personality.style)))
}

/// Why the program was not started.
enum Failure {
    /// The command line is wrong.
    Usage(UsageError),
    /// Anything else, in one sentence.
    Sentence { code: u8, sentence: String },
}

impl Failure {
    fn not_started(style: LogStyle, program: &OsString, error: &SpawnError) -> Self {
        let (code, sentence) = (style.not_started)(program, error);
        Self::Sentence { code, sentence }
    }

    /// Writes it on stderr, whatever the log's level, and returns the exit code.
    fn report(self, format: LogFormat, style: LogStyle) -> u8 {
        let (code, text) = match self {
            Self::Usage(UsageError { code, text }) => (code, text),
            Self::Sentence { code, sentence } => (code, logging::line(format, style, log::Level::Error, &sentence)),
        };
        let _ = io::stderr().write_all(text.as_bytes()); // there is no other place to report an error
        code
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Sentence { code: WRONG_USAGE, sentence: error.to_string() }
    }
}

/// What is left to do after the command line and the settings are read.
enum Task {
    /// Nothing.
    Done(u8),
    Pause,
    Start(Box<Program>),
}

/// A program to start.
struct Program {
    command: Vec<OsString>,
    settings: Settings,
    /// What another init logs before it starts.
    remarks: Vec<String>,
}

fn run(arguments: &[OsString], inherited: Inherited, personality: &Personality) -> Result<u8, Failure> {
    let style = personality.style;
    match read_task(arguments, personality)? {
        Task::Done(code) => Ok(code),
        Task::Pause => pause(style),
        Task::Start(program) => start(&program, inherited, style)
            .or_else(|failure| Ok(failure.report(program.settings.log_format.value, style))),
    }
}

/// Reads the command line and the settings. Not inlined, so that its stack can be given back.
#[inline(never)]
fn read_task(arguments: &[OsString], personality: &Personality) -> Result<Task, Failure> {
    let environment = Environment(env::vars_os().collect());
    let operation = (personality.parse)(arguments, &environment).map_err(Failure::Usage)?;
    let Environment(environment) = environment;
    Ok(match operation {
        Operation::Print(text) => Task::Done(print(io::stdout(), &text)),
        Operation::PrintToStderr(text) => Task::Done(print(io::stderr(), &text)),
        Operation::ListProfiles => Task::Done(print(io::stdout(), &explain::profiles())),
        Operation::Explain(invocation) => {
            let command = invocation.command.clone();
            let settings = Settings::resolve(invocation, environment)?;
            Task::Done(print(io::stdout(), &explain::explain(&settings, &command)))
        }
        Operation::Pause => Task::Pause,
        Operation::Run(mut invocation) => {
            let (command, remarks) = (invocation.command.clone(), mem::take(&mut invocation.remarks));
            let settings = Settings::resolve(invocation, environment)?;
            if command.is_empty() {
                return Err(Error::NoCommand.into());
            }
            Task::Start(Box::new(Program { command, settings, remarks }))
        }
    })
}

/// Starts the program and supervises it to its end.
fn start(program: &Program, inherited: Inherited, style: LogStyle) -> Result<u8, Failure> {
    let settings = &program.settings;
    let name = program.command.first().cloned().unwrap_or_default();
    let Launched { child, inbox, log, has_terminal, hands_over, received_at_start } =
        launch(program, &name, inherited, style)?;

    // From here on nothing may end us but the child.
    release_startup_resources([Some(inbox.as_raw_fd()), log, child.exec_status_number()]);
    let report = Report::new(base_name(&name), child.pid());
    let options = Options {
        style,
        program: name.clone(),
        settings,
        received_at_start,
        // With `wait_for = all` the others are sent the stop signal instead, and have the drain's time to end.
        exit_signal: settings.child.exit_signal.filter(|_| settings.wait_for.value != WaitFor::All),
        has_terminal,
        hands_over,
    };
    match supervise(child, inbox, Shutdown::starting(settings.rules()), options, report) {
        Ending::Exited(code) => Ok(if settings.remap_exit.value.contains(&code) { 0 } else { code }),
        Ending::NotStarted(error) => Err(Failure::not_started(style, &name, &error)),
    }
}

/// A child on its way to its execve(2), and what its supervision needs.
struct Launched {
    child: Child,
    inbox: Inbox,
    /// The log's descriptor.
    log: Option<RawFd>,
    has_terminal: bool,
    hands_over: bool,
    received_at_start: Option<NamespaceCounters>,
}

/// Starts the log and the child. Not inlined, so that its stack can be given back.
#[inline(never)]
fn launch(program: &Program, name: &OsString, inherited: Inherited, style: LogStyle) -> Result<Launched, Failure> {
    let settings = &program.settings;
    let log = start_log(settings, style);
    for remark in &program.remarks {
        debug!("{remark}");
    }
    for warning in &settings.warnings {
        warn!("{warning}");
    }
    let inbox = open_inbox(style)?;
    prepare(settings, style);
    let group = settings.child.group;
    let has_terminal = group == ChildGroup::New && terminal::is_controlling();
    // On a resize the terminal sends SIGWINCH to its foreground process group. httpd takes SIGWINCH for a stop request.
    let hands_over = has_terminal && !settings.takes_resize_for_stop();
    // If a shell started us in the background, we get the foreground only on `fg`, and hand it over then.
    let in_foreground = hands_over && terminal::is_foreground();
    if group == ChildGroup::NewSession {
        if let Err(error) = terminal::detach() {
            style.log(LogEvent::NoTerminal(&error));
        }
    }
    let received_at_start = if settings.looks_for_server() { NamespaceCounters::read() } else { None };
    let child = Child::start(&program.command, inherited, group, in_foreground)
        .map_err(|error| Failure::not_started(style, name, &error))?;
    Ok(Launched { child, inbox, log, has_terminal, hands_over, received_at_start })
}

/// Runs no program: holds a pod's namespaces, and reaps orphans.
fn pause(style: LogStyle) -> Result<u8, Failure> {
    let inbox = open_inbox(style)?;
    if !role::is_pid_one() {
        let _ = role::become_subreaper(); // if refused, we still hold the namespaces
    }
    release_startup_resources([Some(inbox.as_raw_fd()), None, None]);
    supervise::pause(inbox);
    Ok(0)
}

/// Starts the log, and returns the descriptor that it opened, if any.
fn start_log(settings: &Settings, style: LogStyle) -> Option<RawFd> {
    let format = settings.log_format.value;
    let pipe = LogPipe::open(move |lost| logging::loss_line(format, style, lost));
    let descriptor = pipe.descriptor();
    logging::start(settings, style, pipe);
    descriptor
}

fn open_inbox(style: LogStyle) -> Result<Inbox, Failure> {
    Inbox::open().map_err(|error| Failure::Sentence {
        code: style.own_failure,
        sentence: format!("cannot receive signals: {error}"),
    })
}

/// Releases what only the start needed: the working directory, whose file system could not be unmounted otherwise; the
/// inherited descriptors, except those in `keep`; and the pages of the stack.
fn release_startup_resources(keep: [Option<RawFd>; 3]) {
    let _ = env::set_current_dir("/"); // the spawn has done it already, unless it could not open the directory
    descriptors::close_inherited(keep.into_iter().flatten().collect());
    memory::give_back_stack();
}

/// Becomes a subreaper and asks for the parent-death signal. If the kernel refuses (seccomp) we start the program all the same.
fn prepare(settings: &Settings, style: LogStyle) {
    if settings.subreaper.value.unwrap_or(!role::is_pid_one()) {
        if let Err(error) = role::become_subreaper() {
            warn!("cannot become a subreaper, so orphans will be neither reaped nor waited for: {error}");
        }
    }
    if !role::is_pid_one() && !role::is_subreaper() {
        style.log(LogEvent::NoSubreaper);
    }
    if let Some(signal) = settings.parent_death_signal.value {
        if let Err(error) = role::set_parent_death_signal(signal) {
            warn!("cannot ask for {signal} on the parent's death: {error}");
        }
    }
}

/// Prints a text. A closed stream is no error.
fn print(mut stream: impl Write, text: &str) -> u8 {
    let _ = stream.write_all(text.as_bytes());
    0
}
