//! An HTTP server that stops as a good one does.
//!
//! ```text
//! PORT=8080 graceful_server
//! ```
//!
//! On SIGTERM, SIGINT or SIGQUIT it
//!
//! 1. accepts the connections that wait in the accept queue, and then no more: it closes its listener;
//! 2. answers what is under way, with `Connection: close`;
//! 3. closes the connections that are idle, and gives a new one, whose request is still on its way, a second to bring it;
//! 4. exits with code 0 when the last connection is closed.
//!
//! It sets no limit for the drain: `softstop --grace-period` does. It need not wait for load balancers before: that is the
//! pre-delay. It prints each signal that it gets. `GET /slow` takes four seconds.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::pin::pin;
use std::time::Duration;
use std::{env, thread};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use signal_hook::consts::{SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::signal_name;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const FIRST_REQUEST: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> io::Result<()> {
    // First of all: PID 1 has no default action, and until a handler is there a SIGTERM would be ignored.
    let stopping = on_stop_signal()?;

    let port = env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8080);
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
    say(&format!("listens on port {port}"));

    let mut connections = JoinSet::new();
    let mut stop = stopping.clone();
    loop {
        tokio::select! {
            _ = stop.wait_for(|&stop| stop) => break,
            accepted = listener.accept() => {
                // An error is one connection's, or there is no descriptor left: neither is a reason to end.
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream, stopping.clone()));
                }
            }
        }
        while connections.try_join_next().is_some() {}
    }

    // Whoever waits in the accept queue believes to be connected. The kernel resets them when the listener is closed.
    while let Ok(Ok((stream, _))) = timeout(Duration::ZERO, listener.accept()).await {
        connections.spawn(serve(stream, stopping.clone()));
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    say("done");
    Ok(())
}

/// Turns true at the first stop signal. Those that follow are printed, and change nothing.
fn on_stop_signal() -> io::Result<watch::Receiver<bool>> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGQUIT])?;
    let (stop, stopping) = watch::channel(false);
    thread::spawn(move || {
        for signal in signals.forever() {
            say(&format!("got {}", signal_name(signal).unwrap_or("a signal")));
            stop.send_replace(true);
        }
    });
    Ok(stopping)
}

async fn serve(stream: TcpStream, mut stopping: watch::Receiver<bool>) {
    // hyper would close a connection at once that has brought nothing yet.
    let mut first_byte = [0];
    tokio::select! {
        _ = stream.peek(&mut first_byte) => {}
        () = async {
            let _ = stopping.wait_for(|&stop| stop).await;
            sleep(FIRST_REQUEST).await;
        } => return,
    }
    let answers = service_fn({
        let stopping = stopping.clone();
        move |request| answer(request, stopping.clone())
    });
    let mut connection = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), answers));
    tokio::select! {
        // A request that has arrived comes before the signal.
        biased;
        _ = connection.as_mut() => return,
        _ = stopping.wait_for(|&stop| stop) => {}
    }
    // Closes it if it is idle, else behind the answer. An error is the client's.
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

async fn answer(
    request: Request<Incoming>,
    stopping: watch::Receiver<bool>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = if request.uri().path() == "/slow" {
        sleep(Duration::from_secs(4)).await;
        "slow\n".repeat(600)
    } else {
        "hello\n".to_owned()
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    if *stopping.borrow() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

fn say(line: &str) {
    // A closed log is no reason to end.
    let _ = writeln!(io::stdout(), "{line}");
}
