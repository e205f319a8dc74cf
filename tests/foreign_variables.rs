//! Variables that are no settings, and variables that are for the child.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test panics when it fails; unlike the init it may read the clock and wait for its children"
)]

use common::*;

use libc::{SIGABRT, SIGTERM};

fn with(name: &str, value: &str) -> Outcome {
    softstop(["sh", "-c", "exit 7"]).env(name, value).pid_one().run()
}

// Names that begin with SOFTSTOP_.

#[test]
fn a_variable_of_a_dockerfile_is_a_warning() {
    for name in ["SOFTSTOP_VERSION", "SOFTSTOP_URL", "SOFTSTOP_SHA256", "SOFTSTOP_CHECKSUM", "SOFTSTOP_DOWNLOAD_URL"] {
        let outcome = with(name, "https://example.org/softstop");
        outcome.code(7);
        assert_eq!(outcome.stderr, format!("softstop: warning: {name} is not a setting: ignored\n"));
    }
}

#[test]
fn a_variable_of_a_kubernetes_service_or_a_docker_link_is_ignored() {
    for (name, value) in [
        // For a Service called "softstop" (kubernetes.io, "Service", Environment variables).
        ("SOFTSTOP_SERVICE_HOST", "10.0.0.11"),
        ("SOFTSTOP_SERVICE_PORT", "6379"),
        ("SOFTSTOP_SERVICE_PORT_HTTP", "6379"),
        ("SOFTSTOP_PORT", "tcp://10.0.0.11:6379"),
        ("SOFTSTOP_PORT_6379_TCP", "tcp://10.0.0.11:6379"),
        ("SOFTSTOP_PORT_6379_TCP_PROTO", "tcp"),
        ("SOFTSTOP_PORT_6379_TCP_PORT", "6379"),
        ("SOFTSTOP_PORT_6379_TCP_ADDR", "10.0.0.11"),
        // For one called "softstop-web".
        ("SOFTSTOP_WEB_SERVICE_HOST", "10.0.0.11"),
        ("SOFTSTOP_WEB_PORT_80_TCP_ADDR", "10.0.0.11"),
    ] {
        let outcome = with(name, value);
        outcome.code(7);
        assert_eq!(outcome.stderr, "", "{name}");
    }
}

#[test]
fn a_variable_that_is_near_to_a_settings_name_is_an_error() {
    for (name, near) in [
        ("SOFTSTOP_PRE_DELY", "SOFTSTOP_PRE_DELAY"),
        ("SOFTSTOP_PREDELAY", "SOFTSTOP_PRE_DELAY"),
        ("SOFTSTOP_GRACE_PERIODS", "SOFTSTOP_GRACE_PERIOD"),
        ("SOFTSTOP_DRAIN_TIMOUT", "SOFTSTOP_DRAIN_TIMEOUT"),
        ("SOFTSTOP_PROFIL", "SOFTSTOP_PROFILE"),
    ] {
        let outcome = with(name, "5s");
        outcome.code(2).logged(&format!("{name}: unknown setting `{name}`: did you mean `{near}`?"));
    }
}

/// The control: the right name is a setting.
#[test]
fn a_variable_with_a_settings_name_is_a_setting() {
    let outcome = softstop(["--explain", "true"]).env("SOFTSTOP_PRE_DELAY", "5s").env("SOFTSTOP_PORTS", "80").run();
    outcome.code(0);
    assert!(outcome.stdout.contains("SOFTSTOP_PRE_DELAY") && outcome.stdout.contains("SOFTSTOP_PORTS"), "{outcome:?}");
}

#[test]
fn a_variable_that_is_no_setting_does_not_turn_the_soft_stop_on_under_another_inits_name() {
    for name in OTHER_NAMES {
        let run = program(called(name), ["sh", "-c", "kill -SEGV $$"]).env("SOFTSTOP_URL", "x");
        run.pid_one().run().code(139).not_logged("SOFTSTOP_URL").not_logged("softstop did not send");
    }
    let disabled = softstop(["sh", "-c", "exit 7"]).env("SOFTSTOP_DISABLED", "1").env("SOFTSTOP_URL", "x");
    let outcome = disabled.run();
    outcome.code(7);
    assert_eq!(outcome.stderr, "");
}

// systemd's watchdog.

#[test]
fn watchdog_pid_is_rewritten_to_the_child() {
    let tell = ["sh", "-c", "test $WATCHDOG_PID = $$ && echo mine"];
    let mine = |run: Softstop| run.env("WATCHDOG_USEC", "3000000").pid_one().run().stdout == "mine\n";
    assert!(mine(softstop(tell).env("WATCHDOG_PID", "1")));
    assert!(mine(softstop(tell).env("WATCHDOG_PID", "1").env("LISTEN_PID", "1").env("LISTEN_FDS", "1")));
    assert!(!mine(softstop(tell).env("WATCHDOG_PID", "77")), "a variable for another process stays unchanged");
    // The control: tini leaves it as it is, so that the child sends no keep-alive.
    if have_program("tini") {
        assert!(!mine(program("tini", ["--", "sh", "-c", tell[2]]).env("WATCHDOG_PID", "1")));
    }
}

#[test]
fn watchdog_pid_and_listen_pid_are_independent() {
    let tell = ["sh", "-c", "echo $LISTEN_PID $WATCHDOG_PID"];
    let told = |listen, watchdog| {
        let run = softstop(tell).env("LISTEN_PID", listen).env("WATCHDOG_PID", watchdog);
        run.env("LISTEN_FDS", "1").env("WATCHDOG_USEC", "3000000").pid_one().run().stdout
    };
    assert_eq!(told("1", "1"), "2 2\n");
    assert_eq!(told("77", "1"), "77 2\n");
    assert_eq!(told("1", "77"), "2 77\n");
}

#[test]
fn without_watchdog_pid_the_child_gets_none() {
    let tell = ["sh", "-c", "echo ${WATCHDOG_PID-none}"];
    let run = softstop(tell).without("WATCHDOG_PID").env("LISTEN_PID", "1").env("LISTEN_FDS", "1");
    assert_eq!(run.pid_one().run().stdout, "none\n");
}

// SIGABRT.

#[test]
fn a_rewrite_of_sigabrt_to_itself_passes_it_on() {
    for rewrite in ["ABRT:ABRT", "SIGABRT:SIGABRT", "6:6"] {
        let run = softstop(words(["-r", rewrite], &recorder_until(&["6=3"]))).pid_one().start();
        run.says("ready");
        run.signal(SIGABRT);
        run.wait().code(3);
    }
    // A program without a handler dumps its core.
    let run = softstop(["-r", "ABRT:ABRT", "sh", "-c", "echo ready; exec sleep 1000"]).pid_one().start();
    run.says("ready");
    run.signal(SIGABRT);
    run.wait().code(134).not_logged("did not send");
}

/// The control: without it SIGABRT is softstop's own, and is not passed on.
#[test]
fn sigabrt_is_not_passed_on_otherwise() {
    let run = softstop(recorder_until(&["15=0"])).pid_one().start();
    run.says("ready");
    run.signal(SIGABRT);
    run.takes(SIGABRT);
    run.signal(SIGTERM);
    let outcome = run.wait();
    outcome.code(0);
    assert!(!outcome.stdout.contains("got 6"), "{outcome:?}");
}
