//! Many calls of one function, as a stream of their outcomes.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::iter::Fuse;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use serde::Serialize;

use super::chunk::{Answer, Chunk, MOST_CALLS};
use super::error::ProcessError;
use super::frame::Kind;
use super::job::{ProcessJob, read_answer};
use super::pool::ProcessPool;
use super::remote::RemoteFn;

/// The report of a worker that has answered fewer calls than it had.
const MISSING: &str = "the answer to a call of a chunk is missing";

/// The outcomes of many calls, in the order of their arguments. Made by [`ProcessPool::map`].
///
/// A bounded number of calls is under way at a time. Each outcome that is taken from the stream lets it take further
/// arguments from the iterator. Calls of microseconds are faster in [chunks](Self::chunk_size).
///
/// # Cancellation
///
/// [`next`](Self::next) loses nothing. Dropping the stream drops its calls, each like a dropped [`ProcessJob`].
#[must_use = "dropping it cancels the calls that have not begun"]
pub struct ProcessMap<F, K, I>
where
    F: RemoteFn<I::Item, K>,
    I: Iterator,
{
    pool: ProcessPool,
    function: F,
    arguments: Fuse<I>,
    /// The arguments that had no room in their chunk, written.
    left_over: Option<Vec<u8>>,
    /// The chunk that is being put together. It is here, and not in a variable, because the iterator may panic.
    chunk: Option<Chunk>,
    /// Outcomes that have come with others.
    ready: VecDeque<Result<F::Value, ProcessError>>,
    under_way: VecDeque<UnderWay<F::Value>>,
    in_flight: usize,
    chunk_size: usize,
}

/// A call, or a chunk of them, that has been sent or has failed before.
#[derive(Debug)]
enum UnderWay<V> {
    Call(ProcessJob<V>),
    /// A chunk, and the number of its calls.
    Chunk(ProcessJob<Vec<Answer>>, usize),
    Failed(ProcessError),
}

impl ProcessPool {
    /// Calls `function` with each of `arguments`, and returns a stream of the outcomes, in the same order. A bounded
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
            left_over: None,
            chunk: None,
            ready: VecDeque::new(),
            under_way: VecDeque::new(),
            in_flight,
            chunk_size: 1,
        };
        this.fill();
        this
    }

    /// Sets the maximum number of calls, or chunks, that are under way or wait to be taken, at least 1. The default is
    /// twice the number of workers. Calls that are under way go on.
    #[doc(alias = "buffersize")]
    pub fn in_flight(mut self, calls: usize) -> Self {
        self.in_flight = calls.max(1);
        self.fill();
        self
    }

    /// Sets the number of calls that are sent to a worker together, from 1 to 4096. The default is 1. The worker makes
    /// them one after the other and answers once. The first calls of this stream are sent before this is set.
    ///
    /// A call costs a message there and one back, some 20 µs. In a chunk of 100 it costs a hundredth of that. Each call
    /// has an outcome of its own. If their worker dies, all calls of the chunk have [`ProcessError::Died`]. The chunk
    /// counts as one call for [`job_time_limit`](crate::ProcessPoolBuilder::job_time_limit) and
    /// [`max_tasks_per_worker`](crate::ProcessPoolBuilder::max_tasks_per_worker). Its arguments, and its values, take
    /// the [`message_limit`](crate::ProcessPoolBuilder::message_limit) together: a chunk is sent before it exceeds the
    /// limit.
    #[doc(alias = "chunksize")]
    pub fn chunk_size(mut self, calls: usize) -> Self {
        self.chunk_size = calls.clamp(1, MOST_CALLS);
        self.fill();
        self
    }

    fn fill(&mut self) {
        while self.under_way.len() < self.in_flight {
            let sent = match self.chunk_size {
                1 if self.left_over.is_none() => self.send_one(),
                _ => self.send_chunk(),
            };
            if !sent {
                return;
            }
        }
    }

    /// Sends a call. `false` if no arguments are left.
    fn send_one(&mut self) -> bool {
        let Some(arguments) = self.arguments.next() else {
            return false;
        };
        let job = self.pool.run(self.function, arguments);
        self.under_way.push_back(UnderWay::Call(job));
        true
    }

    /// Sends a chunk. `false` if there are no calls.
    fn send_chunk(&mut self) -> bool {
        let mut failed = None;
        let pool = &self.pool;
        let chunk = self.chunk.get_or_insert_with(|| pool.new_chunk::<F>());
        while chunk.calls() < self.chunk_size {
            let written = match self.left_over.take() {
                Some(written) => Ok(written),
                None => match self.arguments.next() {
                    Some(arguments) => pool.write_arguments(&arguments),
                    None => break,
                },
            };
            match written {
                Ok(arguments) if chunk.add(&arguments) => {}
                Ok(arguments) => {
                    self.left_over = Some(arguments);
                    break;
                }
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let calls = chunk.calls();
        if calls > 0
            && let Some(chunk) = self.chunk.take()
        {
            let job = self.pool.run_chunk(chunk);
            self.under_way.push_back(UnderWay::Chunk(job, calls));
        }
        let has_failed = failed.is_some();
        self.under_way.extend(failed.map(UnderWay::Failed));
        calls > 0 || has_failed
    }

    /// Waits for the first of what is under way, and makes its outcomes ready. Pending as well if there is nothing.
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.under_way.front_mut() {
            None => return Poll::Pending,
            Some(UnderWay::Call(job)) => {
                let outcome = ready!(Pin::new(job).poll(cx));
                self.ready.push_back(outcome);
            }
            Some(UnderWay::Chunk(job, calls)) => {
                let answers = ready!(Pin::new(job).poll(cx));
                let (answers, missing) = match answers {
                    Ok(answers) => (answers, ProcessError::Garbage(MISSING.to_owned())),
                    Err(error) => (Vec::new(), error),
                };
                let mut answers = answers.iter();
                self.ready.extend((0..*calls).map(|_| match answers.next() {
                    Some((kind, body)) => match Kind::of(*kind) {
                        Some(kind) => read_answer(kind, body),
                        None => Err(ProcessError::Garbage(MISSING.to_owned())),
                    },
                    None => Err(missing.clone()),
                }));
            }
            Some(UnderWay::Failed(error)) => {
                let error = error.clone();
                self.ready.push_back(Err(error));
            }
        }
        self.under_way.pop_front();
        Poll::Ready(())
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
        if self.ready.is_empty() {
            self.fill();
            if self.under_way.is_empty() {
                return Poll::Ready(None);
            }
            ready!(self.poll_first(cx));
            // The free place is used at once, not when the next outcome is asked for.
            self.fill();
        }
        Poll::Ready(self.ready.pop_front())
    }
}

impl<F: RemoteFn<I::Item, K>, K, I: Iterator> fmt::Debug for ProcessMap<F, K, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessMap")
            .field("function", &std::any::type_name::<F>())
            .field("under_way", &self.under_way.len())
            .finish_non_exhaustive()
    }
}
