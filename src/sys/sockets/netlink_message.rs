//! The netlink parser: the part of `sock_diag`'s wire format (`linux/inet_diag.h`) that we use. It turns bytes into values and
//! makes no system call.
//!
//! It is written by hand because netlink-packet-sock-diag (0.5) needs a newer Rust than Debian's, allocates three times per
//! socket, loses a socket if one of its attributes has an unexpected length, supports no filters, and costs 7 kB more.
//! Fields that are missing or truncated are treated as absent; unknown attributes and messages are skipped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use nix::libc::sock_filter;

use super::socket::{Flow, Socket, Times};
use crate::snapshot::TcpState;

/// `SOCK_DIAG_BY_FAMILY`: the type of a request and of each reply.
const BY_FAMILY: u16 = 20;
/// `NLMSG_ERROR` and `NLMSG_DONE`: the types that end a list.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `NLM_F_REQUEST | NLM_F_DUMP`
const LIST: u16 = 0x301;
/// `NLM_F_DUMP_INTR`: the table changed while the kernel made the list.
const INTERRUPTED: u16 = 0x10;
/// `struct nlmsghdr`
const HEADER: usize = 16;
/// `struct inet_diag_req_v2`
const REQUEST: usize = 56;
/// `struct inet_diag_msg`
const REPLY: usize = 72;
/// `struct nlattr`
const ATTRIBUTE: usize = 4;
/// `INET_DIAG_INFO`: the attribute with a `struct tcp_info`, and the bit that requests it.
const INFO: u16 = 2;
const ASK_INFO: u8 = 1 << (INFO - 1);
/// `INET_DIAG_REQ_BYTECODE`
const FILTER: u16 = 1;
const IPPROTO_TCP: u8 = 6;
/// The timer of a TIME-WAIT.
const TIME_WAIT_TIMER: u8 = 3;
/// With more ports than this the kernel sends every port, and the caller filters.
const MOST_IN_FILTER: usize = 64;

/// The address family. The kernel keeps a list for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Family {
    /// IPv4.
    Four = 2,
    /// IPv6, including IPv4 over IPv6 sockets.
    Six = 10,
}

/// A request for the list of sockets in these states on these local ports; without ports, on every port. With more than
/// [`MOST_IN_FILTER`] ports there is no filter, and the reply has every port.
pub(super) fn request(family: Family, states: u32, ports: &[u16], sequence: u32) -> Vec<u8> {
    let filter = filter(ports).unwrap_or_default();
    let attribute = if filter.is_empty() { 0 } else { ATTRIBUTE + filter.len() };
    let length = HEADER + REQUEST + attribute;
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    bytes.extend([BY_FAMILY.to_ne_bytes(), LIST.to_ne_bytes()].as_flattened());
    bytes.extend([sequence.to_ne_bytes(), [0; 4]].as_flattened()); // port id 0: to the kernel
    bytes.extend([family as u8, IPPROTO_TCP, ASK_INFO, 0]);
    bytes.extend(states.to_ne_bytes());
    bytes.extend([0; 40]); // no ports, no addresses, no interface
    bytes.extend([0xff; 8]); // any cookie
    if !filter.is_empty() {
        bytes.extend(u16::try_from(attribute).unwrap_or(u16::MAX).to_ne_bytes());
        bytes.extend(FILTER.to_ne_bytes());
        bytes.extend(filter);
    }
    bytes
}

/// The bytecode that accepts the sockets on these local ports (`struct inet_diag_bc_op`). For each port: "at least the port, at
/// most the port, jump to the end". A comparison that fails jumps to the next port; for the last port it jumps beyond the end,
/// which rejects the socket.
fn filter(ports: &[u16]) -> Option<Vec<u8>> {
    const JUMP: u8 = 1;
    const AT_LEAST: u8 = 2;
    const AT_MOST: u8 = 3;
    // A word holds an operation, the distance to jump if it is true, and the distance if it is false. The port of a comparison
    // is in a second word.
    const WORD: u16 = 4;
    const BLOCK: u16 = 5 * WORD;
    if ports.is_empty() || ports.len() > MOST_IN_FILTER {
        return None;
    }
    let mut left = u16::try_from(ports.len()).ok()?.checked_mul(BLOCK)?;
    let mut code = Vec::with_capacity(left.into());
    let mut word = |operation: u8, yes: u16, no: u16| {
        code.extend([operation, u8::try_from(yes).unwrap_or(0)]);
        code.extend(no.to_ne_bytes());
    };
    for &port in ports {
        let beyond = if left == BLOCK { WORD } else { 0 };
        word(AT_LEAST, 2 * WORD, BLOCK + beyond);
        word(0, 0, port);
        word(AT_MOST, 2 * WORD, BLOCK - 2 * WORD + beyond);
        word(0, 0, port);
        word(JUMP, WORD, left - 4 * WORD);
        left -= BLOCK;
    }
    Some(code)
}

/// The classic BPF program (`linux/filter.h`) that accepts the events of sockets with these local ports, so none if there are no
/// ports; empty if there are too many.
pub(super) fn events_filter(ports: &[u16]) -> Vec<sock_filter> {
    const LOAD_16_BITS: u16 = 0x28; // BPF_LD | BPF_H | BPF_ABS
    const JUMP_IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    /// `idiag_sport` of the `struct inet_diag_msg` behind the header, in network byte order, which BPF reads.
    const LOCAL_PORT: u32 = 20;
    let step = |code, jt, k| sock_filter { code, jt, jf: 0, k };
    if ports.len() > MOST_IN_FILTER {
        return Vec::new();
    }
    let mut program = vec![step(LOAD_16_BITS, 0, LOCAL_PORT)];
    // A port that is equal jumps over the rest of the ports and over the refusal.
    let count = u8::try_from(ports.len()).unwrap_or(u8::MAX);
    for (&port, left) in ports.iter().zip((1..=count).rev()) {
        program.push(step(JUMP_IF_EQUAL, left, port.into()));
    }
    program.extend([step(RETURN, 0, 0), step(RETURN, 0, u32::MAX)]);
    program
}

/// One message of a datagram.
#[derive(Debug)]
pub(super) struct Received {
    /// The sequence number of the request.
    pub(super) sequence: u32,
    pub(super) is_interrupted: bool,
    pub(super) body: Message,
}

/// What a message says.
#[derive(Debug)]
pub(super) enum Message {
    Socket(Socket),
    /// The list ends, with this errno; 0 for none.
    End(i32),
    /// A message that we do not use.
    Other,
}

/// The messages of a datagram, up to the first that is truncated.
pub(super) fn messages(datagram: &[u8]) -> impl Iterator<Item = Received> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(rest, 0)?).ok()?;
        let body = rest.get(HEADER..length)?;
        let kind = u16_at(rest, 4)?;
        let is_interrupted = u16_at(rest, 6)? & INTERRUPTED != 0;
        let sequence = u32_at(rest, 8)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        let body = match kind {
            BY_FAMILY => socket(body).map_or(Message::Other, Message::Socket),
            // Both carry a negated errno.
            DONE | ERROR => Message::End(chunk(body, 0).map_or(0, |bytes| i32::from_ne_bytes(bytes).saturating_neg())),
            _ => Message::Other,
        };
        Some(Received { sequence, is_interrupted, body })
    })
}

/// Reads a `struct inet_diag_msg`, and the `tcp_info` among the attributes that follow it.
fn socket(message: &[u8]) -> Option<Socket> {
    let mut attributes = message.get(REPLY..)?;
    let mut flow = Flow::Unknown;
    while let (Some(length), Some(kind)) = (u16_at(attributes, 0), u16_at(attributes, 2)) {
        let Some(value) = attributes.get(ATTRIBUTE..length.into()) else { break };
        if kind == INFO {
            flow = times(value).map_or(Flow::Unknown, Flow::Exact);
            break;
        }
        attributes = attributes.get(usize::from(length).next_multiple_of(4)..).unwrap_or_default();
    }
    let &[family, state, timer, ..] = message else { return None };
    // A TIME-WAIT whose peer has not closed is reported as FIN-WAIT-2.
    let is_time_wait = timer == TIME_WAIT_TIMER;
    let state = if is_time_wait { TcpState::TimeWait } else { TcpState::of(state) };
    if is_time_wait {
        flow = Flow::of_time_wait(Duration::from_millis(u32_at(message, 52)?.into()));
    }
    Some(Socket {
        state,
        local: address(family, message, 8, 4)?,
        peer: address(family, message, 24, 6)?,
        inode: u32_at(message, 68)?.into(),
        uid: u32_at(message, 64)?,
        received: u32_at(message, 56)?,
        unacknowledged: u32_at(message, 60)?,
        flow,
        cookie: u64::from_ne_bytes(chunk(message, 44)?),
    })
}

fn address(family: u8, message: &[u8], address: usize, port: usize) -> Option<SocketAddr> {
    let address: IpAddr = if family == Family::Four as u8 {
        Ipv4Addr::from(chunk::<4>(message, address)?).into()
    } else {
        Ipv6Addr::from(chunk::<16>(message, address)?).to_canonical()
    };
    Some(SocketAddr::new(address, u16::from_be_bytes(chunk(message, port)?)))
}

/// Reads the beginning of a `struct tcp_info` (`linux/tcp.h`). New kernels add fields at its end.
fn times(info: &[u8]) -> Option<Times> {
    let milliseconds = |offset| Some(Duration::from_millis(u32_at(info, offset)?.into()));
    Some(Times {
        // tcpi_last_data_recv, tcpi_last_data_sent
        received: milliseconds(52)?,
        sent: milliseconds(44)?,
        // tcpi_last_ack_recv
        acknowledged: milliseconds(56).unwrap_or_default(),
        // tcpi_data_segs_in, tcpi_data_segs_out, which Linux has since 4.6
        segments_in: u32_at(info, 152),
        segments_out: u32_at(info, 156),
        // tcpi_retransmits: tcpi_last_data_sent counts a retransmission as data sent.
        is_retransmitting: *info.get(2)? > 0,
    })
}

fn chunk<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    chunk(bytes, offset).map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    chunk(bytes, offset).map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel does with the program for events, for an event of this local port.
    fn accepts(program: &[sock_filter], local: u16) -> bool {
        let (mut at, mut loaded) = (0, 0);
        loop {
            let step = &program[at];
            at += 1;
            match step.code {
                0x28 => loaded = if step.k == 20 { u32::from(local) } else { panic!("offset {}", step.k) },
                0x15 => at += usize::from(if loaded == step.k { step.jt } else { step.jf }),
                0x06 => return step.k != 0,
                other => panic!("operation {other}"),
            }
        }
    }

    #[test]
    fn the_filter_of_events_accepts_the_watched_ports_and_no_other() {
        let many: Vec<u16> = (1000..1064).collect();
        for ports in [&[][..], &[80], &[80, 443], &many] {
            let program = events_filter(ports);
            for port in [1, 79, 80, 81, 443, 999, 1000, 1031, 1063, 1064, 65535] {
                assert_eq!(accepts(&program, port), ports.contains(&port), "{port} by {ports:?}");
            }
        }
        assert!(events_filter(&(1..100).collect::<Vec<_>>()).is_empty());
    }

    /// What the kernel does with a filter (`inet_diag_bc_run` in `net/ipv4/inet_diag.c`).
    fn passes(code: &[u8], local: u16) -> bool {
        let (mut at, mut left) = (0, i64::try_from(code.len()).unwrap());
        while left > 0 {
            let [operation, yes, low, high] = code[at..at + 4].try_into().unwrap();
            let no = u16::from_ne_bytes([low, high]);
            let port = || u16::from_ne_bytes(code[at + 6..at + 8].try_into().unwrap());
            let is_so = match operation {
                1 => false,
                2 => local >= port(),
                3 => local <= port(),
                other => panic!("operation {other}"),
            };
            let step = if is_so { u16::from(yes) } else { no };
            at += usize::from(step);
            left -= i64::from(step);
        }
        left == 0
    }

    #[test]
    fn the_filter_accepts_the_named_ports_and_no_other() {
        for ports in [&[80][..], &[80, 443], &[1, 8080, 65535], &[443, 80, 9000, 22]] {
            let code = filter(ports).unwrap();
            for port in [0, 1, 2, 22, 79, 80, 81, 443, 8080, 9000, 65534, 65535] {
                assert_eq!(passes(&code, port), ports.contains(&port), "{port} by {ports:?}");
            }
        }
        assert_eq!(filter(&[]), None);
        assert!(filter(&[7; MOST_IN_FILTER]).is_some());
        assert_eq!(filter(&[7; MOST_IN_FILTER + 1]), None);
    }

    fn reply(attributes: &[u8]) -> Vec<u8> {
        let mut bytes = vec![Family::Four as u8, 1, 0, 0];
        bytes.extend([80_u16.to_be_bytes(), 4000_u16.to_be_bytes()].concat());
        bytes.extend([10, 0, 0, 1].iter().chain(&[0; 12]).chain(&[10, 0, 0, 2]).chain(&[0; 12]));
        bytes.extend([0_u32, 7, 0, 0, 5, 6, 65532, 99].iter().flat_map(|number| number.to_ne_bytes()));
        bytes.extend(attributes);
        bytes
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(ATTRIBUTE + value.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn info(length: usize) -> Vec<u8> {
        let mut info = vec![0; length];
        for (offset, number) in [(44, 30_u32), (52, 20), (56, 10), (152, 1), (156, 1)] {
            if let Some(place) = info.get_mut(offset..offset + 4) {
                place.copy_from_slice(&number.to_ne_bytes());
            }
        }
        info
    }

    #[test]
    fn unknown_attributes_of_a_reply_are_skipped() {
        let [unknown, info_now] = [attribute(9999, b"unknown"), attribute(INFO, &info(280))];
        let found = socket(&reply(&[unknown, info_now].concat())).unwrap();
        assert_eq!((found.local, found.peer), ("10.0.0.1:80".parse().unwrap(), "10.0.0.2:4000".parse().unwrap()));
        assert_eq!((found.received, found.unacknowledged, found.uid, found.inode), (5, 6, 65532, 99));
        let [received, sent] = [20, 30].map(Duration::from_millis);
        let acknowledged = Duration::from_millis(10);
        let times = Times {
            received,
            sent,
            acknowledged,
            segments_in: Some(1),
            segments_out: Some(1),
            is_retransmitting: false,
        };
        assert_eq!(found.flow, Flow::Exact(times));
        // A future kernel's, and an old one's.
        for length in [1000, 192, 160, 104, 56] {
            let found = socket(&reply(&attribute(INFO, &info(length)))).unwrap();
            let segments = Some(1).filter(|_| length >= 160);
            let acknowledged = if length < 60 { Duration::ZERO } else { acknowledged };
            let times = Times { acknowledged, segments_in: segments, segments_out: segments, ..times };
            assert_eq!(found.flow, Flow::Exact(times), "{length}");
        }
    }

    #[test]
    fn a_reply_that_is_cut_off_never_panics() {
        let whole = reply(&attribute(INFO, &info(280)));
        for length in 0..whole.len() {
            let read = socket(&whole[..length]);
            assert_eq!(read.is_some(), length >= REPLY, "{length}");
            assert!(read.is_none_or(|socket| socket.flow == Flow::Unknown));
        }
        assert_eq!(socket(&reply(&attribute(INFO, &[0; 55]))).unwrap().flow, Flow::Unknown);
        assert_eq!(socket(&reply(&[0; 8])).unwrap().flow, Flow::Unknown, "an attribute of no length");
    }

    #[test]
    fn a_mapped_address_is_ipv4() {
        let mut bytes = reply(&[]);
        bytes[0] = Family::Six as u8;
        bytes[8..40].copy_from_slice(
            &["::ffff:10.0.0.1", "2001:db8::2"].map(|a| a.parse::<std::net::Ipv6Addr>().unwrap().octets()).concat(),
        );
        let found = socket(&bytes).unwrap();
        assert_eq!(
            (found.local.to_string(), found.peer.to_string()),
            ("10.0.0.1:80".into(), "[2001:db8::2]:4000".into())
        );
    }

    fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER + body.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend([kind.to_ne_bytes(), flags.to_ne_bytes()].concat());
        bytes.extend([7_u32.to_ne_bytes(), [0; 4]].concat());
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn a_datagram_holds_many_messages_and_the_last_ends_the_list() {
        let [one, odd] = [message(BY_FAMILY, 0, &reply(&[])), message(99, INTERRUPTED, b"odd")];
        let end = message(DONE, 0, &0_i32.to_ne_bytes());
        let all: Vec<_> = messages(&[one.clone(), odd, end].concat()).collect();
        assert!(matches!(all[0].body, Message::Socket(_)) && !all[0].is_interrupted && all[0].sequence == 7);
        assert!(matches!(all[1].body, Message::Other) && all[1].is_interrupted);
        assert!(matches!(all[2].body, Message::End(0)) && all.len() == 3);
        let refused = message(ERROR, 0, &(-13_i32).to_ne_bytes());
        assert!(matches!(messages(&refused).next().unwrap().body, Message::End(13)));
        for length in 0..one.len() {
            assert_eq!(messages(&one[..length]).count(), 0, "{length}");
        }
        assert_eq!(messages(&[0; 64]).count(), 0, "a message of no length");
    }

    #[test]
    fn a_request_is_as_long_as_it_says() {
        for ports in [&[][..], &[80], &[80, 443]] {
            let bytes = request(Family::Six, 2, ports, 7);
            assert_eq!(u32_at(&bytes, 0), Some(u32::try_from(bytes.len()).unwrap()));
            assert_eq!(bytes.len(), if ports.is_empty() { 72 } else { 76 + 20 * ports.len() });
        }
    }
}
