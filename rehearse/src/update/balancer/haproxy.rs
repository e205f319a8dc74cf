//! HAProxy, whose servers are changed through its runtime socket, as ingress controllers do.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::CONNECT_TIMEOUT;

/// More connections than any load here opens.
const MAX_CONNECTIONS: u64 = 10_000;
/// How long HAProxy may take to start, to answer a command and to end.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Haproxy {
    process: Child,
    socket: PathBuf,
}

impl Haproxy {
    pub(crate) async fn start(
        program: &Path,
        listen: SocketAddr,
        slots: u32,
        home: &Path,
        log: &Path,
    ) -> Result<Self, String> {
        let (file, socket) = (home.join("haproxy.cfg"), home.join("haproxy.sock"));
        let failed = |error: io::Error| format!("cannot start HAProxy: {error}");
        std::fs::write(&file, configuration(&socket, listen, slots)).map_err(failed)?;
        let output = File::create(log).map_err(failed)?;
        let errors = output.try_clone().map_err(failed)?;
        let mut command = Command::new(program);
        command.arg("-db").arg("-f").arg(&file).env_clear();
        command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0).kill_on_drop(true);
        let mut haproxy = Self { process: command.spawn().map_err(failed)?, socket };
        let started = Instant::now();
        // Once the state of the last slot can be read, HAProxy takes commands and has created all slots.
        while haproxy.is_running(slots).await.is_err() {
            if !matches!(haproxy.process.try_wait(), Ok(None)) || started.elapsed() > ANSWERS_WITHIN {
                let log = std::fs::read_to_string(log).unwrap_or_default();
                let alert = log.lines().find(|line| line.contains("ALERT")).unwrap_or("it does not say why");
                return Err(format!("HAProxy does not start: {alert}"));
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(haproxy)
    }

    pub(crate) async fn add(&self, slot: u32, pod: SocketAddr) -> Result<(), String> {
        let (address, port) = (pod.ip(), pod.port());
        self.ask(&format!("set server pods/pod{slot} addr {address} port {port}")).await?;
        self.set_state(slot, "ready", true).await
    }

    pub(crate) async fn remove(&self, slot: u32) -> Result<(), String> {
        self.set_state(slot, "maint", false).await
    }

    pub(crate) async fn close(mut self) {
        if let Some(pid) = self.process.id().and_then(|pid| i32::try_from(pid).ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let _ = timeout(ANSWERS_WITHIN, self.process.wait()).await; // if it does not end, dropping it kills it
    }

    /// Sets the state and then reads it back, because the answer to the command is not meant for programs.
    async fn set_state(&self, slot: u32, state: &str, runs_then: bool) -> Result<(), String> {
        let answer = self.ask(&format!("set server pods/pod{slot} state {state}")).await?;
        if self.is_running(slot).await? == runs_then {
            return Ok(());
        }
        Err(format!("HAProxy does not set pod{slot} to {state}: {}", answer.trim()))
    }

    /// Whether the operational state of a server is "running", which is 2 (HAProxy's Management Guide, `show servers state`).
    async fn is_running(&self, slot: u32) -> Result<bool, String> {
        let answer = self.ask("show servers state pods").await?;
        let name = format!("pod{slot}");
        let mut servers = answer.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
        let server = servers.find(|columns| columns.get(3).is_some_and(|column| *column == name));
        let state = server.and_then(|columns| columns.get(5).map(|state| *state == "2"));
        state.ok_or_else(|| format!("HAProxy has no server {name}"))
    }

    async fn ask(&self, command: &str) -> Result<String, String> {
        let exchange = async {
            let mut stream = UnixStream::connect(&self.socket).await?;
            stream.write_all(format!("{command}\n").as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok(answer)
        };
        let answer = timeout(ANSWERS_WITHIN, exchange).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        answer.map_err(|error: io::Error| format!("HAProxy's runtime socket: {error}"))
    }
}

/// HAProxy's defaults wherever possible: three retries on the same server, no redispatch, no health check.
fn configuration(socket: &Path, listen: SocketAddr, slots: u32) -> String {
    let (socket, connect, most) = (socket.display(), CONNECT_TIMEOUT.as_millis(), max_connections());
    format!(
        "global
    log stderr format raw local0
    stats socket {socket} mode 600 level admin
    maxconn {most}
defaults
    mode http
    log global
    option httplog
    # Only requests that failed: the load generator counts the others.
    option dontlog-normal
    timeout connect {connect}ms
    timeout client 60s
    timeout server 60s
frontend ingress
    bind {listen}
    default_backend pods
backend pods
    balance roundrobin
    server-template pod 1-{slots} 127.0.0.1:1 disabled
"
    )
}

/// HAProxy needs two descriptors for each connection and some for itself, and does not start if the limit is lower.
fn max_connections() -> u64 {
    let hard = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(_, hard)| hard);
    (hard.saturating_sub(200) / 2).clamp(100, MAX_CONNECTIONS)
}
