//! `rehearse local`: the experiment on this machine.

mod plan;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::Uri;
use softstop::duration::show;
use tokio::signal::unix::{SignalKind, signal};

use crate::balancer::{self, CONNECT, RETRIES};
use crate::cli::{Contender, Local};
use crate::contender::{self, Participant, Programs, in_path, version};
use crate::figures::{FORM, Rehearsal, Run, Summary};
use crate::load::{Load, Pace, Target};
use crate::pod::{Addresses, Engine, Ground};
use crate::progress::Progress;
use crate::server::{Application, SHORT, SHORT_BODY, SLOW};
use crate::update::{Stage, rehearse};
use crate::words::{Verdict, counted, finding, verdict};
use crate::{Failure, LOST, NOT_MEASURED, report, table};
use plan::{Plan, Scene};

/// Of 29 requests so many are short and slow. With one in ten, every slow one would fall to the same pod of two, as requests
/// and pods both come in turns; 29 has no divisor in common with any number of pods.
const SHORT_SHARE: u32 = 26;
const SLOW_SHARE: u32 = 3;

pub(crate) async fn local(arguments: Local) -> Result<u8, Failure> {
    let plan = Plan::of(&arguments)?;
    // From here on a signal ends the experiment, and nothing of it may stay.
    let interrupted = interrupted()?;
    let report = report::choose_directory(arguments.output.output.as_deref())?;
    report::make_directory(&report)?;
    let engine = Engine::new();
    let home = match Home::make() {
        Ok(home) => home,
        Err(failure) => {
            remove_unless_it_tells(&report, false);
            return Err(failure);
        }
    };
    let experiment = Experiment { arguments: &arguments, plan: &plan, engine: &engine, home: &home.0, report: &report };
    let (done, keep) = tokio::select! {
        done = experiment.run() => (done, true),
        name = interrupted => (Err(Failure::not_measured(format!("{name}: cleared away what was begun"))), false),
    };
    engine.clear().await;
    home.clear().await;
    done.map_err(|failure| {
        if remove_unless_it_tells(&report, keep) {
            return failure;
        }
        let sentence = format!("{}; the logs so far are in {}", failure.sentence, report.display());
        Failure { sentence, ..failure }
    })
}

/// Without figures a report's directory holds the servers' logs at the most.
fn remove_unless_it_tells(report: &Path, keep: bool) -> bool {
    let entries = |directory: &Path| fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let holds_a_log = entries(&report.join("logs")).any(|contender| entries(&contender).next().is_some());
    if keep && holds_a_log {
        return false;
    }
    let _ = fs::remove_dir_all(report); // it may stay then: it does no harm
    true
}

/// Comes with the name of the signal that ends us.
fn interrupted() -> Result<impl Future<Output = &'static str>, Failure> {
    let listen =
        |kind| signal(kind).map_err(|error| Failure::not_measured(format!("cannot listen to signals: {error}")));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "interrupted by SIGTERM",
            _ = interrupt.recv() => "interrupted by SIGINT",
            _ = hang_up.recv() => "interrupted by SIGHUP",
        }
    })
}

/// A directory for what nobody needs afterwards.
#[derive(Debug)]
struct Home(PathBuf);

impl Home {
    fn make() -> Result<Self, Failure> {
        let pattern = std::env::temp_dir().join("softstop-rehearse-XXXXXX");
        let made = nix::unistd::mkdtemp(&pattern);
        let made =
            made.map_err(|error| Failure::not_measured(format!("cannot make {}: {error}", pattern.display())))?;
        Ok(Self(made))
    }

    async fn clear(self) {
        // A server that was just killed may still be writing there.
        for _ in 0..100 {
            if fs::remove_dir_all(&self.0).is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

type Players = Vec<(Scene, Participant)>;

/// What takes part.
#[derive(Debug)]
struct Cast {
    application: Application,
    balancer: balancer::Kind,
    programs: Programs,
    /// By name, as it is said before it begins and kept in the report.
    parts: BTreeMap<&'static str, String>,
}

impl Cast {
    async fn find(arguments: &Local, plan: &Plan) -> Result<Self, Failure> {
        let installed = |program: &str| if arguments.embedded { None } else { in_path(program) };
        let application = match installed("nginx") {
            Some(program) => {
                let said = version(&program, "-v").await.unwrap_or_default();
                let version = said.trim_start_matches("nginx version: ").to_owned();
                Application::nginx(program, version, arguments.slow)
            }
            None => Application::embedded(arguments.slow)?,
        };
        let balancer = match installed("haproxy") {
            Some(program) => {
                let said = version(&program, "-v").await.unwrap_or_default();
                let number = said.split_ascii_whitespace().nth(2).unwrap_or("of an unknown version");
                balancer::Kind::Haproxy { program, version: format!("HAProxy {number}") }
            }
            None => balancer::Kind::Embedded,
        };
        let why = if arguments.embedded { "as --embedded asks" } else { "which is not installed" };
        let instead = |title: String, of: &str, is_embedded: bool| {
            if is_embedded { format!("{title}, in place of {of}, {why}") } else { title }
        };
        let mut parts = BTreeMap::new();
        parts.insert("ingress", instead(balancer.title(), "HAProxy", balancer.is_embedded()));
        parts.insert("application", instead(application.title(), "nginx", application.is_embedded()));

        let softstop = if plan.has(Contender::Softstop) {
            Some(contender::softstop(arguments.softstop.as_deref()).await?)
        } else {
            None
        };
        let programs = Programs { tini: in_path("tini"), dumb_init: in_path("dumb-init"), softstop };
        for (name, program, contender) in [
            ("softstop", &programs.softstop, Contender::Softstop),
            ("tini", &programs.tini, Contender::Tini),
            ("dumb-init", &programs.dumb_init, Contender::DumbInit),
        ] {
            let Some(program) = program.as_ref().filter(|_| plan.has(contender)) else { continue };
            let said = version(program, "--version").await;
            let said = said.ok_or_else(|| Failure::not_measured(format!("{} does not run", program.display())))?;
            let number = said.split_ascii_whitespace().find(|word| word.contains('.')).unwrap_or(&said);
            parts.insert(name, format!("{} ({})", number.trim_start_matches('v'), program.display()));
        }
        Ok(Self { application, balancer, programs, parts })
    }

    /// Who plays which scene, and who is missing. Who is missing and was asked for ends it.
    fn players(&self, arguments: &Local, plan: &Plan) -> Result<(Players, Vec<String>), Failure> {
        let (mut players, mut missing) = (Vec::new(), Vec::new());
        for scene in &plan.scenes {
            let Some(mut player) = Participant::new(scene.contender, &self.programs, scene.times, &self.application)
            else {
                missing.push(plan::name(scene.contender));
                continue;
            };
            if let Some(name) = &scene.name {
                player.name.clone_from(name);
                player.directory.clone_from(name);
            }
            players.push((scene.clone(), player));
        }
        match missing.first() {
            Some(name) if !arguments.contender.is_empty() => Err(Failure::not_measured(format!(
                "{name} is not installed: install it, or leave it out of --contender"
            ))),
            _ => Ok((players, missing)),
        }
    }
}

/// Everything there is to know before it begins.
struct Experiment<'a> {
    arguments: &'a Local,
    plan: &'a Plan,
    engine: &'a Engine,
    home: &'a Path,
    report: &'a Path,
}

impl Experiment<'_> {
    async fn run(&self) -> Result<u8, Failure> {
        let Self { arguments, plan, engine, home, report } = *self;
        let mut cast = Cast::find(arguments, plan).await?;
        let (players, missing) = cast.players(arguments, plan)?;
        let unwritable =
            |error: io::Error| Failure::not_measured(format!("cannot write to {}: {error}", home.display()));
        cast.application.furnish(home).map_err(unwritable)?;
        let addresses = Addresses::choose().map_err(|error| Failure::not_measured(format!("no free port: {error}")))?;
        let (ground, note) = Ground::find(arguments.place, engine, home, addresses, &cast.application).await?;
        cast.parts.insert("pods", ground.title().await);
        print(&opening(&cast, &missing, note.as_deref()))?;

        let progress = Arc::new(Progress::new(self.expected(&players)));
        let stage = Stage {
            ground: &ground,
            application: &cast.application,
            balancer: &cast.balancer,
            ingress: addresses.ingress(),
            home,
            report,
            pods: arguments.pods,
            updates: arguments.updates,
            grace_period: arguments.grace_period,
            before: arguments.pace.before,
            after: arguments.pace.grace,
            progress: &progress,
        };
        let mut runs = Vec::new();
        for (scene, player) in &players {
            let load = self.load(addresses, &cast.application);
            let run = rehearse(&stage, player, scene.lag, load).await?;
            progress.say(&in_one_line(&run));
            runs.push(run);
        }
        progress.done();

        let code = code(&players, &runs, plan.sweep.is_some());
        let rehearsal = Rehearsal {
            form: FORM,
            softstop_version: env!("CARGO_PKG_VERSION").to_owned(),
            made_at: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            verb: "local".to_owned(),
            settings: self.settings(&cast, &missing),
            method: self.method(&cast, &ground, &self.load(addresses, &cast.application)),
            runs,
            sweep: plan.sweep.clone(),
        };
        report::write(&rehearsal, report)?;
        // With the report there, a reader who has left costs nothing.
        let _ = print(&format!("\n{}\nThe report is in {}\n", table::table(&rehearsal), report.display()));
        Ok(code)
    }

    fn load(&self, addresses: Addresses, application: &Application) -> Load {
        let [short, slow] = application.hashes();
        let target = |path: &str, sha256, slow, share| {
            let uri = format!("http://{}{path}", addresses.ingress());
            uri.parse::<Uri>().map(|uri| Target { uri, status: 200, sha256: Some(sha256), slow, share })
        };
        let targets = [target(SHORT, short, false, SHORT_SHARE), target(SLOW, slow, true, SLOW_SHARE)];
        let pace = &self.arguments.pace;
        Load {
            targets: targets.into_iter().flatten().collect(), // every address makes a URI
            pace: self.plan.pace,
            http: None,
            timeout: pace.timeout,
            max_requests: pace.max_requests,
            max_time: pace.max_time,
        }
    }

    /// How long all of it takes at the least: for the bar alone.
    fn expected(&self, players: &[(Scene, Participant)]) -> Duration {
        let Local { pods, updates, slow, pace, .. } = self.arguments;
        let start = Duration::from_millis(500);
        let update = |scene: &Scene| match scene.contender {
            Contender::Bare | Contender::Tini => scene.lag,
            Contender::DumbInit => scene.lag.max(*slow),
            Contender::Prestop => scene.lag.max(scene.times.pre_delay.most),
            Contender::Softstop => scene.lag.max(scene.times.pre_delay.least.max(scene.lag + *slow)),
        };
        let one = |scene| start * *pods + pace.before + (update(scene) + start) * *pods * *updates + pace.grace + *slow;
        players.iter().map(|(scene, _)| one(scene)).sum()
    }

    fn settings(&self, cast: &Cast, missing: &[String]) -> BTreeMap<String, String> {
        let Local { lag, pods, updates, slow, pre_delay, drain_timeout, grace_period, pace, .. } = self.arguments;
        let mut settings: BTreeMap<String, String> =
            cast.parts.iter().map(|(name, what)| ((*name).to_owned(), what.clone())).collect();
        let mut set = |name: &str, value: String| drop(settings.insert(name.to_owned(), value));
        for (name, duration) in [
            ("lag", lag),
            ("slow", slow),
            ("drain-timeout", drain_timeout),
            ("grace-period", grace_period),
            ("timeout", &pace.timeout),
            ("before", &pace.before),
            ("grace", &pace.grace),
        ] {
            set(name, show(*duration));
        }
        set("pre-delay", pre_delay.to_string());
        set("pods", pods.to_string());
        set("updates", updates.to_string());
        match self.plan.pace {
            Pace::Open { per_second, in_flight } => {
                set("rate", format!("{per_second} requests a second"));
                set("in flight at most", in_flight.to_string());
            }
            Pace::Closed { users, pause } => {
                set("users", users.to_string());
                set("pause", show(pause));
            }
        }
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        set("cores of the machine", cores.to_string());
        if !missing.is_empty() {
            set("not installed", missing.join(", "));
        }
        settings
    }

    fn method(&self, cast: &Cast, ground: &Ground, load: &Load) -> Vec<String> {
        let Local { slow, grace_period, pods, updates, .. } = self.arguments;
        let times = if *updates == 1 { "once".to_owned() } else { format!("{updates} times") };
        let pods = counted(u64::from(*pods), "pod");
        let (lag, grace_period, slow) = (show(self.arguments.lag), show(*grace_period), show(*slow));
        let all = SHORT_SHARE + SLOW_SHARE;
        let shares = match self.plan.pace {
            Pace::Open { .. } => format!(
                "Of {all} requests {SHORT_SHARE} are short ones with a body of {SHORT_BODY} bytes, and the answers to {SLOW_SHARE} \
                 flow slowly, for {slow}; so that not all slow ones fall to the same pod, the number is not a round one."
            ),
            Pace::Closed { .. } => format!(
                "About one user in ten asks for slow answers only, which flow for {slow}; the others ask for short ones with a \
                 body of {SHORT_BODY} bytes."
            ),
        };
        let requests = format!(
            "{shares} A request is answered when its status is 200 and the SHA-256 of its whole body is right."
        );
        let mut update = format!(
            "Each contender has the same rolling update of {pods}, {times}: a new pod is started, answers, and is \
             added to the balancer; then the old one is told to stop, and at the same moment its removal from the balancer \
             begins, which takes effect after {lag}. The next pod follows when the old one is gone and removed. After the \
             grace period of {grace_period} the platform would send SIGKILL."
        );
        if let Some(sweep) = &self.plan.sweep {
            let _ = write!(update, " The sweep sets {} anew for each run.", sweep.setting);
        }
        let connect = show(CONNECT);
        let balancer = if cast.balancer.is_embedded() {
            format!(
                "The balancer is embedded: pods take turns, a connection has {connect}, one that fails is tried {RETRIES} more \
                 times with the same pod, and nothing that has been sent is sent again."
            )
        } else {
            format!(
                "HAProxy has its defaults: pods take turns (roundrobin), one that cannot be connected to is tried {RETRIES} more \
                 times, without `option redispatch`; a connection has {connect} (`timeout connect`). Its servers are changed \
                 through its runtime socket."
            )
        };
        let pods_place = if ground.is_containers() {
            "Each pod is a container with an address of its own, and that is gone when the pod is. Its preStop hook is `sleep`, \
             run in the container."
        } else {
            "Each pod is a PID namespace with a loopback address of its own; of a pod that is gone the kernel says so at once \
             (connection refused). Its preStop hook is a pause of the platform's."
        };
        let mut method = load.method();
        method.extend([requests, update, balancer, pods_place.to_owned()]);
        if cast.application.is_embedded() {
            method.push(
                "The server is embedded: as nginx does, it ends at once on SIGTERM, and when its requests are done on SIGQUIT."
                    .to_owned(),
            );
        }
        method.push("All of it shares one machine, the load generator too.".to_owned());
        method
    }
}

/// What takes part, a line each.
fn opening(cast: &Cast, missing: &[String], note: Option<&str>) -> String {
    let mut text = String::new();
    for name in ["ingress", "application", "pods", "softstop", "tini", "dumb-init"] {
        if let Some(what) = cast.parts.get(name) {
            let _ = writeln!(text, "{name:<12} {what}");
        }
    }
    for name in missing {
        let _ = writeln!(text, "{name:<12} is not installed, and takes no part");
    }
    if let Some(note) = note {
        let _ = writeln!(text, "{note}");
    }
    text
}

fn in_one_line(run: &Run) -> String {
    let incomplete = run.incomplete.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    format!("{}: {}{incomplete}", run.name, finding(run, &Summary::of(run)))
}

/// Softstop's runs decide: the control is there to lose. In a sweep it is enough that one value loses nothing.
fn code(players: &[(Scene, Participant)], runs: &[Run], is_sweep: bool) -> u8 {
    if runs.iter().any(|run| run.incomplete.is_some()) {
        return NOT_MEASURED;
    }
    let softstop = players.iter().zip(runs).filter(|((scene, _), _)| scene.contender == Contender::Softstop);
    let verdicts: Vec<Verdict> = softstop.map(|(_, run)| verdict(run, &Summary::of(run))).collect();
    let has = |verdict| verdicts.contains(&verdict);
    match (has(Verdict::NothingLost), has(Verdict::Lost), has(Verdict::Unclear)) {
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
