//! Writes log lines to stderr without ever blocking: if the pipe is full, lines are lost.
//!
//! `O_NONBLOCK` belongs to the open file description, which the app shares. So we open the same pipe or terminal once more
//! for ourselves. A socket cannot be opened again; there `MSG_DONTWAIT` applies to each message.

use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::write;

/// A write of at most this size to a pipe is atomic (`man 7 pipe`, `PIPE_BUF`). A longer line is truncated.
const LINE: usize = 4096;

#[derive(Debug)]
enum Output {
    /// A regular file never blocks.
    File,
    /// A pipe or terminal that we have opened again for ourselves.
    Reopened(OwnedFd),
    Socket,
    /// A pipe or terminal that we cannot open again (no /proc, or it is another user's). Each write first checks that there is
    /// room. It could block only if the app fills the pipe between the check and the write.
    Polled,
}

/// The log on stderr.
#[expect(missing_debug_implementations, reason = "a function has no debug form")]
pub struct LogPipe<F> {
    output: Output,
    lost: u64,
    loss_line: F,
}

impl<F: Fn(u64) -> String> LogPipe<F> {
    /// Opens stderr. `loss_line` makes the line that says how many lines were lost.
    #[must_use]
    pub fn open(loss_line: F) -> Self {
        let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        let kind =
            fstat(io::stderr()).map_or(SFlag::empty(), |stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT);
        let output = match kind {
            SFlag::S_IFREG => Output::File,
            SFlag::S_IFSOCK => Output::Socket,
            _ => open("/proc/self/fd/2", flags, Mode::empty()).map_or(Output::Polled, Output::Reopened),
        };
        Self { output, lost: 0, loss_line }
    }

    /// The descriptor that was opened, if any.
    #[must_use]
    pub fn descriptor(&self) -> Option<RawFd> {
        match &self.output {
            Output::Reopened(fd) => Some(fd.as_raw_fd()),
            Output::File | Output::Socket | Output::Polled => None,
        }
    }

    fn try_write(&self, line: &[u8]) -> nix::Result<usize> {
        let stderr = io::stderr();
        match &self.output {
            Output::File => write(stderr, line),
            Output::Reopened(fd) => write(fd, line),
            Output::Socket => send(stderr.as_raw_fd(), line, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL),
            Output::Polled if has_room(stderr.as_fd()) => write(stderr, line),
            Output::Polled => Err(Errno::EAGAIN),
        }
    }
}

fn has_room(fd: BorrowedFd<'_>) -> bool {
    let mut asked = [PollFd::new(fd, PollFlags::POLLOUT)];
    poll(&mut asked, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

impl<F: Fn(u64) -> String> Write for LogPipe<F> {
    /// Writes one line or loses it. Never fails, never blocks.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.lost > 0 && self.try_write((self.loss_line)(self.lost).as_bytes()).is_ok() {
            self.lost = 0;
        }
        let result = if let Some(head) = line.get(..LINE).filter(|head| head.len() < line.len()) {
            self.try_write(&[head.get(..LINE - 1).unwrap_or_default(), b"\n"].concat())
        } else {
            self.try_write(line)
        };
        if result.is_err() {
            self.lost += 1;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
