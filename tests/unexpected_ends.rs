//! An end that nobody asked for is explained in one line: a signal that was not sent through softstop, and a program that cannot
//! be run.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test panics when it fails; unlike the init it may read the clock and wait for its children"
)]

use common::*;

use std::fs;
use std::path::{Path, PathBuf};

use libc::{SIGABRT, SIGBUS, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGSEGV, SIGTERM, SIGUSR1};

fn kills_itself(signal: i32) -> [String; 3] {
    ["sh".into(), "-c".into(), format!("kill -{signal} $$")]
}

/// A recorder that nothing ends but SIGKILL.
fn stubborn() -> Vec<String> {
    recorder_until(&["99=0"])
}

// Signals.

#[test]
fn a_signal_that_nobody_sent_through_softstop_is_named() {
    for (signal, name) in [
        (SIGSEGV, "SIGSEGV"),
        (SIGKILL, "SIGKILL"),
        (SIGABRT, "SIGABRT"),
        (SIGBUS, "SIGBUS"),
        (SIGTERM, "SIGTERM"),
        // Without a terminal nobody types Ctrl-C.
        (SIGINT, "SIGINT"),
        (SIGQUIT, "SIGQUIT"),
        (SIGHUP, "SIGHUP"),
    ] {
        let outcome = softstop(kills_itself(signal)).pid_one().run();
        outcome.code(128 + signal);
        let line = format!("softstop: warning: sh (pid 2) was killed by {name}, which softstop did not send\n");
        assert_eq!(outcome.stderr, line);
    }
}

/// The control: nothing is to be explained.
#[test]
fn an_exit_code_is_not_explained() {
    for code in ["0", "1", "137", "139"] {
        let outcome = softstop(["sh", "-c", &format!("exit {code}")]).pid_one().run();
        assert_eq!(outcome.stderr, "", "{code}");
    }
}

#[test]
fn a_signal_that_was_passed_on_is_not_explained() {
    for signal in [SIGHUP, SIGINT, SIGUSR1] {
        let run = softstop(["sh", "-c", "echo ready; exec sleep 1000"]).pid_one().start();
        run.says("ready");
        run.signal(signal);
        let outcome = run.wait();
        outcome.code(128 + signal);
        assert_eq!(outcome.stderr, "", "{signal}");
    }
}

#[test]
fn neither_the_stop_signal_nor_a_sigkill_of_softstops_is_explained() {
    let run = softstop(["sh", "-c", "echo ready; exec sleep 1000"]).pid_one().start();
    run.says("ready");
    run.signal(SIGTERM);
    run.wait().code(143).not_logged("did not send");
    let run = softstop(words(["--drain-timeout", "100ms"], &stubborn())).pid_one().start();
    run.says("ready");
    run.signal(SIGTERM);
    run.wait().code(137).logged("SIGKILL to every remaining process").not_logged("did not send");
}

#[test]
fn a_sigkill_from_elsewhere_is_named_during_a_stop_too() {
    let run = softstop(stubborn()).pid_one().start();
    run.says("ready");
    killed_in_the_stop(run).logged("recorder (pid 2) was killed by SIGKILL, which softstop did not send");
}

#[test]
fn at_a_terminal_its_signals_are_not_explained_and_others_are() {
    for (signal, is_named) in [(SIGINT, false), (SIGQUIT, false), (SIGHUP, false), (SIGSEGV, true), (SIGKILL, true)] {
        let mut terminal = Terminal::start(&mut softstop(kills_itself(signal)).pid_one().command());
        assert_eq!(terminal.ends(), 128 + signal);
        let text = terminal.text_to_the_end();
        assert_eq!(text.contains("which softstop did not send"), is_named, "{signal}: {text:?}");
    }
}

#[test]
fn ctrl_c_is_not_explained() {
    let run = softstop(["sh", "-c", "echo ready; exec sleep 1000"]).pid_one();
    let mut terminal = Terminal::start(&mut run.command());
    terminal.shows("ready");
    let init = pid_one_behind(terminal.pid);
    let child = eventually("softstop has a child", || children(init).first().copied());
    eventually("sleep runs", || has_name(child, "sleep").then_some(()));
    terminal.types("\x03");
    assert_eq!(terminal.ends(), 130);
    assert!(!terminal.text_to_the_end().contains("did not send"), "{:?}", terminal.text());
}

#[test]
fn by_another_inits_name_and_with_softstop_disabled_no_signal_is_explained() {
    for name in OTHER_NAMES {
        program(called(name), kills_itself(SIGSEGV)).pid_one().run().code(139).not_logged("did not send");
    }
    let outcome = softstop(kills_itself(SIGSEGV)).env("SOFTSTOP_DISABLED", "1").pid_one().run();
    outcome.code(139);
    assert_eq!(outcome.stderr, "");
}

// Out of memory.

/// A memory cgroup (version 1) with a limit. It is removed when this is dropped.
struct MemoryCgroup(PathBuf);

impl MemoryCgroup {
    /// If none can be made the test is skipped.
    #[track_caller]
    fn new(limit: &str) -> Option<Self> {
        let ours = fs::read_to_string("/proc/self/cgroup").unwrap();
        let path = ours.lines().find_map(|line| line.split_once(":memory:")).map(|(_, path)| path);
        let name = format!("softstop-test-{}", std::process::id());
        let directory = path.map(|path| Path::new("/sys/fs/cgroup/memory").join(&path[1..]).join(name));
        let made = directory.filter(|directory| {
            fs::create_dir(directory).is_ok() && fs::write(directory.join("memory.limit_in_bytes"), limit).is_ok()
        });
        have("a memory cgroup of version 1 that a test may divide", made.is_some());
        made.map(Self)
    }

    /// Starts softstop in it.
    fn start(&self, run: Softstop) -> Softstop {
        let enter = format!("echo 0 >{}/cgroup.procs && exec \"$@\"", self.0.display());
        run.through(["sh", "-c", &enter, "sh"]).pid_one()
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        // It can be removed only once its last process is gone.
        eventually("the cgroup is empty", || fs::remove_dir(&self.0).ok());
    }
}

#[test]
fn an_out_of_memory_kill_is_given_as_the_likely_reason_of_a_sigkill() {
    let Some(cgroup) = MemoryCgroup::new("32M") else { return };
    // The control comes first: the kernel has killed nobody yet.
    let outcome = cgroup.start(softstop(kills_itself(SIGKILL))).run();
    outcome.code(137).logged("was killed by SIGKILL, which softstop did not send\n");
    // tail keeps the last line, which has no end.
    let outcome = cgroup.start(softstop(["tail", "/dev/zero"])).run();
    outcome.code(137).logged(
        "tail (pid 2) was killed by SIGKILL, which softstop did not send: out of memory? (the cgroup counts 1 out-of-memory kill)",
    );
    let outcome = cgroup.start(softstop(kills_itself(SIGSEGV))).run();
    outcome.code(139).not_logged("out of memory");
}

// Programs that cannot be run.

/// How softstop ends with a script that begins with this line.
fn script(first_line: &str) -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("script");
    install(&path, format!("{first_line}\nexit 7\n"));
    let mut outcome = softstop([&path]).pid_one().run();
    outcome.stderr = outcome.stderr.replace(path.to_str().unwrap(), "/script");
    outcome
}

#[test]
fn a_missing_interpreter_is_named() {
    for line in ["#!/nonexistent/interpreter", "#! /nonexistent/interpreter -e", "#!\t/nonexistent/interpreter\t-x y"] {
        let outcome = script(line);
        outcome.code(127);
        assert_eq!(
            outcome.stderr,
            "softstop: error: `/script` exists, but its interpreter does not: add `/nonexistent/interpreter` to the image\n",
            "{line:?}"
        );
    }
}

#[test]
fn a_carriage_return_behind_the_interpreter_is_named() {
    let outcome = script("#!/bin/sh\r");
    outcome.code(127);
    assert_eq!(
        outcome.stderr,
        "softstop: error: `/script` exists, but its interpreter does not: its first line ends in a carriage return after \
         `/bin/sh` (saved with Windows line ends?), so convert it, for example with dos2unix\n"
    );
}

/// The control: an interpreter that exists, with and without an argument.
#[test]
fn a_script_whose_interpreter_exists_runs() {
    for line in ["#!/bin/sh", "#! /bin/sh -e"] {
        let outcome = script(line);
        outcome.code(7);
        assert_eq!(outcome.stderr, "");
    }
}

#[test]
fn a_missing_dynamic_loader_is_not_taken_for_a_script() {
    let mut program = fs::read(in_path("true").unwrap()).unwrap();
    let loader = b"/ld-linux";
    let found = program.windows(loader.len()).position(|bytes| bytes == loader);
    if !have("a `true` that is linked with glibc", found.is_some()) {
        return;
    }
    program[found.unwrap() + 1..][..2].copy_from_slice(b"no");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("program");
    install(&path, program);
    softstop([&path]).run().code(127).logged("its interpreter does not: add its dynamic loader to the image");
}
