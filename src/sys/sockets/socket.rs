//! One TCP socket at the moment of a look, whoever told of it.

use std::net::SocketAddr;
use std::time::Duration;

/// A socket's state (`include/net/tcp_states.h` of Linux).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Both sides may send.
    Established,
    /// We call somebody.
    SynSent,
    /// Somebody calls us, and the handshake is not over (or, with `TCP_DEFER_ACCEPT`, no byte has come).
    SynReceived,
    /// We have closed, and the other side has not got all of what we sent.
    FinWait1,
    /// We have closed, the other side has not.
    FinWait2,
    /// Closed by us first; remembered for a minute, by the kernel alone.
    TimeWait,
    /// None, or no longer one.
    Closed,
    /// The other side has closed, our app has not.
    CloseWait,
    /// Both have closed, the other side first, and it has not got all of what we sent.
    LastAck,
    /// Not a connection: a listener.
    Listen,
    /// Both have closed at once.
    Closing,
}

impl State {
    /// Every state, at its number less one.
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
        // TCP_NEW_SYN_RECV, which the kernel shows as the one above.
        Self::SynReceived,
    ];

    /// The state of this number. What Linux does not know yet is nothing that we watch.
    pub(super) fn of(number: u8) -> Self {
        let index = usize::from(number).checked_sub(1);
        index.and_then(|index| Self::ALL.get(index)).copied().unwrap_or(Self::Closed)
    }

    /// The bit that a request for this state sets.
    pub(super) fn bit(self) -> u32 {
        let index = Self::ALL.iter().position(|&state| state == self).and_then(|index| u32::try_from(index).ok());
        index.map_or(0, |index| 2 << index)
    }

    /// Whether our app has closed its side, so that a FIN stands behind its last byte.
    fn is_closed_by_us(self) -> bool {
        matches!(self, Self::FinWait1 | Self::FinWait2 | Self::Closing | Self::LastAck | Self::TimeWait)
    }

    /// Whether the other side has.
    fn is_closed_by_peer(self) -> bool {
        matches!(self, Self::CloseWait | Self::LastAck | Self::Closing | Self::TimeWait)
    }
}

/// What the kernel knows of the bytes that flowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// Their times, exact to a tick of the kernel's (1 to 10 ms): netlink's `tcp_info`.
    Told(Times),
    /// Marks that change with the traffic in a direction, but need not: `/proc/net/tcp`.
    Marked {
        /// Of requests.
        incoming: u16,
        /// Of responses.
        outgoing: u16,
    },
    /// Nothing: it is a TIME-WAIT, of which the kernel keeps no more than the address.
    Forgotten,
}

/// When bytes flowed last, before the moment of the look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// When data arrived last; where none has, how long ago the connection was made.
    pub(super) received: Duration,
    /// When data was sent last; where none was, how long ago the connection was made.
    pub(super) sent: Duration,
    /// Whether any data has arrived.
    pub(super) was_asked: bool,
    /// Whether any was sent.
    pub(super) has_answered: bool,
    /// Whether the other side has stopped taking what we send: what goes out is the same again.
    pub(super) is_stuck: bool,
}

impl Times {
    /// Whether the app owes an answer. Within one tick of the kernel's clock the two orders look alike; then it does not,
    /// for a quick server's last answer falls into the tick of its request more often than not.
    fn owes_answer(&self) -> bool {
        self.was_asked && (!self.has_answered || self.received < self.sent)
    }
}

/// A TCP socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) state: State,
    /// IPv4 in its IPv6 form is IPv4 here.
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    /// 0 where no process holds it: it waits to be accepted, or was closed already.
    pub(super) inode: u64,
    /// Who made it.
    pub(super) uid: u32,
    /// Bytes, with a FIN for one.
    pub(super) received: u32,
    pub(super) unacknowledged: u32,
    pub(super) flow: Flow,
    /// The kernel's name for the socket, which outlives its address's reuse; 0 where it is not told.
    pub(super) cookie: u64,
}

impl Socket {
    /// Whether it waits in a listener's accept queue. Closed by us it cannot be, for nobody has it.
    pub(super) fn waits(&self) -> bool {
        self.inode == 0 && matches!(self.state, State::Established | State::CloseWait)
    }

    /// Whether the app has it, or will get it.
    pub(super) fn is_open(&self) -> bool {
        self.waits() || (self.inode != 0 && !matches!(self.state, State::Listen | State::Closed | State::SynSent))
    }

    /// Whether the app is through with it and the kernel still delivers.
    pub(super) fn lingers(&self) -> bool {
        self.inode == 0 && self.unsent() > 0 && self.state.is_closed_by_us()
    }

    /// Bytes that arrived and the app has not read.
    pub(super) fn unread(&self) -> u32 {
        self.received.saturating_sub(self.state.is_closed_by_peer().into())
    }

    /// Bytes that the app wrote and the other side has not acknowledged.
    pub(super) fn unsent(&self) -> u32 {
        self.unacknowledged.saturating_sub(self.state.is_closed_by_us().into())
    }

    /// Whether something is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.unread() > 0 || self.unsent() > 0 || matches!(self.flow, Flow::Told(times) if times.owes_answer())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_has_the_number_and_the_bit_that_linux_gives_it() {
        for (number, state) in
            [(1, State::Established), (6, State::TimeWait), (10, State::Listen), (11, State::Closing)]
        {
            assert_eq!((State::of(number), state.bit()), (state, 1 << number));
        }
        assert_eq!((State::of(3), State::of(12)), (State::SynReceived, State::SynReceived));
        assert_eq!((State::of(0), State::of(99)), (State::Closed, State::Closed));
    }

    fn socket(state: State, inode: u64, received: u32, unacknowledged: u32, flow: Flow) -> Socket {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        Socket { state, local: address, peer: address, inode, uid: 0, received, unacknowledged, flow, cookie: 0 }
    }

    #[test]
    fn a_fin_is_no_byte() {
        assert_eq!(socket(State::CloseWait, 0, 1, 0, Flow::Forgotten).unread(), 0);
        assert_eq!(socket(State::CloseWait, 0, 4, 0, Flow::Forgotten).unread(), 3);
        assert_eq!(socket(State::Established, 0, 1, 0, Flow::Forgotten).unread(), 1);
        assert_eq!(socket(State::LastAck, 0, 0, 1, Flow::Forgotten).unsent(), 0);
        assert!(!socket(State::FinWait1, 0, 0, 1, Flow::Forgotten).lingers());
        assert!(socket(State::FinWait1, 0, 0, 2, Flow::Forgotten).lingers());
        assert!(!socket(State::FinWait1, 7, 0, 2, Flow::Forgotten).lingers());
    }

    #[test]
    fn busy_is_who_owes_an_answer() {
        let busy = |received, sent, was_asked, has_answered| {
            let [received, sent] = [received, sent].map(Duration::from_millis);
            let times = Times { received, sent, was_asked, has_answered, is_stuck: false };
            socket(State::Established, 7, 0, 0, Flow::Told(times)).is_busy()
        };
        assert!(!busy(50, 50, false, false), "just connected");
        assert!(busy(50, 50, true, false), "asked with the handshake's end, not answered");
        assert!(busy(10, 5000, true, true), "asked again");
        assert!(!busy(20, 10, true, true), "answered");
        assert!(!busy(20, 20, true, true), "answered within the tick");
        assert!(socket(State::Established, 7, 0, 1, Flow::Forgotten).is_busy(), "still sending");
    }
}
