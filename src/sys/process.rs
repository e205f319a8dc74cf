//! Processes: start the main child, signal it, reap everybody, kill what is left.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;

use nix::errno::Errno;
use nix::libc;
use nix::unistd::Pid;

use super::procfs::{self, Process};
use super::signals::Inherited;
use super::terminal;
use crate::shutdown::{Exit, Target};
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
    /// Whether no process of ours is left.
    pub nobody_left: bool,
}

/// The main child, and by descent all other processes of ours.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    is_reaped: bool,
    /// Children that we had before: a shell that ends in `exec softstop ..` hands its background jobs over. They are
    /// not ours, except to PID 1, to whom everybody is.
    strangers: Vec<i32>,
}

impl Child {
    /// Starts the program as if we were not there: with the signal mask, the ignored signals, the directory and the
    /// descriptors that we inherited. It leads a process group of its own, which becomes the terminal's foreground
    /// where `in_foreground` says so.
    ///
    /// All of that has been done when this returns, for the standard library waits until the child has called execve.
    ///
    /// # Errors
    ///
    /// Those of fork(2) and execve(2).
    pub fn start(command: &[OsString], inherited: Inherited, in_foreground: bool) -> io::Result<Self> {
        let [program, arguments @ ..] = command else { return Err(io::ErrorKind::InvalidInput.into()) };
        let strangers = if is_pid_one() { Vec::new() } else { children() };
        let mut command = Command::new(program);
        command.args(arguments).process_group(0);
        // SAFETY: allocates nothing, takes no lock; calls only tcsetpgrp, getpid, signal and rt_sigprocmask.
        unsafe {
            command.pre_exec(move || {
                if in_foreground {
                    terminal::put_in_foreground(Pid::this());
                }
                inherited.restore()
            });
        }
        let child = command.spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        Ok(Self { pid: Pid::from_raw(pid), is_reaped: false, strangers })
    }

    /// Its number, and its process group's.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Takes every change of state that waits, until there is none. The one place that reaps.
    pub fn reap(&mut self) -> Harvest {
        let mut harvest = Harvest::default();
        loop {
            let mut status = 0;
            // SAFETY: the pointer leads to an integer that outlives the call.
            let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED) };
            if pid <= 0 {
                // -1 is ECHILD, "you have no children": no signal interrupts us, and the arguments are right.
                harvest.nobody_left = pid < 0 || (!self.strangers.is_empty() && self.has_only_strangers());
                return harvest;
            }
            let change = change(status);
            if let Some(Change::Exited(_)) = change {
                self.is_reaped |= pid == self.pid.as_raw();
                self.strangers.retain(|&stranger| stranger != pid);
            }
            harvest.changes.extend(change.map(|change| (pid, change)));
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
            self.send_rest(signal);
            return Ok(());
        }
        let result = match target {
            Target::Child => kill(self.pid.as_raw(), signal),
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

    /// Sends a signal to every process that descends from us.
    pub fn send_rest(&self, signal: Signal) {
        for process in procfs::descendants(&self.strangers).unwrap_or_default() {
            send_to(&process, signal);
        }
    }

    /// SIGKILL to all that is left, and who that was. As PID 1 this is everybody in our namespace; elsewhere the main
    /// child's group and every descendant of ours.
    #[must_use]
    pub fn kill_all(&self) -> Vec<Process> {
        if is_pid_one() {
            let killed = procfs::others().unwrap_or_default();
            let _ = kill(-1, Signal::KILL); // ESRCH: nobody is left, as we wanted
            return killed;
        }
        let mut killed = procfs::descendants(&self.strangers).unwrap_or_default();
        if !self.is_reaped {
            let _ = kill(-self.pid.as_raw(), Signal::KILL);
            let _ = kill(self.pid.as_raw(), Signal::KILL); // where it went to another group by itself
        }
        for process in &killed {
            send_to(process, Signal::KILL);
        }
        // One that was about to fork when we looked may have: look again until no new one turns up, but not for ever.
        for _ in 0..16 {
            let known: Vec<i32> = killed.iter().map(|process| process.pid).collect();
            let mut new = procfs::descendants(&self.strangers).unwrap_or_default();
            new.retain(|process| !known.contains(&process.pid));
            if new.is_empty() {
                break;
            }
            for process in &new {
                send_to(process, Signal::KILL);
            }
            killed.append(&mut new);
        }
        killed
    }

    /// Who is still there of ours: after SIGKILL, those that do not die.
    #[must_use]
    pub fn left(&self) -> Vec<Process> {
        if is_pid_one() { procfs::others() } else { procfs::descendants(&self.strangers) }.unwrap_or_default()
    }
}

/// The children that we have already.
fn children() -> Vec<i32> {
    // SAFETY: asks only; with WNOWAIT nobody is reaped, and a null pointer is allowed.
    let none = unsafe { libc::waitid(libc::P_ALL, 0, ptr::null_mut(), libc::WEXITED | libc::WNOHANG | libc::WNOWAIT) };
    if none == -1 {
        return Vec::new(); // ECHILD, as nearly always: no need to read all of /proc
    }
    let others = procfs::others().unwrap_or_default();
    others.iter().filter(|process| process.is_our_child()).map(|process| process.pid).collect()
}

fn kill(pid: i32, signal: Signal) -> Result<(), Errno> {
    // SAFETY: takes two integers and changes no memory.
    Errno::result(unsafe { libc::kill(pid, signal.number()) }).map(drop)
}

/// Signals a process that may not be our child, so that its parent may reap it at any time and its number be given to
/// a stranger. A pidfd pins the process (`man 2 pidfd_open`); then we make sure that it is the one we saw.
fn send_to(process: &Process, signal: Signal) {
    // SAFETY: takes integers, gives a new descriptor.
    let pidfd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, process.pid, 0) });
    match pidfd.map(RawFd::try_from) {
        Ok(Ok(fd)) => {
            // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
            let pidfd = unsafe { OwnedFd::from_raw_fd(fd) };
            if process.is_still_there() {
                // SAFETY: without a siginfo the kernel reads no memory of ours. A refusal leaves the process alone.
                unsafe {
                    libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal.number(), ptr::null::<u8>(), 0)
                };
            }
        }
        Ok(Err(_)) | Err(Errno::ESRCH) => {} // gone, as we wanted
        // Linux before 5.3, or a seccomp filter: the number of a child of ours is its own until we reap it.
        Err(_) if process.is_our_child() && process.is_still_there() => {
            let _ = kill(process.pid, signal);
        }
        Err(_) => {}
    }
}

fn change(status: i32) -> Option<Change> {
    if libc::WIFEXITED(status) {
        Some(Change::Exited(Exit::Code(u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(u8::MAX))))
    } else if libc::WIFSIGNALED(status) {
        Signal::from_number(libc::WTERMSIG(status)).map(|signal| Change::Exited(Exit::Signal(signal)))
    } else if libc::WIFSTOPPED(status) {
        Signal::from_number(libc::WSTOPSIG(status)).map(Change::Stopped)
    } else if libc::WIFCONTINUED(status) {
        Some(Change::Continued)
    } else {
        None
    }
}
