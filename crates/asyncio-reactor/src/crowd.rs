//! Sources that many wait for.
//!
//! An event wakes the first waiters of a source only, [`FIRST`] in each direction. Most often they use up what
//! has come, and the rest need not know: were all woken for each connection that one of them accepts, `n`
//! tasks that accept from one listener would cost the square of `n`.
//!
//! But nobody can tell what those who were woken do: they may want something else, or not be polled for a
//! long time. So the rest are not left waiting. As long as the source counts as ready, each turn wakes more
//! of them, twice as many as the one before, and does not wait for the system meanwhile.

use mio::Token;

/// How many futures an event wakes at once in a direction. So few are told at the same time, as if there
/// were no such thing.
pub(crate) const FIRST: usize = 16;

/// A source with waiters that were not woken by its event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    pub(crate) token: Token,
    /// How many are woken next.
    pub(crate) next: usize,
}

impl Crowd {
    /// After the first batch.
    pub(crate) fn new(token: Token) -> Self {
        Crowd {
            token,
            next: 2 * FIRST,
        }
    }

    /// After one more batch.
    pub(crate) fn grown(self) -> Self {
        Crowd {
            next: self.next.saturating_mul(2),
            ..self
        }
    }
}
