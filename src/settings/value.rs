//! From the text that a person wrote to the value that it means.

use std::collections::BTreeSet;
use std::time::Duration;

use log::LevelFilter;

use super::{DrainUntil, Error, Given, LogFormat, Source};
use crate::duration::{self, Bounds, Wrong};
use crate::network::{self, Network};
use crate::profile::Profile;
use crate::shutdown::{Target, WaitFor, Watched};
use crate::signal::{Rewrite, Signal, SignalSet};

/// The empty list.
pub(super) const NONE: &str = "none";

/// What `profile` may say.
#[derive(Clone, Copy)]
pub(super) enum ProfileChoice {
    Auto,
    None,
    Named(&'static Profile),
}

/// The known word that is fewest slips of the keyboard away, if they are few.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let slips = |candidate: &str| strsim::osa_distance(&word.to_lowercase(), &candidate.to_lowercase());
    known
        .map(|candidate| (slips(candidate), candidate))
        .filter(|&(slips, candidate)| slips <= candidate.len().div_ceil(3))
        .min_by_key(|&(slips, _)| slips)
        .map(|(_, candidate)| candidate)
}

fn one_of<T: Copy>(given: &Given, what: &'static str, known: &[(&'static str, T)]) -> Result<T, Error> {
    let word = given.text.trim();
    if let Some(&(_, value)) = known.iter().find(|(name, _)| *name == word) {
        return Ok(value);
    }
    let names: Vec<&str> = known.iter().map(|&(name, _)| name).collect();
    Err(unknown_word(given, what, names.iter().copied(), names.join(", ")))
}

fn unknown_word(given: &Given, what: &'static str, names: impl Iterator<Item = &'static str>, known: String) -> Error {
    let word = given.text.trim().to_owned();
    Error::UnknownWord { source: given.source.clone(), what, nearest: nearest(&word, names), word, known }
}

pub(super) fn target(given: &Given) -> Result<Target, Error> {
    one_of(given, "target", &[("child", Target::Child), ("group", Target::Group)])
}

pub(super) fn wait_for(given: &Given) -> Result<WaitFor, Error> {
    one_of(given, "value of wait_for", &[("main", WaitFor::Main), ("all", WaitFor::All)])
}

pub(super) fn quiet_means(given: &Given) -> Result<Watched, Error> {
    one_of(given, "meaning of quiet", &[("requests", Watched::Requests), ("traffic", Watched::Traffic)])
}

pub(super) fn drain_until(given: &Given) -> Result<DrainUntil, Error> {
    one_of(given, "end of a drain", &[("exit", DrainUntil::Exit), ("closed", DrainUntil::Closed)])
}

pub(super) fn log_format(given: &Given) -> Result<LogFormat, Error> {
    one_of(given, "log format", &[("text", LogFormat::Text), ("json", LogFormat::Json)])
}

pub(super) fn boolean(given: &Given) -> Result<bool, Error> {
    one_of(given, "truth value", &[("true", true), ("false", false), ("1", true), ("0", false)])
}

pub(super) fn log_level(given: &Given) -> Result<LevelFilter, Error> {
    let levels = LevelFilter::iter().map(|level| (level.as_str(), level));
    let levels: Vec<(&'static str, LevelFilter)> = levels.collect();
    given.text.trim().parse().map_err(|_| {
        let names = levels.iter().map(|&(name, _)| name);
        unknown_word(given, "log level", names, "off, error, warn, info, debug or trace".to_owned())
    })
}

pub(super) fn profile(given: &Given) -> Result<ProfileChoice, Error> {
    match given.text.trim() {
        "auto" => Ok(ProfileChoice::Auto),
        "none" => Ok(ProfileChoice::None),
        name => Profile::named(name).map(ProfileChoice::Named).ok_or_else(|| {
            let names = ["auto", "none"].into_iter().chain(Profile::names());
            unknown_word(given, "profile", names, "a name that --list-profiles shows, auto, or none".to_owned())
        }),
    }
}

/// A signal that we are sent, or send.
pub(super) fn signal(given: &Given) -> Result<Signal, Error> {
    read_signal(given, &given.text)
}

/// The signal that asks the app to stop. SIGSTOP would freeze it instead.
pub(super) fn stop_signal(given: &Given) -> Result<Signal, Error> {
    match signal(given)? {
        Signal::STOP => Err(Error::WouldFreeze { source: given.source.clone() }),
        signal => Ok(signal),
    }
}

/// Signals that we are to receive, separated by commas; `none` for none.
pub(super) fn received_signals(given: &Given) -> Result<SignalSet, Error> {
    if given.text.trim() == NONE {
        return Ok(SignalSet::default());
    }
    given.text.split(',').map(|word| received_signal(given, word)).collect()
}

/// Rewrites, separated by commas. dumb-init's 0 means "ignore", too.
pub(super) fn rewrites(given: &Given) -> Result<Vec<(Signal, Rewrite)>, Error> {
    let rewrite = |word: &str| {
        let not_a_rewrite = || Error::NotARewrite { source: given.source.clone(), word: word.to_owned() };
        let (from, to) = word.split_once(':').ok_or_else(not_a_rewrite)?;
        let from = received_signal(given, from)?;
        let to = match to.trim() {
            "ignore" | "0" => Rewrite::Ignore,
            to => Rewrite::To(read_signal(given, to)?),
        };
        Ok((from, to))
    };
    given.text.split(',').map(rewrite).collect()
}

fn received_signal(given: &Given, word: &str) -> Result<Signal, Error> {
    let signal = read_signal(given, word)?;
    let source = given.source.clone();
    if !signal.is_catchable() {
        Err(Error::NotCatchable { source, signal })
    } else if signal.is_our_own() && !matches!(source, Source::Personality { .. } | Source::Manner(_)) {
        Err(Error::OurOwn { source, signal })
    } else {
        Ok(signal)
    }
}

fn read_signal(given: &Given, word: &str) -> Result<Signal, Error> {
    let word = word.trim();
    word.parse().map_err(|_| {
        let bare = word.to_ascii_uppercase();
        let bare = bare.strip_prefix("SIG").unwrap_or(&bare);
        let is_a_word = bare.starts_with(|c: char| c.is_ascii_alphabetic());
        let nearest = nearest(bare, Signal::names().filter(|_| is_a_word)).map(|name| format!("SIG{name}"));
        Error::UnknownSignal { source: given.source.clone(), word: word.to_owned(), nearest }
    })
}

/// A length, or two with `..` between them.
pub(super) fn bounds(given: &Given) -> Result<Bounds, Error> {
    let Some((least, most)) = given.text.split_once("..") else { return duration(given).map(Bounds::exactly) };
    let (least, most) = (read_duration(given, least)?, read_duration(given, most)?);
    if least > most {
        return Err(Error::UpsideDown { source: given.source.clone(), least, most });
    }
    Ok(Bounds { least, most })
}

/// Ports, separated by commas; `none` for none named.
pub(super) fn ports(given: &Given) -> Result<Vec<u16>, Error> {
    if given.text.trim() == NONE {
        return Ok(Vec::new());
    }
    let port = |word: &str| {
        let word = word.trim();
        let port = word.parse().ok().filter(|&port| port > 0);
        port.ok_or_else(|| Error::NotAPort { source: given.source.clone(), word: word.to_owned() })
    };
    given.text.split(',').map(port).collect()
}

/// Addresses and CIDRs, separated by commas; `none` for none.
pub(super) fn networks(given: &Given) -> Result<Vec<Network>, Error> {
    if given.text.trim() == NONE {
        return Ok(Vec::new());
    }
    let network = |word: &str| {
        let word = word.trim();
        word.parse().map_err(|wrong: network::Wrong| Error::NotANetwork {
            source: given.source.clone(),
            word: word.to_owned(),
            reason: wrong.to_string(),
        })
    };
    given.text.split(',').map(network).collect()
}

pub(super) fn duration(given: &Given) -> Result<Duration, Error> {
    read_duration(given, &given.text)
}

fn read_duration(given: &Given, word: &str) -> Result<Duration, Error> {
    let word = word.trim();
    duration::read(word).map_err(|wrong| {
        let (source, word) = (given.source.clone(), word.to_owned());
        match wrong {
            Wrong::Negative => Error::Negative { source, word },
            Wrong::NoUnit => Error::NoUnit { source, word },
            Wrong::Other(reason) => Error::NotADuration { source, word, reason },
        }
    })
}

/// Exit codes, separated by commas; `none` for none.
pub(super) fn exit_codes(given: &Given) -> Result<BTreeSet<u8>, Error> {
    if given.text.trim() == NONE {
        return Ok(BTreeSet::new());
    }
    let code = |word: &str| {
        let word = word.trim();
        word.parse().map_err(|_| Error::NotAnExitCode { source: given.source.clone(), word: word.to_owned() })
    };
    given.text.split(',').map(code).collect()
}
