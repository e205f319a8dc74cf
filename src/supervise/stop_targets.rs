//! Which processes a stop sends which signal. They are looked up once, when the stop begins.

use std::cell::Cell;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::process::{Process, Target};
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
    signal: Signal,
    /// Whether a rule chose the signal, so that it is never repeated.
    is_mapped: bool,
    /// The servers that this process stops by itself, and what each would be sent otherwise.
    handles: Vec<(Process, Signal)>,
    /// The main child, if this process is another one. The log names it.
    behind: Option<Process>,
}

/// A process to which servers are left.
#[derive(Debug)]
struct Handler {
    process: Tracked,
    /// The servers, and what each is sent if the handler abandons it.
    handles: Vec<(Process, Signal)>,
    /// When it was seen to have exited.
    exited: Option<Moment>,
}

/// The servers and the targets of a stop. If there are no targets, the main child is sent the signal.
#[derive(Debug, Default)]
pub(super) struct StopTargets {
    /// The servers, and those who are to stop them.
    servers: Vec<Tracked>,
    targets: Vec<StopTarget>,
    handlers: Vec<Handler>,
    /// Whether the targets were sent their signals.
    is_sent: Cell<bool>,
    /// The pids of servers that could not be told to stop.
    unreachable: Vec<i32>,
}

/// Finds the server among our processes. If nothing in the network namespace listens, it reads no process.
pub(super) fn find(child: &Child, request: Signal, target: Option<Target>, is_late: &dyn Fn() -> bool) -> Found {
    let uncertain = Found { is_uncertain: true, has_listeners: true, ..Found::default() };
    let Some(sockets) = listening() else { return uncertain };
    if sockets.is_empty() {
        return Found { is_nested: search::is_softstop(child.pid()), ..Found::default() };
    }
    let Some(search) = child.tree().and_then(|processes| search(processes, &sockets, is_late)) else {
        return uncertain;
    };
    let mut found = server::find(&search.candidates, request, target == Some(Target::Server));
    found.has_listeners = true;
    if found.servers.is_empty() {
        found.is_nested = search::is_softstop(child.pid());
        found.is_uncertain = !found.is_nested && (search.has_hidden || procfs::hides_a_child(child.pid()));
    }
    found
}

/// Whether a process holds a listening socket, or hides what it holds.
fn may_listen(server: &Tracked) -> bool {
    let sockets = listening().unwrap_or_default();
    server.holds_or_hides(&|inode| sockets.iter().any(|socket| socket.inode == inode))
}

impl StopTargets {
    /// Decides which process is sent which signal, and puts the signal of the first one into the plan. With the setting
    /// `target` = `child` or `group` there are no targets: the main child or its group is sent the signal.
    pub(super) fn new(found: &Found, settings: &Settings, request: Signal, main: i32, rules: &mut Rules) -> Self {
        let mut targets = Vec::new();
        let is_rewritten = rules.rewrite.contains_key(&request);
        let main_child = found.ancestors.iter().find(|process| process.pid == main).cloned();
        let of_settings = settings.stop_signal.value;
        // What a server is sent that nobody handles the signal for.
        let own = |of_profile: Option<Signal>| match of_settings {
            StopSignal::Mapped(_) if settings.has_auto_profile() => StopSignal::Mapped(of_profile),
            chosen => chosen,
        };
        for (index, recipient) in found.recipients.iter().enumerate() {
            let is_handler = found.is_nested || !recipient.handles.is_empty();
            let stop_signal = match of_settings {
                // What a person set is sent as it was set.
                StopSignal::Mapped(_) if is_handler && recipient.stop_signal.is_none() && !is_rewritten => {
                    StopSignal::Received
                }
                StopSignal::Mapped(_) if is_handler => StopSignal::Mapped(recipient.stop_signal),
                // The settings have been adapted to the first server.
                StopSignal::Mapped(_)
                    if index > 0 && (settings.has_auto_profile() || recipient.stop_signal.is_some()) =>
                {
                    StopSignal::Mapped(recipient.stop_signal)
                }
                chosen => chosen,
            };
            if index == 0 && !matches!(settings.target.value, Some(Target::Child | Target::Group)) {
                rules.plan.replace_stop_signal(stop_signal);
            }
            let (signal, is_mapped) = rules.resolve(stop_signal, request);
            targets.push(StopTarget {
                signal,
                is_mapped,
                handles: recipient
                    .handles
                    .iter()
                    .map(|(server, signal)| (server.clone(), rules.resolve(own(*signal), request).0))
                    .collect(),
                behind: main_child.clone().filter(|main| !main.is(&recipient.process)),
                process: Tracked::new(recipient.process.clone()),
            });
        }
        let mut left_to_main = Vec::new();
        if matches!(settings.target.value, Some(Target::Child | Target::Group)) {
            // The main child is asked, and the servers are left to it.
            let all = found.recipients.iter().flat_map(|recipient| {
                let itself = (recipient.process.clone(), recipient.stop_signal);
                if recipient.handles.is_empty() { vec![itself] } else { recipient.handles.clone() }
            });
            left_to_main = all.map(|(server, signal)| (server, rules.resolve(own(signal), request).0)).collect();
            targets.clear();
        }
        // Who was asked to stop a server is waited for as the server is: it may have other children to wait for.
        let handlers = found.recipients.iter().filter(|recipient| !recipient.handles.is_empty());
        let handlers = handlers.map(|recipient| &recipient.process).filter(|_| !targets.is_empty());
        let servers = found.servers.iter().chain(handlers).cloned().map(Tracked::new).collect();
        let handlers = targets.iter_mut().filter(|target| !target.handles.is_empty());
        let mut handlers: Vec<Handler> = handlers
            .map(|target| Handler {
                process: Tracked::new(target.process.process().clone()),
                handles: target.handles.clone(),
                exited: None,
            })
            .collect();
        if let Some(main) = main_child.filter(|_| !left_to_main.is_empty()) {
            handlers.push(Handler { process: Tracked::new(main), handles: left_to_main, exited: None });
        }
        Self { servers, targets, handlers, unreachable: Vec::new(), is_sent: Cell::new(false) }
    }

    /// Whether only the main child, or its group, is sent the signal.
    pub(super) fn is_main_child_only(&self) -> bool {
        self.targets.is_empty()
    }

    /// Sends each target its stop signal with `send`. Returns the targets that could not be sent it; their servers are left to
    /// the main child.
    pub(super) fn stop(&mut self, send: &dyn Fn(&Tracked, Signal) -> bool) -> Vec<Recipient> {
        let failed: Vec<&StopTarget> =
            self.targets.iter().filter(|target| !send(&target.process, target.signal)).collect();
        self.unreachable = failed.iter().flat_map(|target| target.processes()).map(|process| process.pid).collect();
        failed.into_iter().map(StopTarget::recipient).collect()
    }

    /// Sends the first target one more signal.
    pub(super) fn send_to_first(&self, signal: Signal, send: &dyn Fn(&Tracked, Signal) -> bool) {
        if let Some(first) = self.targets.first() {
            let _ = send(&first.process, signal);
        }
    }

    /// Sends a repeated stop request to the targets that were sent the first one unchanged.
    pub(super) fn repeat(&self, signal: Signal, send: &dyn Fn(&Tracked, Signal) -> bool) {
        for target in self.targets.iter().filter(|target| !target.is_mapped && target.signal == signal) {
            let _ = send(&target.process, signal);
        }
    }

    /// Servers that a process was to stop which has exited, and that still listen after [`HANDLER_WAIT`]: it has not passed the
    /// signal on. Each is returned once, with the name of that process and the server's own stop signal.
    pub(super) fn take_abandoned(&mut self, now: Moment) -> Vec<(String, Tracked, Signal)> {
        let mut abandoned = Vec::new();
        if !self.is_sent.get() {
            return abandoned;
        }
        for handler in self.handlers.iter_mut().filter(|handler| !handler.handles.is_empty()) {
            if handler.process.is_running() || now < handler.exited.get_or_insert(now).saturating_add(HANDLER_WAIT) {
                continue;
            }
            for (server, signal) in handler.handles.drain(..) {
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
        self.handlers.iter().any(|handler| handler.exited.is_some() && !handler.handles.is_empty())
    }

    /// The targets, for the log.
    pub(super) fn recipients(&self) -> Vec<Recipient> {
        self.targets.iter().map(StopTarget::recipient).collect()
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
    pub(super) fn note_sent(&self) {
        self.is_sent.set(true);
    }

    /// Whether the stop signal was sent.
    pub(super) fn is_sent(&self) -> bool {
        self.is_sent.get()
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

impl StopTarget {
    /// The process itself, and the servers that are left to it.
    fn processes(&self) -> impl Iterator<Item = &Process> {
        self.handles.iter().map(|(server, _)| server).chain([self.process.process()])
    }

    fn recipient(&self) -> Recipient {
        let process = self.process.process();
        Recipient {
            signal: self.signal,
            name: process.name.clone(),
            pid: process.pid,
            behind: self.behind.as_ref().map(|main| (main.name.clone(), main.pid)),
            handles: self.handles.iter().map(|(server, _)| (server.name.clone(), server.pid)).collect(),
        }
    }
}
