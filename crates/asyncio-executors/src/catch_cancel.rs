//! Hearing of a cancellation, and cleaning up after it.

use std::pin::Pin;
use std::task::{Context, Poll};

use asyncio_task::{Cancelled, Scope, Unwound};
use pin_project_lite::pin_project;

/// Runs `future`, and hears of it if a request to cancel ends it.
///
/// The future has been dropped then, and the request rests with the [`Cancelled`] that comes back: clean up,
/// with `await` if need be, then [`resume`](Cancelled::resume) it. This is Python's
/// `try: … except CancelledError:`.
///
/// ```
/// # use std::{future::pending, time::Duration};
/// # use asyncio_executors::{catch_cancel, timeout};
/// # asyncio_loop::run(async {
/// async fn serve() {
///     if let Err(cancelled) = catch_cancel(pending::<()>()).await {
///         asyncio_loop::sleep(Duration::from_millis(1)).await; // say goodbye
///         println!("said goodbye");
///         cancelled.resume().await
///     }
/// }
/// let served = timeout(Duration::from_millis(5), serve()).await;
/// assert!(served.is_err());
/// # });
/// ```
///
/// Outside of any task it only runs the future.
///
/// # Cancellation
///
/// That is what it is about. A plain drop of it drops the future, and nobody hears of anything.
pub fn catch_cancel<F: Future>(future: F) -> CatchCancel<F> {
    CatchCancel {
        scope: Scope::new(future),
    }
}

pin_project! {
    /// The future of [`catch_cancel`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct CatchCancel<F> {
        #[pin]
        scope: Scope<F>,
    }
}

impl<F: Future> Future for CatchCancel<F> {
    type Output = Result<F::Output, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match std::task::ready!(self.project().scope.poll(cx)) {
            Ok(value) => Poll::Ready(Ok(value)),
            Err(Unwound::Around(cancelled)) => Poll::Ready(Err(cancelled)),
            Err(Unwound::Itself) => unreachable!("nobody has the handle of this scope"),
        }
    }
}

/// Runs `future`; if it is cancelled, runs `cleanup`, and lets the cancellation go on after it.
///
/// ```
/// # use std::{cell::Cell, future::pending, time::Duration};
/// # use asyncio_executors::{on_cancel, timeout};
/// # asyncio_loop::run(async {
/// let clean = Cell::new(false);
/// let work = on_cancel(pending::<()>(), async { clean.set(true) });
/// assert!(timeout(Duration::from_millis(1), work).await.is_err());
/// assert!(clean.get());
/// # });
/// ```
///
/// # Cancellation
///
/// A second request interrupts the cleanup; [`shield`](crate::shield) it if that must not be.
pub async fn on_cancel<F: Future>(future: F, cleanup: impl Future) -> F::Output {
    match catch_cancel(future).await {
        Ok(value) => value,
        Err(cancelled) => {
            cleanup.await;
            cancelled.resume().await
        }
    }
}

/// Runs `future` and then `cleanup`, also if the future is cancelled: Python's `try: … finally:`.
///
/// ```
/// # use std::{cell::Cell, future::pending, time::Duration};
/// # use asyncio_executors::{timeout, try_finally};
/// # asyncio_loop::run(async {
/// let closed = Cell::new(0);
/// let close = || async { closed.set(closed.get() + 1) };
/// assert_eq!(try_finally(async { "used" }, close()).await, "used");
/// assert!(timeout(Duration::from_millis(1), try_finally(pending::<()>(), close())).await.is_err());
/// assert_eq!(closed.get(), 2);
/// # });
/// ```
///
/// If the future panics, `cleanup` is dropped without being run, as nothing can be awaited while unwinding.
///
/// # Cancellation
///
/// A cleanup that a cancellation began is interrupted by a second request, one that began without by a
/// first; [`shield`](crate::shield) it if that must not be.
pub async fn try_finally<F: Future>(future: F, cleanup: impl Future) -> F::Output {
    match catch_cancel(future).await {
        Ok(value) => {
            cleanup.await;
            value
        }
        Err(cancelled) => {
            cleanup.await;
            cancelled.resume().await
        }
    }
}
