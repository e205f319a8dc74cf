//! When clients call.

use std::fmt::{self, Display, Formatter};

use super::random::Random;

/// Calls of a burst.
const BURST: u8 = 20;
/// How late a call of an even client or of a probe is at most, in seconds.
pub const LATEST: f64 = 0.005;
/// Between busy and idle times of a day.
const DAY_AND_NIGHT: f64 = 20.0;

/// How the clients' calls follow each other. Rates are in calls a second, times in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrivals {
    Nobody,
    /// Independent of each other.
    Poisson {
        rate: f64,
    },
    /// Bursts of 20 calls of one client, each burst spread over so many seconds. The bursts are independent of each other.
    Bursts {
        rate: f64,
        spread: f64,
    },
    /// One client that calls at even intervals.
    Poll {
        period: f64,
    },
    /// Poisson, but until a minute before the stop there were 20 times as many.
    Night {
        rate: f64,
    },
    /// Poisson, but until a minute before the stop there was a 20th as many.
    Day {
        rate: f64,
    },
    /// Poisson, but until half a minute before the stop, so within what the kernel remembers, there were 20 times as many.
    Falling {
        rate: f64,
    },
}

/// A client's call.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// In seconds since the stop began.
    pub at: f64,
    /// The number of the client.
    pub client: u8,
}

impl Arrivals {
    /// The calls from `from` to `to`, in order.
    pub fn between(self, from: f64, to: f64, clients: u8, random: &mut Random) -> Vec<Arrival> {
        let mut all = Vec::new();
        match self {
            Self::Nobody => {}
            Self::Poisson { rate } | Self::Night { rate } | Self::Day { rate } => {
                poisson(rate, from, to, random, |at, random| all.push(Arrival { at, client: pick(clients, random) }));
            }
            Self::Falling { rate } => {
                let mut add = |at, random: &mut Random| all.push(Arrival { at, client: pick(clients, random) });
                poisson(rate * DAY_AND_NIGHT, from, -30.0, random, &mut add);
                poisson(rate, from.max(-30.0), to, random, &mut add);
            }
            Self::Bursts { rate, spread } => {
                poisson(rate / f64::from(BURST), from - spread, to, random, |begin, random| {
                    let client = pick(clients, random);
                    let burst = (0..BURST).map(|_| Arrival { at: begin + random.fraction() * spread, client });
                    all.extend(burst.filter(|call| (from..to).contains(&call.at)));
                });
            }
            Self::Poll { period } => {
                let first = from + random.fraction() * period;
                all = even(first, period, to, random).map(|at| Arrival { at, client: 0 }).collect();
            }
        }
        all.sort_by(|one, next| one.at.total_cmp(&next.at));
        all
    }

    /// How many calls came in this many seconds, long before the stop.
    pub fn earlier(self, seconds: f64, random: &mut Random) -> u64 {
        let rate = match self {
            Self::Nobody => return 0,
            Self::Poisson { rate } | Self::Bursts { rate, .. } => rate,
            Self::Poll { period } => 1.0 / period,
            Self::Night { rate } | Self::Falling { rate } => rate * DAY_AND_NIGHT,
            Self::Day { rate } => rate / DAY_AND_NIGHT,
        };
        // It matters whether there were any, not whether there were 100 or 101.
        if rate * seconds > 100.0 {
            return (rate * seconds) as u64;
        }
        let mut count = 0;
        poisson(rate, 0.0, seconds, random, |_, _| count += 1);
        count
    }
}

impl Display for Arrivals {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        match self {
            Self::Nobody => formatter.write_str("nobody"),
            Self::Poisson { rate } => write!(formatter, "{rate} a second"),
            Self::Bursts { rate, spread } => write!(formatter, "{rate} a second in bursts of {BURST} over {spread} s"),
            Self::Poll { period } => write!(formatter, "one client each {period} s"),
            Self::Night { rate } => write!(formatter, "{rate} a second, {} before", rate * DAY_AND_NIGHT),
            Self::Day { rate } => write!(formatter, "{rate} a second, {} before", rate / DAY_AND_NIGHT),
            Self::Falling { rate } => {
                write!(formatter, "{rate} a second, {} until 30 s ago", rate * DAY_AND_NIGHT)
            }
        }
    }
}

fn poisson(rate: f64, from: f64, to: f64, random: &mut Random, mut add: impl FnMut(f64, &mut Random)) {
    let mut at = from + random.pause(rate).as_secs_f64();
    while at < to {
        add(at, random);
        at += random.pause(rate).as_secs_f64();
    }
}

fn pick(clients: u8, random: &mut Random) -> u8 {
    (random.fraction() * f64::from(clients)) as u8
}

/// Calls by a clock that does not drift, each a little late.
pub fn even(first: f64, period: f64, to: f64, random: &mut Random) -> impl Iterator<Item = f64> {
    let due = (0..).map(move |n| first + f64::from(n) * period);
    due.map(|due| due + random.fraction() * LATEST).take_while(move |&at| at < to)
}
