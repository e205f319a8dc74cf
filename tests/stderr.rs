//! softstop drops log lines rather than delay a stop, and no failure to log ends it.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test panics when it fails; unlike the init it may read the clock and wait for its children"
)]

use common::*;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// The binary under test.
const SOFTSTOP: &str = env!("CARGO_BIN_EXE_softstop");

/// An upper limit for what should take no time, even on a very slow machine.
const SOON: Duration = Duration::from_secs(25);

const LEVELS: [&[&str]; 5] = [&[], &["-v"], &["-vv"], &["-vvv"], &["-vvv", "-w", "--log-format=json"]];

fn sleeps(options: &[&str]) -> Vec<String> {
    words(options.iter().copied(), &["sleep".into(), "1000".into()])
}

/// A pipe that has no room for a single byte.
fn full_pipe() -> (File, File) {
    let (reader, mut writer) = pipe();
    set_non_blocking(&writer, true);
    // Pages first, then single bytes: the last page of a pipe may have room left.
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
    // Two other signals first: with -vv they are logged too.
    for signal in [28, 23] {
        run.signal(signal);
        run.takes(signal);
    }
    run.signal(15);
    assert_eq!(run.wait().code, 143, "{what}");
    assert!(start.elapsed() < SOON, "{what}: {:?}", start.elapsed());
}

#[test]
fn a_full_pipe_does_not_delay_a_stop() {
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
fn a_full_pipe_does_not_delay_a_stop_under_another_name_at_any_log_level() {
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
fn a_full_pipe_of_another_user_does_not_delay_a_stop() {
    // softstop may not reopen such a pipe to set O_NONBLOCK on it alone, and polls for room before each line.
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
fn a_full_pipe_blocks_tini() {
    // The negative control, and proof that the pipe is full: tini blocks in its first write.
    if !have_program("tini") {
        return;
    }
    let (reader, writer) = full_pipe();
    let run = program("tini", ["-vvv", "--", "sleep", "1000"]).stderr(writer).start();
    eventually("tini blocks in write", || {
        fs::read_to_string(format!("/proc/{}/wchan", run.pid)).ok()?.contains("pipe_w").then_some(())
    });
    run.signal(15);
    std::thread::sleep(Duration::from_millis(500));
    assert!(run.is_running());
    drop(reader);
}

#[test]
fn log_lines_lost_to_a_full_pipe_are_counted() {
    let (mut reader, writer) = full_pipe();
    let run = softstop(words(["-vv"], &recorder_until(&["15=0"]))).stderr(writer).start();
    run.says("ready");
    run.signal(1);
    run.says("got 1");
    run.takes(1);
    // Now there is room for the next line.
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
fn softstop_survives_a_closed_log_pipe() {
    for options in LEVELS {
        let (reader, writer) = pipe();
        drop(reader);
        stops_soon(softstop(sleeps(options)).stderr(writer).pid_one().start(), &format!("{options:?}"));
    }
}

#[test]
fn softstop_survives_a_log_reader_that_exits_during_the_drain() {
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
    // A SIGPIPE from softstop's own write must not be forwarded.
    assert!(!outcome.code(7).stdout.contains("got 13"), "{outcome:?}");
}

#[test]
fn softstop_survives_closed_standard_descriptors() {
    for redirections in ["2>&-", "0<&- 2>&-", "0<&- 1>&- 2>&-", "1>&-"] {
        for options in LEVELS {
            let run = softstop(sleeps(options)).redirected(redirections).pid_one().start();
            stops_soon(run, &format!("{redirections} {options:?}"));
        }
    }
}

#[test]
fn a_socket_takes_the_log_and_does_not_delay_a_stop() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let run = softstop(words(["-vvv"], &recorder_until(&["15=0"]))).stderr(OwnedFd::from(theirs)).pid_one().start();
    run.says("ready");
    run.signal(15);
    run.wait().code(0);
    let mut log = String::new();
    ours.read_to_string(&mut log).unwrap();
    assert!(log.contains("stop requested: SIGTERM") && log.contains("stopped in"), "{log}");

    // A full socket, and one whose other end is closed.
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
fn a_log_file_has_the_lines_of_softstop_and_the_app_in_order() {
    let file = tempfile::NamedTempFile::new().unwrap();
    // Without O_APPEND, like `2>FILE` of a shell: all processes share the file offset.
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
fn softstop_survives_dev_null_and_a_full_disk() {
    for path in ["/dev/null", "/dev/full"] {
        let stderr = File::options().write(true).open(path).unwrap();
        stops_soon(softstop(sleeps(&["-vvv"])).stderr(stderr).pid_one().start(), path);
    }
}
