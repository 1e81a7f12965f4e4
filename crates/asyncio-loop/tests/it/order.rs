//! The order of steps: first in, first out, and no step runs inside another.

use std::cell::Cell;
use std::rc::Rc;
use std::task::Poll;

use crate::support::{ms, run_virtual, secs};
use asyncio_loop::{call_later, call_soon, sleep, spawn, time, yield_now};

#[test]
fn spawned_tasks_begin_later_in_spawn_order() {
    let trace = run_virtual(async |trace| {
        let tasks = ["a", "b", "c"].map(|name| {
            let trace = trace.clone();
            spawn(async move { trace.note(name) })
        });
        trace.note("all spawned");
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(trace, ["all spawned", "a", "b", "c"]);
}

#[test]
fn a_yield_goes_to_the_back_once() {
    let trace = run_virtual(async |trace| {
        let tasks = ["a", "b"].map(|name| {
            let trace = trace.clone();
            spawn(async move {
                for round in 0..3 {
                    trace.note(format!("{name}{round}"));
                    yield_now().await;
                }
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(trace, ["a0", "b0", "a1", "b1", "a2", "b2"]);
}

#[test]
fn a_sleep_of_no_length_is_a_yield() {
    let trace = run_virtual(async |trace| {
        let start = time();
        let tasks = [true, false].map(|sleeps| {
            let trace = trace.clone();
            spawn(async move {
                for _ in 0..2 {
                    trace.note(if sleeps { "sleep" } else { "yield" });
                    if sleeps {
                        sleep(ms(0)).await;
                    } else {
                        yield_now().await;
                    }
                }
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(time(), start);
    });
    assert_eq!(trace, ["sleep", "yield", "sleep", "yield"]);
}

#[test]
fn waking_never_runs_a_task() {
    let trace = run_virtual(async |trace| {
        let waker = Rc::new(Cell::new(None));
        let sleeper = spawn({
            let (trace, waker) = (trace.clone(), waker.clone());
            async move {
                std::future::poll_fn(|cx| {
                    let first = waker.replace(Some(cx.waker().clone())).is_none();
                    if first {
                        Poll::Pending
                    } else {
                        Poll::Ready(())
                    }
                })
                .await;
                trace.note("woken");
            }
        });
        yield_now().await;
        waker.take().map(std::task::Waker::wake).unwrap();
        waker.set(Some(std::task::Waker::noop().clone()));
        trace.note("after the wake");
        sleeper.await.unwrap();
    });
    assert_eq!(trace, ["after the wake", "woken"]);
}

#[test]
fn callbacks_and_tasks_share_one_queue() {
    let trace = run_virtual(async |trace| {
        let note = |what: &'static str| {
            let trace = trace.clone();
            move || trace.note(what)
        };
        let before = note("task before");
        let task = spawn(async move { before() });
        call_soon(note("callback"));
        let after = note("task after");
        let last = spawn(async move { after() });
        task.await.unwrap();
        last.await.unwrap();
    });
    assert_eq!(trace, ["task before", "callback", "task after"]);
}

#[test]
fn equal_deadlines_fire_in_the_order_of_the_calls() {
    let trace = run_virtual(async |trace| {
        let tasks: Vec<_> = (0..20)
            .map(|n| {
                let trace = trace.clone();
                spawn(async move {
                    sleep(secs(1)).await;
                    trace.note(n.to_string());
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(trace, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_callback_and_a_sleep_with_one_deadline_keep_their_order() {
    let trace = run_virtual(async |trace| {
        let note = |what: &'static str| {
            let trace = trace.clone();
            move || trace.note(what)
        };
        call_later(secs(1), note("first callback"));
        let sleeper = spawn({
            let done = note("sleeper");
            async move {
                sleep(secs(1)).await;
                done();
            }
        });
        yield_now().await; // the sleep sets its timer
        call_later(secs(1), note("second callback"));
        sleeper.await.unwrap();
        sleep(ms(1)).await;
    });
    assert_eq!(trace, ["first callback", "sleeper", "second callback"]);
}

#[test]
fn an_await_that_is_ready_lets_no_task_run_in_between() {
    let trace = run_virtual(async |trace| {
        let finished = spawn(async {});
        yield_now().await;
        let other = spawn({
            let trace = trace.clone();
            async move { trace.note("other") }
        });
        trace.note("before");
        finished.await.unwrap();
        trace.note("after");
        other.await.unwrap();
    });
    assert_eq!(trace, ["before", "after", "other"]);
}

#[test]
fn a_joiner_is_woken_behind_what_was_ready() {
    let trace = run_virtual(async |trace| {
        let note = |what: &'static str| {
            let trace = trace.clone();
            async move { trace.note(what) }
        };
        let ends = spawn(note("ends"));
        let bystander = spawn(note("bystander"));
        ends.await.unwrap();
        trace.note("joiner");
        bystander.await.unwrap();
    });
    assert_eq!(trace, ["ends", "bystander", "joiner"]);
}
