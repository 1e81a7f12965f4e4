//! The tasks of the requests of an HTTP/2 connection.

use std::future::Future;

use asyncio_loop::{TaskRef, spawn};
use asyncio_net::Connections;
use hyper::rt::Executor;

/// Runs each request of a connection in a task, and knows the tasks. So the connection can cancel its handlers, and
/// wait for them, as on HTTP/1.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams(Connections<TaskRef>);

impl Streams {
    /// Cancels the handlers. They may clean up.
    pub(super) fn cancel(&self) {
        for task in self.0.list() {
            task.cancel();
        }
    }

    /// Waits until the last handler has ended.
    pub(super) async fn wait_over(&self) {
        self.0.wait_until(|| self.0.is_empty()).await;
    }
}

impl<F> Executor<F> for Streams
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        let stream = self.0.begin();
        let counted = stream.clone();
        let task = spawn(async move {
            let _counted = counted;
            drop(future.await);
        });
        stream.set(task.as_ref());
        task.detach();
    }
}
