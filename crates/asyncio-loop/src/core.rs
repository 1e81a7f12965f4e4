//! What a running loop is made of.
//!
//! Its parts know nothing of it. What it does with them is in the files above: a turn in `run_once.rs`, virtual time
//! in `virtual_time.rs`, its end in `closing.rs`.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use asyncio_reactor::Reactor;
use asyncio_task::Tasks;

use crate::attachments::Attachments;
use crate::limits::Limited;
use crate::shared::Shared;
use crate::spin::Spin;
use crate::timers::Timers;

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
    /// How often it was looked at.
    pub(crate) looks: Cell<u64>,
    /// Whether it looks for mail before it parks.
    pub(crate) spin: Spin,
    /// The run has just begun: all that was sent before is taken in with its first turn.
    pub(crate) is_first_turn: Cell<bool>,
    /// A task has stepped back: the turn ends with the steps at hand, and the outside is looked at.
    pub(crate) turn_is_over: Cell<bool>,
    pub(crate) stopping: Cell<bool>,
    /// The reports about virtual time in this run.
    pub(crate) reported: Reported,
    /// When a wait ends at the latest, in real time, because somebody wants to look at the clock.
    pub(crate) return_by: Cell<Option<Instant>>,
    /// Those of a test.
    pub(crate) limited: Option<Limited>,
    /// How long a step may take before debug mode reports it.
    pub(crate) slow_step: Cell<Duration>,
    pub(crate) attachments: Attachments,
}

/// What the exception handler has been told of virtual time in a run.
#[derive(Debug, Default)]
pub(crate) struct Reported {
    /// That it stands still.
    pub(crate) standstill: Cell<bool>,
    /// That it passes as real time does.
    pub(crate) passing: Cell<bool>,
    /// How long it has passed so.
    pub(crate) passed: Cell<Duration>,
}

impl Reported {
    pub(crate) fn forget(&self) {
        self.standstill.set(false);
        self.passing.set(false);
        self.passed.set(Duration::ZERO);
    }
}
