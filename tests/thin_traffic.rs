//! Thin traffic at a real nginx: a stop loses nothing though seconds pass between two requests.
//!
//! Each stop has a pod of its own: a network namespace and a PID namespace in which softstop is PID 1 and nginx its child. The
//! client is outside, in one namespace for all pods, so that the pod's counters and TIME-WAITs hold only what a pod would see.
//! Requests come as a Poisson process. They go on after SIGTERM for as long as a balancer needs to notice it (`lag`).
//!
//! A *cell* is a number of such stops with the same parameters. CI runs the cells of the first tests. For others:
//!
//! ```text
//! THIN_TRAFFIC="rate=0.2 lag=8s stops=40; rate=1 lag=4s" \
//!     cargo test -p softstop --test thin_traffic cell -- --ignored --nocapture
//! ```
//!
//! Cells are separated by `;` and run one after the other. Each prints a row, and each stop that lost something a line. With
//! `SOFTSTOP_BINARY=FILE` another build is tested, such as the static one.
//!
//! | parameter | default | |
//! |---|---|---|
//! | `rate` | 1 | requests a second |
//! | `lag` | 4s | for how long requests come after SIGTERM |
//! | `history` | 60s | for how long they have come before it |
//! | `connect` | half | `half`: half on a kept-alive connection, half on fresh ones that nginx closes; `fresh`: on fresh ones that nginx closes; `client-closes`: on fresh ones that the client closes; `kept`: on a kept-alive one |
//! | `bounds` | 2s..15s | `--pre-delay`; `default` leaves it to the profile |
//! | `grace` | 30s | `--grace-period` |
//! | `stops` | 200 | how many stops |
//! | `at_once` | 100 | how many pods run at the same time |
//! | `seed` | 1 | of the pauses and of the choice of connections; each stop has its own, made from it and its number |
#![allow(
    unreachable_pub,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test panics when it fails; it may print, sleep until a request is due, and read the clock"
)]

#[path = "thin_traffic/cell.rs"]
mod cell;
#[path = "thin_traffic/client.rs"]
mod client;
#[path = "thin_traffic/pod.rs"]
mod pod;
#[path = "thin_traffic/random.rs"]
mod random;
#[path = "thin_traffic/report.rs"]
mod report;

use std::thread;

use cell::Cell;
use common::namespace::have_network;
use common::{have_program, softstop_binary};
use report::{HEADER, Report, most_that_may_lose};

/// The cell of CI. Two seconds of silence prove too little here: a rule that takes them for the end loses in one stop of six.
/// The upper bound is far off, so that waiting for it is not what saves the requests.
const CELL: &str = "rate=2 lag=8s history=20s bounds=2s..25s stops=60 seed=13";

fn can_run() -> bool {
    have_program("nginx") && have_program("unshare") && have_program("ip") && have_network()
}

fn run(parameters: &str) -> Report {
    let cell: Cell = parameters.parse().unwrap();
    let report = cell.run();
    println!("{report}");
    report
}

/// Without requests after SIGTERM nothing could be lost. Rate, lag and number of stops give their average.
#[track_caller]
fn saw_enough_requests(report: &Report, average: f64) {
    let came = report.requests();
    // Four standard deviations.
    assert!(
        came as f64 > average - 4.0 * average.sqrt(),
        "only {came} requests came after SIGTERM, not about {average}"
    );
}

/// If a rule loses a request in one stop of 100, four stops of 60 lose one in 3 of 1,000 runs of this test.
#[test]
fn thin_traffic_loses_nothing_until_the_balancer_has_noticed() {
    if !can_run() {
        return;
    }
    println!("{HEADER}");
    let report = run(CELL);
    saw_enough_requests(&report, 2.0 * 8.0 * 60.0);
    assert!(report.losing_stops() <= 3, "{} stops of 60 lost a request", report.losing_stops());
}

/// The controls: the harness sees what is lost, and loses nothing by itself.
#[test]
fn a_fixed_pre_delay_shorter_than_the_lag_loses_requests_and_a_longer_one_none() {
    if !can_run() {
        return;
    }
    println!("{HEADER}");
    thread::scope(|scope| {
        let shorter = scope.spawn(|| run(&format!("{CELL} stops=20 bounds=2s")));
        let longer = scope.spawn(|| run(&format!("{CELL} stops=20 bounds=11s seed=1313")));
        let [shorter, longer] =
            [shorter, longer].map(|cell| cell.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        for report in [&shorter, &longer] {
            saw_enough_requests(report, 2.0 * 8.0 * 20.0);
        }
        // In the last six seconds of the lag something comes in practically every stop.
        assert!(shorter.losing_stops() >= 18, "only {} stops of 20 lost a request", shorter.losing_stops());
        assert_eq!(longer.losing_stops(), 0);
    });
}

#[test]
#[ignore = "takes minutes; run with THIN_TRAFFIC=\"rate=.. lag=..\""]
fn cell() {
    if !can_run() {
        return;
    }
    let cells = std::env::var("THIN_TRAFFIC").unwrap_or_default();
    println!("{}\n\n{HEADER}", softstop_binary());
    let reports: Vec<Report> = cells.trim_end_matches([';', ' ']).split(';').map(run).collect();
    for report in reports {
        let most = most_that_may_lose(report.stops());
        assert!(report.losing_stops() <= most, "more than {most} of {} stops lost a request", report.stops());
    }
}

#[test]
fn fewer_than_8_stops_of_200_may_lose() {
    assert_eq!(most_that_may_lose(200), 7);
    assert_eq!(most_that_may_lose(60), 4);
    assert_eq!(most_that_may_lose(1), 1);
}
