//! Other processes, as /proc shows them (`man 5 proc`): who descends from us, what it is called, how old it is.

use std::fs;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, SysconfVar, sysconf};

/// A process at the moment of the look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// The kernel's name for it: the first 15 bytes of the program's.
    pub name: String,
    /// Its process group.
    pub group: i32,
    /// Whether it is stopped.
    pub is_stopped: bool,
    parent: i32,
    is_dead: bool,
    /// When it started, in clock ticks since boot. A pid may come again, but not with the same start.
    started: u64,
}

impl Process {
    /// Looks at one process. `None`: gone, or not to be seen.
    #[must_use]
    pub fn look(pid: i32) -> Option<Self> {
        Self::parse(pid, &fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Reads `/proc/PID/stat`: `pid (name) state parent group ...`, field 20 being the number of threads, 22 the start.
    /// The name may hold anything, a closing bracket too.
    fn parse(pid: i32, stat: &[u8]) -> Option<Self> {
        let stat = String::from_utf8_lossy(stat);
        let (head, tail) = stat.rsplit_once(')')?;
        let (_, name) = head.split_once('(')?;
        let mut fields = tail.split_ascii_whitespace();
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let threads: u32 = fields.nth(14)?.parse().ok()?;
        let started = fields.nth(1)?.parse().ok()?;
        // It goes into a log.
        let name = name.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] });
        // Where only the main thread has ended, the process shows as a zombie and is none.
        let is_dead = matches!(state, "Z" | "X") && threads <= 1;
        Some(Self { pid, name: name.collect(), group, is_stopped: state == "T", parent, is_dead, started })
    }

    /// Whether this is the same process, seen at another moment.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        (self.pid, self.started) == (other.pid, other.started)
    }

    /// Whether this is still the same process, and not another under the same number.
    #[must_use]
    pub fn is_still_there(&self) -> bool {
        Self::look(self.pid).is_some_and(|now| now.is(self))
    }

    /// How long ago it started.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        let now = clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?;
        let ticks_per_second = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
        let since_boot = Duration::from_millis(self.started.checked_mul(1000)?.checked_div(ticks_per_second)?);
        Duration::from(now).checked_sub(since_boot)
    }
}

/// Every living process of our PID namespace but ourselves. `None` where /proc is missing or another namespace's: its
/// numbers would mean other processes to us.
#[must_use]
pub fn others() -> Option<Vec<Process>> {
    let ourselves = Pid::this().as_raw();
    let seen_as = fs::read_link("/proc/self").ok()?;
    if seen_as.to_str()?.parse() != Ok(ourselves) {
        return None;
    }
    let pids = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Some(pids.filter(|&pid| pid != ourselves).filter_map(Process::look).filter(|process| !process.is_dead).collect())
}

/// Our descendants, but for those in `except` and what descends from them.
#[must_use]
pub fn descendants(except: &[Process]) -> Option<Vec<Process>> {
    let mut rest = others()?;
    let mut family = vec![Pid::this().as_raw()];
    let mut found = Vec::new();
    // Generation by generation: each round takes the children of the last.
    while !family.is_empty() {
        let (children, others): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|process| family.contains(&process.parent));
        let (children, _strangers): (Vec<_>, Vec<_>) =
            children.into_iter().partition(|process| !except.iter().any(|stranger| stranger.is(process)));
        rest = others;
        family = children.iter().map(|process| process.pid).collect();
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
        let process = Process::parse(12, stat).unwrap();
        assert_eq!((process.name.as_str(), process.parent, process.started), ("a) b)\\n(c", 7, 4242));
        assert!(!process.is_dead);
    }

    #[test]
    fn our_own_look_finds_ourselves_young() {
        let process = Process::look(Pid::this().as_raw()).unwrap();
        assert!(process.is_still_there());
        assert!(process.age().unwrap() < Duration::from_secs(3600));
    }
}
