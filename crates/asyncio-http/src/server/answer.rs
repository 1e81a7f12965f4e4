//! One request and its answer: panics end here, and the answer's end is noted.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::{Cause, Unhandled, call_exception_handler, current_task};
use axum_core::BoxError;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;

use super::connection::{Connection, InFlight};
use super::panics::report;
use crate::service::Answers;

pin_project! {
    /// One request on its way through a service. The service is called at once, and not in a future of its own, because
    /// each future around another one copies the request.
    pub(super) struct Answering<F> {
        // None: the answer is `early`.
        #[pin]
        answer: Option<F>,
        // The answer without a handler, or after its panic.
        early: StatusCode,
        version: Version,
        is_head: bool,
        // None after the last poll.
        in_flight: Option<InFlight>,
    }
}

/// Answers one request.
pub(super) fn answer<S: Answers>(
    service: &Rc<S>,
    connection: &Rc<Connection>,
    request: Request<Incoming>,
) -> Answering<impl Future<Output = Result<Response<S::Body>, BoxError>> + use<S>> {
    let in_flight = InFlight::begin(connection.clone());
    let (version, is_head) = (request.version(), request.method() == Method::HEAD);
    let (answer, early) = match has_a_target(&request) && names_its_host(&request, connection) {
        false => (None, StatusCode::BAD_REQUEST),
        true => {
            let call = AssertUnwindSafe(|| service.answer(request, connection));
            let called = catch_unwind(call).map_err(report);
            (called.ok(), StatusCode::INTERNAL_SERVER_ERROR)
        }
    };
    Answering {
        answer,
        early,
        version,
        is_head,
        in_flight: Some(in_flight),
    }
}

impl<F, B> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, BoxError>>,
    B: Body,
{
    type Output = Result<Response<AnswerBody<B>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let connection = this.in_flight.as_ref().expect("the last poll was not yet");
        // The flag is set before a poll if the poll before it has panicked.
        let has_panicked = connection.is_in_handler.replace(false);
        let response = match this.answer.as_mut().as_pin_mut() {
            Some(answer) if !has_panicked => {
                connection.is_in_handler.set(true);
                let answered = answer.poll(cx);
                connection.is_in_handler.set(false);
                // `ready!` and `?` would copy the response.
                match answered {
                    Poll::Ready(Ok(response)) => {
                        fitted(response, *this.version, *this.is_head, this.in_flight)
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
            }
            _ => last_answer(*this.early, *this.version, this.in_flight.take()),
        };
        Poll::Ready(Ok(response))
    }
}

/// The response of a handler, as it may go out.
#[inline(always)]
fn fitted<B: Body>(
    response: Response<B>,
    version: Version,
    is_head: bool,
    in_flight: &mut Option<InFlight>,
) -> Response<AnswerBody<B>> {
    let in_flight = in_flight.take();
    if response.status() != StatusCode::SWITCHING_PROTOCOLS
        && let Some(in_flight) = &in_flight
    {
        in_flight.stays();
    }
    // On HTTP/2, hyper would send the body.
    if version == Version::HTTP_2 && (is_head || has_no_body(response.status())) {
        return match is_head {
            true => without_body(with_length(response), in_flight),
            false => without_body(response, in_flight),
        };
    }
    if has_wrong_length(&response) {
        // An answer to `HEAD` tells the length of the body that `GET` would get.
        if is_head {
            return without_body(response, in_flight);
        }
        report_wrong_length();
        return last_answer(StatusCode::INTERNAL_SERVER_ERROR, version, in_flight);
    }
    response.map(|body| AnswerBody::new(Some(body), in_flight))
}

/// Whether answers of this status end with their head (RFC 9110, sections 15.3.5 and 15.4.5).
fn has_no_body(status: StatusCode) -> bool {
    status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

/// Whether a response announces another length than that of its body. On the wire, the next answer would begin too
/// early or too late.
fn has_wrong_length<B: Body>(response: &Response<B>) -> bool {
    // Most have no header.
    if response.headers().is_empty() || response.status() == StatusCode::NOT_MODIFIED {
        return false;
    }
    let announced = response.headers().get(CONTENT_LENGTH);
    let length = response.body().size_hint().exact();
    announced.zip(length).is_some_and(|(announced, length)| {
        let announced = announced.to_str().ok();
        announced.and_then(|announced| announced.parse().ok()) != Some(length)
    })
}

fn without_body<B>(response: Response<B>, in_flight: Option<InFlight>) -> Response<AnswerBody<B>> {
    response.map(|_left_out| AnswerBody::new(None, in_flight))
}

/// The response with the length of its body among its headers.
fn with_length<B: Body>(mut response: Response<B>) -> Response<B> {
    if let Some(length) = response.body().size_hint().exact() {
        let headers = response.headers_mut();
        headers
            .entry(CONTENT_LENGTH)
            .or_insert_with(|| length.into());
    }
    response
}

/// Whether the form of the target is one for the method (RFC 9112, section 3.2). The handler of a `GET` would see a URI
/// without a path otherwise. HTTP/2 has no forms.
#[inline]
fn has_a_target(request: &Request<Incoming>) -> bool {
    let uri = request.uri();
    let is_authority = uri.scheme().is_none() && uri.authority().is_some();
    is_authority == (request.method() == Method::CONNECT) || request.version() == Version::HTTP_2
}

/// Whether a request of HTTP/1.1 has one header `Host`, and a valid one (RFC 9112, section 3.2). Otherwise a proxy
/// before the server and the server might take it for requests of different hosts.
fn names_its_host(request: &Request<Incoming>, connection: &Connection) -> bool {
    if request.version() != Version::HTTP_11 {
        return true;
    }
    let headers = request.headers();
    // Clients send it first, as RFC 9110, section 7.2, asks for. A look at the first header takes less than a search.
    let first = headers.iter().next();
    let first = first.and_then(|(name, value)| (*name == HOST).then_some(value));
    let Some(host) = first.or_else(|| headers.get(HOST)) else {
        return false;
    };
    // If no name is repeated, this one is not.
    let may_be_repeated = headers.len() > headers.keys_len();
    if may_be_repeated && headers.get_all(HOST).iter().nth(1).is_some() {
        return false;
    }
    // A client names the same host again and again.
    let host = host.as_bytes();
    let mut last = connection.host.borrow_mut();
    if *last == host {
        return true;
    }
    let is_valid = host.iter().all(|&byte| IS_OF_HOST[usize::from(byte)]);
    if is_valid && host.len() <= LONGEST_KEPT_HOST {
        last.clear();
        last.extend_from_slice(host);
    }
    is_valid
}

/// A name of a host has at most 253 bytes.
const LONGEST_KEPT_HOST: usize = 260;

/// The bytes of a host and a port (RFC 3986, section 3.2).
static IS_OF_HOST: [bool; 256] = {
    let mut is_of_host = [false; 256];
    let bytes = b"-._~!$&'()*+;=:[]%";
    let mut n = 0;
    while n < 256 {
        is_of_host[n] = (n as u8).is_ascii_alphanumeric();
        n += 1;
    }
    n = 0;
    while n < bytes.len() {
        is_of_host[bytes[n] as usize] = true;
        n += 1;
    }
    is_of_host
};

/// An answer without a body, after which an HTTP/1 connection ends.
#[cold]
fn last_answer<B>(
    status: StatusCode,
    version: Version,
    in_flight: Option<InFlight>,
) -> Response<AnswerBody<B>> {
    if let Some(in_flight) = &in_flight {
        in_flight.stays();
    }
    let mut response = Response::new(AnswerBody::new(None, in_flight));
    *response.status_mut() = status;
    if version < Version::HTTP_2 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

fn report_wrong_length() {
    let cause = "its `Content-Length` is not the length of its body";
    let message = "a handler of HTTP requests gave a wrong response";
    let cause = Cause::Error(cause.to_owned());
    call_exception_handler(&Unhandled::new(message, current_task().as_ref(), cause));
}

pin_project! {
    /// The body of an answer. It is dropped when the answer is sent.
    pub(crate) struct AnswerBody<B> {
        // None: no body.
        #[pin]
        body: Option<B>,
        in_flight: Option<InFlight>,
        // Whether hyper has a piece, and has not asked for the next one.
        is_owed: bool,
    }

    impl<B> PinnedDrop for AnswerBody<B> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Some(in_flight) = this.in_flight.as_ref().filter(|_| *this.is_owed) {
                in_flight.gave(false, true);
            }
        }
    }
}

impl<B> AnswerBody<B> {
    fn new(body: Option<B>, in_flight: Option<InFlight>) -> Self {
        Self {
            body,
            in_flight,
            is_owed: false,
        }
    }
}

impl<B: Body<Error: Into<BoxError>>> Body for AnswerBody<B> {
    type Data = B::Data;
    // Named, because the compiler cannot follow a bound on the error of an associated type.
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let this = self.project();
        let Some(mut body) = this.body.as_pin_mut() else {
            return Poll::Ready(None);
        };
        let frame = body.as_mut().poll_frame(cx).map_err(Into::into);
        if let Some(in_flight) = this.in_flight {
            // On HTTP/1, hyper drops the body after the last piece.
            let is_last = || !in_flight.is_http2.get() && body.is_end_stream();
            let is_owed = matches!(frame, Poll::Ready(Some(Ok(_)))) && !is_last();
            in_flight.gave(is_owed, std::mem::replace(this.is_owed, is_owed));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(B::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.as_ref().map(B::size_hint);
        hint.unwrap_or_else(|| SizeHint::with_exact(0))
    }
}
