//! Time limits: the work is cancelled when its time is over, and waited for.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use asyncio_loop::Deadline;
use asyncio_task::{Interrupted, Propagation, Scope, ScopeHandle, is_in_task};
use pin_project_lite::pin_project;

/// The time limit passed before the work was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("timed out")]
#[doc(alias = "TimeoutError")]
pub struct TimedOut;

/// An error of kind `TimedOut`.
impl From<TimedOut> for io::Error {
    fn from(error: TimedOut) -> Self {
        Self::new(io::ErrorKind::TimedOut, error)
    }
}

/// Runs `future` under a time limit, which counts from this call.
///
/// When its time is over, it is cancelled *and waited for*: its cleanups have run when this returns. If it returns a
/// value all the same, this returns that value. A limit of zero allows one poll. If that poll gives no value, the ready
/// tasks have their turn before this returns. So a loop of such limits lets others run, and can be cancelled.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; }
/// use asyncio::{TimedOut, timeout};
/// use std::future::pending;
/// use std::time::Duration;
/// # asyncio_loop::run(async {
/// assert_eq!(timeout(Duration::from_secs(1), async { 5 }).await, Ok(5));
/// assert_eq!(timeout(Duration::from_millis(1), pending::<()>()).await, Err(TimedOut));
/// # });
/// ```
///
/// After many awaits in one step of a task that were ready, it lets others run before it polls the future. So a loop of
/// limits around work that is ready can be ended, and `now_or_never()` is `None` now and then.
///
/// If a request to cancel the enclosing code is open at the same time, that request goes on. So of nested timeouts that
/// are due together, the outermost reports.
///
/// # Errors
///
/// [`TimedOut`]: the time was over, and the work has ended without a value.
///
/// # Cancellation
///
/// The request goes to the future, and on to the enclosing code after its cleanups.
///
/// # Panics
///
/// Without a running loop, and when polled outside of any task, or first by a task of another loop. When awaited again
/// in code that does not propagate a request, after a request to the enclosing code has ended the work.
#[track_caller]
pub fn timeout<F: Future>(limit: Duration, future: F) -> Timeout<F> {
    Timeout::after(limit, future)
}

/// Runs `future` until a deadline in the [time of the loop](asyncio_loop::time), as [`timeout`] does. A deadline in the
/// past allows one poll.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_loop::*; }
/// use asyncio::{TimedOut, sleep, time, timeout_at};
/// use std::future::pending;
/// use std::time::Duration;
/// # asyncio_loop::run(async {
/// // One limit for all of several steps.
/// let deadline = time() + Duration::from_millis(5);
/// assert_eq!(timeout_at(deadline, sleep(Duration::from_millis(1))).await, Ok(()));
/// assert_eq!(timeout_at(deadline, pending::<()>()).await, Err(TimedOut));
/// # });
/// ```
///
/// # Errors
///
/// The time was over.
///
/// # Cancellation
///
/// As with [`timeout`].
///
/// # Panics
///
/// As [`timeout`].
#[track_caller]
pub fn timeout_at<F: Future>(deadline: Instant, future: F) -> Timeout<F> {
    Timeout::new(Deadline::at(Some(deadline)), future)
}

/// Runs `future` under a time limit, as [`timeout`] does, with the arguments in asyncio's order. `None` is no limit.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_loop::*; }
/// use asyncio::{TimedOut, on_cancel, sleep, spawn, wait_for};
/// use std::time::Duration;
/// # asyncio_loop::run(async {
/// // A task is cancelled as well, and its cleanup is over when this returns.
/// let cleanup = async { println!("cleaned up") };
/// let task = spawn(on_cancel(sleep(Duration::from_secs(3600)), cleanup));
/// assert_eq!(wait_for(task, Duration::from_millis(1)).await.err(), Some(TimedOut));
///
/// assert_eq!(wait_for(async { 5 }, None).await, Ok(5));
/// # });
/// ```
///
/// # Errors
///
/// The time was over.
///
/// # Cancellation
///
/// As with [`timeout`].
///
/// # Panics
///
/// As [`timeout`].
#[track_caller]
pub fn wait_for<F: Future>(future: F, limit: impl Into<Option<Duration>>) -> Timeout<F> {
    match limit.into() {
        Some(limit) => Timeout::after(limit, future),
        None => Timeout::new(Deadline::at(None), future),
    }
}

pin_project! {
    /// The future of [`timeout`], [`timeout_at`] and [`wait_for`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Timeout<F> {
        deadline: Deadline,
        state: State,
        #[pin]
        scope: Scope<F>,
    }
}

#[derive(Debug, PartialEq)]
enum State {
    /// Its scope is opened and its timer armed before the first poll. So its timer is in front of any timer with the
    /// same deadline that the future arms.
    New,
    /// The same, but if the deadline allows, after the first poll, and only if there is something to wait for.
    Late,
    Open,
    /// The request was for the enclosing code, which propagates it.
    Over(Propagation),
}

impl<F: Future> Timeout<F> {
    fn new(deadline: Deadline, future: F) -> Self {
        Self {
            deadline,
            state: State::New,
            scope: Scope::new(future),
        }
    }

    #[track_caller]
    fn after(limit: Duration, future: F) -> Self {
        Self {
            state: State::Late,
            ..Self::new(Deadline::after(limit), future)
        }
    }

    /// The deadline. `None` if there is none.
    #[must_use]
    pub fn when(&self) -> Option<Instant> {
        self.deadline.when()
    }
}

/// A time limit belongs to a task.
const OUTSIDE: &str =
    "a time limit is polled by a task: spawn the future that contains it, or run it as main";

/// A request has ended it, and it is awaited again, elsewhere.
const AGAIN: &str = "a time limit was awaited again after a request to cancel the enclosing code had ended its work";

/// The loop whose time it was to be does not run here.
const AWAY: &str = "this time limit belongs to another event loop, or its loop is closed: create it on the loop that awaits it";

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, TimedOut>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        match this.state {
            State::Open => {}
            State::Over(propagation) => return propagation.poll_again(AGAIN),
            State::Late if this.deadline.may_be_armed_late() => {
                assert!(is_in_task(), "{OUTSIDE}");
            }
            State::New | State::Late => {
                if let Some(over) = begin(this.scope.as_mut().open(), this.deadline) {
                    over.expire_after_one_poll();
                }
                *this.state = State::Open;
            }
        }
        let Poll::Ready(outcome) = this.scope.as_mut().poll(cx) else {
            if *this.state == State::Late {
                // Its time is not over: that is counted from the beginning of the turn.
                begin(this.scope.as_mut().open_after_poll(), this.deadline);
                *this.state = State::Open;
            }
            return Poll::Pending;
        };
        match outcome {
            Ok(value) => {
                this.deadline.disarm();
                Poll::Ready(Ok(value))
            }
            Err(Interrupted::Own) => Poll::Ready(Err(TimedOut)),
            Err(Interrupted::Outer(cancelled)) => {
                this.deadline.disarm();
                drop(cancelled); // which sends it on
                *this.state = State::Over(Propagation::here());
                Poll::Pending
            }
        }
    }
}

/// Starts the timer of a time limit, whose scope has been opened. Gives the scope if its time is over.
#[inline]
fn begin(scope: Option<ScopeHandle>, deadline: &mut Deadline) -> Option<ScopeHandle> {
    assert!(deadline.is_here(), "{AWAY}");
    let scope = scope.expect(OUTSIDE);
    (!deadline.arm(&scope)).then_some(scope)
}

/// Opens the scope of a time limit.
pub(crate) fn open<F: Future>(scope: Pin<&mut Scope<F>>) -> ScopeHandle {
    scope.open().expect(OUTSIDE)
}

/// Runs the future of `work` under a time limit. `work` receives the handle that moves the limit.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_loop::*; }
/// use asyncio::{TimeoutHandle, sleep, time, timeout_scope};
/// use std::time::Duration;
/// # asyncio_loop::run(async {
/// let limit = Some(time() + Duration::from_millis(1));
/// let done = timeout_scope(limit, async |limit: TimeoutHandle| {
///     limit.reschedule(Some(time() + Duration::from_secs(5))).unwrap();
///     sleep(Duration::from_millis(2)).await;
///     "in time"
/// });
/// assert_eq!(done.await, Ok("in time"));
/// # });
/// ```
///
/// # Errors
///
/// The time was over.
///
/// # Cancellation
///
/// As with [`timeout`]. Afterwards [`expired`](TimeoutHandle::expired) tells whether the limit was over as well.
///
/// # Panics
///
/// Without a running loop, and when polled outside of any task.
#[doc(alias = "asyncio.Timeout")]
pub async fn timeout_scope<T>(
    when: Option<Instant>,
    work: impl AsyncFnOnce(TimeoutHandle) -> T,
) -> Result<T, TimedOut> {
    let shared = Rc::new(Limit {
        deadline: RefCell::new(Deadline::at(when)),
        scope: RefCell::new(None),
        expired: Cell::new(false),
        finished: Cell::new(false),
    });
    let handle = TimeoutHandle(shared.clone());
    let mut scope = std::pin::pin!(Scope::new(work(handle)));
    let _finish = Finish(&shared);
    let outcome = std::future::poll_fn(|cx| {
        if shared.scope.borrow().is_none() {
            let opened = open(scope.as_mut());
            if !shared.deadline.borrow_mut().arm(&opened) {
                shared.expired.set(true);
                opened.expire_after_one_poll();
            }
            shared.scope.replace(Some(opened));
        }
        scope.as_mut().poll(cx)
    })
    .await;
    match outcome {
        Ok(value) => Ok(value),
        Err(Interrupted::Own) => Err(TimedOut),
        Err(Interrupted::Outer(cancelled)) => {
            drop(_finish);
            cancelled.resume().await
        }
    }
}

/// The handle of the time limit of a [`timeout_scope`], which reads it and moves it.
#[derive(Clone)]
#[doc(alias = "asyncio.Timeout")]
pub struct TimeoutHandle(Rc<Limit>);

struct Limit {
    deadline: RefCell<Deadline>,
    scope: RefCell<Option<ScopeHandle>>,
    expired: Cell<bool>,
    finished: Cell<bool>,
}

struct Finish<'a>(&'a Limit);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        let mut deadline = self.0.deadline.borrow_mut();
        self.0
            .expired
            .set(self.0.expired.get() || deadline.has_come());
        self.0.finished.set(true);
        deadline.disarm();
    }
}

/// A time limit cannot be moved any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RescheduleError {
    /// The limit has passed, and the work has ended or is being cancelled.
    #[error("the time limit has expired")]
    Expired,
    /// The work is done.
    #[error("the time limit has ended with its work")]
    Finished,
}

impl TimeoutHandle {
    /// Moves the limit, or takes it away.
    ///
    /// # Errors
    ///
    /// It has expired, or the work has ended.
    pub fn reschedule(&self, when: Option<Instant>) -> Result<(), RescheduleError> {
        if self.expired() {
            return Err(RescheduleError::Expired);
        }
        if self.0.finished.get() {
            return Err(RescheduleError::Finished);
        }
        let scope = self.0.scope.borrow().clone();
        let over = {
            let mut deadline = self.0.deadline.borrow_mut();
            deadline.set(when);
            scope.filter(|scope| !deadline.arm(scope))
        };
        if let Some(scope) = over {
            self.0.expired.set(true);
            scope.expire(); // wakes, so nothing is borrowed here
        }
        Ok(())
    }

    /// The deadline. `None` if there is none.
    #[must_use]
    pub fn when(&self) -> Option<Instant> {
        self.0.deadline.borrow().when()
    }

    /// Whether the limit passed before the work ended.
    #[must_use]
    pub fn expired(&self) -> bool {
        self.0.expired.get() || self.0.deadline.borrow().has_come()
    }
}

impl fmt::Debug for TimeoutHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.expired(), self.0.finished.get()) {
            (true, false) => "expiring",
            (true, true) => "expired",
            (false, true) => "finished",
            (false, false) => "active",
        };
        f.debug_struct("TimeoutHandle")
            .field("state", &state)
            .field("when", &self.when())
            .finish()
    }
}

/// Runs `future` under a time limit, which counts from this call. Returns `None` if the limit has passed: the future
/// has been cancelled and awaited then, as with [`timeout`].
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; }
/// use asyncio::move_on_after;
/// use std::future::pending;
/// use std::time::Duration;
/// # asyncio_loop::run(async {
/// let limit = Duration::from_millis(1);
/// assert_eq!(move_on_after(limit, async { "in time" }).await, Some("in time"));
/// assert_eq!(move_on_after(limit, pending::<()>()).await, None);
/// # });
/// ```
///
/// # Cancellation
///
/// As with [`timeout`].
///
/// # Panics
///
/// As [`timeout`].
#[track_caller]
pub fn move_on_after<F: Future>(
    limit: Duration,
    future: F,
) -> impl Future<Output = Option<F::Output>> {
    let limited = timeout(limit, future);
    async move { limited.await.ok() }
}
