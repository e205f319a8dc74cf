//! dumb-init 1.2.5: the child leads a session of its own, and the whole of its group gets the signals.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;

use log::Level;

use super::{Asked, Refusal, Variables, getopt, leading_number};
use crate::settings::{Given, Invocation, Key, Manners};
use crate::shutdown::{Exit, Place};
use crate::signal::{Signal, SignalSet};
use crate::sys::process::reason;
use crate::voice::{Fact, Voice};

const NAME: &str = "dumb-init";

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

/// dumb-init knows the classic signals only.
const LAST: i64 = 31;

/// What the terminal stops a job with.
const JOB_CONTROL: [Signal; 3] = [Signal::TSTP, Signal::TTIN, Signal::TTOU];

pub(super) fn parse(arguments: &[OsString], variables: &Variables) -> Result<Asked, Refusal> {
    let refusal = |text: String| Refusal { code: 1, text };
    let (options, command) = getopt::read(arguments, OPTIONS);
    let (mut debug, mut place, mut rewrites) = (false, Place::OwnSession, BTreeMap::new());
    for (letter, value) in options {
        match letter {
            'h' => return Ok(Asked::PrintToStderr(help(arguments))),
            'V' => return Ok(Asked::PrintToStderr(VERSION.to_owned())),
            'v' => debug = true,
            'c' => place = Place::OurGroup,
            _ => {
                let value = value.unwrap_or_default();
                let rewrite = rewrite(&value.to_string_lossy()).ok_or_else(|| refusal(REWRITE_HELP.to_owned()))?;
                rewrites.extend([rewrite]); // the last word on a signal counts
            }
        }
    }
    let command = command.map_err(refusal)?;
    if command.is_empty() {
        let name = arguments.first().map(|name| name.to_string_lossy()).unwrap_or_default();
        return Err(refusal(format!("Usage: {name} [option] program [args]\nTry {name} --help for full usage.\n")));
    }

    let (mut remarks, mut from_variables) = (Vec::new(), Vec::new());
    if variables.get("DUMB_INIT_DEBUG").is_some_and(|value| value == "1") {
        from_variables.push(given("DUMB_INIT_DEBUG", Key::Log, "debug"));
        remarks.push("Running in debug mode.".to_owned());
    }
    if variables.get("DUMB_INIT_SETSID").is_some_and(|value| value == "0") {
        place = Place::OurGroup;
        remarks.push("Not running in setsid mode.".to_owned());
    }
    Ok(Asked::Run(Invocation {
        command,
        flags: flags(&rewrites, debug),
        variables: from_variables,
        defaults: defaults(&rewrites, place),
        personality: Some(NAME),
        manners: Manners {
            place,
            suspend_on: SignalSet::from_iter(JOB_CONTROL),
            // To the group alone: the child, which would be all of it in ours, is gone by then.
            farewell: farewell(&rewrites).filter(|_| place == Place::OwnSession),
        },
        remarks,
    }))
}

/// By number: what each signal is rewritten to, 0 for nothing.
type Rewrites = BTreeMap<i64, i64>;

/// As sscanf(3) reads `%d:%d`, which does not look at what follows.
fn rewrite(text: &str) -> Option<(i64, i64)> {
    let (from, rest) = leading_number(text)?;
    let (to, _) = leading_number(rest.strip_prefix(':')?)?;
    ((1..=LAST).contains(&from) && (0..=LAST).contains(&to)).then_some((from, to))
}

fn given(what: &'static str, key: Key, text: impl Into<String>) -> Given {
    super::given(NAME, what, key, text)
}

fn flags(rewrites: &Rewrites, debug: bool) -> Vec<Given> {
    // What cannot be caught is never received, and SIGCHLD never passed on: to rewrite them has no effect.
    let caught = |signal: Signal| signal.is_catchable() && signal != Signal::CHLD;
    let effective = rewrites.iter().filter(|&(&from, _)| signal(from).is_some_and(caught));
    let rewrites = effective.map(|(from, to)| given("-r", Key::Rewrite, format!("{from}:{to}")));
    let debug = debug.then(|| given("-v", Key::Log, "debug"));
    rewrites.chain(debug).collect()
}

/// Everything is passed on: also a fault's signal, which somebody must have sent, and what speaks to a background job.
fn defaults(rewrites: &Rewrites, place: Place) -> Vec<Given> {
    let everything = (1..=LAST).filter(|number| !rewrites.contains_key(number)).filter_map(signal);
    let rewrites = everything.filter_map(|signal| {
        let to = match place {
            // Nothing less stops a session's leader: the kernel sees nobody there who could wake it.
            Place::OwnSession if JOB_CONTROL.contains(&signal) => Signal::STOP,
            _ if signal.is_forwarded() || !signal.is_catchable() || signal == Signal::CHLD => return None,
            _ => signal,
        };
        Some(super::manner(NAME, Key::Rewrite, format!("{signal}:{to}")))
    });
    let mut defaults: Vec<Given> = rewrites.collect();
    defaults.push(super::manner(NAME, Key::Subreaper, "false"));
    if place == Place::OwnSession {
        defaults.push(super::manner(NAME, Key::Target, "group"));
    }
    defaults
}

/// What the rest of the group gets when the child is gone: SIGTERM, as far as no rewrite says otherwise.
fn farewell(rewrites: &Rewrites) -> Option<Signal> {
    signal(rewrites.get(&i64::from(Signal::TERM.number())).copied().unwrap_or(i64::from(Signal::TERM.number())))
}

fn signal(number: i64) -> Option<Signal> {
    i32::try_from(number).ok().and_then(Signal::from_number)
}

fn help(arguments: &[OsString]) -> String {
    let name = arguments.first().map(|name| name.to_string_lossy()).unwrap_or_default();
    format!("{VERSION}Usage: {name} [option] command [[arg] ...]\n{HELP}")
}

pub(super) const VOICE: Voice = Voice { line, tell, not_started, our_failure: 1 };

fn line(_: Level, message: &str) -> String {
    format!("[dumb-init] {message}\n")
}

fn tell(fact: Fact<'_>) -> Option<(Level, String)> {
    let said = match fact {
        Fact::Started { pid, .. } => format!("Child spawned with PID {pid}."),
        Fact::NoTerminal(error) => format!(
            "Unable to detach from controlling tty (errno={} {}).",
            error.raw_os_error().unwrap_or_default(),
            reason(error)
        ),
        Fact::Received(signal, _) => format!("Received signal {}.", signal.number()),
        Fact::Sent(signal) => format!("Forwarded signal {} to children.", signal.number()),
        Fact::Reaped { pid, exit: Exit::Code(code), .. } | Fact::MainExited { pid, exit: Exit::Code(code) } => {
            format!("A child with PID {pid} exited with exit status {code}.")
        }
        Fact::Reaped { pid, exit: Exit::Signal(signal), .. } | Fact::MainExited { pid, exit: Exit::Signal(signal) } => {
            format!("A child with PID {pid} was terminated by signal {}.", signal.number())
        }
        Fact::Suspends => "Suspending self due to TTY signal.".to_owned(),
        Fact::Leaves(code) => format!("Child exited with status {code}. Goodbye."),
        Fact::NoReaper => return None,
    };
    Some((Level::Debug, said))
}

fn not_started(program: &OsStr, error: &io::Error) -> (u8, String) {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => (1, "Unable to fork. Exiting.".to_owned()),
        _ => (2, format!("{}: {}", program.to_string_lossy(), reason(error))),
    }
}
