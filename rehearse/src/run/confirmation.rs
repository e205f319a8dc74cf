//! Asks the user before another machine is put under load.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::net::SocketAddr;

use softstop::duration::show;

use crate::failure::Failure;
use crate::load::Pace;

pub(crate) fn is_loopback(address: &SocketAddr) -> bool {
    let address = address.ip().to_canonical();
    address.is_loopback() || address.is_unspecified() // 0.0.0.0 connects to this machine too
}

/// Asks on the terminal whether these addresses may be loaded.
///
/// # Errors
///
/// The answer is not yes, or there is no terminal.
pub(crate) fn confirm(url: &str, addresses: &[SocketAddr], pace: Pace) -> Result<(), Failure> {
    let load = match pace {
        Pace::Open { per_second, .. } => format!("{per_second} requests a second"),
        Pace::Closed { users, pause } => {
            format!("{users} users at once, each pausing for {}", show(pause))
        }
    };
    let addresses: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    let question = format!("{url} is not this machine ({}). Load it with {load}? [y/N] ", addresses.join(", "));
    let answer = match File::options().read(true).write(true).open("/dev/tty") {
        Ok(mut terminal) => terminal.write_all(question.as_bytes()).and_then(|()| read_line(terminal)),
        Err(_) if io::stdin().is_terminal() => {
            io::stderr().write_all(question.as_bytes()).and_then(|()| read_line(io::stdin()))
        }
        Err(_) => {
            return Err(Failure::usage(format!(
                "{url} is not this machine ({}), and there is no terminal on which to ask whether it may be loaded: confirm with \
                 --yes",
                addresses.join(", ")
            )));
        }
    };
    match answer {
        Ok(answer) if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") => Ok(()),
        _ => Err(Failure::not_measured("nothing was loaded, and the command was not run")),
    }
}

fn read_line(from: impl io::Read) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(from).read_line(&mut line)?;
    Ok(line)
}
