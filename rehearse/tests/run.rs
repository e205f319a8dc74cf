//! `softstop-rehearse run` distinguishes each way in which a request can be lost, blames no server for its own limits, and
//! returns an exit code that can be relied upon.
//!
//! The servers answer correctly until the command opens a gate, because the command is not run after a wrong answer. Then each
//! server fails in its own way.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic and measure time"
)]

#[path = "run/authority.rs"]
mod authority;
#[path = "run/cluster.rs"]
mod cluster;
#[path = "run/command.rs"]
mod command;
#[path = "run/generator.rs"]
mod generator;
#[path = "run/http2.rs"]
mod http2;
#[path = "run/sandbox.rs"]
mod sandbox;
#[path = "run/server.rs"]
mod server;
#[path = "run/verdicts.rs"]
mod verdicts;
