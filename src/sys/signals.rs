//! Signals: block them all, remember what was inherited, receive what arrives.
//!
//! No handler is ever installed. Every signal stays blocked for our whole life (except for a moment in `stop_our_group`) and is
//! read from a signalfd(2), so that none is lost, interrupts a system call or acts on the child before its execve. PID 1 must
//! block them: the kernel discards a signal that PID 1 neither handles nor blocks (`man 7 pid_namespaces`).
//!
//! The masks are set by system call, since the C library's functions leave out signals 32 and 33.

use std::fs::File;
use std::io::{self, Read};
use std::iter;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use nix::errno::Errno;
use nix::libc;

use crate::signal::{Origin, Signal, SignalSet};

/// The signal settings that we inherited and that the child gets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inherited {
    mask: SignalSet,
    /// Whether SIGCHLD was ignored. Its disposition is the only one that we change.
    ignores_chld: bool,
}

/// Blocks every signal. It must come first in `main`: a signal that arrives earlier is lost if we are PID 1, and ends us
/// otherwise.
///
/// SIGCHLD gets its default action: if it is inherited as ignored the kernel reaps our children itself, and we never learn
/// their exit codes (`man 2 wait`, NOTES).
#[must_use]
pub fn block_all() -> Inherited {
    let mask = set_mask(SignalSet::from_bits(u64::MAX)).unwrap_or_default();
    let ignores_chld = is_ignored(Signal::CHLD);
    set_disposition(Signal::CHLD, libc::SIG_DFL);
    Inherited { mask, ignores_chld }
}

impl Inherited {
    /// Restores what we inherited. The child calls it between fork and execve: it allocates nothing and takes no lock.
    ///
    /// # Errors
    ///
    /// The kernel refuses the mask.
    pub(super) fn restore(self) -> nix::Result<()> {
        if self.ignores_chld {
            set_disposition(Signal::CHLD, libc::SIG_IGN);
        }
        set_mask(self.mask)?; // last: a signal that is pending takes effect here, as it would on the program
        Ok(())
    }
}

/// Sets the signal mask and returns the one before.
fn set_mask(mask: SignalSet) -> nix::Result<SignalSet> {
    let new = mask.bits();
    let mut old = 0_u64;
    // SAFETY: the kernel reads and writes 8 bytes each, which is what both pointers lead to.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            ptr::from_ref(&new),
            ptr::from_mut(&mut old),
            mem::size_of::<u64>(),
        )
    };
    Errno::result(result)?;
    Ok(SignalSet::from_bits(old))
}

fn is_ignored(signal: Signal) -> bool {
    // SAFETY: all-zero bytes are a valid sigaction.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: changes nothing; `action` outlives the call.
    let result = unsafe { libc::sigaction(signal.number(), ptr::null(), &raw mut action) };
    result == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// Sets the default action or "ignore". signal(2) only fails for an invalid signal.
fn set_disposition(signal: Signal, disposition: libc::sighandler_t) {
    // SAFETY: installs no handler, so no code runs in a signal's context.
    unsafe { libc::signal(signal.number(), disposition) };
}

/// Stops our whole process group with this signal, ourselves included: a script that runs us must stop too. Returns true after
/// SIGCONT has continued us. Returns false if we were not stopped: the kernel does not stop an orphaned process group
/// (`man 3 setpgid`).
///
/// The group is sent the signal that stopped the app, as if the app were in it: timeout(1) ignores SIGTTIN and must go on. The
/// whole group is sent it by one system call. If we stopped after the others, the shell's SIGCONT on a quick `fg` could come
/// before our stop, and nothing would continue us.
#[must_use]
pub(super) fn stop_our_group(signal: Signal) -> bool {
    set_disposition(signal, libc::SIG_DFL); // in case we inherited it as ignored; the child has its own dispositions
    let _ = set_mask(SignalSet::from_bits(u64::MAX).without(signal.into()));
    // SAFETY: takes two integers. We stop here.
    unsafe { libc::kill(0, signal.number()) };
    let _ = set_mask(SignalSet::from_bits(u64::MAX));
    // The SIGCONT that continued us is still pending, since it is blocked. Take it, so that it is not passed on: we continue
    // the app ourselves, and passed on later it could undo the next Ctrl-Z.
    take_pending(Signal::CONT)
}

/// Stops this process with SIGSTOP until somebody sends SIGCONT. PID 1 cannot stop itself, and goes on.
///
/// If a SIGCONT is pending we do not stop: the stop would discard it, and it may not be sent again. A SIGCONT that comes
/// between the check and the stop is still lost: no system call does both.
pub fn stop_ourselves() {
    if !is_pending(Signal::CONT) {
        // SAFETY: takes two integers. We stop here.
        unsafe { libc::kill(libc::getpid(), libc::SIGSTOP) };
    }
}

fn is_pending(signal: Signal) -> bool {
    let mut pending = 0_u64;
    // SAFETY: the kernel writes 8 bytes, which is what the pointer leads to.
    let result = unsafe { libc::syscall(libc::SYS_rt_sigpending, ptr::from_mut(&mut pending), mem::size_of::<u64>()) };
    result == 0 && SignalSet::from_bits(pending).contains(signal)
}

fn take_pending(signal: Signal) -> bool {
    let set = SignalSet::from(signal).bits();
    let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let no_info = ptr::null_mut::<libc::siginfo_t>();
    // SAFETY: the kernel reads 8 bytes and a timespec, which is what the pointers lead to, and writes nothing.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigtimedwait,
            ptr::from_ref(&set),
            no_info,
            ptr::from_ref(&at_once),
            mem::size_of::<u64>(),
        )
    };
    result > 0 // EAGAIN: it was not pending
}

/// A signal that has arrived, and its sender.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// The signal.
    pub signal: Signal,
    /// The sender.
    pub origin: Origin,
}

/// The blocked signals that have arrived: a signalfd(2).
///
/// They are a set, not a count: two signals of a kind may have been merged, so one SIGCHLD may stand for many children.
#[derive(Debug)]
pub struct Inbox(File);

impl Inbox {
    /// Opens the inbox, close-on-exec.
    ///
    /// # Errors
    ///
    /// There is no descriptor or no memory left.
    pub fn open() -> io::Result<Self> {
        let all = u64::MAX;
        let flags = libc::SFD_NONBLOCK | libc::SFD_CLOEXEC;
        // SAFETY: the kernel reads 8 bytes, which is what the pointer leads to.
        let fd = unsafe { libc::syscall(libc::SYS_signalfd4, -1, ptr::from_ref(&all), mem::size_of::<u64>(), flags) };
        let fd = RawFd::try_from(Errno::result(fd)?).map_err(io::Error::other)?;
        // SAFETY: the kernel has just made this descriptor, and nothing else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }.into()))
    }

    /// Takes the signals that have arrived, one by one, except those with ourselves as the sender, such as the SIGPIPE of our
    /// own write to a closed pipe.
    ///
    /// It yields at most 64, the number of signals, so that a flood of signals delays no deadline. The next call yields the
    /// rest.
    pub fn take(&mut self) -> impl Iterator<Item = Received> + '_ {
        const SIZE: usize = mem::size_of::<libc::signalfd_siginfo>();
        let ourselves = std::process::id();
        let mut buffer = [0_u8; SIZE];
        iter::from_fn(move || {
            // Ends with WouldBlock. The kernel writes only whole records.
            while matches!(self.0.read(&mut buffer), Ok(SIZE)) {
                // SAFETY: the kernel has filled the buffer with this plain structure of integers.
                let info: libc::signalfd_siginfo = unsafe { ptr::read_unaligned(buffer.as_ptr().cast()) };
                let signal = i32::try_from(info.ssi_signo).ok().and_then(Signal::from_number);
                if let Some(signal) = signal.filter(|_| !(is_by_a_process(&info) && info.ssi_pid == ourselves)) {
                    return Some(Received { signal, origin: origin(&info) });
                }
            }
            None
        })
        .take(Signal::all().count())
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Inbox {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Whether a process sent it, by kill(2), tgkill(2) or sigqueue(3): `si_code` is zero or negative (`man 2 sigaction`).
fn is_by_a_process(info: &libc::signalfd_siginfo) -> bool {
    info.ssi_code <= 0
}

fn origin(info: &libc::signalfd_siginfo) -> Origin {
    match i32::try_from(info.ssi_pid) {
        _ if !is_by_a_process(info) => Origin::Kernel,
        Ok(pid) if pid > 0 => Origin::Process(pid),
        // The kernel writes 0 if the sender has no pid in our namespace.
        _ => Origin::Outside,
    }
}
