//! The listening sockets of the network namespace, TCP and Unix. The search for the server looks for the processes that hold
//! them.

use std::fs;

use super::proc_net;
use super::source::SocketSource;
use crate::server::Reach;
use crate::snapshot::TcpState;

/// A listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListeningSocket {
    /// The inode by which a descriptor names it.
    pub inode: u64,
    /// The user who created it. `None`: unknown.
    pub user: Option<u32>,
    /// From where it can be reached.
    pub reach: Reach,
}

/// The flag of a listening socket in `/proc/net/unix` (`__SO_ACCEPTCON`).
const ACCEPTS: u32 = 0x1_0000;

/// Lists them. `None`: the list of TCP sockets cannot be read.
#[must_use]
pub fn listening() -> Option<Vec<ListeningSocket>> {
    let tcp = SocketSource::open().query(|source| {
        let mut found = Vec::new();
        source.list(TcpState::Listen.bit(), &[], &mut |socket| {
            let reach = if socket.local.ip().is_loopback() { Reach::Loopback } else { Reach::Public };
            found.push(ListeningSocket { inode: socket.inode, user: Some(socket.uid), reach });
        })?;
        Ok(found)
    });
    let mut all = tcp.ok()?;
    all.extend(unix_listeners().into_iter().map(|inode| ListeningSocket { inode, user: None, reach: Reach::Unix }));
    Some(all)
}

/// The inodes of the listening Unix sockets.
pub(super) fn unix_listeners() -> Vec<u64> {
    let unix = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    unix.lines().filter_map(parse_unix).collect()
}

/// The inodes of the UDP sockets on which a server waits for anybody: bound, not connected, and not on a port that the kernel
/// gives to clients.
pub(super) fn datagram_servers() -> Vec<u64> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first_of_clients: u16 = range.split_ascii_whitespace().next().and_then(|low| low.parse().ok()).unwrap_or(32768);
    let mut found = Vec::new();
    for path in ["/proc/net/udp", "/proc/net/udp6"] {
        let _ = proc_net::read(path, &mut |socket| {
            if socket.peer.port() == 0 && (1..first_of_clients).contains(&socket.local.port()) {
                found.push(socket.inode);
            }
        });
    }
    found
}

/// The inode of a listening socket in a line of `/proc/net/unix`: `Num: RefCount Protocol Flags Type St Inode Path`.
fn parse_unix(line: &str) -> Option<u64> {
    let mut words = line.split_ascii_whitespace().skip(3);
    let flags = u32::from_str_radix(words.next()?, 16).ok()?;
    let inode = words.nth(2)?.parse().ok()?;
    (flags & ACCEPTS != 0).then_some(inode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_unix_socket_is_told_from_a_connection() {
        let listening = "0000000000000000: 00000002 00000000 00010000 0001 01 24517 /run/php/php-fpm.sock";
        let connected = "0000000000000000: 00000003 00000000 00000000 0001 03 24518";
        let heading = "Num       RefCount Protocol Flags    Type St Inode Path";
        assert_eq!([listening, connected, heading].map(parse_unix), [Some(24517), None, None]);
    }
}
