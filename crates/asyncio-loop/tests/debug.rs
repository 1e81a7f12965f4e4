//! Debug mode: who holds the loop up is named.

mod support;

use std::time::{Duration, Instant};

use asyncio_loop::{
    EventLoop, SpawnOptions, call_soon, run_with, running_loop, set_exception_handler, spawn_with,
    yield_now,
};
use support::{Trace, note_reports};

/// Keeps the thread busy for longer than the limit that these tests set.
fn hold_up() {
    let start = Instant::now();
    while start.elapsed() <= LIMIT {
        std::hint::spin_loop();
    }
}

const LIMIT: Duration = Duration::from_millis(2);

fn told(event_loop: EventLoop, main: impl AsyncFnOnce()) -> Vec<String> {
    let mut event_loop = event_loop;
    let trace = Trace::default();
    note_reports(&event_loop, &trace);
    event_loop.run_until_complete(main()).unwrap();
    drop(event_loop);
    trace.take()
}

#[test]
fn a_slow_step_is_named_with_its_task_and_its_place() {
    let builder = EventLoop::builder().debug(true).slow_step(LIMIT);
    let told = told(builder.build_loop().unwrap(), async || {
        let slow = spawn_with(SpawnOptions::new().name("crunch"), async { hold_up() });
        slow.await.unwrap();
        call_soon(hold_up);
        yield_now().await;
    });
    // A machine that is held up itself may add to them, so others are no failure.
    let of = |what: &str| told.iter().filter(|told| told.starts_with(what)).count();
    assert_eq!(of("a callback held up the event loop for "), 1, "{told:?}");
    let named: Vec<_> = told.iter().filter(|t| t.contains("(crunch,")).collect();
    assert_eq!(named.len(), 1, "{told:?}");
    assert!(named[0].starts_with("a step of a task held up the event loop for "));
    assert!(named[0].contains("debug.rs:"), "{named:?}");
}

#[test]
fn every_step_is_slow_under_a_limit_of_nothing_and_none_under_one_without_end() {
    let with = |limit| {
        let builder = EventLoop::builder().debug(true).slow_step(limit);
        told(builder.build_loop().unwrap(), async || yield_now().await).len()
    };
    assert_eq!(with(Duration::ZERO), 2);
    assert_eq!(with(Duration::MAX), 0);
}

#[test]
fn the_limit_may_be_set_later() {
    let event_loop = EventLoop::builder().debug(true).build_loop().unwrap();
    event_loop.set_slow_step(Duration::ZERO);
    assert_eq!(told(event_loop, async || ()).len(), 1);
}

#[test]
fn without_debug_mode_nothing_is_timed() {
    let builder = EventLoop::builder().debug(false).slow_step(Duration::ZERO);
    let told = told(builder.build_loop().unwrap(), async || hold_up());
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn it_can_be_switched_while_the_loop_runs() {
    let builder = EventLoop::builder().debug(false).slow_step(Duration::ZERO);
    let trace = Trace::default();
    let noted = trace.clone();
    run_with(builder.clone(), async move {
        set_exception_handler(move |unhandled| noted.note(unhandled.message()));
        let event_loop = running_loop();
        yield_now().await;
        event_loop.set_debug(true);
        yield_now().await; // from the next batch on
        assert!(event_loop.debug());
        yield_now().await;
        event_loop.set_debug(false);
        yield_now().await;
        yield_now().await;
    });
    let told = trace.take();
    assert!(!told.is_empty() && told.len() <= 2, "{told:?}");

    let event_loop = builder.build_loop().unwrap();
    event_loop.set_debug(true);
    assert!(event_loop.debug() && event_loop.handle().debug());
}
