//! Several at once: what may be gathered, raced and waited for, and that the others have ended by then.

use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use crate::support::run;
use asyncio_executors::{
    CancelScope, Contender, ReturnWhen, StaggeredRace, TaskGroup, as_completed,
    as_completed_bounded, cancel_scope, gather, move_on_after, on_cancel, race, race_iter,
    staggered_race, task_group, timeout, try_gather, try_gather_iter, wait,
};
use asyncio_loop::{Task, sleep, spawn, time};
use asyncio_testkit::OnDrop;
use futures::stream::FusedStream;
use futures::{FutureExt, Stream, StreamExt};

type Trace = crate::support::Trace<String>;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Waits for ever; cancelled, it takes two seconds to clean up.
async fn for_ever(trace: &Trace, name: &str) {
    on_cancel(pending::<()>(), async {
        sleep(secs(2)).await;
        trace.note(format!("{name} is clean"));
    })
    .await;
}

#[test]
fn a_tuple_of_different_values_until_one_fails() {
    let seen = run(async |trace| {
        let number = async { Ok::<u32, &str>(1) };
        let text = async {
            sleep(secs(1)).await;
            Ok("one".to_owned())
        };
        assert_eq!(try_gather((number, text)).await, Ok((1, "one".to_owned())));

        let start = time();
        let waits = async {
            for_ever(&trace, "the other").await;
            Ok::<u32, &str>(1)
        };
        let fails = async {
            sleep(secs(1)).await;
            Err::<String, _>("no page")
        };
        assert_eq!(try_gather((waits, fails)).await, Err("no page"));
        assert_eq!(time() - start, secs(3), "the cleanup was waited for");
    });
    assert_eq!(seen, ["the other is clean"]);
}

#[test]
fn twelve_of_a_tuple_and_any_number_of_an_array_or_an_iterator() {
    run(async |_: Trace| {
        let n = async |n: u64| {
            sleep(secs(20 - n)).await;
            n
        };
        let ok = async |n_: u64| Ok::<_, ()>(n(n_).await);
        let all = (
            n(0),
            n(1),
            n(2),
            n(3),
            n(4),
            n(5),
            n(6),
            n(7),
            n(8),
            n(9),
            n(10),
            n(11),
        );
        assert_eq!(gather(all).await, (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
        let all = (
            ok(0),
            ok(1),
            ok(2),
            ok(3),
            ok(4),
            ok(5),
            ok(6),
            ok(7),
            ok(8),
            ok(9),
            ok(10),
            ok(11),
        );
        assert_eq!(
            try_gather(all).await,
            Ok((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11))
        );
        assert_eq!(try_gather([3, 1, 2].map(ok)).await, Ok([3, 1, 2]));
        let vec: Vec<_> = (0..9).map(ok).collect();
        assert_eq!(try_gather(vec).await, Ok((0..9).collect()));
        assert_eq!(try_gather_iter((0..9).map(ok)).await, Ok((0..9).collect()));
    });
}

#[test]
fn a_race_of_futures_of_different_types() {
    let seen = run(async |trace| {
        let start = time();
        let slow = async {
            for_ever(&trace, "the slow one").await;
            "slow"
        };
        let fast = async {
            sleep(secs(1)).await;
            "fast"
        };
        assert_eq!(race((slow, fast)).await, "fast");
        assert_eq!(time() - start, secs(3), "the loser was waited for");
        // Of two that return in one step the first one wins.
        assert_eq!(race((async { 1 }, async { 2 }, async { 3 })).await, 1);
        let after = async |n: u64| {
            sleep(secs(n)).await;
            n
        };
        assert_eq!(race([3, 1, 2].map(after)).await, 1);
        assert_eq!(race(vec![after(3), after(2)]).await, 2);
        assert_eq!(race_iter((2..9).rev().map(after)).await, 2);
    });
    assert_eq!(seen, ["the slow one is clean"]);
}

#[test]
fn the_losers_of_an_array_are_gone_when_the_winner_is_told_of() {
    let seen = run(async |trace: Trace| {
        for scoped in [false, true] {
            let part = async |n: u64| {
                let noted = trace.clone();
                let _guard = OnDrop::new(move || noted.note(format!("{n} is dropped")));
                match scoped {
                    true => timeout(secs(9), sleep(secs(n))).await.unwrap(),
                    false => sleep(secs(n)).await,
                }
                n
            };
            // It outlives its value.
            let mut racing = pin!(race([part(2), part(1)]));
            assert_eq!(racing.as_mut().await, 1);
            trace.note("told".to_owned());
        }
    });
    let expected = ["1 is dropped", "2 is dropped", "told"];
    assert_eq!(seen, [expected, expected].concat());
}

#[test]
fn the_others_of_an_array_are_gone_when_one_panics() {
    let seen = run(async |trace: Trace| {
        let part = async |n: u64| {
            let noted = trace.clone();
            let _guard = OnDrop::new(move || noted.note(format!("{n} is dropped")));
            assert!(n > 0, "zero");
            pending::<()>().await;
        };
        let mut racing = pin!(race([part(1), part(0)]));
        let caught = AssertUnwindSafe(racing.as_mut()).catch_unwind().await;
        trace.note(format!("panics: {}", caught.is_err()));
    });
    assert_eq!(seen, ["0 is dropped", "1 is dropped", "panics: true"]);
}

#[test]
fn tasks_of_any_value_are_waited_for_until_one_is_good_enough() {
    /// A value that tells nothing of having failed.
    struct Offer {
        price: u64,
    }
    run(async |_: Trace| {
        let start = time();
        let offer = |after| {
            spawn(async move {
                sleep(secs(after)).await;
                Offer { price: 10 - after }
            })
        };
        let mut offers: Vec<Task<Offer>> = [4, 1, 2, 3].map(offer).into();
        let first = wait(&mut offers, ReturnWhen::FirstCompleted).await;
        assert_eq!((first.len(), time() - start), (1, secs(1)));

        let cheap = |task: &mut Task<Offer>| task.peek().is_some_and(|offer| offer.price <= 7);
        let until_cheap = wait(&mut offers, ReturnWhen::First(cheap)).await;
        assert_eq!((until_cheap.len(), time() - start), (2, secs(3)));

        // No offer is: all tasks have ended.
        let dear = |task: &mut Task<Offer>| task.peek().is_some_and(|offer| offer.price > 100);
        let rest = wait(&mut offers, ReturnWhen::First(dear)).await;
        assert_eq!((rest.len(), offers.len(), time() - start), (1, 0, secs(4)));
        for task in rest {
            assert_eq!(task.await.unwrap().price, 6);
        }
    });
}

#[test]
fn a_limit_counts_from_the_call() {
    run(async |_: Trace| {
        let start = time();
        let limited = timeout(secs(2), pending::<()>());
        let moves_on = move_on_after(secs(2), pending::<()>());
        sleep(secs(1)).await;
        assert!(limited.await.is_err());
        assert_eq!(time() - start, secs(2));
        assert_eq!(moves_on.await, None);
        assert_eq!(time() - start, secs(2));
    });
}

#[test]
fn those_that_complete_are_counted_until_they_are_given_out() {
    run(async |_: Trace| {
        let mut done = as_completed([3, 1].map(|n| {
            spawn(async move {
                sleep(secs(n)).await;
                n
            })
        }));
        for (left, value) in [(2, 1), (1, 3)] {
            assert_eq!((done.len(), done.is_empty()), (left, false));
            assert_eq!(done.size_hint(), (left, Some(left)));
            assert_eq!(done.next().await.unwrap().await.unwrap(), value);
        }
        assert_eq!((done.len(), done.is_empty()), (0, true));
        assert_eq!(done.size_hint(), (0, Some(0)));
        assert!(done.next().await.is_none());
    });
}

#[test]
fn a_bounded_stream_has_ended_when_all_were_given_out() {
    run(async |_: Trace| {
        // The second bound is more than there are.
        for bound in [1, 9] {
            let mut all = Box::pin(as_completed_bounded(
                bound,
                [1, 2].map(|n| async move { n }),
            ));
            for n in [1, 2] {
                assert!(!all.is_terminated());
                assert_eq!(all.next().await.unwrap().await.unwrap(), n);
            }
            assert!(all.next().await.is_none() && all.is_terminated());
        }
    });
}

#[test]
fn a_staggered_race_of_nobody_has_no_winner() {
    run(async |_: Trace| {
        let nobody = std::iter::empty::<fn() -> std::future::Ready<Result<(), ()>>>();
        let race: StaggeredRace<(), ()> = staggered_race(nobody, Some(secs(1))).await;
        assert_eq!((race.winner, race.contenders.len()), (None, 0));
    });
}

#[test]
fn of_two_that_are_ready_in_one_step_one_wins_a_staggered_race() {
    run(async |_: Trace| {
        // The second one starts when the first one is due.
        let contenders = [2, 1].map(|after| {
            move || async move {
                sleep(secs(after)).await;
                Ok::<_, ()>(after)
            }
        });
        let race = staggered_race(contenders, Some(secs(1))).await;
        assert_eq!(race.winner, Some((2, 0)));
        assert_eq!(race.contenders, [Contender::Won, Contender::Cancelled]);
    });
}

#[test]
fn one_that_ends_by_being_cancelled_lets_the_next_contender_start() {
    type Contends = std::pin::Pin<Box<dyn Future<Output = Result<u32, ()>>>>;
    run(async |_: Trace| {
        let cancels_itself = || {
            asyncio_loop::current_task().unwrap().cancel();
            for_ever_silent()
        };
        fn for_ever_silent() -> Contends {
            Box::pin(pending())
        }
        let first: Box<dyn FnOnce() -> Contends> = Box::new(cancels_itself);
        let second: Box<dyn FnOnce() -> Contends> = Box::new(|| Box::pin(async { Ok(2) }));
        let race = staggered_race([first, second], None).await;
        assert_eq!(race.winner, Some((2, 1)));
        assert_eq!(race.contenders, [Contender::Cancelled, Contender::Won]);

        let main = asyncio_loop::current_task().unwrap().id();
        // By somebody else, before it has begun or while it waits, and it is the last.
        for waits in [0, 1] {
            let ends = move || {
                spawn(async move {
                    sleep(secs(waits)).await;
                    let mine = asyncio_loop::current_task().unwrap().id();
                    let is_contender =
                        |task: &asyncio_loop::TaskRef| task.id() != mine && task.id() != main;
                    let all = asyncio_loop::all_tasks().into_iter().filter(is_contender);
                    all.for_each(|task| assert!(task.cancel()));
                })
                .discard();
                Box::pin(pending()) as Contends
            };
            let race = staggered_race([ends], None);
            let race = timeout(secs(5), race).await.expect("it ends");
            assert_eq!(race.winner, None);
            assert_eq!(race.contenders, [Contender::Cancelled]);
        }
    });
}

#[test]
fn a_staggered_race_that_is_cancelled_waits_for_all_that_run() {
    let seen = run(async |trace| {
        let start = time();
        let contenders = ["a", "b", "c"].map(|name| {
            let trace = &trace;
            move || async move {
                for_ever(trace, name).await;
                Ok::<(), ()>(())
            }
        });
        // Two of them have begun by then.
        let limited = timeout(secs(3), staggered_race(contenders, Some(secs(2))));
        assert!(limited.await.is_err());
        assert_eq!(time() - start, secs(5), "with the cleanups");
    });
    assert_eq!(seen, ["a is clean", "b is clean"]);
}

#[test]
fn a_scope_around_a_group_ends_body_and_children() {
    let seen = run(async |trace| {
        let all = cancel_scope(async |scope: CancelScope| {
            assert!(!scope.is_cancelled());
            task_group(async |tg: TaskGroup<'_>| {
                tg.spawn(async {
                    for_ever(&trace, "the child").await;
                    Ok(())
                });
                tg.spawn(async {
                    sleep(secs(1)).await;
                    scope.cancel();
                    assert!(scope.is_cancelled());
                    Ok(())
                });
                for_ever(&trace, "the body").await;
                Ok(())
            })
            .await
        });
        assert!(all.await.is_none());
    });
    assert_eq!(seen, ["the body is clean", "the child is clean"]);
}

#[test]
fn a_condition_that_panics_ends_the_wait_with_that_and_the_tasks_stay() {
    run(async |_: Trace| {
        let sleeper = |seconds| spawn(sleep(secs(seconds)));
        let mut tasks: Vec<_> = [1, 2].map(sleeper).into();
        let waits = wait(&mut tasks, ReturnWhen::First(|_| panic!("which?")));
        let outcome = AssertUnwindSafe(waits).catch_unwind().await;
        let payload = outcome.expect_err("it panics");
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"which?"));
        assert!(tasks[0].is_finished() && !tasks[1].is_finished());
        for task in tasks {
            task.await.unwrap();
        }
    });
}
