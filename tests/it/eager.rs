//! Tasks whose first step comes before their spawn returns.
#![allow(
    elided_lifetimes_in_paths,
    reason = "`|tg: TaskGroup|`, as users write it"
)]
#![allow(
    clippy::async_yields_async,
    reason = "tasks that outlive the code that spawns them"
)]

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;

use asyncio::{
    BoxError, ContextVar, EventLoop, SpawnOptions, Task, TaskGroup, TaskState, call_soon,
    catch_cancel, copy_context, current_task, on_cancel, sleep, spawn, spawn_with, task_group,
    timeout, yield_now,
};
use asyncio_tests::{forever, run_virtual, secs};

fn eager() -> SpawnOptions {
    SpawnOptions::new().eager_start()
}

fn eagerly<F: Future + 'static>(future: F) -> Task<F::Output> {
    spawn_with(eager(), future)
}

#[test]
fn a_panic_in_the_first_step_is_told_at_the_join_or_reported() {
    let reports = run_virtual(async |_| {
        let task: Task<()> = eagerly(async { panic!("at once") });
        assert!(task.is_finished());
        let error = task.await.unwrap_err();
        assert_eq!(error.to_string(), "task Task-2 panicked: at once");
        eagerly(async { panic!("and nobody looks") }).detach();
        assert_eq!(current_task().unwrap().name(), "Task-1");
    });
    assert_eq!(reports.len(), 1);
    assert!(reports[0].contains("and nobody looks"), "{reports:?}");
}

#[test]
fn what_is_ready_does_not_go_through_the_queue_and_what_waits_is_last_in_it() {
    let seen = run_virtual(async |trace| {
        let noting = |words: &'static str| {
            let trace = trace.clone();
            async move { trace.note(words) }
        };
        let before = spawn(noting("ready before"));
        let noted = trace.clone();
        let task = eagerly(async move {
            noted.note("first step");
            yield_now().await;
            noted.note("second step");
        });
        let after = spawn(noting("ready after"));
        for task in [before, task, after] {
            task.await.unwrap();
        }
    });
    assert_eq!(
        seen,
        ["first step", "ready before", "second step", "ready after"]
    );
}

#[test]
fn tasks_that_start_within_one_another_are_each_the_current_one_in_turn() {
    fn nest(depth: u32) -> Pin<Box<dyn Future<Output = u32>>> {
        Box::pin(async move {
            let me = current_task().unwrap().id();
            let inner = (depth > 0).then(|| eagerly(nest(depth - 1)));
            assert_eq!(current_task().unwrap().id(), me);
            let inner = match inner {
                Some(mut inner) => {
                    assert_eq!(inner.as_ref().info().parent, Some(me));
                    inner.try_take().expect("it was ready at once").unwrap()
                }
                None => 0,
            };
            inner + 1
        })
    }
    run_virtual(async |_| assert_eq!(eagerly(nest(100)).await.unwrap(), 101));
}

#[test]
fn scopes_of_the_spawner_are_not_around_the_first_step() {
    let seen = run_virtual(async |trace| {
        let noted = trace.clone();
        let background = Rc::new(Cell::new(None));
        let keep = background.clone();
        let limited = async move {
            let n = noted.clone();
            keep.set(Some(eagerly(async move {
                if catch_cancel(sleep(secs(3))).await.is_err() {
                    n.note("the background task was told");
                }
                "done"
            })));
            on_cancel(forever(), async { noted.note("the limit is over") }).await;
        };
        assert!(timeout(secs(1), limited).await.is_err());
        let background = background.take().unwrap();
        assert_eq!(background.cancelling(), 0);
        assert_eq!(background.await.unwrap(), "done");
    });
    assert_eq!(seen, ["the limit is over"]);
}

#[test]
fn scopes_opened_in_the_first_step_are_those_of_the_new_task() {
    let seen = run_virtual(async |trace| {
        let noted = trace.clone();
        let spawner = spawn(async move {
            let n = noted.clone();
            let work = on_cancel(forever(), async move { n.note("the new task cleans up") });
            let task = timeout(secs(60), async { eagerly(work) }).await.unwrap();
            if let Err(cancelled) = catch_cancel(forever()).await {
                noted.note("the spawner cleans up");
                cancelled.swallow();
            }
            task
        });
        sleep(secs(1)).await;
        spawner.cancel();
        let task = spawner.await.unwrap();
        assert!(!task.is_finished());
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    });
    assert_eq!(seen, ["the spawner cleans up", "the new task cleans up"]);
}

#[test]
fn a_task_that_cancels_or_cancels_its_spawner_in_its_first_step() {
    let seen = run_virtual(async |trace| {
        let noted = trace.clone();
        let task = eagerly(async move {
            current_task().unwrap().cancel_with("me");
            on_cancel(forever(), async move { noted.note("cleans up") }).await;
        });
        assert_eq!(task.await.unwrap_err().message(), Some("me"));

        let spawner: Task<()> = spawn(async {
            let me = current_task().unwrap();
            eagerly(async move {
                assert_eq!(me.info().state, TaskState::Running);
                me.cancel_with("by the child");
            })
            .await
            .unwrap();
            forever().await;
        });
        assert_eq!(spawner.await.unwrap_err().message(), Some("by the child"));
    });
    assert_eq!(seen, ["cleans up"]);
}

#[test]
fn the_context_is_a_copy_also_within_a_run_of_another_one() {
    static VARIABLE: ContextVar<&str> = ContextVar::new("variable");
    run_virtual(async |_| {
        VARIABLE.set("outside");
        let other = copy_context();
        let mut task = other.run(|| {
            VARIABLE.set("in the run");
            let task = eagerly(async {
                VARIABLE.set("in the task");
                VARIABLE.get()
            });
            assert_eq!(VARIABLE.get(), Some("in the run"));
            task
        });
        assert_eq!(task.try_take().unwrap().unwrap(), Some("in the task"));
        assert_eq!(VARIABLE.get(), Some("outside"));
    });
}

#[test]
fn from_a_callback_it_starts_at_once_and_without_a_running_loop_with_the_loop() {
    let seen = run_virtual(async |trace| {
        let noted = trace.clone();
        call_soon(move || {
            let n = noted.clone();
            eagerly(async move { n.note(current_task().unwrap().name().to_string()) }).detach();
            assert!(current_task().is_none());
            noted.note("callback");
        });
        yield_now().await;
    });
    assert_eq!(seen, ["Task-3", "callback"]);

    // No loop runs, and one that does is not that of the spawn.
    assert!(asyncio::try_spawn_with(eager(), async {}).is_err());
    let mut event_loop = EventLoop::new().unwrap();
    let task = event_loop.spawn(async { eagerly(async { 1 }).is_finished() });
    assert!(event_loop.run_until_complete(task).unwrap().unwrap());
}

#[test]
fn a_closed_loop_starts_nothing() {
    /// Spawns another task when it is dropped, which does the same, ten times over.
    struct SpawnsAnother {
        spawned: Rc<Cell<u32>>,
        began: Rc<Cell<u32>>,
    }
    impl Drop for SpawnsAnother {
        fn drop(&mut self) {
            let n = self.spawned.get() + 1;
            if n > 10 {
                return;
            }
            self.spawned.set(n);
            let (spawned, began) = (self.spawned.clone(), self.began.clone());
            eagerly(async move {
                began.set(began.get() + 1);
                let _another = SpawnsAnother { spawned, began };
                forever().await;
            })
            .detach();
        }
    }
    let (spawned, began) = <(Rc<Cell<u32>>, Rc<Cell<u32>>)>::default();
    let first = SpawnsAnother {
        spawned: spawned.clone(),
        began: began.clone(),
    };
    run_virtual(async move |_| {
        spawn(async move {
            let _first = first;
            forever().await;
        })
        .detach();
        yield_now().await;
    });
    // In each of the three rounds of closing one more; the fourth is dropped unpolled.
    assert_eq!((spawned.get(), began.get()), (4, 3));
}

#[test]
fn children_of_a_group_start_at_once_and_may_borrow_fail_and_wait_for_a_place() {
    let seen = run_virtual(async |trace| {
        let mut count = 0;
        let result = task_group(async |tg: TaskGroup| {
            let child = tg.spawn_with(eager(), async {
                count += 1;
                trace.note("first child");
                Ok("value")
            });
            assert!(child.is_finished());
            assert_eq!(tg.len(), 0);
            trace.note("body");
            assert_eq!(child.await.unwrap(), "value");

            tg.limit(1);
            let waits = tg.spawn_with(eager(), async {
                trace.note("has the place");
                yield_now().await;
                Ok(())
            });
            let stands = tg.spawn_with(eager(), async {
                trace.note("has it next");
                Ok(())
            });
            assert!(!waits.is_finished() && !stands.is_finished());
            trace.note("body again");
            waits.await?;
            stands.await?;
            let failed = tg.spawn_with(eager(), async { Err::<(), BoxError>("boom".into()) });
            assert!(failed.is_finished() && tg.is_ending());
            forever().await;
            Ok(())
        })
        .await;
        assert_eq!(result.unwrap_err().to_string(), "1 task failed\n└─ boom");
        assert_eq!(count, 1);
    });
    assert_eq!(
        seen,
        [
            "first child",
            "body",
            "has the place",
            "body again",
            "has it next"
        ]
    );
}

#[test]
fn children_start_children_at_once_and_a_panic_in_a_first_step_goes_through_the_group() {
    let seen = run_virtual(async |trace| {
        let outcome = spawn(async {
            task_group(async |tg: TaskGroup| {
                let group = tg.clone();
                tg.spawn_with(eager(), async move {
                    let grandchild = group.spawn_with(eager(), async { Ok(1) });
                    assert!(grandchild.is_finished());
                    group.spawn_with(eager(), async {
                        if true {
                            panic!("boom");
                        }
                        Ok(())
                    });
                    forever().await;
                    Ok(())
                });
                forever().await;
                Ok(())
            })
            .await
            .unwrap();
        });
        let error = outcome.await.unwrap_err();
        trace.note(error.to_string());
    });
    assert_eq!(seen, ["task Task-2 panicked: boom"]);
}

#[test]
fn a_child_spawned_while_its_group_is_not_polled_waits_for_that() {
    run_virtual(async |_| {
        let handle: Rc<Cell<Option<TaskGroup<'static, &str>>>> = Rc::default();
        let to_me = handle.clone();
        let group = spawn(task_group(async move |tg: TaskGroup<'static, &str>| {
            to_me.set(Some(tg.clone()));
            sleep(secs(1)).await;
            Ok(tg.len())
        }));
        yield_now().await;
        let child = handle.take().unwrap().spawn_with(eager(), async {
            sleep(secs(5)).await;
            Ok(())
        });
        assert_eq!(child.as_ref().unwrap().info().state, TaskState::Ready);
        assert_eq!(group.await.unwrap().unwrap(), 1);
        child.await.unwrap();
    });
}
