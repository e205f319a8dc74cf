//! Thousands of simulated stops: how many lose a request, and how long they wait.
//!
//! The pods, their clients and what the kernel shows of them are simulated (`pod.rs` says how); what decides is
//! `softstop::traffic`. A request is lost that comes after the end of the wait. Calls come until the lag's end.
//!
//! An evaluation of the rule takes long in a build without optimisation, so `cargo test` runs few stops of few cells. All
//! cells, with the number of stops that the promise names, take some minutes:
//!
//! ```text
//! RATE_SIMULATION_STOPS=10000 cargo test -p softstop --profile rehearse --test rate_simulation
//! ```
//!
//! The same with `table -- --ignored` writes the table of docs/how-much-silence.md.
#![allow(
    unreachable_pub,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test panics when it fails, and may print and measure time; the counts are small"
)]

#[path = "rate_simulation/arrivals.rs"]
mod arrivals;
#[path = "rate_simulation/binomial.rs"]
mod binomial;
#[path = "rate_simulation/cell.rs"]
mod cell;
#[path = "rate_simulation/pod.rs"]
mod pod;
#[path = "thin_traffic/random.rs"]
mod random;
#[path = "rate_simulation/rules.rs"]
mod rules;
#[path = "rate_simulation/table.rs"]
mod table;

use arrivals::Arrivals;
use binomial::most_of_100;
use cell::{Address, Cell, Connect, Outcome, Probe, Source};
use rules::{LOWER, QUIET, Rule};

/// All cells, with so many stops each. `None`: a few cells, with half of [`FEW`].
fn all_cells() -> Option<usize> {
    std::env::var("RATE_SIMULATION_STOPS").ok().map(|stops| stops.parse().unwrap())
}

/// Twice the stops of a cell in a build without optimisation; those of a control, for which simpler rules decide.
const FEW: usize = 200;

fn stops() -> usize {
    all_cells().unwrap_or(FEW / 2)
}

/// The upper bounds and lags at which the promises are held: just below the upper bound, which is the worst, and half of it.
fn waits() -> Vec<(f64, f64)> {
    if all_cells().is_none() {
        return vec![(15.0, 14.5)];
    }
    [10.0, 15.0, 25.0].into_iter().flat_map(|upper| [upper / 2.0, upper - 0.5].map(|lag| (upper, lag))).collect()
}

fn rates() -> Vec<f64> {
    if all_cells().is_none() {
        return vec![0.35, 1.0, 3.0];
    }
    vec![0.1, 0.35, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 10.0, 20.0, 50.0, 200.0]
}

/// Poisson arrivals at all rates, with all waits.
fn poisson(like: &Cell) -> Vec<Cell> {
    let cell = |rate, (upper, lag)| Cell { arrivals: Arrivals::Poisson { rate }, lag, upper, ..like.clone() };
    rates().into_iter().flat_map(|rate| waits().into_iter().map(move |wait| cell(rate, wait))).collect()
}

/// Fails if one of the cells fails, and names all that do. At 200 calls a second an evaluation takes some milliseconds, so
/// there are a tenth of the stops.
#[track_caller]
fn hold(cells: &[Cell], complaint: impl Fn(&Cell, &Outcome) -> Option<String>) {
    let failures: Vec<String> = cells
        .iter()
        .filter_map(|cell| {
            let is_heavy = matches!(cell.arrivals, Arrivals::Poisson { rate } if rate >= 50.0);
            let stops = if is_heavy { stops().div_ceil(10) } else { stops() };
            let outcome = &cell.run(stops, &[Rule::Softstop])[0];
            let [median, most] = [0.5, 0.99].map(|share| outcome.percentile(share));
            println!("{cell}: {} of {stops} lose, median {median:.1} s, 99 of 100 {most:.1} s", outcome.losing());
            complaint(cell, outcome).map(|complaint| format!("{cell}: {complaint}"))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// More stops lose a request than would if one of 100 did.
fn loses(_: &Cell, outcome: &Outcome) -> Option<String> {
    let (losing, stops) = (outcome.losing(), outcome.0.len());
    (losing > most_of_100(1.0, stops)).then(|| format!("{losing} of {stops} stops lost a request"))
}

/// Fewer stops are over by this time than would be if this share of 100 were.
fn is_late(outcome: &Outcome, share: f64, by: f64) -> Option<String> {
    let (late, stops) = (outcome.0.len() - outcome.over_by(by), outcome.0.len());
    (late > most_of_100(100.0 - share, stops)).then(|| format!("{late} of {stops} stops took longer than {by} s"))
}

fn probes(periods: &[f64], address: Address) -> Vec<Probe> {
    periods.iter().map(|&period| Probe::each(period, address)).collect()
}

#[test]
fn one_stop_in_100_loses_a_request_if_the_server_closes() {
    hold(&poisson(&Cell::default()), loses);
}

#[test]
fn one_stop_in_100_loses_a_request_if_half_of_the_calls_come_on_kept_connections() {
    hold(&poisson(&Cell { connect: Connect::Half, ..Cell::default() }), loses);
}

#[test]
fn one_stop_in_100_loses_a_request_if_all_clients_have_one_address() {
    for connect in [Connect::ByServer, Connect::Half] {
        hold(&poisson(&Cell { connect, clients: 1, ..Cell::default() }), loses);
    }
}

#[test]
fn one_stop_in_100_loses_a_request_beside_probes() {
    let all: &[f64] = &[1.0, 2.0, 5.0, 10.0];
    for &period in if all_cells().is_some() { all } else { &all[1..2] } {
        for (address, clients) in [(Address::Own, 20), (Address::OfClient, 1)] {
            hold(&poisson(&Cell { probes: probes(&[period], address), clients, ..Cell::default() }), loses);
        }
    }
    let liveness_and_readiness = probes(&[2.0, 10.0], Address::OfAllProbes);
    hold(&poisson(&Cell { probes: liveness_and_readiness, connect: Connect::Half, ..Cell::default() }), loses);
}

#[test]
fn one_stop_in_100_loses_a_request_without_netlink() {
    for connect in [Connect::ByServer, Connect::Half] {
        hold(&poisson(&Cell { source: Source::Proc, connect, ..Cell::default() }), loses);
    }
}

#[test]
fn two_seconds_of_silence_lose_more() {
    for rate in [0.35, 0.5, 1.0, 2.0] {
        let cell = Cell { arrivals: Arrivals::Poisson { rate }, lag: 14.5, ..Cell::default() };
        let outcomes = cell.run(FEW, &[Rule::TwoSeconds, Rule::OnePause]);
        let losing = outcomes[0].losing();
        assert!(losing > most_of_100(1.0, FEW), "{cell}: {losing} of {FEW}");
    }
}

#[test]
fn ln_100_by_the_rate_loses_more() {
    let cell = Cell { arrivals: Arrivals::Poisson { rate: 2.0 }, lag: 14.5, ..Cell::default() };
    let losing = cell.run(FEW, &[Rule::OnePause])[0].losing();
    assert!(losing > most_of_100(1.0, FEW), "{losing} of {FEW}");
}

/// Four calls or fewer are no history.
#[test]
fn if_the_rate_is_unknown_no_stop_ends_before_the_upper_bound() {
    let cell = |rate| Cell { arrivals: Arrivals::Poisson { rate }, connect: Connect::ByClient, ..Cell::default() };
    let with_probe = |cell: &Cell| Cell { probes: probes(&[10.0], Address::OfAllProbes), ..cell.clone() };
    let cells = [0.02, 0.1, 0.35, 0.5].map(cell);
    let young = cells.clone().map(|cell| Cell { age: 60.0, ..cell }).into_iter().skip(1);
    let cells: Vec<Cell> = cells.iter().cloned().chain(young).collect();
    let all: Vec<Cell> = cells.iter().map(with_probe).chain(cells.clone()).collect();
    hold(&all, |cell, outcome| {
        let early = |stop: &&cell::Stop| stop.was_called && stop.requests < 5 && stop.took < cell.upper;
        outcome.0.iter().find(early).map(|stop| format!("{stop:?}"))
    });
}

fn busy(rates: &[f64]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for &rate in rates {
        for connect in [Connect::ByServer, Connect::Half] {
            for (upper, lag) in [
                (10.0, 0.0),
                (10.0, 2.0),
                (10.0, 5.0),
                (15.0, 4.0),
                (15.0, 8.0),
                (25.0, 2.0),
                (25.0, 8.0),
                (25.0, 20.0),
            ] {
                cells.push(Cell { arrivals: Arrivals::Poisson { rate }, connect, lag, upper, ..Cell::default() });
            }
        }
    }
    if all_cells().is_none() {
        cells = cells.into_iter().step_by(5).collect();
    }
    cells
}

#[test]
fn with_ten_calls_a_second_a_stop_is_over_soon() {
    let rates: &[f64] = if all_cells().is_some() { &[10.0, 20.0, 50.0, 200.0] } else { &[10.0] };
    hold(&busy(rates), |cell, outcome| is_late(outcome, 99.0, cell.lag.max(LOWER) + QUIET + 1.0));
}

#[test]
fn with_five_calls_a_second_most_stops_are_over_soon() {
    hold(&busy(&[5.0]), |cell, outcome| is_late(outcome, 85.0, cell.lag.max(LOWER) + QUIET + 1.0));
}

#[test]
fn without_a_client_a_stop_is_over_at_the_lower_bound() {
    let nobody = |source, age, probes| Cell { source, age, probes, lag: 0.0, ..Cell::default() };
    let by_kubelet = |periods: &[f64]| probes(periods, Address::OfAllProbes);
    let mut cells = vec![nobody(Source::Netlink, 3600.0, vec![]), nobody(Source::Proc, 10.0, vec![])];
    for period in [0.5, 1.0, 2.0, 5.0, 10.0, 15.0] {
        for age in [60.0, 600.0, 3600.0] {
            // Four of 15 s have come after 60 s.
            cells.push(nobody(Source::Netlink, f64::max(age, 61.0), by_kubelet(&[period])));
        }
    }
    for periods in [[1.0, 2.0], [2.0, 10.0], [10.0, 10.0], [5.0, 10.0], [10.0, 15.0]] {
        cells.push(nobody(Source::Netlink, 600.0, by_kubelet(&periods)));
    }
    hold(&cells, |_, outcome| is_late(outcome, 99.0, LOWER + 0.5));
}

#[test]
fn the_page_has_what_the_simulation_prints() {
    let page = table::of_page();
    let rows = table::rows();
    assert_eq!(page.lines().count(), rows.len() + 2);
    // The others take too long.
    for cell in rows.iter().filter(|cell| table::is_light(cell)) {
        let row = table::row(cell);
        assert!(page.contains(&row), "missing: {row}");
    }
}

#[test]
#[ignore = "writes docs/how-much-silence.md"]
fn table() {
    let table = table::table();
    println!("{table}");
    table::write(&table);
}

#[test]
#[ignore = "prints what one evaluation of the rule costs"]
fn cost() {
    use softstop::probe::{Call, Caller};
    use softstop::rate::{Before, Calls};
    use std::net::IpAddr;
    use std::time::{Duration, Instant};
    println!("| calls | peers | CPU of one evaluation |\n| ---: | ---: | ---: |");
    for (count, peers) in [(100, 1), (400, 1), (401, 1), (400, 20), (1000, 20), (4096, 20), (4096, 400)] {
        let mut random = random::Random::from_seed(1);
        // Half in the minute before the stop, half in the 20 s of it.
        let mut call = |at: f64| Call {
            at: (at * 1000.0) as i32,
            peer: IpAddr::from([10, 0, (random.fraction() * f64::from(peers)) as u8, 1]),
            caller: Caller::Any,
            is_first: true,
            hides_earlier: false,
        };
        let mut times = random::Random::from_seed(2);
        let known: Vec<Call> = (0..count - 1)
            .map(|n| call(if n % 2 == 0 { times.fraction() * 20.0 } else { -times.fraction() * 60.0 }))
            .collect();
        let mut calls = Calls::new(Duration::from_secs(3600), Before::Accepted(1 << 20));
        calls.add(known);
        let start = Instant::now();
        for n in 0..5 {
            calls.add([call(20.0 + f64::from(n) / 4.0)]);
        }
        println!("| {count} | {peers} | {:.1?} |", start.elapsed() / 5);
    }
}
