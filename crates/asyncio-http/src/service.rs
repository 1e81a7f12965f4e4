//! The service of a server: answers its requests.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use axum_core::BoxError;
use axum_core::body::Body;
use axum_core::response::IntoResponse;
use bytes::Buf;
use http::{Request, Response};
use hyper::body::Incoming;
use pin_project_lite::pin_project;

use crate::server::connection::Connection;

/// A service, which answers requests: an async closure, an axum `Router` (feature `axum`), or a service of hyper in a
/// [`HyperService`].
///
/// The service needs no `Send`, and neither do its futures.
///
/// An async closure takes a [`Request`](crate::Request) and returns a response: a string, bytes, a status, or a pair of
/// status and body. It may also return a [`Response`](crate::Response), or a `Result` of two of these.
///
/// `M` tells these cases apart, and is inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot answer requests",
    label = "no service",
    note = "a service is an async closure `async |request: Request| …`, an axum `Router`, or a `HyperService`",
    note = "the return type of the closure must implement `IntoResponse`"
)]
pub trait Service<M>: sealed::IntoAnswers<M> + 'static {}

pub(crate) mod sealed {
    /// The work of a [`Service`](super::Service), which only this crate calls.
    pub trait IntoAnswers<M> {
        type Answers: super::Answers;

        fn into_answers(self) -> Self::Answers;
    }
}

/// Gives the answer to each request.
pub trait Answers: 'static {
    type Body: http_body::Body<Data: Buf + 'static, Error: Into<BoxError>> + 'static;

    fn answer(
        self: &Rc<Self>,
        request: Request<Incoming>,
        connection: &Rc<Connection>,
    ) -> impl Future<Output = Result<Response<Self::Body>, BoxError>> + use<Self>;
}

/// The marker of async closures.
#[derive(Debug)]
pub struct ByClosure;

/// An async closure.
#[derive(Debug)]
pub struct Closure<F>(F);

#[diagnostic::do_not_recommend]
impl<F, R> Service<ByClosure> for F
where
    F: AsyncFn(Request<Body>) -> R + 'static,
    R: IntoResponse,
{
}

#[diagnostic::do_not_recommend]
impl<F, R> sealed::IntoAnswers<ByClosure> for F
where
    F: AsyncFn(Request<Body>) -> R + 'static,
    R: IntoResponse,
{
    type Answers = Closure<F>;

    fn into_answers(self) -> Closure<F> {
        Closure(self)
    }
}

impl<F, R> Answers for Closure<F>
where
    F: AsyncFn(Request<Body>) -> R + 'static,
    R: IntoResponse,
{
    type Body = Body;

    fn answer(
        self: &Rc<Self>,
        request: Request<Incoming>,
        connection: &Rc<Connection>,
    ) -> impl Future<Output = Result<Response<Body>, BoxError>> + use<F, R> {
        let (service, admitted) = (self.clone(), connection.admit(request));
        async move {
            match admitted {
                Ok(request) => Ok(service.0(request).await.into_response()),
                Err(refusal) => Ok(refusal),
            }
        }
    }
}

/// The marker of axum's routers.
#[cfg(feature = "axum")]
#[derive(Debug)]
pub struct ByRouter;

#[cfg(feature = "axum")]
impl Service<ByRouter> for axum::Router {}

#[cfg(feature = "axum")]
impl sealed::IntoAnswers<ByRouter> for axum::Router {
    type Answers = Self;

    fn into_answers(self) -> Self {
        self
    }
}

#[cfg(feature = "axum")]
impl Answers for axum::Router {
    type Body = Body;

    fn answer(
        self: &Rc<Self>,
        request: Request<Incoming>,
        connection: &Rc<Connection>,
    ) -> impl Future<Output = Result<Response<Body>, BoxError>> + use<> {
        use tower_service::Service as _;
        let called = connection.admit(request);
        let called = called.map(|request| (**self).clone().call(request));
        async move {
            match called {
                Ok(response) => Ok(response.await?),
                Err(refusal) => Ok(refusal),
            }
        }
    }
}

/// The marker of hyper's services.
#[derive(Debug)]
pub struct ByHyper;

/// A service of hyper, as a [`Service`]. It gets hyper's own requests, and its bodies are not boxed.
///
/// The server's [limit of bodies](crate::ServerBuilder::max_body) does not apply.
#[derive(Clone, Copy)]
pub struct HyperService<S>(pub S);

impl<S> fmt::Debug for HyperService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HyperService")
    }
}

impl<S, B> Service<ByHyper> for HyperService<S>
where
    S: hyper::service::Service<Request<Incoming>, Response = Response<B>> + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data: 'static, Error: Into<BoxError>> + 'static,
{
}

impl<S, B> sealed::IntoAnswers<ByHyper> for HyperService<S>
where
    S: hyper::service::Service<Request<Incoming>, Response = Response<B>> + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data: 'static, Error: Into<BoxError>> + 'static,
{
    type Answers = Self;

    fn into_answers(self) -> Self {
        self
    }
}

impl<S, B> Answers for HyperService<S>
where
    S: hyper::service::Service<Request<Incoming>, Response = Response<B>> + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data: 'static, Error: Into<BoxError>> + 'static,
{
    type Body = B;

    fn answer(
        self: &Rc<Self>,
        request: Request<Incoming>,
        _connection: &Rc<Connection>,
    ) -> impl Future<Output = Result<Response<B>, BoxError>> + use<S, B> {
        Called {
            called: self.0.call(request),
        }
    }
}

pin_project! {
    /// The future of a service of hyper. It is no async block, because a block would copy the future, with its request.
    struct Called<F> {
        #[pin]
        called: F,
    }
}

impl<F, T, E> Future for Called<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
{
    type Output = Result<T, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().called.poll(cx).map_err(Into::into)
    }
}
