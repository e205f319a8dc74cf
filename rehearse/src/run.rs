//! `rehearse run`: load around a person's own roll-out.
//!
//! The command runs only after the URL has given a right answer, and is never stopped by us: a roll-out that is cut short is
//! worse than a measurement that is.
//!
//! What was lost was lost: exit code 1, also where a bound ended the load early. Only where the command failed or was
//! interrupted is it 3 either way, because then something else than the roll-out was measured.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::{Uri, Version};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{AccessFlags, Pid, access, getpgrp, tcgetpgrp};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::cli::{self, Http};
use crate::client::{Client, Outcome};
use crate::figures::{FORM, Kind, Rehearsal, Run, Summary};
use crate::load::{Load, Pace, Seen, Target};
use crate::progress::{Counts, Progress, Ticking};
use crate::{Failure, LOST, limits, report, table, words};

/// A word without the end of its line, a prompt perhaps, is shown after this time.
const UNFINISHED_LINE: Duration = Duration::from_millis(300);

pub(crate) async fn run(arguments: cli::Run) -> Result<u8, Failure> {
    let uri = read_url(&arguments.url)?;
    let program = arguments.command.first().map_or(Path::new(""), Path::new);
    if find(program).is_none() {
        return Err(Failure::usage(format!("{}: no such command", program.display())));
    }
    let directory = report::choose_directory(arguments.output.output.as_deref())?;
    let target =
        Target { uri, status: arguments.expect_status, sha256: arguments.expect_body_sha256, slow: false, share: 1 };
    let load = Load {
        targets: vec![target],
        pace: Pace::from(&arguments.pace),
        http: arguments.http,
        timeout: arguments.pace.timeout,
        max_requests: arguments.pace.max_requests,
        max_time: arguments.pace.max_time,
    };
    let client = Client::all(&load.targets, load.http).map_err(Failure::not_measured)?.pop();
    let client = client.ok_or_else(|| Failure::usage("there is nothing to ask"))?;
    let addresses = client.goes_to().await;
    let addresses = addresses.map_err(|error| Failure::not_measured(format!("{}: {error}", arguments.url)))?;
    if !arguments.yes && !addresses.iter().all(is_loopback) {
        confirm(&arguments.url, &addresses, &load)?;
    }
    let first = client.ask(None, load.timeout).await;
    if first.kind != Kind::Answered {
        return Err(Failure::not_measured(format!(
            "{} gives no right answer, so the command was not run: {}",
            arguments.url,
            what_is_wrong(&first)
        )));
    }
    report::make_directory(&directory)?;
    let settings = settings(&arguments, &load, &addresses, &first);
    let method = load.method();
    let measured = async {
        let mut rollout = RollOut::start(load, &arguments)?;
        let code = rollout.go(&arguments).await?;
        let (run, interrupted) = rollout.end(words_of(&arguments.command)).await?;
        Ok((code, run, interrupted))
    };
    let (code, run, interrupted) = measured.await.inspect_err(|_| report::remove_empty(&directory))?;

    let rehearsal = Rehearsal {
        form: FORM,
        softstop_version: env!("CARGO_PKG_VERSION").to_owned(),
        made_at: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        verb: "run".to_owned(),
        settings,
        method,
        runs: vec![run],
        sweep: None,
    };
    tell(&table::table(&rehearsal));
    report::write(&rehearsal, &directory)?;
    tell(&format!("The report is in {}.\n", directory.display()));
    let run = rehearsal.runs.first().ok_or_else(|| Failure::not_measured("no load"))?;
    verdict(run, code, interrupted)
}

/// The exit code, and the sentence that says why.
fn verdict(run: &Run, ended: Option<ExitStatus>, interrupted: Option<Signal>) -> Result<u8, Failure> {
    let summary = Summary::of(run);
    let (lost, sent) = (summary.lost(), words::sent(&summary));
    let losses = format!("{lost} of {sent} requests were lost");
    if let Some(signal) = interrupted {
        return Err(Failure::not_measured(format!("ended by {signal}, so the measurement is not whole; {losses}")));
    }
    match ended {
        Some(status) if !status.success() => {
            return Err(Failure::not_measured(format!("the command {}; {losses}", how(status))));
        }
        None => {
            let why = run.incomplete.clone().unwrap_or_else(|| format!("No right answer came under load; {losses}."));
            return Err(Failure::not_measured(format!("the command was not run. {why}")));
        }
        Some(_) => {}
    }
    if lost > 0 {
        tell(&format!("{losses}.\n"));
        return Ok(LOST);
    }
    if let Some(why) = &run.incomplete {
        return Err(Failure::not_measured(format!("the measurement is not whole. {why}")));
    }
    if words::too_few_sent(&summary) {
        let (not_sent, all) = (summary.count(Kind::NotSent), summary.requests);
        return Err(Failure::not_measured(format!("the generator could not send {not_sent} of its {all} requests")));
    }
    if !words::met_the_update(run) {
        return Err(Failure::not_measured("no request was sent since the command began"));
    }
    tell(&format!("Nothing was lost: {sent} requests.\n"));
    Ok(0)
}

/// The load, and the command in its midst.
#[derive(Debug)]
struct RollOut {
    began: Instant,
    stop: watch::Sender<bool>,
    load: JoinHandle<Seen>,
    /// What the load saw, where it has ended.
    seen: Option<Seen>,
    signals: Signals,
    interrupted: Option<Signal>,
    update: Option<(Instant, Instant)>,
    ended: Option<Instant>,
    counts: Arc<Counts>,
    progress: Arc<Progress>,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Woken {
    InTime,
    ByTheLoad,
    BySignal,
}

impl RollOut {
    fn start(load: Load, arguments: &cli::Run) -> Result<Self, Failure> {
        limits::raise_descriptors();
        let signals = Signals::catch().map_err(|error| Failure::not_measured(format!("signals: {error}")))?;
        let counts = Arc::new(Counts::default());
        let (stop, stopped) = watch::channel(false);
        let began = Instant::now();
        Ok(Self {
            began,
            stop,
            load: tokio::spawn(load.send(began, stopped, counts.clone())),
            seen: None,
            signals,
            interrupted: None,
            update: None,
            ended: None,
            counts,
            progress: Arc::new(Progress::new(arguments.pace.before.saturating_add(arguments.pace.grace))),
        })
    }

    /// Before, during and after the command. Without its end it was not run.
    async fn go(&mut self, arguments: &cli::Run) -> Result<Option<ExitStatus>, Failure> {
        let ticking = self.phase("before");
        if self.wait(arguments.pace.before).await != Woken::InTime {
            return Ok(None);
        }
        if self.counts.of(Kind::Answered) == 0 && self.counts.lost() > 0 {
            return Ok(None);
        }
        if self.counts.lost() > 0 {
            let lost = self.counts.lost();
            self.progress.say(&format!("{lost} requests were lost before the command began: not by the roll-out."));
        }
        drop(ticking);

        let ticking = self.phase("during");
        let began = Instant::now();
        let mut child = Output::start(&arguments.command, &self.progress)
            .map_err(|error| Failure::not_measured(format!("the command could not be started: {error}")))?;
        let status = self.see_off(&mut child).await?;
        self.update = Some((began, Instant::now()));
        drop(ticking);

        if self.interrupted.is_none() {
            let _ticking = self.phase("after");
            self.wait(arguments.pace.grace).await;
        }
        child.finish().await;
        Ok(Some(status))
    }

    fn phase(&self, phase: &str) -> Ticking {
        Ticking::start(self.progress.clone(), phase.to_owned(), self.counts.clone())
    }

    async fn wait(&mut self, time: Duration) -> Woken {
        if self.seen.is_some() {
            return Woken::ByTheLoad;
        }
        tokio::select! {
            biased;
            signal = self.signals.next() => {
                self.interrupt(signal);
                Woken::BySignal
            }
            seen = &mut self.load => {
                self.seen = Some(of_load(seen));
                Woken::ByTheLoad
            }
            () = sleep(time) => Woken::InTime,
        }
    }

    fn interrupt(&mut self, signal: Signal) {
        self.interrupted = Some(signal);
        self.ended = Some(Instant::now());
        let _ = self.stop.send(true); // it has ended by itself
        self.progress.say(&format!("{signal}: the load ends. Once more ends this program at once."));
    }

    fn at_once(&self, signal: Signal) -> Failure {
        self.progress.done();
        Failure::not_measured(format!("ended at once by a second signal, {signal}; there is no report"))
    }

    /// Waits for the end of the command, whatever becomes of the load.
    async fn see_off(&mut self, child: &mut Output) -> Result<ExitStatus, Failure> {
        loop {
            tokio::select! {
                biased;
                signal = self.signals.next() => {
                    child.signal(signal);
                    if self.interrupted.is_some() {
                        return Err(self.at_once(signal));
                    }
                    self.interrupt(signal);
                }
                seen = &mut self.load, if self.seen.is_none() => {
                    self.seen = Some(of_load(seen));
                    if self.interrupted.is_none() {
                        self.progress.say("The load has ended at its bound; the command goes on.");
                    }
                }
                status = child.child.wait() => {
                    return status.map_err(|error| Failure::not_measured(format!("the command's end: {error}")));
                }
            }
        }
    }

    /// Ends the load, and waits for the last answers.
    async fn end(mut self, name: String) -> Result<(Run, Option<Signal>), Failure> {
        let asked = *self.ended.get_or_insert_with(Instant::now);
        let _ = self.stop.send(true); // it may have ended by itself
        let ticking = self.phase("waiting for the last answers");
        while self.seen.is_none() {
            tokio::select! {
                biased;
                signal = self.signals.next() => {
                    if self.interrupted.is_some() {
                        return Err(self.at_once(signal));
                    }
                    self.interrupt(signal);
                }
                seen = &mut self.load => self.seen = Some(of_load(seen)),
            }
        }
        drop(ticking);
        self.progress.done();
        let seen = self.seen.unwrap_or_default();
        let at = |moment: Instant| moment.saturating_duration_since(self.began).as_secs_f64() * 1000.0;
        // Where the load ended at a bound, that was its end.
        let last_due = seen.requests.last().map_or(0.0, |request| request.due_ms);
        let ended_ms = if seen.incomplete.is_some() { last_due } else { at(asked) };
        let (update_began_ms, update_ended_ms) =
            self.update.map_or((ended_ms, ended_ms), |(began, ended)| (at(began), at(ended)));
        let interrupted = self.interrupted.map(|signal| format!("The load was ended by {signal}."));
        let run = Run {
            command: name.clone(),
            name,
            update_began_ms,
            update_ended_ms,
            ended_ms: ended_ms.max(update_ended_ms),
            marks: Vec::new(),
            stops: Vec::new(),
            telltales: Vec::new(),
            errors: seen.errors,
            limits: seen.limits,
            incomplete: interrupted.or(seen.incomplete),
            generator_cores: seen.generator_cores,
            requests: seen.requests,
        };
        Ok((run, self.interrupted))
    }
}

fn of_load(seen: Result<Seen, tokio::task::JoinError>) -> Seen {
    let failed = |error| Seen { incomplete: Some(format!("The generator failed: {error}.")), ..Seen::default() };
    seen.unwrap_or_else(failed)
}

/// The command, and what it writes.
#[derive(Debug)]
struct Output {
    child: Child,
    passing: Vec<JoinHandle<()>>,
}

impl Output {
    fn start(words: &[OsString], progress: &Arc<Progress>) -> io::Result<Self> {
        let mut command = command(words);
        // Above the bar, where there is one; else it writes for itself.
        if progress.has_bar() {
            command.stderr(Stdio::piped());
            if io::stdout().is_terminal() {
                command.stdout(Stdio::piped());
            }
        }
        let mut child = command.spawn()?;
        let mut passing = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            passing.push(tokio::spawn(pass_on(stdout, io::stdout(), progress.clone())));
        }
        if let Some(stderr) = child.stderr.take() {
            passing.push(tokio::spawn(pass_on(stderr, io::stderr(), progress.clone())));
        }
        Ok(Self { child, passing })
    }

    /// Passes a signal on, unless the terminal has sent it to the command too.
    fn signal(&self, signal: Signal) {
        let is_from_the_keyboard = signal == Signal::SIGINT
            && File::open("/dev/tty").is_ok_and(|terminal| tcgetpgrp(&terminal) == Ok(getpgrp()));
        let pid = self.child.id().and_then(|pid| pid.try_into().ok()).map(Pid::from_raw); // none once it was reaped
        if let Some(pid) = pid.filter(|_| !is_from_the_keyboard) {
            let _ = kill(pid, signal); // it ends as we speak, or is another user's: it will end by itself
        }
    }

    /// What it has written is shown; somebody whom it left behind may write for ever.
    async fn finish(self) {
        for task in self.passing {
            let abort = task.abort_handle();
            let _ = timeout(UNFINISHED_LINE, task).await;
            abort.abort();
        }
    }
}

/// The command. The load has raised the soft limit of descriptors, which the command is not to inherit: some programs make
/// tables as large as that, and select(2) knows no descriptor above 1023.
fn command(words: &[OsString]) -> Command {
    let lower = limits::descriptors_before()
        .map(|limit| ["/bin/sh", "-c", "ulimit -S -n \"$0\"; exec \"$@\"", &limit.to_string()].map(OsString::from));
    let mut words = lower.iter().flatten().chain(words);
    let mut command = Command::new(words.next().map_or(OsStr::new(""), OsString::as_os_str));
    command.args(words);
    command
}

async fn pass_on(mut from: impl AsyncRead + Unpin, mut to: impl Write, progress: Arc<Progress>) {
    let mut held: Vec<u8> = Vec::new();
    let mut show = |bytes: &[u8]| {
        // Nobody is left to tell.
        progress.suspended(|| drop(to.write_all(bytes).and_then(|()| to.flush())));
    };
    loop {
        match timeout(UNFINISHED_LINE, from.read_buf(&mut held)).await {
            Ok(Ok(1..)) => {
                let lines = held.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                if lines > 0 {
                    let rest = held.split_off(lines);
                    show(&held);
                    held = rest;
                }
            }
            Ok(_) => break,
            Err(_) if held.is_empty() => {}
            Err(_) => {
                held.push(b'\n'); // else the bar would be drawn over it
                show(&std::mem::take(&mut held));
            }
        }
    }
    if !held.is_empty() {
        held.push(b'\n');
        show(&held);
    }
}

#[derive(Debug)]
struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hang_up: unix::Signal,
}

impl Signals {
    fn catch() -> io::Result<Self> {
        Ok(Self {
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
            hang_up: unix::signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::SIGINT,
            _ = self.terminate.recv() => Signal::SIGTERM,
            _ = self.hang_up.recv() => Signal::SIGHUP,
        }
    }
}

fn read_url(url: &str) -> Result<Uri, Failure> {
    let uri: Uri = url.parse().map_err(|error| Failure::usage(format!("--url {url}: {error}")))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(Failure::usage(format!("--url {url}: it begins with http:// or https://")));
    }
    match uri.authority() {
        Some(authority) if authority.as_str().contains('@') => {
            Err(Failure::usage("--url: a name and a password cannot be given"))
        }
        // `http` takes any digits for a port, and then knows of none: the scheme's own port would be loaded.
        Some(authority) if authority.port().is_none() && authority.as_str() != authority.host() => {
            Err(Failure::usage(format!("--url {url}: a port is a number from 1 to 65535")))
        }
        Some(authority) if !authority.host().is_empty() => Ok(with_path(uri)),
        _ => Err(Failure::usage(format!("--url {url}: it has no host"))),
    }
}

/// `http://host?query` asks for `/?query`.
fn with_path(uri: Uri) -> Uri {
    let query = uri.path_and_query().map(hyper::http::uri::PathAndQuery::as_str).filter(|path| path.starts_with('?'));
    let Some(path) = query.and_then(|query| format!("/{query}").parse().ok()) else { return uri };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).unwrap_or(uri)
}

/// Where a program is, as a shell would look for it.
fn find(program: &Path) -> Option<PathBuf> {
    let can_run = |file: &PathBuf| file.is_file() && access(file, AccessFlags::X_OK).is_ok();
    if program.components().count() > 1 || program.is_absolute() {
        return Some(program.to_owned()).filter(can_run);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(can_run)
}

fn is_loopback(address: &SocketAddr) -> bool {
    let address = address.ip().to_canonical();
    address.is_loopback() || address.is_unspecified() // which leads to this machine too
}

/// Asks whether this address is really to be loaded.
fn confirm(url: &str, addresses: &[SocketAddr], load: &Load) -> Result<(), Failure> {
    let load = match load.pace {
        Pace::Open { per_second, .. } => format!("{per_second} requests a second"),
        Pace::Closed { users, pause } => {
            format!("{users} users at once, each of whom pauses for {}", humantime::format_duration(pause))
        }
    };
    let addresses: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    let question = format!("{url} is not this machine ({}). Load it with {load}? [y/N] ", addresses.join(", "));
    let answer = match File::options().read(true).write(true).open("/dev/tty") {
        Ok(mut terminal) => terminal.write_all(question.as_bytes()).and_then(|()| line(terminal)),
        Err(_) if io::stdin().is_terminal() => {
            io::stderr().write_all(question.as_bytes()).and_then(|()| line(io::stdin()))
        }
        Err(_) => {
            return Err(Failure::usage(format!(
                "{url} is not this machine ({}), and there is no terminal to ask on whether it may be loaded: --yes says so",
                addresses.join(", ")
            )));
        }
    };
    match answer {
        Ok(answer) if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") => Ok(()),
        _ => Err(Failure::not_measured("nothing was loaded, and the command was not run")),
    }
}

fn line(from: impl io::Read) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(from).read_line(&mut line)?;
    Ok(line)
}

fn what_is_wrong(outcome: &Outcome) -> String {
    let words = outcome.words.clone().unwrap_or_default();
    match outcome.sha256 {
        Some(hash) if outcome.kind == Kind::WrongAnswer => format!("{words}, of the SHA-256 {}", hex(&hash)),
        _ => format!("{} ({words})", outcome.kind.name()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("failed with exit code {code}"),
        (None, Some(signal)) => match Signal::try_from(signal) {
            Ok(signal) => format!("was ended by {signal}"),
            Err(_) => format!("was ended by signal {signal}"),
        },
        (None, None) => format!("failed ({status})"),
    }
}

fn words_of(command: &[OsString]) -> String {
    command.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn settings(arguments: &cli::Run, load: &Load, addresses: &[SocketAddr], first: &Outcome) -> BTreeMap<String, String> {
    let duration = |duration| humantime::format_duration(duration).to_string();
    let mut settings = BTreeMap::new();
    let mut set = |name: &str, value: String| drop(settings.insert(name.to_owned(), value));
    set("url", arguments.url.clone());
    set("address", addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", "));
    set("command", words_of(&arguments.command));
    match load.pace {
        Pace::Open { per_second, in_flight } => {
            set("rate", format!("{per_second} a second"));
            set("most in flight", in_flight.to_string());
        }
        Pace::Closed { users, pause } => {
            set("users", users.to_string());
            set("pause", duration(pause));
        }
    }
    set("timeout", duration(load.timeout));
    set("before", duration(arguments.pace.before));
    set("grace", duration(arguments.pace.grace));
    set("expected status", arguments.expect_status.to_string());
    if let Some(hash) = arguments.expect_body_sha256 {
        set("expected SHA-256 of the body", hex(&hash));
    }
    let version = match first.version {
        Some(Version::HTTP_2) => "HTTP/2",
        Some(Version::HTTP_10) => "HTTP/1.0",
        _ => "HTTP/1.1",
    };
    let tls = if arguments.url.starts_with("https") { " over TLS" } else { "" };
    let asked = match arguments.http {
        Some(Http::One | Http::Two) => ", as asked",
        None => "",
    };
    set("http", format!("{version}{tls}{asked}"));
    settings
}

fn tell(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes()); // nobody is left to tell
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_path_asks_for_the_root() {
        for (url, path) in [
            ("http://localhost", "/"),
            ("http://localhost?a=b", "/?a=b"),
            ("https://[::1]:8443?a=/b", "/?a=/b"),
            ("http://localhost:80/x?a", "/x?a"),
        ] {
            let read = read_url(url).unwrap();
            assert_eq!(read.path_and_query().unwrap().as_str(), path, "{url}");
        }
    }
}
