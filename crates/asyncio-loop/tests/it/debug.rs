//! Debug mode: slow steps are reported with their tasks.

use std::time::{Duration, Instant};

use crate::support::{Trace, note_reports};
use asyncio_loop::{
    EventLoop, SpawnOptions, call_soon, run_with, running_loop, set_exception_handler, spawn_with,
    yield_now,
};

/// Blocks the thread for longer than the limit of these tests.
fn hold_up() {
    let start = Instant::now();
    while start.elapsed() <= LIMIT {
        std::hint::spin_loop();
    }
}

const LIMIT: Duration = Duration::from_millis(2);

fn reports(event_loop: EventLoop, main: impl AsyncFnOnce()) -> Vec<String> {
    let mut event_loop = event_loop;
    let trace = Trace::default();
    note_reports(&event_loop, &trace);
    event_loop.run_until_complete(main()).unwrap();
    drop(event_loop);
    trace.take()
}

#[test]
fn a_slow_step_is_reported_with_task_and_location() {
    let builder = EventLoop::builder().debug(true).slow_step(LIMIT);
    let reported = reports(builder.build_loop().unwrap(), async || {
        let slow = spawn_with(SpawnOptions::new().name("crunch"), async { hold_up() });
        slow.await.unwrap();
        call_soon(hold_up);
        yield_now().await;
    });
    // A slow machine may cause further reports, which are no failure.
    let of = |what: &str| {
        reported
            .iter()
            .filter(|report| report.starts_with(what))
            .count()
    };
    assert_eq!(
        of("a callback held up the event loop for "),
        1,
        "{reported:?}"
    );
    let named: Vec<_> = reported.iter().filter(|t| t.contains("(crunch,")).collect();
    assert_eq!(named.len(), 1, "{reported:?}");
    assert!(named[0].starts_with("a step of a task held up the event loop for "));
    assert!(named[0].contains("debug.rs:"), "{named:?}");
}

#[test]
fn extreme_limits_report_every_step_or_none() {
    let with = |limit| {
        let builder = EventLoop::builder().debug(true).slow_step(limit);
        reports(builder.build_loop().unwrap(), async || yield_now().await).len()
    };
    assert_eq!(with(Duration::ZERO), 2);
    assert_eq!(with(Duration::MAX), 0);
}

#[test]
fn the_limit_may_be_set_later() {
    let event_loop = EventLoop::builder().debug(true).build_loop().unwrap();
    event_loop.set_slow_step(Duration::ZERO);
    assert_eq!(reports(event_loop, async || ()).len(), 1);
}

#[test]
fn without_debug_mode_nothing_is_timed() {
    let builder = EventLoop::builder().debug(false).slow_step(Duration::ZERO);
    let reported = reports(builder.build_loop().unwrap(), async || hold_up());
    assert!(reported.is_empty(), "{reported:?}");
}

#[test]
fn debug_mode_can_be_switched_while_the_loop_runs() {
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
    let reported = trace.take();
    assert!(!reported.is_empty() && reported.len() <= 2, "{reported:?}");

    let event_loop = builder.build_loop().unwrap();
    event_loop.set_debug(true);
    assert!(event_loop.debug() && event_loop.handle().debug());
}
