//! Called by another init's name, softstop behaves like that init. The cases of one table are run with the real program
//! and with softstop in its place, and what is observed is compared. One list has the intended differences with their
//! reasons.
#![allow(
    unsafe_code,
    unreachable_pub,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test panics when it fails; unlike the init it may read the clock and wait for its children"
)]

#[path = "personalities/catatonit.rs"]
mod catatonit;
#[path = "personalities/differences.rs"]
mod differences;
#[path = "personalities/dumb_init.rs"]
mod dumb_init;
#[path = "personalities/matrix.rs"]
mod matrix;
#[path = "personalities/rows.rs"]
mod rows;
#[path = "personalities/subject.rs"]
mod subject;
#[path = "personalities/tini.rs"]
mod tini;

use std::fs;

use common::peers::peer;
use common::{have_program, program};
use matrix::{Difference, Sandbox, behaves_like, called, compare};

/// The binary under test.
const SOFTSTOP: &str = env!("CARGO_BIN_EXE_softstop");

#[test]
fn called_tini_softstop_behaves_like_tini() {
    if let Some(real) = peer("tini") {
        behaves_like(&["tini", "tini-static", "docker-init"], &real, &tini::cases());
    }
}

#[test]
fn called_dumb_init_softstop_behaves_like_dumb_init() {
    if let Some(real) = peer("dumb-init") {
        behaves_like(&["dumb-init"], &real, &dumb_init::cases());
    }
}

#[test]
fn called_catatonit_softstop_behaves_like_catatonit() {
    if let Some(real) = peer("catatonit") {
        behaves_like(&["catatonit", "podman-init"], &real, &catatonit::cases());
    }
}

/// The failures that are found with this program in softstop's place.
fn failures_with(other: &str, case: matrix::Case, list: &[Difference]) -> Vec<String> {
    let Some(real) = peer("tini") else { return vec!["nothing to compare with".to_owned()] };
    let directory = tempfile::tempdir().unwrap();
    let other = common::in_path(other).unwrap();
    let theirs = Sandbox::new(&directory, "theirs", &["tini"], &real);
    let ours = Sandbox::new(&directory, "ours", &["tini"], &other);
    compare(&[case], &theirs, &ours, list)
}

#[test]
fn an_unlisted_difference_is_reported() {
    // The control: env(1) also starts a command, and does nothing else of an init.
    for case in [called("tini", "-e 3 sh -c 'exit 3'"), called("tini", "-s true"), called("tini", "")] {
        assert_ne!(failures_with("env", case, &[]), [""; 0]);
    }
    let forwards = called("tini", "recorder --exit-on 10=5").stopped_by(libc::SIGUSR1);
    assert_ne!(failures_with("env", forwards.clone().wrapper(), &[]), [""; 0]);
    // tini in its own place has no difference.
    assert_eq!(failures_with("tini", forwards, &[]), [""; 0]);
}

#[test]
fn a_copy_and_a_hard_link_called_tini_behave_like_tini() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let [copy, link] = ["copy", "link"].map(|parent| directory.path().join(parent));
    for parent in [&copy, &link] {
        fs::create_dir(parent).unwrap();
    }
    fs::copy(SOFTSTOP, copy.join("tini")).unwrap();
    fs::hard_link(SOFTSTOP, link.join("tini")).unwrap();
    for parent in [copy, link] {
        let init = parent.join("tini");
        program(&init, ["-e", "3", "sh", "-c", "exit 3"]).pid_one().run().code(0);
        program(&init, ["--bogus"]).run().code(1).logged("invalid option -- '-'");
    }
}

#[test]
fn when_prctl_fails_tini_exits_and_softstop_called_tini_warns() {
    if !have_program("strace") || !have_program("tini") {
        return;
    }
    let refused = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=prctl:error=EPERM"];
    for options in [&["-s"][..], &["-p", "SIGKILL"]] {
        let run = |init: std::path::PathBuf| {
            program(init, options.iter().chain(&["--", "sh", "-c", "exit 7"])).through(refused).run()
        };
        run(common::called("tini")).code(7).logged("Operation not permitted");
        run(common::in_path("tini").unwrap()).code(1).logged("[FATAL tini (");
    }
}

#[test]
fn called_dumb_init_softstop_prints_a_help_text_of_its_own() {
    for option in ["-h", "--help"] {
        let help = program(common::called("dumb-init"), [option]).run();
        assert_eq!(help.stdout, "");
        help.code(0).logged("dumb-init v1.2.5_softstop-").logged("softstop by the name of");
    }
}

#[test]
fn every_listed_difference_is_complete() {
    for difference in differences::DIFFERENCES {
        let said = difference.to_string();
        assert!(difference.reason.ends_with('.') && !difference.peers.is_empty(), "{said}");
        assert!([difference.what, difference.theirs, difference.ours].iter().all(|part| !part.is_empty()), "{said}");
    }
}

#[test]
fn a_listed_difference_that_does_not_occur_is_reported() {
    let list = [Difference {
        peers: &["tini", "catatonit"],
        what: "an invented difference",
        theirs: "does one thing",
        ours: "does another",
        reason: "It is for this test only.",
        is_it: |seen| seen.aspect == "no such aspect",
    }];
    let wrong = failures_with("tini", called("tini", "true"), &list);
    let expected = "listed, but it did not occur: tini: an invented difference: does one thing; softstop: does another. It is \
                    for this test only.";
    assert_eq!(wrong, [expected]);
}

#[test]
fn the_table_in_the_documentation_is_the_list_of_differences() {
    let page = include_str!("../docs/in-place-of-another-init.md");
    let (_, table) = page.split_once("| of | what | the original | softstop |\n|---|---|---|---|\n").unwrap();
    let rows: Vec<&str> = table.lines().take_while(|line| line.starts_with('|')).collect();
    let listed: Vec<String> = differences::DIFFERENCES
        .iter()
        .map(|d| format!("| {} | {} | {} | {}. {} |", d.peers.join(", "), d.what, d.theirs, d.ours, d.reason))
        .collect();
    let missing: Vec<&str> = listed.iter().map(String::as_str).filter(|row| !rows.contains(row)).collect();
    assert!(missing.is_empty(), "docs/in-place-of-another-init.md lacks\n{}", missing.join("\n"));
    // The matrix cannot see some differences. Their rows name the test that can.
    let stray: Vec<&&str> =
        rows.iter().filter(|row| !listed.iter().any(|l| l == *row) && !row.contains("`tests/")).collect();
    assert!(stray.is_empty(), "neither the list nor a test has these rows: {stray:#?}");
}
