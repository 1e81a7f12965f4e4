//! What becomes of cleanups, groups, shields and parked scopes when their loop closes.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use asyncio::{
    Cancelled, CatchCancel, TaskGroup, catch_cancel, on_cancel, shield, sleep, spawn, task_group,
    time, timeout, yield_now,
};
use asyncio_tests::{Trace, for_ever, run_virtual, secs};

/// Waits, cleans up for some seconds when it is cancelled, and notes when it began and when it was clean.
async fn cleans_up(trace: Trace, name: &'static str, takes: u64) {
    let start = time();
    let cleanup = async {
        trace.note(format!("{name} cleans up"));
        let began = time();
        sleep(secs(takes)).await;
        trace.note(format!("{name} is clean after {:?}", time() - began));
    };
    on_cancel(for_ever(), cleanup).await;
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
        spawn(on_cancel(for_ever(), async move {
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
        spawn(on_cancel(for_ever(), async move {
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
            if let Err(cancelled) = catch_cancel(for_ever()).await {
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
        for_ever().await;
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
            on_cancel(for_ever(), async { noted.note("the other cleans up") }).await;
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
                let Err(cancelled) = catch_cancel(for_ever()).await else {
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
            *keep.borrow_mut() = catch_cancel(for_ever()).await.err();
            noted.note("keeps it, and returns");
        })
        .detach();
        yield_now().await;
    });
    assert_eq!(seen, ["keeps it, and returns"]);
    drop(kept.take());
}
