//! How an init words its log. The inits whose names softstop answers to have words of their own, which people grep for.

use std::ffi::OsStr;
use std::io;

use log::{Level, log};

use crate::process::SpawnError;
use crate::shutdown::Exit;
use crate::signal::{Origin, Signal};

/// An event in the life of any init. The soft stop is worded the same under every name: see [`report`](crate::report).
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

/// An init's words and exit codes.
#[derive(Clone, Copy, Debug)]
pub struct LogStyle {
    /// A line of the log, with its line end.
    pub line: fn(Level, &str) -> String,
    /// What is logged of an event, if anything.
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
