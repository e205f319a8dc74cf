//! The cases of dumb-init: from its documentation, its tests and its issue tracker.

use super::matrix::{Case, Fact, StartedAs, Step, called};
use super::rows;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = command_line();
    cases.extend(rewriting());
    cases.extend(variables());
    cases.extend(logs());
    cases.extend(job_control());
    cases.extend(sigterm_to_the_rest());
    cases.extend(rows::each_end("dumb-init"));
    cases.extend(rows::each_program("dumb-init"));
    cases.extend(rows::each_signal("dumb-init", "", &[]));
    cases.extend(rows::each_signal("dumb-init", "-c", &[]));
    cases.extend(rows::each_signal("dumb-init", "", &[("DUMB_INIT_SETSID", "0")]));
    cases.extend(rows::inheritance("dumb-init", ""));
    cases.extend(rows::inheritance("dumb-init", "-c"));
    cases.extend(rows::orphans("dumb-init", "", &[]));
    cases.extend(rows::orphans("dumb-init", "-c", &[]));
    cases.extend(rows::terminals("dumb-init", ""));
    cases.extend(rows::terminals("dumb-init", "-c"));
    cases.extend([
        called("dumb-init", "dumb-init recorder --exit-on 15=8").stopped_by(15),
        called("dumb-init", "dumb-init recorder --exit-on 15=8").wrapper().stopped_by(15),
        called("dumb-init", "-c dumb-init -c recorder --exit-on 15=8").stopped_by(15),
        // A shell with a background process: the whole group gets the signal.
        called("dumb-init", "sh -c 'recorder --name second --exit-on 15=0 & wait'").wrapper().steps([
            Step::Hear("second: ready"),
            Step::Send(15),
            Step::Hear("second: got 15"),
        ]),
        called("dumb-init", "-c sh -c 'trap \"\" TERM; recorder --name second --exit-on 10=0 & wait'").steps([
            Step::Hear("second: ready"),
            Step::Send(15),
            Step::Send(9),
        ]),
    ]);
    cases
}

fn command_line() -> Vec<Case> {
    let rows = [
        // Options.
        "true",
        "-- true",
        "-c true",
        "-cv true",
        "-vc -- true",
        "--single-child true",
        "--verbose true",
        "--single-child --verbose -- true",
        "--single true",
        "--s true",
        "--verb true",
        "-r 15:2 true",
        "-r15:2 true",
        "-vr15:2 true",
        "--rewrite 15:2 true",
        "--rewrite=15:2 true",
        "--rew=15:2 true",
        "--r 15:2 -r 1:0 true",
        // Options that print something.
        "-h",
        "--help",
        "--h",
        "-vh",
        "-h true",
        "-h -z",
        "-V",
        "--version",
        "--vers",
        "-V true",
        "-hV",
        "-Vh",
        // Wrong usage.
        "",
        "--",
        "-c",
        "-v --",
        "-r 15:2",
        "-z",
        "-z true",
        "-cz true",
        "-z -h",
        "-r",
        "-cr",
        "--rewrite",
        "--rewrite=",
        "--bogus",
        "--bogus=1 true",
        "--ver",
        "--v true",
        "--=x true",
        "--verbose=1 true",
        "--help=x",
        "--single-child= true",
        "--Verbose true",
        "-?",
        "-+ true",
        "-: true",
        "-W verbose true",
        "- true",
        "-e 3 true",
        "-g true",
        "-1 true",
        // Options of the command.
        "ls -l script",
        "sh -c 'echo \"$@\"' sh -c -v -- -h",
        "-- sh -c 'echo \"$@\"' sh -c -v -- -h",
        "echo -z --bogus",
        "echo -- -V",
    ];
    rows.iter().map(|words| called("dumb-init", words)).collect()
}

/// Rewrites, observed by a recorder.
fn rewriting() -> Vec<Case> {
    let mut cases = Vec::new();
    for (options, signals) in [
        ("-r 15:2", vec![15, 2]),
        ("-r 15:2 -r 2:15", vec![15, 3, 18, 2]),
        ("-r 15:2 -r 15:3", vec![15]),
        ("-r 15:3 -r 2:0 -r 28:0", vec![15, 2, 28, 1]),
        ("-r 1:31 -r 31:1", vec![1, 31]),
        ("-r 3:3", vec![3]),
        ("-r 15:0", vec![15, 1]),
        ("-r 15:18", vec![15]),
        ("-r 10:15 -r 15:10", vec![10, 15]),
        ("-r 11:1", vec![1]),
        ("-r 17:1", vec![17, 1]),
        ("-r 17:17", vec![17, 1]),
        ("-r 9:1", vec![1]),
        ("-r 19:1 -r 9:0", vec![1]),
        ("-r 21:15 -r 22:2 -r 20:1", vec![21, 22, 20]),
        ("-r 20:20 -r 21:21 -r 22:22", vec![20, 21, 22]),
        ("-r 20:0", vec![20, 1]),
        ("-r 20:19", vec![20]),
        ("-r 10:19", vec![10]),
        ("-r 1:20", vec![1]),
        ("-r 15:02", vec![15]),
        ("-r 015:2", vec![15]),
        ("-r '15: 2'", vec![15]),
        ("-r ' 15:2'", vec![15]),
        ("-r +15:+2", vec![15]),
        ("-r 15:2x", vec![15]),
        ("-r 15:2:3", vec![15, 2]),
        ("-r '15:2 '", vec![15]),
        ("-r 15:-0", vec![15, 1]),
    ] {
        for mode in ["", "-c "] {
            let words = format!("{mode}{options} recorder --exit-on 99=0");
            let each = [Step::Hear("ready"), Step::Each(signals.clone()), Step::SendChild(9)];
            cases.push(called("dumb-init", &words).steps(each.clone()));
            cases.push(called("dumb-init", &words).wrapper().steps(each));
        }
    }
    for bad in [
        "",
        ":",
        "15",
        "15:",
        ":2",
        "15:2,",
        "15,2",
        "15 2",
        "0:2",
        "-1:2",
        "32:2",
        "15:32",
        "15:-1",
        "15:99999999999",
        "x:2",
        "15:x",
        "TERM:INT",
        "SIGTERM:2",
        "15:INT",
        "15 :2",
        "0x0f:2",
        "1.5:2",
        "99999999999999999999:2",
        "34:1",
        "--",
    ] {
        cases.push(called("dumb-init", &format!("-r '{bad}' true")).whole_log());
        cases.push(called("dumb-init", &format!("-h -r '{bad}' true")));
        cases.push(called("dumb-init", &format!("-r '{bad}' -h")));
    }
    cases
}

fn variables() -> Vec<Case> {
    let mut cases = Vec::new();
    for value in ["1", "0", "", "yes", "01", "1 "] {
        cases.push(called("dumb-init", "sh -c 'exit 3'").env("DUMB_INIT_DEBUG", value).whole_log());
        cases.push(called("dumb-init", "-v sh -c 'exit 3'").env("DUMB_INIT_DEBUG", value).whole_log());
        cases.push(called("dumb-init", "").env("DUMB_INIT_DEBUG", value));
        cases.push(called("dumb-init", "-z").env("DUMB_INIT_DEBUG", value));
    }
    for value in ["0", "1", "", "no", "00", " 0"] {
        cases.push(called("dumb-init", "-v recorder").env("DUMB_INIT_SETSID", value).stopped_by(15).whole_log());
        cases.push(called("dumb-init", "recorder").env("DUMB_INIT_SETSID", value).wrapper().stopped_by(15));
        cases.push(called("dumb-init", "-c recorder").env("DUMB_INIT_SETSID", value).stopped_by(15));
    }
    let both = called("dumb-init", "recorder").env("DUMB_INIT_SETSID", "0").env("DUMB_INIT_DEBUG", "1");
    cases.push(both.stopped_by(15).whole_log());
    for (name, value) in
        [("TINI_VERBOSITY", "4"), ("TINI_SUBREAPER", ""), ("CATATONIT_DEBUG", "1"), ("CATATONIT_LOG", "1")]
    {
        cases.push(called("dumb-init", "recorder").env(name, value).stopped_by(15));
    }
    cases
}

fn logs() -> Vec<Case> {
    let mut cases = Vec::new();
    for options in ["", "-v", "-vv", "-vc", "-vr 15:2", "-vr 15:0"] {
        let with = |rest: &str| called("dumb-init", &format!("{options} {rest}"));
        cases.extend([
            with("sh -c 'exit 3'").whole_log(),
            with("sh -c 'exit 3'").wrapper().whole_log(),
            with("sh -c 'kill -KILL $$'").whole_log(),
            with("no-such-program").whole_log(),
            with("./not-executable").whole_log(),
            with("recorder --exit-on 15=0 --exit-on 2=0 --exit-on 1=0")
                .stopped_by(if options.ends_with(":0") { 1 } else { 15 })
                .whole_log(),
            with("recorder --exit-on 12=0")
                .steps([
                    Step::Hear("ready"),
                    Step::Send(10),
                    Step::Hear("got 10"),
                    Step::Send(40),
                    Step::Hear("got 40"),
                    Step::Send(12),
                ])
                .whole_log(),
            with(&format!("sh -c '{}'", rows::ORPHAN)).whole_log(),
        ]);
    }
    cases
}

/// Job control signals stop dumb-init too, until SIGCONT.
fn job_control() -> Vec<Case> {
    let mut cases = Vec::new();
    for options in ["", "-c", "-r 20:0 -r 21:0 -r 22:0", "-r 20:1 -r 21:1 -r 22:1"] {
        for signal in [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU] {
            let words = format!("{options} -- sh -c 'echo ready; exec sleep 1000'");
            let stops_child = options.is_empty() || options == "-c";
            let child = if stops_child { "T" } else { "S" };
            if options.starts_with("-r 20:1") {
                // SIGHUP ends it.
                cases.push(called("dumb-init", &words).wrapper().steps([
                    Step::Hear("ready"),
                    Step::Send(signal),
                    Step::Note(Fact::Init, "T"),
                    Step::Send(libc::SIGCONT),
                ]));
                continue;
            }
            cases.push(called("dumb-init", &words).wrapper().steps([
                Step::Hear("ready"),
                Step::Send(signal),
                Step::Note(Fact::Init, "T"),
                Step::Note(Fact::Child, child),
                Step::Send(libc::SIGCONT),
                Step::Note(Fact::Init, "S"),
                Step::Note(Fact::Child, "S"),
                Step::Send(15),
            ]));
            // As PID 1, dumb-init cannot stop itself: the kernel ignores SIGSTOP from inside the namespace.
            cases.push(called("dumb-init", &words).steps([
                Step::Hear("ready"),
                Step::Send(signal),
                Step::Note(Fact::Child, child),
                Step::Note(Fact::Init, "S"),
                Step::Send(libc::SIGCONT),
                Step::Note(Fact::Child, "S"),
                Step::Send(15),
            ]));
        }
    }
    // Signals that arrive while it is stopped from outside take effect after SIGCONT.
    cases.push(called("dumb-init", "recorder --exit-on 15=4").wrapper().steps([
        Step::Hear("ready"),
        Step::Send(libc::SIGSTOP),
        Step::Note(Fact::Init, "T"),
        Step::Send(15),
        Step::Send(libc::SIGCONT),
    ]));
    // A child that stops itself does not stop dumb-init.
    cases.push(called("dumb-init", "sh -c 'echo ready; kill -STOP $$; exit 5'").wrapper().steps([
        Step::Hear("ready"),
        Step::Note(Fact::Child, "T"),
        Step::Note(Fact::Init, "S"),
        Step::Send(libc::SIGCONT),
    ]));
    cases
}

/// When the main child has exited, dumb-init sends SIGTERM to the rest of its process group.
fn sigterm_to_the_rest() -> Vec<Case> {
    let mut cases = Vec::new();
    for options in ["", "-c", "-r 15:2", "-r 15:0", "-r 15:17", "-r 15:1 -r 1:2"] {
        for started_as in [StartedAs::Wrapper, StartedAs::PidOne] {
            // The child is a shell that exits on SIGHUP and leaves a recorder behind. If the init is PID 1, the kernel
            // kills the rest of the namespace.
            let rest = match started_as {
                StartedAs::Wrapper => "recorder --name second --exit-on 15=0 --exit-on 2=0 --exit-on 1=0 & wait",
                _ => "sleep 1000 & echo second: ready; wait",
            };
            let case = called("dumb-init", &format!("{options} -- sh -c 'trap \"exit 6\" HUP; {rest}'"))
                .started_as(started_as);
            let case = case.steps([Step::Hear("second: ready"), Step::SendChild(1)]);
            let told = started_as == StartedAs::Wrapper && !["-c", "-r 15:0"].contains(&options);
            cases.push(if told { case.steps([Step::Hear("second: got")]) } else { case });
        }
    }
    cases
}
