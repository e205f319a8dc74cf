//! A case of the matrix: how an init is started, what is done to it, and what is observed.

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

use common::docker::{have_engine, static_softstop};
use common::*;

use super::differences::DIFFERENCES;
use super::subject::{Streams, Subject, within};

/// The binary under test.
const SOFTSTOP: &str = env!("CARGO_BIN_EXE_softstop");

/// How long to wait for what must happen. Only an init that misbehaves takes this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait for a [`Fact`] to have the expected value. The value after that time is the one that is compared.
pub(crate) const SETTLES: Duration = Duration::from_secs(3);

/// The signal that is sent after each signal of [`Step::Each`]. When it arrives, the one before it has been handled,
/// since the kernel delivers the lowest number first.
pub(crate) const MARKER: i32 = 64;

/// Variables that an init must not inherit from the test.
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

/// How the init is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartedAs {
    /// As PID 1 of a namespace, with pipes.
    PidOne,
    /// Not as PID 1, with pipes.
    Wrapper,
    /// At a terminal, as leader of its session, like `script`.
    SessionLeader,
    /// The same as PID 1, like `docker run -it`.
    DockerTty,
}

/// One step of a case.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Waits for a line of the child that begins with this (at a terminal: contains this).
    Hear(&'static str),
    /// Sends the init a signal from outside, and waits until it is no longer pending.
    Send(i32),
    /// Sends the main child a signal.
    SendChild(i32),
    /// Sends the init each of these signals in turn, and notes what the child gets and which process stops.
    Each(Vec<i32>),
    /// Types keys at the terminal.
    Type(&'static str),
    /// Hangs up the terminal.
    HangUp,
    /// Notes a fact, after waiting up to [`SETTLES`] for the value that the original has.
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
    /// Whose process group is in the foreground of the terminal.
    Foreground,
    /// The working directory of the init.
    Directory,
    /// Whether the init has descriptor 9 open.
    Nine,
    /// How many children the init has.
    Children,
    /// How many of them are zombies.
    Zombies,
}

/// A row of the matrix.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// The name that the init is called by.
    pub(crate) name: &'static str,
    program: &'static str,
    pub(crate) words: Vec<String>,
    pub(crate) environment: Vec<(&'static str, &'static str)>,
    pub(crate) started_as: StartedAs,
    pub(crate) through: Vec<String>,
    pub(crate) redirections: &'static str,
    steps: Vec<Step>,
    whole_log: bool,
    /// Whether the C library may look for options after the program's name (getopt permutes the arguments).
    pub(crate) permutes: bool,
    /// Whether the original never ends here, so that the test does not wait for it for long.
    original_hangs: bool,
}

/// An init of this name as PID 1 with these words. Single quotes group words.
///
/// If there is no `--` among the words, the case sets `POSIXLY_CORRECT`, so that the original stops looking for options
/// at the program's name as softstop always does; see [`Case::permuted`].
pub(crate) fn called(name: &'static str, words: &str) -> Case {
    Case {
        name,
        program: name,
        words: split(words),
        environment: Vec::new(),
        started_as: StartedAs::PidOne,
        through: Vec::new(),
        redirections: "",
        steps: Vec::new(),
        whole_log: false,
        permutes: false,
        original_hangs: false,
    }
}

/// Splits a line like a shell that knows single quotes only.
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
    assert!(!is_quoted, "{line} has an unclosed quote");
    words.extend(word);
    words
}

impl Case {
    pub(crate) fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }

    pub(crate) fn wrapper(self) -> Self {
        self.started_as(StartedAs::Wrapper)
    }

    pub(crate) fn started_as(mut self, started_as: StartedAs) -> Self {
        self.started_as = started_as;
        self
    }

    /// Runs the init through this command, which execs it.
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

    /// Waits for the recorder and sends the init this signal.
    pub(crate) fn stopped_by(self, signal: i32) -> Self {
        self.steps([Step::Hear("ready"), Step::Send(signal)])
    }

    /// Without `POSIXLY_CORRECT`, as most people call it: the original may take the command's options for its own.
    pub(crate) fn permuted(mut self) -> Self {
        self.permutes = true;
        self
    }

    /// The original never ends here.
    pub(crate) fn original_hangs(mut self) -> Self {
        self.original_hangs = true;
        self
    }

    /// Compares every line of the log, not only the first of stderr.
    pub(crate) fn whole_log(mut self) -> Self {
        self.whole_log = true;
        self
    }

    /// Starts this program, which then starts the init.
    pub(crate) fn instead(mut self, program: &'static str) -> Self {
        self.program = program;
        self
    }

    /// The command line of the case, as a person would write it.
    pub(crate) fn title(&self) -> String {
        let environment = self.environment.iter().map(|(name, value)| format!("{name}='{value}'"));
        let quote =
            |word: &String| if word.is_empty() || word.contains(' ') { format!("'{word}'") } else { word.clone() };
        let words = self.through.iter().map(quote).chain(environment).chain([self.program.to_owned()]);
        let words: Vec<String> = words.chain(self.words.iter().map(quote)).collect();
        let mut how = format!("{:?}", self.started_as);
        how += if self.redirections.is_empty() { "" } else { ", redirected" };
        how += if self.permutes { ", permuted" } else { "" };
        format!("{} [{how}]", words.join(" "))
    }

    /// Starts the init in this sandbox and runs the steps. Returns what was observed.
    fn observe(&self, sandbox: &Sandbox) -> Observation {
        let mut init = program(self.program, &self.words).directory(&sandbox.directory);
        let path = std::env::var("PATH").unwrap_or_default();
        init = init.env("PATH", format!("{}:{path}:/usr/sbin:/sbin", sandbox.programs.display())).env("LC_ALL", "C");
        init = VARIABLES.iter().fold(init, Softstop::without);
        let options_end = self.words.iter().take_while(|word| word.starts_with('-')).any(|word| word == "--");
        if !self.permutes && !options_end {
            init = init.env("POSIXLY_CORRECT", "1");
        }
        init = self.environment.iter().fold(init, |init, (name, value)| init.env(name, value));
        let at_terminal = matches!(self.started_as, StartedAs::SessionLeader | StartedAs::DockerTty);
        if self.started_as == StartedAs::DockerTty {
            init = init.through(["setsid", "--ctty"]);
        }
        init = init.through(&self.through);
        if !self.redirections.is_empty() {
            init = init.redirected(self.redirections);
        }
        if matches!(self.started_as, StartedAs::PidOne | StartedAs::DockerTty) {
            init = init.pid_one();
        }
        let mut subject = if at_terminal {
            let terminal = Terminal::start(&mut init.command());
            let pid = if self.started_as == StartedAs::DockerTty { pid_one_behind(terminal.pid) } else { terminal.pid };
            Subject::new(Streams::Terminal(terminal), pid)
        } else {
            let running = init.start();
            let pid = running.pid;
            Subject::new(Streams::Pipes(running), pid)
        };
        let mut seen = BTreeMap::new();
        let mut code = None;
        for (number, step) in self.steps.iter().enumerate() {
            if let Err(never) = subject.act(step, number, &mut seen) {
                seen.insert("script".to_owned(), never);
                code = Some("not awaited".to_owned());
                break;
            }
        }
        let code = code.unwrap_or_else(|| {
            let patience = if self.original_hangs { SETTLES } else { PATIENCE };
            within(patience, || subject.ended()).map_or("it did not end".to_owned(), |code| code.to_string())
        });
        if subject.ended.is_none() {
            // A process that holds the streams open would delay the test.
            descendants(subject.init).into_iter().chain([subject.init]).for_each(|pid| send(pid, libc::SIGKILL));
        }
        seen.insert("code".to_owned(), code);
        if at_terminal || self.started_as == StartedAs::Wrapper {
            drop(subject.second.take()); // kills it, since it holds the streams open
        }
        self.read(subject, sandbox, &mut seen);
        seen
    }

    /// Sorts the output of the init and its child by aspect, so that it can be compared.
    fn read(&self, subject: Subject, sandbox: &Sandbox, seen: &mut Observation) {
        let pid = match self.started_as {
            StartedAs::PidOne | StartedAs::DockerTty => 1,
            StartedAs::Wrapper | StartedAs::SessionLeader => subject.init,
        };
        let directory = sandbox.directory.display().to_string();
        let tidy = |text: String| text.replace('\r', "").replace(&directory, "DIRECTORY");
        let (stdout, stderr) = match subject.streams {
            Streams::Pipes(running) => (tidy(running.stdout.to_the_end()), tidy(running.stderr.to_the_end())),
            // Other text at a terminal is left to the steps.
            Streams::Terminal(terminal) => {
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
                // Noted signal by signal, or below as those of the second recorder.
                None if line.starts_with("second: ") || signals_apart && line.starts_with("got ") => {}
                None => rest = rest + &without_pids(line, pid) + "\n",
            }
        }
        // If signals were noted one by one, those at the end of the second recorder do not matter.
        if !signals_apart && stdout.contains("second: ready") {
            let second: Vec<&str> = stdout.lines().filter_map(|line| line.strip_prefix("second: got ")).collect();
            seen.insert("second".to_owned(), second.join(" "));
        }
        seen.insert("stdout".to_owned(), rest);
        // `unshare` prints a line when the test kills an init that did not end.
        let stderr: String =
            stderr.lines().filter(|line| !line.starts_with("unshare: ")).flat_map(|line| [line, "\n"]).collect();
        if self.environment.iter().any(|(name, _)| *name == "CATATONIT_DEBUG") {
            // catatonit and its child write their lines in several pieces, which may be interleaved.
            let said = CATATONITS.iter().filter(|phrase| stderr.contains(*phrase)).copied();
            seen.insert("log".to_owned(), said.collect::<Vec<_>>().join("\n"));
            return;
        }
        if self.whole_log {
            let all = stdout.lines().filter(|line| line.starts_with('[')).chain(stderr.lines());
            // Whether SIGCHLD is logged is a race: the wake-up for another signal may already reap the child.
            let all = all.filter(|line| !line.ends_with("Received SIGCHLD") && !line.ends_with("Received signal 17."));
            let mut lines: Vec<String> = all.map(|line| without_pids(line, pid)).collect();
            lines.sort();
            lines.dedup();
            seen.insert("log".to_owned(), lines.join("\n"));
        }
        seen.insert("stderr".to_owned(), without_pids(stderr.lines().next().unwrap_or_default(), pid));
    }
}

/// The parts of catatonit's log that users rely on.
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

/// What was observed, by aspect.
pub(crate) type Observation = BTreeMap<String, String>;

/// Turns pid, group and session from the recorder (`2 group 2 session 0`) into their relation.
fn place_of(found: &str) -> String {
    let words: Vec<&str> = found.split(' ').collect();
    let [pid, "group", group, "session", session] = words[..] else { return found.to_owned() };
    let of = |number: &str| if number == pid { "its own" } else { "another's" };
    format!("group: {}, session: {}", of(group), of(session))
}

/// Replaces the pid of the init by `INIT` and other pids by `N`.
fn without_pids(line: &str, init: i32) -> String {
    const BEFORE: [&str; 9] =
        ["tini (", "(catatonit:", "pid '", "pid: '", "pid=", "PID ", "pid1 (", "child process ", "spawned: pid "];
    let mut line = line.to_owned();
    for before in BEFORE {
        let mut from = 0;
        while let Some(at) = line[from..].find(before).map(|at| from + at + before.len()) {
            let digits = line[at..].bytes().take_while(u8::is_ascii_digit).count();
            // "not running as PID 1" has no pid to replace.
            if digits > 0 && !line[at + digits..].starts_with(" and isn't") {
                let word = if line[at..at + digits] == init.to_string() { "INIT" } else { "N" };
                line.replace_range(at..at + digits, word);
            }
            from = at;
        }
    }
    line
}

/// A directory with an init under the names of the real ones, and the files that the cases use.
pub(crate) struct Sandbox {
    programs: PathBuf,
    directory: PathBuf,
}

impl Sandbox {
    pub(crate) fn new(parent: &TempDir, name: &str, names: &[&'static str], init: &Path) -> Self {
        let directory = parent.path().join(name);
        let programs = directory.join("programs");
        fs::create_dir_all(&programs).unwrap();
        for name in names {
            symlink(init, programs.join(name)).unwrap();
        }
        symlink(recorder(), programs.join("recorder")).unwrap();
        let sandbox = Self { programs, directory: directory.canonicalize().unwrap() };
        sandbox.file("not-executable", "#!/bin/sh\n", 0o644);
        sandbox.file("no-interpreter-named", "echo run as a script by $0 with $1; exit 3\n", 0o755);
        sandbox.file("interpreter-missing", "#!/no/such/interpreter\n", 0o755);
        sandbox.file("script", "#!/bin/sh\necho \"script $1\"; exit 4\n", 0o755);
        sandbox.file("no-program", "\u{7f}ELF\u{1}\u{1}\u{1}and no more", 0o755);
        sandbox.file("empty", "", 0o755);
        sandbox
    }

    fn file(&self, name: &str, text: &str, mode: u32) {
        fs::write(self.directory.join(name), text).unwrap();
        fs::set_permissions(self.directory.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
}

impl Drop for Sandbox {
    /// Kills children that have outlived their init. They have the sandbox as their working directory.
    fn drop(&mut self) {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        for pid in processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
            if fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(&self.directory)) {
                send(pid, libc::SIGKILL);
            }
        }
    }
}

/// A difference between what was observed of the original and of softstop in its place.
pub(crate) struct Seen<'a> {
    pub(crate) case: &'a Case,
    pub(crate) aspect: &'a str,
    /// What the original did.
    pub(crate) theirs: &'a str,
    /// What softstop did.
    pub(crate) ours: &'a str,
}

/// Something that softstop does differently on purpose.
pub(crate) struct Difference {
    /// From which inits it differs: `tini`, `dumb-init`, `catatonit`.
    pub(crate) peers: &'static [&'static str],
    /// What it is about.
    pub(crate) what: &'static str,
    /// What the original does.
    pub(crate) theirs: &'static str,
    /// What softstop does.
    pub(crate) ours: &'static str,
    /// Why.
    pub(crate) reason: &'static str,
    /// Whether an observed difference is this one.
    pub(crate) is_it: fn(&Seen<'_>) -> bool,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}; softstop: {}. {}", self.what, self.theirs, self.ours, self.reason)
    }
}

/// The init that a name stands for.
pub(crate) fn peer_of(name: &str) -> &'static str {
    match name {
        "tini" | "tini-static" | "docker-init" => "tini",
        "dumb-init" => "dumb-init",
        "catatonit" | "podman-init" => "catatonit",
        other => panic!("{other} is no init"),
    }
}

/// Compares two observations of a case. Returns the differences that are not listed. `used` counts those that are.
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

/// Runs the cases in both sandboxes. Returns the failures: differences that are not listed, and listed ones that did
/// not occur. `TEST_CASES=part of a title` selects cases, and prints what was observed of the originals.
pub(crate) fn compare(cases: &[Case], theirs: &Sandbox, ours: &Sandbox, list: &[Difference]) -> Vec<String> {
    let wanted = std::env::var("TEST_CASES").ok();
    let cases: Vec<&Case> =
        cases.iter().filter(|case| wanted.as_ref().is_none_or(|part| case.title().contains(part))).collect();
    let used: Vec<AtomicUsize> = list.iter().map(|_| AtomicUsize::new(0)).collect();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        // More threads than processors, since the cases mostly wait.
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
        failures.extend(of_peer.iter().map(|(known, _)| format!("listed, but it did not occur: {peer}: {known}")));
    }
    failures
}

/// Asserts that softstop under these names does not differ from the real init, except for the listed differences.
#[track_caller]
pub(crate) fn behaves_like(names: &[&'static str], real: &Path, cases: &[Case]) {
    assert_no_unlisted_difference(names, real, Path::new(SOFTSTOP), cases);
    // Users run the static binary, which is linked with musl. Its messages differ from those of glibc.
    if have_engine() {
        assert_no_unlisted_difference(names, real, static_softstop(), cases);
    }
}

fn assert_no_unlisted_difference(names: &[&'static str], real: &Path, softstop: &Path, cases: &[Case]) {
    let directory = tempfile::tempdir().unwrap();
    let theirs = Sandbox::new(&directory, "theirs", names, real);
    let ours = Sandbox::new(&directory, "ours", names, softstop);
    let start = Instant::now();
    let failures = compare(cases, &theirs, &ours, DIFFERENCES);
    eprintln!("{}: {} cases in {:.1} s", names[0], cases.len(), start.elapsed().as_secs_f32());
    let (name, count) = (softstop.display(), failures.len());
    assert!(failures.is_empty(), "{name}: {count} failures:\n{}", failures.join("\n"));
}
