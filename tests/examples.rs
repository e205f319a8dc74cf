//! The files in `examples/` work: with each TOML file its real server is stopped, and the Kubernetes and Compose files
//! have the settings that softstop needs.
//!
//! An example may tell users to add lines to the configuration of the server. The servers here get exactly these lines.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test panics when it fails; unlike the init it may read the clock and wait for its children"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::http::*;
use common::nginx::Nginx;
use common::*;
use libc::SIGTERM;
use tempfile::TempDir;

/// Shorter than the pre-delay of the files, to save time.
const PRE_DELAY: Duration = Duration::from_secs(3);

const TOML_EXAMPLES: [&str; 6] = ["gunicorn", "haproxy", "httpd", "nginx", "node", "php-fpm"];

fn example(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(file);
    assert!(path.is_file(), "{} is missing", path.display());
    path.to_str().unwrap().to_owned()
}

/// The lines that an example tells users to add to the configuration of the server.
fn advice(name: &str) -> String {
    let text = fs::read_to_string(example(&format!("{name}.toml"))).unwrap();
    let lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("#     ")).collect();
    assert!(!lines.is_empty(), "{name}.toml does not say what the server itself needs");
    lines.join("\n")
}

/// A server that has been configured and not started.
struct Server {
    /// The name of its example.
    name: &'static str,
    command: Vec<String>,
    port: u16,
    access: Access,
    gate: Gate,
    directory: TempDir,
}

/// How the server is asked for a slow response.
enum Access {
    /// By HTTP, for a file that is too big for the kernel's buffers.
    BigFile,
    /// By HTTP, for a response that ends when the gate is open.
    App,
    /// The same, through cgi-fcgi.
    FastCgi { slow: PathBuf, fresh: PathBuf },
}

enum InFlight {
    Http(Download),
    FastCgi(Child, BufReader<ChildStdout>),
}

impl Server {
    /// A server without a configuration, with a directory that every user can read, since some servers change their
    /// user.
    fn new(name: &'static str, access: Access) -> Self {
        let directory = TempDir::new().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let gate = Gate::within(directory.path());
        Self { name, command: Vec::new(), port: free_port(), access, gate, directory }
    }

    fn runs(mut self, words: &[&str]) -> Self {
        self.command = words.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Writes a file into its directory. Returns the path.
    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.directory.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn home(&self) -> &str {
        self.directory.path().to_str().unwrap()
    }

    fn under_softstop(&self) -> Softstop {
        let words = ["--config", &example(&format!("{}.toml", self.name)), "--pre-delay", "3s", "--"].map(String::from);
        softstop(words.into_iter().chain(self.command.clone())).pid_one()
    }

    fn alone(&self) -> Softstop {
        program(&self.command[0], &self.command[1..]).pid_one()
    }

    /// Sends a request that is answered at once.
    fn fresh(&self) -> Result<Vec<u8>, Lost> {
        match &self.access {
            Access::BigFile | Access::App => get(self.port, "/"),
            Access::FastCgi { fresh, .. } => self.fast_cgi(fresh)?.finish(),
        }
    }

    /// Requests a slow response, and returns when it has begun.
    fn slow(&self) -> InFlight {
        match &self.access {
            Access::BigFile => InFlight::Http(Download::start(self.port, "/big").unwrap()),
            Access::App => InFlight::Http(Download::start(self.port, "/slow").unwrap()),
            Access::FastCgi { slow, .. } => self.fast_cgi(slow).unwrap(),
        }
    }

    /// The body of a slow response.
    fn whole(&self) -> &'static [u8] {
        match self.access {
            Access::BigFile => big(),
            Access::App | Access::FastCgi { .. } => b"begun\ndone\n",
        }
    }

    /// Sends a request through cgi-fcgi, and returns when the head of the response has arrived.
    fn fast_cgi(&self, script: &Path) -> Result<InFlight, Lost> {
        let mut command = Command::new("cgi-fcgi");
        command.args(["-bind", "-connect", &format!("127.0.0.1:{}", self.port)]);
        command.env_clear().env("REQUEST_METHOD", "GET").env("SCRIPT_FILENAME", script);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        loop {
            let mut line = String::new();
            match stdout.read_line(&mut line).unwrap() {
                0 => break,
                _ if line.trim_end().is_empty() => return Ok(InFlight::FastCgi(child, stdout)),
                _ => {}
            }
        }
        child.wait().unwrap();
        Err(Lost::Refused)
    }
}

impl InFlight {
    /// Reads the rest. A response through cgi-fcgi has no length; its last line shows that it is complete.
    fn finish(self) -> Result<Vec<u8>, Lost> {
        match self {
            Self::Http(download) => download.finish(),
            Self::FastCgi(mut child, mut stdout) => {
                let mut body = Vec::new();
                stdout.read_to_end(&mut body).unwrap();
                child.wait().unwrap();
                if body.ends_with(b"done\n") {
                    Ok(body)
                } else {
                    Err(Lost::Cut { got: body.len(), wanted: b"begun\ndone\n".len() })
                }
            }
        }
    }
}

fn nginx() -> Option<Server> {
    if !have_program("nginx") {
        return None;
    }
    let nginx = Nginx::with(&advice("nginx"));
    let (command, port) = (nginx.command().to_vec(), nginx.port);
    let directory = nginx.into_directory();
    let gate = Gate::within(directory.path());
    Some(Server { name: "nginx", command, port, access: Access::BigFile, gate, directory })
}

fn httpd() -> Option<Server> {
    if !have_program("apache2") || !have("root, as which Apache httpd changes its user,", is_root()) {
        return None;
    }
    let server = Server::new("httpd", Access::BigFile);
    let (home, port) = (server.home(), server.port);
    server.file("index.html", "hello\n");
    server.file("big", big());
    let modules: String = ["mpm_event", "authz_core", "dir"]
        .map(|module| format!("LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so\n"))
        .concat();
    let advice = advice("httpd");
    let configuration = format!(
        r"
        {modules}
        {advice}
        ServerName localhost
        Listen 127.0.0.1:{port}
        User www-data
        Group www-data
        DefaultRuntimeDir {home}
        PidFile {home}/httpd.pid
        ErrorLog {home}/error.log
        DocumentRoot {home}
        DirectoryIndex index.html
        <Directory {home}>
            Require all granted
        </Directory>
        "
    );
    let file = server.file("httpd.conf", configuration);
    Some(server.runs(&["apache2", "-f", &file, "-DFOREGROUND"]))
}

/// HAProxy with an application in the test process as its backend.
fn haproxy() -> Option<Server> {
    if !have_program("haproxy") {
        return None;
    }
    let server = Server::new("haproxy", Access::App);
    let (port, backend) = (server.port, backend(&server.gate));
    let advice = advice("haproxy");
    let configuration = format!(
        r"
global
    {advice}
defaults
    mode http
    timeout connect 20s
    timeout client 60s
    timeout server 60s
frontend front
    bind 127.0.0.1:{port}
    default_backend back
backend back
    server app 127.0.0.1:{backend}
"
    );
    let file = server.file("haproxy.cfg", configuration);
    // A master and a worker in the foreground, as in the official image.
    Some(server.runs(&["haproxy", "-W", "-db", "-f", &file]))
}

/// Starts an HTTP application in threads of the test. Returns its port.
fn backend(gate: &Gate) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let gate = gate.clone();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let gate = gate.clone();
            thread::spawn(move || answer(connection.unwrap(), &gate));
        }
    });
    port
}

fn answer(mut connection: TcpStream, gate: &Gate) -> Option<()> {
    let mut lines = BufReader::new(connection.try_clone().ok()?).lines();
    let request = lines.next()?.ok()?;
    while !lines.next()?.ok()?.is_empty() {}
    let head = |length| format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    if request.starts_with("GET /slow ") {
        connection.write_all((head(11) + "begun\n").as_bytes()).ok()?;
        eventually("the gate is open", || gate.is_open().then_some(()));
        connection.write_all(b"done\n").ok()
    } else {
        connection.write_all((head(6) + "hello\n").as_bytes()).ok()
    }
}

/// Debian's php-fpm has its version in its name.
fn php_fpm_program() -> Option<String> {
    let entries = fs::read_dir("/usr/sbin").ok()?.flatten();
    entries.map(|entry| entry.path().to_str().unwrap().to_owned()).find(|path| path.contains("/php-fpm"))
}

fn php_fpm(settings: &str) -> Option<Server> {
    let program = php_fpm_program();
    if !have("php-fpm", program.is_some()) || !have_program("cgi-fcgi") {
        return None;
    }
    let mut server = Server::new("php-fpm", Access::App);
    let (home, port) = (server.home(), server.port);
    let file = server.file(
        "php-fpm.conf",
        format!(
            "[global]\n{settings}\nerror_log = {home}/error.log\n\
             [www]\nuser = root\ngroup = root\nlisten = 127.0.0.1:{port}\npm = static\npm.max_children = 4\n"
        ),
    );
    let fresh = server.file("fresh.php", "hello and done\n");
    let slow = format!(
        "begun\n<?php flush(); while (!file_exists('{}')) {{ clearstatcache(); usleep(10000); }} ?>done\n",
        server.gate.path()
    );
    let slow = server.file("slow.php", slow);
    server.access = Access::FastCgi { slow: slow.into(), fresh: fresh.into() };
    // Without php.ini, in the foreground, and as root, as in a container.
    Some(server.runs(&[&program.unwrap(), "-n", "-F", "-R", "-y", &file]))
}

fn gunicorn() -> Option<Server> {
    if !have_program("gunicorn") {
        return None;
    }
    let server = Server::new("gunicorn", Access::App);
    let (home, port, gate) = (server.home(), server.port, server.gate.path());
    let advice = advice("gunicorn");
    let file = server.file(
        "gunicorn.conf.py",
        format!("{advice}\nbind = '127.0.0.1:{port}'\nworker_class = 'gthread'\nthreads = 4\nchdir = '{home}'\n"),
    );
    server.file(
        "app.py",
        format!(
            r#"
import os, time

def application(environ, start_response):
    slow = environ["PATH_INFO"] == "/slow"
    start_response("200 OK", [("Content-Length", "11" if slow else "6")])
    return slowly() if slow else [b"hello\n"]

def slowly():
    yield b"begun\n"
    while not os.path.exists("{gate}"):
        time.sleep(0.01)
    yield b"done\n"
"#
        ),
    );
    Some(server.runs(&["gunicorn", "--config", &file, "app:application"]))
}

fn node() -> Option<Server> {
    if !have_program("node") {
        return None;
    }
    let server = Server::new("node", Access::App);
    let (port, gate) = (server.port, server.gate.path());
    let advice = advice("node");
    let file = server.file(
        "server.js",
        format!(
            r#"
const fs = require("fs");
const http = require("http");

const server = http.createServer((request, response) => {{
    const slow = request.url === "/slow";
    response.writeHead(200, {{ "Content-Length": slow ? 11 : 6 }});
    if (!slow) return response.end("hello\n");
    response.write("begun\n");
    const look = () => fs.existsSync("{gate}") ? response.end("done\n") : setTimeout(look, 10);
    look();
}});
server.listen({port}, "127.0.0.1");
{advice}
"#
        ),
    );
    Some(server.runs(&["node", &file]))
}

/// The promise of each example: new requests are answered during the whole pre-delay, and responses in flight are
/// complete.
#[track_caller]
fn stops_softly(server: Option<Server>, stop_signal: &str) {
    let Some(server) = server else { return };
    let mut run = server.under_softstop().start();
    is_up(|| server.fresh());
    let slow = server.slow();

    let stop = Instant::now();
    run.signal(SIGTERM).logs("keeps serving for 3s");
    let fresh = thread::scope(|scope| {
        // In a thread, since PHP-FPM does not refuse a request that comes too late: it hangs until PHP-FPM has exited.
        let fresh = scope.spawn(|| served_since(stop, || server.fresh()));
        run.logs(&format!("drain: sent {stop_signal} to"));
        assert_eq!(run.ended(), None, "softstop exited while a response was in flight");
        server.gate.open();
        assert!(slow.finish().unwrap() == server.whole(), "a response has the right length and the wrong content");
        fresh.join().unwrap()
    });
    assert!(fresh.lasted >= PRE_DELAY && fresh.answers >= 10, "{fresh:?}");
    run.wait().code(0).logged("stopped in ").logged("exited with code 0");
}

/// The negative control for a server whose SIGTERM means a fast stop.
#[track_caller]
fn is_cut_without_softstop(server: Option<Server>) {
    let Some(server) = server else { return };
    let run = server.alone().start();
    is_up(|| server.fresh());
    let slow = server.slow();
    run.signal(SIGTERM);
    run.wait();
    assert!(matches!(slow.finish(), Err(Lost::Cut { .. })), "SIGTERM to {} let a response finish", server.name);
}

/// The negative control for a server whose SIGTERM is graceful: it refuses new requests at once, while balancers still
/// send.
#[track_caller]
fn refuses_at_once_without_softstop(server: Option<Server>) {
    let Some(server) = server else { return };
    let run = server.alone().start();
    is_up(|| server.fresh());
    let slow = server.slow();
    let stop = Instant::now();
    run.signal(SIGTERM);
    let fresh = served_since(stop, || server.fresh());
    assert!(fresh.lasted < PRE_DELAY, "{fresh:?}");
    server.gate.open();
    assert_eq!(slow.finish().unwrap(), server.whole());
    run.wait().code(0);
}

#[test]
fn with_nginx_toml_nginx_stops_softly() {
    stops_softly(nginx(), "SIGQUIT");
}

#[test]
fn without_softstop_sigterm_cuts_the_responses_of_nginx() {
    is_cut_without_softstop(nginx());
}

#[test]
fn with_httpd_toml_httpd_stops_softly() {
    stops_softly(httpd(), "SIGWINCH");
}

#[test]
fn without_softstop_sigterm_cuts_the_responses_of_httpd() {
    is_cut_without_softstop(httpd());
}

#[test]
fn with_haproxy_toml_haproxy_stops_softly() {
    stops_softly(haproxy(), "SIGUSR1");
}

#[test]
fn without_softstop_sigterm_cuts_the_responses_of_haproxy() {
    is_cut_without_softstop(haproxy());
}

#[test]
fn with_php_fpm_toml_php_fpm_stops_softly() {
    stops_softly(php_fpm(&advice("php-fpm")), "SIGQUIT");
}

#[test]
fn without_softstop_sigterm_cuts_the_responses_of_php_fpm() {
    is_cut_without_softstop(php_fpm(&advice("php-fpm")));
}

/// The reason why php-fpm.toml asks for it.
#[test]
fn without_process_control_timeout_php_fpm_cuts_responses_even_under_softstop() {
    let Some(server) = php_fpm("") else { return };
    let run = server.under_softstop().start();
    is_up(|| server.fresh());
    let slow = server.slow();
    run.signal(SIGTERM);
    run.wait().code(0).logged("drain after SIGQUIT");
    assert!(matches!(slow.finish(), Err(Lost::Cut { .. })));
}

#[test]
fn with_gunicorn_toml_gunicorn_stops_softly() {
    stops_softly(gunicorn(), "SIGTERM");
}

#[test]
fn without_softstop_gunicorn_refuses_new_requests_at_once() {
    refuses_at_once_without_softstop(gunicorn());
}

#[test]
fn with_node_toml_node_stops_softly() {
    stops_softly(node(), "SIGTERM");
}

#[test]
fn without_softstop_node_refuses_new_requests_at_once() {
    refuses_at_once_without_softstop(node());
}

/// One row of `--explain`: the value and its source.
fn row(explanation: &str, name: &str) -> (String, String) {
    let line = explanation.lines().find(|line| line.split_whitespace().next() == Some(name));
    let mut words = line.unwrap_or_else(|| panic!("no {name} in {explanation}")).split_whitespace().skip(1);
    (words.next().unwrap().to_owned(), words.collect::<Vec<_>>().join(" "))
}

#[test]
fn every_toml_example_is_valid_and_tested() {
    let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter_map(|name| Some(name.strip_suffix(".toml")?.to_owned())).collect();
    names.sort();
    assert_eq!(names, TOML_EXAMPLES);

    for name in TOML_EXAMPLES {
        let file = example(&format!("{name}.toml"));
        let outcome = softstop(["--config", &file, "--explain", "--", name]).run();
        outcome.code(0);
        let (pre_delay, source) = row(&outcome.stdout, "pre_delay");
        assert!(pre_delay == "2s..10s" && source.starts_with(&file), "{name}: {pre_delay} from {source}");
        assert_eq!(row(&outcome.stdout, "profile").0, name);
        // The values that the comments in the file mention.
        assert_eq!(row(&outcome.stdout, "quiet").0, "2s", "{name}");
        assert_eq!(row(&outcome.stdout, "drain_timeout"), ("19s".into(), "the rest of grace_period".into()), "{name}");
        assert!(!outcome.stdout.contains("warning"), "{}", outcome.stdout);
    }
}

#[test]
fn a_flag_overrides_the_example_and_explain_says_so() {
    for name in TOML_EXAMPLES {
        let file = example(&format!("{name}.toml"));
        let outcome = softstop(["--config", &file, "--pre-delay", "3s", "--explain", "--", name]).run();
        assert_eq!(row(&outcome.stdout, "pre_delay"), ("3s".into(), "--pre-delay".into()), "{name}");
    }
}

/// The values of a YAML file by path (`a.b.0.c`), as Python reads it. `None` if its yaml module is missing.
fn yaml(text: &str) -> Option<BTreeMap<String, String>> {
    const FLATTEN: &str = r#"
import sys, yaml
def flatten(name, value):
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            flatten(f"{name}.{key}" if name else str(key), inner)
    else:
        print(f"{name}={value}")
flatten("", yaml.safe_load(sys.stdin))
"#;
    let can_read = Command::new("python3").args(["-c", "import yaml"]).stderr(Stdio::null()).status();
    if !have("python3 with its yaml module", can_read.is_ok_and(|status| status.success())) {
        return None;
    }
    let mut python = Command::new("python3");
    let mut python = python.args(["-c", FLATTEN]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "that is no YAML: {text}");
    let lines = String::from_utf8(output.stdout).unwrap();
    Some(lines.lines().map(|line| line.split_once('=').unwrap()).map(|(k, v)| (k.into(), v.into())).collect())
}

/// The output of `--explain` for nginx with these variables.
fn explain_with(environment: &[(&str, &str)]) -> String {
    let asked = softstop(["--explain", "--", "nginx", "-g", "daemon off;"]);
    let outcome = environment.iter().fold(asked, |asked, (name, value)| asked.env(name, value)).run();
    outcome.code(0);
    assert!(!outcome.stdout.contains("warning"), "{}", outcome.stdout);
    outcome.stdout
}

#[test]
fn the_kubernetes_example_needs_no_hook_and_its_grace_periods_agree() {
    let text = fs::read_to_string(example("kubernetes.yaml")).unwrap();
    let Some(deployment) = yaml(&text) else { return };
    assert!(!deployment.keys().any(|key| key.contains("lifecycle") || key.contains("preStop")), "{deployment:?}");
    assert_eq!(deployment["kind"], "Deployment");
    // Kubernetes refuses a Deployment whose labels differ.
    assert_eq!(deployment["spec.selector.matchLabels.app"], deployment["spec.template.metadata.labels.app"]);

    let pod = |key: &str| deployment[&format!("spec.template.spec.{key}")].clone();
    assert!(
        !deployment.keys().any(|key| key.contains("containers.0.command")),
        "a command would replace the ENTRYPOINT"
    );
    assert_eq!(pod("containers.0.env.0.name"), "SOFTSTOP_GRACE_PERIOD");
    let grace = pod("containers.0.env.0.value");
    assert_eq!(grace, format!("{}s", pod("terminationGracePeriodSeconds")));
    assert_eq!(pod("containers.0.readinessProbe.httpGet.port"), pod("containers.0.ports.0.name"));

    // The values that its comments mention.
    let explanation = explain_with(&[("SOFTSTOP_GRACE_PERIOD", &grace)]);
    assert_eq!(row(&explanation, "pre_delay"), ("2s..15s".into(), "profile nginx, half of the grace period".into()));
    assert_eq!(row(&explanation, "quiet"), ("2s".into(), "default".into()));
    assert_eq!(row(&explanation, "drain_timeout"), ("14s".into(), "the rest of grace_period".into()));
}

#[test]
fn the_compose_examples_grace_periods_agree() {
    let file = example("compose.yaml");
    let compose = ["docker-compose", "docker compose"].map(|name| name.split(' ').collect::<Vec<_>>());
    let configured = compose.iter().find_map(|words| {
        let output = Command::new(words[0]).args(&words[1..]).args(["-f", &file, "config"]).output().ok()?;
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    });
    if !have("docker-compose", configured.is_some()) {
        return;
    }
    let Some(compose) = yaml(&configured.unwrap()) else { return };
    let web = |key: &str| compose[&format!("services.web.{key}")].clone();
    assert_eq!(web("stop_grace_period"), web("environment.SOFTSTOP_GRACE_PERIOD"));
    assert!(!compose.keys().any(|key| key.ends_with("entrypoint") || key.ends_with("init")), "{compose:?}");

    let (grace, pre_delay) = (web("environment.SOFTSTOP_GRACE_PERIOD"), web("environment.SOFTSTOP_PRE_DELAY"));
    let explanation = explain_with(&[("SOFTSTOP_GRACE_PERIOD", &grace), ("SOFTSTOP_PRE_DELAY", &pre_delay)]);
    assert_eq!(row(&explanation, "drain_timeout"), ("29s".into(), "the rest of grace_period".into()));
}
