//! Callbacks: called once, in their turn, in their context, unless they are cancelled.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::support::{Trace, ms, run_virtual, secs, virtual_loop};
use asyncio_loop::{
    ContextVar, all_tasks, call_at, call_later, call_soon, current_task, sleep, spawn, time,
    yield_now,
};

#[test]
fn a_cancelled_callback_is_dropped_at_once() {
    let trace = run_virtual(async |trace| {
        let guard = trace.on_drop("dropped");
        let noted = trace.clone();
        let handle = call_soon(move || {
            noted.note("called");
            drop(guard);
        });
        handle.cancel();
        trace.note("cancelled");
        handle.cancel();
        assert!(handle.is_cancelled());
        yield_now().await;
    });
    assert_eq!(trace, ["dropped", "cancelled"]);
}

#[test]
fn a_timer_says_whether_it_was_cancelled() {
    let trace = run_virtual(async |trace| {
        let noted = trace.clone();
        let timer = call_later(secs(1), move || noted.note("called"));
        assert!(!timer.is_cancelled());
        timer.cancel();
        assert!(timer.is_cancelled());
        sleep(secs(2)).await;
    });
    assert!(trace.is_empty());
}

#[test]
fn a_callback_that_has_run_cannot_be_cancelled() {
    run_virtual(async |_| {
        let handle = call_soon(|| ());
        yield_now().await;
        handle.cancel();
        assert!(!handle.is_cancelled());
        assert!(format!("{handle:?}").starts_with("Handle(done, made at "));
    });
}

#[test]
fn a_callback_may_cancel_itself() {
    run_virtual(async |_| {
        let own = Rc::new(Cell::new(None::<asyncio_loop::Handle>));
        let handle = call_soon({
            let own = own.clone();
            move || own.take().unwrap().cancel()
        });
        own.set(Some(handle.clone()));
        yield_now().await;
        assert!(
            !handle.is_cancelled(),
            "a running callback cannot be cancelled"
        );
    });
}

/// A cycle of a handle, its callback and the callback's captures. Each way in which a callback can
/// end breaks it.
#[test]
fn a_callback_that_owns_its_own_handle_is_freed() {
    let own = |trace: &Trace, what| {
        let guard = trace.on_drop(what);
        let own = Rc::new(Cell::new(None::<asyncio_loop::TimerHandle>));
        let handle = call_later(secs(1), {
            let own = own.clone();
            move || drop((own.take(), guard))
        });
        own.set(Some(handle.clone()));
        handle
    };
    let trace = run_virtual(async |trace| {
        own(trace, "called");
        sleep(secs(2)).await;
        own(trace, "cancelled").cancel();
        trace.note("main ends");
        own(trace, "closed over");
    });
    assert_eq!(trace, ["called", "cancelled", "main ends", "closed over"]);
}

#[test]
fn debug_output_names_the_line_that_scheduled_it() {
    run_virtual(async |_| {
        let line = line!() + 1;
        let soon = call_soon(|| ());
        let later = call_later(secs(1), || ());
        let at = call_at(time(), || ());
        for (shown, line) in [
            (format!("{soon:?}"), line),
            (format!("{later:?}"), line + 1),
            (format!("{at:?}"), line + 2),
        ] {
            assert!(shown.contains("(waiting, made at "), "{shown}");
            assert!(shown.contains(&format!("callbacks.rs:{line}:")), "{shown}");
        }
    });
}

#[test]
fn call_later_and_call_at_keep_their_time() {
    let trace = run_virtual(async |trace| {
        let start = time();
        let note = |what: &'static str| {
            let trace = trace.clone();
            move || trace.note(format!("{what} after {:?}", time() - start))
        };
        call_at(start + secs(2), note("at"));
        let handle = call_later(secs(1), note("later"));
        assert_eq!(handle.when(), start + secs(1));
        call_at(start, note("past"));
        call_later(ms(0), note("now"));
        sleep(secs(3)).await;
    });
    assert_eq!(
        trace,
        [
            "past after 0ns",
            "now after 0ns",
            "later after 1s",
            "at after 2s"
        ]
    );
}

#[test]
fn an_endless_delay_never_expires() {
    // Once, a sum beyond the range of `Instant` became the current time.
    run_virtual(async |_| {
        let handle = call_later(Duration::MAX, || panic!("called"));
        sleep(secs(1_000_000)).await;
        assert!(handle.when() > time());
        handle.cancel();
    });
}

#[test]
fn a_cancelled_timer_leaves_the_wheel() {
    let mut event_loop = virtual_loop();
    let handles: Vec<_> = (0..1000)
        .map(|n| event_loop.call_later(secs(1_000 + n), || ()))
        .collect();
    for handle in &handles {
        handle.cancel();
    }
    event_loop.run_until_complete(async {}).unwrap();
    let shown = format!("{event_loop:?}");
    assert!(shown.contains("timers: 0"), "{shown}");
}

#[test]
fn callbacks_are_not_listed_as_tasks() {
    run_virtual(async |_| {
        call_soon(|| assert!(current_task().is_none()));
        call_later(secs(5), || ());
        assert_eq!(all_tasks().len(), 1);
        yield_now().await;
    });
}

#[test]
fn a_callback_runs_in_a_copy_of_its_context() {
    static USER: ContextVar<&str> = ContextVar::new("user");
    run_virtual(async |trace| {
        USER.set("ada");
        let trace = trace.clone();
        let handle = call_soon(move || {
            trace.note(USER.get().unwrap());
            USER.set("grace");
        });
        let timer = call_later(secs(1), || ());
        USER.set("barbara");
        assert_eq!(timer.context().run(|| USER.get()), Some("ada"));
        assert_eq!(handle.context().run(|| USER.get()), Some("ada"));
        yield_now().await;
        assert_eq!(USER.get(), Some("barbara"));
    });
}

#[test]
fn callbacks_may_be_scheduled_before_the_loop_runs() {
    let trace = Trace::default();
    let mut event_loop = virtual_loop();
    let start = event_loop.time();
    for (what, delay) in [("late", 2), ("early", 1)] {
        let trace = trace.clone();
        event_loop.call_later(secs(delay), move || trace.note(what));
    }
    let handle = event_loop.handle();
    event_loop.call_at(start + secs(3), move || handle.stop());
    event_loop.run_forever();
    assert_eq!(trace.take(), ["early", "late"]);
    assert_eq!(event_loop.time() - start, secs(3));
}

#[test]
fn dropping_the_handle_does_not_cancel() {
    let trace = run_virtual(async |trace| {
        let trace = trace.clone();
        drop(call_later(secs(1), move || trace.note("called")));
        sleep(secs(2)).await;
    });
    assert_eq!(trace, ["called"]);
}

#[test]
fn a_callback_may_spawn() {
    let trace = run_virtual(async |trace| {
        let trace = trace.clone();
        call_soon(move || {
            spawn(async move { trace.note("spawned") }).detach();
        });
        yield_now().await;
        yield_now().await;
    });
    assert_eq!(trace, ["spawned"]);
}
