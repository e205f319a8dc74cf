//! The table, a family of servers a function.

pub mod apps;
pub mod databases;
pub mod languages;
pub mod nginx;
pub mod proxies;
pub mod stores;
pub mod web;

use super::row::Row;

/// All, in the order of the page.
pub fn all() -> Vec<Row> {
    [
        nginx::rows(),
        web::apache_rows(),
        web::haproxy_rows(),
        web::php_rows(),
        proxies::rows(),
        apps::python_rows(),
        languages::python(),
        apps::node_rows(),
        languages::node(),
        apps::ruby_rows(),
        languages::ruby(),
        apps::java_rows(),
        languages::java(),
        apps::go_rows(),
        apps::rust_rows(),
        stores::rows(),
        databases::rows(),
    ]
    .concat()
}
