//! The load, and the command that runs during it.

use std::ffi::OsString;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep};

use super::command::RolloutCommand;
use crate::failure::Failure;
use crate::load::{Load, LoadResult, limits};
use crate::progress::{Counts, PhaseDisplay, Progress};
use crate::rehearsal::Run;
use crate::signals::Signals;
use crate::verdict::Verdict;

#[derive(Debug)]
pub(crate) struct Rollout {
    began: Instant,
    stop: watch::Sender<bool>,
    load: JoinHandle<LoadResult>,
    /// The result of the load, once it has ended.
    result: Option<LoadResult>,
    signals: Signals,
    interrupted: Option<Signal>,
    /// When the command began and ended.
    update: Option<(Instant, Instant)>,
    ended: Option<Instant>,
    counts: Arc<Counts>,
    progress: Arc<Progress>,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WaitEnd {
    TimeElapsed,
    LoadEnded,
    Interrupted,
}

impl Rollout {
    /// Starts the load. `expected` is the least time that everything takes.
    pub(crate) fn start(load: Load, expected: Duration) -> Result<Self, Failure> {
        limits::raise_descriptors();
        let signals = Signals::catch()?;
        let counts = Arc::new(Counts::default());
        let (stop, stopped) = watch::channel(false);
        let began = Instant::now();
        Ok(Self {
            began,
            stop,
            load: tokio::spawn(load.send(began, stopped, counts.clone())),
            result: None,
            signals,
            interrupted: None,
            update: None,
            ended: None,
            counts,
            progress: Arc::new(Progress::new(expected)),
        })
    }

    /// Runs the command, with load before, during and after it. None: the command was not run.
    pub(crate) async fn run(
        &mut self,
        command: &[OsString],
        before: Duration,
        after: Duration,
    ) -> Result<Option<ExitStatus>, Failure> {
        let phase = self.phase("before");
        if self.wait(before).await != WaitEnd::TimeElapsed {
            return Ok(None);
        }
        if self.counts.of(Verdict::Answered) == 0 && self.counts.lost() > 0 {
            return Ok(None);
        }
        if self.counts.lost() > 0 {
            let lost = self.counts.lost();
            self.progress
                .println(&format!("{lost} requests were lost before the command began, so not by the roll-out."));
        }
        drop(phase);

        let phase = self.phase("during");
        let began = Instant::now();
        let mut command = RolloutCommand::start(command, &self.progress)
            .map_err(|error| Failure::not_measured(format!("the command could not be started: {error}")))?;
        let status = self.wait_for(&mut command).await?;
        self.update = Some((began, Instant::now()));
        drop(phase);

        if self.interrupted.is_none() {
            let _phase = self.phase("after");
            self.wait(after).await;
        }
        command.finish().await;
        Ok(Some(status))
    }

    fn phase(&self, phase: &str) -> PhaseDisplay {
        PhaseDisplay::start(self.progress.clone(), phase.to_owned(), self.counts.clone())
    }

    async fn wait(&mut self, time: Duration) -> WaitEnd {
        if self.result.is_some() {
            return WaitEnd::LoadEnded;
        }
        tokio::select! {
            biased;
            signal = self.signals.next() => {
                self.interrupt(signal);
                WaitEnd::Interrupted
            }
            result = &mut self.load => {
                self.result = Some(load_result(result));
                WaitEnd::LoadEnded
            }
            () = sleep(time) => WaitEnd::TimeElapsed,
        }
    }

    fn interrupt(&mut self, signal: Signal) {
        self.interrupted = Some(signal);
        self.ended = Some(Instant::now());
        let _ = self.stop.send(true); // an error means that the load has already ended
        self.progress.println(&format!("{signal}: the load ends. A second signal ends this program at once."));
    }

    fn ended_at_once(&self, signal: Signal) -> Failure {
        self.progress.finish();
        Failure::not_measured(format!("ended at once by a second signal, {signal}; there is no report"))
    }

    /// Waits for the end of the command, even if the load ends before.
    async fn wait_for(&mut self, command: &mut RolloutCommand) -> Result<ExitStatus, Failure> {
        loop {
            tokio::select! {
                biased;
                signal = self.signals.next() => {
                    command.signal(signal);
                    if self.interrupted.is_some() {
                        return Err(self.ended_at_once(signal));
                    }
                    self.interrupt(signal);
                }
                result = &mut self.load, if self.result.is_none() => {
                    self.result = Some(load_result(result));
                    if self.interrupted.is_none() {
                        self.progress.println("The load has ended at its limit; the command continues.");
                    }
                }
                status = command.wait() => {
                    return status.map_err(|error| Failure::not_measured(format!("cannot wait for the command: {error}")));
                }
            }
        }
    }

    /// Ends the load, and waits for the last answers. Also returns the signal that interrupted the rehearsal, if any.
    pub(crate) async fn finish(mut self, name: String) -> Result<(Run, Option<Signal>), Failure> {
        let asked = *self.ended.get_or_insert_with(Instant::now);
        let _ = self.stop.send(true); // an error means that the load has already ended
        let phase = self.phase("waiting for the last answers");
        while self.result.is_none() {
            tokio::select! {
                biased;
                signal = self.signals.next() => {
                    if self.interrupted.is_some() {
                        return Err(self.ended_at_once(signal));
                    }
                    self.interrupt(signal);
                }
                result = &mut self.load => self.result = Some(load_result(result)),
            }
        }
        drop(phase);
        self.progress.finish();
        let result = self.result.unwrap_or_default();
        let at = |moment: Instant| moment.saturating_duration_since(self.began).as_secs_f64() * 1000.0;
        // A load that reached its limit ended with its last request.
        let last_due = result.requests.last().map_or(0.0, |request| request.due_ms);
        let ended_ms = if result.incomplete.is_some() { last_due } else { at(asked) };
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
            log_findings: Vec::new(),
            errors: result.errors,
            limits: result.limits,
            incomplete: interrupted.or(result.incomplete),
            generator_cores: result.generator_cores,
            requests: result.requests,
        };
        Ok((run, self.interrupted))
    }
}

fn load_result(result: Result<LoadResult, JoinError>) -> LoadResult {
    result.unwrap_or_else(|error| LoadResult {
        incomplete: Some(format!("The generator failed: {error}.")),
        ..LoadResult::default()
    })
}
