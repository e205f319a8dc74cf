//! The verdicts over HTTP/2.

use super::authority::Authority;
use super::sandbox::Sandbox;
use super::server::{DATA, GOAWAY, HASH, RST_STREAM, Server, Then, frame, head_of, right, writes};

#[test]
fn http_2_over_tls_with_a_private_authority() {
    let authority = Authority::new();
    let server = Server::with_tls(authority.server(&["h2", "http/1.1"]), right);
    let url = format!("https://localhost:{}/", server.port);
    for (options, http) in [
        (&[][..], "HTTP/2 over TLS"),
        (&["--http", "1.1"], "HTTP/1.1 over TLS, as asked"),
        (&["--rate", "200"], "HTTP/2 over TLS"),
    ] {
        let sandbox = Sandbox::new();
        sandbox.rehearsal(&url, options, &["true"]).env("SSL_CERT_FILE", authority.file()).run().code(0);
        assert_eq!(sandbox.figures().setting("http"), http);
        assert!(sandbox.figures().count("answered") > 50);
    }
    // An unknown authority is not trusted.
    let sandbox = Sandbox::new();
    let unknown = Authority::new();
    let outcome = sandbox.rehearsal(&url, &[], &["true"]).env("SSL_CERT_FILE", unknown.file()).run();
    outcome.code(3).logged("TLS: invalid certificate");
}

#[test]
fn http_2_without_tls_by_prior_knowledge() {
    let sandbox = Sandbox::new();
    let server = Server::new(right);
    sandbox.rehearse(&server.url(), &["--http", "2", "--expect-body-sha256", HASH]).code(0);
    assert_eq!(sandbox.figures().setting("http"), "HTTP/2, as asked");
}

#[test]
fn a_stream_that_the_server_did_not_process_is_retried() {
    let refused_stream = |id| frame(RST_STREAM, 0, id, &7_u32.to_be_bytes());
    let going_away = |_| frame(GOAWAY, 0, 0, &[0; 8]); // it processed no stream
    for (not_processed, then) in [(refused_stream as fn(u32) -> Vec<u8>, Then::Keep), (going_away, Then::Close)] {
        let sandbox = Sandbox::new();
        let server = Server::new(move |asked, stream| match asked.stream {
            Some(id) if asked.nth == 2 => writes(stream, &not_processed(id), then),
            _ => right(asked, stream),
        });
        sandbox.rehearse(&server.url(), &["--http", "2"]).code(0);
        assert!(sandbox.figures().rows().iter().any(|row| row.retried));
    }
}

#[test]
fn a_stream_that_is_reset_within_its_body_is_cut_off_even_with_no_error() {
    for (code, name) in [(0_u32, "NO_ERROR"), (8, "CANCEL"), (2, "INTERNAL_ERROR")] {
        let sandbox = Sandbox::new();
        let server = Server::until(&sandbox.gate, move |asked, stream| {
            let id = asked.stream.unwrap();
            let frames = [head_of(id), frame(DATA, 0, id, b"rig"), frame(RST_STREAM, 0, id, &code.to_be_bytes())];
            writes(stream, &frames.concat(), Then::Keep)
        });
        sandbox.rehearse(&server.url(), &["--http", "2"]).code(1);
        sandbox.figures().has_only(&["cut off"]);
        let words = format!("stream reset ({name}) within the body");
        assert!(sandbox.figures().errors().contains(&words), "{}", sandbox.figures().errors());
    }
}

#[test]
fn a_stream_that_is_reset_before_its_answer_is_lost() {
    let sandbox = Sandbox::new();
    let server = Server::until(&sandbox.gate, move |asked, stream| {
        let id = asked.stream.unwrap();
        writes(stream, &frame(RST_STREAM, 0, id, &2_u32.to_be_bytes()), Then::Keep)
    });
    sandbox.rehearse(&server.url(), &["--http", "2"]).code(1);
    sandbox.figures().has_only(&["cut off"]);
    assert!(sandbox.figures().rows().iter().all(|row| !row.retried));
}

#[test]
fn a_request_on_a_new_http_2_connection_closed_before_the_answer_is_lost() {
    for then in [Then::Close, Then::Reset] {
        let sandbox = Sandbox::new();
        let server = Server::until(&sandbox.gate, move |asked, stream| match asked.nth {
            0 => then,
            _ => right(asked, stream),
        });
        sandbox.rehearse(&server.url(), &["--http", "2"]).code(1);
        let figures = sandbox.figures();
        figures.has_only(&["cut off"]);
        assert!(figures.rows().iter().all(|row| row.verdict == "answered" || (row.fresh && !row.retried)));
    }
}

#[test]
fn a_request_on_a_kept_alive_http_2_connection_closed_before_the_answer_is_retried() {
    for then in [Then::Close, Then::Reset] {
        let sandbox = Sandbox::new();
        let server = Server::new(move |asked, stream| if asked.nth == 2 { then } else { right(asked, stream) });
        sandbox.rehearse(&server.url(), &["--http", "2"]).code(0);
        assert!(sandbox.figures().rows().iter().any(|row| row.retried));
    }
}
