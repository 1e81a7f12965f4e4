//! Work that a cancellation has to wait for.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use asyncio_task::{
    Interrupted, JoinError, Listener, Outcome, Propagation, Scope, Task, propagate_here,
};
use pin_project_lite::pin_project;

/// Runs `future` to its end, whether a request to cancel comes meanwhile or has come before. The request waits until
/// the future is done, and then takes the next await that is not shielded. So does a second one.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_loop::*; }
/// use asyncio::{shield, sleep, timeout};
/// use std::cell::Cell;
/// use std::time::Duration;
/// # asyncio_loop::run(async {
/// let written = Cell::new(false);
/// let write = async {
///     sleep(Duration::from_millis(3)).await;
///     written.set(true);
/// };
/// let caller = async { shield(write).await; sleep(Duration::ZERO).await };
/// assert!(timeout(Duration::from_millis(1), caller).await.is_err());
/// assert!(written.get());
/// # });
/// ```
///
/// Around `&mut task` it waits for the task without passing requests on to it. To let the await be cut while
/// the task goes on, as Python's `shield` does, see [`shield_task`].
///
/// Outside of any task it only runs the future.
///
/// # Cancellation
///
/// The request is deferred, not lost. A plain drop of the shield, by `select!` say, drops the future like any other.
///
/// A cancellation that begins inside is not deferred. Examples are a [`race`](crate::race) whose contenders were all
/// cancelled, and a token from outside that the future [resumes](crate::Cancelled::resume). Then the enclosing code
/// propagates it too.
///
/// A deferred request is delivered to the code after the shield. So a [`try_finally`](crate::try_finally) that follows
/// releases a resource that was acquired under the shield. A loop of nothing but shielded awaits cannot be cancelled.
///
/// # Panics
///
/// When awaited again in code that does not propagate a request, after the shielded future has propagated one.
pub fn shield<F: Future>(future: F) -> Shield<F> {
    Shield {
        listener: Listener::new(),
        propagation: None,
        scope: Scope::new(future),
    }
}

pin_project! {
    /// The future of [`shield`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Shield<F> {
        listener: Listener,
        // It is over, and this code propagates a request.
        propagation: Option<Propagation>,
        // The shielded future may propagate a request of its own accord. This scope catches that.
        #[pin]
        scope: Scope<F>,
    }
}

impl<F: Future> Future for Shield<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if let Some(propagation) = this.propagation {
            return propagation.poll_again(
                "a shield was awaited again after the future in it had been cancelled",
            );
        }
        // A request that is heard here holds the enclosing code from here on.
        if this.listener.heard() {
            this.listener.break_circle();
        }
        match this.listener.shelter(|| this.scope.poll(cx)) {
            Poll::Ready(Ok(output)) => {
                this.listener.release();
                Poll::Ready(output)
            }
            Poll::Ready(Err(interrupted)) => {
                if let Interrupted::Outer(cancelled) = interrupted {
                    cancelled.swallow(); // it was for the code inside
                }
                *this.propagation = Some(match this.listener.conclude(false) {
                    true => Propagation::here(),
                    false => propagate_here(),
                });
                Poll::Pending
            }
            Poll::Pending => {
                this.listener.wait(cx);
                Poll::Pending
            }
        }
    }
}

/// Awaits a task that goes on if the awaiting code is cancelled: Python's `shield`.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_loop::*; }
/// use asyncio::{shield_task, sleep, spawn, timeout};
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use std::time::Duration;
/// # asyncio_loop::run(async {
/// let written = Rc::new(Cell::new(false));
/// let write = {
///     let written = written.clone();
///     async move {
///         sleep(Duration::from_millis(3)).await;
///         written.set(true);
///     }
/// };
/// assert!(timeout(Duration::from_millis(1), shield_task(spawn(write))).await.is_err());
/// assert!(!written.get()); // it goes on
/// sleep(Duration::from_millis(5)).await;
/// assert!(written.get());
/// # });
/// ```
///
/// The task returns `()` or a `Result`, because a failure that nothing awaits is reported. Wrap any other value: spawn
/// the task so that it returns `Ok::<_, Infallible>(value)`.
///
/// # Errors
///
/// [`JoinError`], as when awaiting the task itself.
///
/// # Cancellation
///
/// The wait is cut at once, and the task is [detached](Task::detach): its value is lost, and the exception handler
/// receives its failure.
///
/// # Panics
///
/// When awaited again in code that does not propagate a request, after a request has cut the wait.
#[doc(alias = "asyncio.shield")]
pub async fn shield_task<T: Outcome + 'static>(mut task: Task<T>) -> Result<T, JoinError> {
    // The listener is told in place of the task, which is polled where requests do not enter.
    let mut listener = Listener::new();
    let outcome = poll_fn(|cx| {
        let heard = listener.heard();
        match listener.isolate(|| Pin::new(&mut task).poll(cx)) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending if heard => Poll::Ready(None),
            Poll::Pending => {
                listener.wait(cx);
                Poll::Pending
            }
        }
    })
    .await;
    let Some(outcome) = outcome else {
        task.detach();
        listener.conclude(false); // The enclosing code propagates the request.
        let propagation = Propagation::here();
        let again = "a shielded wait for a task was awaited again after a request had cut it";
        return poll_fn(|_| propagation.poll_again(again)).await;
    };
    listener.release();
    outcome
}
