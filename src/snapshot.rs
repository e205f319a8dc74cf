//! What the kernel showed of the app's TCP sockets at one moment. Plain data: [`sys::sockets`](crate::sys::sockets) fills
//! it, [`traffic`](crate::traffic) draws conclusions from it, and the report prints it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::probe::Caller;

/// So many calls are kept of one snapshot. The kernel lists connections in no order, so those of a longer list are a sample.
const MOST_CALLS: usize = 2048;

/// A call, as one snapshot showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenCall {
    /// The client.
    pub peer: IpAddr,
    /// The time since it came.
    pub age: Duration,
    /// Whether it was the first on its connection.
    pub is_first: bool,
    /// Whether the connection is open and showed its last call only.
    pub hides_earlier: bool,
    /// What a person has said of the client.
    pub caller: Caller,
}

/// The watched sockets at one moment. Ages are as of that moment. Ignored peers are in none of the numbers, and their calls are
/// marked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The watched ports that still have a listener, in order.
    pub listening: Vec<u16>,
    /// Connections made to watched ports since the last snapshot, including those that have ended since. The first
    /// snapshot has none. Without [`Self::sees_calls`] they are those that the whole namespace accepted.
    pub new: u64,
    /// Connections that the whole namespace accepted since the last snapshot. `None`: unknown (no /proc).
    pub accepted_in_namespace: Option<u64>,
    /// Connections that the app has accepted or that are in its accept queue: `idle` and `busy` together.
    pub open: u64,
    /// Open connections with nothing in progress.
    pub idle: u64,
    /// Open connections with bytes to read or to send, or with an unanswered request.
    pub busy: u64,
    /// Open connections in the accept queue. The kernel resets them when the listener closes.
    pub waiting: u64,
    /// Connections in the accept queue with unread bytes: requests that would be lost.
    pub waiting_unread: u64,
    /// Connections in the middle of the handshake, and those on a `TCP_DEFER_ACCEPT` listener that have not sent a byte.
    /// They are not open yet; the kernel drops them when the listener closes.
    pub half_open: u64,
    /// Clients whose request may be lost if the listener closes now: those in the accept queue that have sent bytes or have
    /// not closed, and the half-open connections that are young.
    pub pending: u64,
    /// Connections that the app has closed while the kernel still delivers what the app wrote.
    pub lingering: u64,
    /// Bytes that the app wrote and that clients have not acknowledged, on open and lingering connections.
    pub unsent: u64,
    /// The calls since the last snapshot. In the first one they are what the kernel remembers of the last minute. A connection that has
    /// brought no byte is no call.
    pub calls: Vec<SeenCall>,
    /// The time since the last byte of a response was sent, to clients that still acknowledge.
    pub since_response: Option<Duration>,
    /// Whether `calls` are all calls since the last snapshot.
    pub sees_calls: bool,
    /// TCP segments that arrived in the whole namespace since the last snapshot. If there were none, nobody has called.
    pub segments: Option<u64>,
}

impl Snapshot {
    /// Adds a call. If there are too many, the youngest is kept.
    pub fn add_call(&mut self, call: SeenCall) {
        if self.calls.len() < MOST_CALLS {
            self.calls.push(call);
        } else if let Some(last) = self.calls.last_mut().filter(|last| call.age < last.age) {
            *last = call;
        }
    }

    /// Notes a byte of a response, `age` ago.
    pub fn add_response(&mut self, age: Duration) {
        self.since_response = Some(self.since_response.map_or(age, |youngest| youngest.min(age)));
    }
}

/// One connection to a watched port, for the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The client.
    pub peer: SocketAddr,
    /// The watched port.
    pub port: u16,
    /// The TCP state.
    pub state: TcpState,
    /// Whether it is in the accept queue.
    pub is_waiting: bool,
    /// Whether something is in progress.
    pub is_busy: bool,
    /// Bytes that the app has not read.
    pub unread: u32,
    /// Bytes that the client has not acknowledged.
    pub unsent: u32,
    /// The time since the client sent data or connected. `None`: unknown without netlink.
    pub since_arrival: Option<Duration>,
    /// The time since the app sent data. `None`: it has sent none, or this is unknown without netlink.
    pub since_response: Option<Duration>,
}

/// The state of a TCP socket (`include/net/tcp_states.h` of Linux). "We" are the app's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpState {
    /// Both sides may send.
    Established,
    /// We are connecting.
    SynSent,
    /// A client is connecting. With `TCP_DEFER_ACCEPT` a connection stays here until its first byte.
    SynReceived,
    /// We have closed; the peer has not acknowledged everything.
    FinWait1,
    /// We have closed and the peer has not.
    FinWait2,
    /// We closed first. Only the kernel remembers the connection, for a minute.
    TimeWait,
    /// Closed, or not a state that Linux defines.
    Closed,
    /// The peer has closed, the app has not.
    CloseWait,
    /// Both have closed, the peer first; it has not acknowledged everything.
    LastAck,
    /// A listener.
    Listen,
    /// Both have closed at the same time.
    Closing,
}

impl TcpState {
    /// Every state, at its number minus one.
    const ALL: [Self; 12] = [
        Self::Established,
        Self::SynSent,
        Self::SynReceived,
        Self::FinWait1,
        Self::FinWait2,
        Self::TimeWait,
        Self::Closed,
        Self::CloseWait,
        Self::LastAck,
        Self::Listen,
        Self::Closing,
        // TCP_NEW_SYN_RECV, which the kernel reports as SYN-RECV.
        Self::SynReceived,
    ];

    /// The state with this number. A number that Linux does not define today counts as closed.
    #[must_use]
    pub fn of(number: u8) -> Self {
        let index = usize::from(number).checked_sub(1);
        index.and_then(|index| Self::ALL.get(index)).copied().unwrap_or(Self::Closed)
    }

    /// The bit that selects this state in a netlink request.
    #[must_use]
    pub fn bit(self) -> u32 {
        let index = Self::ALL.iter().position(|&state| state == self).and_then(|index| u32::try_from(index).ok());
        index.map_or(0, |index| 2 << index)
    }

    /// Whether the app has closed its side, so that a FIN follows its last byte.
    #[must_use]
    pub fn is_closed_by_us(self) -> bool {
        matches!(self, Self::FinWait1 | Self::FinWait2 | Self::Closing | Self::LastAck | Self::TimeWait)
    }

    /// Whether the peer has closed its side.
    #[must_use]
    pub fn is_closed_by_peer(self) -> bool {
        matches!(self, Self::CloseWait | Self::LastAck | Self::Closing | Self::TimeWait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_has_the_number_and_the_bit_that_linux_gives_it() {
        for (number, state) in
            [(1, TcpState::Established), (6, TcpState::TimeWait), (10, TcpState::Listen), (11, TcpState::Closing)]
        {
            assert_eq!((TcpState::of(number), state.bit()), (state, 1 << number));
        }
        assert_eq!((TcpState::of(3), TcpState::of(12)), (TcpState::SynReceived, TcpState::SynReceived));
        assert_eq!((TcpState::of(0), TcpState::of(99)), (TcpState::Closed, TcpState::Closed));
    }
}
