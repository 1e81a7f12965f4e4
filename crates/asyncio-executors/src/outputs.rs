//! Futures of other outputs as futures that return a `Result` with the error of a group.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

pin_project! {
    /// A future that cannot fail.
    pub(crate) struct NeverFails<F, E> {
        #[pin]
        future: F,
        error: PhantomData<fn() -> E>,
    }
}

impl<F, E> NeverFails<F, E> {
    pub(crate) fn new(future: F) -> Self {
        Self {
            future,
            error: PhantomData,
        }
    }
}

impl<F: Future, E> Future for NeverFails<F, E> {
    type Output = Result<F::Output, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().future.poll(cx).map(Ok)
    }
}

pin_project! {
    /// A future whose error is turned into an `E`.
    pub(crate) struct FailsInto<F, E> {
        #[pin]
        future: F,
        error: PhantomData<fn() -> E>,
    }
}

impl<F, E> FailsInto<F, E> {
    pub(crate) fn new(future: F) -> Self {
        Self {
            future,
            error: PhantomData,
        }
    }
}

impl<U, D: Into<E>, F: Future<Output = Result<U, D>>, E> Future for FailsInto<F, E> {
    type Output = Result<U, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = std::task::ready!(self.project().future.poll(cx));
        Poll::Ready(result.map_err(Into::into))
    }
}
