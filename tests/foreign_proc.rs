//! If /proc is missing or belongs to another pid namespace, softstop signals nobody by a pid that it read there.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test panics when it fails; unlike the init it may read the clock and wait for its children"
)]

use common::*;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The binary under test.
const SOFTSTOP: &str = env!("CARGO_BIN_EXE_softstop");

/// A shell that ignores SIGTERM with its children: one in its process group, one in a new session.
const STUBBORN: &str = "trap '' TERM; sleep 1001 & setsid sleep 1002 & echo ready; while :; do sleep 1003; done";

/// Far longer than any of these tests takes.
const SOON: Duration = Duration::from_secs(25);

/// Processes that must not be killed. In the outer namespace they could have the pids of the inner one.
struct Bystanders(Vec<Child>);

impl Bystanders {
    fn new() -> Self {
        Self((0..5).map(|_| Command::new("sleep").arg("1000").stdout(Stdio::null()).spawn().unwrap()).collect())
    }

    fn are_untouched(&mut self) -> bool {
        self.0.iter_mut().all(|child| child.try_wait().unwrap().is_none())
    }
}

impl Drop for Bystanders {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The `unshare` command for a pid namespace that keeps the /proc of the outer namespace.
fn unshare_without_proc() -> Vec<&'static str> {
    unshare().iter().copied().filter(|word| *word != "--mount-proc").collect()
}

#[test]
fn as_pid_1_with_a_foreign_proc_only_its_own_namespace_is_killed() {
    for options in ["", "--wait-for all", "-g -vvv"] {
        let mut bystanders = Bystanders::new();
        let words = format!("exec {SOFTSTOP} --drain-timeout 300ms {options} sh -c \"$0\"");
        let run = program("sh", ["-c", &words, STUBBORN]).through(unshare_without_proc()).start();
        run.says("ready");
        let init = pid_one_behind(run.pid);
        let family = eventually("all processes run", || Some(descendants(init)).filter(|family| family.len() == 4));
        let start = Instant::now();
        send(init, 15);
        let outcome = run.wait();
        outcome.code(137).logged("/proc does not show").not_logged("killed pid");
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        family.into_iter().for_each(gone);
        assert!(bystanders.are_untouched(), "{options}");
    }
}

#[test]
fn as_a_wrapper_with_a_foreign_proc_only_the_childs_group_is_killed() {
    for options in ["", "--wait-for all", "-g"] {
        let mut bystanders = Bystanders::new();
        // PID 1 is a shell with another child beside softstop.
        let words =
            format!("sleep 1004 & {SOFTSTOP} --drain-timeout 300ms {options} sh -c \"$0\"; echo code $?; read forever");
        let (stdin, _keeps_it_open) = pipe();
        let run = program("sh", ["-c", &words, STUBBORN]).through(unshare_without_proc()).stdin(stdin).start();
        run.says("ready");
        let shell = pid_one_behind(run.pid);
        let [sibling, softstop] = eventually("the shell has both children", || children(shell).try_into().ok());
        eventually("all processes run", || (descendants(softstop).len() == 4).then_some(()));
        send(softstop, 15);
        run.says("code 137");
        assert!(state(sibling).is_some_and(|state| state != 'Z'), "{options}");
        assert!(bystanders.are_untouched(), "{options}");
    }
}

/// A command that unmounts /proc in a new mount namespace.
fn without_proc() -> [&'static str; 6] {
    ["unshare", "--mount", "sh", "-c", "umount -l /proc && exec \"$@\"", "sh"]
}

#[test]
fn as_pid_1_without_proc_a_stop_works() {
    if !have("root, to unmount /proc", is_root()) {
        return;
    }
    let run = softstop(["--drain-timeout", "300ms", "sh", "-c", STUBBORN]).through(without_proc()).pid_one().start();
    run.says("ready");
    run.signal(1);
    run.wait().code(129);
    let run = softstop(["--drain-timeout", "300ms", "--wait-for", "all", "sh", "-c", STUBBORN])
        .through(without_proc())
        .pid_one()
        .start();
    run.says("ready");
    run.signal(15);
    run.wait().code(137).logged("/proc does not show");
}

#[test]
fn as_a_wrapper_without_proc_a_stop_works() {
    if !have("root, to unmount /proc", is_root()) {
        return;
    }
    let mut bystanders = Bystanders::new();
    let run = softstop(["--drain-timeout", "300ms", "sh", "-c", STUBBORN]).through(without_proc()).start();
    run.says("ready");
    let family = descendants(run.pid);
    run.signal(15);
    run.wait().code(137);
    assert!(bystanders.are_untouched());
    // Without /proc softstop cannot find the process that has left the group. The test kills it.
    let strays: Vec<Stray> = family.into_iter().map(Stray).collect();
    assert!(strays.iter().filter(|stray| stray.is_alive()).count() <= 1);
}

#[test]
fn the_same_wrapper_with_its_own_proc_kills_all_remaining_processes() {
    // The control: with its own /proc softstop also finds the process that has left the group.
    let run = softstop(["--drain-timeout", "300ms", "sh", "-c", STUBBORN]).start();
    run.says("ready");
    let family = eventually("all processes run", || Some(descendants(run.pid)).filter(|family| family.len() == 4));
    run.signal(15);
    run.wait().code(137);
    family.into_iter().for_each(gone);
}
