//! What the servers' own logs say about a stop: lines that show that it went well, and lines that show that it did not.
//!
//! Nothing here reads a clock or a file, or talks to a server.

use crate::rehearsal::LogFinding;

/// What a line means.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Meaning {
    means: String,
    good: bool,
}

impl Meaning {
    fn good(means: impl Into<String>) -> Self {
        Self { means: means.into(), good: true }
    }

    fn bad(means: impl Into<String>) -> Self {
        Self { means: means.into(), good: false }
    }
}

/// The findings of one run, collected log by log.
#[derive(Debug, Default)]
pub(crate) struct LogFindings(Vec<LogFinding>);

impl LogFindings {
    /// Reads the log of a pod, with the lines of the server and of its init. `file` is relative to the directory of the report.
    pub(crate) fn read_pod(&mut self, text: &str, file: &str) {
        self.read(text, file, of_pod);
    }

    /// Reads the log of the balancer.
    pub(crate) fn read_balancer(&mut self, text: &str, file: &str) {
        self.read(text, file, |line| of_haproxy(line).or_else(|| of_embedded_balancer(line)));
    }

    fn read(&mut self, text: &str, file: &str, meaning_of: impl Fn(&str) -> Option<Meaning>) {
        for line in text.lines() {
            let Some(meaning) = meaning_of(line) else { continue };
            match self.0.iter_mut().find(|known| known.means == meaning.means) {
                Some(known) => known.count += 1,
                None => self.0.push(LogFinding {
                    means: meaning.means,
                    good: meaning.good,
                    count: 1,
                    example: line.trim().to_owned(),
                    log: file.to_owned(),
                }),
            }
        }
    }

    /// The findings, bad ones first, and the most frequent first.
    pub(crate) fn into_sorted(mut self) -> Vec<LogFinding> {
        self.0.sort_by(|a, b| a.good.cmp(&b.good).then(b.count.cmp(&a.count)));
        self.0
    }
}

/// Lines of nginx, of the embedded server, and of softstop.
fn of_pod(line: &str) -> Option<Meaning> {
    if let Some(message) = line.strip_prefix("softstop: ") {
        return of_softstop(message);
    }
    if line.contains("gracefully shutting down") {
        Some(Meaning::good("the server finishes its requests (gracefully shutting down)"))
    } else if line.contains("signal 15 (SIGTERM) received") && line.ends_with(", exiting") {
        // Under an init: "received from 1".
        Some(Meaning::bad("the server drops its requests (fast shutdown on SIGTERM)"))
    } else if line.contains("open socket #") && line.contains("left in connection") {
        Some(Meaning::bad("the server left with a connection still open"))
    } else {
        None
    }
}

fn of_softstop(message: &str) -> Option<Meaning> {
    let message = message.strip_prefix("warning: ").unwrap_or(message);
    if message.starts_with("stopped in ") {
        // The closing line mentions a SIGKILL. The SIGKILL is also logged in a separate line, see below.
        Some(if message.contains("SIGKILL to ") {
            Meaning::bad("softstop's closing line: it had to send SIGKILL")
        } else {
            Meaning::good("softstop's closing line: stopped in time")
        })
    } else if message.starts_with("drain timeout: ") {
        Some(Meaning::bad("softstop's drain timeout ended before the work did"))
    } else if message.starts_with("SIGKILL to ") {
        Some(Meaning::bad("softstop sent SIGKILL"))
    } else {
        None
    }
}

/// Reads the columns of `option httplog` that tell how a request ended (HAProxy's manual, 8.2.3 and 8.5).
fn of_haproxy(line: &str) -> Option<Meaning> {
    let mut columns = line.split_ascii_whitespace().skip(3);
    let server = columns.next()?;
    let timers = columns.next()?;
    let status = columns.next()?;
    let mut columns = columns.skip(3); // the bytes, and two cookies
    let state = columns.next()?;
    let connections = columns.next()?;
    let is_httplog = timers.split('/').count() == 5
        && status.parse::<i32>().is_ok()
        && state.len() == 4
        && connections.split('/').count() == 5;
    if !is_httplog {
        return None;
    }
    let ended = state.get(..2)?;
    let words = match ended {
        // The first letter says who ended the session, the second in which phase.
        "SC" if server.ends_with("/<NOSRV>") => "HAProxy had no server for a request (NOSRV)",
        "SC" => "HAProxy could not connect to a server (SC)",
        "sC" => "HAProxy timed out connecting to a server (sC)",
        "SH" => "a server closed the connection before its answer (SH)",
        "sH" => "a server did not answer in time (sH)",
        "PH" => "a server's answer was not HTTP (PH)",
        "SD" | "SL" => "a server cut off its answer (SD)",
        "sD" | "sL" => "a server stopped in the middle of its answer (sD)",
        "CD" | "cD" | "CH" | "cH" | "CC" | "CL" => "a client left before its answer had arrived (CD, CH, CC)",
        "CR" | "cR" => return None, // a client closed an idle connection: no request was lost
        "--" => {
            // `+` before the number means that another server was tried (redispatch).
            let retries = connections.rsplit('/').next()?.trim_start_matches('+');
            return (retries != "0")
                .then(|| Meaning::bad("HAProxy had to retry the connection, and then got an answer"));
        }
        _ if status == "-1" || state.starts_with('L') => return None, // ended by HAProxy itself
        _ => return Some(Meaning::bad(format!("HAProxy ended a session with {ended}"))),
    };
    Some(Meaning::bad(words))
}

/// Reads the messages of the embedded [`super::balancer`].
fn of_embedded_balancer(line: &str) -> Option<Meaning> {
    let message = line.strip_prefix("balancer: ")?;
    let means =
        ["could not connect to a pod", "a pod closed the connection before its answer", "a pod cut off its answer"];
    means
        .into_iter()
        .find(|means| message.starts_with(means))
        .map(|means| Meaning::bad(format!("the balancer: {means}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What lines of a pod's log mean. The lines of these tests are real ones.
    fn read_pod(text: &str) -> Vec<(String, bool, u64)> {
        let mut findings = LogFindings::default();
        findings.read_pod(text, "logs/x/pod1.log");
        findings.into_sorted().into_iter().map(|finding| (finding.means, finding.good, finding.count)).collect()
    }

    fn read_balancer(line: &str) -> Option<String> {
        let mut findings = LogFindings::default();
        findings.read_balancer(line, "logs/x/haproxy.log");
        let finding = findings.into_sorted().pop()?;
        assert!(!finding.good, "HAProxy logs only failures");
        assert_eq!((finding.example.as_str(), finding.log.as_str()), (line, "logs/x/haproxy.log"));
        Some(finding.means)
    }

    #[test]
    fn nginx_drops_its_requests_on_sigterm() {
        let seen = read_pod(
            "2026/11/23 19:52:29 [notice] 1#1: start worker process 8\n\
             2026/11/23 19:52:32 [notice] 1#1: signal 15 (SIGTERM) received, exiting\n\
             2026/11/23 19:52:32 [notice] 8#8: exiting\n\
             2026/11/23 19:52:32 [notice] 1#1: exit\n",
        );
        assert_eq!(seen, [("the server drops its requests (fast shutdown on SIGTERM)".to_owned(), false, 1)]);
    }

    #[test]
    fn under_an_init_the_log_names_the_sender_of_the_signal() {
        let seen = read_pod("2026/11/23 19:52:53 [notice] 6#6: signal 15 (SIGTERM) received from 1, exiting\n");
        assert_eq!(seen, [("the server drops its requests (fast shutdown on SIGTERM)".to_owned(), false, 1)]);
    }

    #[test]
    fn a_clean_stop_under_softstop() {
        let seen = read_pod(
            "softstop: stop requested: SIGTERM from outside the container\n\
             softstop: pre-delay: nginx (pid 7) keeps serving for 5s\n\
             softstop: drain: sent SIGQUIT to nginx (pid 7); waiting up to 20s for its exit\n\
             2026/11/23 19:53:55 [notice] 7#7: signal 3 (SIGQUIT) received from 1, shutting down\n\
             2026/11/23 19:53:55 [notice] 8#8: gracefully shutting down\n\
             2026/11/23 19:53:55 [notice] 9#9: gracefully shutting down\n\
             2026/11/23 19:53:56 [notice] 8#8: exiting\n\
             softstop: stopped in 5.9 s: SIGTERM from outside the container at 2026-11-23T19:53:50Z, pre-delay 5.0 s, drain after \
             SIGQUIT 0.9 s, nginx exited with code 0\n",
        );
        assert_eq!(
            seen,
            [
                ("the server finishes its requests (gracefully shutting down)".to_owned(), true, 2),
                ("softstop's closing line: stopped in time".to_owned(), true, 1),
            ]
        );
    }

    #[test]
    fn a_drain_timeout_and_the_sigkill_after_it() {
        let seen = read_pod(
            "softstop: warning: drain timeout: still running after 300ms\n\
             softstop: warning: SIGKILL to every remaining process\n\
             softstop: warning: killed pid 7917 (sh), 0s old\n\
             softstop: stopped in 0.4 s: SIGTERM from pid 7846 at 2026-11-23T19:59:26Z, pre-delay 0.1 s, drain after SIGTERM 0.3 s, \
             SIGKILL to 2 processes, sh was killed by SIGKILL\n",
        );
        let means: Vec<_> = seen.iter().map(|(means, good, count)| (means.as_str(), *good, *count)).collect();
        assert_eq!(
            means,
            [
                ("softstop's drain timeout ended before the work did", false, 1),
                ("softstop sent SIGKILL", false, 1),
                ("softstop's closing line: it had to send SIGKILL", false, 1),
            ]
        );
    }

    #[test]
    fn bad_findings_come_first_and_an_open_connection_is_one() {
        let seen = read_pod(
            "2026/11/23 19:36:06 [notice] 7#7: gracefully shutting down\n\
             2026/11/23 19:36:07 [notice] 1#1: signal 15 (SIGTERM) received, exiting\n\
             2026/11/23 19:36:07 [alert] 7#7: *2 open socket #5 left in connection 2\n",
        );
        assert_eq!(seen.iter().map(|(_, good, _)| *good).collect::<Vec<_>>(), [false, false, true]);
        assert_eq!(seen[1].0, "the server left with a connection still open");
    }

    #[test]
    fn each_termination_state_of_haproxy_has_a_meaning() {
        for (line, meaning) in [
            (
                "pods/pod2 0/0/-1/-1/7004 503 217 - - SC-- 193/193/172/131/3 0/0",
                Some("could not connect to a server (SC)"),
            ),
            ("pods/pod2 0/0/-1/-1/8002 503 0 - - sC-- 182/182/147/127/3 0/0", Some("timed out connecting")),
            (
                "pods/pod1 0/0/0/-1/0 502 209 - - SH-- 1/1/0/0/0 0/0",
                Some("closed the connection before its answer (SH)"),
            ),
            ("pods/pod1 0/0/0/-1/1001 504 198 - - sH-- 1/1/0/0/0 0/0", Some("did not answer in time (sH)")),
            ("pods/pod1 0/0/0/-1/0 502 209 - - PH-- 1/1/0/0/0 0/0", Some("was not HTTP (PH)")),
            ("pods/pod2 0/0/0/0/1537 200 32974 - - SD-- 197/197/193/48/0 0/0", Some("cut off its answer (SD)")),
            ("pods/pod1 0/0/0/0/1001 200 54 - - sD-- 1/1/0/0/0 0/0", Some("in the middle of its answer (sD)")),
            ("pods/pod1 0/0/0/0/303 200 30054 - - CD-- 1/1/0/0/0 0/0", Some("a client left")),
            ("pods/pod1 0/0/2001/0/2001 200 8396 - - ---- 201/201/198/126/1 0/0", Some("had to retry the connection")),
            ("pods/pod1 0/0/2001/0/2001 200 8396 - - ---- 201/201/198/126/+1 0/0", Some("had to retry the connection")),
            ("pods/pod1 0/0/0/1/1 200 8396 - - ---- 2/2/1/1/0 0/0", None),
            ("pods/<NOSRV> -1/-1/-1/-1/0 503 217 - - SC-- 1/1/0/0/0 0/0", Some("had no server for a request")),
        ] {
            let line = format!("127.0.0.1:57892 [23/Nov/2026:19:52:34.925] ingress {line} \"GET /short HTTP/1.1\"");
            let seen = read_balancer(&line);
            match meaning {
                Some(part) => assert!(seen.as_ref().is_some_and(|seen| seen.contains(part)), "{line}: {seen:?}"),
                None => assert_eq!(seen, None, "{line}"),
            }
        }
    }

    #[test]
    fn only_lines_of_requests_are_read_and_only_in_their_column() {
        for line in [
            "[WARNING]  (13064) : Server pods/pod1 is going DOWN for maintenance. 2 active and 0 backup servers left. 131 sessions",
            "Server pods/pod1 is UP/READY (leaving forced maintenance).",
            "127.0.0.1:5 [23/Nov/2026:19:52:34.925] ingress pods/pod1 0/0/0/1/1 200 83 - - ---- 2/2/1/1/0 0/0 \"GET /SC-- HTTP/1.1\"",
            "",
        ] {
            assert_eq!(read_balancer(line), None, "{line}");
        }
    }

    #[test]
    fn messages_of_the_embedded_balancer_are_read_too() {
        let seen = read_balancer(
            "balancer: could not connect to a pod: pod1 at 127.73.209.3:45995: Connection refused (os error 111)",
        );
        assert_eq!(seen.as_deref(), Some("the balancer: could not connect to a pod"));
    }
}
