//! Tasks that take their first step at once. `eager.py` has the twins.

use std::cell::RefCell;
use std::fmt::Display;
use std::pin::Pin;
use std::rc::Rc;

use asyncio::{
    BoxError, SpawnOptions, Task, TaskGroup, current_task, spawn, spawn_with, task_group, timeout,
    yield_now,
};

use crate::{Note, outcome, secs, sleep, try_worker, worker};

fn eager() -> SpawnOptions {
    SpawnOptions::new().eager_start()
}

fn eagerly<F: Future + 'static>(future: F) -> Task<F::Output> {
    spawn_with(eager(), future)
}

/// As Python says it.
fn done<T>(task: &Task<T>) -> &'static str {
    if task.is_finished() { "True" } else { "False" }
}

pub(crate) async fn one_that_need_not_wait_is_done_at_once(note: Note) {
    let n = note.clone();
    let task = eagerly(async move {
        n.say("runs");
        "value"
    });
    note.say(format_args!("done: {}", done(&task)));
    outcome(&note, "task", task).await;
}

pub(crate) async fn one_that_waits_goes_on_after_what_is_ready(note: Note) {
    async fn two_steps(note: Note, name: impl Display) {
        note.say(format_args!("{name}, first step"));
        yield_now().await;
        note.say(format_args!("{name}, second step"));
    }
    let before = spawn(two_steps(note.clone(), "before"));
    let eager = eagerly(two_steps(note.clone(), "eager"));
    let after = spawn(two_steps(note.clone(), "after"));
    for task in [before, eager, after] {
        task.await.expect("it returns");
    }
}

pub(crate) async fn each_is_the_current_task_in_turn(note: Note) {
    fn current() -> impl Display {
        current_task().expect("this is a task").name()
    }
    fn nest(note: Note, depth: u32) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(async move {
            note.say(format_args!("in {}", current()));
            if let Some(inner) = depth.checked_sub(1) {
                level(note.clone(), inner).await.expect("it returns");
            }
            note.say(format_args!("again in {}", current()));
        })
    }
    fn level(note: Note, depth: u32) -> Task<()> {
        spawn_with(eager().name(format!("level {depth}")), nest(note, depth))
    }
    level(note, 3).await.expect("it returns");
}

pub(crate) async fn one_that_fails_at_once(note: Note) {
    let task = eagerly(async { Err::<(), BoxError>("at once".into()) });
    note.say("spawned");
    outcome(&note, "task", async { task.await.expect("it returned") }).await;
}

pub(crate) async fn one_that_cancels_itself_at_once(note: Note) {
    let n = note.clone();
    let task = eagerly(async move {
        current_task().expect("this is a task").cancel();
        worker(n, "worker", 5, 1).await
    });
    note.say(format_args!("done: {}", done(&task)));
    outcome(&note, "task", task).await;
}

pub(crate) async fn one_that_cancels_its_spawner(note: Note) {
    let n = note.clone();
    let spawner = spawn(async move {
        let me = current_task().expect("this is a task");
        eagerly(async move {
            me.cancel();
        })
        .detach();
        n.say("still here");
        worker(n, "worker", 5, 1).await
    });
    outcome(&note, "spawner", spawner).await;
}

pub(crate) async fn a_limit_around_the_spawn_is_not_around_the_task(note: Note) {
    let background = RefCell::new(None);
    let limited = timeout(secs(1), async {
        let task = eagerly(worker(note.clone(), "background", 3, 1));
        background.replace(Some(task));
        worker(note.clone(), "limited", 3, 1).await
    });
    outcome(&note, "limited", limited).await;
    let background = background.take().expect("it was spawned");
    outcome(&note, "background", background).await;
}

pub(crate) async fn a_request_to_the_spawner_is_not_one_to_the_task(note: Note) {
    let background = Rc::new(RefCell::new(None));
    let (n, b) = (note.clone(), background.clone());
    let task = spawn(async move {
        b.replace(Some(eagerly(worker(n.clone(), "background", 3, 1))));
        worker(n, "spawner", 5, 1).await
    });
    sleep(secs(1)).await;
    task.cancel();
    outcome(&note, "spawner", task).await;
    let background = background.take().expect("it was spawned");
    outcome(&note, "background", background).await;
}

pub(crate) async fn children_of_a_group_start_at_once(note: Note) {
    let group = task_group(async |tg: TaskGroup| {
        let a = tg.spawn_with(eager(), try_worker(note.clone(), "a", 2, 1));
        let b = tg.spawn_with(eager(), try_worker(note.clone(), "b", 1, 1));
        note.say("the body is done");
        Ok((a, b))
    });
    outcome(&note, "group", async {
        let (a, b) = group.await?;
        let (a, b) = (a.await?, b.await?);
        Ok::<_, BoxError>(format!("{a} {b}"))
    })
    .await;
}

pub(crate) async fn a_child_of_a_group_fails_at_once(note: Note) {
    let group = task_group(async |tg: TaskGroup| {
        tg.spawn_with(eager(), try_worker(note.clone(), "a", 5, 1));
        tg.spawn_with(eager(), async { Err::<(), BoxError>("at once".into()) });
        note.say("the body goes on");
        worker(note.clone(), "body", 5, 2).await;
        Ok(())
    });
    outcome(&note, "group", group).await;
}
