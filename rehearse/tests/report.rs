//! What a rehearsal shows: the table, and the report with its charts.
//!
//! The figures are made up (`synthetic`). `softstop-rehearse report` makes the report from them, as at the end of a rehearsal.
//! The reports stay in `target/tmp/rehearse_report`, where they can be viewed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic"
)]

mod synthetic;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::Pixmap;
use resvg::usvg::{Group, Node, Options, Rect, Tree, fontdb};
use serde_json::{Value, json};
use tempfile::TempDir;

use common::{Outcome, have_program, program};
use synthetic::{Update, contenders, nothing, one, rehearsal, sweep};

const REHEARSE: &str = env!("CARGO_BIN_EXE_softstop-rehearse");

/// The colours of answered requests and of 5xx.
const ANSWERED: [u8; 3] = [0x56, 0xb4, 0xe9];
const SERVER_ERROR: [u8; 3] = [0xd5, 0x5e, 0x00];

/// A report that was made, and the table that was printed with it.
struct Report {
    directory: PathBuf,
    stdout: String,
}

/// Makes the report of these figures.
#[track_caller]
fn report(name: &str, figures: &Value) -> Report {
    let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rehearse_report");
    fs::create_dir_all(&base).unwrap();
    let (file, directory) = (base.join(format!("{name}.json")), base.join(name));
    fs::write(&file, figures.to_string()).unwrap();
    let _ = fs::remove_dir_all(&directory);
    let done =
        program(REHEARSE, ["report".as_ref(), file.as_os_str(), "--output".as_ref(), directory.as_os_str()]).run();
    assert_eq!(done.stderr, "");
    done.code(0);
    Report { directory, stdout: done.stdout.clone() }
}

impl Report {
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.directory.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn picture(&self, name: &str) -> Pixmap {
        Pixmap::load_png(self.directory.join("charts").join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The names of the charts, without extension.
    fn charts(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.join("charts")).unwrap();
        let files = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = files.filter_map(|file| file.strip_suffix(".svg").map(str::to_owned)).collect();
        names.sort();
        names
    }
}

fn pixels_of(colour: [u8; 3], picture: &Pixmap) -> usize {
    picture.pixels().iter().filter(|pixel| [pixel.red(), pixel.green(), pixel.blue()] == colour).count()
}

// The table.

#[test]
fn the_table_has_one_aligned_row_for_each_contender() {
    let table = report("table", &rehearsal(&contenders())).stdout;
    let (table, _) = table.rsplit_once("\n\n").unwrap();
    let want = "\
| contender                | requests | answered | 5xx | refused | cut off | p50 ms | p99 ms | max ms | s/stop |
|--------------------------|---------:|---------:|----:|--------:|--------:|-------:|-------:|-------:|-------:|
| nginx, bare              |    5,000 |    4,716 | 176 |      68 |      40 |    2.2 |    5.6 |     17 |    0.1 |
| tini                     |    5,000 |    4,728 | 161 |      76 |      35 |    2.1 |    5.6 |     17 |    0.1 |
| dumb-init --rewrite 15:3 |    5,000 |    4,786 | 129 |      50 |      35 |    2.1 |    5.8 |     18 |    4.1 |
| preStop sleep            |    5,000 |    4,999 |   1 |       0 |       0 |    2.1 |    5.6 |     16 |    5.2 |
| softstop                 |    5,000 |    5,000 |   0 |       0 |       0 |    2.1 |    5.6 |     18 |    9.1 |

Latency: of the short requests that were answered. s/stop: the mean time from the request to stop until the pod has ended.";
    assert_eq!(table, want);
}

#[test]
fn a_column_that_is_rarely_needed_is_shown_when_it_is() {
    let mut figures = one(&Update { retried: 1000, ..Update::new("a | b", 0.0, 1.0) });
    for (place, kind) in ["timed out", "wrong answer", "not sent"].into_iter().enumerate() {
        figures["runs"][0]["requests"][place][2] = kind.into();
    }
    figures["runs"][0]["limits"] = json!(["all 1,024 sockets were in use"]);
    figures["runs"][0]["incomplete"] = "it ended at its limit of 5,000 requests".into();
    let table = report("columns", &figures).stdout;
    for part in [
        "| cut off | wrong answer | timed out | not sent | retried |",
        "| a \\| b ",
        "careful: all 1,024 sockets were in use\n",
        "careful: incomplete measurement: it ended at its limit of 5,000 requests\n",
        "careful: 5 requests were sent again on a new connection",
    ] {
        assert!(table.contains(part), "{part}\n{table}");
    }
}

#[test]
fn a_long_name_does_not_make_a_row_wider_than_a_terminal() {
    let table = report("wide", &one(&Update::new(&"very long name ".repeat(30), 0.3, 1.0))).stdout;
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with('|')).collect();
    assert!(rows.len() == 3 && rows.iter().all(|row| row.chars().count() <= 120), "{table}");
}

#[test]
fn without_stops_there_is_no_column_for_them() {
    let mut figures = one(&Update::new("kubectl rollout restart deployment/web", 0.3, 1.0));
    figures["runs"][0]["stops"] = json!([]);
    let table = report("no-stops", &figures).stdout;
    assert!(table.contains("| max ms |\n") && !table.contains("s/stop"), "{table}");
}

#[test]
fn a_sweep_ends_with_the_smallest_value_that_lost_nothing() {
    let table = report("sweep", &sweep(7, 3)).stdout;
    assert!(table.contains("\nthe smallest value that lost nothing: pre-delay=3s\n"), "{table}");
    assert!(table.starts_with("| pre-delay | requests |") && !table.contains("careful"), "{table}");
}

#[test]
fn a_larger_value_that_lost_requests_is_a_caution() {
    let mut figures = sweep(6, 2);
    figures["runs"][4]["requests"][300][2] = "timed out".into();
    figures["runs"][5]["incomplete"] = "the command failed".into();
    let table = report("sweep-odd", &figures).stdout;
    for part in [
        "the smallest value that lost nothing: pre-delay=2s\n",
        "careful: pre-delay=4s, which is larger, lost 1 request: repeat the sweep before you choose\n",
        "careful: pre-delay=5s is inconclusive: its measurement is incomplete\n",
    ] {
        assert!(table.contains(part), "{part}\n{table}");
    }
}

#[test]
fn a_sweep_in_which_every_value_lost_requests_chooses_none() {
    let table = report("sweep-none", &sweep(3, 9)).stdout;
    assert!(table.contains("\nevery value lost requests\ncareful: widen the range"), "{table}");
}

#[test]
fn of_the_lag_the_largest_value_is_chosen() {
    let mut figures = sweep(5, 0);
    figures["sweep"]["setting"] = "lag".into();
    for run in 3..5 {
        figures["runs"][run]["requests"][300][2] = "refused".into();
    }
    let table = report("sweep-lag", &figures).stdout;
    assert!(table.contains("\nthe largest value that lost nothing: lag=2s\n") && !table.contains("careful"), "{table}");
}

// The files.

#[test]
fn the_report_has_every_file_and_keeps_the_figures_unchanged() {
    let figures = rehearsal(&contenders());
    let made = report("files", &figures);
    let want = ["dumb-init-rewrite-15-3", "nginx-bare", "overview", "prestop-sleep", "softstop", "tini"];
    assert_eq!(made.charts(), want);
    for chart in made.charts() {
        assert!(made.directory.join(format!("charts/{chart}.png")).is_file(), "{chart}");
    }
    let kept = made.read("rehearsal.json");
    assert_eq!(serde_json::from_str::<Value>(&kept).unwrap(), figures);
    let row = figures["runs"][0]["requests"][7].as_array().unwrap();
    let row: Vec<String> = row.iter().map(Value::to_string).collect();
    assert!(kept.lines().any(|line| line.trim() == format!("[{}],", row.join(", "))), "a request is one line");
}

#[test]
fn a_directory_that_is_not_empty_is_refused() {
    let directory = TempDir::new().unwrap();
    let figures = directory.path().join("a.json");
    fs::write(&figures, nothing().to_string()).unwrap();
    let run = |output: &[&str]| {
        let words = ["report", "a.json"].into_iter().chain(output.iter().copied());
        program(REHEARSE, words).directory(directory.path()).run()
    };
    let refused = |done: &Outcome, sentence: &str| {
        done.code(2);
        assert_eq!(done.stderr, format!("softstop-rehearse: {sentence}\n"));
    };
    refused(&run(&["--output", "."]), ". is not empty: name a new directory with --output");
    refused(&run(&["--output", "a.json"]), "a.json is a file: name a new directory with --output");
    let done = run(&["--output", "a.json/b"]);
    done.code(2);
    assert!(done.stderr.starts_with("softstop-rehearse: cannot make the directory a.json/b: "), "{}", done.stderr);

    // Accepted: an empty directory, one whose parents do not exist, and no --output at all.
    fs::create_dir(directory.path().join("empty")).unwrap();
    run(&["--output", "empty"]).code(0);
    run(&["--output", "x/y"]).code(0);
    assert!(directory.path().join("empty/report.html").is_file() && directory.path().join("x/y/report.html").is_file());
    run(&[]).code(0);
    let entries =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let dated: Vec<String> = entries.filter(|name| name.starts_with("rehearsal-20")).collect();
    assert!(dated.len() == 1 && dated[0].len() == "rehearsal-2026-11-23-191500".len(), "{dated:?}");
}

#[test]
fn the_logs_are_copied_and_linked() {
    let directory = TempDir::new().unwrap();
    let mut figures = one(&Update::new("softstop", 0.0, 9.0));
    figures["runs"][0]["telltales"][0]["log"] = "logs/web 1.log".into();
    figures["runs"][0]["telltales"][1]["log"] = "../secret".into();
    fs::create_dir_all(directory.path().join("a/logs")).unwrap();
    fs::write(directory.path().join("a/rehearsal.json"), figures.to_string()).unwrap();
    fs::write(directory.path().join("a/logs/web 1.log"), "gracefully shutting down\n").unwrap();
    fs::write(directory.path().join("secret"), "").unwrap();
    program(REHEARSE, ["report", "a/rehearsal.json", "--output", "b/c"]).directory(directory.path()).run().code(0);
    let page = fs::read_to_string(directory.path().join("b/c/report.html")).unwrap();
    assert!(page.contains(r#"<a href="logs/web%201.log">logs/web 1.log</a>"#));
    assert!(directory.path().join("b/c/logs/web 1.log").is_file());
    assert!(
        !page.contains("secret\">") && !directory.path().join("b/secret").exists(),
        "a path that leads out of the report must not become a link"
    );
}

// The pictures.

#[test]
fn losses_are_visible_and_only_losses() {
    let made = report("pictures", &rehearsal(&contenders()));
    let bare = made.picture("nginx-bare.png");
    assert_eq!((bare.width(), bare.height()), (1600, 988));
    assert!(pixels_of(ANSWERED, &bare) > 100_000 && pixels_of(SERVER_ERROR, &bare) > 10_000);
    // In a panel without losses their colour is in the legend only; a single lost request must be visible.
    let lost = |name: &str| pixels_of(SERVER_ERROR, &made.picture(name));
    assert!(lost("softstop.png") < 700, "{}", lost("softstop.png"));
    assert!(lost("prestop-sleep.png") > lost("softstop.png") + 50);
    assert!(made.read("charts/softstop.svg").contains(">nothing lost</text>"));
    assert!(!made.read("charts/prestop-sleep.svg").contains(">nothing lost</text>"));

    let empty = report("pictures-nothing", &nothing()).picture("nothing.png");
    assert_eq!(
        (pixels_of(ANSWERED, &empty), pixels_of(SERVER_ERROR, &empty)),
        (0, 0),
        "the negative control has no bars"
    );
}

#[test]
fn every_panel_has_the_same_axes() {
    let made = report("axes", &rehearsal(&contenders()));
    // The labels to the left of the plots and below the last one.
    let axes = |name: &str| {
        let svg = made.read(&format!("charts/{name}.svg"));
        let labels =
            svg.lines().filter(|line| line.starts_with("<text") && line.contains(r##"font-size="17" fill="#595959""##));
        labels.filter(|line| line.contains("anchor")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(axes("softstop").len() > 15);
    assert_eq!(axes("softstop"), axes("nginx-bare"));
}

/// Every text of a picture with its bounding box.
fn texts(svg: &str) -> Vec<(String, Rect)> {
    fn collect(group: &Group, texts: &mut Vec<(String, Rect)>) {
        for node in group.children() {
            match node {
                Node::Text(text) => {
                    let words = text.chunks().iter().map(resvg::usvg::TextChunk::text).collect();
                    texts.push((words, text.flattened().abs_bounding_box()));
                }
                Node::Group(group) => collect(group, texts),
                Node::Path(_) | Node::Image(_) => {}
            }
        }
    }
    static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
        let mut fonts = fontdb::Database::new();
        fonts.load_font_data(dejavu::sans::regular().to_vec());
        fonts.load_font_data(dejavu::sans::bold().to_vec());
        fonts.into()
    });
    let options = Options { fontdb: FONTS.clone(), ..Options::default() };
    let tree = Tree::from_str(svg, &options).unwrap();
    let mut found = Vec::new();
    collect(tree.root(), &mut found);
    found
}

/// The texts that leave the picture or overlap another.
fn unreadable(svg: &str, width: f32, height: f32) -> Vec<String> {
    let texts = texts(svg);
    let mut wrong = Vec::new();
    for (place, (words, area)) in texts.iter().enumerate() {
        if area.left() < 0.0 || area.top() < 0.0 || area.right() > width || area.bottom() > height {
            wrong.push(format!("outside: {words}"));
        }
        for (other, under) in &texts[place + 1..] {
            let apart = area.right() <= under.left()
                || under.right() <= area.left()
                || area.bottom() <= under.top()
                || under.bottom() <= area.top();
            if !apart {
                wrong.push(format!("overlap: {words} / {other}"));
            }
        }
    }
    wrong
}

/// Extreme figures.
fn extremes() -> Vec<(&'static str, Value)> {
    let mut single = one(&Update::new("single", 0.0, 9.0));
    single["runs"][0]["requests"] = json!([[10.0, 3.0, "answered", 200, 0, 0, 0]]);
    for (name, at) in [("update_began_ms", 0.0), ("update_ended_ms", 15.0), ("ended_ms", 20.0)] {
        single["runs"][0][name] = at.into();
    }

    let mut all_lost = one(&Update::new("all lost", 0.0, 9.0));
    let kinds = [
        ("5xx", 3.0),
        ("refused", 0.4),
        ("cut off", 200.0),
        ("wrong answer", 8.0),
        ("timed out", 15e3),
        ("not sent", 0.0),
    ];
    for (number, row) in all_lost["runs"][0]["requests"].as_array_mut().unwrap().iter_mut().enumerate() {
        let (kind, latency) = kinds[number % kinds.len()];
        (row[1], row[2]) = (latency.into(), kind.into());
    }
    all_lost["runs"][0]["incomplete"] = "it ended at its limit of 5,000 requests".into();

    let long = "kubectl rollout restart deployment/web --namespace production --context the-one-with-a-very-long-name";
    let mut long_names: Vec<Value> = contenders();
    for (number, run) in long_names.iter_mut().enumerate() {
        run["name"] = format!("{long} {number}").into();
        run["marks"][1]["whom"] = "a-pod-with-a-name-as-long-as-kubernetes-makes-them-67b5d8c9f4-x7k2p".into();
    }
    long_names[4]["incomplete"] = "the command failed".into();

    let mut huge = one(&Update::new("huge", 0.3, 1.0));
    huge["runs"][0]["ended_ms"] = 1e300.into();
    huge["runs"][0]["marks"][0]["at_ms"] = (-1e300).into();
    huge["runs"][0]["requests"][0][1] = 1e300.into();
    let mut no_runs = nothing();
    no_runs["runs"] = json!([]);

    vec![
        ("x-one", one(&Update::new("nginx, bare", 0.6, 0.1))),
        ("x-five", rehearsal(&contenders())),
        ("x-sweep-12", sweep(12, 5)),
        ("x-sweep-of-one", sweep(1, 0)),
        ("x-sweep-24", sweep(24, 20)),
        (
            "x-ten-minutes",
            one(&Update { seconds: 600.0, pods: 20, per_second: 50.0, ..Update::new("softstop", 0.0, 9.0) }),
        ),
        ("x-100k", one(&Update { seconds: 1.0, per_second: 100_000.0, pods: 0, ..Update::new("fast", 0.001, 9.0) })),
        ("x-nothing", nothing()),
        ("x-no-runs", no_runs),
        ("x-single", single),
        ("x-all-lost", all_lost),
        ("x-long-names", rehearsal(&long_names)),
        ("x-huge", huge),
    ]
}

#[test]
fn no_text_leaves_its_picture_or_overlaps_another() {
    for (name, figures) in extremes() {
        let made = report(name, &figures);
        for chart in made.charts() {
            let picture = made.picture(&format!("{chart}.png"));
            let svg = made.read(&format!("charts/{chart}.svg"));
            let height: f32 = svg.split_once("height=\"").unwrap().1.split_once('"').unwrap().0.parse().unwrap();
            assert_eq!(unreadable(&svg, 1600.0, height), [""; 0], "{name}/{chart}");
            assert!(texts(&svg).len() > 3 || name == "x-no-runs", "{name}/{chart}");
            let some = picture.pixels().iter().step_by(7); // all of them would take long
            let colours: BTreeSet<[u8; 3]> = some.map(|pixel| [pixel.red(), pixel.green(), pixel.blue()]).collect();
            assert!(colours.len() > 8, "{name}/{chart} has {} colours", colours.len());
        }
    }
    let control = r#"<svg xmlns="http://www.w3.org/2000/svg" width="100" height="50" font-family="DejaVu Sans">
        <text x="10" y="20">one</text><text x="20" y="24">two</text><text x="80" y="48">three</text></svg>"#;
    assert_eq!(
        unreadable(control, 100.0, 50.0),
        ["overlap: one / two", "outside: three"],
        "the negative control is unreadable"
    );
}

// Text from elsewhere.

#[test]
fn hostile_text_is_escaped_everywhere() {
    let hostile = "<script>alert('x')</script> & \"q\" \u{1b}[31m\u{0}\u{b}\u{85}\u{202e}\u{ffff}]]>";
    let mut figures = one(&Update::new(hostile, 0.3, 0.1));
    let run = &mut figures["runs"][0];
    for field in ["command", "incomplete"] {
        run[field] = hostile.into();
    }
    run["limits"] = json!([hostile]);
    run["errors"] = json!({ hostile: 3 });
    run["marks"][0]["whom"] = hostile.into();
    run["stops"][0]["pod"] = hostile.into();
    for field in ["means", "example", "log"] {
        run["telltales"][0][field] = hostile.into();
    }
    run["telltales"][1]["log"] = "javascript:alert(1)".into();
    figures["settings"] = json!({ hostile: hostile });
    figures["method"] = json!([hostile]);
    for field in ["softstop_version", "made_at", "verb"] {
        figures[field] = hostile.into();
    }
    figures["sweep"] = json!({"setting": hostile, "values": [1.0]});

    let made = report("hostile", &figures);
    let mut files =
        vec![("report.html".to_owned(), made.read("report.html")), ("stdout".to_owned(), made.stdout.clone())];
    for chart in made.charts() {
        let svg = made.read(&format!("charts/{chart}.svg"));
        let tree = resvg::usvg::roxmltree::Document::parse(&svg).unwrap_or_else(|error| panic!("{chart}: {error}"));
        assert!(tree.descendants().all(|node| !node.has_tag_name("script")));
        files.push((chart, svg));
    }
    for (name, text) in files {
        assert!(!text.contains(|letter: char| letter.is_control() && letter != '\n'), "{name}: a control character");
        assert!(!text.contains(['\u{202e}', '\u{ffff}']), "{name}");
        assert!(name == "stdout" || !text.contains("<script"), "{name}: a script");
        assert!(!text.contains("href=\"javascript"), "{name}");
    }
    let page = made.read("report.html");
    assert!(
        page.matches("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;q&quot; ␛[31m␀␋").count() > 12,
        "{page}"
    );
    // The page loads nothing: its only URL is the namespace of SVG.
    let page = page.replace("http://www.w3.org/2000/svg", "");
    for word in ["http:", "https:", " src=", "@import", "<link rel=\"stylesheet"] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn every_id_in_the_page_is_unique() {
    let page = report("ids", &sweep(3, 1)).read("report.html");
    let mut ids: BTreeMap<&str, u32> = BTreeMap::new();
    for id in page.split(" id=\"").skip(1).map(|rest| rest.split_once('"').unwrap().0) {
        *ids.entry(id).or_default() += 1;
    }
    assert!(ids.len() > 20 && ids.values().all(|count| *count == 1), "{ids:?}");
    for used in page.split("url(#").skip(1).map(|rest| rest.split_once(')').unwrap().0) {
        assert!(ids.contains_key(used), "{used}");
    }
}

// The report in a browser.

/// A page in Chromium: its DOM, its console messages and a screenshot.
struct Opened {
    dom: String,
    console: Vec<String>,
    shot: Pixmap,
}

fn open(page: &Path) -> Opened {
    let scratch = TempDir::new().unwrap();
    let shot = scratch.path().join("shot.png");
    let chromium = |what: &[&str]| {
        let mut command = Command::new("timeout");
        command.args(["120", "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]);
        command.args(["--enable-logging=stderr", "--v=0", "--window-size=1500,2400"]);
        command.arg(format!("--user-data-dir={}", scratch.path().join("profile").display())).args(what);
        let done = command.arg(format!("file://{}", page.display())).output().unwrap();
        assert!(done.status.success(), "chromium: {}", String::from_utf8_lossy(&done.stderr));
        (String::from_utf8_lossy(&done.stdout).into_owned(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let (dom, said) = chromium(&["--dump-dom"]);
    chromium(&[&format!("--screenshot={}", shot.display())]);
    let console = said.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    Opened { dom, console, shot: Pixmap::load_png(shot).unwrap() }
}

#[test]
fn a_browser_opens_the_report_without_an_error_and_draws_its_charts() {
    if !have_program("chromium") {
        return;
    }
    let made = report("browser", &rehearsal(&contenders()));
    let opened = open(&made.directory.join("report.html"));
    assert_eq!(opened.console, [""; 0]);
    // Five panels and the overview; each has a bar for about every half second.
    let count = |class: &str| opened.dom.matches(&format!("class=\"bar {class}\"")).count();
    assert_eq!(opened.dom.matches("<svg ").count(), 6);
    assert!(count("answered") > 500 && count("5xx") > 50 && count("cut-off") > 8, "{}", count("answered"));
    assert!(opened.dom.contains("</html>"));
    assert!(pixels_of(ANSWERED, &opened.shot) > 50_000 && pixels_of(SERVER_ERROR, &opened.shot) > 2_000);
}

#[test]
fn the_same_checks_detect_an_error_and_an_empty_chart() {
    if !have_program("chromium") {
        return;
    }
    let made = report("browser-nothing", &nothing());
    let page = made.directory.join("report.html");
    let opened = open(&page);
    assert_eq!(opened.console, [""; 0]);
    assert_eq!(opened.dom.matches("class=\"bar ").count(), 0);
    assert_eq!((pixels_of(ANSWERED, &opened.shot), pixels_of(SERVER_ERROR, &opened.shot)), (0, 0));

    let wrong = made.directory.join("wrong.html");
    fs::write(&wrong, made.read("report.html").replace("</body>", "<script>missing()</script></body>")).unwrap();
    let console = open(&wrong).console;
    assert!(console.len() == 1 && console[0].contains("missing is not defined"), "{console:?}");
}
