//! The verdicts: each way in which a request can be lost.

use std::thread;
use std::time::Duration;

use super::authority::Authority;
use super::sandbox::Sandbox;
use super::server::{HASH, Server, Then, right, says};

#[test]
fn a_correct_server_loses_nothing() {
    let sandbox = Sandbox::new();
    let server = Server::new(right);
    sandbox.rehearse(&server.url(), &[]).code(0);
    let figures = sandbox.figures();
    assert!(figures.count("answered") > 50);
    figures.has_only(&[]);
    let fresh = figures.rows().iter().filter(|row| row.fresh).count();
    assert!(fresh > 20 && fresh < figures.rows().len() - 20, "half of them on fresh connections: {fresh}");
    assert_eq!(figures.setting("http"), "HTTP/1.1");
    // The server also received the one before the load.
    assert_eq!(figures.rows().len() as u64 + 1, server.asked());
}

#[test]
fn a_body_shorter_than_its_length_is_cut_off() {
    let sandbox = Sandbox::new();
    let server = Server::until(&sandbox.gate, |_, stream| {
        let body = "x".repeat(500);
        says(stream, &format!("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{body}"), Then::Close)
    });
    sandbox.rehearse(&server.url(), &[]).code(1);
    sandbox.figures().has_only(&["cut off"]);
    assert!(sandbox.figures().errors().contains("connection closed within the body"), "{}", sandbox.figures().errors());
}

#[test]
fn chunks_without_the_last_one_are_cut_off() {
    let sandbox = Sandbox::new();
    let server = Server::until(&sandbox.gate, |_, stream| {
        says(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nright\r\n", Then::Close)
    });
    sandbox.rehearse(&server.url(), &[]).code(1);
    sandbox.figures().has_only(&["cut off"]);
}

#[test]
fn chunks_with_the_last_one_are_whole() {
    let sandbox = Sandbox::new();
    let server = Server::until(&sandbox.gate, |_, stream| {
        says(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nright\r\n0\r\n\r\n", Then::Close)
    });
    sandbox.rehearse(&server.url(), &[]).code(0);
}

#[test]
fn a_tls_connection_closed_without_close_notify_is_cut_off() {
    let authority = Authority::new();
    for (then, code) in [(Then::Close, 1), (Then::CloseProperly, 0)] {
        let sandbox = Sandbox::new();
        let gate = sandbox.gate.clone();
        let server = Server::with_tls(authority.server(&[]), move |asked, stream| {
            if gate.is_open() { says(stream, "HTTP/1.1 200 OK\r\n\r\nright", then) } else { right(asked, stream) }
        });
        let url = format!("https://localhost:{}/", server.port);
        let rehearsal = sandbox.rehearsal(&url, &[], &["touch", sandbox.gate.path()]);
        rehearsal.env("SSL_CERT_FILE", authority.file()).run().code(code);
        sandbox.figures().has_only(if code == 1 { &["cut off"] } else { &[] });
    }
}

#[test]
fn a_body_that_only_the_connection_ends_is_reported() {
    let sandbox = Sandbox::new();
    let server = Server::until(&sandbox.gate, |_, stream| says(stream, "HTTP/1.1 200 OK\r\n\r\nrig", Then::Close));
    sandbox.rehearse(&server.url(), &[]).code(0);
    assert!(sandbox.figures().limits().contains("--expect-body-sha256"), "{}", sandbox.figures().limits());
}

#[test]
fn the_hash_decides_if_only_the_connection_ends_the_body() {
    let sandbox = Sandbox::new();
    let server = Server::until(&sandbox.gate, |_, stream| says(stream, "HTTP/1.1 200 OK\r\n\r\nrig", Then::Close));
    sandbox.rehearse(&server.url(), &["--expect-body-sha256", HASH]).code(1);
    sandbox.figures().has_only(&["wrong answer"]);
}

#[test]
fn a_502_is_a_5xx_even_if_it_is_not_whole() {
    for length in [0, 100] {
        let sandbox = Sandbox::new();
        let server = Server::until(&sandbox.gate, move |_, stream| {
            says(stream, &format!("HTTP/1.1 502 Bad Gateway\r\nContent-Length: {length}\r\n\r\n"), Then::Close)
        });
        sandbox.rehearse(&server.url(), &[]).code(1).logged("5xx");
        sandbox.figures().has_only(&["5xx"]);
    }
}

#[test]
fn an_expected_503_is_answered() {
    let sandbox = Sandbox::new();
    let server = Server::new(|_, stream| says(stream, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", Then::Close));
    sandbox.rehearse(&server.url(), &["--expect-status", "503"]).code(0);
}

#[test]
fn a_server_that_no_longer_listens_refuses() {
    let sandbox = Sandbox::new();
    let server = Server::until(&sandbox.gate, |_, _| Then::StopListening);
    sandbox.rehearse(&server.url(), &[]).code(1);
    let figures = sandbox.figures();
    // Connections in the backlog at that moment were already established.
    assert!(figures.count("refused") > 20, "{}", figures.errors());
    assert!(
        figures.losses().iter().all(|verdict| verdict == "refused" || verdict == "cut off"),
        "{:?}",
        figures.losses()
    );
    assert!(figures.errors().contains("\"connection refused\":"), "{}", figures.errors());
}

#[test]
fn another_status_or_another_body_is_a_wrong_answer() {
    for (answer, words) in [
        ("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "status 404"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong", "another body"),
    ] {
        let sandbox = Sandbox::new();
        let server = Server::until(&sandbox.gate, move |_, stream| says(stream, answer, Then::Close));
        sandbox.rehearse(&server.url(), &["--expect-body-sha256", HASH]).code(1);
        sandbox.figures().has_only(&["wrong answer"]);
        assert!(sandbox.figures().errors().contains(words), "{}", sandbox.figures().errors());
    }
}

#[test]
fn silence_times_out_and_every_request_in_flight_is_recorded() {
    let sandbox = Sandbox::new();
    let silence = Duration::from_secs(2);
    let server = Server::until(&sandbox.gate, move |_, _| {
        thread::sleep(silence);
        Then::Close
    });
    sandbox.rehearse(&server.url(), &["--timeout", "700ms"]).code(1);
    let figures = sandbox.figures();
    figures.has_only(&["timed out"]);
    assert!(figures.rows().iter().filter(|row| row.verdict == "timed out").all(|row| row.latency_ms >= 700.0));
    assert_eq!(figures.rows().len() as u64 + 1, server.asked());
}

#[test]
fn a_request_on_a_kept_alive_connection_closed_before_the_answer_is_retried() {
    for then in [Then::Close, Then::Reset] {
        let sandbox = Sandbox::new();
        let server = Server::new(move |asked, stream| if asked.nth == 2 { then } else { right(asked, stream) });
        sandbox.rehearse(&server.url(), &[]).code(0);
        let figures = sandbox.figures();
        assert!(figures.rows().iter().any(|row| row.retried));
        assert!(figures.rows().iter().all(|row| row.verdict == "answered" && !(row.fresh && row.retried)));
    }
}

#[test]
fn a_request_on_a_new_connection_closed_before_the_answer_is_lost() {
    let sandbox = Sandbox::new();
    let server =
        Server::until(&sandbox.gate, |asked, stream| if asked.fresh { Then::Close } else { right(asked, stream) });
    sandbox.rehearse(&server.url(), &[]).code(1);
    let figures = sandbox.figures();
    figures.has_only(&["cut off"]);
    assert!(figures.rows().iter().all(|row| row.verdict == "answered" || (row.fresh && !row.retried)));
    assert!(figures.errors().contains("connection closed before the answer"), "{}", figures.errors());
}

#[test]
fn a_request_on_a_kept_alive_connection_closed_within_the_answer_is_lost() {
    let sandbox = Sandbox::new();
    let server = Server::until(&sandbox.gate, |asked, stream| match asked.nth {
        0 => right(asked, stream),
        _ => says(stream, "HTTP/1.1 200 O", Then::Close),
    });
    sandbox.rehearse(&server.url(), &[]).code(1);
    let figures = sandbox.figures();
    figures.has_only(&["cut off"]);
    assert!(figures.rows().iter().all(|row| !row.retried));
    assert!(figures.errors().contains("within the head"), "{}", figures.errors());
}
