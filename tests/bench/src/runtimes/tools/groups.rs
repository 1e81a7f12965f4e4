//! Libraries that run several futures inside one task, whatever the runtime.

use std::future::Future;
use std::pin::pin;

use futures::StreamExt;
use futures::future::{AbortHandle, Abortable, Either, FutureExt, join_all};
use futures::stream::{self, FuturesUnordered};
use futures_buffered::{BufferedStreamExt, FuturesUnorderedBounded};
use futures_concurrency::future::{FutureGroup, Join, Race, TryJoin};
use futures_lite::future;

use crate::group::{Group, GroupAbilities, Sure};

/// `FuturesUnordered`, `join_all` and `Abortable` of the futures crate.
#[derive(Debug)]
pub(crate) struct Unordered;

impl Group for Unordered {
    const CAN: GroupAbilities = GroupAbilities {
        group: true,
        gather: true,
        catch: true,
        race: true,
        select: true,
        join: true,
        bounded: true,
    };

    async fn run_all<F>(children: impl Iterator<Item = F>)
    where
        F: Future<Output = u64> + Send + 'static,
    {
        let mut set: FuturesUnordered<F> = children.collect();
        while set.next().await.is_some() {}
    }

    async fn sum_all<F>(children: impl Iterator<Item = F>) -> u64
    where
        F: Future<Output = u64> + Send + 'static,
    {
        let set: FuturesUnordered<F> = children.collect();
        set.fold(0, async |sum, output| sum + output).await
    }

    fn gather<F>(futures: Vec<F>) -> impl Future<Output = Vec<u64>>
    where
        F: Future<Output = u64> + 'static,
    {
        join_all(futures)
    }

    async fn cancellable<F: Future>(future: F) -> Option<F::Output> {
        let (_handle, registration) = AbortHandle::new_pair();
        Abortable::new(future, registration).await.ok()
    }

    fn sum_bounded<F>(limit: usize, futures: impl Iterator<Item = F>) -> impl Future<Output = u64>
    where
        F: Future<Output = u64> + Send + 'static,
    {
        let outputs = stream::iter(futures).buffered(limit);
        outputs.fold(0, async |sum, output| sum + output)
    }

    async fn race_two(a: impl Future<Output = u64>, b: impl Future<Output = u64>) -> u64 {
        match futures::future::select(pin!(a), pin!(b)).await {
            Either::Left((a, _)) => a,
            Either::Right((b, _)) => b,
        }
    }

    async fn race_three(
        a: impl Future<Output = u64>,
        b: impl Future<Output = u64>,
        c: impl Future<Output = u64>,
    ) -> u64 {
        Self::race_two(a, Self::race_two(b, c)).await
    }

    async fn select_two(a: impl Future<Output = u64>, b: impl Future<Output = u64>) -> u64 {
        let (mut a, mut b) = (pin!(a.fuse()), pin!(b.fuse()));
        futures::select_biased! {
            a = a => a,
            b = b => b,
        }
    }

    async fn select_three(
        a: impl Future<Output = u64>,
        b: impl Future<Output = u64>,
        c: impl Future<Output = u64>,
    ) -> u64 {
        let (mut a, mut b, mut c) = (pin!(a.fuse()), pin!(b.fuse()), pin!(c.fuse()));
        futures::select_biased! {
            a = a => a,
            b = b => b,
            c = c => c,
        }
    }

    fn join_two(
        a: impl Future<Output = u64>,
        b: impl Future<Output = u64>,
    ) -> impl Future<Output = (u64, u64)> {
        futures::future::join(a, b)
    }

    fn join_three(
        a: impl Future<Output = u64>,
        b: impl Future<Output = u64>,
        c: impl Future<Output = u64>,
    ) -> impl Future<Output = (u64, u64, u64)> {
        futures::future::join3(a, b, c)
    }

    fn try_join_two(
        a: impl Future<Output = Sure>,
        b: impl Future<Output = Sure>,
    ) -> impl Future<Output = Result<(u64, u64), ()>> {
        futures::future::try_join(a, b)
    }

    fn try_join_three(
        a: impl Future<Output = Sure>,
        b: impl Future<Output = Sure>,
        c: impl Future<Output = Sure>,
    ) -> impl Future<Output = Result<(u64, u64, u64), ()>> {
        futures::future::try_join3(a, b, c)
    }
}

/// futures-buffered, with the number of children known from the start.
#[derive(Debug)]
pub(crate) struct Buffered;

impl Group for Buffered {
    const CAN: GroupAbilities = GroupAbilities {
        group: true,
        gather: true,
        bounded: true,
        ..GroupAbilities::NONE
    };

    async fn run_all<F>(children: impl Iterator<Item = F>)
    where
        F: Future<Output = u64> + Send + 'static,
    {
        let mut set: FuturesUnorderedBounded<F> = children.collect();
        while set.next().await.is_some() {}
    }

    async fn sum_all<F>(children: impl Iterator<Item = F>) -> u64
    where
        F: Future<Output = u64> + Send + 'static,
    {
        let set: FuturesUnorderedBounded<F> = children.collect();
        set.fold(0, async |sum, output| sum + output).await
    }

    fn gather<F>(futures: Vec<F>) -> impl Future<Output = Vec<u64>>
    where
        F: Future<Output = u64> + 'static,
    {
        futures_buffered::join_all(futures)
    }

    fn sum_bounded<F>(limit: usize, futures: impl Iterator<Item = F>) -> impl Future<Output = u64>
    where
        F: Future<Output = u64> + Send + 'static,
    {
        let outputs = stream::iter(futures).buffered_ordered(limit);
        outputs.fold(0, async |sum, output| sum + output)
    }
}

/// moro-local's scope.
#[derive(Debug)]
pub(crate) struct Moro;

impl Group for Moro {
    const CAN: GroupAbilities = GroupAbilities {
        group: true,
        ..GroupAbilities::NONE
    };

    async fn run_all<F>(children: impl Iterator<Item = F>)
    where
        F: Future<Output = u64> + Send + 'static,
    {
        moro_local::async_scope!(|scope| {
            for child in children {
                drop(scope.spawn(child));
            }
        })
        .await;
    }

    async fn sum_all<F>(children: impl Iterator<Item = F>) -> u64
    where
        F: Future<Output = u64> + Send + 'static,
    {
        moro_local::async_scope!(|scope| {
            let children: Vec<_> = children.map(|child| scope.spawn(child)).collect();
            let mut sum = 0;
            for child in children {
                sum += child.await;
            }
            sum
        })
        .await
    }
}

/// futures-concurrency.
#[derive(Debug)]
pub(crate) struct Concurrency;

impl Group for Concurrency {
    const CAN: GroupAbilities = GroupAbilities {
        group: true,
        gather: true,
        race: true,
        join: true,
        ..GroupAbilities::NONE
    };

    async fn run_all<F>(children: impl Iterator<Item = F>)
    where
        F: Future<Output = u64> + Send + 'static,
    {
        let mut group: FutureGroup<F> = children.collect();
        while group.next().await.is_some() {}
    }

    async fn sum_all<F>(children: impl Iterator<Item = F>) -> u64
    where
        F: Future<Output = u64> + Send + 'static,
    {
        let group: FutureGroup<F> = children.collect();
        group.fold(0, async |sum, output| sum + output).await
    }

    fn gather<F>(futures: Vec<F>) -> impl Future<Output = Vec<u64>>
    where
        F: Future<Output = u64> + 'static,
    {
        futures.join()
    }

    fn race_two(
        a: impl Future<Output = u64>,
        b: impl Future<Output = u64>,
    ) -> impl Future<Output = u64> {
        (a, b).race()
    }

    fn race_three(
        a: impl Future<Output = u64>,
        b: impl Future<Output = u64>,
        c: impl Future<Output = u64>,
    ) -> impl Future<Output = u64> {
        (a, b, c).race()
    }

    fn join_two(
        a: impl Future<Output = u64>,
        b: impl Future<Output = u64>,
    ) -> impl Future<Output = (u64, u64)> {
        (a, b).join()
    }

    fn join_three(
        a: impl Future<Output = u64>,
        b: impl Future<Output = u64>,
        c: impl Future<Output = u64>,
    ) -> impl Future<Output = (u64, u64, u64)> {
        (a, b, c).join()
    }

    fn try_join_two(
        a: impl Future<Output = Sure>,
        b: impl Future<Output = Sure>,
    ) -> impl Future<Output = Result<(u64, u64), ()>> {
        (a, b).try_join()
    }

    fn try_join_three(
        a: impl Future<Output = Sure>,
        b: impl Future<Output = Sure>,
        c: impl Future<Output = Sure>,
    ) -> impl Future<Output = Result<(u64, u64, u64), ()>> {
        (a, b, c).try_join()
    }
}

/// `or` and `zip` of futures-lite, as programs on smol use them.
#[derive(Debug)]
pub(crate) struct Lite;

impl Group for Lite {
    const CAN: GroupAbilities = GroupAbilities {
        race: true,
        join: true,
        ..GroupAbilities::NONE
    };

    fn race_two(
        a: impl Future<Output = u64>,
        b: impl Future<Output = u64>,
    ) -> impl Future<Output = u64> {
        future::or(a, b)
    }

    fn race_three(
        a: impl Future<Output = u64>,
        b: impl Future<Output = u64>,
        c: impl Future<Output = u64>,
    ) -> impl Future<Output = u64> {
        future::or(a, future::or(b, c))
    }

    fn join_two(
        a: impl Future<Output = u64>,
        b: impl Future<Output = u64>,
    ) -> impl Future<Output = (u64, u64)> {
        future::zip(a, b)
    }

    async fn join_three(
        a: impl Future<Output = u64>,
        b: impl Future<Output = u64>,
        c: impl Future<Output = u64>,
    ) -> (u64, u64, u64) {
        let (a, (b, c)) = future::zip(a, future::zip(b, c)).await;
        (a, b, c)
    }

    fn try_join_two(
        a: impl Future<Output = Sure>,
        b: impl Future<Output = Sure>,
    ) -> impl Future<Output = Result<(u64, u64), ()>> {
        future::try_zip(a, b)
    }

    async fn try_join_three(
        a: impl Future<Output = Sure>,
        b: impl Future<Output = Sure>,
        c: impl Future<Output = Sure>,
    ) -> Result<(u64, u64, u64), ()> {
        let (a, (b, c)) = future::try_zip(a, future::try_zip(b, c)).await?;
        Ok((a, b, c))
    }
}
