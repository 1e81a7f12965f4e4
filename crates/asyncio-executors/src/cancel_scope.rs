//! A stretch of code that can be cancelled by its handle.

use std::cell::RefCell;
use std::fmt;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use asyncio_task::{Interrupted, Scope, ScopeHandle};

use crate::timeout::open;

/// Runs the future of `work`, and returns its value. Returns `None` if the handle that `work` receives has cancelled
/// it. The future has ended then, and its cleanups have run.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_loop::*; }
/// use asyncio::{CancelScope, cancel_scope};
/// use std::future::pending;
/// # asyncio_loop::run(async {
/// let stopped = cancel_scope(async |scope: CancelScope| {
///     asyncio::call_soon(move || scope.cancel());
///     pending::<()>().await
/// });
/// assert_eq!(stopped.await, None);
/// # });
/// ```
///
/// # Cancellation
///
/// A request from outside goes to the work, and on to the enclosing code after its cleanups.
///
/// # Panics
///
/// When polled outside of any task.
pub async fn cancel_scope<T>(work: impl AsyncFnOnce(CancelScope) -> T) -> Option<T> {
    let handle = CancelScope(Rc::default());
    let mut scope = pin!(Scope::new(work(handle.clone())));
    let outcome = std::future::poll_fn(|cx| {
        let mut state = handle.0.borrow_mut();
        if state.opened.is_none() {
            let opened = open(scope.as_mut());
            if state.cancelled {
                opened.cancel_with(state.message.take());
            }
            state.opened = Some(opened);
        }
        drop(state);
        scope.as_mut().poll(cx)
    })
    .await;
    match outcome {
        Ok(value) => Some(value),
        Err(Interrupted::Own) => None,
        Err(Interrupted::Outer(cancelled)) => cancelled.resume().await,
    }
}

/// The handle that cancels a [`cancel_scope`], from within or from another task.
#[derive(Clone)]
#[doc(alias = "CancellationToken")]
pub struct CancelScope(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    opened: Option<ScopeHandle>,
    cancelled: bool,
    /// Said before it was opened.
    message: Option<Arc<str>>,
}

impl CancelScope {
    /// Asks the work to end. After it has ended this does nothing.
    pub fn cancel(&self) {
        self.request(None);
    }

    /// Asks the work to end, with a message. Each [`Cancelled`](crate::Cancelled) in the work has the message. See
    /// [`Task::cancel_with`](asyncio_task::Task::cancel_with).
    pub fn cancel_with(&self, message: impl Into<Arc<str>>) {
        self.request(Some(message.into()));
    }

    fn request(&self, message: Option<Arc<str>>) {
        let opened = {
            let mut state = self.0.borrow_mut();
            state.cancelled = true;
            state.opened.clone()
        };
        match opened {
            Some(opened) => {
                opened.cancel_with(message);
            }
            None => {
                let mut state = self.0.borrow_mut();
                state.message = message.or(state.message.take());
            }
        }
    }

    /// Whether a handle has cancelled the work.
    #[must_use]
    #[doc(alias = "cancel_called")]
    pub fn is_cancelled(&self) -> bool {
        self.0.borrow().cancelled
    }
}

impl fmt::Debug for CancelScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelScope")
            .field("cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}
