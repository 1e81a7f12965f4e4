//! Task groups: children that borrow from the frame around them, and never outlive it.
//!
//! A step of a group polls the body and the children that were woken before it. It polls them in the order of their
//! wake-ups, as far as the budget of the loop's turn lasts. When one of them fails, or a request to cancel comes, the
//! group is *ending*. Body and children are cancelled, and the group waits until all have ended.
//!
//! The values of a group that is ending are lost, but for those of children that a task outside of the group awaits. No
//! other child has a last poll, nor has the body: it would take an item of a queue that is lost with its value.
//! Children that wait for nothing else are dropped in the step in which the group begins to end, whatever the budget.
//! So a race that is itself a contender returns in the step in which it is decided. [`TaskGroup::cancel`] leaves the
//! body, which may take values: there a child whose handle is held keeps its last poll. A value that a child has left
//! to a sibling or to the body reaches it (`handover.rs` of asyncio-task).
//!
//! The children are `asyncio_task::Children`, which alone polls and drops their futures. The body runs in a scope of
//! its own behind the group's listener. Requests from outside reach the group, and the group passes them on to body and
//! children.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use asyncio_task::{
    Cause, Children, Interrupted, JoinError, LastPoll, Listener, PanicPayload, Propagation, Scope,
    ScopeHandle, SpawnOptions, StepBack, TaskRef, Unhandled, has_open_request, propagate_here,
};
use pin_project_lite::pin_project;

use crate::child::Child;
use crate::error_group::{BoxError, ErrorGroup};
use crate::forgotten::{Failure, Refusal};
use crate::outputs::{FailsInto, NeverFails};
use crate::places::{Place, Places};
use crate::ready::{NeverReady, Ready, ready};

type Payload = Box<dyn Any + Send>;

/// The report of an error in a group that panics.
const LOST_BY_PANIC: &str = "an error in a task group is lost, as the group panics";

/// The report of an error in a group that is dropped before it returns.
const LOST_BY_DROP: &str =
    "an error in a task group is lost, as the group is dropped before it returns";

/// Runs `body`, which is given a [`TaskGroup`] to spawn children with, and waits for it and all of them.
///
/// The children may borrow whatever lives longer than the group, also mutably: what is around, not what the
/// body itself declares. They run while the group is awaited, and at no other time. To start a group and do
/// something else, [`spawn`](asyncio_loop::spawn) what contains it.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_loop::*; }
/// use asyncio::{BoxError, TaskGroup, sleep, task_group};
/// use std::time::Duration;
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
/// [`ErrorGroup`]: a child or the body returned an `Err`. At the first one the others are cancelled and awaited; the
/// errors come in the order in which they happened, the body's last. Children that were cancelled are no errors. A
/// child that waits is dropped where it waits, even if it was woken before: its value would be lost. A child that a
/// task outside of the group awaits is not dropped.
///
/// A group is polled within the step of its task, so groups within each other need stack. A level takes 1 to 1.5 KiB,
/// and without optimization 3 to 4 KiB. The stack of the code in between is not counted in.
///
/// # Cancellation
///
/// The request goes to the body and all children, and when they have ended it goes on. If some failed
/// meanwhile, their errors are returned, and the request takes the next await. If the body and each child that was
/// told of the request have [swallowed](crate::Cancelled::swallow) it, it ends here, and the value is returned.
///
/// # Panics
///
/// If the body or a child panics, the others are cancelled and awaited, and the first panic goes on from here. Later
/// panics go to the exception handler. When polled outside of any task. When awaited again in code that does not
/// propagate a request, after a request to the enclosing code has ended it.
#[doc(alias("TaskGroup", "JoinSet", "LocalSet"))]
pub fn task_group<'env, T, E, F>(
    body: F,
) -> impl Future<Output = Result<T, ErrorGroup<E>>> + use<'env, T, E, F>
where
    E: 'env,
    F: AsyncFnOnce(TaskGroup<'env, E>) -> Result<T, E>,
{
    Grouped::new(move |group| body(group))
}

/// The handle of a [`task_group`], which spawns its children. A clone is another handle of the same group.
///
/// `E` is the error type of body and children. `|tg: TaskGroup|` stands for any error, and
/// `|tg: TaskGroup<'_, MyError>|` for one type. If that type is `From<JoinError>`, as `anyhow::Error` is,
/// `child.await?` works in the body.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_loop::*; }
/// use asyncio::{ErrorGroup, JoinError, TaskGroup, task_group};
/// #[derive(Debug)]
/// enum MyError {
///     NoPage(u32),
///     Join(JoinError),
/// }
///
/// impl From<JoinError> for MyError {
///     fn from(error: JoinError) -> Self {
///         Self::Join(error)
///     }
/// }
///
/// async fn fetch(page: u32) -> Result<u32, MyError> {
///     if page > 2 { Err(MyError::NoPage(page)) } else { Ok(page * 100) }
/// }
///
/// async fn fetch_all(pages: &[u32]) -> Result<u32, ErrorGroup<MyError>> {
///     task_group(async |tg: TaskGroup<'_, MyError>| {
///         let fetches: Vec<_> = pages.iter().map(|&page| tg.spawn(fetch(page))).collect();
///         let mut length = 0;
///         for fetch in fetches {
///             length += fetch.await?;
///         }
///         Ok(length)
///     })
///     .await
/// }
///
/// # asyncio_loop::run(async {
/// assert_eq!(fetch_all(&[1, 2]).await.unwrap(), 300);
/// // The body is cancelled where it awaits the child that fails: its own error is not among them.
/// let errors = fetch_all(&[1, 7]).await.unwrap_err();
/// assert!(matches!(errors.errors(), [MyError::NoPage(7)]));
/// # });
/// ```
#[doc(alias = "JoinSet")]
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

/// The state that the group, its handles and its children share.
struct Shared<'env, E> {
    children: Children<'env>,
    errors: RefCell<Vec<Failure<E>>>,
    /// The first panic, and the task that panicked.
    panic: RefCell<Option<(Payload, Option<TaskRef>)>>,
    places: Places,
    /// No more children; those that are there have been cancelled.
    ending: Cell<bool>,
    /// Nothing can take the values of the children that are there.
    unwanted: Cell<bool>,
    /// Whether one value of one child is what the group is for.
    contest: Cell<Contest>,
    answer: Cell<Answer>,
    /// Nothing waits for the group any more.
    over: Cell<bool>,
    /// The group and all its children have ended.
    finished: Cell<bool>,
    /// The body is to be cancelled as well, unless it has ended.
    body: RefCell<Option<ScopeHandle>>,
}

/// How the body and the children resolve a request from outside: if all of them swallow it, it is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// None has come.
    Unasked,
    /// Each that has ended since has swallowed it.
    Swallowed,
    /// A child that has ended since has not, so the request goes on.
    GoesOn,
}

/// A group whose value is that of one child: a race.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Contest {
    /// It is no race.
    None,
    /// The first value that a child returns wins, also after a request from outside.
    Open,
    /// The group has its value: a request from outside goes on after the value has been returned.
    Decided,
}

/// The group's own side.
struct Group<'env, T, E> {
    shared: Rc<Shared<'env, E>>,
    listener: Listener,
    /// How the body is cancelled, once it has begun.
    body: Option<ScopeHandle>,
    /// The enclosing code must propagate a cancellation after this, although no request came from there.
    propagates: bool,
    /// The result of the body, once it has ended.
    result: Option<BodyEnd<T, E>>,
}

enum BodyEnd<T, E> {
    Returned(T),
    Failed(Failure<E>),
    /// It panicked or was cancelled.
    Without,
    /// The group itself is over. The code that propagates a request on its behalf.
    Over(Propagation),
}

impl<E> TaskGroup<'_, E> {
    /// For those whose children need each other.
    pub(crate) fn end_children(&self) {
        self.shared.end_children();
    }

    /// For a race: the first value counts, so a request from outside leaves the last poll to tasks that children await.
    pub(crate) fn open_contest(&self) {
        self.shared.contest.set(Contest::Open);
        self.shared.children.set_contest(true);
    }

    /// A request from outside goes on, although the body swallows it.
    pub(crate) fn passes_request(&self) {
        if self.shared.answer.get() == Answer::Swallowed {
            self.shared.answer.set(Answer::GoesOn); // also if a contender has won meanwhile
        }
    }

    /// For a race: it is won, and nothing can take the values of the others. The body ends by itself, and its value is
    /// returned in spite of later requests.
    pub(crate) fn decide(&self) {
        let shared = &self.shared;
        if shared.answer.get() == Answer::Swallowed {
            let winner = asyncio_task::current_task().map(|task| task.id());
            if shared.children.is_any_cancelling(winner) {
                shared.answer.set(Answer::GoesOn);
            }
        }
        shared.contest.set(Contest::Decided);
        shared.children.set_contest(false);
        self.shared.end_children();
    }
}

impl<'env, E: 'env> TaskGroup<'env, E> {
    /// Starts a child. It takes its first step when the group is next polled.
    ///
    /// Dropping the [`Child`] has no effect, because the child belongs to the group. In a group that is ending, the
    /// future is dropped, and the child is a cancelled one; [`try_spawn`](Self::try_spawn) gives it back. Debug mode
    /// reports this to the exception handler. A spawn into a group that has finished is a bug and is always reported.
    ///
    /// # Panics
    ///
    /// Outside of the event loop that the group began on. A group that is ending does not panic.
    #[track_caller]
    #[doc(alias = "create_task")]
    #[inline]
    pub fn spawn<U, F>(&self, future: F) -> Child<'env, U>
    where
        U: 'env,
        F: Future<Output = Result<U, E>> + 'env,
    {
        self.spawn_at(Location::caller(), future)
    }

    /// [`spawn`](Self::spawn), by the code at another place.
    #[inline]
    pub(crate) fn spawn_at<U, F>(
        &self,
        location: &'static Location<'static>,
        future: F,
    ) -> Child<'env, U>
    where
        U: 'env,
        F: Future<Output = Result<U, E>> + 'env,
    {
        if self.shared.ending.get() {
            return self.refuse(&SpawnOptions::new().location(location), future);
        }
        self.spawn_in_place(location, Place::None, future)
    }

    /// Starts a child that has a place, or waits for one.
    #[inline]
    fn spawn_in_place<U, F>(
        &self,
        location: &'static Location<'static>,
        place: Place,
        future: F,
    ) -> Child<'env, U>
    where
        U: 'env,
        F: Future<Output = Result<U, E>> + 'env,
    {
        let member = self.member(place, future);
        Child::new(self.shared.children.spawn_at(location, member))
    }

    /// Starts a child with a name, in a given context, or [at once](SpawnOptions::eager_start).
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_loop::*; }
    /// use asyncio::{BoxError, SpawnOptions, TaskGroup, task_group};
    /// # asyncio_loop::run(async {
    /// task_group(async |tg: TaskGroup| {
    ///     let cached = tg.spawn_with(SpawnOptions::new().name("cache").eager_start(), async { Ok(5) });
    ///     assert_eq!(cached.name().unwrap(), "cache");
    ///     assert!(cached.is_finished()); // it had nothing to wait for
    ///     Ok(())
    /// })
    /// .await?;
    /// # Ok::<(), BoxError>(()) }).unwrap();
    /// ```
    ///
    /// # Panics
    ///
    /// As [`spawn`](Self::spawn).
    #[track_caller]
    #[inline]
    pub fn spawn_with<U, F>(&self, options: SpawnOptions, future: F) -> Child<'env, U>
    where
        U: 'env,
        F: Future<Output = Result<U, E>> + 'env,
    {
        if self.shared.ending.get() {
            return self.refuse(&options, future);
        }
        match self.try_spawn_with(options, future) {
            Ok(child) => child,
            Err(GroupClosed(future)) => self.refuse(&SpawnOptions::new(), future),
        }
    }

    /// Starts a child that cannot fail: one that returns a plain value, or nothing.
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_loop::*; }
    /// use asyncio::{BoxError, TaskGroup, sleep, task_group};
    /// use std::cell::Cell;
    /// use std::time::Duration;
    /// # asyncio_loop::run(async {
    /// let beats = Cell::new(0);
    /// task_group(async |tg: TaskGroup| {
    ///     let heart = tg.spawn_ok(async {
    ///         loop {
    ///             sleep(Duration::from_millis(1)).await;
    ///             beats.set(beats.get() + 1);
    ///         }
    ///     });
    ///     let length = tg.spawn_ok(async { "hello".len() });
    ///     assert_eq!(length.await?, 5);
    ///     sleep(Duration::from_millis(5)).await;
    ///     heart.cancel();
    ///     Ok(())
    /// })
    /// .await?;
    /// assert!(beats.get() > 0);
    /// # Ok::<(), BoxError>(()) }).unwrap();
    /// ```
    ///
    /// Otherwise it is [`spawn`](Self::spawn). A future that returns a `Result` goes to `spawn`: here its errors would
    /// be values that no code looks at.
    #[track_caller]
    #[inline]
    pub fn spawn_ok<F>(&self, future: F) -> Child<'env, F::Output>
    where
        F: Future<Output: 'env> + 'env,
    {
        self.spawn(NeverFails::new(future))
    }

    /// Starts a child that never returns a value: it loops until it fails or is cancelled.
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_loop::*; }
    /// use asyncio::{BoxError, TaskGroup, sleep, task_group};
    /// use std::io;
    /// use std::time::Duration;
    /// # async fn accept() -> io::Result<u32> {
    /// #     sleep(Duration::from_millis(1)).await;
    /// #     Err(io::Error::other("no more descriptors"))
    /// # }
    /// # asyncio_loop::run(async {
    /// let served = task_group(async |tg: TaskGroup| {
    ///     tg.spawn_forever(async {
    ///         loop {
    ///             let _connection = accept().await?;
    ///         }
    ///     });
    ///     Ok(())
    /// });
    /// assert_eq!(served.await.unwrap_err().to_string(), "1 task failed\n└─ no more descriptors");
    /// # });
    /// ```
    ///
    /// It is [`spawn`](Self::spawn), with an output that the compiler need not infer. The group ends when it is
    /// cancelled, since such a child never ends by itself.
    #[track_caller]
    #[inline]
    pub fn spawn_forever<F>(&self, future: F) -> Child<'env, Infallible>
    where
        F: Future<Output = Result<Infallible, E>> + 'env,
    {
        self.spawn(future)
    }

    /// Starts a child with an error of another type, `io::Error` for example, which is converted into that of the
    /// group.
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_executors::*; }
    /// use asyncio::{BoxError, TaskGroup, task_group};
    /// use std::io;
    /// async fn copy(from: &str, to: &str) -> io::Result<u64> {
    /// #   let _ = (from, to); Ok(7)
    /// }
    /// # asyncio_loop::run(async {
    /// let bytes = task_group(async |tg: TaskGroup| {
    ///     let copied = tg.spawn_into(copy("a", "b"));
    ///     Ok(copied.await?)
    /// });
    /// assert_eq!(bytes.await?, 7);
    /// # Ok::<(), BoxError>(()) }).unwrap();
    /// ```
    ///
    /// In all else it is [`spawn`](Self::spawn).
    #[track_caller]
    #[inline]
    pub fn spawn_into<U, D, F>(&self, future: F) -> Child<'env, U>
    where
        U: 'env,
        D: Into<E>,
        F: Future<Output = Result<U, D>> + 'env,
    {
        self.spawn(FailsInto::new(future))
    }

    /// Drops the future of a child that the group does not take, and reports it.
    #[track_caller]
    #[cold]
    fn refuse<U, F>(&self, options: &SpawnOptions, future: F) -> Child<'env, U> {
        let refusal = Refusal::of(self.shared.finished.get(), options, Location::caller());
        drop(future);
        if let Some(refusal) = refusal {
            refusal.report();
        }
        Child::refused()
    }

    /// Starts a child, or gives the future back.
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_executors::*; }
    /// use asyncio::{BoxError, GroupClosed, TaskGroup, task_group};
    /// # asyncio_loop::run(async {
    /// task_group(async |tg: TaskGroup| {
    ///     tg.cancel();
    ///     let Err(GroupClosed(work)) = tg.try_spawn(async { Ok(5) }) else { unreachable!() };
    ///     assert_eq!(work.await?, 5);
    ///     Ok(())
    /// })
    /// .await?;
    /// # Ok::<(), BoxError>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// The group is ending or has ended.
    ///
    /// # Panics
    ///
    /// As [`spawn`](Self::spawn).
    #[track_caller]
    #[inline]
    pub fn try_spawn<U, F>(&self, future: F) -> Result<Child<'env, U>, GroupClosed<F>>
    where
        U: 'env,
        F: Future<Output = Result<U, E>> + 'env,
    {
        self.try_spawn_with(SpawnOptions::new(), future)
    }

    /// Starts a child with options, or gives the future back.
    #[track_caller]
    #[inline]
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
        let member = self.member(Place::None, future);
        let panicked = |child: &TaskRef, payload| self.shared.panicked(Some(child), payload);
        let children = &self.shared.children;
        Ok(Child::new(children.spawn_with(options, member, panicked)))
    }

    /// The future of a new child.
    #[inline]
    fn member<F>(&self, mut place: Place, future: F) -> Member<'env, F, E> {
        self.shared.places.expect(&mut place);
        Member {
            future,
            seat: Seat {
                place,
                shared: self.shared.clone(),
            },
        }
    }

    /// At most so many children run at once from now on. [`spawn`](Self::spawn) takes more, and they begin
    /// when it is their turn, first come, first served; those that run go on. To have the one who spawns wait
    /// instead, there is [`spawn_when_free`](Self::spawn_when_free).
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_loop::*; }
    /// use asyncio::{BoxError, TaskGroup, sleep, task_group};
    /// use std::cell::Cell;
    /// use std::time::Duration;
    /// # asyncio_loop::run(async {
    /// let (running, most) = (Cell::new(0), Cell::new(0));
    /// task_group(async |tg: TaskGroup| {
    ///     tg.limit(3);
    ///     for _ in 0..10 {
    ///         tg.spawn(async {
    ///             running.set(running.get() + 1);
    ///             most.set(most.get().max(running.get()));
    ///             sleep(Duration::from_millis(1)).await;
    ///             running.set(running.get() - 1);
    ///             Ok(())
    ///         });
    ///     }
    ///     Ok(())
    /// })
    /// .await?;
    /// assert_eq!(most.get(), 3);
    /// # Ok::<(), BoxError>(()) }).unwrap();
    /// ```
    ///
    /// A child that spawns another child and then awaits it keeps its own place meanwhile. With a limit, that wait may
    /// never end.
    ///
    /// # Panics
    ///
    /// If `children` is zero.
    #[track_caller]
    pub fn limit(&self, children: usize) {
        assert!(children > 0, "`limit` must be at least 1");
        self.shared.places.set_limit(children);
    }

    /// Waits until the [`limit`](Self::limit) allows one more child, and starts it. So the caller makes children no
    /// faster than they run. Children that were spawned before come first and are counted, also those that have not
    /// taken their first step.
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_loop::*; }
    /// use asyncio::{BoxError, TaskGroup, sleep, task_group};
    /// use std::time::Duration;
    /// # asyncio_loop::run(async {
    /// task_group(async |tg: TaskGroup| {
    ///     tg.limit(2);
    ///     for _page in 0..10 {
    ///         tg.spawn_when_free(async { Ok(sleep(Duration::from_millis(1)).await) }).await;
    ///         assert!(tg.len() <= 2);
    ///     }
    ///     Ok(())
    /// })
    /// .await?;
    /// # Ok::<(), BoxError>(()) }).unwrap();
    /// ```
    ///
    /// # Cancellation
    ///
    /// While it waits, the future is dropped, and the place in the line goes to the next.
    #[allow(
        clippy::async_yields_async,
        reason = "the child runs in the group; its handle is what is wanted"
    )]
    #[track_caller]
    pub fn spawn_when_free<U, F>(
        &self,
        future: F,
    ) -> impl Future<Output = Child<'env, U>> + use<'env, U, F, E>
    where
        U: 'env,
        F: Future<Output = Result<U, E>> + 'env,
    {
        let location = Location::caller();
        let mut stand = self.stand();
        async move {
            poll_fn(|cx| stand.poll(cx)).await;
            stand.spawn(location, future)
        }
    }

    /// A stand in the line for a place, for a child that is made later.
    pub(crate) fn stand(&self) -> Stand<'env, E> {
        Stand {
            place: Place::None,
            step_back: StepBack::new(),
            group: self.clone(),
        }
    }

    /// Starts a child and waits until that says that it is ready, with a value: what a server listens on, say.
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_loop::*; }
    /// use asyncio::{BoxError, Ready, TaskGroup, sleep, task_group};
    /// use std::time::Duration;
    /// # asyncio_loop::run(async {
    /// task_group(async |tg: TaskGroup| {
    ///     let (port, server) = tg
    ///         .start(async |ready: Ready<u16>| {
    ///             sleep(Duration::from_millis(1)).await; // bind
    ///             ready.set(8080);
    ///             sleep(Duration::from_millis(5)).await; // serve
    ///             Ok("served")
    ///         })
    ///         .await?;
    ///     assert_eq!(port, 8080);
    ///     assert_eq!(server.await?, "served");
    ///     Ok(())
    /// })
    /// .await?;
    /// # Ok::<(), BoxError>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// [`NeverReady`]: the child ended, or dropped its [`Ready`] without a call, or the group took no more children. If
    /// the child failed, the group has its error and cancels this wait, so the failure is reported once.
    ///
    /// # Cancellation
    ///
    /// A child that is not ready yet is cancelled, and the group waits for it.
    #[track_caller]
    pub fn start<V, U, F>(
        &self,
        child: F,
    ) -> impl Future<Output = Result<(V, Child<'env, U>), NeverReady>>
    where
        V: 'env,
        U: 'env,
        F: AsyncFnOnce(Ready<V>) -> Result<U, E> + 'env,
    {
        self.start_with(SpawnOptions::new().location(Location::caller()), child)
    }

    async fn start_with<V, U, F>(
        &self,
        options: SpawnOptions,
        child: F,
    ) -> Result<(V, Child<'env, U>), NeverReady>
    where
        V: 'env,
        U: 'env,
        F: AsyncFnOnce(Ready<V>) -> Result<U, E> + 'env,
    {
        let (ready, ended, said) = ready();
        let work = async move {
            let _ended = ended;
            child(ready).await
        };
        let child = UntilReady(Some(self.spawn_with(options, work)));
        match said.await {
            Some(value) => Ok((value, child.keep())),
            None => {
                if child.has_ended() {
                    // If it has failed, the group has its error and cancels this wait, which adds no error.
                    let _ = child.keep().await;
                }
                Err(NeverReady)
            }
        }
    }

    /// Cancels the children, and takes no more. The body is not cut: what it returns is the group's value. To end
    /// both there is [`cancel_scope`](crate::cancel_scope) around the group.
    ///
    /// A child that was woken before is polled once more if its [`Child`] is held, because its value has a taker. A
    /// child whose handle was dropped is not polled, so that nothing is lost with it. An item of a queue that was on
    /// its way to the child goes to the next in line.
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_loop::*; }
    /// use asyncio::{BoxError, TaskGroup, sleep, task_group};
    /// use std::future::pending;
    /// use std::time::Duration;
    /// # asyncio_loop::run(async {
    /// let served = task_group(async |tg: TaskGroup| {
    ///     tg.spawn(pending::<Result<(), _>>());
    ///     sleep(Duration::from_millis(1)).await;
    ///     tg.cancel();
    ///     Ok("served for a while")
    /// });
    /// assert_eq!(served.await?, "served for a while");
    /// # Ok::<(), BoxError>(()) }).unwrap();
    /// ```
    pub fn cancel(&self) {
        if !self.shared.ending.replace(true) {
            self.shared.children.cancel(None, LastPoll::IfHeld);
        }
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

/// A wait for a place, for a child that is not spawned yet.
pub(crate) struct Stand<'env, E> {
    place: Place,
    step_back: StepBack,
    group: TaskGroup<'env, E>,
}

impl<'env, E: 'env> Stand<'env, E> {
    /// Starts a child in the place that this has come to.
    pub(crate) fn spawn<U, F>(
        mut self,
        location: &'static Location<'static>,
        future: F,
    ) -> Child<'env, U>
    where
        U: 'env,
        F: Future<Output = Result<U, E>> + 'env,
    {
        if self.group.is_ending() {
            let options = SpawnOptions::new().location(location);
            return self.group.refuse(&options, future);
        }
        let place = std::mem::take(&mut self.place);
        self.group.spawn_in_place(location, place, future)
    }
}

impl<E> Stand<'_, E> {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let places = &self.group.shared.places;
        ready!(places.poll_enter(&mut self.place, cx));
        Pin::new(&mut self.step_back).poll(cx) // with its place
    }
}

impl<E> Drop for Stand<'_, E> {
    fn drop(&mut self) {
        self.group.shared.places.leave(&mut self.place);
    }
}

/// A child that is cancelled unless it gets ready.
struct UntilReady<'env, U>(Option<Child<'env, U>>);

impl<'env, U> UntilReady<'env, U> {
    fn has_ended(&self) -> bool {
        self.0.as_ref().is_some_and(Child::is_finished)
    }

    fn keep(mut self) -> Child<'env, U> {
        self.0.take().expect("it is kept once")
    }
}

impl<U> Drop for UntilReady<'_, U> {
    fn drop(&mut self) {
        if let Some(child) = &self.0 {
            child.cancel_once();
        }
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
    fn new() -> Rc<Self> {
        Rc::new(Self {
            children: Children::new(),
            errors: RefCell::default(),
            panic: RefCell::default(),
            places: Places::new(),
            ending: Cell::new(false),
            unwanted: Cell::new(false),
            contest: Cell::new(Contest::None),
            answer: Cell::new(Answer::Unasked),
            over: Cell::new(false),
            finished: Cell::new(false),
            body: RefCell::default(),
        })
    }

    /// Opens the scope of the body, and gives out its handle.
    fn open<F: Future>(&self, body: Pin<&mut Scope<F>>, handle: &mut Option<ScopeHandle>) {
        *handle = body.open();
        assert!(
            handle.is_some(),
            "a task group is polled by a task: spawn the future that contains it, or run it as main"
        );
        self.body.replace(handle.clone());
    }

    /// A child or the body returns.
    #[inline]
    fn has_returned(&self) {
        if self.answer.get() == Answer::Swallowed && has_open_request() {
            self.goes_on();
        }
    }

    /// A child or the body has ended, and has not swallowed a request from outside, if there is one.
    #[inline]
    fn goes_on(&self) {
        // The race ends its losers.
        if self.answer.get() == Answer::Swallowed && self.contest.get() != Contest::Decided {
            self.answer.set(Answer::GoesOn);
        }
    }

    /// Cancels the children, whose values nothing can take.
    fn end_children(&self) {
        if self.unwanted.replace(true) {
            return;
        }
        if self.ending.replace(true) {
            self.children.refuse_last_polls();
        } else {
            self.children.cancel(None, LastPoll::IfAwaited);
        }
    }

    /// Cancels all members: the body first, so that the request reaches it before a child that it awaits can answer.
    fn end(&self) {
        let body = self.body.take();
        if let Some(body) = body {
            body.cut();
        }
        self.end_children();
    }

    fn failed(&self, error: E) {
        let failure = Failure::here(error);
        self.errors.borrow_mut().push(failure);
        self.end();
    }

    /// A child or the body panicked.
    #[cold]
    fn panicked(&self, child: Option<&TaskRef>, payload: Payload) {
        if self.over.get() {
            return report("a child of a dropped task group panicked", child, payload);
        }
        let second = {
            let mut first = self.panic.borrow_mut();
            match *first {
                None => {
                    *first = Some((payload, child.cloned()));
                    None
                }
                Some(_) => Some(payload),
            }
        };
        if let Some(payload) = second {
            let message = "a second panic in a task group, which passes only the first on";
            report(message, child, payload);
        }
        self.end();
    }
}

fn report(message: &'static str, child: Option<&TaskRef>, payload: Payload) {
    let cause = Cause::Panic(PanicPayload::new(payload));
    asyncio_loop::call_exception_handler(&Unhandled::new(message, child, cause));
}

pin_project! {
    /// A group and its body, which begins in the first poll.
    // No async function: in debug builds its frame would have room for the body twice, and groups are nested.
    struct Grouped<'env, T, E, M, F> {
        make_body: Option<M>,
        // Before the body, so that its children are dropped first.
        group: Option<Group<'env, T, E>>,
        #[pin]
        body: Option<Scope<Body<'env, F, E>>>,
    }
}

impl<'env, T, E, M, F> Grouped<'env, T, E, M, F>
where
    M: FnOnce(TaskGroup<'env, E>) -> F,
    F: Future<Output = Result<T, E>>,
{
    fn new(make_body: M) -> Self {
        Self {
            make_body: Some(make_body),
            group: None,
            body: None,
        }
    }

    /// Makes the body and the group. Apart: what is moved here is not on the stack while they are polled.
    #[inline(never)]
    fn begin(self: Pin<&mut Self>) {
        let mut this = self.project();
        let Some(make_body) = this.make_body.take() else {
            return;
        };
        let shared = Shared::new();
        let future = make_body(TaskGroup {
            shared: shared.clone(),
        });
        *this.group = Some(Group::new(&shared));
        this.body.set(Some(Scope::new(Body { future, shared })));
    }
}

impl<'env, T, E, M, F> Future for Grouped<'env, T, E, M, F>
where
    M: FnOnce(TaskGroup<'env, E>) -> F,
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, ErrorGroup<E>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.make_body.is_some() {
            self.as_mut().begin();
        }
        let this = self.project();
        let Some(group) = this.group else {
            panic!("a task group was polled again after it had ended");
        };
        let poll = group.poll(this.body, cx);
        if poll.is_ready() {
            *this.group = None;
        }
        poll
    }
}

impl<'env, T, E> Group<'env, T, E> {
    fn new(shared: &Rc<Shared<'env, E>>) -> Self {
        Self {
            shared: shared.clone(),
            listener: Listener::new(),
            body: None,
            propagates: false,
            result: None,
        }
    }

    /// Runs a step of the body and of each child, as far as they were woken. Children that the body spawns wait for the
    /// next round.
    // Always: debug builds keep a frame for each call, and groups are nested.
    #[inline(always)]
    fn poll<F>(
        &mut self,
        mut body: Pin<&mut Option<Scope<Body<'env, F, E>>>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, ErrorGroup<E>>>
    where
        F: Future<Output = Result<T, E>>,
    {
        if let Some(BodyEnd::Over(propagation)) = self.result {
            return propagation.poll_again("a task group was awaited again after it had ended");
        }
        if self.listener.heard() {
            self.pass_on();
        }
        let shared = self.shared.clone();
        let poll_body = |cx: &mut Context<'_>| self.poll_body(body.as_mut(), cx);
        let panicked = |child: &TaskRef, payload| shared.panicked(Some(child), payload);
        shared.children.poll_beside(cx, poll_body, panicked);
        if self.result.is_some() && shared.children.is_empty() {
            return self.finish();
        }
        self.listener.wait(cx);
        Poll::Pending
    }

    /// Passes a request on to everybody. A second one, if it has another origin, interrupts those who clean up. Those
    /// who were woken before it have been polled since, by the last poll of whatever was cancelled.
    fn pass_on(&mut self) {
        let request = self.listener.request();
        let contest = self.shared.contest.get();
        self.shared.ending.set(true);
        if self.shared.answer.get() == Answer::Unasked {
            self.shared.answer.set(match contest {
                // The request goes only to losers, which do not answer for the race.
                Contest::Decided => Answer::GoesOn,
                Contest::None | Contest::Open => Answer::Swallowed,
            });
        }
        // Once all is decided, the body returns that.
        if contest != Contest::Decided {
            if let Some(body) = &self.body {
                body.pass_on(&request);
            }
            self.shared.body.take();
        }
        let last_poll = match contest {
            Contest::Open if !request.dismissed() => LastPoll::OfAwaited,
            _ => {
                self.shared.unwanted.set(true);
                LastPoll::IfAwaited
            }
        };
        self.shared.children.pass_on(&request, last_poll);
    }

    fn poll_body<F>(&mut self, body: Pin<&mut Option<Scope<F>>>, cx: &mut Context<'_>) -> Poll<()>
    where
        F: Future<Output = Result<T, E>>,
    {
        let Some(body) = body.as_pin_mut() else {
            return Poll::Ready(());
        };
        // The outcome is stored once, where it is, and the guard has one pointer: debug builds keep several frames for
        // a guard, and groups are nested.
        let mut outcome = Poll::Pending;
        let step = &mut BodyStep {
            body,
            cx,
            outcome: &mut outcome,
        };
        let polled = self.listener.isolate(|| {
            if self.body.is_none() {
                self.shared.open(step.body.as_mut(), &mut self.body);
            }
            catch_unwind(AssertUnwindSafe(|| step.poll()))
        });
        let panic = polled.err();
        if panic.is_none() && outcome.is_pending() {
            return Poll::Pending;
        }
        self.end_body(panic, &mut outcome);
        Poll::Ready(())
    }

    /// The body has panicked, or returned. Apart: it is not on the stack while the body is polled.
    #[inline(never)]
    fn end_body(
        &mut self,
        panic: Option<Payload>,
        outcome: &mut Poll<Result<Result<T, E>, Interrupted>>,
    ) {
        let end = match std::mem::replace(outcome, Poll::Pending) {
            Poll::Ready(Ok(Ok(value))) => BodyEnd::Returned(value),
            Poll::Ready(Ok(Err(error))) => {
                self.shared.end_children();
                BodyEnd::Failed(Failure::here(error))
            }
            Poll::Ready(Err(Interrupted::Own)) | Poll::Pending => BodyEnd::Without,
            // The listener keeps requests of the enclosing code out, so the body propagates one of its own accord.
            Poll::Ready(Err(Interrupted::Outer(cancelled))) => {
                cancelled.swallow();
                self.shared.end_children();
                self.propagates = true;
                BodyEnd::Without
            }
        };
        self.shared.body.take();
        if let Some(payload) = panic {
            let task = asyncio_task::current_task();
            self.shared.panicked(task.as_ref(), payload);
        }
        self.body = None;
        self.result = Some(end);
    }

    fn finish(&mut self) -> Poll<Result<T, ErrorGroup<E>>> {
        self.shared.ending.set(true);
        let is_without_errors =
            self.shared.errors.borrow().is_empty() && self.shared.panic.borrow().is_none();
        if is_without_errors && let Some(BodyEnd::Returned(_)) = self.result {
            return self.finish_with_value();
        }
        let (failures, result) = self.take_ends();
        let panic = self.shared.panic.take();
        if let Some((payload, _)) = panic {
            self.listener.release();
            Failure::lose(failures, LOST_BY_PANIC);
            resume_unwind(payload);
        }
        let errors = failures.into_iter().map(|failure| failure.error);
        if let Some(errors) = ErrorGroup::new(errors.collect()) {
            self.listener.release();
            return Poll::Ready(Err(errors));
        }
        let heard = self.listener.conclude(false);
        let propagation = match result {
            _ if heard => Propagation::here(),
            None | Some(BodyEnd::Without) if self.propagates => propagate_here(),
            _ => {
                unreachable!("a body without a value was cancelled, by an error or from outside")
            }
        };
        self.result = Some(BodyEnd::Over(propagation));
        Poll::Pending
    }

    /// The body has returned a value, and nothing has failed.
    // Apart from the other ends. In a type for all of them, a value is stored in its own size and loaded in that of the
    // largest. The processor waits for such a store.
    fn finish_with_value(&mut self) -> Poll<Result<T, ErrorGroup<E>>> {
        if self.shared.answer.get() == Answer::Swallowed {
            self.listener.conclude(true);
        } else if self.shared.contest.get() == Contest::Decided && !self.listener.is_dismissed() {
            self.listener.release();
        }
        let heard = self.listener.conclude(false);
        let over = match heard {
            true => Propagation::here(),
            false => Propagation::NOWHERE,
        };
        match self.result.replace(BodyEnd::Over(over)) {
            Some(BodyEnd::Returned(value)) if !heard => Poll::Ready(Ok(value)),
            _ => Poll::Pending,
        }
    }
}

/// A poll of a body that is under way.
struct BodyStep<'a, 'b, F: Future> {
    body: Pin<&'a mut Scope<F>>,
    cx: &'a mut Context<'b>,
    outcome: &'a mut Poll<Result<F::Output, Interrupted>>,
}

impl<F: Future> BodyStep<'_, '_, F> {
    #[inline(always)]
    fn poll(&mut self) {
        *self.outcome = self.body.as_mut().poll(self.cx);
    }
}

impl<T, E> Group<'_, T, E> {
    /// All errors, that of the body last, and what else the body came to.
    fn take_ends(&mut self) -> (Vec<Failure<E>>, Option<BodyEnd<T, E>>) {
        let mut failures = self.shared.errors.take();
        match self.result.replace(BodyEnd::Over(Propagation::NOWHERE)) {
            Some(BodyEnd::Failed(failure)) => {
                failures.push(failure);
                (failures, None)
            }
            result => (failures, result),
        }
    }
}

impl<T, E> Drop for Group<'_, T, E> {
    fn drop(&mut self) {
        // The handles may keep `shared`; the children end here.
        self.shared.ending.set(true);
        self.shared.over.set(true);
        let panicked = |child: &TaskRef, payload| self.shared.panicked(Some(child), payload);
        self.shared.children.end_with(panicked);
        self.shared.finished.set(true);
        let panic = self.shared.panic.take();
        if let Some((payload, child)) = panic {
            let message = "a task group is dropped before its panic can go on";
            report(message, child.as_ref(), payload);
        }
        let (failures, _value) = self.take_ends();
        if !failures.is_empty() {
            Failure::lose(failures, LOST_BY_DROP);
        }
    }
}

pin_project! {
    /// The body's future, which tells the group when it returns.
    struct Body<'env, F, E> {
        #[pin]
        future: F,
        shared: Rc<Shared<'env, E>>,
    }
}

impl<F: Future, E> Future for Body<'_, F, E> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let poll = this.future.poll(cx);
        if poll.is_ready() {
            this.shared.has_returned();
        }
        poll
    }
}

pin_project! {
    /// A child's future, which waits for a place, and leaves its error with the group.
    struct Member<'env, F, E> {
        #[pin]
        future: F,
        // Dropped after the future.
        seat: Seat<'env, E>,
    }
}

/// A child's part of its group.
struct Seat<'env, E> {
    place: Place,
    shared: Rc<Shared<'env, E>>,
}

impl<E> Drop for Seat<'_, E> {
    #[inline]
    fn drop(&mut self) {
        if !self.place.has_returned() {
            self.shared.goes_on();
        }
        self.shared.places.leave(&mut self.place);
    }
}

impl<U, E, F: Future<Output = Result<U, E>>> Future for Member<'_, F, E> {
    /// `None`: the group has the error.
    type Output = Option<U>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<U>> {
        let this = self.project();
        let Seat { place, shared } = this.seat;
        if shared.places.poll_enter(place, cx).is_pending() {
            return Poll::Pending;
        }
        let result = ready!(this.future.poll(cx));
        place.note_return();
        shared.has_returned();
        match result {
            Ok(value) => Poll::Ready(Some(value)),
            Err(error) => {
                shared.failed(error);
                Poll::Ready(None)
            }
        }
    }
}

/// The error of a handle whose group refused the child.
pub(crate) fn refused() -> JoinError {
    JoinError::Cancelled("(not spawned)".into(), None)
}
