//! Requests that are not answered yet keep a server that cannot finish them serving; idle connections keep nobody.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test panics when it fails; unlike the init it may read the clock and wait for its children"
)]

use common::http::*;
use common::namespace::have_network;
use common::*;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use libc::SIGTERM;

/// How long the fixture server is silent before it answers `GET /late`.
const SILENCE: Duration = Duration::from_secs(4);
/// How late a stop may end on a slow machine.
const MARGIN: Duration = Duration::from_secs(10);

/// The fixture server under softstop as PID 1, behind these words, and its port. SIGTERM kills it by default.
#[track_caller]
fn server_under(options: &[&str], before: &[&str]) -> (u16, Running) {
    let server = fixture("server");
    let command = before.iter().copied().chain([server.to_str().unwrap()]);
    let run = softstop(options.iter().copied().chain(command)).pid_one().start();
    let port = run.says("port ")[5..].parse().unwrap();
    run.says("ready");
    (port, run)
}

/// Words that run the server without `exec`.
const BEHIND_A_SCRIPT: [&str; 4] = ["sh", "-c", "\"$@\"; exit $?", "sh"];
/// Words after which it ignores SIGTERM, and so never exits.
const IGNORES: [&str; 4] = ["sh", "-c", "trap '' TERM; exec \"$@\"", "sh"];

/// A connection that is kept alive.
struct Kept(TcpStream);

impl Kept {
    fn to(port: u16) -> Self {
        Self(TcpStream::connect(("127.0.0.1", port)).unwrap())
    }

    fn ask(&mut self, path: &str) {
        self.0.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
    }

    /// Reads the answer `hello`, if one comes.
    fn is_answered(&mut self) -> bool {
        let mut answer = Vec::new();
        while !answer.ends_with(b"hello") {
            let mut some = [0; 256];
            match self.0.read(&mut some) {
                Ok(length @ 1..) => answer.extend(&some[..length]),
                Ok(0) | Err(_) => return false,
            }
        }
        true
    }
}

// A server that cannot finish.

/// Stops the server during the silence before an answer. Returns whether the answer came, how long the stop took and how it ended.
#[track_caller]
fn stopped_before_the_answer(options: &[&str], before: &[&str]) -> (bool, Duration, Outcome) {
    let (port, run) = server_under(options, before);
    // So that some silence is enough, and not the upper bound alone.
    ask_for(HISTORY, || get(port, "/"));
    let mut client = Kept::to(port);
    client.ask("/late");
    // Until the server has read the request: one that is not read yet is another case.
    let fresh = get(port, "/").unwrap();
    assert_eq!(fresh, b"hello");
    let asked = Instant::now();
    run.signal(SIGTERM).logs("stop requested");
    let is_answered = client.is_answered();
    let outcome = run.wait();
    (is_answered, asked.elapsed(), outcome)
}

#[test]
fn an_unanswered_request_keeps_a_server_that_cannot_finish_serving() {
    if !have_network() {
        return;
    }
    thread::scope(|scope| {
        for before in [&[][..], &BEHIND_A_SCRIPT] {
            scope.spawn(move || {
                let (is_answered, took, outcome) = stopped_before_the_answer(&["--pre-delay", "1s..30s"], before);
                assert!(is_answered, "{outcome:?}");
                assert!(took < SILENCE + MARGIN, "{took:?}: {outcome:?}");
                outcome.code(143).logged("none under way");
            });
        }
        // Without any setting: it was called, so it has a pre-delay of its own.
        scope.spawn(|| {
            let (is_answered, _, outcome) = stopped_before_the_answer(&[], &BEHIND_A_SCRIPT);
            assert!(is_answered, "{outcome:?}");
            outcome.code(143).logged("none is unanswered and no response is sent");
        });
        // The control: if only new requests count the answer is lost.
        scope.spawn(|| {
            let options = ["--pre-delay", "1s..30s", "--quiet", "1s", "--quiet-means", "requests"];
            let (is_answered, took, outcome) = stopped_before_the_answer(&options, &[]);
            assert!(!is_answered && took < SILENCE, "{took:?}: {outcome:?}");
        });
    });
}

#[test]
fn no_answer_is_waited_for_longer_than_the_upper_bound() {
    if !have_network() {
        return;
    }
    let options = ["--pre-delay", "500ms..2s", "--quiet", "500ms"];
    let (is_answered, took, outcome) = stopped_before_the_answer(&options, &[]);
    assert!(!is_answered, "{outcome:?}");
    assert!((Duration::from_secs(2)..SILENCE).contains(&took), "{took:?}: {outcome:?}");
    outcome.code(143).logged("not quiet: requests are unanswered");
}

/// A server that answers until it is asked for /never, and ends on SIGTERM with 3.
const CATCHES: &str = r#"
    use IO::Socket::INET;
    $| = 1;
    my $listener = IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 5) or die;
    $SIG{TERM} = sub { exit 3 };
    print "port ", $listener->sockport, "\n";
    while (my $connection = $listener->accept) {
        sysread $connection, my $request, 100;
        if ($request =~ m{^GET /never }) {
            print "asked\n";
            sleep 1 while 1;
        }
        syswrite $connection, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        close $connection;
    }
"#;

#[test]
fn a_server_that_catches_sigterm_is_told_before_the_answer() {
    // The control: it can finish, as far as is known, and the answer is its own matter.
    if !have_network() || !have_program("perl") {
        return;
    }
    let options = ["--pre-delay", "500ms..30s", "--quiet", "500ms"];
    let run = softstop(options.into_iter().chain(["perl", "-e", CATCHES])).pid_one().start();
    let port: u16 = run.says("port ")[5..].parse().unwrap();
    ask_for(HISTORY, || get(port, "/"));
    let mut client = Kept::to(port);
    client.ask("/never");
    run.says("asked");
    let (took, outcome) = run.stopped();
    assert!(took < MARGIN, "{took:?}: {outcome:?}");
    outcome.code(3).logged("quiet: no request for ");
}

// `drain_until = "idle"`.

const IDLE: [&str; 6] = ["--pre-delay", "0s", "--drain-until", "idle", "--quiet", "1s"];

/// Stops a server that never exits by itself, with one connection that is kept alive and idle.
#[track_caller]
fn stopped_with_an_idle_connection(options: &[&str]) -> (Duration, Outcome) {
    let (port, run) = server_under(options, &IGNORES);
    let mut client = Kept::to(port);
    client.ask("/");
    assert!(client.is_answered());
    run.stopped()
}

#[test]
fn with_drain_until_idle_an_idle_connection_ends_the_drain_early() {
    if !have_network() {
        return;
    }
    let (took, outcome) = stopped_with_an_idle_connection(&[&IDLE[..], &["--drain-timeout", "40s"]].concat());
    assert!((Duration::from_secs(1)..MARGIN).contains(&took), "{took:?}: {outcome:?}");
    outcome.code(137).logged("has had only idle connections for 1s and has not exited");
}

/// The control: the other value of `drain_until`.
#[test]
fn with_drain_until_exit_an_idle_connection_holds_the_drain_to_its_end() {
    if !have_network() {
        return;
    }
    let options = ["--pre-delay", "0s", "--drain-timeout", "3s", "--quiet", "1s"];
    let (took, outcome) = stopped_with_an_idle_connection(&options);
    assert!(took >= Duration::from_secs(3), "{took:?}: {outcome:?}");
    outcome.code(137).logged("drain timeout: still running after 3s").not_logged("idle connections");
}

#[test]
fn with_drain_until_idle_a_busy_connection_has_its_answer_first() {
    if !have_network() {
        return;
    }
    let options = [&IDLE[..], &["--drain-timeout", "40s"]].concat();
    thread::scope(|scope| {
        // A response that flows, and a request that is not answered yet.
        scope.spawn(|| {
            let (port, run) = server_under(&options, &IGNORES);
            let slow = Download::start(port, "/slow").unwrap();
            run.signal(SIGTERM);
            assert_eq!(slow.finish().map(|body| body.len()), Ok(6000));
            run.wait().code(137);
        });
        scope.spawn(|| {
            let (port, run) = server_under(&options, &IGNORES);
            let mut client = Kept::to(port);
            client.ask("/late");
            assert_eq!(get(port, "/").unwrap(), b"hello");
            run.signal(SIGTERM);
            assert!(client.is_answered());
            run.wait().code(137).logged("has had only idle connections for 1s and has not exited");
        });
    });
}

#[test]
fn with_drain_until_idle_a_busy_connection_is_cut_off_at_the_drain_timeout() {
    if !have_network() {
        return;
    }
    let options = [&IDLE[..], &["--drain-timeout", "2s"]].concat();
    let (port, run) = server_under(&options, &IGNORES);
    let mut client = Kept::to(port);
    client.ask("/late");
    assert_eq!(get(port, "/").unwrap(), b"hello");
    let (took, outcome) = run.stopped();
    assert!((Duration::from_secs(2)..SILENCE).contains(&took), "{took:?}: {outcome:?}");
    outcome.code(137).logged("drain timeout: still running after 2s").logged("cut off 127.0.0.1:");
    assert!(!client.is_answered());
}
