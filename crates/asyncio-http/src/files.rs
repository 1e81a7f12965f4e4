//! Files below a directory, as responses.
//!
//! ```
//! use asyncio::http::{Request, Server, Session};
//! use asyncio::http::files::Files;
//! use asyncio::net::TcpListener;
//!
//! # asyncio::run(async {
//! let site = Files::below(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
//! let serve = async move |request: Request| site.respond(&request).await;
//! let server = Server::builder().start(serve, [TcpListener::bind("127.0.0.1:0").await?]);
//!
//! let page = format!("http://{}/files.rs", server.addresses()[0]);
//! let file = Session::new().get(page).header("Range", "bytes=4-9").send().await?;
//! assert_eq!((file.status().as_u16(), file.text().await?.as_str()), (206, "Files "));
//! # Ok::<(), asyncio::BoxError>(())
//! # }).unwrap();
//! ```

use std::fmt;
use std::fs::{File, Metadata};
use std::future::Future;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Component, Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use asyncio_pool::to_thread;
use axum_core::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_core::Stream;
use http::header::{
    ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName,
    HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
    LAST_MODIFIED, LOCATION, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Request, StatusCode, Uri};

use crate::body::{Body, from_stream};

/// How much of a file is read at a time.
const PIECE: u64 = 64 * 1024;

/// The files below a directory. A clone is the same directory.
///
/// A request for a path gets the file, with its media type by its extension. `GET` and `HEAD` are answered, with ranges
/// (one range a request) and conditional requests. A path of a directory gets its `index.html`.
///
/// No path leads out of the directory, not even through a link. Names that begin with a dot are not found, except
/// `.well-known`. Files are opened and read in the loop's thread pool.
#[derive(Clone)]
pub struct Files {
    root: Arc<Path>,
}

impl Files {
    /// The files below `root`.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into().into(),
        }
    }

    /// Responds to a request with the file that its path names. The status is 200, 206 or 304. It is 404 without such a
    /// file, 405 for another method, and 416 for a range beyond the end.
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    ///
    /// # Panics
    ///
    /// Without a running loop.
    pub async fn respond<B>(&self, request: &Request<B>) -> Response {
        self.respond_to(request.method(), request.uri(), request.headers())
            .await
    }

    async fn respond_to(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
        if method != Method::GET && method != Method::HEAD {
            let allow = [(ALLOW, "GET, HEAD")];
            return (StatusCode::METHOD_NOT_ALLOWED, allow).into_response();
        }
        let Some(path) = path_of(uri.path()) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let (root, has_slash) = (self.root.clone(), uri.path().ends_with('/'));
        let found = to_thread(move || find(&root, &path, has_slash)).await;
        match found {
            Ok(Ok(Found::File(file))) => file.respond(method, headers),
            Ok(Ok(Found::Directory)) => {
                // Relative links of the page need the slash. The path begins with one slash, so it names no other host.
                let path = uri.path().trim_start_matches('/');
                let to = match uri.query() {
                    Some(query) => format!("/{path}/?{query}"),
                    None => format!("/{path}/"),
                };
                (StatusCode::MOVED_PERMANENTLY, [(LOCATION, to)]).into_response()
            }
            Ok(Err(error)) => refusal(&error).into_response(),
            Err(_job) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Files").field(&self.root).finish()
    }
}

/// The status for an error of the file system. A path that names no file is not found, for whatever reason. The client
/// learns no more of the server's files.
fn refusal(error: &io::Error) -> StatusCode {
    match error.kind() {
        _ if is_link_circle(error) => StatusCode::NOT_FOUND,
        io::ErrorKind::NotFound
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::InvalidFilename
        | io::ErrorKind::InvalidInput => StatusCode::NOT_FOUND,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Whether links lead in a circle. The standard library has no stable name for this.
fn is_link_circle(error: &io::Error) -> bool {
    #[cfg(unix)]
    let circle = rustix::io::Errno::LOOP.raw_os_error();
    // ERROR_CANT_RESOLVE_FILENAME.
    #[cfg(windows)]
    let circle = 1921;
    error.raw_os_error() == Some(circle)
}

/// The path below the directory that the path of a URL names; `None` if it names none.
fn path_of(path: &str) -> Option<PathBuf> {
    let mut below = PathBuf::new();
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        let name = percent_decoded(segment)?;
        let is_hidden = name.starts_with('.') && name != ".well-known";
        // Another system's separators, drives and streams are no part of a name here either.
        if is_hidden || name.contains(['/', '\\', ':', '\0']) {
            return None;
        }
        // One name, by the system's own rules.
        let mut parts = Path::new(&name).components();
        match (parts.next(), parts.next()) {
            (Some(Component::Normal(one)), None) => below.push(one),
            _ => return None,
        }
    }
    Some(below)
}

fn percent_decoded(segment: &str) -> Option<String> {
    let bytes = segment.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(&byte) = rest.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

enum Found {
    File(Opened),
    /// A directory, asked for without a slash.
    Directory,
}

/// A file that is open.
struct Opened {
    file: File,
    length: u64,
    modified: Option<SystemTime>,
    media_type: &'static str,
}

/// Opens the file that a path names. Blocks.
fn find(root: &Path, below: &Path, has_slash: bool) -> io::Result<Found> {
    let root = root.canonicalize()?;
    // With all links followed.
    let mut path = root.join(below).canonicalize()?;
    if !path.starts_with(&root) {
        return Err(io::ErrorKind::NotFound.into());
    }
    if path.is_dir() {
        if !has_slash && !below.as_os_str().is_empty() {
            return Ok(Found::Directory);
        }
        path = path.join("index.html").canonicalize()?;
        if !path.starts_with(&root) {
            return Err(io::ErrorKind::NotFound.into());
        }
    } else if has_slash {
        return Err(io::ErrorKind::NotFound.into());
    }
    // A pipe would block the thread.
    if !path.metadata()?.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let file = File::open(&path)?;
    let metadata: Metadata = file.metadata()?;
    Ok(Found::File(Opened {
        length: metadata.len(),
        modified: metadata.modified().ok(),
        media_type: media_type(&path),
        file,
    }))
}

impl Opened {
    /// The weak entity tag. Two versions of one size within the clock's resolution have the same one.
    fn tag(&self) -> Option<String> {
        let since = self.modified?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(format!("W/\"{:x}-{:x}\"", self.length, since.as_nanos()))
    }

    fn respond(self, method: &Method, headers: &HeaderMap) -> Response {
        let tag = self.tag();
        let date = self.modified.map(httpdate::fmt_http_date);
        let mut response = Response::new(Body::empty());
        let mut fields = HeaderMap::new();
        let mut set = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                fields.insert(name, value);
            }
        };
        if let Some(tag) = &tag {
            set(ETAG, tag);
        }
        if let Some(date) = &date {
            set(LAST_MODIFIED, date);
        }
        set(ACCEPT_RANGES, "bytes");
        if self.is_another(headers) {
            return StatusCode::PRECONDITION_FAILED.into_response();
        }
        if self.is_known(headers, tag.as_deref()) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.headers_mut() = fields;
            return response;
        }
        set(CONTENT_TYPE, self.media_type);
        set(X_CONTENT_TYPE_OPTIONS, "nosniff");
        let length = self.length;
        let range = match method == Method::GET && self.may_be_part(headers) {
            true => asked_range(headers, length),
            false => Asked::Whole,
        };
        let (begin, end) = match range {
            Asked::Whole => (0, length),
            Asked::Part(begin, end) => {
                set(
                    CONTENT_RANGE,
                    &format!("bytes {begin}-{}/{length}", end - 1),
                );
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                (begin, end)
            }
            Asked::Beyond => {
                set(CONTENT_RANGE, &format!("bytes */{length}"));
                *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
                fields.remove(CONTENT_TYPE);
                *response.headers_mut() = fields;
                return response;
            }
        };
        set(CONTENT_LENGTH, &(end - begin).to_string());
        *response.headers_mut() = fields;
        if method == Method::GET && begin < end {
            *response.body_mut() = from_stream(Pieces {
                file: Some(self.file),
                at: begin,
                end,
                reading: None,
            });
        }
        response
    }

    /// Whether the client asks for another version (RFC 9110, section 13.2.2). A weak tag is none that it can ask for.
    fn is_another(&self, headers: &HeaderMap) -> bool {
        if let Some(tags) = headers.get(IF_MATCH) {
            return tags != "*";
        }
        let since = headers.get(IF_UNMODIFIED_SINCE).and_then(date);
        let modified = self.modified.map(whole_seconds);
        since
            .zip(modified)
            .is_some_and(|(since, modified)| modified > since)
    }

    /// Whether the client has this version (RFC 9110, section 13.2.2).
    fn is_known(&self, headers: &HeaderMap, tag: Option<&str>) -> bool {
        if headers.contains_key(IF_NONE_MATCH) {
            let values = headers.get_all(IF_NONE_MATCH).iter();
            let mut tags = values
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(','))
                .map(str::trim);
            let bare = |tag: &str| tag.trim_start_matches("W/").to_owned();
            return tags.any(|one| one == "*" || tag.is_some_and(|tag| bare(tag) == bare(one)));
        }
        let since = headers.get(IF_MODIFIED_SINCE).and_then(date);
        let modified = self.modified.map(whole_seconds);
        since
            .zip(modified)
            .is_some_and(|(since, modified)| modified <= since)
    }

    /// Whether a part is of use (`If-Range`). A weak tag is not enough.
    fn may_be_part(&self, headers: &HeaderMap) -> bool {
        match headers.get(IF_RANGE) {
            None => true,
            Some(value) => {
                date(value).is_some_and(|date| self.modified.map(whole_seconds) == Some(date))
            }
        }
    }
}

fn date(value: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

/// A time as headers tell it.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs());
    SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds)
}

/// The part of a file that a request asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Whole,
    /// From the first byte to behind the last one.
    Part(u64, u64),
    Beyond,
}

/// The range of a request (RFC 9110, section 14.2). Several ranges, and what is no range, get the whole file.
fn asked_range(headers: &HeaderMap, length: u64) -> Asked {
    let text = headers.get(RANGE).and_then(|range| range.to_str().ok());
    let Some(range) = text.and_then(|text| text.trim().strip_prefix("bytes=")) else {
        return Asked::Whole;
    };
    let Some((first, last)) = range.split_once('-') else {
        return Asked::Whole;
    };
    let number = |text: &str| match text.trim() {
        text if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse::<u64>().ok(),
        _ => None,
    };
    match (first.trim(), last.trim()) {
        ("", last) => match number(last) {
            None => Asked::Whole,
            Some(0) => Asked::Beyond,
            Some(_) if length == 0 => Asked::Beyond,
            Some(last) => Asked::Part(length.saturating_sub(last), length),
        },
        (first, last) => {
            let (Some(first), Some(end)) = (
                number(first),
                match last {
                    "" => Some(length),
                    last => number(last).map(|last| last.saturating_add(1)),
                },
            ) else {
                return Asked::Whole;
            };
            let end = end.min(length);
            match first {
                first if first >= length => Asked::Beyond,
                first if first >= end => Asked::Whole,
                first => Asked::Part(first, end),
            }
        }
    }
}

type Reading = Pin<Box<dyn Future<Output = io::Result<(File, Bytes)>>>>;

/// A part of a file, piece by piece.
struct Pieces {
    file: Option<File>,
    at: u64,
    end: u64,
    reading: Option<Reading>,
}

impl Stream for Pieces {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.at >= this.end {
            return Poll::Ready(None);
        }
        if this.reading.is_none() {
            let Some(file) = this.file.take() else {
                return Poll::Ready(None);
            };
            let (at, most) = (this.at, PIECE.min(this.end - this.at));
            let reading = to_thread(move || read_piece(file, at, most));
            this.reading = Some(Box::pin(async { reading.await.map_err(io::Error::other)? }));
        }
        let Some(reading) = &mut this.reading else {
            return Poll::Ready(None);
        };
        let piece = ready!(reading.as_mut().poll(cx));
        this.reading = None;
        Poll::Ready(Some(piece.map(|(file, piece)| {
            this.file = Some(file);
            this.at += piece.len() as u64;
            piece
        })))
    }
}

/// Reads a piece. Blocks.
fn read_piece(mut file: File, at: u64, most: u64) -> io::Result<(File, Bytes)> {
    let mut piece = Vec::new();
    file.seek(SeekFrom::Start(at))?;
    (&file).take(most).read_to_end(&mut piece)?;
    if piece.is_empty() {
        // The length was promised.
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the file has become shorter",
        ));
    }
    Ok((file, piece.into()))
}

fn media_type(path: &Path) -> &'static str {
    let extension = path.extension().and_then(|extension| extension.to_str());
    match extension.unwrap_or_default().to_ascii_lowercase().as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "txt" | "log" => "text/plain; charset=utf-8",
        "md" => "text/markdown; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "json" | "map" => "application/json",
        "xml" => "application/xml",
        "wasm" => "application/wasm",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "gz" => "application/gzip",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "svg" => "image/svg+xml",
        "ico" => "image/x-icon",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_errors_than_a_wrong_path_are_those_of_the_server() {
        let status = |kind: io::ErrorKind| refusal(&kind.into());
        assert_eq!(status(io::ErrorKind::NotADirectory), StatusCode::NOT_FOUND);
        let other = status(io::ErrorKind::StorageFull);
        assert_eq!(other, StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn no_path_leads_out() {
        for path in [
            "/../secret",
            "/a/../../secret",
            "/%2e%2e/secret",
            "/%2E%2E%2fsecret",
            "/a/%2e/b",
            "/..%5csecret",
            "/a%2f..%2f..%2fsecret",
            "/c:/secret",
            "/a%00.html",
            "/.git/config",
            "/%",
            "/%4",
            "/%ff",
        ] {
            assert_eq!(path_of(path), None, "{path}");
        }
        assert_eq!(path_of("/a%20b//c.html"), Some("a b/c.html".into()));
        assert_eq!(path_of("/.well-known/x"), Some(".well-known/x".into()));
        assert_eq!(path_of("/"), Some(PathBuf::new()));
    }

    #[test]
    fn types_are_those_of_the_registry() {
        for (extensions, expected) in [
            ("html htm", "text/html; charset=utf-8"),
            ("css", "text/css; charset=utf-8"),
            ("js mjs", "text/javascript; charset=utf-8"),
            ("txt log", "text/plain; charset=utf-8"),
            ("md", "text/markdown; charset=utf-8"),
            ("csv", "text/csv; charset=utf-8"),
            ("json map", "application/json"),
            ("xml", "application/xml"),
            ("wasm", "application/wasm"),
            ("pdf", "application/pdf"),
            ("zip", "application/zip"),
            ("gz", "application/gzip"),
            ("png", "image/png"),
            ("jpg jpeg JPG", "image/jpeg"),
            ("gif", "image/gif"),
            ("webp", "image/webp"),
            ("avif", "image/avif"),
            ("svg", "image/svg+xml"),
            ("ico", "image/x-icon"),
            ("mp3", "audio/mpeg"),
            ("ogg", "audio/ogg"),
            ("wav", "audio/wav"),
            ("mp4", "video/mp4"),
            ("webm", "video/webm"),
            ("woff", "font/woff"),
            ("woff2", "font/woff2"),
            ("ttf", "font/ttf"),
            ("exe unknown", "application/octet-stream"),
        ] {
            for extension in extensions.split(' ') {
                let path = PathBuf::from(format!("a/b.{extension}"));
                assert_eq!(media_type(&path), expected, "{extension}");
            }
        }
        assert_eq!(media_type(Path::new("html")), "application/octet-stream");
    }

    #[test]
    fn ranges_are_those_of_rfc_9110() {
        let asked = |range: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, range.parse().unwrap());
            asked_range(&headers, 1000)
        };
        assert_eq!(asked("bytes=0-499"), Asked::Part(0, 500));
        assert_eq!(asked("bytes=500-"), Asked::Part(500, 1000));
        assert_eq!(asked("bytes=-300"), Asked::Part(700, 1000));
        assert_eq!(asked("bytes=-3000"), Asked::Part(0, 1000));
        assert_eq!(asked("bytes=900-5000"), Asked::Part(900, 1000));
        assert_eq!(asked("bytes=0-18446744073709551615"), Asked::Part(0, 1000));
        assert_eq!(asked("bytes=1000-"), Asked::Beyond);
        assert_eq!(asked("bytes=-0"), Asked::Beyond);
        for whole in [
            "bytes=5-4",
            "bytes=0-1,3-4",
            "items=0-1",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=",
        ] {
            assert_eq!(asked(whole), Asked::Whole, "{whole}");
        }
    }
}
