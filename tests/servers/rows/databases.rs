//! Databases, brokers and other servers that speak no HTTP, which only the table shows.

use crate::client::{Protocol, Step};
use crate::row::{Part, Row};
use crate::rows::languages::wheel;

pub fn rows() -> Vec<Row> {
    let at_once = "a database must save in time: it is told at once";
    let udp = "softstop sees no UDP: set a pre-delay";
    let memcached = |name: &str| {
        Row::new(name, "memcached")
            .version("memcached --version")
            .needs(&["memcached"])
            .runs(["memcached", "-u", "nobody", "-l", "0.0.0.0", "-p", "8080"])
            .speaks(Protocol::Talk {
                opening: &[],
                slow: &[
                    Step::Send(b"set k 0 0 5\r\n"),
                    Step::Pause,
                    Step::Send(b"hello\r\n"),
                    Step::Hear(b"STORED\r\n"),
                ],
                short: &[Step::Send(b"version\r\n"), Step::Hear(b"VERSION")],
            })
            .may_lose(&[Part::B], "memcached catches SIGTERM, and leaves without finishing a command that is half sent")
    };
    let postgres = |name: &str| {
        Row::new(name, "postgres")
            .version("/usr/lib/postgresql/*/bin/postgres --version")
            .needs(&["/usr/lib/postgresql", "gosu"])
            .prepare("ln -s $(ls -d /usr/lib/postgresql/*/bin | tail -1) bin")
            .prepare("mkdir pg; chown postgres {D} pg; gosu postgres bin/initdb -D {D}/pg -A trust --no-sync")
            .file("docker-entrypoint.sh", include_str!("../files/postgres-entrypoint.sh"))
            .runs(["{D}/bin/postgres", "-D", "{D}/pg", "-p", "8080", "-k", "{D}", "-c", "listen_addresses=*"])
            .speaks(Protocol::Commands {
                slow: "{D}/bin/psql -h 127.0.0.1 -p 8080 -U postgres -c 'select pg_sleep(4)'",
                short: "{D}/bin/psql -h 127.0.0.1 -p 8080 -U postgres -c 'select 1'",
            })
            .may_lose(&Part::ALL, "SIGINT aborts running queries on purpose: SIGTERM would wait for every client")
    };
    let mariadb = |name: &str, program: &str| {
        Row::new(name, "mariadb")
            .version("mariadbd --version")
            .needs(&["mariadbd"])
            .prepare("mkdir my; chown mysql my")
            .prepare("mariadb-install-db --no-defaults --user=mysql --datadir={D}/my --auth-root-authentication-method=normal")
            .runs([
                program,
                "--no-defaults",
                "--user=mysql",
                "--datadir={D}/my",
                "--port=8080",
                "--socket={D}/my/s.sock",
                "--bind-address=0.0.0.0",
                "--pid-file={D}/my/pid",
            ])
            .speaks(Protocol::Commands {
                slow: "mariadb --no-defaults -h 127.0.0.1 -P 8080 -u root -e 'select sleep(4)' | grep -q '^0'",
                short: "mariadb --no-defaults -h 127.0.0.1 -P 8080 -u root -e 'select 1'",
            })
            .may_lose(&Part::ALL, at_once)
    };
    let talk = |opening: &'static [Step], slow: &'static [Step], short: &'static [Step]| Protocol::Talk {
        opening,
        slow,
        short,
    };
    let ssh = talk(&[Step::Hear(b"SSH-2.0-")], &[], &[]);
    let nats = |row: Row| {
        row.version("nats-server --version").runs(["nats-server", "-a", "0.0.0.0", "-p", "8080"]).speaks(talk(
            &[Step::Hear(b"INFO"), Step::Send(b"CONNECT {\"verbose\":false}\r\n")],
            &[Step::Pause, Step::Send(b"PING\r\n"), Step::Hear(b"PONG")],
            &[Step::Send(b"PING\r\n"), Step::Hear(b"PONG")],
        ))
        .may_lose(&Part::ALL, "its clients go to another one when it closes: it is told at once, by SIGTERM unless its lame-duck time fits")
    };
    let dns: &'static [u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01x\x04test\x00\x00\x01\x00\x01";
    let stun: &'static [u8] = b"\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl";
    vec![
        memcached("memcached"),
        memcached("memcached-noslow").asks(&[Part::Short]),
        postgres("postgres-entrypoint").behind(&["{D}/docker-entrypoint.sh"]),
        postgres("postgres-gosu").behind(&["gosu", "postgres"]),
        mariadb("mariadbd", "mariadbd"),
        mariadb("mariadbd-safe", "mariadbd-safe")
            .remark("it ignores SIGTERM: under tini it does not stop, and loses nothing until the platform kills it"),
        Row::new("pgbouncer", "pgbouncer")
            .version("pgbouncer --version")
            .needs(&["pgbouncer", "gosu", "psql"])
            .prepare("chown postgres {D}")
            .file("pgbouncer.ini", include_str!("../files/pgbouncer.ini"))
            .runs(["gosu", "postgres", "pgbouncer", "{D}/pgbouncer.ini"])
            .speaks(Protocol::Commands { slow: "false", short: "psql -h 127.0.0.1 -p 8080 -U postgres pgbouncer -c 'show version'" })
            .asks(&[Part::Short]),
        Row::new("mosquitto", "mosquitto")
            .version("mosquitto -h")
            .needs(&["mosquitto"])
            .file("m.conf", "listener 8080\nallow_anonymous true\nuser root\n")
            .runs(["mosquitto", "-c", "{D}/m.conf"])
            .speaks(talk(
                &[Step::Send(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"), Step::Hear(b"\x20\x02\x00\x00")],
                &[],
                &[Step::Send(b"\xc0\x00"), Step::Hear(b"\xd0\x00")],
            ))
            .asks(&[Part::Short])
            .may_lose(&[Part::Short], at_once),
        nats(Row::new("nats-debian", "nats-server (Debian)").needs(&["nats-server"])),
        nats(wheel("nats-wheel", "nats-server (PyPI)", "nats-server")),
        Row::new("rabbitmq", "rabbitmq")
            .version("dpkg-query --show rabbitmq-server")
            .needs(&["/usr/lib/rabbitmq/bin/rabbitmq-server", "gosu"])
            .prepare("chown rabbitmq {D}")
            .env("RABBITMQ_MNESIA_BASE", "{D}/mnesia")
            .env("RABBITMQ_LOG_BASE", "{D}/log")
            .env("RABBITMQ_NODE_PORT", "8080")
            .env("RABBITMQ_NODENAME", "rabbit@localhost")
            .runs(["gosu", "rabbitmq", "/usr/lib/rabbitmq/bin/rabbitmq-server"])
            .speaks(talk(&[Step::Send(b"AMQP\x00\x00\x09\x01"), Step::Hear(b"product")], &[], &[]))
            .asks(&[Part::Short])
            .may_lose(&[Part::Short], at_once),
        Row::new("etcd", "etcd")
            .version("etcd --version")
            .needs(&["etcd"])
            .runs([
                "etcd", "--listen-client-urls", "http://0.0.0.0:8080", "--advertise-client-urls", "http://127.0.0.1:8080",
                "--data-dir", "{D}/etcd",
            ])
            .speaks(Protocol::HttpAt("/health"))
            .asks(&[Part::Short])
            .may_lose(&[Part::Short], at_once),
        Row::new("beanstalkd", "beanstalkd")
            .version("beanstalkd -v")
            .needs(&["beanstalkd"])
            .runs(["beanstalkd", "-l", "0.0.0.0", "-p", "8080"])
            .speaks(talk(
                &[],
                &[Step::Send(b"reserve-with-timeout 4\r\n"), Step::Hear(b"TIMED_OUT")],
                &[Step::Send(b"use x\r\n"), Step::Hear(b"USING")],
            )),
        Row::new("dovecot", "dovecot")
            .version("dovecot --version")
            .needs(&["dovecot"])
            .file("dovecot.conf", include_str!("../files/dovecot.conf"))
            .runs(["dovecot", "-F", "-c", "{D}/dovecot.conf"])
            .speaks(talk(
                &[Step::Hear(b"* OK")],
                &[Step::Pause, Step::Send(b"a NOOP\r\n"), Step::Hear(b"a OK")],
                &[Step::Send(b"a NOOP\r\n"), Step::Hear(b"a OK")],
            ))
            .may_lose(&[Part::B, Part::Short], "a mailbox is waited for at its connection's end only: its clients log in again"),
        Row::new("sshd", "openssh")
            .version("/usr/sbin/sshd -V 2>&1 || true; dpkg-query --show openssh-server")
            .needs(&["sshd"])
            .prepare("ssh-keygen -q -t ed25519 -N '' -f {D}/key")
            .runs(["/usr/sbin/sshd", "-D", "-e", "-p", "8080", "-f", "/dev/null", "-h", "{D}/key"])
            .in_shell(&["sh", "-c"], "mkdir -p /run/sshd && exec ", "")
            .speaks(ssh.clone())
            .asks(&[Part::Short])
            .may_lose(&[Part::Short], "sshd hands each session to a process of its own, and accepts no more at once"),
        Row::new("dropbear", "dropbear")
            .version("dropbear -V 2>&1")
            .needs(&["dropbear"])
            .prepare("dropbearkey -t ed25519 -f {D}/key")
            .runs(["dropbear", "-F", "-E", "-r", "{D}/key", "-p", "8080", "-P", "{D}/pid"])
            .speaks(ssh)
            .asks(&[Part::Short]),
        Row::new("vsftpd", "vsftpd")
            .version("dpkg-query --show vsftpd")
            .needs(&["vsftpd"])
            .prepare("mkdir empty")
            .file("vsftpd.conf", include_str!("../files/vsftpd.conf"))
            .runs(["vsftpd", "{D}/vsftpd.conf"])
            .speaks(talk(&[Step::Hear(b"220")], &[], &[Step::Send(b"NOOP\r\n"), Step::Hear(b"530")]))
            .asks(&[Part::Short])
            .may_lose(&[Part::Short], "it has no graceful stop, and an FTP session never goes quiet: it is told at once"),
        Row::new("dnsmasq", "dnsmasq (UDP)")
            .version("dnsmasq --version")
            .needs(&["dnsmasq"])
            .runs(["dnsmasq", "-k", "-p", "8080", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root", "--address=/x.test/192.0.2.1", "--pid-file={D}/pid"])
            .speaks(Protocol::Datagram(dns))
            .asks(&[Part::Short])
            .may_lose(&[Part::Short], udp),
        Row::new("unbound", "unbound (UDP)")
            .version("unbound -V")
            .needs(&["unbound"])
            .file("unbound.conf", include_str!("../files/unbound.conf"))
            .runs(["unbound", "-d", "-c", "{D}/unbound.conf"])
            .speaks(Protocol::Datagram(dns))
            .asks(&[Part::Short])
            .may_lose(&[Part::Short], udp),
        Row::new("coturn", "coturn (UDP)")
            .version("dpkg-query --show coturn")
            .needs(&["turnserver"])
            .runs(["turnserver", "-n", "-L", "127.0.0.1", "-p", "8080", "--no-tls", "--no-dtls", "--no-cli", "--log-file", "stdout", "--pidfile", "{D}/pid", "--userdb", "{D}/db"])
            .speaks(Protocol::Datagram(stun))
            .asks(&[Part::Short])
            .may_lose(&[Part::Short], udp),
        Row::new("prosody", "prosody")
            .version("dpkg-query --show prosody")
            .needs(&["prosody"])
            .file("prosody.cfg.lua", include_str!("../files/prosody.cfg.lua"))
            .runs(["prosody", "-F", "--config", "{D}/prosody.cfg.lua"])
            .speaks(talk(&[Step::Send(b"<?xml version='1.0'?><stream:stream to='localhost' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"), Step::Hear(b"stream:features")], &[], &[]))
            .asks(&[Part::Short])
            .may_lose(&[Part::Short], "no profile names lua, and a stream of XMPP never goes quiet"),
    ]
}
