//! A small HTTP client that distinguishes a whole response from a lost one, and a gate that keeps a response in flight.
//!
//! Every server in these tests sends a Content-Length, so that a response that was cut off can be recognised.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use super::random::Random;
use super::{DEAD_MAN, eventually};

/// More than the kernel's buffers on both sides of a connection can hold: a client that does not read on keeps such a response in
/// flight.
pub fn big() -> &'static [u8] {
    static BIG: OnceLock<Vec<u8>> = OnceLock::new();
    BIG.get_or_init(|| {
        // Blocks whose length is not a power of two: a missing one would shift the rest.
        let block: Vec<u8> = (0..9_973_u32).flat_map(|number| format!("{number:06}\n").into_bytes()).collect();
        let mut content = block.repeat(48 * 1024 * 1024 / block.len());
        content.extend(b"the end\n");
        content
    })
}

/// A port that was free a moment ago, chosen by the kernel.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// How a request was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// No connection.
    Refused,
    /// A connection, but no answer.
    Unanswered,
    /// An answer with another status than 200.
    Status(u16),
    /// A response that is shorter than its Content-Length.
    Cut { got: usize, wanted: usize },
}

/// A response that has begun. The rest is not read before [`finish`](Self::finish).
#[derive(Debug)]
pub struct Download {
    stream: TcpStream,
    wanted: usize,
    body: Vec<u8>,
}

impl Download {
    /// Asks over a new connection, and returns when the first bytes of the body have arrived.
    pub fn start(port: u16, path: &str) -> Result<Self, Lost> {
        Self::over(TcpStream::connect(("127.0.0.1", port)).map_err(|_| Lost::Refused)?, path)
    }

    /// The same over this connection.
    pub fn over(mut stream: TcpStream, path: &str) -> Result<Self, Lost> {
        stream.set_read_timeout(Some(DEAD_MAN)).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).map_err(|_| Lost::Unanswered)?;

        let mut received = Vec::new();
        let head_end = loop {
            if let Some(at) = received.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if read_some(&mut stream, &mut received).unwrap_or(0) == 0 {
                return Err(Lost::Unanswered);
            }
        };
        let head = String::from_utf8_lossy(&received[..head_end]).to_lowercase();
        let status: u16 = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        if status != 200 {
            return Err(Lost::Status(status));
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let wanted = length.unwrap_or_else(|| panic!("no length in {head}")).trim().parse().unwrap();
        let mut body = received.split_off(head_end);
        while body.is_empty() && wanted > 0 {
            if read_some(&mut stream, &mut body).unwrap_or(0) == 0 {
                return Err(Lost::Cut { got: 0, wanted });
            }
        }
        Ok(Self { stream, wanted, body })
    }

    /// Reads the rest.
    pub fn finish(mut self) -> Result<Vec<u8>, Lost> {
        // An error counts as an early end: the length shows whether anything is missing.
        let _ = self.stream.read_to_end(&mut self.body);
        if self.body.len() == self.wanted {
            Ok(self.body)
        } else {
            Err(Lost::Cut { got: self.body.len(), wanted: self.wanted })
        }
    }
}

fn read_some(stream: &mut TcpStream, into: &mut Vec<u8>) -> io::Result<usize> {
    let mut buffer = [0; 4096];
    let length = stream.read(&mut buffer)?;
    into.extend(&buffer[..length]);
    Ok(length)
}

/// A whole response, over a connection of its own.
pub fn get(port: u16, path: &str) -> Result<Vec<u8>, Lost> {
    Download::start(port, path)?.finish()
}

/// Waits until a server answers.
#[track_caller]
pub fn is_up(mut ask: impl FnMut() -> Result<Vec<u8>, Lost>) {
    eventually("the server answers", || ask().ok());
}

/// How many calls a second make a history. At this rate less than a second of silence proves that nobody calls any more.
pub const RATE: f64 = 20.0;
/// For how long calls come before the stop.
pub const HISTORY: Duration = Duration::from_secs(3);

/// Sends requests until `end`, at uneven intervals, and expects an answer to each. Returns when the last one was sent.
#[track_caller]
pub fn ask_until(end: Instant, ask: impl FnMut() -> Result<Vec<u8>, Lost>) -> Instant {
    ask_at(RATE, end, ask)
}

/// The same at this rate.
#[track_caller]
pub fn ask_at(rate: f64, end: Instant, mut ask: impl FnMut() -> Result<Vec<u8>, Lost>) -> Instant {
    let mut random = Random::from_seed(13);
    loop {
        let asked = Instant::now();
        if let Err(lost) = ask() {
            panic!("a request was lost: {lost:?}");
        }
        thread::sleep(random.pause(rate));
        if Instant::now() > end {
            return asked;
        }
    }
}

/// Calls for this long, usually [`HISTORY`], so that softstop sees a rate.
#[track_caller]
pub fn ask_for(time: Duration, ask: impl FnMut() -> Result<Vec<u8>, Lost>) {
    ask_until(Instant::now() + time, ask);
}

/// What became of new requests after a stop request.
#[derive(Debug)]
pub struct Served {
    /// How many were answered before the first one that was not.
    pub answers: usize,
    /// How long after the stop request the first one was lost.
    pub lasted: Duration,
    /// How it was lost.
    pub lost: Lost,
}

/// Asks again and again, each time over a new connection, until a request is lost.
#[track_caller]
pub fn served_since(stop: Instant, mut ask: impl FnMut() -> Result<Vec<u8>, Lost>) -> Served {
    let mut answers = 0;
    loop {
        match ask() {
            Ok(_) => answers += 1,
            Err(lost) => return Served { answers, lasted: stop.elapsed(), lost },
        }
        assert!(stop.elapsed() < DEAD_MAN, "it still serves, after {answers} answers");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A file for which a slow response waits.
#[derive(Clone, Debug)]
pub struct Gate(PathBuf);

impl Gate {
    /// A closed one.
    pub fn within(directory: &Path) -> Self {
        Self(directory.join("gate"))
    }

    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    pub fn open(&self) {
        fs::write(&self.0, "").unwrap();
    }

    pub fn is_open(&self) -> bool {
        self.0.exists()
    }
}
