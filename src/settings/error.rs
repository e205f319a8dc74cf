//! Errors in settings. Each is one sentence that names the place and the remedy.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::Source;
use crate::duration::{Bounds, show};
use crate::signal::Signal;

/// Wrong usage or configuration. softstop exits with code 2 before the child starts.
#[derive(Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the sentences in Display show what each field is")]
pub enum Error {
    UnknownKey { source: Source, key: String, nearest: Option<String> },
    UnknownWord { source: Source, what: &'static str, word: String, nearest: Option<&'static str>, known: String },
    WrongType { source: Source, key: String, expected: &'static str, found: &'static str },
    NotText { source: Source },
    UnknownSignal { source: Source, word: String, nearest: Option<String> },
    NotCatchable { source: Source, signal: Signal },
    ReservedForInit { source: Source, signal: Signal },
    Ignored { source: Source, signal: Signal, ignored_by: Source },
    StopSignalIsSigstop { source: Source },
    NeedsSubreaper { wait_for: Source, subreaper: Source },
    NotARewrite { source: Source, word: String },
    RewrittenTwice { source: Source, signal: Signal },
    Negative { source: Source, word: String },
    NoUnit { source: Source, word: String },
    NotADuration { source: Source, word: String, reason: String },
    NotAnExitCode { source: Source, word: String },
    GraceTooShort { source: Source, grace: Duration },
    DoesNotFit { pre_delay: (Bounds, Source), drain: Option<(Duration, Source)>, grace: (Duration, Source) },
    BoundsReversed { source: Source, least: Duration, most: Duration },
    QuietTooLong { quiet: (Duration, Source), pre_delay: (Bounds, Source) },
    DrainUnlimited { source: Source },
    NotAPort { source: Source, word: String },
    NotANetwork { source: Source, word: String, reason: String },
    Unreadable { path: PathBuf, named_by: Source, error: io::Error },
    NotUtf8 { source: Source },
    NotToml { source: Source, message: String },
    NoCommand,
}

/// The remedy for an unknown word: the nearest known one, or else this text.
struct Remedy<'a, T>(&'a Option<T>, &'a str);

impl<T: fmt::Display> fmt::Display for Remedy<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(nearest) => write!(f, "did you mean `{nearest}`?"),
            None => f.write_str(self.1),
        }
    }
}

impl fmt::Display for Error {
    #[expect(clippy::too_many_lines, reason = "a list of sentences")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { source, key, nearest } => {
                write!(
                    f,
                    "{source}: unknown setting `{key}`: {}",
                    Remedy(nearest, "docs/settings.md has the table of settings")
                )
            }
            Self::UnknownWord { source, what, word, nearest, known } => {
                write!(f, "{source}: unknown {what} `{word}`: {}", Remedy(nearest, &format!("write {known}")))
            }
            Self::WrongType { source, key, expected, found } => {
                write!(f, "{source}: `{key}` is {found}: write {expected}")
            }
            Self::NotText { source } => {
                write!(f, "{source}: the value is not UTF-8 text: write it in plain characters")
            }
            Self::UnknownSignal { source, word, nearest } => write!(
                f,
                "{source}: unknown signal `{word}`: {}",
                Remedy(nearest, "write a name such as TERM, SIGTERM or RTMIN+3, or a number from 1 to 64")
            ),
            Self::NotCatchable { source, signal } => {
                write!(f, "{source}: no process can catch {signal}: name another signal here")
            }
            Self::ReservedForInit { source, signal } => write!(
                f,
                "{source}: {signal} is for softstop itself (a change of a child, or a fault): name another signal here"
            ),
            Self::Ignored { source, signal, ignored_by } => {
                write!(f, "{source}: {signal} is named here, but {ignored_by} says to ignore it: remove one of the two")
            }
            Self::StopSignalIsSigstop { source } => {
                write!(f, "{source}: SIGSTOP would freeze the program, not stop it: name another signal here")
            }
            Self::NeedsSubreaper { wait_for, subreaper } => write!(
                f,
                "{wait_for}: to wait for all processes softstop must adopt orphans, which {subreaper} forbids: remove one of the two"
            ),
            Self::NotARewrite { source, word } => {
                write!(f, "{source}: `{word}` is not a rewrite: write FROM:TO, such as HUP:USR1 or USR2:ignore")
            }
            Self::RewrittenTwice { source, signal } => {
                write!(f, "{source}: {signal} is rewritten twice: remove one of the two")
            }
            Self::Negative { source, word } => {
                write!(f, "{source}: `{word}` is negative: write a duration of 0s or more")
            }
            Self::NoUnit { source, word } => {
                write!(f, "{source}: `{word}` has no unit: write {word}s for seconds, or {word}ms, {word}m")
            }
            Self::NotADuration { source, word, reason } => {
                write!(f, "{source}: `{word}` is not a duration ({reason}): write it like 500ms, 5s or 1m30s")
            }
            Self::NotAnExitCode { source, word } => {
                write!(f, "{source}: `{word}` is not an exit code: write a number from 0 to 255")
            }
            Self::GraceTooShort { source, grace } => write!(
                f,
                "{source}: a grace period of {} leaves no time for a stop, since softstop keeps 1 s of it for its last report: lengthen it",
                show(*grace)
            ),
            Self::DoesNotFit { pre_delay, drain, grace } => {
                write!(f, "{}: a pre-delay of {} ({})", grace.1, pre_delay.0, pre_delay.1)?;
                match drain {
                    Some((drain, source)) => write!(f, " and a drain timeout of {} ({source}) do", show(*drain))?,
                    None => f.write_str(" does")?,
                }
                write!(
                    f,
                    " not fit into the grace period of {}, of which softstop keeps 1 s for its last report: shorten the one or lengthen the other",
                    show(grace.0)
                )
            }
            Self::BoundsReversed { source, least, most } => write!(
                f,
                "{source}: the lower bound of {} is above the upper bound of {}: write the shorter first",
                show(*least),
                show(*most)
            ),
            Self::QuietTooLong { quiet, pre_delay } => write!(
                f,
                "{}: a quiet of {} is longer than the pre-delay of {} ({}): shorten the one or lengthen the other",
                quiet.1,
                show(quiet.0),
                pre_delay.0,
                pre_delay.1
            ),
            Self::DrainUnlimited { source } => write!(
                f,
                "{source}: without a drain timeout there is nothing to end early: set drain_timeout or grace_period"
            ),
            Self::NotAPort { source, word } => {
                write!(f, "{source}: `{word}` is not a TCP port: write numbers from 1 to 65535, separated by commas")
            }
            Self::NotANetwork { source, word, reason } => {
                write!(
                    f,
                    "{source}: `{word}` is not a network ({reason}): write an address or a CIDR, such as 10.0.0.0/8"
                )
            }
            Self::Unreadable { path, named_by, error } => {
                write!(f, "{}: cannot read the configuration file", path.display())?;
                if !matches!(named_by, Source::Default) {
                    write!(f, " that {named_by} names")?;
                }
                write!(f, ": {error}")
            }
            Self::NotUtf8 { source } => write!(f, "{source}: this is not UTF-8: save the file as UTF-8 text"),
            Self::NotToml { source, message } => write!(f, "{source}: this is not TOML: {message}"),
            Self::NoCommand => {
                f.write_str("no command: write the program to start after the options, as in `softstop -- nginx`")
            }
        }
    }
}

impl std::error::Error for Error {}
