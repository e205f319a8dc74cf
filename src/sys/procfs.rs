//! Other processes, as /proc shows them (`man 5 proc`): which descend from us, their names and ages.

use std::fs;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, SysconfVar, sysconf};

use crate::process::Process;

/// Reads one living process. `None`: it has ended, or it is hidden.
fn read(pid: i32) -> Option<Process> {
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
    // If only the main thread has ended the state is that of a zombie too, but the process lives.
    if matches!(state, "Z" | "X") && threads <= 1 {
        return None;
    }
    // The name goes into a log line.
    let name = name.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect();
    Some(Process { pid, name, parent, group, is_stopped: state == "T", started, age: age(started) })
}

fn age(started: u64) -> Option<Duration> {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?;
    let ticks_per_second = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
    let since_boot = Duration::from_millis(started.checked_mul(1000)?.checked_div(ticks_per_second)?);
    Duration::from(now).checked_sub(since_boot)
}

/// Whether the process still lives, and no other has its pid.
pub(super) fn is_still_there(process: &Process) -> bool {
    read(process.pid).is_some_and(|now| now.is(process))
}

/// Every living process of our PID namespace except ourselves. `None`: /proc is missing, or shows another namespace, whose pids
/// would mean other processes to us.
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

/// Our descendants, except those in `except` and their descendants.
#[must_use]
pub fn descendants(except: &[Process]) -> Option<Vec<Process>> {
    let mut rest = others()?;
    let mut parents = vec![Pid::this().as_raw()];
    let mut found = Vec::new();
    // Generation by generation: each round takes the children of the last.
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
    fn we_find_ourselves_young() {
        let process = read(Pid::this().as_raw()).unwrap();
        assert!(is_still_there(&process));
        assert!(process.age.unwrap() < Duration::from_secs(3600));
    }
}
