//! Servers that answer correctly until the gate is open, and then fail in their own way.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use common::http::*;
use nix::sys::socket::{setsockopt, sockopt};

pub(crate) const RIGHT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright";
/// The SHA-256 of `right`.
pub(crate) const HASH: &str = "27042f4e6eca7d0b2a7ee4026df2ecfa51d3339e6d122aa099118ecd8563bad9";

/// A request that a server received.
pub(crate) struct Asked {
    /// Its number on the connection, from 0.
    pub(crate) nth: usize,
    /// The client asked for the connection to be closed.
    pub(crate) fresh: bool,
    /// The stream of HTTP/2.
    pub(crate) stream: Option<u32>,
}

/// What a server does after its answer.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Then {
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

pub(crate) trait Stream: Read + Write + Send {
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

pub(crate) type Script = dyn Fn(&Asked, &mut dyn Stream) -> Then + Send + Sync;

/// A server that a script controls byte by byte. It speaks HTTP/1.1, or HTTP/2 with clients that begin with it.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) asked: Arc<AtomicU64>,
    pub(crate) listener: Arc<TcpListener>,
}

/// Stops a socket from listening, even if other threads hold it.
pub(crate) fn stop_listening(listener: &TcpListener) {
    // Another thread may have done it before.
    let _ = nix::sys::socket::shutdown(listener.as_raw_fd(), nix::sys::socket::Shutdown::Both);
}

impl Drop for Server {
    fn drop(&mut self) {
        stop_listening(&self.listener);
    }
}

impl Server {
    pub(crate) fn new(script: impl Fn(&Asked, &mut dyn Stream) -> Then + Send + Sync + 'static) -> Self {
        Self::start(None, Arc::new(script))
    }

    pub(crate) fn with_tls(
        tls: Arc<rustls::ServerConfig>,
        script: impl Fn(&Asked, &mut dyn Stream) -> Then + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(tls), Arc::new(script))
    }

    pub(crate) fn start(tls: Option<Arc<rustls::ServerConfig>>, script: Arc<Script>) -> Self {
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
    pub(crate) fn until(gate: &Gate, script: impl Fn(&Asked, &mut dyn Stream) -> Then + Send + Sync + 'static) -> Self {
        let gate = gate.clone();
        Self::new(move |asked, stream| if gate.is_open() { script(asked, stream) } else { right(asked, stream) })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// How many requests it has received.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

pub(crate) fn serve(stream: &mut dyn Stream, script: &Script, count: &AtomicU64, listener: &TcpListener) {
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

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// A frame of HTTP/2 (RFC 9113, section 4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub(crate) fn serve_two(
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
pub(crate) struct Buffer(Vec<u8>);

impl Buffer {
    pub(crate) fn more(&mut self, stream: &mut dyn Stream) -> Option<()> {
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).ok().filter(|length| *length > 0)?;
        self.0.extend(&buffer[..length]);
        Some(())
    }

    /// In lower case.
    pub(crate) fn head(&mut self, stream: &mut dyn Stream) -> Option<String> {
        loop {
            if let Some(at) = self.0.windows(4).position(|window| window == b"\r\n\r\n") {
                return Some(String::from_utf8_lossy(&self.exactly(stream, at + 4)?).to_lowercase());
            }
            self.more(stream)?;
        }
    }

    pub(crate) fn exactly(&mut self, stream: &mut dyn Stream, length: usize) -> Option<Vec<u8>> {
        while self.0.len() < length {
            self.more(stream)?;
        }
        Some(self.0.drain(..length).collect())
    }
}

pub(crate) fn right(asked: &Asked, stream: &mut dyn Stream) -> Then {
    match asked.stream {
        Some(id) => writes(stream, &[head_of(id), frame(DATA, END_STREAM, id, b"right")].concat(), Then::Keep),
        None => says(stream, RIGHT, if asked.fresh { Then::CloseProperly } else { Then::Keep }),
    }
}

/// The head of an answer with the status 200, from the static table of HPACK.
pub(crate) fn head_of(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &[0x88])
}

pub(crate) fn writes(stream: &mut dyn Stream, bytes: &[u8], then: Then) -> Then {
    let _ = stream.write_all(bytes).and_then(|()| stream.flush()); // the client may be gone
    then
}

pub(crate) fn says(stream: &mut dyn Stream, words: &str, then: Then) -> Then {
    writes(stream, words.as_bytes(), then)
}

/// A server that hangs for one second from the first request after the gate was opened.
pub(crate) fn hanging_server(gate: &Gate) -> Server {
    let until: OnceLock<Instant> = OnceLock::new();
    Server::until(gate, move |asked, stream| {
        let until = *until.get_or_init(|| Instant::now() + Duration::from_secs(1));
        thread::sleep(until.saturating_duration_since(Instant::now()));
        right(asked, stream)
    })
}
