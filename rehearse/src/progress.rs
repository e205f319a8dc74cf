//! The progress of a rehearsal on stderr: the phase, and the number of requests with each verdict so far.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::verdict::Verdict;

/// The number of requests of the running load with each verdict so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    counts: [AtomicU64; Verdict::ALL.len()],
}

impl Counts {
    pub(crate) fn add(&self, verdict: Verdict) {
        for (count, _) in self.counts.iter().zip(Verdict::ALL).filter(|(_, each)| *each == verdict) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn of(&self, verdict: Verdict) -> u64 {
        let all = self.counts.iter().zip(Verdict::ALL);
        all.filter(|(_, each)| *each == verdict).map(|(count, _)| count.load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn lost(&self) -> u64 {
        Verdict::lost().map(|verdict| self.of(verdict)).sum()
    }

    /// `50 answered, 3 lost, 3 refused`
    fn summary(&self) -> String {
        let total = [format!("{} answered", self.of(Verdict::Answered)), format!("{} lost", self.lost())];
        let lost = Verdict::lost().filter(|verdict| self.of(*verdict) > 0);
        let lost = lost.map(|verdict| format!("{} {}", self.of(verdict), verdict.name()));
        total.into_iter().chain(lost).collect::<Vec<_>>().join(", ")
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A progress bar. If stderr is not a terminal that can show one, a line for each phase instead.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    has_bar: bool,
}

impl Progress {
    /// `expected` is the least time that the rehearsal will take.
    pub(crate) fn new(expected: Duration) -> Self {
        // It draws on stderr, and hides itself if that is not a terminal or if the terminal cannot move its cursor.
        let bar = ProgressBar::new(milliseconds(expected));
        let has_bar = !bar.is_hidden();
        if let Ok(style) = ProgressStyle::with_template("{elapsed:>4} [{bar:30}] {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { bar, has_bar }
    }

    /// Whether a bar is shown, which other output on the terminal would garble.
    pub(crate) fn has_bar(&self) -> bool {
        self.has_bar
    }

    /// Prints a line that stays.
    pub(crate) fn println(&self, line: &str) {
        if self.has_bar {
            self.bar.println(line);
        } else {
            let _ = writeln!(io::stderr(), "{line}"); // a closed stderr must not end the measurement
        }
    }

    /// Hides the bar while something else is written to the terminal.
    pub(crate) fn suspended(&self, write: impl FnOnce()) {
        self.bar.suspend(write);
    }

    /// A new phase. Without a bar it is printed as a line with the counts so far.
    fn begin_phase(&self, phase: &str, counts: &Counts) {
        if !self.has_bar {
            self.println(&format!("{phase} ({})", counts.summary()));
        }
        self.update(phase, counts);
    }

    fn update(&self, phase: &str, counts: &Counts) {
        let elapsed = milliseconds(self.bar.elapsed());
        self.bar.set_position(elapsed.min(self.bar.length().unwrap_or(0)));
        self.bar.set_message(format!("{phase}: {}", counts.summary()));
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Shows a phase, and updates the bar until it is dropped.
#[derive(Debug)]
pub(crate) struct PhaseDisplay(tokio::task::JoinHandle<()>);

impl PhaseDisplay {
    pub(crate) fn start(progress: Arc<Progress>, phase: String, counts: Arc<Counts>) -> Self {
        progress.begin_phase(&phase, &counts);
        Self(tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(200)).await;
                progress.update(&phase, &counts);
            }
        }))
    }
}

impl Drop for PhaseDisplay {
    fn drop(&mut self) {
        self.0.abort();
    }
}
