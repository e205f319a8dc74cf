//! What the snapshots of the app's sockets prove: for how long nobody has called, and whether that is long enough. It makes no
//! system call: snapshots and the time go in. [`rate`](crate::rate) has the reasoning.

use std::net::IpAddr;
use std::time::Duration;

use crate::probe::Call;
use crate::rate::{Before, Calls, Finding};
use crate::shutdown::{Activity, Moment};
use crate::snapshot::Snapshot;

/// So many peers are named in the log. More are clients and not probes.
const MOST_PEERS: usize = 8;

/// For how long an activity has been absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// It was seen to be absent for this long.
    Seen(Duration),
    /// It cannot be seen, so nothing proves that it is absent.
    Unknown(Unseen),
}

/// Why the absence of an activity cannot be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// No list of sockets can be read.
    Sockets,
    /// The server listens on a Unix socket, for whose clients the kernel keeps no times.
    UnixSocket,
    /// The server receives datagrams (UDP), and has no connections.
    Datagrams,
    /// Fewer calls were seen than a rate needs, and the namespace has accepted others.
    Rate,
    /// No connection was seen, so none was closed.
    Connection,
}

/// The traffic of one stop.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// When the first snapshot was taken. Silence counts from here.
    began: Moment,
    /// Whether new connections alone are calls.
    only_connections: bool,
    calls: Calls,
    /// Why calls cannot be seen, if they cannot.
    unseen: Option<Unseen>,
    /// When a call was last pending, or may have come unseen.
    pending_at: Option<Moment>,
    /// When a byte of a response was last sent.
    response: Option<Moment>,
    /// When a connection was last seen busy.
    busy_at: Option<Moment>,
    /// When a listener was last seen.
    listening_at: Option<Moment>,
    /// When a connection was last seen open.
    open_at: Option<Moment>,
    /// When the first snapshot after that showed no open connection. `None`: one is open, or none ever was.
    closed_at: Option<Moment>,
    /// Connections made since the first snapshot.
    new: u64,
    /// The last snapshot.
    last: Snapshot,
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
    /// Before the first snapshot. `before` is what the counters say about the time since our start. If `quiet_means` new
    /// connections, calls on older ones do not count.
    #[must_use]
    pub fn begin(now: Moment, before: Before, quiet_means: Activity) -> Self {
        Self {
            began: now,
            only_connections: quiet_means == Activity::NewConnections,
            calls: Calls::new(now, before),
            unseen: None,
            pending_at: None,
            response: None,
            busy_at: None,
            listening_at: None,
            open_at: None,
            closed_at: None,
            new: 0,
            last: Snapshot::default(),
            at_signal: None,
        }
    }

    /// Adds a snapshot. `unseen` is why it cannot show any call, if it cannot.
    pub fn add(&mut self, snapshot: Snapshot, unseen: Option<Unseen>, now: Moment) {
        self.unseen = unseen;
        let only_connections = self.only_connections;
        let began = self.began;
        let counted = snapshot.calls.iter().filter(|call| call.is_first || !only_connections);
        self.calls.add(counted.map(|call| Call {
            at: offset(now, began, call.age),
            peer: call.peer,
            caller: call.caller,
            is_first: call.is_first,
            hides_earlier: call.hides_earlier,
        }));
        let has_segments = !only_connections && snapshot.segments != Some(0);
        if only_connections && now == began && self.open_at.is_none() {
            self.calls.note_kept(snapshot.open);
        }
        let may_have_called = !snapshot.sees_calls && (has_segments || snapshot.accepted_in_namespace != Some(0));
        if may_have_called && now > self.began {
            self.calls.note_unseen();
            self.pending_at = Some(now);
        }
        if snapshot.pending > 0 {
            self.pending_at = Some(now);
        }
        self.response = self.response.max(snapshot.since_response.map(|age| now.saturating_sub(age)));
        if snapshot.busy > 0 {
            self.busy_at = Some(now);
        }
        if !snapshot.listening.is_empty() {
            self.listening_at = Some(now);
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

    /// Notes that no snapshot can be taken.
    pub fn add_failure(&mut self) {
        self.unseen = Some(Unseen::Sockets);
    }

    /// Notes that the app is sent its stop signal now. Only the first call counts.
    pub fn stop_signal(&mut self, now: Moment) {
        let Snapshot { open, busy, waiting, waiting_unread, .. } = self.last;
        self.at_signal.get_or_insert(AtSignal { at: now, new: self.new, open, busy, waiting, waiting_unread });
    }

    /// For how long this activity has been absent.
    #[must_use]
    pub fn silence(&self, of: Activity, now: Moment) -> Silence {
        if let Some(unseen) = self.unseen {
            return Silence::Unknown(unseen);
        }
        let since = |last: Option<Moment>| Silence::Seen(self.since(last, now));
        match of {
            Activity::Requests | Activity::Traffic | Activity::NewConnections => self.silence_of_calls(of, now),
            // Without any connection, something else keeps the app from exiting.
            Activity::BusyConnections if self.last.open == 0 => Silence::Seen(Duration::ZERO),
            // A response whose parts arrive at once may look idle between two of them.
            Activity::BusyConnections => since(self.busy_at.max(self.response)),
            Activity::Connections if self.open_at.is_none() => Silence::Unknown(Unseen::Connection),
            Activity::Connections | Activity::Clients => since(self.open_at),
        }
    }

    fn silence_of_calls(&self, of: Activity, now: Moment) -> Silence {
        if self.cannot_have_traffic() {
            // A server that is reloaded may close its listener and open it again.
            let last = self.listening_at.max(self.open_at);
            return Silence::Seen(last.map_or(Duration::MAX, |last| self.since(Some(last), now)));
        }
        let finding = self.calls.finding();
        if !finding.is_nobody && finding.rate.is_none() {
            return Silence::Unknown(Unseen::Rate);
        }
        if of == Activity::Traffic && self.last.busy > 0 {
            return Silence::Seen(Duration::ZERO); // the stop signal would cut off an unanswered request
        }
        // What is sent to probes alone is no reason to wait.
        let response = self.response.filter(|_| of == Activity::Traffic && !finding.is_nobody);
        let call = finding.last.and_then(|at| u64::try_from(at).ok()).map(|at| self.began + Duration::from_millis(at));
        match call.max(self.pending_at).max(response) {
            None if finding.is_nobody => Silence::Seen(Duration::MAX),
            last => Silence::Seen(self.since(last, now)),
        }
    }

    /// The time since `last`, but at most since the first snapshot.
    fn since(&self, last: Option<Moment>, now: Moment) -> Duration {
        now.saturating_sub(last.unwrap_or(self.began).max(self.began))
    }

    /// The silence that proves the absence of this activity, in a wait with this upper bound if it has one. `None`: no silence
    /// proves it. Whether connections are open is seen, and needs no proof.
    #[must_use]
    pub fn needed(&self, of: Activity, upper_bound: Option<Duration>) -> Option<Duration> {
        match of {
            Activity::Requests | Activity::Traffic | Activity::NewConnections if !self.cannot_have_traffic() => {
                self.calls.finding().needed(upper_bound?)
            }
            _ => Some(Duration::ZERO),
        }
    }

    /// What the calls so far prove.
    #[must_use]
    pub fn finding(&self) -> Finding {
        self.calls.finding()
    }

    /// Whether nothing listens and nothing is open: there can be no traffic.
    #[must_use]
    pub fn cannot_have_traffic(&self) -> bool {
        self.last.listening.is_empty() && self.last.open == 0
    }

    /// Whether every call is seen. If not, everything that arrives counts as one.
    #[must_use]
    pub fn sees_calls(&self) -> bool {
        self.last.sees_calls
    }

    /// How many connections are open.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.last.open
    }

    /// How many clients wait to be accepted, or still connect.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.last.pending
    }

    /// Whether later snapshots cannot show anything new.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.cannot_have_traffic() && self.last.lingering == 0
    }

    /// The peers that called within the last `lately`, without probes. `None`: there are none, or too many to name.
    #[must_use]
    pub fn recent_peers(&self, lately: Duration, now: Moment) -> Option<Vec<IpAddr>> {
        let peers = self.calls.peers_since(offset(now, self.began, lately).max(0));
        (1..=MOST_PEERS).contains(&peers.len()).then_some(peers)
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

/// The time `age` before `now`, in milliseconds since `began`.
fn offset(now: Moment, began: Moment, age: Duration) -> i32 {
    let [since, age] = [now.saturating_sub(began), age].map(|time| i32::try_from(time.as_millis()).unwrap_or(i32::MAX));
    since.saturating_sub(age)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Caller;
    use crate::rate::Received;
    use crate::snapshot::SeenCall;

    const PORT: u16 = 80;
    const UPPER: Duration = Duration::from_secs(15);

    fn of_accepted(accepted: u64) -> Before {
        Before::of(Received { accepted, segments: 0, octets: None })
    }

    fn at(seconds: u64) -> Moment {
        Duration::from_secs(seconds)
    }

    fn peer(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    /// Traffic since 100 s after our start, of a server that has accepted so many connections.
    fn traffic(accepted: u64) -> Traffic {
        Traffic::begin(at(100), of_accepted(accepted), Activity::Requests)
    }

    /// A listener without a connection, as netlink shows it.
    fn idle_listener() -> Snapshot {
        Snapshot { listening: vec![PORT], sees_calls: true, ..Snapshot::default() }
    }

    fn call(from: IpAddr, ago: u64) -> SeenCall {
        SeenCall { peer: from, age: at(ago), is_first: true, hides_earlier: false, caller: Caller::Any }
    }

    fn calls(ago: impl IntoIterator<Item = u64>) -> Snapshot {
        Snapshot { calls: ago.into_iter().map(|ago| call(peer(1), ago)).collect(), ..idle_listener() }
    }

    /// Uneven calls, about one in 5 s.
    fn history() -> Snapshot {
        let ages = [1_130, 3_457, 10_012, 11_871, 19_398, 26_005, 28_643, 35_222, 41_939, 52_751];
        let calls = ages.map(|age| SeenCall { age: Duration::from_millis(age), ..call(peer(1), 0) });
        Snapshot { calls: calls.to_vec(), ..idle_listener() }
    }

    /// Traffic with a history.
    fn visible() -> Traffic {
        let mut traffic = traffic(1000);
        traffic.add(history(), None, at(100));
        traffic
    }

    fn silence(traffic: &Traffic, now: u64) -> Silence {
        traffic.silence(Activity::Requests, at(now))
    }

    #[test]
    fn silence_counts_from_the_first_snapshot() {
        let mut traffic = visible();
        assert_eq!(silence(&traffic, 100), Silence::Seen(at(0)));
        traffic.add(idle_listener(), None, at(103));
        assert_eq!(silence(&traffic, 103), Silence::Seen(at(3)));
    }

    #[test]
    fn a_call_ends_the_silence_when_it_came_not_when_it_was_seen() {
        let mut traffic = visible();
        traffic.add(calls([2]), None, at(110));
        assert_eq!(silence(&traffic, 111), Silence::Seen(at(3)));
        // An older one that is seen later changes nothing.
        traffic.add(calls([9]), None, at(112));
        assert_eq!(silence(&traffic, 112), Silence::Seen(at(4)));
    }

    #[test]
    fn fewer_than_five_calls_prove_nothing_if_others_may_have_called() {
        let mut traffic = traffic(1000);
        traffic.add(calls([1, 20, 33, 50]), None, at(100));
        assert_eq!(silence(&traffic, 115), Silence::Unknown(Unseen::Rate));
        assert_eq!(traffic.needed(Activity::Requests, Some(UPPER)), None);
    }

    #[test]
    fn if_nobody_ever_called_the_silence_has_lasted_for_ever() {
        let mut traffic = traffic(0);
        traffic.add(idle_listener(), None, at(100));
        assert_eq!(silence(&traffic, 100), Silence::Seen(Duration::MAX));
        assert_eq!(traffic.needed(Activity::Requests, Some(UPPER)), Some(Duration::ZERO));
        // A client in the accept queue is somebody.
        traffic.add(Snapshot { pending: 1, ..idle_listener() }, None, at(101));
        assert_eq!(silence(&traffic, 101), Silence::Seen(at(0)));
        // Its call makes the rate unknown.
        traffic.add(calls([0]), None, at(102));
        assert_eq!(silence(&traffic, 102), Silence::Unknown(Unseen::Rate));
    }

    #[test]
    fn what_cannot_be_seen_is_unknown_whatever_the_snapshot_shows() {
        for unseen in [Unseen::UnixSocket, Unseen::Datagrams] {
            let mut traffic = traffic(0);
            traffic.add(Snapshot::default(), Some(unseen), at(100));
            for of in [Activity::Requests, Activity::Traffic, Activity::Connections, Activity::BusyConnections] {
                assert_eq!(traffic.silence(of, at(115)), Silence::Unknown(unseen), "{of:?}");
            }
        }
        let mut traffic = visible();
        traffic.add_failure();
        assert_eq!(silence(&traffic, 115), Silence::Unknown(Unseen::Sockets));
    }

    #[test]
    fn a_client_in_the_accept_queue_is_not_quiet() {
        let mut traffic = visible();
        traffic.add(Snapshot { open: 1, waiting: 1, pending: 1, ..idle_listener() }, None, at(109));
        assert_eq!(silence(&traffic, 110), Silence::Seen(at(1)));
    }

    #[test]
    fn a_response_is_traffic_but_not_a_request() {
        let mut traffic = visible();
        traffic.add(Snapshot { open: 1, idle: 1, since_response: Some(at(0)), ..idle_listener() }, None, at(105));
        assert_eq!(silence(&traffic, 106), Silence::Seen(at(6)));
        assert_eq!(traffic.silence(Activity::Traffic, at(106)), Silence::Seen(at(1)));
    }

    #[test]
    fn an_answer_to_a_probe_is_no_traffic() {
        let mut traffic = traffic(0);
        traffic.add(Snapshot { open: 1, idle: 1, since_response: Some(at(0)), ..idle_listener() }, None, at(101));
        assert_eq!(traffic.silence(Activity::Traffic, at(102)), Silence::Seen(Duration::MAX));
    }

    #[test]
    fn an_unanswered_request_is_traffic_however_long_it_takes() {
        let mut traffic = visible();
        traffic.add(Snapshot { open: 1, busy: 1, ..idle_listener() }, None, at(105));
        assert_eq!(traffic.silence(Activity::Traffic, at(106)), Silence::Seen(at(0)));
        assert_eq!(silence(&traffic, 106), Silence::Seen(at(6)), "the control: nothing has arrived");
    }

    #[test]
    fn if_new_connections_are_meant_a_later_call_on_an_old_one_does_not_count() {
        let later = |ago| SeenCall { is_first: false, hides_earlier: true, ..call(peer(1), ago) };
        for (quiet_means, lasts) in [(Activity::NewConnections, 10), (Activity::Requests, 1)] {
            let mut traffic = Traffic::begin(at(100), of_accepted(1000), quiet_means);
            traffic.add(history(), None, at(100));
            traffic.add(Snapshot { calls: vec![later(1)], open: 1, ..idle_listener() }, None, at(110));
            assert_eq!(traffic.silence(quiet_means, at(110)), Silence::Seen(at(lasts)));
        }
    }

    #[test]
    fn if_new_connections_are_meant_and_each_client_keeps_its_own_nothing_is_waited_for() {
        for (accepted, seen) in [(10, Silence::Seen(Duration::MAX)), (11, Silence::Unknown(Unseen::Rate))] {
            let mut traffic = Traffic::begin(at(100), of_accepted(accepted), Activity::NewConnections);
            traffic.add(Snapshot { open: 10, idle: 10, ..idle_listener() }, None, at(100));
            assert_eq!(traffic.silence(Activity::NewConnections, at(102)), seen, "{accepted} were accepted");
        }
    }

    #[test]
    fn where_calls_are_not_seen_everything_that_arrives_may_be_one() {
        let blind = |accepted, segments| Snapshot {
            sees_calls: false,
            accepted_in_namespace: Some(accepted),
            segments: Some(segments),
            ..idle_listener()
        };
        let mut traffic = visible();
        traffic.add(blind(0, 3), None, at(104));
        traffic.add(blind(0, 0), None, at(108));
        assert_eq!(silence(&traffic, 108), Silence::Seen(at(4)), "nothing arrived, so nobody called");
        traffic.add(blind(1, 0), None, at(109));
        assert_eq!(silence(&traffic, 109), Silence::Seen(at(0)));
        // If the counters are hidden too, something may have arrived each time.
        traffic.add(Snapshot { sees_calls: false, ..idle_listener() }, None, at(112));
        assert_eq!(silence(&traffic, 112), Silence::Seen(at(0)));
    }

    #[test]
    fn idle_connections_are_quiet_since_the_last_one_was_busy() {
        let mut traffic = visible();
        traffic.add(Snapshot { open: 2, busy: 1, idle: 1, ..idle_listener() }, None, at(103));
        traffic.add(Snapshot { open: 2, idle: 2, ..idle_listener() }, None, at(105));
        assert_eq!(traffic.silence(Activity::BusyConnections, at(106)), Silence::Seen(at(3)));
        traffic.add(idle_listener(), None, at(107));
        let idle = traffic.silence(Activity::BusyConnections, at(109));
        assert_eq!(idle, Silence::Seen(at(0)), "no connection holds the drain");
    }

    #[test]
    fn connections_are_closed_only_if_one_was_seen() {
        let mut traffic = visible();
        assert_eq!(traffic.silence(Activity::Connections, at(105)), Silence::Unknown(Unseen::Connection));
        assert_eq!(traffic.silence(Activity::Clients, at(105)), Silence::Seen(at(5)), "the control");
        traffic.add(Snapshot { open: 1, idle: 1, ..idle_listener() }, None, at(106));
        traffic.add(idle_listener(), None, at(107));
        assert_eq!(traffic.silence(Activity::Connections, at(109)), Silence::Seen(at(3)));
    }

    #[test]
    fn a_wait_without_an_upper_bound_may_end_when_no_client_is_connected_but_not_on_silence() {
        let traffic = visible();
        assert_eq!(traffic.needed(Activity::Clients, None), Some(Duration::ZERO));
        assert_eq!(traffic.needed(Activity::Requests, None), None);
    }

    #[test]
    fn without_a_listener_there_is_nothing_to_wait_for() {
        let mut traffic = traffic(1000);
        traffic.add(Snapshot { sees_calls: true, ..Snapshot::default() }, None, at(100));
        assert_eq!(silence(&traffic, 100), Silence::Seen(Duration::MAX));
        assert_eq!(traffic.needed(Activity::Requests, Some(UPPER)), Some(Duration::ZERO));
        // A listener that was there may come back: the silence counts from its end.
        traffic.add(idle_listener(), None, at(101));
        traffic.add(Snapshot { sees_calls: true, ..Snapshot::default() }, None, at(102));
        assert_eq!(silence(&traffic, 102), Silence::Seen(at(1)));
        // An app that has closed its listener and still answers does have traffic.
        traffic.add(Snapshot { listening: Vec::new(), open: 1, busy: 1, ..calls([0]) }, None, at(102));
        assert_eq!(silence(&traffic, 103), Silence::Unknown(Unseen::Rate));
    }

    #[test]
    fn a_few_callers_are_named_and_many_are_not() {
        let mut traffic = traffic(1000);
        assert_eq!(traffic.recent_peers(at(5), at(101)), None);
        traffic.add(calls([0]), None, at(109));
        assert_eq!(traffic.recent_peers(at(5), at(109)), Some(vec![peer(1)]));
        let many = (10..30).map(|last| call(peer(last), 0)).collect();
        traffic.add(Snapshot { calls: many, ..idle_listener() }, None, at(109));
        assert_eq!(traffic.recent_peers(at(5), at(109)), None, "too many to name");
    }

    #[test]
    fn the_counts_are_those_at_the_stop_signal() {
        let mut traffic = traffic(1000);
        traffic.add(Snapshot { new: 0, open: 2, idle: 2, ..idle_listener() }, None, at(100));
        traffic.add(Snapshot { new: 5, open: 3, idle: 1, busy: 2, ..idle_listener() }, None, at(102));
        traffic.stop_signal(at(102));
        traffic.add(Snapshot { new: 4, open: 1, busy: 1, ..idle_listener() }, None, at(104));
        traffic.stop_signal(at(105));
        let expected = AtSignal { at: at(102), new: 5, open: 3, busy: 2, waiting: 0, waiting_unread: 0 };
        assert_eq!(traffic.at_signal(), Some(expected));
        assert_eq!(traffic.last_closed(), None, "one is open");
        traffic.add(Snapshot { sees_calls: true, ..Snapshot::default() }, None, at(106));
        assert_eq!(traffic.last_closed(), Some(at(4)), "the first snapshot with none open");
        assert!(traffic.is_over());
    }
}
