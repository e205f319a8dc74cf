//! Reads what the search for the server needs: which of our processes hold a listening socket, and which signals they catch or
//! block.

use std::ops::ControlFlow;

use super::procfs;
use super::sockets::ListeningSocket;
use crate::process::Process;
use crate::server::{Candidate, Reach};
use crate::signal::{Signal, SignalSet};

/// What was read.
#[derive(Debug, Default)]
pub struct Search {
    /// Our processes, parents before children.
    pub candidates: Vec<Candidate>,
    /// Whether a process hides its descriptors, so that it may hold a listening socket which we do not see.
    pub has_hidden: bool,
}

/// Finds out which of `processes` (parents before children) hold the listening `sockets`. `None`: it was not finished before
/// `is_late` became true.
pub fn search(processes: Vec<Process>, sockets: &[ListeningSocket], is_late: &dyn Fn() -> bool) -> Option<Search> {
    let mut found = Search {
        candidates: processes
            .into_iter()
            .map(|process| Candidate {
                process,
                command: Vec::new(),
                caught: <_>::default(),
                blocked: <_>::default(),
                listens: None,
            })
            .collect(),
        has_hidden: false,
    };
    let mut unheld = sockets.to_vec();
    let mut hidden = Vec::new();
    for (index, candidate) in found.candidates.iter_mut().enumerate() {
        if unheld.is_empty() {
            break;
        }
        if is_late() {
            return None;
        }
        let mut reach = None;
        // Parents come first, so a socket that a parent shares with its children counts as the parent's.
        let looked = procfs::socket_inodes(candidate.process.pid, &mut |inode| {
            if let Some(index) = unheld.iter().position(|socket| socket.inode == inode) {
                reach = reach.max(Some(unheld.swap_remove(index).reach));
            }
            if unheld.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        candidate.listens = reach;
        if looked.is_err_and(|error| !procfs::is_gone(&error)) {
            hidden.push(index);
        }
    }
    found.has_hidden = !hidden.is_empty();
    // If we have no privilege, a process of another user hides its descriptors. But the user who created a socket is known, so
    // such a process is taken to hold the sockets of its user that nobody else holds.
    for index in hidden {
        let Some(candidate) = found.candidates.get_mut(index) else { continue };
        let users = procfs::status(candidate.process.pid).map(|status| status.users).unwrap_or_default();
        let is_its = |socket: &ListeningSocket| socket.user.is_some_and(|user| users.contains(&user));
        let reach = unheld.iter().filter(|socket| is_its(socket)).map(|socket| socket.reach).max();
        unheld.retain(|socket| !is_its(socket));
        candidate.listens = candidate.listens.max(reach);
    }
    read_details(&mut found.candidates);
    Some(found)
}

/// Whether the process is another softstop, which stops its children by itself. It is recognised by its name and by blocking
/// every signal.
#[must_use]
pub fn is_softstop(pid: i32) -> bool {
    let blocks_all =
        |blocked: SignalSet| Signal::all().filter(|one| one.is_catchable()).all(|one| blocked.contains(one));
    procfs::name(pid).is_some_and(|name| name == "softstop")
        && procfs::status(pid).is_some_and(|status| blocks_all(status.blocked))
}

/// Reads the command lines and signal masks of the processes that listen and of their ancestors. No others are needed.
fn read_details(candidates: &mut [Candidate]) {
    let listening: Vec<(i32, Option<Reach>)> = candidates.iter().map(|one| (one.process.pid, one.listens)).collect();
    let mut wanted: Vec<i32> = listening.iter().filter(|(_, listens)| listens.is_some()).map(|&(pid, _)| pid).collect();
    // Children come after their parents, so one walk backwards finds every ancestor.
    for candidate in candidates.iter_mut().rev() {
        if wanted.contains(&candidate.process.pid) {
            wanted.push(candidate.process.parent);
            candidate.command = procfs::command(candidate.process.pid);
            let status = procfs::status(candidate.process.pid).unwrap_or_default();
            (candidate.caught, candidate.blocked) = (status.caught, status.blocked);
        }
    }
}
