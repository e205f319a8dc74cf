//! The table that ends a rehearsal on the terminal: one row per contender.

use crate::figures::{Rehearsal, Summary};

/// The table, with a line for what needs care (limits, retries), each line ended.
pub(crate) fn table(rehearsal: &Rehearsal) -> String {
    let mut table = String::new();
    for run in &rehearsal.runs {
        let summary = Summary::of(run);
        table += &format!("{}: {} requests, {} lost\n", run.name, summary.requests, summary.lost());
        for line in run.limits.iter().chain(&run.incomplete) {
            table += &format!("{line}\n");
        }
    }
    table
}
