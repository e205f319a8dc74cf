//! Databases, brokers and workers: they wait by themselves, and must hear of the stop at once.

use crate::client::{Protocol, Step};
use crate::row::{Part, Row};

fn celery(name: &str) -> Row {
    Row::new(name, "celery (Debian)")
        .version("celery --version")
        .needs(&["/usr/bin/celery"])
        .file("t.py", include_str!("../files/t.py"))
        .runs(["celery", "-A", "t", "worker", "-c", "4", "-l", "warning"])
        .speaks(Protocol::Jobs)
        .asks(&[Part::A])
        .sends("SIGTERM", "celery")
        .counted("output", "Warm shutdown (MainProcess)", 1)
        .tini_keeps()
        .ends_no_slower_than_tini()
}

pub const REDIS: Protocol = Protocol::Talk {
    opening: &[],
    slow: &[Step::Send(b"BLPOP nothing 4\r\n"), Step::Hear(b"*-1\r\n")],
    short: &[Step::Send(b"PING\r\n"), Step::Hear(b"+PONG\r\n")],
};

fn redis(name: &str) -> Row {
    Row::new(name, "redis")
        .version("redis-server --version")
        .needs(&["redis-server"])
        .runs(["redis-server", "--port", "8080", "--bind", "0.0.0.0", "--dir", "{D}", "--protected-mode", "no"])
        .speaks(REDIS)
        .sends("SIGTERM", "redis-server")
        .counted("output", "Received SIGTERM scheduling shutdown", 1)
        .may_lose(&Part::ALL, "a database must save in time: it is told at once")
        .ends_no_slower_than_tini()
}

pub fn rows() -> Vec<Row> {
    vec![
        celery("celery").held(),
        celery("celery-python-m").runs(["python3", "-m", "celery", "-A", "t", "worker", "-c", "4", "-l", "warning"]),
        celery("celery-threads").runs(["celery", "-A", "t", "worker", "-P", "threads", "-c", "4", "-l", "warning"]),
        redis("redis").held(),
        redis("redis-gosu").needs(&["gosu"]).behind(&["gosu", "root"]),
        redis("redis-start-noexec.sh").in_script("start.sh", "", "").held(),
        Row::new("queue-worker", "a queue worker with a metrics port")
            .version("python3 --version")
            .needs(&["/usr/bin/python3"])
            .file("worker.py", include_str!("../files/worker.py"))
            .runs(["python3", "worker.py"])
            .speaks(Protocol::Jobs)
            .asks(&[Part::A])
            .sends("SIGTERM", "python3")
            .counted("signals", "got SIGTERM", 1)
            .tini_keeps()
            .ends_no_slower_than_tini()
            .held(),
    ]
}
