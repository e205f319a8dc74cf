//! A small language for tests of the real binary: start it, wait for facts, signal it, look how it ended.
//!
//! Nothing here waits for time. [`eventually`] waits for a fact and gives up only after so long that the fact will never
//! come; that limit is a dead-man switch, not a measure.
#![allow(
    unsafe_code,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::must_use_candidate,
    clippy::missing_panics_doc,
    clippy::doc_markdown,
    reason = "a test ends where it is wrong"
)]
#![allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::return_self_not_must_use,
    reason = "no public interface"
)]
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::disallowed_methods, reason = "a test is no init: it may sleep, and waits for its own children")]

pub mod docker;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// After this long a fact will not come any more.
pub const DEAD_MAN: Duration = Duration::from_secs(60);

/// The binary under test.
pub const SOFTSTOP: &str = env!("CARGO_BIN_EXE_softstop");

/// The child that says what it finds and which signals it gets: `tests/fixtures/recorder.rs`.
pub fn recorder() -> PathBuf {
    let deps = std::env::current_exe().unwrap();
    let path = deps.parent().unwrap().parent().unwrap().join("examples/recorder");
    assert!(path.exists(), "{} is missing: run `cargo build --examples`", path.display());
    path
}

/// Waits for a fact.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < DEAD_MAN, "gave up waiting: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a tool is there that a test cannot do without. Where it is not the test is skipped, loudly; with
/// `SOFTSTOP_REQUIRE_ALL=1` it fails.
#[track_caller]
pub fn have(what: &str, found: bool) -> bool {
    let required = std::env::var_os("SOFTSTOP_REQUIRE_ALL").is_some_and(|value| !value.is_empty());
    assert!(found || !required, "{what} is missing, and SOFTSTOP_REQUIRE_ALL allows no skipped test");
    if !found {
        eprintln!("\n*** SKIPPED: {what} is missing ***\n");
    }
    found
}

/// Whether a program is in PATH or the directories of system programs.
pub fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    directories.map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// Whether a program can be found, by the rules of [`have`].
#[track_caller]
pub fn have_program(program: &str) -> bool {
    have(program, in_path(program).is_some())
}

pub fn is_root() -> bool {
    // SAFETY: asks only.
    unsafe { libc::geteuid() == 0 }
}

/// softstop with its arguments, not yet started.
pub struct Softstop {
    binary: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    is_pid_one: bool,
    directory: Option<PathBuf>,
    before: Vec<OsString>,
}

/// `softstop ARGUMENTS..`
pub fn softstop<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Softstop {
    program(SOFTSTOP, arguments)
}

/// Another program in softstop's place, as a negative control.
pub fn program<S: AsRef<OsStr>>(binary: impl AsRef<OsStr>, arguments: impl IntoIterator<Item = S>) -> Softstop {
    Softstop {
        binary: binary.as_ref().to_owned(),
        arguments: arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect(),
        environment: Vec::new(),
        is_pid_one: false,
        directory: None,
        before: Vec::new(),
    }
}

impl Softstop {
    /// As PID 1 of a PID namespace of its own, with a /proc of its own.
    pub fn pid_one(mut self) -> Self {
        self.is_pid_one = true;
        self
    }

    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    pub fn directory(mut self, directory: impl AsRef<Path>) -> Self {
        self.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// Through these words, which exec what follows: `env --ignore-signal=INT`, `strace -f -o FILE`.
    pub fn through<S: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.before.extend(words.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    /// The command that starts it. stdin is /dev/null; stdout and stderr are as `Command` has them.
    pub fn command(&self) -> Command {
        let mut words: Vec<OsString> = Vec::new();
        if self.is_pid_one {
            words.extend(unshare().iter().map(OsString::from));
        }
        words.extend(self.before.iter().cloned());
        words.push(self.binary.clone());
        words.extend(self.arguments.iter().cloned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null());
        command.env_remove("SOFTSTOP_REQUIRE_ALL").env_remove("RUST_BACKTRACE");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }

    pub fn start(self) -> Running {
        let mut command = self.command();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = Lines::of(child.stdout.take().unwrap());
        let stderr = Lines::of(child.stderr.take().unwrap());
        let started = i32::try_from(child.id()).unwrap();
        let pid = if self.is_pid_one { pid_one_of(started, &mut child) } else { started };
        Running { child, pid, stdout, stderr, ended: None }
    }

    /// Starts it and waits for its end.
    pub fn run(self) -> Outcome {
        self.start().wait()
    }
}

/// The words that make what follows PID 1. Root needs no user namespace, and a real server as root has no use for one.
pub fn unshare() -> &'static [&'static str] {
    if is_root() {
        &["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    } else {
        &["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]
    }
}

/// The pid, as we see it, of the PID 1 that `unshare` has forked; 0 where it was gone before we looked.
fn pid_one_of(unshare: i32, child: &mut Child) -> i32 {
    eventually("unshare forks", || {
        let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).unwrap_or_default();
        match children.split_ascii_whitespace().next() {
            Some(pid) => Some(pid.parse().unwrap()),
            None if child.try_wait().unwrap().is_some() => Some(0),
            None => None,
        }
    })
}

/// A softstop that runs. It is killed when this is dropped.
pub struct Running {
    child: Child,
    /// Its pid, as the test sees it.
    pub pid: i32,
    pub stdout: Lines,
    pub stderr: Lines,
    ended: Option<i32>,
}

impl Running {
    /// Sends softstop a signal: from outside its namespace, where it is PID 1.
    pub fn signal(&self, signal: i32) -> &Self {
        send(self.pid, signal);
        self
    }

    /// Waits until the app has written a line to stdout that is, or begins with, this.
    #[track_caller]
    pub fn says(&self, line: &str) -> String {
        self.stdout.wait(line)
    }

    /// Waits until softstop has logged a line that holds this.
    #[track_caller]
    pub fn logs(&self, part: &str) -> String {
        self.stderr.wait_containing(part)
    }

    /// The children of softstop, by pid as we see it.
    pub fn children(&self) -> Vec<i32> {
        children(self.pid)
    }

    /// The exit code, once there is one.
    pub fn ended(&mut self) -> Option<i32> {
        if self.ended.is_none() {
            let status = self.child.try_wait().unwrap();
            self.ended = status.map(|status| status.code().unwrap_or_else(|| 128 + status.signal().unwrap()));
        }
        self.ended
    }

    /// Waits for the end.
    #[track_caller]
    pub fn wait(mut self) -> Outcome {
        let start = Instant::now();
        let code = loop {
            if let Some(code) = self.ended() {
                break code;
            }
            let said = (self.stdout.all(), self.stderr.all());
            assert!(start.elapsed() < DEAD_MAN, "it never ended; stdout and stderr: {said:?}");
            thread::sleep(Duration::from_millis(2));
        };
        Outcome { code, stdout: self.stdout.to_the_end(), stderr: self.stderr.to_the_end() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        if self.pid > 0 && self.ended.is_none() {
            send(self.pid, libc::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

/// How it ended.
#[derive(Debug)]
pub struct Outcome {
    /// As a shell counts: 128+n where softstop itself was ended by signal n.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    #[track_caller]
    pub fn code(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    #[track_caller]
    pub fn logged(&self, part: &str) -> &Self {
        assert!(self.stderr.contains(part), "no {part:?} in {self:?}");
        self
    }

    #[track_caller]
    pub fn not_logged(&self, part: &str) -> &Self {
        assert!(!self.stderr.contains(part), "{part:?} in {self:?}");
        self
    }
}

/// kill(2), where that the process is gone is no error.
pub fn send(pid: i32, signal: i32) {
    assert!(pid > 0, "there is no process to signal");
    // SAFETY: takes two integers.
    unsafe { libc::kill(pid, signal) };
}

pub fn children(pid: i32) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_ascii_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// The state letter of a process, if it is there.
pub fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// The lines that a stream has brought so far.
#[derive(Clone)]
pub struct Lines(Arc<(Mutex<Read>, Condvar)>);

#[derive(Default)]
struct Read {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    pub fn of(stream: impl std::io::Read + Send + 'static) -> Self {
        let lines = Self(Arc::default());
        let written = lines.clone();
        thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            // A pty's end is an error (EIO).
            while stream.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
                written.0.0.lock().unwrap().lines.push(text);
                written.0.1.notify_all();
                line.clear();
            }
            written.0.0.lock().unwrap().ended = true;
            written.0.1.notify_all();
        });
        lines
    }

    pub fn all(&self) -> Vec<String> {
        self.0.0.lock().unwrap().lines.clone()
    }

    /// Waits for a line that begins with this.
    #[track_caller]
    pub fn wait(&self, beginning: &str) -> String {
        self.wait_for(&format!("a line {beginning:?}"), |line| line.starts_with(beginning))
    }

    #[track_caller]
    pub fn wait_containing(&self, part: &str) -> String {
        self.wait_for(&format!("a line with {part:?}"), |line| line.contains(part))
    }

    #[track_caller]
    pub fn wait_for(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        let mut read = self.0.0.lock().unwrap();
        loop {
            if let Some(line) = read.lines.iter().find(|line| is_it(line)) {
                return line.clone();
            }
            let over = read.ended || start.elapsed() > DEAD_MAN;
            assert!(
                !over,
                "{what} never came (stream {}), only {:?}",
                if read.ended { "ended" } else { "open" },
                read.lines
            );
            read = self.0.1.wait_timeout(read, Duration::from_millis(500)).unwrap().0;
        }
    }

    /// Everything, once the stream has ended. Somebody who outlives softstop may hold it open: then all so far.
    pub fn to_the_end(&self) -> String {
        let start = Instant::now();
        let mut read = self.0.0.lock().unwrap();
        while !read.ended && start.elapsed() < Duration::from_secs(2) {
            read = self.0.1.wait_timeout(read, Duration::from_millis(50)).unwrap().0;
        }
        read.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }
}
