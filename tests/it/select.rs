//! `select!`: the order, the guards, what handlers may do, what losers lose, and how requests reach the arms.

use std::cell::Cell;
use std::future::{pending, ready};
use std::pin::pin;
use std::rc::Rc;

use asyncio::sync::{Event, Queue};
use asyncio::{
    JoinError, Task, catch_cancel, gather, on_cancel, select, sleep, spawn, time, timeout,
    yield_now,
};
use asyncio_tests::{Trace, ms, run_virtual, secs};

mod arms {
    use super::*;

    #[asyncio::test]
    async fn the_first_in_order_wins_and_the_others_are_not_polled() {
        let polled = Cell::new(false);
        let other = async { polled.set(true) };
        let winner = select! {
            _ = pending::<()>() => "never",
            n = ready(7) => if n == 7 { "first" } else { "wrong" },
            () = other => "second",
        };
        assert_eq!((winner, polled.get()), ("first", false));
    }

    #[asyncio::test(order = 20)]
    async fn a_seed_shuffles_them() {
        let mut first = 0;
        for _ in 0..64 {
            select! {
                () = ready(()) => first += 1,
                () = ready(()) => {}
            }
        }
        assert!((8..56).contains(&first), "{first}");
    }

    #[asyncio::test]
    async fn a_guard_disables_an_arm_and_its_future_is_not_made() {
        let source: Option<Queue<u32>> = None;
        let value = select! {
            n = source.as_ref().unwrap().get(), if source.is_some() => n.unwrap(),
            () = sleep(ms(1)), if true => 1,
        };
        assert_eq!(value, 1);
    }

    #[asyncio::test]
    async fn a_pattern_that_does_not_match_disables_its_arm() {
        let start = time();
        let value = select! {
            Some(mut n) = async { None::<u32> } => { n += 1; n }
            Ok(n) | Err(n) = async { sleep(secs(2)).await; Err::<u32, u32>(5) } => n,
        };
        assert_eq!((value, time() - start), (5, secs(2)));
    }

    #[asyncio::test]
    async fn else_runs_if_no_arm_is_left() {
        let value = select! {
            Some(n) = async { sleep(secs(1)).await; None } => n,
            _ = sleep(secs(2)), if false => 2,
            else => 3,
        };
        assert_eq!(value, 3);
    }

    #[asyncio::test]
    #[should_panic(expected = "each arm of this `select!` is disabled")]
    async fn without_else_that_is_a_panic() {
        select! { Some(()) = ready(None) => () }
    }

    #[asyncio::test]
    async fn twelve_of_different_types() {
        let n = select! {
            _ = pending::<u8>() => 1, _ = pending::<u16>() => 2, _ = pending::<u32>() => 3,
            _ = pending::<u64>() => 4, _ = pending::<i8>() => 5, _ = pending::<i16>() => 6,
            _ = pending::<String>() => 7, _ = pending::<Vec<u8>>() => 8, _ = pending::<()>() => 9,
            _ = pending::<char>() => 10, _ = pending::<&str>() => 11, _ = sleep(secs(1)) => 12,
        };
        assert_eq!(n, 12);
    }

    #[asyncio::test]
    async fn temporaries_of_an_arm_live_as_long_as_its_future() {
        let words = Rc::new(Queue::new(0));
        words.put_nowait("one").unwrap();
        let word = select! { word = words.clone().get() => (word, Rc::strong_count(&words)) };
        assert_eq!(word, (Ok("one"), 1)); // and no longer
    }

    #[test]
    fn outside_of_any_task_it_polls_its_arms() {
        let value = futures::executor::block_on(async {
            select! { n = ready(3) => n }
        });
        assert_eq!(value, 3);
    }
}

mod handlers {
    use super::*;

    #[asyncio::test]
    async fn borrow_what_the_arms_borrowed() {
        let mut text = String::new();
        async fn add(text: &mut String, more: &str) {
            yield_now().await;
            text.push_str(more);
        }
        for _ in 0..2 {
            select! {
                () = add(&mut text, "a") => text.push('!'),
                () = pending() => text.clear(),
            }
        }
        assert_eq!(text, "a!a!");
    }

    #[asyncio::test]
    async fn run_when_the_losers_are_gone() {
        let trace = Trace::default();
        let loser = async {
            let _note = trace.on_drop("loser dropped");
            pending::<()>().await
        };
        select! {
            () = loser => {}
            () = sleep(ms(1)) => trace.note("handler"),
        }
        assert_eq!(trace.take(), ["loser dropped", "handler"]);
    }

    #[asyncio::test]
    async fn break_continue_return_and_fail() {
        async fn parse(words: &Queue<&str>) -> Result<i32, std::num::ParseIntError> {
            let mut sum = 0;
            loop {
                select! {
                    word = words.get() => match word {
                        Err(_) => break,
                        Ok("skip") => continue,
                        Ok("stop") => return Ok(-1),
                        Ok(word) => sum += word.parse::<i32>()?,
                    },
                    () = pending() => unreachable!(),
                }
                yield_now().await;
            }
            Ok(sum)
        }
        async fn of(all: &[&'static str]) -> Option<i32> {
            let words = Queue::new(0);
            all.iter().for_each(|word| words.put_nowait(*word).unwrap());
            words.shutdown(false);
            parse(&words).await.ok()
        }
        assert_eq!(of(&["1", "skip", "2"]).await, Some(3));
        assert_eq!(of(&["1", "stop", "2"]).await, Some(-1));
        assert_eq!(of(&["1", "two"]).await, None);
    }

    #[asyncio::test]
    async fn select_again() {
        let n = select! {
            a = ready(1) => select! { b = ready(2) => a + b },
        };
        assert_eq!(n, 3);
    }
}

mod losers {
    use super::*;

    /// An item is on its way to an arm in the step in which another arm wins.
    #[test]
    fn lose_no_item() {
        let trace = run_virtual(async |trace| {
            let queue = Queue::new(0);
            let event = Event::new();
            let round = async {
                select! {
                    () = async { event.wait().await; } => trace.note("event"),
                    item = queue.get() => trace.note(format!("item {item:?}")),
                }
            };
            let both = async {
                sleep(secs(1)).await;
                queue.put_nowait(5).unwrap();
                event.set();
            };
            gather((round, both)).await;
            trace.note(format!("left {:?}", queue.get_nowait()));
        });
        assert_eq!(trace, ["event", "left Ok(5)"]);
    }

    #[asyncio::test]
    async fn that_are_borrowed_go_on_in_the_next_round() {
        let start = time();
        let mut long = pin!(async {
            timeout(secs(10), sleep(secs(3))).await.unwrap(); // with a scope, which is parked meanwhile
            "done"
        });
        let mut rounds = 0;
        let done = loop {
            select! {
                done = &mut long => break done,
                () = sleep(secs(1)) => rounds += 1,
            }
        };
        assert_eq!((done, rounds, time() - start), ("done", 2, secs(3)));
    }

    #[asyncio::test]
    async fn a_task_by_reference_is_not_cancelled() {
        let mut task: Task<u32> = spawn(async {
            sleep(secs(3)).await;
            3
        });
        let mut rounds = 0;
        let value = loop {
            select! {
                value = &mut task => break value,
                () = sleep(ms(900)) => rounds += 1,
            }
        };
        assert_eq!((value.unwrap(), rounds), (3, 3));
    }

    #[asyncio::test]
    async fn tasks_behind_a_stream_are_not_cancelled() {
        use futures::StreamExt;
        let mut done = futures::stream::FuturesUnordered::new();
        for n in 1..=3 {
            done.push(spawn(async move {
                sleep(secs(n)).await;
                n
            }));
        }
        let (mut sum, mut ticks) = (0, 0);
        loop {
            select! {
                Some(n) = done.next() => sum += n.unwrap(),
                () = sleep(ms(700)), if !done.is_empty() => ticks += 1,
                else => break,
            }
        }
        assert_eq!((sum, ticks), (6, 3));
    }

    #[asyncio::test]
    async fn of_a_panic_are_dropped() {
        let trace = Trace::default();
        let noting = trace.clone();
        let task = spawn(async move {
            let loser = async {
                let _note = noting.on_drop("dropped");
                pending::<()>().await
            };
            select! {
                () = loser => {}
                () = async { panic!("an arm") } => {}
            }
        });
        let Err(JoinError::Panicked(_, payload)) = task.await else {
            panic!("it panics")
        };
        assert_eq!(payload.message(), "an arm");
        assert_eq!(trace.take(), ["dropped"]);
    }
}

mod requests {
    use super::*;

    #[asyncio::test]
    async fn reach_the_arms_and_each_cleans_up() {
        let trace = Trace::default();
        let cleanup = |name, after| {
            let trace = &trace;
            on_cancel(pending::<()>(), async move {
                sleep(secs(after)).await;
                trace.note(name);
            })
        };
        let work = async {
            select! {
                () = cleanup("slow", 5) => {}
                () = cleanup("quick", 1) => {}
            }
        };
        assert!(timeout(secs(1), work).await.is_err());
        assert_eq!(trace.take(), ["quick", "slow"]);
    }

    /// Rule 5: the arm was woken before the request came.
    #[asyncio::test]
    async fn leave_the_value_of_an_arm_that_was_woken_before() {
        let queue = Rc::new(Queue::new(0));
        let items = queue.clone();
        let got = Rc::new(Cell::new(0));
        let seen = got.clone();
        let task = spawn(async move {
            select! {
                item = items.get() => seen.set(item.unwrap()),
                () = pending() => {}
            }
            yield_now().await; // the request takes this
            unreachable!()
        });
        yield_now().await;
        queue.put_nowait(5).unwrap();
        task.cancel();
        let ended: Result<(), _> = task.await;
        assert!(ended.is_err_and(|error| error.is_cancelled()));
        assert_eq!((got.get(), queue.qsize()), (5, 0));
    }

    #[asyncio::test]
    async fn are_an_outcome_of_an_arm_that_catches() {
        let work = async {
            select! {
                caught = catch_cancel(pending::<()>()) => {
                    caught.unwrap_err().swallow();
                    "swallowed"
                }
                () = sleep(secs(9)) => "slept",
            }
        };
        assert_eq!(timeout(secs(1), work).await, Ok("swallowed"));
    }

    #[asyncio::test(timeout = "20 s")]
    async fn end_a_loop_of_ready_arms() {
        let busy = async {
            loop {
                select! {
                    () = ready(()) => {}
                    () = pending() => {}
                }
            }
        };
        let () = timeout(secs(0), busy).await.unwrap_or(());
    }
}
