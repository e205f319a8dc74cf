//! Which processes a stop sends which signal. They are looked up when the stop begins, and again if the last server ends before
//! its stop signal.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::process::{Process, Target};
use crate::profile;
use crate::report::Recipient;
use crate::server::{self, Found};
use crate::settings::Settings;
use crate::shutdown::{Moment, Rules, StopSignal};
use crate::signal::Signal;
use crate::sys::child::Child;
use crate::sys::procfs;
use crate::sys::search::{self, search};
use crate::sys::sockets::listening;
use crate::sys::tracked::Tracked;

/// The search for the server takes at most this long. A namespace with tens of thousands of processes takes longer.
pub(super) const SEARCH_LIMIT: Duration = Duration::from_millis(500);

/// A server whose handler has exited has this long to close its listener: then the signal was passed on to it.
const HANDLER_WAIT: Duration = Duration::from_secs(2);

/// A process that the stop sends a signal.
#[derive(Debug)]
struct StopTarget {
    process: Tracked,
    /// Its name, its signal and the servers that are left to it, as the log names them.
    recipient: Recipient,
    /// Whether a rule chose the signal, so that it is never repeated.
    is_mapped: bool,
}

/// A process to which servers are left.
#[derive(Debug)]
struct Handler {
    process: Tracked,
    /// The servers, and what each is sent if the handler abandons it.
    servers: Vec<(Process, Signal)>,
    /// When it was seen to have exited.
    exited: Option<Moment>,
}

/// The servers and the targets of a stop. If there are no targets, the main child is sent the signal.
#[derive(Debug, Default)]
pub(super) struct StopTargets {
    /// The servers, and the targets that are to stop them.
    servers: Vec<Tracked>,
    targets: Vec<StopTarget>,
    handlers: Vec<Handler>,
    /// Whether the targets were sent their signals.
    is_sent: bool,
    /// What the main child is sent if the targets cannot be sent theirs.
    for_main_child: Option<Signal>,
    /// The pids of the processes that could not be told to stop.
    unreachable: Vec<i32>,
}

/// Finds the server among our processes. If nothing in the network namespace listens, it reads no process.
pub(super) fn find(child: &Child, request: Signal, target: Option<Target>, is_late: &dyn Fn() -> bool) -> Found {
    let uncertain = Found { is_uncertain: true, ..Found::default() };
    let Some(sockets) = listening() else { return uncertain };
    if sockets.is_empty() {
        return Found { is_nested: search::is_softstop(child.pid()), ..Found::default() };
    }
    let Some(search) = child.tree().and_then(|processes| search(processes, &sockets, is_late)) else {
        return uncertain;
    };
    let mut found = server::find(&search.candidates, request, target == Some(Target::Server));
    // A softstop between us and every server does all of this itself.
    found.is_nested = match &found.recipients[..] {
        [] => search::is_softstop(child.pid()),
        [only] => search::is_softstop(only.process.pid),
        _ => false,
    };
    found.is_uncertain =
        found.servers.is_empty() && !found.is_nested && (search.has_hidden || procfs::hides_a_child(child.pid()));
    found
}

/// Whether a process holds a listening socket, or hides what it holds.
fn may_listen(server: &Tracked) -> bool {
    let sockets = listening().unwrap_or_default();
    server.holds_or_hides(&|inode| sockets.iter().any(|socket| socket.inode == inode))
}

/// What a process that stops servers by itself is sent: what a person set as it was set, the stop signal of its own profile, or
/// else the request itself.
fn of_handler(of_settings: StopSignal, own: Option<Signal>, is_rewritten: bool) -> StopSignal {
    match of_settings {
        StopSignal::Mapped(_) if own.is_none() && !is_rewritten => StopSignal::Received,
        StopSignal::Mapped(_) => StopSignal::Mapped(own),
        chosen => chosen,
    }
}

/// What the main child is sent with `target = "child"` if it stands above the servers. What an init is sent is for the process
/// below it.
fn of_main_child(found: &Found, main: &Process, of_settings: StopSignal, is_rewritten: bool) -> StopSignal {
    let recipient = if profile::is_init(&procfs::command(main.pid), &main.name) {
        found.recipients.first()
    } else {
        found.recipients.iter().find(|recipient| recipient.process.is(main))
    };
    match recipient {
        // The settings have been adapted to the server.
        Some(server) if server.handles.is_empty() => of_settings,
        handler => of_handler(of_settings, handler.and_then(server::Recipient::stop_signal), is_rewritten),
    }
}

impl StopTargets {
    /// Decides which process is sent which signal, and puts the signal of the first one into the plan. With the setting
    /// `target` = `child` or `group` there are no targets: the main child or its group is sent the signal.
    pub(super) fn new(found: &Found, settings: &Settings, request: Signal, main: i32, rules: &mut Rules) -> Self {
        let is_rewritten = rules.rewrite.get(request).is_some();
        let main_child = found.ancestors.iter().find(|process| process.pid == main);
        let of_settings = settings.stop_signal.value;
        // What the servers are sent if nobody stops them.
        let with_signals = |servers: &[(Process, Option<Signal>)], rules: &Rules| -> Vec<(Process, Signal)> {
            let own = |of_profile: Option<Signal>| match of_settings {
                StopSignal::Mapped(_) if settings.has_auto_profile() => StopSignal::Mapped(of_profile),
                chosen => chosen,
            };
            servers.iter().map(|(server, signal)| (server.clone(), rules.resolve(own(*signal), request).0)).collect()
        };
        let mut new = Self { servers: found.servers.iter().cloned().map(Tracked::new).collect(), ..Self::default() };
        if settings.target.value == Some(Target::Child) {
            if let Some(main) = main_child {
                rules.plan.replace_stop_signal(of_main_child(found, main, of_settings, is_rewritten));
            }
        }
        if matches!(settings.target.value, Some(Target::Child | Target::Group)) {
            // The main child is asked, and the servers are left to it. The members of its group are asked with it.
            let is_asked = |server: &Process| settings.target.value == Some(Target::Group) && server.group == main;
            let servers = found.recipients.iter().flat_map(|recipient| {
                let itself = (recipient.process.clone(), recipient.stop_signal());
                if recipient.handles.is_empty() { vec![itself] } else { recipient.handles.clone() }
            });
            let servers: Vec<_> = servers.filter(|(server, _)| !is_asked(server)).collect();
            new.handlers.extend(main_child.map(|main| Handler::new(main, with_signals(&servers, rules))));
            return new;
        }
        if found.recipients.iter().all(|recipient| recipient.process.pid != main) {
            new.for_main_child = Some(rules.resolve(of_handler(of_settings, None, is_rewritten), request).0);
        }
        for (index, recipient) in found.recipients.iter().enumerate() {
            let server::Recipient { process, handles, .. } = recipient;
            let own = recipient.stop_signal();
            let is_handler = found.is_nested || !handles.is_empty();
            let stop_signal = match of_settings {
                _ if is_handler => of_handler(of_settings, own, is_rewritten),
                // The settings have been adapted to the first server.
                StopSignal::Mapped(_) if index > 0 && (settings.has_auto_profile() || own.is_some()) => {
                    StopSignal::Mapped(own)
                }
                chosen => chosen,
            };
            if index == 0 {
                rules.plan.replace_stop_signal(stop_signal);
            }
            let (signal, is_mapped) = rules.resolve(stop_signal, request);
            let named = |process: &Process| (process.name.clone(), process.pid);
            new.targets.push(StopTarget {
                process: Tracked::new(process.clone()),
                recipient: Recipient {
                    signal,
                    name: process.name.clone(),
                    pid: process.pid,
                    behind: main_child.filter(|main| !main.is(process)).map(named),
                    handles: handles.iter().map(|(server, _)| named(server)).collect(),
                },
                is_mapped,
            });
            if !handles.is_empty() {
                // It is waited for as the server is: it may have other children to wait for.
                new.servers.push(Tracked::new(process.clone()));
                new.handlers.push(Handler::new(process, with_signals(handles, rules)));
            }
        }
        new
    }

    /// Whether only the main child, or its group, is sent the signal.
    pub(super) fn is_main_child_only(&self) -> bool {
        self.targets.is_empty()
    }

    /// Sends each target its stop signal with `send`. Returns the targets that could not be sent it.
    pub(super) fn stop(&self, send: &dyn Fn(&Tracked, Signal) -> bool) -> Vec<Recipient> {
        let failed = self.targets.iter().filter(|target| !send(&target.process, target.recipient.signal));
        failed.map(|target| target.recipient.clone()).collect()
    }

    /// Leaves these targets, and the servers that they were to stop, to the main child. Returns what that must be sent; `None`:
    /// nothing, because no target has failed, or it is a target itself.
    pub(super) fn leave_to_main_child(&mut self, failed: &[Recipient]) -> Option<Signal> {
        let servers = failed.iter().flat_map(|recipient| &recipient.handles).map(|(_, pid)| *pid);
        self.unreachable = failed.iter().map(|recipient| recipient.pid).chain(servers).collect();
        self.for_main_child.filter(|_| !failed.is_empty())
    }

    /// Sends the first target one more signal.
    pub(super) fn send_to_first(&self, signal: Signal, send: &dyn Fn(&Tracked, Signal) -> bool) {
        if let Some(first) = self.targets.first() {
            let _ = send(&first.process, signal);
        }
    }

    /// Sends a repeated stop request to the targets that were sent the first one unchanged.
    pub(super) fn repeat(&self, signal: Signal, send: &dyn Fn(&Tracked, Signal) -> bool) {
        for target in self.targets.iter().filter(|target| !target.is_mapped && target.recipient.signal == signal) {
            let _ = send(&target.process, signal);
        }
    }

    /// Servers that a process was to stop which has exited, and that still listen after [`HANDLER_WAIT`]: it has not passed the
    /// signal on. Each is returned once, with the name of that process and the server's own stop signal.
    pub(super) fn take_abandoned(&mut self, now: Moment) -> Vec<(String, Tracked, Signal)> {
        let mut abandoned = Vec::new();
        if !self.is_sent {
            return abandoned;
        }
        for handler in self.handlers.iter_mut().filter(|handler| !handler.servers.is_empty()) {
            if handler.process.is_running() || now < handler.exited.get_or_insert(now).saturating_add(HANDLER_WAIT) {
                continue;
            }
            for (server, signal) in handler.servers.drain(..) {
                let server = Tracked::new(server);
                if server.is_running() && may_listen(&server) {
                    abandoned.push((handler.process.process().name.clone(), server, signal));
                }
            }
        }
        abandoned
    }

    /// Whether [`Self::take_abandoned`] must be called again though nothing happens.
    pub(super) fn watches_handlers(&self) -> bool {
        self.handlers.iter().any(|handler| handler.exited.is_some() && !handler.servers.is_empty())
    }

    /// The targets, for the log.
    pub(super) fn recipients(&self) -> Vec<Recipient> {
        self.targets.iter().map(|target| target.recipient.clone()).collect()
    }

    /// Forgets servers that have ended, and with the main child's exit those that we could not send a signal. Returns whether
    /// the last one is forgotten; `None`: none is.
    pub(super) fn forget_ended(&mut self, has_main_child: bool) -> Option<bool> {
        let before = self.servers.len();
        let unreachable = |server: &Tracked| self.unreachable.contains(&server.process().pid);
        self.servers.retain(|server| server.is_running() && (has_main_child || !unreachable(server)));
        (self.servers.len() < before).then_some(self.servers.is_empty())
    }

    /// Notes that the stop signal was sent, to the main child if there are no targets.
    pub(super) fn note_sent(&mut self) {
        self.is_sent = true;
    }

    /// Whether the stop signal was sent.
    pub(super) fn is_sent(&self) -> bool {
        self.is_sent
    }

    /// The first server that still runs.
    pub(super) fn first_server(&self) -> Option<&Process> {
        self.servers.first().map(Tracked::process)
    }

    /// Whether no descriptor reports the end of one of the servers.
    pub(super) fn needs_polling(&self) -> bool {
        self.servers.iter().any(|server| server.descriptor().is_none())
    }

    /// The descriptors that become readable when a server ends.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.servers.iter().filter_map(Tracked::descriptor)
    }
}

impl Handler {
    fn new(process: &Process, servers: Vec<(Process, Signal)>) -> Self {
        Self { process: Tracked::new(process.clone()), servers, exited: None }
    }
}
