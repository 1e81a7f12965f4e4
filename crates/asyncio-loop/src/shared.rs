//! The state that a loop shares with its handles.

use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread::{self, ThreadId};

/// The state that a loop shares with its handles on other threads.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The number of [`OutsideWork`](crate::OutsideWork) guards.
    pub(crate) outside: AtomicUsize,
    /// Whether they are counted: for virtual time, and for the report of a test that exceeds its limits.
    pub(crate) counts_outside: bool,
    pub(crate) is_virtual: bool,
    pub(crate) debug: AtomicBool,
    pub(crate) closed: AtomicBool,
    /// The loop's thread, which it never leaves.
    pub(crate) thread: ThreadId,
}

impl Shared {
    pub(crate) fn new(debug: bool, is_virtual: bool, has_limits: bool) -> Self {
        Self {
            outside: AtomicUsize::new(0),
            counts_outside: is_virtual || has_limits,
            is_virtual,
            debug: AtomicBool::new(debug),
            closed: AtomicBool::new(false),
            thread: thread::current().id(),
        }
    }
}
