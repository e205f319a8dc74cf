//! Makes a [`Snapshot`] of a list of sockets, by comparison with the snapshot before. Asks no operating system.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::socket::{Flow, Socket};
use crate::network::Network;
use crate::snapshot::{Snapshot, TcpState};

/// Which sockets count.
#[derive(Clone, Debug, Default)]
pub(super) struct SocketFilter {
    /// The watched ports, in order.
    pub(super) ports: Vec<u16>,
    /// Addresses on which another process listens on one of these ports.
    pub(super) elsewhere: Vec<SocketAddr>,
    /// Peers that count for nothing.
    pub(super) ignore: Vec<Network>,
}

impl SocketFilter {
    pub(super) fn watches(&self, local: SocketAddr) -> bool {
        self.ports.binary_search(&local.port()).is_ok() && !self.elsewhere.contains(&local)
    }

    pub(super) fn ignores(&self, peer: IpAddr) -> bool {
        self.ignore.iter().any(|network| network.contains(peer))
    }
}

/// What is kept of a connection between two snapshots: 16 bytes.
#[derive(Clone, Copy, Debug)]
struct ConnectionRecord {
    id: u64,
    incoming: u16,
    outgoing: u16,
    kind: ConnectionKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ConnectionKind {
    /// A connection to a watched port.
    Watched,
    /// The client's end of a connection to a watched port, in TIME-WAIT: the client is in our namespace and closed first,
    /// so the server's end is gone.
    ClientEnd,
    /// A connection to another listener, or from an ignored peer.
    Other,
}

/// What the snapshots so far have shown.
#[derive(Debug, Default)]
pub(super) struct PreviousSnapshot {
    /// The connections of the last snapshot, by `id`.
    now: Vec<ConnectionRecord>,
    /// Connections that were on an earlier list and are off the last one, in order. If the kernel reports each end they stay
    /// here until it has, since a socket may be off the list before its app closes it. Otherwise they stay for one
    /// snapshot, since a list that changes while it is made may lack an entry.
    before: Vec<u64>,
}

impl PreviousSnapshot {
    fn find(&self, id: u64) -> Option<&ConnectionRecord> {
        self.now.binary_search_by_key(&id, |record| record.id).ok().and_then(|index| self.now.get(index))
    }

    fn has(&self, id: u64) -> bool {
        self.find(id).is_some() || self.before.binary_search(&id).is_ok()
    }
}

/// Which sockets are on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coverage {
    /// Those on the watched ports: the kernel also reports each connection that ends.
    WatchedPorts,
    /// All of them, TIME-WAITs included: these tell the short connections of one port from those of another.
    AllSockets,
}

/// A snapshot that is being made.
#[derive(Debug)]
pub(super) struct SnapshotDiff<'a> {
    filter: &'a SocketFilter,
    /// `None`: this is the first snapshot, in which nothing is new.
    previous: Option<&'a PreviousSnapshot>,
    coverage: Coverage,
    /// The public ports on which another process listens.
    pub(super) other_ports: Vec<u16>,
    records: Vec<ConnectionRecord>,
    before: Vec<u64>,
    ended: Vec<u64>,
    pub(super) snapshot: Snapshot,
    /// Connections that the namespace has accepted since the last snapshot and that were seen.
    pub(super) explained: u64,
}

impl<'a> SnapshotDiff<'a> {
    pub(super) fn new(
        filter: &'a SocketFilter,
        previous: Option<&'a PreviousSnapshot>,
        coverage: Coverage,
        other_ports: Vec<u16>,
    ) -> Self {
        let records = Vec::with_capacity(previous.map_or(0, |previous| previous.now.len()));
        Self {
            filter,
            previous,
            coverage,
            other_ports,
            records,
            before: Vec::new(),
            ended: Vec::new(),
            snapshot: Snapshot::default(),
            explained: 0,
        }
    }

    /// Adds a socket of the list.
    pub(super) fn add(&mut self, socket: &Socket) {
        match socket.state {
            TcpState::Listen => self.add_listener(socket),
            TcpState::SynSent | TcpState::Closed => {}
            // The event of its end has told of it.
            TcpState::TimeWait if self.coverage == Coverage::WatchedPorts => {}
            _ => self.add_connection(socket),
        }
    }

    fn add_listener(&mut self, socket: &Socket) {
        let port = socket.local.port();
        let list = if self.filter.watches(socket.local) {
            &mut self.snapshot.listening
        } else if socket.local.ip().is_loopback() {
            // Its clients are in this namespace too, so each of its connections also shows at the client's end.
            return;
        } else {
            &mut self.other_ports
        };
        if !list.contains(&port) {
            list.push(port);
        }
    }

    fn add_connection(&mut self, socket: &Socket) {
        let Some((kind, id, client)) = self.classify(socket) else { return };
        if socket.state == TcpState::SynReceived {
            self.snapshot.half_open += u64::from(kind == ConnectionKind::Watched);
            return;
        }
        let (incoming, outgoing) = match socket.flow {
            Flow::Fingerprint { incoming, outgoing } if kind == ConnectionKind::Watched => (incoming, outgoing),
            Flow::Fingerprint { .. } | Flow::Exact(_) | Flow::Unknown => (0, 0),
        };
        self.records.push(ConnectionRecord { id, incoming, outgoing, kind });
        match kind {
            ConnectionKind::Watched => {
                self.add_traffic(socket, id);
                self.count(socket);
            }
            ConnectionKind::ClientEnd if self.is_new(id) => self.snapshot.add_arrival(Duration::ZERO, client),
            ConnectionKind::ClientEnd | ConnectionKind::Other => {}
        }
    }

    fn is_new(&self, id: u64) -> bool {
        self.previous.is_some_and(|previous| !previous.has(id))
    }

    /// The connection's kind, the identifier by which the next snapshot recognises it, and the client. `None`: a connection
    /// that leaves the namespace, which counts for nothing.
    fn classify(&self, socket: &Socket) -> Option<(ConnectionKind, u64, IpAddr)> {
        let (local, peer) = (socket.local, socket.peer);
        let kind_of = |client: IpAddr, kind| if self.filter.ignores(client) { ConnectionKind::Other } else { kind };
        if self.coverage == Coverage::WatchedPorts {
            let kind = kind_of(peer.ip(), ConnectionKind::Watched);
            return self.filter.watches(local).then_some((kind, socket.cookie, peer.ip()));
        }
        // A TIME-WAIT may lack the cookie that its connection had, so the addresses identify it. Both ends have the same.
        if self.filter.watches(local) {
            Some((kind_of(peer.ip(), ConnectionKind::Watched), address_id(local, peer), peer.ip()))
        } else if self.other_ports.contains(&local.port()) || self.filter.elsewhere.contains(&local) {
            Some((ConnectionKind::Other, address_id(local, peer), peer.ip()))
        } else if is_same_host(local.ip(), peer.ip()) && self.filter.watches(peer) {
            // As long as the client's end lives, the server's does too and is counted instead.
            (socket.state == TcpState::TimeWait)
                .then(|| (kind_of(local.ip(), ConnectionKind::ClientEnd), address_id(local, peer), local.ip()))
        } else if is_same_host(local.ip(), peer.ip()) {
            Some((ConnectionKind::Other, address_id(local, peer), local.ip()))
        } else {
            None
        }
    }

    /// Notes what flowed on a connection to a watched port.
    fn add_traffic(&mut self, socket: &Socket, id: u64) {
        let peer = socket.peer.ip();
        let (incoming, outgoing) = match socket.flow {
            Flow::Exact(times) => {
                self.snapshot.add_arrival(times.received, peer);
                if times.has_sent() && !times.is_retransmitting {
                    self.snapshot.add_response(times.sent);
                }
                return;
            }
            Flow::Fingerprint { incoming, outgoing } => (incoming, outgoing),
            Flow::Unknown => (0, 0),
        };
        let last = self.previous.and_then(|previous| previous.find(id));
        let (has_arrived, has_left) = match last {
            None => (self.is_new(id) || (self.previous.is_none() && socket.unread() > 0), false),
            // A TIME-WAIT: its last bytes were seen before, or not at all.
            Some(_) if socket.flow == Flow::Unknown => (false, false),
            Some(last) => (last.incoming != incoming, last.outgoing != outgoing),
        };
        if has_arrived {
            self.snapshot.add_arrival(Duration::ZERO, peer);
        }
        if has_left {
            self.snapshot.add_response(Duration::ZERO);
        }
    }

    fn count(&mut self, socket: &Socket) {
        let snapshot = &mut self.snapshot;
        if socket.is_open() {
            snapshot.open += 1;
            *if socket.is_busy() { &mut snapshot.busy } else { &mut snapshot.idle } += 1;
            snapshot.unsent += u64::from(socket.unsent());
        }
        if socket.is_in_accept_queue() {
            snapshot.waiting += 1;
            snapshot.waiting_unread += u64::from(socket.unread() > 0);
        }
        if socket.is_being_delivered() {
            snapshot.lingering += 1;
            snapshot.unsent += u64::from(socket.unsent());
        }
    }

    /// Ends the list and counts what is new on it.
    pub(super) fn end_list(&mut self) {
        self.snapshot.listening.sort_unstable();
        // A list that changes while it is made may show a connection twice.
        self.records.sort_unstable_by_key(|record| (record.id, record.kind));
        self.records.dedup_by_key(|record| record.id);
        let Some(previous) = self.previous else { return };
        // Both lists are in order, so one walk finds what is only on one of them.
        let mut last = previous.now.iter().map(|record| record.id).peekable();
        for record in &self.records {
            while let Some(gone) = last.next_if(|&id| id < record.id) {
                self.before.push(gone);
            }
            if last.next_if_eq(&record.id).is_none() && previous.before.binary_search(&record.id).is_err() {
                self.explained += 1;
                self.snapshot.new += u64::from(record.kind != ConnectionKind::Other);
            }
        }
        self.before.extend(last);
        if self.coverage == Coverage::WatchedPorts {
            let is_off_the_list = |id: &u64| self.records.binary_search_by_key(id, |record| record.id).is_err();
            self.before.extend(previous.before.iter().copied().filter(is_off_the_list));
        }
        self.before.sort_unstable();
    }

    /// Adds a socket that was destroyed, after [`Self::end_list`].
    pub(super) fn add_destroyed(&mut self, socket: &Socket) {
        let peer = socket.peer;
        // A socket without a peer was a listener.
        if peer.port() == 0 || !self.filter.watches(socket.local) {
            return;
        }
        let id = socket.cookie;
        let was_expected = self.before.binary_search(&id).map(|index| self.before.remove(index)).is_ok();
        let is_listed = self.records.binary_search_by_key(&id, |record| record.id).is_ok();
        if is_listed {
            self.ended.push(id);
        }
        if self.previous.is_none() {
            return; // it ended before or during the first snapshot, in which nothing is new
        }
        let is_new = !was_expected && !is_listed;
        self.explained += u64::from(is_new);
        if !self.filter.ignores(peer.ip()) {
            self.snapshot.new += u64::from(is_new);
            // Its times are those at its end, less than one interval ago.
            self.add_traffic(socket, id);
        }
    }

    /// The snapshot, and what the next one needs. If `all_ends_seen` is false, events were lost, and no missing connection
    /// is expected to end any more.
    pub(super) fn into_previous(mut self, all_ends_seen: bool) -> (Snapshot, PreviousSnapshot) {
        if !self.ended.is_empty() {
            self.ended.sort_unstable();
            self.records.retain(|record| self.ended.binary_search(&record.id).is_err());
        }
        if self.coverage == Coverage::WatchedPorts && !all_ends_seen {
            self.before.clear();
        }
        (self.snapshot, PreviousSnapshot { now: self.records, before: self.before })
    }
}

/// Whether a connection between the two addresses stays within the namespace.
fn is_same_host(local: IpAddr, peer: IpAddr) -> bool {
    local == peer || (local.is_loopback() && peer.is_loopback())
}

/// Identifies the connection between two addresses, from whichever end it is seen.
fn address_id(one: SocketAddr, other: SocketAddr) -> u64 {
    let mut hasher = DefaultHasher::new();
    (one.min(other), one.max(other)).hash(&mut hasher);
    hasher.finish()
}

/// Connections that the namespace accepted (`PassiveOpens`) and that no snapshot showed.
#[derive(Debug, Default)]
pub(super) struct UnseenAccepts {
    base: Option<u64>,
    explained: u64,
    reported: u64,
}

impl UnseenAccepts {
    /// Starts anew at this count.
    pub(super) fn start(&mut self, accepted: Option<u64>) {
        *self = Self { base: accepted, ..Self::default() };
    }

    /// Subtracts connections that were seen.
    pub(super) fn add(&mut self, explained: u64) {
        self.explained += explained;
    }

    /// The number of accepted connections that nothing explains and that were not reported before.
    pub(super) fn take(&mut self, accepted: Option<u64>, explained: u64) -> u64 {
        let (Some(base), Some(accepted)) = (self.base, accepted) else {
            self.start(accepted);
            return 0;
        };
        // Sum over all snapshots: the counter is read before the list, so a connection may be on the list of one snapshot
        // and in the count of the next.
        self.add(explained);
        let due = accepted.saturating_sub(base).saturating_sub(self.explained).saturating_sub(self.reported);
        self.reported += due;
        due
    }
}
