//! How a loop is set up.

use std::time::Duration;

use crate::limits::Limits;

/// How a loop is to be. Made by [`Runner::builder`](crate::Runner::builder) or
/// [`EventLoop::builder`](crate::EventLoop::builder).
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until something is built with it"]
pub struct Builder {
    pub(crate) debug: Option<bool>,
    pub(crate) virtual_time: bool,
    pub(crate) task_budget: usize,
    pub(crate) order_seed: Option<u64>,
    pub(crate) slow_step: Option<Duration>,
    pub(crate) ctrl_c: bool,
    /// Those of a test.
    pub(crate) limits: Option<Limits>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            debug: None,
            virtual_time: false,
            task_budget: 128,
            order_seed: None,
            slow_step: None,
            ctrl_c: true,
            limits: None,
        }
    }
}

impl Builder {
    /// Debug mode: the exception handler is told of slow steps and of losses. Losses are tasks whose handle is dropped
    /// before they began, children that an ending task group refuses, and errors that nobody takes. Otherwise the
    /// environment decides: `ASYNCIO_DEBUG=1`.
    #[doc(alias = "set_debug")]
    pub fn debug(mut self, on: bool) -> Self {
        self.debug = Some(on);
        self
    }

    /// Virtual time: when nothing can run, the clock jumps to the next deadline instead of waiting. While
    /// something outside is pending (a registered socket, [`OutsideWork`](crate::OutsideWork)), it passes
    /// as real time does. If that is a socket and has lasted for a second of real time, the exception handler is
    /// told, once a run.
    ///
    /// Tasks that wait for each other and for nothing else wait for ever, as on real time: a thread that the
    /// loop does not know of might wake them yet. When for a second of real time nothing could run, no timer
    /// was set and nothing outside was pending, the exception handler is told, once a run.
    pub fn virtual_time(mut self, on: bool) -> Self {
        self.virtual_time = on;
        self
    }

    /// How many steps run between two looks at mail, timers and I/O; 128 unless set, at least 1. Steps of the
    /// children of groups count, and so does what is gathered.
    pub fn task_budget(mut self, steps: usize) -> Self {
        self.task_budget = steps.max(1);
        self
    }

    /// Runs each batch of ready tasks in an order that depends on this seed, instead of first in, first
    /// out; also the body and the children of a group. For tests: code that relies on an order fails under some
    /// seed, and again under the same one.
    pub fn order_seed(mut self, seed: u64) -> Self {
        self.order_seed = Some(seed);
        self
    }

    /// How long a step may take before debug mode reports it; 100 ms unless set. The time of children is theirs,
    /// not that of the task around them.
    #[doc(alias = "slow_callback_duration")]
    pub fn slow_step(mut self, duration: Duration) -> Self {
        self.slow_step = Some(duration);
        self
    }

    /// Whether Ctrl-C cancels the main task of a [`Runner`](crate::Runner) on the program's main thread; `true` unless
    /// set.
    pub fn ctrl_c(mut self, on: bool) -> Self {
        self.ctrl_c = on;
        self
    }

    /// Bounds on how long a run and closing may take.
    pub(crate) fn limited(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }
}
