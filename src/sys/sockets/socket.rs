//! One TCP socket as the kernel reported it, by netlink or in `/proc/net/tcp`.

use std::net::SocketAddr;
use std::time::Duration;

use crate::probe::MEMORY;
use crate::snapshot::TcpState;

/// What the kernel knows about the bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// The times of the last bytes, exact to one tick of the kernel's clock (1 to 10 ms): netlink's `tcp_info`.
    Exact(Times),
    /// The connection has ended: the socket is a TIME-WAIT, of which the kernel keeps the addresses and a timer. This is the time
    /// since the app closed it.
    Ended(Duration),
    /// Nothing: `/proc/net/tcp` has no times.
    Unknown,
}

/// If it is unknown whether a request or the last answer came first, the request counts as unanswered for this long.
const TIE_LIMIT: Duration = Duration::from_secs(5);

impl Flow {
    /// That of a TIME-WAIT which ends after this time.
    pub(super) fn of_time_wait(left: Duration) -> Self {
        Self::Ended(MEMORY.saturating_sub(left))
    }
}

/// The time since the last byte in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// Since data last arrived, or since the connection was made.
    pub(super) received: Duration,
    /// Since data was last sent, or since the connection was made.
    pub(super) sent: Duration,
    /// Since the last acknowledgement arrived. The segment of a request carries one too.
    pub(super) acknowledged: Duration,
    /// The data segments that have arrived. `None`: unknown (before Linux 4.6).
    pub(super) segments_in: Option<u32>,
    /// The data segments that were sent. `None`: unknown.
    pub(super) segments_out: Option<u32>,
    /// Whether the kernel is retransmitting: the peer no longer acknowledges.
    pub(super) is_retransmitting: bool,
}

impl Times {
    /// Whether any data has arrived.
    pub(super) fn has_received(&self) -> bool {
        self.segments_in != Some(0)
    }

    /// Whether any data was sent.
    pub(super) fn has_sent(&self) -> bool {
        self.segments_out != Some(0)
    }

    /// Whether a request is unanswered. If a request and an answer fall into one tick of the kernel's clock their order is
    /// unknown: a fast server answers within the tick of the request, and a client that sends one request after the other sends
    /// the next within the tick of the answer. A client acknowledges an answer with its next request, or else within 40 ms
    /// (delayed acknowledgement). So if no acknowledgement came after the last request, that request is probably unanswered,
    /// unless as many segments have left as have come: short requests and answers have one each. It counts as unanswered for
    /// [`TIE_LIMIT`].
    fn owes_answer(&self) -> bool {
        let is_tie = self.received == self.sent && self.acknowledged >= self.received && self.received < TIE_LIMIT;
        let is_balanced = self.segments_in == self.segments_out;
        self.has_received() && (!self.has_sent() || self.received < self.sent || (is_tie && !is_balanced))
    }
}

/// A TCP socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) state: TcpState,
    /// An IPv4-mapped IPv6 address is stored as IPv4.
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    /// 0 if no process holds the socket: it is in the accept queue, or already closed by the app.
    pub(super) inode: u64,
    /// The user who created it.
    pub(super) uid: u32,
    /// Bytes to read. A FIN counts as one byte.
    pub(super) received: u32,
    /// Bytes not acknowledged. A FIN counts as one byte.
    pub(super) unacknowledged: u32,
    pub(super) flow: Flow,
    /// The kernel's identifier of the socket, which no later socket gets; 0 if unknown.
    pub(super) cookie: u64,
}

impl Socket {
    /// Whether it is in a listener's accept queue. In these states the app cannot have closed it, so no inode means not yet
    /// accepted.
    pub(super) fn is_in_accept_queue(&self) -> bool {
        self.inode == 0 && matches!(self.state, TcpState::Established | TcpState::CloseWait)
    }

    /// Whether the app has accepted it or will find it in its accept queue.
    pub(super) fn is_open(&self) -> bool {
        self.is_in_accept_queue()
            || (self.inode != 0 && !matches!(self.state, TcpState::Listen | TcpState::Closed | TcpState::SynSent))
    }

    /// Whether the app has closed it while the kernel still delivers data.
    pub(super) fn is_being_delivered(&self) -> bool {
        self.inode == 0 && self.unsent() > 0 && self.state.is_closed_by_us()
    }

    /// Bytes that arrived and that the app has not read.
    pub(super) fn unread(&self) -> u32 {
        self.received.saturating_sub(self.state.is_closed_by_peer().into())
    }

    /// Bytes that the app wrote and that the peer has not acknowledged.
    pub(super) fn unsent(&self) -> u32 {
        self.unacknowledged.saturating_sub(self.state.is_closed_by_us().into())
    }

    /// Whether a request or a response is in progress.
    pub(super) fn is_busy(&self) -> bool {
        self.unread() > 0 || self.unsent() > 0 || matches!(self.flow, Flow::Exact(times) if times.owes_answer())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(state: TcpState, inode: u64, received: u32, unacknowledged: u32, flow: Flow) -> Socket {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        Socket { state, local: address, peer: address, inode, uid: 0, received, unacknowledged, flow, cookie: 0 }
    }

    #[test]
    fn a_fin_does_not_count_as_a_byte() {
        assert_eq!(socket(TcpState::CloseWait, 0, 1, 0, Flow::Unknown).unread(), 0);
        assert_eq!(socket(TcpState::CloseWait, 0, 4, 0, Flow::Unknown).unread(), 3);
        assert_eq!(socket(TcpState::Established, 0, 1, 0, Flow::Unknown).unread(), 1);
        assert_eq!(socket(TcpState::LastAck, 0, 0, 1, Flow::Unknown).unsent(), 0);
        assert!(!socket(TcpState::FinWait1, 0, 0, 1, Flow::Unknown).is_being_delivered());
        assert!(socket(TcpState::FinWait1, 0, 0, 2, Flow::Unknown).is_being_delivered());
        assert!(!socket(TcpState::FinWait1, 7, 0, 2, Flow::Unknown).is_being_delivered());
    }

    #[test]
    fn a_connection_is_busy_while_the_app_owes_an_answer() {
        let busy_with = |received, sent, acknowledged, segments_in, segments_out| {
            let [received, sent, acknowledged] = [received, sent, acknowledged].map(Duration::from_millis);
            let [segments_in, segments_out] = [segments_in, segments_out].map(Some);
            let times = Times { received, sent, acknowledged, segments_in, segments_out, is_retransmitting: false };
            socket(TcpState::Established, 7, 0, 0, Flow::Exact(times)).is_busy()
        };
        let busy = |received, sent, has_received: bool, has_sent: bool| {
            busy_with(received, sent, 0, u32::from(has_received) * 2, u32::from(has_sent))
        };
        assert!(!busy(50, 50, false, false), "connected only");
        assert!(busy(50, 50, true, false), "a request came with the end of the handshake, and no answer");
        assert!(busy(10, 5000, true, true), "a second request, not answered");
        assert!(!busy(20, 10, true, true), "answered");
        assert!(!busy(20, 20, true, true), "answered within the same tick, and the answer was acknowledged");
        assert!(busy_with(20, 20, 20, 2, 1), "nothing was acknowledged after the request");
        assert!(!busy_with(20, 20, 20, 2, 2), "but each request has its answer");
        assert!(!busy_with(5000, 5000, 5000, 2, 1), "and not for ever");
        assert!(socket(TcpState::Established, 7, 0, 1, Flow::Unknown).is_busy(), "still sending");
    }
}
