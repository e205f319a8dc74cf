//! The loop: sleep in one poll(2), pass what happened to the state machine, do what it decides.
//!
//! It has the only clock of the program.

mod stop_targets;
mod traffic_monitor;

use std::cell::Cell;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use log::{debug, info, warn};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use self::stop_targets::{SEARCH_LIMIT, StopTargets};
use self::traffic_monitor::TrafficMonitor;
use crate::log_style::{LogEvent, LogStyle};
use crate::process::{Process, SpawnError, Target};
use crate::profile::{self, Finishes, Profile};
use crate::rate::Before;
use crate::report::{Recipient, Report, STOP};
use crate::server::Found;
use crate::settings::{Settings, Subject};
use crate::shutdown::{Action, Event, Exit, Moment, Note, Shutdown, StopSignal, WRAPPER_WAIT};
use crate::signal::{Origin, Rewrite, Signal, SignalSet};
use crate::sys::child::Child;
use crate::sys::memory;
use crate::sys::procfs;
use crate::sys::signals::{self, Inbox};
use crate::sys::sockets::{NamespaceCounters, Subject as Watched};
use crate::sys::terminal::{self, Suspended};
use crate::sys::tracked::Tracked;
use crate::sys::wait::{self, Change};
use crate::traffic::{Silence, Traffic};

/// How long we wait after the main child's exit for filters on its output to write the last lines, and how often we check.
const FILTER_WAIT: Duration = Duration::from_secs(1);
const FILTER_INTERVAL: u8 = 5; // ms

/// A program that exits within this time and leaves other processes has probably daemonized.
const DAEMON_LIMIT: Duration = Duration::from_secs(1);

/// How often we look for changes that no descriptor reports: processes that are left, and servers on a kernel without pidfds.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// What the loop needs to know besides the state machine's rules.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// How the events of an init are worded.
    pub style: LogStyle,
    /// The program, as it was called.
    pub program: OsString,
    /// The settings for the server that the command line names. A stop begins with the search for the server that runs.
    pub settings: &'a Settings,
    /// What the network namespace had received when we started. `None`: unknown.
    pub received_at_start: Option<NamespaceCounters>,
    /// What the main child's group is sent after that child's exit, outside a stop.
    pub exit_signal: Option<Signal>,
    /// Whether stdin is our controlling terminal.
    pub has_terminal: bool,
    /// Whether the child gets the terminal's foreground when we have it.
    pub hands_over: bool,
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
pub fn supervise(child: Child, mut inbox: Inbox, shutdown: Shutdown, options: Options<'_>, report: Report) -> Ending {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    let start = Instant::now();
    let mut supervisor = Supervisor {
        child,
        shutdown,
        options,
        report,
        start,
        found_settings: None,
        lost_server: None,
        next_search: Moment::ZERO,
        sent: Cell::default(),
        targets: StopTargets::default(),
        monitor: None,
        is_group_stopped: false,
        start_failure: None,
    };
    loop {
        let deadline = supervisor.next().map(|next| next.saturating_sub(start.elapsed()));
        sleep(&inbox, &supervisor.descriptors(), deadline);
        let now = start.elapsed();
        if let Some(monitor) = &mut supervisor.monitor {
            monitor.note_ends(now);
        }
        supervisor.check_start(now);
        // One by one: before we stop ourselves we check for a pending SIGCONT, which must not have been read from the inbox
        // yet.
        for received in inbox.take() {
            // If the execve failed, the log has not mentioned a child, so the SIGCHLD of its exit is not logged either.
            if supervisor.start_failure.is_none() || received.signal != Signal::CHLD {
                supervisor.options.style.log(LogEvent::Received(received.signal, received.origin));
            }
            supervisor.look_for_server(received.signal, received.origin);
            supervisor.handle(Event::Signal(received.signal, received.origin), now);
        }
        supervisor.reap(now);
        supervisor.check_servers(now);
        supervisor.search_again(now);
        supervisor.check_handlers(now);
        if let Some(error) = supervisor.start_failure.take_if(|_| supervisor.child.is_reaped()) {
            return Ending::NotStarted(error);
        }
        supervisor.watch_traffic(now);
        supervisor.watch_leftovers(now);
        supervisor.handle(Event::Time, now);
        if let Some(code) = supervisor.shutdown.exit_code() {
            supervisor.report_others_left(now);
            let code = supervisor.report.final_exit_code(code);
            supervisor.report.close(now, supervisor.traffic());
            supervisor.options.style.log(LogEvent::Exits(code));
            return Ending::Exited(code);
        }
    }
}

/// Reaps until SIGTERM or SIGINT comes: the infra container of a pod has no main child.
pub fn pause(mut inbox: Inbox) {
    loop {
        sleep(&inbox, &[], None);
        if inbox.take().any(|received| matches!(received.signal, Signal::TERM | Signal::INT)) {
            return;
        }
        wait::reap_all();
    }
}

/// Sleeps until a signal comes, the child's program runs or cannot be run, or the time is up.
fn sleep(inbox: &Inbox, others: &[BorrowedFd<'_>], limit: Option<Duration>) {
    let timeout = limit.map_or(PollTimeout::NONE, |limit| {
        // Rounded up: a wake-up before the deadline would find nothing to do.
        let milliseconds = limit.as_nanos().div_ceil(1_000_000);
        i32::try_from(milliseconds).ok().and_then(|ms| PollTimeout::try_from(ms).ok()).unwrap_or(PollTimeout::MAX)
    });
    let readable = |descriptor| PollFd::new(descriptor, PollFlags::POLLIN);
    let all = std::iter::once(inbox.as_fd()).chain(others.iter().copied());
    let mut descriptors: Vec<PollFd<'_>> = all.map(readable).collect();
    // On an error (no memory) the loop checks everything and polls again. If we exited, the app would end.
    let _ = poll(&mut descriptors, timeout);
}

struct Supervisor<'a> {
    child: Child,
    shutdown: Shutdown,
    options: Options<'a>,
    report: Report,
    start: Instant,
    /// The settings for the server that was found. `None` until a stop begins.
    found_settings: Option<Settings>,
    /// When the last server exited, if that was before its stop signal and no other was found since.
    lost_server: Option<Moment>,
    /// When the next search for a server in its place is due.
    next_search: Moment,
    /// The signals that we have sent.
    sent: Cell<SignalSet>,
    /// Empty until a stop begins.
    targets: StopTargets,
    /// `None` until a stop begins.
    monitor: Option<TrafficMonitor>,
    /// Whether the main child's whole group was sent the stop signal.
    is_group_stopped: bool,
    /// Why the program could not be run. The child that reported this is about to exit.
    start_failure: Option<SpawnError>,
}

impl Supervisor<'_> {
    /// When something is due even if no signal comes.
    fn next(&self) -> Option<Moment> {
        let snapshot = self.monitor.as_ref().and_then(TrafficMonitor::next);
        let targets = &self.targets;
        let polls = self.shutdown.is_waiting_for_leftovers()
            || targets.needs_polling()
            || targets.watches_handlers()
            || self.awaits_server();
        let poll = polls.then(|| self.start.elapsed().saturating_add(POLL_INTERVAL));
        self.shutdown.deadline().into_iter().chain(snapshot).chain(poll).min()
    }

    /// The descriptors that become readable when something has happened, without the inbox.
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let ends = self.monitor.as_ref().and_then(TrafficMonitor::ends);
        self.child.exec_status().into_iter().chain(self.targets.descriptors()).chain(ends).collect()
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

    /// If this signal begins a stop, finds the server and prepares the plan for it. If no setting names a profile, the stop
    /// signal of any known server may begin a stop: base images set STOPSIGNAL to it. It does if the server that is found has
    /// this one.
    fn look_for_server(&mut self, signal: Signal, origin: Origin) {
        let settings = self.options.settings;
        let is_resize = signal == Signal::WINCH && origin == Origin::Kernel;
        if !self.shutdown.is_running() || !self.shutdown.is_started() || !settings.looks_for_server() || is_resize {
            return;
        }
        let is_request = self.shutdown.rules().stop_on.contains(signal);
        let may_be_request = settings.has_auto_profile() && Profile::has_stop_signal(signal);
        if !is_request && !may_be_request {
            return;
        }
        let found = self.search(signal);
        if !is_request && found.profile.is_none_or(|profile| profile.stop_signal != signal) {
            if signal == Signal::QUIT {
                info!(target: STOP, "{signal} {origin} is not a stop request here: passed on");
            }
            return;
        }
        let settings = self.settings_for(&found, signal);
        let mut rules = settings.rules();
        rules.stop_on = rules.stop_on.with(signal);
        rules.hurry_on = rules.hurry_on.without(signal.into());
        if found.is_nested {
            rules.leave_out_pre_delay();
            info!("a softstop stands before the server: passing {signal} through at once");
        }
        self.targets = StopTargets::new(&found, &settings, signal, self.child.pid(), &mut rules);
        let main = self.child.pid();
        let guessed = self.options.settings.profile.value;
        let name = if found.is_uncertain { None } else { procfs::name(main) };
        let name = name.map(|name| match guessed {
            Some(profile) if profile::is_interpreter(&name) => profile.name.to_owned(),
            _ => name,
        });
        self.report.found(&found, name, self.targets.recipients(), settings.profile.value);
        self.report.bounded(settings.upper_bound);
        self.shutdown.prepare_stop(rules, !found.servers.is_empty());
        self.found_settings = Some(settings);
    }

    /// Searches for the server. `request` is the signal received.
    fn search(&self, request: Signal) -> Found {
        let settings = self.options.settings;
        let started = self.start.elapsed();
        let is_late = || self.start.elapsed().saturating_sub(started) > SEARCH_LIMIT;
        // What a person set is what a process between the main child and the server would be sent.
        let sent = match (settings.stop_signal.value, settings.rewrite.get(request).map(|to| to.value)) {
            (StopSignal::Always(chosen), _) | (_, Some(Rewrite::To(chosen))) => chosen,
            _ => request,
        };
        stop_targets::find(&self.child, sent, settings.target.value, &is_late)
    }

    /// The settings for what was found.
    fn settings_for(&self, found: &Found, request: Signal) -> Settings {
        let settings = self.options.settings;
        self.subject(found, request).map_or_else(|| settings.clone(), |subject| settings.for_subject(subject))
    }

    /// What the settings are for. `None`: the search found no more than the command line had told.
    fn subject(&self, found: &Found, request: Signal) -> Option<Subject> {
        let Some(first) = found.servers.first() else {
            // An interactive shell ignores SIGTERM and exits on SIGHUP.
            let main = self.child.pid();
            let shell = Profile::of_shell(&procfs::command(main))
                .filter(|_| !found.is_uncertain && procfs::ignores(main, request));
            return shell.map(Subject::Known);
        };
        let guessed = self.options.settings.profile.value.filter(|_| first.pid == self.child.pid());
        if let Some(profile) = found.profile.or(guessed) {
            return Some(Subject::Known(profile));
        }
        let has_clients = self.received() != Before::Nobody && !self.options.has_terminal;
        Some(Subject::Server { has_clients, finishes: found.finishes == Finishes::Yes })
    }

    /// What the network namespace has received since our start.
    fn received(&self) -> Before {
        match (NamespaceCounters::read(), self.options.received_at_start) {
            (Some(now), Some(start)) => Before::of(now.since(start)),
            _ => Before::Unknown,
        }
    }

    /// Outside a stop we exit when the main child does, and the processes that it leaves are killed with the container. Filters
    /// on its output get [`FILTER_WAIT`] to write the last lines; then the log names the processes that are left.
    fn report_others_left(&self, now: Moment) {
        if self.report.is_stop() || !self.options.settings.looks_for_server() {
            return;
        }
        if !wait::has_children() {
            return; // whoever is left has been made our child, or is no process of ours
        }
        self.wait_for_filters();
        let left = self.child.tree().unwrap_or_default();
        self.report.left_outside_a_stop(&left, now < DAEMON_LIMIT);
    }

    fn wait_for_filters(&self) {
        let end = self.start.elapsed().saturating_add(FILTER_WAIT);
        while self.start.elapsed() < end && self.child.has_filters() {
            let _ = poll(&mut [], FILTER_INTERVAL);
            wait::reap_all();
        }
    }

    /// Notes servers that have ended.
    fn check_servers(&mut self, now: Moment) {
        let Some(is_last) = self.targets.forget_ended(!self.child.is_reaped()) else { return };
        if let Some(server) = self.targets.first_server() {
            self.report.serves(server);
        }
        if is_last && !self.targets.is_sent() && !self.child.is_reaped() {
            self.lost_server = Some(now);
        } else if is_last {
            self.handle(Event::ServersExited, now);
        }
    }

    /// Whether the servers have exited before their stop signal was sent, so that the main child may start them again.
    fn awaits_server(&self) -> bool {
        self.lost_server.is_some() && !self.targets.is_sent() && !self.child.is_reaped()
    }

    /// Searches for the server that takes the place of one that has exited, as long as a wrapper has to exit after its server.
    /// Until there is one, the stop signal is for the main child.
    fn search_again(&mut self, now: Moment) {
        let Some(lost) = self.lost_server.filter(|_| self.awaits_server()) else { return };
        if now >= lost.saturating_add(WRAPPER_WAIT) {
            self.lost_server = None;
            self.handle(Event::ServersExited, lost);
            return;
        }
        // The search reads /proc, and any process of ours can wake us.
        if now < self.next_search {
            return;
        }
        self.next_search = now.saturating_add(POLL_INTERVAL);
        let request = self.report.request().unwrap_or(Signal::TERM);
        let found = self.search(request);
        if !found.servers.is_empty() {
            self.lost_server = None;
        }
        let settings = self.settings_for(&found, request);
        // The waits stay as they are.
        let mut rules = self.shutdown.rules().clone();
        rules.plan.replace_stop_signal(settings.stop_signal.value);
        self.targets = StopTargets::new(&found, &settings, request, self.child.pid(), &mut rules);
        self.report.found(&found, None, self.targets.recipients(), settings.profile.value);
        self.shutdown.prepare_stop(rules, !found.servers.is_empty());
    }

    /// Asks servers whose handler has exited without stopping them.
    fn check_handlers(&mut self, now: Moment) {
        for (handler, server, signal) in self.targets.take_abandoned(now) {
            if self.sender()(&server, signal) {
                self.report.abandoned(&handler, server.process(), signal);
            }
        }
    }

    /// Tells the state machine whether a process that is left still has a client's connection.
    fn watch_leftovers(&mut self, now: Moment) {
        if !self.shutdown.is_waiting_for_leftovers() {
            return;
        }
        let inodes = self.monitor.as_mut().map(TrafficMonitor::connection_inodes).unwrap_or_default();
        let serving = !inodes.is_empty() && self.child.others_hold(&inodes);
        self.handle(Event::Serving(serving), now);
    }

    fn handle(&mut self, event: Event, now: Moment) {
        let actions = self.shutdown.on(event, now);
        if self.monitor.is_none() && self.shutdown.is_stopping() {
            // Take the first snapshot before the app is sent a signal, on which it may close its listeners.
            let settings = self.found_settings.as_ref().unwrap_or(self.options.settings);
            let subject = Watched {
                ports: &settings.ports.value,
                ignore: &settings.ignore_peers.value,
                count: &settings.count_peers.value,
                counts_unix: settings.profile.value.is_some() || settings.pre_delay.source.is_set_by_user(),
            };
            let may_end_wait = self.may_end_wait();
            let before = if may_end_wait { self.received() } else { Before::Unknown };
            let own_processes = || self.child.processes();
            let quiet_means = settings.quiet_means.value;
            self.monitor = Some(TrafficMonitor::start(subject, quiet_means, before, &own_processes, may_end_wait, now));
        }
        for action in actions {
            self.act(action, now);
        }
    }

    /// Whether a snapshot may end the present wait.
    fn may_end_wait(&self) -> bool {
        self.shutdown.watches().is_some()
    }

    /// Takes a snapshot if one is due, and tells the state machine for how long it has been quiet.
    fn watch_traffic(&mut self, now: Moment) {
        let (may_end_wait, awaits_server) = (self.may_end_wait(), self.awaits_server());
        let Self { child, monitor: Some(monitor), shutdown, .. } = self else { return };
        if !monitor.is_due(now) || !monitor.take_snapshot(now, &|| child.processes(), may_end_wait) {
            return;
        }
        // While no server runs there is no traffic. That does not prove that none will come.
        let Some(activity) = shutdown.watches().filter(|_| !awaits_server) else { return };
        let needed = monitor.traffic().needed(activity, shutdown.upper_bound());
        match (monitor.traffic().silence(activity, now), needed) {
            (Silence::Seen(silence), Some(needed)) if silence >= needed => self.handle(Event::Quiet(silence), now),
            _ => {}
        }
    }

    fn act(&mut self, action: Action, now: Moment) {
        match action {
            Action::Forward(signal) if self.is_repeated_request(signal) => self.targets.repeat(signal, &self.sender()),
            Action::Forward(signal) => {
                self.send(signal);
            }
            Action::StopMain(signal) => {
                let is_sent = self.log_sending(signal, self.child.send(signal, Target::Child));
                self.report.was_sent(is_sent);
            }
            Action::Stop(signal) => {
                if let Some(monitor) = &mut self.monitor {
                    monitor.stop_signal(now, &|| self.child.processes());
                }
                let is_first = !self.targets.is_sent();
                self.targets.note_sent();
                if !self.targets.is_main_child_only() {
                    if is_first {
                        self.stop_targets();
                    } else {
                        self.targets.send_to_first(signal, &self.sender());
                    }
                    return;
                }
                let is_sent = self.send(signal);
                self.report.was_sent(is_sent);
                if self.options.settings.target.value == Some(Target::Group) {
                    self.is_group_stopped = true;
                    // We learn only of our own children's stops, so continue the whole group in case another member is stopped.
                    self.log_sending(Signal::CONT, self.child.send(Signal::CONT, Target::Group));
                }
            }
            Action::StopRest(signal) => {
                self.wait_for_filters();
                let except_group = self.is_group_stopped.then_some(self.child.pid());
                self.stop_rest(signal, except_group);
            }
            // The whole group: the terminal has stopped all of it, and the main child may be waiting for another member.
            Action::Continue => {
                self.log_sending(Signal::CONT, self.child.send(Signal::CONT, Target::Group));
            }
            Action::Suspend => {
                self.options.style.log(LogEvent::Suspends);
                signals::stop_ourselves();
            }
            Action::KillAll => {
                self.note_sent(Signal::KILL);
                let cut_off = self.monitor.as_mut().map(|monitor| monitor.about_to_be_cut_off(now));
                self.report.killed(self.child.kill_all().as_deref());
                self.report.cut_off(cut_off.as_ref());
            }
            Action::Note(Note::LeftBehind) => {
                let rest = self.child.tree().unwrap_or_default();
                self.report.left_behind(&rest);
            }
            Action::Note(Note::Unkillable) => self.report.unkillable(&self.child.processes().unwrap_or_default()),
            Action::Note(note) => {
                let traffic = self.monitor.as_ref().map(TrafficMonitor::traffic);
                self.report.note(note, now, traffic);
            }
        }
    }

    /// Returns whether it was sent.
    fn send(&self, signal: Signal) -> bool {
        let target = self.options.settings.target.value.unwrap_or(Target::Child);
        self.log_sending(signal, self.child.send(signal, target))
    }

    /// Sends the processes that the main child left a signal.
    fn stop_rest(&mut self, signal: Signal, except_group: Option<i32>) {
        let result = self.child.send_rest(signal, except_group);
        for Process { pid, name, .. } in result.iter().flat_map(|rest| &rest.refused) {
            warn!("could not send {signal} to {name} (pid {pid})");
            self.report.not_sent(*pid);
        }
        let is_sent = match result {
            Ok(rest) if !rest.is_sent => false, // each has been named
            result => self.log_sending(signal, result.map(drop)),
        };
        self.report.was_sent(is_sent);
    }

    /// Sends the targets of the stop their signals. If one cannot be sent, the main child is asked.
    fn stop_targets(&mut self) {
        let failed = self.targets.stop(&self.sender());
        let for_main_child = self.targets.leave_to_main_child(&failed).filter(|_| !self.child.is_reaped());
        let so = if for_main_child.is_some() { ", so the main child is asked" } else { "" };
        for Recipient { signal, name, pid, .. } in &failed {
            warn!("could not send {signal} to {name} (pid {pid}){so}");
            self.report.not_sent(*pid);
        }
        self.report.was_sent(failed.is_empty());
        let Some(signal) = for_main_child else { return };
        if self.log_sending(signal, self.child.send(signal, Target::Child)) {
            self.report.asks_main_child(signal);
        }
    }

    /// Whether the signal is a repeated stop request, and the targets of the stop are others than the main child.
    fn is_repeated_request(&self, signal: Signal) -> bool {
        self.shutdown.is_stopping()
            && self.shutdown.rules().stop_on.contains(signal)
            && !self.targets.is_main_child_only()
    }

    /// Sends a signal to a target of the stop. If that is the main child, its pid can be used as long as it is not reaped.
    fn sender(&self) -> impl Fn(&Tracked, Signal) -> bool {
        |tracked, signal| {
            let is_main = tracked.process().pid == self.child.pid() && !self.child.is_reaped();
            let sent = if is_main { self.child.send(signal, Target::Child).is_ok() } else { tracked.send(signal) };
            if sent {
                self.note_sent(signal);
                self.options.style.log(LogEvent::Sent(signal));
            }
            sent
        }
    }

    fn note_sent(&self, signal: Signal) {
        self.sent.set(self.sent.get().with(signal));
    }

    /// Logs it if the main child was ended by a signal that we have never sent.
    fn report_unexpected_death(&self, exit: Exit) {
        let Exit::Signal(signal) = exit else { return };
        let by_terminal = self.options.has_terminal && matches!(signal, Signal::INT | Signal::QUIT | Signal::HUP);
        if by_terminal || self.sent.get().contains(signal) || !self.options.settings.looks_for_server() {
            return;
        }
        let oom_kills = if signal == Signal::KILL { memory::oom_kills() } else { None };
        self.report.unexpected_death(signal, oom_kills.unwrap_or(0));
    }

    /// Returns whether it was sent.
    fn log_sending(&self, signal: Signal, result: io::Result<()>) -> bool {
        if let Err(error) = result {
            warn!("could not send {signal} to the app: {error}");
            return false;
        }
        self.note_sent(signal);
        self.options.style.log(LogEvent::Sent(signal));
        true
    }

    /// Reaps on every wake-up until no child has changed: signals are a set, so one SIGCHLD may stand for many children.
    fn reap(&mut self, now: Moment) {
        // In a stop the rules decide who is sent a signal, and when.
        let exit_signal = self.options.exit_signal.filter(|_| !self.shutdown.is_stopping());
        let reaped = self.child.reap(exit_signal);
        if self.start_failure.is_some() && self.child.is_reaped() {
            // The execve failed, so this process was never the app and its exit is not an event.
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
                    self.options.style.log(LogEvent::Reaped {
                        pid: changed,
                        exit,
                        warn: self.options.settings.warn_on_reap.value,
                    });
                }
                // If the main child has exited since, its pid may belong to another process by now.
                Change::Stopped(_) | Change::Continued if changed != pid || main_exit.is_some() => {}
                Change::Stopped(signal) => self.main_stopped(signal, now),
                Change::Continued => self.handle(Event::MainContinued, now),
            }
        }
        if let Some(exit) = main_exit {
            self.options.style.log(LogEvent::MainExited { pid, exit });
            self.report_unexpected_death(exit);
            self.report.main_exited(exit);
            self.give_terminal_back();
            if let Some(monitor) = &mut self.monitor {
                monitor.take_snapshot(now, &|| self.child.processes(), false); // shows that its connections are closed
            }
            self.check_servers(now); // the main child may have been a server
            self.handle(Event::MainExited { exit, last: reaped.nobody_left }, now);
        } else if reaped.nobody_left {
            self.handle(Event::NobodyLeft, now);
        }
    }

    /// Ctrl-C goes to the foreground group. If the main child's group kept the foreground after its end, it would reach nobody.
    fn give_terminal_back(&self) {
        if self.options.hands_over {
            terminal::take_back_foreground(self.child.pid());
        }
    }

    fn main_stopped(&mut self, signal: Signal, now: Moment) {
        let by_the_terminal = matches!(signal, Signal::TSTP | Signal::TTIN | Signal::TTOU);
        // During a stop the state machine continues the child: a stop must not wait for somebody to type `fg`.
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
