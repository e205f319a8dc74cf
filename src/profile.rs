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
    /// The base names of its programs and scripts, without a version's digits at the end.
    pub programs: &'static [&'static str],
    /// What an interpreter runs as this server: a Python module, a JVM's main class, the base name of a .jar.
    pub modules: &'static [&'static str],
    /// The signal on which it finishes its work.
    pub stop_signal: Signal,
    /// How long it keeps serving after the stop request.
    pub pre_delay: PreDelay,
    /// Whether it finishes the requests under way on its stop signal.
    pub finishes: Finishes,
    /// What must be quiet for the pre-delay to end early: responses too, where no signal lets it finish them.
    pub quiet_means: Activity,
    /// The exit codes that a clean stop ends with, other than 0.
    pub ok_on_stop: &'static [u8],
    /// What it needs from its own configuration, or from its user, for a good stop.
    pub note: Option<&'static str>,
}

/// How long a server keeps serving after the stop request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreDelay {
    /// A balancer has to take it out of its rotation first.
    BehindBalancer,
    /// A cache's clients know it by its own address, and no balancer turns them away: they may finish what is under way.
    UnderWay,
    /// It is told of the stop at once.
    None,
}

impl PreDelay {
    /// The least and the most time it takes.
    #[must_use]
    pub const fn bounds(self) -> Bounds {
        match self {
            Self::BehindBalancer => Bounds { least: Duration::from_secs(2), most: Duration::from_secs(10) },
            Self::UnderWay => Bounds { least: Duration::ZERO, most: Duration::from_secs(5) },
            Self::None => Bounds::NONE,
        }
    }
}

/// Whether a server finishes the requests under way on its stop signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Finishes {
    /// It does.
    #[default]
    Yes,
    /// It cuts them off.
    No,
    /// That depends on the application that it runs.
    Unknown,
}

/// The table, in the order `--list-profiles` prints it.
pub const PROFILES: &[Profile] = &[
    // nginx.org, "Controlling nginx": QUIT is the graceful shutdown, TERM the fast one.
    Profile {
        name: "nginx",
        aliases: &[],
        programs: &["nginx", "nginx-debug"],
        modules: &[],
        stop_signal: Signal::QUIT,
        pre_delay: PreDelay::BehindBalancer,
        finishes: Finishes::Yes,
        quiet_means: Activity::Requests,
        ok_on_stop: &[],
        note: Some(
            "set worker_shutdown_timeout, or long connections (websockets) hold the drain for ever; run it with `daemon off;`",
        ),
    },
    // As nginx.
    Profile {
        name: "openresty",
        aliases: &[],
        programs: &["openresty"],
        modules: &[],
        stop_signal: Signal::QUIT,
        pre_delay: PreDelay::BehindBalancer,
        finishes: Finishes::Yes,
        quiet_means: Activity::Requests,
        ok_on_stop: &[],
        note: Some(
            "set worker_shutdown_timeout, or long connections (websockets) hold the drain for ever; run it with `daemon off;`",
        ),
    },
    // httpd.apache.org, "Stopping and Restarting": WINCH is graceful-stop, TERM kills the children at once.
    Profile {
        name: "httpd",
        aliases: &["apache", "apache2"],
        programs: &["httpd", "apache2", "httpd-foreground", "apache2-foreground"],
        modules: &[],
        stop_signal: Signal::WINCH,
        pre_delay: PreDelay::BehindBalancer,
        finishes: Finishes::Yes,
        quiet_means: Activity::Requests,
        ok_on_stop: &[],
        note: Some(
            "set GracefulShutdownTimeout, which is 0 (for ever) by default; a terminal's resize is kept from it",
        ),
    },
    // HAProxy's Management Guide, 4 "Stopping and restarting": USR1 is the graceful stop, TERM the immediate one.
    Profile {
        name: "haproxy",
        aliases: &[],
        programs: &["haproxy"],
        modules: &[],
        stop_signal: Signal::USR1,
        pre_delay: PreDelay::BehindBalancer,
        finishes: Finishes::Yes,
        quiet_means: Activity::Requests,
        ok_on_stop: &[],
        note: Some("set hard-stop-after, or one long connection holds the drain for ever"),
    },
    // php-fpm(8): QUIT is the graceful stop, TERM the immediate one.
    Profile {
        name: "php-fpm",
        aliases: &["php"],
        programs: &["php-fpm"],
        modules: &[],
        stop_signal: Signal::QUIT,
        pre_delay: PreDelay::BehindBalancer,
        finishes: Finishes::Yes,
        quiet_means: Activity::Requests,
        ok_on_stop: &[],
        note: Some(
            "set process_control_timeout above 0 (its default), or its children are killed in the middle of a request",
        ),
    },
    // unicorn's SIGNALS file: QUIT is graceful, TERM and INT are quick.
    Profile {
        name: "unicorn",
        aliases: &[],
        programs: &["unicorn", "unicorn_rails"],
        modules: &[],
        stop_signal: Signal::QUIT,
        pre_delay: PreDelay::BehindBalancer,
        finishes: Finishes::Yes,
        quiet_means: Activity::Requests,
        ok_on_stop: &[],
        note: None,
    },
    // docs.gunicorn.org, "Signal Handling": TERM is graceful, QUIT and INT are quick.
    Profile {
        name: "gunicorn",
        aliases: &[],
        programs: &["gunicorn"],
        modules: &[],
        stop_signal: Signal::TERM,
        pre_delay: PreDelay::BehindBalancer,
        finishes: Finishes::Yes,
        quiet_means: Activity::Requests,
        ok_on_stop: &[],
        note: Some("graceful_timeout (30 s) is gunicorn's own limit: keep it below the drain timeout"),
    },
    // puma's docs/signals.md and docs/kubernetes.md.
    Profile {
        name: "puma",
        aliases: &[],
        programs: &["puma"],
        modules: &[],
        stop_signal: Signal::TERM,
        pre_delay: PreDelay::BehindBalancer,
        finishes: Finishes::Yes,
        quiet_means: Activity::Requests,
        ok_on_stop: &[143],
        note: Some("exits with 143 after a clean stop unless `raise_exception_on_sigterm false` is set"),
    },
    // Celery's User Guide, "Workers": TERM is the warm shutdown, QUIT the cold one.
    Profile {
        name: "celery",
        aliases: &[],
        programs: &["celery"],
        modules: &[],
        stop_signal: Signal::TERM,
        pre_delay: PreDelay::None,
        finishes: Finishes::Yes,
        quiet_means: Activity::Requests,
        ok_on_stop: &[],
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
        modules: &[],
        stop_signal: Signal::INT,
        pre_delay: PreDelay::None,
        finishes: Finishes::No,
        quiet_means: Activity::Requests,
        ok_on_stop: &[],
        note: Some("the shutdown checkpoint can take minutes: give it a long grace period"),
    },
    // dev.mysql.com, "Unix Signal Handling in MySQL": TERM shuts down.
    Profile {
        name: "mysql",
        aliases: &["mariadb"],
        programs: &["mysqld", "mariadbd"],
        modules: &[],
        stop_signal: Signal::TERM,
        pre_delay: PreDelay::None,
        finishes: Finishes::No,
        quiet_means: Activity::Requests,
        ok_on_stop: &[],
        note: Some("flushing the buffer pool can take minutes: give it a long grace period"),
    },
    // redis.io, "Redis signal handling".
    Profile {
        name: "redis",
        aliases: &[],
        programs: &["redis-server"],
        modules: &[],
        stop_signal: Signal::TERM,
        pre_delay: PreDelay::None,
        finishes: Finishes::No,
        quiet_means: Activity::Requests,
        ok_on_stop: &[],
        note: Some("shutdown-timeout (10 s) is its wait for lagging replicas: keep it below the drain timeout"),
    },
    // caddyserver.com, "Command Line", Signals: TERM and INT are graceful, QUIT is immediate.
    Profile {
        name: "caddy",
        aliases: &[],
        programs: &["caddy"],
        modules: &[],
        stop_signal: Signal::TERM,
        pre_delay: PreDelay::BehindBalancer,
        finishes: Finishes::Yes,
        quiet_means: Activity::Requests,
        ok_on_stop: &[],
        note: Some(
            "set grace_period, which is eternal by default; leave shutdown_delay unset, softstop's pre-delay does its work",
        ),
    },
    // doc.traefik.io, "EntryPoints", lifeCycle.
    Profile {
        name: "traefik",
        aliases: &[],
        programs: &["traefik"],
        modules: &[],
        stop_signal: Signal::TERM,
        pre_delay: PreDelay::BehindBalancer,
        finishes: Finishes::Yes,
        quiet_means: Activity::Requests,
        ok_on_stop: &[],
        note: Some(
            "graceTimeOut (10 s) is its own limit; leave requestAcceptGraceTimeout at 0, softstop's pre-delay does its work",
        ),
    },
    // lighttpd's src/server.c: INT is graceful, a second INT and TERM are immediate.
    Profile {
        name: "lighttpd",
        aliases: &[],
        programs: &["lighttpd"],
        modules: &[],
        stop_signal: Signal::INT,
        pre_delay: PreDelay::BehindBalancer,
        finishes: Finishes::Yes,
        quiet_means: Activity::Requests,
        ok_on_stop: &[],
        note: Some("run it with -D; server.graceful-shutdown-timeout is its own limit"),
    },
    // squid(8) and squid.conf's shutdown_lifetime: TERM waits for clients, INT does not.
    Profile {
        name: "squid",
        aliases: &[],
        programs: &["squid"],
        modules: &[],
        stop_signal: Signal::TERM,
        pre_delay: PreDelay::BehindBalancer,
        finishes: Finishes::Yes,
        quiet_means: Activity::Requests,
        ok_on_stop: &[],
        note: Some(
            "shutdown_lifetime (30 s) is its own limit: keep it below the drain timeout; run it with --foreground",
        ),
    },
    // varnishd's mgt_main.c: TERM stops its child, which does not drain.
    Profile {
        name: "varnish",
        aliases: &["varnishd"],
        programs: &["varnishd"],
        modules: &[],
        stop_signal: Signal::TERM,
        pre_delay: PreDelay::BehindBalancer,
        finishes: Finishes::No,
        quiet_means: Activity::Traffic,
        ok_on_stop: &[],
        note: Some("it knows no graceful stop: only the pre-delay protects its clients; run it with -F"),
    },
    // uwsgi-docs, "Managing the uWSGI server" and "Things to know": TERM reloads unless `die-on-term` is set, HUP reloads, INT
    // kills the stack at once. None of them lets requests finish.
    Profile {
        name: "uwsgi",
        aliases: &[],
        programs: &["uwsgi", "uwsgi-core"],
        modules: &[],
        stop_signal: Signal::INT,
        pre_delay: PreDelay::BehindBalancer,
        finishes: Finishes::No,
        quiet_means: Activity::Traffic,
        ok_on_stop: &[],
        note: Some("it knows no graceful stop: only the pre-delay protects its clients"),
    },
    // memcached.c: TERM and INT exit at once.
    Profile {
        name: "memcached",
        aliases: &[],
        programs: &["memcached"],
        modules: &[],
        stop_signal: Signal::TERM,
        pre_delay: PreDelay::UnderWay,
        finishes: Finishes::No,
        quiet_means: Activity::Traffic,
        ok_on_stop: &[],
        note: None,
    },
    // The JVM runs its shutdown hooks on TERM; QUIT is a thread dump.
    Profile {
        name: "java",
        aliases: &["tomcat"],
        programs: &["java", "catalina.sh"],
        modules: &[],
        stop_signal: Signal::TERM,
        pre_delay: PreDelay::BehindBalancer,
        finishes: Finishes::Unknown,
        quiet_means: Activity::Requests,
        ok_on_stop: &[143],
        note: Some(
            "a JVM exits with 143 after a clean stop: -e 143 makes it 0; Tomcat drains (gracefulStopAwaitMillis) only with bindOnInit=\"false\"",
        ),
    },
    // nodejs.org, process "Signal events".
    Profile {
        name: "node",
        aliases: &["nodejs"],
        programs: &["node", "nodejs"],
        modules: &[],
        stop_signal: Signal::TERM,
        pre_delay: PreDelay::BehindBalancer,
        finishes: Finishes::Unknown,
        quiet_means: Activity::Requests,
        ok_on_stop: &[],
        note: Some("Node.js ends at once on SIGTERM: the application must handle it and call server.close()"),
    },
    // systemd(1), SIGNALS: RTMIN+3 starts halt.target, TERM re-executes the manager.
    Profile {
        name: "systemd",
        aliases: &[],
        programs: &["systemd"],
        modules: &[],
        stop_signal: Signal::realtime(3),
        pre_delay: PreDelay::None,
        finishes: Finishes::Yes,
        quiet_means: Activity::Requests,
        ok_on_stop: &[],
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

    /// The profile of a running process, by its command line and `comm` (at most 15 bytes) from /proc. A title that a process
    /// gives itself counts only where `comm` or the script agrees.
    #[must_use]
    pub fn of_process<S: AsRef<OsStr>>(cmdline: &[S], comm: &str) -> Option<&'static Self> {
        let first = cmdline.first()?.as_ref().to_str()?;
        // `nginx: master process nginx ..`: a title, whose first word counts where the kernel's name agrees.
        let title = first.split([':', ' ']).next().unwrap_or(first);
        let base = title.rsplit('/').next().unwrap_or(title);
        let of_title = Self::of_program(base);
        let of_comm = Self::of_program(comm);
        if of_comm.is_some() && (of_comm == of_title || first.starts_with(|c: char| c == '/' || c.is_ascii_lowercase()))
        {
            return of_comm;
        }
        let script =
            cmdline.iter().skip(1).filter_map(|word| word.as_ref().to_str()).find(|word| !word.starts_with('-'));
        of_title.or_else(|| Self::of_program(script?.rsplit('/').next()?))
    }

    fn of_program(base: &str) -> Option<&'static Self> {
        let unversioned = base.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        PROFILES.iter().find(|profile| profile.programs.contains(&base) || profile.programs.contains(&unversioned))
    }

    /// The stop signal of a server that was started by this command line: uwsgi's depends on its arguments.
    #[must_use]
    pub fn signal_for(&self, _command: &[String]) -> Option<Signal> {
        Some(self.stop_signal)
    }

    /// Whether some server takes this signal for its stop signal.
    #[must_use]
    pub fn has_stop_signal(signal: Signal) -> bool {
        PROFILES.iter().any(|profile| profile.stop_signal == signal)
    }

    /// Every name that `--profile` takes, but for `auto` and `none`.
    pub fn names() -> impl Iterator<Item = &'static str> {
        PROFILES.iter().flat_map(|profile| std::iter::once(profile.name).chain(profile.aliases.iter().copied()))
    }
}

/// Whether a program of this name runs scripts or classes, so that its name says little.
#[must_use]
pub fn is_interpreter(comm: &str) -> bool {
    ["python", "ruby", "node", "java", "perl", "php"].iter().any(|name| comm.starts_with(name))
}

/// Whether a program of this name is a shell.
#[must_use]
pub fn is_shell(comm: &str) -> bool {
    ["sh", "bash", "dash", "ash", "busybox", "zsh", "ksh", "mksh", "rbash"].contains(&comm)
}

/// Whether a process between the main child and the server only starts the next one, so that the stop signal is not for it: an
/// init that passes signals on and does nothing more, or a program that catches SIGTERM and keeps it (npm).
#[must_use]
pub fn is_looked_through<S: AsRef<OsStr>>(cmdline: &[S], comm: &str) -> bool {
    let _ = cmdline;
    let program = comm.split(' ').next().unwrap_or(comm);
    [
        "npm",
        "yarn",
        "pnpm",
        "tini",
        "tini-static",
        "docker-init",
        "dumb-init",
        "catatonit",
        "podman-init",
        "su",
        "runuser",
    ]
    .contains(&program)
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
