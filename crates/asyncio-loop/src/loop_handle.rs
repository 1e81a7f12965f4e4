//! A loop, as seen from other threads.

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
/// use asyncio_loop::EventLoop;
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

/// The loop is closed, or gone. Gives back what it was to run.
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

    /// Has `callback` called once on the loop, after all that is ready there when it arrives. What one
    /// thread sends is called in the order it was sent. Never blocks for longer than a push, and wakes
    /// the loop only if it sleeps.
    ///
    /// # Errors
    ///
    /// The loop is closed; the callback comes back. If the loop closes before it gets to the callback,
    /// that is dropped on the loop's thread.
    #[track_caller]
    pub fn call_soon_threadsafe<F>(&self, callback: F) -> Result<ThreadHandle, LoopClosed<F>>
    where
        F: FnOnce() + Send + 'static,
    {
        let slot = self.send(callback, |callback| callback())?;
        Ok(ThreadHandle { slot })
    }

    /// Has `make` called on the loop, and runs the future it makes there, detached: what goes wrong in it
    /// goes to the loop's exception handler.
    ///
    /// # Errors
    ///
    /// The loop is closed; `make` comes back.
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

    /// Sends `value` to the loop to be used there, unless it is taken out of its slot before. It comes
    /// back if the loop is closed.
    #[track_caller]
    pub(crate) fn send<V: Send + 'static>(
        &self,
        value: V,
        there: impl FnOnce(V) + Send + 'static,
    ) -> Result<Arc<Slot<V>>, LoopClosed<V>> {
        let slot = Arc::new(Slot::new(value));
        let arrived = slot.clone();
        let sent = self.remote.call(move || {
            // Taken out first: it is used without the lock, so it may look at its own handle.
            if let Some(value) = arrived.take() {
                there(value);
            }
        });
        match sent {
            Ok(()) => Ok(slot),
            Err(_closed) => Err(LoopClosed(slot.take().expect("nobody else has the slot"))),
        }
    }

    /// Stops the loop: its run ends after the batch of steps that is under way. What that made ready stays
    /// for the next run. A loop that does not run ends its next run after one turn.
    pub fn stop(&self) {
        let stop = || {
            // Without a loop here, this one is being dropped.
            let _ = current::try_with(|core| core.stopping.set(true));
        };
        if self.remote.is_here() {
            stop();
        } else {
            // A loop that is gone has stopped.
            let _ = self.remote.call(stop);
        }
    }

    /// Has `there` dropped on the loop, or here if the loop is gone.
    pub(crate) fn drop_there(&self, there: impl Send + 'static) {
        if self.is_here() {
            drop(there);
        } else if let Err(closed) = self.remote.call(move || drop(there)) {
            drop(closed);
        }
    }

    /// Makes the loop look again at what it waits for.
    pub(crate) fn nudge(&self) {
        // A loop that is gone waits for nothing.
        let _ = self.remote.call(|| ());
    }

    /// Whether both are of the same loop.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.remote.is_same(&other.remote)
    }

    /// Whether this loop runs on this thread, here and now.
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.remote.is_here()
    }

    /// Whether this loop belongs to this thread, running or not.
    pub(crate) fn is_at_home(&self) -> bool {
        self.shared.home == std::thread::current().id()
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

    /// Switches [debug mode](crate::Builder::debug), from the loop's next batch of steps on.
    pub fn set_debug(&self, on: bool) {
        self.shared.debug.store(on, Ordering::Relaxed);
        let refresh = || {
            // Without a loop here, this one is being dropped.
            let _ = current::try_with(Core::refresh_debug);
        };
        if self.remote.is_here() {
            refresh();
        } else {
            // A loop that is gone has no steps.
            let _ = self.remote.call(refresh);
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }
}

/// A handle of the loop that runs here, for any thread.
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

/// A handle of the loop that runs here.
///
/// # Errors
///
/// Without a running loop.
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

/// A callback that was sent to a loop, and the means to call it off from any thread. Dropping the handle
/// changes nothing.
#[derive(Clone)]
pub struct ThreadHandle {
    slot: Arc<dyn Withdraw>,
}

impl ThreadHandle {
    /// Calls the callback off and drops it here. `false` if it has begun to run, has run, or was called
    /// off before.
    pub fn cancel(&self) -> bool {
        self.slot.withdraw()
    }
}

impl fmt::Debug for ThreadHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ThreadHandle(..)")
    }
}

/// What is on its way to a loop, and can be taken back until it arrives.
pub(crate) struct Slot<V>(Mutex<Option<V>>);

impl<V> Slot<V> {
    fn new(value: V) -> Self {
        Self(Mutex::new(Some(value)))
    }

    fn take(&self) -> Option<V> {
        // Nothing that can panic runs under this lock.
        self.0.lock().unwrap_or_else(|e| e.into_inner()).take()
    }
}

trait Withdraw: Send + Sync {
    fn withdraw(&self) -> bool;
}

impl<V: Send> Withdraw for Slot<V> {
    fn withdraw(&self) -> bool {
        self.take().is_some()
    }
}
