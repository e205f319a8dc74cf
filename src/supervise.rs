//! The loop: sleep in one poll(2), pass what happened to the state machine, do what it decides.
//!
//! It has the only clock of the program.

mod traffic_monitor;

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use log::{debug, info, warn};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub use self::traffic_monitor::MonitorOptions;
use self::traffic_monitor::TrafficMonitor;
use crate::log_style::{LogEvent, LogStyle};
use crate::process::{Process, SpawnError, Target};
use crate::report::Report;
use crate::shutdown::{Action, Event, Moment, Note, Shutdown};
use crate::signal::Signal;
use crate::sys::child::Child;
use crate::sys::signals::{self, Inbox};
use crate::sys::terminal::{self, Suspended};
use crate::sys::wait::{self, Change};
use crate::traffic::Traffic;

/// What the loop needs to know besides the state machine's rules.
#[derive(Clone, Debug)]
pub struct Options {
    /// How the events of an init are worded.
    pub style: LogStyle,
    /// The program, as it was called.
    pub program: OsString,
    /// Who gets the signals.
    pub target: Target,
    /// Whether each reaped orphan is worth a warning.
    pub warn_on_reap: bool,
    /// What the main child's group is sent after that child's exit.
    pub exit_signal: Option<Signal>,
    /// Whether stdin is our controlling terminal.
    pub has_terminal: bool,
    /// Whether the child gets the terminal's foreground when we have it.
    pub hands_over: bool,
    /// Which sockets are watched during a stop.
    pub monitor: MonitorOptions,
}

/// How supervision ended.
#[derive(Debug)]
pub enum Ending {
    /// It is time to exit with this code.
    Exited(u8),
    /// The program could not be run.
    NotStarted(SpawnError),
}

/// Supervises the main child until it is time to exit.
///
/// There is no `Result`: if PID 1 ends it takes the whole container with it. Errors are logged, and the loop goes on.
#[must_use]
pub fn supervise(child: Child, mut inbox: Inbox, shutdown: Shutdown, options: Options, report: Report) -> Ending {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    let start = Instant::now();
    let mut supervisor =
        Supervisor { child, shutdown, options, report, monitor: None, is_group_stopped: false, start_failure: None };
    loop {
        let deadline = supervisor.next().map(|next| next.saturating_sub(start.elapsed()));
        sleep(&inbox, Some(&supervisor.child), deadline);
        let now = start.elapsed();
        supervisor.check_start(now);
        // One by one: when we are about to stop ourselves a SIGCONT must still be pending.
        for received in inbox.take() {
            // The child that could not become the program is no child that anybody knows of: its SIGCHLD is not logged.
            if supervisor.start_failure.is_none() || received.signal != Signal::CHLD {
                supervisor.options.style.log(LogEvent::Received(received.signal, received.origin));
            }
            supervisor.handle(Event::Signal(received.signal, received.origin), now);
        }
        supervisor.reap(now);
        if let Some(error) = supervisor.start_failure.take_if(|_| supervisor.child.is_reaped()) {
            return Ending::NotStarted(error);
        }
        supervisor.watch_traffic(now);
        supervisor.handle(Event::Time, now);
        if let Some(code) = supervisor.shutdown.exit_code() {
            supervisor.report.close(now, supervisor.traffic());
            supervisor.options.style.log(LogEvent::Exits(code));
            return Ending::Exited(code);
        }
    }
}

/// Reaps until SIGTERM or SIGINT comes: the infra container of a pod has no main child.
pub fn pause(mut inbox: Inbox) {
    loop {
        sleep(&inbox, None, None);
        if inbox.take().any(|received| matches!(received.signal, Signal::TERM | Signal::INT)) {
            return;
        }
        wait::reap_all();
    }
}

/// Sleeps until a signal comes, the child's program runs or cannot be run, or the time is up.
fn sleep(inbox: &Inbox, child: Option<&Child>, limit: Option<Duration>) {
    let timeout = limit.map_or(PollTimeout::NONE, |limit| {
        // Rounded up: a wake-up before the deadline would only lead to another.
        let milliseconds = limit.as_nanos().div_ceil(1_000_000);
        i32::try_from(milliseconds).ok().and_then(|ms| PollTimeout::try_from(ms).ok()).unwrap_or(PollTimeout::MAX)
    });
    let signals = PollFd::new(inbox.as_fd(), PollFlags::POLLIN);
    // On an error (no memory) the loop looks at everything and tries again. To exit would end the app.
    let _ = match child.and_then(Child::exec_status) {
        Some(exec_status) => poll(&mut [signals, PollFd::new(exec_status, PollFlags::POLLIN)], timeout),
        None => poll(&mut [signals], timeout),
    };
}

struct Supervisor {
    child: Child,
    shutdown: Shutdown,
    options: Options,
    report: Report,
    /// From the beginning of the stop on.
    monitor: Option<TrafficMonitor>,
    /// Whether the main child's whole group was sent the stop signal.
    is_group_stopped: bool,
    /// Why the program could not be run. Its process is about to exit.
    start_failure: Option<SpawnError>,
}

impl Supervisor {
    /// When something is due even if no signal comes.
    fn next(&self) -> Option<Moment> {
        let snapshot = self.monitor.as_ref().and_then(TrafficMonitor::next);
        self.shutdown.deadline().into_iter().chain(snapshot).min()
    }

    fn traffic(&self) -> Option<&Traffic> {
        self.monitor.as_ref().map(TrafficMonitor::traffic)
    }

    /// Notes whether the program runs, once that is known.
    fn check_start(&mut self, now: Moment) {
        match self.child.exec_result() {
            None => {}
            Some(Ok(())) => {
                self.options.style.log(LogEvent::Started { program: &self.options.program, pid: self.child.pid() });
                self.handle(Event::Started, now);
            }
            Some(Err(error)) => self.start_failure = Some(error),
        }
    }

    fn handle(&mut self, event: Event, now: Moment) {
        let actions = self.shutdown.on(event, now);
        if self.monitor.is_none() && self.shutdown.is_stopping() {
            // Before the app is sent a signal, on which it may close its listeners.
            let pids = |processes: Vec<Process>| processes.iter().map(|process| process.pid).collect();
            let own_pids: Option<Vec<i32>> = self.child.processes().map(pids);
            self.monitor = Some(TrafficMonitor::start(&self.options.monitor, own_pids.as_deref(), self.decides(), now));
        }
        for action in actions {
            self.act(action, now);
        }
    }

    /// Whether the present wait may end by what a snapshot shows.
    fn decides(&self) -> bool {
        self.shutdown.watches().is_some()
    }

    /// Takes a snapshot if one is due, and tells the state machine for how long it has been quiet.
    fn watch_traffic(&mut self, now: Moment) {
        let decides = self.decides();
        let Some(monitor) = &mut self.monitor else { return };
        if monitor.next().is_none_or(|next| now < next) || !monitor.take_snapshot(now, decides) {
            return;
        }
        if let Some(activity) = self.shutdown.watches() {
            let quiet = monitor.traffic().quiet(activity, now);
            self.handle(Event::Quiet(quiet), now);
        }
    }

    fn act(&mut self, action: Action, now: Moment) {
        match action {
            Action::Forward(signal) => self.send(signal),
            Action::Stop(signal) => {
                if let Some(monitor) = &mut self.monitor {
                    monitor.stop_signal(now);
                }
                self.send(signal);
                if self.options.target == Target::Group {
                    self.is_group_stopped = true;
                    // The kernel tells us only of our children's stops, not of those of others in the group.
                    self.log_sending(Signal::CONT, self.child.send(Signal::CONT, Target::Group));
                }
            }
            Action::StopRest(signal) => {
                let except_group = self.is_group_stopped.then_some(self.child.pid());
                self.log_sending(signal, self.child.send_rest(signal, except_group));
            }
            // The terminal has stopped its whole group, and it may wait for others in the group.
            Action::Continue => self.log_sending(Signal::CONT, self.child.send(Signal::CONT, Target::Group)),
            Action::Suspend => {
                self.options.style.log(LogEvent::Suspends);
                signals::stop_ourselves();
            }
            Action::KillAll => {
                let cut_off = self.monitor.as_mut().map(|monitor| monitor.about_to_be_cut_off(now));
                self.report.killed(self.child.kill_all().as_deref());
                self.report.cut_off(cut_off.as_ref());
            }
            Action::Note(Note::Unkillable) => self.report.unkillable(&self.child.processes().unwrap_or_default()),
            Action::Note(note) => {
                let traffic = self.monitor.as_ref().map(TrafficMonitor::traffic);
                self.report.note(note, now, traffic);
            }
        }
    }

    fn send(&self, signal: Signal) {
        self.log_sending(signal, self.child.send(signal, self.options.target));
    }

    fn log_sending(&self, signal: Signal, result: io::Result<()>) {
        match result {
            Ok(()) => self.options.style.log(LogEvent::Sent(signal)),
            Err(error) => warn!("could not send {signal} to the app: {error}"),
        }
    }

    /// Reaps on every wake-up until no child has changed: signals are a set, so one SIGCHLD may stand for many children.
    fn reap(&mut self, now: Moment) {
        let reaped = self.child.reap(self.options.exit_signal);
        if self.start_failure.is_some() && self.child.is_reaped() {
            // The process that could not become the program: it was never the app.
            self.give_terminal_back();
            return;
        }
        if let Some((signal, result)) = reaped.exit_signal {
            self.log_sending(signal, result);
        }
        let pid = self.child.pid();
        let main_exit = reaped.changes.iter().find_map(|&(changed, change)| match change {
            Change::Exited(exit) if changed == pid => Some(exit),
            Change::Exited(_) | Change::Stopped(_) | Change::Continued => None,
        });
        for &(changed, change) in &reaped.changes {
            match change {
                Change::Exited(_) if changed == pid => {}
                Change::Exited(exit) => {
                    self.options.style.log(LogEvent::Reaped { pid: changed, exit, warn: self.options.warn_on_reap });
                }
                // It has exited since, so its pid may be another process's by now.
                Change::Stopped(_) | Change::Continued if changed != pid || main_exit.is_some() => {}
                Change::Stopped(signal) => self.main_stopped(signal, now),
                Change::Continued => self.handle(Event::MainContinued, now),
            }
        }
        if let Some(exit) = main_exit {
            self.options.style.log(LogEvent::MainExited { pid, exit });
            self.report.main_exited(exit);
            self.give_terminal_back();
            if let Some(monitor) = &mut self.monitor {
                monitor.take_snapshot(now, false); // the last one: its connections are gone
            }
            self.handle(Event::MainExited { exit, last: reaped.nobody_left }, now);
        } else if reaped.nobody_left {
            self.handle(Event::NobodyLeft, now);
        }
    }

    /// If a group that has ended stayed in the foreground, Ctrl-C would reach nobody.
    fn give_terminal_back(&self) {
        if self.options.hands_over {
            terminal::take_back_foreground(self.child.pid());
        }
    }

    fn main_stopped(&mut self, signal: Signal, now: Moment) {
        let by_the_terminal = matches!(signal, Signal::TSTP | Signal::TTIN | Signal::TTOU);
        // During a stop the state machine continues the child. A stop does not wait for a person at a terminal.
        if !(by_the_terminal && self.options.has_terminal && self.shutdown.is_running()) {
            debug!("pid {} was stopped by {signal}", self.child.pid());
            return self.handle(Event::MainStopped, now);
        }
        match terminal::suspend_with(self.child.pid(), signal, self.options.hands_over) {
            Suspended::UntilContinued => {}
            Suspended::NotAtAll => {
                info!(
                    "{signal} stopped pid {}; no shell could continue it, so it was continued at once",
                    self.child.pid()
                );
            }
            // The state machine continues it when it sends the stop signal.
            Suspended::Still => self.handle(Event::MainStopped, now),
        }
    }
}
