//! The terminal on stdin: whose keys end whom.
//!
//! The main child's group is made the foreground, so that Ctrl-C and Ctrl-Z reach the app and not us. Where a shell
//! with job control waits for us, a stop of the app becomes a stop of ours, or the shell would never come back.

use std::io::{self, IsTerminal};
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{Signal as Classic, killpg};
use nix::unistd::{Pid, getpgrp, getsid, setsid, tcgetpgrp, tcsetpgrp};

use super::process::is_pid_one;
use super::signals;
use crate::signal::Signal;

/// The standard library's own handle would allocate a buffer, and the child asks between fork and exec.
fn stdin() -> BorrowedFd<'static> {
    // SAFETY: nobody closes descriptor 0, and where it was closed something else has been put in its place.
    unsafe { BorrowedFd::borrow_raw(libc::STDIN_FILENO) }
}

/// Whether stdin is the terminal that controls our session, be we in its foreground or not.
#[must_use]
pub fn controls_us() -> bool {
    stdin().is_terminal() && tcgetpgrp(stdin()).is_ok() // ENOTTY: another session's
}

/// Whether stdin is a terminal and our process group is in its foreground.
#[must_use]
pub fn is_ours() -> bool {
    stdin().is_terminal() && tcgetpgrp(stdin()) == Ok(getpgrp())
}

/// Makes a process group the foreground of the terminal. A background process may do so too as long as it blocks
/// SIGTTOU, which we always do (`man 3 tcsetpgrp`).
pub(super) fn put_in_foreground(group: Pid) {
    let _ = tcsetpgrp(stdin(), group); // ENOTTY: the terminal is not the one that controls our session
}

/// Lets go of the terminal that controls us, where stdin is it, so that the child's session can have it (`man 4
/// tty_ioctl`, `TIOCNOTTY`). To the leader of a session the kernel sends SIGHUP and SIGCONT for that, as from itself: the
/// [`Inbox`](super::signals::Inbox) leaves out what we do to ourselves.
///
/// # Errors
///
/// ENOTTY where stdin is no terminal, or another session's.
pub fn let_go() -> io::Result<()> {
    // SAFETY: takes no argument, and changes no memory.
    Errno::result(unsafe { libc::ioctl(libc::STDIN_FILENO, libc::TIOCNOTTY) })?;
    Ok(())
}

/// Puts the calling process into a session of its own, and makes stdin the terminal that controls it, if it is one that
/// nobody else has. Made for the child between fork and exec: allocates nothing, takes no lock.
pub(super) fn begin_session() -> io::Result<()> {
    setsid()?;
    // SAFETY: takes an integer ("do not steal it"), and changes no memory.
    unsafe { libc::ioctl(libc::STDIN_FILENO, libc::TIOCSCTTY, 0) }; // else the session has none
    Ok(())
}

/// Takes the foreground back from the main child's group as we leave: a script that goes on after us needs its Ctrl-C.
pub fn take_back(group: i32) {
    if tcgetpgrp(stdin()) == Ok(Pid::from_raw(group)) {
        put_in_foreground(getpgrp());
    }
}

/// Makes us the foreground again where the child had been made it and could not be run.
pub fn take_back_from_nobody() {
    put_in_foreground(getpgrp());
}

/// Whether a shell with job control may be waiting for us: not for PID 1 and not for the leader of a session.
fn a_shell_may_wake_us() -> bool {
    !is_pid_one() && getsid(None) != Ok(Pid::this())
}

/// How long the app was stopped by the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspended {
    /// Until a shell woke us, and we it.
    UntilWoken,
    /// No shell is here to wake it, so it goes on.
    NotAtAll,
    /// It is stopped still: it asked for what it may not have in the background, and no shell could give it.
    Still,
}

/// Has the app's stop by the terminal become ours, until the shell says `fg` or `bg`; then wakes the app, in the
/// foreground if the shell has given it to us and `hands_over` lets us pass it on.
///
/// Where no shell can wake anybody the app goes on at once after a Ctrl-Z, as the kernel has it for a process group
/// whose parents could not wake it (`man 3 setpgid`, orphaned process groups).
#[must_use]
pub fn suspend_with(group: i32, signal: Signal, hands_over: bool) -> Suspended {
    let group = Pid::from_raw(group);
    let woken = a_shell_may_wake_us() && signals::stop_our_group(signal);
    if woken {
        // By `fg` in the foreground, by `bg` not.
        if hands_over && is_ours() {
            put_in_foreground(group);
        }
    } else if signal != Signal::TSTP {
        return Suspended::Still; // in the background it may not use the terminal: awake it would only ask again
    }
    let _ = killpg(group, Classic::SIGCONT);
    if woken { Suspended::UntilWoken } else { Suspended::NotAtAll }
}
