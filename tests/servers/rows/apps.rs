//! Application servers, and applications that serve by themselves.

use crate::client::Protocol;
use crate::row::{Part, Row};

fn gunicorn(name: &str) -> Row {
    Row::new(name, "gunicorn (Debian)")
        .version("gunicorn --version")
        .needs(&["/usr/bin/gunicorn"])
        .file("app.py", include_str!("../files/app.py"))
        .runs(["gunicorn", "-w", "2", "--threads", "8", "-k", "gthread", "-b", "0.0.0.0:8080", "app:wsgi"])
        .sends("SIGTERM", "gunicorn")
        .counted("output", "Handling signal: term", 1)
}

/// uvicorn with a master and two workers.
pub const UVICORN_WORKERS: [&str; 8] = ["uvicorn", "--host", "0.0.0.0", "--port", "8080", "--workers", "2", "app:asgi"];

fn uvicorn(name: &str) -> Row {
    Row::new(name, "uvicorn (Debian)")
        .version("uvicorn --version")
        .needs(&["/usr/bin/uvicorn"])
        .file("app.py", include_str!("../files/app.py"))
        .runs(["uvicorn", "--host", "0.0.0.0", "--port", "8080", "app:asgi"])
        .sends("SIGTERM", "uvicorn")
        .counted("output", "Shutting down", 1)
}

pub fn python_rows() -> Vec<Row> {
    let plain = Row::new("python-plain", "http.server of CPython")
        .version("python3 --version")
        .needs(&["/usr/bin/python3"])
        .file("plain.py", include_str!("../files/plain.py"))
        .runs(["python3", "plain.py"])
        .sends("SIGTERM", "python3")
        .code(143)
        .held();
    vec![
        gunicorn("gunicorn").held(),
        gunicorn("gunicorn-python-m")
            .runs(["python3", "-m", "gunicorn", "-w", "8", "-b", "0.0.0.0:8080", "app:wsgi"])
            .held(),
        gunicorn("gunicorn-start-noexec.sh").in_script("start.sh", "", "").held(),
        uvicorn("uvicorn").held(),
        uvicorn("uvicorn-python-m")
            .runs(["python3", "-m", "uvicorn", "--host", "0.0.0.0", "--port", "8080", "app:asgi"])
            .held(),
        uvicorn("uvicorn-workers").runs(UVICORN_WORKERS),
        plain.clone(),
        plain.form("python-plain-start-noexec.sh").in_script("start.sh", "", ""),
        plain
            .form("python-graceful")
            .file("graceful.py", include_str!("../files/graceful.py"))
            .runs(["python3", "graceful.py"])
            .code(0)
            .counted("signals", "got SIGTERM", 1),
        // Nobody has ever called it, so nobody has to hear of it.
        plain.form("python-uncalled").speaks(Protocol::Nobody).asks(&[]).ends_no_slower_than_tini(),
        // A wrapper that passes SIGTERM on and leaves.
        plain
            .form("python-trap-leaves.sh")
            .runs(["python3", "plain.py", "count"])
            .in_script("start.sh", "", "&\nchild=$!\ntrap 'kill -TERM $child; exit 0' TERM\nwait")
            .sends_only("SIGTERM", "start.sh")
            .code(0)
            .counted("signals", "got SIGTERM", 1),
    ]
}

fn node(name: &str) -> Row {
    Row::new(name, "node").version("node --version").needs(&["node"]).file("s.js", include_str!("../files/s.js"))
}

fn npm(name: &str, script: &str) -> Row {
    let package = format!("{{\"name\": \"app\", \"version\": \"1.0.0\", \"scripts\": {{\"start\": \"{script}\"}}}}\n");
    node(name)
        .needs(&["npm"])
        .env("NPM_CONFIG_UPDATE_NOTIFIER", "false")
        .file("package.json", &package)
        .runs(["npm", "start"])
        .sends("SIGTERM", "node")
}

pub fn node_rows() -> Vec<Row> {
    let handler = node("node-handler").runs(["node", "s.js", "handler"]).sends("SIGTERM", "node").counted(
        "signals",
        "got SIGTERM",
        1,
    );
    let plain = node("node-plain").runs(["node", "s.js"]).sends("SIGTERM", "node").code(143);
    vec![
        handler.clone().held(),
        plain.clone().held(),
        npm("npm-start", "node s.js handler").counted("signals", "got SIGTERM", 1).held(),
        npm("npm-start-plain", "node s.js").code(143).held(),
        npm("npm-run", "node s.js handler").runs(["npm", "run", "start"]),
        npm("npm-entrypoint", "node s.js handler").in_entrypoint(),
        npm("npm-start-noexec.sh", "node s.js handler").in_script("start.sh", "", ""),
        handler.form("node-entrypoint").in_entrypoint(),
        handler
            .form("node-image-script")
            .file("docker-entrypoint.sh", "#!/bin/sh\nset -e\nset -- node \"$@\"\nexec \"$@\"\n")
            .runs(["{D}/docker-entrypoint.sh", "s.js", "handler"]),
        handler.form("node-handler-kaslow").speaks(Protocol::HttpBehindShort).asks(&[Part::A]),
    ]
}

fn puma(name: &str) -> Row {
    Row::new(name, "puma (Debian)")
        .version("puma --version")
        .needs(&["puma"])
        .file("config.ru", include_str!("../files/config.ru"))
        .runs(["puma", "-b", "tcp://0.0.0.0:8080", "-t", "8:8", "{D}/config.ru"])
        .sends("SIGTERM", "puma")
        .counted("output", "Gracefully stopping, waiting for requests to finish", 1)
}

pub fn ruby_rows() -> Vec<Row> {
    let bundled = |name: &str| {
        puma(name).needs(&["bundle"]).file("Gemfile", "gem 'puma'\ngem 'rack'\n").prepare("bundle install --local")
    };
    vec![
        puma("puma").held(),
        bundled("puma-bundle").behind(&["bundle", "exec"]).held(),
        bundled("puma-bundle-cluster").runs([
            "bundle",
            "exec",
            "puma",
            "-w",
            "2",
            "-b",
            "tcp://0.0.0.0:8080",
            "-t",
            "8:8",
            "{D}/config.ru",
        ]),
        puma("puma-ruby").runs(["ruby", "/usr/bin/puma", "-b", "tcp://0.0.0.0:8080", "-t", "8:8", "{D}/config.ru"]),
        puma("puma-kaslow").speaks(Protocol::HttpBehindShort).asks(&[Part::A]),
    ]
}

pub fn go_rows() -> Vec<Row> {
    let go = |name: &str| {
        Row::new(name, "net/http of Go").version("go version").needs(&["{GO}"]).sends("SIGTERM", "go-server")
    };
    vec![
        go("go-plain")
            .runs(["{GO}"])
            .code(143)
            .may_lose(&[Part::B], "every Go program catches SIGTERM, so nothing shows that this one cannot finish")
            .held(),
        go("go-shutdown").runs(["{GO}", "shutdown"]).counted("signals", "got SIGTERM", 1).held(),
        go("go-start-noexec.sh").runs(["{GO}", "shutdown"]).in_script("start.sh", "", "").counted(
            "signals",
            "got SIGTERM",
            1,
        ),
    ]
}

pub fn java_rows() -> Vec<Row> {
    let java = |name: &str| {
        Row::new(name, "HttpServer of the JDK")
            .version("java -version 2>&1")
            .needs(&["java"])
            .file("S.java", include_str!("../files/S.java"))
            .sends("SIGTERM", "java")
    };
    vec![
        java("java-plain").runs(["java", "S.java"]),
        java("java-hook").runs(["java", "S.java", "hook"]),
        java("java-start-noexec.sh").runs(["java", "S.java", "hook"]).in_script("start.sh", "", ""),
    ]
}

/// The good citizen and the rude one: `examples/graceful_server.rs` and `tests/fixtures/server.rs`.
pub fn rust_rows() -> Vec<Row> {
    let graceful = Row::new("graceful-server", "examples/graceful_server.rs")
        .needs(&["{X}/graceful_server"])
        .runs(["{X}/graceful_server"])
        .sends("SIGTERM", "graceful_server")
        .counted("output", "got SIGTERM", 1);
    let rude = Row::new("rude-server", "a server without a handler")
        .needs(&["{X}/server"])
        .runs(["{X}/server", "--listen", "0.0.0.0:8080"])
        .sends("SIGTERM", "server")
        .code(143);
    vec![
        graceful.clone().held(),
        graceful.form("graceful-start-noexec.sh").in_script("start.sh", "", "").held(),
        rude.clone().held(),
        rude.form("rude-start-noexec.sh").in_script("start.sh", "", "").held(),
    ]
}
