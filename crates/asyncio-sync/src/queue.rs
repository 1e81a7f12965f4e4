//! The queue: tasks put items, tasks take items, and both can wait.
//!
//! There is one queue with three disciplines. [`state`] has the rules, [`discipline`] the orders,
//! and [`access`] the waiting. Here the state is in a `RefCell`. No foreign code runs while it is
//! mutably borrowed. The items' comparisons run under a shared borrow, before the state changes:
//! they can read the queue, but not change it.

pub(crate) mod access;
pub(crate) mod discipline;
pub(crate) mod error;
mod item;
mod slot;
pub(crate) mod state;

use std::cell::{BorrowMutError, RefCell, RefMut};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use asyncio_console::{Place, Resource, ResourceKind};
use futures_core::{FusedFuture, FusedStream};

use crate::budget;
use crate::wait_list::{WaitPoll, WaiterState};
use access::{Access, Get, Items, Put};
use state::QueueState;

pub use discipline::{Discipline, Fifo, Lifo, Smallest};
pub use error::{GetNowaitError, PutError, PutNowaitError, QueueShutDown, TooManyDone};
pub use item::Item;
pub use slot::QueueSlot;

/// A queue between tasks: first in, first out.
///
/// This is asyncio's `Queue`. With a `maxsize`, a put waits while the queue is full, so producers
/// cannot run far ahead of consumers. See [`BaseQueue`] for its methods.
///
/// ```
/// # mod asyncio { pub use asyncio_sync as sync; }
/// use asyncio::sync::Queue;
/// # async fn resize(picture: &str) -> String { format!("small {picture}") }
///
/// # futures::executor::block_on(async {
/// let pictures = Queue::new(2);
/// let album = Queue::new(0);
///
/// let camera = async {
///     for name in ["beach", "dinner", "sunset"] {
///         pictures.put(name).await.unwrap(); // waits while the queue has two
///     }
///     pictures.shutdown(false); // no more puts; remaining items can be taken
/// };
/// let worker = async {
///     while let Ok(picture) = pictures.get().await {
///         album.put(resize(picture).await).await.unwrap();
///     }
/// };
/// futures::join!(camera, worker);
///
/// assert_eq!(album.qsize(), 3);
/// assert_eq!(album.get_nowait().as_deref(), Ok("small beach"));
/// # });
/// ```
#[doc(alias = "mpsc")]
pub type Queue<T> = BaseQueue<Fifo<T>>;

/// A queue from which the smallest item comes out first. Equal items come out first in, first out.
///
/// This is asyncio's `PriorityQueue`, whose equal items come out in unspecified order. For the
/// greatest item first, put [`Reverse`](std::cmp::Reverse) items.
///
/// A put and a get compare items. A comparison may read the queue but must not change it. If a
/// comparison panics, the operation has no effect. If the order of items changes while they are in
/// the queue, such as through a `Cell`, all items come out, but in unspecified order.
///
/// ```
/// # mod asyncio { pub use asyncio_sync as sync; }
/// use asyncio::sync::PriorityQueue;
///
/// # futures::executor::block_on(async {
/// let patients = PriorityQueue::new(0);
/// patients.put((3, "a cold")).await.unwrap();
/// patients.put((1, "a heart attack")).await.unwrap();
/// patients.put((2, "a broken arm")).await.unwrap();
///
/// assert_eq!(patients.get().await, Ok((1, "a heart attack")));
/// assert_eq!(patients.get().await, Ok((2, "a broken arm")));
/// assert_eq!(patients.get().await, Ok((3, "a cold")));
/// # });
/// ```
///
/// # Panics
///
/// The methods that put or get, if a comparison panics or changes the queue.
pub type PriorityQueue<T> = BaseQueue<Smallest<T>>;

/// A queue from which the item that was put last comes out first.
///
/// This is asyncio's `LifoQueue`. Use it if the newest item matters most, or for a pool, where the
/// last used object is still in the cache.
///
/// ```
/// # mod asyncio { pub use asyncio_sync as sync; }
/// use asyncio::sync::LifoQueue;
///
/// # futures::executor::block_on(async {
/// let idle_connections = LifoQueue::new(0);
/// for name in ["first", "second"] {
///     idle_connections.put(name).await.unwrap();
/// }
/// let connection = idle_connections.get().await.unwrap();
/// assert_eq!(connection, "second");
/// idle_connections.put(connection).await.unwrap();
/// # });
/// ```
pub type LifoQueue<T> = BaseQueue<Lifo<T>>;

/// The common type of [`Queue`], [`PriorityQueue`] and [`LifoQueue`].
///
/// Share it by reference or as `Rc`. All counts are exact until the next `await`: no other task
/// runs on this thread before.
///
/// **Order.** If a task waits in [`get`](Self::get), a new item is reserved for the first such task
/// at once. In the same way, a free slot is reserved for the first task that waits in
/// [`put`](Self::put). Other tasks cannot take a reserved item or slot, not even with
/// [`get_nowait`](Self::get_nowait) or [`put_nowait`](Self::put_nowait). [`qsize`](Self::qsize),
/// [`empty`](Self::empty) and [`full`](Self::full) do not count reserved items and slots as
/// available. (In asyncio the task that runs first takes the item.)
///
/// **Done.** [`join`](Self::join) waits until all items are marked done, by
/// [`task_done`](Self::task_done) or by an [`Item`]. Without a `join`, items need not be marked.
///
/// **Shutdown.** After [`shutdown`](Self::shutdown) no item can be put. When the remaining items
/// have been taken, `get` fails. This ends producers, consumers and streams of
/// [`items`](Self::items).
///
/// # Cancellation
///
/// A cancelled [`put`](Self::put) has not put its item, and drops it. A cancelled
/// [`get`](Self::get) has taken no item, so a loop of races over queues loses no item. An item that
/// was reserved for it stays in the queue, and is reserved for the next waiter at once.
///
/// A future with a reservation that is not polled keeps it from other tasks. If it is leaked with
/// [`mem::forget`](std::mem::forget), it keeps it forever.
pub struct BaseQueue<D> {
    state: RefCell<QueueState<D>>,
    shown: Resource,
}

const KIND: &ResourceKind = &ResourceKind::sync("Queue", "get");

impl<D: Discipline> BaseQueue<D> {
    /// Creates an empty queue for at most `maxsize` items; 0 means no limit.
    #[track_caller]
    pub fn new(maxsize: usize) -> Self {
        Self {
            state: RefCell::new(QueueState::new(maxsize)),
            shown: Resource::new(KIND, Place::caller()),
        }
    }

    /// Puts an item. Waits while the queue is full, and does not yield otherwise.
    ///
    /// # Errors
    ///
    /// If the queue is shut down before the item is put. The error contains the item.
    #[inline]
    pub fn put(&self, item: D::Item) -> impl FusedFuture<Output = Result<(), PutError<D::Item>>> {
        Put::new(self, item)
    }

    /// Puts an item without waiting.
    ///
    /// # Errors
    ///
    /// If the queue is full or shut down. The error contains the item.
    #[inline]
    pub fn put_nowait(&self, item: D::Item) -> Result<(), PutNowaitError<D::Item>> {
        self.try_put(item)
    }

    /// Reserves a slot for an item that is put later. Waits while the queue is full, and does not yield otherwise.
    ///
    /// So an item is taken from elsewhere only when there is room for it, and no cancelled [`put`](Self::put) drops it.
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_sync as sync; }
    /// use asyncio::sync::Queue;
    ///
    /// # futures::executor::block_on(async {
    /// let (source, target) = (Queue::new(0), Queue::new(1));
    /// source.put_nowait("a letter").unwrap();
    ///
    /// let slot = target.reserve().await.unwrap();
    /// let letter = source.get().await.unwrap(); // if this is cancelled, no letter is lost
    /// slot.put(letter).unwrap(); // never waits
    /// assert_eq!(target.get_nowait(), Ok("a letter"));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// If the queue is shut down before there is a slot.
    ///
    /// # Cancellation
    ///
    /// A cancelled `reserve` has no slot. A slot that was reserved for it goes to the next waiter.
    pub fn reserve(&self) -> impl FusedFuture<Output = Result<QueueSlot<'_, D>, PutError<()>>> {
        slot::Reserve::new(self)
    }

    /// Takes the next item. Waits while the queue is empty, and does not yield otherwise.
    ///
    /// # Cancellation
    ///
    /// A cancelled get has taken no item. An item that was reserved for it goes to the next waiter.
    ///
    /// # Errors
    ///
    /// If the queue is shut down and empty.
    #[inline]
    pub fn get(&self) -> impl FusedFuture<Output = Result<D::Item, QueueShutDown>> {
        Get::new(self)
    }

    /// Takes the next item without waiting.
    ///
    /// # Errors
    ///
    /// If the queue has no item that is not reserved for a waiter, or if it is shut down and empty.
    #[inline]
    pub fn get_nowait(&self) -> Result<D::Item, GetNowaitError> {
        self.try_get()
    }

    /// Takes the next item like [`get`](Self::get), as an [`Item`] that marks itself done when
    /// dropped.
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get).
    pub async fn get_item(&self) -> Result<Item<'_, D>, QueueShutDown> {
        let item = self.get().await?;
        Ok(Item::new(item, self))
    }

    /// A stream of the items, which ends when the queue is shut down and empty.
    ///
    /// Several streams and `get` calls share the items. Dropping a stream takes no item.
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_sync as sync; }
    /// use asyncio::sync::Queue;
    /// use futures::StreamExt;
    ///
    /// # futures::executor::block_on(async {
    /// let words = Queue::new(0);
    /// for word in ["one", "queue", "as", "a", "stream"] {
    ///     words.put_nowait(word).unwrap();
    /// }
    /// words.shutdown(false);
    ///
    /// let lengths: Vec<usize> = words.items().map(str::len).collect().await;
    /// assert_eq!(lengths, [3, 5, 2, 1, 6]);
    /// # });
    /// ```
    pub fn items(&self) -> impl FusedStream<Item = D::Item> {
        Items::new(self)
    }

    /// Marks an item done.
    ///
    /// # Errors
    ///
    /// If it is called more often than items were put.
    pub fn task_done(&self) -> Result<(), TooManyDone> {
        self.state_mut().task_done()?;
        self.wake_joiners();
        Ok(())
    }

    /// Waits until all items are marked done. Does not yield if they are.
    ///
    /// A waiting task is released when the last item is marked, even if more items are put before
    /// it runs.
    pub fn join(&self) -> impl FusedFuture<Output = ()> {
        Join {
            queue: self,
            waiter: WaiterState::New,
        }
    }

    /// Shuts the queue down: no more items can be put, and waiting puts fail.
    ///
    /// The remaining items can still be taken. If `immediate`, they are dropped and marked done
    /// instead. A waiting get that can no longer have an item fails. A second call with `immediate`
    /// drops the items that the first call left.
    pub fn shutdown(&self, immediate: bool) {
        self.shut_down(immediate);
    }

    /// Whether the queue was shut down.
    pub fn is_shutdown(&self) -> bool {
        self.state.borrow().is_shut_down()
    }

    /// The number of items, without items that are reserved for waiting tasks.
    pub fn qsize(&self) -> usize {
        self.state.borrow().available()
    }

    /// Whether [`qsize`](Self::qsize) is 0, so that [`get`](Self::get) would wait or fail.
    pub fn empty(&self) -> bool {
        self.qsize() == 0
    }

    /// Whether there is no free slot that is not reserved, so that [`put`](Self::put) would wait or
    /// fail.
    pub fn full(&self) -> bool {
        !self.state.borrow().has_room()
    }

    /// The maximum number of items; 0 means no limit.
    pub fn maxsize(&self) -> usize {
        self.state.borrow().maxsize()
    }

    /// The number of items that were put and are not marked done.
    pub fn unfinished_tasks(&self) -> usize {
        self.state.borrow().unfinished()
    }

    /// The number of tasks that wait for an item, including tasks with a reservation that have not
    /// run since.
    pub fn getters(&self) -> usize {
        self.state.borrow().getters.len()
    }

    /// The number of tasks that wait for a slot, including tasks with a reservation that have not
    /// run since.
    pub fn putters(&self) -> usize {
        self.state.borrow().putters.len()
    }
}

impl<D: Discipline> Access for BaseQueue<D> {
    type Discipline = D;
    const KEEPS_WAKERS: bool = true;
    const USES_BUDGET: bool = true;

    type Guard<'a>
        = RefMut<'a, QueueState<D>>
    where
        D: 'a;

    #[inline(always)]
    fn shown(&self) -> Option<&Resource> {
        Some(&self.shown)
    }

    #[inline]
    fn state_mut(&self) -> RefMut<'_, QueueState<D>> {
        let state = self.state.try_borrow_mut();
        state.unwrap_or_else(|BorrowMutError { .. }| changed_while_comparing())
    }

    #[inline]
    fn find_position<'a, R>(
        &'a self,
        state: RefMut<'a, QueueState<D>>,
        find: impl FnOnce(&D) -> R,
    ) -> (RefMut<'a, QueueState<D>>, R) {
        if !D::COMPARES {
            let found = find(state.items());
            return (state, found);
        }
        drop(state);
        let found = find(self.state.borrow().items());
        (self.state_mut(), found)
    }
}

#[cold]
fn changed_while_comparing() -> ! {
    panic!(
        "a queue was changed by the `Ord` or `Debug` of its own items; they must only read the queue"
    );
}

impl<D: Discipline> Default for BaseQueue<D> {
    /// Creates a queue without a limit.
    fn default() -> Self {
        Self::new(0)
    }
}

impl<D: Discipline<Item: fmt::Debug>> fmt::Debug for BaseQueue<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.borrow();
        f.debug_struct(D::NAME)
            .field("maxsize", &state.maxsize())
            .field("items", &fmt::from_fn(|f| state.items().write(f)))
            .field("getters", &state.getters.len())
            .field("putters", &state.putters.len())
            .field("unfinished_tasks", &state.unfinished())
            .field("shut_down", &state.is_shut_down())
            .finish()
    }
}

struct Join<'a, D: Discipline> {
    queue: &'a BaseQueue<D>,
    waiter: WaiterState,
}

impl<D: Discipline> Future for Join<'_, D> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { queue, waiter } = &mut *self;
        let (mut new_waker, mut old_waker) = (None, None);
        let must_yield = *waiter == WaiterState::New && !budget::try_spend();
        loop {
            if *waiter == WaiterState::New && !must_yield && queue.unfinished_tasks() == 0 {
                *waiter = WaiterState::Done;
                return Poll::Ready(());
            }
            let polled = {
                let joiners = &mut queue.state_mut().joiners;
                joiners.poll_wait(waiter, cx.waker(), &mut new_waker, &mut old_waker, ())
            };
            match polled {
                WaitPoll::Granted(()) => return Poll::Ready(()),
                WaitPoll::Waiting => {
                    if must_yield {
                        queue.state_mut().grant_joiners_if_finished();
                        queue.wake_joiners();
                    }
                    return Poll::Pending;
                }
                // Cloning runs foreign code, so check again afterwards.
                WaitPoll::NeedsWaker => new_waker = Some(cx.waker().clone()),
            }
        }
    }
}

impl<D: Discipline> FusedFuture for Join<'_, D> {
    fn is_terminated(&self) -> bool {
        self.waiter.is_done()
    }
}

impl<D: Discipline> Drop for Join<'_, D> {
    fn drop(&mut self) {
        if let WaiterState::Listed(key) = self.waiter {
            let _removed = self.queue.state_mut().joiners.remove(key);
        }
    }
}
