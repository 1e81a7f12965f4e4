//! Goods in queues, taken by random races, limits and groups: what was put is seen or left, each once.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use asyncio::sync::Queue;
use asyncio::{
    EventLoop, TaskGroup, move_on_after, on_cancel, race_iter, sleep, spawn, staggered_race,
    task_group, timeout, try_finally, yield_now,
};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

/// One that comes to an item, or to nothing.
#[derive(Clone, Debug)]
enum Taker {
    Get(usize),
    Never,
    Limit(u64, Box<Taker>),
    Cleanup(Box<Taker>),
    Finally(Box<Taker>),
    Race(Vec<Taker>),
    Staggered(Option<u64>, Vec<Taker>),
    Unordered(Box<Taker>),
    /// The body of a group, beside children that only wait.
    Body(Box<Taker>),
}

/// When an item comes into which queue.
type Delivery = (u64, usize);

fn takers() -> impl Strategy<Value = Taker> {
    let leaf = prop_oneof![6 => (0..3_usize).prop_map(Taker::Get), 1 => Just(Taker::Never)];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let one = inner.clone().prop_map(Box::new);
        let some = || prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            2 => (1..4_u64, one.clone()).prop_map(|(limit, of)| Taker::Limit(limit, of)),
            1 => one.clone().prop_map(Taker::Cleanup),
            1 => one.clone().prop_map(Taker::Finally),
            4 => some().prop_map(Taker::Race),
            1 => (prop::option::of(1..3_u64), some()).prop_map(|(delay, of)| Taker::Staggered(delay, of)),
            1 => one.clone().prop_map(Taker::Unordered),
            1 => one.prop_map(Taker::Body),
        ]
    })
}

type Taking<'a> = Pin<Box<dyn Future<Output = Option<u32>> + 'a>>;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn take(taker: Taker, queues: &[Queue<u32>; 3]) -> Taking<'_> {
    Box::pin(async move {
        let inner = |taker: Box<Taker>| take(*taker, queues);
        match taker {
            Taker::Get(n) => queues[n].get().await.ok(),
            Taker::Never => std::future::pending().await,
            Taker::Limit(limit, of) => timeout(secs(limit), inner(of)).await.ok().flatten(),
            Taker::Cleanup(of) => on_cancel(inner(of), async {}).await,
            Taker::Finally(of) => try_finally(inner(of), async {}).await,
            Taker::Race(all) => race_iter(all.into_iter().map(|one| take(one, queues))).await,
            Taker::Staggered(delay, all) => {
                let all = all
                    .into_iter()
                    .map(|one| move || async move { take(one, queues).await.ok_or(()) });
                staggered_race(all, delay.map(secs))
                    .await
                    .winner
                    .map(|(item, _)| item)
            }
            Taker::Unordered(of) => {
                let mut several: FuturesUnordered<Taking<'_>> = FuturesUnordered::new();
                several.push(inner(of));
                several.push(Box::pin(std::future::pending()));
                several.next().await.flatten()
            }
            Taker::Body(of) => {
                let group = task_group(async |tg: TaskGroup<'_, ()>| {
                    let item = inner(of).await;
                    tg.cancel();
                    Ok(item)
                });
                group.await.ok().flatten()
            }
        }
    })
}

/// Takes again and again while goods come, and gives those that were seen or are left.
fn dealt(taker: &Taker, deliveries: &[Delivery], order: Option<u64>) -> Vec<u32> {
    let mut builder = EventLoop::builder().virtual_time(true);
    if let Some(seed) = order {
        builder = builder.order_seed(seed);
    }
    let mut event_loop = builder.build_loop().expect("a selector");
    let seen = RefCell::new(Vec::new());
    let main = async {
        let queues = Rc::new([(); 3].map(|()| Queue::new(0)));
        let mut due = deliveries.to_vec();
        due.sort_by_key(|&(at, _)| at);
        let putting = spawn({
            let queues = queues.clone();
            async move {
                let start = asyncio::time();
                for (item, (at, n)) in (0..).zip(due) {
                    let at = start + secs(at);
                    if at > asyncio::time() {
                        sleep(at - asyncio::time()).await;
                    }
                    queues[n].put_nowait(item).expect("there is room");
                }
            }
        });
        for _ in 0..30 {
            match move_on_after(secs(3), take(taker.clone(), &queues)).await {
                Some(item) => seen.borrow_mut().extend(item),
                None => yield_now().await,
            }
            sleep(Duration::ZERO).await;
        }
        putting.await.expect("it comes to its end");
        for queue in &*queues {
            while let Ok(item) = queue.get_nowait() {
                seen.borrow_mut().push(item);
            }
        }
    };
    event_loop
        .run_until_complete(main)
        .expect("it comes to its end");
    let mut all = seen.take();
    all.sort_unstable();
    all
}

#[test]
fn what_was_put_is_seen_or_left() {
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::default()
    });
    let deliveries = prop::collection::vec((0..8_u64, 0..3_usize), 1..12);
    let order = prop::option::of(any::<u64>());
    let result = runner.run(
        &(takers(), deliveries, order),
        |(taker, deliveries, order)| {
            let all = dealt(&taker, &deliveries, order);
            let put: Vec<u32> = (0..).take(deliveries.len()).collect();
            prop_assert_eq!(all, put);
            Ok::<(), TestCaseError>(())
        },
    );
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
