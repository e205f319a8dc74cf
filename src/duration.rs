//! Durations as people write them: `500ms`, `5s`, `1m 30s`.

use std::fmt;
use std::time::Duration;

/// A length that is not known beforehand: `2s..15s`; `5s` where both bounds are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Not shorter than this.
    pub least: Duration,
    /// Not longer than this.
    pub most: Duration,
}

impl Bounds {
    /// No time at all.
    pub const NONE: Self = Self::exactly(Duration::ZERO);

    /// This long.
    #[must_use]
    pub const fn exactly(length: Duration) -> Self {
        Self { least: length, most: length }
    }

    /// Whether there is any time between the bounds.
    #[must_use]
    pub fn is_range(self) -> bool {
        self.least < self.most
    }

    /// Neither bound above this.
    #[must_use]
    pub fn capped(self, most: Duration) -> Self {
        Self { least: self.least.min(most), most: self.most.min(most) }
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
