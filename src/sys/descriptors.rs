//! File descriptors: none of ours reaches the child, none of the child's stays with us.

use std::fs;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sys::stat::Mode;

/// Fills the holes among descriptors 0, 1 and 2, so that no file of ours lands there and is taken for stderr. The
/// fillers can be neither read nor written, and are close-on-exec: the child finds the same holes.
pub fn fill_standard_holes() {
    // open(2) takes the lowest free number; the first above 2 says that there is no hole left.
    while let Ok(fd) = open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()) {
        if fd.as_raw_fd() > libc::STDERR_FILENO {
            return;
        }
        let _ = fd.into_raw_fd(); // to stay open
    }
}

/// Closes all that we inherited beyond the standard three, but for our own inbox and log. The child has its own copies
/// by now; with ours open, a listener that the app closes would go on accepting connections.
pub fn close_inherited(inbox: RawFd, log: Option<RawFd>) {
    let mut keep: Vec<RawFd> = log.into_iter().chain([inbox]).collect();
    keep.sort_unstable();
    let mut first = libc::STDERR_FILENO + 1;
    for end in keep.iter().copied().chain([RawFd::MAX]) {
        if first < end && close_range(first, end - 1).is_err() {
            // Linux before 5.9, or a seccomp filter that knows no close_range(2)
            return close_listed(&keep);
        }
        first = end.saturating_add(1);
    }
}

fn close_range(first: RawFd, last: RawFd) -> nix::Result<()> {
    // SAFETY: nothing in this process owns a descriptor beyond the standard three but the ones the caller keeps.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}

fn close_listed(keep: &[RawFd]) {
    let Ok(listing) = fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<RawFd> = listing.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for fd in open {
        if fd > libc::STDERR_FILENO && !keep.contains(&fd) {
            // SAFETY: as above. EBADF, for the listing's own descriptor, is what we wanted.
            unsafe { libc::close(fd) };
        }
    }
}
