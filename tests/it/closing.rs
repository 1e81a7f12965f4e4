//! The ends of cleanups, groups, shields and parked scopes when their loop closes.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use asyncio::{
    Cancelled, CatchCancel, TaskGroup, catch_cancel, on_cancel, shield, sleep, spawn, task_group,
    time, timeout, yield_now,
};
use asyncio_tests::{Trace, forever, run_virtual, secs};

/// Waits, cleans up for some seconds when it is cancelled, and notes when it began and when it was clean.
async fn cleans_up(trace: Trace, name: &'static str, takes: u64) {
    let start = time();
    let cleanup = async {
        trace.note(format!("{name} cleans up"));
        let began = time();
        sleep(secs(takes)).await;
        trace.note(format!("{name} is clean after {:?}", time() - began));
    };
    on_cancel(forever(), cleanup).await;
    trace.note(format!("never: {:?}", time() - start));
}

#[test]
fn cleanups_that_wait_come_to_their_end() {
    let seen = run_virtual(async |trace| {
        spawn(cleans_up(trace.clone(), "slow", 3600)).detach();
        spawn(cleans_up(trace.clone(), "quick", 1)).detach();
        yield_now().await;
    });
    assert_eq!(
        seen,
        [
            "slow cleans up",
            "quick cleans up",
            "quick is clean after 1s",
            "slow is clean after 3600s"
        ]
    );
}

#[test]
fn groups_shields_and_time_limits_go_by_their_rules() {
    let seen = run_virtual(async |trace| {
        let noted = trace.clone();
        let group = async move {
            let group = task_group(async |tg: TaskGroup<'_>| {
                tg.spawn(async {
                    cleans_up(noted.clone(), "child", 2).await;
                    Ok(())
                });
                cleans_up(noted.clone(), "body", 1).await;
                Ok(())
            });
            on_cancel(group, async { noted.note("the group has ended") }).await
        };
        spawn(async { drop(group.await) }).detach();
        let noted = trace.clone();
        spawn(async move {
            shield(async {
                sleep(secs(10)).await;
                noted.note("the shield is done");
            })
            .await;
            sleep(secs(1)).await;
            noted.note("never");
        })
        .detach();
        let noted = trace.clone();
        spawn(on_cancel(forever(), async move {
            let limited = timeout(secs(5), cleans_up(noted.clone(), "limited", 1)).await;
            noted.note(format!("in the cleanup: {limited:?}"));
        }))
        .detach();
        yield_now().await;
        yield_now().await;
    });
    assert_eq!(
        seen,
        [
            "body cleans up",
            "child cleans up",
            "body is clean after 1s",
            "child is clean after 2s",
            "the group has ended",
            "limited cleans up",
            "limited is clean after 1s",
            "in the cleanup: Err(TimedOut)",
            "the shield is done",
        ]
    );
}

#[test]
fn what_begins_in_a_later_round_is_cancelled_there() {
    // A cleanup may take another task along; that one is asked in the round after.
    let seen = run_virtual(async |trace| {
        let noted = trace.clone();
        spawn(on_cancel(forever(), async move {
            noted.note("spawns a helper");
            spawn(cleans_up(noted.clone(), "the helper", 1)).detach();
            sleep(secs(1)).await;
            noted.note("has ended");
        }))
        .detach();
        yield_now().await;
    });
    assert_eq!(
        seen,
        [
            "spawns a helper",
            "has ended",
            "the helper cleans up",
            "the helper is clean after 1s"
        ]
    );
}

#[test]
fn a_request_that_is_swallowed_has_the_task_run_to_its_own_end() {
    let seen = run_virtual(async |trace| {
        let noted = trace.clone();
        spawn(async move {
            if let Err(cancelled) = catch_cancel(forever()).await {
                cancelled.swallow();
            }
            sleep(secs(60)).await;
            noted.note("in its own time");
        })
        .detach();
        yield_now().await;
    });
    assert_eq!(seen, ["in its own time"]);
}

/// A scope that was polled and put aside, as a `select!` in a loop does.
type Parked = Pin<Box<CatchCancel<Pin<Box<dyn Future<Output = ()>>>>>>;

fn park(trace: &Trace) -> Parked {
    let note = trace.on_drop("the parked work is dropped");
    let work: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async move {
        let _note = note;
        forever().await;
    });
    Box::pin(catch_cancel(work))
}

async fn poll_once(parked: &mut Parked) {
    std::future::poll_fn(|cx| {
        assert!(parked.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

#[test]
fn a_parked_scope_is_not_waited_for_and_its_task_ends_without_it() {
    let seen = run_virtual(async |trace| {
        let noted = trace.clone();
        let task = spawn(async move {
            let mut parked = park(&noted);
            poll_once(&mut parked).await;
            on_cancel(forever(), async { noted.note("the other cleans up") }).await;
        });
        sleep(secs(1)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        trace.note("the task has ended");
    });
    assert_eq!(
        seen,
        [
            "the other cleans up",
            "the parked work is dropped",
            "the task has ended"
        ]
    );
}

#[test]
fn a_parked_scope_hears_when_it_is_polled_again_if_the_request_is_still_open() {
    for swallow in [false, true] {
        let seen = run_virtual(async |trace| {
            let noted = trace.clone();
            let task = spawn(async move {
                let mut parked = park(&noted);
                poll_once(&mut parked).await;
                let Err(cancelled) = catch_cancel(forever()).await else {
                    unreachable!("it never ends by itself")
                };
                let held: Option<Cancelled> = if swallow {
                    cancelled.swallow();
                    None
                } else {
                    Some(cancelled)
                };
                let start = time();
                // It hears of the limit, if of nothing before.
                if let Ok(Err(heard)) = timeout(secs(7), parked).await {
                    noted.note(format!("it hears after {:?}", time() - start));
                    drop(heard);
                }
                drop(held);
            });
            sleep(secs(1)).await;
            task.cancel();
            task.await.unwrap();
        });
        let what = if swallow {
            "it hears after 7s"
        } else {
            "it hears after 0ns"
        };
        assert_eq!(seen, ["the parked work is dropped", what]);
    }
}

#[test]
fn a_loop_closes_over_a_scope_that_was_parked_outside_of_its_task() {
    let kept: Rc<RefCell<Option<Parked>>> = Rc::default();
    let keep = kept.clone();
    let seen = run_virtual(async |trace| {
        let noted = trace.clone();
        spawn(async move {
            let mut parked = park(&noted);
            poll_once(&mut parked).await;
            keep.replace(Some(parked));
            cleans_up(noted, "the task", 1).await;
        })
        .detach();
        yield_now().await;
    });
    assert_eq!(seen, ["the task cleans up", "the task is clean after 1s"]);
    drop(kept.take());
}

#[test]
fn a_loop_closes_over_a_token_that_is_kept_for_ever() {
    // The task holds itself up: it ends with its next request, which the next round brings.
    let kept: Rc<RefCell<Option<Cancelled>>> = Rc::default();
    let keep = kept.clone();
    let seen = run_virtual(async |trace| {
        let noted = trace.clone();
        spawn(async move {
            *keep.borrow_mut() = catch_cancel(forever()).await.err();
            noted.note("keeps it, and returns");
        })
        .detach();
        yield_now().await;
    });
    assert_eq!(seen, ["keeps it, and returns"]);
    drop(kept.take());
}

/// One cause never interrupts the cleanup that it began: the drop of a handle, the end of main and the closing of
/// the loop are one (rule 7).
mod one_cause {
    use super::*;
    use asyncio::{BoxError, EventLoop, JoinError, Task, current_task, try_finally};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    /// Cleans up for a second when it is cancelled.
    fn cleaning(trace: &Trace, name: &'static str) -> Task<()> {
        spawn(cleans_up(trace.clone(), name, 1))
    }

    fn cleaned(name: &str) -> [String; 2] {
        [
            format!("{name} cleans up"),
            format!("{name} is clean after 1s"),
        ]
    }

    #[test]
    fn main_holds_the_handle() {
        let seen = run_virtual(async |trace| {
            let _held = cleaning(trace, "it");
            yield_now().await;
        });
        assert_eq!(seen, cleaned("it"));
    }

    #[test]
    fn main_holds_it_in_what_it_owns() {
        struct Owner {
            tasks: Option<Box<Task<()>>>,
        }
        let seen = run_virtual(async |trace| {
            let tasks = Some(Box::new(cleaning(trace, "it")));
            let owner = Owner { tasks };
            yield_now().await;
            assert!(owner.tasks.is_some_and(|task| !task.is_finished()));
        });
        assert_eq!(seen, cleaned("it"));
    }

    #[test]
    fn a_cleanup_on_both_ways_is_one_too() {
        let seen = run_virtual(async |trace| {
            let noted = trace.clone();
            let cleanup = async move {
                sleep(secs(1)).await;
                noted.note("clean");
            };
            let _held = spawn(try_finally(forever(), cleanup));
            sleep(secs(1)).await;
        });
        assert_eq!(seen, ["clean"]);
    }

    #[test]
    fn children_of_groups_inside_are_not_cut_either() {
        let seen = run_virtual(async |trace| {
            let noted = trace.clone();
            let _held = spawn(async move {
                let outer = task_group(async |tg: TaskGroup<'_>| {
                    tg.spawn(async {
                        task_group(async |tg: TaskGroup<'_>| {
                            tg.spawn(async {
                                cleans_up(noted.clone(), "inner", 1).await;
                                Ok(())
                            });
                            Ok(())
                        })
                        .await?;
                        Ok(())
                    });
                    cleans_up(noted.clone(), "body", 2).await;
                    Ok(())
                });
                outer.await
            });
            yield_now().await;
            yield_now().await;
        });
        assert_eq!(
            seen,
            [
                "body cleans up",
                "inner cleans up",
                "inner is clean after 1s",
                "body is clean after 2s"
            ]
        );
    }

    #[test]
    fn a_task_that_a_held_one_awaits_is_asked_once_by_both() {
        let seen = run_virtual(async |trace| {
            let awaited = cleaning(trace, "awaited");
            let _held = spawn(awaited);
            yield_now().await;
            yield_now().await;
        });
        assert_eq!(seen, cleaned("awaited"));
    }

    /// It is polled once more, and only then comes to wait for the other: the request that it has passed on is the
    /// one that the other cleans up for.
    #[test]
    fn letting_go_stays_what_it_is_when_it_is_passed_on_late() {
        let seen = run_virtual(async |trace| {
            let awaited = cleaning(trace, "awaited");
            yield_now().await;
            awaited.cancel();
            yield_now().await; // it cleans up
            let _held = spawn(async move {
                yield_now().await; // woken, when it is let go
                drop(awaited.await);
            });
            yield_now().await;
        });
        assert_eq!(seen, cleaned("awaited"));
    }

    /// The cleanup begins with the end of main, before the loop closes: what it spawns is not older than that.
    #[test]
    fn what_a_cleanup_spawns_and_awaits_comes_to_its_end() {
        async fn fetched(trace: Trace, way: usize) {
            let slow = || async {
                sleep(secs(1)).await;
                5
            };
            let fetched = match way {
                0 => spawn(slow()).await.unwrap(),
                1 => spawn(async move { spawn(slow()).await.unwrap() })
                    .await
                    .unwrap(),
                2 => {
                    let group = task_group(async |tg: TaskGroup<'_>| {
                        Ok(tg.spawn(async { Ok(slow().await) }).await?)
                    });
                    group.await.unwrap()
                }
                _ => asyncio::to_thread(|| 5).await.unwrap(),
            };
            trace.note(format!("{way}: {fetched}"));
        }
        for way in 0..4 {
            for is_held in [true, false] {
                let seen = run_virtual(async |trace| {
                    let task = spawn(on_cancel(forever(), fetched(trace.clone(), way)));
                    sleep(secs(1)).await;
                    match is_held {
                        true => drop(task),
                        false => task.detach(),
                    }
                });
                assert_eq!(seen, [format!("{way}: 5")], "{is_held}");
            }
        }
    }

    /// Only what a cleanup has spawned is left to it. An older task is cancelled at once, as the newest of them is.
    #[test]
    fn an_older_task_that_a_cleanup_awaits_is_cancelled() {
        let seen = run_virtual(async |trace| {
            let older = Rc::new(RefCell::new(None));
            let cleanup = {
                let (older, trace) = (older.clone(), trace.clone());
                async move {
                    spawn(async {}).detach();
                    let older: Task<()> = older.take().unwrap();
                    trace.note(format!("cancelled: {}", older.await.is_err()));
                }
            };
            let _held = spawn(on_cancel(forever(), cleanup));
            *older.borrow_mut() = Some(spawn(sleep(secs(1))));
            yield_now().await;
        });
        assert_eq!(seen, ["cancelled: true"]);
    }

    #[test]
    fn main_panics() {
        let trace = Trace::default();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            asyncio::run_with(asyncio::Runner::builder().virtual_time(true), async {
                let _held = cleaning(&trace, "it");
                yield_now().await;
                panic!("a bug");
            })
        }));
        assert!(panicked.is_err());
        assert_eq!(trace.take(), cleaned("it"));
    }

    /// As by Ctrl-C.
    #[test]
    fn main_is_cancelled() {
        let trace = Trace::default();
        let builder = EventLoop::builder().virtual_time(true);
        let mut event_loop = builder.build_loop().unwrap();
        let ended = event_loop.run_until_complete(async {
            let _held = cleaning(&trace, "held");
            let awaited = cleaning(&trace, "awaited");
            yield_now().await;
            current_task().unwrap().cancel();
            drop(awaited.await);
        });
        assert!(matches!(ended, Err(JoinError::Cancelled(..))));
        drop(event_loop);
        let mut seen = trace.take();
        seen.sort();
        let mut both = [cleaned("awaited"), cleaned("held")].concat();
        both.sort();
        assert_eq!(seen, both);
    }

    #[test]
    fn a_cleanup_goes_on_in_the_next_run_and_when_the_loop_closes() {
        let trace = Trace::default();
        let mut runner = asyncio::Runner::builder()
            .virtual_time(true)
            .build()
            .unwrap();
        runner
            .run(async {
                let _held = spawn(cleans_up(trace.clone(), "it", 10));
                yield_now().await;
            })
            .unwrap();
        runner.run(async { sleep(secs(5)).await }).unwrap();
        assert_eq!(trace.take(), ["it cleans up"]);
        drop(runner);
        assert_eq!(trace.take(), ["it is clean after 10s"]);
    }

    #[test]
    fn what_main_has_cancelled_itself_is_not_asked_again() {
        let seen = run_virtual(async |trace| {
            let it = cleaning(trace, "it");
            yield_now().await;
            it.cancel();
            yield_now().await; // it cleans up, and here its handle is dropped
        });
        assert_eq!(seen, cleaned("it"));
    }

    #[test]
    fn a_detached_one_that_cleans_up_is_not_asked_again() {
        let seen = run_virtual(async |trace| {
            let it = cleaning(trace, "it");
            yield_now().await;
            it.cancel();
            it.detach();
            yield_now().await;
        });
        assert_eq!(seen, cleaned("it"));
    }

    #[test]
    fn a_child_that_cleans_up_is_not_asked_again_when_its_group_is_let_go() {
        let seen = run_virtual(async |trace| {
            let noted = trace.clone();
            let _held = spawn(async move {
                let group = task_group(async |tg: TaskGroup<'_>| {
                    tg.spawn(async {
                        cleans_up(noted.clone(), "child", 2).await;
                        Ok(())
                    });
                    yield_now().await;
                    yield_now().await;
                    Err::<(), BoxError>("it fails".into())
                });
                drop(group.await);
            });
            sleep(secs(1)).await; // the child cleans up
        });
        assert_eq!(seen, ["child cleans up", "child is clean after 2s"]);
    }

    #[test]
    fn another_request_still_interrupts() {
        let seen = run_virtual(async |trace| {
            let it = cleaning(trace, "it");
            let other = it.as_ref();
            yield_now().await;
            drop(it);
            yield_now().await; // it cleans up
            other.cancel();
        });
        assert_eq!(seen, ["it cleans up"]);
    }

    #[test]
    fn one_that_has_swallowed_a_request_is_asked_again() {
        let seen = run_virtual(async |trace| {
            let noted = trace.clone();
            let it = spawn(async move {
                if let Err(cancelled) = catch_cancel(forever()).await {
                    cancelled.swallow();
                }
                cleans_up(noted, "it", 1).await;
            });
            yield_now().await;
            it.cancel();
            yield_now().await;
        });
        assert_eq!(seen, cleaned("it"));
    }
}
