//! A source's place in the reactor: what it is ready for, and who waits for it. The source itself
//! is not here, see [`Registered`](crate::Registered).

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use mio::{Registry, Token};

use crate::error::ReactorClosed;
use crate::reactor::{Core, Reactor};
use crate::readiness::{Direction, Readiness};
use crate::slots::Slot;
use crate::waiters::WaiterId;

/// Owns a slot; gives it back with [`leave`](Self::leave), which its owner calls once the source
/// is deregistered.
pub(crate) struct Registration {
    core: Rc<Core>,
    slot: Rc<Slot>,
}

impl Registration {
    pub(crate) fn new(core: Rc<Core>, slot: Rc<Slot>) -> Self {
        Registration { core, slot }
    }

    pub(crate) fn token(&self) -> Token {
        self.slot.token
    }

    pub(crate) fn registry(&self) -> &Registry {
        self.core.registry()
    }

    pub(crate) fn reactor(&self) -> Reactor {
        Reactor::of(&self.core)
    }

    pub(crate) fn belongs_to(&self, reactor: &Reactor) -> bool {
        reactor.has_core(&self.core)
    }

    pub(crate) fn readiness(&self) -> Result<Readiness, ReactorClosed> {
        let readiness = self.slot.readiness.get();
        if readiness.is_final() {
            return Err(ReactorClosed);
        }
        Ok(readiness)
    }

    /// After `WouldBlock`.
    #[inline]
    pub(crate) fn clear(&self, direction: Direction) {
        let readiness = &self.slot.readiness;
        readiness.set(readiness.get().without(direction));
    }

    /// After a transfer that came back short.
    #[inline]
    pub(crate) fn clear_all_but_the_end(&self, direction: Direction) {
        let readiness = &self.slot.readiness;
        readiness.set(readiness.get().without_more(direction));
    }

    /// Ready once there is a reason to try `direction`. Until then the caller waits: as a poller, or
    /// under the name that `who` is given. Ready means that it does not wait any more.
    #[inline]
    pub(crate) fn poll_ready(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        who: &mut WaiterId,
    ) -> Poll<io::Result<()>> {
        if self.slot.readiness.get().allows(direction) {
            return Poll::Ready(Ok(()));
        }
        self.wait(cx, direction, who)
    }

    fn wait(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        who: &mut WaiterId,
    ) -> Poll<io::Result<()>> {
        let slot = &*self.slot;
        if !slot.covers(direction) {
            return Poll::Ready(Err(never(direction)));
        }
        if slot.waiters.contains(direction, *who, cx.waker()) {
            return Poll::Pending;
        }
        // To clone is foreign code: it may take a turn, or close the reactor. So only then look at
        // what is the case.
        let waker = cx.waker().clone();
        if slot.readiness.get().allows(direction) {
            return Poll::Ready(Ok(()));
        }
        self.readiness()?;
        if *who == WaiterId::NOT_WAITING {
            *who = self.core.new_future();
        }
        let replaced = slot.waiters.insert(direction, *who, waker);
        drop(replaced);
        Poll::Pending
    }

    /// `who` does not wait any more.
    pub(crate) fn forget(&self, direction: Direction, who: WaiterId) {
        let waker = self.slot.waiters.remove(direction, who);
        drop(waker);
    }

    /// Gives the slot back and drops the wakers in it.
    pub(crate) fn leave(&self) {
        self.core.slots().borrow_mut().remove(&self.slot);
        let mut waited = Vec::new();
        self.slot.give_up_waiters(&mut waited);
        drop(waited);
    }
}

impl Slot {
    fn covers(&self, direction: Direction) -> bool {
        match direction {
            Direction::Read => self.interest.is_readable() || self.interest.is_priority(),
            Direction::Write => self.interest.is_writable(),
        }
    }
}

/// The error for a wait that no event would end.
fn never(direction: Direction) -> io::Error {
    let what = match direction {
        Direction::Read => "the source was not registered with Interest::READABLE",
        Direction::Write => "the source was not registered with Interest::WRITABLE",
    };
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
