//! The loop: sleep in one poll(2), put what happened to the state machine, do what it decides.
//!
//! The only clock of the program is here.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use log::{debug, info, warn};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::lookout::{Lookout, Scope};
use crate::report::Report;
use crate::shutdown::{Action, Event, Moment, Note, Shutdown, Target};
use crate::signal::Signal;
use crate::sys::process::{self, Change, Child};
use crate::sys::signals::{self, Inbox};
use crate::sys::terminal::{self, Suspended};
use crate::voice::{Fact, Voice};

/// How to deal with the main child, beside what the state machine knows.
#[derive(Clone, Debug)]
pub struct Options {
    /// In which words the day's business is told.
    pub voice: Voice,
    /// Who gets the signals.
    pub target: Target,
    /// Whether each reaped orphan is worth a warning.
    pub warn_on_reap: bool,
    /// What the main child's group is sent when that child has exited.
    pub farewell: Option<Signal>,
    /// Whether stdin is the terminal that controls our session.
    pub has_terminal: bool,
    /// Whether the child gets that terminal's foreground from us where we have it.
    pub hands_over: bool,
    /// Which sockets are looked at during a stop.
    pub scope: Scope,
}

/// Watches over the main child until it is time to leave, and says with which code.
///
/// There is no `Result`: as PID 1 we would take the whole container with us. What fails is logged and lived with.
#[must_use]
pub fn supervise(child: Child, mut inbox: Inbox, shutdown: Shutdown, options: Options, report: Report) -> u8 {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    let start = Instant::now();
    let mut supervisor = Supervisor { child, shutdown, options, report, lookout: None, group_told: false };
    loop {
        sleep(&inbox, supervisor.next().map(|next| next.saturating_sub(start.elapsed())));
        let now = start.elapsed();
        // Each is dealt with before the next is taken: a SIGCONT must still be there when we are about to stop ourselves.
        for received in inbox.take() {
            supervisor.options.voice.say(Fact::Received(received.signal, received.origin));
            supervisor.happened(Event::Signal(received.signal, received.origin), now);
        }
        supervisor.reap(now);
        supervisor.look(now);
        supervisor.happened(Event::Time, now);
        if let Some(code) = supervisor.shutdown.exit_code() {
            supervisor.report.close(now, supervisor.lookout.as_ref().map(Lookout::traffic));
            supervisor.options.voice.say(Fact::Leaves(code));
            return code;
        }
    }
}

/// Reaps until SIGTERM or SIGINT comes: what holds a pod's namespaces has no main child.
pub fn pause(mut inbox: Inbox) {
    loop {
        sleep(&inbox, None);
        if inbox.take().any(|received| matches!(received.signal, Signal::TERM | Signal::INT)) {
            return;
        }
        process::reap_everybody();
    }
}

/// Sleeps until a signal comes or the time is up.
fn sleep(inbox: &Inbox, limit: Option<Duration>) {
    let timeout = limit.map_or(PollTimeout::NONE, |limit| {
        // Rounded up: a wake-up before the deadline would only lead to the next.
        let milliseconds = limit.as_nanos().div_ceil(1_000_000);
        i32::try_from(milliseconds).ok().and_then(|ms| PollTimeout::try_from(ms).ok()).unwrap_or(PollTimeout::MAX)
    });
    // An error (no memory) is a wake-up too: to look once more is all that we can do, for to leave would end the app.
    let _ = poll(&mut [PollFd::new(inbox.as_fd(), PollFlags::POLLIN)], timeout);
}

struct Supervisor {
    child: Child,
    shutdown: Shutdown,
    options: Options,
    report: Report,
    /// From the stop's beginning on.
    lookout: Option<Lookout>,
    /// Whether the main child's whole group has had its stop signal.
    group_told: bool,
}

impl Supervisor {
    /// When there is something to do though no signal comes, if ever.
    fn next(&self) -> Option<Moment> {
        let look = self.lookout.as_ref().and_then(Lookout::next);
        self.shutdown.deadline().into_iter().chain(look).min()
    }

    fn happened(&mut self, event: Event, now: Moment) {
        let actions = self.shutdown.on(event, now);
        if self.lookout.is_none() && self.shutdown.is_stopping() {
            // Before the app hears of it, which might close its listeners.
            let ours: Option<Vec<i32>> = self.child.ours().map(|ours| ours.iter().map(|process| process.pid).collect());
            self.lookout = Some(Lookout::begin(&self.options.scope, ours.as_deref(), self.matters(), now));
        }
        for action in actions {
            self.act(action, now);
        }
    }

    /// Whether the present wait may end by what a look shows.
    fn matters(&self) -> bool {
        self.shutdown.watches().is_some()
    }

    /// Takes the look that is due, if one is, and tells the machine for how long it has been quiet.
    fn look(&mut self, now: Moment) {
        let matters = self.matters();
        let Some(lookout) = &mut self.lookout else { return };
        if lookout.next().is_none_or(|next| now < next) || !lookout.look(now, matters) {
            return;
        }
        if let Some(watched) = self.shutdown.watches() {
            let quiet = lookout.traffic().quiet(watched, now);
            self.happened(Event::Quiet(quiet), now);
        }
    }

    fn act(&mut self, action: Action, now: Moment) {
        match action {
            Action::Forward(signal) => self.send(signal),
            Action::Stop(signal) => {
                if let Some(lookout) = &mut self.lookout {
                    lookout.stop_signal(now);
                }
                self.send(signal);
                if self.options.target == Target::Group {
                    self.group_told = true;
                    // We hear of our children's stops only, not of those of the others in the group.
                    self.tell_sending(Signal::CONT, self.child.send(Signal::CONT, Target::Group));
                }
            }
            Action::StopRest(signal) => {
                let told_already = self.group_told.then_some(self.child.pid());
                self.tell_sending(signal, self.child.send_rest(signal, told_already));
            }
            // The terminal has stopped its whole group, and it may wait for somebody there.
            Action::Continue => self.tell_sending(Signal::CONT, self.child.send(Signal::CONT, Target::Group)),
            Action::Suspend => {
                self.options.voice.say(Fact::Suspends);
                signals::stop_ourselves();
            }
            Action::KillAll => {
                let cut_off = self.lookout.as_mut().map(|lookout| lookout.about_to_be_cut_off(now));
                self.report.killed(self.child.kill_all().as_deref());
                self.report.cut_off(cut_off.as_ref());
            }
            Action::Note(Note::Undead) => self.report.undead(&self.child.ours().unwrap_or_default()),
            Action::Note(note) => self.report.note(note, now, self.lookout.as_ref().map(Lookout::traffic)),
        }
    }

    fn send(&self, signal: Signal) {
        self.tell_sending(signal, self.child.send(signal, self.options.target));
    }

    fn tell_sending(&self, signal: Signal, result: io::Result<()>) {
        match result {
            Ok(()) => self.options.voice.say(Fact::Sent(signal)),
            Err(error) => warn!("{signal} did not reach the app: {error}"),
        }
    }

    /// Signals are a set, not a count: one SIGCHLD may stand for many children, so all are asked for on every wake-up.
    fn reap(&mut self, now: Moment) {
        let harvest = self.child.reap(self.options.farewell);
        if let Some((signal, result)) = harvest.farewell {
            self.tell_sending(signal, result);
        }
        let pid = self.child.pid();
        let main_exit = harvest.changes.iter().find_map(|&(changed, change)| match change {
            Change::Exited(exit) if changed == pid => Some(exit),
            Change::Exited(_) | Change::Stopped(_) | Change::Continued => None,
        });
        for &(changed, change) in &harvest.changes {
            match change {
                Change::Exited(_) if changed == pid => {}
                Change::Exited(exit) => {
                    self.options.voice.say(Fact::Reaped { pid: changed, exit, warn: self.options.warn_on_reap });
                }
                // What it did before it exited is of no interest any more, and nobody is to act on its number.
                Change::Stopped(_) | Change::Continued if changed != pid || main_exit.is_some() => {}
                Change::Stopped(signal) => self.main_stopped(signal, now),
                Change::Continued => self.happened(Event::MainContinued, now),
            }
        }
        if let Some(exit) = main_exit {
            self.options.voice.say(Fact::MainExited { pid, exit });
            self.report.main_exited(exit);
            self.give_terminal_back();
            if let Some(lookout) = &mut self.lookout {
                lookout.look(now, false); // the last: what it left open is gone
            }
            self.happened(Event::MainExited { exit, last: harvest.nobody_left }, now);
        } else if harvest.nobody_left {
            self.happened(Event::NobodyLeft, now);
        }
    }

    /// A dead group in the foreground would swallow Ctrl-C.
    fn give_terminal_back(&self) {
        if self.options.hands_over {
            terminal::take_back(self.child.pid());
        }
    }

    fn main_stopped(&mut self, signal: Signal, now: Moment) {
        let by_the_terminal = matches!(signal, Signal::TSTP | Signal::TTIN | Signal::TTOU);
        // During a stop the machine wakes the child itself: nobody is to wait for a person at a keyboard then.
        if !(by_the_terminal && self.options.has_terminal && self.shutdown.is_running()) {
            debug!("pid {} was stopped by {signal}", self.child.pid());
            return self.happened(Event::MainStopped, now);
        }
        match terminal::suspend_with(self.child.pid(), signal, self.options.hands_over) {
            Suspended::UntilWoken => {}
            Suspended::NotAtAll => {
                info!("{signal} stopped pid {}, and no shell is here to wake it: it goes on", self.child.pid());
            }
            // The machine wakes it for its stop signal.
            Suspended::Still => self.happened(Event::MainStopped, now),
        }
    }
}
