//! Memory: a copy of us sleeps in every container, so what only the start needed goes back.

use std::ptr;

use nix::libc;
use nix::unistd::{SysconfVar, sysconf};

/// More than reading the settings has ever used of the stack (some 40 kB).
const USED: usize = 256 * 1024;

/// Gives back the main thread's stack below us, which the reading of the settings has touched and the loop will not
/// again. That is most of our anonymous memory. (Another thread's stack has no gap below it: never call it from one.)
#[inline(never)] // in its caller's frame `here` could lie far above what is still alive
pub fn give_back_stack() {
    let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten().and_then(|size| usize::try_from(size).ok());
    let Some(page) = page else { return };
    let here = 0_u8;
    // The stack grows downwards. One page of leeway is for the call below.
    let end = (ptr::from_ref(&here).addr() & !(page - 1)).saturating_sub(page);
    let start = end.saturating_sub(USED);
    // SAFETY: below the stack pointer nothing is alive, and nothing else is mapped there: the kernel keeps a gap of 1 MiB
    // below the stack (`Documentation/admin-guide/kernel-parameters.txt`, stack_guard_gap). Where the stack is shorter,
    // the rest of the range is unmapped, which the kernel reports (ENOMEM) after doing its work.
    unsafe { libc::madvise(ptr::without_provenance_mut(start), end - start, libc::MADV_DONTNEED) };
}
