//! How an init words what it has to say. Those that softstop can be called by have words of their own, which people grep
//! for.

use std::ffi::OsStr;
use std::io;

use log::{Level, log};

use crate::shutdown::Exit;
use crate::signal::{Origin, Signal};

/// What happens to an init day by day. A soft stop has words of its own, the same under every name: see
/// [`report`](crate::report).
#[derive(Clone, Copy, Debug)]
pub enum Fact<'a> {
    /// Zombies will not come to us: we are neither PID 1 nor a subreaper.
    NoReaper,
    /// No terminal controls us that the app could have in our place.
    NoTerminal(&'a io::Error),
    /// The main child runs.
    Started {
        /// The program as it was called.
        program: &'a OsStr,
        /// Its number.
        pid: i32,
    },
    /// A signal came.
    Received(Signal, Origin),
    /// A signal went to the app.
    Sent(Signal),
    /// A child that is not the main one has ended, and is reaped.
    Reaped {
        /// Its number.
        pid: i32,
        /// How it ended.
        exit: Exit,
        /// Whether somebody wants a warning of it.
        warn: bool,
    },
    /// The main child has ended.
    MainExited {
        /// Its number.
        pid: i32,
        /// How it ended.
        exit: Exit,
    },
    /// We stop ourselves, as the terminal has stopped the app.
    Suspends,
    /// We leave with this code.
    Leaves(u8),
}

/// An init's words.
#[derive(Clone, Copy, Debug)]
pub struct Voice {
    /// A line of the log, with its end.
    pub line: fn(Level, &str) -> String,
    /// What it says of a fact, if anything.
    pub tell: fn(Fact<'_>) -> Option<(Level, String)>,
    /// What it says of a program that could not be started, and with which code it leaves then.
    pub not_started: fn(&OsStr, &io::Error) -> (u8, String),
    /// The code with which it leaves where it could not do its own work.
    pub our_failure: u8,
}

impl Voice {
    /// Says something of a fact, if there is anything to say of it.
    pub fn say(&self, fact: Fact<'_>) {
        if let Some((level, text)) = (self.tell)(fact) {
            log!(level, "{text}");
        }
    }
}
