//! Closing a loop: every task is cancelled and waited for, and tasks that do not end are reported.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use asyncio_loop::{
    EventLoop, LoopHandle, Runner, call_later, call_soon, run, running_loop, sleep, spawn,
    yield_now,
};
use support::{Trace, forever, note_reports, secs, virtual_loop};

#[test]
fn remaining_tasks_are_cancelled_and_dropped() {
    let trace = Trace::default();
    run(async {
        for name in ["first", "second"] {
            let guard = trace.on_drop(name);
            spawn(async move {
                forever().await;
                drop(guard);
            })
            .detach();
        }
        yield_now().await;
        trace.note("main returns");
    });
    assert_eq!(trace.take(), ["main returns", "first", "second"]);
}

#[test]
fn a_woken_task_runs_its_last_step_in_closing() {
    let trace = Trace::default();
    let mut event_loop = virtual_loop();
    let noted = trace.clone();
    let task = event_loop.spawn(async move {
        yield_now().await;
        yield_now().await;
        noted.note("last step");
        "a value"
    });
    event_loop.run_until_complete(async {}).unwrap();
    event_loop.close();
    assert_eq!(trace.take(), ["last step"]);
    assert_eq!(
        support::poll_once(std::pin::pin!(task)).map(Result::unwrap),
        std::task::Poll::Ready("a value")
    );
}

/// Spawns a task whose destructor spawns another one, `links` times.
fn spawn_a_chain(trace: Trace, links: u32) {
    struct SpawnsWhenDropped(Trace, u32);
    impl Drop for SpawnsWhenDropped {
        fn drop(&mut self) {
            self.0.note(format!("{} left", self.1));
            if self.1 > 0 {
                spawn_a_chain(self.0.clone(), self.1 - 1);
            }
        }
    }
    let link = SpawnsWhenDropped(trace, links);
    spawn(async move {
        let _link = link;
        forever().await;
    })
    .detach();
}

#[test]
fn tasks_spawned_while_closing_are_cancelled() {
    let trace = Trace::default();
    let mut event_loop = virtual_loop();
    note_reports(&event_loop, &trace);
    event_loop
        .run_until_complete(async { spawn_a_chain(trace.clone(), 2) })
        .unwrap();
    event_loop.close();
    assert_eq!(trace.take(), ["2 left", "1 left", "0 left"]);
}

#[test]
fn after_three_passes_remaining_tasks_are_dropped_and_reported() {
    let trace = Trace::default();
    let mut event_loop = virtual_loop();
    note_reports(&event_loop, &trace);
    event_loop
        .run_until_complete(async { spawn_a_chain(trace.clone(), 10) })
        .unwrap();
    event_loop.close();
    let trace = trace.take();
    assert_eq!(trace[..3], ["10 left", "9 left", "8 left"]);
    assert!(
        trace[3].starts_with("a task was dropped when its event loop closed (Task-5, spawned at"),
        "{trace:?}"
    );
    assert!(trace[3].contains("tests/closing.rs"), "{trace:?}");
    // A task that a dropped task spawns never begins.
    assert_eq!(trace[4], "7 left");
}

#[test]
fn callbacks_and_timers_are_dropped_without_being_called() {
    let trace = Trace::default();
    let mut event_loop = virtual_loop();
    let (soon, later) = (trace.on_drop("soon"), trace.on_drop("later"));
    event_loop.call_later(secs(1), move || {
        drop(later);
        panic!("called");
    });
    event_loop.call_soon(move || {
        drop(soon);
        panic!("called");
    });
    event_loop.close();
    let mut dropped = trace.take();
    dropped.sort();
    assert_eq!(dropped, ["later", "soon"]);
}

/// The time that a loop takes to end for a burst of messages that come too late, after so many tasks.
fn end_in_a_burst(tasks: usize) -> Duration {
    const BURST: usize = 10_000;
    /// Sends when the loop drops it.
    struct Sends(LoopHandle, Rc<Cell<Option<Instant>>>);
    impl Drop for Sends {
        fn drop(&mut self) {
            let send = || {
                for _ in 0..BURST {
                    let sent = self.0.call_soon_threadsafe(|| panic!("called"));
                    assert!(sent.is_ok());
                }
            };
            thread::scope(|scope| scope.spawn(send).join().unwrap());
            self.1.set(Some(Instant::now()));
        }
    }
    let mut event_loop = virtual_loop();
    let ended: Vec<_> = (0..tasks).map(|_| event_loop.spawn(async {})).collect();
    event_loop
        .run_until_complete(async { yield_now().await })
        .unwrap();
    drop(ended);
    let since = Rc::new(Cell::new(None));
    // Closing drops its timers after its last messages but one.
    let last = Sends(event_loop.handle(), since.clone());
    event_loop.call_later(secs(1), move || drop(last));
    drop(event_loop);
    since.get().expect("it was dropped").elapsed()
}

#[test]
fn messages_that_come_too_late_cost_as_much_after_many_tasks_as_after_few() {
    let best = |tasks| (0..3).map(|_| end_in_a_burst(tasks)).min().unwrap();
    let (few, many) = (best(1), best(4_000));
    assert!(many < 6 * few, "{many:?} after many, {few:?} after few");
}

#[test]
fn a_loop_closed_inside_another_reports_its_dropped_tasks() {
    let trace = Trace::default();
    let inner = virtual_loop();
    note_reports(&inner, &trace);
    let guard = trace.on_drop("dropped");
    inner
        .spawn(async move {
            let _guard = guard;
            forever().await;
        })
        .detach();
    run(async {
        drop(inner);
        trace.note("the outer loop continues");
        yield_now().await;
    });
    let trace = trace.take();
    assert!(trace[0].starts_with("a task was dropped when its event loop closed (Task-1"));
    assert_eq!(trace[1..], ["dropped", "the outer loop continues"]);
}

#[test]
fn main_ends_first_then_the_tasks_then_run_returns() {
    let trace = Trace::default();
    let returned = run(async {
        let task = trace.on_drop("task");
        spawn(async move {
            let _task = task;
            forever().await;
        })
        .detach();
        let _main = trace.on_drop("main");
        yield_now().await;
        trace.on_drop("returned")
    });
    drop(returned);
    assert_eq!(trace.take(), ["main", "task", "returned"]);
}

#[test]
fn tasks_still_find_their_loop_while_it_closes() {
    let trace = Trace::default();
    struct SpawnsOnDrop(Trace);
    impl Drop for SpawnsOnDrop {
        fn drop(&mut self) {
            assert!(running_loop().is_here());
            call_soon(|| ());
            call_later(secs(1), || ());
            drop(sleep(secs(1)));
            self.0.note("found");
        }
    }
    let spawns = SpawnsOnDrop(trace.clone());
    run(async move {
        spawn(async move {
            let _spawns = spawns;
            forever().await;
        })
        .detach();
        yield_now().await;
    });
    assert_eq!(trace.take(), ["found"]);
}

#[test]
fn a_panicking_destructor_is_reported_and_closing_continues() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("in a destructor");
        }
    }
    let trace = Trace::default();
    let mut runner = Runner::builder().virtual_time(true).build().unwrap();
    note_reports(runner.event_loop(), &trace);
    let other = trace.on_drop("the other ended");
    let result = runner.run(async move {
        spawn(async {
            let _panics = Panics;
            forever().await;
        })
        .detach();
        spawn(async move {
            let _other = other;
            forever().await;
        })
        .detach();
        yield_now().await;
        "main's value"
    });
    runner.close();
    assert_eq!(result.unwrap(), "main's value");
    let trace = trace.take();
    assert!(
        trace[0].starts_with("a task panicked and nobody awaits it: in a destructor (Task-2"),
        "{trace:?}"
    );
    assert_eq!(trace[1..], ["the other ended"]);
}

#[test]
fn a_loop_may_be_closed_by_a_destructor_of_the_thread() {
    thread_local! {
        static KEPT: RefCell<Option<EventLoop>> = const { RefCell::new(None) };
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        struct ReportsDrop(std::sync::mpsc::Sender<&'static str>);
        impl Drop for ReportsDrop {
            fn drop(&mut self) {
                spawn(async {}).discard();
                self.0.send("dropped with its thread").unwrap();
            }
        }
        let event_loop = EventLoop::new().unwrap();
        let reports = ReportsDrop(sender);
        event_loop
            .spawn(async move {
                let _reports = reports;
                forever().await;
            })
            .detach();
        KEPT.set(Some(event_loop));
    })
    .join()
    .unwrap();
    assert_eq!(receiver.recv(), Ok("dropped with its thread"));
}

#[test]
fn tasks_that_hold_each_other_are_freed() {
    let trace = Trace::default();
    run(async {
        let both = Rc::new(RefCell::new(Vec::new()));
        for name in ["one", "other"] {
            let guard = trace.on_drop(name);
            let all = both.clone();
            let task = spawn(async move {
                let _guards = (guard, all);
                forever().await;
            });
            both.borrow_mut().push(task);
        }
        yield_now().await;
    });
    let mut dropped = trace.take();
    dropped.sort();
    assert_eq!(dropped, ["one", "other"]);
}
