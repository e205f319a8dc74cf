//! `docs/servers.md`.

pub fn write(_names: &str) {}
