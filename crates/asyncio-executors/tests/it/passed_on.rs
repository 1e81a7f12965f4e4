//! Futures that have passed a request on, and are awaited again: in code that unwinds they wait for that, and
//! anywhere else, also in a cleanup there, they say that they are over.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::support::{Trace, run};
use asyncio_executors::{
    CancelScope, TaskGroup, TimeoutHandle, cancel_scope, catch_cancel, gather, move_on_after,
    on_cancel, race, shield, shield_task, task_group, timeout, timeout_scope, try_finally,
};
use asyncio_loop::{JoinError, current_task, sleep, spawn, time, yield_now};
use asyncio_task::PanicPayload;
use futures::future::{FutureExt, LocalBoxFuture};

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The outcome of `work` as a task, which is cancelled after a second.
async fn cancelled_at_1<T: 'static>(
    work: impl Future<Output = T> + 'static,
) -> Result<T, JoinError> {
    let task = spawn(work);
    sleep(secs(1)).await;
    task.cancel();
    task.await
}

/// Lets a request end `work`, swallows it, and awaits `work` again.
async fn awaited_again<F: Future>(work: F, shielded: bool) -> F::Output {
    let mut work = pin!(work);
    let heard = catch_cancel(&mut work).await;
    heard.err().expect("it was cancelled").swallow();
    match shielded {
        true => shield(work).await,
        false => work.await,
    }
}

fn says_that_it_is_over<F: Future + 'static>(make: impl Fn() -> F) {
    run(async |_: Trace| {
        for shielded in [false, true] {
            let work = make();
            let again = async move { drop(awaited_again(work, shielded).await) };
            let Err(JoinError::Panicked(_, payload)) = cancelled_at_1(again).await else {
                panic!("it does not say so");
            };
            assert!(payload.message().contains("awaited again"), "{payload}");
        }
    });
}

/// Polls both whenever either is woken, as `join!` does, and also when it has passed a request on.
async fn both<A: Future, B: Future>(left: A, right: B) {
    let (mut left, mut right) = (pin!(left), pin!(right));
    let mut waiting = [true, true];
    poll_fn(|cx| {
        waiting[0] = waiting[0] && left.as_mut().poll(cx).is_pending();
        waiting[1] = waiting[1] && right.as_mut().poll(cx).is_pending();
        match waiting {
            [false, false] => Poll::Ready(()),
            _ => Poll::Pending,
        }
    })
    .await;
}

/// A future that ends by itself as if it had been cancelled.
async fn unwinding() {
    race(vec![async {
        yield_now().await;
        current_task().expect("a contender is a task").cancel();
        pending::<()>().await;
    }])
    .await;
}

mod elsewhere {
    use super::*;

    #[test]
    fn a_time_limit_says_that_it_is_over() {
        says_that_it_is_over(|| timeout(secs(9), pending::<()>()));
        says_that_it_is_over(|| move_on_after(secs(9), pending::<()>()));
        says_that_it_is_over(|| {
            timeout_scope(None, async |_: TimeoutHandle| pending::<()>().await)
        });
    }

    #[test]
    fn a_scope_says_so() {
        says_that_it_is_over(|| cancel_scope(async |_: CancelScope| pending::<()>().await));
    }

    #[test]
    fn a_cleanup_says_so() {
        says_that_it_is_over(|| on_cancel(pending::<()>(), sleep(secs(1))));
        says_that_it_is_over(|| try_finally(pending::<()>(), sleep(secs(1))));
    }

    #[test]
    fn a_shield_says_so() {
        says_that_it_is_over(|| shield(unwinding()));
    }

    #[test]
    fn a_shielded_wait_for_a_task_says_so() {
        says_that_it_is_over(|| shield_task(spawn(sleep(secs(9)))));
    }

    #[test]
    fn a_group_says_so() {
        says_that_it_is_over(|| {
            task_group(async |tg: TaskGroup<'_, Infallible>| {
                tg.spawn(async {
                    pending::<()>().await;
                    Ok(())
                });
                Ok(())
            })
        });
    }

    #[test]
    fn what_unwinds_with_a_part_of_it_says_so() {
        says_that_it_is_over(unwinding);
        says_that_it_is_over(|| gather((unwinding(), sleep(secs(1)))));
    }

    #[test]
    fn a_task_gives_its_outcome() {
        run(async |_: Trace| {
            for shielded in [false, true] {
                let task = spawn(on_cancel(pending::<()>(), sleep(secs(1))));
                let outcome = cancelled_at_1(awaited_again(task, shielded)).await;
                let outcome = outcome.expect("the request was swallowed");
                assert!(outcome.is_err_and(|error| error.is_cancelled()));
            }
        });
    }

    #[test]
    fn a_task_gives_its_outcome_with_what_was_said() {
        run(async |_: Trace| {
            let task = spawn(pending::<()>());
            let awaiter = spawn(awaited_again(task, false));
            sleep(secs(1)).await;
            awaiter.cancel_with("enough");
            let outcome = awaiter.await.expect("the request was swallowed");
            assert_eq!(outcome.unwrap_err().message(), Some("enough"));
        });
    }

    #[test]
    fn a_child_gives_its_outcome() {
        for shielded in [false, true] {
            run(async |_: Trace| {
                let grouped = task_group(async |tg: TaskGroup<'_, Infallible>| {
                    let awaited = tg.spawn(async {
                        pending::<()>().await;
                        Ok(())
                    });
                    let awaiter = tg.spawn(async move {
                        let outcome = awaited_again(awaited, shielded).await;
                        Ok(outcome.unwrap_err().is_cancelled())
                    });
                    sleep(secs(1)).await;
                    awaiter.cancel();
                    Ok(awaiter.await)
                });
                assert!(grouped.await.unwrap().unwrap());
            });
        }
    }

    #[test]
    #[should_panic(expected = "after it gave its outcome")]
    fn a_task_gives_it_once() {
        run(async |_: Trace| {
            let mut task = spawn(pending::<()>());
            let again = async move {
                assert!(awaited_again(&mut task, false).await.is_err());
                task.await
            };
            if let Err(JoinError::Panicked(_, payload)) = cancelled_at_1(again).await {
                std::panic::resume_unwind(payload.into_inner());
            }
        });
    }

    #[test]
    fn closing_ends_though_it_is_awaited_in_a_shield() {
        run(async |_: Trace| {
            let work = awaited_again(timeout(secs(9), pending::<()>()), true);
            let task = spawn(work);
            sleep(secs(1)).await;
            task.cancel();
            drop(task.await);
        });
    }
}

mod in_code_that_unwinds {
    use super::*;

    /// `work` passes the request on at once, while a sibling cleans up in many steps.
    fn waits_for_its_sibling<F: Future + 'static>(make: impl Fn() -> F) {
        run(async |trace: Trace| {
            for sibling_first in [false, true] {
                let (work, trace, start) = (make(), trace.clone(), time());
                let cleanup = async move {
                    for _ in 0..4 {
                        sleep(secs(1)).await;
                    }
                    trace.note("cleaned up");
                };
                let sibling = on_cancel(pending::<()>(), cleanup);
                let outcome = cancelled_at_1(async move {
                    match sibling_first {
                        true => both(sibling, work).await,
                        false => both(work, sibling).await,
                    }
                })
                .await;
                assert!(outcome.unwrap_err().is_cancelled());
                assert_eq!(time() - start, secs(5));
            }
            assert_eq!(trace.take().len(), 2);
        });
    }

    #[test]
    fn each_kind_waits_for_what_cleans_up_beside_it() {
        waits_for_its_sibling(|| timeout(secs(9), pending::<()>()));
        waits_for_its_sibling(|| {
            timeout_scope(None, async |_: TimeoutHandle| pending::<()>().await)
        });
        waits_for_its_sibling(|| cancel_scope(async |_: CancelScope| pending::<()>().await));
        waits_for_its_sibling(|| on_cancel(pending::<()>(), async {}));
        waits_for_its_sibling(|| shield_task(spawn(sleep(secs(9)))));
        waits_for_its_sibling(|| gather((pending::<()>(), pending::<()>())));
        waits_for_its_sibling(|| race([pending::<()>(), pending::<()>()]));
        waits_for_its_sibling(|| spawn(pending::<()>()));
        waits_for_its_sibling(|| shield(timeout(secs(3), pending::<()>())));
    }

    #[test]
    fn a_child_waits_too() {
        run(async |_: Trace| {
            let start = time();
            let grouped = task_group(async |tg: TaskGroup<'_, Infallible>| {
                let awaited = tg.spawn(async {
                    pending::<()>().await;
                    Ok(())
                });
                let awaiter = tg.spawn(async move {
                    let cleanup = async {
                        sleep(secs(1)).await;
                        sleep(secs(1)).await;
                    };
                    both(awaited, on_cancel(pending::<()>(), cleanup)).await;
                    Ok(())
                });
                sleep(secs(1)).await;
                awaiter.cancel();
                Ok(awaiter.await)
            });
            assert!(grouped.await.unwrap().unwrap_err().is_cancelled());
            assert_eq!(time() - start, secs(3));
        });
    }

    #[test]
    fn a_loser_that_unwinds_leaves_the_value_of_a_task_it_awaits() {
        run(async |_: Trace| {
            let task = Rc::new(std::cell::RefCell::new(spawn(async {
                sleep(secs(1)).await;
                7
            })));
            yield_now().await; // its timer is set first
            let loser = {
                let task = task.clone();
                async move {
                    let value = poll_fn(|cx| std::pin::Pin::new(&mut *task.borrow_mut()).poll(cx));
                    let cleanup = async {
                        sleep(secs(1)).await;
                        sleep(secs(1)).await;
                    };
                    both(value, on_cancel(pending::<()>(), cleanup)).await;
                }
            };
            // The winner comes in the same step in which the task ends.
            let winner = sleep(secs(1));
            race((winner, loser)).await;
            let mut task = Rc::into_inner(task)
                .expect("the loser is gone")
                .into_inner();
            assert_eq!((&mut task).await.unwrap(), 7);
        });
    }
}

/// The cleanup holds up the code that propagates the request, so nothing but a second request would end its wait.
mod in_a_cleanup {
    use super::*;

    type Work = LocalBoxFuture<'static, ()>;

    /// A sibling that sends a request on at once, beside `work`.
    fn beside_one_that_resumes(work: Work) -> Work {
        both(on_cancel(pending::<()>(), async {}), work).boxed_local()
    }

    /// Code around the cleanup, in which a sibling has sent the request on.
    fn surroundings() -> Vec<fn(Work) -> Work> {
        vec![
            beside_one_that_resumes,
            |work| beside_one_that_resumes(gather((work,)).map(drop).boxed_local()),
            |work| beside_one_that_resumes(gather(vec![work]).map(drop).boxed_local()),
            |work| beside_one_that_resumes(race([work]).boxed_local()),
            |work| beside_one_that_resumes(timeout(secs(99), work).map(drop).boxed_local()),
            |work| beside_one_that_resumes(on_cancel(work, async {}).boxed_local()),
            |work| {
                timeout(secs(99), beside_one_that_resumes(work))
                    .map(drop)
                    .boxed_local()
            },
            |work| {
                let group = task_group(async |_: TaskGroup<'_, Infallible>| {
                    beside_one_that_resumes(work).await;
                    Ok(())
                });
                beside_one_that_resumes(group.map(drop).boxed_local())
            },
            |work| {
                let group = task_group(async |tg: TaskGroup<'_, Infallible>| {
                    tg.spawn(beside_one_that_resumes(work).map(Ok));
                    Ok(())
                });
                beside_one_that_resumes(group.map(drop).boxed_local())
            },
        ]
    }

    /// Lets a request end `work`, and awaits it again in the cleanup. The outcome, or the panic, goes to `seen`.
    async fn cleaned_up_with<F: Future>(work: F, seen: Trace<Result<F::Output, String>>) {
        let mut work = pin!(work);
        let heard = catch_cancel(&mut work).await;
        let heard = heard.err().expect("it was cancelled");
        sleep(secs(1)).await; // by now the sibling has sent the request on
        let again = AssertUnwindSafe(work).catch_unwind().await;
        seen.note(again.map_err(|payload| PanicPayload::new(payload).message().to_owned()));
        heard.resume().await
    }

    /// The outcomes of `make`'s futures in such cleanups.
    fn outcomes<F: Future + 'static>(make: impl Fn() -> F) -> Vec<Result<F::Output, String>> {
        let mut all = Vec::new();
        for around in surroundings() {
            let start = Cell::new(None);
            all.extend(run(async |seen| {
                let work = around(cleaned_up_with(make(), seen).boxed_local());
                start.set(Some(time()));
                let outcome = cancelled_at_1(work).await;
                assert!(outcome.unwrap_err().is_cancelled());
                assert!(time() - start.get().expect("it is set") <= secs(3));
            }));
        }
        assert_eq!(all.len(), surroundings().len());
        all
    }

    fn says_so<F: Future + 'static>(make: impl Fn() -> F) {
        for outcome in outcomes(make) {
            let Err(message) = outcome else {
                panic!("it does not say that it is over");
            };
            assert!(message.contains("awaited again"), "{message}");
        }
    }

    #[test]
    fn a_task_gives_its_outcome() {
        let cleaning = || on_cancel(pending::<()>(), sleep(secs(1)));
        for outcome in outcomes(|| spawn(cleaning())) {
            assert!(outcome.unwrap().unwrap_err().is_cancelled());
        }
    }

    #[test]
    fn each_other_future_says_that_it_is_over() {
        says_so(|| timeout(secs(99), pending::<()>()));
        says_so(|| timeout_scope(None, async |_: TimeoutHandle| pending::<()>().await));
        says_so(|| move_on_after(secs(99), pending::<()>()));
        says_so(|| cancel_scope(async |_: CancelScope| pending::<()>().await));
        says_so(|| on_cancel(pending::<()>(), async {}));
        says_so(|| try_finally(pending::<()>(), sleep(secs(1))));
        says_so(|| shield_task(spawn(sleep(secs(99)))));
        says_so(|| gather((spawn(pending::<()>()), pending::<()>())));
        says_so(|| gather(vec![spawn(pending::<()>())]));
        says_so(|| race([spawn(pending::<()>())]));
        says_so(|| race(vec![spawn(pending::<()>())]));
        says_so(|| {
            task_group(async |tg: TaskGroup<'_, Infallible>| {
                tg.spawn(pending::<Result<(), Infallible>>());
                Ok(())
            })
        });
    }

    #[test]
    fn a_child_gives_its_outcome() {
        let seen = run(async |seen| {
            let grouped = task_group(async |tg: TaskGroup<'_, Infallible>| {
                let awaited = tg.spawn(pending::<Result<(), Infallible>>());
                let work = cleaned_up_with(awaited, seen);
                let both = both(on_cancel(pending::<()>(), async {}), work);
                let awaiter = tg.spawn(both.map(Ok));
                sleep(secs(1)).await;
                awaiter.cancel();
                Ok(awaiter.await)
            });
            assert!(grouped.await.unwrap().unwrap_err().is_cancelled());
        });
        let [Ok(Err(error))] = &seen[..] else {
            panic!("{seen:?}");
        };
        assert!(error.is_cancelled());
    }

    /// The same on real time.
    #[test]
    fn a_task_gives_its_outcome_to_a_cleanup_on_a_real_clock() {
        asyncio_loop::run(async {
            let seen = Rc::new(Cell::new(false));
            let noted = seen.clone();
            let task = spawn(async move {
                let cleanup = async {
                    let mut awaited = spawn(pending::<()>());
                    let heard = catch_cancel(&mut awaited).await;
                    yield_now().await;
                    noted.set(awaited.await.is_err_and(|error| error.is_cancelled()));
                    heard.expect_err("it was cancelled").resume().await
                };
                both(on_cancel(pending::<()>(), async {}), cleanup).await;
            });
            yield_now().await;
            yield_now().await;
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
            assert!(seen.get());
        });
    }

    /// The code that propagates the request drops the awaits in it, whoever cleans up in there.
    #[test]
    fn an_await_beside_it_waits_for_it() {
        run(async |trace: Trace| {
            let start = time();
            let outcome = cancelled_at_1(async move {
                let awaited = async {
                    let outcome = spawn(pending::<()>()).await;
                    trace.note("the await has returned");
                    outcome
                };
                let cleanup = async { sleep(secs(4)).await };
                both(awaited, on_cancel(pending::<()>(), cleanup)).await;
            })
            .await;
            assert!(outcome.unwrap_err().is_cancelled());
            assert_eq!(time() - start, secs(5));
        });
    }
}

mod a_token {
    use super::*;

    /// The code with the cleanup sends the token of another task on. Enclosing code propagates a request already, and
    /// waits for that cleanup.
    #[test]
    fn of_another_task_that_a_cleanup_resumes_ends_both() {
        run(async |_: Trace| {
            let (send, receive) = futures::channel::oneshot::channel();
            let resumer = spawn(async move {
                let cleanup = async {
                    let own = catch_cancel(pending::<()>()).await;
                    sleep(secs(2)).await;
                    let token: asyncio_task::Cancelled = receive.await.expect("it is sent");
                    token.resume().await;
                    #[allow(unreachable_code, reason = "it lives until then")]
                    drop(own);
                };
                both(on_cancel(pending::<()>(), async {}), cleanup).await;
            });
            let holder = spawn(async move {
                let heard = catch_cancel(pending::<()>()).await;
                drop(send.send(heard.unwrap_err()));
                pending::<()>().await;
            });
            sleep(secs(1)).await;
            resumer.cancel();
            holder.cancel();
            assert!(resumer.await.unwrap_err().is_cancelled());
            assert!(holder.await.unwrap_err().is_cancelled());
        });
    }

    /// Gives its token away and waits, while what the token is resumed by runs as a task beside it.
    #[test]
    fn that_another_task_resumes_ends_both() {
        run(async |trace: Trace| {
            let (send, receive) = futures::channel::oneshot::channel();
            let resumer = spawn(try_finally(
                async move {
                    let token: asyncio_task::Cancelled = receive.await.expect("it is sent");
                    token.resume().await
                },
                async move { trace.note("cleaned up") },
            ));
            let holder = spawn(async move {
                let heard = catch_cancel(pending::<()>()).await;
                drop(send.send(heard.unwrap_err()));
                pending::<()>().await;
            });
            sleep(secs(1)).await;
            holder.cancel();
            let outcome: Result<(), _> = resumer.await;
            assert!(outcome.unwrap_err().is_cancelled());
            assert!(holder.await.unwrap_err().is_cancelled());
        });
    }

    #[test]
    fn that_is_resumed_in_a_shield_of_another_task_ends_both() {
        run(async |_: Trace| {
            let (send, receive) = futures::channel::oneshot::channel();
            let resumer = spawn(shield(async move {
                let token: asyncio_task::Cancelled = receive.await.expect("it is sent");
                token.resume().await
            }));
            let holder = spawn(async move {
                let heard = catch_cancel(pending::<()>()).await;
                drop(send.send(heard.unwrap_err()));
                pending::<()>().await;
            });
            sleep(secs(1)).await;
            holder.cancel();
            let outcome: Result<(), _> = resumer.await;
            assert!(outcome.unwrap_err().is_cancelled());
            assert!(holder.await.unwrap_err().is_cancelled());
        });
    }
}
