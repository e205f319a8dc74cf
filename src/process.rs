//! Processes as plain data: how the main child is started and signalled, and what the log names.

use std::io;
use std::time::Duration;

/// Which process group the main child is started in. The terminal's keys send their signals to the foreground group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChildGroup {
    /// A new group, which it leads.
    #[default]
    New,
    /// A new session, which it leads and which takes over our controlling terminal.
    NewSession,
    /// Our own group.
    Inherited,
}

/// The processes that are sent signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The main child.
    Child,
    /// Its whole process group.
    Group,
    /// The server alone, even if a process above it handles the signal.
    Server,
}

/// A process, as /proc showed it at one moment.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its pid.
    pub pid: i32,
    /// The kernel's name for it (`comm`): the first 15 bytes of the program's name.
    pub name: String,
    /// Its parent's pid.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// Whether it is stopped (SIGSTOP, Ctrl-Z).
    pub is_stopped: bool,
    /// When it started, in clock ticks since boot. A later process may get the same pid, but it has another start time.
    pub started: u64,
    /// The time since it started. `None`: unknown.
    pub age: Option<Duration>,
}

impl Process {
    /// Whether both are the same process, seen at different moments.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        (self.pid, self.started) == (other.pid, other.started)
    }
}

/// Why the main child does not run.
#[derive(Debug)]
pub enum SpawnError {
    /// No process could be created: fork(2) failed, or pipe(2) for the pipe on which the child reports an error.
    Fork(io::Error),
    /// The child could not be set up: its session, process group or signal mask.
    Setup(io::Error),
    /// The program could not be run: execve(2) failed.
    Exec {
        /// The error of execve(2).
        error: io::Error,
        /// Whether the program's file exists. Then ENOENT means that its interpreter does not.
        file_exists: bool,
        /// The interpreter that the file names after `#!`, if any.
        interpreter: Option<String>,
    },
}
