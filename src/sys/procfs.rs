//! Other processes, as /proc shows them (`man 5 proc`): which descend from us, their names and ages.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, SysconfVar, sysconf};

use crate::process::Process;
use crate::signal::{Signal, SignalSet};

/// Reads one living process. `None`: it has ended, or it is hidden.
pub(super) fn read(pid: i32) -> Option<Process> {
    parse(pid, &fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads `/proc/PID/stat`: `pid (name) state parent group ...`, where field 20 is the number of threads and 22 the start. The
/// name may hold any byte, a closing bracket too.
fn parse(pid: i32, stat: &[u8]) -> Option<Process> {
    let stat = String::from_utf8_lossy(stat);
    let (head, tail) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let mut fields = tail.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let threads: u32 = fields.nth(14)?.parse().ok()?;
    let started = fields.nth(1)?.parse().ok()?;
    // If only the main thread has exited, the state is Z too, but the process lives.
    if matches!(state, "Z" | "X") && threads <= 1 {
        return None;
    }
    // The name is logged, so it must not contain line breaks or escape sequences.
    let name = name.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect();
    Some(Process { pid, name, parent, group, is_stopped: state == "T", started, age: age(started) })
}

fn age(started: u64) -> Option<Duration> {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?;
    let ticks_per_second = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
    let since_boot = Duration::from_millis(started.checked_mul(1000)?.checked_div(ticks_per_second)?);
    Duration::from(now).checked_sub(since_boot)
}

/// What `/proc/PID/status` says about a process's users and signals. Every user may read it.
#[derive(Clone, Debug, Default)]
pub(super) struct Status {
    /// The real, effective, saved and file-system user.
    pub(super) users: Vec<u32>,
    pub(super) blocked: SignalSet,
    pub(super) caught: SignalSet,
    pub(super) ignored: SignalSet,
}

/// Reads `/proc/PID/status` (`man 5 proc_pid_status`). `None`: the process has ended, or it is hidden.
pub(super) fn status(pid: i32) -> Option<Status> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let signals = |name: &str| {
        let bits = field(name).and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
        SignalSet::from_bits(bits.unwrap_or_default())
    };
    let users = field("Uid:")?.split_ascii_whitespace().map(|user| user.parse().ok()).collect::<Option<_>>()?;
    Some(Status { users, blocked: signals("SigBlk:"), caught: signals("SigCgt:"), ignored: signals("SigIgn:") })
}

/// Whether a process ignores a signal.
#[must_use]
pub fn ignores(pid: i32, signal: Signal) -> bool {
    status(pid).is_some_and(|status| status.ignored.contains(signal))
}

/// The words of a process's command line (`/proc/PID/cmdline`), which the process can overwrite.
#[must_use]
pub fn command(pid: i32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = bytes.strip_suffix(b"\0").unwrap_or(&bytes).split(|&byte| byte == 0);
    words.map(|word| String::from_utf8_lossy(word).into_owned()).filter(|_| !bytes.is_empty()).collect()
}

/// Visits the inodes of the sockets that a process holds, until `visit` breaks off.
///
/// # Errors
///
/// The process hides its descriptors: it is another user's, or it has ended.
pub(super) fn socket_inodes(pid: i32, visit: &mut dyn FnMut(u64) -> ControlFlow<()>) -> io::Result<()> {
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let target = match entry.and_then(|entry| fs::read_link(entry.path())) {
            Ok(target) => target,
            Err(error) if is_gone(&error) => continue, // the process has closed it since
            Err(error) => return Err(error),
        };
        if target.to_str().and_then(socket_inode).is_some_and(|inode| visit(inode).is_break()) {
            break;
        }
    }
    Ok(())
}

/// Whether a process holds a socket of these inodes, or hides what it holds.
pub(super) fn holds_or_hides(pid: i32, is_wanted: &dyn Fn(u64) -> bool) -> bool {
    let mut holds = false;
    let looked = socket_inodes(pid, &mut |inode| {
        holds = is_wanted(inode);
        if holds { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    holds || looked.is_err_and(|error| !is_gone(&error))
}

fn socket_inode(target: &str) -> Option<u64> {
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Whether the process holds the reading end of a pipe other than our stdin, on whatever descriptor: a shell that is to start a
/// filter has yet to move it to descriptor 0.
pub(super) fn reads_pipe(pid: i32) -> bool {
    let ours = fs::read_link("/proc/self/fd/0").ok();
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors.flatten().any(|descriptor| {
        let path = descriptor.path();
        let is_readable = fs::symlink_metadata(&path).is_ok_and(|link| link.permissions().mode() & 0o400 != 0);
        let target = fs::read_link(&path).ok().filter(|target| target.to_string_lossy().starts_with("pipe:"));
        is_readable && target.is_some() && target != ours
    })
}

/// Whether an error of /proc says that the process, or its descriptor, has gone.
pub(super) fn is_gone(error: &io::Error) -> bool {
    // ESRCH, for which there is no ErrorKind: the process ended while its directory was open.
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(nix::libc::ESRCH)
}

/// The kernel's name of a process (`comm`), as it is now.
#[must_use]
pub fn name(pid: i32) -> Option<String> {
    read(pid).map(|process| process.name)
}

/// Whether the process still lives, and no other has its pid.
pub(super) fn is_still_there(process: &Process) -> bool {
    read(process.pid).is_some_and(|now| now.is(process))
}

/// Every living process of our PID namespace except ourselves. `None`: /proc is missing, or shows another namespace, in which
/// the pids are those of other processes.
#[must_use]
pub fn others() -> Option<Vec<Process>> {
    let ourselves = Pid::this().as_raw();
    let shown_as = fs::read_link("/proc/self").ok()?;
    if shown_as.to_str()?.parse() != Ok(ourselves) {
        return None;
    }
    let pids = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Some(pids.filter(|&pid| pid != ourselves).filter_map(read).collect())
}

/// Whether the process has a child that /proc does not show (`hidepid` in `man 5 proc`).
#[must_use]
pub fn hides_a_child(pid: i32) -> bool {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_ascii_whitespace().any(|child| !fs::exists(format!("/proc/{child}")).unwrap_or(true))
}

/// Our descendants, except those in `except` and their descendants.
#[must_use]
pub fn descendants(except: &[Process]) -> Option<Vec<Process>> {
    let mut rest = others()?;
    let mut parents = vec![Pid::this().as_raw()];
    let mut found = Vec::new();
    // Each round takes the children of the processes that the last round found.
    while !parents.is_empty() {
        let (children, others): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|process| parents.contains(&process.parent));
        let (children, _excepted): (Vec<_>, Vec<_>) =
            children.into_iter().partition(|process| !except.iter().any(|excepted| excepted.is(process)));
        rest = others;
        parents = children.iter().map(|process| process.pid).collect();
        found.extend(children);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_brackets_spaces_and_line_breaks() {
        let stat = b"12 (a) b)\n(c) S 7 12 12 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 1000 2 18446744073709551615";
        let process = parse(12, stat).unwrap();
        assert_eq!((process.name.as_str(), process.parent, process.started), ("a) b)\\n(c", 7, 4242));
    }

    #[test]
    fn a_zombie_is_left_out_unless_other_threads_live() {
        let stat = |threads| format!("12 (a) Z 7 12 12 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 {threads} 0 4242 1000");
        assert!(parse(12, stat(1).as_bytes()).is_none());
        assert!(parse(12, stat(2).as_bytes()).is_some());
    }

    #[test]
    fn a_link_to_a_socket_names_it() {
        assert_eq!(socket_inode("socket:[50061]"), Some(50061));
        for other in ["pipe:[50061]", "anon_inode:[eventfd]", "/dev/null", "socket:[]"] {
            assert_eq!(socket_inode(other), None);
        }
    }

    #[test]
    fn our_own_users_are_read() {
        let ourselves = status(Pid::this().as_raw()).unwrap();
        assert_eq!(ourselves.users.len(), 4);
        assert!(status(i32::MAX).is_none(), "a process that is gone has none");
    }

    #[test]
    fn we_find_ourselves_young() {
        let process = read(Pid::this().as_raw()).unwrap();
        assert!(is_still_there(&process));
        assert!(process.age.unwrap() < Duration::from_secs(3600));
    }
}
