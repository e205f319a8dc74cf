//! Which softstop is rehearsed: the one that was named, the one that cargo builds now, or an installed one.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::failure::Failure;
use crate::programs;

pub(crate) async fn find(asked: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(file) = asked {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        return if programs::is_executable(&file) {
            Ok(file)
        } else {
            Err(Failure::usage(format!("--softstop {}: there is no program of that name", file.display())))
        };
    }
    // Under `cargo run` the user wants the current sources, not the result of an earlier build.
    if let Some(cargo) = std::env::var_os("CARGO").filter(|_| std::env::var_os("CARGO_MANIFEST_DIR").is_some()) {
        return build(Path::new(&cargo)).await;
    }
    let neighbour = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.join("softstop")));
    let found = neighbour.filter(|file| programs::is_executable(file)).or_else(|| programs::find("softstop"));
    found.ok_or_else(|| {
        Failure::not_measured(
            "found no softstop, neither beside this program nor on PATH: name it with --softstop FILE, or leave it out with \
             --contender bare,prestop",
        )
    })
}

/// Builds softstop as it ships. Cargo's messages tell where the binary is.
async fn build(cargo: &Path) -> Result<PathBuf, Failure> {
    let failed = |why: String| Failure::not_measured(format!("softstop could not be built: {why}"));
    // The manifest of this package, which is in one workspace with that of softstop.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default().join("Cargo.toml");
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "-p", "softstop", "--message-format=json-render-diagnostics"]);
    command.arg("--manifest-path").arg(manifest).stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    let output =
        command.stdout(Stdio::piped()).spawn().map_err(|error| failed(error.to_string()))?.wait_with_output().await;
    let output = output.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed("see cargo's message above".to_owned()));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut programs = artifacts.filter_map(|message| message.get("executable")?.as_str().map(PathBuf::from));
    programs.next_back().ok_or_else(|| failed("cargo does not say where it is".to_owned()))
}
