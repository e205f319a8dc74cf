//! Whoever started the server, the right process gets exactly one stop signal.
//!
//! The server is the recorder with a listening socket, in a network namespace of its own, where nobody ever calls it: an
//! unknown server that nobody called has no pre-delay.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test panics when it fails; unlike the init it may read the clock and wait for its children"
)]

use common::namespace::have_network;
use common::nginx::Nginx;
use common::*;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::Duration;

use libc::{SIGINT, SIGQUIT, SIGTERM, SIGUSR1};

/// A stop that waited this long would be noticed.
const LONG: &str = "20s";
/// An upper limit for what should take no time, even on a very slow machine.
const SOON: Duration = Duration::from_secs(15);
/// A signal with which a test ends the recorder. Of the pending signals the kernel delivers this one last.
const LAST: i32 = 40;

/// A script that runs the server without `exec`, and exits with 4 more than its code.
fn start(exits: &[&str]) -> String {
    format!("{}; exit $((4 + $?))", server_until(exits))
}

/// A script that prints `trapped` on SIGTERM, and does nothing more about it.
fn traps(exits: &[&str]) -> String {
    format!("trap 'echo trapped' TERM; {} & until wait $!; do :; done; exit 4", server_until(exits))
}

/// A script that passes SIGTERM on and leaves at once. `command` is what it leaves.
fn passes_on_and_leaves(command: &str) -> String {
    format!("trap 'kill -TERM $A; exit 6' TERM; {command} & A=$!; while :; do wait; done")
}

/// A script that exits on SIGTERM and tells its server nothing.
fn exits_without(server: &str) -> String {
    format!("trap 'exit 6' TERM; {server} & while :; do wait; done")
}

// A script that knows nothing of signals.

#[test]
fn a_server_behind_a_script_gets_the_stop_signal_and_the_script_exits_by_itself() {
    if !have_network() {
        return;
    }
    let run = softstop_script(&[], &start(&["15=3"])).pid_one().start();
    run.says("ready");
    run.signal(SIGTERM);
    let outcome = run.wait();
    outcome.code(7).logged("drain: sent SIGTERM to recorder (pid 3), behind sh (pid 2)").not_logged("pre-delay");
    assert_eq!(outcome.got(), [SIGTERM]);
}

#[test]
fn a_wrapper_stops_a_server_behind_a_script_in_the_same_way() {
    if !have_network() {
        return;
    }
    let run = softstop_script(&[], &start(&["15=3"])).start();
    run.says("ready");
    let (script, server) = (run.child(), run.descendant("recorder"));
    run.signal(SIGTERM);
    let outcome = run.wait();
    outcome.code(7);
    outcome.logged(&format!("drain: sent SIGTERM to recorder (pid {server}), behind sh (pid {script})"));
    assert_eq!(outcome.got(), [SIGTERM]);
}

/// The control: tini ends the script and never tells the server.
#[test]
fn under_tini_the_same_server_gets_no_signal() {
    if !have_network() || !have_program("tini") {
        return;
    }
    let run = program("tini", ["--", "sh", "-c", &start(&["15=3"])]).pid_one().start();
    run.says("ready");
    run.signal(SIGTERM);
    let outcome = run.wait();
    outcome.code(143);
    assert_eq!(outcome.got(), []);
}

#[test]
fn two_servers_side_by_side_get_one_signal_each() {
    if !have_network() {
        return;
    }
    let (one, other) = (server_until(&["15=3"]), server_until(&["15=5"]));
    let script = format!("{one} --name one & {other} --name other; wait; exit 4");
    let run = softstop_script(&[], &script).pid_one().start();
    run.says("one: ready");
    run.says("other: ready");
    run.signal(SIGTERM);
    let outcome = run.wait();
    outcome.code(4);
    for name in ["one", "other"] {
        assert_eq!(outcome.stdout.matches(&format!("{name}: got ")).count(), 1, "{outcome:?}");
        outcome.logged("sent SIGTERM to recorder (pid 3)").logged("sent SIGTERM to recorder (pid 4)");
    }
}

// A script that handles SIGTERM itself, and `target`.

#[test]
fn a_script_that_traps_sigterm_gets_it_and_the_server_is_left_to_it() {
    if !have_network() {
        return;
    }
    let run = softstop_script(&[], &traps(&["40=0"])).pid_one().start();
    run.says("ready");
    run.signal(SIGTERM);
    run.says("trapped");
    run.logs("sh (pid 2) handles SIGTERM itself: recorder (pid 3) is left to it (target = \"server\" changes that)");
    run.logs("drain: sent SIGTERM to sh (pid 2);");
    send(run.descendant("recorder"), LAST);
    let outcome = run.wait();
    outcome.code(4);
    assert_eq!(outcome.got(), [LAST]);
    assert_eq!(outcome.stdout.matches("trapped").count(), 1, "{outcome:?}");
}

#[test]
fn with_target_server_a_script_that_traps_sigterm_is_passed_over() {
    if !have_network() {
        return;
    }
    let run = softstop_script(&["--target", "server"], &traps(&["15=0"])).pid_one().start();
    run.says("ready");
    run.signal(SIGTERM);
    let outcome = run.wait();
    outcome.code(4).logged("drain: sent SIGTERM to recorder (pid 3), behind sh (pid 2)").not_logged("itself");
    assert_eq!(outcome.got(), [SIGTERM]);
    assert!(!outcome.stdout.contains("trapped"), "{outcome:?}");
}

#[test]
fn with_target_child_the_main_child_alone_gets_the_stop_signal() {
    if !have_network() {
        return;
    }
    // A script without a trap is ended by it, as under tini, and the server, which was not told, has no client.
    for (script, code) in [(traps(&["40=0"]), 4), (start(&["40=0"]), 143)] {
        let run = softstop_script(&["--target", "child"], &script).pid_one().start();
        run.says("ready");
        let recorder = run.descendant("recorder");
        run.signal(SIGTERM);
        run.logs("drain: sent SIGTERM to sh (pid 2)");
        if code == 143 {
            run.logs("sh (pid 2) was killed by SIGTERM");
        } else {
            run.says("trapped");
        }
        send(recorder, LAST);
        let outcome = run.wait();
        outcome.code(code);
        assert_eq!(outcome.got(), [LAST], "{script}");
    }
}

#[test]
fn with_target_child_a_script_above_nginx_gets_the_request_itself() {
    if !have_network() || !have_program("nginx") {
        return;
    }
    // The control: what a person set is sent as it was set.
    for (options, sent, code) in [(&[][..], "SIGTERM", 6), (&["--stop-signal", "USR1"], "SIGUSR1", 7)] {
        let nginx = Nginx::new();
        let passes_on = |code| format!("echo trapped; kill -QUIT $A; wait $A; exit {code}");
        let script = format!(
            "trap '{}' TERM; trap '{}' USR1; {} & A=$!; while :; do wait; done",
            passes_on(6),
            passes_on(7),
            nginx.command().join(" ")
        );
        let options = [&["--target", "child", "--pre-delay", "0s"], options].concat();
        let run = softstop_script(&options, &script).pid_one().start();
        nginx.is_up();
        run.signal(SIGTERM);
        let outcome = run.wait_at_most(SOON);
        outcome.code(code).logged(&format!("drain: sent {sent} to sh (pid 2)"));
        assert_eq!(outcome.stdout.matches("trapped").count(), 1, "{outcome:?}");
        nginx.logs("signal 3 (SIGQUIT)");
    }
}

#[test]
fn with_target_child_an_init_that_passes_signals_on_gets_the_servers_own() {
    if !have_network() || !have_program("nginx") || !have_program("tini") {
        return;
    }
    let nginx = Nginx::new();
    let command = words(["--target", "child", "--pre-delay", "0s", "tini", "-s", "--"], &nginx.command());
    let run = softstop(command).pid_one().start();
    nginx.is_up();
    run.signal(SIGTERM);
    run.wait_at_most(SOON).code(0).logged("drain: sent SIGQUIT to tini (pid 2)");
    nginx.logs("signal 3 (SIGQUIT)");
}

#[test]
fn with_target_group_each_member_gets_the_stop_signal_once() {
    if !have_network() {
        return;
    }
    let run = softstop_script(&["--target", "group"], &traps(&["40=0"])).pid_one().start();
    run.says("ready");
    run.signal(SIGTERM);
    run.says("trapped");
    run.says("got 15");
    send(run.descendant("recorder"), LAST);
    let outcome = run.wait();
    outcome.code(4);
    // The group is sent SIGCONT too, which the recorder also counts.
    assert_eq!(
        outcome.got().into_iter().filter(|&signal| signal != libc::SIGCONT).collect::<Vec<_>>(),
        [SIGTERM, LAST]
    );
    assert_eq!(outcome.stdout.matches("trapped").count(), 1, "{outcome:?}");
}

#[test]
fn with_target_group_a_server_of_the_group_is_not_asked_again_after_the_main_childs_exit() {
    if !have_network() {
        return;
    }
    let run = softstop_script(&["--target", "group"], &exits_without(&server_until(&["40=3"]))).pid_one().start();
    run.says("ready");
    let recorder = run.descendant("recorder");
    run.signal(SIGTERM);
    run.says("got 15");
    run.logs("sh (pid 2) exited with code 6");
    // It can only be shown that nothing happens for longer than a server has that a process abandons.
    thread::sleep(Duration::from_secs(3));
    send(recorder, LAST);
    let outcome = run.wait_at_most(SOON);
    outcome.code(6).not_logged("has exited without stopping");
    assert_eq!(
        outcome.got().into_iter().filter(|&signal| signal != libc::SIGCONT).collect::<Vec<_>>(),
        [SIGTERM, LAST]
    );
}

/// The control: a server outside of the group was not sent the signal.
#[test]
fn with_target_group_a_server_of_another_group_is_asked_after_the_main_childs_exit() {
    if !have_network() || !have_program("setsid") {
        return;
    }
    let script = exits_without(&format!("setsid {}", server_until(&["15=3"])));
    let run = softstop_script(&["--target", "group"], &script).pid_one().start();
    run.says("ready");
    run.signal(SIGTERM);
    let outcome = run.wait_at_most(SOON);
    outcome.code(6).logged("sh has exited without stopping recorder (pid 3): sent SIGTERM to it");
    assert_eq!(outcome.got(), [SIGTERM], "{outcome:?}");
}

// A script that passes SIGTERM on and leaves.

/// Stops `command` behind such a script. The signal that it passes on is the only one.
#[track_caller]
fn gets_one_sigterm(command: &str, all_options: &[&[&str]]) {
    for &options in all_options {
        let run = softstop_script(options, &passes_on_and_leaves(command)).pid_one().start();
        run.says("ready");
        let recorder = run.descendant("recorder");
        run.signal(SIGTERM);
        run.says("got 15");
        run.logs("sh (pid 2) exited with code 6");
        send(recorder, LAST);
        let outcome = run.wait();
        outcome.code(6);
        assert_eq!(outcome.got(), [SIGTERM, LAST], "{options:?}: {outcome:?}");
        assert_eq!(outcome.stderr.matches("debug: sent SIGTERM\n").count(), 1, "{options:?}: {outcome:?}");
    }
}

#[test]
fn a_server_whose_script_passes_sigterm_on_and_leaves_gets_it_once() {
    if have_network() {
        gets_one_sigterm(&server_until(&["40=0"]), &[&["-vv"], &["-vv", "--wait-for", "all"]]);
    }
}

#[test]
fn a_worker_whose_script_passes_sigterm_on_and_leaves_is_not_sent_it_again_at_once() {
    // For many programs a second SIGTERM means "quit now". With `wait_for = all` it is sent: the person has asked for it.
    if have_network() {
        gets_one_sigterm(&recorder_until(&["40=0"]).join(" "), &[&["-vv"]]);
    }
}

// Processes that seem to stop the server, and do not.

#[test]
fn bash_with_a_trap_on_exit_does_not_hide_its_server() {
    // With such a trap bash catches SIGTERM, and acts on it only after its child has ended.
    if !have_network() || !have_program("bash") {
        return;
    }
    let script = format!("trap 'echo left' EXIT; {}; exit 4", server_until(&["15=3"]));
    let run = softstop(["bash", "-c", &script]).pid_one().start();
    run.says("ready");
    run.signal(SIGTERM);
    let outcome = run.wait_at_most(SOON);
    outcome.code(4).logged("sent SIGTERM to recorder (pid 3), behind bash (pid 2)");
    assert_eq!(outcome.got(), [SIGTERM], "{outcome:?}");
}

#[test]
fn a_server_whose_handler_leaves_without_stopping_it_gets_its_own_signal() {
    if !have_network() {
        return;
    }
    let run = softstop_script(&[], &exits_without(&server_until(&["15=3"]))).pid_one().start();
    run.says("ready");
    run.signal(SIGTERM);
    let outcome = run.wait_at_most(SOON);
    outcome.code(6).logged("sh has exited without stopping recorder (pid 3): sent SIGTERM to it");
    assert_eq!(outcome.got(), [SIGTERM], "{outcome:?}");
}

#[test]
fn a_softstop_beside_a_server_does_not_hide_it() {
    if !have_network() {
        return;
    }
    let server = server_until(&["15=3"]);
    let run =
        softstop_script(&[], &format!("{server} & {} {server} & wait; wait", softstop_binary())).pid_one().start();
    run.says_times("ready", 2);
    run.signal(SIGTERM);
    let outcome = run.wait_at_most(SOON);
    outcome.not_logged("a softstop stands before the server");
    assert_eq!(outcome.got(), [SIGTERM, SIGTERM], "{outcome:?}");
}

#[test]
fn a_stop_signal_that_a_person_set_is_sent_to_a_handler_too() {
    if !have_network() {
        return;
    }
    let script = format!(
        "trap 'kill -TERM $A; wait $A; exit 6' TERM; trap 'kill -TERM $A; wait $A; exit 7' QUIT; {} & A=$!; while :; do wait; done",
        server_until(&["15=3"])
    );
    // The control: without the setting the handler gets what was received.
    for (options, code) in [(&["--stop-signal", "QUIT"][..], 7), (&[], 6)] {
        let run = softstop_script(options, &script).pid_one().start();
        run.says("ready");
        run.signal(SIGTERM);
        let outcome = run.wait_at_most(SOON);
        outcome.code(code);
        assert_eq!(outcome.got(), [SIGTERM], "{outcome:?}");
    }
}

// A server that is replaced.

#[test]
fn a_server_that_its_script_starts_again_in_the_pre_delay_gets_the_stop_signal() {
    if !have_network() {
        return;
    }
    let [first, second] = ["first", "second"].map(|name| format!("{} --name {name}", server_until(&["15=3", "40=0"])));
    // The second one listens only some time after the first one's end.
    let script = format!("{first}; sleep 0.3; {second}; exit $((4 + $?))");
    let run = softstop_script(&["--pre-delay", "3s"], &script).pid_one().start();
    run.says("first: ready");
    run.signal(SIGTERM);
    run.logs("pre-delay: recorder (pid 3) keeps serving");
    send(run.descendant("recorder"), LAST);
    run.says("second: ready");
    let outcome = run.wait_at_most(SOON);
    outcome.code(7).logged("drain: sent SIGTERM to recorder (pid 5), behind sh (pid 2)");
    for (line, times) in [("first: got 40", 1), ("first: got 15", 0), ("second: got 15", 1)] {
        assert_eq!(outcome.stdout.matches(line).count(), times, "{line}: {outcome:?}");
    }
}

/// The control: a wrapper that does not start it again.
#[test]
fn a_server_that_ends_in_the_pre_delay_for_good_does_not_hold_the_stop() {
    if !have_network() {
        return;
    }
    let script = format!("{}; trap 'exit 6' TERM; while :; do sleep 0.05; done", server_until(&["15=3", "40=0"]));
    let run = softstop_script(&["--pre-delay", LONG], &script).pid_one().start();
    run.says("ready");
    run.signal(SIGTERM);
    run.logs("pre-delay: recorder (pid 3) keeps serving");
    send(run.descendant("recorder"), LAST);
    let outcome = run.wait_at_most(SOON);
    outcome.code(6).logged("sent SIGTERM to sh (pid 2), which has not exited after its server");
    assert_eq!(outcome.got(), [LAST], "{outcome:?}");
}

#[test]
fn a_server_that_takes_over_in_the_pre_delay_gets_the_stop_signal() {
    if !have_network() {
        return;
    }
    let [old, new] = ["old", "new"].map(|name| format!("{} --name {name}", server_until(&["15=3", "40=0"])));
    let (stdin, mut keyboard) = pipe();
    let script = format!("{old} & read go; {new} & wait; exit 4");
    let run = softstop_script(&["--pre-delay", "3s"], &script).stdin(stdin).pid_one().start();
    run.says("old: ready");
    let replaced = run.descendant("recorder");
    run.signal(SIGTERM);
    run.logs("pre-delay: recorder (pid 3) keeps serving");
    keyboard.write_all(b"go\n").unwrap();
    run.says("new: ready");
    send(replaced, LAST);
    let outcome = run.wait_at_most(SOON);
    outcome.code(4).logged("drain: sent SIGTERM to recorder (pid 4), behind sh (pid 2)");
    for (line, times) in [("old: got 40", 1), ("old: got 15", 0), ("new: got 15", 1)] {
        assert_eq!(outcome.stdout.matches(line).count(), times, "{line}: {outcome:?}");
    }
}

// softstop under softstop.

#[test]
fn a_softstop_under_a_softstop_does_the_pre_delay_and_the_outer_one_none() {
    if !have_network() {
        return;
    }
    let inner = format!("{} --pre-delay 300ms {}", softstop_binary(), server_until(&["15=3"]));
    for script in [format!("exec {inner}"), format!("{inner}; exit $((4 + $?))")] {
        let run = softstop_script(&["-vv", "--pre-delay", LONG], &script).pid_one().start();
        run.says("ready");
        let (took, outcome) = run.stopped();
        outcome.code(if script.starts_with("exec") { 3 } else { 7 });
        assert!(took < SOON, "{took:?}");
        outcome.logged("passing SIGTERM through at once");
        assert_eq!(outcome.stderr.matches("pre-delay: ").count(), 1, "{outcome:?}");
        assert_eq!(outcome.stderr.matches("stop requested: ").count(), 2, "{outcome:?}");
        outcome.not_logged("again").not_logged("another stop request");
        assert_eq!(outcome.got(), [SIGTERM], "{script}");
    }
}

#[test]
fn an_outer_softstop_gives_the_drain_the_pre_delay_that_it_leaves_out() {
    if !have_network() {
        return;
    }
    // The inner one's stop takes longer than the drain would be without that time. The control: a drain timeout that a person
    // set stays as it is.
    let inner = format!("{} --pre-delay 2s {}", softstop_binary(), server_until(&["15=3"]));
    for (options, limit) in [
        (["--grace-period", "20s", "--pre-delay", "18s"], "19s"),
        (["--drain-timeout", "20s", "--pre-delay", "18s"], "20s"),
    ] {
        let run = softstop_script(&options, &format!("exec {inner}")).pid_one().start();
        run.says("ready");
        let (took, outcome) = run.stopped();
        outcome.code(3).not_logged("SIGKILL");
        outcome.logged(&format!("drain: sent SIGTERM to softstop (pid 2); waiting up to {limit} for its exit"));
        assert!(took < SOON, "{took:?}");
        assert_eq!(outcome.got(), [SIGTERM], "{outcome:?}");
    }
}

#[test]
fn a_softstop_under_a_softstop_does_the_pre_delay_of_a_worker_too() {
    if !have_network() {
        return;
    }
    let inner = words([softstop_binary(), "--pre-delay", "300ms"], &recorder_until(&["15=3"]));
    let run = softstop(words(["-vv", "--pre-delay", LONG], &inner)).pid_one().start();
    run.says("ready");
    let (took, outcome) = run.stopped();
    outcome.code(3).logged("passing SIGTERM through at once");
    assert!(took < SOON, "{took:?}");
    assert_eq!(outcome.stderr.matches("pre-delay: ").count(), 1, "{outcome:?}");
    assert_eq!(outcome.got(), [SIGTERM]);
}

#[test]
fn a_program_that_only_has_softstops_name_is_a_server_like_any_other() {
    if !have_network() {
        return;
    }
    // The control: its name is not enough, since it must block every signal; this one is a shell.
    let directory = tempfile::tempdir().unwrap();
    let name = directory.path().join("softstop");
    install(&name, fs::read(in_path("sh").unwrap()).unwrap());
    let name = name.to_str().unwrap();
    let passes_on =
        |command: &str| format!("trap 'kill -TERM $A; wait $A; exit 7' TERM; {command} & A=$!; while :; do wait; done");
    // As an ancestor of the server, as the process that is sent its signal, and as a worker without a server.
    let worker = recorder_until(&["15=3"]).join(" ");
    for script in [start(&["15=3"]), passes_on(&server_until(&["15=3"])), passes_on(&worker)] {
        let run = softstop(["-vv", "--pre-delay", "100ms", name, "-c", &script]).pid_one().start();
        run.says("ready");
        // A shell blocks every signal for the moment of a fork.
        eventually("the shell waits", || (status(run.child(), "SigBlk")? == 0).then_some(()));
        run.signal(SIGTERM);
        let outcome = run.wait();
        outcome.code(7).logged("pre-delay: ").not_logged("passing SIGTERM through");
        assert_eq!(outcome.got(), [SIGTERM], "{script}");
    }
}

// A stop request that is not SIGTERM.

#[test]
fn sigquit_begins_the_stop_of_nginx_behind_a_script() {
    if !have_network() || !have_program("nginx") {
        return;
    }
    let nginx = Nginx::new();
    let script = format!("{}; exit $((4 + $?))", nginx.command().join(" "));
    let run = softstop_script(&["--pre-delay", "200ms"], &script).pid_one().start();
    nginx.is_up();
    run.signal(SIGQUIT);
    let outcome = run.wait();
    outcome.code(4).logged("stop requested: SIGQUIT").logged("pre-delay: nginx (pid 3) keeps serving");
    outcome.logged("drain: sent SIGQUIT to nginx (pid 3), behind sh (pid 2)").not_logged("not a stop request");
    nginx.logs("signal 3 (SIGQUIT)");
}

#[test]
fn nginx_that_its_script_starts_again_in_the_pre_delay_gets_its_own_stop_signal() {
    if !have_network() || !have_program("nginx") {
        return;
    }
    let nginx = Nginx::new();
    let command = nginx.command().join(" ");
    let run = softstop_script(&["--pre-delay", "4s"], &format!("{command}; {command}; exit 6")).pid_one().start();
    nginx.is_up();
    let first = run.descendant("nginx");
    run.signal(SIGTERM);
    run.logs("pre-delay: nginx (pid 3) keeps serving");
    send(first, SIGTERM);
    eventually("the first nginx is gone", || (!Path::new(&format!("/proc/{first}")).exists()).then_some(()));
    nginx.is_up();
    let outcome = run.wait_at_most(SOON);
    outcome.code(6).logged("drain: sent SIGQUIT to nginx (pid ").logged(", behind sh (pid 2)").not_logged("SIGTERM to");
    nginx.logs("signal 3 (SIGQUIT)");
}

#[test]
fn a_script_whose_server_exits_in_the_pre_delay_is_sent_the_request_itself() {
    // The control: nothing starts the server again.
    if !have_network() || !have_program("nginx") {
        return;
    }
    let nginx = Nginx::new();
    let script = format!("{}; exec sleep 1000", nginx.command().join(" "));
    let run = softstop_script(&["--pre-delay", "2s"], &script).pid_one().start();
    nginx.is_up();
    run.signal(SIGTERM);
    run.logs("pre-delay: nginx (pid 3) keeps serving");
    send(run.descendant("nginx"), SIGTERM);
    let outcome = run.wait_at_most(SOON);
    outcome.code(143).logged("drain: sent SIGTERM to sh (pid 2)").not_logged("SIGQUIT");
}

#[test]
fn another_signal_than_its_own_does_not_stop_nginx_behind_a_script() {
    if !have_network() || !have_program("nginx") {
        return;
    }
    // The control: SIGUSR1 is haproxy's stop signal. A shell ignores none of these, so this one is told to.
    let nginx = Nginx::new();
    let script = format!("trap : USR1; {} & until wait $!; do :; done; exit 4", nginx.command().join(" "));
    let run = softstop_script(&["--pre-delay", "0s", "-vv"], &script).pid_one().start();
    nginx.is_up();
    run.signal(SIGUSR1);
    run.logs("sent SIGUSR1");
    assert!(nginx.get().is_ok());
    run.signal(SIGQUIT);
    let outcome = run.wait();
    outcome.code(4).logged("stop requested: SIGQUIT").not_logged("stop requested: SIGUSR1");
}

#[test]
fn sigquit_to_an_unknown_server_is_passed_on_and_one_line_says_that_it_was_no_stop_request() {
    if !have_network() {
        return;
    }
    let run = softstop(server_until(&["15=3"]).split(' ')).pid_one().start();
    run.says("ready");
    run.signal(SIGQUIT);
    run.says("got 3");
    run.logs("SIGQUIT from outside the container is not a stop request here: passed on");
    for signal in [SIGINT, SIGUSR1, libc::SIGWINCH] {
        run.signal(signal);
        run.says(&format!("got {signal}"));
    }
    assert_eq!(run.stderr.all().len(), 1, "{:?}", run.stderr.all());
    run.signal(SIGTERM);
    let outcome = run.wait();
    outcome.code(3).logged("stop requested: SIGTERM").not_logged("stop requested: SIGQUIT");
    assert_eq!(outcome.got(), [SIGQUIT, SIGINT, SIGUSR1, libc::SIGWINCH, SIGTERM]);
}

#[test]
fn sigquit_to_an_unknown_server_behind_a_script_goes_to_the_script_as_under_tini() {
    if !have_network() {
        return;
    }
    let script = format!("trap 'echo trapped' QUIT; {} & until wait $!; do :; done; exit 4", server_until(&["15=0"]));
    let run = softstop_script(&[], &script).pid_one().start();
    run.says("ready");
    run.signal(SIGQUIT);
    run.says("trapped");
    run.logs("SIGQUIT from outside the container is not a stop request here: passed on");
    run.signal(SIGTERM);
    let outcome = run.wait();
    outcome.code(4);
    assert_eq!(outcome.got(), [SIGTERM], "{outcome:?}");
}
