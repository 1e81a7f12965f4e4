//! The cookies of a session (RFC 6265), in memory.

use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use http::HeaderMap;
use http::header::SET_COOKIE;

use super::origin::Origin;

/// The maximum number of cookies of one domain. The oldest goes first.
const MAX_OF_DOMAIN: usize = 50;
/// The maximum number of cookies of all domains. The oldest goes first.
const MAX: usize = 3000;
/// The maximum length of one cookie, in bytes.
const MAX_LENGTH: usize = 4096;

/// The cookies of a session.
#[derive(Default)]
pub(super) struct CookieJar {
    cookies: Vec<Cookie>,
}

struct Cookie {
    name: String,
    value: String,
    domain: String,
    /// Whether it is for the host only that has set it.
    is_host_only: bool,
    path: String,
    is_secure: bool,
    expires: Option<Instant>,
}

impl CookieJar {
    /// Keeps the cookies of a response.
    pub(super) fn store(&mut self, origin: &Origin, path: &str, headers: &HeaderMap) {
        for header in headers.get_all(SET_COOKIE) {
            let text = String::from_utf8_lossy(header.as_bytes());
            let parsed = parse(&text, origin, path);
            let is_own = |(cookie, _): &(Cookie, bool)| {
                origin.is_secure || !self.cookies.iter().any(|old| old.keeps_out(cookie))
            };
            if let Some((cookie, is_dead)) = parsed.filter(is_own) {
                self.cookies.retain(|old| !old.is_same(&cookie));
                if !is_dead {
                    self.keep(cookie);
                }
            }
        }
    }

    fn keep(&mut self, cookie: Cookie) {
        let of_domain = |one: &Cookie| one.domain == cookie.domain;
        if self.cookies.iter().filter(|one| of_domain(one)).count() >= MAX_OF_DOMAIN {
            let oldest = self.cookies.iter().position(of_domain);
            oldest.map(|oldest| self.cookies.remove(oldest));
        }
        if self.cookies.len() >= MAX {
            self.cookies.remove(0);
        }
        self.cookies.push(cookie);
    }

    /// The value of the header `Cookie` for a request.
    pub(super) fn header(&mut self, origin: &Origin, path: &str) -> Option<String> {
        if self.cookies.is_empty() {
            return None;
        }
        let now = asyncio_loop::time();
        self.cookies
            .retain(|cookie| cookie.expires.is_none_or(|expires| expires > now));
        let fitting = self
            .cookies
            .iter()
            .filter(|cookie| cookie.is_for(origin, path));
        let mut fitting: Vec<_> = fitting.collect();
        // Longer paths first (RFC 6265, section 5.4).
        fitting.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs = fitting
            .iter()
            .map(|cookie| format!("{}={}", cookie.name, cookie.value));
        let pairs = pairs.collect::<Vec<_>>().join("; ");
        (!pairs.is_empty()).then_some(pairs)
    }
}

impl Cookie {
    fn is_same(&self, other: &Self) -> bool {
        (&self.name, &self.domain, &self.path) == (&other.name, &other.domain, &other.path)
    }

    /// Whether this is a secure cookie, which a connection without encryption may not replace by the other
    /// (RFC 6265bis, section 5.7).
    fn keeps_out(&self, other: &Self) -> bool {
        let domains = (self.domain.as_str(), other.domain.as_str());
        let is_domain = domains.0 == domains.1
            || is_below(domains.0, domains.1)
            || is_below(domains.1, domains.0);
        self.is_secure && self.name == other.name && is_domain && is_within(&other.path, &self.path)
    }

    fn is_for(&self, origin: &Origin, path: &str) -> bool {
        let is_host = origin.host == self.domain;
        let is_domain = is_host || !self.is_host_only && is_below(&origin.host, &self.domain);
        is_domain && is_within(path, &self.path) && (origin.is_secure || !self.is_secure)
    }
}

/// Whether a path is that of a cookie, or below it (RFC 6265, section 5.1.4).
fn is_within(path: &str, of_cookie: &str) -> bool {
    let rest = path.strip_prefix(of_cookie);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || of_cookie.ends_with('/'))
}

/// Whether a host is below a domain.
fn is_below(host: &str, domain: &str) -> bool {
    let rest = host.strip_suffix(domain);
    rest.is_some_and(|rest| rest.ends_with('.')) && host.parse::<IpAddr>().is_err()
}

/// A cookie of the header `Set-Cookie`, and whether it is to be removed.
fn parse(text: &str, origin: &Origin, path: &str) -> Option<(Cookie, bool)> {
    if text.len() > MAX_LENGTH || text.bytes().any(|byte| byte < b' ' && byte != b'\t') {
        return None;
    }
    let mut parts = text.split(';');
    let (name, value) = parts.next()?.split_once('=')?;
    let directory = match path.rfind('/') {
        None | Some(0) => "/",
        Some(end) => &path[..end],
    };
    let mut cookie = Cookie {
        name: name.trim().to_owned(),
        value: value.trim().to_owned(),
        domain: origin.host.clone(),
        is_host_only: true,
        path: directory.to_owned(),
        is_secure: false,
        expires: None,
    };
    if cookie.name.is_empty() {
        return None;
    }
    let (mut age, mut date, mut has_domain) = (None, None, false);
    for attribute in parts {
        let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "domain" if !value.is_empty() => {
                let domain = value.trim_start_matches('.').to_ascii_lowercase();
                let is_own = origin.host == domain;
                // Without a list of public suffixes: a top-level domain is none's own.
                if !(is_own || is_below(&origin.host, &domain) && domain.contains('.')) {
                    return None;
                }
                cookie.is_host_only = is_own && origin.host.parse::<IpAddr>().is_ok();
                cookie.domain = domain;
                has_domain = true;
            }
            "path" if value.starts_with('/') => value.clone_into(&mut cookie.path),
            "secure" => cookie.is_secure = true,
            "max-age" => age = value.parse::<i64>().ok(),
            "expires" => date = httpdate::parse_http_date(value).ok(),
            _ => {}
        }
    }
    // A connection without encryption sets no secure cookie.
    if cookie.is_secure && !origin.is_secure {
        return None;
    }
    // Names that promise these attributes (RFC 6265bis, section 5.7).
    let has_prefix = |prefix: &str| {
        let start = cookie.name.get(..prefix.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let is_host_alone = !has_domain && cookie.path == "/";
    if has_prefix("__Secure-") && !cookie.is_secure
        || has_prefix("__Host-") && !(cookie.is_secure && is_host_alone)
    {
        return None;
    }
    // `Max-Age` comes before `Expires`.
    let remaining = match (age, date) {
        (Some(age), _) => Some(Duration::from_secs(u64::try_from(age).unwrap_or(0))),
        (None, Some(date)) => Some(date.duration_since(SystemTime::now()).unwrap_or_default()),
        (None, None) => None,
    };
    let is_dead = remaining.is_some_and(|remaining| remaining.is_zero());
    cookie.expires = remaining.and_then(|remaining| asyncio_loop::time().checked_add(remaining));
    Some((cookie, is_dead))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, Uri};

    fn jar(cookies: &[(&str, &str)]) -> CookieJar {
        let mut jar = CookieJar::default();
        for (url, cookie) in cookies {
            set(&mut jar, url, cookie);
        }
        jar
    }

    fn set(jar: &mut CookieJar, url: &str, cookie: &str) {
        let mut headers = HeaderMap::new();
        headers.insert(SET_COOKIE, HeaderValue::from_str(cookie).unwrap());
        store(jar, url, &headers);
    }

    fn store(jar: &mut CookieJar, url: &str, headers: &HeaderMap) {
        let url: Uri = url.parse().unwrap();
        jar.store(&Origin::of(&url).unwrap(), url.path(), headers);
    }

    fn sent(jar: &mut CookieJar, url: &str) -> String {
        let url: Uri = url.parse().unwrap();
        let cookies = jar.header(&Origin::of(&url).unwrap(), url.path());
        cookies.unwrap_or_default()
    }

    #[test]
    fn cookies_go_where_they_belong() {
        asyncio_loop::run(async {
            let mut jar = jar(&[
                ("http://a.example.org/x/y", "here=1"),
                ("http://a.example.org/", "all=2; Domain=example.org; Path=/"),
                ("https://a.example.org/", "safe=3; Secure; Path=/"),
                ("http://a.example.org/", "top=4; Domain=org"),
                ("http://a.example.org/", "other=5; Domain=example.com"),
                ("http://a.example.org/", "unsafe=6; Secure"),
                ("https://a.example.org/", "__Secure-a=7; Path=/"),
                ("https://a.example.org/", "__Host-b=8; Secure; Path=/x"),
                (
                    "https://a.example.org/",
                    "__Host-c=9; Secure; Path=/; Domain=example.org",
                ),
                ("https://a.example.org/", "__Host-d=10; Secure; Path=/"),
            ]);
            assert_eq!(sent(&mut jar, "http://a.example.org/x/z"), "here=1; all=2");
            assert_eq!(sent(&mut jar, "http://a.example.org/xx"), "all=2");
            assert_eq!(sent(&mut jar, "http://b.example.org/x/"), "all=2");
            assert_eq!(sent(&mut jar, "http://badexample.org/"), "");
            let secure = "all=2; safe=3; __Host-d=10";
            assert_eq!(sent(&mut jar, "https://a.example.org/"), secure);
            assert_eq!(
                sent(&mut jar, "https://b.example.org/"),
                "all=2; safe=3".split("; ").next().unwrap()
            );
        });
    }

    /// RFC 6265bis, section 5.7: an attacker of the unencrypted connection must not choose the cookies of the other.
    #[test]
    fn a_secure_cookie_is_not_replaced_without_encryption() {
        asyncio_loop::run(async {
            let mut jar = jar(&[
                ("https://a.example.org/x", "id=1; Secure; Path=/login"),
                ("http://a.example.org/", "id=2; Path=/login"),
                ("http://a.example.org/", "id=3; Path=/login; Max-Age=0"),
                ("http://a.example.org/", "id=4; Path=/login/deeper"),
                (
                    "http://a.example.org/",
                    "id=5; Domain=example.org; Path=/login",
                ),
                // These are others, by path, by name and by domain.
                ("http://a.example.org/", "id=6; Path=/"),
                ("http://a.example.org/", "other=7; Path=/login"),
                ("http://b.example.org/", "id=8; Path=/login"),
            ]);
            let page = "https://a.example.org/login/deeper";
            assert_eq!(sent(&mut jar, page), "id=1; other=7; id=6");
            assert_eq!(sent(&mut jar, "https://b.example.org/login"), "id=8");
            set(&mut jar, "https://a.example.org/", "id=9; Path=/login");
            assert_eq!(sent(&mut jar, page), "other=7; id=9; id=6");
        });
    }

    #[test]
    fn cookies_are_replaced_and_removed() {
        asyncio_loop::run(async {
            let mut jar = jar(&[
                ("http://a/", "a=1"),
                ("http://a/", "b=2"),
                ("http://a/", "a=3"),
                ("http://a/", "b=; Max-Age=0"),
                ("http://a/", "c=4; Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
            ]);
            assert_eq!(sent(&mut jar, "http://a/"), "a=3");
        });
    }

    #[test]
    fn a_cookie_goes_until_its_end() {
        asyncio_loop::run(async {
            let mut jar = jar(&[("http://a/", "a=1; Max-Age=100"), ("http://a/", "b=2")]);
            assert_eq!(sent(&mut jar, "http://a/"), "a=1; b=2");
            jar.cookies[0].expires = Some(asyncio_loop::time());
            assert_eq!(sent(&mut jar, "http://a/"), "b=2");
        });
    }

    #[test]
    fn a_domain_of_the_host_itself_covers_the_hosts_below() {
        asyncio_loop::run(async {
            let mut jar = jar(&[
                ("http://example.org/", "all=1; Domain=example.org"),
                ("http://example.org/", "own=2"),
                ("http://127.0.0.1/", "ip=3; Domain=127.0.0.1"),
                ("http://localhost/", "none=4; Domain="),
            ]);
            assert_eq!(sent(&mut jar, "http://example.org/"), "all=1; own=2");
            assert_eq!(sent(&mut jar, "http://a.example.org/"), "all=1");
            assert_eq!(sent(&mut jar, "http://127.0.0.1/"), "ip=3");
            assert_eq!(sent(&mut jar, "http://localhost/"), "none=4");
        });
    }

    #[test]
    fn a_cookie_that_is_too_long_is_refused() {
        asyncio_loop::run(async {
            let fits = format!("a={}", "x".repeat(MAX_LENGTH - 2));
            let mut jar = jar(&[("http://a/", &fits), ("http://a/", &format!("b{fits}"))]);
            assert_eq!(sent(&mut jar, "http://a/"), fits);
        });
    }

    #[test]
    fn a_server_fills_no_more_than_its_share() {
        asyncio_loop::run(async {
            let mut jar = CookieJar::default();
            for n in 0..200 {
                let mut headers = HeaderMap::new();
                let cookie = format!("n{n}={n}").parse().unwrap();
                headers.insert(SET_COOKIE, cookie);
                store(&mut jar, "http://a/", &headers);
            }
            assert_eq!(jar.cookies.len(), MAX_OF_DOMAIN);
        });
    }
}
