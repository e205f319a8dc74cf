//! Which ports are watched, and what is said where none is.

use std::net::UdpSocket;
use std::os::unix::net::UnixListener;

use softstop::traffic::Unseen;

use super::*;

#[test]
fn only_the_named_ports_are_watched() {
    each_way("ports::only_the_named_ports_are_watched", |way| {
        let (named, other) = (Server::new(), Server::new());
        let mut watch = Watch::port(named.address.port());
        watch.look();
        assert_eq!(watch.watcher.selection(), Some(PortSelection::Named));
        let _kept = [named.connect(), other.connect()];
        let expected = if way == Way::Netlink { 1 } else { 2 };
        let look = watch.until("one connection is new", |look| look.new == expected);
        assert_eq!((look.open, look.listening), (1, vec![named.address.port()]));
    });
}

#[test]
fn without_a_listener_nothing_is_watched() {
    each_way("ports::without_a_listener_nothing_is_watched", |_| {
        let server = Server::new();
        // A process without a socket, which stands for the app.
        let (_stray, app) = another();
        let mut watch = Watch::of(EVERYTHING, Some(app));
        let _outgoing = server.connect();
        let look = watch.look();
        assert_eq!((watch.watcher.ports(), look.open, look.new), (&[][..], 0, 0));
        assert_eq!((watch.watcher.unseen(), look.sees_calls), (None, true), "nobody can call");
    });
}

#[test]
fn public_ports_are_guessed_when_a_process_may_not_be_inspected() {
    let name = "ports::public_ports_are_guessed_when_a_process_may_not_be_inspected";
    if Way::here().is_none() && !(have("root, to be two users", is_root()) && have_program("busybox")) {
        return;
    }
    let script = "busybox ip link set lo up; busybox nc -l -p 8081 </dev/null >/dev/null 2>&1 & export NC=$!
                  exec setpriv --reuid=65532 --regid=65532 --clear-groups \"$@\"";
    // The test may not kill the other user's process. As PID 1 of a namespace it ends it by ending itself.
    let words = ["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script, "sh"];
    within(name, &words, &Way::ALL, |_| {
        let nc = env::var("NC").unwrap().parse().unwrap();
        let watch = eventually("busybox listens", || {
            let mut watch = Watch::of(EVERYTHING, Some(vec![process(nc, std::process::id())]));
            watch.look();
            (!watch.watcher.ports().is_empty()).then_some(watch)
        });
        let found = (watch.watcher.selection(), watch.watcher.ports());
        assert_eq!(found, (Some(PortSelection::Guessed), &[8081][..]));
        // The control: we may inspect our own process.
        let mut control = Watch::new();
        control.look();
        assert_eq!(control.watcher.selection(), Some(PortSelection::OwnProcesses));
    });
}

#[test]
fn without_netlink_and_proc_the_error_names_both() {
    let name = "ports::without_netlink_and_proc_the_error_names_both";
    if Way::here().is_none() && !have("root, to unmount /proc", is_root()) {
        return;
    }
    let words = ["--mount", "sh", "-c", "umount -l /proc && exec \"$@\"", "sh"];
    within(name, &words, &Way::ALL, |way| {
        let server = Server::new();
        let mut watch = Watch::of(EVERYTHING, None);
        match way {
            Way::ProcNet => {
                let error = watch.watcher.snapshot(watch.now(), &|| None, true).unwrap_err().to_string();
                assert!(error.contains("Operation not permitted") && error.contains("No such file"), "{error}");
                let named = Subject { ports: &[server.address.port()], ..EVERYTHING };
                let mut named = SocketWatcher::new(named);
                assert!(named.snapshot(watch.now(), &|| None, true).is_err() && named.connections().is_err());
                assert_eq!((watch.watcher.selection(), watch.watcher.ports()), (None, &[][..]));
            }
            // The control: netlink works without /proc.
            Way::Netlink => {
                let look = watch.look();
                assert_eq!(
                    (look.listening.len(), look.accepted_in_namespace),
                    (0, None),
                    "a loopback port is not guessed"
                );
                let mut watch = Watch::port(server.address.port());
                watch.look();
                server.serve_one(End::Client);
                let look = watch.until("the connection is new", |look| look.new == 1);
                assert_eq!((look.calls.len(), look.sees_calls), (1, true));
            }
        }
    });
}

fn listeners_in_order(mut ports: [u16; 2]) -> Vec<u16> {
    ports.sort_unstable();
    ports.to_vec()
}

#[test]
fn a_listener_that_opens_late_is_watched_alone_and_beside_another() {
    each_way("ports::a_listener_that_opens_late_is_watched_alone_and_beside_another", |way| {
        let mut watch = Watch::new();
        watch.look();
        assert_eq!(watch.watcher.ports(), []);
        let late = Server::new();
        // A snapshot that cannot end a wait does not look for it.
        watch.watcher.snapshot(watch.now(), &|| Some(ourselves()), false).unwrap();
        assert_eq!(watch.watcher.ports(), []);
        assert_eq!(watch.look().listening, [late.address.port()]);
        late.serve_one(End::Client);
        let look = watch.until("its connection is new", |look| look.new == 1);
        assert_eq!(look.calls.len(), usize::from(way == Way::Netlink));
        // A second one too: a program may open the port for its metrics first.
        let other = Server::new();
        let both = listeners_in_order([late.address.port(), other.address.port()]);
        assert_eq!(watch.look().listening, both);
        // A port stays watched when its listener is closed, and is listening again when another one opens there.
        let address = other.address;
        drop(other);
        assert_eq!((watch.look().listening, watch.watcher.ports()), (vec![late.address.port()], &both[..]));
        let _again = TcpListener::bind(address).unwrap();
        assert_eq!(watch.look().listening, both);
    });
}

/// Why calls cannot be seen, with a Unix socket as a way to call or without.
fn unseen(ours: &[Process], counts_unix: bool) -> Option<Unseen> {
    let mut watch = Watch::of(Subject { counts_unix, ..EVERYTHING }, Some(ours.to_vec()));
    watch.look();
    watch.watcher.unseen()
}

/// A process without sockets, until the guard is dropped.
fn another() -> (Stray, Vec<Process>) {
    #[expect(clippy::zombie_processes, reason = "the test ends soon after it")]
    let child = Command::new("sleep").arg("1000").stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    (Stray(child.id() as i32), vec![process(child.id(), std::process::id())])
}

#[test]
fn clients_on_a_unix_socket_of_ours_are_unseen() {
    each_way("ports::clients_on_a_unix_socket_of_ours_are_unseen", |_| {
        let home = tempfile::TempDir::new().unwrap();
        let (_stray, other) = another();
        assert_eq!(unseen(&ourselves(), true), None, "the control: nothing listens");
        let listener = UnixListener::bind(home.path().join("socket")).unwrap();
        assert_eq!(unseen(&ourselves(), true), Some(Unseen::UnixSocket));
        assert_eq!(unseen(&ourselves(), false), None, "it is no way to call");
        assert_eq!(unseen(&other, true), None, "another process holds it");
        // A connection alone is no way to call, nor is one beside a port, where clients are seen.
        let connection = std::os::unix::net::UnixStream::connect(home.path().join("socket")).unwrap();
        let tcp = Server::new();
        assert_eq!(unseen(&ourselves(), true), None, "a port is watched");
        drop((listener, tcp));
        assert_eq!(unseen(&ourselves(), true), None, "it is closed");
        drop(connection);
    });
}

#[test]
fn datagrams_of_anybody_to_a_server_port_of_ours_are_unseen() {
    each_way("ports::datagrams_of_anybody_to_a_server_port_of_ours_are_unseen", |_| {
        let (_stray, other) = another();
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
        let first_of_clients: u16 = range.split_ascii_whitespace().next().unwrap().parse().unwrap();
        for address in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), LOCALHOST, IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            assert_eq!(unseen(&ourselves(), true), None, "the control: there is none");
            let socket = UdpSocket::bind((address, first_of_clients - 1)).unwrap();
            assert_eq!(unseen(&ourselves(), false), Some(Unseen::Datagrams), "{address}");
            assert_eq!(unseen(&other, true), None, "another process holds it");
            let mut early = Watch::new();
            early.watcher.snapshot(early.now(), &|| Some(ourselves()), false).unwrap();
            assert_eq!(early.watcher.unseen(), None, "the snapshot cannot end a wait");
            socket.connect((if address.is_ipv4() { LOCALHOST } else { address }, 9)).unwrap();
            assert_eq!(unseen(&ourselves(), true), None, "it is a client's: connected to {address}");
            drop(socket);
            let client = UdpSocket::bind((address, first_of_clients)).unwrap();
            assert_eq!(unseen(&ourselves(), true), None, "{address}: a port that the kernel gives to clients");
            drop(client);
        }
    });
}

/// Makes a listener as another user. Only this thread is that user meanwhile.
fn server_of(user: u32) -> Server {
    // SAFETY: takes an integer.
    unsafe { libc::setfsuid(user) };
    let server = Server::on(Ipv4Addr::UNSPECIFIED);
    // SAFETY: as above.
    unsafe { libc::setfsuid(0) };
    server
}

#[test]
fn other_programs_ports_are_not_ours_because_a_worker_hides_its_descriptors() {
    let name = "ports::other_programs_ports_are_not_ours_because_a_worker_hides_its_descriptors";
    if Way::here().is_none() && !have("root, to be several users", is_root()) {
        return;
    }
    // As in a container: root, but without the right to look into the processes of other users.
    let words = ["--pid", "--fork", "--kill-child", "--mount-proc", "setpriv", "--bounding-set=-sys_ptrace"];
    within(name, &words, &Way::ALL, |_| {
        const WORKER: u32 = 65532;
        let (ours, other) = (Server::on(Ipv4Addr::UNSPECIFIED), Server::on(Ipv4Addr::UNSPECIFIED));
        let [of_worker, of_third] = [WORKER, 1337].map(server_of);
        let master = app_with(&ours).id();
        // Not the master's child in truth, but the watcher believes what it is told.
        #[expect(clippy::zombie_processes, reason = "the test ends soon after it")]
        let worker = Command::new("setpriv")
            .args([&format!("--reuid={WORKER}"), "--clear-groups", "sleep", "1000"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        eventually("the worker has changed its user", || has_name(worker.id() as i32, "sleep").then_some(()));
        let strays = [master, worker.id()].map(|pid| Stray(pid as i32));
        let watched = |processes: &[Process]| {
            let mut watch = Watch::of(EVERYTHING, Some(processes.to_vec()));
            watch.look();
            (watch.watcher.selection().unwrap(), watch.watcher.ports().to_vec())
        };
        let sorted = |servers: &[&Server]| {
            let mut ports: Vec<_> = servers.iter().map(|server| server.address.port()).collect();
            ports.sort_unstable();
            ports
        };
        let ourselves = std::process::id();
        let of_master = process(master, ourselves);
        assert_eq!(watched(std::slice::from_ref(&of_master)), (PortSelection::OwnProcesses, sorted(&[&ours])));
        // The worker has inherited its listener. It may have made another as its own user, but not as root.
        let seen = watched(&[of_master, process(worker.id(), master)]);
        assert_eq!(seen, (PortSelection::Guessed, sorted(&[&ours, &of_worker])));
        // The control: a main child that changed its user may have made a listener before that, as our own user. The third
        // user's is nobody's of ours.
        let seen = watched(&[process(worker.id(), ourselves)]);
        assert_eq!(seen, (PortSelection::Guessed, sorted(&[&ours, &other, &of_worker])));
        drop((strays, of_third));
    });
}
