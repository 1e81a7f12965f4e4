//! The errors of a queue. An error of a put contains the item, so no item is lost.
//!
//! A boxed error has to be `Send` and `Sync`, and an item need not be. So an error of a put can leave its item behind.

use std::fmt;

use thiserror::Error;

/// The error of a get: the queue is shut down and empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the queue is shut down and empty")]
pub struct QueueShutDown;

/// The error of a put: the queue is shut down. Contains the item.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[error("the queue is shut down and accepts no items")]
pub struct PutError<T>(pub T);

impl<T> PutError<T> {
    /// The error alone: the item is dropped. For `?` into a boxed error, which takes only items that are `Send` and
    /// `Sync`.
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_sync as sync; }
    /// use asyncio::sync::{PutError, Queue};
    /// use std::rc::Rc;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// # futures::executor::block_on(async {
    /// let names = Queue::new(8);
    /// names.put(Rc::from("Ada")).await.map_err(PutError::without_item)?;
    /// # drop::<Queue<Rc<str>>>(names);
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub fn without_item(self) -> PutError<()> {
        PutError(())
    }
}

/// The error of `put_nowait`. Contains the item.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
pub enum PutNowaitError<T> {
    /// The queue is full, or its free slots are reserved for waiting tasks. Use `put` to wait.
    #[error("the queue is full; use `put` to wait for a free slot")]
    QueueFull(T),
    /// The queue is shut down.
    #[error("the queue is shut down and accepts no items")]
    QueueShutDown(T),
}

impl<T> PutNowaitError<T> {
    /// The item that was not put.
    pub fn into_inner(self) -> T {
        match self {
            Self::QueueFull(item) | Self::QueueShutDown(item) => item,
        }
    }

    /// The error alone, as [`PutError::without_item`].
    pub fn without_item(self) -> PutNowaitError<()> {
        match self {
            Self::QueueFull(_) => PutNowaitError::QueueFull(()),
            Self::QueueShutDown(_) => PutNowaitError::QueueShutDown(()),
        }
    }
}

/// The error of `get_nowait`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GetNowaitError {
    /// The queue is empty, or its items are reserved for waiting tasks. Use `get` to wait.
    #[error("the queue is empty; use `get` to wait for an item")]
    QueueEmpty,
    /// The queue is shut down and empty.
    #[error("the queue is shut down and empty")]
    QueueShutDown,
}

/// The error of `task_done`: it was called more often than items were put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("`task_done` was called more often than items were put")]
pub struct TooManyDone;

// By hand, so that the items need not be `Debug`.

impl<T> fmt::Debug for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PutError").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for PutNowaitError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::QueueFull(_) => "QueueFull",
            Self::QueueShutDown(_) => "QueueShutDown",
        };
        f.debug_tuple(name).finish_non_exhaustive()
    }
}
