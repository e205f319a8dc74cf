//! One connection of a client, over HTTP/1.1 or HTTP/2.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::error::{ConnectError, ExchangeError};

/// The body of the requests that are sent here.
pub(crate) type NoBody = Empty<Bytes>;

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) sender: Sender,
    /// The number of bytes received so far.
    received: Arc<AtomicU64>,
    /// Whether it has carried a request before.
    pub(crate) used: bool,
}

#[derive(Debug)]
pub(crate) enum Sender {
    Http1(http1::SendRequest<NoBody>),
    /// Each request on the connection holds a clone of the token.
    Http2(http2::SendRequest<NoBody>, Arc<()>),
}

impl Connection {
    /// Does the handshake of HTTP.
    pub(crate) async fn over<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        stream: S,
        is_http2: bool,
    ) -> Result<Self, ConnectError> {
        let received = Arc::new(AtomicU64::new(0));
        let stream = TokioIo::new(CountingStream { stream, received: received.clone() });
        let refused = |error: hyper::Error| ConnectError::Refused(ExchangeError::Hyper(error).message());
        // The requests on a connection get its error, so the spawned task need not report it.
        let sender = if is_http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.map_err(refused)?;
            tokio::spawn(connection);
            Sender::Http2(sender, Arc::new(()))
        } else {
            let (sender, connection) = http1::handshake(stream).await.map_err(refused)?;
            tokio::spawn(connection);
            Sender::Http1(sender)
        };
        Ok(Self { sender, received, used: false })
    }

    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Waits until it can take a request.
    pub(crate) async fn ready(&mut self) -> Result<(), hyper::Error> {
        match &mut self.sender {
            Sender::Http1(sender) => sender.ready().await,
            Sender::Http2(sender, _) => sender.ready().await,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender, _) => sender.is_closed(),
        }
    }

    /// Another handle to the same connection, if several requests can share it.
    pub(crate) fn share(&self) -> Option<Self> {
        match &self.sender {
            Sender::Http1(_) => None,
            Sender::Http2(sender, token) => Some(Self {
                sender: Sender::Http2(sender.clone(), token.clone()),
                received: self.received.clone(),
                used: true,
            }),
        }
    }

    /// Whether both are handles to one HTTP/2 connection.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.sender, &other.sender) {
            (Sender::Http2(_, token), Sender::Http2(_, of_other)) => Arc::ptr_eq(token, of_other),
            _ => false,
        }
    }

    /// How many requests it carries, as seen from a pool that holds one handle itself.
    pub(crate) fn streams(&self) -> usize {
        match &self.sender {
            Sender::Http1(_) => 1,
            Sender::Http2(_, token) => Arc::strong_count(token) - 1,
        }
    }
}

/// A stream that counts the bytes read from it.
#[derive(Debug)]
struct CountingStream<S> {
    stream: S,
    received: Arc<AtomicU64>,
}

impl<S: AsyncRead + Unpin> AsyncRead for CountingStream<S> {
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

impl<S: AsyncWrite + Unpin> AsyncWrite for CountingStream<S> {
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
