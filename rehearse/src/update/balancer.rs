//! The balancer in front of the pods: HAProxy, or the embedded one if HAProxy is not installed.

mod embedded;
mod haproxy;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use embedded::Embedded;
use haproxy::Haproxy;

/// How long connecting to a pod may take. The address of a pod that has ended does not answer at all.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// HAProxy's default, which the embedded balancer uses too.
pub(crate) const RETRIES: u32 = 3;

/// Which balancer to use.
#[derive(Clone, Debug)]
pub(crate) enum BalancerKind {
    Haproxy { program: PathBuf, version: String },
    Embedded,
}

impl BalancerKind {
    /// The name with the version.
    pub(crate) fn title(&self) -> String {
        match self {
            Self::Haproxy { version, .. } => version.clone(),
            Self::Embedded => format!("the embedded balancer of softstop-rehearse {}", env!("CARGO_PKG_VERSION")),
        }
    }

    pub(crate) fn is_embedded(&self) -> bool {
        matches!(self, Self::Embedded)
    }

    /// The name of its log.
    pub(crate) fn log(&self) -> &'static str {
        match self {
            Self::Haproxy { .. } => "haproxy.log",
            Self::Embedded => "balancer.log",
        }
    }
}

/// A running balancer. A pod occupies a slot while requests go to it.
#[derive(Debug)]
pub(crate) enum Balancer {
    Haproxy(Haproxy),
    Embedded(Embedded),
}

impl Balancer {
    /// Starts it with so many empty slots, numbered from 1.
    pub(crate) async fn start(
        kind: &BalancerKind,
        listen: SocketAddr,
        slots: u32,
        home: &Path,
        log: &Path,
    ) -> Result<Self, String> {
        match kind {
            BalancerKind::Haproxy { program, .. } => {
                Haproxy::start(program, listen, slots, home, log).await.map(Self::Haproxy)
            }
            BalancerKind::Embedded => {
                let started = Embedded::start(listen, log).await;
                started.map(Self::Embedded).map_err(|error| format!("the embedded balancer on {listen}: {error}"))
            }
        }
    }

    pub(crate) async fn add(&self, slot: u32, pod: SocketAddr) -> Result<(), String> {
        match self {
            Self::Haproxy(haproxy) => haproxy.add(slot, pod).await,
            Self::Embedded(embedded) => {
                embedded.add(slot, pod);
                Ok(())
            }
        }
    }

    /// Sends no new requests to the pod; those in flight may finish.
    pub(crate) async fn remove(&self, slot: u32) -> Result<(), String> {
        match self {
            Self::Haproxy(haproxy) => haproxy.remove(slot).await,
            Self::Embedded(embedded) => {
                embedded.remove(slot);
                Ok(())
            }
        }
    }

    pub(crate) async fn close(self) {
        match self {
            Self::Haproxy(haproxy) => haproxy.close().await,
            Self::Embedded(embedded) => drop(embedded),
        }
    }
}
