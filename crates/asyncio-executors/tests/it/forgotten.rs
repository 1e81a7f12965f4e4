//! Reports of what a task group refuses or loses: in debug mode, with name and place, and otherwise only of bugs.
#![allow(
    elided_lifetimes_in_paths,
    reason = "`|tg: TaskGroup|`, as users write it"
)]

use std::cell::RefCell;
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use crate::support::{Trace, run};
use asyncio_executors::{
    NeverReady, Ready, TaskGroup, gather, on_cancel, race, staggered_race, task_group, timeout,
    try_gather,
};
use asyncio_loop::{
    JoinError, SpawnOptions, Unhandled, running_loop, set_exception_handler, sleep, spawn,
    yield_now,
};
use futures::FutureExt;

type Group<'env> = TaskGroup<'env, &'static str>;

const FAILS: Result<(), &str> = Err("disk full");

/// The reports of a run, in debug mode or not. All places that they name are in this file.
fn reports_in(debug: bool, main: impl AsyncFnOnce() + 'static) -> Vec<String> {
    run(async move |trace: Trace<String>| {
        running_loop().set_debug(debug);
        set_exception_handler(move |unhandled: &Unhandled| {
            let text = unhandled.to_string();
            assert!(text.contains("forgotten.rs:"), "{text}");
            let text = text.split("spawned at").next().unwrap();
            trace.note(text.to_owned());
        });
        main().await;
    })
}

/// The reports of debug mode. Without it, there are none.
fn reports(main: impl AsyncFnOnce() + Clone + 'static) -> Vec<String> {
    assert_eq!(reports_in(false, main.clone()), [""; 0]);
    reports_in(true, main)
}

fn named(name: &'static str) -> SpawnOptions {
    SpawnOptions::new().name(name)
}

mod a_refused_spawn {
    use super::*;

    const ENDING: &str = "a child was spawned into a task group that is ending, so it never runs: `try_spawn` gives the future back: ";

    #[test]
    fn is_reported_whichever_way_it_came() {
        let seen = reports(async || {
            let group = task_group(async |tg: Group| {
                tg.cancel();
                assert!(tg.spawn(async { Ok(()) }).is_finished());
                drop(tg.spawn_with(named("late"), async { Ok(()) }));
                drop(tg.spawn_when_free(async { Ok(()) }).await);
                let started = tg.start(async |_: Ready<()>| Ok(())).await;
                assert_eq!(started.unwrap_err(), NeverReady);
                assert!(
                    tg.try_spawn(async { Ok(()) }).is_err(),
                    "the caller is told"
                );
                Ok(())
            });
            group.await.unwrap();
        });
        let expected = ["without a name", "late", "without a name", "without a name"];
        assert_eq!(seen, expected.map(|name| format!("{ENDING}{name}, ")));
    }

    #[test]
    fn is_reported_in_a_cleanup_after_an_error_or_a_request() {
        let seen = reports(async || {
            let late = async |tg: Group| {
                let spawns = async { drop(tg.spawn_with(named("late"), async { Ok(()) })) };
                on_cancel(pending::<()>(), spawns).await;
                Ok(())
            };
            let failed = task_group(async |tg: Group| {
                tg.spawn(late(tg.clone()));
                yield_now().await;
                FAILS
            });
            failed.await.unwrap_err();
            let asked = timeout(Duration::from_secs(1), task_group(late));
            asked.await.unwrap_err();
        });
        assert_eq!(seen, [(); 2].map(|()| format!("{ENDING}late, ")));
    }

    #[test]
    fn is_none_of_those_of_a_race_or_of_what_is_gathered() {
        let seen = reports(async || {
            race([1, 2, 3].map(async |n| n)).await;
            gather([1, 2, 3].map(async |n| n)).await;
            let _ = try_gather([FAILS, Ok(()), FAILS].map(async |outcome| outcome)).await;
            let contenders = [1, 2, 3].map(|n| async move || Ok::<_, ()>(n));
            staggered_race(contenders, Some(Duration::ZERO)).await;
        });
        assert_eq!(seen, [""; 0]);
    }
}

mod the_place_of_a_started_child {
    use super::*;

    #[test]
    fn is_that_of_the_call() {
        run(async |_: Trace<()>| {
            let group = task_group(async |tg: Group| {
                let line = line!() + 1;
                let starting = tg.start(async |ready: Ready<u8>| {
                    ready.set(7);
                    Ok(())
                });
                let (7, child) = starting.await.unwrap() else {
                    unreachable!("it said so");
                };
                let location = child.as_ref().unwrap().info().location;
                assert!(location.file().ends_with("forgotten.rs"), "{location}");
                assert_eq!(location.line(), line);
                Ok(())
            });
            group.await.unwrap();
        });
    }
}

mod an_error {
    use super::*;

    const BY_PANIC: &str = "an error in a task group is lost, as the group panics";
    const BY_DROP: &str =
        "an error in a task group is lost, as the group is dropped before it returns";

    #[test]
    fn beside_a_panic_is_reported() {
        let seen = reports(async || {
            let group = task_group(async |tg: Group| {
                let cleanup = async { panic!("a panic") };
                tg.spawn(on_cancel(pending::<Result<(), _>>(), cleanup));
                tg.spawn_with(named("first"), async { FAILS });
                let never: () = on_cancel(pending(), async {}).await;
                Ok(never)
            });
            let panicked = AssertUnwindSafe(group).catch_unwind().await;
            assert!(panicked.is_err());
        });
        assert_eq!(seen, [format!("{BY_PANIC} (first, ")]);
    }

    #[test]
    fn of_the_body_is_reported_with_the_task_that_runs_the_group() {
        let seen = reports(async || {
            let owner = named("owner");
            let group = task_group(async |tg: Group| {
                tg.spawn::<(), _>(async {
                    sleep(Duration::from_secs(1)).await;
                    panic!("a panic");
                });
                let cleanup = async { panic!("a panic") };
                tg.spawn(on_cancel(pending::<Result<(), _>>(), cleanup));
                yield_now().await;
                FAILS
            });
            let owner = asyncio_loop::spawn_with(owner, async {
                assert!(AssertUnwindSafe(group).catch_unwind().await.is_err());
            });
            owner.await.unwrap();
        });
        assert_eq!(seen, [format!("{BY_PANIC} (owner, ")]);
    }

    #[test]
    fn in_a_group_that_is_dropped_is_reported() {
        let seen = reports(async || {
            let mut group = Box::pin(task_group(async |tg: Group| {
                let cleanup = sleep(Duration::from_secs(9));
                tg.spawn(on_cancel(pending::<Result<(), _>>(), cleanup));
                tg.spawn_with(named("one"), async { FAILS });
                pending::<()>().await;
                Ok(())
            }));
            let first = async {
                let _ = futures::poll!(&mut group);
                yield_now().await;
                let _ = futures::poll!(&mut group);
            };
            first.await;
            drop(group);
        });
        assert_eq!(seen, [format!("{BY_DROP} (one, ")]);
    }

    /// Runs a gather or a race in a task named `owner`, in which one fails while another cleans up. Its end is a panic.
    fn panics(in_place: impl Future + 'static) -> Vec<String> {
        reports_in(true, async move || {
            let owner = asyncio_loop::spawn_with(named("owner"), async {
                assert!(AssertUnwindSafe(in_place).catch_unwind().await.is_err());
            });
            owner.await.unwrap();
        })
    }

    async fn fails_soon() -> Result<(), &'static str> {
        yield_now().await;
        FAILS
    }

    #[test]
    fn of_a_gather_beside_a_panic_is_reported_and_the_value_of_a_race_is_none() {
        let cleanup = || on_cancel(pending::<Result<(), _>>(), async { panic!("a panic") });
        let message = "an error in a gather is lost, as the gather panics (owner, ";
        let seen = panics(async move { try_gather((cleanup(), fails_soon())).await });
        assert_eq!(seen, [message]);
        assert_eq!(
            panics(async move { race((cleanup(), fails_soon())).await }),
            [""; 0]
        );
        // Without an error, the panic is all.
        let fine = async { Ok::<(), &str>(()) };
        let seen = panics(async move { gather((fine, async { panic!("a panic") })).await });
        assert_eq!(seen, [""; 0]);
    }

    #[test]
    fn in_a_gather_that_is_dropped_is_reported_unless_it_was_returned() {
        let seen = reports_in(true, async || {
            let owner = asyncio_loop::spawn_with(named("owner"), async {
                let cleanup =
                    || on_cancel(pending::<Result<(), _>>(), sleep(Duration::from_secs(9)));
                let mut both = Box::pin(try_gather((cleanup(), fails_soon())));
                for _ in 0..2 {
                    assert!(futures::poll!(&mut both).is_pending());
                    yield_now().await;
                }
                drop(both);
                assert_eq!(
                    try_gather((cleanup(), fails_soon())).await,
                    Err("disk full")
                );
                let mut without = Box::pin(try_gather((cleanup(), cleanup())));
                assert!(futures::poll!(&mut without).is_pending());
            });
            owner.await.unwrap();
        });
        let message =
            "an error in a gather is lost, as the gather is dropped before it returns (owner, ";
        assert_eq!(seen, [message]);
    }

    #[test]
    fn that_the_group_returns_is_not_reported() {
        let seen = reports(async || {
            let failed = async || {
                task_group(async |tg: Group| {
                    let cleanup = sleep(Duration::from_secs(9));
                    tg.spawn(on_cancel(pending::<Result<(), _>>(), cleanup));
                    tg.spawn(async { FAILS });
                    pending::<()>().await;
                    Ok(())
                })
                .await
            };
            assert_eq!(failed().await.unwrap_err().errors(), ["disk full"]);
            // A request that comes meanwhile takes the next await.
            let task = spawn(failed());
            sleep(Duration::from_secs(1)).await;
            task.cancel();
            assert_eq!(task.await.unwrap().unwrap_err().errors(), ["disk full"]);
            // An error that its awaiter gets is returned as well.
            let group = task_group(async |tg: Group| {
                let child = tg.spawn(async { FAILS });
                assert!(matches!(child.await, Err(JoinError::Failed(_))));
                Ok(())
            });
            group.await.unwrap_err();
        });
        assert_eq!(seen, [""; 0]);
    }
}

#[test]
fn a_panic_in_a_group_that_is_dropped_is_always_reported() {
    for debug in [false, true] {
        let seen = reports_in(debug, async || {
            let kept = RefCell::new(Vec::new());
            let mut group = Box::pin(task_group(async |tg: Group| {
                kept.borrow_mut().push(tg.clone());
                let cleanup = sleep(Duration::from_secs(9));
                tg.spawn(on_cancel(pending::<Result<(), _>>(), cleanup));
                tg.spawn_with::<(), _>(named("one"), async { panic!("a panic") });
                pending::<()>().await;
                Ok(())
            }));
            let _ = futures::poll!(&mut group);
            yield_now().await;
            let _ = futures::poll!(&mut group);
            drop(group);
        });
        let message = "a task group is dropped before its panic can go on: a panic";
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert!(seen[0].starts_with(message), "{seen:?}");
    }
}
