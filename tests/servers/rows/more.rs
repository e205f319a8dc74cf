//! Rows that only the table shows: they need more packages, or more time.

use crate::client::{Protocol, Step};
use crate::row::{PATH, Part, Row};

/// A row with the packages of `PyPI` in its PATH.
fn wheel(name: &str, server: &'static str, program: &str) -> Row {
    Row::new(name, server)
        .needs(&[&format!("{{E}}/venv/bin/{program}")])
        .env("PATH", &format!("{{E}}/venv/bin:{PATH}"))
        .file("app.py", include_str!("../files/app.py"))
}

pub fn proxies() -> Vec<Row> {
    let caddyfile = "{\n admin off\n auto_https off\n grace_period 20s\n}\n:8080 {\n handle /slow {\n  reverse_proxy 127.0.0.1:9000\n }\n handle {\n  respond \"hello\"\n }\n}\n";
    let caddy = |name: &str| {
        Row::new(name, "caddy (Debian)")
            .version("caddy version")
            .needs(&["/usr/bin/caddy"])
            .file("Caddyfile", caddyfile)
            .runs(["/usr/bin/caddy", "run", "--config", "{D}/Caddyfile", "--adapter", "caddyfile"])
    };
    let dynamic = "http:\n  routers:\n    all:\n      rule: PathPrefix(`/`)\n      service: app\n  services:\n    app:\n      loadBalancer:\n        servers:\n          - url: http://127.0.0.1:9000\n";
    let traefik = |name: &str| {
        wheel(name, "traefik", "traefik").version("traefik version").file("dynamic.yaml", dynamic).runs([
            "traefik",
            "--entrypoints.web.address=:8080",
            "--providers.file.filename={D}/dynamic.yaml",
        ])
    };
    let traefik_entrypoint = "#!/bin/sh\nset -e\nif [ \"${1#-}\" != \"$1\" ]; then set -- traefik \"$@\"; fi\nif traefik \"$1\" --help >/dev/null 2>&1; then set -- traefik \"$@\"; fi\nexec \"$@\"\n";
    let lighttpd = |name: &str, program: &str| {
        Row::new(name, "lighttpd")
            .version("lighttpd -v")
            .needs(&["lighttpd"])
            .file("index.html", "hello\n")
            .file(
                "l.conf",
                "server.port = 8080\nserver.document-root = \"{D}\"\nserver.modules = (\"mod_proxy\")\nindex-file.names = (\"index.html\")\nserver.feature-flags = (\"server.graceful-shutdown-timeout\" => 20)\n$HTTP[\"url\"] =~ \"^/slow\" { proxy.server = (\"\" => ((\"host\" => \"127.0.0.1\", \"port\" => 9000))) }\n",
            )
            .runs([program, "-D", "-f", "{D}/l.conf"])
    };
    let squid = |name: &str, lifetime: &str, option: &str| {
        Row::new(name, "squid")
            .version("squid -v")
            .needs(&["squid"])
            .file(
                "s.conf",
                &format!("http_port 8080 accel defaultsite=localhost no-vhost\ncache_peer 127.0.0.1 parent 9000 0 no-query originserver\nhttp_access allow all\ncache deny all\npid_filename {{D}}/squid.pid\ncache_log {{D}}/cache.log\naccess_log none\ncoredump_dir {{D}}\nvisible_hostname localhost\nshutdown_lifetime {lifetime}\n"),
            )
            .prepare("chown -R proxy {D}")
            .runs(["squid", option, "-f", "{D}/s.conf"])
    };
    let varnish = |name: &str| {
        Row::new(name, "varnish")
            .version("varnishd -V 2>&1")
            .needs(&["varnishd"])
            .runs(["varnishd", "-F", "-a", ":8080", "-b", "127.0.0.1:9000", "-n", "{D}/v", "-s", "malloc,32m"])
            .may_lose(&[Part::A, Part::B], "it knows no graceful stop: what lasts longer than the pre-delay is cut off")
    };
    let envoy = "static_resources:\n  listeners:\n  - address: {socket_address: {address: 0.0.0.0, port_value: 8080}}\n    filter_chains:\n    - filters:\n      - name: envoy.filters.network.http_connection_manager\n        typed_config:\n          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager\n          stat_prefix: front\n          route_config:\n            virtual_hosts:\n            - name: all\n              domains: [\"*\"]\n              routes:\n              - match: {prefix: /}\n                route: {cluster: app, timeout: 30s}\n          http_filters:\n          - name: envoy.filters.http.router\n            typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}\n  clusters:\n  - name: app\n    type: STATIC\n    load_assignment:\n      cluster_name: app\n      endpoints:\n      - lb_endpoints:\n        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 9000}}}\n";
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
            .file(
                "docker-varnish-entrypoint",
                "#!/bin/sh\nset -e\nif [ \"$#\" -eq 0 ] || [ \"${1#-}\" != \"$1\" ]; then\n set -- varnishd -F -a :8080 -b 127.0.0.1:9000 -n {D}/v -s malloc,32m \"$@\"\nfi\nexec \"$@\"\n",
            )
            .runs(["{D}/docker-varnish-entrypoint"]),
        Row::new("nghttpx", "nghttpx")
            .version("nghttpx --version")
            .needs(&["nghttpx"])
            .runs(["nghttpx", "-f*,8080;no-tls", "-b127.0.0.1,9000", "--workers=2", "--conf=/dev/null"]),
        Row::new("tinyproxy", "tinyproxy")
            .version("tinyproxy -v")
            .needs(&["tinyproxy"])
            .file("t.conf", "Port 8080\nTimeout 60\nReverseOnly Yes\nReversePath \"/\" \"http://127.0.0.1:9000/\"\nMaxClients 100\n")
            .runs(["tinyproxy", "-d", "-c", "{D}/t.conf"]),
        Row::new("h2o", "h2o")
            .version("h2o --version")
            .needs(&["h2o"])
            .file("h2o.conf", "listen: 8080\nuser: root\nhosts:\n  default:\n    paths:\n      /:\n        proxy.reverse.url: http://127.0.0.1:9000/\n")
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

pub fn python() -> Vec<Row> {
    let gunicorn = |name: &str| {
        wheel(name, "gunicorn (PyPI)", "gunicorn").version("gunicorn --version").runs([
            "gunicorn",
            "-w",
            "8",
            "-b",
            "0.0.0.0:8080",
            "app:wsgi",
        ])
    };
    let uvicorn = |name: &str| {
        wheel(name, "uvicorn (PyPI)", "uvicorn")
            .version("uvicorn --version")
            .runs(["uvicorn", "--host", "0.0.0.0", "--port", "8080", "app:asgi"])
    };
    let uwsgi = |name: &str, program: &'static str, more: &[&'static str]| {
        let words = [
            &[program][..],
            more,
            &["--http-socket", ":8080", "--master", "--processes", "2", "--threads", "8"],
            &["--wsgi-file", "{D}/app.py", "--callable", "wsgi"],
        ];
        let row = if program.starts_with('/') {
            Row::new(name, "uwsgi (Debian)").needs(&[program]).file("app.py", include_str!("../files/app.py"))
        } else {
            wheel(name, "uwsgi (PyPI)", program)
        };
        row.runs(words.concat())
    };
    let grace = "unix_signal:15 gracefully_kill_them_all";
    let fastapi = "import asyncio\nfrom fastapi import FastAPI\nfrom fastapi.responses import PlainTextResponse\napp = FastAPI()\n@app.get('/')\nasync def short():\n    return PlainTextResponse('hello\\n')\n@app.get('/slow')\nasync def slow():\n    await asyncio.sleep(4)\n    return PlainTextResponse('slow\\n' * 600)\n";
    let flask = "import time\nfrom flask import Flask\napp = Flask(__name__)\n@app.route('/')\ndef short():\n    return 'hello\\n'\n@app.route('/slow')\ndef slow():\n    time.sleep(4)\n    return 'slow\\n' * 600\n";
    let aiohttp = "import asyncio\nfrom aiohttp import web\nasync def short(_):\n    return web.Response(text='hello\\n')\nasync def slow(_):\n    await asyncio.sleep(4)\n    return web.Response(text='slow\\n' * 600)\napp = web.Application()\napp.add_routes([web.get('/', short), web.get('/slow', slow)])\nweb.run_app(app, port=8080)\n";
    let sanic = "import asyncio\nfrom sanic import Sanic, text\napp = Sanic('app')\n@app.get('/')\nasync def short(_):\n    return text('hello\\n')\n@app.get('/slow')\nasync def slow(_):\n    await asyncio.sleep(4)\n    return text('slow\\n' * 600)\n";
    let tornado = "import asyncio\nimport tornado.web\nclass Short(tornado.web.RequestHandler):\n    def get(self):\n        self.write('hello\\n')\nclass Slow(tornado.web.RequestHandler):\n    async def get(self):\n        await asyncio.sleep(4)\n        self.write('slow\\n' * 600)\nasync def main():\n    tornado.web.Application([('/', Short), ('/slow', Slow)]).listen(8080)\n    await asyncio.Event().wait()\nasyncio.run(main())\n";
    let gevent = "from gevent import monkey\nmonkey.patch_all()\nfrom gevent.pywsgi import WSGIServer\nfrom app import wsgi\nWSGIServer(('', 8080), wsgi, log=None).serve_forever()\n";
    vec![
        gunicorn("gunicorn-sync"),
        gunicorn("gunicorn-long").slow_seconds(4).asks(&[Part::A]),
        gunicorn("gunicorn-gthread")
            .runs(["gunicorn", "-w", "2", "--threads", "8", "-k", "gthread", "-b", "0.0.0.0:8080", "app:wsgi"]),
        gunicorn("gunicorn-uvicorn")
            .needs(&["{E}/venv/bin/uvicorn"])
            .runs(["gunicorn", "-w", "2", "-k", "uvicorn_worker.UvicornWorker", "-b", "0.0.0.0:8080", "app:asgi"]),
        gunicorn("uv-run")
            .needs(&["{E}/venv/bin/uv"])
            .behind(&["uv", "run", "--no-project", "--offline", "--python", "{E}/venv/bin/python"])
            .env("VIRTUAL_ENV", "{E}/venv"),
        gunicorn("poetry-run")
            .needs(&["{E}/venv/bin/poetry"])
            .env("VIRTUAL_ENV", "{E}/venv")
            .file("pyproject.toml", "[tool.poetry]\nname = \"app\"\nversion = \"0.1.0\"\ndescription = \"\"\nauthors = []\npackage-mode = false\n[tool.poetry.dependencies]\npython = \">=3.9\"\n")
            .behind(&["poetry", "run"]),
        gunicorn("otel").needs(&["{E}/venv/bin/opentelemetry-instrument"]).behind(&["opentelemetry-instrument"]),
        gunicorn("dotenv-run")
            .needs(&["{E}/venv/bin/dotenv"])
            .file(".env", "X=1\n")
            .behind(&["dotenv", "-f", ".env", "run", "--"]),
        uvicorn("uvicorn-wheel"),
        uvicorn("uvicorn-wheel-workers")
            .runs(["uvicorn", "--host", "0.0.0.0", "--port", "8080", "--workers", "2", "app:asgi"]),
        uvicorn("uvicorn-wheel-python-m")
            .runs(["python", "-m", "uvicorn", "--host", "0.0.0.0", "--port", "8080", "app:asgi"]),
        wheel("hypercorn-w2", "hypercorn", "hypercorn")
            .version("hypercorn --version || pip show hypercorn")
            .runs(["hypercorn", "-w", "2", "-b", "0.0.0.0:8080", "app:asgi"]),
        wheel("granian-asgi", "granian", "granian")
            .version("granian --version")
            .runs(["granian", "--interface", "asgi", "--port", "8080", "--host", "0.0.0.0", "app:asgi"]),
        wheel("granian-wsgi", "granian", "granian").version("granian --version").runs([
            "granian", "--interface", "wsgi", "--port", "8080", "--host", "0.0.0.0", "--blocking-threads", "8", "app:wsgi",
        ]),
        wheel("daphne", "daphne", "daphne")
            .version("pip show daphne")
            .runs(["daphne", "-b", "0.0.0.0", "-p", "8080", "app:asgi"]),
        wheel("waitress", "waitress", "waitress-serve")
            .version("pip show waitress")
            .runs(["waitress-serve", "--listen=*:8080", "--threads=8", "app:wsgi"]),
        wheel("cheroot", "cheroot", "cheroot")
            .version("pip show cheroot")
            .runs(["cheroot", "app:wsgi", "--bind", "0.0.0.0:8080", "--threads", "10"]),
        wheel("flask-run", "flask", "flask")
            .version("pip show flask")
            .file("fl.py", flask)
            .runs(["flask", "--app", "fl:app", "run", "--host", "0.0.0.0", "--port", "8080"]),
        wheel("fastapi-run", "fastapi", "fastapi")
            .version("pip show fastapi")
            .file("fa.py", fastapi)
            .runs(["fastapi", "run", "fa.py", "--port", "8080"]),
        wheel("aiohttp", "aiohttp", "python")
            .version("pip show aiohttp")
            .file("ai.py", aiohttp)
            .runs(["python", "ai.py"]),
        wheel("sanic", "sanic", "sanic")
            .version("pip show sanic")
            .file("sa.py", sanic)
            .runs(["sanic", "sa:app", "--host", "0.0.0.0", "--port", "8080"]),
        wheel("tornado", "tornado", "python")
            .version("pip show tornado")
            .file("to.py", tornado)
            .runs(["python", "to.py"]),
        wheel("gevent", "gevent", "python").version("pip show gevent").file("ge.py", gevent).runs(["python", "ge.py"]),
        Row::new("python-http.server", "http.server of CPython")
            .version("python3 --version")
            .file("index.html", "hello\n")
            .runs(["python3", "-m", "http.server", "8080"])
            .asks(&[Part::Short]),
        uwsgi("uwsgi-wheel", "uwsgi", &[]),
        uwsgi("uwsgi-wheel-dieonterm", "uwsgi", &["--die-on-term"]),
        uwsgi("uwsgi-wheel-gracehook", "uwsgi", &["--hook-master-start", grace]),
        uwsgi("pyuwsgi", "pyuwsgi", &[]),
        uwsgi("uwsgi-debian", "/usr/bin/uwsgi-core", &["--plugin", "python3"]).version("uwsgi-core --version"),
        uwsgi("uwsgi-debian-gracehook", "/usr/bin/uwsgi-core", &["--plugin", "python3", "--hook-master-start", grace])
            .version("uwsgi-core --version"),
        wheel("celery-wheel", "celery (PyPI)", "celery")
            .version("celery --version")
            .file("t.py", include_str!("../files/t.py"))
            .runs(["celery", "-A", "t", "worker", "-c", "4", "-l", "warning"])
            .speaks(Protocol::Jobs)
            .asks(&[Part::A]),
    ]
}

pub fn node() -> Vec<Row> {
    let node = |name: &str, program: &str| {
        Row::new(name, "node")
            .version("node --version")
            .needs(&["node", &format!("{{E}}/node/node_modules/.bin/{program}")])
            .env("PATH", &format!("{{E}}/node/node_modules/.bin:{PATH}"))
            .file("s.js", include_str!("../files/s.js"))
            .file(
                "package.json",
                "{\"name\": \"app\", \"version\": \"1.0.0\", \"scripts\": {\"start\": \"node s.js handler\"}}\n",
            )
            .counted("signals", "got SIGTERM", 1)
    };
    vec![
        node("yarn-start", "yarn").runs(["yarn", "start"]),
        node("pnpm-start", "pnpm").runs(["pnpm", "start"]),
        node("npx", "yarn").runs(["npx", "--no-install", "node", "s.js", "handler"]),
        node("pm2-runtime", "pm2-runtime").env("PM2_HOME", "{D}/.pm2").runs(["pm2-runtime", "s.js", "--", "handler"]),
        node("nodemon", "nodemon").runs(["nodemon", "--signal", "SIGTERM", "s.js", "handler"]),
        node("tsx", "tsx").runs(["tsx", "s.js", "handler"]),
    ]
}

pub fn ruby() -> Vec<Row> {
    let rack = |name: &str, server: &'static str, program: &str| {
        Row::new(name, server)
            .version(match server {
                "unicorn" => "unicorn --version",
                "thin" => "thin --version",
                _ => "puma --version",
            })
            .needs(&[program])
            .file("config.ru", include_str!("../files/config.ru"))
            .file("u.rb", "worker_processes 8\ntimeout 30\n")
    };
    let unicorn = ["unicorn", "-l", "0.0.0.0:8080", "-c", "u.rb", "config.ru"];
    vec![
        rack("unicorn", "unicorn", "unicorn").runs(unicorn),
        rack("unicorn-bundle", "unicorn", "unicorn")
            .needs(&["bundle"])
            .file("Gemfile", "gem 'unicorn'\ngem 'rack'\n")
            .prepare("bundle install --local")
            .runs(unicorn)
            .behind(&["bundle", "exec"]),
        rack("thin", "thin", "thin").runs([
            "thin",
            "start",
            "-a",
            "0.0.0.0",
            "-p",
            "8080",
            "-R",
            "config.ru",
            "--threaded",
        ]),
        rack("rackup", "rackup and puma", "rackup").runs([
            "rackup",
            "-o",
            "0.0.0.0",
            "-p",
            "8080",
            "-s",
            "puma",
            "config.ru",
        ]),
    ]
}

pub fn java() -> Vec<Row> {
    let tomcat = |name: &str, service: &str, connector: &str| {
        let server = format!(
            "<Server port=\"-1\"><Service name=\"Catalina\" {service}><Connector port=\"8080\" {connector}/><Engine name=\"Catalina\" defaultHost=\"localhost\"><Host name=\"localhost\" appBase=\"webapps\"/></Engine></Service></Server>\n"
        );
        let servlet = |name: &str, pattern: &str| {
            format!(
                "<servlet><servlet-name>{name}</servlet-name><jsp-file>/{name}.jsp</jsp-file><load-on-startup>1</load-on-startup></servlet><servlet-mapping><servlet-name>{name}</servlet-name><url-pattern>{pattern}</url-pattern></servlet-mapping>"
            )
        };
        let web = format!(
            "<web-app xmlns=\"https://jakarta.ee/xml/ns/jakartaee\" version=\"5.0\">{}{}</web-app>\n",
            servlet("slow", "/slow"),
            servlet("short", "")
        );
        Row::new(name, "tomcat")
            .version("java -cp /usr/share/tomcat10/lib/catalina.jar org.apache.catalina.util.ServerInfo")
            .needs(&["/usr/share/tomcat10/bin/catalina.sh", "java"])
            .env("CATALINA_HOME", "/usr/share/tomcat10")
            .env("CATALINA_BASE", "{D}")
            .env("JRE_HOME", "/usr")
            .file("conf/server.xml", &server)
            .file("webapps/ROOT/WEB-INF/web.xml", &web)
            .file("webapps/ROOT/slow.jsp", "<%@page buffer=\"64kb\" session=\"false\"%><% Thread.sleep(4000); out.print(\"slow\\n\".repeat(600)); %>")
            .file("webapps/ROOT/short.jsp", "<%@page buffer=\"64kb\" session=\"false\"%>hello\n")
            .prepare("cp /etc/tomcat10/web.xml conf/; mkdir logs temp work")
            .runs(["/usr/share/tomcat10/bin/catalina.sh", "run"])
    };
    let graceful = "gracefulStopAwaitMillis=\"20000\"";
    vec![
        tomcat("tomcat", "", ""),
        tomcat("tomcat-graceful", graceful, "bindOnInit=\"false\""),
        tomcat("tomcat-gsam-only", graceful, ""),
        tomcat("tomcat-start-noexec.sh", graceful, "").in_script("start.sh", "", ""),
    ]
}

pub fn stores() -> Vec<Row> {
    let at_once = "a database must save in time: it is told at once";
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
    };
    let postgres = |name: &str| {
        Row::new(name, "postgres")
            .version("/usr/lib/postgresql/*/bin/postgres --version")
            .needs(&["/usr/lib/postgresql", "gosu"])
            .prepare("ln -s $(ls -d /usr/lib/postgresql/*/bin | tail -1) bin; mkdir pg; chown postgres {D} pg; gosu postgres bin/initdb -D {D}/pg -A trust --no-sync")
            .file("docker-entrypoint.sh", "#!/bin/sh\nset -e\nif [ \"$(id -u)\" = 0 ]; then exec gosu postgres \"$0\" \"$@\"; fi\nexec \"$@\"\n")
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
            .prepare("mkdir my; chown mysql my; mariadb-install-db --no-defaults --user=mysql --datadir={D}/my --auth-root-authentication-method=normal")
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
    };
    let dns: &'static [u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01x\x04test\x00\x00\x01\x00\x01";
    let stun: &'static [u8] = b"\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl";
    vec![
        memcached("memcached"),
        memcached("memcached-noslow").asks(&[Part::Short]),
        postgres("postgres-entrypoint").behind(&["{D}/docker-entrypoint.sh"]),
        postgres("postgres-gosu").behind(&["gosu", "postgres"]),
        postgres("postgres-long").behind(&["gosu", "postgres"]).asks(&[Part::A]),
        mariadb("mariadbd", "mariadbd"),
        mariadb("mariadbd-safe", "mariadbd-safe"),
        Row::new("pgbouncer", "pgbouncer")
            .version("pgbouncer --version")
            .needs(&["pgbouncer", "gosu", "psql"])
            .prepare("chown postgres {D}")
            .file("pb.ini", "[databases]\n[pgbouncer]\nlisten_addr = 0.0.0.0\nlisten_port = 8080\nauth_type = any\nadmin_users = postgres\nunix_socket_dir = {D}\n")
            .runs(["gosu", "postgres", "pgbouncer", "{D}/pb.ini"])
            .speaks(Protocol::Commands { slow: "false", short: "psql -h 127.0.0.1 -p 8080 -U postgres pgbouncer -c 'show version'" })
            .asks(&[Part::Short]),
        Row::new("mosquitto", "mosquitto")
            .version("mosquitto -h")
            .needs(&["mosquitto"])
            .file("m.conf", "listener 8080\nallow_anonymous true\nuser root\n")
            .runs(["mosquitto", "-c", "{D}/m.conf"])
            .speaks(talk(
                &[Step::Send(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"), Step::Hear(b"\x20\x02\x00\x00")],
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
            .file("d.conf", "protocols = imap\nlisten = *\nssl = no\nlog_path = /dev/stderr\nmail_location = maildir:{D}/mail\npassdb {\n driver = static\n args = password=x\n}\nuserdb {\n driver = static\n args = uid=nobody gid=nogroup home={D}\n}\nservice imap-login {\n inet_listener imap {\n  port = 8080\n }\n inet_listener imaps {\n  port = 0\n }\n}\n")
            .runs(["dovecot", "-F", "-c", "{D}/d.conf"])
            .speaks(talk(
                &[Step::Hear(b"* OK")],
                &[Step::Pause, Step::Send(b"a NOOP\r\n"), Step::Hear(b"a OK")],
                &[Step::Send(b"a NOOP\r\n"), Step::Hear(b"a OK")],
            )),
        Row::new("sshd", "openssh")
            .version("/usr/sbin/sshd -V 2>&1 || true; dpkg-query --show openssh-server")
            .needs(&["sshd"])
            .prepare("ssh-keygen -q -t ed25519 -N '' -f {D}/key")
            .runs(["/usr/sbin/sshd", "-D", "-e", "-p", "8080", "-f", "/dev/null", "-h", "{D}/key"])
            .in_shell(&["sh", "-c"], "mkdir -p /run/sshd && exec ", "")
            .speaks(ssh.clone())
            .asks(&[Part::Short]),
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
            .file("v.conf", "listen=YES\nlisten_port=8080\nbackground=NO\nanonymous_enable=YES\nsecure_chroot_dir={D}/empty\nseccomp_sandbox=NO\n")
            .runs(["vsftpd", "{D}/v.conf"])
            .speaks(talk(&[Step::Hear(b"220")], &[], &[Step::Send(b"NOOP\r\n"), Step::Hear(b"530")]))
            .asks(&[Part::Short]),
        Row::new("dnsmasq", "dnsmasq (UDP)")
            .version("dnsmasq --version")
            .needs(&["dnsmasq"])
            .runs(["dnsmasq", "-k", "-p", "8080", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root", "--address=/x.test/192.0.2.1", "--pid-file={D}/pid"])
            .speaks(Protocol::Datagram(dns))
            .asks(&[Part::Short]),
        Row::new("unbound", "unbound (UDP)")
            .version("unbound -V")
            .needs(&["unbound"])
            .file("u.conf", "server:\n port: 8080\n interface: 0.0.0.0\n chroot: \"\"\n username: \"\"\n directory: \"{D}\"\n pidfile: \"{D}/pid\"\n do-daemonize: no\n use-syslog: no\n access-control: 127.0.0.0/8 allow\n local-zone: \"test.\" static\n local-data: \"x.test. A 192.0.2.1\"\nremote-control:\n control-enable: no\n")
            .runs(["unbound", "-d", "-c", "{D}/u.conf"])
            .speaks(Protocol::Datagram(dns))
            .asks(&[Part::Short]),
        Row::new("coturn", "coturn (UDP)")
            .version("dpkg-query --show coturn")
            .needs(&["turnserver"])
            .runs(["turnserver", "-n", "-L", "127.0.0.1", "-p", "8080", "--no-tls", "--no-dtls", "--no-cli", "--log-file", "stdout", "--pidfile", "{D}/pid", "--userdb", "{D}/db"])
            .speaks(Protocol::Datagram(stun))
            .asks(&[Part::Short]),
        Row::new("prosody", "prosody")
            .version("dpkg-query --show prosody")
            .needs(&["prosody"])
            .file("p.cfg.lua", "run_as_root = true\npidfile = \"{D}/pid\"\ndata_path = \"{D}\"\ndaemonize = false\nc2s_ports = { 8080 }\nc2s_require_encryption = false\nmodules_disabled = { \"s2s\" }\nlog = { info = \"*console\" }\nVirtualHost \"localhost\"\n")
            .runs(["prosody", "-F", "--config", "{D}/p.cfg.lua"])
            .speaks(talk(&[Step::Send(b"<?xml version='1.0'?><stream:stream to='localhost' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"), Step::Hear(b"stream:features")], &[], &[]))
            .asks(&[Part::Short]),
    ]
}
