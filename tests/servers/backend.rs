//! The application behind proxies: it does not belong to the container that is stopped.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const PORT: u16 = 9000;

/// Serves on port 9000 of this thread's network namespace until it is dropped.
#[derive(Debug)]
pub struct Backend(Arc<AtomicBool>);

impl Backend {
    pub fn start(slow: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", PORT)).unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let backend = Self(is_over.clone());
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                thread::spawn(move || serve(&connection, slow));
            }
        });
        backend
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", PORT));
    }
}

fn serve(mut connection: &TcpStream, slow: Duration) -> Option<()> {
    let mut lines = BufReader::new(connection).lines();
    loop {
        let request = lines.next()?.ok()?;
        let mut closes = request.ends_with("HTTP/1.0");
        loop {
            let line = lines.next()?.ok()?.to_ascii_lowercase();
            closes |= line == "connection: close";
            if line.is_empty() {
                break;
            }
        }
        let body = if request.starts_with("GET /slow") {
            thread::sleep(slow);
            "slow\n".repeat(600)
        } else {
            "hello\n".to_owned()
        };
        let connection_field = if closes { "close" } else { "keep-alive" };
        let head = format!(
            "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: {}\r\nConnection: {connection_field}\r\n\r\n",
            body.len()
        );
        connection.write_all((head + &body).as_bytes()).ok()?;
        if closes {
            return Some(());
        }
    }
}
