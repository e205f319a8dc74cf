//! The course of a stop: pre-delay, stop signal, drain, SIGKILL, and what the log says about it.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test panics when it fails; unlike the init it may read the clock and wait for its children"
)]

use common::*;

use std::fs;
use std::time::{Duration, Instant};

/// The binary under test.
const SOFTSTOP: &str = env!("CARGO_BIN_EXE_softstop");

/// Far longer than any of these tests takes: a stop that waited this long would be noticed.
const LONG: &str = "50s";
/// An upper limit for what should take no time, even on a very slow machine.
const SOON: Duration = Duration::from_secs(25);

/// A shell script as a command.
fn sh(script: &str) -> Vec<String> {
    vec!["sh".into(), "-c".into(), script.into()]
}

/// A process that may outlive softstop and does not hold its pipes open.
const QUIET: &str = "sleep 1000 >/dev/null 2>&1";

/// Reads a pid from a line such as `orphan 12`. The process is killed when the test ends.
fn announced(run: &Running, name: &str) -> Stray {
    Stray(run.says(&format!("{name} ")).rsplit(' ').next().unwrap().parse().unwrap())
}

// A second stop request, and signals that are not stop requests.

#[test]
fn a_second_sigterm_is_passed_on_to_a_plain_program() {
    let run = softstop(recorder_until(&["10=7"])).pid_one().start();
    run.says("ready");
    run.signal(15);
    run.says_times("got 15", 1);
    run.signal(15);
    run.says_times("got 15", 2);
    run.logs("again");
    run.signal(10);
    assert_eq!(run.wait().code(7).got(), [15, 15, 10]);
}

#[test]
fn a_second_sigterm_does_not_repeat_a_mapped_stop_signal() {
    for options in [&["--stop-signal", "QUIT"][..], &["-r", "TERM:QUIT"], &["--profile", "nginx", "--pre-delay", "0s"]]
    {
        let run = softstop(words(options.iter().copied(), &recorder_until(&["10=7"]))).pid_one().start();
        run.says("ready");
        run.signal(15);
        run.says("got 3");
        run.signal(15);
        run.logs("another stop request: SIGTERM");
        run.signal(10);
        assert_eq!(run.wait().code(7).got(), [3, 10], "{options:?}");
    }
}

#[test]
fn a_second_sigterm_during_the_pre_delay_does_not_change_the_deadlines() {
    let options = ["--pre-delay", "1s", "--drain-timeout", LONG];
    let run = softstop(words(options, &recorder_until(&["15=7"]))).pid_one().start();
    run.says("ready");
    let start = Instant::now();
    run.signal(15);
    run.logs("pre-delay");
    run.signal(15);
    run.logs("another stop request");
    let outcome = run.wait();
    assert!((Duration::from_secs(1)..SOON).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert_eq!(outcome.code(7).got(), [15]);
}

#[test]
fn sigquit_is_not_a_stop_request_for_a_plain_program() {
    let run = softstop(recorder_until(&["15=7"])).pid_one().start();
    run.says("ready");
    run.signal(3);
    run.says_times("got 3", 1);
    run.signal(2);
    run.says("got 2");
    run.signal(3);
    run.says_times("got 3", 2);
    // One line says that it was none, since a base image's STOPSIGNAL may be SIGQUIT.
    assert_eq!(run.stderr.all().len(), 2, "{:?}", run.stderr.all());
    run.logs("SIGQUIT from outside the container is not a stop request here: passed on");
    run.signal(15);
    assert_eq!(run.wait().code(7).logged("stop requested: SIGTERM").got(), [3, 2, 3, 15]);
}

#[test]
fn the_stop_signal_of_a_profile_is_a_stop_request() {
    // Base images set STOPSIGNAL to the signal that their server stops on.
    let run = softstop(words(["--profile=nginx", "--pre-delay=10ms"], &recorder_until(&["3=0"]))).pid_one().start();
    run.says("ready");
    run.signal(3);
    run.wait().code(0).logged("stop requested: SIGQUIT").logged("pre-delay").logged("drain after SIGQUIT");
}

// The pre-delay.

#[test]
fn a_sighup_during_the_pre_delay_reaches_the_child() {
    let run = softstop(words(["--pre-delay", LONG], &recorder_until(&["15=7"]))).pid_one().start();
    run.says("ready");
    let start = Instant::now();
    run.signal(15);
    run.logs("pre-delay");
    for signal in [1, 10, 12, 28, 37] {
        run.signal(signal);
        run.says(&format!("got {signal}"));
    }
    // The pre-delay has not ended: no SIGTERM has arrived yet.
    run.signal(2);
    assert_eq!(run.wait().code(7).got(), [1, 10, 12, 28, 37, 15]);
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[test]
fn a_child_that_exits_during_the_pre_delay_ends_the_stop_at_once() {
    let run = softstop(words(["--pre-delay", LONG], &recorder_until(&["12=9"]))).pid_one().start();
    run.says("ready");
    let start = Instant::now();
    run.signal(15);
    run.logs("pre-delay");
    run.signal(12);
    let outcome = run.wait();
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    outcome.code(9).logged("exited with code 9").not_logged("SIGKILL").not_logged("drain");
}

#[test]
fn a_child_that_exits_during_the_drain_ends_the_stop_at_once() {
    let run = softstop(words(["--drain-timeout", LONG], &recorder_until(&["15=9"]))).pid_one().start();
    run.says("ready");
    let start = Instant::now();
    run.signal(15);
    run.wait().code(9).logged("exited with code 9").not_logged("SIGKILL");
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

// Signals that end a wait early (`hurry_on`).

#[test]
fn a_hurry_signal_ends_the_pre_delay_and_the_next_one_the_drain() {
    let options = ["--pre-delay", LONG, "--drain-timeout", LONG];
    let run = softstop(words(options, &recorder_until(&["99=0"]))).pid_one().start();
    run.says("ready");
    let start = Instant::now();
    run.signal(15);
    run.logs("pre-delay");
    run.signal(2);
    run.says("got 15");
    run.signal(2);
    let outcome = run.wait();
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert_eq!(outcome.code(137).logged("hurry").logged("SIGKILL").got(), [15]);
}

#[test]
fn a_hurry_signal_is_passed_on_when_there_is_no_wait_with_an_end() {
    let run = softstop(recorder_until(&["10=7"])).pid_one().start();
    run.says("ready");
    run.signal(2); // before a stop
    run.says_times("got 2", 1);
    run.signal(15);
    run.says("got 15");
    run.signal(2); // in a drain without a timeout
    run.says_times("got 2", 2);
    run.signal(10);
    run.wait().code(7).not_logged("hurry");
}

#[test]
fn with_hurry_on_none_no_signal_ends_the_pre_delay() {
    let options = ["--hurry-on", "none", "--pre-delay", LONG];
    let run = softstop(words(options, &recorder_until(&["10=7"]))).pid_one().start();
    run.says("ready");
    run.signal(15);
    run.logs("pre-delay");
    run.signal(2);
    run.says("got 2");
    run.signal(10);
    assert_eq!(run.wait().code(7).got(), [2, 10]);
}

// Deadlines.

#[test]
fn nobody_is_killed_before_the_drain_timeout() {
    let options = ["--pre-delay", "400ms", "--drain-timeout", "1200ms"];
    for (run, who) in [
        (softstop(words(options, &recorder_until(&["99=0"]))).pid_one(), "PID 1"),
        (softstop(words(options, &recorder_until(&["99=0"]))), "a wrapper"),
    ] {
        let run = run.start();
        run.says("ready");
        let start = Instant::now();
        run.signal(15);
        run.says("got 15");
        let stop_signal = start.elapsed();
        let outcome = run.wait();
        let end = start.elapsed();
        assert!(stop_signal >= Duration::from_millis(400), "{who}: the stop signal came after {stop_signal:?}");
        assert!(end >= Duration::from_millis(1600), "{who}: softstop ended after {end:?}");
        // A child that ignores every signal is killed after the pre-delay and the drain timeout.
        assert!(end < SOON, "{who}: softstop ended after {end:?}");
        outcome.code(137).logged("drain timeout").logged("killed pid");
    }
}

#[test]
fn nobody_is_killed_without_a_drain_timeout() {
    // A guessed limit could cut off a database. Waiting can only show so much; the tests of the state machine show that
    // no deadline is set at all.
    let run = softstop(recorder_until(&["10=7"])).pid_one().start();
    run.says("ready");
    run.signal(15);
    run.logs("no drain timeout is set");
    std::thread::sleep(Duration::from_secs(2));
    run.signal(10);
    run.wait().code(7).not_logged("SIGKILL");
}

#[test]
fn the_last_second_of_the_grace_period_is_kept_for_the_report() {
    let options = ["--grace-period", "2s", "--pre-delay", "300ms"];
    let run = softstop(words(options, &recorder_until(&["99=0"]))).pid_one().start();
    run.says("ready");
    let start = Instant::now();
    run.signal(15);
    run.logs("waiting up to 700ms");
    run.wait().code(137);
    assert!((Duration::from_secs(1)..SOON).contains(&start.elapsed()), "{:?}", start.elapsed());
}

// A stopped child.

#[test]
fn a_stopped_child_is_continued_for_its_stop_signal() {
    for options in [&[][..], &["-g"], &["--pre-delay", "50ms"], &["--stop-signal", "QUIT"]] {
        let run = softstop(words(options.iter().copied(), &["sleep".into(), "1000".into()])).pid_one().start();
        let child = run.child();
        run.listens();
        eventually("sleep runs", || has_name(child, "sleep").then_some(()));
        stops(child);
        run.signal(15);
        run.wait().code(if options.contains(&"QUIT") { 131 } else { 143 });
    }
}

#[test]
fn a_child_that_stops_during_the_pre_delay_is_continued_for_its_stop_signal() {
    let run = softstop(["--pre-delay", LONG, "sleep", "1000"]).pid_one().start();
    run.listens();
    let child = run.child();
    eventually("sleep runs", || has_name(child, "sleep").then_some(()));
    run.signal(15);
    run.logs("pre-delay");
    stops(child);
    run.signal(2);
    run.wait().code(143);
}

#[test]
fn tini_leaves_a_stopped_child_stopped() {
    // The negative control: SIGTERM stays pending in the stopped child.
    if !have_program("tini") {
        return;
    }
    let run = program("tini", ["--", "sleep", "1000"]).pid_one().start();
    let child = run.child();
    eventually("sleep runs", || has_name(child, "sleep").then_some(()));
    stops(child);
    run.signal(15);
    eventually("SIGTERM is pending", || (status(child, "ShdPnd")? & 1 << 14 != 0).then_some(()));
    assert_eq!(state(child), Some('T'));
}

/// Stops the process. It is asked again until it is seen stopped: whatever continues it meanwhile is not what is tested.
fn stops(child: i32) {
    eventually("the child is stopped", || {
        send(child, libc::SIGSTOP);
        let state = state(child);
        assert!(!matches!(state, None | Some('Z' | 'X')), "the child has ended: {state:?}");
        (state == Some('T')).then_some(())
    });
}

// SIGKILL to all remaining processes.

/// A shell that ignores SIGTERM, with one child in its process group and one in a new session.
const STUBBORN: &str = "trap '' TERM; sleep 1001 & echo inside $!; setsid sleep 1002 & echo outside $!; \
                        echo ready; while :; do sleep 1003; done";

fn kills_and_names_all(run: Running) {
    // The shell prints pids of its own namespace, which is softstop's too.
    let (inside, outside) = (run.says("inside "), run.says("outside "));
    let [inside, outside] = [inside, outside].map(|line| line.rsplit(' ').next().unwrap().to_owned());
    run.says("ready");
    let family = eventually("all three sleeps run", || {
        let family = descendants(run.pid);
        let names = family.iter().filter(|&&pid| has_name(pid, "sleep"));
        (names.count() == 3).then_some(family)
    });
    run.signal(15);
    let outcome = run.wait();
    outcome.code(137).logged("SIGKILL to every remaining process").logged("SIGKILL to 4 processes");
    for pid in family {
        gone(pid);
    }
    for pid in [inside, outside] {
        let line = outcome.stderr.lines().find(|line| line.contains(&format!("killed pid {pid} (sleep), ")));
        assert!(line.is_some_and(|line| line.ends_with("s old")), "the log does not name {pid}: {outcome:?}");
    }
    outcome.logged("(sh), ");
}

#[test]
fn as_pid_1_softstop_kills_and_names_all_remaining_processes() {
    kills_and_names_all(softstop(words(["--drain-timeout", "300ms"], &sh(STUBBORN))).pid_one().start());
}

#[test]
fn as_a_wrapper_softstop_kills_and_names_all_remaining_processes() {
    kills_and_names_all(softstop(words(["--drain-timeout", "300ms"], &sh(STUBBORN))).start());
}

#[test]
fn the_age_of_a_killed_process_is_logged_in_seconds() {
    let run =
        softstop(words(["--drain-timeout", "1500ms"], &sh("trap '' TERM; echo ready; while :; do sleep 1000; done")))
            .pid_one()
            .start();
    run.says("ready");
    run.signal(15);
    let outcome = run.wait();
    let line = outcome.stderr.lines().find(|line| line.contains("killed pid 2 (sh), ")).unwrap();
    let age: u64 = line.rsplit_once(", ").unwrap().1.trim_end_matches("s old").parse().unwrap();
    assert!((1..60).contains(&age), "{line}");
}

#[test]
fn a_wrapper_kills_no_process_that_it_did_not_start() {
    for options in [&[][..], &["--wait-for", "all"], &["-g"], &["-g", "--wait-for", "all"]] {
        let script = format!(
            "{QUIET} & echo sibling $!; ({QUIET} & echo orphan $!) ; exec {SOFTSTOP} {} --drain-timeout 300ms \
             sh -c '{}'",
            options.join(" "),
            STUBBORN.replace('\'', "'\\''")
        );
        let run = program("sh", ["-c", &script]).start();
        let mut mine = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        // A child that softstop inherited through exec; a process with another parent; and a child of the test.
        let (sibling, orphan) = (announced(&run, "sibling"), announced(&run, "orphan"));
        let ours = [announced(&run, "inside"), announced(&run, "outside")];
        run.says("ready");
        run.signal(15);
        run.wait().code(137);
        for process in ours {
            gone(process.0);
        }
        assert!(sibling.is_alive() && orphan.is_alive(), "{options:?}");
        assert!(mine.try_wait().unwrap().is_none(), "{options:?}");
        mine.kill().unwrap();
        mine.wait().unwrap();
    }
}

#[test]
fn a_wrapper_does_not_wait_for_an_inherited_child() {
    let script = format!("{QUIET} & echo sibling $!; exec {SOFTSTOP} --wait-for all sh -c 'exit 5'");
    let run = program("sh", ["-c", &script]).start();
    let sibling = announced(&run, "sibling");
    run.wait().code(5);
    assert!(sibling.is_alive());
}

// `wait_for`.

#[test]
fn with_wait_for_main_a_wrapper_leaves_other_processes_running() {
    let run = softstop(sh(&format!("{QUIET} & echo other $!; exit 5"))).start();
    let other = announced(&run, "other");
    run.wait().code(5);
    assert!(other.is_alive());
}

/// A main child that exits with 5 on SIGTERM and leaves a recorder behind in a new session.
fn leaves_a_recorder(exits: &str) -> Vec<String> {
    sh(&format!("trap 'exit 5' TERM; setsid {} {exits} & while :; do wait; done", recorder().display()))
}

#[test]
fn with_wait_for_all_the_remaining_processes_get_the_stop_signal() {
    for (is_pid_one, options) in [(true, &[][..]), (false, &[]), (true, &["-g"]), (false, &["-r", "TERM:TERM"])] {
        let options = options.iter().copied().chain(["--wait-for", "all", "--drain-timeout", LONG]);
        let run = softstop(words(options, &leaves_a_recorder("--exit-on 15=0")));
        let run = if is_pid_one { run.pid_one().start() } else { run.start() };
        run.says("ready");
        let start = Instant::now();
        run.signal(15);
        run.says("got 15");
        let outcome = run.wait();
        outcome.code(5).logged("stopping the processes that it left").not_logged("SIGKILL");
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    }
}

#[test]
fn with_wait_for_all_the_remaining_processes_get_the_rest_of_the_drain_timeout() {
    let stop = |run: Softstop| {
        let run = run.start();
        run.says("ready");
        let others = descendants(run.pid);
        let start = Instant::now();
        run.signal(15);
        run.says("got 15");
        assert!(
            start.elapsed() >= Duration::from_secs(5),
            "the recorder got the stop signal before the main child had exited"
        );
        let outcome = run.wait();
        let took = start.elapsed();
        assert!((Duration::from_secs(7)..Duration::from_secs(12)).contains(&took), "{took:?}");
        outcome.code(5).logged("drain timeout").logged("(recorder), ").logged("SIGKILL to 1 process");
        others.into_iter().for_each(gone);
    };
    // The main child takes 5 of the 7 s. If the timeout started again for the rest, the stop would take 12 s.
    let script =
        format!("trap 'sleep 5; exit 5' TERM; setsid {} --exit-on 99=0 & while :; do wait; done", recorder().display());
    let run = || softstop(words(["--wait-for", "all", "--drain-timeout", "7s"], &sh(&script)));
    std::thread::scope(|scope| {
        scope.spawn(|| stop(run().pid_one()));
        scope.spawn(|| stop(run()));
    });
}

#[test]
fn with_wait_for_all_the_others_are_stopped_after_a_main_child_that_exits_by_itself() {
    for is_pid_one in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let script =
            format!("setsid {} --exit-on 15=0 & until [ -e end ]; do sleep 0.05; done; exit 5", recorder().display());
        let run = softstop(words(["--wait-for", "all", "--drain-timeout", LONG], &sh(&script)));
        let run = run.directory(directory.path());
        let run = if is_pid_one { run.pid_one().start() } else { run.start() };
        run.says("ready");
        fs::write(directory.path().join("end"), "").unwrap();
        run.says("got 15");
        run.wait().code(5).logged("exited by itself").not_logged("SIGKILL");
    }
}

// What the log says.

#[test]
fn the_closing_line_sums_up_the_stop() {
    let options = ["--pre-delay", "200ms", "--drain-timeout", "300ms"];
    let run = softstop(words(options, &recorder_until(&["99=0"]))).pid_one().start();
    run.says("ready");
    let start = Instant::now();
    run.signal(15);
    let outcome = run.wait();
    let took = start.elapsed().as_secs_f64();
    let line = outcome.stderr.lines().last().unwrap();
    // The log rounds to a tenth of a second.
    for (before, least) in [("stopped in ", 0.5), ("Z, pre-delay ", 0.2), ("drain after SIGTERM ", 0.3)] {
        let (_, rest) = line.split_once(before).unwrap_or_else(|| panic!("no {before:?} in {line:?}"));
        let seconds: f64 = rest.split_once(" s").unwrap().0.parse().unwrap();
        assert!((least..took + 0.1).contains(&seconds), "{before:?} does not fit into {took} s in {line:?}");
    }
    for part in ["SIGTERM from outside the container at 20", "SIGKILL to 1 process", "recorder was killed by SIGKILL"] {
        assert!(line.contains(part), "no {part:?} in {line:?}");
    }
}

#[test]
fn the_log_names_the_sender_of_the_stop_request() {
    // A wrapper shares the test's pid namespace.
    let run = softstop(recorder_until(&["15=0"])).start();
    run.says("ready");
    run.signal(15);
    let us = std::process::id();
    run.wait()
        .code(0)
        .logged(&format!("stop requested: SIGTERM from pid {us}"))
        .logged(", recorder exited with code 0");

    // From inside the namespace: the main child has pid 2.
    let outcome = softstop(["sh", "-c", "trap 'exit 6' TERM; kill 1; while :; do sleep 0.01; done"]).pid_one().run();
    outcome.code(6).logged("stop requested: SIGTERM from pid 2");
}

#[test]
fn nothing_is_logged_without_a_stop() {
    for command in ["exit 0", "exit 3", "sleep 0.01 & sleep 0.05", "kill -1 1; exec sleep 0.1"] {
        let outcome = softstop(sh(command)).pid_one().run();
        assert_eq!(outcome.stderr, "", "{command}");
    }
}

#[test]
fn every_line_of_the_json_log_is_valid_json() {
    if !have_program("python3") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    // The log names killed processes. This name has all that JSON requires to be escaped.
    let name = directory.path().join("a \"b\"\\\tc");
    fs::copy(in_path("sleep").unwrap(), &name).unwrap();
    let options = ["-vvv", "--log-format", "json", "--pre-delay", "20ms", "--drain-timeout", "300ms"];
    let script = "trap '' HUP TERM; \"$0\" 1000 & echo ready; while :; do sleep 1000; done";
    let command = [sh(script), vec![name.to_str().unwrap().to_owned()]].concat();
    let run = softstop(words(options, &command)).pid_one().start();
    run.says("ready");
    eventually("the copy of sleep runs", || {
        descendants(run.pid).into_iter().find(|&pid| has_name(pid, "a \"b\"\\\tc"))
    });
    run.signal(1).signal(15);
    let outcome = run.wait();
    outcome.code(137);
    let check = "import json, sys\n\
                 lines = [json.loads(line) for line in open(sys.argv[1])]\n\
                 assert all(sorted(line) == ['level', 'message', 'time'] for line in lines)\n\
                 assert any('(%s)' % sys.argv[2] in line['message'] for line in lines)\n\
                 print(len(lines))";
    let log = directory.path().join("log");
    fs::write(&log, &outcome.stderr).unwrap();
    let in_the_log = "a \"b\"\\\\tc"; // softstop logs the tab as \t
    let checked = program("python3", ["-c", check, log.to_str().unwrap(), in_the_log]).run();
    checked.code(0);
    assert!(checked.stdout.trim() == outcome.stderr.lines().count().to_string(), "{checked:?}");
}
