//! The operations that a workload needs from a way to run several futures inside one task.
//!
//! It belongs to a runtime, or to a library that any runtime can poll. [`Group::CAN`] lists its abilities.

use std::future::{Future, ready};

/// The abilities of a library of this kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupAbilities {
    /// Children can be added and waited for.
    pub(crate) group: bool,
    /// A known number of futures can be waited for, with their outputs in order.
    pub(crate) gather: bool,
    /// A future can be cancelled from outside, and its cancellation differs from a value.
    pub(crate) catch: bool,
    /// Two or three futures, polled in place: the first that is ready.
    pub(crate) race: bool,
    /// The same, as a macro with a handler for each.
    pub(crate) select: bool,
    /// Two or three futures, polled in place: all outputs, or the first error.
    pub(crate) join: bool,
    /// A number of futures of which only some run at a time.
    pub(crate) bounded: bool,
}

impl GroupAbilities {
    pub(crate) const NONE: Self = Self {
        group: false,
        gather: false,
        catch: false,
        race: false,
        select: false,
        join: false,
        bounded: false,
    };
}

/// The result of a future that does not fail.
pub(crate) type Sure = Result<u64, ()>;

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

    /// The sum of all outputs, with at most `limit` futures at a time.
    fn sum_bounded<F>(limit: usize, futures: impl Iterator<Item = F>) -> impl Future<Output = u64>
    where
        F: Future<Output = u64> + Send + 'static,
    {
        let _ = limit;
        drop(futures);
        ready(0)
    }

    /// The output of the first of two futures.
    fn race_two(
        a: impl Future<Output = u64>,
        b: impl Future<Output = u64>,
    ) -> impl Future<Output = u64> {
        drop((a, b));
        ready(0)
    }

    /// The output of the first of three futures.
    fn race_three(
        a: impl Future<Output = u64>,
        b: impl Future<Output = u64>,
        c: impl Future<Output = u64>,
    ) -> impl Future<Output = u64> {
        drop((a, b, c));
        ready(0)
    }

    /// [`race_two`](Self::race_two), by a macro.
    fn select_two(
        a: impl Future<Output = u64>,
        b: impl Future<Output = u64>,
    ) -> impl Future<Output = u64> {
        Self::race_two(a, b)
    }

    /// [`race_three`](Self::race_three), by a macro.
    fn select_three(
        a: impl Future<Output = u64>,
        b: impl Future<Output = u64>,
        c: impl Future<Output = u64>,
    ) -> impl Future<Output = u64> {
        Self::race_three(a, b, c)
    }

    /// The outputs of two futures.
    fn join_two(
        a: impl Future<Output = u64>,
        b: impl Future<Output = u64>,
    ) -> impl Future<Output = (u64, u64)> {
        drop((a, b));
        ready((0, 0))
    }

    /// The outputs of three futures.
    fn join_three(
        a: impl Future<Output = u64>,
        b: impl Future<Output = u64>,
        c: impl Future<Output = u64>,
    ) -> impl Future<Output = (u64, u64, u64)> {
        drop((a, b, c));
        ready((0, 0, 0))
    }

    /// The values of two futures, or the first error.
    fn try_join_two(
        a: impl Future<Output = Sure>,
        b: impl Future<Output = Sure>,
    ) -> impl Future<Output = Result<(u64, u64), ()>> {
        drop((a, b));
        ready(Err(()))
    }

    /// The values of three futures, or the first error.
    fn try_join_three(
        a: impl Future<Output = Sure>,
        b: impl Future<Output = Sure>,
        c: impl Future<Output = Sure>,
    ) -> impl Future<Output = Result<(u64, u64, u64), ()>> {
        drop((a, b, c));
        ready(Err(()))
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
    const CAN: GroupAbilities = GroupAbilities::NONE;
}
