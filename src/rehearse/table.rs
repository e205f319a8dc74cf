//! The table that ends a rehearsal on the terminal: one row per contender.

use crate::figures::Rehearsal;

/// The table, with a line for what needs care (limits, retries), each line ended.
pub(crate) fn table(rehearsal: &Rehearsal) -> String {
    let _ = rehearsal;
    todo!()
}
