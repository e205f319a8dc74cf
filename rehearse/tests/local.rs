//! `softstop-rehearse local`: a bare server loses requests in a rolling update, and under softstop it loses none; with nginx and
//! HAProxy and with the embedded server and balancer, in containers and in PID namespaces. Nothing is left behind.
//!
//! The tests run one at a time, as two loads on one machine would disturb each other.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
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

/// Times that keep a test short. Slow answers and the pre-delay both last longer than the removal from the balancer.
const SHORT_TIMES: &[&str] = &["--before=700ms", "--grace=500ms", "--lag=700ms", "--slow=1s", "--pre-delay=1500ms"];

/// No rehearsal here takes longer unless it hangs.
const LONGEST: Duration = Duration::from_secs(180);

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A directory in which a rehearsal writes all its files.
struct Sandbox {
    directory: TempDir,
    _lock: MutexGuard<'static, ()>,
}

impl Sandbox {
    fn new() -> Self {
        let lock = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let sandbox = Self { directory: TempDir::new().unwrap(), _lock: lock };
        fs::create_dir(sandbox.temporary()).unwrap();
        sandbox
    }

    fn report(&self) -> PathBuf {
        self.directory.path().join("report")
    }

    fn temporary(&self) -> PathBuf {
        self.directory.path().join("tmp")
    }

    /// `softstop-rehearse local`, not yet started. The flags override the short times and the softstop under test.
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

    /// Runs a rehearsal that must end with this exit code. Returns its figures and its stdout.
    #[track_caller]
    fn rehearse(&self, code: i32, flags: &[&str]) -> (Rehearsal, String) {
        let outcome = self.rehearsal(flags).start().wait_at_most(LONGEST);
        outcome.code(code);
        self.assert_clean(&outcome.stderr);
        let json = fs::read_to_string(self.report().join("rehearsal.json")).unwrap();
        (Rehearsal(serde_json::from_str(&json).unwrap()), outcome.stdout)
    }

    /// Asserts that no file is left, and no process whose command line names one.
    #[track_caller]
    fn assert_clean(&self, why: &str) {
        let left: Vec<_> = fs::read_dir(self.temporary()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, Vec::<PathBuf>::new(), "{why}");
        // A killed process may take a moment to end.
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

    /// How many requests had each verdict.
    fn verdicts(&self) -> BTreeMap<String, usize> {
        let mut verdicts = BTreeMap::new();
        for request in self.0["requests"].as_array().unwrap() {
            *verdicts.entry(request[2].as_str().unwrap().to_owned()).or_default() += 1;
        }
        verdicts
    }

    fn requests(&self) -> usize {
        self.verdicts().values().sum()
    }

    fn lost(&self) -> usize {
        let verdicts = self.verdicts();
        verdicts
            .iter()
            .filter(|(verdict, _)| !["answered", "not sent"].contains(&verdict.as_str()))
            .map(|(_, count)| count)
            .sum()
    }

    fn stops(&self) -> &Vec<Value> {
        self.0["stops"].as_array().unwrap()
    }

    /// Whether the log finding with this meaning is good, and its count. Asserts that its log was kept and holds the example.
    #[track_caller]
    fn log_finding(&self, means: &str, report: &Path) -> Option<(bool, u64)> {
        let all = self.0["telltales"].as_array().unwrap();
        let finding = all.iter().find(|finding| finding["means"].as_str().unwrap().contains(means))?;
        let log = fs::read_to_string(report.join(finding["log"].as_str().unwrap())).unwrap();
        assert!(log.contains(finding["example"].as_str().unwrap()), "{finding}");
        Some((finding["good"].as_bool().unwrap(), finding["count"].as_u64().unwrap()))
    }

    /// The times of the marks of this kind, in milliseconds.
    fn marks(&self, what: &str) -> Vec<f64> {
        let marks = self.0["marks"].as_array().unwrap().iter().filter(|mark| mark["what"] == what);
        marks.map(|mark| mark["at_ms"].as_f64().unwrap()).collect()
    }
}

fn have_servers() -> bool {
    have_program("nginx") && have_program("haproxy")
}

/// softstop does not know the lag: it notices when requests stop arriving.
#[test]
fn a_pre_delay_with_two_bounds_follows_the_lag_of_the_balancer() {
    if !(have_engine() && have_servers()) {
        return;
    }
    let quiet = 2.0; // softstop's default
    for (lag, isolation) in [("500ms", "container"), ("3s", "namespace"), ("8s", "container")] {
        let sandbox = Sandbox::new();
        let (lag_flag, isolation_flag) = (format!("--lag={lag}"), format!("--in={isolation}"));
        let flags = [
            "--contender=softstop",
            "--pre-delay=2s..15s",
            "--drain-timeout=10s",
            "--slow=1s",
            &lag_flag,
            &isolation_flag,
        ];
        let (rehearsal, _) = sandbox.rehearse(0, &flags);
        let run = rehearsal.run("softstop");
        assert_eq!(run.lost(), 0, "{lag}: {:?}", run.verdicts());
        assert!(run.requests() > 500, "{lag}: {:?}", run.verdicts());
        let gone: Vec<f64> = run.marks("gone");
        let removed: Vec<f64> = run.marks("removed");
        assert_eq!((gone.len(), removed.len()), (2, 2));
        for (gone, removed) in gone.iter().zip(&removed) {
            // After the last request come the quiet time and up to a second, or the slowest response; and one second more, as
            // on a busy machine the engine reports the end of a container late.
            let after = (gone - removed) / 1000.0;
            assert!(after <= quiet + 1.0 + 1.0 + 1.0, "{lag}: gone {after} s after the last request");
            assert!(after >= quiet - 0.5, "{lag}: gone {after} s after the last request: too early for 2 s of quiet");
        }
        for number in [1, 2] {
            let log = fs::read_to_string(sandbox.report().join(format!("logs/softstop/pod{number}.log"))).unwrap();
            assert!(log.contains("quiet: no request for 2s"), "{lag}: {log}");
        }
    }
}

#[test]
fn behind_haproxy_bare_nginx_loses_requests_and_under_softstop_it_loses_none() {
    if !(have_engine() && have_servers()) {
        return;
    }
    let sandbox = Sandbox::new();
    let (rehearsal, stdout) =
        sandbox.rehearse(0, &["--contender=bare,softstop", "--in=container", "--pods=2", "--updates=3", "--rate=500"]);
    assert!(stdout.contains("HAProxy 2") || stdout.contains("HAProxy 3"), "{stdout}");
    assert!(stdout.contains("nginx/") && stdout.contains("containers of Docker"), "{stdout}");
    assert!(!stdout.contains("embedded"), "{stdout}");

    let bare = rehearsal.run("nginx, bare");
    assert!(bare.lost() > 20, "the negative control must lose something: {:?}", bare.verdicts());
    assert!(bare.verdicts().contains_key("5xx") && bare.verdicts().contains_key("cut off"), "{:?}", bare.verdicts());
    let softstop = rehearsal.run("softstop");
    assert_eq!(softstop.lost(), 0, "{:?}", softstop.verdicts());
    assert!(softstop.verdicts()["answered"] > 5000, "{:?}", softstop.verdicts());

    // The log of every pod is kept.
    let report = sandbox.report();
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
        // The removal takes effect after the lag, and not before.
        for (stop, removed) in run.marks("stop").into_iter().zip(run.marks("removed")) {
            assert!(removed - stop >= 699.0, "{stop} {removed}");
        }
    }
    assert_eq!(bare.log_finding("drops its requests", &report), Some((false, 6)));
    assert_eq!(bare.log_finding("gracefully shutting down", &report), None);
    assert!(bare.log_finding("(SD)", &report).is_some_and(|(good, count)| !good && count > 0));
    assert_eq!(softstop.log_finding("gracefully shutting down", &report), Some((true, 12)), "two workers in each pod");
    assert_eq!(softstop.log_finding("stopped in time", &report), Some((true, 6)));
    assert_eq!(softstop.log_finding("drops its requests", &report), None);
    assert_eq!(softstop.log_finding("HAProxy", &report), None);
}

#[test]
fn the_same_holds_in_pid_namespaces() {
    if !have_servers() {
        return;
    }
    let sandbox = Sandbox::new();
    let (rehearsal, stdout) = sandbox.rehearse(0, &["--contender=bare,softstop", "--in=namespace"]);
    assert!(stdout.contains("PID namespaces"), "{stdout}");
    let (bare, softstop) = (rehearsal.run("nginx, bare"), rehearsal.run("softstop"));
    assert!(bare.lost() > 20, "{:?}", bare.verdicts());
    assert_eq!(softstop.lost(), 0, "{:?}", softstop.verdicts());
    assert_eq!(bare.log_finding("drops its requests", &sandbox.report()), Some((false, 2)));
    assert_eq!(softstop.log_finding("stopped in time", &sandbox.report()), Some((true, 2)));
}

/// As on a machine without nginx, HAProxy, another init, and Docker.
#[test]
fn what_is_not_installed_is_replaced_or_reported() {
    let unshare = in_path("unshare").unwrap();
    let sandbox = Sandbox::new();
    let programs = sandbox.directory.path().join("bin");
    fs::create_dir(&programs).unwrap();
    symlink(unshare, programs.join("unshare")).unwrap();
    let outcome = sandbox.rehearsal(&["--embedded"]).env("PATH", &programs).start().wait_at_most(LONGEST);
    outcome.code(0);
    sandbox.assert_clean(&outcome.stderr);
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

    let json = fs::read_to_string(sandbox.report().join("rehearsal.json")).unwrap();
    let rehearsal = Rehearsal(serde_json::from_str(&json).unwrap());
    let names: Vec<_> = rehearsal.runs().iter().map(|run| run.name().to_owned()).collect();
    assert_eq!(names, ["embedded server, bare", "preStop sleep", "softstop"]);
    let bare = rehearsal.run("embedded server, bare");
    assert!(bare.verdicts().contains_key("5xx") && bare.verdicts().contains_key("cut off"), "{:?}", bare.verdicts());
    // The hook lasts until no new requests arrive; those in flight at its end are lost.
    let prestop = rehearsal.run("preStop sleep");
    assert!(!prestop.verdicts().contains_key("5xx"), "{:?}", prestop.verdicts());
    assert!(prestop.stops().iter().all(|stop| stop["seconds"].as_f64().unwrap() >= 1.5));
    let softstop = rehearsal.run("softstop");
    assert_eq!(softstop.lost(), 0, "{:?}", softstop.verdicts());
    assert_eq!(bare.log_finding("drops its requests", &sandbox.report()), Some((false, 2)));
    assert!(bare.log_finding("the balancer: a pod cut off", &sandbox.report()).is_some());
    assert_eq!(softstop.log_finding("gracefully shutting down", &sandbox.report()), Some((true, 2)));
}

#[test]
fn a_sweep_finds_the_value_that_loses_nothing() {
    let sandbox = Sandbox::new();
    let flags = ["--embedded", "--in=namespace", "--sweep=pre-delay=0s..1500ms:1500ms"];
    let (rehearsal, stdout) = sandbox.rehearse(0, &flags);
    let lost: Vec<_> = rehearsal.runs().iter().map(|run| (run.name().to_owned(), run.lost() > 0)).collect();
    assert_eq!(lost, [("pre-delay=0s".to_owned(), true), ("pre-delay=1s500ms".to_owned(), false)]);
    assert!(stdout.contains("the smallest value that lost nothing: pre-delay=1s500ms\n"), "{stdout}");
    assert_eq!(rehearsal.0["sweep"]["setting"], "pre-delay");
    assert_eq!(rehearsal.0["sweep"]["values"], serde_json::json!([0.0, 1.5]));
    assert!(sandbox.report().join("logs/pre-delay=0s/pod1.log").exists());
}

#[test]
fn the_exit_code_is_1_if_softstop_loses_requests() {
    let sandbox = Sandbox::new();
    let flags = ["--embedded", "--in=namespace", "--contender=softstop", "--pre-delay=0s", "--pods=1"];
    let (rehearsal, _) = sandbox.rehearse(1, &flags);
    assert!(rehearsal.run("softstop").lost() > 0);
}

#[test]
fn a_pod_that_outlasts_the_grace_period_is_killed() {
    if !have_program("dumb-init") {
        return;
    }
    let sandbox = Sandbox::new();
    let flags = ["--embedded", "--in=namespace", "--contender=dumb-init", "--pods=1", "--slow=4s", "--grace-period=1s"];
    // Without softstop no run decides the exit code.
    let (rehearsal, _) = sandbox.rehearse(0, &flags);
    let run = rehearsal.run("dumb-init");
    let stop = &run.stops()[0];
    assert_eq!((&stop["exit"], &stop["killed"]), (&Value::from(137), &Value::from(true)));
    assert!((1.0..2.0).contains(&stop["seconds"].as_f64().unwrap()), "{stop}");
    assert!(run.verdicts().contains_key("cut off"), "{:?}", run.verdicts());
}

#[test]
fn an_incomplete_measurement_is_inconclusive() {
    let sandbox = Sandbox::new();
    let flags = ["--embedded", "--in=namespace", "--contender=softstop", "--pods=1", "--max-requests=150"];
    let (rehearsal, _) = sandbox.rehearse(3, &flags);
    let run = rehearsal.run("softstop");
    assert_eq!(run.requests(), 150);
    assert!(run.0["incomplete"].as_str().unwrap().contains("--max-requests"));
}

#[test]
fn requests_that_could_not_be_sent_do_not_count_as_answered() {
    let sandbox = Sandbox::new();
    let flags = ["--embedded", "--in=namespace", "--contender=softstop", "--pods=1", "--rate=50", "--concurrency=1"];
    let (rehearsal, stdout) = sandbox.rehearse(3, &flags);
    let verdicts = rehearsal.run("softstop").verdicts();
    assert!(verdicts.contains_key("not sent"), "{verdicts:?}");
    assert_eq!(rehearsal.run("softstop").lost(), 0, "{verdicts:?}");
    assert!(stdout.contains("maximum number of requests was in flight"), "{stdout}");
}

#[test]
fn without_a_request_during_the_update_the_result_is_inconclusive() {
    let sandbox = Sandbox::new();
    let flags = ["--embedded", "--in=namespace", "--contender=softstop", "--pods=1", "--rate=0.1", "--before=1s"];
    let (rehearsal, stdout) = sandbox.rehearse(3, &flags);
    assert_eq!(rehearsal.run("softstop").requests(), 1, "{stdout}");
}

#[test]
fn a_signal_during_a_rehearsal_leaves_nothing_behind() {
    let mut isolations = vec!["namespace"];
    if have_engine() {
        isolations.push("container");
    }
    for isolation in isolations {
        let sandbox = Sandbox::new();
        let flags = ["--contender=softstop", "--in", isolation];
        let running = sandbox.rehearsal(&flags).start();
        running.logs("softstop: replacing pod 1");
        let id = format!("softstop-rehearse-{}-", running.pid);
        let docker = |words: &[&str]| docker_says(words.iter().copied());
        let containers = || docker(&["ps", "--all", "--quiet", "--filter", &format!("name={id}")]);
        if isolation == "container" {
            assert_ne!(containers(), "", "the filter must find the containers of a running rehearsal");
        } else {
            assert!(!processes_with(&sandbox.temporary()).is_empty());
        }
        running.signal(libc::SIGTERM);
        let outcome = running.wait();
        outcome.code(3).logged("interrupted by SIGTERM");
        sandbox.assert_clean(&outcome.stderr);
        assert!(!sandbox.report().exists(), "an unfinished report");
        if isolation == "container" {
            assert_eq!(containers(), "");
            assert_eq!(docker(&["images", "--quiet", "--filter", &format!("reference={id}*")]), "");
        }
    }
}

#[test]
fn what_is_missing_is_reported_in_one_sentence() {
    let sandbox = Sandbox::new();
    for (flags, sentence) in [
        (&["--contender=tini"][..], "tini is not installed: install it, or leave it out of --contender"),
        (&["--in=container"], "no pod in a container: docker is not installed"),
        (&["--in=namespace"], "no pod in a PID namespace: unshare(1) of util-linux is missing"),
        (
            &[],
            "no pod can be started here, neither in a PID namespace (unshare(1) of util-linux is missing) nor in a container",
        ),
    ] {
        let outcome = sandbox.rehearsal(flags).env("PATH", "/nowhere").run();
        outcome.code(3).logged(sentence);
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
        assert!(!sandbox.report().exists());
        sandbox.assert_clean(&outcome.stderr);
    }
}

#[test]
fn wrong_usage_starts_nothing() {
    let sandbox = Sandbox::new();
    for (flags, remedy) in [
        (&["--sweep=pre-delay"][..], "write it as SETTING=FROM..TO:STEP"),
        (&["--sweep=grace=1s..2s:1s"], "only pre-delay, drain-timeout, lag"),
        (&["--sweep=lag=1s..2h:1s"], "the maximum is 60"),
        (&["--pre-delay=20s"], "give a longer --grace-period"),
        (&["--slow=20s"], "give a longer --timeout"),
        (&["--contender=upstart"], "possible values: bare, tini, dumb-init, prestop, softstop"),
        (&["--contender=bare,bare"], "names bare twice"),
        (&["--pods=0"], "1..=20"),
        (&["--lag=500000000000y"], "the maximum is a week"),
        (&["--lag=fast"], "write it as 500ms, 5s or 1m 30s"),
        (&["--softstop=/nowhere/softstop"], "there is no program of that name"),
    ] {
        let outcome = sandbox.rehearsal(flags).run();
        outcome.code(2).logged(remedy);
        assert!(!sandbox.report().exists(), "{flags:?}");
    }
}

/// Writes an executable script.
fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_softstop_that_does_not_run_is_reported() {
    let sandbox = Sandbox::new();
    let broken = sandbox.directory.path().join("broken");
    script(&broken, "#!/nowhere/sh\n");
    let outcome = sandbox.rehearsal(&["--contender=softstop", &format!("--softstop={}", broken.display())]).run();
    outcome.code(3).logged("broken does not run");
}

#[test]
fn every_pod_has_the_same_limit_of_descriptors() {
    let sandbox = Sandbox::new();
    let wrapper = sandbox.directory.path().join("wrapper");
    let softstop = softstop_binary();
    script(&wrapper, &format!("#!/bin/sh\necho \"limit $(ulimit -Sn)\" >&2\nexec {softstop} \"$@\"\n"));
    let wrapper = format!("--softstop={}", wrapper.display());
    let flags = ["--embedded", "--in=namespace", "--contender=softstop", "--pods=1", "--updates=2", &*wrapper];
    let rehearsal = sandbox.rehearsal(&flags).through(["sh", "-c", "ulimit -Sn 300; exec \"$@\"", "sh"]);
    rehearsal.start().wait_at_most(LONGEST).code(0);
    // The first pod starts before the load, which needs a higher limit, and the second one during it.
    let limit = |pod: &str| {
        let log = fs::read_to_string(sandbox.report().join(format!("logs/softstop/{pod}.log"))).unwrap();
        log.lines().find(|line| line.starts_with("limit ")).unwrap().to_owned()
    };
    assert_eq!(limit("pod1"), limit("pod2"));
}

/// `cargo rehearse` means the current sources, and the init built as it ships.
#[test]
fn under_cargo_it_rehearses_the_softstop_that_cargo_builds() {
    let sandbox = Sandbox::new();
    let cargo = sandbox.directory.path().join("cargo");
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
    let report = format!("--output={}", sandbox.report().display());
    let rehearsal = || program(REHEARSE, ["local", "--contender=softstop", &report]).env("CARGO", &cargo);
    rehearsal().env("CARGO_MANIFEST_DIR", "/sources").run().code(3).logged("/built/softstop does not run");
    rehearsal().env("CARGO_MANIFEST_DIR", "/others").run().code(3).logged("softstop could not be built");
}
