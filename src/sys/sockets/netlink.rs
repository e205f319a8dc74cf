//! The kernel's list of TCP sockets, by netlink's `sock_diag` (`man 7 sock_diag`), and its events for destroyed sockets.

use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt, socket,
    sockopt,
};

use super::netlink_message::{self, Family, Message};
use super::socket::Socket;

/// The most that the kernel puts into one datagram of a dump (`netlink_recvmsg`).
const BUFFER: usize = 32 * 1024;
/// The limit on waiting for one datagram of a dump, in ms. The kernel makes it during our system call, so there should be no
/// wait.
const DUMP_TIMEOUT: u8 = 100;

fn open(groups: u32) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkSockDiag)?;
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(fd)
}

/// What is done with a socket of a list, and whether the list goes on.
type Visit<'a> = dyn FnMut(&Socket) -> ControlFlow<()> + 'a;

/// A socket on which the kernel answers dump requests.
#[derive(Debug)]
pub(super) struct SockDiag {
    socket: OwnedFd,
    buffer: Vec<u8>,
    sequence: u32,
}

impl SockDiag {
    /// Opens it. This needs no privilege: the kernel shows every process the sockets of its network namespace.
    pub(super) fn open() -> nix::Result<Self> {
        Ok(Self { socket: open(0)?, buffer: vec![0; BUFFER], sequence: 0 })
    }

    /// Visits every socket in one of these states (see `TcpState::bit`) on one of these local ports; without ports, on every
    /// port. Returns whether the list is complete: if the table changes meanwhile the kernel may leave out an entry.
    pub(super) fn dump(&mut self, states: u32, ports: &[u16], visit: &mut dyn FnMut(&Socket)) -> nix::Result<bool> {
        let visit: &mut Visit<'_> = &mut |socket| {
            visit(socket);
            ControlFlow::Continue(())
        };
        let is_complete = self.dump_family(Family::Four, states, ports, visit)?;
        match self.dump_family(Family::Six, states, ports, visit) {
            Ok(six) => Ok(is_complete && six),
            // This kernel has no IPv6.
            Err(Errno::ENOENT | Errno::EINVAL | Errno::EAFNOSUPPORT) => Ok(is_complete),
            Err(error) => Err(error),
        }
    }

    /// Visits at most `most` of these sockets of either family, in no order: a list of tens of thousands takes tens of
    /// milliseconds.
    pub(super) fn sample(states: u32, ports: &[u16], most: usize, visit: &mut dyn FnMut(&Socket)) -> nix::Result<()> {
        for family in [Family::Four, Family::Six] {
            let mut visited = 0;
            // The rest of a list that is not read to its end would be in the way of another one, so each has its own socket.
            let dumped = Self::open()?.dump_family(family, states, ports, &mut |socket| {
                if visited == most {
                    return ControlFlow::Break(());
                }
                visited += 1;
                visit(socket);
                ControlFlow::Continue(())
            });
            if family == Family::Four {
                dumped?; // the kernel may have no IPv6
            }
        }
        Ok(())
    }

    fn dump_family(&mut self, family: Family, states: u32, ports: &[u16], visit: &mut Visit<'_>) -> nix::Result<bool> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = netlink_message::request(family, states, ports, self.sequence);
        send(self.socket.as_raw_fd(), &request, MsgFlags::empty())?;
        let mut is_complete = true;
        loop {
            for message in netlink_message::messages(receive(&self.socket, &mut self.buffer)?) {
                if message.sequence != self.sequence {
                    continue; // belongs to an earlier dump that failed
                }
                is_complete &= !message.is_interrupted;
                match message.body {
                    Message::Socket(socket) => {
                        if visit(&socket).is_break() {
                            return Ok(false);
                        }
                    }
                    Message::End(0) => return Ok(is_complete),
                    Message::End(number) => return Err(Errno::from_raw(number)),
                    Message::Other => {}
                }
            }
        }
    }
}

/// Receives the next datagram.
fn receive<'a>(socket: &OwnedFd, buffer: &'a mut [u8]) -> nix::Result<&'a [u8]> {
    let length = loop {
        match recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_TRUNC) {
            Ok(length) => break length,
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => match poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], DUMP_TIMEOUT) {
                Ok(0) => return Err(Errno::ETIMEDOUT),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error),
            },
            Err(error) => return Err(error),
        }
    };
    // With MSG_TRUNC `length` is that of the whole datagram, even if it was cut off.
    buffer.get(..length).ok_or(Errno::EMSGSIZE)
}

/// Events for destroyed sockets, each with its last `tcp_info`. They show connections that come and go between two snapshots.
/// Since 4.2 Linux sends them to every process that subscribes, and makes none while no process does. No privilege is needed.
#[derive(Debug)]
pub(super) struct SocketDestroyEvents {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl SocketDestroyEvents {
    /// Subscribes. From now on the events queue up.
    pub(super) fn open() -> nix::Result<Self> {
        // SKNLGRP_INET_TCP_DESTROY is group 1, SKNLGRP_INET6_TCP_DESTROY group 3 (`linux/sock_diag.h`).
        let socket = open(1 << 0 | 1 << 2)?;
        // The kernel takes the smaller of this size and net.core.rmem_max, and doubles it. Each event takes 1280 bytes, so
        // about 330 events fit on most machines, and at most 800.
        let _ = setsockopt(&socket, sockopt::RcvBuf, &(512 * 1024));
        Ok(Self { socket, buffer: vec![0; 4096] })
    }

    /// Readable when there is an event.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// From now on only sockets with these local ports queue up, so that other programs' connections cannot overflow the
    /// queue; without ports, none. If the kernel refuses the filter, all of them do. What is in the queue is dropped: it may
    /// have overflowed already.
    pub(super) fn only(&mut self, ports: &[u16]) {
        self.attach_filter(ports);
        self.drain(&mut |_| {});
    }

    fn attach_filter(&self, ports: &[u16]) {
        let mut code = netlink_message::events_filter(ports);
        let Ok(len) = u16::try_from(code.len()) else { return };
        if len == 0 {
            return;
        }
        let program = libc::sock_fprog { len, filter: code.as_mut_ptr() };
        let Ok(size) = libc::socklen_t::try_from(size_of_val(&program)) else { return };
        // SAFETY: the program and the code that it points to live until the call returns, and the kernel copies both.
        let _ = unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_FILTER,
                (&raw const program).cast(),
                size,
            )
        };
    }

    /// Visits the sockets that were destroyed since the last call. Returns whether these are all of them: some are missing
    /// after the socket's buffer overflowed (ENOBUFS).
    pub(super) fn drain(&mut self, visit: &mut dyn FnMut(&Socket)) -> bool {
        let mut are_all = true;
        // A bound, since events may come faster than we read them.
        for _ in 0..10_000 {
            let length = match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Ok(length) => length,
                Err(Errno::EAGAIN) => return are_all,
                Err(Errno::EINTR) => continue,
                Err(Errno::ENOBUFS) => {
                    are_all = false;
                    continue;
                }
                Err(_) => return false,
            };
            let mut has_any = false;
            for message in netlink_message::messages(self.buffer.get(..length).unwrap_or_default()) {
                if let Message::Socket(socket) = message.body {
                    has_any = true;
                    visit(&socket);
                }
            }
            are_all &= has_any;
        }
        false
    }
}
