//! The parameters of a cell, and how one stop of it goes.

use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::DEAD_MAN;
use libc::SIGTERM;

use super::client::{Client, Connect};
use super::pod::Pod;
use super::random::Random;
use super::report::{Report, Stop};

/// How exactly the end of a stop is measured.
const TICK: Duration = Duration::from_millis(10);

/// See `tests/thin_traffic.rs` for what each parameter means.
#[derive(Clone, Debug)]
pub struct Cell {
    pub rate: f64,
    pub lag: Duration,
    pub history: Duration,
    pub connect: Connect,
    /// None leaves the pre-delay to the profile.
    pub bounds: Option<String>,
    pub grace: Duration,
    pub stops: u16,
    pub at_once: u16,
    pub seed: u64,
}

impl Default for Cell {
    fn default() -> Self {
        Self {
            rate: 1.0,
            lag: Duration::from_secs(4),
            history: Duration::from_secs(60),
            connect: Connect::Half,
            bounds: Some("2s..15s".into()),
            grace: Duration::from_secs(30),
            stops: 200,
            at_once: 100,
            seed: 1,
        }
    }
}

impl FromStr for Cell {
    type Err = String;

    /// `rate=0.2 lag=8s`, in any order. The last of two with the same name counts.
    fn from_str(parameters: &str) -> Result<Self, String> {
        let mut cell = Self::default();
        for parameter in parameters.split_whitespace() {
            let read = parameter.split_once('=').and_then(|(name, value)| cell.set(name, value));
            read.ok_or_else(|| format!("{parameter}: no such parameter or value"))?;
        }
        Ok(cell)
    }
}

impl Cell {
    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        let duration = || humantime::parse_duration(value).ok();
        match name {
            "rate" => self.rate = value.parse().ok().filter(|&rate: &f64| rate > 0.0 && rate.is_finite())?,
            "lag" => self.lag = duration()?,
            "history" => self.history = duration()?,
            "connect" => self.connect = Connect::ALL.into_iter().find(|(name, _)| *name == value)?.1,
            "bounds" => self.bounds = (value != "default").then(|| value.to_owned()),
            "grace" => self.grace = duration()?,
            "stops" => self.stops = value.parse().ok().filter(|&stops| stops > 0)?,
            "at_once" => self.at_once = value.parse().ok().filter(|&pods| pods > 0)?,
            "seed" => self.seed = value.parse().ok()?,
            _ => return None,
        }
        Some(())
    }

    /// Runs all stops, some at the same time.
    pub fn run(&self) -> Report {
        // Two cells may run in one network namespace, so a number belongs to one pod of this process.
        static PODS: AtomicU16 = AtomicU16::new(1);
        let next = AtomicU16::new(0);
        let stops = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..self.at_once.min(self.stops) {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= self.stops {
                            break;
                        }
                        let stop = self.stop(number, PODS.fetch_add(1, Ordering::Relaxed));
                        stops.lock().unwrap().push(stop);
                    }
                });
            }
        });
        let mut stops = stops.into_inner().unwrap();
        stops.sort_by_key(|stop| stop.number);
        Report { cell: self.clone(), stops }
    }

    fn options(&self) -> Vec<String> {
        let grace = ["--grace-period".into(), humantime::format_duration(self.grace).to_string().replace(' ', "")];
        let bounds = self.bounds.iter().flat_map(|bounds| ["--pre-delay".into(), bounds.clone()]);
        grace.into_iter().chain(bounds).collect()
    }

    fn stop(&self, number: u16, pod: u16) -> Stop {
        let mut random = Random::from_seed(self.seed << 16 | u64::from(number));
        let mut pod = Pod::start(pod, &self.options());
        let mut client = Client::of(pod.address);

        let due = Instant::now() + self.history;
        let mut arrival = Instant::now() + random.pause(self.rate);
        while arrival < due {
            sleep_until(arrival);
            let answer = client.ask(self.connect, &mut random);
            assert_eq!(answer, Ok(()), "before SIGTERM, stop {number}: {:?}", pod.run.stderr.all());
            arrival += random.pause(self.rate);
        }
        sleep_until(due);
        let asked = Instant::now();
        pod.run.signal(SIGTERM);

        let mut end = None;
        let mut stop = Stop { number, ..Stop::default() };
        while arrival < asked + self.lag {
            while Instant::now() < arrival {
                look_for_end(&mut pod, &mut end);
                sleep_until(arrival.min(Instant::now() + TICK));
            }
            stop.latest = stop.latest.max(arrival.elapsed());
            stop.requests += 1;
            if let Err(lost) = client.ask(self.connect, &mut random) {
                stop.lost.push((arrival - asked, lost));
            }
            arrival += random.pause(self.rate);
        }
        // Its kept-alive connection stays open meanwhile, as a balancer's does.
        while end.is_none() {
            look_for_end(&mut pod, &mut end);
            assert!(asked.elapsed() < self.grace + DEAD_MAN, "stop {number} has no end: {:?}", pod.run.stderr.all());
            thread::sleep(TICK);
        }
        let took = end.unwrap() - asked;
        let outcome = pod.run.wait();
        outcome.code(0);
        let last_words = outcome.stderr.lines().last().unwrap_or_default().to_owned();
        Stop { took, last_words, ..stop }
    }
}

fn look_for_end(pod: &mut Pod, end: &mut Option<Instant>) {
    if end.is_none() && pod.run.ended().is_some() {
        *end = Some(Instant::now());
    }
}

fn sleep_until(then: Instant) {
    thread::sleep(then.saturating_duration_since(Instant::now()));
}
