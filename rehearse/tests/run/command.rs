//! The command, its output and signals, the exit code, and the address of another machine.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use common::http::*;
use common::*;

use super::sandbox::Sandbox;
use super::server::{Server, Then, right};

#[test]
fn without_the_expected_answer_before_the_load_the_command_is_not_run() {
    let server = Server::new(right);
    let unused_url = format!("http://127.0.0.1:{}/", free_port());
    let url_of_server = server.url();
    let other = "0".repeat(64);
    for (url, options, words) in [
        (&unused_url, ["--timeout", "5s"], "connection refused"),
        (&"http://no.such.name.invalid/".to_owned(), ["--yes", "--timeout=5s"], "no.such.name.invalid"),
        (&url_of_server, ["--expect-status", "201"], "status 200"),
        (&url_of_server, ["--expect-body-sha256", &other], "another body, with the SHA-256"),
    ] {
        let sandbox = Sandbox::new();
        sandbox.rehearse(url, &options).code(3).logged(words);
        assert!(!sandbox.gate.is_open(), "the command was run: {words}");
        assert!(!sandbox.has_report());
    }
}

#[test]
fn if_the_load_gets_no_answer_the_command_is_not_run() {
    let sandbox = Sandbox::new();
    let first = AtomicU64::new(0);
    let server = Server::new(move |asked, stream| match first.fetch_add(1, Ordering::Relaxed) {
        0 => right(asked, stream),
        _ => Then::Close,
    });
    sandbox.rehearse(&server.url(), &[]).code(3).logged("the command was not run");
    assert!(!sandbox.gate.is_open());
    assert!(sandbox.figures().count("cut off") > 0);
}

#[test]
fn wrong_usage_exits_with_2_and_sends_nothing() {
    let server = Server::new(right);
    let url = server.url();
    let sandbox = Sandbox::new();
    let there = sandbox.directory.path().to_str().unwrap();
    for (url, options, command, words) in [
        ("ftp://127.0.0.1/", &[][..], "true", "http://"),
        ("127.0.0.1:80", &[], "true", "http://"),
        ("http://name:word@127.0.0.1/", &[], "true", "password"),
        ("http://127.0.0.1:99999/", &[], "true", "a port is a number"),
        (&url, &["--expect-body-sha256", "abc"], "true", "sha256sum"),
        (&url, &["--timeout", "0"], "true", "must be above zero"),
        (&url, &["--max-requests", "0"], "true", "0 is not in"),
        (&url, &["--grace", "500000000000y"], "true", "the maximum is a week"),
        (&url, &[], "no-such-command", "no such command"),
        (&url, &[], "/etc/passwd", "no such command"),
    ] {
        sandbox.rehearsal(url, options, &[command]).run().code(2).logged(words);
    }
    fs::write(sandbox.directory.path().join("file"), "of somebody's").unwrap();
    let words = ["run", "--url", &url, "--output", there, "--", "true"];
    program(env!("CARGO_BIN_EXE_softstop-rehearse"), words).run().code(2).logged("is not empty");
    assert_eq!(server.asked(), 0);
    assert!(!sandbox.has_report());
}

#[test]
fn an_empty_directory_is_accepted_for_the_report() {
    let server = Server::new(right);
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("report")).unwrap();
    sandbox.rehearse(&server.url(), &[]).code(0);
    assert_eq!(sandbox.figures().count("answered"), sandbox.figures().rows().len());
}

#[test]
fn a_failed_command_is_reported_with_its_code_or_signal() {
    let server = Server::new(right);
    for (command, words) in [("echo out; exit 7", "exit code 7"), ("kill -KILL $$", "SIGKILL")] {
        let sandbox = Sandbox::new();
        let outcome = sandbox.rehearsal(&server.url(), &[], &["sh", "-c", command]).run();
        outcome.code(3).logged(words);
        assert!(sandbox.has_report());
        assert_eq!(outcome.stdout.starts_with("out\n"), command.starts_with("echo"));
    }
}

#[test]
fn a_signal_reaches_the_command_and_the_report_is_incomplete() {
    let sandbox = Sandbox::new();
    let server = Server::new(right);
    let command = ["sh", "-c", "trap 'echo told; exit 0' TERM; echo ready; while :; do sleep 0.05; done"];
    let rehearsal = sandbox.rehearsal(&server.url(), &[], &command).start();
    rehearsal.says("ready");
    rehearsal.signal(libc::SIGTERM).says("told");
    rehearsal.wait().code(3).logged("ended by SIGTERM");
    assert!(sandbox.figures().run()["incomplete"].as_str().unwrap().contains("SIGTERM"));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let sandbox = Sandbox::new();
    let server = Server::new(right);
    let command =
        ["sh", "-c", "trap 'echo told' TERM; echo ready; until [ -e $0 ]; do sleep 0.05; done", &sandbox.path("go")];
    let rehearsal = sandbox.rehearsal(&server.url(), &[], &command).start();
    rehearsal.says("ready");
    rehearsal.signal(libc::SIGTERM).says("told");
    rehearsal.signal(libc::SIGTERM);
    rehearsal.logs("at once");
    fs::write(sandbox.path("go"), "").unwrap(); // ends the command
    rehearsal.wait().code(3);
    assert!(!sandbox.has_report());
}

#[test]
fn ctrl_c_reaches_the_command_once() {
    let server = Server::new(right);
    // With a progress bar and without one.
    for term in ["TERM=xterm", "TERM=dumb"] {
        let sandbox = Sandbox::new();
        let rehearsal = sandbox.rehearsal(&server.url(), &[], &[recorder().to_str().unwrap()]).through(["env", term]);
        let mut terminal = Terminal::start(&mut rehearsal.command());
        terminal.shows("ready");
        terminal.types("\x03");
        terminal.shows("the load ends"); // by now it has passed the signal on, if it does
        send(descendants(terminal.pid)[0], libc::SIGTERM);
        terminal.shows("got 15");
        assert_eq!(terminal.ends(), 3);
        assert_eq!(terminal.text().matches("got 2\r").count(), 1, "{}", terminal.text());
    }
}

#[test]
fn the_output_of_the_command_is_shown_above_the_bar() {
    let sandbox = Sandbox::new();
    let server = Server::new(right);
    let command = [
        "sh",
        "-c",
        "echo one; printf 'two?'; echo three >&2; until [ -e $0 ]; do sleep 0.05; done",
        &sandbox.path("go"),
    ];
    let rehearsal = sandbox.rehearsal(&server.url(), &[], &command).through(["env", "TERM=xterm"]);
    let mut terminal = Terminal::start(&mut rehearsal.command());
    terminal.shows("before: ");
    terminal.shows("one\r\n");
    terminal.shows("two?"); // an unfinished line
    terminal.shows("answered, 0 lost");
    fs::write(sandbox.path("go"), "").unwrap();
    assert_eq!(terminal.ends(), 0);
    assert!(terminal.text().contains("three\r\n"), "{}", terminal.text());
}

// The address of another machine.

#[test]
fn without_a_terminal_another_machine_is_loaded_only_with_yes() {
    let sandbox = Sandbox::new();
    let rehearsal = sandbox.rehearsal("http://192.0.2.1/", &["--timeout", "200ms"], &["touch", sandbox.gate.path()]);
    rehearsal.through(["setsid", "--wait"]).run().code(2).logged("--yes");
    // With --yes it continues to the first request.
    sandbox
        .rehearse("http://192.0.2.1/", &["--timeout", "200ms", "--yes"])
        .code(3)
        .logged("does not give the expected answer");
}

#[test]
fn on_a_terminal_it_asks_before_it_loads_another_machine() {
    for (answer, words) in
        [("n\r", "nothing was loaded"), ("\r", "nothing was loaded"), ("y\r", "does not give the expected answer")]
    {
        let sandbox = Sandbox::new();
        let rehearsal =
            sandbox.rehearsal("http://192.0.2.1/", &["--timeout", "200ms"], &["touch", sandbox.gate.path()]);
        let mut terminal = Terminal::start(&mut rehearsal.command());
        terminal.shows("[y/N]");
        terminal.types(answer);
        terminal.shows(words);
        assert_eq!(terminal.ends(), 3);
        assert!(!sandbox.gate.is_open());
    }
}
