//! What the supervisor sees of TCP traffic. Each test runs itself again in a new network namespace with real sockets:
//! once with netlink, and once with a seccomp filter that refuses netlink, so that /proc is used.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::similar_names,
    clippy::unchecked_time_subtraction,
    clippy::disallowed_methods,
    reason = "a test panics when it fails; unlike the init it may read the clock and wait for its children"
)]

use common::docker::{Files, have_engine};
use common::namespace::*;
use common::*;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, mem, thread};

use nix::sys::socket::sockopt;
use softstop::network::Network;
use softstop::probe::Caller;
use softstop::process::Process;
use softstop::snapshot::{SeenCall, Snapshot, TcpState};
use softstop::sys::sockets::{PortSelection, SocketWatcher, Subject};

#[path = "sockets/calls.rs"]
mod calls;
#[path = "sockets/cost.rs"]
mod cost;
#[path = "sockets/ports.rs"]
mod ports;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The longest tick of the kernel clock that ages are measured by (`CONFIG_HZ=100`). An age may be one tick too high.
const TICK: Duration = Duration::from_millis(10);

/// For the events of destroyed sockets, which the kernel sends a moment after the end.
const MOMENT: Duration = Duration::from_millis(50);

/// What a watcher is told of a process. It reads the rest itself.
fn process(pid: u32, parent: u32) -> Process {
    let [pid, parent] = [pid, parent].map(|pid| i32::try_from(pid).unwrap());
    let name = String::new();
    Process { pid, name, parent, group: pid, is_stopped: false, started: 0, age: None }
}

fn ourselves() -> Vec<Process> {
    vec![process(std::process::id(), std::os::unix::process::parent_id())]
}

/// A watcher, the processes that are ours, and the clock.
struct Watch {
    watcher: SocketWatcher,
    ours: Option<Vec<Process>>,
    start: Instant,
}

const EVERYTHING: Subject<'_> = Subject { ports: &[], ignore: &[], count: &[], counts_unix: true };

impl Watch {
    fn of(subject: Subject<'_>, ours: Option<Vec<Process>>) -> Self {
        Self { watcher: SocketWatcher::new(subject), ours, start: Instant::now() }
    }

    /// Of our own listeners, before the first snapshot.
    fn new() -> Self {
        Self::of(EVERYTHING, Some(ourselves()))
    }

    /// Of one port, whoever listens there.
    fn port(port: u16) -> Self {
        Self::of(Subject { ports: &[port], ..EVERYTHING }, None)
    }

    /// The time by the supervisor's clock.
    fn now(&self) -> Duration {
        Duration::from_secs(100) + self.start.elapsed()
    }

    fn look(&mut self) -> Snapshot {
        self.look_at(self.now())
    }

    fn look_at(&mut self, now: Duration) -> Snapshot {
        self.watcher.snapshot(now, &|| self.ours.clone(), true).unwrap()
    }

    /// Takes snapshots until this holds. Returns the last one, with the new connections and the calls of all of them, and whether
    /// each saw all calls.
    #[track_caller]
    fn until(&mut self, what: &str, holds: impl Fn(&Snapshot) -> bool) -> Snapshot {
        let (mut new, mut calls, mut sees_calls) = (0, Vec::new(), true);
        eventually(what, || {
            let mut look = self.look();
            new += look.new;
            calls.append(&mut look.calls);
            look.new = new;
            sees_calls &= look.sees_calls;
            look.sees_calls = sees_calls;
            look.calls.clone_from(&calls);
            holds(&look).then_some(look)
        })
    }
}

/// A watch of our own listeners that has taken its first snapshot.
fn watch(way: Way) -> Watch {
    watch_but(way, &[])
}

fn watch_but(way: Way, ignore: &[Network]) -> Watch {
    let mut watch = Watch::of(Subject { ignore, ..EVERYTHING }, Some(ourselves()));
    let first = watch.look();
    assert_eq!((watch.watcher.source(), watch.watcher.selection()), (way.source(), Some(PortSelection::OwnProcesses)));
    assert_eq!(first.new, 0, "the first snapshot has nothing to be compared with");
    if !watch.watcher.ports().is_empty() {
        assert_eq!(first.sees_calls, way == Way::Netlink);
    }
    watch
}

/// A listener and its address.
struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    fn on(address: impl Into<IpAddr>) -> Self {
        let listener = TcpListener::bind((address.into(), 0)).unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    fn new() -> Self {
        Self::on(Ipv4Addr::LOCALHOST)
    }

    /// Makes a connection. Returns the client's end and the server's end.
    fn connect(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(self.address).unwrap();
        (client, self.listener.accept().unwrap().0)
    }

    /// Makes a connection, exchanges a request and a response on it, and ends it.
    fn serve_one(&self, end: End) {
        let (mut client, mut server) = self.connect();
        exchange(&mut client, &mut server);
        match end {
            End::Client => {
                drop(client);
                assert_eq!(server.read(&mut [0; 8]).unwrap(), 0);
            }
            End::Server => {
                drop(server);
                assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
            }
            End::Reset => {
                reset(client);
                assert!(server.read(&mut [0; 8]).is_err());
            }
        }
    }
}

/// How a connection ends: which side closes first, or by a reset from the client, which leaves no TIME-WAIT.
#[derive(Clone, Copy, Debug)]
enum End {
    Client,
    Server,
    Reset,
}

/// The only call of a snapshot, which came after this moment: its peer, whether it was the first, and whether it hides others.
#[track_caller]
fn one_call(look: &Snapshot, after: Instant) -> (IpAddr, bool, bool) {
    let [SeenCall { peer, age, is_first, hides_earlier, caller: Caller::Any }] = look.calls[..] else {
        panic!("{look:?}")
    };
    assert!(age <= after.elapsed() + TICK, "{look:?}");
    (peer, is_first, hides_earlier)
}

fn reset(client: TcpStream) {
    nix::sys::socket::setsockopt(&client, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 }).unwrap();
    drop(client);
}

fn exchange(client: &mut TcpStream, server: &mut TcpStream) {
    let mut buffer = [0; 8];
    client.write_all(b"question").unwrap();
    server.read_exact(&mut buffer).unwrap();
    server.write_all(b"answer..").unwrap();
    client.read_exact(&mut buffer).unwrap();
}

#[test]
fn connections_over_ipv4_ipv6_and_ipv4_mapped_addresses_are_seen() {
    each_way("connections_over_ipv4_ipv6_and_ipv4_mapped_addresses_are_seen", |way| {
        let (four, six) = (Server::new(), Server::on(Ipv6Addr::LOCALHOST));
        let both = Server::on(Ipv6Addr::UNSPECIFIED);
        let mut watch = watch(way);
        let mut ports = [&four, &six, &both].map(|server| server.address.port());
        ports.sort_unstable();
        assert_eq!(watch.watcher.ports(), ports);
        let _kept = [four.connect(), six.connect()];
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, both.address.port())).unwrap();
        let _accepted = both.listener.accept().unwrap();
        let look = watch.until("three connections are new", |look| look.new == 3);
        assert_eq!((look.open, look.idle, look.busy, look.waiting), (3, 3, 0, 0));
        assert_eq!(look.listening, ports);
        let peers: Vec<_> = watch.watcher.connections().unwrap().iter().map(|connection| connection.peer).collect();
        assert!(peers.contains(&client.local_addr().unwrap()), "the peer is not shown as an IPv4 address: {peers:?}");
        assert_eq!(peers.len(), 3);
        assert_eq!(watch.until("a snapshot", |_| true).new, 0);
    });
}

#[test]
fn a_keep_alive_connection_is_quiet_until_a_request_arrives() {
    each_way("a_keep_alive_connection_is_quiet_until_a_request_arrives", |way| {
        let server = Server::new();
        let (mut client, mut served) = server.connect();
        exchange(&mut client, &mut served);
        let mut watch = watch(way);
        let quiet = watch.until("nothing arrives", |look| look.segments == Some(0));
        assert_eq!((quiet.open, quiet.idle, quiet.new), (1, 1, 0));
        // The request of before the watch is in the first snapshot. The kernel's clock may show it in the second too.
        thread::sleep(TICK * 5);
        watch.look();
        assert_eq!(watch.look().calls, []);
        let asking = Instant::now();
        client.write_all(b"question").unwrap();
        let asked = watch.until("the connection is busy", |look| look.busy == 1);
        assert_eq!((asked.open, asked.new), (1, 0));
        match way {
            Way::Netlink => assert_eq!(one_call(&asked, asking), (LOCALHOST, false, true)),
            // /proc/net/tcp has no times, but its segment shows that there may have been a call.
            Way::ProcNet => assert!(asked.segments > Some(0) && asked.calls.is_empty(), "{asked:?}"),
        }
        served.read_exact(&mut [0; 8]).unwrap();
        if way == Way::Netlink {
            // The request has been read and not answered. /proc/net/tcp does not show that.
            assert_eq!(watch.look().busy, 1);
            thread::sleep(TICK * 5);
        }
        let answering = Instant::now();
        served.write_all(b"answer..").unwrap();
        client.read_exact(&mut [0; 8]).unwrap();
        let answered = watch.until("the connection is idle", |look| look.idle == 1);
        match way {
            Way::Netlink => assert!(answered.since_response.unwrap() <= answering.elapsed() + TICK, "{answered:?}"),
            Way::ProcNet => assert_eq!(answered.since_response, None),
        }
    });
}

#[test]
fn a_request_on_a_keep_alive_connection_between_two_snapshots_leaves_a_trace() {
    each_way("a_request_on_a_keep_alive_connection_between_two_snapshots_leaves_a_trace", |way| {
        let server = Server::new();
        let (mut client, mut served) = server.connect();
        exchange(&mut client, &mut served);
        let mut watch = watch(way);
        watch.until("the connection is quiet", |look| look.segments == Some(0));
        thread::sleep(TICK * 5);
        watch.look();
        let asking = Instant::now();
        exchange(&mut client, &mut served);
        let look = watch.look();
        match way {
            Way::Netlink => assert_eq!(one_call(&look, asking), (LOCALHOST, false, true)),
            Way::ProcNet => assert!(look.segments > Some(0) && !look.sees_calls, "{look:?}"),
        }
    });
}

#[test]
fn short_connections_between_two_snapshots_are_counted_whichever_side_closes_first() {
    each_way("short_connections_between_two_snapshots_are_counted_whichever_side_closes_first", |way| {
        let server = Server::new();
        let mut watch = watch(way);
        for end in [End::Client, End::Server, End::Reset] {
            for _ in 0..7 {
                server.serve_one(end);
            }
            let look = watch.until("seven connections are new", |look| look.new >= 7);
            assert_eq!((look.new, look.open), (7, 0), "{end:?}");
            // /proc shows no end of a connection, and the snapshot says so.
            let calls = if way == Way::Netlink { 7 } else { 0 };
            assert_eq!((look.calls.len(), look.sees_calls), (calls, way == Way::Netlink), "{end:?}");
            assert!(
                look.calls
                    .iter()
                    .all(|call| (call.peer, call.is_first, call.hides_earlier) == (LOCALHOST, true, false))
            );
            // The event must not be counted a second time.
            thread::sleep(MOMENT);
            let look = watch.look();
            assert_eq!((look.new, look.calls), (0, vec![]), "{end:?}");
        }
    });
}

#[test]
fn a_known_connection_does_not_count_as_new_when_it_ends() {
    each_way("a_known_connection_does_not_count_as_new_when_it_ends", |way| {
        let server = Server::new();
        let pairs = [server.connect(), server.connect(), server.connect()];
        let mut watch = watch(way);
        assert_eq!(watch.look().open, 3);
        let [(c1, s1), (c2, s2), (c3, mut s3)] = pairs;
        drop((c1, s1));
        drop((s2, c2));
        // The kernel removes a reset connection from its list at once, before the app closes it.
        reset(c3);
        assert!(s3.read(&mut [0; 8]).is_err());
        let look = watch.until("all connections are gone", |look| look.open == 0);
        assert_eq!(look.new, 0);
        assert_eq!(watch.look().new, 0);
        drop(s3);
        thread::sleep(MOMENT);
        assert_eq!(watch.look().new, 0);
        // The control: a connection that no snapshot has shown does count.
        drop(server.connect());
        watch.until("the control is new", |look| look.new == 1);
    });
}

#[test]
fn connections_in_the_accept_queue_are_counted_with_and_without_a_request() {
    each_way("connections_in_the_accept_queue_are_counted_with_and_without_a_request", |way| {
        let server = Server::new();
        let mut watch = watch(way);
        let _silent = TcpStream::connect(server.address).unwrap();
        let mut asking = TcpStream::connect(server.address).unwrap();
        asking.write_all(b"question").unwrap();
        let mut gone = TcpStream::connect(server.address).unwrap();
        gone.write_all(b"question").unwrap();
        gone.shutdown(std::net::Shutdown::Write).unwrap();
        let leaving = TcpStream::connect(server.address).unwrap();
        leaving.shutdown(std::net::Shutdown::Write).unwrap();
        let look = watch.until("four connections wait in the accept queue", |look| look.new == 4);
        assert_eq!((look.open, look.waiting, look.waiting_unread, look.busy), (4, 4, 2, 2));
        assert_eq!(look.pending, 3, "all but the one that has closed without a byte");
        let waiting = watch.watcher.connections().unwrap();
        assert_eq!(waiting.iter().filter(|connection| connection.is_waiting && connection.unread == 8).count(), 2);
        let _accepted = server.listener.accept().unwrap();
        // `_silent` came first.
        let look = watch.look();
        assert_eq!((look.waiting, look.pending), (3, 2));
        drop(server);
        let look = watch.look();
        assert_eq!(
            (look.waiting, look.pending, look.open, look.listening.len()),
            (0, 0, 1, 0),
            "connections in the queue of a closed listener are reset: {look:?}"
        );
    });
}

#[test]
fn every_accept_queue_counts_when_listeners_share_a_port() {
    each_way("every_accept_queue_counts_when_listeners_share_a_port", |way| {
        let share = || {
            // SAFETY: the kernel reads an integer and an address of the sizes given; the descriptor is new and has no
            // other owner.
            unsafe {
                let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
                let one = 1;
                let size = size_of::<i32>() as u32;
                let option = libc::SO_REUSEPORT;
                assert_eq!(libc::setsockopt(fd, libc::SOL_SOCKET, option, (&raw const one).cast(), size), 0);
                let mut address: libc::sockaddr_in = mem::zeroed();
                address.sin_family = libc::AF_INET as _;
                address.sin_port = 8088_u16.to_be();
                assert_eq!(libc::bind(fd, (&raw const address).cast(), size_of::<libc::sockaddr_in>() as u32), 0);
                assert_eq!(libc::listen(fd, 64), 0);
                TcpListener::from_raw_fd(fd)
            }
        };
        let listeners = [share(), share()];
        let mut watch = watch(way);
        assert_eq!(watch.watcher.ports(), [8088]);
        let _clients: Vec<_> = (0..20).map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, 8088)).unwrap()).collect();
        let look = watch.until("twenty connections wait in the accept queues", |look| look.new == 20);
        assert_eq!((look.waiting, look.listening), (20, vec![8088]));
        drop(listeners);
    });
}

#[test]
fn a_client_that_is_still_in_the_handshake_is_half_open() {
    each_way("a_client_that_is_still_in_the_handshake_is_half_open", |way| {
        let server = Server::new();
        let seconds = 30;
        // SAFETY: the pointer leads to an integer, which the kernel reads.
        let result = unsafe {
            let (fd, size) = (server.listener.as_raw_fd(), size_of::<i32>() as u32);
            libc::setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, (&raw const seconds).cast(), size)
        };
        assert_eq!(result, 0);
        let mut watch = watch(way);
        let mut client = TcpStream::connect(server.address).unwrap();
        let look = watch.until("the connection is half open", |look| look.half_open == 1);
        assert_eq!((look.new, look.open, look.pending, look.calls), (0, 0, 1, vec![]));
        // By then it would have sent its request, if it had one. The time is an argument, so we need not wait.
        let seen = watch.now();
        let pending = |watch: &mut Watch, after| watch.look_at(seen + Duration::from_millis(after)).pending;
        assert_eq!([2900, 3000, 9000].map(|after| pending(&mut watch, after)), [1, 0, 0]);
        assert_eq!(watch.look_at(seen + Duration::from_secs(10)).half_open, 1);
        // The control: a younger one is pending.
        let _second = TcpStream::connect(server.address).unwrap();
        eventually("another is half open", || {
            let look = watch.look_at(seen + Duration::from_secs(11));
            (look.half_open == 2).then(|| assert_eq!(look.pending, 1))
        });
        client.write_all(b"question").unwrap();
        let look = watch.until("the connection is new", |look| look.new == 1);
        assert_eq!((look.half_open, look.waiting_unread, look.pending > 0), (1, 1, true));
    });
}

#[test]
fn a_response_in_delivery_is_seen_after_the_app_has_closed_its_socket() {
    each_way("a_response_in_delivery_is_seen_after_the_app_has_closed_its_socket", |way| {
        let server = Server::new();
        let (mut client, mut served) = server.connect();
        let mut watch = watch(way);
        client.write_all(b"question").unwrap();
        served.read_exact(&mut [0; 8]).unwrap();
        served.set_nonblocking(true).unwrap();
        let mut written = 0_u64;
        while let Ok(length) = served.write(&[7; 4096]) {
            written += length as u64;
        }
        let look = watch.until("the response is being sent", |look| look.busy == 1 && look.unsent > 0);
        assert!(look.unsent <= written, "{look:?}");
        // Meanwhile the client's kernel may have received more.
        let unsent = u64::from(watch.watcher.connections().unwrap()[0].unsent);
        assert!(unsent > 0 && unsent <= look.unsent, "{unsent} in {look:?}");
        if way == Way::Netlink {
            assert!(look.since_response.is_some());
        }
        drop(served);
        let look = watch.look();
        assert_eq!((look.open, look.lingering, look.new), (0, 1, 0), "{look:?}");
        assert!(look.unsent > 0);
        let left = watch.watcher.connections().unwrap();
        assert_eq!((left.len(), left[0].state, left[0].peer), (1, TcpState::FinWait1, client.local_addr().unwrap()));
        let mut got = Vec::new();
        client.read_to_end(&mut got).unwrap();
        assert_eq!(got.len() as u64, written);
        watch.until("all is acknowledged by the client", |look| (look.lingering, look.unsent) == (0, 0));
    });
}

/// Starts a process that inherits this listener and stands for the app. The test itself is then a neighbour of the app.
fn app_with(server: &Server) -> Child {
    let fd = server.listener.as_raw_fd();
    // SAFETY: changes a flag of a descriptor that we own.
    unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
    let child = Command::new("sleep").arg("1000").stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    // SAFETY: as above.
    unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    child
}

#[test]
fn a_sidecars_traffic_does_not_count() {
    each_way("a_sidecars_traffic_does_not_count", |way| {
        let ours = Server::on(Ipv4Addr::UNSPECIFIED);
        let mut app = app_with(&ours);
        let app_pid = i32::try_from(app.id()).unwrap();
        let _guard = Stray(app_pid);
        let sidecar = Server::on(Ipv4Addr::UNSPECIFIED);
        let mut watch = Watch::of(EVERYTHING, Some(vec![process(app.id(), std::process::id())]));
        watch.look();
        let selection = watch.watcher.selection();
        assert_eq!((watch.watcher.ports(), selection), (&[ours.address.port()][..], Some(PortSelection::OwnProcesses)));
        let _open = sidecar.connect();
        for end in [End::Client, End::Server, End::Reset] {
            (0..9).for_each(|_| sidecar.serve_one(end));
        }
        thread::sleep(MOMENT);
        let look = watch.look();
        assert_eq!((look.open, look.accepted_in_namespace, &*look.calls), (0, Some(28), &[][..]), "{look:?}");
        // /proc does not show whose the connections were that came and went, so all of them may be calls.
        assert_eq!((look.new, look.sees_calls), if way == Way::Netlink { (0, true) } else { (28, false) });
        // The control: a connection to the app counts, one to the sidecar still does not.
        sidecar.serve_one(End::Client);
        ours.serve_one(End::Client);
        let expected = if way == Way::Netlink { 1 } else { 2 };
        let look = watch.until("the app's connection is new", |look| look.new >= expected);
        assert_eq!((look.new, look.calls.len()), (expected, usize::from(way == Way::Netlink)));
        app.kill().unwrap();
        app.wait().unwrap();
    });
}

#[test]
fn ignored_peers_do_not_count() {
    each_way("ignored_peers_do_not_count", |way| {
        let server = Server::new();
        let probe = Ipv4Addr::new(127, 9, 9, 9);
        let mut watch = watch_but(way, &["127.9.0.0/16".parse().unwrap()]);
        let _open = connect_from(probe, server.address).unwrap();
        let (_waits, _) = server.listener.accept().unwrap();
        drop(connect_from(probe, server.address).unwrap());
        drop(server.listener.accept().unwrap());
        thread::sleep(MOMENT);
        let look = watch.look();
        assert_eq!((look.open, look.pending, &*look.calls), (0, 0, &[][..]), "{look:?}");
        // /proc shows no peer of a connection that came and went: every connection may be a call.
        assert_eq!((look.new, look.sees_calls), if way == Way::Netlink { (0, true) } else { (2, false) });
        assert_eq!(watch.watcher.connections().unwrap(), []);
        // The control: a connection from another address counts, and is named.
        let other = Ipv4Addr::new(127, 8, 9, 9);
        let mut client = connect_from(other, server.address).unwrap();
        exchange(&mut client, &mut server.listener.accept().unwrap().0);
        drop(client);
        let look = watch.until("the control is new", |look| look.new == 1);
        assert_eq!(
            look.calls.iter().map(|call| call.peer).collect::<Vec<_>>(),
            match way {
                Way::Netlink => vec![IpAddr::V4(other)],
                Way::ProcNet => vec![],
            }
        );
    });
}

#[test]
fn connections_are_counted_even_when_the_kernels_events_overflow() {
    each_way("connections_are_counted_even_when_the_kernels_events_overflow", |way| {
        let server = Server::new();
        let mut watch = watch(way);
        let events = (way == Way::Netlink).then(calls::unfiltered_events);
        for _ in 0..3000 {
            server.serve_one(End::Client);
        }
        // The kernel sends the events when it has time. Another queue shows when there are no more.
        let mut quiet_since = Instant::now();
        while let Some(events) = events.as_ref().filter(|_| quiet_since.elapsed() < MOMENT * 10) {
            if calls::drain(events) != (0, false) {
                quiet_since = Instant::now();
            }
            thread::sleep(TICK);
        }
        let look = watch.look();
        println!("figure: {} connections were counted, with {} calls", look.new, look.calls.len());
        assert!(!look.sees_calls, "some events are missing: {look:?}");
        // With netlink some may be counted again, when their events come after the counter.
        assert!(look.new >= 3000 && (way == Way::Netlink || look.new == 3000), "{look:?}");
        // The control: once the queue is empty, all events come again.
        watch.until("the queue is empty", |look| look.new == 0 || way == Way::ProcNet);
        server.serve_one(End::Client);
        let look = watch.until("the next connection is seen as before", |look| look.new >= 1);
        let seen = (look.new, look.calls.len(), look.sees_calls);
        assert_eq!(seen, if way == Way::Netlink { (1, 1, true) } else { (1, 0, false) });
    });
}

#[test]
fn an_unprivileged_user_under_dockers_seccomp_profile_sees_the_same() {
    if !have_engine() {
        return;
    }
    let test = env::current_exe().unwrap();
    let image = Files::empty().program(&test).image([&*format!("ENTRYPOINT [{test:?}]")]);
    for way in Way::ALL {
        let way = format!("--env={WAY}={way:?}");
        let container =
            image.container().locked_down().options([&*way, "--sysctl=net.ipv6.conf.all.disable_ipv6=0"]).command([
                "--test-threads=1",
                "connections_over_ipv4_ipv6_and_ipv4_mapped_addresses_are_seen",
                "a_keep_alive_connection_is_quiet_until_a_request_arrives",
                "short_connections_between_two_snapshots_are_counted_whichever_side_closes_first",
                "a_known_connection_does_not_count_as_new_when_it_ends",
                "connections_in_the_accept_queue_are_counted_with_and_without_a_request",
                "ignored_peers_do_not_count",
            ]);
        let (code, log) = container.start().wait();
        assert!(code == 0 && log.contains(" 6 passed"), "{way}: {log}");
    }
}
