//! A pod: softstop as PID 1 and nginx below it, in a PID namespace and a network namespace of their own, with a link to the
//! namespace of the thread that starts it.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};

use common::namespace::in_linked_network;
use common::{Running, eventually, softstop, words};
use tempfile::TempDir;

use super::client::Client;

/// The address from which all pods are called.
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);

pub struct Pod {
    pub run: Running,
    pub address: SocketAddr,
    /// Keeps the namespace when the pod has ended, so that a connection is refused as long as requests come.
    _network: File,
    _home: TempDir,
}

impl Pod {
    /// Starts one and waits until it answers. Its number must be new in this namespace.
    pub fn start(number: u16, options: &[String]) -> Self {
        let [high, low] = number.to_be_bytes();
        let address = Ipv4Addr::new(10, 99, high + 1, low);
        let (run, network, home) = in_linked_network(&format!("pod{number}"), CLIENT, address, || {
            let home = TempDir::new().unwrap();
            let command = nginx(&home);
            let options = options.iter().map(String::as_str).chain(["--"]);
            let run = softstop(words(options, &command)).pid_one().start();
            (run, File::open("/proc/thread-self/ns/net").unwrap(), home)
        });
        let address = (address, 80).into();
        let pod = Self { run, address, _network: network, _home: home };
        eventually("nginx answers", || {
            assert!(pod.run.is_running(), "{:?}", pod.run.stderr.all());
            Client::of(address).ask_once(false).ok()
        });
        pod
    }
}

/// The command line of an nginx with one worker, which answers with 1 kB.
fn nginx(home: &TempDir) -> [String; 3] {
    let body = "0123456789abcdef".repeat(64);
    let file = home.path().join("nginx.conf");
    let home = home.path().display();
    let configuration = format!(
        r#"
        daemon off;
        user root;
        worker_processes 1;
        pid {home}/nginx.pid;
        lock_file {home}/nginx.lock;
        error_log stderr;
        events {{ worker_connections 64; }}
        http {{
            access_log off;
            client_body_temp_path {home}/body;
            proxy_temp_path {home}/proxy;
            fastcgi_temp_path {home}/fastcgi;
            uwsgi_temp_path {home}/uwsgi;
            scgi_temp_path {home}/scgi;
            server {{
                listen 0.0.0.0:80;
                location = / {{ return 200 "{body}"; }}
            }}
        }}
        "#
    );
    fs::write(&file, configuration).unwrap();
    ["nginx".into(), "-c".into(), file.to_str().unwrap().into()]
}
