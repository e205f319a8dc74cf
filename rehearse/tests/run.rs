//! `softstop-rehearse run` distinguishes each way in which a request can be lost, blames no server for its own limits, and
//! returns an exit code that can be relied upon.
//!
//! The servers answer correctly until the command opens a gate, because the command is not run after a wrong answer. Then each
//! server fails in its own way.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic and measure time"
)]

use common::http::*;
use common::*;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use serde_json::Value;
use tempfile::TempDir;

const RIGHT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright";
/// The SHA-256 of `right`.
const HASH: &str = "27042f4e6eca7d0b2a7ee4026df2ecfa51d3339e6d122aa099118ecd8563bad9";

/// The directory of a test, with the gate that the command opens and the report.
struct Sandbox {
    directory: TempDir,
    gate: Gate,
}

impl Sandbox {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        Self { gate: Gate::within(directory.path()), directory }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    /// A rehearsal, not yet started: a short one, with short pauses.
    fn rehearsal(&self, url: &str, options: &[&str], command: &[&str]) -> Softstop {
        let report = self.path("report");
        let mut words = vec!["run", "--url", url, "--output", &report, "--pause", "10ms"];
        for default in [["--before", "200ms"], ["--grace", "500ms"]] {
            if !options.contains(&default[0]) {
                words.extend(default);
            }
        }
        words.extend(options);
        words.push("--");
        words.extend(command);
        program(env!("CARGO_BIN_EXE_softstop-rehearse"), words)
    }

    /// Runs a rehearsal whose command opens the gate.
    fn rehearse(&self, url: &str, options: &[&str]) -> Outcome {
        self.rehearsal(url, options, &["touch", self.gate.path()]).run()
    }

    fn figures(&self) -> Figures {
        let json = fs::read(self.directory.path().join("report/rehearsal.json")).expect("no report");
        Figures(serde_json::from_slice(&json).unwrap())
    }

    fn has_report(&self) -> bool {
        Path::new(&self.path("report")).exists()
    }
}

/// `rehearsal.json`
struct Figures(Value);

/// `[due_ms, latency_ms, verdict, status, slow, fresh, retried]`
struct Row {
    latency_ms: f64,
    verdict: String,
    fresh: bool,
    retried: bool,
}

impl Figures {
    fn run(&self) -> &Value {
        &self.0["runs"][0]
    }

    fn rows(&self) -> Vec<Row> {
        let rows = self.run()["requests"].as_array().unwrap();
        let row = |row: &Value| Row {
            latency_ms: row[1].as_f64().unwrap(),
            verdict: row[2].as_str().unwrap().to_owned(),
            fresh: row[5] == 1,
            retried: row[6] == 1,
        };
        rows.iter().map(row).collect()
    }

    fn count(&self, verdict: &str) -> usize {
        self.rows().iter().filter(|row| row.verdict == verdict).count()
    }

    /// The verdicts other than "answered".
    fn losses(&self) -> Vec<String> {
        let rows = self.rows();
        let mut verdicts: Vec<_> =
            rows.into_iter().map(|row| row.verdict).filter(|verdict| verdict != "answered").collect();
        verdicts.sort();
        verdicts.dedup();
        verdicts
    }

    /// Asserts that exactly these verdicts occur besides "answered".
    #[track_caller]
    fn has_only(&self, verdicts: &[&str]) {
        let details = || format!("{}\n{}\n{:#?}", self.errors(), self.limits(), self.slow_requests());
        assert_eq!(self.losses(), verdicts, "{}", details());
    }

    /// The requests that took long, for the failure message.
    fn slow_requests(&self) -> Vec<Value> {
        let rows = self.run()["requests"].as_array().unwrap().iter();
        rows.filter(|row| row[1].as_f64().unwrap() > 3000.0).cloned().collect()
    }

    fn limits(&self) -> String {
        self.run()["limits"].to_string()
    }

    fn errors(&self) -> String {
        self.run()["errors"].to_string()
    }

    fn setting(&self, name: &str) -> &str {
        self.0["settings"][name].as_str().unwrap()
    }
}

/// A request that a server received.
struct Asked {
    /// Its number on the connection, from 0.
    nth: usize,
    /// The client asked for the connection to be closed.
    fresh: bool,
    /// The stream of HTTP/2.
    stream: Option<u32>,
}

/// What a server does after its answer.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Keep,
    /// Close the connection without `close_notify`.
    Close,
    /// Close with a reset, as when a process is killed before it has read everything.
    Reset,
    /// Close with `close_notify` of TLS.
    CloseProperly,
    /// Close, and stop listening.
    StopListening,
}

trait Stream: Read + Write + Send {
    fn send_close_notify(&mut self) {}

    fn set_reset_on_close(&self) {}
}

impl Stream for TcpStream {
    fn set_reset_on_close(&self) {
        let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
        setsockopt(self, sockopt::Linger, &at_once).unwrap();
    }
}

impl Stream for rustls::StreamOwned<rustls::ServerConnection, TcpStream> {
    fn send_close_notify(&mut self) {
        self.conn.send_close_notify();
        let _ = self.flush(); // the client may be gone
    }
}

type Script = dyn Fn(&Asked, &mut dyn Stream) -> Then + Send + Sync;

/// A server that a script controls byte by byte. It speaks HTTP/1.1, or HTTP/2 with clients that begin with it.
struct Server {
    port: u16,
    asked: Arc<AtomicU64>,
    listener: Arc<TcpListener>,
}

/// Stops a socket from listening, even if other threads hold it.
fn stop_listening(listener: &TcpListener) {
    // Another thread may have done it before.
    let _ = nix::sys::socket::shutdown(listener.as_raw_fd(), nix::sys::socket::Shutdown::Both);
}

impl Drop for Server {
    fn drop(&mut self) {
        stop_listening(&self.listener);
    }
}

impl Server {
    fn new(script: impl Fn(&Asked, &mut dyn Stream) -> Then + Send + Sync + 'static) -> Self {
        Self::start(None, Arc::new(script))
    }

    fn with_tls(
        tls: Arc<rustls::ServerConfig>,
        script: impl Fn(&Asked, &mut dyn Stream) -> Then + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(tls), Arc::new(script))
    }

    fn start(tls: Option<Arc<rustls::ServerConfig>>, script: Arc<Script>) -> Self {
        let listener = Arc::new(TcpListener::bind(("127.0.0.1", 0)).unwrap());
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(AtomicU64::new(0));
        let (count, listening) = (asked.clone(), listener.clone());
        thread::spawn(move || {
            // `accept` fails once the socket no longer listens.
            while let Ok((stream, _)) = listening.accept() {
                stream.set_nodelay(true).unwrap();
                let (tls, script, count, listening) = (tls.clone(), script.clone(), count.clone(), listening.clone());
                thread::spawn(move || match tls {
                    Some(tls) => {
                        let connection = rustls::ServerConnection::new(tls).unwrap();
                        serve(&mut rustls::StreamOwned::new(connection, stream), &*script, &count, &listening);
                    }
                    None => serve(&mut { stream }, &*script, &count, &listening),
                });
            }
        });
        Self { port, asked, listener }
    }

    /// Answers correctly until the gate is open.
    fn until(gate: &Gate, script: impl Fn(&Asked, &mut dyn Stream) -> Then + Send + Sync + 'static) -> Self {
        let gate = gate.clone();
        Self::new(move |asked, stream| if gate.is_open() { script(asked, stream) } else { right(asked, stream) })
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// How many requests it has received.
    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

fn serve(stream: &mut dyn Stream, script: &Script, count: &AtomicU64, listener: &TcpListener) {
    let mut received = Buffer::default();
    let mut ask = |asked: &Asked, stream: &mut dyn Stream| {
        count.fetch_add(1, Ordering::Relaxed);
        match script(asked, stream) {
            Then::Keep => return true,
            Then::Close => {}
            Then::CloseProperly => stream.send_close_notify(),
            Then::Reset => stream.set_reset_on_close(),
            Then::StopListening => stop_listening(listener),
        }
        false
    };
    for nth in 0.. {
        let Some(head) = received.head(stream) else { return };
        if head.starts_with("pri * http/2") {
            let _ = stream.write_all(&frame(SETTINGS, 0, 0, &[]));
            serve_two(stream, &mut received, &mut ask);
            return;
        }
        if !ask(&Asked { nth, fresh: head.contains("connection: close"), stream: None }, stream) {
            return;
        }
    }
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn serve_two(
    stream: &mut dyn Stream,
    received: &mut Buffer,
    ask: &mut dyn FnMut(&Asked, &mut dyn Stream) -> bool,
) -> Option<()> {
    received.exactly(stream, b"SM\r\n\r\n".len())?;
    let mut nth = 0;
    loop {
        let head = received.exactly(stream, 9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let payload = received.exactly(stream, length as usize)?;
        let (kind, flags) = (head[3], head[4]);
        match kind {
            SETTINGS | PING if flags & ACK == 0 => {
                let payload = if kind == PING { &payload[..] } else { &[] };
                let _ = stream.write_all(&frame(kind, ACK, 0, payload)); // the client may be gone
            }
            HEADERS => {
                let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                if !ask(&Asked { nth, fresh: false, stream: Some(id) }, stream) {
                    return Some(());
                }
                nth += 1;
            }
            _ => {}
        }
    }
}

/// Bytes that were received and not yet parsed.
#[derive(Default)]
struct Buffer(Vec<u8>);

impl Buffer {
    fn more(&mut self, stream: &mut dyn Stream) -> Option<()> {
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).ok().filter(|length| *length > 0)?;
        self.0.extend(&buffer[..length]);
        Some(())
    }

    /// In lower case.
    fn head(&mut self, stream: &mut dyn Stream) -> Option<String> {
        loop {
            if let Some(at) = self.0.windows(4).position(|window| window == b"\r\n\r\n") {
                return Some(String::from_utf8_lossy(&self.exactly(stream, at + 4)?).to_lowercase());
            }
            self.more(stream)?;
        }
    }

    fn exactly(&mut self, stream: &mut dyn Stream, length: usize) -> Option<Vec<u8>> {
        while self.0.len() < length {
            self.more(stream)?;
        }
        Some(self.0.drain(..length).collect())
    }
}

fn right(asked: &Asked, stream: &mut dyn Stream) -> Then {
    match asked.stream {
        Some(id) => writes(stream, &[head_of(id), frame(DATA, END_STREAM, id, b"right")].concat(), Then::Keep),
        None => says(stream, RIGHT, if asked.fresh { Then::CloseProperly } else { Then::Keep }),
    }
}

/// The head of an answer with the status 200, from the static table of HPACK.
fn head_of(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &[0x88])
}

fn writes(stream: &mut dyn Stream, bytes: &[u8], then: Then) -> Then {
    let _ = stream.write_all(bytes).and_then(|()| stream.flush()); // the client may be gone
    then
}

fn says(stream: &mut dyn Stream, words: &str, then: Then) -> Then {
    writes(stream, words.as_bytes(), then)
}

/// A server that hangs for one second from the first request after the gate was opened.
fn hanging_server(gate: &Gate) -> Server {
    let until: OnceLock<Instant> = OnceLock::new();
    Server::until(gate, move |asked, stream| {
        let until = *until.get_or_init(|| Instant::now() + Duration::from_secs(1));
        thread::sleep(until.saturating_duration_since(Instant::now()));
        right(asked, stream)
    })
}

/// A certificate authority that only those trust who are given its file.
struct Authority {
    directory: TempDir,
    issuer: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut parameters = rcgen::CertificateParams::default();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = rcgen::CertifiedIssuer::self_signed(parameters, rcgen::KeyPair::generate().unwrap()).unwrap();
        let authority = Self { directory: TempDir::new().unwrap(), issuer };
        fs::write(authority.file(), authority.issuer.pem()).unwrap();
        authority
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    fn server(&self, protocols: &[&str]) -> Arc<rustls::ServerConfig> {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config =
            config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key.into()).unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

// The verdicts.

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

// HTTP/2.

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

// The command, and the exit code.

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

// A real roll-out.

/// Two nginx behind HAProxy. The script `roll-out` restarts one after the other: it tells the old one to stop, and the routing
/// changes half a second later, as in a cluster.
struct Cluster {
    directory: TempDir,
    port: u16,
    #[expect(dead_code, reason = "dropping it ends it")]
    haproxy: Running,
}

impl Cluster {
    fn start(start: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let home = directory.path().to_str().unwrap().to_owned();
        let (port, control) = (free_port(), free_port());
        let mut servers = String::new();
        // At this rate an answer takes more than a second, so that some are in flight when nginx is told to stop.
        fs::write(directory.path().join("index.html"), "a whole answer\n".repeat(10_000)).unwrap();
        for pod in ["a", "b"] {
            let at = free_port();
            servers.extend(["server ", pod, " 127.0.0.1:", &at.to_string(), "\n"]);
            let configuration = format!(
                "daemon off; user root; worker_processes 1; pid {home}/nginx-{pod}.pid; error_log {home}/{pod}.log notice;
                events {{ worker_connections 256; }}
                http {{
                    access_log off; root {home}; limit_rate 100k;
                    client_body_temp_path {home}/1; proxy_temp_path {home}/2; fastcgi_temp_path {home}/3;
                    uwsgi_temp_path {home}/4; scgi_temp_path {home}/5;
                    server {{ listen 127.0.0.1:{at}; }}
                }}"
            );
            fs::write(directory.path().join(format!("{pod}.conf")), configuration).unwrap();
        }
        let configuration = format!(
            "global
                stats socket ipv4@127.0.0.1:{control} level admin
            defaults
                mode http
                timeout connect 1s
                timeout client 20s
                timeout server 20s
            frontend ingress
                bind 127.0.0.1:{port}
                default_backend web
            backend web
                {servers}\n"
        );
        let file = directory.path().join("haproxy.cfg");
        fs::write(&file, configuration).unwrap();
        let start = start.join(" ");
        let nginx = in_path("nginx").unwrap().display().to_string();
        let script = format!(
            r#"
            cd {home}
            say() {{ exec 3<>/dev/tcp/127.0.0.1/{control}; echo "$1" >&3; cat <&3 >/dev/null; exec 3>&-; }}
            start() {{
                {start} {nginx} -c {home}/$1.conf >$1.out 2>&1 </dev/null &
                echo $! >$1.pid
                until grep -q "start worker processes" $1.log; do sleep 0.02; done
            }}
            gone() {{ ! grep -q "State:.[^Z]" /proc/$1/status 2>/dev/null; }}
            if [ "$1" = around ]; then start a; start b; shift; "$@"; exit $?; fi
            for pod in a b; do
                old=$(cat $pod.pid)
                kill -TERM $old
                (sleep 0.5; say "set server web/$pod state maint") &
                until gone $old; do sleep 0.02; done
                wait $!
                rm $pod.log
                start $pod
                say "set server web/$pod state ready"
            done
            "#
        );
        fs::write(directory.path().join("roll-out"), script).unwrap();
        let haproxy = program(in_path("haproxy").unwrap(), ["-f", file.to_str().unwrap()]).start();
        let cluster = Self { directory, port, haproxy };
        eventually("HAProxy listens", || TcpStream::connect(("127.0.0.1", port)).ok());
        cluster
    }

    /// Rehearses the roll-out in a PID namespace, so that everything it started ends with it.
    fn rehearse(&self) -> (Outcome, Figures) {
        let sandbox = Sandbox::new();
        let script = self.directory.path().join("roll-out");
        let url = format!("http://127.0.0.1:{}/", self.port);
        let rehearsal =
            sandbox.rehearsal(&url, &["--before", "1s", "--grace", "1s"], &["bash", script.to_str().unwrap()]);
        let outcome = rehearsal.through(["bash", script.to_str().unwrap(), "around"]).pid_one().run();
        let figures = sandbox.figures();
        (outcome, figures)
    }
}

fn have_cluster() -> bool {
    ["nginx", "haproxy", "bash", "unshare"].into_iter().all(have_program)
}

/// The negative control of the next test.
#[test]
fn a_roll_out_with_sigterm_to_nginx_loses_requests() {
    if !have_cluster() {
        return;
    }
    let (outcome, figures) = Cluster::start(&[]).rehearse();
    outcome.code(1);
    assert!(figures.count("cut off") > 5, "{}", figures.errors());
}

#[test]
fn a_roll_out_with_softstop_loses_none() {
    if !have_cluster() {
        return;
    }
    let words = [softstop_binary(), "--pre-delay", "1s", "--drain-timeout", "10s", "--"];
    let (outcome, figures) = Cluster::start(&words).rehearse();
    figures.has_only(&[]);
    outcome.code(0);
    assert!(figures.count("answered") > 50);
}
