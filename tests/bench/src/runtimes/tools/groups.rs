//! Libraries that run several futures inside one task, whatever the runtime.

use std::future::Future;

use futures::StreamExt;
use futures::future::{AbortHandle, Abortable, join_all};
use futures::stream::FuturesUnordered;
use futures_buffered::FuturesUnorderedBounded;
use futures_concurrency::future::{FutureGroup, Join};

use crate::group::{Group, GroupAbilities};

/// `FuturesUnordered`, `join_all` and `Abortable` of the futures crate.
#[derive(Debug)]
pub(crate) struct Unordered;

impl Group for Unordered {
    const CAN: GroupAbilities = GroupAbilities {
        group: true,
        gather: true,
        catch: true,
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
}

/// futures-buffered, with the number of children known from the start.
#[derive(Debug)]
pub(crate) struct Buffered;

impl Group for Buffered {
    const CAN: GroupAbilities = GroupAbilities {
        group: true,
        gather: true,
        catch: false,
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
}

/// moro-local's scope.
#[derive(Debug)]
pub(crate) struct Moro;

impl Group for Moro {
    const CAN: GroupAbilities = GroupAbilities {
        group: true,
        gather: false,
        catch: false,
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
        catch: false,
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
}
