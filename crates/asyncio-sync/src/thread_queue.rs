//! A queue between tasks and threads: tasks wait by `await`, threads by blocking.
//!
//! Everything else of this crate belongs to one thread; this does not. It is the same queue with its
//! state in a mutex, which is held for a few instructions at a time and never while foreign code
//! runs. A thread that waits is a waiter as any other, whose waker unparks it: so tasks and threads
//! stand in one line, nobody spins, and a wait that times out is one that is cancelled.
//!
//! No channel for threads is underneath: tasks would need a line of their own beside it, and nobody could
//! say who of the two lines came first.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_core::Stream;
use thiserror::Error;

use crate::block_on::block_on;
use crate::queue::access::{Access, Get, Items, Put};
use crate::queue::discipline::Fifo;
use crate::queue::state::QueueState;
use crate::queue::{GetNowaitError, PutError, PutNowaitError, QueueShutDown};
use crate::thread_hooks::{self, ThreadWait};

/// A queue between the tasks of an event loop and other threads, for at most `maxsize` items; 0 means
/// any number.
///
/// Both sides can put and get. asyncio has nothing of the kind (there is the package `janus`).
///
/// First in, first out, and strictly in order for who waits, be it a task or a thread, as in
/// [`Queue`](crate::Queue). It shuts down by [`shutdown`](ThreadQueue::shutdown), or when one of the two
/// sides is gone: nothing can be put then, and what is left can still be taken.
///
/// ```
/// use asyncio_sync::thread_queue;
///
/// // A thread that does what must not block the loop.
/// let (work, to_do) = thread_queue(16);
/// let (done, results) = thread_queue(16);
/// let worker = std::thread::spawn(move || {
///     while let Ok(n) = to_do.get() {
///         let sum: u64 = (1..=n).sum();
///         results.put(sum).unwrap();
///     }
/// });
///
/// # futures::executor::block_on(async {
/// work.put(10).await.unwrap();
/// work.put(100).await.unwrap();
/// assert_eq!(done.get().await, Ok(55));
/// assert_eq!(done.get().await, Ok(5050));
/// # });
/// work.shutdown(false);
/// worker.join().unwrap();
/// ```
///
/// # Cancellation
///
/// As for [`BaseQueue`](crate::BaseQueue): a wait that is dropped, or times out, has put or taken nothing.
pub fn thread_queue<T>(maxsize: usize) -> (LoopSide<T>, ThreadSide<T>) {
    let state = Arc::new(Mutex::new(QueueState::new(maxsize)));
    let side = || {
        let queue = ThreadQueue {
            state: Arc::clone(&state),
        };
        Arc::new(Side {
            queue,
            ready_in_a_row: AtomicU32::new(0),
        })
    };
    (LoopSide(side()), ThreadSide(side()))
}

/// What both sides of a [`thread_queue`] can do without waiting.
pub struct ThreadQueue<T> {
    state: Arc<Mutex<QueueState<Fifo<T>>>>,
}

impl<T> ThreadQueue<T> {
    /// Puts an item at once.
    ///
    /// # Errors
    ///
    /// If there is no room, or the queue is shut down; the item is in the error.
    pub fn put_nowait(&self, item: T) -> Result<(), PutNowaitError<T>> {
        self.put_at_once(item)
    }

    /// Takes the next item at once.
    ///
    /// # Errors
    ///
    /// If there is none that was not promised to somebody who waits, or if the queue is shut down and
    /// nothing is left.
    pub fn get_nowait(&self) -> Result<T, GetNowaitError> {
        self.get_at_once()
    }

    /// Shuts the queue down, for both sides: from now on nothing can be put.
    ///
    /// What is left can still be taken, or is dropped if `immediate`. Who waits in vain is told so.
    pub fn shutdown(&self, immediate: bool) {
        self.shut_down(immediate);
    }

    /// Whether the queue was shut down.
    pub fn is_shutdown(&self) -> bool {
        self.change().is_shut_down()
    }

    /// How many items there were to take a moment ago.
    pub fn qsize(&self) -> usize {
        self.change().available()
    }

    /// Whether there was no item to take a moment ago.
    pub fn empty(&self) -> bool {
        self.qsize() == 0
    }

    /// Whether there was no room a moment ago.
    pub fn full(&self) -> bool {
        !self.change().has_room()
    }

    /// How many items there can be; 0 means any number.
    pub fn maxsize(&self) -> usize {
        self.change().maxsize()
    }
}

impl<T> Access for ThreadQueue<T> {
    type Discipline = Fifo<T>;
    const KEEPS_WAKERS: bool = false;
    // Those of tasks are counted for their side.
    const DRAWS: bool = false;

    type Guard<'a>
        = MutexGuard<'a, QueueState<Fifo<T>>>
    where
        T: 'a;

    fn change(&self) -> Self::Guard<'_> {
        // No foreign code runs under the lock; what panicked there is a bug, but not of the state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find<'a, R>(
        &'a self,
        state: Self::Guard<'a>,
        find: impl FnOnce(&Fifo<T>) -> R,
    ) -> (Self::Guard<'a>, R) {
        let found = find(state.items());
        (state, found)
    }
}

impl<T> fmt::Debug for ThreadQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.change();
        f.debug_struct("ThreadQueue")
            .field("maxsize", &state.maxsize())
            .field("qsize", &state.available())
            .field("getters", &state.getters.len())
            .field("putters", &state.putters.len())
            .field("shut_down", &state.is_shut_down())
            .finish_non_exhaustive()
    }
}

/// One side. When its last handle is dropped, the queue shuts down.
struct Side<T> {
    queue: ThreadQueue<T>,
    /// How many operations of tasks have not had to wait, since one had to.
    ready_in_a_row: AtomicU32,
}

impl<T> Drop for Side<T> {
    fn drop(&mut self) {
        self.queue.shut_down(false);
    }
}

/// The side of a [`thread_queue`] for tasks, of any executor.
///
/// On an event loop with virtual time, a task that waits here holds the clock: the thread at the other end is at
/// work, and no time limit runs out because the clock jumped over that. So do not keep both sides on one thread
/// there: [`Queue`](crate::Queue) is for that.
///
/// When the threads are faster than the tasks, nothing here ever has to wait. After 64 operations in a row that
/// did not wait, the next one lets other tasks run first.
pub struct LoopSide<T>(Arc<Side<T>>);

impl<T> LoopSide<T> {
    /// Puts an item, once there is room.
    ///
    /// # Cancellation
    ///
    /// A wait that is dropped, such as the loser of a race, has put nothing. The item is dropped with it.
    ///
    /// # Errors
    ///
    /// If the queue is shut down, before or meanwhile; the item is in the error.
    pub fn put(&self, item: T) -> impl Future<Output = Result<(), PutError<T>>> {
        OfTask::new(&self.0.ready_in_a_row, Put::new(&self.0.queue, item))
    }

    /// Takes the next item, once there is one.
    ///
    /// # Cancellation
    ///
    /// A wait that is dropped, such as the loser of a race, has taken nothing: its item goes to the next in line.
    ///
    /// # Errors
    ///
    /// If the queue is shut down and nothing is left, before or meanwhile.
    pub fn get(&self) -> impl Future<Output = Result<T, QueueShutDown>> {
        OfTask::new(&self.0.ready_in_a_row, Get::new(&self.0.queue))
    }

    /// The items as they come, until the queue is shut down and nothing is left.
    pub fn items(&self) -> impl Stream<Item = T> {
        OfTask::new(&self.0.ready_in_a_row, Items::new(&self.0.queue))
    }
}

/// How many operations of tasks may do without a wait, one after the other, before one steps back.
const READY_IN_A_ROW: u32 = 64;

/// An operation of a task on its side of a [`thread_queue`]: what it waits for comes from threads.
struct OfTask<'a, F> {
    ready_in_a_row: &'a AtomicU32,
    operation: F,
    state: Wait,
}

enum Wait {
    New,
    /// It has let others run, and is in no line.
    SteppedBack,
    /// It is in line.
    ForThreads(#[expect(dead_code, reason = "held, not read")] ThreadWait),
}

impl<'a, F> OfTask<'a, F> {
    fn new(ready_in_a_row: &'a AtomicU32, operation: F) -> Self {
        Self {
            ready_in_a_row,
            operation,
            state: Wait::New,
        }
    }

    fn poll_with<R>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut F, &mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        // Several loops may share a side, and some counts may get lost then.
        let in_a_row = self.ready_in_a_row.load(Ordering::Relaxed);
        if in_a_row >= READY_IN_A_ROW && matches!(self.state, Wait::New) {
            self.state = Wait::SteppedBack;
            self.ready_in_a_row.store(0, Ordering::Relaxed);
            thread_hooks::step_back();
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = poll(&mut self.operation, cx);
        if polled.is_ready() {
            self.ready_in_a_row
                .store(in_a_row.saturating_add(1), Ordering::Relaxed);
            self.state = Wait::New;
        } else if !matches!(self.state, Wait::ForThreads(_)) {
            self.ready_in_a_row.store(0, Ordering::Relaxed);
            self.state = Wait::ForThreads(ThreadWait::begin());
        }
        polled
    }
}

impl<F: Future + Unpin> Future for OfTask<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_with(cx, |operation, cx| Pin::new(operation).poll(cx))
    }
}

impl<S: Stream + Unpin> Stream for OfTask<'_, S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.poll_with(cx, |operation, cx| Pin::new(operation).poll_next(cx))
    }
}

/// The side of a [`thread_queue`] for threads, which block. Not to be used in a task: it would block
/// its loop.
pub struct ThreadSide<T>(Arc<Side<T>>);

/// Why an item could not be put in time; here it is again.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
pub enum PutTimeoutError<T> {
    /// There was no room in time.
    #[error("the queue was full for too long")]
    TimedOut(T),
    /// The queue was shut down and takes nothing any more.
    #[error("the queue is shut down and takes no more")]
    QueueShutDown(T),
}

/// Why no item could be taken in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GetTimeoutError {
    /// There was no item in time.
    #[error("the queue was empty for too long")]
    TimedOut,
    /// The queue was shut down, and there is nothing left in it to take.
    #[error("the queue is shut down, and nothing is left in it")]
    QueueShutDown,
}

// The items need not be Debug for the error to be.
impl<T> fmt::Debug for PutTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::TimedOut(_) => "TimedOut",
            Self::QueueShutDown(_) => "QueueShutDown",
        };
        f.debug_tuple(name).finish_non_exhaustive()
    }
}

impl<T> ThreadSide<T> {
    /// Puts an item; blocks until there is room.
    ///
    /// # Errors
    ///
    /// If the queue is shut down, before or meanwhile; the item is in the error.
    pub fn put(&self, item: T) -> Result<(), PutError<T>> {
        self.put_until(item, None).map_err(|error| match error {
            PutTimeoutError::TimedOut(item) | PutTimeoutError::QueueShutDown(item) => {
                PutError(item)
            }
        })
    }

    /// Puts an item; blocks until there is room, but no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// If there is no room in time, or the queue is shut down; the item is in the error.
    pub fn put_timeout(&self, item: T, timeout: Duration) -> Result<(), PutTimeoutError<T>> {
        self.put_until(item, Instant::now().checked_add(timeout))
    }

    /// Takes the next item; blocks until there is one.
    ///
    /// # Errors
    ///
    /// If the queue is shut down and nothing is left, before or meanwhile.
    pub fn get(&self) -> Result<T, QueueShutDown> {
        self.get_until(None).map_err(|_shut_down| QueueShutDown)
    }

    /// Takes the next item; blocks until there is one, but no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// If there is no item in time, or the queue is shut down and nothing is left.
    pub fn get_timeout(&self, timeout: Duration) -> Result<T, GetTimeoutError> {
        self.get_until(Instant::now().checked_add(timeout))
    }

    /// The items as they come, until the queue is shut down and nothing is left; blocks for each.
    pub fn iter(&self) -> impl Iterator<Item = T> {
        std::iter::from_fn(|| self.get().ok())
    }

    fn put_until(&self, item: T, deadline: Option<Instant>) -> Result<(), PutTimeoutError<T>> {
        let mut put = Put::new(&self.0.queue, item);
        match block_on(&mut put, deadline) {
            Some(Ok(())) => Ok(()),
            Some(Err(PutError(item))) => Err(PutTimeoutError::QueueShutDown(item)),
            None => put
                .give_up()
                .map_or(Ok(()), |item| Err(PutTimeoutError::TimedOut(item))),
        }
    }

    fn get_until(&self, deadline: Option<Instant>) -> Result<T, GetTimeoutError> {
        match block_on(&mut Get::new(&self.0.queue), deadline) {
            Some(Ok(item)) => Ok(item),
            Some(Err(QueueShutDown)) => Err(GetTimeoutError::QueueShutDown),
            None => Err(GetTimeoutError::TimedOut),
        }
    }
}

impl<T> Clone for LoopSide<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Clone for ThreadSide<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for LoopSide<T> {
    type Target = ThreadQueue<T>;

    fn deref(&self) -> &ThreadQueue<T> {
        &self.0.queue
    }
}

impl<T> Deref for ThreadSide<T> {
    type Target = ThreadQueue<T>;

    fn deref(&self) -> &ThreadQueue<T> {
        &self.0.queue
    }
}

impl<T> fmt::Debug for LoopSide<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LoopSide").field(&**self).finish()
    }
}

impl<T> fmt::Debug for ThreadSide<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ThreadSide").field(&**self).finish()
    }
}
