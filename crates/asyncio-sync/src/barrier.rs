//! The barrier: tasks wait in rounds, until all tasks of a round have arrived.
//!
//! ```text
//!                   the last one arrives           the last one has left
//!      ┌─▶ Filling ─────────(1)────────▶ Draining ─────────(2)─────────▶ Drained ─┐
//!      │      │                             │                               ▲     │
//!      │      │ reset, if tasks are inside  │ reset                         │     │
//!      │      └─────────(3)─▶ Resetting ◀───┘                               │     │
//!      │                          └───── the last one has left ────(2)──────┘     │
//!      └──────────── a task arrives, or a waiting task is polled ──(4)────────────┘
//!
//!  any ──abort──▶ Broken ──reset──▶ Resetting, or Filling if no task is inside
//! ```
//!
//! - The tasks of the current round are *inside*. In `Filling` they wait. In the other phases they
//!   are granted, and leave one by one as they run. Tasks that arrive meanwhile are *outside*: they
//!   are in the same wait list, but belong to no round. (4) makes them the next round.
//! - (4) is not part of (2). The last task of a round may reset the barrier after (2), and that must not break the
//!   tasks outside. (2) wakes the first task outside, so (4) always happens.
//! - A task inside gets an index if the round is `Draining` when it leaves, and an error if the
//!   round was reset or broken.
//! - The indices of a round are assigned when the round is complete, in order of arrival. So they
//!   are unique, even if tasks were cancelled before.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use thiserror::Error;

use asyncio_console::ResourceKind;
use futures_core::FusedFuture;

use crate::budget;
use crate::wait_list::{WaitList, WaiterState};
use crate::wait_queue::WaitQueue;

const KIND: &ResourceKind = &ResourceKind::sync("Barrier", "wait");

/// A barrier: no task passes before all tasks have arrived.
///
/// This is asyncio's `Barrier`. It can be used for any number of rounds, which never mix. A task
/// that arrives while a round is leaving waits for the next round.
///
/// ```
/// # mod asyncio { pub use asyncio_sync as sync; }
/// use asyncio::sync::{Barrier, BrokenBarrier};
/// # async fn warm_up(_: &str) {}
///
/// # futures::executor::block_on(async {
/// // No runner starts before all are warm. One of them fires the pistol.
/// let start = Barrier::new(3);
/// let runner = async |name| {
///     warm_up(name).await;
///     let index = start.wait().await?;
///     Ok::<_, BrokenBarrier>(if index == 0 { "fires, and runs" } else { "runs" })
/// };
/// let (ada, bob, cleo) = futures::join!(runner("ada"), runner("bob"), runner("cleo"));
///
/// assert_eq!((ada?, bob?, cleo?), ("fires, and runs", "runs", "runs"));
/// # Ok::<_, BrokenBarrier>(()) }).unwrap();
/// ```
///
/// # Cancellation
///
/// A task that is cancelled while its round fills no longer counts, so another task must arrive in
/// its place. When the round is complete, cancelling a task does not affect the others. If a
/// waiting future is leaked with [`mem::forget`](std::mem::forget), it counts as arrived, its round
/// never ends, and no later round begins.
pub struct Barrier {
    parties: usize,
    phase: Cell<Phase>,
    /// The number of granted tasks of the current round that have not left.
    leaving: Cell<usize>,
    waiters: WaitQueue<Exit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Filling,
    Draining,
    Drained,
    Resetting,
    Broken,
}

/// The way in which a waiting task leaves.
#[derive(Debug, Clone, Copy)]
enum Exit {
    /// As a task of the round, with this index if the round is not reset or broken.
    Inside(usize),
    /// As a task outside of a round, because the barrier was aborted.
    Outside,
}

/// The error of [`Barrier::wait`]: the barrier was aborted, or reset while this task waited.
///
/// After an [`abort`](Barrier::abort), tasks can wait again only after a [`reset`](Barrier::reset).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the barrier was aborted, or reset while this task waited")]
#[doc(alias = "BrokenBarrierError")]
pub struct BrokenBarrier;

impl Barrier {
    /// Creates a barrier for `parties` tasks.
    ///
    /// # Panics
    ///
    /// If `parties` is 0.
    #[track_caller]
    pub const fn new(parties: usize) -> Self {
        assert!(parties > 0, "`parties` must be at least 1");
        Self {
            parties,
            phase: Cell::new(Phase::Filling),
            leaving: Cell::new(0),
            waiters: WaitQueue::new(KIND),
        }
    }

    /// Waits until all parties have arrived, and returns the index of this task.
    ///
    /// The indices of a round are unique, from 0 in order of arrival. The last task does not yield.
    ///
    /// # Errors
    ///
    /// If the barrier is broken, or if it is aborted or reset before this task has passed.
    pub fn wait(&self) -> impl FusedFuture<Output = Result<usize, BrokenBarrier>> {
        Wait {
            barrier: self,
            waiter: WaiterState::New,
        }
    }

    /// Ends the current round with an error, and repairs a broken barrier.
    ///
    /// The error goes to all tasks of the round, including tasks of a complete round that have not
    /// run since. Tasks that arrived later keep waiting for the next round.
    pub fn reset(&self) {
        let inside = self.inside();
        match self.phase.get() {
            Phase::Filling | Phase::Broken if inside == 0 => self.phase.set(Phase::Filling),
            Phase::Filling => self.fail_round(Phase::Resetting),
            Phase::Draining | Phase::Resetting | Phase::Broken => self.phase.set(Phase::Resetting),
            Phase::Drained => {}
        }
    }

    /// Breaks the barrier: waiting and later tasks get an error, until a [`reset`](Self::reset).
    ///
    /// Use it when one of the parties cannot arrive.
    pub fn abort(&self) {
        match self.phase.get() {
            Phase::Filling => self.fail_round(Phase::Broken),
            _ => {
                self.phase.set(Phase::Broken);
                self.waiters.grant_and_wake(usize::MAX, |_| Exit::Outside);
            }
        }
    }

    /// The number of tasks in a round.
    pub fn parties(&self) -> usize {
        self.parties
    }

    /// The number of tasks that have arrived in a round that is not complete.
    pub fn n_waiting(&self) -> usize {
        match self.phase.get() {
            Phase::Filling => self.waiters.waiting(),
            _ => 0,
        }
    }

    /// Whether the barrier was aborted, and not reset since.
    pub fn broken(&self) -> bool {
        self.phase.get() == Phase::Broken
    }

    /// The number of tasks inside.
    fn inside(&self) -> usize {
        match self.phase.get() {
            Phase::Filling => self.waiters.waiting(),
            _ => self.leaving.get(),
        }
    }

    /// Completes the round if the arriving task is the last one. Returns whether it is.
    fn try_complete(&self) -> bool {
        let others = self.parties - 1;
        let is_complete = self.phase.get() == Phase::Filling && self.waiters.waiting() == others;
        if is_complete && others > 0 {
            self.complete_round(others);
        }
        is_complete
    }

    /// (1) Grants the first `count` waiters as a complete round, together with an arriving task if
    /// any.
    fn complete_round(&self, count: usize) {
        self.phase.set(Phase::Draining);
        self.leaving.set(count);
        self.waiters.grant_and_wake(count, Exit::Inside);
    }

    /// Ends a round before it is complete: all waiting tasks leave with an error.
    fn fail_round(&self, phase: Phase) {
        self.phase.set(phase);
        self.leaving.set(self.waiters.waiting());
        self.waiters.grant_and_wake(usize::MAX, Exit::Inside);
    }

    /// A task inside leaves. (2) if it is the last.
    fn leave_round(&self) {
        self.leaving.set(self.leaving.get() - 1);
        if self.leaving.get() > 0 || self.phase.get() == Phase::Broken {
            return;
        }
        if self.waiters.waiting() == 0 {
            return self.phase.set(Phase::Filling);
        }
        self.phase.set(Phase::Drained);
        let first_outside = self.waiters.with(WaitList::take_first_waker);
        if let Some(waker) = first_outside {
            waker.wake();
        }
    }

    /// (4) Makes the tasks outside the next round, if the phase is `Drained`.
    fn begin_round(&self) {
        if self.phase.get() == Phase::Drained {
            self.phase.set(Phase::Filling);
            if self.waiters.waiting() >= self.parties {
                self.complete_round(self.parties);
            }
        }
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("phase", &self.phase.get())
            .field("parties", &self.parties)
            .field("n_waiting", &self.n_waiting())
            .field("waiters", &self.waiters.len())
            .finish()
    }
}

struct Wait<'a> {
    barrier: &'a Barrier,
    waiter: WaiterState,
}

impl Future for Wait<'_> {
    type Output = Result<usize, BrokenBarrier>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { barrier, waiter } = &mut *self;
        if *waiter == WaiterState::New && !budget::try_spend() {
            // The task has not arrived yet, so it loses no position.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        barrier.begin_round();
        let try_now = || barrier.broken() || barrier.try_complete();
        let polled = barrier.waiters.poll(waiter, cx, Exit::Outside, try_now);
        let phase = barrier.phase.get();
        polled.map(|exit| match exit {
            None if phase == Phase::Broken => Err(BrokenBarrier),
            None => Ok(barrier.parties - 1),
            Some(Exit::Outside) => Err(BrokenBarrier),
            Some(Exit::Inside(index)) => {
                barrier.leave_round();
                match phase {
                    Phase::Resetting | Phase::Broken => Err(BrokenBarrier),
                    Phase::Filling | Phase::Draining | Phase::Drained => Ok(index),
                }
            }
        })
    }
}

impl FusedFuture for Wait<'_> {
    fn is_terminated(&self) -> bool {
        self.waiter.is_done()
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let WaiterState::Listed(key) = self.waiter {
            let removed = self.barrier.waiters.remove(key);
            match removed.grant {
                Exit::Inside(_) if removed.was_granted => self.barrier.leave_round(),
                // It may be the task that (2) has woken.
                _ => self.barrier.begin_round(),
            }
        }
    }
}
