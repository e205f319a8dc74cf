//! Stderr as a log that never blocks: a full pipe loses log lines, never a stop.
//!
//! `O_NONBLOCK` belongs to the open file, which the app shares. So we open the same pipe or terminal once more for us
//! alone; a socket, which cannot be opened again, is asked per message.

use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::write;

/// The kernel writes so much to a pipe whole or not at all (`man 7 pipe`, `PIPE_BUF`); a longer line is cut off.
const LINE: usize = 4096;

#[derive(Debug)]
enum Way {
    /// A file on disk: takes everything at once.
    File,
    /// A pipe or terminal, opened again for us alone.
    Own(OwnedFd),
    Socket,
    /// A pipe or terminal that we may not open again (no /proc, another user's): we ask whether it has room, and only
    /// the app's own writing in that very moment could make us wait.
    Asked,
}

/// Where the log goes.
#[expect(missing_debug_implementations, reason = "a function has no debug form")]
pub struct LogPipe<F> {
    way: Way,
    lost: u64,
    tell_loss: F,
}

impl<F: Fn(u64) -> String> LogPipe<F> {
    /// Opens stderr. `tell_loss` makes the line that says how many were lost.
    #[must_use]
    pub fn open(tell_loss: F) -> Self {
        let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        let kind =
            fstat(io::stderr()).map_or(SFlag::empty(), |stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT);
        let way = match kind {
            SFlag::S_IFREG => Way::File,
            SFlag::S_IFSOCK => Way::Socket,
            _ => open("/proc/self/fd/2", flags, Mode::empty()).map_or(Way::Asked, Way::Own),
        };
        Self { way, lost: 0, tell_loss }
    }

    /// The descriptor beyond the standard ones, if there is one.
    #[must_use]
    pub fn descriptor(&self) -> Option<RawFd> {
        match &self.way {
            Way::Own(fd) => Some(fd.as_raw_fd()),
            Way::File | Way::Socket | Way::Asked => None,
        }
    }

    fn try_write(&self, line: &[u8]) -> nix::Result<usize> {
        let stderr = io::stderr();
        match &self.way {
            Way::File => write(stderr, line),
            Way::Own(fd) => write(fd, line),
            Way::Socket => send(stderr.as_raw_fd(), line, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL),
            Way::Asked if has_room(stderr.as_fd()) => write(stderr, line),
            Way::Asked => Err(Errno::EAGAIN),
        }
    }
}

fn has_room(fd: BorrowedFd<'_>) -> bool {
    let mut asked = [PollFd::new(fd, PollFlags::POLLOUT)];
    poll(&mut asked, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

impl<F: Fn(u64) -> String> Write for LogPipe<F> {
    /// Takes one line, written or lost: never fails, never blocks.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.lost > 0 && self.try_write((self.tell_loss)(self.lost).as_bytes()).is_ok() {
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
