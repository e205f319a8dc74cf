//! `report.html`: one file that needs no other file, no script and no network.

use std::fmt::Write;

use super::chart::Charts;
use super::conclusion::{Conclusion, cautions, finding};
use super::headline::headline;
use super::summary::Summary;
use super::sweep_choice::SweepChoice;
use super::table::{cells, legend};
use crate::format::{count, escape, truncated};
use crate::rehearsal::{LogFinding, Rehearsal, Run, Stop};

/// Without an icon a browser asks the server for one and reports an error on its console.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
    %3Crect width='16' height='16' rx='3' fill='%2300795a'/%3E%3Cpath d='M4 8l3 3 5-6' fill='none' stroke='%23fff' \
    stroke-width='2'/%3E%3C/svg%3E";

/// The most letters of a log line that are shown; the log has the whole line.
const LINE: usize = 400;

/// The most error messages that are shown, the most frequent first.
const ERRORS: usize = 20;

/// The page. `names` are those of the chart files; `has_log` says whether a log exists, so that it can be linked to.
pub(crate) fn page(rehearsal: &Rehearsal, charts: &Charts, names: &[String], has_log: &dyn Fn(&str) -> bool) -> String {
    let mut page = Page(String::new());
    let title = escape(&headline(rehearsal));
    page.add(format_args!("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">"));
    page.add(format_args!("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"));
    page.add(format_args!("<title>{title} - softstop rehearsal</title>\n<link rel=\"icon\" href=\"{ICON}\">"));
    page.add(format_args!("<style>\n{}</style>\n</head>\n<body>", include_str!("style.css")));
    page.add(format_args!("<header>\n<h1>{title}</h1>\n<p class=\"quiet\">{}</p>\n</header>\n<main>", made(rehearsal)));

    page.figures(rehearsal);
    page.cautions(rehearsal);
    if let Some(sweep) = &charts.sweep {
        page.chart("sweep", sweep);
    }
    if rehearsal.runs.len() > 1 {
        page.chart("overview", &charts.overview);
    }
    for ((run, name), panel) in rehearsal.runs.iter().zip(names).zip(&charts.panels) {
        page.run(run, name, panel, has_log);
    }
    page.method(rehearsal);
    page.add(format_args!(
        "</main>\n<footer class=\"quiet\"><p>Raw figures: <a href=\"rehearsal.json\">rehearsal.json</a>. Compare two of \
         these files with <code>softstop-rehearse compare A.json B.json</code>.</p></footer>\n</body>\n</html>"
    ));
    page.0
}

fn made(rehearsal: &Rehearsal) -> String {
    let Rehearsal { verb, made_at, softstop_version, .. } = rehearsal;
    let (verb, made_at, version) = (escape(verb), escape(made_at), escape(softstop_version));
    format!("softstop-rehearse {verb}, {made_at}, softstop {version}")
}

/// HTML under construction.
struct Page(String);

impl Page {
    fn add(&mut self, html: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.0, "{html}"); // writing to a String cannot fail
    }

    fn figures(&mut self, rehearsal: &Rehearsal) {
        let (headings, rows) = cells(rehearsal);
        self.add(format_args!("<div class=\"figures wide\">\n<table>"));
        self.add(format_args!("<thead><tr>"));
        for heading in &headings {
            self.add(format_args!("<th scope=\"col\">{}</th>", escape(heading)));
        }
        self.add(format_args!("</tr></thead>\n<tbody>"));
        for (cells, run) in rows.iter().zip(&rehearsal.runs) {
            let class = class(Conclusion::of(run, &Summary::of(run)));
            self.add(format_args!("<tr>"));
            for (column, cell) in cells.iter().enumerate() {
                let class = if column == 0 { class } else { "" };
                self.add(format_args!("<td class=\"{class}\">{}</td>", escape(cell)));
            }
            self.add(format_args!("</tr>"));
        }
        self.add(format_args!("</tbody>\n</table>\n</div>"));
        self.add(format_args!("<p class=\"quiet\">{}</p>", legend(rehearsal)));
    }

    fn cautions(&mut self, rehearsal: &Rehearsal) {
        let sweep = SweepChoice::of(rehearsal).map(|choice| choice.cautions).unwrap_or_default();
        let all: Vec<String> = sweep.into_iter().chain(cautions(rehearsal)).collect();
        if all.is_empty() {
            return;
        }
        self.add(format_args!("<div class=\"care\"><h3>These figures need care</h3>\n<ul>"));
        for caution in &all {
            self.add(format_args!("<li>{}</li>", escape(caution)));
        }
        self.add(format_args!("</ul></div>"));
    }

    fn chart(&mut self, name: &str, svg: &str) {
        self.add(format_args!(
            "<figure>\n<div class=\"wide\">{svg}</div>\n<figcaption>As a file: <a href=\"charts/{name}.svg\">SVG</a>, <a \
             href=\"charts/{name}.png\">PNG</a></figcaption>\n</figure>"
        ));
    }

    fn run(&mut self, run: &Run, name: &str, panel: &str, has_log: &dyn Fn(&str) -> bool) {
        let summary = Summary::of(run);
        let class = class(Conclusion::of(run, &summary));
        self.add(format_args!("<section>\n<h2 id=\"of-{name}\">{}: ", escape(&run.name)));
        self.add(format_args!("<span class=\"{class}\">{}</span></h2>", escape(&finding(run, &summary))));
        if !run.command.is_empty() && run.command != run.name {
            self.add(format_args!("<p><code>{}</code></p>", escape(&truncated(&run.command, LINE))));
        }
        self.chart(name, panel);
        self.add(format_args!("<div class=\"cards\">"));
        // `rehearse run` has no logs to search, so the page says nothing about them.
        if !run.stops.is_empty() || !run.log_findings.is_empty() {
            self.log_findings(&run.log_findings, has_log);
        }
        self.errors(run);
        self.stops(&run.stops);
        self.generator(run);
        self.add(format_args!("</div>\n</section>"));
    }

    fn log_findings(&mut self, findings: &[LogFinding], has_log: &dyn Fn(&str) -> bool) {
        self.add(format_args!("<div class=\"card\"><h3>What the servers' own logs say</h3>"));
        if findings.is_empty() {
            self.add(format_args!("<p class=\"quiet\">No line that tells how a stop went was found.</p></div>"));
            return;
        }
        self.add(format_args!("<ul>"));
        for LogFinding { means, good, count: number, example, log } in findings {
            let class = if *good { "good" } else { "bad" };
            let source =
                if has_log(log) { format!("<a href=\"{}\">{}</a>", link(log), escape(log)) } else { escape(log) };
            self.add(format_args!(
                "<li><span class=\"{class}\">{} &times; {class}</span>: {}<span class=\"log\">{}</span><span \
                 class=\"quiet\">{source}</span></li>",
                count(*number),
                escape(means),
                escape(&truncated(example, LINE)),
            ));
        }
        self.add(format_args!("</ul></div>"));
    }

    fn errors(&mut self, run: &Run) {
        if run.errors.is_empty() {
            return;
        }
        let mut errors: Vec<_> = run.errors.iter().collect();
        errors.sort_by(|a, b| b.1.cmp(a.1));
        self.add(format_args!("<div class=\"card\"><h3>What clients saw</h3>\n<table class=\"plain\">"));
        let more = errors.len().saturating_sub(ERRORS);
        for (message, number) in errors.into_iter().take(ERRORS) {
            let message = escape(&truncated(message, LINE));
            self.add(format_args!("<tr><td>{message}</td><td class=\"count\">{} &times;</td></tr>", count(*number)));
        }
        self.add(format_args!("</table>"));
        if more > 0 {
            self.add(format_args!(
                "<p class=\"quiet\">And {} other messages; rehearsal.json has all of them.</p>",
                count(more as u64)
            ));
        }
        self.add(format_args!("</div>"));
    }

    fn stops(&mut self, stops: &[Stop]) {
        if stops.is_empty() {
            return;
        }
        self.add(format_args!("<div class=\"card\"><h3>Stops</h3>\n<div class=\"wide\"><table>"));
        self.add(format_args!("<tr><th>pod</th><th>seconds</th><th>exit code</th><th>end</th></tr>"));
        for Stop { pod, seconds, exit, killed } in stops {
            let exit = exit.map_or("unknown".to_owned(), |code| code.to_string());
            let end = if *killed { "<td class=\"bad\">killed by the platform</td>" } else { "<td>by itself</td>" };
            self.add(format_args!("<tr><td>{}</td><td>{seconds:.1}</td><td>{exit}</td>{end}</tr>", escape(pod)));
        }
        self.add(format_args!("</table></div></div>"));
    }

    fn generator(&mut self, run: &Run) {
        self.add(format_args!("<div class=\"card\"><h3>The load generator</h3>"));
        self.add(format_args!("<p>It used {:.2} CPU cores.</p>", run.generator_cores));
        if run.limits.is_empty() {
            self.add(format_args!("<p>It met no limit of its own.</p></div>"));
            return;
        }
        self.add(format_args!("<p class=\"bad\">It met limits of its own:</p>\n<ul>"));
        for limit in &run.limits {
            self.add(format_args!("<li>{}</li>", escape(limit)));
        }
        self.add(format_args!("</ul></div>"));
    }

    fn method(&mut self, rehearsal: &Rehearsal) {
        self.add(format_args!("<section>\n<h2>How it was measured</h2>\n<div class=\"cards\">"));
        if !rehearsal.method.is_empty() {
            self.add(format_args!("<div class=\"card\"><h3>Method</h3>"));
            for sentence in &rehearsal.method {
                self.add(format_args!("<p>{}</p>", escape(sentence)));
            }
            self.add(format_args!("</div>"));
        }
        if !rehearsal.settings.is_empty() {
            self.add(format_args!("<div class=\"card\"><h3>Settings</h3>\n<table class=\"plain\">"));
            for (name, value) in &rehearsal.settings {
                self.add(format_args!("<tr><td>{}</td><td><code>{}</code></td></tr>", escape(name), escape(value)));
            }
            self.add(format_args!("</table></div>"));
        }
        self.add(format_args!("</div>\n</section>"));
    }
}

fn class(conclusion: Conclusion) -> &'static str {
    match conclusion {
        Conclusion::NothingLost => "good",
        Conclusion::Lost => "bad",
        Conclusion::Inconclusive => "quiet",
    }
}

/// A path as a relative link, with percent-encoding.
fn link(path: &str) -> String {
    let mut link = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            link.push(char::from(byte));
        } else {
            let _ = write!(link, "%{byte:02X}"); // writing to a String cannot fail
        }
    }
    link
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_always_a_relative_path() {
        assert_eq!(link("logs/bare/web-1.log"), "logs/bare/web-1.log");
        assert_eq!(link("javascript:x\"#?é"), "javascript%3Ax%22%23%3F%C3%A9");
    }
}
