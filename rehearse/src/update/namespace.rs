//! Starts a pod in a PID namespace of this machine, with a loopback address of its own.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::addresses::Addresses;
use super::application::{Application, PodSpec};
use super::contender::Contender;
use super::pod::{ExitWatch, Pod, PodProcess};
use crate::format::last_line;
use crate::programs;

pub(crate) async fn start(
    addresses: Addresses,
    home: &Path,
    number: u32,
    name: &str,
    contender: &Contender,
    application: &Application,
) -> Result<Pod, String> {
    let address = addresses.pod(number);
    let writable = home.join(format!("{name}.d"));
    fs::create_dir_all(&writable).map_err(|error| format!("{}: {error}", writable.display()))?;
    let spec = PodSpec {
        name: name.to_owned(),
        listen: address,
        files: home.to_owned(),
        files_in_pod: home.to_owned(),
        writable,
    };
    let command_line = contender.command_line(application, &spec, |program| program.display().to_string())?;
    let log = home.join(format!("{name}.log"));
    let failed = |error: io::Error| format!("{}: {error}", log.display());
    let output = File::create(&log).map_err(failed)?;
    let errors = output.try_clone().map_err(failed)?;

    let unshare = programs::find("unshare").ok_or("unshare(1) of util-linux is missing")?;
    let mut command = Command::new(unshare);
    if !is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).args(command_line);
    // No variable of ours (SOFTSTOP_..) may change what softstop does in the pod.
    command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    // A process group of its own, so that Ctrl-C reaches only this program, which then removes everything.
    command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0).kill_on_drop(true);
    let mut unshare = command.spawn().map_err(|error| format!("unshare: {error}"))?;
    let Some(init) = init_of(&mut unshare).await else {
        let log = fs::read_to_string(&log).unwrap_or_default();
        let message = last_line(&log).unwrap_or("it failed without a message");
        return Err(format!("unshare: {}", message.trim_start_matches("unshare: ")));
    };
    let exit = ExitWatch::of_process(unshare);
    Ok(Pod { name: name.to_owned(), address, process: PodProcess::Namespace { init, log }, exit })
}

/// The pid of the namespace's init in our own namespace. None if `unshare` ended first.
async fn init_of(unshare: &mut Child) -> Option<Pid> {
    let parent = unshare.id()?;
    let file = format!("/proc/{parent}/task/{parent}/children");
    loop {
        let children = fs::read_to_string(&file).unwrap_or_default();
        if let Some(pid) = children.split_ascii_whitespace().next().and_then(|pid| pid.parse().ok()) {
            return Some(Pid::from_raw(pid));
        }
        if !matches!(unshare.try_wait(), Ok(None)) {
            return None;
        }
        sleep(Duration::from_millis(2)).await;
    }
}

pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
