//! Redirects (RFC 9110, section 15.4).

use std::borrow::Cow;

use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST,
    LOCATION, PROXY_AUTHORIZATION, TRANSFER_ENCODING,
};
use http::{HeaderMap, Method, Response, StatusCode, Uri};

use super::error::FetchError;
use super::origin::Origin;
use super::request_body::RequestBody;

/// The next request of a fetch.
pub(super) struct Next {
    pub(super) method: Method,
    pub(super) url: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: RequestBody,
}

impl Next {
    /// The request that follows a redirect.
    pub(super) fn redirected(mut self, status: StatusCode, url: Uri) -> Result<Self, FetchError> {
        let becomes_get = match status {
            StatusCode::SEE_OTHER => self.method != Method::HEAD,
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => self.method == Method::POST,
            _ => false,
        };
        if becomes_get {
            self.method = Method::GET;
            self.body = RequestBody::empty();
            for of_body in [
                CONTENT_TYPE,
                CONTENT_LENGTH,
                CONTENT_ENCODING,
                CONTENT_LANGUAGE,
                TRANSFER_ENCODING,
            ] {
                self.headers.remove(of_body);
            }
        }
        self.headers.remove(HOST);
        if Origin::of(&self.url)? != Origin::of(&url)? {
            // They were meant for the first origin.
            for secret in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION] {
                self.headers.remove(secret);
            }
        }
        self.url = without_credentials(url);
        Ok(self)
    }
}

/// Where a response redirects to, if it does.
pub(super) fn target<B>(response: &Response<B>, from: &Uri) -> Option<Result<Uri, FetchError>> {
    let follows = [
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::FOUND,
        StatusCode::SEE_OTHER,
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
    if !follows.contains(&response.status()) {
        return None;
    }
    let location = response.headers().get(LOCATION)?;
    let text = String::from_utf8_lossy(location.as_bytes());
    let invalid = || FetchError::Invalid(format!("the server redirects to {text:?}"));
    Some(joined(from, &text).ok_or_else(invalid))
}

/// A reference in place of a URL (RFC 3986, section 5.2).
fn joined(base: &Uri, reference: &str) -> Option<Uri> {
    let reference = reference.split('#').next().unwrap_or_default().trim();
    let authority = base.authority()?;
    let scheme = base.scheme_str()?;
    // A scheme has no slash, question mark or dot segment before its colon.
    let has_scheme = reference.split_once(':').is_some_and(|(before, _)| {
        before
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
            && !before.is_empty()
    });
    let text = if has_scheme {
        reference.to_owned()
    } else if let Some(rest) = reference.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if reference.is_empty() {
        base.to_string()
    } else if reference.starts_with('?') {
        format!("{scheme}://{authority}{}{reference}", base.path())
    } else {
        let (path, query) = match reference.split_once('?') {
            Some((path, query)) => (path, format!("?{query}")),
            None => (reference, String::new()),
        };
        let path = match path.starts_with('/') {
            true => path.to_owned(),
            false => {
                let directory = base
                    .path()
                    .rsplit_once('/')
                    .map_or("", |(before, _)| before);
                format!("{directory}/{path}")
            }
        };
        format!("{scheme}://{authority}{}{query}", without_dots(&path))
    };
    let uri: Uri = encoded(&text).parse().ok()?;
    Origin::of(&uri).ok()?;
    Some(uri)
}

/// A path without `.` and `..` (RFC 3986, section 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

/// Encodes bytes that a URL does not contain. Servers and users write them as they are.
pub(super) fn encoded(text: &str) -> Cow<'_, str> {
    let is_of_url = |byte: u8| IS_OF_URL[usize::from(byte)];
    if text.bytes().all(is_of_url) {
        return Cow::Borrowed(text);
    }
    let mut encoded = String::new();
    for byte in text.bytes() {
        match is_of_url(byte) {
            true => encoded.push(byte.into()),
            false => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    Cow::Owned(encoded)
}

/// The bytes that a URL may contain as they are.
static IS_OF_URL: [bool; 256] = {
    let mut is_of_url = [false; 256];
    let mut byte = b'!' as usize;
    while byte <= b'~' as usize {
        is_of_url[byte] = true;
        byte += 1;
    }
    let others = b"\"<>\\^`{|}";
    let mut n = 0;
    while n < others.len() {
        is_of_url[others[n] as usize] = false;
        n += 1;
    }
    is_of_url
};

/// The URL of a websocket, with the scheme of the request that begins it.
#[cfg(feature = "websocket")]
pub(super) fn as_http(url: Uri) -> Uri {
    let scheme = match url.scheme_str() {
        Some("ws") => http::uri::Scheme::HTTP,
        Some("wss") => http::uri::Scheme::HTTPS,
        _ => return url,
    };
    let mut parts = url.clone().into_parts();
    parts.scheme = Some(scheme);
    Uri::from_parts(parts).unwrap_or(url)
}

/// A URL without name and password.
pub(super) fn without_credentials(url: Uri) -> Uri {
    let mut parts = url.clone().into_parts();
    let authority = parts.authority.as_ref().map(http::uri::Authority::as_str);
    let Some((_, host)) = authority.and_then(|authority| authority.rsplit_once('@')) else {
        return url;
    };
    parts.authority = host.parse().ok();
    Uri::from_parts(parts).unwrap_or(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_joined() {
        // RFC 3986, section 5.4, for the references that servers send.
        let base: Uri = "http://a/b/c/d?q".parse().unwrap();
        let joined = |reference| joined(&base, reference).map(|uri| uri.to_string());
        for (reference, target) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("g?y/./x", "http://a/b/c/g?y/./x"),
            ("g#s", "http://a/b/c/g"),
            ("", "http://a/b/c/d?q"),
            (".", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../../../g", "http://a/g"),
            ("https://h/i", "https://h/i"),
            ("/ü x", "http://a/%C3%BC%20x"),
        ] {
            assert_eq!(joined(reference).as_deref(), Some(target), "{reference}");
        }
        assert_eq!(joined("ftp://h/"), None);
        assert_eq!(joined("javascript:alert(1)"), None);
    }
}
