//! The tasks of the requests of an HTTP/2 connection.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;

use asyncio_loop::{TaskRef, spawn};
use asyncio_sync::Event;
use hyper::rt::Executor;

/// Runs each request of a connection in a task, and knows the tasks. So the connection can cancel its handlers, and wait
/// for them, as on HTTP/1.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams(Rc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    tasks: RefCell<BTreeMap<u64, TaskRef>>,
    started: Cell<u64>,
    ended: Event,
}

impl Streams {
    /// Cancels the handlers. They may clean up.
    pub(super) fn cancel(&self) {
        let tasks: Vec<TaskRef> = self.0.tasks.borrow().values().cloned().collect();
        for task in tasks {
            task.cancel();
        }
    }

    /// Waits until the last handler has ended.
    pub(super) async fn wait_over(&self) {
        while !self.0.tasks.borrow().is_empty() {
            self.0.ended.clear();
            self.0.ended.wait().await;
        }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        let number = self.0.started.get();
        self.0.started.set(number + 1);
        let ended = Ended {
            streams: self.clone(),
            number,
        };
        let task = spawn(async move {
            let _ended = ended;
            drop(future.await);
        });
        let mut tasks = self.0.tasks.borrow_mut();
        tasks.insert(number, task.as_ref());
        drop(tasks);
        task.detach();
    }
}

/// Dropped at the end of a task.
struct Ended {
    streams: Streams,
    number: u64,
}

impl Drop for Ended {
    fn drop(&mut self) {
        let inner = &self.streams.0;
        let task = inner.tasks.borrow_mut().remove(&self.number);
        drop(task);
        inner.ended.set();
    }
}
