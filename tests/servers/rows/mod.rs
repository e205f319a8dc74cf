//! The table, a family of servers a function.

pub mod apps;
pub mod more;
pub mod nginx;
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
        more::proxies(),
        apps::python_rows(),
        more::python(),
        apps::node_rows(),
        more::node(),
        apps::ruby_rows(),
        more::ruby(),
        apps::java_rows(),
        more::java(),
        apps::go_rows(),
        apps::rust_rows(),
        stores::rows(),
        more::stores(),
    ]
    .concat()
}
