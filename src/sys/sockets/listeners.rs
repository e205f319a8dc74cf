//! Which ports are our own app's: those on whose listener one of our processes has a descriptor.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use super::Choice;
use super::socket::{Socket, State};

/// A listener of the network namespace, whosever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listener {
    port: u16,
    address: IpAddr,
    inode: u64,
    uid: u32,
}

impl Listener {
    /// What the socket is if it listens.
    pub(super) fn of(socket: &Socket) -> Option<Self> {
        (socket.state == State::Listen).then(|| Self {
            port: socket.local.port(),
            address: socket.local.ip(),
            inode: socket.inode,
            uid: socket.uid,
        })
    }

    fn place(&self) -> SocketAddr {
        (self.address, self.port).into()
    }

    /// Whether others than our neighbours in the namespace can reach it.
    fn is_public(&self) -> bool {
        !self.address.is_loopback()
    }
}

/// The ports to watch, and the public ones that somebody else listens on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) watched: Vec<u16>,
    /// Where somebody else listens on a watched port, on an address of his own.
    pub(super) elsewhere: Vec<SocketAddr>,
    pub(super) others: Vec<u16>,
    /// Whether somebody else listens at all, be it on loopback.
    pub(super) has_neighbours: bool,
}

/// Chooses the ports: those that are `named`, else those of our own processes.
pub(super) fn choose(named: &[u16], ours: Option<&[i32]>, listeners: &[Listener]) -> (Choice, Ports) {
    let mut elsewhere = Vec::new();
    let (choice, watched) = if named.is_empty() {
        let held = ours.map(|pids| Held::by(pids, listeners));
        let choice = if held.as_ref().is_some_and(|held| held.is_certain) { Choice::Ours } else { Choice::Guessed };
        elsewhere = places_of_others(listeners, held.as_ref());
        let mine = listeners.iter().filter(|listener| is_ours(listener, held.as_ref()));
        (choice, mine.map(|listener| listener.port).collect())
    } else {
        (Choice::Named, named.to_vec())
    };
    let watched = sorted(watched);
    elsewhere.retain(|place| watched.binary_search(&place.port()).is_ok());
    let is_another = |listener: &&Listener| watched.binary_search(&listener.port).is_err();
    let others = listeners.iter().filter(is_another).filter(|listener| listener.is_public());
    let others = sorted(others.map(|listener| listener.port).collect());
    let has_neighbours = !elsewhere.is_empty() || listeners.iter().any(|listener| is_another(&listener));
    (choice, Ports { watched, elsewhere, others, has_neighbours })
}

fn sorted(mut ports: Vec<u16>) -> Vec<u16> {
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// The single addresses on which somebody else listens, and none of ours does.
fn places_of_others(listeners: &[Listener], held: Option<&Held>) -> Vec<SocketAddr> {
    let (mine, others): (Vec<&Listener>, Vec<&Listener>) =
        listeners.iter().partition(|listener| is_ours(listener, held));
    let single = others.iter().filter(|listener| !listener.address.is_unspecified());
    single.map(|other| other.place()).filter(|place| !mine.iter().any(|listener| listener.place() == *place)).collect()
}

fn is_ours(listener: &Listener, held: Option<&Held>) -> bool {
    match held {
        None => listener.is_public(),
        Some(held) if held.inodes.contains(&listener.inode) => true,
        // A process that we may not look into has it or not. Its maker was none of ours where none of ours is its maker's
        // user: so a sidecar that runs as somebody else is told apart all the same.
        Some(held) => {
            !held.is_certain
                && listener.is_public()
                && held.users.as_ref().is_none_or(|users| users.contains(&listener.uid))
        }
    }
}

/// What our processes hold.
#[derive(Debug)]
struct Held {
    /// Of the listeners' inodes, those that one of ours has open.
    inodes: Vec<u64>,
    /// Whether every process let us look.
    is_certain: bool,
    /// Our processes' users. `None`: one did not even tell that.
    users: Option<Vec<u32>>,
}

impl Held {
    fn by(pids: &[i32], listeners: &[Listener]) -> Self {
        let mut held = Self { inodes: Vec::new(), is_certain: true, users: Some(Vec::new()) };
        for &pid in pids {
            held.is_certain &= held.look_into(pid, listeners);
        }
        if !held.is_certain {
            // As we ourselves are: a server's first process may have made its listener and dropped its privileges after.
            let ourselves = i32::try_from(std::process::id()).ok();
            let users = pids.iter().copied().chain(ourselves).map(users_of);
            held.users = users.collect::<Option<Vec<_>>>().map(|users| users.concat());
        }
        held
    }

    /// Finds which of the listeners a process holds. Says whether it let us look; one that is gone did.
    fn look_into(&mut self, pid: i32, listeners: &[Listener]) -> bool {
        let directory = match fs::read_dir(format!("/proc/{pid}/fd")) {
            Ok(directory) => directory,
            Err(error) => return is_gone(&error),
        };
        for entry in directory {
            // A server may hold ten thousand connections beside its listeners, which come first.
            if listeners.iter().all(|listener| self.inodes.contains(&listener.inode)) {
                break;
            }
            let target = match entry.and_then(|entry| fs::read_link(entry.path())) {
                Ok(target) => target,
                Err(error) if is_gone(&error) => continue, // closed meanwhile
                Err(_) => return false,
            };
            let inode = target.to_str().and_then(socket_inode);
            let is_new =
                |inode: &u64| listeners.iter().any(|listener| listener.inode == *inode) && !self.inodes.contains(inode);
            if let Some(inode) = inode.filter(is_new) {
                self.inodes.push(inode);
            }
        }
        true
    }
}

fn is_gone(error: &std::io::Error) -> bool {
    // ESRCH has no kind of its own: the process ended while its directory was open.
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(nix::libc::ESRCH)
}

fn socket_inode(target: &str) -> Option<u64> {
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The real, effective, saved and file-system user of a process, which everybody may see (`man 5 proc_pid_status`).
fn users_of(pid: i32) -> Option<Vec<u32>> {
    let status = match fs::read_to_string(format!("/proc/{pid}/status")) {
        Ok(status) => status,
        Err(error) => return is_gone(&error).then(Vec::new),
    };
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    users.split_ascii_whitespace().map(|user| user.parse().ok()).collect()
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

    fn watched(held: Option<&Held>) -> Vec<u16> {
        sorted(all().iter().filter(|listener| is_ours(listener, held)).map(|listener| listener.port).collect())
    }

    #[test]
    fn named_ports_are_taken_as_they_are_and_the_rest_is_others() {
        let (choice, ports) = choose(&[8080, 80, 80], None, &all());
        assert_eq!((choice, ports.watched, ports.others), (Choice::Named, vec![80, 8080], vec![15090]));
    }

    #[test]
    fn what_our_processes_hold_is_ours_be_it_loopback() {
        let held = Held { inodes: vec![1, 2, 3], is_certain: true, users: None };
        assert_eq!(watched(Some(&held)), [80, 9000]);
    }

    #[test]
    fn where_one_did_not_let_us_look_the_public_ones_of_our_users_are_ours_too() {
        let held = |users| Held { inodes: vec![3], is_certain: false, users };
        assert_eq!(watched(Some(&held(Some(vec![0, 33])))), [80, 9000]);
        assert_eq!(watched(Some(&held(Some(vec![33, 1337])))), [9000, 15090]);
        assert_eq!(watched(Some(&held(None))), [80, 9000, 15090], "no user is known");
    }

    #[test]
    fn the_same_port_on_another_address_is_a_neighbours() {
        let listeners = [
            listener("127.0.0.5", 8080, 1, 0),
            listener("127.0.0.5", 8080, 2, 0), // SO_REUSEPORT, with another's
            listener("127.0.0.6", 8080, 3, 0),
            listener("0.0.0.0", 8080, 4, 0),
        ];
        let held = Held { inodes: vec![1], is_certain: true, users: None };
        assert_eq!(places_of_others(&listeners, Some(&held)), ["127.0.0.6:8080".parse().unwrap()]);
        // Of named ports all are watched.
        assert_eq!(choose(&[8080], None, &listeners).1.elsewhere, []);
    }

    #[test]
    fn where_nobody_is_known_every_public_port_is_watched() {
        assert_eq!(watched(None), [80, 15090]);
        assert_eq!(choose(&[], None, &all()).0, Choice::Guessed);
    }

    #[test]
    fn a_link_to_a_socket_names_it() {
        assert_eq!(socket_inode("socket:[50061]"), Some(50061));
        for other in ["pipe:[50061]", "anon_inode:[eventfd]", "/dev/null", "socket:[]"] {
            assert_eq!(socket_inode(other), None);
        }
    }

    #[test]
    fn our_own_users_are_told() {
        let ourselves = users_of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert_eq!(ourselves.len(), 4);
        assert_eq!(users_of(i32::MAX), Some(Vec::new()), "who is gone has none");
    }
}
