//! A stop request to a program that listens nowhere is passed on before /proc is looked at, however many processes there are.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test panics when it fails; unlike the init it may read the clock and wait for its children"
)]

use common::namespace::have_network;
use common::*;

use std::collections::HashSet;
use std::fs;
use std::time::{Duration, Instant};

use libc::SIGTERM;

/// The other processes in the namespace.
const CROWD: usize = 5000;
/// How often the time is measured. The median counts.
const SAMPLES: usize = 15;
/// How much longer a signal may take among so many processes. To look at each of them takes some hundred times as long.
const FACTOR: u32 = 8;

/// Forks as many processes as its argument says. They share its memory, which makes them cheap.
const FORKS: &str = r#"
    $| = 1;
    my $made = 0;
    for (1 .. $ARGV[0]) {
        my $pid = fork;
        last if !defined $pid;
        if (!$pid) { sleep 1000; exit }
        $made++;
    }
    print "made $made\n";
    sleep 1000;
"#;

/// A PID namespace with this many processes besides its PID 1, or as many as the machine allows.
fn namespace_of(count: usize) -> (Running, usize) {
    let run = program("perl", ["-e", FORKS, &count.to_string()]).pid_one().start();
    let made: usize = run.says("made ")[5..].parse().unwrap();
    assert!(made >= count / 5, "only {made} processes could be made");
    (run, made)
}

/// How long a SIGTERM to softstop in that namespace takes to arrive in a child with these arguments.
fn latency(namespace: &Running, arguments: &[&str]) -> Duration {
    let enter = ["nsenter", "--target", &namespace.pid.to_string(), "--pid", "--mount"].map(str::to_owned);
    let command = words(arguments.iter().copied(), &[]);
    let run = softstop([vec![recorder().to_str().unwrap().to_owned()], command].concat()).through(enter).start();
    run.says("ready");
    let softstop = eventually("nsenter forks", || children(run.pid).first().copied());
    // It sleeps in poll(2) by then.
    eventually("softstop sleeps", || (state(softstop) == Some('S')).then_some(()));
    let start = Instant::now();
    send(softstop, SIGTERM);
    run.says("got 15");
    let took = start.elapsed();
    run.wait().code(0);
    took
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[test]
fn five_thousand_other_processes_do_not_delay_a_signal_to_a_program_that_listens_nowhere() {
    if !have_program("perl") || !have_program("nsenter") || !have_network() {
        return;
    }
    let ((empty, _), (crowded, crowd)) = (namespace_of(0), namespace_of(CROWD));
    // In turn, so that both have the same load of the machine beside them.
    let (alone, among): (Vec<_>, Vec<_>) = (0..SAMPLES).map(|_| (latency(&empty, &[]), latency(&crowded, &[]))).unzip();
    // The control: to find a server every process is looked at.
    let listening = (0..3).map(|_| latency(&crowded, &LISTENS)).collect();
    let [alone, among, listening] = [alone, among, listening].map(median);
    println!("alone {alone:?}, among {crowd} processes {among:?}, with a listener {listening:?}");
    assert!(among < alone * FACTOR, "{among:?} among {crowd} processes, {alone:?} alone");
    assert!(listening > alone * FACTOR, "the control: {listening:?} with a listener, {alone:?} without");
}

/// Of how many processes softstop reads the name or command line before it sends the stop signal to a recorder with these
/// arguments, and which other files of processes it opens or reads.
fn files_before_the_signal(arguments: &[&str]) -> (usize, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let calls = "trace=%file,kill,pidfd_send_signal";
    let strace = ["strace", "--quiet=all", "-f", "-e", calls, "-o", trace.to_str().unwrap()];
    let run = softstop([recorder().to_str().unwrap()].iter().chain(arguments)).through(strace).start();
    run.says("ready");
    let softstop = run.descendant("softstop");
    send(softstop, SIGTERM);
    run.wait().code(0);
    let trace = fs::read_to_string(trace).unwrap();
    let calls: Vec<&str> = trace.lines().filter_map(|line| line.strip_prefix(&format!("{softstop} "))).collect();
    let is_sending = |call: &&str| call.contains("SIGTERM") && !call.starts_with("---");
    let sent = calls.iter().position(is_sending).unwrap_or_else(|| panic!("{trace}"));
    let is_of_a_process = |call: &&str| {
        call.split_once("\"/proc/").is_some_and(|(_, path)| path.starts_with(|first: char| first.is_ascii_digit()))
    };
    let is_name = |call: &&str| call.contains("/stat\"") || call.contains("/cmdline\"");
    let found: Vec<&str> = calls[..sent].iter().copied().filter(is_of_a_process).collect();
    let pid_of = |call: &str| Some(call.split_once("\"/proc/")?.1.split_once('/')?.0.to_owned());
    let named: HashSet<String> = found.iter().copied().filter(is_name).filter_map(pid_of).collect();
    (named.len(), found.into_iter().filter(|call| !is_name(call)).map(str::to_owned).collect())
}

#[test]
fn no_file_of_a_process_is_opened_before_the_signal_to_a_program_that_listens_nowhere() {
    if !have_program("strace") || !have_network() {
        return;
    }
    // Its name tells whether it is a shell or another softstop.
    assert_eq!(files_before_the_signal(&[]), (1, Vec::new()));
    // The control: to find a server, processes are looked at.
    assert_ne!(files_before_the_signal(&LISTENS).1, [""; 0]);
}
