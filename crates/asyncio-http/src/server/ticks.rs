//! The coarse clock of a server: the number of looks of its sweeper.

use std::cell::Cell;
use std::rc::Rc;

/// The number of looks so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ticks(Rc<Cell<u32>>);

impl Ticks {
    #[inline]
    pub(super) fn now(&self) -> u32 {
        self.0.get()
    }

    pub(super) fn count(&self) {
        self.0.set(self.0.get().wrapping_add(1));
    }
}
