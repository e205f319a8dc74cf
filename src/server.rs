//! Who is asked to stop: which of our processes is the server, and which process is sent which signal. It asks no operating
//! system: what /proc and the list of sockets show goes in.
//!
//! People start servers behind scripts, `sh -c`, npm, gosu, tini, apachectl. What counts is what runs:
//!
//! - The **server** is the topmost process that holds a listening socket: one on a public address before one on loopback before
//!   a Unix socket. If its parent runs the same program (haproxy's master), that is the server. Several side by side are all
//!   servers.
//! - From the main child down to the server, the first process that **handles** the received signal is sent that signal, and
//!   stops the server in its own way. If there is none the server itself is sent its own stop signal.

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
    /// Its command line (`/proc/PID/cmdline`). It may have changed it.
    pub command: Vec<String>,
    /// The signals that it catches.
    pub caught: SignalSet,
    /// The signals that it blocks.
    pub blocked: SignalSet,
    /// The most important socket on which it listens, if it does.
    pub listens: Option<Reach>,
}

impl Candidate {
    /// Whether the signal would do something else than end it, as far as its masks tell.
    fn takes(&self, signal: Signal) -> bool {
        self.caught.contains(signal) || self.blocked.contains(signal)
    }

    /// Whether it stops its children by itself on this signal. A shell that waits for a command catches SIGINT for itself, so only
    /// another signal shows that its script has a trap. npm and its like catch signals and pass nothing on, and inits pass
    /// everything on: neither counts. A process that would merely end does not handle the signal.
    fn handles(&self, signal: Signal) -> bool {
        if profile::is_looked_through(&self.command, &self.process.name) {
            return false;
        }
        if profile::is_shell(&self.command, &self.process.name) {
            // With a trap on EXIT bash catches every signal that would end it, so that proves nothing about this one.
            let has_exit_trap = self.caught.contains(Signal::ALRM) && self.caught.contains(Signal::XCPU);
            return signal != Signal::INT && !has_exit_trap && self.caught.contains(signal);
        }
        self.takes(signal)
    }

    /// Whether it is an init of our own kind, which does all of this for its children: it blocks every signal.
    fn is_softstop(&self) -> bool {
        self.process.name == "softstop"
            && Signal::all().filter(|signal| signal.is_catchable()).all(|s| self.blocked.contains(s))
    }

    /// The process, with the name by which people know it: an interpreter's own name says little.
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
    /// The stop signal of its profile. `None`: it is sent the signal that was received.
    pub stop_signal: Option<Signal>,
    /// If it handles the signal for others: the servers that are left to it, and the stop signal of each one's profile.
    pub handles: Vec<(Process, Option<Signal>)>,
}

/// Who is asked to stop, and what is known of the server.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The servers, the one with the most important socket first.
    pub servers: Vec<Process>,
    /// The profile of the first server.
    pub profile: Option<&'static Profile>,
    /// Whether the first server can finish what is under way, as far as is known.
    pub finishes: Finishes,
    /// Who is sent a signal. Empty: the main child alone.
    pub recipients: Vec<Recipient>,
    /// The processes above the servers.
    pub ancestors: Vec<Process>,
    /// Whether a process hides its descriptors and nothing else tells who the server is.
    pub is_uncertain: bool,
    /// Whether anything listens in the network namespace, of whatever process, as far as is known.
    pub has_listeners: bool,
    /// Whether a softstop stands before every server, so that everything is left to it at once.
    pub is_nested: bool,
}

/// Finds the servers among `candidates`, the main child and its descendants, parents before children. `request` is the signal
/// signal that would be sent to a process that handles it; with `bypass` nobody between the main child and a server is asked in its place.
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
                    stop_signal: handler.stop_signal(),
                    handles: vec![(server.named(), server.stop_signal())],
                }),
            },
            None => found.recipients.push(Recipient {
                process: server.named(),
                stop_signal: server.stop_signal(),
                handles: Vec::new(),
            }),
        }
    }
    // A softstop between us and every server does all of this itself.
    let is_softstop = |recipient: &Recipient| {
        candidates.iter().any(|candidate| candidate.process.is(&recipient.process) && candidate.is_softstop())
    };
    found.is_nested = matches!(&found.recipients[..], [only] if is_softstop(only));
    found.ancestors =
        servers.iter().flat_map(|(server, _)| tree.ancestors(server)).map(|one| one.process.clone()).collect();
    if let Some((first, _)) = servers.first() {
        found.profile = first.profile();
        found.finishes = match found.profile {
            Some(profile) => profile.finishes,
            // A signal that is caught proves nothing: Go, node and the JVM always catch it.
            None if first.takes(request) => Finishes::Yes,
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
        // The bound is for a tree that changed while it was read, which might have a circle.
        while let Some(ancestor) = next.filter(|_| ancestors.len() < self.0.len()) {
            ancestors.push(ancestor);
            next = self.parent(ancestor);
        }
        ancestors
    }

    /// The processes that listen, without those below another one that listens on a socket as important, and without those above
    /// one that listens on a more important one.
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

    /// The topmost process above that runs the same program, or the process itself.
    fn master_of(&self, listener: &'a Candidate) -> &'a Candidate {
        let mut server = listener;
        while let Some(parent) = self.parent(server).filter(|parent| parent.is_same_program(server)) {
            server = parent;
        }
        server
    }
}
