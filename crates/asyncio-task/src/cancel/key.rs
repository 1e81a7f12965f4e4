//! Names of scopes and requests.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU32;

/// The number of a request; later ones are higher. 0 is none.
pub(crate) type Request = u64;

/// Which scope. Never means another one after that is gone, in no tree of this thread. On another thread it would,
/// so neither it nor what has one goes there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScopeKey {
    pub(super) index: u32,
    pub(super) generation: Generation,
    pub(super) local: PhantomData<*const ()>,
}

/// Tells the scopes of a thread apart that were at one index, one after the other. It never comes again: the counter has
/// 64 bits, in two halves so that a key needs no more alignment than an index.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Generation {
    high: u32,
    low: NonZeroU32,
}

impl Generation {
    /// One that no scope of this thread has had, in any tree.
    pub(super) fn next() -> Self {
        NEXT_GENERATION.with(|next| {
            let generation = next.get();
            next.set(match generation.low.checked_add(1) {
                Some(low) => Self { low, ..generation },
                None => Self {
                    high: generation.high + 1,
                    low: NonZeroU32::MIN,
                },
            });
            generation
        })
    }
}

/// Where a scope is in its tree, in half the room of a key. Good only as long as its scope is there, so for
/// those who alone end it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(pub(super) u32);

impl Place {
    pub(crate) const NONE: Self = Self(u32::MAX);

    #[inline]
    pub(crate) fn of(key: Option<ScopeKey>) -> Self {
        key.map_or(Self::NONE, |key| Self(key.index))
    }
}

impl fmt::Debug for ScopeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Generation { high, low } = self.generation;
        write!(
            f,
            "{}.{}",
            self.index,
            u64::from(high) << 32 | u64::from(low.get())
        )
    }
}

thread_local! {
    /// One counter for all trees of a thread, so that no key ever fits a node of another.
    static NEXT_GENERATION: Cell<Generation> = const {
        Cell::new(Generation {
            high: 0,
            low: NonZeroU32::MIN,
        })
    };
}
