//! The handle of a loop for other threads.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use asyncio_task::{NoRunningLoop, Remote, SpawnOptions};

use crate::core::Core;
use crate::current;
use crate::shared::Shared;

/// A handle of an event loop, for any thread. It may outlive its loop.
///
/// ```
/// # mod asyncio { pub use asyncio_loop::*; }
/// use asyncio::EventLoop;
///
/// let mut event_loop = EventLoop::new().unwrap();
/// let handle = event_loop.handle();
/// let thread = std::thread::spawn(move || {
///     let answer = handle.run_coroutine_threadsafe(|| async { 6 * 7 }).unwrap();
///     let answer = answer.wait().unwrap();
///     handle.stop();
///     answer
/// });
/// event_loop.run_forever();
/// assert_eq!(thread.join().unwrap(), 42);
/// ```
#[derive(Clone)]
pub struct LoopHandle {
    remote: Remote,
    shared: Arc<Shared>,
}

/// The loop is closed or dropped. Contains the value that was sent to it.
#[derive(thiserror::Error)]
#[error("the event loop is closed")]
pub struct LoopClosed<F>(pub F);

impl<F> fmt::Debug for LoopClosed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoopClosed(..)")
    }
}

impl LoopHandle {
    pub(crate) fn new(remote: Remote, shared: Arc<Shared>) -> Self {
        Self { remote, shared }
    }

    /// Schedules `callback` to be called once on the loop, after everything that is ready there
    /// when it arrives. Callbacks of one thread are called in the order in which it sent them. The
    /// call only pushes to the loop's inbox, and makes a system call only if the loop is parked.
    ///
    /// # Errors
    ///
    /// [`LoopClosed`] with the callback, if the loop is closed. A callback that it accepts is called,
    /// unless it is [cancelled](ThreadHandle::cancel): if the loop closes first, after the loop's
    /// tasks have ended.
    #[track_caller]
    pub fn call_soon_threadsafe<F>(&self, callback: F) -> Result<ThreadHandle, LoopClosed<F>>
    where
        F: FnOnce() + Send + 'static,
    {
        let slot = self.send(callback, |callback| callback())?;
        Ok(ThreadHandle { slot })
    }

    /// Calls `make` on the loop and spawns the future that it returns as a detached task. The
    /// loop's exception handler receives its errors and panics.
    ///
    /// # Errors
    ///
    /// [`LoopClosed`] with `make`, if the loop is closed. If the loop closes before the task begins,
    /// the task is cancelled, or dropped and reported like the other tasks that are left.
    #[track_caller]
    pub fn spawn<M, F>(&self, make: M) -> Result<(), LoopClosed<M>>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: asyncio_task::Outcome + 'static,
    {
        let location = std::panic::Location::caller();
        self.send(make, move |make| {
            let options = SpawnOptions::new().location(location);
            if let Ok(task) = asyncio_task::try_spawn_with(options, async move { make().await }) {
                task.detach();
            }
        })?;
        Ok(())
    }

    /// Sends `value` to the loop, which passes it to `there`, unless it is withdrawn first. Returns
    /// the value if the loop is closed.
    #[track_caller]
    pub(crate) fn send<V: Send + 'static>(
        &self,
        value: V,
        there: impl FnOnce(V) + Send + 'static,
    ) -> Result<Arc<SentValue<V>>, LoopClosed<V>> {
        let slot = Arc::new(SentValue::new(value));
        let arrived = slot.clone();
        let sent = self.remote.call(move || {
            // Taken out first, so that it is used without the lock and may use its own handle.
            if let Some(value) = arrived.take() {
                there(value);
            }
        });
        match sent {
            Ok(()) => Ok(slot),
            Err(_closed) => Err(LoopClosed(
                slot.take().expect("a refused value is still in its slot"),
            )),
        }
    }

    /// Stops the loop: its run ends after the current batch of steps. Tasks that became ready
    /// meanwhile stay queued for the next run. A loop that is not running ends its next run after
    /// one turn.
    pub fn stop(&self) {
        let stop = || {
            // Without a running loop, this one is being dropped.
            let _ = current::try_with(|core| core.stopping.set(true));
        };
        if self.remote.is_here() {
            stop();
        } else {
            // A dropped loop has already stopped.
            let _ = self.remote.call(stop);
        }
    }

    /// Drops a value on the loop's thread, or here if the loop is closed.
    pub(crate) fn drop_on_loop(&self, there: impl Send + 'static) {
        if self.is_here() {
            drop(there);
        } else if let Err(closed) = self.remote.call(move || drop(there)) {
            drop(closed);
        }
    }

    /// Wakes the loop, so that it computes its park timeout again.
    pub(crate) fn wake(&self) {
        // A dropped loop does not wait.
        let _ = self.remote.call(|| ());
    }

    /// Whether both are handles of the same loop.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.remote.is_same(&other.remote)
    }

    /// Whether this loop is the one that runs on this thread now.
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.remote.is_here()
    }

    /// Whether this thread owns the loop, running or not.
    pub(crate) fn is_on_this_thread(&self) -> bool {
        self.shared.thread == std::thread::current().id()
    }

    /// Whether the loop is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }

    /// Whether debug mode is on.
    #[must_use]
    #[doc(alias = "get_debug")]
    pub fn debug(&self) -> bool {
        self.shared.debug.load(Ordering::Relaxed)
    }

    /// Switches [debug mode](crate::Builder::debug) on or off, from the loop's next batch of steps.
    pub fn set_debug(&self, on: bool) {
        self.shared.debug.store(on, Ordering::Relaxed);
        let refresh = || {
            // Without a running loop, this one is being dropped.
            let _ = current::try_with(Core::refresh_debug);
        };
        if self.remote.is_here() {
            refresh();
        } else {
            // A dropped loop has no steps.
            let _ = self.remote.call(refresh);
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }
}

/// Returns a handle of the running loop, for any thread.
///
/// # Panics
///
/// Without a running loop; [`try_running_loop`] does not.
#[must_use]
#[track_caller]
#[doc(alias = "get_running_loop")]
pub fn running_loop() -> LoopHandle {
    current::with(Core::handle)
}

/// Returns a handle of the running loop.
///
/// # Errors
///
/// [`NoRunningLoop`] if no loop runs on this thread.
pub fn try_running_loop() -> Result<LoopHandle, NoRunningLoop> {
    current::try_with(Core::handle)
}

impl Core {
    pub(crate) fn handle(&self) -> LoopHandle {
        LoopHandle::new(self.tasks.remote(), self.shared.clone())
    }
}

impl fmt::Debug for LoopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoopHandle({:?})", self.remote)
    }
}

/// A callback that was sent to a loop. Any thread can cancel it. Dropping the handle does not
/// cancel it.
#[derive(Clone)]
pub struct ThreadHandle {
    slot: Arc<dyn Withdraw>,
}

impl ThreadHandle {
    /// Cancels the callback and drops it here. `false` if it has begun to run, has run, or was
    /// already cancelled.
    pub fn cancel(&self) -> bool {
        self.slot.withdraw()
    }
}

impl fmt::Debug for ThreadHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ThreadHandle(..)")
    }
}

/// A value on its way to a loop, which can be withdrawn until it arrives.
pub(crate) struct SentValue<V>(Mutex<Option<V>>);

impl<V> SentValue<V> {
    fn new(value: V) -> Self {
        Self(Mutex::new(Some(value)))
    }

    fn take(&self) -> Option<V> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(|e| e.into_inner()).take()
    }
}

trait Withdraw: Send + Sync {
    fn withdraw(&self) -> bool;
}

impl<V: Send> Withdraw for SentValue<V> {
    fn withdraw(&self) -> bool {
        self.take().is_some()
    }
}
