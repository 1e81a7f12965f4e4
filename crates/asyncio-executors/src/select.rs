//! The engine of `select!`: the first of several futures, polled in place.
//!
//! The macro pins the futures on the stack of the enclosing code, and gives a closure that polls one of them. Nothing
//! is allocated, and no cancel scope opens. The futures are parts of the enclosing task, not tasks: a request to cancel
//! finds them as it finds the branches of a `join!`.
//!
//! The losers are dropped, also those that would clean up with `await`s. A select loop borrows its sources: streams,
//! futures kept by `&mut`, tasks. A request to a loser would reach into a source that the loser only borrows, and would
//! cancel what the next round needs.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use asyncio_task::{StepBack, order_below};

/// The outcome of a poll of one arm.
#[derive(Debug)]
pub enum ArmPoll<T> {
    /// Its future waits.
    Pending,
    /// Its future has returned a value that its pattern matches.
    Chosen(T),
    /// Its guard is false, or its pattern does not match the value. It is not polled again.
    Disabled,
}

/// Polls `N` arms in order until one is chosen. `None`: all are disabled.
pub fn select<const N: usize, T, P>(poll_arm: P) -> Select<N, P>
where
    P: FnMut(usize, &mut Context<'_>) -> ArmPoll<T> + Unpin,
{
    Select {
        poll_arm,
        disabled: [false; N],
        step_back: StepBack::new(),
    }
}

/// The future of [`select`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Select<const N: usize, P> {
    poll_arm: P,
    disabled: [bool; N],
    step_back: StepBack,
}

impl<const N: usize, T, P> Future for Select<N, P>
where
    P: FnMut(usize, &mut Context<'_>) -> ArmPoll<T> + Unpin,
{
    type Output = Option<T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let this = &mut *self;
        ready!(Pin::new(&mut this.step_back).poll(cx)); // so a loop of ready arms lets others run
        let mut waits = false;
        if order_below(1).is_some() {
            for n in shuffled::<N>() {
                if let Some(chosen) = this.poll_one(n, cx, &mut waits) {
                    return Poll::Ready(Some(chosen));
                }
            }
        } else {
            for n in 0..N {
                if let Some(chosen) = this.poll_one(n, cx, &mut waits) {
                    return Poll::Ready(Some(chosen));
                }
            }
        }
        match waits {
            true => Poll::Pending,
            false => Poll::Ready(None),
        }
    }
}

impl<const N: usize, T, P> Select<N, P>
where
    P: FnMut(usize, &mut Context<'_>) -> ArmPoll<T> + Unpin,
{
    #[inline(always)]
    fn poll_one(&mut self, n: usize, cx: &mut Context<'_>, waits: &mut bool) -> Option<T> {
        if self.disabled[n] {
            return None;
        }
        match (self.poll_arm)(n, cx) {
            ArmPoll::Chosen(value) => return Some(value),
            ArmPoll::Pending => *waits = true,
            ArmPoll::Disabled => self.disabled[n] = true,
        }
        None
    }
}

/// The outcome of a `select!` without `else` of which no arm is left.
#[cold]
#[track_caller]
pub fn all_disabled() -> ! {
    panic!(
        "each arm of this `select!` is disabled, by its guard or by a pattern that did not match: add an `else`"
    )
}

/// The numbers below `N`, in an order from the loop's seed.
#[cold]
fn shuffled<const N: usize>() -> [usize; N] {
    let mut all = std::array::from_fn(|n| n);
    for left in (1..N).rev() {
        all.swap(left, order_below(left + 1).unwrap_or(left));
    }
    all
}
