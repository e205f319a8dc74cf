//! Everything that talks to the kernel. Each system call is in a small safe function or type. No other module has `unsafe`
//! code, except for the one line that gives `main` its C name.
//!
//! What this layer promises to the code above:
//!
//! - No call blocks, except poll(2) in [`supervise`](crate::supervise) and functions whose names say that they stop us
//!   (`stop_ourselves`, `suspend_with`).
//! - No pid is signalled after its process was reaped ([`child`]), or without a check that it is still the same process
//!   (`kill`).
//! - Before a stop only these descriptors are kept open: the inbox ([`signals`]), the log ([`log_pipe`]) and, until the program
//!   runs, the pipe on which the child reports an error ([`spawn`]).
//! - A refused or missing system call (seccomp, an old kernel, no /proc) is an error or `None`, never a panic.

#![expect(unsafe_code, reason = "system calls; each is in a function of its own with a note")]

pub mod arguments;
pub mod child;
pub mod descriptors;
mod kill;
mod listen_pid;
pub mod log_pipe;
pub mod memory;
pub mod procfs;
pub mod role;
pub mod search;
pub mod signals;
pub mod sockets;
pub mod spawn;
pub mod terminal;
pub mod tracked;
pub mod wait;
