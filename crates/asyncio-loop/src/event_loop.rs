//! The public event loop: a thread's tasks, timers and reactor, and the methods that run them.

use std::cell::{Cell, RefCell};
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
use crate::builder::{Builder, OnUnpark};
use crate::clock::Clock;
use crate::core::{Core, TimeReports};
use crate::current;
use crate::exceptions;
use crate::handle::{Handle, TimerHandle};
use crate::hosted::{HostUnpark, Hosted};
use crate::limits::ActiveLimits;
use crate::loop_handle::LoopHandle;
use crate::shared::Shared;
use crate::spin::Spin;
use crate::stall::Watched;
use crate::timers::Timers;

/// The event loop of one thread.
///
/// Most programs use [`run`](crate::run), which creates one, or [`Runner`](crate::Runner), which
/// keeps one for several runs. This type is for direct control: run the loop for a while, stop it,
/// run it again.
///
/// ```
/// # mod asyncio { pub use asyncio_loop::*; }
/// use asyncio::EventLoop;
///
/// let mut event_loop = EventLoop::new()?;
/// let sum = event_loop.run_until_complete(async {
///     let one = asyncio::spawn(async { 1 });
///     one.await.unwrap() + 1
/// })?;
/// assert_eq!(sum, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Other processes
///
/// A child process (`std::process::Command`) that is started while the loop exists inherits none of
/// its descriptors. A process that is made by a bare `fork` shares them, and the system's events
/// with them. Such a process must not use or drop the loop before `exec` or `_exit`.
pub struct EventLoop {
    /// `None` once closed. Closing drops the core, so values that are sent to the loop later come
    /// back.
    pub(crate) core: Option<Box<Core>>,
    handle: LoopHandle,
    pub(crate) hosted: Hosted,
}

impl EventLoop {
    /// Creates a loop with the default settings.
    ///
    /// # Errors
    ///
    /// The system's error, if it provides no selector.
    pub fn new() -> io::Result<Self> {
        Builder::default().build_loop()
    }

    /// Returns a builder for the settings of a loop.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn with(builder: Builder) -> io::Result<Self> {
        let reactor = Reactor::new()?;
        let unparker = reactor.unparker();
        let host = builder
            .unpark
            .map(|OnUnpark(host)| HostUnpark::new(host, unparker.clone()));
        let tasks = match &host {
            None => Tasks::new(move || unparker.unpark()),
            Some(host) => host.tasks(),
        };
        let clock = match builder.host_clock {
            _ if builder.virtual_time => Clock::virtual_time(),
            Some(now) => Clock::host(now),
            None => Clock::real(),
        };
        let debug = builder.debug.unwrap_or_else(crate::debug::is_asked_for);
        exceptions::set_default(&tasks);
        let stall_limit = builder.stall_limit.filter(|_| !clock.is_virtual());
        let watched =
            stall_limit.map(|limit| Watched::begin(tasks.pulse(), limit, builder.on_stall));
        let core = Core {
            shared: Arc::new(Shared::new(
                debug,
                clock.is_virtual(),
                builder.limits.is_some(),
            )),
            timers: Rc::new(Timers::new(clock)),
            budget: builder.task_budget,
            last_io_poll: Cell::new(0),
            io_polls: Cell::new(0),
            spin: Spin::default(),
            is_first_turn: Cell::new(true),
            stopping: Cell::new(false),
            last_spawned: Cell::new(None),
            time_reports: TimeReports::default(),
            wait_deadline: Cell::new(None),
            active_limits: builder.limits.map(ActiveLimits::new),
            slow_step: Cell::new(builder.slow_step.unwrap_or(crate::debug::SLOW_STEP)),
            watched,
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
            hosted: Hosted::new(host),
        })
    }

    /// The core of the loop, for methods that panic on a closed loop.
    #[track_caller]
    pub(crate) fn core(&self) -> &Core {
        self.core.as_deref().expect("the event loop is closed")
    }

    /// Runs the loop until `main` has ended, and returns its value. `main` may borrow, because it
    /// is dropped before this returns. Tasks that it spawned stay, and continue in the next run.
    ///
    /// # Errors
    ///
    /// [`JoinError`] if `main` was cancelled or panicked, or if the loop was
    /// [stopped](LoopHandle::stop).
    ///
    /// # Panics
    ///
    /// If a loop already runs on this thread, or if this loop is closed.
    #[track_caller]
    pub fn run_until_complete<F: Future>(&mut self, main: F) -> Result<F::Output, JoinError> {
        let options = SpawnOptions::new().location(Location::caller());
        self.run_watched(options, main, |_| ())
    }

    /// Runs the loop until it is [stopped](LoopHandle::stop).
    ///
    /// # Panics
    ///
    /// If a loop already runs on this thread, or if this loop is closed.
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

    /// Runs a main task, and calls `watch` once per turn.
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
                    core.end_main();
                }
                let stopped = core.has_stopped() || core.has_exceeded_limits();
                main.is_finished() || !stopped
            })
        })
    }

    #[track_caller]
    fn enter<R>(&mut self, f: impl FnOnce(&Core) -> R) -> R {
        let core = self.core.as_deref().expect("the event loop is closed");
        current::assert_no_running_loop();
        self.hosted.leave(core);
        let _alone = self.hosted.run_alone();
        core.enter(|| f(core))
    }

    /// Starts a task. It runs when the loop runs.
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
        let task = self.core().tasks.spawn(future);
        self.wake_host();
        task
    }

    /// Schedules `callback` to be called once, after everything that is ready now. See
    /// [`call_soon`](crate::call_soon).
    ///
    /// # Panics
    ///
    /// If the loop is closed.
    #[track_caller]
    pub fn call_soon(&self, callback: impl FnOnce() + 'static) -> Handle {
        self.call_soon_at(Location::caller(), callback)
    }

    /// [`call_soon`](Self::call_soon) for a callback from another place. A building block.
    #[doc(hidden)]
    #[track_caller]
    pub fn call_soon_at(
        &self,
        location: &'static Location<'static>,
        callback: impl FnOnce() + 'static,
    ) -> Handle {
        let handle = self.core().call_soon(callback, location);
        self.wake_host();
        handle
    }

    /// Schedules `callback` to be called once, after `delay`. See
    /// [`call_later`](crate::call_later).
    ///
    /// # Panics
    ///
    /// If the loop is closed.
    #[track_caller]
    pub fn call_later(&self, delay: Duration, callback: impl FnOnce() + 'static) -> TimerHandle {
        let core = self.core();
        let handle = core.call_after(delay, callback, Location::caller());
        self.wake_host();
        handle
    }

    /// Schedules `callback` to be called once, at `when`. See [`call_at`](crate::call_at).
    ///
    /// # Panics
    ///
    /// If the loop is closed.
    #[track_caller]
    pub fn call_at(&self, when: Instant, callback: impl FnOnce() + 'static) -> TimerHandle {
        let handle = self.core().call_at(when, callback, Location::caller());
        self.wake_host();
        handle
    }

    /// The current time of this loop.
    ///
    /// # Panics
    ///
    /// If the loop is closed.
    #[must_use]
    #[track_caller]
    pub fn time(&self) -> Instant {
        self.core().timers.clock.instant()
    }

    /// Returns a handle of this loop, for any thread.
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

    /// Sets the handler of panics and errors that are not awaited, and of slow steps in debug mode.
    /// The default is [`default_exception_handler`](crate::default_exception_handler).
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

    /// Switches [debug mode](Builder::debug) on or off.
    pub fn set_debug(&self, on: bool) {
        if let Some(core) = &self.core {
            core.shared.debug.store(on, Ordering::Relaxed);
            core.refresh_debug();
        }
    }

    /// Sets how long a step may take before debug mode reports it. The default is 100 ms.
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

    /// Closes the loop. Closing twice does nothing. Dropping the loop closes it. The steps are:
    ///
    /// 1. Cancels all tasks and runs until they have ended. Repeats this for tasks that were
    ///    spawned meanwhile, at most three times in all.
    /// 2. Refuses what [handles](LoopHandle) send from now on, and runs the callbacks that are
    ///    ready, among them those that handles sent before.
    /// 3. Drops and reports the tasks that are left. Drops timers without running them.
    /// 4. Closes the [attachments](crate::Attachment), such as the default thread pool, and waits
    ///    for the jobs of the pool.
    ///
    /// A loop that is closed while another loop runs on this thread cannot wait. Its ready callbacks
    /// run, and its tasks are dropped and reported without being waited for.
    pub fn close(&mut self) {
        self.close_with_failure();
    }

    /// [Closes](Self::close) the loop within `grace`, in real time. Tasks and
    /// [attachments](crate::Attachment) that have not ended by then are dropped and reported. A
    /// task that blocks the thread is waited for nevertheless.
    pub fn close_within(&mut self, grace: Duration) {
        self.close_until(Instant::now().checked_add(grace));
    }

    /// Collects what the exception handler of a test is told, unless the test sets another one. The default handler is
    /// told as well.
    pub(crate) fn collect_reports(&self) -> Rc<RefCell<Vec<String>>> {
        let core = self.core.as_ref();
        let limits = core.and_then(|core| core.active_limits.as_ref());
        let reports = limits
            .map(|limits| limits.reports.clone())
            .unwrap_or_default();
        let noted = reports.clone();
        self.set_exception_handler(move |unhandled| {
            exceptions::default_exception_handler(unhandled);
            noted.borrow_mut().push(unhandled.to_string());
        });
        reports
    }

    /// [Closes](Self::close) the loop. Returns the failure, if the loop has exceeded its limits.
    pub(crate) fn close_with_failure(&mut self) -> Option<String> {
        self.close_until(None)
    }

    fn close_until(&mut self, end: Option<Instant>) -> Option<String> {
        self.hosted.abandon_closing();
        let mut core = self.core.take()?;
        let failure = core.take_failure();
        let alone = current::try_with(|_| ()).is_err();
        self.hosted.leave(&core);
        let _alone = self.hosted.run_alone();
        core.enter(|| {
            core.report_foreign_instant();
            if alone {
                core.end_tasks(end);
            }
            core.close();
        });
        let failure = failure.or_else(|| core.take_failure());
        let attachments = std::mem::take(&mut core.attachments);
        // Dropped first, so that other threads that wait for the loop see that it is closed.
        drop(core);
        attachments.close(alone, end, exceptions::attachment_panicked);
        failure
    }
}

impl Builder {
    /// Creates a loop without a runner.
    ///
    /// # Errors
    ///
    /// The system's error, if it provides no selector.
    pub fn build_loop(self) -> io::Result<EventLoop> {
        EventLoop::with(self)
    }
}

impl Core {
    /// Calls `f` while this loop is the running one. Outside this call the reactor is not turned,
    /// and a socket that would have to wait returns an error.
    fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        struct RestOnDrop<'a>(&'a Core);
        impl Drop for RestOnDrop<'_> {
            fn drop(&mut self) {
                self.0.reactor.rest();
                self.0.rest();
            }
        }
        self.reactor.resume();
        let _rest = RestOnDrop(self);
        self.work();
        self.begin_run();
        self.make_current(f)
    }

    /// Runs the callbacks that `main`, which has ended, scheduled last, as in asyncio.
    pub(crate) fn end_main(&self) {
        let newest = self.tasks.newest();
        self.tasks.run_last_batch();
        self.last_spawned.set(newest.zip(self.tasks.newest()));
    }

    /// Begins what lasts for one run: the limits of a test, and the reports about time.
    pub(crate) fn begin_run(&self) {
        self.time_reports.reset();
        self.start_limits();
        self.is_first_turn.set(true);
    }

    /// Calls `f` while this loop is the running one.
    pub(crate) fn make_current<R>(&self, f: impl FnOnce() -> R) -> R {
        #[cfg(feature = "sync")]
        let _routed = crate::unretrieved::ErrorHook::install();
        #[cfg(feature = "sync")]
        let _counted = crate::ready_awaits::ReadyAwaitHook::install();
        #[cfg(feature = "sync")]
        let _hooked = crate::thread_hooks::ThreadHooksGuard::install();
        self.tasks.enter(self, f)
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        if self.hosted.is_on {
            // The tasks may wait for the host, which does not run meanwhile.
            self.close_within(Duration::ZERO);
        } else {
            self.close();
        }
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
            .field("io_polls", &core.io_polls.get())
            .field("running", &core.tasks.is_entered())
            .finish()
    }
}
