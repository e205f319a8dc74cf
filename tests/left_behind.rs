//! What the main child leaves behind: who of it is told to stop, once, and who is none of ours.
#![allow(unsafe_code, clippy::unwrap_used, clippy::panic, reason = "a test panics when it fails")]

mod common;
use common::*;

/// Leaves somebody behind who is ready for SIGTERM, says that it came, and then does THEN. Needs a directory.
const LEAVES: &str = "(trap 'echo rest got it; THEN' TERM; touch ready; while [ ! -e end ]; do sleep 0.05; done) & \
                      until [ -e ready ]; do :; done";

/// A process that is stopped, once it is what it is: before its execve it has the shell's handlers.
const STOPPED: &str = "sleep 1000 & until grep -q sleep /proc/$!/comm; do :; done; kill -STOP $!";

fn sh(script: &str) -> [String; 3] {
    ["sh".into(), "-c".into(), script.into()]
}

#[test]
fn a_childs_child_of_before_is_none_of_ours_when_its_parent_dies() {
    // A shell's background job, itself a parent, is handed over with `exec`; when it dies its child becomes ours.
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
    eventually("it is adopted", || run.children().contains(&grandchild.0).then_some(()));
    std::fs::write(directory.path().join("end"), "").unwrap();
    run.wait().code(5);
    assert!(grandchild.is_alive());
}

#[test]
fn a_process_whose_main_thread_has_ended_is_not_dead() {
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
        let family = |pid| descendants(pid).into_iter().find(|&pid| state(pid) == Some('Z'));
        let lives_on = eventually("its main thread has ended", || family(run.pid));
        run.signal(15);
        run.wait().code(137).logged("(python3)").not_logged("still there");
        gone(lives_on);
    }
}

#[test]
fn who_is_stopped_is_woken_for_the_stop_signal() {
    let script = format!("{STOPPED}; echo stopped; exit 5");
    let run = softstop(["--wait-for", "all"].into_iter().map(str::to_owned).chain(sh(&script))).pid_one().start();
    run.says("stopped");
    run.wait().code(5);
}

#[test]
fn a_stopped_member_of_the_group_is_woken_for_the_stop_signal() {
    let script = format!("trap 'wait; exit 6' TERM; {STOPPED}; echo stopped; while :; do wait; done");
    let run = softstop(["-g"].into_iter().map(str::to_owned).chain(sh(&script))).pid_one().start();
    run.says("stopped");
    run.signal(15);
    run.wait().code(6);
}

#[test]
fn the_group_is_sent_its_stop_signal_once_not_again_when_the_main_child_has_gone() {
    let recorder = recorder();
    let script =
        format!("{} --exit-on 12=0 & echo $!; trap 'exit 6' INT; while :; do sleep 0.05; done", recorder.display());
    let options = ["-g", "--wait-for", "all", "--stop-signal", "INT", "-vv"];
    let run = softstop(options.into_iter().map(str::to_owned).chain(sh(&script))).pid_one().start();
    run.says("ready");
    run.signal(15);
    run.logs("what it left behind is to stop too");
    run.signal(12);
    let outcome = run.wait();
    outcome.code(6);
    assert_eq!(outcome.stdout.matches("got 2\n").count(), 1, "{outcome:?}");
}

#[test]
fn the_platforms_request_after_the_main_child_went_by_itself_is_one_and_is_passed_on() {
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
fn pid_1_without_proc_tells_all_that_is_left() {
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
fn a_wrapper_without_proc_says_that_it_can_tell_nobody() {
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
    run.logs("SIGTERM did not reach the app: /proc does not tell who is left");
    run.wait().code(5);
}

#[test]
fn a_drain_of_no_time_says_what_was_sent_and_who_was_killed() {
    let run = softstop(["--drain-timeout", "0s", "sh", "-c", "trap '' TERM; echo ready; sleep 1000"]).pid_one().start();
    run.says("ready");
    run.signal(15);
    let outcome = run.wait();
    outcome.code(137).logged("drain: sent SIGTERM to sh").logged("killed pid 2 (sh)").not_logged("does not tell");
    // And what is left behind by a child that ended by itself has a closing line too.
    let options = ["--wait-for", "all", "--drain-timeout", "0s"];
    let run = softstop(options.into_iter().map(str::to_owned).chain(sh("(trap '' TERM; sleep 1000) & exit 5")))
        .pid_one()
        .run();
    run.code(5).logged("stopped in ").logged("sh had ended by itself").logged("SIGKILL to ");
}

#[test]
fn by_the_name_of_dumb_init_the_group_is_bidden_farewell_each_time() {
    let marker = format!("1000.{}", std::process::id());
    let is_left = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let mut lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        lines.any(|line| line == format!("sleep\0{marker}\0").as_bytes())
    };
    // The child exits as early as it can, so that its end comes at any moment of ours.
    let leaves = format!("sleep {marker} >&- 2>&- & exit 3");
    for round in 0..200 {
        program(called("dumb-init"), ["sh", "-c", &leaves]).run().code(3);
        eventually(&format!("round {round}: the sleeper hears of it"), || (!is_left()).then_some(()));
    }
    // The control: with the farewell rewritten to nothing it is left, and would be seen.
    program(called("dumb-init"), ["-r", "15:0", "sh", "-c", &leaves]).run().code(3);
    assert!(is_left());
    program("pkill", ["-f", &format!("^sleep {marker}$")]).run().code(0);
}
