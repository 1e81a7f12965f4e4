//! Failures that nothing awaits reach the exception handler: each kind once, with the name of the task, where it was
//! spawned, and in the task's context.

use std::cell::RefCell;
use std::future::pending;
use std::panic::Location;
use std::rc::Rc;

use asyncio_task::{Cause, ContextVar, SpawnOptions, TaskState, Tasks, Unhandled};

use crate::support::{OnDrop, settle};

fn with_handler(handler: impl Fn(&Unhandled) + 'static, f: impl FnOnce(&Tasks)) {
    let tasks = Tasks::new(|| ());
    tasks.on_unhandled(handler);
    tasks.enter(&(), || {
        f(&tasks);
        settle(&tasks);
    });
}

#[derive(Clone, Default)]
struct Lines(Rc<RefCell<Vec<String>>>);

#[track_caller]
fn named(name: &str) -> (SpawnOptions, &'static Location<'static>) {
    let here = Location::caller();
    (SpawnOptions::new().name(name).location(here), here)
}

#[test]
fn a_report_is_a_line_with_what_happened_to_which_task_spawned_where() {
    let lines = Lines::default();
    let told = lines.clone();
    let mut expected = Vec::new();
    with_handler(
        move |unhandled| told.0.borrow_mut().push(unhandled.to_string()),
        |tasks| {
            let (options, here) = named("failing");
            tasks
                .spawn_with(options, async { Err::<(), _>("out of tea") })
                .detach();
            expected.push(format!(
                r#"a detached task failed: "out of tea" (failing, spawned at {here})"#
            ));
            let (options, here) = named("panicking");
            tasks
                .spawn_with(options, async { panic!("out of {}", "milk") })
                .detach();
            expected.push(format!(
                "a task panicked and nobody awaits it: out of milk (panicking, spawned at {here})"
            ));
            settle(tasks);
            let done = tasks.spawn(async { Err::<(), _>("late") });
            settle(tasks);
            let location = done.as_ref().info().location;
            assert_eq!(location.file(), file!());
            done.detach(); // after the end
            expected.push(format!(
                r#"a detached task failed: "late" (Task-3, spawned at {location})"#
            ));
        },
    );
    assert_eq!(*lines.0.borrow(), expected);
}

#[test]
fn what_went_well_or_was_cancelled_is_not_reported() {
    with_handler(
        |unhandled| panic!("{unhandled}"),
        |tasks| {
            tasks.spawn(async {}).detach();
            tasks.spawn(async { Ok::<_, String>(1) }).detach();
            tasks
                .spawn(async { Err::<(), _>("not looked at") })
                .discard();
            drop(tasks.spawn(async { Err::<(), _>("dropped with its handle") }));
            let cancelled = tasks.spawn(pending::<()>());
            cancelled.cancel();
            cancelled.detach();
            tasks
                .spawn(async {
                    loop {
                        crate::support::yield_now().await
                    }
                })
                .detach();
            for _ in 0..20 {
                tasks.run_one();
            }
            tasks.close();
        },
    );
}

#[test]
fn a_report_tells_the_cause_and_the_task_as_data() {
    let seen = Rc::new(RefCell::new(0));
    let count = seen.clone();
    with_handler(
        move |unhandled| {
            let task = unhandled.task().unwrap();
            assert_eq!(task.name, "parent's child");
            assert_eq!(task.parent.unwrap().get(), 1);
            assert_eq!(task.state, TaskState::Panicked);
            let Cause::Panic(payload) = unhandled.cause() else {
                panic!("the cause is a panic");
            };
            assert_eq!(payload.message(), "boom");
            assert_eq!(unhandled.message(), "a task panicked and nobody awaits it");
            *count.borrow_mut() += 1;
        },
        |tasks| {
            tasks
                .spawn(async {
                    let (options, _) = named("parent's child");
                    let Ok(task) = asyncio_task::try_spawn_with(options, async { panic!("boom") })
                    else {
                        panic!("there is a loop");
                    };
                    task.discard();
                })
                .detach();
        },
    );
    assert_eq!(*seen.borrow(), 1);
}

#[test]
fn the_handler_runs_in_the_context_of_the_task() {
    static REQUEST: ContextVar<u32> = ContextVar::new("request");
    let seen = Rc::new(RefCell::new(Vec::new()));
    let put = seen.clone();
    with_handler(
        move |_| put.borrow_mut().push(REQUEST.get()),
        |tasks| {
            for n in 1..=2 {
                tasks
                    .spawn(async move {
                        REQUEST.set(n);
                        Err::<(), _>("failed")
                    })
                    .detach();
            }
            let dropped = tasks.spawn(async {
                REQUEST.set(3);
                panic!("failed");
            });
            settle(tasks);
            drop(dropped);
            assert_eq!(REQUEST.get(), None);
        },
    );
    assert_eq!(*seen.borrow(), [Some(1), Some(2), Some(3)]);
}

#[test]
fn a_handler_may_spawn_and_report_itself() {
    let seen = Lines::default();
    let told = seen.clone();
    with_handler(
        move |unhandled| {
            told.0.borrow_mut().push(unhandled.message().to_owned());
            if told.0.borrow().len() == 1 {
                let told = told.clone();
                asyncio_task::spawn(async move { told.0.borrow_mut().push("followed up".into()) })
                    .detach();
            }
        },
        |tasks| {
            tasks.spawn(async { Err::<(), _>(1) }).detach();
            settle(tasks);
            tasks.report(&Unhandled::new("said by hand", None, Cause::Message));
        },
    );
    assert_eq!(
        *seen.0.borrow(),
        ["a detached task failed", "followed up", "said by hand"]
    );
}

#[test]
fn a_report_of_a_task_whose_loop_does_not_run_goes_to_standard_error_and_not_astray() {
    let astray = Rc::new(RefCell::new(0));
    let count = astray.clone();
    let tasks = Tasks::new(|| ());
    let task = tasks.spawn(async {
        let _late = OnDrop::new(|| ());
        panic!("this line is part of a test that passes")
    });
    tasks.enter(&(), || settle(&tasks));
    with_handler(
        move |_| *count.borrow_mut() += 1,
        |_| drop(task), // entered, but another's
    );
    assert_eq!(*astray.borrow(), 0);
}
