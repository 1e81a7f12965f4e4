//! Running a program: a loop, a main task, Ctrl-C, SIGTERM, and an orderly end.

use std::cell::Cell;
use std::io;
use std::panic::Location;

use asyncio_task::{JoinError, SpawnOptions, TaskRef, TaskState};

use crate::builder::Builder;
use crate::ctrl_c::{self, CtrlC, StopSignals};
use crate::event_loop::EventLoop;
use crate::limits::Limits;
use crate::loop_handle::LoopHandle;

/// Runs `main` on a new event loop and returns its value, after all other tasks have ended.
///
/// `main` may borrow, because it is dropped before this returns. Tasks that are left are then
/// cancelled and waited for. This is repeated for tasks that they spawn, three times in all.
///
/// Ctrl-C on the program's main thread cancels `main`, so that it can clean up. A second Ctrl-C
/// ends the process at once. If `main` ends cancelled by Ctrl-C, the process ends by SIGINT after
/// closing the loop.
///
/// ```
/// # mod asyncio { pub use asyncio_loop::*; }
/// let names = vec!["ada", "grace"];
/// let greeting = asyncio::run(async {
///     let together = asyncio::spawn(async { "hello" }).await.unwrap();
///     format!("{together} {}", names.join(" and "))
/// });
/// assert_eq!(greeting, "hello ada and grace");
/// ```
///
/// # Panics
///
/// A panic of `main` is resumed here, after closing the loop. Also panics if a loop already runs on
/// this thread, if anything other than Ctrl-C cancels `main`, or if the system provides no
/// selector.
#[track_caller]
#[doc(alias("asyncio.run", "block_on"))]
pub fn run<F: Future>(main: F) -> F::Output {
    run_with(Builder::default(), main)
}

/// Runs `main` like [`run`], on a loop with the settings of `builder`.
///
/// # Panics
///
/// Those of [`run`].
#[track_caller]
pub fn run_with<F: Future>(builder: Builder, main: F) -> F::Output {
    let mut runner = match builder.build() {
        Ok(runner) => runner,
        Err(error) => panic!("cannot create an event loop: {error}"),
    };
    let result = runner.run(main);
    let interrupted = runner.interrupted_by();
    drop(runner);
    conclude(result, interrupted)
}

/// Returns the value of a main task, or ends as [`run`] does: by the panic of the task, or by the signal that cancelled
/// it. For a program that runs its main task by a [`Guest`](crate::Guest) or a [`Runner`], after the loop is closed.
///
/// # Panics
///
/// With the panic of the main task, or if anything other than a signal has ended it.
#[track_caller]
pub fn conclude<T>(outcome: Result<T, JoinError>, interrupted_by: Option<i32>) -> T {
    match (outcome, interrupted_by) {
        (Ok(output), _) => output,
        (Err(JoinError::Cancelled(..)), Some(signal)) => ctrl_c::end_process(signal),
        (Err(JoinError::Panicked(_, payload)), _) => payload.resume(),
        (Err(error), _) => panic!("{error}"),
    }
}

/// Runs a test like [`run_with`], within limits of real and virtual time.
///
/// # Panics
///
/// Those of [`run`]. If the run or closing exceeds a limit, with the reason and a list of the
/// tasks. If the exception handler was called, unless the test has one of its own or has taken the
/// reports.
pub(crate) fn run_limited<F: Future>(
    builder: Builder,
    limits: Limits,
    location: &'static Location<'static>,
    main: F,
) -> F::Output {
    let mut runner = match builder.with_limits(limits).build() {
        Ok(runner) => runner,
        Err(error) => panic!("cannot create an event loop: {error}"),
    };
    let reports = runner.event_loop.collect_reports();
    let result = runner.run_from(location, main);
    let failure = runner.event_loop.close_with_failure();
    match (result, failure) {
        (Err(JoinError::Panicked(_, payload)), failure) => {
            if let Some(failure) = failure {
                eprintln!("while the event loop closed after a panic, {failure}");
            }
            payload.resume()
        }
        (_, Some(failure)) => panic!("{failure}"),
        _ if !reports.borrow().is_empty() => panic!(
            "the exception handler was called in this test, so the test fails:\n{}\n\
             a test that expects such a report takes it, by `asyncio::testing::take_reports()`",
            reports.take().join("\n")
        ),
        (Ok(output), None) => output,
        (Err(error), None) => panic!("{error}"),
    }
}

/// Runs several main tasks, one after the other, on one loop and in one context. A main task sees
/// the context variables that an earlier one has set. Tasks that it leaves behind continue in the
/// next run.
///
/// ```
/// # mod asyncio { pub use asyncio_loop::*; }
/// use asyncio::{Runner, spawn};
///
/// let mut runner = Runner::new()?;
/// let background = runner.run(async { spawn(async { 1 }) })?;
/// assert_eq!(runner.run(background)??, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Runner {
    event_loop: EventLoop,
    stop_signals: StopSignals,
    interrupted: Cell<Option<i32>>,
}

impl Runner {
    /// Creates a runner with the default settings.
    ///
    /// # Errors
    ///
    /// The system's error, if it provides no selector.
    pub fn new() -> io::Result<Self> {
        Builder::default().build()
    }

    /// Returns a builder for the settings of a runner.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn with(builder: Builder) -> io::Result<Self> {
        let stop_signals = builder.stop_signals();
        let event_loop = EventLoop::with(builder)?;
        Ok(Self {
            event_loop,
            stop_signals,
            interrupted: Cell::new(None),
        })
    }

    /// Runs `main` to its end. It may borrow, because it is dropped before this returns.
    ///
    /// On the program's main thread Ctrl-C cancels `main`; see
    /// [`was_interrupted`](Self::was_interrupted).
    ///
    /// # Errors
    ///
    /// [`JoinError`] if `main` was cancelled or panicked, or if the loop was
    /// [stopped](LoopHandle::stop).
    ///
    /// # Panics
    ///
    /// If a loop already runs on this thread, or if the runner is closed.
    #[track_caller]
    pub fn run<F: Future>(&mut self, main: F) -> Result<F::Output, JoinError> {
        self.run_from(Location::caller(), main)
    }

    /// Runs `main`, which counts as spawned at `location`.
    #[track_caller]
    fn run_from<F: Future>(
        &mut self,
        location: &'static Location<'static>,
        main: F,
    ) -> Result<F::Output, JoinError> {
        self.interrupted.set(None);
        let context = self.event_loop.base_context();
        let options = SpawnOptions::new().context(context).location(location);
        let listening = CtrlC::listen(self.event_loop.reactor(), self.stop_signals);
        let interrupted = &self.interrupted;
        let watch = |main: &TaskRef| {
            if let Some(signal) = listening.as_ref().and_then(CtrlC::arrived) {
                interrupted.set(interrupt(main, signal));
            }
        };
        self.event_loop.run_watched(options, main, watch)
    }

    /// Whether Ctrl-C or [SIGTERM](Builder::sigterm), and nothing before it, cancelled the last main
    /// task.
    #[must_use]
    pub fn was_interrupted(&self) -> bool {
        self.interrupted.get().is_some()
    }

    /// The number of the signal that cancelled the last main task, if nothing else did before.
    #[must_use]
    pub fn interrupted_by(&self) -> Option<i32> {
        self.interrupted.get()
    }

    /// The loop.
    #[must_use]
    #[doc(alias = "get_loop")]
    pub fn event_loop(&self) -> &EventLoop {
        &self.event_loop
    }

    /// Returns a handle of the loop, for any thread.
    #[must_use]
    pub fn handle(&self) -> LoopHandle {
        self.event_loop.handle()
    }

    /// Closes the loop, like [`EventLoop::close`]. Dropping the runner does the same.
    pub fn close(&mut self) {
        self.event_loop.close();
    }
}

/// Cancels `main`, as a signal has arrived. Returns the signal, unless `main` ends by an earlier request.
pub(crate) fn interrupt(main: &TaskRef, signal: i32) -> Option<i32> {
    let by_signal = main.info().state != TaskState::Cancelling;
    (main.cancel() && by_signal).then_some(signal)
}

impl Builder {
    /// Creates the runner.
    ///
    /// # Errors
    ///
    /// The system's error, if it provides no selector.
    pub fn build(self) -> io::Result<Runner> {
        Runner::with(self)
    }
}
