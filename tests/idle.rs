//! An idle softstop makes no system call and does not wake up.
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
use std::thread;
use std::time::Duration;

/// How long each softstop is watched. Only time can show that nothing happens.
const WATCHED: Duration = Duration::from_secs(5);

/// How often the process has been switched out, because it slept or was preempted.
fn switches(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let counts = status.lines().filter_map(|line| line.split_once("ctxt_switches:\t")?.1.parse::<u64>().ok());
    counts.sum()
}

fn asleep(run: &Running) {
    let mut before = 0;
    eventually("softstop has gone to sleep", || {
        let now = switches(run.pid);
        thread::sleep(Duration::from_millis(50));
        let rests = now == before && state(run.pid) == Some('S');
        before = now;
        rests.then_some(())
    });
}

#[test]
fn softstop_does_not_wake_up_while_nothing_happens() {
    let in_a_drain = softstop(recorder_until(&["99=0"])).pid_one().start();
    in_a_drain.says("ready");
    in_a_drain.signal(15);
    in_a_drain.says("got 15");
    let in_a_pre_delay = softstop(words(["--pre-delay", "50s"], &recorder_until(&["99=0"]))).pid_one().start();
    in_a_pre_delay.says("ready");
    in_a_pre_delay.signal(15);
    in_a_pre_delay.logs("pre-delay");
    let quiet = [
        ("PID 1", softstop(["sleep", "1000"]).pid_one().start()),
        ("a wrapper", softstop(["sleep", "1000"]).start()),
        ("with all options", softstop(["-vvv", "-g", "-w", "--wait-for", "all", "sleep", "1000"]).pid_one().start()),
        ("in a drain without an end", in_a_drain),
        ("in a pre-delay", in_a_pre_delay),
        ("called tini", program(called("tini"), ["sleep", "1000"]).pid_one().start()),
        ("called dumb-init", program(called("dumb-init"), ["sleep", "1000"]).pid_one().start()),
        ("called catatonit", program(called("catatonit"), ["sleep", "1000"]).pid_one().start()),
        ("in a pause", softstop(["-P"]).pid_one().start()),
    ];
    // The control: tini, which looks for zombies every second, is seen to wake up.
    let tini = have_program("tini").then(|| program("tini", ["--", "sleep", "1000"]).pid_one().start());
    let all = || quiet.iter().map(|(_, run)| run).chain(&tini);
    all().for_each(asleep);
    let before: Vec<u64> = all().map(|run| switches(run.pid)).collect();
    thread::sleep(WATCHED);
    let after: Vec<u64> = all().map(|run| switches(run.pid)).collect();
    for (index, (name, _)) in quiet.iter().enumerate() {
        assert_eq!(after[index], before[index], "{name} woke up");
    }
    if tini.is_some() {
        assert!(after[quiet.len()] > before[quiet.len()], "tini did not wake up either, so this test proves nothing");
    }
}

#[test]
fn no_system_call_is_made_while_nothing_happens() {
    if !have_program("strace") {
        return;
    }
    let run = softstop(["sleep", "1000"]).pid_one().start();
    run.listens();
    asleep(&run);
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let seconds = WATCHED.as_secs().to_string();
    let pid = run.pid.to_string();
    let words = ["--signal=INT", &seconds, "strace", "-f", "-p", &pid, "-o", trace.to_str().unwrap()];
    program("timeout", words).run().logged("attached");
    let trace = fs::read_to_string(&trace).unwrap();
    // Attaching interrupts the poll(2) that softstop sleeps in. The call is restarted, and still runs when strace
    // detaches.
    let calls: Vec<&str> = trace.lines().map(|line| line.split_once(' ').unwrap().1.trim()).collect();
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert!(calls[0].starts_with("restart_syscall(<... resuming interrupted"), "{calls:?}");
    assert!(calls[0].ends_with("<detached ...>"), "{calls:?}");
    run.signal(15);
    run.wait().code(143);
}
