//! Queues: tasks that put items in, tasks that take them out, and waiting on either side.
//!
//! One queue in three disciplines. The rules are in [`state`], the orders in [`discipline`], how tasks
//! wait in [`access`]. Here the state is in a `RefCell`, which is borrowed mutably by code of ours only.
//! The items' own comparisons run under a shared borrow, before anything has changed: they can look
//! at the queue, but not change it.

pub(crate) mod access;
pub(crate) mod discipline;
pub(crate) mod error;
mod item;
pub(crate) mod state;

use std::cell::{BorrowMutError, RefCell, RefMut};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::budget;
use crate::line::{Look, Place};
use access::{Access, Get, Items, Put};
use state::QueueState;

pub use discipline::{Discipline, Fifo, Lifo, Smallest};
pub use error::{GetNowaitError, PutError, PutNowaitError, QueueShutDown, TooManyDone};
pub use item::Item;

/// Hands items from tasks that make them to tasks that use them: first in, first out.
///
/// asyncio's `Queue`. With a `maxsize`, who puts waits while it is full, so that nobody runs too far
/// ahead. See [`BaseQueue`] for what one can do with it.
///
/// ```
/// use asyncio_sync::Queue;
/// # async fn resize(picture: &str) -> String { format!("small {picture}") }
///
/// # futures::executor::block_on(async {
/// let pictures = Queue::new(2);
/// let album = Queue::new(0);
///
/// let camera = async {
///     for name in ["beach", "dinner", "sunset"] {
///         pictures.put(name).await.unwrap(); // waits while two are there
///     }
///     pictures.shutdown(false); // no more; what is there can still be taken
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
pub type Queue<T> = BaseQueue<Fifo<T>>;

/// A [`Queue`] from which the smallest item comes out first; of equal ones, the one that was put
/// first.
///
/// asyncio's `PriorityQueue`, where equal items come in no particular order. For the greatest first,
/// put [`Reverse`](std::cmp::Reverse).
///
/// The items are compared whenever one is put or taken. A comparison may look at the queue but not
/// change it, and may panic: the operation then has not happened. What cannot be undone is an order
/// that changes while items are inside, such as through a `Cell`: they come out in any order then,
/// but all of them do.
///
/// ```
/// use asyncio_sync::PriorityQueue;
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
/// `put`, `get` and their kin, if a comparison changes the queue, or if it panics.
pub type PriorityQueue<T> = BaseQueue<Smallest<T>>;

/// A [`Queue`] from which the item that was put last comes out first.
///
/// asyncio's `LifoQueue`. For work of which the newest piece matters most, and for pools, where what
/// was used last is still warm.
///
/// ```
/// use asyncio_sync::LifoQueue;
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

/// What [`Queue`], [`PriorityQueue`] and [`LifoQueue`] have in common.
///
/// It is shared by reference, or as `Rc`. All counts are exact: nothing else runs on this thread
/// between two calls.
///
/// **Nobody overtakes.** An item that is put while tasks wait in [`get`](Self::get) is promised to
/// the first of them in that instant, a slot that comes free to the first who waits in
/// [`put`](Self::put). Others cannot have it, [`get_nowait`](Self::get_nowait) and
/// [`put_nowait`](Self::put_nowait) included, and [`qsize`](Self::qsize), [`empty`](Self::empty) and
/// [`full`](Self::full) count it as gone. (In asyncio, whoever runs first has it.)
///
/// **Done.** Each item that is put is to be marked done once it was dealt with, by
/// [`task_done`](Self::task_done) or an [`Item`]; [`join`](Self::join) waits until all are. Who never
/// joins need not mark anything.
///
/// **Shut down.** After [`shutdown`](Self::shutdown) nothing can be put, and once what is left has been
/// taken, `get` fails: this ends producers, consumers and [`items`](Self::items) alike.
///
/// # Cancellation
///
/// A [`put`](Self::put) that is dropped, such as the loser of a race, has not put its item, and drops it. A
/// [`get`](Self::get) that is dropped has taken nothing, so that a loop of races over queues sees every item: the item it had been promised keeps its place, and goes to the next who
/// waits, in the same instant. A future that was promised something and is not polled keeps it from
/// the others, and one that is leaked with [`mem::forget`](std::mem::forget) does so forever.
pub struct BaseQueue<D> {
    state: RefCell<QueueState<D>>,
}

impl<D: Discipline> BaseQueue<D> {
    /// An empty queue for at most `maxsize` items; 0 means any number.
    pub fn new(maxsize: usize) -> Self {
        Self {
            state: RefCell::new(QueueState::new(maxsize)),
        }
    }

    /// Puts an item, once there is room. Does not yield if there is.
    ///
    /// # Errors
    ///
    /// If the queue is shut down, before or meanwhile; the item is in the error.
    #[inline]
    pub fn put(&self, item: D::Item) -> impl Future<Output = Result<(), PutError<D::Item>>> {
        Put::new(self, item)
    }

    /// Puts an item at once.
    ///
    /// # Errors
    ///
    /// If there is no room, or the queue is shut down; the item is in the error.
    #[inline]
    pub fn put_nowait(&self, item: D::Item) -> Result<(), PutNowaitError<D::Item>> {
        self.put_at_once(item)
    }

    /// Takes the next item, once there is one. Does not yield if there is.
    ///
    /// # Cancellation
    ///
    /// A loser of a race has taken nothing: its item goes to the next in line.
    ///
    /// # Errors
    ///
    /// If the queue is shut down and nothing is left, before or meanwhile.
    #[inline]
    pub fn get(&self) -> impl Future<Output = Result<D::Item, QueueShutDown>> {
        Get::new(self)
    }

    /// Takes the next item at once.
    ///
    /// # Errors
    ///
    /// If there is none that was not promised to tasks who wait, or if the queue is shut down and
    /// nothing is left.
    #[inline]
    pub fn get_nowait(&self) -> Result<D::Item, GetNowaitError> {
        self.get_at_once()
    }

    /// Takes the next item as one that marks itself done when it is dropped.
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get).
    pub async fn get_item(&self) -> Result<Item<'_, D>, QueueShutDown> {
        let item = self.get().await?;
        Ok(Item::new(item, self))
    }

    /// The items as they come, until the queue is shut down and nothing is left.
    ///
    /// Several of these, and `get` besides, share the items among them. Dropping one takes nothing
    /// out of the queue.
    ///
    /// ```
    /// use asyncio_sync::Queue;
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
    pub fn items(&self) -> impl Stream<Item = D::Item> {
        Items::new(self)
    }

    /// Marks an item done that was taken and dealt with.
    ///
    /// # Errors
    ///
    /// If it is called more often than items were put.
    pub fn task_done(&self) -> Result<(), TooManyDone> {
        self.change().task_done()?;
        self.wake_joiners();
        Ok(())
    }

    /// Waits until all items that were put are marked done. Does not yield if they are.
    ///
    /// Who waits is released at the moment when the last one is marked, whatever is put afterwards.
    pub async fn join(&self) {
        Join {
            queue: self,
            place: Place::Outside,
        }
        .await;
    }

    /// Shuts the queue down: from now on nothing can be put, and who waits to put is told so.
    ///
    /// What is left can still be taken. If `immediate`, it is dropped and counts as done instead.
    /// Who waits for an item that can no longer come is told so, too. Can be called again, for
    /// instance to drop what is left after all.
    pub fn shutdown(&self, immediate: bool) {
        self.shut_down(immediate);
    }

    /// Whether the queue was shut down.
    pub fn is_shutdown(&self) -> bool {
        self.state.borrow().is_shut_down()
    }

    /// How many items there are to take, those not counted that are promised to tasks who wait.
    pub fn qsize(&self) -> usize {
        self.state.borrow().available()
    }

    /// Whether there is no item to take: [`get`](Self::get) would wait, or fail.
    pub fn empty(&self) -> bool {
        self.qsize() == 0
    }

    /// Whether there is no room for an item: [`put`](Self::put) would wait.
    pub fn full(&self) -> bool {
        !self.state.borrow().has_room()
    }

    /// How many items there can be; 0 means any number.
    pub fn maxsize(&self) -> usize {
        self.state.borrow().maxsize()
    }

    /// How many items were put and are not marked done.
    pub fn unfinished_tasks(&self) -> usize {
        self.state.borrow().unfinished()
    }

    /// How many tasks wait for an item, those included that were promised one and have not run yet.
    pub fn getters(&self) -> usize {
        self.state.borrow().getters.len()
    }

    /// How many tasks wait for room, those included that were promised it and have not run yet.
    pub fn putters(&self) -> usize {
        self.state.borrow().putters.len()
    }
}

impl<D: Discipline> Access for BaseQueue<D> {
    type Discipline = D;
    const KEEPS_WAKERS: bool = true;
    const DRAWS: bool = true;

    type Guard<'a>
        = RefMut<'a, QueueState<D>>
    where
        D: 'a;

    #[inline]
    fn change(&self) -> RefMut<'_, QueueState<D>> {
        let state = self.state.try_borrow_mut();
        state.unwrap_or_else(|BorrowMutError { .. }| changed_while_comparing())
    }

    #[inline]
    fn find<'a, R>(
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
        (self.change(), found)
    }
}

#[cold]
fn changed_while_comparing() -> ! {
    panic!("a queue was changed by a comparison, or the Debug, of its own items");
}

impl<D: Discipline> Default for BaseQueue<D> {
    /// A queue for any number of items.
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
    place: Place,
}

impl<D: Discipline> Future for Join<'_, D> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { queue, place } = &mut *self;
        let (mut fresh, mut outdated) = (None, None);
        let steps_back = *place == Place::Outside && !budget::draw();
        loop {
            if *place == Place::Outside && !steps_back && queue.unfinished_tasks() == 0 {
                *place = Place::Left;
                return Poll::Ready(());
            }
            let looked = {
                let joiners = &mut queue.change().joiners;
                joiners.look(place, cx.waker(), &mut fresh, &mut outdated, ())
            };
            match looked {
                Look::Chosen(()) => return Poll::Ready(()),
                Look::Waits => {
                    if steps_back {
                        queue.change().serve_joiners();
                        queue.wake_joiners();
                    }
                    return Poll::Pending;
                }
                // Foreign code, after which all may be different.
                Look::NeedsWaker => fresh = Some(cx.waker().clone()),
            }
        }
    }
}

impl<D: Discipline> Drop for Join<'_, D> {
    fn drop(&mut self) {
        if let Place::InLine(key) = self.place {
            let _departed = self.queue.change().joiners.leave(key);
        }
    }
}
