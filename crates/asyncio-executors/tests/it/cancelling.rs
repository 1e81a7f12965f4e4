//! The delivery of requests, and the waits for cleanups: shields, tokens and limits inside each other.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::support::{Trace, run};
use asyncio_executors::{
    BoxError, CancelScope, TaskGroup, TimedOut, TimeoutHandle, cancel_scope, catch_cancel, gather,
    on_cancel, race, shield, task_group, timeout, timeout_scope, try_finally,
};
use asyncio_loop::{
    JoinError, SpawnOptions, all_tasks, current_task, sleep, spawn, time, yield_now,
};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Runs `work` as a task that is cancelled after a millisecond, which it must not survive.
async fn cancelled(work: impl Future<Output = ()> + 'static) {
    let task = spawn(work);
    sleep(ms(1)).await;
    assert!(task.cancel());
    assert!(task.await.is_err_and(|error| error.is_cancelled()));
}

// ---- what a shield has held up ----

#[test]
fn what_is_acquired_under_a_shield_is_released_by_the_finally_that_follows() {
    let trace = run(async |trace| {
        let t = trace.clone();
        cancelled(async move {
            shield(sleep(ms(5))).await;
            t.note("acquired");
            try_finally(pending::<()>(), async {
                sleep(ms(5)).await;
                t.note("released");
            })
            .await;
        })
        .await;
    });
    assert_eq!(trace, ["acquired", "released"]);
}

#[test]
fn who_opens_after_a_shield_may_swallow_what_it_held_up() {
    let trace = run(async |trace| {
        let task = spawn(async move {
            shield(sleep(ms(5))).await;
            match catch_cancel(pending::<()>()).await {
                Err(token) => token.swallow(),
                Ok(()) => unreachable!(),
            }
            sleep(ms(5)).await;
            trace.note("goes on");
            sleep(ms(50)).await;
            trace.note("never");
        });
        sleep(ms(1)).await;
        task.cancel();
        sleep(ms(30)).await;
        // It is over, and a later request is another one.
        assert!(task.cancel());
        assert!(task.await.is_err());
    });
    assert_eq!(trace, ["goes on"]);
}

/// A branch that was only shielded has not heard of the request, so code beside it, deeper inside, does not answer for
/// it.
#[test]
fn a_cleanup_deeper_inside_does_not_answer_for_a_shielded_branch_whichever_ends_first() {
    for (shielded, cleanup) in [(3, 6), (6, 3)] {
        let trace = run(async move |trace| {
            let t = trace.clone();
            let task = spawn(async move {
                let shielded = async {
                    shield(sleep(ms(shielded))).await;
                    pending::<()>().await;
                };
                let cleans_up = timeout(ms(1000), async {
                    if let Err(token) = catch_cancel(pending::<()>()).await {
                        sleep(ms(cleanup)).await;
                        token.swallow();
                        t.note("swallowed");
                    }
                    pending::<()>().await;
                });
                timeout(ms(1000), async { futures::join!(shielded, cleans_up) }).await
            });
            sleep(ms(1)).await;
            let begun = time();
            assert!(task.cancel());
            assert!(task.await.is_err_and(|error| error.is_cancelled()));
            trace.note(if time() - begun < ms(100) {
                "cancelled"
            } else {
                "late"
            });
        });
        assert_eq!(trace, ["swallowed", "cancelled"]);
    }
}

#[test]
fn after_a_shield_a_request_climbs_no_further_than_to_its_target() {
    run(async |_: Trace| {
        let start = time();
        let work = async {
            shield(sleep(ms(5))).await;
            catch_cancel(pending::<()>())
                .await
                .unwrap_err()
                .resume()
                .await
        };
        assert_eq!(timeout(ms(1), work).await, Err(TimedOut));
        assert_eq!(time() - start, ms(5));
        sleep(ms(1)).await;
    });
}

#[test]
fn a_shield_that_is_dropped_leaves_the_request_to_what_comes_next() {
    let trace = run(async |trace| {
        let t = trace.clone();
        cancelled(async move {
            {
                let (tick, work) = (pin!(sleep(ms(5))), pin!(shield(pending::<()>())));
                futures::future::select(tick, work).await;
            }
            t.note("dropped");
            on_cancel(sleep(ms(9)), async { t.note("told") }).await;
            t.note("never");
        })
        .await;
    });
    assert_eq!(trace, ["dropped", "told"]);
}

#[test]
fn a_shield_holds_up_whoever_swallows_beside_it() {
    // One of two that were reached swallows; the other, behind a shield, has yet to hear.
    let trace = run(async |trace| {
        let t = trace.clone();
        cancelled(async move {
            let swallows = async {
                if let Err(token) = catch_cancel(pending::<()>()).await {
                    sleep(ms(2)).await;
                    token.swallow();
                }
                sleep(ms(90)).await;
                t.note("never");
            };
            let shielded = async {
                shield(sleep(ms(9))).await;
                on_cancel(pending::<()>(), async { t.note("told") }).await;
            };
            futures::join!(swallows, shielded);
        })
        .await;
        let t = trace.clone();
        cancelled(async move {
            let swallows = async {
                if let Err(token) = catch_cancel(pending::<()>()).await {
                    sleep(ms(9)).await;
                    t.note("swallows later");
                    token.swallow();
                }
                sleep(ms(90)).await;
                t.note("never");
            };
            let shielded = async {
                shield(sleep(ms(2))).await;
                on_cancel(pending::<()>(), async { t.note("told") }).await;
            };
            futures::join!(swallows, shielded);
        })
        .await;
    });
    assert_eq!(trace, ["told", "swallows later", "told"]);
}

#[test]
fn a_token_resumed_beside_a_shield_does_not_keep_what_follows_the_shield_from_hearing() {
    let trace = run(async |trace| {
        let t = trace.clone();
        cancelled(async move {
            let resumes = on_cancel(pending::<()>(), async {});
            let shielded = async {
                shield(sleep(ms(9))).await;
                on_cancel(pending::<()>(), async { t.note("told") }).await;
            };
            futures::join!(resumes, shielded);
        })
        .await;
    });
    assert_eq!(trace, ["told"]);
}

#[test]
fn what_a_task_that_had_ended_holds_up_is_heard_by_who_opens_next() {
    // The request reached the await of a task that had a value already: it goes on after that.
    let trace = run(async |trace| {
        let t = trace.clone();
        let (send, receive) = futures::channel::oneshot::channel();
        let waiting = spawn(async move {
            let inner = spawn(async move {
                receive.await.unwrap();
                7
            });
            let seven = shield(async { inner.await.unwrap() }).await;
            assert_eq!(seven, 7);
            on_cancel(pending::<()>(), async { t.note("told") }).await;
        });
        sleep(ms(1)).await;
        send.send(()).unwrap();
        waiting.cancel();
        assert!(waiting.await.is_err());
    });
    assert_eq!(trace, ["told"]);
}

#[test]
fn after_a_group_with_errors_the_request_is_heard_by_who_opens_next() {
    let trace = run(async |trace| {
        let t = trace.clone();
        cancelled(async move {
            let failed = task_group(async |tg: TaskGroup<'_, BoxError>| {
                tg.spawn(async {
                    if let Err(token) = catch_cancel(pending::<()>()).await {
                        drop(token);
                        return Err("cleaning up failed".into());
                    }
                    Ok(())
                });
                pending::<()>().await;
                Ok(())
            })
            .await;
            assert!(failed.is_err());
            t.note("failed");
            on_cancel(pending::<()>(), async { t.note("told") }).await;
        })
        .await;
    });
    assert_eq!(trace, ["failed", "told"]);
}

// ---- shields, groups and tasks that are begun when the code around is to unwind ----

// Proves rule 8.
#[test]
fn a_second_shield_runs_to_its_end_as_the_first_did() {
    let trace = run(async |trace| {
        let t = trace.clone();
        cancelled(async move {
            shield(sleep(ms(5))).await;
            t.note("opened");
            shield(sleep(ms(5))).await;
            t.note("closed");
            yield_now().await;
            t.note("never");
        })
        .await;
    });
    assert_eq!(trace, ["opened", "closed"]);
}

#[test]
fn a_shield_after_a_dropped_token_runs_to_its_end_and_delays_the_unwinding() {
    let trace = run(async |trace| {
        let t = trace.clone();
        cancelled(async move {
            drop(catch_cancel(pending::<()>()).await);
            shield(async {
                sleep(ms(5)).await;
                // Requests from outside do not enter: what is asked in here is answered in here.
                let limited = timeout(Duration::ZERO, pending::<()>()).await;
                assert_eq!(limited, Err(TimedOut));
                assert_eq!(timeout(ms(1), pending::<()>()).await, Err(TimedOut));
            })
            .await;
            t.note("closed");
            yield_now().await;
            t.note("never");
        })
        .await;
    });
    assert_eq!(trace, ["closed"]);
}

#[test]
fn a_limit_inside_of_a_shield_that_begins_with_a_request_open_is_kept() {
    run(async |_: Trace| {
        let task = spawn(async {
            current_task().unwrap().cancel();
            // Nothing has held the request up yet when the limit is looked at.
            shield(timeout(Duration::ZERO, pending::<()>())).await
        });
        assert_eq!(task.await.unwrap(), Err(TimedOut));
    });
}

#[test]
fn a_task_awaited_after_a_dropped_token_is_waited_for() {
    let trace = run(async |trace| {
        let t = trace.clone();
        cancelled(async move {
            drop(catch_cancel(pending::<()>()).await);
            let (t, inside) = (t.clone(), t);
            let task = spawn(async move {
                on_cancel(pending::<()>(), async {
                    sleep(ms(5)).await;
                    inside.note("the task is clean");
                })
                .await;
            });
            let _ = task.await;
            t.note("never");
        })
        .await;
        trace.note("ended");
    });
    // It had not begun when the request reached it.
    assert_eq!(trace, ["ended"]);

    let trace = run(async |trace| {
        let (t, inside) = (trace.clone(), trace.clone());
        let task = spawn(on_cancel(pending::<()>(), async move {
            sleep(ms(5)).await;
            inside.note("the task is clean");
        }));
        cancelled(async move {
            drop(catch_cancel(pending::<()>()).await);
            let _ = task.await;
            t.note("never");
        })
        .await;
        trace.note("ended");
    });
    assert_eq!(trace, ["the task is clean", "ended"]);
}

#[test]
fn a_group_begun_after_a_dropped_token_is_ended_in_order() {
    let trace = run(async |trace| {
        let t = trace.clone();
        cancelled(async move {
            drop(catch_cancel(pending::<()>()).await);
            let group = task_group(async |tg: TaskGroup<'_, BoxError>| {
                tg.spawn(async {
                    on_cancel(pending::<()>(), async {}).await;
                    Ok(())
                });
                on_cancel(pending::<()>(), async {
                    sleep(ms(5)).await;
                    t.note("the body is clean");
                })
                .await;
                Ok(())
            });
            let _ = group.await;
            t.note("never");
        })
        .await;
        trace.note("ended");
    });
    assert_eq!(trace, ["the body is clean", "ended"]);
}

#[test]
fn a_loop_that_drops_tokens_between_groups_ends() {
    run(async |_: Trace| {
        cancelled(async {
            loop {
                let _ = catch_cancel(sleep(ms(1))).await;
                gather((sleep(ms(1)), sleep(ms(2)))).await;
            }
        })
        .await;
    });
}

// ---- several reporters ----

// Proves rule 4.
#[test]
fn a_branch_that_swallows_at_once_does_not_answer_for_those_told_with_it() {
    for swallows_first in [true, false] {
        let trace = run(async |trace| {
            let t = trace.clone();
            cancelled(async move {
                let swallows = async {
                    if let Err(token) = catch_cancel(pending::<()>()).await {
                        token.swallow();
                    }
                    sleep(ms(90)).await;
                    t.note("never");
                };
                let resumes = on_cancel(pending::<()>(), async {
                    sleep(ms(5)).await;
                    t.note("heard");
                });
                if swallows_first {
                    futures::join!(swallows, resumes);
                } else {
                    futures::join!(resumes, swallows);
                }
            })
            .await;
        });
        assert_eq!(trace, ["heard"], "{swallows_first}");
    }
}

#[test]
fn a_branch_that_swallows_at_once_does_not_answer_for_those_under_limits_of_their_own() {
    let trace = run(async |trace| {
        let t = trace.clone();
        cancelled(async move {
            let swallows = timeout(ms(50), async {
                catch_cancel(pending::<()>()).await.unwrap_err().swallow();
                sleep(ms(20)).await;
                t.note("never");
            });
            let resumes = timeout(
                ms(50),
                on_cancel(pending::<()>(), async { t.note("heard") }),
            );
            let _ = futures::join!(swallows, resumes);
        })
        .await;
    });
    assert_eq!(trace, ["heard"]);
}

#[test]
fn the_same_holds_for_a_request_to_a_scope_inside_of_the_task() {
    let trace = run(async |trace| {
        let work = async {
            let swallows = async {
                catch_cancel(pending::<()>()).await.unwrap_err().swallow();
                sleep(ms(20)).await;
                trace.note("never");
            };
            let resumes = on_cancel(pending::<()>(), async { trace.note("heard") });
            futures::join!(swallows, resumes);
        };
        assert_eq!(timeout(ms(1), work).await, Err(TimedOut));
    });
    assert_eq!(trace, ["heard"]);
}

#[test]
fn when_all_branches_swallow_at_once_the_request_is_over() {
    let trace = run(async |trace| {
        let t = trace.clone();
        let task = spawn(async move {
            let swallows = async || {
                let token = catch_cancel(pending::<()>()).await.unwrap_err();
                token.swallow();
                // In the same step, which is not over: what is asked now is something new.
                assert_eq!(
                    timeout(Duration::ZERO, pending::<()>()).await,
                    Err(TimedOut)
                );
                assert_eq!(catch_cancel(async { 5 }).await.unwrap(), 5);
                sleep(ms(5)).await;
            };
            futures::join!(swallows(), swallows(), swallows());
            assert!(catch_cancel(sleep(ms(5))).await.is_ok());
            t.note("went on");
            if let Err(second) = catch_cancel(pending::<()>()).await {
                t.note("second");
                second.resume().await
            }
        });
        sleep(ms(1)).await;
        task.cancel();
        sleep(ms(30)).await;
        task.cancel();
        assert!(task.await.is_err());
    });
    assert_eq!(trace, ["went on", "second"]);
}

#[test]
fn one_that_nobody_polls_any_more_does_not_keep_a_swallowed_request_open() {
    let trace = run(async |trace| {
        let t = trace.clone();
        let task = spawn(async move {
            let mut parked = pin!(catch_cancel(pending::<()>()));
            assert!(futures::poll!(parked.as_mut()).is_pending());
            catch_cancel(pending::<()>()).await.unwrap_err().swallow();
            sleep(ms(5)).await;
            t.note("went on");
            // The request is over, so it is not delivered to this scope either.
            assert!(futures::poll!(parked).is_pending());
            sleep(ms(5)).await;
            t.note("to the end");
        });
        sleep(ms(1)).await;
        task.cancel();
        task.await.unwrap();
    });
    assert_eq!(trace, ["went on", "to the end"]);
}

#[test]
fn a_token_swallowed_by_another_task_answers_at_once() {
    run(async |_: Trace| {
        let slot = Rc::new(RefCell::new(None));
        let kept = slot.clone();
        let task = spawn(async move {
            *kept.borrow_mut() = catch_cancel(pending::<()>()).await.err();
            sleep(ms(9)).await;
            "went on"
        });
        sleep(ms(1)).await;
        task.cancel();
        sleep(ms(1)).await;
        slot.take().unwrap().swallow();
        assert_eq!(task.await.unwrap(), "went on");
    });
}

#[test]
fn a_shield_dropped_before_it_heard_of_a_second_request_does_not_undo_who_holds_for_that() {
    let trace = run(async |trace| {
        let t = trace.clone();
        let task = spawn(async move {
            let slot = in_slot(shield(pending::<()>()));
            let beside = slot.clone();
            let cleans = async {
                let first = catch_cancel(pending::<()>()).await.unwrap_err();
                let second = catch_cancel(pending::<()>()).await.unwrap_err();
                // It is polled after this branch, so it has not heard yet.
                beside.take();
                sleep(ms(5)).await;
                t.note("is clean");
                drop((second, first));
            };
            futures::join!(cleans, from_slot(&slot));
        });
        for _ in 0..2 {
            sleep(ms(1)).await;
            task.cancel();
        }
        assert!(task.await.is_err());
    });
    assert_eq!(trace, ["is clean"]);
}

/// A future in a place from which others can take it.
type Slot<T> = Rc<RefCell<Option<Pin<Box<T>>>>>;

fn in_slot<T>(future: T) -> Slot<T> {
    Rc::new(RefCell::new(Some(Box::pin(future))))
}

/// Polls what is in the slot, and waits for ever once it has been taken.
async fn from_slot<T: Future>(slot: &Slot<T>) -> T::Output {
    poll_fn(|cx| match &mut *slot.borrow_mut() {
        Some(future) => future.as_mut().poll(cx),
        None => Poll::Pending,
    })
    .await
}

#[test]
fn what_a_shield_held_up_is_not_answered_by_those_who_swallow_a_second_request() {
    let trace = run(async |trace| {
        let t = trace.clone();
        let task = spawn(async move {
            let slot = in_slot(shield(pending::<()>()));
            let beside = slot.clone();
            let swallows = async {
                let first = catch_cancel(pending::<()>()).await.unwrap_err();
                let second = catch_cancel(pending::<()>()).await.unwrap_err();
                // It has heard of the first only.
                beside.take();
                sleep(ms(5)).await;
                t.note("swallows both");
                second.swallow();
                first.swallow();
                sleep(ms(5)).await;
                t.note("never");
            };
            futures::join!(swallows, from_slot(&slot));
        });
        for _ in 0..2 {
            sleep(ms(1)).await;
            task.cancel();
        }
        assert!(task.await.is_err());
    });
    assert_eq!(trace, ["swallows both"]);
}

#[test]
fn a_shield_that_another_task_drops_lets_go_of_whom_it_held() {
    let trace = run(async |trace| {
        let slot = in_slot(shield(pending::<()>()));
        let (t, beside) = (trace.clone(), slot.clone());
        let task = spawn(async move {
            on_cancel(from_slot(&slot), async { t.note("told") }).await;
        });
        sleep(ms(1)).await;
        task.cancel();
        sleep(ms(5)).await;
        trace.note("drops it");
        let shielded = beside.take();
        drop(shielded);
        assert!(task.await.is_err());
    });
    assert_eq!(trace, ["drops it", "told"]);
}

#[test]
fn a_shield_that_another_task_goes_on_with_lets_go_of_whom_it_held() {
    let trace = run(async |trace| {
        let slot = in_slot(shield(sleep(ms(9))));
        let (t, beside) = (trace.clone(), slot.clone());
        let task = spawn(async move {
            on_cancel(from_slot(&slot), async { t.note("told") }).await;
        });
        sleep(ms(1)).await;
        task.cancel();
        sleep(ms(5)).await;
        let shielded = beside.take().unwrap();
        shielded.await;
        // The request was none to the task that went on with it.
        sleep(ms(1)).await;
        trace.note("ended");
        assert!(task.await.is_err());
    });
    assert_eq!(trace, ["told", "ended"]);
}

#[test]
fn what_a_shield_held_up_outlasts_a_request_that_others_have_swallowed() {
    for by_another_task in [false, true] {
        let trace = run(async |trace| {
            let (t, slot) = (trace.clone(), Rc::new(RefCell::new(None)));
            let kept = slot.clone();
            let task = spawn(async move {
                // Under a limit, so what it swallows holds another scope than the shield does.
                let swallows = timeout(ms(99), async {
                    let token = catch_cancel(pending::<()>()).await.unwrap_err();
                    if by_another_task {
                        *kept.borrow_mut() = Some(token);
                    } else {
                        sleep(ms(2)).await;
                        token.swallow();
                    }
                    sleep(ms(50)).await;
                    t.note("never");
                });
                let shielded = async {
                    shield(sleep(ms(9))).await;
                    t.note("shielded");
                    on_cancel(pending::<()>(), async { t.note("told") }).await;
                };
                let _ = futures::join!(swallows, shielded);
            });
            sleep(ms(1)).await;
            task.cancel();
            sleep(ms(3)).await;
            if let Some(token) = slot.take() {
                token.swallow();
            }
            assert!(task.await.is_err());
        });
        assert_eq!(trace, ["shielded", "told"], "{by_another_task}");
    }
}

// ---- limits that are over before they begin ----

#[test]
fn a_loop_of_limits_that_are_over_lets_others_run_and_can_be_cancelled() {
    let polls = Rc::new(Cell::new(0));
    let seen = polls.clone();
    run(async |_: Trace| {
        let others = Rc::new(Cell::new(0));
        let ran = others.clone();
        let beside = spawn(async move {
            loop {
                ran.set(ran.get() + 1);
                yield_now().await;
            }
        });
        let task = spawn(async move {
            loop {
                let work = poll_fn(|_| {
                    seen.set(seen.get() + 1);
                    Poll::<()>::Pending
                });
                assert_eq!(timeout(Duration::ZERO, work).await, Err(TimedOut));
            }
        });
        for _ in 0..20 {
            yield_now().await;
        }
        assert!(others.get() > 10, "{} turns for the others", others.get());
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        drop(beside);
    });
    // A poll each, and as often as it had its turn.
    assert!((10..25).contains(&polls.get()), "{} polls", polls.get());
}

#[test]
fn every_scope_that_ends_itself_at_once_lets_others_run() {
    let over = |n: u32| {
        Box::pin(async move {
            match n {
                0 => drop(timeout_scope(Some(time()), async |_| pending::<()>().await).await),
                1 => {
                    let stops = async |scope: CancelScope| {
                        scope.cancel();
                        pending::<()>().await;
                    };
                    assert_eq!(cancel_scope(stops).await, None);
                }
                _ => {
                    let inner = timeout(Duration::ZERO, pending::<()>());
                    assert_eq!(timeout(Duration::ZERO, inner).await, Err(TimedOut));
                }
            }
        }) as Pin<Box<dyn Future<Output = ()>>>
    };
    for n in 0..3 {
        run(async |_: Trace| {
            let task = spawn(async move {
                loop {
                    over(n).await;
                }
            });
            for _ in 0..5 {
                yield_now().await;
            }
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
        });
    }
}

// ---- what unwinds inside of a shield ----

/// Runs `work`, whose children are all cancelled by name after a millisecond, and tells when it has ended.
async fn children_cancelled<T: 'static>(
    work: impl Future<Output = T> + 'static,
) -> (Result<T, JoinError>, Duration) {
    let start = time();
    let mut task = spawn(work);
    sleep(ms(1)).await;
    for child in all_tasks().iter().filter(|task| task.is_child()) {
        assert!(child.cancel());
    }
    let ended = timeout(ms(1000), poll_fn(|cx| task.poll_finished(cx))).await;
    ended.expect("it does not hang");
    (task.await, time() - start)
}

// Proves rule 8.
#[test]
fn what_unwinds_of_its_own_accord_is_not_kept_by_a_shield() {
    run(async |_: Trace| {
        let contenders = || vec![pending::<()>(), pending()]; // tasks of their own, with names
        let is_cancelled = |end: (Result<(), JoinError>, Duration)| {
            assert!(end.0.unwrap_err().is_cancelled());
            end.1
        };
        let raced = children_cancelled(shield(race(contenders()))).await;
        assert_eq!(is_cancelled(raced), ms(1));
        let gathered = async move {
            shield(gather(contenders())).await;
        };
        assert_eq!(is_cancelled(children_cancelled(gathered).await), ms(1));
        // A branch beside it cleans up first. Its time runs from the beginning.
        let both = shield(async move {
            futures::join!(race(contenders()), on_cancel(pending::<()>(), sleep(ms(5))));
        });
        assert_eq!(is_cancelled(children_cancelled(both).await), ms(5));
        // A group in between ends in order.
        let group = shield(async move {
            let group = task_group(async |tg: TaskGroup<'_>| {
                tg.spawn(shield(async {
                    sleep(ms(5)).await;
                    Ok(())
                }));
                race(contenders()).await;
                Ok(())
            });
            group.await.unwrap();
        });
        assert_eq!(is_cancelled(children_cancelled(group).await), ms(5));
    });
}

#[test]
fn code_around_a_shield_hears_of_what_unwinds_inside() {
    run(async |_: Trace| {
        let work = async {
            let raced = catch_cancel(shield(race(vec![pending::<()>(), pending()]))).await;
            raced.expect_err("nobody won").swallow();
            sleep(ms(5)).await;
            "went on"
        };
        let (end, at) = children_cancelled(work).await;
        assert_eq!((end.unwrap(), at), ("went on", ms(6)));
    });
}

#[test]
fn a_request_that_is_resumed_inside_of_a_shield_goes_on_from_there() {
    let trace = run(async |trace| {
        let t = trace.clone();
        let limited = timeout(ms(1), async move {
            if let Err(cancelled) = catch_cancel(pending::<()>()).await {
                let t = t.clone();
                shield(async move {
                    sleep(ms(5)).await;
                    t.note("cleaned up");
                    cancelled.resume().await
                })
                .await;
                unreachable!("it has been resumed");
            }
        });
        let start = time();
        assert_eq!(limited.await, Err(TimedOut));
        assert_eq!(time() - start, ms(6));
    });
    assert_eq!(trace, ["cleaned up"]);
    // The same by a child of a group.
    run(async |_: Trace| {
        let limited = timeout(ms(1), async {
            if let Err(cancelled) = catch_cancel(pending::<()>()).await {
                let group = task_group(async |tg: TaskGroup<'_>| {
                    tg.spawn::<(), _>(shield(async {
                        sleep(ms(5)).await;
                        cancelled.resume().await
                    }));
                    Ok::<(), BoxError>(())
                });
                group.await.unwrap();
                pending().await
            }
        });
        let start = time();
        assert_eq!(limited.await, Err(TimedOut));
        assert_eq!(time() - start, ms(6));
    });
}

#[test]
fn a_loop_of_shields_that_never_wait_lets_others_run_while_it_is_cancelled() {
    run(async |_: Trace| {
        for limited in [false, true] {
            let shields = Rc::new(Cell::new(0));
            let count = shields.clone();
            let work = async move {
                while count.get() < 10_000 {
                    shield(yield_now()).await;
                    count.set(count.get() + 1);
                }
            };
            let task = spawn(async move {
                match limited {
                    true => drop(timeout_scope(Some(time()), async |_| work.await).await),
                    false => work.await,
                }
            });
            for _ in 0..3 {
                yield_now().await;
            }
            task.cancel();
            let before = shields.get();
            for _ in 0..5 {
                yield_now().await;
            }
            assert!(before < shields.get() && shields.get() < 5000);
            drop(task.await);
            assert_eq!(shields.get(), 10_000, "each runs to its end");
        }
    });
}

thread_local! {
    static LIMIT: RefCell<Option<TimeoutHandle>> = const { RefCell::new(None) };
}

/// A waker that looks at a time limit.
struct Looks;

impl Wake for Looks {
    fn wake(self: Arc<Self>) {
        LIMIT.with_borrow(|limit| assert!(limit.as_ref().unwrap().when().is_some()));
    }
}

#[test]
fn a_limit_that_is_moved_to_now_may_be_looked_at_by_who_is_woken_for_it() {
    run(async |_: Trace| {
        let mut limited = pin!(timeout_scope(None, async |limit: TimeoutHandle| {
            LIMIT.set(Some(limit));
            pending::<()>().await;
        }));
        let waker = Waker::from(Arc::new(Looks));
        let poll = limited.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(poll.is_pending());
        let limit = LIMIT.with_borrow(|limit| limit.clone().unwrap());
        limit.reschedule(Some(time())).unwrap();
        assert_eq!(limited.await, Err(TimedOut));
    });
}

// ---- loops that are cancelled in each round ----

/// Something that waits, and swallows the request which ends it.
async fn swallows() {
    if let Err(cancelled) = catch_cancel(pending::<()>()).await {
        cancelled.swallow();
    }
}

/// Each of these opens a scope that is cancelled at once, and lives on.
async fn cancelled_and_swallowed(how: usize) {
    match how {
        0 => {
            let work = cancel_scope(async |scope: CancelScope| {
                scope.cancel();
                swallows().await;
            });
            assert!(work.await.is_some());
        }
        1 => timeout(Duration::ZERO, swallows()).await.unwrap(),
        2 => {
            let limit = timeout_scope(None, async |limit: TimeoutHandle| {
                limit.reschedule(Some(time())).unwrap();
                swallows().await;
            });
            limit.await.unwrap();
        }
        3 => {
            current_task().unwrap().cancel();
            swallows().await;
        }
        4 => {
            // Polled once, so that it is no new scope any more when it ends.
            let handle = RefCell::new(None);
            let mut work = pin!(cancel_scope(async |scope: CancelScope| {
                handle.replace(Some(scope));
                pending::<()>().await;
            }));
            assert!(futures::poll!(work.as_mut()).is_pending());
            handle.take().unwrap().cancel();
            assert!(work.await.is_none());
        }
        5 => {
            let group = task_group(async |tg: TaskGroup<'_>| {
                tg.spawn_with(SpawnOptions::new().eager_start(), async {
                    swallows().await;
                    Ok(())
                });
                tg.cancel();
                Ok(())
            });
            group.await.unwrap();
        }
        6 => shield(timeout(Duration::ZERO, swallows())).await.unwrap(),
        7 => {
            let swallows = || timeout(Duration::ZERO, swallows());
            futures::future::join(swallows(), swallows())
                .await
                .0
                .unwrap();
        }
        _ => unreachable!(),
    }
}

#[test]
fn a_loop_of_scopes_that_are_cancelled_at_once_lets_others_run() {
    for how in 0..8 {
        run(async move |_: Trace| {
            let (rounds, done) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
            let (counted, ends) = (rounds.clone(), done.clone());
            let task = spawn(async move {
                while !ends.get() {
                    cancelled_and_swallowed(how).await;
                    counted.set(counted.get() + 1);
                    assert!(counted.get() < 10_000, "{how}: nobody else has a turn");
                }
            });
            for _ in 0..100 {
                yield_now().await;
            }
            done.set(true);
            task.await.unwrap();
            assert!(rounds.get() < 100 * 40, "{how}: {} rounds", rounds.get());
        });
    }
}

#[test]
fn many_scopes_that_end_in_one_step_are_not_put_off() {
    run(async |_: Trace| {
        let polls = Rc::new(Cell::new(0));
        let counted = polls.clone();
        let limited = move |_| {
            let counted = counted.clone();
            let mut work = Box::pin(async {
                timeout(ms(1), pending::<()>()).await.unwrap_err();
                timeout(Duration::ZERO, swallows()).await.unwrap();
            });
            poll_fn(move |cx| {
                counted.set(counted.get() + 1);
                work.as_mut().poll(cx)
            })
        };
        futures::future::join_all((0..1_000).map(limited)).await;
        assert!(polls.get() <= 4_000, "{} polls", polls.get());
    });
}
