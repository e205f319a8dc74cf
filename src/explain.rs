//! `--explain` and `--list-profiles`: the settings in force with their sources, the timeline of a stop, the table of servers.

use std::ffi::OsString;
use std::fmt::{self, Write};
use std::time::Duration;

use crate::duration::{Bounds, show};
use crate::network::Network;
use crate::process::Target;
use crate::profile::{Finishes, PROFILES};
use crate::rate::needed_silence;
use crate::settings::{DrainUntil, LogFormat, Settings, Source, Sourced, base_name};
use crate::shutdown::{Activity, KILL_WAIT, StopSignal, WaitFor};
use crate::signal::{Rewrite, Signal, SignalSet};

/// The text of `--explain`.
#[must_use]
pub fn explain(settings: &Settings, command: &[OsString]) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_explanation(&mut out, settings, command);
    out
}

fn write_explanation(out: &mut String, settings: &Settings, command: &[OsString]) -> fmt::Result {
    let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
    writeln!(
        out,
        "command  {}\n\nsettings in force",
        if words.is_empty() { "(none)".into() } else { words.join(" ") }
    )?;
    let mut row = |name: &str, value: String, source: String| writeln!(out, "  {name:<20} {value:<24} {source}");
    let s = settings;
    row(
        "profile",
        s.profile_name().unwrap_or("none").into(),
        match s.profile.value {
            Some(_) if s.profile.source == Source::Default => {
                "auto: the command's name (the server that runs decides)".into()
            }
            None if s.profile.source == Source::Default => "auto: the server that runs when the stop begins".into(),
            _ => s.profile.source.to_string(),
        },
    )?;
    row("stop_on", signals(s.stop_on.value), s.stop_on.source.to_string())?;
    row("hurry_on", signals(s.hurry_on.value), s.hurry_on.source.to_string())?;
    row("stop_signal", stop_signal(s.stop_signal.value), s.stop_signal.source.to_string())?;
    let bound = s.upper_bound.map(|bound| format!(", {bound}")).unwrap_or_default();
    row("pre_delay", s.pre_delay.value.to_string(), format!("{}{bound}", s.pre_delay.source))?;
    row("quiet", show(s.quiet.value), s.quiet.source.to_string())?;
    row("quiet_means", activity(s.quiet_means.value).into(), s.quiet_means.source.to_string())?;
    let ports: Vec<String> = s.ports.value.iter().map(u16::to_string).collect();
    let ports = if ports.is_empty() { "where it listens".into() } else { ports.join(",") };
    row("ports", ports, s.ports.source.to_string())?;
    row("ignore_peers", peers(&s.ignore_peers.value), s.ignore_peers.source.to_string())?;
    row("count_peers", peers(&s.count_peers.value), s.count_peers.source.to_string())?;
    row("drain_timeout", limit(s.drain_timeout.value), s.drain_timeout.source.to_string())?;
    let until = match s.drain_until.value {
        DrainUntil::Exit => "exit",
        DrainUntil::Closed => "closed",
        DrainUntil::Idle => "idle",
    };
    row("drain_until", until.into(), s.drain_until.source.to_string())?;
    row("grace_period", s.grace_period.value.map_or("unknown".into(), show), s.grace_period.source.to_string())?;
    for (from, to) in s.rewrite.iter() {
        let to_text = match to.value {
            Rewrite::To(signal) => signal.to_string(),
            Rewrite::Ignore => "ignore".into(),
        };
        row("signals", format!("{from} = {to_text}"), to.source.to_string())?;
    }
    let target = match s.target.value {
        None => "server, or its handler",
        Some(Target::Child) => "child",
        Some(Target::Group) => "group",
        Some(Target::Server) => "server",
    };
    row("target", target.into(), s.target.source.to_string())?;
    let wait_for = match s.wait_for.value {
        WaitFor::Main => "main",
        WaitFor::All => "all",
        WaitFor::AllInStop => "main; all in a stop",
    };
    row("wait_for", wait_for.into(), s.wait_for.source.to_string())?;
    let subreaper = s.subreaper.value.map_or("unless PID 1".into(), |on| on.to_string());
    row("subreaper", subreaper, s.subreaper.source.to_string())?;
    let death = s.parent_death_signal.value.map_or("none".into(), |signal| signal.to_string());
    row("parent_death_signal", death, s.parent_death_signal.source.to_string())?;
    let codes: Vec<String> = s.remap_exit.value.iter().map(u8::to_string).collect();
    let codes = if codes.is_empty() { "none".into() } else { format!("{} to 0", codes.join(",")) };
    row("remap_exit", codes, s.remap_exit.source.to_string())?;
    row("warn_on_reap", s.warn_on_reap.value.to_string(), s.warn_on_reap.source.to_string())?;
    let level = s.log.value.map_or("warn, and stops".into(), |level| level.as_str().to_ascii_lowercase());
    row("log.level", level, s.log.source.to_string())?;
    let format = match s.log_format.value {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    row("log.format", format.into(), s.log_format.source.to_string())?;

    timeline(out, settings, &server_name(settings, command))?;

    let note = settings.profile.value.and_then(|profile| Some((profile.name, profile.note?)));
    if let Some((name, note)) = note {
        writeln!(out, "\nnote on {name}: {note}")?;
    }
    for warning in &settings.warnings {
        writeln!(out, "\nwarning: {warning}")?;
    }
    Ok(())
}

/// The server as the timeline names it: the program, or its profile's name if the program only starts the server.
fn server_name(settings: &Settings, command: &[OsString]) -> String {
    let program = command.first().map_or_else(|| "the program".into(), |program| base_name(program));
    match settings.profile.value {
        Some(profile) if !profile.programs.contains(&&*program) => profile.name.into(),
        _ => program,
    }
}

fn timeline(out: &mut String, settings: &Settings, name: &str) -> fmt::Result {
    writeln!(out, "\ntimeline of a stop")?;
    let mut at = |moment: Duration, what: String| writeln!(out, "  {:<10} {what}", show(moment));
    let requests: Vec<String> = settings.stop_on.value.iter().map(|signal| signal.to_string()).collect();
    if requests.is_empty() {
        return at(Duration::ZERO, format!("no signal is a stop request: every signal is passed on to {name}"));
    }
    let bounds = settings.pre_delay.value;
    let Bounds { most: pre_delay, .. } = bounds;
    let requests = requests.join(" or ");
    if pre_delay.is_zero() {
        at(pre_delay, format!("{requests} arrives"))?;
    } else {
        at(Duration::ZERO, format!("{requests} arrives; {name} keeps serving"))?;
    }
    if let Some(left_open) = left_open(settings) {
        at(
            Duration::ZERO,
            format!("softstop looks for a server among the processes and sockets: it may have {left_open}"),
        )?;
    }
    if bounds.is_range() {
        let what = match settings.quiet_means.value {
            Activity::Requests | Activity::BusyConnections | Activity::Connections | Activity::Clients => {
                "no request has arrived"
            }
            Activity::Traffic => "no request has arrived, none is unanswered and no response has been sent",
            Activity::NewConnections => "no new connection has been made",
        };
        let quiet = settings.quiet.value;
        let silences = silences(quiet, bounds.most);
        at(bounds.least, format!("the pre-delay ends as soon as {what} for {}\n{:13}{silences}", show(quiet), ""))?;
    }
    let whom = match settings.target.value {
        None | Some(Target::Child | Target::Server) => String::new(),
        Some(Target::Group) => " and its process group".into(),
    };
    let rules = settings.rules();
    let sent =
        settings.stop_on.value.iter().map(|signal| (signal, rules.resolve(settings.stop_signal.value, signal).0));
    let sent: Vec<(Signal, Signal)> = sent.collect();
    let same_for_all = sent.iter().all(|(_, to)| sent.first().is_some_and(|(_, first)| first == to));
    let latest = if bounds.is_range() { "at the latest, " } else { "" };
    let finishes = settings.profile.value.is_some_and(|profile| profile.finishes == Finishes::Yes);
    let finishes = if finishes { ", which finishes its work" } else { "" };
    for (signal, to) in sent.iter().take(if same_for_all { 1 } else { usize::MAX }) {
        let on = if same_for_all { String::new() } else { format!("on {signal}: ") };
        at(pre_delay, format!("{latest}{on}{to} is sent to {name}{whom}{finishes}"))?;
    }
    match settings.drain_timeout.value {
        None => {
            at(pre_delay, format!("softstop waits until {name} exits: no drain timeout or grace period is set"))?;
        }
        Some(drain) => {
            let end = pre_delay.saturating_add(drain);
            at(end, "SIGKILL to every remaining process".into())?;
            at(end.saturating_add(KILL_WAIT), "at the latest, softstop exits".into())?;
        }
    }
    if let Sourced { value: Some(grace), .. } = settings.grace_period {
        at(grace, "the platform would send its own SIGKILL".into())?;
    }
    Ok(())
}

/// What the server that runs decides when the stop begins. The command does not show which server that is.
fn left_open(settings: &Settings) -> Option<&'static str> {
    if !settings.has_auto_profile() || settings.profile.value.is_some() {
        return None;
    }
    match (&settings.stop_signal.source, &settings.pre_delay.source) {
        (Source::Default, Source::Default) => Some("another stop signal, and a pre-delay"),
        (Source::Default, _) => Some("another stop signal"),
        (_, Source::Default) => Some("a pre-delay"),
        _ => None,
    }
}

fn signals(set: SignalSet) -> String {
    if set == SignalSet::default() { "none".into() } else { set.to_string() }
}

/// How long a silence must be, at some rates of calls, to prove the end of the traffic.
fn silences(quiet: Duration, upper_bound: Duration) -> String {
    let [few, some, many] = [0.1, 1.0, 10.0].map(|calls_per_second| {
        let needed = whole_tenths(needed_silence(calls_per_second, upper_bound).max(quiet));
        if needed < upper_bound { show(needed) } else { "the upper bound".into() }
    });
    if quiet < upper_bound {
        format!("silence needed: {many} at 10 calls a second, {some} at 1, {few} at 0.1")
    } else {
        "silence needed: the upper bound, at any rate of calls".into()
    }
}

/// Rounded up to tenths of a second.
fn whole_tenths(duration: Duration) -> Duration {
    let tenths = duration.as_millis().div_ceil(100);
    Duration::from_millis(u64::try_from(tenths * 100).unwrap_or(u64::MAX))
}

/// The value of `ignore_peers` or `count_peers`.
fn peers(networks: &[Network]) -> String {
    let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
    if networks.is_empty() { "none".into() } else { networks.join(",") }
}

/// The value of `quiet_means`.
fn activity(activity: Activity) -> &'static str {
    match activity {
        Activity::Requests => "requests",
        Activity::Traffic => "traffic",
        Activity::NewConnections => "connections",
        Activity::BusyConnections => "busy connections",
        Activity::Connections | Activity::Clients => "open connections",
    }
}

fn limit(limit: Option<Duration>) -> String {
    limit.map_or("no limit".into(), show)
}

fn stop_signal(stop_signal: StopSignal) -> String {
    match stop_signal {
        StopSignal::Always(signal) | StopSignal::Mapped(Some(signal)) => signal.to_string(),
        StopSignal::Received | StopSignal::Mapped(None) => "as received".into(),
    }
}

/// What the words of the column PRE-DELAY mean.
const PRE_DELAYS: &str = "
balancer: until the balancer sends nothing more, from 2s to half of the grace period; if that is not set, to 10s in Kubernetes,
          4s in Docker and podman, 2s in Nomad and on Fly, else 5s (--explain shows it)
requests: until the requests under way are answered, 5s at most
none:     the stop signal is sent at once
";

/// The text of `--list-profiles`.
#[must_use]
pub fn profiles() -> String {
    let mut out = String::new();
    let mut row = |name: &str, signal: &str, pre_delay: &str, rest: &str| {
        let _ = writeln!(out, "{name:<13} {signal:<11} {pre_delay:<9} {rest}");
    };
    row("PROFILE", "STOP SIGNAL", "PRE-DELAY", "PROGRAMS, AND WHAT THE SERVER NEEDS");
    for profile in PROFILES {
        let programs = [profile.programs, profile.modules].concat().join(", ");
        row(profile.name, &profile.stop_signal.to_string(), profile.pre_delay.word(), &programs);
        if let Some(note) = profile.note {
            row("", "", "", note);
        }
    }
    out.push_str(PRE_DELAYS);
    out
}
