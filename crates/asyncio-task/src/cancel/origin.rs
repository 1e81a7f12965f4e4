//! The origin of a request to cancel: what a request keeps when it is passed on.
//!
//! A request travels: from a task to the task that it awaits, from a group to its children, and by several ways at
//! once. The origin stays the same. So does the number, unless the target has had a later request itself: then it is
//! numbered anew, in the target's own order of delivery. So a request that has travelled for a while does not interrupt
//! a cleanup that a later request, or one of the same moment, began.
//!
//! Origins are ordered by age, and there is one rule. **A request has an effect on its target only if its origin is
//! newer than those of all requests that are open there.** So one cause never interrupts the cleanup that it began, and
//! a request that comes back to a task is recognized.
//!
//! The oldest origin of all is [`Origin::UNNEEDED`]: a handle was dropped, the main task has ended, the loop closes.
//! It has an effect only on a task without an open request, and never interrupts a cleanup that a request to that task
//! began.
//!
//! Code that a request ends drops the handles that it has. Such a drop continues the request: it has the number of the
//! request, though its origin is `UNNEEDED`. Take two time limits of one instant, one in a task and one around the code
//! that has the handle. The second does not interrupt the cleanup that the first began.

use std::sync::Arc;

use super::{Request, ScopeKey};

/// The origin of a request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Origin {
    /// The number of the first request, or one of the two constants.
    age: Request,
    /// The number of the request that it continues; 0: it begins at its target.
    continues: Request,
}

impl Origin {
    /// Nothing needs the task any more.
    pub(crate) const UNNEEDED: Self = Self::unneeded_by(0);
    /// A request that begins at this target, newer than all others.
    pub(crate) const ANEW: Self = Self {
        age: Request::MAX,
        continues: 0,
    };

    /// The origin of a request that began with this number.
    pub(crate) fn of(request: Request) -> Self {
        Self {
            age: request,
            continues: request,
        }
    }

    /// [`UNNEEDED`](Self::UNNEEDED), as the request of this number has ended the code that needed the task; 0: none
    /// has.
    pub(crate) const fn unneeded_by(request: Request) -> Self {
        Self {
            age: 0,
            continues: request,
        }
    }

    /// Whether nothing needs the task any more.
    pub(crate) fn is_unneeded(self) -> bool {
        self.age == 0
    }

    pub(crate) fn is_older_than(self, other: Self) -> bool {
        self.age < other.age
    }

    /// Whether a request of this origin began at another target.
    pub(crate) fn is_passed_on(self) -> bool {
        self != Self::ANEW && !self.is_unneeded()
    }

    /// The number of the request that it continues, if it does not begin at its target.
    pub(crate) fn number(self) -> Option<Request> {
        Some(self.continues).filter(|&number| number > 0)
    }

    /// The origin of a request that gets this number at its target.
    pub(crate) fn settled(self, request: Request) -> Self {
        match self == Self::ANEW {
            true => Self::of(request),
            false => self,
        }
    }
}

/// A request to cancel as a [`Listener`](crate::Listener) has heard it, to be passed on to the tasks that it
/// waits for.
#[derive(Clone, Debug)]
pub struct HeardRequest {
    /// The scope that has heard it.
    pub(crate) heard_by: Option<ScopeKey>,
    pub(crate) origin: Origin,
    /// The message that came with it.
    pub(crate) message: Option<Arc<str>>,
    /// It ends code whose value nothing can take, and leaves no last poll.
    pub(crate) dismissed: bool,
}

impl HeardRequest {
    /// Whether it ends code whose value nothing can take: it leaves no last poll to anything.
    #[must_use]
    pub fn dismissed(&self) -> bool {
        self.dismissed
    }

    /// The same request, which leaves no last poll to anything.
    #[must_use]
    pub fn dismissing(mut self) -> Self {
        self.dismissed = true;
        self
    }
}
