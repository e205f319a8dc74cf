//! The table of known servers.
//!
//! The comment on each row names the manual or the source file that it is taken from, and the versions that were tried: run and
//! stopped with three requests in flight.

use std::time::Duration;

use super::{Finishes, Names, PreDelay, Profile, Runtime};
use crate::shutdown::Activity;
use crate::signal::Signal;

/// A server behind a balancer. It finishes its requests on its stop signal.
const fn web(name: &'static str, programs: Names, stop_signal: Signal) -> Profile {
    Profile {
        name,
        aliases: &[],
        programs,
        modules: &[],
        runtime: None,
        stop_signal,
        slow_stop: None,
        pre_delay: PreDelay::BehindBalancer,
        finishes: Finishes::Yes,
        quiet_means: Activity::Requests,
        once_idle: None,
        ok_on_stop: &[],
        note: None,
    }
}

/// A server behind a balancer. It cuts its requests off on its stop signal, so only the pre-delay protects its clients.
const fn cuts(name: &'static str, programs: Names, stop_signal: Signal) -> Profile {
    Profile { finishes: Finishes::No, quiet_means: Activity::Traffic, ..web(name, programs, stop_signal) }
}

/// A database, a broker or a worker. There is no pre-delay: its clients never stop sending, and it waits by itself for what it
/// has to finish.
const fn backend(name: &'static str, programs: Names, stop_signal: Signal) -> Profile {
    Profile { pre_delay: PreDelay::None, finishes: Finishes::Unknown, ..web(name, programs, stop_signal) }
}

/// A JVM exits with 143 after a clean stop on SIGTERM.
const fn java(name: &'static str, programs: Names, modules: Names) -> Profile {
    Profile { modules, runtime: Some(Runtime::Java), ok_on_stop: &[143], ..backend(name, programs, Signal::TERM) }
}

const fn on(runtime: Runtime, profile: Profile) -> Profile {
    Profile { runtime: Some(runtime), ..profile }
}

/// The table, in the order `--list-profiles` prints it.
pub const PROFILES: &[Profile] = &[
    // Web servers and proxies.
    //
    // nginx.org, "Controlling nginx": QUIT is the graceful shutdown, TERM the fast one. OpenResty extends nginx, Angie is a
    // fork of it. Tried: nginx 1.22.
    Profile {
        aliases: &["openresty", "angie"],
        note: Some(
            "set worker_shutdown_timeout, or long connections (websockets) hold the drain for ever; run it with `daemon off;`",
        ),
        ..web("nginx", &["nginx", "nginx-debug", "openresty", "angie"], Signal::QUIT)
    },
    // httpd.apache.org, "Stopping and Restarting": WINCH is graceful-stop, TERM kills the children at once. apachectl is a
    // shell script that waits for httpd. Tried: 2.4.71.
    Profile {
        aliases: &["apache", "apache2"],
        note: Some(
            "set GracefulShutdownTimeout, which is 0 (for ever) by default; softstop does not pass on a terminal's resize",
        ),
        ..web(
            "httpd",
            &["httpd", "apache2", "httpd-foreground", "apache2-foreground", "apachectl", "apache2ctl"],
            Signal::WINCH,
        )
    },
    // HAProxy's Management Guide, 4 "Stopping and restarting": USR1 is the graceful stop, TERM the immediate one. Tried: 2.6.
    Profile {
        note: Some("set hard-stop-after, or one long connection holds the drain for ever"),
        ..web("haproxy", &["haproxy"], Signal::USR1)
    },
    // caddyserver.com, "Command Line", Signals: TERM and INT are graceful, QUIT is immediate. FrankenPHP is Caddy with PHP
    // built in. Tried: Caddy 2.11.
    Profile {
        aliases: &["frankenphp"],
        note: Some(
            "set grace_period, which is unlimited by default; leave shutdown_delay unset, since the pre-delay replaces it",
        ),
        ..web("caddy", &["caddy", "frankenphp"], Signal::TERM)
    },
    // doc.traefik.io, "EntryPoints", lifeCycle. Tried: 3.7.
    Profile {
        note: Some(
            "graceTimeOut (10 s) is its own limit; leave requestAcceptGraceTimeout at 0, since the pre-delay replaces it",
        ),
        ..web("traefik", &["traefik"], Signal::TERM)
    },
    // envoyproxy.io, "Draining" and "Administration interface": on TERM it exits at once, only its admin interface can make it
    // drain. Tried: 1.40 cuts off on TERM and INT.
    Profile {
        note: Some("only its admin interface makes it drain: POST /drain_listeners?graceful before the stop"),
        ..cuts("envoy", &["envoy"], Signal::TERM)
    },
    // lighttpd's src/server.c: INT is graceful, a second INT and TERM are immediate. lighttpd-angel passes both on. Tried:
    // 1.4.69, both.
    Profile {
        note: Some("run it with -D; server.graceful-shutdown-timeout is its own limit"),
        ..web("lighttpd", &["lighttpd", "lighttpd-angel"], Signal::INT)
    },
    // squid(8) and squid.conf's shutdown_lifetime: on TERM it waits for clients, on INT it does not. Tried: 5.7 waits for
    // shutdown_lifetime and 2 s more even if it is idle; a second TERM ends it within 1.3 s, and cuts off what is under way.
    Profile {
        once_idle: Some(Signal::TERM),
        note: Some(
            "without softstop it takes shutdown_lifetime (30 s) and 2 s more to stop, even if it is idle: keep that below the drain timeout; run it with --foreground",
        ),
        ..web("squid", &["squid"], Signal::TERM)
    },
    // varnishd's mgt_main.c: TERM stops its child, which does not drain. Tried: 7.1.
    Profile {
        aliases: &["varnishd"],
        note: Some("it has no graceful stop: only the pre-delay protects its clients; run it with -F"),
        ..cuts("varnish", &["varnishd"], Signal::TERM)
    },
    // nghttpx(1), SIGNALS: QUIT is the graceful shutdown. Tried: 1.52; TERM cuts off.
    web("nghttpx", &["nghttpx"], Signal::QUIT),
    // Apache Traffic Server's traffic_server.cc and "records.yaml": on TERM it drains for proxy.config.stop.shutdown_timeout,
    // which is 0 by default. Tried: 9.2 cuts off by default.
    Profile {
        finishes: Finishes::Unknown,
        note: Some("set proxy.config.stop.shutdown_timeout above 0 (its default), or it cuts requests off"),
        ..web("trafficserver", &["traffic_server", "traffic_manager"], Signal::TERM)
    },
    // pgbouncer.org, "Usage", Signals: on INT it waits for the queries under way. On TERM it exits at once before 1.23, and
    // since then waits until every client has left. Tried: 1.18.
    Profile {
        note: Some("SIGTERM cuts transactions off before 1.23; since then it waits until every client has left"),
        ..web("pgbouncer", &["pgbouncer"], Signal::INT)
    },
    // Application servers.
    //
    // php-fpm(8): QUIT is the graceful stop, TERM the immediate one.
    Profile {
        aliases: &["php"],
        finishes: Finishes::Unknown,
        note: Some(
            "set process_control_timeout above 0 (its default), or its children are killed in the middle of a request",
        ),
        ..web("php-fpm", &["php-fpm"], Signal::QUIT)
    },
    // php.net, "Built-in web server": for development. Tried: `php -S` of 8.2 does not handle TERM.
    on(Runtime::Php, cuts("php-server", &[], Signal::TERM)),
    // docs.gunicorn.org, "Signal Handling": TERM is graceful, QUIT and INT are quick. Tried: 20.1 and 27.0.
    Profile {
        note: Some("graceful_timeout (30 s) is gunicorn's own limit: keep it below the drain timeout"),
        ..on(Runtime::Python, web("gunicorn", &["gunicorn"], Signal::TERM))
    },
    // uvicorn's server.py: TERM and INT are graceful, and it then raises the signal again. `fastapi run` starts it. Tried:
    // 0.54; with --workers it exits with 0.
    Profile {
        ok_on_stop: &[143],
        note: Some("set --timeout-graceful-shutdown, or one long request holds the drain for ever"),
        ..on(Runtime::Python, web("uvicorn", &["uvicorn", "fastapi"], Signal::TERM))
    },
    // hypercorn's run.py: as soon as one worker has finished, the others are terminated. Tried: 0.18 with 2 workers cuts off
    // in half of the stops, with TERM and with INT; with one worker it does not.
    Profile {
        finishes: Finishes::Unknown,
        note: Some("with more than one worker it cuts requests off; graceful_timeout (3 s) is its own limit"),
        ..on(Runtime::Python, web("hypercorn", &["hypercorn"], Signal::TERM))
    },
    // granian's server/common.py: TERM and INT are graceful. Tried: 2.8.
    on(Runtime::Python, web("granian", &["granian"], Signal::TERM)),
    // daphne's server.py leaves TERM and INT to Twisted's reactor, which exits at once. Tried: 4.2.
    on(Runtime::Python, cuts("daphne", &["daphne"], Signal::TERM)),
    // waitress's server.py ends its loop on KeyboardInterrupt and lets its threads finish; TERM kills it. Tried: 3.0.
    Profile { modules: &["waitress"], ..on(Runtime::Python, web("waitress", &["waitress-serve"], Signal::INT)) },
    // cheroot's server.py: KeyboardInterrupt stops it gracefully, and the interpreter raises INT again; TERM kills it. Tried:
    // 12.0. CherryPy, which uses cheroot, has signals of its own.
    Profile { ok_on_stop: &[130], ..on(Runtime::Python, web("cheroot", &["cheroot"], Signal::INT)) },
    UWSGI,
    // werkzeug's serving.py: for development. Tried: flask 3.1 does not handle TERM, and cuts off on INT.
    Profile { aliases: &["werkzeug"], ..on(Runtime::Python, cuts("flask", &["flask"], Signal::TERM)) },
    // Django's autoreload.py: for development; on TERM it calls sys.exit().
    on(Runtime::Python, cuts("runserver", &[], Signal::TERM)),
    // Python's http/server.py: for development. Tried: 3.11 does not handle TERM.
    Profile { modules: &["http.server"], ..on(Runtime::Python, cuts("http.server", &[], Signal::TERM)) },
    // puma's docs/signals.md and docs/kubernetes.md. Tried: 5.6.
    Profile {
        ok_on_stop: &[143],
        note: Some("exits with 143 after a clean stop unless `raise_exception_on_sigterm false` is set"),
        ..on(Runtime::Ruby, web("puma", &["puma"], Signal::TERM))
    },
    // unicorn's SIGNALS file: QUIT is graceful, TERM and INT are quick. Tried: 6.0.
    on(Runtime::Ruby, web("unicorn", &["unicorn", "unicorn_rails"], Signal::QUIT)),
    // thin's server.rb: QUIT and TERM are graceful, INT is immediate. Tried: 1.8.
    on(Runtime::Ruby, web("thin", &["thin"], Signal::QUIT)),
    // nodejs.org, process "Signal events". Next.js, ts-node and tsx run on it under their own names.
    Profile {
        aliases: &["nodejs"],
        runtime: Some(Runtime::Node),
        finishes: Finishes::Unknown,
        note: Some("Node.js ends at once on SIGTERM: the application must handle it and call server.close()"),
        ..web("node", &["node", "nodejs", "next", "next-server", "ts-node", "tsx"], Signal::TERM)
    },
    // Tomcat's "The Service Component", gracefulStopAwaitMillis. Tried: 10.1 cuts off by default; with it nothing was lost.
    Profile {
        pre_delay: PreDelay::BehindBalancer,
        note: Some("set gracefulStopAwaitMillis on its <Service>, or it cuts requests off"),
        ..java("tomcat", &["catalina.sh"], &["org.apache.catalina.startup.Bootstrap"])
    },
    // The JVM runs its shutdown hooks on TERM; QUIT is a thread dump.
    Profile {
        pre_delay: PreDelay::BehindBalancer,
        note: Some(
            "the application must finish its requests in a shutdown hook (Spring Boot: server.shutdown=graceful)",
        ),
        ..java("java", &["java"], &[])
    },
    // distribution's registry.go handles TERM only if http.draintimeout is set. Tried: 2.8.
    Profile {
        finishes: Finishes::Unknown,
        note: Some("set http.draintimeout, or it cuts requests off"),
        ..web("registry", &["registry", "docker-registry"], Signal::TERM)
    },
    // Grafana's pkg/cmd/grafana-server/commands/cli.go: TERM and INT shut its services down.
    Profile { finishes: Finishes::Unknown, ..web("grafana", &["grafana", "grafana-server"], Signal::TERM) },
    // Databases, caches, brokers and workers.
    //
    // memcached.c: TERM and INT exit at once.
    Profile { pre_delay: PreDelay::RequestsUnderWay, ..cuts("memcached", &["memcached"], Signal::TERM) },
    // redis.io, "Redis signal handling". Valkey and KeyDB are forks of it. Tried: Redis 7.0, Valkey 9.1.
    Profile {
        aliases: &["valkey"],
        note: Some("shutdown-timeout (10 s) is its wait for lagging replicas: keep it below the drain timeout"),
        ..backend(
            "redis",
            &["redis-server", "redis-sentinel", "valkey-server", "valkey-sentinel", "keydb-server"],
            Signal::TERM,
        )
    },
    // postgresql.org, "Shutting Down the Server": INT is the fast shutdown, which aborts transactions and ends cleanly; on TERM
    // it waits until every client has left.
    Profile {
        aliases: &["postgresql"],
        finishes: Finishes::No,
        note: Some(
            "SIGINT aborts running queries on purpose: SIGTERM would wait for every client to leave; the shutdown checkpoint can take minutes: give it a long grace period",
        ),
        ..backend("postgres", &["postgres", "postmaster"], Signal::INT)
    },
    // dev.mysql.com, "Unix Signal Handling in MySQL": TERM shuts down. mysqld_safe is a shell that ignores TERM and waits for
    // it.
    Profile {
        aliases: &["mariadb"],
        finishes: Finishes::No,
        note: Some("flushing the buffer pool can take minutes: give it a long grace period"),
        ..backend("mysql", &["mysqld", "mariadbd", "mysqld_safe", "mariadbd-safe"], Signal::TERM)
    },
    // mongodb.com, "shutdown": on TERM it quiesces for up to 15 s, then ends what still runs.
    Profile {
        aliases: &["mongod"],
        note: Some("shutdownTimeoutMillisForSignaledShutdown (15 s) is its own limit: keep it below the drain timeout"),
        ..backend("mongodb", &["mongod", "mongos"], Signal::TERM)
    },
    // clickhouse.com, "Server Settings", shutdown_wait_unfinished. Tried: 18.16.
    backend("clickhouse", &["clickhouse-server"], Signal::TERM),
    // cockroachlabs.com, "Node Shutdown": TERM drains the node.
    Profile {
        aliases: &["cockroachdb"],
        note: Some("its drain can take minutes: give it a long grace period"),
        ..backend("cockroach", &["cockroach"], Signal::TERM)
    },
    // Cassandra's StorageService.java drains in a shutdown hook.
    java("cassandra", &["cassandra"], &["org.apache.cassandra.service.CassandraDaemon"]),
    // Elasticsearch's bin/elasticsearch and CliToolLauncher.java, whose hook stops the server. OpenSearch is its fork.
    Profile {
        aliases: &["opensearch"],
        ..java(
            "elasticsearch",
            &["elasticsearch", "opensearch"],
            &[
                "org.elasticsearch.bootstrap.Elasticsearch",
                "org.elasticsearch.launcher.CliToolLauncher",
                "org.opensearch.bootstrap.OpenSearch",
            ],
        )
    },
    // Neo4j's NeoBootstrapper.java handles TERM and INT.
    java(
        "neo4j",
        &["neo4j"],
        &[
            "org.neo4j.server.CommunityEntryPoint",
            "org.neo4j.server.Neo4jCommunity",
            "com.neo4j.server.enterprise.EnterpriseEntryPoint",
            "com.neo4j.server.enterprise.Neo4jEnterprise",
        ],
    ),
    // erlang.org, kernel's erl_signal_server: TERM is init:stop().
    on(Runtime::Erlang, backend("couchdb", &["couchdb"], Signal::TERM)),
    // influxdb's cmd/influxd: TERM and INT are graceful. Tried: 1.6.
    backend("influxdb", &["influxd", "influxdb"], Signal::TERM),
    // etcd's pkg/osutil/interrupt_unix.go runs its handlers on TERM and raises the signal again. Tried: 3.4.
    Profile { ok_on_stop: &[143], ..backend("etcd", &["etcd"], Signal::TERM) },
    // ZooKeeper's ZooKeeperServerMain.java. Tried: 3.8.
    java(
        "zookeeper",
        &["zkServer.sh", "zookeeper-server-start.sh"],
        &["org.apache.zookeeper.server.quorum.QuorumPeerMain", "org.apache.zookeeper.server.ZooKeeperServerMain"],
    ),
    // developer.hashicorp.com, Consul's "Agent configuration": leave_on_terminate decides whether TERM leaves the cluster.
    backend("consul", &["consul"], Signal::TERM),
    // Vault's command/server.go: TERM and INT seal it and step down.
    backend("vault", &["vault"], Signal::TERM),
    // MinIO's cmd/signals.go: TERM and INT shut the HTTP server down.
    backend("minio", &["minio"], Signal::TERM),
    // Prometheus's cmd/prometheus/main.go: TERM and INT are graceful. Tried: 2.42.
    backend("prometheus", &["prometheus"], Signal::TERM),
    // rabbitmq.com, "Upgrading", and OTP: TERM is init:stop(), which stops the node in order. Tried: 3.10.
    Profile {
        modules: &["rabbit"],
        note: Some("`rabbitmq-upgrade drain` before the stop moves queue leaders and clients away"),
        ..on(Runtime::Erlang, backend("rabbitmq", &["rabbitmq-server"], Signal::TERM))
    },
    // Kafka's Kafka.scala: a shutdown hook does the controlled shutdown.
    java(
        "kafka",
        &["kafka-server-start.sh", "kafka-server-start", "connect-distributed.sh", "connect-standalone.sh"],
        &[
            "kafka.Kafka",
            "org.apache.kafka.connect.cli.ConnectDistributed",
            "org.apache.kafka.connect.cli.ConnectStandalone",
        ],
    ),
    // docs.nats.io, "Signals": TERM shuts down, USR2 is the lame-duck mode. Tried: 2.9 exits with 1 on TERM, 2.14 with 0.
    Profile {
        // The default of lame_duck_duration.
        slow_stop: Some((Signal::USR2, Duration::from_secs(120))),
        ok_on_stop: &[1],
        note: Some(
            "SIGUSR2 is its lame-duck mode, which moves clients away for lame_duck_duration (2 min): it needs a longer grace period",
        ),
        ..backend("nats", &["nats-server"], Signal::TERM)
    },
    // mosquitto's src/signals.c: TERM and INT save and exit. Tried: 2.0.
    backend("mosquitto", &["mosquitto"], Signal::TERM),
    // Celery's User Guide, "Workers": TERM is the warm shutdown, QUIT the cold one. Tried: 5.7.
    Profile {
        finishes: Finishes::Yes,
        note: Some(
            "a task may take as long as it likes: give it a grace period that fits the longest; do not use target = \"group\"",
        ),
        ..on(Runtime::Python, backend("celery", &["celery", "celeryd"], Signal::TERM))
    },
    // Sidekiq's wiki, "Signals": TSTP takes no more jobs, TERM ends within `timeout` and pushes the rest back. Tried: 6.4.
    Profile {
        finishes: Finishes::Yes,
        note: Some(
            "timeout (25 s) is its own limit, after which jobs go back into the queue; keep it below the drain timeout",
        ),
        ..on(Runtime::Ruby, backend("sidekiq", &["sidekiq"], Signal::TERM))
    },
    // elastic.co, "Shutting down Logstash": TERM stops its inputs and drains its pipelines.
    java("logstash", &["logstash"], &["org.logstash.Logstash"]),
    // Telegraf's cmd/telegraf: TERM and INT flush and exit.
    backend("telegraf", &["telegraf"], Signal::TERM),
    // docs.fluentd.org, "Signals": TERM and INT flush and exit; fluentbit.io, "Grace", 5 s.
    Profile { aliases: &["fluent-bit"], ..backend("fluentd", &["fluentd", "fluent-bit"], Signal::TERM) },
    // Others. No balancer moves their clients away.
    //
    // dovecot(1), SIGNALS: TERM. Tried: 2.3.
    backend("dovecot", &["dovecot"], Signal::TERM),
    // OpenSSH's sshd.c: TERM ends the listener. Its sessions end with the container. Tried: 9.2.
    backend("sshd", &["sshd"], Signal::TERM),
    // vsftpd does not handle TERM. Tried: 3.0.
    Profile { finishes: Finishes::No, ok_on_stop: &[143], ..backend("vsftpd", &["vsftpd"], Signal::TERM) },
    // dnsmasq.c: TERM exits. Tried: 2.90.
    backend("dnsmasq", &["dnsmasq"], Signal::TERM),
    // unbound's daemon/worker.c: TERM exits. Tried: 1.17.
    backend("unbound", &["unbound"], Signal::TERM),
    // coturn does not handle TERM. Tried: 4.6.
    Profile { ok_on_stop: &[143], ..backend("coturn", &["turnserver"], Signal::TERM) },
    // prosody's mod_posix.lua: TERM closes its streams.
    on(Runtime::Lua, backend("prosody", &["prosody"], Signal::TERM)),
    // runsvdir(8): HUP sends TERM to every service and exits with 111; TERM exits and leaves them running. Tried: 2.1.
    Profile {
        finishes: Finishes::No,
        ok_on_stop: &[111],
        note: Some("it sends its services SIGTERM"),
        ..backend("runsvdir", &["runsvdir", "runsvdir-start"], Signal::HUP)
    },
    SHELL,
    // systemd(1), SIGNALS: RTMIN+3 starts halt.target, TERM re-executes the manager.
    Profile {
        note: Some("it must be PID 1 itself: give the image no softstop, or only one outside its PID namespace"),
        ..backend("systemd", &["systemd"], Signal::realtime(3))
    },
];

/// uwsgi-docs, "Managing the uWSGI server" and "Things to know": TERM reloads unless `die-on-term` is set, HUP reloads, INT
/// kills the stack at once. None of them lets requests finish. Tried: 2.0.21 and 2.0.30.
const UWSGI: Profile = Profile {
    note: Some(
        "only hook-master-start = \"unix_signal:15 gracefully_kill_them_all\" makes it graceful: write it as an argument; in a file it needs stop_signal = \"TERM\" too",
    ),
    ..on(Runtime::Python, cuts("uwsgi", &["uwsgi", "uwsgi-core", "uwsgi_python", "pyuwsgi", "uWSGI"], Signal::INT))
};

/// uWSGI with the hook that makes TERM graceful: see "Hooks" in its documentation, `unix_signal` and
/// `gracefully_kill_them_all`.
pub(super) const GRACEFUL_UWSGI: &Profile = &Profile {
    stop_signal: Signal::TERM,
    finishes: Finishes::Yes,
    quiet_means: Activity::Requests,
    note: None,
    ..UWSGI
};

/// bash(1), SIGNALS: an interactive shell ignores TERM and exits on HUP, which it sends to its jobs.
pub(super) const SHELL: Profile = backend("shell", &[], Signal::HUP);
