//! The behaviour that `test_eager_task_factory.py` observes. The call that spawns a task says whether it starts at
//! once.
#![allow(
    elided_lifetimes_in_paths,
    reason = "`|tg: TaskGroup|`, as users write it"
)]

use asyncio::{SpawnOptions, Task, spawn_with};

/// `create_task`, with a loop whose tasks start eagerly.
fn eagerly<F: Future + 'static>(future: F) -> Task<F::Output> {
    spawn_with(SpawnOptions::new().eager_start(), future)
}

/// A loop with an eager task factory.
mod eager_task_factory_loop_tests {
    use asyncio::sync::promise;
    use asyncio::{ContextVar, Task, all_tasks, current_task, yield_now};
    use asyncio_tests::run_virtual;

    use super::eagerly;

    /// A task that is spawned with the option has a name and a number.
    #[test]
    fn eager_task_factory_set() {
        run_virtual(async |_| {
            let task: Task<u32> = eagerly(async { 1 });
            assert_eq!(task.name(), "Task-2");
            assert_eq!(task.await.unwrap(), 1);
        });
    }

    /// A coroutine runs up to its first suspension before the spawn returns, and may set a future there.
    #[test]
    fn await_future_during_eager_step() {
        run_virtual(async |_| {
            let (sets, future) = promise();
            let task = eagerly(async move {
                sets.set_result("from the first step").unwrap();
                yield_now().await;
                "at last"
            });
            assert!(future.done());
            assert_eq!(future.await.unwrap(), "from the first step");
            assert_eq!(task.await.unwrap(), "at last");
        });
    }

    /// A task that suspends is not done when the spawn returns, and the loop finishes it.
    #[test]
    fn block_after_eager_step() {
        run_virtual(async |trace| {
            let noted = trace.clone();
            let task = eagerly(async move {
                noted.note("begins");
                yield_now().await;
                noted.note("ends");
                1
            });
            assert!(!task.is_finished());
            assert_eq!(trace.take(), ["begins"]);
            assert_eq!(task.await.unwrap(), 1);
            assert_eq!(trace.take(), ["ends"]);
        });
    }

    /// During that step the current task is the new one; afterwards it is the spawner again.
    #[test]
    fn current_task_() {
        run_virtual(async |_| {
            let me = current_task().unwrap().id();
            let mut task = eagerly(async { current_task().unwrap().id() });
            assert_eq!(current_task().unwrap().id(), me);
            assert_eq!(task.try_take().unwrap().unwrap(), task.id());
            assert_ne!(task.id(), me);
        });
    }

    /// The task is among all tasks during that step, and not after it has completed.
    #[test]
    fn all_tasks_with_eager_completion() {
        run_virtual(async |_| {
            let listed = |id| all_tasks().iter().any(|task| task.id() == id);
            let mut task = eagerly(async move { listed(current_task().unwrap().id()) });
            assert!(task.try_take().unwrap().unwrap(), "during its first step");
            assert!(!listed(task.id()), "it has ended");
            let waits = eagerly(yield_now());
            assert!(listed(waits.id()));
            waits.await.unwrap();
        });
    }

    /// The step runs in a copy of the spawner's context: changes do not leak back, and last over a suspension.
    #[test]
    fn context_vars() {
        static VARIABLE: ContextVar<u32> = ContextVar::new("variable");
        run_virtual(async |_| {
            VARIABLE.set(1);
            let task = eagerly(async {
                assert_eq!(VARIABLE.get(), Some(1));
                VARIABLE.set(2);
                yield_now().await;
                assert_eq!(VARIABLE.get(), Some(2));
                VARIABLE.set(3);
            });
            assert_eq!(VARIABLE.get(), Some(1));
            VARIABLE.set(4);
            task.await.unwrap();
            assert_eq!(VARIABLE.get(), Some(4));
        });
    }
}

/// The data that the tasks keep.
mod c_eager_task_factory_loop_tests {
    use asyncio_tests::run_virtual;

    use super::eagerly;

    /// A task that has completed has dropped its coroutine, while its handle is still there.
    #[test]
    fn issue122332() {
        run_virtual(async |trace| {
            let held = trace.on_drop("the coroutine is gone");
            let task = eagerly(async move {
                let _held = &held;
            });
            assert_eq!(trace.take(), ["the coroutine is gone"]);
            task.await.unwrap();
        });
    }
}

/// How many tasks go through the ready queue.
mod base_task_counting_tests {
    use std::cell::Cell;
    use std::pin::Pin;
    use std::rc::Rc;

    use asyncio::{BoxError, SpawnOptions, TaskGroup, spawn_with, task_group};
    use asyncio_tests::run_virtual;

    /// The ends of the tasks.
    #[derive(Default)]
    struct Counts {
        spawned: Cell<u32>,
        /// Those that had not ended when their spawn returned.
        scheduled: Cell<u32>,
    }

    fn add(count: &Cell<u32>, n: bool) {
        count.set(count.get() + u32::from(n));
    }

    fn recurse(
        depth: u32,
        options: SpawnOptions,
        counts: Rc<Counts>,
    ) -> Pin<Box<dyn Future<Output = Result<(), BoxError>>>> {
        Box::pin(async move {
            if depth == 0 {
                return Ok(());
            }
            task_group(async |tg: TaskGroup| {
                for _ in 0..5 {
                    let inner = recurse(depth - 1, options.clone(), counts.clone());
                    let child = tg.spawn_with(options.clone(), inner);
                    add(&counts.spawned, true);
                    add(&counts.scheduled, !child.is_finished());
                }
                Ok(())
            })
            .await?;
            Ok(())
        })
    }

    /// Groups in groups, five wide and four deep: all 781 tasks are scheduled, and none if they start eagerly.
    #[test]
    fn recursive_taskgroups() {
        let scheduled_of = |options: SpawnOptions| {
            let seen = Rc::new(Counts::default());
            let counts = seen.clone();
            run_virtual(async move |_| {
                let main = spawn_with(options.clone(), recurse(4, options, counts.clone()));
                add(&counts.spawned, true);
                add(&counts.scheduled, !main.is_finished());
                main.await.unwrap().unwrap();
            });
            (seen.spawned.get(), seen.scheduled.get())
        };
        assert_eq!(scheduled_of(SpawnOptions::new()), (781, 781));
        assert_eq!(scheduled_of(SpawnOptions::new().eager_start()), (781, 0));
    }
}
