//! The load generator: the open and the closed loop, and its own limits.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use common::*;

use super::sandbox::Sandbox;
use super::server::{Server, hanging_server, right};

// Open and closed loop.

#[test]
fn in_an_open_loop_a_hanging_server_shows_in_every_request_that_was_due() {
    let sandbox = Sandbox::new();
    let server = hanging_server(&sandbox.gate);
    sandbox.rehearse(&server.url(), &["--rate", "100", "--grace", "1500ms"]).code(0);
    let slow: Vec<f64> =
        sandbox.figures().rows().iter().map(|row| row.latency_ms).filter(|each| *each > 100.0).collect();
    assert!(slow.len() >= 75, "of about 90 only {}: {slow:?}", slow.len());
    assert!(slow.iter().any(|latency| *latency > 900.0), "{slow:?}");
}

#[test]
fn in_a_closed_loop_it_shows_once_for_each_user() {
    let sandbox = Sandbox::new();
    let server = hanging_server(&sandbox.gate);
    sandbox.rehearse(&server.url(), &["--concurrency", "4", "--grace", "1500ms"]).code(0);
    let slow = sandbox.figures().rows().iter().filter(|row| row.latency_ms > 500.0).count();
    assert!((1..=4).contains(&slow), "{slow}");
}

// The generator's own limits.

#[test]
fn a_request_without_a_place_in_flight_is_not_sent_and_not_lost() {
    let sandbox = Sandbox::new();
    let server = hanging_server(&sandbox.gate);
    let outcome = sandbox.rehearse(&server.url(), &["--rate", "200", "--concurrency", "5", "--grace", "1500ms"]);
    outcome.code(3).logged("could not send");
    let figures = sandbox.figures();
    figures.has_only(&["not sent"]);
    assert!(figures.limits().contains("--concurrency"), "{}", figures.limits());
    assert_eq!(figures.errors(), "{}");
}

#[test]
fn a_request_without_a_descriptor_is_not_sent_and_not_lost() {
    for host in ["127.0.0.1", "localhost"] {
        let sandbox = Sandbox::new();
        let server = hanging_server(&sandbox.gate);
        let url = format!("http://{host}:{}/", server.port);
        let rehearsal =
            sandbox.rehearsal(&url, &["--rate", "200", "--grace", "1500ms"], &["touch", sandbox.gate.path()]);
        let outcome = rehearsal.through(["sh", "-c", "ulimit -n 40; exec \"$@\"", "sh"]).run();
        outcome.code(3).logged("could not send");
        let figures = sandbox.figures();
        figures.has_only(&["not sent"]);
        assert!(figures.limits().contains("too many open files (40 are allowed"), "{}", figures.limits());
    }
}

#[test]
fn the_soft_limit_of_descriptors_is_raised_but_not_for_the_command() {
    let sandbox = Sandbox::new();
    let server = hanging_server(&sandbox.gate);
    let command = ["sh", "-c", &format!("ulimit -n; touch {}", sandbox.gate.path())];
    let rehearsal = sandbox.rehearsal(&server.url(), &["--rate", "200", "--grace", "1500ms"], &command);
    let outcome = rehearsal.through(["sh", "-c", "ulimit -Sn 40; exec \"$@\"", "sh"]).run();
    outcome.code(0);
    assert!(outcome.stdout.starts_with("40\n"), "{outcome:?}");
}

#[test]
fn a_stalled_generator_reports_itself() {
    let sandbox = Sandbox::new();
    let server = Server::new(right);
    let command = ["sh", "-c", "echo ready; until [ -e $0 ]; do sleep 0.05; done", &sandbox.path("go")];
    let options = ["--rate", "100", "--timeout", "500ms"];
    let rehearsal = sandbox.rehearsal(&server.url(), &options, &command).start();
    rehearsal.says("ready");
    rehearsal.signal(libc::SIGSTOP);
    eventually("it is stopped", || (state(rehearsal.pid) == Some('T')).then_some(()));
    thread::sleep(Duration::from_secs(1));
    rehearsal.signal(libc::SIGCONT);
    fs::write(sandbox.path("go"), "").unwrap();
    rehearsal.wait().code(0);
    let limits = sandbox.figures().limits();
    assert!(limits.contains("did not always run when it was due") && limits.contains("sent late"), "{limits}");
}

#[test]
fn a_limit_ends_the_load_but_not_the_command() {
    for (options, words) in [(["--max-requests", "100"], "--max-requests"), (["--max-time", "600ms"], "--max-time")] {
        let sandbox = Sandbox::new();
        let server = Server::new(right);
        let wait =
            format!("until [ -e {0}/go ]; do sleep 0.05; done; touch {0}/done", sandbox.directory.path().display());
        let options = [&options[..], &["--concurrency", "2"]].concat();
        let rehearsal = sandbox.rehearsal(&server.url(), &options, &["sh", "-c", &wait]).start();
        rehearsal.logs("ended at its limit");
        fs::write(sandbox.path("go"), "").unwrap();
        let outcome = rehearsal.wait();
        outcome.code(3).logged(words);
        assert!(Path::new(&sandbox.path("done")).exists());
        let figures = sandbox.figures();
        assert!(figures.rows().len() <= 100 || words == "--max-time");
        assert!(figures.run()["incomplete"].as_str().unwrap().contains(words));
    }
}
