//! The application in each pod: nginx, or the small server that stands in for it where nginx is missing.

use std::convert::Infallible;
use std::fs;
use std::future::pending;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Interval, interval};

use crate::Failure;
use crate::cli::Serve;
use crate::pod::Seat;

/// What a short request asks for.
pub(crate) const SHORT: &str = "/short";
/// And a slow one.
pub(crate) const SLOW: &str = "/slow";

/// The body of a short answer, in bytes.
pub(crate) const SHORT_BODY: usize = 8 * 1024;
/// A slow answer comes in pieces of so many bytes.
const PIECE: usize = 2 * 1024;

/// The shortest slow answer: below it a piece would be due every few milliseconds, which no timer of nginx's keeps.
pub(crate) const SHORTEST_SLOW: Duration = Duration::from_millis(100);

/// How a slow answer flows: a piece at once, then one after each pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Flow {
    pauses: usize,
    pause: Duration,
}

impl Flow {
    fn of(slow: Duration) -> Self {
        let pauses = (slow.as_millis() / 100).clamp(10, 100_000) as usize;
        Self { pauses, pause: slow / u32::try_from(pauses).unwrap_or(u32::MAX) }
    }

    fn body(self) -> Vec<u8> {
        noise(PIECE * (self.pauses + 1))
    }

    /// As nginx's `limit_rate` has it, in bytes a second.
    fn rate(self) -> u128 {
        PIECE as u128 * 1_000_000 / self.pause.as_micros().max(1)
    }
}

/// The same noise each time: a body in which nothing repeats, so that no wrong piece of it looks right.
#[expect(clippy::cast_possible_truncation, reason = "the lowest byte is what is wanted")]
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// The application that every pod of a rehearsal runs.
#[derive(Debug)]
pub(crate) struct Application {
    kind: Kind,
    slow: Duration,
}

#[derive(Debug)]
enum Kind {
    Nginx {
        program: PathBuf,
        version: String,
    },
    /// This very program.
    Embedded {
        program: PathBuf,
    },
}

impl Application {
    pub(crate) fn nginx(program: PathBuf, version: String, slow: Duration) -> Self {
        Self { kind: Kind::Nginx { program, version }, slow }
    }

    pub(crate) fn embedded(slow: Duration) -> Result<Self, Failure> {
        let program = std::env::current_exe()
            .map_err(|error| Failure::not_measured(format!("cannot find this program's own file: {error}")))?;
        Ok(Self { kind: Kind::Embedded { program }, slow })
    }

    /// As a contender's name has it.
    pub(crate) fn name(&self) -> &'static str {
        match self.kind {
            Kind::Nginx { .. } => "nginx",
            Kind::Embedded { .. } => "embedded server",
        }
    }

    /// With its version.
    pub(crate) fn title(&self) -> String {
        match &self.kind {
            Kind::Nginx { version, .. } => version.clone(),
            Kind::Embedded { .. } => format!("the embedded server of softstop-rehearse {}", env!("CARGO_PKG_VERSION")),
        }
    }

    pub(crate) fn is_embedded(&self) -> bool {
        matches!(self.kind, Kind::Embedded { .. })
    }

    pub(crate) fn program(&self) -> &Path {
        match &self.kind {
            Kind::Nginx { program, .. } | Kind::Embedded { program } => program,
        }
    }

    /// How it is started, in short.
    pub(crate) fn command(&self) -> &'static str {
        match self.kind {
            Kind::Nginx { .. } => "nginx -c nginx.conf",
            Kind::Embedded { .. } => "softstop-rehearse serve",
        }
    }

    /// The SHA-256 of the right answers: short and slow.
    pub(crate) fn hashes(&self) -> [[u8; 32]; 2] {
        [noise(SHORT_BODY), Flow::of(self.slow).body()].map(|body| Sha256::digest(body).into())
    }

    /// Writes the files that it serves, once for all pods.
    pub(crate) fn furnish(&self, home: &Path) -> io::Result<()> {
        let files = home.join("www");
        fs::create_dir(&files)?;
        fs::write(files.join("short"), noise(SHORT_BODY))?;
        fs::write(files.join("slow"), Flow::of(self.slow).body())
    }

    /// What follows the program's name on the command line, and the files it needs, written.
    pub(crate) fn arguments(&self, seat: &Seat) -> io::Result<Vec<String>> {
        match self.kind {
            Kind::Nginx { .. } => {
                let file = format!("{}.conf", seat.name);
                fs::write(seat.home.join(&file), self.configuration(seat))?;
                let file = seat.home_inside.join(file);
                Ok(["-e", "stderr", "-c", &file.to_string_lossy()].map(str::to_owned).into())
            }
            Kind::Embedded { .. } => {
                let slow = format!("{}ms", self.slow.as_millis());
                Ok(["serve", "--listen", &seat.listen.to_string(), "--slow", &slow].map(str::to_owned).into())
            }
        }
    }

    fn configuration(&self, seat: &Seat) -> String {
        let (listen, home, writable) = (seat.listen, seat.home_inside.display(), seat.writable.display());
        let rate = Flow::of(self.slow).rate();
        format!(
            r"daemon off;
user root;
worker_processes 2;
pid {writable}/nginx.pid;
lock_file {writable}/nginx.lock;
error_log stderr notice;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    client_body_temp_path {writable}/body;
    proxy_temp_path {writable}/proxy;
    fastcgi_temp_path {writable}/fastcgi;
    uwsgi_temp_path {writable}/uwsgi;
    scgi_temp_path {writable}/scgi;
    root {home}/www;
    server {{
        listen {listen};
        # A piece, a pause, a piece: with whole seconds between large pieces the answer's length would be guesswork.
        location = {SLOW} {{ limit_rate {rate}; sendfile_max_chunk {PIECE}; }}
    }}
}}
"
        )
    }
}

/// `softstop-rehearse serve`: SIGTERM ends it at once and SIGQUIT when its requests are done, as with nginx.
pub(crate) async fn serve(arguments: Serve) -> Result<u8, Failure> {
    let failed = |what: &str, error: io::Error| Failure::not_measured(format!("serve: cannot {what}: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| failed("listen to SIGTERM", error))?;
    let mut quit = signal(SignalKind::quit()).map_err(|error| failed("listen to SIGQUIT", error))?;
    let listener = TcpListener::bind(arguments.listen).await;
    let listener = listener.map_err(|error| failed(&format!("listen on {}", arguments.listen), error))?;

    let bodies = Bodies { short: Bytes::from(noise(SHORT_BODY)), flow: Flow::of(arguments.slow) };
    let (leave, leaving) = watch::channel(false);
    log("serving");
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                let _ = stream.set_nodelay(true); // slower without, and no worse
                tokio::spawn(converse(stream, bodies.clone(), leaving.clone()));
            },
            _ = terminate.recv() => {
                log("signal 15 (SIGTERM) received, exiting");
                return Ok(0);
            }
            _ = quit.recv() => break,
        }
    }
    drop((listener, leaving));
    log("signal 3 (SIGQUIT) received, gracefully shutting down");
    leave.send_replace(true);
    tokio::select! {
        () = leave.closed() => log("exit"), // every conversation holds its end of the channel
        _ = terminate.recv() => log("signal 15 (SIGTERM) received, exiting"),
    }
    Ok(0)
}

fn log(what: &str) {
    let _ =
        writeln!(io::stderr(), "{} [notice] {what}", humantime::format_rfc3339_seconds(std::time::SystemTime::now()));
}

#[derive(Clone, Debug)]
struct Bodies {
    short: Bytes,
    flow: Flow,
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

async fn converse(stream: tokio::net::TcpStream, bodies: Bodies, mut leaving: watch::Receiver<bool>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let bodies = bodies.clone();
        async move { Ok::<_, Infallible>(bodies.answer(&request)) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let asked_to_leave = async {
        if leaving.wait_for(|leave| *leave).await.is_err() {
            pending::<()>().await; // nobody can ask any more
        }
    };
    // Its client may have gone: nothing to tell anybody.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = asked_to_leave => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

impl Bodies {
    fn answer(&self, request: &Request<Incoming>) -> Answer {
        let whole = |bytes: Bytes| Response::new(Full::new(bytes).boxed());
        match request.uri().path() {
            SHORT => whole(self.short.clone()),
            SLOW => Response::new(Slowly::new(self.flow).boxed()),
            _ => {
                let mut answer = whole(Bytes::from_static(b"no such file\n"));
                *answer.status_mut() = StatusCode::NOT_FOUND;
                answer
            }
        }
    }
}

/// A body that flows.
#[derive(Debug)]
struct Slowly {
    rest: Bytes,
    clock: Interval,
}

impl Slowly {
    fn new(flow: Flow) -> Self {
        Self { rest: Bytes::from(flow.body()), clock: interval(flow.pause) }
    }
}

impl Body for Slowly {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        self.clock.poll_tick(context).map(|_| {
            let length = self.rest.len().min(PIECE);
            Some(Ok(Frame::data(self.rest.split_to(length))))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_takes_as_long_as_it_was_asked_to() {
        for (slow, pauses) in [(4000, 40), (100, 10), (750, 10), (2500, 25)] {
            let flow = Flow::of(Duration::from_millis(slow));
            assert_eq!(flow.pauses, pauses);
            assert_eq!(flow.pause * u32::try_from(pauses).unwrap(), Duration::from_millis(slow));
            // nginx waits for as long as its rate says that a piece takes.
            let waits = PIECE as u128 * 1000 / flow.rate() * pauses as u128;
            assert!(waits.abs_diff(slow.into()) <= pauses as u128, "{slow} ms became {waits} ms");
        }
    }

    #[test]
    fn no_piece_of_a_body_looks_like_another() {
        let body = Flow::of(Duration::from_secs(4)).body();
        let mut pieces: Vec<_> = body.chunks(PIECE).collect();
        pieces.sort_unstable();
        pieces.dedup();
        assert_eq!(pieces.len(), 41);
    }
}
