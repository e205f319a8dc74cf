//! The command line, as the C library passes it to `main`.

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;

/// Copies the arguments. [`std::env::args_os`] has them only if Rust's own `main` has run, or with glibc.
///
/// # Safety
///
/// `argv` must point to `count` pointers, each to a C string.
#[must_use]
pub unsafe fn collect(count: c_int, argv: *const *const c_char) -> Vec<OsString> {
    let argument = |index| {
        // SAFETY: `index` is below `count`; the caller guarantees the rest.
        let text = unsafe { CStr::from_ptr(*argv.add(index)) };
        OsStr::from_bytes(text.to_bytes()).to_owned()
    };
    (0..usize::try_from(count).unwrap_or(0)).map(argument).collect()
}
