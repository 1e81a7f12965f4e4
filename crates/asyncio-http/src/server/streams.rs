//! The tasks of the requests of an HTTP/2 connection.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;

use asyncio_loop::{TaskRef, spawn};
use asyncio_net::Connections;
use hyper::rt::Executor;

use super::connection::Connection;
use super::panics::poll_past_panics;

/// Runs each request of a connection in a task, and knows the tasks. So the connection can cancel its handlers, and
/// wait for them, as on HTTP/1.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    tasks: Connections<TaskRef>,
    connection: Rc<Connection>,
}

impl Streams {
    pub(super) fn new(connection: Rc<Connection>) -> Self {
        Self {
            tasks: Connections::new(),
            connection,
        }
    }

    /// Cancels the handlers. They may clean up.
    pub(super) fn cancel(&self) {
        for task in self.tasks.list() {
            task.cancel();
        }
    }

    /// Waits until the last handler has ended.
    pub(super) async fn wait_over(&self) {
        self.tasks.wait_until(|| self.tasks.is_empty()).await;
    }
}

impl<F> Executor<F> for Streams
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        let stream = self.tasks.begin();
        let counted = stream.clone();
        let connection = self.connection.clone();
        let task = spawn(async move {
            let _counted = counted;
            let mut future = pin!(future);
            poll_fn(|cx| poll_past_panics(&connection, || future.as_mut().poll(cx))).await;
        });
        stream.set(task.as_ref());
        task.detach();
    }
}
