//! Values that one child of a group leaves to another, or to the body: they reach it, or were never taken (rules 5, 9).
#![allow(clippy::unit_arg, reason = "`Ok(goods.see(item))`, as users write it")]

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::pin::Pin;
use std::rc::Rc;

use asyncio::sync::{Event, Queue};
use asyncio::{
    BoxError, Child, EventLoop, SpawnOptions, TaskGroup, cancel_scope, move_on_after, race,
    race_iter, sleep, spawn, staggered_race, task_group, timeout,
};
use asyncio_tests::secs;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

const BUDGETS: [usize; 5] = [1, 2, 3, 7, 128];
const SEEDS: u64 = 4;

/// Runs `main` under several budgets and orders.
fn everywhere(main: impl AsyncFn()) {
    for budget in BUDGETS {
        for seed in std::iter::once(None).chain((0..SEEDS).map(Some)) {
            let mut builder = EventLoop::builder().virtual_time(true).task_budget(budget);
            if let Some(seed) = seed {
                builder = builder.order_seed(seed);
            }
            let mut event_loop = builder.build_loop().unwrap();
            event_loop.run_until_complete(main()).unwrap();
        }
    }
}

/// A queue, and what was seen of its items.
#[derive(Default)]
struct Goods {
    queue: Queue<u32>,
    seen: RefCell<Vec<u32>>,
}

impl Goods {
    fn see(&self, item: u32) {
        self.seen.borrow_mut().push(item);
    }

    /// How many were seen, and how many are left.
    fn count(&self) -> (usize, usize) {
        (self.seen.borrow().len(), self.queue.qsize())
    }
}

/// A child that takes an item, awaited by so many others, each of which awaits the one before.
fn chain<'env>(tg: &TaskGroup<'env>, goods: &'env Goods, length: usize) -> Child<'env, u32> {
    let mut child = tg.spawn(async { Ok(goods.queue.get().await?) });
    for _ in 0..length {
        let awaited = child;
        // At once, as a child that has not begun awaits nothing.
        let options = SpawnOptions::new().eager_start();
        child = tg.spawn_with(options, async { Ok(awaited.await?) });
    }
    child
}

/// A group whose body awaits a chain of children.
async fn taken(goods: &Goods, length: usize) -> u32 {
    let group = task_group(async |tg: TaskGroup<'_>| Ok(chain(&tg, goods, length).await?));
    group.await.expect("nobody fails")
}

mod last_polls {
    use super::*;

    #[test]
    fn the_item_comes_out_of_a_group_that_is_cancelled_in_the_same_step() {
        for length in 0..4 {
            everywhere(async move || {
                let goods = Rc::new(Goods::default());
                let of_task = goods.clone();
                let task = spawn(async move { of_task.see(taken(&of_task, length).await) });
                sleep(secs(1)).await;
                goods.queue.put_nowait(7).unwrap();
                task.cancel();
                let _ = task.await;
                assert_eq!(goods.count(), (1, 0), "{length}");
            });
        }
    }

    #[test]
    fn so_it_does_if_the_group_runs_in_a_child() {
        everywhere(async || {
            let goods = Rc::new(Goods::default());
            let of_task = goods.clone();
            let task = spawn(async move {
                let group = task_group(async |tg: TaskGroup<'_>| {
                    tg.spawn(async { Ok(of_task.see(taken(&of_task, 1).await)) });
                    tg.spawn(async { Ok(of_task.see(taken(&of_task, 2).await)) });
                    Ok(())
                });
                let _ = group.await;
            });
            sleep(secs(1)).await;
            goods.queue.put_nowait(7).unwrap();
            goods.queue.put_nowait(8).unwrap();
            task.cancel();
            let _ = task.await;
            assert_eq!(goods.count(), (2, 0));
        });
    }

    #[test]
    fn so_it_does_if_a_limit_or_a_scope_ends_it() {
        everywhere(async || {
            let goods = Goods::default();
            let putting = async {
                sleep(secs(1)).await;
                goods.queue.put_nowait(7).unwrap();
            };
            let limited = async {
                if let Some(item) = move_on_after(secs(1), taken(&goods, 1)).await {
                    goods.see(item);
                }
            };
            futures::join!(putting, limited);
            let (seen, left) = goods.count();
            assert_eq!(seen + left, 1);

            let goods = Goods::default();
            let item = cancel_scope(async |scope| {
                let ending = async {
                    sleep(secs(1)).await;
                    goods.queue.put_nowait(7).unwrap();
                    scope.cancel();
                };
                futures::join!(ending, async { goods.see(taken(&goods, 1).await) });
            });
            let _ = item.await;
            assert_eq!(goods.count(), (1, 0));
        });
    }

    /// No last poll without a taker: the body that would have the value ends with the group.
    #[test]
    fn an_item_that_comes_after_the_request_stays() {
        everywhere(async || {
            let goods = Rc::new(Goods::default());
            let of_task = goods.clone();
            let task = spawn(async move { of_task.see(taken(&of_task, 1).await) });
            sleep(secs(1)).await;
            task.cancel();
            goods.queue.put_nowait(7).unwrap();
            let _ = task.await;
            let (seen, left) = goods.count();
            assert_eq!(seen + left, 1);
        });
    }

    #[test]
    fn children_that_end_one_after_the_other_do_not_keep_a_task_from_being_cancelled() {
        async fn busy() {
            let group = task_group(async |tg: TaskGroup<'_>| {
                loop {
                    tg.spawn(async { Ok(()) }).await?;
                }
            });
            let _: Result<(), _> = group.await;
        }
        everywhere(async || {
            let task = spawn(async {
                // A member in each step has a child that has ended.
                let late = async {
                    asyncio::yield_now().await;
                    busy().await;
                };
                race((busy(), late)).await;
            });
            for _ in 0..20 {
                asyncio::yield_now().await; // time stands still while tasks are ready
            }
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
        });
    }
}

mod groups_that_fail {
    use super::*;

    /// One child awaits another, and a third fails in the step of the item: before it, or after it.
    fn check(fails_first: bool, by_a_combinator: bool, length: usize) {
        everywhere(async move || {
            let (goods, fails) = (Goods::default(), Event::new());
            let group = async {
                let group = task_group(async |tg: TaskGroup<'_>| {
                    let (goods, fails) = (&goods, &fails);
                    tg.spawn(async {
                        fails.wait().await;
                        Err::<(), BoxError>("no more".into())
                    });
                    let child = chain(&tg, goods, length);
                    tg.spawn(async move {
                        let item = if by_a_combinator {
                            let mut all = FuturesUnordered::new();
                            all.push(child);
                            all.next().await.expect("there is one")?
                        } else {
                            child.await?
                        };
                        goods.see(item);
                        Ok(())
                    });
                    Ok(())
                });
                assert!(group.await.is_err());
            };
            let putting = async {
                sleep(secs(1)).await;
                if fails_first {
                    fails.set();
                }
                goods.queue.put_nowait(7).unwrap();
                fails.set();
            };
            futures::join!(putting, group);
            let (seen, left) = goods.count();
            assert_eq!(seen + left, 1, "{fails_first} {by_a_combinator} {length}");
        });
    }

    #[test]
    fn the_item_of_an_awaited_child_is_seen_or_stays() {
        for length in 0..3 {
            check(false, false, length);
            check(true, false, length);
            check(false, true, length);
            check(true, true, length);
        }
    }

    #[test]
    fn so_is_that_of_a_group_in_a_child() {
        everywhere(async || {
            let (goods, fails) = (Goods::default(), Event::new());
            let group = async {
                let group = task_group(async |tg: TaskGroup<'_>| {
                    let (goods, fails) = (&goods, &fails);
                    tg.spawn(async { Ok(goods.see(taken(goods, 1).await)) });
                    fails.wait().await;
                    Err::<(), BoxError>("no more".into())
                });
                assert!(group.await.is_err());
            };
            let putting = async {
                sleep(secs(1)).await;
                goods.queue.put_nowait(7).unwrap();
                fails.set();
            };
            futures::join!(putting, group);
            let (seen, left) = goods.count();
            assert_eq!(seen + left, 1);
        });
    }

    /// The item comes into a group in a child of a group in a child, or in the body of that group.
    #[test]
    fn so_is_that_of_a_group_further_in() {
        async fn deep(goods: &Goods, depth: usize, in_body: bool) -> u32 {
            if depth == 0 {
                return taken(goods, 1).await;
            }
            let group = task_group(async |tg: TaskGroup<'_>| {
                let inner = Box::pin(deep(goods, depth - 1, !in_body));
                match in_body {
                    true => Ok(inner.await),
                    false => Ok(tg.spawn(async { Ok(inner.await) }).await?),
                }
            });
            group.await.expect("nobody fails")
        }
        for (depth, in_body) in [(1, false), (1, true), (2, false), (2, true), (3, false)] {
            everywhere(async move || {
                let (goods, fails) = (Goods::default(), Event::new());
                let group = async {
                    let group = task_group(async |tg: TaskGroup<'_>| {
                        let (goods, fails) = (&goods, &fails);
                        tg.spawn(async move { Ok(goods.see(deep(goods, depth, in_body).await)) });
                        fails.wait().await;
                        Err::<(), BoxError>("no more".into())
                    });
                    assert!(group.await.is_err());
                };
                let putting = async {
                    sleep(secs(1)).await;
                    goods.queue.put_nowait(7).unwrap();
                    fails.set();
                };
                futures::join!(putting, group);
                let (seen, left) = goods.count();
                assert_eq!(seen + left, 1, "{depth} {in_body}");
            });
        }
    }

    #[test]
    fn a_task_outside_of_the_group_takes_the_value() {
        everywhere(async || {
            let (goods, fails) = (Goods::default(), Event::new());
            let outside = task_group(async |outer: TaskGroup<'_>| {
                let (goods, fails) = (&goods, &fails);
                let inner = task_group(async |tg: TaskGroup<'_>| {
                    let child = chain(&tg, goods, 0);
                    outer.spawn(async { Ok(goods.see(child.await?)) });
                    fails.wait().await;
                    Err::<(), BoxError>("no more".into())
                });
                let putting = async {
                    sleep(secs(1)).await;
                    fails.set();
                    goods.queue.put_nowait(7).unwrap();
                };
                let (_, failed) = futures::join!(putting, inner);
                assert!(failed.is_err());
                Ok(())
            });
            let _ = outside.await;
            let (seen, left) = goods.count();
            assert_eq!(seen + left, 1);
        });
    }

    #[test]
    fn a_child_whose_awaiting_sibling_is_refused_takes_nothing_at_a_cancel_of_the_group() {
        everywhere(async || {
            let goods = Goods::default();
            let group = task_group(async |tg: TaskGroup<'_>| {
                let child = chain(&tg, &goods, 0);
                let goods = &goods;
                drop(tg.spawn_with(SpawnOptions::new().eager_start(), async {
                    Ok(goods.see(child.await?))
                }));
                sleep(secs(1)).await;
                goods.queue.put_nowait(7).unwrap();
                tg.cancel();
                Ok(())
            });
            group.await.unwrap();
            assert_eq!(goods.count(), (0, 1));
        });
    }
}

mod races {
    use super::*;

    type Work<'a> = Pin<Box<dyn Future<Output = u32> + 'a>>;

    /// So many items come in one step. Each take is a race that they all could win.
    async fn check(goods: &Goods, take: impl AsyncFn(&Goods) -> u32, items: u32) {
        let taking = async {
            while let Some(item) = move_on_after(secs(10), take(goods)).await {
                goods.see(item);
            }
        };
        let putting = async {
            sleep(secs(1)).await;
            for item in 0..items {
                goods.queue.put_nowait(item).unwrap();
            }
        };
        futures::join!(taking, putting);
        assert_eq!(goods.count(), (items as usize, 0));
    }

    #[test]
    fn a_group_whose_body_awaits_a_child_wins_with_what_that_has_taken() {
        for length in 0..3 {
            everywhere(async move || {
                let two =
                    async |goods: &Goods| race((taken(goods, length), taken(goods, length))).await;
                check(&Goods::default(), two, 2).await;
                let other = async |goods: &Goods| {
                    let get = async { goods.queue.get().await.unwrap() };
                    race((taken(goods, length), get)).await
                };
                check(&Goods::default(), other, 2).await;
                let staggered = async |goods: &Goods| {
                    let contenders =
                        (0..2).map(|_| async || Ok::<_, ()>(taken(goods, length).await));
                    let race = staggered_race(contenders, Some(secs(0))).await;
                    race.winner.expect("one has won").0
                };
                check(&Goods::default(), staggered, 2).await;
            });
        }
    }

    fn nest<'a>(goods: &'a Goods, widths: &[usize], length: Option<usize>) -> Work<'a> {
        let Some((&width, inner)) = widths.split_first() else {
            return match length {
                Some(length) => Box::pin(taken(goods, length)),
                None => Box::pin(async { goods.queue.get().await.unwrap() }),
            };
        };
        let all: Vec<_> = (0..width).map(|_| nest(goods, inner, length)).collect();
        Box::pin(race_iter(all))
    }

    #[test]
    fn races_in_races_lose_nothing() {
        for widths in [[2, 3].as_slice(), &[2, 2, 2]] {
            for length in [None, Some(0), Some(1)] {
                let items = widths.iter().product::<usize>() as u32;
                everywhere(async || {
                    let take = async |goods: &Goods| nest(goods, widths, length).await;
                    check(&Goods::default(), take, items).await;
                });
            }
        }
    }

    #[test]
    fn wide_races_in_races_lose_nothing() {
        for budget in BUDGETS {
            let builder = EventLoop::builder().virtual_time(true).task_budget(budget);
            let mut event_loop = builder.build_loop().unwrap();
            let main = event_loop.run_until_complete(async {
                let take = async |goods: &Goods| nest(goods, &[3, 40], None).await;
                check(&Goods::default(), take, 120).await;
            });
            main.unwrap();
        }
    }

    /// The losers end in the step in which the race is won, whatever the budget.
    #[test]
    fn a_race_returns_in_the_step_in_which_it_is_won() {
        everywhere(async || {
            let goods = Goods::default();
            let steps = Cell::new(0);
            let group = task_group(async |tg: TaskGroup<'_>| {
                let all = (0..300).map(|_| nest(&goods, &[1], None));
                let racing = race_iter(all.chain([Box::pin(pending()) as Work<'_>]));
                let waiting = tg.spawn(async { Ok(timeout(secs(5), racing).await?) });
                sleep(secs(1)).await;
                goods.queue.put_nowait(7).unwrap();
                while !waiting.is_finished() {
                    steps.set(steps.get() + 1);
                    asyncio::yield_now().await;
                }
                Ok(waiting.await?)
            });
            assert_eq!(group.await.unwrap(), 7);
            assert!(steps.get() <= 2, "{}", steps.get());
        });
    }
}
