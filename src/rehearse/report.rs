//! The report: a directory with `report.html`, `rehearsal.json`, the charts as SVG and PNG, and the logs.

use std::path::{Path, PathBuf};

use crate::Failure;
use crate::figures::Rehearsal;

/// Makes the directory that `--output` names, or `rehearsal-DATE-TIME` in the current one, with an empty `logs` in it.
///
/// # Errors
///
/// It exists already, or cannot be made.
pub(crate) fn make_directory(asked: Option<&Path>) -> Result<PathBuf, Failure> {
    let _ = asked;
    todo!()
}

/// Writes all of it beneath `directory`.
///
/// # Errors
///
/// A file could not be written, or a picture not made.
pub(crate) fn write(rehearsal: &Rehearsal, directory: &Path) -> Result<(), Failure> {
    let _ = (rehearsal, directory);
    todo!()
}
