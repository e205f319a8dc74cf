//! `softstop-rehearse compare`: what differs between two results, and whether by more than chance.
//!
//! The figures are made up (`synthetic`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod synthetic;

use std::fs;

use common::{Outcome, program};
use serde_json::{Value, json};
use synthetic::{Update, contenders, nothing, one, rehearsal, sweep};
use tempfile::TempDir;

const REHEARSE: &str = env!("CARGO_BIN_EXE_softstop-rehearse");

/// Compares the figures as `a.json` and `b.json`.
fn compare(a: &str, b: &str) -> Outcome {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("a.json"), a).unwrap();
    fs::write(directory.path().join("b.json"), b).unwrap();
    program(REHEARSE, ["compare", "a.json", "b.json"]).directory(directory.path()).run()
}

#[test]
fn one_changed_setting_and_its_effect_on_the_losses() {
    let a = one(&Update::new("softstop", 0.3, 1.1));
    let mut b = one(&Update::new("softstop", 0.0, 5.1));
    b["settings"]["pre-delay"] = "9s".into();
    let done = compare(&a.to_string(), &b.to_string());
    done.code(0);
    let want = "\
A: a.json (local, 2026-11-23T19:15:00Z, softstop 0.1.0)
B: b.json (local, 2026-11-23T19:15:00Z, softstop 0.1.0)

One thing differs:
  pre-delay  5s -> 9s

softstop
                  A      B  difference
  requests    5,000  5,000           0
  lost          147      0        -147
    5xx          93      0         -93
    refused      27      0         -27
    cut off      27      0         -27
  p50 ms        2.1    2.1           0
  p99 ms        5.6    5.6           0
  max ms         18     18           0
  s per stop    1.1    5.1        +4.0
  B lost less than A, by more than chance would explain: 2.94 % of A and 0.00 % of B (Fisher's exact test, p < 0.0001).
";
    assert!(done.stdout.starts_with(want), "{}", done.stdout);
}

#[test]
fn a_small_difference_may_be_chance_and_two_changes_cannot_be_told_apart() {
    let a = one(&Update::new("softstop", 0.0, 5.1));
    let mut b = a.clone();
    b["runs"][0]["requests"][7][2] = "refused".into();
    b["settings"]["pre-delay"] = "9s".into();
    b["settings"]["pods"] = Value::Null;
    b["settings"].as_object_mut().unwrap().remove("pods");
    let done = compare(&a.to_string(), &b.to_string());
    done.code(0);
    for part in [
        "2 things differ, so it is unknown which one made a difference. Change one at a time.\n",
        "  pods       2 -> (not set)\n",
        "  The difference in lost requests may be chance: 0.00 % of A and 0.02 % of B (Fisher's exact test, p = 1.0000).\n",
    ] {
        assert!(done.stdout.contains(part), "{part}\n{}", done.stdout);
    }
}

#[test]
fn runs_are_paired_by_name_and_unpaired_ones_are_listed() {
    let mut b = contenders();
    b.reverse();
    b.truncate(4);
    b[0]["name"] = "softstop, new".into();
    let done = compare(&rehearsal(&contenders()).to_string(), &rehearsal(&b).to_string());
    done.code(0);
    for part in
        ["No setting differs", "\ntini\n", "\nOnly in A: nginx, bare\nOnly in A: softstop\nOnly in B: softstop, new\n"]
    {
        assert!(done.stdout.contains(part), "{part}\n{}", done.stdout);
    }
    assert!(
        !done.stdout.contains("Neither lost anything.") && done.stdout.contains("may be chance"),
        "{}",
        done.stdout
    );
    // Two single runs are compared whatever their names.
    let done = compare(&one(&Update::new("a", 0.0, 1.0)).to_string(), &one(&Update::new("b", 0.0, 1.0)).to_string());
    assert!(
        done.stdout.contains("\na -> b\n") && done.stdout.contains("  Neither lost anything.\n"),
        "{}",
        done.stdout
    );
}

#[test]
fn a_file_that_is_not_a_result_is_refused_in_one_sentence() {
    let right = nothing().to_string();
    let mut other_form = nothing();
    other_form["form"] = 2.into();
    let mut half = sweep(3, 1);
    half["sweep"]["values"] = json!([1.0]);
    let mut unknown_verdict = nothing();
    unknown_verdict["runs"][0]["requests"] = json!([[1.0, 2.0, "eaten", 200, 0, 0, 0]]);
    for (wrong, sentence) in [
        (String::new(), "b.json is not a rehearsal.json: EOF while parsing a value at line 1 column 0"),
        ("{}".to_owned(), "b.json is not a rehearsal.json: missing field `form` at line 1 column 2"),
        ("\u{1}".to_owned(), "b.json is not a rehearsal.json: expected value at line 1 column 1"),
        (other_form.to_string(), "b.json has form 2; this softstop-rehearse reads form 1 only"),
        (half.to_string(), "b.json is not a rehearsal.json: its sweep has 1 values for 3 runs"),
    ] {
        let done = compare(&right, &wrong);
        done.code(2);
        assert_eq!((done.stdout.as_str(), done.stderr), ("", format!("softstop-rehearse: {sentence}\n")));
    }
    let done = compare(&right, &unknown_verdict.to_string());
    done.code(2);
    assert!(done.stderr.contains("b.json is not a rehearsal.json: unknown variant `eaten`"), "{}", done.stderr);
    let done = program(REHEARSE, ["compare", "/nowhere/a.json", "/nowhere/b.json"]).run();
    done.code(2);
    assert_eq!(done.stderr, "softstop-rehearse: cannot read /nowhere/a.json: No such file or directory (os error 2)\n");
}
