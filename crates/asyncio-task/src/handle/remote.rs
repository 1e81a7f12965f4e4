//! A thread's tasks, as seen from other threads.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use crate::cell::cell_ref::{Message, Owner};
use crate::engine::current;
use crate::queue::inbox::Lead;

/// A way to call something on the thread of some [`Tasks`](crate::Tasks), from any thread.
///
/// It may outlive them. It is a pointer and a number, so copying it costs nothing.
#[derive(Clone, Copy)]
pub struct Remote {
    owner: Owner,
}

/// The tasks are gone, or have made their last calls; this is the call that was refused.
#[derive(thiserror::Error)]
#[error("the event loop is closed")]
pub struct Closed(pub Box<dyn FnOnce() + Send>);

/// The pause of a thread that is far ahead of tasks that hold calls back. In this time they take some hundred calls.
const PAUSE: Duration = Duration::from_micros(50);

impl Remote {
    pub(crate) fn new(owner: Owner) -> Self {
        Self { owner }
    }

    /// The tasks that run on this thread, here and now; `None` if there are none.
    ///
    /// ```
    /// use asyncio_task::{Remote, Tasks};
    /// assert!(Remote::here().is_none());
    /// let tasks = Tasks::new(|| ());
    /// let here = tasks.enter(&(), Remote::here).unwrap();
    /// assert!(here.is_same(&tasks.remote()));
    /// ```
    #[must_use]
    #[inline]
    pub fn here() -> Option<Self> {
        current::tasks(|tasks| tasks.map(|tasks| Self::new(tasks.owner())))
    }

    /// Has `call` called on the thread of the tasks, after what is ready there when it arrives. A panic
    /// in it is reported there, with the place of this call. Never blocks for longer than a push, unless the tasks
    /// [hold calls back](crate::Tasks::hold_calls_back).
    ///
    /// # Errors
    ///
    /// The tasks are gone, or have made their [last calls](crate::Tasks::make_last_calls). If they go before they get
    /// to it, without their last calls, `call` is dropped on their thread.
    #[track_caller]
    pub fn call(&self, call: impl FnOnce() + Send + 'static) -> Result<(), Closed> {
        let message = Message::Call(Box::new(call), Location::caller());
        match self.owner.post_call(message) {
            Ok(Lead::Short) => Ok(()),
            Ok(Lead::Far) => {
                self.pause();
                Ok(())
            }
            Err(Message::Call(call, _)) => Err(Closed(call)),
            Err(Message::Wake(_) | Message::End(_)) => {
                unreachable!("the message that comes back is the one that was posted")
            }
        }
    }

    /// Lets tasks that hold calls back catch up.
    #[cold]
    fn pause(&self) {
        if !self.is_here() {
            std::thread::sleep(PAUSE);
        }
    }

    /// Whether both are of the same tasks.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.owner == other.owner
    }

    /// Whether the tasks it belongs to run on this thread, here and now.
    #[must_use]
    #[inline]
    pub fn is_here(&self) -> bool {
        current::tasks(|tasks| tasks.is_some_and(|tasks| tasks.owner() == self.owner))
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({:?})", self.owner)
    }
}

impl fmt::Debug for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closed(..)")
    }
}
