//! Sources with many waiters, without a thundering herd.
//!
//! An event wakes only the first waiters of a source, [`FIRST`] in each direction. Usually they use
//! up the readiness. If all were woken for each accepted connection, `n` tasks that accept from one
//! listener would cost O(n²).
//!
//! A woken waiter may not use the source: it may do something else, or not be polled for a long
//! time. So the rest cannot be left waiting. As long as the source counts as ready, each turn wakes
//! twice as many waiters as the turn before. Meanwhile a turn does not wait for the system.

use mio::Token;

/// How many futures one event wakes in a direction. Up to this number all waiters are woken at
/// once.
pub(crate) const FIRST: usize = 16;

/// A source whose event has not woken all waiters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    pub(crate) token: Token,
    /// How many waiters the next turn wakes.
    pub(crate) next: usize,
}

impl Crowd {
    /// The rest after the first batch.
    pub(crate) fn new(token: Token) -> Self {
        Crowd {
            token,
            next: 2 * FIRST,
        }
    }

    /// The rest after one more batch.
    pub(crate) fn grown(self) -> Self {
        Crowd {
            next: self.next.saturating_mul(2),
            ..self
        }
    }
}
