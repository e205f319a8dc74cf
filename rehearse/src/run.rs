//! `rehearse run`: load before, during and after a user's own roll-out command.
//!
//! The command runs only after the URL has given the expected answer, and this program never stops it: a roll-out that is
//! aborted half-way is worse than an incomplete measurement.
//!
//! If requests were lost the exit code is 1, even if a limit ended the load early. But if the command failed or was
//! interrupted, the exit code is always 3, because something other than the roll-out was measured.

mod command;
mod confirmation;
mod rollout;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, SystemTime};

use hyper::Version;
use nix::sys::signal::Signal;
use softstop::duration::show;

use crate::failure::{Failure, LOST};
use crate::load::client::{Client, Outcome};
use crate::load::{Load, LoadSettings};
use crate::rehearsal::{FORMAT, Rehearsal, Run};
use crate::report::conclusion::met_the_update;
use crate::report::summary::Summary;
use crate::report::{self, directory, table};
use crate::target::{HttpVersion, Target};
use crate::verdict::Verdict;
use rollout::Rollout;

/// What to rehearse.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// As the user wrote it, for messages.
    pub(crate) url: String,
    pub(crate) target: Target,
    pub(crate) http: Option<HttpVersion>,
    pub(crate) load: LoadSettings,
    /// How long the load lasts before and after the command.
    pub(crate) before: Duration,
    pub(crate) after: Duration,
    /// Load another machine without asking.
    pub(crate) yes: bool,
    pub(crate) output: Option<PathBuf>,
    pub(crate) command: Vec<OsString>,
}

pub(crate) async fn run(options: Options) -> Result<u8, Failure> {
    let program = options.command.first().map_or(Path::new(""), Path::new);
    if !command::exists(program) {
        return Err(Failure::usage(format!("{}: no such command", program.display())));
    }
    let directory = directory::choose(options.output.as_deref())?;
    let load = Load { targets: vec![options.target.clone()], http: options.http, settings: options.load };
    let client = Client::all(&load.targets, load.http).map_err(Failure::not_measured)?.pop();
    let client = client.ok_or_else(|| Failure::usage("there is no target"))?;
    let addresses = client.addresses().await;
    let addresses = addresses.map_err(|error| Failure::not_measured(format!("{}: {error}", options.url)))?;
    if !options.yes && !addresses.iter().all(confirmation::is_loopback) {
        confirmation::confirm(&options.url, &addresses, options.load.pace)?;
    }
    let first = client.ask(None, options.load.timeout).await;
    if first.verdict != Verdict::Answered {
        return Err(Failure::not_measured(format!(
            "{} does not give the expected answer, so the command was not run: {}",
            options.url,
            what_is_wrong(&first)
        )));
    }
    directory::make(&directory)?;
    let settings = settings(&options, &addresses, &first);
    let method = load.method();
    let measured = async {
        let mut rollout = Rollout::start(load, options.before.saturating_add(options.after))?;
        let status = rollout.run(&options.command, options.before, options.after).await?;
        let (run, interrupted) = rollout.finish(command_line(&options.command)).await?;
        Ok((status, run, interrupted))
    };
    let (status, run, interrupted) = measured.await.inspect_err(|_| directory::remove_if_empty(&directory))?;

    let rehearsal = Rehearsal {
        format: FORMAT,
        softstop_version: env!("CARGO_PKG_VERSION").to_owned(),
        made_at: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        verb: "run".to_owned(),
        settings,
        method,
        runs: vec![run],
        sweep: None,
    };
    print(&table::table(&rehearsal));
    report::write(&rehearsal, &directory)?;
    print(&format!("The report is in {}.\n", directory.display()));
    let run = rehearsal.runs.first().ok_or_else(|| Failure::not_measured("there was no load"))?;
    conclude(run, status, interrupted)
}

/// The exit code, and the sentence that says why.
fn conclude(run: &Run, status: Option<ExitStatus>, interrupted: Option<Signal>) -> Result<u8, Failure> {
    let summary = Summary::of(run);
    let (lost, sent) = (summary.lost(), summary.sent());
    let losses = format!("{lost} of {sent} requests were lost");
    if let Some(signal) = interrupted {
        return Err(Failure::not_measured(format!("ended by {signal}, so the measurement is incomplete; {losses}")));
    }
    match status {
        Some(status) if !status.success() => {
            return Err(Failure::not_measured(format!("the command {}; {losses}", how_it_failed(status))));
        }
        None => {
            let why =
                run.incomplete.clone().unwrap_or_else(|| format!("Under load no request was answered; {losses}."));
            return Err(Failure::not_measured(format!("the command was not run. {why}")));
        }
        Some(_) => {}
    }
    if lost > 0 {
        print(&format!("{losses}.\n"));
        return Ok(LOST);
    }
    if let Some(why) = &run.incomplete {
        return Err(Failure::not_measured(format!("the measurement is incomplete. {why}")));
    }
    if summary.too_few_sent() {
        let (not_sent, all) = (summary.count(Verdict::NotSent), summary.requests);
        return Err(Failure::not_measured(format!("the generator could not send {not_sent} of its {all} requests")));
    }
    if !met_the_update(run) {
        return Err(Failure::not_measured("no request was in flight after the command began"));
    }
    print(&format!("Nothing was lost: {sent} requests.\n"));
    Ok(0)
}

fn what_is_wrong(outcome: &Outcome) -> String {
    let error = outcome.error.clone().unwrap_or_default();
    match outcome.sha256 {
        Some(hash) if outcome.verdict == Verdict::WrongAnswer => format!("{error}, with the SHA-256 {}", hex(&hash)),
        _ => format!("{} ({error})", outcome.verdict.name()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

fn how_it_failed(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("failed with exit code {code}"),
        (None, Some(signal)) => match Signal::try_from(signal) {
            Ok(signal) => format!("was ended by {signal}"),
            Err(_) => format!("was ended by signal {signal}"),
        },
        (None, None) => format!("failed ({status})"),
    }
}

fn command_line(command: &[OsString]) -> String {
    command.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The settings for the report, by name.
fn settings(options: &Options, addresses: &[SocketAddr], first: &Outcome) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    let mut set = |name: &str, value: String| drop(settings.insert(name.to_owned(), value));
    set("url", options.url.clone());
    set("address", addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", "));
    set("command", command_line(&options.command));
    for (name, value) in options.load.pace.settings() {
        set(name, value);
    }
    set("timeout", show(options.load.timeout));
    set("before", show(options.before));
    set("grace", show(options.after));
    set("expected status", options.target.expected_status.to_string());
    if let Some(hash) = options.target.expected_sha256 {
        set("expected SHA-256 of the body", hex(&hash));
    }
    let version = match first.version {
        Some(Version::HTTP_2) => "HTTP/2",
        Some(Version::HTTP_10) => "HTTP/1.0",
        _ => "HTTP/1.1",
    };
    let tls = if options.url.starts_with("https") { " over TLS" } else { "" };
    let asked = if options.http.is_some() { ", as asked" } else { "" };
    set("http", format!("{version}{tls}{asked}"));
    settings
}

fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes()); // a closed stdout must not change the exit code
}
