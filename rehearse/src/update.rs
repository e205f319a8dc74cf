//! One rolling update: every pod replaced, one after the other.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::Failure;
use crate::balancer::{self, Balancer};
use crate::contender::Participant;
use crate::evidence::Evidence;
use crate::figures::{Mark, Run, Stop, What};
use crate::load::{Load, Seen};
use crate::pod::{Ground, Pod};
use crate::progress::{Counts, Progress, Ticking};
use crate::server::Application;

/// Where the updates happen, and what is the same in all of them.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) ground: &'a Ground,
    pub(crate) application: &'a Application,
    pub(crate) balancer: &'a balancer::Kind,
    pub(crate) ingress: SocketAddr,
    /// For what is gone at the end.
    pub(crate) home: &'a Path,
    /// The directory of the report.
    pub(crate) report: &'a Path,
    pub(crate) pods: u32,
    pub(crate) updates: u32,
    pub(crate) grace_period: Duration,
    pub(crate) before: Duration,
    pub(crate) after: Duration,
    pub(crate) progress: &'a Arc<Progress>,
}

/// Pods behind a balancer.
struct Deployment<'a> {
    stage: &'a Stage<'a>,
    who: &'a Participant,
    lag: Duration,
    balancer: Balancer,
    /// The oldest first, each with its slot.
    pods: Vec<(u32, Pod)>,
    slots: u32,
}

/// What an update leaves behind.
#[derive(Default)]
struct Notes {
    marks: Vec<Mark>,
    stops: Vec<Stop>,
    evidence: Evidence,
}

/// A load before, during and after the replacement of all pods.
pub(crate) async fn rehearse(stage: &Stage<'_>, who: &Participant, lag: Duration, load: Load) -> Result<Run, Failure> {
    let failed = |why: String| Failure::not_measured(format!("{}: {why}", who.name));
    let logs = format!("logs/{}", who.directory);
    fs::create_dir_all(stage.report.join(&logs)).map_err(|error| failed(format!("cannot make {logs}: {error}")))?;
    let balancer_log = format!("{logs}/{}", stage.balancer.log());
    let slots = stage.pods * (stage.updates + 1);
    let at = stage.report.join(&balancer_log);
    let balancer = Balancer::start(stage.balancer, stage.ingress, slots, stage.home, &at).await.map_err(failed)?;
    let mut deployment = Deployment { stage, who, lag, balancer, pods: Vec::new(), slots: 0 };
    for _ in 0..stage.pods {
        deployment.add().await.map_err(failed)?;
    }

    let counts = Arc::new(Counts::default());
    let (stop, stopped) = watch::channel(false);
    let began = Instant::now();
    let mut sending = Sending(tokio::spawn(load.send(began, stopped, Arc::clone(&counts))));
    let mut notes = Notes::default();
    let update = async {
        let phase = |phase: &str| {
            let phase = format!("{}: {phase}", who.name);
            Ticking::start(Arc::clone(stage.progress), phase, Arc::clone(&counts))
        };
        let ticking = phase("before");
        sleep(stage.before).await;
        drop(ticking);
        let update_began = Instant::now();
        for round in 1..=stage.updates {
            for number in 1..=stage.pods {
                let replaced = (round - 1) * stage.pods + number;
                let _ticking = phase(&format!("replacing pod {replaced} of {}", stage.pods * stage.updates));
                deployment.replace_one(began, &logs, &mut notes).await?;
            }
        }
        let update_ended = Instant::now();
        let _ticking = phase("after");
        sleep(stage.after).await;
        Ok((update_began, update_ended))
    };
    let (times, seen) = tokio::select! {
        done = update => {
            let times = done.map_err(failed)?;
            let _ticking = Ticking::start(
                Arc::clone(stage.progress),
                format!("{}: the last answers", who.name),
                Arc::clone(&counts),
            );
            stop.send_replace(true);
            let ended = Instant::now();
            (Some((times, ended)), sending.seen().await)
        }
        // It has met one of its bounds.
        seen = sending.seen() => (None, seen),
    };
    let seen: Seen = seen.map_err(failed)?;
    let now = Instant::now();
    deployment.close().await;
    let log = fs::read(at).map_err(|error| failed(format!("cannot read {balancer_log}: {error}")))?;
    notes.evidence.read_balancer(&String::from_utf8_lossy(&log), &balancer_log);

    let ms = |moment: Instant| milliseconds(moment.saturating_duration_since(began));
    // The last answers come after the load's end.
    let ((update_began, update_ended), ended) = times.unwrap_or(((now, now), now));
    let too_early = "the load ended before the update did".to_owned();
    Ok(Run {
        name: who.name.clone(),
        command: who.command(stage.application),
        update_began_ms: ms(update_began),
        update_ended_ms: ms(update_ended),
        ended_ms: ms(ended),
        marks: notes.marks,
        stops: notes.stops,
        telltales: notes.evidence.telltales(),
        errors: seen.errors,
        limits: seen.limits,
        incomplete: seen.incomplete.or_else(|| times.is_none().then_some(too_early)),
        generator_cores: seen.generator_cores,
        requests: seen.requests,
    })
}

/// A load that is being sent; dropped, it ends.
struct Sending(tokio::task::JoinHandle<Seen>);

impl Sending {
    async fn seen(&mut self) -> Result<Seen, String> {
        (&mut self.0).await.map_err(|error| format!("the load generator failed: {error}"))
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Deployment<'_> {
    /// A new pod, which answers before any client can ask it.
    async fn add(&mut self) -> Result<String, String> {
        self.slots += 1;
        let (slot, name) = (self.slots, format!("pod{}", self.slots));
        let pod = self.stage.ground.start(&name, self.who, self.stage.application).await?;
        pod.answers().await?;
        self.balancer.add(slot, pod.address).await?;
        self.pods.push((slot, pod));
        Ok(name)
    }

    /// A new pod takes the place of the oldest, which is told to stop at the same moment at which its removal from the
    /// balancer begins; and that takes effect later.
    async fn replace_one(&mut self, began: Instant, logs: &str, notes: &mut Notes) -> Result<(), String> {
        let mark = |what, whom: &str| Mark { at_ms: milliseconds(began.elapsed()), what, whom: whom.to_owned() };
        let new = self.add().await?;
        notes.marks.push(mark(What::Added, &new));
        if self.pods.is_empty() {
            return Ok(());
        }
        let (slot, mut old) = self.pods.remove(0);
        let name = old.name.clone();
        notes.marks.push(mark(What::Stop, &name));
        let told = Instant::now();
        let stop = async {
            let ended = old.stop(self.who.pre_stop, self.stage.grace_period).await?;
            Ok::<_, String>((ended, told.elapsed(), mark(What::Gone, &name)))
        };
        let removal = async {
            sleep(self.lag).await;
            self.balancer.remove(slot).await?;
            Ok::<_, String>(mark(What::Removed, &name))
        };
        let ((ended, took, gone), removed) = tokio::try_join!(stop, removal)?;
        notes.marks.extend([gone, removed]);
        notes.marks.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
        notes.stops.push(Stop {
            pod: name.clone(),
            seconds: took.as_secs_f64(),
            exit: ended.exit,
            killed: ended.killed,
        });
        let log = old.log().await?;
        old.clear().await;
        let place = format!("{logs}/{name}.log");
        let file = self.stage.report.join(&place);
        fs::write(&file, &log).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        notes.evidence.read_pod(&String::from_utf8_lossy(&log), &place);
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
