//! Panics and errors that are not awaited reach the exception handler: once, with name and
//! location.

use std::cell::Cell;
use std::rc::Rc;

use crate::support::{Trace, note_reports, secs, virtual_loop};
use asyncio_loop::{
    Cause, ContextVar, EventLoop, SpawnOptions, Unhandled, call_exception_handler, call_later,
    call_soon, running_loop, set_exception_handler, sleep, spawn, spawn_with, yield_now,
};

/// Runs `main` and returns the reports without the locations, all of which are in this file.
fn reports(main: impl AsyncFnOnce()) -> Vec<String> {
    let trace = Trace::default();
    let mut event_loop = virtual_loop();
    note_reports(&event_loop, &trace);
    event_loop
        .run_until_complete(async {
            main().await;
            sleep(secs(10)).await;
        })
        .unwrap();
    drop(event_loop);
    let reported = trace.take().into_iter().map(|report| {
        let (what, place) = report.rsplit_once("spawned at ").expect(&report);
        assert!(place.contains("exceptions.rs:"), "{report}");
        what.trim_end_matches(", ").to_owned()
    });
    reported.collect()
}

fn named(name: &str) -> SpawnOptions {
    SpawnOptions::new().name(name)
}

#[test]
fn a_panic_of_a_detached_task() {
    let reported = reports(async || {
        spawn(async { panic!("boom") }).discard();
    });
    assert_eq!(
        reported,
        ["a task panicked and nobody awaits it: boom (Task-2"]
    );
}

#[test]
fn a_panic_of_a_detached_task_with_a_name() {
    let reported = reports(async || {
        let task = spawn_with(named("fetch"), async {
            yield_now().await;
            panic!("boom");
        });
        task.discard();
    });
    assert_eq!(
        reported,
        ["a task panicked and nobody awaits it: boom (fetch"]
    );
}

#[test]
fn an_error_of_a_detached_task_with_a_name() {
    let reported = reports(async || {
        let task = spawn_with(named("fetch"), async { Err::<(), _>("no route") });
        task.detach();
        let task = spawn_with(named("fetch later"), async {
            sleep(secs(1)).await;
            Err::<(), _>("timeout")
        });
        task.detach();
    });
    assert_eq!(
        reported,
        [
            "a detached task failed: \"no route\" (fetch",
            "a detached task failed: \"timeout\" (fetch later"
        ]
    );
}

#[test]
fn an_error_of_a_task_that_has_ended_when_it_is_detached() {
    let reported = reports(async || {
        let task = spawn_with(named("early"), async { Err::<(), _>("no") });
        yield_now().await;
        task.detach();
    });
    assert_eq!(reported, ["a detached task failed: \"no\" (early"]);
}

#[test]
fn a_panic_of_a_task_whose_handle_is_dropped() {
    let reported = reports(async || {
        let task = spawn_with(named("gone"), async { panic!("boom") });
        yield_now().await;
        drop::<asyncio_loop::Task<()>>(task);
    });
    assert_eq!(
        reported,
        ["a task panicked and nobody awaits it: boom (gone"]
    );
}

#[test]
fn an_awaited_panic_is_not_reported() {
    let reported = reports(async || {
        let error = spawn(async { panic!("boom") }).await.unwrap_err();
        assert!(error.is_panic());
    });
    assert!(reported.is_empty(), "{reported:?}");
}

#[test]
fn a_panic_of_a_callback_now_later_and_from_another_thread() {
    let reported = reports(async || {
        call_soon(|| panic!("soon"));
        call_later(secs(1), || panic!("later"));
        let event_loop = running_loop();
        std::thread::spawn(move || {
            event_loop
                .call_soon_threadsafe(|| panic!("from afar"))
                .unwrap();
        })
        .join()
        .unwrap();
    });
    let mut kinds: Vec<_> = reported
        .iter()
        .filter_map(|t| t.split(" (").next())
        .collect();
    kinds.sort();
    assert_eq!(
        kinds,
        [
            "a callback panicked: from afar",
            "a callback panicked: later",
            "a callback panicked: soon"
        ]
    );
}

#[test]
fn a_panic_of_a_task_spawned_from_another_thread() {
    let reported = reports(async || {
        let event_loop = running_loop();
        std::thread::spawn(move || {
            event_loop
                .spawn(|| async { Err::<(), _>("from afar") })
                .unwrap();
        })
        .join()
        .unwrap();
    });
    assert_eq!(reported.len(), 1);
    assert!(reported[0].starts_with("a detached task failed: \"from afar\" ("));
}

#[test]
fn the_loop_continues_after_reports() {
    let reported = reports(async || {
        for n in 0..3 {
            call_soon(move || panic!("{n}"));
        }
        assert_eq!(spawn(async { 1 }).await.unwrap(), 1);
    });
    assert_eq!(reported.len(), 3);
}

#[test]
fn the_handler_has_cause_and_task() {
    let seen = Rc::new(Cell::new(0));
    let mut event_loop = virtual_loop();
    event_loop.set_exception_handler({
        let seen = seen.clone();
        move |unhandled| {
            let task = unhandled.task().unwrap();
            assert_eq!(task.name, "fetch");
            assert!(task.location.file().ends_with("exceptions.rs"));
            match unhandled.cause() {
                Cause::Panic(payload) => assert_eq!(payload.message(), "boom"),
                Cause::Error(error) => assert_eq!(error, "\"no\""),
                other => panic!("{other:?}"),
            }
            seen.set(seen.get() + 1);
        }
    });
    event_loop
        .run_until_complete(async {
            let panics = spawn_with(named("fetch"), async { panic!("boom") });
            panics.discard();
            let fails = spawn_with(named("fetch"), async { Err::<(), _>("no") });
            fails.detach();
            yield_now().await;
        })
        .unwrap();
    assert_eq!(seen.get(), 2);
}

#[test]
fn a_panicking_handler_is_harmless() {
    let mut event_loop = virtual_loop();
    event_loop.set_exception_handler(|_| panic!("and I as well"));
    let value = event_loop.run_until_complete(async {
        call_soon(|| panic!("boom"));
        spawn(async { 5 }).await.unwrap()
    });
    assert_eq!(value.unwrap(), 5);
}

#[test]
fn a_handler_may_be_replaced_by_itself_and_may_spawn() {
    let trace = Trace::default();
    let mut event_loop = virtual_loop();
    event_loop.set_exception_handler({
        let trace = trace.clone();
        move |_| {
            trace.note("first handler");
            let trace = trace.clone();
            spawn({
                let trace = trace.clone();
                async move { trace.note("its task") }
            })
            .detach();
            set_exception_handler(move |_| trace.note("second handler"));
        }
    });
    event_loop
        .run_until_complete(async {
            call_soon(|| panic!("one"));
            call_soon(|| panic!("two"));
            yield_now().await;
        })
        .unwrap();
    assert_eq!(
        trace.take(),
        ["first handler", "second handler", "its task"]
    );
}

#[test]
fn the_handler_runs_in_the_context_of_the_failed_task() {
    static USER: ContextVar<&str> = ContextVar::new("user");
    let trace = Trace::default();
    let mut event_loop = virtual_loop();
    let noted = trace.clone();
    event_loop.set_exception_handler(move |_| noted.note(USER.get().unwrap_or("no user")));
    event_loop
        .run_until_complete(async {
            USER.set("main");
            for user in ["ada", "grace"] {
                spawn(async move {
                    USER.set(user);
                    panic!("boom");
                })
                .discard();
            }
            call_soon(|| panic!("boom"));
            yield_now().await;
        })
        .unwrap();
    assert_eq!(trace.take(), ["ada", "grace", "main"]);
}

#[test]
fn any_code_may_report() {
    let trace = Trace::default();
    let mut event_loop = virtual_loop();
    note_reports(&event_loop, &trace);
    let report = || Unhandled::new("a connection failed", None, Cause::Message);
    event_loop
        .run_until_complete(async { call_exception_handler(&report()) })
        .unwrap();
    assert_eq!(trace.take(), ["a connection failed"]);
    call_exception_handler(&report()); // without a loop: to standard error
}

#[test]
fn a_dropped_thread_future_reports_its_panic() {
    for ended_before in [true, false] {
        let trace = Trace::default();
        let mut event_loop = EventLoop::new().unwrap();
        note_reports(&event_loop, &trace);
        let handle = event_loop.handle();
        let future = handle
            .run_coroutine_threadsafe(|| async {
                yield_now().await;
                panic!("from afar")
            })
            .unwrap();
        let mut future = Some(future);
        event_loop
            .run_until_complete(async {
                yield_now().await;
                yield_now().await;
                while ended_before && !future.as_ref().unwrap().is_finished() {
                    yield_now().await;
                }
                drop(future.take());
                for _ in 0..5 {
                    yield_now().await;
                }
            })
            .unwrap();
        drop(event_loop);
        let reported = trace.take();
        assert_eq!(reported.len(), 1, "{reported:?}");
        assert!(
            reported[0].starts_with("a task panicked and nobody awaits it: from afar"),
            "{reported:?}"
        );
    }
}
