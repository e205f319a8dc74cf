//! Other proxies and web servers, which only the table shows.

use crate::row::{Part, Row};
use crate::rows::languages::wheel;

pub fn rows() -> Vec<Row> {
    let caddyfile = include_str!("../files/Caddyfile");
    let caddy = |name: &str| {
        Row::new(name, "caddy (Debian)")
            .version("caddy version")
            .needs(&["/usr/bin/caddy"])
            .file("Caddyfile", caddyfile)
            .runs(["/usr/bin/caddy", "run", "--config", "{D}/Caddyfile", "--adapter", "caddyfile"])
    };
    let dynamic = include_str!("../files/traefik.yaml");
    let traefik = |name: &str| {
        wheel(name, "traefik", "traefik").version("traefik version").file("dynamic.yaml", dynamic).runs([
            "traefik",
            "--entrypoints.web.address=:8080",
            "--providers.file.filename={D}/dynamic.yaml",
        ])
    };
    let traefik_entrypoint = include_str!("../files/traefik-entrypoint.sh");
    let lighttpd = |name: &str, program: &str| {
        Row::new(name, "lighttpd")
            .version("lighttpd -v")
            .needs(&["lighttpd"])
            .file("index.html", "hello\n")
            .file("lighttpd.conf", include_str!("../files/lighttpd.conf"))
            .runs([program, "-D", "-f", "{D}/lighttpd.conf"])
    };
    let squid = |name: &str, lifetime: &str, option: &str| {
        Row::new(name, "squid")
            .version("squid -v")
            .needs(&["squid"])
            .file("squid.conf", &include_str!("../files/squid.conf").replace("{LIFETIME}", lifetime))
            .prepare("chown -R proxy {D}")
            .runs(["squid", option, "-f", "{D}/squid.conf"])
    };
    let varnish = |name: &str| {
        Row::new(name, "varnish")
            .version("varnishd -V 2>&1")
            .needs(&["varnishd"])
            .runs(["varnishd", "-F", "-a", ":8080", "-b", "127.0.0.1:9000", "-n", "{D}/v", "-s", "malloc,32m"])
            .may_lose(&[Part::A, Part::B], "it knows no graceful stop: what lasts longer than the pre-delay is cut off")
    };
    let envoy = include_str!("../files/envoy.yaml");
    vec![
        caddy("caddy-debian"),
        caddy("caddy-start-noexec.sh").in_script("start.sh", "", ""),
        wheel("caddy-wheel", "caddy (PyPI)", "caddy")
            .version("caddy version")
            .file("Caddyfile", caddyfile)
            .runs(["caddy", "run", "--config", "{D}/Caddyfile", "--adapter", "caddyfile"]),
        traefik("traefik"),
        traefik("traefik-entrypoint").file("entrypoint.sh", traefik_entrypoint).behind(&["{D}/entrypoint.sh"]),
        traefik("traefik-entrypoint-flags")
            .file("entrypoint.sh", traefik_entrypoint)
            .runs(["{D}/entrypoint.sh", "--entrypoints.web.address=:8080", "--providers.file.filename={D}/dynamic.yaml"]),
        lighttpd("lighttpd", "lighttpd"),
        lighttpd("lighttpd-angel", "/usr/sbin/lighttpd-angel"),
        squid("squid-foreground", "20 seconds", "--foreground"),
        squid("squid-N", "20 seconds", "-N"),
        squid("squid-N-5", "5 seconds", "-N"),
        squid("squid-N-idle", "5 seconds", "-N").asks(&[]),
        varnish("varnish"),
        varnish("varnish-image-nocmd")
            .file("docker-varnish-entrypoint", include_str!("../files/docker-varnish-entrypoint"))
            .runs(["{D}/docker-varnish-entrypoint"]),
        Row::new("nghttpx", "nghttpx")
            .version("nghttpx --version")
            .needs(&["nghttpx"])
            .runs(["nghttpx", "-f*,8080;no-tls", "-b127.0.0.1,9000", "--workers=2", "--conf=/dev/null"]),
        Row::new("tinyproxy", "tinyproxy")
            .version("tinyproxy -v")
            .needs(&["tinyproxy"])
            .file("t.conf", "Port 8080\nTimeout 60\nReverseOnly Yes\nReversePath \"/\" \"http://127.0.0.1:9000/\"\nMaxClients 100\n")
            .runs(["tinyproxy", "-d", "-c", "{D}/t.conf"])
            .may_lose(&[Part::B], "tinyproxy catches SIGTERM, and leaves without finishing"),
        Row::new("h2o", "h2o")
            .version("h2o --version")
            .needs(&["h2o"])
            .file("h2o.conf", include_str!("../files/h2o.conf"))
            .runs(["h2o", "-c", "{D}/h2o.conf"]),
        wheel("envoy", "envoy", "envoy")
            .version("envoy --version")
            .file("envoy.yaml", envoy)
            .runs(["envoy", "-c", "{D}/envoy.yaml", "--use-dynamic-base-id", "--concurrency", "2"])
            .remark("envoy drains only when its admin interface is told to"),
        wheel("envoy-entrypoint", "envoy", "envoy")
            .version("envoy --version")
            .file("envoy.yaml", envoy)
            .runs(["envoy", "-c", "{D}/envoy.yaml", "--use-dynamic-base-id", "--concurrency", "2"])
            .in_entrypoint(),
    ]
}
