//! Time limits that come due while a request to cancel is open: they are acted on as soon as that is answered.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use crate::support::{Trace, run};
use asyncio_executors::{
    ReturnWhen, TaskGroup, TimedOut, TimeoutHandle, as_completed, catch_cancel, gather,
    move_on_after, on_cancel, shield, task_group, timeout, timeout_at, timeout_scope, wait,
};
use asyncio_loop::{Task, sleep, spawn, time, yield_now};
use asyncio_task::Cancelled;
use futures::future::{Either, FutureExt, LocalBoxFuture, join, join_all};
use futures::stream::{FuturesUnordered, StreamExt};

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Waits for a request, cleans up for so many seconds, and swallows it.
async fn swallow_after(n: u64) {
    if let Err(cancelled) = catch_cancel(pending::<()>()).await {
        sleep(secs(n)).await;
        cancelled.swallow();
    }
}

/// More work than any limit allows.
async fn long() {
    sleep(secs(1000)).await;
}

/// Runs `work` as a task that is cancelled after a second. Its outcome, and how many seconds it took.
async fn cancelled_at_1<T: 'static>(work: impl Future<Output = T> + 'static) -> (T, u64) {
    let start = time();
    let task = spawn(work);
    sleep(secs(1)).await;
    assert!(task.cancel());
    let outcome = task.await.expect("the request was answered");
    (outcome, (time() - start).as_secs())
}

#[test]
fn the_value_of_an_awaited_task_answers_the_request_and_the_limit_ends_the_rest() {
    run(async |_: Trace| {
        let work = timeout(secs(2), async {
            let shielded = spawn(async { shield(sleep(secs(3))).await });
            shielded.await.unwrap();
            long().await;
        });
        assert_eq!(cancelled_at_1(work).await, (Err(TimedOut), 3));
    });
}

#[test]
fn a_swallowed_token_answers_the_request_and_the_limit_ends_the_rest() {
    run(async |_: Trace| {
        let work = timeout(secs(2), async {
            swallow_after(3).await;
            long().await;
        });
        assert_eq!(cancelled_at_1(work).await, (Err(TimedOut), 4));
        let work = move_on_after(secs(2), async {
            shield(sleep(secs(5))).await;
            swallow_after(0).await;
            long().await;
        });
        assert_eq!(cancelled_at_1(work).await, (None, 5));
    });
}

#[test]
fn a_limit_that_says_it_has_expired_ends_its_work() {
    run(async |_: Trace| {
        let until = time() + secs(2);
        let work = timeout_scope(Some(until), async move |limit: TimeoutHandle| {
            swallow_after(3).await;
            assert!(limit.expired());
            assert!(limit.reschedule(Some(time() + secs(1))).is_err());
            long().await;
        });
        assert_eq!(cancelled_at_1(work).await, (Err(TimedOut), 4));
    });
}

// Proves rule 10.
#[test]
fn of_several_limits_the_outermost_reports() {
    run(async |trace: Trace| {
        let work = async move {
            let inner = timeout(secs(3), async {
                swallow_after(4).await;
                long().await;
            });
            let outer = timeout(secs(2), async {
                let _ = timeout(secs(2), inner).await;
                trace.note("never");
            });
            outer.await
        };
        assert_eq!(cancelled_at_1(work).await, (Err(TimedOut), 5));
    });
}

#[test]
fn of_several_limits_whose_requests_are_swallowed_each_has_its_turn() {
    run(async |_: Trace| {
        let work = timeout(
            secs(3),
            timeout(secs(2), async {
                swallow_after(4).await; // the task's
                swallow_after(1).await; // the outer limit's
                long().await;
            }),
        );
        assert_eq!(cancelled_at_1(work).await, (Ok(Err(TimedOut)), 6));
    });
}

#[test]
fn a_limit_in_a_branch_that_has_swallowed_does_not_wait_for_the_others() {
    for unordered in [false, true] {
        run(async move |_: Trace| {
            let ended = Rc::new(Cell::new(0));
            let (start, end) = (time(), ended.clone());
            let limited = async move {
                let limited = timeout(secs(2), async {
                    swallow_after(0).await;
                    long().await;
                });
                assert_eq!(limited.await, Err(TimedOut));
                end.set((time() - start).as_secs());
            };
            let work = async move {
                if !unordered {
                    join(swallow_after(4), limited).await;
                    return;
                }
                let mut both = FuturesUnordered::new();
                both.push(Either::Right(limited));
                both.push(Either::Left(swallow_after(4)));
                while both.next().await.is_some() {}
            };
            assert_eq!(cancelled_at_1(work).await.1, 5);
            assert_eq!(ended.get(), 2, "{unordered}");
        });
    }
}

#[test]
fn a_token_that_is_swallowed_by_another_task_answers_the_request() {
    run(async |_: Trace| {
        let kept: Rc<RefCell<Option<Cancelled>>> = Rc::default();
        let there = kept.clone();
        let swallower = spawn(async move {
            sleep(secs(4)).await;
            there.take().expect("it was kept").swallow();
        });
        let work = timeout(secs(2), async move {
            let cancelled = catch_cancel(pending::<()>()).await.unwrap_err();
            kept.replace(Some(cancelled));
            long().await;
        });
        assert_eq!(cancelled_at_1(work).await, (Err(TimedOut), 4));
        swallower.await.unwrap();
    });
}

#[test]
fn a_limit_in_a_cleanup_does_not_wait_for_the_request_that_began_it() {
    run(async |_: Trace| {
        let work = timeout(secs(2), async {
            let start = time();
            let cancelled = catch_cancel(pending::<()>()).await.unwrap_err();
            // At 4, while the limit around is due since 2.
            assert_eq!(timeout(secs(3), long()).await, Err(TimedOut));
            assert_eq!(time() - start, secs(4));
            cancelled.swallow();
            long().await;
        });
        assert_eq!(cancelled_at_1(work).await, (Err(TimedOut), 4));
    });
}

#[test]
fn a_limit_in_a_child_of_a_group_is_acted_on() {
    run(async |_: Trace| {
        let start = time();
        let group = task_group(async |tg: TaskGroup<'_>| {
            let child = tg.spawn(async {
                let limited = timeout(secs(2), async {
                    swallow_after(3).await;
                    long().await;
                });
                Ok(limited.await)
            });
            sleep(secs(1)).await;
            child.cancel();
            Ok(child.await?)
        });
        assert_eq!(group.await.unwrap(), Err(TimedOut));
        assert_eq!(time() - start, secs(4));
    });
}

#[test]
fn many_limits_cost_a_few_polls_each() {
    const MANY: usize = 2_000;
    run(async |_: Trace| {
        for nested in [false, true] {
            let polls = Rc::new(Cell::new(0));
            let counted = polls.clone();
            let mut long_counted = Box::pin(long());
            let leaf = std::future::poll_fn(move |cx| {
                counted.set(counted.get() + 1);
                long_counted.as_mut().poll(cx)
            });
            let work = async move {
                let answers = swallow_after(3);
                if nested {
                    let mut all: LocalBoxFuture<'_, ()> = Box::pin(async {
                        answers.await;
                        leaf.await;
                    });
                    for n in 0..200 {
                        // Inner and outer ones first by turns.
                        let limit = Duration::from_millis(1_500 + n * 7 % 400);
                        all = Box::pin(async move {
                            let _ = timeout(limit, all).await;
                        });
                    }
                    all.await;
                } else {
                    let limited = |_| {
                        timeout(secs(2), async {
                            swallow_after(0).await;
                            long().await;
                        })
                    };
                    join(answers, join_all((0..MANY).map(limited))).await;
                }
            };
            assert_eq!(cancelled_at_1(work).await.1, 4);
            assert!(polls.get() < 10, "{} polls", polls.get());
        }
    });
}

#[test]
fn of_two_limits_of_one_instant_the_inner_cleanup_runs_whichever_was_armed_first() {
    for (inner_first, how) in [true, false]
        .into_iter()
        .flat_map(|first| (0..4).map(move |how| (first, how)))
    {
        let trace = run(async move |trace: Trace| {
            let until = time() + secs(1);
            let limited = async move {
                let cleanup = async move {
                    sleep(secs(1)).await;
                    trace.note("clean");
                };
                let _ = timeout_at(until, on_cancel(pending::<()>(), cleanup)).await;
            };
            let outer = async move {
                let work = async {
                    match how {
                        0 => drop(spawn(limited).await),
                        1 => drop(spawn(async move { spawn(limited).await }).await),
                        2 => drop(gather((limited, pending::<()>())).await),
                        _ => {
                            let group = task_group(async |tg: TaskGroup<'_>| {
                                tg.spawn(async move {
                                    limited.await;
                                    Ok(())
                                });
                                pending::<()>().await;
                                Ok(())
                            });
                            drop(group.await);
                        }
                    }
                };
                if inner_first {
                    let mut work = pin!(work);
                    for _ in 0..4 {
                        assert!(futures::poll!(work.as_mut()).is_pending());
                        yield_now().await;
                    }
                    assert!(timeout_at(until, work).await.is_err());
                } else {
                    assert!(timeout_at(until, work).await.is_err());
                }
            };
            outer.await;
            assert_eq!(time(), until + secs(1), "{inner_first}, {how}");
        });
        assert_eq!(trace, ["clean"], "{inner_first}, {how}");
    }
}

/// The limit ends code that has the handle of a task, in which a limit of the same instant has begun a cleanup.
#[test]
fn a_handle_that_a_limit_drops_is_no_second_request_to_what_that_instant_began() {
    async fn all(mut tasks: Vec<Task<()>>) {
        wait(&mut tasks, ReturnWhen::AllCompleted).await;
    }
    for (inner_first, how) in [true, false]
        .into_iter()
        .flat_map(|first| (0..8).map(move |how| (first, how)))
    {
        let trace = run(async move |trace: Trace| {
            let until = time() + secs(1);
            let limited = move || {
                let trace = trace.clone();
                spawn(async move {
                    let cleanup = async move {
                        sleep(secs(2)).await;
                        trace.note("clean");
                    };
                    let _ = timeout_at(until, on_cancel(pending::<()>(), cleanup)).await;
                })
            };
            let mut kept = Vec::new();
            let work = async {
                match how {
                    0 => all(vec![limited()]).await,
                    1 => {
                        kept.push(limited());
                        wait(&mut kept, ReturnWhen::AllCompleted).await;
                    }
                    2 => {
                        let _held = limited();
                        pending::<()>().await;
                    }
                    3 => drop(as_completed([limited()]).next().await),
                    4 => drop(spawn(all(vec![limited()])).await),
                    5 => {
                        let group = task_group(async |tg: TaskGroup<'_>| {
                            let tasks = vec![limited()];
                            tg.spawn(all(tasks).map(Ok));
                            Ok(())
                        });
                        drop(group.await);
                    }
                    6 => drop(gather((all(vec![limited()]), pending::<()>())).await),
                    _ => {
                        let tasks = vec![limited()];
                        on_cancel(pending::<()>(), async { sleep(secs(1)).await }).await;
                        drop(tasks);
                    }
                }
            };
            let mut work = Box::pin(work);
            if inner_first {
                for _ in 0..4 {
                    assert!(futures::poll!(work.as_mut()).is_pending());
                    yield_now().await;
                }
            }
            assert!(timeout_at(until, work).await.is_err());
            drop(kept);
            sleep(secs(3)).await;
        });
        assert_eq!(trace, ["clean"], "{inner_first}, {how}");
    }
}

/// The drop comes late: a cleanup has begun since, for another request, and swallows that one.
#[test]
fn a_handle_that_a_limit_drops_later_is_a_request_of_its_own() {
    let trace = run(async |trace: Trace| {
        let begin = time();
        let dropped = async {
            let task = spawn(async move {
                let noted = trace.clone();
                let work = async move {
                    let heard = catch_cancel(pending::<()>()).await;
                    noted.note("cleans up");
                    sleep(secs(4)).await;
                    heard.expect_err("its time is over").swallow();
                    pending::<()>().await;
                };
                let _ = timeout_at(begin + secs(2), on_cancel(work, async {})).await;
                trace.note("goes on");
            });
            on_cancel(pending::<()>(), async { sleep(secs(2)).await }).await;
            drop(task);
        };
        // The limit is over at 1, and drops the handle at 3. The task's own limit is over at 2.
        assert!(timeout_at(begin + secs(1), dropped).await.is_err());
        assert_eq!(time() - begin, secs(3));
        sleep(secs(9)).await;
        assert_eq!(asyncio_loop::all_tasks().len(), 1, "the task has ended");
    });
    assert_eq!(trace, ["cleans up"]);
}
