//! Rule 5 where nobody wants a value: what was on its way to those who lose, or whose group ends, goes to the next in
//! line.

use std::cell::{Cell, RefCell};
use std::future::{pending, ready};
use std::pin::Pin;
use std::rc::Rc;

use asyncio::net::{TcpListener, TcpStream};
use asyncio::sync::Queue;
use asyncio::{
    BoxError, CancelScope, Child, EventLoop, Task, TaskGroup, cancel_scope, catch_cancel, gather,
    move_on_after, on_cancel, race, race_iter, shield, sleep, spawn, staggered_race, task_group,
    timeout, try_finally, try_gather, yield_now,
};
use asyncio_tests::{run_virtual, secs};
use futures::StreamExt;
use futures::stream::FuturesUnordered;

type Work<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Three queues that get items in one step, each second. Each item is seen or left.
struct Goods {
    queues: [Queue<u32>; 3],
    seen: RefCell<Vec<u32>>,
}

const ROUNDS: u32 = 5;

impl Goods {
    async fn get(&self, n: usize) -> u32 {
        self.queues[n].get().await.expect("it is open")
    }

    fn see(&self, item: u32) {
        self.seen.borrow_mut().push(item);
    }
}

/// Runs `take` as often as it comes to something while goods arrive. All that were put have been seen then, or are
/// left, each once. How many were seen.
fn deal(take: impl AsyncFn(&Goods) -> Option<u32> + 'static) -> usize {
    let seen = Rc::new(RefCell::new(0));
    let count = seen.clone();
    run_virtual(async move |_| {
        let goods = Rc::new(Goods {
            queues: [(); 3].map(|()| Queue::new(0)),
            seen: RefCell::default(),
        });
        let putting = spawn({
            let goods = goods.clone();
            async move {
                for round in 0..ROUNDS {
                    sleep(secs(1)).await;
                    for (n, queue) in (0..).zip(&goods.queues) {
                        queue.put_nowait(3 * round + n).unwrap();
                    }
                }
            }
        });
        while let Some(Some(item)) = move_on_after(secs(10), take(&goods)).await {
            goods.see(item);
        }
        putting.await.unwrap();
        *count.borrow_mut() = goods.seen.borrow().len();
        let mut all = goods.seen.take();
        for queue in &goods.queues {
            while let Ok(item) = queue.get_nowait() {
                all.push(item);
            }
        }
        all.sort_unstable();
        assert_eq!(all, (0..3 * ROUNDS).collect::<Vec<_>>());
    });
    seen.take()
}

/// A `get` in one of the wrappers that a contender of a race may have around it.
fn wrapped<'a>(goods: &'a Goods, n: usize, how: usize) -> Work<'a, u32> {
    let get = goods.get(n);
    match how {
        0 => Box::pin(get),
        1 => Box::pin(async { timeout(secs(100), get).await.unwrap() }),
        2 => Box::pin(on_cancel(get, sleep(secs(1)))),
        3 => Box::pin(try_finally(get, ready(()))),
        4 => Box::pin(async {
            match catch_cancel(get).await {
                Ok(item) => item,
                Err(cancelled) => cancelled.resume().await,
            }
        }),
        5 => Box::pin(async { race((get, pending())).await }),
        6 => Box::pin(async { race((on_cancel(pending(), ready(())), get)).await }),
        7 => Box::pin(async { gather([get]).await[0] }),
        8 => Box::pin(async {
            let scope = cancel_scope(async |_: CancelScope| get.await);
            scope.await.unwrap()
        }),
        9 => Box::pin(async {
            let body = task_group(async |_: TaskGroup<'_>| Ok(get.await));
            body.await.unwrap()
        }),
        10 => Box::pin(async {
            let mut several: FuturesUnordered<Work<'_, u32>> = FuturesUnordered::new();
            several.push(Box::pin(get));
            several.push(Box::pin(pending()));
            several.next().await.unwrap()
        }),
        11 => Box::pin(async {
            timeout(secs(50), race((pending(), on_cancel(get, ready(())))))
                .await
                .unwrap()
        }),
        _ => unreachable!(),
    }
}

const WAYS: usize = 12;

/// The way with a cleanup that takes a second.
const SLOW_TO_END: usize = 2;

mod races {
    use super::*;

    #[test]
    fn a_loser_takes_nothing_whatever_stands_around_it() {
        for first in 0..WAYS {
            for second in 0..WAYS {
                let taken = deal(async move |goods| {
                    Some(race((wrapped(goods, 0, first), wrapped(goods, 1, second))).await)
                });
                assert_eq!(taken, 2 * ROUNDS as usize, "{first}, {second}");
            }
        }
    }

    #[test]
    fn nor_do_those_of_a_race_in_a_race() {
        // A race holds its value while its losers clean up, and loses it if the race around is decided meanwhile.
        for way in (0..WAYS).filter(|&way| way != SLOW_TO_END) {
            deal(async move |goods| {
                let inner = async || race((wrapped(goods, 1, way), goods.get(2))).await;
                Some(race((inner(), goods.get(0))).await)
            });
            deal(async move |goods| {
                let inner = async || race((wrapped(goods, 1, way), goods.get(2))).await;
                Some(race((goods.get(0), inner())).await)
            });
        }
    }

    #[test]
    fn a_race_over_an_iterator() {
        let taken = deal(async |goods| Some(race_iter((0..3).map(|n| goods.get(n))).await));
        assert_eq!(taken, 3 * ROUNDS as usize);
    }

    #[test]
    fn races_beside_each_other_in_one_task() {
        let taken = deal(async |goods| {
            let mut races = FuturesUnordered::new();
            races.push(race((goods.get(0), goods.get(1))));
            races.push(race((goods.get(1), goods.get(2))));
            while let Some(item) = races.next().await {
                goods.see(item);
            }
            None
        });
        assert_eq!(taken, 2);
    }

    #[test]
    fn a_staggered_race() {
        // The second starts after a second, when the goods arrive: both are ready in one step.
        for delay in [None, Some(secs(1))] {
            deal(async move |goods| {
                let contenders = [0, 1].map(|n| async move || Ok::<_, ()>(goods.get(n).await));
                let race = staggered_race(contenders, delay).await;
                race.winner.map(|(item, _)| item)
            });
        }
    }

    #[test]
    fn a_limit_that_is_due_with_the_goods_returns_what_was_taken() {
        for way in 0..WAYS {
            let taken = deal(async move |goods| {
                let first = async { wrapped(goods, 0, way).await };
                match timeout(secs(1), race((first, goods.get(1)))).await {
                    Ok(item) => Some(item),
                    Err(_) => goods.queues[2].get().await.ok(),
                }
            });
            assert!(taken > 0);
        }
    }

    #[test]
    fn a_winner_is_returned_though_a_request_comes_while_a_loser_cleans_up() {
        run_virtual(async |_| {
            let slow = on_cancel(pending::<u32>(), sleep(secs(5)));
            assert_eq!(timeout(secs(2), race((slow, ready(7)))).await, Ok(7));
            // The request goes on at the next await.
            let task = spawn(async {
                let slow = on_cancel(pending::<u32>(), sleep(secs(5)));
                assert_eq!(race((slow, ready(7))).await, 7);
                sleep(secs(1)).await;
                unreachable!("the request was lost");
            });
            sleep(secs(1)).await;
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
        });
    }

    /// First come, first served: the item woke the task before the request came to whoever races for it.
    #[test]
    fn a_request_from_outside_leaves_the_poll_of_a_task_that_a_contender_awaits() {
        async fn in_a_race(task: Task<u32>) -> u32 {
            race((async { task.await.unwrap() }, pending())).await
        }
        async fn in_a_staggered_race(task: Task<u32>) -> u32 {
            let mut task = Some(task);
            let contenders = (0..3).map(|_| {
                let task = task.take();
                move || async move {
                    match task {
                        Some(task) => task.await.map_err(|_| ()),
                        None => pending().await,
                    }
                }
            });
            let raced = staggered_race(contenders, Some(secs(3))).await;
            raced.winner.expect("the first has won").0
        }
        fn check(race: impl AsyncFn(Task<u32>) -> u32 + Copy + 'static, order: Option<u64>) {
            let mut builder = EventLoop::builder().virtual_time(true);
            if let Some(seed) = order {
                builder = builder.order_seed(seed);
            }
            let mut event_loop = builder.build_loop().unwrap();
            let main = event_loop.run_until_complete(async move {
                let queue = Rc::new(Queue::new(0));
                let (taken, seen) = (queue.clone(), Rc::new(Cell::new(0)));
                let see = seen.clone();
                let racing = spawn(async move {
                    see.set(race(spawn(async move { taken.get().await.unwrap() })).await);
                    sleep(secs(1)).await;
                    unreachable!("the request was lost");
                });
                sleep(secs(1)).await;
                queue.put_nowait(7).unwrap();
                racing.cancel();
                assert!(racing.await.unwrap_err().is_cancelled());
                assert_eq!(seen.get(), 7);
                assert_eq!(queue.qsize(), 0);
            });
            main.unwrap();
        }
        for order in std::iter::once(None).chain((0..20).map(Some)) {
            check(in_a_race, order);
            check(in_a_staggered_race, order);
        }
    }

    #[test]
    fn a_staggered_race_that_has_been_asked_to_end_starts_nobody_and_keeps_a_late_winner() {
        run_virtual(async |trace| {
            let racing = async {
                let contenders = (0..3).map(|n| {
                    let trace = trace.clone();
                    move || async move {
                        trace.note(format!("{n} starts"));
                        shield(sleep(secs(5))).await;
                        Ok::<_, ()>(n)
                    }
                });
                staggered_race(contenders, Some(secs(2))).await.winner
            };
            let won = timeout(secs(3), racing).await;
            assert_eq!(won, Ok(Some((0, 0))));
            assert_eq!(trace.take(), ["0 starts", "1 starts"]);
        });
    }

    #[test]
    fn a_shielded_contender_wins_though_a_request_has_come() {
        run_virtual(async |_| {
            let slow = async || {
                shield(sleep(secs(5))).await;
                Ok::<_, ()>(7)
            };
            for delay in [None, Some(secs(1)), Some(secs(4))] {
                let race = staggered_race([slow, slow], delay);
                let race = timeout(secs(2), race).await.expect("one has won");
                assert_eq!(race.winner, Some((7, 0)));
            }
            let both = race((async { slow().await.unwrap() }, pending()));
            assert_eq!(timeout(secs(2), both).await, Ok(7));
        });
    }

    #[test]
    fn the_task_of_a_loser_that_has_ended_keeps_its_value() {
        run_virtual(async |_| {
            let (mut left, mut right) = (spawn(ready(1)), spawn(ready(2)));
            sleep(secs(1)).await;
            assert_eq!(race((&mut left, &mut right)).await.unwrap(), 1);
            assert_eq!(right.await.unwrap(), 2);

            // It ends in the very step in which it has lost.
            let mut right = spawn(async {
                sleep(secs(1)).await;
                2
            });
            let left = async {
                sleep(secs(1)).await;
                Ok(1)
            };
            assert_eq!(race((left, &mut right)).await.unwrap(), 1);
            assert!(right.is_finished(), "it was waited for");
        });
    }

    #[test]
    fn a_task_that_a_loser_awaits_takes_nothing_after_the_race() {
        deal(async |goods| {
            let queue = Rc::new(Queue::new(0));
            let taken = queue.clone();
            let task = async move {
                spawn(async move { taken.get().await.unwrap() })
                    .await
                    .unwrap()
            };
            let winner = async {
                let item = goods.get(0).await;
                queue.put_nowait(100).unwrap(); // wakes the task
                item
            };
            let item = race((winner, task)).await;
            assert_eq!(queue.qsize(), 1, "the task took it, and nobody wanted it");
            Some(item)
        });
    }
}

mod groups {
    use super::*;

    #[test]
    fn children_of_a_group_that_fails() {
        let taken = deal(async |goods| {
            let failed = task_group(async |tg: TaskGroup<'_>| {
                tg.spawn(async {
                    goods.see(goods.get(0).await);
                    Err::<(), BoxError>("no more".into())
                });
                for way in 0..WAYS {
                    let get = wrapped(goods, 1, way);
                    tg.spawn(async {
                        get.await;
                        Ok(())
                    });
                }
                goods.see(goods.get(2).await);
                Ok(())
            });
            assert!(failed.await.is_err());
            None
        });
        assert_eq!(
            taken, 1,
            "that of the child that failed: it was woken before the body"
        );
    }

    #[test]
    fn what_is_gathered_after_an_error() {
        deal(async |goods| {
            let fails = async { Err::<u32, u32>(goods.get(0).await) };
            let succeeds = async { Ok(goods.get(1).await) };
            goods.see(try_gather((fails, succeeds)).await.unwrap_err());
            None
        });
    }

    #[test]
    fn children_that_are_cancelled_with_their_handles_dropped() {
        deal(async |goods| {
            let first = RefCell::new(None);
            let group = task_group(async |tg: TaskGroup<'_>| {
                let (group, first) = (tg.clone(), &first);
                tg.spawn(async move {
                    first.replace(Some(goods.get(0).await));
                    group.cancel();
                    Ok(())
                });
                tg.spawn(async { Ok(goods.get(1).await) });
                let held_until_the_body_returns = tg.spawn(async { Ok(goods.get(2).await) });
                yield_now().await;
                drop(held_until_the_body_returns);
                Ok(())
            });
            group.await.unwrap();
            goods.see(first.take().expect("it came first"));
            None
        });
    }

    #[test]
    fn a_child_whose_handle_is_held_keeps_its_last_poll() {
        deal(async |goods| {
            let group = task_group(async |tg: TaskGroup<'_>| {
                let ended = Rc::new(Queue::new(0));
                let (group, end) = (tg.clone(), ended.clone());
                let first = tg.spawn(async move {
                    let item = goods.get(0).await;
                    group.cancel();
                    end.put_nowait(()).unwrap();
                    Ok(item)
                });
                let second: Child<'_, u32> = tg.spawn(async { Ok(goods.get(1).await) });
                ended.get().await.unwrap();
                goods.see(second.await?);
                Ok(first.await?)
            });
            Some(group.await.unwrap())
        });
    }
}

mod sockets {
    use super::*;
    use std::io::Write;

    /// Two streams, and the other ends of them, which write at once.
    async fn streams() -> ([TcpStream; 2], [std::net::TcpStream; 2]) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            theirs.push(std::net::TcpStream::connect(address).unwrap());
            ours.push(listener.accept().await.unwrap().0);
        }
        (ours.try_into().unwrap(), theirs.try_into().unwrap())
    }

    /// Reads a few bytes. Each stream says which of all the bytes it has come to.
    async fn read_some(stream: &TcpStream, how: usize) -> Vec<u8> {
        let read = async {
            let mut bytes = vec![0; 7];
            let n = stream.read(&mut bytes).await.unwrap();
            bytes.truncate(n);
            bytes
        };
        match how {
            0 => read.await,
            1 => timeout(secs(60), read).await.unwrap(),
            2 => on_cancel(read, async {}).await,
            3 => race((pending(), read)).await,
            _ => {
                stream.readable().await.unwrap();
                let mut bytes = vec![0; 7];
                let n = stream.try_read(&mut bytes).unwrap_or(0);
                bytes.truncate(n);
                bytes
            }
        }
    }

    #[test]
    fn a_race_over_two_loses_no_byte() {
        for how in 0..5 {
            asyncio::run(async move {
                let (ours, mut theirs) = streams().await;
                let mut seen = [Vec::new(), Vec::new()];
                let sent: Vec<u8> = (0..=255).collect();
                for part in sent.chunks(32) {
                    // Both are ready in one step.
                    theirs
                        .iter_mut()
                        .for_each(|end| end.write_all(part).unwrap());
                    let due = seen[0].len() + seen[1].len() + 2 * part.len();
                    while seen[0].len() + seen[1].len() < due {
                        let read = async |n: usize| (n, read_some(&ours[n], how).await);
                        let (n, bytes) = race((read(0), read(1))).await;
                        seen[n].extend(bytes);
                    }
                }
                assert_eq!(seen, [sent.clone(), sent], "{how}");
            });
        }
    }
}

mod handles {
    use super::*;

    /// A task has effects beside its value: what it was woken with goes to its code, which acts on it until it waits.
    #[test]
    fn a_task_whose_handle_is_dropped_after_it_was_woken_has_its_last_poll() {
        run_virtual(async |_| {
            let goods = Rc::new(Goods {
                queues: [(); 3].map(|()| Queue::new(0)),
                seen: RefCell::default(),
            });
            for detaches in [false, true] {
                let taken = goods.clone();
                let task = spawn(async move {
                    taken.see(taken.get(0).await);
                    pending::<()>().await;
                });
                sleep(secs(1)).await; // it waits
                goods.queues[0].put_nowait(7).unwrap();
                task.cancel();
                match detaches {
                    true => task.detach(),
                    false => drop(task),
                }
                sleep(secs(1)).await;
                assert_eq!(goods.seen.take(), [7]);
            }
        });
    }

    #[test]
    fn one_that_was_not_woken_takes_nothing() {
        run_virtual(async |_| {
            let queue = Rc::new(Queue::new(0));
            let taken = queue.clone();
            let task = spawn(async move { taken.get().await });
            sleep(secs(1)).await; // it waits
            drop(task);
            queue.put_nowait(7).unwrap();
            sleep(secs(1)).await;
            assert_eq!(queue.get_nowait().ok(), Some(7));
        });
    }
}
