//! The main child and everything that descends from it: start, signal, reap, kill what is left.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::errno::Errno;
use nix::unistd::Pid;

use super::kill::{kill, may_signal, send_to};
use super::procfs;
use super::role::is_pid_one;
use super::signals::Inherited;
use super::spawn::{self, ExecStatus};
use super::wait::{self, Change};
use crate::process::{ChildGroup, Process, SpawnError, Target};
use crate::signal::Signal;

/// At most this often [`Child::kill_all`] searches again for processes that were forked while it sent SIGKILL.
const MOST_SWEEPS: usize = 16;

/// The result of one round of reaping.
#[derive(Debug, Default)]
pub struct Reaped {
    /// The pid of each child whose state has changed, and the change.
    pub changes: Vec<(i32, Change)>,
    /// The signal that the main child's group was sent before that child was reaped, and whether that succeeded.
    pub exit_signal: Option<(Signal, io::Result<()>)>,
    /// Whether no process of ours is left.
    pub nobody_left: bool,
}

/// What became of a signal to the processes that are left.
#[derive(Debug)]
pub struct SentToRest {
    /// Whether it was sent: to at least one, or there was none.
    pub is_sent: bool,
    /// The processes that the kernel did not let us signal, as far as is known.
    pub refused: Vec<Process>,
}

/// The main child, and all our other descendants.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    group: ChildGroup,
    is_reaped: bool,
    /// `None`: the result of the execve is known.
    exec_status: Option<ExecStatus>,
    /// Descendants that existed before the main child: a shell that ends in `exec softstop ..` leaves us its background jobs.
    /// They are neither signalled nor waited for. (PID 1 has none: every process of its namespace belongs to it.)
    preexisting: Vec<Process>,
}

impl Child {
    /// Starts the program with the signal mask, the ignored signals, the working directory and the descriptors that we
    /// inherited. With `in_foreground` its process group becomes the terminal's foreground. It may not have called execve(2)
    /// yet when this returns: see [`Self::exec_result`].
    ///
    /// # Errors
    ///
    /// fork(2) or pipe(2) failed.
    pub fn start(
        command: &[OsString],
        inherited: Inherited,
        group: ChildGroup,
        in_foreground: bool,
    ) -> Result<Self, SpawnError> {
        let preexisting = if is_pid_one() || !wait::has_children() {
            Vec::new()
        } else {
            procfs::descendants(&[]).unwrap_or_default()
        };
        let (pid, exec_status) = spawn::spawn(command, inherited, group, in_foreground)?;
        Ok(Self { pid, group, is_reaped: false, exec_status: Some(exec_status), preexisting })
    }

    /// Its pid, which is also the number of its process group if it leads one.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Whether it has been reaped.
    #[must_use]
    pub fn is_reaped(&self) -> bool {
        self.is_reaped
    }

    /// The descriptor that becomes readable when the program runs or cannot be run. `None` after [`Self::exec_result`] has told
    /// which.
    #[must_use]
    pub fn exec_status(&self) -> Option<BorrowedFd<'_>> {
        self.exec_status.as_ref().map(AsFd::as_fd)
    }

    /// The number of that descriptor.
    #[must_use]
    pub fn exec_status_number(&self) -> Option<RawFd> {
        self.exec_status.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Whether the program runs. Returns the result once, when it is known; `None` before and after.
    pub fn exec_result(&mut self) -> Option<Result<(), SpawnError>> {
        let result = self.exec_status.as_mut()?.read()?;
        self.exec_status = None;
        Some(result)
    }

    /// Takes every change of state of our children.
    ///
    /// The main child's group is sent `exit_signal` before the main child is reaped: until then no other process can have its
    /// pid, and no other group its number. So each change is peeked at first (`WNOWAIT`) and taken afterwards.
    pub fn reap(&mut self, exit_signal: Option<Signal>) -> Reaped {
        let mut reaped = Reaped::default();
        loop {
            let (pid, change) = match wait::peek() {
                Ok(Some(waiting)) => waiting,
                Ok(None) => {
                    reaped.nobody_left = !self.preexisting.is_empty() && self.has_only_preexisting();
                    return reaped;
                }
                // ECHILD, the only possible error: waitid(2) does not block, and its arguments are valid.
                Err(_) => {
                    reaped.nobody_left = true;
                    return reaped;
                }
            };
            if matches!(change, Change::Exited(_)) && pid == self.pid.as_raw() {
                reaped.exit_signal = exit_signal.map(|signal| (signal, self.send(signal, Target::Group)));
                self.is_reaped = true;
            }
            reaped.changes.extend(wait::take(pid, change));
        }
    }

    fn has_only_preexisting(&self) -> bool {
        procfs::descendants(&self.preexisting).is_some_and(|descendants| descendants.is_empty())
    }

    /// Sends a signal to the main child or to its group; after it is reaped, to its remaining descendants.
    ///
    /// # Errors
    ///
    /// Those of kill(2): EPERM if the child has changed its user and we lack the privilege. It is no error if the child has
    /// just ended.
    pub fn send(&self, signal: Signal, target: Target) -> io::Result<()> {
        if self.is_reaped {
            return match self.send_rest(signal, None)? {
                SentToRest { is_sent: true, .. } => Ok(()),
                SentToRest { is_sent: false, .. } => Err(Errno::EPERM.into()),
            };
        }
        let result = match target {
            Target::Child | Target::Server => kill(self.pid.as_raw(), signal),
            // The child is in our own group, so a signal to the group would reach us too.
            Target::Group if self.group == ChildGroup::Inherited => kill(self.pid.as_raw(), signal),
            Target::Group => match kill(-self.pid.as_raw(), signal) {
                Err(Errno::ESRCH) => kill(self.pid.as_raw(), signal), // it has moved to another group
                other => other,
            },
        };
        match result {
            Ok(()) | Err(Errno::ESRCH) => Ok(()), // ended, though not reaped yet
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a signal to each of our descendants, except the members of one group. A stopped process is also sent SIGCONT, so
    /// that it can act on the signal.
    ///
    /// # Errors
    ///
    /// /proc does not show our descendants.
    pub fn send_rest(&self, signal: Signal, except_group: Option<i32>) -> io::Result<SentToRest> {
        match procfs::descendants(&self.preexisting) {
            Some(mut rest) => {
                rest.retain(|process| Some(process.group) != except_group);
                let (sent, refused): (Vec<_>, Vec<_>) = rest.into_iter().partition(|process| send_to(process, signal));
                for process in sent.iter().filter(|process| process.is_stopped) {
                    send_to(process, Signal::CONT);
                }
                Ok(SentToRest { is_sent: !sent.is_empty() || refused.is_empty(), refused })
            }
            // Without /proc, PID 1 signals every other process of the namespace. ESRCH: there is none.
            None if is_pid_one() => {
                let _ = kill(-1, signal);
                let _ = kill(-1, Signal::CONT);
                Ok(SentToRest { is_sent: true, refused: Vec::new() })
            }
            None => Err(io::Error::other("/proc does not show which processes are left")),
        }
    }

    /// Sends SIGKILL to every remaining process: as PID 1 to all of the namespace, otherwise to the main child's group and to
    /// each descendant. Returns the processes that could be sent it, if /proc shows them.
    #[must_use]
    pub fn kill_all(&self) -> Option<Vec<Process>> {
        if is_pid_one() {
            let others = procfs::others();
            let killed = others.map(|others| others.into_iter().filter(|process| may_signal(process.pid)).collect());
            let _ = kill(-1, Signal::KILL); // ESRCH: there is none
            return killed;
        }
        let seen = procfs::descendants(&self.preexisting);
        if !self.is_reaped {
            if self.group != ChildGroup::Inherited {
                let _ = kill(-self.pid.as_raw(), Signal::KILL);
            }
            let _ = kill(self.pid.as_raw(), Signal::KILL); // in case it has moved to another group
        }
        let mut seen = seen?;
        let mut killed: Vec<Process> = seen.iter().filter(|process| send_to(process, Signal::KILL)).cloned().collect();
        // A process may have forked after /proc was read and before SIGKILL ended it. So read /proc again until it shows no new
        // process, a limited number of times.
        for _ in 0..MOST_SWEEPS {
            let mut new = procfs::descendants(&self.preexisting).unwrap_or_default();
            new.retain(|process| !seen.iter().any(|known| known.is(process)));
            if new.is_empty() {
                break;
            }
            killed.extend(new.iter().filter(|process| send_to(process, Signal::KILL)).cloned());
            seen.append(&mut new);
        }
        Some(killed)
    }

    /// Our descendants, the main child included, parents before children, if /proc shows them.
    #[must_use]
    pub fn tree(&self) -> Option<Vec<Process>> {
        procfs::descendants(&self.preexisting)
    }

    /// Whether one of our processes reads a pipe other than our stdin: it may be a filter on the main child's output, such as
    /// `tee`, which exits when it has read everything.
    #[must_use]
    pub fn has_filters(&self) -> bool {
        let one_reads = || self.tree().unwrap_or_default().iter().any(|process| procfs::reads_pipe(process.pid));
        // A shell may be moving the pipe to descriptor 0 while we look.
        one_reads() || one_reads()
    }

    /// Whether one of our processes besides the main child holds one of these sockets, or hides what it holds.
    #[must_use]
    pub fn others_hold(&self, inodes: &[u64]) -> bool {
        let others = self.tree().unwrap_or_default();
        let mut others = others.iter().filter(|process| process.pid != self.pid.as_raw());
        others.any(|process| procfs::holds_or_hides(process.pid, &|inode| inodes.binary_search(&inode).is_ok()))
    }

    /// All our living processes, if /proc shows them: as PID 1 those of the whole namespace, otherwise our descendants.
    #[must_use]
    pub fn processes(&self) -> Option<Vec<Process>> {
        if is_pid_one() { procfs::others() } else { procfs::descendants(&self.preexisting) }
    }
}
