//! One request, from its connection to its verdict.
//!
//! Connections are made and kept here rather than by a library's pool. The verdict depends on what such a pool hides: whether
//! the connection was used before, and whether a byte of the answer had arrived.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{ACCEPT, CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri, Version};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::connection::{Connection, NoBody, Sender};
use super::deadline::{later, within};
use super::error::{ConnectError, ExchangeError, io_message, tls_message};
use super::pool::Pool;
use super::resolver::Resolver;
use super::tls;
use crate::target::{HttpVersion, Target};
use crate::verdict::Verdict;

/// What became of one request.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    /// 0 if no status was received.
    pub(crate) status: u16,
    pub(crate) retried: bool,
    /// What went wrong.
    pub(crate) error: Option<String>,
    /// The HTTP version of the answer.
    pub(crate) version: Option<Version>,
    /// Only the end of the connection marked the end of the body, and no hash is expected, so it is unknown whether the body
    /// was whole.
    pub(crate) end_unknown: bool,
    /// The hash of a whole body, if one was expected.
    pub(crate) sha256: Option<[u8; 32]>,
    /// When the last byte arrived or the request was lost.
    pub(crate) ended: Instant,
}

/// Sends requests to one target.
#[derive(Debug)]
pub(crate) struct Client {
    resolver: Resolver,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    http: Option<HttpVersion>,
    expected_status: u16,
    expected_sha256: Option<[u8; 32]>,
    /// The request over HTTP/1.1 on a kept-alive connection, over HTTP/1.1 on a connection of its own, and over HTTP/2.
    kept_alive: Request<NoBody>,
    fresh: Request<NoBody>,
    http2: Request<NoBody>,
}

/// What is known of an answer while it arrives.
#[derive(Clone, Copy, Debug, Default)]
struct PartialAnswer {
    /// 0 before the head has arrived.
    status: u16,
    version: Option<Version>,
    end_unknown: bool,
    sha256: Option<[u8; 32]>,
}

/// One of up to two attempts to send a request.
struct Attempt {
    verdict: Verdict,
    error: Option<String>,
    answer: PartialAnswer,
    /// Whether clients repeat such a request by themselves, on a new connection.
    repeat: bool,
}

impl Client {
    /// A client for each target.
    pub(crate) fn all(targets: &[Target], http: Option<HttpVersion>) -> Result<Vec<Self>, String> {
        let is_tls = |target: &Target| target.uri.scheme_str() == Some("https");
        let tls = if targets.iter().any(is_tls) { Some(tls::client_config(http)?) } else { None };
        targets.iter().map(|target| Self::new(target, http, tls.clone().filter(|_| is_tls(target)))).collect()
    }

    fn new(target: &Target, http: Option<HttpVersion>, tls: Option<Arc<ClientConfig>>) -> Result<Self, String> {
        let uri = &target.uri;
        let authority = uri.authority().ok_or("a URL needs a host")?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = match tls {
            Some(config) => {
                let name = ServerName::try_from(host.clone())
                    .map_err(|_| format!("{host} is not a name that TLS can verify"))?;
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
        let mut kept_alive = request(&path.parse().map_err(|error| format!("{path}: {error}"))?);
        let host_header = HeaderValue::from_str(authority.as_str()).map_err(|error| format!("{authority}: {error}"))?;
        kept_alive.headers_mut().insert(HOST, host_header);
        let mut fresh = kept_alive.clone();
        fresh.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        let mut http2 = request(uri);
        *http2.version_mut() = Version::HTTP_2;
        Ok(Self {
            resolver: Resolver::new(host, port),
            tls,
            http,
            expected_status: target.expected_status,
            expected_sha256: target.expected_sha256,
            kept_alive,
            fresh,
            http2,
        })
    }

    /// Sends the request over a connection of the pool, or without a pool over a new one, waits for the answer, and gives the
    /// verdict.
    ///
    /// If a connection that was used before ends without a byte of an answer, the request is sent once more on a new one, as
    /// browsers do: the server may have closed an idle connection while the request was on its way (RFC 9112, section 9.3.1).
    /// The same applies if a server says that it did not process the request (RFC 9113, section 8.7).
    pub(crate) async fn ask(&self, pool: Option<&Pool>, timeout: Duration) -> Outcome {
        let deadline = later(Instant::now(), timeout);
        let mut attempt = self.on_pooled_or_new(pool, deadline).await;
        let retried = attempt.repeat;
        if retried {
            attempt = self.on_new(pool, deadline).await;
        }
        let Attempt { verdict, error, answer: PartialAnswer { status, version, end_unknown, sha256 }, .. } = attempt;
        Outcome { verdict, status, retried, error, version, end_unknown, sha256, ended: Instant::now() }
    }

    /// The addresses to which requests go now.
    pub(crate) async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.resolver.lookup().await
    }

    async fn on_pooled_or_new(&self, pool: Option<&Pool>, deadline: Instant) -> Attempt {
        while let Some(mut connection) = pool.and_then(Pool::take) {
            // If the server closed it while it was idle, take the next one, as any client would. No request was sent on it.
            if within(deadline, connection.ready()).await.is_some_and(|ready| ready.is_ok()) {
                return self.over(connection, pool, deadline).await;
            }
        }
        self.on_new(pool, deadline).await
    }

    async fn on_new(&self, pool: Option<&Pool>, deadline: Instant) -> Attempt {
        // Boxed, so that the many requests over kept-alive connections do not hold the memory that a handshake needs.
        let (verdict, error) = match within(deadline, Box::pin(self.connect())).await {
            Some(Ok(connection)) => {
                if let Some(pool) = pool {
                    pool.share(&connection);
                }
                return self.over(connection, pool, deadline).await;
            }
            Some(Err(ConnectError::Refused(error))) => (Verdict::Refused, error),
            Some(Err(ConnectError::NotSent(error))) => (Verdict::NotSent, error),
            None => (Verdict::Refused, "no connection in time".to_owned()),
        };
        Attempt { verdict, error: Some(error), answer: PartialAnswer::default(), repeat: false }
    }

    /// Sends the request over this connection, and waits for the answer.
    async fn over(&self, mut connection: Connection, pool: Option<&Pool>, deadline: Instant) -> Attempt {
        let received_before = connection.received();
        let mut answer = PartialAnswer::default();
        let exchange = within(deadline, self.exchange(&mut connection.sender, pool.is_some(), &mut answer)).await;
        let unanswered = match connection.sender {
            Sender::Http1(_) => connection.received() == received_before,
            Sender::Http2(..) => answer.status == 0,
        };
        let repeat = matches!(&exchange, Some(Err(error)) if unanswered && error.may_repeat(connection.used));
        let (verdict, error) = self.judge(exchange.as_ref(), answer, unanswered);
        match (exchange, pool) {
            (Some(Ok(())), Some(pool)) => pool.give_back(connection),
            // The connection may be dead; the next request must not wait for it too.
            (None, Some(pool)) => pool.remove(&connection),
            _ => {}
        }
        Attempt { verdict, error, answer, repeat }
    }

    /// Returns when the whole body has arrived.
    async fn exchange(
        &self,
        sender: &mut Sender,
        keep_alive: bool,
        answer: &mut PartialAnswer,
    ) -> Result<(), ExchangeError> {
        let request = if keep_alive { &self.kept_alive } else { &self.fresh };
        let response = match sender {
            Sender::Http1(sender) => sender.send_request(request.clone()).await?,
            Sender::Http2(sender, _) => sender.send_request(self.http2.clone()).await?,
        };
        answer.status = response.status().as_u16();
        answer.version = Some(response.version());
        answer.end_unknown =
            self.tls.is_none() && self.expected_sha256.is_none() && ends_with_its_connection(&response);
        let mut body = response.into_body();
        let mut missing = body.size_hint().exact();
        let mut hash = self.expected_sha256.map(|_| Sha256::new());
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue }; // trailers
            missing = missing.map(|missing| missing.saturating_sub(data.len() as u64));
            if let Some(hash) = &mut hash {
                hash.update(&data);
            }
        }
        // hyper reports a stream that was reset with NO_ERROR as one that ended normally.
        let is_whole = match sender {
            Sender::Http1(_) => true,
            Sender::Http2(..) => body.is_end_stream() || missing == Some(0),
        };
        if !is_whole {
            return Err(ExchangeError::EndedEarly);
        }
        answer.sha256 = hash.map(|hash| hash.finalize().into());
        Ok(())
    }

    /// The verdict, and a message if something went wrong. `exchange` is None if the exchange did not end in time.
    fn judge(
        &self,
        exchange: Option<&Result<(), ExchangeError>>,
        answer: PartialAnswer,
        unanswered: bool,
    ) -> (Verdict, Option<String>) {
        let status = answer.status;
        let is_expected = status == self.expected_status;
        let is_error = status >= 500 && !is_expected;
        let (verdict, message) = match exchange {
            Some(Ok(())) if is_expected && answer.sha256 == self.expected_sha256 => return (Verdict::Answered, None),
            Some(Ok(())) if is_expected => (Verdict::WrongAnswer, "another body".to_owned()),
            Some(Ok(())) => {
                (if is_error { Verdict::ServerError } else { Verdict::WrongAnswer }, format!("status {status}"))
            }
            Some(Err(error)) if is_error => (Verdict::ServerError, format!("status {status}, {}", error.message())),
            Some(Err(error)) if error.is_not_http() => (Verdict::WrongAnswer, "not HTTP".to_owned()),
            Some(Err(error)) => {
                let place = match status {
                    0 if unanswered => "before the answer",
                    0 => "within the head",
                    _ => "within the body",
                };
                (Verdict::CutOff, format!("{} {place}", error.message()))
            }
            None if is_error => (Verdict::ServerError, format!("status {status}, not whole in time")),
            None if unanswered => (Verdict::TimedOut, "no answer in time".to_owned()),
            None => (Verdict::TimedOut, "no whole answer in time".to_owned()),
        };
        (verdict, Some(message))
    }

    async fn connect(&self) -> Result<Connection, ConnectError> {
        let stream = self.resolver.connect().await?;
        let _ = stream.set_nodelay(true); // without it, only latency suffers
        let Some((config, name)) = &self.tls else {
            return Connection::over(stream, self.http == Some(HttpVersion::Http2)).await;
        };
        let stream = TlsConnector::from(config.clone()).connect(name.clone(), stream).await.map_err(|error| {
            ConnectError::Refused(match tls_message(&error) {
                Some(message) => message,
                None => format!("{} in the TLS handshake", io_message(&error)),
            })
        })?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        if self.http == Some(HttpVersion::Http2) && !is_http2 {
            return Err(ConnectError::Refused("the server does not offer HTTP/2 over TLS".to_owned()));
        }
        Connection::over(stream, is_http2).await
    }
}

/// Whether only the end of the connection marks the end of the body.
fn ends_with_its_connection(response: &Response<Incoming>) -> bool {
    let has_no_body = matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let has_length = [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| response.headers().contains_key(name));
    response.version() <= Version::HTTP_11 && !has_no_body && !has_length
}
