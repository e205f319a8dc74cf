//! softstop in the place of another init, as users put it there: copied over the init of an image, and as the init of
//! Docker and podman.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test panics when it fails, and may block"
)]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::docker::*;
use common::engine::*;
use common::*;

/// A copy of a program under another name, in a directory of its own.
struct Renamed {
    directory: tempfile::TempDir,
    path: PathBuf,
}

impl Renamed {
    #[track_caller]
    fn softstop(name: &str) -> Self {
        Self::copy(static_softstop(), name)
    }

    #[track_caller]
    fn copy(program: &Path, name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        fs::copy(program, &path).unwrap();
        Self { directory, path }
    }

    fn text(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

/// Runs the engine's `stop` while two responses are in flight. Returns the responses, the container's exit code, and
/// its log.
#[track_caller]
fn stopped_in_flight(
    engine: &Engine,
    server: SocketAddr,
    container: Container,
) -> (Vec<Result<Vec<u8>, String>>, i32, String) {
    eventually("nginx answers", || engine.get(server, "/quick").body().ok());
    let in_flight = [(); 2].map(|()| engine.get(server, "/slow").begins());
    let stopped = container.stop(60).join().unwrap();
    assert!(stopped.status.success(), "{}", String::from_utf8_lossy(&stopped.stderr));
    let bodies = in_flight.map(Response::body).into();
    let (code, log) = container.wait();
    (bodies, code, log)
}

/// With the soft stop every response is complete, and the log tells of the stop.
#[track_caller]
fn all_whole(engine: &Engine, server: SocketAddr, container: Container) {
    let (bodies, code, log) = stopped_in_flight(engine, server, container);
    assert!(bodies.iter().all(|body| body.as_ref().is_ok_and(|body| *body == slow_body())), "{log}");
    assert_eq!(code, 0, "{log}");
    for part in ["stop requested: SIGTERM", "pre-delay", "drain after SIGQUIT", "exited with code 0"] {
        assert!(log.contains(part), "no {part:?} in {log}");
    }
}

/// Without it SIGTERM is passed on, nginx drops every response, and the log says nothing.
#[track_caller]
fn all_cut_off(engine: &Engine, server: SocketAddr, container: Container) {
    let (bodies, code, log) = stopped_in_flight(engine, server, container);
    for body in bodies {
        let end = body.unwrap_err();
        assert!(end.starts_with("cut off after "), "{end}: {log}");
    }
    assert_eq!(code, 0, "{log}");
    assert!(!log.contains("stop requested"), "{log}");
}

const PROFILE: &str = "--env=SOFTSTOP_PROFILE=nginx";

/// An image with nginx and no init.
fn nginx_of(engine: &Engine) -> Image {
    Files::empty().nginx().image_of(engine, [format!("CMD [{}]", nginx_words()).as_str()])
}

/// An image with a shell and no init.
fn shell_of(engine: &Engine) -> Image {
    Files::empty().shell().image_of(engine, [])
}

/// A script that exits with 5 on SIGTERM. It has no stderr: if the whole group gets the signal, as under dumb-init, the
/// shell would report there that `sleep` was terminated.
const ENDS_ON_SIGTERM: &str =
    "exec 2>/dev/null; trap 'echo got SIGTERM; exit 5' TERM; echo ready; while :; do /bin/sleep 1000 & wait $!; done";

/// The duties of an init: exit codes, signals, orphans. `run` makes a container that runs these words.
#[track_caller]
fn is_an_init(run: impl Fn(&[&str]) -> Setup) {
    let (code, log) = run(&["sh", "-c", "echo here; exit 7"]).start().wait();
    assert_eq!((code, log.as_str()), (7, "here\n"));
    // The exit code after a signal.
    let (code, log) = run(&["sh", "-c", "kill -KILL $$"]).start().wait();
    assert_eq!((code, log.as_str()), (137, ""));

    let container = run(&["sh", "-c", ENDS_ON_SIGTERM]).start();
    container.logs("ready");
    assert!(container.stop(600).join().unwrap().status.success());
    let (code, log) = container.wait();
    assert_eq!((code, log.as_str()), (5, "ready\ngot SIGTERM\n"), "only the script may write to the log");

    let container = run(&["sh", "-c", ORPHANS]).start();
    end_the_orphans(&container);
    eventually("the orphans are reaped", || (container.zombies() == 0).then_some(()));
}

/// Leaves five orphans to PID 1, which exit when `/tmp/end` exists.
const ORPHANS: &str = "
    i=0
    while [ $i -lt 5 ]; do
        ( (while [ ! -e /tmp/end ]; do /bin/sleep 0.1; done; echo gone) & )
        i=$((i+1))
    done
    exec /bin/sleep 1000
";

/// Lets the orphans exit once the shell has executed `sleep`: a shell as PID 1 would reap them.
#[track_caller]
fn end_the_orphans(container: &Container) {
    eventually("the shell has executed sleep", || (container.exec(&["cat", "/proc/1/comm"]) != "sh").then_some(()));
    container.exec(&["touch", "/tmp/end"]);
    container.logs.wait_times("gone", 5);
}

// Copied over the init of an image.

/// Builds this Dockerfile in a directory that also holds softstop.
#[track_caller]
fn built(dockerfile: &str) -> Image {
    let context = Renamed::softstop("softstop");
    fs::write(context.directory.path().join("Dockerfile"), dockerfile).unwrap();
    Image::build_in(context.directory.path(), [])
}

#[test]
fn copied_over_tini_dumb_init_or_catatonit_softstop_does_their_work() {
    if !have_base_images() {
        return;
    }
    for (path, not_found, words) in [
        ("/sbin/tini", 127, "exec no-such-program failed: No such file or directory"),
        ("/usr/bin/dumb-init", 2, "[dumb-init] no-such-program: No such file or directory"),
        ("/usr/bin/catatonit", 1, "failed to exec pid1: No such file or directory"),
    ] {
        let image = built(&format!(
            "FROM debian:trixie-slim\nCOPY softstop {path}\nENTRYPOINT [\"{path}\", \"--\"]\nCMD [\"bash\"]\n"
        ));
        let run = |words: &[&str]| image.container().options(["--network=none"]).command(words.iter().copied());
        is_an_init(run);
        // The exit code and the message of the other init.
        let (code, log) = run(&["no-such-program"]).start().wait();
        assert_eq!(code, not_found, "{path}: {log}");
        assert!(log.contains(words), "{path}: {log}");
    }
}

#[test]
fn copied_over_tini_in_an_nginx_image_a_profile_turns_the_soft_stop_on() {
    if !have_base_images() {
        return;
    }
    let image = built(
        r#"FROM nginx:1.26
        COPY softstop /sbin/tini
        ENTRYPOINT ["/sbin/tini", "--", "/docker-entrypoint.sh"]
        CMD ["nginx", "-g", "daemon off;"]"#,
    );
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let site = file("site", b"server { listen 80; root /usr/share/nginx/html; location /slow { limit_rate 20k; } }");
    let (slow, quick) = (file("slow", &slow_body()), file("quick", b"here"));
    // The image's STOPSIGNAL is SIGQUIT, nginx's graceful signal. SIGTERM is what Kubernetes and a plain engine send.
    let start = |options: &[&str]| {
        let container = image.container().options(["--publish=127.0.0.1::80", "--stop-signal=SIGTERM"]);
        let container = container.options(options.iter().copied()).start_with(&[
            (&site, "/etc/nginx/conf.d/default.conf"),
            (&slow, "/usr/share/nginx/html/slow"),
            (&quick, "/usr/share/nginx/html/quick"),
        ]);
        (container.address(), container)
    };
    let engine = Engine::default();
    let (server, container) = start(&[]);
    all_cut_off(&engine, server, container);
    let (server, container) = start(&[PROFILE]);
    all_whole(&engine, server, container);
}

// As the init of Docker.

/// The value of this name in `docker info`.
#[track_caller]
fn info(docker: &Dockerd, name: &str) -> String {
    let all = docker.engine.says(["info"]);
    let value = all.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {name} in {all}")).trim().to_owned()
}

/// The warnings of the daemon about the version of this init.
fn warnings(docker: &Dockerd, init: &Path) -> Vec<String> {
    let init = init.to_str().unwrap();
    docker.log().into_iter().filter(|line| line.contains("warning") && line.contains(init)).collect()
}

#[test]
fn docker_info_shows_softstop_and_its_version_and_the_daemon_does_not_warn() {
    if !have_dockerd() {
        return;
    }
    for name in ["docker-init", "softstop"] {
        let init = Renamed::softstop(name);
        let docker = Dockerd::start(&init.path, true);
        assert_eq!(info(&docker, "Init Binary"), init.text());
        let version = Command::new(&init.path).arg("--version").output().unwrap();
        let version = String::from_utf8(version.stdout).unwrap();
        let commit = version.trim().rsplit_once(" - git.").unwrap().1;
        assert_eq!(info(&docker, "init version"), commit);
        assert_eq!(warnings(&docker, &init.path), [""; 0]);
    }
}

#[test]
fn the_daemon_warns_of_a_program_that_is_no_init() {
    if !have_dockerd() {
        return;
    }
    let init = in_path("true").unwrap();
    let docker = Dockerd::start(&init, true);
    assert_eq!(info(&docker, "Init Binary"), init.to_str().unwrap());
    eventually("a warning", || (!warnings(&docker, &init).is_empty()).then_some(()));
}

#[test]
fn docker_run_init_works_for_a_script() {
    if !(have_dockerd() && have_shell()) {
        return;
    }
    for (name, is_default) in [("docker-init", true), ("softstop", false)] {
        let init = Renamed::softstop(name);
        let docker = Dockerd::start(&init.path, is_default);
        let image = shell_of(&docker.engine);
        let options: &[&str] = if is_default { &["--network=none"] } else { &["--network=none", "--init"] };
        let run = |words: &[&str]| image.container().options(options.iter().copied()).command(words.iter().copied());
        let (_, log) = run(&["cat", "/proc/1/cmdline"]).start().wait();
        assert_eq!(log.trim(), "/sbin/docker-init\0--\0cat\0/proc/1/cmdline\0");
        is_an_init(run);
        let (code, log) = run(&["no-such-program"]).start().wait();
        assert_eq!(code, 127, "{log}");
        assert!(log.contains("exec no-such-program failed: No such file or directory"), "{log}");
    }
}

#[test]
fn without_an_init_a_script_ignores_sigterm_and_its_orphans_stay_zombies() {
    if !(have_dockerd() && have_shell()) {
        return;
    }
    let init = Renamed::softstop("docker-init");
    let docker = Dockerd::start(&init.path, true);
    let image = shell_of(&docker.engine);
    let run = |words: &[&str]| {
        image.container().options(["--network=none", "--init=false"]).command(words.iter().copied()).start()
    };
    let container = run(&["sh", "-c", ORPHANS]);
    end_the_orphans(&container);
    eventually("five zombies", || (container.zombies() == 5).then_some(()));
    // A PID 1 without a handler ignores SIGTERM, so that only the engine's SIGKILL ends it.
    assert!(container.stop(1).join().unwrap().status.success());
    assert_eq!(container.wait().0, 137);
}

#[test]
fn docker_run_init_of_nginx_with_a_profile_loses_nothing() {
    if !(have_dockerd() && have_program("nginx")) {
        return;
    }
    let init = Renamed::softstop("docker-init");
    let docker = Dockerd::start(&init.path, true);
    let image = nginx_of(&docker.engine);
    let start = |options: &[&str]| {
        let container =
            image.container().options(["--publish=127.0.0.1::8080"]).options(options.iter().copied()).start();
        (container.address(), container)
    };
    let (server, container) = start(&[]);
    all_cut_off(&docker.engine, server, container);
    let (server, container) = start(&[PROFILE]);
    all_whole(&docker.engine, server, container);
}

/// A shell at the prompt of `docker run -it`: keys go to the foreground job, and jobs can be stopped and continued.
#[track_caller]
fn is_a_shell_with_job_control(container: Setup) {
    let (mut terminal, container) = container.options(["--env=PS1=prompt> "]).command(["sh"]).run_by_a_person();
    let run = |line: &str| {
        terminal.types(&format!("{line}\r"));
        terminal.shows("\r\n");
    };
    terminal.shows("prompt> ");
    run("sh -c 'echo ready; exec sleep 1000'");
    terminal.shows("ready");
    terminal.types("\x03");
    terminal.shows("prompt> ");
    run("echo code $?");
    terminal.shows("code 130");
    terminal.shows("prompt> ");

    run("sh -c 'echo ready; exec sleep 1000'");
    terminal.shows("ready");
    terminal.types("\x1a");
    terminal.shows("Stopped");
    terminal.shows("prompt> ");
    run("jobs");
    terminal.shows("Stopped");
    terminal.shows("prompt> ");
    run("fg");
    terminal.shows("sleep 1000");
    // The shell prints this before it gives the job the terminal.
    eventually("the job is in the foreground", || {
        let stats = container.exec(&["sh", "-c", "cat /proc/[0-9]*/stat"]);
        let sleep = stats.lines().find(|line| line.contains(" (sleep) "))?;
        let fields: Vec<&str> = sleep.rsplit_once(") ")?.1.split(' ').collect();
        let (group, foreground) = (fields[2], fields[5]);
        (group == foreground).then_some(())
    });
    terminal.types("\x03");
    terminal.shows("prompt> ");
    run("echo code $?");
    terminal.shows("code 130");
    terminal.shows("prompt> ");
    run("exit 7");
    assert_eq!(terminal.ends(), 7);
    let text = terminal.text();
    assert!(!text.contains("job control"), "{text}");
    drop(container);
}

#[test]
fn an_interactive_shell_under_docker_run_init_has_job_control() {
    if !(have_dockerd() && have_shell()) {
        return;
    }
    let init = Renamed::softstop("docker-init");
    let docker = Dockerd::start(&init.path, true);
    let image = shell_of(&docker.engine);
    is_a_shell_with_job_control(image.container().options(["--network=none"]));
    // A program without signal handlers ends on Ctrl-C too.
    let container = image.container().options(["--network=none"]);
    let (mut terminal, _container) = container.command(["sh", "-c", "echo ready; exec sleep 1000"]).run_by_a_person();
    terminal.shows("ready");
    terminal.types("\x03");
    assert_eq!(terminal.ends(), 130);
}

// With Compose.

/// Whether Docker, docker-compose and nginx are installed, by the rules of [`have`].
#[track_caller]
fn have_compose() -> bool {
    have_dockerd() && have_program("docker-compose") && have_program("nginx")
}

/// A Compose project in a directory of its own.
struct Project<'a> {
    directory: tempfile::TempDir,
    docker: &'a Dockerd,
}

impl<'a> Project<'a> {
    fn new(docker: &'a Dockerd, file: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("compose.yaml"), file).unwrap();
        Self { directory, docker }
    }

    /// Runs `docker-compose ARGUMENTS..`. Returns its output.
    #[track_caller]
    fn says(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("docker-compose");
        command.args(["--project-name", "shop", "--file", "compose.yaml"]).args(arguments);
        command.current_dir(self.directory.path()).env("DOCKER_HOST", self.docker.host()).stdin(Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn address(&self, service: &str) -> SocketAddr {
        self.says(&["port", service, "8080"]).parse().unwrap()
    }
}

#[test]
fn compose_with_init_true_and_a_profile_has_the_soft_stop() {
    if !have_compose() {
        return;
    }
    let init = Renamed::softstop("docker-init");
    // Not the engine's default init for all containers: the Compose file asks for it.
    let docker = Dockerd::start(&init.path, false);
    let image = nginx_of(&docker.engine);
    let name = &image.name;
    let file = format!(
        r#"
version: "3.7"
services:
  soft:
    image: {name}
    init: true
    environment:
      SOFTSTOP_PROFILE: nginx
    ports: ["127.0.0.1::8080"]
    stop_grace_period: 60s
  plain:
    image: {name}
    init: true
    ports: ["127.0.0.1::8080"]
    stop_signal: SIGQUIT
    stop_grace_period: 60s
  hard:
    image: {name}
    init: true
    ports: ["127.0.0.1::8080"]
    stop_grace_period: 60s
  none:
    image: {name}
"#
    );
    let project = Project::new(&docker, &file);
    project.says(&["up", "-d"]);
    let in_flight = ["soft", "plain", "hard"].map(|service| {
        let server = project.address(service);
        eventually("nginx answers", || docker.engine.get(server, "/quick").body().ok());
        docker.engine.get(server, "/slow").begins()
    });
    let pid_one = |service: &str| {
        let id = project.says(&["ps", "-q", service]);
        docker.engine.says(["top", &id, "-o", "pid,args"])
    };
    assert!(pid_one("soft").contains("/sbin/docker-init -- "), "{}", pid_one("soft"));
    assert!(!pid_one("none").contains("docker-init"), "{}", pid_one("none"));

    project.says(&["stop"]);
    let [soft, plain, hard] = in_flight.map(Response::body);
    assert!(soft.unwrap() == slow_body());
    // SIGQUIT from stop_signal is passed on, and is graceful for nginx.
    assert!(plain.unwrap() == slow_body());
    assert!(hard.unwrap_err().starts_with("cut off after "));
    let log = project.says(&["logs", "--no-color", "soft"]);
    for part in ["stop requested: SIGTERM", "pre-delay", "drain after SIGQUIT"] {
        assert!(log.contains(part), "no {part:?} in {log}");
    }
    for service in ["plain", "hard"] {
        let log = project.says(&["logs", "--no-color", service]);
        assert!(!log.contains("stop requested"), "{log}");
    }
    project.says(&["down"]);
}

// As the init of podman.

/// The line of `containers.conf` that names this program as the init.
fn init_path(init: &Path) -> String {
    format!("init_path = \"{}\"", init.display())
}

#[test]
fn podman_run_init_works_for_a_script() {
    if !(have_podman() && have_shell()) {
        return;
    }
    let init = Renamed::softstop("softstop");
    let flag = format!("--init-path={}", init.text());
    for (line, options) in [(String::new(), vec!["--init", &flag]), (init_path(&init.path), vec!["--init"])] {
        let podman = Podman::start(&line, "");
        let image = shell_of(&podman.engine);
        let run = |words: &[&str]| {
            let container = image.container().options(["--network=none"]).options(options.iter().copied());
            container.command(words.iter().copied())
        };
        let (_, log) = run(&["cat", "/proc/1/cmdline"]).start().wait();
        assert_eq!(log.trim(), "/run/podman-init\0--\0cat\0/proc/1/cmdline\0");
        is_an_init(run);
        let (code, log) = run(&["no-such-program"]).start().wait();
        assert_eq!(code, 1, "the exit code is not catatonit's: {log}");
        assert!(log.contains("failed to exec pid1: No such file or directory"), "{log}");
        is_a_shell_with_job_control(run(&[]));
    }
}

#[test]
fn podman_run_init_of_nginx_with_a_profile_loses_nothing() {
    if !(have_podman() && have_program("nginx")) {
        return;
    }
    let init = Renamed::softstop("softstop");
    let podman = Podman::start(&init_path(&init.path), "");
    let image = nginx_of(&podman.engine);
    // A network of podman's own would need another package.
    let start = |options: &[&str]| {
        image.container().options(["--init", "--network=host"]).options(options.iter().copied()).start()
    };
    let server = SocketAddr::from(([127, 0, 0, 1], 8080));
    all_cut_off(&podman.engine, server, start(&[]));
    all_whole(&podman.engine, server, start(&[PROFILE]));
}

/// A podman that runs this program in the infra container of a pod. podman 4 looks for a helper called `catatonit`,
/// podman 5 takes the init of containers.
fn podman_with_pause(program: &Renamed) -> Podman {
    let helpers = program.directory.path().display();
    let usual = ["/usr/local/libexec/podman", "/usr/libexec/podman", "/usr/local/lib/podman", "/usr/lib/podman"];
    let engine = format!("helper_binaries_dir = [\"{helpers}\", \"{}\"]", usual.join("\", \""));
    Podman::start(&init_path(&program.path), &engine)
}

/// Starts a pod without a network whose containers share these namespaces. Returns the infra container.
#[track_caller]
fn pod(podman: &Podman, share: &str) -> String {
    let create = ["pod", "create", "--name=pod", "--network=none", "--share", share];
    podman.engine.says(create.into_iter().chain(podman.engine.options.iter().map(String::as_str)));
    podman.engine.says(["pod", "start", "pod"]);
    podman.engine.says(["pod", "inspect", "--format", "{{.InfraContainerID}}", "pod"])
}

#[track_caller]
fn is_paused_by(podman: &Podman, infra: &str, init: &Renamed) {
    assert_eq!(inspect(podman, infra, ".Path"), "/catatonit");
    assert_eq!(inspect(podman, infra, ".Args"), "[-P]");
    assert!(podman.program(&inspect(podman, infra, ".State.Pid")) == fs::read(&init.path).unwrap());
}

fn inspect(podman: &Podman, container: &str, key: &str) -> String {
    podman.engine.says(["inspect", "--format", &format!("{{{{{key}}}}}"), container])
}

#[test]
fn a_pod_whose_infra_container_runs_softstop_stops_at_once() {
    if !(have_podman() && have_shell()) {
        return;
    }
    let init = Renamed::softstop("catatonit");
    let podman = podman_with_pause(&init);
    let image = shell_of(&podman.engine);
    let infra = pod(&podman, "ipc,net,uts");
    is_paused_by(&podman, &infra, &init);

    let app = image.container().options(["--pod=pod"]).command(["sh", "-c", ENDS_ON_SIGTERM]).start();
    app.logs("ready");
    // The engine would send SIGKILL only after ten minutes.
    podman.engine.says(["pod", "stop", "--time=600", "pod"]);
    assert_eq!(app.wait().0, 5);
    assert_eq!(inspect(&podman, &infra, ".State.ExitCode"), "0");

    // It exits on SIGINT too, by which podman ends the service containers of `podman kube play`.
    podman.engine.says(["pod", "start", "pod"]);
    podman.engine.says(["kill", "--signal=INT", &infra]);
    eventually("the infra container exits", || (inspect(&podman, &infra, ".State.Running") == "false").then_some(()));
    assert_eq!(inspect(&podman, &infra, ".State.ExitCode"), "0");
    podman.engine.says(["pod", "rm", "--force", "pod"]);
}

#[test]
fn in_a_pod_with_a_shared_pid_namespace_the_infra_container_reaps_orphans() {
    if !(have_podman() && have_shell()) {
        return;
    }
    let init = Renamed::softstop("catatonit");
    let podman = podman_with_pause(&init);
    let image = shell_of(&podman.engine);
    let infra = pod(&podman, "pid");
    is_paused_by(&podman, &infra, &init);
    let app = image.container().options(["--pod=pod"]).command(["sh", "-c", ORPHANS]).start();
    assert_eq!(app.exec(&["cat", "/proc/1/comm"]), "catatonit");
    app.exec(&["touch", "/tmp/end"]);
    app.logs.wait_times("gone", 5);
    eventually("the orphans are reaped", || (app.zombies() == 0).then_some(()));
    podman.engine.says(["stop", "--time=600", &infra]);
    assert_eq!(inspect(&podman, &infra, ".State.ExitCode"), "0");
}

#[test]
fn an_init_without_a_pause_option_cannot_run_an_infra_container() {
    if !(have_podman() && have_program("tini-static")) {
        return;
    }
    let init = Renamed::copy(&in_path("tini-static").unwrap(), "catatonit");
    let podman = podman_with_pause(&init);
    let infra = pod(&podman, "ipc,net,uts");
    eventually("the infra container has exited", || {
        (inspect(&podman, &infra, ".State.Running") == "false").then_some(())
    });
    assert_eq!(inspect(&podman, &infra, ".State.ExitCode"), "1");
}
