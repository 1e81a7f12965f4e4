//! The readiness of a source, as last recorded.
//!
//! Each direction has three bits. *Ready* means that an operation can proceed. *Closed* and *error*
//! mean that the stream has ended.
//!
//! A short read clears only *ready*, because the system has no more data and reports later data
//! with a new event. An end that arrived together with the data is never reported again. So its
//! bits stay set until the source returns `WouldBlock`. The same holds for *urgent*, a bit for
//! reading only: a read stops before a byte that the peer has marked as urgent. It comes back short
//! although there is more to read.

use std::fmt;

use mio::Interest;
use mio::event::Event;

/// A direction in which a source can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Reading, or accepting.
    Read,
    /// Writing, or connecting.
    Write,
}

/// A snapshot of a source's readiness, from
/// [`Registered::readiness`](crate::Registered::readiness).
///
/// It is what the reactor has recorded. An operation may still return `WouldBlock`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Readiness(u8);

impl Readiness {
    const READABLE: u8 = 1;
    const READ_CLOSED: u8 = 1 << 1;
    /// An error is recorded in both directions, and each direction clears it separately.
    const READ_ERROR: u8 = 1 << 2;
    const WRITABLE: u8 = 1 << 3;
    const WRITE_CLOSED: u8 = 1 << 4;
    const WRITE_ERROR: u8 = 1 << 5;
    const URGENT: u8 = 1 << 6;

    const READ: u8 = Self::READABLE | Self::READ_CLOSED | Self::READ_ERROR | Self::URGENT;
    const WRITE: u8 = Self::WRITABLE | Self::WRITE_CLOSED | Self::WRITE_ERROR;

    /// The readiness of a new source, so that an operation is tried before its task waits.
    pub(crate) const NEW: Readiness = Readiness(Self::READABLE | Self::WRITABLE);
    /// The readiness of every source after the reactor is closed.
    pub(crate) const NEVER: Readiness = Readiness(0);

    #[inline]
    pub(crate) fn of_event(event: &Event) -> Self {
        let bit = |bit: u8, is_set: bool| if is_set { bit } else { 0 };
        let open =
            bit(Self::READABLE, event.is_readable()) | bit(Self::WRITABLE, event.is_writable());
        // In this order the compiler merges the bit tests of the common checks with those of the
        // rare ones.
        let is_rare = event.is_error()
            || event.is_priority()
            || event.is_read_closed()
            || event.is_write_closed();
        if is_rare {
            return Readiness(open).and(Self::of_rare_event(event));
        }
        Readiness(open)
    }

    /// Readiness of an event with a rare flag.
    #[cold]
    fn of_rare_event(event: &Event) -> Self {
        let bit = |bit: u8, is_set: bool| if is_set { bit } else { 0 };
        Readiness(
            bit(Self::READ_CLOSED, event.is_read_closed())
                | bit(Self::URGENT, event.is_priority())
                | bit(Self::WRITE_CLOSED, event.is_write_closed())
                | bit(Self::READ_ERROR | Self::WRITE_ERROR, event.is_error()),
        )
    }

    #[inline]
    pub(crate) fn and(self, other: Readiness) -> Self {
        Readiness(self.0 | other.0)
    }

    /// The readiness that a source with this interest can have.
    pub(crate) fn within(interest: Interest) -> Self {
        let bit = |bit: u8, is_set: bool| if is_set { bit } else { 0 };
        let reads = interest.is_readable() || interest.is_priority();
        Readiness(bit(Self::READ, reads) | bit(Self::WRITE, interest.is_writable()))
    }

    #[cfg(test)]
    pub(crate) fn for_tests(read: bool, write: bool) -> Self {
        let bit = |bit: u8, is_set: bool| if is_set { bit } else { 0 };
        Readiness(bit(Self::READABLE, read) | bit(Self::WRITABLE, write))
    }

    /// Whether an operation in `direction` is worth a try.
    #[inline]
    pub(crate) fn allows(self, direction: Direction) -> bool {
        let all = match direction {
            Direction::Read => Self::READ,
            Direction::Write => Self::WRITE,
        };
        self.0 & all != 0
    }

    /// Readiness after `WouldBlock`: `direction` is cleared, including an end.
    #[inline]
    pub(crate) fn without(self, direction: Direction) -> Self {
        Readiness(match direction {
            Direction::Read => self.0 & !Self::READ,
            Direction::Write => self.0 & !Self::WRITE,
        })
    }

    /// Readiness after a short transfer: `direction` is not ready, but a recorded end or urgent
    /// byte stays.
    #[inline]
    pub(crate) fn without_ready(self, direction: Direction) -> Self {
        Readiness(match direction {
            Direction::Read => self.0 & !Self::READABLE,
            Direction::Write => self.0 & !Self::WRITABLE,
        })
    }

    /// Whether there may be something to read.
    pub fn is_readable(self) -> bool {
        self.0 & Self::READABLE != 0
    }

    /// Whether there may be room to write.
    pub fn is_writable(self) -> bool {
        self.0 & Self::WRITABLE != 0
    }

    /// Whether the peer has sent an urgent byte, read or not. It is reported only for a source that
    /// was registered with `Interest::PRIORITY`, which exists only on Linux.
    pub fn is_urgent(self) -> bool {
        self.0 & Self::URGENT != 0
    }

    /// Whether the peer has shut down its writing side. Data sent before may still be unread.
    pub fn is_read_closed(self) -> bool {
        self.0 & Self::READ_CLOSED != 0
    }

    /// Whether writing is closed: the peer reads no more, or this side was shut down.
    pub fn is_write_closed(self) -> bool {
        self.0 & Self::WRITE_CLOSED != 0
    }

    /// Whether the source has a pending error; the next operation returns it.
    pub fn is_error(self) -> bool {
        self.0 & (Self::READ_ERROR | Self::WRITE_ERROR) != 0
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (self.is_readable(), "readable"),
            (self.is_writable(), "writable"),
            (self.is_read_closed(), "read closed"),
            (self.is_write_closed(), "write closed"),
            (self.is_error(), "error"),
            (self.is_urgent(), "urgent"),
        ];
        f.debug_set()
            .entries(
                names
                    .iter()
                    .filter(|(is_set, _)| *is_set)
                    .map(|(_, name)| name),
            )
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Readiness = Readiness(Readiness::READ);
    const WRITE: Readiness = Readiness(Readiness::WRITE);

    #[test]
    fn each_flag_is_told_by_itself() {
        let flags = [
            Readiness::READABLE,
            Readiness::READ_CLOSED,
            Readiness::URGENT,
            Readiness::WRITABLE,
            Readiness::WRITE_CLOSED,
        ];
        for (n, flag) in flags.into_iter().enumerate() {
            let one = Readiness(flag);
            let told = [
                one.is_readable(),
                one.is_read_closed(),
                one.is_urgent(),
                one.is_writable(),
                one.is_write_closed(),
            ];
            assert_eq!(told, std::array::from_fn(|other| other == n), "{one:?}");
            let allows = [Direction::Read, Direction::Write].map(|side| one.allows(side));
            assert_eq!(allows, [n < 3, n >= 3], "{one:?}");
        }
    }

    #[test]
    fn each_direction_is_cleared_by_itself() {
        let all = READ.and(WRITE);
        assert_eq!(all.without(Direction::Read), WRITE);
        assert_eq!(all.without(Direction::Write), READ);
        let ended = all.without_ready(Direction::Read);
        assert!(!ended.is_readable() && ended.is_read_closed() && ended.is_urgent());
        assert_eq!(ended.without(Direction::Read), WRITE);
        let ended = all.without_ready(Direction::Write);
        assert!(!ended.is_writable() && ended.is_write_closed());
        assert_eq!(ended.without(Direction::Write), READ);
    }

    #[test]
    fn a_source_is_ready_only_in_the_directions_of_its_interest() {
        assert_eq!(Readiness::within(Interest::READABLE), READ);
        assert_eq!(Readiness::within(Interest::WRITABLE), WRITE);
        let both = Interest::READABLE | Interest::WRITABLE;
        assert_eq!(Readiness::within(both), READ.and(WRITE));
    }
}
