//! The addresses of a target's host, looked up again every second, because a roll-out may change them.

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::Instant;

use super::error::{ConnectError, io_message, is_own_limit};
use super::locked;

/// How long looked-up addresses are used.
const TIME_TO_LIVE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Resolver {
    host: String,
    port: u16,
    cache: Mutex<Option<(Instant, Vec<SocketAddr>)>>,
}

impl Resolver {
    pub(crate) fn new(host: String, port: u16) -> Self {
        Self { host, port, cache: Mutex::default() }
    }

    /// Looks the addresses up, without the cache.
    pub(crate) async fn lookup(&self) -> io::Result<Vec<SocketAddr>> {
        Ok(lookup_host((self.host.as_str(), self.port)).await?.collect())
    }

    /// Connects to the first address that accepts. The one that accepted last is tried first.
    pub(crate) async fn connect(&self) -> Result<TcpStream, ConnectError> {
        let addresses = self.addresses().await?;
        let mut failed: Option<ConnectError> = None;
        for (tried, address) in addresses.iter().enumerate() {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    if let Some((_, addresses)) = locked(&self.cache).as_mut().filter(|_| tried > 0) {
                        addresses.sort_by_key(|each| each != address);
                    }
                    return Ok(stream);
                }
                Err(error) => {
                    let error = ConnectError::of(&error);
                    failed = match (&error, failed) {
                        (ConnectError::NotSent(_), Some(earlier)) => Some(earlier),
                        _ => Some(error),
                    };
                }
            }
        }
        Err(failed.unwrap_or_else(|| ConnectError::Refused("the name has no address".to_owned())))
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, ConnectError> {
        let cached = locked(&self.cache).as_ref().filter(|(at, _)| at.elapsed() < TIME_TO_LIVE).cloned();
        if let Some((_, addresses)) = cached {
            return Ok(addresses);
        }
        match self.lookup().await {
            Ok(mut found) => {
                let mut cache = locked(&self.cache);
                let last = cache.as_ref().and_then(|(_, addresses)| addresses.first().copied());
                found.sort_by_key(|address| Some(*address) != last); // stable: the others keep their order
                *cache = Some((Instant::now(), found.clone()));
                Ok(found)
            }
            // getaddrinfo(3) opens files and sockets, and does not report when it could not.
            Err(_) => match std::fs::File::open("/") {
                Err(error) if is_own_limit(&error) => Err(ConnectError::NotSent(io_message(&error))),
                _ => Err(ConnectError::Refused("the name has no address".to_owned())),
            },
        }
    }
}
