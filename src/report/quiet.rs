//! The log lines about a silence: why it ended a wait, or why it did not.

use std::net::IpAddr;
use std::time::Duration;

use log::info;

use super::{STOP, seconds};
use crate::duration::show;
use crate::rate::Finding;
use crate::shutdown::{Activity, Moment, Quiet};
use crate::traffic::{Silence, Traffic, Unseen};

/// Logs that the pre-delay ended early.
pub(super) fn quiet(Quiet { of, lasts }: Quiet, traffic: &Traffic, upper_bound: Option<Duration>, now: Moment) {
    let finding = traffic.finding();
    if traffic.cannot_have_traffic() {
        info!(target: STOP, "nothing listens on a TCP port, so there is no traffic to wait for");
        return;
    }
    if finding.is_nobody {
        match finding.probes {
            _ if of == Activity::NewConnections && traffic.open() > 0 => {
                info!(target: STOP, "quiet: no new connection, and every client but probes has kept its own since the start");
            }
            0 => info!(target: STOP, "quiet: no client has sent anything since the start"),
            _ => info!(target: STOP, "quiet: nobody but probes has called since the start"),
        }
        return;
    }
    let needed = traffic.needed(of, upper_bound).unwrap_or_default();
    let (lasts, because) = match traffic.silence(of, now) {
        Silence::Seen(silence) if needed > lasts => {
            (seconds(silence).to_string(), format!("; {} was needed: {}", seconds(needed), rate(finding)))
        }
        _ => (show(lasts), String::new()),
    };
    match of {
        Activity::NewConnections => info!(target: STOP, "quiet: no new connection for {lasts}{because}"),
        Activity::Traffic => {
            info!(target: STOP, "quiet: no request and no response for {lasts}, and none under way{because}");
        }
        _ => info!(target: STOP, "quiet: no request for {lasts}{because}"),
    }
}

/// Logs why the pre-delay did not end early.
pub(super) fn not_quiet(Quiet { of, lasts }: Quiet, traffic: &Traffic, upper_bound: Option<Duration>, now: Moment) {
    let (what, comes) = match of {
        Activity::NewConnections => (of, "new connections are still made"),
        _ => (Activity::Requests, "requests still arrive"),
    };
    let needed = traffic.needed(of, upper_bound).unwrap_or_default();
    match (traffic.silence(what, now), traffic.silence(of, now)) {
        (Silence::Unknown(Unseen::Sockets), _) => {} // the monitor has logged it
        (Silence::Unknown(Unseen::Rate), _) if !traffic.sees_calls() => unseen(BLIND),
        (Silence::Seen(silence), _) if silence < lasts && !traffic.sees_calls() => unseen(BLIND),
        (Silence::Unknown(reason), _) => unseen(why(reason)),
        (Silence::Seen(silence), _) if silence < lasts && traffic.pending() > 0 => {
            let clients = super::count(traffic.pending(), "client");
            info!(target: STOP, "not quiet: {clients} in the accept queue, or still connecting");
        }
        (Silence::Seen(silence), _) if silence < lasts => {
            let peers = traffic.recent_peers(lasts, now).unwrap_or_default();
            info!(target: STOP, "not quiet: {comes}, the last {} ago{}", seconds(silence), from(&peers));
        }
        (_, Silence::Seen(silence)) if silence < lasts => {
            info!(target: STOP, "not quiet: requests are unanswered, or responses still sent");
        }
        (Silence::Seen(silence), _) => {
            let rate = rate(traffic.finding());
            info!(target: STOP, "waited to the upper bound: needs {} of silence: {rate}; it was {}", seconds(needed), seconds(silence));
        }
    }
}

fn unseen(why: &str) {
    info!(target: STOP, "waited to the upper bound: {why}");
}

/// Why a silence is not seen if only the namespace's counters are.
const BLIND: &str =
    "the kernel does not show single requests, so everything that arrives in the network namespace counts as one";

fn why(unseen: Unseen) -> &'static str {
    match unseen {
        Unseen::Sockets | Unseen::Connection => "the traffic cannot be seen",
        Unseen::UnixSocket => "it cannot be seen who calls on a Unix socket",
        Unseen::Datagrams => "it cannot be seen who sends datagrams (UDP)",
        Unseen::Rate => "too few calls were seen to tell a pause from the end of the traffic",
    }
}

fn from(peers: &[IpAddr]) -> String {
    let peers: Vec<String> = peers.iter().map(ToString::to_string).collect();
    if peers.is_empty() { String::new() } else { format!(", from {} (ignore_peers excludes probes)", peers.join(", ")) }
}

/// How often somebody called, in words. Whole numbers: the standard library's code for floats would add 10 kB to the binary.
fn rate(finding: Finding) -> String {
    let between = finding.rate.and_then(|rate| Duration::try_from_secs_f64(1.0 / rate).ok()).unwrap_or_default();
    let milliseconds = between.as_millis().max(1);
    let rate = match milliseconds {
        1000.. => format!("about one call in {}", seconds(between)),
        667.. => "about one call a second".to_owned(),
        _ => format!("about {} calls a second", (1000 + milliseconds / 2) / milliseconds),
    };
    let bursts = finding.pause.map(|pause| format!(", in bursts up to {} apart", seconds(pause))).unwrap_or_default();
    format!("{rate}{bursts}")
}
