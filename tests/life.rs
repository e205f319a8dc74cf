//! The life of a child under softstop: how it starts, what it gets, how it ends.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it is wrong"
)]

mod common;
use common::*;

#[test]
fn the_childs_exit_code_is_ours() {
    softstop(["sh", "-c", "exit 42"]).pid_one().run().code(42);
}

#[test]
fn a_second_sigterm_is_passed_on_to_a_plain_program() {
    let run = softstop([recorder().to_str().unwrap(), "--exit-on", "10=7"]).pid_one().start();
    run.says("ready");
    run.signal(15);
    run.says("got 15");
    run.signal(15);
    run.logs("again");
    run.signal(10);
    let outcome = run.wait();
    outcome.code(7);
    assert_eq!(outcome.stdout.matches("got 15\n").count(), 2, "{outcome:?}");
}
