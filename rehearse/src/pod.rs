//! A pod: the application under an init, in a container or in a PID namespace, with an address of its own.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::RwLock;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use crate::Failure;
use crate::cli::Place;
use crate::contender::{Participant, in_path};
use crate::server::{Application, SHORT};

/// A pod that has not answered by then never will.
const STARTS_WITHIN: Duration = Duration::from_secs(20);
/// Nor will an engine.
const ENGINE_ANSWERS_WITHIN: Duration = Duration::from_secs(60);
/// Where the application listens in a container.
const PORT_INSIDE: u16 = 8080;

/// What the application needs to know of its place.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) name: String,
    pub(crate) listen: SocketAddr,
    /// The files of all pods, here and as the pod sees them.
    pub(crate) home: PathBuf,
    pub(crate) home_inside: PathBuf,
    /// Where the pod may write, as it sees it.
    pub(crate) writable: PathBuf,
}

/// How a pod ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) exit: Option<i32>,
    /// Only SIGKILL at the end of the grace period did it.
    pub(crate) killed: bool,
}

/// Addresses of the loopback network that no other rehearsal has, and a port that is free on them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    network: [u8; 2],
    port: u16,
}

impl Addresses {
    pub(crate) fn choose() -> io::Result<Self> {
        let [.., high, low] = std::process::id().to_be_bytes();
        let network = [64 + high % 64, low];
        let mut addresses = Self { network, port: 0 };
        // One that nobody has on every address either. Free for the ingress is free for the pods, who are nobody else's.
        addresses.port = TcpListener::bind(addresses.ingress())?.local_addr()?.port();
        Ok(addresses)
    }

    pub(crate) fn ingress(self) -> SocketAddr {
        self.at(1)
    }

    fn pod(self, number: u32) -> SocketAddr {
        self.at(2 + (number % 250) as u8) // one that was used so long ago is free again
    }

    fn at(self, host: u8) -> SocketAddr {
        let [a, b] = self.network;
        (Ipv4Addr::new(127, a, b, host), self.port).into()
    }
}

/// Where pods live.
#[derive(Debug)]
pub(crate) struct Ground {
    kind: Kind,
    home: PathBuf,
    addresses: Addresses,
    count: AtomicU32,
}

#[derive(Debug)]
enum Kind {
    Containers(Engine),
    Namespaces,
}

impl Ground {
    /// The place that was asked for, or the first that works: a pod was started there, and it answered. Beside it, in a
    /// sentence, why it is not the first choice.
    pub(crate) async fn find(
        asked: Option<Place>,
        engine: &Engine,
        home: &Path,
        addresses: Addresses,
        application: &Application,
    ) -> Result<(Self, Option<String>), Failure> {
        let ground = |kind| Self { kind, home: home.to_owned(), addresses, count: AtomicU32::new(0) };
        let mut no_container = None;
        if asked != Some(Place::Namespace) {
            let containers = ground(Kind::Containers(engine.clone()));
            let works = match engine.open().await {
                Ok(()) => containers.probe(application).await,
                Err(why) => Err(why),
            };
            match works {
                Ok(()) => return Ok((containers, None)),
                Err(why) if asked.is_some() => {
                    return Err(Failure::not_measured(format!("no pod in a container: {why}")));
                }
                Err(why) => no_container = Some(why),
            }
        }
        let namespaces = ground(Kind::Namespaces);
        match (namespaces.probe(application).await, no_container) {
            (Ok(()), None) => Ok((namespaces, None)),
            (Ok(()), Some(why)) => {
                let note = format!("pods are in PID namespaces, as containers do not work here: {why}");
                Ok((namespaces, Some(note)))
            }
            (Err(why), None) => Err(Failure::not_measured(format!("no pod in a PID namespace: {why}"))),
            (Err(why), Some(no_container)) => Err(Failure::not_measured(format!(
                "no pod can be made here, neither in a PID namespace ({why}) nor in a container ({no_container})"
            ))),
        }
    }

    async fn probe(&self, application: &Application) -> Result<(), String> {
        let alone = Participant { name: String::new(), directory: String::new(), init: None, pre_stop: None };
        let pod = self.start("probe", &alone, application).await?;
        let answered = pod.answers().await;
        pod.clear().await;
        answered
    }

    pub(crate) fn is_containers(&self) -> bool {
        matches!(self.kind, Kind::Containers(_))
    }

    /// As the output names it.
    pub(crate) async fn title(&self) -> String {
        match &self.kind {
            Kind::Containers(engine) => format!("containers of {}", engine.title().await),
            Kind::Namespaces if is_root() => "PID namespaces on loopback addresses".to_owned(),
            Kind::Namespaces => "PID namespaces (of a user namespace) on loopback addresses".to_owned(),
        }
    }

    /// Starts a pod; it may not answer yet.
    pub(crate) async fn start(&self, name: &str, who: &Participant, application: &Application) -> Result<Pod, String> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        match &self.kind {
            Kind::Containers(engine) => self.start_container(engine, number, name, who, application).await,
            Kind::Namespaces => self.start_namespace(number, name, who, application).await,
        }
    }

    async fn start_container(
        &self,
        engine: &Engine,
        number: u32,
        name: &str,
        who: &Participant,
        application: &Application,
    ) -> Result<Pod, String> {
        let seat = Seat {
            name: name.to_owned(),
            listen: (Ipv4Addr::UNSPECIFIED, PORT_INSIDE).into(),
            home: self.home.clone(),
            home_inside: "/rehearsal".into(),
            writable: "/tmp".into(),
        };
        let mut machine = Machine::default();
        let command = command(&seat, who, application, |program| machine.inside(program))?;
        let id = format!("{}-{number}", engine.id);
        let mut words: Vec<String> = ["run", "--detach", "--init=false", "--log-driver=json-file", "--tmpfs=/tmp"]
            .into_iter()
            .map(str::to_owned)
            .collect();
        words.extend([format!("--name={id}"), format!("--hostname={name}"), engine.label()]);
        words.push(format!("--volume={}:/rehearsal:ro", self.home.display()));
        words.extend(machine.volumes());
        words.push(engine.id.clone()); // the image
        words.extend(command);
        engine.docker(words).await?;
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let address = engine.docker(["inspect", "--format", format, &id]).await?;
        let address: IpAddr =
            address.parse().map_err(|_| "the engine gives a container no address of its own".to_owned())?;
        let address = (address, PORT_INSIDE).into();
        let end = End::of_a_container(engine, &id);
        Ok(Pod { name: name.to_owned(), address, body: Body::Container { engine: engine.clone(), id }, end })
    }

    async fn start_namespace(
        &self,
        number: u32,
        name: &str,
        who: &Participant,
        application: &Application,
    ) -> Result<Pod, String> {
        let address = self.addresses.pod(number);
        let writable = self.home.join(format!("{name}.d"));
        fs::create_dir_all(&writable).map_err(|error| format!("{}: {error}", writable.display()))?;
        let seat = Seat {
            name: name.to_owned(),
            listen: address,
            home: self.home.clone(),
            home_inside: self.home.clone(),
            writable,
        };
        let words = command(&seat, who, application, |program| program.display().to_string())?;
        let log = self.home.join(format!("{name}.log"));
        let failed = |error: io::Error| format!("{}: {error}", log.display());
        let output = File::create(&log).map_err(failed)?;
        let errors = output.try_clone().map_err(failed)?;

        let unshare = in_path("unshare").ok_or("unshare(1) of util-linux is missing")?;
        let mut command = Command::new(unshare);
        if !is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).args(words);
        // Nothing of ours may change what softstop does there.
        command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        // In a group of its own: Ctrl-C is for us, who then clear everything away.
        command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0).kill_on_drop(true);
        let mut unshare = command.spawn().map_err(|error| format!("unshare: {error}"))?;
        let Some(init) = init_of(&mut unshare).await else {
            let said = fs::read_to_string(&log).unwrap_or_default();
            let said = last_line(&said).unwrap_or("it failed without a word");
            return Err(format!("unshare: {}", said.trim_start_matches("unshare: ")));
        };
        let end = End::of_a_process(unshare);
        Ok(Pod { name: name.to_owned(), address, body: Body::Namespace { init, log }, end })
    }
}

/// The words that a pod runs: its init, if any, and the application.
fn command(
    seat: &Seat,
    who: &Participant,
    application: &Application,
    mut inside: impl FnMut(&Path) -> String,
) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    if let Some((program, options)) = &who.init {
        words.push(inside(program));
        words.extend(options.iter().cloned());
    }
    words.push(inside(application.program()));
    words
        .extend(application.arguments(seat).map_err(|error| format!("cannot write {}: {error}", seat.home.display()))?);
    Ok(words)
}

/// The init's pid as we see it; none where `unshare` ended first.
async fn init_of(unshare: &mut Child) -> Option<Pid> {
    let parent = unshare.id()?;
    let children = format!("/proc/{parent}/task/{parent}/children");
    loop {
        let said = fs::read_to_string(&children).unwrap_or_default();
        if let Some(pid) = said.split_ascii_whitespace().next().and_then(|pid| pid.parse().ok()) {
            return Some(Pid::from_raw(pid));
        }
        if !matches!(unshare.try_wait(), Ok(None)) {
            return None;
        }
        sleep(Duration::from_millis(2)).await;
    }
}

pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// One of the application's places. Dropped, it is gone too, but a container only when the engine is cleared.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    body: Body,
    end: End,
}

#[derive(Debug)]
enum Body {
    Container { engine: Engine, id: String },
    Namespace { init: Pid, log: PathBuf },
}

/// Waits for a pod's end from its beginning: asked only then, an engine would answer late.
#[derive(Debug)]
struct End(JoinHandle<Result<Option<i32>, String>>);

impl End {
    fn of_a_process(mut process: Child) -> Self {
        Self(tokio::spawn(async move {
            let status = process.wait().await.map_err(|error| error.to_string())?;
            Ok(status.code().or_else(|| status.signal().map(|signal| 128 + signal)))
        }))
    }

    fn of_a_container(engine: &Engine, id: &str) -> Self {
        let mut command = engine.command(["wait", id]);
        Self(tokio::spawn(async move {
            let output = command.stdin(Stdio::null()).output().await.map_err(|error| error.to_string())?;
            said(&output).map(|code| code.parse().ok())
        }))
    }

    fn has_come(&self) -> bool {
        self.0.is_finished()
    }

    async fn comes(&mut self) -> Result<Option<i32>, String> {
        (&mut self.0).await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.abort(); // and with it goes the process
    }
}

impl Pod {
    /// Waits until the application answers.
    pub(crate) async fn answers(&self) -> Result<(), String> {
        let started = Instant::now();
        while started.elapsed() < STARTS_WITHIN && !self.end.has_come() {
            if is_answered(self.address).await {
                return Ok(());
            }
            sleep(Duration::from_millis(20)).await;
        }
        let said = String::from_utf8_lossy(&self.log().await.unwrap_or_default()).into_owned();
        let said = last_line(&said).unwrap_or("it logged nothing");
        Err(format!("a pod at {} does not answer; the last it logged: {said}", self.address))
    }

    /// What the platform does to a pod that is to go: the preStop hook, SIGTERM, and SIGKILL at the end of the grace
    /// period, which begins with the hook.
    pub(crate) async fn stop(&mut self, pre_stop: Option<Duration>, grace_period: Duration) -> Result<Ended, String> {
        let deadline = Instant::now() + grace_period;
        let Self { name, body, end, .. } = self;
        let of_itself = |exit| Ended { exit, killed: false };
        if let Some(pause) = pre_stop {
            tokio::select! {
                () = body.hook(pause) => {}
                ended = end.comes() => return ended.map(of_itself),
                () = sleep_until(deadline) => {}
            }
        }
        body.signal(Signal::SIGTERM).await;
        if let Ok(ended) = timeout_at(deadline, end.comes()).await {
            return ended.map(of_itself);
        }
        body.signal(Signal::SIGKILL).await;
        let ended = timeout(STARTS_WITHIN, end.comes()).await;
        let mut exit = ended.map_err(|_| format!("{name} outlives SIGKILL"))??;
        if let Body::Namespace { .. } = body {
            // unshare(1) of util-linux 2.38 cannot say so: it means to end itself by its child's signal, and fails.
            exit = Some(128 + Signal::SIGKILL as i32);
        }
        Ok(Ended { exit, killed: true })
    }

    /// All that it wrote to stdout and stderr.
    pub(crate) async fn log(&self) -> Result<Vec<u8>, String> {
        match &self.body {
            Body::Container { engine, id } => {
                let output = engine.output(["logs", id]).await?;
                said(&output)?;
                Ok([output.stdout, output.stderr].concat())
            }
            Body::Namespace { log, .. } => fs::read(log).map_err(|error| format!("{}: {error}", log.display())),
        }
    }

    /// Removes what is left of it, without ceremony.
    pub(crate) async fn clear(mut self) {
        match &self.body {
            // A leftover is taken when the engine is cleared.
            Body::Container { engine, id } => drop(engine.docker(["rm", "--force", "--volumes", id]).await),
            Body::Namespace { .. } if self.end.has_come() => {}
            Body::Namespace { .. } => {
                self.body.signal(Signal::SIGKILL).await;
                let _ = timeout(STARTS_WITHIN, self.end.comes()).await; // whoever outlives SIGKILL is in the kernel's hands
            }
        }
    }
}

impl Body {
    /// As `preStop: exec: command: [sleep, ..]`; in a namespace as `preStop: sleep`, for which the platform enters no pod.
    async fn hook(&self, pause: Duration) {
        if let Self::Container { engine, id } = self {
            let seconds = pause.as_secs_f64().to_string();
            let mut sleeping = engine.command(["exec", id.as_str(), "sleep", &seconds]);
            let hook = sleeping.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().await;
            if hook.is_ok_and(|status| status.success()) {
                return;
            }
        }
        sleep(pause).await;
    }

    /// Where it is too late the pod is gone, which is seen.
    async fn signal(&self, signal: Signal) {
        match self {
            Self::Container { engine, id } => drop(engine.docker(["kill", "--signal", signal.as_str(), id]).await),
            Self::Namespace { init, .. } => drop(kill(*init, signal)),
        }
    }
}

/// Whether a short request is answered there.
async fn is_answered(address: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let request = format!("GET {SHORT} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        answer.starts_with(b"HTTP/1.1 200 ").then_some(())
    };
    timeout(Duration::from_secs(1), ask).await.is_ok_and(|answer| answer.is_some())
}

/// Which directories and files of this machine a container sees: all of its programs run there with its own libraries.
#[derive(Debug, Default)]
struct Machine {
    programs: BTreeSet<(PathBuf, String)>,
}

const DIRECTORIES: [&str; 6] = ["/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin"];
const FILES: [&str; 3] = ["/etc/passwd", "/etc/group", "/etc/ld.so.cache"];

impl Machine {
    /// The program's path as the container has it.
    fn inside(&mut self, program: &Path) -> String {
        let file = fs::canonicalize(program).unwrap_or_else(|_| program.to_owned());
        let keeps_its_name = file.file_name() == program.file_name();
        if keeps_its_name && DIRECTORIES.iter().any(|directory| file.starts_with(directory)) {
            return file.display().to_string();
        }
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
        let path = format!("/programs/{name}");
        self.programs.insert((file, path.clone()));
        path
    }

    /// As options of `docker run`.
    fn volumes(&self) -> Vec<String> {
        let same = DIRECTORIES.iter().chain(&FILES).filter(|path| Path::new(path).exists());
        let same = same.map(|path| format!("--volume={path}:{path}:ro"));
        same.chain(self.programs.iter().map(|(file, path)| format!("--volume={}:{path}:ro", file.display()))).collect()
    }
}

/// The Docker engine, and all that a rehearsal makes there.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    program: Option<PathBuf>,
    /// The name of the image, the beginning of every container's name, and the value of their label.
    id: String,
    /// Every word to the engine holds it until it is answered, even where nobody waits for that any more: only so can
    /// nothing be made behind the back of [`Engine::clear`].
    busy: Arc<RwLock<()>>,
    is_open: Arc<AtomicBool>,
}

impl Engine {
    pub(crate) fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let id = format!("softstop-rehearse-{}-{}", std::process::id(), now.as_millis() % 1_000_000_000);
        Self { program: in_path("docker"), id, busy: Arc::default(), is_open: Arc::default() }
    }

    /// Makes the image: an empty one, in which this machine's own directories will stand.
    async fn open(&self) -> Result<(), String> {
        self.program.as_ref().ok_or("docker is not installed")?;
        self.docker(["version", "--format", "{{.Server.Version}}"]).await?;
        self.is_open.store(true, Ordering::Relaxed);
        let empty_tar = vec![0; 1024];
        said(&self.output_of(["import", "-", &self.id], empty_tar).await?).map(drop)
    }

    async fn title(&self) -> String {
        let version = self.docker(["version", "--format", "{{.Server.Version}}"]).await;
        format!("Docker {}", version.as_deref().unwrap_or("of an unknown version"))
    }

    fn label(&self) -> String {
        format!("--label=softstop-rehearse={}", self.id)
    }

    fn command<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(self.program.as_deref().unwrap_or(Path::new("docker")));
        command.args(words).process_group(0).kill_on_drop(true);
        command
    }

    /// What it says on stdout, or why it failed.
    async fn docker<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Result<String, String> {
        said(&self.output(words).await?)
    }

    async fn output<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Result<Output, String> {
        self.output_of(words, Vec::new()).await
    }

    async fn output_of<S: AsRef<OsStr>>(
        &self,
        words: impl IntoIterator<Item = S>,
        input: Vec<u8>,
    ) -> Result<Output, String> {
        let mut command = self.command(words);
        let held = Arc::clone(&self.busy).read_owned().await;
        let task = tokio::spawn(async move {
            let answer = timeout(ENGINE_ANSWERS_WITHIN, output(&mut command, input)).await;
            drop(held);
            answer.unwrap_or_else(|_| Err(io::Error::other("the engine does not answer")))
        });
        let answer = task.await.map_err(io::Error::other).and_then(|answer| answer);
        answer.map_err(|error| format!("docker: {error}"))
    }

    /// Removes every container of ours, and the image.
    pub(crate) async fn clear(&self) {
        if !self.is_open.load(Ordering::Relaxed) {
            return;
        }
        drop(self.busy.write().await); // what was asked for earlier has been answered, and nobody asks for more
        let filter = format!("label=softstop-rehearse={}", self.id);
        if let Ok(containers) = self.docker(["ps", "--all", "--quiet", "--filter", &filter]).await {
            let containers = containers.split_ascii_whitespace();
            let words: Vec<&str> = ["rm", "--force", "--volumes"].into_iter().chain(containers).collect();
            if words.len() > 3 {
                let _ = self.docker(words).await; // the image's removal would fail then, and nothing more can be done
            }
        }
        let _ = self.docker(["rmi", "--force", &self.id]).await;
    }
}

async fn output(command: &mut Command, input: Vec<u8>) -> io::Result<Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(&input).await; // who does not read it says why
    }
    child.wait_with_output().await
}

/// What a program said, or its last complaint.
fn said(output: &Output) -> Result<String, String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    // `docker run` ends with a hint at its help.
    let complaint = complaint.lines().map(str::trim).rfind(|line| !line.is_empty() && !line.starts_with("See 'docker"));
    Err(complaint.map_or_else(|| format!("docker: {}", output.status), str::to_owned))
}

fn last_line(text: &str) -> Option<&str> {
    text.lines().map(str::trim).rfind(|line| !line.is_empty())
}
