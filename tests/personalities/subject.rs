//! A running init under observation, with pipes or at a terminal: what is done to it, and what can be seen of it.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::matrix::{Fact, MARKER, Observation, PATIENCE, SETTLES, Step};
use common::*;

/// Waits until `look` returns a value, up to this limit.
pub(crate) fn within<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if start.elapsed() > limit {
            return None;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// An init that is running, and what has been seen of it.
pub(crate) struct Subject {
    pub(crate) streams: Streams,
    pub(crate) init: i32,
    /// The main child, once it is known. It is not looked up again.
    child: Option<i32>,
    /// How much of the screen has been read.
    looked_at: usize,
    pub(crate) ended: Option<i32>,
    /// The recorder that is not the main child. It may outlive the init, but is killed at the end of the case.
    pub(crate) second: Option<Stray>,
}

pub(crate) enum Streams {
    Pipes(Running),
    Terminal(Terminal),
}

impl Subject {
    pub(crate) fn new(streams: Streams, init: i32) -> Self {
        Self { streams, init, child: None, looked_at: 0, ended: None, second: None }
    }

    pub(crate) fn ended(&mut self) -> Option<i32> {
        if self.ended.is_none() {
            self.ended = match &mut self.streams {
                Streams::Pipes(running) => running.ended(),
                Streams::Terminal(terminal) => terminal.ended(),
            };
        }
        self.ended
    }

    fn child(&mut self) -> Option<i32> {
        if self.child.is_none() {
            self.child = within(PATIENCE, || children(self.init).first().copied());
        }
        self.child
    }

    fn lines(&self) -> Vec<String> {
        match &self.streams {
            Streams::Pipes(running) => running.stdout.all(),
            Streams::Terminal(terminal) => terminal.text().lines().map(str::to_owned).collect(),
        }
    }

    /// How often this line has been printed.
    fn count(&self, line: &str) -> usize {
        self.lines().iter().filter(|said| *said == line).count()
    }

    pub(crate) fn act(&mut self, step: &Step, number: usize, seen: &mut Observation) -> Result<(), String> {
        match step {
            Step::Hear(what) => {
                // Output may arrive after the process that wrote it has exited.
                let mut end = None;
                let heard = within(PATIENCE, || {
                    if self.hears(what) {
                        return Some(true);
                    }
                    end = end.or_else(|| self.ended().map(|_| Instant::now()));
                    end.is_some_and(|end| end.elapsed() > SETTLES).then_some(false)
                });
                if heard != Some(true) {
                    return Err(format!("{what:?} was not printed, only {:?}", self.lines()));
                }
                // Look up the processes now: they may be gone when they are asked for.
                if what.ends_with("ready") {
                    let child = self.child();
                    if what.starts_with("second") {
                        self.second = child.and_then(|child| children(child).first().copied()).map(Stray);
                    }
                }
            }
            Step::Send(signal) => self.send(*signal),
            Step::SendChild(signal) => send(self.child().ok_or("there is no child")?, *signal),
            Step::Each(signals) => {
                for &signal in signals {
                    let got = self.effect_of(signal)?;
                    seen.insert(format!("signal {signal}"), got);
                    if self.ended.is_some() {
                        return Ok(());
                    }
                }
            }
            Step::Type(keys) => match &self.streams {
                Streams::Terminal(terminal) => terminal.types(keys),
                Streams::Pipes(_) => return Err("there is no keyboard".to_owned()),
            },
            Step::HangUp => match &mut self.streams {
                Streams::Terminal(terminal) => terminal.hang_up(),
                Streams::Pipes(_) => return Err("there is no line".to_owned()),
            },
            Step::Note(fact, expected) => {
                let settled = within(SETTLES, || (self.look(*fact) == *expected).then_some(()));
                let value = if settled.is_some() { (*expected).to_owned() } else { self.look(*fact) };
                seen.insert(format!("{fact:?} at step {number}"), value);
            }
        }
        Ok(())
    }

    fn hears(&mut self, what: &str) -> bool {
        match &self.streams {
            Streams::Pipes(running) => running.stdout.all().iter().any(|line| line.starts_with(what)),
            // Only what is new since the last step.
            Streams::Terminal(terminal) => {
                let text = terminal.text();
                let Some(at) = text[self.looked_at..].find(what) else { return false };
                self.looked_at += at + what.len();
                true
            }
        }
    }

    fn send(&mut self, signal: i32) {
        send(self.init, signal);
        within(PATIENCE, || {
            let pending = status(self.init, "ShdPnd").unwrap_or(0) & 1 << (signal - 1) != 0;
            (!pending || state(self.init) == Some('T') || self.ended().is_some()).then_some(())
        });
    }

    /// Sends a signal. Returns the signals that the recorder got, and which process stopped or ended.
    fn effect_of(&mut self, signal: i32) -> Result<String, String> {
        let marked = format!("got {MARKER}");
        let (before, marks) = (self.lines().len(), self.count(&marked));
        let child = self.child().ok_or("there is no child")?;
        self.send(signal);
        if signal != MARKER {
            send(self.init, MARKER);
        }
        let is_done = |subject: &Self| subject.count(&marked) > marks;
        let outcome = within(PATIENCE, || {
            if is_done(self) {
                return Some("");
            }
            if self.ended().is_some() {
                return Some("the init ends ");
            }
            // An init that sleeps and has no marker pending has handled the signal.
            let took_marker = status(self.init, "ShdPnd").unwrap_or(0) & 1 << (MARKER - 1) == 0;
            match (state(self.init), state(child)) {
                (Some('T'), _) => Some("the init stops "),
                (Some('S'), Some('T')) if took_marker => Some("the child stops "),
                _ => None,
            }
        });
        let outcome = outcome.ok_or_else(|| format!("signal {signal} had no effect"))?;
        if outcome.ends_with("stops ") {
            // SIGCONT discards pending stop signals. Wait until they have been read or have stopped the process.
            let would_stop = 1 << (libc::SIGTSTP - 1) | 1 << (libc::SIGTTIN - 1) | 1 << (libc::SIGTTOU - 1);
            for pid in children(child).into_iter().chain([child]) {
                within(PATIENCE, || {
                    let pending = status(pid, "ShdPnd").unwrap_or(0) & would_stop;
                    (pending == 0 || state(pid) == Some('T')).then_some(())
                });
            }
            send(self.init, libc::SIGCONT);
            within(PATIENCE, || is_done(self).then_some(()))
                .ok_or_else(|| format!("{signal}: nothing was continued"))?;
            // A recorder that was stopped after it had read the marker may print that first.
            let woken = format!("got {}", libc::SIGCONT);
            within(SETTLES, || self.lines().split_off(before).contains(&woken).then_some(()));
        }
        let of_second = self.second_has_handled_it(child)?;
        let new = self.lines().split_off(before);
        let got = |prefix: &str| -> Vec<String> {
            let numbers = new.iter().filter_map(|line| line.strip_prefix(prefix)?.strip_prefix("got "));
            // The main child gets a SIGCHLD when the second recorder stops, at any time.
            let is_noise = |number: &str| number == "17" && signal != 17 || number == "64" && signal != MARKER;
            numbers.filter(|number| !is_noise(number)).map(str::to_owned).collect()
        };
        let of_second = if of_second && signal != MARKER {
            [", second: ", &got("second: ").join(" ")].concat()
        } else {
            String::new()
        };
        Ok(format!("{outcome}{}{of_second}", got("").join(" ")))
    }

    /// Waits until the second recorder, if there is one, has handled the signal too: a marker is sent to it last.
    fn second_has_handled_it(&mut self, child: i32) -> Result<bool, String> {
        if self.second.is_none() {
            self.second = children(child).first().map(|&pid| Stray(pid));
        }
        let Some(second) = &self.second else { return Ok(false) };
        let pid = second.0;
        // The init has sent all that it will send. Wait until the recorder has read it.
        within(PATIENCE, || (state(pid) == Some('S') && status(pid, "ShdPnd") == Some(0)).then_some(()));
        let line = format!("second: got {MARKER}");
        let marks = self.count(&line);
        send(pid, MARKER);
        within(PATIENCE, || (self.count(&line) > marks).then_some(()))
            .ok_or("the second recorder did not get the marker")?;
        Ok(true)
    }

    fn look(&mut self, fact: Fact) -> String {
        let init = self.init;
        let letter = |pid| state(pid).map_or("gone".to_owned(), |state| state.to_string());
        let child = self.child.unwrap_or(0);
        let whose = |number: i32, of: fn(&Place) -> i32| match (place(child), place(init)) {
            (Some(child_at), _) if number == of(&child_at) && number == child => "the child's".to_owned(),
            (_, Some(init_at)) if number == of(&init_at) => "the init's".to_owned(),
            _ => "another's".to_owned(),
        };
        match fact {
            Fact::Init => letter(init),
            Fact::Child => letter(child),
            Fact::Group => whose(place(child).map_or(0, |place| place.group), |place| place.group),
            Fact::Session => whose(place(child).map_or(0, |place| place.session), |place| place.session),
            Fact::Foreground => match &self.streams {
                Streams::Terminal(terminal) => whose(terminal.foreground(), |place| place.group),
                Streams::Pipes(_) => "there is none".to_owned(),
            },
            Fact::Directory => fs::read_link(format!("/proc/{init}/cwd")).map_or("gone".to_owned(), |cwd| {
                if cwd == Path::new("/") { "/".to_owned() } else { "where it started".to_owned() }
            }),
            Fact::Nine => if Path::new(&format!("/proc/{init}/fd/9")).exists() { "open" } else { "closed" }.to_owned(),
            Fact::Children => children(init).len().to_string(),
            Fact::Zombies => children(init).into_iter().filter(|&pid| state(pid) == Some('Z')).count().to_string(),
        }
    }
}

struct Place {
    group: i32,
    session: i32,
}

fn place(pid: i32) -> Option<Place> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    Some(Place { group: fields[2].parse().ok()?, session: fields[3].parse().ok()? })
}
