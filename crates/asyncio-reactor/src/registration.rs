//! A source's place in the reactor: what it is ready for, and who waits for it. The source itself
//! is not here, see [`Registered`](crate::Registered).

use std::io;
use std::ops::Deref;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use mio::Token;

use crate::core::Core;
use crate::readiness::Direction;
use crate::slots::{Block, Slot};
use crate::waiters::WaiterId;

/// A look at the slot that a source has. Whoever owns it gives it back with
/// [`leave`](Self::leave), once the source is deregistered.
#[derive(Clone, Copy)]
pub(crate) struct Registration<'a> {
    block: &'a Rc<Block<Core>>,
    place: u8,
}

impl<'a> Registration<'a> {
    #[inline]
    pub(crate) fn new(block: &'a Rc<Block<Core>>, place: u8) -> Self {
        Registration { block, place }
    }

    #[inline]
    pub(crate) fn core(self) -> &'a Rc<Core> {
        self.block.core()
    }

    pub(crate) fn token(self) -> Token {
        self.block.token(self.place)
    }

    /// Whether there is a reason to try `direction`.
    #[inline]
    pub(crate) fn allows(self, direction: Direction) -> bool {
        self.readiness.get().allows(direction)
    }

    /// After `WouldBlock`.
    #[inline]
    pub(crate) fn clear(self, direction: Direction) {
        let readiness = &self.readiness;
        readiness.set(readiness.get().without(direction));
    }

    /// After a transfer that came back short.
    #[inline]
    pub(crate) fn clear_all_but_the_end(self, direction: Direction) {
        let readiness = &self.readiness;
        readiness.set(readiness.get().without_more(direction));
    }

    /// What to do where there is no reason to try `direction`. The caller waits: as a poller, or under
    /// the name that `who` is given. Ready means that it does not wait any more: there is a reason
    /// now, or there will be none.
    #[inline(always)]
    pub(crate) fn wait(
        self,
        cx: &mut Context<'_>,
        direction: Direction,
        who: &mut WaiterId,
    ) -> Poll<io::Result<()>> {
        // So it is once a request: somebody begins to read before there is anything. All else goes another way,
        // so that each caller has little of this.
        if *who == WaiterId::NOT_WAITING && direction == Direction::Read {
            return self.join_the_line(cx, direction, who);
        }
        self.wait_or_join(cx, direction, who)
    }

    #[inline(never)]
    fn wait_or_join(
        self,
        cx: &mut Context<'_>,
        direction: Direction,
        who: &mut WaiterId,
    ) -> Poll<io::Result<()>> {
        if !self.waiters.contains(*who, cx.waker()) {
            return self.join_the_line(cx, direction, who);
        }
        match self.reason_to_give_up(direction) {
            None => Poll::Pending,
            Some(error) => self.give_up(who, error),
        }
    }

    #[inline(always)]
    fn join_the_line(
        self,
        cx: &mut Context<'_>,
        direction: Direction,
        who: &mut WaiterId,
    ) -> Poll<io::Result<()>> {
        // To clone is foreign code: it may take a turn, or close the reactor. So only then look at
        // what is the case.
        let waker = cx.waker().clone();
        let core = self.core();
        let will_end = core.is_turned() && self.covered.get().allows(direction);
        if self.allows(direction) || !will_end {
            let outcome = self.need_not_wait(direction, who);
            drop(waker);
            return outcome;
        }
        if *who == WaiterId::NOT_WAITING {
            *who = core.new_future(direction);
        }
        if let Err(waker) = self.waiters.insert_alone(*who, waker) {
            self.wait_beside(who, waker);
        }
        Poll::Pending
    }

    #[cold]
    #[inline(never)]
    fn wait_beside(self, who: &mut WaiterId, waker: Waker) {
        let fresh = || self.core().new_future(who.direction());
        let (id, replaced, too_many) = self.waiters.insert(*who, waker, fresh);
        *who = id;
        self.core().wake_all_soon(too_many);
        drop(replaced);
    }

    /// There is a reason to try after all, or none to wait.
    #[cold]
    #[inline(never)]
    fn need_not_wait(self, direction: Direction, who: &mut WaiterId) -> Poll<io::Result<()>> {
        match self.reason_to_give_up(direction) {
            Some(error) if !self.allows(direction) => self.give_up(who, error),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// There is a reason to try. The caller may still wait, as one of a crowd. It keeps its number, to get
    /// its place back if it has to wait again.
    #[cold]
    #[inline(never)]
    pub(crate) fn wait_no_longer(self, who: WaiterId) {
        // Pollers have no names; those who wait may be others.
        if !who.is_poller() {
            self.forget(who);
        }
    }

    /// Counts an operation that does not have to wait. If it would be one too many, it waits for the next
    /// turn, so that everything else goes before it.
    #[inline]
    pub(crate) fn go_on(self, cx: &mut Context<'_>, direction: Direction) -> Poll<io::Result<()>> {
        if self.core().budget().spend(cx.waker()) {
            return Poll::Ready(Ok(()));
        }
        self.stand_back(cx, direction)
    }

    /// Counts an operation that cannot wait. False if it has to be refused.
    #[inline]
    pub(crate) fn may_try(self, direction: Direction) -> bool {
        // If the reactor is not turned, there may be no next turn.
        self.core().budget().spend_without_waiting(direction) || !self.core().is_turned()
    }

    #[cold]
    #[inline(never)]
    fn stand_back(self, cx: &mut Context<'_>, direction: Direction) -> Poll<io::Result<()>> {
        if !self.core().is_turned() {
            return Poll::Ready(Ok(())); // there may be no next turn
        }
        // To clone is foreign code, see above.
        let waker = cx.waker().clone();
        if let Some(error) = self.reason_to_give_up(direction) {
            return Poll::Ready(Err(error));
        }
        let known = self.core().wake_soon(waker);
        drop(known);
        Poll::Pending
    }

    #[cold]
    fn give_up(self, who: &mut WaiterId, error: io::Error) -> Poll<io::Result<()>> {
        self.wait_no_longer(*who);
        if !who.is_poller() {
            *who = WaiterId::NOT_WAITING;
        }
        Poll::Ready(Err(error))
    }

    /// Why a wait would never end, if so.
    fn reason_to_give_up(self, direction: Direction) -> Option<io::Error> {
        if !self.core().is_turned() {
            return Some(self.core().why_not_turned());
        }
        if !self.covered.get().allows(direction) {
            return Some(never(direction));
        }
        None
    }

    /// `who` does not wait any more.
    pub(crate) fn forget(self, who: WaiterId) {
        let waker = self.waiters.remove(who);
        drop(waker);
    }

    /// Gives the slot back and drops the wakers in it.
    pub(crate) fn leave(self) {
        let mut waited = Vec::new();
        let slots = self.core().slots();
        slots
            .borrow_mut()
            .remove(self.block, self.place, &mut waited);
        drop(waited);
    }
}

impl Deref for Registration<'_> {
    type Target = Slot;

    #[inline]
    fn deref(&self) -> &Slot {
        self.block.slot(self.place)
    }
}

/// The error for a wait that no event would end.
#[cold]
fn never(direction: Direction) -> io::Error {
    let what = match direction {
        Direction::Read => "the source was not registered with Interest::READABLE",
        Direction::Write => "the source was not registered with Interest::WRITABLE",
    };
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
