//! The command line, and its conversion into the options of each verb. The doc comments are the text of `--help`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{Args, Parser, Subcommand, ValueEnum};
use softstop::duration::Bounds;

use crate::failure::Failure;
use crate::load::{LoadSettings, Pace};
use crate::local::sweep_range::SweepRange;
use crate::target::{HttpVersion, Target, parse_url};
use crate::update::contender::{ContenderKind, StopTimes};
use crate::update::pod_runtime::Isolation;
use crate::{duration, local, run};

/// Performs a rolling update under load, and shows which requests clients lose without softstop and with it.
///
/// Exit codes: 0 nothing was lost, 1 something was lost, 2 wrong usage, 3 no conclusion is possible (the command failed, or no
/// loss was seen but the measurement is incomplete). In `local` only softstop's updates decide, since the other contenders are
/// expected to lose requests: 0 if softstop lost nothing (in a sweep: with at least one value), 3 if any measurement is
/// incomplete.
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
    /// Rehearse on this machine: the same rolling update bare, with other inits, and with softstop
    Local(LocalArguments),
    /// Load a URL before, during and after your own roll-out command
    Run(RunArguments),
    /// Compare two results
    Compare(CompareArguments),
    /// Write the report again from its rehearsal.json, for example after an upgrade
    Report(ReportArguments),
    /// Run the embedded server, which replaces nginx
    #[command(hide = true)]
    Serve(ServeArguments),
}

/// How requests are sent, in `local` and in `run`.
#[derive(Args, Clone, Debug)]
struct LoadArguments {
    /// Concurrent users, each of whom waits for an answer before sending again; with --rate, the maximum number of requests in flight
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    concurrency: Option<u32>,

    /// Requests a second, sent whether or not earlier ones were answered; latency counts from the time when each was due
    #[arg(long, value_name = "R", value_parser = parse_rate)]
    rate: Option<f64>,

    /// How long a user pauses after an answer, without --rate
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = duration::parse)]
    pause: Duration,

    /// A request without a whole answer after this time is lost
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration::parse_above_zero)]
    timeout: Duration,

    /// How long the load lasts before the update begins
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = duration::parse)]
    before: Duration,

    /// How long the load lasts after the update has ended
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = duration::parse)]
    grace: Duration,

    /// The maximum number of requests in one update; at this limit the load ends, and the measurement is incomplete
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..))]
    max_requests: u64,

    /// The maximum duration of the load of one update; at this limit the load ends, and the measurement is incomplete
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration::parse_above_zero)]
    max_time: Duration,
}

impl LoadArguments {
    fn settings(&self, pace: Pace) -> LoadSettings {
        LoadSettings { pace, timeout: self.timeout, max_requests: self.max_requests, max_time: self.max_time }
    }
}

#[derive(Args, Clone, Debug)]
struct OutputArguments {
    /// The directory of the report, new or empty [default: rehearsal-DATE-TIME]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct LocalArguments {
    /// How long after SIGTERM the balancer still sends requests to the old pod
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration::parse)]
    lag: Duration,

    /// Pods that are replaced, one after the other
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=20))]
    pods: u32,

    /// How many times all pods are replaced
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    updates: u32,

    /// How long the answer to a slow request takes; about one request in ten is slow (with --concurrency but no --rate: all requests of one user in ten)
    #[arg(long, value_name = "DURATION", default_value = "4s", value_parser = duration::parse)]
    slow: Duration,

    /// softstop's pre-delay, or two bounds as in 2s..10s; the preStop hook sleeps for the upper one
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration::parse_bounds)]
    pre_delay: Bounds,

    /// softstop's drain timeout
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = duration::parse)]
    drain_timeout: Duration,

    /// How long the platform waits for a pod before it sends SIGKILL
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    grace_period: Duration,

    /// The contenders [default: all that are installed]
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    contender: Vec<ContenderKind>,

    /// Repeat softstop's update for a range of one setting: pre-delay, drain-timeout or lag, as in pre-delay=0s..6s:1s
    #[arg(long, value_name = "SETTING=FROM..TO:STEP")]
    sweep: Option<String>,

    /// Where pods run [default: in containers if a Docker engine answers, else in PID namespaces]
    #[arg(long = "in", value_name = "WHERE")]
    isolation: Option<Isolation>,

    /// Use the embedded server and balancer even if nginx and HAProxy are installed
    #[arg(long)]
    embedded: bool,

    /// The softstop to rehearse [default: under cargo, a new build; else the one in this program's directory or on PATH]
    #[arg(long, value_name = "FILE")]
    softstop: Option<PathBuf>,

    #[command(flatten)]
    load: LoadArguments,

    #[command(flatten)]
    output: OutputArguments,
}

impl LocalArguments {
    /// # Errors
    ///
    /// The range of the sweep cannot be read.
    pub(crate) fn into_options(self) -> Result<local::Options, Failure> {
        let sweep = match &self.sweep {
            Some(range) => {
                Some(SweepRange::parse(range).map_err(|why| Failure::usage(format!("--sweep {range}: {why}")))?)
            }
            None => None,
        };
        Ok(local::Options {
            lag: self.lag,
            pods: self.pods,
            updates: self.updates,
            slow: self.slow,
            times: StopTimes { pre_delay: self.pre_delay, drain_timeout: self.drain_timeout },
            grace_period: self.grace_period,
            contenders: self.contender,
            sweep,
            isolation: self.isolation,
            embedded: self.embedded,
            softstop: self.softstop,
            load: self.load.settings(local_pace(&self.load)),
            before: self.load.before,
            after: self.load.grace,
            output: self.output.output,
        })
    }
}

/// `local` sends at a rate, unless only --concurrency is given.
fn local_pace(load: &LoadArguments) -> Pace {
    const RATE: f64 = 200.0;
    const IN_FLIGHT: u32 = 2000;
    match (load.rate, load.concurrency) {
        (None, Some(users)) => Pace::Closed { users, pause: load.pause },
        (rate, in_flight) => Pace::Open { per_second: rate.unwrap_or(RATE), in_flight: in_flight.unwrap_or(IN_FLIGHT) },
    }
}

/// `run` simulates users, unless --rate is given.
fn run_pace(load: &LoadArguments) -> Pace {
    const USERS: u32 = 20;
    const IN_FLIGHT: u32 = 1000;
    match load.rate {
        Some(per_second) => Pace::Open { per_second, in_flight: load.concurrency.unwrap_or(IN_FLIGHT) },
        None => Pace::Closed { users: load.concurrency.unwrap_or(USERS), pause: load.pause },
    }
}

impl ValueEnum for ContenderKind {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()).help(match self {
            Self::Bare => "The server itself is PID 1",
            Self::Tini => "tini is PID 1",
            Self::DumbInit => "dumb-init --rewrite 15:3 is PID 1",
            Self::Prestop => "The server itself is PID 1, and a preStop hook runs `sleep` before SIGTERM",
            Self::Softstop => "softstop is PID 1",
        }))
    }
}

impl ValueEnum for Isolation {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Container, Self::Namespace]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Container => PossibleValue::new("container").help("In containers of the Docker engine"),
            Self::Namespace => PossibleValue::new("namespace").help("In PID namespaces"),
        })
    }
}

impl ValueEnum for HttpVersion {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Http1, Self::Http2]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Http1 => PossibleValue::new("1.1").help("HTTP/1.1"),
            Self::Http2 => PossibleValue::new("2").help("HTTP/2; without TLS by prior knowledge"),
        })
    }
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RunArguments {
    /// The URL to load: http or https
    #[arg(long, value_name = "URL")]
    url: String,

    /// The status of the expected answer
    #[arg(long, value_name = "CODE", default_value_t = 200, value_parser = clap::value_parser!(u16).range(200..=599))]
    expect_status: u16,

    /// The SHA-256 of the expected body, in hex [default: any complete body]
    #[arg(long, value_name = "HEX", value_parser = parse_sha256)]
    expect_body_sha256: Option<[u8; 32]>,

    /// The version of HTTP [default: with TLS what is negotiated, HTTP/1.1 without TLS]
    #[arg(long, value_name = "VERSION")]
    http: Option<HttpVersion>,

    /// Do not ask before loading an address that is not loopback
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    load: LoadArguments,

    #[command(flatten)]
    output: OutputArguments,

    /// The roll-out command
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl RunArguments {
    /// # Errors
    ///
    /// The URL cannot be used.
    pub(crate) fn into_options(self) -> Result<run::Options, Failure> {
        let target = Target {
            uri: parse_url(&self.url).map_err(|why| Failure::usage(format!("--url: {why}")))?,
            expected_status: self.expect_status,
            expected_sha256: self.expect_body_sha256,
            slow: false,
            weight: 1,
        };
        Ok(run::Options {
            url: self.url,
            target,
            http: self.http,
            load: self.load.settings(run_pace(&self.load)),
            before: self.load.before,
            after: self.load.grace,
            yes: self.yes,
            output: self.output.output,
            command: self.command,
        })
    }
}

#[derive(Args, Clone, Debug)]
pub(crate) struct CompareArguments {
    /// The rehearsal.json of the first result
    #[arg(value_name = "A.json")]
    pub(crate) a: PathBuf,
    /// The rehearsal.json of the second result
    #[arg(value_name = "B.json")]
    pub(crate) b: PathBuf,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ReportArguments {
    /// The figures
    #[arg(value_name = "rehearsal.json")]
    pub(crate) rehearsal: PathBuf,

    #[command(flatten)]
    output: OutputArguments,
}

impl ReportArguments {
    pub(crate) fn output(&self) -> Option<&std::path::Path> {
        self.output.output.as_deref()
    }
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ServeArguments {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: SocketAddr,
    /// How long a slow answer takes
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) slow: Duration,
}

fn parse_rate(word: &str) -> Result<f64, String> {
    match word.parse() {
        Ok(rate) if (0.1..=100_000.0).contains(&rate) => Ok(rate),
        _ => Err("write a number of requests a second, from 0.1 to 100000".to_owned()),
    }
}

fn parse_sha256(word: &str) -> Result<[u8; 32], String> {
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

/// The options of `softstop-rehearse local FLAGS..`.
#[cfg(test)]
pub(crate) fn local_options(flags: &[&str]) -> Result<local::Options, Failure> {
    let words = ["softstop-rehearse", "local"].iter().chain(flags);
    match Cli::try_parse_from(words).map_err(|error| Failure::usage(error.to_string()))?.verb {
        Verb::Local(arguments) => arguments.into_options(),
        other => unreachable!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local_pace(flags: &[&str]) -> Pace {
        local_options(flags).unwrap().load.pace
    }

    #[test]
    fn local_sends_at_a_rate_unless_only_a_concurrency_is_given() {
        assert_eq!(local_pace(&[]), Pace::Open { per_second: 200.0, in_flight: 2000 });
        let pause = Duration::from_millis(100);
        assert_eq!(local_pace(&["--concurrency", "20"]), Pace::Closed { users: 20, pause });
        let both = local_pace(&["--concurrency", "20", "--rate", "50"]);
        assert_eq!(both, Pace::Open { per_second: 50.0, in_flight: 20 });
    }
}
