//! Queues: tasks that put items in, tasks that take them out, and waiting on either side.
//!
//! One queue in three disciplines. The rules are in [`state`], the orders in [`discipline`]; here
//! they meet tasks. Nothing is borrowed mutably while foreign code runs: wakers are cloned, woken
//! and dropped, and items dropped, between the steps. The items' own comparisons run under a shared
//! borrow, so they can look at the queue but not change it, before anything has changed.

mod discipline;
mod error;
mod item;
mod items;
pub(crate) mod state;

use std::cell::{BorrowMutError, RefCell, RefMut};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::line::{Look, Place};
use crate::wait_queue::wake_each;
use state::{Admission, Answer, QueueState};

pub use discipline::{Discipline, Fifo, Lifo, Smallest};
pub use error::{GetNowaitError, PutError, PutNowaitError, QueueShutDown, TooManyDone};
pub use item::Item;
pub use items::Items;

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
/// A [`put`](Self::put) that is dropped has not put its item, and drops it. A [`get`](Self::get) that is
/// dropped has taken nothing: the item it had been promised keeps its place, and goes to the next who
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
        Put {
            queue: self,
            place: Place::Outside,
            item: Some(item),
        }
    }

    /// Puts an item at once.
    ///
    /// # Errors
    ///
    /// If there is no room, or the queue is shut down; the item is in the error.
    #[inline]
    pub fn put_nowait(&self, item: D::Item) -> Result<(), PutNowaitError<D::Item>> {
        let state = self.change();
        match state.may_put(Place::Outside) {
            Admission::Granted => {}
            Admission::Refused => return Err(PutNowaitError::QueueShutDown(item)),
            Admission::Wait => return Err(PutNowaitError::QueueFull(item)),
        }
        let (mut state, position) = self.find(state, |items| items.position_for(&item));
        let getter = state.put(&mut Place::Outside, item, position);
        drop(state);
        wake(getter);
        Ok(())
    }

    /// Takes the next item, once there is one. Does not yield if there is.
    ///
    /// # Errors
    ///
    /// If the queue is shut down and nothing is left, before or meanwhile.
    #[inline]
    pub fn get(&self) -> impl Future<Output = Result<D::Item, QueueShutDown>> {
        Get {
            queue: self,
            place: Place::Outside,
        }
    }

    /// Takes the next item at once.
    ///
    /// # Errors
    ///
    /// If there is none that was not promised to tasks who wait, or if the queue is shut down and
    /// nothing is left.
    #[inline]
    pub fn get_nowait(&self) -> Result<D::Item, GetNowaitError> {
        let state = self.change();
        match state.may_get(Place::Outside) {
            Admission::Granted => {}
            Admission::Refused => return Err(GetNowaitError::QueueShutDown),
            Admission::Wait => return Err(GetNowaitError::QueueEmpty),
        }
        let (mut state, position) = self.find(state, D::position_of_next);
        let (item, putter) = state.get(&mut Place::Outside, position);
        drop(state);
        wake(putter);
        Ok(item)
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
    /// Dropping it loses none of them.
    #[doc(alias = "__aiter__")]
    pub fn items(&self) -> Items<'_, D> {
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
        self.change().shut_down();
        // Whoever is told last: dropping the items is the caller's code and may panic.
        let _thrown_away = immediate.then(|| self.change().throw_away());
        wake_each(|| self.change().next_refused());
        self.wake_joiners();
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

    fn poll_get(
        &self,
        place: &mut Place,
        cx: &mut Context<'_>,
    ) -> Poll<Result<D::Item, QueueShutDown>> {
        let mut fresh = None;
        loop {
            let mut state = self.change();
            match state.may_get(*place) {
                Admission::Granted => {
                    let (mut state, position) = self.find(state, D::position_of_next);
                    let (item, putter) = state.get(place, position);
                    drop(state);
                    wake(putter);
                    return Poll::Ready(Ok(item));
                }
                Admission::Refused => {
                    drop(state);
                    self.getter_leaves(place);
                    return Poll::Ready(Err(QueueShutDown));
                }
                Admission::Wait => {
                    let line = &mut state.getters;
                    if line.wait(place, cx.waker(), &mut fresh, Answer::Promised) {
                        return Poll::Pending;
                    }
                    drop(state);
                }
            }
            // Foreign code, after which all may be different.
            fresh = Some(cx.waker().clone());
        }
    }

    fn getter_leaves(&self, place: &mut Place) {
        if let Place::InLine(key) = std::mem::replace(place, Place::Left) {
            let (_departed, next) = self.change().getter_leaves(key);
            wake(next);
        }
    }

    fn putter_leaves(&self, place: &mut Place) {
        if let Place::InLine(key) = std::mem::replace(place, Place::Left) {
            let (_departed, next) = self.change().putter_leaves(key);
            wake(next);
        }
    }

    fn wake_joiners(&self) {
        wake_each(|| self.change().joiners.next_called());
    }

    /// Finds a position among the items. Comparisons look at the queue through a shared borrow, so
    /// they can do so, too, and cannot change it.
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

    /// The state, to be changed by code that is ours alone.
    #[inline]
    fn change(&self) -> RefMut<'_, QueueState<D>> {
        let state = self.state.try_borrow_mut();
        state.unwrap_or_else(|BorrowMutError { .. }| changed_while_comparing())
    }
}

#[cold]
fn changed_while_comparing() -> ! {
    panic!("a queue was changed by a comparison, or the Debug, of its own items");
}

#[inline]
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
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

struct Get<'a, D: Discipline> {
    queue: &'a BaseQueue<D>,
    place: Place,
}

impl<D: Discipline> Future for Get<'_, D> {
    type Output = Result<D::Item, QueueShutDown>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { queue, place } = &mut *self;
        queue.poll_get(place, cx)
    }
}

impl<D: Discipline> Drop for Get<'_, D> {
    #[inline]
    fn drop(&mut self) {
        if let Place::InLine(_) = self.place {
            self.queue.getter_leaves(&mut self.place);
        }
    }
}

struct Put<'a, D: Discipline> {
    queue: &'a BaseQueue<D>,
    place: Place,
    /// `Some` until the future is ready.
    item: Option<D::Item>,
}

/// The item is never pinned, only carried.
impl<D: Discipline> Unpin for Put<'_, D> {}

impl<D: Discipline> Future for Put<'_, D> {
    type Output = Result<(), PutError<D::Item>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { queue, place, item } = &mut *self;
        let mut fresh = None;
        loop {
            let mut state = queue.change();
            match state.may_put(*place) {
                Admission::Granted => {
                    let carried = item.as_ref().expect(CARRIED);
                    let (mut state, position) =
                        queue.find(state, |items| items.position_for(carried));
                    let getter = state.put(place, item.take().expect(CARRIED), position);
                    drop(state);
                    wake(getter);
                    return Poll::Ready(Ok(()));
                }
                Admission::Refused => {
                    drop(state);
                    queue.putter_leaves(place);
                    let item = item.take().expect(CARRIED);
                    return Poll::Ready(Err(PutError(item)));
                }
                Admission::Wait => {
                    let line = &mut state.putters;
                    if line.wait(place, cx.waker(), &mut fresh, Answer::Promised) {
                        return Poll::Pending;
                    }
                    drop(state);
                }
            }
            // Foreign code, after which all may be different.
            fresh = Some(cx.waker().clone());
        }
    }
}

const CARRIED: &str = "who has not put its item carries it";

impl<D: Discipline> Drop for Put<'_, D> {
    #[inline]
    fn drop(&mut self) {
        if let Place::InLine(_) = self.place {
            self.queue.putter_leaves(&mut self.place);
        }
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
        let mut fresh = None;
        loop {
            if *place == Place::Outside && queue.unfinished_tasks() == 0 {
                *place = Place::Left;
                return Poll::Ready(());
            }
            let looked = {
                let joiners = &mut queue.change().joiners;
                joiners.look(place, cx.waker(), &mut fresh, ())
            };
            match looked {
                Look::Chosen(_departed) => return Poll::Ready(()),
                Look::Waits => return Poll::Pending,
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
