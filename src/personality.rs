//! Which init we behave as. The name that we are called by decides.
//!
//! softstop called `tini`, as a copy or a link, has tini's options, variables, exit codes and messages. Each personality has a
//! parser of its command line, which yields the same settings as softstop's own, and a log style. The supervision of the child
//! is the same under every name.

mod catatonit;
mod dumb_init;
mod getopt;
mod glibc;
mod softstop;
mod tini;

use std::ffi::{OsStr, OsString};

use crate::log_style::LogStyle;
use crate::settings::{Invocation, Source, Sourced, base_name};

/// The exit code for a wrong command line or setting.
pub const WRONG_USAGE: u8 = 2;

/// An init that we can behave as.
#[derive(Debug)]
pub struct Personality {
    /// The names by which it is called. Under every other name we are softstop.
    names: &'static [&'static str],
    /// Reads the command line and the variables of that init.
    pub parse: fn(&[OsString], &Environment) -> Result<Operation, UsageError>,
    /// Its messages and exit codes.
    pub style: LogStyle,
}

static OTHERS: &[&Personality] = &[&tini::PERSONALITY, &dumb_init::PERSONALITY, &catatonit::PERSONALITY];

impl Personality {
    /// The init of this name: the last part of the path in `argv[0]`.
    #[must_use]
    pub fn by_name(called: Option<&OsString>) -> &'static Self {
        let name = called.map(|called| base_name(called)).unwrap_or_default();
        OTHERS.iter().find(|other| other.names.contains(&name.as_str())).copied().unwrap_or(&softstop::PERSONALITY)
    }
}

/// The version and the commit for version lines. Docker's engine warns if there is no commit.
const BUILD: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " - git.v",
    env!("CARGO_PKG_VERSION_MAJOR"),
    "-",
    env!("CARGO_PKG_VERSION_MINOR"),
    "-",
    env!("CARGO_PKG_VERSION_PATCH")
);

const LICENSE: &str = include_str!("../LICENSE");

/// What a command line asks for.
#[derive(Debug)]
pub enum Operation {
    /// Run a program.
    Run(Invocation),
    /// Print what would be done with a program.
    Explain(Invocation),
    /// Run no program, and exit on SIGTERM or SIGINT: the infra container of a pod.
    Pause,
    /// Print the table of servers.
    ListProfiles,
    /// Print this on stdout.
    Print(String),
    /// Print this on stderr, as that init does.
    PrintToStderr(String),
}

/// A command line that is wrong.
#[derive(Debug)]
pub struct UsageError {
    /// The exit code.
    pub code: u8,
    /// The message, exactly as it is printed.
    pub text: String,
}

/// The environment.
#[derive(Debug)]
pub struct Environment(pub Vec<(OsString, OsString)>);

impl Environment {
    fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.iter().find(|(known, _)| *known == *name).map(|(_, value)| value.as_os_str())
    }
}

/// A value that the init `name` has by default.
#[expect(clippy::unnecessary_wraps, reason = "a layer holds options")]
fn by_default<T>(name: &'static str, value: T) -> Option<Sourced<T>> {
    Some(Sourced::new(value, Source::PersonalityDefault(name)))
}

/// A value from `what`, an option or a variable of the init `name`.
#[expect(clippy::unnecessary_wraps, reason = "a layer holds options")]
fn given<T>(name: &'static str, what: &'static str, value: T) -> Option<Sourced<T>> {
    Some(Sourced::new(value, Source::Personality { name, what }))
}

/// The number at the beginning of a text, as strtol(3) and scanf(3) read it, and the rest of the text.
fn leading_number(text: &str) -> Option<(i64, &str)> {
    let text = text.trim_start();
    let sign = usize::from(text.starts_with(['+', '-']));
    let digits = text.bytes().skip(sign).take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at_checked(sign + digits)?;
    if digits == 0 { None } else { Some((number.parse().unwrap_or(i64::MAX), rest)) }
}
