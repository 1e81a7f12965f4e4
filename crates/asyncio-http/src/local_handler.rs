//! Handlers for axum that need no `Send`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use axum::extract::{FromRequest, FromRequestParts};
use axum::handler::Handler;
use axum_core::response::{IntoResponse, Response};

use crate::Request;
use crate::bound::LoopBound;

/// A handler for axum that needs no `Send`: an async function or closure of extractors.
///
/// Every argument but the last implements [`FromRequestParts`], and the last one [`FromRequest`]. The result implements
/// [`IntoResponse`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler",
    label = "no handler",
    note = "a handler is an async function or closure with up to 16 arguments",
    note = "every argument but the last must implement `FromRequestParts`, the last one `FromRequest`",
    note = "its return type must implement `IntoResponse`",
    note = "it need not be `Send`, but it must be `Clone` and own what it uses"
)]
pub trait LocalHandler<T, S>: Clone + 'static {
    /// Answers a request.
    fn call(self, request: Request, state: S) -> impl Future<Output = Response> + 'static;
}

#[diagnostic::do_not_recommend]
impl<F, Fut, R, S> LocalHandler<((),), S> for F
where
    F: FnOnce() -> Fut + Clone + 'static,
    Fut: Future<Output = R> + 'static,
    R: IntoResponse,
{
    #[expect(
        clippy::manual_async_fn,
        reason = "the future is `'static` whatever the state is"
    )]
    fn call(self, _: Request, _: S) -> impl Future<Output = Response> + 'static {
        async move { self().await.into_response() }
    }
}

macro_rules! handlers {
    ($($part:ident)* ; $last:ident) => {
        #[diagnostic::do_not_recommend]
        #[allow(non_snake_case, unused_mut, reason = "values have the names of their types; one argument has no parts")]
        impl<F, Fut, R, S, M, $($part,)* $last> LocalHandler<(M, $($part,)* $last,), S> for F
        where
            F: FnOnce($($part,)* $last) -> Fut + Clone + 'static,
            Fut: Future<Output = R> + 'static,
            R: IntoResponse,
            S: Send + Sync + 'static,
            $($part: FromRequestParts<S> + 'static,)*
            $last: FromRequest<S, M> + 'static,
        {
            fn call(self, request: Request, state: S) -> impl Future<Output = Response> + 'static {
                async move {
                    let (mut parts, body) = request.into_parts();
                    $(
                        let $part = match $part::from_request_parts(&mut parts, &state).await {
                            Ok(value) => value,
                            Err(rejection) => return rejection.into_response(),
                        };
                    )*
                    let request = Request::from_parts(parts, body);
                    let $last = match $last::from_request(request, &state).await {
                        Ok(value) => value,
                        Err(rejection) => return rejection.into_response(),
                    };
                    self($($part,)* $last).await.into_response()
                }
            }
        }
    };
}

handlers!(; A);
handlers!(A; B);
handlers!(A B; C);
handlers!(A B C; D);
handlers!(A B C D; E);
handlers!(A B C D E; G);
handlers!(A B C D E G; H);
handlers!(A B C D E G H; I);
handlers!(A B C D E G H I; J);
handlers!(A B C D E G H I J; K);
handlers!(A B C D E G H I J K; L);
handlers!(A B C D E G H I J K L; N);
handlers!(A B C D E G H I J K L N; O);
handlers!(A B C D E G H I J K L N O; P);
handlers!(A B C D E G H I J K L N O P; Q);
handlers!(A B C D E G H I J K L N O P Q; T);

/// Makes a [`LocalHandler`] a handler of axum, for axum's own functions and methods:
/// `get(read).put(local(write))`.
///
/// # Panics
///
/// Without a running loop.
#[track_caller]
pub fn local<H: 'static>(handler: H) -> Local<H> {
    Local(LoopBound::new(handler))
}

/// A [`LocalHandler`] as a handler of axum. [`local`] makes it.
///
/// # Panics
///
/// If it is called while its loop does not run on the thread.
#[derive(Clone)]
pub struct Local<H: 'static>(LoopBound<H>);

impl<H> fmt::Debug for Local<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Local")
    }
}

/// The future of a [`Local`].
type Answering = LoopBound<Pin<Box<dyn Future<Output = Response>>>>;

/// Tells the arguments of a [`Local`] from those of axum's own handlers.
#[derive(Debug)]
pub struct OnThisLoop;

impl<H, T, S> Handler<(OnThisLoop, T), S> for Local<H>
where
    H: LocalHandler<T, S>,
    S: 'static,
{
    type Future = Answering;

    fn call(self, request: Request, state: S) -> Answering {
        LoopBound::new(Box::pin(self.0.into_inner().call(request, state)))
    }
}
