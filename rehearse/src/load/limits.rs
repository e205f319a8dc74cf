//! The limit of descriptors of this process.

use std::sync::OnceLock;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The soft limit before it was raised.
static INHERITED: OnceLock<u64> = OnceLock::new();

/// Raises the soft limit to the hard one, for the load. Each verb does it before it starts any program: those that start later
/// would inherit another limit than those before.
pub(crate) fn raise_descriptors() {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        let _ = INHERITED.set(soft); // later calls see our own limit
    }
}

/// The soft limit that programs started from here are to have, if this process has raised it.
pub(crate) fn inherited_descriptors() -> Option<u64> {
    INHERITED.get().copied()
}

/// How many descriptors this process may have.
pub(crate) fn descriptors() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft)
}
