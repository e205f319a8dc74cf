//! Where the value of a setting comes from.

use std::fmt;
use std::path::PathBuf;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// This flag.
    Flag(&'static str),
    /// This environment variable.
    Environment(String),
    /// This line and column of the file, counted from 1.
    File {
        /// The file's path as it was given.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The column, in characters.
        column: usize,
    },
    /// The profile of this name.
    Profile(&'static str),
    /// The rest of the grace period.
    GracePeriod,
    /// An option or a variable of the init by whose name we are called.
    Personality {
        /// The init.
        name: &'static str,
        /// Its option or variable.
        what: &'static str,
    },
    /// A default of the init by whose name we are called.
    PersonalityDefault(&'static str),
    /// softstop's default.
    Default,
}

impl Source {
    /// Whether the user has set the value by a setting of softstop.
    #[must_use]
    pub fn is_set_by_user(&self) -> bool {
        match self {
            Self::Flag(_) | Self::Environment(_) | Self::File { .. } => true,
            Self::Profile(_)
            | Self::GracePeriod
            | Self::Personality { .. }
            | Self::PersonalityDefault(_)
            | Self::Default => false,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => f.write_str(name),
            Self::Environment(name) => f.write_str(name),
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Profile(name) => write!(f, "profile {name}"),
            Self::GracePeriod => f.write_str("the rest of grace_period"),
            Self::Personality { name, what } => write!(f, "{what} of {name}"),
            Self::PersonalityDefault(name) => write!(f, "default of {name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub source: Source,
}

impl<T> Sourced<T> {
    pub(crate) fn new(value: T, source: Source) -> Self {
        Self { value, source }
    }

    pub(super) fn default(value: T) -> Self {
        Self::new(value, Source::Default)
    }

    /// Sets the value unless it was given.
    pub(super) fn fill(&mut self, value: T, source: Source) {
        if matches!(self.source, Source::Profile(_) | Source::GracePeriod | Source::Default) {
            *self = Self::new(value, source);
        }
    }
}
