//! Tasks that await each other: a request that comes back ends a wait, and does not circulate forever (rule 9).

use std::cell::RefCell;
use std::rc::Rc;

use asyncio::{
    BoxError, Child, JoinError, ReturnWhen, Task, TaskGroup, TaskRef, circles, gather, race,
    shield, sleep, spawn, task_group, timeout, wait, yield_now,
};
use asyncio_tests::{Trace, run_virtual, secs};

type Slots<T> = Rc<[RefCell<Option<T>>]>;

fn slots<T>(n: usize) -> Slots<T> {
    (0..n).map(|_| RefCell::new(None)).collect()
}

fn outcome(outcome: Result<(), JoinError>) -> String {
    match outcome {
        Ok(()) => "a value".into(),
        Err(error @ JoinError::InCircle(..)) => {
            let text = error.to_string();
            assert!(text.contains("circles.rs:"), "the places are named: {text}");
            "a circle".into()
        }
        Err(error) => error.to_string(),
    }
}

/// Tasks each of which awaits the next, and the last one the first.
fn ring(trace: &Trace, n: usize) -> Vec<TaskRef> {
    let slots = slots::<Task<()>>(n);
    let mut tasks = Vec::new();
    for me in 0..n {
        let (slots_of_all, trace) = (slots.clone(), trace.clone());
        let task = spawn(async move {
            yield_now().await;
            let other = slots_of_all[(me + 1) % n].take().unwrap();
            let ended = outcome(other.await);
            trace.note(format!("{me} gets {ended}"));
        });
        tasks.push(task.as_ref());
        slots[me].replace(Some(task));
    }
    tasks
}

#[test]
fn a_request_that_comes_back_ends_the_wait() {
    for n in [2, 3, 10] {
        for asked in 0..n {
            let seen = run_virtual(async |trace| {
                let tasks = ring(trace, n);
                sleep(secs(1)).await;
                assert!(tasks[asked].cancel());
                sleep(secs(1)).await;
                assert!(tasks.iter().all(TaskRef::is_finished));
            });
            assert_eq!(seen.len(), n);
            // The one before closes the circle, and the others get the value that it returns.
            let before = (asked + n - 1) % n;
            assert_eq!(seen[0], format!("{before} gets a circle"));
            assert!(
                seen[1..].iter().all(|line| line.ends_with("a value")),
                "{seen:?}"
            );
        }
    }
}

#[test]
fn a_loop_closes_over_circles() {
    let seen = run_virtual(async |trace| {
        for n in [1, 2, 3, 7] {
            ring(trace, n);
        }
        sleep(secs(1)).await;
    });
    let found = seen.iter().filter(|line| line.ends_with("a circle"));
    assert_eq!(found.count(), 3, "{seen:?}");
}

#[test]
fn all_of_a_circle_may_be_asked_at_once() {
    let seen = run_virtual(async |trace| {
        let tasks = ring(trace, 3);
        sleep(secs(1)).await;
        for _ in 0..3 {
            for task in &tasks {
                task.cancel();
            }
        }
        sleep(secs(1)).await;
        assert!(tasks.iter().all(TaskRef::is_finished));
    });
    assert!(
        seen.iter().any(|line| line.ends_with("a circle")),
        "{seen:?}"
    );
}

#[test]
fn a_time_limit_in_a_circle_ends_it() {
    let seen = run_virtual(async |trace| {
        let slots = slots::<Task<()>>(2);
        for me in 0..2 {
            let (others, trace) = (slots.clone(), trace.clone());
            let task = spawn(async move {
                yield_now().await;
                let other = others[1 - me].take().unwrap();
                let limit = secs(1 + me as u64);
                match timeout(limit, other).await {
                    Ok(ended) => trace.note(format!("{me} gets {}", outcome(ended))),
                    Err(late) => trace.note(format!("{me} {late}")),
                }
            });
            slots[me].replace(Some(task));
        }
        sleep(secs(10)).await;
    });
    assert_eq!(seen, ["1 gets a circle", "0 gets a value"]);
}

/// Children of one group, each of which awaits the next.
async fn ring_of_children(n: usize) {
    let slots = slots::<Child<'static, ()>>(n);
    let group = task_group(async move |tg: TaskGroup<'static, BoxError>| {
        for me in 0..n {
            let others = slots.clone();
            let child = tg.spawn(async move {
                yield_now().await;
                let other = others[(me + 1) % n].take().unwrap();
                drop(other.await);
                Ok(())
            });
            slots[me].replace(Some(child));
        }
        Ok(())
    });
    drop(group.await);
}

#[test]
fn a_time_limit_around_a_group_ends_children_that_await_each_other() {
    for n in [2, 3, 5] {
        run_virtual(async |_| {
            assert!(timeout(secs(1), ring_of_children(n)).await.is_err());
        });
    }
}

#[test]
fn a_loop_closes_over_children_that_await_each_other() {
    run_virtual(async |_| {
        spawn(ring_of_children(3)).detach();
        let _held = spawn(ring_of_children(2));
        sleep(secs(1)).await;
    });
}

/// Gives a task its own handle.
fn with_own_handle<F: Future<Output = ()> + 'static>(
    work: impl FnOnce(Task<()>) -> F + 'static,
) -> TaskRef {
    let slots = slots::<Task<()>>(1);
    let mine = slots.clone();
    let task = spawn(async move {
        yield_now().await;
        let me = mine[0].take().unwrap();
        work(me).await;
    });
    let this = task.as_ref();
    slots[0].replace(Some(task));
    this
}

#[test]
fn a_child_that_awaits_the_task_of_its_group_is_in_a_circle() {
    let seen = run_virtual(async |trace| {
        let noted = trace.clone();
        let task = with_own_handle(async |me| {
            let group = task_group(async move |tg: TaskGroup<'_>| {
                tg.spawn(async move {
                    noted.note(outcome(me.await));
                    Ok(())
                });
                Ok(())
            });
            drop(group.await);
        });
        sleep(secs(1)).await;
        task.cancel();
        sleep(secs(1)).await;
        assert!(task.is_finished());
    });
    assert_eq!(seen, ["a circle"]);
}

#[test]
fn what_is_gathered_or_raced_is_too() {
    run_virtual(async |_| {
        let gathers = with_own_handle(async |me| drop(gather((me, sleep(secs(9)))).await));
        let races = with_own_handle(async |me| {
            let never = async {
                sleep(secs(99)).await;
                Ok(())
            };
            drop(race((never, me)).await);
        });
        sleep(secs(1)).await;
        gathers.cancel();
        races.cancel();
        sleep(secs(1)).await;
        assert!(gathers.is_finished() && races.is_finished());
    });
}

#[test]
fn the_loser_of_a_race_that_awaits_the_racer_ends_with_it() {
    run_virtual(async |_| {
        let task = with_own_handle(async |me| {
            let soon = async {
                sleep(secs(1)).await;
                Ok(())
            };
            drop(race((soon, me)).await);
        });
        sleep(secs(5)).await;
        assert!(task.is_finished());
    });
}

#[test]
fn shields_in_a_circle_do_not_keep_it() {
    for (one, two) in [(true, false), (false, true), (true, true)] {
        run_virtual(async |_| {
            let slots = slots::<Task<()>>(2);
            let mut tasks = Vec::new();
            for (me, shielded) in [one, two].into_iter().enumerate() {
                let others = slots.clone();
                let task = spawn(async move {
                    yield_now().await;
                    let mut other = others[1 - me].take().unwrap();
                    if shielded {
                        drop(shield(&mut other).await);
                    } else {
                        drop(other.await);
                    }
                });
                tasks.push(task.as_ref());
                slots[me].replace(Some(task));
            }
            sleep(secs(1)).await;
            tasks[0].cancel();
            sleep(secs(1)).await;
            if !two {
                // The shield keeps the request from the other, which has its say first.
                assert!(tasks.iter().all(|task| !task.is_finished()));
                tasks[1].cancel();
                sleep(secs(1)).await;
            }
            assert!(
                tasks.iter().all(TaskRef::is_finished),
                "{one} {two}: {tasks:?}"
            );
        });
    }
}

/// A chain is no circle, however often it is asked.
#[test]
fn a_chain_is_cancelled_as_ever() {
    let seen = run_virtual(async |trace| {
        let noted = trace.clone();
        let last = spawn(async move {
            asyncio::on_cancel(sleep(secs(100)), async {
                sleep(secs(1)).await;
                noted.note("clean");
            })
            .await;
        });
        let mut task = last;
        for _ in 0..5 {
            task = spawn(async move {
                drop(task.await);
            });
        }
        sleep(secs(1)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    });
    assert_eq!(seen, ["clean"]);
}

#[test]
fn circles_are_found_without_any_request() {
    let seen = run_virtual(async |trace| {
        ring(trace, 3);
        let slots = slots::<Task<()>>(2);
        for me in 0..2 {
            let others = slots.clone();
            let task = spawn(async move {
                yield_now().await;
                let mut tasks = vec![others[1 - me].take().unwrap()];
                drop(wait(&mut tasks, ReturnWhen::AllCompleted).await);
            });
            slots[me].replace(Some(task));
        }
        let _chain = spawn(async { spawn(sleep(secs(100))).await });
        sleep(secs(1)).await;
        let mut found: Vec<_> = circles()
            .iter()
            .map(|circle| circle.tasks().len())
            .collect();
        found.sort_unstable();
        trace.note(format!("circles of {found:?}"));
    });
    assert_eq!(seen[0], "circles of [2, 3]");
}
