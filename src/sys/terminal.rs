//! The terminal on stdin, and which process group is its foreground: the one that its keys send signals to.
//!
//! The main child's group becomes the foreground, so that Ctrl-C and Ctrl-Z reach the app and not us. If a shell with job
//! control waits for us and the app is stopped, we stop too: otherwise the shell would not show its prompt again.

use std::io::{self, IsTerminal};
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{Signal as Classic, killpg};
use nix::unistd::{Pid, getpgrp, getsid, setsid, tcgetpgrp, tcsetpgrp};

use super::role::is_pid_one;
use super::signals;
use crate::signal::Signal;

/// The standard library's handle would allocate a buffer, which the child may not do between fork and execve.
fn stdin() -> BorrowedFd<'static> {
    // SAFETY: descriptor 0 is never closed: `descriptors::fill_standard_descriptors` has opened it if it was.
    unsafe { BorrowedFd::borrow_raw(libc::STDIN_FILENO) }
}

/// Whether stdin is the controlling terminal of our session, in the foreground or not.
#[must_use]
pub fn is_controlling() -> bool {
    stdin().is_terminal() && tcgetpgrp(stdin()).is_ok() // ENOTTY: it controls another session
}

/// Whether stdin is a terminal and our process group is its foreground.
#[must_use]
pub fn is_foreground() -> bool {
    stdin().is_terminal() && tcgetpgrp(stdin()) == Ok(getpgrp())
}

/// Makes a process group the terminal's foreground. A background process may do so while it blocks SIGTTOU, as we always do
/// (`man 3 tcsetpgrp`). The child calls it between fork and execve.
pub(super) fn put_in_foreground(group: Pid) {
    let _ = tcsetpgrp(stdin(), group); // ENOTTY: the terminal does not control our session
}

/// Gives up our controlling terminal if it is stdin, so that it can become the child session's (`man 4 tty_ioctl`,
/// `TIOCNOTTY`). If we lead our session, the kernel then sends us SIGHUP and SIGCONT with ourselves as the sender. The
/// [`Inbox`](super::signals::Inbox) drops signals that we sent ourselves.
///
/// # Errors
///
/// ENOTTY if stdin is no terminal, or controls another session.
pub fn detach() -> io::Result<()> {
    // SAFETY: takes no argument, and changes no memory.
    Errno::result(unsafe { libc::ioctl(libc::STDIN_FILENO, libc::TIOCNOTTY) })?;
    Ok(())
}

/// Starts a session with the calling process as its leader, and makes stdin its controlling terminal if stdin is a terminal
/// that controls no session. The child calls it between fork and execve: it allocates nothing and takes no lock.
pub(super) fn begin_session() -> nix::Result<()> {
    setsid()?;
    // SAFETY: takes an integer ("do not steal it"), and changes no memory.
    unsafe { libc::ioctl(libc::STDIN_FILENO, libc::TIOCSCTTY, 0) }; // on failure the session has no terminal
    Ok(())
}

/// Takes the foreground back from the main child's group after its exit: Ctrl-C must reach a script that continues after us.
pub fn take_back_foreground(group: i32) {
    if tcgetpgrp(stdin()) == Ok(Pid::from_raw(group)) {
        put_in_foreground(getpgrp());
    }
}

/// Whether a shell with job control may be waiting for us: not if we are PID 1 or the leader of a session.
fn may_have_job_control() -> bool {
    !is_pid_one() && getsid(None) != Ok(Pid::this())
}

/// What was done after the terminal had stopped the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspended {
    /// We stopped too. A shell has continued us, and we have continued the app.
    UntilContinued,
    /// No shell could continue it, so it was continued at once.
    NotAtAll,
    /// It stays stopped: it used the terminal from the background, and no shell could bring it to the foreground.
    Still,
}

/// Stops us because the terminal stopped the app, until the shell continues us (`fg` or `bg`). Then continues the app: in the
/// foreground if the shell has put us there and `hands_over` is set.
///
/// If there is no such shell, the app is continued at once after Ctrl-Z: the kernel does not let the terminal stop an orphaned
/// process group either (`man 3 setpgid`).
#[must_use]
pub fn suspend_with(group: i32, signal: Signal, hands_over: bool) -> Suspended {
    let group = Pid::from_raw(group);
    let was_stopped = may_have_job_control() && signals::stop_our_group(signal);
    if was_stopped {
        // After `fg` we are in the foreground, after `bg` not.
        if hands_over && is_foreground() {
            put_in_foreground(group);
        }
    } else if signal != Signal::TSTP {
        return Suspended::Still; // SIGTTIN or SIGTTOU: if continued in the background it would only be stopped again
    }
    let _ = killpg(group, Classic::SIGCONT);
    if was_stopped { Suspended::UntilContinued } else { Suspended::NotAtAll }
}
