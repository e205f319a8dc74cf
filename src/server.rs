//! Which of our processes is the server, and which process a stop sends which signal. It makes no system call: what /proc and
//! the list of sockets show is its input.
//!
//! The main child is often not the server but a script, `sh -c`, npm, gosu, tini or apachectl that starts it. So the running
//! processes are searched:
//!
//! - The **server** is the topmost process that holds a listening socket. A socket on a public address has precedence over one
//!   on loopback, and that over a Unix socket. If the parent runs the same program (haproxy's master), the parent is the
//!   server. There may be several servers side by side.
//! - The first process, from the main child down to the server, that **handles** the received signal is sent that signal, and
//!   stops the server in its own way. If there is none, the server is sent its own stop signal.

use crate::process::Process;
use crate::profile::{self, Finishes, Profile};
use crate::signal::{Signal, SignalSet};

/// From where a listening socket can be reached. The order is that of importance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// A Unix socket.
    Unix,
    /// TCP on a loopback address.
    Loopback,
    /// TCP on any other address.
    Public,
}

/// One of our processes, as it was when the stop began.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The process.
    pub process: Process,
    /// Its command line (`/proc/PID/cmdline`), which a process can overwrite.
    pub command: Vec<String>,
    /// The signals that it catches.
    pub caught: SignalSet,
    /// The signals that it blocks.
    pub blocked: SignalSet,
    /// The most important socket on which it listens, if it does.
    pub listens: Option<Reach>,
}

impl Candidate {
    /// Whether the process catches or blocks the signal, so that the signal does not simply end it.
    fn catches_or_blocks(&self, signal: Signal) -> bool {
        self.caught.contains(signal) || self.blocked.contains(signal)
    }

    /// Whether it stops its children by itself on this signal. A process that the signal would simply end does not. npm and its
    /// like catch signals and pass none on, and inits pass every signal on: neither counts. A shell that waits for a command
    /// catches SIGINT by itself; if it catches another signal, its script has a trap.
    fn handles(&self, signal: Signal) -> bool {
        if profile::is_looked_through(&self.command, &self.process.name) {
            return false;
        }
        if profile::is_shell(&self.command, &self.process.name) {
            // With a trap on EXIT bash catches every signal that would end it, so that proves nothing about this one.
            let has_exit_trap = self.caught.contains(Signal::ALRM) && self.caught.contains(Signal::XCPU);
            return signal != Signal::INT && !has_exit_trap && self.caught.contains(signal);
        }
        self.catches_or_blocks(signal)
    }

    /// The process under its profile's name if it runs in an interpreter: `gunicorn` in the log says more than `python3`.
    fn named(&self) -> Process {
        let known = self.profile().filter(|_| profile::is_interpreter(&self.process.name));
        let name = known.map_or_else(|| self.process.name.clone(), |profile| profile.name.to_owned());
        Process { name, ..self.process.clone() }
    }

    fn profile(&self) -> Option<&'static Profile> {
        Profile::of_process(&self.command, &self.process.name)
    }

    fn stop_signal(&self) -> Option<Signal> {
        self.profile().map(|profile| profile.stop_signal)
    }

    /// Whether both run the same program: a master and its worker.
    fn is_same_program(&self, other: &Self) -> bool {
        match (self.profile(), other.profile()) {
            (Some(one), Some(other)) => one == other,
            (None, None) => self.process.name == other.process.name && self.command == other.command,
            _ => false,
        }
    }
}

/// A process that is sent a signal in a stop.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// The process.
    pub process: Process,
    /// Its profile. Without one it is sent the signal that was received.
    pub profile: Option<&'static Profile>,
    /// The servers that it stops by itself on this signal, and the stop signal of each one's profile.
    pub handles: Vec<(Process, Option<Signal>)>,
}

impl Recipient {
    /// The stop signal of its profile.
    #[must_use]
    pub fn stop_signal(&self) -> Option<Signal> {
        self.profile.map(|profile| profile.stop_signal)
    }
}

/// Which processes are sent a signal, and what is known of the server.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The servers, the one with the most important socket first.
    pub servers: Vec<Process>,
    /// The profile of the first server.
    pub profile: Option<&'static Profile>,
    /// Whether the first server can finish what is under way, as far as is known.
    pub finishes: Finishes,
    /// The processes that are sent a signal. Empty: only the main child is.
    pub recipients: Vec<Recipient>,
    /// The processes above the servers.
    pub ancestors: Vec<Process>,
    /// Whether no server was found, but a process that hides its descriptors may be one.
    pub is_uncertain: bool,
    /// Whether a softstop stands before every server, so that everything is left to it at once.
    pub is_nested: bool,
}

/// Finds the servers among `candidates`, the main child and its descendants, parents before children. `request` is the signal
/// received. With `bypass`, a server is sent its signal even if a process above it handles the request.
#[must_use]
pub fn find(candidates: &[Candidate], request: Signal, bypass: bool) -> Found {
    let tree = Tree(candidates);
    let mut found = Found::default();
    let mut servers: Vec<(&Candidate, Reach)> = Vec::new();
    for (listener, reach) in tree.listeners() {
        let server = tree.master_of(listener);
        match servers.iter_mut().find(|(known, _)| known.process.is(&server.process)) {
            Some((_, known)) => *known = reach.max(*known),
            None => servers.push((server, reach)),
        }
    }
    servers.sort_by_key(|(_, reach)| std::cmp::Reverse(*reach));
    for (server, _) in &servers {
        let handler = tree.ancestors(server).into_iter().rev().find(|ancestor| ancestor.handles(request));
        match handler.filter(|_| !bypass) {
            Some(handler) => match found.recipients.iter_mut().find(|other| other.process.is(&handler.process)) {
                Some(known) => known.handles.push((server.named(), server.stop_signal())),
                None => found.recipients.push(Recipient {
                    process: handler.named(),
                    // Some supervisors have a stop signal of their own (runsvdir).
                    profile: handler.profile(),
                    handles: vec![(server.named(), server.stop_signal())],
                }),
            },
            None => found.recipients.push(Recipient {
                process: server.named(),
                profile: server.profile(),
                handles: Vec::new(),
            }),
        }
    }
    found.ancestors =
        servers.iter().flat_map(|(server, _)| tree.ancestors(server)).map(|one| one.process.clone()).collect();
    if let Some((first, _)) = servers.first() {
        found.profile = first.profile();
        found.finishes = match found.profile {
            Some(profile) => profile.finishes,
            // This is no proof: the runtimes of Go, Node.js and Java catch it even if the application does not.
            None if first.catches_or_blocks(request) => Finishes::Yes,
            None => Finishes::No,
        };
    }
    found.servers = servers.into_iter().map(|(server, _)| server.named()).collect();
    found
}

struct Tree<'a>(&'a [Candidate]);

impl<'a> Tree<'a> {
    fn parent(&self, candidate: &Candidate) -> Option<&'a Candidate> {
        self.0.iter().find(|other| other.process.pid == candidate.process.parent)
    }

    /// The parent, its parent, and so on up to the main child.
    fn ancestors(&self, candidate: &Candidate) -> Vec<&'a Candidate> {
        let mut ancestors = Vec::new();
        let mut next = self.parent(candidate);
        // A tree that changed while it was read may have a cycle, so the walk is bounded.
        while let Some(ancestor) = next.filter(|_| ancestors.len() < self.0.len()) {
            ancestors.push(ancestor);
            next = self.parent(ancestor);
        }
        ancestors
    }

    /// The processes that listen, except those with an ancestor whose socket is at least as important, and those with a
    /// descendant whose socket is more important.
    fn listeners(&self) -> Vec<(&'a Candidate, Reach)> {
        let all: Vec<(&Candidate, Reach)> = self.0.iter().filter_map(|one| Some((one, one.listens?))).collect();
        let is_below = |low: &Candidate, high: &Candidate| {
            self.ancestors(low).iter().any(|ancestor| ancestor.process.is(&high.process))
        };
        let is_server = |&(one, reach): &(&'a Candidate, Reach)| {
            !all.iter().any(|&(other, others)| {
                (is_below(one, other) && others >= reach) || (is_below(other, one) && others > reach)
            })
        };
        all.iter().copied().filter(is_server).collect()
    }

    /// The topmost of the ancestors that run the same program, or else the process itself.
    fn master_of(&self, listener: &'a Candidate) -> &'a Candidate {
        let mut server = listener;
        while let Some(parent) = self.parent(server).filter(|parent| parent.is_same_program(server)) {
            server = parent;
        }
        server
    }
}
