//! The real tini, dumb-init and catatonit, in the versions that softstop replaces.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::docker::{docker, docker_says};
use super::{have, in_path, target_tmpdir};

/// The name of each, and the beginning of its version line.
const VERSIONS: [(&str, &str); 4] = [
    ("tini", "tini version 0.19.0"),
    ("tini-static", "tini version 0.19.0"),
    ("dumb-init", "dumb-init v1.2.5"),
    ("catatonit", "tini version 0.2.1_catatonit"),
];

/// The real program of this name; [`have`] reports if it is missing.
#[track_caller]
pub fn peer(name: &str) -> Option<PathBuf> {
    let version = VERSIONS.iter().find(|(peer, _)| *peer == name).unwrap().1;
    let is_it = |program: &PathBuf| says_version(program).starts_with(version);
    let mut found = in_path(name).filter(is_it);
    if found.is_none() && name == "catatonit" {
        found = catatonit_of_debian_13().filter(is_it);
    }
    have(&format!("{name} ({version})"), found.is_some());
    found
}

fn says_version(program: &PathBuf) -> String {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The catatonit of Debian 12 is too old. That of Debian 13 is a static binary, and `tests/setup` gets its base image.
fn catatonit_of_debian_13() -> Option<PathBuf> {
    const IMAGE: &str = "debian:trixie-slim";
    static GOT: OnceLock<Option<PathBuf>> = OnceLock::new();
    GOT.get_or_init(|| {
        let directory = target_tmpdir();
        let program = directory.join("catatonit-of-debian-13");
        if program.exists() {
            return Some(program);
        }
        in_path("docker").filter(|_| docker(["image", "inspect", IMAGE]).status.success())?;
        let install = "apt-get update -q && apt-get install -qy --no-install-recommends catatonit";
        let container = docker_says(["create", "--pull=never", IMAGE, "sh", "-c", install]);
        // Renamed into place: another test may be using it.
        let temporary = tempfile::tempdir_in(&directory).unwrap();
        let copy = temporary.path().join("catatonit");
        let is_there = docker(["start", "--attach", &container]).status.success()
            && docker(["cp", &format!("{container}:/usr/bin/catatonit"), copy.to_str().unwrap()]).status.success();
        docker(["rm", "--force", &container]);
        if !is_there {
            return None;
        }
        fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).unwrap();
        fs::rename(&copy, &program).unwrap();
        Some(program)
    })
    .clone()
}
