//! The directory of a report.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::failure::Failure;

/// The directory that `--output` names, or `rehearsal-DATE-TIME` in the current one. Nothing is created yet.
///
/// # Errors
///
/// It is not empty, or it is a file.
pub(crate) fn choose(asked: Option<&Path>) -> Result<PathBuf, Failure> {
    let Some(directory) = asked else {
        let name = dated_name(SystemTime::now());
        // Two rehearsals may begin in the same second.
        let names = (1..).map(|number| if number == 1 { name.clone() } else { format!("{name}-{number}") });
        return Ok(names.map(PathBuf::from).find(|directory| !directory.exists()).unwrap_or_default());
    };
    let name = directory.display();
    match fs::read_dir(directory).map(|mut entries| entries.next().is_some()) {
        // The files may be those of another rehearsal, and must not be taken for files of this one.
        Ok(true) => Err(Failure::usage(format!("{name} is not empty: name a new directory with --output"))),
        Err(_) if directory.is_file() => {
            Err(Failure::usage(format!("{name} is a file: name a new directory with --output")))
        }
        _ => Ok(directory.to_owned()),
    }
}

/// Creates it, with an empty `logs` and `charts` in it.
///
/// # Errors
///
/// It cannot be created.
pub(crate) fn make(directory: &Path) -> Result<(), Failure> {
    for part in ["logs", "charts"] {
        fs::create_dir_all(directory.join(part))
            .map_err(|error| Failure::usage(format!("cannot make the directory {}: {error}", directory.display())))?;
    }
    Ok(())
}

/// Removes what [`make`] created, as long as it is empty.
pub(crate) fn remove_if_empty(directory: &Path) {
    for part in ["logs", "charts", ""] {
        let _ = fs::remove_dir(directory.join(part)); // an empty directory that stays does no harm
    }
}

/// `rehearsal-2026-11-23-191500`, in UTC.
fn dated_name(now: SystemTime) -> String {
    let time = humantime::format_rfc3339_seconds(now).to_string();
    let (date, clock) = time.split_once('T').unwrap_or((&time, ""));
    let clock: String = clock.chars().filter(char::is_ascii_digit).collect();
    format!("rehearsal-{date}-{clock}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_has_the_date_in_utc() {
        let time = humantime::parse_rfc3339("2026-11-23T19:15:00Z").unwrap();
        assert_eq!(dated_name(time), "rehearsal-2026-11-23-191500");
    }
}
