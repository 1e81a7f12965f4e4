//! The place that a URL names: scheme, host and port.

use std::fmt;

use http::Uri;

use super::error::FetchError;

/// Scheme, host and port: connections to equal origins are interchangeable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) is_secure: bool,
    /// Without the brackets of an IPv6 address, in lower case.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Origin {
    /// The origin of an absolute URL.
    pub(crate) fn of(uri: &Uri) -> Result<Self, FetchError> {
        let is_secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(other) => {
                let message = format!("`{other}` is not `http` or `https` in {uri}");
                return Err(FetchError::Invalid(message));
            }
            None => {
                let message = format!("{uri} is not an absolute URL");
                return Err(FetchError::Invalid(message));
            }
        };
        let (host, port) = place_of(uri);
        if host.is_empty() {
            return Err(FetchError::Invalid(format!("{uri} has no host")));
        }
        let port = match port {
            "" if is_secure => 443,
            "" => 80,
            written => written.parse().map_err(|_not_16_bits| {
                FetchError::Invalid(format!("`{written}` is no port in {uri}"))
            })?,
        };
        Ok(Self {
            is_secure,
            host: host.to_ascii_lowercase(),
            port,
        })
    }

    /// The value of the header `Host`: without the scheme's own port.
    pub(crate) fn host_header(&self) -> String {
        match (self.is_secure, self.port) {
            (false, 80) | (true, 443) => self.bracketed(),
            _ => self.to_string(),
        }
    }

    fn bracketed(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        }
    }
}

/// The host and the port that a URL names, as they are written; empty if it names none. The host has no brackets.
///
/// The searches of the standard library are made for long texts.
fn place_of(uri: &Uri) -> (&str, &str) {
    let authority = uri.authority().map_or("", http::uri::Authority::as_str);
    let at = authority.bytes().rposition(|byte| byte == b'@');
    let place = &authority[at.map_or(0, |at| at + 1)..];
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => rest.split_once(']').unwrap_or((rest, "")),
        None => {
            let end = place.bytes().position(|byte| byte == b':');
            place.split_at(end.unwrap_or(place.len()))
        }
    };
    (host, port.strip_prefix(':').unwrap_or_default())
}

/// Host and port.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.bracketed(), self.port)
    }
}
