//! What can be typed. The doc comments are `--help`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use softstop::duration::Bounds;

/// A rolling update under load: see what your clients lose, and that with softstop they lose nothing.
///
/// Exit codes: 0 nothing was lost, 1 something was, 2 wrong usage, 3 nothing can be said (the command failed, or the
/// measurement is not whole and lost nothing so far). In `local` softstop alone decides, as the others are there to lose: 0 if
/// it lost nothing, in a sweep with one value at least; 3 if any measurement is not whole.
#[derive(Debug, Parser)]
#[command(
    name = "softstop-rehearse",
    version,
    after_help = "Durations take a unit (500ms, 5s, 1m); a bare number is seconds."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// The experiment on this machine: the same rolling update bare, with other inits, and with softstop
    Local(Local),
    /// Load a URL before, during and after your own roll-out command
    Run(Run),
    /// Set two results beside each other
    Compare(Compare),
    /// Write the report once more from its rehearsal.json, as after an upgrade
    Report(Report),
    /// The small server that stands in for nginx
    #[command(hide = true)]
    Serve(Serve),
}

/// How the requests are sent, in both verbs.
#[derive(Args, Clone, Debug)]
pub(crate) struct Pace {
    /// Users at once, each of whom waits for an answer before it asks again; with --rate the most requests in flight
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) concurrency: Option<u32>,

    /// Requests a second that arrive whether or not earlier ones were answered; latency counts from when each was due
    #[arg(long, value_name = "R", value_parser = rate)]
    pub(crate) rate: Option<f64>,

    /// How long a user without --rate pauses after an answer
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = duration)]
    pub(crate) pause: Duration,

    /// A request that has no whole answer after this time is lost
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = above_zero)]
    pub(crate) timeout: Duration,

    /// Load before the update begins
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = duration)]
    pub(crate) before: Duration,

    /// Load after the update has ended
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = duration)]
    pub(crate) grace: Duration,

    /// The most requests of one update; more end the measurement, which then tells nothing
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_requests: u64,

    /// The longest time of one update; more ends the measurement, which then tells nothing
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = above_zero)]
    pub(crate) max_time: Duration,
}

/// Where the report goes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Output {
    /// The directory of the report, new or empty [default: rehearsal-DATE-TIME]
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Local {
    /// How long after SIGTERM the balancer still sends requests to the old pod
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    pub(crate) lag: Duration,

    /// Pods that are replaced, one after the other
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) pods: u32,

    /// How many times all pods are replaced
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) updates: u32,

    /// How long the answer to a slow request takes; about one request in ten is slow, with --concurrency alone one user in ten
    #[arg(long, value_name = "DURATION", default_value = "4s", value_parser = duration)]
    pub(crate) slow: Duration,

    /// softstop's pre-delay, with two bounds as in 2s..10s too; the preStop hook sleeps for the upper one
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = bounds)]
    pub(crate) pre_delay: Bounds,

    /// softstop's drain timeout
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = duration)]
    pub(crate) drain_timeout: Duration,

    /// What the platform gives a pod before its own SIGKILL
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) grace_period: Duration,

    /// Who takes part [default: all that are installed]
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    pub(crate) contender: Vec<Contender>,

    /// Repeat softstop's update for a range of one setting: pre-delay, drain-timeout or lag, as in pre-delay=0s..6s:1s
    #[arg(long, value_name = "SETTING=FROM..TO:STEP")]
    pub(crate) sweep: Option<String>,

    /// Where a pod lives [default: a container where a Docker engine answers, else a PID namespace]
    #[arg(long = "in", value_name = "WHERE")]
    pub(crate) place: Option<Place>,

    /// Use the embedded server and balancer even where nginx and HAProxy are installed
    #[arg(long)]
    pub(crate) embedded: bool,

    /// The softstop to rehearse [default: under cargo one that is built now, else the one beside this program, or on PATH]
    #[arg(long, value_name = "FILE")]
    pub(crate) softstop: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) pace: Pace,

    #[command(flatten)]
    pub(crate) output: Output,
}

/// Who stops the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Contender {
    /// The server itself is PID 1
    Bare,
    /// tini, as PID 1
    Tini,
    /// dumb-init --rewrite 15:3
    DumbInit,
    /// The server itself is PID 1, and the platform runs `sleep` before SIGTERM, as a preStop hook does
    Prestop,
    /// softstop, as PID 1
    Softstop,
}

/// Where a pod lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Place {
    /// In a container of the Docker engine
    Container,
    /// In a PID namespace
    Namespace,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Run {
    /// What to ask: http or https
    #[arg(long, value_name = "URL")]
    pub(crate) url: String,

    /// The status of a right answer
    #[arg(long, value_name = "CODE", default_value_t = 200, value_parser = clap::value_parser!(u16).range(200..=599))]
    pub(crate) expect_status: u16,

    /// The SHA-256 of a right answer's body, in hex [default: any body that is whole]
    #[arg(long, value_name = "HEX", value_parser = sha256)]
    pub(crate) expect_body_sha256: Option<[u8; 32]>,

    /// The protocol [default: what TLS agrees on, HTTP/1.1 without TLS]
    #[arg(long, value_name = "VERSION")]
    pub(crate) http: Option<Http>,

    /// Do not ask before a load on an address that is not loopback
    #[arg(long)]
    pub(crate) yes: bool,

    #[command(flatten)]
    pub(crate) pace: Pace,

    #[command(flatten)]
    pub(crate) output: Output,

    /// The roll-out
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// A protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Http {
    /// HTTP/1.1
    #[value(name = "1.1")]
    One,
    /// HTTP/2; without TLS by prior knowledge
    #[value(name = "2")]
    Two,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Compare {
    /// The rehearsal.json of the first run
    #[arg(value_name = "A.json")]
    pub(crate) a: PathBuf,
    /// And of the second
    #[arg(value_name = "B.json")]
    pub(crate) b: PathBuf,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Report {
    /// The figures
    #[arg(value_name = "rehearsal.json")]
    pub(crate) rehearsal: PathBuf,

    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Serve {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: std::net::SocketAddr,
    /// How long a slow answer takes
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) slow: Duration,
}

/// No rehearsal lasts longer, and sums of shorter times overflow nowhere.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// A duration; a bare number is seconds.
pub(crate) fn duration(word: &str) -> Result<Duration, String> {
    use softstop::duration::{InvalidDuration, read};
    let read = match read(word) {
        Err(InvalidDuration::NoUnit) => {
            read(&format!("{word}s")).map_err(|_| "write it as 500ms, 5s or 1m 30s".to_owned())
        }
        Err(InvalidDuration::Negative) => Err("a duration cannot be negative".to_owned()),
        Err(InvalidDuration::Other(why)) => Err(format!("{why}; write it as 500ms, 5s or 1m 30s")),
        Ok(duration) => Ok(duration),
    };
    match read {
        Ok(duration) if duration > LONGEST => Err("a week is the most".to_owned()),
        read => read,
    }
}

fn above_zero(word: &str) -> Result<Duration, String> {
    match duration(word) {
        Ok(Duration::ZERO) => Err("with no time at all nothing can be measured".to_owned()),
        read => read,
    }
}

/// A duration, or two with `..` between them.
fn bounds(word: &str) -> Result<Bounds, String> {
    let Some((least, most)) = word.split_once("..") else { return duration(word).map(Bounds::exactly) };
    let (least, most) = (duration(least.trim())?, duration(most.trim())?);
    if least > most { Err("write the shorter bound first".to_owned()) } else { Ok(Bounds { least, most }) }
}

fn rate(word: &str) -> Result<f64, String> {
    match word.parse() {
        Ok(rate) if (0.1..=100_000.0).contains(&rate) => Ok(rate),
        _ => Err("write a number of requests a second, from 0.1 to 100000".to_owned()),
    }
}

fn sha256(word: &str) -> Result<[u8; 32], String> {
    let wrong = || "write the 64 hexadecimal digits that sha256sum prints".to_owned();
    if word.len() != 64 || !word.is_ascii() {
        return Err(wrong());
    }
    let mut hash = [0; 32];
    for (byte, digits) in hash.iter_mut().zip(word.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
    }
    Ok(hash)
}
