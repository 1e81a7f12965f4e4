//! Limits of a test: how long it may take in real and in virtual time, and why it failed to keep them.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// How long a test may take.
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

    /// How much real time it may take; `None`: any.
    #[must_use]
    pub const fn real(mut self, limit: Option<Duration>) -> Self {
        self.real = limit;
        self
    }

    /// How much virtual time it may take; `None`: any.
    #[must_use]
    pub const fn virtual_time(mut self, limit: Option<Duration>) -> Self {
        self.virtual_time = limit;
        self
    }
}

/// The limits of a run that is under way, and why it failed to keep them.
#[derive(Debug)]
pub(crate) struct Limited {
    pub(crate) limits: Limits,
    pub(crate) real_end: Cell<Option<Instant>>,
    /// In loop time.
    pub(crate) virtual_end: Cell<Option<u64>>,
    pub(crate) failure: RefCell<Option<String>>,
}

impl Limited {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            real_end: Cell::new(None),
            virtual_end: Cell::new(None),
            failure: RefCell::default(),
        }
    }
}
