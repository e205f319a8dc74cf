//! What the looks at the app's sockets add up to: for how long it has been quiet, and the counts that the report tells.
//! Pure: the looks and the time go in.

use std::net::IpAddr;
use std::time::Duration;

use crate::shutdown::{Moment, Watched};
use crate::sys::sockets::Look;

/// So many peers are remembered, those that came last; where there are as many at once none of them is a probe.
const MOST_PEERS: usize = 9;

/// The traffic of one stop.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// When the looking began. What was before nobody saw, so no quiet is older.
    began: Moment,
    /// When a connection was made or a request byte arrived last.
    arrival: Option<Moment>,
    /// When a byte of a response was sent last.
    response: Option<Moment>,
    /// When a connection was seen open last.
    open_at: Option<Moment>,
    /// When none was any more.
    closed_at: Option<Moment>,
    /// Connections that were made since the looking began.
    new: u64,
    /// What the last look showed.
    last: Look,
    /// Whose requests came after the first look, and when the last of each did.
    peers: Vec<(IpAddr, Moment)>,
    /// At the stop signal: how many were made until then, and what was open.
    at_signal: Option<AtSignal>,
}

/// What was seen when the app was sent its stop signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtSignal {
    /// When that was.
    pub at: Moment,
    /// Connections made during the pre-delay.
    pub new: u64,
    /// Connections open.
    pub open: u64,
    /// Of these, with something under way.
    pub busy: u64,
    /// Of these, not accepted yet.
    pub waiting: u64,
    /// Of these, with a request that nobody has read.
    pub waiting_unread: u64,
}

impl Traffic {
    /// Nothing was seen yet.
    #[must_use]
    pub fn begin(now: Moment) -> Self {
        Self {
            began: now,
            arrival: None,
            response: None,
            open_at: None,
            closed_at: None,
            new: 0,
            last: Look::default(),
            peers: Vec::new(),
            at_signal: None,
        }
    }

    /// Takes a look.
    pub fn seen(&mut self, look: Look, now: Moment) {
        let mut arrival = look.since_arrival.map(|age| now.saturating_sub(age));
        // Where bytes on connections that are kept alive are not seen, a segment that came may have been one; on one that has
        // ended since the last look, too.
        let had_connections = look.open > 0 || self.last.open > 0;
        if !look.sees_bytes && had_connections && look.segments.is_some_and(|segments| segments > 0) {
            arrival = Some(now);
        }
        if let (Some(peer), Some(moment)) = (look.last_peer, arrival.filter(|&moment| moment > self.began)) {
            self.came(peer, moment);
        }
        self.arrival = self.arrival.max(arrival);
        self.response = self.response.max(look.since_response.map(|age| now.saturating_sub(age)));
        if look.open > 0 {
            self.open_at = Some(now);
            self.closed_at = None;
        } else if self.last.open > 0 {
            self.closed_at = Some(now);
        }
        self.new = self.new.saturating_add(look.new);
        self.last = look;
    }

    fn came(&mut self, peer: IpAddr, moment: Moment) {
        self.peers.retain(|&(known, _)| known != peer);
        if self.peers.len() == MOST_PEERS {
            self.peers.remove(0);
        }
        self.peers.push((peer, moment));
    }

    /// The app is about to be sent its stop signal. The first such moment counts.
    pub fn stop_signal(&mut self, now: Moment) {
        let Look { open, busy, waiting, waiting_unread, .. } = self.last;
        self.at_signal.get_or_insert(AtSignal { at: now, new: self.new, open, busy, waiting, waiting_unread });
    }

    /// For how long what is watched has been quiet.
    #[must_use]
    pub fn quiet(&self, of: Watched, now: Moment) -> Duration {
        if of != Watched::Connections && self.nobody_can_come() {
            return Duration::MAX;
        }
        let last = match of {
            Watched::Requests => self.arrival,
            Watched::Traffic => self.arrival.max(self.response),
            Watched::Connections => self.open_at,
        };
        now.saturating_sub(last.unwrap_or(self.began).max(self.began))
    }

    /// Whether nothing listens and nothing is open: there is no traffic to wait for.
    fn nobody_can_come(&self) -> bool {
        self.last.listening.is_empty() && self.last.open == 0
    }

    /// Whether there is nothing left to be seen.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.nobody_can_come() && self.last.lingering == 0
    }

    /// Whose requests came that lately. `None`: nobody's who was seen, or those of many.
    #[must_use]
    pub fn callers(&self, lately: Duration, now: Moment) -> Option<Vec<IpAddr>> {
        let came = self.peers.iter().filter(|&&(_, moment)| now.saturating_sub(moment) < lately);
        let callers: Vec<IpAddr> = came.map(|&(peer, _)| peer).collect();
        (1..MOST_PEERS).contains(&callers.len()).then_some(callers)
    }

    /// What there was at the stop signal, once it is out.
    #[must_use]
    pub fn at_signal(&self) -> Option<AtSignal> {
        self.at_signal
    }

    /// How long after the stop signal no connection was open any more. `None`: there was none, or one still is.
    #[must_use]
    pub fn last_closed(&self) -> Option<Duration> {
        Some(self.closed_at?.saturating_sub(self.at_signal?.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: u16 = 80;

    fn at(seconds: u64) -> Moment {
        Duration::from_secs(seconds)
    }

    fn peer(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    /// A listener without a connection, as netlink shows it.
    fn calm() -> Look {
        Look { listening: vec![PORT], sees_bytes: true, ..Look::default() }
    }

    fn request(from: IpAddr, ago: u64) -> Look {
        Look { new: 1, since_arrival: Some(at(ago)), last_peer: Some(from), ..calm() }
    }

    fn quiet_requests(traffic: &Traffic, now: u64) -> Duration {
        traffic.quiet(Watched::Requests, at(now))
    }

    #[test]
    fn quiet_is_no_older_than_the_looking() {
        let mut traffic = Traffic::begin(at(100));
        traffic.seen(calm(), at(100));
        assert_eq!(quiet_requests(&traffic, 100), at(0));
        traffic.seen(calm(), at(103));
        assert_eq!(quiet_requests(&traffic, 103), at(3));
        // A connection that was idle for a minute before says nothing of those that came and went.
        traffic.seen(Look { open: 1, idle: 1, since_arrival: Some(at(60)), ..calm() }, at(104));
        assert_eq!(quiet_requests(&traffic, 104), at(4));
    }

    #[test]
    fn a_request_ends_the_quiet_at_its_own_time_not_at_the_looks() {
        let mut traffic = Traffic::begin(at(100));
        traffic.seen(calm(), at(100));
        traffic.seen(request(peer(1), 2), at(110));
        assert_eq!(quiet_requests(&traffic, 111), at(3));
        // An older one that is seen later does not make it younger.
        traffic.seen(request(peer(1), 9), at(112));
        assert_eq!(quiet_requests(&traffic, 112), at(4));
    }

    #[test]
    fn a_response_is_traffic_but_no_request() {
        let mut traffic = Traffic::begin(at(0));
        traffic.seen(Look { open: 1, busy: 1, since_response: Some(at(0)), ..calm() }, at(5));
        assert_eq!(quiet_requests(&traffic, 6), at(6));
        assert_eq!(traffic.quiet(Watched::Traffic, at(6)), at(1));
    }

    #[test]
    fn where_nothing_listens_there_is_nothing_to_wait_for() {
        let mut traffic = Traffic::begin(at(0));
        traffic.seen(Look::default(), at(0));
        assert_eq!(quiet_requests(&traffic, 0), Duration::MAX);
        // But whether connections are open is a question of its own: the control.
        assert_eq!(traffic.quiet(Watched::Connections, at(1)), at(1));
        // An app that has closed its listener and still answers has traffic.
        traffic.seen(Look { open: 1, busy: 1, since_arrival: Some(at(0)), ..Look::default() }, at(2));
        assert_eq!(quiet_requests(&traffic, 3), at(1));
    }

    #[test]
    fn where_bytes_are_not_seen_a_segment_may_have_been_one() {
        let blurred = |open, segments| Look { open, segments: Some(segments), sees_bytes: false, ..calm() };
        let mut traffic = Traffic::begin(at(0));
        traffic.seen(blurred(1, 3), at(4));
        assert_eq!(quiet_requests(&traffic, 5), at(1));
        traffic.seen(blurred(1, 0), at(8));
        assert_eq!(quiet_requests(&traffic, 8), at(4), "nothing came, so nothing was missed");
        traffic.seen(blurred(0, 3), at(9));
        assert_eq!(quiet_requests(&traffic, 9), at(0), "the connection ended since, perhaps with it");
        traffic.seen(blurred(0, 3), at(10));
        assert_eq!(quiet_requests(&traffic, 10), at(1), "no connection of ours was there that it could have been on");
    }

    #[test]
    fn a_few_callers_are_named_and_many_are_not() {
        let mut traffic = Traffic::begin(at(0));
        assert_eq!(traffic.callers(at(5), at(1)), None);
        for second in 1..9 {
            traffic.seen(request(peer(7), 0), at(second));
        }
        assert_eq!(traffic.callers(at(5), at(9)), Some(vec![peer(7)]));
        for last in 10..30 {
            traffic.seen(request(peer(last), 0), at(9));
        }
        assert_eq!(traffic.callers(at(5), at(9)), None, "no probe, but the world");
    }

    #[test]
    fn the_counts_are_those_at_the_stop_signal() {
        let mut traffic = Traffic::begin(at(0));
        traffic.seen(Look { new: 0, open: 2, idle: 2, ..calm() }, at(0));
        traffic.seen(Look { new: 5, open: 3, idle: 1, busy: 2, ..calm() }, at(2));
        traffic.stop_signal(at(2));
        traffic.seen(Look { new: 4, open: 1, busy: 1, ..calm() }, at(4));
        traffic.stop_signal(at(5));
        let expected = AtSignal { at: at(2), new: 5, open: 3, busy: 2, waiting: 0, waiting_unread: 0 };
        assert_eq!(traffic.at_signal(), Some(expected));
        assert_eq!(traffic.last_closed(), None, "one is open");
        traffic.seen(Look::default(), at(6));
        assert_eq!(traffic.last_closed(), Some(at(4)), "the first look that shows none open");
        assert!(traffic.is_over());
    }
}
