//! Sending signals: to a pid or process group that cannot have been reused, and to processes that another process may reap at
//! any time.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use nix::errno::Errno;
use nix::libc;

use super::procfs;
use crate::process::Process;
use crate::signal::Signal;

/// kill(2): to a process; with a negative number to that group; with -1 to every other process of the PID namespace.
pub(super) fn kill(pid: i32, signal: Signal) -> Result<(), Errno> {
    // SAFETY: takes two integers and changes no memory.
    Errno::result(unsafe { libc::kill(pid, signal.number()) }).map(drop)
}

/// Whether the kernel lets us signal this process. kill(2) to -1 does not tell whom it has left out.
pub(super) fn may_signal(pid: i32) -> bool {
    // SAFETY: takes two integers and changes no memory. Signal 0 is never delivered.
    Errno::result(unsafe { libc::kill(pid, 0) }) != Err(Errno::EPERM)
}

/// A descriptor that refers to the process, and that becomes readable when the process ends (`man 2 pidfd_open`). The caller
/// must check afterwards that the pid is still that of the same process. `None`: Linux before 5.3, a seccomp filter, or the
/// process is gone.
pub(super) fn pidfd_open(process: &Process) -> Option<OwnedFd> {
    // SAFETY: takes integers and returns a new descriptor.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, process.pid, 0) });
    // SAFETY: the kernel has just made this descriptor, and nothing else owns it.
    fd.ok().and_then(|fd| RawFd::try_from(fd).ok()).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Signals a process that may not be our child: its parent may reap it at any time, and another process may get its pid. A
/// pidfd pins the process (`man 2 pidfd_open`); then we check that it is the one that was seen. Returns whether the signal
/// was sent or the process is gone.
pub(super) fn send_to(process: &Process, signal: Signal) -> bool {
    let Some(pidfd) = pidfd_open(process) else { return send_without_pidfd(process, signal) };
    if !procfs::is_still_there(process) {
        return true;
    }
    // SAFETY: with a null siginfo the kernel reads no memory of ours.
    let result = Errno::result(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal.number(), ptr::null::<u8>(), 0)
    });
    match result {
        Ok(_) | Err(Errno::ESRCH) => true, // ESRCH: it has ended
        Err(_) => send_without_pidfd(process, signal),
    }
}

/// The same without pidfds: Linux before 5.3, or a seccomp filter. In the microseconds between the check and the signal the
/// process could end, but its pid is reused only after every other pid was.
fn send_without_pidfd(process: &Process, signal: Signal) -> bool {
    !procfs::is_still_there(process) || matches!(kill(process.pid, signal), Ok(()) | Err(Errno::ESRCH))
}
