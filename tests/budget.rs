//! What the static binary costs in every container, compared with the inits that it replaces.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test panics when it fails; it measures times and prints them"
)]

use common::docker::{have_engine, static_softstop};
use common::*;

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Each init from Debian's packages, with the options that it needs before a command when it is not PID 1.
const PEERS: [&[&str]; 4] = [&["tini-static", "-s", "--"], &["tini", "-s", "--"], &["dumb-init"], &["catatonit", "--"]];

fn have_peers() -> bool {
    have_engine() && ["tini-static", "tini", "dumb-init", "catatonit"].iter().all(|peer| have_program(peer))
}

fn words<'a>(init: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
    [init, command].concat()
}

#[test]
fn the_static_binary_is_below_1_mib() {
    if !have_engine() {
        return;
    }
    let size = fs::metadata(static_softstop()).unwrap().len();
    println!("{size} bytes");
    assert!(size < 1024 * 1024, "{size} bytes");
}

/// The crates that a build with these options depends on.
fn crates(options: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO"));
    command.args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"]).args(options);
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_init_depends_on_none_of_the_crates_of_the_rehearsal() {
    let of_the_rehearsal = ["hyper", "resvg", "rustls", "serde_json", "tokio"];
    let has = |tree: &str, name: &str| tree.lines().any(|line| line.split(' ').next() == Some(name));
    let (init, rehearsal) = (crates(&["-p", "softstop"]), crates(&["-p", "softstop-rehearse"]));
    for name in of_the_rehearsal {
        assert!(has(&rehearsal, name), "the rehearsal does not depend on {name} either");
        assert!(!has(&init, name), "{name} reaches the init:\n{init}");
    }
}

/// The anonymous memory of an idle init in kB. This is what each container adds: file pages are shared.
fn anonymous(init: &[&str]) -> u64 {
    let words = words(init, &["sleep", "1000"]);
    let run = program(words[0], &words[1..]).start();
    // Its start is complete when its child runs and it sleeps.
    eventually("the init sleeps", || {
        let child = run.children().into_iter().next()?;
        (has_name(child, "sleep") && state(run.pid) == Some('S')).then_some(())
    });
    let memory = fs::read_to_string(format!("/proc/{}/smaps_rollup", run.pid)).unwrap();
    let line = memory.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap().trim().trim_end_matches(" kB");
    line.parse().unwrap()
}

#[test]
fn an_idle_softstop_has_no_more_anonymous_memory_than_any_peer() {
    if !have_peers() {
        return;
    }
    // The least of three, since the stack begins at a random address and memory is counted in pages.
    let least = |init: &[&str]| (0..3).map(|_| anonymous(init)).min().unwrap();
    let ours = least(&[static_softstop().to_str().unwrap()]);
    println!("softstop {ours} kB");
    for peer in PEERS {
        let theirs = least(peer);
        println!("{} {theirs} kB", peer[0]);
        assert!(ours <= theirs, "softstop {ours} kB, {} {theirs} kB", peer[0]);
    }
}

/// The time from the start of an init to the exit of a command that does nothing.
fn start(init: &[&str]) -> Duration {
    let words = words(init, &["true"]);
    let start = Instant::now();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).env_remove("SOFTSTOP_REQUIRE_ALL");
    assert!(command.status().unwrap().success());
    start.elapsed()
}

#[test]
fn softstop_starts_about_as_fast_as_its_peers() {
    if !have_peers() {
        return;
    }
    let softstop = static_softstop().to_str().unwrap();
    let inits = PEERS;
    let (mut ours, mut theirs) = (Vec::new(), vec![Vec::new(); inits.len()]);
    // In turn, so that other load on the machine slows down all alike.
    for _ in 0..300 {
        ours.push(start(&[softstop]));
        for (times, init) in theirs.iter_mut().zip(&inits) {
            times.push(start(init));
        }
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    let ours = median(&mut ours);
    println!("softstop {ours:?}");
    let slowest = inits.iter().zip(&mut theirs).map(|(init, times)| {
        let theirs = median(times);
        println!("{} {theirs:?}", init[0]);
        theirs
    });
    let slowest = slowest.max().unwrap();
    let ratio = ours.as_secs_f64() / slowest.as_secs_f64();
    assert!(ratio < 1.25, "softstop {ours:?}, the slowest peer {slowest:?}");
}
