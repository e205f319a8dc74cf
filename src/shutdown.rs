//! The life of a stop, as a state machine. Pure: events and the time go in, actions and the next deadline come out.
//!
//! ```text
//! running --stop request--> step 0 --(time, quiet, hurry)--> step 1 --...--> killed --> gone
//!    |                        |                                |               |
//!    +------------------------+---- the main child exits ------+---------------+--> gone
//! ```
//!
//! A stop is a [`Plan`]: a list of steps, each an optional signal and a wait with a lower and an upper bound. The short
//! form that settings give (`pre_delay`, `stop_signal`, `drain_timeout`) is the plan *wait; send the signal, wait*.
//! After the last step comes SIGKILL; a step whose wait has no upper bound is therefore the last that ever comes.
//!
//! The `match` in [`Shutdown::on`] is the specification: one arm per transition, in the order of life.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::signal::{Origin, Rewrite, Signal, SignalSet};

/// A point in time: how long after the supervisor's start, on a clock that never jumps.
pub type Moment = Duration;

/// How long we wait for what SIGKILL should have ended. A process in uninterruptible sleep (state D) does not die, and
/// we leave all the same. It is also what `grace_period` keeps back from the drain.
pub const KILL_WAIT: Duration = Duration::from_secs(1);

/// How long a step lasts. The main child's exit ends any wait at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Quiet ends the wait, but not before this has passed.
    pub at_least: Duration,
    /// The wait is over when this has passed; `None` has no end but the app's own.
    pub at_most: Option<Duration>,
    /// The quiet that ends the wait between the two bounds, if any does.
    pub quiet: Option<Quiet>,
}

impl Wait {
    /// A wait that nothing but time, hurry and the main child's exit ends.
    #[must_use]
    pub const fn fixed(length: Duration) -> Self {
        Self { at_least: length, at_most: Some(length), quiet: None }
    }

    /// A wait from nothing up to a bound, if there is one.
    #[must_use]
    pub const fn up_to(at_most: Option<Duration>) -> Self {
        Self { at_least: Duration::ZERO, at_most, quiet: None }
    }

    /// A wait between two bounds that ends as soon as there is quiet.
    #[must_use]
    pub const fn until(quiet: Quiet, at_least: Duration, at_most: Duration) -> Self {
        Self { at_least, at_most: Some(at_most), quiet: Some(quiet) }
    }
}

/// The quiet that ends a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// What must be quiet.
    pub of: Watched,
    /// For how long.
    pub lasts: Duration,
}

/// What can be quiet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// No new connection, no byte of a request.
    Requests,
    /// That, and no byte of a response either.
    Traffic,
    /// No connection is open.
    Connections,
}

/// Which signal asks the app to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// This one, whatever was received: a person chose it.
    Always(Signal),
    /// What the received signal is rewritten to; else this one, the profile's; else the received signal itself.
    Mapped(Option<Signal>),
}

/// One step of a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What the app is sent as the step begins.
    pub send: Option<StopSignal>,
    /// How long the step lasts.
    pub wait: Wait,
}

/// The steps of a stop. SIGKILL follows the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan(pub Vec<Step>);

impl Plan {
    /// The short form: keep serving, then send the stop signal and let the app drain.
    #[must_use]
    pub fn soft(pre_delay: Wait, stop_signal: StopSignal, drain: Wait) -> Self {
        Self(vec![Step { send: None, wait: pre_delay }, Step { send: Some(stop_signal), wait: drain }])
    }

    /// The signal the app drains on: the last that a step sends.
    fn stop_signal(&self) -> StopSignal {
        self.0.iter().rev().find_map(|step| step.send).unwrap_or(StopSignal::Mapped(None))
    }
}

/// What must be gone before we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// The main child.
    Main,
    /// Every process that came from it, too.
    All,
}

/// Who gets the signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The main child.
    Child,
    /// Its whole process group.
    Group,
}

/// Where the main child lives: with whom it shares the terminal's keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// In a process group of its own.
    #[default]
    OwnGroup,
    /// In a session of its own, for which it takes the terminal that controls ours.
    OwnSession,
    /// In our process group.
    OurGroup,
}

/// What the settings say about signals and stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The signals that are a stop request.
    pub stop_on: SignalSet,
    /// The signals that end a wait during a stop.
    pub hurry_on: SignalSet,
    /// What the app gets in place of the signal received.
    pub rewrite: BTreeMap<Signal, Rewrite>,
    /// The steps of a stop.
    pub plan: Plan,
    /// Whether the last step gets the time that quiet saved the steps before: it lasts for what remains of a budget.
    pub drain_gets_the_rest: bool,
    /// The signals on which the init stops itself too, having dealt with them: it lives by the terminal's keys as the app.
    pub suspend_on: SignalSet,
    /// What must be gone before we are.
    pub wait_for: WaitFor,
}

impl Rules {
    /// The signal that a stop sends when `received` asked for it, and whether a rule chose it: a signal that is merely
    /// passed on may be passed on again, a chosen one never (lighttpd takes a second SIGINT for "now").
    #[must_use]
    pub fn resolve(&self, stop_signal: StopSignal, received: Signal) -> (Signal, bool) {
        match (stop_signal, self.rewrite.get(&received)) {
            (StopSignal::Always(signal), _)
            | (StopSignal::Mapped(_), Some(&Rewrite::To(signal)))
            | (StopSignal::Mapped(Some(signal)), None | Some(Rewrite::Ignore)) => (signal, true),
            (StopSignal::Mapped(None), None | Some(Rewrite::Ignore)) => (received, false),
        }
    }

    /// Whether the signal is only the terminal's word that its window has a new size. httpd takes SIGWINCH for a
    /// stop request, so where it is one the two are told apart by their sender.
    fn is_mere_resize(&self, signal: Signal, origin: Origin) -> bool {
        signal == Signal::WINCH && origin == Origin::Kernel && self.stop_on.contains(signal)
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this code.
    Code(u8),
    /// By this signal.
    Signal(Signal),
}

impl Exit {
    /// The exit code that a shell would report: 128+n for signal n.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => u8::try_from(128 + signal.number()).unwrap_or(u8::MAX),
        }
    }
}

/// What happens to the init.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A signal arrived.
    Signal(Signal, Origin),
    /// The main child has stopped (SIGSTOP, Ctrl-Z).
    MainStopped,
    /// The main child goes on after a stop.
    MainContinued,
    /// The main child has exited.
    MainExited {
        /// How it ended.
        exit: Exit,
        /// Whether it was the last process of ours.
        last: bool,
    },
    /// The main child had exited before, and now the last of the others has too.
    NobodyLeft,
    /// What the present wait watches ([`Shutdown::watches`]) has been quiet for this long.
    Quiet(Duration),
    /// Nothing but that time has passed.
    Time,
}

/// What the init does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Pass this signal on to the app: to the main child or its group, and when it is gone to what it left behind.
    Forward(Signal),
    /// Send the app its stop signal.
    Stop(Signal),
    /// Send the stop signal to what the main child left behind.
    StopRest(Signal),
    /// Wake the stopped app with SIGCONT, or it could never act on the stop signal.
    Continue,
    /// Stop the init itself, until somebody wakes it.
    Suspend,
    /// SIGKILL to all that is left.
    KillAll,
    /// Tell people.
    Note(Note),
}

/// What people are told during a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The stop begins.
    Requested(Signal, Origin),
    /// A step of the plan begins with this signal, and lasts so long.
    Waiting {
        /// Which step of the plan, counted from 0.
        step: usize,
        /// What the app was sent.
        sent: Option<Signal>,
        /// How long it lasts.
        wait: Wait,
    },
    /// Another stop request came, which changed nothing.
    Repeated {
        /// The signal.
        signal: Signal,
        /// Its sender.
        origin: Origin,
        /// Whether the app got it too.
        passed_on: bool,
    },
    /// Somebody was in a hurry: the present wait is over.
    Hurried(Signal, Origin),
    /// It was quiet for so long that the present wait is over.
    Quiet(Quiet),
    /// The present wait has reached its upper bound.
    TimeUp(Wait),
    /// The main child is gone, but not all that came from it.
    OthersLeft(Exit),
    /// SIGKILL did not end everything within [`KILL_WAIT`].
    Undead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The app serves; nobody asked for a stop.
    Running,
    /// A step of the plan waits.
    Step { index: usize, since: Moment },
    /// SIGKILL is out.
    Killed { since: Moment },
    /// We leave with this code.
    Gone { code: u8 },
}

/// What an event means under the rules and in the present phase.
enum Meaning {
    StopRequest(Signal, Origin),
    Hurry(Signal, Origin),
    PassOn(Signal),
    /// The terminal's word that we are to stop, and what the app gets of it.
    Suspend(Option<Signal>),
    Nothing,
    Quiet(Quiet),
    TimeUp,
    MainStopped,
    MainExited {
        exit: Exit,
        last: bool,
    },
    NobodyLeft,
}

/// The state machine.
#[derive(Clone, Debug)]
pub struct Shutdown {
    rules: Rules,
    phase: Phase,
    /// How the main child ended, once it has.
    main: Option<Exit>,
    /// Whether the main child is stopped now.
    stopped: bool,
    /// The first stop request, which decides the stop signal.
    request: Option<Signal>,
    /// The signal that the app was sent merely because it was received; it is passed on each time it comes again.
    passed_on: Option<Signal>,
    /// Whether a stop signal is out that a stopped child could not act on.
    owes_continue: bool,
    /// The time that quiet has saved so far.
    saved: Duration,
}

impl Shutdown {
    /// A machine whose app has just been started.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            phase: Phase::Running,
            main: None,
            stopped: false,
            request: None,
            passed_on: None,
            owes_continue: false,
            saved: Duration::ZERO,
        }
    }

    /// Whether the app serves and nobody has asked for a stop.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Whether a stop is under way.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        matches!(self.phase, Phase::Step { .. } | Phase::Killed { .. })
    }

    /// The code to leave with, once it is time to.
    #[must_use]
    pub fn exit_code(&self) -> Option<u8> {
        match self.phase {
            Phase::Gone { code } => Some(code),
            Phase::Running | Phase::Step { .. } | Phase::Killed { .. } => None,
        }
    }

    /// What the present wait watches: whoever looks tells with [`Event::Quiet`] for how long it has been quiet.
    #[must_use]
    pub fn watches(&self) -> Option<Watched> {
        match self.phase {
            Phase::Step { index, .. } => self.wait(index).quiet.map(|quiet| quiet.of),
            Phase::Running | Phase::Killed { .. } | Phase::Gone { .. } => None,
        }
    }

    /// When [`Event::Time`] would change something, if ever.
    #[must_use]
    pub fn deadline(&self) -> Option<Moment> {
        match self.phase {
            Phase::Step { index, since } => Some(since.saturating_add(self.wait(index).at_most?)),
            Phase::Killed { since } => Some(since.saturating_add(KILL_WAIT)),
            Phase::Running | Phase::Gone { .. } => None,
        }
    }

    /// Takes what happened at `now` and answers what to do, in this order.
    pub fn on(&mut self, event: Event, now: Moment) -> Vec<Action> {
        let mut todo = Vec::new();
        match (self.phase, self.meaning(event, now)) {
            // The app serves.
            (Phase::Running, Meaning::Suspend(signal)) => {
                todo.extend(signal.map(Action::Forward));
                todo.push(Action::Suspend);
            }
            (Phase::Running, Meaning::StopRequest(signal, origin)) => {
                self.request = Some(signal);
                todo.push(Action::Note(Note::Requested(signal, origin)));
                self.enter(0, now, &mut todo);
            }
            (Phase::Running | Phase::Step { .. }, Meaning::PassOn(signal)) => todo.push(Action::Forward(signal)),
            // Nobody is to wait for a person at a keyboard during a stop: neither we stop nor, by SIGSTOP, the app.
            (Phase::Step { .. }, Meaning::Suspend(Some(signal))) if signal != Signal::STOP => {
                todo.push(Action::Forward(signal));
            }

            // A stop is under way.
            (Phase::Step { .. }, Meaning::StopRequest(signal, origin)) if self.request.is_none() => {
                // It began with the main child's exit. The platform's request comes second, and changes no clock.
                self.request = Some(signal);
                todo.push(Action::Note(Note::Requested(signal, origin)));
                if self.passed_on == Some(signal) {
                    todo.push(Action::Forward(signal));
                }
            }
            (Phase::Step { .. }, Meaning::StopRequest(signal, origin)) => {
                let passed_on = self.passed_on == Some(signal);
                todo.push(Action::Note(Note::Repeated { signal, origin, passed_on }));
                if passed_on {
                    todo.push(Action::Forward(signal));
                }
            }
            (Phase::Step { index, .. }, Meaning::Hurry(signal, origin)) => {
                todo.push(Action::Note(Note::Hurried(signal, origin)));
                self.enter(index + 1, now, &mut todo);
            }
            (Phase::Step { index, since }, Meaning::Quiet(quiet)) => {
                todo.push(Action::Note(Note::Quiet(quiet)));
                let end = self.wait(index).at_most.map(|at_most| since.saturating_add(at_most));
                self.saved += end.unwrap_or(now).saturating_sub(now);
                self.enter(index + 1, now, &mut todo);
            }
            (Phase::Step { index, .. }, Meaning::TimeUp) => {
                todo.push(Action::Note(Note::TimeUp(self.wait(index))));
                self.enter(index + 1, now, &mut todo);
            }
            (Phase::Step { .. }, Meaning::MainStopped) if self.owes_continue => {
                self.owes_continue = false;
                todo.push(Action::Continue);
            }

            // The main child is gone, and with it what we wait for.
            (Phase::Running | Phase::Step { .. }, Meaning::MainExited { exit, last })
                if last || self.rules.wait_for == WaitFor::Main =>
            {
                self.phase = Phase::Gone { code: exit.code() };
            }
            // It is gone, but others are not: they get the stop signal and the rest of the drain.
            (Phase::Step { index, .. }, Meaning::MainExited { exit, .. }) if index == self.last_step() => {
                self.main = Some(exit);
                todo.push(Action::Note(Note::OthersLeft(exit)));
                todo.push(Action::StopRest(self.resolve(self.rules.plan.stop_signal()).0));
            }
            (Phase::Running | Phase::Step { .. }, Meaning::MainExited { exit, .. }) => {
                self.main = Some(exit);
                todo.push(Action::Note(Note::OthersLeft(exit)));
                self.enter(self.last_step(), now, &mut todo);
            }

            // SIGKILL is out.
            (Phase::Killed { .. }, Meaning::MainExited { exit, last: true }) => {
                self.phase = Phase::Gone { code: exit.code() };
            }
            (Phase::Killed { .. }, Meaning::MainExited { exit, last: false }) => self.main = Some(exit),
            (Phase::Killed { .. }, Meaning::TimeUp) => {
                todo.push(Action::Note(Note::Undead));
                self.phase = Phase::Gone { code: self.main.unwrap_or(Exit::Signal(Signal::KILL)).code() };
            }

            // The main child went before, the last of the others now.
            (Phase::Step { .. } | Phase::Killed { .. }, Meaning::NobodyLeft) => {
                if let Some(exit) = self.main {
                    self.phase = Phase::Gone { code: exit.code() };
                }
            }

            // What changes nothing, phase by phase.
            (
                Phase::Running,
                Meaning::Hurry(..)
                | Meaning::Quiet(_)
                | Meaning::TimeUp
                | Meaning::MainStopped
                | Meaning::NobodyLeft
                | Meaning::Nothing,
            )
            | (Phase::Step { .. }, Meaning::Suspend(_) | Meaning::MainStopped | Meaning::Nothing)
            | (
                // Nothing that we could pass on would be heard.
                Phase::Killed { .. },
                Meaning::StopRequest(..)
                | Meaning::Hurry(..)
                | Meaning::PassOn(_)
                | Meaning::Suspend(_)
                | Meaning::Quiet(_)
                | Meaning::MainStopped
                | Meaning::Nothing,
            )
            | (Phase::Gone { .. }, _) => {}
        }
        todo
    }

    /// What the event means now. Remembers, as the one thing beside the phase, whether the main child is stopped.
    fn meaning(&mut self, event: Event, now: Moment) -> Meaning {
        match event {
            Event::Signal(signal, origin) => self.meaning_of_signal(signal, origin),
            Event::MainStopped => {
                self.stopped = true;
                Meaning::MainStopped
            }
            Event::MainContinued => {
                self.stopped = false;
                Meaning::Nothing
            }
            Event::MainExited { exit, last } => Meaning::MainExited { exit, last },
            Event::NobodyLeft => Meaning::NobodyLeft,
            Event::Quiet(so_far) => self.enough(so_far, now).map_or(Meaning::Nothing, Meaning::Quiet),
            Event::Time if self.deadline().is_some_and(|deadline| now >= deadline) => Meaning::TimeUp,
            Event::Time => Meaning::Nothing,
        }
    }

    fn meaning_of_signal(&self, signal: Signal, origin: Origin) -> Meaning {
        // Outside a stop, and in a wait without an end, hurry has nothing to shorten: the signal is like any other.
        let can_hurry = matches!(self.phase, Phase::Step { index, .. } if self.wait(index).at_most.is_some());
        if self.rules.is_mere_resize(signal, origin) {
            Meaning::Nothing
        } else if can_hurry && self.rules.hurry_on.contains(signal) {
            Meaning::Hurry(signal, origin)
        } else if self.rules.stop_on.contains(signal) {
            Meaning::StopRequest(signal, origin)
        } else {
            let to_the_app = match self.rules.rewrite.get(&signal) {
                Some(&Rewrite::To(other)) => Some(other),
                Some(Rewrite::Ignore) => None,
                None => Some(signal).filter(|signal| signal.is_forwarded()),
            };
            match to_the_app {
                to_the_app if self.rules.suspend_on.contains(signal) => Meaning::Suspend(to_the_app),
                Some(signal) => Meaning::PassOn(signal),
                None => Meaning::Nothing,
            }
        }
    }

    /// The quiet that the present wait waits for, if by now it has lasted long enough. A wait without an end is not ended
    /// by it: behind it stands SIGKILL.
    fn enough(&self, so_far: Duration, now: Moment) -> Option<Quiet> {
        let Phase::Step { index, since } = self.phase else { return None };
        let wait = self.wait(index);
        let may_end = wait.at_most.is_some() && now >= since.saturating_add(wait.at_least);
        wait.quiet.filter(|quiet| may_end && so_far >= quiet.lasts)
    }

    /// Goes to a step, and through those that do not wait; behind the last stands SIGKILL.
    fn enter(&mut self, first: usize, now: Moment, todo: &mut Vec<Action>) {
        let mut index = first;
        while let Some(&Step { send, .. }) = self.rules.plan.0.get(index) {
            let wait = self.wait(index);
            let sent = send.map(|stop_signal| self.send(stop_signal, todo));
            let waits = wait.at_most != Some(Duration::ZERO);
            if waits || sent.is_some() {
                todo.push(Action::Note(Note::Waiting { step: index, sent, wait }));
            }
            if waits {
                self.phase = Phase::Step { index, since: now };
                return;
            }
            index += 1;
        }
        self.phase = Phase::Killed { since: now };
        todo.push(Action::KillAll);
    }

    fn send(&mut self, stop_signal: StopSignal, todo: &mut Vec<Action>) -> Signal {
        let (signal, chosen) = self.resolve(stop_signal);
        if !chosen {
            self.passed_on = Some(signal);
        }
        if self.main.is_some() {
            todo.push(Action::StopRest(signal));
            return signal;
        }
        todo.push(Action::Stop(signal));
        if self.stopped {
            todo.push(Action::Continue);
        }
        // We may hear only later of a SIGSTOP that is on its way to the child already: then it is woken later.
        self.owes_continue = !self.stopped;
        signal
    }

    /// Where nobody asked for the stop (the main child left others behind), it is as if the platform had.
    fn resolve(&self, stop_signal: StopSignal) -> (Signal, bool) {
        self.rules.resolve(stop_signal, self.request.unwrap_or(Signal::TERM))
    }

    fn wait(&self, step: usize) -> Wait {
        let Some(&Step { mut wait, .. }) = self.rules.plan.0.get(step) else { return Wait::up_to(None) };
        if self.rules.drain_gets_the_rest && step == self.last_step() {
            wait.at_most = wait.at_most.map(|at_most| at_most.saturating_add(self.saved));
        }
        wait
    }

    fn last_step(&self) -> usize {
        self.rules.plan.0.len().saturating_sub(1)
    }
}
