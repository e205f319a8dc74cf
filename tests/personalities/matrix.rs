//! A case of the matrix: how an init is started, what is done to it, and what is seen of it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::differences::DIFFERENCES;
use super::scene::{Front, Scene, within};
use common::docker::{have_engine, static_softstop};
use common::*;

/// The binary under test.
const SOFTSTOP: &str = env!("CARGO_BIN_EXE_softstop");

/// After this long a fact is one that does not come. An init that is in the wrong costs this long; one in the right never.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A fact that need not be true at once has this long; what is seen by then is what is compared.
pub(crate) const SETTLES: Duration = Duration::from_secs(3);

/// The signal behind each signal of [`Step::Each`], which shows that the one before it has been dealt with: the kernel
/// hands out the lowest number first.
pub(crate) const MARKER: i32 = 64;

/// What the tests' own environment must not bring in.
const VARIABLES: [&str; 9] = [
    "TINI_VERBOSITY",
    "TINI_SUBREAPER",
    "TINI_KILL_PROCESS_GROUP",
    "DUMB_INIT_DEBUG",
    "DUMB_INIT_SETSID",
    "CATATONIT_DEBUG",
    "CATATONIT_LOG",
    "POSIXLY_CORRECT",
    "LISTEN_PID",
];

/// Where the init stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// PID 1 of a namespace, at pipes.
    PidOne,
    /// Any process, at pipes.
    Wrapper,
    /// At a terminal, whose session it leads: how `script` starts it.
    Leader,
    /// The same as PID 1, as `docker run -it` starts it.
    Docker,
}

/// What is done to it, step by step.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Waits for a line of the child's that begins with this (at a terminal: holds this).
    Hear(&'static str),
    /// Sends the init a signal from outside, and waits until it has taken it.
    Send(i32),
    /// Sends the main child a signal.
    SendChild(i32),
    /// Sends the init each of these in turn, and notes what the child gets and whether somebody stops.
    Each(Vec<i32>),
    /// Types keys at the terminal.
    Type(&'static str),
    /// Hangs up the terminal.
    HangUp,
    /// Notes what is so, and waits a little for it to be as the original has it.
    Note(Fact, &'static str),
}

/// What can be seen of an init and its child from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fact {
    /// The state letter of the init.
    Init,
    /// The state letter of the main child.
    Child,
    /// Whose process group the main child is in.
    Group,
    /// Whose session the main child is in.
    Session,
    /// Whose process group has the terminal's foreground.
    Foreground,
    /// The working directory of the init.
    Directory,
    /// Whether the init has descriptor 9 open.
    Nine,
    /// How many children the init has.
    Children,
    /// How many of them nobody has reaped.
    Zombies,
}

/// A row of the matrix.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// The name it is called by.
    pub(crate) name: &'static str,
    program: &'static str,
    pub(crate) words: Vec<String>,
    pub(crate) environment: Vec<(&'static str, &'static str)>,
    pub(crate) stage: Stage,
    pub(crate) through: Vec<String>,
    pub(crate) redirections: &'static str,
    steps: Vec<Step>,
    whole_log: bool,
    /// Whether the C library may look for options behind the program's name.
    pub(crate) permutes: bool,
    /// Whether the original never ends, so that nobody need wait for it for long.
    original_hangs: bool,
}

/// An init under this name as PID 1, with these words, which single quotes hold together.
///
/// Where no `--` stands among the words, `POSIXLY_CORRECT` says where the options end: softstop needs no telling, see
/// [`Case::permuted`].
pub(crate) fn called(name: &'static str, words: &str) -> Case {
    Case {
        name,
        program: name,
        words: split(words),
        environment: Vec::new(),
        stage: Stage::PidOne,
        through: Vec::new(),
        redirections: "",
        steps: Vec::new(),
        whole_log: false,
        permutes: false,
        original_hangs: false,
    }
}

/// As a shell splits them, with single quotes only.
fn split(line: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), None::<String>, false);
    for letter in line.chars() {
        match letter {
            '\'' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            ' ' if !is_quoted => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    assert!(!is_quoted, "a quote is open in {line}");
    words.extend(word);
    words
}

impl Case {
    pub(crate) fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }

    pub(crate) fn wrapper(self) -> Self {
        self.on(Stage::Wrapper)
    }

    pub(crate) fn on(mut self, stage: Stage) -> Self {
        self.stage = stage;
        self
    }

    /// Through words that exec what follows.
    pub(crate) fn through(mut self, words: &str) -> Self {
        self.through = split(words);
        self
    }

    pub(crate) fn redirected(mut self, redirections: &'static str) -> Self {
        self.redirections = redirections;
        self
    }

    pub(crate) fn steps(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.steps.extend(steps);
        self
    }

    /// Waits for the recorder and sends this.
    pub(crate) fn stopped_by(self, signal: i32) -> Self {
        self.steps([Step::Hear("ready"), Step::Send(signal)])
    }

    /// As most people call it: the C library may take the command's options for the init's.
    pub(crate) fn permuted(mut self) -> Self {
        self.permutes = true;
        self
    }

    /// The original does not come to an end here.
    pub(crate) fn original_hangs(mut self) -> Self {
        self.original_hangs = true;
        self
    }

    /// Compares every line of the log, not only the first of stderr.
    pub(crate) fn whole_log(mut self) -> Self {
        self.whole_log = true;
        self
    }

    /// Starts another program, which then starts the init.
    pub(crate) fn instead(mut self, program: &'static str) -> Self {
        self.program = program;
        self
    }

    /// How a person would say it.
    pub(crate) fn title(&self) -> String {
        let environment = self.environment.iter().map(|(name, value)| format!("{name}='{value}'"));
        let quote =
            |word: &String| if word.is_empty() || word.contains(' ') { format!("'{word}'") } else { word.clone() };
        let words = self.through.iter().map(quote).chain(environment).chain([self.program.to_owned()]);
        let words: Vec<String> = words.chain(self.words.iter().map(quote)).collect();
        let mut how = format!("{:?}", self.stage);
        how += if self.redirections.is_empty() { "" } else { ", redirected" };
        how += if self.permutes { ", permuted" } else { "" };
        format!("{} [{how}]", words.join(" "))
    }

    /// Starts it on this bench, does the steps, and says what was seen.
    fn observe(&self, bench: &Bench) -> Observation {
        let mut init = program(self.program, &self.words).directory(&bench.directory);
        let path = std::env::var("PATH").unwrap_or_default();
        init = init.env("PATH", format!("{}:{path}:/usr/sbin:/sbin", bench.programs.display())).env("LC_ALL", "C");
        init = VARIABLES.iter().fold(init, Softstop::without);
        let options_end = self.words.iter().take_while(|word| word.starts_with('-')).any(|word| word == "--");
        if !self.permutes && !options_end {
            init = init.env("POSIXLY_CORRECT", "1");
        }
        init = self.environment.iter().fold(init, |init, (name, value)| init.env(name, value));
        let at_terminal = matches!(self.stage, Stage::Leader | Stage::Docker);
        if self.stage == Stage::Docker {
            init = init.through(["setsid", "--ctty"]);
        }
        init = init.through(&self.through);
        if !self.redirections.is_empty() {
            init = init.redirected(self.redirections);
        }
        if matches!(self.stage, Stage::PidOne | Stage::Docker) {
            init = init.pid_one();
        }
        let mut scene = if at_terminal {
            let terminal = Terminal::start(&mut init.command());
            let pid = if self.stage == Stage::Docker { pid_one_behind(terminal.pid) } else { terminal.pid };
            Scene::new(Front::Terminal(terminal), pid)
        } else {
            let running = init.start();
            let pid = running.pid;
            Scene::new(Front::Pipes(running), pid)
        };
        let mut seen = BTreeMap::new();
        let mut code = None;
        for (number, step) in self.steps.iter().enumerate() {
            if let Err(never) = scene.act(step, number, &mut seen) {
                seen.insert("script".to_owned(), never);
                code = Some("it was not waited for".to_owned());
                break;
            }
        }
        let code = code.unwrap_or_else(|| {
            let patience = if self.original_hangs { SETTLES } else { PATIENCE };
            within(patience, || scene.ended()).map_or("it never ended".to_owned(), |code| code.to_string())
        });
        if scene.ended.is_none() {
            // Nobody is to hold the streams open.
            descendants(scene.init).into_iter().chain([scene.init]).for_each(|pid| send(pid, libc::SIGKILL));
        }
        seen.insert("code".to_owned(), code);
        if at_terminal || self.stage == Stage::Wrapper {
            drop(scene.second.take()); // holds the streams open
        }
        self.read(scene, bench, &mut seen);
        seen
    }

    /// What was written, sorted into what can be compared.
    fn read(&self, scene: Scene, bench: &Bench, seen: &mut Observation) {
        let pid = match self.stage {
            Stage::PidOne | Stage::Docker => 1,
            Stage::Wrapper | Stage::Leader => scene.init,
        };
        let directory = bench.directory.display().to_string();
        let tidy = |text: String| text.replace('\r', "").replace(&directory, "DIRECTORY");
        let (stdout, stderr) = match scene.front {
            Front::Pipes(running) => (tidy(running.stdout.to_the_end()), tidy(running.stderr.to_the_end())),
            // What else is on a screen is for the steps to hear.
            Front::Terminal(terminal) => {
                let text = terminal.text_to_the_end();
                let without_echo = |line: &'_ str| line.replace("^C", "").replace("^\\", "");
                let got: Vec<String> = text.lines().map(without_echo).filter(|line| line.starts_with("got ")).collect();
                seen.insert("got".to_owned(), got.join(" "));
                return;
            }
        };
        let signals_apart = self.steps.iter().any(|step| matches!(step, Step::Each(_)));
        let mut rest = String::new();
        for line in stdout.lines() {
            match line.strip_prefix("found ").and_then(|found| found.split_once(' ')) {
                Some(("pid", place)) => drop(seen.insert("found place".to_owned(), place_of(place))),
                Some((what, value)) => drop(seen.insert(format!("found {what}"), value.to_owned())),
                // These were noted signal by signal, or as the second's.
                None if line.starts_with("second: ") || signals_apart && line.starts_with("got ") => {}
                None => rest = rest + &without_pids(line, pid) + "\n",
            }
        }
        // Behind signals that were noted one by one its end is nobody's affair.
        if !signals_apart && stdout.contains("second: ready") {
            let second: Vec<&str> = stdout.lines().filter_map(|line| line.strip_prefix("second: got ")).collect();
            seen.insert("second".to_owned(), second.join(" "));
        }
        seen.insert("stdout".to_owned(), rest);
        // Said when the test ends what did not end by itself.
        let stderr: String =
            stderr.lines().filter(|line| !line.starts_with("unshare: ")).flat_map(|line| [line, "\n"]).collect();
        if self.environment.iter().any(|(name, _)| *name == "CATATONIT_DEBUG") {
            // catatonit and its child write a line each in several pieces, through each other.
            let said = CATATONITS.iter().filter(|phrase| stderr.contains(*phrase)).copied();
            seen.insert("log".to_owned(), said.collect::<Vec<_>>().join("\n"));
            return;
        }
        if self.whole_log {
            let all = stdout.lines().filter(|line| line.starts_with('[')).chain(stderr.lines());
            // That one comes is a matter of who looks first: another signal's wake-up may find the child gone.
            let all = all.filter(|line| !line.ends_with("Received SIGCHLD") && !line.ends_with("Received signal 17."));
            let mut lines: Vec<String> = all.map(|line| without_pids(line, pid)).collect();
            lines.sort();
            lines.dedup();
            seen.insert("log".to_owned(), lines.join("\n"));
        }
        seen.insert("stderr".to_owned(), without_pids(stderr.lines().next().unwrap_or_default(), pid));
    }
}

/// What catatonit says and people look for.
const CATATONITS: [&str; 9] = [
    ") spawned: true",
    ") spawned: sh",
    ") spawned: recorder",
    "exited with code",
    "exited due to signal",
    "failed to exec pid1: No such file or directory",
    "missing program name",
    "invalid option",
    "CATATONIT_LOG is reserved for future use",
];

/// What was seen, by aspect.
pub(crate) type Observation = BTreeMap<String, String>;

/// `2 group 2 session 0`, as the recorder has it, as a relation.
fn place_of(found: &str) -> String {
    let words: Vec<&str> = found.split(' ').collect();
    let [pid, "group", group, "session", session] = words[..] else { return found.to_owned() };
    let of = |number: &str| if number == pid { "its own" } else { "another's" };
    format!("group: {}, session: {}", of(group), of(session))
}

/// Process numbers of no meaning become a word; that of the init another one.
fn without_pids(line: &str, init: i32) -> String {
    const BEFORE: [&str; 9] =
        ["tini (", "(catatonit:", "pid '", "pid: '", "pid=", "PID ", "pid1 (", "child process ", "spawned: pid "];
    let mut line = line.to_owned();
    for before in BEFORE {
        let mut from = 0;
        while let Some(at) = line[from..].find(before).map(|at| from + at + before.len()) {
            let digits = line[at..].bytes().take_while(u8::is_ascii_digit).count();
            // "not running as PID 1" is no process number.
            if digits > 0 && !line[at + digits..].starts_with(" and isn't") {
                let word = if line[at..at + digits] == init.to_string() { "INIT" } else { "N" };
                line.replace_range(at..at + digits, word);
            }
            from = at;
        }
    }
    line
}

/// A directory with programs that are called as the real ones are, and what the cases find beside them.
pub(crate) struct Bench {
    programs: PathBuf,
    directory: PathBuf,
}

impl Bench {
    pub(crate) fn new(parent: &TempDir, name: &str, names: &[&'static str], init: &Path) -> Self {
        let directory = parent.path().join(name);
        let programs = directory.join("programs");
        fs::create_dir_all(&programs).unwrap();
        for name in names {
            symlink(init, programs.join(name)).unwrap();
        }
        symlink(recorder(), programs.join("recorder")).unwrap();
        let bench = Self { programs, directory: directory.canonicalize().unwrap() };
        bench.file("not-executable", "#!/bin/sh\n", 0o644);
        bench.file("no-interpreter-named", "echo run as a script by $0 with $1; exit 3\n", 0o755);
        bench.file("interpreter-missing", "#!/no/such/interpreter\n", 0o755);
        bench.file("script", "#!/bin/sh\necho \"script $1\"; exit 4\n", 0o755);
        bench.file("no-program", "\u{7f}ELF\u{1}\u{1}\u{1}and no more", 0o755);
        bench.file("empty", "", 0o755);
        bench
    }

    fn file(&self, name: &str, text: &str, mode: u32) {
        fs::write(self.directory.join(name), text).unwrap();
        fs::set_permissions(self.directory.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
}

impl Drop for Bench {
    /// A child may outlive its init, but not its bench: whoever stands in the directory is of a case.
    fn drop(&mut self) {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        for pid in processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
            if fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(&self.directory)) {
                send(pid, libc::SIGKILL);
            }
        }
    }
}

/// What was seen of the original and of softstop in its place, where that is not the same.
pub(crate) struct Seen<'a> {
    pub(crate) case: &'a Case,
    pub(crate) aspect: &'a str,
    /// The original's.
    pub(crate) theirs: &'a str,
    /// softstop's.
    pub(crate) ours: &'a str,
}

/// Something that softstop does otherwise, on purpose.
pub(crate) struct Difference {
    /// Whose way it is: `tini`, `dumb-init`, `catatonit`.
    pub(crate) peers: &'static [&'static str],
    /// What it is about.
    pub(crate) what: &'static str,
    /// What the original does.
    pub(crate) theirs: &'static str,
    /// What softstop does.
    pub(crate) ours: &'static str,
    /// Why.
    pub(crate) reason: &'static str,
    /// Whether this is it.
    pub(crate) is_it: fn(&Seen<'_>) -> bool,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}; softstop: {}. {}", self.what, self.theirs, self.ours, self.reason)
    }
}

/// Whose way a name stands for.
pub(crate) fn peer_of(name: &str) -> &'static str {
    match name {
        "tini" | "tini-static" | "docker-init" => "tini",
        "dumb-init" => "dumb-init",
        "catatonit" | "podman-init" => "catatonit",
        other => panic!("{other} is no init"),
    }
}

/// Compares two observations of a case. Says what differs and is not on the list; `used` counts what is.
fn judge(
    case: &Case,
    theirs: &Observation,
    ours: &Observation,
    list: &[Difference],
    used: &[AtomicUsize],
) -> Vec<String> {
    let aspects: std::collections::BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    let mut failures = Vec::new();
    for aspect in aspects {
        let of = |observation: &Observation| observation.get(aspect).map_or("(not seen)".to_owned(), String::clone);
        let (theirs, ours) = (of(theirs), of(ours));
        if theirs == ours {
            continue;
        }
        let seen = Seen { case, aspect, theirs: &theirs, ours: &ours };
        let listed = list.iter().position(|known| known.peers.contains(&peer_of(case.name)) && (known.is_it)(&seen));
        match listed {
            Some(at) => drop(used[at].fetch_add(1, Ordering::Relaxed)),
            None => failures
                .push(format!("{}\n    {aspect}\n        theirs: {theirs:?}\n        ours:   {ours:?}", case.title())),
        }
    }
    failures
}

/// Runs the cases on both benches and says what is wrong: differences that are not on the list, and such on the list that
/// never occurred. `TEST_CASES=part of a title` picks cases, and shows what was seen of the originals.
pub(crate) fn compare(cases: &[Case], theirs: &Bench, ours: &Bench, list: &[Difference]) -> Vec<String> {
    let wanted = std::env::var("TEST_CASES").ok();
    let cases: Vec<&Case> =
        cases.iter().filter(|case| wanted.as_ref().is_none_or(|part| case.title().contains(part))).collect();
    let used: Vec<AtomicUsize> = list.iter().map(|_| AtomicUsize::new(0)).collect();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        // They mostly wait.
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let start = Instant::now();
                    let (original, replacement) = (case.observe(theirs), case.observe(ours));
                    if start.elapsed() > SETTLES {
                        eprintln!("took {:.1} s: {}", start.elapsed().as_secs_f32(), case.title());
                    }
                    if wanted.is_some() {
                        eprintln!("{}: {original:#?}", case.title());
                    }
                    let found = judge(case, &original, &replacement, list, &used);
                    failures.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    if let (Some(first), None) = (cases.first(), wanted) {
        let peer = peer_of(first.name);
        let mut of_peer = list.iter().zip(&used).filter(|(known, _)| known.peers.contains(&peer)).collect::<Vec<_>>();
        of_peer.retain(|(_, used)| used.load(Ordering::Relaxed) == 0);
        failures
            .extend(of_peer.iter().map(|(known, _)| format!("on the list, but it never occurred: {peer}: {known}")));
    }
    failures
}

/// The test: no difference between a peer and softstop under its names, but for those on the list.
#[track_caller]
pub(crate) fn is_its_peer(names: &[&'static str], real: &Path, cases: &[Case]) {
    is_in_the_place_of(names, real, Path::new(SOFTSTOP), cases);
    // What users run is linked with musl, whose words are not glibc's.
    if have_engine() {
        is_in_the_place_of(names, real, static_softstop(), cases);
    }
}

fn is_in_the_place_of(names: &[&'static str], real: &Path, softstop: &Path, cases: &[Case]) {
    let directory = tempfile::tempdir().unwrap();
    let theirs = Bench::new(&directory, "theirs", names, real);
    let ours = Bench::new(&directory, "ours", names, softstop);
    let start = Instant::now();
    let failures = compare(cases, &theirs, &ours, DIFFERENCES);
    eprintln!("{}: {} cases in {:.1} s", names[0], cases.len(), start.elapsed().as_secs_f32());
    let (name, count) = (softstop.display(), failures.len());
    assert!(failures.is_empty(), "{name}: {count} failures:\n{}", failures.join("\n"));
}
