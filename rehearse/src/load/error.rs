//! Why a request failed. Messages have no details that differ between failures, such as ports or times, so that they can be
//! counted.

use std::error::Error;
use std::io;

use nix::errno::Errno;

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// The other side refused it, or cannot be reached.
    Refused(String),
    /// This process lacks a resource.
    NotSent(String),
}

impl ConnectError {
    pub(crate) fn of(error: &io::Error) -> Self {
        if is_own_limit(error) { Self::NotSent(io_message(error)) } else { Self::Refused(io_message(error)) }
    }
}

/// Why there was a connection but no whole answer.
#[derive(Debug)]
pub(crate) enum ExchangeError {
    Hyper(hyper::Error),
    /// An HTTP/2 stream was reset without an error before its end.
    EndedEarly,
}

impl From<hyper::Error> for ExchangeError {
    fn from(error: hyper::Error) -> Self {
        Self::Hyper(error)
    }
}

impl ExchangeError {
    fn source<E: Error + 'static>(&self) -> Option<&E> {
        match self {
            Self::Hyper(error) => error.source()?.downcast_ref(),
            Self::EndedEarly => None,
        }
    }

    pub(crate) fn is_not_http(&self) -> bool {
        matches!(self, Self::Hyper(error) if error.is_parse())
    }

    /// Whether a client repeats the request by itself, given that no byte of an answer arrived.
    pub(crate) fn may_repeat(&self, used: bool) -> bool {
        match self.source::<h2::Error>() {
            // A GOAWAY from the server ends only streams that the server has not processed, by its own account.
            Some(error) if error.is_go_away() && error.is_remote() => true,
            Some(error) if error.is_reset() => error.reason() == Some(h2::Reason::REFUSED_STREAM),
            Some(_) => false,
            None => used, // HTTP/1.1, or the end of the whole connection
        }
    }

    pub(crate) fn message(&self) -> String {
        if let Some(error) = self.source::<h2::Error>() {
            return match (error.get_io(), error.reason()) {
                (Some(error), _) => io_message(error),
                (None, Some(reason)) if error.is_go_away() => format!("connection ended ({reason:?})"),
                (None, Some(reason)) => format!("stream reset ({reason:?})"),
                (None, None) => "HTTP/2 error".to_owned(),
            };
        }
        if let Some(error) = self.source::<io::Error>() {
            return tls_message(error).unwrap_or_else(|| io_message(error));
        }
        match self {
            Self::EndedEarly => "stream reset (NO_ERROR)".to_owned(),
            Self::Hyper(error) if error.is_incomplete_message() || error.is_canceled() || error.is_closed() => {
                "connection closed".to_owned()
            }
            Self::Hyper(error) => error.to_string(),
        }
    }
}

/// Whether the error means that this process or machine lacks a resource.
pub(crate) fn is_own_limit(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EMFILE | Errno::ENFILE | Errno::EADDRNOTAVAIL | Errno::ENOBUFS | Errno::ENOMEM))
}

pub(crate) fn io_message(error: &io::Error) -> String {
    match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::ConnectionReset, _) => "connection reset".to_owned(),
        (io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted, _) => {
            "connection closed".to_owned()
        }
        (_, Some(errno)) => Errno::from_raw(errno).desc().to_lowercase(),
        (kind, None) => kind.to_string(),
    }
}

/// None if it is not an error of TLS.
pub(crate) fn tls_message(error: &io::Error) -> Option<String> {
    Some(match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        // The full message contains the time of the check.
        rustls::Error::InvalidCertificate(why) => {
            let name: String = format!("{why:?}").chars().take_while(|each| each.is_alphanumeric()).collect();
            format!("TLS: invalid certificate ({name})")
        }
        error => format!("TLS: {error}"),
    })
}
