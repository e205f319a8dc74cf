//! Our own memory, and out-of-memory kills. There is an init in every container, so it gives back the pages that only the start
//! needed.

use std::fs;
use std::ptr;

use nix::libc;
use nix::unistd::{SysconfVar, sysconf};

/// More than the start uses of the stack (about 40 kB).
const USED: usize = 256 * 1024;

/// Gives back the pages of the main thread's stack below the current frame. Reading the settings has touched them, and the loop
/// does not need them. They are most of our anonymous memory. It must not be called from another thread, whose stack has no
/// gap below it.
#[inline(never)] // if it were inlined, parts of the caller's frame could lie below `here`
pub fn give_back_stack() {
    let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten().and_then(|size| usize::try_from(size).ok());
    let Some(page) = page else { return };
    let here = 0_u8;
    // The stack grows downwards. One page is left for the call below.
    let end = (ptr::from_ref(&here).addr() & !(page - 1)).saturating_sub(page);
    let start = end.saturating_sub(USED);
    // SAFETY: nothing below the stack pointer is in use, and nothing else is mapped there: the kernel keeps a gap of 1 MiB
    // below the stack (`Documentation/admin-guide/kernel-parameters.txt`, stack_guard_gap). If the stack is shorter the rest
    // of the range is unmapped, which the kernel reports (ENOMEM) after it has done the rest.
    unsafe { libc::madvise(ptr::without_provenance_mut(start), end - start, libc::MADV_DONTNEED) };
}

/// How many processes the kernel has killed in our memory cgroup because it was out of memory (cgroup v2, else v1). `None`:
/// unknown.
#[must_use]
pub fn oom_kills() -> Option<u64> {
    let ours = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let path = |controller: &str| ours.lines().find_map(|line| line.split_once(':')?.1.strip_prefix(controller));
    // In a container the path is often that of the host, and the cgroup is mounted at the root.
    let files = [
        format!("/sys/fs/cgroup{}/memory.events", path(":").unwrap_or_default()),
        "/sys/fs/cgroup/memory.events".to_owned(),
        format!("/sys/fs/cgroup/memory{}/memory.oom_control", path("memory:").unwrap_or_default()),
        "/sys/fs/cgroup/memory/memory.oom_control".to_owned(),
    ];
    let text = files.iter().find_map(|file| fs::read_to_string(file).ok())?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}
