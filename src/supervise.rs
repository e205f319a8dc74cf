//! The loop: sleep in one poll(2), put what happened to the state machine, do what it decides.
//!
//! The only clock of the program is here.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use log::{debug, info, warn};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::report::Report;
use crate::shutdown::{Action, Event, Exit, Moment, Note, Shutdown, Target};
use crate::signal::Signal;
use crate::sys::process::{Change, Child};
use crate::sys::signals::Inbox;
use crate::sys::terminal::{self, Suspended};

/// How to deal with the main child.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Who gets the signals.
    pub target: Target,
    /// Whether each reaped orphan is worth a warning.
    pub warn_on_reap: bool,
    /// Whether stdin is the terminal that controls our session.
    pub has_terminal: bool,
    /// Whether the child gets that terminal's foreground from us where we have it.
    pub hands_over: bool,
}

/// Watches over the main child until it is time to leave, and says with which code.
///
/// There is no `Result`: as PID 1 we would take the whole container with us. What fails is logged and lived with.
#[must_use]
pub fn supervise(child: Child, mut inbox: Inbox, shutdown: Shutdown, manner: Manner, report: Report) -> u8 {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    let start = Instant::now();
    let mut supervisor = Supervisor { child, shutdown, manner, report };
    loop {
        sleep(&inbox, supervisor.shutdown.deadline().map(|deadline| deadline.saturating_sub(start.elapsed())));
        let now = start.elapsed();
        for received in inbox.take() {
            debug!("{} {}", received.signal, received.origin);
            supervisor.happened(Event::Signal(received.signal, received.origin), now);
        }
        supervisor.reap(now);
        supervisor.happened(Event::Time, now);
        if let Some(code) = supervisor.shutdown.exit_code() {
            supervisor.report.close(now);
            if manner.hands_over {
                terminal::take_back(supervisor.child.pid());
            }
            return code;
        }
    }
}

/// Sleeps until a signal comes or the time is up.
fn sleep(inbox: &Inbox, limit: Option<Duration>) {
    let timeout = limit.map_or(PollTimeout::NONE, |limit| {
        // Rounded up: a wake-up before the deadline would only lead to the next.
        let milliseconds = limit.as_nanos().div_ceil(1_000_000);
        i32::try_from(milliseconds).ok().and_then(|ms| PollTimeout::try_from(ms).ok()).unwrap_or(PollTimeout::MAX)
    });
    // An error (no memory) is a wake-up too: looking once more for nothing does no harm, and stopping would.
    let _ = poll(&mut [PollFd::new(inbox.as_fd(), PollFlags::POLLIN)], timeout);
}

struct Supervisor {
    child: Child,
    shutdown: Shutdown,
    manner: Manner,
    report: Report,
}

impl Supervisor {
    fn happened(&mut self, event: Event, now: Moment) {
        for action in self.shutdown.on(event, now) {
            self.act(action, now);
        }
    }

    fn act(&mut self, action: Action, now: Moment) {
        match action {
            Action::Forward(signal) | Action::Stop(signal) => self.send(signal),
            Action::Continue => self.send(Signal::CONT),
            Action::StopRest(signal) => self.child.send_rest(signal),
            Action::KillAll => {
                let killed = self.child.kill_all();
                self.report.killed(&killed);
            }
            Action::Note(Note::Undead) => self.report.undead(&self.child.left()),
            Action::Note(note) => self.report.note(note, now),
        }
    }

    fn send(&self, signal: Signal) {
        match self.child.send(signal, self.manner.target) {
            Ok(()) => debug!("sent {signal}"),
            Err(error) => warn!("cannot send {signal} to pid {}: {error}", self.child.pid()),
        }
    }

    /// Signals are a set, not a count: one SIGCHLD may stand for many children, so all are asked for on every wake-up.
    fn reap(&mut self, now: Moment) {
        let harvest = self.child.reap();
        let mut main_exit = None;
        for &(pid, change) in &harvest.changes {
            match change {
                Change::Exited(exit) if pid == self.child.pid() => main_exit = Some(exit),
                Change::Exited(_) if self.manner.warn_on_reap => warn!("reaped zombie process with pid {pid}"),
                Change::Exited(exit) => debug!("reaped pid {pid}, which {exit}"),
                Change::Stopped(signal) if pid == self.child.pid() => self.main_stopped(signal, now),
                Change::Continued if pid == self.child.pid() => self.happened(Event::MainContinued, now),
                Change::Stopped(_) | Change::Continued => {} // another's child: its parent's affair
            }
        }
        if let Some(exit) = main_exit {
            self.main_exited(exit, harvest.nobody_left, now);
        } else if harvest.nobody_left {
            self.happened(Event::NobodyLeft, now);
        }
    }

    fn main_exited(&mut self, exit: Exit, last: bool, now: Moment) {
        self.report.main_exited(exit);
        self.happened(Event::MainExited { exit, last }, now);
    }

    fn main_stopped(&mut self, signal: Signal, now: Moment) {
        let by_the_terminal = matches!(signal, Signal::TSTP | Signal::TTIN | Signal::TTOU);
        // During a stop the machine wakes the child itself: nobody is to wait for a person at a keyboard then.
        if !(by_the_terminal && self.manner.has_terminal && self.shutdown.is_running()) {
            debug!("pid {} was stopped by {signal}", self.child.pid());
            return self.happened(Event::MainStopped, now);
        }
        match terminal::suspend_with(self.child.pid(), signal, self.manner.hands_over) {
            Suspended::UntilWoken => {}
            Suspended::NotAtAll => {
                info!("{signal} stopped pid {}, and no shell is here to wake it: it goes on", self.child.pid());
            }
            // The machine wakes it for its stop signal.
            Suspended::Still => self.happened(Event::MainStopped, now),
        }
    }
}
