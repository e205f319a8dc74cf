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
    let directory = match asked {
        Some(directory) => directory.to_owned(),
        None => PathBuf::from(format!("rehearsal-{}", std::process::id())),
    };
    let wrong = |error: std::io::Error| Failure::usage(format!("{}: {error}", directory.display()));
    std::fs::create_dir(&directory).map_err(wrong)?;
    std::fs::create_dir(directory.join("logs")).map_err(wrong)?;
    Ok(directory)
}

/// Writes all of it beneath `directory`.
///
/// # Errors
///
/// A file could not be written, or a picture not made.
pub(crate) fn write(rehearsal: &Rehearsal, directory: &Path) -> Result<(), Failure> {
    let file = directory.join("rehearsal.json");
    let wrong = |error: &dyn std::fmt::Display| Failure::not_measured(format!("{}: {error}", file.display()));
    let json = serde_json::to_vec(rehearsal).map_err(|error| wrong(&error))?;
    std::fs::write(&file, json).map_err(|error| wrong(&error))
}
