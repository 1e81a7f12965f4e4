//! Rare facts about a task that its state word has no room for.

use crate::sync::Cell;

/// A set of [`Mark`]s. Touched on the owner's thread only.
pub(crate) struct Marks(Cell<u8>);

/// One fact about a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Mark {
    /// The awaiting task unwinds, as this one was cancelled on its behalf: the await does not return there.
    AwaiterUnwinds = 1 << 0,
    /// The request that the state notes came from letting go of the task.
    LetGo = 1 << 1,
    /// A request to it was passed on to what it waits for.
    PassedOn = 1 << 2,
    /// The await of this task closes a circle, and is to end.
    InCircle = 1 << 3,
    /// It has ended, and whoever awaits it has let others go first.
    SteppedBack = 1 << 4,
    /// The holder of the handle has looked at the value.
    LookedAt = 1 << 5,
    /// A value is on its way to this child: what it awaits has ended with one since its last step (`handover.rs`).
    Expects = 1 << 6,
}

impl Default for Marks {
    fn default() -> Self {
        Self(Cell::new(0))
    }
}

impl Marks {
    #[inline]
    pub(crate) fn has(&self, mark: Mark) -> bool {
        self.0.get() & mark as u8 != 0
    }

    #[inline]
    pub(crate) fn set(&self, mark: Mark) {
        self.0.set(self.0.get() | mark as u8);
    }

    /// Takes a mark away. Whether it was there.
    pub(crate) fn take(&self, mark: Mark) -> bool {
        let had = self.has(mark);
        self.0.set(self.0.get() & !(mark as u8));
        had
    }
}
