//! Every orphan is reaped, and a flood of orphans does not delay a stop.
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
use std::time::{Duration, Instant};

fn flood(argument: &str) -> [String; 2] {
    [fixture("flood").to_str().unwrap().to_owned(), argument.to_owned()]
}

#[test]
fn twenty_thousand_orphans_leave_no_zombie() {
    let run = softstop(flood("20000")).pid_one().start();
    run.says("flooded");
    eventually("the main child is alone", || (run.children().len() == 1).then_some(()));
    run.signal(15);
    run.wait().code(143);
}

#[test]
fn twenty_thousand_orphans_of_a_wrapper_leave_no_zombie() {
    let run = softstop(flood("20000")).start();
    run.says("flooded");
    eventually("the main child is alone", || (run.children().len() == 1).then_some(()));
    run.signal(15);
    run.wait().code(143);
}

#[test]
fn sleep_as_pid_1_leaves_zombies() {
    // The negative control. (`sh` as PID 1 reaps orphans itself and would prove nothing.)
    let script = format!("{} 200 & exec sleep 1000", flood("").first().unwrap());
    let run = program("sh", ["-c", &script]).pid_one().start();
    run.says("flooded");
    // The fixture reaps its middle processes. The 200 orphans are left to PID 1.
    eventually("zombies", || (run.zombies() == 200).then_some(()));
}

#[test]
fn a_stop_ends_in_time_during_a_flood_of_orphans() {
    let options = ["--pre-delay", "300ms", "--drain-timeout", "700ms"];
    let script = format!("trap '' TERM; {} forever & wait; wait", flood("").first().unwrap());
    let run = softstop(words(options, &["sh".into(), "-c".into(), script])).pid_one().start();
    run.says("flooding");
    let start = Instant::now();
    run.signal(15);
    run.wait().code(137).logged("drain timeout");
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(1), "it took {took:?}");
    // Without a bound on reaping in one go, the stop would never end. The flood itself makes the machine slow.
    assert!(took < DEAD_MAN / 2, "it took {took:?}");
}

#[test]
fn signals_reach_the_child_during_a_flood_of_orphans() {
    let script = format!("{} forever & exec {} --exit-on 15=3", flood("").first().unwrap(), recorder().display());
    let run = softstop(["sh", "-c", &script]).pid_one().start();
    run.says("flooding");
    run.says("ready");
    for signal in [1, 10, 12, 37] {
        run.signal(signal);
        run.says(&format!("got {signal}"));
    }
    run.signal(15);
    run.wait().code(3);
}

/// A program that leaves a running orphan and prints its pid.
const LEAVES_AN_ORPHAN: &str = "(sleep 1000 & echo orphan $!) ; echo ready; exec sleep 1000";

fn orphan_of(run: &Running) -> Stray {
    let orphan = run.says("orphan");
    run.says("ready");
    Stray(orphan.split(' ').nth(1).unwrap().parse().unwrap())
}

fn parent(pid: i32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_wrapper_adopts_orphans_by_itself() {
    let run = softstop(["sh", "-c", LEAVES_AN_ORPHAN]).start();
    let orphan = orphan_of(&run);
    assert_eq!(parent(orphan.0), run.pid);
    send(orphan.0, libc::SIGKILL);
    eventually("the orphan is reaped", || state(orphan.0).is_none().then_some(()));
}

#[test]
fn tini_without_s_does_not_adopt_orphans() {
    // The negative control: without PR_SET_CHILD_SUBREAPER another process adopts the orphan.
    if !have_program("tini") {
        return;
    }
    let run = program("tini", ["--", "sh", "-c", LEAVES_AN_ORPHAN]).start();
    let orphan = orphan_of(&run);
    assert_ne!(parent(orphan.0), run.pid);
}

#[test]
fn with_w_only_a_reaped_orphan_is_logged() {
    // With `--wait-for all` softstop runs until the orphan is reaped too.
    let script = "(sleep 0.2 &) ; exit 0";
    let outcome = softstop(["-w", "--wait-for", "all", "sh", "-c", script]).pid_one().run();
    outcome.code(0).logged("reaped orphan with pid");
    softstop(["--wait-for", "all", "sh", "-c", script]).pid_one().run().code(0).not_logged("reaped");
}
