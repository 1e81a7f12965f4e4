//! Running a loop: to the end of a main task, until it is stopped, again, and not inside another
//! loop.

#![allow(
    clippy::async_yields_async,
    reason = "what outlives its run has to get out of it"
)]

use std::cell::Cell;
use std::collections::HashSet;
use std::rc::Rc;

use crate::support::{Trace, forever, message_of, ms, panic_of, run_virtual, secs, virtual_loop};
use asyncio_loop::{
    ContextVar, EventLoop, JoinError, Runner, TaskRef, call_at, call_later, call_soon, interval,
    reactor, run, running_loop, sleep, sleep_until, spawn, time, try_reactor, try_running_loop,
    try_sleep, try_spawn, yield_now,
};

#[test]
fn run_gives_what_main_returned() {
    assert_eq!(run(async { 42 }), 42);
    assert_eq!(run(async { Err::<(), _>("no luck") }), Err("no luck"));
}

#[test]
fn one_loop_runs_again_and_again() {
    let mut event_loop = virtual_loop();
    let left = event_loop.run_until_complete(async {
        let left = spawn(async {
            sleep(secs(10)).await;
            "left behind"
        });
        sleep(secs(1)).await;
        left
    });
    let start = event_loop.time();
    let late = event_loop.run_until_complete(async { left.unwrap().await.unwrap() });
    assert_eq!(late.unwrap(), "left behind");
    assert_eq!(event_loop.time() - start, secs(9));
}

#[test]
fn callbacks_that_main_scheduled_last_run_once() {
    let trace = Trace::default();
    let mut event_loop = virtual_loop();
    let main = {
        let trace = trace.clone();
        async move {
            call_soon({
                let trace = trace.clone();
                move || {
                    trace.note("scheduled by main");
                    call_soon(move || trace.note("scheduled by that"));
                }
            });
        }
    };
    event_loop.run_until_complete(main).unwrap();
    assert_eq!(trace.take(), ["scheduled by main"]);
    event_loop.run_until_complete(async {}).unwrap();
    assert_eq!(trace.take(), ["scheduled by that"]);
}

#[test]
fn a_busy_task_does_not_keep_main_from_returning() {
    let steps = Rc::new(Cell::new(0));
    let busy = steps.clone();
    let mut event_loop = virtual_loop();
    event_loop
        .run_until_complete(async move {
            spawn(async move {
                loop {
                    busy.set(busy.get() + 1);
                    yield_now().await;
                }
            })
            .discard();
        })
        .unwrap();
    assert_eq!(steps.get(), 1, "the batch after main's, and no other");
}

#[test]
fn stop_finishes_the_batch_and_keeps_the_rest() {
    let trace = Trace::default();
    let mut event_loop = virtual_loop();
    let note = |what: &'static str| {
        let trace = trace.clone();
        move || trace.note(what)
    };
    let handle = event_loop.handle();
    let (first, second) = (note("scheduled by the stopper"), note("after the stopper"));
    event_loop.call_soon(move || {
        handle.stop();
        call_soon(first);
    });
    event_loop.call_soon(second);
    event_loop.run_forever();
    assert_eq!(trace.take(), ["after the stopper"]);
    event_loop.handle().stop();
    event_loop.run_forever();
    assert_eq!(trace.take(), ["scheduled by the stopper"]);
}

#[test]
fn stop_finishes_a_batch_that_is_larger_than_the_budget() {
    let ran = Rc::new(Cell::new(0));
    let again = Rc::new(Cell::new(0));
    let builder = EventLoop::builder().virtual_time(true).task_budget(10);
    let mut event_loop = builder.build_loop().unwrap();
    let handle = event_loop.handle();
    event_loop.call_soon(move || handle.stop());
    for _ in 0..1000 {
        let (ran, again) = (ran.clone(), again.clone());
        event_loop.call_soon(move || {
            ran.set(ran.get() + 1);
            call_soon(move || again.set(again.get() + 1));
        });
    }
    event_loop.run_forever();
    assert_eq!((ran.get(), again.get()), (1000, 0));
}

#[test]
fn stop_before_a_run_means_one_turn() {
    let trace = Trace::default();
    let mut event_loop = virtual_loop();
    event_loop
        .spawn({
            let trace = trace.clone();
            async move {
                trace.note("first step");
                yield_now().await;
                trace.note("second step");
            }
        })
        .detach();
    event_loop.handle().stop();
    event_loop.run_forever();
    assert_eq!(trace.take(), ["first step"]);
}

#[test]
fn a_main_that_stops_its_loop_may_still_return() {
    let mut event_loop = virtual_loop();
    let stopped = event_loop.run_until_complete(async {
        running_loop().stop();
        "a value"
    });
    assert_eq!(stopped.unwrap(), "a value");
    // The request to stop is used up.
    assert!(event_loop.run_until_complete(sleep_for(1)).is_ok());
}

async fn sleep_for(seconds: u64) {
    sleep(secs(seconds)).await;
}

#[test]
fn a_loop_that_is_stopped_before_main_ends_is_an_error() {
    let mut event_loop = virtual_loop();
    let stopped = event_loop.run_until_complete(async {
        call_soon(|| running_loop().stop());
        forever().await;
    });
    let error = stopped.unwrap_err();
    assert!(matches!(error, JoinError::Stopped(_)));
    assert_eq!(
        error.to_string(),
        "the event loop stopped before task Task-1 returned"
    );
}

#[test]
fn stop_from_another_thread_wakes_a_loop_that_waits() {
    let mut event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(ms(5));
        handle.stop();
    });
    event_loop.run_forever();
    thread.join().unwrap();
}

#[test]
fn a_handle_tells_whether_its_loop_is_closed() {
    let event_loop = virtual_loop();
    let handle = event_loop.handle();
    assert!(!handle.is_closed() && !handle.debug() && !event_loop.debug());
    event_loop.set_debug(true);
    assert!(handle.debug() && event_loop.debug());
    drop(event_loop);
    assert!(handle.is_closed());
}

#[test]
fn a_run_without_a_signal_was_not_interrupted() {
    let mut runner = Runner::builder().virtual_time(true).build().unwrap();
    let cancelled = runner.run(async {
        asyncio_loop::current_task().unwrap().cancel();
        forever().await;
    });
    assert!(cancelled.is_err());
    assert!(!runner.was_interrupted());
    assert_eq!(runner.interrupted_by(), None);
}

#[test]
fn a_runner_keeps_loop_and_context_between_runs() {
    static USER: ContextVar<&str> = ContextVar::new("user");
    let mut runner = Runner::builder().virtual_time(true).build().unwrap();
    let one = runner
        .run(async {
            USER.set("ada");
            running_loop()
        })
        .unwrap();
    let two = runner
        .run(async {
            assert_eq!(USER.get(), Some("ada"));
            running_loop()
        })
        .unwrap();
    assert!(one.is_same(&two));
}

#[test]
fn a_bare_loop_gives_each_main_a_context_of_its_own() {
    static USER: ContextVar<&str> = ContextVar::new("user");
    let mut event_loop = virtual_loop();
    event_loop
        .run_until_complete(async {
            USER.set("ada");
        })
        .unwrap();
    let seen = event_loop.run_until_complete(async { USER.get() });
    assert_eq!(seen.unwrap(), None);
}

#[test]
fn a_loop_inside_a_loop_is_refused() {
    let refused = run(async { panic_of(|| run(async {})) });
    assert_eq!(
        refused,
        "an event loop runs on this thread already: await here instead of running another loop, or run it on a thread of its own"
    );
    let mut other = EventLoop::new().unwrap();
    let refused = run(async { panic_of(|| other.run_forever()) });
    assert!(refused.starts_with("an event loop runs on this thread already"));
    assert!(other.run_until_complete(async {}).is_ok(), "unharmed");
}

#[test]
fn two_loops_may_run_on_two_threads() {
    let other = std::thread::spawn(|| run(async { running_loop() }));
    let other = other.join().unwrap();
    run(async { assert!(!running_loop().is_same(&other)) });
    assert!(other.is_closed());
}

#[test]
fn without_a_loop_the_panic_says_what_to_do() {
    let advice = "no event loop runs on this thread: call this from within `asyncio::run`, or hand the work to a loop with its `LoopHandle`";
    let now = std::time::Instant::now();
    assert_eq!(panic_of(|| spawn(async {})), advice);
    assert_eq!(panic_of(|| sleep(ms(1))), advice);
    assert_eq!(panic_of(|| sleep_until(now)), advice);
    assert_eq!(panic_of(|| interval(ms(1))), advice);
    assert_eq!(panic_of(|| call_soon(|| ())), advice);
    assert_eq!(panic_of(|| call_later(ms(1), || ())), advice);
    assert_eq!(panic_of(|| call_at(now, || ())), advice);
    assert_eq!(panic_of(time), advice);
    assert_eq!(panic_of(running_loop), advice);
    assert_eq!(panic_of(reactor), advice);
}

#[test]
fn without_a_loop_the_try_forms_return_errors() {
    assert!(try_sleep(ms(1)).is_err());
    assert!(try_running_loop().is_err());
    assert!(try_reactor().is_err());
    let dropped = Trace::default();
    let guard = dropped.on_drop("dropped");
    let refused = try_spawn(async move { drop(guard) }).unwrap_err();
    assert!(dropped.take().is_empty(), "the future came back undropped");
    run(refused.into_inner());
    assert_eq!(dropped.take(), ["dropped"]);
}

#[test]
fn main_may_borrow_locals() {
    let mut log = vec!["before"];
    let name = String::from("ada");
    let length = run(async {
        log.push("inside");
        yield_now().await;
        name.len()
    });
    log.push("after");
    assert_eq!((length, log), (3, vec!["before", "inside", "after"]));
}

#[test]
fn the_frame_of_main_is_gone_before_run_returns() {
    let trace = Trace::default();
    run(async {
        let _guard = trace.on_drop("main's frame");
        yield_now().await;
    });
    trace.note("returned");
    assert_eq!(trace.take(), ["main's frame", "returned"]);
}

#[test]
fn a_panic_in_main_resumes_after_all_tasks_have_ended() {
    let trace = Trace::default();
    let local = String::from("alive");
    let message = panic_of(|| {
        run(async {
            let _guard = trace.on_drop("main's frame");
            spawn({
                let guard = trace.on_drop("the other task");
                async move {
                    forever().await;
                    drop(guard);
                }
            })
            .detach();
            yield_now().await;
            assert_eq!(local, "dead");
        })
    });
    assert!(message.contains("\"alive\""), "{message}");
    assert_eq!(trace.take(), ["main's frame", "the other task"]);
}

#[test]
fn a_runner_returns_the_panic_of_main_and_runs_again() {
    let mut runner = Runner::new().unwrap();
    let error = runner.run(async { panic!("no") }).unwrap_err();
    assert!(error.is_panic());
    assert_eq!(error.to_string(), "task Task-1 panicked: no");
    assert_eq!(runner.run(async { 1 }).unwrap(), 1);
}

#[test]
fn a_main_that_cancels_itself_is_an_error() {
    let mut runner = Runner::new().unwrap();
    let error = runner
        .run(async {
            asyncio_loop::current_task().unwrap().cancel();
            forever().await;
        })
        .unwrap_err();
    assert!(error.is_cancelled());
    assert!(!runner.was_interrupted());
}

#[test]
fn a_loop_lists_its_tasks_while_it_rests() {
    let mut event_loop = EventLoop::new().unwrap();
    let tasks = [(); 2].map(|()| event_loop.spawn(forever()));
    event_loop.run_until_complete(yield_now()).unwrap();
    let listed: HashSet<_> = event_loop.all_tasks().iter().map(TaskRef::id).collect();
    assert_eq!(
        listed,
        tasks.iter().map(|task| task.as_ref().id()).collect()
    );
}

#[test]
fn a_closed_loop_refuses_to_run() {
    let mut event_loop = EventLoop::new().unwrap();
    event_loop.close();
    event_loop.close();
    assert!(event_loop.is_closed());
    assert_eq!(format!("{event_loop:?}"), "EventLoop(closed)");
    for refused in [
        panic_of(|| event_loop.run_until_complete(async {})),
        panic_of(|| event_loop.run_forever()),
        panic_of(|| event_loop.spawn(async {})),
        panic_of(|| event_loop.call_soon(|| ())),
    ] {
        assert!(refused.contains("the event loop is closed"), "{refused}");
    }
    assert!(event_loop.all_tasks().is_empty());
}

#[test]
fn a_task_that_awaits_itself_is_an_error() {
    let trace = run_virtual(async |trace| {
        let own = Rc::new(Cell::new(None));
        let task = spawn({
            let own = own.clone();
            async move {
                yield_now().await;
                let own: asyncio_loop::Task<String> = own.take().unwrap();
                own.await.unwrap_err().to_string()
            }
        });
        let watched = task.as_ref();
        own.set(Some(task));
        while !watched.is_finished() {
            yield_now().await;
        }
        trace.note("no hang");
    });
    assert_eq!(trace, ["no hang"]);
}

#[test]
fn a_panic_payload_survives_the_run() {
    let payload = std::panic::catch_unwind(|| {
        run(async {
            std::panic::resume_unwind(Box::new(String::from("a payload")));
        })
    });
    assert_eq!(message_of(&*payload.unwrap_err()), "a payload");
}
