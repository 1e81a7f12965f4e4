//! What a loop and its handles share.

use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread::{self, ThreadId};

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Shared {
    /// How many pieces of [`OutsideWork`](crate::OutsideWork) are under way.
    pub(crate) outside: AtomicUsize,
    pub(crate) is_virtual: bool,
    pub(crate) debug: AtomicBool,
    pub(crate) closed: AtomicBool,
    /// The loop's thread, which it never leaves.
    pub(crate) home: ThreadId,
}

impl Shared {
    pub(crate) fn new(debug: bool, is_virtual: bool) -> Self {
        Self {
            outside: AtomicUsize::new(0),
            is_virtual,
            debug: AtomicBool::new(debug),
            closed: AtomicBool::new(false),
            home: thread::current().id(),
        }
    }
}
