//! Hearing of a cancellation, and cleaning up after it.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use asyncio_loop::call_exception_handler;
use asyncio_task::{Cancelled, Cause, Interrupted, PanicPayload, Scope, Unhandled, current_task};
use pin_project_lite::pin_project;

type Payload = Box<dyn Any + Send>;

/// Runs `future`, and returns a token if a request to cancel ends it.
///
/// The future has been dropped then, and the returned [`Cancelled`] holds the request. Clean up, with `await` if need
/// be, and [`resume`](Cancelled::resume) the token. This is Python's `try: … except CancelledError:`.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_loop::*; }
/// use asyncio::{catch_cancel, timeout};
/// use std::future::pending;
/// use std::time::Duration;
/// # asyncio_loop::run(async {
/// async fn serve() {
///     if let Err(cancelled) = catch_cancel(pending::<()>()).await {
///         asyncio::sleep(Duration::from_millis(1)).await; // say goodbye
///         println!("said goodbye");
///         cancelled.resume().await
///     }
/// }
/// let served = timeout(Duration::from_millis(5), serve()).await;
/// assert!(served.is_err());
/// # });
/// ```
///
/// After many ready awaits in one step of a task, it lets other tasks run before it polls the future. A request that
/// comes then is heard as well.
///
/// Outside of any task it only runs the future.
///
/// # Cancellation
///
/// The request drops `future`, and the caller gets the token. A plain drop of `catch_cancel` drops the future, and
/// there is no token.
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
            Err(Interrupted::Outer(cancelled)) => Poll::Ready(Err(cancelled)),
            Err(Interrupted::Own) => unreachable!("this scope has no handle"),
        }
    }
}

/// Runs `future`. If it is cancelled, runs `cleanup`, and then lets the cancellation go on.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; }
/// use asyncio::{on_cancel, timeout};
/// use std::cell::Cell;
/// use std::future::pending;
/// use std::time::Duration;
/// # asyncio_loop::run(async {
/// let clean = Cell::new(false);
/// let work = on_cancel(pending::<()>(), async { clean.set(true) });
/// assert!(timeout(Duration::from_millis(1), work).await.is_err());
/// assert!(clean.get());
/// # });
/// ```
///
/// The cleanup runs after a cancellation and nothing else, as after Python's `except CancelledError:`. A panic of the
/// future skips it, also one of a destructor when a request ends the future. [`try_finally`] cleans up after both.
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

/// Runs `future` and then `cleanup`, even if the future is cancelled or panics: Python's `try: … finally:`.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; }
/// use asyncio::{timeout, try_finally};
/// use std::cell::Cell;
/// use std::future::pending;
/// use std::time::Duration;
/// # asyncio_loop::run(async {
/// let closed = Cell::new(0);
/// let close = || async { closed.set(closed.get() + 1) };
/// assert_eq!(try_finally(async { "used" }, close()).await, "used");
/// assert!(timeout(Duration::from_millis(1), try_finally(pending::<()>(), close())).await.is_err());
/// assert_eq!(closed.get(), 2);
/// # });
/// ```
///
/// If the future panics, it is dropped, the cleanup runs, and the panic goes on. If the cleanup panics as well, the
/// exception handler receives that panic, and the first one goes on.
///
/// # Cancellation
///
/// A second request interrupts a cleanup that a cancellation began. A first one interrupts any other cleanup.
/// [`shield`](crate::shield) a cleanup that must not be interrupted. A request that the future had heard of before it
/// panicked does not interrupt the cleanup, and goes on after it, with the panic. After a panic, a cleanup that is
/// interrupted is dropped where it waits, and the panic goes on. If it is dropped then, the panic is lost, and the
/// exception handler receives a report.
pub async fn try_finally<F: Future>(future: F, cleanup: impl Future) -> F::Output {
    Work::run(future).await.clean_up(cleanup).await
}

/// How work has ended that is cleaned up after. The future of the work has been dropped.
pub(crate) enum Work<T> {
    Returned(T),
    Cancelled(Cancelled),
    Panicked(HeldPanic),
}

impl<T> Work<T> {
    /// Runs the work to its end.
    pub(crate) async fn run(future: impl Future<Output = T>) -> Self {
        let mut work = pin!(Scope::new(future));
        match poll_fn(|cx| caught(|| work.as_mut().poll(cx))).await {
            Ok(Ok(value)) => Self::Returned(value),
            Ok(Err(Interrupted::Outer(cancelled))) => Self::Cancelled(cancelled),
            Ok(Err(Interrupted::Own)) => unreachable!("this scope has no handle"),
            Err(payload) => {
                let mut panic = HeldPanic {
                    payload: Some(payload),
                    request: None,
                };
                if let Err(second) = catch_unwind(AssertUnwindSafe(|| work.as_mut().discard())) {
                    report("the destructor of work that panicked panicked", second);
                }
                // The cleanup is not cut by the request that the work had heard of.
                panic.request = work.as_mut().take_request();
                Self::Panicked(panic)
            }
        }
    }

    /// Runs `cleanup`, and then goes on with what the work came to.
    pub(crate) async fn clean_up(self, cleanup: impl Future) -> T {
        match self {
            Self::Returned(value) => {
                cleanup.await;
                value
            }
            Self::Cancelled(cancelled) => {
                cleanup.await;
                cancelled.resume().await
            }
            Self::Panicked(panic) => {
                let mut cleanup = pin!(catch_cancel(cleanup));
                match poll_fn(|cx| caught(|| cleanup.as_mut().poll(cx))).await {
                    // A token that is dropped sends its request on.
                    Ok(interrupted) => drop(interrupted.err()),
                    Err(second) => report("a cleanup after a panic panicked", second),
                }
                panic.resume()
            }
        }
    }
}

/// Polls something whose panic is an outcome.
fn caught<T>(poll: impl FnOnce() -> Poll<T>) -> Poll<Result<T, Payload>> {
    match catch_unwind(AssertUnwindSafe(poll)) {
        Ok(poll) => poll.map(Ok),
        Err(payload) => Poll::Ready(Err(payload)),
    }
}

/// A panic that goes on when the cleanup after it is over.
pub(crate) struct HeldPanic {
    payload: Option<Payload>,
    /// A request that the work had heard of. It goes on with the panic.
    request: Option<Cancelled>,
}

impl HeldPanic {
    fn resume(mut self) -> ! {
        drop(self.request.take());
        resume_unwind(self.payload.take().expect("it is resumed once"))
    }
}

impl Drop for HeldPanic {
    fn drop(&mut self) {
        if let Some(payload) = self.payload.take() {
            report("code that cleaned up after a panic was dropped", payload);
        }
    }
}

fn report(message: &'static str, payload: Payload) {
    let task = current_task();
    let cause = Cause::Panic(PanicPayload::new(payload));
    call_exception_handler(&Unhandled::new(message, task.as_ref(), cause));
}
