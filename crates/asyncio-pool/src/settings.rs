//! The settings of a thread pool, and its reports of panics and errors that no task awaits.

use std::fmt;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use asyncio_loop::{
    Cause, LoopHandle, PanicPayload, Unhandled, call_exception_handler, default_exception_handler,
};

/// How long a thread waits for a job before it ends.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The maximum of the default number of threads.
const MOST_THREADS: usize = 32;

/// Options of a thread pool, from [`ThreadPool::builder`](crate::ThreadPool::builder).
///
/// ```
/// # mod asyncio { pub use asyncio_pool::*; }
/// use asyncio::ThreadPool;
/// use std::time::Duration;
///
/// let pool = ThreadPool::builder()
///     .max_threads(4)
///     .name("disk")
///     .keep_alive(Duration::from_secs(1))
///     .build();
/// # asyncio_loop::run(async {
/// let name = pool.run(|| std::thread::current().name().map(str::to_owned)).await?;
/// assert_eq!(name.as_deref(), Some("disk-0"));
/// # Ok::<(), asyncio_pool::JobError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until a pool is built with it"]
pub struct ThreadPoolBuilder {
    max_threads: Option<usize>,
    keep_alive: Option<Duration>,
    name: Option<String>,
    stack_size: Option<usize>,
    queue_limit: Option<usize>,
    on_start: Handler,
    on_stop: Handler,
    on_unhandled: Report,
}

/// The settings of a pool.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) max_threads: usize,
    pub(crate) keep_alive: Duration,
    pub(crate) name: String,
    pub(crate) stack_size: Option<usize>,
    pub(crate) queue_limit: Option<usize>,
    pub(crate) on_start: Handler,
    pub(crate) on_stop: Handler,
    pub(crate) on_unhandled: Report,
    /// Whether there is a second core, so that a worker may spin.
    pub(crate) may_spin: bool,
}

/// The function to call on each thread.
#[derive(Clone, Default)]
pub(crate) struct Handler(Option<Arc<dyn Fn() + Send + Sync>>);

/// The pool's own handler of unhandled panics and errors, if it has one.
#[derive(Clone, Default)]
pub(crate) struct Report(Option<Arc<dyn ReportFn>>);

trait ReportFn: Fn(&Unhandled) + Send + Sync {}

impl<F: Fn(&Unhandled) + Send + Sync> ReportFn for F {}

impl ThreadPoolBuilder {
    /// Sets the maximum number of threads, at least 1. The default is the number of processors plus 4, at most 32.
    /// Threads are started when jobs need them.
    #[doc(alias = "max_workers")]
    pub fn max_threads(mut self, threads: usize) -> Self {
        self.max_threads = Some(threads.max(1));
        self
    }

    /// Sets how long a thread waits for a job before it ends. The default is 10 s.
    pub fn keep_alive(mut self, duration: Duration) -> Self {
        self.keep_alive = Some(duration);
        self
    }

    /// Sets the name of the threads, which a number follows. The default is `asyncio`.
    #[doc(alias = "thread_name_prefix")]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        // The operating system takes no name with a zero byte in it.
        self.name = Some(name.into().replace('\0', ""));
        self
    }

    /// Sets the size of a thread's stack, in bytes.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Sets the number of accepted jobs that may wait for a thread. By default there is no limit. Further jobs of
    /// [`run`](crate::ThreadPool::run) wait in line, until there is room and they are [accepted](crate::Job::accepted).
    /// [`try_run`](crate::ThreadPool::try_run) refuses them. With a limit of 0 a job is accepted when a thread is free.
    pub fn queue_limit(mut self, jobs: usize) -> Self {
        self.queue_limit = Some(jobs);
        self
    }

    /// Sets a function that is called on each thread before its first job. Its panic is reported.
    #[doc(alias = "initializer")]
    pub fn on_thread_start(mut self, handler: impl Fn() + Send + Sync + 'static) -> Self {
        self.on_start = Handler(Some(Arc::new(handler)));
        self
    }

    /// Sets a function that is called on each thread after its last job. Its panic is reported.
    pub fn on_thread_stop(mut self, handler: impl Fn() + Send + Sync + 'static) -> Self {
        self.on_stop = Handler(Some(Arc::new(handler)));
        self
    }

    /// Sets the handler of panics and errors of jobs that no task awaits. It is called on the thread of the job. By
    /// default the exception handler of the loop on which the job was started receives them.
    pub fn on_unhandled(mut self, handler: impl Fn(&Unhandled) + Send + Sync + 'static) -> Self {
        self.on_unhandled = Report(Some(Arc::new(handler)));
        self
    }

    /// The settings, with defaults where none is set.
    pub(crate) fn settings(self) -> Settings {
        // An unknown number of cores counts as one.
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        Settings {
            max_threads: self.max_threads.unwrap_or(MOST_THREADS.min(cores + 4)),
            keep_alive: self.keep_alive.unwrap_or(KEEP_ALIVE),
            name: self.name.unwrap_or_else(|| "asyncio".to_owned()),
            stack_size: self.stack_size,
            queue_limit: self.queue_limit,
            on_start: self.on_start,
            on_stop: self.on_stop,
            on_unhandled: self.on_unhandled,
            may_spin: cores > 1,
        }
    }
}

impl Settings {
    /// Calls foreign code, and reports its panic to `home`.
    pub(crate) fn quietly(
        &self,
        home: Option<&LoopHandle>,
        message: &'static str,
        call: impl FnOnce(),
    ) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(call)) {
            let cause = Cause::Panic(PanicPayload::new(payload));
            self.report(home, message, cause);
        }
    }

    /// Reports a panic or error that no task awaits, to the pool's handler. Without one, to that of the loop on which
    /// the job was started.
    pub(crate) fn report(&self, home: Option<&LoopHandle>, message: &'static str, cause: Cause) {
        if let Some(handler) = &self.on_unhandled.0 {
            let report = Unhandled::new(message, None, cause);
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| handler(&report))) {
                default_exception_handler(&report);
                let cause = Cause::Panic(PanicPayload::new(payload));
                default_exception_handler(&Unhandled::new(
                    "the handler of a thread pool panicked",
                    None,
                    cause,
                ));
            }
            return;
        }
        let tell = move || call_exception_handler(&Unhandled::new(message, None, cause));
        match home {
            Some(home) if !home.is_here() => {
                // The loop is gone: it is told here.
                if let Err(closed) = home.call_soon_threadsafe(tell) {
                    (closed.0)();
                }
            }
            _ => tell(),
        }
    }
}

impl Handler {
    pub(crate) fn call(&self) {
        if let Some(handler) = &self.0 {
            handler();
        }
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "set" } else { "none" })
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "set" } else { "none" })
    }
}
