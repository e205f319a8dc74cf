//! The Docker engine, and everything that a rehearsal creates there.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::RwLock;
use tokio::time::timeout;

use crate::programs;

/// After this time without an answer a command has failed.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub(crate) struct Engine {
    program: Option<PathBuf>,
    /// The name of the image, the prefix of the container names, and the value of the containers' label.
    pub(crate) id: String,
    /// Each command holds a read lock until the engine has answered, even if its caller has been dropped. [`Engine::clear`]
    /// takes the write lock first, so no command that is still running can create a container after it.
    busy: Arc<RwLock<()>>,
    is_open: Arc<AtomicBool>,
}

impl Engine {
    pub(crate) fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let id = format!("softstop-rehearse-{}-{}", std::process::id(), now.as_millis() % 1_000_000_000);
        Self { program: programs::find("docker"), id, busy: Arc::default(), is_open: Arc::default() }
    }

    /// Creates the image, which is empty: the directories of this machine are mounted into the containers.
    pub(crate) async fn open(&self) -> Result<(), String> {
        self.program.as_ref().ok_or("docker is not installed")?;
        self.run(["version", "--format", "{{.Server.Version}}"]).await?;
        self.is_open.store(true, Ordering::Relaxed);
        let empty_tar = vec![0; 1024];
        stdout_of(&self.output_with_input(["import", "-", &self.id], empty_tar).await?).map(drop)
    }

    pub(crate) async fn title(&self) -> String {
        let version = self.run(["version", "--format", "{{.Server.Version}}"]).await;
        format!("Docker {}", version.as_deref().unwrap_or("of an unknown version"))
    }

    /// The option of `docker run` that marks a container as ours.
    pub(crate) fn label(&self) -> String {
        format!("--label=softstop-rehearse={}", self.id)
    }

    pub(crate) fn command<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(self.program.as_deref().unwrap_or(Path::new("docker")));
        command.args(words).process_group(0).kill_on_drop(true);
        command
    }

    /// Runs `docker WORDS..`. Returns its stdout, or why it failed.
    pub(crate) async fn run<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Result<String, String> {
        stdout_of(&self.output(words).await?)
    }

    pub(crate) async fn output<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Result<Output, String> {
        self.output_with_input(words, Vec::new()).await
    }

    async fn output_with_input<S: AsRef<OsStr>>(
        &self,
        words: impl IntoIterator<Item = S>,
        input: Vec<u8>,
    ) -> Result<Output, String> {
        let mut command = self.command(words);
        let held = Arc::clone(&self.busy).read_owned().await;
        let task = tokio::spawn(async move {
            let answer = timeout(ANSWERS_WITHIN, output(&mut command, input)).await;
            drop(held);
            answer.unwrap_or_else(|_| Err(io::Error::other("the engine does not answer")))
        });
        let answer = task.await.map_err(io::Error::other).and_then(|answer| answer);
        answer.map_err(|error| format!("docker: {error}"))
    }

    /// Removes the containers of this rehearsal, and the image.
    pub(crate) async fn clear(&self) {
        if !self.is_open.load(Ordering::Relaxed) {
            return;
        }
        drop(self.busy.write().await); // waits until earlier commands are done; no new ones come
        let filter = format!("label=softstop-rehearse={}", self.id);
        if let Ok(containers) = self.run(["ps", "--all", "--quiet", "--filter", &filter]).await {
            let containers = containers.split_ascii_whitespace();
            let words: Vec<&str> = ["rm", "--force", "--volumes"].into_iter().chain(containers).collect();
            if words.len() > 3 {
                let _ = self.run(words).await; // if it fails, the image cannot be removed either, and nothing else would help
            }
        }
        let _ = self.run(["rmi", "--force", &self.id]).await;
    }
}

async fn output(command: &mut Command, input: Vec<u8>) -> io::Result<Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(&input).await; // a program that does not read its input reports why
    }
    child.wait_with_output().await
}

/// The stdout of a program that succeeded, or the last line of the stderr of one that failed.
pub(crate) fn stdout_of(output: &Output) -> Result<String, String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    // `docker run` ends with a hint at its help.
    let message = stderr.lines().map(str::trim).rfind(|line| !line.is_empty() && !line.starts_with("See 'docker"));
    Err(message.map_or_else(|| format!("docker: {}", output.status), str::to_owned))
}
