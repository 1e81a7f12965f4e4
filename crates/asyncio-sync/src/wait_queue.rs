//! A line of waiters in a cell, and the way to wait in it without holding the cell.
//!
//! Wakers are foreign code: cloning, waking or dropping one may call back into the very primitive
//! that does it. So none of this happens while the line is borrowed, and whatever was decided
//! before a waker was cloned is decided again afterwards.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll};

use crate::budget;
use crate::line::{Call, Departed, Key, Line, Look, Place};

/// The waiters of one primitive, which lives on one thread.
pub(crate) struct WaitQueue<S = ()> {
    /// A copy of `line.len()`, for operations that need not wait.
    len: Cell<usize>,
    line: RefCell<Line<S>>,
}

impl<S: Copy> WaitQueue<S> {
    pub(crate) const fn new() -> Self {
        Self {
            len: Cell::new(0),
            line: RefCell::new(Line::new()),
        }
    }

    /// How many wait and were not chosen.
    pub(crate) fn waiting(&self) -> usize {
        self.line.borrow().waiting()
    }

    /// How many wait, those included that were chosen and have not run yet.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }

    /// Does something to the line that touches no waker.
    #[inline]
    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut Line<S>) -> R) -> R {
        let mut line = self.line.borrow_mut();
        let result = change(&mut line);
        self.len.set(line.len());
        result
    }

    /// Takes the future at `place` a step further: past the line if `may_pass` says so, else into
    /// it with `share`, and out of it once chosen.
    ///
    /// Gives `None` to those who passed, and to those who were chosen what they were given.
    #[inline]
    pub(crate) fn poll(
        &self,
        place: &mut Place,
        cx: &mut Context<'_>,
        share: S,
        may_pass: impl Fn() -> bool,
    ) -> Poll<Option<S>> {
        if *place == Place::Outside && may_pass() {
            *place = Place::Left;
            return Poll::Ready(None);
        }
        self.poll_in_line(place, cx, share, Some(may_pass), || ())
    }

    /// [`poll`](Self::poll), drawing on the [budget](crate::budget). When that is spent, nobody passes: the future
    /// steps back into the line. `serve` is called when it has joined that: it chooses those who need not wait,
    /// the future itself perhaps.
    #[inline]
    pub(crate) fn poll_within_budget(
        &self,
        place: &mut Place,
        cx: &mut Context<'_>,
        share: S,
        may_pass: impl Fn() -> bool,
        serve: impl Fn(),
    ) -> Poll<Option<S>> {
        if *place == Place::Outside {
            if !budget::draw() {
                return self.poll_in_line(place, cx, share, None::<fn() -> bool>, serve);
            }
            if may_pass() {
                *place = Place::Left;
                return Poll::Ready(None);
            }
        }
        self.poll_in_line(place, cx, share, Some(may_pass), serve)
    }

    // Apart, so that passing by is short wherever it is inlined.
    #[inline(never)]
    fn poll_in_line(
        &self,
        place: &mut Place,
        cx: &mut Context<'_>,
        share: S,
        may_pass: Option<impl Fn() -> bool>,
        serve: impl Fn(),
    ) -> Poll<Option<S>> {
        let joins = *place == Place::Outside;
        let (mut fresh, mut outdated) = (None, None);
        loop {
            let waker = cx.waker();
            match self.with(|line| line.look(place, waker, &mut fresh, &mut outdated, share)) {
                Look::Chosen(share) => return Poll::Ready(Some(share)),
                Look::Waits => {
                    if joins {
                        serve();
                    }
                    return Poll::Pending;
                }
                Look::NeedsWaker => fresh = Some(cx.waker().clone()),
            }
            // Cloning a waker is foreign code, after which there may be nothing to wait for.
            if *place == Place::Outside
                && let Some(may_pass) = &may_pass
                && may_pass()
            {
                *place = Place::Left;
                return Poll::Ready(None);
            }
        }
    }

    /// Removes a future that gives up. If it had been chosen, somebody else should be; only then
    /// drop what is left of it, for its waker is foreign code.
    #[inline(never)]
    pub(crate) fn leave(&self, key: Key) -> Departed<S> {
        self.with(|line| line.leave(key))
    }

    /// Chooses the first `count` of those who wait, gives each what `share` says, and wakes them in
    /// order.
    #[inline]
    pub(crate) fn wake_first(&self, count: usize, share: impl Fn(usize) -> S) {
        if self.len() > 0 {
            self.call_and_wake(count, share);
        }
    }

    #[inline(never)]
    fn call_and_wake(&self, count: usize, share: impl Fn(usize) -> S) {
        // All of them first, for the wakers may do anything to the line.
        self.with(|line| {
            let mut indices = 0..count.min(line.waiting());
            indices.all(|index| line.call_first_with(share(index)))
        });
        self.wake_each(Line::next_called);
    }

    /// Wakes those whom `next` chooses, one by one, until it chooses nobody.
    #[inline]
    pub(crate) fn wake_each(&self, next: impl Fn(&mut Line<S>) -> Option<Call>) {
        until_none(|| {
            let call = self.with(&next)?;
            call.waker.wake_by_ref();
            // What is not kept is dropped here, where nothing is borrowed.
            let _not_kept = self.line.borrow_mut().keep(call);
            Some(())
        });
    }
}

/// Does `next`, which wakes somebody, until there is nobody. If a waker panics, the others are woken
/// all the same.
#[inline]
pub(crate) fn until_none<F: FnMut() -> Option<()>>(next: F) {
    struct AlsoTheRest<F: FnMut() -> Option<()>>(F);

    impl<F: FnMut() -> Option<()>> AlsoTheRest<F> {
        #[inline]
        fn wake(&mut self) {
            while let Some(()) = (self.0)() {}
        }
    }

    impl<F: FnMut() -> Option<()>> Drop for AlsoTheRest<F> {
        fn drop(&mut self) {
            self.wake();
        }
    }

    let mut all = AlsoTheRest(next);
    all.wake();
    std::mem::forget(all);
}
