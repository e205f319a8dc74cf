//! A pre-delay that watches traffic: it lasts as long as requests come, and not much longer. Real servers and clients
//! run in a network namespace, once with netlink and once with a seccomp filter that refuses netlink.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test panics when it fails, and may read the clock"
)]

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use common::docker::{Files, file_with, have_engine};
use common::http::*;
use common::namespace::*;
use common::nginx::Nginx;
use common::*;
use libc::{SIGINT, SIGTERM};

/// The binary under test.
const SOFTSTOP: &str = env!("CARGO_BIN_EXE_softstop");

/// The `--quiet` of these stops, unless a test says otherwise.
const QUIET: Duration = Duration::from_secs(1);
/// How late a wait may end. Quiet is noticed at the next snapshot, up to a second later, and a slow or busy machine is
/// late with everything. A stop that missed the quiet would take the 30 s of [`LONG`].
const MARGIN: Duration = Duration::from_secs(10);
/// A range whose upper bound none of these stops should reach.
const LONG: &str = "1s..30s";
/// The address of clients that a test distinguishes from others.
const PROBE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 7);

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Starts nginx under softstop as PID 1 with these options, and waits until it answers.
#[track_caller]
fn nginx_under(options: &[&str]) -> (Nginx, Running) {
    let nginx = Nginx::new();
    nginx.says("hello"); // the answer of the fixture server too
    let run = softstop(words(options.iter().copied().chain(["--"]), &nginx.command())).pid_one().start();
    is_up(|| {
        assert!(run.is_running(), "{:?}", run.stderr.all());
        nginx.get()
    });
    (nginx, run)
}

/// Starts the fixture server under softstop as PID 1 with these options, and waits until it listens. Returns its port.
#[track_caller]
fn server_under(options: &[&str], arguments: &[&str]) -> (u16, Running) {
    let server = fixture("server");
    let program = ["--", server.to_str().unwrap()];
    let run = softstop(options.iter().chain(&program).chain(arguments)).pid_one().start();
    let port = run.says("port ");
    run.says("ready");
    (port[5..].parse().unwrap(), run)
}

/// A softstop that has been asked to stop.
struct Stop {
    run: Running,
    asked: Instant,
}

impl Stop {
    fn of(run: Running) -> Self {
        let asked = Instant::now();
        run.signal(SIGTERM).logs("stop requested");
        Self { run, asked }
    }

    /// Waits for the end. Returns how softstop ended, and when.
    #[track_caller]
    fn ends(self) -> (Outcome, Instant) {
        let outcome = self.run.wait();
        (outcome, Instant::now())
    }

    /// Waits for the end of the pre-delay.
    #[track_caller]
    fn drains(&self) -> Instant {
        self.run.logs("drain: sent ");
        Instant::now()
    }

    fn is_draining(&self) -> bool {
        self.run.stderr.all().iter().any(|line| line.contains("drain: sent "))
    }
}

#[track_caller]
fn between(took: Duration, least: Duration, most: Duration) {
    assert!(took + ms(50) >= least && took <= most, "it took {took:?}, not {least:?} to {most:?}");
}

/// Sends requests until `end` and expects an answer to each. Returns when the last one was sent.
#[track_caller]
fn ask_until(end: Instant, mut ask: impl FnMut() -> Result<Vec<u8>, Lost>) -> Instant {
    loop {
        let asked = Instant::now();
        assert!(ask().is_ok(), "a request was lost");
        thread::sleep(ms(100));
        if Instant::now() > end {
            return asked;
        }
    }
}

/// Sends a request from this address and reads the whole response.
fn get_from(from: Ipv4Addr, port: u16) -> Result<Vec<u8>, Lost> {
    let stream = connect_from(from, (Ipv4Addr::LOCALHOST, port).into()).map_err(|_| Lost::Refused)?;
    Download::over(stream, "/")?.finish()
}

/// A thread that repeats an action until this is dropped.
struct Again {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Again {
    fn every<T>(pause: Duration, mut act: impl FnMut() -> T + Send + 'static) -> Self {
        let is_over: Arc<AtomicBool> = Arc::default();
        let over = is_over.clone();
        let thread = thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                act();
                thread::sleep(pause);
            }
        });
        Self { is_over, thread: Some(thread) }
    }
}

impl Drop for Again {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

/// A keep-alive connection.
struct Kept(TcpStream);

impl Kept {
    fn with(port: u16) -> Self {
        Self::to(([127, 0, 0, 1], port).into())
    }

    fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEAD_MAN)).unwrap();
        Self(stream)
    }

    /// Sends a request and reads its answer of five bytes.
    fn ask(&mut self) -> std::io::Result<()> {
        self.0.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let mut got = Vec::new();
        while !got.windows(4).any(|four| four == b"\r\n\r\n") || !got.ends_with(HELLO) {
            let mut buffer = [0; 1024];
            match self.0.read(&mut buffer)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                length => got.extend(&buffer[..length]),
            }
        }
        Ok(())
    }
}

/// The answer of both servers.
const HELLO: &[u8] = b"hello";

fn have_nginx() -> bool {
    have_program("nginx") && have_program("unshare")
}

#[test]
fn nginx_serves_while_requests_come_and_stops_when_they_have_been_quiet() {
    if !have_nginx() {
        return;
    }
    both_ways_at_once("nginx_serves_while_requests_come_and_stops_when_they_have_been_quiet", |_| {
        thread::scope(|scope| {
            for lag in [500, 4000].map(ms) {
                scope.spawn(move || {
                    let (nginx, run) = nginx_under(&["--pre-delay", LONG, "--quiet", "1s"]);
                    let stop = Stop::of(run);
                    let last = ask_until(stop.asked + lag, || nginx.get());
                    let (outcome, end) = stop.ends();
                    between(end - last, QUIET, QUIET + MARGIN);
                    outcome.code(0).logged("keeps serving for 1s to 30s, until no request arrives for 1s");
                    outcome.logged("quiet: no request for 1s").logged("drain: sent SIGQUIT to nginx");
                });
            }
        });
    });
}

#[test]
fn the_drain_gets_the_time_that_the_pre_delay_did_not_need() {
    both_ways_at_once("the_drain_gets_the_time_that_the_pre_delay_did_not_need", |_| {
        let options = ["--pre-delay", "1s..20s", "--quiet", "1s", "--grace-period", "30s"];
        let (_, run) = server_under(&options, &[]);
        let stop = Stop::of(run);
        let line = stop.run.logs("drain: sent ");
        let (_, time) = line.split_once("waiting up to ").unwrap();
        let (time, _) = time.split_once(" for its exit").unwrap();
        // 9 s, and what the pre-delay left of its 20 s: nearly 19 s, and less on a slow machine.
        let seconds: u32 = time.split_once('s').unwrap().0.parse().unwrap();
        assert!((9 + 20 - 12..9 + 20 - 1).contains(&seconds), "{line}");
        assert!(!time.contains("us") && !time.contains("ns"), "{line}");
        stop.ends().0.code(143);
    });
}

/// The control: with a fixed pre-delay of the same lower bound, the longer of the lags above loses requests.
#[test]
fn a_fixed_pre_delay_that_is_shorter_than_the_lag_loses_requests() {
    if !have_nginx() {
        return;
    }
    let (nginx, run) = nginx_under(&["--pre-delay", "1s"]);
    let stop = Stop::of(run);
    let served = served_since(stop.asked, || nginx.get());
    assert!(served.lasted < ms(4000), "{served:?}");
    stop.ends().0.code(0).not_logged("quiet");
}

#[test]
fn a_slow_response_does_not_prolong_the_pre_delay_and_is_not_cut_off() {
    if !have_nginx() {
        return;
    }
    both_ways_at_once("a_slow_response_does_not_prolong_the_pre_delay_and_is_not_cut_off", |way| {
        let (nginx, run) = nginx_under(&["--pre-delay", LONG, "--quiet", "1s"]);
        let trickle = Download::start(nginx.port, "/trickle").unwrap();
        let trickle = thread::spawn(|| trickle.finish());
        let stop = Stop::of(run);
        let drains = stop.drains();
        if way == Way::Netlink {
            // /proc/net/tcp cannot exclude that an arriving segment was a request, so that the pre-delay may last
            // longer.
            between(drains - stop.asked, QUIET, QUIET + MARGIN);
            assert!(!trickle.is_finished());
        }
        assert!(trickle.join().unwrap().unwrap() == Nginx::trickle());
        stop.ends().0.code(0);
    });
}

#[test]
fn with_quiet_means_traffic_a_slow_response_prolongs_the_pre_delay() {
    if !have_nginx() {
        return;
    }
    both_ways_at_once("with_quiet_means_traffic_a_slow_response_prolongs_the_pre_delay", |_| {
        // With `limit_rate` nginx sends about once a second, so that the quiet has to be longer.
        let (nginx, run) = nginx_under(&["--pre-delay", LONG, "--quiet", "2s", "--quiet-means", "traffic"]);
        let trickle = Download::start(nginx.port, "/trickle").unwrap();
        let stop = Stop::of(run);
        assert!(trickle.finish().unwrap() == Nginx::trickle());
        let sent = Instant::now();
        assert!(!stop.is_draining(), "the drain began before the response was complete");
        between(stop.drains() - sent, ms(1000), ms(2000) + MARGIN);
        stop.ends().0.code(0).logged("quiet: no request and no response for 2s");
    });
}

#[test]
fn without_traffic_the_pre_delay_takes_its_lower_bound() {
    if !have_nginx() {
        return;
    }
    both_ways_at_once("without_traffic_the_pre_delay_takes_its_lower_bound", |_| {
        let (_nginx, run) = nginx_under(&["--pre-delay", LONG, "--quiet", "1s"]);
        let stop = Stop::of(run);
        let asked = stop.asked;
        let (outcome, end) = stop.ends();
        between(end - asked, ms(1000), ms(1000) + MARGIN);
        outcome.code(0).logged("quiet: no request for 1s");
    });
}

#[test]
fn without_a_listener_the_pre_delay_takes_its_lower_bound() {
    let name = "without_a_listener_the_pre_delay_takes_its_lower_bound";
    both_ways_at_once(name, |_| {
        let options = ["--pre-delay", LONG, "--quiet", "20s"];
        let run = softstop(words(options, &recorder_until(&[]))).pid_one().start();
        run.says("ready");
        let stop = Stop::of(run);
        let asked = stop.asked;
        let (outcome, end) = stop.ends();
        between(end - asked, ms(1000), ms(1000) + MARGIN);
        outcome.code(0).not_logged("new connection");
    });
}

#[test]
fn without_evidence_the_pre_delay_takes_its_upper_bound_and_one_line_says_so() {
    let name = "without_evidence_the_pre_delay_takes_its_upper_bound_and_one_line_says_so";
    if Way::here().is_none() && !have("root, to unmount /proc", is_root()) {
        return;
    }
    within(name, &[], &[Way::ProcNet], |_| {
        let without_proc = "umount -l /proc; umount -l /proc; [ ! -e /proc/self ] && exec \"$@\"";
        let options = ["--pre-delay", "1s..4s", "--quiet", "1s"];
        let run =
            softstop(words(options, &recorder_until(&[]))).through(["sh", "-c", without_proc, "sh"]).pid_one().start();
        run.says("ready");
        let stop = Stop::of(run);
        let asked = stop.asked;
        let (outcome, end) = stop.ends();
        between(end - asked, ms(4000), ms(4000) + MARGIN);
        let times = outcome.stderr.matches("cannot see the traffic").count();
        assert_eq!(times, 1, "{outcome:?}");
    });
}

#[test]
fn an_idle_keep_alive_connection_does_not_prolong_the_pre_delay() {
    if !have_nginx() {
        return;
    }
    both_ways_at_once("an_idle_keep_alive_connection_does_not_prolong_the_pre_delay", |_| {
        let (nginx, run) = nginx_under(&["--pre-delay", LONG, "--quiet", "1s"]);
        let mut kept = Kept::with(nginx.port);
        kept.ask().unwrap();
        let stop = Stop::of(run);
        between(stop.drains() - stop.asked, ms(1000), ms(1000) + MARGIN);
        stop.ends().0.code(0).logged("; 1 connection open, 0 of them busy").logged("1 open at SIGQUIT");
    });
}

#[test]
fn requests_on_one_keep_alive_connection_prolong_the_pre_delay() {
    if !have_nginx() {
        return;
    }
    both_ways_at_once("requests_on_one_keep_alive_connection_prolong_the_pre_delay", |_| {
        let (nginx, run) = nginx_under(&["--pre-delay", LONG, "--quiet", "1s"]);
        let mut kept = Kept::with(nginx.port);
        kept.ask().unwrap();
        let stop = Stop::of(run);
        let last = ask_until(stop.asked + ms(4000), || kept.ask().map(|()| Vec::new()).map_err(|_| Lost::Unanswered));
        assert!(!stop.is_draining());
        between(stop.drains() - last, QUIET, QUIET + MARGIN);
        stop.ends().0.code(0).logged("0 new connections during the pre-delay, 1 open at SIGQUIT");
    });
}

#[test]
fn a_probe_prolongs_the_pre_delay_to_its_upper_bound_and_is_named() {
    if !have_nginx() {
        return;
    }
    both_ways_at_once("a_probe_prolongs_the_pre_delay_to_its_upper_bound_and_is_named", |_| {
        let (nginx, run) = nginx_under(&["--pre-delay", "1s..5s", "--quiet", "2s"]);
        let port = nginx.port;
        let _probe = Again::every(ms(500), move || get_from(PROBE, port));
        let stop = Stop::of(run);
        let asked = stop.asked;
        // Many other clients call at first. Only the probe goes on until the end.
        for number in 10..30 {
            get_from(Ipv4Addr::new(127, 0, 0, number), port).unwrap();
            thread::sleep(ms(50));
        }
        let (outcome, end) = stop.ends();
        between(end - asked, ms(5000), ms(5000) + MARGIN);
        let line =
            outcome.stderr.lines().find(|line| line.contains("not quiet")).unwrap_or_else(|| panic!("{outcome:?}"));
        assert!(line.contains("from 127.0.0.7 (ignore_peers excludes probes)"), "{line}");
    });
}

#[test]
fn an_ignored_probe_does_not_prolong_the_pre_delay_and_other_requests_do() {
    if !have_nginx() {
        return;
    }
    both_ways_at_once("an_ignored_probe_does_not_prolong_the_pre_delay_and_other_requests_do", |_| {
        let options = ["--pre-delay", LONG, "--quiet", "1s", "--ignore-peers", "127.0.0.7,10.0.0.0/8"];
        let (nginx, run) = nginx_under(&options);
        let port = nginx.port;
        let _probe = Again::every(ms(500), move || get_from(PROBE, port));
        let stop = Stop::of(run);
        let client = Ipv4Addr::new(127, 0, 0, 8);
        let last = ask_until(stop.asked + ms(2500), || get_from(client, port));
        let (outcome, end) = stop.ends();
        between(end - last, QUIET, QUIET + MARGIN);
        outcome.logged("quiet: no request for 1s").not_logged("not quiet");
    });
}

/// A server beside softstop's in the same network namespace, with a steady flow of calls. It runs in the test process.
struct Sidecar {
    _calls: Again,
    address: SocketAddr,
}

impl Sidecar {
    fn new() -> Self {
        let listener = TcpListener::bind(("0.0.0.0", 0)).unwrap();
        let address = (Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port()).into();
        let mut turn = 0;
        let calls = Again::every(ms(100), move || {
            let mut client = TcpStream::connect(address).unwrap();
            let (mut server, _) = listener.accept().unwrap();
            client.write_all(b"question").unwrap();
            server.read_exact(&mut [0; 8]).unwrap();
            // In turn the client closes first, the server does, or the connection is reset, which leaves no trace.
            turn += 1;
            match turn % 3 {
                0 => drop(client),
                1 => drop(server),
                _ => {
                    server.write_all(b"answer").unwrap();
                    client.peek(&mut [0; 1]).unwrap();
                    drop(client); // with an unread byte, so that the kernel sends a reset
                }
            }
        });
        Self { _calls: calls, address }
    }
}

#[test]
fn a_sidecars_traffic_does_not_prolong_the_pre_delay() {
    if !have_nginx() {
        return;
    }
    both_ways_at_once("a_sidecars_traffic_does_not_prolong_the_pre_delay", |_| {
        let sidecar = Sidecar::new();
        let (nginx, run) = nginx_under(&["-vv", "--pre-delay", LONG, "--quiet", "1s"]);
        let stop = Stop::of(run);
        let last = ask_until(stop.asked + ms(2500), || nginx.get());
        let (outcome, end) = stop.ends();
        between(end - last, QUIET, QUIET + MARGIN);
        outcome
            .code(0)
            .logged(&format!("watching the ports of our own processes: [{}]", nginx.port))
            .logged("quiet: no request for 1s");
        assert!(TcpStream::connect(sidecar.address).is_ok(), "the sidecar did not run until the end");
    });
}

#[test]
fn only_the_named_ports_count() {
    both_ways_at_once("only_the_named_ports_count", |_| {
        for (named, waits) in [("18081", false), ("18082", true), ("18081,18082", true)] {
            let pre_delay = if waits { "1s..5s" } else { LONG };
            let options = ["--pre-delay", pre_delay, "--quiet", "1s", "--ports", named];
            let listens = ["--listen", "127.0.0.1:18081", "--listen", "127.0.0.1:18082"];
            let (_, run) = server_under(&options, &listens);
            let _calls = Again::every(ms(200), || get(18082, "/"));
            let stop = Stop::of(run);
            let took = stop.drains() - stop.asked;
            if waits {
                between(took, ms(5000), ms(5000) + MARGIN);
            } else {
                between(took, ms(1000), ms(1000) + MARGIN);
            }
            stop.ends();
        }
    });
}

#[test]
fn the_closing_line_counts_the_connections_of_the_stop() {
    if !have_nginx() {
        return;
    }
    both_ways_at_once("the_closing_line_counts_the_connections_of_the_stop", |_| {
        let (nginx, run) = nginx_under(&["-vv", "--pre-delay", "50s..60s", "--drain-timeout", "60s"]);
        let mut kept = Kept::with(nginx.port);
        kept.ask().unwrap();
        let before = Download::start(nginx.port, "/big").unwrap();
        let stop = Stop::of(run);
        // Logged after the first snapshot, to which no connection is new.
        stop.run.logs("watching the ports of our own processes");
        for _ in 0..7 {
            nginx.get().unwrap();
        }
        let during = Download::start(nginx.port, "/big").unwrap();
        let hurried = Instant::now();
        stop.run.signal(SIGINT); // ends the pre-delay
        let drain = stop.run.logs("drain: sent SIGQUIT");
        assert!(drain.ends_with("waiting up to 1m for its exit; 3 connections open, 2 of them busy"), "{drain}");
        assert!(before.finish().is_ok());
        thread::sleep(ms(2500));
        assert!(during.finish().is_ok());
        let (outcome, end) = stop.ends();
        let line = outcome.code(0).stderr.lines().last().unwrap();
        let (_, rest) = line.split_once("8 new connections during the pre-delay, 3 open at SIGQUIT, ").unwrap();
        let after = rest.strip_prefix("last closed after ").unwrap().split_once(" s, ").unwrap().0;
        let after = Duration::from_secs_f64(after.parse().unwrap());
        // softstop reads the clock once per wake-up, which may be long before the event is handled on a slow machine.
        between(after + ms(500), ms(2500), end - hurried + ms(1000));
    });
}

#[test]
fn a_client_that_sigkill_cuts_off_is_named_with_the_bytes_not_delivered() {
    if !have_nginx() {
        return;
    }
    both_ways_at_once("a_client_that_sigkill_cuts_off_is_named_with_the_bytes_not_delivered", |_| {
        let (nginx, run) = nginx_under(&["--pre-delay", "0s", "--drain-timeout", "1s"]);
        let stream = connect_from(PROBE, (Ipv4Addr::LOCALHOST, nginx.port).into()).unwrap();
        let address = stream.local_addr().unwrap();
        let reads_no_further = Download::over(stream, "/big").unwrap();
        let (outcome, _) = Stop::of(run).ends();
        outcome.code(137).logged("drain timeout").logged("1 open at SIGQUIT, SIGKILL to ");
        let named: Vec<&str> = outcome.stderr.lines().filter(|line| line.contains("cut off ")).collect();
        assert_eq!(named.len(), 1, "{outcome:?}");
        let beginning = format!("cut off {address} on port {}: ", nginx.port);
        let (_, rest) = named[0].split_once(&beginning).unwrap_or_else(|| panic!("{named:?}"));
        let unsent: u64 = rest.strip_suffix(" bytes not delivered, 0 bytes not read").unwrap().parse().unwrap();
        assert!(unsent > 0, "{named:?}");
        assert!(matches!(reads_no_further.finish(), Err(Lost::Cut { .. })));
    });
}

#[test]
fn the_log_warns_of_clients_in_the_accept_queue_before_they_are_reset() {
    both_ways_at_once("the_log_warns_of_clients_in_the_accept_queue_before_they_are_reset", |_| {
        let (port, run) = server_under(&["--pre-delay", LONG, "--quiet", "1s"], &["--never-accept"]);
        let mut asking: Vec<_> = (0..2).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
        for client in &mut asking {
            client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        }
        let _silent = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (outcome, _) = Stop::of(run).ends();
        outcome.code(143).logged("; 3 connections open, 2 of them busy");
        outcome.logged("3 connections in the accept queue of server (pid 2), 2 with a request: reset unless");
        for client in &mut asking {
            assert!(client.read(&mut [0]).is_err(), "the connection was not reset");
        }
    });
}

/// The control for the warning.
#[test]
fn the_log_does_not_warn_of_accepted_clients() {
    both_ways_at_once("the_log_does_not_warn_of_accepted_clients", |_| {
        let (port, run) = server_under(&["--pre-delay", LONG, "--quiet", "1s"], &[]);
        let mut kept = Kept::with(port);
        kept.ask().unwrap();
        let (outcome, _) = Stop::of(run).ends();
        outcome.code(143).logged("1 connection open, 0 of them busy").not_logged("in the accept queue");
    });
}

#[test]
fn with_quiet_means_traffic_a_server_without_a_graceful_signal_finishes_its_response() {
    let name = "with_quiet_means_traffic_a_server_without_a_graceful_signal_finishes_its_response";
    both_ways_at_once(name, |_| {
        let (port, run) = server_under(&["--pre-delay", LONG, "--quiet", "1s", "--quiet-means", "traffic"], &[]);
        let begun = Instant::now();
        let slow = Download::start(port, "/slow").unwrap();
        let stop = Stop::of(run);
        assert_eq!(slow.finish().map(|body| body.len()), Ok(6000));
        let (outcome, end) = stop.ends();
        outcome.code(143).logged("quiet: no request and no response for 1s");
        // The last of its 120 pieces is sent 119 pauses of 50 ms after the first.
        let sending = ms(119 * 50);
        between(end - begun, sending + QUIET, sending + QUIET + MARGIN);
    });
}

#[test]
fn with_quiet_means_requests_the_same_server_cuts_its_response_off() {
    // Without netlink the client's acknowledgements may be requests, so that softstop waits.
    within("with_quiet_means_requests_the_same_server_cuts_its_response_off", &[], &[Way::Netlink], |_| {
        let options = ["--pre-delay", LONG, "--quiet", "1s", "--quiet-means", "requests"];
        let (port, run) = server_under(&options, &[]);
        let slow = Download::start(port, "/slow").unwrap();
        Stop::of(run).ends().0.code(143).logged("; 1 connection open");
        assert!(matches!(slow.finish(), Err(Lost::Cut { .. })));
    });
}

#[test]
fn with_drain_until_closed_a_program_without_connections_is_killed_early() {
    both_ways_at_once("with_drain_until_closed_a_program_without_connections_is_killed_early", |_| {
        let options = ["--pre-delay", "0s", "--drain-timeout", "40s", "--drain-until", "closed", "--quiet", "1s"];
        let (port, run) = server_under(&options, &["--hang-up-on-term"]);
        let mut kept = Kept::with(port);
        kept.ask().unwrap();
        let stop = Stop::of(run);
        let asked = stop.asked;
        let (outcome, end) = stop.ends();
        between(end - asked, QUIET, QUIET + MARGIN);
        outcome.code(137).logged("has had no open connection for 1s and has not exited");
        assert!(outcome.stdout.contains("hung up"), "{outcome:?}");
    });
}

/// The control: the other value of `drain_until`.
#[test]
fn with_drain_until_exit_a_program_without_connections_has_the_whole_drain_timeout() {
    both_ways_at_once("with_drain_until_exit_a_program_without_connections_has_the_whole_drain_timeout", |_| {
        let options = ["--pre-delay", "0s", "--drain-timeout", "4s", "--drain-until", "exit", "--quiet", "1s"];
        let (_, run) = server_under(&options, &["--hang-up-on-term"]);
        let stop = Stop::of(run);
        let asked = stop.asked;
        let (outcome, end) = stop.ends();
        between(end - asked, ms(4000), ms(4000) + MARGIN);
        outcome.code(137).logged("drain timeout: still running after 4s");
    });
}

/// The control: the same value with a connection open.
#[test]
fn with_drain_until_closed_a_program_with_a_connection_has_the_whole_drain_timeout() {
    if !have_nginx() {
        return;
    }
    both_ways_at_once("with_drain_until_closed_a_program_with_a_connection_has_the_whole_drain_timeout", |_| {
        let options = ["--pre-delay", "0s", "--drain-timeout", "4s", "--drain-until", "closed", "--quiet", "1s"];
        let (nginx, run) = nginx_under(&options);
        let _in_flight = Download::start(nginx.port, "/big").unwrap();
        let stop = Stop::of(run);
        let asked = stop.asked;
        let (outcome, end) = stop.ends();
        between(end - asked, ms(4000), ms(4000) + MARGIN);
        outcome.code(137).logged("drain timeout: still running after 4s").not_logged("no open connection");
    });
}

/// A program that has long been without a connection is not killed right after its stop signal: it may have work to
/// finish.
#[test]
fn with_drain_until_closed_the_quiet_time_is_counted_from_the_stop_signal() {
    both_ways_at_once("with_drain_until_closed_the_quiet_time_is_counted_from_the_stop_signal", |_| {
        let options = ["--pre-delay", "4s", "--drain-timeout", "40s", "--drain-until", "closed", "--quiet", "2s"];
        let (_, run) = server_under(&options, &["--hang-up-on-term"]);
        let stop = Stop::of(run);
        let asked = stop.asked;
        let (outcome, end) = stop.ends();
        between(end - asked, ms(4000 + 2000), ms(4000 + 2000) + MARGIN);
        outcome.code(137);
    });
}

#[test]
fn ipv6_requests_count_and_an_ipv4_mapped_peer_is_named_by_its_ipv4_address() {
    both_ways_at_once("ipv6_requests_count_and_an_ipv4_mapped_peer_is_named_by_its_ipv4_address", |_| {
        for (ignored, waits) in [("192.0.2.1", true), ("::1,127.0.0.0/8", false)] {
            let pre_delay = if waits { "2s..5s" } else { "2s..30s" };
            let options = ["--pre-delay", pre_delay, "--quiet", "2s", "--ignore-peers", ignored];
            let (port, run) = server_under(&options, &["--listen", "[::]:0"]);
            // The two peers call in turn: a snapshot names the last caller only.
            let _calls = Again::every(ms(300), move || {
                let _ = get_from(PROBE, port);
                thread::sleep(ms(300));
                Download::over(TcpStream::connect(("::1", port)).ok()?, "/").ok()?.finish().ok()
            });
            let stop = Stop::of(run);
            let took = stop.drains() - stop.asked;
            let (outcome, _) = stop.ends();
            if waits {
                between(took, ms(5000), ms(5000) + MARGIN);
                let line = outcome.stderr.lines().find(|line| line.contains("not quiet"));
                let line = line.unwrap_or_else(|| panic!("{outcome:?}"));
                assert!(line.contains("from ::1, 127.0.0.7 (") || line.contains("from 127.0.0.7, ::1 ("), "{line}");
            } else {
                between(took, ms(2000), ms(2000) + MARGIN);
                outcome.logged("quiet: no request and no response for 2s, and none under way");
            }
        }
    });
}

/// How often the process has been switched out.
fn switches(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().filter_map(|line| line.split_once("ctxt_switches:\t")?.1.parse::<u64>().ok()).sum()
}

#[test]
fn before_a_stop_traffic_does_not_wake_softstop() {
    both_ways_at_once("before_a_stop_traffic_does_not_wake_softstop", |_| {
        let (port, run) = server_under(&["--pre-delay", "20s..30s"], &[]);
        let _calls = Again::every(ms(50), move || get(port, "/"));
        run.listens();
        eventually("softstop has gone to sleep", || {
            let before = switches(run.pid);
            thread::sleep(ms(100));
            (switches(run.pid) == before).then_some(())
        });
        // Only time can show that nothing happens.
        let before = switches(run.pid);
        thread::sleep(ms(3000));
        assert_eq!(switches(run.pid), before, "traffic has woken softstop");
        // The control: the snapshots of a stop do wake it.
        let stop = Stop::of(run);
        let before = switches(stop.run.pid);
        eventually("softstop wakes up for snapshots", || (switches(stop.run.pid) > before + 3).then_some(()));
    });
}

/// Without capabilities, as an unprivileged user, on a read-only root; once more with a seccomp filter that refuses
/// netlink.
#[test]
fn a_stop_in_a_locked_down_container_ends_when_requests_have_been_quiet() {
    if !have_engine() {
        return;
    }
    let server = fixture("server");
    let image = Files::empty().program(Path::new(SOFTSTOP)).program(&server).image([]);
    let no_netlink = file_with(
        r#"{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{
            "names": ["socket"], "action": "SCMP_ACT_ERRNO",
            "args": [{ "index": 0, "value": 16, "op": "SCMP_CMP_EQ" }] }] }"#,
    );
    let no_netlink = format!("--security-opt=seccomp={}", no_netlink.path().display());
    thread::scope(|scope| {
        for seccomp in [None, Some(no_netlink.as_str())] {
            let (image, server) = (&image, server.to_str().unwrap());
            scope.spawn(move || {
                let words = [SOFTSTOP, "-vv", "--pre-delay", LONG, "--quiet", "1s", server, "--listen", "0.0.0.0:8080"];
                let setup = image.container().locked_down().command(words);
                let published = ["--publish=127.0.0.1::8080", "--stop-signal=SIGTERM"];
                let container = setup.options(published).options(seccomp).start();
                container.logs("ready");
                let address = container.address();
                is_up(|| Download::over(TcpStream::connect(address).map_err(|_| Lost::Refused)?, "/")?.finish());
                let asked = Instant::now();
                let stop = container.stop(60);
                container.logs("pre-delay: ");
                let last = ask_until(asked + ms(4000), || {
                    Download::over(TcpStream::connect(address).map_err(|_| Lost::Refused)?, "/")?.finish()
                });
                container.logs("drain: sent ");
                between(last.elapsed(), QUIET, QUIET + MARGIN);
                assert!(stop.join().unwrap().status.success());
                let (code, log) = container.wait();
                assert_eq!(code, 143, "{log}");
                assert!(
                    log.contains("quiet: no request and no response for 1s, and none under way")
                        && log.contains("watching the ports of our own processes: [8080]"),
                    "{log}"
                );
                assert_eq!(log.contains("netlink does not show sockets"), seccomp.is_some(), "{log}");
            });
        }
    });
}
