//! Why something could not be put into a queue, or taken out of it.
//!
//! What could not be put is in the error, so nothing is lost.

use std::fmt;

use thiserror::Error;

/// The queue was shut down, and there is nothing left in it to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the queue is shut down, and nothing is left in it")]
pub struct QueueShutDown;

/// The queue was shut down before the item was in it; here it is again.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[error("the queue is shut down and takes no more")]
pub struct PutError<T>(pub T);

/// Why an item could not be put at once; here it is again.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
pub enum PutNowaitError<T> {
    /// There is no room, or what there is has been promised to those who wait for it. `put` waits.
    #[error("the queue is full: `put` waits for room")]
    QueueFull(T),
    /// The queue was shut down and takes nothing any more.
    #[error("the queue is shut down and takes no more")]
    QueueShutDown(T),
}

impl<T> PutNowaitError<T> {
    /// The item that was not put.
    pub fn into_inner(self) -> T {
        match self {
            Self::QueueFull(item) | Self::QueueShutDown(item) => item,
        }
    }
}

/// Why no item could be taken at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GetNowaitError {
    /// There is no item, or those there are have been promised to tasks that wait. `get` waits.
    #[error("the queue is empty: `get` waits for an item")]
    QueueEmpty,
    /// The queue was shut down, and there is nothing left in it to take.
    #[error("the queue is shut down, and nothing is left in it")]
    QueueShutDown,
}

/// `task_done` was called more often than items were put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("more items were marked done than were put")]
pub struct TooManyDone;

// The items need not be Debug for the errors to be.

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
