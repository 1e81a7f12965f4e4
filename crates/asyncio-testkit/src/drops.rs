//! Values with a destructor that a test observes.

use std::cell::Cell;
use std::rc::Rc;
use std::thread::{self, ThreadId};

/// Calls a function when it is dropped.
#[derive(Debug)]
#[must_use = "dropping it calls its function at once"]
pub struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> OnDrop<F> {
    /// A value that calls `f` when it is dropped.
    pub fn new(f: F) -> Self {
        Self(Some(f))
    }
}

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if let Some(f) = self.0.take() {
            f();
        }
    }
}

/// A value whose destructor panics.
#[derive(Debug)]
pub struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("this destructor panics as part of the test");
    }
}

/// A value that must be dropped on the thread that made it. It counts its drops, and aborts on any other thread.
#[derive(Debug)]
pub struct DropsOnOwnThread {
    thread: ThreadId,
    drops: Rc<Cell<usize>>,
}

impl DropsOnOwnThread {
    /// A value that adds one to `drops` when it is dropped.
    #[must_use]
    pub fn new(drops: &Rc<Cell<usize>>) -> Self {
        Self {
            thread: thread::current().id(),
            drops: drops.clone(),
        }
    }
}

impl Drop for DropsOnOwnThread {
    fn drop(&mut self) {
        if thread::current().id() != self.thread {
            // The tested code could catch a panic. It cannot catch this.
            eprintln!("a value that belongs to one thread was dropped on another");
            std::process::abort();
        }
        self.drops.set(self.drops.get() + 1);
    }
}
