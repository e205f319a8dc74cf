//! `report.html`: one file that needs no other, no script and no network.

use std::fmt::Write;

use crate::chart::Charts;
use crate::chart::svg::escape;
use crate::figures::{Rehearsal, Run, Stop, Summary, Telltale};
use crate::table::{cells, legend};
use crate::words::{Choice, Verdict, beginning, cautions, count, finding, headline, verdict};

/// A browser that finds none asks the server for one, and tells its console that there is none.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
    %3Crect width='16' height='16' rx='3' fill='%2300795a'/%3E%3Cpath d='M4 8l3 3 5-6' fill='none' stroke='%23fff' \
    stroke-width='2'/%3E%3C/svg%3E";

/// So much of a log line is shown; the whole stands in the log.
const LINE: usize = 400;

/// So many different failures are shown, the most frequent ones.
const ERRORS: usize = 20;

/// The page. `names` are those of the chart files, `has_log` says whether a log is there to be linked to.
pub(crate) fn page(rehearsal: &Rehearsal, charts: &Charts, names: &[String], has_log: &dyn Fn(&str) -> bool) -> String {
    let mut page = Page(String::new());
    let title = escape(&headline(rehearsal));
    page.add(format_args!("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">"));
    page.add(format_args!("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"));
    page.add(format_args!("<title>{title} - softstop rehearsal</title>\n<link rel=\"icon\" href=\"{ICON}\">"));
    page.add(format_args!("<style>\n{}</style>\n</head>\n<body>", include_str!("style.css")));
    page.add(format_args!("<header>\n<h1>{title}</h1>\n<p class=\"quiet\">{}</p>\n</header>\n<main>", made(rehearsal)));

    page.figures(rehearsal);
    page.care(rehearsal);
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
         them with <code>softstop-rehearse compare A.json B.json</code>.</p></footer>\n</body>\n</html>"
    ));
    page.0
}

fn made(rehearsal: &Rehearsal) -> String {
    let Rehearsal { verb, made_at, softstop_version, .. } = rehearsal;
    let (verb, made_at, version) = (escape(verb), escape(made_at), escape(softstop_version));
    format!("softstop-rehearse {verb}, {made_at}, softstop {version}")
}

/// HTML that grows.
struct Page(String);

impl Page {
    fn add(&mut self, html: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.0, "{html}"); // a string takes all
    }

    fn figures(&mut self, rehearsal: &Rehearsal) {
        let (heads, rows) = cells(rehearsal);
        self.add(format_args!("<div class=\"figures wide\">\n<table>"));
        self.add(format_args!("<thead><tr>"));
        for head in &heads {
            self.add(format_args!("<th scope=\"col\">{}</th>", escape(head)));
        }
        self.add(format_args!("</tr></thead>\n<tbody>"));
        for (cells, run) in rows.iter().zip(&rehearsal.runs) {
            let class = class(verdict(run, &Summary::of(run)));
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

    fn care(&mut self, rehearsal: &Rehearsal) {
        let sweep = Choice::of(rehearsal).map(|choice| choice.cautions).unwrap_or_default();
        let all: Vec<String> = sweep.into_iter().chain(cautions(rehearsal)).collect();
        if all.is_empty() {
            return;
        }
        self.add(format_args!("<div class=\"care\"><h3>These figures need care</h3>\n<ul>"));
        for care in &all {
            self.add(format_args!("<li>{}</li>", escape(care)));
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
        let class = class(verdict(run, &summary));
        self.add(format_args!("<section>\n<h2 id=\"of-{name}\">{}: ", escape(&run.name)));
        self.add(format_args!("<span class=\"{class}\">{}</span></h2>", escape(&finding(run, &summary))));
        if !run.command.is_empty() && run.command != run.name {
            self.add(format_args!("<p><code>{}</code></p>", escape(&beginning(&run.command, LINE))));
        }
        self.chart(name, panel);
        self.add(format_args!("<div class=\"cards\">"));
        // A roll-out of one's own leaves no log here: of what was never searched nothing is said.
        if !run.stops.is_empty() || !run.telltales.is_empty() {
            self.telltales(&run.telltales, has_log);
        }
        self.errors(run);
        self.stops(&run.stops);
        self.generator(run);
        self.add(format_args!("</div>\n</section>"));
    }

    fn telltales(&mut self, telltales: &[Telltale], has_log: &dyn Fn(&str) -> bool) {
        self.add(format_args!("<div class=\"card\"><h3>What the servers' own logs say</h3>"));
        if telltales.is_empty() {
            self.add(format_args!("<p class=\"quiet\">No tell-tale line was found.</p></div>"));
            return;
        }
        self.add(format_args!("<ul>"));
        for Telltale { means, good, count: number, example, log } in telltales {
            let (class, sign) = if *good { ("good", "good") } else { ("bad", "bad") };
            let kept =
                if has_log(log) { format!("<a href=\"{}\">{}</a>", link(log), escape(log)) } else { escape(log) };
            self.add(format_args!(
                "<li><span class=\"{class}\">{} &times; {sign}</span>: {}<span class=\"log\">{}</span><span \
                 class=\"quiet\">{kept}</span></li>",
                count(*number),
                escape(means),
                escape(&beginning(example, LINE)),
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
        for (words, number) in errors.into_iter().take(ERRORS) {
            let words = escape(&beginning(words, LINE));
            self.add(format_args!("<tr><td>{words}</td><td class=\"count\">{} &times;</td></tr>", count(*number)));
        }
        self.add(format_args!("</table>"));
        if more > 0 {
            self.add(format_args!(
                "<p class=\"quiet\">And {} in other words; rehearsal.json has all.</p>",
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
            self.add(format_args!("<p>It met none of its own limits.</p></div>"));
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

fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::NothingLost => "good",
        Verdict::Lost => "bad",
        Verdict::Unclear => "quiet",
    }
}

/// A path as a relative link: a letter that means something in one is written as its number.
fn link(path: &str) -> String {
    let mut link = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            link.push(char::from(byte));
        } else {
            let _ = write!(link, "%{byte:02X}"); // a string takes all
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
