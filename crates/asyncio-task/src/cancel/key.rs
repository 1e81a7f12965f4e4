//! Names of scopes and requests.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU64;

/// The number of a request; later ones are higher. 0 is none.
pub(crate) type Request = u64;

/// The name of a scope. It never names another scope, in any tree of this thread, also after its scope is gone. On
/// another thread it could, so neither a key nor a value with a key is `Send`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScopeKey {
    pub(super) index: u32,
    pub(super) generation: Generation,
    pub(super) local: PhantomData<*const ()>,
}

/// A number that differs for each scope of a thread, so that scopes with the same index have different keys. It never
/// comes again: the counter has 64 bits. Packed, so that a key needs no more alignment than an index.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(Rust, packed(4))]
pub(crate) struct Generation(NonZeroU64);

impl Generation {
    /// A key that no scope of this thread has had, in any tree.
    pub(super) fn next() -> Self {
        NEXT_GENERATION.with(|next| {
            let generation = next.get();
            next.set(generation.checked_add(1).expect("fewer than 2^64 scopes"));
            Self(generation)
        })
    }
}

/// Where a scope is in its tree, in half the room of a key. Good only as long as its scope is there, so for
/// code that alone ends it.
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
        let Generation(generation) = self.generation;
        write!(f, "{}.{generation}", self.index)
    }
}

thread_local! {
    /// A single counter for all trees of a thread, so that no key ever fits a node of another.
    static NEXT_GENERATION: Cell<NonZeroU64> = const { Cell::new(NonZeroU64::MIN) };
}
