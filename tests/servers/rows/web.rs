//! Other web servers and proxies.

use crate::client::Protocol;
use crate::row::{Part, Row};

fn apache(name: &str, mpm: &str) -> Row {
    Row::new(name, "apache")
        .version("apache2 -v")
        .needs(&["apache2"])
        .file("apache.conf", &include_str!("../files/apache.conf").replace("{MPM}", mpm))
        .file("index.html", "hello\n")
        .runs(["apache2", "-f", "{D}/apache.conf", "-DFOREGROUND"])
        .sends("SIGWINCH", "apache2")
        .counted("error.log", "caught SIGWINCH, shutting down gracefully", 1)
}

fn haproxy(name: &str, options: &[&'static str]) -> Row {
    Row::new(name, "haproxy")
        .version("haproxy -v")
        .needs(&["haproxy"])
        .file("haproxy.cfg", include_str!("../files/haproxy.cfg"))
        .runs([&["haproxy"], options, &["-f", "{D}/haproxy.cfg"]].concat())
        .sends("SIGUSR1", "haproxy")
}

fn php(name: &str, listens: &str) -> Row {
    Row::new(name, "php-fpm")
        .version("/usr/sbin/php-fpm* -v")
        .needs(&["php-fpm*"])
        .file("fpm.conf", &include_str!("../files/fpm.conf").replace("{LISTEN}", listens))
        .file("slow.php", "<?php sleep(4); echo str_repeat(\"slow\\n\", 600);\n")
        .file("short.php", "hello\n")
        // As in its image; Debian's has its version in its name.
        .prepare("mkdir bin; ln -s /usr/sbin/php-fpm* bin/php-fpm")
        .runs(["{D}/bin/php-fpm", "-F", "-y", "{D}/fpm.conf"])
        .sends("SIGQUIT", "php-fpm")
        .counted("fpm.log", "Finishing ...", 1)
}

pub fn apache_rows() -> Vec<Row> {
    let event = apache("apache2-event", "event");
    vec![
        event.clone().held(),
        apache("apache2-prefork", "prefork").held(),
        event.form("apachectl").runs(["apachectl", "-f", "{D}/apache.conf", "-DFOREGROUND"]).held(),
        event.form("apache2ctl").runs(["apache2ctl", "-f", "{D}/apache.conf", "-DFOREGROUND"]),
        event.form("apachectl-entrypoint").runs(["apachectl", "-f", "{D}/apache.conf", "-DFOREGROUND"]).in_entrypoint(),
        event.form("apache2-long").slow_seconds(6).asks(&[Part::A]),
    ]
}

pub fn haproxy_rows() -> Vec<Row> {
    vec![
        haproxy("haproxy-db", &["-db"]).held(),
        haproxy("haproxy-Ws", &["-Ws"]).held(),
        haproxy("haproxy-W", &["-W"]).held(),
        haproxy("haproxy-W-db", &["-W", "-db"]),
        haproxy("haproxy-entrypoint", &["-W", "-db"]).in_entrypoint(),
        haproxy("haproxy-W-db-long", &["-W", "-db"]).slow_seconds(6).asks(&[Part::A]),
        haproxy("haproxy-W-db-kaslow", &["-W", "-db"]).speaks(Protocol::HttpBehindShort).asks(&[Part::A]),
    ]
}

pub fn php_rows() -> Vec<Row> {
    let entrypoint = "#!/bin/sh\nset -e\nif [ \"${1#-}\" != \"$1\" ]; then set -- php-fpm \"$@\"; fi\nexec \"$@\"\n";
    let fpm = php("php-fpm", "0.0.0.0:8080").speaks(Protocol::FastCgi("127.0.0.1:8080"));
    let beside = |name: &str, script: &str| {
        php(name, "127.0.0.1:9001")
            .needs(&["nginx"])
            .file("web.conf", include_str!("../files/web.conf"))
            .file("start.sh", script)
            .runs(["{D}/start.sh"])
            .sends("SIGQUIT", "nginx")
    };
    let both = "{D}/bin/php-fpm -F -y {D}/fpm.conf &\nnginx -c {D}/web.conf -e {D}/error.log";
    vec![
        fpm.clone().held(),
        fpm.form("php-fpm-entrypoint")
            .file("docker-php-entrypoint", entrypoint)
            .env("PATH", "{D}/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .runs(["{D}/docker-php-entrypoint", "php-fpm", "-F", "-y", "{D}/fpm.conf"])
            .held(),
        beside("nginx+php-fpm", &format!("#!/bin/sh\n{both} &\nwait\n")).held(),
        // The server in front is the script's last command.
        beside("nginx+php-fpm-front", &format!("#!/bin/sh\n{both}\n")).held(),
        php("php-fpm-unix", "{D}/fpm.sock")
            .speaks(Protocol::FastCgi("{D}/fpm.sock"))
            .may_lose(&[Part::B, Part::Short], "softstop sees no traffic of a Unix socket: set a pre-delay"),
        fpm.form("php-fpm-default")
            .file(
                "fpm.conf",
                &include_str!("../files/fpm.conf")
                    .replace("{LISTEN}", "0.0.0.0:8080")
                    .replace("process_control_timeout = 20s\n", ""),
            )
            .remark("without process_control_timeout SIGQUIT cuts off, too"),
    ]
}
