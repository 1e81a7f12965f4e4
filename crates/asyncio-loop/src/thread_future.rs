//! The outcome of a task on a loop, for another thread: to block on, or to await on any executor.

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

use crate::core::Core;
use crate::current;
use crate::debug;
use crate::exceptions::call_exception_handler;
use crate::loop_handle::{LoopClosed, LoopHandle};
use crate::outside_work::OutsideWork;

/// How a task is reported whose [`ThreadFuture`] was dropped, and with it the task's work.
const LOST: &str =
    "a task is cancelled because its `ThreadFuture` was dropped and nobody had waited for it";

/// How the error of a task is reported whose [`ThreadFuture`] was dropped.
const FAILED: &str = "a task failed and nobody looked at its error: wait for its `ThreadFuture`, or use `LoopHandle::spawn`";

/// How the panic of a task is reported whose [`ThreadFuture`] was dropped.
const UNREAD: &str = "a task panicked and nobody awaits it";

/// What [`LoopHandle::run_coroutine_threadsafe`] gives: the right to the outcome of the task that runs
/// over there.
///
/// As with a [`Task`], dropping it cancels; [`LoopHandle::spawn`] is for work that runs on by itself. A
/// panic that is then never asked for goes to the loop's exception handler. In debug mode, so does an error, and a task
/// that is cancelled because this was dropped, unless somebody had waited for it.
///
/// Awaited on another loop of the thread to which its own loop belongs, it gives
/// [`JoinError::Elsewhere`](asyncio_task::JoinError::Elsewhere): its own cannot run meanwhile.
///
/// # Panics
///
/// Awaiting it again after it gave its outcome panics.
#[must_use = "a task whose ThreadFuture is dropped is cancelled: wait for it, await it, or use LoopHandle::spawn"]
#[doc(alias = "concurrent.futures.Future")]
pub struct ThreadFuture<T> {
    shared: Arc<Shared<T>>,
    name: Option<Arc<str>>,
    event_loop: LoopHandle,
    /// Held while another loop awaits it, whose virtual time must not jump.
    outside: Option<OutsideWork>,
    step_back: StepBack,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    ended: Condvar,
}

struct State<T> {
    outcome: Outcome<T>,
    /// Who awaits the outcome.
    waiting: Option<Waker>,
    /// What has not been passed on to the task.
    request: Option<Request>,
    /// Somebody has waited for the outcome, or asked the task to end.
    asked: bool,
    /// The callbacks that have not been called, in the order in which they were added.
    callbacks: VecDeque<DoneCallback<T>>,
    /// What task the outcome is of.
    task: Option<TaskInfo>,
    /// The [`ThreadFuture`] is gone: nobody will ask for the outcome.
    abandoned: bool,
    /// Who passes a request to cancel on to the task.
    watch: Option<Waker>,
}

type DoneCallback<T> = Box<dyn FnOnce(&Result<T, JoinError>) + Send>;

enum Outcome<T> {
    Pending,
    Here(Result<T, JoinError>),
    Taken,
}

impl LoopHandle {
    /// Has `make` called on the loop, and runs the future it makes there as a task. The future need not
    /// be `Send`, only what makes it and what it returns.
    ///
    /// # Errors
    ///
    /// The loop is closed; `make` comes back.
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

    /// [`run_coroutine_threadsafe`](Self::run_coroutine_threadsafe), with a name for the task: reports, lists of tasks
    /// and [`JoinError`](asyncio_task::JoinError) have it.
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, current_task};
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
    /// The loop is closed; `make` comes back.
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
            state: Mutex::new(State {
                outcome: Outcome::Pending,
                waiting: None,
                request: None,
                asked: false,
                callbacks: VecDeque::new(),
                task: None,
                abandoned: false,
                watch: None,
            }),
            ended: Condvar::new(),
        });
        let promise = Promise {
            shared: shared.clone(),
            name: name.clone(),
        };
        event_loop.send(make, move |make| {
            let mut options = SpawnOptions::new().location(location);
            if let Some(name) = promise.name.clone() {
                options = options.name(name);
            }
            // A panic in `make` is one of the task: it goes to whoever asked for it.
            let body = async move { make().await };
            match promise.shared.take_request() {
                None => {}
                // Which reports it, with its name and place.
                Some(Request::Forget) if debug::is_on_here() => {
                    return drop(try_spawn_with(options, body));
                }
                Some(Request::Cancel(message)) => {
                    promise.settle_unbegun(message);
                    return;
                }
                Some(_) => return,
            }
            // Both run on this loop, which is here: it is the one that this was sent to.
            if let Ok(task) = try_spawn_with(options, body)
                && let Ok(watch) = try_spawn_with(SpawnOptions::callback(), Watch { task, promise })
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
    /// [`JoinError`]: the task was cancelled, also by its loop's closing, or it panicked.
    ///
    /// # Panics
    ///
    /// On the loop's own thread, if the task has not ended: it would wait for ever. Await it there.
    #[doc(alias = "result")]
    pub fn wait(self) -> Result<T, JoinError> {
        let mut state = self.shared.lock();
        state.asked = true;
        loop {
            if let Some(outcome) = state.take() {
                return outcome;
            }
            state.must_be_untaken();
            self.must_be_elsewhere();
            state = self
                .shared
                .ended
                .wait(state)
                .unwrap_or_else(|e| e.into_inner());
        }
    }

    /// Blocks until the task has ended, for `timeout` at most. It gives itself back if that is not enough;
    /// the task runs on.
    ///
    /// # Errors
    ///
    /// Itself, if the time is over. The inner result is that of [`wait`](Self::wait).
    ///
    /// # Panics
    ///
    /// On the loop's own thread, if the task has not ended: it cannot end meanwhile.
    pub fn wait_timeout(self, timeout: Duration) -> Result<Result<T, JoinError>, Self> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.shared.lock();
        state.asked = true;
        loop {
            if let Some(outcome) = state.take() {
                return Ok(outcome);
            }
            state.must_be_untaken();
            self.must_be_elsewhere();
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

    /// Asks the task to end. `false` if it has.
    pub fn cancel(&self) -> bool {
        self.ask(None)
    }

    /// Asks the task to end, and says why: [`JoinError::message`](asyncio_task::JoinError::message) has it. `false` if it
    /// has ended.
    pub fn cancel_with(&self, message: impl Into<Arc<str>>) -> bool {
        self.ask(Some(message.into()))
    }

    fn ask(&self, message: Option<Arc<str>>) -> bool {
        self.shared.lock().asked = true;
        self.request(Request::Cancel(message))
    }

    /// The outcome, if it is there. It is given once.
    #[must_use]
    pub fn try_take(&mut self) -> Option<Result<T, JoinError>> {
        let mut state = self.shared.lock();
        state.asked = true;
        state.take()
    }

    fn request(&self, request: Request) -> bool {
        let mut state = self.shared.lock();
        if !matches!(state.outcome, Outcome::Pending) {
            return false;
        }
        // What was asked for expressly and not passed on yet says it for the drop as well. Of several messages the last
        // one counts.
        let before = match request {
            Request::Cancel(Some(_)) => state.request.replace(request),
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

    /// Has `callback` called with the outcome when the task ends: on the loop's thread, before anybody who waits has
    /// the outcome. Callbacks are called in the order in which they were added, and hold the loop up meanwhile. A panic
    /// in one goes to the exception handler. Dropping this cancels the task, and the callbacks learn of that.
    ///
    /// If the task has ended, `callback` is called here, before this returns.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use asyncio_loop::EventLoop;
    ///
    /// let mut event_loop = EventLoop::new()?;
    /// let mut answer = event_loop.handle().run_coroutine_threadsafe(|| async { 6 * 7 })?;
    /// let (tell, told) = mpsc::channel();
    /// answer.add_done_callback(move |outcome| {
    ///     let _ = tell.send(*outcome.as_ref().expect("it returns"));
    /// });
    /// assert_eq!(event_loop.run_until_complete(answer)??, 42);
    /// assert_eq!(told.recv()?, 42);
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
        state.asked = true;
        let Some(outcome) = state.take() else {
            state.must_be_untaken();
            state.callbacks.push_back(Box::new(callback));
            return;
        };
        drop(state);
        call(Box::new(callback), &outcome);
        // Nobody has looked meanwhile: that takes this future, which is borrowed here.
        self.shared.lock().outcome = Outcome::Here(outcome);
    }

    /// The name that the task was given by
    /// [`run_coroutine_threadsafe_named`](LoopHandle::run_coroutine_threadsafe_named).
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether the task has ended.
    #[must_use]
    #[doc(alias = "done")]
    pub fn is_finished(&self) -> bool {
        !matches!(self.shared.lock().outcome, Outcome::Pending)
    }

    /// Whether its loop is one of this thread, on which another one runs now.
    fn is_behind_another_loop(&self) -> bool {
        let at_home = self.event_loop.is_at_home() && !self.event_loop.is_here();
        at_home && current::try_with(|_| ()).is_ok()
    }

    fn must_be_elsewhere(&self) {
        assert!(
            !self.event_loop.is_at_home(),
            "blocking on a task of this thread's own event loop would wait for ever: await it, or wait on another thread"
        );
    }
}

impl<T> Future for ThreadFuture<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if Pin::new(&mut self.step_back).poll(cx).is_pending() {
            self.shared.lock().asked = true;
            return Poll::Pending;
        }
        // Cloned and dropped outside the lock: wakers are foreign code.
        let waker = cx.waker().clone();
        let mut state = self.shared.lock();
        state.asked = true;
        if let Some(outcome) = state.take() {
            drop(state);
            self.outside = None;
            return Poll::Ready(outcome);
        }
        state.must_be_untaken();
        if self.is_behind_another_loop() {
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

impl<T> Drop for ThreadFuture<T> {
    fn drop(&mut self) {
        let asked = self.shared.lock().asked;
        self.request(if asked {
            Request::LetGo
        } else {
            Request::Forget
        });
        let mut state = self.shared.lock();
        state.abandoned = true;
        let unread = state.take();
        let task = state.task.take();
        drop(state);
        let report = match unread {
            Some(Err(JoinError::Panicked(_, payload))) => {
                Unhandled::about(UNREAD, task, Cause::Panic(payload))
            }
            Some(Ok(value)) if self.event_loop.debug() && is_err(&value) => {
                Unhandled::about(FAILED, task, Cause::Message)
            }
            _ => return,
        };
        self.event_loop.drop_there(Unread(Some(report)));
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
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing that can panic runs under this lock.
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn take_request(&self) -> Option<Request> {
        self.lock().request.take()
    }

    /// Calls the callbacks and sets the outcome, once. Gives it back if nobody will ask for it.
    fn settle(
        &self,
        outcome: Result<T, JoinError>,
        task: Option<TaskInfo>,
    ) -> Option<Result<T, JoinError>> {
        let mut state = self.lock();
        if !matches!(state.outcome, Outcome::Pending) {
            return None;
        }
        // Until there is none left under the lock: others may be added meanwhile.
        while let Some(callback) = state.callbacks.pop_front() {
            drop(state);
            call(callback, &outcome);
            state = self.lock();
        }
        if state.abandoned {
            state.outcome = Outcome::Taken;
            return Some(outcome);
        }
        state.outcome = Outcome::Here(outcome);
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

/// Calls a callback. A panic in it is reported.
fn call<T>(callback: DoneCallback<T>, outcome: &Result<T, JoinError>) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| callback(outcome))) {
        let cause = Cause::Panic(PanicPayload::new(payload));
        let message = "a callback for the end of a `ThreadFuture`'s task panicked";
        call_exception_handler(&Unhandled::new(message, None, cause));
    }
}

/// A request to end the task.
enum Request {
    /// [`ThreadFuture::cancel`], with a message from `cancel_with`.
    Cancel(Option<Arc<str>>),
    /// The [`ThreadFuture`] was dropped.
    LetGo,
    /// It was dropped, and nobody had waited for it.
    Forget,
}

impl<T> State<T> {
    fn must_be_untaken(&self) {
        assert!(
            !matches!(self.outcome, Outcome::Taken),
            "awaited again after it gave its outcome"
        );
    }

    fn take(&mut self) -> Option<Result<T, JoinError>> {
        match std::mem::replace(&mut self.outcome, Outcome::Taken) {
            Outcome::Here(outcome) => Some(outcome),
            other => {
                self.outcome = other;
                None
            }
        }
    }
}

/// The duty to settle the outcome, on the loop's side. Dropped with the loop, it says cancelled.
struct Promise<T> {
    shared: Arc<Shared<T>>,
    name: Option<Arc<str>>,
}

impl<T> Promise<T> {
    /// Says that the task was cancelled before it began, unless the outcome is set.
    fn settle_unbegun(&self, message: Option<Arc<str>>) {
        let name = TaskName::from(self.name.as_deref().unwrap_or("that never began"));
        self.shared
            .settle(Err(JoinError::Cancelled(name, message)), None);
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        self.settle_unbegun(None);
    }
}

/// Waits for the task on its loop, and passes requests to cancel on.
struct Watch<T> {
    task: Task<T>,
    promise: Promise<T>,
}

impl<T> Watch<T> {
    fn settle(&self, outcome: Result<T, JoinError>) {
        let task = self.task.as_ref();
        let unwanted = self.promise.shared.settle(outcome, Some(task.info()));
        let report = match unwanted {
            Some(Err(JoinError::Panicked(_, payload))) => {
                Unhandled::new(UNREAD, Some(&task), Cause::Panic(payload))
            }
            Some(Ok(value)) if debug::is_on_here() && is_err(&value) => {
                Unhandled::new(FAILED, Some(&task), Cause::Message)
            }
            _ => return,
        };
        call_exception_handler(&report);
    }

    fn pass_on(&self, request: Request) {
        if self.task.is_finished() {
            return;
        }
        if matches!(request, Request::Forget) && debug::is_on_here() {
            let report = Unhandled::new(LOST, Some(&self.task.as_ref()), Cause::Message);
            call_exception_handler(&report);
        }
        match request {
            Request::Cancel(None) => self.task.cancel(),
            Request::Cancel(Some(message)) => self.task.cancel_with(message),
            Request::LetGo | Request::Forget => self.task.as_ref().cancel_once(),
        };
    }
}

impl<T> Future for Watch<T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let old = self.promise.shared.lock().watch.replace(waker);
        drop(old);
        if let Some(request) = self.promise.shared.take_request() {
            self.pass_on(request);
        }
        let outcome = std::task::ready!(Pin::new(&mut self.task).poll(cx));
        self.settle(outcome);
        Poll::Ready(())
    }
}

impl<T> Drop for Watch<T> {
    fn drop(&mut self) {
        // The loop closes. The task may have ended, in the same batch even.
        let outcome = self.task.try_take();
        let cancelled = || Err(JoinError::Cancelled(self.task.name(), None));
        self.settle(outcome.unwrap_or_else(cancelled));
    }
}

/// Something that nobody asked for: reported where it is dropped, which is on the loop if that is there.
struct Unread(Option<Unhandled>);

impl Drop for Unread {
    fn drop(&mut self) {
        if let Some(report) = self.0.take() {
            call_exception_handler(&report);
        }
    }
}
