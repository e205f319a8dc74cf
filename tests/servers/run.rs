//! One run of a row: starts it, asks, stops it, and says what was lost.
//!
//! With SIGTERM at T: three slow answers are asked at T-0.5 s (A) and three at T+2.5 s (B); a client that keeps its
//! connection and one that opens a new one each time ask for a short answer every 0.3 s from T-1.5 s to T+3 s.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::namespace::new_network;
use common::{Running, program};
use tempfile::TempDir;

use super::backend::Backend;
use super::client::Client;
use super::row::{Part, Row, named_softstop};

const BEFORE: Duration = Duration::from_millis(1500);
/// Half a second before the stop request.
const A_AT: Duration = Duration::from_secs(1);
const B_AFTER: Duration = Duration::from_millis(2500);
const SHORT_AFTER: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(300);
const SLOW_AT_ONCE: usize = 3;

/// softstop's only setting.
const OPTIONS: [&str; 2] = ["--grace-period", "30s"];

/// A container's platform would have lost its patience.
pub const LIMIT: Duration = Duration::from_secs(45);
const START_LIMIT: Duration = Duration::from_secs(90);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    Tini,
    Softstop,
}

/// How many were lost of how many that were asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub lost: usize,
    pub asked: usize,
}

/// What was seen in a run.
#[derive(Clone, Debug)]
pub struct Observed {
    pub counts: BTreeMap<Part, Count>,
    /// How something was lost, of which part, and how many seconds after the stop request.
    pub how: Vec<(Part, String, f64)>,
    /// None if it had not ended at the limit.
    pub code: Option<i32>,
    pub seconds: f64,
    /// What softstop's log says was sent: the signal, and to whom.
    pub sent: Vec<(String, String)>,
    /// The profile that softstop's log names.
    pub profile: Option<String>,
    /// How many stop signals the server itself has counted.
    pub counted: Option<usize>,
    /// softstop's own log.
    pub log: Vec<String>,
}

impl Observed {
    pub fn lost(&self, part: Part) -> usize {
        self.counts.get(&part).map_or(0, |count| count.lost)
    }

    /// How they were lost, a line for each way.
    pub fn how(&self) -> Vec<String> {
        let mut ways: BTreeMap<(Part, &str), Vec<f64>> = BTreeMap::new();
        for (part, how, at) in &self.how {
            ways.entry((*part, how)).or_default().push(*at);
        }
        let line = |((part, how), times): ((Part, &str), Vec<f64>)| {
            let [first, last] = [f64::min, f64::max].map(|of| times.iter().copied().reduce(of).unwrap_or_default());
            format!("{} {}: {how}, {first:.1} s to {last:.1} s after the stop request", times.len(), part.name())
        };
        ways.into_iter().map(line).collect()
    }

    pub fn lost_at_all(&self) -> usize {
        self.counts.values().map(|count| count.lost).sum()
    }
}

/// Runs a row under this init; the error says why it did not start.
pub fn run(row: &Row, init: Init) -> Result<Observed, String> {
    let _permit = Permit::take();
    let row = row.clone();
    // The thread moves to a network namespace; those that it starts, and the server, are born into it.
    let thread = thread::Builder::new().name(row.name.clone()).spawn(move || {
        new_network();
        run_here(&row, init)
    });
    thread.unwrap().join().unwrap_or_else(|_| Err("the harness itself failed; see above".to_owned()))
}

fn run_here(row: &Row, init: Init) -> Result<Observed, String> {
    let directory = TempDir::new().unwrap();
    for name in ["asked", "done"] {
        fs::create_dir(directory.path().join(name)).unwrap();
    }
    row.set_up(directory.path())?;
    let slow = Duration::from_secs(row.slow_seconds);
    let _backend = Backend::start(slow);
    let client = Client { protocol: row.protocol.clone(), directory: directory.path().to_owned(), slow };

    let mut process = start(row, init, &directory);
    let began = Instant::now();
    while !client.is_ready() {
        if process.ended().is_some() || began.elapsed() > START_LIMIT {
            return Err(format!("it did not start: {:?}\n{}", process.ended(), output(&process)));
        }
        thread::sleep(Duration::from_millis(20));
    }

    let began = Instant::now();
    let stop = began + BEFORE;
    let asks = |part| row.asks.contains(&part);
    let outcomes = Outcomes { stop, counts: Mutex::default(), how: Mutex::default() };
    let mut code = None;
    let mut lasted = LIMIT;
    thread::scope(|scope| {
        let (client, outcomes) = (&client, &outcomes);
        for (part, at) in [(Part::A, began + A_AT), (Part::B, stop + B_AFTER)] {
            for _ in (0..SLOW_AT_ONCE).filter(|_| asks(part)) {
                scope.spawn(move || {
                    sleep_until(at);
                    outcomes.note(part, client.ask_slow());
                });
            }
        }
        for keeps in [true, false].into_iter().filter(|_| asks(Part::Short)) {
            scope.spawn(move || {
                let mut kept = None;
                while Instant::now() < stop + SHORT_AFTER {
                    let asked = Instant::now();
                    outcomes.note(Part::Short, if keeps { client.ask_short(&mut kept) } else { client.ask_fresh() });
                    sleep_until(asked + PAUSE);
                }
            });
        }
        sleep_until(stop);
        process.signal(libc::SIGTERM);
        while code.is_none() && stop.elapsed() < LIMIT {
            thread::sleep(Duration::from_millis(2));
            code = process.ended();
            lasted = stop.elapsed();
        }
    });

    let output = output(&process);
    let counted = row.expected.counted.map(|(file, part, _)| {
        let text = if file == "output" { output.clone() } else { read(&directory, file) };
        text.lines().filter(|line| line.contains(part)).count()
    });
    let (sent, profile) = named_in(&process.stderr.all());
    let (counts, how) = (outcomes.counts.into_inner().unwrap(), outcomes.how.into_inner().unwrap());
    let log = process.stderr.all().into_iter().filter(|line| line.starts_with("softstop: ")).collect();
    Ok(Observed { counts, how, code, seconds: lasted.as_secs_f64(), sent, profile, counted, log })
}

fn start(row: &Row, init: Init, directory: &TempDir) -> Running {
    let (binary, options) = match init {
        Init::Tini => ("tini", &[][..]),
        Init::Softstop => (named_softstop(), &OPTIONS[..]),
    };
    let words = options.iter().map(|&option| option.to_owned()).chain(["--".to_owned()]);
    // Each has a /run and a /dev/shm of its own: some servers keep files of a fixed name there.
    let own_run = [
        "sh",
        "-c",
        "mount -t tmpfs tmpfs /run && mkdir -m 1777 /run/lock && mount -t tmpfs tmpfs /dev/shm && exec \"$@\"",
        "sh",
        "env",
    ]
    .map(str::to_owned);
    program(binary, words.chain(row.words(directory.path())))
        .pid_one()
        .directory(directory.path())
        .through(own_run.into_iter().chain(row.words_of_environment(directory.path())))
        .start()
}

/// Prints a line whole, though others print too.
pub fn run_prints(line: &str) {
    println!("{line}");
}

/// The outcomes of all clients.
struct Outcomes {
    stop: Instant,
    counts: Mutex<BTreeMap<Part, Count>>,
    how: Mutex<Vec<(Part, String, f64)>>,
}

impl Outcomes {
    fn note(&self, part: Part, outcome: Result<(), String>) {
        let mut counts = self.counts.lock().unwrap();
        let count = counts.entry(part).or_default();
        count.asked += 1;
        if let Err(how) = outcome {
            count.lost += 1;
            let at = Instant::now().saturating_duration_since(self.stop).as_secs_f64();
            self.how.lock().unwrap().push((part, how, at));
        }
    }
}

fn sleep_until(at: Instant) {
    thread::sleep(at.saturating_duration_since(Instant::now()));
}

fn output(process: &Running) -> String {
    [process.stdout.all(), process.stderr.all()].concat().join("\n")
}

fn read(directory: &TempDir, file: &str) -> String {
    fs::read(directory.path().join(file)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// The signals that softstop's log says were sent, with their receivers, and the profile.
fn named_in(log: &[String]) -> (Vec<(String, String)>, Option<String>) {
    let mut sent = Vec::new();
    let mut profile = None;
    for line in log.iter().filter_map(|line| line.strip_prefix("softstop: ")) {
        // sent SIGQUIT to nginx (pid 7), behind start.sh (pid 2)
        for part in line.split("sent ").skip(1) {
            let words: Vec<&str> = part.splitn(4, ' ').collect();
            if let [signal, "to", receiver, pid] = words[..] {
                if signal.starts_with("SIG") && pid.starts_with("(pid ") {
                    sent.push((signal.to_owned(), receiver.to_owned()));
                }
            }
        }
        if let Some((_, name)) = line.split_once("profile ") {
            profile = name.split([' ', ',', ';', ':', ')']).next().map(str::to_owned);
        }
    }
    (sent, profile)
}

/// Leave to run: too many servers at once would be slow for want of a processor, not by themselves.
struct Permit;

static FREE: Mutex<Option<usize>> = Mutex::new(None);
static FREED: Condvar = Condvar::new();

impl Permit {
    fn take() -> Self {
        let mut free = FREE.lock().unwrap();
        loop {
            let left = free.get_or_insert_with(at_once);
            if *left > 0 {
                *left -= 1;
                return Self;
            }
            free = FREED.wait(free).unwrap();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut free = FREE.lock().unwrap();
        *free = free.map(|left| left + 1);
        FREED.notify_one();
    }
}

/// Most of a run is waiting.
fn at_once() -> usize {
    let named = std::env::var("TEST_SERVERS_AT_ONCE").ok().and_then(|value| value.parse().ok());
    named.unwrap_or_else(|| 8 * thread::available_parallelism().map_or(1, usize::from))
}
