//! Checks of command lines and of running processes, for the tests beside it.

use super::Profile;
use super::words::COMM_LENGTH;

/// The server that a command line starts; its words are separated by spaces, or by bars if they hold spaces.
pub(super) fn started(command: &str) -> Option<&'static str> {
    let separator = if command.contains('|') { '|' } else { ' ' };
    Profile::of_command(&command.split(separator).collect::<Vec<_>>()).map(|profile| profile.name)
}

pub(super) fn run_by(cmdline: &[&str], comm: &str) -> Option<&'static str> {
    assert!(comm.len() <= COMM_LENGTH, "{comm}");
    Profile::of_process(cmdline, comm).map(|profile| profile.name)
}

pub(super) fn each_starts(server: &str, commands: &[&str]) {
    for command in commands {
        assert_eq!(started(command), Some(server), "{command}");
    }
}

pub(super) fn none_starts(commands: &[&str]) {
    for command in commands {
        assert_eq!(started(command), None, "{command}");
    }
}

pub(super) fn each_runs(seen: &[(&[&str], &str, &str)]) {
    for &(cmdline, comm, name) in seen {
        assert_eq!(run_by(cmdline, comm), Some(name), "{cmdline:?} {comm}");
    }
}
