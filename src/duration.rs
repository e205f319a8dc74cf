//! Durations as people write them: `500ms`, `5s`, `1m 30s`.

use std::fmt;
use std::time::Duration;

/// A duration between two bounds: `2s..15s`, or `5s` if both are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The lower bound.
    pub least: Duration,
    /// The upper bound.
    pub most: Duration,
}

impl Bounds {
    /// No time at all.
    pub const NONE: Self = Self::exactly(Duration::ZERO);

    /// Exactly this long.
    #[must_use]
    pub const fn exactly(length: Duration) -> Self {
        Self { least: length, most: length }
    }

    /// Whether the bounds differ.
    #[must_use]
    pub fn is_range(self) -> bool {
        self.least < self.most
    }

    /// The same bounds with the upper one at most `most`, and the lower one at most half of that.
    #[must_use]
    pub fn capped(self, most: Duration) -> Self {
        Self { least: self.least.min(half(most)), most: self.most.min(most) }
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_range() {
            write!(f, "{}..{}", show(self.least), show(self.most))
        } else {
            f.write_str(&show(self.most))
        }
    }
}

/// Why a word is not a duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidDuration {
    /// It begins with a minus.
    Negative,
    /// It is a bare number.
    NoUnit,
    /// Another reason, in words.
    Other(String),
}

/// Reads a duration. `M` (months) is refused, since it is always a mistake for `m`.
///
/// # Errors
///
/// The word is not a duration.
pub fn read(word: &str) -> Result<Duration, InvalidDuration> {
    if word.starts_with('-') {
        return Err(InvalidDuration::Negative);
    }
    if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(InvalidDuration::NoUnit);
    }
    if word.contains('M') {
        return Err(InvalidDuration::Other("minutes are written with a small m".to_owned()));
    }
    humantime::parse_duration(word).map_err(|error| {
        InvalidDuration::Other(match error {
            humantime::DurationError::UnknownUnit { unit, .. } => format!("`{unit}` is not a unit"),
            other => other.to_string(),
        })
    })
}

/// Half of a duration, in whole milliseconds: settings show no more digits than that.
#[must_use]
pub fn half(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis() / 2).unwrap_or(u64::MAX))
}

/// A duration as settings write it.
#[must_use]
pub fn show(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}
