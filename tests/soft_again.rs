//! Under another init's name nothing of the soft stop is on, until somebody asks for it; and one variable turns all of it off.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics when it fails")]

mod common;
use common::*;

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use tempfile::TempDir;

/// A child that is called nginx, which ends on SIGTERM with 15 and on SIGQUIT with 3.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        symlink(recorder(), place.at("nginx")).unwrap();
        place
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
fn by_another_name_a_known_server_is_a_program_like_any_other() {
    let place = Place::new();
    for name in OTHER_NAMES {
        let outcome = stopped(place.called(name));
        outcome.code(15);
        assert_eq!(outcome.stderr, "", "{name}");
    }
    // The control: by its own name it knows better.
    stopped(place.called("softstop").env("SOFTSTOP_PRE_DELAY", "0s")).code(3).logged("stop requested: SIGTERM");
}

#[test]
fn a_variable_of_softstops_turns_the_soft_stop_on() {
    let place = Place::new();
    for name in OTHER_NAMES {
        let outcome = stopped(place.called(name).env("SOFTSTOP_PRE_DELAY", "10ms"));
        outcome.code(3).logged("stop requested: SIGTERM").logged("drain: sent SIGQUIT");
    }
    // Whichever it is, and whatever it leaves to the profile.
    stopped(place.called("tini").env("SOFTSTOP_WAIT_FOR", "main")).code(3).logged("pre-delay: nginx");
}

#[test]
fn its_lines_have_the_others_prefix() {
    let place = Place::new();
    let prefixes = [
        ("docker-init", "[INFO  tini (1)] stop requested: SIGTERM"),
        ("dumb-init", "[dumb-init] stop requested: SIGTERM"),
        ("podman-init", "INFO (catatonit:1): stop requested: SIGTERM"),
    ];
    for (name, line) in prefixes {
        stopped(place.called(name).env("SOFTSTOP_PRE_DELAY", "0s")).code(3).logged(line);
    }
}

#[test]
fn a_file_turns_the_soft_stop_on_an_empty_one_too() {
    let place = Place::new();
    let file = place.at("softstop.toml");
    if !have("root (a mount)", is_root()) {
        return;
    }
    let put = format!(
        "mount --bind --make-private / / && mount -t tmpfs none /etc && cp {} /etc && exec \"$@\"",
        file.display()
    );
    let with_file = |name: &str, content: &str| {
        std::fs::write(&file, content).unwrap();
        stopped(place.called(name).through(["unshare", "--mount", "sh", "-c", &put, "sh"]))
    };
    for name in OTHER_NAMES {
        with_file(name, "pre_delay = '10ms'").code(3).logged("drain: sent SIGQUIT");
    }
    with_file("tini", "").code(3).logged("pre-delay: nginx");
}

#[test]
fn what_is_no_setting_turns_nothing_on() {
    let place = Place::new();
    let others = [
        ("SOFTSTOP_DISABLED", "0"),
        ("SOFTSTOP_VERSION", "1.0"),
        ("SOFTSTOP_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("SOFTSTOP_PROFILE", ""),
    ];
    for (variable, value) in others {
        let outcome = stopped(place.called("tini").env(variable, value));
        assert_eq!((outcome.code, outcome.stderr.as_str()), (15, ""), "{variable}");
    }
}

#[test]
fn disabled_it_is_a_plain_init_under_every_name_whatever_else_is_set() {
    let place = Place::new();
    std::fs::write(place.at("broken.toml"), "pre_delay = [").unwrap();
    for name in OTHER_NAMES.into_iter().chain(["softstop"]) {
        let run = place.called(name).env("SOFTSTOP_DISABLED", "1");
        let run = run.env("SOFTSTOP_PROFILE", "nginx").env("SOFTSTOP_PRE_DELAY", "3").env("SOFTSTOP_NONSENSE", "1");
        let outcome = stopped(run.env("SOFTSTOP_CONFIG", place.at("broken.toml")));
        assert_eq!((outcome.code, outcome.stderr.as_str()), (15, ""), "{name}");
    }
}

#[test]
fn disabled_the_flags_of_a_soft_stop_have_no_effect_and_those_of_a_plain_init_have_theirs() {
    let place = Place::new();
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
    let nginx = place.at("nginx");
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
fn a_slip_in_the_switch_is_told() {
    softstop(["true"])
        .env("SOFTSTOP_DISABLED", "yes")
        .run()
        .code(2)
        .logged("SOFTSTOP_DISABLED: unknown truth value `yes`: write true, false, 1, 0");
    softstop(["true"]).env("SOFTSTOP_DISABLE", "1").run().code(2).logged("did you mean `SOFTSTOP_DISABLED`?");
}

#[test]
fn a_wrong_setting_is_told_by_every_name_before_the_child_starts() {
    let place = Place::new();
    for (name, begin) in
        [("tini", "[FATAL tini (1)] "), ("dumb-init", "[dumb-init] "), ("catatonit", "ERROR (catatonit:1): ")]
    {
        let outcome = place.called(name).env("SOFTSTOP_PRE_DELAY", "5").run();
        outcome.code(2);
        let sentence = "SOFTSTOP_PRE_DELAY: `5` has no unit: write 5s for seconds, or 5ms, 5m\n";
        assert_eq!((outcome.stdout.as_str(), outcome.stderr), ("", format!("{begin}{sentence}")), "{name}");
    }
}

#[test]
fn one_may_wait_for_all_by_the_name_of_an_init_that_adopts_nobody() {
    let script = ["sh", "-c", "(sleep 0.3; echo last) & echo first"];
    for name in ["tini", "dumb-init"] {
        let outcome = program(called(name), script).env("SOFTSTOP_WAIT_FOR", "all").run();
        outcome.code(0);
        assert!(outcome.stdout.contains("first"), "{name}: {outcome:?}");
    }
}

#[test]
fn pause_leaves_on_term_and_int_alone() {
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
fn a_signal_that_a_person_made_a_stop_request_is_one_whatever_the_other_init_does_with_it() {
    // catatonit drops it, and dumb-init makes it a SIGSTOP.
    for name in ["catatonit", "dumb-init"] {
        let run = program(called(name), recorder_until(&["10=9"])).pid_one();
        let run = run.env("SOFTSTOP_STOP_ON", "TSTP").env("SOFTSTOP_STOP_SIGNAL", "USR1").start();
        run.says("ready");
        run.signal(libc::SIGTSTP);
        run.wait().code(9).logged("stop requested: SIGTSTP");
    }
    // What its own option says of the signal stays.
    let words = words(["-r", "15:10"], &recorder_until(&["10=9"]));
    let run = program(called("dumb-init"), words).pid_one().env("SOFTSTOP_STOP_ON", "TERM").start();
    run.says("ready");
    run.signal(libc::SIGTERM);
    run.wait().code(9).logged("drain: sent SIGUSR1");
}
