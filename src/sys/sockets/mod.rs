//! The TCP traffic of the container's network namespace, as the kernel shows it to every process: whether requests still
//! arrive, what is open, what would be lost. It is read only during a stop; before a stop nothing is opened or allocated here.
//!
//! # What the kernel reports
//!
//! There are three sources. None needs a privilege: as root or not, with every capability dropped and under Docker's
//! default seccomp profile they report the same. All of them cover this network namespace only.
//!
//! **The list of sockets**, by netlink (`sock_diag`). For each connection it has the addresses, the number of bytes to read
//! and to be acknowledged, and the time since data last flowed in each direction.
//!
//! - A FIN counts as a byte in both queues.
//! - A listener's receive queue is the length of its accept queue. The connections in that queue are on the list too, as
//!   ESTABLISHED (or CLOSE-WAIT), with bytes to read, and with inode 0, because no process holds them. The inode is also 0
//!   after the app has closed the connection while the kernel still delivers (FIN-WAIT-1, CLOSING, LAST-ACK).
//! - Before any data has flowed the times count from the handshake, in both directions. So one number covers both "the last
//!   request byte" and "the last new connection".
//! - The clock behind these times ticks every 1 to 10 ms (`CONFIG_HZ`).
//! - A TIME-WAIT has only its addresses. If the peer has not closed, it is reported as FIN-WAIT-2, and on a request for
//!   FIN-WAIT-2; its timer shows that it is a TIME-WAIT. It keeps the connection's cookie only if the cookie was asked for
//!   while the connection lived.
//! - Half-open connections are reported on a request for SYN-RECV. With `TCP_DEFER_ACCEPT` they stay half-open until data
//!   comes.
//! - IPv4 connections to an IPv6 listener are in the IPv6 list, with mapped addresses.
//! - Listeners that share a port (`SO_REUSEPORT`) are all listed, each with its own inode and accept queue.
//!
//! **An event for each socket that is destroyed** (`ss --events`), with its last times. It shows a connection that comes and
//! goes between two snapshots, whichever side closes first, with its port and its peer. So no count has to be estimated.
//!
//! **The namespace's counters** (`/proc/net/snmp`). `PassiveOpens` counts the connections made to any listener of the
//! namespace. It increases at the end of the handshake, before the app accepts the connection.
//!
//! # What is certain
//!
//! With netlink ([`SourceKind::Netlink`]) all numbers of a [`Snapshot`] are those of the watched ports alone, and exact: a
//! sidecar's connections are not among them. There are four limits:
//!
//! - If too many connections end between two snapshots the event queue overflows: more than about 330 in the whole namespace
//!   with the usual `net.core.rmem_max`, where a connection with both ends in the namespace counts twice. The first events
//!   are delivered; for the others `PassiveOpens` stands in, as below.
//! - On a busy machine an event may come one snapshot late. Its times are as of the end of the connection, so they may be too
//!   young, never too old. A connection that ended just before the first snapshot may count as new in the
//!   second.
//! - *Idle* means that nothing is unread, unsent or unanswered. The kernel does not know whether a response that pauses is
//!   complete: that counts as idle. Nor does it know in which order a request and a response of the same tick came: such a
//!   request counts as unanswered, for 5 s at most, if the client has acknowledged nothing after it. That may be wrong.
//! - A connection that was reset before the first snapshot, and that the app closes only later, counts as new when it is
//!   closed. Its times are right.
//!
//! If netlink is refused, or missing in the kernel ([`SourceKind::ProcNet`]), `/proc/net/tcp{,6}` is read, which has no
//! times. The differences between two snapshots stand in for them:
//!
//! - *New* connections are those whose addresses the last two snapshots did not have, TIME-WAITs included. That is certain,
//!   and covers every connection that the app closed first, since it stays in TIME-WAIT for a minute.
//! - A connection that came and went, and that the client closed first, shows only in `PassiveOpens`. An increase that no
//!   visible socket explains is the app's, and counts as new, if no other process of the namespace listens. (Listeners on
//!   loopback do not matter: the client's end of their connections is visible.) If another process does listen, the
//!   increase is reported as [`Snapshot::unexplained`] and counts for nothing, so that a sidecar's probe delays no stop.
//! - A request on a kept-alive connection shows only if a snapshot is taken while it is in progress, or if it has changed one
//!   of the few numbers that depend on traffic (delayed acknowledgements, the window). So [`Snapshot::since_arrival`] may be
//!   too old. But [`Snapshot::segments`] counts every segment that arrives in the namespace: if there were none, no request was
//!   missed.
//! - Nothing is known about the time before the first snapshot.
//!
//! # What it costs
//!
//! With 10,000 connections a snapshot by netlink takes about 17 ms of CPU, 12 ms of it in the kernel, and about 350 kB;
//! tests/sockets.rs measures it. The kernel filters by port (`INET_DIAG_REQ_BYTECODE`), which matters when thousands of
//! other connections share the namespace. `/proc/net/tcp{,6}` takes about 3 ms for each 1,000 sockets of the namespace,
//! TIME-WAITs included, 2 ms of it in the kernel. The kernel makes either list while we read it, so nothing blocks.

mod listeners;
mod listening;
mod netlink;
mod netlink_message;
mod proc_net;
mod snapshot_diff;
mod socket;
mod source;

use std::io;
use std::time::Duration;

pub use self::listening::{ListeningSocket, listening};
pub use self::source::{SocketsUnavailable, SourceKind};

use self::listeners::Listener;
use self::snapshot_diff::{Coverage, PreviousSnapshot, SnapshotDiff, SocketFilter, UnseenAccepts};
use self::socket::{Flow, Socket, Times};
use self::source::SocketSource;
use crate::network::Network;
use crate::snapshot::{Connection, Snapshot, TcpState};

/// How many connections all listeners of the namespace have accepted since it was created (`PassiveOpens`). `None`: unknown.
#[must_use]
pub fn accepted_connections() -> Option<u64> {
    proc_net::counters().map(|counters| counters.accepted)
}

/// If a list changed while it was made it is requested again, up to this many times in all.
const TRIES: usize = 3;

/// How the watched ports were chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortSelection {
    /// A setting named them.
    Named,
    /// Our own processes listen on them. Addresses on which another process listens on the same port are left out.
    OwnProcesses,
    /// Some process of ours hides its descriptors: it changed its user, and we have no privilege. So public ports whose
    /// listener no process is seen to hold are watched too, except those created by a user that none of our processes runs as.
    Guessed,
}

/// Takes snapshots of the traffic on some ports. Created when a stop begins.
#[derive(Debug)]
pub struct SocketWatcher {
    source: SocketSource,
    named: Vec<u16>,
    own_pids: Option<Vec<i32>>,
    /// `None`: no list of sockets could be read yet.
    selection: Option<PortSelection>,
    filter: SocketFilter,
    other_ports: Vec<u16>,
    has_other_listeners: bool,
    /// `None`: before the first snapshot.
    previous: Option<PreviousSnapshot>,
    unseen_accepts: UnseenAccepts,
    counters: Option<proc_net::Counters>,
}

impl SocketWatcher {
    /// Watches `ports`. If there are none, it watches the TCP ports on which one of our processes listens now. `own_pids`
    /// is `None` if our processes are unknown: then every port with a listener beyond loopback is watched. Peers in
    /// `ignore` (probes, monitors) count for nothing.
    #[must_use]
    pub fn new(ports: &[u16], own_pids: Option<&[i32]>, ignore: &[Network]) -> Self {
        let mut watcher = Self {
            source: SocketSource::open(),
            named: ports.to_vec(),
            own_pids: own_pids.map(<[i32]>::to_vec),
            selection: None,
            filter: SocketFilter { ignore: ignore.to_vec(), ..SocketFilter::default() },
            other_ports: Vec::new(),
            has_other_listeners: false,
            previous: None,
            unseen_accepts: UnseenAccepts::default(),
            counters: None,
        };
        let _ = watcher.select_ports(); // the first snapshot reports an error
        watcher
    }

    /// The watched ports, in order. Empty: none of our processes listens, so there is no traffic to wait for.
    #[must_use]
    pub fn ports(&self) -> &[u16] {
        &self.filter.ports
    }

    /// How the ports were chosen. `None`: no list of sockets could be read.
    #[must_use]
    pub fn selection(&self) -> Option<PortSelection> {
        self.selection
    }

    /// Where the list of sockets comes from.
    #[must_use]
    pub fn source(&self) -> SourceKind {
        self.source.kind()
    }

    /// Why netlink is not used, if it is not.
    #[must_use]
    pub fn refusal(&self) -> Option<&io::Error> {
        match &self.source {
            SocketSource::Netlink { .. } => None,
            SocketSource::ProcNet { refusal } => Some(refusal),
        }
    }

    fn select_ports(&mut self) -> Result<(), SocketsUnavailable> {
        if self.selection.is_some() {
            return Ok(());
        }
        let listeners = self.source.query(|source| {
            let mut found = Vec::new();
            source.list(TcpState::Listen.bit(), &[], &mut |socket| found.extend(Listener::of(socket)))?;
            Ok(found)
        })?;
        let (selection, ports) = listeners::select(&self.named, self.own_pids.as_deref(), &listeners);
        self.selection = Some(selection);
        self.filter.ports = ports.watched;
        self.filter.elsewhere = ports.elsewhere;
        self.other_ports = ports.others;
        self.has_other_listeners = ports.has_other_listeners;
        Ok(())
    }

    /// Takes a snapshot.
    ///
    /// # Errors
    ///
    /// Neither netlink nor /proc shows anything.
    pub fn snapshot(&mut self) -> Result<Snapshot, SocketsUnavailable> {
        self.select_ports()?;
        if self.filter.ports.is_empty() {
            return Ok(Snapshot { sees_bytes: self.source() == SourceKind::Netlink, ..Snapshot::default() });
        }
        // Read the counters before the list: a connection that is made in between is on this list and in the next count.
        let counters = proc_net::counters();
        let Self { source, filter, other_ports, has_other_listeners, previous, unseen_accepts, .. } = self;
        let kind_before = source.kind();
        let (mut snapshot, now) = source.query(|source| {
            let kind = source.kind();
            let coverage = match source {
                SocketSource::Netlink { destroy_events: Some(_), .. } => Coverage::WatchedPorts,
                SocketSource::Netlink { destroy_events: None, .. } | SocketSource::ProcNet { .. } => {
                    Coverage::AllSockets
                }
            };
            // The two sources identify connections differently, so after a change of source there is no previous snapshot.
            let previous = previous.as_ref().filter(|_| kind == kind_before);
            let accepted = counters.map(|counters| counters.accepted);
            if previous.is_none() {
                unseen_accepts.start(accepted);
            }
            let mut diff = list(source, filter, previous, coverage, other_ports)?;
            let all_ends_seen = match source {
                SocketSource::Netlink { destroy_events: Some(events), .. } => {
                    events.drain(&mut |socket| diff.add_destroyed(socket))
                }
                SocketSource::Netlink { destroy_events: None, .. } | SocketSource::ProcNet { .. } => false,
            };
            diff.snapshot.sees_bytes = kind == SourceKind::Netlink;
            if all_ends_seen && *has_other_listeners {
                unseen_accepts.start(accepted); // the list lacks the connections of other listeners
            } else if all_ends_seen {
                unseen_accepts.add(diff.explained);
            } else if previous.is_some() {
                let unexplained = unseen_accepts.take(accepted, diff.explained);
                // The complete list also shows the client's end of connections over loopback.
                let may_be_others = match coverage {
                    Coverage::AllSockets => !diff.other_ports.is_empty(),
                    Coverage::WatchedPorts => *has_other_listeners,
                };
                if may_be_others {
                    diff.snapshot.unexplained = unexplained;
                } else if unexplained > 0 {
                    diff.snapshot.new += unexplained;
                    // The peer of these is unknown, so `last_peer` stays the peer of the last connection that was seen.
                    diff.snapshot.since_arrival = Some(Duration::ZERO);
                }
            }
            *other_ports = std::mem::take(&mut diff.other_ports);
            Ok(diff.into_previous(all_ends_seen))
        })?;
        self.previous = Some(now);
        let last = std::mem::replace(&mut self.counters, counters);
        if let (Some(counters), Some(last)) = (counters, last) {
            snapshot.accepted_in_namespace = Some(counters.accepted.saturating_sub(last.accepted));
            snapshot.segments = Some(counters.segments.saturating_sub(last.segments));
        }
        Ok(snapshot)
    }

    /// The inodes of the connections to watched ports that a process holds.
    #[must_use]
    pub fn connection_inodes(&mut self) -> Vec<u64> {
        if self.filter.ports.is_empty() {
            return Vec::new(); // to `list`, no port means every port
        }
        let filter = &self.filter;
        let found = self.source.query(|source| {
            let mut found = Vec::new();
            source.list(connection_states(), &filter.ports, &mut |socket| {
                if socket.inode != 0 && filter.watches(socket.local) {
                    found.push(socket.inode);
                }
            })?;
            Ok(found)
        });
        found.unwrap_or_default()
    }

    /// The connections that are open or still being delivered: the busy ones first, then by unsent bytes. It does not affect
    /// the next snapshot.
    ///
    /// # Errors
    ///
    /// Neither netlink nor /proc shows anything.
    pub fn connections(&mut self) -> Result<Vec<Connection>, SocketsUnavailable> {
        self.select_ports()?;
        if self.filter.ports.is_empty() {
            return Ok(Vec::new()); // to `list`, no port means every port
        }
        let filter = &self.filter;
        self.source.query(|source| {
            let mut found = Vec::new();
            source.list(connection_states(), &filter.ports, &mut |socket| {
                let is_watched = filter.watches(socket.local) && !filter.ignores(socket.peer.ip());
                if is_watched && (socket.is_open() || socket.is_being_delivered()) {
                    found.push(connection(socket));
                }
            })?;
            found.sort_by_key(|one: &Connection| std::cmp::Reverse((one.is_busy, one.unsent, one.unread)));
            Ok(found)
        })
    }
}

fn connection(socket: &Socket) -> Connection {
    let times = match socket.flow {
        Flow::Exact(times) => Some(times),
        Flow::Fingerprint { .. } | Flow::Unknown => None,
    };
    Connection {
        peer: socket.peer,
        port: socket.local.port(),
        state: socket.state,
        is_waiting: socket.is_in_accept_queue(),
        is_busy: socket.is_busy(),
        unread: socket.unread(),
        unsent: socket.unsent(),
        since_arrival: times.map(|times| times.received),
        since_response: times.filter(Times::has_sent).map(|times| times.sent),
    }
}

fn bits(states: &[TcpState]) -> u32 {
    states.iter().fold(0, |bits, state| bits | state.bit())
}

/// Every state of a connection except TIME-WAIT.
fn connection_states() -> u32 {
    bits(&[
        TcpState::Established,
        TcpState::CloseWait,
        TcpState::FinWait1,
        TcpState::FinWait2,
        TcpState::Closing,
        TcpState::LastAck,
        TcpState::SynReceived,
    ])
}

/// Requests the list, and again if it changed while it was made. After [`TRIES`] requests an incomplete list is used.
fn list<'a>(
    source: &mut SocketSource,
    filter: &'a SocketFilter,
    previous: Option<&'a PreviousSnapshot>,
    coverage: Coverage,
    other_ports: &[u16],
) -> io::Result<SnapshotDiff<'a>> {
    let (states, ports) = match coverage {
        Coverage::WatchedPorts => (connection_states() | TcpState::Listen.bit(), &filter.ports[..]),
        Coverage::AllSockets => (connection_states() | bits(&[TcpState::Listen, TcpState::TimeWait]), &[][..]),
    };
    let mut tries = 0;
    loop {
        let mut diff = SnapshotDiff::new(filter, previous, coverage, other_ports.to_vec());
        let is_complete = source.list(states, ports, &mut |socket| diff.add(socket))?;
        tries += 1;
        if is_complete || tries == TRIES {
            diff.end_list();
            return Ok(diff);
        }
    }
}
