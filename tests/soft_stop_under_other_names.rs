//! Under another init's name there is no soft stop until a setting asks for one, and `SOFTSTOP_DISABLED` turns it off
//! again.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics when it fails")]

use common::namespace::have_network;
use common::*;

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use tempfile::TempDir;

/// A directory with a child that is called nginx and exits with 15 on SIGTERM and with 3 on SIGQUIT.
struct FakeNginx(TempDir);

impl FakeNginx {
    fn new() -> Self {
        let fake = Self(tempfile::tempdir().unwrap());
        symlink(recorder(), fake.at("nginx")).unwrap();
        fake
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn called(&self, name: &str) -> Softstop {
        let nginx = self.at("nginx");
        let words = [nginx.to_str().unwrap(), "--exit-on", "15=15", "--exit-on", "3=3"];
        program(called(name), words).pid_one()
    }
}

/// Stops it with SIGTERM.
fn stopped(run: Softstop) -> Outcome {
    let run = run.start();
    run.says("ready");
    run.signal(libc::SIGTERM);
    run.wait()
}

#[test]
fn under_another_inits_name_a_known_server_gets_no_soft_stop() {
    let fake = FakeNginx::new();
    for name in OTHER_NAMES {
        let outcome = stopped(fake.called(name));
        outcome.code(15);
        assert_eq!(outcome.stderr, "", "{name}");
    }
    // The control: under its own name softstop recognises nginx.
    stopped(fake.called("softstop").env("SOFTSTOP_PRE_DELAY", "0s")).code(3).logged("stop requested: SIGTERM");
}

#[test]
fn a_softstop_variable_turns_the_soft_stop_on() {
    let fake = FakeNginx::new();
    for name in OTHER_NAMES {
        let outcome = stopped(fake.called(name).env("SOFTSTOP_PRE_DELAY", "10ms"));
        outcome.code(3).logged("stop requested: SIGTERM").logged("drain: sent SIGQUIT");
    }
    // Any setting does, even one that says nothing about the stop itself.
    stopped(fake.called("tini").env("SOFTSTOP_WAIT_FOR", "main")).code(3).logged("pre-delay: nginx");
}

#[test]
fn log_lines_have_the_prefix_of_the_other_init() {
    let fake = FakeNginx::new();
    let prefixes = [
        ("docker-init", "[INFO  tini (1)] stop requested: SIGTERM"),
        ("dumb-init", "[dumb-init] stop requested: SIGTERM"),
        ("podman-init", "INFO (catatonit:1): stop requested: SIGTERM"),
    ];
    for (name, line) in prefixes {
        stopped(fake.called(name).env("SOFTSTOP_PRE_DELAY", "0s")).code(3).logged(line);
    }
}

/// A script that exits on SIGTERM, or when it reads a line, and tells its server nothing. On SIGTERM the server does not exit.
fn exits_without_its_server() -> String {
    format!("trap 'exit 6' TERM; {} & read line; exit 7", server_until(&["40=0"]))
}

#[test]
fn in_a_stop_dumb_init_does_not_signal_the_group_again_when_the_main_child_exits() {
    if !have_network() {
        return;
    }
    let run = program(called("dumb-init"), ["sh", "-c", &exits_without_its_server()]).pid_one();
    let (stdin, _keyboard) = pipe();
    let run = run.env("SOFTSTOP_PRE_DELAY", "0s").stdin(stdin).start();
    run.says("ready");
    let server = run.descendant("recorder");
    run.signal(libc::SIGTERM);
    run.says("got 15");
    run.logs("sh (pid 2) exited with code 6");
    send(server, 40);
    let got = run.wait().code(6).got();
    assert_eq!(got.into_iter().filter(|&signal| signal != libc::SIGCONT).collect::<Vec<_>>(), [libc::SIGTERM, 40]);
}

/// The control: outside a stop it does, with the soft stop or without.
#[test]
fn outside_a_stop_dumb_init_signals_the_group_when_the_main_child_exits() {
    if !have_network() {
        return;
    }
    for variable in ["SOFTSTOP_PRE_DELAY", "UNRELATED"] {
        let (stdin, mut keyboard) = pipe();
        let run = program(called("dumb-init"), ["sh", "-c", &exits_without_its_server()]);
        // Not as PID 1: the server must outlive softstop for long enough to say what it got.
        let run = run.env(variable, "0s").stdin(stdin).start();
        run.says("ready");
        let server = Stray(run.descendant("recorder"));
        keyboard.write_all(b"go\n").unwrap();
        run.says("got 15");
        assert!(server.is_alive());
    }
}

#[test]
fn a_configuration_file_turns_the_soft_stop_on_even_an_empty_one() {
    let fake = FakeNginx::new();
    let file = fake.at("softstop.toml");
    if !have("root (a mount)", is_root()) {
        return;
    }
    let put = format!(
        "mount --bind --make-private / / && mount -t tmpfs none /etc && cp {} /etc && exec \"$@\"",
        file.display()
    );
    let with_file = |name: &str, content: &str| {
        std::fs::write(&file, content).unwrap();
        stopped(fake.called(name).through(["unshare", "--mount", "sh", "-c", &put, "sh"]))
    };
    for name in OTHER_NAMES {
        with_file(name, "pre_delay = '10ms'").code(3).logged("drain: sent SIGQUIT");
    }
    with_file("tini", "").code(3).logged("pre-delay: nginx");
}

#[test]
fn variables_that_are_not_settings_do_not_turn_the_soft_stop_on() {
    let fake = FakeNginx::new();
    let others = [
        ("SOFTSTOP_DISABLED", "0"),
        ("SOFTSTOP_VERSION", "1.0"),
        ("SOFTSTOP_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("SOFTSTOP_PROFILE", ""),
    ];
    for (variable, value) in others {
        let outcome = stopped(fake.called("tini").env(variable, value));
        assert_eq!((outcome.code, outcome.stderr.as_str()), (15, ""), "{variable}");
    }
}

#[test]
fn softstop_disabled_makes_it_a_plain_init_under_every_name() {
    let fake = FakeNginx::new();
    std::fs::write(fake.at("broken.toml"), "pre_delay = [").unwrap();
    for name in OTHER_NAMES.into_iter().chain(["softstop"]) {
        let run = fake.called(name).env("SOFTSTOP_DISABLED", "1");
        let run = run.env("SOFTSTOP_PROFILE", "nginx").env("SOFTSTOP_PRE_DELAY", "3").env("SOFTSTOP_NONSENSE", "1");
        let outcome = stopped(run.env("SOFTSTOP_CONFIG", fake.at("broken.toml")));
        assert_eq!((outcome.code, outcome.stderr.as_str()), (15, ""), "{name}");
    }
}

#[test]
fn softstop_disabled_turns_off_the_flags_of_a_soft_stop_and_no_others() {
    let fake = FakeNginx::new();
    let flags = [
        "--pre-delay",
        "1m",
        "--profile",
        "nginx",
        "--wait-for",
        "all",
        "--grace-period",
        "2m",
        "--rewrite",
        "HUP:TERM",
        "-e",
        "15",
    ];
    let nginx = fake.at("nginx");
    let words = flags.into_iter().chain([nginx.to_str().unwrap(), "--exit-on", "15=15"]);
    let run = softstop(words).pid_one().env("SOFTSTOP_DISABLED", "true").start();
    run.says("ready");
    run.signal(libc::SIGHUP);
    run.wait().code(0);

    let explained = softstop(["--explain", "--pre-delay", "1m", "nginx"]).env("SOFTSTOP_DISABLED", "1").run();
    let row = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let rows: Vec<String> = explained.stdout.lines().map(row).collect();
    for expected in ["profile none SOFTSTOP_DISABLED", "stop_on none SOFTSTOP_DISABLED", "pre_delay 0s default"] {
        assert!(rows.iter().any(|row| row == expected), "{expected}: {rows:?}");
    }
}

#[test]
fn a_wrong_value_or_spelling_of_softstop_disabled_is_an_error() {
    softstop(["true"])
        .env("SOFTSTOP_DISABLED", "yes")
        .run()
        .code(2)
        .logged("SOFTSTOP_DISABLED: unknown truth value `yes`: write true, false, 1, 0");
    softstop(["true"]).env("SOFTSTOP_DISABLE", "1").run().code(2).logged("did you mean `SOFTSTOP_DISABLED`?");
}

#[test]
fn a_wrong_setting_is_an_error_under_every_name_before_the_child_starts() {
    let fake = FakeNginx::new();
    for (name, begin) in
        [("tini", "[FATAL tini (1)] "), ("dumb-init", "[dumb-init] "), ("catatonit", "ERROR (catatonit:1): ")]
    {
        let outcome = fake.called(name).env("SOFTSTOP_PRE_DELAY", "5").run();
        outcome.code(2);
        let sentence = "SOFTSTOP_PRE_DELAY: `5` has no unit: write 5s for seconds, or 5ms, 5m\n";
        assert_eq!((outcome.stdout.as_str(), outcome.stderr), ("", format!("{begin}{sentence}")), "{name}");
    }
}

#[test]
fn wait_for_all_works_under_the_name_of_an_init_that_is_no_subreaper() {
    let script = ["sh", "-c", "(sleep 0.3; echo last) & echo first"];
    for name in ["tini", "dumb-init"] {
        let outcome = program(called(name), script).env("SOFTSTOP_WAIT_FOR", "all").run();
        outcome.code(0);
        assert!(outcome.stdout.contains("first"), "{name}: {outcome:?}");
    }
}

#[test]
fn pause_ends_on_sigterm_and_sigint_only() {
    for name in ["catatonit", "podman-init", "softstop"] {
        for signal in [libc::SIGTERM, libc::SIGINT] {
            let run = program(called(name), ["-P"]).pid_one().start();
            run.listens();
            for other in [libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGCHLD, libc::SIGWINCH] {
                run.signal(other);
                run.takes(other);
            }
            run.signal(signal);
            run.wait().code(0);
        }
    }
}

#[test]
fn stop_on_has_precedence_over_what_the_other_init_does_with_a_signal() {
    // catatonit drops SIGTSTP, and dumb-init turns it into SIGSTOP.
    for name in ["catatonit", "dumb-init"] {
        let run = program(called(name), recorder_until(&["10=9"])).pid_one();
        let run = run.env("SOFTSTOP_STOP_ON", "TSTP").env("SOFTSTOP_STOP_SIGNAL", "USR1").start();
        run.says("ready");
        run.signal(libc::SIGTSTP);
        run.wait().code(9).logged("stop requested: SIGTSTP");
    }
    // dumb-init's own option for the signal still holds.
    let words = words(["-r", "15:10"], &recorder_until(&["10=9"]));
    let run = program(called("dumb-init"), words).pid_one().env("SOFTSTOP_STOP_ON", "TERM").start();
    run.says("ready");
    run.signal(libc::SIGTERM);
    run.wait().code(9).logged("drain: sent SIGUSR1");
}
