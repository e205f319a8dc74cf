//! File descriptors: the child gets none of ours, and we keep none of the child's.

use std::fs;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sys::stat::Mode;

/// Opens those of descriptors 0, 1 and 2 that are closed. Otherwise a file that we open could get number 2, and log lines would
/// be written to it. They are opened so that they can be neither read nor written, and close-on-exec, so the child finds them
/// closed.
pub fn fill_standard_descriptors() {
    // open(2) returns the lowest free number; once that is above 2, all three are open.
    while let Ok(fd) = open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()) {
        if fd.as_raw_fd() > libc::STDERR_FILENO {
            return;
        }
        let _ = fd.into_raw_fd(); // keep it open
    }
}

/// Closes every descriptor that we inherited, except the standard three and our own, which `keep` lists. The child has its own
/// copies. If ours stayed open, a listener that the app closes would still accept connections.
pub fn close_inherited(mut keep: Vec<RawFd>) {
    keep.sort_unstable();
    let mut first = libc::STDERR_FILENO + 1;
    for end in keep.iter().copied().chain([RawFd::MAX]) {
        if first < end && close_range(first, end - 1).is_err() {
            // Linux before 5.9, or a seccomp filter that refuses close_range(2).
            return close_listed(&keep);
        }
        first = end.saturating_add(1);
    }
}

fn close_range(first: RawFd, last: RawFd) -> nix::Result<()> {
    // SAFETY: nothing in this process uses a descriptor above the standard three, except those that the caller keeps.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}

fn close_listed(keep: &[RawFd]) {
    let Ok(listing) = fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<RawFd> = listing.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for fd in open {
        if fd > libc::STDERR_FILENO && !keep.contains(&fd) {
            // SAFETY: as above. EBADF is the listing's own descriptor, which is closed already.
            unsafe { libc::close(fd) };
        }
    }
}
