//! softstop exits with the exit code of its main child, as soon as that has exited.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test panics when it fails; unlike the init it may read the clock and wait for its children"
)]

use common::*;

use std::time::Instant;

/// The binary under test.
const SOFTSTOP: &str = env!("CARGO_BIN_EXE_softstop");

/// The signals whose default action ends a process, in contrast to those that stop it, continue it or do nothing.
fn lethal() -> impl Iterator<Item = i32> {
    (1..=64).filter(|signal| !matches!(signal, 17..=23 | 28))
}

#[test]
fn softstop_exits_with_every_exit_code_of_the_child() {
    // This includes 125 to 127, which softstop also uses for its own errors.
    for code in 0..=255 {
        softstop(["sh", "-c", &format!("exit {code}")]).pid_one().run().code(code);
    }
}

#[test]
fn a_wrapper_exits_with_every_exit_code_of_the_child() {
    for code in 0..=255 {
        softstop(["sh", "-c", &format!("exit {code}")]).run().code(code);
    }
}

#[test]
fn a_child_killed_by_a_signal_gives_128_plus_its_number() {
    for signal in lethal() {
        // No core file, whatever the limits of the test are.
        let suicide = format!("ulimit -c 0; kill -{signal} $$");
        softstop(["sh", "-c", &suicide]).pid_one().run().code(128 + signal);
    }
}

#[test]
fn a_missing_program_gives_127_and_one_sentence() {
    for missing in ["no-such-program", "/no/such/program", "/etc/passwd/program"] {
        let outcome = softstop([missing]).pid_one().run();
        outcome.code(127).logged(missing);
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
    }
}

#[test]
fn a_missing_interpreter_gives_127_and_is_named_as_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("script");
    std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    make_runnable(&script);
    softstop([&script]).pid_one().run().code(127).logged("interpreter");
}

#[test]
fn a_program_that_cannot_be_executed_gives_126() {
    let directory = tempfile::tempdir().unwrap();
    let not_runnable = directory.path().join("text");
    std::fs::write(&not_runnable, "echo ran\n").unwrap();
    for path in [&not_runnable, &directory.path().to_owned()] {
        let outcome = softstop([path]).pid_one().run();
        outcome.code(126).logged(path.to_str().unwrap());
        assert_eq!(outcome.stdout, "", "{outcome:?}");
    }
}

fn make_runnable(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_remapped_code_becomes_zero_and_no_other_does() {
    let exit = |code: u8| format!("exit {code}");
    softstop(["-e", "143", "-e", "7", "sh", "-c", &exit(143)]).pid_one().run().code(0);
    softstop(["-e", "143", "-e", "7", "sh", "-c", &exit(7)]).pid_one().run().code(0);
    softstop(["-e", "143", "-e", "7", "sh", "-c", &exit(8)]).pid_one().run().code(8);
    // A JVM exits with 143 on SIGTERM. A child killed by SIGTERM has the same code.
    softstop(["-e", "143", "sh", "-c", "kill -15 $$"]).pid_one().run().code(0);
}

#[test]
fn the_exit_of_the_main_child_is_not_missed_among_fifty_others() {
    // One SIGCHLD may stand for all of them: the kernel kills the whole process group, with 25 children of the main
    // child and 25 orphans, at once.
    for round in 0..20 {
        let script = "i=0; while [ $i -lt 25 ]; do sleep 1000 & (sleep 1000 &) ; i=$((i + 1)); done; kill -9 0";
        let start = Instant::now();
        softstop(["-g", "sh", "-c", script]).pid_one().run().code(137);
        assert!(start.elapsed() < DEAD_MAN / 2, "round {round} took {:?}", start.elapsed());
    }
}

#[test]
fn a_failed_fork_gives_125() {
    // RLIMIT_NPROC counts the processes of a user. It does not apply to root.
    if !have("root, to become a user with no other process", is_root()) || !have_program("setpriv") {
        return;
    }
    let limited = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", "--bounding-set=-all"];
    let binary = readable_by_all();
    let outcome = program(&*binary, ["true"]).through(limited).through(["prlimit", "--nproc=1", "--"]).run();
    outcome.code(125).logged("cannot create a process for `true`");
    // The control: without the limit softstop runs.
    program(&*binary, ["true"]).through(limited).run().code(0);
}

/// A copy of softstop that every user can execute, since the build directory may be closed to others.
fn readable_by_all() -> tempfile::TempPath {
    // The file is closed: execve of a file that is open for writing fails with ETXTBSY.
    let file = tempfile::Builder::new().prefix("softstop-").tempfile_in("/tmp").unwrap().into_temp_path();
    std::fs::copy(SOFTSTOP, &file).unwrap();
    make_runnable(&file);
    file
}
