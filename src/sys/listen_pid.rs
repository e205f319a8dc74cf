//! systemd's variables `LISTEN_PID` and `WATCHDOG_PID`, which must hold the child's pid, and not ours.

use std::env;
use std::io::Write;

use nix::libc;
use nix::unistd::Pid;

/// One of these variables in our environment. A server uses the sockets that systemd passes only if the variable holds its own
/// pid (`man 3 sd_listen_fds`), and likewise the watchdog (`man 3 sd_watchdog_enabled`).
#[derive(Clone, Copy, Debug)]
pub(super) struct PidVariable(*mut u8);

const NAMES: [&str; 2] = ["LISTEN_PID", "WATCHDOG_PID"];

/// The variables that hold our pid, prepared for the child.
pub(super) fn of_this_process() -> [Option<PidVariable>; 2] {
    NAMES.map(PidVariable::of_this_process)
}

impl PidVariable {
    /// Room for the digits of the highest pid and the zero byte.
    const ROOM: usize = 11;

    /// If the variable holds our pid, replaces it by a copy with room for any pid: the child cannot allocate between fork and
    /// execve.
    ///
    /// Since version 258 systemd also passes the inode of our pidfd (`LISTEN_PIDFDID`). The child would have to look up its own
    /// between fork and execve, so that variable is removed: without it only the pid is compared.
    fn of_this_process(name: &str) -> Option<Self> {
        let value = env::var(name).ok()?;
        if value.parse() != Ok(Pid::this().as_raw()) {
            return None;
        }
        let mut variable = format!("{name}=").into_bytes();
        let digits = variable.len();
        variable.resize(digits + Self::ROOM, 0);
        let variable = variable.leak().as_mut_ptr();
        let pid = Self(variable.wrapping_add(digits));
        pid.set_to_this_process();
        // SAFETY: the string ends with a zero byte and is never freed. No other thread reads the environment.
        let result = unsafe { libc::putenv(variable.cast()) };
        // SAFETY: no other thread reads the environment.
        unsafe { env::remove_var("LISTEN_PIDFDID") };
        (result == 0).then_some(pid)
    }

    /// Writes the pid of the calling process. Allocates nothing, so the child may call it between fork and execve.
    pub(super) fn set_to_this_process(self) {
        // SAFETY: the variable has this much room behind the pointer, and nobody else refers to it.
        let room = unsafe { std::slice::from_raw_parts_mut(self.0, Self::ROOM) };
        let mut rest: &mut [u8] = room;
        let _ = write!(rest, "{}\0", Pid::this()); // it fits
    }
}
