//! Groups, rule by rule: what runs when, who is told what, and what comes out in which order.
#![allow(
    elided_lifetimes_in_paths,
    reason = "`|tg: TaskGroup|`, as users write it"
)]

#[allow(dead_code, reason = "the other tests need more of it")]
#[path = "../../../asyncio-sync/tests/hostile/hooked_waker.rs"]
mod hooked_waker;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::support::{Trace, run};
use asyncio_executors::{
    Child, NeverReady, Ready, TaskGroup, catch_cancel, gather, on_cancel, race, shield, task_group,
    timeout,
};
use asyncio_loop::{JoinError, SpawnOptions, current_task, sleep, spawn, yield_now};

type Group<'env> = TaskGroup<'env, &'static str>;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn what_is_spawned_waits_for_the_next_tick_and_a_step_of_the_group_is_one() {
    let seen = run(async |trace| {
        let beside = trace.clone();
        let other = spawn(async move {
            for tick in ["tick 1", "tick 2", "tick 3"] {
                beside.note(tick);
                yield_now().await;
            }
        });
        let note = |what| trace.note(what);
        task_group(async |tg: Group| {
            note("body");
            let group = tg.clone();
            tg.spawn(async move {
                note("child");
                group.spawn(async move {
                    note("grandchild");
                    Ok(())
                });
                Ok(())
            });
            Ok(())
        })
        .await
        .unwrap();
        other.await.unwrap();
    });
    let expected = ["body", "tick 1", "child", "tick 2", "grandchild", "tick 3"];
    assert_eq!(seen, expected);
}

#[test]
fn one_failure_asks_each_child_once_also_one_that_the_body_awaits() {
    // The awaited child cleans up when the body hears of the failure.
    let seen = run(async |trace| {
        let outcome = task_group(async |tg: Group| {
            tg.spawn(async {
                sleep(ms(1)).await;
                Err::<(), _>("boom")
            });
            let awaited = tg.spawn(async {
                let cleanup = async {
                    for _ in 0..5 {
                        yield_now().await;
                    }
                    trace.note("cleaned up");
                };
                on_cancel(pending::<()>(), cleanup).await;
                Ok(())
            });
            let _: Result<(), _> = awaited.await;
            trace.note("the body goes on");
            Ok(())
        })
        .await;
        assert_eq!(outcome.unwrap_err().errors(), ["boom"]);
    });
    assert_eq!(seen, ["cleaned up"]);
}

#[test]
fn a_value_of_an_awaited_child_does_not_keep_the_body_of_a_failing_group() {
    let seen = run(async |trace| {
        let outcome = task_group(async |tg: Group| {
            tg.spawn(async {
                sleep(ms(1)).await;
                Err::<(), _>("boom")
            });
            let awaited = tg.spawn(async {
                if let Err(request) = catch_cancel(pending::<()>()).await {
                    request.swallow();
                }
                yield_now().await;
                Ok("a value all the same")
            });
            let value = awaited.await.unwrap();
            trace.note(value);
            sleep(ms(1)).await;
            trace.note("the body goes on");
            Ok(())
        })
        .await;
        assert_eq!(outcome.unwrap_err().errors(), ["boom"]);
    });
    assert_eq!(seen, ["a value all the same"]);
}

/// The failure of a body here that awaited a child without a value.
impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        Self::Join(error.to_string())
    }
}

#[derive(Debug, PartialEq)]
enum Failure {
    Own(&'static str),
    Join(String),
}

#[test]
fn who_awaits_a_child_that_fails_is_cancelled_and_adds_no_error() {
    type Group<'env> = TaskGroup<'env, Failure>;
    async fn child(n: u32) -> Result<u32, Failure> {
        sleep(ms(1)).await;
        match n {
            13 => Err(Failure::Own("thirteen")),
            n => Ok(n),
        }
    }
    async fn panics() -> Result<u32, Failure> {
        sleep(ms(1)).await;
        panic!("a bug")
    }
    run(async |_: Trace| {
        // The first one has woken the body, in the step in which the second one fails.
        let outcome = task_group(async |tg: Group| {
            let (a, b) = (tg.spawn(child(1)), tg.spawn(child(13)));
            Ok(a.await? + b.await?)
        });
        assert_eq!(
            outcome.await.unwrap_err().errors(),
            [Failure::Own("thirteen")]
        );

        // So it is with one who fails before its spawn returns.
        let outcome = task_group(async |tg: Group| {
            let fails = async { Err::<(), _>(Failure::Own("at once")) };
            let child = tg.spawn_with(SpawnOptions::new().eager_start(), fails);
            assert!(child.is_finished());
            child.await?;
            Ok(())
        });
        assert_eq!(
            outcome.await.unwrap_err().errors(),
            [Failure::Own("at once")]
        );

        // And with a sibling.
        let outcome = task_group(async |tg: Group| {
            let (a, b) = (tg.spawn(child(1)), tg.spawn(child(13)));
            tg.spawn(async { Ok(a.await? + b.await?) });
            Ok(())
        });
        assert_eq!(
            outcome.await.unwrap_err().errors(),
            [Failure::Own("thirteen")]
        );

        // When all is cancelled, and one fails in its cleanup.
        let outcome = spawn(async {
            let group = task_group(async |tg: Group| {
                let child = tg.spawn(async {
                    catch_cancel(pending::<()>())
                        .await
                        .map_err(|_| Failure::Own("in a cleanup"))
                });
                child.await?;
                Ok(())
            });
            group.await.unwrap_err().into_first()
        });
        sleep(ms(1)).await;
        outcome.cancel();
        assert_eq!(outcome.await.unwrap(), Failure::Own("in a cleanup"));

        // A panic goes on as what it is.
        let outcome = spawn(async {
            task_group(async |tg: Group| {
                let (a, b) = (tg.spawn(child(1)), tg.spawn(panics()));
                Ok(a.await? + b.await?)
            })
            .await
        });
        assert!(outcome.await.unwrap_err().is_panic());
    });
}

#[test]
fn a_child_that_failed_says_so_in_a_cleanup_and_after_the_group() {
    run(async |_: Trace| {
        let kept = RefCell::new(None);
        let outcome = task_group(async |tg: Group| {
            let fails = tg.spawn(async { Err::<(), _>("boom") });
            if let Err(request) = catch_cancel(pending::<()>()).await {
                let error = fails.await.unwrap_err();
                assert!(matches!(error, JoinError::Failed(_)), "{error}");
                kept.replace(Some(tg.spawn(async { Ok(()) })));
                request.resume().await
            }
            Ok(())
        });
        assert_eq!(outcome.await.unwrap_err().errors(), ["boom"]);
        assert!(kept.take().unwrap().await.unwrap_err().is_cancelled());

        let kept = RefCell::new(None);
        let outcome = task_group(async |tg: Group| {
            kept.replace(Some(tg.spawn(async { Err::<(), _>("boom") })));
            Ok(())
        });
        assert_eq!(outcome.await.unwrap_err().errors(), ["boom"]);
        let error = kept.take().unwrap().await.unwrap_err();
        assert!(matches!(error, JoinError::Failed(_)), "{error}");
    });
}

#[test]
fn awaiting_a_child_under_a_time_limit_cancels_it() {
    let seen = run(async |trace| {
        task_group(async |tg: Group| {
            let child: Child<'_, ()> = tg.spawn(async {
                on_cancel(pending::<()>(), async { trace.note("told") }).await;
                Ok(())
            });
            assert!(timeout(ms(1), child).await.is_err());
            trace.note("timed out");
            Ok(())
        })
        .await
        .unwrap();
    });
    assert_eq!(seen, ["told", "timed out"]);
}

#[test]
fn cancel_spares_the_body_whose_value_is_the_groups() {
    let seen = run(async |trace| {
        let value = task_group(async |tg: Group| {
            tg.spawn(async {
                on_cancel(pending::<()>(), async { trace.note("told") }).await;
                Ok(())
            });
            sleep(ms(1)).await;
            tg.cancel();
            assert!(tg.try_spawn(async { Ok(()) }).is_err());
            sleep(ms(1)).await;
            trace.note("the body goes on");
            Ok(5)
        });
        assert_eq!(value.await.unwrap(), 5);
    });
    assert_eq!(seen, ["told", "the body goes on"]);
}

#[test]
fn the_handle_of_a_child_counts_the_requests_to_it() {
    run(async |_: Trace| {
        let group = task_group(async |tg: TaskGroup<'_>| {
            let child = tg.spawn_ok(shield(sleep(ms(2))));
            sleep(ms(1)).await;
            assert_eq!(child.cancelling(), 0);
            assert!(child.cancel() && child.cancel());
            assert_eq!(child.cancelling(), 2);
            tg.cancel();
            assert_eq!(child.cancelling(), 3);
            Ok(())
        });
        group.await.unwrap();
    });
}

#[test]
fn a_second_request_interrupts_the_cleanups_but_not_the_wait_and_shields_hold() {
    let seen = run(async |trace| {
        let noted = trace.clone();
        let task = spawn(async move {
            let note = |what| noted.note(what);
            task_group(async |tg: Group| {
                tg.spawn(async {
                    let cleanup = on_cancel(sleep(ms(50)), async { note("interrupted") });
                    on_cancel(pending::<()>(), cleanup).await;
                    Ok(())
                });
                tg.spawn(async {
                    on_cancel(pending::<()>(), shield(sleep(ms(50)))).await;
                    Ok(())
                });
                tg.spawn(async {
                    let cleanup = shield(async {
                        sleep(ms(50)).await;
                        note("shielded");
                    });
                    on_cancel(pending::<()>(), cleanup).await;
                    Ok(())
                });
                Ok(())
            })
            .await
        });
        sleep(ms(10)).await;
        task.cancel();
        sleep(ms(10)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    });
    assert_eq!(seen, ["interrupted", "shielded"]);
}

#[test]
fn errors_come_in_the_order_in_which_children_end_and_the_bodys_last() {
    run(async |_: Trace| {
        let fails = |after: u64, error| async move {
            if let Err(request) = catch_cancel(pending::<()>()).await {
                sleep(ms(after)).await;
                drop(request);
            }
            Err::<(), _>(error)
        };
        let outcome = task_group(async |tg: Group| {
            tg.spawn(fails(3, "third"));
            tg.spawn(fails(2, "second"));
            tg.spawn(async {
                sleep(ms(1)).await;
                Err::<(), _>("first")
            });
            fails(0, "the body").await
        });
        let errors = outcome.await.unwrap_err();
        assert_eq!(errors.errors(), ["first", "second", "third", "the body"]);
    });
}

#[test]
fn a_limit_lets_so_many_run_in_order_and_one_that_is_cancelled_in_the_line_never_starts() {
    let seen = run(async |trace| {
        let note = |what| trace.note(what);
        task_group(async |tg: Group| {
            tg.limit(1);
            let mut children: Vec<_> = ["first", "second", "third"]
                .map(|name| {
                    tg.spawn(async move {
                        note(name);
                        sleep(ms(1)).await;
                        Ok(())
                    })
                })
                .into();
            yield_now().await;
            yield_now().await;
            children.remove(1).cancel();
            Ok(())
        })
        .await
        .unwrap();
    });
    assert_eq!(seen, ["first", "third"]);
}

#[test]
fn spawn_when_free_waits_its_turn_and_gives_it_up_when_it_is_cancelled() {
    run(async |_: Trace| {
        let started = Cell::new(0);
        task_group(async |tg: Group| {
            tg.limit(2);
            let work = || async {
                started.set(started.get() + 1);
                sleep(ms(10)).await;
                Ok(())
            };
            tg.spawn_when_free(work()).await;
            tg.spawn_when_free(work()).await;
            assert!(timeout(ms(1), tg.spawn_when_free(work())).await.is_err());
            assert_eq!((tg.len(), started.get()), (2, 2));
            tg.spawn_when_free(work()).await;
            yield_now().await;
            yield_now().await;
            assert_eq!(started.get(), 3);
            Ok(())
        })
        .await
        .unwrap();
    });
}

#[test]
fn a_child_that_ends_before_it_is_ready_is_an_error_for_whoever_starts_it() {
    run(async |_: Trace| {
        task_group(async |tg: Group| {
            let early = tg.start(async |_: Ready<u8>| Ok(())).await;
            assert_eq!(early.err(), Some(NeverReady));
            tg.cancel();
            let says = async |ready: Ready<u8>| {
                ready.set(1);
                Ok(())
            };
            let refused = tg.start(says).await;
            assert_eq!(refused.err(), Some(NeverReady));
            Ok(())
        })
        .await
        .unwrap();
    });
}

#[test]
fn a_start_ends_when_its_ready_is_dropped_although_the_child_goes_on() {
    run(async |_: Trace| {
        task_group(async |tg: Group| {
            let silent = tg.start(async |ready: Ready<u8>| {
                drop(ready);
                sleep(ms(1000)).await;
                Ok(())
            });
            let silent = timeout(ms(1), silent).await;
            assert_eq!(silent.unwrap().err(), Some(NeverReady));
            Ok(())
        })
        .await
        .unwrap();
    });
}

#[test]
fn a_start_ends_with_its_child_wherever_its_ready_is_kept() {
    run(async |_: Trace| {
        let kept: RefCell<Option<Ready<u32>>> = RefCell::new(None);
        let started = task_group(async |tg: Group| {
            let ends = tg.start(async |ready: Ready<u32>| {
                kept.replace(Some(ready));
                Ok(())
            });
            assert_eq!(ends.await.unwrap_err(), NeverReady);
            kept.take().unwrap().set(1); // too late, and nobody minds

            let cancelled = tg.start(async |ready: Ready<u32>| {
                kept.replace(Some(ready));
                current_task().unwrap().cancel();
                pending::<Result<(), _>>().await
            });
            assert_eq!(cancelled.await.unwrap_err(), NeverReady);

            // Said by somebody else, before the child ended.
            let said = tg.start(async |ready: Ready<u32>| {
                kept.replace(Some(ready));
                yield_now().await;
                kept.take().unwrap().set(7);
                Ok(())
            });
            Ok(said.await.unwrap().0)
        });
        assert_eq!(timeout(ms(5), started).await.unwrap().unwrap(), 7);
    });
}

#[test]
fn a_start_whose_child_fails_is_told_of_once() {
    run(async |_: Trace| {
        for kept in [false, true] {
            let elsewhere = RefCell::new(None);
            let outcome = task_group(async |tg: TaskGroup| {
                let child = async |ready: Ready<()>| {
                    let mut ready = Some(ready);
                    if kept {
                        elsewhere.replace(ready.take());
                    }
                    sleep(ms(1)).await;
                    Err::<(), asyncio_executors::BoxError>("no port".into())
                };
                tg.start(child).await?;
                Ok(())
            });
            let errors = outcome.await.unwrap_err();
            assert_eq!(errors.to_string(), "1 task failed\n└─ no port");
        }
    });
}

#[test]
fn a_child_that_is_spawned_when_free_comes_after_those_that_were_spawned_before() {
    let seen = run(async |trace| {
        let running = Cell::new(0);
        task_group(async |tg: Group| {
            tg.limit(2);
            let child = async |name| {
                trace.note(name);
                running.set(running.get() + 1);
                assert!(running.get() <= 2, "{name} is one too many");
                sleep(ms(1)).await;
                running.set(running.get() - 1);
                Ok(())
            };
            for name in ["a", "b", "c"] {
                tg.spawn(child(name));
            }
            tg.spawn_when_free(child("d")).await;
            Ok(())
        })
        .await
        .unwrap();
    });
    assert_eq!(seen, ["a", "b", "c", "d"]);
}

#[test]
fn a_place_that_is_given_back_while_a_waker_is_cloned_is_had() {
    run(async |_: Trace| {
        task_group(async |tg: Group| {
            tg.limit(1);
            tg.spawn(async {
                sleep(ms(1)).await;
                Ok(())
            });
            let mut granted = Box::pin(tg.spawn_when_free(async { Ok(1) }));
            let mut noop = std::task::Context::from_waker(Waker::noop());
            assert!(granted.as_mut().poll(&mut noop).is_pending());
            sleep(ms(2)).await;
            let mut waits = Box::pin(tg.spawn_when_free(async { Ok(2) }));
            let waker = hooked_waker::Hooks::on_clone(move || drop(granted));
            let mut cx = std::task::Context::from_waker(&waker);
            let Poll::Ready(child) = waits.as_mut().poll(&mut cx) else {
                panic!("a place is free, and it waits for one");
            };
            assert_eq!(child.await.unwrap(), 2);
            Ok(())
        })
        .await
        .unwrap();
    });
}

#[test]
fn a_start_that_is_cancelled_cancels_what_it_started() {
    let seen = run(async |trace| {
        task_group(async |tg: Group| {
            let start = tg.start(async |_ready: Ready<u8>| {
                on_cancel(pending::<()>(), async { trace.note("told") }).await;
                Ok(())
            });
            assert!(timeout(ms(1), start).await.is_err());
            Ok(())
        })
        .await
        .unwrap();
    });
    assert_eq!(seen, ["told"]);
}

#[test]
fn losers_of_a_race_and_siblings_of_a_gather_are_waited_for() {
    let seen = run(async |trace| {
        let slow = async |after, name| {
            on_cancel(sleep(ms(after)), async {
                sleep(ms(5)).await;
                trace.note("cleaned up");
            })
            .await;
            name
        };
        assert_eq!(race([slow(1, "near"), slow(100, "far")]).await, "near");
        let both = timeout(ms(1), gather((slow(100, "a"), slow(100, "b"))));
        assert!(both.await.is_err());
    });
    assert_eq!(seen, ["cleaned up"; 3]);
}

#[test]
fn a_child_that_panics_in_its_eager_first_step_is_a_panic_of_the_group() {
    let seen = run(async |trace| {
        let noted = trace.clone();
        let task = spawn(async move {
            let outcome: Result<(), _> = task_group(async |tg: Group| {
                tg.spawn(async {
                    let told = async { noted.note("told") };
                    on_cancel(pending::<()>(), told).await;
                    Ok(())
                });
                yield_now().await;
                yield_now().await;
                let eager = SpawnOptions::new().eager_start();
                let mut child: Child<'_, ()> = tg.spawn_with(eager, async { panic!("at once") });
                let error = child.try_take().unwrap().unwrap_err();
                assert!(matches!(error, JoinError::Failed(_)), "the group has it");
                Ok(())
            })
            .await;
            outcome.unwrap();
        });
        let JoinError::Panicked(_, payload) = task.await.unwrap_err() else {
            unreachable!("it panicked")
        };
        assert_eq!(payload.message(), "at once");
        trace.note("the group panicked");
    });
    assert_eq!(seen, ["told", "the group panicked"]);
}

#[test]
fn whoever_cancels_one_of_those_gathered_cancels_the_others_and_whoever_gathers() {
    let seen = run(async |trace| {
        let noted = trace.clone();
        let task = spawn(async move {
            let cut = async {
                sleep(ms(1)).await;
                current_task().unwrap().cancel();
                pending::<()>().await;
            };
            let other = on_cancel(pending::<()>(), async { noted.note("told") });
            gather((other, cut)).await;
        });
        assert!(task.await.unwrap_err().is_cancelled());
        trace.note("cancelled");
    });
    assert_eq!(seen, ["told", "cancelled"]);
}

#[test]
fn a_turn_costs_polls_of_those_that_were_woken_however_many_children_there_are() {
    const CHILDREN: usize = 100_000;
    const WOKEN: usize = 3;
    run(async |_: Trace| {
        let (polls, body_polls) = (Cell::new(0), Cell::new(0));
        let wakers = RefCell::new(Vec::new());
        let group = task_group(async |tg: Group| {
            for n in 0..CHILDREN {
                let (polls, wakers) = (&polls, &wakers);
                let child = poll_fn(move |cx| {
                    polls.set(polls.get() + 1);
                    if n < WOKEN && wakers.borrow().len() < WOKEN {
                        wakers.borrow_mut().push(cx.waker().clone());
                    }
                    Poll::<Result<(), _>>::Pending
                });
                drop(tg.spawn(child));
            }
            tg.spawn(async {
                assert_eq!(polls.get(), CHILDREN, "each has begun");
                for turn in 1..=10 {
                    wakers.borrow().iter().for_each(Waker::wake_by_ref);
                    yield_now().await;
                    assert_eq!(polls.get(), CHILDREN + WOKEN * turn);
                }
                assert_eq!(body_polls.get(), 1, "nobody woke the body");
                Err::<(), _>("enough")
            });
            poll_fn(|_| {
                body_polls.set(body_polls.get() + 1);
                Poll::<Result<(), _>>::Pending
            })
            .await
        });
        assert_eq!(group.await.unwrap_err().errors(), ["enough"]);
    });
}

#[test]
fn a_spawn_into_a_group_that_has_finished_is_reported_with_name_and_place() {
    let seen = run(async |trace: Trace<String>| {
        let reports = trace.clone();
        asyncio_loop::set_exception_handler(move |unhandled| {
            reports.note(unhandled.to_string());
        });
        let kept = RefCell::new(None);
        let group = task_group(async |tg: Group| {
            tg.cancel();
            drop(tg.spawn(async { Ok(()) })); // it is ending, which nobody need know
            kept.replace(Some(tg));
            Ok(())
        });
        group.await.unwrap();
        let tg = kept.take().unwrap();
        let named = SpawnOptions::new().name("late");
        assert!(tg.spawn_with(named, async { Ok(()) }).is_finished());
        assert!(tg.spawn(async { Ok(()) }).is_finished());
        assert!(tg.spawn_when_free(async { Ok(()) }).await.is_finished());
        assert!(tg.try_spawn(async { Ok(()) }).is_err(), "who asks is told");
    });
    assert_eq!(seen.len(), 3);
    let message = "a child was spawned into a task group that has finished";
    assert!(
        seen[0].starts_with(&format!("{message}: late, spawned at ")),
        "{}",
        seen[0]
    );
    for report in seen {
        assert!(report.contains("groups.rs:"), "{report}");
    }
}

/// A thread of a test has 2 MiB, and debug builds need the most. The page of `task_group` has the cost of a level. With
/// full debug information, which these tests are built without, a level takes a fourth more: 500 groups fit then.
mod nested_in_the_stack_of_a_test {
    use super::*;

    type Nested = Pin<Box<dyn Future<Output = u32>>>;

    fn assert_fit(levels: u32, nest: fn(u32) -> Nested) {
        let thread = std::thread::Builder::new().stack_size(2 << 20);
        let depth = thread.spawn(move || asyncio_loop::run(nest(levels)));
        assert_eq!(depth.unwrap().join().unwrap(), levels);
    }

    #[test]
    fn fit_600_groups_each_in_a_child() {
        fn nest(depth: u32) -> Nested {
            Box::pin(async move {
                if depth == 0 {
                    yield_now().await;
                    return 0;
                }
                let group = task_group(async |tg: TaskGroup| {
                    let child = tg.spawn(async move { Ok(nest(depth - 1).await) });
                    Ok(child.await?)
                });
                1 + group.await.expect("nobody fails")
            })
        }
        assert_fit(600, nest);
    }

    #[test]
    fn fit_600_groups_each_in_a_body() {
        fn nest(depth: u32) -> Nested {
            Box::pin(async move {
                if depth == 0 {
                    yield_now().await;
                    return 0;
                }
                let group = task_group(async |_: TaskGroup| Ok(1 + nest(depth - 1).await));
                group.await.expect("nobody fails")
            })
        }
        assert_fit(600, nest);
    }

    #[test]
    fn fit_1500_time_limits() {
        fn nest(depth: u32) -> Nested {
            Box::pin(async move {
                if depth == 0 {
                    yield_now().await;
                    return 0;
                }
                let limit = std::time::Duration::from_secs(60);
                1 + timeout(limit, nest(depth - 1)).await.expect("in time")
            })
        }
        assert_fit(1500, nest);
    }
}
