//! Reads the value of a setting from the text that the user wrote.

use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;

use super::{DrainUntil, Error, LogFormat, RawSetting, Source};
use crate::duration::{self, Bounds, InvalidDuration};
use crate::network::{InvalidNetwork, Network};
use crate::process::Target;
use crate::profile::Profile;
use crate::shutdown::{Activity, WaitFor};
use crate::signal::{Rewrite, Signal, SignalSet};

/// The text for an empty list.
pub(super) const NONE: &str = "none";

/// The value of `profile`.
#[derive(Clone, Copy, Debug)]
pub enum ProfileChoice {
    /// That of the command, and in a stop that of the server that runs.
    Auto,
    /// No profile.
    None,
    /// That of servers without a profile of their own.
    Server,
    /// This one.
    Named(&'static Profile),
}

/// The known word with the smallest edit distance to `word`, if that is at most a third of its length.
pub(super) fn nearest<'a>(word: &str, known: &mut dyn Iterator<Item = &'a str>) -> Option<&'a str> {
    // All known words are ASCII. The tables for other letters would take 14 kB of the binary.
    let errors = |candidate: &str| strsim::osa_distance(&word.to_ascii_lowercase(), &candidate.to_ascii_lowercase());
    known
        .map(|candidate| (errors(candidate), candidate))
        .filter(|&(errors, candidate)| errors <= candidate.len().div_ceil(3))
        .min_by_key(|&(errors, _)| errors)
        .map(|(_, candidate)| candidate)
}

fn one_of<T: Copy>(setting: &RawSetting, what: &'static str, known: &[(&'static str, T)]) -> Result<T, Error> {
    let word = setting.text.trim();
    if let Some(&(_, value)) = known.iter().find(|(name, _)| *name == word) {
        return Ok(value);
    }
    let names: Vec<&str> = known.iter().map(|&(name, _)| name).collect();
    Err(unknown_word(setting, what, &names, None))
}

/// The error for a word that is none of `names`. It shows them, or this summary of them.
fn unknown_word(
    setting: &RawSetting,
    what: &'static str,
    names: &[&'static str],
    summary: Option<&'static str>,
) -> Error {
    let word = setting.text.trim().to_owned();
    let known = summary.map_or_else(|| names.join(", "), str::to_owned);
    let nearest = nearest(&word, &mut names.iter().copied());
    Error::UnknownWord { source: setting.source.clone(), what, nearest, word, known }
}

pub(super) fn target(setting: &RawSetting) -> Result<Target, Error> {
    one_of(setting, "target", &[("child", Target::Child), ("group", Target::Group), ("server", Target::Server)])
}

pub(super) fn wait_for(setting: &RawSetting) -> Result<WaitFor, Error> {
    one_of(setting, "value of wait_for", &[("main", WaitFor::Main), ("all", WaitFor::All)])
}

pub(super) fn quiet_means(setting: &RawSetting) -> Result<Activity, Error> {
    one_of(
        setting,
        "meaning of quiet",
        &[("requests", Activity::Requests), ("traffic", Activity::Traffic), ("connections", Activity::NewConnections)],
    )
}

pub(super) fn drain_until(setting: &RawSetting) -> Result<DrainUntil, Error> {
    one_of(
        setting,
        "end of a drain",
        &[("exit", DrainUntil::Exit), ("closed", DrainUntil::Closed), ("idle", DrainUntil::Idle)],
    )
}

pub(super) fn log_format(setting: &RawSetting) -> Result<LogFormat, Error> {
    one_of(setting, "log format", &[("text", LogFormat::Text), ("json", LogFormat::Json)])
}

pub(super) fn boolean(setting: &RawSetting) -> Result<bool, Error> {
    one_of(setting, "truth value", &[("true", true), ("false", false), ("1", true), ("0", false)])
}

pub(super) fn log_level(setting: &RawSetting) -> Result<LevelFilter, Error> {
    setting.text.trim().parse().map_err(|_| {
        let names: Vec<&str> = LevelFilter::iter().map(|level| level.as_str()).collect();
        unknown_word(setting, "log level", &names, Some("off, error, warn, info, debug or trace"))
    })
}

pub(super) fn profile(setting: &RawSetting) -> Result<ProfileChoice, Error> {
    match setting.text.trim() {
        "auto" => Ok(ProfileChoice::Auto),
        "none" => Ok(ProfileChoice::None),
        super::SERVER => Ok(ProfileChoice::Server),
        name => Profile::named(name).map(ProfileChoice::Named).ok_or_else(|| {
            let names: Vec<&str> = ["auto", "none", super::SERVER].into_iter().chain(Profile::names()).collect();
            let summary = "a name that --list-profiles shows, auto, server or none";
            unknown_word(setting, "profile", &names, Some(summary))
        }),
    }
}

/// A signal, whether it is to be received or sent.
pub(super) fn signal(setting: &RawSetting) -> Result<Signal, Error> {
    read_signal(&setting.text, &setting.source)
}

/// The signal that asks the app to stop. SIGSTOP is refused: it would only suspend the app.
pub(super) fn stop_signal(setting: &RawSetting) -> Result<Signal, Error> {
    match signal(setting)? {
        Signal::STOP => Err(Error::StopSignalIsSigstop { source: setting.source.clone() }),
        signal => Ok(signal),
    }
}

/// Signals that we are to receive, separated by commas; `none` for none.
pub(super) fn received_signals(setting: &RawSetting) -> Result<SignalSet, Error> {
    let signals = list(setting, |word| received_signal(word, &setting.source))?;
    Ok(signals.into_iter().collect())
}

/// Rewrites, separated by commas.
pub(super) fn rewrites(setting: &RawSetting) -> Result<Vec<(Signal, Rewrite)>, Error> {
    let source = &setting.source;
    let read = |word: &str| {
        let not_a_rewrite = || Error::NotARewrite { source: source.clone(), word: word.to_owned() };
        let (from, to) = word.split_once(':').ok_or_else(not_a_rewrite)?;
        rewrite(from, to, source)
    };
    setting.text.split(',').map(read).collect()
}

/// A rewrite. `0` means `ignore`, as for dumb-init.
pub(super) fn rewrite(from: &str, to: &str, source: &Source) -> Result<(Signal, Rewrite), Error> {
    let from = match received_signal(from, source) {
        // SIGABRT may be rewritten: a user may send it to get a core dump of the app.
        Err(Error::ReservedForInit { signal: Signal::ABRT, .. }) => Signal::ABRT,
        other => other?,
    };
    let to = match to.trim() {
        "ignore" | "0" => Rewrite::Ignore,
        to => Rewrite::To(read_signal(to, source)?),
    };
    Ok((from, to))
}

fn received_signal(word: &str, source: &Source) -> Result<Signal, Error> {
    let signal = read_signal(word, source)?;
    let source = source.clone();
    if !signal.is_catchable() {
        Err(Error::NotCatchable { source, signal })
    } else if signal.is_our_own() {
        Err(Error::ReservedForInit { source, signal })
    } else {
        Ok(signal)
    }
}

fn read_signal(word: &str, source: &Source) -> Result<Signal, Error> {
    let word = word.trim();
    word.parse().map_err(|_| {
        let bare = word.to_ascii_uppercase();
        let bare = bare.strip_prefix("SIG").unwrap_or(&bare);
        let is_a_word = bare.starts_with(|c: char| c.is_ascii_alphabetic());
        let nearest = nearest(bare, &mut Signal::names().filter(|_| is_a_word)).map(|name| format!("SIG{name}"));
        Error::UnknownSignal { source: source.clone(), word: word.to_owned(), nearest }
    })
}

/// A duration, or two with `..` between them.
pub(super) fn bounds(setting: &RawSetting) -> Result<Bounds, Error> {
    let Some((least, most)) = setting.text.split_once("..") else { return duration(setting).map(Bounds::exactly) };
    let (least, most) = (read_duration(setting, least)?, read_duration(setting, most)?);
    if least > most {
        return Err(Error::BoundsReversed { source: setting.source.clone(), least, most });
    }
    Ok(Bounds { least, most })
}

/// Ports, separated by commas; `none` for no ports.
pub(super) fn ports(setting: &RawSetting) -> Result<Vec<u16>, Error> {
    list(setting, |word| {
        let port = word.parse().ok().filter(|&port| port > 0);
        port.ok_or_else(|| Error::NotAPort { source: setting.source.clone(), word: word.to_owned() })
    })
}

/// Addresses and CIDRs, separated by commas; `none` for none.
pub(super) fn networks(setting: &RawSetting) -> Result<Vec<Network>, Error> {
    list(setting, |word| {
        word.parse().map_err(|invalid: InvalidNetwork| Error::NotANetwork {
            source: setting.source.clone(),
            word: word.to_owned(),
            reason: invalid.to_string(),
        })
    })
}

pub(super) fn duration(setting: &RawSetting) -> Result<Duration, Error> {
    read_duration(setting, &setting.text)
}

fn read_duration(setting: &RawSetting, word: &str) -> Result<Duration, Error> {
    let word = word.trim();
    duration::read(word).map_err(|invalid| {
        let (source, word) = (setting.source.clone(), word.to_owned());
        match invalid {
            InvalidDuration::Negative => Error::Negative { source, word },
            InvalidDuration::NoUnit => Error::NoUnit { source, word },
            InvalidDuration::Other(reason) => Error::NotADuration { source, word, reason },
        }
    })
}

/// The path of a file.
#[expect(clippy::unnecessary_wraps, reason = "as the other readers")]
pub(super) fn path(setting: &RawSetting) -> Result<PathBuf, Error> {
    Ok(PathBuf::from(&setting.text))
}

/// Exit codes, separated by commas; `none` for none. They are sorted, each once.
pub(super) fn exit_codes(setting: &RawSetting) -> Result<Vec<u8>, Error> {
    let mut codes = list(setting, |word| {
        word.parse().map_err(|_| Error::NotAnExitCode { source: setting.source.clone(), word: word.to_owned() })
    })?;
    codes.sort_unstable();
    codes.dedup();
    Ok(codes)
}

/// Words separated by commas, each read by `read`; `none` for none.
fn list<T>(setting: &RawSetting, read: impl Fn(&str) -> Result<T, Error>) -> Result<Vec<T>, Error> {
    if setting.text.trim() == NONE {
        return Ok(Vec::new());
    }
    setting.text.split(',').map(|word| read(word.trim())).collect()
}
