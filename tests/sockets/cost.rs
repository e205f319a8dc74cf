//! What a snapshot costs, beside the kernel's bare dump.

use std::os::fd::OwnedFd;

use super::*;

/// The client's end of many connections. It is a process of its own, since the limit on descriptors is per process.
#[test]
#[ignore = "run by the test below"]
fn crowd() {
    let Ok(address) = env::var("SOFTSTOP_TEST_CROWD") else { return };
    let address: SocketAddr = address.parse().unwrap();
    raise_limit();
    let connections: Vec<_> = (0..CROWD).map(|_| TcpStream::connect(address).unwrap()).collect();
    println!("\ncrowd is here");
    let _ = std::io::stdin().read(&mut [0]);
    drop(connections);
}

const CROWD: usize = 10_000;
const ENDED: usize = 1_500;

fn raise_limit() -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointers lead to an rlimit, which the kernel reads and writes.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
    }
    limit.rlim_max > CROWD as u64 + 100
}

/// The CPU time that this thread has used so far.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer leads to a timespec, which the kernel writes.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The mean CPU time of a few rounds: some kernels account CPU time in ticks of up to 10 ms.
fn cost(mut round: impl FnMut()) -> Duration {
    const ROUNDS: u32 = 3;
    let start = processor_time();
    (0..ROUNDS).for_each(|_| round());
    (processor_time() - start) / ROUNDS
}

fn median(mut costs: Vec<Duration>) -> Duration {
    costs.sort_unstable();
    costs[costs.len() / 2]
}

/// Receives the same list of connections as a snapshot and parses none of them, which is the kernel's share of a
/// snapshot. Returns the number of bytes received.
fn bare_dump(way: Way, port: u16) -> usize {
    match way {
        Way::Netlink => bare_netlink_dump(libc::AF_INET, port) + bare_netlink_dump(libc::AF_INET6, port),
        Way::ProcNet => bare_read("/proc/net/tcp") + bare_read("/proc/net/tcp6"),
    }
}

/// A `sock_diag` dump of one address family (`man 7 sock_diag`), with the states and the `tcp_info` of a snapshot.
fn bare_netlink_dump(family: i32, port: u16) -> usize {
    const DUMP: u16 = 0x301; // NLM_F_REQUEST | NLM_F_DUMP
    const BY_FAMILY: u16 = 20; // SOCK_DIAG_BY_FAMILY
    const INFO: u8 = 1 << 1; // 1 << (INET_DIAG_INFO - 1)
    // TCP_ESTABLISHED, SYN_RECV, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, LISTEN, CLOSING
    const STATES: u32 = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11;
    const ERROR: u16 = 2; // NLMSG_ERROR
    const DONE: u16 = 3; // NLMSG_DONE
    let mut request = Vec::new();
    request.extend(72_u32.to_ne_bytes());
    request.extend([BY_FAMILY.to_ne_bytes(), DUMP.to_ne_bytes()].concat());
    request.extend([0; 8]);
    request.extend([family as u8, libc::IPPROTO_TCP as u8, INFO, 0]);
    request.extend(STATES.to_ne_bytes());
    request.extend(port.to_be_bytes());
    request.extend([0; 38]);
    request.extend([0xff; 8]); // any cookie
    assert_eq!(request.len(), 72);

    // SAFETY: takes three integers; the descriptor is new and has no other owner.
    let socket = unsafe {
        let fd = libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_SOCK_DIAG);
        OwnedFd::from_raw_fd(fd)
    };
    // SAFETY: the pointer and the length are those of the request, which the kernel reads.
    let sent = unsafe { libc::send(socket.as_raw_fd(), request.as_ptr().cast(), request.len(), 0) };
    assert_eq!(sent, 72);
    let mut buffer = vec![0_u8; 32 * 1024];
    let mut total = 0;
    loop {
        // SAFETY: the pointer and the length are those of the buffer, which the kernel writes.
        let length = unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        let datagram = &buffer[..usize::try_from(length).unwrap()];
        total += datagram.len();
        // A dump ends with NLMSG_DONE, which has a header of 16 bytes and an error number.
        let kind = |header: &[u8]| u16::from_ne_bytes([header[4], header[5]]);
        let last = &datagram[datagram.len().saturating_sub(20)..];
        if kind(datagram) == ERROR || last.starts_with(&20_u32.to_ne_bytes()) && kind(last) == DONE {
            return total;
        }
    }
}

fn bare_read(path: &str) -> usize {
    let Ok(mut file) = fs::File::open(path) else { return 0 }; // a kernel without IPv6
    let mut buffer = vec![0; 32 * 1024];
    let mut total = 0;
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => return total,
            length => total += length,
        }
    }
}

/// A field of `/proc/self/status`, in kB.
fn memory(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

#[test]
fn a_snapshot_of_ten_thousand_connections_stays_within_its_budget() {
    if Way::here().is_none() && !have("room for 10,000 descriptors (ulimit -Hn)", raise_limit()) {
        return;
    }
    each_way("cost::a_snapshot_of_ten_thousand_connections_stays_within_its_budget", |way| {
        raise_limit();
        let server = Server::new();
        // A longer accept queue than the standard library's: a client that finds the queue full retries after a second.
        // SAFETY: takes two integers.
        unsafe { libc::listen(server.listener.as_raw_fd(), 4096) };
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "cost::crowd", "--ignored", "--nocapture"]);
        command.env("SOFTSTOP_TEST_CROWD", server.address.to_string());
        let mut crowd = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let said = Lines::of(crowd.stdout.take().unwrap());
        let connections: Vec<_> = (0..CROWD).map(|_| server.listener.accept().unwrap()).collect();
        said.wait_containing("crowd is here");

        // Connections that have ended: more than are read.
        (0..ENDED).for_each(|_| server.serve_one(End::Server));
        thread::sleep(MOMENT);

        // The first snapshot pages in code and stack, which is no cost of the connections.
        Watch::port(1).look();
        fs::write("/proc/self/clear_refs", "5").unwrap(); // resets VmHWM
        let before = memory("VmRSS:");
        // Finds the port among the descriptors of our process, which has 10,000, and reads what the kernel remembers.
        let first_look = || {
            let mut watch = Watch::new();
            let look = watch.look();
            assert_eq!((look.open, look.new), (CROWD as u64, 0));
            // Nobody has sent a byte on those that are open.
            assert_eq!(look.calls.len(), 1_000);
            watch
        };
        let mut watch = first_look();
        let mut look = || {
            let look = watch.look();
            assert_eq!((look.open, look.new), (CROWD as u64, 0));
        };
        let port = server.address.port();
        let (mut firsts, mut looks, mut dumps) = (Vec::new(), Vec::new(), Vec::new());
        // In turn, so that other load on the machine slows down both alike.
        for _ in 0..7 {
            firsts.push(cost(|| drop(first_look())));
            looks.push(cost(&mut look));
            dumps.push(cost(|| {
                let length = bare_dump(way, port);
                assert!(length > CROWD * 72, "a dump of {length} bytes does not hold all {CROWD} connections");
            }));
        }
        let peak = memory("VmHWM:") - before;
        assert_eq!(watch.watcher.connections().unwrap().len(), CROWD);
        let [first, look, dump] = [firsts, looks, dumps].map(median);
        let [of_first, ratio] = [first, look].map(|cost| cost.as_secs_f64() / dump.as_secs_f64());
        println!(
            "figure: the first snapshot {first:?}, a later one {look:?}, a bare dump {dump:?}, \
             ratios {of_first:.1} and {ratio:.1}; {peak} kB"
        );
        assert!(peak < 2048, "{peak} kB");
        // About two and a half times the ratios measured: 1.1 and 1.3 optimised, 2.5 and 3.6 unoptimised.
        let limit = match way {
            _ if !cfg!(debug_assertions) => 3,
            Way::Netlink => 6,
            Way::ProcNet => 9,
        };
        assert!(ratio < f64::from(limit), "a snapshot takes {look:?}, {ratio:.1} times the {dump:?} of a bare dump");
        // The first one may take twice as long, and by /proc reads the tables three times: which ports, what is open, and what has
        // ended.
        let limit_of_first = if way == Way::Netlink { limit * 2 } else { limit * 3 };
        assert!(of_first < f64::from(limit_of_first), "the first takes {first:?}, {of_first:.1} times a bare dump");
        // The control: the clock would have shown a snapshot that costs more.
        let start = processor_time();
        (0..limit * 2).for_each(|_| assert_ne!(bare_dump(way, port), 0));
        let more = processor_time() - start;
        assert!(more > dump * limit, "{} bare dumps take {more:?}, but one takes {dump:?}", limit * 2);
        drop(connections);
        crowd.kill().unwrap();
        crowd.wait().unwrap();
    });
}
