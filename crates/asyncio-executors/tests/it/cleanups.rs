//! Cleanups of unequal length in one piece of code: none interrupts another (rules 4 and 7).

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use crate::support::run;
use asyncio_executors::{
    CancelScope, TimedOut, cancel_scope, catch_cancel, move_on_after, on_cancel, race, task_group,
    timeout,
};
use asyncio_loop::{sleep, spawn, time};
use asyncio_task::Cancelled;
use futures::future::{LocalBoxFuture, join, join_all, select};
use futures::stream::{FuturesUnordered, StreamExt};

const LONG: Duration = Duration::from_secs(1000);

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Work below `depth` scopes that all hear of a request. The innermost cleans up for `slow` seconds, and each other
/// one for a second. Counts the cleanups that were finished.
fn nested(depth: u32, slow: u64, cleaned: &Cell<u32>) -> LocalBoxFuture<'_, ()> {
    let cleanup = move |n| async move {
        sleep(secs(n)).await;
        cleaned.set(cleaned.get() + 1);
    };
    match depth {
        1 => Box::pin(on_cancel(pending::<()>(), cleanup(slow))),
        _ => Box::pin(on_cancel(nested(depth - 1, slow, cleaned), cleanup(1))),
    }
}

/// Runs `work` under a limit of a second. How many seconds its cleanups take.
async fn cut_at_1(work: impl Future) -> u64 {
    let start = time();
    assert!(timeout(secs(1), work).await.is_err());
    (time() - start - secs(1)).as_secs()
}

mod siblings {
    use super::*;

    #[test]
    fn a_scope_between_waits_for_the_longest() {
        run::<()>(async |_| {
            for (deep, quick) in [(1, 1), (2, 1), (2, 3), (3, 1), (3, 2), (5, 4)] {
                let cleaned = Cell::new(0);
                let both = join(nested(deep, 4, &cleaned), nested(quick, 1, &cleaned));
                let took = cut_at_1(timeout(LONG, both)).await;
                assert_eq!(cleaned.get(), deep + quick, "{deep}, {quick}");
                let longest = 4 + u64::from(deep - 1);
                assert_eq!(took, longest.max(u64::from(quick)), "{deep}, {quick}");
            }
        });
    }

    #[test]
    fn several_scopes_between() {
        run::<()>(async |_| {
            let cleaned = Cell::new(0);
            let both = join(nested(3, 4, &cleaned), nested(1, 1, &cleaned));
            let inner = timeout(LONG, join(both, nested(2, 2, &cleaned)));
            let outer = move_on_after(LONG, timeout(LONG, join(inner, nested(1, 3, &cleaned))));
            assert_eq!(cut_at_1(outer).await, 6);
            assert_eq!(cleaned.get(), 7);
        });
    }

    #[test]
    fn however_the_branches_are_polled() {
        run::<()>(async |_| {
            let cleaned = Cell::new(0);
            let branches = || [(3, 4), (1, 1), (2, 2)].map(|(n, slow)| nested(n, slow, &cleaned));
            cut_at_1(timeout(LONG, join_all(branches()))).await;
            assert_eq!(cleaned.take(), 6);
            let unordered: FuturesUnordered<_> = branches().into_iter().collect();
            cut_at_1(timeout(LONG, unordered.collect::<Vec<_>>())).await;
            assert_eq!(cleaned.take(), 6);
        });
    }

    #[test]
    fn whatever_is_cancelled() {
        run::<()>(async |_| {
            let cleaned = Cell::new(0);
            let both = || async {
                let both = join(nested(2, 4, &cleaned), nested(1, 1, &cleaned));
                timeout(LONG, both).await
            };
            let scope = cancel_scope(async |scope| {
                asyncio_loop::call_later(secs(1), move || scope.cancel());
                both().await
            });
            assert!(scope.await.is_none());
            assert_eq!(cleaned.take(), 3);
            let group = task_group::<(), (), _>(async |tg| {
                tg.spawn(async { Ok(both().await) });
                sleep(secs(1)).await;
                tg.cancel();
                Ok(())
            });
            group.await.unwrap();
            assert_eq!(cleaned.take(), 3);
            let failed = task_group::<(), &str, _>(async |tg| {
                tg.spawn(async { Ok(both().await) });
                sleep(secs(1)).await;
                Err("failed")
            });
            assert!(failed.await.is_err());
            assert_eq!(cleaned.take(), 3);
            let loses = async {
                let _ = both().await;
            };
            race((sleep(secs(1)), loses)).await;
            assert_eq!(cleaned.take(), 3);
            let task = async {
                let cleaned = Cell::new(0);
                let both = join(nested(2, 4, &cleaned), nested(1, 1, &cleaned));
                on_cancel(timeout(LONG, both), async { assert_eq!(cleaned.get(), 3) }).await
            };
            assert!(timeout(secs(1), spawn(task)).await.is_err());
        });
    }

    /// The token of a scope is let go by a branch that is polled after it: the scope is polled once more.
    #[test]
    fn a_scope_propagates_although_its_token_goes_elsewhere() {
        run::<()>(async |_| {
            let token: RefCell<Option<Cancelled>> = RefCell::default();
            let cleaned = Cell::new(0);
            let inner = async {
                let cancelled = catch_cancel(pending::<()>()).await.unwrap_err();
                token.replace(Some(cancelled));
                pending::<()>().await;
            };
            let heard = on_cancel(inner, async { cleaned.set(cleaned.get() + 1) });
            let lets_go = on_cancel(pending::<()>(), async {
                sleep(secs(2)).await;
                drop(token.take());
            });
            assert_eq!(cut_at_1(timeout(LONG, join(heard, lets_go))).await, 2);
            assert_eq!(cleaned.get(), 1);
        });
    }
}

/// Rule 1: a request ends at its target, whichever of several tokens comes last.
mod targets {
    use super::*;

    async fn swallows() {
        catch_cancel(pending::<()>()).await.unwrap_err().swallow();
    }

    #[test]
    fn a_branch_that_swallows_at_once_leaves_the_request_to_its_target() {
        run::<()>(async |_| {
            let cleaned = Cell::new(0);
            let work = || join(nested(2, 2, &cleaned), swallows());
            assert_eq!(
                timeout(LONG, timeout(secs(1), work())).await,
                Ok(Err(TimedOut))
            );
            assert_eq!(cleaned.get(), 2);
            let scope = cancel_scope(async |scope| {
                asyncio_loop::call_later(secs(1), move || scope.cancel());
                work().await
            });
            assert_eq!(timeout(LONG, scope).await, Ok(None));
            assert_eq!(cleaned.get(), 4);
        });
    }

    #[test]
    fn an_earlier_request_stays_when_a_later_one_is_swallowed() {
        run::<()>(async |_| {
            let scope = cancel_scope(async |scope: CancelScope| {
                for n in 1..=2 {
                    let scope = scope.clone();
                    asyncio_loop::call_later(secs(n), move || scope.cancel());
                }
                on_cancel(pending::<()>(), async {
                    swallows().await;
                    sleep(secs(2)).await;
                })
                .await;
            });
            let start = time();
            assert_eq!(timeout(LONG, scope).await, Ok(None));
            assert_eq!(time() - start, secs(4));
        });
    }

    /// Each that is reached hears what was said, also after others have swallowed the request.
    #[test]
    fn the_message_stays_with_the_request() {
        run::<()>(async |_| {
            let heard = RefCell::new(Vec::new());
            let hears = async || {
                let cancelled = catch_cancel(pending::<()>()).await.unwrap_err();
                let message = cancelled.message().map(str::to_owned);
                heard.borrow_mut().push(message);
                cancelled
            };
            let work = async {
                let twice = async {
                    let inner = async {
                        let cancelled = hears().await;
                        sleep(secs(2)).await;
                        cancelled.resume().await
                    };
                    let outer = catch_cancel(inner).await.map(|_: ()| ()).unwrap_err();
                    heard.borrow_mut().push(outer.message().map(str::to_owned));
                    outer.resume().await
                };
                join(twice, async { hears().await.swallow() }).await
            };
            let outcome = task_group::<(), (), _>(async |tg| {
                let child = tg.spawn(async {
                    work.await;
                    Ok(())
                });
                sleep(secs(1)).await;
                child.cancel_with("enough");
                let error = child.await.unwrap_err();
                assert_eq!(error.message(), Some("enough"));
                Ok(())
            });
            outcome.await.unwrap();
            assert_eq!(heard.take(), vec![Some("enough".to_owned()); 3]);
        });
    }
}

/// A token that leaves its scope still holds the code around, and still has the request.
mod moved_tokens {
    use super::*;

    /// A loop that ends by a limit of a second, in its second round.
    async fn ends_at_once(round: impl AsyncFn()) {
        let start = time();
        let work = async {
            for n in 1.. {
                round().await;
                assert!(n < 9, "a request is told over and over");
            }
        };
        assert!(timeout(secs(1), work).await.is_err());
        assert!(time() - start <= secs(3));
    }

    #[test]
    fn a_loop_that_drops_the_value_of_a_limit() {
        run::<()>(async |_| {
            ends_at_once(async || drop(timeout(LONG, catch_cancel(sleep(secs(1)))).await)).await;
            let twice = async || {
                let inner = timeout(LONG, catch_cancel(sleep(secs(1))));
                drop(move_on_after(LONG, inner).await);
            };
            ends_at_once(twice).await;
        });
    }

    #[test]
    fn a_loop_that_drops_tokens_inside_of_a_limit() {
        run::<()>(async |_| {
            let inside = async || {
                let _ = timeout(LONG, async {
                    drop(catch_cancel(sleep(secs(1))).await);
                })
                .await;
            };
            ends_at_once(inside).await;
        });
    }

    #[test]
    fn a_loop_that_drops_the_scope_and_then_its_token() {
        run::<()>(async |_| {
            let kept = async || {
                let slot = RefCell::new(None);
                let keeps = timeout(LONG, async {
                    slot.replace(catch_cancel(sleep(secs(1))).await.err());
                    pending::<()>().await;
                });
                select(pin!(keeps), pin!(sleep(secs(2)))).await;
                drop(slot);
            };
            ends_at_once(kept).await;
        });
    }

    async fn token() -> Cancelled {
        let caught = timeout(LONG, timeout(LONG, catch_cancel(pending::<()>())));
        caught.await.unwrap().unwrap().unwrap_err()
    }

    #[test]
    fn it_holds_and_resumes() {
        run::<()>(async |_| {
            let took = cut_at_1(async {
                let token = token().await;
                sleep(secs(1)).await;
                on_cancel(sleep(secs(1)), async { panic!("it is held") }).await;
                token.resume().await
            });
            assert_eq!(took.await, 2);
        });
    }

    #[test]
    fn it_holds_against_siblings() {
        run::<()>(async |_| {
            let cleaned = Cell::new(false);
            let keeps = async {
                let _token = token().await;
                sleep(secs(3)).await;
                cleaned.set(true);
            };
            let quick = on_cancel(pending::<()>(), async { sleep(secs(1)).await });
            let took = cut_at_1(join(keeps, quick));
            assert_eq!(took.await, 3);
            assert!(cleaned.get());
        });
    }

    #[test]
    fn it_swallows() {
        run::<()>(async |_| {
            let work = async {
                token().await.swallow();
                sleep(secs(5)).await;
                7
            };
            assert_eq!(timeout(secs(1), work).await, Ok(7));
        });
    }

    /// The request was to the scope that the token has left: it is spent.
    #[test]
    fn it_is_nothing_outside_of_the_target() {
        run::<()>(async |_| {
            let work = async {
                let token = timeout(secs(1), catch_cancel(pending::<()>())).await;
                sleep(secs(1)).await;
                drop(token);
                sleep(secs(5)).await;
                7
            };
            assert_eq!(timeout(LONG, work).await, Ok(7));
        });
    }

    #[test]
    fn nothing_is_left_of_it() {
        run::<()>(async |_| {
            let scopes = || format!("{:?}", asyncio_loop::running_loop());
            let before = scopes();
            for fate in 0..3 {
                let work = async {
                    let token = token().await;
                    match fate {
                        0 => token.resume().await,
                        1 => drop(token),
                        _ => token.swallow(),
                    }
                };
                let _ = timeout(secs(1), work).await;
                assert_eq!(scopes(), before);
            }
        });
    }
}

/// Rule 7: a time limit does not interrupt a cleanup that began by a request to a scope around it.
mod limits {
    use super::*;

    #[test]
    fn a_limit_beside_a_sibling_that_cleans_up() {
        run::<()>(async |_| {
            let cleaned = Cell::new(0);
            let limited = timeout(secs(2), timeout(LONG, nested(2, 4, &cleaned)));
            let sibling = on_cancel(pending::<()>(), async { sleep(secs(9)).await });
            assert_eq!(cut_at_1(timeout(LONG, join(limited, sibling))).await, 9);
            assert_eq!(cleaned.get(), 2);
        });
    }

    /// The work in the limit has answered for itself while a sibling cleans up: the limit is acted on.
    #[test]
    fn a_limit_beside_a_sibling_whose_work_goes_on() {
        run::<()>(async |_| {
            let ended = Cell::new(0);
            let start = time();
            let limited = async {
                let work = async {
                    catch_cancel(pending::<()>()).await.unwrap_err().swallow();
                    sleep(secs(9)).await;
                };
                assert!(timeout(secs(3), work).await.is_err());
                ended.set((time() - start).as_secs());
            };
            let sibling = on_cancel(pending::<()>(), async { sleep(secs(9)).await });
            cut_at_1(timeout(LONG, join(limited, sibling))).await;
            assert_eq!(ended.get(), 3);
        });
    }
}
