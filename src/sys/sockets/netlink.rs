//! The kernel's own list of TCP sockets: netlink's `sock_diag` (`man 7 sock_diag`), and the news of those that end.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt, socket,
    sockopt,
};

use super::socket::Socket;
use super::wire::{self, Family, Message};

/// What the kernel fills at most in one go (`netlink_recvmsg`).
const BUFFER: usize = 32 * 1024;
/// How long the kernel may take for one piece of a dump, which it makes while we ask: it never has.
const PATIENCE: u8 = 100; // ms

fn open(groups: u32) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkSockDiag)?;
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(fd)
}

/// Where the kernel answers questions.
#[derive(Debug)]
pub(super) struct Diag {
    socket: OwnedFd,
    buffer: Vec<u8>,
    sequence: u32,
}

impl Diag {
    /// Opens it. No privilege is needed: the kernel shows everybody the sockets of his network namespace.
    pub(super) fn open() -> nix::Result<Self> {
        Ok(Self { socket: open(0)?, buffer: vec![0; BUFFER], sequence: 0 })
    }

    /// Shows every socket in one of these states (see `State::bit`) on one of these local ports; without ports, on any.
    /// Says whether the list was whole: a table that changes meanwhile may have cost an entry.
    pub(super) fn dump(&mut self, states: u32, ports: &[u16], see: &mut dyn FnMut(&Socket)) -> nix::Result<bool> {
        let whole = self.dump_family(Family::Four, states, ports, see)?;
        match self.dump_family(Family::Six, states, ports, see) {
            Ok(six) => Ok(whole && six),
            // a kernel without IPv6
            Err(Errno::ENOENT | Errno::EINVAL | Errno::EAFNOSUPPORT) => Ok(whole),
            Err(error) => Err(error),
        }
    }

    fn dump_family(
        &mut self,
        family: Family,
        states: u32,
        ports: &[u16],
        see: &mut dyn FnMut(&Socket),
    ) -> nix::Result<bool> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = wire::request(family, states, ports, self.sequence);
        send(self.socket.as_raw_fd(), &request, MsgFlags::empty())?;
        let mut is_whole = true;
        loop {
            for message in wire::messages(receive(&self.socket, &mut self.buffer)?) {
                if message.sequence != self.sequence {
                    continue; // the rest of a dump that failed
                }
                is_whole &= !message.is_interrupted;
                match message.body {
                    Message::Socket(socket) => see(&socket),
                    Message::End(0) => return Ok(is_whole),
                    Message::End(number) => return Err(Errno::from_raw(number)),
                    Message::Other => {}
                }
            }
        }
    }
}

/// Waits for the next datagram, which the kernel has made by now.
fn receive<'a>(socket: &OwnedFd, buffer: &'a mut [u8]) -> nix::Result<&'a [u8]> {
    let length = loop {
        match recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_TRUNC) {
            Ok(length) => break length,
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => match poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], PATIENCE) {
                Ok(0) => return Err(Errno::ETIMEDOUT),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error),
            },
            Err(error) => return Err(error),
        }
    };
    // With MSG_TRUNC it is the length that it would have had.
    buffer.get(..length).ok_or(Errno::EMSGSIZE)
}

/// The news of sockets that end, each with its last `tcp_info`: what comes and goes between two looks. Linux sends it to
/// whoever asks, without any privilege, and takes the trouble only while somebody does (since 4.2).
#[derive(Debug)]
pub(super) struct Deaths {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Deaths {
    /// From now on the news gather.
    pub(super) fn open() -> nix::Result<Self> {
        // SKNLGRP_INET_TCP_DESTROY is group 1, SKNLGRP_INET6_TCP_DESTROY group 3 (`linux/sock_diag.h`).
        let socket = open(1 << 0 | 1 << 2)?;
        // Of this, and of what net.core.rmem_max allows, the kernel makes twice the smaller. Each end takes 1280 bytes of it:
        // room for some 330 on most machines, for 800 at best.
        let _ = setsockopt(&socket, sockopt::RcvBuf, &(512 * 1024));
        Ok(Self { socket, buffer: vec![0; 4096] })
    }

    /// Shows all that have ended since the last time. Says whether that is all of them: it is not where so many ended
    /// that the socket's buffer overflowed (ENOBUFS).
    pub(super) fn drain(&mut self, see: &mut dyn FnMut(&Socket)) -> bool {
        let mut are_all = true;
        // While they end faster than we read there must be an end all the same.
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
            for message in wire::messages(self.buffer.get(..length).unwrap_or_default()) {
                if let Message::Socket(socket) = message.body {
                    has_any = true;
                    see(&socket);
                }
            }
            are_all &= has_any;
        }
        false
    }
}
