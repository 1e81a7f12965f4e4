//! A request of a session.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderName, HeaderValue,
    PROXY_AUTHORIZATION, TRANSFER_ENCODING,
};
use http::{HeaderMap, Method, Request, Uri};

use super::alarm::Alarm;
use super::encode::{basic, encoded};
use super::error::FetchError;
use super::failed::Seen;
use super::origin::Origin;
use super::pool::Outgoing;
use super::proxy::{Way, credentials};
use super::redirect::{self, Next};
use super::request_body::RequestBody;
use super::response::{FetchBody, FetchResponse};
use super::session::Session;

/// A request of a [`Session`], to be [sent](Self::send). An invalid URL, header or value is an error of `send`.
///
/// ```
/// use asyncio::http::Session;
/// use std::time::Duration;
///
/// # asyncio::run(async {
/// # let listener = asyncio::net::TcpListener::bind("127.0.0.1:0").await?;
/// # let base = format!("http://{}", listener.local_addr()?);
/// # let echo = async |request: asyncio::http::Request| request.uri().to_string();
/// # let server = asyncio::http::Server::builder().start(echo, [listener]);
/// let session = Session::new();
/// let request = session
///     .get(format!("{base}/search"))
///     .query([("q", "time wheel"), ("page", "2")])
///     .header("Accept-Language", "en")
///     .timeout(Duration::from_secs(10));
/// assert_eq!(request.send().await?.text().await?, "/search?q=time+wheel&page=2");
/// # Ok::<(), asyncio::BoxError>(())
/// # }).unwrap();
/// ```
#[must_use = "a request does nothing until it is sent"]
pub struct RequestBuilder {
    session: Session,
    method: Method,
    url: Result<Uri, FetchError>,
    headers: HeaderMap,
    body: RequestBody,
    timeout: Option<Duration>,
}

impl Session {
    /// A `GET` request, to be [sent](RequestBuilder::send).
    pub fn get(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::GET, url)
    }

    /// A `HEAD` request.
    pub fn head(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::HEAD, url)
    }

    /// A `POST` request.
    pub fn post(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::POST, url)
    }

    /// A `PUT` request.
    pub fn put(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::PUT, url)
    }

    /// A `PATCH` request.
    pub fn patch(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::PATCH, url)
    }

    /// A `DELETE` request.
    pub fn delete(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::DELETE, url)
    }

    /// A request of any method. An invalid URL is an error of [`send`](RequestBuilder::send).
    pub fn request(&self, method: Method, url: impl AsRef<str>) -> RequestBuilder {
        RequestBuilder::new(self.clone(), method, url.as_ref())
    }
}

impl RequestBuilder {
    fn new(session: Session, method: Method, url: &str) -> Self {
        // The fragment is for the reader of the page.
        let url = url.split('#').next().unwrap_or_default();
        let parsed = match redirect::encoded(url) {
            Cow::Borrowed(url) => url.parse::<Uri>(),
            Cow::Owned(url) => Uri::try_from(url),
        };
        let parsed = parsed.map_err(|error| FetchError::Invalid(format!("{url}: {error}")));
        Self {
            session,
            method,
            url: parsed,
            headers: HeaderMap::new(),
            body: RequestBody::empty(),
            timeout: None,
        }
    }

    fn failed(mut self, message: String) -> Self {
        if self.url.is_ok() {
            self.url = Err(FetchError::Invalid(message));
        }
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> Self {
        let name = name.as_ref();
        match (
            name.parse::<HeaderName>(),
            HeaderValue::from_bytes(value.as_ref()),
        ) {
            (Ok(name), Ok(value)) => {
                self.headers.append(name, value);
                self
            }
            _ => self.failed(format!("the header `{name}` is not valid")),
        }
    }

    /// Adds parameters to the URL, encoded.
    pub fn query<K: AsRef<str>, V: AsRef<str>>(
        mut self,
        parameters: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let Ok(url) = &self.url else { return self };
        let encoded = encoded(parameters);
        if encoded.is_empty() {
            return self;
        }
        let path = url.path();
        let path = match url.query() {
            Some(query) if !query.is_empty() => format!("{path}?{query}&{encoded}"),
            _ => format!("{path}?{encoded}"),
        };
        let mut parts = url.clone().into_parts();
        let path = path
            .parse()
            .map_err(|error| FetchError::Invalid(format!("{path}: {error}")));
        self.url = path.and_then(|path| {
            parts.path_and_query = Some(path);
            Uri::from_parts(parts).map_err(|error| FetchError::Invalid(error.to_string()))
        });
        self
    }

    /// Sets the body: bytes or text, or a [`Body`](crate::Body). One that comes in pieces, and is longer or shorter
    /// than a `Content-Length` that was set, is an error of the fetch.
    pub fn body(mut self, body: impl Into<RequestBody>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the body to a form (`application/x-www-form-urlencoded`).
    pub fn form<K: AsRef<str>, V: AsRef<str>>(
        mut self,
        fields: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        self.headers.insert(CONTENT_TYPE, form);
        self.body = encoded(fields).into();
        self
    }

    /// Sets the body to a value as JSON.
    #[cfg(feature = "json")]
    pub fn json<T: serde::Serialize + ?Sized>(mut self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(json) => {
                let kind = HeaderValue::from_static("application/json");
                self.headers.insert(CONTENT_TYPE, kind);
                self.body = json.into();
                self
            }
            Err(error) => self.failed(format!("the value is not representable in JSON: {error}")),
        }
    }

    /// Sends a name and a password (`Authorization: Basic`).
    pub fn basic_auth(self, name: &str, password: &str) -> Self {
        let value = basic(name, password);
        self.header(AUTHORIZATION.as_str(), value)
    }

    /// Sends a token (`Authorization: Bearer`).
    pub fn bearer_auth(self, token: &str) -> Self {
        self.header(AUTHORIZATION.as_str(), format!("Bearer {token}"))
    }

    /// Sets how long the fetch may take in all, in place of the session's [limit](super::SessionBuilder::timeout).
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Sends the request, follows redirects, and waits for the head of the response.
    ///
    /// # Cancellation
    ///
    /// Closes the connection. The server may have seen the request.
    ///
    /// # Errors
    ///
    /// [`FetchError`]. A status of 400 or above is not an error of `send`: see
    /// [`error_for_status`](FetchResponse::error_for_status).
    ///
    /// # Panics
    ///
    /// Outside of any task.
    pub async fn send(self) -> Result<FetchResponse, FetchError> {
        let alarm = self.alarm();
        alarm.run(self.fetch(&alarm)).await
    }

    /// The time limits of the fetch, which begins now.
    fn alarm(&self) -> Alarm {
        Alarm::new(self.timeout.unwrap_or(self.session.inner.options.timeout))
    }

    /// The headers.
    #[cfg(feature = "websocket")]
    pub(crate) fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    /// Sends the request over a connection of its own, for an upgrade to another protocol.
    #[cfg(feature = "websocket")]
    pub(crate) async fn upgrade(
        self,
    ) -> Result<(http::Response<hyper::body::Incoming>, Uri), FetchError> {
        let alarm = self.alarm();
        let upgrading = async {
            let (session, mut next) = self.prepare()?;
            next.url = redirect::as_http(next.url);
            let origin = Origin::of(&next.url)?;
            let (options, pool) = (&session.inner.options, &session.inner.pool);
            let way = Way {
                is_upgraded: true,
                ..options.way(&origin)
            };
            let request = first(&session, &mut next, way)?;
            let response = pool.send_alone(way, options, &alarm, request).await?;
            session.keep_cookies(&origin, &next.url, response.headers());
            Ok((response, next.url))
        };
        alarm.run(upgrading).await
    }

    /// The session, and the first request with the session's headers.
    fn prepare(self) -> Result<(Session, Next), FetchError> {
        let mut next = Next {
            method: self.method,
            url: self.url?,
            headers: self.headers,
            body: self.body,
        };
        let session = self.session;
        let options = &session.inner.options;
        session.tidy();
        if let Some((name, password)) = credentials(&next.url) {
            if !next.headers.contains_key(AUTHORIZATION) {
                let value = basic(&name, &password).parse();
                next.headers
                    .insert(AUTHORIZATION, value.expect("base64 can be in a header"));
            }
            next.url = redirect::without_credentials(next.url);
        }
        if next.headers.is_empty() {
            next.headers = options.headers.clone();
        } else {
            for (name, value) in &options.headers {
                if !next.headers.contains_key(name) {
                    next.headers.append(name, value.clone());
                }
            }
        }
        Ok((session, next))
    }

    async fn fetch(self, alarm: &Alarm) -> Result<FetchResponse, FetchError> {
        let (session, mut next) = self.prepare()?;
        let options = &session.inner.options;
        #[cfg(feature = "gzip")]
        let decodes = super::decode::offer(&mut next.headers);
        let mut redirects = 0;
        loop {
            let origin = Origin::of(&next.url)?;
            let exchange = exchange(&session, &mut next, &origin, alarm).await?;
            let response = &exchange.response;
            session.keep_cookies(&origin, &next.url, response.headers());
            let is_last = options.max_redirects == 0;
            if let Some(target) = redirect::target(response, &next.url).filter(|_| !is_last) {
                redirects += 1;
                if redirects > options.max_redirects {
                    return Err(FetchError::TooManyRedirects(options.max_redirects));
                }
                // Short pages of redirects are read, so that the connection can be used again.
                let (head, body) = FetchBody::new(exchange, options.read_timeout, alarm.whole());
                drop(Box::pin(crate::body::to_bytes(body, 16 * 1024)).await);
                next = next.redirected(head.status, target?)?;
                continue;
            }
            let (head, body) = FetchBody::new(exchange, options.read_timeout, alarm.whole());
            let mut response = FetchResponse::new(head, body, next.url, options.max_body);
            #[cfg(feature = "gzip")]
            if decodes && next.method != Method::HEAD {
                response.decode();
            }
            #[cfg(not(feature = "gzip"))]
            let _ = &mut response;
            return Ok(response);
        }
    }
}

/// The request to send now, with the headers of its origin.
fn first(session: &Session, next: &mut Next, way: Way<'_>) -> Result<Outgoing, FetchError> {
    let inner = &session.inner;
    let Ok(body) = next.body.take() else {
        return Err(FetchError::BodyIsGone(next.url.clone()));
    };
    let mut request = Request::new(body);
    *request.method_mut() = next.method.clone();
    *request.uri_mut() = next.url.clone();
    let headers = request.headers_mut();
    *headers = next.headers.clone();
    // The framing is the connection's. A length that is not that of the body would make the server take the next
    // request for a part of this one.
    headers.remove(TRANSFER_ENCODING);
    // Of a body that comes in pieces, hyper would look at none if the length is zero.
    let is_zero = headers
        .get(CONTENT_LENGTH)
        .is_some_and(|length| length == "0");
    if next.body.can_be_sent_again() || is_zero {
        headers.remove(CONTENT_LENGTH);
    }
    let expects_body = [Method::POST, Method::PUT, Method::PATCH].contains(&next.method);
    if expects_body && next.body.is_empty() {
        // RFC 9110, section 8.6. Some servers wait for it.
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    if !headers.contains_key(HOST) {
        let host = HeaderValue::try_from(way.origin.host_header());
        let host = host.map_err(|error| FetchError::Invalid(error.to_string()))?;
        headers.insert(HOST, host);
    }
    if inner.options.cookies && !headers.contains_key(COOKIE) {
        let mut jar = inner.cookies.borrow_mut();
        let cookies = jar.header(way.origin, next.url.path());
        if let Some(Ok(cookies)) = cookies.map(HeaderValue::try_from) {
            headers.insert(COOKIE, cookies);
        }
    }
    let plain = way.plain_proxy();
    if let Some(authorization) = plain.and_then(|proxy| proxy.authorization.as_ref()) {
        let value = HeaderValue::from_str(authorization).expect("base64 can be in a header");
        headers.insert(PROXY_AUTHORIZATION, value);
    }
    Ok(request)
}

/// Sends one request of a fetch.
async fn exchange(
    session: &Session,
    next: &mut Next,
    origin: &Origin,
    alarm: &Alarm,
) -> Result<super::pool::Exchange, FetchError> {
    let inner = &session.inner;
    let way = inner.options.way(origin);
    let request = first(session, next, way)?;
    let (can_repeat, is_idempotent) = (next.body.can_be_sent_again(), next.method.is_idempotent());
    let next = std::cell::RefCell::new(next);
    let again = |seen| match can_repeat && (is_idempotent || seen == Seen::Nothing) {
        true => first(session, &mut next.borrow_mut(), way).ok(),
        false => None,
    };
    inner
        .pool
        .send(way, &inner.options, alarm, request, again)
        .await
}

impl fmt::Debug for RequestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBuilder")
            .field("method", &self.method)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_encoded_and_appended() {
        let session = Session::new();
        let request = session
            .get("http://a/b?c=d#e")
            .query([("f g", "h&i=é"), ("j", "")]);
        let url = request.url.unwrap().to_string();
        assert_eq!(url, "http://a/b?c=d&f+g=h%26i%3D%C3%A9&j=");
    }
}
