//! Where the list of sockets comes from: netlink, or `/proc/net/tcp` where netlink is refused.

use std::fmt;
use std::io;

use super::netlink::{SockDiag, SocketDestroyEvents};
use super::proc_net;
use super::socket::Socket;

/// A source of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// Netlink: exact.
    Netlink,
    /// `/proc/net/tcp{,6}`: it does not show most bytes on kept-alive connections.
    ProcNet,
}

/// Neither netlink nor /proc shows any socket.
#[derive(Debug)]
pub struct SocketsUnavailable {
    netlink: io::Error,
    proc_net: io::Error,
}

impl fmt::Display for SocketsUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "netlink: {}; /proc/net/tcp: {}", self.netlink, self.proc_net)
    }
}

impl std::error::Error for SocketsUnavailable {}

/// An open source.
#[derive(Debug)]
pub(super) enum SocketSource {
    Netlink {
        diag: SockDiag,
        /// `None`: this kernel does not report destroyed sockets.
        destroy_events: Option<SocketDestroyEvents>,
    },
    ProcNet {
        /// Why netlink is not used.
        refusal: io::Error,
    },
}

impl SocketSource {
    pub(super) fn open() -> Self {
        // Subscribe to the events before the first list, so that no connection ends unseen in between.
        let destroy_events = SocketDestroyEvents::open().ok();
        match SockDiag::open() {
            Ok(diag) => Self::Netlink { diag, destroy_events },
            Err(error) => Self::ProcNet { refusal: error.into() },
        }
    }

    pub(super) fn kind(&self) -> SourceKind {
        match self {
            Self::Netlink { .. } => SourceKind::Netlink,
            Self::ProcNet { .. } => SourceKind::ProcNet,
        }
    }

    /// Visits the sockets in these states on these ports; without ports, on every port. Returns whether the list was
    /// complete.
    pub(super) fn list(&mut self, states: u32, ports: &[u16], visit: &mut dyn FnMut(&Socket)) -> io::Result<bool> {
        match self {
            Self::Netlink { diag, .. } => Ok(diag.dump(states, ports, visit)?),
            Self::ProcNet { .. } => proc_net::list(&mut |socket| {
                if states & socket.state.bit() != 0 && (ports.is_empty() || ports.contains(&socket.local.port())) {
                    visit(socket);
                }
            })
            .map(|()| true),
        }
    }

    /// Visits some of the sockets in these states on these ports: at most `most` of each address family.
    pub(super) fn sample(
        &self,
        states: u32,
        ports: &[u16],
        most: usize,
        visit: &mut dyn FnMut(&Socket),
    ) -> io::Result<()> {
        match self {
            Self::Netlink { .. } => Ok(SockDiag::sample(states, ports, most, visit)?),
            Self::ProcNet { .. } => {
                for table in proc_net::TABLES {
                    let mut visited = 0;
                    proc_net::read_table(table, &mut |socket| {
                        if visited < most && states & socket.state.bit() != 0 && ports.contains(&socket.local.port()) {
                            visited += 1;
                            visit(socket);
                        }
                    })?;
                }
                Ok(())
            }
        }
    }

    /// Runs `query` with netlink. If that fails, switches to /proc for good and runs it again.
    pub(super) fn query<T>(
        &mut self,
        mut query: impl FnMut(&mut Self) -> io::Result<T>,
    ) -> Result<T, SocketsUnavailable> {
        let error = match query(self) {
            Ok(result) => return Ok(result),
            Err(error) => error,
        };
        if let Self::ProcNet { refusal } = self {
            return Err(SocketsUnavailable { netlink: copy(refusal), proc_net: error });
        }
        let netlink = copy(&error);
        *self = Self::ProcNet { refusal: error };
        query(self).map_err(|proc_net| SocketsUnavailable { netlink, proc_net })
    }
}

/// `io::Error` cannot be cloned.
fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}
