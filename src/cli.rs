//! The command line. What a person typed is kept apart from what it means: see [`settings`](crate::settings).

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{ArgAction, Parser};

use crate::explain;
use crate::personality::{Asked, BUILD, Refusal, Variables};
use crate::settings::{Given, Invocation, Key, Source};

/// The code to leave with where the command line or a setting is wrong.
pub const WRONG_USAGE: u8 = 2;

/// Starts COMMAND, passes signals on to it, reaps zombies, and stops it softly.
///
/// When a stop request comes (SIGTERM), COMMAND keeps serving for the pre-delay while balancers take it out of their
/// rotation; then it is sent the signal on which it finishes its work, and has the drain timeout to do so.
///
/// Each option has an environment variable (`SOFTSTOP_PRE_DELAY`) and a line in the TOML file (`pre_delay`), in this
/// order of precedence. A known server needs none of them: see --list-profiles and --explain.
#[derive(Debug, Parser)]
#[command(name = "softstop", version = BUILD, disable_help_subcommand = true)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag on the command line")]
struct Cli {
    /// Read settings from FILE [default: /etc/softstop.toml where it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
    /// Use the known good settings of a server [default: auto, by the command's name; none turns it off]
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// The signals that are a stop request [default: TERM and the profile's stop signal]
    #[arg(long, value_name = "SIG,..")]
    stop_on: Option<String>,
    /// The signals that end the present wait during a stop [default: INT]
    #[arg(long, value_name = "SIG,..")]
    hurry_on: Option<String>,
    /// What COMMAND is sent when it is to stop [default: what the signal received is rewritten to, else the profile's, else that signal]
    #[arg(long, value_name = "SIG")]
    stop_signal: Option<String>,
    /// How long COMMAND keeps serving after a stop request: 5s, or 2s..15s for as long as it has traffic [default: 0s, or the profile's]
    #[arg(long, value_name = "DUR", allow_hyphen_values = true)]
    pre_delay: Option<String>,
    /// A pre-delay with two bounds is over when no request has come for DUR [default: 2s]
    #[arg(long, value_name = "DUR", allow_hyphen_values = true)]
    quiet: Option<String>,
    /// What must be quiet: `requests`, or all `traffic`, responses too [default: requests, or the profile's]
    #[arg(long, value_name = "WHAT")]
    quiet_means: Option<String>,
    /// The TCP ports whose traffic counts [default: those on which COMMAND listens]
    #[arg(long, value_name = "PORT,..", allow_hyphen_values = true)]
    ports: Option<String>,
    /// Peers whose requests do not count: probes and monitors, as addresses or CIDRs [default: none]
    #[arg(long, value_name = "ADDRESS,..")]
    ignore_peers: Option<String>,
    /// How long COMMAND may take after its stop signal, before SIGKILL [default: from the grace period, else no limit]
    #[arg(long, value_name = "DUR", allow_hyphen_values = true)]
    drain_timeout: Option<String>,
    /// The drain is over on COMMAND's `exit`, or early when it has `closed` all its connections and stays [default: exit]
    #[arg(long, value_name = "WHEN")]
    drain_until: Option<String>,
    /// The platform's whole budget for a stop (terminationGracePeriodSeconds, docker stop -t) [default: unknown]
    #[arg(long, value_name = "DUR", allow_hyphen_values = true)]
    grace_period: Option<String>,
    /// Send COMMAND the signal TO where FROM is received; TO may be `ignore` (repeatable)
    #[arg(short, long, value_name = "FROM:TO", action = ArgAction::Append)]
    rewrite: Vec<String>,
    /// Send signals to COMMAND's whole process group
    #[arg(short, long, conflicts_with = "target")]
    group: bool,
    /// Send signals to the `child` or to its `group` [default: child]
    #[arg(long, value_name = "WHOM")]
    target: Option<String>,
    /// What must be gone before softstop leaves: the `main` child, or `all` that came from it [default: main]
    #[arg(long, value_name = "WHOM")]
    wait_for: Option<String>,
    /// Adopt orphans as PID 1 does [default: by itself where not PID 1]
    #[arg(short, long)]
    subreaper: bool,
    /// Be sent SIG when softstop's own parent dies
    #[arg(short, long, value_name = "SIG")]
    parent_death_signal: Option<String>,
    /// Leave with 0 where COMMAND's exit code is CODE (repeatable)
    #[arg(short = 'e', long, value_name = "CODE", action = ArgAction::Append, allow_hyphen_values = true)]
    remap_exit: Vec<String>,
    /// Log a warning for each zombie reaped
    #[arg(short, long)]
    warn_on_reap: bool,
    /// Log more: -v info, -vv debug [environment: `SOFTSTOP_LOG=level`; default: warn, and the lines of a stop]
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
    /// Log lines as `text` or `json` [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Start no program: reap, and leave on TERM or INT, as the infra container of a pod
    #[arg(short = 'P', long, conflicts_with_all = ["command", "explain"])]
    pause: bool,
    /// Print the settings in force, where each comes from, and the timeline of a stop; start nothing
    #[arg(long)]
    explain: bool,
    /// Print the table of known servers
    #[arg(long)]
    list_profiles: bool,
    /// The program to start, and its arguments
    // The first word that is no option starts it: what follows is its own, options too.
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    command: Vec<OsString>,
}

/// Reads softstop's own command line.
pub(crate) fn parse(arguments: &[OsString], _: &Variables) -> Result<Asked, Refusal> {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(asked) if matches!(asked.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return Ok(Asked::Print(asked.to_string()));
        }
        Err(wrong) => {
            return Err(Refusal { code: WRONG_USAGE, text: format!("softstop: error: {}\n", sentence(&wrong)) });
        }
    };
    if cli.list_profiles {
        return Ok(Asked::Print(explain::profiles()));
    }
    if cli.pause {
        return Ok(Asked::Pause);
    }
    let explain = cli.explain;
    let invocation = Invocation { flags: cli.given(), command: cli.command, ..Invocation::default() };
    Ok(if explain { Asked::Explain(invocation) } else { Asked::Run(invocation) })
}

impl Cli {
    /// What was given on the command line.
    fn given(&self) -> Vec<Given> {
        let verbosity = match self.verbose {
            0 => None,
            1 => Some("info"),
            2 => Some("debug"),
            _ => Some("trace"),
        };
        let once = [
            (Key::Config, "--config", self.config.as_deref()),
            (Key::Profile, "--profile", self.profile.as_deref()),
            (Key::StopOn, "--stop-on", self.stop_on.as_deref()),
            (Key::HurryOn, "--hurry-on", self.hurry_on.as_deref()),
            (Key::StopSignal, "--stop-signal", self.stop_signal.as_deref()),
            (Key::PreDelay, "--pre-delay", self.pre_delay.as_deref()),
            (Key::Quiet, "--quiet", self.quiet.as_deref()),
            (Key::QuietMeans, "--quiet-means", self.quiet_means.as_deref()),
            (Key::Ports, "--ports", self.ports.as_deref()),
            (Key::IgnorePeers, "--ignore-peers", self.ignore_peers.as_deref()),
            (Key::DrainTimeout, "--drain-timeout", self.drain_timeout.as_deref()),
            (Key::DrainUntil, "--drain-until", self.drain_until.as_deref()),
            (Key::GracePeriod, "--grace-period", self.grace_period.as_deref()),
            (Key::Target, "--group", self.group.then_some("group")),
            (Key::Target, "--target", self.target.as_deref()),
            (Key::WaitFor, "--wait-for", self.wait_for.as_deref()),
            (Key::Subreaper, "--subreaper", self.subreaper.then_some("true")),
            (Key::ParentDeathSignal, "--parent-death-signal", self.parent_death_signal.as_deref()),
            (Key::WarnOnReap, "--warn-on-reap", self.warn_on_reap.then_some("true")),
            (Key::Log, "--verbose", verbosity),
            (Key::LogFormat, "--log-format", self.log_format.as_deref()),
        ];
        let once = once.into_iter().filter_map(|(key, flag, text)| Some((key, flag, text?.to_owned())));
        let rewrites = self.rewrite.iter().map(|text| (Key::Rewrite, "--rewrite", text.clone()));
        let remaps = (!self.remap_exit.is_empty()).then(|| (Key::RemapExit, "--remap-exit", self.remap_exit.join(",")));
        once.chain(rewrites)
            .chain(remaps)
            .map(|(key, flag, text)| Given { key, text, source: Source::Flag(flag) })
            .collect()
    }
}

/// One sentence in place of clap's paragraph.
fn sentence(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let said = lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    // That tip is wrong here: behind `--` stands the command.
    let said = said.filter(|line| !line.starts_with("tip: to pass"));
    let said: Vec<&str> = said.map(|line| line.trim_start_matches("error: ")).collect();
    format!("{}: `softstop --help` shows the usage", said.join("; "))
}
