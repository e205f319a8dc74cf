//! A rolling update under load: every pod is replaced, one after the other.
//!
//! [`contender`] is the init in the pods, [`application`] the server, and [`content`] what it serves. [`pod_runtime`] starts
//! each [`pod`] in a [`container`] or a PID [`namespace`], behind the [`balancer`]. [`log_findings`] reads the logs afterwards.

pub(crate) mod addresses;
pub(crate) mod application;
pub(crate) mod balancer;
mod container;
pub(crate) mod contender;
pub(crate) mod content;
pub(crate) mod embedded_server;
pub(crate) mod engine;
mod log_findings;
mod namespace;
mod pod;
pub(crate) mod pod_runtime;
pub(crate) mod softstop_program;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::failure::Failure;
use crate::load::{Load, LoadResult};
use crate::progress::{Counts, PhaseDisplay, Progress};
use crate::rehearsal::{Mark, MarkKind, Run, Stop};
use application::Application;
use balancer::{Balancer, BalancerKind};
use contender::Contender;
use log_findings::LogFindings;
use pod::Pod;
use pod_runtime::PodRuntime;

/// What is the same for the updates of all contenders.
#[derive(Debug)]
pub(crate) struct UpdateEnvironment<'a> {
    pub(crate) runtime: &'a PodRuntime,
    pub(crate) application: &'a Application,
    pub(crate) balancer: &'a BalancerKind,
    pub(crate) ingress: SocketAddr,
    /// The directory for temporary files.
    pub(crate) home: &'a Path,
    /// The directory of the report.
    pub(crate) report: &'a Path,
    pub(crate) pods: u32,
    /// How often all pods are replaced.
    pub(crate) updates: u32,
    pub(crate) grace_period: Duration,
    pub(crate) before: Duration,
    pub(crate) after: Duration,
    pub(crate) progress: &'a Arc<Progress>,
}

/// The pods of one contender behind a balancer.
struct Deployment<'a> {
    environment: &'a UpdateEnvironment<'a>,
    contender: &'a Contender,
    lag: Duration,
    balancer: Balancer,
    /// The oldest first, each with its slot.
    pods: Vec<(u32, Pod)>,
    slots: u32,
}

/// What is recorded during an update.
#[derive(Default)]
struct UpdateRecord {
    marks: Vec<Mark>,
    stops: Vec<Stop>,
    log_findings: LogFindings,
}

/// Replaces all pods of a contender, with load before, during and after that.
pub(crate) async fn rehearse(
    environment: &UpdateEnvironment<'_>,
    contender: &Contender,
    lag: Duration,
    load: Load,
) -> Result<Run, Failure> {
    let failed = |why: String| Failure::not_measured(format!("{}: {why}", contender.name));
    let logs = format!("logs/{}", contender.directory);
    fs::create_dir_all(environment.report.join(&logs))
        .map_err(|error| failed(format!("cannot make {logs}: {error}")))?;
    let balancer_log = format!("{logs}/{}", environment.balancer.log());
    let balancer_log_path = environment.report.join(&balancer_log);
    let slots = environment.pods * (environment.updates + 1);
    let balancer =
        Balancer::start(environment.balancer, environment.ingress, slots, environment.home, &balancer_log_path);
    let balancer = balancer.await.map_err(failed)?;
    let mut deployment = Deployment { environment, contender, lag, balancer, pods: Vec::new(), slots: 0 };
    for _ in 0..environment.pods {
        deployment.add().await.map_err(failed)?;
    }

    let counts = Arc::new(Counts::default());
    let (stop, stopped) = watch::channel(false);
    let began = Instant::now();
    let mut load = LoadTask(tokio::spawn(load.send(began, stopped, Arc::clone(&counts))));
    let mut record = UpdateRecord::default();
    let phase = |phase: &str| {
        let phase = format!("{}: {phase}", contender.name);
        PhaseDisplay::start(Arc::clone(environment.progress), phase, Arc::clone(&counts))
    };
    let update = async {
        let before = phase("before");
        sleep(environment.before).await;
        drop(before);
        let update_began = Instant::now();
        let replacements = environment.pods * environment.updates;
        for replacement in 1..=replacements {
            let _phase = phase(&format!("replacing pod {replacement} of {replacements}"));
            deployment.replace_oldest(began, &logs, &mut record).await?;
        }
        let update_ended = Instant::now();
        let _phase = phase("after");
        sleep(environment.after).await;
        Ok((update_began, update_ended))
    };
    let (times, result) = tokio::select! {
        done = update => {
            let times = done.map_err(failed)?;
            let _phase = phase("the last answers");
            stop.send_replace(true);
            let ended = Instant::now();
            (Some((times, ended)), load.result().await)
        }
        // The load has reached one of its limits.
        result = load.result() => (None, result),
    };
    let result: LoadResult = result.map_err(failed)?;
    let now = Instant::now();
    deployment.close().await;
    let log = fs::read(balancer_log_path).map_err(|error| failed(format!("cannot read {balancer_log}: {error}")))?;
    record.log_findings.read_balancer(&String::from_utf8_lossy(&log), &balancer_log);

    let ms = |moment: Instant| milliseconds(moment.saturating_duration_since(began));
    // The last answers arrive after the end of the load.
    let ((update_began, update_ended), ended) = times.unwrap_or(((now, now), now));
    let too_early = "the load ended before the update did".to_owned();
    Ok(Run {
        name: contender.name.clone(),
        command: contender.command(environment.application),
        update_began_ms: ms(update_began),
        update_ended_ms: ms(update_ended),
        ended_ms: ms(ended),
        marks: record.marks,
        stops: record.stops,
        log_findings: record.log_findings.into_sorted(),
        errors: result.errors,
        limits: result.limits,
        incomplete: result.incomplete.or_else(|| times.is_none().then_some(too_early)),
        generator_cores: result.generator_cores,
        requests: result.requests,
    })
}

/// A running load, which ends when this is dropped.
struct LoadTask(tokio::task::JoinHandle<LoadResult>);

impl LoadTask {
    async fn result(&mut self) -> Result<LoadResult, String> {
        (&mut self.0).await.map_err(|error| format!("the load generator failed: {error}"))
    }
}

impl Drop for LoadTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Deployment<'_> {
    /// Starts a new pod, and adds it to the balancer once it answers.
    async fn add(&mut self) -> Result<String, String> {
        self.slots += 1;
        let (slot, name) = (self.slots, format!("pod{}", self.slots));
        let pod = self.environment.runtime.start(&name, self.contender, self.environment.application).await?;
        pod.answers().await?;
        self.balancer.add(slot, pod.address).await?;
        self.pods.push((slot, pod));
        Ok(name)
    }

    /// Replaces the oldest pod by a new one. As in Kubernetes, the old pod is told to stop at the moment when its removal from
    /// the balancer begins; the removal takes effect after the lag.
    async fn replace_oldest(&mut self, began: Instant, logs: &str, record: &mut UpdateRecord) -> Result<(), String> {
        let mark = |kind, pod: &str| Mark { at_ms: milliseconds(began.elapsed()), kind, pod: pod.to_owned() };
        let new = self.add().await?;
        record.marks.push(mark(MarkKind::Added, &new));
        if self.pods.is_empty() {
            return Ok(());
        }
        let (slot, mut old) = self.pods.remove(0);
        let name = old.name.clone();
        record.marks.push(mark(MarkKind::Stop, &name));
        let told = Instant::now();
        let stop = async {
            let exit = old.stop(self.contender.pre_stop, self.environment.grace_period).await?;
            Ok::<_, String>((exit, told.elapsed(), mark(MarkKind::Gone, &name)))
        };
        let removal = async {
            sleep(self.lag).await;
            self.balancer.remove(slot).await?;
            Ok::<_, String>(mark(MarkKind::Removed, &name))
        };
        let ((exit, took, gone), removed) = tokio::try_join!(stop, removal)?;
        record.marks.extend([gone, removed]);
        record.marks.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
        record.stops.push(Stop {
            pod: name.clone(),
            seconds: took.as_secs_f64(),
            exit: exit.code,
            killed: exit.killed,
        });
        let log = old.log().await?;
        old.clear().await;
        let log_file = format!("{logs}/{name}.log");
        let path = self.environment.report.join(&log_file);
        fs::write(&path, &log).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        record.log_findings.read_pod(&String::from_utf8_lossy(&log), &log_file);
        Ok(())
    }

    async fn close(self) {
        self.balancer.close().await;
        for (_, pod) in self.pods {
            pod.clear().await;
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
