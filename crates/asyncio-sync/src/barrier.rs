//! The barrier: a round of tasks that wait until all of them have arrived.
//!
//! ```text
//!                   the last one arrives           the last one has left
//!      ┌─▶ Filling ─────────(1)────────▶ Draining ─────────(2)─────────▶ Drained ─┐
//!      │      │                             │                               ▲     │
//!      │      │ reset, if anybody is inside │ reset                         │     │
//!      │      └─────────(3)─▶ Resetting ◀───┘                               │     │
//!      │                          └───── the last one has left ────(2)──────┘     │
//!      └──────────────── somebody arrives, or one who waits runs ──(4)────────────┘
//!
//!  any ──abort──▶ Broken ──reset──▶ Resetting, or Filling if nobody is inside
//! ```
//!
//! - *Inside* are those of the present round: in `Filling` they wait, else they were chosen and
//!   leave one by one as their tasks run. Those who arrive meanwhile stand outside: they are in the
//!   same line, but in no round before (4), which makes them the next one.
//! - (4) is a step of its own because the last one out may still reset the barrier, and this is not
//!   to break those who wait outside. The first of them is stirred at (2), so it happens.
//! - Someone inside gets an index if the round is `Draining` when they leave, an error if it was
//!   reset or broken.
//! - The indices of a round are given when it is complete, in order of arrival: they are unique,
//!   whoever was cancelled before.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use thiserror::Error;

use crate::budget;
use crate::line::{Line, Place};
use crate::wait_queue::WaitQueue;

/// Lets tasks wait for each other: nobody passes before all have arrived.
///
/// asyncio's `Barrier`. It can be used again and again; the rounds never mix: who arrives while
/// those of a round are still leaving waits for the next one.
///
/// ```
/// use asyncio_sync::{Barrier, BrokenBarrier};
/// # async fn warm_up(_: &str) {}
///
/// # futures::executor::block_on(async {
/// // Nobody starts before everybody is warm, and one of them fires the pistol.
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
/// A task that is cancelled while its round fills is no longer counted: somebody else must come in
/// its place. Once the round is complete, the others pass whatever happens to it. If a future that
/// waits is leaked with [`mem::forget`](std::mem::forget), it counts as arrived, and its round never
/// ends: later ones do not begin.
pub struct Barrier {
    parties: usize,
    phase: Cell<Phase>,
    /// How many of the present round were chosen and have not left.
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

/// How someone who waited comes out.
#[derive(Debug, Clone, Copy)]
enum Exit {
    /// As one of the round, with this index if it is well.
    Inside(usize),
    /// From outside of a round, when the barrier broke.
    Outside,
}

/// The barrier was [aborted](Barrier::abort), or was [reset](Barrier::reset) while this task
/// waited.
///
/// If it was aborted, it takes a reset before anybody can wait again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the barrier was aborted, or reset while this task waited")]
#[doc(alias = "BrokenBarrierError")]
pub struct BrokenBarrier;

impl Barrier {
    /// A barrier for that many tasks.
    ///
    /// # Panics
    ///
    /// If `parties` is 0.
    pub const fn new(parties: usize) -> Self {
        assert!(parties > 0, "a barrier needs at least one party");
        Self {
            parties,
            phase: Cell::new(Phase::Filling),
            leaving: Cell::new(0),
            waiters: WaitQueue::new(),
        }
    }

    /// Waits until all parties have arrived, and gives each an index of its own, from 0 in order of
    /// arrival. The last one does not yield.
    ///
    /// # Errors
    ///
    /// If the barrier is broken, or is broken or reset before this task has passed.
    pub async fn wait(&self) -> Result<usize, BrokenBarrier> {
        Wait {
            barrier: self,
            place: Place::Outside,
        }
        .await
    }

    /// Empties the barrier, and mends it if it was broken: who is inside gets an error.
    ///
    /// Those of a complete round who have not run yet are inside. Those who came since then and
    /// wait for the next round are not, and go on waiting.
    pub fn reset(&self) {
        let inside = self.inside();
        match self.phase.get() {
            Phase::Filling | Phase::Broken if inside == 0 => self.phase.set(Phase::Filling),
            Phase::Filling => self.dismiss(Phase::Resetting),
            Phase::Draining | Phase::Resetting | Phase::Broken => self.phase.set(Phase::Resetting),
            Phase::Drained => {}
        }
    }

    /// Breaks the barrier: who waits gets an error, and so does who comes, until it is
    /// [reset](Self::reset).
    ///
    /// For when one of the parties cannot come any more.
    pub fn abort(&self) {
        match self.phase.get() {
            Phase::Filling => self.dismiss(Phase::Broken),
            _ => {
                self.phase.set(Phase::Broken);
                self.waiters.wake_first(usize::MAX, |_| Exit::Outside);
            }
        }
    }

    /// For how many tasks the barrier is.
    pub fn parties(&self) -> usize {
        self.parties
    }

    /// How many have arrived in a round that is not complete.
    pub fn n_waiting(&self) -> usize {
        match self.phase.get() {
            Phase::Filling => self.waiters.waiting(),
            _ => 0,
        }
    }

    /// Whether the barrier was aborted and not reset since.
    pub fn broken(&self) -> bool {
        self.phase.get() == Phase::Broken
    }

    /// How many are of the present round and have not left.
    fn inside(&self) -> usize {
        match self.phase.get() {
            Phase::Filling => self.waiters.waiting(),
            _ => self.leaving.get(),
        }
    }

    /// Whether the one who comes now makes the round complete; if so, the others are on their way.
    fn complete(&self) -> bool {
        let others = self.parties - 1;
        let complete = self.phase.get() == Phase::Filling && self.waiters.waiting() == others;
        if complete && others > 0 {
            self.open(others);
        }
        complete
    }

    /// (1) The first `count` in line are a complete round, or are with the one who comes now.
    fn open(&self, count: usize) {
        self.phase.set(Phase::Draining);
        self.leaving.set(count);
        self.waiters.wake_first(count, Exit::Inside);
    }

    /// The round ends before it is complete: all who wait leave, with an error.
    fn dismiss(&self, phase: Phase) {
        self.phase.set(phase);
        self.leaving.set(self.waiters.waiting());
        self.waiters.wake_first(usize::MAX, Exit::Inside);
    }

    /// One of those inside leaves. (2) if it is the last.
    fn leave(&self) {
        self.leaving.set(self.leaving.get() - 1);
        if self.leaving.get() > 0 || self.phase.get() == Phase::Broken {
            return;
        }
        if self.waiters.waiting() == 0 {
            return self.phase.set(Phase::Filling);
        }
        self.phase.set(Phase::Drained);
        let first_outside = self.waiters.with(Line::stir_first);
        if let Some(waker) = first_outside {
            waker.wake();
        }
    }

    /// (4) Those outside become the next round, if that is still to be done.
    fn begin(&self) {
        if self.phase.get() == Phase::Drained {
            self.phase.set(Phase::Filling);
            if self.waiters.waiting() >= self.parties {
                self.open(self.parties);
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
    place: Place,
}

impl Future for Wait<'_> {
    type Output = Result<usize, BrokenBarrier>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { barrier, place } = &mut *self;
        if *place == Place::Outside && !budget::draw() {
            // It has not arrived yet, so it has no place to lose.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        barrier.begin();
        let passes = || barrier.broken() || barrier.complete();
        let polled = barrier.waiters.poll(place, cx, Exit::Outside, passes);
        let phase = barrier.phase.get();
        polled.map(|exit| match exit {
            None if phase == Phase::Broken => Err(BrokenBarrier),
            None => Ok(barrier.parties - 1),
            Some(Exit::Outside) => Err(BrokenBarrier),
            Some(Exit::Inside(index)) => {
                barrier.leave();
                match phase {
                    Phase::Resetting | Phase::Broken => Err(BrokenBarrier),
                    Phase::Filling | Phase::Draining | Phase::Drained => Ok(index),
                }
            }
        })
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Place::InLine(key) = self.place {
            let departed = self.barrier.waiters.leave(key);
            match departed.share {
                Exit::Inside(_) if departed.chosen => self.barrier.leave(),
                // It may be the one that was stirred.
                _ => self.barrier.begin(),
            }
        }
    }
}
