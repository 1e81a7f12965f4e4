//! Letting others go first, for futures that may be ready at their first poll. The rules are those of `budget.rs`.

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::engine::budget;
use crate::engine::current::{self, current_step};

/// Lets other tasks run once, if the task has had many ready awaits in this step. For futures that may be ready at
/// their first poll.
///
/// ```
/// use asyncio_task::{StepBack, Tasks};
///
/// let tasks = Tasks::new(|| ());
/// tasks.enter(&(), || {
///     let mut task = tasks.spawn(async {
///         for _ in 0..1000 {
///             StepBack::new().await;
///         }
///     });
///     let before = tasks.steps();
///     while tasks.run_one() {}
///     task.try_take().unwrap().unwrap();
///     assert!((4..10).contains(&(tasks.steps() - before)));
/// });
/// ```
///
/// Poll it before the future takes anything, and not again after it was ready. Then a future that steps back loses
/// nothing when it is dropped.
#[derive(Debug, Default)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct StepBack {
    has: bool,
}

impl StepBack {
    /// A step back that has not drawn on the budget.
    pub const fn new() -> Self {
        Self { has: false }
    }
}

impl Future for StepBack {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.has, true) || budget::draw(current_step) {
            return Poll::Ready(());
        }
        current::end_turn();
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
