//! The log loses lines before it delays a stop, and is never a reason to end.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test panics when it fails; unlike the init it may read the clock and wait for its children"
)]

mod common;
use common::*;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// What must take no time takes less than this, on the slowest machine.
const SOON: Duration = Duration::from_secs(25);

const LEVELS: [&[&str]; 5] = [&[], &["-v"], &["-vv"], &["-vvv"], &["-vvv", "-w", "--log-format=json"]];

fn sleeps(options: &[&str]) -> Vec<String> {
    words(options.iter().copied(), &["sleep".into(), "1000".into()])
}

/// A pipe that takes not one more byte.
fn full_pipe() -> (File, File) {
    let (reader, mut writer) = pipe();
    set_non_blocking(&writer, true);
    // Big ones first, then single ones: a pipe's last page may have room for a line.
    for size in [4096, 1] {
        while writer.write(&vec![b'.'; size]).is_ok() {}
    }
    set_non_blocking(&writer, false);
    (reader, writer)
}

fn set_non_blocking(fd: &impl AsRawFd, on: bool) {
    // SAFETY: changes a flag of the open file.
    let result = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, if on { libc::O_NONBLOCK } else { 0 }) };
    assert_eq!(result, 0);
}

fn stops_soon(run: Running, what: &str) {
    run.listens();
    let start = Instant::now();
    // A reload first: with -vv it is logged, too.
    for signal in [28, 23] {
        run.signal(signal);
        run.takes(signal);
    }
    run.signal(15);
    assert_eq!(run.wait().code, 143, "{what}");
    assert!(start.elapsed() < SOON, "{what}: {:?}", start.elapsed());
}

#[test]
fn a_full_pipe_delays_no_stop() {
    for options in LEVELS {
        let (reader, writer) = full_pipe();
        stops_soon(softstop(sleeps(options)).stderr(writer).pid_one().start(), &format!("PID 1, {options:?}"));
        drop(reader);
        let (reader, writer) = full_pipe();
        stops_soon(softstop(sleeps(options)).stderr(writer).start(), &format!("wrapper, {options:?}"));
        drop(reader);
    }
}

#[test]
fn a_full_pipe_delays_no_stop_by_another_name_however_much_it_says() {
    for name in OTHER_NAMES {
        let options: &[&str] = match name {
            "dumb-init" => &["-v"],
            "catatonit" | "podman-init" => &[],
            _ => &["-vvv", "-w"],
        };
        let (reader, writer) = full_pipe();
        let run = program(called(name), sleeps(options)).env("CATATONIT_DEBUG", "1").stderr(writer);
        stops_soon(run.pid_one().start(), name);
        drop(reader);
    }
}

#[test]
fn a_full_pipe_of_another_users_delays_no_stop() {
    // It cannot be opened again for us alone: then it is asked for room, line by line.
    if !have("root, to make another user's pipe", is_root()) || !have_program("setpriv") {
        return;
    }
    let binary = tempfile::Builder::new().prefix("softstop-").tempfile_in("/tmp").unwrap().into_temp_path();
    fs::copy(SOFTSTOP, &binary).unwrap();
    fs::set_permissions(&binary, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for options in LEVELS {
        let (reader, writer) = full_pipe();
        let run = program(&*binary, sleeps(options))
            .through(["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"])
            .stderr(writer)
            .start();
        stops_soon(run, &format!("{options:?}"));
        drop(reader);
    }
}

#[test]
fn a_full_pipe_holds_tini_up() {
    // The negative control, and proof that the pipe is full: tini blocks in its first line.
    if !have_program("tini") {
        return;
    }
    let (reader, writer) = full_pipe();
    let run = program("tini", ["-vvv", "--", "sleep", "1000"]).stderr(writer).start();
    eventually("tini writes", || {
        fs::read_to_string(format!("/proc/{}/wchan", run.pid)).ok()?.contains("pipe_w").then_some(())
    });
    run.signal(15);
    std::thread::sleep(Duration::from_millis(500));
    assert!(run.is_running());
    drop(reader);
}

#[test]
fn what_a_full_pipe_lost_is_counted() {
    let (mut reader, writer) = full_pipe();
    let run = softstop(words(["-vv"], &recorder_until(&["15=0"]))).stderr(writer).start();
    run.says("ready");
    run.signal(1);
    run.says("got 1");
    run.takes(1);
    // Now somebody reads, and the next line has room.
    let mut room = vec![0; 16384];
    reader.read_exact(&mut room).unwrap();
    run.signal(15);
    run.wait().code(0);
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    let told = rest.lines().find(|line| line.contains("log lines were lost"));
    let count: u32 = told.unwrap().split_ascii_whitespace().find_map(|word| word.parse().ok()).unwrap();
    assert!(count >= 2, "{told:?}");
    assert!(rest.contains("stop requested"), "{rest}");
}

#[test]
fn a_pipe_that_nobody_reads_any_more_ends_nobody() {
    for options in LEVELS {
        let (reader, writer) = pipe();
        drop(reader);
        stops_soon(softstop(sleeps(options)).stderr(writer).pid_one().start(), &format!("{options:?}"));
    }
}

#[test]
fn a_reader_that_goes_during_the_drain_ends_nobody() {
    let (reader, writer) = pipe();
    let run = softstop(words(["-vvv"], &recorder_until(&["10=7"]))).stderr(writer).pid_one().start();
    run.says("ready");
    run.signal(15);
    run.says("got 15");
    drop(reader);
    run.signal(1);
    run.says("got 1");
    run.signal(10);
    let outcome = run.wait();
    // Our own SIGPIPE is none of the app's.
    assert!(!outcome.code(7).stdout.contains("got 13"), "{outcome:?}");
}

#[test]
fn closed_descriptors_end_nobody() {
    for redirections in ["2>&-", "0<&- 2>&-", "0<&- 1>&- 2>&-", "1>&-"] {
        for options in LEVELS {
            let run = softstop(sleeps(options)).redirected(redirections).pid_one().start();
            stops_soon(run, &format!("{redirections} {options:?}"));
        }
    }
}

#[test]
fn a_socket_carries_the_log_and_delays_no_stop() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let run = softstop(words(["-vvv"], &recorder_until(&["15=0"]))).stderr(OwnedFd::from(theirs)).pid_one().start();
    run.says("ready");
    run.signal(15);
    run.wait().code(0);
    let mut log = String::new();
    ours.read_to_string(&mut log).unwrap();
    assert!(log.contains("stop requested: SIGTERM") && log.contains("stopped in"), "{log}");

    // A full one, and one whose other end is closed.
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    while theirs.write(&[b'.'; 4096]).is_ok() {}
    while theirs.write(b".").is_ok() {}
    theirs.set_nonblocking(false).unwrap();
    stops_soon(softstop(sleeps(&["-vvv"])).stderr(OwnedFd::from(theirs)).start(), "a full socket");
    drop(ours);
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(ours);
    stops_soon(softstop(sleeps(&["-vvv"])).stderr(OwnedFd::from(theirs)).start(), "a closed socket");
}

#[test]
fn a_file_carries_the_log_behind_what_the_app_wrote() {
    let file = tempfile::NamedTempFile::new().unwrap();
    // Without O_APPEND, as a shell's `2>FILE` has it: the offset is one for all.
    let stderr = File::create(file.path()).unwrap();
    let run = softstop([
        "sh",
        "-c",
        "trap 'echo last >&2; exit 4' TERM; echo first >&2; echo ready; while :; do sleep 0.01; done",
    ])
    .stderr(stderr)
    .pid_one()
    .start();
    run.says("ready");
    run.signal(15);
    run.wait().code(4);
    let log = fs::read_to_string(file.path()).unwrap();
    let at = |part: &str| log.find(part).unwrap_or_else(|| panic!("no {part:?} in {log:?}"));
    assert!(at("first") < at("stop requested") && at("stop requested") < at("last") && at("last") < at("stopped in"));
}

#[test]
fn dev_null_and_a_full_disk_end_nobody() {
    for path in ["/dev/null", "/dev/full"] {
        let stderr = File::options().write(true).open(path).unwrap();
        stops_soon(softstop(sleeps(&["-vvv"])).stderr(stderr).pid_one().start(), path);
    }
}
