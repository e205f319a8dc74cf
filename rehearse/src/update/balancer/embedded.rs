//! A balancer in this process that behaves like HAProxy: pods take turns, and a failed connection is retried with the same pod.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderMap};
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::{CONNECT_TIMEOUT, RETRIES};

/// HAProxy's pause before it retries the same server.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Embedded {
    backend: Arc<Backend>,
    #[expect(dead_code, reason = "dropping it ends the connections")]
    tasks: JoinSet<()>,
}

/// The pods, and the log.
#[derive(Debug)]
struct Backend {
    pods: Mutex<Vec<(u32, SocketAddr)>>,
    next: AtomicUsize,
    log: File,
}

type Answer = Response<BoxBody<Bytes, hyper::Error>>;

impl Embedded {
    pub(crate) async fn start(listen: SocketAddr, log: &Path) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let backend = Arc::new(Backend { pods: Mutex::default(), next: AtomicUsize::new(0), log: File::create(log)? });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&backend)));
        Ok(Self { backend, tasks })
    }

    pub(crate) fn add(&self, slot: u32, pod: SocketAddr) {
        self.backend.pods().push((slot, pod));
    }

    pub(crate) fn remove(&self, slot: u32) {
        self.backend.pods().retain(|(each, _)| *each != slot);
    }
}

async fn accept(listener: TcpListener, backend: Arc<Backend>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(serve_connection(stream, Arc::clone(&backend)))),
                Err(_) => sleep(Duration::from_millis(10)).await, // out of descriptors: the connection waits in the backlog
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve_connection(stream: TcpStream, backend: Arc<Backend>) {
    let _ = stream.set_nodelay(true); // without it, only latency suffers
    let service = service_fn(move |request| {
        let backend = Arc::clone(&backend);
        async move { Ok::<_, Infallible>(backend.forward(request).await) }
    });
    // An answer that a pod cut off is an error here, which ends the connection: the client sees the answer cut off too.
    let _ = server::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

impl Backend {
    fn pods(&self) -> MutexGuard<'_, Vec<(u32, SocketAddr)>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_pod(&self) -> Option<(u32, SocketAddr)> {
        let pods = self.pods();
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        pods.get(next.checked_rem(pods.len())?).copied()
    }

    fn log(&self, message: &str) {
        let _ = writeln!(&self.log, "balancer: {message}"); // a full disk must not fail the request
    }

    async fn forward(self: Arc<Self>, mut request: Request<Incoming>) -> Answer {
        let Some((slot, address)) = self.next_pod() else {
            self.log("there is no pod");
            return error_answer(StatusCode::SERVICE_UNAVAILABLE);
        };
        let stream = match self.connect(address).await {
            Ok(stream) => stream,
            Err(error) => {
                self.log(&format!("could not connect to a pod: pod{slot} at {address}: {error}"));
                return error_answer(StatusCode::SERVICE_UNAVAILABLE);
            }
        };
        remove_hop_by_hop(request.headers_mut());
        // Each request gets a new connection. A pod could close a kept-alive one just when a request is sent on it, and the
        // balancer would cause that loss, not the pod.
        let answer = async {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            sender.send_request(request).await
        };
        match answer.await {
            Ok(mut answer) => {
                remove_hop_by_hop(answer.headers_mut());
                answer.map(|body| {
                    let cut_off = move |error| {
                        self.log(&format!("a pod cut off its answer: pod{slot} at {address}: {error}"));
                        error
                    };
                    body.map_err(cut_off).boxed()
                })
            }
            Err(error) => {
                self.log(&format!("a pod closed the connection before its answer: pod{slot} at {address}: {error}"));
                error_answer(StatusCode::BAD_GATEWAY)
            }
        }
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let mut retries = 0;
        loop {
            let started = Instant::now();
            let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
            match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(stream) => {
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) if retries == RETRIES => return Err(error),
                Err(_) => sleep(RETRY_PAUSE.saturating_sub(started.elapsed())).await,
            }
            retries += 1;
        }
    }
}

/// These headers concern a single connection and must not be forwarded (RFC 9110, section 7.6.1).
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    headers.remove(CONNECTION);
    headers.remove("keep-alive");
}

fn error_answer(status: StatusCode) -> Answer {
    let body = Full::new(Bytes::from(format!("{status}\n"))).map_err(|never: Infallible| match never {});
    let mut answer = Response::new(body.boxed());
    *answer.status_mut() = status;
    answer
}
