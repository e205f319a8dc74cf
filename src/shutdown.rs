//! The stop, as a state machine. It makes no system call: events and the time go in, actions and the next deadline come out.
//!
//! ```text
//! running --stop request--> step 0 --(time, quiet, hurry)--> step 1 --...--> killed --> gone
//!    |                        |                                |               |
//!    |                        |   the servers, or the main child, exit          |
//!    |                        +------------> leftover ---(the rest exits)--------+
//!    +---- the main child exits ------------------------------------------------+--> gone
//! ```
//!
//! A stop is a [`Plan`]: a list of steps, each an optional signal and a wait with a lower and an upper bound. The short
//! form that settings give (`pre_delay`, `stop_signal`, `drain_timeout`) is the plan *wait; send the signal, wait*. SIGKILL
//! follows the last step. A step whose wait has no upper bound is therefore the last one that is reached.
//!
//! The `match` in [`Shutdown::on`] is the specification: one arm per transition, in the order in which they happen.

use std::time::Duration;

use crate::signal::{Origin, Rewrite, Signal, SignalMap, SignalSet};

/// A point in time, as the time since the supervisor's start on a clock that never jumps (`CLOCK_MONOTONIC`).
pub type Moment = Duration;

/// How long we wait for processes to end after SIGKILL. A process in uninterruptible sleep (state D) does not end, and we exit
/// anyway. `grace_period` keeps this time back from the drain.
pub const KILL_WAIT: Duration = Duration::from_secs(1);

/// The signal of [`Rules::once_idle`] is sent when no client has been connected for this long.
pub const IDLE_WAIT: Duration = Duration::from_secs(1);

/// How long a wrapper (a script, npm) has to exit by itself after its server has exited.
pub const WRAPPER_WAIT: Duration = Duration::from_secs(5);

/// How long processes without a client's connection have to exit by themselves, and once more after they were sent a signal.
pub const LEFTOVER_WAIT: Duration = Duration::from_secs(2);

/// How long a step lasts. The main child's exit ends every wait at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Quiet does not end the wait before this time.
    pub at_least: Duration,
    /// The wait ends at this time. `None`: only when the app exits.
    pub at_most: Option<Duration>,
    /// The quiet that ends the wait between the two bounds, if any.
    pub quiet: Option<Quiet>,
}

impl Wait {
    /// A wait of a fixed length.
    #[must_use]
    pub const fn fixed(length: Duration) -> Self {
        Self { at_least: length, at_most: Some(length), quiet: None }
    }

    /// A wait for the app's exit, up to a bound if there is one.
    #[must_use]
    pub const fn up_to(at_most: Option<Duration>) -> Self {
        Self { at_least: Duration::ZERO, at_most, quiet: None }
    }

    /// A wait between two bounds that ends on quiet.
    #[must_use]
    pub const fn until(quiet: Quiet, at_least: Duration, at_most: Duration) -> Self {
        Self { at_least, at_most: Some(at_most), quiet: Some(quiet) }
    }
}

/// The quiet that ends a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// The kind of activity that must be absent.
    pub of: Activity,
    /// For how long.
    pub lasts: Duration,
}

/// The activity on the app's sockets whose absence is quiet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// New connections and bytes of requests.
    Requests,
    /// Requests, and bytes of responses.
    Traffic,
    /// New connections alone, whatever comes on the open ones.
    NewConnections,
    /// Connections on which something is in progress. Without any connection it is never quiet.
    BusyConnections,
    /// Open connections. Where none was ever seen, it is unknown whether they are absent.
    Connections,
    /// Open connections, even if none was ever seen.
    Clients,
}

/// Which signal asks the app to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// This one, whichever was received: a setting names it.
    Always(Signal),
    /// The received signal itself: the process that is sent it handles it in its own way.
    Received,
    /// What the received signal is rewritten to. Without a rewrite it is this signal, the profile's; without a profile, the
    /// received signal itself.
    Mapped(Option<Signal>),
}

/// One step of a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The signal that the app is sent when the step begins.
    pub send: Option<StopSignal>,
    /// How long the step lasts.
    pub wait: Wait,
}

/// The steps of a stop. SIGKILL follows the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan(pub Vec<Step>);

impl Plan {
    /// The short form: the app keeps serving, then it is sent the stop signal and drains.
    #[must_use]
    pub fn soft(pre_delay: Wait, stop_signal: StopSignal, drain: Wait) -> Self {
        Self(vec![Step { send: None, wait: pre_delay }, Step { send: Some(stop_signal), wait: drain }])
    }

    /// Replaces the signal that the steps send.
    pub fn replace_stop_signal(&mut self, stop_signal: StopSignal) {
        for step in &mut self.0 {
            step.send = step.send.map(|_| stop_signal);
        }
    }

    /// The signal on which the app drains: the last one that a step sends.
    fn stop_signal(&self) -> StopSignal {
        self.0.iter().rev().find_map(|step| step.send).unwrap_or(StopSignal::Mapped(None))
    }
}

/// What must end before we exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// The main child.
    Main,
    /// The main child and all its descendants.
    All,
    /// The main child. In a stop also the servers, and for a short time ([`LEFTOVER_WAIT`]) all other descendants.
    AllInStop,
}

/// What the settings say about signals and stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The signals that are a stop request.
    pub stop_on: SignalSet,
    /// The signals that end a wait during a stop.
    pub hurry_on: SignalSet,
    /// What the app is sent in place of the signal received.
    pub rewrite: SignalMap<Rewrite>,
    /// The steps of a stop.
    pub plan: Plan,
    /// Whether the last step is extended by the time that quiet saved in the steps before it. It is if the drain timeout is not
    /// a setting but the rest of the grace period.
    pub drain_gets_the_rest: bool,
    /// The signal that the app is sent again in the drain, once no client is connected any more. squid would wait for a timer
    /// otherwise.
    pub once_idle: Option<Signal>,
    /// The signals on which the init stops itself (SIGSTOP) after it has handled them, as dumb-init does on
    /// SIGTSTP, SIGTTIN and SIGTTOU.
    pub suspend_on: SignalSet,
    /// What must end before we exit.
    pub wait_for: WaitFor,
}

impl Rules {
    /// The signal that a stop sends on the request `received`, and whether it is mapped: chosen by a setting or a profile. A
    /// request that comes again is passed on only if the first was sent unmapped: lighttpd takes a second SIGINT for an
    /// immediate stop.
    #[must_use]
    pub fn resolve(&self, stop_signal: StopSignal, received: Signal) -> (Signal, bool) {
        match (stop_signal, self.rewrite.get(received)) {
            (StopSignal::Always(signal), _)
            | (StopSignal::Mapped(_), Some(&Rewrite::To(signal)))
            | (StopSignal::Mapped(Some(signal)), None | Some(Rewrite::Ignore)) => (signal, true),
            (StopSignal::Received, _) | (StopSignal::Mapped(None), None | Some(Rewrite::Ignore)) => (received, false),
        }
    }

    /// Leaves out the pre-delay. If the drain has the rest of the grace period, it gets that time too.
    pub fn leave_out_pre_delay(&mut self) {
        let mut left_out = Duration::ZERO;
        for step in self.plan.0.iter_mut().filter(|step| step.send.is_none()) {
            left_out = left_out.saturating_add(step.wait.at_most.unwrap_or_default());
            step.wait = Wait::fixed(Duration::ZERO);
        }
        if let Some(last) = self.plan.0.last_mut().filter(|_| self.drain_gets_the_rest) {
            last.wait.at_most = last.wait.at_most.map(|at_most| at_most.saturating_add(left_out));
        }
    }

    /// Whether the signal only reports a new size of the terminal's window. Where SIGWINCH is a stop request (httpd), a resize
    /// is recognised by its sender, the kernel.
    fn is_terminal_resize(&self, signal: Signal, origin: Origin) -> bool {
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

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The execve of the main child has succeeded.
    Started,
    /// A signal arrived.
    Signal(Signal, Origin),
    /// The main child has stopped (SIGSTOP, Ctrl-Z).
    MainStopped,
    /// The main child was continued after a stop.
    MainContinued,
    /// The main child has exited.
    MainExited {
        /// How it ended.
        exit: Exit,
        /// Whether no process of ours is left.
        last: bool,
    },
    /// The last process has exited, some time after the main child.
    NobodyLeft,
    /// The last server has exited.
    ServersExited,
    /// Whether one of the processes that are left holds, or may hold, a client's connection.
    Serving(bool),
    /// The activity that the present wait watches ([`Shutdown::watches`]) has been absent for this long.
    Quiet(Duration),
    /// Time has passed.
    Time,
}

/// What the init does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Pass this signal on to the main child or its group; if it has exited, to its remaining descendants.
    Forward(Signal),
    /// Send the app its stop signal.
    Stop(Signal),
    /// Send the stop signal to the descendants that the main child left.
    StopRest(Signal),
    /// Continue the stopped app with SIGCONT: a stopped process cannot act on the stop signal.
    Continue,
    /// Stop the init itself until it is continued.
    Suspend,
    /// Send the main child this signal: the servers have exited, and it has not.
    StopMain(Signal),
    /// SIGKILL to every remaining process.
    KillAll,
    /// Log this.
    Note(Note),
}

/// What is logged during a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The stop begins.
    Requested(Signal, Origin),
    /// A step of the plan begins.
    Waiting {
        /// Which step of the plan, counted from 0.
        step: usize,
        /// The signal that the app was sent.
        sent: Option<Signal>,
        /// How long the step lasts.
        wait: Wait,
    },
    /// Another stop request came. It changes no deadline.
    Repeated {
        /// The signal.
        signal: Signal,
        /// Its sender.
        origin: Origin,
        /// Whether the app was sent it.
        passed_on: bool,
    },
    /// A signal of `hurry_on` ended the present wait.
    Hurried(Signal, Origin),
    /// Quiet ended the present wait.
    Quiet(Wait),
    /// No client is connected any more, so the app was sent this signal again.
    Idle(Signal),
    /// The present wait reached its upper bound.
    TimeUp(Wait),
    /// The main child has exited, but not all of its descendants.
    OthersLeft {
        /// How it ended.
        exit: Exit,
        /// Whether a server is among them, so that the stop continues.
        serving: bool,
    },
    /// The servers have exited, and the wrapper has not exited within [`WRAPPER_WAIT`]. It was sent this signal.
    WrapperAsked(Signal),
    /// The processes that are left have no client's connection and have not exited within [`LEFTOVER_WAIT`]. They were sent this
    /// signal.
    LeftoverAsked(Signal),
    /// The processes that are left did not exit on that signal. We exit without them.
    LeftBehind,
    /// Some process did not end within [`KILL_WAIT`] after SIGKILL.
    Unkillable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The app serves.
    Running,
    /// A step of the plan waits.
    Step { index: usize, since: Moment },
    /// No server is left, but other processes are.
    Leftover {
        stage: Leftover,
        /// When the stage began. `None`: the stage has no deadline, for example while a process still has a client's
        /// connection.
        since: Option<Moment>,
        /// The end of the drain timeout.
        until: Option<Moment>,
    },
    /// SIGKILL was sent.
    Killed { since: Moment },
    /// We exit with this code.
    Gone { code: u8 },
}

/// What the init does about processes that are left when no server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leftover {
    /// The main child, which started the server, has [`WRAPPER_WAIT`] to exit by itself.
    Wrapper,
    /// The main child was sent a signal.
    WrapperAsked,
    /// The main child has exited too. The others have [`LEFTOVER_WAIT`] to exit by themselves.
    Others,
    /// The others were sent a signal.
    OthersAsked,
}

impl Leftover {
    fn limit(self) -> Option<Duration> {
        match self {
            Self::Wrapper => Some(WRAPPER_WAIT),
            Self::WrapperAsked => None,
            Self::Others | Self::OthersAsked => Some(LEFTOVER_WAIT),
        }
    }
}

/// What an event means, given the rules and the present phase.
enum Meaning {
    Started,
    StopRequest(Signal, Origin),
    Hurry(Signal, Origin),
    PassOn(Signal),
    /// A signal on which we stop ourselves, and the signal that the app is sent for it.
    Suspend(Option<Signal>),
    Nothing,
    Quiet,
    Idle(Signal),
    TimeUp,
    MainStopped,
    MainExited {
        exit: Exit,
        last: bool,
    },
    NobodyLeft,
    ServersExited,
    Serving(bool),
}

/// The state machine.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Shutdown {
    rules: Rules,
    phase: Phase,
    /// How the main child ended.
    main: Option<Exit>,
    /// Whether the main child's execve has succeeded. Until then nothing serves.
    is_started: bool,
    /// Whether a server was found when the stop began, and one still runs.
    has_server: bool,
    /// Whether the main child is stopped now.
    stopped: bool,
    /// The first stop request. It decides the stop signal.
    request: Option<Signal>,
    /// The stop signal, if it was sent unmapped. Each time it comes again, it is passed on again.
    passed_on: Option<Signal>,
    /// Whether the stop signal was sent, so that the child must be continued if we learn that it is stopped.
    continue_if_stopped: bool,
    /// By how much quiet has shortened the steps so far.
    saved: Duration,
}

impl Shutdown {
    /// A state machine whose app runs.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self { is_started: true, ..Self::starting(rules) }
    }

    /// A state machine whose main child has not called execve yet: [`Event::Started`] will come.
    #[must_use]
    pub fn starting(rules: Rules) -> Self {
        Self {
            rules,
            phase: Phase::Running,
            main: None,
            is_started: false,
            has_server: false,
            stopped: false,
            request: None,
            passed_on: None,
            continue_if_stopped: false,
            saved: Duration::ZERO,
        }
    }

    /// Sets the rules for the stop that is about to begin, with the plan for the server that was found; or those for another
    /// server that was found before the stop signal was sent. `has_server` is whether one was found.
    pub fn prepare_stop(&mut self, rules: Rules, has_server: bool) {
        self.rules = rules;
        self.has_server = has_server;
    }

    /// Whether the main child's execve has succeeded.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.is_started
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Whether the servers have exited and other processes are left. Then [`Event::Serving`] must report whether they serve a
    /// client.
    #[must_use]
    pub fn is_waiting_for_leftovers(&self) -> bool {
        matches!(self.phase, Phase::Leftover { .. })
    }

    /// Whether no stop is under way.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Whether a stop is under way.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        matches!(self.phase, Phase::Step { .. } | Phase::Leftover { .. } | Phase::Killed { .. })
    }

    /// The exit code, once it is time to exit.
    #[must_use]
    pub fn exit_code(&self) -> Option<u8> {
        match self.phase {
            Phase::Gone { code } => Some(code),
            Phase::Running | Phase::Step { .. } | Phase::Leftover { .. } | Phase::Killed { .. } => None,
        }
    }

    /// The upper bound of the present wait, if it has one.
    #[must_use]
    pub fn upper_bound(&self) -> Option<Duration> {
        match self.phase {
            Phase::Step { index, .. } => self.wait(index).at_most,
            Phase::Running | Phase::Leftover { .. } | Phase::Killed { .. } | Phase::Gone { .. } => None,
        }
    }

    /// The activity whose absence may end the present wait. [`Event::Quiet`] reports for how long it has been absent, once
    /// that proves something.
    #[must_use]
    pub fn watches(&self) -> Option<Activity> {
        match self.phase {
            Phase::Step { index, .. } => {
                let idle = self.waits_for_idle(index).map(|_| Activity::Clients);
                self.wait(index).quiet.map(|quiet| quiet.of).or(idle)
            }
            Phase::Running | Phase::Leftover { .. } | Phase::Killed { .. } | Phase::Gone { .. } => None,
        }
    }

    /// When [`Event::Time`] would change something. `None`: never.
    #[must_use]
    pub fn deadline(&self) -> Option<Moment> {
        match self.phase {
            Phase::Step { index, since } => Some(since.saturating_add(self.wait(index).at_most?)),
            Phase::Leftover { stage, since, until } => {
                let stage = since.zip(stage.limit()).map(|(since, limit)| since.saturating_add(limit));
                stage.into_iter().chain(until).min()
            }
            Phase::Killed { since } => Some(since.saturating_add(KILL_WAIT)),
            Phase::Running | Phase::Gone { .. } => None,
        }
    }

    /// The signal that this step sends once no client is connected any more.
    fn waits_for_idle(&self, step: usize) -> Option<Signal> {
        self.rules.once_idle.filter(|_| step == self.last_step() && self.wait(step).quiet.is_none())
    }

    /// Handles what happened at `now`, and returns what to do, in this order.
    #[expect(clippy::too_many_lines, reason = "the match is the specification, and is read as one")]
    pub fn on(&mut self, event: Event, now: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        match (self.phase, self.meaning(event, now)) {
            // Running: the app serves, or is being started.
            (Phase::Running | Phase::Step { .. } | Phase::Leftover { .. } | Phase::Killed { .. }, Meaning::Started) => {
                self.is_started = true;
            }
            (Phase::Running, Meaning::Suspend(signal)) => {
                actions.extend(signal.map(Action::Forward));
                actions.push(Action::Suspend);
            }
            (Phase::Running, Meaning::StopRequest(signal, origin)) => {
                self.request = Some(signal);
                actions.push(Action::Note(Note::Requested(signal, origin)));
                self.enter(0, now, &mut actions);
                // Nothing serves yet, so the child is sent the request itself, which takes effect at its execve.
                if !self.is_started && !actions.iter().any(|action| matches!(action, Action::Stop(_) | Action::KillAll))
                {
                    actions.push(Action::Forward(signal));
                }
            }
            (Phase::Running | Phase::Step { .. } | Phase::Leftover { .. }, Meaning::PassOn(signal)) => {
                actions.push(Action::Forward(signal));
            }
            // A stop must not wait for somebody to type `fg`: we do not stop ourselves, and we do not send the app SIGSTOP.
            (Phase::Step { .. } | Phase::Leftover { .. }, Meaning::Suspend(Some(signal))) if signal != Signal::STOP => {
                actions.push(Action::Forward(signal));
            }

            // Step: a stop is under way.
            (Phase::Step { .. } | Phase::Leftover { .. }, Meaning::StopRequest(signal, origin))
                if self.request.is_none() =>
            {
                // The stop began with the main child's exit, so the platform's request changes no deadline.
                self.request = Some(signal);
                actions.push(Action::Note(Note::Requested(signal, origin)));
                if self.passed_on == Some(signal) {
                    actions.push(Action::Forward(signal));
                }
            }
            (Phase::Step { .. } | Phase::Leftover { .. }, Meaning::StopRequest(signal, origin)) => {
                let passed_on = self.passed_on == Some(signal) || !self.is_started;
                actions.push(Action::Note(Note::Repeated { signal, origin, passed_on }));
                if passed_on {
                    actions.push(Action::Forward(signal));
                }
            }
            (Phase::Step { index, .. }, Meaning::Hurry(signal, origin)) => {
                actions.push(Action::Note(Note::Hurried(signal, origin)));
                self.enter(index + 1, now, &mut actions);
            }
            (Phase::Step { index, since }, Meaning::Quiet) => {
                actions.push(Action::Note(Note::Quiet(self.wait(index))));
                let end = self.wait(index).at_most.map(|at_most| since.saturating_add(at_most));
                self.saved += end.unwrap_or(now).saturating_sub(now);
                self.enter(index + 1, now, &mut actions);
            }
            (Phase::Step { .. }, Meaning::Idle(signal)) => {
                self.rules.once_idle = None;
                actions.push(Action::Stop(signal));
                actions.push(Action::Note(Note::Idle(signal)));
            }
            (Phase::Step { index, .. }, Meaning::TimeUp) => {
                actions.push(Action::Note(Note::TimeUp(self.wait(index))));
                self.enter(index + 1, now, &mut actions);
            }
            (Phase::Step { .. } | Phase::Leftover { .. }, Meaning::MainStopped) if self.continue_if_stopped => {
                self.continue_if_stopped = false;
                actions.push(Action::Continue);
            }

            // The main child has exited, and nothing else has to be waited for.
            (Phase::Running, Meaning::MainExited { exit, last }) if last || self.rules.wait_for != WaitFor::All => {
                self.phase = Phase::Gone { code: exit.code() };
            }
            (Phase::Step { .. } | Phase::Leftover { .. }, Meaning::MainExited { exit, last })
                if last || self.rules.wait_for == WaitFor::Main =>
            {
                self.phase = Phase::Gone { code: exit.code() };
            }
            // The servers that it left are still in their stop.
            (Phase::Step { .. }, Meaning::MainExited { exit, .. }) if self.has_server => {
                self.main = Some(exit);
                actions.push(Action::Note(Note::OthersLeft { exit, serving: true }));
            }
            (Phase::Step { .. }, Meaning::MainExited { exit, .. }) if self.rules.wait_for == WaitFor::AllInStop => {
                self.main = Some(exit);
                actions.push(Action::Note(Note::OthersLeft { exit, serving: false }));
                self.enter_leftover(Leftover::Others, now);
            }
            (Phase::Leftover { until, .. }, Meaning::MainExited { exit, .. }) => {
                self.main = Some(exit);
                actions.push(Action::Note(Note::OthersLeft { exit, serving: false }));
                self.phase = Phase::Leftover { stage: Leftover::Others, since: Some(now), until };
            }
            // Others have not exited. They are sent the stop signal and get the rest of the drain.
            (Phase::Step { index, .. }, Meaning::MainExited { exit, .. }) if index == self.last_step() => {
                self.main = Some(exit);
                actions.push(Action::Note(Note::OthersLeft { exit, serving: false }));
                actions.push(Action::StopRest(self.resolve(self.rules.plan.stop_signal()).0));
            }
            (Phase::Running | Phase::Step { .. }, Meaning::MainExited { exit, .. }) => {
                self.main = Some(exit);
                actions.push(Action::Note(Note::OthersLeft { exit, serving: false }));
                self.enter(self.last_step(), now, &mut actions);
            }

            // Leftover: no server is left, but other processes are.
            (Phase::Step { .. }, Meaning::ServersExited) if self.main.is_none() => {
                self.has_server = false;
                self.enter_leftover(Leftover::Wrapper, now);
            }
            (Phase::Step { .. }, Meaning::ServersExited) => {
                self.has_server = false;
                self.enter_leftover(Leftover::Others, now);
            }
            (
                Phase::Leftover { stage: stage @ (Leftover::Others | Leftover::OthersAsked), since, until },
                Meaning::Serving(serving),
            ) => {
                let since = if serving { None } else { since.or(Some(now)) };
                self.phase = Phase::Leftover { stage, since, until };
            }
            (Phase::Leftover { until, .. }, Meaning::TimeUp) if until.is_some_and(|until| now >= until) => {
                actions.push(Action::Note(Note::TimeUp(self.wait(self.last_step()))));
                self.phase = Phase::Killed { since: now };
                actions.push(Action::KillAll);
            }
            (Phase::Leftover { stage, until, .. }, Meaning::TimeUp) => self.next_stage(stage, until, now, &mut actions),
            (Phase::Leftover { stage, until, .. }, Meaning::Hurry(signal, origin)) => {
                actions.push(Action::Note(Note::Hurried(signal, origin)));
                match stage {
                    Leftover::WrapperAsked | Leftover::OthersAsked if until.is_some() => {
                        self.phase = Phase::Killed { since: now };
                        actions.push(Action::KillAll);
                    }
                    _ => self.next_stage(stage, until, now, &mut actions),
                }
            }

            // Killed: SIGKILL was sent.
            (Phase::Killed { .. }, Meaning::MainExited { exit, last: true }) => {
                self.phase = Phase::Gone { code: exit.code() };
            }
            (Phase::Killed { .. }, Meaning::MainExited { exit, last: false }) => self.main = Some(exit),
            (Phase::Killed { .. }, Meaning::TimeUp) => {
                actions.push(Action::Note(Note::Unkillable));
                self.phase = Phase::Gone { code: self.main.unwrap_or(Exit::Signal(Signal::KILL)).code() };
            }

            // The last process has exited, some time after the main child.
            (Phase::Step { .. } | Phase::Leftover { .. } | Phase::Killed { .. }, Meaning::NobodyLeft) => {
                if let Some(exit) = self.main {
                    self.phase = Phase::Gone { code: exit.code() };
                }
            }

            // Events that change nothing, phase by phase.
            (
                Phase::Running,
                Meaning::Hurry(..)
                | Meaning::Quiet
                | Meaning::Idle(_)
                | Meaning::TimeUp
                | Meaning::MainStopped
                | Meaning::NobodyLeft
                | Meaning::ServersExited
                | Meaning::Serving(_)
                | Meaning::Nothing,
            )
            | (
                Phase::Step { .. },
                Meaning::Suspend(_) | Meaning::MainStopped | Meaning::Serving(_) | Meaning::Nothing,
            )
            | (
                Phase::Leftover { .. },
                Meaning::Suspend(_)
                | Meaning::Quiet
                | Meaning::Idle(_)
                | Meaning::MainStopped
                | Meaning::ServersExited
                | Meaning::Serving(_)
                | Meaning::Nothing,
            )
            | (
                // Every process is about to end, so there is nothing to pass on.
                Phase::Killed { .. },
                Meaning::StopRequest(..)
                | Meaning::Hurry(..)
                | Meaning::PassOn(_)
                | Meaning::Suspend(_)
                | Meaning::Quiet
                | Meaning::Idle(_)
                | Meaning::MainStopped
                | Meaning::ServersExited
                | Meaning::Serving(_)
                | Meaning::Nothing,
            )
            | (Phase::Gone { .. }, _) => {}
        }
        actions
    }

    /// What the event means now. It also notes whether the main child is stopped.
    fn meaning(&mut self, event: Event, now: Moment) -> Meaning {
        match event {
            Event::Started => Meaning::Started,
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
            Event::ServersExited => Meaning::ServersExited,
            Event::Serving(serving) => Meaning::Serving(serving),
            Event::Quiet(so_far) => match (self.is_quiet_reached(so_far, now), self.phase) {
                (true, _) => Meaning::Quiet,
                (false, Phase::Step { index, .. }) if so_far >= IDLE_WAIT => {
                    self.waits_for_idle(index).map_or(Meaning::Nothing, Meaning::Idle)
                }
                _ => Meaning::Nothing,
            },
            Event::Time if self.deadline().is_some_and(|deadline| now >= deadline) => Meaning::TimeUp,
            Event::Time => Meaning::Nothing,
        }
    }

    fn meaning_of_signal(&self, signal: Signal, origin: Origin) -> Meaning {
        // Outside a stop, and in a wait without an upper bound, there is nothing to shorten, so `hurry_on` does not apply.
        let is_waiting = matches!(self.phase, Phase::Step { .. } | Phase::Leftover { .. });
        let can_hurry = is_waiting && self.deadline().is_some();
        if self.rules.is_terminal_resize(signal, origin) {
            Meaning::Nothing
        } else if can_hurry && self.rules.hurry_on.contains(signal) {
            Meaning::Hurry(signal, origin)
        } else if self.rules.stop_on.contains(signal) {
            Meaning::StopRequest(signal, origin)
        } else {
            let to_the_app = match self.rules.rewrite.get(signal) {
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

    /// Whether quiet has lasted long enough to end the present wait. A wait without an upper bound does not end on quiet, since
    /// SIGKILL would follow.
    fn is_quiet_reached(&self, so_far: Duration, now: Moment) -> bool {
        let Phase::Step { index, since } = self.phase else { return false };
        let wait = self.wait(index);
        let may_end = wait.at_most.is_some() && now >= since.saturating_add(wait.at_least);
        may_end && wait.quiet.is_some_and(|quiet| so_far >= quiet.lasts)
    }

    /// Enters a step, and passes through steps that do not wait. SIGKILL follows the last one.
    fn enter(&mut self, first: usize, now: Moment, actions: &mut Vec<Action>) {
        let mut index = first;
        while let Some(&Step { send, .. }) = self.rules.plan.0.get(index) {
            let wait = self.wait(index);
            let sent = send.map(|stop_signal| self.send(stop_signal, actions));
            let waits = wait.at_most != Some(Duration::ZERO);
            if waits || sent.is_some() {
                actions.push(Action::Note(Note::Waiting { step: index, sent, wait }));
            }
            if waits {
                self.phase = Phase::Step { index, since: now };
                return;
            }
            index += 1;
        }
        self.phase = Phase::Killed { since: now };
        actions.push(Action::KillAll);
    }

    fn send(&mut self, stop_signal: StopSignal, actions: &mut Vec<Action>) -> Signal {
        let (signal, chosen) = self.resolve(stop_signal);
        if !chosen {
            self.passed_on = Some(signal);
        }
        if self.main.is_some() && !self.has_server {
            actions.push(Action::StopRest(signal));
            return signal;
        }
        actions.push(Action::Stop(signal));
        if self.stopped {
            actions.push(Action::Continue);
        }
        // A SIGSTOP may be on its way to the child. When we learn of the stop, we continue the child.
        self.continue_if_stopped = !self.stopped;
        signal
    }

    /// Enters a stage of [`Phase::Leftover`] from a step. It ends at the latest with the drain timeout.
    fn enter_leftover(&mut self, stage: Leftover, now: Moment) {
        let until = match self.phase {
            Phase::Step { index, .. } if index == self.last_step() => self.deadline(),
            _ => self.wait(self.last_step()).at_most.map(|drain| now.saturating_add(drain)),
        };
        self.phase = Phase::Leftover { stage, since: Some(now), until };
    }

    /// The time of the stage is up, or a signal of `hurry_on` ended it.
    fn next_stage(&mut self, stage: Leftover, until: Option<Moment>, now: Moment, actions: &mut Vec<Action>) {
        let request = self.request.unwrap_or(Signal::TERM);
        let stage = match stage {
            Leftover::Wrapper => {
                actions.push(Action::StopMain(request));
                actions.push(Action::Note(Note::WrapperAsked(request)));
                Leftover::WrapperAsked
            }
            Leftover::Others => {
                actions.push(Action::StopRest(request));
                actions.push(Action::Note(Note::LeftoverAsked(request)));
                Leftover::OthersAsked
            }
            Leftover::OthersAsked if until.is_none() && self.rules.wait_for == WaitFor::AllInStop => {
                actions.push(Action::Note(Note::LeftBehind));
                self.phase = Phase::Gone { code: self.main.unwrap_or(Exit::Signal(request)).code() };
                return;
            }
            // Only the drain timeout ends it, or the exit of what is left.
            Leftover::WrapperAsked | Leftover::OthersAsked => {
                self.phase = Phase::Leftover { stage, since: None, until };
                return;
            }
        };
        self.phase = Phase::Leftover { stage, since: Some(now), until };
    }

    /// The signal to send, and whether it is mapped. If the stop began without a request, with the main child's exit, SIGTERM
    /// counts as the request.
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
