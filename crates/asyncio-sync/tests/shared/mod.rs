//! A small event loop for tests: one thread, first in, first out, one turn at a time.
//!
//! As in asyncio, waking a task puts it at the end of the ready queue and does not run it. A new
//! task takes its first step in its turn. [`tick`](TestLoop::tick) runs exactly the tasks that are
//! ready when it begins. The loop has no clock: a test cancels a task in place of a timeout.
//! Cancelling a task drops its future at once.

// Each test binary uses a part of this file.
#![allow(dead_code, unused_imports)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

pub(crate) use asyncio_testkit::{Trace, yield_now};

/// A handle of a test loop. Clones are handles of the same loop.
#[derive(Clone, Default)]
pub(crate) struct TestLoop {
    tasks: Rc<RefCell<Vec<Slot>>>,
    ready: Arc<Mutex<VecDeque<Arc<Handle>>>>,
}

struct Slot {
    /// `None` if the task is done, cancelled, or being polled.
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    handle: Arc<Handle>,
}

struct Handle {
    task: usize,
    scheduled: AtomicBool,
    ready: Arc<Mutex<VecDeque<Arc<Handle>>>>,
}

impl Wake for Handle {
    fn wake(self: Arc<Self>) {
        if !self.scheduled.swap(true, Ordering::SeqCst) {
            let ready = Arc::clone(&self.ready);
            ready.lock().unwrap().push_back(self);
        }
    }
}

impl TestLoop {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Task<T> {
        let output = Rc::new(RefCell::new(None));
        let output_of_task = Rc::clone(&output);
        let mut tasks = self.tasks.borrow_mut();
        let handle = Arc::new(Handle {
            task: tasks.len(),
            scheduled: AtomicBool::new(false),
            ready: Arc::clone(&self.ready),
        });
        let task = async move {
            let output = future.await;
            *output_of_task.borrow_mut() = Some(output);
        };
        tasks.push(Slot {
            future: Some(Box::pin(task)),
            handle: Arc::clone(&handle),
        });
        Arc::clone(&handle).wake();
        Task {
            of: self.clone(),
            task: handle.task,
            output,
        }
    }

    /// Runs one step of each task that is ready now. Returns the number of steps.
    pub(crate) fn tick(&self) -> usize {
        let present = self.ready.lock().unwrap().len();
        for _ in 0..present {
            let handle = self.ready.lock().unwrap().pop_front();
            let handle = handle.expect("only `tick` pops handles");
            handle.scheduled.store(false, Ordering::SeqCst);
            let future = self.tasks.borrow_mut()[handle.task].future.take();
            let Some(mut future) = future else { continue };
            let task = handle.task;
            let waker = Waker::from(handle);
            let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
            if polled.is_pending() {
                self.tasks.borrow_mut()[task].future = Some(future);
            }
        }
        present
    }

    pub(crate) fn ticks(&self, count: usize) {
        for _ in 0..count {
            self.tick();
        }
    }

    /// Runs until nothing is ready.
    pub(crate) fn run(&self) {
        while self.tick() > 0 {}
    }

    /// Runs until no task is ready, and returns the output of `main`.
    #[track_caller]
    pub(crate) fn run_until_complete<T: 'static>(
        &self,
        main: impl Future<Output = T> + 'static,
    ) -> T {
        let main = self.spawn(main);
        self.run();
        main.result()
    }
}

/// A handle of a task on a [`TestLoop`]. Dropping it does not cancel the task.
pub(crate) struct Task<T> {
    of: TestLoop,
    task: usize,
    output: Rc<RefCell<Option<T>>>,
}

impl<T> Task<T> {
    pub(crate) fn done(&self) -> bool {
        self.output.borrow().is_some()
    }

    /// Drops the task's future; `false` if the task is done or cancelled.
    pub(crate) fn cancel(&self) -> bool {
        let future = self.of.tasks.borrow_mut()[self.task].future.take();
        future.is_some()
    }

    /// Whether the task is neither done nor cancelled.
    pub(crate) fn pending(&self) -> bool {
        self.of.tasks.borrow()[self.task].future.is_some()
    }

    #[track_caller]
    pub(crate) fn result(&self) -> T {
        let output = self.output.borrow_mut().take();
        output.expect("the task has not returned")
    }
}
