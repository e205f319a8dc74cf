//! Starts the main child: fork(2), a pipe on which the child reports an error, execve(2).
//!
//! The standard library's `Command` is not used. It waits for the execve, for ever if need be, and signals would wait with
//! it; it panics if its pipe fails; and its error does not tell whether fork, our set-up or the program failed.

use std::env;
use std::ffi::{CStr, CString, OsStr, OsString, c_char};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::ptr;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::{Pid, chdir, fchdir, getpid, pipe2, read, setpgid};

use super::listen_pid::{self, PidVariable};
use super::signals::Inherited;
use super::terminal;
use crate::process::{ChildGroup, SpawnError};

/// Where programs are searched if PATH is not set: musl's default.
const DEFAULT_PATH: &str = "/usr/local/bin:/bin:/usr/bin";

/// The end of our pipe to the child: tells whether the program runs.
#[derive(Debug)]
pub struct ExecStatus(OwnedFd);

impl ExecStatus {
    /// What has become of the execve. `None`: it is not done yet.
    pub fn read(&mut self) -> Option<Result<(), SpawnError>> {
        let mut record = [0; Failure::SIZE];
        match read(&self.0, &mut record) {
            Err(Errno::EAGAIN | Errno::EINTR) => None,
            Ok(Failure::SIZE) => Some(Err(Failure::decode(record))),
            // The pipe is closed: execve(2) has closed the child's end, or a signal has ended the child before. If the pipe
            // cannot be read the child runs too, as far as we know; its end will tell.
            Ok(_) | Err(_) => Some(Ok(())),
        }
    }
}

impl AsFd for ExecStatus {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for ExecStatus {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Makes the child. It gets the signal mask, the ignored signals, the working directory and the descriptors that we inherited.
/// If `in_foreground` says so its process group becomes the terminal's foreground. When this returns the child may still be
/// on its way to execve(2): see [`ExecStatus`]. Signals that are sent to it meanwhile take effect just before the execve.
pub(super) fn spawn(
    command: &[OsString],
    inherited: Inherited,
    group: ChildGroup,
    in_foreground: bool,
) -> Result<(Pid, ExecStatus), SpawnError> {
    let mut program =
        Program::new(command).map_err(|error| SpawnError::Exec { error, file_exists: false, interpreter: None })?;
    let pid_variables = listen_pid::of_this_process();
    // We leave the directory before the child exists: a child that looks at us at once must find us in /. A file system cannot be
    // unmounted while it is our working directory.
    let directory = open(".", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).ok();
    if directory.is_some() {
        let _ = chdir("/");
    }
    let (ours, childs) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).map_err(|error| SpawnError::Fork(error.into()))?;
    // SAFETY: this process has one thread. Until execve(2) or _exit(2) the child makes only system calls on memory that was
    // prepared before the fork: it allocates nothing, takes no lock and runs no destructor (`man 7 signal-safety`).
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let setup_failure = |errno| Failure::new(Stage::Setup, errno);
        let failure = set_up_child(directory.as_ref(), group, in_foreground, pid_variables)
            .map_err(setup_failure)
            .and_then(|()| program.check())
            .and_then(|()| inherited.restore().map_err(setup_failure))
            .map_or_else(|failure| failure, |()| program.exec());
        failure.report_and_exit(&childs);
    }
    let pid = Pid::from_raw(Errno::result(pid).map_err(|error| SpawnError::Fork(error.into()))?);
    if group == ChildGroup::New {
        // In the child and here, whichever comes first: a signal to the group would find no group otherwise. EACCES: the
        // child has called execve(2), so it has made its group. ESRCH: it has ended.
        let _ = setpgid(pid, pid);
    }
    Ok((pid, ExecStatus(ours)))
}

/// Runs in the child, between fork and execve.
fn set_up_child(
    directory: Option<&OwnedFd>,
    group: ChildGroup,
    in_foreground: bool,
    pid_variables: [Option<PidVariable>; 2],
) -> nix::Result<()> {
    if let Some(directory) = directory {
        fchdir(directory)?;
    }
    match group {
        ChildGroup::New => setpgid(Pid::from_raw(0), Pid::from_raw(0))?,
        ChildGroup::NewSession => terminal::begin_session()?,
        ChildGroup::Inherited => {}
    }
    if in_foreground {
        terminal::put_in_foreground(getpid());
    }
    for variable in pid_variables.into_iter().flatten() {
        variable.set_to_this_process();
    }
    Ok(())
}

/// What failed in the child.
struct Failure {
    stage: Stage,
    errno: Errno,
    file_exists: bool,
    /// How the file begins whose interpreter is missing; zero bytes fill it up.
    beginning: [u8; Self::BEGINNING],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Setup,
    Exec,
}

impl Failure {
    /// A pipe takes a record of this size whole (`man 7 pipe`, `PIPE_BUF`).
    const SIZE: usize = 6 + Self::BEGINNING;
    const BEGINNING: usize = 128;

    fn new(stage: Stage, errno: Errno) -> Self {
        Self { stage, errno, file_exists: false, beginning: [0; Self::BEGINNING] }
    }

    fn encode(&self) -> [u8; Self::SIZE] {
        let mut record = [0; Self::SIZE];
        let head = [u8::from(self.stage == Stage::Exec), u8::from(self.file_exists)];
        let errno = (self.errno as i32).to_ne_bytes();
        let bytes = head.into_iter().chain(errno).chain(self.beginning);
        record.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
        record
    }

    fn decode(record: [u8; Self::SIZE]) -> SpawnError {
        let [is_exec, file_exists, a, b, c, d, ref beginning @ ..] = record;
        let error = io::Error::from_raw_os_error(i32::from_ne_bytes([a, b, c, d]));
        if is_exec == 0 {
            return SpawnError::Setup(error);
        }
        SpawnError::Exec { error, file_exists: file_exists != 0, interpreter: interpreter(beginning) }
    }

    /// Ends the child. Its exit code is never seen: the record stands in for it.
    fn report_and_exit(&self, pipe: &OwnedFd) -> ! {
        let _ = nix::unistd::write(pipe, &self.encode());
        // SAFETY: ends the process without running any code of ours.
        unsafe { libc::_exit(127) }
    }
}

/// What execve(2) needs, prepared before the fork.
struct Program {
    /// The files to try, as execvp(3) does.
    files: Vec<CString>,
    /// argv, ending with a null pointer. It points into `_words`.
    argv: Vec<*const c_char>,
    /// argv of the shell for a script that does not begin with `#!`. The second word becomes the script's file.
    shell_argv: Vec<*const c_char>,
    /// The words of the command, kept alive for the pointers.
    _words: Vec<CString>,
}

impl Program {
    fn new(command: &[OsString]) -> io::Result<Self> {
        let Some(name) = command.first() else { return Err(io::ErrorKind::InvalidInput.into()) };
        let words = command.iter().map(|word| c_string(word.as_bytes())).collect::<io::Result<Vec<CString>>>()?;
        let argv: Vec<_> = words.iter().map(|word| word.as_ptr()).chain([ptr::null()]).collect();
        let shell_argv = [SHELL.as_ptr(), SHELL.as_ptr()].into_iter().chain(argv.iter().skip(1).copied()).collect();
        Ok(Self { files: candidates(name)?, argv, shell_argv, _words: words })
    }

    /// Whether there is a candidate that execve(2) may run. Runs in the child, while signals are still blocked: so a program that
    /// is missing is reported even if a signal is about to end the child. A signal that comes while execve(2) itself fails, for
    /// another reason, ends the child first.
    fn check(&self) -> Result<(), Failure> {
        let (mut last, mut is_denied) = (Errno::ENOENT, false);
        for file in &self.files {
            // SAFETY: reads a C string.
            if unsafe { libc::access(file.as_ptr(), libc::X_OK) } == 0 {
                return Ok(());
            }
            last = Errno::last();
            match last {
                Errno::EACCES => is_denied = true,
                Errno::ENOENT | Errno::ENOTDIR => {}
                _ => return Ok(()),
            }
        }
        Err(Failure::new(Stage::Exec, if is_denied { Errno::EACCES } else { last }))
    }

    /// Runs the first candidate that can be run, as execvp(3) does (`man 3 exec`, "Special semantics for `execlp()` and
    /// `execvp()`"): a directory that lacks the file is passed over. So is a file that may not be run (EACCES), but that is
    /// the error if no other candidate runs. Returns only on failure. Runs in the child.
    fn exec(&mut self) -> Failure {
        let (mut last, mut is_denied) = (Errno::ENOENT, false);
        let mut failure = Failure::new(Stage::Exec, last);
        for file in &self.files {
            exec(file.as_ptr(), &self.argv);
            last = Errno::last();
            match last {
                Errno::EACCES => is_denied = true,
                Errno::ENOENT if exists(file.as_ptr()) => {
                    failure.file_exists = true;
                    read_beginning(file.as_ptr(), &mut failure.beginning);
                }
                Errno::ENOENT | Errno::ENOTDIR | Errno::ESTALE | Errno::ENODEV | Errno::ETIMEDOUT => {}
                Errno::ENOEXEC => {
                    if let Some(script) = self.shell_argv.get_mut(1).filter(|_| is_text(file.as_ptr())) {
                        *script = file.as_ptr();
                        exec(SHELL.as_ptr(), &self.shell_argv);
                    }
                    return Failure { errno: last, file_exists: true, ..failure };
                }
                _ => return Failure { errno: last, file_exists: true, ..failure },
            }
        }
        Failure { errno: if is_denied { Errno::EACCES } else { last }, ..failure }
    }
}

const SHELL: &CStr = c"/bin/sh";

unsafe extern "C" {
    /// The C library's environment: an array of C strings that ends with a null pointer (`man 7 environ`).
    static environ: *const *const c_char;
}

/// execve(2). Returns if it fails.
fn exec(file: *const c_char, argv: &[*const c_char]) {
    // SAFETY: `file` is a C string, `argv` and `environ` are arrays of C strings that end with a null pointer. Nobody changes
    // the environment between the fork and here.
    unsafe { libc::execve(file, argv.as_ptr(), environ) };
}

fn exists(file: *const c_char) -> bool {
    // SAFETY: reads a C string.
    unsafe { libc::access(file, libc::F_OK) == 0 }
}

/// Whether the file may be a script: its beginning has no zero byte. A program for another machine has some.
fn is_text(file: *const c_char) -> bool {
    let mut beginning = [0_u8; 128];
    let length = read_beginning(file, &mut beginning);
    length.and_then(|length| beginning.get(..length)).is_some_and(|bytes| !bytes.contains(&0))
}

/// Reads the first bytes of a file. `None`: it cannot be read.
fn read_beginning(file: *const c_char, buffer: &mut [u8]) -> Option<usize> {
    // SAFETY: reads a C string. The descriptor ends with the process, or at its execve(2).
    let descriptor = unsafe { libc::open(file, libc::O_RDONLY | libc::O_CLOEXEC) };
    // SAFETY: the buffer has this length.
    let length = unsafe { libc::read(descriptor, buffer.as_mut_ptr().cast(), buffer.len()) };
    usize::try_from(length).ok()
}

/// The interpreter that a script's first line names.
fn interpreter(beginning: &[u8]) -> Option<String> {
    let line = beginning.strip_prefix(b"#!")?.split(|&byte| byte == b'\n' || byte == 0).next()?;
    let text = String::from_utf8_lossy(line);
    Some(text.trim_start_matches([' ', '\t']).split([' ', '\t']).next()?.to_owned())
}

/// The files that a program's name may stand for: the path itself, or the name in each directory of PATH. An empty entry of
/// PATH is the working directory.
fn candidates(name: &OsStr) -> io::Result<Vec<CString>> {
    if name.is_empty() {
        return Ok(Vec::new());
    }
    if name.as_bytes().contains(&b'/') {
        return Ok(vec![c_string(name.as_bytes())?]);
    }
    let path = env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    env::split_paths(&path)
        .map(|directory| c_string(&directory.join(Path::new(name)).into_os_string().into_vec()))
        .collect()
}

fn c_string(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::ErrorKind::InvalidInput.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_read_as_it_was_written() {
        let mut failure = Failure { file_exists: true, ..Failure::new(Stage::Exec, Errno::ENOENT) };
        failure.beginning[..13].copy_from_slice(b"#! /bin/x\r -y");
        let SpawnError::Exec { error, file_exists: true, interpreter } = Failure::decode(failure.encode()) else {
            panic!()
        };
        assert_eq!((error.raw_os_error(), interpreter.as_deref()), (Some(libc::ENOENT), Some("/bin/x\r")));
        let failure = Failure::new(Stage::Setup, Errno::EPERM);
        assert!(
            matches!(Failure::decode(failure.encode()), SpawnError::Setup(error) if error.raw_os_error() == Some(1))
        );
    }

    #[test]
    fn a_path_is_the_only_candidate_for_itself() {
        assert_eq!(candidates(OsStr::new("./x")).unwrap(), [c"./x".to_owned()]);
        assert!(candidates(OsStr::new("")).unwrap().is_empty());
        assert!(candidates(OsStr::new("true")).unwrap().len() > 1);
    }
}
