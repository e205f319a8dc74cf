//! No stop request is lost, however early it comes.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test panics when it fails; unlike the init it may read the clock and wait for its children"
)]

use common::*;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// The binary under test.
const SOFTSTOP: &str = env!("CARGO_BIN_EXE_softstop");

const RUNS: u64 = 300;

/// Times from 0 to 4 ms, evenly distributed in no order: multiples of the golden ratio.
fn moments() -> impl Iterator<Item = Duration> {
    let mut fraction = 0.5_f64;
    (0..RUNS).map(move |_| {
        fraction = (fraction + 0.618_033_988_749_895).fract();
        Duration::from_secs_f64(fraction * 0.004)
    })
}

/// Starts a plain program for each of the moments, sends SIGTERM at that moment, and expects the program to end.
fn storm(options: &[&str], is_pid_one: bool) {
    storm_of(Path::new(SOFTSTOP), options, is_pid_one, moments());
}

fn storm_of(init: &Path, options: &[&str], is_pid_one: bool, moments: impl Iterator<Item = Duration>) {
    for (index, moment) in moments.enumerate() {
        let command: Vec<&str> = options.iter().copied().chain(["sleep", "1000"]).collect();
        let run = program(init, command);
        let run = if is_pid_one { run.pid_one().start() } else { run.start() };
        // Before softstop blocks signals, the kernel discards a SIGTERM to PID 1, and lets it kill any other process.
        run.listens();
        let listening = Instant::now();
        while listening.elapsed() < moment {
            thread::yield_now();
        }
        run.signal(15);
        let outcome = run.wait();
        assert_eq!(outcome.code, 143, "run {index}, after {moment:?}: {outcome:?}");
    }
}

#[test]
fn a_sigterm_in_the_first_4_ms_ends_pid_1_and_its_child() {
    storm(&[], true);
}

#[test]
fn a_sigterm_in_the_first_4_ms_ends_pid_1_and_its_group() {
    storm(&["-g"], true);
}

#[test]
fn a_sigterm_in_the_first_4_ms_ends_a_wrapper_and_its_child() {
    storm(&[], false);
}

#[test]
fn a_sigterm_in_the_first_4_ms_ends_a_wrapper_and_its_group() {
    storm(&["-g"], false);
}

#[test]
fn a_sigterm_in_the_first_4_ms_is_not_lost_under_the_name_of_an_init_that_loses_some() {
    // The real tini -g, dumb-init in both modes and catatonit -g each lose one SIGTERM in 30 to 50.
    for (name, options) in
        [("tini", &["-s", "-g"][..]), ("dumb-init", &[]), ("dumb-init", &["-c"]), ("catatonit", &["-g"])]
    {
        for is_pid_one in [true, false] {
            storm_of(&called(name), options, is_pid_one, moments().take(60));
        }
    }
}

#[test]
fn a_sigterm_before_signals_are_blocked_leaves_no_child_behind() {
    // At no moment may the wrapper be dead and its child alive.
    let marker = format!("1000.{}", std::process::id());
    for moment in moments() {
        let run = softstop(["sleep", &marker]).start();
        thread::sleep(moment);
        run.signal(15);
        run.wait().code(143);
    }
    assert!(!is_running(&marker));
    // The control: a child that is alive is found.
    let run = softstop(["sleep", &marker]).start();
    eventually("the marked process", || is_running(&marker).then_some(()));
    run.signal(15);
    run.wait().code(143);
}

/// Whether a `sleep` with this argument runs.
fn is_running(word: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.into_iter().any(|line| line == format!("sleep\0{word}\0").as_bytes())
}

#[test]
fn a_signal_that_is_not_a_stop_request_is_not_lost_either() {
    // The recorder first blocks all signals. Before that SIGUSR1 kills it, which gives another exit code.
    for (index, moment) in moments().take(100).enumerate() {
        let run = softstop(recorder_until(&["10=42"])).pid_one().start();
        run.listens();
        thread::sleep(moment);
        run.signal(10);
        let code = run.wait().code;
        assert!([42, 138].contains(&code), "run {index}, after {moment:?}: {code}");
    }
}
