//! `race`, `gather` and `try_gather` of tuples and arrays, which are polled in place: parts of their caller, polled in
//! order, dropped where they wait, and awaited if they clean up.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn, ready};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use asyncio::testing::take_reports;
use asyncio::{
    ContextVar, all_tasks, cancel_scope, catch_cancel, catch_panic, current_task, gather,
    on_cancel, race, select, shield, sleep, spawn, time, timeout, try_finally, try_gather,
    yield_now,
};
use asyncio_tests::{Trace, ms, secs};
use futures::FutureExt;

/// A cleanup of a second after a request.
async fn slow_to_end(trace: &Trace, what: &'static str) {
    on_cancel(pending::<()>(), async {
        sleep(secs(1)).await;
        trace.note(what);
    })
    .await;
}

fn words(all: &[&str]) -> Vec<String> {
    all.iter().map(|&word| word.to_owned()).collect()
}

mod parts {
    use super::*;

    #[asyncio::test]
    async fn are_the_task_around() {
        let me = current_task().unwrap().id();
        let count = all_tasks().len();
        let look = async || (current_task().unwrap().id(), all_tasks().len());
        assert_eq!(gather((look(), look())).await, ((me, count), (me, count)));
        assert_eq!(race([look(), look()]).await, (me, count));
        // Those of a vector are tasks.
        let ids = gather(vec![look()]).await;
        assert!(ids[0].0 != me && ids[0].1 == count + 1);
    }

    #[asyncio::test]
    async fn share_its_context() {
        static NAME: ContextVar<&str> = ContextVar::new("name");
        gather((async { NAME.set("ada") }, async { NAME.set("bob") })).await;
        assert_eq!(NAME.get(), Some("bob"));
        gather(vec![async { drop(NAME.set("eve")) }]).await;
        assert_eq!(NAME.get(), Some("bob"));
    }

    #[asyncio::test]
    async fn are_polled_in_order_each_time() {
        let trace = Trace::default();
        let work = |name: &'static str, scoped: bool| {
            let trace = trace.clone();
            async move {
                for _ in 0..2 {
                    trace.note(name);
                    match scoped {
                        true => timeout(secs(9), yield_now()).await.unwrap(),
                        false => yield_now().await,
                    }
                }
            }
        };
        for scoped in [[false; 3], [false, true, false], [true; 3]] {
            let [a, b, c] = scoped;
            gather((work("a", a), work("b", b), work("c", c))).await;
            assert_eq!(trace.take(), ["a", "b", "c", "a", "b", "c"], "{scoped:?}");
        }
    }

    #[asyncio::test(order = 20)]
    async fn are_shuffled_by_a_seed() {
        let first = Cell::new(0);
        for _ in 0..64 {
            first.set(first.get() + race((ready(1), ready(0))).await);
        }
        assert!((8..56).contains(&first.get()), "{}", first.get());
    }

    #[asyncio::test]
    async fn let_others_run_though_they_are_always_ready() {
        let stop = Rc::new(Cell::new(false));
        let stops = stop.clone();
        spawn(async move { stops.set(true) }).detach();
        while !stop.get() {
            race((ready(()), pending())).await;
            gather([ready(1), ready(2)]).await;
            try_gather((ready(Ok::<_, ()>(1)),)).await.unwrap();
        }
    }

    #[asyncio::test]
    async fn go_on_in_the_task_that_they_are_moved_to() {
        let mut raced = Box::pin(race((sleep(secs(2)), slow())));
        async fn slow() {
            timeout(secs(9), sleep(secs(3))).await.unwrap();
        }
        select! {
            () = &mut raced => unreachable!("it takes two seconds"),
            () = sleep(secs(1)) => {}
        }
        let start = time();
        spawn(raced).await.unwrap();
        assert_eq!(time() - start, secs(1));
    }
}

mod losers {
    use super::*;

    #[asyncio::test]
    async fn are_gone_when_the_winner_is_told_of() {
        let trace = Trace::default();
        let loser = async {
            let _note = trace.on_drop("loser dropped");
            pending::<()>().await
        };
        let mut raced = pin!(race((sleep(secs(1)), loser)));
        raced.as_mut().await;
        trace.note("told");
        assert_eq!(trace.take(), ["loser dropped", "told"]);
    }

    #[asyncio::test]
    async fn of_an_array_are_gone_as_well() {
        let trace = Trace::default();
        let work = async |takes| {
            let _note = trace.on_drop("dropped");
            sleep(takes).await;
        };
        let mut raced = pin!(race([work(secs(1)), work(secs(9))]));
        raced.as_mut().await;
        trace.note("told");
        assert_eq!(trace.take(), ["dropped", "dropped", "told"]);
    }

    #[asyncio::test]
    async fn that_clean_up_are_polled_once_each_time() {
        let (polls, start) = (Cell::new(0), time());
        let cleans_up = async |takes| {
            on_cancel(pending::<()>(), async {
                let mut rest = pin!(sleep(takes));
                poll_fn(|cx| {
                    if time() - start > secs(1) {
                        polls.set(polls.get() + 1);
                    }
                    rest.as_mut().poll(cx)
                })
                .await;
            })
            .await;
        };
        race((sleep(secs(1)), cleans_up(secs(1)), cleans_up(secs(2)))).await;
        // Both when one is clean, and then the other.
        assert_eq!(polls.get(), 2 + 1);
    }

    #[asyncio::test]
    async fn are_awaited_wherever_their_scope_has_opened() {
        // In the first poll, or after many.
        for delay in [0, 5] {
            let (trace, start) = (Trace::default(), time());
            let loser = async {
                for _ in 0..delay {
                    sleep(ms(1)).await;
                }
                slow_to_end(&trace, "cleaned up").await;
            };
            race((loser, sleep(ms(10)), pending())).await;
            assert_eq!(
                (trace.take(), time() - start),
                (words(&["cleaned up"]), ms(1010))
            );
        }
    }

    #[asyncio::test]
    async fn of_an_error_are_awaited() {
        let trace = Trace::default();
        let fails = async {
            yield_now().await;
            Err::<(), _>("no")
        };
        let other = async {
            slow_to_end(&trace, "cleaned up").await;
            Ok(())
        };
        assert_eq!(try_gather((other, fails, ready(Ok(7)))).await, Err("no"));
        assert_eq!(trace.take(), ["cleaned up"]);
    }

    #[asyncio::test]
    async fn that_are_awaited_take_nothing_more() {
        let polls = Cell::new(0);
        let beside = poll_fn(|_| {
            polls.set(polls.get() + 1);
            Poll::<()>::Pending
        });
        let trace = Trace::default();
        race((sleep(secs(1)), slow_to_end(&trace, "end"), beside)).await;
        assert_eq!((polls.get(), trace.take()), (1, words(&["end"])));
    }
}

mod panics {
    use super::*;

    async fn fails() {
        panic!("a bug")
    }

    #[asyncio::test]
    async fn end_the_others_first() {
        let trace = Trace::default();
        let other = async {
            let _note = trace.on_drop("other dropped");
            pending::<()>().await
        };
        let mut both = pin!(gather((other, fails())));
        assert!(
            AssertUnwindSafe(both.as_mut())
                .catch_unwind()
                .await
                .is_err()
        );
        trace.note("told");
        assert_eq!(trace.take(), ["other dropped", "told"]);
        // It says that it is over.
        let again = catch_panic(both).await.unwrap_err().to_string();
        assert!(again.contains("awaited again"), "{again}");
    }

    /// The scope of the other has opened in the same poll, or before.
    #[asyncio::test]
    async fn wait_for_cleanups() {
        for delay in [0, 1] {
            let trace = Trace::default();
            let late = async {
                for _ in 0..delay {
                    yield_now().await;
                }
                fails().await;
            };
            let before = slow_to_end(&trace, "before");
            let after = slow_to_end(&trace, "after");
            let panic = catch_panic(gather((before, late, after)))
                .await
                .unwrap_err();
            assert!(panic.to_string().contains("a bug"));
            // The last one has not begun if the panic comes in the first poll.
            let all: &[&str] = if delay > 0 {
                &["before", "after"]
            } else {
                &["before"]
            };
            assert_eq!(trace.take(), all);
        }
    }

    #[asyncio::test]
    async fn after_the_first_are_reported() {
        let again = on_cancel(pending::<()>(), fails());
        let late = async {
            yield_now().await;
            fails().await;
        };
        assert!(catch_panic(race((again, late))).await.is_err());
        let reports = take_reports();
        assert_eq!(reports.len(), 1);
        assert!(
            reports[0]
                .to_string()
                .contains("a second panic in a race or a gather")
        );
    }

    #[asyncio::test]
    async fn that_cannot_go_on_are_reported() {
        let trace = Trace::default();
        let mut both = Box::pin(gather((slow_to_end(&trace, "end"), async {
            yield_now().await;
            fails().await;
        })));
        for _ in 0..2 {
            assert!(futures::poll!(&mut both).is_pending());
            yield_now().await;
        }
        drop(both);
        let reports = take_reports();
        assert_eq!(reports.len(), 1);
        assert!(
            reports[0]
                .to_string()
                .contains("dropped before its panic can go on")
        );
    }

    #[asyncio::test]
    async fn of_a_destructor_count_too() {
        struct Fails;
        impl Drop for Fails {
            fn drop(&mut self) {
                panic!("in a destructor")
            }
        }
        let loser = || async {
            let _fails = Fails;
            pending::<()>().await
        };
        let trace = Trace::default();
        let race_plain = catch_panic(race((loser(), sleep(secs(1))))).await;
        assert!(
            race_plain
                .unwrap_err()
                .to_string()
                .contains("in a destructor")
        );
        let others = slow_to_end(&trace, "cleaned up");
        let race_scoped = catch_panic(race((loser(), sleep(secs(1)), others))).await;
        assert!(
            race_scoped
                .unwrap_err()
                .to_string()
                .contains("in a destructor")
        );
        assert_eq!(trace.take(), ["cleaned up"]);
    }
}

mod requests {
    use super::*;

    #[asyncio::test]
    async fn end_all_and_wait_for_cleanups() {
        let (trace, start) = (Trace::default(), time());
        let plain = async {
            let _note = trace.on_drop("plain dropped");
            pending::<()>().await
        };
        let both = gather((slow_to_end(&trace, "cleaned up"), plain));
        assert!(timeout(secs(1), both).await.is_err());
        assert_eq!(trace.take(), ["plain dropped", "cleaned up"]);
        assert_eq!(time() - start, secs(2));
    }

    #[asyncio::test]
    async fn that_all_swallow_are_answered() {
        let swallows = async |value: u32| {
            catch_cancel(pending::<()>()).await.unwrap_err().swallow();
            sleep(secs(1)).await;
            value
        };
        let limited = timeout(secs(1), gather((swallows(1), swallows(2)))).await;
        assert_eq!(limited, Ok((1, 2)));
        let limited = timeout(secs(1), race((swallows(1), swallows(2)))).await;
        assert_eq!(limited, Ok(1));
        // A branch that cannot answer is ended.
        assert!(
            timeout(secs(1), gather((swallows(1), pending::<()>())))
                .await
                .is_err()
        );
    }

    #[asyncio::test]
    async fn leave_the_value_of_a_race() {
        let trace = Trace::default();
        let late = shield(async {
            sleep(secs(2)).await;
            7
        });
        let raced = async {
            let value = race((late, pending())).await;
            trace.note("won");
            sleep(secs(1)).await; // the request takes this
            value
        };
        assert!(timeout(secs(1), raced).await.is_err());
        assert_eq!(trace.take(), ["won"]);
    }

    #[asyncio::test]
    async fn interrupt_the_cleanup_of_losers_and_the_value_is_returned() {
        let trace = Trace::default();
        let loser = async {
            slow_to_end(&trace, "cleaned up").await;
            0
        };
        let raced = timeout(
            ms(1500),
            race((loser, async {
                sleep(secs(1)).await;
                7
            })),
        );
        assert_eq!(raced.await, Ok(7));
        assert!(trace.take().is_empty());
    }

    #[asyncio::test]
    async fn to_a_scope_inside_of_one_leave_the_others() {
        let scoped = cancel_scope(async |scope| {
            asyncio::call_later(secs(1), move || scope.cancel());
            pending::<()>().await
        });
        let both = gather((scoped, async {
            sleep(secs(2)).await;
            5
        }));
        assert_eq!(both.await, (None, 5));
    }

    #[asyncio::test]
    async fn reach_a_task_that_one_awaits() {
        let trace = Rc::new(RefCell::new(Vec::new()));
        let own = trace.clone();
        let task = spawn(async move {
            try_finally(pending::<()>(), async {
                own.borrow_mut().push("cleaned up")
            })
            .await;
        });
        race((sleep(secs(1)), async { drop(task.await) })).await;
        assert_eq!(*trace.borrow(), ["cleaned up"]);
    }

    #[asyncio::test]
    async fn go_through_races_within_races() {
        let (trace, start) = (Trace::default(), time());
        let inner = |name| race((pending(), slow_to_end(&trace, name)));
        let middle = async || {
            gather([inner("a"), inner("b")]).await;
        };
        race((middle(), sleep(secs(1)))).await;
        assert_eq!(
            (trace.take(), time() - start),
            (words(&["a", "b"]), secs(2))
        );
        assert!(
            timeout(secs(1), gather((middle(), pending::<()>())))
                .await
                .is_err()
        );
        assert_eq!(
            (trace.take(), time() - start),
            (words(&["a", "b"]), secs(4))
        );
    }
}

mod rounds_within_rounds {
    use super::*;

    #[asyncio::test]
    async fn find_the_scopes_that_open_in_them() {
        for (late, is_first) in [(0, true), (0, false), (1, true), (1, false), (2, false)] {
            let (trace, start) = (Trace::default(), time());
            let cleans_up = async {
                for _ in 0..late {
                    yield_now().await;
                    catch_cancel(ready(())).await.unwrap();
                }
                slow_to_end(&trace, "end").await;
            };
            let inner = race((pending(), race((pending(), cleans_up, pending()))));
            match is_first {
                true => race((inner, sleep(ms(10)))).await,
                false => race((sleep(ms(10)), inner)).await,
            }
            assert_eq!(
                (trace.take(), time() - start),
                (words(&["end"]), ms(1010)),
                "{late} {is_first}"
            );
        }
    }

    #[asyncio::test]
    async fn leave_no_trace_when_they_panic() {
        for looks in 0..3 {
            let fails = async {
                for _ in 0..looks {
                    catch_cancel(ready(())).await.unwrap();
                    yield_now().await;
                }
                panic!("a bug")
            };
            let raced = race((pending(), race((pending::<()>(), fails))));
            assert!(catch_panic(raced).await.is_err());
            let trace = Trace::default();
            let limited = timeout(secs(1), slow_to_end(&trace, "end"));
            assert!(limited.await.is_err());
            assert_eq!(trace.take(), ["end"]);
        }
    }
}

#[test]
#[should_panic(expected = "spawn the code that contains it, or run it as main")]
fn outside_of_any_task_is_a_panic() {
    futures::executor::block_on(gather((ready(1), ready(2))));
}
