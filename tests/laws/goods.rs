//! Goods in queues, taken by random races, limits and groups: what was put is seen or left, each once, under every
//! budget and order, also when a request or a failure comes in the step of an item.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use asyncio::sync::Queue;
use asyncio::{
    EventLoop, SpawnOptions, TaskGroup, TaskRef, move_on_after, on_cancel, race_iter, sleep, spawn,
    staggered_race, task_group, timeout, try_finally,
};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};

use crate::config;

/// A taker, which comes to an item, or to nothing.
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
    /// The body of a group.
    Body(Box<Taker>),
    /// A child of a group, which the body awaits, perhaps by way of other children that await each other.
    Child(usize, Box<Taker>),
    /// Children of a group that each keep what they come to, some by way of other children. The body fails when an item
    /// comes.
    Beside(usize, Vec<(usize, Taker)>),
    /// As many as the last number race, in as many races as the number before that race, and so on.
    Nested(Vec<u8>, Box<Taker>),
}

/// Items that come together.
#[derive(Clone, Debug)]
struct Delivery {
    at: u64,
    queue: usize,
    items: u32,
    /// The request to the taking task in the same step.
    request: Request,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    None,
    Before,
    After,
}

fn deliveries() -> impl Strategy<Value = Vec<Delivery>> {
    let request = prop_oneof![
        5 => Just(Request::None),
        1 => Just(Request::Before),
        2 => Just(Request::After),
    ];
    let delivery =
        (0..8_u64, 0..3_usize, 1..7_u32, request).prop_map(|(at, queue, items, request)| {
            Delivery {
                at,
                queue,
                items,
                request,
            }
        });
    prop::collection::vec(delivery, 1..10)
}

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
            1 => one.clone().prop_map(Taker::Body),
            2 => (0..3_usize, one.clone()).prop_map(|(hops, of)| Taker::Child(hops, of)),
            1 => (0..3_usize, prop::collection::vec((0..3_usize, inner.clone()), 1..3))
                .prop_map(|(n, children)| Taker::Beside(n, children)),
            1 => (prop::collection::vec(2..6_u8, 1..3), one).prop_map(|(widths, of)| Taker::Nested(widths, of)),
        ]
    })
}

type Taking = Pin<Box<dyn Future<Output = Option<u32>>>>;

/// The queues, what was seen of their items, and the task that takes them.
#[derive(Default)]
struct Goods {
    queues: [Queue<u32>; 3],
    seen: RefCell<Vec<u32>>,
    taking: RefCell<Option<TaskRef>>,
}

impl Goods {
    fn see(&self, item: Option<u32>) {
        self.seen.borrow_mut().extend(item);
    }

    fn cancel(&self) {
        let taking = self.taking.borrow().clone();
        if let Some(task) = taking {
            task.cancel();
        }
    }
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// For a child that awaits another: one that has not begun awaits nothing, and the value goes with the handle.
fn eager() -> SpawnOptions {
    SpawnOptions::new().eager_start()
}

fn take(taker: Taker, goods: &Rc<Goods>) -> Taking {
    let goods = goods.clone();
    Box::pin(async move {
        let inner = |taker: Box<Taker>| take(*taker, &goods);
        match taker {
            Taker::Get(n) => goods.queues[n].get().await.ok(),
            Taker::Never => std::future::pending().await,
            Taker::Limit(limit, of) => timeout(secs(limit), inner(of)).await.ok().flatten(),
            Taker::Cleanup(of) => on_cancel(inner(of), async {}).await,
            Taker::Finally(of) => try_finally(inner(of), async {}).await,
            Taker::Race(all) => race_iter(all.into_iter().map(|one| take(one, &goods))).await,
            Taker::Staggered(delay, all) => {
                let all = all.into_iter().map(|one| {
                    let one = take(one, &goods);
                    move || async move { one.await.ok_or(()) }
                });
                let race = staggered_race(all, delay.map(secs)).await;
                race.winner.map(|(item, _)| item)
            }
            Taker::Unordered(of) => {
                let mut several: FuturesUnordered<Taking> = FuturesUnordered::new();
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
            Taker::Child(hops, of) => {
                let group = task_group(async |tg: TaskGroup<'_, ()>| {
                    let of = inner(of);
                    let mut child = tg.spawn(async { Ok(of.await) });
                    for _ in 0..hops {
                        let awaited = child;
                        child = tg.spawn_with(eager(), async { awaited.await.map_err(drop) });
                    }
                    child.await.map_err(drop)
                });
                group.await.ok().flatten()
            }
            Taker::Beside(n, children) => {
                let group = task_group(async |tg: TaskGroup<'_, ()>| {
                    for (hops, of) in children {
                        let (of, goods) = (inner(Box::new(of)), &goods);
                        if hops == 0 {
                            tg.spawn(async move {
                                goods.see(of.await);
                                Ok(())
                            });
                            continue;
                        }
                        let mut child = tg.spawn(async { Ok(of.await) });
                        for _ in 1..hops {
                            let awaited = child;
                            child = tg.spawn_with(eager(), async { awaited.await.map_err(drop) });
                        }
                        tg.spawn_with(eager(), async move {
                            goods.see(child.await.map_err(drop)?);
                            Ok(())
                        });
                    }
                    goods.see(goods.queues[n].get().await.ok());
                    Err::<(), ()>(())
                });
                let _ = group.await;
                None
            }
            Taker::Nested(widths, of) => {
                fn nest(widths: &[u8], of: &Taker, goods: &Rc<Goods>) -> Taking {
                    let Some((&width, widths)) = widths.split_first() else {
                        return take(of.clone(), goods);
                    };
                    let all: Vec<_> = (0..width).map(|_| nest(widths, of, goods)).collect();
                    Box::pin(race_iter(all))
                }
                nest(&widths, &of, &goods).await
            }
        }
    })
}

/// Takes again and again while goods come, and gives those that were seen or are left.
fn dealt(
    taker: &Taker,
    deliveries: &[Delivery],
    order: Option<u64>,
    budget: Option<usize>,
) -> Vec<u32> {
    let mut builder = EventLoop::builder().virtual_time(true);
    if let Some(seed) = order {
        builder = builder.order_seed(seed);
    }
    if let Some(budget) = budget {
        builder = builder.task_budget(budget);
    }
    let mut event_loop = builder.build_loop().expect("a selector");
    let goods = Rc::new(Goods::default());
    let main = async {
        let mut due = deliveries.to_vec();
        due.sort_by_key(|delivery| delivery.at);
        let goods = &goods;
        let putting = spawn({
            let goods = goods.clone();
            async move {
                let start = asyncio::time();
                let mut items = 0..;
                for delivery in due {
                    let at = start + secs(delivery.at);
                    if at > asyncio::time() {
                        sleep(at - asyncio::time()).await;
                    }
                    if delivery.request == Request::Before {
                        goods.cancel();
                    }
                    for item in items.by_ref().take(delivery.items as usize) {
                        let queue = &goods.queues[delivery.queue];
                        queue.put_nowait(item).expect("there is room");
                    }
                    if delivery.request == Request::After {
                        goods.cancel();
                    }
                }
            }
        });
        let end = asyncio::time() + secs(9);
        let is_over = || asyncio::time() > end && goods.queues.iter().all(Queue::empty);
        for _ in 0..60 {
            if is_over() {
                break;
            }
            let (taking, taker) = (goods.clone(), taker.clone());
            let task = spawn(async move {
                let item = move_on_after(secs(3), take(taker, &taking)).await;
                taking.see(item.flatten());
            });
            goods.taking.replace(Some(task.as_ref()));
            let _ = task.await;
            sleep(Duration::ZERO).await;
        }
        goods.taking.take();
        putting.await.expect("it comes to its end");
        for queue in &goods.queues {
            while let Ok(item) = queue.get_nowait() {
                goods.see(Some(item));
            }
        }
    };
    event_loop
        .run_until_complete(main)
        .expect("it comes to its end");
    let mut all = goods.seen.take();
    all.sort_unstable();
    all
}

#[test]
fn what_was_put_is_seen_or_left() {
    let mut runner = TestRunner::new(config(100_000));
    let order = prop::option::of(any::<u64>());
    let budget = prop::option::of(prop_oneof![1..9_usize, Just(20)]);
    let result = runner.run(
        &(takers(), deliveries(), order, budget),
        |(taker, deliveries, order, budget)| {
            let all = dealt(&taker, &deliveries, order, budget);
            let items = deliveries.iter().map(|delivery| delivery.items).sum();
            prop_assert_eq!(all, (0..items).collect::<Vec<_>>());
            Ok::<(), TestCaseError>(())
        },
    );
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
