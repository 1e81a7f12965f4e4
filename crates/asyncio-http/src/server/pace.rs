//! The pace of a client: how much it sends or takes while the server waits for it.

use std::cell::Cell;
use std::time::Duration;

/// The bytes that a client has moved in one direction during the waits of one period.
///
/// Only the looks that find the server waiting count, so a slow handler slows no client down.
#[derive(Debug, Default)]
pub(super) struct Pace {
    bytes: Cell<u64>,
    looks: Cell<u32>,
}

impl Pace {
    pub(super) fn moved(&self, bytes: usize) {
        self.bytes
            .set(self.bytes.get().saturating_add(bytes as u64));
    }

    /// Begins a period.
    pub(super) fn begin(&self) {
        self.bytes.set(0);
        self.looks.set(0);
    }

    /// Notes a look that finds the server waiting. `true` if a period of that length ends with it, and the client was
    /// slower than `rate` in bytes a second.
    pub(super) fn is_too_slow(&self, pause: Duration, period: Duration, rate: u32) -> bool {
        self.looks.set(self.looks.get().saturating_add(1));
        if pause.saturating_mul(self.looks.get()) < period {
            return false;
        }
        let least = period.as_secs_f64() * f64::from(rate);
        #[expect(clippy::cast_precision_loss, reason = "an estimate is enough")]
        let is_too_slow = (self.bytes.get() as f64) < least;
        self.begin();
        is_too_slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_period_ends_at_its_length_and_counts_its_own_bytes() {
        let pace = Pace::default();
        let look = || pace.is_too_slow(SECOND, 3 * SECOND, 10);
        pace.moved(30);
        assert_eq!([look(), look(), look()], [false, false, false]);
        pace.moved(29);
        assert_eq!([look(), look(), look()], [false, false, true]);
    }

    #[test]
    fn no_rate_is_no_limit() {
        let pace = Pace::default();
        assert!(!pace.is_too_slow(SECOND, SECOND, 0));
    }
}
