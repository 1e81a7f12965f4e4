//! Values that outlive their loop are harmless: handles, wakers, sleeps and futures, here and on
//! other threads.

#![allow(
    clippy::async_yields_async,
    reason = "what outlives its run has to get out of it"
)]

use std::pin::{Pin, pin};
use std::task::Poll;

use crate::support::{
    Trace, forever, ms, note_reports, panic_of, panicking_waker, poll_once, secs, virtual_loop,
};
use asyncio_loop::{
    EventLoop, LoopHandle, Sleep, interval, run, running_loop, sleep, spawn, yield_now,
};

fn a_handle_whose_loop_is_gone() -> LoopHandle {
    run(async { running_loop() })
}

#[test]
fn a_handle_returns_what_a_closed_loop_refuses() {
    let handle = a_handle_whose_loop_is_gone();
    assert!(handle.is_closed());
    let refused = handle
        .call_soon_threadsafe(|| panic!("called"))
        .unwrap_err();
    assert_eq!(refused.to_string(), "the event loop is closed");
    let text = String::from("mine");
    let refused = handle.call_soon_threadsafe(move || drop(text));
    refused.unwrap_err().0(); // the callback is intact
    assert!(handle.spawn(|| async {}).is_err());
    assert!(handle.run_coroutine_threadsafe(|| async {}).is_err());
    handle.stop();
    handle.set_debug(true);
    drop(handle.outside_work());
    assert!(!handle.is_here());
}

#[test]
fn a_closed_loop_refuses_like_a_dropped_one() {
    let mut event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    event_loop.close();
    assert!(handle.call_soon_threadsafe(|| ()).is_err());
    assert!(handle.run_coroutine_threadsafe(|| async {}).is_err());
    drop(event_loop);
}

#[test]
fn wakers_outlive_the_loop_here_and_on_another_thread() {
    let trace = Trace::default();
    let waker = run(async {
        let guard = trace.on_drop("future dropped on its thread");
        let (sender, receiver) = futures::channel::oneshot::channel();
        spawn(async move {
            let _guard = guard;
            let waker = std::future::poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
            sender.send(waker).unwrap();
            forever().await;
        })
        .detach();
        receiver.await.unwrap()
    });
    assert_eq!(trace.take(), ["future dropped on its thread"]);
    waker.wake_by_ref();
    let copy = waker.clone();
    std::thread::spawn(move || {
        copy.wake_by_ref();
        drop(copy);
    })
    .join()
    .unwrap();
    run(async move {
        waker.wake(); // inside another loop
        yield_now().await;
    });
}

#[test]
fn a_task_handle_that_outlives_its_loop_is_cancelled() {
    let task = run(async { spawn(forever()) });
    assert!(task.is_finished());
    assert!(run(task).unwrap_err().is_cancelled());
}

#[test]
fn callback_handles_outlive_their_loop() {
    let trace = Trace::default();
    let (soon, later) = {
        let event_loop = virtual_loop();
        let (one, two) = (trace.on_drop("soon"), trace.on_drop("later"));
        (
            event_loop.call_soon(move || drop(one)),
            event_loop.call_later(secs(1), move || drop(two)),
        )
    };
    let mut dropped = trace.take();
    dropped.sort();
    assert_eq!(
        dropped,
        ["later", "soon"],
        "with the loop, not with the handles"
    );
    soon.cancel();
    later.cancel();
    assert!(format!("{soon:?}").contains("outliving.rs"));
}

#[test]
fn a_sleep_that_outlives_its_loop_can_be_dropped_anywhere() {
    let asleep: Pin<Box<Sleep>> = run(async {
        let mut asleep = Box::pin(sleep(secs(1000)));
        assert!(futures::poll!(&mut asleep).is_pending());
        asleep
    });
    run(async move { drop(asleep) });
    let new = run(async { sleep(secs(1000)) });
    drop(new);
}

#[test]
fn a_sleep_awaited_after_its_loop_panics() {
    let advice = "this `Sleep` belongs to another event loop, or its loop is closed: create it on the loop that awaits it";
    let armed = run(async {
        let mut armed = Box::pin(sleep(secs(1000)));
        assert!(futures::poll!(&mut armed).is_pending());
        armed
    });
    assert_eq!(panic_of(|| run(armed)), advice);
    let new = run(async { sleep(secs(1000)) });
    assert_eq!(panic_of(|| run(new)), advice);
    let ticks = run(async { interval(secs(1000)) });
    assert_eq!(
        panic_of(|| run(async {
            let mut ticks = ticks;
            ticks.tick().await;
            ticks.tick().await;
        })),
        advice
    );
}

#[test]
fn an_elapsed_sleep_may_be_awaited_on_another_loop() {
    let mut event_loop = virtual_loop();
    let asleep = event_loop.run_until_complete(async {
        let mut asleep = Box::pin(sleep(secs(5)));
        assert!(futures::poll!(&mut asleep).is_pending());
        sleep(secs(6)).await;
        asleep
    });
    drop(event_loop);
    run(asleep.unwrap());
}

#[test]
fn a_pending_sleep_panics_on_another_loop() {
    let mut one = virtual_loop();
    let mut other = virtual_loop();
    let mut asleep = one
        .run_until_complete(async {
            let mut asleep = Box::pin(sleep(secs(5)));
            assert!(futures::poll!(&mut asleep).is_pending());
            asleep
        })
        .unwrap();
    let message = panic_of(|| other.run_until_complete(asleep.as_mut()).map_err(resume));
    assert!(message.starts_with("this `Sleep` belongs to another event loop"));
    // On its own loop it ends in time.
    let start = one.time();
    one.run_until_complete(asleep).unwrap();
    assert_eq!(one.time() - start, secs(5));
}

/// Resumes the panic of a main task.
fn resume(error: asyncio_loop::JoinError) {
    match error {
        asyncio_loop::JoinError::Panicked(_, payload) => payload.resume(),
        other => panic!("{other}"),
    }
}

#[test]
fn a_sleep_is_dropped_inside_of_another_loop() {
    let mut one = virtual_loop();
    let asleep = one
        .run_until_complete(async {
            let mut asleep = Box::pin(sleep(secs(5)));
            assert!(futures::poll!(&mut asleep).is_pending());
            asleep
        })
        .unwrap();
    run(async move { drop(asleep) });
    let shown = format!("{one:?}");
    assert!(shown.contains("timers: 0"), "{shown}");
}

#[test]
fn a_thread_future_outlives_its_loop() {
    let mut event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let never_began = handle.run_coroutine_threadsafe(|| async { 1 }).unwrap();
    let began = handle
        .run_coroutine_threadsafe(std::future::pending::<()>)
        .unwrap();
    let finished = handle.run_coroutine_threadsafe(|| async { 3 }).unwrap();
    event_loop
        .run_until_complete(async {
            while !finished.is_finished() {
                yield_now().await;
            }
        })
        .unwrap();
    drop(event_loop);
    let elsewhere = std::thread::spawn(move || {
        assert_eq!(never_began.wait().unwrap(), 1);
        assert!(began.wait().unwrap_err().is_cancelled());
        assert_eq!(finished.wait().unwrap(), 3);
    });
    elsewhere.join().unwrap();
}

#[test]
fn a_coroutine_in_the_inbox_of_a_closing_loop_is_cancelled() {
    let event_loop = EventLoop::new().unwrap();
    let too_late = event_loop
        .handle()
        .run_coroutine_threadsafe(|| async { 4 })
        .unwrap();
    drop(event_loop);
    let error = too_late.wait().unwrap_err();
    assert_eq!(error.to_string(), "task (not started) was cancelled");
}

#[test]
fn a_panicking_waker_keeps_no_other_timer_from_waking() {
    let trace = Trace::default();
    let mut event_loop = virtual_loop();
    note_reports(&event_loop, &trace);
    event_loop
        .run_until_complete(async {
            let mut bad = pin!(sleep(secs(1)));
            let panics = panicking_waker();
            let cx = &mut std::task::Context::from_waker(&panics);
            assert!(bad.as_mut().poll(cx).is_pending());
            let tasks = [0, 0, 1].map(|more| spawn(sleep(secs(1 + more))));
            for task in tasks {
                task.await.unwrap();
            }
            trace.note("all woke");
        })
        .unwrap();
    assert_eq!(
        trace.take(),
        ["a waker panicked: a foreign waker", "all woke"]
    );
}

#[test]
fn polling_a_sleep_without_any_waker_is_harmless() {
    let mut event_loop = virtual_loop();
    event_loop
        .run_until_complete(async {
            let mut lost = Box::pin(sleep(ms(1)));
            assert!(poll_once(lost.as_mut()).is_pending());
            sleep(ms(2)).await;
            assert!(lost.is_elapsed());
            assert!(poll_once(lost.as_mut()).is_ready());
        })
        .unwrap();
}
