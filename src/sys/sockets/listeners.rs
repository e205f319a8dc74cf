//! Which ports belong to the app: those whose listener one of our processes holds.

use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;

use super::PortSelection;
use super::socket::Socket;
use crate::process::Process;
use crate::snapshot::TcpState;
use crate::sys::procfs;

/// A listener in the network namespace, of any process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listener {
    port: u16,
    address: IpAddr,
    inode: u64,
    uid: u32,
}

impl Listener {
    /// The socket as a listener, if it is one.
    pub(super) fn of(socket: &Socket) -> Option<Self> {
        (socket.state == TcpState::Listen).then(|| Self {
            port: socket.local.port(),
            address: socket.local.ip(),
            inode: socket.inode,
            uid: socket.uid,
        })
    }

    pub(super) fn inode(&self) -> u64 {
        self.inode
    }

    fn socket_address(&self) -> SocketAddr {
        (self.address, self.port).into()
    }

    /// Whether it can be reached from outside the namespace.
    fn is_public(&self) -> bool {
        !self.address.is_loopback()
    }
}

/// The ports to watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) watched: Vec<u16>,
    /// Addresses on which another process listens on a watched port.
    pub(super) elsewhere: Vec<SocketAddr>,
}

/// Selects the ports on which our own processes listen. `None`: they are unknown.
pub(super) fn select(ours: Option<&[Process]>, listeners: &[Listener]) -> (PortSelection, Ports) {
    let held = ours.map(|processes| HeldListeners::by(processes, listeners));
    let is_complete = held.as_ref().is_some_and(|held| held.is_complete);
    let selection = if is_complete { PortSelection::OwnProcesses } else { PortSelection::Guessed };
    let watched = listeners.iter().filter(|listener| is_ours(listener, held.as_ref()));
    let watched = sorted(watched.map(|listener| listener.port).collect());
    let mut elsewhere = addresses_of_others(listeners, held.as_ref());
    elsewhere.retain(|address| watched.binary_search(&address.port()).is_ok());
    (selection, Ports { watched, elsewhere })
}

/// The ports in order, each once.
pub(super) fn sorted(mut ports: Vec<u16>) -> Vec<u16> {
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// The specific addresses (not 0.0.0.0 or ::) on which another process listens and none of ours does.
fn addresses_of_others(listeners: &[Listener], held: Option<&HeldListeners>) -> Vec<SocketAddr> {
    let (ours, others): (Vec<&Listener>, Vec<&Listener>) =
        listeners.iter().partition(|listener| is_ours(listener, held));
    let single = others.iter().filter(|listener| !listener.address.is_unspecified());
    let addresses = single.map(|other| other.socket_address());
    addresses.filter(|address| !ours.iter().any(|listener| listener.socket_address() == *address)).collect()
}

fn is_ours(listener: &Listener, held: Option<&HeldListeners>) -> bool {
    match held {
        None => listener.is_public(),
        Some(held) if held.inodes.contains(&listener.inode) => true,
        // One of our processes hides its descriptors, so it may hold this listener. But it did not create it if it never was
        // the user who did. This excludes other programs that run as another user.
        Some(held) => {
            !held.is_complete
                && listener.is_public()
                && held.users.as_ref().is_none_or(|users| users.contains(&listener.uid))
        }
    }
}

/// The listeners that our processes hold.
#[derive(Debug)]
struct HeldListeners {
    /// The inodes of those that one of our processes has open.
    inodes: Vec<u64>,
    /// Whether these are all: every process showed its descriptors, or no listener is left that a hidden one might hold.
    is_complete: bool,
    /// The users as whom the processes that hide their descriptors may have created a listener. `None`: unknown for one of
    /// them.
    users: Option<Vec<u32>>,
}

impl HeldListeners {
    fn by(processes: &[Process], listeners: &[Listener]) -> Self {
        let mut inodes = Vec::new();
        let mut unheld: Vec<u64> = listeners.iter().map(|listener| listener.inode).collect();
        let (mut hidden, mut holders) = (Vec::new(), Vec::new());
        for process in processes {
            if unheld.is_empty() {
                break;
            }
            let mut holds = false;
            // To read 10,000 descriptors takes longer than a list of 10,000 connections. The listeners are mostly the first.
            let looked = procfs::socket_inodes(process.pid, &mut |inode| {
                if listeners.iter().any(|listener| listener.inode == inode) {
                    holds = true;
                    inodes.push(inode);
                    unheld.retain(|&other| other != inode);
                }
                if unheld.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            // A process that is gone hides nothing.
            if looked.is_err_and(|error| !procfs::is_gone(&error)) {
                hidden.push(process);
            }
            if holds {
                holders.push(process.pid);
            }
        }
        let users: Option<Vec<Vec<u32>>> = hidden.iter().map(|process| users_of(process, &holders)).collect();
        let is_complete = hidden.is_empty() || unheld.is_empty();
        Self { inodes, is_complete, users: users.map(|users| users.concat()) }
    }
}

/// The users as whom a process may have created a listener. `None`: unknown. A server may create its listener as our user and
/// change its user afterwards. A worker whose master holds a listener has inherited that one, and is its own user.
fn users_of(process: &Process, holders: &[i32]) -> Option<Vec<u32>> {
    let mut users = procfs::status(process.pid)?.users;
    if !holders.contains(&process.parent) {
        users.extend(procfs::status(i32::try_from(std::process::id()).ok()?)?.users);
    }
    Some(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(address: &str, port: u16, inode: u64, uid: u32) -> Listener {
        Listener { port, address: address.parse().unwrap(), inode, uid }
    }

    fn all() -> [Listener; 5] {
        [
            listener("0.0.0.0", 80, 1, 0),
            listener("::", 80, 2, 0),
            listener("127.0.0.1", 9000, 3, 33),
            listener("0.0.0.0", 15090, 4, 1337),
            listener("::1", 15000, 5, 1337),
        ]
    }

    fn watched(held: Option<&HeldListeners>) -> Vec<u16> {
        sorted(all().iter().filter(|listener| is_ours(listener, held)).map(|listener| listener.port).collect())
    }

    #[test]
    fn a_listener_that_our_processes_hold_is_ours_on_loopback_too() {
        let held = HeldListeners { inodes: vec![1, 2, 3], is_complete: true, users: None };
        assert_eq!(watched(Some(&held)), [80, 9000]);
    }

    #[test]
    fn if_a_process_hides_its_descriptors_public_listeners_of_our_users_are_ours() {
        let held = |users| HeldListeners { inodes: vec![3], is_complete: false, users };
        assert_eq!(watched(Some(&held(Some(vec![0, 33])))), [80, 9000]);
        assert_eq!(watched(Some(&held(Some(vec![33, 1337])))), [9000, 15090]);
        assert_eq!(watched(Some(&held(None))), [80, 9000, 15090], "no user is known");
    }

    #[test]
    fn the_same_port_on_another_address_is_another_processs() {
        let listeners = [
            listener("127.0.0.5", 8080, 1, 0),
            listener("127.0.0.5", 8080, 2, 0), // SO_REUSEPORT, shared with another process
            listener("127.0.0.6", 8080, 3, 0),
            listener("0.0.0.0", 8080, 4, 0),
        ];
        let held = HeldListeners { inodes: vec![1], is_complete: true, users: None };
        assert_eq!(addresses_of_others(&listeners, Some(&held)), ["127.0.0.6:8080".parse().unwrap()]);
    }

    #[test]
    fn without_known_processes_every_public_port_is_watched() {
        assert_eq!(watched(None), [80, 15090]);
        assert_eq!(select(None, &all()).0, PortSelection::Guessed);
    }
}
