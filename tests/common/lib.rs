//! Helpers for tests of the real binaries: start one, wait for something to happen, signal it, check how it ended.
//!
//! Tests of softstop and of its rehearsal share them. Nothing here sleeps for a fixed time: [`eventually`] waits for a condition,
//! and gives up only after a time so long that the condition will never hold.
#![allow(
    unsafe_code,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::must_use_candidate,
    clippy::missing_panics_doc,
    clippy::missing_errors_doc,
    clippy::new_without_default,
    clippy::doc_markdown,
    clippy::cast_precision_loss,
    reason = "a test may panic"
)]
#![allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::return_self_not_must_use,
    reason = "not a public interface"
)]
#![allow(clippy::disallowed_methods, reason = "a test is no init: it may sleep and wait for its own children")]

pub mod docker;
pub mod engine;
pub mod http;
pub mod namespace;
pub mod nginx;
pub mod peers;
#[path = "../thin_traffic/random.rs"]
pub mod random;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// After this time a condition is considered never to hold.
pub const DEAD_MAN: Duration = Duration::from_secs(60);

/// The variable that names the binary under test, where it is not the one beside the running test.
const BINARY: &str = "SOFTSTOP_BINARY";

/// The binary under test: what the variable `SOFTSTOP_BINARY` names, else the `softstop` in the build directory of the
/// running test. Cargo builds that one for the tests of the package `softstop` only, so the rehearsal's tests need it built
/// before: `tests/run` does it.
pub fn softstop_binary() -> &'static str {
    static FOUND: LazyLock<String> = LazyLock::new(|| {
        let named = std::env::var_os(BINARY).filter(|name| !name.is_empty()).map(PathBuf::from);
        let binary = named.unwrap_or_else(|| profile_directory().join("softstop"));
        assert!(
            binary.is_file(),
            "{} is missing: run `tests/run`, or `cargo build -p softstop`, or name it in {BINARY}",
            binary.display()
        );
        std::path::absolute(binary).unwrap().into_os_string().into_string().unwrap()
    });
    &FOUND
}

/// Where cargo puts what it builds with the running test's profile: `target/debug`. The test is in its `deps`.
pub fn profile_directory() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned()
}

/// `target/tmp`, where files stay that the next run of the tests can use.
pub fn target_tmpdir() -> PathBuf {
    let directory = profile_directory().with_file_name("tmp");
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// The root of the sources.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The names of the other inits that softstop replaces.
pub const OTHER_NAMES: [&str; 6] = ["tini", "tini-static", "docker-init", "dumb-init", "catatonit", "podman-init"];

/// A symbolic link to the binary under test, with another name.
pub fn called(name: &str) -> PathBuf {
    let binary = Path::new(softstop_binary());
    let directory = binary.parent().unwrap().join("called");
    fs::create_dir_all(&directory).unwrap();
    let link = directory.join(name);
    // If the build directory is a copy of another one, its links lead to the binary in the original.
    if fs::read_link(&link).ok().as_deref() != Some(binary) {
        // Create it under a unique name and rename it: another test may be using or replacing the old link.
        let fresh = directory.join(format!("{name}-{}-{:?}", std::process::id(), thread::current().id()));
        std::os::unix::fs::symlink(binary, &fresh).unwrap();
        fs::rename(&fresh, &link).unwrap();
    }
    link
}

/// The child that prints what it inherited and which signals it gets: `tests/fixtures/recorder.rs`.
pub fn recorder() -> PathBuf {
    fixture("recorder")
}

/// A program of `tests/fixtures`.
pub fn fixture(name: &str) -> PathBuf {
    let path = profile_directory().join("examples").join(name);
    assert!(path.exists(), "{} is missing: run `cargo build -p softstop --examples`", path.display());
    path
}

/// The command line of a recorder that only these signals end (`SIGNAL=CODE`); without any, SIGTERM does.
pub fn recorder_until(exits: &[&str]) -> Vec<String> {
    let mut words = vec![recorder().to_str().unwrap().to_owned()];
    words.extend(exits.iter().flat_map(|exit| ["--exit-on".to_owned(), (*exit).to_owned()]));
    words
}

/// The words that give the recorder a listening socket: a server on a public address, as far as softstop can tell.
pub const LISTENS: [&str; 2] = ["--listen", "0.0.0.0:0"];

/// The command line of a recorder that listens, and that only these signals end, for a script.
pub fn server_until(exits: &[&str]) -> String {
    [recorder_until(exits), LISTENS.map(str::to_owned).to_vec()].concat().join(" ")
}

/// Options followed by a command.
pub fn words<'a>(options: impl IntoIterator<Item = &'a str>, command: &[String]) -> Vec<String> {
    options.into_iter().map(str::to_owned).chain(command.iter().cloned()).collect()
}

/// Waits until `look` returns something.
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

/// Whether something that a test requires is there. If it is missing, prints that the test is skipped; with
/// `SOFTSTOP_REQUIRE_ALL=1` the test fails.
#[track_caller]
pub fn have(what: &str, found: bool) -> bool {
    let required = std::env::var_os("SOFTSTOP_REQUIRE_ALL").is_some_and(|value| !value.is_empty());
    assert!(found || !required, "{what} is missing, and SOFTSTOP_REQUIRE_ALL forbids skipping a test");
    if !found {
        eprintln!("\n*** SKIPPED: {what} is missing ***\n");
    }
    found
}

/// Finds a program in PATH or in the directories of system programs.
pub fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    directories.map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// [`have`] for a program.
#[track_caller]
pub fn have_program(program: &str) -> bool {
    have(program, in_path(program).is_some())
}

pub fn is_root() -> bool {
    // SAFETY: takes no argument and changes nothing.
    unsafe { libc::geteuid() == 0 }
}

/// softstop with its arguments, not yet started.
pub struct Softstop {
    binary: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, Option<OsString>)>,
    is_pid_one: bool,
    directory: Option<PathBuf>,
    before: Vec<OsString>,
    stdin: Option<Stdio>,
    stderr: Option<Stdio>,
}

/// `softstop ARGUMENTS..`
pub fn softstop<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Softstop {
    program(softstop_binary(), arguments)
}

/// softstop with these options and a script of sh.
pub fn softstop_script(options: &[&str], script: &str) -> Softstop {
    softstop(options.iter().copied().chain(["sh", "-c", script]))
}

/// Stops a recorder, which must be the main child and be ready, and kills it once it has its stop signal.
#[track_caller]
pub fn killed_in_the_stop(run: Running) -> Outcome {
    run.signal(libc::SIGTERM);
    run.says("got 15");
    send(run.child(), libc::SIGKILL);
    let outcome = run.wait();
    outcome.code(137);
    outcome
}

/// Another program in place of softstop, for example as a negative control.
pub fn program<S: AsRef<OsStr>>(binary: impl AsRef<OsStr>, arguments: impl IntoIterator<Item = S>) -> Softstop {
    Softstop {
        binary: binary.as_ref().to_owned(),
        arguments: arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect(),
        environment: Vec::new(),
        is_pid_one: false,
        directory: None,
        before: Vec::new(),
        stdin: None,
        stderr: None,
    }
}

impl Softstop {
    /// Starts it as PID 1 of a PID namespace of its own, with its own /proc.
    pub fn pid_one(mut self) -> Self {
        self.is_pid_one = true;
        self
    }

    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Removes a variable that this test may have inherited.
    pub fn without(mut self, name: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), None));
        self
    }

    pub fn directory(mut self, directory: impl AsRef<Path>) -> Self {
        self.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// Starts it through a program that executes the words after its own: `env --ignore-signal=INT`, `strace -f -o FILE`.
    pub fn through<S: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.before.extend(words.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    /// Applies redirections of the shell: `3>FILE`, `0<&-`.
    pub fn redirected(self, redirections: &str) -> Self {
        self.through(["sh", "-c", &format!("exec \"$@\" {redirections}"), "sh"])
    }

    /// Sets its stdin, which is otherwise /dev/null.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.stdin = Some(stdin.into());
        self
    }

    /// Sets its stderr. [`Running::logs`] then sees nothing.
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.stderr = Some(stderr.into());
        self
    }

    /// The command that starts it. stdin is /dev/null; stdout and stderr have the defaults of `Command`.
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
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        as_from_a_login(&mut command);
        command
    }

    pub fn start(mut self) -> Running {
        let mut command = self.command();
        if let Some(stdin) = self.stdin.take() {
            command.stdin(stdin);
        }
        command.stdout(Stdio::piped()).stderr(self.stderr.take().unwrap_or_else(Stdio::piped));
        let mut child = command.spawn().unwrap();
        drop(command); // it holds copies of the descriptors
        let stdout = Lines::of(child.stdout.take().unwrap());
        let stderr = child.stderr.take().map_or_else(|| Lines::of(std::io::empty()), Lines::of);
        let started = i32::try_from(child.id()).unwrap();
        let pid = if self.is_pid_one { pid_one_of(started, &mut child) } else { started };
        Running { child, pid, stdout, stderr, ended: None }
    }

    /// Starts it and waits until it has ended.
    pub fn run(self) -> Outcome {
        self.start().wait()
    }
}

/// Makes the command start with no signal ignored and with the standard descriptors only, whatever this test inherited.
///
/// glibc's posix_spawn(3), which started this test, ignores signals 32 and 33 in every child. glibc's `sigaction` rejects those
/// two, so this calls the kernel directly.
pub fn as_from_a_login(command: &mut Command) {
    let default_action = [0_u64; 4]; // a handler, flags, a restorer, a mask: SIG_DFL is 0
    // SAFETY: allocates nothing and takes no lock; the kernel reads 32 bytes, the size of the array.
    unsafe {
        command.pre_exec(move || {
            for signal in 1..=64 {
                libc::syscall(libc::SYS_rt_sigaction, signal, default_action.as_ptr(), std::ptr::null::<u8>(), 8);
            }
            // Close-on-exec rather than closed: the standard library reports a failed exec on one of them.
            libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
            Ok(())
        });
    }
}

/// The words that make the program after them PID 1. Root needs no user namespace, and a server that is started as root
/// should not run in one.
pub fn unshare() -> &'static [&'static str] {
    if is_root() {
        &["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    } else {
        &["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]
    }
}

/// The pid in our namespace of the PID 1 that `unshare` has forked.
#[track_caller]
pub fn pid_one_behind(unshare: i32) -> i32 {
    eventually("unshare forks", || children(unshare).first().copied())
}

/// The pid in our namespace of the PID 1 that `unshare` has forked; 0 if it ended before it was seen.
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

/// A running softstop. It is killed when this is dropped.
pub struct Running {
    child: Child,
    /// Its pid in the namespace of the test.
    pub pid: i32,
    pub stdout: Lines,
    pub stderr: Lines,
    ended: Option<i32>,
}

impl Running {
    /// Sends softstop a signal, from outside its namespace if it is PID 1.
    pub fn signal(&self, signal: i32) -> &Self {
        send(self.pid, signal);
        self
    }

    /// Waits until the app has written a line that begins with this to stdout.
    #[track_caller]
    pub fn says(&self, line: &str) -> String {
        self.stdout.wait(line)
    }

    /// Waits until the app has written this line so many times.
    #[track_caller]
    pub fn says_times(&self, line: &str, times: usize) {
        self.stdout.wait_times(line, times);
    }

    /// Waits until softstop has logged a line that contains this.
    #[track_caller]
    pub fn logs(&self, part: &str) -> String {
        self.stderr.wait_containing(part)
    }

    /// The pids of the children of softstop, in our namespace.
    pub fn children(&self) -> Vec<i32> {
        children(self.pid)
    }

    /// The main child: the first child of softstop.
    #[track_caller]
    pub fn child(&self) -> i32 {
        eventually("softstop has a child", || self.children().first().copied())
    }

    /// The pid, in our namespace, of the descendant with this name.
    #[track_caller]
    pub fn descendant(&self, name: &str) -> i32 {
        let is_it = |pid: &i32| has_name(*pid, name);
        eventually(&format!("{name} runs"), || descendants(self.pid).into_iter().find(is_it))
    }

    /// Waits until softstop has blocked all signals. From then on none is lost.
    #[track_caller]
    pub fn listens(&self) -> &Self {
        eventually("softstop blocks signals", || {
            // All signals except KILL and STOP, which cannot be blocked.
            (status(self.pid, "SigBlk")? == 0xffff_ffff_fffb_feff).then_some(())
        });
        self
    }

    /// Waits until softstop has read this signal, so that it is no longer pending.
    #[track_caller]
    pub fn takes(&self, signal: i32) {
        eventually("softstop takes the signal", || {
            (status(self.pid, "ShdPnd").unwrap_or(0) & 1 << (signal - 1) == 0).then_some(())
        });
    }

    /// Whether it has not ended yet.
    pub fn is_running(&self) -> bool {
        state(self.pid).is_some_and(|state| state != 'Z')
    }

    /// The number of its children that have ended and are not reaped yet.
    pub fn zombies(&self) -> usize {
        self.children().into_iter().filter(|&pid| state(pid) == Some('Z')).count()
    }

    /// The exit code, once it has ended.
    pub fn ended(&mut self) -> Option<i32> {
        if self.ended.is_none() {
            let status = self.child.try_wait().unwrap();
            self.ended = status.map(|status| status.code().unwrap_or_else(|| 128 + status.signal().unwrap()));
        }
        self.ended
    }

    /// Sends SIGTERM and waits until it has ended. Returns how long that took, and how it ended.
    #[track_caller]
    pub fn stopped(self) -> (Duration, Outcome) {
        let asked = Instant::now();
        self.signal(libc::SIGTERM);
        let outcome = self.wait();
        (asked.elapsed(), outcome)
    }

    /// Waits until it has ended.
    #[track_caller]
    pub fn wait(self) -> Outcome {
        self.wait_at_most(DEAD_MAN)
    }

    /// The same with another time limit.
    #[track_caller]
    pub fn wait_at_most(mut self, limit: Duration) -> Outcome {
        let start = Instant::now();
        let code = loop {
            if let Some(code) = self.ended() {
                break code;
            }
            let said = (self.stdout.all(), self.stderr.all());
            assert!(start.elapsed() < limit, "it has not ended; stdout and stderr: {said:?}");
            thread::sleep(Duration::from_millis(2));
        };
        Outcome { code, stdout: self.stdout.to_the_end(), stderr: self.stderr.to_the_end() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.pid > 0 && self.ended.is_none() {
            // Its descendants outlive it unless it is PID 1.
            for pid in descendants(self.pid).into_iter().chain([self.pid]) {
                send(pid, libc::SIGKILL);
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How it ended.
#[derive(Debug)]
pub struct Outcome {
    /// As a shell reports it: 128+n if signal n ended softstop itself.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// The signals that a recorder without a name has received, in order.
    pub fn got(&self) -> Vec<i32> {
        self.stdout.lines().filter_map(|line| line.strip_prefix("got ")?.parse().ok()).collect()
    }

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

/// kill(2). It is no error if the process no longer exists.
pub fn send(pid: i32, signal: i32) {
    assert!(pid > 0, "there is no process to signal");
    // SAFETY: takes two integers.
    unsafe { libc::kill(pid, signal) };
}

pub fn children(pid: i32) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_ascii_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// Children, their children, and so on.
pub fn descendants(pid: i32) -> Vec<i32> {
    let children = children(pid);
    let further: Vec<i32> = children.iter().copied().flat_map(descendants).collect();
    children.into_iter().chain(further).collect()
}

/// The state letter of a process, if it exists.
pub fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Whether this is a process's name: `/proc/PID/comm`.
pub fn has_name(pid: i32, name: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == name)
}

/// A set of signals from `/proc/PID/status`: `SigBlk`, `ShdPnd`, ..
pub fn status(pid: i32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(":\t"))?;
    Some(u64::from_str_radix(value, 16).unwrap())
}

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub struct Stray(pub i32);

impl Stray {
    pub fn is_alive(&self) -> bool {
        state(self.0).is_some_and(|state| state != 'Z')
    }
}

impl Drop for Stray {
    fn drop(&mut self) {
        send(self.0, libc::SIGKILL);
    }
}

/// Writes a program that every user may run. Another process writes it: if this one did, a thread that forks meanwhile would hold
/// the file open for writing, and it could not be executed (ETXTBSY).
pub fn install(path: &Path, content: impl AsRef<[u8]>) {
    let mut command = Command::new("sh");
    command.args(["-c", "cat >\"$0\" && chmod 755 \"$0\""]).arg(path).stdin(Stdio::piped());
    let mut writer = command.spawn().unwrap();
    std::io::Write::write_all(&mut writer.stdin.take().unwrap(), content.as_ref()).unwrap();
    assert!(writer.wait().unwrap().success());
}

/// Creates a named pipe, which redirections of the shell can open.
pub fn make_fifo(path: &Path) {
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: the pointer is to a C string that outlives the call.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
}

/// Waits until a process has ended; it may be a zombie.
#[track_caller]
pub fn gone(pid: i32) {
    eventually("the process ends", || state(pid).is_none_or(|state| state == 'Z').then_some(()));
}

/// The lines read from a stream so far.
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
            // The end of a pty is an error (EIO).
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
                "{what} did not come (stream {}), only {:?}",
                if read.ended { "ended" } else { "open" },
                read.lines
            );
            read = self.0.1.wait_timeout(read, Duration::from_millis(500)).unwrap().0;
        }
    }

    #[track_caller]
    pub fn wait_times(&self, line: &str, times: usize) {
        let count = || self.all().iter().filter(|said| *said == line).count();
        eventually(&format!("{line:?} {times} times"), || (count() >= times).then_some(()));
    }

    /// All lines, once the stream has ended. If a process that outlives softstop holds it open, all lines after two seconds.
    pub fn to_the_end(&self) -> String {
        let start = Instant::now();
        let mut read = self.0.0.lock().unwrap();
        while !read.ended && start.elapsed() < Duration::from_secs(2) {
            read = self.0.1.wait_timeout(read, Duration::from_millis(50)).unwrap().0;
        }
        read.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }
}

/// A terminal with a session, and its user.
#[derive(Debug)]
pub struct Terminal {
    /// The master side, and a pipe whose closing makes the reading thread release its copy. None once the line is hung up.
    line: Option<(fs::File, fs::File)>,
    screen: Arc<(Mutex<Screen>, Condvar)>,
    child: Child,
    /// The pid of the session leader.
    pub pid: i32,
}

#[derive(Debug, Default)]
struct Screen {
    text: String,
    /// How much of it `shows` has consumed.
    seen: usize,
    /// Whether the terminal has been closed.
    ended: bool,
}

impl Terminal {
    /// Starts the command as the leader of a session with this controlling terminal, in the foreground.
    pub fn start(command: &mut Command) -> Self {
        let (master, slave) = open_pty();
        let stdio = || Stdio::from(slave.try_clone().unwrap());
        command.stdin(stdio()).stdout(stdio()).stderr(stdio()).env("TERM", "dumb");
        // SAFETY: allocates nothing and takes no lock; makes two system calls.
        unsafe {
            command.pre_exec(|| {
                libc::setsid();
                libc::ioctl(0, libc::TIOCSCTTY, 0);
                Ok(())
            });
        }
        let child = command.spawn().unwrap();
        // `command` keeps copies of the slave's descriptors, which would keep the terminal open.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let screen: Arc<(Mutex<Screen>, Condvar)> = Arc::default();
        let (shown, mut reader) = (screen.clone(), master.try_clone().unwrap());
        let (hangs_up, line) = pipe();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The end of a pty is an error (EIO).
            while has_come(&reader, &hangs_up) {
                let Ok(length @ 1..) = std::io::Read::read(&mut reader, &mut buffer) else { break };
                shown
                    .0
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .text
                    .push_str(&String::from_utf8_lossy(&buffer[..length]));
                shown.1.notify_all();
            }
            shown.0.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
            shown.1.notify_all();
        });
        let pid = i32::try_from(child.id()).unwrap();
        Self { line: Some((master, line)), screen, child, pid }
    }

    fn keyboard(&self) -> &fs::File {
        &self.line.as_ref().unwrap().0
    }

    /// Closes the master side, as when the connection of a remote session is lost.
    pub fn hang_up(&mut self) {
        self.line = None;
    }

    /// Types this. A line ends in `\r`; Ctrl-C is `\x03`.
    pub fn types(&self, keys: &str) {
        std::io::Write::write_all(&mut self.keyboard(), keys.as_bytes()).unwrap();
    }

    /// Waits until the screen shows this after the part that earlier calls consumed. Returns the text in between.
    #[track_caller]
    pub fn shows(&self, part: &str) -> String {
        let start = Instant::now();
        let mut screen = self.screen.0.lock().unwrap();
        loop {
            let new = &screen.text[screen.seen..];
            if let Some(at) = new.find(part) {
                let before = new[..at].to_owned();
                screen.seen += at + part.len();
                return before;
            }
            assert!(
                start.elapsed() < DEAD_MAN,
                "{part:?} was not shown, only {:?} after {:?}",
                new,
                &screen.text[..screen.seen]
            );
            screen = self.screen.1.wait_timeout(screen, Duration::from_millis(500)).unwrap().0;
        }
    }

    /// Everything that was shown.
    pub fn text(&self) -> String {
        self.screen.0.lock().unwrap().text.clone()
    }

    /// The same, once no process has the terminal open. If a process that outlives softstop holds it open, after two seconds.
    pub fn text_to_the_end(&self) -> String {
        let start = Instant::now();
        let mut screen = self.screen.0.lock().unwrap();
        while !screen.ended && start.elapsed() < Duration::from_secs(2) {
            screen = self.screen.1.wait_timeout(screen, Duration::from_millis(50)).unwrap().0;
        }
        screen.text.clone()
    }

    /// The foreground process group.
    pub fn foreground(&self) -> i32 {
        // SAFETY: takes no argument and changes nothing.
        unsafe { libc::tcgetpgrp(std::os::fd::AsRawFd::as_raw_fd(self.keyboard())) }
    }

    /// Sets the width of the window.
    pub fn resize(&self, columns: u16) {
        let size = libc::winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the kernel reads the structure that the pointer points to.
        let result =
            unsafe { libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(self.keyboard()), libc::TIOCSWINSZ, &raw const size) };
        assert_eq!(result, 0);
    }

    /// The exit code of the session leader, once it has ended.
    pub fn ended(&mut self) -> Option<i32> {
        let status = self.child.try_wait().unwrap()?;
        Some(status.code().unwrap_or_else(|| 128 + status.signal().unwrap()))
    }

    /// Waits until the session leader has ended. Returns its exit code.
    #[track_caller]
    pub fn ends(&mut self) -> i32 {
        eventually("the session ends", || self.ended())
    }
}

/// Waits until `reader` can be read or the other end of `closed` is closed. Returns whether to read.
fn has_come(reader: &fs::File, closed: &fs::File) -> bool {
    let waits = |file| libc::pollfd { fd: std::os::fd::AsRawFd::as_raw_fd(file), events: libc::POLLIN, revents: 0 };
    let mut files = [waits(reader), waits(closed)];
    // SAFETY: the kernel reads and writes two structures, the length of the array.
    let count = unsafe { libc::poll(files.as_mut_ptr(), 2, -1) };
    count < 0 || files[1].revents == 0
}

impl Drop for Terminal {
    fn drop(&mut self) {
        for pid in descendants(self.pid) {
            send(pid, libc::SIGKILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The read end and the write end of a pipe.
pub fn pipe() -> (fs::File, fs::File) {
    use std::os::fd::FromRawFd;
    let mut ends = [0; 2];
    // SAFETY: the kernel writes two descriptors into an array of two.
    assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    // SAFETY: the kernel has just created these descriptors, and nothing else owns them.
    unsafe { (fs::File::from_raw_fd(ends[0]), fs::File::from_raw_fd(ends[1])) }
}

fn open_pty() -> (fs::File, fs::File) {
    use std::os::fd::FromRawFd;
    let (mut master, mut slave) = (0, 0);
    let none: *mut libc::c_char = std::ptr::null_mut();
    // SAFETY: writes two descriptors; null pointers ask for no name, settings or size.
    let result = unsafe { libc::openpty(&raw mut master, &raw mut slave, none, none.cast(), none.cast()) };
    assert_eq!(result, 0);
    for fd in [master, slave] {
        // SAFETY: changes a flag of a descriptor that we own.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    // SAFETY: the kernel has just created these descriptors, and nothing else owns them.
    unsafe { (fs::File::from_raw_fd(master), fs::File::from_raw_fd(slave)) }
}
