//! Signals: block them all, remember what was inherited, take what has arrived.
//!
//! No handler is ever installed. Every signal stays blocked for our whole life (but for a moment in `stop_our_group`)
//! and is read from a signalfd(2), so none can arrive in between, interrupt a system call or leak into the child. As
//! PID 1 that is more than tidiness: the kernel drops a signal for which PID 1 has neither a handler nor a block
//! (`man 7 pid_namespaces`).
//!
//! The masks go to the kernel as they are, by system call: the C library's functions leave out 32 and 33.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read};
use std::iter;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use nix::errno::Errno;
use nix::libc;

use crate::signal::{Origin, Signal, SignalSet};

/// What our parent left us, and our child is to find in its turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inherited {
    mask: SignalSet,
    /// Of the signals that were ignored, those that we or the standard library set otherwise.
    ignored: SignalSet,
}

/// Blocks every signal. Call it before anything else: what arrives earlier is lost to PID 1 and kills anybody else.
///
/// SIGCHLD gets its default action, for where it is inherited as ignored the kernel reaps our children unseen
/// (`man 2 wait`, NOTES).
#[must_use]
pub fn block_all() -> Inherited {
    let mask = set_mask(SignalSet::from_bits(u64::MAX)).unwrap_or_default();
    let ignored = [Signal::CHLD, Signal::PIPE].into_iter().filter(|&signal| is_ignored(signal)).collect();
    set_disposition(Signal::CHLD, libc::SIG_DFL);
    Inherited { mask, ignored }
}

impl Inherited {
    /// Gives the calling process what we inherited. Made for the child between fork and exec: allocates nothing, takes
    /// no lock.
    ///
    /// # Errors
    ///
    /// The kernel's, where it refuses the mask.
    pub fn restore(&self) -> io::Result<()> {
        // The standard library resets SIGPIPE in each child it makes.
        for signal in [Signal::CHLD, Signal::PIPE] {
            if self.ignored.contains(signal) {
                set_disposition(signal, libc::SIG_IGN);
            }
        }
        set_mask(self.mask)?; // last: a signal that waited takes effect here, as it would have on the app
        Ok(())
    }
}

fn set_mask(mask: SignalSet) -> io::Result<SignalSet> {
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
    // SAFETY: only asks; `action` outlives the call.
    let result = unsafe { libc::sigaction(signal.number(), ptr::null(), &raw mut action) };
    result == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// Sets the default action or "ignore". There is nothing to do about a refusal, and none is known.
fn set_disposition(signal: Signal, disposition: libc::sighandler_t) {
    // SAFETY: installs no handler, so there is no code that could run in a signal's context.
    unsafe { libc::signal(signal.number(), disposition) };
}

/// Stops our whole process group by this signal, ourselves with it: who runs us in a script must stop too. Returns when
/// somebody has woken us, and says so; `false` says that we never stopped, as the kernel has it where our group's parents
/// could not wake it (`man 3 setpgid`, orphaned process groups).
///
/// The others get the app's own signal, as they would in one group with it: timeout(1) ignores SIGTTIN, and must go on.
/// One system call reaches all of us. Were we to stop after the others, a quick `fg` could come in between, and nobody
/// would wake us again.
#[must_use]
pub(super) fn stop_our_group(signal: Signal) -> bool {
    set_disposition(signal, libc::SIG_DFL); // we may have inherited it as ignored; the app has its own copy of that
    let _ = set_mask(SignalSet::from_bits(u64::MAX).without(signal.into()));
    // SAFETY: takes two integers. Here we stop.
    unsafe { libc::kill(0, signal.number()) };
    let _ = set_mask(SignalSet::from_bits(u64::MAX));
    // Blocked as it is, it has woken us and waits. It was for us, and the app is to be woken by us: passed on later, it
    // could undo the next Ctrl-Z.
    take_pending(Signal::CONT)
}

/// Stops this process, without appeal, until somebody sends SIGCONT. PID 1 cannot be stopped from within, and goes on.
///
/// Whoever has sent that already does not send it again, and our stop would discard it. So we look first; one that comes in
/// the microsecond between look and stop is lost still, for no system call does both.
pub fn stop_ourselves() {
    if !is_pending(Signal::CONT) {
        // SAFETY: takes two integers. Here we stop.
        unsafe { libc::kill(libc::getpid(), libc::SIGSTOP) };
    }
}

/// What glibc calls a signal: "Terminated", "Hangup" (`man 3 strsignal`).
#[must_use]
pub fn describe(signal: Signal) -> String {
    match signal.number() {
        // musl, which the static binary is linked with, has words of its own for these.
        libc::SIGFPE => return "Floating point exception".to_owned(),
        number @ 34.. => return format!("Real-time signal {}", number - 34),
        _ => {}
    }
    // SAFETY: this process has one thread, so that the text, which the next call may change, stays while it is copied.
    let text = unsafe {
        let text = libc::strsignal(signal.number());
        if text.is_null() { None } else { Some(CStr::from_ptr(text).to_string_lossy().into_owned()) }
    };
    text.unwrap_or_else(|| signal.to_string())
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
    result > 0 // EAGAIN: none was there
}

/// A signal that has arrived.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Which.
    pub signal: Signal,
    /// From whom.
    pub origin: Origin,
}

/// The blocked signals that have arrived.
///
/// They are a set, not a count: two of the same kind may have become one, and one SIGCHLD may stand for many children.
#[derive(Debug)]
pub struct Inbox(File);

impl Inbox {
    /// Opens the inbox, close-on-exec.
    ///
    /// # Errors
    ///
    /// No descriptor or no memory left.
    pub fn open() -> io::Result<Self> {
        let all = u64::MAX;
        let flags = libc::SFD_NONBLOCK | libc::SFD_CLOEXEC;
        // SAFETY: the kernel reads 8 bytes, which is what the pointer leads to.
        let fd = unsafe { libc::syscall(libc::SYS_signalfd4, -1, ptr::from_ref(&all), mem::size_of::<u64>(), flags) };
        let fd = RawFd::try_from(Errno::result(fd)?).map_err(io::Error::other)?;
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }.into()))
    }

    /// Takes what has arrived, one by one, but for what we did to ourselves: writing to a closed pipe makes SIGPIPE.
    ///
    /// At most as many at a time as there are signals: whoever floods us holds up no clock. The next look shows the rest.
    pub fn take(&mut self) -> impl Iterator<Item = Received> + '_ {
        const SIZE: usize = mem::size_of::<libc::signalfd_siginfo>();
        let ourselves = std::process::id();
        let mut buffer = [0_u8; SIZE];
        iter::from_fn(move || {
            // Ends with WouldBlock; the kernel writes whole records only.
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

/// Whether a process sent it, by kill(2), tgkill(2) or sigqueue(3): codes of zero and below (`man 2 sigaction`).
fn is_by_a_process(info: &libc::signalfd_siginfo) -> bool {
    info.ssi_code <= 0
}

fn origin(info: &libc::signalfd_siginfo) -> Origin {
    match i32::try_from(info.ssi_pid) {
        _ if !is_by_a_process(info) => Origin::Kernel,
        Ok(pid) if pid > 0 => Origin::Process(pid),
        // The kernel writes 0 for a sender that has no pid in our namespace.
        _ => Origin::Outside,
    }
}
