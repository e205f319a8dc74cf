//! A server that runs as another user behind a script, and a softstop that may not inspect it, not signal it, or not even see it.
//!
//! softstop is root with the capabilities that Docker gives by default, or fewer: it has no `CAP_SYS_PTRACE`, so the descriptors
//! of another user's process are hidden from it (`man 2 ptrace`, "Ptrace access mode checking").
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test panics when it fails; unlike the init it may read the clock and wait for its children"
)]

use common::namespace::new_network;
use common::*;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use libc::SIGTERM;
use tempfile::TempDir;

/// The capabilities of a container by default (Docker's documentation, "Runtime privilege and Linux capabilities").
const DOCKERS: &str = "--bounding-set=-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,\
                       +net_bind_service,+net_raw,+sys_chroot,+mknod,+audit_write,+setfcap";
/// The same without `CAP_KILL`.
const WITHOUT_KILL: &str = "--bounding-set=-all,+chown,+dac_override,+fowner,+fsetid,+setgid,+setuid,+setpcap,\
                            +net_bind_service,+net_raw,+sys_chroot,+mknod,+audit_write,+setfcap";
/// No stop here needs this long.
const SOON: Duration = Duration::from_secs(25);

/// A server of another user.
struct Server {
    _directory: TempDir,
    /// Its command line.
    command: String,
}

impl Server {
    /// In a network namespace of this test. Without what this needs the test is skipped.
    #[track_caller]
    fn of_another_user(exits: &[&str]) -> Option<Self> {
        Self::named("recorder", exits)
    }

    /// The same by another name.
    #[track_caller]
    fn named(name: &str, exits: &[&str]) -> Option<Self> {
        if !have("root, for another user's process", is_root()) || !have_program("setpriv") {
            return None;
        }
        new_network();
        let directory = tempfile::tempdir_in("/tmp").unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let program = directory.path().join(name);
        install(&program, fs::read(recorder()).unwrap());
        let exits: Vec<String> = exits.iter().map(|exit| format!("--exit-on {exit}")).collect();
        let command = format!(
            "setpriv --reuid 33333 --regid 33333 --clear-groups {} {} {}",
            program.display(),
            exits.join(" "),
            LISTENS.join(" ")
        );
        Some(Self { _directory: directory, command })
    }

    /// A script that runs it without `exec`, and exits with 4 more than its code.
    fn start(&self) -> String {
        format!("{}; exit $((4 + $?))", self.command)
    }
}

/// softstop with these options and a script, as PID 1 with no more capabilities than these.
fn confined(capabilities: &str, options: &[&str], script: &str) -> Softstop {
    let run = softstop_script(options, script);
    run.through(["setpriv", capabilities, "--inh-caps=-all"]).pid_one()
}

/// The same after a change of mounts, in a mount namespace of its own. The command that makes the change has pid 2, so that the
/// main child has pid 3.
fn confined_with_mounts(change: &str, capabilities: &str, script: &str) -> Softstop {
    let run = softstop(["sh", "-c", script]);
    let run = run.through(["unshare", "--mount", "sh", "-c", &format!("{change} && exec \"$0\" \"$@\"")]);
    run.through(["setpriv", capabilities, "--inh-caps=-all"]).pid_one()
}

/// Hides other users' processes from everybody without `CAP_SYS_PTRACE` but the group 54321: the default is root's group.
const HIDES_PROCESSES: &str = "mount -o remount,hidepid=2,gid=54321 /proc";
const NO_PROC: &str = "mount -t tmpfs none /proc";
/// The PID namespace's own /proc lies on top of the one of the outer namespace, whose pids mean other processes.
const FOREIGN_PROC: &str = "umount -l /proc";

/// How many times the server has received SIGTERM.
fn sigterms(outcome: &Outcome) -> usize {
    outcome.stdout.matches("got 15\n").count()
}

// Descriptors hidden.

#[test]
fn without_ptrace_a_server_of_another_user_is_found_by_the_listeners_user() {
    let Some(server) = Server::of_another_user(&["15=3"]) else { return };
    let run = confined(DOCKERS, &[], &server.start()).start();
    run.says("ready");
    run.signal(SIGTERM);
    let outcome = run.wait();
    outcome.code(7).logged("drain: sent SIGTERM to recorder (pid 3), behind sh (pid 2)");
    outcome.not_logged("cannot see which process listens");
    assert_eq!(sigterms(&outcome), 1, "{outcome:?}");
}

/// The control: softstop really cannot see what the server holds.
#[test]
fn without_ptrace_the_descriptors_of_another_users_process_are_hidden() {
    let Some(server) = Server::of_another_user(&[]) else { return };
    for (capabilities, is_hidden) in [(DOCKERS, true), ("--bounding-set=+all", false)] {
        let look = "ls -l /proc/3/fd >/dev/null 2>&1 && echo seen || echo hidden";
        let script = format!("{} & read go; {look}; kill $!; wait", server.command);
        let (stdin, mut keyboard) = pipe();
        let run = confined(capabilities, &[], &script).stdin(stdin).start();
        run.says("ready");
        std::io::Write::write_all(&mut keyboard, b"go\n").unwrap();
        run.says(if is_hidden { "hidden" } else { "seen" });
    }
}

/// The control: under tini the script is ended and the server is not told.
#[test]
fn under_tini_the_same_server_gets_no_signal() {
    let Some(server) = Server::of_another_user(&["15=3"]) else { return };
    if !have_program("tini") {
        return;
    }
    let run = program("tini", ["--", "sh", "-c", &server.start()]);
    let run = run.through(["setpriv", DOCKERS, "--inh-caps=-all"]).pid_one().start();
    run.says("ready");
    run.signal(SIGTERM);
    let outcome = run.wait();
    outcome.code(143);
    assert_eq!(sigterms(&outcome), 0, "{outcome:?}");
}

#[test]
fn an_unprivileged_softstop_finds_a_server_of_its_own_user() {
    let Some(server) = Server::of_another_user(&["15=3"]) else { return };
    let directory = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let init = directory.path().join("softstop");
    install(&init, fs::read(softstop_binary()).unwrap());
    let script = server.start().replace("setpriv --reuid 33333 --regid 33333 --clear-groups ", "");
    let run = program(&init, ["sh", "-c", &script]);
    let run = run.through(["setpriv", "--reuid=33333", "--regid=33333", "--clear-groups"]).pid_one().start();
    run.says("ready");
    run.signal(SIGTERM);
    let outcome = run.wait();
    outcome.code(7).logged("drain: sent SIGTERM to recorder (pid 3), behind sh (pid 2)");
    assert_eq!(sigterms(&outcome), 1, "{outcome:?}");
}

// Signals refused.

/// The server cannot be told. The main child is, and it has no trap.
#[track_caller]
fn asks_the_main_child_instead(server: &Server, options: &[&str]) {
    let run = confined(WITHOUT_KILL, options, &server.start()).start();
    run.says("ready");
    run.signal(SIGTERM);
    run.logs("could not send SIGTERM to recorder (pid 3), so the main child is asked");
    run.logs("drain: sent SIGTERM to sh (pid 2)");
    let outcome = run.wait_at_most(SOON);
    outcome.code(143).not_logged("sent SIGTERM to recorder");
    assert_eq!(sigterms(&outcome), 0, "{outcome:?}");
}

#[test]
fn without_kill_the_refusal_is_logged_the_main_child_is_asked_and_the_stop_ends() {
    let Some(server) = Server::of_another_user(&["15=3"]) else { return };
    asks_the_main_child_instead(&server, &[]);
}

#[test]
fn without_kill_the_stop_ends_with_a_drain_timeout_too() {
    let Some(server) = Server::of_another_user(&["15=3"]) else { return };
    asks_the_main_child_instead(&server, &["--drain-timeout", "1s"]);
}

#[test]
fn without_kill_the_main_child_is_asked_with_the_request_and_not_with_the_servers_own_signal() {
    // The control: what a person set is sent as it was set.
    for (options, sent, code) in [(&[][..], "SIGTERM", 143), (&["--stop-signal", "USR1"], "SIGUSR1", 138)] {
        let Some(server) = Server::named("nginx", &["3=0"]) else { return };
        let options = [&["--pre-delay", "0s"], options].concat();
        let run = confined(WITHOUT_KILL, &options, &server.start()).start();
        run.says("ready");
        run.signal(SIGTERM);
        let outcome = run.wait_at_most(SOON);
        let refused = if options.len() > 2 { sent } else { "SIGQUIT" };
        outcome.code(code).logged(&format!("drain: sent {sent} to sh (pid 2)")).logged(&format!("drain after {sent} "));
        outcome.logged(&format!("could not send {refused} to nginx (pid 3), so the main child is asked"));
    }
}

#[test]
fn a_signal_that_did_not_reach_what_is_left_is_not_logged_as_sent() {
    let Some(server) = Server::of_another_user(&["99=0"]) else { return };
    let script =
        format!("{} & exec {}", server.command.replace(&LISTENS.join(" "), "--name left"), server_until(&["15=9"]));
    let run = confined(WITHOUT_KILL, &[], &script).start();
    run.says("left: ready");
    run.says("ready");
    run.signal(SIGTERM);
    let outcome = run.wait_at_most(SOON);
    outcome.code(9).logged("could not send SIGTERM to recorder (pid 3)").not_logged("sent SIGTERM to processes");
    outcome
        .logged("leaving pid 3 (recorder), ")
        .logged(", which has no client's connection and could not be sent a signal");
    outcome.not_logged("did not exit on its signal");
    assert_eq!(outcome.stderr.matches("could not send SIGTERM").count(), 1, "{outcome:?}");
}

#[test]
fn a_signal_that_did_not_reach_a_worker_is_not_logged_as_sent() {
    let Some(server) = Server::of_another_user(&["99=3"]) else { return };
    let script = format!("exec {}", server.command.replace(&LISTENS.join(" "), ""));
    let run = confined(WITHOUT_KILL, &["--drain-timeout", "100ms"], &script).start();
    run.says("ready");
    run.signal(SIGTERM);
    let outcome = run.wait_at_most(SOON);
    outcome.code(137).logged("could not send SIGTERM to ").not_logged("sent SIGTERM");
}

#[test]
fn a_process_that_could_not_be_killed_is_not_named_as_killed() {
    let Some(server) = Server::of_another_user(&["99=3"]) else { return };
    let script = format!("trap '' TERM; {} & while :; do wait; done", server.command);
    let run = confined(WITHOUT_KILL, &["--drain-timeout", "1s"], &script).start();
    run.says("ready");
    run.signal(SIGTERM);
    let outcome = run.wait_at_most(SOON);
    outcome.code(137).logged("killed pid 2 (sh)").not_logged("killed pid 3").logged("SIGKILL to 1 process");
    outcome.logged("not ended: pid 3 (recorder)");
}

#[test]
fn a_signal_that_did_not_reach_the_main_child_is_not_logged_as_sent() {
    // softstop cannot kill the server either. The end of the PID namespace does.
    let Some(server) = Server::of_another_user(&["99=3"]) else { return };
    let script = format!("exec {}", server.command);
    let run = confined(WITHOUT_KILL, &["--drain-timeout", "100ms"], &script).start();
    run.says("ready");
    run.signal(SIGTERM);
    let outcome = run.wait_at_most(SOON);
    outcome.code(137).logged("could not send SIGTERM to ").not_logged("sent SIGTERM");
    assert_eq!(outcome.stderr.matches("could not send SIGTERM").count(), 1, "{outcome:?}");
}

#[test]
fn without_kill_a_script_that_handles_sigterm_is_still_asked() {
    // The control: the signal is for the script, which softstop may signal.
    let Some(server) = Server::of_another_user(&["15=3"]) else { return };
    let script = format!("trap 'exit 6' TERM; {} & while :; do wait; done", server.command);
    let run = confined(WITHOUT_KILL, &["--drain-timeout", "1s"], &script).start();
    run.says("ready");
    run.signal(SIGTERM);
    run.wait().code(6).not_logged("could not send SIGTERM to recorder").logged("sent SIGTERM to sh (pid 2)");
}

// Processes hidden.

/// The main child gets the signal, as under tini, and one line says so.
#[track_caller]
fn asks_the_main_child(run: Softstop) {
    let run = run.start();
    run.says("ready");
    let (took, outcome) = run.stopped();
    assert!(took < SOON, "{took:?}");
    outcome.code(6).logged("cannot see which process listens, so SIGTERM is for the main child, sh (pid 3)");
    assert_eq!(outcome.stderr.matches("cannot see which process listens").count(), 1, "{outcome:?}");
    outcome.logged("sent SIGTERM to sh (pid 3)").not_logged("SIGTERM to recorder");
    assert_eq!(outcome.stdout.matches("trapped\n").count(), 1, "{outcome:?}");
}

fn traps_and_exits(server: &Server) -> String {
    format!("trap 'echo trapped; exit 6' TERM; {} & while :; do wait; done", server.command)
}

#[test]
fn with_hidden_processes_the_main_child_gets_the_stop_signal() {
    let Some(server) = Server::of_another_user(&[]) else { return };
    asks_the_main_child(confined_with_mounts(HIDES_PROCESSES, DOCKERS, &traps_and_exits(&server)));
}

#[test]
fn without_proc_the_main_child_gets_the_stop_signal() {
    let Some(server) = Server::of_another_user(&[]) else { return };
    asks_the_main_child(confined_with_mounts(NO_PROC, DOCKERS, &traps_and_exits(&server)));
}

#[test]
fn with_the_proc_of_another_namespace_the_main_child_gets_the_stop_signal() {
    let Some(server) = Server::of_another_user(&[]) else { return };
    asks_the_main_child(confined_with_mounts(FOREIGN_PROC, DOCKERS, &traps_and_exits(&server)));
}

/// A script without a trap is ended by the signal.
#[track_caller]
fn ends_as_under_tini(change: &str) {
    let Some(server) = Server::of_another_user(&["15=3"]) else { return };
    let run = confined_with_mounts(change, DOCKERS, &server.start()).start();
    run.says("ready");
    run.signal(SIGTERM);
    run.wait_at_most(SOON).code(143).logged("sent SIGTERM to sh (pid 3)");
}

#[test]
fn with_hidden_processes_a_script_without_a_trap_ends_as_under_tini() {
    ends_as_under_tini(HIDES_PROCESSES);
}

#[test]
fn without_proc_a_script_without_a_trap_ends_as_under_tini() {
    ends_as_under_tini(NO_PROC);
}

/// The control: with hidepid=2 and `CAP_SYS_PTRACE` nothing is hidden.
#[test]
fn with_ptrace_hidepid_hides_no_server() {
    let Some(server) = Server::of_another_user(&["15=3"]) else { return };
    let run = confined_with_mounts(HIDES_PROCESSES, "--bounding-set=+all", &server.start()).start();
    run.says("ready");
    run.signal(SIGTERM);
    let outcome = run.wait();
    outcome.code(7).logged("sent SIGTERM to recorder (pid 4), behind sh (pid 3)").not_logged("cannot see");
    assert_eq!(sigterms(&outcome), 1, "{outcome:?}");
}
