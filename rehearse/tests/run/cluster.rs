//! A real roll-out.

use std::fs;
use std::net::TcpStream;

use common::http::*;
use common::*;
use tempfile::TempDir;

use super::sandbox::{Figures, Sandbox};

/// Two nginx behind HAProxy. The script `roll-out` restarts one after the other: it tells the old one to stop, and the routing
/// changes half a second later, as in a cluster.
struct Cluster {
    directory: TempDir,
    port: u16,
    #[expect(dead_code, reason = "dropping it ends it")]
    haproxy: Running,
}

impl Cluster {
    fn start(start: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let home = directory.path().to_str().unwrap().to_owned();
        let (port, control) = (free_port(), free_port());
        let mut servers = String::new();
        // At this rate an answer takes more than a second, so that some are in flight when nginx is told to stop.
        fs::write(directory.path().join("index.html"), "a whole answer\n".repeat(10_000)).unwrap();
        for pod in ["a", "b"] {
            let at = free_port();
            servers.extend(["server ", pod, " 127.0.0.1:", &at.to_string(), "\n"]);
            let configuration = format!(
                "daemon off; user root; worker_processes 1; pid {home}/nginx-{pod}.pid; error_log {home}/{pod}.log notice;
                events {{ worker_connections 256; }}
                http {{
                    access_log off; root {home}; limit_rate 100k;
                    client_body_temp_path {home}/1; proxy_temp_path {home}/2; fastcgi_temp_path {home}/3;
                    uwsgi_temp_path {home}/4; scgi_temp_path {home}/5;
                    server {{ listen 127.0.0.1:{at}; }}
                }}"
            );
            fs::write(directory.path().join(format!("{pod}.conf")), configuration).unwrap();
        }
        let configuration = format!(
            "global
                stats socket ipv4@127.0.0.1:{control} level admin
            defaults
                mode http
                timeout connect 1s
                timeout client 20s
                timeout server 20s
            frontend ingress
                bind 127.0.0.1:{port}
                default_backend web
            backend web
                {servers}\n"
        );
        let file = directory.path().join("haproxy.cfg");
        fs::write(&file, configuration).unwrap();
        let start = start.join(" ");
        let nginx = in_path("nginx").unwrap().display().to_string();
        let script = format!(
            r#"
            cd {home}
            say() {{ exec 3<>/dev/tcp/127.0.0.1/{control}; echo "$1" >&3; cat <&3 >/dev/null; exec 3>&-; }}
            start() {{
                {start} {nginx} -c {home}/$1.conf >$1.out 2>&1 </dev/null &
                echo $! >$1.pid
                until grep -q "start worker processes" $1.log; do sleep 0.02; done
            }}
            gone() {{ ! grep -q "State:.[^Z]" /proc/$1/status 2>/dev/null; }}
            if [ "$1" = around ]; then start a; start b; shift; "$@"; exit $?; fi
            for pod in a b; do
                old=$(cat $pod.pid)
                kill -TERM $old
                (sleep 0.5; say "set server web/$pod state maint") &
                until gone $old; do sleep 0.02; done
                wait $!
                rm $pod.log
                start $pod
                say "set server web/$pod state ready"
            done
            "#
        );
        fs::write(directory.path().join("roll-out"), script).unwrap();
        let haproxy = program(in_path("haproxy").unwrap(), ["-f", file.to_str().unwrap()]).start();
        let cluster = Self { directory, port, haproxy };
        eventually("HAProxy listens", || TcpStream::connect(("127.0.0.1", port)).ok());
        cluster
    }

    /// Rehearses the roll-out in a PID namespace, so that everything it started ends with it.
    fn rehearse(&self) -> (Outcome, Figures) {
        let sandbox = Sandbox::new();
        let script = self.directory.path().join("roll-out");
        let url = format!("http://127.0.0.1:{}/", self.port);
        let rehearsal =
            sandbox.rehearsal(&url, &["--before", "1s", "--grace", "1s"], &["bash", script.to_str().unwrap()]);
        let outcome = rehearsal.through(["bash", script.to_str().unwrap(), "around"]).pid_one().run();
        let figures = sandbox.figures();
        (outcome, figures)
    }
}

fn have_cluster() -> bool {
    ["nginx", "haproxy", "bash", "unshare"].into_iter().all(have_program)
}

/// The negative control of the next test.
#[test]
fn a_roll_out_with_sigterm_to_nginx_loses_requests() {
    if !have_cluster() {
        return;
    }
    let (outcome, figures) = Cluster::start(&[]).rehearse();
    outcome.code(1);
    assert!(figures.count("cut off") > 5, "{}", figures.errors());
}

#[test]
fn a_roll_out_with_softstop_loses_none() {
    if !have_cluster() {
        return;
    }
    let words = [softstop_binary(), "--pre-delay", "1s", "--drain-timeout", "10s", "--"];
    let (outcome, figures) = Cluster::start(&words).rehearse();
    figures.has_only(&[]);
    outcome.code(0);
    assert!(figures.count("answered") > 50);
}
