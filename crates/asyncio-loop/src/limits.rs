//! The limits of a test: how long it may take in real and in virtual time, and why it failed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The time that a test may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub(crate) real: Option<Duration>,
    pub(crate) virtual_time: Option<Duration>,
}

impl Limits {
    /// A minute of real time, and ten years of virtual time.
    pub const DEFAULT: Self = Self {
        real: Some(Duration::from_secs(60)),
        virtual_time: Some(Duration::from_secs(10 * 365 * 24 * 60 * 60)),
    };

    /// Sets the limit of real time; `None` removes it.
    #[must_use]
    pub const fn real(mut self, limit: Option<Duration>) -> Self {
        self.real = limit;
        self
    }

    /// Sets the limit of virtual time; `None` removes it.
    #[must_use]
    pub const fn virtual_time(mut self, limit: Option<Duration>) -> Self {
        self.virtual_time = limit;
        self
    }
}

/// The limits of the current run, and the reason if it exceeded one.
#[derive(Debug)]
pub(crate) struct ActiveLimits {
    pub(crate) limits: Limits,
    pub(crate) real_end: Cell<Option<Instant>>,
    /// In loop time.
    pub(crate) virtual_end: Cell<Option<u64>>,
    pub(crate) failure: RefCell<Option<String>>,
    /// The reports to the exception handler, unless the test has one of its own.
    pub(crate) reports: Rc<RefCell<Vec<String>>>,
    pub(crate) progress: Progress,
}

/// The times at which a long run prints its progress.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) began: Cell<Option<Instant>>,
    /// The time of the next line.
    pub(crate) next: Cell<Option<Instant>>,
    /// The loop time at the start of the run.
    pub(crate) from: Cell<u64>,
}

impl ActiveLimits {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            real_end: Cell::new(None),
            virtual_end: Cell::new(None),
            failure: RefCell::default(),
            reports: Rc::default(),
            progress: Progress::default(),
        }
    }
}
