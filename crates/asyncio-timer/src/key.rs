//! The key of a timer: the index of its entry, and the entry's generation.

use std::fmt;
use std::num::NonZeroU32;

/// Identifies one timer of one [`TimerWheel`](crate::TimerWheel).
///
/// When the timer has expired or was cancelled, its key becomes stale and stays stale forever. The
/// wheel answers a stale key with `None` or `false`, never with a timer that was inserted later. A
/// key is valid only for the wheel that returned it: another wheel may have a timer with an equal
/// key.
///
/// A key takes 8 bytes, and so does an `Option` of a key.
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
