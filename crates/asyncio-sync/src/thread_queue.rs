//! The thread queue: tasks wait by `await`, threads by blocking.
//!
//! It is the queue of this crate with its state in a mutex. The mutex is held for a few
//! instructions and never while foreign code runs. A blocked thread is a waiter whose waker unparks
//! the thread. So tasks and threads wait in one list, no thread spins, and a timed-out wait is a
//! cancelled wait.
//!
//! It is not based on a channel for threads: tasks would need a second wait list, and the two lists
//! would have no common order.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use asyncio_console::{Place, Resource, ResourceKind};
use futures_core::{FusedFuture, FusedStream, Stream};
use thiserror::Error;

use crate::block_on::block_on;
use crate::queue::access::{Access, Get, Items, Put};
use crate::queue::discipline::Fifo;
use crate::queue::state::QueueState;
use crate::queue::{GetNowaitError, PutError, PutNowaitError, QueueShutDown};
use crate::thread_hooks::{self, ThreadWait};

/// Creates a queue between tasks and threads, for at most `maxsize` items; 0 means no limit.
///
/// Both sides can put and get. asyncio has no such queue (the package `janus` has).
///
/// Items come out first in, first out, and waiting tasks and threads are served in order, as in
/// [`Queue`](crate::Queue). The queue shuts down by [`shutdown`](ThreadQueue::shutdown), or when
/// all handles of one side are dropped. Then no item can be put, but the remaining items can be
/// taken.
///
/// ```
/// # mod asyncio { pub use asyncio_sync as sync; }
/// use asyncio::sync::thread_queue;
///
/// // A thread does the work that must not block the loop.
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
/// A wait that is cancelled or times out has put or taken no item, as in
/// [`BaseQueue`](crate::BaseQueue).
#[doc(alias = "mpsc")]
#[track_caller]
pub fn thread_queue<T>(maxsize: usize) -> (LoopSide<T>, ThreadSide<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(QueueState::new(maxsize)),
        shown: Resource::new(KIND, Place::caller()),
    });
    let side = || {
        let queue = ThreadQueue {
            shared: Arc::clone(&shared),
        };
        Arc::new(Side {
            queue,
            ready_in_a_row: AtomicU32::new(0),
        })
    };
    (LoopSide(side()), ThreadSide(side()))
}

/// The operations of a [`thread_queue`] that never wait, for both sides.
pub struct ThreadQueue<T> {
    shared: Arc<Shared<T>>,
}

const KIND: &ResourceKind = &ResourceKind::sync("ThreadQueue", "get");

struct Shared<T> {
    state: Mutex<QueueState<Fifo<T>>>,
    shown: Resource,
}

impl<T> ThreadQueue<T> {
    /// Puts an item without waiting.
    ///
    /// # Errors
    ///
    /// If the queue is full or shut down. The error contains the item.
    pub fn put_nowait(&self, item: T) -> Result<(), PutNowaitError<T>> {
        self.try_put(item)
    }

    /// Takes the next item without waiting.
    ///
    /// # Errors
    ///
    /// If the queue has no item that is not reserved for a waiter, or if it is shut down and empty.
    pub fn get_nowait(&self) -> Result<T, GetNowaitError> {
        self.try_get()
    }

    /// Shuts the queue down for both sides: no more items can be put.
    ///
    /// The remaining items can still be taken, or are dropped if `immediate`. Waits that can no
    /// longer succeed end with an error.
    pub fn shutdown(&self, immediate: bool) {
        self.shut_down(immediate);
    }

    /// Whether the queue was shut down.
    pub fn is_shutdown(&self) -> bool {
        self.state_mut().is_shut_down()
    }

    /// The number of items that can be taken. Other threads may change it at any time.
    pub fn qsize(&self) -> usize {
        self.state_mut().available()
    }

    /// Whether no item can be taken. Other threads may change it at any time.
    pub fn empty(&self) -> bool {
        self.qsize() == 0
    }

    /// Whether the queue is full. Other threads may change it at any time.
    pub fn full(&self) -> bool {
        !self.state_mut().has_room()
    }

    /// The maximum number of items; 0 means no limit.
    pub fn maxsize(&self) -> usize {
        self.state_mut().maxsize()
    }
}

impl<T> Access for ThreadQueue<T> {
    type Discipline = Fifo<T>;
    const KEEPS_WAKERS: bool = false;
    // `TaskOperation` counts the ready operations of tasks instead.
    const USES_BUDGET: bool = false;

    type Guard<'a>
        = MutexGuard<'a, QueueState<Fifo<T>>>
    where
        T: 'a;

    fn state_mut(&self) -> Self::Guard<'_> {
        // No foreign code runs under the lock, so a poisoned lock does not mean a broken state.
        let state = &self.shared.state;
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline(always)]
    fn shown(&self) -> Option<&Resource> {
        Some(&self.shared.shown)
    }

    fn find_position<'a, R>(
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
        let state = self.state_mut();
        f.debug_struct("ThreadQueue")
            .field("maxsize", &state.maxsize())
            .field("qsize", &state.available())
            .field("getters", &state.getters.len())
            .field("putters", &state.putters.len())
            .field("shut_down", &state.is_shut_down())
            .finish_non_exhaustive()
    }
}

/// One side of a queue. The queue shuts down when the last handle of a side is dropped.
struct Side<T> {
    queue: ThreadQueue<T>,
    /// The number of operations of tasks since the last one that had to wait.
    ready_in_a_row: AtomicU32,
}

impl<T> Drop for Side<T> {
    fn drop(&mut self) {
        self.queue.shut_down(false);
    }
}

/// The side of a [`thread_queue`] for tasks, on any executor.
///
/// While a task waits, virtual time passes at the rate of real time, because the thread on the
/// other side is at work. So do not use both sides on one thread with virtual time.
/// [`Queue`](crate::Queue) is for one thread.
///
/// If the threads are faster than the tasks, no operation has to wait. So after 64 operations in a
/// row that did not wait, the next operation yields once, and other tasks run.
pub struct LoopSide<T>(Arc<Side<T>>);

impl<T> LoopSide<T> {
    /// Puts an item. Waits while the queue is full.
    ///
    /// # Cancellation
    ///
    /// A cancelled wait has not put its item, and drops it.
    ///
    /// # Errors
    ///
    /// If the queue is shut down before the item is put. The error contains the item.
    pub fn put(&self, item: T) -> impl FusedFuture<Output = Result<(), PutError<T>>> {
        TaskOperation::new(&self.0.ready_in_a_row, Put::new(&self.0.queue, item))
    }

    /// Takes the next item. Waits while the queue is empty.
    ///
    /// # Cancellation
    ///
    /// A cancelled wait has taken no item. An item that was reserved for it goes to the next
    /// waiter.
    ///
    /// # Errors
    ///
    /// If the queue is shut down and empty.
    pub fn get(&self) -> impl FusedFuture<Output = Result<T, QueueShutDown>> {
        TaskOperation::new(&self.0.ready_in_a_row, Get::new(&self.0.queue))
    }

    /// A stream of the items, which ends when the queue is shut down and empty.
    pub fn items(&self) -> impl FusedStream<Item = T> {
        TaskOperation::new(&self.0.ready_in_a_row, Items::new(&self.0.queue))
    }
}

/// The number of operations in a row that need not wait, after which a task yields.
const READY_IN_A_ROW: u32 = 64;

/// An operation of a task on a [`thread_queue`].
struct TaskOperation<'a, F> {
    ready_in_a_row: &'a AtomicU32,
    operation: F,
    state: Wait,
}

enum Wait {
    New,
    /// It has yielded, and is not in the wait list.
    HasYielded,
    /// It is in the wait list.
    ForThreads(#[expect(dead_code, reason = "held, not read")] ThreadWait),
}

impl<'a, F> TaskOperation<'a, F> {
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
        // Several loops may share a side. Then some counts may be lost, which does no harm.
        let in_a_row = self.ready_in_a_row.load(Ordering::Relaxed);
        if in_a_row >= READY_IN_A_ROW && matches!(self.state, Wait::New) {
            self.state = Wait::HasYielded;
            self.ready_in_a_row.store(0, Ordering::Relaxed);
            thread_hooks::report_yield();
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

impl<F: Future + Unpin> Future for TaskOperation<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_with(cx, |operation, cx| Pin::new(operation).poll(cx))
    }
}

impl<F: FusedFuture + Unpin> FusedFuture for TaskOperation<'_, F> {
    fn is_terminated(&self) -> bool {
        self.operation.is_terminated()
    }
}

impl<S: Stream + Unpin> Stream for TaskOperation<'_, S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.poll_with(cx, |operation, cx| Pin::new(operation).poll_next(cx))
    }
}

impl<S: FusedStream + Unpin> FusedStream for TaskOperation<'_, S> {
    fn is_terminated(&self) -> bool {
        self.operation.is_terminated()
    }
}

/// The side of a [`thread_queue`] for threads, whose operations block.
///
/// Do not use it in a task: it would block the task's event loop.
pub struct ThreadSide<T>(Arc<Side<T>>);

/// The error of [`ThreadSide::put_timeout`]. Contains the item.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
pub enum PutTimeoutError<T> {
    /// The queue was full until the timeout.
    #[error("the queue was full until the timeout")]
    TimedOut(T),
    /// The queue is shut down.
    #[error("the queue is shut down and accepts no items")]
    QueueShutDown(T),
}

/// The error of [`ThreadSide::get_timeout`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GetTimeoutError {
    /// The queue was empty until the timeout.
    #[error("the queue was empty until the timeout")]
    TimedOut,
    /// The queue is shut down and empty.
    #[error("the queue is shut down and empty")]
    QueueShutDown,
}

// By hand, so that the items need not be `Debug`.
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
    /// Puts an item. Blocks while the queue is full.
    ///
    /// # Errors
    ///
    /// If the queue is shut down before the item is put. The error contains the item.
    pub fn put(&self, item: T) -> Result<(), PutError<T>> {
        self.put_until(item, None).map_err(|error| match error {
            PutTimeoutError::TimedOut(item) | PutTimeoutError::QueueShutDown(item) => {
                PutError(item)
            }
        })
    }

    /// Puts an item. Blocks while the queue is full, for at most `timeout`.
    ///
    /// # Errors
    ///
    /// If the queue stays full until the timeout, or is shut down. The error contains the item.
    pub fn put_timeout(&self, item: T, timeout: Duration) -> Result<(), PutTimeoutError<T>> {
        self.put_until(item, Instant::now().checked_add(timeout))
    }

    /// Takes the next item. Blocks while the queue is empty.
    ///
    /// # Errors
    ///
    /// If the queue is shut down and empty.
    pub fn get(&self) -> Result<T, QueueShutDown> {
        self.get_until(None).map_err(|_shut_down| QueueShutDown)
    }

    /// Takes the next item. Blocks while the queue is empty, for at most `timeout`.
    ///
    /// # Errors
    ///
    /// If the queue stays empty until the timeout, or is shut down and empty.
    pub fn get_timeout(&self, timeout: Duration) -> Result<T, GetTimeoutError> {
        self.get_until(Instant::now().checked_add(timeout))
    }

    /// An iterator over the items, which ends when the queue is shut down and empty. Blocks for
    /// each item.
    pub fn iter(&self) -> impl Iterator<Item = T> {
        std::iter::from_fn(|| self.get().ok())
    }

    fn put_until(&self, item: T, deadline: Option<Instant>) -> Result<(), PutTimeoutError<T>> {
        let mut put = Put::new(&self.0.queue, item);
        match block_on(&mut put, deadline) {
            Some(Ok(())) => Ok(()),
            Some(Err(PutError(item))) => Err(PutTimeoutError::QueueShutDown(item)),
            None => put
                .into_item()
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
