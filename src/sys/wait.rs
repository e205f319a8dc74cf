//! Reaping: which children have changed their state. The only place that calls waitid(2).

use std::mem;

use nix::errno::Errno;
use nix::libc;

use crate::shutdown::Exit;
use crate::signal::Signal;

/// A child's change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It exited. Once it is reaped another process may get its pid.
    Exited(Exit),
    /// It was stopped by this signal.
    Stopped(Signal),
    /// It was continued.
    Continued,
}

/// The next change of state of any child, which stays to be taken. `None`: no child has changed.
///
/// # Errors
///
/// ECHILD: there are no children.
pub(super) fn peek() -> nix::Result<Option<(i32, Change)>> {
    let any_change = libc::WEXITED | libc::WSTOPPED | libc::WCONTINUED;
    wait(libc::P_ALL, 0, any_change | libc::WNOWAIT)
}

/// Takes a change that [`peek`] showed. An exited child is reaped thereby. `None`: the child has changed again since.
pub(super) fn take(pid: i32, change: Change) -> Option<(i32, Change)> {
    let kind = match change {
        Change::Exited(_) => libc::WEXITED,
        Change::Stopped(_) => libc::WSTOPPED,
        Change::Continued => libc::WCONTINUED,
    };
    wait(libc::P_PID, pid.unsigned_abs(), kind).ok().flatten()
}

/// Whether we have a child, running or not.
#[must_use]
pub fn has_children() -> bool {
    wait(libc::P_ALL, 0, libc::WEXITED | libc::WNOWAIT).is_ok()
}

/// Reaps every child that has exited.
pub fn reap_all() {
    while let Ok(Some(_)) = wait(libc::P_ALL, 0, libc::WEXITED) {}
}

fn wait(whose: libc::idtype_t, id: libc::id_t, kinds: libc::c_int) -> nix::Result<Option<(i32, Change)>> {
    // SAFETY: all-zero bytes are a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    // SAFETY: the kernel writes a siginfo_t, which is what the pointer leads to.
    Errno::result(unsafe { libc::waitid(whose, id, &raw mut info, kinds | libc::WNOHANG) })?;
    // SAFETY: the kernel has filled these fields, and left the pid zero if no child has changed.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    Ok(if pid == 0 { None } else { change(info.si_code, status).map(|change| (pid, change)) })
}

/// As `man 2 waitid` describes it.
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
