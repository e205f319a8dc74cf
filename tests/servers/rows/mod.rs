//! The table, a family of servers a function.

pub mod apps;
pub mod nginx;
pub mod stores;
pub mod web;
