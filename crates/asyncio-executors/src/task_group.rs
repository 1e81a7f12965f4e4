//! Task groups: children that borrow from the frame around them, and never outlive it.
//!
//! A step of a group: the body is polled, then the children that were ready when the step began. When one of
//! them fails, or a request to cancel comes, the group is *ending*: body and children are cancelled, and the
//! group waits until all have ended, whatever comes.
//!
//! The children are `asyncio_task::Children`, which alone polls and drops their futures. The body runs in a
//! scope of its own behind the group's listener: requests from outside reach the group, and the group tells
//! body and children.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_task::{
    Cause, Children, JoinError, Listener, PanicPayload, Scope, ScopeHandle, SpawnOptions,
    Unhandled, Unwound, unwind_here,
};
use pin_project_lite::pin_project;

use crate::child::Child;
use crate::error_group::{BoxError, ErrorGroup};

type Payload = Box<dyn Any + Send>;

/// Runs `body`, which is given a [`TaskGroup`] to spawn children with, and waits for it and all of them.
///
/// The children may borrow whatever lives longer than the group, also mutably: what is around, not what the
/// body itself declares. They run while the group is awaited, and at no other time. To start a group and do
/// something else, [`spawn`](asyncio_loop::spawn) what contains it.
///
/// ```
/// # use std::time::Duration;
/// # use asyncio_executors::{BoxError, TaskGroup, task_group};
/// # use asyncio_loop::sleep;
/// # asyncio_loop::run(async {
/// let greeting = String::from("hello");
/// let mut counts = [0, 0];
/// let (left, right) = counts.split_at_mut(1);
/// let length = task_group(async |tg: TaskGroup| {
///     let length = tg.spawn(async {
///         sleep(Duration::from_millis(1)).await;
///         Ok(greeting.len())
///     });
///     tg.spawn(async { Ok(left[0] += 1) });
///     tg.spawn(async { Ok(right[0] += 2) });
///     Ok(length.await?)
/// })
/// .await?;
/// assert_eq!((length, counts), (5, [1, 2]));
/// # Ok::<(), BoxError>(()) }).unwrap();
/// ```
///
/// # Errors
///
/// [`ErrorGroup`]: a child or the body returned an `Err`. At the first one the others are cancelled and
/// awaited; the errors come in the order in which they happened, the body's last. Children that were
/// cancelled are no errors.
///
/// # Cancellation
///
/// The request goes to the body and all children, and when they have ended it goes on. If some failed
/// meanwhile, their errors are returned, and the request takes the next await.
///
/// # Panics
///
/// If the body or a child panics, the others are cancelled and awaited, and the first panic goes on from here;
/// later ones go to the exception handler. When polled outside of any task.
#[doc(alias = "TaskGroup")]
pub async fn task_group<'env, T, E, F>(body: F) -> Result<T, ErrorGroup<E>>
where
    E: 'env,
    F: AsyncFnOnce(TaskGroup<'env, E>) -> Result<T, E>,
{
    let shared = Rc::new(Shared::new());
    let mut body = pin!(Scope::new(body(TaskGroup {
        shared: shared.clone()
    })));
    // Declared after the body, so dropped before it: children first.
    let mut group = Group {
        shared,
        listener: Listener::new(),
        body: None,
        unwinds: false,
        result: None,
    };
    poll_fn(|cx| group.poll(body.as_mut(), cx)).await
}

/// To spawn children with, in [`task_group`]. A clone is another handle of the same group.
///
/// `E` is the error that a child may fail with. Say `|tg: TaskGroup|` for any error, `|tg: TaskGroup<'_,
/// MyError>|` for one type.
pub struct TaskGroup<'env, E = BoxError> {
    shared: Rc<Shared<'env, E>>,
}

impl<E> Clone for TaskGroup<'_, E> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

/// A group that is ending takes no more children. Gives the future back.
#[derive(thiserror::Error)]
#[error("the task group is ending or has ended")]
pub struct GroupClosed<F>(pub F);

/// What the group, its handles and its children share.
struct Shared<'env, E> {
    children: Children<'env>,
    errors: RefCell<Vec<E>>,
    panic: RefCell<Option<Payload>>,
    /// No more children; those that are there have been cancelled.
    ending: Cell<bool>,
    /// The body is to be cancelled as well, unless it has ended.
    body: RefCell<Option<ScopeHandle>>,
}

/// The group's own side.
struct Group<'env, T, E> {
    shared: Rc<Shared<'env, E>>,
    listener: Listener,
    /// How the body is cancelled, once it has begun.
    body: Option<ScopeHandle>,
    /// The code around is to unwind after this, although nobody asked for it from there.
    unwinds: bool,
    /// What the body came to.
    result: Option<BodyEnd<T, E>>,
}

enum BodyEnd<T, E> {
    Returned(T),
    Failed(E),
    /// It panicked or was cancelled.
    Without,
    /// The group itself is over, and the code around unwinds.
    Passing,
}

impl<'env, E: 'env> TaskGroup<'env, E> {
    /// Starts a child. It takes its first step when the group is next polled.
    ///
    /// Dropping the [`Child`] means nothing: the child belongs to the group. In a group that is ending, the
    /// future is dropped, and the child is a cancelled one; [`try_spawn`](Self::try_spawn) gives it back.
    #[track_caller]
    #[doc(alias = "create_task")]
    pub fn spawn<U, F>(&self, future: F) -> Child<'env, U>
    where
        U: 'env,
        F: Future<Output = Result<U, E>> + 'env,
    {
        self.spawn_with(SpawnOptions::new(), future)
    }

    /// Starts a child with a name, or in a given context.
    #[track_caller]
    pub fn spawn_with<U, F>(&self, options: SpawnOptions, future: F) -> Child<'env, U>
    where
        U: 'env,
        F: Future<Output = Result<U, E>> + 'env,
    {
        match self.try_spawn_with(options, future) {
            Ok(child) => child,
            Err(GroupClosed(future)) => {
                drop(future);
                Child::refused()
            }
        }
    }

    /// Starts a child, or gives the future back.
    ///
    /// # Errors
    ///
    /// The group is ending or has ended.
    #[track_caller]
    pub fn try_spawn<U, F>(&self, future: F) -> Result<Child<'env, U>, GroupClosed<F>>
    where
        U: 'env,
        F: Future<Output = Result<U, E>> + 'env,
    {
        self.try_spawn_with(SpawnOptions::new(), future)
    }

    #[track_caller]
    fn try_spawn_with<U, F>(
        &self,
        options: SpawnOptions,
        future: F,
    ) -> Result<Child<'env, U>, GroupClosed<F>>
    where
        U: 'env,
        F: Future<Output = Result<U, E>> + 'env,
    {
        if self.shared.ending.get() {
            return Err(GroupClosed(future));
        }
        let options = options.or_location(Location::caller());
        let member = Member {
            future,
            shared: self.shared.clone(),
        };
        Ok(Child::new(self.shared.children.spawn(options, member)))
    }

    /// Cancels the children, and takes no more. The body is not cut: what it returns is the group's value.
    pub fn cancel(&self) {
        self.shared.end_children();
    }

    /// How many children have not ended.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.children.len()
    }

    /// Whether all children have ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the group takes no more children.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.shared.ending.get()
    }
}

impl<E> fmt::Debug for TaskGroup<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskGroup")
            .field("children", &self.shared.children.len())
            .field("errors", &self.shared.errors.borrow().len())
            .field("ending", &self.shared.ending.get())
            .finish()
    }
}

impl<F> fmt::Debug for GroupClosed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupClosed(..)")
    }
}

impl<E> Shared<'_, E> {
    fn new() -> Self {
        Self {
            children: Children::new(),
            errors: RefCell::default(),
            panic: RefCell::default(),
            ending: Cell::new(false),
            body: RefCell::default(),
        }
    }

    fn end_children(&self) {
        if !self.ending.replace(true) {
            self.children.cancel();
        }
    }

    /// Cancels everybody.
    fn end(&self) {
        self.end_children();
        let body = self.body.take();
        if let Some(body) = body {
            body.cancel();
        }
    }

    fn failed(&self, error: E) {
        self.errors.borrow_mut().push(error);
        self.end();
    }

    fn panicked(&self, payload: Payload) {
        let second = {
            let mut first = self.panic.borrow_mut();
            match *first {
                None => {
                    *first = Some(payload);
                    None
                }
                Some(_) => Some(payload),
            }
        };
        if let Some(payload) = second {
            let cause = Cause::Panic(PanicPayload::new(payload));
            let task = asyncio_task::current_task();
            let message = "a task group had one more panic than it can pass on";
            asyncio_loop::call_exception_handler(&Unhandled::new(message, task.as_ref(), cause));
        }
        self.end();
    }
}

impl<T, E> Group<'_, T, E> {
    fn poll<F>(
        &mut self,
        body: Pin<&mut Scope<F>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, ErrorGroup<E>>>
    where
        F: Future<Output = Result<T, E>>,
    {
        if let Some(BodyEnd::Passing) = self.result {
            return Poll::Pending;
        }
        if self.listener.heard() {
            // A second request goes to everybody once more.
            self.shared.ending.set(true);
            self.shared.children.cancel();
            if let Some(body) = &self.body {
                body.cancel();
            }
            self.shared.body.take();
        }
        if self.result.is_none() {
            self.poll_body(body, cx);
        }
        self.shared.children.poll_woken(cx);
        if self.result.is_some() && self.shared.children.is_empty() {
            return self.finish();
        }
        self.listener.wait(cx);
        Poll::Pending
    }

    fn poll_body<F>(&mut self, mut body: Pin<&mut Scope<F>>, cx: &mut Context<'_>)
    where
        F: Future<Output = Result<T, E>>,
    {
        let (shared, handle) = (&self.shared, &mut self.body);
        let poll = self.listener.isolate(|| {
            if handle.is_none() {
                let opened = body.as_mut().open();
                let opened = opened.expect(
                    "a task group is polled by a task: spawn what contains it, or run it as main",
                );
                shared.body.replace(Some(opened.clone()));
                *handle = Some(opened);
            }
            catch_unwind(AssertUnwindSafe(|| body.poll(cx)))
        });
        let end = match poll {
            Ok(Poll::Pending) => return,
            Ok(Poll::Ready(Ok(Ok(value)))) => BodyEnd::Returned(value),
            Ok(Poll::Ready(Ok(Err(error)))) => {
                self.shared.end_children();
                BodyEnd::Failed(error)
            }
            Ok(Poll::Ready(Err(Unwound::Itself))) => BodyEnd::Without,
            // Nothing comes in from around, where the listener stands: the body itself wants to unwind.
            Ok(Poll::Ready(Err(Unwound::Around(cancelled)))) => {
                cancelled.swallow();
                self.shared.end_children();
                self.unwinds = true;
                BodyEnd::Without
            }
            Err(payload) => {
                self.shared.body.take();
                self.shared.panicked(payload);
                BodyEnd::Without
            }
        };
        self.shared.body.take();
        self.body = None;
        self.result = Some(end);
    }

    fn finish(&mut self) -> Poll<Result<T, ErrorGroup<E>>> {
        self.shared.ending.set(true);
        let payload = self.shared.panic.take();
        if let Some(payload) = payload {
            self.listener.conclude(false);
            resume_unwind(payload);
        }
        let mut errors = self.shared.errors.take();
        let result = match self.result.replace(BodyEnd::Passing) {
            Some(BodyEnd::Failed(error)) => {
                errors.push(error); // the body's comes last
                None
            }
            result => result,
        };
        let heard = self.listener.conclude(false);
        match (ErrorGroup::new(errors), result) {
            (Some(errors), _) => Poll::Ready(Err(errors)),
            (None, _) if heard => Poll::Pending,
            (None, None | Some(BodyEnd::Without)) if self.unwinds => {
                unwind_here();
                Poll::Pending
            }
            (None, Some(BodyEnd::Returned(value))) => Poll::Ready(Ok(value)),
            (None, _) => {
                unreachable!("a body without a value was cancelled, by an error or from outside")
            }
        }
    }
}

impl<T, E> Drop for Group<'_, T, E> {
    fn drop(&mut self) {
        // The handles may keep `shared`; the children end here.
        self.shared.ending.set(true);
        self.shared.children.end();
    }
}

pin_project! {
    /// A child's future, which leaves what goes wrong with the group.
    struct Member<'env, F, E> {
        #[pin]
        future: F,
        shared: Rc<Shared<'env, E>>,
    }
}

impl<U, E, F: Future<Output = Result<U, E>>> Future for Member<'_, F, E> {
    /// `None`: the group has the error.
    type Output = Option<U>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<U>> {
        let this = self.project();
        match catch_unwind(AssertUnwindSafe(|| this.future.poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Ok(value))) => Poll::Ready(Some(value)),
            Ok(Poll::Ready(Err(error))) => {
                this.shared.failed(error);
                Poll::Ready(None)
            }
            Err(payload) => {
                this.shared.panicked(payload);
                Poll::Ready(None)
            }
        }
    }
}

/// What a handle says of a child of a group that took no more.
pub(crate) fn refused() -> JoinError {
    JoinError::Cancelled("that was never spawned".into())
}
