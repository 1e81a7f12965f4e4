//! The event loop: a thread's tasks, timers and reactor, and the means to run them.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use asyncio_reactor::Reactor;
use asyncio_task::{
    Context, JoinError, SpawnOptions, Task, TaskRef, Tasks, Unhandled, with_companion,
};

use crate::builder::Builder;
use crate::clock::Clock;
use crate::debug::Debug;
use crate::exceptions;
use crate::loop_handle::{LoopHandle, Shared};
use crate::order::Order;
use crate::timers::Timers;
use crate::virtual_time::RealWait;

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
pub struct EventLoop {
    core: Rc<Core>,
    closed: bool,
}

/// What a running loop is made of. Found again by `crate::current`.
pub(crate) struct Core {
    pub(crate) tasks: Tasks,
    pub(crate) timers: Rc<Timers>,
    pub(crate) reactor: Reactor,
    pub(crate) shared: Arc<Shared>,
    /// How many steps a turn may take.
    pub(crate) budget: usize,
    /// When the operating system was looked at last.
    pub(crate) looked: Cell<u64>,
    pub(crate) stopping: Cell<bool>,
    /// Whether steps run one by one under somebody's eyes: a seed orders them, or debug mode is on.
    pub(crate) observed: bool,
    pub(crate) order: Option<Order>,
    pub(crate) debug: Debug,
    pub(crate) real_wait: RealWait,
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
        let order = builder.order_seed.map(Order::new);
        let debug = Debug {
            on: builder.debug.unwrap_or_else(crate::debug::is_asked_for),
            slow_step: Cell::new(builder.slow_step.unwrap_or(crate::debug::SLOW_STEP)),
        };
        exceptions::set_default(&tasks);
        let core = Core {
            shared: Arc::new(Shared::new(debug.on)),
            timers: Rc::new(Timers::new(clock)),
            budget: builder.task_budget,
            looked: Cell::new(0),
            stopping: Cell::new(false),
            observed: order.is_some() || debug.on,
            order,
            debug,
            real_wait: RealWait::default(),
            tasks,
            reactor,
        };
        Ok(Self {
            core: Rc::new(core),
            closed: false,
        })
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
        self.run_watched(SpawnOptions::new(), main, |_| ())
    }

    /// Runs the loop until it is [stopped](LoopHandle::stop).
    ///
    /// # Panics
    ///
    /// If a loop runs on this thread already, or if this one is closed.
    #[track_caller]
    pub fn run_forever(&mut self) {
        self.enter(|core| {
            while !core.stopping.replace(false) {
                core.run_once();
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
        let options = options.location(Location::caller());
        self.enter(|core| {
            core.stopping.set(false);
            core.tasks.run_until_complete(options, main, |main| {
                watch(main);
                core.run_once();
                !core.stopping.replace(false)
            })
        })
    }

    #[track_caller]
    fn enter<R>(&self, f: impl FnOnce(&Core) -> R) -> R {
        assert!(!self.closed, "the event loop is closed");
        assert!(
            with_companion(|core: Option<&Core>| core.is_none()),
            "an event loop runs on this thread already: await here instead of running another loop, or run it on a thread of its own"
        );
        self.core.tasks.enter(&*self.core, || f(&self.core))
    }

    /// Starts a task that will run when the loop does.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.core.tasks.spawn(future)
    }

    /// A handle of this loop, for any thread.
    #[must_use]
    pub fn handle(&self) -> LoopHandle {
        self.core.handle()
    }

    pub(crate) fn base_context(&self) -> Context {
        self.core.tasks.base_context().clone()
    }

    pub(crate) fn reactor(&self) -> &Reactor {
        &self.core.reactor
    }

    /// All tasks that have not ended, oldest first.
    #[must_use]
    pub fn all_tasks(&self) -> Vec<TaskRef> {
        self.core.tasks.all()
    }

    /// Sets who is told of panics and errors that nobody awaits, and of slow steps in debug mode.
    /// Without one, they go to standard error, or become `tracing` events with that feature.
    pub fn set_exception_handler(&self, handler: impl Fn(&Unhandled) + 'static) {
        self.core.tasks.on_unhandled(handler);
    }

    /// Sets how long a step may take before debug mode reports it; 100 ms at first.
    #[doc(alias = "slow_callback_duration")]
    pub fn set_slow_step(&self, duration: Duration) {
        self.core.debug.slow_step.set(duration);
    }

    /// Whether the loop is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Closes the loop: cancels all tasks and runs until they have ended, again for what they spawned
    /// meanwhile, three times at most; drops and reports what then is left; drops callbacks and timers
    /// without running them. Closing twice does nothing. Dropping the loop closes it.
    ///
    /// A loop that is closed while another one runs on this thread cannot run: its tasks are dropped
    /// without being waited for.
    pub fn close(&mut self) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        let core = &self.core;
        let alone = with_companion(|core: Option<&Core>| core.is_none());
        core.tasks.enter(&**core, || core.close(alone));
    }
}

impl Core {
    pub(crate) fn handle(&self) -> LoopHandle {
        LoopHandle::new(self.tasks.remote(), self.shared.clone())
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop")
            .field("tasks", &self.core.tasks.len())
            .field("ready", &self.core.tasks.ready())
            .field("timers", &self.core.timers.len())
            .field("sources", &self.core.reactor.len())
            .field("running", &self.core.tasks.is_entered())
            .field("closed", &self.closed)
            .finish()
    }
}
