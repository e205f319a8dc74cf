//! Durations on the command line: `500ms`, `5s`, `1m 30s`; a bare number is seconds.

use std::time::Duration;

use softstop::duration::{Bounds, InvalidDuration, read, show};

/// The longest duration that is accepted. It is more than any rehearsal needs, and sums of a few such durations cannot
/// overflow.
const MAX: Duration = Duration::from_secs(7 * 24 * 3600);

pub(crate) fn parse(word: &str) -> Result<Duration, String> {
    let read = match read(word) {
        Err(InvalidDuration::NoUnit) => {
            read(&format!("{word}s")).map_err(|_| "write it as 500ms, 5s or 1m 30s".to_owned())
        }
        Err(InvalidDuration::Negative) => Err("a duration cannot be negative".to_owned()),
        Err(InvalidDuration::Other(why)) => Err(format!("{why}; write it as 500ms, 5s or 1m 30s")),
        Ok(duration) => Ok(duration),
    };
    match read {
        Ok(duration) if duration > MAX => Err("the maximum is a week".to_owned()),
        read => read,
    }
}

pub(crate) fn parse_above_zero(word: &str) -> Result<Duration, String> {
    match parse(word) {
        Ok(Duration::ZERO) => Err("it must be above zero".to_owned()),
        read => read,
    }
}

/// A duration as one word of a command line: `1m30s`.
pub(crate) fn one_word(duration: Duration) -> String {
    show(duration).replace(' ', "")
}

/// A duration, or two with `..` between them.
pub(crate) fn parse_bounds(word: &str) -> Result<Bounds, String> {
    let Some((least, most)) = word.split_once("..") else { return parse(word).map(Bounds::exactly) };
    let (least, most) = (parse(least.trim())?, parse(most.trim())?);
    if least > most { Err("write the shorter bound first".to_owned()) } else { Ok(Bounds { least, most }) }
}
