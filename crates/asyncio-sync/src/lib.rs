//! Synchronisation primitives for the tasks of one thread, as in Python's asyncio, on any executor.
//!
//! ```
//! # mod asyncio { pub use asyncio_sync as sync; }
//! use asyncio::sync::Queue;
//!
//! # futures::executor::block_on(async {
//! let jobs = Queue::new(8);
//! let producer = async {
//!     for job in 1..=100 {
//!         jobs.put(job).await.unwrap(); // waits while the queue has eight items
//!     }
//!     jobs.shutdown(false);
//! };
//! let consumer = async {
//!     let mut sum = 0;
//!     while let Ok(job) = jobs.get().await {
//!         sum += job;
//!     }
//!     sum
//! };
//! let ((), sum) = futures::join!(producer, consumer);
//! assert_eq!(sum, 5050);
//! # });
//! ```
//!
//! | here | asyncio | |
//! |---|---|---|
//! | [`Lock`] | `Lock` | exclusive access to a value |
//! | [`RwLock`] | | access for many readers or one writer |
//! | [`Semaphore`] | `Semaphore`, `BoundedSemaphore` | a limited number of permits |
//! | [`Event`] | `Event` | a flag to wait for |
//! | [`Condition`] | `Condition` | wait for a state of a locked value |
//! | [`Barrier`] | `Barrier` | tasks wait for each other |
//! | [`Queue`], [`PriorityQueue`], [`LifoQueue`] | the same | items from task to task |
//! | [`watch()`] | | the latest value, for all receivers |
//! | [`broadcast()`] | | each value, for all receivers |
//! | [`promise()`] | `loop.create_future()` | a result that is set later |
//! | [`OnceCell`], [`Lazy`] | | a value that is made at its first use |
//! | [`thread_queue()`] | | items between tasks and threads |
//! | [`ThreadEvent`], [`thread_promise()`] | `threading.Event` | an event or a value set by any thread |
//!
//! # Common guarantees
//!
//! - **One thread.** The primitives are `!Send`, and use neither atomics nor system calls. They
//!   need only a [`Waker`](std::task::Waker) from the executor. The thread queue, event and promise
//!   are for several threads.
//! - **No task runs between two awaits.** An operation that need not wait does not yield, and
//!   waking a task does not run it. So an observation (`locked()`, `qsize()`, …) holds until the
//!   next `await`.
//! - **Fairness.** On an event loop that [numbers its steps](set_step_hook), an operation yields
//!   once after at least 128 operations in one step that did not wait. So a loop of such operations
//!   lets other tasks run, and a timeout can end it.
//! - **First come, first served.** No task overtakes a waiting task, not even with a `try_` or
//!   `_nowait` method.
//! - **Nothing is lost.** Cancelling a wait means dropping its future. A lock, permit, item or
//!   notification that was assigned to a cancelled task goes to the next waiter at once. The page
//!   of each type says what else a cancellation means.
//! - **No allocation** unless more tasks wait at a time than before, or a queue grows. The memory
//!   of some thousands of waiters is kept. The waker of the last waiter is kept as well: if the
//!   same task waits again, its waker is not cloned.
//! - **Reentrancy.** Wakers, destructors of items and other foreign code may use the primitive that
//!   calls them. They may also panic, and the primitive stays consistent.
//!
//! # Errors that do not compile
//!
//! A lock or permit is released by dropping its guard, so it cannot be released twice:
//!
//! ```compile_fail,E0382
//! # mod asyncio { pub use asyncio_sync as sync; }
//! let lock = asyncio::sync::Lock::new(0);
//! let guard = lock.try_lock();
//! drop(guard);
//! drop(guard);
//! ```
//!
//! A condition is waited for and notified only with the lock held:
//!
//! ```compile_fail,E0061
//! # mod asyncio { pub use asyncio_sync as sync; }
//! use asyncio::sync::{Condition, Lock};
//!
//! let condition = Condition::new(Lock::new(0));
//! condition.notify_all();
//! ```
//!
//! A primitive of one thread cannot be used on another thread:
//!
//! ```compile_fail,E0277
//! # mod asyncio { pub use asyncio_sync as sync; }
//! let event = asyncio::sync::Event::new();
//! std::thread::scope(|threads| {
//!     threads.spawn(|| event.set());
//! });
//! ```
#![forbid(unsafe_code)]

mod budget;
mod burst;

mod wait_list;
mod wait_queue;

mod permits;

mod lock;
mod rwlock;
mod semaphore;

mod event;

mod barrier;
mod condition;

mod queue;

mod broadcast;
mod watch;

mod promise;

mod once_cell;

mod lazy;

mod block_on;
mod thread_hooks;

mod thread_event;
mod thread_promise;
mod thread_queue;

pub use budget::set_step_hook;

pub use barrier::{Barrier, BrokenBarrier};
pub use broadcast::{BroadcastError, BroadcastReceiver, BroadcastSender, NoReceivers, broadcast};
pub use condition::{Condition, OverLock};
pub use event::Event;
pub use lazy::Lazy;
pub use lock::{Lock, LockGuard, OwnedLockGuard};
pub use once_cell::{AlreadySet, OnceCell};
pub use promise::{
    Answer, Promise, PromiseError, SetError, SharedAnswer, UnretrievedError, promise, promise_or,
    set_unretrieved_hook,
};
pub use queue::{
    BaseQueue, Discipline, Fifo, GetNowaitError, Item, Lifo, LifoQueue, PriorityQueue, PutError,
    PutNowaitError, Queue, QueueShutDown, QueueSlot, Smallest, TooManyDone,
};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
pub use thread_event::ThreadEvent;
pub use thread_hooks::{ThreadHooks, set_thread_hooks};
pub use thread_promise::{ThreadAnswer, ThreadPromise, thread_promise};
pub use thread_queue::{
    GetTimeoutError, LoopSide, PutTimeoutError, ThreadQueue, ThreadSide, thread_queue,
};
pub use watch::{WatchClosed, WatchReceiver, WatchSender, watch};

/// Compiles the examples of the README as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct FrontPage;
