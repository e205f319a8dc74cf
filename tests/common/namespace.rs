//! Runs a test again in a network namespace of its own, in which sockets are read from netlink or, if a seccomp filter forbids
//! that, from /proc.
#![allow(
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "sizes and constants of the C library"
)]

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, io, mem, thread};

use softstop::sys::sockets::SourceKind;

use super::{eventually, have, is_root};

/// The variable that says how sockets are read in this process; unset in the process that cargo started. softstop inherits it,
/// so it must not have the prefix of softstop's settings.
pub const WAY: &str = "TEST_SEES_SOCKETS_BY";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Netlink,
    /// A seccomp filter refuses `socket(AF_NETLINK, ..)`.
    ProcNet,
}

impl Way {
    pub const ALL: [Self; 2] = [Self::Netlink, Self::ProcNet];

    pub fn source(self) -> SourceKind {
        match self {
            Self::Netlink => SourceKind::Netlink,
            Self::ProcNet => SourceKind::ProcNet,
        }
    }

    pub fn here() -> Option<Self> {
        let name = env::var(WAY).ok()?;
        Some(Self::ALL.into_iter().find(|way| format!("{way:?}") == name).unwrap())
    }
}

/// Runs the test of this name again in a network namespace of its own, once for each way. Inside, runs `test`.
pub fn each_way(name: &str, test: impl FnOnce(Way)) {
    within(name, &[], &Way::ALL, test);
}

/// The same with both ways at once, for a test that mostly waits.
pub fn both_ways_at_once(name: &str, test: impl FnOnce(Way)) {
    if Way::here().is_some() {
        return within(name, &[], &[], test);
    }
    thread::scope(|scope| {
        let runs = Way::ALL.map(|way| scope.spawn(move || run_again(name, &[], way)));
        for run in runs {
            run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
}

/// The same with these words between `unshare` and the test.
pub fn within(name: &str, words: &[&str], ways: &[Way], test: impl FnOnce(Way)) {
    let Some(here) = Way::here() else {
        return ways.iter().for_each(|&way| run_again(name, words, way));
    };
    lift_loopback();
    if here == Way::ProcNet {
        refuse_netlink();
    }
    test(here);
}

fn run_again(name: &str, words: &[&str], way: Way) {
    let mut command = Command::new("unshare");
    if !is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.arg("--net").args(words).arg(env::current_exe().unwrap()).args([
        "--exact",
        name,
        "--nocapture",
        "--include-ignored",
    ]);
    let output = command.env(WAY, format!("{way:?}")).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(" 1 passed"), "{way:?}: {said}");
    said.lines().filter(|line| line.starts_with("figure: ")).for_each(|line| println!("{way:?}: {}", &line[8..]));
}

/// Moves this thread to another network namespace: `/proc/PID/ns/net`.
pub(crate) fn enter_network(namespace: &Path) -> io::Result<()> {
    let namespace = File::open(namespace)?;
    // SAFETY: takes two integers; affects only this thread.
    if unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Moves this thread to a new network namespace, with a loopback. The threads and processes that it starts are born there.
pub fn new_network() {
    // SAFETY: takes a flag; concerns this thread alone.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "{}", io::Error::last_os_error());
    lift_loopback();
}

/// [`new_network`] for a test, which is skipped without root.
#[track_caller]
pub fn have_network() -> bool {
    let found = have("root, for a network namespace", is_root());
    if found {
        new_network();
    }
    found
}

/// Runs `start` in a new network namespace that has a link to this thread's: `server` is the address there, and `client` the one
/// here. The link has this name, which must be new here. What `start` starts stays there.
pub fn in_linked_network<T: Send>(
    link: &str,
    client: Ipv4Addr,
    server: Ipv4Addr,
    start: impl FnOnce() -> T + Send,
) -> T {
    // A thread leaves the client's namespace for good, so each start has one.
    let here = fs::canonicalize("/proc/thread-self").unwrap();
    let started = thread::scope(|scope| {
        let starts = scope.spawn(|| {
            new_network();
            ip(&format!(
                "link add eth0 type veth peer name {link} netns {}/ns/net\n\
                 addr add {server} peer {client} dev eth0\n\
                 link set eth0 up\n",
                here.display()
            ));
            start()
        });
        starts.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    ip(&format!("addr add {client} peer {server} dev {link}\nlink set {link} up\n"));
    started
}

/// Gives these lines to ip(8), in the namespace of this thread.
fn ip(lines: &str) {
    let mut ip = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    ip.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(ip.wait().unwrap().success(), "{lines}");
}

/// Waits until something listens on this TCP port in the network namespace of this thread. It makes no connection, so softstop
/// sees no call.
#[track_caller]
pub fn has_listener(port: u16) {
    let listens = format!(":{port:04X} ");
    let is_it = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let local = words.nth(1).unwrap_or_default();
        format!("{local} ").ends_with(&listens) && words.nth(1) == Some("0A")
    };
    eventually("something listens", || {
        let tables = ["tcp", "tcp6"].map(|table| fs::read_to_string(format!("/proc/thread-self/net/{table}")));
        tables.into_iter().flatten().any(|table| table.lines().any(is_it)).then_some(())
    });
}

/// Brings the loopback interface up, which is down in a new namespace.
pub(crate) fn lift_loopback() {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    // SAFETY: all-zero bytes are a valid ifreq.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    request.ifr_name[..2].copy_from_slice(&[b'l', b'o'].map(|byte| byte as libc::c_char));
    // SAFETY: the kernel reads and writes an ifreq, the type that the pointer points to.
    assert_eq!(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as _, &raw mut request) }, 0);
    // SAFETY: the call above has set this field.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    let up = libc::IFF_UP as libc::c_short;
    if flags & up == 0 {
        request.ifr_ifru.ifru_flags = flags | up;
        // SAFETY: as above.
        assert_eq!(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw mut request) }, 0);
    }
}

/// Forbids netlink sockets for this thread, as a strict seccomp profile does.
fn refuse_netlink() {
    let [load, equal, give] = [0x20, 0x15, 0x06]; // BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut program = [
        step(load, 0, 0, 0), // the number of the system call
        step(equal, 0, 3, libc::SYS_socket as u32),
        step(load, 0, 0, 16), // the lower half of its first argument
        step(equal, 0, 1, libc::AF_NETLINK as u32),
        step(give, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        step(give, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the kernel reads the program, which outlives the calls.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
    }
}

/// A connection from an address of our choice.
pub fn connect_from(address: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = |family| libc::sockaddr_in {
        sin_family: libc::AF_INET as _,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(family) },
        sin_zero: [0; 8],
    };
    let SocketAddr::V4(to) = to else { panic!("{to}") };
    let from = socket(address.octets());
    let to = libc::sockaddr_in { sin_port: to.port().to_be(), ..socket(to.ip().octets()) };
    let size = size_of::<libc::sockaddr_in>() as u32;
    // SAFETY: the kernel reads addresses of the given size; the descriptor is new, and nothing else owns it.
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        assert_eq!(libc::bind(fd, (&raw const from).cast(), size), 0);
        let stream = TcpStream::from_raw_fd(fd);
        if libc::connect(fd, (&raw const to).cast(), size) == 0 { Ok(stream) } else { Err(io::Error::last_os_error()) }
    }
}
