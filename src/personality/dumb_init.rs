//! dumb-init 1.2.5: the child leads a session of its own, and its whole process group gets the signals.

use std::ffi::{OsStr, OsString};

use log::{Level, LevelFilter};

use super::glibc::error_description;
use super::{Environment, Operation, Personality, UsageError, by_default, getopt, given, leading_number};
use crate::log_style::{LogEvent, LogStyle};
use crate::process::{ChildGroup, SpawnError, Target};
use crate::settings::{ChildSetup, Invocation, Layer, Source, Sourced};
use crate::shutdown::Exit;
use crate::signal::{Rewrite, Signal, SignalMap, SignalSet};

const NAME: &str = "dumb-init";

pub(super) static PERSONALITY: Personality =
    Personality { names: &["dumb-init"], parse, style: LogStyle { line, describe, not_started, own_failure: 1 } };

const VERSION: &str = concat!("dumb-init v1.2.5_softstop-", env!("CARGO_PKG_VERSION"), "\n");

const OPTIONS: getopt::Options = &[
    ('h', false, Some("help")),
    ('c', false, Some("single-child")),
    ('r', true, Some("rewrite")),
    ('v', false, Some("verbose")),
    ('V', false, Some("version")),
];

const HELP: &str = "
Starts a command as its only child, passes signals on and reaps zombies, as dumb-init does; softstop by the name of
dumb-init. The command leads a session of its own, and its whole process group gets the signals.

   -c, --single-child   No session: signals go to the command alone.
   -r, --rewrite s:r    Send signal r where s is received; both are numbers from 1 to 31, and r may be 0 for none.
                        Repeatable.
   -v, --verbose        Log each signal and each child.
   -h, --help           Print this help.
   -V, --version        Print the version.

   DUMB_INIT_DEBUG=1    as -v
   DUMB_INIT_SETSID=0   as -c

A SOFTSTOP_ variable, or /etc/softstop.toml, turns the soft stop on.
";

const REWRITE_HELP: &str = "Usage: -r option takes <signum>:<signum>, where <signum> is between 1 and 31.\n\
                            This option can be specified multiple times.\n\
                            Use --help for full usage.\n";

/// dumb-init knows only the classic signals.
const LAST: i32 = 31;

/// The signals by which a terminal stops a job.
const JOB_CONTROL: [Signal; 3] = [Signal::TSTP, Signal::TTIN, Signal::TTOU];

fn parse(arguments: &[OsString], environment: &Environment) -> Result<Operation, UsageError> {
    let usage_error = |text: String| UsageError { code: 1, text };
    let (options, command) = getopt::read(arguments, OPTIONS);
    let (mut flags, mut group, mut rewrites) = (Layer::default(), ChildGroup::NewSession, Rewrites::default());
    for (letter, value) in options {
        match letter {
            'h' => return Ok(Operation::PrintToStderr(help(arguments))),
            'V' => return Ok(Operation::PrintToStderr(VERSION.to_owned())),
            'v' => flags.log = given(NAME, "-v", LevelFilter::Debug),
            'c' => group = ChildGroup::Inherited,
            _ => {
                let value = value.unwrap_or_default();
                let (from, to) =
                    rewrite(&value.to_string_lossy()).ok_or_else(|| usage_error(REWRITE_HELP.to_owned()))?;
                rewrites.insert(from, to); // the last rewrite of a signal counts
            }
        }
    }
    let command = command.map_err(usage_error)?;
    if command.is_empty() {
        let name = arguments.first().map(|name| name.to_string_lossy()).unwrap_or_default();
        return Err(usage_error(format!("Usage: {name} [option] program [args]\nTry {name} --help for full usage.\n")));
    }

    let (mut remarks, mut variables) = (Vec::new(), Layer::default());
    if environment.get("DUMB_INIT_DEBUG").is_some_and(|value| value == "1") {
        variables.log = given(NAME, "DUMB_INIT_DEBUG", LevelFilter::Debug);
        remarks.push("Running in debug mode.".to_owned());
    }
    if environment.get("DUMB_INIT_SETSID").is_some_and(|value| value == "0") {
        group = ChildGroup::Inherited;
        remarks.push("Not running in setsid mode.".to_owned());
    }
    flags.rewrite = effective(&rewrites);
    Ok(Operation::Run(Invocation {
        command,
        flags,
        variables,
        defaults: defaults(&rewrites, group),
        personality: Some(NAME),
        child: ChildSetup {
            group,
            suspend_on: SignalSet::from_iter(JOB_CONTROL),
            // Only if the child leads a group of its own. In our group it was the only process that we would signal.
            exit_signal: exit_signal(&rewrites).filter(|_| group == ChildGroup::NewSession),
        },
        remarks,
    }))
}

/// What `-r` says.
type Rewrites = SignalMap<Rewrite>;

/// Reads a rewrite like sscanf(3) with `%d:%d`, which ignores what follows. It is to 0 for none.
fn rewrite(text: &str) -> Option<(Signal, Rewrite)> {
    let (from, rest) = leading_number(text)?;
    let (to, _) = leading_number(rest.strip_prefix(':')?)?;
    let to = if to == 0 { Rewrite::Ignore } else { Rewrite::To(signal(to)?) };
    Some((signal(from)?, to))
}

/// The rewrites that have an effect: a signal that cannot be caught is never received, and SIGCHLD is never passed on.
fn effective(rewrites: &Rewrites) -> SignalMap<Sourced<Rewrite>> {
    let source = Source::Personality { name: NAME, what: "-r" };
    let effective = rewrites.iter().filter(|(from, _)| from.is_catchable() && *from != Signal::CHLD);
    effective.map(|(from, &to)| (from, Sourced::new(to, source.clone()))).collect()
}

/// Every signal is passed on. That includes the signals of a fault (SIGSEGV), which another process has sent if we receive
/// them, and those that the terminal sends to a background job.
fn defaults(rewrites: &Rewrites, group: ChildGroup) -> Layer {
    let all = (1..=LAST).filter_map(Signal::from_number).filter(|&signal| rewrites.get(signal).is_none());
    let rewrite = all.filter_map(|signal| {
        let to = match group {
            // The process group of a session leader is orphaned, so only SIGSTOP stops it.
            ChildGroup::NewSession if JOB_CONTROL.contains(&signal) => Signal::STOP,
            _ if signal.is_forwarded() || !signal.is_catchable() || signal == Signal::CHLD => return None,
            _ => signal,
        };
        Some((signal, by_default(NAME, Rewrite::To(to))?))
    });
    Layer {
        rewrite: rewrite.collect(),
        subreaper: by_default(NAME, false),
        target: by_default(NAME, Target::Group).filter(|_| group == ChildGroup::NewSession),
        ..Layer::default()
    }
}

/// The signal that the rest of the group is sent after the child's exit: SIGTERM, or what that is rewritten to.
fn exit_signal(rewrites: &Rewrites) -> Option<Signal> {
    match rewrites.get(Signal::TERM) {
        None => Some(Signal::TERM),
        Some(Rewrite::To(signal)) => Some(*signal),
        Some(Rewrite::Ignore) => None,
    }
}

/// A signal that dumb-init knows.
fn signal(number: i64) -> Option<Signal> {
    i32::try_from(number).ok().filter(|&number| number <= LAST).and_then(Signal::from_number)
}

fn help(arguments: &[OsString]) -> String {
    let name = arguments.first().map(|name| name.to_string_lossy()).unwrap_or_default();
    format!("{VERSION}Usage: {name} [option] command [[arg] ...]\n{HELP}")
}

fn line(_: Level, message: &str) -> String {
    format!("[dumb-init] {message}\n")
}

fn describe(event: LogEvent<'_>) -> Option<(Level, String)> {
    let text = match event {
        LogEvent::Started { pid, .. } => format!("Child spawned with PID {pid}."),
        LogEvent::NoTerminal(error) => format!(
            "Unable to detach from controlling tty (errno={} {}).",
            error.raw_os_error().unwrap_or_default(),
            error_description(error)
        ),
        LogEvent::Received(signal, _) => format!("Received signal {}.", signal.number()),
        LogEvent::Sent(signal) => format!("Forwarded signal {} to children.", signal.number()),
        LogEvent::Reaped { pid, exit: Exit::Code(code), .. } | LogEvent::MainExited { pid, exit: Exit::Code(code) } => {
            format!("A child with PID {pid} exited with exit status {code}.")
        }
        LogEvent::Reaped { pid, exit: Exit::Signal(signal), .. }
        | LogEvent::MainExited { pid, exit: Exit::Signal(signal) } => {
            format!("A child with PID {pid} was terminated by signal {}.", signal.number())
        }
        LogEvent::Suspends => "Suspending self due to TTY signal.".to_owned(),
        LogEvent::Exits(code) => format!("Child exited with status {code}. Goodbye."),
        LogEvent::NoSubreaper => return None,
    };
    Some((Level::Debug, text))
}

fn not_started(program: &OsStr, error: &SpawnError) -> (u8, String) {
    match error {
        SpawnError::Fork(_) => (1, "Unable to fork. Exiting.".to_owned()),
        SpawnError::Setup(error) => (1, format!("Unable to set up the child: {}", error_description(error))),
        SpawnError::Exec { error, .. } => (2, format!("{}: {}", program.to_string_lossy(), error_description(error))),
    }
}
