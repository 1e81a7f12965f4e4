//! An event loop on a thread of its own, for programs that are not asynchronous.

use std::fmt;
use std::io;
use std::panic::Location;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use asyncio_loop::{Builder, JoinError, LoopHandle, PanicPayload, TaskName};

use crate::loop_settings::LoopSettings;
use crate::pin::{self, Cpu};

/// The time that the thread may take after the grace of its tasks, to drop what is left.
const SLACK: Duration = Duration::from_secs(1);

/// The grace in place of one that goes beyond the clock's end: ten days.
const LONG: Duration = Duration::from_secs(864_000);

/// An event loop that runs on a thread of its own.
///
/// It is for programs that are not asynchronous. Their threads send callbacks and coroutines to the loop by its
/// [handle](Self::handle), or [run](Self::run) one there and wait for it.
///
/// ```
/// # mod asyncio { pub use asyncio_loop::*; pub use asyncio_pool::*; }
/// use asyncio::{LoopThread, sleep};
/// use std::time::Duration;
///
/// let background = LoopThread::start()?;
/// // Runs on the loop, while this thread goes on.
/// let answer = background.handle().run_coroutine_threadsafe(|| async {
///     sleep(Duration::from_millis(5)).await;
///     6 * 7
/// })?;
/// // Runs on the loop, while this thread waits.
/// assert_eq!(background.run(|| async { "done" })?, "done");
/// assert_eq!(answer.wait()?, 42);
/// background.stop(Duration::from_secs(5))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Dropping it [stops](Self::stop) the loop, with the builder's [grace](LoopThreadBuilder::grace), and waits for the
/// end. An error is printed on standard error. A drop on the loop's own thread does not wait.
#[must_use = "dropping it stops the loop"]
#[doc(alias = "BlockingPortal")]
pub struct LoopThread {
    handle: LoopHandle,
    end: Arc<End>,
    thread: Option<JoinHandle<()>>,
    grace: Duration,
}

/// Options of a [`LoopThread`], from [`LoopThread::builder`].
#[must_use = "a builder does nothing until a loop is started with it"]
pub struct LoopThreadBuilder {
    pub(crate) settings: LoopSettings,
    pub(crate) on_start: Option<First>,
    pub(crate) cpu: Option<Cpu>,
}

/// The function to call first on a loop.
pub(crate) struct First {
    pub(crate) call: Box<dyn FnOnce() + Send>,
    /// The place that reports name.
    pub(crate) location: &'static Location<'static>,
}

/// Why the thread of a loop did not end in order.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// A step of a task, a callback or a destructor blocks the thread. The thread goes on by itself.
    #[error("the event loop's thread is blocked and did not end within {0:?}")]
    Blocked(Duration),
    /// The thread panicked, outside of any task.
    #[error("the event loop's thread panicked: {0}")]
    Panicked(PanicPayload),
}

/// The request to end, and whether the thread has ended.
#[derive(Default)]
struct End {
    state: Mutex<EndState>,
    changed: Condvar,
}

#[derive(Default)]
struct EndState {
    /// The deadline of the tasks. `None` before the request to end.
    tasks_until: Option<Instant>,
    has_ended: bool,
}

impl LoopThread {
    /// Starts a loop with the default options.
    ///
    /// # Errors
    ///
    /// The operating system gave no thread, or no selector.
    pub fn start() -> io::Result<Self> {
        Self::builder().start()
    }

    /// Options for a loop.
    pub fn builder() -> LoopThreadBuilder {
        LoopThreadBuilder {
            settings: LoopSettings::default(),
            on_start: None,
            cpu: None,
        }
    }

    /// The handle of the loop, to send it callbacks and coroutines.
    #[must_use]
    pub fn handle(&self) -> &LoopHandle {
        &self.handle
    }

    /// Calls `make` on the loop, runs the future that it makes there, and blocks until that has ended.
    ///
    /// # Errors
    ///
    /// [`JoinError`]: the task panicked or was cancelled, perhaps by the end of its loop, or the loop had ended before.
    ///
    /// # Panics
    ///
    /// On the loop's own thread, which would wait for itself. Await the future there.
    #[track_caller]
    pub fn run<M, F>(&self, make: M) -> Result<F::Output, JoinError>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        wait_for(&self.handle, make)
    }

    /// Whether the loop has ended, because it was [stopped](LoopHandle::stop).
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.end.lock().has_ended
    }

    /// Ends the loop, and blocks until its thread has ended. Tasks are cancelled, and have `grace` to clean up. So have
    /// the jobs of the default thread pool. Tasks that are left then are dropped, and reported to the loop's exception
    /// handler. A thread that waits for such a coroutine gets [`JoinError::Cancelled`]. A later call or coroutine for
    /// the loop is returned in an error.
    ///
    /// # Errors
    ///
    /// The thread has panicked, or was still blocked a second after `grace`. It is not waited for any longer then.
    ///
    /// # Panics
    ///
    /// On the loop's own thread, which would wait for itself. [`LoopHandle::stop`] works there.
    pub fn stop(mut self, grace: Duration) -> Result<(), StopError> {
        assert!(
            !self.is_here(),
            "an event loop cannot wait for its own end: use `LoopHandle::stop`, or stop it on another thread"
        );
        self.end(grace)
    }

    pub(crate) fn is_here(&self) -> bool {
        let thread = self.thread.as_ref();
        thread.is_some_and(|thread| thread.thread().id() == thread::current().id())
    }

    fn end(&mut self, grace: Duration) -> Result<(), StopError> {
        self.ask(grace);
        self.join_within(grace)
    }

    /// Tells the loop to end; its tasks have `grace` for that.
    pub(crate) fn ask(&self, grace: Duration) {
        // A time beyond the clock's end counts as a long one.
        let until = Instant::now()
            .checked_add(grace)
            .unwrap_or_else(|| Instant::now() + LONG);
        self.end.lock().tasks_until = Some(until);
        self.handle.stop();
    }

    /// Waits until the thread of a loop that was told to end has, for a second more than `grace`. On that thread it
    /// does not wait.
    pub(crate) fn join_within(&mut self, grace: Duration) -> Result<(), StopError> {
        if self.is_here() {
            self.thread = None;
        }
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        if !self.end.wait(grace.saturating_add(SLACK)) {
            return Err(StopError::Blocked(grace));
        }
        let joined = thread.join();
        joined.map_err(|payload| StopError::Panicked(PanicPayload::new(payload)))
    }
}

impl Drop for LoopThread {
    fn drop(&mut self) {
        if self.thread.is_none() {
            return;
        }
        if let Err(error) = self.end(self.grace) {
            say(format_args!("{error}"));
        }
    }
}

/// Runs a coroutine on a loop of another thread, and blocks until it has ended.
#[track_caller]
pub(crate) fn wait_for<M, F>(event_loop: &LoopHandle, make: M) -> Result<F::Output, JoinError>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future + 'static,
    F::Output: Send + 'static,
{
    match event_loop.run_coroutine_threadsafe(make) {
        Ok(task) => task.wait(),
        Err(_closed) => Err(JoinError::Stopped(TaskName::from("(not started)"))),
    }
}

/// Prints an error that a destructor cannot return. If standard error is closed, the program goes on without it.
pub(crate) fn say(what: fmt::Arguments<'_>) {
    let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("asyncio: {what}\n"));
}

impl LoopThreadBuilder {
    /// Sets the name of the thread. The default is `asyncio-loop`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.set_name(name);
        self
    }

    /// Sets the size of the thread's stack, in bytes.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.settings.stack_size = Some(bytes);
        self
    }

    /// Sets how long tasks may take to end when the [`LoopThread`] is dropped, or its loop is stopped by a handle. The
    /// default is 10 s.
    pub fn grace(mut self, duration: Duration) -> Self {
        self.settings.grace = duration;
        self
    }

    /// Sets the options of the loop.
    pub fn event_loop(mut self, builder: Builder) -> Self {
        self.settings.event_loop = builder;
        self
    }

    /// Sets a function that is called first on the loop. It may set the exception handler, for instance.
    #[track_caller]
    pub fn on_start(mut self, first: impl FnOnce() + Send + 'static) -> Self {
        self.on_start = Some(First {
            call: Box::new(first),
            location: Location::caller(),
        });
        self
    }

    /// Starts the loop.
    ///
    /// # Errors
    ///
    /// The operating system gave no thread, or no selector.
    pub fn start(self) -> io::Result<LoopThread> {
        let Self {
            settings,
            on_start,
            cpu,
        } = self;
        let thread = settings.thread();
        let LoopSettings {
            grace, event_loop, ..
        } = settings;
        let end = Arc::new(End::default());
        let ending = Ending(end.clone());
        let (started, has_started) = mpsc::channel();
        let thread = thread.spawn(move || {
            let ending = ending;
            let pinned = cpu.map_or(Ok(()), pin::pin_here);
            let mut event_loop = match pinned.and_then(|()| event_loop.build_loop()) {
                Ok(event_loop) => event_loop,
                Err(error) => return drop(started.send(Err(error))),
            };
            if let Some(first) = on_start {
                event_loop.call_soon_at(first.location, first.call);
            }
            // The starting thread waits for this message.
            let _ = started.send(Ok(event_loop.handle()));
            event_loop.run_forever();
            let until = ending.0.lock().tasks_until;
            let left = until.map_or(grace, |end| end.saturating_duration_since(Instant::now()));
            event_loop.close_within(left);
        })?;
        let handle = match has_started.recv() {
            Ok(handle) => handle?,
            // The thread panicked before it had a loop.
            Err(gone) => return Err(io::Error::other(gone)),
        };
        Ok(LoopThread {
            handle,
            end,
            thread: Some(thread),
            grace,
        })
    }
}

impl End {
    fn lock(&self) -> MutexGuard<'_, EndState> {
        // Nothing that can panic runs under this lock.
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Waits until the thread has ended, for `limit` at most.
    fn wait(&self, limit: Duration) -> bool {
        let state = self.lock();
        let waited = self
            .changed
            .wait_timeout_while(state, limit, |state| !state.has_ended);
        waited.unwrap_or_else(|e| e.into_inner()).0.has_ended
    }
}

/// Notes the end of the thread, also after a panic.
struct Ending(Arc<End>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.lock().has_ended = true;
        self.0.changed.notify_all();
    }
}

impl fmt::Debug for LoopThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopThread")
            .field("handle", &self.handle)
            .field("finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for LoopThreadBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopThreadBuilder")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
