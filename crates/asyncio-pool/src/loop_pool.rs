//! Several event loops, each on a thread of its own: one program on all cores.
//!
//! A task stays on the loop where it was spawned. Work is spread by starting it on different loops. It moves between
//! them as a function that makes a future, or as a connection that is taken off one loop and put onto another.

use std::fmt;
use std::io;
use std::num::NonZero;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use asyncio_loop::{Builder, JoinError, LoopClosed, LoopHandle, ThreadFuture};

use crate::loop_settings::LoopSettings;
use crate::loop_thread::{First, LoopThread, LoopThreadBuilder, StopError, say, wait_for};
use crate::pin::{self, Cpu};

/// Event loops on threads of their own, one for each processor by default.
///
/// Each loop runs the work that is started on it, and no task moves. So tasks need not be `Send`, and share the values
/// of their loop without locks. A server gives each loop a listener of its own
/// ([`shared_listeners`](../asyncio_net/fn.shared_listeners.html) in `asyncio-net`), and the system spreads the
/// connections.
///
/// ```
/// # mod asyncio { pub use asyncio_pool::*; }
/// use asyncio::LoopPool;
/// use std::time::Duration;
///
/// let pool = LoopPool::builder().loops(2).start()?;
/// // The same on each loop, with a value for each.
/// let sums = pool.run_on_each(["one", "three"], |word| async move { word.len() })?;
/// let lengths: Vec<_> = sums.into_iter().map(|sum| sum.wait()).collect::<Result<_, _>>()?;
/// assert_eq!(lengths, [3, 5]);
/// // On the loop whose turn it is.
/// assert_eq!(pool.run(|| async { 6 * 7 })?, 42);
/// pool.stop(Duration::from_secs(5))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A panic in a task, a callback or an exception handler ends no loop. A loop that is [stopped](LoopHandle::stop) by
/// its handle, or whose selector fails, ends alone, and the others go on. [`stop`](Self::stop) returns an error for a
/// thread that panicked.
///
/// Dropping the pool stops all loops, with the builder's [grace](LoopPoolBuilder::grace), and waits for their end. A
/// drop on the thread of one of the loops does not wait for that loop.
#[must_use = "dropping it stops the loops"]
pub struct LoopPool {
    threads: Vec<LoopThread>,
    loops: Loops,
    grace: Duration,
}

/// The loops of a [`LoopPool`], as handles for any thread. Clones are the same loops, and may outlive the pool.
#[derive(Clone)]
pub struct Loops {
    all: Arc<[LoopHandle]>,
    turn: Arc<AtomicUsize>,
}

/// Options of a [`LoopPool`], from [`LoopPool::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until a pool is started with it"]
pub struct LoopPoolBuilder {
    loops: Option<usize>,
    pinned: bool,
    settings: LoopSettings,
    on_start: OnStart,
}

/// The function to call on each loop with the loop's number.
#[derive(Clone, Default)]
struct OnStart(Option<(EachFirst, &'static Location<'static>)>);

type EachFirst = Arc<dyn Fn(usize) + Send + Sync>;

/// The errors of the loops of a pool that did not end in order, by the loop's number.
#[derive(Debug)]
pub struct StopErrors(Vec<(usize, StopError)>);

impl LoopPool {
    /// Starts a loop for each processor, with the default options.
    ///
    /// # Errors
    ///
    /// The operating system gave no thread, or no selector.
    pub fn start() -> io::Result<Self> {
        Self::builder().start()
    }

    /// Options for a pool.
    pub fn builder() -> LoopPoolBuilder {
        LoopPoolBuilder {
            loops: None,
            pinned: false,
            settings: LoopSettings::default(),
            on_start: OnStart::default(),
        }
    }

    /// The loops, to send them callbacks, coroutines and connections from any thread.
    #[must_use]
    pub fn loops(&self) -> &Loops {
        &self.loops
    }

    /// The number of loops.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "there is at least one")]
    pub fn len(&self) -> usize {
        self.threads.len()
    }

    /// Calls `make` on the loop that is [next in turn](Loops::pick), runs the future that it makes there, and blocks
    /// until that has ended.
    ///
    /// # Errors
    ///
    /// [`JoinError`]: the task panicked or was cancelled, perhaps by the end of its loop, or no loop is left.
    ///
    /// # Panics
    ///
    /// On that loop's own thread, which would wait for itself. Await the future there.
    #[track_caller]
    pub fn run<M, F>(&self, make: M) -> Result<F::Output, JoinError>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        wait_for(self.loops.pick(), make)
    }

    /// Gives each loop one of `values`, in order, and runs the future that `make` makes of it there. Surplus values are
    /// dropped, and surplus loops get no value.
    ///
    /// # Errors
    ///
    /// A loop has ended. The tasks that were started before are cancelled.
    #[track_caller]
    pub fn run_on_each<T, M, F>(
        &self,
        values: impl IntoIterator<Item = T>,
        make: M,
    ) -> Result<Vec<ThreadFuture<F::Output>>, LoopClosed<()>>
    where
        T: Send + 'static,
        M: Fn(T) -> F + Clone + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let mut started = Vec::with_capacity(self.len());
        for (event_loop, value) in self.loops.iter().zip(values) {
            let make = make.clone();
            let task = event_loop.run_coroutine_threadsafe(move || make(value));
            started.push(task.map_err(|_closed| LoopClosed(()))?);
        }
        Ok(started)
    }

    /// Whether the loop with this number has ended. `true` if there is no such loop.
    #[must_use]
    pub fn is_finished(&self, number: usize) -> bool {
        self.threads.get(number).is_none_or(LoopThread::is_finished)
    }

    /// Ends all loops at the same time, each as [`LoopThread::stop`] does, and blocks until their threads have ended.
    ///
    /// # Errors
    ///
    /// The numbers of the loops whose thread has panicked, or was still blocked a second after `grace`. A blocked
    /// thread is not waited for any longer. The other loops have ended.
    ///
    /// # Panics
    ///
    /// On the thread of one of the loops, which would wait for itself.
    pub fn stop(mut self, grace: Duration) -> Result<(), StopErrors> {
        assert!(
            !self.threads.iter().any(LoopThread::is_here),
            "a loop cannot wait for the end of its own pool: stop it on another thread"
        );
        match self.end(grace) {
            failed if failed.is_empty() => Ok(()),
            failed => Err(StopErrors(failed)),
        }
    }

    fn end(&mut self, grace: Duration) -> Vec<(usize, StopError)> {
        for thread in &self.threads {
            thread.ask(grace);
        }
        let since = Instant::now();
        let mut failed = Vec::new();
        for (number, mut thread) in std::mem::take(&mut self.threads).into_iter().enumerate() {
            let left = grace.saturating_sub(since.elapsed());
            if let Err(error) = thread.join_within(left) {
                failed.push((number, error));
            }
        }
        failed
    }
}

impl Drop for LoopPool {
    fn drop(&mut self) {
        for (number, error) in self.end(self.grace) {
            say(format_args!("loop {number} of a pool: {error}"));
        }
    }
}

impl Loops {
    /// The number of loops.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "there is at least one")]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// The loop with this number.
    #[must_use]
    pub fn get(&self, number: usize) -> Option<&LoopHandle> {
        self.all.get(number)
    }

    /// All loops, in the order of their numbers.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &LoopHandle> {
        self.all.iter()
    }

    /// The number of the loop that runs here, if it is one of these.
    #[must_use]
    pub fn here(&self) -> Option<usize> {
        self.iter().position(LoopHandle::is_here)
    }

    /// The next loop in turn. Closed loops are passed over, as long as one loop is not closed.
    #[must_use]
    pub fn pick(&self) -> &LoopHandle {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn = (0..self.len()).map(|n| &self.all[first.wrapping_add(n) % self.len()]);
        let mut open = in_turn.filter(|event_loop| !event_loop.is_closed());
        open.next().unwrap_or(&self.all[0])
    }
}

impl LoopPoolBuilder {
    /// Sets the number of loops, at least 1. The default is the number of processors that the process may use.
    pub fn loops(mut self, number: usize) -> Self {
        self.loops = Some(number.max(1));
        self
    }

    /// Sets whether each thread stays on one processor, of those that the process may use, in turn. The default is
    /// `false`. Linux only.
    pub fn pinned(mut self, on: bool) -> Self {
        self.pinned = on;
        self
    }

    /// Sets the name of the threads, which a number follows. The default is `asyncio-loop`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.set_name(name);
        self
    }

    /// Sets the size of a thread's stack, in bytes.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.settings.stack_size = Some(bytes);
        self
    }

    /// Sets how long tasks may take to end when the [`LoopPool`] is dropped, or a loop is stopped by a handle. The
    /// default is 10 s.
    pub fn grace(mut self, duration: Duration) -> Self {
        self.settings.grace = duration;
        self
    }

    /// Sets the options of the loops.
    pub fn event_loop(mut self, builder: Builder) -> Self {
        self.settings.event_loop = builder;
        self
    }

    /// Sets a function that is called first on each loop, with the loop's number. It may set the exception handler, for
    /// instance.
    #[track_caller]
    pub fn on_start(mut self, first: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.on_start = OnStart(Some((Arc::new(first), Location::caller())));
        self
    }

    /// Starts the loops.
    ///
    /// # Errors
    ///
    /// The operating system gave no thread or no selector, or it cannot [pin](Self::pinned) threads. Loops that were
    /// started before are stopped again.
    pub fn start(self) -> io::Result<LoopPool> {
        // An unknown number of processors counts as one.
        let processors = || std::thread::available_parallelism().map_or(1, NonZero::get);
        let loops = self.loops.unwrap_or_else(processors);
        let cpus = match self.pinned {
            true => pin::allowed()?,
            false => Vec::new(),
        };
        let mut threads = Vec::with_capacity(loops);
        for number in 0..loops {
            let cpu = cpus.get(number % cpus.len().max(1)).copied();
            threads.push(self.thread(number, cpu).start()?);
        }
        let all = threads.iter().map(|thread| thread.handle().clone());
        Ok(LoopPool {
            loops: Loops {
                all: all.collect(),
                turn: Arc::default(),
            },
            threads,
            grace: self.settings.grace,
        })
    }

    fn thread(&self, number: usize, cpu: Option<Cpu>) -> LoopThreadBuilder {
        let first = self.on_start.0.clone();
        LoopThreadBuilder {
            settings: self.settings.numbered(number),
            on_start: first.map(|(first, location)| First {
                call: Box::new(move || first(number)),
                location,
            }),
            cpu,
        }
    }
}

impl StopErrors {
    /// The loops that did not end in order, each by its number and with its error.
    #[must_use]
    pub fn errors(&self) -> &[(usize, StopError)] {
        &self.0
    }
}

impl fmt::Display for StopErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (number, error)) in self.0.iter().enumerate() {
            let separator = if n == 0 { "" } else { "; " };
            write!(f, "{separator}loop {number}: {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for StopErrors {}

impl fmt::Debug for LoopPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.threads).finish()
    }
}

impl fmt::Debug for Loops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Debug for OnStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "set" } else { "not set" })
    }
}
