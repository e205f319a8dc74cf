//! The main child exits by itself, without a stop request: the last lines of its output arrive, and the log names whom the end
//! of the container is about to kill.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test panics when it fails; unlike the init it may read the clock and wait for its children"
)]

use common::nginx::Nginx;
use common::*;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// A filter whose last line is lost unless it has a moment.
const SLOW_FILTER: &str = "exec > >(sleep 0.3; exec cat >log); echo one; echo the last line; exit 5";
/// A common line in scripts. The shell does not wait for tee.
const TEE: &str = "exec > >(tee log); echo one; echo the last line; exit 5";
const LINES: &str = "one\nthe last line\n";

/// How many runs must not lose the last line.
const RUNS: usize = 200;

/// Leaves a process, which has become `sleep` by then.
const LEAVES: &str = "sleep 1000 >/dev/null 2>&1 & until grep -q sleep /proc/$!/comm; do :; done";

fn log(directory: &Path) -> String {
    fs::read_to_string(directory.join("log")).unwrap_or_default()
}

/// Runs the script often. All its lines must be in the file and on stdout each time.
#[track_caller]
fn loses_nothing(options: &[&str]) {
    let lost: Vec<Outcome> = (0..RUNS)
        .filter_map(|_| {
            let directory = tempfile::tempdir().unwrap();
            let run = softstop(options.iter().copied().chain(["bash", "-c", TEE]));
            let outcome = run.directory(directory.path()).pid_one().run();
            outcome.code(5);
            (outcome.stdout != LINES || log(directory.path()) != LINES).then_some(outcome)
        })
        .collect();
    assert!(lost.is_empty(), "lost in {} of {RUNS} runs, for example {:?}", lost.len(), lost[0]);
}

// The last lines.

#[test]
fn the_last_line_through_tee_arrives_in_each_of_200_runs() {
    if have_program("bash") {
        loses_nothing(&[]);
    }
}

#[test]
fn with_wait_for_all_too_the_last_line_through_tee_arrives_in_each_of_200_runs() {
    if have_program("bash") {
        loses_nothing(&["--wait-for", "all"]);
    }
}

#[test]
fn a_filter_that_is_slow_has_a_moment_for_the_last_line() {
    if !have_program("bash") {
        return;
    }
    for options in [&[][..], &["--wait-for", "all"]] {
        let directory = tempfile::tempdir().unwrap();
        let run = softstop(options.iter().copied().chain(["bash", "-c", SLOW_FILTER]));
        run.directory(directory.path()).pid_one().run().code(5);
        assert_eq!(log(directory.path()), LINES, "{options:?}");
    }
}

/// The control: tini exits at once, and the kernel kills the filter.
#[test]
fn under_tini_a_filter_that_is_slow_loses_the_last_line() {
    if !have_program("bash") || !have_program("tini") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let run = program("tini", ["--", "bash", "-c", SLOW_FILTER]);
    run.directory(directory.path()).pid_one().run().code(5);
    assert_eq!(log(directory.path()), "");
}

#[test]
fn a_filter_that_does_not_end_delays_the_exit_by_a_moment_only() {
    if !have_program("bash") {
        return;
    }
    let start = Instant::now();
    let script = "exec > >(exec sleep 1000); until grep -q sleep /proc/$!/comm; do :; done; exit 5";
    let outcome = softstop(["bash", "-c", script]).pid_one().run();
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    outcome.code(5).logged("bash (pid 2) exited and left sleep (pid 3)");
}

#[test]
fn a_process_that_reads_our_own_stdin_is_no_filter() {
    // In a container with `-i` every process has the same pipe. There is nothing to wait for.
    let (stdin, _keyboard) = pipe();
    let script = format!("exec 3<&0; {}; exit 3", LEAVES.replacen("sleep 1000", "sleep 1000 <&3", 1));
    let run = softstop(["-vvv", "sh", "-c", &script]).stdin(stdin).pid_one().start();
    run.logs("exited with code 3");
    let exited = Instant::now();
    run.wait().code(3).logged("left sleep (pid 3)");
    assert!(exited.elapsed() < Duration::from_millis(900), "{:?}", exited.elapsed());
}

// The log.

#[test]
fn the_log_names_whom_the_main_child_leaves() {
    let outcome = softstop(["sh", "-c", &format!("{LEAVES}; exit 3")]).pid_one().run();
    outcome.code(3);
    assert_eq!(outcome.stderr, "softstop: warning: sh (pid 2) exited and left sleep (pid 3)\n");
}

/// The control: nobody is left.
#[test]
fn nothing_is_logged_if_the_main_child_leaves_nobody() {
    for script in ["exit 3", "sleep 0.01 & wait; exit 3", "sleep 1000 & kill -KILL $!; wait; exit 3"] {
        let outcome = softstop(["sh", "-c", script]).pid_one().run();
        outcome.code(3);
        assert_eq!(outcome.stderr, "", "{script}");
    }
}

#[test]
fn nginx_that_becomes_a_daemon_at_once_is_told_to_stay_in_the_foreground() {
    if !have_program("nginx") {
        return;
    }
    let nginx = Nginx::with("daemon on;");
    let outcome = softstop(nginx.command()).pid_one().run();
    outcome.code(0).logged("nginx (pid 2) exited and left nginx (pid ");
    outcome.logged("a server must stay in the foreground (for example `daemon off;` of nginx)");
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
}

#[test]
fn there_is_no_hint_for_a_program_that_failed_or_ran_for_a_while() {
    // The control: neither has become a daemon.
    thread::scope(|scope| {
        for end in ["exit 3", "sleep 1.5; exit 0"] {
            scope.spawn(move || {
                let outcome = softstop(["sh", "-c", &format!("{LEAVES}; {end}")]).pid_one().run();
                outcome.logged("sh (pid 2) exited and left sleep (pid 3)").not_logged("foreground");
            });
        }
    });
}

#[test]
fn many_processes_are_counted_and_not_all_named() {
    let script = "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1000 >/dev/null 2>&1 & done; \
                  for i in 3 4 5 6 7 8 9 10 11 12; do until grep -q sleep /proc/$i/comm; do :; done; done; exit 3";
    let outcome = softstop(["sh", "-c", script]).pid_one().run();
    outcome.code(3).logged("sh (pid 2) exited and left sleep (pid 3), sleep (pid 4), ").logged(" and 2 more\n");
    assert_eq!(outcome.stderr.matches("sleep (pid ").count(), 8, "{outcome:?}");
}

// The original's behaviour.

#[test]
fn by_another_inits_name_nothing_is_logged_and_nobody_waits_for_filters() {
    if !have_program("bash") {
        return;
    }
    for name in OTHER_NAMES {
        let outcome = program(called(name), ["sh", "-c", &format!("{LEAVES}; exit 3")]).pid_one().run();
        outcome.code(3);
        assert_eq!(outcome.stderr, "", "{name}");
        let directory = tempfile::tempdir().unwrap();
        program(called(name), ["bash", "-c", SLOW_FILTER]).directory(directory.path()).pid_one().run().code(5);
        assert_eq!(log(directory.path()), "", "{name}");
    }
}

/// The control: a setting of ours turns the soft stop on under that name.
#[test]
fn by_another_inits_name_with_a_setting_of_ours_the_log_names_whom_the_main_child_leaves() {
    let run = program(called("tini"), ["sh", "-c", &format!("{LEAVES}; exit 3")]).env("SOFTSTOP_PRE_DELAY", "0s");
    run.pid_one().run().code(3).logged("exited and left sleep (pid 3)");
}

#[test]
fn with_softstop_disabled_nothing_is_logged_and_nobody_waits_for_filters() {
    if !have_program("bash") {
        return;
    }
    let disabled = |words: [&str; 3]| softstop(words).env("SOFTSTOP_DISABLED", "1").pid_one();
    let outcome = disabled(["sh", "-c", &format!("{LEAVES}; exit 3")]).run();
    outcome.code(3);
    assert_eq!(outcome.stderr, "");
    let directory = tempfile::tempdir().unwrap();
    disabled(["bash", "-c", SLOW_FILTER]).directory(directory.path()).run().code(5);
    assert_eq!(log(directory.path()), "");
}
