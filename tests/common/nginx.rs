//! A real nginx that writes only to a directory of its own.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::eventually;
use super::http::{Lost, big, free_port, get, is_up};

/// The rate of `/trickle`, in bytes a second.
const TRICKLE: usize = 64 * 1024;
/// How long `/trickle` takes, in seconds.
const TRICKLES_FOR: usize = 6;

/// An nginx that is configured but not started.
#[derive(Debug)]
pub struct Nginx {
    directory: TempDir,
    /// The port on which it listens.
    pub port: u16,
    settings: String,
}

impl Nginx {
    /// With these lines at the top of its configuration.
    pub fn with(settings: &str) -> Self {
        let directory = TempDir::new().unwrap();
        fs::create_dir(directory.path().join("files")).unwrap();
        fs::write(directory.path().join("files/big"), big()).unwrap();
        fs::write(directory.path().join("files/trickle"), Self::trickle()).unwrap();
        let nginx = Self { directory, port: free_port(), settings: settings.to_owned() };
        nginx.says("first");
        nginx
    }

    /// In the foreground, as in a container.
    pub fn new() -> Self {
        Self::with("daemon off;")
    }

    /// Rewrites its configuration so that `/` answers with this word.
    pub fn says(&self, word: &str) {
        let Self { port, settings, .. } = self;
        let home = self.directory.path().to_str().unwrap();
        let configuration = format!(
            r#"
            {settings}
            user root;
            worker_processes 2;
            pid {home}/nginx.pid;
            lock_file {home}/nginx.lock;
            error_log {home}/error.log notice;
            events {{ worker_connections 256; }}
            http {{
                access_log off;
                client_body_temp_path {home}/body;
                proxy_temp_path {home}/proxy;
                fastcgi_temp_path {home}/fastcgi;
                uwsgi_temp_path {home}/uwsgi;
                scgi_temp_path {home}/scgi;
                root {home}/files;
                server {{
                    listen 127.0.0.1:{port};
                    location = / {{ return 200 "{word}"; }}
                    location = /big {{ }}
                    location = /trickle {{ limit_rate {TRICKLE}; }}
                }}
            }}
            "#
        );
        fs::write(self.file(), configuration).unwrap();
    }

    pub fn file(&self) -> PathBuf {
        self.directory.path().join("nginx.conf")
    }

    /// `nginx -c FILE`.
    pub fn command(&self) -> [String; 3] {
        ["nginx".into(), "-c".into(), self.file().to_str().unwrap().into()]
    }

    /// The body of `/trickle`, which takes some seconds however fast the client reads.
    pub fn trickle() -> &'static [u8] {
        &big()[..TRICKLE * TRICKLES_FOR]
    }

    /// A request over a new connection.
    pub fn get(&self) -> Result<Vec<u8>, Lost> {
        get(self.port, "/")
    }

    #[track_caller]
    pub fn is_up(&self) {
        is_up(|| self.get());
    }

    /// Waits for a line of its error log.
    #[track_caller]
    pub fn logs(&self, part: &str) {
        let log = self.directory.path().join("error.log");
        eventually(&format!("nginx logs {part:?}"), || fs::read_to_string(&log).ok()?.contains(part).then_some(()));
    }

    /// Its directory, to which a test may add files.
    pub fn home(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    /// Its directory, which is removed when the result is dropped.
    pub fn into_directory(self) -> TempDir {
        self.directory
    }
}
