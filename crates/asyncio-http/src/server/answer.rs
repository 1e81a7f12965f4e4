//! One request and its answer: panics end here, and the answer's end is noted.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::{Cause, PanicPayload, Unhandled, call_exception_handler, current_task};
use axum_core::BoxError;
use http::header::{CONNECTION, HOST, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;

use super::connection::{Connection, InFlight};
use crate::service::Answers;

/// Answers one request.
pub(super) async fn answer<S: Answers>(
    service: Rc<S>,
    connection: Rc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody<S::Body>>, BoxError> {
    let in_flight = InFlight::begin(connection.clone());
    let version = request.version();
    if !names_its_host(&request) {
        return Ok(last_answer(StatusCode::BAD_REQUEST, version, in_flight));
    }
    let outcome = catching(service.answer(request, &connection)).await;
    match outcome {
        Ok(Ok(response)) => {
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                connection.stays();
            }
            Ok(response.map(|body| AnswerBody::new(Some(body), Some(in_flight))))
        }
        Ok(Err(error)) => Err(error),
        Err(payload) => {
            report(payload);
            connection.stays();
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            Ok(last_answer(status, version, in_flight))
        }
    }
}

/// Whether a request of HTTP/1.1 has one header `Host`, and a valid one (RFC 9112, section 3.2). Otherwise a proxy before the
/// server and the server might take it for requests of different hosts.
fn names_its_host(request: &Request<Incoming>) -> bool {
    if request.version() != Version::HTTP_11 {
        return true;
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let is_of_host = |byte: &u8| matches!(byte, b'!' | b'$'..=b'+' | b'-' | b'.' | b'0'..=b';' | b'=' | b'A'..=b'[' | b']' | b'_' | b'a'..=b'z' | b'~');
    host.as_bytes().iter().all(is_of_host)
}

/// An answer without a body, after which an HTTP/1 connection ends.
fn last_answer<B>(
    status: StatusCode,
    version: Version,
    in_flight: InFlight,
) -> Response<AnswerBody<B>> {
    let mut response = Response::new(AnswerBody::new(None, Some(in_flight)));
    *response.status_mut() = status;
    if version < Version::HTTP_2 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

type Payload = Box<dyn Any + Send>;

/// The output of `future`, or the payload of its panic.
async fn catching<F: Future>(future: F) -> Result<F::Output, Payload> {
    let mut future = pin!(future);
    poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(payload) => Poll::Ready(Err(payload)),
        },
    )
    .await
}

fn report(payload: Payload) {
    let cause = Cause::Panic(PanicPayload::new(payload));
    let message = "a handler of HTTP requests panicked";
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
            if let Some(in_flight) = this.in_flight {
                in_flight.gave(false, *this.is_owed);
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
        let Some(body) = this.body.as_pin_mut() else {
            return Poll::Ready(None);
        };
        let frame = body.poll_frame(cx).map_err(Into::into);
        if let Some(in_flight) = this.in_flight {
            let is_owed = matches!(frame, Poll::Ready(Some(Ok(_))));
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
