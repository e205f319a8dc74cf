//! Which ports belong to the app: those whose listener one of our processes holds.

use std::net::{IpAddr, SocketAddr};

use super::PortSelection;
use super::socket::Socket;
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

    fn socket_address(&self) -> SocketAddr {
        (self.address, self.port).into()
    }

    /// Whether it can be reached from outside the namespace.
    fn is_public(&self) -> bool {
        !self.address.is_loopback()
    }
}

/// The ports to watch, and the listeners of other processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) watched: Vec<u16>,
    /// Addresses on which another process listens on a watched port.
    pub(super) elsewhere: Vec<SocketAddr>,
    /// The public ports of other processes.
    pub(super) others: Vec<u16>,
    /// Whether another process listens at all, loopback included.
    pub(super) has_other_listeners: bool,
}

/// Selects the `named` ports, or if there are none, those of our own processes.
pub(super) fn select(named: &[u16], own_pids: Option<&[i32]>, listeners: &[Listener]) -> (PortSelection, Ports) {
    let mut elsewhere = Vec::new();
    let (selection, watched) = if named.is_empty() {
        let held = own_pids.map(|pids| HeldListeners::by(pids, listeners));
        let is_complete = held.as_ref().is_some_and(|held| held.is_complete);
        let selection = if is_complete { PortSelection::OwnProcesses } else { PortSelection::Guessed };
        elsewhere = addresses_of_others(listeners, held.as_ref());
        let ours = listeners.iter().filter(|listener| is_ours(listener, held.as_ref()));
        (selection, ours.map(|listener| listener.port).collect())
    } else {
        (PortSelection::Named, named.to_vec())
    };
    let watched = sorted(watched);
    elsewhere.retain(|address| watched.binary_search(&address.port()).is_ok());
    let is_other = |listener: &&Listener| watched.binary_search(&listener.port).is_err();
    let others = listeners.iter().filter(is_other).filter(|listener| listener.is_public());
    let others = sorted(others.map(|listener| listener.port).collect());
    let has_other_listeners = !elsewhere.is_empty() || listeners.iter().any(|listener| is_other(&listener));
    (selection, Ports { watched, elsewhere, others, has_other_listeners })
}

fn sorted(mut ports: Vec<u16>) -> Vec<u16> {
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
        // One of our processes hides its descriptors, so it may hold this listener. But it did not create it if none of our
        // processes runs as the user who created it. This excludes a sidecar that runs as another user.
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
    /// Whether every process showed its descriptors.
    is_complete: bool,
    /// The users that our processes run as. `None`: unknown for one of them.
    users: Option<Vec<u32>>,
}

impl HeldListeners {
    fn by(pids: &[i32], listeners: &[Listener]) -> Self {
        let mut held = Self { inodes: Vec::new(), is_complete: true, users: Some(Vec::new()) };
        for &pid in pids {
            held.is_complete &= held.add_process(pid, listeners);
        }
        if !held.is_complete {
            // Our own user too: a server may create its listener as our user and change its user afterwards.
            let ourselves = i32::try_from(std::process::id()).ok();
            let users = pids.iter().copied().chain(ourselves).map(users_of);
            held.users = users.collect::<Option<Vec<_>>>().map(|users| users.concat());
        }
        held
    }

    /// Adds the listeners that a process holds. Returns false if the process hides its descriptors. A process that is gone
    /// hides nothing.
    fn add_process(&mut self, pid: i32, listeners: &[Listener]) -> bool {
        let added = procfs::socket_inodes(pid, &mut |inode| {
            if listeners.iter().any(|listener| listener.inode == inode) && !self.inodes.contains(&inode) {
                self.inodes.push(inode);
            }
        });
        added.map_or_else(|error| procfs::is_gone(&error), |()| true)
    }
}

/// The users of a process. `None`: unknown.
fn users_of(pid: i32) -> Option<Vec<u32>> {
    procfs::status(pid).map(|status| status.users)
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
    fn named_ports_are_watched_and_the_others_listed() {
        let (selection, ports) = select(&[8080, 80, 80], None, &all());
        assert_eq!((selection, ports.watched, ports.others), (PortSelection::Named, vec![80, 8080], vec![15090]));
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
        // Named ports are watched on every address.
        assert_eq!(select(&[8080], None, &listeners).1.elsewhere, []);
    }

    #[test]
    fn without_known_processes_every_public_port_is_watched() {
        assert_eq!(watched(None), [80, 15090]);
        assert_eq!(select(&[], None, &all()).0, PortSelection::Guessed);
    }
}
