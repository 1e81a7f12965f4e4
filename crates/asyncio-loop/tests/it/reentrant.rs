//! Foreign wakers, callbacks and destructors may use the loop at any time: nothing of the loop is
//! borrowed while they run.

#![allow(
    unsafe_code,
    reason = "only a hand-written vtable sees the clone of a waker"
)]
#![allow(
    clippy::async_yields_async,
    reason = "what outlives its run has to get out of it"
)]

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, RawWaker, RawWakerVTable, Wake, Waker};

use crate::support::{Trace, note_reports, run_virtual, secs, virtual_loop};
use asyncio_loop::{EventLoop, Sleep, all_tasks, call_later, call_soon, sleep, spawn, yield_now};

/// A waker that uses the loop when it is woken and when it is dropped.
struct ReentrantWaker;

/// Calls many functions of the loop.
fn use_loop() {
    drop(sleep(secs(1)));
    let handle = call_later(secs(1), || ());
    handle.cancel();
    call_later(secs(2), || ());
    call_soon(|| ());
    spawn(sleep(secs(3))).detach();
    drop(spawn(async {}));
    drop(all_tasks());
    let mut armed = Box::pin(sleep(secs(4)));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(armed.as_mut().poll(&mut cx).is_pending());
    armed.as_mut().get_mut().reset(asyncio_loop::time());
}

impl Wake for ReentrantWaker {
    fn wake(self: Arc<Self>) {
        use_loop();
    }
}

impl Drop for ReentrantWaker {
    fn drop(&mut self) {
        use_loop();
    }
}

/// A sleep that was polled with a `ReentrantWaker`.
fn asleep() -> Pin<Box<Sleep>> {
    let mut asleep = Box::pin(sleep(secs(1)));
    let waker = Waker::from(Arc::new(ReentrantWaker));
    let mut cx = Context::from_waker(&waker);
    assert!(asleep.as_mut().poll(&mut cx).is_pending());
    asleep
}

#[test]
fn a_waker_may_use_the_loop_when_its_timer_wakes_it() {
    run_virtual(async |_| {
        let first = asleep();
        let second = asleep();
        sleep(secs(10)).await;
        assert!(first.is_elapsed() && second.is_elapsed());
    });
}

#[test]
fn a_waker_may_use_the_loop_when_its_timer_is_removed() {
    run_virtual(async |_| drop(asleep()));
}

#[test]
fn a_waker_may_use_the_loop_when_it_is_cloned() {
    const VTABLE: RawWakerVTable = RawWakerVTable::new(clone, ignore, ignore, ignore);
    fn clone(_: *const ()) -> RawWaker {
        use_loop();
        RawWaker::new(std::ptr::null(), &VTABLE)
    }
    fn ignore(_: *const ()) {}
    run_virtual(async |_| {
        // SAFETY: none of the functions reads the pointer, and all may run on any thread.
        let waker = unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &VTABLE)) };
        let mut cx = Context::from_waker(&waker);
        let mut asleep = Box::pin(sleep(secs(1)));
        assert!(asleep.as_mut().poll(&mut cx).is_pending());
        let mut in_the_place_of_another = Box::pin(sleep(secs(1)));
        assert!(futures::poll!(&mut in_the_place_of_another).is_pending());
        assert!(in_the_place_of_another.as_mut().poll(&mut cx).is_pending());
        sleep(secs(10)).await;
        assert!(asleep.is_elapsed() && in_the_place_of_another.is_elapsed());
    });
}

#[test]
fn a_waker_may_use_the_loop_when_it_is_replaced() {
    run_virtual(async |_| {
        let mut asleep = asleep();
        assert!(futures::poll!(&mut asleep).is_pending());
        asleep.await;
    });
}

#[test]
fn a_waker_may_use_the_loop_when_that_closes() {
    let mut event_loop = virtual_loop();
    let kept = event_loop.run_until_complete(async { asleep() }).unwrap();
    drop(event_loop);
    drop(kept);
}

#[test]
fn a_waker_that_panics_on_drop_does_not_stop_closing() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("in the destructor of a waker");
        }
    }
    let trace = Trace::default();
    let mut event_loop = virtual_loop();
    note_reports(&event_loop, &trace);
    let _kept = event_loop
        .run_until_complete(async {
            let mut asleep = Box::pin(sleep(secs(1)));
            let waker = Waker::from(Arc::new(Panics));
            let mut cx = Context::from_waker(&waker);
            assert!(asleep.as_mut().poll(&mut cx).is_pending());
            drop(waker); // the timer has the last waker
            asleep
        })
        .unwrap();
    event_loop.close();
    assert!(event_loop.is_closed());
    assert_eq!(
        trace.take(),
        ["a waker panicked: in the destructor of a waker"]
    );
}

#[test]
fn a_callback_may_cancel_and_schedule_others() {
    let trace = run_virtual(async |trace| {
        let off = trace.clone();
        let later = call_later(secs(1), move || off.note("cancelled, and yet called"));
        let noted = trace.clone();
        call_soon(move || {
            later.cancel();
            call_soon(move || noted.note("called on"));
        });
        sleep(secs(2)).await;
    });
    assert_eq!(trace, ["called on"]);
}

#[test]
fn captures_of_a_cancelled_callback_may_use_the_loop() {
    struct UsesLoopOnDrop;
    impl Drop for UsesLoopOnDrop {
        fn drop(&mut self) {
            use_loop();
        }
    }
    run_virtual(async |_| {
        let owns = UsesLoopOnDrop;
        call_soon(move || drop(owns)).cancel();
        let owns = UsesLoopOnDrop;
        call_later(secs(1), move || drop(owns)).cancel();
        yield_now().await;
    });
}

#[test]
fn a_destructor_may_run_a_loop_after_another_is_gone() {
    struct RunsALoop;
    impl Drop for RunsALoop {
        fn drop(&mut self) {
            let mut own = EventLoop::new().unwrap();
            own.run_until_complete(async { yield_now().await }).unwrap();
        }
    }
    let returned = asyncio_loop::run(async { RunsALoop });
    drop(returned);
}
