//! The directory of a test, and the figures of the rehearsal in it.

use std::fs;
use std::path::Path;

use common::http::*;
use common::*;
use serde_json::Value;
use tempfile::TempDir;

/// The directory of a test, with the gate that the command opens and the report.
pub(crate) struct Sandbox {
    pub(crate) directory: TempDir,
    pub(crate) gate: Gate,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        Self { gate: Gate::within(directory.path()), directory }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    /// A rehearsal, not yet started: a short one, with short pauses.
    pub(crate) fn rehearsal(&self, url: &str, options: &[&str], command: &[&str]) -> Softstop {
        let report = self.path("report");
        let mut words = vec!["run", "--url", url, "--output", &report, "--pause", "10ms"];
        for default in [["--before", "200ms"], ["--grace", "500ms"]] {
            if !options.contains(&default[0]) {
                words.extend(default);
            }
        }
        words.extend(options);
        words.push("--");
        words.extend(command);
        program(env!("CARGO_BIN_EXE_softstop-rehearse"), words)
    }

    /// Runs a rehearsal whose command opens the gate.
    pub(crate) fn rehearse(&self, url: &str, options: &[&str]) -> Outcome {
        self.rehearsal(url, options, &["touch", self.gate.path()]).run()
    }

    pub(crate) fn figures(&self) -> Figures {
        let json = fs::read(self.directory.path().join("report/rehearsal.json")).expect("no report");
        Figures(serde_json::from_slice(&json).unwrap())
    }

    pub(crate) fn has_report(&self) -> bool {
        Path::new(&self.path("report")).exists()
    }
}

/// `rehearsal.json`
pub(crate) struct Figures(Value);

/// `[due_ms, latency_ms, verdict, status, slow, fresh, retried]`
pub(crate) struct Row {
    pub(crate) latency_ms: f64,
    pub(crate) verdict: String,
    pub(crate) fresh: bool,
    pub(crate) retried: bool,
}

impl Figures {
    pub(crate) fn run(&self) -> &Value {
        &self.0["runs"][0]
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        let rows = self.run()["requests"].as_array().unwrap();
        let row = |row: &Value| Row {
            latency_ms: row[1].as_f64().unwrap(),
            verdict: row[2].as_str().unwrap().to_owned(),
            fresh: row[5] == 1,
            retried: row[6] == 1,
        };
        rows.iter().map(row).collect()
    }

    pub(crate) fn count(&self, verdict: &str) -> usize {
        self.rows().iter().filter(|row| row.verdict == verdict).count()
    }

    /// The verdicts other than "answered".
    pub(crate) fn losses(&self) -> Vec<String> {
        let rows = self.rows();
        let mut verdicts: Vec<_> =
            rows.into_iter().map(|row| row.verdict).filter(|verdict| verdict != "answered").collect();
        verdicts.sort();
        verdicts.dedup();
        verdicts
    }

    /// Asserts that exactly these verdicts occur besides "answered".
    #[track_caller]
    pub(crate) fn has_only(&self, verdicts: &[&str]) {
        let details = || format!("{}\n{}\n{:#?}", self.errors(), self.limits(), self.slow_requests());
        assert_eq!(self.losses(), verdicts, "{}", details());
    }

    /// The requests that took long, for the failure message.
    pub(crate) fn slow_requests(&self) -> Vec<Value> {
        let rows = self.run()["requests"].as_array().unwrap().iter();
        rows.filter(|row| row[1].as_f64().unwrap() > 3000.0).cloned().collect()
    }

    pub(crate) fn limits(&self) -> String {
        self.run()["limits"].to_string()
    }

    pub(crate) fn errors(&self) -> String {
        self.run()["errors"].to_string()
    }

    pub(crate) fn setting(&self, name: &str) -> &str {
        self.0["settings"][name].as_str().unwrap()
    }
}
