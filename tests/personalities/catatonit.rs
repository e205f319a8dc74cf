//! The cases of catatonit: from its documentation, its changelog and its issue tracker.

use super::matrix::{Case, Fact, StartedAs, Step, called};
use super::rows;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = command_line();
    cases.extend(variables());
    cases.extend(pause());
    cases.extend(rows::each_end("catatonit"));
    cases.extend(rows::each_program("catatonit"));
    cases.extend(rows::each_signal("catatonit", "--", &[]));
    cases.extend(rows::each_signal("podman-init", "-g --", &[]));
    cases.extend(rows::inheritance("catatonit", ""));
    cases.extend(rows::inheritance("podman-init", "-g"));
    cases.extend(rows::orphans("catatonit", "", &[]));
    cases.extend(rows::orphans("podman-init", "-g", &[]));
    cases.extend(rows::terminals("catatonit", ""));
    cases.extend(rows::terminals("podman-init", "-g"));
    cases.extend([
        rows::in_another_group("catatonit", "-g"),
        called("catatonit", "-- catatonit -- recorder --exit-on 15=8").stopped_by(15),
        called("catatonit", "-- catatonit -- recorder --exit-on 15=8").wrapper().stopped_by(15),
        called("catatonit", "-g -- sh -c 'trap \"\" USR1; recorder --name second --exit-on 10=0 & wait; wait; exit 5'")
            .steps([Step::Hear("second: ready"), Step::Send(10)]),
        called("catatonit", "-- sh -c 'recorder --name second >&- & exit 3'"),
        // An exit code of 127 from the main child does not mean that the program is missing.
        called("catatonit", "-- sh -c 'echo ready; read line; exit 127'"),
    ]);
    cases
}

fn command_line() -> Vec<Case> {
    let rows = [
        "true",
        "-- true",
        "-g true",
        "-gg -- true",
        "-V",
        "--version",
        "--vers",
        "--v",
        "-gV",
        "-V true",
        "--version foo",
        "-L",
        "-gL true",
        "-h",
        "-gh",
        "-h -z",
        "-hV",
        "-VL",
        "",
        "--",
        "-g",
        "-g --",
        "-z",
        "-z true",
        "-gz true",
        "-z -V",
        "-Pz",
        "-PV",
        "-Ph",
        "--help",
        "--bogus",
        "--bogus=1 true",
        "--version=1",
        "--=x",
        "-?",
        "-: true",
        "-s true",
        "-v true",
        "- true",
        "-- ls -l script",
        "-- sh -c 'exit 3'",
        "-- sh -c 'echo \"$@\"' sh -g -P -- -V",
        "echo -- -V",
    ];
    let mut cases: Vec<Case> = rows.iter().map(|words| called("catatonit", words)).collect();
    for words in ["ls -l script", "sh -c 'exit 3'", "echo -z", "echo one -- two", "-g echo -V", "echo one -g two"] {
        cases.push(called("catatonit", words));
        cases.push(called("catatonit", words).permuted());
    }
    cases.extend(["--version", "-- true", "-z", ""].map(|words| called("podman-init", words)));
    cases
}

fn variables() -> Vec<Case> {
    let mut cases = Vec::new();
    for value in ["", "0", "1", "x"] {
        for words in ["true", "-- sh -c 'exit 3'", "-- sh -c 'kill -KILL $$'", "no-such-program", "-z", "", "-V"] {
            cases.push(called("catatonit", words).env("CATATONIT_DEBUG", value).whole_log());
        }
        cases.push(called("catatonit", "true").env("CATATONIT_DEBUG", value).wrapper().whole_log());
        cases.push(called("catatonit", "recorder").env("CATATONIT_DEBUG", value).stopped_by(15).whole_log());
        for words in ["true", "-V", "-z", "", "-P"] {
            cases.push(called("catatonit", words).env("CATATONIT_LOG", value).whole_log());
        }
    }
    cases.push(called("catatonit", "true").env("CATATONIT_LOG", "").env("CATATONIT_DEBUG", "").wrapper().whole_log());
    let orphan = format!("-- sh -c '{}'", rows::ORPHAN);
    cases.push(called("catatonit", &orphan).env("CATATONIT_DEBUG", "").whole_log());
    let job_control = [Step::Hear("ready"), Step::Each(vec![20, 21, 22, 1]), Step::SendChild(9)];
    cases
        .push(called("catatonit", "recorder --exit-on 99=0").env("CATATONIT_DEBUG", "").steps(job_control).whole_log());
    for (name, value) in
        [("TINI_VERBOSITY", "4"), ("TINI_SUBREAPER", ""), ("DUMB_INIT_SETSID", "0"), ("DUMB_INIT_DEBUG", "1")]
    {
        cases.push(called("catatonit", "recorder").env(name, value).stopped_by(15));
    }
    cases
}

/// `-P`, which holds the namespaces of a pod: it runs no program and ends on SIGTERM or SIGINT.
fn pause() -> Vec<Case> {
    let mut cases = Vec::new();
    for started_as in [StartedAs::PidOne, StartedAs::Wrapper] {
        for words in ["-P", "-P --", "-gP", "-P true", "-PP"] {
            for end in [libc::SIGTERM, libc::SIGINT] {
                cases.push(called("catatonit", words).started_as(started_as).steps([
                    Step::Note(Fact::Directory, "/"),
                    Step::Note(Fact::Children, "0"),
                    Step::Send(end),
                ]));
            }
        }
        let others =
            rows::catchable().into_iter().filter(|signal| ![2, 15].contains(signal) && !rows::FAULTS.contains(signal));
        cases.push(
            called("podman-init", "-P")
                .started_as(started_as)
                .steps([Step::Note(Fact::Directory, "/")])
                .steps(others.map(Step::Send))
                .steps([Step::Note(Fact::Init, "S"), Step::Send(15)]),
        );
        cases.push(called("catatonit", "-P").started_as(started_as).redirected("9</dev/null").steps([
            Step::Note(Fact::Directory, "/"),
            Step::Note(Fact::Nine, "closed"),
            Step::Send(15),
        ]));
    }
    // It reaps children that it inherits from a shell through exec.
    let with_children = "sh -c 'true & (true &); sleep 0.01 & exec \"$@\"' sh";
    cases.push(called("catatonit", "-P").through(with_children).steps([
        Step::Note(Fact::Directory, "/"),
        Step::Note(Fact::Children, "0"),
        Step::Note(Fact::Zombies, "0"),
        Step::Send(15),
    ]));
    cases
}
