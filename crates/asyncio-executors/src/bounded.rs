//! Many futures, of which a bounded number runs at a time.
//!
//! These are groups with a [limit](crate::TaskGroup::limit). The body takes the next future from its iterator or stream
//! when there is a place for it. So a million futures are never in memory at once.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use asyncio_task::Task;
use futures_core::{FusedStream, Stream};

use crate::error_group::ErrorGroup;
use crate::gather::{Part, Place, cancelled_with_a_part};
use crate::outputs::NeverFails;
use crate::task_group::{TaskGroup, task_group};
use crate::wait::AsCompleted;

/// Runs the futures of an iterator, at most `limit` at a time, and returns their outputs in order.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_loop::*; }
/// use asyncio::{gather_bounded, sleep, time};
/// use std::time::Duration;
/// # let builder = asyncio_loop::Runner::builder().virtual_time(true);
/// # asyncio_loop::run_with(builder, async {
/// let start = time();
/// let download = async |page: u64| {
///     sleep(Duration::from_secs(1)).await;
///     page * 100
/// };
/// let sizes = gather_bounded(5, (1..=20).map(download)).await;
/// assert_eq!((sizes.len(), sizes[19]), (20, 2000));
/// assert_eq!(time() - start, Duration::from_secs(4));
/// # });
/// ```
///
/// The outputs are in the order of the futures. The iterator is asked for a future when there is a place for it.
///
/// # Cancellation
///
/// As with [`gather`](crate::gather()). No other future is taken from the iterator. So if some have not begun, the
/// request goes on, even if all that have begun swallow it.
///
/// # Panics
///
/// As [`gather`](crate::gather()). If the iterator panics, or if `limit` is zero.
#[doc(alias("buffered", "Semaphore"))]
#[track_caller]
pub fn gather_bounded<I>(
    limit: usize,
    futures: I,
) -> impl Future<Output = Vec<<I::Item as Future>::Output>>
where
    I: IntoIterator<Item: Future>,
{
    must_allow_one(limit);
    let place = Location::caller();
    async move {
        let futures = futures.into_iter().map(NeverFails::new);
        let Ok(outputs): Result<_, Infallible> = gather_all(limit, futures, place).await;
        outputs
    }
}

/// Runs the futures of an iterator, at most `limit` at a time, until all have returned or one has failed.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; }
/// use asyncio::try_gather_bounded;
/// # asyncio_loop::run(async {
/// let parse = async |text: &str| text.parse::<u32>();
/// assert_eq!(try_gather_bounded(2, "1 2 3".split(' ').map(parse)).await, Ok(vec![1, 2, 3]));
/// assert!(try_gather_bounded(2, "1 two 3".split(' ').map(parse)).await.is_err());
/// # });
/// ```
///
/// # Errors
///
/// As [`try_gather`](crate::try_gather()). Futures that have not begun by then never begin.
///
/// # Cancellation
///
/// As with [`gather_bounded`].
///
/// # Panics
///
/// As [`gather_bounded`].
#[doc(alias = "try_buffered")]
#[track_caller]
pub fn try_gather_bounded<I, T, E>(
    limit: usize,
    futures: I,
) -> impl Future<Output = Result<Vec<T>, E>>
where
    I: IntoIterator<Item: Future<Output = Result<T, E>>>,
{
    must_allow_one(limit);
    gather_all(limit, futures, Location::caller())
}

/// Panics at the call, and not at the first poll.
#[track_caller]
fn must_allow_one(limit: usize) {
    assert!(limit > 0, "`limit` must be at least 1");
}

async fn gather_all<I, T, E>(limit: usize, futures: I, place: Place) -> Result<Vec<T>, E>
where
    I: IntoIterator<Item: Future<Output = Result<T, E>>>,
{
    let outputs = RefCell::new(Vec::new());
    let gathered = task_group(async |tg: TaskGroup<'_, E>| {
        tg.limit(limit);
        let mut futures = futures.into_iter().enumerate();
        // An iterator that knows its end is not waited for: all that is left are the futures.
        while futures.size_hint().1 != Some(0) {
            // A place first: the iterator is asked for no future that has to wait.
            let mut stand = tg.stand();
            poll_fn(|cx| stand.poll(cx)).await;
            if tg.is_ending() {
                break;
            }
            let Some((n, future)) = futures.next() else {
                break;
            };
            outputs.borrow_mut().push(None);
            let outputs = &outputs;
            let part = Part::new(&tg, future, move |value| {
                outputs.borrow_mut()[n] = Some(value);
            });
            drop(stand.spawn(place, part));
        }
        Ok(())
    });
    gathered.await.map_err(ErrorGroup::into_first)?;
    let outputs = outputs.into_inner().into_iter();
    match outputs.collect() {
        Some(values) => Ok(values),
        None => cancelled_with_a_part().await,
    }
}

/// Runs `work` for each item of a stream, with at most `limit` of them at a time. Returns when the stream and all work
/// have ended.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_loop::*; }
/// use asyncio::{for_each_bounded, sleep};
/// use futures::stream;
/// use std::cell::Cell;
/// use std::convert::Infallible;
/// use std::time::Duration;
/// # asyncio_loop::run(async {
/// let sum = Cell::new(0);
/// let numbers = stream::iter(1..=10);
/// let outcome = for_each_bounded(3, numbers, async |n| {
///     sleep(Duration::from_millis(1)).await;
///     sum.set(sum.get() + n); // the work may borrow
///     Ok::<(), Infallible>(())
/// });
/// assert_eq!((outcome.await, sum.get()), (Ok(()), 55));
/// # });
/// ```
///
/// The stream is polled when there is a place for its next item. For the items of an iterator there is
/// `futures::stream::iter`.
///
/// # Errors
///
/// The first error of the work. The rest is cancelled and awaited.
///
/// # Cancellation
///
/// The request goes to the stream and to all work, and on when all have ended. The items that the stream and the work
/// have taken are lost.
///
/// # Panics
///
/// If `limit` is zero, or if the stream or the work panics. When polled outside of any task.
#[doc(alias("for_each_concurrent", "buffer_unordered", "map"))]
#[track_caller]
pub fn for_each_bounded<S, E>(
    limit: usize,
    items: S,
    work: impl AsyncFn(S::Item) -> Result<(), E>,
) -> impl Future<Output = Result<(), E>>
where
    S: Stream,
{
    must_allow_one(limit);
    let place = Location::caller();
    async move {
        let mut items = pin!(items);
        let done = task_group(async |tg: TaskGroup<'_, E>| {
            tg.limit(limit);
            loop {
                // A place first: an item that is taken is worked on at once.
                let mut stand = tg.stand();
                poll_fn(|cx| stand.poll(cx)).await;
                let Some(item) = poll_fn(|cx| items.as_mut().poll_next(cx)).await else {
                    break;
                };
                drop(stand.spawn(place, work(item)));
            }
            Ok(())
        });
        done.await.map_err(ErrorGroup::into_first)
    }
}

/// The futures as tasks, of which at most `limit` run at a time: a stream of them in the order in which they end.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_loop::*; }
/// use asyncio::{as_completed_bounded, sleep};
/// use futures::StreamExt;
/// use std::time::Duration;
/// # let builder = asyncio_loop::Runner::builder().virtual_time(true);
/// # asyncio_loop::run_with(builder, async {
/// let cook = async |seconds: u64| {
///     sleep(Duration::from_secs(seconds)).await;
///     seconds
/// };
/// let mut dishes = as_completed_bounded(2, [4, 1, 2].map(cook));
/// let mut served = Vec::new();
/// while let Some(dish) = dishes.next().await {
///     served.push(dish.await.unwrap());
/// }
/// assert_eq!(served, [1, 2, 4]); // the third began when the second had ended
/// # });
/// ```
///
/// A future is spawned when the stream is polled and there is a place for it.
///
/// # Cancellation
///
/// As with [`as_completed`](crate::as_completed). The futures that have not begun are dropped with the stream.
///
/// # Panics
///
/// If `limit` is zero. When polled outside of a loop.
#[doc(alias("buffer_unordered", "JoinSet"))]
#[track_caller]
pub fn as_completed_bounded<I>(
    limit: usize,
    futures: I,
) -> AsCompletedBounded<I::IntoIter, <I::Item as Future>::Output>
where
    I: IntoIterator<Item: Future<Output: 'static> + 'static>,
{
    must_allow_one(limit);
    AsCompletedBounded {
        futures: Some(futures.into_iter()),
        tasks: crate::as_completed([]),
        limit,
    }
}

/// The stream of [`as_completed_bounded`].
#[derive(Debug)]
#[must_use = "streams do nothing unless they are polled"]
pub struct AsCompletedBounded<I, T: 'static> {
    /// `None` when it is exhausted.
    futures: Option<I>,
    tasks: AsCompleted<T>,
    limit: usize,
}

// The iterator is never pinned.
impl<I, T> Unpin for AsCompletedBounded<I, T> {}

impl<I, T> Stream for AsCompletedBounded<I, T>
where
    I: Iterator<Item: Future<Output = T> + 'static>,
    T: 'static,
{
    type Item = Task<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Task<T>>> {
        let this = &mut *self;
        while this.tasks.len() < this.limit
            && let Some(futures) = &mut this.futures
        {
            match futures.next() {
                Some(future) => this.tasks.push(asyncio_loop::spawn(future)),
                None => this.futures = None,
            }
        }
        Poll::Ready(ready!(Pin::new(&mut this.tasks).poll_next(cx)))
    }
}

impl<I, T> FusedStream for AsCompletedBounded<I, T>
where
    I: Iterator<Item: Future<Output = T> + 'static>,
    T: 'static,
{
    /// Whether the stream has ended.
    fn is_terminated(&self) -> bool {
        self.futures.is_none() && self.tasks.is_terminated()
    }
}
