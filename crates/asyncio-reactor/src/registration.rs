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
    token: Token,
}

impl Registration {
    pub(crate) fn new(core: Rc<Core>, token: Token) -> Self {
        Registration { core, token }
    }

    pub(crate) fn token(&self) -> Token {
        self.token
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

    /// Calls `f`, which runs no foreign code, with the slot.
    fn with<R>(&self, f: impl FnOnce(&mut Slot) -> R) -> Result<R, ReactorClosed> {
        self.core.slots().borrow_mut().get(self.token).map(f)
    }

    pub(crate) fn readiness(&self) -> Result<Readiness, ReactorClosed> {
        self.with(|slot| slot.readiness)
    }

    /// After `WouldBlock`.
    pub(crate) fn clear(&self, direction: Direction) {
        // There is nothing to clear once the reactor is closed; whoever waits next hears of it.
        let _ = self.with(|slot| slot.readiness.clear(direction));
    }

    /// After a transfer that came back short.
    pub(crate) fn clear_all_but_the_end(&self, direction: Direction) {
        let _ = self.with(|slot| slot.readiness.clear_all_but_the_end(direction));
    }

    /// Ready once there is a reason to try `direction`; until then `who` waits.
    pub(crate) fn poll_ready(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        who: WaiterId,
    ) -> Poll<io::Result<()>> {
        let is_settled = self.with(|slot| {
            if slot.readiness.allows(direction) {
                Some(Poll::Ready(Ok(())))
            } else if !slot.covers(direction) {
                Some(Poll::Ready(Err(never(direction))))
            } else if slot.waiters(direction).contains(who, cx.waker()) {
                Some(Poll::Pending)
            } else {
                None
            }
        });
        match is_settled {
            Err(closed) => return Poll::Ready(Err(closed.into())),
            Ok(Some(poll)) => return poll,
            Ok(None) => {}
        }
        // To clone is foreign code: it may have taken a turn, or closed the reactor. So look again.
        let mut waker = Some(cx.waker().clone());
        let answer = self.with(|slot| {
            if slot.readiness.allows(direction) {
                return (Poll::Ready(Ok(())), None);
            }
            let replaced = waker
                .take()
                .and_then(|waker| slot.waiters(direction).insert(who, waker));
            (Poll::Pending, replaced)
        });
        // `replaced` and an unused `waker` are dropped here, with nothing borrowed.
        match answer {
            Ok((poll, _replaced)) => poll,
            Err(closed) => Poll::Ready(Err(closed.into())),
        }
    }

    /// A new name to wait with.
    pub(crate) fn new_future(&self) -> WaiterId {
        self.core.new_future()
    }

    /// `who` does not wait any more.
    pub(crate) fn forget(&self, direction: Direction, who: WaiterId) {
        let waker = self.with(|slot| slot.waiters(direction).remove(who));
        drop(waker);
    }

    /// Gives the slot back and drops the wakers in it.
    pub(crate) fn leave(&self) {
        let slot = self.core.slots().borrow_mut().remove(self.token);
        drop(slot);
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
