//! Real containers, `FROM scratch` and locked down, that `docker stop` stops.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test panics when it fails, and may block"
)]

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use common::docker::*;
use common::*;

/// An image with softstop, nginx with its libraries, the files that it serves, and nothing else.
fn nginx_image(entrypoint: &str) -> Image {
    Files::with_softstop().nginx().image([entrypoint])
}

/// Runs `docker stop` while slow responses are in flight, and sends requests as long as the pre-delay lasts. All
/// responses must be complete.
fn nothing_is_lost_by_docker_stop(container: Container) {
    let server = container.address();
    eventually("nginx answers", || get(server, "/quick").body().ok());
    let in_flight: Vec<Response> = (0..4).map(|_| get(server, "/slow").begins()).collect();

    let stop = container.stop(60);
    container.logs("pre-delay: ");
    let mut answered = 0;
    loop {
        let body = get(server, "/quick").body();
        let asked = Instant::now();
        // A request may fail because nginx has just closed its listener, before the engine delivers the log line that
        // says so. Four seconds are enough for that, and less than any pre-delay here, in which no request may fail.
        while body.is_err() && !container.has_logged("drain: sent ") && asked.elapsed() < Duration::from_secs(4) {
            thread::sleep(Duration::from_millis(20));
        }
        if container.has_logged("drain: sent ") {
            break;
        }
        assert_eq!(body.as_deref(), Ok(b"here".as_slice()), "request {answered} during the pre-delay");
        answered += 1;
        thread::sleep(Duration::from_millis(50));
    }
    assert!(answered > 0);

    container.logs("gracefully shutting down");
    assert!(in_flight.iter().all(Response::is_in_flight), "no response was in flight when the drain began");
    for response in in_flight {
        assert!(response.body().unwrap() == slow_body());
    }
    assert!(stop.join().unwrap().status.success());
    let (code, log) = container.wait();
    assert_eq!(code, 0, "{log}");
    for part in ["stop requested: SIG", " from outside the container", "drain after SIGQUIT", "exited with code 0"] {
        assert!(log.contains(part), "no {part:?} in {log}");
    }
    assert!(!log.contains("SIGKILL"), "{log}");
}

#[test]
fn docker_stop_of_a_locked_down_nginx_from_scratch_loses_nothing() {
    if !(have_engine() && have_program("nginx")) {
        return;
    }
    let entrypoint =
        format!(r#"ENTRYPOINT ["/softstop", "--pre-delay", "7s", "--grace-period", "60s", {}]"#, nginx_words());
    let image = nginx_image(&entrypoint);
    let container =
        image.container().locked_down().options(["--tmpfs=/tmp", "--publish=127.0.0.1::8080", "--stop-signal=SIGTERM"]);
    nothing_is_lost_by_docker_stop(container.start());
}

#[test]
fn docker_stop_of_nginx_as_root_with_the_engines_defaults_loses_nothing() {
    if !(have_engine() && have_program("nginx")) {
        return;
    }
    let entrypoint = format!(r#"ENTRYPOINT ["/softstop", {}]"#, nginx_words());
    let image = nginx_image(&entrypoint);
    let container = image.container().options(["--publish=127.0.0.1::8080", "--env=SOFTSTOP_PRE_DELAY=7s"]);
    nothing_is_lost_by_docker_stop(container.start());
}

#[test]
fn without_softstop_docker_stop_cuts_the_responses_of_the_same_nginx() {
    if !(have_engine() && have_program("nginx")) {
        return;
    }
    let image = nginx_image(&format!("ENTRYPOINT [{}]", nginx_words()));
    let container = image
        .container()
        .locked_down()
        .options(["--tmpfs=/tmp", "--publish=127.0.0.1::8080", "--stop-signal=SIGTERM"])
        .start();
    let server = container.address();
    eventually("nginx answers", || get(server, "/quick").body().ok());
    let in_flight: Vec<Response> = (0..4).map(|_| get(server, "/slow").begins()).collect();
    let stop = container.stop(60);
    for response in in_flight {
        let end = response.body().unwrap_err();
        assert!(end.starts_with("cut off after "), "{end}");
    }
    assert!(stop.join().unwrap().status.success());
}

/// An image with a shell, and softstop as its ENTRYPOINT.
fn shell_image() -> Image {
    Files::with_softstop().shell().image([r#"ENTRYPOINT ["/softstop"]"#])
}

/// A locked-down container that runs a script, without a network and with /tmp only.
fn script(image: &Image, options: &[&str], script: &str) -> Setup {
    let container = image.container().locked_down().options(["--network=none", "--tmpfs=/tmp"]);
    container.command(options.iter().copied().chain(["sh", "-c", script]))
}

#[test]
fn on_docker_stop_a_script_cleans_up_and_its_exit_code_is_the_containers() {
    if !have_shell() {
        return;
    }
    let image = shell_image();
    let container = script(
        &image,
        &[],
        "touch /tmp/lock; trap 'rm /tmp/lock; echo cleaned up; exit 7' TERM; echo ready; while :; do /bin/sleep 1000 & wait $!; done",
    )
    .start();
    container.logs("ready");
    assert!(container.stop(60).join().unwrap().status.success());
    let (code, log) = container.wait();
    assert_eq!(code, 7, "{log}");
    for part in ["cleaned up", "stop requested: SIGTERM from outside the container", "sh exited with code 7"] {
        assert!(log.contains(part), "no {part:?} in {log}");
    }
}

#[test]
fn processes_that_ignore_sigterm_are_killed_at_the_drain_timeout_and_not_by_the_engine() {
    if !have_shell() {
        return;
    }
    let image = shell_image();
    let container =
        script(&image, &["--drain-timeout=1s"], "trap '' TERM; /bin/sleep 1000 & echo ready; while :; do wait; done")
            .start();
    container.logs("ready");
    let asked = Instant::now();
    assert!(container.stop(600).join().unwrap().status.success());
    assert!(asked.elapsed() < Duration::from_secs(300), "the timeout of the engine ended the container");
    let (code, log) = container.wait();
    assert_eq!(code, 137, "{log}");
    // After a SIGKILL from the engine these lines would be missing.
    for part in [
        "drain timeout: still running after 1s",
        "killed pid ",
        "(sleep)",
        "SIGKILL to 2 processes, sh was killed by SIGKILL",
    ] {
        assert!(log.contains(part), "no {part:?} in {log}");
    }
}

/// Leaves twenty orphans to PID 1 and then executes `sleep`: a shell as PID 1 would reap them. They exit when
/// `/tmp/end` exists.
const TWENTY_ORPHANS: &str = "
    i=0
    while [ $i -lt 20 ]; do
        (while [ ! -e /tmp/end ]; do /bin/sleep 0.2; done &)
        i=$((i+1))
    done
    exec /bin/sleep 1000
";

fn end_the_orphans(container: &Container) {
    let words = "for comm in /proc/[0-9]*/comm; do cat $comm 2>/dev/null; done; echo of PID 1: $(cat /proc/1/comm)";
    eventually("the shell has executed sleep", || {
        let names = container.exec(&["sh", "-c", words]);
        let is_done = names.ends_with("PID 1: sleep") || names.ends_with("PID 1: softstop");
        let orphans = names.lines().filter(|name| *name == "sh" || *name == "exe").count();
        (is_done && orphans >= 20).then_some(())
    });
    container.exec(&["touch", "/tmp/end"]);
}

#[test]
fn orphans_are_reaped() {
    if !have_shell() {
        return;
    }
    let image = shell_image();
    let container = script(&image, &["--warn-on-reap"], TWENTY_ORPHANS).start();
    end_the_orphans(&container);
    eventually("twenty orphans are reaped", || {
        let reaped = container.logs.all().iter().filter(|line| line.contains("reaped orphan")).count();
        (reaped == 20).then_some(())
    });
    assert_eq!(container.zombies(), 0);
}

#[test]
fn without_softstop_orphans_stay_zombies() {
    if !have_shell() {
        return;
    }
    let image = Files::with_softstop().shell().image([]);
    let container = script(&image, &[], TWENTY_ORPHANS).start();
    end_the_orphans(&container);
    eventually("twenty zombies", || (container.zombies() == 20).then_some(()));
}

#[test]
fn the_log_tells_a_stop_request_by_docker_exec_from_one_by_the_engine() {
    if !have_shell() {
        return;
    }
    let image = shell_image();
    let container = script(&image, &[], "echo ready; exec /bin/sleep 1000").start();
    container.logs("ready");
    container.exec_to_the_end(&["sh", "-c", "kill -TERM 1"]);
    let (code, log) = container.wait();
    assert_eq!(code, 143, "{log}");
    assert!(log.contains("stop requested: SIGTERM from pid "), "{log}");
}

#[test]
fn the_containers_log_says_why_a_program_cannot_be_started() {
    if !have_engine() {
        return;
    }
    let files = Files::with_softstop().file("/script", "#!/bin/no-shell\n").file("/text", "no program\n");
    // The 19th byte of an ELF file is its machine (`e_machine`). No machine has this number.
    let mut other = std::fs::read(static_softstop()).unwrap();
    other[18] = 0xEE;
    let files = files.file("/of-another-machine", other);
    let image = files.image([r#"ENTRYPOINT ["/softstop"]"#]);
    for (words, code, sentence) in [
        (&["no-such-program"][..], 127, "`no-such-program` was not found"),
        (&["/script"], 127, "`/script` exists, but its interpreter does not"),
        (&["/text"], 126, "`/text` cannot be run: it is neither a program for this machine"),
        (
            &["/of-another-machine"],
            126,
            "`/of-another-machine` cannot be run: it is neither a program for this machine",
        ),
        (&["/tmp"], 126, "`/tmp` cannot be run"),
        (&["--pre-dealy=5s", "/text"], 2, "--pre-delay"),
        (&[], 2, "softstop: error: "),
    ] {
        let container = image.container().locked_down().options(["--network=none"]).command(words.iter().copied());
        let (ended, log) = container.start().wait();
        assert_eq!(ended, code, "{words:?}: {log}");
        assert!(log.contains(sentence), "{words:?}: no {sentence:?} in {log}");
        assert_eq!(log.lines().count(), 1, "{words:?}: {log}");
    }
}

#[test]
fn a_script_without_a_shebang_is_run_by_the_shell_as_execvp_does() {
    if !have_shell() {
        return;
    }
    // musl's execvp(3) does not do this.
    let files = Files::with_softstop().shell().file("/bin/script", "echo \"$0: $2, $1\"\nexit 9\n");
    let image = files.image([r#"ENTRYPOINT ["/softstop"]"#]);
    for name in ["/bin/script", "script"] {
        let (ended, log) = image.container().locked_down().command([name, "one", "two words"]).start().wait();
        assert_eq!((ended, log.trim_end()), (9, "/bin/script: two words, one"));
    }
}

#[test]
fn with_a_pids_limit_of_one_softstop_says_that_it_cannot_start_a_process() {
    if !have_shell() {
        return;
    }
    let image = shell_image();
    let container = script(&image, &[], "echo here").options(["--pids-limit=1"]).start();
    let (code, log) = container.wait();
    assert_eq!(code, 125, "{log}");
    assert!(log.contains("cannot create a process for `sh`"), "{log}");
    // The control: with room for one more process the script runs.
    let container = script(&image, &[], "echo here").options(["--pids-limit=2"]).start();
    let (code, log) = container.wait();
    assert_eq!((code, log.as_str()), (0, "here\n"));
}

/// A seccomp profile that refuses system calls which old kernels lack and tight profiles forbid.
fn tight_profile() -> tempfile::NamedTempFile {
    file_with(
        r#"{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{
            "names": ["pidfd_open", "pidfd_send_signal", "pidfd_getfd", "close_range", "prctl"],
            "action": "SCMP_ACT_ERRNO" }] }"#,
    )
}

#[test]
fn a_stop_works_under_a_seccomp_profile_without_pidfds_close_range_and_prctl() {
    if !have_shell() {
        return;
    }
    let image = shell_image();
    let profile = tight_profile();
    let seccomp = format!("--security-opt=seccomp={}", profile.path().display());
    // The main child exits on SIGTERM. It leaves one process that exits on SIGTERM, and one that ignores it.
    let container = script(
        &image,
        &["--wait-for=all", "--drain-timeout=3s", "--warn-on-reap"],
        "(trap '' TERM; exec /bin/sleep 1000) & sh -c 'trap \"echo the other goes; exit\" TERM; echo ready; /bin/sleep 1000 & wait' & wait",
    )
    .options([seccomp.as_str()])
    .start();
    container.logs("ready");
    assert!(container.stop(60).join().unwrap().status.success());
    let (code, log) = container.wait();
    assert_eq!(code, 143, "{log}");
    for part in ["the other goes", "stopping the processes that it left", "(sleep)", "sh was killed by SIGTERM"] {
        assert!(log.contains(part), "no {part:?} in {log}");
    }
}

#[test]
fn without_prctl_softstop_warns_that_it_is_no_subreaper_and_works() {
    if !have_shell() {
        return;
    }
    let image = Files::with_softstop().shell().image([]);
    let profile = tight_profile();
    let seccomp = format!("--security-opt=seccomp={}", profile.path().display());
    // softstop is the child of a shell, which is PID 1 and forwards no signal.
    let words = "/softstop -- sh -c 'trap \"exit 7\" TERM; echo ready; /bin/sleep 1000 & wait'; echo code $?";
    let container = script(&image, &[], words).options([seccomp.as_str()]).start();
    container.logs("ready");
    container.logs("warning: cannot become a subreaper");
    container.exec_to_the_end(&[
        "sh",
        "-c",
        "for p in /proc/[0-9]*; do case $(cat $p/comm) in softstop) kill -TERM ${p#/proc/};; esac; done",
    ]);
    let (_, log) = container.wait();
    assert!(log.contains("code 7\n"), "{log}");
}

#[test]
fn ctrl_c_on_the_containers_terminal_reaches_the_program() {
    if !have_shell() {
        return;
    }
    let image = shell_image();
    let words = "trap 'echo got SIGINT; exit 9' INT; echo ready; while :; do /bin/sleep 1000 & wait $!; done";
    let (container, mut keys) = script(&image, &[], words).start_on_a_terminal();
    container.logs("ready");
    keys.write_all(b"\x03").unwrap();
    container.logs("got SIGINT");
    assert_eq!(container.wait().0, 9);
    // A program without a handler is killed by SIGINT.
    let (container, mut keys) = script(&image, &[], "echo ready; exec /bin/sleep 1000").start_on_a_terminal();
    container.logs("ready");
    keys.write_all(b"\x03").unwrap();
    assert_eq!(container.wait().0, 130);
}

#[test]
fn without_softstop_ctrl_c_does_not_end_a_program_that_is_pid_1() {
    if !have_shell() {
        return;
    }
    let image = Files::with_softstop().shell().image([]);
    let (container, mut keys) = script(&image, &[], "echo ready; exec /bin/sleep 1000").start_on_a_terminal();
    container.logs("ready");
    keys.write_all(b"\x03\n").unwrap();
    container.logs("^C"); // the terminal's echo: it has sent SIGINT
    assert_eq!(container.inspect(".State.Running"), "true");
    assert!(container.exec(&["cat", "/proc/1/comm"]).contains("sleep"));
}

#[test]
fn docker_pause_counts_as_pre_delay_and_leaves_the_drain_whole() {
    if !have_shell() {
        return;
    }
    let pre_delay = Duration::from_secs(5);
    let image = shell_image();
    let container = script(
        &image,
        &["--pre-delay=5s", "--drain-timeout=60s"],
        "trap 'echo still here' HUP; trap 'echo stopping; exit 7' TERM; echo ready; while :; do /bin/sleep 1000 & wait $!; done",
    )
    .start();
    container.logs("ready");
    container.signal("TERM");
    container.logs("pre-delay: ");
    let began = Instant::now();
    container.pause();
    assert!(!container.has_logged("drain:"), "the pre-delay ended before the pause");
    // Only time can show that the clock of the pre-delay runs on in a paused container.
    thread::sleep((pre_delay * 2).saturating_sub(began.elapsed()));
    assert!(!container.has_logged("drain:"), "the container was not paused");
    container.unpause();
    let unpaused = Instant::now();
    let drain = container.logs("drain: sent SIGTERM");
    assert!(unpaused.elapsed() < pre_delay, "the pre-delay began again after the pause");
    assert!(drain.contains("waiting up to 1m for its exit"), "{drain}");
    let (code, log) = container.wait();
    assert_eq!(code, 7, "{log}");
}

#[test]
fn docker_stop_of_the_image_of_dockerfile_example_loses_nothing() {
    if !have_base_images() {
        return;
    }
    static_softstop(); // builds the first stage under a tag, which a later build replaces
    let image = Image::build(["--file", "Dockerfile.example"]);
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    // The slow response takes 21 s. The pre-delay takes up to 15 s, half of the grace period.
    let site = b"server { listen 80; root /usr/share/nginx/html; location /slow { limit_rate 14k; } }";
    let container = image.container().options(["--publish=127.0.0.1::80"]).start_with(&[
        (&file("site", site), "/etc/nginx/conf.d/default.conf"),
        (&file("slow", &slow_body()), "/usr/share/nginx/html/slow"),
        (&file("quick", b"here"), "/usr/share/nginx/html/quick"),
    ]);
    nothing_is_lost_by_docker_stop(container);
    drop(image);
}
