//! Bytes that wait to be sent, and the water marks that say when there are too many.

use std::cell::Cell;

/// asyncio's default high water mark, in bytes.
const HIGH: usize = 64 * 1024;

/// The room that an empty queue keeps, in bytes.
const KEPT: usize = 16 * 1024;

/// Bytes that wait to be sent, in order.
#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    bytes: Vec<u8>,
    /// The number of bytes that are sent.
    sent: usize,
}

impl SendQueue {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes that are not sent yet.
    pub(crate) fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Removes `n` bytes from the front.
    pub(crate) fn advance(&mut self, n: usize) {
        self.sent += n;
        if self.sent == self.bytes.len() {
            self.clear();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.sent = 0;
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
    }
}

/// The sizes of a send queue at which its writer pauses and resumes.
#[derive(Debug)]
pub(crate) struct WaterMarks {
    high: Cell<usize>,
    low: Cell<usize>,
    /// Whether the queue was above the high mark, and has not come down to the low one since.
    is_paused: Cell<bool>,
}

impl Default for WaterMarks {
    fn default() -> Self {
        Self {
            high: Cell::new(HIGH),
            low: Cell::new(HIGH / 4),
            is_paused: Cell::new(false),
        }
    }
}

impl WaterMarks {
    /// The low and the high mark.
    pub(crate) fn get(&self) -> (usize, usize) {
        (self.low.get(), self.high.get())
    }

    /// Sets the marks.
    ///
    /// # Panics
    ///
    /// If `low` is more than `high`.
    pub(crate) fn set(&self, low: usize, high: usize) {
        assert!(
            low <= high,
            "the low water mark ({low}) must be at most the high one ({high})"
        );
        self.low.set(low);
        self.high.set(high);
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.is_paused.get()
    }

    /// Looks at the length of the queue. Returns whether that ended a pause.
    pub(crate) fn look_at(&self, length: usize) -> bool {
        if length > self.high.get() {
            self.is_paused.set(true);
        } else if length <= self.low.get() {
            return self.is_paused.replace(false);
        }
        false
    }
}
