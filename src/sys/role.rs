//! Our role among the processes: PID 1, a subreaper, and a child that the kernel signals when its parent dies.

use std::io;

use nix::errno::Errno;
use nix::libc;
use nix::unistd::Pid;

use crate::signal::Signal;

/// Whether we are PID 1: orphans become our children, and the whole namespace ends with us (`man 7 pid_namespaces`).
#[must_use]
pub fn is_pid_one() -> bool {
    Pid::this().as_raw() == 1
}

/// From now on orphans among our descendants become our children, instead of PID 1's (`man 2 prctl`, `PR_SET_CHILD_SUBREAPER`).
///
/// # Errors
///
/// The kernel's: a seccomp filter may refuse it.
pub fn become_subreaper() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// Whether we are a subreaper. If the kernel refuses to answer we are not.
#[must_use]
pub fn is_subreaper() -> bool {
    nix::sys::prctl::get_child_subreaper().unwrap_or(false)
}

/// Asks the kernel to send us this signal when our parent dies (`man 2 prctl`, `PR_SET_PDEATHSIG`).
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
