//! Servers and starters of Python, Node.js, Ruby and Java, which only the table shows: they need more packages.

use crate::client::Protocol;
use crate::row::{PATH, Part, Row};
use crate::rows::apps::UVICORN_WORKERS;

/// A row with the packages of `PyPI` in its PATH.
pub fn wheel(name: &str, server: &'static str, program: &str) -> Row {
    Row::new(name, server)
        .needs(&[&format!("{{E}}/venv/bin/{program}")])
        .env("PATH", &format!("{{E}}/venv/bin:{PATH}"))
        .file("app.py", include_str!("../files/app.py"))
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
    let fastapi = include_str!("../files/fa.py");
    let flask = include_str!("../files/fl.py");
    let aiohttp = include_str!("../files/ai.py");
    let sanic = include_str!("../files/sa.py");
    let tornado = include_str!("../files/to.py");
    let gevent = include_str!("../files/ge.py");
    vec![
        gunicorn("gunicorn-sync"),
        gunicorn("gunicorn-gthread").runs([
            "gunicorn",
            "-w",
            "2",
            "--threads",
            "8",
            "-k",
            "gthread",
            "-b",
            "0.0.0.0:8080",
            "app:wsgi",
        ]),
        gunicorn("gunicorn-uvicorn").needs(&["{E}/venv/bin/uvicorn"]).runs([
            "gunicorn",
            "-w",
            "2",
            "-k",
            "uvicorn_worker.UvicornWorker",
            "-b",
            "0.0.0.0:8080",
            "app:asgi",
        ]),
        gunicorn("uv-run")
            .needs(&["{E}/venv/bin/uv"])
            .behind(&["uv", "run", "--no-project", "--offline", "--python", "{E}/venv/bin/python"])
            .env("VIRTUAL_ENV", "{E}/venv"),
        gunicorn("poetry-run")
            .needs(&["{E}/venv/bin/poetry"])
            .env("VIRTUAL_ENV", "{E}/venv")
            .file("pyproject.toml", include_str!("../files/pyproject.toml"))
            .behind(&["poetry", "run"]),
        gunicorn("otel").needs(&["{E}/venv/bin/opentelemetry-instrument"]).behind(&["opentelemetry-instrument"]),
        gunicorn("dotenv-run")
            .needs(&["{E}/venv/bin/dotenv"])
            .file(".env", "X=1\n")
            .behind(&["dotenv", "-f", ".env", "run", "--"]),
        uvicorn("uvicorn-wheel"),
        uvicorn("uvicorn-wheel-workers").runs(UVICORN_WORKERS),
        uvicorn("uvicorn-wheel-python-m")
            .runs(["python", "-m", "uvicorn", "--host", "0.0.0.0", "--port", "8080", "app:asgi"]),
        wheel("hypercorn-w2", "hypercorn", "hypercorn").version("hypercorn --version || pip show hypercorn").runs([
            "hypercorn",
            "-w",
            "2",
            "-b",
            "0.0.0.0:8080",
            "app:asgi",
        ]),
        wheel("granian-asgi", "granian", "granian").version("granian --version").runs([
            "granian",
            "--interface",
            "asgi",
            "--port",
            "8080",
            "--host",
            "0.0.0.0",
            "app:asgi",
        ]),
        wheel("granian-wsgi", "granian", "granian").version("granian --version").runs([
            "granian",
            "--interface",
            "wsgi",
            "--port",
            "8080",
            "--host",
            "0.0.0.0",
            "--blocking-threads",
            "8",
            "app:wsgi",
        ]),
        wheel("daphne", "daphne", "daphne")
            .version("pip show daphne")
            .runs(["daphne", "-b", "0.0.0.0", "-p", "8080", "app:asgi"]),
        wheel("waitress", "waitress", "waitress-serve").version("pip show waitress").runs([
            "waitress-serve",
            "--listen=*:8080",
            "--threads=8",
            "app:wsgi",
        ]),
        wheel("cheroot", "cheroot", "cheroot").version("pip show cheroot").env("PYTHONPATH", "{D}").runs([
            "cheroot",
            "app:wsgi",
            "--bind",
            "0.0.0.0:8080",
            "--threads",
            "10",
        ]),
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
        let server =
            include_str!("../files/tomcat/server.xml").replace("{SERVICE}", service).replace("{CONNECTOR}", connector);
        Row::new(name, "tomcat")
            .version("java -cp /usr/share/tomcat10/lib/catalina.jar org.apache.catalina.util.ServerInfo")
            .needs(&["/usr/share/tomcat10/bin/catalina.sh", "java"])
            .env("CATALINA_HOME", "/usr/share/tomcat10")
            .env("CATALINA_BASE", "{D}")
            .env("JRE_HOME", "/usr")
            .file("conf/server.xml", &server)
            .file("webapps/ROOT/WEB-INF/web.xml", include_str!("../files/tomcat/web.xml"))
            .file("webapps/ROOT/slow.jsp", include_str!("../files/tomcat/slow.jsp"))
            .file("webapps/ROOT/short.jsp", include_str!("../files/tomcat/short.jsp"))
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
