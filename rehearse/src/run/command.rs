//! The user's roll-out command: started, shown above the progress bar, signalled, awaited.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgrp, tcgetpgrp};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::load::limits;
use crate::programs::is_executable;
use crate::progress::Progress;

/// A line without its end, such as a prompt, is shown after this time.
const UNFINISHED_LINE: Duration = Duration::from_millis(300);

/// The running command.
#[derive(Debug)]
pub(crate) struct RolloutCommand {
    child: Child,
    /// The tasks that copy its output.
    copying: Vec<JoinHandle<()>>,
}

impl RolloutCommand {
    pub(crate) fn start(words: &[OsString], progress: &Arc<Progress>) -> io::Result<Self> {
        let mut command = with_inherited_limit(words);
        // Its output is copied only if it would garble the bar.
        if progress.has_bar() {
            command.stderr(Stdio::piped());
            if io::stdout().is_terminal() {
                command.stdout(Stdio::piped());
            }
        }
        let mut child = command.spawn()?;
        let mut copying = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            copying.push(tokio::spawn(copy(stdout, io::stdout(), progress.clone())));
        }
        if let Some(stderr) = child.stderr.take() {
            copying.push(tokio::spawn(copy(stderr, io::stderr(), progress.clone())));
        }
        Ok(Self { child, copying })
    }

    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Passes a signal on to the command, unless the terminal has already sent it to the command.
    pub(crate) fn signal(&self, signal: Signal) {
        let is_from_the_keyboard = signal == Signal::SIGINT
            && File::open("/dev/tty").is_ok_and(|terminal| tcgetpgrp(&terminal) == Ok(getpgrp()));
        let pid = self.child.id().and_then(|pid| pid.try_into().ok()).map(Pid::from_raw); // None once it was reaped
        if let Some(pid) = pid.filter(|_| !is_from_the_keyboard) {
            let _ = kill(pid, signal); // it has just ended, or it runs as another user and will end by itself
        }
    }

    /// Shows the rest of the output. The wait is bounded, since a process that the command has left may write without end.
    pub(crate) async fn finish(self) {
        for task in self.copying {
            let abort = task.abort_handle();
            let _ = timeout(UNFINISHED_LINE, task).await;
            abort.abort();
        }
    }
}

/// The command, with the soft limit of descriptors that this process inherited. The load raises ours, but the command must not
/// inherit that: some programs allocate tables of that size, and select(2) cannot use descriptors above 1023.
fn with_inherited_limit(words: &[OsString]) -> Command {
    let lowered = limits::inherited_descriptors()
        .map(|limit| ["/bin/sh", "-c", "ulimit -S -n \"$0\"; exec \"$@\"", &limit.to_string()].map(OsString::from));
    let mut words = lowered.iter().flatten().chain(words);
    let mut command = Command::new(words.next().map_or(OsStr::new(""), OsString::as_os_str));
    command.args(words);
    command
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl Write, progress: Arc<Progress>) {
    let mut held: Vec<u8> = Vec::new();
    let mut show = |bytes: &[u8]| {
        progress.suspended(|| drop(to.write_all(bytes).and_then(|()| to.flush()))); // a closed output must not end the run
    };
    loop {
        match timeout(UNFINISHED_LINE, from.read_buf(&mut held)).await {
            Ok(Ok(1..)) => {
                let lines = held.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                if lines > 0 {
                    let rest = held.split_off(lines);
                    show(&held);
                    held = rest;
                }
            }
            Ok(_) => break,
            Err(_) if held.is_empty() => {}
            Err(_) => {
                held.push(b'\n'); // otherwise the bar would be drawn over it
                show(&std::mem::take(&mut held));
            }
        }
    }
    if !held.is_empty() {
        held.push(b'\n');
        show(&held);
    }
}

/// Whether a shell would find this program.
pub(crate) fn exists(program: &Path) -> bool {
    if program.components().count() > 1 || program.is_absolute() {
        return is_executable(program);
    }
    let in_path = |path| std::env::split_paths(&path).any(|directory| is_executable(&directory.join(program)));
    std::env::var_os("PATH").is_some_and(in_path)
}
