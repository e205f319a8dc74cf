//! Which processes a stop sends which signal. They are looked up once, when the stop begins.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::process::{Process, Target};
use crate::report::Recipient;
use crate::server::{self, Found};
use crate::settings::Settings;
use crate::shutdown::{Rules, StopSignal};
use crate::signal::Signal;
use crate::sys::child::Child;
use crate::sys::search::search;
use crate::sys::sockets::listening;
use crate::sys::tracked::Tracked;

/// The search for the server takes at most this long. A namespace with tens of thousands of processes takes longer.
pub(super) const SEARCH_LIMIT: Duration = Duration::from_millis(500);

/// A process that the stop sends a signal.
#[derive(Debug)]
struct StopTarget {
    process: Tracked,
    signal: Signal,
    /// Whether a rule chose the signal, so that it is never repeated.
    is_mapped: bool,
    /// The servers that this process stops by itself.
    handles: Vec<Process>,
    /// The main child, if this process is another one. The log names it.
    behind: Option<Process>,
}

/// The servers and the targets of a stop. If there are no targets, the main child is sent the signal.
#[derive(Debug, Default)]
pub(super) struct StopTargets {
    servers: Vec<Tracked>,
    targets: Vec<StopTarget>,
}

/// Finds the server among our processes. If nothing in the network namespace listens, it reads no process.
pub(super) fn find(child: &Child, request: Signal, target: Option<Target>, is_late: &dyn Fn() -> bool) -> Found {
    let uncertain = Found { is_uncertain: true, has_listeners: true, ..Found::default() };
    let Some(sockets) = listening() else { return uncertain };
    if sockets.is_empty() {
        return Found::default();
    }
    let Some(search) = child.tree().and_then(|processes| search(processes, &sockets, is_late)) else {
        return uncertain;
    };
    let mut found = server::find(&search.candidates, request, target == Some(Target::Server));
    found.has_listeners = true;
    found.is_uncertain = found.servers.is_empty() && !found.is_nested && search.has_hidden;
    found
}

impl StopTargets {
    /// Decides which process is sent which signal, and puts the signal of the first one into the plan. With the setting
    /// `target` = `child` or `group` there are no targets: the main child or its group is sent the signal.
    pub(super) fn new(found: &Found, settings: &Settings, request: Signal, main: i32, rules: &mut Rules) -> Self {
        let mut targets = Vec::new();
        let main_child = found.ancestors.iter().find(|process| process.pid == main).cloned();
        let of_settings = settings.stop_signal.value;
        for (index, recipient) in found.recipients.iter().enumerate() {
            let is_handler = found.is_nested || !recipient.handles.is_empty();
            let stop_signal = match of_settings {
                _ if is_handler && recipient.stop_signal.is_none() => StopSignal::Received,
                _ if is_handler => StopSignal::Mapped(recipient.stop_signal),
                StopSignal::Mapped(_)
                    if settings.has_auto_profile() || (index > 0 && recipient.stop_signal.is_some()) =>
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
                handles: recipient.handles.clone(),
                behind: main_child.clone().filter(|main| !main.is(&recipient.process)),
                process: Tracked::new(recipient.process.clone()),
            });
        }
        if matches!(settings.target.value, Some(Target::Child | Target::Group)) {
            targets.clear();
        }
        Self { servers: found.servers.iter().cloned().map(Tracked::new).collect(), targets }
    }

    /// Whether only the main child, or its group, is sent the signal.
    pub(super) fn is_main_child_only(&self) -> bool {
        self.targets.is_empty()
    }

    /// Sends each target its stop signal with `send`. Returns the targets that could not be sent it.
    pub(super) fn stop(&self, send: &dyn Fn(&Tracked, Signal) -> bool) -> Vec<Recipient> {
        let failed = self.targets.iter().filter(|target| !send(&target.process, target.signal));
        failed.map(StopTarget::recipient).collect()
    }

    /// Sends a repeated stop request to the targets that were sent the first one unchanged.
    pub(super) fn repeat(&self, signal: Signal, send: &dyn Fn(&Tracked, Signal) -> bool) {
        for target in self.targets.iter().filter(|target| !target.is_mapped && target.signal == signal) {
            let _ = send(&target.process, signal);
        }
    }

    /// The targets, for the log.
    pub(super) fn recipients(&self) -> Vec<Recipient> {
        self.targets.iter().map(StopTarget::recipient).collect()
    }

    /// Forgets the servers that have ended. Returns true once, when the last one has.
    pub(super) fn forget_ended(&mut self) -> bool {
        let had_any = !self.servers.is_empty();
        self.servers.retain(Tracked::is_running);
        had_any && self.servers.is_empty()
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
    fn recipient(&self) -> Recipient {
        let process = self.process.process();
        Recipient {
            signal: self.signal,
            name: process.name.clone(),
            pid: process.pid,
            behind: self.behind.as_ref().map(|main| (main.name.clone(), main.pid)),
            handles: self.handles.iter().map(|server| (server.name.clone(), server.pid)).collect(),
        }
    }
}
