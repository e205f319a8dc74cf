//! What the sockets of one look come to, beside those of the look before. Pure.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Look;
use super::socket::{Flow, Socket, State};
use crate::network::Network;

/// What is watched.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    /// In order.
    pub(super) ports: Vec<u16>,
    /// Where somebody else listens on one of these ports, on an address of his own.
    pub(super) elsewhere: Vec<SocketAddr>,
    pub(super) ignore: Vec<Network>,
}

impl Scope {
    pub(super) fn watches(&self, local: SocketAddr) -> bool {
        self.ports.binary_search(&local.port()).is_ok() && !self.elsewhere.contains(&local)
    }

    pub(super) fn ignores(&self, peer: IpAddr) -> bool {
        self.ignore.iter().any(|network| network.contains(peer))
    }
}

/// What stays of a connection between two looks: 16 bytes.
#[derive(Clone, Copy, Debug)]
struct Trace {
    id: u64,
    incoming: u16,
    outgoing: u16,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// A connection to a watched port.
    Ours,
    /// The client's end of one, in TIME-WAIT in our namespace, because the client closed first: the server's is gone.
    Mirror,
    /// One to another listener, or from a peer that is ignored.
    Other,
}

/// What the looks so far have shown.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// In the last look, by `id`.
    now: Vec<Trace>,
    /// Not in the last look any more, in order. Where the kernel tells of each end they stay until it has, for a socket
    /// may be off the list before its app closes it; else for one look, for a list that changes meanwhile may lack one.
    before: Vec<u64>,
}

impl Known {
    fn find(&self, id: u64) -> Option<&Trace> {
        self.now.binary_search_by_key(&id, |trace| trace.id).ok().and_then(|index| self.now.get(index))
    }

    fn has(&self, id: u64) -> bool {
        self.find(id).is_some() || self.before.binary_search(&id).is_ok()
    }
}

/// How wide the list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// The watched ports alone, because the kernel also tells of each connection that ends.
    Watched,
    /// Every socket, those in TIME-WAIT too: what they leave behind tells one port's short connections from another's.
    All,
}

/// A look in the making.
#[derive(Debug)]
pub(super) struct Tally<'a> {
    scope: &'a Scope,
    /// `None`: the first look, to which nothing is new.
    known: Option<&'a Known>,
    width: Width,
    /// The public ports that somebody else listens on.
    pub(super) others: Vec<u16>,
    traces: Vec<Trace>,
    before: Vec<u64>,
    ended: Vec<u64>,
    pub(super) look: Look,
    /// Connections that the namespace has accepted since the last look and that were seen.
    pub(super) explained: u64,
}

impl<'a> Tally<'a> {
    pub(super) fn new(scope: &'a Scope, known: Option<&'a Known>, width: Width, others: Vec<u16>) -> Self {
        let traces = Vec::with_capacity(known.map_or(0, |known| known.now.len()));
        Self {
            scope,
            known,
            width,
            others,
            traces,
            before: Vec::new(),
            ended: Vec::new(),
            look: Look::default(),
            explained: 0,
        }
    }

    /// Takes a socket of the list.
    pub(super) fn see(&mut self, socket: &Socket) {
        match socket.state {
            State::Listen => self.see_listener(socket),
            State::SynSent | State::Closed => {}
            // It is known from its end.
            State::TimeWait if self.width == Width::Watched => {}
            _ => self.see_connection(socket),
        }
    }

    fn see_listener(&mut self, socket: &Socket) {
        let port = socket.local.port();
        let list = if self.scope.watches(socket.local) {
            &mut self.look.listening
        } else if socket.local.ip().is_loopback() {
            // Reached from within only: each connection to it shows at its client's end too.
            return;
        } else {
            &mut self.others
        };
        if !list.contains(&port) {
            list.push(port);
        }
    }

    fn see_connection(&mut self, socket: &Socket) {
        let Some((kind, id, peer)) = self.place(socket) else { return };
        if socket.state == State::SynReceived {
            self.look.half_open += u64::from(kind == Kind::Ours);
            return;
        }
        let (incoming, outgoing) = match socket.flow {
            Flow::Marked { incoming, outgoing } if kind == Kind::Ours => (incoming, outgoing),
            Flow::Marked { .. } | Flow::Told(_) | Flow::Forgotten => (0, 0),
        };
        self.traces.push(Trace { id, incoming, outgoing, kind });
        match kind {
            Kind::Ours => {
                self.flowed(socket, id);
                self.count(socket);
            }
            Kind::Mirror if self.is_new(id) => self.look.arrived(Duration::ZERO, peer),
            Kind::Mirror | Kind::Other => {}
        }
    }

    fn is_new(&self, id: u64) -> bool {
        self.known.is_some_and(|known| !known.has(id))
    }

    /// Whose connection it is, by which name it will be known again, and who calls. `None`: nobody's who was called.
    fn place(&self, socket: &Socket) -> Option<(Kind, u64, IpAddr)> {
        let (local, peer) = (socket.local, socket.peer);
        let kind_of = |client: IpAddr, kind| if self.scope.ignores(client) { Kind::Other } else { kind };
        if self.width == Width::Watched {
            let kind = kind_of(peer.ip(), Kind::Ours);
            return self.scope.watches(local).then_some((kind, socket.cookie, peer.ip()));
        }
        // A TIME-WAIT has not always the cookie of the connection that it was; both ends have the same addresses.
        if self.scope.watches(local) {
            Some((kind_of(peer.ip(), Kind::Ours), name(local, peer), peer.ip()))
        } else if self.others.contains(&local.port()) || self.scope.elsewhere.contains(&local) {
            Some((Kind::Other, name(local, peer), peer.ip()))
        } else if is_same_host(local.ip(), peer.ip()) && self.scope.watches(peer) {
            // While the client's end lives so does the server's, be it half-open.
            (socket.state == State::TimeWait)
                .then(|| (kind_of(local.ip(), Kind::Mirror), name(local, peer), local.ip()))
        } else if is_same_host(local.ip(), peer.ip()) {
            Some((Kind::Other, name(local, peer), local.ip()))
        } else {
            None // we called
        }
    }

    /// Takes what flowed on a connection to a watched port.
    fn flowed(&mut self, socket: &Socket, id: u64) {
        let peer = socket.peer.ip();
        let (incoming, outgoing) = match socket.flow {
            Flow::Told(times) => {
                self.look.arrived(times.received, peer);
                if times.has_answered && !times.is_stuck {
                    self.look.responded(times.sent);
                }
                return;
            }
            Flow::Marked { incoming, outgoing } => (incoming, outgoing),
            Flow::Forgotten => (0, 0),
        };
        let last = self.known.and_then(|known| known.find(id));
        let (has_come, has_gone) = match last {
            None => (self.is_new(id) || (self.known.is_none() && socket.unread() > 0), false),
            // What it had before it was a TIME-WAIT was seen then, or was never.
            Some(_) if socket.flow == Flow::Forgotten => (false, false),
            Some(last) => (last.incoming != incoming, last.outgoing != outgoing),
        };
        if has_come {
            self.look.arrived(Duration::ZERO, peer);
        }
        if has_gone {
            self.look.responded(Duration::ZERO);
        }
    }

    fn count(&mut self, socket: &Socket) {
        let look = &mut self.look;
        if socket.is_open() {
            look.open += 1;
            *if socket.is_busy() { &mut look.busy } else { &mut look.idle } += 1;
            look.unsent += u64::from(socket.unsent());
        }
        if socket.waits() {
            look.waiting += 1;
            look.waiting_unread += u64::from(socket.unread() > 0);
        }
        if socket.lingers() {
            look.lingering += 1;
            look.unsent += u64::from(socket.unsent());
        }
    }

    /// Ends the list, and counts what is new in it.
    pub(super) fn end_list(&mut self) {
        self.look.listening.sort_unstable();
        // A list that changes meanwhile may show one twice.
        self.traces.sort_unstable_by_key(|trace| (trace.id, trace.kind));
        self.traces.dedup_by_key(|trace| trace.id);
        let Some(known) = self.known else { return };
        // Both are in order, so one walk tells which of the two has what the other has not.
        let mut last = known.now.iter().map(|trace| trace.id).peekable();
        for trace in &self.traces {
            while let Some(gone) = last.next_if(|&id| id < trace.id) {
                self.before.push(gone);
            }
            if last.next_if_eq(&trace.id).is_none() && known.before.binary_search(&trace.id).is_err() {
                self.explained += 1;
                self.look.new += u64::from(trace.kind != Kind::Other);
            }
        }
        self.before.extend(last);
        if self.width == Width::Watched {
            let is_off = |id: &u64| self.traces.binary_search_by_key(id, |trace| trace.id).is_err();
            self.before.extend(known.before.iter().copied().filter(is_off));
        }
        self.before.sort_unstable();
    }

    /// Takes a socket that has ended, after [`Self::end_list`].
    pub(super) fn died(&mut self, socket: &Socket) {
        let peer = socket.peer;
        // Without a peer it was a listener.
        if peer.port() == 0 || !self.scope.watches(socket.local) {
            return;
        }
        let id = socket.cookie;
        let was_waited_for = self.before.binary_search(&id).map(|index| self.before.remove(index)).is_ok();
        let is_listed = self.traces.binary_search_by_key(&id, |trace| trace.id).is_ok();
        if is_listed {
            self.ended.push(id);
        }
        if self.known.is_none() {
            return; // before or during the first look, to which nothing is new
        }
        let is_new = !was_waited_for && !is_listed;
        self.explained += u64::from(is_new);
        if !self.scope.ignores(peer.ip()) {
            self.look.new += u64::from(is_new);
            // The times are those at its end, which is less than a look ago.
            self.flowed(socket, id);
        }
    }

    /// What the next look is to know. `all_ends_told` is false where the kernel could not tell of every end: nobody then
    /// waits for one any longer.
    pub(super) fn into_known(mut self, all_ends_told: bool) -> (Look, Known) {
        if !self.ended.is_empty() {
            self.ended.sort_unstable();
            self.traces.retain(|trace| self.ended.binary_search(&trace.id).is_err());
        }
        if self.width == Width::Watched && !all_ends_told {
            self.before.clear();
        }
        (self.look, Known { now: self.traces, before: self.before })
    }
}

/// Whether a connection between the two stays within the namespace.
fn is_same_host(local: IpAddr, peer: IpAddr) -> bool {
    local == peer || (local.is_loopback() && peer.is_loopback())
}

/// A name for the connection between two addresses, from whichever end it is seen.
fn name(one: SocketAddr, other: SocketAddr) -> u64 {
    let mut hasher = DefaultHasher::new();
    (one.min(other), one.max(other)).hash(&mut hasher);
    hasher.finish()
}

/// Accepted connections of the namespace against those that were seen.
#[derive(Debug, Default)]
pub(super) struct Balance {
    base: Option<u64>,
    explained: u64,
    told: u64,
}

impl Balance {
    /// Starts anew at this count.
    pub(super) fn start(&mut self, accepted: Option<u64>) {
        *self = Self { base: accepted, ..Self::default() };
    }

    /// All of these were seen.
    pub(super) fn add(&mut self, explained: u64) {
        self.explained += explained;
    }

    /// How many accepted connections are there that nothing seen explains, and that were not told before.
    pub(super) fn take(&mut self, accepted: Option<u64>, explained: u64) -> u64 {
        let (Some(base), Some(accepted)) = (self.base, accepted) else {
            self.start(accepted);
            return 0;
        };
        // Over all looks, not one by one: the count is read before the list, so a connection may be on the list of one
        // look and in the count of the next.
        self.add(explained);
        let due = accepted.saturating_sub(base).saturating_sub(self.explained).saturating_sub(self.told);
        self.told += due;
        due
    }
}
