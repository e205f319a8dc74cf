//! The main child and everything that descends from it: start, signal, reap, kill what is left.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::errno::Errno;
use nix::unistd::Pid;

use super::kill::{kill, send_to};
use super::procfs;
use super::role::is_pid_one;
use super::signals::Inherited;
use super::spawn::{self, ExecStatus};
use super::wait::{self, Change};
use crate::process::{ChildGroup, Process, SpawnError, Target};
use crate::signal::Signal;

/// How often the search for processes that forked during a SIGKILL is repeated at most.
const MOST_SWEEPS: usize = 16;

/// What one round of reaping brought.
#[derive(Debug, Default)]
pub struct Reaped {
    /// Who changed, and how.
    pub changes: Vec<(i32, Change)>,
    /// What the main child's group was sent before that child was reaped, and whether that succeeded.
    pub exit_signal: Option<(Signal, io::Result<()>)>,
    /// Whether no process of ours is left.
    pub nobody_left: bool,
}

/// The main child, and by descent all other processes of ours.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    group: ChildGroup,
    is_reaped: bool,
    /// `None`: the execve has been done, or has failed.
    exec_status: Option<ExecStatus>,
    /// Descendants that existed before the main child: a shell that ends in `exec softstop ..` leaves us its background jobs.
    /// They are not ours. (PID 1 has none: every process of its namespace is its own.)
    preexisting: Vec<Process>,
}

impl Child {
    /// Starts the program as if we were not there: with the signal mask, the ignored signals, the working directory and the
    /// descriptors that we inherited. A process group of its own becomes the terminal's foreground if `in_foreground` says
    /// so. The execve may be still to come: [`Self::exec_result`] tells.
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

    /// Its pid, and its process group's.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Whether it has been reaped.
    #[must_use]
    pub fn is_reaped(&self) -> bool {
        self.is_reaped
    }

    /// The descriptor that becomes readable when the program runs or cannot be run, until [`Self::exec_result`] has told.
    #[must_use]
    pub fn exec_status(&self) -> Option<BorrowedFd<'_>> {
        self.exec_status.as_ref().map(AsFd::as_fd)
    }

    /// The number of that descriptor.
    #[must_use]
    pub fn exec_status_number(&self) -> Option<RawFd> {
        self.exec_status.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Whether the program runs. Tells once; `None` before and after.
    pub fn exec_result(&mut self) -> Option<Result<(), SpawnError>> {
        let result = self.exec_status.as_mut()?.read()?;
        self.exec_status = None;
        Some(result)
    }

    /// Takes every change of state of our children.
    ///
    /// Before the main child is reaped its group is sent `exit_signal`: until then no other process can have its pid, nor
    /// another group its number. So each change is looked at first and taken afterwards.
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
    /// The kernel's: a child that changed its user may be beyond our permissions (EPERM). A child that has just ended is no
    /// error.
    pub fn send(&self, signal: Signal, target: Target) -> io::Result<()> {
        if self.is_reaped {
            return self.send_rest(signal, None);
        }
        let result = match target {
            Target::Child | Target::Server => kill(self.pid.as_raw(), signal),
            // The group is our own: the signal would reach us.
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

    /// Sends a signal to each of our descendants, except the members of one group. A stopped process is also sent SIGCONT, since
    /// it could not act on the signal otherwise.
    ///
    /// # Errors
    ///
    /// /proc does not show our descendants.
    pub fn send_rest(&self, signal: Signal, except_group: Option<i32>) -> io::Result<()> {
        match procfs::descendants(&self.preexisting) {
            Some(rest) => {
                for process in rest.iter().filter(|process| Some(process.group) != except_group) {
                    send_to(process, signal);
                    if process.is_stopped {
                        send_to(process, Signal::CONT);
                    }
                }
                Ok(())
            }
            // Without /proc, PID 1 signals everybody else in the namespace. ESRCH: nobody is left.
            None if is_pid_one() => {
                let _ = kill(-1, signal);
                let _ = kill(-1, Signal::CONT);
                Ok(())
            }
            None => Err(io::Error::other("/proc does not show which processes are left")),
        }
    }

    /// SIGKILL to every remaining process: as PID 1 to everybody in the namespace, otherwise to the main child's group and to
    /// each descendant. Returns who that was, if /proc shows it.
    #[must_use]
    pub fn kill_all(&self) -> Option<Vec<Process>> {
        if is_pid_one() {
            let killed = procfs::others();
            let _ = kill(-1, Signal::KILL); // ESRCH: nobody is left
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
        // A process may have forked between the look and its end, so look again until there is no new one; but not for ever.
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

    /// The main child's descendants and all others of ours, parents before children, if /proc shows them.
    #[must_use]
    pub fn tree(&self) -> Option<Vec<Process>> {
        procfs::descendants(&self.preexisting)
    }

    /// Whether a process of ours reads from a pipe that is not our own stdin: a filter on the output of the main child, such as
    /// `tee`. It ends by itself when it has read everything.
    #[must_use]
    pub fn has_filters(&self) -> bool {
        let ours = procfs::stdin_pipe("self");
        let pipe_of = |process: &Process| procfs::stdin_pipe(&process.pid.to_string());
        self.tree().unwrap_or_default().iter().filter_map(pipe_of).any(|pipe| Some(&pipe) != ours.as_ref())
    }

    /// Whether one of our processes besides the main child holds one of these sockets, or hides what it holds.
    #[must_use]
    pub fn others_hold(&self, inodes: &[u64]) -> bool {
        let others = self.tree().unwrap_or_default();
        others.iter().filter(|process| process.pid != self.pid.as_raw()).any(|process| {
            let mut holds = false;
            let looked = procfs::socket_inodes(process.pid, &mut |inode| holds |= inodes.contains(&inode));
            holds || looked.is_err_and(|error| !procfs::is_gone(&error))
        })
    }

    /// Every living process of ours, if /proc shows them: as PID 1 everybody in the namespace.
    #[must_use]
    pub fn processes(&self) -> Option<Vec<Process>> {
        if is_pid_one() { procfs::others() } else { procfs::descendants(&self.preexisting) }
    }
}
