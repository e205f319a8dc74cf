//! The list of TCP sockets in `/proc/net/tcp{,6}`, for a system that refuses netlink; and the namespace's counters in
//! `/proc/net/snmp`.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::socket::{Flow, Socket};
use crate::snapshot::TcpState;

/// The table of each address family.
pub(super) const TABLES: [&str; 2] = ["/proc/net/tcp", SIX];
const SIX: &str = "/proc/net/tcp6";

/// Visits every socket.
///
/// # Errors
///
/// As [`read_table`].
pub(super) fn list(visit: &mut dyn FnMut(&Socket)) -> io::Result<()> {
    TABLES.iter().try_for_each(|table| read_table(table, visit))
}

/// Visits every socket of one of the [`TABLES`].
///
/// # Errors
///
/// The IPv4 table cannot be read: /proc is missing or hidden. A missing IPv6 table is no error.
pub(super) fn read_table(table: &str, visit: &mut dyn FnMut(&Socket)) -> io::Result<()> {
    match read(table, visit) {
        Err(error) if table == SIX && error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Visits every socket of one table: `/proc/net/tcp`, `/proc/net/udp` and their like for IPv6 have the same columns.
pub(super) fn read(path: &str, visit: &mut dyn FnMut(&Socket)) -> io::Result<()> {
    // Line by line: the whole file has 1.5 MB for 10,000 connections.
    let mut reader = BufReader::with_capacity(32 * 1024, File::open(path)?);
    let mut line = Vec::with_capacity(256);
    while reader.read_until(b'\n', &mut line)? > 0 {
        if let Some(socket) = std::str::from_utf8(&line).ok().and_then(parse) {
            visit(&socket);
        }
        line.clear();
    }
    Ok(())
}

/// Reads a line (`get_tcp4_sock` in `net/ipv4/tcp_ipv4.c`); the first is a heading.
fn parse(line: &str) -> Option<Socket> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let local = address(words.next()?)?;
    let peer = address(words.next()?)?;
    let state = TcpState::of(hex(words.next()?)?);
    let (unacknowledged, received) = words.next()?.split_once(':')?;
    let (timer, left) = words.next()?.split_once(':')?;
    let _retransmits = words.next()?;
    let uid = words.next()?.parse().ok()?;
    let _probes = words.next()?;
    let inode = words.next()?.parse().ok()?;
    // A TIME-WAIT whose peer has not closed is reported as FIN-WAIT-2.
    let state = if timer == "03" { TcpState::TimeWait } else { state };
    let flow = match state {
        // In hundredths of a second (USER_HZ).
        TcpState::TimeWait => Flow::of_time_wait(Duration::from_millis(hex::<u32>(left)?.into()) * 10),
        _ => Flow::Unknown,
    };
    let [received, unacknowledged] = [hex(received)?, hex(unacknowledged)?];
    Some(Socket { state, local, peer, inode, uid, received, unacknowledged, flow, cookie: 0 })
}

fn hex<N: TryFrom<u32>>(word: &str) -> Option<N> {
    N::try_from(u32::from_str_radix(word, 16).ok()?).ok()
}

/// Reads `0100007F:1F90`: the address as 32-bit words in this machine's byte order, the port as a number.
fn address(word: &str) -> Option<SocketAddr> {
    let (address, port) = word.split_once(':')?;
    let word = |index: usize| Some(hex::<u32>(address.get(8 * index..8 * index + 8)?)?.to_ne_bytes());
    let address: IpAddr = match address.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            Ipv6Addr::from(<[u8; 16]>::try_from(words.as_flattened()).ok()?).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(address.to_canonical(), hex(port)?))
}

/// Counters of the network namespace, for TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counters {
    /// `PassiveOpens`: connections made to a listener, including those still in an accept queue.
    pub(super) accepted: u64,
    /// `InSegs`: segments that arrived.
    pub(super) segments: u64,
}

impl Counters {
    /// What has come since an earlier moment.
    pub(super) fn since(self, start: Self) -> Self {
        Self {
            accepted: self.accepted.saturating_sub(start.accepted),
            segments: self.segments.saturating_sub(start.segments),
        }
    }
}

/// Reads the counters. `None`: they cannot be read.
pub(super) fn counters() -> Option<Counters> {
    let snmp = fs::read_to_string("/proc/net/snmp").ok()?;
    Some(Counters { accepted: counter(&snmp, "Tcp:", "PassiveOpens")?, segments: counter(&snmp, "Tcp:", "InSegs")? })
}

/// The octets of all IP packets that the namespace has received, headers included, without those to a group: the neighbours'
/// announcements, for IPv6 above all, are no connections.
pub(super) fn octets() -> Option<u64> {
    let netstat = fs::read_to_string("/proc/net/netstat").ok()?;
    // A kernel without IPv6 has no such file.
    let snmp6 = fs::read_to_string("/proc/net/snmp6").unwrap_or_default();
    octets_in(&netstat, &snmp6)
}

fn octets_in(netstat: &str, snmp6: &str) -> Option<u64> {
    let four = |name| counter(netstat, "IpExt:", name);
    let six = |name| snmp6.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0_u64);
    let all = four("InOctets")?.saturating_add(six("Ip6InOctets"));
    let to_groups = [four("InMcastOctets"), four("InBcastOctets"), Some(six("Ip6InMcastOctets"))];
    Some(all.saturating_sub(to_groups.into_iter().flatten().sum()))
}

/// Reads a counter: each protocol has a line of names and one of numbers.
fn counter(text: &str, protocol: &str, wanted: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(protocol));
    let (names, numbers) = (lines.next()?.split_ascii_whitespace(), lines.next()?.split_ascii_whitespace());
    names.zip(numbers).find_map(|(name, number)| (name == wanted).then_some(number))?.parse().ok()
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read() {
        let line = "   5: 0100007F:1F90 0200007F:B2A4 01 00000003:00000007 00:00000000 00000000 65532        0 50071 1 \
                    0000000000000000 20 4 29 10 -1";
        let socket = parse(line).unwrap();
        assert_eq!(
            (socket.local, socket.peer),
            ("127.0.0.1:8080".parse().unwrap(), "127.0.0.2:45732".parse().unwrap())
        );
        assert_eq!((socket.state, socket.uid, socket.inode), (TcpState::Established, 65532, 50071));
        assert_eq!((socket.received, socket.unacknowledged, socket.flow), (7, 3, Flow::Unknown));
    }

    #[test]
    fn a_line_of_ipv6_is_read_and_a_mapped_address_is_ipv4() {
        let line = "0: 0000000000000000FFFF00000100007F:1F91 B80D0120000000000000000002000000:8976 08 \
                    00000000:00000000 00:00000000 00000000 0 0 7 1 0000000000000000 20 4 30 10 -1";
        let socket = parse(line).unwrap();
        assert_eq!(socket.local, "127.0.0.1:8081".parse().unwrap());
        assert_eq!(socket.peer, "[2001:db8::2]:35190".parse().unwrap());
    }

    #[test]
    fn a_time_wait_is_recognised_by_its_timer_which_says_when_it_began() {
        let line = "6: 0100007F:1F90 0100007F:9A68 05 00000000:00000000 03:0000176C 00000000 0 0 0 3 0000000000000000";
        let socket = parse(line).unwrap();
        assert_eq!((socket.state, socket.flow), (TcpState::TimeWait, Flow::Ended(Duration::from_millis(40))));
    }

    #[test]
    fn a_line_of_another_form_is_skipped() {
        for line in
            ["", "\n", "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when", "0: 0100007F:1F90 x"]
        {
            assert_eq!(parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn a_counter_is_found_by_its_name_and_its_protocol() {
        let snmp = "Ip: Forwarding A\nIp: 1 9\nTcp: A PassiveOpens B InSegs\nTcp: -1 12 0 8694\nUdp: X\nUdp: 1\n";
        assert_eq!(counter(snmp, "Tcp:", "PassiveOpens"), Some(12));
        assert_eq!(counter(snmp, "Tcp:", "InSegs"), Some(8694));
        assert_eq!(counter(snmp, "Udp:", "InSegs"), None);
        assert_eq!(counter("Tcp: PassiveOpens\n", "Tcp:", "PassiveOpens"), None, "a line is missing");
        assert_eq!(counter("", "Tcp:", "PassiveOpens"), None);
    }

    #[test]
    fn octets_are_those_of_both_families_without_groups() {
        let four = "TcpExt: A\nTcpExt: 1\nIpExt: InOctets InMcastOctets InBcastOctets\nIpExt: 1000 100 10\n";
        let six = "Ip6InOctets \t700\nIp6OutOctets\t9\nIp6InMcastOctets  \t72\n";
        assert_eq!(octets_in(four, six), Some(1518));
        assert_eq!(octets_in(four, ""), Some(890), "no IPv6");
        assert_eq!(octets_in("IpExt: InOctets\nIpExt: 7\n", ""), Some(7), "an old kernel");
        assert_eq!(octets_in("", six), None);
    }
}
