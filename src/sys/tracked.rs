//! A process whose end we want to hear of, though it need not be our child.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::kill::{pidfd_open, send_to};
use super::procfs;
use crate::process::Process;
use crate::signal::Signal;

/// A process that is followed to its end.
#[derive(Debug)]
pub struct Tracked {
    process: Process,
    /// `None`: this kernel has none, or refuses it.
    pidfd: Option<OwnedFd>,
}

impl Tracked {
    /// Follows a process that was seen.
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

    /// Whether it has not ended. A zombie has.
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
        let mut holds = false;
        let looked = procfs::socket_inodes(self.process.pid, &mut |inode| holds |= is_wanted(inode));
        holds || looked.is_err_and(|error| !procfs::is_gone(&error))
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
