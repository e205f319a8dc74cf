//! Processes: start the main child, signal it, reap everybody, kill what is left.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::ptr;

use nix::errno::Errno;
use nix::libc;
use nix::unistd::{AccessFlags, Pid, access};

use super::procfs::{self, Process};
use super::signals::Inherited;
use super::terminal;
use crate::shutdown::{Exit, Place, Target};
use crate::signal::Signal;

/// Whether we are PID 1: the orphans' new parent, with whom the whole namespace ends.
#[must_use]
pub fn is_pid_one() -> bool {
    Pid::this().as_raw() == 1
}

/// Makes orphans among our descendants our children, as PID 1 has them anyway (`man 2 prctl`).
///
/// # Errors
///
/// The kernel's: a seccomp filter may refuse it.
pub fn become_subreaper() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// Whether orphans among our descendants come to us though we are not PID 1. Where the kernel does not say they do not.
#[must_use]
pub fn is_subreaper() -> bool {
    nix::sys::prctl::get_child_subreaper().unwrap_or(false)
}

/// Has the kernel send us this signal when our parent dies (`man 2 prctl`, `PR_SET_PDEATHSIG`).
///
/// # Errors
///
/// The kernel's: a seccomp filter may refuse it.
pub fn set_parent_death_signal(signal: Signal) -> io::Result<()> {
    let number = libc::c_ulong::try_from(signal.number()).map_err(io::Error::other)?;
    // SAFETY: takes two integers and changes no memory.
    let result = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, number) };
    Errno::result(result)?;
    Ok(())
}

/// An error in glibc's words alone (`man 3 strerror`), as the other inits' logs have it.
#[must_use]
pub fn reason(error: &io::Error) -> String {
    let number = error.raw_os_error();
    // musl, which the static binary is linked with, has words of its own for these.
    match number.map(Errno::from_raw) {
        Some(Errno::ENOTTY) => return "Inappropriate ioctl for device".to_owned(),
        Some(Errno::ELOOP) => return "Too many levels of symbolic links".to_owned(),
        Some(Errno::ENAMETOOLONG) => return "File name too long".to_owned(),
        Some(Errno::ENOMEM) => return "Cannot allocate memory".to_owned(),
        Some(Errno::EIO) => return "Input/output error".to_owned(),
        _ => {}
    }
    let text = error.to_string();
    let number = number.map(|number| format!(" (os error {number})")).unwrap_or_default();
    text.strip_suffix(&number).unwrap_or(&text).to_owned()
}

/// A child's change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It exited and is reaped: its number may be another's from now on.
    Exited(Exit),
    /// It was stopped by this signal.
    Stopped(Signal),
    /// It goes on.
    Continued,
}

/// What one round of reaping brought.
#[derive(Debug, Default)]
pub struct Harvest {
    /// Who changed, and how.
    pub changes: Vec<(i32, Change)>,
    /// What the main child's group was sent before that child was reaped, and whether it got it.
    pub farewell: Option<(Signal, io::Result<()>)>,
    /// Whether no process of ours is left.
    pub nobody_left: bool,
}

/// The main child, and by descent all other processes of ours.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    place: Place,
    is_reaped: bool,
    /// Descendants that we had before: a shell that ends in `exec softstop ..` hands its background jobs over. They are
    /// not ours, except to PID 1, to whom everybody is.
    strangers: Vec<Process>,
}

impl Child {
    /// Starts the program as if we were not there: with the signal mask, the ignored signals, the directory and the
    /// descriptors that we inherited. Where it leads a process group of its own, that becomes the terminal's foreground
    /// where `in_foreground` says so.
    ///
    /// All of that has been done when this returns, for the standard library waits until the child has called execve.
    ///
    /// # Errors
    ///
    /// Those of fork(2) and execve(2).
    pub fn start(command: &[OsString], inherited: Inherited, place: Place, in_foreground: bool) -> io::Result<Self> {
        let strangers =
            if is_pid_one() || !has_children() { Vec::new() } else { procfs::descendants(&[]).unwrap_or_default() };
        let pid = match spawn(command, inherited, place, in_foreground) {
            Err(error) if error.raw_os_error() == Some(libc::ENOEXEC) => {
                let script = shell_script(command).ok_or(error)?;
                spawn(&script, inherited, place, in_foreground).map_err(|_| Errno::ENOEXEC)?
            }
            other => other?,
        };
        Ok(Self { pid, place, is_reaped: false, strangers })
    }

    /// Its number, and its process group's.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Takes every change of state that waits, until there is none. The one place that reaps.
    ///
    /// The main child's group gets the `farewell` before that child is reaped: its number, and so its group's, is its own
    /// until then. So each change is looked at first, and then taken by itself.
    pub fn reap(&mut self, farewell: Option<Signal>) -> Harvest {
        let mut harvest = Harvest::default();
        loop {
            let (pid, change) = match wait(libc::P_ALL, 0, ANY_CHANGE | libc::WNOWAIT) {
                Ok(Some(waiting)) => waiting,
                Ok(None) => {
                    harvest.nobody_left = !self.strangers.is_empty() && self.has_only_strangers();
                    return harvest;
                }
                // ECHILD, "you have no children": no signal interrupts us, and the arguments are right.
                Err(_) => {
                    harvest.nobody_left = true;
                    return harvest;
                }
            };
            let kind = match change {
                Change::Exited(_) => {
                    if pid == self.pid.as_raw() {
                        harvest.farewell = farewell.map(|signal| (signal, self.send(signal, Target::Group)));
                        self.is_reaped = true;
                    }
                    libc::WEXITED
                }
                Change::Stopped(_) => libc::WSTOPPED,
                Change::Continued => libc::WCONTINUED,
            };
            // A stop that has become something else by now is no news any more.
            harvest.changes.extend(wait(libc::P_PID, pid.unsigned_abs(), kind).ok().flatten());
        }
    }

    fn has_only_strangers(&self) -> bool {
        procfs::descendants(&self.strangers).is_some_and(|descendants| descendants.is_empty())
    }

    /// Sends a signal to the main child or to its group; once it is reaped, to what it left behind.
    ///
    /// # Errors
    ///
    /// The kernel's: a child that changed its user may be out of our reach (EPERM). That somebody has just gone is none.
    pub fn send(&self, signal: Signal, target: Target) -> io::Result<()> {
        if self.is_reaped {
            return self.send_rest(signal, None);
        }
        let result = match target {
            Target::Child => kill(self.pid.as_raw(), signal),
            // That would be us.
            Target::Group if self.place == Place::OurGroup => kill(self.pid.as_raw(), signal),
            Target::Group => match kill(-self.pid.as_raw(), signal) {
                Err(Errno::ESRCH) => kill(self.pid.as_raw(), signal), // it went to another group by itself
                other => other,
            },
        };
        match result {
            Ok(()) | Err(Errno::ESRCH) => Ok(()), // gone, though not reaped yet: nothing to tell it
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a signal to every process that descends from us, but for the members of one group. Who is stopped is woken
    /// too, or could never act on it.
    ///
    /// # Errors
    ///
    /// Where we cannot see who that is.
    pub fn send_rest(&self, signal: Signal, but_group: Option<i32>) -> io::Result<()> {
        match procfs::descendants(&self.strangers) {
            Some(rest) => {
                for process in rest.iter().filter(|process| Some(process.group) != but_group) {
                    send_to(process, signal);
                    if process.is_stopped {
                        send_to(process, Signal::CONT);
                    }
                }
                Ok(())
            }
            // Everybody else in the namespace, then. ESRCH: nobody is left.
            None if is_pid_one() => {
                let _ = kill(-1, signal);
                let _ = kill(-1, Signal::CONT);
                Ok(())
            }
            None => Err(io::Error::other("/proc does not tell who is left")),
        }
    }

    /// SIGKILL to all that is left. As PID 1 this is everybody in our namespace; elsewhere the main child's group and
    /// every descendant of ours. Says who that was, where /proc tells.
    #[must_use]
    pub fn kill_all(&self) -> Option<Vec<Process>> {
        if is_pid_one() {
            let killed = procfs::others();
            let _ = kill(-1, Signal::KILL); // ESRCH: nobody is left, as we wanted
            return killed;
        }
        let seen = procfs::descendants(&self.strangers);
        if !self.is_reaped {
            if self.place != Place::OurGroup {
                let _ = kill(-self.pid.as_raw(), Signal::KILL);
            }
            let _ = kill(self.pid.as_raw(), Signal::KILL); // where it went to another group by itself
        }
        let mut seen = seen?;
        let mut killed: Vec<Process> = seen.iter().filter(|process| send_to(process, Signal::KILL)).cloned().collect();
        // One that was about to fork when we looked may have: look again until no new one turns up, but not for ever.
        for _ in 0..16 {
            let mut new = procfs::descendants(&self.strangers).unwrap_or_default();
            new.retain(|process| !seen.iter().any(|known| known.is(process)));
            if new.is_empty() {
                break;
            }
            killed.extend(new.iter().filter(|process| send_to(process, Signal::KILL)).cloned());
            seen.append(&mut new);
        }
        Some(killed)
    }

    /// Every living process of ours, where /proc tells: as PID 1 everybody in the namespace. After SIGKILL those that do
    /// not die.
    #[must_use]
    pub fn ours(&self) -> Option<Vec<Process>> {
        if is_pid_one() { procfs::others() } else { procfs::descendants(&self.strangers) }
    }
}

/// Makes the process.
fn spawn(command: &[OsString], inherited: Inherited, place: Place, in_foreground: bool) -> io::Result<Pid> {
    let [program, arguments @ ..] = command else { return Err(io::ErrorKind::InvalidInput.into()) };
    let listen_pid = ListenPid::ours();
    let mut command = Command::new(program);
    command.args(arguments);
    if place == Place::OwnGroup {
        command.process_group(0);
    }
    // SAFETY: allocates nothing, takes no lock; calls only setsid, ioctl, tcsetpgrp, getpid, signal and rt_sigprocmask, and
    // writes to memory that is the child's alone.
    unsafe {
        command.pre_exec(move || {
            if place == Place::OwnSession {
                terminal::begin_session()?;
            }
            if in_foreground {
                terminal::put_in_foreground(Pid::this());
            }
            if let Some(listen_pid) = listen_pid {
                listen_pid.become_the_callers();
            }
            inherited.restore()
        });
    }
    let pid = i32::try_from(command.spawn()?.id()).map_err(io::Error::other)?;
    Ok(Pid::from_raw(pid))
}

/// The file that a program's name stands for, by its path or in PATH.
#[must_use]
pub fn file_of(program: &OsStr) -> Option<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(program)).filter(|file| file.exists());
    }
    let path = env::var_os("PATH").filter(|_| !program.is_empty())?;
    let mut files = env::split_paths(&path).map(|directory| directory.join(program));
    files.find(|file| file.is_file() && access(file, AccessFlags::X_OK).is_ok())
}

/// The same command by way of /bin/sh, where it is a script that does not begin with `#!`: so execvp(3) has it, but not in
/// every C library.
fn shell_script(command: &[OsString]) -> Option<Vec<OsString>> {
    let [program, arguments @ ..] = command else { return None };
    let file = file_of(program)?;
    let mut beginning = [0; 128];
    let length = File::open(&file).ok()?.read(&mut beginning).ok()?;
    let is_text = !beginning.get(..length)?.contains(&0); // a program for another machine is none
    let words = ["/bin/sh".into(), file.into_os_string()].into_iter().chain(arguments.iter().cloned());
    is_text.then(|| words.collect())
}

/// `LISTEN_PID` in the environment, where it names us: the sockets that we inherited are for the child, which would not take
/// what is addressed to another process (`man 3 sd_listen_fds`).
#[derive(Clone, Copy)]
struct ListenPid(*mut u8);

// SAFETY: it leads to memory that lives as long as the process, and that from `ours` on the child alone writes to.
unsafe impl Send for ListenPid {}
// SAFETY: as above.
unsafe impl Sync for ListenPid {}

impl ListenPid {
    const NAME: &[u8] = b"LISTEN_PID=";
    /// The digits of the greatest pid, and the end of the string.
    const ROOM: usize = 11;

    /// Makes room for another number, which the child cannot do between fork and exec.
    ///
    /// systemd names us by our pidfd's inode as well, from version 258 on. The child's would have to be asked for between
    /// fork and exec; without the variable the pid alone counts.
    fn ours() -> Option<Self> {
        let value = env::var("LISTEN_PID").ok()?;
        if value.parse() != Ok(Pid::this().as_raw()) {
            return None;
        }
        let mut variable = Self::NAME.to_vec();
        variable.resize(Self::NAME.len() + Self::ROOM, 0);
        let variable = variable.leak().as_mut_ptr();
        let listen_pid = Self(variable.wrapping_add(Self::NAME.len()));
        listen_pid.become_the_callers();
        // SAFETY: the string ends with a zero, and lives as long as the process. No other thread reads the environment.
        let result = unsafe { libc::putenv(variable.cast()) };
        // SAFETY: no other thread reads the environment.
        unsafe { env::remove_var("LISTEN_PIDFDID") };
        (result == 0).then_some(listen_pid)
    }

    /// Writes the calling process's number. Allocates nothing.
    fn become_the_callers(self) {
        // SAFETY: there is so much room, and nobody else uses it.
        let room = unsafe { std::slice::from_raw_parts_mut(self.0, Self::ROOM) };
        let mut rest: &mut [u8] = room;
        let _ = write!(rest, "{}\0", Pid::this());
    }
}

/// Reaps every child that has ended, whoever it is.
pub fn reap_everybody() {
    // SAFETY: nobody wants to know how they ended, so that a null pointer is allowed.
    while unsafe { libc::waitpid(-1, ptr::null_mut(), libc::WNOHANG) } > 0 {}
}

const ANY_CHANGE: libc::c_int = libc::WEXITED | libc::WSTOPPED | libc::WCONTINUED;

fn has_children() -> bool {
    wait(libc::P_ALL, 0, libc::WEXITED | libc::WNOWAIT).is_ok()
}

/// A change of one of these kinds in these children of ours, if one waits; an error (ECHILD) where we have no such child.
fn wait(whose: libc::idtype_t, id: libc::id_t, kinds: libc::c_int) -> nix::Result<Option<(i32, Change)>> {
    // SAFETY: all-zero bytes are a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    // SAFETY: the kernel writes a siginfo_t, which is what the pointer leads to.
    Errno::result(unsafe { libc::waitid(whose, id, &raw mut info, kinds | libc::WNOHANG) })?;
    // SAFETY: the kernel has filled these fields, and has left the number zero where there was nothing to tell.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    Ok(if pid == 0 { None } else { change(info.si_code, status).map(|change| (pid, change)) })
}

fn kill(pid: i32, signal: Signal) -> Result<(), Errno> {
    // SAFETY: takes two integers and changes no memory.
    Errno::result(unsafe { libc::kill(pid, signal.number()) }).map(drop)
}

/// Signals a process that may not be our child, so that its parent may reap it at any time and its number be given to
/// a stranger. A pidfd pins the process (`man 2 pidfd_open`); then we make sure that it is the one we saw. Says whether
/// it was sent, or is gone.
fn send_to(process: &Process, signal: Signal) -> bool {
    // SAFETY: takes integers, gives a new descriptor.
    let pidfd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, process.pid, 0) });
    let Ok(Ok(fd)) = pidfd.map(RawFd::try_from) else { return send_at_once(process, signal) };
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(fd) };
    if !process.is_still_there() {
        return true;
    }
    // SAFETY: without a siginfo the kernel reads no memory of ours.
    let result = Errno::result(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal.number(), ptr::null::<u8>(), 0)
    });
    match result {
        Ok(_) | Err(Errno::ESRCH) => true,
        Err(_) => send_at_once(process, signal),
    }
}

/// The same where there are no pidfds: Linux before 5.3, or a seccomp filter. Between the look and the signal lie
/// microseconds, in which the kernel would have to hand out every other number first.
fn send_at_once(process: &Process, signal: Signal) -> bool {
    !process.is_still_there() || matches!(kill(process.pid, signal), Ok(()) | Err(Errno::ESRCH))
}

/// As `man 2 waitid` has it.
fn change(code: i32, status: i32) -> Option<Change> {
    match code {
        libc::CLD_EXITED => Some(Change::Exited(Exit::Code(u8::try_from(status).unwrap_or(u8::MAX)))),
        libc::CLD_KILLED | libc::CLD_DUMPED => {
            Signal::from_number(status).map(|signal| Change::Exited(Exit::Signal(signal)))
        }
        libc::CLD_STOPPED | libc::CLD_TRAPPED => Signal::from_number(status).map(Change::Stopped),
        libc::CLD_CONTINUED => Some(Change::Continued),
        _ => None,
    }
}
