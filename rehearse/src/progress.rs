//! What a person sees while it runs: the phase and the counts.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::figures::Kind;

/// The counts of the running load, which everybody may look at.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    kinds: [AtomicU64; Kind::ALL.len()],
}

impl Counts {
    pub(crate) fn add(&self, kind: Kind) {
        for (count, _) in self.kinds.iter().zip(Kind::ALL).filter(|(_, each)| *each == kind) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn of(&self, kind: Kind) -> u64 {
        let all = self.kinds.iter().zip(Kind::ALL);
        all.filter(|(_, each)| *each == kind).map(|(count, _)| count.load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn lost(&self) -> u64 {
        Kind::ALL.into_iter().filter(|kind| kind.is_lost()).map(|kind| self.of(kind)).sum()
    }

    fn words(&self) -> String {
        let lost = Kind::ALL.into_iter().filter(|kind| kind.is_lost() && self.of(*kind) > 0);
        let total = [format!("{} answered", self.of(Kind::Answered)), format!("{} lost", self.lost())];
        let kinds = lost.map(|kind| format!("{} {}", self.of(kind), kind.name()));
        total.into_iter().chain(kinds).collect::<Vec<_>>().join(", ")
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A bar on a terminal; where stderr can show none, one line for each phase.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    on_terminal: bool,
}

impl Progress {
    /// `expected` is how long all of it will take at the least.
    pub(crate) fn new(expected: Duration) -> Self {
        // On stderr, and hidden where that is no terminal, or one that cannot move its cursor.
        let bar = ProgressBar::new(milliseconds(expected));
        let on_terminal = !bar.is_hidden();
        if let Ok(style) = ProgressStyle::with_template("{elapsed:>4} [{bar:30}] {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { bar, on_terminal }
    }

    /// Whether there is a bar to see, which what others write would tear.
    pub(crate) fn has_bar(&self) -> bool {
        self.on_terminal
    }

    /// A line that stays.
    pub(crate) fn say(&self, line: &str) {
        if self.on_terminal {
            self.bar.println(line);
        } else {
            let _ = writeln!(io::stderr(), "{line}"); // nobody is left to tell
        }
    }

    /// Others write on the terminal, and the bar stands out of their way meanwhile.
    pub(crate) fn suspended(&self, write: impl FnOnce()) {
        self.bar.suspend(write);
    }

    /// The phase changes. Without a terminal it is a line of its own, with the counts so far.
    pub(crate) fn phase(&self, phase: &str, counts: &Counts) {
        if !self.on_terminal {
            self.say(&format!("{phase} ({})", counts.words()));
        }
        self.tick(phase, counts);
    }

    /// Called some times a second.
    pub(crate) fn tick(&self, phase: &str, counts: &Counts) {
        let elapsed = milliseconds(self.bar.elapsed());
        self.bar.set_position(elapsed.min(self.bar.length().unwrap_or(0)));
        self.bar.set_message(format!("{phase}: {}", counts.words()));
    }

    pub(crate) fn done(&self) {
        self.bar.finish_and_clear();
    }
}

/// Keeps the bar moving while a phase lasts; dropped, it stops.
#[derive(Debug)]
pub(crate) struct Ticking(tokio::task::JoinHandle<()>);

impl Ticking {
    pub(crate) fn start(progress: Arc<Progress>, phase: String, counts: Arc<Counts>) -> Self {
        progress.phase(&phase, &counts);
        Self(tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(200)).await;
                progress.tick(&phase, &counts);
            }
        }))
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.abort();
    }
}
