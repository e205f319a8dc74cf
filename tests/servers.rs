//! Real servers, in the forms in which people start them: what is lost in a stop under tini and under softstop.
//!
//! Each row of the table is a server and a form. It runs twice, under tini and under `softstop --grace-period 30s`, as PID 1
//! of a PID namespace and with a network namespace of its own. `tests/servers/run.rs` says what is asked of it and when.
//!
//! The tests hold the rows that are marked with `.held()`. `tests/servers/table` runs all of them and writes
//! `docs/servers.md`.
#![allow(
    unsafe_code,
    unreachable_pub,
    clippy::print_stdout,
    clippy::too_many_lines,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test ends where it is wrong; it is no init, so it may measure time and wait for its own children"
)]

#[path = "servers/backend.rs"]
mod backend;
#[path = "servers/client.rs"]
mod client;
#[path = "servers/judge.rs"]
mod judge;
#[path = "servers/page.rs"]
mod page;
#[path = "servers/row.rs"]
mod row;
#[path = "servers/rows/mod.rs"]
mod rows;
#[path = "servers/run.rs"]
mod run;

use judge::hold;

#[test]
fn nginx() {
    hold(rows::nginx::rows());
}

#[test]
fn apache_and_haproxy() {
    hold([rows::web::apache_rows(), rows::web::haproxy_rows()].concat());
}

#[test]
fn php() {
    hold(rows::web::php_rows());
}

#[test]
fn python_and_go() {
    hold([rows::apps::python_rows(), rows::apps::go_rows()].concat());
}

#[test]
fn a_good_server_and_a_rude_one() {
    hold(rows::apps::rust_rows());
}

#[test]
fn node_and_ruby() {
    hold([rows::apps::node_rows(), rows::apps::ruby_rows()].concat());
}

#[test]
fn stores_and_workers() {
    hold(rows::stores::rows());
}

/// Each line of code in docs/writing-a-server.md stands in a server that a row of the table stops.
#[test]
fn what_the_page_tells_was_tried() {
    let page = std::fs::read_to_string(common::root().join("docs/writing-a-server.md")).unwrap();
    let tried = [
        ("go", include_str!("servers/files/server.go")),
        ("js", include_str!("servers/files/s.js")),
        ("python", include_str!("servers/files/graceful.py")),
        ("java", include_str!("servers/files/S.java")),
    ];
    for (language, source) in tried {
        let (_, excerpt) = page.split_once(&format!("```{language}\n")).unwrap();
        for line in excerpt.split_once("```").unwrap().0.lines().map(str::trim) {
            assert!(source.lines().any(|of_source| of_source.trim() == line), "{language}: {line}");
        }
    }
}

/// Runs every row, or those that the variable names, and writes the page of the documentation.
#[test]
#[ignore = "takes half an hour and needs many packages: tests/servers/table runs it"]
fn the_whole_table() {
    page::write(&std::env::var("TEST_SERVERS").unwrap_or_default());
}
