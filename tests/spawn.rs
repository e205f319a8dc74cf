//! A program is found and started as execvp(3) does, and signals are heard before its execve(2) has succeeded.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it is wrong"
)]

use common::*;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use libc::SIGTERM;
use tempfile::TempDir;

/// Directories for PATH, with files in them.
struct Directories(TempDir);

impl Directories {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// Writes a file `DIRECTORY/x` with this mode.
    fn file(self, directory: &str, text: impl AsRef<[u8]>, mode: u32) -> Self {
        fs::create_dir_all(self.at(directory)).unwrap();
        let file = self.at(directory).join("x");
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    /// `softstop x ARGUMENTS` with these directories as PATH.
    fn run(&self, path: &[&str], arguments: &[&str]) -> Outcome {
        let path: Vec<PathBuf> = path.iter().map(|directory| self.at(directory)).collect();
        let words = ["x"].iter().chain(arguments);
        softstop(words).env("PATH", std::env::join_paths(path).unwrap()).run()
    }
}

#[test]
fn the_directories_of_path_are_searched_in_order() {
    let directories =
        Directories::new().file("two", "#!/bin/sh\necho two\n", 0o755).file("three", "#!/bin/sh\n", 0o755);
    assert_eq!(directories.run(&["missing", "two", "three"], &[]).code(0).stdout, "two\n");
    directories.run(&["missing"], &[]).code(127).logged("`x` was not found: check its name and PATH");
}

#[test]
fn an_entry_of_path_that_is_no_directory_is_passed_over() {
    let directories = Directories::new().file("two", "#!/bin/sh\necho two\n", 0o755).file("file", "", 0o755);
    assert_eq!(directories.run(&["file/x", "two"], &[]).code(0).stdout, "two\n");
    directories.run(&["file/x"], &[]).code(127);
}

#[test]
fn an_empty_entry_of_path_is_the_working_directory() {
    let directories = Directories::new().file("here", "#!/bin/sh\necho here\n", 0o755);
    let run = |path| softstop(["x"]).env("PATH", path).directory(directories.at("here")).run();
    for path in [":/nonexistent", "/nonexistent:", "/nonexistent::/nonexistent"] {
        assert_eq!(run(path).code(0).stdout, "here\n", "{path}");
    }
    run("/nonexistent").code(127);
}

#[test]
fn without_path_the_usual_directories_are_searched() {
    softstop(["sh", "-c", "exit 5"]).without("PATH").run().code(5);
}

#[test]
fn an_empty_name_is_not_found() {
    softstop([""]).run().code(127);
}

/// As execvp(3) does it: "text file without #!".
#[test]
fn a_script_without_an_interpreter_line_is_run_by_the_shell() {
    let directories = Directories::new().file("bin", "echo \"$0\" \"$@\"\n", 0o755);
    let script = directories.at("bin/x");
    let said = format!("{} one two\n", script.display());
    assert_eq!(directories.run(&["bin"], &["one", "two"]).code(0).stdout, said);
    assert_eq!(softstop([script.to_str().unwrap(), "one", "two"]).run().code(0).stdout, said);
}

#[test]
fn a_program_for_another_machine_is_not_run_by_the_shell() {
    let directories = Directories::new().file("bin", b"\x7fELF\0\0 exit 0\n", 0o755);
    let outcome = directories.run(&["bin"], &[]);
    outcome.code(126).logged("`x` cannot be run: it is neither a program for this machine nor a script");
}

#[test]
fn a_file_that_may_not_be_run_is_passed_over_and_remembered() {
    let directories =
        Directories::new().file("one", "#!/bin/sh\necho one\n", 0o644).file("two", "#!/bin/sh\necho two\n", 0o755);
    assert_eq!(directories.run(&["one", "two"], &[]).code(0).stdout, "two\n");
    directories.run(&["one", "missing"], &[]).code(126).logged("`x` cannot be run: Permission denied");
}

#[test]
fn a_directory_of_the_programs_name_is_passed_over_and_remembered() {
    let directories = Directories::new().file("two", "#!/bin/sh\necho two\n", 0o755);
    fs::create_dir_all(directories.at("one/x")).unwrap();
    assert_eq!(directories.run(&["one", "two"], &[]).code(0).stdout, "two\n");
    directories.run(&["one"], &[]).code(126);
}

#[test]
fn a_missing_interpreter_in_path_is_named_as_that() {
    let directories = Directories::new().file("one", "#!/nonexistent/interpreter\n", 0o755);
    directories.run(&["one"], &[]).code(127).logged("`x` exists, but its interpreter does not");
}

/// softstop under strace, which delays one system call of the child by 3 s. (softstop's own, if it makes it, as well.)
fn delayed(call: &str, options: &[&str], command: &[&str]) -> Option<Running> {
    if !have_program("strace") {
        return None;
    }
    let inject = format!("inject={call}:delay_enter=3000000");
    let strace = ["strace", "--quiet=all", "-f", "-o", "/dev/null", "-e", "trace=execve,access", "-e", &inject];
    let words: Vec<&str> = options.iter().chain(&["--"]).chain(command).copied().collect();
    Some(softstop(words).through(strace).start())
}

/// The child of softstop between fork and execve: it still has softstop's name.
fn child_before_execve(run: &Running) -> (i32, i32) {
    // strace has other children for a moment, with which it tries what the kernel can do.
    let grandchild = |&softstop: &i32| Some((softstop, *children(softstop).first()?));
    let (softstop, child) = eventually("softstop has a child", || children(run.pid).iter().find_map(grandchild));
    assert!(has_name(child, "softstop"));
    (softstop, child)
}

#[test]
fn a_stop_request_before_the_execve_ends_the_child_at_the_execve() {
    let Some(run) = delayed("execve", &["--pre-delay", "40s", "--grace-period", "50s"], &["sleep", "1000"]) else {
        return;
    };
    let (softstop, child) = child_before_execve(&run);
    send(softstop, SIGTERM);
    run.logs("stop requested: SIGTERM");
    assert!(Path::new(&format!("/proc/{child}")).exists(), "the execve is still to come");
    // At once, and not after the pre-delay: nobody serves yet.
    run.wait().code(143).not_logged("drain: ").logged("sleep was killed by SIGTERM");
}

/// A program that is started with SIGTERM ignored is not ended by it, so the plan goes on as usual.
#[test]
fn a_program_that_starts_during_its_stop_has_the_whole_plan() {
    if !have_program("strace") {
        return;
    }
    let strace =
        ["env", "--ignore-signal=TERM", "strace", "--quiet=all", "-f", "-o", "/dev/null", "-e", "trace=execve"];
    let inject = ["-e", "inject=execve:delay_enter=2000000"];
    let command = ["--pre-delay", "3s", "--stop-signal", "INT", "--", "sleep", "1000"];
    let run = softstop(command).through(strace.iter().chain(&inject)).start();
    let (softstop, _) = child_before_execve(&run);
    send(softstop, SIGTERM);
    run.wait().code(130).logged("pre-delay: sleep").logged("drain: sent SIGINT to sleep");
}

#[test]
fn the_clocks_of_a_stop_run_before_the_execve() {
    // The child cannot act on SIGTERM before its execve, 3 s later; SIGKILL comes first.
    let Some(run) = delayed("execve", &["--drain-timeout", "300ms"], &["sleep", "1000"]) else { return };
    let (softstop, _) = child_before_execve(&run);
    send(softstop, SIGTERM);
    run.wait().code(137).logged("drain timeout: still running after 300ms").logged("SIGKILL to 1 process");
}

#[test]
fn a_program_that_is_missing_leaves_with_127_during_a_stop_too() {
    let Some(run) = delayed("access", &["--pre-delay", "40s", "--grace-period", "50s"], &["/nonexistent/x"]) else {
        return;
    };
    let (softstop, _) = child_before_execve(&run);
    send(softstop, SIGTERM);
    run.logs("stop requested: SIGTERM");
    run.wait().code(127).logged("`/nonexistent/x` was not found");
}

#[test]
fn a_program_that_may_not_be_run_leaves_with_126_during_a_stop_too() {
    let Some(run) = delayed("access", &["--pre-delay", "40s", "--grace-period", "50s"], &["/etc/passwd"]) else {
        return;
    };
    let (softstop, _) = child_before_execve(&run);
    send(softstop, SIGTERM);
    run.logs("stop requested: SIGTERM");
    run.wait().code(126).logged("`/etc/passwd` cannot be run: Permission denied");
}

#[test]
fn a_pipe_that_cannot_be_made_is_125() {
    if !have_program("strace") {
        return;
    }
    let strace = ["strace", "--quiet=all", "-o", "/dev/null", "-e", "inject=pipe2:error=EMFILE"];
    let outcome = softstop(["true"]).through(strace).run();
    outcome.code(125).logged("cannot create a process for `true`: Too many open files");
}

#[test]
fn a_child_that_cannot_be_set_up_is_125() {
    if !have_program("strace") {
        return;
    }
    // The second of the two: softstop's own makes no difference.
    let strace = ["strace", "--quiet=all", "-f", "-o", "/dev/null", "-e", "inject=setpgid:error=EPERM"];
    let outcome = softstop(["true"]).through(strace).run();
    outcome.code(125).logged("cannot set up the process for `true`: Operation not permitted");
}

/// dumb-init's own test suite looks so.
#[test]
fn a_child_that_looks_at_once_finds_its_init_in_the_root_directory() {
    for name in ["dumb-init", "softstop"] {
        for round in 0..50 {
            let run = program(called(name), ["readlink", &format!("/proc/{}/cwd", "self")]).run();
            assert_ne!(run.code(0).stdout, "/\n", "the control: the child keeps its directory");
            let outcome = program(called(name), ["sh", "-c", "exec readlink /proc/$PPID/cwd"]).run();
            assert_eq!(outcome.code(0).stdout, "/\n", "{name}, run {round}");
        }
    }
}
