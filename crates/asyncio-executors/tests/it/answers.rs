//! A request that all who are told of it swallow is answered (rule 4): a group, a gathering or a race returns its
//! value, and the code around goes on.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::support::{Trace, run};
use asyncio_executors::{
    CancelScope, TaskGroup, cancel_scope, catch_cancel, gather, on_cancel, race, shield,
    staggered_race, task_group, timeout, try_gather,
};
use asyncio_loop::{current_task, sleep, spawn, time};
use futures::future::LocalBoxFuture;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Swallows a request, and works for a second more.
async fn swallows() -> u64 {
    catch_cancel(pending::<()>()).await.unwrap_err().swallow();
    sleep(secs(1)).await;
    5
}

/// Ends by a request, after a cleanup of two seconds.
async fn cleans_up() -> u64 {
    on_cancel(pending(), async { sleep(secs(2)).await }).await
}

/// The result of work that is cancelled after a second, and whether the code after it goes on.
async fn cancelled_at_1<T: 'static>(work: impl Future<Output = T> + 'static) -> Option<T> {
    let task = spawn(async {
        let value = work.await;
        sleep(secs(1)).await;
        value
    });
    sleep(secs(1)).await;
    task.cancel();
    task.await.ok()
}

async fn group(
    body: impl AsyncFnOnce() -> u64,
    children: Vec<LocalBoxFuture<'static, u64>>,
) -> u64 {
    let all = task_group::<u64, (), _>(async |tg| {
        for child in children {
            tg.spawn(async { Ok(child.await) });
        }
        Ok(body().await)
    });
    all.await.unwrap()
}

mod by_all {
    use super::*;

    #[test]
    fn a_group_returns_the_value_of_its_body() {
        run::<()>(async |_| {
            assert_eq!(cancelled_at_1(group(swallows, vec![])).await, Some(5));
            let children = || -> Vec<LocalBoxFuture<'_, u64>> {
                vec![Box::pin(swallows()), Box::pin(swallows())]
            };
            assert_eq!(cancelled_at_1(group(async || 7, children())).await, Some(7));
            assert_eq!(cancelled_at_1(group(swallows, children())).await, Some(5));
        });
    }

    #[test]
    fn a_gathering_returns_its_outputs() {
        run::<()>(async |_| {
            assert_eq!(
                cancelled_at_1(gather((swallows(), swallows()))).await,
                Some((5, 5))
            );
            let nested = gather([gather([swallows()]), gather([swallows()])]);
            assert_eq!(cancelled_at_1(nested).await, Some([[5], [5]]));
        });
    }

    #[test]
    fn a_race_returns_the_value_of_the_winner() {
        run::<()>(async |_| {
            assert_eq!(
                cancelled_at_1(race((swallows(), swallows()))).await,
                Some(5)
            );
            let slow = async {
                let value = swallows().await;
                sleep(secs(9)).await;
                value
            };
            assert_eq!(cancelled_at_1(race((swallows(), slow))).await, Some(5));
        });
    }

    #[test]
    fn one_that_has_ended_before_has_no_say() {
        run::<()>(async |_| {
            let ended = async { sleep(Duration::from_millis(1)).await };
            let both = gather((ended, swallows()));
            assert_eq!(cancelled_at_1(both).await, Some(((), 5)));
            let was_cancelled = task_group::<u64, (), _>(async |tg: TaskGroup<'_, ()>| {
                let child = tg.spawn(pending::<Result<(), ()>>());
                sleep(Duration::from_millis(1)).await;
                child.cancel();
                assert!(child.await.is_err());
                Ok(swallows().await)
            });
            let value = cancelled_at_1(async { was_cancelled.await.unwrap() }).await;
            assert_eq!(value, Some(5));
        });
    }

    #[test]
    fn a_time_limit_that_was_answered_is_over() {
        run::<()>(async |_| {
            let start = time();
            let work = async {
                let values = gather((swallows(), swallows())).await;
                sleep(secs(3)).await;
                values
            };
            assert_eq!(timeout(secs(1), work).await, Ok((5, 5)));
            assert_eq!(time() - start, secs(5));
        });
    }
}

mod by_some {
    use super::*;

    #[test]
    fn a_winner_that_drops_its_token_has_a_say() {
        async fn drops() -> u64 {
            drop(catch_cancel(pending::<()>()).await);
            5
        }

        for form in 0..4 {
            run::<()>(async |_| {
                let start = time();
                let raced = async move {
                    let value = match form {
                        0 => race((drops(),)).await,
                        1 => race([drops()]).await,
                        2 => race(vec![drops()]).await,
                        _ => {
                            let one = || async { Ok::<_, ()>(drops().await) };
                            staggered_race([one], None).await.winner.unwrap().0
                        }
                    };
                    assert_eq!((value, time() - start), (5, secs(1)), "form {form}");
                };
                assert_eq!(cancelled_at_1(raced).await, None, "form {form}");
                assert_eq!(time() - start, secs(1), "form {form}");
            });
        }
    }

    #[test]
    fn a_part_that_ends_by_it_has_a_say() {
        run::<()>(async |_| {
            assert_eq!(
                cancelled_at_1(gather((swallows(), cleans_up()))).await,
                None
            );
            assert_eq!(
                cancelled_at_1(gather((swallows(), pending::<()>()))).await,
                None
            );
            assert_eq!(
                cancelled_at_1(group(swallows, vec![Box::pin(cleans_up())])).await,
                None
            );
            assert_eq!(
                cancelled_at_1(group(cleans_up, vec![Box::pin(swallows())])).await,
                None
            );
        });
    }

    #[test]
    fn a_contender_that_cannot_answer_has_a_say() {
        run::<()>(async |_| {
            assert_eq!(cancelled_at_1(race((swallows(), pending()))).await, None);
            let swallows_late = async {
                let value = swallows().await;
                sleep(secs(9)).await;
                value
            };
            assert_eq!(
                cancelled_at_1(race((cleans_up(), swallows_late))).await,
                None
            );
            let all: Vec<LocalBoxFuture<'_, u64>> = vec![Box::pin(swallows()), Box::pin(pending())];
            assert_eq!(cancelled_at_1(race(all)).await, None);
        });
    }

    /// A part that was only shielded has not answered: its value comes out, and the request goes on.
    #[test]
    fn a_part_that_defers_it_has_a_say() {
        run::<()>(async |_| {
            let shielded = async || {
                shield(sleep(secs(3))).await;
                5
            };
            let drops = async || {
                drop(catch_cancel(pending::<()>()).await);
                5
            };
            assert_eq!(cancelled_at_1(gather((swallows(), shielded()))).await, None);
            assert_eq!(cancelled_at_1(gather((swallows(), drops()))).await, None);
            let child: LocalBoxFuture<'_, u64> = Box::pin(shielded());
            assert_eq!(cancelled_at_1(group(swallows, vec![child])).await, None);
            let child: LocalBoxFuture<'_, u64> = Box::pin(drops());
            assert_eq!(cancelled_at_1(group(swallows, vec![child])).await, None);
            let child = || -> LocalBoxFuture<'_, u64> { Box::pin(swallows()) };
            assert_eq!(cancelled_at_1(group(shielded, vec![child()])).await, None);
            assert_eq!(cancelled_at_1(group(drops, vec![child()])).await, None);
        });
    }

    /// The value of a race comes out, and the next await is cut.
    #[test]
    fn a_loser_of_a_race_has_a_say() {
        run::<()>(async |_| {
            let returned = Cell::new(0);
            let work = async {
                returned.set(race((swallows(), cleans_up())).await);
                sleep(secs(9)).await;
            };
            assert!(timeout(secs(1), work).await.is_err());
            assert_eq!(returned.take(), 5);
            let work = async {
                let all: Vec<LocalBoxFuture<'_, u64>> =
                    vec![Box::pin(swallows()), Box::pin(cleans_up())];
                returned.set(race(all).await);
                sleep(secs(9)).await;
            };
            assert!(timeout(secs(1), work).await.is_err());
            assert_eq!(returned.get(), 5);
        });
    }

    /// The error of a gathering comes out, and the next await is cut.
    #[test]
    fn an_error_is_returned_although_a_request_comes_while_others_clean_up() {
        run::<()>(async |_| {
            let returned = Cell::new(None);
            let fails = || async { Err::<u64, _>("failed") };
            let slow = || async { Ok(cleans_up().await) };
            let tuple = async {
                returned.set(Some(try_gather((slow(), fails())).await.map(drop)));
                sleep(secs(9)).await;
            };
            assert!(timeout(secs(1), tuple).await.is_err());
            assert_eq!(returned.take(), Some(Err("failed")));
            let vector = async {
                let all: Vec<LocalBoxFuture<'_, _>> = vec![Box::pin(slow()), Box::pin(fails())];
                returned.set(Some(try_gather(all).await.map(drop)));
                sleep(secs(9)).await;
            };
            assert!(timeout(secs(1), vector).await.is_err());
            assert_eq!(returned.take(), Some(Err("failed")));
        });
    }

    /// An enclosing race is decided while a race inside waits for its loser: nothing can take the value.
    #[test]
    fn the_value_of_a_loser_that_is_a_race_goes_no_further() {
        run::<()>(async |_| {
            let went_on = Cell::new(false);
            let tuple = async {
                race((sleep(secs(1)), async { assert_eq!(cleans_up().await, 0) })).await;
                went_on.set(true);
            };
            race((tuple, sleep(secs(2)))).await;
            let vector = async {
                let all: Vec<LocalBoxFuture<'_, ()>> = vec![
                    Box::pin(sleep(secs(1))),
                    Box::pin(async { assert_eq!(cleans_up().await, 0) }),
                ];
                race(all).await;
                went_on.set(true);
            };
            race((vector, sleep(secs(2)))).await;
            assert!(!went_on.get());
        });
    }

    #[test]
    fn a_part_that_resumes_an_outer_token_ends_the_others() {
        run::<()>(async |_| {
            let start = time();
            let cleaned = Rc::new(Cell::new(None));
            let note = cleaned.clone();
            let gathers = async move {
                let token = catch_cancel(pending::<()>()).await.unwrap_err();
                let cleanup = on_cancel(pending::<()>(), async {
                    sleep(secs(1)).await;
                    note.set(Some(time() - start));
                });
                let resumes = async { token.resume().await };
                gather((resumes, cleanup)).await;
            };
            assert!(cancelled_at_1(gathers).await.is_none());
            assert_eq!(cleaned.get(), Some(secs(2)));
            assert_eq!(time() - start, secs(2));
            let races = async {
                let token = catch_cancel(pending::<()>()).await.unwrap_err();
                let resumes = async { token.resume().await };
                race((resumes, async { sleep(secs(1)).await })).await;
            };
            assert!(cancelled_at_1(races).await.is_none());
            assert_eq!(time() - start, secs(3));
        });
    }

    #[test]
    fn a_staggered_race_that_starts_no_more_passes_it_on() {
        run::<()>(async |_| {
            let fails = async || {
                catch_cancel(pending::<()>()).await.unwrap_err().swallow();
                Err::<(), ()>(())
            };
            let raced = staggered_race([fails, fails], None);
            assert!(cancelled_at_1(raced).await.is_none());
        });
    }
}

/// A group stands for all requests that are open when it hears of one, as a token does (rule 10).
#[test]
fn a_group_hears_of_all_requests_that_are_open_at_once() {
    let seen = run(async |trace: Trace| {
        let noted = trace.clone();
        let task = spawn(cancel_scope(async move |scope: CancelScope| {
            let mut polls = 0;
            let asks = poll_fn(|cx| {
                polls += 1;
                match polls {
                    1..4 => cx.waker().wake_by_ref(),
                    4 => scope.cancel(),
                    // The group is polled after this, and has not heard of the first one.
                    5 => assert!(current_task().unwrap().cancel()),
                    _ => {}
                }
                Poll::<()>::Pending
            });
            let group = task_group(async |tg: TaskGroup<'_>| {
                tg.spawn_ok(on_cancel(pending::<()>(), async {
                    sleep(secs(1)).await;
                    noted.note("clean");
                }));
                Ok(())
            });
            futures::join!(asks, group)
        }));
        assert!(task.await.is_err());
        trace.note("cancelled");
    });
    assert_eq!(seen, ["clean", "cancelled"]);
}

#[test]
fn the_value_of_a_child_answers_the_request_that_it_got() {
    run(async |_: Trace| {
        let group = task_group(async |tg: TaskGroup<'_>| {
            let child = tg.spawn(async { Ok(swallows().await) });
            let limited = timeout(secs(1), async {
                let value = child.await.unwrap();
                sleep(secs(1)).await;
                value
            });
            assert_eq!(limited.await, Ok(5));
            Ok(())
        });
        group.await.unwrap();
    });
}

#[test]
fn the_failure_of_a_child_answers_the_request_that_it_got() {
    for panics in [false, true] {
        let seen = run(async |trace: Trace| {
            let task = spawn(async move {
                let group = task_group::<(), (), _>(async |tg| {
                    let child = tg.spawn(async move {
                        swallows().await;
                        assert!(!panics, "a bug");
                        Err::<(), ()>(())
                    });
                    let limited = timeout(secs(1), async {
                        let failed = child.await.is_err();
                        sleep(secs(1)).await;
                        failed
                    });
                    // It keeps out the request of the group, which ends by the failure.
                    shield(async {
                        assert_eq!(limited.await, Ok(true));
                        trace.note("answered");
                    })
                    .await;
                    Ok(())
                });
                drop(group.await);
            });
            drop(task.await);
        });
        assert_eq!(seen, ["answered"], "panics: {panics}");
    }
}
