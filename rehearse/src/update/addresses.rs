//! Loopback addresses for the ingress and for the pods in PID namespaces.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Addresses of the loopback network that no other rehearsal uses, and a port that is free on them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    network: [u8; 2],
    port: u16,
}

impl Addresses {
    pub(crate) fn choose() -> io::Result<Self> {
        let [.., high, low] = std::process::id().to_be_bytes();
        let network = [64 + high % 64, low];
        let mut addresses = Self { network, port: 0 };
        // The kernel picks a port that no socket has at this address or at 0.0.0.0. No other program uses the addresses of the
        // pods, so the port is free there too.
        addresses.port = TcpListener::bind(addresses.ingress())?.local_addr()?.port();
        Ok(addresses)
    }

    pub(crate) fn ingress(self) -> SocketAddr {
        self.at(1)
    }

    pub(crate) fn pod(self, number: u32) -> SocketAddr {
        self.at(2 + (number % 250) as u8) // after 250 pods the first address is free again
    }

    fn at(self, host: u8) -> SocketAddr {
        let [a, b] = self.network;
        (Ipv4Addr::new(127, a, b, host), self.port).into()
    }
}
