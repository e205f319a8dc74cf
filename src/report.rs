//! What people read of a stop: a line for each phase, and one closing line.

use std::fmt;
use std::time::{Duration, SystemTime};

use log::{info, warn};

use crate::duration::show;
use crate::shutdown::{Exit, KILL_WAIT, Moment, Note, Quiet, Wait, Watched};
use crate::signal::{Origin, Signal};
use crate::sys::procfs::Process;
use crate::sys::sockets::Connection;
use crate::traffic::{AtSignal, Traffic};

/// The target of the lines that a stop writes: shown by default, though their level is "info".
pub const STOP: &str = "softstop::stop";

/// Follows one stop.
#[derive(Debug)]
pub struct Report {
    name: String,
    pid: i32,
    request: Option<Request>,
    /// When the stop began: at the request, or at the main child's exit where others had to follow it.
    began: Option<Moment>,
    phases: Vec<Phase>,
    main: Option<Exit>,
    killed: Option<usize>,
}

#[derive(Debug)]
struct Request {
    signal: Signal,
    origin: Origin,
    at: SystemTime,
}

/// A step of the plan as it went.
#[derive(Debug)]
struct Phase {
    sent: Option<Signal>,
    since: Moment,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sent {
            None => f.write_str("pre-delay"),
            Some(signal) => write!(f, "drain after {signal}"),
        }
    }
}

impl Report {
    /// A report on the main child with this name and number.
    #[must_use]
    pub fn new(name: String, pid: i32) -> Self {
        Self { name, pid, request: None, began: None, phases: Vec::new(), main: None, killed: None }
    }

    /// Says what the state machine wants said.
    pub fn note(&mut self, note: Note, now: Moment, traffic: Option<&Traffic>) {
        match note {
            Note::Requested(signal, origin) => {
                info!(target: STOP, "stop requested: {signal} {origin}");
                self.request = Some(Request { signal, origin, at: SystemTime::now() });
                self.began.get_or_insert(now);
            }
            Note::Waiting { sent, wait, .. } => {
                match sent {
                    None => info!(target: STOP, "pre-delay: {} keeps serving {}", self.app(), until(wait)),
                    Some(signal) => {
                        let app = if self.main.is_some() { "what is left".to_owned() } else { self.app() };
                        let open = traffic.and_then(Traffic::at_signal).map(open).unwrap_or_default();
                        info!(target: STOP, "drain: sent {signal} to {app}, which {}{open}", limit(wait));
                        self.warn_of_resets(traffic);
                    }
                }
                self.phases.push(Phase { sent, since: now });
            }
            Note::Repeated { signal, origin, passed_on: true } => {
                info!(target: STOP, "{signal} again, {origin}: passed on to {}", self.app());
            }
            Note::Repeated { signal, origin, passed_on: false } => {
                info!(target: STOP, "another stop request, {signal} {origin}: the stop is under way, nothing changes");
            }
            Note::Hurried(signal, origin) => {
                info!(target: STOP, "{signal} {origin}: somebody is in a hurry, the present wait is over");
            }
            Note::TimeUp(wait) if self.phases.last().is_some_and(|phase| phase.sent.is_some()) => {
                warn!("drain timeout: not done after {}", wait.at_most.map(whole).unwrap_or_default());
            }
            Note::Quiet(Quiet { of, lasts }) => match of {
                Watched::Requests => info!(target: STOP, "quiet: no request for {}", show(lasts)),
                Watched::Traffic => info!(target: STOP, "quiet: no request and no response for {}", show(lasts)),
                Watched::Connections => {
                    warn!("{} has had no connection open for {}, and has not exited", self.app(), show(lasts));
                }
            },
            Note::TimeUp(Wait { quiet: Some(quiet), .. }) => not_quiet(quiet, traffic, now),
            // A pre-delay that is over: the next phase's line says so. The undead: told with their names.
            Note::TimeUp(_) | Note::Undead => {}
            Note::OthersLeft(exit) => {
                self.began.get_or_insert(now);
                info!(target: STOP, "{} {exit}; what it left behind is to stop too", self.app());
                self.main = Some(exit);
            }
        }
    }

    /// A client in the accept queue of a listener that is closed gets a reset.
    fn warn_of_resets(&self, traffic: Option<&Traffic>) {
        let Some(AtSignal { waiting, waiting_unread, .. }) = traffic.and_then(Traffic::at_signal) else { return };
        if waiting > 0 {
            warn!(
                "{} had not accepted {}, {waiting_unread} with a request: each is reset unless it does so before it closes its listener",
                self.app(),
                count(waiting, "connection")
            );
        }
    }

    /// Says whom SIGKILL cut off, and what they did not get.
    pub fn cut_off(&self, cut_off: Option<&(Vec<Connection>, usize)>) {
        let Some((named, more)) = cut_off else { return };
        for Connection { peer, port, unsent, unread, .. } in named {
            warn!("cut off {peer} on port {port}, {unsent} bytes not delivered, {unread} not read");
        }
        if *more > 0 {
            warn!("cut off {more} more");
        }
    }

    /// Says who was sent SIGKILL, where that is known.
    pub fn killed(&mut self, killed: Option<&[Process]>) {
        warn!(
            "SIGKILL to all that is left{}",
            if killed.is_none() { ", whoever that is: /proc does not tell" } else { "" }
        );
        for process in killed.unwrap_or_default() {
            warn!("killed {}", Named(process));
        }
        self.killed = Some(killed.map_or(0, <[Process]>::len));
    }

    /// Says who did not die of it.
    pub fn undead(&self, left: &[Process]) {
        let wait = show(KILL_WAIT);
        warn!(
            "still there {wait} after SIGKILL (in uninterruptible sleep, or out of our reach?); leaving all the same"
        );
        for process in left {
            warn!("left {}", Named(process));
        }
    }

    /// Remembers how the main child ended.
    pub fn main_exited(&mut self, exit: Exit) {
        self.main = Some(exit);
    }

    /// The closing line of a stop: what asked for it and when, how long each phase took, how it ended.
    pub fn close(&self, now: Moment, traffic: Option<&Traffic>) {
        let Some(began) = self.began else { return }; // the app ended by itself: nothing was stopped
        let mut said = vec![match &self.request {
            Some(Request { signal, origin, at }) => {
                format!("{signal} {origin} at {}", humantime::format_rfc3339_seconds(*at))
            }
            None => format!("{} had ended by itself and left others", self.name),
        }];
        let ends = self.phases.iter().skip(1).map(|phase| phase.since).chain([now]);
        for (phase, end) in self.phases.iter().zip(ends) {
            said.push(format!("{phase} {}", seconds(end.saturating_sub(phase.since))));
        }
        said.extend(traffic.and_then(|traffic| connections(traffic, self.phases.iter().find_map(|phase| phase.sent))));
        said.extend(self.killed.map(|count| match count {
            0 => "SIGKILL".to_owned(),
            1 => "SIGKILL to 1 process".to_owned(),
            count => format!("SIGKILL to {count} processes"),
        }));
        said.push(match self.main {
            Some(exit) => format!("{} {exit}", self.name),
            None => format!("{} is still there", self.name),
        });
        info!(target: STOP, "stopped in {}: {}", seconds(now.saturating_sub(began)), said.join(", "));
    }

    fn app(&self) -> String {
        format!("{} (pid {})", self.name, self.pid)
    }
}

/// Rounded to tenths, in integers: the standard library's code to print a float would add 10 kB to the binary.
fn seconds(duration: Duration) -> impl fmt::Display {
    let tenths = duration.as_millis().saturating_add(50) / 100;
    format!("{}.{} s", tenths / 10, tenths % 10)
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(signal) => write!(f, "was ended by {signal}"),
        }
    }
}

/// How long the app keeps serving.
fn until(wait: Wait) -> String {
    let Some(at_most) = wait.at_most else { return "until it exits".to_owned() };
    let Some(Quiet { of, lasts }) = wait.quiet else { return format!("for {}", show(at_most)) };
    let what = match of {
        Watched::Requests => "no request has come",
        Watched::Traffic => "no request has come and no response has gone",
        Watched::Connections => "no connection has been open",
    };
    format!("for {} to {}, until {what} for {}", show(wait.at_least), show(at_most), show(lasts))
}

/// What was open at the stop signal.
fn open(AtSignal { open, busy, .. }: AtSignal) -> String {
    if open == 0 { String::new() } else { format!("; {} open, {busy} of them busy", count(open, "connection")) }
}

/// The connections of a stop, where there were any.
fn connections(traffic: &Traffic, sent: Option<Signal>) -> Option<String> {
    let AtSignal { new, open, .. } = traffic.at_signal()?;
    if new == 0 && open == 0 {
        return None;
    }
    let closed = traffic.last_closed().filter(|_| open > 0);
    let closed = closed.map(|after| format!(", last closed after {}", seconds(after))).unwrap_or_default();
    let sent = sent?;
    Some(format!("{} during the pre-delay, {open} open at {sent}{closed}", count(new, "new connection")))
}

/// Says what kept the pre-delay from ending early.
fn not_quiet(Quiet { of, lasts }: Quiet, traffic: Option<&Traffic>, now: Moment) {
    let Some(traffic) = traffic else { return };
    let [requests, responses] = [Watched::Requests, Watched::Traffic].map(|what| traffic.quiet(what, now));
    if requests < lasts {
        let callers = traffic.callers(lasts, now).map(|callers| {
            let callers: Vec<String> = callers.iter().map(ToString::to_string).collect();
            format!(", from {} (ignore_peers leaves probes out)", callers.join(", "))
        });
        let callers = callers.unwrap_or_default();
        info!(target: STOP, "never quiet: requests came to the end, the last {} ago{callers}", seconds(requests));
    } else if of == Watched::Traffic && responses < lasts {
        info!(target: STOP, "never quiet: responses went to the end, the last {} ago", seconds(responses));
    } else {
        // Nothing could be seen, which was said.
    }
}

fn count(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A limit may hold what quiet has saved, to the nanosecond.
fn whole(limit: Duration) -> String {
    let tenths = u64::try_from(limit.as_millis() / 100).unwrap_or(u64::MAX);
    // What a person wrote stays as it is.
    if limit.subsec_nanos() % 1_000_000 == 0 {
        show(limit)
    } else {
        show(Duration::from_millis(tenths.saturating_mul(100)))
    }
}

/// How long the app may take.
fn limit(wait: Wait) -> String {
    match wait.at_most {
        Some(limit) => format!("has {} to finish its work", whole(limit)),
        None => "may take as long as it needs: no drain timeout is set".to_owned(),
    }
}

/// A process as the log names it: pid, name, age.
struct Named<'a>(&'a Process);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {} ({})", self.0.pid, self.0.name)?;
        match self.0.age() {
            Some(age) => write!(f, ", {} old", show(Duration::from_secs(age.as_secs()))),
            None => Ok(()),
        }
    }
}
