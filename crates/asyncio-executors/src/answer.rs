//! How the members of a group, a gather or a race resolve a request from outside. If all of them swallow it, it is
//! answered, and everything goes on.

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// None has come.
    Unasked,
    /// Each that has ended since has swallowed it.
    Swallowed,
    /// All had swallowed it when the others were told to end. It is over with this poll.
    Settled,
    /// One that has ended since has not, so the request goes on.
    GoesOn,
}

impl Answer {
    /// A request comes. Only losers hear of it if a race is decided, and they do not answer for the race.
    pub(crate) fn asked(self, is_decided: bool) -> Self {
        match self {
            Self::Unasked if is_decided => Self::GoesOn,
            Self::Unasked => Self::Swallowed,
            later => later,
        }
    }

    /// A member has ended, and has not swallowed the request, if there is one.
    #[inline]
    pub(crate) fn refused(self) -> Self {
        match self {
            Self::Swallowed => Self::GoesOn,
            other => other,
        }
    }

    /// The others are told to end. They do not answer the request any more.
    pub(crate) fn settled(self, is_open: impl FnOnce() -> bool) -> Self {
        match self {
            Self::Swallowed if is_open() => Self::GoesOn,
            Self::Swallowed => Self::Settled,
            other => other,
        }
    }

    /// Whether all that got the request have swallowed it, unless it is still open in one.
    #[inline]
    pub(crate) fn is_given(self, is_open: impl FnOnce() -> bool) -> bool {
        match self {
            Self::Unasked | Self::GoesOn => false,
            Self::Swallowed => !is_open(),
            Self::Settled => true,
        }
    }
}
