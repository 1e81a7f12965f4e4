//! The operations that a workload needs from a runtime.
//!
//! Each workload is written once, against this trait, so all runtimes do the same work. [`Runtime::CAN`] lists the
//! operations that a runtime has. A workload that needs another one reports that, and measures nothing else.

use std::future::{Future, ready};
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use futures::future::LocalBoxFuture;

use crate::group::Group;
use crate::meter::Times;
use crate::primitives::Primitives;
use crate::system::System;
use crate::threads::Threads;
use crate::web::Web;
use crate::workloads::echo::Progress;

/// The abilities of a runtime, beyond running tasks and sleeping.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Abilities {
    /// Other threads may wake its tasks.
    pub(crate) foreign_wakes: bool,
    /// It has a `yield_now` of its own.
    pub(crate) own_yield: bool,
    /// It has a timeout.
    pub(crate) timeout: bool,
    /// It comes with a channel for its tasks.
    pub(crate) channel: bool,
}

/// The ways in which an echo server may use its connections, beside plain reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Through {
    /// A reader and a writer with buffers.
    Buffers,
    /// Callbacks.
    Protocol,
}

/// A runtime under test. Everything but [`block_on`](Self::block_on) is called from inside it.
pub(crate) trait Runtime: 'static {
    /// The handle of a spawned task.
    type Task<T: 'static>: 'static;
    /// The usual channel between two tasks of the runtime.
    type Channel: Channel;
    /// The usual way to run several futures inside one task.
    type Group: Group;
    /// The usual locks and queues.
    type Primitives: Primitives;
    /// The pool of threads, and the way back from it.
    type Threads: Threads;
    /// Its HTTP.
    type Web: Web;
    /// The files and the child processes.
    type System: System;

    const CAN: Abilities;
    /// The kinds of stream that [`serve_through`](Self::serve_through) can serve through.
    const THROUGH: &'static [Through] = &[];

    /// Whether this runtime takes part in a workload. A workload in which it would do the same as another runtime says
    /// nothing about it.
    fn takes_part(workload: &str) -> bool {
        let _ = workload;
        true
    }

    /// Runs `main` on a new runtime on this thread.
    fn block_on<F: Future<Output: 'static> + 'static>(main: F) -> F::Output;

    /// The same, with a pool of threads, where that has to be asked for.
    fn block_on_with_threads<F: Future<Output: 'static> + 'static>(main: F) -> F::Output {
        Self::block_on(main)
    }

    /// Starts a task on this thread. The task need not be `Send`.
    fn spawn<F: Future<Output: 'static> + 'static>(future: F) -> Self::Task<F::Output>;

    /// Waits for a task and returns its value.
    fn join<T: 'static>(task: Self::Task<T>) -> impl Future<Output = T> + 'static;

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static;

    /// Starts a task of tokio's, in the way that is usual in this runtime. `false`: it has none.
    fn spawn_on_tokio(future: impl Future<Output = ()> + Send + 'static) -> bool {
        drop(future);
        false
    }

    /// Yields by the runtime's own function.
    fn own_yield() -> impl Future<Output = ()> + 'static {
        ready(())
    }

    /// Runs a future under a time limit. `None` if the limit comes first.
    fn timeout<F: Future>(limit: Duration, future: F) -> impl Future<Output = Option<F::Output>> {
        let _ = limit;
        async { Some(future.await) }
    }

    /// Accepts `progress.connections()` connections, gives each a task with a buffer of `buffer`
    /// bytes that sends back what it receives, and ends when all of them are closed.
    fn serve(
        listener: std::net::TcpListener,
        buffer: usize,
        progress: Rc<Progress>,
    ) -> impl Future<Output = ()> + 'static;

    /// [`serve`](Self::serve) in another way.
    fn serve_through(
        through: Through,
        listener: std::net::TcpListener,
        buffer: usize,
        progress: Rc<Progress>,
    ) -> impl Future<Output = ()> + 'static {
        let _ = through;
        Self::serve(listener, buffer, progress)
    }

    /// Sends a datagram of 64 bytes to another task and waits for its answer, so many times. `None` without UDP.
    fn datagrams(trips: u64, times: Times) -> Option<LocalBoxFuture<'static, ()>> {
        let _ = (trips, times);
        None
    }

    /// Makes TLS connections over loopback, one after the other. On each, 64 bytes go to another task and back, so many
    /// times. The times are those of the trips, or of whole connections with one trip each. `None` without TLS.
    fn tls(connections: u64, trips: u64, times: Times) -> Option<LocalBoxFuture<'static, ()>> {
        let _ = (connections, trips, times);
        None
    }
}

/// An unbounded queue of numbers from one task to another.
pub(crate) trait Channel: 'static {
    type Sender: 'static;
    type Receiver: 'static;

    fn new() -> (Self::Sender, Self::Receiver);
    fn send(sender: &Self::Sender, value: u64) -> impl Future<Output = ()>;
    fn receive(receiver: &mut Self::Receiver) -> impl Future<Output = u64>;
}

/// The missing channel of a runtime without one. It cannot be made.
#[derive(Debug)]
pub(crate) struct NoChannel(PhantomData<()>);

impl Channel for NoChannel {
    type Sender = ();
    type Receiver = ();

    fn new() -> ((), ()) {
        unreachable!("asked for the channel of a runtime that has none")
    }

    async fn send((): &(), _value: u64) {}

    async fn receive((): &mut ()) -> u64 {
        0
    }
}
