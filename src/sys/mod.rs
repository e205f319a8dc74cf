//! Everything that talks to the kernel. Each system call stands behind a small safe function or type; no other module
//! holds `unsafe` code, but for the one line that gives `main` its C name.

#![expect(unsafe_code, reason = "system calls; each stands in a function of its own with a note")]

pub mod arguments;
pub mod descriptors;
pub mod log_pipe;
pub mod memory;
pub mod process;
pub mod procfs;
pub mod signals;
pub mod sockets;
pub mod terminal;
