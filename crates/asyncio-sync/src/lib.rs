//! Synchronisation for the tasks of one thread, as in Python's asyncio, on any executor.
//!
//! ```
//! use asyncio_sync::Queue;
//!
//! # futures::executor::block_on(async {
//! let jobs = Queue::new(8);
//! let producer = async {
//!     for job in 1..=100 {
//!         jobs.put(job).await.unwrap(); // waits while eight are there
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
//! | [`Lock`] | `Lock` | a value for one task at a time |
//! | [`RwLock`] | | a value for many readers or one writer |
//! | [`Semaphore`] | `Semaphore`, `BoundedSemaphore` | so many at a time |
//! | [`Event`] | `Event` | something that has happened, or not yet |
//! | [`Condition`] | `Condition` | wait until a locked value is as needed |
//! | [`Barrier`] | `Barrier` | wait for each other |
//! | [`Queue`], [`PriorityQueue`], [`LifoQueue`] | the same | items from task to task |
//! | [`promise()`] | `loop.create_future()` | a result that somebody will set |
//! | [`OnceCell`], [`Lazy`] | | a value that is made when first needed |
//! | [`thread_queue()`] | | items between tasks and threads |
//! | [`ThreadEvent`], [`thread_promise()`] | `threading.Event` | an event, a value, set by any thread |
//!
//! # What holds for all of them
//!
//! - **One thread.** They are `!Send`, and have neither atomics nor system calls. All they ask of an
//!   executor is a [`Waker`](std::task::Waker). Those named after threads are for several.
//! - **Nothing happens between two awaits.** A call that need not wait does not yield, and waking a
//!   task runs nothing of it. So what is seen (`locked()`, `qsize()`, …) is so until the next `await`.
//!   (On an event loop that [numbers its steps](set_step_hook), the next call steps back once after 128
//!   in one step that did not wait: a loop of them lets others run, and a time limit ends it.)
//! - **First come, first served.** Nobody overtakes one who waits, not even a `try_` or `_nowait`.
//! - **Nothing is lost.** What was handed to a task that is cancelled before it has run, be it a
//!   lock, a permit, an item or a notification, goes to the next in line in the same instant.
//!   Cancelling is dropping the future. The page of each type says what else it means.
//! - **No allocation** unless more tasks wait at a time than ever before, or a queue grows. Memory for
//!   waiting tasks is kept, and the waker of the last one that waited: if the same task waits again,
//!   its waker is not cloned.
//! - **Foreign code may come back.** Wakers, destructors of items and the like can use the very
//!   primitive that called them. They may panic, too, and leave everything in order.
//!
//! # What cannot be written
//!
//! A lock or permit is released by dropping its guard, so never twice:
//!
//! ```compile_fail,E0382
//! let lock = asyncio_sync::Lock::new(0);
//! let guard = lock.try_lock();
//! drop(guard);
//! drop(guard);
//! ```
//!
//! A condition is waited for and notified with the lock held:
//!
//! ```compile_fail,E0061
//! # use asyncio_sync::{Condition, Lock};
//! let condition = Condition::new(Lock::new(0));
//! condition.notify_all();
//! ```
//!
//! One thread's primitives do not reach another:
//!
//! ```compile_fail,E0277
//! let event = asyncio_sync::Event::new();
//! std::thread::scope(|threads| {
//!     threads.spawn(|| event.set());
//! });
//! ```
#![forbid(unsafe_code)]

mod budget;
mod line;
mod permits;
mod wait_queue;

mod lock;
mod rwlock;
mod semaphore;

mod barrier;
mod condition;
mod event;

mod queue;

mod lazy;
mod once_cell;
mod promise;

mod block_on;
mod thread_event;
mod thread_hooks;
mod thread_promise;
mod thread_queue;

pub use budget::set_step_hook;

pub use barrier::{Barrier, BrokenBarrier};
pub use condition::{Condition, OverLock};
pub use event::Event;
pub use lazy::Lazy;
pub use lock::{Lock, LockGuard, OwnedLockGuard};
pub use once_cell::{AlreadySet, OnceCell};
pub use promise::{
    BoxError, Future, Promise, PromiseError, SetError, SharedFuture, UnretrievedError, promise,
    promise_or, set_unretrieved_hook,
};
pub use queue::{
    BaseQueue, Discipline, Fifo, GetNowaitError, Item, Lifo, LifoQueue, PriorityQueue, PutError,
    PutNowaitError, Queue, QueueShutDown, Smallest, TooManyDone,
};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
pub use thread_event::ThreadEvent;
pub use thread_hooks::{ThreadHooks, set_thread_hooks};
pub use thread_promise::{ThreadAnswer, ThreadPromise, thread_promise};
pub use thread_queue::{
    GetTimeoutError, LoopSide, PutTimeoutError, ThreadQueue, ThreadSide, thread_queue,
};

/// The examples of the front page, run with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct FrontPage;
