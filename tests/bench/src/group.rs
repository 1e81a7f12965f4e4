//! What a workload may ask of a way to run several things inside one task and wait for all.
//!
//! A runtime's own, or a library's that any runtime can poll. What is lacking says so in
//! [`Group::CAN`].

use std::future::{Future, ready};

/// What a library of this kind can do.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct GroupAbilities {
    /// Children can be added and waited for.
    pub(crate) group: bool,
    /// A known number of futures can be waited for, with their outputs in order.
    pub(crate) gather: bool,
    /// A future can be cancelled from outside, and its end be told from a value.
    pub(crate) catch: bool,
}

/// Several things at once.
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

    /// The same, and the sum of what they returned, by the usual way to get at it.
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

    /// A stretch that could be cancelled alone, and says so with `None`.
    fn cancellable<F: Future>(future: F) -> impl Future<Output = Option<F::Output>> {
        async { Some(future.await) }
    }
}

/// For what has nothing of the kind.
#[derive(Debug)]
pub(crate) struct NoGroup;

impl Group for NoGroup {
    const CAN: GroupAbilities = GroupAbilities {
        group: false,
        gather: false,
        catch: false,
    };
}
