//! Calls: what the kernel remembers of them, what is none, and how none is lost.

use std::net::UdpSocket;
use std::os::fd::OwnedFd;

use softstop::probe::Caller;
use softstop::rate::Before;
use softstop::sys::sockets::NamespaceCounters;

use super::*;

/// Peers and ages of calls, the oldest first.
fn ages(look: &Snapshot) -> Vec<(IpAddr, Duration)> {
    let mut found: Vec<_> = look.calls.iter().map(|call| (call.peer, call.age)).collect();
    found.sort_unstable_by_key(|&(_, age)| std::cmp::Reverse(age));
    found
}

impl Server {
    /// Exchanges a request and a response with a client of this address. Returns the client, after the server has closed.
    fn close_first(&self, from: Ipv4Addr) -> TcpStream {
        let mut client = connect_from(from, self.address).unwrap();
        exchange(&mut client, &mut self.listener.accept().unwrap().0);
        client
    }
}

#[test]
fn a_connection_that_the_server_closed_is_remembered_as_a_call_of_that_moment() {
    each_way("calls::a_connection_that_the_server_closed_is_remembered_as_a_call_of_that_moment", |_| {
        let (server, other) = (Server::new(), Server::new());
        let peer = |last| Ipv4Addr::new(127, 0, 1, last);
        let call = |last| {
            let begin = Instant::now();
            let client = server.close_first(peer(last));
            (begin, client)
        };
        let [first, second, third] = [1, 2, 3].map(|last| {
            let (begin, client) = call(last);
            // The last client does not close, which is another state.
            let client = (last == 3).then_some(client);
            let end = Instant::now();
            thread::sleep(Duration::from_millis(150));
            (begin, end, client)
        });
        // The controls: these leave nothing, or leave it on another port.
        (0..4).for_each(|_| server.serve_one(End::Client));
        (0..4).for_each(|_| server.serve_one(End::Reset));
        (0..4).for_each(|_| other.serve_one(End::Server));
        thread::sleep(MOMENT);
        let mut watch = Watch::port(server.address.port());
        let at_least = [&first, &second, &third].map(|call| call.1.elapsed());
        let look = watch.look();
        let at_most = [&first, &second, &third].map(|call| call.0.elapsed());
        let found = ages(&look);
        assert_eq!(found.iter().map(|call| call.0).collect::<Vec<_>>(), [1, 2, 3].map(|last| IpAddr::V4(peer(last))));
        for ((at_least, at_most), (_, age)) in at_least.into_iter().zip(at_most).zip(found) {
            let tolerance = Duration::from_millis(50);
            assert!(age + tolerance >= at_least && age <= at_most + tolerance, "{age:?}: {at_least:?} to {at_most:?}");
        }
        assert!(
            look.calls.iter().all(|call| call.is_first && !call.hides_earlier && call.caller == Caller::Any),
            "{look:?}"
        );
        assert_eq!((look.new, look.open), (0, 0));
        thread::sleep(MOMENT);
        assert_eq!(watch.look().calls, [], "they are reported once");
        // The kernel starts the timer again when the client closes too: the call seems younger, never older.
        drop(third);
        let look = Watch::port(server.address.port()).look();
        let (peer_of_last, age) = *ages(&look).last().unwrap();
        assert!(look.calls.len() == 3 && peer_of_last == peer(3) && age < Duration::from_millis(150), "{look:?}");
    });
}

#[test]
fn of_many_ended_connections_a_thousand_of_a_family_are_read() {
    each_way("calls::of_many_ended_connections_a_thousand_of_a_family_are_read", |_| {
        let (four, six) = (Server::new(), Server::on(Ipv6Addr::LOCALHOST));
        let ports = [four.address.port(), six.address.port()];
        let look = || Watch::of(Subject { ports: &ports, ..EVERYTHING }, None).look();
        (0..150).for_each(|_| four.serve_one(End::Server));
        assert_eq!(look().calls.len(), 150, "the control: fewer are all read");
        (0..900).for_each(|_| four.serve_one(End::Server));
        (0..1_050).for_each(|_| six.serve_one(End::Server));
        let (of_four, of_six): (Vec<_>, Vec<_>) = look().calls.into_iter().partition(|call| call.peer.is_ipv4());
        assert_eq!((of_four.len(), of_six.len()), (1000, 1000));
    });
}

#[test]
fn a_connection_is_no_call_until_its_first_byte() {
    each_way("calls::a_connection_is_no_call_until_its_first_byte", |way| {
        let server = Server::new();
        let mut watch = watch(way);
        // Between two snapshots.
        for server_closes_first in [false, true] {
            let (client, served) = server.connect();
            let (first, second) = if server_closes_first { (served, client) } else { (client, served) };
            drop(first);
            drop(second);
            thread::sleep(MOMENT);
            let look = watch.look();
            assert_eq!((look.new, look.calls), (1, vec![]));
        }
        // Open for several snapshots, both in the accept queue and accepted.
        let mut client = TcpStream::connect(server.address).unwrap();
        let settled = |watch: &mut Watch| {
            thread::sleep(MOMENT);
            let look = watch.look();
            (look.open, look.calls)
        };
        (0..3).for_each(|_| assert_eq!(settled(&mut watch), (1, vec![])));
        let mut served = server.listener.accept().unwrap().0;
        (0..3).for_each(|_| assert_eq!(settled(&mut watch), (1, vec![])));
        for is_first in [true, false, false] {
            exchange(&mut client, &mut served);
            let (open, calls) = settled(&mut watch);
            let seen: Vec<_> = calls.iter().map(|call| (call.peer, call.is_first, call.hides_earlier)).collect();
            // /proc shows none of them, and says so.
            assert_eq!((open, seen), (1, if way == Way::Netlink { vec![(LOCALHOST, is_first, true)] } else { vec![] }));
            assert_eq!(settled(&mut watch), (1, vec![]), "a call is reported once");
        }
        // The last call comes after the last snapshot that shows the connection.
        exchange(&mut client, &mut served);
        drop((client, served));
        let (_, calls) = settled(&mut watch);
        let seen: Vec<_> = calls.iter().map(|call| (call.is_first, call.hides_earlier)).collect();
        assert_eq!(seen, if way == Way::Netlink { vec![(false, false)] } else { vec![] });
    });
}

#[test]
fn a_call_just_after_a_snapshot_is_seen_by_the_next_even_if_that_is_late() {
    within(
        "calls::a_call_just_after_a_snapshot_is_seen_by_the_next_even_if_that_is_late",
        &[],
        &[Way::Netlink],
        |way| {
            let server = Server::new();
            let (mut client, mut served) = server.connect();
            exchange(&mut client, &mut served);
            let mut watch = watch(way);
            thread::sleep(MOMENT);
            let now = watch.now();
            watch.look_at(now);
            exchange(&mut client, &mut served);
            // The clock was read 100 ms after the last snapshot. Then others had the processor for 150 ms: a container's quota
            // of processor time stops it for up to 100 ms.
            thread::sleep(Duration::from_millis(250));
            let look = watch.look_at(now + Duration::from_millis(100));
            assert_eq!(look.calls.len(), 1, "{look:?}");
            // The control: it is not seen again, even if the clock says that it might be new.
            let look = watch.look_at(now + Duration::from_secs(10));
            assert_eq!((look.open, look.calls), (1, vec![]));
        },
    );
}

/// Subscribes to the events of destroyed sockets, as a watcher does, but without a filter.
pub(super) fn unfiltered_events() -> OwnedFd {
    // SAFETY: the kernel reads an address and an integer of the sizes given; the descriptor is new and has no other owner.
    unsafe {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        let fd = libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_SOCK_DIAG);
        let mut address: libc::sockaddr_nl = mem::zeroed();
        address.nl_family = libc::AF_NETLINK as _;
        address.nl_groups = 1 << 0 | 1 << 2; // SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET6_TCP_DESTROY
        assert_eq!(libc::bind(fd, (&raw const address).cast(), size_of::<libc::sockaddr_nl>() as u32), 0);
        let size = 512 * 1024;
        let length = size_of::<i32>() as u32;
        assert_eq!(libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, (&raw const size).cast(), length), 0);
        OwnedFd::from_raw_fd(fd)
    }
}

/// Reads all events. Returns their number, and whether some were lost.
pub(super) fn drain(events: &OwnedFd) -> (usize, bool) {
    let (mut count, mut are_lost) = (0, false);
    let mut buffer = [0_u8; 4096];
    loop {
        // SAFETY: the pointer and the length are those of the buffer, which the kernel writes.
        let length = unsafe { libc::recv(events.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        match std::io::Error::last_os_error().raw_os_error() {
            _ if length > 0 => count += 1,
            Some(libc::ENOBUFS) => are_lost = true,
            Some(libc::EAGAIN) => return (count, are_lost),
            error => panic!("{error:?}"),
        }
    }
}

/// The control: a queue without the filter has overflowed.
fn overflows(events: &OwnedFd) {
    let mut delivered = 0;
    eventually("the queue has overflowed", || {
        let (count, are_lost) = drain(events);
        delivered += count;
        are_lost.then_some(())
    });
    println!("figure: without the filter {delivered} events of {FLOOD} connections were delivered");
}

/// A neighbour's connections: more than any queue of events holds.
const FLOOD: usize = 9000;

#[test]
fn a_neighbours_flood_loses_none_of_our_calls() {
    within("calls::a_neighbours_flood_loses_none_of_our_calls", &[], &[Way::Netlink], |_| {
        let ours = Server::on(Ipv4Addr::UNSPECIFIED);
        let app = Stray(app_with(&ours).id() as i32);
        let neighbour = Server::new();
        let mut watch = Watch::of(EVERYTHING, Some(vec![process(app.0 as u32, std::process::id())]));
        watch.look();
        let unfiltered = unfiltered_events();
        for number in 0..FLOOD {
            neighbour.serve_one(End::Reset);
            if number % (FLOOD / 5) == 0 {
                ours.serve_one(End::Client);
            }
        }
        overflows(&unfiltered);
        let look = watch.until("our connections are new", |look| look.new >= 5);
        assert_eq!((look.new, look.calls.len(), look.sees_calls), (5, 5, true), "{look:?}");
    });
}

#[test]
fn a_neighbours_flood_before_our_first_listener_loses_none_of_our_calls() {
    within("calls::a_neighbours_flood_before_our_first_listener_loses_none_of_our_calls", &[], &[Way::Netlink], |_| {
        let neighbour = Server::new();
        let mut watch = Watch::of(EVERYTHING, Some(Vec::new()));
        watch.look();
        let unfiltered = unfiltered_events();
        (0..FLOOD).for_each(|_| neighbour.serve_one(End::Reset));
        overflows(&unfiltered);
        let ours = Server::on(Ipv4Addr::UNSPECIFIED);
        let app = Stray(app_with(&ours).id() as i32);
        watch.ours = Some(vec![process(app.0 as u32, std::process::id())]);
        let look = watch.look();
        assert_eq!((watch.watcher.ports(), look.sees_calls), (&[ours.address.port()][..], true));
        ours.serve_one(End::Client);
        let look = watch.until("our connection is new", |look| look.new == 1);
        assert_eq!((look.calls.len(), look.sees_calls), (1, true));
    });
}

/// Gives these lines to ip(8).
fn ip(lines: &str) {
    let mut ip = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    ip.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(ip.wait().unwrap().success(), "{lines}");
}

/// Waits until this namespace's eth0 can use IPv6: before that the kernel does not count what comes to all neighbours as such.
fn eth0_has_settled() {
    let table = "/proc/thread-self/net/if_inet6";
    let is_ready = |line: &str| {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        words[5] == "eth0" && u8::from_str_radix(words[4], 16).unwrap() & libc::IFA_F_TENTATIVE as u8 == 0
    };
    eventually("eth0 has an address", || fs::read_to_string(table).unwrap().lines().any(is_ready).then_some(()));
}

/// Sockets on which this address speaks to all neighbours on eth0, by IPv4 and IPv6.
fn to_all(from: Ipv4Addr) -> [UdpSocket; 2] {
    let four = UdpSocket::bind((from, 0)).unwrap();
    four.connect("224.0.0.1:9").unwrap();
    let six = UdpSocket::bind("[::]:0").unwrap();
    // SAFETY: the name is a string that ends with a zero.
    let index = unsafe { libc::if_nametoindex(c"eth0".as_ptr()) };
    six.connect(std::net::SocketAddrV6::new("ff02::1".parse().unwrap(), 9, 0, index)).unwrap();
    [four, six]
}

#[test]
fn connections_without_a_byte_mean_that_nobody_called() {
    let name = "calls::connections_without_a_byte_mean_that_nobody_called";
    if Way::here().is_none()
        && !have("root and ip, for a second network namespace", is_root() && in_path("ip").is_some())
    {
        return;
    }
    within(name, &[], &[Way::Netlink], |_| {
        const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 98, 0, 1);
        const SERVER: Ipv4Addr = Ipv4Addr::new(10, 98, 0, 2);
        let ours = fs::canonicalize("/proc/thread-self").unwrap().join("ns/net");
        let server = Server::on(Ipv4Addr::UNSPECIFIED);
        let address = SocketAddr::from((SERVER, server.address.port()));
        // On loopback both directions arrive in this namespace, and so count twice. That is no silence.
        let start = NamespaceCounters::read().unwrap();
        drop(server.connect());
        thread::sleep(MOMENT);
        assert_eq!(Before::of(NamespaceCounters::read().unwrap().since(start)), Before::Accepted(1));

        let (do_connect, connects) = std::sync::mpsc::channel::<bool>();
        thread::scope(|scope| {
            let (is_up, up) = std::sync::mpsc::channel();
            scope.spawn(move || {
                new_network();
                ip(&format!(
                    "link add eth0 type veth peer name eth0 netns {}\n\
                     addr add {CLIENT} peer {SERVER} dev eth0\n\
                     link set eth0 up\n",
                    ours.display()
                ));
                is_up.send(()).unwrap();
                eth0_has_settled();
                let all = to_all(CLIENT);
                for with_byte in connects {
                    for socket in &all {
                        socket.send(&[0; 100]).unwrap();
                    }
                    let mut client = TcpStream::connect(address).unwrap();
                    if with_byte {
                        client.write_all(b"?").unwrap();
                    }
                }
            });
            up.recv().unwrap();
            ip(&format!("addr add {SERVER} peer {CLIENT} dev eth0\nlink set eth0 up\n"));
            eth0_has_settled();
            let start = NamespaceCounters::read().unwrap();
            let received = |with_byte| {
                do_connect.send(with_byte).unwrap();
                let (mut served, _) = server.listener.accept().unwrap();
                let mut buffer = Vec::new();
                served.read_to_end(&mut buffer).unwrap();
                assert_eq!(buffer.len(), usize::from(with_byte));
                drop(served);
                thread::sleep(MOMENT);
                let now = NamespaceCounters::read().unwrap();
                Before::of(now.since(start))
            };
            assert_eq!([(); 5].map(|()| received(false)), [Before::Nobody; 5]);
            assert_eq!(received(true), Before::Accepted(6));
            drop(do_connect);
        });
    });
}
