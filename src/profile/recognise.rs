//! Recognises the server that a command line starts, and the server that a running process is.
//!
//! A wrong answer is worse than none. So the answer is `None` if a wrapper has an unknown option, or if a shell's command is
//! not a simple one.

use super::runtime::{script, with_module};
use super::table::{GRACEFUL_UWSGI, PROFILES};
use super::words::{Words, base, comm_of, head, title, unversioned};
use super::wrapper::{Wrapping, is_package_manager, wrapped, wrapper_named};
use super::{Profile, Runtime};

/// The limit on nested wrappers. A running process can write any command line.
const MOST_WRAPPERS: usize = 10;

impl Profile {
    pub(super) fn has_program(&self, name: &str) -> bool {
        self.programs.contains(&name) || self.programs.contains(&unversioned(name))
    }
}

/// The server that a command line starts.
pub(super) fn started_by(mut words: Words) -> Option<&'static Profile> {
    for _ in 0..MOST_WRAPPERS {
        match wrapped(&words) {
            Wrapping::Around(inner) => words = inner,
            Wrapping::None => return server(&words).map(|(profile, _)| profile),
            Wrapping::Unclear => return None,
        }
    }
    None
}

/// The server that a running process is, by its command line and `comm`.
pub(super) fn running(words: &[String], comm: &str) -> Option<&'static Profile> {
    if let Some(title) = title(words) {
        return by_title(title, comm);
    }
    let (profile, names) = server(words)?;
    let agrees = names.iter().any(|name| comm_of(name) == comm || unversioned(name) == comm)
        || profile.runtime.is_some_and(|runtime| runtime.has_comm(comm))
        // Apache Traffic Server names its threads, the main one too.
        || comm == "[TS_MAIN]" && profile.has_program("traffic_server");
    agrees.then_some(profile)
}

fn by_title(title: &str, comm: &str) -> Option<&'static Profile> {
    let name = head(title);
    let profile = PROFILES.iter().find(|profile| profile.has_program(name))?;
    let agrees = profile.has_program(comm)
        // The setproctitle() of a scripting language sets `comm` too.
        || profile.runtime.is_some_and(|runtime| comm == comm_of(title) || runtime.has_comm(comm));
    agrees.then_some(profile)
}

/// The server that runs in the process with this command line, and the names that its `comm` may have.
fn server(words: &[String]) -> Option<(&'static Profile, [&str; 2])> {
    let program = base(words.first()?);
    let mut names = [program; 2];
    let profile = match Runtime::of(program) {
        None => by_name(program, words)?,
        Some(runtime) => match script(runtime, words) {
            Some((name, at)) => {
                names = [program, base(name)];
                by_script(runtime, name, words.get(at..)?)?
            }
            // Without a script, such as `node -e` or `java @file`.
            None if matches!(runtime, Runtime::Java | Runtime::Node) => by_name(program, words)?,
            None => return None,
        },
    };
    let is_graceful = |word: &String| word.contains("unix_signal:15 gracefully_kill_them_all");
    if profile.name == GRACEFUL_UWSGI.name && words.iter().any(is_graceful) {
        return Some((GRACEFUL_UWSGI, names));
    }
    Some((profile, names))
}

/// The server whose program is called `name`. `words` are the program and its arguments.
fn by_name(name: &str, words: &[String]) -> Option<&'static Profile> {
    let argument = words.get(1).map(String::as_str);
    match (name, argument) {
        // Rails has started puma by default since 5.0.
        ("rails", Some("server" | "s")) => Profile::named("puma"),
        ("rackup", _) => {
            let at = words.iter().position(|word| word == "-s" || word == "--server")?;
            let server = words.get(at + 1)?;
            PROFILES.iter().find(|profile| profile.runtime == Some(Runtime::Ruby) && profile.has_program(server))
        }
        ("manage.py" | "django-admin" | "django", Some("runserver")) => Profile::named("runserver"),
        ("run.sh", _) => {
            let directory = words.first()?.strip_prefix("/opt/bitnami/scripts/")?.strip_suffix("/run.sh")?;
            Profile::named(directory)
        }
        _ => PROFILES.iter().find(|profile| profile.has_program(name)),
    }
}

/// The server that a runtime runs as a script or module called `name`. `words` are that name and its arguments.
fn by_script(runtime: Runtime, name: &str, words: &[String]) -> Option<&'static Profile> {
    let profile = match runtime {
        Runtime::Node if is_package_manager(base(name)) => None,
        Runtime::Node => Profile::named("node"),
        Runtime::Php => Profile::named("php-server"),
        Runtime::Java => with_module(name).or_else(|| Profile::named("java")),
        // `bundle exec` loads a Ruby script into its own process.
        Runtime::Ruby if base(name) == "bundle" => {
            let inner = wrapper_named("bundle")?.inner(words)?;
            by_name(base(inner.first()?), &inner)
        }
        Runtime::Erlang | Runtime::Lua | Runtime::Python | Runtime::Ruby => {
            // A Python module is known by its package: `gunicorn.app.wsgiapp` by `gunicorn`.
            let package = name.strip_suffix(".py").map_or_else(|| name.split('.').next(), |_| Some(name))?;
            let named = |name| with_module(name).or_else(|| by_name(base(name), words));
            named(name).or_else(|| named(package).filter(|_| runtime == Runtime::Python))
        }
    };
    profile.filter(|profile| profile.runtime == Some(runtime))
}

#[cfg(test)]
mod tests {
    use super::super::Finishes;
    use super::super::examples::{each_runs, none_starts, run_by, started};
    use super::*;
    use crate::signal::Signal;

    #[test]
    fn a_server_is_known_by_the_base_name_of_its_program() {
        for (command, name) in [
            ("nginx", "nginx"),
            ("/usr/sbin/nginx -g daemon", "nginx"),
            ("nginx-debug", "nginx"),
            ("openresty", "nginx"),
            ("php-fpm8.2", "php-fpm"),
            ("apache2 -DFOREGROUND", "httpd"),
            ("httpd-foreground", "httpd"),
            ("apachectl -DFOREGROUND", "httpd"),
            ("apache2ctl -f apache.conf -DFOREGROUND", "httpd"),
            ("gunicorn3 app", "gunicorn"),
            ("mariadbd", "mysql"),
            ("mysqld_safe --user=mysql", "mysql"),
            ("/usr/lib/postgresql/17/bin/postgres", "postgres"),
            ("/usr/share/tomcat10/bin/catalina.sh run", "tomcat"),
            ("lighttpd-angel -D -f l.conf", "lighttpd"),
            ("node s.js", "node"),
            ("node", "node"),
            ("next start -p 8080", "node"),
            ("uwsgi_python3 --ini a.ini", "uwsgi"),
        ] {
            assert_eq!(started(command), Some(name), "{command}");
        }
    }

    #[test]
    fn a_plain_program_has_no_profile() {
        none_starts(&[
            "sleep 1",
            "nginx-exporter",
            "my-node",
            "/",
            "8",
            "",
            "sh",
            "start.sh",
            "npm start",
            "yarn start",
        ]);
    }

    #[test]
    fn uwsgi_gets_sigterm_only_where_a_hook_in_its_arguments_makes_that_graceful() {
        let uwsgi = |arguments: &[&str]| Profile::of_process(&[&["uwsgi"], arguments].concat(), "uwsgi").unwrap();
        let hook = "unix_signal:15 gracefully_kill_them_all";
        let graceful = uwsgi(&["--master", "--hook-master-start", hook]);
        assert_eq!((graceful.stop_signal, graceful.finishes), (Signal::TERM, Finishes::Yes));
        assert_eq!(uwsgi(&[&format!("--hook-master-start={hook}")]), graceful);
        for arguments in [
            &["--die-on-term"][..],
            &["--hook-master-start", "unix_signal:1 gracefully_kill_them_all"],
            &["--ini", "a.ini"],
        ] {
            let profile = uwsgi(arguments);
            assert_eq!((profile.name, profile.stop_signal, profile.finishes), ("uwsgi", Signal::INT, Finishes::No));
        }
    }

    // As /proc showed them; those of OpenResty, Angie, CouchDB, Kafka and Node.js 22 as others report them.

    #[test]
    fn web_servers_and_proxies_that_were_seen() {
        each_runs(&[
            (&["nginx: master process nginx -c ng.conf"][..], "nginx", "nginx"),
            (&["nginx: master process nginx -g daemon off;", "", ""], "nginx", "nginx"),
            (&["nginx: worker process"], "nginx", "nginx"),
            (&["nginx: master process openresty -g daemon off;"], "openresty", "nginx"),
            (&["angie: master process v1.7.0 #1 [/usr/sbin/angie -g daemon off;]"], "angie", "nginx"),
            (&["apache2", "-f", "ap.conf", "-DFOREGROUND"], "apache2", "httpd"),
            (&["haproxy", "-W", "-db", "-f", "h.cfg"], "haproxy", "haproxy"),
            (&["/usr/sbin/lighttpd", "-D", "-f", "l.conf"], "lighttpd", "lighttpd"),
            (&["/usr/sbin/lighttpd-angel", "-D", "-f", "l.conf"], "lighttpd-angel", "lighttpd"),
            (&["caddy", "run", "--config", "Caddyfile"], "caddy", "caddy"),
            (&["squid", "--foreground", "-f", "s.conf"], "squid", "squid"),
            (&["(squid-1)", "--kid", "squid-1", "--foreground", "-f", "s.conf"], "squid", "squid"),
            (&["varnishd", "-F", "-a", "127.0.0.1:8080"], "varnishd", "varnish"),
            (&["nghttpx", "-f", "127.0.0.1,8080;no-tls"], "nghttpx", "nghttpx"),
            (&["traffic_server"], "[TS_MAIN]", "trafficserver"),
            (&["traffic_manager"], "traffic_manager", "trafficserver"),
            (&["pgbouncer", "pgb.ini"], "pgbouncer", "pgbouncer"),
            (&["php-fpm: master process (fpm.conf)"], "php-fpm8.2", "php-fpm"),
            (&["php-fpm: pool www"], "php-fpm8.2", "php-fpm"),
            (&["php", "-S", "127.0.0.1:8080", "-t", "/tmp"], "php", "php-server"),
        ]);
    }

    #[test]
    fn application_servers_that_were_seen() {
        let python = "/app/bin/python3";
        each_runs(&[
            (&["gunicorn: master [app:wsgi]"], "gunicorn: maste", "gunicorn"),
            (&["gunicorn: master [app:wsgi]"], "gunicorn", "gunicorn"),
            (&["gunicorn: master [app:wsgi]"], "python3", "gunicorn"),
            (&["/usr/bin/python3", "/usr/bin/gunicorn", "-w", "4", "app:wsgi"], "gunicorn", "gunicorn"),
            (&[python, "/app/bin/uvicorn", "--port", "8080", "app:asgi"], "uvicorn", "uvicorn"),
            (&["/app/bin/python", "-m", "uvicorn", "--port", "8080", "app:asgi"], "python", "uvicorn"),
            (&[python, "/app/bin/fastapi", "run", "fa.py"], "fastapi", "uvicorn"),
            (&[python, "/app/bin/hypercorn", "-w", "2", "app:asgi"], "hypercorn", "hypercorn"),
            (&["granian asgi 127.0.0.1:8080 app:asgi"], "granian asgi 12", "granian"),
            (&["granian asgi 127.0.0.1:8080 app:asgi worker-1"], "granian asgi 12", "granian"),
            (&[python, "/app/bin/daphne", "-p", "8080", "app:asgi"], "daphne", "daphne"),
            (&[python, "/app/bin/waitress-serve", "--listen=*:8080", "app:wsgi"], "waitress-serve", "waitress"),
            (&[python, "/app/bin/cheroot", "app:wsgi"], "cheroot", "cheroot"),
            (&[python, "/app/bin/uwsgi", "--http-socket", "127.0.0.1:8080"], "uwsgi", "uwsgi"),
            (&["uwsgi-core", "--plugin", "python3", "--master"], "uwsgi-core", "uwsgi"),
            (&["uWSGI master"], "uwsgi", "uwsgi"),
            (&[python, "/app/bin/flask", "--app", "fl:app", "run"], "flask", "flask"),
            (&["/app/bin/python", "-m", "http.server", "8080"], "python", "http.server"),
            (&["[celeryd: celery@vm:MainProcess] -active- (-A t worker)"], "[celeryd: celer", "celery"),
            (&["puma 5.6.5 (tcp://127.0.0.1:8080) [app]"], "puma", "puma"),
            (&["puma 5.6.5 (tcp://127.0.0.1:8080) [app]"], "ruby", "puma"),
            (&["puma 5.6.5 (tcp://127.0.0.1:8080) [app]"], "rackup", "puma"),
            (&["puma: cluster worker 0: 4 [app]"], "puma", "puma"),
            (&["unicorn master -l 127.0.0.1:8080 config.ru"], "unicorn", "unicorn"),
            (&["/usr/bin/ruby", "/usr/bin/thin", "start", "-p", "8080"], "thin", "thin"),
            (&["ruby", "/usr/local/bin/bundle", "exec", "thin", "start"], "bundle", "thin"),
            (&["sidekiq 6.4.1  [0 of 10 busy]"], "sidekiq", "sidekiq"),
            (&["node", "s.js"], "node", "node"),
            (
                &["/usr/bin/node", "--require", "/a/preflight.cjs", "--import", "file:///a.mjs", "../h.js"],
                "node",
                "node",
            ),
            (&["node", "s.js"], "MainThread", "node"),
            (&["node /app/app/h.js"], "node /app/app/h", "node"),
            (&["next-server (v14.2.35)"], "next-server (v1", "node"),
        ]);
    }

    #[test]
    fn databases_and_others_that_were_seen() {
        each_runs(&[
            (&["redis-server *:6379"], "redis-server", "redis"),
            (&["/app/bin/valkey-server *:6379"], "valkey-server", "redis"),
            (&["memcached", "-u", "nobody"], "memcached", "memcached"),
            (&["/usr/lib/postgresql/15/bin/postgres", "-D", "pg"], "postgres", "postgres"),
            (&["postgres: checkpointer "], "postgres", "postgres"),
            (&["mariadbd", "--no-defaults", "--user=mysql"], "mariadbd", "mysql"),
            (&["clickhouse-server", "--config-file=config.xml"], "clickhouse-serv", "clickhouse"),
            (&["etcd", "--data-dir", "d"], "etcd", "etcd"),
            (&["influxd"], "influxd", "influxdb"),
            (&["docker-registry", "serve", "reg.yml"], "docker-registry", "registry"),
            (&["/app/bin/nats-server", "-p", "4333"], "nats-server", "nats"),
            (&["sshd: /usr/sbin/sshd -D -e [listener] 0 of 10-100 startups"], "sshd", "sshd"),
            (&["/usr/sbin/dovecot", "-F"], "dovecot", "dovecot"),
            (&["lua5.4", "/usr/bin/prosody", "-F"], "lua5.4", "prosody"),
            (&["turnserver", "-n"], "turnserver", "coturn"),
            (&["runsvdir", "-P", "/etc/service"], "runsvdir", "runsvdir"),
            (
                &[
                    "/usr/lib/erlang/erts-13.1.5/bin/beam.smp",
                    "-progname",
                    "erl",
                    "--",
                    "-noinput",
                    "-s",
                    "rabbit",
                    "boot",
                ],
                "beam.smp",
                "rabbitmq",
            ),
            (&["/opt/couchdb/erts-8.3/bin/beam.smp", "--", "-progname", "couchdb", "--"], "beam.smp", "couchdb"),
            (
                &[
                    "/usr/bin/java",
                    "-XX:OnOutOfMemoryError=kill -9 %p",
                    "-cp",
                    "a:b",
                    "-Dx",
                    "kafka.Kafka",
                    "s.properties",
                ],
                "java",
                "kafka",
            ),
            (
                &["/usr/bin/java", "-classpath", "b.jar", "-Dx", "org.apache.catalina.startup.Bootstrap", "start"],
                "java",
                "tomcat",
            ),
        ]);
    }

    #[test]
    fn a_title_or_a_name_counts_only_where_comm_agrees() {
        for (cmdline, comm) in [
            (&["nginx: master process nginx"][..], "python3"),
            (&["nginx: master process nginx"], "node"),
            (&["nginx: exporter"], "nginx: exporter"),
            (&["postgres: a proxy"], "pgproxy"),
            (&["puma 5.6.5 (tcp://127.0.0.1:8080) [app]"], "python3"),
            (&["gunicorn: master [app:wsgi]"], "ruby"),
            (&["nginx", "-g", "daemon off;"], "python3"),
            (&["python3", "app.py"], "nginx"),
            (&["/app/my nginx"], "nginx"),
            (&["/usr/lib/erlang/bin/beam.smp", "-progname", "erl", "--", "-s", "app"], "beam.smp"),
        ] {
            assert_eq!(run_by(cmdline, comm), None, "{cmdline:?} {comm}");
        }
    }

    #[test]
    fn a_running_wrapper_is_not_the_server_that_it_starts() {
        for (cmdline, comm) in [
            (&["/bin/sh", "/usr/bin/mysqld_safe", "--user=mysql"][..], "mysqld_safe"),
            (&["/bin/sh", "/usr/sbin/apachectl", "-DFOREGROUND"], "apachectl"),
            (&["/bin/sh", "/usr/lib/rabbitmq/bin/rabbitmq-server"], "rabbitmq-server"),
            (&["sh", "-c", "nginx -g 'daemon off;'; echo"], "sh"),
            (&["su", "root", "-c", "nginx"], "su"),
            (&["tini", "--", "nginx"], "tini"),
            (&["uv", "run", "uvicorn"], "uv"),
            (&["timeout", "60", "nginx"], "timeout"),
            (&["npm start"], "npm start"),
            (&["node", "/usr/local/bin/yarn", "start"], "node"),
            (&["/usr/bin/python3", "/usr/bin/supervisord", "-n"], "supervisord"),
            (&[], "nginx"),
            (&[""], "nginx"),
        ] {
            assert_eq!(run_by(cmdline, comm), None, "{cmdline:?}");
        }
    }
}
