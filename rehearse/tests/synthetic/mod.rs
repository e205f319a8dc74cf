//! Made-up rehearsals: realistic figures, and extremes that a real rehearsal would not produce on demand.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

use serde_json::{Map, Value, json};

/// The update of one contender.
#[derive(Clone)]
pub(crate) struct Update {
    pub(crate) name: String,
    pub(crate) per_second: f64,
    pub(crate) seconds: f64,
    pub(crate) pods: u32,
    /// From the request to stop until the pod has ended, in seconds.
    pub(crate) stop_takes: f64,
    /// The share of lost requests, of those that reach a pod that stopped too early or were in flight in it.
    pub(crate) loss: f64,
    /// Every n-th request is retried. 0: none.
    pub(crate) retried: u32,
}

/// A pseudo-random number generator with a fixed sequence.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(self.0 >> 33).unwrap()) / f64::from(u32::MAX >> 1)
    }
}

/// The lag after which the balancer no longer sends requests to an old pod, in seconds.
const LAG: f64 = 2.0;

impl Update {
    /// 200 requests a second for 25 seconds, two pods.
    pub(crate) fn new(name: &str, loss: f64, stop_takes: f64) -> Self {
        Self { name: name.to_owned(), per_second: 200.0, seconds: 25.0, pods: 2, stop_takes, loss, retried: 0 }
    }

    fn stops(&self) -> Vec<f64> {
        let each = (self.seconds - 6.0) / f64::from(self.pods);
        (0..self.pods).map(|pod| 3.8 + each * f64::from(pod)).collect()
    }

    /// A run as in `rehearsal.json`.
    pub(crate) fn run(&self) -> Value {
        let mut random = Random(self.name.len() as u64 + 7);
        let stops = self.stops();
        let mut requests = Vec::new();
        for number in 0..(self.per_second * self.seconds) as u32 {
            let due = f64::from(number) / self.per_second;
            let slow = random.next() < 0.1;
            let fresh = random.next() < 0.3;
            let mut latency =
                1.6 + 4.0 * random.next().powi(3) + if random.next() < 0.01 { 14.0 * random.next() } else { 0.0 };
            let (mut verdict, mut status) = ("answered", 200);
            if slow {
                latency += 4000.0;
            }
            for stop in &stops {
                let unlucky = random.next() < self.loss / f64::from(self.pods);
                if unlucky && due >= *stop && due < stop + LAG {
                    let (lost, after, code) = match random.next() {
                        value if value < 0.62 => ("5xx", 3004.0 + 30.0 * random.next(), 503),
                        value if value < 0.9 => ("refused", 0.4 + random.next(), 0),
                        _ => ("5xx", 1.0 + random.next(), 502),
                    };
                    (verdict, latency, status) = (lost, after, code);
                } else if unlucky && slow && due < *stop && due + 4.0 > *stop {
                    (verdict, latency, status) = ("cut off", (stop - due) * 1000.0 + 1.0, 200);
                }
            }
            let retried = self.retried > 0 && number % self.retried == 3;
            let row = json!([
                tenths(due * 1000.0),
                tenths(latency),
                verdict,
                status,
                u8::from(slow),
                u8::from(fresh),
                u8::from(retried)
            ]);
            requests.push(row);
        }
        let mut marks = Vec::new();
        let mut ends = Vec::new();
        for (pod, stop) in stops.iter().enumerate() {
            let mut mark = |at: f64, what: &str, whom: String| {
                marks.push(json!({"at_ms": at * 1000.0, "what": what, "whom": whom}));
            };
            mark(stop - 0.02, "added", format!("web-{}", pod + 3));
            mark(*stop, "stop", format!("web-{}", pod + 1));
            mark(stop + LAG, "removed", format!("web-{}", pod + 1));
            mark(stop + self.stop_takes, "gone", format!("web-{}", pod + 1));
            let seconds = tenths(self.stop_takes);
            ends.push(json!({"pod": format!("web-{}", pod + 1), "seconds": seconds, "exit": 0, "killed": false}));
        }
        json!({
            "name": self.name, "command": "nginx -g 'daemon off;'",
            "update_began_ms": 3000.0, "update_ended_ms": (self.seconds - 3.0) * 1000.0, "ended_ms": self.seconds * 1000.0,
            "marks": marks, "stops": ends, "telltales": self.log_findings(), "errors": errors(&requests),
            "limits": [], "incomplete": null, "generator_cores": 0.31, "requests": requests,
        })
    }

    /// What the logs of its servers say.
    fn log_findings(&self) -> Vec<Value> {
        let finding = |means: &str, good: bool, count: u64, example: &str| {
            json!({"means": means, "good": good, "count": count, "example": example,
                   "log": format!("logs/{}/web-1.log", self.name.replace([' ', ','], "-"))})
        };
        if self.loss > 0.0 {
            vec![
                finding(
                    "nginx closed connections that were still in use",
                    false,
                    31,
                    "2026/11/23 19:15:04 [alert] 7#7: *8814 open socket #11 left in connection 4",
                ),
                finding(
                    "HAProxy could not connect to a pod",
                    false,
                    98,
                    "Nov 23 19:15:05 haproxy[31]: 127.0.0.1:51022 web/web-1 0/3004/-1/-1/3004 503 217 - - SC-- 41/41/12/6/3",
                ),
            ]
        } else {
            vec![
                finding(
                    "nginx drained its connections",
                    true,
                    4,
                    "2026/11/23 19:15:09 [notice] 7#7: gracefully shutting down",
                ),
                finding(
                    "softstop reported a whole stop",
                    true,
                    2,
                    "softstop: stopped in 5.3 s: pre-delay 5.0 s, drain 0.3 s, exit code 0",
                ),
            ]
        }
    }
}

/// How often requests were lost, by the error message.
fn errors(requests: &[Value]) -> Map<String, Value> {
    let mut errors = Map::new();
    for (verdict, message) in [
        ("5xx", "503 Service Unavailable"),
        ("refused", "connection refused (os error 111)"),
        ("cut off", "the connection was closed after 1,204 of 65,536 bytes of the body"),
    ] {
        let count = requests.iter().filter(|row| row[2] == verdict).count();
        if count > 0 {
            errors.insert(message.to_owned(), count.into());
        }
    }
    errors
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// `rehearsal.json` of these runs.
pub(crate) fn rehearsal(runs: &[Value]) -> Value {
    json!({
        "form": 1, "softstop_version": "0.1.0", "made_at": "2026-11-23T19:15:00Z", "verb": "local",
        "settings": {"lag": "2s", "pods": "2", "rate": "200", "pre-delay": "5s", "application": "nginx/1.22.1", "balancer": "HAProxy 2.6.12"},
        "method": [
            "Requests arrive at a steady 200 a second, whether or not earlier ones were answered; latency counts from when each was due.",
            "A request is answered when its status is 200 and its whole body has the right SHA-256.",
        ],
        "runs": runs, "sweep": null,
    })
}

/// `rehearsal.json` of this update alone.
pub(crate) fn one(update: &Update) -> Value {
    rehearsal(&[update.run()])
}

/// A rehearsal in which nothing was sent.
pub(crate) fn nothing() -> Value {
    let mut figures = one(&Update::new("nothing", 0.0, 9.0));
    figures["runs"][0]["requests"] = json!([]);
    figures
}

/// The five contenders.
pub(crate) fn contenders() -> Vec<Value> {
    let names = [
        ("nginx, bare", 0.62, 0.1),
        ("tini", 0.62, 0.1),
        ("dumb-init --rewrite 15:3", 0.45, 4.1),
        ("preStop sleep", 0.008, 5.2),
        ("softstop", 0.0, 9.1),
    ];
    let runs: Vec<Value> = names.iter().map(|(name, loss, takes)| Update::new(name, *loss, *takes).run()).collect();
    runs
}

/// A sweep of pre-delay over so many values, from 0 s on, a second apart; from `enough` on nothing is lost.
pub(crate) fn sweep(values: u32, enough: u32) -> Value {
    let seconds: Vec<f64> = (0..values).map(f64::from).collect();
    let runs: Vec<Value> = (0..values)
        .map(|value| {
            let loss = if value >= enough { 0.0 } else { 0.6 * f64::from(enough - value) / f64::from(enough) };
            let mut run = Update::new("softstop", loss, f64::from(value) + 4.1).run();
            run["name"] = format!("softstop, pre-delay={value}s").into();
            run
        })
        .collect();
    let mut all = rehearsal(&runs);
    all["sweep"] = json!({"setting": "pre-delay", "values": seconds});
    all
}
