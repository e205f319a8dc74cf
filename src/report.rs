//! The log lines of a stop: one for each phase, and a closing line.

mod quiet;

use std::fmt;
use std::time::{Duration, SystemTime};

use log::{info, warn};

use crate::duration::show;
use crate::process::Process;
use crate::profile::Profile;
use crate::server::Found;
use crate::settings::UpperBound;
use crate::shutdown::{Activity, Exit, KILL_WAIT, Moment, Note, Quiet, Wait};
use crate::signal::{Origin, Signal};
use crate::snapshot::Connection;
use crate::traffic::{AtSignal, Traffic};

/// The log target of the lines about a stop. They are shown by default, though their level is "info".
pub const STOP: &str = "softstop::stop";

/// A process that is sent a signal in a stop.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// The signal.
    pub signal: Signal,
    /// The process's name.
    pub name: String,
    /// Its pid.
    pub pid: i32,
    /// The main child, if that is another process: its name and pid.
    pub behind: Option<(String, i32)>,
    /// The servers that it stops by itself on this signal.
    pub handles: Vec<(String, i32)>,
}

/// At most this many of the processes that the main child leaves are named.
const MOST_NAMED: usize = 8;

/// What a person sets who does not want softstop to assume an upper bound.
const HOW_TO_CHOOSE: &str = "(set grace_period or pre_delay)";

/// Logs one stop.
#[derive(Debug)]
pub struct Report {
    name: String,
    pid: i32,
    /// The first server: its name and pid.
    server: Option<(String, i32)>,
    recipients: Vec<Recipient>,
    /// Whether the last signal could not be sent, to the main child or to any process that is left.
    is_refused: bool,
    /// The pids of processes that could not be sent a signal.
    unreached: Vec<i32>,
    /// Where the upper bound of the pre-delay comes from. `None`: a person or a profile has set it.
    upper_bound: Option<UpperBound>,
    is_uncertain: bool,
    ok_on_stop: Vec<u8>,
    is_success: bool,
    request: Option<Request>,
    /// When the stop began: at the request, or at the main child's exit if that left other processes.
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

/// A step of the plan that was entered.
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
    /// A report on the main child with this name and pid.
    #[must_use]
    pub fn new(name: String, pid: i32) -> Self {
        Self {
            name,
            pid,
            server: None,
            recipients: Vec::new(),
            is_refused: false,
            unreached: Vec::new(),
            upper_bound: None,
            is_uncertain: false,
            ok_on_stop: Vec::new(),
            is_success: false,
            request: None,
            began: None,
            phases: Vec::new(),
            main: None,
            killed: None,
        }
    }

    /// Notes what the search for the server has found. `name` is the main child's present name, which has changed if the main
    /// child was a script that has called execve(2) since.
    pub fn found(
        &mut self,
        found: &Found,
        name: Option<String>,
        recipients: Vec<Recipient>,
        profile: Option<&'static Profile>,
    ) {
        if let Some(name) = name {
            self.name = name;
        }
        self.server = found.servers.first().map(|server| (server.name.clone(), server.pid));
        self.is_uncertain = found.is_uncertain;
        // A job that never listened has not finished. Whoever stops servers by itself may have codes of its own (runsvdir).
        let handlers = found.recipients.iter().filter(|recipient| !recipient.handles.is_empty());
        let profiles = profile.into_iter().chain(handlers.filter_map(|handler| handler.profile));
        let codes = profiles.filter(|_| !found.servers.is_empty()).flat_map(|profile| profile.ok_on_stop);
        self.ok_on_stop = codes.copied().collect();
        self.recipients = recipients;
    }

    /// Notes where the upper bound of the pre-delay comes from.
    pub fn bounded(&mut self, upper_bound: Option<UpperBound>) {
        self.upper_bound = upper_bound;
    }

    /// Notes which server still runs, after another one has ended.
    pub fn serves(&mut self, server: &Process) {
        self.server = Some((server.name.clone(), server.pid));
    }

    /// The signal that requested the stop.
    #[must_use]
    pub fn request(&self) -> Option<Signal> {
        self.request.as_ref().map(|request| request.signal)
    }

    /// Logs it if the signal does not go to the server itself.
    fn explain_recipients(&self, request: Signal) {
        if self.is_uncertain {
            info!(target: STOP, "cannot see which process listens, so {request} is for the main child, {}", self.main_child());
        }
        for Recipient { name, pid, handles, .. } in &self.recipients {
            if handles.is_empty() {
                continue;
            }
            let servers: Vec<String> = handles.iter().map(|(name, pid)| format!("{name} (pid {pid})")).collect();
            let (servers, verb) = (servers.join(", "), if handles.len() == 1 { "is" } else { "are" });
            info!(
                target: STOP,
                "{name} (pid {pid}) handles {request} itself: {servers} {verb} left to it (target = \"server\" changes that)"
            );
        }
    }

    /// Logs that a server was sent its own stop signal, because the process that was to stop it has exited.
    pub fn abandoned(&self, handler: &str, server: &Process, signal: Signal) {
        info!(target: STOP, "{handler} has exited without stopping {} (pid {}): sent {signal} to it", server.name, server.pid);
    }

    /// Notes that a process could not be sent its signal.
    pub fn not_sent(&mut self, pid: i32) {
        self.recipients.retain(|recipient| recipient.pid != pid);
        self.unreached.push(pid);
    }

    /// Notes whether the signal that the next note is about was sent.
    pub fn was_sent(&mut self, is_sent: bool) {
        self.is_refused = !is_sent;
    }

    /// Notes that the main child was sent this signal in place of a recipient.
    pub fn asks_main_child(&mut self, signal: Signal) {
        let (name, pid) = (self.name.clone(), self.pid);
        self.recipients.push(Recipient { signal, name, pid, behind: None, handles: Vec::new() });
    }

    /// Whether a stop was under way.
    #[must_use]
    pub fn is_stop(&self) -> bool {
        self.began.is_some()
    }

    /// The exit code to exit with: 0 if a stop was requested, nothing was killed, and `code` is one with which, by its profile,
    /// the server or whoever stops it exits after a clean stop. The server was found listening, so the code is not that of an interrupted job.
    #[must_use]
    pub fn final_exit_code(&mut self, code: u8) -> u8 {
        self.is_success = self.request.is_some() && self.killed.is_none() && self.ok_on_stop.contains(&code);
        if self.is_success { 0 } else { code }
    }

    /// Logs that the main child was ended by a signal that we have never sent.
    pub fn unexpected_death(&self, signal: Signal, oom_kills: u64) {
        let hint = match oom_kills {
            0 => String::new(),
            kills => format!(": out of memory? (the cgroup counts {})", count(kills, "out-of-memory kill")),
        };
        warn!("{} was killed by {signal}, which softstop did not send{hint}", self.main_child());
    }

    /// Logs the processes that the main child leaves when it exits without a stop. `exited_early` is whether it may have
    /// daemonized.
    pub fn left_outside_a_stop(&self, left: &[Process], exited_early: bool) {
        if left.is_empty() {
            return;
        }
        let names: Vec<String> =
            left.iter().take(MOST_NAMED).map(|process| format!("{} (pid {})", process.name, process.pid)).collect();
        let more = left.len().saturating_sub(MOST_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let hint = if exited_early && self.main == Some(Exit::Code(0)) {
            "; a server must stay in the foreground (for example `daemon off;` of nginx)"
        } else {
            ""
        };
        warn!("{} exited and left {}{more}{hint}", self.main_child(), names.join(", "));
    }

    /// Logs a note of the state machine.
    pub fn note(&mut self, note: Note, now: Moment, traffic: Option<&Traffic>) {
        match note {
            Note::Requested(signal, origin) => {
                info!(target: STOP, "stop requested: {signal} {origin}");
                self.explain_recipients(signal);
                self.request = Some(Request { signal, origin, at: SystemTime::now() });
                self.began.get_or_insert(now);
            }
            Note::Waiting { sent, wait, .. } => {
                match sent {
                    None => info!(
                        target: STOP,
                        "pre-delay: {} keeps serving {}{}",
                        self.app(),
                        until(wait),
                        assumed(self.upper_bound)
                    ),
                    Some(signal) => {
                        let open = traffic.and_then(Traffic::at_signal).map(open).unwrap_or_default();
                        let mut sent = self.sent(signal).into_iter();
                        let first = sent.next().map(|first| format!("sent {first}; ")).unwrap_or_default();
                        info!(target: STOP, "drain: {first}{}{open}", limit(wait));
                        for another in sent {
                            info!(target: STOP, "drain: sent {another}");
                        }
                        self.warn_of_resets(traffic);
                    }
                }
                // It may be another than the plan's: that of the main child, asked in a recipient's place.
                let sent = sent.map(|signal| self.recipients.first().map_or(signal, |first| first.signal));
                self.phases.push(Phase { sent, since: now });
            }
            Note::Repeated { signal, origin, passed_on: true } => {
                info!(target: STOP, "received {signal} again, {origin}: passed on to {}", self.asked(signal));
            }
            Note::Repeated { signal, origin, passed_on: false } => {
                info!(target: STOP, "another stop request: {signal} {origin}; ignored, since the stop is under way");
            }
            Note::Hurried(signal, origin) => {
                info!(target: STOP, "received {signal} {origin}, a signal of hurry_on: the present wait ends");
            }
            Note::TimeUp(wait) if self.phases.last().is_some_and(|phase| phase.sent.is_some()) => {
                warn!("drain timeout: still running after {}", wait.at_most.map(whole).unwrap_or_default());
            }
            Note::Quiet(Wait { quiet: Some(Quiet { of: Activity::BusyConnections, lasts }), .. }) => {
                warn!("{} has had only idle connections for {} and has not exited", self.app(), show(lasts));
            }
            Note::Quiet(Wait {
                quiet: Some(Quiet { of: Activity::Connections | Activity::Clients, lasts }), ..
            }) => {
                warn!("{} has had no open connection for {} and has not exited", self.app(), show(lasts));
            }
            Note::Quiet(Wait { quiet: Some(quiet), at_most, .. }) => {
                if let Some(traffic) = traffic {
                    quiet::quiet(quiet, traffic, at_most, now);
                }
            }
            Note::TimeUp(Wait { quiet: Some(quiet), at_most, .. }) => {
                if let Some(traffic) = traffic {
                    quiet::not_quiet(quiet, traffic, at_most, now);
                }
            }
            // A pre-delay of a fixed length is followed by the line of the next phase. The other two have functions of their
            // own.
            Note::Quiet(_) | Note::TimeUp(_) | Note::Unkillable | Note::LeftBehind => {}
            Note::OthersLeft { exit, serving: true } => {
                info!(target: STOP, "{} {exit}; the stop of {} goes on", self.main_child(), self.app());
                self.main = Some(exit);
            }
            Note::Idle(signal) => {
                info!(target: STOP, "no client is connected any more: sent {signal} to {} again", self.asked(signal));
            }
            Note::WrapperAsked(_) | Note::LeftoverAsked(_) if self.is_refused => {} // a warning has said so
            Note::WrapperAsked(signal) => {
                info!(target: STOP, "sent {signal} to {}, which has not exited after its server", self.main_child());
            }
            Note::LeftoverAsked(signal) => {
                info!(target: STOP, "sent {signal} to processes that are left, which have no client's connection");
            }
            Note::OthersLeft { exit, serving: false } => {
                self.began.get_or_insert(now);
                info!(target: STOP, "{} {exit}; stopping the processes that it left", self.main_child());
                self.main = Some(exit);
            }
        }
    }

    /// Warns of the connections in the accept queue: the kernel resets them when the listener closes.
    fn warn_of_resets(&self, traffic: Option<&Traffic>) {
        let Some(AtSignal { waiting, waiting_unread, .. }) = traffic.and_then(Traffic::at_signal) else { return };
        if waiting > 0 {
            warn!(
                "{} in the accept queue of {}, {waiting_unread} with a request: reset unless it accepts them before it closes its listener",
                count(waiting, "connection"),
                self.app()
            );
        }
    }

    /// Logs the connections that SIGKILL cut off.
    pub fn cut_off(&self, cut_off: Option<&(Vec<Connection>, usize)>) {
        let Some((named, more)) = cut_off else { return };
        for Connection { peer, port, unsent, unread, .. } in named {
            warn!("cut off {peer} on port {port}: {unsent} bytes not delivered, {unread} bytes not read");
        }
        if *more > 0 {
            warn!("cut off {more} more connections");
        }
    }

    /// Logs the processes that were sent SIGKILL, if they are known.
    pub fn killed(&mut self, killed: Option<&[Process]>) {
        warn!(
            "SIGKILL to every remaining process{}",
            if killed.is_none() { "; /proc does not show which" } else { "" }
        );
        for process in killed.unwrap_or_default() {
            warn!("killed {}", Named(process));
        }
        self.killed = Some(killed.map_or(0, <[Process]>::len));
    }

    /// Logs the processes that SIGKILL did not end.
    pub fn unkillable(&self, left: &[Process]) {
        let wait = show(KILL_WAIT);
        warn!(
            "some processes still exist {wait} after SIGKILL (in uninterruptible sleep, or not ours to kill?); exiting anyway"
        );
        for process in left {
            warn!("not ended: {}", Named(process));
        }
    }

    /// Notes how the main child ended.
    pub fn main_exited(&mut self, exit: Exit) {
        self.main = Some(exit);
    }

    /// Logs the closing line of a stop: who requested it and when, how long each phase took, how it ended.
    pub fn close(&self, now: Moment, traffic: Option<&Traffic>) {
        let Some(began) = self.began else { return }; // the app exited without a stop
        let mut parts = vec![match &self.request {
            Some(Request { signal, origin, at }) => {
                format!("{signal} {origin} at {}", humantime::format_rfc3339_seconds(*at))
            }
            None => format!("{} exited by itself and left other processes", self.name),
        }];
        let ends = self.phases.iter().skip(1).map(|phase| phase.since).chain([now]);
        for (phase, end) in self.phases.iter().zip(ends) {
            parts.push(format!("{phase} {}", seconds(end.saturating_sub(phase.since))));
        }
        parts.extend(traffic.and_then(|traffic| connections(traffic, self.phases.iter().find_map(|phase| phase.sent))));
        parts.extend(self.killed.map(|count| match count {
            0 => "SIGKILL".to_owned(),
            1 => "SIGKILL to 1 process".to_owned(),
            count => format!("SIGKILL to {count} processes"),
        }));
        parts.push(match self.main {
            Some(exit) if self.is_success => format!("{} {exit}, as after every clean stop", self.name),
            Some(exit) => format!("{} {exit}", self.name),
            None => format!("{} still runs", self.name),
        });
        info!(target: STOP, "stopped in {}: {}", seconds(now.saturating_sub(began)), parts.join(", "));
    }

    /// Logs the processes that are left when we exit.
    pub fn left_behind(&self, left: &[Process]) {
        for process in left {
            let is_unreached = self.unreached.contains(&process.pid);
            let why = if is_unreached { "could not be sent a signal" } else { "did not exit on its signal" };
            warn!("leaving {}, which has no client's connection and {why}", Named(process));
        }
    }

    /// The server, or the main child if there is none.
    fn app(&self) -> String {
        match &self.server {
            Some((name, pid)) => format!("{name} (pid {pid})"),
            None => self.main_child(),
        }
    }

    /// Whom this signal goes to when it comes again: who was asked to stop by it.
    fn asked(&self, signal: Signal) -> String {
        let asked = self.recipients.iter().filter(|recipient| recipient.signal == signal);
        let names: Vec<String> = asked.map(|one| format!("{} (pid {})", one.name, one.pid)).collect();
        if names.is_empty() { self.main_child() } else { names.join(", ") }
    }

    fn main_child(&self) -> String {
        format!("{} (pid {})", self.name, self.pid)
    }

    /// For each recipient, which signal it was sent: `SIGQUIT to nginx (pid 7)`.
    fn sent(&self, signal: Signal) -> Vec<String> {
        if self.recipients.is_empty() {
            if self.is_refused {
                return Vec::new();
            }
            let main = if self.main.is_some() { "the remaining processes".to_owned() } else { self.main_child() };
            return vec![format!("{signal} to {main}")];
        }
        let recipients = self.recipients.iter().map(|Recipient { signal, name, pid, behind, .. }| {
            let behind = behind.as_ref().map(|(name, pid)| format!(", behind {name} (pid {pid})")).unwrap_or_default();
            format!("{signal} to {name} (pid {pid}){behind}")
        });
        recipients.collect()
    }
}

/// Rounded to tenths, in integers: the standard library's code for floats would add 10 kB to the binary.
fn seconds(duration: Duration) -> impl fmt::Display {
    let tenths = duration.as_millis().saturating_add(50) / 100;
    format!("{}.{} s", tenths / 10, tenths % 10)
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(signal) => write!(f, "was killed by {signal}"),
        }
    }
}

/// What was assumed about the upper bound of the pre-delay; empty if nothing was.
fn assumed(upper_bound: Option<UpperBound>) -> String {
    match upper_bound {
        Some(UpperBound::Assumed(platform)) => format!("; upper bound assumed for {platform} {HOW_TO_CHOOSE}"),
        Some(UpperBound::Unknown) => format!("; upper bound assumed, no platform recognised {HOW_TO_CHOOSE}"),
        Some(UpperBound::HalfOf(_) | UpperBound::LeftByDrain(_)) | None => String::new(),
    }
}

/// For how long the app keeps serving.
fn until(wait: Wait) -> String {
    let Some(at_most) = wait.at_most else { return "until it exits".to_owned() };
    let Some(Quiet { of, lasts }) = wait.quiet else { return format!("for {}", show(at_most)) };
    let what = match of {
        Activity::Requests => "no request arrives",
        Activity::Traffic => "no request arrives, none is unanswered and no response is sent",
        Activity::NewConnections => "no new connection is made",
        Activity::BusyConnections => "no connection is busy",
        Activity::Connections | Activity::Clients => "no connection is open",
    };
    // How much longer is decided by what the traffic shows.
    format!("for {} to {}, until {what} for {} or longer", show(wait.at_least), show(at_most), show(lasts))
}

/// The connections that were open at the stop signal; empty if there were none.
fn open(AtSignal { open, busy, .. }: AtSignal) -> String {
    if open == 0 { String::new() } else { format!("; {} open, {busy} of them busy", count(open, "connection")) }
}

/// The part of the closing line about connections, if there were any.
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

fn count(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A limit, rounded to tenths of a second if it includes time that quiet saved.
fn whole(limit: Duration) -> String {
    let tenths = u64::try_from(limit.as_millis() / 100).unwrap_or(u64::MAX);
    // A value from a setting has whole milliseconds, and is shown unchanged.
    if limit.subsec_nanos() % 1_000_000 == 0 {
        show(limit)
    } else {
        show(Duration::from_millis(tenths.saturating_mul(100)))
    }
}

/// How long the app may take.
fn limit(wait: Wait) -> String {
    match wait.at_most {
        Some(limit) => format!("waiting up to {} for its exit", whole(limit)),
        None => "waiting for its exit without a limit, since no drain timeout is set".to_owned(),
    }
}

/// A process as the log names it: pid, name, age.
struct Named<'a>(&'a Process);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {} ({})", self.0.pid, self.0.name)?;
        match self.0.age {
            Some(age) => write!(f, ", {} old", show(Duration::from_secs(age.as_secs()))),
            None => Ok(()),
        }
    }
}
