//! The child starts exactly as if softstop were not there, and nothing that it holds stays open with us.
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

/// What `sed` finds of itself in /proc: unlike a program in Rust, or grep, it changes nothing by itself.
const SIGNALS: [&str; 4] = ["sed", "-n", "/^Sig[BI]/p", "/proc/self/status"];

/// Runs the command behind these words alone and behind softstop, as PID 1 and not, and expects the same output.
fn is_the_same_behind_us(before: &[&str], command: &[&str]) -> String {
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
    let found = is_the_same_behind_us(&["env", "--block-signal=USR1,TERM,CHLD,RTMIN+5"], &SIGNALS);
    assert!(found.contains("SigBlk:\t0000004000014200"), "{found}");
}

#[test]
fn an_empty_mask_is_inherited() {
    let found = is_the_same_behind_us(&[], &SIGNALS);
    assert!(found.contains("SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000"), "{found}");
}

#[test]
fn ignored_signals_are_inherited() {
    let found = is_the_same_behind_us(&["env", "--ignore-signal=HUP,INT,PIPE,TERM,CHLD,TTOU,RTMAX"], &SIGNALS);
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
fn dumb_init_hands_nothing_on() {
    // The negative control: an init that loses what was inherited.
    if !have_program("dumb-init") {
        return;
    }
    let before = ["env", "--ignore-signal=HUP", "--block-signal=USR1"];
    let found = program("dumb-init", SIGNALS).through(before).run().stdout;
    assert!(found.contains("SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000"), "{found}");
}

#[test]
fn an_ignored_sigchld_hides_no_exit_code_from_us() {
    // Where it stays ignored the kernel reaps our children unseen.
    softstop(["sh", "-c", "exit 7"]).through(["env", "--ignore-signal=CHLD"]).pid_one().run().code(7);
    softstop(["sh", "-c", "exit 7"]).through(["env", "--block-signal=CHLD"]).run().code(7);
}

#[test]
fn a_signal_that_was_blocked_before_us_still_reaches_the_app() {
    let run = softstop(recorder_until(&["10=4"])).through(["env", "--block-signal=USR1"]).pid_one().start();
    run.says("found SigBlk 0000000000000200");
    run.says("ready");
    run.signal(10);
    run.wait().code(4);
}

#[test]
fn an_inherited_ignore_is_the_apps_affair_not_ours() {
    // nohup(1): the app ignores SIGHUP, and we are no reason for it to end.
    let run = softstop(["sleep", "1000"]).through(["env", "--ignore-signal=HUP"]).pid_one().start();
    let child = run.child();
    run.listens();
    run.signal(1);
    run.takes(1);
    run.signal(15);
    run.wait().code(143);
    gone(child);
    // An ignored SIGTERM was the app's to ignore too; it is a stop request to us all the same.
    let options = ["--drain-timeout", "100ms", "sleep", "1000"];
    let run = softstop(options).through(["env", "--ignore-signal=TERM"]).pid_one().start();
    run.listens();
    run.signal(15);
    run.wait().code(137).logged("stop requested: SIGTERM");
}

#[test]
fn the_child_has_our_directory_and_we_have_none() {
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
fn a_relative_path_is_found_from_the_directory_we_started_in() {
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/bin/sh", directory.path().join("mysh")).unwrap();
    softstop(["./mysh", "-c", "exit 3"]).directory(directory.path()).pid_one().run().code(3);
}

fn link(pid: i32, name: &str) -> std::path::PathBuf {
    fs::read_link(format!("/proc/{pid}/{name}")).unwrap_or_default()
}

#[test]
fn the_child_leads_a_group_of_its_own_in_our_session() {
    let run = softstop(recorder_until(&[])).start();
    run.says("ready");
    let child = run.child();
    // SAFETY: asks only.
    let session = unsafe { libc::getsid(run.pid) };
    run.says(&format!("found pid {child} group {child} session {session}"));
}

#[test]
fn a_descriptor_reaches_the_child_and_does_not_stay_with_us() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    make_fifo(&fifo);
    // Opens at once, and a read waits until a writer has come and gone.
    let mut reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&fifo).unwrap();
    let script = "echo through 3 >&3; exec 3>&-; echo closed; exec sleep 1000";
    let run = softstop(["sh", "-c", script]).redirected(&format!("3>'{}'", fifo.display())).pid_one().start();
    run.says("closed");
    let mut read = Vec::new();
    // WouldBlock as long as somebody holds it open: then, with the line read, there is no end in sight.
    eventually("the end of the pipe", || reader.read_to_end(&mut read).ok());
    assert_eq!(read, b"through 3\n");
    assert!(run.is_running());
}

/// Names each open descriptor, by a shell that opens none to do so.
const DESCRIPTORS: &str = "for fd in 0 1 2 3 4 5 6 7 8 9 10 11 12; do [ -e /proc/$$/fd/$fd ] && printf \"$fd \"; done";

#[test]
fn the_child_has_the_descriptors_it_would_have_without_us() {
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
            // Rust's own runtime opens /dev/null for standard descriptors that are closed, so this cannot tell those.
            if !redirections.contains('-') {
                assert_eq!(line, format!("found descriptors {found}"), "{redirections}");
            }
            // The shell tells them as they are.
            let listing = softstop(["sh", "-c", DESCRIPTORS]).redirected(redirections).run().stdout;
            assert_eq!(listing.trim(), found.trim_matches(['[', ']']).replace(',', ""), "{redirections}");
            // Ours: the standard three or their fillers, the inbox, and at most the log.
            assert!(ours <= 5, "{ours} descriptors of ours with {redirections}");
        }
    }
}

fn descriptors(pid: i32) -> usize {
    // What we inherit is closed after the child has started, so the child may speak first.
    eventually("softstop closes what is not its own", || {
        let count = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
        (count <= 5).then_some(count)
    })
}

#[test]
fn with_stderr_closed_no_log_line_lands_in_a_file_of_the_childs() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    // The child opens a file, which becomes its descriptor 2, and the stop logs at every level.
    let script = format!("exec 4>'{}'; echo mine >&4; echo ready; exec sleep 1000", file.display());
    let run = softstop(["-vvv", "sh", "-c", &script]).redirected("2>&-").pid_one().start();
    run.says("ready");
    run.signal(1);
    run.wait().code(129);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine\n");

    // And a file that we inherit under a higher number is no log either.
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
fn a_configuration_read_with_stdin_closed_is_not_the_childs_stdin() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("softstop.toml");
    fs::write(&file, "pre_delay = \"0s\"\n").unwrap();
    let arguments = ["--config", file.to_str().unwrap(), "sh", "-c", "cat || exit 9"];
    softstop(arguments).redirected("0<&- 2>&-").pid_one().run().code(9);
}

#[test]
fn stdout_is_the_apps_alone() {
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
    // An error goes to stderr too.
    let outcome = softstop(["no-such-program"]).run();
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.is_empty()), ("", false));
}

#[test]
fn what_the_child_reads_from_stdin_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("input");
    fs::write(&file, "first\nsecond\n").unwrap();
    let outcome = softstop(["cat"]).stdin(Stdio::from(File::open(&file).unwrap())).pid_one().run();
    assert_eq!(outcome.code(0).stdout, "first\nsecond\n");
}

#[test]
fn the_log_does_not_make_the_apps_stderr_non_blocking() {
    // O_NONBLOCK belongs to the open file, which the two share: an app that writes much would lose output.
    let script = "grep ^flags /proc/self/fdinfo/2";
    let alone = program("sh", ["-c", script]).run().stdout;
    let behind = softstop(["-vvv", "sh", "-c", &format!("sleep 0.2; {script}")]).run().stdout;
    let flags = |line: &str| u32::from_str_radix(line.trim_start_matches("flags:").trim(), 8).unwrap();
    let non_blocking = u32::try_from(libc::O_NONBLOCK).unwrap();
    assert_eq!(flags(&alone) & non_blocking, flags(&behind) & non_blocking);
    assert_eq!(flags(&behind) & non_blocking, 0);
}

#[test]
fn sockets_that_were_to_be_ours_are_the_childs() {
    let tell = ["sh", "-c", "test $LISTEN_PID = $$ && echo mine"];
    let mine = |run: Softstop| run.env("LISTEN_FDS", "1").pid_one().run().stdout == "mine\n";
    assert!(mine(softstop(tell).env("LISTEN_PID", "1")));
    assert!(mine(softstop(tell).env("LISTEN_PID", "00000000000000000001")), "longer than any number is");
    assert!(!mine(softstop(tell).env("LISTEN_PID", "77")), "what is for somebody else stays so");
    // The control: tini leaves them addressed to itself, and the child would not take them.
    if have_program("tini") {
        assert!(!mine(program("tini", ["--", "sh", "-c", tell[2]]).env("LISTEN_PID", "1")));
    }
}

#[test]
fn sockets_that_name_us_by_a_pidfd_too_are_the_childs() {
    let told = |listen_pid: &str| {
        let tell = ["sh", "-c", "echo ${LISTEN_PIDFDID-none}"];
        let variables = |run: Softstop| run.env("LISTEN_FDS", "1").env("LISTEN_PIDFDID", "4711");
        variables(softstop(tell).env("LISTEN_PID", listen_pid)).pid_one().run().stdout
    };
    // systemd sets it from version 258 on, and a server whose own it is not takes no socket.
    assert_eq!(told("1"), "none\n");
    assert_eq!(told("77"), "4711\n", "what is for somebody else stays so");
}
