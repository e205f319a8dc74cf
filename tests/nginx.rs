//! A real nginx stops under softstop without losing a request.
//!
//! The responses in flight are of two kinds: big ones, which the client reads to the end only when the test says so,
//! and one that nginx sends slowly (`limit_rate`).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test panics when it fails, and may read the clock"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::{Duration, Instant};

use common::http::*;
use common::nginx::Nginx;
use common::*;
use libc::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

/// How many big responses are in flight at once.
const IN_FLIGHT: usize = 4;

fn have_nginx() -> bool {
    have_program("nginx") && have_program("unshare")
}

fn start_big(nginx: &Nginx) -> Vec<Download> {
    (0..IN_FLIGHT).map(|_| Download::start(nginx.port, "/big").unwrap()).collect()
}

#[track_caller]
fn arrive_whole(downloads: Vec<Download>) {
    for download in downloads {
        // Not assert_eq, which would print 48 MB.
        assert!(download.finish().unwrap() == big(), "a response has the right length and the wrong content");
    }
}

#[track_caller]
fn are_cut(downloads: Vec<Download>) {
    for download in downloads {
        assert!(matches!(download.finish(), Err(Lost::Cut { .. })), "SIGTERM to nginx let a response finish");
    }
}

/// The main promise of the project.
#[test]
fn nginx_serves_through_the_pre_delay_then_drains_and_loses_nothing() {
    if !have_nginx() {
        return;
    }
    let nginx = Nginx::new();
    let words = ["--pre-delay", "3s", "--drain-timeout", "20s", "--"].map(String::from);
    let mut run = softstop(words.into_iter().chain(nginx.command())).pid_one().start();
    nginx.is_up();
    let downloads = start_big(&nginx);
    let trickle = Download::start(nginx.port, "/trickle").unwrap();
    let trickle = thread::spawn(|| trickle.finish());

    let stop = Instant::now();
    run.signal(SIGTERM);
    let served = served_since(stop, || nginx.get());
    assert!(served.lasted >= Duration::from_secs(3) && served.answers >= 10, "{served:?}");
    nginx.logs("gracefully shutting down");
    assert_eq!(run.ended(), None, "softstop exited while responses were in flight");

    arrive_whole(downloads);
    assert!(trickle.join().unwrap().unwrap() == Nginx::trickle());
    let outcome = run.wait();
    outcome
        .code(0)
        .logged("stop requested: SIGTERM from outside the container")
        .logged("keeps serving for 3s")
        .logged("drain: sent SIGQUIT to nginx")
        .logged("waiting up to 20s for its exit");
    let closing = outcome.stderr.lines().last().unwrap();
    // 3.0 s, and more on a slow machine.
    assert!(closing.contains("stopped in ") && closing.contains("pre-delay 3."), "{closing}");
    assert!(closing.contains(" s, drain after SIGQUIT "), "{closing}");
    assert!(closing.ends_with("nginx exited with code 0"), "{closing}");
}

/// The negative control: what clients see without softstop.
#[test]
fn without_softstop_sigterm_makes_nginx_cut_responses_and_refuse_connections_at_once() {
    if !have_nginx() {
        return;
    }
    let nginx = Nginx::new();
    let [program_, arguments @ ..] = nginx.command();
    let run = program(program_, arguments).pid_one().start();
    nginx.is_up();
    let downloads = start_big(&nginx);
    let stop = Instant::now();
    run.signal(SIGTERM);
    let served = served_since(stop, || nginx.get());
    assert!(served.lasted < Duration::from_secs(3), "{served:?}");
    run.wait().code(0);
    are_cut(downloads);
}

/// The second control: the mapping to SIGQUIT saves the responses, not softstop's presence alone.
#[test]
fn with_profile_none_sigterm_reaches_nginx_and_cuts_its_responses() {
    if !have_nginx() {
        return;
    }
    let nginx = Nginx::new();
    let words = ["--profile", "none"].map(String::from);
    let run = softstop(words.into_iter().chain(nginx.command())).pid_one().start();
    nginx.is_up();
    let downloads = start_big(&nginx);
    run.signal(SIGTERM);
    run.wait().code(0).logged("drain after SIGTERM");
    are_cut(downloads);
}

#[test]
fn nginx_needs_no_flag() {
    if !have_nginx() {
        return;
    }
    let nginx = Nginx::new();
    let run = softstop(nginx.command()).env("KUBERNETES_SERVICE_HOST", "10.0.0.1").pid_one().start();
    nginx.is_up();
    let downloads = start_big(&nginx);
    let stop = Instant::now();
    run.signal(SIGTERM);
    let served = served_since(stop, || nginx.get());
    assert!(served.lasted >= Duration::from_secs(5) && served.answers >= 10, "{served:?}");
    nginx.logs("gracefully shutting down");
    arrive_whole(downloads);
    run.wait()
        .code(0)
        .logged(
            "keeps serving for 2s to 10s, until no request arrives for 2s or longer; upper bound assumed for Kubernetes (set grace_period or pre_delay)\n",
        )
        .logged("drain after SIGQUIT")
        .logged("nginx exited with code 0");
}

/// The entrypoint script of the official image execs its arguments. softstop sees the script and must find nginx behind
/// it.
#[test]
fn nginx_behind_the_images_entrypoint_script_needs_no_flag_either() {
    if !have_nginx() {
        return;
    }
    let nginx = Nginx::new();
    let script = nginx.home().join("docker-entrypoint.sh");
    fs::write(&script, "#!/bin/sh\nset -e\necho configured\nexec \"$@\"\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let words = ["--pre-delay".into(), "1s".into(), script.to_str().unwrap().to_owned()];
    let run = softstop(words.into_iter().chain(nginx.command())).pid_one().start();
    run.says("configured");
    nginx.is_up();
    let downloads = start_big(&nginx);
    let stop = Instant::now();
    run.signal(SIGTERM);
    let served = served_since(stop, || nginx.get());
    assert!(served.lasted >= Duration::from_secs(1), "{served:?}");
    nginx.logs("gracefully shutting down");
    arrive_whole(downloads);
    run.wait().code(0).logged("drain after SIGQUIT");
}

/// The official image sets STOPSIGNAL to SIGQUIT, so that the platform sends that.
#[test]
fn sigquit_from_the_platform_starts_a_stop_with_the_whole_pre_delay() {
    if !have_nginx() {
        return;
    }
    let nginx = Nginx::new();
    let words = ["--pre-delay", "2s"].map(String::from);
    let run = softstop(words.into_iter().chain(nginx.command())).pid_one().start();
    nginx.is_up();
    let downloads = start_big(&nginx);
    let stop = Instant::now();
    run.signal(SIGQUIT);
    let served = served_since(stop, || nginx.get());
    assert!(served.lasted >= Duration::from_secs(2) && served.answers >= 10, "{served:?}");
    arrive_whole(downloads);
    run.wait().code(0).logged("stop requested: SIGQUIT").logged("drain after SIGQUIT");
}

#[test]
fn a_reload_during_the_pre_delay_works_and_loses_nothing() {
    if !have_nginx() {
        return;
    }
    let nginx = Nginx::new();
    let words = ["--pre-delay", "60s"].map(String::from);
    let run = softstop(words.into_iter().chain(nginx.command())).pid_one().start();
    nginx.is_up();
    let master = run.children()[0];
    let old_workers = eventually("two workers", || Some(children(master)).filter(|workers| workers.len() == 2));
    let downloads = start_big(&nginx);
    run.signal(SIGTERM).logs("pre-delay: nginx");

    nginx.says("second");
    run.signal(SIGHUP);
    eventually("the new file is in force", || (nginx.get().ok()? == b"second").then_some(()));
    let new_workers = children(master).into_iter().filter(|pid| !old_workers.contains(pid));
    assert_eq!(new_workers.count(), 2, "a reload starts new workers");

    run.signal(SIGINT); // ends the pre-delay
    run.logs("drain: sent SIGQUIT");
    arrive_whole(downloads);
    run.wait().code(0);
}

#[test]
fn a_second_sigterm_during_the_drain_cuts_no_response() {
    if !have_nginx() {
        return;
    }
    let nginx = Nginx::new();
    let words = ["--pre-delay", "0s"].map(String::from);
    let mut run = softstop(words.into_iter().chain(nginx.command())).pid_one().start();
    nginx.is_up();
    let downloads = start_big(&nginx);
    run.signal(SIGTERM);
    nginx.logs("gracefully shutting down");
    run.signal(SIGTERM).logs("another stop request: SIGTERM");
    assert_eq!(run.ended(), None);
    arrive_whole(downloads);
    run.wait().code(0);
}

#[test]
fn a_response_that_outlasts_the_drain_timeout_is_cut_and_the_log_says_so() {
    if !have_nginx() {
        return;
    }
    let nginx = Nginx::new();
    let words = ["--pre-delay", "0s", "--drain-timeout", "1s"].map(String::from);
    let run = softstop(words.into_iter().chain(nginx.command())).pid_one().start();
    nginx.is_up();
    let downloads = start_big(&nginx);
    run.signal(SIGTERM);
    let outcome = run.wait();
    outcome
        .code(137)
        .logged("drain timeout: still running after")
        .logged("(nginx)")
        .logged("nginx was killed by SIGKILL");
    are_cut(downloads);
}
