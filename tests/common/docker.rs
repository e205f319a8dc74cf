//! Real containers of the running Docker engine: an image made of files, a container of it, its log, its end.
//!
//! Whatever a test creates here is removed when the test ends, even if it fails.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use super::namespace::enter_network;
use super::{DEAD_MAN, Lines, Terminal, eventually, have, have_program, in_path, root, target_tmpdir};

/// [`have`] for a Docker engine that answers.
#[track_caller]
pub fn have_engine() -> bool {
    let answers = in_path("docker").is_some() && docker(["info"]).status.success();
    have("a Docker engine (`docker info`)", answers)
}

/// The image of the first stage of Dockerfile.example, in which the static binary is built. It is kept, under the name that the
/// documentation uses: building it takes minutes, but only if the sources have changed.
const BUILD_STAGE: &str = "softstop-build";

/// The static binary, built by the documented command.
#[track_caller]
pub fn static_softstop() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let id = || docker(["image", "inspect", "--format", "{{.Id}}", BUILD_STAGE]).stdout;
        let last = id();
        docker_says([
            "build",
            "-f",
            "Dockerfile.example",
            "--target",
            "build",
            "-t",
            BUILD_STAGE,
            root().to_str().unwrap(),
        ]);
        if last != id() {
            docker(["rmi", String::from_utf8_lossy(&last).trim()]); // built from older sources, and no longer needed
        }
        let output = docker(["run", "--rm", BUILD_STAGE, "cat", "target/static/softstop"]);
        assert!(output.status.success(), "docker run: {}", String::from_utf8_lossy(&output.stderr));
        // Renamed into place: another test may be running the previous one.
        let directory = target_tmpdir();
        let mut file = tempfile::NamedTempFile::new_in(&directory).unwrap();
        file.write_all(&output.stdout).unwrap();
        fs::set_permissions(file.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let binary = directory.join("static-softstop");
        file.persist(&binary).unwrap();
        binary
    })
}

/// A container engine and how its client is called. podman takes the same subcommands as docker.
#[derive(Clone, Debug)]
pub struct Engine {
    /// The client with its global options.
    pub client: Vec<String>,
    /// The options of every new container.
    pub options: Vec<String>,
    /// The network namespace of its published ports, if it is not ours.
    pub network: Option<PathBuf>,
    /// Whether `logs --follow` shows the last lines of a container. podman's may end before them.
    pub follows_to_the_end: bool,
}

/// The Docker engine of this machine.
impl Default for Engine {
    fn default() -> Self {
        Self { client: vec!["docker".to_owned()], options: Vec::new(), network: None, follows_to_the_end: true }
    }
}

impl Engine {
    /// `docker`, without arguments.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.client[0]);
        command.args(&self.client[1..]);
        command
    }

    /// Runs `docker ARGUMENTS..`.
    pub fn run<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Output {
        self.command().args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// The same, but it must succeed. Returns its stdout.
    #[track_caller]
    pub fn says<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> String {
        let arguments: Vec<&str> = arguments.into_iter().collect();
        let output = self.run(arguments.iter().copied());
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Sends `GET PATH` to a published port, and reads the whole response in the background.
    pub fn get(&self, server: SocketAddr, path: &str) -> Response {
        let network = self.network.clone();
        ask(server, path, move || network.as_deref().map_or(Ok(()), enter_network))
    }
}

/// Runs `docker ARGUMENTS..` with the engine of this machine.
pub fn docker<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Output {
    Engine::default().run(arguments)
}

/// The same, but it must succeed. Returns its stdout.
#[track_caller]
pub fn docker_says<'a>(arguments: impl IntoIterator<Item = &'a str>) -> String {
    Engine::default().says(arguments)
}

/// A unique name.
pub(crate) fn new_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("softstop-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The files of an image that begins empty, as with `FROM scratch`.
pub struct Files(tempfile::TempDir);

impl Files {
    /// Only the static softstop, as `/softstop`.
    #[track_caller]
    pub fn with_softstop() -> Self {
        let files = Self::empty();
        fs::copy(static_softstop(), files.at("/softstop")).unwrap();
        files
    }

    /// Only the mount points that an engine needs.
    pub fn empty() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        for directory in ["/tmp", "/proc", "/sys", "/dev"] {
            fs::create_dir(files.at(directory)).unwrap();
        }
        // A --tmpfs inherits the mode of the directory that it hides.
        fs::set_permissions(files.at("/tmp"), PermissionsExt::from_mode(0o1777)).unwrap();
        files
    }

    fn at(&self, path: &str) -> PathBuf {
        let inside = self.0.path().join(path.strip_prefix('/').unwrap());
        fs::create_dir_all(inside.parent().unwrap()).unwrap();
        inside
    }

    /// A file that everybody may read and execute.
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.at(path), content).unwrap();
        fs::set_permissions(self.at(path), PermissionsExt::from_mode(0o755)).unwrap();
        self
    }

    /// A program of this machine at the same path, with the shared libraries that ldd(1) lists.
    #[track_caller]
    pub fn program(self, path: &Path) -> Self {
        let ldd = Command::new("ldd").arg(path).env("LC_ALL", "C").output().unwrap();
        let ldd = String::from_utf8(ldd.stdout).unwrap(); // for a static program ldd fails with "not a dynamic executable"
        let libraries = ldd.split_ascii_whitespace().filter(|word| word.starts_with('/')).map(Path::new);
        for file in libraries.chain([path]) {
            fs::copy(file, self.at(file.to_str().unwrap())).unwrap();
        }
        self
    }

    /// A shell and its tools: busybox.
    pub fn shell(self) -> Self {
        let busybox = in_path("busybox").unwrap();
        let files = self.program(&busybox);
        for applet in ["sh", "sleep", "cat", "kill", "touch", "rm"] {
            let link = files.at(&format!("/bin/{applet}"));
            if link != files.at(busybox.to_str().unwrap()) {
                symlink(&busybox, link).unwrap();
            }
        }
        files
    }

    /// The nginx of this machine, on port 8080, with `/quick` and `/slow`; [`nginx_words`] starts it.
    #[track_caller]
    pub fn nginx(self) -> Self {
        self.program(&in_path("nginx").unwrap())
            .file("/etc/passwd", "root:x:0:0:root:/:/nowhere\n")
            .file("/etc/group", "root:x:0:\n")
            .file("/etc/nginx.conf", NGINX_CONF)
            .file("/srv/quick", "here")
            .file("/srv/slow", slow_body())
    }

    /// Creates the image. `changes` are lines of a Dockerfile: ENTRYPOINT, ENV...
    #[track_caller]
    pub fn image<'a>(&self, changes: impl IntoIterator<Item = &'a str>) -> Image {
        self.image_of(&Engine::default(), changes)
    }

    /// The same with another engine.
    #[track_caller]
    pub fn image_of<'a>(&self, engine: &Engine, changes: impl IntoIterator<Item = &'a str>) -> Image {
        let mut tar = Command::new("tar");
        tar.args(["--create", "--owner=0", "--group=0", "--mode=a+rX", "--directory"]).arg(self.0.path()).arg(".");
        let mut tar = tar.stdout(Stdio::piped()).spawn().unwrap();
        let image = Image { name: new_name(), engine: engine.clone() };
        let mut import = engine.command();
        import.arg("import").args(changes.into_iter().flat_map(|change| ["--change", change])).args(["-", &image.name]);
        let output = import.stdin(tar.stdout.take().unwrap()).output().unwrap();
        drop(import); // it holds the pipe: tar would block for ever if the engine has not read everything
        let is_packed = tar.wait().unwrap().success();
        assert!(output.status.success(), "docker import: {}", String::from_utf8_lossy(&output.stderr));
        assert!(is_packed, "tar");
        image
    }
}

/// The body of the slow response, which takes 15 s. Its bytes depend on their position, so that a gap is noticed.
pub fn slow_body() -> Vec<u8> {
    (0..300_000_u32).map(|index| u8::try_from(index % 251).unwrap()).collect()
}

const NGINX_CONF: &str = "
    daemon off;
    worker_processes 2;
    user root;  # used only if nginx runs as root
    pid /tmp/nginx.pid;
    error_log stderr notice;
    events { worker_connections 64; }
    http {
        access_log off;
        client_body_temp_path /tmp/body;
        proxy_temp_path /tmp/proxy;
        fastcgi_temp_path /tmp/fastcgi;
        uwsgi_temp_path /tmp/uwsgi;
        scgi_temp_path /tmp/scgi;
        server {
            listen 8080;
            root /srv;
            location /slow { limit_rate 20k; }
        }
    }
";

/// The command line of [`Files::nginx`], as words of a JSON array in a Dockerfile.
pub fn nginx_words() -> String {
    let nginx = in_path("nginx").unwrap();
    format!(r#""{}", "-e", "stderr", "-c", "/etc/nginx.conf""#, nginx.display())
}

/// A temporary file with this content.
pub fn file_with(content: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file
}

/// An image of a test. It is removed when this is dropped.
pub struct Image {
    pub name: String,
    engine: Engine,
}

impl Image {
    /// `docker build ARGUMENTS..` in the root of the sources.
    #[track_caller]
    pub fn build<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Self {
        Self::build_in(root(), arguments)
    }

    /// `docker build ARGUMENTS..` in this directory.
    #[track_caller]
    pub fn build_in<'a>(directory: &Path, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        let image = Self { name: new_name(), engine: Engine::default() };
        let mut command = image.engine.command();
        // The classic builder uses the base images of this machine without asking a registry.
        command
            .env("DOCKER_BUILDKIT", "0")
            .args(["build", "--force-rm", "--tag", &image.name])
            .args(arguments)
            .arg(".");
        let output = command.current_dir(directory).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker build: {said}");
        image
    }

    /// A container of it, to be configured and started.
    pub fn container(&self) -> Setup {
        let engine = self.engine.clone();
        Setup { image: self.name.clone(), options: engine.options.clone(), command: Vec::new(), engine }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        self.engine.run(["rmi", "--force", &self.name]);
    }
}

/// The configuration of a container.
pub struct Setup {
    image: String,
    options: Vec<String>,
    command: Vec<String>,
    engine: Engine,
}

impl Setup {
    /// As restricted as the engine allows, apart from the network: a user without a name, a read-only root, no capability, and
    /// no way to gain one. The default seccomp profile of the engine applies too.
    pub fn locked_down(self) -> Self {
        self.options(["--user=65532:65532", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"])
    }

    /// Options of `docker run`.
    pub fn options<'a>(mut self, options: impl IntoIterator<Item = &'a str>) -> Self {
        self.options.extend(options.into_iter().map(str::to_owned));
        self
    }

    /// The words after the ENTRYPOINT.
    pub fn command<'a>(mut self, words: impl IntoIterator<Item = &'a str>) -> Self {
        self.command.extend(words.into_iter().map(str::to_owned));
        self
    }

    fn words<'a>(&'a self, first: &[&'a str], name: &'a str) -> Vec<&'a str> {
        let mut words = first.to_vec();
        words.extend(["--name", name]);
        words.extend(self.options.iter().map(String::as_str));
        words.push(&self.image);
        words.extend(self.command.iter().map(String::as_str));
        words
    }

    #[track_caller]
    pub fn start(self) -> Container {
        self.start_with(&[])
    }

    /// Copies these files of this machine into it before it starts.
    #[track_caller]
    pub fn start_with(self, files: &[(&Path, &str)]) -> Container {
        let name = new_name();
        let engine = self.engine.clone();
        let container = Container { logs: Lines::of(io::empty()), follower: None, name: name.clone(), engine };
        self.engine.says(self.words(&["create"], &name));
        for (from, to) in files {
            self.engine.says(["cp", from.to_str().unwrap(), &format!("{name}:{to}")]);
        }
        self.engine.says(["start", &name]);
        container.followed()
    }

    /// With a terminal whose master side is returned: `logs` has what the container writes, and writing to the file types keys.
    #[track_caller]
    pub fn start_on_a_terminal(self) -> (Container, File) {
        let name = new_name();
        let terminal = nix::pty::openpty(None, None).unwrap();
        let mut command = self.engine.command();
        command.args(self.words(&["run", "--interactive", "--tty"], &name));
        command.stdin(terminal.slave.try_clone().unwrap()).stdout(terminal.slave.try_clone().unwrap());
        let client = command.stderr(terminal.slave).spawn().unwrap();
        drop(command); // it holds the terminal open, and its end must be seen
        let keys = File::from(terminal.master);
        let logs = Lines::of(keys.try_clone().unwrap());
        (Container { name, logs, follower: Some(client), engine: self.engine }, keys)
    }

    /// `docker run -it` on a terminal.
    #[track_caller]
    pub fn run_by_a_person(self) -> (Terminal, Container) {
        let name = new_name();
        let mut command = self.engine.command();
        command.args(self.words(&["run", "--interactive", "--tty"], &name));
        let container = Container { logs: Lines::of(io::empty()), follower: None, name, engine: self.engine };
        (Terminal::start(&mut command), container)
    }
}

/// A container. It is removed when this is dropped.
pub struct Container {
    name: String,
    /// Its stdout and stderr, from `docker logs`.
    pub logs: Lines,
    follower: Option<Child>,
    engine: Engine,
}

impl Container {
    fn followed(mut self) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" 2>&1", "sh"]).args(&self.engine.client).args(["logs", "--follow", &self.name]);
        let mut follower = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        self.logs = Lines::of(follower.stdout.take().unwrap());
        self.follower = Some(follower);
        self
    }

    /// Waits for a line in the log that contains this.
    #[track_caller]
    pub fn logs(&self, part: &str) -> String {
        self.logs.wait_containing(part)
    }

    /// Whether there is such a line already.
    pub fn has_logged(&self, part: &str) -> bool {
        self.logs.all().iter().any(|line| line.contains(part))
    }

    /// `docker stop -t SECONDS`, in the background.
    pub fn stop(&self, seconds: u32) -> JoinHandle<Output> {
        let words = ["stop".to_owned(), "-t".to_owned(), seconds.to_string(), self.name.clone()];
        let engine = self.engine.clone();
        thread::spawn(move || engine.run(words.iter().map(String::as_str)))
    }

    /// `docker kill --signal`, which sends a signal from outside the container.
    #[track_caller]
    pub fn signal(&self, signal: &str) {
        self.engine.says(["kill", "--signal", signal, &self.name]);
    }

    #[track_caller]
    pub fn pause(&self) {
        self.engine.says(["pause", &self.name]);
    }

    #[track_caller]
    pub fn unpause(&self) {
        self.engine.says(["unpause", &self.name]);
    }

    /// `docker exec`. Returns its stdout.
    #[track_caller]
    pub fn exec(&self, words: &[&str]) -> String {
        self.engine.says(["exec", &self.name].iter().chain(words).copied())
    }

    /// The same, but it may fail because it ends the container.
    pub fn exec_to_the_end(&self, words: &[&str]) {
        self.engine.run(["exec", &self.name].iter().chain(words).copied());
    }

    /// The value of `docker inspect` for this key.
    #[track_caller]
    pub fn inspect(&self, key: &str) -> String {
        self.engine.says(["inspect", "--format", &format!("{{{{{key}}}}}"), &self.name])
    }

    /// The address of the published port on this machine.
    #[track_caller]
    pub fn address(&self) -> SocketAddr {
        self.engine.says(["port", &self.name]).rsplit_once(' ').unwrap().1.parse().unwrap()
    }

    /// The number of zombies in the container.
    pub fn zombies(&self) -> usize {
        // A process may end between the listing and the reading.
        let stats = self.exec(&["sh", "-c", "cat /proc/[0-9]*/stat 2>/dev/null; true"]);
        stats.lines().filter(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))).count()
    }

    /// Waits until it has ended. Returns the exit code and the whole log.
    #[track_caller]
    pub fn wait(mut self) -> (i32, String) {
        let said = format!("{} ends", self.name);
        eventually(&said, || (self.inspect(".State.Running") == "false").then_some(()));
        // `docker logs` ends after the container, but the engine may be slow.
        let follower = self.follower.as_mut().unwrap();
        eventually("the log's end", || follower.try_wait().unwrap());
        let log = if self.engine.follows_to_the_end {
            self.logs.to_the_end()
        } else {
            let logs = self.engine.run(["logs", &self.name]);
            String::from_utf8_lossy(&logs.stdout).into_owned() + &String::from_utf8_lossy(&logs.stderr)
        };
        (self.inspect(".State.ExitCode").parse().unwrap(), log)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.engine.run(["rm", "--force", "--volumes", &self.name]);
        if let Some(follower) = &mut self.follower {
            let _ = follower.kill();
            let _ = follower.wait();
        }
    }
}

/// A request whose response is read in the background.
pub struct Response {
    reader: JoinHandle<io::Result<Vec<u8>>>,
    so_far: Arc<AtomicUsize>,
}

/// Sends `GET PATH` to a server, and reads the whole response in the background.
pub fn get(server: SocketAddr, path: &str) -> Response {
    ask(server, path, || Ok(()))
}

fn ask(server: SocketAddr, path: &str, before: impl FnOnce() -> io::Result<()> + Send + 'static) -> Response {
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    let so_far = Arc::new(AtomicUsize::new(0));
    let count = so_far.clone();
    let reader = thread::spawn(move || {
        before()?;
        let mut stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(DEAD_MAN))?;
        stream.write_all(request.as_bytes())?;
        let mut response = Vec::new();
        let mut buffer = [0; 16 * 1024];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return Ok(response),
                Ok(length) => response.extend_from_slice(&buffer[..length]),
                // A reset ends the response; the part before it counts.
                Err(_) if !response.is_empty() => return Ok(response),
                Err(error) => return Err(error),
            }
            count.store(response.len(), Ordering::Relaxed);
        }
    });
    Response { reader, so_far }
}

impl Response {
    /// Waits until the response has begun.
    #[track_caller]
    pub fn begins(self) -> Self {
        eventually("the first bytes of a response", || {
            (self.so_far.load(Ordering::Relaxed) > 0 || self.reader.is_finished()).then_some(())
        });
        self
    }

    /// Whether it is still being read.
    pub fn is_in_flight(&self) -> bool {
        !self.reader.is_finished()
    }

    /// The body, once it has ended. `Err` says how much is missing, or why there is none.
    pub fn body(self) -> Result<Vec<u8>, String> {
        let response = self.reader.join().unwrap().map_err(|error| error.to_string())?;
        let end = response.windows(4).position(|four| four == b"\r\n\r\n").ok_or("the head was cut off")?;
        let head = String::from_utf8_lossy(&response[..end]).to_ascii_lowercase();
        if !head.starts_with("http/1.1 200 ") {
            return Err(head);
        }
        let promised = head.lines().find_map(|line| line.strip_prefix("content-length: ")).ok_or("no length")?;
        let promised: usize = promised.parse().map_err(|_| "no number")?;
        let body = response[end + 4..].to_vec();
        if body.len() == promised { Ok(body) } else { Err(format!("cut off after {} of {promised} bytes", body.len())) }
    }
}

/// [`have`] for everything that [`Files::shell`] needs.
#[track_caller]
pub fn have_shell() -> bool {
    have_engine() && have_program("busybox")
}

/// [`have`] for the base images of `Dockerfile.example`.
#[track_caller]
pub fn have_base_images() -> bool {
    have_engine()
        && ["debian:trixie-slim", "nginx:1.26"].iter().all(|image| {
            let there = docker(["image", "inspect", image]).status.success();
            have(&format!("the base image {image} (`tests/base-images` creates it)"), there)
        })
}
