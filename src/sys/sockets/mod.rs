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
//! - If too many connections to the watched ports end between two snapshots the event queue overflows: more than about 330
//!   with the usual `net.core.rmem_max`, and 800 at most. The first events are delivered; for the others `PassiveOpens` stands
//!   in, as below. A filter keeps the events of other ports out of the queue, unless more than 64 ports are watched.
//! - On a busy machine an event may come one snapshot late. Its times are as of the end of the connection, so they may be too
//!   young, never too old. A connection that ended just before the first snapshot may count as new in the
//!   second.
//! - *Idle* means that nothing is unread, unsent or unanswered. The kernel does not know whether a response that pauses is
//!   complete: that counts as idle. Nor does it know in which order a request and a response of the same tick came: such a
//!   request counts as unanswered, for 5 s at most, if the client has acknowledged nothing after it. That may be wrong.
//! - A connection that was reset before the first snapshot, and that the app closes only later, counts as new when it is
//!   closed. Its times are right.
//!
//! If netlink is refused, or missing in the kernel ([`SourceKind::ProcNet`]), `/proc/net/tcp{,6}` is read. It has no times, and
//! what a connection brings between two snapshots does not show. So there the counters decide: every connection that the
//! namespace accepts and every segment that arrives in it may be a call. In a busy pod this means that nothing is ever quiet.
//! The same holds for netlink on kernels that report no destroyed sockets, before Linux 4.2.
//!
//! The time before the stop is known as far as the kernel remembers it: a TIME-WAIT stays for a minute and has a timer, and an
//! open connection shows its last call. Of the TIME-WAITs a thousand of each family are read, in no order. The timer starts
//! again when the client closes too, so a call may seem too young, never too old. A connection that the client closed first has
//! left nothing.
//!
//! # What it costs
//!
//! With 10,000 connections a snapshot by netlink takes about 17 ms of CPU, most of it in the kernel, and about 500 kB;
//! tests/sockets/cost.rs measures it, and the first one too. If a listener is not ours, the first snapshot also reads all
//! descriptors of our processes: about 40 ms for 10,000. The kernel filters by port (`INET_DIAG_REQ_BYTECODE`), which matters
//! when thousands of other connections share the namespace. `/proc/net/tcp{,6}` takes about 3 ms for each 1,000 sockets of the namespace,
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
use std::os::fd::BorrowedFd;
use std::time::Duration;

pub use self::listening::{ListeningSocket, listening};
pub use self::source::{SocketsUnavailable, SourceKind};

use self::listeners::Listener;
use self::snapshot_diff::{PreviousSnapshot, SnapshotDiff, SocketFilter};
use self::socket::{Flow, Socket, Times};
use self::source::SocketSource;
use super::procfs;
use crate::network::Network;
use crate::process::Process;
use crate::rate::Received;
use crate::shutdown::Moment;
use crate::snapshot::{Connection, Snapshot, TcpState};
use crate::traffic::Unseen;

/// The counters of the network namespace at one moment, since it was created.
#[derive(Clone, Copy, Debug)]
pub struct NamespaceCounters {
    of_tcp: proc_net::Counters,
    octets: Option<u64>,
}

impl NamespaceCounters {
    /// Reads them. `None`: they are hidden.
    #[must_use]
    pub fn read() -> Option<Self> {
        Some(Self { of_tcp: proc_net::counters()?, octets: proc_net::octets() })
    }

    /// What has come since an earlier moment.
    #[must_use]
    pub fn since(self, start: Self) -> Received {
        let proc_net::Counters { accepted, segments } = self.of_tcp.since(start.of_tcp);
        let octets = self.octets.zip(start.octets).map(|(now, start)| now.saturating_sub(start));
        Received { accepted, segments, octets }
    }
}

/// If a list changed while it was made it is requested again, up to this many times in all.
const TRIES: usize = 3;

/// So many TIME-WAITs are read of each address family. A list of tens of thousands takes tens of milliseconds. A sample of a few
/// hundred would give the same rate, but would miss most calls of a probe among those of busy clients.
const MOST_TIME_WAITS: usize = 1_000;

/// So many destroyed sockets are kept until the next snapshot. More are left in the kernel's queue.
const MOST_DESTROYED: usize = 1024;

/// How the watched ports were chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortSelection {
    /// A setting named them.
    Named,
    /// Our own processes listen on them. Addresses on which another process listens on the same port are left out.
    OwnProcesses,
    /// Some process of ours hides its descriptors: it changed its user, and we have no privilege. So public ports whose
    /// listener no process is seen to hold are watched too, except those created by a user that the hidden processes never
    /// were.
    Guessed,
}

/// What to watch.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// These ports. If there are none, the TCP ports on which one of our processes listens.
    pub ports: &'a [u16],
    /// Peers that count for nothing (probes, monitors).
    pub ignore: &'a [Network],
    /// Peers that are no probes.
    pub count: &'a [Network],
    /// Whether a Unix socket may be how clients come.
    pub counts_unix: bool,
}

/// Our own processes, read when they are needed. `None`: they are unknown. Then every port with a listener beyond loopback is
/// watched.
pub type OwnProcesses<'a> = dyn Fn() -> Option<Vec<Process>> + 'a;

/// The connections that have ended since they were last noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// None has.
    None,
    /// Some have, and were noted.
    Some,
    /// So many were noted before that the next snapshot must come first.
    TooMany,
}

/// Takes snapshots of the traffic on some ports. Created when a stop begins.
#[derive(Debug)]
pub struct SocketWatcher {
    source: SocketSource,
    has_named: bool,
    counts_unix: bool,
    /// `None`: no list of sockets could be read yet.
    selection: Option<PortSelection>,
    /// The listeners in the network namespace when the ports were chosen, by their inodes.
    listeners: Vec<u64>,
    filter: SocketFilter,
    /// Why no call can be seen while no port is watched.
    unseen: Option<Unseen>,
    /// `None`: before the first snapshot.
    previous: Option<PreviousSnapshot>,
    /// Sockets that were destroyed since the last snapshot, and when that was noticed.
    destroyed: Vec<(Moment, Socket)>,
    /// Whether the news of others were lost.
    has_lost: bool,
    counters: Option<proc_net::Counters>,
}

impl SocketWatcher {
    /// Watches a subject.
    #[must_use]
    pub fn new(subject: Subject<'_>) -> Self {
        let filter = SocketFilter {
            ports: listeners::sorted(subject.ports.to_vec()),
            elsewhere: Vec::new(),
            ignore: subject.ignore.to_vec(),
            count: subject.count.to_vec(),
        };
        Self {
            source: SocketSource::open(),
            has_named: !subject.ports.is_empty(),
            counts_unix: subject.counts_unix,
            selection: None,
            listeners: Vec::new(),
            filter,
            unseen: None,
            previous: None,
            destroyed: Vec::new(),
            has_lost: false,
            counters: None,
        }
    }

    /// The watched ports, in order. Empty: none of our processes listens on one.
    #[must_use]
    pub fn ports(&self) -> &[u16] {
        &self.filter.ports
    }

    /// How the ports were chosen. `None`: no list of sockets could be read.
    #[must_use]
    pub fn selection(&self) -> Option<PortSelection> {
        self.selection
    }

    /// Why clients may come that no snapshot shows, if they may.
    #[must_use]
    pub fn unseen(&self) -> Option<Unseen> {
        self.unseen
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

    /// Chooses the ports, if there is a listener that was not there before.
    fn select_ports(
        &mut self,
        now: Moment,
        own_processes: &OwnProcesses<'_>,
        may_end_wait: bool,
    ) -> Result<(), SocketsUnavailable> {
        if self.has_named {
            self.selection = Some(PortSelection::Named);
        } else {
            let listeners = self.source.query(|source| {
                let mut found = Vec::new();
                source.list(TcpState::Listen.bit(), &[], &mut |socket| found.extend(Listener::of(socket)))?;
                Ok(found)
            })?;
            let is_new = |listener: &Listener| !self.listeners.contains(&listener.inode());
            if !self.filter.ports.is_empty() && !listeners.iter().any(is_new) {
                return Ok(());
            }
            self.note_ends(now); // the news of the ports that were watched before
            self.listeners = listeners.iter().map(Listener::inode).collect();
            // These only say why a wait cannot end early.
            let unix = if self.counts_unix && may_end_wait { listening::unix_listeners() } else { Vec::new() };
            let datagrams = if may_end_wait { listening::datagram_servers() } else { Vec::new() };
            // If nobody listens, do not read the descriptors of what may be thousands of processes.
            let is_nobody = listeners.is_empty() && unix.is_empty() && datagrams.is_empty();
            let ours = if is_nobody { Some(Vec::new()) } else { own_processes() };
            let (selection, ports) = listeners::select(ours.as_deref(), &listeners);
            self.selection = Some(selection);
            // A port stays watched when its listener is closed: connections are left, and the listener may come back.
            self.filter.ports = listeners::sorted([&self.filter.ports[..], &ports.watched].concat());
            self.filter.elsewhere = ports.elsewhere;
            let is_held = |inodes: &[u64]| {
                let holds = |process: &Process| procfs::holds_or_hides(process.pid, &|inode| inodes.contains(&inode));
                !inodes.is_empty() && ours.as_ref().is_none_or(|ours| ours.iter().any(holds))
            };
            self.unseen = match () {
                () if !self.filter.ports.is_empty() => None,
                () if is_held(&unix) => Some(Unseen::UnixSocket),
                () if is_held(&datagrams) => Some(Unseen::Datagrams),
                () => None,
            };
        }
        if let SocketSource::Netlink { destroy_events: Some(events), .. } = &mut self.source {
            events.only(&self.filter.ports);
        }
        Ok(())
    }

    /// A descriptor that becomes readable when a watched connection ends. `None`: the kernel does not tell.
    #[must_use]
    pub fn ends(&self) -> Option<BorrowedFd<'_>> {
        match &self.source {
            SocketSource::Netlink { destroy_events: Some(events), .. } if !self.filter.ports.is_empty() => {
                Some(events.as_fd())
            }
            SocketSource::Netlink { .. } | SocketSource::ProcNet { .. } => None,
        }
    }

    /// Reads which connections have ended, for the next snapshot: the kernel says what they did, but not when they ended.
    pub fn note_ends(&mut self, now: Moment) -> Ends {
        let Self { source: SocketSource::Netlink { destroy_events: Some(events), .. }, destroyed, filter, .. } = self
        else {
            return Ends::None;
        };
        if filter.ports.is_empty() {
            return Ends::None;
        }
        if destroyed.len() > MOST_DESTROYED {
            return Ends::TooMany;
        }
        let mut ends = Ends::None;
        self.has_lost |= !events.drain(&mut |socket| {
            ends = Ends::Some;
            if filter.watches(socket.local) {
                destroyed.push((now, socket.clone()));
            }
        });
        ends
    }

    /// Takes a snapshot. `may_end_wait` is whether it may end the present wait. Then the ports are chosen again if there is a new
    /// listener: the app may have opened it since.
    ///
    /// # Errors
    ///
    /// Neither netlink nor /proc shows anything.
    pub fn snapshot(
        &mut self,
        now: Moment,
        own_processes: &OwnProcesses<'_>,
        may_end_wait: bool,
    ) -> Result<Snapshot, SocketsUnavailable> {
        if self.selection.is_none() || (may_end_wait && !self.has_named) {
            self.select_ports(now, own_processes, may_end_wait)?;
        }
        if self.filter.ports.is_empty() {
            return Ok(Snapshot { sees_calls: true, ..Snapshot::default() });
        }
        // Read the counters before the list: a connection that is made in between is on this list and in the next count.
        let counters = proc_net::counters();
        let Self { source, filter, previous, destroyed, has_lost, .. } = self;
        let has_lost = std::mem::take(has_lost);
        let kind_before = source.kind();
        let (mut snapshot, now) = source.query(|source| {
            let kind = source.kind();
            // The two sources identify connections differently, so after a change of source there is no previous snapshot.
            let previous = previous.as_ref().filter(|_| kind == kind_before);
            let mut diff = list(source, filter, previous, now)?;
            if previous.is_none() {
                // Without the memory of the past the rate is unknown, and the wait is longer.
                let _ =
                    source.sample(TcpState::TimeWait.bit(), &filter.ports, MOST_TIME_WAITS, &mut |one| diff.add(one));
            }
            for (noticed, socket) in destroyed.drain(..) {
                diff.add_destroyed(&socket, now.saturating_sub(noticed));
            }
            let all_ends_seen = match source {
                SocketSource::Netlink { destroy_events: Some(events), .. } => {
                    events.drain(&mut |socket| diff.add_destroyed(socket, Duration::ZERO)) && !has_lost
                }
                SocketSource::Netlink { destroy_events: None, .. } | SocketSource::ProcNet { .. } => false,
            };
            diff.snapshot.sees_calls = all_ends_seen;
            Ok(diff.into_previous(all_ends_seen))
        })?;
        self.previous = Some(now);
        let last = std::mem::replace(&mut self.counters, counters);
        if let (Some(counters), Some(last)) = (counters, last) {
            let proc_net::Counters { accepted, segments } = counters.since(last);
            snapshot.accepted_in_namespace = Some(accepted);
            snapshot.segments = Some(segments);
            if !snapshot.sees_calls {
                snapshot.new = snapshot.new.max(accepted);
            }
        }
        Ok(snapshot)
    }

    /// The inodes of the connections to watched ports that a process holds, in order.
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
        let mut found = found.unwrap_or_default();
        found.sort_unstable();
        found
    }

    /// The connections that are open or still being delivered: the busy ones first, then by unsent bytes. It does not affect
    /// the next snapshot.
    ///
    /// # Errors
    ///
    /// Neither netlink nor /proc shows anything.
    pub fn connections(&mut self) -> Result<Vec<Connection>, SocketsUnavailable> {
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
        Flow::Ended(_) | Flow::Unknown => None,
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

/// Every state of a connection except TIME-WAIT.
fn connection_states() -> u32 {
    const STATES: [TcpState; 7] = [
        TcpState::Established,
        TcpState::CloseWait,
        TcpState::FinWait1,
        TcpState::FinWait2,
        TcpState::Closing,
        TcpState::LastAck,
        TcpState::SynReceived,
    ];
    STATES.iter().fold(0, |bits, state| bits | state.bit())
}

/// Requests the list, and again if it changed while it was made. After [`TRIES`] requests an incomplete list is used.
fn list<'a>(
    source: &mut SocketSource,
    filter: &'a SocketFilter,
    previous: Option<&'a PreviousSnapshot>,
    now: Moment,
) -> io::Result<SnapshotDiff<'a>> {
    let states = connection_states() | TcpState::Listen.bit();
    let mut tries = 0;
    loop {
        let mut diff = SnapshotDiff::new(filter, previous, now);
        let is_complete = source.list(states, &filter.ports, &mut |socket| diff.add(socket))?;
        tries += 1;
        if is_complete || tries == TRIES {
            diff.end_list();
            return Ok(diff);
        }
    }
}
