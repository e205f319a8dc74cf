//! The intended differences between softstop and the init whose name it has, with their reasons. The documentation
//! quotes this list. A difference that is not listed fails the matrix, and so does a listed one that does not occur.

use super::matrix::{Difference, Seen, StartedAs};
use super::rows::FAULTS;

/// Each difference in the words of the documentation, and how to recognise it.
pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        peers: &["tini", "dumb-init", "catatonit"],
        what: "the version line",
        theirs: "names the version",
        ours: "names the version whose place is taken, and then softstop's own",
        reason: "Who looks into a container must see what runs there.",
        is_it: |seen| without_our_version(seen.ours) == seen.theirs,
    },
    Difference {
        peers: &["tini", "catatonit"],
        what: "the texts of -h, -l and -L",
        theirs: "the tool's help and licence",
        ours: "softstop's help for that name, and softstop's licence, on the same stream and with the same code",
        reason: "The words and the licence of another project are not ours to print.",
        is_it: |seen| {
            let asked = seen.case.words.iter().any(|word| word.starts_with('-') && word.contains(['h', 'l', 'L']));
            let is_ours = seen.ours.contains("softstop by the name of") || seen.ours.contains("The softstop authors");
            asked && seen.aspect == "stdout" && is_ours && !seen.theirs.is_empty()
        },
    },
    Difference {
        peers: &["tini", "catatonit"],
        what: "options behind the program's name",
        theirs: "are taken for the init's own (`tini ls -l` prints tini's licence), unless `--` or POSIXLY_CORRECT is there",
        ours: "are the program's, always",
        reason: "A command must run as it was written.",
        is_it: |seen| seen.case.permutes,
    },
    Difference {
        peers: &["tini"],
        what: "the log's stream",
        theirs: "info, debug and trace lines go to stdout",
        ours: "every line goes to stderr",
        reason: "stdout is the app's output, which somebody may parse.",
        is_it: |seen| match seen.aspect {
            "stdout" => without_lines(seen.theirs, is_tinis_chatter) == seen.ours,
            "stderr" => is_tinis_chatter(seen.ours) && !is_tinis_chatter(seen.theirs),
            _ => false,
        },
    },
    Difference {
        peers: &["tini"],
        what: "some lines of the debug log",
        theirs: "tells of each look for zombies and of the search for a terminal too",
        ours: "leaves them out",
        reason: "They speak of steps that softstop does not take.",
        is_it: |seen| {
            let left_out =
                ["[TRACE tini (INIT)] ", "[DEBUG tini (INIT)] Reaped child", "[DEBUG tini (N)] tcsetpgrp failed"];
            seen.aspect == "log" && lacks_only(seen, &left_out)
        },
    },
    Difference {
        peers: &["dumb-init"],
        what: "some lines of the debug log",
        theirs: "tells of each rewriting and of the session's making too",
        ours: "leaves them out",
        reason: "They speak of steps that softstop does not take, or takes elsewhere.",
        is_it: |seen| {
            let mut left_out =
                vec!["setsid complete", "Unable to attach", "Translating signal", "Not forwarding signal 0"];
            // Without a process group of its own, the last SIGTERM goes to a child that has exited.
            let is_alone = seen.case.words.iter().any(|word| ["-c", "-vc"].contains(&word.as_str()));
            if is_alone || seen.case.environment.contains(&("DUMB_INIT_SETSID", "0")) {
                left_out.push("Forwarded signal 15 ");
            }
            let left_out: Vec<String> = left_out.iter().map(|line| format!("[dumb-init] {line}")).collect();
            seen.aspect == "log" && lacks_only(seen, &left_out)
        },
    },
    Difference {
        peers: &["tini", "dumb-init", "catatonit"],
        what: "a program that cannot be started",
        theirs: "a child starts, says why it cannot go on with its own process number, and exits",
        ours: "softstop itself says it, and logs no child",
        reason: "There never was a child; what went wrong is known before anything is supervised.",
        is_it: |seen| {
            let (theirs, ours) = (seen.theirs.replace("(N)", "(INIT)").replace(":N)", ":INIT)"), seen.ours);
            let says_why = |text: &str| {
                [" exec ", "failed to exec pid1: ", "[dumb-init] no-such-program: ", "[dumb-init] ./not-executable: "]
                    .iter()
                    .any(|why| text.contains(why))
            };
            says_why(ours)
                && match seen.aspect {
                    "stderr" => theirs == *ours || theirs.is_empty() || theirs.contains(" spawned"),
                    "log" => ours.lines().all(|line| theirs.lines().any(|their| their == line)),
                    _ => false,
                }
        },
    },
    Difference {
        peers: &["tini"],
        what: "`-e 127` and a program that is missing, `-e 126` and one that cannot be run",
        theirs: "leaves with 0",
        ours: "leaves with 127 and 126",
        reason: "What never ran has no exit code, and must not look like success.",
        is_it: |seen| {
            let never_ran = matches!((seen.theirs, seen.ours), ("0", "126" | "127"));
            seen.aspect == "code" && never_ran && seen.case.words.first().is_some_and(|word| word == "-e")
        },
    },
    Difference {
        peers: &["tini", "dumb-init"],
        what: "LISTEN_PID of a socket activation",
        theirs: "reaches the child with the number of the init",
        ours: "reaches the child with the child's own number",
        reason: "With another number than its own a server ignores the sockets that it was given.",
        is_it: |seen| seen.aspect == "stdout" && (seen.theirs, seen.ours) == ("the inits\n", "mine\n"),
    },
    Difference {
        peers: &["tini", "dumb-init"],
        what: "descriptors beyond stderr",
        theirs: "stay open in the init",
        ours: "are closed in the init, and reach the child",
        reason: "A socket that the app closes must be closed, or its clients go on connecting.",
        is_it: |seen| seen.aspect.starts_with("Nine") && (seen.theirs, seen.ours) == ("open", "closed"),
    },
    Difference {
        peers: &["tini"],
        what: "the init's working directory",
        theirs: "stays what it was",
        ours: "is /; the child's stays what it was",
        reason: "A directory that an init stands in cannot be unmounted.",
        is_it: |seen| seen.aspect.starts_with("Directory") && seen.ours == "/",
    },
    Difference {
        peers: &["tini"],
        what: "a closed stdin",
        theirs: "is fatal: tcsetpgrp fails",
        ours: "is no matter",
        reason: "Who has no terminal needs no foreground.",
        is_it: |seen| {
            let never_ran = seen.theirs == "(not seen)" || seen.ours == "(not seen)" || seen.theirs.is_empty();
            let says_why = seen.theirs.contains("tcsetpgrp failed: Bad file descriptor");
            seen.case.redirections == "0<&-" && (never_ran || says_why || seen.aspect == "code")
        },
    },
    Difference {
        peers: &["tini", "catatonit"],
        what: "a fault signal (SIGSEGV, SIGFPE..) that somebody sends to an init that is not PID 1",
        theirs: "ends the init, and leaves the child alone",
        ours: "is dropped",
        reason: "It says nothing about the child, and nobody is to be left without an init.",
        is_it: |seen| FAULTS.iter().any(|&signal| ends_only_theirs(seen, signal)),
    },
    Difference {
        peers: &["tini", "dumb-init", "catatonit"],
        what: "signals 32 and 33",
        theirs: "end the init, or are lost where it is PID 1",
        ours: "are passed on",
        reason: "The C library keeps them for itself, but the kernel knows them as any others.",
        is_it: |seen| {
            [32, 33].into_iter().any(|signal| {
                ends_only_theirs(seen, signal)
                    || seen.aspect == format!("signal {signal}") && seen.ours.starts_with(&signal.to_string())
            })
        },
    },
    Difference {
        peers: &["dumb-init"],
        what: "an inherited signal mask, and inherited ignored signals",
        theirs: "are lost",
        ours: "reach the child",
        reason: "`nohup` and its like must work through an init.",
        is_it: |seen| seen.aspect == "stdout" && !seen.case.through.is_empty() && seen.ours.contains("SigBlk"),
    },
    Difference {
        peers: &["catatonit"],
        what: "SIGTSTP, SIGTTIN and SIGTTOU in the child",
        theirs: "are blocked",
        ours: "are as they were inherited",
        reason: "A child that cannot be stopped has no Ctrl-Z, and a shell no job control.",
        is_it: |seen| match seen.aspect {
            "found SigBlk" => (seen.theirs, seen.ours) == ("0000000000380000", "0000000000000000"),
            "stdout" => without_job_control(seen.theirs) == seen.ours,
            _ => false,
        },
    },
    Difference {
        peers: &["tini", "catatonit"],
        what: "with `-g`, a child that has gone to another process group",
        theirs: "is sent nothing any more (\"Child was dead when forwarding signal\")",
        ours: "is sent its signals, alone",
        reason: "It is not dead, and nobody else could stop it.",
        is_it: |seen| seen.case.words.iter().any(|word| word == "--join-parents-group"),
    },
    Difference {
        peers: &["tini", "catatonit"],
        what: "an inherited SIG_IGN for SIGCHLD",
        theirs: "never notices the child's end, and hangs",
        ours: "sees the child end, and hands the setting on to it",
        reason: "The kernel reaps unseen for who ignores it, so softstop does not while it supervises.",
        is_it: |seen| {
            let is_right = match seen.aspect {
                "code" => seen.ours == "0",
                "stdout" => seen.ours.ends_with("SigIgn:\t0000000000010000\n"),
                _ => seen.theirs.contains("self-check that pid1"),
            };
            is_right && seen.case.through.iter().any(|word| word == "--ignore-signal=CHLD")
        },
    },
    Difference {
        peers: &["tini"],
        what: "Ctrl-Z where no shell could say `fg`",
        theirs: "stops the child for good",
        ours: "wakes the child at once",
        reason: "In a container nobody is there to wake it, and Ctrl-C would no more be heard.",
        is_it: |seen| {
            let at_terminal = matches!(seen.case.started_as, StartedAs::SessionLeader | StartedAs::DockerTty);
            at_terminal && seen.aspect.starts_with("Child") && (seen.theirs, seen.ours) == ("T", "S")
        },
    },
];

/// Removes softstop's own version.
fn without_our_version(text: &str) -> String {
    let Some(from) = text.find("_softstop-") else { return text.to_owned() };
    let to = text[from..].find([')', '\n']).map_or(text.len(), |length| from + length);
    text[..from].to_owned() + &text[to..]
}

fn is_tinis_chatter(line: &str) -> bool {
    ["[INFO  tini (", "[DEBUG tini (", "[TRACE tini ("].iter().any(|beginning| line.starts_with(beginning))
}

fn without_lines(text: &str, is_out: impl Fn(&str) -> bool) -> String {
    text.lines().filter(|line| !is_out(line)).flat_map(|line| [line, "\n"]).collect()
}

/// Whether each of softstop's lines is one of the original's, and the missing ones all begin like this.
fn lacks_only(seen: &Seen<'_>, beginnings: &[impl AsRef<str>]) -> bool {
    let (theirs, ours): (Vec<&str>, Vec<&str>) = (seen.theirs.lines().collect(), seen.ours.lines().collect());
    let may_lack = |line: &&str| beginnings.iter().any(|beginning| line.starts_with(beginning.as_ref()));
    ours.iter().all(|line| theirs.contains(line)) && theirs.iter().filter(|line| !ours.contains(line)).all(may_lack)
}

/// Whether the signal ended the original and not softstop.
fn ends_only_theirs(seen: &Seen<'_>, signal: i32) -> bool {
    match seen.aspect {
        "code" => (seen.theirs, seen.ours) == ((128 + signal).to_string().as_str(), "137"),
        aspect => {
            aspect == format!("signal {signal}")
                && seen.theirs.starts_with("the init ends")
                && !seen.ours.contains("ends")
        }
    }
}

/// The lines of /proc/PID/status, with SIGTSTP, SIGTTIN and SIGTTOU removed from the blocked signals.
fn without_job_control(status: &str) -> String {
    let line = |line: &str| match line.strip_prefix("SigBlk:\t").and_then(|set| u64::from_str_radix(set, 16).ok()) {
        Some(set) => format!("SigBlk:\t{:016x}\n", set & !0x0038_0000),
        None => format!("{line}\n"),
    };
    status.lines().map(line).collect()
}
