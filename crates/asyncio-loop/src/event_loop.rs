//! The event loop: a thread's tasks, timers and reactor, and the means to run them.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use asyncio_reactor::Reactor;
use asyncio_task::{Context, JoinError, SpawnOptions, Task, TaskRef, Tasks, Unhandled};

use crate::attachments::Attachments;
use crate::builder::Builder;
use crate::clock::Clock;
use crate::core::{Core, Reported};
use crate::current;
use crate::exceptions;
use crate::handle::{Handle, TimerHandle};
use crate::limits::Limited;
use crate::loop_handle::LoopHandle;
use crate::shared::Shared;
use crate::spin::Spin;
use crate::timers::Timers;

/// One thread's event loop.
///
/// Most programs need none: [`run`](crate::run) makes one, and [`Runner`](crate::Runner) keeps one for
/// several runs. This is for those who want to hold it in their hands: to run it for a while, to stop
/// it, to run it again.
///
/// ```
/// use asyncio_loop::EventLoop;
///
/// let mut event_loop = EventLoop::new()?;
/// let sum = event_loop.run_until_complete(async {
///     let one = asyncio_loop::spawn(async { 1 });
///     one.await.unwrap() + 1
/// })?;
/// assert_eq!(sum, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Other processes
///
/// A program that is started while the loop exists (`std::process::Command`) gets none of its descriptors. A
/// process that is made by a bare `fork` shares them, and with them what the system tells about sockets: it
/// must not use the loop, nor drop it, before `exec` or `_exit`.
pub struct EventLoop {
    /// `None` once closed. Closing lets go of everything, so what is sent to the loop later comes back.
    core: Option<Box<Core>>,
    handle: LoopHandle,
}

impl EventLoop {
    /// A loop with the usual settings.
    ///
    /// # Errors
    ///
    /// The operating system gave no selector.
    pub fn new() -> io::Result<Self> {
        Builder::default().build_loop()
    }

    /// To set a loop up before making it.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn with(builder: Builder) -> io::Result<Self> {
        let reactor = Reactor::new()?;
        let unparker = reactor.unparker();
        let tasks = Tasks::new(move || unparker.unpark());
        let clock = if builder.virtual_time {
            Clock::virtual_time()
        } else {
            Clock::real()
        };
        let debug = builder.debug.unwrap_or_else(crate::debug::is_asked_for);
        exceptions::set_default(&tasks);
        let core = Core {
            shared: Arc::new(Shared::new(debug, clock.is_virtual())),
            timers: Rc::new(Timers::new(clock)),
            budget: builder.task_budget,
            looked: Cell::new(0),
            looks: Cell::new(0),
            spin: Spin::default(),
            is_first_turn: Cell::new(true),
            turn_is_over: Cell::new(false),
            stopping: Cell::new(false),
            reported: Reported::default(),
            return_by: Cell::new(None),
            limited: builder.limits.map(Limited::new),
            slow_step: Cell::new(builder.slow_step.unwrap_or(crate::debug::SLOW_STEP)),
            tasks,
            reactor,
            attachments: Attachments::default(),
        };
        if let Some(seed) = builder.order_seed {
            core.tasks.order_by(seed);
        }
        core.refresh_debug();
        core.reactor.rest();
        Ok(Self {
            handle: core.handle(),
            core: Some(Box::new(core)),
        })
    }

    /// What the loop is made of, for those who promise a panic if it is closed.
    #[track_caller]
    fn core(&self) -> &Core {
        self.core.as_deref().expect("the event loop is closed")
    }

    /// Runs the loop until `main` has ended, and gives what it returned. `main` may borrow: it is gone
    /// when this returns. What it spawned stays and goes on with the next run.
    ///
    /// # Errors
    ///
    /// [`JoinError`]: `main` was cancelled or panicked, or the loop was [stopped](LoopHandle::stop).
    ///
    /// # Panics
    ///
    /// If a loop runs on this thread already, or if this one is closed.
    #[track_caller]
    pub fn run_until_complete<F: Future>(&mut self, main: F) -> Result<F::Output, JoinError> {
        let options = SpawnOptions::new().location(Location::caller());
        self.run_watched(options, main, |_| ())
    }

    /// Runs the loop until it is [stopped](LoopHandle::stop).
    ///
    /// # Panics
    ///
    /// If a loop runs on this thread already, or if this one is closed.
    #[track_caller]
    pub fn run_forever(&mut self) {
        self.enter(|core| {
            loop {
                core.run_once(|| false);
                if core.has_stopped() {
                    return;
                }
            }
        });
    }

    /// Runs a main task, calling `watch` once a turn.
    #[track_caller]
    pub(crate) fn run_watched<F: Future>(
        &mut self,
        options: SpawnOptions,
        main: F,
        watch: impl Fn(&TaskRef),
    ) -> Result<F::Output, JoinError> {
        self.enter(|core| {
            core.tasks.run_until_complete(options, main, |main| {
                watch(main);
                core.run_once(|| main.is_finished());
                if main.is_finished() {
                    // What it scheduled last has its turn too, as in asyncio.
                    core.tasks.run_last_batch();
                }
                let stopped = core.has_stopped() || core.is_out_of_limits();
                main.is_finished() || !stopped
            })
        })
    }

    #[track_caller]
    fn enter<R>(&self, f: impl FnOnce(&Core) -> R) -> R {
        let core = self.core();
        assert!(
            current::try_with(|_| ()).is_err(),
            "an event loop runs on this thread already: await here instead of running another loop, or run it on a thread of its own"
        );
        core.enter(|| f(core))
    }

    /// Starts a task that will run when the loop does.
    ///
    /// # Panics
    ///
    /// If the loop is closed.
    #[track_caller]
    #[doc(alias = "create_task")]
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.core().tasks.spawn(future)
    }

    /// Has `callback` called once, after all that is ready now. See [`call_soon`](crate::call_soon).
    ///
    /// # Panics
    ///
    /// If the loop is closed.
    #[track_caller]
    pub fn call_soon(&self, callback: impl FnOnce() + 'static) -> Handle {
        self.core().call_soon(callback, Location::caller())
    }

    /// Has `callback` called once, when `delay` has passed. See [`call_later`](crate::call_later).
    ///
    /// # Panics
    ///
    /// If the loop is closed.
    #[track_caller]
    pub fn call_later(&self, delay: Duration, callback: impl FnOnce() + 'static) -> TimerHandle {
        let core = self.core();
        core.call_after(delay, callback, Location::caller())
    }

    /// Has `callback` called once, at `when`. See [`call_at`](crate::call_at).
    ///
    /// # Panics
    ///
    /// If the loop is closed.
    #[track_caller]
    pub fn call_at(&self, when: Instant, callback: impl FnOnce() + 'static) -> TimerHandle {
        self.core().call_at(when, callback, Location::caller())
    }

    /// What time it is on this loop.
    ///
    /// # Panics
    ///
    /// If the loop is closed.
    #[must_use]
    #[track_caller]
    pub fn time(&self) -> Instant {
        self.core().timers.clock.instant()
    }

    /// A handle of this loop, for any thread.
    #[must_use]
    pub fn handle(&self) -> LoopHandle {
        self.handle.clone()
    }

    #[track_caller]
    pub(crate) fn base_context(&self) -> Context {
        self.core().tasks.base_context().clone()
    }

    #[track_caller]
    pub(crate) fn reactor(&self) -> &Reactor {
        &self.core().reactor
    }

    /// All tasks that have not ended, oldest first.
    #[must_use]
    pub fn all_tasks(&self) -> Vec<TaskRef> {
        let core = self.core.as_deref();
        core.map(|core| core.tasks.all()).unwrap_or_default()
    }

    /// Sets who is told of panics and errors that nobody awaits, and of slow steps in debug mode.
    /// Without one, [`default_exception_handler`](crate::default_exception_handler) has them.
    ///
    /// # Panics
    ///
    /// If the loop is closed.
    #[track_caller]
    pub fn set_exception_handler(&self, handler: impl Fn(&Unhandled) + 'static) {
        self.core().tasks.on_unhandled(handler);
    }

    /// Whether debug mode is on.
    #[must_use]
    #[doc(alias = "get_debug")]
    pub fn debug(&self) -> bool {
        self.handle.debug()
    }

    /// Switches [debug mode](Builder::debug).
    pub fn set_debug(&self, on: bool) {
        if let Some(core) = &self.core {
            core.shared.debug.store(on, Ordering::Relaxed);
            core.refresh_debug();
        }
    }

    /// Sets how long a step may take before debug mode reports it; 100 ms at first.
    ///
    /// # Panics
    ///
    /// If the loop is closed.
    #[track_caller]
    #[doc(alias = "slow_callback_duration")]
    pub fn set_slow_step(&self, duration: Duration) {
        let core = self.core();
        core.slow_step.set(duration);
        core.refresh_debug();
    }

    /// Whether the loop is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.core.is_none()
    }

    /// Closes the loop: cancels all tasks and runs until they have ended, again for what they spawned
    /// meanwhile, three times at most; drops and reports what then is left; drops callbacks and timers
    /// without running them; then closes what is [attached](crate::Attachment), such as the default thread
    /// pool, whose jobs it waits for. Closing twice does nothing. Dropping the loop closes it.
    ///
    /// A loop that is closed while another one runs on this thread cannot run: its tasks are dropped
    /// without being waited for, and reported.
    pub fn close(&mut self) {
        self.close_and_tell();
    }

    /// [Closes](Self::close) the loop within `grace`, in real time: tasks that have not ended by then are dropped and
    /// reported, and so is it if what is [attached](crate::Attachment) has not. A task that blocks the thread is waited
    /// for all the same.
    pub fn close_within(&mut self, grace: Duration) {
        self.close_by(Instant::now().checked_add(grace));
    }

    /// [Closes](Self::close) the loop. Says why, if it has limits and did not keep them.
    pub(crate) fn close_and_tell(&mut self) -> Option<String> {
        self.close_by(None)
    }

    fn close_by(&mut self, end: Option<Instant>) -> Option<String> {
        let mut core = self.core.take()?;
        let failure = core.take_failure();
        let alone = current::try_with(|_| ()).is_err();
        core.enter(|| core.close(alone, end));
        let failure = failure.or_else(|| core.take_failure());
        let attachments = std::mem::take(&mut core.attachments);
        // First the loop: another thread that waits for it is then told that it is closed.
        drop(core);
        attachments.close(alone, end, exceptions::attachment_panicked);
        failure
    }
}

impl Builder {
    /// Makes a bare loop.
    ///
    /// # Errors
    ///
    /// The operating system gave no selector.
    pub fn build_loop(self) -> io::Result<EventLoop> {
        EventLoop::with(self)
    }
}

impl Core {
    /// Does `f` with this loop as the one that runs here. At other times nobody looks for events, and a
    /// socket that would have to wait says so.
    fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Rest<'a>(&'a Reactor);
        impl Drop for Rest<'_> {
            fn drop(&mut self) {
                self.0.rest();
            }
        }
        #[cfg(feature = "sync")]
        let _routed = crate::unretrieved::Routed::to_this_loop();
        #[cfg(feature = "sync")]
        let _counted = crate::ready_awaits::Counted::by_step();
        #[cfg(feature = "sync")]
        let _hooked = crate::thread_hooks::Hooked::to_this_loop();
        self.reactor.resume();
        let _rest = Rest(&self.reactor);
        self.reported.forget();
        self.begin_limits();
        self.is_first_turn.set(true);
        self.tasks.enter(self, f)
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(core) = &self.core else {
            return f.write_str("EventLoop(closed)");
        };
        f.debug_struct("EventLoop")
            .field("tasks", &core.tasks.len())
            .field("ready", &core.tasks.ready())
            .field("scopes", &core.tasks.scopes())
            .field("timers", &core.timers.len())
            .field("sources", &core.reactor.len())
            .field("looks", &core.looks.get())
            .field("running", &core.tasks.is_entered())
            .finish()
    }
}
