//! glibc's texts for signals and errors, which the other inits print. The static binary is linked with musl, which has other
//! texts.

use std::io;

use nix::errno::Errno;

use crate::signal::Signal;

/// strsignal(3) of glibc, from signal 1 on.
const SIGNALS: [&str; 31] = [
    "Hangup",
    "Interrupt",
    "Quit",
    "Illegal instruction",
    "Trace/breakpoint trap",
    "Aborted",
    "Bus error",
    "Floating point exception",
    "Killed",
    "User defined signal 1",
    "Segmentation fault",
    "User defined signal 2",
    "Broken pipe",
    "Alarm clock",
    "Terminated",
    "Stack fault",
    "Child exited",
    "Continued",
    "Stopped (signal)",
    "Stopped",
    "Stopped (tty input)",
    "Stopped (tty output)",
    "Urgent I/O condition",
    "CPU time limit exceeded",
    "File size limit exceeded",
    "Virtual timer expired",
    "Profiling timer expired",
    "Window changed",
    "I/O possible",
    "Power failure",
    "Bad system call",
];

/// The name of a signal (`man 3 strsignal`).
pub(super) fn signal_description(signal: Signal) -> String {
    let number = signal.number();
    let known = usize::try_from(number - 1).ok().and_then(|index| SIGNALS.get(index));
    match known {
        Some(known) => (*known).to_owned(),
        None if number >= 34 => format!("Real-time signal {}", number - 34),
        None => format!("Unknown signal {number}"),
    }
}

/// The text of an error (`man 3 strerror`).
pub(super) fn error_description(error: &io::Error) -> String {
    let number = error.raw_os_error();
    match number.map(Errno::from_raw) {
        Some(Errno::ENOTTY) => return "Inappropriate ioctl for device".to_owned(),
        Some(Errno::ELOOP) => return "Too many levels of symbolic links".to_owned(),
        Some(Errno::ENAMETOOLONG) => return "File name too long".to_owned(),
        Some(Errno::ENOMEM) => return "Cannot allocate memory".to_owned(),
        Some(Errno::EIO) => return "Input/output error".to_owned(),
        _ => {}
    }
    let text = error.to_string();
    let number = number.map(|number| format!(" (os error {number})")).unwrap_or_default();
    text.strip_suffix(&number).unwrap_or(&text).to_owned()
}
