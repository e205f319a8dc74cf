//! Processes that the main child leaves behind: which of them get the stop signal, once, and which softstop leaves
//! alone.
#![allow(unsafe_code, clippy::unwrap_used, clippy::panic, reason = "a test panics when it fails")]

use common::*;

/// The binary under test.
const SOFTSTOP: &str = env!("CARGO_BIN_EXE_softstop");

/// Leaves a subshell behind that prints a line on SIGTERM and then runs THEN. Needs a directory of its own.
const LEAVES: &str = "(trap 'echo rest got it; THEN' TERM; touch ready; while [ ! -e end ]; do sleep 0.05; done) & \
                      until [ -e ready ]; do :; done";

/// Stops a background process, but only after its execve: before that it has the signal handlers of the shell.
const STOPPED: &str = "sleep 1000 & until grep -q sleep /proc/$!/comm; do :; done; kill -STOP $!";

fn sh(script: &str) -> [String; 3] {
    ["sh".into(), "-c".into(), script.into()]
}

#[test]
fn an_inherited_grandchild_that_softstop_adopts_is_left_alone() {
    // softstop inherits a background job of the shell through `exec`. When the job dies, softstop adopts its child.
    let script = format!(
        "(sleep 1000 >/dev/null 2>&1 & echo grandchild $! >told; exec sleep 1000) & until [ -s told ]; do :; done; \
         cat told; exec {SOFTSTOP} --wait-for all \
         --drain-timeout 300ms sh -c 'trap : TERM; echo ready; until [ -e end ]; do sleep 0.05; done; exit 5'"
    );
    let directory = tempfile::tempdir().unwrap();
    let run = program("sh", ["-c", &script]).directory(directory.path()).start();
    let grandchild = Stray(run.says("grandchild ").rsplit(' ').next().unwrap().parse().unwrap());
    run.says("ready");
    let parent = children(run.pid).into_iter().find(|&pid| children(pid).contains(&grandchild.0)).unwrap();
    send(parent, libc::SIGKILL);
    eventually("softstop adopts the grandchild", || run.children().contains(&grandchild.0).then_some(()));
    std::fs::write(directory.path().join("end"), "").unwrap();
    run.wait().code(5);
    assert!(grandchild.is_alive());
}

#[test]
fn a_process_whose_main_thread_has_exited_is_killed_too() {
    if !have_program("python3") {
        return;
    }
    let threads = "import ctypes, os, threading, time\n\
                   os.setsid()\n\
                   threading.Thread(target=time.sleep, args=(1000,)).start()\n\
                   ctypes.CDLL(None).pthread_exit(None)";
    for is_pid_one in [true, false] {
        let script = "trap '' TERM; python3 -c \"$0\" & echo threads; while :; do sleep 1; done";
        let mut run = softstop(["--drain-timeout", "300ms", "sh", "-c", script, threads]);
        if is_pid_one {
            run = run.pid_one();
        }
        let run = run.start();
        run.says("threads");
        // Where python3 is a shell script that finds the real one, there are other zombies for a moment.
        let family =
            |pid| descendants(pid).into_iter().find(|&pid| state(pid) == Some('Z') && has_name(pid, "python3"));
        let lives_on = eventually("the main thread has exited", || family(run.pid));
        run.signal(15);
        run.wait().code(137).logged("(python3)").not_logged("some processes still exist");
        gone(lives_on);
    }
}

#[test]
fn a_stopped_process_that_remains_is_continued_for_the_stop_signal() {
    let script = format!("{STOPPED}; echo stopped; exit 5");
    let run = softstop(["--wait-for", "all"].into_iter().map(str::to_owned).chain(sh(&script))).pid_one().start();
    run.says("stopped");
    run.wait().code(5);
}

#[test]
fn a_stopped_member_of_the_group_is_continued_for_the_stop_signal() {
    let script = format!("trap 'wait; exit 6' TERM; {STOPPED}; echo stopped; while :; do wait; done");
    let run = softstop(["-g"].into_iter().map(str::to_owned).chain(sh(&script))).pid_one().start();
    run.says("stopped");
    run.signal(15);
    run.wait().code(6);
}

#[test]
fn the_group_gets_the_stop_signal_once_and_not_again_when_the_main_child_exits() {
    let recorder = recorder();
    let script =
        format!("{} --exit-on 12=0 & echo $!; trap 'exit 6' INT; while :; do sleep 0.05; done", recorder.display());
    let options = ["-g", "--wait-for", "all", "--stop-signal", "INT", "-vv"];
    let run = softstop(options.into_iter().map(str::to_owned).chain(sh(&script))).pid_one().start();
    run.says("ready");
    run.signal(15);
    run.logs("stopping the processes that it left");
    run.signal(12);
    let outcome = run.wait();
    outcome.code(6);
    assert_eq!(outcome.stdout.matches("got 2\n").count(), 1, "{outcome:?}");
}

#[test]
fn a_stop_request_after_the_main_child_has_exited_is_passed_on_to_the_others() {
    let script = format!("{}; exit 5", LEAVES.replace("THEN", ":"));
    let directory = tempfile::tempdir().unwrap();
    let run = softstop(["--wait-for", "all"].into_iter().map(str::to_owned).chain(sh(&script)));
    let run = run.directory(directory.path()).pid_one().start();
    run.says("rest got it");
    run.signal(15);
    run.stdout.wait_times("rest got it", 2);
    std::fs::write(directory.path().join("end"), "").unwrap();
    let outcome = run.wait();
    outcome.code(5).logged("stop requested: SIGTERM from outside the container");
    outcome.logged("stopped in ").not_logged("another stop request");
}

#[test]
fn as_pid_1_without_proc_all_remaining_processes_get_the_stop_signal() {
    if !have("root, to unmount /proc", is_root()) {
        return;
    }
    let script = format!("{}; exit 5", LEAVES.replace("THEN", "exit"));
    let directory = tempfile::tempdir().unwrap();
    let without_proc = ["unshare", "--mount", "sh", "-c", "umount -l /proc && exec \"$@\"", "sh"];
    let run = softstop(["--wait-for", "all"].into_iter().map(str::to_owned).chain(sh(&script)));
    let run = run.through(without_proc).directory(directory.path()).pid_one().start();
    run.says("rest got it");
    run.wait().code(5);
}

#[test]
fn a_wrapper_without_proc_says_that_it_cannot_signal_the_remaining_processes() {
    if !have("root, to unmount /proc", is_root()) {
        return;
    }
    let script = format!("{}; echo $!; exit 5", LEAVES.replace("THEN", "exit"));
    let directory = tempfile::tempdir().unwrap();
    let without_proc = ["unshare", "--mount", "sh", "-c", "umount -l /proc && exec \"$@\"", "sh"];
    let options = ["--wait-for", "all", "--drain-timeout", "300ms"];
    let run = softstop(options.into_iter().map(str::to_owned).chain(sh(&script)));
    let run = run.through(without_proc).directory(directory.path()).start();
    let _rest = Stray(run.stdout.wait_for("a pid", |line| line.parse::<i32>().is_ok()).parse().unwrap());
    run.logs("could not send SIGTERM to the app: /proc does not show which processes are left");
    run.wait().code(5);
}

#[test]
fn a_drain_timeout_of_zero_logs_the_stop_signal_and_the_killed_processes() {
    let run = softstop(["--drain-timeout", "0s", "sh", "-c", "trap '' TERM; echo ready; sleep 1000"]).pid_one().start();
    run.says("ready");
    run.signal(15);
    let outcome = run.wait();
    outcome.code(137).logged("drain: sent SIGTERM to sh").logged("killed pid 2 (sh)").not_logged("does not show");
    // There is a closing line too when the main child exits by itself and leaves a process behind.
    let options = ["--wait-for", "all", "--drain-timeout", "0s"];
    let run = softstop(options.into_iter().map(str::to_owned).chain(sh("(trap '' TERM; sleep 1000) & exit 5")))
        .pid_one()
        .run();
    run.code(5).logged("stopped in ").logged("sh exited by itself").logged("SIGKILL to ");
}

#[test]
fn as_dumb_init_softstop_always_sends_sigterm_to_the_group_when_the_child_exits() {
    let marker = format!("1000.{}", std::process::id());
    let is_left = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let mut lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        lines.any(|line| line == format!("sleep\0{marker}\0").as_bytes())
    };
    // The child exits as early as it can, so that softstop sees the exit at various points of its start.
    let leaves = format!("sleep {marker} >&- 2>&- & exit 3");
    for round in 0..200 {
        program(called("dumb-init"), ["sh", "-c", &leaves]).run().code(3);
        eventually(&format!("round {round}: sleep is gone"), || (!is_left()).then_some(()));
    }
    // The control: with SIGTERM rewritten to nothing, sleep is left and is seen.
    program(called("dumb-init"), ["-r", "15:0", "sh", "-c", &leaves]).run().code(3);
    assert!(is_left());
    program("pkill", ["-f", &format!("^sleep {marker}$")]).run().code(0);
}
