//! How the log is worded. Under another init's name it has the messages of that init, since people grep for them.

use std::ffi::OsStr;
use std::io;

use log::{Level, log};

use crate::process::SpawnError;
use crate::shutdown::Exit;
use crate::signal::{Origin, Signal};

/// An event that every init logs. The lines about a soft stop are the same under every name: see [`report`](crate::report).
#[derive(Clone, Copy, Debug)]
pub enum LogEvent<'a> {
    /// Orphans will not become our children: we are neither PID 1 nor a subreaper.
    NoSubreaper,
    /// We have no controlling terminal to give to the child's session.
    NoTerminal(&'a io::Error),
    /// The main child runs.
    Started {
        /// The program, as it was called.
        program: &'a OsStr,
        /// Its pid.
        pid: i32,
    },
    /// A signal arrived.
    Received(Signal, Origin),
    /// A signal was sent to the app.
    Sent(Signal),
    /// A child other than the main one was reaped.
    Reaped {
        /// Its pid.
        pid: i32,
        /// How it ended.
        exit: Exit,
        /// Whether a setting asks for a warning.
        warn: bool,
    },
    /// The main child has exited.
    MainExited {
        /// Its pid.
        pid: i32,
        /// How it ended.
        exit: Exit,
    },
    /// We stop ourselves, because the terminal stopped the app.
    Suspends,
    /// We exit with this code.
    Exits(u8),
}

/// An init's messages and exit codes.
#[derive(Clone, Copy, Debug)]
pub struct LogStyle {
    /// A line of the log, with its line end.
    pub line: fn(Level, &str) -> String,
    /// The level and the message for an event. `None`: it is not logged.
    pub describe: fn(LogEvent<'_>) -> Option<(Level, String)>,
    /// The exit code and the message for a program that could not be started.
    pub not_started: fn(&OsStr, &SpawnError) -> (u8, String),
    /// The exit code if the init itself failed.
    pub own_failure: u8,
}

impl LogStyle {
    /// Logs an event.
    pub fn log(&self, event: LogEvent<'_>) {
        if let Some((level, text)) = (self.describe)(event) {
            log!(level, "{text}");
        }
    }
}
