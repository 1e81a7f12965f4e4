//! What the event loop of a thread wants to know of tasks that deal with other threads.
//!
//! This crate knows no loop. A loop sets the hooks of its thread while it runs; without one they do nothing.

use std::any::Any;
use std::cell::Cell;

/// What is called, on one thread, when a task there deals with other threads through a
/// [`thread_queue`](crate::thread_queue()).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ThreadHooks {
    /// Called when a task begins to wait for threads. The result is kept until that wait is over, and may be
    /// dropped on any thread.
    pub wait: fn() -> Option<Box<dyn Any + Send + Sync>>,
    /// Called when a task steps back, because the threads give it something to do without end.
    pub step_back: fn(),
}

impl ThreadHooks {
    /// Hooks that do nothing.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            wait: || None,
            step_back: || (),
        }
    }
}

thread_local! {
    // Without a destructor, so it can be asked until the very end of the thread.
    static HOOKS: Cell<ThreadHooks> = const { Cell::new(ThreadHooks::none()) };
}

/// Sets the hooks of this thread; gives those that were set before.
///
/// The event loop of `asyncio` sets its own while it runs. On virtual time, a wait for a thread holds the clock.
///
/// ```
/// use std::cell::Cell;
/// use asyncio_sync::{ThreadHooks, set_thread_hooks, thread_queue};
///
/// thread_local!(static WAITS: Cell<u32> = const { Cell::new(0) });
///
/// let mut hooks = ThreadHooks::none();
/// hooks.wait = || {
///     WAITS.set(WAITS.get() + 1);
///     None
/// };
/// let before = set_thread_hooks(hooks);
/// let (results, worker) = thread_queue(1);
/// std::thread::spawn(move || {
///     std::thread::sleep(std::time::Duration::from_millis(5));
///     worker.put("done").unwrap();
/// });
/// assert_eq!(futures::executor::block_on(results.get()), Ok("done"));
/// assert_eq!(WAITS.get(), 1);
/// set_thread_hooks(before);
/// ```
pub fn set_thread_hooks(hooks: ThreadHooks) -> ThreadHooks {
    HOOKS.replace(hooks)
}

/// A wait for other threads, of which the loop of this thread knows while this lives.
pub(crate) struct ThreadWait {
    _held: Option<Box<dyn Any + Send + Sync>>,
}

impl ThreadWait {
    pub(crate) fn begin() -> Self {
        Self {
            _held: (HOOKS.get().wait)(),
        }
    }
}

/// Tells the loop of this thread that a task steps back.
pub(crate) fn step_back() {
    (HOOKS.get().step_back)();
}
