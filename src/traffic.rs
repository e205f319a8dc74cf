//! What the snapshots of the app's sockets prove: for how long there was no traffic, and the counts for the report. It makes no
//! system call: snapshots and the time go in.

use std::net::IpAddr;
use std::time::Duration;

use crate::shutdown::{Activity, Moment};
use crate::snapshot::Snapshot;

/// The most peers that are remembered, the latest ones. So many peers at once are clients and not probes.
const MOST_PEERS: usize = 9;

/// The traffic of one stop.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// When the first snapshot was taken. Nothing is known about the time before, so quiet counts from here.
    began: Moment,
    /// When a connection was last made or a request byte last arrived.
    arrival: Option<Moment>,
    /// When a byte of a response was last sent.
    response: Option<Moment>,
    /// When a connection was last seen busy.
    busy_at: Option<Moment>,
    /// When a connection was last seen open.
    open_at: Option<Moment>,
    /// When the first snapshot after that showed no open connection. `None`: one is open, or none ever was.
    closed_at: Option<Moment>,
    /// Connections made since the first snapshot.
    new: u64,
    /// The last snapshot.
    last: Snapshot,
    /// The peers that sent requests after the first snapshot, and when each last did.
    peers: Vec<(IpAddr, Moment)>,
    /// The connections at the stop signal. `None`: it was not sent yet.
    at_signal: Option<AtSignal>,
}

/// The connections at the moment when the app was sent its stop signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtSignal {
    /// That moment.
    pub at: Moment,
    /// Connections made during the pre-delay.
    pub new: u64,
    /// Open connections.
    pub open: u64,
    /// Open connections with something in progress.
    pub busy: u64,
    /// Open connections in the accept queue.
    pub waiting: u64,
    /// Connections in the accept queue with an unread request.
    pub waiting_unread: u64,
}

impl Traffic {
    /// Before the first snapshot.
    #[must_use]
    pub fn begin(now: Moment) -> Self {
        Self {
            began: now,
            arrival: None,
            response: None,
            busy_at: None,
            open_at: None,
            closed_at: None,
            new: 0,
            last: Snapshot::default(),
            peers: Vec::new(),
            at_signal: None,
        }
    }

    /// Adds a snapshot.
    pub fn add(&mut self, snapshot: Snapshot, now: Moment) {
        let mut arrival = snapshot.since_arrival.map(|age| now.saturating_sub(age));
        // If bytes on kept-alive connections are invisible, any segment may have carried a request, also on a connection that
        // has ended since the last snapshot.
        let had_connections = snapshot.open > 0 || self.last.open > 0;
        if !snapshot.sees_bytes && had_connections && snapshot.segments.is_some_and(|segments| segments > 0) {
            arrival = Some(now);
        }
        if let (Some(peer), Some(moment)) = (snapshot.last_peer, arrival.filter(|&moment| moment > self.began)) {
            self.add_peer(peer, moment);
        }
        self.arrival = self.arrival.max(arrival);
        self.response = self.response.max(snapshot.since_response.map(|age| now.saturating_sub(age)));
        if snapshot.busy > 0 {
            self.busy_at = Some(now);
        }
        if snapshot.open > 0 {
            self.open_at = Some(now);
            self.closed_at = None;
        } else if self.last.open > 0 {
            self.closed_at = Some(now);
        }
        self.new = self.new.saturating_add(snapshot.new);
        self.last = snapshot;
    }

    fn add_peer(&mut self, peer: IpAddr, moment: Moment) {
        self.peers.retain(|&(known, _)| known != peer);
        if self.peers.len() == MOST_PEERS {
            self.peers.remove(0);
        }
        self.peers.push((peer, moment));
    }

    /// Notes that the app is sent its stop signal now. Only the first call counts.
    pub fn stop_signal(&mut self, now: Moment) {
        let Snapshot { open, busy, waiting, waiting_unread, .. } = self.last;
        self.at_signal.get_or_insert(AtSignal { at: now, new: self.new, open, busy, waiting, waiting_unread });
    }

    /// For how long this activity has been absent.
    #[must_use]
    pub fn quiet(&self, of: Activity, now: Moment) -> Duration {
        match of {
            Activity::Requests | Activity::Traffic | Activity::NewConnections if self.cannot_have_traffic() => {
                return Duration::MAX;
            }
            // The stop signal would cut off an unanswered request.
            Activity::Traffic if self.last.busy > 0 => return Duration::ZERO,
            // Without any connection, something else keeps the app from exiting.
            Activity::BusyConnections if self.last.open == 0 => return Duration::ZERO,
            _ => {}
        }
        let last = match of {
            Activity::Requests | Activity::NewConnections => self.arrival,
            Activity::Traffic => self.arrival.max(self.response),
            // A response whose parts arrive at once may look idle between two of them.
            Activity::BusyConnections => self.busy_at.max(self.response),
            Activity::Connections => self.open_at,
        };
        now.saturating_sub(last.unwrap_or(self.began).max(self.began))
    }

    /// Whether nothing listens and nothing is open: there can be no traffic.
    fn cannot_have_traffic(&self) -> bool {
        self.last.listening.is_empty() && self.last.open == 0
    }

    /// Whether later snapshots cannot show anything new.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.cannot_have_traffic() && self.last.lingering == 0
    }

    /// The peers whose requests came within the last `lately`. `None`: no peer is known, or there are too many to name.
    #[must_use]
    pub fn recent_peers(&self, lately: Duration, now: Moment) -> Option<Vec<IpAddr>> {
        let came = self.peers.iter().filter(|&&(_, moment)| now.saturating_sub(moment) < lately);
        let recent_peers: Vec<IpAddr> = came.map(|&(peer, _)| peer).collect();
        (1..MOST_PEERS).contains(&recent_peers.len()).then_some(recent_peers)
    }

    /// The connections at the stop signal. `None`: it was not sent yet.
    #[must_use]
    pub fn at_signal(&self) -> Option<AtSignal> {
        self.at_signal
    }

    /// How long after the stop signal the last connection was closed. `None`: there was none, or one is still open.
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
    fn idle_listener() -> Snapshot {
        Snapshot { listening: vec![PORT], sees_bytes: true, ..Snapshot::default() }
    }

    fn request(from: IpAddr, ago: u64) -> Snapshot {
        Snapshot { new: 1, since_arrival: Some(at(ago)), last_peer: Some(from), ..idle_listener() }
    }

    fn quiet_requests(traffic: &Traffic, now: u64) -> Duration {
        traffic.quiet(Activity::Requests, at(now))
    }

    #[test]
    fn quiet_counts_from_the_first_snapshot() {
        let mut traffic = Traffic::begin(at(100));
        traffic.add(idle_listener(), at(100));
        assert_eq!(quiet_requests(&traffic, 100), at(0));
        traffic.add(idle_listener(), at(103));
        assert_eq!(quiet_requests(&traffic, 103), at(3));
        // A connection that was idle for the minute before proves nothing about connections that came and went.
        traffic.add(Snapshot { open: 1, idle: 1, since_arrival: Some(at(60)), ..idle_listener() }, at(104));
        assert_eq!(quiet_requests(&traffic, 104), at(4));
    }

    #[test]
    fn a_request_ends_the_quiet_when_it_came_not_when_it_was_seen() {
        let mut traffic = Traffic::begin(at(100));
        traffic.add(idle_listener(), at(100));
        traffic.add(request(peer(1), 2), at(110));
        assert_eq!(quiet_requests(&traffic, 111), at(3));
        // An older one that is seen later changes nothing.
        traffic.add(request(peer(1), 9), at(112));
        assert_eq!(quiet_requests(&traffic, 112), at(4));
    }

    #[test]
    fn a_response_is_traffic_but_not_a_request() {
        let mut traffic = Traffic::begin(at(0));
        traffic.add(Snapshot { open: 1, idle: 1, since_response: Some(at(0)), ..idle_listener() }, at(5));
        assert_eq!(quiet_requests(&traffic, 6), at(6));
        assert_eq!(traffic.quiet(Activity::Traffic, at(6)), at(1));
    }

    #[test]
    fn an_unanswered_request_is_traffic_however_long_it_takes() {
        let mut traffic = Traffic::begin(at(0));
        traffic.add(Snapshot { open: 1, busy: 1, since_arrival: Some(at(9)), ..idle_listener() }, at(5));
        assert_eq!(traffic.quiet(Activity::Traffic, at(6)), at(0));
        assert_eq!(quiet_requests(&traffic, 6), at(6), "the control: nothing has arrived");
    }

    #[test]
    fn idle_connections_are_quiet_since_the_last_one_was_busy() {
        let mut traffic = Traffic::begin(at(0));
        traffic.add(Snapshot { open: 2, busy: 1, idle: 1, ..idle_listener() }, at(3));
        traffic.add(Snapshot { open: 2, idle: 2, ..idle_listener() }, at(5));
        assert_eq!(traffic.quiet(Activity::BusyConnections, at(6)), at(3));
        traffic.add(idle_listener(), at(7));
        assert_eq!(traffic.quiet(Activity::BusyConnections, at(9)), at(0), "no connection holds the drain");
    }

    #[test]
    fn without_a_listener_there_is_nothing_to_wait_for() {
        let mut traffic = Traffic::begin(at(0));
        traffic.add(Snapshot::default(), at(0));
        assert_eq!(quiet_requests(&traffic, 0), Duration::MAX);
        // The control: open connections are counted independently.
        assert_eq!(traffic.quiet(Activity::Connections, at(1)), at(1));
        // An app that has closed its listener and still answers does have traffic.
        traffic.add(Snapshot { open: 1, busy: 1, since_arrival: Some(at(0)), ..Snapshot::default() }, at(2));
        assert_eq!(quiet_requests(&traffic, 3), at(1));
    }

    #[test]
    fn if_bytes_are_invisible_any_segment_counts_as_one() {
        let imprecise =
            |open, segments| Snapshot { open, segments: Some(segments), sees_bytes: false, ..idle_listener() };
        let mut traffic = Traffic::begin(at(0));
        traffic.add(imprecise(1, 3), at(4));
        assert_eq!(quiet_requests(&traffic, 5), at(1));
        traffic.add(imprecise(1, 0), at(8));
        assert_eq!(quiet_requests(&traffic, 8), at(4), "no segment, so no request was missed");
        traffic.add(imprecise(0, 3), at(9));
        assert_eq!(quiet_requests(&traffic, 9), at(0), "the connection has ended, perhaps after a request");
        traffic.add(imprecise(0, 3), at(10));
        assert_eq!(quiet_requests(&traffic, 10), at(1), "there was no connection that it could belong to");
    }

    #[test]
    fn a_few_callers_are_named_and_many_are_not() {
        let mut traffic = Traffic::begin(at(0));
        assert_eq!(traffic.recent_peers(at(5), at(1)), None);
        for second in 1..9 {
            traffic.add(request(peer(7), 0), at(second));
        }
        assert_eq!(traffic.recent_peers(at(5), at(9)), Some(vec![peer(7)]));
        for last in 10..30 {
            traffic.add(request(peer(last), 0), at(9));
        }
        assert_eq!(traffic.recent_peers(at(5), at(9)), None, "too many for probes");
    }

    #[test]
    fn the_counts_are_those_at_the_stop_signal() {
        let mut traffic = Traffic::begin(at(0));
        traffic.add(Snapshot { new: 0, open: 2, idle: 2, ..idle_listener() }, at(0));
        traffic.add(Snapshot { new: 5, open: 3, idle: 1, busy: 2, ..idle_listener() }, at(2));
        traffic.stop_signal(at(2));
        traffic.add(Snapshot { new: 4, open: 1, busy: 1, ..idle_listener() }, at(4));
        traffic.stop_signal(at(5));
        let expected = AtSignal { at: at(2), new: 5, open: 3, busy: 2, waiting: 0, waiting_unread: 0 };
        assert_eq!(traffic.at_signal(), Some(expected));
        assert_eq!(traffic.last_closed(), None, "one is open");
        traffic.add(Snapshot::default(), at(6));
        assert_eq!(traffic.last_closed(), Some(at(4)), "the first snapshot with none open");
        assert!(traffic.is_over());
    }
}
