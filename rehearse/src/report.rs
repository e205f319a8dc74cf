//! The report: a directory with `report.html`, `rehearsal.json`, the charts as SVG and PNG, and the logs.

mod page;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use crate::Failure;
use crate::chart::{Charts, png};
use crate::cli::Report;
use crate::figures::Rehearsal;
use crate::{saved, table};

/// The directory that `--output` names, or `rehearsal-DATE-TIME` in the current one; nothing is made yet.
///
/// # Errors
///
/// It holds something already, or is a file.
pub(crate) fn choose_directory(asked: Option<&Path>) -> Result<PathBuf, Failure> {
    let Some(directory) = asked else {
        let name = dated(SystemTime::now());
        // Two may begin in the same second.
        let names = (1..).map(|number| if number == 1 { name.clone() } else { format!("{name}-{number}") });
        return Ok(names.map(PathBuf::from).find(|directory| !directory.exists()).unwrap_or_default());
    };
    let named = directory.display();
    match fs::read_dir(directory).map(|mut entries| entries.next().is_some()) {
        // Of another rehearsal, perhaps: no file of it shall be taken for one of this.
        Ok(true) => Err(Failure::usage(format!("{named} is not empty: name a new directory with --output"))),
        Err(_) if directory.is_file() => {
            Err(Failure::usage(format!("{named} is a file: name a new directory with --output")))
        }
        _ => Ok(directory.to_owned()),
    }
}

/// Makes it, with an empty `logs` and `charts` in it.
///
/// # Errors
///
/// It cannot be made.
pub(crate) fn make_directory(directory: &Path) -> Result<(), Failure> {
    for part in ["logs", "charts"] {
        fs::create_dir_all(directory.join(part))
            .map_err(|error| Failure::usage(format!("cannot make the directory {}: {error}", directory.display())))?;
    }
    Ok(())
}

/// Takes back what [`make_directory`] made, as long as nothing is in it.
pub(crate) fn remove_empty(directory: &Path) {
    for part in ["logs", "charts", ""] {
        let _ = fs::remove_dir(directory.join(part)); // it may stay then: it does no harm
    }
}

/// `rehearsal-2026-11-23-191500`, in UTC.
fn dated(now: SystemTime) -> String {
    let time = humantime::format_rfc3339_seconds(now).to_string();
    let (date, clock) = time.split_once('T').unwrap_or((&time, ""));
    let clock: String = clock.chars().filter(char::is_ascii_digit).collect();
    format!("rehearsal-{date}-{clock}")
}

/// Writes all of it beneath `directory`.
///
/// # Errors
///
/// A file could not be written, or a picture not made.
pub(crate) fn write(rehearsal: &Rehearsal, directory: &Path) -> Result<(), Failure> {
    let cannot = |name: &str, why: &dyn std::fmt::Display| {
        Failure::not_measured(format!("cannot write {}: {why}", directory.join(name).display()))
    };
    let put =
        |name: &str, content: &[u8]| fs::write(directory.join(name), content).map_err(|error| cannot(name, &error));

    // First what nothing can bring back.
    put("rehearsal.json", &saved::json(rehearsal).map_err(|error| cannot("rehearsal.json", &error))?)?;
    fs::create_dir_all(directory.join("charts")).map_err(|error| cannot("charts", &error))?;
    let charts = Charts::of(rehearsal);
    let names = slugs(rehearsal.runs.iter().map(|run| run.name.as_str()));
    let panels = names.iter().zip(&charts.panels).map(|(name, svg)| (name.as_str(), svg));
    let others = [("overview", &charts.overview)].into_iter().chain(charts.sweep.iter().map(|svg| ("sweep", svg)));
    for (name, svg) in panels.chain(others) {
        put(&format!("charts/{name}.svg"), svg.as_bytes())?;
        let name = format!("charts/{name}.png");
        put(&name, &png(svg).map_err(|why| cannot(&name, &why))?)?;
    }
    let has_log = |log: &str| inside(log).is_some_and(|log| directory.join(log).exists());
    put("report.html", page::page(rehearsal, &charts, &names, &has_log).as_bytes())
}

/// `rehearse report`: the report once more, from its figures.
///
/// # Errors
///
/// The figures cannot be read, or the report not be written.
pub(crate) fn again(arguments: &Report) -> Result<u8, Failure> {
    let rehearsal = saved::read(&arguments.rehearsal)?;
    let directory = choose_directory(arguments.output.output.as_deref())?;
    make_directory(&directory)?;
    // The logs that the report points at come along; one that is gone is only named.
    let beside = arguments.rehearsal.parent().unwrap_or(Path::new(""));
    for log in rehearsal.runs.iter().flat_map(|run| &run.telltales).filter_map(|telltale| inside(&telltale.log)) {
        let (from, to) = (beside.join(log), directory.join(log));
        if from.is_file() {
            let _ = to.parent().map(fs::create_dir_all);
            let _ = fs::copy(from, to);
        }
    }
    write(&rehearsal, &directory)?;
    // A closed pipe is no reason to call the report a failure.
    let _ = write!(io::stdout(), "{}\n{}\n", table::table(&rehearsal), directory.join("report.html").display());
    Ok(0)
}

/// A path that stays beneath its directory; figures from elsewhere may hold any.
fn inside(path: &str) -> Option<&Path> {
    let path = Path::new(path);
    let stays = path.components().all(|part| matches!(part, Component::Normal(_)));
    (stays && path.components().next().is_some()).then_some(path)
}

/// A file name for each, safe everywhere and unlike the others.
fn slugs<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut taken: BTreeSet<String> = ["overview", "sweep"].map(str::to_owned).into();
    names
        .map(|name| {
            let letters = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
            let spelt: String = name.chars().map(letters).collect();
            let words: Vec<&str> = spelt.split('-').filter(|word| !word.is_empty()).collect();
            let mut slug: String = words.join("-").chars().take(60).collect();
            if slug.is_empty() {
                slug.push_str("run");
            }
            let unlike = (1..).map(|number| if number == 1 { slug.clone() } else { format!("{slug}-{number}") });
            let slug = unlike.into_iter().find(|slug| !taken.contains(slug)).unwrap_or_default();
            taken.insert(slug.clone());
            slug
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_bears_the_date_in_utc() {
        let time = humantime::parse_rfc3339("2026-11-23T19:15:00Z").unwrap();
        assert_eq!(dated(time), "rehearsal-2026-11-23-191500");
    }

    #[test]
    fn a_slug_is_a_safe_file_name_and_unlike_the_others() {
        let names = ["nginx, bare", "nginx - bare", "../../etc/passwd", "", "…", "overview", "kubectl rollout restart"];
        let slugs = slugs(names.into_iter());
        let want =
            ["nginx-bare", "nginx-bare-2", "etc-passwd", "run", "run-2", "overview-2", "kubectl-rollout-restart"];
        assert_eq!(slugs, want);
    }

    #[test]
    fn a_log_is_looked_for_beneath_the_report_only() {
        assert!(inside("logs/bare/web-1.log").is_some());
        assert!(["", "/etc/passwd", "../x", "logs/../../x"].iter().all(|path| inside(path).is_none()));
    }
}
