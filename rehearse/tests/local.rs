//! `softstop-rehearse local` shows what it promises: a bare server loses requests in a rolling update, and under softstop it
//! loses none; with real parts and with embedded ones, in containers and in PID namespaces. And it leaves nothing behind.
//!
//! One rehearsal at a time: two loads on one machine would disturb each other.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it is wrong"
)]

use common::docker::{docker_says, have_engine};
use common::*;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

const REHEARSE: &str = env!("CARGO_BIN_EXE_softstop-rehearse");

/// Times that keep a test short. Slow answers outlast the removal from the balancer, and the pre-delay outlasts it too.
const SHORT_TIMES: &[&str] = &["--before=700ms", "--grace=500ms", "--lag=700ms", "--slow=1s", "--pre-delay=1500ms"];

/// No rehearsal here takes longer: a dead-man switch.
const LONGEST: Duration = Duration::from_secs(180);

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A rehearsal's place: all that it writes is in there.
struct Place {
    directory: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Place {
    fn new() -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let place = Self { directory: TempDir::new().unwrap(), _turn: turn };
        fs::create_dir(place.temporary()).unwrap();
        place
    }

    fn report(&self) -> PathBuf {
        self.directory.path().join("report")
    }

    fn temporary(&self) -> PathBuf {
        self.directory.path().join("tmp")
    }

    /// `softstop-rehearse local`, not yet started. Of the short times and the softstop under test a flag may choose another.
    fn rehearsal(&self, flags: &[&str]) -> Softstop {
        let given = |default: &&&str| {
            let name = default.split('=').next().unwrap();
            flags.iter().any(|flag| flag.split('=').next() == Some(name))
        };
        let (report, softstop) =
            (format!("--output={}", self.report().display()), format!("--softstop={}", softstop_binary()));
        let defaults = [&*report, &*softstop];
        let defaults = SHORT_TIMES.iter().chain(&defaults).filter(|default| !given(default));
        program(REHEARSE, ["local"].iter().chain(defaults).chain(flags)).env("TMPDIR", self.temporary())
    }

    /// To its end, which is to be this exit code; what it saw, and what it said on stdout.
    #[track_caller]
    fn rehearse(&self, code: i32, flags: &[&str]) -> (Rehearsal, String) {
        let outcome = self.rehearsal(flags).start().wait_at_most(LONGEST);
        outcome.code(code);
        self.is_left_clean(&outcome.stderr);
        let json = fs::read_to_string(self.report().join("rehearsal.json")).unwrap();
        (Rehearsal(serde_json::from_str(&json).unwrap()), outcome.stdout)
    }

    /// No file, and no process that was started with one.
    #[track_caller]
    fn is_left_clean(&self, why: &str) {
        let left: Vec<_> = fs::read_dir(self.temporary()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, Vec::<PathBuf>::new(), "{why}");
        // A killed one may be a moment away from its end.
        eventually("all processes end", || processes_with(&self.temporary()).is_empty().then_some(()));
    }
}

/// The processes whose command line names this directory.
fn processes_with(directory: &Path) -> Vec<String> {
    let lines = fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(directory.to_str().unwrap())).collect()
}

/// `rehearsal.json`
struct Rehearsal(Value);

impl Rehearsal {
    fn runs(&self) -> Vec<Run<'_>> {
        self.0["runs"].as_array().unwrap().iter().map(Run).collect()
    }

    #[track_caller]
    fn run(&self, name: &str) -> Run<'_> {
        let run = self.runs().into_iter().find(|run| run.name() == name);
        run.unwrap_or_else(|| panic!("no run of {name}"))
    }
}

struct Run<'a>(&'a Value);

impl Run<'_> {
    fn name(&self) -> &str {
        self.0["name"].as_str().unwrap()
    }

    /// How many requests there were of each kind.
    fn kinds(&self) -> BTreeMap<String, usize> {
        let mut kinds = BTreeMap::new();
        for request in self.0["requests"].as_array().unwrap() {
            *kinds.entry(request[2].as_str().unwrap().to_owned()).or_default() += 1;
        }
        kinds
    }

    fn requests(&self) -> usize {
        self.kinds().values().sum()
    }

    fn lost(&self) -> usize {
        let kinds = self.kinds();
        kinds
            .iter()
            .filter(|(kind, _)| !["answered", "not sent"].contains(&kind.as_str()))
            .map(|(_, count)| count)
            .sum()
    }

    fn stops(&self) -> &Vec<Value> {
        self.0["stops"].as_array().unwrap()
    }

    /// How often the logs say something that means this, and whether it is good; its log is kept, and holds the example.
    #[track_caller]
    fn telltale(&self, means: &str, report: &Path) -> Option<(bool, u64)> {
        let all = self.0["telltales"].as_array().unwrap();
        let telltale = all.iter().find(|telltale| telltale["means"].as_str().unwrap().contains(means))?;
        let log = fs::read_to_string(report.join(telltale["log"].as_str().unwrap())).unwrap();
        assert!(log.contains(telltale["example"].as_str().unwrap()), "{telltale}");
        Some((telltale["good"].as_bool().unwrap(), telltale["count"].as_u64().unwrap()))
    }

    /// The moments at which this happened, in milliseconds.
    fn marks(&self, what: &str) -> Vec<f64> {
        let marks = self.0["marks"].as_array().unwrap().iter().filter(|mark| mark["what"] == what);
        marks.map(|mark| mark["at_ms"].as_f64().unwrap()).collect()
    }
}

fn have_servers() -> bool {
    have_program("nginx") && have_program("haproxy")
}

/// softstop is told nothing of the lag: it sees when requests stop coming.
#[test]
fn with_two_bounds_the_pre_delay_lasts_as_long_as_the_balancer_sends_requests_whatever_its_lag() {
    if !(have_engine() && have_servers()) {
        return;
    }
    let quiet = 2.0; // softstop's default
    for (lag, place_flag) in [("500ms", "container"), ("3s", "namespace"), ("8s", "container")] {
        let place = Place::new();
        let (lag_flag, place_flag) = (format!("--lag={lag}"), format!("--in={place_flag}"));
        let flags =
            ["--contender=softstop", "--pre-delay=2s..15s", "--drain-timeout=10s", "--slow=1s", &lag_flag, &place_flag];
        let (rehearsal, _) = place.rehearse(0, &flags);
        let run = rehearsal.run("softstop");
        assert_eq!(run.lost(), 0, "{lag}: {:?}", run.kinds());
        assert!(run.requests() > 500, "{lag}: {:?}", run.kinds());
        let gone: Vec<f64> = run.marks("gone");
        let removed: Vec<f64> = run.marks("removed");
        assert_eq!((gone.len(), removed.len()), (2, 2));
        for (gone, removed) in gone.iter().zip(&removed) {
            // After the last request: the quiet and a second, or the slowest response; and one more for a busy machine,
            // on which the engine tells of a container's end late.
            let after = (gone - removed) / 1000.0;
            assert!(after <= quiet + 1.0 + 1.0 + 1.0, "{lag}: gone {after} s after the last request");
            assert!(after >= quiet - 0.5, "{lag}: gone {after} s after the last request: that is no quiet of 2 s");
        }
        for number in [1, 2] {
            let log = fs::read_to_string(place.report().join(format!("logs/softstop/pod{number}.log"))).unwrap();
            assert!(log.contains("quiet: no request for 2s"), "{lag}: {log}");
        }
    }
}

#[test]
fn behind_haproxy_bare_nginx_loses_requests_and_under_softstop_none_in_three_updates_of_two_pods() {
    if !(have_engine() && have_servers()) {
        return;
    }
    let place = Place::new();
    let (rehearsal, stdout) =
        place.rehearse(0, &["--contender=bare,softstop", "--in=container", "--pods=2", "--updates=3", "--rate=500"]);
    assert!(stdout.contains("HAProxy 2") || stdout.contains("HAProxy 3"), "{stdout}");
    assert!(stdout.contains("nginx/") && stdout.contains("containers of Docker"), "{stdout}");
    assert!(!stdout.contains("embedded"), "{stdout}");

    let bare = rehearsal.run("nginx, bare");
    assert!(bare.lost() > 20, "the control must lose something: {:?}", bare.kinds());
    assert!(bare.kinds().contains_key("5xx") && bare.kinds().contains_key("cut off"), "{:?}", bare.kinds());
    let softstop = rehearsal.run("softstop");
    assert_eq!(softstop.lost(), 0, "{:?}", softstop.kinds());
    assert!(softstop.kinds()["answered"] > 5000, "{:?}", softstop.kinds());

    // Every pod's log is kept, and says how it ended.
    let report = place.report();
    for (run, directory) in [(&bare, "bare"), (&softstop, "softstop")] {
        assert_eq!(run.stops().len(), 6);
        for stop in run.stops() {
            assert_eq!((&stop["exit"], &stop["killed"]), (&Value::from(0), &Value::from(false)));
            let log = report.join("logs").join(directory).join(format!("{}.log", stop["pod"].as_str().unwrap()));
            assert!(fs::read_to_string(log).unwrap().contains("start worker process"));
        }
        for what in ["added", "stop", "removed", "gone"] {
            assert_eq!(run.marks(what).len(), 6, "{what}");
        }
        // The removal takes effect when the lag is over, and not before.
        for (stop, removed) in run.marks("stop").into_iter().zip(run.marks("removed")) {
            assert!(removed - stop >= 699.0, "{stop} {removed}");
        }
    }
    assert_eq!(bare.telltale("drops its requests", &report), Some((false, 6)));
    assert_eq!(bare.telltale("gracefully shutting down", &report), None);
    assert!(bare.telltale("(SD)", &report).is_some_and(|(good, count)| !good && count > 0));
    assert_eq!(softstop.telltale("gracefully shutting down", &report), Some((true, 12)), "two workers in each pod");
    assert_eq!(softstop.telltale("stopped in time", &report), Some((true, 6)));
    assert_eq!(softstop.telltale("drops its requests", &report), None);
    assert_eq!(softstop.telltale("HAProxy", &report), None);
}

#[test]
fn in_pid_namespaces_too() {
    if !have_servers() {
        return;
    }
    let place = Place::new();
    let (rehearsal, stdout) = place.rehearse(0, &["--contender=bare,softstop", "--in=namespace"]);
    assert!(stdout.contains("PID namespaces"), "{stdout}");
    let (bare, softstop) = (rehearsal.run("nginx, bare"), rehearsal.run("softstop"));
    assert!(bare.lost() > 20, "{:?}", bare.kinds());
    assert_eq!(softstop.lost(), 0, "{:?}", softstop.kinds());
    assert_eq!(bare.telltale("drops its requests", &place.report()), Some((false, 2)));
    assert_eq!(softstop.telltale("stopped in time", &place.report()), Some((true, 2)));
}

/// As on a machine that has neither nginx nor HAProxy, no other init, and no engine.
#[test]
fn what_is_not_there_is_embedded_or_named() {
    let unshare = in_path("unshare").unwrap();
    let place = Place::new();
    let programs = place.directory.path().join("bin");
    fs::create_dir(&programs).unwrap();
    symlink(unshare, programs.join("unshare")).unwrap();
    let outcome = place.rehearsal(&["--embedded"]).env("PATH", &programs).start().wait_at_most(LONGEST);
    outcome.code(0);
    place.is_left_clean(&outcome.stderr);
    for part in [
        "the embedded balancer",
        "in place of HAProxy",
        "the embedded server",
        "in place of nginx",
        "tini         is not installed",
        "dumb-init    is not installed",
        "as containers do not work here: docker is not installed",
    ] {
        assert!(outcome.stdout.contains(part), "no {part:?} in {}", outcome.stdout);
    }

    let json = fs::read_to_string(place.report().join("rehearsal.json")).unwrap();
    let rehearsal = Rehearsal(serde_json::from_str(&json).unwrap());
    let names: Vec<_> = rehearsal.runs().iter().map(|run| run.name().to_owned()).collect();
    assert_eq!(names, ["embedded server, bare", "preStop sleep", "softstop"]);
    let bare = rehearsal.run("embedded server, bare");
    assert!(bare.kinds().contains_key("5xx") && bare.kinds().contains_key("cut off"), "{:?}", bare.kinds());
    // The hook waits until nothing new comes; what is under way then is lost.
    let prestop = rehearsal.run("preStop sleep");
    assert!(!prestop.kinds().contains_key("5xx"), "{:?}", prestop.kinds());
    assert!(prestop.stops().iter().all(|stop| stop["seconds"].as_f64().unwrap() >= 1.5));
    let softstop = rehearsal.run("softstop");
    assert_eq!(softstop.lost(), 0, "{:?}", softstop.kinds());
    assert_eq!(bare.telltale("drops its requests", &place.report()), Some((false, 2)));
    assert!(bare.telltale("the balancer: a pod cut off", &place.report()).is_some());
    assert_eq!(softstop.telltale("gracefully shutting down", &place.report()), Some((true, 2)));
}

#[test]
fn a_sweep_finds_the_value_that_loses_nothing() {
    let place = Place::new();
    let flags = ["--embedded", "--in=namespace", "--sweep=pre-delay=0s..1500ms:1500ms"];
    let (rehearsal, _) = place.rehearse(0, &flags);
    let lost: Vec<_> = rehearsal.runs().iter().map(|run| (run.name().to_owned(), run.lost() > 0)).collect();
    assert_eq!(lost, [("pre-delay=0s".to_owned(), true), ("pre-delay=1s500ms".to_owned(), false)]);
    assert_eq!(rehearsal.0["sweep"]["setting"], "pre-delay");
    assert_eq!(rehearsal.0["sweep"]["values"], serde_json::json!([0.0, 1.5]));
    assert!(place.report().join("logs/pre-delay=0s/pod1.log").exists());
}

#[test]
fn it_leaves_with_1_when_softstop_loses_something() {
    let place = Place::new();
    let flags = ["--embedded", "--in=namespace", "--contender=softstop", "--pre-delay=0s", "--pods=1"];
    let (rehearsal, _) = place.rehearse(1, &flags);
    assert!(rehearsal.run("softstop").lost() > 0);
}

#[test]
fn who_outlasts_the_grace_period_is_killed_by_the_platform() {
    if !have_program("dumb-init") {
        return;
    }
    let place = Place::new();
    let flags = ["--embedded", "--in=namespace", "--contender=dumb-init", "--pods=1", "--slow=4s", "--grace-period=1s"];
    // Without softstop there is nothing to judge.
    let (rehearsal, _) = place.rehearse(0, &flags);
    let run = rehearsal.run("dumb-init");
    let stop = &run.stops()[0];
    assert_eq!((&stop["exit"], &stop["killed"]), (&Value::from(137), &Value::from(true)));
    assert!((1.0..2.0).contains(&stop["seconds"].as_f64().unwrap()), "{stop}");
    assert!(run.kinds().contains_key("cut off"), "{:?}", run.kinds());
}

#[test]
fn a_measurement_that_is_cut_short_says_nothing() {
    let place = Place::new();
    let flags = ["--embedded", "--in=namespace", "--contender=softstop", "--pods=1", "--max-requests=150"];
    let (rehearsal, _) = place.rehearse(3, &flags);
    let run = rehearsal.run("softstop");
    assert_eq!(run.requests(), 150);
    assert!(run.0["incomplete"].as_str().unwrap().contains("--max-requests"));
}

#[test]
fn what_the_generator_could_not_send_is_not_said_to_be_answered() {
    let place = Place::new();
    let flags = ["--embedded", "--in=namespace", "--contender=softstop", "--pods=1", "--rate=50", "--concurrency=1"];
    let (rehearsal, stdout) = place.rehearse(3, &flags);
    let kinds = rehearsal.run("softstop").kinds();
    assert!(kinds.contains_key("not sent"), "{kinds:?}");
    assert_eq!(rehearsal.run("softstop").lost(), 0, "{kinds:?}");
    assert!(stdout.contains("waited for their answers"), "{stdout}");
}

#[test]
fn where_no_request_met_the_update_nothing_can_be_said() {
    let place = Place::new();
    let flags = ["--embedded", "--in=namespace", "--contender=softstop", "--pods=1", "--rate=0.1", "--before=1s"];
    let (rehearsal, stdout) = place.rehearse(3, &flags);
    assert_eq!(rehearsal.run("softstop").requests(), 1, "{stdout}");
}

#[test]
fn a_signal_in_the_middle_leaves_nothing_behind() {
    let mut places = vec!["namespace"];
    if have_engine() {
        places.push("container");
    }
    for pods in places {
        let place = Place::new();
        let flags = ["--contender=softstop", "--in", pods];
        let running = place.rehearsal(&flags).start();
        running.logs("softstop: replacing pod 1");
        let id = format!("softstop-rehearse-{}-", running.pid);
        let of_the_engine = |list: &[&str]| docker_says(list.iter().copied());
        let containers = || of_the_engine(&["ps", "--all", "--quiet", "--filter", &format!("name={id}")]);
        if pods == "container" {
            assert_ne!(containers(), "", "the filter finds them while they are there");
        } else {
            assert!(!processes_with(&place.temporary()).is_empty());
        }
        running.signal(libc::SIGTERM);
        let outcome = running.wait();
        outcome.code(3).logged("interrupted by SIGTERM");
        place.is_left_clean(&outcome.stderr);
        assert!(!place.report().exists(), "an unfinished report");
        if pods == "container" {
            assert_eq!(containers(), "");
            assert_eq!(of_the_engine(&["images", "--quiet", "--filter", &format!("reference={id}*")]), "");
        }
    }
}

#[test]
fn an_answer_that_cannot_be_had_is_said_in_one_sentence() {
    let place = Place::new();
    for (flags, sentence) in [
        (&["--contender=tini"][..], "tini is not installed: install it, or leave it out of --contender"),
        (&["--in=container"], "no pod in a container: docker is not installed"),
        (&["--in=namespace"], "no pod in a PID namespace: unshare(1) of util-linux is missing"),
        (
            &[],
            "no pod can be made here, neither in a PID namespace (unshare(1) of util-linux is missing) nor in a container",
        ),
    ] {
        let outcome = place.rehearsal(flags).env("PATH", "/nowhere").run();
        outcome.code(3).logged(sentence);
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
        assert!(!place.report().exists());
        place.is_left_clean(&outcome.stderr);
    }
}

#[test]
fn what_was_typed_wrongly_starts_nothing() {
    let place = Place::new();
    for (flags, remedy) in [
        (&["--sweep=pre-delay"][..], "write it as SETTING=FROM..TO:STEP"),
        (&["--sweep=grace=1s..2s:1s"], "only pre-delay, drain-timeout, lag"),
        (&["--sweep=lag=1s..2h:1s"], "60 are the most"),
        (&["--pre-delay=20s"], "give a longer --grace-period"),
        (&["--slow=20s"], "give a longer --timeout"),
        (&["--contender=upstart"], "possible values: bare, tini, dumb-init, prestop, softstop"),
        (&["--contender=bare,bare"], "names bare twice"),
        (&["--pods=0"], "1..=20"),
        (&["--lag=500000000000y"], "a week is the most"),
        (&["--lag=fast"], "write it as 500ms, 5s or 1m 30s"),
        (&["--softstop=/nowhere/softstop"], "there is no program of that name"),
    ] {
        let outcome = place.rehearsal(flags).run();
        outcome.code(2).logged(remedy);
        assert!(!place.report().exists(), "{flags:?}");
    }
}

/// A file that says it is a program.
fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_softstop_that_does_not_run_is_no_softstop() {
    let place = Place::new();
    let broken = place.directory.path().join("broken");
    script(&broken, "#!/nowhere/sh\n");
    let outcome = place.rehearsal(&["--contender=softstop", &format!("--softstop={}", broken.display())]).run();
    outcome.code(3).logged("broken does not run");
}

/// `cargo rehearse` means the sources as they are now, and the init as it ships.
#[test]
fn started_by_cargo_it_takes_the_softstop_that_cargo_builds() {
    let place = Place::new();
    let cargo = place.directory.path().join("cargo");
    let built = r#"{"reason":"compiler-artifact","executable":"/built/softstop"}"#;
    script(
        &cargo,
        &format!(
            "#!/bin/sh\n\
             case \"$*\" in *'build --release -p softstop '*'--manifest-path /sources/Cargo.toml'*) ;; *) exit 1 ;; esac\n\
             echo '{{\"reason\":\"compiler-artifact\",\"executable\":null}}'\n\
             echo '{built}'\n\
             echo '{{\"reason\":\"build-finished\",\"success\":true}}'\n"
        ),
    );
    let report = format!("--output={}", place.report().display());
    let rehearsal = || program(REHEARSE, ["local", "--contender=softstop", &report]).env("CARGO", &cargo);
    rehearsal().env("CARGO_MANIFEST_DIR", "/sources").run().code(3).logged("/built/softstop does not run");
    rehearsal().env("CARGO_MANIFEST_DIR", "/others").run().code(3).logged("softstop could not be built");
}
