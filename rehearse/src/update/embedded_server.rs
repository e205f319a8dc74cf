//! `softstop-rehearse serve`: the small server that runs in the pods if nginx is not installed.

use std::convert::Infallible;
use std::future::pending;
use std::io::{self, Write};
use std::net::SocketAddr;
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
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Interval, interval};

use super::content::{CHUNK, SHORT, SLOW, SlowAnswer, short_body};
use crate::failure::Failure;

/// Serves until a signal. As with nginx, SIGTERM ends it at once, and SIGQUIT when all requests are done.
pub(crate) async fn serve(listen: SocketAddr, slow: Duration) -> Result<u8, Failure> {
    let failed = |what: &str, error: io::Error| Failure::not_measured(format!("serve: cannot {what}: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| failed("handle SIGTERM", error))?;
    let mut quit = signal(SignalKind::quit()).map_err(|error| failed("handle SIGQUIT", error))?;
    let listener = TcpListener::bind(listen).await;
    let listener = listener.map_err(|error| failed(&format!("listen on {listen}"), error))?;

    let answers = Answers { short: Bytes::from(short_body()), slow: SlowAnswer::lasting(slow) };
    let (stop, stopping) = watch::channel(false);
    log("serving");
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                let _ = stream.set_nodelay(true); // without it, only latency suffers
                tokio::spawn(serve_connection(stream, answers.clone(), stopping.clone()));
            },
            _ = terminate.recv() => {
                log("signal 15 (SIGTERM) received, exiting");
                return Ok(0);
            }
            _ = quit.recv() => break,
        }
    }
    drop((listener, stopping));
    log("signal 3 (SIGQUIT) received, gracefully shutting down");
    stop.send_replace(true);
    tokio::select! {
        () = stop.closed() => log("exit"), // every connection holds a receiver
        _ = terminate.recv() => log("signal 15 (SIGTERM) received, exiting"),
    }
    Ok(0)
}

fn log(message: &str) {
    let time = humantime::format_rfc3339_seconds(std::time::SystemTime::now());
    let _ = writeln!(io::stderr(), "{time} [notice] {message}");
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

async fn serve_connection(stream: TcpStream, answers: Answers, mut stopping: watch::Receiver<bool>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answers = answers.clone();
        async move { Ok::<_, Infallible>(answers.answer(&request)) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let told_to_stop = async {
        if stopping.wait_for(|stop| *stop).await.is_err() {
            pending::<()>().await; // the sender is gone, so no stop will be requested
        }
    };
    // Errors are those of a client that went away.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = told_to_stop => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

#[derive(Clone, Debug)]
struct Answers {
    short: Bytes,
    slow: SlowAnswer,
}

impl Answers {
    fn answer(&self, request: &Request<Incoming>) -> Answer {
        let whole = |bytes: Bytes| Response::new(Full::new(bytes).boxed());
        match request.uri().path() {
            SHORT => whole(self.short.clone()),
            SLOW => Response::new(SlowBody::new(self.slow).boxed()),
            _ => {
                let mut answer = whole(Bytes::from_static(b"no such file\n"));
                *answer.status_mut() = StatusCode::NOT_FOUND;
                answer
            }
        }
    }
}

/// A body that is sent in chunks with pauses.
#[derive(Debug)]
struct SlowBody {
    rest: Bytes,
    clock: Interval,
}

impl SlowBody {
    fn new(answer: SlowAnswer) -> Self {
        Self { rest: Bytes::from(answer.body()), clock: interval(answer.pause) }
    }
}

impl Body for SlowBody {
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
            let length = self.rest.len().min(CHUNK);
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
