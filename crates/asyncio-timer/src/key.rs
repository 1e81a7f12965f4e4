//! The key of a timer: where its entry is, and which of the timers that have lived there it means.

use std::fmt;
use std::num::NonZeroU32;

/// Names one timer of one [`TimerWheel`](crate::TimerWheel), from its insertion on.
///
/// Once the timer has expired or was cancelled, its key is stale, and stays stale for ever: the
/// wheel answers it with `None` or `false`, never with a timer that was inserted later. A key means
/// nothing to another wheel, which may well have a timer of its own under an equal key.
///
/// A key takes 8 bytes, and so does an `Option` of one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerKey {
    pub(crate) index: u32,
    pub(crate) generation: NonZeroU32,
}

impl fmt::Debug for TimerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TimerKey({}v{})", self.index, self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_takes_eight_bytes_and_so_does_no_key() {
        assert_eq!(size_of::<TimerKey>(), 8);
        assert_eq!(size_of::<Option<TimerKey>>(), 8);
    }
}
