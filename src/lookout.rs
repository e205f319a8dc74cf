//! Looks at the app's sockets during a stop, as often as it needs.

use std::time::Duration;

use log::{debug, info, trace, warn};

use crate::network::Network;
use crate::shutdown::Moment;
use crate::sys::sockets::{Blind, Choice, Connection, Source, Watch};
use crate::traffic::Traffic;

/// How soon a look follows another while a wait may end by it, or the drain is young: quiet is noticed so much late at most.
const OFTEN: Duration = Duration::from_millis(250);
/// For so long a drain is young. Most end sooner, and the report is to be exact.
const YOUNG: Duration = Duration::from_secs(10);
/// How soon a look follows another where it is for the report alone.
const SELDOM: Duration = Duration::from_secs(1);
/// So many connections are named in the report of a SIGKILL.
const MOST_NAMED: usize = 10;

/// Which sockets are looked at.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The TCP ports whose traffic counts. Empty: those on which our own processes listen.
    pub ports: Vec<u16>,
    /// Whose requests do not count.
    pub ignore_peers: Vec<Network>,
}

/// The looks of one stop.
#[derive(Debug)]
pub struct Lookout {
    watch: Watch,
    /// Who told last, as far as the log knows.
    source: Source,
    traffic: Traffic,
    /// When it is time for the next look. `None`: never again.
    next: Option<Moment>,
    /// Whether SIGKILL is out: what closes now was not closed by the app.
    is_over: bool,
}

impl Lookout {
    /// Takes the first look. `ours` are the pids of our own processes, where they can be told.
    #[must_use]
    pub fn begin(scope: &Scope, ours: Option<&[i32]>, matters: bool, now: Moment) -> Self {
        let watch = Watch::begin(&scope.ports, ours, &scope.ignore_peers);
        let mut lookout =
            Self { watch, source: Source::Netlink, traffic: Traffic::begin(now), next: Some(now), is_over: false };
        lookout.look(now, matters);
        let whose = match lookout.watch.choice() {
            Some(Choice::Named) => "the ports that were named",
            Some(Choice::Ours) => "the ports of our own processes",
            Some(Choice::Guessed) => "the public ports",
            None => "no port",
        };
        debug!("watches {whose}: {:?}", lookout.watch.ports());
        if lookout.watch.choice() == Some(Choice::Guessed) && !lookout.watch.ports().is_empty() {
            info!(
                "not every process shows its sockets, so the traffic of all public ports counts: {:?} (ports names yours)",
                lookout.watch.ports()
            );
        }
        lookout
    }

    /// When [`Self::look`] is due, if ever.
    #[must_use]
    pub fn next(&self) -> Option<Moment> {
        self.next
    }

    /// What was seen so far.
    #[must_use]
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Looks. `matters` is whether a wait may end by what is seen. Says whether anything could be seen.
    pub fn look(&mut self, now: Moment, matters: bool) -> bool {
        if self.is_over {
            return false;
        }
        match self.watch.look() {
            Ok(look) => {
                trace!("saw {look:?}");
                self.traffic.seen(look, now);
                let is_young = self.traffic.at_signal().is_some_and(|signal| now < signal.at.saturating_add(YOUNG));
                let every = if matters || is_young { OFTEN } else { SELDOM };
                self.next = (matters || !self.traffic.is_over()).then(|| now.saturating_add(every));
                if std::mem::replace(&mut self.source, self.watch.source()) != self.watch.source() {
                    let refusal = self.watch.refusal().map(ToString::to_string).unwrap_or_default();
                    debug!("netlink does not show sockets ({refusal}): /proc/net/tcp does");
                }
                true
            }
            Err(blind) => {
                self.go_blind(&blind, matters);
                false
            }
        }
    }

    /// Without evidence a wait takes its upper bound.
    fn go_blind(&mut self, blind: &Blind, matters: bool) {
        self.next = None;
        if matters {
            warn!("cannot see the traffic, so the upper bound is waited for: {blind}");
        } else {
            debug!("{blind}");
        }
    }

    /// The app is about to be sent its stop signal.
    pub fn stop_signal(&mut self, now: Moment) {
        if self.next.is_some() {
            self.look(now, true);
        }
        self.traffic.stop_signal(now);
    }

    /// Whom SIGKILL is about to cut off; and how many more than are named.
    #[must_use]
    pub fn about_to_be_cut_off(&mut self, now: Moment) -> (Vec<Connection>, usize) {
        self.look(now, false);
        (self.is_over, self.next) = (true, None);
        let mut all = self.watch.connections(usize::MAX).unwrap_or_default();
        let more = all.len().saturating_sub(MOST_NAMED);
        all.truncate(MOST_NAMED);
        (all, more)
    }
}
