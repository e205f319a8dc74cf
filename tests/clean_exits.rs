//! A server whose clean stop ends with 143 leaves the container with 0 after a stop request, and in no other case.
//!
//! The server is the recorder under the name of a program that does so: puma and java exit with 143 after a clean stop.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test panics when it fails; unlike the init it may read the clock and wait for its children"
)]

use common::namespace::have_network;
use common::*;

use std::fs;
use std::path::{Path, PathBuf};

use libc::SIGTERM;

/// Ends the server with 143, as SIGTERM does, but it is no stop signal.
const ENDS: i32 = 40;

/// The recorder under another name, in a network namespace of this test. Without root the test is skipped.
struct Server {
    directory: tempfile::TempDir,
    name: &'static str,
}

impl Server {
    #[track_caller]
    fn named(name: &'static str) -> Option<Self> {
        if !have_network() {
            return None;
        }
        let server = Self { directory: tempfile::tempdir().unwrap(), name };
        install(&server.path(), fs::read(recorder()).unwrap());
        Some(server)
    }

    fn path(&self) -> PathBuf {
        Path::new(self.directory.path()).join(self.name)
    }

    /// Its command line. With `listens` it holds a listening socket.
    fn command(&self, exits: &[&str], listens: bool) -> Vec<String> {
        let mut words = recorder_until(exits);
        words[0] = self.path().into_os_string().into_string().unwrap();
        if listens {
            words.extend(LISTENS.map(str::to_owned));
        }
        words
    }
}

/// softstop as PID 1 with these options, once its program is ready. Nothing here needs a pre-delay.
#[track_caller]
fn ready(options: &[&str], command: &[String]) -> Running {
    let options = ["--pre-delay", "0s"].iter().chain(options).copied();
    let run = softstop(words(options, command)).pid_one().start();
    run.says("ready");
    run
}

#[test]
fn a_clean_stop_of_a_server_that_ends_with_143_is_a_success() {
    for name in ["puma", "java"] {
        let Some(server) = Server::named(name) else { return };
        let run = ready(&[], &server.command(&["15=143"], true));
        run.signal(SIGTERM);
        let outcome = run.wait();
        outcome.code(0).logged(&format!(", {name} exited with code 143, as after every clean stop"));
    }
}

/// A server of Ruby, which ends itself by the SIGTERM that it has caught.
const ENDS_BY_SIGTERM: &str = r#"
    require "socket"
    listener = TCPServer.new("127.0.0.1", 0)
    puts "ready"
    $stdout.flush
    sleep
"#;

#[test]
fn so_is_one_that_ends_by_the_signal_itself() {
    let Some(server) = Server::named("puma") else { return };
    let Some(ruby) = in_path("ruby").filter(|_| have_program("ruby")) else { return };
    install(&server.path(), format!("#!{}\n{ENDS_BY_SIGTERM}", ruby.display()));
    for command in [vec![server.path()], vec![ruby, server.path()]] {
        let command: Vec<String> = command.iter().map(|word| word.to_str().unwrap().to_owned()).collect();
        let run = ready(&[], &command);
        run.signal(SIGTERM);
        run.wait().code(0).logged("was killed by SIGTERM, as after every clean stop");
    }
}

#[test]
fn behind_a_script_that_passes_the_code_on_it_is_a_success_too() {
    let Some(server) = Server::named("puma") else { return };
    let script = format!("{}; exit $?", server.command(&["15=143"], true).join(" "));
    let run = ready(&[], &["sh".into(), "-c".into(), script]);
    run.signal(SIGTERM);
    run.wait().code(0).logged("sent SIGTERM to puma (pid 3), behind sh (pid 2)").logged("as after every clean stop");
}

#[test]
fn so_is_the_exit_of_runsvdir_with_111_above_a_server() {
    // The control: services that do not listen may be jobs.
    for (listens, code) in [(true, 0), (false, 111)] {
        let Some(server) = Server::named("nginx") else { return };
        if !have_program("runsvdir") {
            return;
        }
        let service = server.directory.path().join("services/web");
        fs::create_dir_all(&service).unwrap();
        install(&service.join("run"), format!("#!/bin/sh\nexec {}\n", server.command(&["15=3"], listens).join(" ")));
        let run = ready(&[], &["runsvdir".into(), service.parent().unwrap().to_str().unwrap().into()]);
        run.signal(SIGTERM);
        let outcome = run.wait();
        outcome.code(code).logged("sent SIGHUP to runsvdir (pid 2)");
        assert_eq!(outcome.stderr.contains("runsvdir exited with code 111, as after every clean stop"), listens);
    }
}

#[test]
fn nats_gets_the_signal_of_its_lame_duck_mode_only_if_the_grace_period_is_longer() {
    for (grace, sent) in [("3m", "SIGUSR2"), ("30s", "SIGTERM")] {
        let Some(server) = Server::named("nats-server") else { return };
        let script = format!("{}; exit $?", server.command(&["12=0", "15=1"], true).join(" "));
        let run = ready(&["--grace-period", grace], &["sh".into(), "-c".into(), script]);
        run.signal(SIGTERM);
        run.wait().code(0).logged(&format!("sent {sent} to nats-server (pid 3), behind sh (pid 2)"));
    }
}

#[test]
fn a_program_that_never_listened_was_a_job_that_did_not_finish() {
    let Some(server) = Server::named("puma") else { return };
    let run = ready(&[], &server.command(&["15=143"], false));
    run.signal(SIGTERM);
    run.wait().code(143).logged("puma exited with code 143").not_logged("as after every clean stop");
}

#[test]
fn without_a_stop_request_143_is_143() {
    let Some(server) = Server::named("puma") else { return };
    let run = ready(&[], &server.command(&["40=143"], true));
    send(run.child(), ENDS);
    run.wait().code(143).not_logged("as after every clean stop");
}

#[test]
fn after_a_sigkill_of_softstops_the_code_is_137() {
    let Some(server) = Server::named("puma") else { return };
    let run = ready(&["--drain-timeout", "200ms"], &server.command(&["99=0"], true));
    run.signal(SIGTERM);
    run.wait().code(137).logged("SIGKILL to 1 process").not_logged("as after every clean stop");
}

#[test]
fn after_a_sigkill_to_what_the_server_left_143_is_no_success() {
    // The server ended cleanly, but the stop did not.
    let Some(server) = Server::named("puma") else { return };
    let left = recorder_until(&["99=0"]).join(" ");
    let script = format!("{left} >/dev/null & exec {}", server.command(&["15=143"], true).join(" "));
    let run = ready(&["--drain-timeout", "1s"], &["sh".into(), "-c".into(), script]);
    run.signal(SIGTERM);
    run.wait().code(143).logged("SIGKILL to 1 process").not_logged("as after every clean stop");
}

#[test]
fn any_other_code_stays_as_it_is() {
    let Some(server) = Server::named("puma") else { return };
    for code in [0, 1, 3, 130, 137, 142, 144] {
        let run = ready(&[], &server.command(&[&format!("15={code}")], true));
        run.signal(SIGTERM);
        run.wait().code(code).not_logged("as after every clean stop");
    }
    // Nor is a SIGKILL from elsewhere a clean stop.
    killed_in_the_stop(ready(&[], &server.command(&["99=0"], true))).not_logged("as after every clean stop");
}

/// The control: an unknown server that ends with 143 did not handle the signal, as far as is known.
#[test]
fn of_a_server_that_no_profile_knows_143_stays_143() {
    let Some(server) = Server::named("unknown") else { return };
    let run = ready(&[], &server.command(&["15=143"], true));
    run.signal(SIGTERM);
    run.wait().code(143).not_logged("as after every clean stop");
}

#[test]
fn with_the_profile_turned_off_143_stays_143() {
    let Some(server) = Server::named("puma") else { return };
    let run = ready(&["--profile", "none"], &server.command(&["15=143"], true));
    run.signal(SIGTERM);
    run.wait().code(143).not_logged("as after every clean stop");
}

#[test]
fn with_a_chosen_profile_that_ends_with_143_it_is_a_success() {
    let Some(server) = Server::named("unknown") else { return };
    let run = ready(&["--profile", "puma"], &server.command(&["15=143"], true));
    run.signal(SIGTERM);
    run.wait().code(0).logged("as after every clean stop");
}

/// squid would wait for a timer after its clients have gone. A second SIGTERM ends that.
#[test]
fn squid_gets_a_second_sigterm_once_nobody_is_connected_with_and_without_a_grace_period() {
    for options in [&[][..], &["--grace-period", "30s"]] {
        let Some(server) = Server::named("squid") else { return };
        let run = ready(options, &server.command(&["40=0"], true));
        run.signal(SIGTERM);
        run.logs("no client is connected any more: sent SIGTERM");
        run.signal(ENDS);
        let outcome = run.wait();
        assert_eq!(outcome.code(0).stdout.matches("got 15").count(), 2, "{outcome:?}");
    }
}
