//! Waiting for several tasks that go on whatever comes.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use asyncio_task::{Children, Outcome, SpawnOptions, StepBack, Task};
use futures_core::{FusedStream, Stream};

use crate::shrink::shrink;
use crate::timeout::timeout;

/// The condition on which [`wait`] returns.
#[derive(Debug)]
pub enum ReturnWhen<T> {
    /// One task has ended.
    FirstCompleted,
    /// A task has ended for which this is true, such as the first good answer, or all have ended.
    First(fn(&mut Task<T>) -> bool),
    /// All tasks have ended.
    AllCompleted,
}

impl<T: Outcome> ReturnWhen<T> {
    /// A task has failed, with an `Err` or a panic, or all have ended. A cancelled task has not failed.
    #[doc(alias = "FIRST_EXCEPTION")]
    #[allow(
        non_upper_case_globals,
        reason = "written like the others, of which it is a special case"
    )]
    pub const FirstError: Self = Self::First(Task::has_failed);
}

impl<T> Clone for ReturnWhen<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for ReturnWhen<T> {}

/// Waits until some of `tasks` have ended, removes these from the vector, and returns them in order. The others stay
/// and go on: no task is cancelled. Each call looks at each task, so [`as_completed`] is better for many tasks one by
/// one.
///
/// A task that cannot end while this waits is returned with those that have ended: the waiting task itself, or a task
/// of another loop. Awaiting it gives [`JoinError`](asyncio_task::JoinError), which says why.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_loop::*; }
/// use asyncio::{ReturnWhen, sleep, spawn, wait};
/// use std::time::Duration;
/// # asyncio_loop::run(async {
/// let mut tasks: Vec<_> = [20, 1]
///     .map(|ms| spawn(async move { sleep(Duration::from_millis(ms)).await; ms }))
///     .into();
/// let done = wait(&mut tasks, ReturnWhen::FirstCompleted).await;
/// assert_eq!((done.len(), tasks.len()), (1, 1));
/// for task in done {
///     assert_eq!(task.await.unwrap(), 1);
/// }
/// # tasks.pop().unwrap().await.unwrap();
/// # });
/// ```
///
/// # Cancellation
///
/// All tasks stay where they are, and go on. If the request ends the code that has the vector too, the drop of the
/// vector cancels them. That does not interrupt a cleanup that the same cause has begun in a task, such as a time limit
/// of the same instant. Code that drops the vector later, in another step, makes a request of its own.
///
/// # Panics
///
/// If there are no tasks, or if the condition panics.
pub async fn wait<T>(tasks: &mut Vec<Task<T>>, until: ReturnWhen<T>) -> Vec<Task<T>> {
    until_enough(tasks, until).await;
    take_finished(tasks)
}

/// [`wait`] with a time limit. Returns the tasks that have ended by then, perhaps none.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_loop::*; }
/// use asyncio::{ReturnWhen, sleep, spawn, wait_with_timeout};
/// use std::time::Duration;
/// # asyncio_loop::run(async {
/// let mut tasks = vec![spawn(sleep(Duration::from_secs(3600)))];
/// let limit = Duration::from_millis(1);
/// let done = wait_with_timeout(&mut tasks, ReturnWhen::AllCompleted, limit).await;
/// assert_eq!((done.len(), tasks.len()), (0, 1)); // it sleeps on
/// # });
/// ```
///
/// # Cancellation
///
/// As with [`wait`].
///
/// # Panics
///
/// As [`wait`].
pub async fn wait_with_timeout<T>(
    tasks: &mut Vec<Task<T>>,
    until: ReturnWhen<T>,
    limit: Duration,
) -> Vec<Task<T>> {
    // Out of time or not, what counts is who has ended when this goes on.
    let _ = timeout(limit, until_enough(tasks, until)).await;
    take_finished(tasks)
}

fn take_finished<T>(tasks: &mut Vec<Task<T>>) -> Vec<Task<T>> {
    let done = |task: &mut Task<T>| task.is_finished() || task.unawaitable().is_some();
    tasks.extract_if(.., done).collect()
}

async fn until_enough<T>(tasks: &mut [Task<T>], until: ReturnWhen<T>) {
    assert!(!tasks.is_empty(), "`wait` needs at least one task");
    let enough = |task: &mut Task<T>| match until {
        ReturnWhen::FirstCompleted => true,
        ReturnWhen::First(is_it) => is_it(task),
        ReturnWhen::AllCompleted => false,
    };
    StepBack::new().await;
    // Each is watched by a child, so that each end costs one look at one task.
    let found = Cell::new(false);
    let watches = Children::in_order();
    for task in tasks {
        if task.unawaitable().is_some() {
            // It counts as one that has ended: awaiting it says why it cannot be waited for.
            if enough(task) {
                found.set(true);
            }
            continue;
        }
        let (enough, found) = (&enough, &found);
        watches
            .spawn(SpawnOptions::callback(), async move {
                poll_fn(|cx| task.poll_finished(cx)).await;
                if enough(task) {
                    found.set(true);
                }
            })
            .leave();
    }
    let panicked = Cell::new(None);
    poll_fn(|cx| {
        watches.poll_woken_with(cx, |_, payload| panicked.set(Some(payload)));
        if let Some(payload) = panicked.take() {
            resume_unwind(payload); // the condition's
        }
        if found.get() || watches.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// The tasks in the order in which they end. First come those that cannot end while this waits, as with [`wait`].
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_loop::*; }
/// use asyncio::{as_completed, sleep, spawn};
/// use futures::StreamExt;
/// use std::time::Duration;
/// # asyncio_loop::run(async {
/// let tasks = [20, 1].map(|ms| spawn(async move { sleep(Duration::from_millis(ms)).await; ms }));
/// let mut done = as_completed(tasks);
/// assert_eq!(done.next().await.unwrap().await.unwrap(), 1);
/// assert_eq!(done.next().await.unwrap().await.unwrap(), 20);
/// assert!(done.next().await.is_none());
/// # });
/// ```
///
/// # Cancellation
///
/// A cancelled wait for the next task loses nothing. Dropping the stream drops its remaining tasks, which cancels them.
/// [`into_remaining`](AsCompleted::into_remaining) gives them back.
///
/// # Panics
///
/// When polled outside of a loop.
pub fn as_completed<T: 'static>(tasks: impl IntoIterator<Item = Task<T>>) -> AsCompleted<T> {
    AsCompleted {
        waiting: tasks.into_iter().collect(),
        watches: None,
        next: StepBack::new(),
        has_ended: false,
    }
}

/// The stream of [`as_completed`].
#[derive(Debug)]
#[must_use = "streams do nothing unless they are polled"]
pub struct AsCompleted<T: 'static> {
    /// Before the first poll.
    waiting: Vec<Task<T>>,
    watches: Option<Watches<T>>,
    /// Of the task that comes next.
    next: StepBack,
    /// It has said that no task is left.
    has_ended: bool,
}

#[derive(Debug)]
struct Watches<T: 'static> {
    /// Each has a task that has not ended.
    children: Children<'static>,
    ended: Ended<T>,
}

/// The tasks whose watches have ended, in that order.
type Ended<T> = Rc<RefCell<VecDeque<Task<T>>>>;

/// A task that is watched. When the watch ends, or is ended, the task goes to those that have ended.
struct Watched<T: 'static> {
    task: Option<Task<T>>,
    ended: Ended<T>,
}

impl<T> Drop for Watched<T> {
    fn drop(&mut self) {
        self.ended.borrow_mut().extend(self.task.take());
    }
}

impl<T> AsCompleted<T> {
    /// The number of tasks that have not been given out.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.watches {
            None => self.waiting.len(),
            Some(watches) => watches.children.len() + watches.ended.borrow().len(),
        }
    }

    /// Whether all have been given out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tasks that have not been given out.
    #[must_use]
    pub fn into_remaining(self) -> Vec<Task<T>> {
        let Some(watches) = self.watches else {
            return self.waiting;
        };
        watches.children.end();
        watches.ended.take().into()
    }

    /// Adds a task.
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_loop::*; }
    /// use asyncio::{as_completed, spawn};
    /// use futures::StreamExt;
    /// # asyncio_loop::run(async {
    /// let mut done = as_completed([spawn(async { 1 })]);
    /// let mut sum = 0;
    /// while let Some(task) = done.next().await {
    ///     let n = task.await.unwrap();
    ///     sum += n;
    ///     if n < 4 {
    ///         done.push(spawn(async move { n + 1 }));
    ///     }
    /// }
    /// assert_eq!(sum, 10);
    /// # });
    /// ```
    pub fn push(&mut self, task: Task<T>) {
        self.has_ended = false;
        match &self.watches {
            None => self.waiting.push(task),
            Some(watches) => watches.add(task),
        }
    }

    fn watch(&mut self) -> &Watches<T> {
        let waiting = std::mem::take(&mut self.waiting);
        self.watches.get_or_insert_with(|| {
            let watches = Watches {
                children: Children::in_order(),
                ended: Rc::default(),
            };
            waiting.into_iter().for_each(|task| watches.add(task));
            watches
        })
    }
}

impl<T> Watches<T> {
    fn add(&self, task: Task<T>) {
        if task.unawaitable().is_some() {
            return self.ended.borrow_mut().push_back(task);
        }
        let mut watched = Watched {
            task: Some(task),
            ended: self.ended.clone(),
        };
        let watch = async move {
            poll_fn(|cx| match &mut watched.task {
                Some(task) => task.poll_finished(cx),
                None => Poll::Ready(()),
            })
            .await;
        };
        let watch = self.children.spawn(SpawnOptions::callback(), watch);
        watch.leave();
    }

    fn next_ended(&self) -> Option<Task<T>> {
        let mut ended = self.ended.borrow_mut();
        let next = ended.pop_front();
        shrink(&mut ended);
        next
    }
}

impl<T> Stream for AsCompleted<T> {
    type Item = Task<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Task<T>>> {
        ready!(Pin::new(&mut self.next).poll(cx));
        let watches = self.watch();
        watches.children.poll_woken(cx);
        let next = watches.next_ended();
        if next.is_none() && !watches.children.is_empty() {
            return Poll::Pending;
        }
        self.next = StepBack::new();
        self.has_ended = next.is_none();
        Poll::Ready(next)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }
}

impl<T> FusedStream for AsCompleted<T> {
    /// Whether the stream has ended, and no task was added since.
    fn is_terminated(&self) -> bool {
        self.has_ended
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use asyncio_loop::{run, spawn};

    use super::*;

    async fn next<T>(tasks: &mut AsCompleted<T>) -> Option<Task<T>> {
        poll_fn(|cx| Pin::new(&mut *tasks).poll_next(cx)).await
    }

    #[test]
    fn a_burst_of_ended_tasks_frees_its_memory() {
        run(async {
            let watches = Watches {
                children: Children::in_order(),
                ended: Rc::default(),
            };
            let ended = (0..30_000).map(|_| spawn(async {}));
            watches.ended.borrow_mut().extend(ended);
            while watches.next_ended().is_some() {}
            assert!(watches.ended.borrow().capacity() < 10_000);
        });
    }

    #[test]
    fn those_that_have_ended_remain_before_those_that_have_not() {
        run(async {
            let never = |n| spawn(async move { if n > 1 { pending().await } else { n } });
            let mut tasks = as_completed([2, 0, 3, 1].map(never));
            assert_eq!(next(&mut tasks).await.unwrap().await.unwrap(), 0);
            tasks.push(never(4));
            assert_eq!(tasks.len(), 4);
            let mut remaining = tasks.into_remaining();
            let ended: Vec<_> = remaining.iter().map(Task::is_finished).collect();
            assert_eq!(ended, [true, false, false, false]);
            assert_eq!(remaining.remove(0).await.unwrap(), 1);
        });
    }
}
