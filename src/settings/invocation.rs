//! The result of reading a command line.

use std::ffi::OsString;

use super::Layer;
use crate::process::ChildGroup;
use crate::signal::{Signal, SignalSet};

/// A command line that was read: softstop's own, or that of the init by whose name we are called.
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
    /// The name of that other init. Under it the soft stop is off, unless one of our variables is set or our file exists.
    pub personality: Option<&'static str>,
    /// How the main child is set up.
    pub child: ChildSetup,
    /// What that other init writes to its debug log before it starts the program.
    pub remarks: Vec<String>,
}

/// How the main child is set up. These are not settings: they depend only on the init by whose name we are called.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChildSetup {
    /// Its process group.
    pub group: ChildGroup,
    /// The signals on which we stop ourselves after we have handled them.
    pub suspend_on: SignalSet,
    /// What its process group is sent after its exit.
    pub exit_signal: Option<Signal>,
}
