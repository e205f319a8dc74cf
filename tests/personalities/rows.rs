//! Cases that the tables of the three inits share.

use super::matrix::{Case, Fact, StartedAs, Step, called, peer_of};

/// Every signal that can be caught, except the two that the C library reserves.
pub(crate) fn catchable() -> Vec<i32> {
    (1..=64).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP, 32, 33].contains(signal)).collect()
}

/// The signals that the kernel sends for a fault of the process itself. Other processes may send them too.
pub(crate) const FAULTS: [i32; 7] =
    [libc::SIGILL, libc::SIGTRAP, libc::SIGABRT, libc::SIGBUS, libc::SIGFPE, libc::SIGSEGV, libc::SIGSYS];

/// A recorder as the main child, with a second one in its process group.
const TWO: &str = "sh -c 'recorder --name second --exit-on 99=0 & exec recorder --exit-on 99=0'";

/// Every signal, sent to an init with these options as PID 1 and as a wrapper, with two processes in the child's group.
pub(crate) fn each_signal(
    name: &'static str,
    options: &str,
    environment: &[(&'static str, &'static str)],
) -> Vec<Case> {
    let case = || {
        let with_options = called(name, &format!("{options} {TWO}"));
        environment.iter().fold(with_options, |case, &(name, value)| case.env(name, value))
    };
    let each = |signals| [Step::Hear("ready"), Step::Hear("second: ready"), Step::Each(signals)];
    let leaves = [Step::SendChild(libc::SIGKILL)];
    let harmless: Vec<i32> = catchable().into_iter().filter(|signal| !FAULTS.contains(signal)).collect();
    let mut cases = vec![
        case().steps(each(catchable())).steps(leaves.clone()),
        case().wrapper().steps(each(harmless)).steps(leaves.clone()),
    ];
    // These may end an init that is not PID 1, so that each has a case of its own.
    cases.extend(
        FAULTS
            .into_iter()
            .chain([32, 33])
            .map(|fault| case().wrapper().steps(each(vec![fault])).steps([Step::SendChild(libc::SIGKILL)])),
    );
    cases.push(case().steps(each(vec![32, 33])).steps(leaves));
    cases
}

/// Every exit code, and every signal that kills a child by default.
pub(crate) fn each_end(name: &'static str) -> Vec<Case> {
    let codes = (0..=255).map(|code| called(name, &format!("sh -c 'exit {code}'")).wrapper());
    // The signals whose default action ends a process.
    let lethal = (1..=64).filter(|signal| ![17, 18, 19, 20, 21, 22, 23, 28, 32, 33].contains(signal));
    let deaths = lethal.map(|signal| called(name, &format!("-- sh -c 'ulimit -c 0; kill -{signal} $$'")).wrapper());
    codes.chain(deaths).collect()
}

/// Programs that cannot be executed, and a few that can.
pub(crate) fn each_program(name: &'static str) -> Vec<Case> {
    [
        "no-such-program",
        "/no/such/program",
        "./no-such-program -x",
        "/etc/passwd/program",
        "/",
        ".",
        "''",
        "./not-executable",
        "./script word",
        "./no-interpreter-named word",
        "./interpreter-missing",
        "./no-program",
        "./empty",
        "true",
        "-- true",
        "-- sh -c 'echo \"$0 $1\"' -x --",
        "-- -- true",
        "-- -x",
    ]
    .iter()
    .map(|words| called(name, words))
    .collect()
}

/// What the child inherits, and what the init keeps.
pub(crate) fn inheritance(name: &'static str, options: &str) -> Vec<Case> {
    let recorder = |started_as| called(name, &format!("{options} recorder")).started_as(started_as).stopped_by(15);
    let sed = |started_as| {
        called(name, &format!("{options} -- sed -n '/^Sig[BI]/p' /proc/self/status")).started_as(started_as)
    };
    let peer = peer_of(name);
    let shares = options == "-c";
    let mut cases = Vec::new();
    for started_as in [StartedAs::PidOne, StartedAs::Wrapper] {
        let ignored_sigchld = sed(started_as).through("env --ignore-signal=CHLD");
        cases.push(if peer == "dumb-init" { ignored_sigchld } else { ignored_sigchld.original_hangs() });
        cases.extend([
            recorder(started_as),
            recorder(started_as).redirected("9</dev/null"),
            recorder(started_as).redirected("0<&-"),
            recorder(started_as).redirected("2>&-"),
            sed(started_as),
            sed(started_as).through("env --ignore-signal=HUP,PIPE,TERM,TTOU,RTMAX"),
            sed(started_as).through("env --ignore-signal=TTIN --block-signal=USR1,TERM,CHLD,RTMIN+5"),
            called(name, &format!("{options} -- recorder")).started_as(started_as).redirected("9</dev/null").steps([
                Step::Hear("ready"),
                Step::Note(Fact::Group, if shares { "the init's" } else { "the child's" }),
                Step::Note(Fact::Session, if name == "dumb-init" && !shares { "the child's" } else { "the init's" }),
                Step::Note(Fact::Directory, if name == "tini" { "where it started" } else { "/" }),
                Step::Note(Fact::Nine, if peer == "catatonit" { "closed" } else { "open" }),
                Step::Send(15),
            ]),
            called(name, &format!("{options} -- sh -c '{SAYS_LISTEN_PID}'"))
                .started_as(started_as)
                .env("LISTEN_PID", "1"),
            called(name, &format!("{options} -- sh -c '{SAYS_LISTEN_PID}'"))
                .started_as(started_as)
                .env("LISTEN_PID", "77"),
            called(name, &format!("{options} -- sh -c '{SAYS_LISTEN_PID}'"))
                .started_as(started_as)
                .env("LISTEN_PID", "x"),
            called(name, &format!("{options} -- sh -c '{SAYS_LISTEN_PID}'"))
                .started_as(started_as)
                .through("sh -c 'LISTEN_PID=$$ exec \"$@\"' sh"),
        ]);
    }
    cases
}

const SAYS_LISTEN_PID: &str = "if [ \"$LISTEN_PID\" = $$ ]; then echo mine; else \
                               [ \"$LISTEN_PID\" = $PPID ] && echo the inits || echo \"$LISTEN_PID\"; fi";

/// Which process adopts orphans, and whether they are reaped.
pub(crate) fn orphans(name: &'static str, options: &str, environment: &[(&'static str, &'static str)]) -> Vec<Case> {
    let case = |script: &str| {
        let case = called(name, &format!("{options} -- sh -c '{script}'"));
        environment.iter().fold(case, |case, &(name, value)| case.env(name, value))
    };
    let mut cases = Vec::new();
    let is_subreaper = peer_of(name) == "catatonit" || options.contains('s') || !environment.is_empty();
    for (started_as, adopted) in [(StartedAs::PidOne, "2"), (StartedAs::Wrapper, if is_subreaper { "2" } else { "1" })]
    {
        cases.extend([
            case("(sleep 1000 >&- 2>&- &); exec recorder").started_as(started_as).steps([
                Step::Hear("ready"),
                Step::Note(Fact::Children, adopted),
                Step::Send(15),
            ]),
            case("for i in 1 2 3 4 5; do (true &); done; exec recorder").started_as(started_as).steps([
                Step::Hear("ready"),
                Step::Note(Fact::Zombies, "0"),
                Step::Send(15),
            ]),
        ]);
        // Otherwise a process outside the test adopts and reaps the orphan.
        if adopted == "2" {
            cases.push(case(&format!("{ORPHAN}; echo reaped")).started_as(started_as));
        }
    }
    cases
}

/// Makes an orphan that exits as soon as its parent has, and waits until it has been reaped: its pid is then free.
pub(crate) const ORPHAN: &str = "p=$(sh -c \"tail -s 0.01 -f --pid=\\$\\$ /dev/null >/dev/null 2>&1 & echo \\$!\"); \
                                 while kill -0 $p 2>&-; do sleep 0.01; done";

/// Prints a line and then executes `sleep`, a program without signal handlers.
const SLEEPS: &str = "sh -c 'echo ready; exec sleep 1000'";

/// At a terminal, as leader of the session with and without being PID 1.
pub(crate) fn terminals(name: &'static str, options: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let starts: &[StartedAs] =
        if common::is_root() { &[StartedAs::SessionLeader, StartedAs::DockerTty] } else { &[StartedAs::SessionLeader] };
    for &started_as in starts {
        let at = |command: &str| called(name, &format!("{options} -- {command}")).started_as(started_as);
        // `dumb-init -c` changes neither the session nor the process group.
        let shares = options == "-c";
        let group = if shares { "the init's" } else { "the child's" };
        let session = if name == "dumb-init" && !shares { "the child's" } else { "the init's" };
        let facts = || {
            [
                Step::Hear("ready"),
                Step::Note(Fact::Foreground, group),
                Step::Note(Fact::Group, group),
                Step::Note(Fact::Session, session),
            ]
        };
        cases.extend([
            at(SLEEPS).steps(facts()).steps([Step::Type("\x03")]),
            at(SLEEPS).steps(facts()).steps([Step::Type("\x1c")]),
            at(SLEEPS).steps(facts()).steps([Step::HangUp]),
            at(SLEEPS).steps(facts()).steps([Step::Send(15)]),
            // Only the signal that is sent reaches the child.
            at("recorder").steps([Step::Hear("ready\r\n"), Step::Send(15), Step::Hear("got 15")]),
            at("sh -c 'stty -echo; echo ready; read line; echo \"read $line\"; exit 7'").steps([
                Step::Hear("ready"),
                Step::Type("words\r"),
                Step::Hear("read words"),
            ]),
            // With `tostop` a background process is stopped when it writes.
            at("sh -c 'stty tostop -echo; echo ready; read line; echo \"read $line\"; exit 7'").steps([
                Step::Hear("ready"),
                Step::Type("words\r"),
                Step::Hear("read words"),
            ]),
            // An init that starts an init.
            at(&format!("{name} {options} -- {SLEEPS}")).steps([Step::Hear("ready"), Step::Type("\x03")]),
        ]);
        // An init in the same group gets the terminal's signals too and passes them on, so that the child gets them
        // twice, or once if both are pending together.
        if !shares {
            cases.push(at("recorder --exit-on 15=5").steps([
                Step::Hear("ready"),
                Step::Note(Fact::Foreground, group),
                Step::Type("\x03"),
                Step::Hear("got 2\r\n"),
                Step::Type("\x1c"),
                Step::Hear("got 3\r\n"),
                Step::Send(15),
            ]));
        }
        // In a session of its own the child's process group is orphaned, so that the kernel does not stop it.
        let is_stopped = peer_of(name) == "tini";
        cases.push(at(SLEEPS).steps(facts()).steps([
            Step::Type("\x1a"),
            Step::Hear("^Z"),
            Step::Note(Fact::Child, if is_stopped { "T" } else { "S" }),
            Step::Note(Fact::Init, if shares && started_as == StartedAs::SessionLeader { "T" } else { "S" }),
            Step::Send(libc::SIGCONT),
            Step::Note(Fact::Child, "S"),
            Step::Send(15),
        ]));
        let has_job_control = peer_of(name) != "catatonit"; // the child, and so the jobs of a shell, have SIGTSTP blocked
        if has_job_control {
            cases.push(at("bash --norc --noprofile --noediting -i").env("PS1", "prompt> ").steps([
                Step::Hear("prompt> "),
                Step::Type("stty -echo\r"),
                Step::Hear("prompt> "),
                Step::Type("sh -c 'echo up; exec sleep 1000'\r"),
                Step::Hear("up\r\n"),
                Step::Type("\x1a"),
                Step::Hear("Stopped"),
                Step::Hear("prompt> "),
                Step::Type("kill %1; fg\r"),
                Step::Hear("prompt> "),
                Step::Type("echo flags $-.; exit 9\r"),
                Step::Hear("flags himBHs."),
            ]));
        }
    }
    cases
}

/// A child that has moved to another process group, under an init that signals the group.
pub(crate) fn in_another_group(name: &'static str, options: &str) -> Case {
    called(name, &format!("{options} -- recorder --join-parents-group --exit-on 15=6"))
        .wrapper()
        .stopped_by(15)
        .original_hangs()
}
