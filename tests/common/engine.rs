//! A dockerd or a podman for a single test, with an init of our choice and the settings that a user would write.
//!
//! Each runs in namespaces of its own. Its processes, mounts and network interfaces disappear with the PID 1 of these; a
//! directory without mounts and empty control groups remain, and are removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{io, thread};

use tempfile::TempDir;

use super::docker::{Engine, have_engine, new_name};
use super::namespace::{enter_network, lift_loopback};
use super::{Running, eventually, have, have_program, in_path, is_root, pid_one_behind, softstop, state};

/// The namespaces in which an engine runs.
struct Sandbox {
    running: Option<Running>,
    /// The pid of their PID 1 in our namespace.
    pid: i32,
    #[expect(dead_code, reason = "dropping it removes the directory")]
    home: TempDir,
    /// The control group of its containers.
    group: String,
}

impl Sandbox {
    /// Starts softstop as PID 1, which reaps what an engine leaves behind, with this command. The `hidden` directories are empty
    /// inside.
    #[track_caller]
    fn start(home: TempDir, words: &[&str], hidden: &[&str], group: String) -> Self {
        // Everything must end with the test, even if the test is killed.
        let through = ["setpriv", "--pdeathsig=KILL", "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"];
        let mut script: Vec<String> = hidden.iter().map(|place| format!("mount -t tmpfs tmpfs {place}")).collect();
        script.push("exec \"$@\"".to_owned());
        let script = script.join(" && ");
        let inside = ["--mount-proc", "sh", "-c", &script, "sh"];
        let running = softstop(words).through(through.iter().chain(&inside)).start();
        let pid = pid_one_behind(running.pid);
        let sandbox = Self { running: Some(running), pid, home, group };
        let network = sandbox.network();
        let lifts = move || enter_network(&network).map(|()| lift_loopback());
        thread::spawn(lifts).join().unwrap().unwrap();
        sandbox
    }

    fn is_running(&self) -> bool {
        self.running.as_ref().is_some_and(Running::is_running)
    }

    /// Their network namespace.
    fn network(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.pid).into()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(self.running.take());
        // unshare has ended, but its PID 1 may still be ending. No assertion: a failed test must not panic a second time.
        let began = Instant::now();
        while state(self.pid).is_some_and(|state| state != 'Z') && began.elapsed() < Duration::from_secs(5) {
            thread::sleep(Duration::from_millis(5));
        }
        remove_groups(&self.group);
    }
}

/// [`have`] for everything that an engine for a single test needs, whose program this is.
#[track_caller]
fn have_sandbox(program: &str) -> bool {
    have("root, to start an engine for this test", is_root()) && have_program(program) && have_program("setpriv")
}

/// [`have`] for everything that a [`Dockerd`] needs.
#[track_caller]
pub fn have_dockerd() -> bool {
    have_engine() && have_sandbox("dockerd")
}

/// [`have`] for everything that a [`Podman`] needs.
#[track_caller]
pub fn have_podman() -> bool {
    have_engine() && have_sandbox("podman")
}

/// A Docker engine whose `daemon.json` names an init.
pub struct Dockerd {
    pub engine: Engine,
    sandbox: Sandbox,
}

impl Dockerd {
    /// With this `init-path`. `is_default` is the setting `init`: whether every container uses it.
    #[track_caller]
    pub fn start(init_path: &Path, is_default: bool) -> Self {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
        let (socket, file) = (format!("unix://{}", at("socket")), at("daemon.json"));
        let group = new_name();
        // vfs and cgroupfs are slow, but need nothing from this machine.
        let settings = format!(
            r#"{{
                "init-path": "{}",
                "init": {is_default},
                "hosts": ["{socket}"],
                "data-root": "{}",
                "exec-root": "{}",
                "pidfile": "{}",
                "storage-driver": "vfs",
                "exec-opts": ["native.cgroupdriver=cgroupfs"],
                "cgroup-parent": "/{group}",
                "iptables": false,
                "ip6tables": false
            }}"#,
            init_path.display(),
            at("data"),
            at("exec"),
            at("pid"),
        );
        fs::write(&file, settings).unwrap();
        let dockerd = in_path("dockerd").unwrap();
        let sandbox = Sandbox::start(home, &["--", dockerd.to_str().unwrap(), "--config-file", &file], &[], group);
        let client = ["docker", "--host", &socket].map(str::to_owned).to_vec();
        let network = Some(sandbox.network());
        let engine = Engine { client, network, ..Engine::default() };
        let dockerd = Self { engine, sandbox };
        eventually("dockerd answers", || {
            assert!(dockerd.sandbox.is_running(), "dockerd has ended: {:?}", dockerd.log());
            dockerd.engine.run(["version"]).status.success().then_some(())
        });
        dockerd
    }

    /// The log of the daemon so far.
    pub fn log(&self) -> Vec<String> {
        self.sandbox.running.as_ref().unwrap().stderr.all()
    }

    /// Its address, for `DOCKER_HOST`.
    pub fn host(&self) -> &str {
        &self.engine.client[2]
    }
}

/// podman, with a `containers.conf` of its own.
pub struct Podman {
    pub engine: Engine,
    sandbox: Sandbox,
}

impl Podman {
    /// With these lines in the sections `[containers]` and `[engine]`.
    #[track_caller]
    pub fn start(containers: &str, engine: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
        let (settings, storage) = (at("containers.conf"), at("storage.conf"));
        // Without the journal and systemd, which podman would use if they are there; with Docker's runtime, which supports all
        // versions of control groups.
        let runtime = if in_path("runc").is_some() { "runtime = \"runc\"" } else { "" };
        let lines = format!(
            "[containers]\nlog_driver = \"k8s-file\"\n{containers}\n[engine]\ncgroup_manager = \"cgroupfs\"\n\
             events_logger = \"file\"\ntmp_dir = \"{}\"\n{runtime}\n{engine}\n",
            at("tmp")
        );
        fs::write(&settings, lines).unwrap();
        let lines =
            format!("[storage]\ndriver = \"vfs\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n", at("data"), at("run"));
        fs::write(&storage, lines).unwrap();
        let group = new_name();
        let options = vec![format!("--cgroup-parent=/{group}")];
        // What all podmans of a machine share: locks, names of networks, a cache.
        let shared = ["/dev/shm", "/run", "/var/lib"];
        let sandbox = Sandbox::start(home, &["--", "sleep", "infinity"], &shared, group);
        let pid = sandbox.pid.to_string();
        let settings = [format!("CONTAINERS_CONF={settings}"), format!("CONTAINERS_STORAGE_CONF={storage}")];
        let words =
            ["nsenter", "--target", &pid, "--mount", "--net", "--pid", "env", &settings[0], &settings[1], "podman"];
        let client = words.map(str::to_owned).to_vec();
        let engine = Engine { client, options, network: Some(sandbox.network()), follows_to_the_end: false };
        Self { engine, sandbox }
    }

    /// The content of the program that runs with this pid in podman's namespace.
    pub fn program(&self, pid: &str) -> Vec<u8> {
        let pid_of_namespaces = self.sandbox.pid.to_string();
        let mut command = Command::new("nsenter");
        command.args(["--target", &pid_of_namespaces, "--mount", "--pid", "cat", &format!("/proc/{pid}/exe")]);
        command.output().unwrap().stdout
    }
}

/// Removes the control groups of this name in every hierarchy, with those inside them.
fn remove_groups(name: &str) {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    for group in hierarchies.chain([root.to_owned()]).map(|hierarchy| hierarchy.join(name)) {
        // A group whose last process has just ended can still be busy for a moment.
        let began = Instant::now();
        while group.is_dir() && began.elapsed() < Duration::from_secs(5) && remove_group(&group).is_err() {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn remove_group(group: &Path) -> io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_group(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}
