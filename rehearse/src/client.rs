//! One request from its connection to its verdict.
//!
//! The connections are made and kept here, not by a pool that hides what became of them: whether one was used before, and
//! whether a byte of the answer had come when it ended, decides what a lost request is.

use std::collections::VecDeque;
use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::{ACCEPT, CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use nix::errno::Errno;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::cli::Http;
use crate::figures::Kind;
use crate::load::Target;

/// A name is looked up again after this time: a roll-out may change what it stands for.
const NAME_HOLDS: Duration = Duration::from_secs(1);
/// The streams of one shared HTTP/2 connection; servers commonly allow 100 to 128.
const STREAMS: usize = 50;
/// A timer that is this late tells that the program itself stood still.
const STOOD_STILL: Duration = Duration::from_millis(50);

/// What became of one request.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) kind: Kind,
    /// 0 where none came.
    pub(crate) status: u16,
    pub(crate) retried: bool,
    /// What went wrong, without what would make each failure unique.
    pub(crate) words: Option<String>,
    /// Of the last try.
    pub(crate) version: Option<Version>,
    /// Its body ended with its connection, and without a hash nobody can tell whether it was whole.
    pub(crate) end_unknown: bool,
    /// Of a whole body, where one was asked for.
    pub(crate) sha256: Option<[u8; 32]>,
    /// When the last byte was here, or it was lost.
    pub(crate) ended: Instant,
}

type NoBody = Empty<Bytes>;

/// Asks one target.
#[derive(Debug)]
pub(crate) struct Client {
    host: String,
    port: u16,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    http: Option<Http>,
    status: u16,
    sha256: Option<[u8; 32]>,
    /// Over HTTP/1.1 on a kept-alive connection, on one of its own, and over HTTP/2.
    kept: Request<NoBody>,
    fresh: Request<NoBody>,
    two: Request<NoBody>,
    addresses: Mutex<Option<(Instant, Vec<SocketAddr>)>>,
}

/// The connections that stay open for the next request: of one user, or of all arrivals at one target.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The HTTP/2 connections that all requests share.
    shared: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    one: VecDeque<Connection>,
    two: Vec<Connection>,
}

#[derive(Debug)]
struct Connection {
    sender: Sender,
    /// Bytes of answers so far.
    received: Arc<AtomicU64>,
    /// It has carried a request before.
    used: bool,
}

#[derive(Debug)]
enum Sender {
    One(http1::SendRequest<NoBody>),
    /// Whoever uses it holds a clone of the token.
    Two(http2::SendRequest<NoBody>, Arc<()>),
}

/// Why there is no connection.
enum NoConnection {
    /// The other side's doing.
    Refused(String),
    /// Our own.
    NotSent(String),
}

/// What is known of an answer while it comes.
#[derive(Clone, Copy, Debug, Default)]
struct SoFar {
    /// 0 before the head.
    status: u16,
    version: Option<Version>,
    end_unknown: bool,
    sha256: Option<[u8; 32]>,
}

/// How one try ended.
struct Tried {
    kind: Kind,
    words: Option<String>,
    so_far: SoFar,
    /// A client repeats it by itself, on a new connection.
    again: bool,
}

impl Client {
    /// One for each target.
    pub(crate) fn all(targets: &[Target], http: Option<Http>) -> Result<Vec<Self>, String> {
        let is_tls = |target: &Target| target.uri.scheme_str() == Some("https");
        let tls = if targets.iter().any(is_tls) { Some(trust_the_system(http)?) } else { None };
        targets.iter().map(|target| Self::new(target, http, tls.clone().filter(|_| is_tls(target)))).collect()
    }

    fn new(target: &Target, http: Option<Http>, tls: Option<Arc<ClientConfig>>) -> Result<Self, String> {
        let uri = &target.uri;
        let authority = uri.authority().ok_or("a URL needs a host")?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = match tls {
            Some(config) => {
                let name =
                    ServerName::try_from(host.clone()).map_err(|_| format!("{host} is no name that TLS can check"))?;
                Some((config, name))
            }
            None => None,
        };
        let port = authority.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
        let agent = HeaderValue::from_static(concat!("softstop-rehearse/", env!("CARGO_PKG_VERSION")));
        let request = |uri: &Uri| {
            let mut request = Request::new(NoBody::new());
            *request.uri_mut() = uri.clone();
            request.headers_mut().insert(USER_AGENT, agent.clone());
            request.headers_mut().insert(ACCEPT, HeaderValue::from_static("*/*"));
            request
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut kept = request(&path.parse().map_err(|error| format!("{path}: {error}"))?);
        let named = HeaderValue::from_str(authority.as_str()).map_err(|error| format!("{authority}: {error}"))?;
        kept.headers_mut().insert(HOST, named);
        let mut fresh = kept.clone();
        fresh.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        let mut two = request(uri);
        *two.version_mut() = Version::HTTP_2;
        let (status, sha256) = (target.status, target.sha256);
        Ok(Self { host, port, tls, http, status, sha256, kept, fresh, two, addresses: Mutex::default() })
    }

    /// Asks, waits for the answer and judges it: over one of these connections, or else over one of its own.
    ///
    /// Where a connection that was used before ends without a byte of an answer, the request is sent once more on a new one, as
    /// browsers do: the server may have closed it for being idle while the request was on its way (RFC 9112, section 9.3.1).
    /// So it is where a server says that it did not process it (RFC 9113, section 8.7).
    pub(crate) async fn ask(&self, kept: Option<&Kept>, timeout: Duration) -> Outcome {
        let deadline = later(Instant::now(), timeout);
        let mut tried = self.on_kept_or_new(kept, deadline).await;
        let retried = tried.again;
        if retried {
            tried = self.on_new(kept, deadline).await;
        }
        let Tried { kind, words, so_far: SoFar { status, version, end_unknown, sha256 }, .. } = tried;
        Outcome { kind, status, retried, words, version, end_unknown, sha256, ended: Instant::now() }
    }

    async fn on_kept_or_new(&self, kept: Option<&Kept>, deadline: Instant) -> Tried {
        while let Some(mut connection) = kept.and_then(Kept::take) {
            let is_ready = match &mut connection.sender {
                Sender::One(sender) => within(deadline, sender.ready()).await,
                Sender::Two(sender, _) => within(deadline, sender.ready()).await,
            };
            // One that was closed while nobody used it was never asked: the next, as any client would.
            if is_ready.is_some_and(|ready| ready.is_ok()) {
                return self.over(connection, kept, deadline).await;
            }
        }
        self.on_new(kept, deadline).await
    }

    async fn on_new(&self, kept: Option<&Kept>, deadline: Instant) -> Tried {
        // On the heap, as most requests of a kept-alive user need no room for a handshake.
        let (kind, words) = match within(deadline, Box::pin(self.connect())).await {
            Some(Ok(connection)) => {
                if let Some(kept) = kept {
                    kept.share(&connection);
                }
                return self.over(connection, kept, deadline).await;
            }
            Some(Err(NoConnection::Refused(words))) => (Kind::Refused, words),
            Some(Err(NoConnection::NotSent(words))) => (Kind::NotSent, words),
            None => (Kind::Refused, "no connection in time".to_owned()),
        };
        Tried { kind, words: Some(words), so_far: SoFar::default(), again: false }
    }

    /// The request and its answer.
    async fn over(&self, mut connection: Connection, kept: Option<&Kept>, deadline: Instant) -> Tried {
        let received_before = connection.received.load(Ordering::Relaxed);
        let mut so_far = SoFar::default();
        let answer = within(deadline, self.exchange(&mut connection.sender, kept.is_some(), &mut so_far)).await;
        let unanswered = match connection.sender {
            Sender::One(_) => connection.received.load(Ordering::Relaxed) == received_before,
            Sender::Two(..) => so_far.status == 0,
        };
        let again = matches!(&answer, Some(Err(lost)) if unanswered && lost.may_repeat(connection.used));
        let (kind, words) = self.judge(answer.as_ref(), so_far, unanswered);
        match (answer, kept) {
            (Some(Ok(())), Some(kept)) => kept.give_back(connection),
            // It may be dead without a word; the next request is not to wait for it too.
            (None, Some(kept)) => kept.forget(&connection),
            _ => {}
        }
        Tried { kind, words, so_far, again }
    }

    /// Comes back when the whole body was here.
    async fn exchange(&self, sender: &mut Sender, keep: bool, so_far: &mut SoFar) -> Result<(), Lost> {
        let response = match sender {
            Sender::One(sender) => sender.send_request(if keep { &self.kept } else { &self.fresh }.clone()).await?,
            Sender::Two(sender, _) => sender.send_request(self.two.clone()).await?,
        };
        so_far.status = response.status().as_u16();
        so_far.version = Some(response.version());
        so_far.end_unknown = self.tls.is_none() && self.sha256.is_none() && ends_with_its_connection(&response);
        let mut body = response.into_body();
        let mut missing = body.size_hint().exact();
        let mut hash = self.sha256.map(|_| Sha256::new());
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue }; // trailers
            missing = missing.map(|missing| missing.saturating_sub(data.len() as u64));
            if let Some(hash) = &mut hash {
                hash.update(&data);
            }
        }
        // hyper takes a stream that was reset with NO_ERROR for one that has ended.
        let is_whole = match sender {
            Sender::One(_) => true,
            Sender::Two(..) => body.is_end_stream() || missing == Some(0),
        };
        if !is_whole {
            return Err(Lost::EndedEarly);
        }
        so_far.sha256 = hash.map(|hash| hash.finalize().into());
        Ok(())
    }

    /// The verdict, and in words what went wrong. No answer is one that did not come in time.
    fn judge(&self, answer: Option<&Result<(), Lost>>, so_far: SoFar, unanswered: bool) -> (Kind, Option<String>) {
        let status = so_far.status;
        let is_expected = status == self.status;
        let is_error = status >= 500 && !is_expected;
        let (kind, words) = match answer {
            Some(Ok(())) if is_expected && so_far.sha256 == self.sha256 => return (Kind::Answered, None),
            Some(Ok(())) if is_expected => (Kind::WrongAnswer, "another body".to_owned()),
            Some(Ok(())) => (if is_error { Kind::ServerError } else { Kind::WrongAnswer }, format!("status {status}")),
            Some(Err(lost)) if is_error => (Kind::ServerError, format!("status {status}, {}", lost.how())),
            Some(Err(Lost::Hyper(error))) if error.is_parse() => (Kind::WrongAnswer, "no HTTP".to_owned()),
            Some(Err(lost)) => {
                let place = match status {
                    0 if unanswered => "before the answer",
                    0 => "within the head",
                    _ => "within the body",
                };
                (Kind::CutOff, format!("{} {place}", lost.how()))
            }
            None if is_error => (Kind::ServerError, format!("status {status}, not whole in time")),
            None if unanswered => (Kind::TimedOut, "no answer in time".to_owned()),
            None => (Kind::TimedOut, "no whole answer in time".to_owned()),
        };
        (kind, Some(words))
    }

    async fn connect(&self) -> Result<Connection, NoConnection> {
        let stream = self.reach().await?;
        let _ = stream.set_nodelay(true); // it only gets slower without
        let Some((config, name)) = &self.tls else {
            return Connection::over(stream, self.http == Some(Http::Two)).await;
        };
        let stream = TlsConnector::from(config.clone()).connect(name.clone(), stream).await.map_err(|error| {
            NoConnection::Refused(match tls_words(&error) {
                Some(words) => words,
                None => format!("{} in the TLS handshake", io_words(&error)),
            })
        })?;
        let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        if self.http == Some(Http::Two) && !two {
            return Err(NoConnection::Refused("TLS does not agree on HTTP/2".to_owned()));
        }
        Connection::over(stream, two).await
    }

    /// Tries the addresses in turn, the one that answered last first.
    async fn reach(&self) -> Result<TcpStream, NoConnection> {
        let addresses = self.addresses().await?;
        let mut failed: Option<NoConnection> = None;
        for (tried, address) in addresses.iter().enumerate() {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    if let Some((_, addresses)) = locked(&self.addresses).as_mut().filter(|_| tried > 0) {
                        addresses.sort_by_key(|each| each != address);
                    }
                    return Ok(stream);
                }
                Err(error) if is_ours(&error) => {
                    failed = failed.or_else(|| Some(NoConnection::NotSent(io_words(&error))));
                }
                Err(error) => failed = Some(NoConnection::Refused(io_words(&error))),
            }
        }
        Err(failed.unwrap_or_else(|| NoConnection::Refused("the name has no address".to_owned())))
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, NoConnection> {
        if let Some((at, addresses)) = locked(&self.addresses).as_ref().filter(|(at, _)| at.elapsed() < NAME_HOLDS) {
            let _ = at;
            return Ok(addresses.clone());
        }
        match tokio::net::lookup_host((self.host.as_str(), self.port)).await {
            Ok(found) => {
                let mut found: Vec<_> = found.collect();
                let mut known = locked(&self.addresses);
                let last = known.as_ref().and_then(|(_, addresses)| addresses.first().copied());
                found.sort_by_key(|address| Some(*address) != last); // stable: the others keep their order
                *known = Some((Instant::now(), found.clone()));
                Ok(found)
            }
            // getaddrinfo(3) opens files and sockets, and does not say when it could not.
            Err(_) => match std::fs::File::open("/") {
                Err(error) if is_ours(&error) => Err(NoConnection::NotSent(io_words(&error))),
                _ => Err(NoConnection::Refused("the name has no address".to_owned())),
            },
        }
    }

    /// Where its requests go, as far as the name says now.
    pub(crate) async fn goes_to(&self) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((self.host.as_str(), self.port)).await?.collect())
    }
}

impl Connection {
    async fn over<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        stream: S,
        two: bool,
    ) -> Result<Self, NoConnection> {
        let received = Arc::new(AtomicU64::new(0));
        let stream = TokioIo::new(Counted { stream, received: received.clone() });
        let refused = |error: hyper::Error| NoConnection::Refused(Lost::Hyper(error).how());
        // How a connection ends, its requests learn.
        let sender = if two {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.map_err(refused)?;
            tokio::spawn(connection);
            Sender::Two(sender, Arc::new(()))
        } else {
            let (sender, connection) = http1::handshake(stream).await.map_err(refused)?;
            tokio::spawn(connection);
            Sender::One(sender)
        };
        Ok(Self { sender, received, used: false })
    }

    fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::One(sender) => sender.is_closed(),
            Sender::Two(sender, _) => sender.is_closed(),
        }
    }

    /// The same HTTP/2 connection, once more.
    fn again(&self) -> Option<Self> {
        match &self.sender {
            Sender::One(_) => None,
            Sender::Two(sender, token) => Some(Self {
                sender: Sender::Two(sender.clone(), token.clone()),
                received: self.received.clone(),
                used: true,
            }),
        }
    }

    /// How many requests it carries now.
    fn streams(&self) -> usize {
        match &self.sender {
            Sender::One(_) => 1,
            Sender::Two(_, token) => Arc::strong_count(token) - 1, // one is ours
        }
    }
}

impl Kept {
    /// `shared` is how many HTTP/2 connections are opened before one carries two requests at once.
    pub(crate) fn new(shared: usize) -> Self {
        Self { shared, open: Mutex::default() }
    }

    /// The one that has waited longest, so that many connections are many users and not one busy one.
    fn take(&self) -> Option<Connection> {
        let mut open = locked(&self.open);
        while let Some(longest) = open.one.pop_front() {
            if !longest.is_closed() {
                return Some(longest);
            }
        }
        open.two.retain(|connection| !connection.is_closed());
        let least = open.two.iter().min_by_key(|connection| connection.streams())?;
        let most = if open.two.len() < self.shared { 1 } else { STREAMS };
        if least.streams() < most { least.again() } else { None }
    }

    /// Lets others use a new HTTP/2 connection too.
    fn share(&self, connection: &Connection) {
        let mut open = locked(&self.open);
        if open.two.len() < self.shared || open.two.iter().all(|each| each.streams() >= STREAMS) {
            open.two.extend(connection.again());
        }
    }

    fn give_back(&self, connection: Connection) {
        if let Sender::One(_) = connection.sender {
            locked(&self.open).one.push_back(Connection { used: true, ..connection });
        }
    }

    fn forget(&self, connection: &Connection) {
        if let Sender::Two(_, token) = &connection.sender {
            let is_it = |each: &Connection| matches!(&each.sender, Sender::Two(_, its) if Arc::ptr_eq(token, its));
            locked(&self.open).two.retain(|each| !is_it(each));
        }
    }
}

/// Why there was a connection, and no whole answer.
#[derive(Debug)]
enum Lost {
    Hyper(hyper::Error),
    /// An HTTP/2 stream that was reset without an error, before its end.
    EndedEarly,
}

impl From<hyper::Error> for Lost {
    fn from(error: hyper::Error) -> Self {
        Self::Hyper(error)
    }
}

impl Lost {
    fn source<E: Error + 'static>(&self) -> Option<&E> {
        match self {
            Self::Hyper(error) => error.source()?.downcast_ref(),
            Self::EndedEarly => None,
        }
    }

    /// Whether a client repeats the request by itself; that no byte of an answer came is known.
    fn may_repeat(&self, used: bool) -> bool {
        match self.source::<h2::Error>() {
            // A GOAWAY of theirs reaches only the streams which it says were not processed.
            Some(error) if error.is_go_away() && error.is_remote() => true,
            Some(error) if error.is_reset() => error.reason() == Some(h2::Reason::REFUSED_STREAM),
            Some(_) => false,
            None => used, // of HTTP/1.1, or the end of the whole connection
        }
    }

    fn how(&self) -> String {
        if let Some(error) = self.source::<h2::Error>() {
            return match (error.get_io(), error.reason()) {
                (Some(error), _) => io_words(error),
                (None, Some(reason)) if error.is_go_away() => format!("connection ended ({reason:?})"),
                (None, Some(reason)) => format!("stream reset ({reason:?})"),
                (None, None) => "HTTP/2 error".to_owned(),
            };
        }
        if let Some(error) = self.source::<io::Error>() {
            return tls_words(error).unwrap_or_else(|| io_words(error));
        }
        match self {
            Self::EndedEarly => "stream reset (NO_ERROR)".to_owned(),
            Self::Hyper(error) if error.is_incomplete_message() || error.is_canceled() || error.is_closed() => {
                "connection closed".to_owned()
            }
            Self::Hyper(error) => error.to_string(),
        }
    }
}

/// Whether nothing but the end of the connection ends the body.
fn ends_with_its_connection(response: &Response<Incoming>) -> bool {
    let has_no_body = matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let has_length = [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| response.headers().contains_key(name));
    response.version() <= Version::HTTP_11 && !has_no_body && !has_length
}

/// Whether an error is our own lack of something.
fn is_ours(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EMFILE | Errno::ENFILE | Errno::EADDRNOTAVAIL | Errno::ENOBUFS | Errno::ENOMEM))
}

fn io_words(error: &io::Error) -> String {
    match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::ConnectionReset, _) => "connection reset".to_owned(),
        (io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted, _) => {
            "connection closed".to_owned()
        }
        (_, Some(errno)) => Errno::from_raw(errno).desc().to_lowercase(),
        (kind, None) => kind.to_string(),
    }
}

fn tls_words(error: &io::Error) -> Option<String> {
    Some(match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        // Its words hold the time of each check.
        rustls::Error::InvalidCertificate(why) => {
            let name: String = format!("{why:?}").chars().take_while(|each| each.is_alphanumeric()).collect();
            format!("TLS: invalid certificate ({name})")
        }
        error => format!("TLS: {error}"),
    })
}

fn trust_the_system(http: Option<Http>) -> Result<Arc<ClientConfig>, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (trusted, _) = roots.add_parsable_certificates(found.certs);
    if trusted == 0 {
        let why = found.errors.first().map_or_else(String::new, |error| format!(": {error}"));
        return Err(format!("this system has no root certificates for https (SSL_CERT_FILE names others){why}"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| format!("TLS: {error}"))?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = match http {
        None => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Some(Http::One) => vec![b"http/1.1".to_vec()],
        Some(Http::Two) => vec![b"h2".to_vec()],
    };
    Ok(Arc::new(config))
}

/// What comes out until the deadline.
async fn within<F: Future>(deadline: Instant, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    if let Ok(output) = timeout_at(deadline, future.as_mut()).await {
        return Some(output);
    }
    let late = deadline.elapsed();
    if late < STOOD_STILL {
        return None;
    }
    // What came while we stood still lies in the socket yet.
    timeout_at(Instant::now() + late, future).await.ok()
}

/// The end of a time, however long a person has made it.
pub(crate) fn later(from: Instant, by: Duration) -> Instant {
    const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    from + by.min(A_YEAR)
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A stream that counts what is read from it.
#[derive(Debug)]
struct Counted<S> {
    stream: S,
    received: Arc<AtomicU64>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.received.fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
