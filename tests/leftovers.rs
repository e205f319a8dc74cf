//! What is left when no server is: a wrapper that does not exit after its server, and processes that have no client's connection.
//! Each is asked once, after a time in which it could have exited by itself.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test panics when it fails; unlike the init it may read the clock and wait for its children"
)]

use common::namespace::have_network;
use common::*;

use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use libc::{SIGCONT, SIGSTOP, SIGTERM};
use softstop::shutdown::{LEFTOVER_WAIT, WRAPPER_WAIT};

/// How late a stop may end on a slow machine.
const MARGIN: Duration = Duration::from_secs(10);

/// A main child that becomes a server, which exits with 9 on SIGTERM, and leaves this.
fn leaves(command: &str) -> String {
    format!("{command} & exec {}", server_until(&["15=9"]))
}

/// A recorder that nothing ends but SIGKILL, with the name `left`.
fn stubborn() -> String {
    format!("{} --name left", recorder_until(&["99=0"]).join(" "))
}

/// A script that waits for a signal.
const WAIT: &str = "while :; do sleep 0.05; done";

/// A stop from its request on.
struct Stop {
    run: Running,
    asked: Instant,
}

impl Stop {
    /// Starts the script under softstop with these options, and stops it when all these lines have come.
    #[track_caller]
    fn of(options: &[&str], script: &str, ready: &[&str]) -> Self {
        let run = softstop_script(options, script).pid_one().start();
        for line in ready {
            run.says(line);
        }
        Self::begin(run)
    }

    fn begin(run: Running) -> Self {
        let asked = Instant::now();
        run.signal(SIGTERM);
        Self { run, asked }
    }

    /// Waits for the end, which must come this long after the request.
    #[track_caller]
    fn ends_after(self, least: Duration) -> Outcome {
        let outcome = self.run.wait();
        let took = self.asked.elapsed();
        assert!((least..least + MARGIN).contains(&took), "{took:?}: {outcome:?}");
        outcome
    }
}

fn times(outcome: &Outcome, line: &str) -> usize {
    outcome.stdout.lines().filter(|said| *said == line).count()
}

// The wrapper.

#[test]
fn a_wrapper_that_does_not_exit_after_its_server_is_asked_after_five_seconds() {
    if !have_network() {
        return;
    }
    // The second one takes its time after that. Its trap is set only after the server's end: before it the script would be asked
    // in the server's place.
    let scripts = [(WAIT, 0, 143), ("trap 'sleep 2; exit 6' TERM; while :; do sleep 0.05; done", 2, 6)];
    thread::scope(|scope| {
        for (then, seconds, code) in scripts {
            scope.spawn(move || {
                let script = format!("{}; {then}", server_until(&["15=3"]));
                let stop = Stop::of(&["-vv"], &script, &["ready"]);
                let outcome = stop.ends_after(WRAPPER_WAIT + Duration::from_secs(seconds));
                outcome.code(code).logged("sent SIGTERM to sh (pid 2), which has not exited after its server");
                assert_eq!(times(&outcome, "got 15"), 1, "{outcome:?}");
                // One to the server and one to the wrapper.
                assert_eq!(outcome.stderr.matches("debug: sent SIGTERM\n").count(), 2, "{outcome:?}");
            });
        }
    });
}

/// The control: one that takes a second to exit is left alone.
#[test]
fn a_wrapper_that_exits_after_its_server_is_not_asked() {
    if !have_network() {
        return;
    }
    let script = format!("{}; sleep 1; exit 4", server_until(&["15=3"]));
    let outcome = Stop::of(&["-vv"], &script, &["ready"]).ends_after(Duration::from_secs(1));
    outcome.code(4).not_logged("has not exited after its server");
    assert_eq!(outcome.stderr.matches("debug: sent SIGTERM\n").count(), 1, "{outcome:?}");
}

#[test]
fn a_drain_timeout_ends_a_wrapper_that_ignores_sigterm() {
    if !have_network() {
        return;
    }
    let script = format!("{}; trap '' TERM; while :; do sleep 0.05; done", server_until(&["15=3"]));
    let outcome = Stop::of(&["--drain-timeout", "3s"], &script, &["ready"]).ends_after(Duration::from_secs(3));
    outcome.code(137).logged("drain timeout: still running after 3s").logged("killed pid 2 (sh)");
}

// Others.

#[test]
fn a_process_without_a_clients_connection_is_asked_after_two_seconds_and_left_after_two_more() {
    if !have_network() {
        return;
    }
    let ends = |run: Softstop| {
        let run = run.start();
        run.says("left: ready");
        run.says("ready");
        let main = run.child();
        let left = Stray(descendants(run.pid).into_iter().find(|&pid| pid != main).unwrap());
        let stop = Stop::begin(run);
        stop.run.says("left: got 15");
        let asked = stop.asked.elapsed();
        assert!(asked >= LEFTOVER_WAIT, "it was asked after {asked:?}");
        let outcome = stop.ends_after(LEFTOVER_WAIT * 2);
        outcome.code(9).logged("sent SIGTERM to processes that are left, which have no client's connection");
        outcome.logged("(recorder), ").logged("which has no client's connection and did not exit on its signal");
        outcome.logged("stopped in ").not_logged("SIGKILL");
        assert_eq!((times(&outcome, "got 15"), times(&outcome, "left: got 15")), (1, 1), "{outcome:?}");
        (outcome, left)
    };
    let script = leaves(&stubborn());
    let run = || softstop(["sh", "-c", &script]);
    thread::scope(|scope| {
        scope.spawn(|| {
            ends(run().pid_one()).0.logged("leaving pid 3 (recorder), ");
        });
        scope.spawn(|| {
            let (outcome, left) = ends(run());
            outcome.logged(&format!("leaving pid {} (recorder), ", left.0));
            assert!(left.is_alive());
        });
    });
}

#[test]
fn a_process_that_exits_by_itself_within_two_seconds_is_sent_nothing() {
    if !have_network() {
        return;
    }
    // The control. It ends when its sibling has.
    let left = format!(
        "({} --name left & left=$!; read line; sleep 1; kill -40 $left; wait)",
        recorder_until(&["40=0"]).join(" ")
    );
    let script = format!("mkfifo lives; {left} <lives & exec 9>lives; exec {}", server_until(&["15=9"]));
    let directory = tempfile::tempdir().unwrap();
    let run = softstop(["sh", "-c", &script]).directory(directory.path()).pid_one().start();
    run.says("left: ready");
    run.says("ready");
    let outcome = Stop::begin(run).ends_after(Duration::from_secs(1));
    outcome.code(9).not_logged("no client's connection").not_logged("leaving");
    assert_eq!(times(&outcome, "left: got 15"), 0, "{outcome:?}");
}

#[test]
fn with_a_drain_timeout_what_is_left_has_its_rest_and_is_killed_at_its_end() {
    if !have_network() {
        return;
    }
    let stop = Stop::of(&["--drain-timeout", "5s"], &leaves(&stubborn()), &["left: ready", "ready"]);
    let outcome = stop.ends_after(Duration::from_secs(5));
    outcome.code(9).logged("drain timeout: still running after 5s").logged("killed pid 3 (recorder)");
    outcome.not_logged("leaving");
    assert_eq!(times(&outcome, "left: got 15"), 1, "{outcome:?}");
}

#[test]
fn a_filter_on_the_output_has_time_for_the_last_line_in_a_stop() {
    if !have_network() || !have_program("bash") {
        return;
    }
    let script =
        format!("exec > >(sleep 0.5; exec cat); trap 'echo the last line; exit 5' TERM; echo ready >&2; {WAIT}");
    thread::scope(|scope| {
        for options in [&[][..], &["--wait-for", "all"]] {
            let run = softstop(options.iter().copied().chain(["bash", "-c", &script])).pid_one().start();
            scope.spawn(move || {
                run.logs("ready");
                let outcome = Stop::begin(run).ends_after(Duration::ZERO);
                assert_eq!(outcome.code(5).stdout, "the last line\n", "{options:?}");
            });
        }
    });
}

// Connections.

/// A server that accepts one connection and leaves it to a child, which waits for the client's next byte or its end. SIGTERM ends
/// the server with 9, and the child says that it got it.
const LEAVES_A_CONNECTION: &str = r#"
    use IO::Socket::INET;
    $| = 1;
    my $listener = IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 5) or die;
    $SIG{TERM} = sub { exit 9 };
    print "port ", $listener->sockport, "\n";
    my $connection = $listener->accept;
    if (!fork) {
        close $listener;
        $SIG{TERM} = sub { syswrite STDOUT, "left: got 15\n" };
        print "left: ready\n";
        1 while !defined sysread $connection, my $byte, 1;
        exit;
    }
    close $connection;
    sleep 1 while 1;
"#;

/// A server with a child that has a connection to a port outside.
const LEAVES_AN_OUTGOING_CONNECTION: &str = r#"
    use IO::Socket::INET;
    $| = 1;
    my $listener = IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 5) or die;
    my $connection = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$ARGV[0]") or die;
    if (!fork) {
        close $listener;
        $SIG{TERM} = sub { syswrite STDOUT, "left: got 15\n"; exit };
        print "left: ready\n";
        1 while !defined sysread $connection, my $byte, 1;
        exit;
    }
    close $connection;
    $SIG{TERM} = sub { exit 9 };
    print "ready\n";
    sleep 1 while 1;
"#;

#[test]
fn a_process_with_a_clients_connection_is_waited_for_and_not_asked() {
    if !have_network() || !have_program("perl") {
        return;
    }
    let run = softstop(["--pre-delay", "0s", "perl", "-e", LEAVES_A_CONNECTION]).pid_one().start();
    let port: u16 = run.says("port ")[5..].parse().unwrap();
    let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    run.says("left: ready");
    let stop = Stop::begin(run);
    stop.run.logs("perl (pid 2) exited with code 9; stopping the processes that it left");
    // It can only be shown that nothing happens for longer than a process without a connection has.
    thread::sleep(LEFTOVER_WAIT + Duration::from_millis(1500));
    assert!(stop.run.is_running());
    drop(client);
    let outcome = stop.ends_after(LEFTOVER_WAIT);
    outcome.code(9).not_logged("no client's connection").not_logged("leaving");
    assert_eq!(times(&outcome, "left: got 15"), 0, "{outcome:?}");
}

/// The control: to be a client of others holds nobody.
#[test]
fn a_process_with_an_outgoing_connection_is_asked_after_two_seconds() {
    if !have_network() || !have_program("perl") {
        return;
    }
    let elsewhere = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = elsewhere.local_addr().unwrap().port().to_string();
    let words = ["--pre-delay", "0s", "perl", "-e", LEAVES_AN_OUTGOING_CONNECTION, &port];
    let run = softstop(words).pid_one().start();
    let (_connection, _) = elsewhere.accept().unwrap();
    run.says("left: ready");
    run.says("ready");
    let outcome = Stop::begin(run).ends_after(LEFTOVER_WAIT);
    outcome.code(9).logged("sent SIGTERM to processes that are left, which have no client's connection");
    assert_eq!(times(&outcome, "left: got 15"), 1, "{outcome:?}");
}

// Stopped processes.

#[test]
fn a_stopped_server_behind_a_script_is_continued_for_its_stop_signal() {
    if !have_network() {
        return;
    }
    let run = softstop(["sh", "-c", &format!("{}; exit 4", server_until(&["15=3"]))]).pid_one().start();
    run.says("ready");
    let server = run.descendant("recorder");
    send(server, SIGSTOP);
    eventually("the server is stopped", || (state(server) == Some('T')).then_some(()));
    let outcome = Stop::begin(run).ends_after(Duration::ZERO);
    outcome.code(4);
    assert_eq!(times(&outcome, "got 15"), 1, "{outcome:?}");
}

#[test]
fn a_stopped_process_that_is_left_is_continued_for_its_signal() {
    if !have_network() {
        return;
    }
    let left = format!("{} --name left", recorder_until(&["15=0"]).join(" "));
    let run = softstop(["sh", "-c", &leaves(&left)]).pid_one().start();
    run.says("left: ready");
    run.says("ready");
    let main = run.child();
    let left = descendants(run.pid).into_iter().find(|&pid| pid != main).unwrap();
    send(left, SIGSTOP);
    eventually("it is stopped", || (state(left) == Some('T')).then_some(()));
    let outcome = Stop::begin(run).ends_after(LEFTOVER_WAIT);
    outcome
        .code(9)
        .logged("sent SIGTERM to processes that are left, which have no client's connection")
        .not_logged("leaving");
    assert_eq!(times(&outcome, "left: got 15"), 1, "{outcome:?}");
}

/// The control: nothing but SIGCONT makes a stopped process act on SIGTERM.
#[test]
fn a_stopped_process_does_not_act_on_sigterm() {
    let run = program(recorder(), ["--exit-on", "15=3"]).start();
    run.says("ready");
    send(run.pid, SIGSTOP);
    eventually("it is stopped", || (state(run.pid) == Some('T')).then_some(()));
    send(run.pid, SIGTERM);
    eventually("SIGTERM is pending", || (status(run.pid, "ShdPnd")? & 1 << 14 != 0).then_some(()));
    assert_eq!(state(run.pid), Some('T'));
    send(run.pid, SIGCONT);
    run.wait().code(3);
}
