//! `softstop-rehearse run` tells each way in which a request can be lost from the others, blames nobody for its own limits,
//! and its exit code can be trusted.
//!
//! The servers answer rightly until the command opens a gate, because a wrong answer before that keeps the command from being
//! run at all; then each misbehaves in its own way.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test ends where it is wrong; it is no init, so it may measure time"
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
/// Of `right`.
const HASH: &str = "27042f4e6eca7d0b2a7ee4026df2ecfa51d3339e6d122aa099118ecd8563bad9";

/// One test's place: the gate that the command opens, and the report.
struct Place {
    directory: TempDir,
    gate: Gate,
}

impl Place {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        Self { gate: Gate::within(directory.path()), directory }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    /// A rehearsal, not yet started: short, and with a few users in a hurry.
    fn rehearsal(&self, url: &str, options: &[&str], command: &[&str]) -> Softstop {
        let report = self.path("report");
        let mut words = vec!["run", "--url", url, "--output", &report, "--pause", "10ms"];
        for unless_given in [["--before", "200ms"], ["--grace", "500ms"]] {
            if !options.contains(&unless_given[0]) {
                words.extend(unless_given);
            }
        }
        words.extend(options);
        words.push("--");
        words.extend(command);
        program(env!("CARGO_BIN_EXE_softstop-rehearse"), words)
    }

    /// A rehearsal whose command opens the gate.
    fn opens(&self, url: &str, options: &[&str]) -> Outcome {
        self.rehearsal(url, options, &["touch", self.gate.path()]).run()
    }

    fn seen(&self) -> Seen {
        let json = fs::read(self.directory.path().join("report/rehearsal.json")).expect("no report");
        Seen(serde_json::from_slice(&json).unwrap())
    }

    fn has_report(&self) -> bool {
        Path::new(&self.path("report")).exists()
    }
}

/// What `rehearsal.json` holds.
struct Seen(Value);

/// `[due_ms, latency_ms, kind, status, slow, fresh, retried]`
struct Row {
    latency_ms: f64,
    kind: String,
    fresh: bool,
    retried: bool,
}

impl Seen {
    fn run(&self) -> &Value {
        &self.0["runs"][0]
    }

    fn rows(&self) -> Vec<Row> {
        let rows = self.run()["requests"].as_array().unwrap();
        let row = |row: &Value| Row {
            latency_ms: row[1].as_f64().unwrap(),
            kind: row[2].as_str().unwrap().to_owned(),
            fresh: row[5] == 1,
            retried: row[6] == 1,
        };
        rows.iter().map(row).collect()
    }

    fn count(&self, kind: &str) -> usize {
        self.rows().iter().filter(|row| row.kind == kind).count()
    }

    /// The kinds that were not answered.
    fn losses(&self) -> Vec<String> {
        let rows = self.rows();
        let mut kinds: Vec<_> = rows.into_iter().map(|row| row.kind).filter(|kind| kind != "answered").collect();
        kinds.sort();
        kinds.dedup();
        kinds
    }

    /// That what was not answered was all of these kinds, and that there was some of each.
    #[track_caller]
    fn has_only(&self, kinds: &[&str]) {
        let said = || format!("{}\n{}\n{:#?}", self.errors(), self.limits(), self.odd());
        assert_eq!(self.losses(), kinds, "{}", said());
    }

    /// Those that took long, to find out why.
    fn odd(&self) -> Vec<Value> {
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

/// What a server was asked.
struct Asked {
    /// The first on its connection is 0.
    nth: usize,
    /// The client wants the connection for itself.
    fresh: bool,
    /// The stream, in HTTP/2.
    stream: Option<u32>,
}

#[derive(Clone, Copy, PartialEq)]
enum Then {
    Keep,
    /// Without a word.
    Close,
    /// With a reset, as where the process is killed that has not read all yet.
    Reset,
    /// With TLS's own word before.
    CloseProperly,
    /// Close, and listen no more.
    Leave,
}

trait Stream: Read + Write + Send {
    fn say_goodbye(&mut self) {}

    fn will_reset(&self) {}
}

impl Stream for TcpStream {
    fn will_reset(&self) {
        let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
        setsockopt(self, sockopt::Linger, &at_once).unwrap();
    }
}

impl Stream for rustls::StreamOwned<rustls::ServerConnection, TcpStream> {
    fn say_goodbye(&mut self) {
        self.conn.send_close_notify();
        let _ = self.flush(); // the client may be gone
    }
}

type Script = dyn Fn(&Asked, &mut dyn Stream) -> Then + Send + Sync;

/// A server that speaks HTTP to the letter, the wrong letter too: HTTP/1.1, or HTTP/2 to those who begin with it.
struct Server {
    port: u16,
    asked: Arc<AtomicU64>,
    listener: Arc<TcpListener>,
}

/// Has a socket listen no more, whoever holds it.
fn leave(listener: &TcpListener) {
    // Another may have been faster.
    let _ = nix::sys::socket::shutdown(listener.as_raw_fd(), nix::sys::socket::Shutdown::Both);
}

impl Drop for Server {
    fn drop(&mut self) {
        leave(&self.listener);
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
            // It ends when the socket no longer listens.
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

    /// Right until the gate is open.
    fn until(gate: &Gate, script: impl Fn(&Asked, &mut dyn Stream) -> Then + Send + Sync + 'static) -> Self {
        let gate = gate.clone();
        Self::new(move |asked, stream| if gate.is_open() { script(asked, stream) } else { right(asked, stream) })
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// How many requests it has read.
    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

fn serve(stream: &mut dyn Stream, script: &Script, count: &AtomicU64, listener: &TcpListener) {
    let mut received = Received::default();
    let mut ask = |asked: &Asked, stream: &mut dyn Stream| {
        count.fetch_add(1, Ordering::Relaxed);
        match script(asked, stream) {
            Then::Keep => return true,
            Then::Close => {}
            Then::CloseProperly => stream.say_goodbye(),
            Then::Reset => stream.will_reset(),
            Then::Leave => leave(listener),
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
    received: &mut Received,
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

/// What has come and was not looked at yet.
#[derive(Default)]
struct Received(Vec<u8>);

impl Received {
    fn more(&mut self, stream: &mut dyn Stream) -> Option<()> {
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).ok().filter(|length| *length > 0)?;
        self.0.extend(&buffer[..length]);
        Some(())
    }

    /// In small letters.
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

/// The head of an answer with the status 200, as the static table of HPACK has it.
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

/// A server whose answers stand still for a second, once, from the first request after the gate was opened.
fn freezes(gate: &Gate) -> Server {
    let until: OnceLock<Instant> = OnceLock::new();
    Server::until(gate, move |asked, stream| {
        let until = *until.get_or_init(|| Instant::now() + Duration::from_secs(1));
        thread::sleep(until.saturating_duration_since(Instant::now()));
        right(asked, stream)
    })
}

/// A certificate of an authority that nobody knows but who is told.
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

// What became of a request.

#[test]
fn a_right_server_loses_nothing() {
    let place = Place::new();
    let server = Server::new(right);
    place.opens(&server.url(), &[]).code(0);
    let seen = place.seen();
    assert!(seen.count("answered") > 50);
    seen.has_only(&[]);
    let fresh = seen.rows().iter().filter(|row| row.fresh).count();
    assert!(fresh > 20 && fresh < seen.rows().len() - 20, "half of them on fresh connections: {fresh}");
    assert_eq!(seen.setting("http"), "HTTP/1.1");
    // With the one before the load.
    assert_eq!(seen.rows().len() as u64 + 1, server.asked());
}

#[test]
fn a_body_shorter_than_its_length_is_cut_off() {
    let place = Place::new();
    let server = Server::until(&place.gate, |_, stream| {
        let body = "x".repeat(500);
        says(stream, &format!("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{body}"), Then::Close)
    });
    place.opens(&server.url(), &[]).code(1);
    place.seen().has_only(&["cut off"]);
    assert!(place.seen().errors().contains("connection closed within the body"), "{}", place.seen().errors());
}

#[test]
fn chunks_without_the_last_are_cut_off() {
    let place = Place::new();
    let server = Server::until(&place.gate, |_, stream| {
        says(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nright\r\n", Then::Close)
    });
    place.opens(&server.url(), &[]).code(1);
    place.seen().has_only(&["cut off"]);
}

#[test]
fn chunks_with_the_last_are_whole() {
    let place = Place::new();
    let server = Server::until(&place.gate, |_, stream| {
        says(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nright\r\n0\r\n\r\n", Then::Close)
    });
    place.opens(&server.url(), &[]).code(0);
}

#[test]
fn a_tls_connection_torn_without_a_goodbye_is_cut_off_and_with_one_it_is_not() {
    let authority = Authority::new();
    for (then, code) in [(Then::Close, 1), (Then::CloseProperly, 0)] {
        let place = Place::new();
        let gate = place.gate.clone();
        let server = Server::with_tls(authority.server(&[]), move |asked, stream| {
            if gate.is_open() { says(stream, "HTTP/1.1 200 OK\r\n\r\nright", then) } else { right(asked, stream) }
        });
        let url = format!("https://localhost:{}/", server.port);
        let rehearsal = place.rehearsal(&url, &[], &["touch", place.gate.path()]);
        rehearsal.env("SSL_CERT_FILE", authority.file()).run().code(code);
        place.seen().has_only(if code == 1 { &["cut off"] } else { &[] });
    }
}

#[test]
fn a_body_that_only_the_connection_ends_is_not_judged_without_a_word() {
    let place = Place::new();
    let server = Server::until(&place.gate, |_, stream| says(stream, "HTTP/1.1 200 OK\r\n\r\nrig", Then::Close));
    place.opens(&server.url(), &[]).code(0);
    assert!(place.seen().limits().contains("--expect-body-sha256"), "{}", place.seen().limits());
}

#[test]
fn the_hash_tells_where_only_the_connection_ends_the_body() {
    let place = Place::new();
    let server = Server::until(&place.gate, |_, stream| says(stream, "HTTP/1.1 200 OK\r\n\r\nrig", Then::Close));
    place.opens(&server.url(), &["--expect-body-sha256", HASH]).code(1);
    place.seen().has_only(&["wrong answer"]);
}

#[test]
fn a_502_is_a_5xx_whole_or_not() {
    for length in [0, 100] {
        let place = Place::new();
        let server = Server::until(&place.gate, move |_, stream| {
            says(stream, &format!("HTTP/1.1 502 Bad Gateway\r\nContent-Length: {length}\r\n\r\n"), Then::Close)
        });
        place.opens(&server.url(), &[]).code(1).logged("5xx");
        place.seen().has_only(&["5xx"]);
    }
}

#[test]
fn an_expected_503_is_a_right_answer() {
    let place = Place::new();
    let server = Server::new(|_, stream| says(stream, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", Then::Close));
    place.opens(&server.url(), &["--expect-status", "503"]).code(0);
}

#[test]
fn a_server_that_is_gone_refuses() {
    let place = Place::new();
    let server = Server::until(&place.gate, |_, _| Then::Leave);
    place.opens(&server.url(), &[]).code(1);
    let seen = place.seen();
    // What was in the backlog when it left was connected already.
    assert!(seen.count("refused") > 20, "{}", seen.errors());
    assert!(seen.losses().iter().all(|kind| kind == "refused" || kind == "cut off"), "{:?}", seen.losses());
    assert!(seen.errors().contains("\"connection refused\":"), "{}", seen.errors());
}

#[test]
fn another_status_and_another_body_are_wrong_answers() {
    for (answer, words) in [
        ("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "status 404"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong", "another body"),
    ] {
        let place = Place::new();
        let server = Server::until(&place.gate, move |_, stream| says(stream, answer, Then::Close));
        place.opens(&server.url(), &["--expect-body-sha256", HASH]).code(1);
        place.seen().has_only(&["wrong answer"]);
        assert!(place.seen().errors().contains(words), "{}", place.seen().errors());
    }
}

#[test]
fn silence_times_out_and_nobody_in_flight_is_forgotten() {
    let place = Place::new();
    let silence = Duration::from_secs(2);
    let server = Server::until(&place.gate, move |_, _| {
        thread::sleep(silence);
        Then::Close
    });
    place.opens(&server.url(), &["--timeout", "700ms"]).code(1);
    let seen = place.seen();
    seen.has_only(&["timed out"]);
    assert!(seen.rows().iter().filter(|row| row.kind == "timed out").all(|row| row.latency_ms >= 700.0));
    assert_eq!(seen.rows().len() as u64 + 1, server.asked());
}

#[test]
fn a_kept_connection_closed_before_the_answer_is_tried_once_more_and_nothing_is_lost() {
    for then in [Then::Close, Then::Reset] {
        let place = Place::new();
        let server = Server::new(move |asked, stream| if asked.nth == 2 { then } else { right(asked, stream) });
        place.opens(&server.url(), &[]).code(0);
        let seen = place.seen();
        assert!(seen.rows().iter().any(|row| row.retried));
        assert!(seen.rows().iter().all(|row| row.kind == "answered" && !(row.fresh && row.retried)));
    }
}

#[test]
fn a_new_connection_closed_before_the_answer_is_lost() {
    let place = Place::new();
    let server =
        Server::until(&place.gate, |asked, stream| if asked.fresh { Then::Close } else { right(asked, stream) });
    place.opens(&server.url(), &[]).code(1);
    let seen = place.seen();
    seen.has_only(&["cut off"]);
    assert!(seen.rows().iter().all(|row| row.kind == "answered" || (row.fresh && !row.retried)));
    assert!(seen.errors().contains("connection closed before the answer"), "{}", seen.errors());
}

#[test]
fn a_kept_connection_closed_within_the_answer_is_lost() {
    let place = Place::new();
    let server = Server::until(&place.gate, |asked, stream| match asked.nth {
        0 => right(asked, stream),
        _ => says(stream, "HTTP/1.1 200 O", Then::Close),
    });
    place.opens(&server.url(), &[]).code(1);
    let seen = place.seen();
    seen.has_only(&["cut off"]);
    assert!(seen.rows().iter().all(|row| !row.retried));
    assert!(seen.errors().contains("within the head"), "{}", seen.errors());
}

// HTTP/2.

#[test]
fn http_2_over_tls_with_an_authority_of_ones_own() {
    let authority = Authority::new();
    let server = Server::with_tls(authority.server(&["h2", "http/1.1"]), right);
    let url = format!("https://localhost:{}/", server.port);
    for (options, http) in [
        (&[][..], "HTTP/2 over TLS"),
        (&["--http", "1.1"], "HTTP/1.1 over TLS, as asked"),
        (&["--rate", "200"], "HTTP/2 over TLS"),
    ] {
        let place = Place::new();
        place.rehearsal(&url, options, &["true"]).env("SSL_CERT_FILE", authority.file()).run().code(0);
        assert_eq!(place.seen().setting("http"), http);
        assert!(place.seen().count("answered") > 50);
    }
    // Whom nobody knows nobody trusts.
    let place = Place::new();
    let stranger = Authority::new();
    let outcome = place.rehearsal(&url, &[], &["true"]).env("SSL_CERT_FILE", stranger.file()).run();
    outcome.code(3).logged("TLS: invalid certificate");
}

#[test]
fn http_2_without_tls_by_prior_knowledge() {
    let place = Place::new();
    let server = Server::new(right);
    place.opens(&server.url(), &["--http", "2", "--expect-body-sha256", HASH]).code(0);
    assert_eq!(place.seen().setting("http"), "HTTP/2, as asked");
}

#[test]
fn a_stream_that_the_server_did_not_process_is_tried_once_more_and_nothing_is_lost() {
    let refused_stream = |id| frame(RST_STREAM, 0, id, &7_u32.to_be_bytes());
    let going_away = |_| frame(GOAWAY, 0, 0, &[0; 8]); // the last stream that it processed is none
    for (not_processed, then) in [(refused_stream as fn(u32) -> Vec<u8>, Then::Keep), (going_away, Then::Close)] {
        let place = Place::new();
        let server = Server::new(move |asked, stream| match asked.stream {
            Some(id) if asked.nth == 2 => writes(stream, &not_processed(id), then),
            _ => right(asked, stream),
        });
        place.opens(&server.url(), &["--http", "2"]).code(0);
        assert!(place.seen().rows().iter().any(|row| row.retried));
    }
}

#[test]
fn a_stream_that_is_reset_within_its_body_is_cut_off_even_without_an_error() {
    for (code, name) in [(0_u32, "NO_ERROR"), (8, "CANCEL"), (2, "INTERNAL_ERROR")] {
        let place = Place::new();
        let server = Server::until(&place.gate, move |asked, stream| {
            let id = asked.stream.unwrap();
            let frames = [head_of(id), frame(DATA, 0, id, b"rig"), frame(RST_STREAM, 0, id, &code.to_be_bytes())];
            writes(stream, &frames.concat(), Then::Keep)
        });
        place.opens(&server.url(), &["--http", "2"]).code(1);
        place.seen().has_only(&["cut off"]);
        let words = format!("stream reset ({name}) within the body");
        assert!(place.seen().errors().contains(&words), "{}", place.seen().errors());
    }
}

#[test]
fn a_stream_that_fails_before_its_answer_is_lost() {
    let place = Place::new();
    let server = Server::until(&place.gate, move |asked, stream| {
        let id = asked.stream.unwrap();
        writes(stream, &frame(RST_STREAM, 0, id, &2_u32.to_be_bytes()), Then::Keep)
    });
    place.opens(&server.url(), &["--http", "2"]).code(1);
    place.seen().has_only(&["cut off"]);
    assert!(place.seen().rows().iter().all(|row| !row.retried));
}

#[test]
fn a_new_http_2_connection_closed_before_the_answer_is_lost() {
    for then in [Then::Close, Then::Reset] {
        let place = Place::new();
        let server = Server::until(&place.gate, move |asked, stream| match asked.nth {
            0 => then,
            _ => right(asked, stream),
        });
        place.opens(&server.url(), &["--http", "2"]).code(1);
        let seen = place.seen();
        seen.has_only(&["cut off"]);
        assert!(seen.rows().iter().all(|row| row.kind == "answered" || (row.fresh && !row.retried)));
    }
}

#[test]
fn a_kept_http_2_connection_closed_before_the_answer_is_tried_once_more_and_nothing_is_lost() {
    for then in [Then::Close, Then::Reset] {
        let place = Place::new();
        let server = Server::new(move |asked, stream| if asked.nth == 2 { then } else { right(asked, stream) });
        place.opens(&server.url(), &["--http", "2"]).code(0);
        assert!(place.seen().rows().iter().any(|row| row.retried));
    }
}

// How it measures.

#[test]
fn an_open_loop_sees_a_frozen_server_in_all_that_were_due_meanwhile() {
    let place = Place::new();
    let server = freezes(&place.gate);
    place.opens(&server.url(), &["--rate", "100", "--grace", "1500ms"]).code(0);
    let slow: Vec<f64> = place.seen().rows().iter().map(|row| row.latency_ms).filter(|each| *each > 100.0).collect();
    assert!(slow.len() >= 75, "of about 90 only {}: {slow:?}", slow.len());
    assert!(slow.iter().any(|latency| *latency > 900.0), "{slow:?}");
}

#[test]
fn a_closed_loop_sees_it_once_for_each_user() {
    let place = Place::new();
    let server = freezes(&place.gate);
    place.opens(&server.url(), &["--concurrency", "4", "--grace", "1500ms"]).code(0);
    let slow = place.seen().rows().iter().filter(|row| row.latency_ms > 500.0).count();
    assert!((1..=4).contains(&slow), "{slow}");
}

// The generator's own limits.

#[test]
fn what_finds_no_place_in_flight_is_not_sent_and_not_lost() {
    let place = Place::new();
    let server = freezes(&place.gate);
    let outcome = place.opens(&server.url(), &["--rate", "200", "--concurrency", "5", "--grace", "1500ms"]);
    outcome.code(3).logged("could not send");
    let seen = place.seen();
    seen.has_only(&["not sent"]);
    assert!(seen.limits().contains("--concurrency"), "{}", seen.limits());
    assert_eq!(seen.errors(), "{}");
}

#[test]
fn what_finds_no_descriptor_is_not_sent_and_not_lost() {
    for host in ["127.0.0.1", "localhost"] {
        let place = Place::new();
        let server = freezes(&place.gate);
        let url = format!("http://{host}:{}/", server.port);
        let rehearsal = place.rehearsal(&url, &["--rate", "200", "--grace", "1500ms"], &["touch", place.gate.path()]);
        let outcome = rehearsal.through(["sh", "-c", "ulimit -n 40; exec \"$@\"", "sh"]).run();
        outcome.code(3).logged("could not send");
        let seen = place.seen();
        seen.has_only(&["not sent"]);
        assert!(seen.limits().contains("too many open files (40 are allowed"), "{}", seen.limits());
    }
}

#[test]
fn the_soft_limit_of_descriptors_is_no_limit_and_the_command_does_not_see_that() {
    let place = Place::new();
    let server = freezes(&place.gate);
    let command = ["sh", "-c", &format!("ulimit -n; touch {}", place.gate.path())];
    let rehearsal = place.rehearsal(&server.url(), &["--rate", "200", "--grace", "1500ms"], &command);
    let outcome = rehearsal.through(["sh", "-c", "ulimit -Sn 40; exec \"$@\"", "sh"]).run();
    outcome.code(0);
    assert!(outcome.stdout.starts_with("40\n"), "{outcome:?}");
}

#[test]
fn a_generator_that_stood_still_says_so_and_blames_nobody() {
    let place = Place::new();
    let server = Server::new(right);
    let command = ["sh", "-c", "echo ready; until [ -e $0 ]; do sleep 0.05; done", &place.path("go")];
    let options = ["--rate", "100", "--timeout", "500ms"];
    let rehearsal = place.rehearsal(&server.url(), &options, &command).start();
    rehearsal.says("ready");
    rehearsal.signal(libc::SIGSTOP);
    eventually("it stands still", || (state(rehearsal.pid) == Some('T')).then_some(()));
    thread::sleep(Duration::from_secs(1));
    rehearsal.signal(libc::SIGCONT);
    fs::write(place.path("go"), "").unwrap();
    rehearsal.wait().code(0);
    let limits = place.seen().limits();
    assert!(limits.contains("did not run when it wanted to") && limits.contains("sent late"), "{limits}");
}

#[test]
fn a_bound_ends_the_load_and_not_the_command() {
    for (options, words) in [(["--max-requests", "100"], "--max-requests"), (["--max-time", "600ms"], "--max-time")] {
        let place = Place::new();
        let server = Server::new(right);
        let wait =
            format!("until [ -e {0}/go ]; do sleep 0.05; done; touch {0}/done", place.directory.path().display());
        let options = [&options[..], &["--concurrency", "2"]].concat();
        let rehearsal = place.rehearsal(&server.url(), &options, &["sh", "-c", &wait]).start();
        rehearsal.logs("ended at its bound");
        fs::write(place.path("go"), "").unwrap();
        let outcome = rehearsal.wait();
        outcome.code(3).logged(words);
        assert!(Path::new(&place.path("done")).exists());
        let seen = place.seen();
        assert!(seen.rows().len() <= 100 || words == "--max-time");
        assert!(seen.run()["incomplete"].as_str().unwrap().contains(words));
    }
}

// The command, and the exit code.

#[test]
fn without_a_right_answer_beforehand_the_command_is_not_run() {
    let server = Server::new(right);
    let nobody = format!("http://127.0.0.1:{}/", free_port());
    let right_url = server.url();
    let other = "0".repeat(64);
    for (url, options, words) in [
        (&nobody, ["--timeout", "5s"], "connection refused"),
        (&"http://no.such.name.invalid/".to_owned(), ["--yes", "--timeout=5s"], "no.such.name.invalid"),
        (&right_url, ["--expect-status", "201"], "status 200"),
        (&right_url, ["--expect-body-sha256", &other], "another body, of the SHA-256"),
    ] {
        let place = Place::new();
        place.opens(url, &options).code(3).logged(words);
        assert!(!place.gate.is_open(), "the command was run: {words}");
        assert!(!place.has_report());
    }
}

#[test]
fn where_the_load_itself_gets_no_right_answer_the_command_is_not_run() {
    let place = Place::new();
    let first = AtomicU64::new(0);
    let server = Server::new(move |asked, stream| match first.fetch_add(1, Ordering::Relaxed) {
        0 => right(asked, stream),
        _ => Then::Close,
    });
    place.opens(&server.url(), &[]).code(3).logged("the command was not run");
    assert!(!place.gate.is_open());
    assert!(place.seen().count("cut off") > 0);
}

#[test]
fn wrong_usage_is_2_and_nothing_is_asked() {
    let server = Server::new(right);
    let url = server.url();
    let place = Place::new();
    let there = place.directory.path().to_str().unwrap();
    for (url, options, command, words) in [
        ("ftp://127.0.0.1/", &[][..], "true", "http://"),
        ("127.0.0.1:80", &[], "true", "http://"),
        ("http://name:word@127.0.0.1/", &[], "true", "password"),
        ("http://127.0.0.1:99999/", &[], "true", "a port is a number"),
        (&url, &["--expect-body-sha256", "abc"], "true", "sha256sum"),
        (&url, &["--timeout", "0"], "true", "no time at all"),
        (&url, &["--max-requests", "0"], "true", "0 is not in"),
        (&url, &["--grace", "500000000000y"], "true", "a week is the most"),
        (&url, &[], "no-such-command", "no such command"),
        (&url, &[], "/etc/passwd", "no such command"),
    ] {
        place.rehearsal(url, options, &[command]).run().code(2).logged(words);
    }
    fs::write(place.directory.path().join("file"), "of somebody's").unwrap();
    let words = ["run", "--url", &url, "--output", there, "--", "true"];
    program(env!("CARGO_BIN_EXE_softstop-rehearse"), words).run().code(2).logged("is not empty");
    assert_eq!(server.asked(), 0);
    assert!(!place.has_report());
}

#[test]
fn an_empty_directory_is_as_good_as_a_new_one() {
    let server = Server::new(right);
    let place = Place::new();
    fs::create_dir(place.path("report")).unwrap();
    place.opens(&server.url(), &[]).code(0);
    assert_eq!(place.seen().count("answered"), place.seen().rows().len());
}

#[test]
fn a_command_that_fails_is_named_with_its_code_or_signal() {
    let server = Server::new(right);
    for (command, words) in [("echo out; exit 7", "exit code 7"), ("kill -KILL $$", "SIGKILL")] {
        let place = Place::new();
        let outcome = place.rehearsal(&server.url(), &[], &["sh", "-c", command]).run();
        outcome.code(3).logged(words);
        assert!(place.has_report());
        assert_eq!(outcome.stdout.starts_with("out\n"), command.starts_with("echo"));
    }
}

#[test]
fn a_signal_reaches_the_command_and_the_report_says_that_it_is_not_whole() {
    let place = Place::new();
    let server = Server::new(right);
    let command = ["sh", "-c", "trap 'echo told; exit 0' TERM; echo ready; while :; do sleep 0.05; done"];
    let rehearsal = place.rehearsal(&server.url(), &[], &command).start();
    rehearsal.says("ready");
    rehearsal.signal(libc::SIGTERM).says("told");
    rehearsal.wait().code(3).logged("ended by SIGTERM");
    assert!(place.seen().run()["incomplete"].as_str().unwrap().contains("SIGTERM"));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let place = Place::new();
    let server = Server::new(right);
    let command =
        ["sh", "-c", "trap 'echo told' TERM; echo ready; until [ -e $0 ]; do sleep 0.05; done", &place.path("go")];
    let rehearsal = place.rehearsal(&server.url(), &[], &command).start();
    rehearsal.says("ready");
    rehearsal.signal(libc::SIGTERM).says("told");
    rehearsal.signal(libc::SIGTERM);
    rehearsal.logs("at once");
    fs::write(place.path("go"), "").unwrap(); // lets the command go
    rehearsal.wait().code(3);
    assert!(!place.has_report());
}

#[test]
fn ctrl_c_reaches_the_command_once() {
    let server = Server::new(right);
    // With a bar, and without one.
    for term in ["TERM=xterm", "TERM=dumb"] {
        let place = Place::new();
        let rehearsal = place.rehearsal(&server.url(), &[], &[recorder().to_str().unwrap()]).through(["env", term]);
        let mut terminal = Terminal::start(&mut rehearsal.command());
        terminal.shows("ready");
        terminal.types("\x03");
        terminal.shows("the load ends"); // by now it has passed on what it passes on
        send(descendants(terminal.pid)[0], libc::SIGTERM);
        terminal.shows("got 15");
        assert_eq!(terminal.ends(), 3);
        assert_eq!(terminal.text().matches("got 2\r").count(), 1, "{}", terminal.text());
    }
}

#[test]
fn what_the_command_writes_stands_above_the_bar() {
    let place = Place::new();
    let server = Server::new(right);
    let command = [
        "sh",
        "-c",
        "echo one; printf 'two?'; echo three >&2; until [ -e $0 ]; do sleep 0.05; done",
        &place.path("go"),
    ];
    let rehearsal = place.rehearsal(&server.url(), &[], &command).through(["env", "TERM=xterm"]);
    let mut terminal = Terminal::start(&mut rehearsal.command());
    terminal.shows("before: ");
    terminal.shows("one\r\n");
    terminal.shows("two?"); // without the end of its line
    terminal.shows("answered, 0 lost");
    fs::write(place.path("go"), "").unwrap();
    assert_eq!(terminal.ends(), 0);
    assert!(terminal.text().contains("three\r\n"), "{}", terminal.text());
}

// An address that is another machine's.

#[test]
fn without_a_terminal_another_machine_is_not_loaded_unless_yes_was_said() {
    let place = Place::new();
    let rehearsal = place.rehearsal("http://192.0.2.1/", &["--timeout", "200ms"], &["touch", place.gate.path()]);
    rehearsal.through(["setsid", "--wait"]).run().code(2).logged("--yes");
    // It goes on to the first request.
    place.opens("http://192.0.2.1/", &["--timeout", "200ms", "--yes"]).code(3).logged("no right answer");
}

#[test]
fn at_a_terminal_it_asks_before_it_loads_another_machine() {
    for (answer, words) in [("n\r", "nothing was loaded"), ("\r", "nothing was loaded"), ("y\r", "no right answer")] {
        let place = Place::new();
        let rehearsal = place.rehearsal("http://192.0.2.1/", &["--timeout", "200ms"], &["touch", place.gate.path()]);
        let mut terminal = Terminal::start(&mut rehearsal.command());
        terminal.shows("[y/N]");
        terminal.types(answer);
        terminal.shows(words);
        assert_eq!(terminal.ends(), 3);
        assert!(!place.gate.is_open());
    }
}

// The real thing.

/// Two nginx behind one balancer. `roll-out` restarts one after the other: it tells the old one to stop, and the routing
/// changes half a second later, as in a cluster.
struct Cluster {
    directory: TempDir,
    port: u16,
    #[expect(dead_code, reason = "it ends when it is dropped")]
    haproxy: Running,
}

impl Cluster {
    fn start(start: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let home = directory.path().to_str().unwrap().to_owned();
        let (port, control) = (free_port(), free_port());
        let mut servers = String::new();
        // More than a second's worth: what nginx has in hand when it is told to stop.
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

    /// Rehearses the roll-out, in a PID namespace with which everything that was started ends.
    fn rehearse(&self) -> (Outcome, Seen) {
        let place = Place::new();
        let script = self.directory.path().join("roll-out");
        let url = format!("http://127.0.0.1:{}/", self.port);
        let rehearsal =
            place.rehearsal(&url, &["--before", "1s", "--grace", "1s"], &["bash", script.to_str().unwrap()]);
        let outcome = rehearsal.through(["bash", script.to_str().unwrap(), "around"]).pid_one().run();
        let seen = place.seen();
        (outcome, seen)
    }
}

fn have_cluster() -> bool {
    ["nginx", "haproxy", "bash", "unshare"].into_iter().all(have_program)
}

/// The control of the next.
#[test]
fn a_roll_out_with_sigterm_to_nginx_loses_requests() {
    if !have_cluster() {
        return;
    }
    let (outcome, seen) = Cluster::start(&[]).rehearse();
    outcome.code(1);
    assert!(seen.count("cut off") > 5, "{}", seen.errors());
}

#[test]
fn a_roll_out_with_softstop_loses_none() {
    if !have_cluster() {
        return;
    }
    let words = [softstop_binary(), "--pre-delay", "1s", "--drain-timeout", "10s", "--"];
    let (outcome, seen) = Cluster::start(&words).rehearse();
    seen.has_only(&[]);
    outcome.code(0);
    assert!(seen.count("answered") > 50);
}
