//! Which init we are: the name that we are called by decides, by one table.
//!
//! A copy of softstop, or a link to it, that is called `tini` is tini for whoever calls it: its options, its variables, its
//! exit codes, its words. A row of the table yields a parser, whose fruit are settings like any others, and a voice; what
//! supervises the child is the same under every name.

mod catatonit;
mod dumb_init;
mod getopt;
mod softstop;
mod tini;

use std::ffi::{OsStr, OsString};

use crate::cli;
use crate::settings::{Given, Invocation, Key, Source, base_name};
use crate::voice::Voice;

/// An init that we can be.
#[derive(Debug)]
pub struct Personality {
    /// The names under which people call it.
    names: &'static [&'static str],
    /// Reads its command line, and those of its variables that decide what is read.
    pub parse: fn(&[OsString], &Variables) -> Result<Asked, Refusal>,
    /// Its words.
    pub voice: Voice,
}

/// Who we are under every name that is not another's.
static SOFTSTOP: Personality = Personality { names: &[], parse: cli::parse, voice: softstop::VOICE };

static OTHERS: &[Personality] = &[
    Personality { names: &["tini", "tini-static", "docker-init"], parse: tini::parse, voice: tini::VOICE },
    Personality { names: &["dumb-init"], parse: dumb_init::parse, voice: dumb_init::VOICE },
    Personality { names: &["catatonit", "podman-init"], parse: catatonit::parse, voice: catatonit::VOICE },
];

impl Personality {
    /// The one of this name: the last part of the path in `argv[0]`.
    #[must_use]
    pub fn named(called: Option<&OsString>) -> &'static Self {
        let name = called.map(|called| base_name(called)).unwrap_or_default();
        OTHERS.iter().find(|other| other.names.contains(&name.as_str())).unwrap_or(&SOFTSTOP)
    }
}

/// Which softstop this is, as each version line has it. Docker's engine would warn of one without a commit.
pub(crate) const BUILD: &str = concat!(
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
pub enum Asked {
    /// To run a program.
    Run(Invocation),
    /// To say what would be done with it.
    Explain(Invocation),
    /// To run none, and be there until SIGTERM or SIGINT comes: what holds a pod's namespaces.
    Pause,
    /// A text for stdout.
    Print(String),
    /// A text for stderr, where that init has it.
    PrintToStderr(String),
}

/// A command line that we do not understand.
#[derive(Debug)]
pub struct Refusal {
    /// The code to leave with.
    pub code: u8,
    /// What to say, to the letter.
    pub text: String,
}

/// The environment, as far as another init asks for it by name.
#[derive(Debug)]
pub struct Variables(pub Vec<(OsString, OsString)>);

impl Variables {
    fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.iter().find(|(known, _)| *known == *name).map(|(_, value)| value.as_os_str())
    }
}

/// A setting that the init `name` has by itself.
fn manner(name: &'static str, key: Key, text: impl Into<String>) -> Given {
    Given { key, text: text.into(), source: Source::Manner(name) }
}

/// A setting that the init `name` was given by `what`.
fn given(name: &'static str, what: &'static str, key: Key, text: impl Into<String>) -> Given {
    Given { key, text: text.into(), source: Source::Personality { name, what } }
}

/// The number that a text begins with, as strtol(3) and scanf(3) find it, and what follows.
fn leading_number(text: &str) -> Option<(i64, &str)> {
    let text = text.trim_start();
    let sign = usize::from(text.starts_with(['+', '-']));
    let digits = text.bytes().skip(sign).take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at_checked(sign + digits)?;
    if digits == 0 { None } else { Some((number.parse().unwrap_or(i64::MAX), rest)) }
}
