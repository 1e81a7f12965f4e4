//! A guest: a main task on a loop that a host turns, from its first turn to the end of closing.

use std::fmt;
use std::io;
use std::mem;
use std::ops::ControlFlow;
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::Location;
use std::time::Duration;

use asyncio_task::{JoinError, SpawnOptions, Task, TaskRef};

use crate::builder::Builder;
use crate::core::Core;
use crate::ctrl_c::CtrlC;
use crate::event_loop::EventLoop;
use crate::hosted::Next;
use crate::loop_handle::LoopHandle;
use crate::runner::interrupt;

/// A main task on a loop of its own, which a host turns: [`run`](crate::run) in steps.
///
/// The host is a program that owns the thread and waits by itself. It calls [`turn`](Self::turn) until that returns the
/// outcome. The last turns close the loop: they cancel the tasks that are left and wait for them, as `run` does.
/// Nothing here blocks the host.
///
/// ```
/// # mod asyncio { pub use asyncio_loop::*; }
/// use asyncio::{Guest, Next, sleep};
/// use std::ops::ControlFlow;
/// use std::time::{Duration, Instant};
///
/// let mut guest = Guest::new(async {
///     sleep(Duration::from_millis(5)).await;
///     "the value of main"
/// })?;
/// // The host: sixty times a second it draws, and gives the rest of the frame to its guest.
/// let frame = Duration::from_micros(16_667);
/// let value = 'program: loop {
///     let end = Instant::now() + frame;
///     loop {
///         match guest.turn(true, || Instant::now() >= end) {
///             ControlFlow::Continue(Next::Now) if Instant::now() < end => {}
///             ControlFlow::Continue(_) => break,
///             ControlFlow::Break(outcome) => break 'program outcome?,
///         }
///     }
///     std::thread::sleep(end.saturating_duration_since(Instant::now()));
/// };
/// assert_eq!(value, "the value of main");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Dropping
///
/// A guest that is dropped before its end closes its loop without waiting. Its tasks may wait for the host, and the
/// host does not run meanwhile. The futures are dropped, so cleanups that await are lost. The exception handler
/// receives a report of each task.
#[must_use = "a guest does nothing unless it is turned"]
pub struct Guest<T> {
    event_loop: EventLoop,
    state: State<T>,
    main: TaskRef,
    ctrl_c: Option<CtrlC>,
    interrupted_by: Option<i32>,
}

/// How far the guest has come.
enum State<T> {
    Running(Task<T>),
    Closing(Result<T, JoinError>),
    Over,
}

impl<T: 'static> Guest<T> {
    /// Creates a guest with the default settings, except that Ctrl-C does not cancel `main`: the host handles it.
    ///
    /// # Errors
    ///
    /// The system's error, if it provides no selector.
    #[track_caller]
    pub fn new<F>(main: F) -> io::Result<Self>
    where
        F: Future<Output = T> + 'static,
    {
        Self::with(Builder::default().ctrl_c(false), main)
    }

    /// Creates a guest on a loop with the settings of `builder`. Unless [`Builder::ctrl_c`] is switched off, Ctrl-C
    /// cancels `main` as it does in [`run`](crate::run), but the process does not end with the guest: see
    /// [`interrupted_by`](Self::interrupted_by).
    ///
    /// # Errors
    ///
    /// The system's error, if it provides no selector.
    #[track_caller]
    pub fn with<F>(builder: Builder, main: F) -> io::Result<Self>
    where
        F: Future<Output = T> + 'static,
    {
        Self::at(Location::caller(), builder, main)
    }

    /// Creates a guest whose main task counts as spawned at `location`. A building block.
    ///
    /// # Errors
    ///
    /// Those of [`with`](Self::with).
    #[doc(hidden)]
    pub fn at<F>(
        location: &'static Location<'static>,
        builder: Builder,
        main: F,
    ) -> io::Result<Self>
    where
        F: Future<Output = T> + 'static,
    {
        let stop_signals = builder.stop_signals();
        let event_loop = EventLoop::with(builder)?;
        let options = SpawnOptions::new()
            .context(event_loop.base_context())
            .location(location);
        let task = event_loop.core().tasks.spawn_with(options, main);
        Ok(Self {
            ctrl_c: CtrlC::listen(event_loop.reactor(), stop_signals),
            main: task.as_ref(),
            state: State::Running(task),
            interrupted_by: None,
            event_loop,
        })
    }

    /// Runs one turn, like [`EventLoop::turn`]. `Break` has the outcome of `main`, once the loop is closed. A later
    /// call is a panic.
    ///
    /// # Errors
    ///
    /// [`JoinError`] if `main` was cancelled or panicked, or if the loop was [stopped](LoopHandle::stop).
    ///
    /// # Panics
    ///
    /// Those of [`EventLoop::turn`], and after the end of the guest.
    #[track_caller]
    pub fn turn(
        &mut self,
        look: bool,
        enough: impl Fn() -> bool,
    ) -> ControlFlow<Result<T, JoinError>, Next> {
        if let State::Running(_) = self.state {
            return ControlFlow::Continue(self.turn_main(look, enough));
        }
        match mem::replace(&mut self.state, State::Over) {
            State::Closing(outcome) => match self.event_loop.close_turn(look, enough) {
                Some(next) => {
                    self.state = State::Closing(outcome);
                    ControlFlow::Continue(next)
                }
                None => {
                    self.fail_test(&outcome);
                    ControlFlow::Break(outcome)
                }
            },
            State::Running(_) | State::Over => panic!("a guest was turned again after its end"),
        }
    }

    /// Runs a turn while `main` runs. It leaves the state in its place, which may be as large as the value of `main`.
    #[track_caller]
    fn turn_main(&mut self, look: bool, enough: impl Fn() -> bool) -> Next {
        self.heed_signals();
        let is_over = || self.main.is_finished();
        let next = self.event_loop.turn_until(look, enough, is_over);
        match self.outcome() {
            None => next,
            Some(outcome) => {
                self.state = State::Closing(outcome);
                self.ctrl_c = None;
                Next::Now
            }
        }
    }

    /// The outcome of `main`, if it has ended or may not go on.
    fn outcome(&mut self) -> Option<Result<T, JoinError>> {
        if self.main.is_finished() {
            self.event_loop.end_main();
            let State::Running(main) = &mut self.state else {
                return None;
            };
            return main.try_take();
        }
        let has_stopped = self.event_loop.take_stopped();
        let is_late = self.event_loop.core().has_exceeded_limits();
        // The task is cancelled with its handle, and closing waits for it.
        (has_stopped || is_late).then(|| Err(JoinError::Stopped(self.main.name())))
    }
}

impl<T> Guest<T> {
    /// The main task, to cancel it or to ask for its state. Between turns [`TaskRef::cancel`] wakes the host.
    #[must_use]
    pub fn main(&self) -> &TaskRef {
        &self.main
    }

    /// The loop, for the callbacks of the host: [`EventLoop::spawn`] and [`EventLoop::call_soon`] wake the host.
    #[must_use]
    pub fn event_loop(&self) -> &EventLoop {
        &self.event_loop
    }

    /// Returns a handle of the loop, for any thread.
    #[must_use]
    pub fn handle(&self) -> LoopHandle {
        self.event_loop.handle()
    }

    /// The number of the signal that cancelled `main`, if nothing else did before: Ctrl-C, or
    /// [SIGTERM](Builder::sigterm). A program whose guest ends in this way should end by the signal, as
    /// [`run`](crate::run) does; [`conclude`](crate::conclude) does it.
    #[must_use]
    pub fn interrupted_by(&self) -> Option<i32> {
        self.interrupted_by
    }

    /// Panics if a test has exceeded its limits. If its main task has panicked, that panic is the outcome.
    fn fail_test(&mut self, outcome: &Result<T, JoinError>) {
        match (outcome, self.event_loop.take_failure()) {
            (_, None) => {}
            (Err(JoinError::Panicked(..)), Some(failure)) => {
                eprintln!("while the event loop closed after a panic, {failure}");
            }
            (_, Some(failure)) => panic!("{failure}"),
        }
    }

    fn heed_signals(&mut self) {
        if let Some(signal) = self.ctrl_c.as_ref().and_then(CtrlC::arrived) {
            self.interrupted_by = interrupt(&self.main, signal);
        }
    }
}

/// The descriptor of the loop, until the guest has ended: see [`EventLoop`](EventLoop#impl-AsFd-for-EventLoop).
#[cfg(unix)]
impl<T> AsFd for Guest<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event_loop.as_fd()
    }
}

impl<T> Drop for Guest<T> {
    fn drop(&mut self) {
        self.ctrl_c = None;
        // Before the handle of main, whose drop would make a request that is never delivered.
        self.event_loop.close_within(Duration::ZERO);
    }
}

impl<T> fmt::Debug for Guest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest")
            .field("main", &self.main)
            .field("event_loop", &self.event_loop)
            .finish_non_exhaustive()
    }
}

impl EventLoop {
    /// Runs the callbacks that `main` scheduled last, as in asyncio.
    fn end_main(&mut self) {
        let core: &Core = self.core();
        core.host(|| core.end_main());
    }
}
