//! Running a program: a loop, a main task, Ctrl-C, and an orderly end.

use std::cell::Cell;
use std::io;
use std::panic::Location;

use asyncio_task::{JoinError, SpawnOptions, TaskRef, TaskState};

use crate::builder::Builder;
use crate::ctrl_c::{self, CtrlC};
use crate::event_loop::EventLoop;
use crate::limits::Limits;
use crate::loop_handle::LoopHandle;

/// Runs `main` on a new event loop and gives what it returned, after everything else has ended.
///
/// `main` may borrow; it is gone before this returns. The tasks that are left then are cancelled and
/// waited for, and so is what they spawn meanwhile, three times over. Ctrl-C on the program's main thread
/// cancels `main`, so that it can end in order, and a second one ends the process at once; if `main` ends
/// cancelled by Ctrl-C, so does the process, by SIGINT, after closing.
///
/// ```
/// let names = vec!["ada", "grace"];
/// let greeting = asyncio_loop::run(async {
///     let together = asyncio_loop::spawn(async { "hello" }).await.unwrap();
///     format!("{together} {}", names.join(" and "))
/// });
/// assert_eq!(greeting, "hello ada and grace");
/// ```
///
/// # Panics
///
/// If `main` panics, that panic goes on here, after closing. If a loop runs on this thread already, if
/// `main` is cancelled by something else than Ctrl-C, or if the operating system gives no selector.
#[track_caller]
#[doc(alias = "asyncio.run")]
pub fn run<F: Future>(main: F) -> F::Output {
    run_with(Builder::default(), main)
}

/// [`run`], on a loop that is set up by `builder`.
///
/// # Panics
///
/// As [`run`].
#[track_caller]
pub fn run_with<F: Future>(builder: Builder, main: F) -> F::Output {
    let mut runner = match builder.build() {
        Ok(runner) => runner,
        Err(error) => panic!("no event loop could be made: {error}"),
    };
    let result = runner.run(main);
    let interrupted = runner.was_interrupted();
    drop(runner);
    match result {
        Ok(output) => output,
        Err(JoinError::Cancelled(..)) if interrupted => ctrl_c::end_process(),
        Err(JoinError::Panicked(_, payload)) => payload.resume(),
        Err(error) => panic!("{error}"),
    }
}

/// [`run_with`], for a test: within limits of real and virtual time.
///
/// # Panics
///
/// As [`run`], and if the run or the closing exceeds a limit: with what went wrong and a list of the tasks.
pub(crate) fn run_limited<F: Future>(
    builder: Builder,
    limits: Limits,
    location: &'static Location<'static>,
    main: F,
) -> F::Output {
    let mut runner = match builder.limited(limits).build() {
        Ok(runner) => runner,
        Err(error) => panic!("no event loop could be made: {error}"),
    };
    let result = runner.run_from(location, main);
    let failure = runner.event_loop.close_and_tell();
    match (result, failure) {
        (Err(JoinError::Panicked(_, payload)), failure) => {
            if let Some(failure) = failure {
                eprintln!("while the event loop closed after a panic, {failure}");
            }
            payload.resume()
        }
        (_, Some(failure)) => panic!("{failure}"),
        (Ok(output), None) => output,
        (Err(error), None) => panic!("{error}"),
    }
}

/// Runs several main tasks, one after the other, on one loop and in one context: what one sets in
/// context variables, the next one sees, and tasks that one leaves behind go on with the next.
///
/// ```
/// let mut runner = asyncio_loop::Runner::new()?;
/// let background = runner.run(async { asyncio_loop::spawn(async { 1 }) })?;
/// assert_eq!(runner.run(background)??, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Runner {
    event_loop: EventLoop,
    ctrl_c: bool,
    interrupted: Cell<bool>,
}

impl Runner {
    /// A runner with the usual settings.
    ///
    /// # Errors
    ///
    /// The operating system gave no selector.
    pub fn new() -> io::Result<Self> {
        Builder::default().build()
    }

    /// To set a runner up before making it.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn with(builder: Builder) -> io::Result<Self> {
        // A program on virtual time is a test, and ends like any other program.
        let ctrl_c = builder.ctrl_c && !builder.virtual_time;
        let event_loop = EventLoop::with(builder)?;
        Ok(Self {
            event_loop,
            ctrl_c,
            interrupted: Cell::new(false),
        })
    }

    /// Runs `main` to its end. It may borrow: it is gone when this returns.
    ///
    /// On the program's main thread Ctrl-C cancels it, and [`was_interrupted`](Self::was_interrupted)
    /// tells afterwards.
    ///
    /// # Errors
    ///
    /// [`JoinError`]: it was cancelled, it panicked, or the loop was [stopped](LoopHandle::stop).
    ///
    /// # Panics
    ///
    /// If a loop runs on this thread already, or if this one is closed.
    #[track_caller]
    pub fn run<F: Future>(&mut self, main: F) -> Result<F::Output, JoinError> {
        self.run_from(Location::caller(), main)
    }

    /// [`run`](Self::run), with the place that `main` is said to come from.
    #[track_caller]
    fn run_from<F: Future>(
        &mut self,
        location: &'static Location<'static>,
        main: F,
    ) -> Result<F::Output, JoinError> {
        self.interrupted.set(false);
        let context = self.event_loop.base_context();
        let options = SpawnOptions::new().context(context).location(location);
        let listening = if self.ctrl_c {
            CtrlC::listen(self.event_loop.reactor())
        } else {
            None
        };
        let interrupted = &self.interrupted;
        let watch = |main: &TaskRef| {
            if listening.as_ref().is_some_and(CtrlC::was_pressed) {
                // If the program had asked main to end before, it ends for the program's reasons.
                let by_us = main.info().state != TaskState::Cancelling;
                interrupted.set(main.cancel() && by_us);
            }
        };
        self.event_loop.run_watched(options, main, watch)
    }

    /// Whether Ctrl-C cancelled the last main task, and nothing else had before.
    #[must_use]
    pub fn was_interrupted(&self) -> bool {
        self.interrupted.get()
    }

    /// The loop.
    #[must_use]
    #[doc(alias = "get_loop")]
    pub fn event_loop(&self) -> &EventLoop {
        &self.event_loop
    }

    /// A handle of the loop, for any thread.
    #[must_use]
    pub fn handle(&self) -> LoopHandle {
        self.event_loop.handle()
    }

    /// Closes the loop: see [`EventLoop::close`]. Dropping the runner does the same.
    pub fn close(&mut self) {
        self.event_loop.close();
    }
}

impl Builder {
    /// Makes the runner.
    ///
    /// # Errors
    ///
    /// The operating system gave no selector.
    pub fn build(self) -> io::Result<Runner> {
        Runner::with(self)
    }
}
