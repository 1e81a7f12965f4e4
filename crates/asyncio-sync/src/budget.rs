//! The cooperative budget: the number of ready operations in one step before an operation yields.
//!
//! A loop of awaits that are all ready never lets other tasks run, and no timeout around it can end
//! it. So each operation that need not wait spends one unit of the thread's budget. When the budget
//! is spent, the next operation yields once: its task goes to the end of the ready queue. The
//! operation keeps its position as a waiter, so no other task overtakes it. If it is dropped, its
//! grant goes to the next waiter.
//!
//! The budget is for one step of a task, but it is not refilled at each step. Only when it is
//! spent, the [hook](set_step_hook) is asked for the number of the current step. If the budget was
//! last refilled in another step, it is refilled and the operation does not yield. So an operation
//! yields after 128 to 256 ready operations in one step. A task with few operations in each step
//! never yields. Without a hook, no operation yields.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::thread_hooks::report_yield;

/// The number of operations in a full budget.
const OPS_PER_STEP: u32 = 128;

/// Returns the number of the current step, or `None` outside of a step.
type StepHook = fn() -> Option<u64>;

thread_local! {
    // Without destructors, so that they can be used until the thread ends.
    static REMAINING: Cell<u32> = const { Cell::new(OPS_PER_STEP) };
    /// The step in which the budget was last refilled.
    static REFILLED_IN: Cell<Option<u64>> = const { Cell::new(None) };
    static HOOK: Cell<Option<StepHook>> = const { Cell::new(None) };
}

/// Sets the hook that returns the number of the current step of this thread; returns the previous
/// hook.
///
/// For event loops. With a hook, an operation of this crate that need not wait yields now and then.
/// It wakes its task and returns `Pending` once, if at least 128 operations before it were ready in
/// the same step. Two steps must have different numbers. The event loop of `asyncio` sets its own
/// hook while it runs.
///
/// ```
/// # mod asyncio { pub use asyncio_sync as sync; }
/// use asyncio::sync::{Event, set_step_hook};
/// use futures::FutureExt;
///
/// let event = Event::new();
/// event.set();
/// let before = set_step_hook(Some(|| Some(1))); // one long step
/// let ready = (0..1000).filter(|_| event.wait().now_or_never().is_some()).count();
/// assert!((990..1000).contains(&ready));
/// set_step_hook(before);
/// ```
pub fn set_step_hook(hook: Option<StepHook>) -> Option<StepHook> {
    // A full budget, so that a loop does not depend on code that ran on this thread before.
    REMAINING.set(OPS_PER_STEP);
    REFILLED_IN.set(None);
    HOOK.replace(hook)
}

/// Spends one unit of the budget; `false` if the budget is spent and the operation must yield.
#[inline]
pub(crate) fn try_spend() -> bool {
    REMAINING.with(|remaining| {
        let n = remaining.get();
        remaining.set(n.wrapping_sub(1));
        n > 0 || refill()
    })
}

/// Refills the budget. Returns whether the last refill was in another step.
#[cold]
#[inline(never)]
fn refill() -> bool {
    REMAINING.set(OPS_PER_STEP);
    let step = HOOK.get().and_then(|step| step());
    let is_new = REFILLED_IN.replace(step) != step || step.is_none();
    if !is_new {
        report_yield();
    }
    is_new
}

/// Yields once if the budget is spent. For operations that have no waiter yet.
pub(crate) async fn spend() {
    if !try_spend() {
        YieldOnce::default().await;
    }
}

/// A future that yields once.
#[derive(Debug, Default)]
struct YieldOnce {
    has_yielded: bool,
}

impl Future for YieldOnce {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.has_yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
