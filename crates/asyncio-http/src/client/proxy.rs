//! Proxies: which requests go through which.

use std::fmt;

use http::Uri;

use super::encode::basic;
use super::error::FetchError;
use super::origin::Origin;

/// An HTTP proxy. Requests to `http` URLs are sent to the proxy. For `https` and for websockets it makes a tunnel
/// (`CONNECT`).
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    pub(crate) origin: Origin,
    /// The value of `Proxy-Authorization`.
    pub(crate) authorization: Option<String>,
}

impl Proxy {
    /// The proxy at a URL: `http://proxy:3128`, or with a name and a password, `http://name:password@proxy:3128`.
    ///
    /// # Errors
    ///
    /// [`FetchError::Invalid`] if the URL does not have the scheme `http`.
    pub fn new(url: &str) -> Result<Self, FetchError> {
        let url = match url.contains("://") {
            true => url.to_owned(),
            false => format!("http://{url}"),
        };
        let invalid = |why: &dyn fmt::Display| {
            FetchError::Invalid(format!("the URL of the proxy cannot be used: {why}"))
        };
        let uri: Uri = url.parse().map_err(|error| invalid(&error))?;
        let origin = Origin::of(&uri)?;
        if origin.is_secure {
            return Err(invalid(&"a proxy is reached by `http`"));
        }
        let authorization = credentials(&uri).map(|(name, password)| basic(&name, &password));
        Ok(Self {
            origin,
            authorization,
        })
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Proxy").field(&self.origin).finish()
    }
}

/// The name and password of a URL.
pub(crate) fn credentials(uri: &Uri) -> Option<(String, String)> {
    let authority = uri.authority()?.as_str();
    let end = authority.bytes().rposition(|byte| byte == b'@')?;
    let info = &authority[..end];
    let (name, password) = info.split_once(':').unwrap_or((info, ""));
    Some((decoded(name), decoded(password)))
}

/// Text without percent signs.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// The way of a request: to an origin, perhaps through a proxy.
#[derive(Clone, Copy)]
pub(crate) struct Way<'a> {
    pub(crate) origin: &'a Origin,
    pub(crate) proxy: Option<&'a Proxy>,
    /// Whether another protocol follows, which a proxy knows nothing of.
    pub(crate) is_upgraded: bool,
}

impl<'a> Way<'a> {
    /// The proxy that makes a tunnel to the origin.
    pub(crate) fn tunnel(self) -> Option<&'a Proxy> {
        self.proxy
            .filter(|_| self.origin.is_secure || self.is_upgraded)
    }

    /// The proxy that gets the requests itself.
    pub(crate) fn plain_proxy(self) -> Option<&'a Proxy> {
        self.proxy.filter(|_| self.tunnel().is_none())
    }
}

/// The proxies of a session, and the hosts that need none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies {
    pub(crate) http: Option<Proxy>,
    pub(crate) https: Option<Proxy>,
    pub(crate) except: Vec<String>,
}

impl Proxies {
    /// The proxies that the environment names, with a function that reads it.
    pub(crate) fn from_env(read: impl Fn(&str) -> Option<String>) -> Result<Self, FetchError> {
        let first = |names: &[&str]| {
            let values = names.iter().filter_map(|name| read(name));
            values
                .map(|value| value.trim().to_owned())
                .find(|value| !value.is_empty())
        };
        let proxy = |names: &[&str]| first(names).map(|url| Proxy::new(&url)).transpose();
        let all = ["all_proxy", "ALL_PROXY"];
        // A CGI program's HTTP_PROXY is a header of its client ("httpoxy").
        let http = match read("REQUEST_METHOD") {
            Some(_) => proxy(&["http_proxy", all[0], all[1]])?,
            None => proxy(&["http_proxy", "HTTP_PROXY", all[0], all[1]])?,
        };
        let https = proxy(&["https_proxy", "HTTPS_PROXY", all[0], all[1]])?;
        let except = first(&["no_proxy", "NO_PROXY"]).unwrap_or_default();
        Ok(Self {
            http,
            https,
            except: exceptions(&except),
        })
    }

    /// The proxy for an origin.
    pub(crate) fn of(&self, origin: &Origin) -> Option<&Proxy> {
        let proxy = if origin.is_secure {
            &self.https
        } else {
            &self.http
        };
        let is_excepted = self.except.iter().any(|one| excepts(one, origin));
        proxy.as_ref().filter(|_| !is_excepted)
    }
}

/// The hosts of a list with commas.
pub(crate) fn exceptions(list: &str) -> Vec<String> {
    let hosts = list.split(',').map(|one| one.trim().to_ascii_lowercase());
    hosts.filter(|one| !one.is_empty()).collect()
}

/// Whether an entry of `NO_PROXY` names the origin: `*`, a host, a domain with all below it, with or without a port.
fn excepts(entry: &str, origin: &Origin) -> bool {
    if entry == "*" || entry == origin.host {
        return true;
    }
    let (domain, port) = match entry.rsplit_once(':') {
        Some((domain, port)) if !domain.contains(':') => (domain, port.parse::<u16>().ok()),
        _ => (entry, None),
    };
    if port.is_some_and(|port| port != origin.port) {
        return false;
    }
    let domain = domain.trim_start_matches("*.").trim_start_matches('.');
    let rest = origin.host.strip_suffix(domain);
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Origin {
        Origin::of(&url.parse().unwrap()).unwrap()
    }

    #[test]
    fn the_environment_names_proxies() {
        let read = |name: &str| match name {
            "HTTP_PROXY" => Some("proxy:3128".to_owned()),
            "https_proxy" => Some("http://me:p%40ss@secure:8080".to_owned()),
            "NO_PROXY" => Some("localhost, .example.org,10.0.0.1:81".to_owned()),
            _ => None,
        };
        let proxies = Proxies::from_env(read).unwrap();
        let of = |url| {
            proxies
                .of(&origin(url))
                .map(|proxy| proxy.origin.to_string())
        };
        assert_eq!(of("http://a.com").as_deref(), Some("proxy:3128"));
        assert_eq!(of("https://a.com").as_deref(), Some("secure:8080"));
        assert_eq!(of("http://localhost:80"), None);
        assert_eq!(of("https://www.example.org"), None);
        assert_eq!(of("https://example.org"), None);
        assert!(of("https://badexample.org").is_some());
        assert_eq!(of("http://10.0.0.1:81"), None);
        assert!(of("http://10.0.0.1").is_some());
        let authorization = proxies.https.unwrap().authorization.unwrap();
        assert_eq!(authorization, "Basic bWU6cEBzcw==");
    }

    #[test]
    fn a_cgi_program_does_not_believe_its_client() {
        let read = |name: &str| match name {
            "HTTP_PROXY" => Some("evil:1".to_owned()),
            "REQUEST_METHOD" => Some("GET".to_owned()),
            _ => None,
        };
        assert!(Proxies::from_env(read).unwrap().http.is_none());
    }
}
