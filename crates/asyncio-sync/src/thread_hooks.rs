//! Hooks by which an event loop learns of its tasks' work with other threads.
//!
//! This crate depends on no event loop. A loop sets the hooks of its thread while it runs. The
//! default hooks do nothing.

use std::any::Any;
use std::cell::Cell;

/// The hooks of a thread, called when a task there waits for other threads.
///
/// The primitives that call them are [`thread_queue`](crate::thread_queue()),
/// [`ThreadEvent`](crate::ThreadEvent) and [`thread_promise`](crate::thread_promise()).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ThreadHooks {
    /// Called when a task begins to wait for other threads. The result is kept until the wait ends,
    /// and may be dropped on any thread.
    pub wait: fn() -> Option<Box<dyn Any + Send + Sync>>,
    /// Called when a task yields after many operations that were ready, so that a loop looks at its clock and at the
    /// system.
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
    // Without a destructor, so that it can be used until the thread ends.
    static HOOKS: Cell<ThreadHooks> = const { Cell::new(ThreadHooks::none()) };
}

/// Sets the hooks of this thread; returns the previous hooks.
///
/// The event loop of `asyncio` sets its own hooks while it runs. So its virtual time passes at the
/// rate of real time while a task waits for another thread.
///
/// ```
/// # mod asyncio { pub use asyncio_sync as sync; }
/// use asyncio::sync::{ThreadHooks, set_thread_hooks, thread_queue};
/// use std::cell::Cell;
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

/// A wait for other threads, reported to the loop of this thread until it is dropped.
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

/// Reports to the loop of this thread that a task yields.
pub(crate) fn report_yield() {
    (HOOKS.get().step_back)();
}
