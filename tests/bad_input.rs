//! Bad input: one sentence that names the place and the remedy, exit code 2, and no process has been started.
#![allow(clippy::unwrap_used, reason = "a test panics when it fails")]

use common::{Outcome, Softstop, program, softstop};

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

/// The binary under test.
const SOFTSTOP: &str = env!("CARGO_BIN_EXE_softstop");

/// A command whose start is visible.
const STARTED: [&str; 3] = ["sh", "-c", "echo started"];

#[track_caller]
fn is_refused(softstop: Softstop, sentence: &str) {
    refused_by(&softstop.run(), sentence);
}

#[track_caller]
fn refused_by(outcome: &Outcome, sentence: &str) {
    outcome.code(2);
    assert_eq!(outcome.stdout, "", "the command was started");
    assert_eq!(outcome.stderr, format!("softstop: error: {sentence}\n"), "stderr is not exactly this sentence");
}

fn with_flags(flags: &[&str]) -> Softstop {
    softstop(flags.iter().chain(&STARTED))
}

fn with_file(text: impl AsRef<[u8]>) -> (Softstop, TempDir) {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("softstop.toml"), text).unwrap();
    let run = with_flags(&["--config", "softstop.toml"]).directory(directory.path());
    (run, directory)
}

#[track_caller]
fn file_is_refused(text: impl AsRef<[u8]>, sentence: &str) {
    let (run, _directory) = with_file(text);
    is_refused(run, sentence);
}

#[test]
fn control_good_input_is_accepted() {
    let (run, _directory) = with_file("pre_delay = \"1s\"\n[signals]\nSIGHUP = \"SIGUSR1\"\nSIGUSR2 = \"ignore\"\n");
    let outcome = run.run();
    outcome.code(0);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("started\n", ""));
}

#[test]
fn no_command() {
    let sentence = "no command: write the program to start after the options, as in `softstop -- nginx`";
    is_refused(softstop::<&str>([]), sentence);
    is_refused(softstop(["--pre-delay", "1s", "--"]), sentence);
}

#[test]
fn an_unknown_flag() {
    let outcome = with_flags(&["--pre-dealy=1s"]).run();
    outcome.code(2).logged("unexpected argument '--pre-dealy'").logged("'--pre-delay'");
    assert_eq!(outcome.stderr.lines().count(), 1);
}

#[test]
fn a_flag_given_twice() {
    let outcome = with_flags(&["--pre-delay=1s", "--pre-delay=2s"]).run();
    outcome.code(2).logged("'--pre-delay <DUR>' cannot be used multiple times");
    assert_eq!(outcome.stderr.lines().count(), 1);
}

#[test]
fn an_unknown_variable() {
    is_refused(
        with_flags(&[]).env("SOFTSTOP_PRE_DELY", "1s"),
        "SOFTSTOP_PRE_DELY: unknown setting `SOFTSTOP_PRE_DELY`: did you mean `SOFTSTOP_PRE_DELAY`?",
    );
}

#[test]
fn foreign_variables_with_softstops_prefix_are_ignored() {
    // The variables that Kubernetes sets for a service called "softstop", and an empty value.
    let run = with_flags(&[])
        .env("SOFTSTOP_SERVICE_HOST", "10.0.0.1")
        .env("SOFTSTOP_PORT_80_TCP_ADDR", "10.0.0.1")
        .env("SOFTSTOP_REQUIRE_ALL", "1")
        .env("SOFTSTOP_PRE_DELAY", "");
    run.run().code(0);
}

#[test]
fn an_unknown_key() {
    file_is_refused(
        "profile = \"none\"\n  pre_dealy = \"1s\"\n",
        "softstop.toml:2:3: unknown setting `pre_dealy`: did you mean `pre_delay`?",
    );
    file_is_refused("xyz = 1", "softstop.toml:1:1: unknown setting `xyz`: docs/settings.md has the table of settings");
    file_is_refused(
        "[log]\nlevle = \"info\"",
        "softstop.toml:2:1: unknown setting `log.levle`: did you mean `log.level`?",
    );
}

#[test]
fn an_unknown_signal() {
    is_refused(with_flags(&["--stop-on", "TERM,TREM"]), "--stop-on: unknown signal `TREM`: did you mean `SIGTERM`?");
    is_refused(
        with_flags(&[]).env("SOFTSTOP_STOP_SIGNAL", "65"),
        "SOFTSTOP_STOP_SIGNAL: unknown signal `65`: write a name such as TERM, SIGTERM or RTMIN+3, or a number from 1 to 64",
    );
    file_is_refused(
        "\n[signals]\nSIGHPU = \"TERM\"",
        "softstop.toml:3:1: unknown signal `SIGHPU`: did you mean `SIGHUP`?",
    );
}

#[test]
fn a_signal_that_cannot_be_caught() {
    is_refused(with_flags(&["--stop-on", "KILL"]), "--stop-on: no process can catch SIGKILL: name another signal here");
    is_refused(with_flags(&["--hurry-on", "9"]), "--hurry-on: no process can catch SIGKILL: name another signal here");
    is_refused(with_flags(&["-r", "STOP:TERM"]), "--rewrite: no process can catch SIGSTOP: name another signal here");
    with_flags(&["--stop-signal", "KILL"]).run().code(0); // SIGKILL can be sent
}

#[test]
fn a_signal_that_is_softstops_own() {
    is_refused(
        with_flags(&["--stop-on", "CHLD"]),
        "--stop-on: SIGCHLD is for softstop itself (a change of a child, or a fault): name another signal here",
    );
}

#[test]
fn a_pre_delay_whose_lower_bound_is_above_the_upper_one() {
    let sentence = "the lower bound of 15s is above the upper bound of 2s: write the shorter first";
    is_refused(with_flags(&["--pre-delay", "15s..2s"]), &format!("--pre-delay: {sentence}"));
    file_is_refused("pre_delay = \"15s..2s\"", &format!("softstop.toml:1:1: {sentence}"));
    is_refused(
        with_flags(&["--pre-delay", "2..15s"]),
        "--pre-delay: `2` has no unit: write 2s for seconds, or 2ms, 2m",
    );
    is_refused(
        with_flags(&["--pre-delay", "2s.."]),
        "--pre-delay: `` is not a duration (value was empty): write it like 500ms, 5s or 1m30s",
    );
}

#[test]
fn a_quiet_that_is_longer_than_the_pre_delay() {
    is_refused(
        with_flags(&["--pre-delay", "2s..10s", "--quiet", "11s"]),
        "--quiet: a quiet of 11s is longer than the pre-delay of 2s..10s (--pre-delay): shorten the one or lengthen the other",
    );
}

#[test]
fn a_port_out_of_range() {
    for word in ["0", "65536", "-1", "http", ""] {
        is_refused(
            with_flags(&["--ports", &format!("8080,{word}")]),
            &format!("--ports: `{word}` is not a TCP port: write numbers from 1 to 65535, separated by commas"),
        );
    }
    file_is_refused(
        "ports = [80, 70000]",
        "softstop.toml:1:1: `70000` is not a TCP port: write numbers from 1 to 65535, separated by commas",
    );
}

#[test]
fn an_invalid_network() {
    for (word, reason) in [
        ("10.0.0.0/33", "/33 is too long: the address has 32 bits"),
        ("10.0.0/8", "`10.0.0` is not an IP address"),
        ("probe", "`probe` is not an IP address"),
    ] {
        is_refused(
            with_flags(&["--ignore-peers", word]),
            &format!(
                "--ignore-peers: `{word}` is not a network ({reason}): write an address or a CIDR, such as 10.0.0.0/8"
            ),
        );
    }
}

#[test]
fn drain_until_closed_without_a_drain_timeout() {
    is_refused(
        with_flags(&["--drain-until", "closed"]),
        "--drain-until: without a drain timeout there is nothing to end early: set drain_timeout or grace_period",
    );
    let fits = with_flags(&["--drain-until", "closed", "--drain-timeout", "5s"]);
    fits.run().code(0);
}

#[test]
fn a_duration_without_a_unit() {
    is_refused(with_flags(&["--pre-delay", "5"]), "--pre-delay: `5` has no unit: write 5s for seconds, or 5ms, 5m");
    file_is_refused("grace_period = 30", "softstop.toml:1:1: `30` has no unit: write 30s for seconds, or 30ms, 30m");
    is_refused(
        with_flags(&["--drain-timeout", "0"]),
        "--drain-timeout: `0` has no unit: write 0s for seconds, or 0ms, 0m",
    );
}

#[test]
fn a_negative_duration() {
    let sentence = "--pre-delay: `-5s` is negative: write a duration of 0s or more";
    is_refused(with_flags(&["--pre-delay", "-5s"]), sentence);
    is_refused(with_flags(&["--pre-delay=-5s"]), sentence);
}

#[test]
fn an_invalid_duration() {
    is_refused(
        with_flags(&["--pre-delay", "5parsecs"]),
        "--pre-delay: `5parsecs` is not a duration (`parsecs` is not a unit): write it like 500ms, 5s or 1m30s",
    );
    for word in ["s", " ", "1s2", "99999999999999999999s", "5s-3s"] {
        with_flags(&["--pre-delay", word]).run().code(2).logged("is not a duration");
    }
}

#[test]
fn a_rewrite_given_twice_for_one_signal() {
    is_refused(
        with_flags(&["-r", "HUP:USR1", "-r", "1:USR2"]),
        "--rewrite: SIGHUP is rewritten twice: remove one of the two",
    );
    file_is_refused(
        "[signals]\nHUP = \"USR1\"\nSIGHUP = \"USR2\"",
        "softstop.toml:3:1: SIGHUP is rewritten twice: remove one of the two",
    );
}

#[test]
fn an_invalid_rewrite() {
    is_refused(
        with_flags(&["-r", "HUP"]),
        "--rewrite: `HUP` is not a rewrite: write FROM:TO, such as HUP:USR1 or USR2:ignore",
    );
}

#[test]
fn a_stop_request_that_is_rewritten_to_ignore() {
    is_refused(
        with_flags(&["-r", "TERM:ignore"]).env("SOFTSTOP_STOP_ON", "TERM"),
        "SOFTSTOP_STOP_ON: SIGTERM is named here, but --rewrite says to ignore it: remove one of the two",
    );
    with_flags(&["-r", "TERM:ignore"]).run().code(0); // without stop_on, SIGTERM is then no stop request
}

#[test]
fn a_plan_longer_than_its_grace_period() {
    is_refused(
        with_flags(&["--pre-delay", "10s", "--drain-timeout", "20s", "--grace-period", "30s"]),
        "--grace-period: a pre-delay of 10s (--pre-delay) and a drain timeout of 20s (--drain-timeout) do not fit into \
         the grace period of 30s, of which softstop keeps 1 s for its last report: shorten the one or lengthen the other",
    );
    with_flags(&["--pre-delay", "9s", "--drain-timeout", "20s", "--grace-period", "30s"]).run().code(0);
    is_refused(
        with_flags(&["--pre-delay", "30s"]).env("SOFTSTOP_GRACE_PERIOD", "30s"),
        "SOFTSTOP_GRACE_PERIOD: a pre-delay of 30s (--pre-delay) does not fit into the grace period of 30s, of which softstop keeps 1 s for its last report: shorten the one or lengthen the other",
    );
}

#[test]
fn a_grace_period_that_leaves_no_time() {
    is_refused(
        with_flags(&["--grace-period", "1s"]),
        "--grace-period: a grace period of 1s leaves no time for a stop, since softstop keeps 1 s of it for its last report: lengthen it",
    );
}

#[test]
fn a_configuration_file_that_is_missing() {
    is_refused(
        with_flags(&["--config", "/nonexistent/softstop.toml"]),
        "/nonexistent/softstop.toml: cannot read the configuration file that --config names: No such file or directory (os error 2)",
    );
}

#[test]
fn a_configuration_file_that_is_unreadable() {
    is_refused(
        with_flags(&["--config", "/"]),
        "/: cannot read the configuration file that --config names: Is a directory (os error 21)",
    );
    let (run, directory) = with_file("");
    let file = directory.path().join("softstop.toml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o0)).unwrap();
    if fs::read(&file).is_err() {
        is_refused(
            run,
            "softstop.toml: cannot read the configuration file that --config names: Permission denied (os error 13)",
        );
    } else {
        run.run().code(0); // root can read every file
    }
}

#[test]
fn a_configuration_file_that_is_not_utf8() {
    file_is_refused(
        b"profile = \"none\"\nlog = \"\xff\"\n",
        "softstop.toml:2:8: this is not UTF-8: save the file as UTF-8 text",
    );
}

#[test]
fn a_configuration_file_that_is_not_toml() {
    let (run, _directory) = with_file("profile = \"none\"\npre_delay = 5s\n");
    let outcome = run.run();
    outcome.code(2).logged("softstop: error: softstop.toml:2:13: this is not TOML: ");
    assert_eq!(outcome.stderr.lines().count(), 1);
}

#[test]
fn a_key_given_twice_in_the_file() {
    let (run, _directory) = with_file("pre_delay = \"1s\"\npre_delay = \"2s\"\n");
    run.run().code(2).logged("softstop.toml:2:1: this is not TOML: duplicate key");
}

#[test]
fn a_value_of_the_wrong_type() {
    file_is_refused(
        "pre_delay = { a = 1 }",
        "softstop.toml:1:13: `pre_delay` is table: write a word in quotes, such as \"5s\" or \"TERM\"",
    );
    file_is_refused("signals = 3", "softstop.toml:1:11: `signals` is integer: write a table of signals");
}

#[test]
fn a_list_instead_of_a_single_value() {
    file_is_refused(
        "pre_delay = [\"5s\"]",
        "softstop.toml:1:13: `pre_delay` is array: write a word in quotes, such as \"5s\" or \"TERM\"",
    );
    file_is_refused(
        "[signals]\nHUP = \"USR1,TERM:ignore\"",
        "softstop.toml:2:1: `USR1,TERM:ignore` is not a rewrite: write FROM:TO, such as HUP:USR1 or USR2:ignore",
    );
}

#[test]
fn a_flags_name_in_the_file() {
    file_is_refused("rewrite = \"HUP:USR1\"", "softstop.toml:1:1: unknown setting `rewrite`: did you mean `signals`?");
    file_is_refused(
        "log_format = \"json\"",
        "softstop.toml:1:1: unknown setting `log_format`: did you mean `log.format`?",
    );
}

#[test]
fn a_duration_in_months() {
    is_refused(
        with_flags(&["--pre-delay", "5M"]),
        "--pre-delay: `5M` is not a duration (minutes are written with a small m): write it like 500ms, 5s or 1m30s",
    );
}

#[test]
fn a_stop_signal_that_would_freeze_the_program() {
    is_refused(
        with_flags(&["--stop-signal", "STOP"]),
        "--stop-signal: SIGSTOP would freeze the program, not stop it: name another signal here",
    );
}

#[test]
fn wait_for_all_without_a_subreaper() {
    is_refused(
        with_flags(&["--wait-for", "all"]).env("SOFTSTOP_SUBREAPER", "false"),
        "--wait-for: to wait for all processes softstop must adopt orphans, which SOFTSTOP_SUBREAPER forbids: remove one of the two",
    );
}

#[test]
fn a_hurry_signal_that_is_rewritten_to_ignore() {
    is_refused(
        with_flags(&["--hurry-on", "INT", "-r", "INT:ignore"]),
        "--hurry-on: SIGINT is named here, but --rewrite says to ignore it: remove one of the two",
    );
}

#[test]
fn a_program_that_cannot_be_started_is_reported_in_the_log_format() {
    let outcome = softstop(["--log-format", "json", "softstop-no-such-program"]).run();
    outcome.code(127).logged("\"level\":\"error\",\"message\":\"`softstop-no-such-program` was not found");
}

#[test]
fn running_out_of_descriptors_gives_125() {
    let outcome = program("sh", ["-c", &format!("ulimit -n 5; exec {SOFTSTOP} true")]).run();
    outcome.code(125);
}

#[test]
fn an_unknown_profile() {
    is_refused(with_flags(&["--profile", "ngnix"]), "--profile: unknown profile `ngnix`: did you mean `nginx`?");
    is_refused(
        with_flags(&["--profile", "xyz"]),
        "--profile: unknown profile `xyz`: write a name that --list-profiles shows, auto, server or none",
    );
}

#[test]
fn an_unknown_word() {
    is_refused(with_flags(&["--wait-for", "al"]), "--wait-for: unknown value of wait_for `al`: did you mean `all`?");
    is_refused(with_flags(&["--target", "xyz"]), "--target: unknown target `xyz`: write child, group, server");
    is_refused(
        with_flags(&[]).env("SOFTSTOP_LOG", "loud"),
        "SOFTSTOP_LOG: unknown log level `loud`: write off, error, warn, info, debug or trace",
    );
    is_refused(with_flags(&["--log-format", "jsn"]), "--log-format: unknown log format `jsn`: did you mean `json`?");
    is_refused(with_flags(&["-e", "256"]), "--remap-exit: `256` is not an exit code: write a number from 0 to 255");
    is_refused(with_flags(&["-e", "-1"]), "--remap-exit: `-1` is not an exit code: write a number from 0 to 255");
}

#[test]
fn a_command_that_is_not_found_gives_127() {
    let outcome = softstop(["softstop-no-such-program"]).run();
    outcome.code(127);
    assert_eq!(outcome.stderr, "softstop: error: `softstop-no-such-program` was not found: check its name and PATH\n");
}

#[test]
fn a_command_that_is_not_executable_gives_126() {
    softstop(["/etc/passwd"]).run().code(126).logged("`/etc/passwd` cannot be run: Permission denied");
    softstop(["/"]).run().code(126);
}

#[test]
fn a_missing_interpreter_is_distinguished_from_a_missing_program() {
    let directory = TempDir::new().unwrap();
    let script = directory.path().join("script");
    fs::write(&script, "#!/nonexistent/interpreter\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    softstop([&script]).run().code(127).logged("exists, but its interpreter does not");
}
