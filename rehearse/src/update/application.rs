//! The server in each pod: nginx, or the embedded server if nginx is not installed.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::content::{CHUNK, SLOW, SlowAnswer, short_body};
use crate::failure::Failure;

/// The server that every pod of a rehearsal runs.
#[derive(Debug)]
pub(crate) struct Application {
    kind: ApplicationKind,
    slow: Duration,
}

#[derive(Debug)]
enum ApplicationKind {
    Nginx {
        program: PathBuf,
        version: String,
    },
    /// This program itself.
    Embedded {
        program: PathBuf,
    },
}

/// What the application needs to know about its pod.
#[derive(Debug)]
pub(crate) struct PodSpec {
    pub(crate) name: String,
    pub(crate) listen: SocketAddr,
    /// The directory of the files that all pods share, on this machine and as the pod sees it.
    pub(crate) files: PathBuf,
    pub(crate) files_in_pod: PathBuf,
    /// The directory where the pod may write, as it sees it.
    pub(crate) writable: PathBuf,
}

impl Application {
    pub(crate) fn nginx(program: PathBuf, version: String, slow: Duration) -> Self {
        Self { kind: ApplicationKind::Nginx { program, version }, slow }
    }

    pub(crate) fn embedded(slow: Duration) -> Result<Self, Failure> {
        let program = std::env::current_exe()
            .map_err(|error| Failure::not_measured(format!("cannot find this program's own file: {error}")))?;
        Ok(Self { kind: ApplicationKind::Embedded { program }, slow })
    }

    /// The name as part of a contender's name.
    pub(crate) fn name(&self) -> &'static str {
        match self.kind {
            ApplicationKind::Nginx { .. } => "nginx",
            ApplicationKind::Embedded { .. } => "embedded server",
        }
    }

    /// The name with the version.
    pub(crate) fn title(&self) -> String {
        match &self.kind {
            ApplicationKind::Nginx { version, .. } => version.clone(),
            ApplicationKind::Embedded { .. } => {
                format!("the embedded server of softstop-rehearse {}", env!("CARGO_PKG_VERSION"))
            }
        }
    }

    pub(crate) fn is_embedded(&self) -> bool {
        matches!(self.kind, ApplicationKind::Embedded { .. })
    }

    pub(crate) fn program(&self) -> &Path {
        match &self.kind {
            ApplicationKind::Nginx { program, .. } | ApplicationKind::Embedded { program } => program,
        }
    }

    /// Its command line, abbreviated for the report.
    pub(crate) fn command(&self) -> &'static str {
        match self.kind {
            ApplicationKind::Nginx { .. } => "nginx -c nginx.conf",
            ApplicationKind::Embedded { .. } => "softstop-rehearse serve",
        }
    }

    /// The SHA-256 of the short and of the slow body.
    pub(crate) fn hashes(&self) -> [[u8; 32]; 2] {
        [short_body(), SlowAnswer::lasting(self.slow).body()].map(|body| Sha256::digest(body).into())
    }

    /// Writes the files that all pods serve.
    pub(crate) fn write_files(&self, home: &Path) -> io::Result<()> {
        let files = home.join("www");
        fs::create_dir(&files)?;
        fs::write(files.join("short"), short_body())?;
        fs::write(files.join("slow"), SlowAnswer::lasting(self.slow).body())
    }

    /// The arguments of the server in a pod. Writes the configuration file that they name.
    pub(crate) fn arguments(&self, pod: &PodSpec) -> io::Result<Vec<String>> {
        match self.kind {
            ApplicationKind::Nginx { .. } => {
                let file = format!("{}.conf", pod.name);
                fs::write(pod.files.join(&file), self.nginx_configuration(pod))?;
                let file = pod.files_in_pod.join(file);
                Ok(["-e", "stderr", "-c", &file.to_string_lossy()].map(str::to_owned).into())
            }
            ApplicationKind::Embedded { .. } => {
                let slow = format!("{}ms", self.slow.as_millis());
                Ok(["serve", "--listen", &pod.listen.to_string(), "--slow", &slow].map(str::to_owned).into())
            }
        }
    }

    fn nginx_configuration(&self, pod: &PodSpec) -> String {
        let (listen, files, writable) = (pod.listen, pod.files_in_pod.display(), pod.writable.display());
        let rate = SlowAnswer::lasting(self.slow).rate();
        format!(
            r"daemon off;
user root;
worker_processes 2;
pid {writable}/nginx.pid;
lock_file {writable}/nginx.lock;
error_log stderr notice;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    client_body_temp_path {writable}/body;
    proxy_temp_path {writable}/proxy;
    fastcgi_temp_path {writable}/fastcgi;
    uwsgi_temp_path {writable}/uwsgi;
    scgi_temp_path {writable}/scgi;
    root {files}/www;
    server {{
        listen {listen};
        # Small chunks with short pauses: with whole seconds between large chunks the duration of an answer would vary too much.
        location = {SLOW} {{ limit_rate {rate}; sendfile_max_chunk {CHUNK}; }}
    }}
}}
"
        )
    }
}
