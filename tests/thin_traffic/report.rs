//! What a cell has shown: one row of a table, and a line for each stop that lost something.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use super::cell::Cell;
use super::client::{Connect, Lost};

/// `--quiet` of softstop, and a second for its last look and the server's exit.
const SOON: Duration = Duration::from_secs(3);

/// The head of the table.
pub const HEADER: &str = "\
| requests a second | lag | connect | bounds | stops | requests after SIGTERM | lost | stops that lost something | median stop | longest stop | beyond the lag, median | within lag + 3 s | latest request | seed |
|---:|---:|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|";

/// What happened in one stop.
#[derive(Debug, Default)]
pub struct Stop {
    pub number: u16,
    /// How many came after SIGTERM.
    pub requests: usize,
    /// When after SIGTERM a request was lost, and how.
    pub lost: Vec<(Duration, Lost)>,
    /// From SIGTERM to the end of PID 1.
    pub took: Duration,
    /// How late a request was sent at most, because this machine is busy.
    pub latest: Duration,
    /// The last line of softstop's log.
    pub last_words: String,
}

#[derive(Debug)]
pub struct Report {
    pub cell: Cell,
    pub stops: Vec<Stop>,
}

impl Report {
    pub fn stops(&self) -> usize {
        self.stops.len()
    }

    /// How many requests came after SIGTERM.
    pub fn requests(&self) -> usize {
        self.stops.iter().map(|stop| stop.requests).sum()
    }

    pub fn losing_stops(&self) -> usize {
        self.losing().count()
    }

    fn losing(&self) -> impl Iterator<Item = &Stop> {
        self.stops.iter().filter(|stop| !stop.lost.is_empty())
    }
}

impl Display for Report {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        let Self { cell, stops } = self;
        let connect = Connect::ALL.into_iter().find(|(_, connect)| *connect == cell.connect).unwrap().0;
        let bounds = cell.bounds.as_deref().unwrap_or("default");
        let lost: usize = stops.iter().map(|stop| stop.lost.len()).sum();
        let mut took: Vec<f64> = stops.iter().map(|stop| stop.took.as_secs_f64()).collect();
        took.sort_by(f64::total_cmp);
        let median = f64::midpoint(took[(took.len() - 1) / 2], took[took.len() / 2]);
        let soon = stops.iter().filter(|stop| stop.took <= cell.lag + SOON).count() * 100 / stops.len();
        write!(
            formatter,
            "| {} | {:?} | {connect} | {bounds} | {} | {} | {lost} | {} | {median:.1} s | {:.1} s | {:.1} s | {soon} % | \
             {} ms | {} |",
            cell.rate,
            cell.lag,
            stops.len(),
            self.requests(),
            self.losing_stops(),
            took[took.len() - 1],
            median - cell.lag.as_secs_f64(),
            stops.iter().map(|stop| stop.latest).max().unwrap().as_millis(),
            cell.seed,
        )?;
        for stop in self.losing() {
            let Stop { number, requests, lost, took, last_words, .. } = stop;
            let (at, how) = lost[0];
            let (at, took) = (at.as_secs_f64(), took.as_secs_f64());
            write!(formatter, "\n  stop {number} lost {} of {requests} requests, ", lost.len())?;
            write!(formatter, "the first one at {at:.1} s ({how:?}), and took {took:.1} s: {last_words}")?;
        }
        Ok(())
    }
}

/// How many of these stops may lose a request: more do so in about 1 of 1,000 runs of a rule that loses in one stop of 100.
pub fn most_that_may_lose(stops: usize) -> usize {
    const LOSES: f64 = 0.01;
    const CHANCE: f64 = 0.0012;
    // The binomial distribution, from one number of losing stops to the next.
    let mut probability = (1.0 - LOSES).powf(stops as f64);
    let mut more = 1.0 - probability;
    let mut most = 0;
    while more > CHANCE {
        probability *= (stops - most) as f64 / (most + 1) as f64 * LOSES / (1.0 - LOSES);
        more -= probability;
        most += 1;
    }
    most
}
