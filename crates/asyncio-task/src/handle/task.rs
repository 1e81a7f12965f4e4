//! The handle of a task.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::FusedFuture;

use crate::cancel::{HeardRequest, Origin, Place};
use crate::cell::cell_ref::{Finished, Handle, JoinRef, LocalRef, OnDrop};
use crate::cell::header::{Joiner, Payload};
use crate::cell::marks::Mark;
use crate::cell::state::{LastPoll, TaskState};
use crate::context::values::Context as TaskContext;
use crate::engine::budget;
use crate::engine::current::{self, current_step};
use crate::engine::forgotten;
use crate::engine::report::report;
use crate::engine::request;
use crate::engine::unhandled::Unhandled;
use crate::handle::id::{TaskId, TaskName};
use crate::handle::join_error::JoinError;
use crate::handle::outcome::{self, Outcome};
use crate::handle::panic_payload::PanicPayload;
use crate::handle::task_ref::TaskRef;
use crate::scopes::awaits;
use crate::scopes::listener::Listener;
use crate::scopes::propagation::Propagation;

/// A future that runs for its own sake, and the right to its outcome.
///
/// Awaiting it gives the value of the future, or the reason why there is none. The owner of the handle awaits the task,
/// [detaches](Task::detach) it, or drops it, which cancels it. So no task runs on by accident.
///
/// ```
/// # let tasks = asyncio_task::Tasks::new(|| ());
/// # tasks.enter(&(), || {
/// # let spawn = |f| tasks.spawn(f);
/// let task = spawn(async { 6 * 7 });
/// # tasks.run_one();
/// # let seven = futures::FutureExt::now_or_never(task).unwrap();
/// # /*
/// let seven = task.await;
/// # */
/// assert_eq!(seven.unwrap(), 42);
/// # });
/// ```
///
/// # Cancellation
///
/// Dropping a `Task` asks it to end, as [`cancel_once`](Task::cancel_once) does, and does not wait for it. Dropping a
/// `&mut Task` that was being awaited does nothing to the task. If one request has ended the task and the code that
/// awaited it, awaiting it again gives [`JoinError::Cancelled`], even in the cleanup of that code.
///
/// Two branches of one task should not poll one handle, for example by a `RefCell`. If a request ends the await in one
/// branch, the await in the other is pending as well, until the enclosing code has been dropped.
///
/// # Panics
///
/// Awaiting it again after it gave its outcome panics.
#[must_use = "a task that is dropped is cancelled: await it, or detach it"]
pub struct Task<T> {
    handle: Handle<T, GiveUp>,
}

impl<T> Task<T> {
    #[inline]
    pub(crate) fn new(join: JoinRef<T>) -> Self {
        Self {
            handle: Handle::new(join),
        }
    }

    #[inline]
    pub(crate) fn cell(&self) -> &LocalRef {
        self.handle.join().cell()
    }

    /// The right to the outcome, without the handle.
    #[inline]
    pub(crate) fn into_join(self) -> JoinRef<T> {
        self.handle.into_join()
    }

    /// Asks the task to end.
    ///
    /// At its next step the task's future is dropped where it waits, and the awaiting task gets
    /// [`JoinError::Cancelled`]. A task that has not begun never begins. First come, first served: if
    /// the task was woken before the request, it is polled once more, and a value that it returns then
    /// wins. So `true` says that the request was made, not that it will be granted; `false`, that the
    /// task had ended already.
    ///
    /// Several requests that are made before the task hears of one are heard as one.
    #[doc(alias = "abort")]
    pub fn cancel(&self) -> bool {
        request::request(self.cell(), Origin::ANEW, None, LastPoll::Allowed)
    }

    /// [Asks the task to end](Self::cancel), with a message. Each `Cancelled` that the code of the task receives has
    /// the message. So has [`JoinError::message`], if the task ends cancelled. If several requests are delivered as
    /// one, the last message counts.
    ///
    /// ```
    /// # let tasks = asyncio_task::Tasks::new(|| ());
    /// # tasks.enter(&(), || {
    /// # let spawn = |f| tasks.spawn(f);
    /// let task = spawn(std::future::pending::<()>());
    /// task.cancel_with("the user pressed stop");
    /// # tasks.run_one();
    /// # let outcome = futures::FutureExt::now_or_never(task).unwrap();
    /// # /*
    /// let outcome = task.await;
    /// # */
    /// assert_eq!(outcome.unwrap_err().message(), Some("the user pressed stop"));
    /// # });
    /// ```
    pub fn cancel_with(&self, message: impl Into<Arc<str>>) -> bool {
        let message = Some(message.into());
        request::request(self.cell(), Origin::ANEW, message, LastPoll::Allowed)
    }

    /// [Asks the task to end](Self::cancel), unless a request to it is open. So it never interrupts a cleanup that such
    /// a request began. Dropping the handle does the same.
    ///
    /// ```
    /// # let tasks = asyncio_task::Tasks::new(|| ());
    /// # tasks.enter(&(), || {
    /// # let spawn = |f| tasks.spawn(f);
    /// let task = spawn(std::future::pending::<()>());
    /// task.cancel();
    /// task.cancel_once(); // asks for nothing
    /// assert_eq!(task.cancelling(), 1);
    /// # });
    /// ```
    pub fn cancel_once(&self) -> bool {
        request::cancel_once(self.cell())
    }

    /// Passes on to the task a request that a [`Listener`] has heard. It keeps its identity: nothing is asked
    /// if it has come to the task before, by another way. `false` if the task has ended.
    pub fn pass_on(&self, request: &HeardRequest) -> bool {
        let last_poll = match request.dismissed {
            true => LastPoll::Refused,
            false => LastPoll::Allowed,
        };
        request::request(
            self.cell(),
            request.origin,
            request.message.clone(),
            last_poll,
        )
    }

    /// The number of open requests to cancel the task. A request is open until it is swallowed, or spent by the end of
    /// the task. A request to a scope inside of the task, by a time limit for example, does not count.
    #[must_use]
    pub fn cancelling(&self) -> usize {
        request::cancelling(self.cell())
    }

    /// Whether the task has ended.
    #[must_use]
    #[doc(alias = "done")]
    pub fn is_finished(&self) -> bool {
        self.cell().state.is_done()
    }

    /// The number of the task.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.cell().id
    }

    /// The name of the task: the given one, or `Task-N`.
    #[must_use]
    #[doc(alias = "get_name")]
    pub fn name(&self) -> TaskName {
        self.cell().name()
    }

    /// Sets the name of the task.
    pub fn set_name(&self, name: impl Into<Arc<str>>) {
        self.cell().extra_or_new().set_name(name.into());
    }

    /// The context of the task.
    #[must_use]
    #[doc(alias = "get_context")]
    pub fn context(&self) -> TaskContext {
        self.as_ref().context()
    }

    /// A reference to the task without its type, to keep, to compare and to cancel.
    #[must_use]
    pub fn as_ref(&self) -> TaskRef {
        TaskRef::new(self.cell().clone())
    }

    /// Why awaiting the task here and now would never end, if so: it is the one that runs, or it belongs to another
    /// loop.
    #[must_use]
    pub fn unawaitable(&self) -> Option<JoinError> {
        let cell = self.cell();
        if cell.state.is_done() {
            return None;
        }
        unawaitable(cell)
    }

    /// The circle in which the running task and this task wait for each other, if a request has come to the running
    /// one. Its await would never end. For code that polls, when they have heard a request.
    #[must_use]
    pub fn circle(&self) -> Option<JoinError> {
        let cell = self.cell();
        let found = cell.marks.take(Mark::InCircle) || cell.marks.has(Mark::PassedOn);
        let circle = found.then(|| awaits::closed_by_awaiting(cell)).flatten()?;
        Some(JoinError::InCircle(cell.name(), circle))
    }

    /// Whether the await of the task has been found to close a circle: ask for [`circle`](Self::circle).
    #[must_use]
    #[inline]
    pub fn closes_circle(&self) -> bool {
        self.cell().marks.has(Mark::InCircle)
    }

    /// Waits for the end of the task and leaves the outcome where it is, for code that polls.
    ///
    /// # Cancellation
    ///
    /// Requests are not passed on to the task.
    pub fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_finished() {
            return Poll::Ready(());
        }
        self.wait_in(cx);
        if self.is_finished() {
            drop(self.cell().take_joiner()); // It found none.
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// The value, if the task has ended with one and nothing has taken it. An error that was looked at here, or by
    /// [`has_failed`](Self::has_failed), is not reported when the task is dropped.
    #[must_use]
    pub fn peek(&mut self) -> Option<&T> {
        if self.cell().state.has_value() {
            self.cell().marks.set(Mark::LookedAt);
        }
        self.handle.join().peek()
    }

    /// Whether the task has ended with a panic, or with an `Err` that nothing has taken.
    #[must_use]
    pub fn has_failed(&mut self) -> bool
    where
        T: Outcome,
    {
        self.cell().state.has_panicked() || self.peek().is_some_and(outcome::is_failure)
    }

    /// The outcome, if the task has ended and nothing has taken it.
    #[doc(alias = "result")]
    pub fn try_take(&mut self) -> Option<Result<T, JoinError>> {
        let finished = self.handle.join_mut().take()?;
        Some(self.result(finished))
    }

    #[inline]
    fn result(&self, finished: Finished<T>) -> Result<T, JoinError> {
        match finished {
            Finished::Value(value) => Ok(value),
            Finished::Cancelled => Err(self.error(None)),
            Finished::Panicked(payload) => Err(self.error(Some(payload))),
        }
    }

    /// Why the task gave no value: the payload of a panic, or it was cancelled.
    #[cold]
    #[inline(never)]
    fn error(&self, payload: Option<Payload>) -> JoinError {
        match payload {
            None => JoinError::Cancelled(self.name(), self.cell().cancel_message()),
            Some(payload) => JoinError::Panicked(self.name(), PanicPayload::new(payload)),
        }
    }

    /// Notes the waker of the task that waits for the end of the task.
    fn wait_in(&self, cx: &Context<'_>) {
        let cell = self.cell();
        let waker = match cell.take_joiner() {
            Some(same) if same.will_wake(cx.waker()) => same,
            other => {
                // Foreign code: the clone and the drop of a waker. The cell is not touched meanwhile.
                let new = cx.waker().clone();
                drop(other);
                Joiner::new(new)
            }
        };
        // If the task has ended meanwhile, the next look finds the outcome, and takes the waker out again.
        cell.set_joiner(Some(waker));
    }

    /// Whether the awaiting task can be reached by requests to cancel.
    #[inline]
    pub(crate) fn has_listener(&self) -> bool {
        self.cell().awaiting() != Place::NONE
    }

    /// Whether the awaiting task is to return `Pending` once: it was ready at once, after many
    /// other awaits that were. For code that polls; they are woken.
    #[inline]
    pub fn steps_back(&self, cx: &Context<'_>) -> bool {
        !self.has_listener() && !budget::draw(current_step) && self.has_not_stepped_back(cx)
    }

    #[cold]
    fn has_not_stepped_back(&self, cx: &Context<'_>) -> bool {
        let marks = &self.cell().marks;
        if marks.take(Mark::SteppedBack) {
            return false;
        }
        marks.set(Mark::SteppedBack);
        current::end_turn();
        cx.waker().wake_by_ref();
        true
    }

    /// Calls `f` with the listener of the awaiting task, for code that polls: a building block.
    pub fn with_listener<R>(&self, f: impl FnOnce(&mut Listener) -> R) -> R {
        let mut listener = if self.has_listener() {
            Listener::of(self.cell())
        } else {
            Listener::new()
        };
        let result = f(&mut listener);
        listener.keep(self.cell());
        result
    }

    /// Concludes the listener of the awaiting task, if nothing was ever asked of that one, as nearly always.
    /// Otherwise nothing happens, and the result is `false`. For code that polls: a building block.
    #[inline]
    pub fn conclude_unasked(&self) -> bool {
        !self.has_listener() || Listener::end_unasked(self.cell())
    }

    /// No poll is left to a task that has been asked to end, and nothing takes its outcome.
    #[inline]
    pub(crate) fn forget_handle(&mut self) {
        self.handle.join_mut().forget();
    }

    /// Nothing awaits it any more.
    pub(crate) fn stop_listening(&mut self) {
        stop_listening(self.cell());
    }

    /// The awaited task has ended, and nothing can take the value of the awaiting task. The awaiting task propagates
    /// the request, and the outcome stays in the handle, which other code may have.
    #[cold]
    fn pass_by(&mut self) -> Poll<Result<T, JoinError>> {
        self.with_listener(|listener| listener.conclude(false));
        self.end_await();
        Poll::Pending
    }

    /// The awaited task has ended. If it was cancelled because the awaiting task was, that one propagates the request;
    /// otherwise the outcome answers the request.
    fn conclude(&mut self, finished: Finished<T>, answered: bool) -> Poll<Result<T, JoinError>> {
        let cancelled = matches!(finished, Finished::Cancelled);
        let heard = self.with_listener(|listener| match answered || cancelled {
            true => listener.conclude(!cancelled),
            false => listener.release(),
        });
        if heard && cancelled {
            self.end_await();
            return Poll::Pending;
        }
        Poll::Ready(self.result(finished))
    }

    /// The awaiting task propagates the request that it has passed on, and this await gives it nothing. For code that
    /// polls: a building block.
    #[cold]
    pub fn end_await(&self) {
        let cell = self.cell();
        cell.marks.set(Mark::AwaiterPropagates);
        let here = Propagation::here();
        cell.extra_or_new().note_propagating_awaiter(here.scope());
    }

    /// Whether the await has [ended](Self::end_await), and its code is polled once more before it is dropped. Anywhere
    /// else the task can be awaited again. For code that polls: a building block.
    #[must_use]
    #[inline]
    pub fn has_ended_await(&self) -> bool {
        self.cell().marks.has(Mark::AwaiterPropagates) && self.is_awaited_where_it_ended()
    }

    #[cold]
    fn is_awaited_where_it_ended(&self) -> bool {
        let cell = self.cell();
        let scope = cell.extra().and_then(|extra| extra.propagating_awaiter());
        let ends_here = Propagation::of(scope).ends_here();
        if !ends_here {
            cell.marks.take(Mark::AwaiterPropagates);
        }
        ends_here
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, JoinError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Most often the task has ended, and nothing was asked of its awaiter meanwhile.
        if self.is_finished() {
            if self.steps_back(cx) {
                return Poll::Pending;
            }
            if !self.cell().marks.has(Mark::AwaiterPropagates) && self.conclude_unasked() {
                if let Some(value) = self.handle.join_mut().take_value() {
                    return Poll::Ready(Ok(value));
                }
                if let Some(finished) = self.handle.join_mut().take() {
                    return Poll::Ready(self.result(finished));
                }
            }
        }
        self.poll_on(cx)
    }
}

impl<T> FusedFuture for Task<T> {
    /// Whether the outcome has been taken.
    fn is_terminated(&self) -> bool {
        self.cell().state.is_taken()
    }
}

impl<T> Task<T> {
    #[inline(never)]
    fn poll_on(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        if self.cell().marks.has(Mark::AwaiterPropagates) {
            if self.has_ended_await() {
                return Poll::Pending;
            }
            // It is awaited elsewhere now.
            let finished = self.handle.join_mut().take();
            let was_cancelled = self.cell().state.shown() == TaskState::Cancelled;
            if let Some(finished) = finished.or(was_cancelled.then_some(Finished::Cancelled)) {
                return Poll::Ready(self.result(finished));
            }
        }
        // A request goes to the task, with what it says. If that has ended, it goes on after this.
        let (heard, dismissed) =
            self.with_listener(|listener| (listener.heard(), listener.is_dismissed()));
        if (heard || self.closes_circle())
            && !self.is_finished()
            && let Some(error) = self.circle()
        {
            self.with_listener(|listener| listener.release());
            return Poll::Ready(Err(error));
        }
        let answered = !heard || {
            let request = self.with_listener(|listener| listener.request());
            self.pass_on(&request)
        };
        if dismissed && self.is_finished() {
            return self.pass_by();
        }
        if let Some(finished) = self.handle.join_mut().take() {
            return self.conclude(finished, answered);
        }
        let cell = self.cell();
        assert!(
            !cell.state.is_taken(),
            "a task was awaited again after it gave its outcome"
        );
        if let Some(error) = self.unawaitable() {
            return Poll::Ready(Err(error));
        }
        self.wait_in(cx);
        if let Some(finished) = self.handle.join_mut().take() {
            // The foreign code that noting a waker may run has ended the task, which found no joiner.
            drop(self.cell().take_joiner());
            return self.conclude(finished, answered);
        }
        self.with_listener(|listener| listener.wait(cx));
        Poll::Pending
    }
}

/// Asks a task to end whose handle is dropped.
struct GiveUp;

impl<T> OnDrop<T> for GiveUp {
    #[inline]
    fn on_drop(join: &mut JoinRef<T>) {
        let cell = join.cell();
        if cell.state.is_taken() && cell.awaiting() == Place::NONE {
            // The joiner went when the task ended.
            return cell.clear_extra();
        }
        give_up(join);
    }
}

#[inline(never)]
fn give_up<T>(join: &mut JoinRef<T>) {
    stop_listening(join.cell());
    let left = !join.cell().state.is_awaited();
    if !left {
        forgotten::report_lost(join.cell());
    }
    join.abandon();
    let cell = join.cell();
    let _joiner = cell.take_joiner(); // Dropped last: it is foreign, and may panic.
    if cell.state.is_done() {
        if let Some(payload) = cell.take_unwanted() {
            report(cell, Unhandled::panic(cell, payload));
        }
        cell.clear_extra();
    } else if !left {
        request::cancel_once(cell);
    }
}

/// Nothing awaits the task any more.
fn stop_listening(cell: &LocalRef) {
    if cell.awaiting() != Place::NONE {
        drop(Listener::of(cell));
    }
}

/// Why the await of a task that has not ended would never end, if it is the one that runs, or one of another loop.
#[inline]
fn unawaitable(cell: &LocalRef) -> Option<JoinError> {
    current::tasks(|tasks| match tasks {
        Some(tasks) if !cell.is_owned_by(tasks.owner()) => Some(JoinError::Elsewhere(cell.name())),
        Some(tasks) if tasks.step.as_raw() == Some(cell.as_raw()) => {
            Some(JoinError::AwaitsItself(cell.name()))
        }
        _ => None,
    })
}

impl<T> Unpin for Task<T> {}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task({:?})", self.cell())
    }
}
