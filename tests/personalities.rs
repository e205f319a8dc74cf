//! Called by another init's name softstop is that init: one table of cases, done to the real program and to softstop in
//! its place, and what was seen compared. What softstop does otherwise on purpose stands in one list, each with its reason.
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
#[path = "personalities/scene.rs"]
mod scene;
#[path = "personalities/tini.rs"]
mod tini;

use std::fs;

use common::peers::peer;
use common::{have_program, program};
use matrix::{Bench, Difference, called, compare, is_its_peer};

/// The binary under test.
const SOFTSTOP: &str = env!("CARGO_BIN_EXE_softstop");

#[test]
fn called_tini_it_is_tini() {
    if let Some(real) = peer("tini") {
        is_its_peer(&["tini", "tini-static", "docker-init"], &real, &tini::cases());
    }
}

#[test]
fn called_dumb_init_it_is_dumb_init() {
    if let Some(real) = peer("dumb-init") {
        is_its_peer(&["dumb-init"], &real, &dumb_init::cases());
    }
}

#[test]
fn called_catatonit_it_is_catatonit() {
    if let Some(real) = peer("catatonit") {
        is_its_peer(&["catatonit", "podman-init"], &real, &catatonit::cases());
    }
}

/// What is found wrong with another program in softstop's place.
fn found_wrong(impostor: &str, case: matrix::Case, list: &[Difference]) -> Vec<String> {
    let Some(real) = peer("tini") else { return vec!["nothing to compare with".to_owned()] };
    let directory = tempfile::tempdir().unwrap();
    let impostor = common::in_path(impostor).unwrap();
    let theirs = Bench::new(&directory, "theirs", &["tini"], &real);
    let ours = Bench::new(&directory, "ours", &["tini"], &impostor);
    compare(&[case], &theirs, &ours, list)
}

#[test]
fn a_difference_that_is_not_on_the_list_is_found() {
    // The control: env(1) starts a command too, and does no more.
    for case in [called("tini", "-e 3 sh -c 'exit 3'"), called("tini", "-s true"), called("tini", "")] {
        assert_ne!(found_wrong("env", case, &[]), [""; 0]);
    }
    let forwards = called("tini", "recorder --exit-on 10=5").stopped_by(libc::SIGUSR1);
    assert_ne!(found_wrong("env", forwards.clone().wrapper(), &[]), [""; 0]);
    // And tini in its own place is as itself.
    assert_eq!(found_wrong("tini", forwards, &[]), [""; 0]);
}

#[test]
fn a_copy_and_a_hard_link_have_its_name_too() {
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
fn what_the_kernel_refuses_is_fatal_to_tini_and_to_softstop_by_its_name_a_warning() {
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
fn dumb_inits_help_is_softstops_words() {
    for option in ["-h", "--help"] {
        let help = program(common::called("dumb-init"), [option]).run();
        assert_eq!(help.stdout, "");
        help.code(0).logged("dumb-init v1.2.5_softstop-").logged("softstop by the name of");
    }
}

#[test]
fn every_difference_on_the_list_is_told_in_full() {
    for difference in differences::DIFFERENCES {
        let said = difference.to_string();
        assert!(difference.reason.ends_with('.') && !difference.peers.is_empty(), "{said}");
        assert!([difference.what, difference.theirs, difference.ours].iter().all(|part| !part.is_empty()), "{said}");
    }
}

#[test]
fn a_difference_on_the_list_that_does_not_occur_is_found() {
    let list = [Difference {
        peers: &["tini", "catatonit"],
        what: "the weather",
        theirs: "rain",
        ours: "sun",
        reason: "One may hope.",
        is_it: |seen| seen.aspect == "weather",
    }];
    let wrong = found_wrong("tini", called("tini", "true"), &list);
    assert_eq!(wrong, ["on the list, but it never occurred: tini: the weather: rain; softstop: sun. One may hope."]);
}

#[test]
fn the_table_in_the_documentation_is_this_list() {
    let page = include_str!("../docs/in-place-of-another-init.md");
    let (_, table) = page.split_once("| of | what | the original | softstop |\n|---|---|---|---|\n").unwrap();
    let rows: Vec<&str> = table.lines().take_while(|line| line.starts_with('|')).collect();
    let listed: Vec<String> = differences::DIFFERENCES
        .iter()
        .map(|d| format!("| {} | {} | {} | {}. {} |", d.peers.join(", "), d.what, d.theirs, d.ours, d.reason))
        .collect();
    let missing: Vec<&str> = listed.iter().map(String::as_str).filter(|row| !rows.contains(row)).collect();
    assert!(missing.is_empty(), "docs/in-place-of-another-init.md lacks\n{}", missing.join("\n"));
    // What the matrix cannot see has a test elsewhere, which the row names.
    let stray: Vec<&&str> =
        rows.iter().filter(|row| !listed.iter().any(|l| l == *row) && !row.contains("`tests/")).collect();
    assert!(stray.is_empty(), "no test knows of {stray:#?}");
}
