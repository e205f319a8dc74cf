//! Kept-alive connections: those of one user in a closed loop, or those to one target in an open loop.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::connection::{Connection, Sender};
use super::locked;

/// The most streams of one shared HTTP/2 connection; servers commonly allow 100 to 128.
const MAX_STREAMS: usize = 50;

#[derive(Debug)]
pub(crate) struct Pool {
    /// How many HTTP/2 connections are opened before one carries two requests at once.
    shared: usize,
    connections: Mutex<Connections>,
}

#[derive(Debug, Default)]
struct Connections {
    /// Idle ones.
    http1: VecDeque<Connection>,
    /// Idle and busy ones, since requests share them.
    http2: Vec<Connection>,
}

impl Pool {
    pub(crate) fn new(shared: usize) -> Self {
        Self { shared, connections: Mutex::default() }
    }

    /// Takes the connection that has been idle longest, so that many connections behave like many users rather than like one
    /// busy user.
    pub(crate) fn take(&self) -> Option<Connection> {
        let mut connections = locked(&self.connections);
        while let Some(longest_idle) = connections.http1.pop_front() {
            if !longest_idle.is_closed() {
                return Some(longest_idle);
            }
        }
        connections.http2.retain(|connection| !connection.is_closed());
        let least_busy = connections.http2.iter().min_by_key(|connection| connection.streams())?;
        let most = if connections.http2.len() < self.shared { 1 } else { MAX_STREAMS };
        if least_busy.streams() < most { least_busy.share() } else { None }
    }

    /// Adds a new HTTP/2 connection, which other requests share from now on. An HTTP/1.1 connection is added by
    /// [`Pool::give_back`].
    pub(crate) fn share(&self, connection: &Connection) {
        let mut connections = locked(&self.connections);
        let has_room =
            connections.http2.len() < self.shared || connections.http2.iter().all(|each| each.streams() >= MAX_STREAMS);
        if has_room {
            connections.http2.extend(connection.share());
        }
    }

    pub(crate) fn give_back(&self, mut connection: Connection) {
        if let Sender::Http1(_) = connection.sender {
            connection.used = true;
            locked(&self.connections).http1.push_back(connection);
        }
    }

    pub(crate) fn remove(&self, connection: &Connection) {
        locked(&self.connections).http2.retain(|each| !each.is_same(connection));
    }
}
