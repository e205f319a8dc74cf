//! At a terminal, Ctrl-C, Ctrl-Z and job control work as they do without softstop.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test panics when it fails; unlike the init it may read the clock and wait for its children"
)]

use common::*;

use std::process::Command;

/// The binary under test.
const SOFTSTOP: &str = env!("CARGO_BIN_EXE_softstop");

/// Starts softstop at a terminal as PID 1 and leader of the session, like `docker run -it`.
fn like_docker(arguments: &[&str]) -> (Terminal, i32) {
    let words = softstop(arguments).through(["setsid", "--ctty"]).pid_one();
    // `setsid --ctty` takes the terminal from the session that unshare leads. Only root may do that.
    let terminal = Terminal::start(&mut words.command());
    let pid = pid_one_behind(terminal.pid);
    (terminal, pid)
}

/// Starts softstop at a terminal as PID 1, in the foreground, but not as leader of the session.
fn as_pid_one(arguments: &[&str]) -> (Terminal, i32) {
    let terminal = Terminal::start(&mut softstop(arguments).pid_one().command());
    let pid = pid_one_behind(terminal.pid);
    (terminal, pid)
}

/// Starts softstop at a terminal as leader of the session, but not as PID 1, like `script` or a terminal emulator.
fn as_leader(arguments: &[&str]) -> (Terminal, i32) {
    let terminal = Terminal::start(&mut softstop(arguments).command());
    let pid = terminal.pid;
    (terminal, pid)
}

type Start = fn(&[&str]) -> (Terminal, i32);

fn ways() -> Vec<(&'static str, Start)> {
    let mut ways: Vec<(&'static str, Start)> = vec![("PID 1", as_pid_one), ("a session's leader", as_leader)];
    if have("root, to move a terminal to another session", is_root()) {
        ways.push(("PID 1 and a session's leader", like_docker));
    }
    ways
}

fn child(pid: i32) -> i32 {
    eventually("softstop has a child", || children(pid).first().copied())
}

/// Prints a line and then executes `sleep`, a program without signal handlers.
const SLEEPS: &str = "echo ready; exec sleep 1000";

fn sleeps(pid: i32) -> i32 {
    let child = child(pid);
    eventually("sleep runs", || has_name(child, "sleep").then_some(()));
    child
}

#[test]
fn ctrl_c_ends_the_child_by_sigint() {
    for (name, start) in ways() {
        let (mut terminal, pid) = start(&["sh", "-c", SLEEPS]);
        terminal.shows("ready");
        sleeps(pid);
        terminal.types("\x03");
        assert_eq!(terminal.ends(), 130, "{name}");
    }
}

#[test]
fn the_childs_process_group_is_in_the_foreground() {
    for (name, start) in ways() {
        let (terminal, pid) = start(&["sh", "-c", SLEEPS]);
        terminal.shows("ready");
        assert_eq!(terminal.foreground(), child(pid), "{name}");
    }
}

#[test]
fn the_child_can_read_and_write_the_terminal() {
    for (name, start) in ways() {
        // With `tostop` a background process is stopped when it writes too, not only when it reads.
        let script = "stty tostop -echo; echo ready; read line; echo \"read $line\"; exit 7";
        let (mut terminal, _) = start(&["sh", "-c", script]);
        terminal.shows("ready");
        terminal.types("words\r");
        terminal.shows("read words");
        assert_eq!(terminal.ends(), 7, "{name}");
    }
}

#[test]
fn ctrl_z_without_a_shell_that_could_fg_does_not_hang_the_child() {
    for (name, start) in ways() {
        let (mut terminal, pid) = start(&["sh", "-c", SLEEPS]);
        terminal.shows("ready");
        let child = sleeps(pid);
        terminal.types("\x1a");
        terminal.shows("^Z");
        // The child may be stopped for a moment. It must continue and get the next key.
        eventually(&format!("{name}: the child is continued"), || (state(child) == Some('S')).then_some(()));
        terminal.types("\x03");
        assert_eq!(terminal.ends(), 130, "{name}");
    }
}

#[test]
fn a_stop_request_after_ctrl_z_ends_the_child() {
    for (_, start) in ways() {
        let (mut terminal, pid) = start(&["sh", "-c", SLEEPS]);
        terminal.shows("ready");
        sleeps(pid);
        terminal.types("\x1a");
        terminal.shows("^Z");
        send(pid, 15);
        assert_eq!(terminal.ends(), 143);
    }
}

#[test]
fn a_nested_init_ends_on_ctrl_c_too() {
    let (mut terminal, pid) = as_pid_one(&[SOFTSTOP, "--", "sh", "-c", SLEEPS]);
    terminal.shows("ready");
    sleeps(child(pid));
    terminal.types("\x03");
    assert_eq!(terminal.ends(), 130);
}

#[test]
fn no_sighup_reaches_the_child_as_it_starts() {
    // Giving up a terminal (TIOCNOTTY) sends SIGHUP and SIGCONT to the foreground process group. An init that does so
    // to get a process group of its own sends them to its child.
    for (_, start) in ways() {
        let recorder = recorder();
        let (mut terminal, pid) = start(&[recorder.to_str().unwrap(), "--exit-on", "15=6"]);
        terminal.shows("ready");
        send(pid, 15);
        terminal.shows("got 15");
        assert_eq!(terminal.ends(), 6);
        let text = terminal.text();
        assert_eq!(text.matches("got ").count(), 1, "{text}");
    }
}

#[test]
fn a_resize_reaches_the_child_once() {
    let recorder = recorder();
    let (terminal, pid) = as_pid_one(&[recorder.to_str().unwrap(), "--exit-on", "10=0"]);
    terminal.shows("ready");
    terminal.resize(100);
    terminal.shows("got 28");
    send(pid, 10);
    terminal.shows("got 10");
    let text = terminal.text();
    assert_eq!(text.matches("got 28").count(), 1, "{text}");
}

#[test]
fn a_resize_does_not_stop_httpd_but_a_sigwinch_from_a_process_does() {
    for (name, start) in ways() {
        let recorder = recorder();
        let options = ["--profile", "httpd", "--pre-delay", "0s", recorder.to_str().unwrap(), "--exit-on", "28=5"];
        let (mut terminal, pid) = start(&options);
        terminal.shows("ready");
        terminal.resize(90);
        terminal.resize(120);
        // The resizes are pending before this signal, so that softstop reads them in the same wake-up or in an earlier
        // one. Within one wake-up it reads the lowest number first.
        send(pid, 10);
        terminal.shows("got 10");
        send(pid, 28);
        terminal.shows("got 28");
        assert_eq!(terminal.ends(), 5, "{name}");
        let text = terminal.text();
        assert_eq!(text.matches("got ").count(), 2, "{name}: {text}");
        assert!(text.contains("stop requested: SIGWINCH"), "{text}");
    }
}

#[test]
fn an_httpd_at_a_terminal_still_ends_on_ctrl_c() {
    let (mut terminal, pid) = as_pid_one(&["--profile", "httpd", "sh", "-c", SLEEPS]);
    terminal.shows("ready");
    sleeps(pid);
    terminal.types("\x03");
    assert_eq!(terminal.ends(), 130);
}

#[test]
fn a_child_stopped_by_sigttin_is_continued_for_its_stop_signal() {
    // softstop keeps httpd in the background, so that resizes do not stop it. A read from the terminal then stops it by
    // SIGTTIN.
    for (name, start) in ways() {
        let options = ["--profile", "httpd", "--pre-delay", "0s", "--stop-signal", "TERM"];
        let command = ["sh", "-c", "echo ready; read line"];
        let (mut terminal, pid) = start(&[&options[..], &command].concat());
        terminal.shows("ready");
        let child = child(pid);
        eventually("SIGTTIN stops the child", || (state(child) == Some('T')).then_some(()));
        send(pid, 15);
        assert_eq!(terminal.ends(), 143, "{name}");
    }
}

/// An interactive shell with job control.
fn bash() -> Option<Terminal> {
    if !have_program("bash") {
        return None;
    }
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "--noediting", "-i"]).env("PS1", "prompt> ").env_remove("PROMPT_COMMAND");
    as_from_a_login(&mut bash);
    let terminal = Terminal::start(&mut bash);
    terminal.shows("prompt> ");
    Some(terminal)
}

/// Types a command line and skips its echo.
fn run(terminal: &Terminal, line: &str) {
    terminal.types(&format!("{line}\r"));
    terminal.shows("\r\n");
}

#[test]
fn ctrl_z_returns_to_the_prompt_and_fg_continues_the_job() {
    let Some(terminal) = bash() else { return };
    run(&terminal, &format!("{SOFTSTOP} sh -c '{SLEEPS}'"));
    terminal.shows("ready");
    let init = children(terminal.pid)[0];
    let child = sleeps(init);
    for _ in 0..3 {
        terminal.types("\x1a");
        terminal.shows("Stopped");
        terminal.shows("prompt> ");
        assert_eq!((state(init), state(child)), (Some('T'), Some('T')));
        run(&terminal, "fg");
        eventually("the job is continued", || (state(child) == Some('S')).then_some(()));
        eventually("the job is in the foreground", || (terminal.foreground() == child).then_some(()));
    }
    terminal.types("\x03");
    terminal.shows("prompt> ");
    run(&terminal, "echo code $?");
    terminal.shows("code 130");
}

#[test]
fn ctrl_z_returns_to_the_prompt_under_another_inits_name_too() {
    for name in ["tini", "dumb-init", "catatonit"] {
        let Some(terminal) = bash() else { return };
        run(&terminal, &format!("{} -- sh -c '{SLEEPS}'", called(name).display()));
        terminal.shows("ready");
        let init = children(terminal.pid)[0];
        let child = sleeps(init);
        for _ in 0..3 {
            terminal.types("\x1a");
            terminal.shows("Stopped");
            terminal.shows("prompt> ");
            // dumb-init stops its child before itself, but the child may be seen stopped only later.
            eventually(name, || ((state(init), state(child)) == (Some('T'), Some('T'))).then_some(()));
            run(&terminal, "fg");
            eventually("the job is continued", || {
                (state(init) == Some('S') && state(child) == Some('S')).then_some(())
            });
        }
        terminal.types("\x03");
        terminal.shows("prompt> ");
        run(&terminal, "echo code $?");
        terminal.shows("code 130");
    }
}

#[test]
fn under_the_real_tini_ctrl_z_does_not_return_to_the_prompt() {
    // The control: tini keeps sleeping while its child is stopped, and the shell waits for tini.
    if !have_program("tini") {
        return;
    }
    let Some(terminal) = bash() else { return };
    run(&terminal, &format!("tini -s -- sh -c '{SLEEPS}'"));
    terminal.shows("ready");
    let init = children(terminal.pid)[0];
    let child = sleeps(init);
    terminal.types("\x1a");
    eventually("the child stops", || (state(child) == Some('T')).then_some(()));
    assert_ne!(state(init), Some('T')); // S, or R when it wakes up just now
}

#[test]
fn bg_continues_the_job_in_the_background_and_fg_brings_it_back() {
    let Some(terminal) = bash() else { return };
    run(&terminal, &format!("{SOFTSTOP} sh -c '{SLEEPS}'"));
    terminal.shows("ready");
    let child = sleeps(children(terminal.pid)[0]);
    terminal.types("\x1a");
    terminal.shows("Stopped");
    terminal.shows("prompt> ");
    run(&terminal, "bg");
    terminal.shows("prompt> ");
    eventually("the job is continued", || (state(child) == Some('S')).then_some(()));
    assert_eq!(terminal.foreground(), terminal.pid, "the shell is not in the foreground");
    run(&terminal, "echo the shell has the keys");
    terminal.shows("the shell has the keys");
    run(&terminal, "fg");
    eventually("the job is in the foreground", || (terminal.foreground() != terminal.pid).then_some(()));
    terminal.types("\x03");
    terminal.shows("prompt> ");
    run(&terminal, "echo code $?");
    terminal.shows("code 130");
}

#[test]
fn a_background_job_does_not_take_the_foreground() {
    let Some(terminal) = bash() else { return };
    run(&terminal, &format!("{SOFTSTOP} sh -c '{SLEEPS}' &"));
    terminal.shows("ready");
    assert_eq!(terminal.foreground(), terminal.pid);
    run(&terminal, "echo the shell has the keys");
    terminal.shows("the shell has the keys");
    // The shell can stop the job.
    run(&terminal, "kill %1; wait %1; echo code $?");
    terminal.shows("code 143");
}

#[test]
fn a_script_that_ran_softstop_can_read_the_terminal_afterwards() {
    let Some(terminal) = bash() else { return };
    run(&terminal, &format!("sh -c '{SOFTSTOP} true; echo then; read line; echo \"read $line\"'"));
    terminal.shows("then");
    terminal.types("words\r");
    terminal.shows("read words");
    terminal.shows("prompt> ");
    // Also in a pipeline, where softstop shares its process group with other commands.
    run(&terminal, &format!("{SOFTSTOP} sh -c 'sleep 0.1; echo out' | cat; echo after"));
    terminal.shows("out");
    terminal.shows("after");
}

#[test]
fn after_ctrl_c_the_script_that_ran_softstop_has_the_terminal_again() {
    let Some(terminal) = bash() else { return };
    run(&terminal, &format!("sh -c '{SOFTSTOP} sh -c \"{SLEEPS}\"; echo code $?; read line; echo \"read $line\"'"));
    terminal.shows("ready");
    let script = children(terminal.pid)[0];
    sleeps(child(script));
    terminal.types("\x03");
    terminal.shows("code 130");
    terminal.types("words\r");
    terminal.shows("read words");
}

#[test]
fn ctrl_z_stops_the_script_that_ran_softstop_too() {
    let Some(terminal) = bash() else { return };
    run(&terminal, &format!("sh -c '{SOFTSTOP} sh -c \"{SLEEPS}\"; echo code $?'"));
    terminal.shows("ready");
    let script = children(terminal.pid)[0];
    let sleep = sleeps(child(script));
    terminal.types("\x1a");
    terminal.shows("Stopped");
    terminal.shows("prompt> ");
    assert_eq!((state(script), state(sleep)), (Some('T'), Some('T')));
    run(&terminal, "fg");
    eventually("the job is continued", || (state(sleep) == Some('S')).then_some(()));
    eventually("the job is in the foreground", || (terminal.foreground() == sleep).then_some(()));
    terminal.types("\x03");
    terminal.shows("code 130");
}

#[test]
fn an_fg_that_arrives_while_softstop_suspends_itself_is_not_lost() {
    // The shell sends SIGCONT as soon as it sees the script stop, whether or not softstop has stopped itself by then.
    let Some(terminal) = bash() else { return };
    run(&terminal, "stty -echo");
    terminal.shows("prompt> ");
    terminal.types(&format!("sh -c '{SOFTSTOP} sh -c \"{SLEEPS}\"; echo code $?'\r"));
    terminal.shows("ready");
    let sleep = sleeps(child(children(terminal.pid)[0]));
    for _ in 0..50 {
        terminal.types("\x1afg\r");
        terminal.shows("Stopped");
        eventually("the job is continued", || (state(sleep) == Some('S')).then_some(()));
        eventually("the job is in the foreground", || (terminal.foreground() == sleep).then_some(()));
    }
    terminal.types("\x03");
    terminal.shows("code 130");
}

#[test]
fn a_job_that_reads_in_the_background_waits_for_fg() {
    let Some(terminal) = bash() else { return };
    run(&terminal, "stty -echo");
    terminal.shows("prompt> ");
    terminal.types(&format!("{SOFTSTOP} sh -c 'echo ready; read line; echo \"read $line\"' &\r"));
    terminal.shows("ready");
    let init = children(terminal.pid)[0];
    let child = child(init);
    // SIGTTIN stops the child, and softstop stops itself so that the shell notices.
    eventually("both are stopped", || (state(child) == Some('T') && state(init) == Some('T')).then_some(()));
    terminal.types("fg\r");
    eventually("the child reads", || (state(child) == Some('S')).then_some(()));
    terminal.types("words\r");
    terminal.shows("read words");
}

#[test]
fn in_an_orphaned_process_group_softstop_does_not_suspend_itself() {
    let Some(terminal) = bash() else { return };
    let directory = tempfile::tempdir().unwrap();
    let [script, go] = ["script", "go"].map(|name| directory.path().join(name));
    make_fifo(&go);
    let app = "echo ready $PPID.; while :; do stty -echo; sleep 0.01; done";
    std::fs::write(&script, format!("read go <'{}'; exec {SOFTSTOP} sh -c '{app}'", go.display())).unwrap();
    run(&terminal, "stty -echo");
    terminal.shows("prompt> ");
    terminal.types(&format!("(sh '{}' <&0 &)\r", script.display()));
    terminal.shows("prompt> ");
    // The subshell has exited, so that its process group is orphaned: no shell can continue it.
    std::fs::write(&go, "go\n").unwrap();
    terminal.shows("ready ");
    let init: i32 = terminal.shows(".").parse().unwrap();
    let child = child(init);
    eventually("SIGTTOU stops the child", || (state(child) == Some('T')).then_some(()));
    assert_eq!(terminal.foreground(), terminal.pid);
    send(init, 15);
    // The process that has adopted softstop may not reap it.
    gone(child);
    gone(init);
}

#[test]
fn a_background_job_that_fg_brought_up_stops_on_ctrl_z() {
    let Some(terminal) = bash() else { return };
    run(&terminal, &format!("{SOFTSTOP} sh -c '{SLEEPS}' &"));
    terminal.shows("ready");
    let init = children(terminal.pid)[0];
    let child = sleeps(init);
    run(&terminal, "fg");
    eventually("the job is in the foreground", || (terminal.foreground() == init).then_some(()));
    terminal.types("\x1a");
    terminal.shows("Stopped");
    terminal.shows("prompt> ");
    assert_eq!((state(init), state(child)), (Some('T'), Some('T')));
    run(&terminal, "fg");
    eventually("the child has the foreground", || (terminal.foreground() == child).then_some(()));
    terminal.types("\x03");
    terminal.shows("prompt> ");
    run(&terminal, "echo code $?");
    terminal.shows("code 130");
}

#[test]
fn a_background_job_that_fg_brought_up_ends_on_ctrl_c() {
    let Some(terminal) = bash() else { return };
    run(&terminal, &format!("{SOFTSTOP} sh -c '{SLEEPS}' &"));
    terminal.shows("ready");
    let init = children(terminal.pid)[0];
    sleeps(init);
    run(&terminal, "fg");
    eventually("the job is in the foreground", || (terminal.foreground() == init).then_some(()));
    terminal.types("\x03");
    terminal.shows("prompt> ");
    run(&terminal, "echo code $?");
    terminal.shows("code 130");
}

#[test]
fn under_timeout_a_child_stopped_by_sigttin_is_ended_in_time() {
    // timeout(1) puts itself and its command in the background. It ignores SIGTTIN, so that it can end a command which
    // that stops.
    if !have_program("timeout") {
        return;
    }
    let Some(terminal) = bash() else { return };
    run(&terminal, "stty -echo");
    terminal.shows("prompt> ");
    terminal.types(&format!("timeout 4 {SOFTSTOP} sh -c 'echo ready; read line'; echo code $?\r"));
    terminal.shows("ready");
    terminal.shows("code 124");
}

#[test]
fn without_a_terminal_softstop_does_not_stop_when_the_child_stops() {
    // Without a shell that could continue softstop, it keeps running. A stop request continues the child.
    let run = softstop(["sleep", "1000"]).pid_one().start();
    run.listens();
    let child = sleeps(run.pid);
    send(child, libc::SIGTSTP);
    eventually("the child is stopped", || (state(child) == Some('T')).then_some(()));
    run.signal(15);
    run.wait().code(143);
}

#[test]
fn a_sigcont_that_arrives_before_softstop_suspends_itself_is_not_lost() {
    if !have_program("strace") {
        return;
    }
    // strace delays the return from the kill that stops the child, so that SIGCONT arrives before softstop (as
    // dumb-init) stops itself.
    let trace =
        ["strace", "-D", "-qq", "-o", "/dev/null", "-e", "trace=kill", "-e", "inject=kill:delay_exit=500ms:when=1"];
    let run = program(called("dumb-init"), ["sleep", "1000"]).through(trace).start();
    run.listens();
    let child = sleeps(run.pid);
    run.signal(libc::SIGTSTP);
    eventually("the child is stopped", || (state(child) == Some('T')).then_some(()));
    run.signal(libc::SIGCONT);
    eventually("the child is continued", || (state(child) == Some('S')).then_some(()));
    run.signal(15);
    run.wait().code(143);
}

#[test]
fn a_script_stopped_by_ctrl_z_during_a_stop_acts_on_its_stop_signal() {
    // Ctrl-Z also stops the command that the shell waits for, and the shell runs its trap only after that has ended.
    let script = "trap 'exit 3' TERM; echo ready; while :; do sleep 2; done";
    for (way, start) in ways() {
        let (mut terminal, pid) = start(&["--pre-delay", "1h", "sh", "-c", script]);
        terminal.shows("ready");
        let child = child(pid);
        send(pid, libc::SIGTERM);
        terminal.shows("keeps serving");
        // Not before: a shell that waits in vfork(2) for a child which is stopped before its execve cannot be stopped.
        eventually("sleep runs", || has_name(*children(child).first()?, "sleep").then_some(()));
        terminal.types("\x1a");
        eventually("the whole group is stopped", || {
            let below = children(child);
            (state(child) == Some('T') && below.iter().all(|&one| state(one) == Some('T'))).then_some(())
        });
        send(pid, libc::SIGINT); // ends the pre-delay
        assert_eq!(terminal.ends(), 3, "{way}");
    }
}
