//! Cleanups of unequal length in one piece of code: none interrupts another (rules 4 and 7).

mod support;

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::time::Duration;

use asyncio_executors::{
    cancel_scope, catch_cancel, move_on_after, on_cancel, race, task_group, timeout,
};
use asyncio_loop::{sleep, spawn, time};
use asyncio_task::Cancelled;
use futures::future::{LocalBoxFuture, join, join_all};
use futures::stream::{FuturesUnordered, StreamExt};
use support::run;

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
