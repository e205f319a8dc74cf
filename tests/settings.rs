//! Settings: where each value comes from, and which source wins.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics when it fails")]

use common::softstop;

use std::ffi::OsString;
use std::fs;
use std::time::Duration;

use softstop::duration::Bounds;
use softstop::settings::{Invocation, Settings, Source, Sourced};
use softstop::shutdown::{Activity, Plan, Quiet, StopSignal, Wait};
use softstop::signal::Signal;
use tempfile::TempDir;

/// The output of `--explain` with these flags, variables, file and command.
fn explain(flags: &[&str], environment: &[(&str, &str)], file: &str, command: &[&str]) -> String {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("s.toml"), file).unwrap();
    let arguments = ["--explain", "--config", "s.toml"].iter().chain(flags).chain(&["--"]).chain(command);
    let mut run = softstop(arguments).directory(directory.path());
    for (name, value) in environment {
        run = run.env(name, value);
    }
    let outcome = run.run();
    outcome.code(0);
    assert_eq!(outcome.stderr, "");
    outcome.stdout
}

/// What Kubernetes sets in each container. It outranks the files by which other platforms are recognised.
const KUBERNETES: (&str, &str) = ("KUBERNETES_SERVICE_HOST", "10.0.0.1");

/// Whether a line of `--explain` has this value and source.
#[track_caller]
fn has(explained: &str, key: &str, value: &str, source: &str) {
    let line = format!("  {key:<20} {value:<24} {source}\n");
    assert!(explained.contains(&line), "no {line:?} in\n{explained}");
}

#[test]
fn a_flag_overrides_the_environment_then_the_file_then_the_profile_then_the_default() {
    let file = "pre_delay = \"3s\"\n";
    let environment = [("SOFTSTOP_PRE_DELAY", "2s")];
    has(&explain(&["--pre-delay", "1s"], &environment, file, &["nginx"]), "pre_delay", "1s", "--pre-delay");
    has(&explain(&[], &environment, file, &["nginx"]), "pre_delay", "2s", "SOFTSTOP_PRE_DELAY");
    has(&explain(&[], &[], file, &["nginx"]), "pre_delay", "3s", "s.toml:1:1");
    has(&explain(&[], &[KUBERNETES], "", &["nginx"]), "pre_delay", "2s..10s", "profile nginx, Kubernetes (10s)");
    has(&explain(&[], &[], "", &["sleep"]), "pre_delay", "0s", "default");
}

/// A setting with the flags, the variable and the line of the file that give it a value, and how that is shown.
type Ways = (&'static str, &'static [&'static str], (&'static str, &'static str), &'static str, &'static str);

const EVERY_SETTING: &[Ways] = &[
    ("profile", &["--profile", "haproxy"], ("SOFTSTOP_PROFILE", "haproxy"), "profile = \"haproxy\"", "haproxy"),
    (
        "stop_on",
        &["--stop-on", "RTMIN+3,HUP"],
        ("SOFTSTOP_STOP_ON", "37,1"),
        "stop_on = [\"RTMIN+3\", \"HUP\"]",
        "SIGHUP,SIGRTMIN+3",
    ),
    ("hurry_on", &["--hurry-on", "none"], ("SOFTSTOP_HURRY_ON", "none"), "hurry_on = []", "none"),
    ("stop_signal", &["--stop-signal", "quit"], ("SOFTSTOP_STOP_SIGNAL", "3"), "stop_signal = \"SIGQUIT\"", "SIGQUIT"),
    ("pre_delay", &["--pre-delay", "1m30s"], ("SOFTSTOP_PRE_DELAY", "90s"), "pre_delay = \"1m 30s\"", "1m 30s"),
    ("quiet", &["--quiet", "700ms"], ("SOFTSTOP_QUIET", "700ms"), "quiet = \"700ms\"", "700ms"),
    (
        "quiet_means",
        &["--quiet-means", "traffic"],
        ("SOFTSTOP_QUIET_MEANS", "traffic"),
        "quiet_means = \"traffic\"",
        "traffic",
    ),
    ("ports", &["--ports", "80,8443"], ("SOFTSTOP_PORTS", "80, 8443"), "ports = [80, 8443]", "80,8443"),
    (
        "ignore_peers",
        &["--ignore-peers", "10.0.0.7,fd00::/8"],
        ("SOFTSTOP_IGNORE_PEERS", "10.0.0.7,fd00::/8"),
        "ignore_peers = [\"10.0.0.7\", \"fd00::/8\"]",
        "10.0.0.7,fd00::/8",
    ),
    (
        "count_peers",
        &["--count-peers", "10.0.0.9, fd01::/16"],
        ("SOFTSTOP_COUNT_PEERS", "10.0.0.9,fd01::/16"),
        "count_peers = [\"10.0.0.9\", \"fd01::/16\"]",
        "10.0.0.9,fd01::/16",
    ),
    (
        "drain_timeout",
        &["--drain-timeout", "500ms"],
        ("SOFTSTOP_DRAIN_TIMEOUT", "500ms"),
        "drain_timeout = \"500ms\"",
        "500ms",
    ),
    ("grace_period", &["--grace-period", "30s"], ("SOFTSTOP_GRACE_PERIOD", "30s"), "grace_period = \"30s\"", "30s"),
    (
        "signals",
        &["-r", "HUP:USR1"],
        ("SOFTSTOP_REWRITE", "1:10"),
        "signals = { SIGHUP = \"USR1\" }",
        "SIGHUP = SIGUSR1",
    ),
    ("target", &["--target", "group"], ("SOFTSTOP_TARGET", "group"), "target = \"group\"", "group"),
    ("wait_for", &["--wait-for", "all"], ("SOFTSTOP_WAIT_FOR", "all"), "wait_for = \"all\"", "all"),
    ("subreaper", &["-s"], ("SOFTSTOP_SUBREAPER", "true"), "subreaper = true", "true"),
    (
        "parent_death_signal",
        &["-p", "SIGHUP"],
        ("SOFTSTOP_PARENT_DEATH_SIGNAL", "HUP"),
        "parent_death_signal = 1",
        "SIGHUP",
    ),
    (
        "remap_exit",
        &["-e", "143", "-e", "130"],
        ("SOFTSTOP_REMAP_EXIT", "143,130"),
        "remap_exit = [143, 130]",
        "130,143 to 0",
    ),
    ("warn_on_reap", &["-w"], ("SOFTSTOP_WARN_ON_REAP", "1"), "warn_on_reap = true", "true"),
    ("log.level", &["-vv"], ("SOFTSTOP_LOG", "debug"), "log = { level = \"debug\" }", "debug"),
    ("log.format", &["--log-format", "json"], ("SOFTSTOP_LOG_FORMAT", "json"), "log.format = \"json\"", "json"),
];

#[test]
fn every_setting_can_be_given_in_all_three_ways() {
    for &(key, flags, variable, line, shown) in EVERY_SETTING {
        for explained in [
            explain(flags, &[], "", &["sleep"]),
            explain(&[], &[variable], "", &["sleep"]),
            explain(&[], &[], line, &["sleep"]),
        ] {
            let start = format!("  {key:<20} {shown} ");
            assert!(explained.contains(&start), "no {start:?} in\n{explained}");
        }
        let default = explain(&[], &[], "", &["sleep"]);
        assert!(!default.contains(&format!("  {key:<20} {shown} ")), "{key} has this value by default:\n{default}");
    }
}

#[test]
fn group_is_short_for_target() {
    has(&explain(&["-g"], &[], "", &["sleep"]), "target", "group", "--group");
}

#[test]
fn the_file_may_be_named_by_the_environment() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("other.toml");
    fs::write(&file, "pre_delay = \"7s\"").unwrap();
    let outcome = softstop(["--explain", "sleep"]).env("SOFTSTOP_CONFIG", &file).run();
    has(&outcome.stdout, "pre_delay", "7s", &format!("{}:1:1", file.display()));
}

#[test]
fn rewrites_from_all_sources_add_up_and_the_strongest_source_wins_for_each_signal() {
    let explained = explain(
        &["-r", "HUP:USR1"],
        &[("SOFTSTOP_REWRITE", "USR2:ignore")],
        "[signals]\nHUP = \"INT\"\nWINCH = 0",
        &["sleep"],
    );
    has(&explained, "signals", "SIGHUP = SIGUSR1", "--rewrite");
    has(&explained, "signals", "SIGUSR2 = ignore", "SOFTSTOP_REWRITE");
    has(&explained, "signals", "SIGWINCH = ignore", "s.toml:3:1");
}

#[test]
fn a_profile_is_found_by_the_command_and_can_be_named_or_turned_off() {
    has(
        &explain(&[], &[], "", &["/docker-entrypoint.sh", "nginx"]),
        "profile",
        "nginx",
        "auto: the command's name (the server that runs decides)",
    );
    has(&explain(&["--profile", "none"], &[], "", &["nginx"]), "profile", "none", "--profile");
    has(&explain(&["--profile", "none"], &[], "", &["nginx"]), "stop_on", "SIGTERM", "default");
    has(&explain(&["--profile", "mariadb"], &[], "", &["sh"]), "profile", "mysql", "--profile");
    has(&explain(&["--profile", "auto"], &[], "", &["sh"]), "profile", "none", "--profile");
}

#[test]
fn a_profiles_stop_signal_is_a_stop_request_and_not_a_hurry_signal() {
    let explained = explain(&[], &[], "", &["postgres"]);
    has(&explained, "stop_on", "SIGINT,SIGTERM", "profile postgres");
    has(&explained, "hurry_on", "none", "default");
}

#[test]
fn the_drain_gets_what_the_pre_delay_leaves_of_the_grace_period() {
    let explained = explain(&["--grace-period", "30s"], &[], "", &["nginx"]);
    has(&explained, "pre_delay", "2s..15s", "profile nginx, half of the grace period");
    has(&explained, "drain_timeout", "14s", "the rest of grace_period");
    let explained = explain(&["--grace-period", "30s"], &[], "", &["sleep"]);
    has(&explained, "drain_timeout", "29s", "the rest of grace_period");
}

#[test]
fn a_profiles_pre_delay_is_shortened_to_fit_with_a_warning_if_a_drain_timeout_is_set() {
    let options = ["--grace-period", "10s", "--drain-timeout", "6s"];
    let explained = explain(&options, &[], "", &["nginx"]);
    has(&explained, "pre_delay", "1s 500ms..3s", "profile nginx, what the drain leaves of the grace period");
    let warning = "warning: the pre-delay of 2s..5s (profile nginx) and a drain timeout of 6s (--drain-timeout) do not fit into \
                   the grace period of 10s (--grace-period): the pre-delay is shortened to 1s 500ms..3s";
    assert!(explained.contains(warning), "{explained}");
    let outcome = softstop(options.iter().chain(&["--profile", "nginx", "true"])).run();
    outcome.code(0).logged(&format!("softstop: {warning}"));

    // The control: half of the grace period, and the drain timeout fits.
    let explained = explain(&["--grace-period", "10s", "--drain-timeout", "4s"], &[], "", &["nginx"]);
    has(&explained, "pre_delay", "2s..5s", "profile nginx, half of the grace period");
    assert!(!explained.contains("warning"), "{explained}");
}

#[test]
fn a_profiles_pre_delay_always_leaves_time_for_the_drain() {
    // A regression: a pre-delay of 5 s of a grace period of 6.001 s, less 1 s for the report, left a drain of 1 ms.
    let (half, rest) = ("half of the grace period", "what the drain leaves of the grace period");
    for (grace, pre_delay, bound, drain) in [
        ("10s", "2s..5s", half, "4s"),
        ("6001ms", "1s 500ms..3s", half, "2s 1ms"),
        ("5s", "1s..2s", rest, "2s"),
        ("3s", "500ms..1s", rest, "1s"),
    ] {
        let explained = explain(&["--grace-period", grace], &[], "", &["nginx"]);
        has(&explained, "pre_delay", pre_delay, &format!("profile nginx, {bound}"));
        has(&explained, "drain_timeout", drain, "the rest of grace_period");
        assert!(!explained.contains("warning"), "nobody chose anything that is changed:\n{explained}");
    }
}

#[test]
fn a_recognised_platform_bounds_the_pre_delay_and_is_no_reason_for_sigkill() {
    for (variable, pre_delay, bound) in [
        (KUBERNETES, "2s..10s", "Kubernetes (10s)"),
        (("NOMAD_ALLOC_ID", "5456bd7a"), "1s..2s", "Nomad (2s)"),
        (("FLY_MACHINE_ID", "e784"), "1s..2s", "Fly (2s)"),
    ] {
        let explained = explain(&[], &[variable], "", &["nginx"]);
        has(&explained, "pre_delay", pre_delay, &format!("profile nginx, {bound}"));
        has(&explained, "drain_timeout", "no limit", "default");
        assert!(!explained.contains("SIGKILL"), "{explained}");
        // What a person chose is not touched.
        has(&explain(&["--pre-delay", "20s"], &[variable], "", &["nginx"]), "pre_delay", "20s", "--pre-delay");
        has(&explain(&[], &[variable], "", &["postgres"]), "pre_delay", "0s", "profile postgres");
    }
    // The pre-delay of a cache has its own bound.
    has(&explain(&[], &[KUBERNETES], "", &["memcached"]), "pre_delay", "0s..5s", "profile memcached");
    let explained = explain(&["--grace-period", "6s"], &[KUBERNETES], "", &["memcached"]);
    has(&explained, "pre_delay", "0s..3s", "profile memcached, half of the grace period");
}

#[test]
fn explain_shows_which_silence_is_needed() {
    for (pre_delay, needed) in [
        ("2s..10s", "2s at 10 calls a second, 7s at 1, the upper bound at 0.1"),
        ("2s..50s", "2s at 10 calls a second, 8s 600ms at 1, the upper bound at 0.1"),
        ("1s..2s", "the upper bound, at any rate of calls"),
    ] {
        let explained = explain(&["--pre-delay", pre_delay], &[], "", &["sleep"]);
        assert!(explained.contains(&format!("\n             silence needed: {needed}\n")), "{explained}");
    }
    assert!(!explain(&["--pre-delay", "5s"], &[], "", &["sleep"]).contains("silence needed"));
}

#[test]
fn drain_until_closed_can_be_given_in_all_three_ways() {
    // Without a drain timeout `closed` is an error.
    let timeout = ["--drain-timeout", "9s"];
    let flags = [timeout.as_slice(), &["--drain-until", "closed"]].concat();
    has(&explain(&flags, &[], "", &["sleep"]), "drain_until", "closed", "--drain-until");
    let environment = [("SOFTSTOP_DRAIN_UNTIL", "closed")];
    has(&explain(&timeout, &environment, "", &["sleep"]), "drain_until", "closed", "SOFTSTOP_DRAIN_UNTIL");
    has(&explain(&timeout, &[], "drain_until = \"closed\"", &["sleep"]), "drain_until", "closed", "s.toml:1:1");
    has(&explain(&timeout, &[], "", &["sleep"]), "drain_until", "exit", "default");
}

#[test]
fn a_pre_delay_is_one_length_or_two_bounds() {
    for (written, shown) in [("5s", "5s"), ("2s..15s", "2s..15s"), ("0s .. 1m", "0s..1m"), ("3s..3s", "3s")] {
        has(&explain(&["--pre-delay", written], &[], "", &["sleep"]), "pre_delay", shown, "--pre-delay");
    }
    let explained = explain(&["--pre-delay", "2s..15s", "--quiet", "3s"], &[], "", &["sleep"]);
    assert!(
        explained.contains("\n  2s         the pre-delay ends as soon as no request has arrived for 3s\n"),
        "{explained}"
    );
    assert!(explained.contains("\n  15s        at the latest, SIGTERM is sent to sleep\n"), "{explained}");
}

#[test]
fn a_default_quiet_is_shortened_to_fit_with_a_warning() {
    let explained = explain(&["--pre-delay", "0s..1s"], &[], "", &["sleep"]);
    has(&explained, "quiet", "1s", "default");
    assert!(
        explained.contains(
            "warning: the quiet of 2s (default) is longer than the pre-delay of 0s..1s (--pre-delay): shortened"
        ),
        "{explained}"
    );
    // A fixed pre-delay is not ended by quiet, so that there is no warning.
    assert!(!explain(&["--pre-delay", "1s"], &[], "", &["sleep"]).contains("warning"));
}

#[test]
fn a_quiet_that_fits_one_platform_is_no_error_on_another() {
    let nomad = ("NOMAD_ALLOC_ID", "5456bd7a");
    let shortened =
        "warning: the quiet of 5s (--quiet) is longer than the pre-delay of 1s..2s (profile nginx): shortened to 2s";
    let explained = explain(&["--quiet", "5s"], &[nomad], "", &["nginx"]);
    assert!(explained.contains(shortened), "{explained}");
    assert!(!explain(&["--quiet", "5s"], &[KUBERNETES], "", &["nginx"]).contains("warning"));
}

#[test]
fn a_server_without_a_graceful_signal_waits_for_its_responses_too() {
    for server in ["varnishd", "uwsgi", "memcached"] {
        let explained = explain(&[], &[], "", &[server]);
        assert!(explained.contains("  quiet_means          traffic                  profile "), "{explained}");
    }
    has(&explain(&[], &[], "", &["nginx"]), "quiet_means", "requests", "profile nginx");
}

#[test]
fn new_connections_alone_can_be_what_must_be_quiet() {
    let explained = explain(&["--quiet-means", "connections", "--pre-delay", "2s..9s"], &[], "", &["sleep"]);
    has(&explained, "quiet_means", "connections", "--quiet-means");
    assert!(explained.contains(" no new connection has been made for 2s\n"), "{explained}");
}

#[test]
fn a_number_in_the_file_may_have_any_base() {
    has(&explain(&[], &[], "stop_signal = 0o17", &["sleep"]), "stop_signal", "SIGTERM", "s.toml:1:1");
    has(&explain(&[], &[], "remap_exit = [0x8F]", &["sleep"]), "remap_exit", "143 to 0", "s.toml:1:1");
    has(&explain(&[], &[], "remap_exit = []", &["sleep"]), "remap_exit", "none", "s.toml:1:1");
}

#[test]
fn an_ignored_signal_is_no_hurry_signal() {
    has(&explain(&["-r", "INT:ignore"], &[], "", &["sleep"]), "hurry_on", "none", "default");
}

#[test]
fn without_settings_softstop_sends_no_sigkill() {
    let explained = explain(&[], &[], "", &["postgres"]);
    has(&explained, "drain_timeout", "no limit", "default");
    assert!(!explained.contains("SIGKILL"), "{explained}");
}

#[test]
fn the_first_word_that_is_not_an_option_starts_the_command() {
    for arguments in [&["echo", "--pre-delay", "-v", "--"][..], &["-v", "--", "echo", "--pre-delay", "-v", "--"]] {
        let outcome = softstop(arguments).env("SOFTSTOP_LOG", "off").run();
        outcome.code(0);
        assert_eq!(outcome.stdout, "--pre-delay -v --\n");
    }
}

#[test]
fn explain_starts_nothing() {
    let outcome = softstop(["--explain", "sh", "-c", "echo started >&2"]).run();
    outcome.code(0).not_logged("started");
}

#[test]
fn explain_says_what_is_decided_only_when_the_stop_begins() {
    let looks = "\n  0s         softstop looks for a server among the processes and sockets: it may have ";
    for (flags, command, left_open) in [
        (&[][..], &["./start.sh"][..], Some("another stop signal, and a pre-delay")),
        (&[], &["npm", "start"], Some("another stop signal, and a pre-delay")),
        (&["--pre-delay", "5s"], &["npm", "start"], Some("another stop signal")),
        (&["--stop-signal", "QUIT"], &["npm", "start"], Some("a pre-delay")),
        (&["--pre-delay", "5s", "--stop-signal", "QUIT"], &["npm", "start"], None),
        (&["--profile", "server"], &["npm", "start"], None),
        (&["--profile", "none"], &["npm", "start"], None),
        (&["--stop-on", "none"], &["npm", "start"], None),
        (&[], &["nginx"], None),
    ] {
        let explained = explain(flags, &[], "", command);
        match left_open {
            Some(what) => assert!(explained.contains(&format!("{looks}{what}\n")), "{flags:?} {explained}"),
            None => assert!(!explained.contains(looks), "{flags:?} {explained}"),
        }
    }
}

#[test]
fn the_version_the_help_and_the_table_of_servers_go_to_stdout() {
    let version = softstop(["-V"]).run();
    assert_eq!((version.code, version.stdout.as_str()), (0, "softstop 0.1.0 - git.v0-1-0\n"));
    let help = softstop(["--help"]).run();
    assert!(help.code == 0 && help.stdout.contains("--drain-timeout <DUR>"), "{help:?}");
    let table = softstop(["--list-profiles"]).run();
    assert!(
        table.code == 0
            && table.stdout.contains("\nnginx         SIGQUIT     balancer  nginx, nginx-debug, openresty, angie\n")
            && table.stdout.contains("\nbalancer: until the balancer sends nothing more, "),
        "{table:?}"
    );
}

#[test]
fn the_library_gives_each_value_with_its_source() {
    let command = vec![OsString::from("nginx")];
    let environment = vec![(KUBERNETES.0.into(), KUBERNETES.1.into())];
    let settings = Settings::resolve(Invocation { command, ..Invocation::default() }, environment).unwrap();
    let (least, most) = (Duration::from_secs(2), Duration::from_secs(10));
    assert_eq!(settings.pre_delay, Sourced { value: Bounds { least, most }, source: Source::Profile("nginx") });
    let pre_delay = Wait::until(Quiet { of: Activity::Requests, lasts: Duration::from_secs(2) }, least, most);
    assert_eq!(settings.rules().plan, Plan::soft(pre_delay, StopSignal::Mapped(Some(Signal::QUIT)), Wait::up_to(None)));
}
