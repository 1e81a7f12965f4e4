//! A wait list in a `RefCell`, and the protocol to wait in it.
//!
//! Wakers are foreign code: cloning, waking or dropping a waker may call back into the same
//! primitive. So no waker is cloned, woken or dropped while the list is borrowed. A decision that
//! was made before a waker was cloned is made again afterwards.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll};

use asyncio_console::{Place, Resource, ResourceKind};

use crate::budget;
use crate::wait_list::{Key, Removed, WaitList, WaitPoll, WaiterState, Wakeup};

/// The waiters of one primitive that belongs to one thread.
pub(crate) struct WaitQueue<G = ()> {
    /// A copy of `list.len()`, for operations that need not wait.
    len: Cell<usize>,
    list: RefCell<WaitList<G>>,
    shown: Resource,
}

impl<G: Copy> WaitQueue<G> {
    #[track_caller]
    pub(crate) const fn new(kind: &'static ResourceKind) -> Self {
        Self::at(kind, Place::caller())
    }

    /// The waiters of a primitive that was created at `place`.
    pub(crate) const fn at(kind: &'static ResourceKind, place: Place) -> Self {
        Self {
            len: Cell::new(0),
            list: RefCell::new(WaitList::new()),
            shown: Resource::new(kind, place),
        }
    }

    /// The number of waiters without a grant.
    pub(crate) fn waiting(&self) -> usize {
        self.list.borrow().waiting()
    }

    /// The number of waiters, including granted waiters that have not run since.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }

    /// Calls `change` with the list borrowed. `change` must not clone, wake or drop a waker.
    #[inline]
    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut WaitList<G>) -> R) -> R {
        let mut list = self.list.borrow_mut();
        let result = change(&mut list);
        self.len.set(list.len());
        result
    }

    /// Polls a waiter.
    ///
    /// A new waiter is ready with `None` if `try_now` succeeds. Otherwise it is added to the list
    /// with `request`, and is ready with its grant when it has been granted.
    #[inline]
    pub(crate) fn poll(
        &self,
        waiter: &mut WaiterState,
        cx: &mut Context<'_>,
        request: G,
        try_now: impl Fn() -> bool,
    ) -> Poll<Option<G>> {
        if *waiter == WaiterState::New && try_now() {
            *waiter = WaiterState::Done;
            return Poll::Ready(None);
        }
        self.poll_listed(waiter, cx, request, Some(try_now), || ())
    }

    /// Polls a waiter like [`poll`](Self::poll), and spends the [budget](crate::budget).
    ///
    /// If the budget is spent, a new waiter does not try: it yields, as a waiter in the list. Then
    /// `grant_waiters` is called, which grants all waiters that need not wait, such as the new one.
    #[inline]
    pub(crate) fn poll_within_budget(
        &self,
        waiter: &mut WaiterState,
        cx: &mut Context<'_>,
        request: G,
        try_now: impl Fn() -> bool,
        grant_waiters: impl Fn(),
    ) -> Poll<Option<G>> {
        if *waiter == WaiterState::New {
            if !budget::try_spend() {
                return self.poll_listed(waiter, cx, request, None::<fn() -> bool>, grant_waiters);
            }
            if try_now() {
                *waiter = WaiterState::Done;
                return Poll::Ready(None);
            }
        }
        self.poll_listed(waiter, cx, request, Some(try_now), grant_waiters)
    }

    // Out of line, so that callers inline only the fast path.
    #[inline(never)]
    fn poll_listed(
        &self,
        waiter: &mut WaiterState,
        cx: &mut Context<'_>,
        request: G,
        try_now: Option<impl Fn() -> bool>,
        grant_waiters: impl Fn(),
    ) -> Poll<Option<G>> {
        let operation = self.shown.operation();
        let watch = self.shown.begin(operation, waiter.entry());
        let polled = self.poll_watched(waiter, cx, request, try_now, grant_waiters);
        self.shown.end(watch, operation, waiter.entry());
        polled
    }

    #[inline(always)]
    fn poll_watched(
        &self,
        waiter: &mut WaiterState,
        cx: &mut Context<'_>,
        request: G,
        try_now: Option<impl Fn() -> bool>,
        grant_waiters: impl Fn(),
    ) -> Poll<Option<G>> {
        let is_new = *waiter == WaiterState::New;
        let (mut new_waker, mut old_waker) = (None, None);
        loop {
            let waker = cx.waker();
            match self
                .with(|list| list.poll_wait(waiter, waker, &mut new_waker, &mut old_waker, request))
            {
                WaitPoll::Granted(grant) => return Poll::Ready(Some(grant)),
                WaitPoll::Waiting => {
                    if is_new {
                        grant_waiters();
                    }
                    return Poll::Pending;
                }
                WaitPoll::NeedsWaker => new_waker = Some(cx.waker().clone()),
            }
            // Cloning a waker runs foreign code, after which the waiter may not need to wait.
            if *waiter == WaiterState::New
                && let Some(try_now) = &try_now
                && try_now()
            {
                *waiter = WaiterState::Done;
                return Poll::Ready(None);
            }
        }
    }

    /// Removes the waiter of a dropped future.
    ///
    /// If it was granted, the caller must pass the grant on before it drops the result: the waker
    /// in the result is foreign code.
    #[inline(never)]
    pub(crate) fn remove(&self, key: Key) -> Removed<G> {
        let removed = self.with(|list| list.remove(key));
        self.shown.leave(self.shown.operation(), key.entry());
        removed
    }

    /// Gives the first `count` waiters the grants that `grant` returns, and wakes them in order.
    #[inline]
    pub(crate) fn grant_and_wake(&self, count: usize, grant: impl Fn(usize) -> G) {
        if self.len() > 0 {
            self.grant_and_wake_listed(count, grant);
        }
    }

    #[inline(never)]
    fn grant_and_wake_listed(&self, count: usize, grant: impl Fn(usize) -> G) {
        // Grant all of them before the first wake-up: a waker may change the list.
        self.with(|list| {
            let mut indices = 0..count.min(list.waiting());
            indices.all(|index| list.grant_first_unwoken(grant(index)))
        });
        self.wake_each(WaitList::next_unwoken);
    }

    /// Wakes the waiters that `next` returns, one by one, until it returns `None`.
    #[inline]
    pub(crate) fn wake_each(&self, next: impl Fn(&mut WaitList<G>) -> Option<Wakeup>) {
        until_none(|| {
            let wakeup = self.with(&next)?;
            wakeup.waker.wake_by_ref();
            // A waker that is not kept is dropped here, where nothing is borrowed.
            let _not_kept = self.list.borrow_mut().keep_waker(wakeup);
            Some(())
        });
    }
}

/// Calls `next`, which wakes one waiter, until it returns `None`.
///
/// If a waker panics, the remaining waiters are still woken.
#[inline]
pub(crate) fn until_none<F: FnMut() -> Option<()>>(next: F) {
    struct WakeRest<F: FnMut() -> Option<()>>(F);

    impl<F: FnMut() -> Option<()>> WakeRest<F> {
        #[inline]
        fn wake(&mut self) {
            while let Some(()) = (self.0)() {}
        }
    }

    impl<F: FnMut() -> Option<()>> Drop for WakeRest<F> {
        fn drop(&mut self) {
            self.wake();
        }
    }

    let mut all = WakeRest(next);
    all.wake();
    std::mem::forget(all);
}
