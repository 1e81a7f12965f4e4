//! The state of a running loop.
//!
//! Its parts do not know it. The operations are in the files above: a turn in `run_once.rs`,
//! virtual time in `virtual_time.rs`, closing in `closing.rs`.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use asyncio_reactor::Reactor;
use asyncio_task::{TaskId, Tasks};

use crate::attachments::Attachments;
use crate::limits::ActiveLimits;
use crate::shared::Shared;
use crate::spin::Spin;
use crate::stall::Watched;
use crate::timers::Timers;

/// The state of a running loop. `crate::current` finds it for the code that runs on the loop.
pub(crate) struct Core {
    pub(crate) tasks: Tasks,
    pub(crate) timers: Rc<Timers>,
    pub(crate) reactor: Reactor,
    pub(crate) shared: Arc<Shared>,
    /// How many steps a turn may take.
    pub(crate) budget: usize,
    /// The loop time of the last poll of the operating system.
    pub(crate) last_io_poll: Cell<u64>,
    /// The number of polls of the operating system.
    pub(crate) io_polls: Cell<u64>,
    /// Decides whether the loop checks its inbox before it parks.
    pub(crate) spin: Spin,
    /// Set until the first turn of a run has taken all messages that were sent before the run.
    pub(crate) is_first_turn: Cell<bool>,
    pub(crate) stopping: Cell<bool>,
    /// The newest task when the last main task had ended, and the newest after the batch that followed.
    pub(crate) last_spawned: Cell<Option<(TaskId, TaskId)>>,
    /// The reports about virtual time in this run.
    pub(crate) time_reports: TimeReports,
    /// The real time at which a wait ends at the latest, because the clock must be read then.
    pub(crate) wait_deadline: Cell<Option<Instant>>,
    /// The limits of a test.
    pub(crate) active_limits: Option<ActiveLimits>,
    /// How long a step may take before debug mode reports it.
    pub(crate) slow_step: Cell<Duration>,
    pub(crate) attachments: Attachments,
    /// The stall detector's view of this loop. `None` if it is off.
    pub(crate) watched: Option<Arc<Watched>>,
}

impl Drop for Core {
    fn drop(&mut self) {
        if let Some(watched) = &self.watched {
            watched.end();
        }
    }
}

/// The reports about virtual time that the exception handler has received in a run.
#[derive(Debug, Default)]
pub(crate) struct TimeReports {
    /// A standstill was reported.
    pub(crate) standstill: Cell<bool>,
    /// It was reported that virtual time passes at the pace of real time.
    pub(crate) passing: Cell<bool>,
    /// How long virtual time has passed at the pace of real time.
    pub(crate) passed: Cell<Duration>,
}

impl TimeReports {
    pub(crate) fn reset(&self) {
        self.standstill.set(false);
        self.passing.set(false);
        self.passed.set(Duration::ZERO);
    }
}
