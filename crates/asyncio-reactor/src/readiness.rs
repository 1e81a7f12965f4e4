//! What a source was last seen to be ready for.
//!
//! Three bits a direction: *ready* says that it can go on, *closed* and *error* say that what
//! comes next is the end. The difference matters after a short read: it clears `ready`, because
//! the system has nothing more at the moment and will tell of what comes. An end that arrived
//! together with the data is never told again, so its bits stay until the source itself answers
//! `WouldBlock`. So does *urgent*, a bit for reading only: a read stops before a byte that the other
//! side has marked so, and comes back short though there is more behind it.

use std::fmt;

use mio::Interest;
use mio::event::Event;

/// One of the two directions in which a source can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Reading, or accepting.
    Read,
    /// Writing, or connecting.
    Write,
}

/// What a source was last seen to be ready for: a snapshot of
/// [`Registered::readiness`](crate::Registered::readiness).
///
/// It tells what the reactor believes. A source may turn out not to be ready after all, and then
/// answers `WouldBlock`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Readiness(u8);

impl Readiness {
    const READABLE: u8 = 1;
    const READ_CLOSED: u8 = 1 << 1;
    /// An error is told to both directions, and each forgets it on its own.
    const READ_ERROR: u8 = 1 << 2;
    const WRITABLE: u8 = 1 << 3;
    const WRITE_CLOSED: u8 = 1 << 4;
    const WRITE_ERROR: u8 = 1 << 5;
    const URGENT: u8 = 1 << 6;

    const READ: u8 = Self::READABLE | Self::READ_CLOSED | Self::READ_ERROR | Self::URGENT;
    const WRITE: u8 = Self::WRITABLE | Self::WRITE_CLOSED | Self::WRITE_ERROR;

    /// What a new source is taken for, so that it is tried before it is waited for.
    pub(crate) const NEW: Readiness = Readiness(Self::READABLE | Self::WRITABLE);
    /// What remains when the reactor is closed.
    pub(crate) const NEVER: Readiness = Readiness(0);

    #[inline]
    pub(crate) fn of_event(event: &Event) -> Self {
        let bit = |bit: u8, is_set: bool| if is_set { bit } else { 0 };
        let open =
            bit(Self::READABLE, event.is_readable()) | bit(Self::WRITABLE, event.is_writable());
        // In this order the compiler sees that the first ones are most of what the others ask for.
        let is_rare = event.is_error()
            || event.is_priority()
            || event.is_read_closed()
            || event.is_write_closed();
        if is_rare {
            return Readiness(open).and(Self::of_rare_event(event));
        }
        Readiness(open)
    }

    /// What few events tell of.
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

    /// What a source can become ready for that is registered with this interest.
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

    /// Whether there is a reason to try.
    #[inline]
    pub(crate) fn allows(self, direction: Direction) -> bool {
        let all = match direction {
            Direction::Read => Self::READ,
            Direction::Write => Self::WRITE,
        };
        self.0 & all != 0
    }

    /// The source answered `WouldBlock`: nothing in this direction, not even an end.
    #[inline]
    pub(crate) fn without(self, direction: Direction) -> Self {
        Readiness(match direction {
            Direction::Read => self.0 & !Self::READ,
            Direction::Write => self.0 & !Self::WRITE,
        })
    }

    /// The source moved less than it was asked to: nothing more at the moment, but an end or an urgent
    /// byte that is known of stays.
    #[inline]
    pub(crate) fn without_more(self, direction: Direction) -> Self {
        Readiness(match direction {
            Direction::Read => self.0 & !Self::READABLE,
            Direction::Write => self.0 & !Self::WRITABLE,
        })
    }

    /// There may be something to read.
    pub fn is_readable(self) -> bool {
        self.0 & Self::READABLE != 0
    }

    /// There may be room to write.
    pub fn is_writable(self) -> bool {
        self.0 & Self::WRITABLE != 0
    }

    /// There is, or was, a byte that the other side has marked as urgent. It is told of where the source was
    /// registered with `Interest::PRIORITY`, which only Linux has.
    pub fn is_urgent(self) -> bool {
        self.0 & Self::URGENT != 0
    }

    /// The other side will send nothing more; what it sent before may still be there to read.
    pub fn is_read_closed(self) -> bool {
        self.0 & Self::READ_CLOSED != 0
    }

    /// The other side takes nothing more, or this side was shut down.
    pub fn is_write_closed(self) -> bool {
        self.0 & Self::WRITE_CLOSED != 0
    }

    /// The source has an error to tell; the next operation gets it.
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
