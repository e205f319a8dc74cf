//! What is requested, and the answer that is expected.

use hyper::Uri;

/// A resource that the load asks for.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) uri: Uri,
    pub(crate) expected_status: u16,
    /// Of the expected body. None: any body that is whole.
    pub(crate) expected_sha256: Option<[u8; 32]>,
    /// The server takes seconds to answer by design.
    pub(crate) slow: bool,
    /// The share of all requests (or users) that go here, relative to the weights of the other targets.
    pub(crate) weight: u32,
}

/// The version of HTTP to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpVersion {
    Http1,
    Http2,
}

/// Reads the URL of a target.
///
/// # Errors
///
/// Why it cannot be used.
pub(crate) fn parse_url(url: &str) -> Result<Uri, String> {
    let uri: Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(format!("{url}: it must begin with http:// or https://"));
    }
    match uri.authority() {
        Some(authority) if authority.as_str().contains('@') => {
            Err("a URL with a user name or password is not supported".to_owned())
        }
        // The crate `http` accepts any digits as a port but then reports no port, so the scheme's default port would be
        // used instead.
        Some(authority) if authority.port().is_none() && authority.as_str() != authority.host() => {
            Err(format!("{url}: a port is a number from 1 to 65535"))
        }
        Some(authority) if !authority.host().is_empty() => Ok(with_path(uri)),
        _ => Err(format!("{url}: it has no host")),
    }
}

/// `http://host?query` asks for `/?query`.
fn with_path(uri: Uri) -> Uri {
    let query = uri.path_and_query().map(hyper::http::uri::PathAndQuery::as_str).filter(|path| path.starts_with('?'));
    let Some(path) = query.and_then(|query| format!("/{query}").parse().ok()) else { return uri };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).unwrap_or(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_path_asks_for_the_root() {
        for (url, path) in [
            ("http://localhost", "/"),
            ("http://localhost?a=b", "/?a=b"),
            ("https://[::1]:8443?a=/b", "/?a=/b"),
            ("http://localhost:80/x?a", "/x?a"),
        ] {
            let read = parse_url(url).unwrap();
            assert_eq!(read.path_and_query().unwrap().as_str(), path, "{url}");
        }
    }
}
