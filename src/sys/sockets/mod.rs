//! The TCP traffic of the container's network namespace, as far as the kernel shows it to everybody: whether requests
//! still arrive, what is open, what would be lost. It is looked at during a stop only; before, nothing here exists.
//!
//! # What the kernel tells
//!
//! Three sources, none of which needs a privilege: root or not, with every capability dropped and under Docker's default
//! seccomp profile they say the same. All of them show this network namespace only.
//!
//! **The list of sockets**, by netlink (`sock_diag`). Of each connection: its addresses, how many bytes wait to be read
//! and to be acknowledged, and when data last flowed each way.
//!
//! - A FIN counts as a byte in both queues.
//! - A listener's receive queue is the length of its accept queue. The connections in that queue are in the list as well,
//!   established (or CLOSE-WAIT), with bytes to read, and with inode 0: no process holds them. They have inode 0 too once
//!   the app has closed them while the kernel still delivers (FIN-WAIT-1, CLOSING, LAST-ACK).
//! - A connection's age without data counts from its handshake, in both directions. So "when did a request byte arrive
//!   last" and "when was a connection made last" are one number.
//! - The clock behind these ages ticks every 1 to 10 ms (`CONFIG_HZ`).
//! - A TIME-WAIT has an address and no more. Where the other side has not closed it calls itself FIN-WAIT-2, and comes
//!   with a request for those, told apart by its timer. Its cookie is the connection's only if somebody had asked for that
//!   while it lived.
//! - Half-open connections come with a request for SYN-RECV, and stay so under `TCP_DEFER_ACCEPT` until data comes.
//! - IPv4 over an IPv6 listener is in the IPv6 list, with mapped addresses.
//! - Of listeners that share a port (`SO_REUSEPORT`) each is listed, with an inode and an accept queue of its own.
//!
//! **The news of each connection that ends** (`ss --events`), with its last times. A connection that comes and goes
//! between two looks is seen thereby, whoever closes first, with its port and its peer. No count has to be guessed.
//!
//! **The namespace's counters** (`/proc/net/snmp`). `PassiveOpens` counts the connections made to any listener of the
//! namespace, when their handshake ends, before the app accepts them.
//!
//! # What is certain
//!
//! With netlink ([`Source::Netlink`]) all numbers of a [`Look`] are those of the watched ports alone, and exact: a
//! sidecar's connections are not among them. Four limits:
//!
//! - So many connections may end between two looks that the news overflow: more than some 330 of the whole namespace with
//!   the usual `net.core.rmem_max`, both ends of one within it being two. Then the first ones are told, and for the others
//!   `PassiveOpens` helps out, as below.
//! - The news of an end may come a moment late, on a busy machine at the next look. The ages in it are those at the end:
//!   what they say is younger than it is, never older. So a connection that ended just before the first look may count as
//!   new at the second.
//! - *Idle* means that nothing is unread, unsent or unanswered. Whether an answer that pauses is at its end the
//!   kernel cannot know, nor in which order a request and an answer of the same tick came: those count as idle.
//! - A connection that was reset before the first look and that the app has not closed by then counts as new when it
//!   is closed. Its times are right all the same.
//!
//! Where netlink is refused, or lacks in the kernel ([`Source::ProcNet`]), there is `/proc/net/tcp{,6}`, which knows no
//! times. The differences between two looks stand in for them:
//!
//! - *New* are the addresses that the last two looks did not show, TIME-WAITs included. That is certain, and all of those
//!   that the app closed first are among them, for they stay in TIME-WAIT for a minute.
//! - One that came and went, and was closed by its client first, is in `PassiveOpens` alone. What no socket that was seen
//!   explains is ours if nobody else listens in the namespace (but on loopback: there the client's end is seen), and
//!   counts as new. Else it is told as [`Look::unexplained`] and counts for nothing: a sidecar's probe is to keep
//!   nobody waiting.
//! - A request on a connection that was kept alive shows only if a look falls into it, or if it changed one of the
//!   few marks there are (delayed acknowledgements, the window): [`Look::since_arrival`] may be older than said. What
//!   cannot be missed is that segments arrived in the namespace, whosever they were: [`Look::segments`]. Where there
//!   were none, no request was missed.
//! - Nothing is known of the time before the first look.
//!
//! # What it costs
//!
//! With 10,000 connections a look by netlink takes some 17 ms of CPU, of which 12 ms are the kernel's, and some 350 kB;
//! tests/sockets.rs measures it. The kernel leaves out other ports by itself (`INET_DIAG_REQ_BYTECODE`), which matters
//! where thousands of others' connections share the namespace. The text takes about 3 ms for each 1,000 sockets of the
//! namespace, TIME-WAITs included, of which 2 ms are the kernel's: look less often where it is slow. Either is made while
//! we ask: nothing blocks.

mod listeners;
mod netlink;
mod proc_net;
mod socket;
mod tally;
mod wire;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub use self::socket::State;

use self::listeners::Listener;
use self::netlink::{Deaths, Diag};
use self::socket::{Flow, Socket};
use self::tally::{Balance, Known, Scope, Tally, Width};
use crate::network::Network;

/// How often a list that changed while it was made is asked for again.
const TRIES: usize = 3;

/// Who tells of the sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Netlink: exact.
    Netlink,
    /// `/proc/net/tcp{,6}`: bytes on connections that are kept alive are mostly not to be seen.
    ProcNet,
}

/// How the watched ports were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// They were named.
    Named,
    /// Those on which our processes listen; but not where another listens on the same port at an address of his own.
    Ours,
    /// Not every process let us look into it (it changed its user, and we have no privilege), so that public ports on
    /// which nobody is seen to listen are among them. Left out are those that a user made who is none of ours.
    Guessed,
}

/// Nothing can be seen: neither by netlink nor in /proc.
#[derive(Debug)]
pub struct Blind {
    netlink: io::Error,
    proc_net: io::Error,
}

impl fmt::Display for Blind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no look at the sockets: netlink says {}, /proc/net/tcp says {}", self.netlink, self.proc_net)
    }
}

impl std::error::Error for Blind {}

/// What one look shows. Ages are as of the look. Peers that are ignored are in none of the numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The watched ports that still have a listener, in order.
    pub listening: Vec<u16>,
    /// Connections to watched ports that were made since the last look, those that have ended already included. The first
    /// look has none.
    pub new: u64,
    /// Connections that the namespace accepted since the last look and that may have been ours; but others listen in the
    /// namespace too, and nothing says that they were. Always 0 where netlink tells all.
    pub unexplained: u64,
    /// Connections that the namespace accepted since the last look, whosever. `None`: not to be had (no /proc).
    pub accepted_in_namespace: Option<u64>,
    /// Connections that the app has, or has in its accept queue: `idle` and `busy` together.
    pub open: u64,
    /// Of the open ones those on which nothing is under way.
    pub idle: u64,
    /// Of the open ones those with bytes to read or to send, or with a request that waits for its answer.
    pub busy: u64,
    /// Of the open ones those in the accept queue: reset when the listener closes.
    pub waiting: u64,
    /// Of these those with unread bytes: requests that would be lost.
    pub waiting_unread: u64,
    /// Clients in the midst of the handshake, or who have not sent a byte yet to a listener that waits for one
    /// (`TCP_DEFER_ACCEPT`). Not open yet; lost when the listener closes.
    pub half_open: u64,
    /// Connections that the app has closed while the kernel still delivers what it wrote.
    pub lingering: u64,
    /// Bytes that the app wrote and clients have not acknowledged, on open and lingering connections.
    pub unsent: u64,
    /// How long ago a connection was made or a request byte arrived. `None`: not seen on any that is there, or that ended
    /// since the last look. Without [`Self::sees_bytes`] it is an age at most: there may have been a later one.
    pub since_arrival: Option<Duration>,
    /// How long ago a byte of a response was sent to somebody who takes it.
    pub since_response: Option<Duration>,
    /// Whose connection or byte it was that arrived last.
    pub last_peer: Option<IpAddr>,
    /// Whether every request byte is seen, on connections that are kept alive too.
    pub sees_bytes: bool,
    /// Segments that arrived in the namespace since the last look, whosever. Where there were none, nothing was missed.
    pub segments: Option<u64>,
}

impl Look {
    fn arrived(&mut self, age: Duration, peer: IpAddr) {
        if self.since_arrival.is_none_or(|youngest| age < youngest) {
            self.since_arrival = Some(age);
            self.last_peer = Some(peer);
        }
    }

    fn responded(&mut self, age: Duration) {
        self.since_response = Some(self.since_response.map_or(age, |youngest| youngest.min(age)));
    }
}

/// A connection, for a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Who called.
    pub peer: SocketAddr,
    /// Which of the watched ports.
    pub port: u16,
    /// What has become of it.
    pub state: State,
    /// Whether it waits to be accepted.
    pub is_waiting: bool,
    /// Whether something is under way.
    pub is_busy: bool,
    /// Bytes that the app has not read.
    pub unread: u32,
    /// Bytes that the client has not acknowledged.
    pub unsent: u32,
    /// How long ago the client sent something, or was connected. `None`: netlink alone knows.
    pub since_arrival: Option<Duration>,
    /// How long ago the app sent something. `None`: never, or netlink alone knows.
    pub since_response: Option<Duration>,
}

impl Connection {
    fn of(socket: &Socket) -> Self {
        let times = match socket.flow {
            Flow::Told(times) => Some(times),
            Flow::Marked { .. } | Flow::Forgotten => None,
        };
        Self {
            peer: socket.peer,
            port: socket.local.port(),
            state: socket.state,
            is_waiting: socket.waits(),
            is_busy: socket.is_busy(),
            unread: socket.unread(),
            unsent: socket.unsent(),
            since_arrival: times.map(|times| times.received),
            since_response: times.filter(|times| times.has_answered).map(|times| times.sent),
        }
    }
}

#[derive(Debug)]
enum Eyes {
    Netlink {
        diag: Diag,
        /// `None`: a kernel that does not tell.
        deaths: Option<Deaths>,
    },
    ProcNet {
        /// Why not netlink.
        refusal: io::Error,
    },
}

impl Eyes {
    fn open() -> Self {
        // The news first: none is to end between the first list and the first news.
        let deaths = Deaths::open().ok();
        match Diag::open() {
            Ok(diag) => Self::Netlink { diag, deaths },
            Err(error) => Self::ProcNet { refusal: error.into() },
        }
    }

    /// Shows the sockets in these states on these ports (on any, where there are none). Says whether the list was whole.
    fn list(&mut self, states: u32, ports: &[u16], see: &mut dyn FnMut(&Socket)) -> io::Result<bool> {
        match self {
            Self::Netlink { diag, .. } => Ok(diag.dump(states, ports, see)?),
            Self::ProcNet { .. } => proc_net::list(&mut |socket| {
                if states & socket.state.bit() != 0 && (ports.is_empty() || ports.contains(&socket.local.port())) {
                    see(socket);
                }
            })
            .map(|()| true),
        }
    }

    /// Does it with netlink if that can be, else without, for good.
    fn look<T>(&mut self, mut look: impl FnMut(&mut Self) -> io::Result<T>) -> Result<T, Blind> {
        let error = match look(self) {
            Ok(seen) => return Ok(seen),
            Err(error) => error,
        };
        if let Self::ProcNet { refusal } = self {
            return Err(Blind { netlink: copy(refusal), proc_net: error });
        }
        let netlink = copy(&error);
        *self = Self::ProcNet { refusal: error };
        look(self).map_err(|proc_net| Blind { netlink, proc_net })
    }
}

fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

fn bits(states: &[State]) -> u32 {
    states.iter().fold(0, |bits, state| bits | state.bit())
}

/// Everything of a connection but its TIME-WAIT.
fn connections() -> u32 {
    bits(&[
        State::Established,
        State::CloseWait,
        State::FinWait1,
        State::FinWait2,
        State::Closing,
        State::LastAck,
        State::SynReceived,
    ])
}

/// Looks at the traffic of some ports. Opened when a stop begins.
#[derive(Debug)]
pub struct Watch {
    eyes: Eyes,
    named: Vec<u16>,
    ours: Option<Vec<i32>>,
    /// `None`: nothing could be seen so far.
    choice: Option<Choice>,
    scope: Scope,
    others: Vec<u16>,
    has_neighbours: bool,
    /// `None`: before the first look.
    known: Option<Known>,
    balance: Balance,
    counted: Option<proc_net::Counters>,
}

impl Watch {
    /// Begins to watch these ports; without any, those TCP ports on which one of our processes listens now. Who `ours`
    /// are, by pid, is `None` where it cannot be told: then all ports are taken on which somebody listens for more than
    /// loopback. Peers to `ignore` are probes and monitors.
    #[must_use]
    pub fn begin(ports: &[u16], ours: Option<&[i32]>, ignore: &[Network]) -> Self {
        let mut watch = Self {
            eyes: Eyes::open(),
            named: ports.to_vec(),
            ours: ours.map(<[i32]>::to_vec),
            choice: None,
            scope: Scope { ignore: ignore.to_vec(), ..Scope::default() },
            others: Vec::new(),
            has_neighbours: false,
            known: None,
            balance: Balance::default(),
            counted: None,
        };
        let _ = watch.choose(); // the first look says it
        watch
    }

    /// The watched ports, in order. None: nothing of ours listens, and nothing is to be waited for.
    #[must_use]
    pub fn ports(&self) -> &[u16] {
        &self.scope.ports
    }

    /// How they were found; `None` where nothing could be seen.
    #[must_use]
    pub fn choice(&self) -> Option<Choice> {
        self.choice
    }

    /// Who tells.
    #[must_use]
    pub fn source(&self) -> Source {
        match self.eyes {
            Eyes::Netlink { .. } => Source::Netlink,
            Eyes::ProcNet { .. } => Source::ProcNet,
        }
    }

    /// Why netlink does not tell, where it does not.
    #[must_use]
    pub fn refusal(&self) -> Option<&io::Error> {
        match &self.eyes {
            Eyes::Netlink { .. } => None,
            Eyes::ProcNet { refusal } => Some(refusal),
        }
    }

    fn choose(&mut self) -> Result<(), Blind> {
        if self.choice.is_some() {
            return Ok(());
        }
        let listeners = self.eyes.look(|eyes| {
            let mut found = Vec::new();
            eyes.list(State::Listen.bit(), &[], &mut |socket| found.extend(Listener::of(socket)))?;
            Ok(found)
        })?;
        let (choice, ports) = listeners::choose(&self.named, self.ours.as_deref(), &listeners);
        self.choice = Some(choice);
        self.scope.ports = ports.watched;
        self.scope.elsewhere = ports.elsewhere;
        self.others = ports.others;
        self.has_neighbours = ports.has_neighbours;
        Ok(())
    }

    /// One look.
    ///
    /// # Errors
    ///
    /// Neither netlink nor /proc shows anything.
    pub fn look(&mut self) -> Result<Look, Blind> {
        self.choose()?;
        if self.scope.ports.is_empty() {
            return Ok(Look { sees_bytes: self.source() == Source::Netlink, ..Look::default() });
        }
        // Before the list: what comes in between is on the list of this look and in the count of the next.
        let counters = proc_net::counters();
        let Self { eyes, scope, others, has_neighbours, known, balance, .. } = self;
        let began_with_netlink = matches!(eyes, Eyes::Netlink { .. });
        let (mut look, now) = eyes.look(|eyes| {
            let by_netlink = matches!(eyes, Eyes::Netlink { .. });
            let width = match eyes {
                Eyes::Netlink { deaths: Some(_), .. } => Width::Watched,
                Eyes::Netlink { deaths: None, .. } | Eyes::ProcNet { .. } => Width::All,
            };
            // The two call connections by other names: after a change all is as on the first look.
            let known = known.as_ref().filter(|_| by_netlink == began_with_netlink);
            if known.is_none() {
                balance.start(counters.map(|counters| counters.accepted));
            }
            let mut tally = list(eyes, scope, known, width, others)?;
            let all_ends_told = match eyes {
                Eyes::Netlink { deaths: Some(deaths), .. } => deaths.drain(&mut |socket| tally.died(socket)),
                Eyes::Netlink { deaths: None, .. } | Eyes::ProcNet { .. } => false,
            };
            tally.look.sees_bytes = by_netlink;
            let accepted = counters.map(|counters| counters.accepted);
            if all_ends_told && *has_neighbours {
                balance.start(accepted); // theirs are not on the list
            } else if all_ends_told {
                balance.add(tally.explained);
            } else if known.is_some() {
                let unexplained = balance.take(accepted, tally.explained);
                // Of connections over loopback the wide list shows the client's end too.
                let may_be_anothers = if width == Width::All { !tally.others.is_empty() } else { *has_neighbours };
                if may_be_anothers {
                    tally.look.unexplained = unexplained;
                } else if unexplained > 0 {
                    tally.look.new += unexplained;
                    tally.look.since_arrival = Some(Duration::ZERO);
                    // Whose it was nobody saw: `last_peer` stays that of the last one seen, if any.
                }
            }
            *others = std::mem::take(&mut tally.others);
            Ok(tally.into_known(all_ends_told))
        })?;
        self.known = Some(now);
        let last = std::mem::replace(&mut self.counted, counters);
        if let (Some(counters), Some(last)) = (counters, last) {
            look.accepted_in_namespace = Some(counters.accepted.saturating_sub(last.accepted));
            look.segments = Some(counters.segments.saturating_sub(last.segments));
        }
        Ok(look)
    }

    /// The connections that are open or still being delivered, the busy ones first, then by the bytes unsent; `most` at
    /// most. For a report: it changes nothing about the next look.
    ///
    /// # Errors
    ///
    /// Neither netlink nor /proc shows anything.
    pub fn connections(&mut self, most: usize) -> Result<Vec<Connection>, Blind> {
        self.choose()?;
        if self.scope.ports.is_empty() {
            return Ok(Vec::new()); // no port is not every port
        }
        let scope = &self.scope;
        self.eyes.look(|eyes| {
            let mut found = Vec::new();
            eyes.list(connections(), &scope.ports, &mut |socket| {
                let is_ours = scope.watches(socket.local) && !scope.ignores(socket.peer.ip());
                if is_ours && (socket.is_open() || socket.lingers()) {
                    found.push(Connection::of(socket));
                    // Now and then, so that never many more are held than are wanted.
                    if found.len() >= most.saturating_mul(2).max(64) {
                        keep_first(&mut found, most);
                    }
                }
            })?;
            keep_first(&mut found, most);
            Ok(found)
        })
    }
}

fn keep_first(connections: &mut Vec<Connection>, most: usize) {
    connections.sort_by_key(|connection| std::cmp::Reverse((connection.is_busy, connection.unsent, connection.unread)));
    connections.truncate(most);
}

/// Asks for the list, again where it changed while it was made; the last one has to do.
fn list<'a>(
    eyes: &mut Eyes,
    scope: &'a Scope,
    known: Option<&'a Known>,
    width: Width,
    others: &[u16],
) -> io::Result<Tally<'a>> {
    let (states, ports) = match width {
        Width::Watched => (connections() | State::Listen.bit(), &scope.ports[..]),
        Width::All => (connections() | bits(&[State::Listen, State::TimeWait]), &[][..]),
    };
    let mut tries = 0;
    loop {
        let mut tally = Tally::new(scope, known, width, others.to_vec());
        let is_whole = eyes.list(states, ports, &mut |socket| tally.see(socket))?;
        tries += 1;
        if is_whole || tries == TRIES {
            tally.end_list();
            return Ok(tally);
        }
    }
}
