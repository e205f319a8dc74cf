//! The child inherits what it would inherit without softstop, and softstop keeps none of the child's descriptors open.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test panics when it fails; unlike the init it may read the clock and wait for its children"
)]

use common::*;

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;

/// Prints the blocked and ignored signals. `sed`, unlike grep or a Rust program, changes neither.
const SIGNALS: [&str; 4] = ["sed", "-n", "/^Sig[BI]/p", "/proc/self/status"];

/// Runs the command without softstop, and behind it as PID 1 and as a wrapper. Expects the same output each time.
fn has_the_same_output_behind_softstop(before: &[&str], command: &[&str]) -> String {
    let alone = program(command[0], &command[1..]).through(before).run();
    for options in [&[][..], &["-g", "-s"], &["-vvv"]] {
        let words = || options.iter().chain(command);
        assert_eq!(softstop(words()).through(before).run().stdout, alone.stdout);
        assert_eq!(softstop(words()).through(before).pid_one().run().stdout, alone.stdout);
    }
    alone.stdout
}

#[test]
fn the_signal_mask_is_inherited() {
    let found = has_the_same_output_behind_softstop(&["env", "--block-signal=USR1,TERM,CHLD,RTMIN+5"], &SIGNALS);
    assert!(found.contains("SigBlk:\t0000004000014200"), "{found}");
}

#[test]
fn an_empty_mask_is_inherited() {
    let found = has_the_same_output_behind_softstop(&[], &SIGNALS);
    assert!(found.contains("SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000"), "{found}");
}

#[test]
fn ignored_signals_are_inherited() {
    let found =
        has_the_same_output_behind_softstop(&["env", "--ignore-signal=HUP,INT,PIPE,TERM,CHLD,TTOU,RTMAX"], &SIGNALS);
    assert!(found.contains("SigIgn:\t8000000000215003"), "{found}");
}

#[test]
fn each_signal_is_inherited_as_ignored() {
    for signal in (1..=64).filter(|signal| ![9, 19, 32, 33].contains(signal)) {
        let found = softstop(SIGNALS).through(["env", &format!("--ignore-signal={signal}")]).run().stdout;
        assert!(found.contains(&format!("SigIgn:\t{:016x}", 1_u64 << (signal - 1))), "{signal}: {found}");
    }
}

#[test]
fn dumb_init_does_not_pass_on_signal_mask_and_ignored_signals() {
    // The negative control: an init that resets what it inherits.
    if !have_program("dumb-init") {
        return;
    }
    let before = ["env", "--ignore-signal=HUP", "--block-signal=USR1"];
    let found = program("dumb-init", SIGNALS).through(before).run().stdout;
    assert!(found.contains("SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000"), "{found}");
}

#[test]
fn softstop_sees_the_exit_code_despite_an_inherited_ignored_sigchld() {
    // While SIGCHLD is ignored, the kernel reaps children itself and their exit status is lost.
    softstop(["sh", "-c", "exit 7"]).through(["env", "--ignore-signal=CHLD"]).pid_one().run().code(7);
    softstop(["sh", "-c", "exit 7"]).through(["env", "--block-signal=CHLD"]).run().code(7);
}

#[test]
fn a_signal_that_softstop_inherits_as_blocked_still_reaches_the_app() {
    let run = softstop(recorder_until(&["10=4"])).through(["env", "--block-signal=USR1"]).pid_one().start();
    run.says("found SigBlk 0000000000000200");
    run.says("ready");
    run.signal(10);
    run.wait().code(4);
}

#[test]
fn an_inherited_ignored_signal_is_ignored_by_the_app_and_not_by_softstop() {
    // As under nohup(1): the app ignores SIGHUP, and softstop passes it on.
    let run = softstop(["sleep", "1000"]).through(["env", "--ignore-signal=HUP"]).pid_one().start();
    let child = run.child();
    run.listens();
    run.signal(1);
    run.takes(1);
    run.signal(15);
    run.wait().code(143);
    gone(child);
    // An app that inherits an ignored SIGTERM ignores it. To softstop SIGTERM is still a stop request.
    let options = ["--drain-timeout", "100ms", "sleep", "1000"];
    let run = softstop(options).through(["env", "--ignore-signal=TERM"]).pid_one().start();
    run.listens();
    run.signal(15);
    run.wait().code(137).logged("stop requested: SIGTERM");
}

#[test]
fn the_child_keeps_the_working_directory_and_softstop_changes_to_the_root() {
    let directory = tempfile::tempdir().unwrap();
    let expected = directory.path().canonicalize().unwrap();
    for run in [softstop(recorder_until(&[])), softstop(recorder_until(&[])).pid_one()] {
        let run = run.directory(directory.path()).start();
        run.says("ready");
        run.says(&format!("found cwd {}", expected.display()));
        eventually("softstop leaves the directory", || (link(run.pid, "cwd") == Path::new("/")).then_some(()));
    }
}

#[test]
fn a_relative_path_is_resolved_in_the_directory_that_softstop_was_started_in() {
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/bin/sh", directory.path().join("mysh")).unwrap();
    softstop(["./mysh", "-c", "exit 3"]).directory(directory.path()).pid_one().run().code(3);
}

fn link(pid: i32, name: &str) -> std::path::PathBuf {
    fs::read_link(format!("/proc/{pid}/{name}")).unwrap_or_default()
}

#[test]
fn the_child_leads_a_new_process_group_in_the_same_session() {
    let run = softstop(recorder_until(&[])).start();
    run.says("ready");
    let child = run.child();
    // SAFETY: asks only.
    let session = unsafe { libc::getsid(run.pid) };
    run.says(&format!("found pid {child} group {child} session {session}"));
}

#[test]
fn an_inherited_descriptor_reaches_the_child_and_is_closed_in_softstop() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    make_fifo(&fifo);
    // With O_NONBLOCK the open does not wait for a writer.
    let mut reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&fifo).unwrap();
    let script = "echo through 3 >&3; exec 3>&-; echo closed; exec sleep 1000";
    let run = softstop(["sh", "-c", script]).redirected(&format!("3>'{}'", fifo.display())).pid_one().start();
    run.says("closed");
    let mut read = Vec::new();
    // A read gives WouldBlock as long as any process holds the write end open.
    eventually("the end of the pipe", || reader.read_to_end(&mut read).ok());
    assert_eq!(read, b"through 3\n");
    assert!(run.is_running());
}

/// A shell script that lists its open descriptors without opening another one.
const DESCRIPTORS: &str = "for fd in 0 1 2 3 4 5 6 7 8 9 10 11 12; do [ -e /proc/$$/fd/$fd ] && printf \"$fd \"; done";

#[test]
fn the_child_has_the_descriptors_that_it_would_have_without_softstop() {
    for (redirections, found) in [
        ("", "[0, 1, 2]"),
        ("3</dev/null 9</dev/null", "[0, 1, 2, 3, 9]"),
        ("0<&-", "[1, 2]"),
        ("2>&-", "[0, 1]"),
        ("0<&- 2>&-", "[1]"),
        ("0<&- 2>&- 7</dev/null", "[1, 7]"),
    ] {
        let command = [recorder().to_str().unwrap().to_owned()];
        for run in [softstop(command.clone()), softstop(command.clone()).pid_one(), softstop(words(["-vvv"], &command))]
        {
            let run = run.redirected(redirections).start();
            run.says("ready");
            let (line, ours) = (run.stdout.wait("found descriptors"), descriptors(run.pid));
            // The recorder cannot see closed standard descriptors: Rust's runtime opens /dev/null in their place.
            if !redirections.contains('-') {
                assert_eq!(line, format!("found descriptors {found}"), "{redirections}");
            }
            // A shell can.
            let listing = softstop(["sh", "-c", DESCRIPTORS]).redirected(redirections).run().stdout;
            assert_eq!(listing.trim(), found.trim_matches(['[', ']']).replace(',', ""), "{redirections}");
            // softstop itself has the three standard ones or /dev/null in their place, the signalfd, and at most the
            // log.
            assert!(ours <= 5, "softstop has {ours} descriptors with {redirections}");
        }
    }
}

fn descriptors(pid: i32) -> usize {
    // softstop closes what it inherits after the child has started, so that the child may print first.
    eventually("softstop closes what is not its own", || {
        let count = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
        (count <= 5).then_some(count)
    })
}

#[test]
fn with_stderr_closed_no_log_line_ends_up_in_a_file_of_the_child() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    // The child opens a file while descriptor 2 is closed, and softstop logs at the most verbose level.
    let script = format!("exec 4>'{}'; echo mine >&4; echo ready; exec sleep 1000", file.display());
    let run = softstop(["-vvv", "sh", "-c", &script]).redirected("2>&-").pid_one().start();
    run.says("ready");
    run.signal(1);
    run.wait().code(129);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine\n");

    // A file that softstop inherits as another descriptor does not become the log either.
    fs::write(&file, "").unwrap();
    let run = softstop(["-vvv", "sh", "-c", "echo ready; exec sleep 1000"])
        .redirected(&format!("2>&- 3>'{}'", file.display()))
        .pid_one()
        .start();
    run.says("ready");
    run.signal(15);
    run.wait().code(143);
    assert_eq!(fs::read_to_string(&file).unwrap(), "");
}

#[test]
fn a_configuration_file_read_with_stdin_closed_does_not_become_the_childs_stdin() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("softstop.toml");
    fs::write(&file, "pre_delay = \"0s\"\n").unwrap();
    let arguments = ["--config", file.to_str().unwrap(), "sh", "-c", "cat || exit 9"];
    softstop(arguments).redirected("0<&- 2>&-").pid_one().run().code(9);
}

#[test]
fn softstop_writes_nothing_to_stdout() {
    for verbosity in [&[][..], &["-v"], &["-vv"], &["-vvv"], &["-vvv", "-w", "--log-format=json"]] {
        let options = verbosity.iter().copied().chain(["--pre-delay", "10ms", "--drain-timeout", "10ms"]);
        let script = "trap '' HUP TERM; echo only this; (sleep 0.01 &) ; while :; do sleep 0.1; done";
        let run = softstop(words(options, &["sh".into(), "-c".into(), script.into()])).pid_one().start();
        run.says("only this");
        run.signal(1).signal(15);
        let outcome = run.wait();
        assert_eq!(outcome.code(137).stdout, "only this\n");
        outcome.logged("stopped in");
    }
    // Errors go to stderr too.
    let outcome = softstop(["no-such-program"]).run();
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.is_empty()), ("", false));
}

#[test]
fn the_child_can_read_all_of_stdin() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("input");
    fs::write(&file, "first\nsecond\n").unwrap();
    let outcome = softstop(["cat"]).stdin(Stdio::from(File::open(&file).unwrap())).pid_one().run();
    assert_eq!(outcome.code(0).stdout, "first\nsecond\n");
}

#[test]
fn softstop_does_not_set_o_nonblock_on_the_apps_stderr() {
    // O_NONBLOCK belongs to the open file description, which the app shares. The app's own writes would fail with
    // EAGAIN.
    let script = "grep ^flags /proc/self/fdinfo/2";
    let alone = program("sh", ["-c", script]).run().stdout;
    let behind = softstop(["-vvv", "sh", "-c", &format!("sleep 0.2; {script}")]).run().stdout;
    let flags = |line: &str| u32::from_str_radix(line.trim_start_matches("flags:").trim(), 8).unwrap();
    let non_blocking = u32::try_from(libc::O_NONBLOCK).unwrap();
    assert_eq!(flags(&alone) & non_blocking, flags(&behind) & non_blocking);
    assert_eq!(flags(&behind) & non_blocking, 0);
}

#[test]
fn listen_pid_of_a_socket_activation_is_rewritten_to_the_child() {
    let tell = ["sh", "-c", "test $LISTEN_PID = $$ && echo mine"];
    let mine = |run: Softstop| run.env("LISTEN_FDS", "1").pid_one().run().stdout == "mine\n";
    assert!(mine(softstop(tell).env("LISTEN_PID", "1")));
    assert!(mine(softstop(tell).env("LISTEN_PID", "00000000000000000001")), "LISTEN_PID has leading zeros");
    assert!(!mine(softstop(tell).env("LISTEN_PID", "77")), "variables for another process stay unchanged");
    // The control: tini leaves LISTEN_PID as it is, so that the child ignores the sockets.
    if have_program("tini") {
        assert!(!mine(program("tini", ["--", "sh", "-c", tell[2]]).env("LISTEN_PID", "1")));
    }
}

#[test]
fn listen_pidfdid_is_removed_when_listen_pid_is_rewritten() {
    let told = |listen_pid: &str| {
        let tell = ["sh", "-c", "echo ${LISTEN_PIDFDID-none}"];
        let variables = |run: Softstop| run.env("LISTEN_FDS", "1").env("LISTEN_PIDFDID", "4711");
        variables(softstop(tell).env("LISTEN_PID", listen_pid)).pid_one().run().stdout
    };
    // systemd sets LISTEN_PIDFDID since version 258. A server for which it is wrong takes no socket.
    assert_eq!(told("1"), "none\n");
    assert_eq!(told("77"), "4711\n", "variables for another process stay unchanged");
}
