//! `rehearse local`: the rehearsal on this machine.

mod components;
mod description;
mod plan;
pub(crate) mod sweep_range;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::Uri;

use crate::failure::{Failure, LOST, NOT_MEASURED};
use crate::load::{Load, LoadSettings, limits};
use crate::progress::Progress;
use crate::rehearsal::{FORMAT, Rehearsal, Run};
use crate::report::conclusion::{Conclusion, finding};
use crate::report::summary::Summary;
use crate::report::{self, directory, table};
use crate::signals::Signals;
use crate::target::Target;
use crate::update::addresses::Addresses;
use crate::update::application::Application;
use crate::update::contender::{Contender, ContenderKind, StopTimes};
use crate::update::content::{SHORT, SLOW};
use crate::update::engine::Engine;
use crate::update::pod_runtime::{Isolation, PodRuntime};
use crate::update::{UpdateEnvironment, rehearse};
use components::Components;
use plan::{Plan, PlannedUpdate};
use sweep_range::SweepRange;

/// Of 29 requests 26 are short and 3 are slow. Both targets and pods take turns, so with one slow request in ten and two pods
/// all slow requests would go to the same pod. 29 has no divisor in common with any number of pods up to 20.
const SHORT_WEIGHT: u32 = 26;
const SLOW_WEIGHT: u32 = 3;

/// What to rehearse.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// How long after SIGTERM the balancer still sends requests to the old pod.
    pub(crate) lag: Duration,
    pub(crate) pods: u32,
    /// How often all pods are replaced.
    pub(crate) updates: u32,
    /// How long the answer to a slow request takes.
    pub(crate) slow: Duration,
    pub(crate) times: StopTimes,
    pub(crate) grace_period: Duration,
    /// Empty: all that are installed.
    pub(crate) contenders: Vec<ContenderKind>,
    pub(crate) sweep: Option<SweepRange>,
    /// None: the first that works.
    pub(crate) isolation: Option<Isolation>,
    /// Use the embedded server and balancer even if nginx and HAProxy are installed.
    pub(crate) embedded: bool,
    pub(crate) softstop: Option<PathBuf>,
    pub(crate) load: LoadSettings,
    /// How long the load lasts before and after the update.
    pub(crate) before: Duration,
    pub(crate) after: Duration,
    pub(crate) output: Option<PathBuf>,
}

pub(crate) async fn local(options: Options) -> Result<u8, Failure> {
    let plan = Plan::of(&options)?;
    limits::raise_descriptors();
    // From here on a signal ends the rehearsal, and everything that it created is removed.
    let mut signals = Signals::catch()?;
    let report = directory::choose(options.output.as_deref())?;
    directory::make(&report)?;
    let engine = Engine::new();
    let scratch = match ScratchDirectory::new() {
        Ok(scratch) => scratch,
        Err(failure) => {
            remove_unless_useful(&report, false);
            return Err(failure);
        }
    };
    let experiment = Experiment { options: &options, plan: &plan, engine: &engine, home: &scratch.0, report: &report };
    let (done, keep_logs) = tokio::select! {
        done = experiment.run() => (done, true),
        signal = signals.next() => {
            (Err(Failure::not_measured(format!("interrupted by {signal}: removed everything that was created"))), false)
        }
    };
    engine.clear().await;
    scratch.remove().await;
    done.map_err(|failure| {
        if remove_unless_useful(&report, keep_logs) {
            return failure;
        }
        let sentence = format!("{}; the logs so far are in {}", failure.sentence, report.display());
        Failure { sentence, ..failure }
    })
}

/// Removes a report without figures, unless it holds logs that are to be kept. Returns whether it was removed.
fn remove_unless_useful(report: &Path, keep_logs: bool) -> bool {
    let entries = |directory: &Path| fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let has_log = entries(&report.join("logs")).any(|contender| entries(&contender).next().is_some());
    if keep_logs && has_log {
        return false;
    }
    let _ = fs::remove_dir_all(report); // a directory that stays does no harm
    true
}

/// A temporary directory.
#[derive(Debug)]
struct ScratchDirectory(PathBuf);

impl ScratchDirectory {
    fn new() -> Result<Self, Failure> {
        let pattern = std::env::temp_dir().join("softstop-rehearse-XXXXXX");
        let made = nix::unistd::mkdtemp(&pattern);
        let made =
            made.map_err(|error| Failure::not_measured(format!("cannot make {}: {error}", pattern.display())))?;
        Ok(Self(made))
    }

    async fn remove(self) {
        // A server that was just killed may still be writing to the directory.
        for _ in 0..100 {
            if fs::remove_dir_all(&self.0).is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

struct Experiment<'a> {
    options: &'a Options,
    plan: &'a Plan,
    engine: &'a Engine,
    home: &'a Path,
    report: &'a Path,
}

impl Experiment<'_> {
    async fn run(&self) -> Result<u8, Failure> {
        let Self { options, plan, engine, home, report } = *self;
        let mut components = Components::find(options, plan).await?;
        let (contenders, missing) = components.contenders(options, plan)?;
        let unwritable =
            |error: io::Error| Failure::not_measured(format!("cannot write to {}: {error}", home.display()));
        components.application.write_files(home).map_err(unwritable)?;
        let addresses = Addresses::choose().map_err(|error| Failure::not_measured(format!("no free port: {error}")))?;
        let (runtime, note) =
            PodRuntime::find(options.isolation, engine, home, addresses, &components.application).await?;
        components.versions.insert("pods", runtime.title().await);
        print(&description::opening(&components, &missing, note.as_deref()))?;

        let progress = Arc::new(Progress::new(self.expected_duration(&contenders)));
        let environment = UpdateEnvironment {
            runtime: &runtime,
            application: &components.application,
            balancer: &components.balancer,
            ingress: addresses.ingress(),
            home,
            report,
            pods: options.pods,
            updates: options.updates,
            grace_period: options.grace_period,
            before: options.before,
            after: options.after,
            progress: &progress,
        };
        let mut runs = Vec::new();
        for (update, contender) in &contenders {
            let load = self.load(addresses, &components.application);
            let run = rehearse(&environment, contender, update.lag, load).await?;
            progress.println(&in_one_line(&run));
            runs.push(run);
        }
        progress.finish();

        let code = exit_code(&contenders, &runs, plan.sweep.is_some());
        let load = self.load(addresses, &components.application);
        let rehearsal = Rehearsal {
            format: FORMAT,
            softstop_version: env!("CARGO_PKG_VERSION").to_owned(),
            made_at: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            verb: "local".to_owned(),
            settings: description::settings(options, &components, &missing),
            method: description::method(options, &components, &runtime, &load, plan.sweep.as_ref()),
            runs,
            sweep: plan.sweep.clone(),
        };
        report::write(&rehearsal, report)?;
        // A closed stdout is no failure: the report is written.
        let _ = print(&format!("\n{}\nThe report is in {}\n", table::table(&rehearsal), report.display()));
        Ok(code)
    }

    fn load(&self, addresses: Addresses, application: &Application) -> Load {
        let [short, slow] = application.hashes();
        let target = |path: &str, sha256, slow, weight| {
            let uri = format!("http://{}{path}", addresses.ingress());
            let target = |uri| Target { uri, expected_status: 200, expected_sha256: Some(sha256), slow, weight };
            uri.parse::<Uri>().map(target)
        };
        let targets = [target(SHORT, short, false, SHORT_WEIGHT), target(SLOW, slow, true, SLOW_WEIGHT)];
        // Every socket address makes a valid URI, so `flatten` drops none.
        Load { targets: targets.into_iter().flatten().collect(), http: None, settings: self.options.load }
    }

    /// The least time that all updates take, for the progress bar.
    fn expected_duration(&self, contenders: &[(PlannedUpdate, Contender)]) -> Duration {
        let Options { pods, updates, slow, before, after, .. } = self.options;
        let start = Duration::from_millis(500);
        let stop = |update: &PlannedUpdate| match update.contender {
            ContenderKind::Bare | ContenderKind::Tini => update.lag,
            ContenderKind::DumbInit => update.lag.max(*slow),
            ContenderKind::Prestop => update.lag.max(update.times.pre_delay.most),
            ContenderKind::Softstop => update.lag.max(update.times.pre_delay.least.max(update.lag + *slow)),
        };
        let whole = |update| start * *pods + *before + (stop(update) + start) * *pods * *updates + *after + *slow;
        contenders.iter().map(|(update, _)| whole(update)).sum()
    }
}

fn in_one_line(run: &Run) -> String {
    let incomplete = run.incomplete.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    format!("{}: {}{incomplete}", run.name, finding(run, &Summary::of(run)))
}

/// Only the runs of softstop decide, since the other contenders are expected to lose requests. In a sweep one value with which
/// nothing was lost is enough.
fn exit_code(contenders: &[(PlannedUpdate, Contender)], runs: &[Run], is_sweep: bool) -> u8 {
    if runs.iter().any(|run| run.incomplete.is_some()) {
        return NOT_MEASURED;
    }
    let pairs = contenders.iter().zip(runs);
    let softstop = pairs.filter(|((update, _), _)| update.contender == ContenderKind::Softstop);
    let conclusions: Vec<Conclusion> = softstop.map(|(_, run)| Conclusion::of(run, &Summary::of(run))).collect();
    let has = |conclusion| conclusions.contains(&conclusion);
    match (has(Conclusion::NothingLost), has(Conclusion::Lost), has(Conclusion::Inconclusive)) {
        (true, ..) if is_sweep => 0,
        (_, true, _) => LOST,
        (_, _, true) => NOT_MEASURED,
        (_, false, false) => 0,
    }
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| Failure::not_measured(format!("cannot write to stdout: {error}")))
}
