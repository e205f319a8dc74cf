//! The good server of `examples/graceful_server.rs` keeps the rules that docs/writing-a-server.md tells.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test ends where it is wrong, and may look at the clock"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::http::free_port;
use common::{eventually, fixture, program};
use libc::SIGTERM;

/// A connection as a client has it that would keep it.
struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(port: u16) -> Self {
        Self(BufReader::new(eventually("it listens", || TcpStream::connect(("127.0.0.1", port)).ok())))
    }

    fn ask(&mut self, path: &str) {
        self.0.get_mut().write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
    }

    /// The whole answer; whether it says that it is the last one.
    #[track_caller]
    fn hears(&mut self, body: &str) -> bool {
        let head: Vec<String> = self
            .0
            .by_ref()
            .lines()
            .map(|line| line.unwrap().to_lowercase())
            .take_while(|line| !line.is_empty())
            .collect();
        assert_eq!(head[0], "http/1.1 200 ok");
        let mut received = vec![0; body.len()];
        self.0.read_exact(&mut received).unwrap();
        assert_eq!(received, body.as_bytes());
        head.contains(&"connection: close".to_owned())
    }

    #[track_caller]
    fn is_closed(&mut self) {
        assert_eq!(self.0.read(&mut [0]).unwrap(), 0, "the connection was to be closed without another word");
    }
}

#[test]
fn it_answers_what_is_under_way_closes_what_is_idle_and_exits_with_0() {
    let port = free_port();
    let run = program(fixture("graceful_server"), [""; 0]).env("PORT", port.to_string()).start();
    run.says("listens on port");
    let [mut idle, mut busy, mut fresh] = [(); 3].map(|()| Client::connect(port));
    idle.ask("/");
    assert!(!idle.hears("hello\n"), "a connection is kept while nothing stops");
    busy.ask("/slow");
    // Its request is on its way when the signal comes.
    fresh.0.get_mut().set_nodelay(true).unwrap();

    // So that it has read the slow request.
    idle.ask("/");
    idle.hears("hello\n");
    let stop = Instant::now();
    run.signal(SIGTERM);
    run.says("got SIGTERM");
    idle.is_closed();
    fresh.ask("/");
    assert!(fresh.hears("hello\n"), "the last answer says so");
    fresh.is_closed();
    eventually("it accepts no more", || TcpStream::connect(("127.0.0.1", port)).err());

    // A second signal changes nothing.
    run.signal(SIGTERM);
    run.says_times("got SIGTERM", 2);
    assert!(busy.hears(&"slow\n".repeat(600)), "the last answer says so");
    busy.is_closed();
    assert!(stop.elapsed() > Duration::from_secs(1), "the slow answer was none");
    run.wait().code(0);
}

/// Whoever connects and never asks is waited for a second, not for ever.
#[test]
fn a_client_that_never_asks_does_not_hold_it() {
    let port = free_port();
    let run = program(fixture("graceful_server"), [""; 0]).env("PORT", port.to_string()).start();
    run.says("listens on port");
    let mut silent = Client::connect(port);
    let stop = Instant::now();
    run.signal(SIGTERM);
    run.wait().code(0);
    assert!(stop.elapsed() < Duration::from_secs(20));
    silent.is_closed();
}
