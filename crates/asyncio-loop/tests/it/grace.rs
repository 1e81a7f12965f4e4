//! Closing within a time.

use std::time::{Duration, Instant};

use crate::support::{Trace, forever, ms, note_reports, secs};
use asyncio_loop::{EventLoop, sleep, spawn, yield_now};

fn a_loop(trace: &Trace) -> EventLoop {
    let event_loop = EventLoop::new().unwrap();
    note_reports(&event_loop, trace);
    event_loop
}

#[test]
fn tasks_that_end_in_time_are_waited_for() {
    let trace = Trace::default();
    let mut event_loop = a_loop(&trace);
    let noted = trace.clone();
    event_loop
        .run_until_complete(async move {
            let guard = noted.on_drop("the task ends");
            spawn(async move {
                forever().await;
                drop(guard);
            })
            .detach();
            yield_now().await;
        })
        .unwrap();
    let since = Instant::now();
    event_loop.close_within(secs(3600));
    assert!(since.elapsed() < secs(60));
    assert_eq!(trace.take(), ["the task ends"]);
}

#[test]
fn a_task_that_does_not_end_is_dropped_and_reported() {
    /// Spawns another task when it is dropped.
    struct Stays(Trace);
    impl Drop for Stays {
        fn drop(&mut self) {
            let guard = self.0.on_drop("the next one is dropped");
            spawn(async move {
                sleep(secs(3600)).await;
                drop(guard);
            })
            .detach();
        }
    }
    let trace = Trace::default();
    let mut event_loop = a_loop(&trace);
    let stays = Stays(trace.clone());
    event_loop
        .run_until_complete(async move {
            spawn(async move {
                forever().await;
                drop(stays);
            })
            .detach();
            yield_now().await;
        })
        .unwrap();
    event_loop.close_within(Duration::ZERO);
    let trace = trace.take();
    assert!(
        trace[0].starts_with("a task was dropped when its event loop closed"),
        "{trace:?}"
    );
    let since = Instant::now();
    let mut event_loop = EventLoop::new().unwrap();
    event_loop.close_within(ms(1)); // no task is left to wait for
    event_loop.close_within(ms(1));
    assert!(since.elapsed() < secs(60) && event_loop.is_closed());
}
