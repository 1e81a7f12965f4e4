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

/// Event loops on threads of their own, one a processor unless set otherwise.
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
/// its handle, or has no selector any more, ends alone. The others go on, and [`stop`](Self::stop) tells of a panic.
///
/// Dropping it stops all loops, with the builder's [grace](LoopPoolBuilder::grace), and waits for their end. On a loop
/// of its own it does not wait for that loop.
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

/// A [`LoopPool`] to be.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until a pool is started with it"]
pub struct LoopPoolBuilder {
    loops: Option<usize>,
    pinned: bool,
    settings: LoopSettings,
    on_start: OnStart,
}

/// Something to call on each loop with its number.
#[derive(Clone, Default)]
struct OnStart(Option<(EachFirst, &'static Location<'static>)>);

type EachFirst = Arc<dyn Fn(usize) + Send + Sync>;

/// The loops of a pool that have not ended in order, by number, and why.
#[derive(Debug)]
pub struct StopErrors(Vec<(usize, StopError)>);

impl LoopPool {
    /// Starts a loop for each processor, with the usual settings.
    ///
    /// # Errors
    ///
    /// The operating system gave no thread, or no selector.
    pub fn start() -> io::Result<Self> {
        Self::builder().start()
    }

    /// To set it up before starting it.
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

    /// How many loops there are.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "there is at least one")]
    pub fn len(&self) -> usize {
        self.threads.len()
    }

    /// Has `make` called on the loop whose [turn](Loops::pick) it is, runs the future that it makes there, and blocks
    /// until that has ended.
    ///
    /// # Errors
    ///
    /// [`JoinError`]: the task was cancelled, also by the end of its loop, or it panicked; or no loop is left.
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

    /// Gives each loop one of `values`, in order, and runs what `make` makes of it there. Values beyond the number of
    /// loops are dropped; loops beyond the number of values get none.
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

    /// Whether the loop with this number has ended. There is none: it has.
    #[must_use]
    pub fn is_finished(&self, number: usize) -> bool {
        self.threads.get(number).is_none_or(LoopThread::is_finished)
    }

    /// Ends all loops at the same time, and blocks until their threads have ended. Each does as
    /// [`LoopThread::stop`] says.
    ///
    /// # Errors
    ///
    /// Loops whose thread is blocked and was left to itself a second after the end of `grace`, or had panicked. The
    /// others have ended.
    ///
    /// # Panics
    ///
    /// On a thread of one of its loops, which would wait for itself.
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
    /// How many loops there are.
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

    /// The loop whose turn it is. Turns go round, past loops that are closed as long as one is not.
    #[must_use]
    pub fn pick(&self) -> &LoopHandle {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn = (0..self.len()).map(|n| &self.all[first.wrapping_add(n) % self.len()]);
        let mut open = in_turn.filter(|event_loop| !event_loop.is_closed());
        open.next().unwrap_or(&self.all[0])
    }
}

impl LoopPoolBuilder {
    /// How many loops there are; as many as the process may use processors unless set, at least 1.
    pub fn loops(mut self, number: usize) -> Self {
        self.loops = Some(number.max(1));
        self
    }

    /// Whether each thread stays on one processor: on those that the process may use, in turn. `false` unless set. On
    /// Linux only.
    pub fn pinned(mut self, on: bool) -> Self {
        self.pinned = on;
        self
    }

    /// The name of the threads, followed by a number; `asyncio-loop` unless set.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.set_name(name);
        self
    }

    /// The size of a thread's stack, in bytes.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.settings.stack_size = Some(bytes);
        self
    }

    /// How long tasks have to end when the [`LoopPool`] is dropped, or a loop stopped by a handle; 10 s unless set.
    pub fn grace(mut self, duration: Duration) -> Self {
        self.settings.grace = duration;
        self
    }

    /// How the loops are to be.
    pub fn event_loop(mut self, builder: Builder) -> Self {
        self.settings.event_loop = builder;
        self
    }

    /// Has `first` called on each loop with its number, before anything else, to set its exception handler for
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
    /// The operating system gave no thread, or no selector; or it pins no threads, and they were to be
    /// [pinned](Self::pinned). Loops that were started before are stopped again.
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
    /// The loops that have not ended in order, by number, and why.
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
