//! The report: a directory with `report.html`, `rehearsal.json`, the charts as SVG and PNG, and the logs.
//!
//! [`summary`] counts the verdicts of a run, [`conclusion`] says what they show, [`headline`] does so for the whole rehearsal,
//! and [`sweep_choice`] names the value to choose. [`table`] is the output on the terminal, [`page`] and [`chart`] are the HTML
//! and the pictures, and [`json`] is the file of the figures. [`compare`] puts two results side by side.

mod chart;
pub(crate) mod compare;
pub(crate) mod conclusion;
pub(crate) mod directory;
mod headline;
mod json;
mod page;
pub(crate) mod summary;
mod sweep_choice;
pub(crate) mod table;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Component, Path};

use crate::failure::Failure;
use crate::rehearsal::Rehearsal;
use chart::{Charts, png};

/// Writes the whole report into `directory`.
///
/// # Errors
///
/// A file could not be written, or a picture could not be rendered.
pub(crate) fn write(rehearsal: &Rehearsal, directory: &Path) -> Result<(), Failure> {
    let cannot = |name: &str, why: &dyn std::fmt::Display| {
        Failure::not_measured(format!("cannot write {}: {why}", directory.join(name).display()))
    };
    let put =
        |name: &str, content: &[u8]| fs::write(directory.join(name), content).map_err(|error| cannot(name, &error));

    // The figures first: everything else can be made from them again.
    put("rehearsal.json", &json::to_json(rehearsal).map_err(|error| cannot("rehearsal.json", &error))?)?;
    fs::create_dir_all(directory.join("charts")).map_err(|error| cannot("charts", &error))?;
    let charts = Charts::of(rehearsal);
    let names = file_names(rehearsal.runs.iter().map(|run| run.name.as_str()));
    let panels = names.iter().zip(&charts.panels).map(|(name, svg)| (name.as_str(), svg));
    let others = [("overview", &charts.overview)].into_iter().chain(charts.sweep.iter().map(|svg| ("sweep", svg)));
    for (name, svg) in panels.chain(others) {
        put(&format!("charts/{name}.svg"), svg.as_bytes())?;
        let name = format!("charts/{name}.png");
        put(&name, &png(svg).map_err(|why| cannot(&name, &why))?)?;
    }
    let has_log = |log: &str| path_inside(log).is_some_and(|log| directory.join(log).exists());
    put("report.html", page::page(rehearsal, &charts, &names, &has_log).as_bytes())
}

/// `rehearse report`: writes the report again, from its figures.
///
/// # Errors
///
/// The figures cannot be read, or the report cannot be written.
pub(crate) fn rewrite(file: &Path, output: Option<&Path>) -> Result<u8, Failure> {
    let rehearsal = json::read(file)?;
    let directory = directory::choose(output)?;
    directory::make(&directory)?;
    // The logs that the report links to are copied; one that is missing is named without a link.
    let source = file.parent().unwrap_or(Path::new(""));
    let findings = rehearsal.runs.iter().flat_map(|run| &run.log_findings);
    for log in findings.filter_map(|finding| path_inside(&finding.log)) {
        let (from, to) = (source.join(log), directory.join(log));
        if from.is_file() {
            let _ = to.parent().map(fs::create_dir_all);
            let _ = fs::copy(from, to);
        }
    }
    write(&rehearsal, &directory)?;
    // A closed stdout is no failure: the report is written.
    let _ = write!(io::stdout(), "{}\n{}\n", table::table(&rehearsal), directory.join("report.html").display());
    Ok(0)
}

/// The path, if it stays inside the directory that it is relative to: figures from elsewhere may hold any path.
fn path_inside(path: &str) -> Option<&Path> {
    let path = Path::new(path);
    let stays = path.components().all(|part| matches!(part, Component::Normal(_)));
    (stays && path.components().next().is_some()).then_some(path)
}

/// A file name for each run, safe on every system and unique.
fn file_names<'a>(runs: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut taken: BTreeSet<String> = ["overview", "sweep"].map(str::to_owned).into();
    runs.map(|run| {
        let letters = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
        let dashed: String = run.chars().map(letters).collect();
        let words: Vec<&str> = dashed.split('-').filter(|word| !word.is_empty()).collect();
        let mut name: String = words.join("-").chars().take(60).collect();
        if name.is_empty() {
            name.push_str("run");
        }
        let numbered = (1..).map(|number| if number == 1 { name.clone() } else { format!("{name}-{number}") });
        let name = numbered.into_iter().find(|name| !taken.contains(name)).unwrap_or_default();
        taken.insert(name.clone());
        name
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_is_safe_and_unique() {
        let runs = ["nginx, bare", "nginx - bare", "../../etc/passwd", "", "…", "overview", "kubectl rollout restart"];
        let names = file_names(runs.into_iter());
        let want =
            ["nginx-bare", "nginx-bare-2", "etc-passwd", "run", "run-2", "overview-2", "kubectl-rollout-restart"];
        assert_eq!(names, want);
    }

    #[test]
    fn only_a_path_inside_the_report_names_a_log() {
        assert!(path_inside("logs/bare/web-1.log").is_some());
        assert!(["", "/etc/passwd", "../x", "logs/../../x"].iter().all(|path| path_inside(path).is_none()));
    }
}
