//! A request that some have swallowed, and then a failure or a winner: those that go on are cancelled all the same,
//! and those that still clean up are not interrupted.

use std::future::pending;
use std::time::Duration;

use crate::support::{Trace, run};
use asyncio_executors::{
    CancelScope, TaskGroup, cancel_scope, catch_cancel, catch_panic, gather, gather_bounded,
    on_cancel, race, shield, staggered_race, task_group, try_gather, try_gather_bounded,
};
use asyncio_loop::{call_later, sleep, time};
use asyncio_testkit::OnDrop;
use futures::future::LocalBoxFuture;

type Work<'a, T> = LocalBoxFuture<'a, T>;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Swallows one request after a cleanup of so many seconds, and then works.
async fn swallows<T>(cleanup: u64, work: impl Future<Output = T>) -> T {
    let cancelled = catch_cancel(pending::<()>()).await.unwrap_err();
    sleep(secs(cleanup)).await;
    cancelled.swallow();
    work.await
}

/// The value of work that a request comes to after a second, the seconds that it took, and whether the request takes
/// the next await of the code around.
async fn asked_at_1<T>(work: impl Future<Output = T>) -> (T, u64, bool) {
    let start = time();
    let outcome = cancel_scope(async |scope: CancelScope| {
        call_later(secs(1), move || scope.cancel());
        let value = work.await;
        let took = (time() - start).as_secs();
        let next = catch_cancel(sleep(secs(1))).await;
        let is_cut = next.is_err();
        next.unwrap_or_else(|cancelled| cancelled.swallow());
        (value, took, is_cut)
    });
    outcome.await.expect("the request was swallowed")
}

/// Work that ends at 3, if it has swallowed the request at once.
fn quick<'a, T: 'a>(value: T) -> Work<'a, T> {
    Box::pin(swallows(0, async {
        sleep(secs(2)).await;
        value
    }))
}

async fn after_a_second<T>(value: T) -> T {
    sleep(secs(1)).await;
    value
}

/// Work that goes on for a long time after its cleanup, unless it is cancelled again.
fn slow<'a, T: 'a>(cleanup: u64, trace: &Trace, value: T) -> Work<'a, T> {
    let trace = trace.clone();
    Box::pin(swallows(cleanup, async move {
        let note = trace.clone();
        let _guard = OnDrop::new(move || note.note("dropped"));
        sleep(secs(100)).await;
        trace.note("at its end");
        value
    }))
}

/// Work that cleans up from 1 to 5, and then sends the request on.
fn cleaning<'a, T: 'a>(trace: &Trace) -> Work<'a, T> {
    let trace = trace.clone();
    Box::pin(on_cancel(pending(), async move {
        sleep(secs(4)).await;
        trace.note("cleaned up");
    }))
}

/// Two futures in each form of a race.
async fn race_of(form: usize, first: Work<'_, u64>, second: Work<'_, u64>) -> u64 {
    match form {
        0 => race((first, second)).await,
        1 => race([first, second]).await,
        2 => race(vec![first, second]).await,
        _ => {
            let first = async { Ok::<_, ()>(first.await) };
            let second = async { Ok::<_, ()>(second.await) };
            let contenders: [Work<'_, _>; 2] = [Box::pin(first), Box::pin(second)];
            let raced = staggered_race(contenders.map(|it| move || it), Some(Duration::ZERO));
            raced.await.winner.unwrap().0
        }
    }
}

type Fallible = Result<u64, &'static str>;

/// Two futures in each form of a gather that fails.
async fn try_gather_of(
    form: usize,
    first: Work<'_, Fallible>,
    second: Work<'_, Fallible>,
) -> Fallible {
    match form {
        0 => try_gather((first, second)).await.map(|_| 0),
        1 => try_gather([first, second]).await.map(|_| 0),
        2 => try_gather(vec![first, second]).await.map(|_| 0),
        3 => try_gather_bounded(2, vec![first, second]).await.map(|_| 0),
        _ => {
            let group = task_group(async |tg: TaskGroup<'_, &'static str>| {
                tg.spawn(first);
                tg.spawn(second);
                Ok(0)
            });
            group.await.map_err(|errors| errors.into_first())
        }
    }
}

mod after_all_have_swallowed {
    use super::*;

    #[test]
    fn the_winner_of_a_race_ends_the_losers() {
        for form in 0..4 {
            let trace = run(async |trace| {
                let raced = race_of(form, quick(1), slow(0, &trace, 2));
                assert_eq!(asked_at_1(raced).await, (1, 3, false), "form {form}");
            });
            assert_eq!(trace, ["dropped"], "form {form}");
        }
    }

    #[test]
    fn an_error_ends_the_others() {
        for form in 0..5 {
            let trace = run(async |trace| {
                let gathered = try_gather_of(form, quick(Err("bad")), slow(0, &trace, Ok(2)));
                let bad = (Err("bad"), 3, false);
                assert_eq!(asked_at_1(gathered).await, bad, "form {form}");
            });
            assert_eq!(trace, ["dropped"], "form {form}");
        }
    }

    #[test]
    fn a_panic_ends_the_others() {
        for form in 0..5 {
            let trace = run(async |trace| {
                let panics = || {
                    Box::pin(swallows(0, async {
                        sleep(secs(2)).await;
                        panic!("on purpose")
                    }))
                };
                let slow = slow(0, &trace, 2_u64);
                let gathered = catch_panic(async {
                    match form {
                        0 => drop(gather((panics() as Work<'_, u64>, slow)).await),
                        1 => drop(gather([panics(), slow]).await),
                        2 => drop(gather(vec![panics(), slow]).await),
                        3 => drop(gather_bounded(2, vec![panics(), slow]).await),
                        _ => {
                            let group = task_group(async |tg: TaskGroup<'_, ()>| {
                                tg.spawn(async { Ok(slow.await) });
                                panics().await;
                                Ok(())
                            });
                            drop(group.await);
                        }
                    }
                });
                let (outcome, took, is_cut) = asked_at_1(gathered).await;
                assert!(outcome.is_err(), "form {form}");
                assert_eq!((took, is_cut), (3, false), "form {form}");
            });
            assert_eq!(trace, ["dropped"], "form {form}");
        }
    }

    #[test]
    fn an_error_of_a_child_ends_the_body() {
        let trace = run(async |trace| {
            let group = task_group(async |tg: TaskGroup<'_, &'static str>| {
                tg.spawn(quick(Err::<u64, _>("bad")));
                Ok(slow(0, &trace, 2).await)
            });
            let (outcome, took, is_cut) = asked_at_1(group).await;
            assert_eq!(
                (outcome.unwrap_err().into_first(), took, is_cut),
                ("bad", 3, false)
            );
        });
        assert_eq!(trace, ["dropped"]);
    }

    #[test]
    fn an_error_of_the_body_ends_the_children() {
        let trace = run(async |trace| {
            let group = task_group(async |tg: TaskGroup<'_, &'static str>| {
                tg.spawn(slow(0, &trace, Ok(2)));
                quick(Err::<(), _>("bad")).await
            });
            let (outcome, took, is_cut) = asked_at_1(group).await;
            assert_eq!(
                (outcome.unwrap_err().into_first(), took, is_cut),
                ("bad", 3, false)
            );
        });
        assert_eq!(trace, ["dropped"]);
    }

    #[test]
    fn a_second_request_is_one_of_its_own() {
        for form in 0..3 {
            run::<&str>(async |_| {
                let twice =
                    || Box::pin(swallows(0, swallows(0, after_a_second(5_u64)))) as Work<'_, u64>;
                let start = time();
                let outcome = cancel_scope(async |scope: CancelScope| {
                    let again = scope.clone();
                    call_later(secs(1), move || scope.cancel());
                    call_later(secs(2), move || again.cancel());
                    let value = race_of(form, twice(), twice()).await;
                    sleep(secs(1)).await;
                    value
                });
                assert_eq!(
                    (outcome.await, time() - start),
                    (Some(5), secs(4)),
                    "form {form}"
                );
            });
        }
    }
}

mod while_some_clean_up {
    use super::*;

    #[test]
    fn a_panic_in_one_cleanup_interrupts_no_other() {
        for form in 0..5 {
            let trace = run(async |trace| {
                let panics = on_cancel(pending::<Fallible>(), async {
                    sleep(secs(2)).await;
                    panic!("on purpose");
                });
                let gathered = try_gather_of(form, Box::pin(panics), cleaning(&trace));
                let (outcome, took, is_cut) = asked_at_1(catch_panic(gathered)).await;
                assert!(outcome.is_err(), "form {form}");
                assert_eq!((took, is_cut), (5, true), "form {form}");
            });
            assert_eq!(trace, ["cleaned up"], "form {form}");
        }
    }

    #[test]
    fn a_panic_in_a_cleanup_of_a_race_interrupts_no_other() {
        for form in 0..4 {
            let trace = run(async |trace| {
                let panics = on_cancel(pending::<u64>(), async {
                    sleep(secs(2)).await;
                    panic!("on purpose");
                });
                let raced = race_of(form, Box::pin(panics), cleaning(&trace));
                let (outcome, took, is_cut) = asked_at_1(catch_panic(raced)).await;
                assert!(outcome.is_err(), "form {form}");
                assert_eq!((took, is_cut), (5, true), "form {form}");
            });
            assert_eq!(trace, ["cleaned up"], "form {form}");
        }
    }

    /// The loser is itself a race, one of whose contenders is shielded from the request.
    #[test]
    fn a_loser_comes_to_no_value() {
        for (outer, inner) in [(0, 0), (0, 2), (2, 0), (2, 2)] {
            let trace = run(async |trace| {
                let first = async {
                    shield(sleep(secs(2))).await;
                    1
                };
                let note = trace.clone();
                let second = async {
                    let shielded = async {
                        shield(sleep(secs(4))).await;
                        2
                    };
                    let raced = race_of(inner, Box::pin(shielded), Box::pin(pending()));
                    let value = on_cancel(raced, async { note.note("cleaned up") }).await;
                    note.note("at a value");
                    value
                };
                let raced = race_of(outer, Box::pin(first), Box::pin(second));
                let start = time();
                let work = async {
                    sleep(secs(1)).await;
                    raced.await
                };
                let raced = asyncio_executors::timeout(secs(2), work).await;
                assert!(raced.is_ok(), "{outer} {inner}");
                assert_eq!(time() - start, secs(5), "{outer} {inner}");
            });
            assert_eq!(trace, ["cleaned up"], "{outer} {inner}");
        }
    }

    #[test]
    fn a_winner_interrupts_no_cleanup() {
        for form in 0..4 {
            let trace = run(async |trace| {
                let raced = race_of(form, quick(1), cleaning(&trace));
                assert_eq!(asked_at_1(raced).await, (1, 5, true), "form {form}");
            });
            assert_eq!(trace, ["cleaned up"], "form {form}");
        }
    }

    #[test]
    fn an_error_interrupts_no_cleanup() {
        for form in 0..5 {
            let trace = run(async |trace| {
                let gathered = try_gather_of(form, quick(Err("bad")), cleaning(&trace));
                assert_eq!(
                    asked_at_1(gathered).await,
                    (Err("bad"), 5, true),
                    "form {form}"
                );
            });
            assert_eq!(trace, ["cleaned up"], "form {form}");
        }
    }

    #[test]
    fn a_loser_that_swallows_after_the_end_of_the_race_is_cancelled_then() {
        for form in 0..4 {
            let trace = run(async |trace| {
                let raced = race_of(form, quick(1), slow(4, &trace, 2));
                assert_eq!(asked_at_1(raced).await, (1, 5, true), "form {form}");
            });
            assert!(!trace.contains(&"at its end"), "form {form}: {trace:?}");
        }
    }

    /// One that has ended without a value leaves nothing to gather.
    #[test]
    fn one_that_swallows_beside_one_that_does_not_is_cancelled_then() {
        for (form, cleans_up) in (0..4).flat_map(|form| [(form, false), (form, true)]) {
            let trace = run(async |trace| {
                let short = match cleans_up {
                    true => cleaning(&trace),
                    false => Box::pin(pending()),
                };
                let start = time();
                let outcome = cancel_scope(async |scope: CancelScope| {
                    call_later(secs(1), move || scope.cancel());
                    try_gather_of(form, short, slow(6, &trace, Ok(2))).await
                });
                assert_eq!(
                    (outcome.await, time() - start),
                    (None, secs(7)),
                    "form {form}"
                );
            });
            assert!(!trace.contains(&"at its end"), "form {form}: {trace:?}");
        }
    }

    #[test]
    fn one_that_swallows_after_the_error_is_cancelled_then() {
        for form in 0..5 {
            let trace = run(async |trace| {
                let late = slow(4, &trace, Ok(2));
                let gathered = try_gather_of(form, quick(Err("bad")), late);
                assert_eq!(
                    asked_at_1(gathered).await,
                    (Err("bad"), 5, true),
                    "form {form}"
                );
            });
            assert!(!trace.contains(&"at its end"), "form {form}: {trace:?}");
        }
    }
}

mod after_the_group_cancelled_its_children {
    use super::*;

    #[test]
    fn an_error_ends_those_that_have_swallowed_it() {
        let trace = run(async |trace| {
            let start = time();
            let group = task_group(async |tg: TaskGroup<'_, &'static str>| {
                tg.spawn(quick(Err::<u64, _>("bad")));
                tg.spawn(slow(0, &trace, Ok(2)));
                sleep(secs(1)).await;
                tg.cancel();
                Ok(())
            });
            let errors = group.await.unwrap_err();
            assert_eq!((errors.into_first(), time() - start), ("bad", secs(3)));
        });
        assert_eq!(trace, ["dropped"]);
    }

    #[test]
    fn an_error_interrupts_no_cleanup() {
        let trace = run(async |trace| {
            let start = time();
            let group = task_group(async |tg: TaskGroup<'_, &'static str>| {
                tg.spawn(quick(Err::<u64, _>("bad")));
                tg.spawn(cleaning::<Fallible>(&trace));
                sleep(secs(1)).await;
                tg.cancel();
                Ok(())
            });
            let errors = group.await.unwrap_err();
            assert_eq!((errors.into_first(), time() - start), ("bad", secs(5)));
        });
        assert_eq!(trace, ["cleaned up"]);
    }
}

mod after_a_panic {
    use super::*;

    #[test]
    fn a_second_panic_does_not_ask_again() {
        for form in 0..4 {
            let trace = run(async |trace| {
                let first: Work<'_, ()> = Box::pin(async {
                    sleep(secs(1)).await;
                    panic!("on purpose");
                });
                let second: Work<'_, ()> = Box::pin(on_cancel(pending(), async {
                    sleep(secs(1)).await;
                    panic!("on purpose");
                }));
                let third = slow(0, &trace, ());
                let gathered = async {
                    match form {
                        0 => drop(gather((first, second, third)).await),
                        1 => drop(gather([first, second, third]).await),
                        2 => drop(gather(vec![first, second, third]).await),
                        _ => {
                            let group = task_group(async |tg: TaskGroup<'_, ()>| {
                                for child in [first, second, third] {
                                    tg.spawn_ok(child);
                                }
                                Ok(())
                            });
                            drop(group.await);
                        }
                    }
                };
                assert!(catch_panic(gathered).await.is_err(), "form {form}");
            });
            assert_eq!(trace, ["at its end", "dropped"], "form {form}");
        }
    }
}
