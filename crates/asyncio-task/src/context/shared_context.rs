//! Context variables on their way to another thread.
//!
//! A context is of its thread: most values are not `Send`. What leaves with a job is a list of the values
//! that are, of variables that say so ([`ContextVar::shared`](crate::ContextVar::shared)); on the other
//! thread it becomes a context again.

use std::fmt;

use crate::context::values::{Context, SharedValue};
use crate::engine::current;

/// The values of [shared](crate::ContextVar::shared) variables, for work on another thread. Made by
/// [`Context::to_shared`] and [`shared_context`].
#[derive(Clone, Default)]
#[must_use = "the values are seen by what runs in it"]
pub struct SharedContext {
    values: Vec<(u64, SharedValue)>,
}

impl SharedContext {
    /// Calls `f` on this thread in a context with these values. What `f` sets is gone when it returns.
    pub fn run<R>(self, f: impl FnOnce() -> R) -> R {
        current::enter_context(&Context::of_shared(self.values), f)
    }

    /// The number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl fmt::Debug for SharedContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedContext({} variables)", self.len())
    }
}

impl Context {
    /// The values that other threads may have: those of [shared](crate::ContextVar::shared) variables.
    pub fn to_shared(&self) -> SharedContext {
        SharedContext {
            values: self.shared_values(),
        }
    }
}

/// The values of the context that code here and now runs in, as far as other threads may have them.
pub fn shared_context() -> SharedContext {
    current::context(false)
        .map(|context| context.to_shared())
        .unwrap_or_default()
}
