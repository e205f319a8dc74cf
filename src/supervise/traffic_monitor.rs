//! Watches the app's sockets during a stop: decides when to take a snapshot, and adds it to the [`Traffic`].

use std::os::fd::BorrowedFd;
use std::time::Duration;

use log::{debug, info, trace, warn};

use crate::rate::Before;
use crate::report::STOP;
use crate::shutdown::{Activity, Moment};
use crate::snapshot::Connection;
use crate::sys::sockets::{Ends, OwnProcesses, PortSelection, SocketWatcher, SocketsUnavailable, SourceKind, Subject};
use crate::traffic::Traffic;

/// The interval of snapshots while one may end a wait, and early in a drain. Quiet is noticed at most this much late.
const SHORT_INTERVAL: Duration = Duration::from_millis(250);
/// The interval of snapshots that only serve the report.
const LONG_INTERVAL: Duration = Duration::from_secs(1);
/// A drain has short intervals for this long. Most drains end within it, so the report is exact about their connections.
const SHORT_INTERVALS_FOR: Duration = Duration::from_secs(10);
/// After connections have ended we wait for this long until we hear of others. When each one ended is known that exactly.
const DEAF_FOR: Duration = Duration::from_millis(20);
/// The number of connections that are named when SIGKILL cuts them off.
const MOST_NAMED: usize = 10;

/// The snapshots of one stop.
#[derive(Debug)]
pub(super) struct TrafficMonitor {
    watcher: SocketWatcher,
    /// The source of the last snapshot.
    source: SourceKind,
    traffic: Traffic,
    /// When the next snapshot is due. `None`: no more are taken.
    next: Option<Moment>,
    /// Whether the last snapshot might have ended the wait, so that the time of each call matters.
    is_exact: bool,
    /// Until when we do not listen to the news of ended connections. `None`: we do.
    deaf_until: Option<Moment>,
    /// Whether SIGKILL was sent: from then on the kernel closes the connections, not the app.
    is_killed: bool,
}

impl TrafficMonitor {
    /// Takes the first snapshot. `before` is what the namespace has received since our start, and `may_end_wait` is whether
    /// a snapshot may end the present wait.
    #[must_use]
    pub(super) fn start(
        subject: Subject<'_>,
        quiet_means: Activity,
        before: Before,
        own_processes: &OwnProcesses<'_>,
        may_end_wait: bool,
        now: Moment,
    ) -> Self {
        let watcher = SocketWatcher::new(subject);
        let traffic = Traffic::begin(now, before, quiet_means);
        let mut monitor = Self {
            watcher,
            source: SourceKind::Netlink,
            traffic,
            next: Some(now),
            is_exact: may_end_wait,
            deaf_until: None,
            is_killed: false,
        };
        monitor.take_snapshot(now, own_processes, may_end_wait);
        monitor.log_ports();
        monitor
    }

    fn log_ports(&self) {
        let which = match self.watcher.selection() {
            Some(PortSelection::Named) => "the named ports",
            Some(PortSelection::OwnProcesses) => "the ports of our own processes",
            Some(PortSelection::Guessed) => "the public ports",
            None => "no port",
        };
        debug!("watching {which}: {:?}", self.watcher.ports());
        if self.watcher.selection() == Some(PortSelection::Guessed) && !self.watcher.ports().is_empty() {
            info!(
                "a process hides its sockets, so the traffic on every public port counts that it may have opened: {:?} (set `ports` to name yours)",
                self.watcher.ports()
            );
        }
    }

    /// When [`Self::note_ends`] or [`Self::take_snapshot`] is due. `None`: never again in this stop.
    #[must_use]
    pub(super) fn next(&self) -> Option<Moment> {
        self.next.map(|next| self.deaf_until.map_or(next, |until| next.min(until)))
    }

    /// A descriptor that becomes readable when a connection has ended, if [`Self::note_ends`] is to hear of it at once.
    #[must_use]
    pub(super) fn ends(&self) -> Option<BorrowedFd<'_>> {
        self.watcher.ends().filter(|_| self.is_exact && self.next.is_some() && self.deaf_until.is_none())
    }

    /// Notes which connections have ended. In heavy traffic many do, and are noted together.
    pub(super) fn note_ends(&mut self, now: Moment) {
        let Some(next) = self.next.filter(|_| self.is_exact) else {
            self.deaf_until = None;
            return;
        };
        if self.deaf_until.is_some_and(|until| now < until) {
            return;
        }
        self.deaf_until = match self.watcher.note_ends(now) {
            Ends::None => None,
            Ends::Some => Some(now.saturating_add(DEAF_FOR)),
            Ends::TooMany => Some(next),
        };
    }

    /// What the snapshots have shown.
    #[must_use]
    pub(super) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Whether a snapshot is due.
    #[must_use]
    pub(super) fn is_due(&self, now: Moment) -> bool {
        self.next.is_some_and(|next| now >= next)
    }

    /// Takes a snapshot. `may_end_wait` is whether it may end the present wait. Returns whether it could be taken.
    pub(super) fn take_snapshot(&mut self, now: Moment, own_processes: &OwnProcesses<'_>, may_end_wait: bool) -> bool {
        if self.is_killed {
            return false;
        }
        self.is_exact = may_end_wait;
        let had_ports = self.watches_ports();
        let is_later = self.watcher.selection().is_some();
        match self.watcher.snapshot(now, own_processes, may_end_wait) {
            Ok(snapshot) => {
                trace!("{snapshot:?}");
                self.traffic.add(snapshot, self.watcher.unseen(), now);
                if !had_ports && self.watches_ports() && is_later {
                    info!(target: STOP, "listens on {:?} now", self.watcher.ports());
                }
                let is_early =
                    self.traffic.at_signal().is_some_and(|signal| now < signal.at.saturating_add(SHORT_INTERVALS_FOR));
                let interval = if may_end_wait || is_early { SHORT_INTERVAL } else { LONG_INTERVAL };
                self.next = (may_end_wait || !self.traffic.is_over()).then(|| now.saturating_add(interval));
                if std::mem::replace(&mut self.source, self.watcher.source()) != self.watcher.source() {
                    let refusal = self.watcher.refusal().map(ToString::to_string).unwrap_or_default();
                    debug!("netlink does not show sockets ({refusal}); reading /proc/net/tcp instead");
                }
                true
            }
            Err(error) => {
                self.give_up(&error, may_end_wait);
                false
            }
        }
    }

    /// Takes no more snapshots. Without them a wait lasts to its upper bound.
    fn give_up(&mut self, error: &SocketsUnavailable, may_end_wait: bool) {
        self.next = None;
        self.traffic.add_failure();
        if may_end_wait {
            warn!("cannot see the traffic, so the wait takes its upper bound: {error}");
        } else {
            debug!("cannot see the traffic: {error}");
        }
    }

    /// Whether anything of ours listens on a TCP port.
    pub(super) fn watches_ports(&self) -> bool {
        !self.watcher.ports().is_empty()
    }

    /// The inodes of the connections that a process holds.
    pub(super) fn connection_inodes(&mut self) -> Vec<u64> {
        self.watcher.connection_inodes()
    }

    /// Notes that the app is about to be sent its stop signal.
    pub(super) fn stop_signal(&mut self, now: Moment, own_processes: &OwnProcesses<'_>) {
        if self.next.is_some() {
            self.take_snapshot(now, own_processes, false);
        }
        self.traffic.stop_signal(now);
        // A drain begins with short intervals.
        self.next = self.next.map(|next| next.min(now.saturating_add(SHORT_INTERVAL)));
    }

    /// The connections that SIGKILL is about to cut off: the first of them, and the number of the others.
    #[must_use]
    pub(super) fn about_to_be_cut_off(&mut self, now: Moment) -> (Vec<Connection>, usize) {
        self.take_snapshot(now, &|| None, false);
        (self.is_killed, self.next) = (true, None);
        let mut all = self.watcher.connections().unwrap_or_default();
        let more = all.len().saturating_sub(MOST_NAMED);
        all.truncate(MOST_NAMED);
        (all, more)
    }
}
