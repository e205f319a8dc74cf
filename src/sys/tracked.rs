//! A process whose end must be noticed though it need not be our child: a server.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::kill::{pidfd_open, send_to};
use super::procfs;
use crate::process::Process;
use crate::signal::Signal;

/// A process whose end is noticed.
#[derive(Debug)]
pub struct Tracked {
    process: Process,
    /// `None`: the kernel has no pidfds, or a seccomp filter refuses them, or the process has ended.
    pidfd: Option<OwnedFd>,
}

impl Tracked {
    /// Tracks a process that was seen in /proc.
    #[must_use]
    pub fn new(process: Process) -> Self {
        let pidfd = pidfd_open(&process).filter(|_| procfs::is_still_there(&process));
        Self { process, pidfd }
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Whether it still runs. A zombie does not.
    #[must_use]
    pub fn is_running(&self) -> bool {
        procfs::is_still_there(&self.process)
    }

    /// The descriptor that becomes readable at its end.
    #[must_use]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    /// Whether it holds a socket of these inodes, or hides what it holds.
    #[must_use]
    pub fn holds_or_hides(&self, is_wanted: &dyn Fn(u64) -> bool) -> bool {
        procfs::holds_or_hides(self.process.pid, is_wanted)
    }

    /// Sends it a signal, and continues it if it is stopped. Returns whether the signal was sent, or the process has ended.
    #[must_use]
    pub fn send(&self, signal: Signal) -> bool {
        let sent = send_to(&self.process, signal);
        if procfs::read(self.process.pid).is_some_and(|now| now.is(&self.process) && now.is_stopped) {
            send_to(&self.process, Signal::CONT);
        }
        sent
    }
}
