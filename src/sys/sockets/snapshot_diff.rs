//! Makes a [`Snapshot`] from a list of sockets, by comparison with the previous snapshot. It makes no system call.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::socket::{Flow, Socket, Times};
use crate::network::Network;
use crate::probe::{Caller, MEMORY};
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
    /// The half-open connections by their clients, and when each was first seen.
    half_open: Vec<(SocketAddr, Moment)>,
    /// The clients of the TIME-WAITs, in order, if this was the first snapshot. The news of their ends may come later.
    ended: Vec<SocketAddr>,
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
    time_waits: Vec<SocketAddr>,
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
            time_waits: Vec::new(),
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
            self.time_waits.push(socket.peer);
            self.add_call(socket.peer.ip(), age, true, false);
        }
    }

    fn add_half_open(&mut self, socket: &Socket) {
        self.snapshot.half_open += 1;
        let known = self.previous.and_then(|previous| {
            let index = previous.half_open.binary_search_by_key(&socket.peer, |&(peer, _)| peer).ok()?;
            previous.half_open.get(index)
        });
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
        // What was sent on a connection that has ended cannot be cut off any more.
        if !has_ended && times.has_sent() && !times.is_retransmitting {
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
        self.ended.push(id);
        let Some(previous) = self.previous else {
            return; // it ended before or during the first snapshot, which reports no new connections
        };
        if known.is_none() && previous.ended.binary_search(&socket.peer).is_ok() {
            return; // the first snapshot has shown its TIME-WAIT
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
        self.ended.sort_unstable();
        let is_left = |record: &ConnectionRecord| self.ended.binary_search(&record.id).is_err();
        self.records.retain(is_left);
        self.before.retain(|record| all_ends_seen && is_left(record));
        self.half_open.sort_unstable();
        self.time_waits.sort_unstable();
        let previous = PreviousSnapshot {
            at: self.now,
            now: self.records,
            before: self.before,
            half_open: self.half_open,
            ended: self.time_waits,
        };
        (self.snapshot, previous)
    }
}

/// The longest tick of the kernel's clock.
const TICK: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(state: TcpState, port: u16, cookie: u64, flow: Flow) -> Socket {
        let address = |port| SocketAddr::from(([10, 0, 0, 1], port));
        let (local, peer) = (address(80), address(port));
        Socket { state, local, peer, inode: 0, uid: 0, received: 0, unacknowledged: 0, flow, cookie }
    }

    /// A connection that has ended, with a request and its answer.
    fn ended(port: u16) -> Socket {
        let [received, sent, acknowledged] = [Duration::ZERO; 3];
        let [segments_in, segments_out] = [Some(1); 2];
        let times = Times { received, sent, acknowledged, segments_in, segments_out, is_retransmitting: false };
        socket(TcpState::Closed, port, port.into(), Flow::Exact(times))
    }

    #[test]
    fn a_connection_whose_end_is_told_after_its_time_wait_was_read_is_one_call() {
        let filter = SocketFilter { ports: vec![80], ..SocketFilter::default() };
        let mut first = SnapshotDiff::new(&filter, None, Duration::ZERO);
        first.add(&socket(TcpState::TimeWait, 5000, 0, Flow::Ended(Duration::ZERO)));
        first.end_list();
        let (shown, previous) = first.into_previous(true);
        assert_eq!(shown.calls.len(), 1);
        let mut second = SnapshotDiff::new(&filter, Some(&previous), Duration::from_millis(250));
        second.end_list();
        second.add_destroyed(&ended(5000), Duration::ZERO);
        second.add_destroyed(&ended(5001), Duration::ZERO);
        let (shown, _) = second.into_previous(true);
        assert_eq!((shown.calls.len(), shown.new), (1, 1), "the other client's alone");
    }
}
