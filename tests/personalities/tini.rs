//! The cases of tini: from its documentation, its tests and its issue tracker.

use super::matrix::{Case, Step, called};
use super::rows;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = command_line();
    cases.extend(["tini", "tini-static", "docker-init"].map(|name| called(name, "--version")));
    cases.extend(exit_codes());
    cases.extend(variables());
    cases.extend(logs());
    cases.extend(parents_death());
    cases.extend(rows::each_end("tini"));
    cases.extend(rows::each_program("tini"));
    cases.extend(rows::each_signal("tini", "--", &[]));
    cases.extend(rows::each_signal("tini", "-g --", &[]));
    cases.extend(rows::each_signal("docker-init", "--", &[("TINI_KILL_PROCESS_GROUP", "")]));
    cases.extend(rows::inheritance("tini", "-s"));
    cases.extend(rows::orphans("tini", "", &[]));
    cases.extend(rows::orphans("tini", "-s", &[]));
    cases.extend(rows::orphans("tini", "", &[("TINI_SUBREAPER", "")]));
    cases.extend(rows::orphans("tini", "-sw", &[]));
    cases.extend(rows::terminals("tini", ""));
    cases.extend(rows::terminals("docker-init", "-g"));
    cases.extend(rows::terminals("tini", "-vvv"));
    cases.extend([
        // A group of which only one process handles the signal, and other arrangements of processes.
        called("tini", "-g -- sh -c 'trap \"\" USR1; recorder --name second --exit-on 10=0 & wait; wait; exit 5'")
            .steps([Step::Hear("second: ready"), Step::Send(10)]),
        rows::in_another_group("tini", "-s -g"),
        called("tini", "-- sh -c 'recorder --name second >&- & exit 3'"),
        called("tini", "-- tini -- recorder --exit-on 15=8").stopped_by(15),
        called("tini", "-s -- tini -s -- recorder --exit-on 15=8").wrapper().stopped_by(15),
        called("tini", "-g -- tini -g -- sh -c 'trap \"exit 8\" TERM; echo ready; while :; do sleep 0.01; done'")
            .stopped_by(15),
    ]);
    cases
}

fn command_line() -> Vec<Case> {
    let rows = [
        // Options: alone, bundled, repeated, with attached and separate values.
        "true",
        "-- true",
        "-s true",
        "-g true",
        "-w true",
        "-v true",
        "-vv true",
        "-sgw true",
        "-vvg -- true",
        "-gg -ss -ww true",
        "-e 1 false",
        "-e1 false",
        "-we1 false",
        "-e 1 -e 2 -e 3 sh -c 'exit 3'",
        "-pSIGKILL true",
        "-p SIGKILL true",
        "-vpSIGTERM true",
        "-sgwvvvpSIGHUPe 1 false",
        // Options that print something.
        "-h",
        "-vh",
        "-h -z",
        "-h true",
        "-l",
        "-l true",
        "-lh",
        "--version",
        // Wrong usage.
        "",
        "--",
        "-g",
        "-g --",
        "-v",
        "-z",
        "-z true",
        "-gz true",
        "-z -h",
        "-e",
        "-p",
        "-ge",
        "-gp",
        "-R A true",
        "-P true",
        "-V",
        "-?",
        "-:",
        "--help",
        "--license",
        "--version foo",
        "--version --",
        "-v --version",
        "--version=1",
        "--verbose true",
        "-e x -h",
        "-p x -h",
        "-z -e x",
        "- true",
        // Options of the command.
        "-- ls -l script",
        "sh -c 'echo \"$@\"' sh -g -v -- -s",
        "-- sh -c 'echo \"$@\"' sh -g -v -- -s",
        "echo -- -l",
    ];
    let mut cases: Vec<Case> = rows.iter().map(|words| called("tini", words)).collect();
    for words in ["ls -l script", "sh -e -c 'exit 3'", "echo -z", "echo one -- two", "-g echo -h", "echo one -g two"] {
        cases.push(called("tini", words));
        cases.push(called("tini", words).permuted());
    }
    for name in NOT_SIGNALS {
        cases.push(called("tini", &format!("-p '{name}' true")));
    }
    for signal in SIGNALS {
        cases.push(called("tini", &format!("-p SIG{signal} true")));
    }
    for code in ["", "-1", "256", "x", " 5", "+5", "5 ", "5x", "0x5", "05", "-0", "99999999999999999999", "255", "1,2"]
    {
        cases.push(called("tini", &format!("-e '{code}' sh -c 'exit 5'")));
        cases.push(called("tini", &format!("-e '{code}' sh -c 'exit 255'")));
    }
    cases
}

const SIGNALS: [&str; 28] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "SYS",
];

const NOT_SIGNALS: [&str; 15] = [
    "",
    "KILL",
    "9",
    "SIGkill",
    "sigkill",
    " SIGKILL",
    "SIGFOO",
    "SIG",
    "SIGIO",
    "SIGPOLL",
    "SIGPWR",
    "SIGSTKFLT",
    "SIGIOT",
    "SIGCLD",
    "SIGRTMIN",
];

fn exit_codes() -> Vec<Case> {
    [
        "-e 143 sh -c 'kill -TERM $$'",
        "-e 137 sh -c 'kill -KILL $$'",
        "-e 15 sh -c 'kill -TERM $$'",
        "-e 130 -e 143 -e 129 sh -c 'kill -HUP $$'",
        "-e 0 true",
        "-e 0 sh -c 'exit 7'",
        "-e 127 no-such-program",
        "-e 126 ./not-executable",
        "-e 255 sh -c 'exit 255'",
        "-e 255 sh -c 'exit 256'",
    ]
    .map(|words| called("tini", words))
    .into_iter()
    .chain([
        called("tini", "-e 6 recorder --exit-on 15=6").stopped_by(15),
        called("tini", "-e 7 recorder --exit-on 15=6").stopped_by(15),
        called("tini", "-e 143 -- sh -c 'echo ready; exec sleep 1000'").stopped_by(15),
    ])
    .collect()
}

fn variables() -> Vec<Case> {
    let mut cases = Vec::new();
    for value in ["", "0", "1", "2", "3", "4", "9", "-1", "x", "3x", " 3", "+2"] {
        cases.push(called("tini", "sh -c 'exit 3'").env("TINI_VERBOSITY", value).whole_log());
        cases.push(called("tini", "-vvv sh -c 'exit 3'").env("TINI_VERBOSITY", value).whole_log());
        cases.push(called("tini", "true").wrapper().env("TINI_VERBOSITY", value).whole_log());
    }
    for value in ["", "0", "1", "no"] {
        cases.push(called("tini", "true").wrapper().env("TINI_SUBREAPER", value).whole_log());
        cases.push(called("tini", "-s true").wrapper().env("TINI_SUBREAPER", value).whole_log());
        cases.push(
            called("tini", "sh -c 'trap \"\" USR1; recorder --name second --exit-on 10=0 & wait; wait; exit 5'")
                .env("TINI_KILL_PROCESS_GROUP", value)
                .steps([Step::Hear("second: ready"), Step::Send(10)]),
        );
    }
    // The variables do not change errors.
    cases.push(called("tini", "-z").env("TINI_VERBOSITY", "0"));
    cases.push(called("tini", "no-such-program").env("TINI_VERBOSITY", "0"));
    // tini ignores the variables of other inits.
    for (name, value) in
        [("DUMB_INIT_SETSID", "0"), ("DUMB_INIT_DEBUG", "1"), ("CATATONIT_DEBUG", "1"), ("CATATONIT_LOG", "1")]
    {
        cases.push(called("tini", "recorder").env(name, value).stopped_by(15));
    }
    cases
}

fn logs() -> Vec<Case> {
    let mut cases = Vec::new();
    for options in ["", "-v", "-vv", "-vvv", "-vvvv", "-w", "-wvvv"] {
        cases.push(called("tini", &format!("{options} -- sh -c 'exit 3'")).whole_log());
        cases.push(called("tini", &format!("{options} -- true")).wrapper().whole_log());
        cases.push(called("tini", &format!("{options} -s -- true")).wrapper().whole_log());
        cases.push(called("tini", &format!("{options} -- sh -c 'kill -KILL $$'")).whole_log());
        cases.push(called("tini", &format!("{options} -- no-such-program")).whole_log());
        cases.push(called("tini", &format!("{options} -- ./not-executable")).whole_log());
        cases.push(called("tini", &format!("{options} -- recorder")).stopped_by(15).whole_log());
        cases.push(
            called("tini", &format!("{options} -- recorder"))
                .steps([
                    Step::Hear("ready"),
                    Step::Send(1),
                    Step::Hear("got 1"),
                    Step::Send(40),
                    Step::Hear("got 40"),
                    Step::Send(15),
                ])
                .whole_log(),
        );
        cases.push(called("tini", &format!("{options} -- sh -c '{}'", rows::ORPHAN)).whole_log());
    }
    cases
}

/// The child gets a signal when tini's parent exits (`-p`).
fn parents_death() -> Vec<Case> {
    ["SIGUSR1", "SIGTERM", "SIGHUP"]
        .map(|signal| {
            let script = format!("tini -s -p {signal} recorder --exit-on 10=0 --exit-on 15=0 --exit-on 1=0; true");
            called("tini", &format!("-c '{script}'")).instead("sh").wrapper().steps([
                Step::Hear("ready"),
                Step::Send(9),
                Step::Hear("got "),
            ])
        })
        .to_vec()
}
