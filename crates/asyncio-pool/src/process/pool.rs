//! A pool of worker processes.

use std::ffi::OsString;
use std::fmt;
use std::future::poll_fn;
use std::num::NonZero;
use std::path::PathBuf;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_loop::running_loop;
use asyncio_task::StepBack;
use serde::Serialize;

use super::call::{Call, Waiting};
use super::chunk::{Answer, Chunk};
use super::crew::{Crew, Settings};
use super::error::ProcessError;
use super::frame::{Kind, encode, write_behind};
use super::job::ProcessJob;
use super::link::Program;
use super::remote::RemoteFn;
use crate::thread_pool::Pending;

/// The default limit of a message, in bytes.
const MESSAGE_LIMIT: usize = 64 * 1024 * 1024;

/// The default time in which a program becomes a worker.
const START_TIMEOUT: Duration = Duration::from_secs(1);

/// Worker processes, for calls that need a core of their own, may crash, or may take too much memory.
///
/// Each worker is this program, started once and kept. The functions for workers have the attribute
/// `#[asyncio::remote]`. Their arguments and values are sent with [`serde`]. The program's `main` has
/// `#[asyncio::main]`, or calls [`run_if_worker`](crate::run_if_worker) first.
///
/// ```ignore
/// #[asyncio::remote]
/// fn crunch(n: u64) -> u64 {
///     (1..=n).sum()
/// }
///
/// #[asyncio::main]
/// async fn main() -> Result<(), asyncio::ProcessError> {
///     let pool = asyncio::ProcessPool::new();
///     assert_eq!(pool.run(crunch, 10).await?, 55);
///     Ok(())
/// }
/// ```
///
/// - A worker that is killed, aborts, exits or runs out of memory fails the call that it runs, and no other. It is
///   replaced. A panic is an error of its call, and the worker goes on.
/// - Workers end with their parent, even if it is killed.
/// - They inherit standard output, standard error, and each descriptor of this program that is not close-on-exec.
///   Rust's standard library and asyncio set close-on-exec on all of theirs. C libraries and the program's own parent
///   may not. Workers keep such a descriptor open: the reader of a pipe, for example, then sees no end of it.
/// - Calls begin in the order in which they were made.
///
/// In tests, this program is the test binary, and its `main` belongs to the test harness. A call there gives
/// [`ProcessError::NotAWorker`]. There are two ways: the test has `harness = false` in `Cargo.toml` and a `main` of its
/// own. Or [`program`](ProcessPoolBuilder::program) names a binary of the package, as `env!("CARGO_BIN_EXE_name")`,
/// with the remote functions in the package's library.
///
/// A pool belongs to its thread. Clones are the same pool. The drop of the last clone shuts the pool down, and calls
/// that were made before still run. Workers that have not ended when the loop is closed are killed.
#[derive(Clone)]
#[doc(alias = "ProcessPoolExecutor")]
pub struct ProcessPool {
    owner: Rc<Owner>,
}

/// The part of a pool that its clones share.
struct Owner {
    crew: Rc<Crew>,
}

/// Options of a [`ProcessPool`], from [`ProcessPool::builder`].
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until a pool is built with it"]
pub struct ProcessPoolBuilder {
    workers: Option<usize>,
    max_tasks: Option<usize>,
    memory_limit: Option<u64>,
    time_limit: Option<Duration>,
    message_limit: Option<usize>,
    start_timeout: Option<Duration>,
    kill_on_cancel: bool,
    program: Program,
}

impl ProcessPool {
    /// A pool with the default options. No process is started yet.
    #[must_use]
    #[allow(
        clippy::new_without_default,
        reason = "a pool is not a value without content"
    )]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Options for a pool.
    pub fn builder() -> ProcessPoolBuilder {
        ProcessPoolBuilder::default()
    }

    fn crew(&self) -> &Rc<Crew> {
        &self.owner.crew
    }

    /// Calls `function` in a worker process. A single argument is given as it is, none as `()`, several as a tuple. The
    /// call needs no await to run. A worker is started if all are busy and the pool may have more. (A large buffer is
    /// sent faster as `serde_bytes::ByteBuf` than as `Vec<u8>`, which serde writes byte by byte.)
    ///
    /// # Cancellation
    ///
    /// A call that has not begun is cancelled. A call that has begun runs on, or its worker is killed. See
    /// [`ProcessJob`].
    ///
    /// # Panics
    ///
    /// If the function has no `#[asyncio::remote]`, and without a running loop.
    #[track_caller]
    #[doc(alias = "submit")]
    pub fn run<F, A, K>(&self, function: F, arguments: A) -> ProcessJob<F::Value>
    where
        F: RemoteFn<A, K>,
        A: Serialize,
    {
        let _here = running_loop();
        // Its type has told all there is to know of it.
        let _ = function;
        let crew = self.crew();
        let fails = |error| ProcessJob::new(Call::failed(error), crew.clone());
        if let Some(error) = crew.refusal() {
            return fails(error);
        }
        let limit = crew.settings.message_limit;
        let address = crew.addresses().of::<F>();
        match encode(Kind::Call, &[address], &arguments, limit) {
            Err(error) => fails(ProcessError::BadArguments(error.tell(limit))),
            Ok(frame) => {
                let call = Call::new(frame);
                crew.enter(call.clone());
                ProcessJob::new(call, crew.clone())
            }
        }
    }

    /// A chunk for calls of `F`.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    #[track_caller]
    pub(crate) fn new_chunk<F: 'static>(&self) -> Chunk {
        let crew = self.crew();
        Chunk::new(crew.addresses().of::<F>(), crew.settings.message_limit)
    }

    /// The arguments of a call of a chunk, written.
    pub(crate) fn write_arguments<A: Serialize>(
        &self,
        arguments: &A,
    ) -> Result<Vec<u8>, ProcessError> {
        let limit = self.crew().settings.message_limit;
        let written = write_behind(Vec::new(), arguments, limit);
        written.map_err(|error| ProcessError::BadArguments(error.tell(limit)))
    }

    /// Makes the calls of a chunk in a worker process.
    pub(crate) fn run_chunk(&self, chunk: Chunk) -> ProcessJob<Vec<Answer>> {
        let crew = self.crew();
        let call = match crew.refusal() {
            Some(error) => Call::failed(error),
            None => {
                let call = Call::new(chunk.into_frame());
                crew.enter(call.clone());
                call
            }
        };
        ProcessJob::new(call, crew.clone())
    }

    /// Starts all workers and waits until they are ready. Without this, workers are started when calls need them.
    ///
    /// # Cancellation
    ///
    /// The workers start all the same.
    ///
    /// # Errors
    ///
    /// The error of a worker that could not be started.
    ///
    /// # Panics
    ///
    /// Without a running loop.
    pub async fn start_workers(&self) -> Result<(), ProcessError> {
        let _here = running_loop();
        let crew = self.crew();
        crew.start_all();
        self.watch(|| {
            let started = crew.poll_started();
            if started.is_pending() {
                // Only one is started before it has said hello.
                crew.start_all();
            }
            started
        })
        .await
    }

    /// Shuts the pool down: it refuses further calls, and its workers end when no call is left. Does not wait. A second
    /// call with [`Pending::Cancel`] cancels the calls that the first one left.
    pub fn shutdown(&self, pending: Pending) {
        self.crew().shut_down(pending == Pending::Cancel);
    }

    /// Whether the pool is shut down.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.crew().is_closed()
    }

    /// Waits until the pool is shut down and all its workers have ended.
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    pub async fn wait_closed(&self) {
        let crew = self.crew();
        self.watch(|| match crew.has_ended() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    /// Waits until `look` is ready, and looks at each change of the crew.
    async fn watch<R>(&self, mut look: impl FnMut() -> Poll<R>) -> R {
        StepBack::new().await;
        let watching = Watching::begin(self.crew());
        poll_fn(|cx: &mut Context<'_>| {
            watching.waiting.wait(cx);
            look()
        })
        .await
    }

    /// The maximum number of workers.
    #[must_use]
    pub fn max_workers(&self) -> usize {
        self.crew().settings.workers
    }

    /// The number of workers, with those that are starting or ending.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.crew().counts().workers
    }

    /// The number of workers that wait for a call.
    #[must_use]
    pub fn idle_workers(&self) -> usize {
        self.crew().counts().idle
    }

    /// The process ids of the workers.
    #[must_use]
    pub fn worker_ids(&self) -> Vec<u32> {
        self.crew().ids()
    }

    /// The number of calls that have not begun.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.crew().counts().waiting
    }
}

/// A task that waits for a change of the crew.
struct Watching<'a> {
    crew: &'a Crew,
    waiting: Rc<Waiting>,
}

impl<'a> Watching<'a> {
    fn begin(crew: &'a Crew) -> Self {
        let waiting = Rc::new(Waiting::default());
        crew.watch(&waiting);
        Self { crew, waiting }
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.crew.watch_no_longer(&self.waiting);
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.crew.shut_down(false);
    }
}

impl ProcessPoolBuilder {
    /// Sets the maximum number of workers, at least 1. The default is the number of processors that the process may
    /// use. Workers are started when calls need them.
    #[doc(alias = "max_workers")]
    pub fn workers(mut self, processes: usize) -> Self {
        self.workers = Some(processes.max(1));
        self
    }

    /// Sets the number of calls after which a worker ends and is replaced, at least 1. By default workers are kept.
    #[doc(alias = "max_tasks_per_child")]
    pub fn max_tasks_per_worker(mut self, calls: usize) -> Self {
        self.max_tasks = Some(calls.max(1));
        self
    }

    /// Sets the address space that a worker may take, in bytes (`RLIMIT_AS`). It includes the program, libraries and
    /// stacks, which take some tens of megabytes. An allocation beyond the limit fails, which as a rule aborts the
    /// worker. Not enforced on macOS.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    /// Sets how long a call may take after it was sent to a worker. Then the worker is killed, and the call gives
    /// [`ProcessError::TimeLimit`]. By default there is no limit.
    pub fn job_time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }

    /// Sets whether a worker is killed when the call that it runs is cancelled, or the handle of the call is dropped.
    /// The default is `false`.
    pub fn kill_on_cancel(mut self, on: bool) -> Self {
        self.kill_on_cancel = on;
        self
    }

    /// Sets the maximum size of serialized arguments and values, in bytes, at most 2 GiB. The default is 64 MiB.
    pub fn message_limit(mut self, bytes: usize) -> Self {
        self.message_limit = Some(bytes.min(i32::MAX as usize));
        self
    }

    /// Sets how long the program may take to become a worker when it is first started. The default is 1 s. A program
    /// that has not called [`run_if_worker`](crate::run_if_worker) by then is killed, and all calls give
    /// [`ProcessError::NotAWorker`]. After the first worker of a pool, further ones may take 30 s.
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.start_timeout = Some(limit);
        self
    }

    /// Sets the program to start as a worker, in place of this one. It must have the same remote functions.
    pub fn program(mut self, path: impl Into<PathBuf>) -> Self {
        self.program.path = Some(path.into());
        self
    }

    /// Adds an argument for the program. By default there are none.
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.program.arguments.push(argument.into());
        self
    }

    /// Adds an environment variable for the program, which has those of this one.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.program.environment.push((name.into(), value.into()));
        self
    }

    /// Makes the pool. No process is started yet.
    #[must_use]
    pub fn build(self) -> ProcessPool {
        // An unknown number of processors counts as one.
        let processors = || std::thread::available_parallelism().map_or(1, NonZero::get);
        let crew = Crew::new(Settings {
            workers: self.workers.unwrap_or_else(processors),
            max_tasks: self.max_tasks,
            memory_limit: self.memory_limit,
            time_limit: self.time_limit,
            message_limit: self.message_limit.unwrap_or(MESSAGE_LIMIT),
            start_timeout: self.start_timeout.unwrap_or(START_TIMEOUT),
            kill_on_cancel: self.kill_on_cancel,
            program: self.program,
        });
        ProcessPool {
            owner: Rc::new(Owner { crew }),
        }
    }
}

impl fmt::Debug for ProcessPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.crew().counts();
        f.debug_struct("ProcessPool")
            .field("workers", &counts.workers)
            .field("idle", &counts.idle)
            .field("pending", &counts.waiting)
            .field("closed", &self.is_closed())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_is_over_leaves_nothing() {
        let pool = ProcessPool::builder().build();
        let [first, second, third] = [(); 3].map(|()| Watching::begin(pool.crew()));
        let waits = [&first, &second, &third].map(|watching| Rc::downgrade(&watching.waiting));
        drop(second);
        let are_there = waits.map(|wait| wait.strong_count());
        assert_eq!(are_there, [2, 0, 2], "those of the others are in the crew");
    }
}
