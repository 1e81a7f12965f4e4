//! The outcome of a task on a loop, for another thread: blocks on it, or awaits it on any executor.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use asyncio_task::{
    Cause, JoinError, PanicPayload, SpawnOptions, StepBack, Task, TaskInfo, TaskName, Unhandled,
    is_err, try_spawn_with,
};

use futures_core::FusedFuture;

use crate::core::Core;
use crate::current;
use crate::debug;
use crate::exceptions::call_exception_handler;
use crate::loop_handle::{LoopClosed, LoopHandle};
use crate::outside_work::OutsideWork;

/// Reported for a task that is cancelled because its [`ThreadFuture`] was dropped unobserved.
const DROPPED: &str =
    "a task is cancelled because its `ThreadFuture` was dropped before it was waited for";

/// Reported for the error of a task whose [`ThreadFuture`] was dropped.
const UNRETRIEVED_ERROR: &str = "a task failed and nobody looked at its error: wait for its `ThreadFuture`, or use `LoopHandle::spawn`";

/// Reported for the panic of a task whose [`ThreadFuture`] was dropped.
const UNAWAITED_PANIC: &str = "a task panicked and nobody awaits it";

/// The outcome of a task that runs on another loop, from [`LoopHandle::run_coroutine_threadsafe`].
///
/// As with a [`Task`], dropping it cancels the task. Use [`LoopHandle::spawn`] for work that must continue on its own.
/// The loop's exception handler receives a panic that is never taken. In debug mode it receives an error that is never
/// taken, too. Debug mode also reports a task that is cancelled because this was dropped before any wait for it.
///
/// On another loop of its loop's thread, awaiting it returns
/// [`JoinError::Elsewhere`], because its own loop cannot run
/// meanwhile.
///
/// # Panics
///
/// If it is awaited again after it has returned the outcome.
#[must_use = "a task whose ThreadFuture is dropped is cancelled: wait for it, await it, or use LoopHandle::spawn"]
#[doc(alias = "concurrent.futures.Future")]
pub struct ThreadFuture<T> {
    shared: Arc<Shared<T>>,
    name: Option<Arc<str>>,
    event_loop: LoopHandle,
    /// Held while a task of another loop awaits it. It keeps that loop's virtual time from jumping.
    outside: Option<OutsideWork>,
    step_back: StepBack,
}

struct Shared<T> {
    state: Mutex<FutureState<T>>,
    ended: Condvar,
}

struct FutureState<T> {
    outcome: Completion<T>,
    /// The waker of the task that awaits the outcome.
    waiting: Option<Waker>,
    /// A request that has not been forwarded to the task.
    request: Option<CancelRequest>,
    /// Set once the outcome was waited for, or the task was cancelled through this future.
    observed: bool,
    /// The callbacks that have not been called, in the order in which they were added.
    callbacks: VecDeque<DoneCallback<T>>,
    /// The task that has ended, for reports.
    task: Option<TaskInfo>,
    /// Set when the [`ThreadFuture`] is dropped: the outcome will never be taken.
    abandoned: bool,
    /// The waker of the watcher on the loop, which forwards a cancel request to the task.
    watch: Option<Waker>,
}

type DoneCallback<T> = Box<dyn FnOnce(&Result<T, JoinError>) + Send>;

enum Completion<T> {
    Pending,
    Ready(Result<T, JoinError>),
    Taken,
}

impl LoopHandle {
    /// Calls `make` on the loop and runs the future that it returns as a task. The future need not
    /// be `Send`; only `make` and the output must be.
    ///
    /// # Errors
    ///
    /// [`LoopClosed`] with `make`, if the loop is closed. If the loop closes before the task begins,
    /// its outcome is [`JoinError::Cancelled`].
    #[track_caller]
    pub fn run_coroutine_threadsafe<M, F>(
        &self,
        make: M,
    ) -> Result<ThreadFuture<F::Output>, LoopClosed<M>>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        ThreadFuture::start(self, None, make)
    }

    /// Like [`run_coroutine_threadsafe`](Self::run_coroutine_threadsafe), with a name for the task.
    /// Reports, lists of tasks and [`JoinError`] show the name.
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_loop::*; }
    /// use asyncio::{EventLoop, current_task};
    ///
    /// let mut event_loop = EventLoop::new()?;
    /// let named = event_loop.handle().run_coroutine_threadsafe_named("backup", || async {
    ///     current_task().map(|task| task.name().to_string())
    /// })?;
    /// assert_eq!(named.name(), Some("backup"));
    /// assert_eq!(event_loop.run_until_complete(named)??.as_deref(), Some("backup"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`LoopClosed`] with `make`, if the loop is closed. If the loop closes before the task begins,
    /// its outcome is [`JoinError::Cancelled`].
    #[track_caller]
    pub fn run_coroutine_threadsafe_named<M, F>(
        &self,
        name: impl Into<Arc<str>>,
        make: M,
    ) -> Result<ThreadFuture<F::Output>, LoopClosed<M>>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        ThreadFuture::start(self, Some(name.into()), make)
    }
}

impl<T: Send + 'static> ThreadFuture<T> {
    #[track_caller]
    fn start<M, F>(
        event_loop: &LoopHandle,
        name: Option<Arc<str>>,
        make: M,
    ) -> Result<Self, LoopClosed<M>>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let location = std::panic::Location::caller();
        let shared = Arc::new(Shared {
            state: Mutex::new(FutureState {
                outcome: Completion::Pending,
                waiting: None,
                request: None,
                observed: false,
                callbacks: VecDeque::new(),
                task: None,
                abandoned: false,
                watch: None,
            }),
            ended: Condvar::new(),
        });
        let completer = Completer {
            shared: shared.clone(),
            name: name.clone(),
        };
        event_loop.send(make, move |make| {
            let mut options = SpawnOptions::new().location(location);
            if let Some(name) = completer.name.clone() {
                options = options.name(name);
            }
            // Among the last calls of a closing loop: the task would never begin.
            if current::try_with(Core::is_closing).unwrap_or(true) {
                return;
            }
            // A panic in `make` is a panic of the task, so the awaiter receives it.
            let body = async move { make().await };
            match completer.shared.take_request() {
                None => {}
                // Dropping the new task reports it, with its name and location.
                Some(CancelRequest::DropUnobserved) if debug::is_on_here() => {
                    return drop(try_spawn_with(options, body));
                }
                Some(CancelRequest::Cancel(message)) => {
                    completer.complete_unstarted(message);
                    return;
                }
                Some(_) => return,
            }
            // Spawning succeeds, because this closure runs on the loop that it was sent to.
            if let Ok(task) = try_spawn_with(options, body)
                && let Ok(watch) =
                    try_spawn_with(SpawnOptions::callback(), TaskWatcher { task, completer })
            {
                watch.detach();
            }
        })?;
        Ok(Self {
            shared,
            name,
            event_loop: event_loop.clone(),
            outside: None,
            step_back: StepBack::new(),
        })
    }
}

impl<T> ThreadFuture<T> {
    /// Blocks until the task has ended.
    ///
    /// # Errors
    ///
    /// [`JoinError`] if the task was cancelled, also because its loop was closed, or if it
    /// panicked.
    ///
    /// # Panics
    ///
    /// On the loop's own thread, if the task has not ended: the call would block forever. Await it
    /// there.
    #[doc(alias = "result")]
    pub fn wait(self) -> Result<T, JoinError> {
        let mut state = self.shared.lock();
        state.observed = true;
        loop {
            if let Some(outcome) = state.take() {
                return outcome;
            }
            state.assert_untaken();
            self.assert_other_thread();
            state = self
                .shared
                .ended
                .wait(state)
                .unwrap_or_else(|e| e.into_inner());
        }
    }

    /// Blocks until the task has ended, at most for `timeout`. After a timeout the task continues.
    ///
    /// # Errors
    ///
    /// Returns `self` after the timeout. The inner result is that of [`wait`](Self::wait).
    ///
    /// # Panics
    ///
    /// On the loop's own thread, if the task has not ended: the task could not end meanwhile.
    pub fn wait_timeout(self, timeout: Duration) -> Result<Result<T, JoinError>, Self> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.shared.lock();
        state.observed = true;
        loop {
            if let Some(outcome) = state.take() {
                return Ok(outcome);
            }
            state.assert_untaken();
            self.assert_other_thread();
            let left = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => timeout,
            };
            if left.is_zero() {
                drop(state);
                return Err(self);
            }
            let waited = self.shared.ended.wait_timeout(state, left);
            state = waited.unwrap_or_else(|e| e.into_inner()).0;
        }
    }

    /// Requests that the task be cancelled. `false` if it has ended.
    pub fn cancel(&self) -> bool {
        self.request_cancel(None)
    }

    /// Requests that the task be cancelled, with a message for
    /// [`JoinError::message`]. `false` if the task has ended.
    pub fn cancel_with(&self, message: impl Into<Arc<str>>) -> bool {
        self.request_cancel(Some(message.into()))
    }

    fn request_cancel(&self, message: Option<Arc<str>>) -> bool {
        self.shared.lock().observed = true;
        self.request(CancelRequest::Cancel(message))
    }

    /// Takes the outcome, if the task has ended. It can be taken once.
    #[must_use]
    pub fn try_take(&mut self) -> Option<Result<T, JoinError>> {
        let mut state = self.shared.lock();
        state.observed = true;
        state.take()
    }

    fn request(&self, request: CancelRequest) -> bool {
        let mut state = self.shared.lock();
        if !matches!(state.outcome, Completion::Pending) {
            return false;
        }
        // An explicit request that was not forwarded yet takes precedence over the request of the
        // drop. The last of several messages wins.
        let before = match request {
            CancelRequest::Cancel(Some(_)) => state.request.replace(request),
            request => {
                state.request.get_or_insert(request);
                None
            }
        };
        let watch = state.watch.take();
        drop(state);
        drop(before);
        if let Some(watch) = watch {
            watch.wake();
        }
        true
    }

    /// Calls `callback` with the outcome when the task ends: on the loop's thread, and before a waiter receives the
    /// outcome. Callbacks are called in the order in which they were added, and block the loop while they run. A panic
    /// in a callback goes to the loop's exception handler. After the loop is closed, it goes to that of the calling
    /// thread. Dropping this future cancels the task, and the callbacks receive that outcome.
    ///
    /// If the task has already ended, `callback` is called on this thread before this returns.
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_loop::*; }
    /// use asyncio::EventLoop;
    /// use std::sync::mpsc;
    ///
    /// let mut event_loop = EventLoop::new()?;
    /// let mut answer = event_loop.handle().run_coroutine_threadsafe(|| async { 6 * 7 })?;
    /// let (sender, receiver) = mpsc::channel();
    /// answer.add_done_callback(move |outcome| {
    ///     let _ = sender.send(*outcome.as_ref().expect("it returns"));
    /// });
    /// assert_eq!(event_loop.run_until_complete(answer)??, 42);
    /// assert_eq!(receiver.recv()?, 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If the outcome has been taken.
    #[doc(alias = "future.add_done_callback")]
    pub fn add_done_callback(
        &mut self,
        callback: impl FnOnce(&Result<T, JoinError>) + Send + 'static,
    ) {
        let mut state = self.shared.lock();
        state.observed = true;
        let Some(outcome) = state.take() else {
            state.assert_untaken();
            state.callbacks.push_back(Box::new(callback));
            return;
        };
        drop(state);
        if let Some(report) = call(Box::new(callback), &outcome) {
            self.event_loop.drop_on_loop(report);
        }
        // The outcome cannot be taken meanwhile, because this future is borrowed mutably.
        self.shared.lock().outcome = Completion::Ready(outcome);
    }

    /// The task's name from
    /// [`run_coroutine_threadsafe_named`](LoopHandle::run_coroutine_threadsafe_named).
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether the task has ended.
    #[must_use]
    #[doc(alias = "done")]
    pub fn is_finished(&self) -> bool {
        !matches!(self.shared.lock().outcome, Completion::Pending)
    }

    /// Whether this thread owns the task's loop but runs another loop now.
    fn is_loop_suspended(&self) -> bool {
        let owns_loop = self.event_loop.is_on_this_thread() && !self.event_loop.is_here();
        owns_loop && current::try_with(|_| ()).is_ok()
    }

    fn assert_other_thread(&self) {
        assert!(
            !self.event_loop.is_on_this_thread(),
            "waiting for a task of this thread's own event loop would block forever: await it, or wait on another thread"
        );
    }
}

impl<T> Future for ThreadFuture<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if Pin::new(&mut self.step_back).poll(cx).is_pending() {
            self.shared.lock().observed = true;
            return Poll::Pending;
        }
        // Cloned and dropped outside the lock, because wakers are foreign code.
        let waker = cx.waker().clone();
        let mut state = self.shared.lock();
        state.observed = true;
        if let Some(outcome) = state.take() {
            drop(state);
            self.outside = None;
            return Poll::Ready(outcome);
        }
        state.assert_untaken();
        if self.is_loop_suspended() {
            let name = TaskName::from("behind this `ThreadFuture`");
            return Poll::Ready(Err(JoinError::Elsewhere(name)));
        }
        let old = state.waiting.replace(waker);
        drop(state);
        drop(old);
        if self.outside.is_none() && !self.event_loop.is_here() {
            let here = current::try_with(Core::handle);
            self.outside = here.ok().map(|here| here.outside_work());
        }
        Poll::Pending
    }
}

impl<T> FusedFuture for ThreadFuture<T> {
    /// Whether the outcome has been taken.
    fn is_terminated(&self) -> bool {
        matches!(self.shared.lock().outcome, Completion::Taken)
    }
}

impl<T> Drop for ThreadFuture<T> {
    fn drop(&mut self) {
        let observed = self.shared.lock().observed;
        self.request(if observed {
            CancelRequest::Drop
        } else {
            CancelRequest::DropUnobserved
        });
        let mut state = self.shared.lock();
        state.abandoned = true;
        let unread = state.take();
        let task = state.task.take();
        drop(state);
        let report = match unread {
            Some(Err(JoinError::Panicked(_, payload))) => {
                Unhandled::about(UNAWAITED_PANIC, task, Cause::Panic(payload))
            }
            Some(Ok(value)) if self.event_loop.debug() && is_err(&value) => {
                Unhandled::about(UNRETRIEVED_ERROR, task, Cause::Message)
            }
            _ => return,
        };
        self.event_loop.drop_on_loop(UnclaimedReport(Some(report)));
    }
}

impl<T> fmt::Debug for ThreadFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadFuture")
            .field("name", &self.name)
            .field("finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, FutureState<T>> {
        // No code that can panic runs under this lock.
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn take_request(&self) -> Option<CancelRequest> {
        self.lock().request.take()
    }

    /// Calls the callbacks and stores the outcome, once. Returns the outcome if the
    /// [`ThreadFuture`] was dropped.
    fn complete(
        &self,
        outcome: Result<T, JoinError>,
        task: Option<TaskInfo>,
    ) -> Option<Result<T, JoinError>> {
        let mut state = self.lock();
        if !matches!(state.outcome, Completion::Pending) {
            return None;
        }
        // Other callbacks may be added meanwhile, so the loop ends when the list is empty under the
        // lock.
        while let Some(callback) = state.callbacks.pop_front() {
            drop(state);
            drop(call(callback, &outcome));
            state = self.lock();
        }
        if state.abandoned {
            state.outcome = Completion::Taken;
            return Some(outcome);
        }
        state.outcome = Completion::Ready(outcome);
        state.task = task;
        let waiting = state.waiting.take();
        drop(state);
        self.ended.notify_all();
        if let Some(waiting) = waiting {
            waiting.wake();
        }
        None
    }
}

/// Calls a callback. A panic is a report, which is made where it is dropped.
fn call<T>(callback: DoneCallback<T>, outcome: &Result<T, JoinError>) -> Option<UnclaimedReport> {
    let called = catch_unwind(AssertUnwindSafe(|| callback(outcome)));
    let cause = Cause::Panic(PanicPayload::new(called.err()?));
    let message = "a callback for the end of a `ThreadFuture`'s task panicked";
    let report = Unhandled::new(message, None, cause);
    Some(UnclaimedReport(Some(report)))
}

/// A request to cancel the task.
enum CancelRequest {
    /// From [`ThreadFuture::cancel`], with the message of `cancel_with`.
    Cancel(Option<Arc<str>>),
    /// The [`ThreadFuture`] was dropped after its outcome was waited for.
    Drop,
    /// The [`ThreadFuture`] was dropped unobserved.
    DropUnobserved,
}

impl<T> FutureState<T> {
    fn assert_untaken(&self) {
        assert!(
            !matches!(self.outcome, Completion::Taken),
            "a `ThreadFuture` was awaited again after it gave its outcome"
        );
    }

    fn take(&mut self) -> Option<Result<T, JoinError>> {
        match std::mem::replace(&mut self.outcome, Completion::Taken) {
            Completion::Ready(outcome) => Some(outcome),
            other => {
                self.outcome = other;
                None
            }
        }
    }
}

/// The loop's side of the outcome. Dropping it without a task completes the outcome as cancelled.
struct Completer<T> {
    shared: Arc<Shared<T>>,
    name: Option<Arc<str>>,
}

impl<T> Completer<T> {
    /// Completes the outcome as cancelled before the task began, unless it is complete.
    fn complete_unstarted(&self, message: Option<Arc<str>>) {
        let name = TaskName::from(self.name.as_deref().unwrap_or("(not started)"));
        self.shared
            .complete(Err(JoinError::Cancelled(name, message)), None);
    }
}

impl<T> Drop for Completer<T> {
    fn drop(&mut self) {
        self.complete_unstarted(None);
    }
}

/// Awaits the task on its loop, and forwards cancel requests to it.
struct TaskWatcher<T> {
    task: Task<T>,
    completer: Completer<T>,
}

impl<T> TaskWatcher<T> {
    fn complete(&self, outcome: Result<T, JoinError>) {
        let task = self.task.as_ref();
        let unwanted = self.completer.shared.complete(outcome, Some(task.info()));
        let report = match unwanted {
            Some(Err(JoinError::Panicked(_, payload))) => {
                Unhandled::new(UNAWAITED_PANIC, Some(&task), Cause::Panic(payload))
            }
            Some(Ok(value)) if debug::is_on_here() && is_err(&value) => {
                Unhandled::new(UNRETRIEVED_ERROR, Some(&task), Cause::Message)
            }
            _ => return,
        };
        call_exception_handler(&report);
    }

    fn forward(&self, request: CancelRequest) {
        if self.task.is_finished() {
            return;
        }
        if matches!(request, CancelRequest::DropUnobserved) && debug::is_on_here() {
            let report = Unhandled::new(DROPPED, Some(&self.task.as_ref()), Cause::Message);
            call_exception_handler(&report);
        }
        match request {
            CancelRequest::Cancel(None) => self.task.cancel(),
            CancelRequest::Cancel(Some(message)) => self.task.cancel_with(message),
            CancelRequest::Drop | CancelRequest::DropUnobserved => self.task.as_ref().cancel_once(),
        };
    }
}

impl<T> Future for TaskWatcher<T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let old = self.completer.shared.lock().watch.replace(waker);
        drop(old);
        if let Some(request) = self.completer.shared.take_request() {
            self.forward(request);
        }
        let outcome = std::task::ready!(Pin::new(&mut self.task).poll(cx));
        self.complete(outcome);
        Poll::Ready(())
    }
}

impl<T> Drop for TaskWatcher<T> {
    fn drop(&mut self) {
        // The loop is closing. The task may still have ended in the same batch.
        let outcome = self.task.try_take();
        let cancelled = || Err(JoinError::Cancelled(self.task.name(), None));
        self.complete(outcome.unwrap_or_else(cancelled));
    }
}

/// A report that is made where this is dropped: on the loop, unless the loop is closed.
struct UnclaimedReport(Option<Unhandled>);

impl Drop for UnclaimedReport {
    fn drop(&mut self) {
        if let Some(report) = self.0.take() {
            call_exception_handler(&report);
        }
    }
}
