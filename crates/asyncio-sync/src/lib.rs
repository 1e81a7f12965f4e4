//! Synchronisation for tasks of one thread: Lock, Event, Condition, Semaphore, Barrier, Queue, promise. Works with any executor.
#![forbid(unsafe_code)]

mod line;
mod permits;
mod wait_queue;

mod barrier;
mod condition;
mod event;
mod lazy;
mod lock;
mod once_cell;
mod promise;
mod queue;
mod rwlock;
mod semaphore;
mod thread_queue;

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
pub use thread_queue::{
    GetTimeoutError, LoopSide, PutTimeoutError, ThreadQueue, ThreadSide, thread_queue,
};
