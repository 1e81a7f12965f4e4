//! Gates that hold a task or a thread until the test opens them.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// The time after which a test counts as hanging.
pub const LONG: Duration = Duration::from_secs(20);

/// A gate for one task.
#[derive(Clone, Debug, Default)]
pub struct Gate(Rc<(Cell<bool>, RefCell<Option<Waker>>)>);

impl Gate {
    /// Waits until the gate is open.
    pub async fn pass(&self) {
        poll_fn(|cx| {
            if self.0.0.get() {
                return Poll::Ready(());
            }
            *self.0.1.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Opens the gate.
    pub fn open(&self) {
        self.0.0.set(true);
        let waker = self.0.1.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A gate for any number of threads.
#[derive(Clone, Debug, Default)]
pub struct ThreadGate(Arc<(Mutex<bool>, Condvar)>);

impl ThreadGate {
    /// Opens the gate.
    ///
    /// # Panics
    ///
    /// If a thread that waits at the gate has panicked.
    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Blocks until the gate is open.
    ///
    /// # Panics
    ///
    /// If that takes longer than [`LONG`].
    pub fn pass(&self) {
        let (is_open, opened) = &*self.0;
        let shut = is_open.lock().unwrap();
        let (open, _) = opened
            .wait_timeout_while(shut, LONG, |open| !*open)
            .unwrap();
        assert!(*open, "nobody opened the gate");
    }
}

/// Blocks until `condition` holds.
///
/// # Panics
///
/// With `what`, if that takes longer than [`LONG`].
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < LONG, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}
