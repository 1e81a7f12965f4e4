//! The step under way on a thread, for another thread that watches it.
//!
//! - **V1** `place` is null, or comes from a `&'static Location`.
#![allow(unsafe_code)]

use std::panic::Location;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use crate::handle::id::TaskId;

/// The step under way on the thread of its [`Tasks`](crate::Tasks), readable on any thread. It costs two plain stores
/// a step.
#[derive(Debug, Default)]
pub struct Pulse {
    id: AtomicU64,
    place: AtomicPtr<Location<'static>>,
}

impl Pulse {
    /// Notes that a step of this task is under way.
    #[inline]
    pub(crate) fn enter(&self, id: TaskId, place: &'static Location<'static>) {
        self.id.store(id.get(), Ordering::Relaxed);
        let place = ptr::from_ref(place).cast_mut();
        self.place.store(place, Ordering::Relaxed);
    }

    /// Notes that no step is under way.
    #[inline]
    pub(crate) fn leave(&self) {
        self.place.store(ptr::null_mut(), Ordering::Relaxed);
    }

    /// The number of the task whose step is under way, and the place that spawned it. `None` between turns. While steps
    /// come and go the two may belong to different steps.
    #[must_use]
    pub fn step(&self) -> Option<(TaskId, &'static Location<'static>)> {
        let place = self.place.load(Ordering::Relaxed);
        // SAFETY: null, or from a reference that is valid for the program's life (V1). A `Location` is never changed.
        let place: &'static Location<'static> = unsafe { place.as_ref() }?;
        Some((TaskId::new(self.id.load(Ordering::Relaxed))?, place))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    // Proves V1.
    #[test]
    fn another_thread_sees_the_step_and_the_place_that_spawned_it() {
        let pulse = Pulse::default();
        assert!(pulse.step().is_none());
        let place = Location::caller();
        pulse.enter(TaskId::new(7).unwrap(), place);
        let seen = std::thread::scope(|scope| scope.spawn(|| pulse.step()).join().unwrap());
        assert_eq!(seen, Some((TaskId::new(7).unwrap(), place)));
        pulse.leave();
        assert!(pulse.step().is_none());
    }
}
