//! What a command line asks for.

use std::ffi::OsString;

use super::Layer;
use crate::process::ChildGroup;
use crate::signal::{Signal, SignalSet};

/// What a command line asks for, softstop's own or that of the init by whose name we are called.
#[derive(Clone, Debug, Default)]
pub struct Invocation {
    /// The program to start, and its arguments.
    pub command: Vec<OsString>,
    /// The options.
    pub flags: Layer,
    /// The variables of that other init.
    pub variables: Layer,
    /// The defaults of that other init.
    pub defaults: Layer,
    /// The name of that other init. It has no soft stop: one of our variables, or our file, turns it on.
    pub personality: Option<&'static str>,
    /// How the main child is set up.
    pub child: ChildSetup,
    /// What that other init logs before it starts, in its debug log.
    pub remarks: Vec<String>,
}

/// How the main child is set up. These are no settings: only another init's name changes them.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChildSetup {
    /// Its process group.
    pub group: ChildGroup,
    /// The signals on which we stop ourselves after we have handled them.
    pub suspend_on: SignalSet,
    /// What its process group is sent after its exit.
    pub exit_signal: Option<Signal>,
}
