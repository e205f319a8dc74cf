//! What a balancer does with one request: it takes a kept-alive connection or a fresh one, and retries where it may.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::random::Random;

/// After this time a request counts as lost.
const PATIENCE: Duration = Duration::from_secs(20);

/// How the requests of a cell connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connect {
    /// One half is kept, the other is fresh.
    Half,
    /// A connection for each request, which the server closes: its TIME-WAIT is in the pod.
    Fresh,
    /// A connection for each request, which the client closes: nothing remains in the pod.
    ClientCloses,
    /// One connection for all.
    Kept,
}

impl Connect {
    pub const ALL: [(&str, Self); 4] =
        [("half", Self::Half), ("fresh", Self::Fresh), ("client-closes", Self::ClientCloses), ("kept", Self::Kept)];

    /// The way of the next request.
    fn next(self, random: &mut Random) -> Self {
        match self {
            Self::Half if random.fraction() < 0.5 => Self::Kept,
            Self::Half => Self::Fresh,
            way => way,
        }
    }
}

/// How a request was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// No connection.
    Refused,
    /// A connection, but not a byte of an answer.
    Unanswered,
    /// An answer that ends too early.
    Cut,
    /// An answer with another status than 200.
    Status(u16),
}

/// A client with at most one kept-alive connection.
pub struct Client {
    server: SocketAddr,
    kept: Option<TcpStream>,
}

impl Client {
    pub fn of(server: SocketAddr) -> Self {
        Self { server, kept: None }
    }

    pub fn ask(&mut self, connect: Connect, random: &mut Random) -> Result<(), Lost> {
        if connect.next(random) != Connect::Kept {
            return self.ask_once(connect == Connect::ClientCloses);
        }
        if let Some(stream) = self.kept.take() {
            // The server may close an idle connection at any time, so a client sends a request without an answer once more, over
            // a fresh connection (RFC 9110, 9.2.2).
            match self.ask_over(stream) {
                Err(Lost::Unanswered) => {}
                answer => return answer,
            }
        }
        let stream = self.connect()?;
        self.ask_over(stream)
    }

    /// Over a connection that is used again if the server does not close it.
    fn ask_over(&mut self, mut stream: TcpStream) -> Result<(), Lost> {
        let closes = request(&mut stream, "keep-alive")?;
        self.kept = (!closes).then_some(stream);
        Ok(())
    }

    /// Over a connection for this request alone.
    pub fn ask_once(&self, client_closes: bool) -> Result<(), Lost> {
        let mut stream = self.connect()?;
        request(&mut stream, if client_closes { "keep-alive" } else { "close" })?;
        if !client_closes {
            // Who closes first gets the TIME-WAIT. An error tells nothing: the answer is whole.
            let _ = stream.read(&mut [0]);
        }
        Ok(())
    }

    fn connect(&self) -> Result<TcpStream, Lost> {
        let stream = TcpStream::connect_timeout(&self.server, PATIENCE).map_err(|_| Lost::Refused)?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Ok(stream)
    }
}

/// Sends a request and reads the whole answer. Returns whether the server closes the connection after it.
fn request(stream: &mut TcpStream, connection: &str) -> Result<bool, Lost> {
    let request = format!("GET / HTTP/1.1\r\nHost: pod\r\nConnection: {connection}\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(|_| Lost::Unanswered)?;
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(answer) = Answer::parse(&received).filter(|answer| answer.is_whole) {
            return if answer.status == 200 { Ok(answer.closes) } else { Err(Lost::Status(answer.status)) };
        }
        match stream.read(&mut buffer) {
            Ok(length @ 1..) => received.extend(&buffer[..length]),
            Ok(0) | Err(_) if received.is_empty() => return Err(Lost::Unanswered),
            Ok(0) | Err(_) => return Err(Lost::Cut),
        }
    }
}

struct Answer {
    status: u16,
    closes: bool,
    is_whole: bool,
}

impl Answer {
    /// None while the head is not complete.
    fn parse(received: &[u8]) -> Option<Self> {
        let head_end = received.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&received[..head_end]).to_lowercase();
        let field = |name| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let length: usize = field("content-length:").and_then(|length| length.parse().ok()).unwrap();
        Some(Self {
            status: head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap(),
            closes: field("connection:") == Some("close"),
            is_whole: received.len() - head_end == length,
        })
    }
}
