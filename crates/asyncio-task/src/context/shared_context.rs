//! Context variables on their way to another thread.
//!
//! A context belongs to its thread: most values are not `Send`. A job takes along a list of the values that are `Send`,
//! of variables that say so ([`ContextVar::shared`](crate::ContextVar::shared)). On the other thread the list becomes a
//! context again.

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
    /// Calls `f` on this thread in a context with these values. Values that `f` sets are gone when it returns.
    pub fn run<R>(self, f: impl FnOnce() -> R) -> R {
        current::enter_context(&Context::of_shared(self.values), f)
    }

    /// Calls `f` as [`run`](Self::run) does. If there are no values, `f` runs in `spare`, an empty context, which is
    /// empty again afterwards. So a thread that makes many calls allocates no context for them.
    ///
    /// ```
    /// use asyncio_task::{Context, ContextVar, shared_context};
    ///
    /// let user = ContextVar::new("user");
    /// let mut spare = Context::new();
    /// shared_context().run_in(&mut spare, || {
    ///     let _ = user.set("ada");
    /// });
    /// assert!(spare.is_empty());
    /// ```
    pub fn run_in<R>(self, spare: &mut Context, f: impl FnOnce() -> R) -> R {
        /// Empties the context, also if the call unwinds.
        struct Empty<'a>(&'a mut Context);
        impl Drop for Empty<'_> {
            fn drop(&mut self) {
                if !self.0.is_unused() {
                    *self.0 = Context::new();
                }
            }
        }
        if !self.is_empty() {
            return self.run(f);
        }
        let spare = Empty(spare);
        current::enter_context(spare.0, f)
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

/// The values of the current context that other threads may have: those of [shared](crate::ContextVar::shared)
/// variables.
pub fn shared_context() -> SharedContext {
    current::context(false)
        .map(|context| context.to_shared())
        .unwrap_or_default()
}
