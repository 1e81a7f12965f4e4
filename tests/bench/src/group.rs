//! The operations that a workload needs from a way to run several futures inside one task.
//!
//! It belongs to a runtime, or to a library that any runtime can poll. [`Group::CAN`] lists its abilities.

use std::future::{Future, ready};

/// The abilities of a library of this kind.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct GroupAbilities {
    /// Children can be added and waited for.
    pub(crate) group: bool,
    /// A known number of futures can be waited for, with their outputs in order.
    pub(crate) gather: bool,
    /// A future can be cancelled from outside, and its cancellation differs from a value.
    pub(crate) catch: bool,
}

/// Several futures at once.
pub(crate) trait Group: 'static {
    const CAN: GroupAbilities;

    /// Adds the children one by one and waits until all have ended.
    fn run_all<F>(children: impl Iterator<Item = F>) -> impl Future<Output = ()>
    where
        F: Future<Output = u64> + Send + 'static,
    {
        drop(children);
        ready(())
    }

    /// The same, with the sum of their outputs, taken in the usual way.
    fn sum_all<F>(children: impl Iterator<Item = F>) -> impl Future<Output = u64>
    where
        F: Future<Output = u64> + Send + 'static,
    {
        drop(children);
        ready(0)
    }

    /// All outputs, in order.
    fn gather<F>(futures: Vec<F>) -> impl Future<Output = Vec<u64>>
    where
        F: Future<Output = u64> + 'static,
    {
        drop(futures);
        ready(Vec::new())
    }

    /// A stretch that can be cancelled alone. `None` if it was.
    fn cancellable<F: Future>(future: F) -> impl Future<Output = Option<F::Output>> {
        async { Some(future.await) }
    }
}

/// The missing group of a library without one.
#[derive(Debug)]
pub(crate) struct NoGroup;

impl Group for NoGroup {
    const CAN: GroupAbilities = GroupAbilities {
        group: false,
        gather: false,
        catch: false,
    };
}
