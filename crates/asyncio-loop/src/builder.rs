//! The settings of a loop.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ctrl_c::StopSignals;
use crate::limits::Limits;
use crate::stall::{OnStall, Stall};

/// A builder for the settings of a loop, from [`Runner::builder`](crate::Runner::builder) or
/// [`EventLoop::builder`](crate::EventLoop::builder).
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until something is built with it"]
pub struct Builder {
    pub(crate) debug: Option<bool>,
    pub(crate) virtual_time: bool,
    pub(crate) task_budget: usize,
    pub(crate) order_seed: Option<u64>,
    pub(crate) slow_step: Option<Duration>,
    /// `None`: stalls are not detected.
    pub(crate) stall_limit: Option<Duration>,
    pub(crate) on_stall: OnStall,
    pub(crate) ctrl_c: bool,
    pub(crate) sigterm: bool,
    pub(crate) unpark: Option<OnUnpark>,
    pub(crate) host_clock: Option<fn() -> Instant>,
    /// The limits of a test.
    pub(crate) limits: Option<Limits>,
}

/// The closure that tells a host to turn its loop.
#[derive(Clone)]
pub(crate) struct OnUnpark(pub(crate) Arc<dyn Fn() + Send + Sync>);

impl fmt::Debug for OnUnpark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnUnpark(..)")
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            debug: None,
            virtual_time: false,
            task_budget: 128,
            order_seed: None,
            slow_step: None,
            stall_limit: Some(crate::stall::LIMIT),
            on_stall: OnStall::default(),
            ctrl_c: true,
            sigterm: false,
            unpark: None,
            host_clock: None,
            limits: None,
        }
    }
}

impl Builder {
    /// Sets debug mode: the exception handler receives reports of slow steps and of lost work. Lost work is a task
    /// whose handle is dropped before it began, a child that an ending group refuses, or an error never taken. The
    /// default comes from the environment: `ASYNCIO_DEBUG=1`.
    #[doc(alias = "set_debug")]
    pub fn debug(mut self, on: bool) -> Self {
        self.debug = Some(on);
        self
    }

    /// Sets virtual time: when nothing can run, the clock jumps to the next deadline instead of
    /// waiting. While something outside is pending (a registered socket,
    /// [`OutsideWork`](crate::OutsideWork)), virtual time passes at the pace of real time. If that
    /// lasts for a second of real time because of a socket, the exception handler receives a
    /// report, once per run.
    ///
    /// Tasks that only wait for each other wait forever, as on real time. A thread that the loop does not know of might
    /// wake them. This is a standstill: nothing can run, no timer is set and nothing outside is pending. The exception
    /// handler receives a report of it after a second of real time, once per run.
    pub fn virtual_time(mut self, on: bool) -> Self {
        self.virtual_time = on;
        self
    }

    /// Sets how many steps run between two checks of the inbox, timers and I/O. The default is 128,
    /// the minimum 1. Steps of a group's children and of gathered futures count.
    pub fn task_budget(mut self, steps: usize) -> Self {
        self.task_budget = steps.max(1);
        self
    }

    /// Runs each batch of ready tasks in an order that depends on `seed`, instead of first in,
    /// first out. This includes the body and the children of a group. For tests: code that relies
    /// on an order fails under some seed, and fails again under the same seed.
    pub fn order_seed(mut self, seed: u64) -> Self {
        self.order_seed = Some(seed);
        self
    }

    /// Sets how long a step may take before debug mode reports it. The default is 100 ms. The time
    /// of children counts for the children, not for the enclosing task.
    #[doc(alias = "slow_callback_duration")]
    pub fn slow_step(mut self, duration: Duration) -> Self {
        self.slow_step = Some(duration);
        self
    }

    /// Sets how long a turn of the loop may take before the stall detector reports the step under way. The default is
    /// 1 s, `None` turns the detector off, and 20 ms is the least. On virtual time it is off.
    ///
    /// [Debug mode](Self::debug) times each step and reports it afterwards. The detector costs two stores a step, and
    /// reports while the step is under way, so it also reports a step that never ends.
    pub fn stall_limit(mut self, limit: impl Into<Option<Duration>>) -> Self {
        let least = Duration::from_millis(20);
        self.stall_limit = limit.into().map(|limit| limit.max(least));
        self
    }

    /// Sets the handler of stalls. A thread of the detector calls it when the limit has passed, whenever the time has
    /// doubled since, and when the loop goes on. By default each is a line on standard error.
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_loop::*; }
    /// use asyncio::{EventLoop, run_with};
    /// use std::sync::{Arc, Mutex};
    /// use std::time::Duration;
    ///
    /// let stalls = Arc::new(Mutex::new(Vec::new()));
    /// let seen = stalls.clone();
    /// let builder = EventLoop::builder()
    ///     .stall_limit(Duration::from_millis(50))
    ///     .on_stall(move |stall| seen.lock().unwrap().push(stall.to_string()));
    /// run_with(builder, async {
    ///     while stalls.lock().unwrap().is_empty() {
    ///         // Not `sleep`: the loop has to wait for this.
    ///         std::thread::sleep(Duration::from_millis(100));
    ///     }
    /// });
    /// let stalls = stalls.lock().unwrap();
    /// assert!(stalls[0].contains("is kept by a step of task 1, spawned at "));
    /// ```
    pub fn on_stall(mut self, handler: impl Fn(&Stall) + Send + Sync + 'static) -> Self {
        self.on_stall = OnStall::new(handler);
        self
    }

    /// Sets whether Ctrl-C cancels the main task of a [`Runner`](crate::Runner) on the program's
    /// main thread. The default is `true`.
    pub fn ctrl_c(mut self, on: bool) -> Self {
        self.ctrl_c = on;
        self
    }

    /// Sets whether SIGTERM cancels the main task of a [`Runner`](crate::Runner) on the program's
    /// main thread, as Ctrl-C does. The default is `false`.
    ///
    /// A service manager or a container stops a program by SIGTERM, waits some seconds, and then
    /// kills it. With this setting, `main` is cancelled and cleans up. If `main` ends cancelled,
    /// [`run_with`](crate::run_with) ends the process by SIGTERM after closing the loop. In a
    /// container's first process, which no signal ends, the exit code is 143. A second SIGTERM ends
    /// the process at once.
    ///
    /// ```no_run
    /// # mod asyncio { pub use asyncio_loop::*; }
    /// use asyncio::{Runner, run_with};
    ///
    /// run_with(Runner::builder().sigterm(true), async {
    ///     // The service.
    /// });
    /// ```
    pub fn sigterm(mut self, on: bool) -> Self {
        self.sigterm = on;
        self
    }

    /// Sets the closure that tells a host to [turn](crate::EventLoop::turn) its loop, in place of the loop's
    /// descriptor.
    ///
    /// It is called from any thread, at most once for each turn, and now and then without need. It must not turn the
    /// loop: it sends a message to the host, or wakes the host's task. It is not called while the loop runs by itself,
    /// in [`run_until_complete`](crate::EventLoop::run_until_complete) for example.
    ///
    /// Sockets and the last milliseconds of a sleep still make the descriptor readable.
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_loop::*; }
    /// use asyncio::{EventLoop, Next};
    /// use std::sync::mpsc;
    ///
    /// let (sender, orders) = mpsc::channel();
    /// let builder = EventLoop::builder().unpark(move || drop(sender.send("turn")));
    /// let mut event_loop = builder.build_loop()?;
    /// assert_eq!(event_loop.turn(true, || false), Next::Event);
    ///
    /// let handle = event_loop.handle();
    /// let thread = std::thread::spawn(move || handle.run_coroutine_threadsafe(|| async { 7 }).unwrap().wait());
    /// assert_eq!(orders.recv()?, "turn");
    /// while event_loop.turn(false, || false) == Next::Now {}
    /// assert_eq!(thread.join().unwrap()?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unpark(mut self, host: impl Fn() + Send + Sync + 'static) -> Self {
        self.unpark = Some(OnUnpark(Arc::new(host)));
        self
    }

    /// Takes the time from the host, for a host whose clock may stand still or jump: a simulation, a paused game.
    ///
    /// For a loop that a host [turns](crate::EventLoop::turn). Its times are those of `now`, and so is the time of
    /// [`Next::At`](crate::Next::At), which may be somewhat before a deadline. `now` must not go back. While it differs
    /// from the machine's clock, the loop leaves the whole wait for a deadline to the host.
    /// [`virtual_time`](Self::virtual_time) comes before this.
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_loop::*; }
    /// use asyncio::{EventLoop, Next, sleep};
    /// use std::cell::Cell;
    /// use std::time::{Duration, Instant};
    ///
    /// thread_local! {
    ///     static NOW: Cell<Instant> = Cell::new(Instant::now());
    /// }
    ///
    /// let mut game = EventLoop::builder().host_clock(|| NOW.get()).build_loop()?;
    /// let hour = game.spawn(async { sleep(Duration::from_secs(3600)).await });
    /// while !hour.is_finished() {
    ///     if let Next::At(time) = game.turn(true, || false) {
    ///         NOW.set(time); // the hour passes at once
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn host_clock(mut self, now: fn() -> Instant) -> Self {
        self.host_clock = Some(now);
        self
    }

    /// The signals that cancel the main task. A program on virtual time is a test, so a signal ends it like any other
    /// program.
    pub(crate) fn stop_signals(&self) -> StopSignals {
        StopSignals {
            interrupt: self.ctrl_c && !self.virtual_time,
            terminate: self.sigterm && !self.virtual_time,
        }
    }

    /// Sets the limits of a run and of closing.
    pub(crate) fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_leaves_the_others() {
        const SECOND: Duration = Duration::from_secs(1);
        let settings: [fn(Builder) -> Builder; 11] = [
            |it| it.debug(true),
            |it| it.task_budget(7),
            |it| it.slow_step(SECOND),
            |it| it.stall_limit(SECOND),
            |it| it.on_stall(|_| ()),
            |it| it.ctrl_c(true),
            |it| it.sigterm(true),
            |it| it.unpark(|| ()),
            |it| it.host_clock(Instant::now),
            |it| it.with_limits(Limits::DEFAULT),
            |it| it.virtual_time(true),
        ];
        for set in settings {
            assert_eq!(set(Builder::default().order_seed(3)).order_seed, Some(3));
        }
        let builder = Builder::default().virtual_time(true).order_seed(3);
        assert!(builder.virtual_time);
        assert_eq!(
            Builder::default().stall_limit(Duration::ZERO).stall_limit,
            Some(SECOND / 50)
        );
    }

    #[test]
    fn signals_cancel_main_only_if_asked_for_and_on_real_time() {
        let signals = |builder: Builder| {
            let signals = builder.stop_signals();
            (signals.interrupt, signals.terminate)
        };
        let both = || Builder::default().ctrl_c(true).sigterm(true);
        assert_eq!(signals(Builder::default()), (true, false));
        assert_eq!(signals(both()), (true, true));
        assert_eq!(signals(both().ctrl_c(false)), (false, true));
        assert_eq!(signals(both().sigterm(false)), (true, false));
        assert_eq!(signals(both().virtual_time(true)), (false, false));
    }
}
