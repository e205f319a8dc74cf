//! Makes a [`Snapshot`] from a list of sockets, by comparison with the previous snapshot. It makes no system call.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::socket::{Flow, Socket, Times};
use crate::network::Network;
use crate::rate::{Caller, MEMORY};
use crate::shutdown::Moment;
use crate::snapshot::{SeenCall, Snapshot, TcpState};

/// A half-open connection counts for this long. By then its client has sent the rest of the handshake or has given up.
const HALF_OPEN_LIMIT: Duration = Duration::from_secs(3);

/// Which sockets count.
#[derive(Clone, Debug, Default)]
pub(super) struct SocketFilter {
    /// The watched ports, in order.
    pub(super) ports: Vec<u16>,
    /// Addresses on which another process listens on one of these ports.
    pub(super) elsewhere: Vec<SocketAddr>,
    /// Peers that count for nothing.
    pub(super) ignore: Vec<Network>,
    /// Peers that are no probes.
    pub(super) count: Vec<Network>,
}

impl SocketFilter {
    pub(super) fn watches(&self, local: SocketAddr) -> bool {
        self.ports.binary_search(&local.port()).is_ok() && !self.elsewhere.contains(&local)
    }

    pub(super) fn ignores(&self, peer: IpAddr) -> bool {
        self.caller(peer) == Caller::Ignored
    }

    fn caller(&self, peer: IpAddr) -> Caller {
        let is_in = |networks: &[Network]| networks.iter().any(|network| network.contains(peer));
        match () {
            () if is_in(&self.ignore) => Caller::Ignored,
            () if is_in(&self.count) => Caller::Client,
            () => Caller::Any,
        }
    }
}

/// What is kept of a connection between two snapshots: 16 bytes.
#[derive(Clone, Copy, Debug)]
struct ConnectionRecord {
    /// The socket's cookie.
    id: u64,
    /// The data segments that it had brought, as far as they are known.
    segments_in: u32,
}

/// What the snapshots so far have shown.
#[derive(Debug, Default)]
pub(super) struct PreviousSnapshot {
    /// When the last one was taken.
    at: Moment,
    /// The connections of the last snapshot, by `id`.
    now: Vec<ConnectionRecord>,
    /// Connections that were on an earlier list and are missing from the last one, by `id`. They stay here until their end is
    /// reported, since a socket may disappear from the list before the app closes it.
    before: Vec<ConnectionRecord>,
    /// The half-open connections, and when each was first seen.
    half_open: Vec<(SocketAddr, Moment)>,
}

impl PreviousSnapshot {
    fn find(&self, id: u64) -> Option<&ConnectionRecord> {
        [&self.now, &self.before].into_iter().find_map(|records| find(records, id))
    }
}

fn find(records: &[ConnectionRecord], id: u64) -> Option<&ConnectionRecord> {
    records.binary_search_by_key(&id, |record| record.id).ok().and_then(|index| records.get(index))
}

/// A snapshot that is being made.
#[derive(Debug)]
pub(super) struct SnapshotDiff<'a> {
    filter: &'a SocketFilter,
    now: Moment,
    /// `None`: this is the first snapshot, in which nothing is new.
    previous: Option<&'a PreviousSnapshot>,
    records: Vec<ConnectionRecord>,
    before: Vec<ConnectionRecord>,
    ended: Vec<u64>,
    half_open: Vec<(SocketAddr, Moment)>,
    pub(super) snapshot: Snapshot,
}

impl<'a> SnapshotDiff<'a> {
    pub(super) fn new(filter: &'a SocketFilter, previous: Option<&'a PreviousSnapshot>, now: Moment) -> Self {
        let records = Vec::with_capacity(previous.map_or(0, |previous| previous.now.len()));
        Self {
            filter,
            now,
            previous,
            records,
            before: Vec::new(),
            ended: Vec::new(),
            half_open: Vec::new(),
            snapshot: Snapshot::default(),
        }
    }

    /// Adds a socket of the list.
    pub(super) fn add(&mut self, socket: &Socket) {
        if !self.filter.watches(socket.local) {
            return;
        }
        match socket.state {
            TcpState::SynSent | TcpState::Closed => {}
            TcpState::Listen => self.snapshot.listening.push(socket.local.port()),
            TcpState::TimeWait => self.add_ended(socket),
            TcpState::SynReceived => self.add_half_open(socket),
            _ => self.add_connection(socket),
        }
    }

    /// Adds a TIME-WAIT: the last call of a connection that the app closed. Since the first snapshot, the event of its end has
    /// reported it already.
    fn add_ended(&mut self, socket: &Socket) {
        if let (None, Flow::Ended(age)) = (self.previous, socket.flow) {
            self.add_call(socket.peer.ip(), age, true, false);
        }
    }

    fn add_half_open(&mut self, socket: &Socket) {
        self.snapshot.half_open += 1;
        let known = self.previous.and_then(|previous| previous.half_open.iter().find(|(peer, _)| *peer == socket.peer));
        let since = known.map_or(self.now, |&(_, since)| since);
        self.half_open.push((socket.peer, since));
        let is_young = self.now.saturating_sub(since) < HALF_OPEN_LIMIT;
        self.snapshot.pending += u64::from(is_young && !self.filter.ignores(socket.peer.ip()));
    }

    fn add_connection(&mut self, socket: &Socket) {
        // Not even a record is kept of an ignored peer: what has one and is on no earlier list counts as new. Its calls show when
        // the connection ends.
        if self.filter.ignores(socket.peer.ip()) {
            return;
        }
        let known = self.previous.and_then(|previous| previous.find(socket.cookie));
        let mut segments_in = 0;
        if let Flow::Exact(times) = socket.flow {
            self.add_traffic(socket.peer.ip(), times, known, false);
            segments_in = times.segments_in.unwrap_or(1);
        }
        // /proc does not tell which connection is which.
        if socket.cookie != 0 {
            self.records.push(ConnectionRecord { id: socket.cookie, segments_in });
        }
        self.count(socket);
    }

    /// Adds what flowed on a connection since the last snapshot. `known` is what that has shown of it.
    fn add_traffic(&mut self, peer: IpAddr, times: Times, known: Option<&ConnectionRecord>, has_ended: bool) {
        let is_first = self.previous.is_some() && known.is_none_or(|known| known.segments_in == 0);
        let is_new = match (self.previous, times.segments_in, known) {
            (None, ..) => times.received <= MEMORY,
            // Not by its age: the list may be made long after `now` was read, if others have the processor meanwhile.
            (Some(_), Some(segments_in), Some(known)) => segments_in != known.segments_in,
            (Some(_), Some(_), None) => true,
            // The clock of these times ticks every 1 to 10 ms; a call that is counted twice does no harm.
            (Some(previous), None, _) => is_first || times.received <= self.now.saturating_sub(previous.at) + TICK,
        };
        if times.has_received() && is_new {
            self.add_call(peer, times.received, is_first, !has_ended);
        }
        if times.has_sent() && !times.is_retransmitting && !self.filter.ignores(peer) {
            self.snapshot.add_response(times.sent);
        }
    }

    fn add_call(&mut self, peer: IpAddr, age: Duration, is_first: bool, hides_earlier: bool) {
        let caller = self.filter.caller(peer);
        self.snapshot.add_call(SeenCall { peer, age, is_first, hides_earlier, caller });
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
            // A client that has sent nothing and has closed expects no answer.
            snapshot.pending += u64::from(socket.unread() > 0 || socket.state == TcpState::Established);
        }
        if socket.is_being_delivered() {
            snapshot.lingering += 1;
            snapshot.unsent += u64::from(socket.unsent());
        }
    }

    /// Ends the list and counts what is new on it.
    pub(super) fn end_list(&mut self) {
        self.snapshot.listening.sort_unstable();
        self.snapshot.listening.dedup();
        // A list that changes while it is made may show a connection twice.
        self.records.sort_unstable_by_key(|record| record.id);
        self.records.dedup_by_key(|record| record.id);
        let Some(previous) = self.previous else { return };
        // Both lists are in order, so one walk finds what is only on one of them.
        let mut last = previous.now.iter().copied().peekable();
        for record in &self.records {
            while let Some(gone) = last.next_if(|last| last.id < record.id) {
                self.before.push(gone);
            }
            if last.next_if(|last| last.id == record.id).is_none() && find(&previous.before, record.id).is_none() {
                self.snapshot.new += 1;
            }
        }
        self.before.extend(last);
        let is_off_the_list = |record: &&ConnectionRecord| find(&self.records, record.id).is_none();
        self.before.extend(previous.before.iter().filter(is_off_the_list));
        self.before.sort_unstable_by_key(|record| record.id);
    }

    /// Adds a socket that was destroyed this long ago, after [`Self::end_list`].
    pub(super) fn add_destroyed(&mut self, socket: &Socket, ago: Duration) {
        // A socket without a peer was a listener.
        if socket.peer.port() == 0 || !self.filter.watches(socket.local) {
            return;
        }
        let id = socket.cookie;
        let known = find(&self.before, id).or_else(|| find(&self.records, id)).copied();
        if let Ok(index) = self.before.binary_search_by_key(&id, |record| record.id) {
            self.before.remove(index);
        }
        if find(&self.records, id).is_some() {
            self.ended.push(id);
        }
        if self.previous.is_none() {
            return; // it ended before or during the first snapshot, which reports no new connections
        }
        self.snapshot.new += u64::from(known.is_none() && !self.filter.ignores(socket.peer.ip()));
        if let Flow::Exact(times) = socket.flow {
            let times = Times { received: times.received + ago, sent: times.sent + ago, ..times };
            self.add_traffic(socket.peer.ip(), times, known.as_ref(), true);
        }
    }

    /// The snapshot, and the data for the next comparison. If `all_ends_seen` is false, events were lost: the end of a missing
    /// connection may never be reported, so the missing connections are forgotten.
    pub(super) fn into_previous(mut self, all_ends_seen: bool) -> (Snapshot, PreviousSnapshot) {
        if !self.ended.is_empty() {
            self.ended.sort_unstable();
            self.records.retain(|record| self.ended.binary_search(&record.id).is_err());
        }
        if !all_ends_seen {
            self.before.clear();
        }
        let previous =
            PreviousSnapshot { at: self.now, now: self.records, before: self.before, half_open: self.half_open };
        (self.snapshot, previous)
    }
}

/// The longest tick of the kernel's clock.
const TICK: Duration = Duration::from_millis(10);
