//! Durations as people write them: `500ms`, `5s`, `1m 30s`.

use std::time::Duration;

/// Why a word is no duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It begins with a minus.
    Negative,
    /// It is a bare number.
    NoUnit,
    /// Something else, in words.
    Other(String),
}

/// Reads a duration. `M` is refused: it would be months, and nobody means them.
///
/// # Errors
///
/// Why the word is none.
pub fn read(word: &str) -> Result<Duration, Wrong> {
    if word.starts_with('-') {
        return Err(Wrong::Negative);
    }
    if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(Wrong::NoUnit);
    }
    if word.contains('M') {
        return Err(Wrong::Other("minutes are written with a small m".to_owned()));
    }
    humantime::parse_duration(word).map_err(|error| {
        Wrong::Other(match error {
            humantime::DurationError::UnknownUnit { unit, .. } => format!("`{unit}` is no unit"),
            other => other.to_string(),
        })
    })
}

/// A duration as settings write it.
#[must_use]
pub fn show(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}
