//! A source's slot in the reactor: its readiness and its waiters. The source itself is in
//! [`Registered`](crate::Registered).

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use mio::Token;

use crate::core::ReactorCore;
use crate::readiness::{Direction, Readiness};
use crate::slots::{Slot, SlotBlock};
use crate::waiters::WaiterId;

/// A view of a source's slot. The owner of the slot frees it with
/// [`release_slot`](Self::release_slot), after it has deregistered the source.
#[derive(Clone, Copy)]
pub(crate) struct Registration<'a> {
    block: &'a Rc<SlotBlock<ReactorCore>>,
    index: u8,
}

impl<'a> Registration<'a> {
    #[inline]
    pub(crate) fn new(block: &'a Rc<SlotBlock<ReactorCore>>, index: u8) -> Self {
        Registration { block, index }
    }

    #[inline]
    pub(crate) fn core(self) -> &'a Rc<ReactorCore> {
        self.block.core()
    }

    pub(crate) fn token(self) -> Token {
        self.block.token(self.index)
    }

    #[inline]
    fn slot(self) -> &'a Slot {
        self.block.slot(self.index)
    }

    /// The readiness that the reactor last recorded.
    pub(crate) fn readiness(self) -> Readiness {
        self.slot().readiness.get()
    }

    /// Whether an operation in `direction` is worth a try.
    #[inline]
    pub(crate) fn allows(self, direction: Direction) -> bool {
        self.slot().readiness.get().allows(direction)
    }

    /// Clears the readiness of `direction`, after `WouldBlock`.
    #[inline]
    pub(crate) fn clear(self, direction: Direction) {
        let readiness = &self.slot().readiness;
        readiness.set(readiness.get().without(direction));
    }

    /// Clears the readiness of `direction` but keeps an end of the stream, after a short transfer.
    #[inline]
    pub(crate) fn clear_keeping_end(self, direction: Direction) {
        let readiness = &self.slot().readiness;
        readiness.set(readiness.get().without_ready(direction));
    }

    /// Lets the caller wait, because an operation in `direction` is not worth a try. The caller
    /// waits as a poller, or under the id that is stored in `waiter`. `Ready` means that the caller
    /// does not wait: the source has become ready, or no event will come.
    #[inline(always)]
    pub(crate) fn wait(
        self,
        cx: &mut Context<'_>,
        direction: Direction,
        waiter: &mut WaiterId,
    ) -> Poll<io::Result<()>> {
        // Fast path, taken once per request: the first read finds nothing. The rest is out of line
        // to keep callers small.
        let is_first = *waiter == WaiterId::NOT_WAITING
            || waiter.is_poller() && self.slot().waiters.is_empty();
        if is_first && direction == Direction::Read {
            return self.enqueue(cx, direction, waiter);
        }
        self.wait_or_enqueue(cx, direction, waiter)
    }

    #[inline(never)]
    fn wait_or_enqueue(
        self,
        cx: &mut Context<'_>,
        direction: Direction,
        waiter: &mut WaiterId,
    ) -> Poll<io::Result<()>> {
        if !self.slot().waiters.contains(*waiter, cx.waker()) {
            return self.enqueue(cx, direction, waiter);
        }
        match self.wait_error(direction) {
            None => Poll::Pending,
            Some(error) => self.fail_wait(waiter, error),
        }
    }

    #[inline(always)]
    fn enqueue(
        self,
        cx: &mut Context<'_>,
        direction: Direction,
        waiter: &mut WaiterId,
    ) -> Poll<io::Result<()>> {
        // Cloning a waker runs user code, which may turn or close the reactor. So readiness is
        // checked after the clone.
        let waker = cx.waker().clone();
        let core = self.core();
        let will_end = core.is_turned() && self.slot().interest.get().allows(direction);
        if self.allows(direction) || !will_end {
            let outcome = self.ready_or_closed(direction, waiter);
            drop(waker);
            return outcome;
        }
        if *waiter == WaiterId::NOT_WAITING {
            *waiter = core.new_future(direction);
        }
        if let Err(waker) = self.slot().waiters.insert_if_empty(*waiter, waker) {
            self.enqueue_beside(waiter, waker);
        }
        Poll::Pending
    }

    #[cold]
    #[inline(never)]
    fn enqueue_beside(self, waiter: &mut WaiterId, waker: Waker) {
        let fresh = || self.core().new_future(waiter.direction());
        let (id, replaced, too_many) = self.slot().waiters.insert(*waiter, waker, fresh);
        *waiter = id;
        self.core().defer_wakes(too_many);
        drop(replaced);
    }

    /// Returns `Ready`, because the source has become ready or because no event will come.
    #[cold]
    #[inline(never)]
    fn ready_or_closed(self, direction: Direction, waiter: &mut WaiterId) -> Poll<io::Result<()>> {
        match self.wait_error(direction) {
            Some(error) if !self.allows(direction) => self.fail_wait(waiter, error),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Counts an operation that can wait, if it can be tried at once. That is the case if the source is ready, no
    /// waiters remain, and the budget is not spent. The usual case.
    #[inline(always)]
    pub(crate) fn begin(self, waker: &Waker, direction: Direction) -> bool {
        self.allows(direction) && !self.slot().is_crowded() && self.core().budget().spend(waker)
    }

    /// Begins an operation on a source that is ready, if [`begin`](Self::begin) did not. Once the
    /// budget is spent, the operation waits for the next turn, so that everything else runs before
    /// it.
    #[cold]
    #[inline(never)]
    pub(crate) fn poll_slowly(
        self,
        cx: &mut Context<'_>,
        direction: Direction,
        waiter: WaiterId,
    ) -> Poll<io::Result<()>> {
        if self.slot().is_crowded() {
            self.dequeue(waiter);
        }
        self.poll_step_back(cx, direction)
    }

    /// Counts an operation that need not wait. Once the budget is spent, it waits for the next turn.
    #[cold]
    #[inline(never)]
    pub(crate) fn poll_step_back(
        self,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<()>> {
        if self.core().budget().spend(cx.waker()) {
            return Poll::Ready(Ok(()));
        }
        self.yield_to_reactor(cx, direction)
    }

    /// Removes the waiter because the source is ready; a waiter of a crowd may still be queued. Its
    /// id stays valid, so it gets its position back if it has to wait again.
    fn dequeue(self, waiter: WaiterId) {
        // A poller has no id of its own, so the queued pollers may be other tasks.
        if !waiter.is_poller() {
            self.remove_waiter(waiter);
        }
    }

    /// Counts an operation that cannot wait. False if the operation must be refused.
    #[inline]
    pub(crate) fn try_budget(self, direction: Direction) -> bool {
        // A reactor that is not turned may have no next turn, so nothing is refused.
        self.core().budget().spend_try(direction) || !self.core().is_turned()
    }

    fn yield_to_reactor(self, cx: &mut Context<'_>, direction: Direction) -> Poll<io::Result<()>> {
        if !self.core().is_turned() {
            return Poll::Ready(Ok(())); // there may be no next turn
        }
        // Cloning runs user code, which may close the reactor.
        let waker = cx.waker().clone();
        if let Some(error) = self.wait_error(direction) {
            return Poll::Ready(Err(error));
        }
        let known = self.core().defer_wake(waker);
        drop(known);
        Poll::Pending
    }

    #[cold]
    fn fail_wait(self, waiter: &mut WaiterId, error: io::Error) -> Poll<io::Result<()>> {
        self.dequeue(*waiter);
        if !waiter.is_poller() {
            *waiter = WaiterId::NOT_WAITING;
        }
        Poll::Ready(Err(error))
    }

    /// The error of a wait that would never end, if this is one.
    fn wait_error(self, direction: Direction) -> Option<io::Error> {
        if !self.core().is_turned() {
            return Some(self.core().not_turned_error());
        }
        if !self.slot().interest.get().allows(direction) {
            return Some(not_registered_for(direction));
        }
        None
    }

    /// Removes `waiter` and drops its waker.
    pub(crate) fn remove_waiter(self, waiter: WaiterId) {
        let waker = self.slot().waiters.remove(waiter);
        drop(waker);
    }

    /// Frees the slot and drops the wakers in it.
    pub(crate) fn release_slot(self) {
        let mut waited = Vec::new();
        let slots = self.core().slots();
        slots
            .borrow_mut()
            .remove(self.block, self.index, &mut waited);
        drop(waited);
    }
}

/// The error of a wait for a direction that the source was not registered for.
#[cold]
fn not_registered_for(direction: Direction) -> io::Error {
    let what = match direction {
        Direction::Read => "the source was not registered with Interest::READABLE",
        Direction::Write => "the source was not registered with Interest::WRITABLE",
    };
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
