//! The cooperative budget: how many operations in a row may be ready before one steps back.
//!
//! A loop of awaits that are all ready never lets other tasks run, and no time limit around it can end it. So
//! each operation that need not wait draws on a budget of the thread. When it is spent, the next one goes to
//! the end of the ready queue, once, with its place in line: nobody overtakes it, and dropped, it passes on what
//! it was given meanwhile.
//!
//! The budget is for one step of a task. Nobody has to fill it again for each step: only when it is spent is the
//! [hook](set_step_hook) asked which step is under way. If that is not the one in which the budget was filled
//! last, it is filled and nothing else happens. So an operation steps back after 128 to 256 ready ones of one
//! step, and a task that does a few in each step never does. Without a hook, on an executor that knows of no
//! steps, none ever does.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// How many operations a filled budget is good for.
const FULL: u32 = 128;

/// The number of the step under way, or `None` outside of any.
type StepHook = fn() -> Option<u64>;

thread_local! {
    // Without destructors, so that they can be used until the very end of the thread.
    static LEFT: Cell<u32> = const { Cell::new(FULL) };
    /// The step in which it was filled last.
    static FILLED_IN: Cell<Option<u64>> = const { Cell::new(None) };
    static HOOK: Cell<Option<StepHook>> = const { Cell::new(None) };
}

/// Sets what tells, on this thread, which step of a task is under way; gives what was set before.
///
/// For event loops. With a hook, an operation of this crate that need not wait steps back now and then: it
/// wakes its task and returns `Pending`, once, when more than 128 before it were ready in the same step. Two
/// steps must not have the same number. The event loop of `asyncio` sets its own while it runs.
///
/// ```
/// use asyncio_sync::{Event, set_step_hook};
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
    // What the loop does is to depend on nothing that ran on this thread before.
    LEFT.set(FULL);
    FILLED_IN.set(None);
    HOOK.replace(hook)
}

/// Draws on the budget. `false`: it is spent, and the operation has to step back.
#[inline]
pub(crate) fn draw() -> bool {
    LEFT.with(|left| {
        let n = left.get();
        left.set(n.wrapping_sub(1));
        n > 0 || fill()
    })
}

/// Fills the budget. Whether it was filled in another step the last time.
#[cold]
#[inline(never)]
fn fill() -> bool {
    LEFT.set(FULL);
    let step = HOOK.get().and_then(|step| step());
    FILLED_IN.replace(step) != step || step.is_none()
}

/// Lets others run, once.
#[derive(Debug, Default)]
pub(crate) struct StepBack {
    has: bool,
}

impl Future for StepBack {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.has, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
