//! Which signals reach the app, under which number, and which of its processes.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test panics when it fails; unlike the init it may read the clock and wait for its children"
)]

use common::*;

use std::fs::{self, OpenOptions};
use std::io::Write;

use softstop::signal::Signal;

/// The binary under test.
const SOFTSTOP: &str = env!("CARGO_BIN_EXE_softstop");

/// softstop cannot catch these, so that a test from outside would kill or stop it.
const UNCATCHABLE: [i32; 2] = [libc::SIGKILL, libc::SIGSTOP];

/// Sends each catchable signal in turn. Returns the signals that the app received.
fn got_of_all(run: &Running, send: impl Fn(i32)) -> Vec<i32> {
    for signal in Signal::all() {
        let number = signal.number();
        if UNCATCHABLE.contains(&number) {
            continue;
        }
        send(number);
        if signal.is_forwarded() {
            // Wait before the next one: pending signals are a set, whose order the kernel chooses.
            run.says_times(&format!("got {number}"), 1);
        }
    }
    // A last one shows that softstop has handled all signals before it.
    send(libc::SIGUSR1);
    run.says_times("got 10", 2);
    run.stdout.all().iter().filter_map(|line| line.strip_prefix("got ")?.parse().ok()).collect()
}

fn forwarded_and_the_last() -> Vec<i32> {
    let forwarded = Signal::all().filter(|signal| signal.is_forwarded()).map(Signal::number);
    forwarded.chain([libc::SIGUSR1]).collect()
}

#[test]
fn each_signal_from_outside_reaches_the_child_once_or_is_for_softstop() {
    let run = softstop(recorder_until(&["99=0"])).pid_one().start();
    run.says("ready");
    let got = got_of_all(&run, |signal| {
        run.signal(signal);
        run.takes(signal);
    });
    assert_eq!(got, forwarded_and_the_last());
}

#[test]
fn each_signal_to_a_wrapper_reaches_the_child_once_or_is_for_softstop() {
    let run = softstop(recorder_until(&["99=0"])).start();
    run.says("ready");
    let got = got_of_all(&run, |signal| {
        run.signal(signal);
        run.takes(signal);
    });
    assert_eq!(got, forwarded_and_the_last());
}

#[test]
fn each_signal_from_inside_reaches_the_child_once_or_is_for_softstop() {
    let directory = tempfile::tempdir().unwrap();
    let orders = directory.path().join("orders");
    make_fifo(&orders);
    // The sender is a child of the recorder: the shell with pid 2 becomes the recorder by exec.
    let script = format!(
        "while read n; do kill -$n 1; done <'{}' & exec {} --exit-on 99=0",
        orders.display(),
        recorder().display()
    );
    let run = softstop(["sh", "-c", &script]).pid_one().start();
    run.says("ready");
    let mut orders = OpenOptions::new().write(true).open(&orders).unwrap();
    // The kernel does not deliver these two to PID 1 from inside its namespace.
    for signal in UNCATCHABLE {
        writeln!(orders, "{signal}").unwrap();
    }
    let orders = std::cell::RefCell::new(orders);
    let got = got_of_all(&run, |signal| writeln!(orders.borrow_mut(), "{signal}").unwrap());
    assert_eq!(got, forwarded_and_the_last());
}

#[test]
fn a_rewrite_may_name_signals_in_any_notation() {
    for (rewrite, sent, got) in [
        ("HUP:USR1", 1, 10),
        ("SIGHUP:SIGUSR1", 1, 10),
        ("1:10", 1, 10),
        ("hup:sigusr1", 1, 10),
        ("USR2:RTMIN+3", 12, 37),
        ("RTMAX-1:USR1", 63, 10),
        ("33:HUP", 33, 1),
        ("TTIN:USR1", 21, 10), // not forwarded by default, but rewritten on request
    ] {
        let run = softstop(words(["-r", rewrite], &recorder_until(&["15=0"]))).pid_one().start();
        run.says("ready");
        run.signal(sent);
        run.says(&format!("got {got}"));
        run.signal(15);
        let outcome = run.wait();
        outcome.code(0);
        let lines: Vec<&str> = outcome.stdout.lines().filter(|line| line.starts_with("got")).collect();
        assert_eq!(lines, [format!("got {got}").as_str(), "got 15"], "{rewrite}");
    }
}

#[test]
fn an_ignored_signal_never_arrives() {
    for rewrite in ["USR2:ignore", "USR2:0", "12:ignore"] {
        let run = softstop(words(["-r", rewrite], &recorder_until(&["15=0"]))).pid_one().start();
        run.says("ready");
        run.signal(12);
        run.takes(12);
        run.signal(15);
        let outcome = run.wait();
        assert!(!outcome.code(0).stdout.contains("got 12"), "{rewrite}: {outcome:?}");
    }
}

#[test]
fn a_rewrite_reaches_only_the_signal_it_names() {
    let run = softstop(words(["-r", "HUP:USR1", "-r", "USR1:USR2"], &recorder_until(&["15=0"]))).pid_one().start();
    run.says("ready");
    run.signal(1);
    run.says("got 10"); // and not 12: rewrites are not chained
    run.signal(10);
    run.says("got 12");
    run.signal(15);
    assert_eq!(run.wait().code(0).stdout.matches("got").count(), 3);
}

#[test]
fn a_rewritten_stop_request_still_starts_a_stop() {
    let run = softstop(words(["-r", "TERM:QUIT"], &recorder_until(&["3=0"]))).pid_one().start();
    run.says("ready");
    run.signal(15);
    run.wait().code(0).logged("stop requested: SIGTERM").logged("SIGQUIT");
}

/// A shell that ignores the signals, with a recorder in its process group.
fn behind_a_shell() -> Vec<String> {
    let script = format!("trap '' HUP TERM; {} --exit-on 15=0 & wait; wait", recorder().display());
    vec!["sh".into(), "-c".into(), script]
}

#[test]
fn with_target_group_a_signal_reaches_the_grandchild() {
    for option in ["-g", "--target=group"] {
        let run = softstop(words([option], &behind_a_shell())).pid_one().start();
        run.says("ready");
        run.signal(1);
        run.says("got 1");
        run.signal(15);
        run.says("got 15");
        run.wait();
    }
}

#[test]
fn with_target_child_a_signal_does_not_reach_the_grandchild() {
    let run = softstop(words([], &behind_a_shell())).pid_one().start();
    run.says("ready");
    let shell = run.child();
    let grandchild = children(shell)[0];
    run.signal(1);
    run.takes(1);
    send(grandchild, 10);
    run.says("got 10");
    assert!(!run.stdout.all().contains(&"got 1".to_owned()));
}

#[test]
fn a_child_that_has_left_its_process_group_still_gets_its_signals() {
    // The child's own process group is then empty, so that a kill of the group fails with ESRCH.
    let run = softstop(["-g", recorder().to_str().unwrap(), "--join-parents-group"]).start();
    run.says("ready");
    let child = run.child();
    assert_ne!(group_of(child), child, "the recorder did not join another group");
    run.signal(15);
    run.says("got 15");
    run.wait().code(0);
}

fn group_of(pid: i32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(2).unwrap().parse().unwrap()
}

#[test]
fn softstop_survives_a_child_that_it_may_not_signal() {
    // An unprivileged user may not signal root's processes: the kill fails with EPERM, which is logged.
    if !have("root, for a child with more rights than softstop", is_root()) || !have_program("setpriv") {
        return;
    }
    let directory = tempfile::tempdir_in("/tmp").unwrap();
    // The child is set-uid root, and makes root its real user too.
    open_to_all(directory.path(), 0o755);
    let [init, child] = ["softstop", "child"].map(|name| directory.path().join(name));
    fs::copy(SOFTSTOP, &init).unwrap();
    open_to_all(&init, 0o755);
    fs::copy(recorder(), &child).unwrap();
    open_to_all(&child, 0o4755);
    let run = program(&init, [child.to_str().unwrap(), "--become-root"])
        .through(["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"])
        .start();
    run.says("ready");
    run.signal(1);
    run.logs("could not send SIGHUP to the app");
    send(run.child(), 15);
    run.wait().code(0);
}

fn open_to_all(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
