//! Which ports are watched, and what is said where none is.

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
        let app = Stray(Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap().id() as i32);
        let mut watch = Watch::of(EVERYTHING, Some(vec![process(app.0 as u32, std::process::id())]));
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
