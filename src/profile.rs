//! The servers we know: what each takes for a graceful stop, and what it needs from its own configuration.
//!
//! Every row comes from the server's manual or source, which is named beside it.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use crate::duration::Bounds;
use crate::shutdown::Activity;
use crate::signal::Signal;

/// The known good settings of one server.
#[derive(Debug, PartialEq, Eq)]
pub struct Profile {
    /// What `--profile` calls it.
    pub name: &'static str,
    /// Other names that `--profile` takes.
    pub aliases: &'static [&'static str],
    /// The base names of its programs, without a version's digits at the end.
    pub programs: &'static [&'static str],
    /// The signal on which it finishes its work.
    pub stop_signal: Signal,
    /// How long it keeps serving after the stop request: not at all unless it stands behind a balancer.
    pub pre_delay: Bounds,
    /// What must be quiet for the pre-delay to end early: responses too, where no signal lets it finish them.
    pub quiet_means: Activity,
    /// What it needs from its own configuration, or from its user, for a good stop.
    pub note: Option<&'static str>,
}

/// The time a balancer is given to take a server out of its rotation.
const BEHIND_A_BALANCER: Bounds = Bounds { least: Duration::from_secs(2), most: Duration::from_secs(10) };
/// A cache's clients know it by its own address, and no balancer turns them away: they may finish what is under way.
const FOR_WHAT_IS_UNDER_WAY: Bounds = Bounds { least: Duration::ZERO, most: Duration::from_secs(5) };
const AT_ONCE: Bounds = Bounds::NONE;

/// The table, in the order `--list-profiles` prints it.
pub const PROFILES: &[Profile] = &[
    // nginx.org, "Controlling nginx": QUIT is the graceful shutdown, TERM the fast one.
    Profile {
        name: "nginx",
        aliases: &[],
        programs: &["nginx", "nginx-debug"],
        stop_signal: Signal::QUIT,
        pre_delay: BEHIND_A_BALANCER,
        quiet_means: Activity::Requests,
        note: Some(
            "set worker_shutdown_timeout, or long connections (websockets) hold the drain for ever; run it with `daemon off;`",
        ),
    },
    // As nginx.
    Profile {
        name: "openresty",
        aliases: &[],
        programs: &["openresty"],
        stop_signal: Signal::QUIT,
        pre_delay: BEHIND_A_BALANCER,
        quiet_means: Activity::Requests,
        note: Some(
            "set worker_shutdown_timeout, or long connections (websockets) hold the drain for ever; run it with `daemon off;`",
        ),
    },
    // httpd.apache.org, "Stopping and Restarting": WINCH is graceful-stop, TERM kills the children at once.
    Profile {
        name: "httpd",
        aliases: &["apache", "apache2"],
        programs: &["httpd", "apache2", "httpd-foreground", "apache2-foreground"],
        stop_signal: Signal::WINCH,
        pre_delay: BEHIND_A_BALANCER,
        quiet_means: Activity::Requests,
        note: Some(
            "set GracefulShutdownTimeout, which is 0 (for ever) by default; a terminal's resize is kept from it",
        ),
    },
    // HAProxy's Management Guide, 4 "Stopping and restarting": USR1 is the graceful stop, TERM the immediate one.
    Profile {
        name: "haproxy",
        aliases: &[],
        programs: &["haproxy"],
        stop_signal: Signal::USR1,
        pre_delay: BEHIND_A_BALANCER,
        quiet_means: Activity::Requests,
        note: Some("set hard-stop-after, or one long connection holds the drain for ever"),
    },
    // php-fpm(8): QUIT is the graceful stop, TERM the immediate one.
    Profile {
        name: "php-fpm",
        aliases: &["php"],
        programs: &["php-fpm"],
        stop_signal: Signal::QUIT,
        pre_delay: BEHIND_A_BALANCER,
        quiet_means: Activity::Requests,
        note: Some(
            "set process_control_timeout above 0 (its default), or its children are killed in the middle of a request",
        ),
    },
    // unicorn's SIGNALS file: QUIT is graceful, TERM and INT are quick.
    Profile {
        name: "unicorn",
        aliases: &[],
        programs: &["unicorn", "unicorn_rails"],
        stop_signal: Signal::QUIT,
        pre_delay: BEHIND_A_BALANCER,
        quiet_means: Activity::Requests,
        note: None,
    },
    // docs.gunicorn.org, "Signal Handling": TERM is graceful, QUIT and INT are quick.
    Profile {
        name: "gunicorn",
        aliases: &[],
        programs: &["gunicorn"],
        stop_signal: Signal::TERM,
        pre_delay: BEHIND_A_BALANCER,
        quiet_means: Activity::Requests,
        note: Some("graceful_timeout (30 s) is gunicorn's own limit: keep it below the drain timeout"),
    },
    // puma's docs/signals.md and docs/kubernetes.md.
    Profile {
        name: "puma",
        aliases: &[],
        programs: &["puma"],
        stop_signal: Signal::TERM,
        pre_delay: BEHIND_A_BALANCER,
        quiet_means: Activity::Requests,
        note: Some("exits with 143 after a clean stop unless `raise_exception_on_sigterm false` is set"),
    },
    // Celery's User Guide, "Workers": TERM is the warm shutdown, QUIT the cold one.
    Profile {
        name: "celery",
        aliases: &[],
        programs: &["celery"],
        stop_signal: Signal::TERM,
        pre_delay: AT_ONCE,
        quiet_means: Activity::Requests,
        note: Some(
            "a task may take as long as it likes: give it a grace period that fits the longest; do not use target = \"group\"",
        ),
    },
    // postgresql.org, "Shutting Down the Server": INT is fast (aborts transactions, ends cleanly), TERM waits for every
    // client.
    Profile {
        name: "postgres",
        aliases: &["postgresql"],
        programs: &["postgres", "postmaster"],
        stop_signal: Signal::INT,
        pre_delay: AT_ONCE,
        quiet_means: Activity::Requests,
        note: Some("the shutdown checkpoint can take minutes: give it a long grace period"),
    },
    // dev.mysql.com, "Unix Signal Handling in MySQL": TERM shuts down.
    Profile {
        name: "mysql",
        aliases: &["mariadb"],
        programs: &["mysqld", "mariadbd"],
        stop_signal: Signal::TERM,
        pre_delay: AT_ONCE,
        quiet_means: Activity::Requests,
        note: Some("flushing the buffer pool can take minutes: give it a long grace period"),
    },
    // redis.io, "Redis signal handling".
    Profile {
        name: "redis",
        aliases: &[],
        programs: &["redis-server"],
        stop_signal: Signal::TERM,
        pre_delay: AT_ONCE,
        quiet_means: Activity::Requests,
        note: Some("shutdown-timeout (10 s) is its wait for lagging replicas: keep it below the drain timeout"),
    },
    // caddyserver.com, "Command Line", Signals: TERM and INT are graceful, QUIT is immediate.
    Profile {
        name: "caddy",
        aliases: &[],
        programs: &["caddy"],
        stop_signal: Signal::TERM,
        pre_delay: BEHIND_A_BALANCER,
        quiet_means: Activity::Requests,
        note: Some(
            "set grace_period, which is eternal by default; leave shutdown_delay unset, softstop's pre-delay does its work",
        ),
    },
    // doc.traefik.io, "EntryPoints", lifeCycle.
    Profile {
        name: "traefik",
        aliases: &[],
        programs: &["traefik"],
        stop_signal: Signal::TERM,
        pre_delay: BEHIND_A_BALANCER,
        quiet_means: Activity::Requests,
        note: Some(
            "graceTimeOut (10 s) is its own limit; leave requestAcceptGraceTimeout at 0, softstop's pre-delay does its work",
        ),
    },
    // lighttpd's src/server.c: INT is graceful, a second INT and TERM are immediate.
    Profile {
        name: "lighttpd",
        aliases: &[],
        programs: &["lighttpd"],
        stop_signal: Signal::INT,
        pre_delay: BEHIND_A_BALANCER,
        quiet_means: Activity::Requests,
        note: Some("run it with -D; server.graceful-shutdown-timeout is its own limit"),
    },
    // squid(8) and squid.conf's shutdown_lifetime: TERM waits for clients, INT does not.
    Profile {
        name: "squid",
        aliases: &[],
        programs: &["squid"],
        stop_signal: Signal::TERM,
        pre_delay: BEHIND_A_BALANCER,
        quiet_means: Activity::Requests,
        note: Some(
            "shutdown_lifetime (30 s) is its own limit: keep it below the drain timeout; run it with --foreground",
        ),
    },
    // varnishd's mgt_main.c: TERM stops its child, which does not drain.
    Profile {
        name: "varnish",
        aliases: &["varnishd"],
        programs: &["varnishd"],
        stop_signal: Signal::TERM,
        pre_delay: BEHIND_A_BALANCER,
        quiet_means: Activity::Traffic,
        note: Some("it knows no graceful stop: only the pre-delay protects its clients; run it with -F"),
    },
    // uwsgi-docs, "Managing the uWSGI server" and "Things to know": TERM reloads unless `die-on-term` is set, HUP reloads, INT
    // kills the stack at once. None of them lets requests finish.
    Profile {
        name: "uwsgi",
        aliases: &[],
        programs: &["uwsgi", "uwsgi-core"],
        stop_signal: Signal::INT,
        pre_delay: BEHIND_A_BALANCER,
        quiet_means: Activity::Traffic,
        note: Some("it knows no graceful stop: only the pre-delay protects its clients"),
    },
    // memcached.c: TERM and INT exit at once.
    Profile {
        name: "memcached",
        aliases: &[],
        programs: &["memcached"],
        stop_signal: Signal::TERM,
        pre_delay: FOR_WHAT_IS_UNDER_WAY,
        quiet_means: Activity::Traffic,
        note: None,
    },
    // The JVM runs its shutdown hooks on TERM; QUIT is a thread dump.
    Profile {
        name: "java",
        aliases: &["tomcat"],
        programs: &["java", "catalina.sh"],
        stop_signal: Signal::TERM,
        pre_delay: BEHIND_A_BALANCER,
        quiet_means: Activity::Requests,
        note: Some(
            "a JVM exits with 143 after a clean stop: -e 143 makes it 0; Tomcat drains (gracefulStopAwaitMillis) only with bindOnInit=\"false\"",
        ),
    },
    // nodejs.org, process "Signal events".
    Profile {
        name: "node",
        aliases: &["nodejs"],
        programs: &["node", "nodejs"],
        stop_signal: Signal::TERM,
        pre_delay: BEHIND_A_BALANCER,
        quiet_means: Activity::Requests,
        note: Some("Node.js ends at once on SIGTERM: the application must handle it and call server.close()"),
    },
    // systemd(1), SIGNALS: RTMIN+3 starts halt.target, TERM re-executes the manager.
    Profile {
        name: "systemd",
        aliases: &[],
        programs: &["systemd"],
        stop_signal: Signal::realtime(3),
        pre_delay: AT_ONCE,
        quiet_means: Activity::Requests,
        note: Some("it must be PID 1 itself: give the image no softstop, or only one outside its PID namespace"),
    },
];

/// The entrypoint scripts of official images that exec the server named by their first argument.
const WRAPPERS: &[&str] = &["docker-entrypoint.sh", "docker-php-entrypoint", "docker-varnish-entrypoint"];

impl Profile {
    /// The profile with this name or alias.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        PROFILES.iter().find(|profile| profile.name == name || profile.aliases.contains(&name))
    }

    /// The profile of the program that a command line starts, be it behind an official image's entrypoint script.
    #[must_use]
    pub fn of_command<S: AsRef<OsStr>>(command: &[S]) -> Option<&'static Self> {
        let [program, arguments @ ..] = command else { return None };
        let base = Path::new(program).file_name()?.to_str()?;
        if WRAPPERS.contains(&base) {
            return Self::of_command(arguments);
        }
        let unversioned = base.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        PROFILES.iter().find(|profile| profile.programs.contains(&base) || profile.programs.contains(&unversioned))
    }

    /// Every name that `--profile` takes, but for `auto` and `none`.
    pub fn names() -> impl Iterator<Item = &'static str> {
        PROFILES.iter().flat_map(|profile| std::iter::once(profile.name).chain(profile.aliases.iter().copied()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(command: &str) -> Option<&'static str> {
        Profile::of_command(&command.split(' ').collect::<Vec<_>>()).map(|profile| profile.name)
    }

    #[test]
    fn a_server_is_known_by_the_base_name_of_its_program() {
        for (command, name) in [
            ("nginx", "nginx"),
            ("/usr/sbin/nginx -g daemon", "nginx"),
            ("nginx-debug", "nginx"),
            ("php-fpm8.2", "php-fpm"),
            ("apache2 -DFOREGROUND", "httpd"),
            ("httpd-foreground", "httpd"),
            ("gunicorn3 app", "gunicorn"),
            ("mariadbd", "mysql"),
            ("/usr/lib/postgresql/17/bin/postgres", "postgres"),
        ] {
            assert_eq!(found(command), Some(name), "{command}");
        }
    }

    #[test]
    fn the_official_images_wrappers_are_looked_through() {
        assert_eq!(found("/docker-entrypoint.sh nginx -g daemon"), Some("nginx"));
        assert_eq!(found("docker-php-entrypoint php-fpm"), Some("php-fpm"));
        assert_eq!(found("docker-php-entrypoint apache2-foreground"), Some("httpd"));
        assert_eq!(found("docker-entrypoint.sh"), None);
    }

    #[test]
    fn a_plain_program_has_no_profile() {
        for command in ["sh -c nginx", "sleep 1", "nginx-exporter", "my-node", "/", "8"] {
            assert_eq!(found(command), None, "{command}");
        }
    }

    #[test]
    fn no_name_stands_for_two_servers() {
        let mut names: Vec<_> = Profile::names().collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
