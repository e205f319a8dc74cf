//! A pod: the application under an init, in a container or in a PID namespace, with an address of its own.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::content::SHORT;
use super::engine::{Engine, stdout_of};
use crate::format::last_line;

/// How long a pod may take to answer its first request, and to end after SIGKILL.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

/// A started pod. If it is dropped, a PID namespace ends, but a container stays until it is removed or the engine is cleared.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) process: PodProcess,
    pub(crate) exit: ExitWatch,
}

#[derive(Debug)]
pub(crate) enum PodProcess {
    Container { engine: Engine, id: String },
    Namespace { init: Pid, log: PathBuf },
}

/// How a pod ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PodExit {
    pub(crate) code: Option<i32>,
    /// Whether SIGKILL at the end of the grace period ended it.
    pub(crate) killed: bool,
}

/// Waits for the end of a pod. It begins with the pod's start: if the engine were asked only at the stop, its answer would come
/// late.
#[derive(Debug)]
pub(crate) struct ExitWatch(JoinHandle<Result<Option<i32>, String>>);

impl ExitWatch {
    pub(crate) fn of_process(mut process: Child) -> Self {
        Self(tokio::spawn(async move {
            let status = process.wait().await.map_err(|error| error.to_string())?;
            Ok(status.code().or_else(|| status.signal().map(|signal| 128 + signal)))
        }))
    }

    pub(crate) fn of_container(engine: &Engine, id: &str) -> Self {
        let mut command = engine.command(["wait", id]);
        Self(tokio::spawn(async move {
            let output = command.stdin(Stdio::null()).output().await.map_err(|error| error.to_string())?;
            stdout_of(&output).map(|code| code.parse().ok())
        }))
    }

    fn has_exited(&self) -> bool {
        self.0.is_finished()
    }

    async fn code(&mut self) -> Result<Option<i32>, String> {
        (&mut self.0).await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

impl Drop for ExitWatch {
    fn drop(&mut self) {
        self.0.abort(); // which drops the process, and so kills it
    }
}

impl Pod {
    /// Waits until the application answers.
    pub(crate) async fn answers(&self) -> Result<(), String> {
        let started = Instant::now();
        while started.elapsed() < ANSWERS_WITHIN && !self.exit.has_exited() {
            if answers_at(self.address).await {
                return Ok(());
            }
            sleep(Duration::from_millis(20)).await;
        }
        let log = String::from_utf8_lossy(&self.log().await.unwrap_or_default()).into_owned();
        let last = last_line(&log).unwrap_or("empty");
        Err(format!("a pod at {} does not answer; the end of its log: {last}", self.address))
    }

    /// Stops the pod as Kubernetes does: the preStop hook, SIGTERM, and SIGKILL at the end of the grace period, which begins
    /// with the hook.
    pub(crate) async fn stop(&mut self, pre_stop: Option<Duration>, grace_period: Duration) -> Result<PodExit, String> {
        let deadline = Instant::now() + grace_period;
        let Self { name, process, exit, .. } = self;
        let by_itself = |code| PodExit { code, killed: false };
        if let Some(pause) = pre_stop {
            tokio::select! {
                () = process.pre_stop_hook(pause) => {}
                code = exit.code() => return code.map(by_itself),
                () = sleep_until(deadline) => {}
            }
        }
        process.signal(Signal::SIGTERM).await;
        if let Ok(code) = timeout_at(deadline, exit.code()).await {
            return code.map(by_itself);
        }
        process.signal(Signal::SIGKILL).await;
        let code = timeout(ANSWERS_WITHIN, exit.code()).await;
        let mut code = code.map_err(|_| format!("{name} is still running after SIGKILL"))??;
        if let PodProcess::Namespace { .. } = process {
            // unshare(1) of util-linux 2.38 tries to end itself by the signal that ended its child, and fails. So its exit code
            // does not show the signal.
            code = Some(128 + Signal::SIGKILL as i32);
        }
        Ok(PodExit { code, killed: true })
    }

    /// Everything that it wrote to stdout and stderr.
    pub(crate) async fn log(&self) -> Result<Vec<u8>, String> {
        match &self.process {
            PodProcess::Container { engine, id } => {
                let output = engine.output(["logs", id]).await?;
                stdout_of(&output)?;
                Ok([output.stdout, output.stderr].concat())
            }
            PodProcess::Namespace { log, .. } => fs::read(log).map_err(|error| format!("{}: {error}", log.display())),
        }
    }

    /// Kills and removes what is left of it.
    pub(crate) async fn clear(mut self) {
        match &self.process {
            // If this fails, clearing the engine removes the container.
            PodProcess::Container { engine, id } => drop(engine.run(["rm", "--force", "--volumes", id]).await),
            PodProcess::Namespace { .. } if self.exit.has_exited() => {}
            PodProcess::Namespace { .. } => {
                self.process.signal(Signal::SIGKILL).await;
                let _ = timeout(ANSWERS_WITHIN, self.exit.code()).await; // a process that stays is stuck in the kernel
            }
        }
    }
}

impl PodProcess {
    /// In a container as `preStop: exec: command: [sleep, ..]`; in a PID namespace as `preStop: sleep`, which runs outside the
    /// pod.
    async fn pre_stop_hook(&self, pause: Duration) {
        if let Self::Container { engine, id } = self {
            let seconds = pause.as_secs_f64().to_string();
            let mut sleeping = engine.command(["exec", id.as_str(), "sleep", &seconds]);
            let hook = sleeping.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().await;
            if hook.is_ok_and(|status| status.success()) {
                return;
            }
        }
        sleep(pause).await;
    }

    /// An error means that the pod has already ended, which [`ExitWatch`] sees.
    async fn signal(&self, signal: Signal) {
        match self {
            Self::Container { engine, id } => drop(engine.run(["kill", "--signal", signal.as_str(), id]).await),
            Self::Namespace { init, .. } => drop(kill(*init, signal)),
        }
    }
}

/// Whether a short request is answered there.
async fn answers_at(address: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let request = format!("GET {SHORT} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        answer.starts_with(b"HTTP/1.1 200 ").then_some(())
    };
    timeout(Duration::from_secs(1), ask).await.is_ok_and(|answer| answer.is_some())
}
