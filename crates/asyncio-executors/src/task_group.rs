//! Task groups: children that borrow from the frame around them, and never outlive it.
//!
//! Here are the handle of a group and the ways to spawn. How a group runs and ends is in `group`.

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use asyncio_task::{SpawnOptions, StepBack, TaskRef};

use crate::child::Child;
use crate::error_group::{BoxError, ErrorGroup};
use crate::forgotten::Refusal;
use crate::group::member::Member;
use crate::group::running::Grouped;
use crate::group::shared::Shared;
use crate::outputs::{FailsInto, NeverFails};
use crate::places::Place;
use crate::ready::{NeverReady, Ready, ready};

/// Runs `body`, which spawns children by a [`TaskGroup`], and waits for it and for all children.
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
    Grouped::new(move |shared| body(TaskGroup { shared }))
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

/// The group is ending, and takes no more children. The error contains the future.
#[derive(thiserror::Error)]
#[error("the task group is ending or has ended")]
pub struct GroupClosed<F>(pub F);

impl<E> TaskGroup<'_, E> {
    /// For those whose children need each other: this one has ended without a value.
    pub(crate) fn end_children(&self) {
        self.shared.goes_on();
        self.shared.end_children();
    }

    /// For a race: the first value counts.
    pub(crate) fn open_contest(&self) {
        self.shared.open_contest();
    }

    /// A request from outside goes on, although the body swallows it.
    pub(crate) fn passes_request(&self) {
        self.shared.goes_on();
    }

    /// For a race: it is won. The body ends by itself, and its value is returned in spite of later requests.
    pub(crate) fn decide(&self) {
        self.shared.decide();
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
        if self.shared.is_ending() {
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
        if self.shared.is_ending() {
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
        let refusal = Refusal::of(self.shared.has_finished(), options, Location::caller());
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
        if self.shared.is_ending() {
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
    fn member<F>(&self, place: Place, future: F) -> Member<'env, F, E> {
        Member::new(place, future, self.shared.clone())
    }

    /// Sets how many children run at once from now on. [`spawn`](Self::spawn) takes more, and they begin in order, as
    /// places become free. Children that run go on. [`spawn_when_free`](Self::spawn_when_free) lets the spawning code
    /// wait instead.
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

    /// Starts a child and waits until the child reports that it is ready, with a value, for example the address of a
    /// server.
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

    /// Cancels the children, and takes no more. The body goes on, and its value is the group's value. A
    /// [`cancel_scope`](crate::cancel_scope) around the group ends both.
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
        self.shared.cancel_children();
    }

    /// The number of children that have not ended.
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
        self.shared.is_ending()
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
        if !places.take_free(&mut self.place) {
            ready!(places.poll_enter(&mut self.place, cx));
        }
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
            .field("errors", &self.shared.errors())
            .field("ending", &self.shared.is_ending())
            .finish()
    }
}

impl<F> fmt::Debug for GroupClosed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupClosed(..)")
    }
}
