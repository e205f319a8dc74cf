//! The clients: each asks a server for a slow or a short answer, and says whether the whole of it came.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::row::{PATH, filled};

/// Where the server of every row listens. Its network namespace is its own.
pub const PORT: u16 = 8080;

/// How long a client waits for a short answer, and for what is left of a slow one.
const PATIENCE: Duration = Duration::from_secs(8);

/// A step of a conversation.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Send(&'static [u8]),
    /// Reads until this has come.
    Hear(&'static [u8]),
    /// As long as a slow answer takes.
    Pause,
}

/// How a server is asked.
#[derive(Clone, Debug)]
pub enum Protocol {
    /// `GET /slow` and `GET /`. An answer is whole if its Content-Length is, or its last chunk came.
    Http,
    /// The same, with three short questions before the slow one on its connection.
    HttpBehindShort,
    /// `GET` of this path for a short answer; there is no slow one.
    HttpAt(&'static str),
    /// The scripts `slow.php` and `short.php` of the run's directory, of a `FastCGI` server at this address.
    FastCgi(&'static str),
    /// A conversation over TCP: what opens a connection, and what a slow and a short question and their answers are.
    Talk { opening: &'static [Step], slow: &'static [Step], short: &'static [Step] },
    /// A datagram, and any answer to it.
    Datagram(&'static [u8]),
    /// Commands of a shell, which end well with a whole answer.
    Commands { slow: &'static str, short: &'static str },
    /// A file `asked/NUMBER`; the answer is `done/NUMBER`. The server is ready when there is a file `ready`.
    Jobs,
    /// Nobody asks. The server is ready when there is a file `ready`.
    Nobody,
}

/// How somebody asks in one run.
#[derive(Clone, Debug)]
pub struct Client {
    pub protocol: Protocol,
    pub directory: PathBuf,
    pub slow: Duration,
}

impl Client {
    pub fn is_ready(&self) -> bool {
        match self.protocol {
            Protocol::Jobs | Protocol::Nobody => self.directory.join("ready").exists(),
            _ => self.ask_short(&mut None).is_ok(),
        }
    }

    /// A slow answer, over a connection of its own.
    pub fn ask_slow(&self) -> Result<(), String> {
        let patience = self.slow + PATIENCE;
        match &self.protocol {
            Protocol::Http => over_http(&mut connect(patience)?, "/slow", false).map(drop),
            Protocol::HttpBehindShort => {
                let stream = &mut connect(patience)?;
                for _ in 0..3 {
                    over_http(stream, "/", true)?;
                }
                over_http(stream, "/slow", true).map(drop)
            }
            Protocol::FastCgi(address) => {
                self.over_fast_cgi(&mut connect_to(&self.filled(address), patience)?, "slow.php", false)
            }
            Protocol::Talk { opening, slow, .. } => {
                let stream = &mut connect(patience)?;
                self.talk(stream, opening)?;
                self.talk(stream, slow)
            }
            Protocol::Commands { slow, .. } => self.run(slow, patience),
            Protocol::Jobs => self.job(patience),
            Protocol::HttpAt(_) | Protocol::Datagram(_) | Protocol::Nobody => unreachable!("it has no slow answer"),
        }
    }

    /// A short answer. The connection is kept, as far as the server lets it, where there is a place for it.
    pub fn ask_short(&self, kept: &mut Option<Stream>) -> Result<(), String> {
        self.short(kept, true)
    }

    /// A short answer over a connection that is closed behind it.
    pub fn ask_fresh(&self) -> Result<(), String> {
        self.short(&mut None, false)
    }

    fn short(&self, kept: &mut Option<Stream>, keeps: bool) -> Result<(), String> {
        match &self.protocol {
            Protocol::Datagram(question) => return datagram(question),
            Protocol::Commands { short, .. } => return self.run(short, PATIENCE),
            Protocol::Jobs | Protocol::Nobody => return Ok(()),
            _ => {}
        }
        // What the server has closed by now nobody would use.
        let (mut stream, is_new) = match kept.take().filter(|stream| !stream.has_ended()) {
            Some(stream) => (stream, false),
            None => match self.protocol {
                Protocol::FastCgi(address) => (connect_to(&self.filled(address), PATIENCE)?, true),
                _ => (connect(PATIENCE)?, true),
            },
        };
        let may_be_kept = match &self.protocol {
            Protocol::Http | Protocol::HttpBehindShort => over_http(&mut stream, "/", keeps)?,
            Protocol::HttpAt(path) => over_http(&mut stream, path, keeps)?,
            Protocol::FastCgi(_) => self.over_fast_cgi(&mut stream, "short.php", keeps).map(|()| true)?,
            Protocol::Talk { opening, short, .. } => {
                if is_new {
                    self.talk(&mut stream, opening)?;
                }
                self.talk(&mut stream, short).map(|()| true)?
            }
            _ => unreachable!("asked above"),
        };
        *kept = Some(stream).filter(|_| keeps && may_be_kept);
        Ok(())
    }

    fn over_fast_cgi(&self, stream: &mut Stream, script: &str, keeps: bool) -> Result<(), String> {
        let script = self.directory.join(script);
        let mut parameters = Vec::new();
        for (name, value) in [("SCRIPT_FILENAME", script.to_str().unwrap()), ("REQUEST_METHOD", "GET")] {
            parameters.extend([name.len(), value.len()].map(|length| u8::try_from(length).unwrap()));
            parameters.extend(name.as_bytes());
            parameters.extend(value.as_bytes());
        }
        let [begin, parameter, stdin, end_request] = [1_u8, 4, 5, 3];
        let record = |kind: u8, content: &[u8]| {
            let length = u16::try_from(content.len()).unwrap().to_be_bytes();
            [&[1, kind, 0, 1, length[0], length[1], 0, 0], content].concat()
        };
        let begins = record(begin, &[0, 1, u8::from(keeps), 0, 0, 0, 0, 0]);
        stream.send(&[begins, record(parameter, &parameters), record(parameter, &[]), record(stdin, &[])].concat())?;
        let mut received = Vec::new();
        loop {
            while received.len() < 8 {
                stream.receive(&mut received)?;
            }
            let length = 8 + usize::from(u16::from_be_bytes([received[4], received[5]])) + usize::from(received[6]);
            while received.len() < length {
                stream.receive(&mut received)?;
            }
            if received[1] == end_request {
                return Ok(());
            }
            received.drain(..length);
        }
    }

    fn talk(&self, stream: &mut Stream, steps: &[Step]) -> Result<(), String> {
        for step in steps {
            match step {
                Step::Send(bytes) => stream.send(bytes)?,
                Step::Hear(bytes) => {
                    let mut received = Vec::new();
                    while !received.windows(bytes.len()).any(|window| window == *bytes) {
                        stream.receive(&mut received)?;
                    }
                }
                Step::Pause => thread::sleep(self.slow),
            }
        }
        Ok(())
    }

    fn filled(&self, text: &str) -> String {
        filled(text, &self.directory)
    }

    fn run(&self, command: &str, patience: Duration) -> Result<(), String> {
        let mut words = Command::new("timeout");
        words.args([&patience.as_secs().to_string(), "sh", "-ec", &self.filled(command)]);
        words.env_clear().env("PATH", PATH).env("HOME", &self.directory).current_dir(&self.directory);
        let output = words.stdin(Stdio::null()).output().map_err(said)?;
        if output.status.success() {
            return Ok(());
        }
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(error.lines().last().unwrap_or("its client failed").to_owned())
    }

    fn job(&self, patience: Duration) -> Result<(), String> {
        static NUMBER: AtomicUsize = AtomicUsize::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed).to_string();
        fs::write(self.directory.join("asked").join(&number), "").map_err(said)?;
        let done = self.directory.join("done").join(&number);
        let start = Instant::now();
        while !done.exists() {
            if start.elapsed() > patience {
                return Err("the job was not done".to_owned());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

fn datagram(question: &[u8]) -> Result<(), String> {
    let socket = UdpSocket::bind("127.0.0.1:0").map_err(said)?;
    socket.connect(("127.0.0.1", PORT)).map_err(said)?;
    socket.set_read_timeout(Some(Duration::from_secs(1))).map_err(said)?;
    socket.send(question).map_err(said)?;
    socket.recv(&mut [0; 2048]).map(drop).map_err(said)
}

/// Says whether the connection may be used again.
fn over_http(stream: &mut Stream, path: &str, keeps: bool) -> Result<bool, String> {
    let never_cached = "Cookie: name=value\r\n"; // by Varnish
    let last = if keeps { "" } else { "Connection: close\r\n" };
    stream.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{never_cached}{last}\r\n").as_bytes())?;
    let mut received = Vec::new();
    let head_end = loop {
        if let Some(at) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        stream.receive(&mut received)?;
    };
    let head = String::from_utf8_lossy(&received[..head_end]).to_lowercase();
    let mut body = received.split_off(head_end);
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let status = head.split(' ').nth(1).unwrap_or_default().to_owned();
    if status != "200" {
        return Err(format!("status {status}"));
    }
    if field("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
        while !body.ends_with(b"0\r\n\r\n") {
            stream.receive(&mut body).map_err(|lost| format!("cut in a chunk: {lost}"))?;
        }
    } else {
        let wanted: usize = field("content-length").and_then(|length| length.parse().ok()).ok_or("no length")?;
        while body.len() < wanted {
            let got = body.len();
            stream.receive(&mut body).map_err(|lost| format!("cut at {got} of {wanted} bytes: {lost}"))?;
        }
    }
    Ok(head.starts_with("http/1.1") && !field("connection").is_some_and(|value| value.contains("close")))
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn said(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => "refused".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "reset".to_owned(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer in time".to_owned(),
        _ => error.to_string(),
    }
}

fn connect(patience: Duration) -> Result<Stream, String> {
    connect_to(&format!("127.0.0.1:{PORT}"), patience)
}

/// At a path, a Unix socket.
fn connect_to(address: &str, patience: Duration) -> Result<Stream, String> {
    if address.starts_with('/') {
        let stream = UnixStream::connect(address).map_err(said)?;
        stream.set_read_timeout(Some(patience)).map_err(said)?;
        return Ok(Stream::Unix(stream));
    }
    let stream = TcpStream::connect(address).map_err(said)?;
    stream.set_nodelay(true).map_err(said)?;
    stream.set_read_timeout(Some(patience)).map_err(said)?;
    Ok(Stream::Tcp(stream))
}

/// A connection.
#[derive(Debug)]
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
        }
        .map_err(said)
    }

    /// Reads something.
    fn receive(&mut self, into: &mut Vec<u8>) -> Result<(), String> {
        let mut buffer = [0; 16 * 1024];
        let length = match self {
            Self::Tcp(stream) => stream.read(&mut buffer),
            Self::Unix(stream) => stream.read(&mut buffer),
        }
        .map_err(said)?;
        into.extend(&buffer[..length]);
        if length == 0 { Err("closed".to_owned()) } else { Ok(()) }
    }

    fn has_ended(&self) -> bool {
        let fd: RawFd = match self {
            Self::Tcp(stream) => stream.as_raw_fd(),
            Self::Unix(stream) => stream.as_raw_fd(),
        };
        let mut byte = 0_u8;
        // SAFETY: the kernel writes one byte, for which there is room.
        let length = unsafe { libc::recv(fd, (&raw mut byte).cast(), 1, libc::MSG_PEEK | libc::MSG_DONTWAIT) };
        length == 0 || length < 0 && io::Error::last_os_error().kind() != io::ErrorKind::WouldBlock
    }
}
