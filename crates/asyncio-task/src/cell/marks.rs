//! Rare facts about a task that its state word has no room for.

use crate::sync::Cell;

/// A set of [`Mark`]s. Touched on the owner's thread only.
pub(crate) struct Marks(Cell<u8>);

/// One fact about a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Mark {
    /// A callback that runs in a task's cell: hidden from `all_tasks`. Set when it is made.
    Callback = 1 << 0,
    /// The awaiting task propagates a request, as this one was cancelled on its behalf: the await does not return
    /// there.
    AwaiterPropagates = 1 << 1,
    /// The request that the state notes came because nothing needs the task any more.
    Unneeded = 1 << 2,
    /// A request to it was passed on to what it waits for.
    PassedOn = 1 << 3,
    /// The await of this task closes a circle, and is to end.
    InCircle = 1 << 4,
    /// It has ended, and the awaiting task has let others go first.
    SteppedBack = 1 << 5,
    /// The holder of the handle has looked at the value.
    LookedAt = 1 << 6,
}

impl Marks {
    pub(crate) fn new(is_callback: bool) -> Self {
        Self(Cell::new(u8::from(is_callback) * Mark::Callback as u8))
    }

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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_mark_that_is_set_again_stays_until_it_is_taken() {
        let marks = Marks::new(true);
        (0..2).for_each(|_| marks.set(Mark::InCircle));
        assert!(marks.has(Mark::InCircle) && marks.has(Mark::Callback));
        assert_eq!([(); 2].map(|()| marks.take(Mark::InCircle)), [true, false]);
        assert!(marks.has(Mark::Callback));
    }
}
