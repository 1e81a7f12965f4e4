//! A panic as a value, for supervisors.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use asyncio_loop::call_exception_handler;
use asyncio_task::{Cause, PanicPayload, StepBack, Unhandled, current_task};
use pin_project_lite::pin_project;

/// Runs `future`, and gives its panic as a value.
///
/// Otherwise, a panic of a child ends its group, and the panic goes on from there. A supervisor decides by the value:
/// it starts the work again, or [resumes](PanicPayload::resume) the panic.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; }
/// use asyncio::{BoxError, TaskGroup, catch_panic, task_group};
/// use std::cell::Cell;
/// # asyncio_loop::run(async {
/// let runs = Cell::new(0);
/// let work = async || {
///     runs.set(runs.get() + 1);
///     assert!(runs.get() > 2, "not yet");
/// };
/// task_group(async |tg: TaskGroup| {
///     tg.spawn_ok(async {
///         while let Err(panic) = catch_panic(work()).await {
///             assert_eq!(panic.message(), "not yet");
///         }
///     });
///     Ok(())
/// })
/// .await?;
/// assert_eq!(runs.get(), 3);
/// # Ok::<(), BoxError>(()) }).unwrap();
/// ```
///
/// The future is dropped where it has returned or panicked. The exception handler receives the panic of a destructor
/// there. The values that the future borrowed are as the panic left them, so a supervisor checks them or makes them
/// anew.
///
/// # Errors
///
/// The payload of the panic. `PanicPayload` goes to other threads, and shows the message of the panic.
///
/// # Cancellation
///
/// As with the future itself. If a request has ended a scope in it, and a cleanup or a destructor there panics, the
/// panic is the value. The request takes the next await. If there is no scope in it, the request ends the code around.
/// A panic of a destructor then goes on from there.
///
/// # Panics
///
/// When it is awaited again after it has returned.
#[doc(alias = "catch_unwind")]
pub fn catch_panic<F: Future>(future: F) -> CatchPanic<F> {
    CatchPanic {
        future: Some(future),
        step_back: StepBack::new(),
    }
}

pin_project! {
    /// The future of [`catch_panic`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct CatchPanic<F> {
        #[pin]
        future: Option<F>,
        step_back: StepBack,
    }
}

impl<F: Future> Future for CatchPanic<F> {
    type Output = Result<F::Output, PanicPayload>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        ready!(Pin::new(this.step_back).poll(cx)); // so a loop of work that panics at once lets others run
        let mut slot = this.future;
        let future = slot.as_mut().as_pin_mut();
        let future = future.expect("a `catch_panic` was awaited again after it had returned");
        match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => {
                drop_reporting(slot, "the destructor of work that has returned panicked");
                Poll::Ready(Ok(value))
            }
            Err(payload) => {
                drop_reporting(slot, "the destructor of work that panicked panicked");
                Poll::Ready(Err(PanicPayload::new(payload)))
            }
        }
    }
}

/// Drops work, and reports a panic of its destructor with this message.
fn drop_reporting<F>(mut work: Pin<&mut Option<F>>, message: &'static str) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| work.set(None))) {
        let cause = Cause::Panic(PanicPayload::new(payload));
        let task = current_task();
        call_exception_handler(&Unhandled::new(message, task.as_ref(), cause));
    }
}
