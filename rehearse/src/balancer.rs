//! The ingress: HAProxy, or the embedded balancer where it is missing.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderMap};
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// What a connection to a pod may take. A pod that is gone leaves an address that nobody answers for.
pub(crate) const CONNECT: Duration = Duration::from_secs(2);
/// HAProxy's default, which the embedded balancer has too.
pub(crate) const RETRIES: u32 = 3;
/// HAProxy's own pause before it tries the same server again.
const PAUSE: Duration = Duration::from_secs(1);
/// More than any load here makes.
const MOST_CONNECTIONS: u64 = 10_000;
const STARTS_WITHIN: Duration = Duration::from_secs(10);

/// Which balancer takes part.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Haproxy { program: PathBuf, version: String },
    Embedded,
}

impl Kind {
    /// With its version.
    pub(crate) fn title(&self) -> String {
        match self {
            Self::Haproxy { version, .. } => version.clone(),
            Self::Embedded => format!("the embedded balancer of softstop-rehearse {}", env!("CARGO_PKG_VERSION")),
        }
    }

    pub(crate) fn is_embedded(&self) -> bool {
        matches!(self, Self::Embedded)
    }

    /// The name of its log.
    pub(crate) fn log(&self) -> &'static str {
        match self {
            Self::Haproxy { .. } => "haproxy.log",
            Self::Embedded => "balancer.log",
        }
    }
}

/// A balancer that runs. A pod has a slot in it for as long as requests go there.
#[derive(Debug)]
pub(crate) enum Balancer {
    Haproxy(Haproxy),
    Embedded(Embedded),
}

impl Balancer {
    /// With so many slots, numbered from 1, all of them empty.
    pub(crate) async fn start(
        kind: &Kind,
        listen: SocketAddr,
        slots: u32,
        home: &Path,
        log: &Path,
    ) -> Result<Self, String> {
        match kind {
            Kind::Haproxy { program, .. } => Haproxy::start(program, listen, slots, home, log).await.map(Self::Haproxy),
            Kind::Embedded => {
                let started = Embedded::start(listen, log).await;
                started.map(Self::Embedded).map_err(|error| format!("the embedded balancer on {listen}: {error}"))
            }
        }
    }

    pub(crate) async fn add(&self, slot: u32, pod: SocketAddr) -> Result<(), String> {
        match self {
            Self::Haproxy(haproxy) => haproxy.add(slot, pod).await,
            Self::Embedded(embedded) => {
                embedded.routes.pods().push((slot, pod));
                Ok(())
            }
        }
    }

    /// No new request goes there; those under way are let finish.
    pub(crate) async fn remove(&self, slot: u32) -> Result<(), String> {
        match self {
            Self::Haproxy(haproxy) => haproxy.remove(slot).await,
            Self::Embedded(embedded) => {
                embedded.routes.pods().retain(|(each, _)| *each != slot);
                Ok(())
            }
        }
    }

    pub(crate) async fn close(self) {
        match self {
            Self::Haproxy(mut haproxy) => {
                if let Some(pid) = haproxy.process.id().and_then(|pid| i32::try_from(pid).ok()) {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
                }
                let _ = timeout(STARTS_WITHIN, haproxy.process.wait()).await; // dropped, it is killed
            }
            Self::Embedded(embedded) => drop(embedded),
        }
    }
}

/// A HAProxy whose servers are changed through its runtime socket, as ingress controllers do.
#[derive(Debug)]
pub(crate) struct Haproxy {
    process: Child,
    socket: PathBuf,
}

impl Haproxy {
    async fn start(program: &Path, listen: SocketAddr, slots: u32, home: &Path, log: &Path) -> Result<Self, String> {
        let (file, socket) = (home.join("haproxy.cfg"), home.join("haproxy.sock"));
        let failed = |error: io::Error| format!("cannot start HAProxy: {error}");
        std::fs::write(&file, configuration(&socket, listen, slots)).map_err(failed)?;
        let output = File::create(log).map_err(failed)?;
        let errors = output.try_clone().map_err(failed)?;
        let mut command = Command::new(program);
        command.arg("-db").arg("-f").arg(&file).env_clear();
        command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0).kill_on_drop(true);
        let mut haproxy = Self { process: command.spawn().map_err(failed)?, socket };
        let started = Instant::now();
        // The last server's state shows that it reads commands and has made every slot.
        while haproxy.serves(slots).await.is_err() {
            if !matches!(haproxy.process.try_wait(), Ok(None)) || started.elapsed() > STARTS_WITHIN {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                let said = said.lines().find(|line| line.contains("ALERT")).unwrap_or("it does not say why");
                return Err(format!("HAProxy does not start: {said}"));
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(haproxy)
    }

    async fn add(&self, slot: u32, pod: SocketAddr) -> Result<(), String> {
        let (address, port) = (pod.ip(), pod.port());
        self.ask(&format!("set server pods/pod{slot} addr {address} port {port}")).await?;
        self.set(slot, "ready", true).await
    }

    async fn remove(&self, slot: u32) -> Result<(), String> {
        self.set(slot, "maint", false).await
    }

    /// Sets the state, and asks whether it is so: the answer to a command is meant for people.
    async fn set(&self, slot: u32, state: &str, serves: bool) -> Result<(), String> {
        let said = self.ask(&format!("set server pods/pod{slot} state {state}")).await?;
        if self.serves(slot).await? == serves {
            return Ok(());
        }
        Err(format!("HAProxy does not set pod{slot} to {state}: {}", said.trim()))
    }

    /// Its operational state is "running", which is 2 (HAProxy's Management Guide, `show servers state`).
    async fn serves(&self, slot: u32) -> Result<bool, String> {
        let said = self.ask("show servers state pods").await?;
        let name = format!("pod{slot}");
        let mut servers = said.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
        let server = servers.find(|columns| columns.get(3).is_some_and(|column| *column == name));
        let state = server.and_then(|columns| columns.get(5).map(|state| *state == "2"));
        state.ok_or_else(|| format!("HAProxy does not know {name}"))
    }

    async fn ask(&self, command: &str) -> Result<String, String> {
        let talk = async {
            let mut stream = UnixStream::connect(&self.socket).await?;
            stream.write_all(format!("{command}\n").as_bytes()).await?;
            let mut said = String::new();
            stream.read_to_string(&mut said).await?;
            Ok(said)
        };
        let said = timeout(STARTS_WITHIN, talk).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        said.map_err(|error: io::Error| format!("HAProxy's runtime socket: {error}"))
    }
}

/// Defaults wherever there are any: three retries on the same server, no redispatch, no health check.
fn configuration(socket: &Path, listen: SocketAddr, slots: u32) -> String {
    let (socket, connect, most) = (socket.display(), CONNECT.as_millis(), most_connections());
    format!(
        "global
    log stderr format raw local0
    stats socket {socket} mode 600 level admin
    maxconn {most}
defaults
    mode http
    log global
    option httplog
    # The requests that went well are counted elsewhere.
    option dontlog-normal
    timeout connect {connect}ms
    timeout client 60s
    timeout server 60s
frontend ingress
    bind {listen}
    default_backend pods
backend pods
    balance roundrobin
    server-template pod 1-{slots} 127.0.0.1:1 disabled
"
    )
}

/// HAProxy takes two descriptors for each, and some for itself; more than it may have, and it does not start.
fn most_connections() -> u64 {
    let hard = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(_, hard)| hard);
    (hard.saturating_sub(200) / 2).clamp(100, MOST_CONNECTIONS)
}

/// What HAProxy does, in this process: pods take turns, and a connection that fails is tried again with the same pod.
#[derive(Debug)]
pub(crate) struct Embedded {
    routes: Arc<Routes>,
    #[expect(dead_code, reason = "dropped, it ends the conversations")]
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Routes {
    pods: Mutex<Vec<(u32, SocketAddr)>>,
    turn: AtomicUsize,
    log: File,
}

type Answer = Response<BoxBody<Bytes, hyper::Error>>;

/// They speak of one connection, and this is the end of it (RFC 9110, section 7.6.1).
fn without_the_connections_own(headers: &mut HeaderMap) {
    headers.remove(CONNECTION);
    headers.remove("keep-alive");
}

impl Embedded {
    async fn start(listen: SocketAddr, log: &Path) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let routes = Arc::new(Routes { pods: Mutex::default(), turn: AtomicUsize::new(0), log: File::create(log)? });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&routes)));
        Ok(Self { routes, tasks })
    }
}

async fn accept(listener: TcpListener, routes: Arc<Routes>) {
    let mut conversations = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(conversations.spawn(converse(stream, Arc::clone(&routes)))),
                Err(_) => sleep(Duration::from_millis(10)).await, // no descriptor is left: it is not lost, it waits
            },
            Some(_) = conversations.join_next() => {}
        }
    }
}

async fn converse(stream: TcpStream, routes: Arc<Routes>) {
    let _ = stream.set_nodelay(true); // slower without, and no worse
    let service = service_fn(move |request| {
        let routes = Arc::clone(&routes);
        async move { Ok::<_, Infallible>(routes.pass_on(request).await) }
    });
    // An answer that is cut off ends the connection with an error, so that it reaches the client cut off.
    let _ = server::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

impl Routes {
    fn pods(&self) -> std::sync::MutexGuard<'_, Vec<(u32, SocketAddr)>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<(u32, SocketAddr)> {
        let pods = self.pods();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        pods.get(turn.checked_rem(pods.len())?).copied()
    }

    fn say(&self, what: &str) {
        let _ = writeln!(&self.log, "balancer: {what}"); // a full disk costs evidence, and no request
    }

    async fn pass_on(self: Arc<Self>, mut request: Request<Incoming>) -> Answer {
        let Some((slot, address)) = self.next() else {
            self.say("there is no pod");
            return fault(StatusCode::SERVICE_UNAVAILABLE);
        };
        let stream = match self.connect(address).await {
            Ok(stream) => stream,
            Err(error) => {
                self.say(&format!("could not connect to a pod: pod{slot} at {address}: {error}"));
                return fault(StatusCode::SERVICE_UNAVAILABLE);
            }
        };
        without_the_connections_own(request.headers_mut());
        // A connection for each request: a kept one could be closed by the pod in the moment of its use, and that loss
        // would be the balancer's.
        let answer = async {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            sender.send_request(request).await
        };
        match answer.await {
            Ok(mut answer) => {
                without_the_connections_own(answer.headers_mut());
                answer.map(|body| {
                    let cut_off = move |error| {
                        self.say(&format!("a pod cut off its answer: pod{slot} at {address}: {error}"));
                        error
                    };
                    body.map_err(cut_off).boxed()
                })
            }
            Err(error) => {
                self.say(&format!("a pod closed the connection before its answer: pod{slot} at {address}: {error}"));
                fault(StatusCode::BAD_GATEWAY)
            }
        }
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let mut retries = 0;
        loop {
            let started = Instant::now();
            let connected = timeout(CONNECT, TcpStream::connect(address)).await;
            match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(stream) => {
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) if retries == RETRIES => return Err(error),
                Err(_) => sleep(PAUSE.saturating_sub(started.elapsed())).await,
            }
            retries += 1;
        }
    }
}

fn fault(status: StatusCode) -> Answer {
    let body = Full::new(Bytes::from(format!("{status}\n"))).map_err(|never: Infallible| match never {});
    let mut answer = Response::new(body.boxed());
    *answer.status_mut() = status;
    answer
}
