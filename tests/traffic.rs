//! A pre-delay that watches traffic: it lasts as long as requests come, and not much longer. Real servers and clients
//! run in a network namespace, once with netlink and once with a seccomp filter that refuses netlink.
//!
//! How much silence ends the wait depends on what softstop has seen:
//!
//! - *A visible history*: [`ask_for`] calls 20 times a second at uneven intervals, and the server closes each connection. Then
//!   [`QUIET`] is enough.
//! - *Nobody ever called*: [`nginx_listens_under`] and [`server_under`] start a server and wait for its listener, without a
//!   connection.
//! - *An unknown rate*: [`nginx_under`] has asked once. Only the upper bound ends the wait.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test panics when it fails, and may read the clock"
)]

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use common::docker::{Files, file_with, have_engine};
use common::http::*;
use common::namespace::*;
use common::nginx::Nginx;
use common::random::Random;
use common::*;
use libc::{SIGINT, SIGTERM};

/// The binary under test.
const SOFTSTOP: &str = env!("CARGO_BIN_EXE_softstop");

/// The `--quiet` of these stops, unless a test says otherwise.
const QUIET: Duration = Duration::from_secs(1);
/// How late a wait may end. Quiet is noticed at the next snapshot, a quarter of a second later, and a slow or busy machine is
/// late with everything: its calls are fewer, so that more silence is needed. A stop that missed the quiet would take the 30 s of
/// [`LONG`].
const MARGIN: Duration = Duration::from_secs(10);
/// A range whose upper bound none of these stops should reach.
const LONG: &str = "1s..30s";
/// The address of clients that a test distinguishes from others.
const PROBE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 7);

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Starts nginx under softstop as PID 1 with these options, and waits until it listens. Nobody has called it.
#[track_caller]
fn nginx_listens_under(options: &[&str]) -> (Nginx, Running) {
    let nginx = Nginx::new();
    nginx.says("hello"); // the answer of the fixture server too
    let run = softstop(words(options.iter().copied().chain(["--"]), &nginx.command())).pid_one().start();
    has_listener(nginx.port);
    (nginx, run)
}

/// The same, and waits until it answers. So it was called once, which is too little for a rate.
#[track_caller]
fn nginx_under(options: &[&str]) -> (Nginx, Running) {
    let (nginx, run) = nginx_listens_under(options);
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
    /// At even intervals, as a probe does, however long the action takes.
    fn every<T>(period: Duration, act: impl FnMut() -> T + Send + 'static) -> Self {
        let mut due = Instant::now();
        Self::after(act, move || {
            due += period;
            due.saturating_duration_since(Instant::now())
        })
    }

    /// At uneven intervals, so many times a second.
    fn unevenly<T>(rate: f64, act: impl FnMut() -> T + Send + 'static) -> Self {
        let mut random = Random::from_seed(7);
        Self::after(act, move || random.pause(rate))
    }

    fn after<T>(
        mut act: impl FnMut() -> T + Send + 'static,
        mut pause: impl FnMut() -> Duration + Send + 'static,
    ) -> Self {
        let is_over: Arc<AtomicBool> = Arc::default();
        let over = is_over.clone();
        let thread = thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                act();
                thread::sleep(pause());
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
                    ask_for(HISTORY, || nginx.get());
                    let stop = Stop::of(run);
                    let last = ask_until(stop.asked + lag, || nginx.get());
                    let (outcome, end) = stop.ends();
                    between(end - last, QUIET, QUIET + MARGIN);
                    outcome.code(0).logged("keeps serving for 1s to 30s, until no request arrives for 1s or longer");
                    outcome.logged("quiet: no request for ").logged("drain: sent SIGQUIT to nginx");
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

/// The control: the same stop after a single call. One call tells nothing about the next one.
#[test]
fn if_the_rate_is_unknown_the_pre_delay_takes_its_upper_bound() {
    if !have_nginx() {
        return;
    }
    both_ways_at_once("if_the_rate_is_unknown_the_pre_delay_takes_its_upper_bound", |way| {
        let (_nginx, run) = nginx_under(&["--pre-delay", "1s..6s", "--quiet", "1s"]);
        let stop = Stop::of(run);
        between(stop.drains() - stop.asked, ms(6000), ms(6000) + MARGIN);
        let (outcome, _) = stop.ends();
        outcome.code(0).logged(match way {
            Way::Netlink => "waited to the upper bound: too few calls were seen",
            Way::ProcNet => "waited to the upper bound: the kernel does not show single requests",
        });
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
        ask_for(HISTORY, || nginx.get());
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
        ask_for(HISTORY, || nginx.get());
        let trickle = Download::start(nginx.port, "/trickle").unwrap();
        let stop = Stop::of(run);
        assert!(trickle.finish().unwrap() == Nginx::trickle());
        let sent = Instant::now();
        assert!(!stop.is_draining(), "the drain began before the response was complete");
        between(stop.drains() - sent, ms(1000), ms(2000) + MARGIN);
        stop.ends().0.code(0).logged("quiet: no request and no response for ");
    });
}

#[test]
fn if_nobody_ever_called_the_pre_delay_takes_its_lower_bound() {
    if !have_nginx() {
        return;
    }
    both_ways_at_once("if_nobody_ever_called_the_pre_delay_takes_its_lower_bound", |_| {
        // The silence has lasted since the start, so this `quiet` is no longer waited for.
        let (_nginx, run) = nginx_listens_under(&["--pre-delay", LONG, "--quiet", "20s"]);
        let stop = Stop::of(run);
        let asked = stop.asked;
        let (outcome, end) = stop.ends();
        between(end - asked, ms(1000), ms(1000) + MARGIN);
        outcome.code(0).logged("quiet: no client has sent anything since the start");
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
        ask_for(HISTORY, || nginx.get());
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
        ask_for(HISTORY, || nginx.get());
        let stop = Stop::of(run);
        let last = ask_until(stop.asked + ms(4000), || kept.ask().map(|()| Vec::new()).map_err(|_| Lost::Unanswered));
        assert!(!stop.is_draining());
        between(stop.drains() - last, QUIET, QUIET + MARGIN);
        stop.ends().0.code(0).logged("0 new connections during the pre-delay, 1 open at SIGQUIT");
    });
}

/// An HTTP probe. The server closes its connections, as kubelet asks it to.
fn probe(port: u16, period: Duration) -> Again {
    Again::every(period, move || get_from(PROBE, port))
}

/// Waits until a probe has called five times. Only time passes between two probes.
fn wait_for_probes(period: Duration) {
    thread::sleep(period * 4 + ms(100));
}

/// A stop after five calls of a probe alone takes its lower bound of one second.
#[track_caller]
fn a_probe_alone_is_nobody(period: Duration) {
    // The silence has lasted since the start, so this `quiet` is no longer waited for.
    let (nginx, run) = nginx_listens_under(&["--pre-delay", LONG, "--quiet", "20s"]);
    let _probe = probe(nginx.port, period);
    wait_for_probes(period);
    let stop = Stop::of(run);
    let asked = stop.asked;
    let (outcome, end) = stop.ends();
    between(end - asked, ms(1000), ms(1000) + MARGIN);
    outcome.code(0).logged("quiet: nobody but probes has called since the start");
}

#[test]
fn if_nobody_but_a_probe_has_called_the_pre_delay_takes_its_lower_bound() {
    if !have_nginx() {
        return;
    }
    let name = "if_nobody_but_a_probe_has_called_the_pre_delay_takes_its_lower_bound";
    within(name, &[], &[Way::Netlink], |_| a_probe_alone_is_nobody(ms(2000)));
}

/// The same with a probe that calls before the lower bound.
#[test]
fn a_probe_that_calls_during_the_stop_is_nobody_too() {
    if !have_nginx() {
        return;
    }
    let name = "a_probe_that_calls_during_the_stop_is_nobody_too";
    within(name, &[], &[Way::Netlink], |_| a_probe_alone_is_nobody(ms(500)));
}

/// The control: a person says that it is no probe.
#[test]
fn a_probe_in_count_peers_prolongs_the_pre_delay_to_its_upper_bound_and_is_named() {
    if !have_nginx() {
        return;
    }
    let name = "a_probe_in_count_peers_prolongs_the_pre_delay_to_its_upper_bound_and_is_named";
    within(name, &[], &[Way::Netlink], |_| {
        let options = ["--pre-delay", "1s..5s", "--quiet", "2s", "--count-peers", "127.0.0.7"];
        let (nginx, run) = nginx_listens_under(&options);
        let port = nginx.port;
        let _probe = probe(port, ms(500));
        wait_for_probes(ms(500));
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
fn beside_a_probe_the_requests_of_others_prolong_the_pre_delay() {
    if !have_nginx() {
        return;
    }
    within("beside_a_probe_the_requests_of_others_prolong_the_pre_delay", &[], &[Way::Netlink], |_| {
        let (nginx, run) = nginx_listens_under(&["--pre-delay", LONG, "--quiet", "1s"]);
        let port = nginx.port;
        let _probe = probe(port, ms(500));
        let client = Ipv4Addr::new(127, 0, 0, 8);
        ask_for(HISTORY, || get_from(client, port));
        let stop = Stop::of(run);
        let last = ask_until(stop.asked + ms(2500), || get_from(client, port));
        let (outcome, end) = stop.ends();
        between(end - last, QUIET, QUIET + MARGIN);
        outcome.logged("quiet: no request for ").not_logged("not quiet");
    });
}

/// A client that calls at uneven intervals is no probe for softstop, unless a person says so.
#[test]
fn an_ignored_peer_does_not_prolong_the_pre_delay_and_other_requests_do() {
    if !have_nginx() {
        return;
    }
    let name = "an_ignored_peer_does_not_prolong_the_pre_delay_and_other_requests_do";
    within(name, &[], &[Way::Netlink], |_| {
        for (ignored, waits) in [("127.0.0.7,10.0.0.0/8", false), ("10.0.0.0/8", true)] {
            let pre_delay = if waits { "1s..6s" } else { LONG };
            let options = ["--pre-delay", pre_delay, "--quiet", "1s", "--ignore-peers", ignored];
            let (nginx, run) = nginx_under(&options);
            let port = nginx.port;
            let _monitor = Again::unevenly(5.0, move || get_from(PROBE, port));
            let client = Ipv4Addr::new(127, 0, 0, 8);
            ask_for(HISTORY, || get_from(client, port));
            let stop = Stop::of(run);
            let asked = stop.asked;
            let last = ask_until(stop.asked + ms(2500), || get_from(client, port));
            let (outcome, end) = stop.ends();
            if waits {
                between(end - asked, ms(6000), ms(6000) + MARGIN);
            } else {
                between(end - last, QUIET, QUIET + MARGIN);
                outcome.logged("quiet: no request for ").not_logged("not quiet");
            }
        }
    });
}

/// The addresses of a pod and of its node.
const POD: Ipv4Addr = Ipv4Addr::new(10, 99, 1, 1);
const NODE: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);

/// A server in a network namespace of its own, where its counters show only what comes by the link to this one.
#[track_caller]
fn server_in_a_pod(link: &str, options: &[&str]) -> (SocketAddr, Running) {
    let (port, run) = in_linked_network(link, NODE, POD, || server_under(options, &["--listen", "0.0.0.0:8080"]));
    ((POD, port).into(), run)
}

/// A TCP check each second.
fn tcp_check(address: SocketAddr) -> Again {
    Again::every(ms(1000), move || TcpStream::connect(address).map(drop))
}

#[track_caller]
fn a_tcp_check_alone_is_nobody(link: &str) {
    let (address, run) = server_in_a_pod(link, &["--pre-delay", LONG, "--quiet", "20s"]);
    let _check = tcp_check(address);
    thread::sleep(ms(4500)); // five checks, between which only time passes
    let stop = Stop::of(run);
    let asked = stop.asked;
    let (outcome, end) = stop.ends();
    between(end - asked, ms(1000), ms(1000) + MARGIN);
    outcome.code(143).logged("quiet: no client has sent anything since the start");
}

#[test]
fn a_tcp_check_without_a_byte_is_nobody() {
    if !have_program("ip") || !have_network() {
        return;
    }
    // In this namespace, that of the node.
    fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").unwrap();
    fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
    a_tcp_check_alone_is_nobody("pod1");
}

#[test]
fn a_tcp_check_is_nobody_too_if_the_node_speaks_ipv6() {
    if !have_program("ip") || !have_network() {
        return;
    }
    a_tcp_check_alone_is_nobody("pod3");
}

/// The control: one of them brings a byte.
#[test]
fn a_connection_with_a_byte_is_somebody() {
    if !have_program("ip") || !have_network() {
        return;
    }
    fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").unwrap();
    fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
    let (address, run) = server_in_a_pod("pod2", &["--pre-delay", "1s..6s", "--quiet", "1s"]);
    let _check = tcp_check(address);
    thread::sleep(ms(2500));
    TcpStream::connect(address).unwrap().write_all(b"G").unwrap();
    thread::sleep(ms(2000));
    let stop = Stop::of(run);
    between(stop.drains() - stop.asked, ms(6000), ms(6000) + MARGIN);
    stop.ends().0.code(143);
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
    within("a_sidecars_traffic_does_not_prolong_the_pre_delay", &[], &[Way::Netlink], |_| {
        let sidecar = Sidecar::new();
        let (nginx, run) = nginx_under(&["-vv", "--pre-delay", LONG, "--quiet", "1s"]);
        ask_for(HISTORY, || nginx.get());
        let stop = Stop::of(run);
        let last = ask_until(stop.asked + ms(2500), || nginx.get());
        let (outcome, end) = stop.ends();
        between(end - last, QUIET, QUIET + MARGIN);
        outcome
            .code(0)
            .logged(&format!("watching the ports of our own processes: [{}]", nginx.port))
            .logged("quiet: no request for ");
        assert!(TcpStream::connect(sidecar.address).is_ok(), "the sidecar did not run until the end");
    });
}

/// Without netlink a call cannot be told from the sidecar's. So the stop takes its upper bound, and loses nothing.
#[test]
fn without_netlink_a_sidecars_traffic_prolongs_the_pre_delay_and_no_request_is_lost() {
    if !have_nginx() {
        return;
    }
    let name = "without_netlink_a_sidecars_traffic_prolongs_the_pre_delay_and_no_request_is_lost";
    within(name, &[], &[Way::ProcNet], |_| {
        let _sidecar = Sidecar::new();
        let (nginx, run) = nginx_under(&["--pre-delay", "1s..10s", "--quiet", "1s"]);
        // Pauses of several seconds, each longer than `quiet`.
        let mut random = Random::from_seed(4);
        let stop = Stop::of(run);
        while stop.asked.elapsed() < ms(7500) {
            nginx.get().unwrap();
            thread::sleep(ms(1500) + random.pause(1.0).min(ms(1000)));
        }
        between(stop.drains() - stop.asked, ms(10_000), ms(10_000) + MARGIN);
        let (outcome, _) = stop.ends();
        assert_eq!(
            outcome.code(0).stderr.matches("the kernel does not show single requests").count(),
            1,
            "{outcome:?}"
        );
    });
}

#[test]
fn only_the_named_ports_count() {
    within("only_the_named_ports_count", &[], &[Way::Netlink], |_| {
        for (named, waits) in [("18081", false), ("18082", true), ("18081,18082", true)] {
            let pre_delay = if waits { "1s..5s" } else { LONG };
            let options = ["--pre-delay", pre_delay, "--quiet", "1s", "--ports", named];
            let listens = ["--listen", "127.0.0.1:18081", "--listen", "127.0.0.1:18082"];
            let (_, run) = server_under(&options, &listens);
            let _calls = Again::unevenly(10.0, || get(18082, "/"));
            // Without calls on 18081, those on 18082 make its rate unknown: the counters are the namespace's.
            let asked = if waits { 18082 } else { 18081 };
            ask_for(HISTORY, || get(asked, "/"));
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
        let (nginx, run) = nginx_under(&["-vvv", "--pre-delay", "50s..60s", "--drain-timeout", "60s"]);
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
        // On a busy machine the kernel reports the end of a connection one snapshot late.
        let snapshots = || stop.run.stderr.all().iter().filter(|line| line.contains("Snapshot {")).count();
        let so_far = snapshots();
        eventually("two more snapshots are taken", || (snapshots() >= so_far + 2).then_some(()));
        let hurried = Instant::now();
        stop.run.signal(SIGINT); // ends the pre-delay
        let drain = stop.run.logs("drain: sent SIGQUIT");
        assert!(drain.ends_with("waiting up to 1m for its exit; 3 connections open, 2 of them busy"), "{drain}");
        assert!(before.finish().is_ok());
        thread::sleep(ms(2500));
        assert!(during.finish().is_ok());
        let (outcome, end) = stop.ends();
        let line = outcome.code(0).stderr.lines().last().unwrap();
        let after_count = line.split_once("8 new connections during the pre-delay, 3 open at SIGQUIT, ");
        let (_, rest) = after_count.unwrap_or_else(|| panic!("{outcome:?}"));
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
        let (port, run) = server_under(&["--pre-delay", "1s..4s", "--quiet", "1s"], &["--never-accept"]);
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

/// A server with one worker, which is busy for six seconds while clients wait in the accept queue.
#[test]
fn clients_in_the_accept_queue_are_served_before_the_stop_signal() {
    let name = "clients_in_the_accept_queue_are_served_before_the_stop_signal";
    both_ways_at_once(name, |_| {
        let options = ["--pre-delay", "1s..25s", "--quiet", "1s", "--quiet-means", "requests"];
        let (port, run) = server_under(&options, &["--one-at-a-time"]);
        ask_for(HISTORY, || get(port, "/"));
        let slow = Download::start(port, "/slow").unwrap();
        let stop = Stop::of(run);
        let waiting: Vec<_> = (0..3).map(|_| thread::spawn(move || get(port, "/"))).collect();
        let slow = slow.finish().map(|body| body.len());
        let answered = Instant::now();
        assert_eq!(slow, Ok(6000), "the worker's request");
        for client in waiting {
            assert_eq!(client.join().unwrap().as_deref(), Ok(HELLO));
        }
        between(stop.drains() - answered, ms(500), QUIET + MARGIN);
        stop.ends().0.code(143).not_logged("in the accept queue");
    });
}

/// The control for the warning.
#[test]
fn the_log_does_not_warn_of_accepted_clients() {
    both_ways_at_once("the_log_does_not_warn_of_accepted_clients", |_| {
        let (port, run) = server_under(&["--pre-delay", "1s..4s", "--quiet", "1s"], &[]);
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
        ask_for(HISTORY, || get(port, "/"));
        let begun = Instant::now();
        let slow = Download::start(port, "/slow").unwrap();
        let stop = Stop::of(run);
        assert_eq!(slow.finish().map(|body| body.len()), Ok(6000));
        let (outcome, end) = stop.ends();
        outcome.code(143).logged("quiet: no request and no response for ");
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
        ask_for(HISTORY, || get(port, "/"));
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

/// Nobody sees who is connected to a Unix socket, so nobody sees that the last one has gone.
#[test]
fn with_drain_until_closed_a_server_on_a_unix_socket_has_the_whole_drain_timeout() {
    let name = "with_drain_until_closed_a_server_on_a_unix_socket_has_the_whole_drain_timeout";
    both_ways_at_once(name, |_| {
        let options = ["--pre-delay", "0s", "--drain-timeout", "8s", "--drain-until", "closed", "--quiet", "1s"];
        let (socket, run) = unix_server_under(&options, &["env", "--ignore-signal=TERM"], &[]);
        let slow = thread::spawn(move || ask_unix(socket.path(), "/slow"));
        eventually("the response has begun", || descendants(run.pid).first().map(|_| ()));
        thread::sleep(ms(500)); // the answer takes six seconds
        let stop = Stop::of(run);
        let asked = stop.asked;
        assert_eq!(slow.join().unwrap().unwrap(), 6000, "the response was cut off");
        let (outcome, end) = stop.ends();
        between(end - asked, ms(8000), ms(8000) + MARGIN);
        outcome.code(137).logged("drain timeout: still running after 8s").not_logged("no open connection");
    });
}

#[test]
fn with_drain_until_closed_a_worker_without_a_port_has_the_whole_drain_timeout() {
    let name = "with_drain_until_closed_a_worker_without_a_port_has_the_whole_drain_timeout";
    both_ways_at_once(name, |_| {
        let options = ["--pre-delay", "0s", "--drain-timeout", "5s", "--drain-until", "closed", "--quiet", "1s"];
        let run = softstop(words(options, &recorder_until(&["10=0"]))).pid_one().start();
        run.says("ready");
        let stop = Stop::of(run);
        let asked = stop.asked;
        let (outcome, end) = stop.ends();
        between(end - asked, ms(5000), ms(5000) + MARGIN);
        outcome.code(137).logged("drain timeout: still running after 5s").not_logged("no open connection");
    });
}

/// Where a server listens on a Unix socket.
struct UnixSocket(tempfile::TempDir);

impl UnixSocket {
    fn path(&self) -> PathBuf {
        self.0.path().join("socket")
    }
}

/// Starts the fixture server on a Unix socket alone, through these words, and waits until it listens.
#[track_caller]
fn unix_server_under(options: &[&str], through: &[&str], arguments: &[&str]) -> (UnixSocket, Running) {
    let socket = UnixSocket(tempfile::TempDir::new().unwrap());
    let (server, path) = (fixture("server"), socket.path());
    let program = [server.to_str().unwrap(), "--listen-unix", path.to_str().unwrap()];
    let all = options.iter().chain(&["--"]).chain(through).chain(&program).chain(arguments);
    let run = softstop(all).pid_one().start();
    run.says("ready");
    (socket, run)
}

/// The length of the answer.
fn ask_unix(path: impl AsRef<Path>, what: &str) -> io::Result<usize> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(DEAD_MAN))?;
    write!(stream, "GET {what} HTTP/1.1\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.len()).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// nginx's profile on one hand, a `pre_delay` that a person has set on the other.
#[test]
fn a_server_on_a_unix_socket_takes_the_upper_bound_and_the_log_says_why() {
    both_ways_at_once("a_server_on_a_unix_socket_takes_the_upper_bound_and_the_log_says_why", |_| {
        let by_profile = ["--profile", "nginx", "--grace-period", "12s"];
        let by_person = ["--pre-delay", "1s..6s", "--quiet", "1s"];
        for options in [by_profile, by_person] {
            // What an upper bound of 6 s is for both, whatever the platform of this test.
            let (socket, run) = unix_server_under(&options, &[], &[]);
            let stop = Stop::of(run);
            // Pauses that are longer than `quiet`.
            for seconds in [0, 3] {
                thread::sleep((stop.asked + Duration::from_secs(seconds)).saturating_duration_since(Instant::now()));
                assert_eq!(ask_unix(socket.path(), "/").unwrap(), HELLO.len());
            }
            between(stop.drains() - stop.asked, ms(6000), ms(6000) + MARGIN);
            let (outcome, _) = stop.ends();
            outcome.logged("waited to the upper bound: it cannot be seen who calls on a Unix socket");
        }
    });
}

/// The control: neither is given, so a Unix socket may be a program's own, and softstop is tini.
#[test]
fn a_program_with_a_unix_socket_and_no_settings_does_not_wait() {
    both_ways_at_once("a_program_with_a_unix_socket_and_no_settings_does_not_wait", |_| {
        let (_socket, run) = unix_server_under(&[], &[], &[]);
        let (took, outcome) = run.stopped();
        between(took, ms(0), ms(2000));
        outcome.code(143).not_logged("upper bound");
    });
}

#[test]
fn a_listener_that_opens_after_the_stop_began_is_watched() {
    both_ways_at_once("a_listener_that_opens_after_the_stop_began_is_watched", |way| {
        let home = tempfile::TempDir::new().unwrap();
        let gate = Gate::within(home.path());
        let server = fixture("server");
        let options =
            ["--pre-delay", "6s..18s", "--quiet", "1s", "--", server.to_str().unwrap(), "--gate", gate.path()];
        let run = softstop(options).pid_one().start();
        let pid = run.listens().descendant("server");
        // It has a name a moment before softstop can know that it runs. Until then the request itself would go to it.
        eventually("it waits at the gate", || (state(pid) == Some('S')).then_some(()));
        let stop = Stop::of(run);
        gate.open();
        let port: u16 = stop.run.says("port ")[5..].parse().unwrap();
        let last = ask_until(stop.asked + ms(8000), || get(port, "/"));
        stop.run.logs(&format!("listens on [{port}] now"));
        let drains = stop.drains();
        if way == Way::Netlink {
            between(drains - last, QUIET, QUIET + MARGIN);
        } else {
            between(drains - stop.asked, ms(18_000), ms(18_000) + MARGIN); // nothing shows the calls, so no rate is known
        }
        stop.ends().0.code(143);
    });
}

#[test]
fn with_quiet_means_connections_only_new_connections_prolong_the_pre_delay() {
    if !have_nginx() {
        return;
    }
    both_ways_at_once("with_quiet_means_connections_only_new_connections_prolong_the_pre_delay", |_| {
        let options = ["--pre-delay", LONG, "--quiet", "1s", "--quiet-means", "connections"];
        let (nginx, run) = nginx_under(&options);
        let mut kept = Kept::with(nginx.port);
        kept.ask().unwrap();
        // A client that keeps its connection for ever, as gRPC does.
        let _calls = Again::unevenly(RATE, move || kept.ask());
        ask_for(HISTORY, || nginx.get());
        let stop = Stop::of(run);
        let last = ask_until(stop.asked + ms(4000), || nginx.get());
        assert!(!stop.is_draining());
        between(stop.drains() - last, QUIET, QUIET + MARGIN);
        stop.ends().0.code(0).logged("quiet: no new connection for ");
    });
}

/// A program that has long been without a connection is not killed right after its stop signal: it may have work to
/// finish.
#[test]
fn with_drain_until_closed_the_quiet_time_is_counted_from_the_stop_signal() {
    both_ways_at_once("with_drain_until_closed_the_quiet_time_is_counted_from_the_stop_signal", |_| {
        let options = ["--pre-delay", "4s", "--drain-timeout", "40s", "--drain-until", "closed", "--quiet", "2s"];
        let (port, run) = server_under(&options, &["--hang-up-on-term"]);
        let mut kept = Kept::with(port);
        kept.ask().unwrap();
        let stop = Stop::of(run);
        drop(kept);
        let asked = stop.asked;
        let (outcome, end) = stop.ends();
        between(end - asked, ms(4000 + 2000), ms(4000 + 2000) + MARGIN);
        outcome.code(137);
    });
}

#[test]
fn ipv6_requests_count_and_an_ipv4_mapped_peer_is_named_by_its_ipv4_address() {
    let name = "ipv6_requests_count_and_an_ipv4_mapped_peer_is_named_by_its_ipv4_address";
    within(name, &[], &[Way::Netlink], |_| {
        for (ignored, waits) in [("192.0.2.1", true), ("::1,127.0.0.7", false)] {
            let pre_delay = if waits { "2s..5s" } else { "2s..30s" };
            let options = ["--pre-delay", pre_delay, "--quiet", "2s", "--ignore-peers", ignored];
            let (port, run) = server_under(&options, &["--listen", "[::]:0"]);
            let client = Ipv4Addr::new(127, 0, 0, 8);
            ask_for(HISTORY, || get_from(client, port));
            let _four = Again::unevenly(4.0, move || get_from(PROBE, port));
            let _six = Again::unevenly(4.0, move || {
                Download::over(TcpStream::connect(("::1", port)).ok()?, "/").ok()?.finish().ok()
            });
            let stop = Stop::of(run);
            let took = stop.drains() - stop.asked;
            let (outcome, _) = stop.ends();
            if waits {
                between(took, ms(5000), ms(5000) + MARGIN);
                let line = outcome.stderr.lines().find(|line| line.contains("not quiet"));
                let line = line.unwrap_or_else(|| panic!("{outcome:?}"));
                assert!(line.contains("from 127.0.0.7, ::1 ("), "{line}");
            } else {
                between(took, ms(2000), ms(2000) + MARGIN);
                outcome.logged("quiet: no request and no response for ");
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
                let ask = || Download::over(TcpStream::connect(address).map_err(|_| Lost::Refused)?, "/")?.finish();
                ask_for(HISTORY, ask);
                let asked = Instant::now();
                let stop = container.stop(60);
                container.logs("pre-delay: ");
                let last = ask_until(asked + ms(4000), ask);
                container.logs("drain: sent ");
                between(last.elapsed(), QUIET, QUIET + MARGIN);
                assert!(stop.join().unwrap().status.success());
                let (code, log) = container.wait();
                assert_eq!(code, 143, "{log}");
                assert!(
                    log.contains("quiet: no request and no response for ")
                        && log.contains("watching the ports of our own processes: [8080]"),
                    "{log}"
                );
                assert_eq!(log.contains("netlink does not show sockets"), seccomp.is_some(), "{log}");
            });
        }
    });
}
