//! What a command line asks for: settings like any others, and the manners of the init by whose name we are called.

use std::ffi::OsString;

use super::{Given, Key, Source, value};
use crate::shutdown::Place;
use crate::signal::{Signal, SignalSet};

/// What a command line asks for, be it softstop's own or that of the init by whose name we are called.
#[derive(Clone, Debug, Default)]
pub struct Invocation {
    /// The program to start, and its arguments.
    pub command: Vec<OsString>,
    /// The options.
    pub flags: Vec<Given>,
    /// The variables of that other init.
    pub variables: Vec<Given>,
    /// What that other init does unless it is told otherwise.
    pub defaults: Vec<Given>,
    /// That other init, which knows no soft stop: it takes one of our own variables, or our file, to turn it on.
    pub personality: Option<&'static str>,
    /// How the main child lives beside us.
    pub manners: Manners,
    /// What that other init has to say before it starts, where it is to say all it knows.
    pub remarks: Vec<String>,
}

/// How the main child lives beside us: no setting, for only what is called by another init's name departs from the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manners {
    /// Where it lives.
    pub place: Place,
    /// The signals on which we stop ourselves, having dealt with them.
    pub suspend_on: SignalSet,
    /// What its process group is sent when it has exited, and we leave.
    pub farewell: Option<Signal>,
}

/// What makes stop requests signals like any other, and each server a program like any other.
pub(super) fn plain(source: &Source) -> Vec<Given> {
    let none = |key| Given { key, text: value::NONE.to_owned(), source: source.clone() };
    vec![none(Key::Profile), none(Key::StopOn)]
}

impl Key {
    /// Whether it is an init's daily business and not the soft stop's.
    pub(super) fn is_a_plain_inits(self) -> bool {
        matches!(
            self,
            Self::Rewrite
                | Self::Target
                | Self::Subreaper
                | Self::ParentDeathSignal
                | Self::RemapExit
                | Self::WarnOnReap
                | Self::Log
                | Self::LogFormat
        )
    }
}
