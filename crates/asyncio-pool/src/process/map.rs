//! Many calls of one function, as a stream of what they return.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::iter::Fuse;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use serde::Serialize;

use super::error::ProcessError;
use super::job::ProcessJob;
use super::pool::ProcessPool;
use super::remote::RemoteFn;

/// The outcomes of many calls, in the order of their arguments. Made by [`ProcessPool::map`].
///
/// A bounded number of calls is under way at a time. Further arguments are taken from their iterator when outcomes are
/// taken from here.
///
/// # Cancellation
///
/// [`next`](Self::next) loses nothing. Dropping the stream drops its calls, as [`ProcessJob`] says.
#[must_use = "dropping it cancels the calls that have not begun"]
pub struct ProcessMap<F, K, I>
where
    F: RemoteFn<I::Item, K>,
    I: Iterator,
{
    pool: ProcessPool,
    function: F,
    arguments: Fuse<I>,
    jobs: VecDeque<ProcessJob<F::Value>>,
    in_flight: usize,
}

impl ProcessPool {
    /// Calls `function` with each of `arguments`, and gives what it returns in the same order, as a stream. A bounded
    /// number of calls is [under way](ProcessMap::in_flight) at a time.
    ///
    /// # Panics
    ///
    /// If the function has no `#[asyncio::remote]`, and without a running loop.
    #[track_caller]
    pub fn map<F, A, K, I>(&self, function: F, arguments: I) -> ProcessMap<F, K, I::IntoIter>
    where
        F: RemoteFn<A, K>,
        A: Serialize,
        I: IntoIterator<Item = A>,
    {
        ProcessMap::new(self.clone(), function, arguments.into_iter())
    }
}

impl<F, K, I> ProcessMap<F, K, I>
where
    F: RemoteFn<I::Item, K>,
    I: Iterator,
    I::Item: Serialize,
{
    fn new(pool: ProcessPool, function: F, arguments: I) -> Self {
        let in_flight = pool.max_workers() * 2;
        let mut this = Self {
            pool,
            function,
            arguments: arguments.fuse(),
            jobs: VecDeque::new(),
            in_flight,
        };
        this.fill();
        this
    }

    /// Sets how many calls are under way, or have ended and wait to be taken, at most; twice the number of workers
    /// unless set, at least 1. Calls that are under way stay so.
    #[doc(alias = "buffersize")]
    pub fn in_flight(mut self, calls: usize) -> Self {
        self.in_flight = calls.max(1);
        self.fill();
        self
    }

    fn fill(&mut self) {
        while self.jobs.len() < self.in_flight
            && let Some(arguments) = self.arguments.next()
        {
            self.jobs.push_back(self.pool.run(self.function, arguments));
        }
    }

    /// The next outcome; `None` after the last one.
    pub async fn next(&mut self) -> Option<Result<F::Value, ProcessError>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

// Nothing of it is pinned.
impl<F: RemoteFn<I::Item, K>, K, I: Iterator> Unpin for ProcessMap<F, K, I> {}

impl<F, K, I> Stream for ProcessMap<F, K, I>
where
    F: RemoteFn<I::Item, K>,
    I: Iterator,
    I::Item: Serialize,
{
    type Item = Result<F::Value, ProcessError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.fill();
        let Some(first) = self.jobs.front_mut() else {
            return Poll::Ready(None);
        };
        let outcome = ready!(Pin::new(first).poll(cx));
        self.jobs.pop_front();
        // The free place is used at once, not when the next outcome is asked for.
        self.fill();
        Poll::Ready(Some(outcome))
    }
}

impl<F: RemoteFn<I::Item, K>, K, I: Iterator> fmt::Debug for ProcessMap<F, K, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessMap")
            .field("function", &std::any::type_name::<F>())
            .field("jobs", &self.jobs)
            .finish_non_exhaustive()
    }
}
