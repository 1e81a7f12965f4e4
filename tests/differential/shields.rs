//! The shields, which keep requests out. `shields.py` has the twins.

use asyncio::{catch_cancel, shield, shield_task, sleep, spawn, wait_for};

use crate::{Note, failing, outcome, secs, try_worker, worker};

pub(crate) async fn the_wait_is_cut_and_the_task_goes_on(note: Note) {
    let task = spawn(try_worker(note.clone(), "inner", 3, 1));
    let outer = spawn(shield_task(task));
    sleep(secs(1)).await;
    outer.cancel();
    outcome(&note, "outer", outer).await;
    sleep(secs(5)).await;
}

pub(crate) async fn a_limit_around_a_shield(note: Note) {
    let task = spawn(try_worker(note.clone(), "inner", 3, 1));
    outcome(&note, "limited", wait_for(shield_task(task), secs(1))).await;
    sleep(secs(5)).await;
}

pub(crate) async fn the_task_behind_the_shield_is_cancelled(note: Note) {
    let task = spawn(try_worker(note.clone(), "inner", 10, 1));
    let inner = task.as_ref();
    let n = note.clone();
    let outer = spawn(async move { outcome(&n, "outer", shield_task(task)).await });
    sleep(secs(1)).await;
    inner.cancel();
    outer.await.expect("it is told, and returns");
}

pub(crate) async fn a_failure_behind_a_shield_that_was_cut(note: Note) {
    let task = spawn(failing(note.clone(), "inner", 3));
    let outer = spawn(shield_task(task));
    sleep(secs(1)).await;
    outer.cancel();
    outcome(&note, "outer", outer).await;
    sleep(secs(5)).await;
}

pub(crate) async fn a_shielded_cleanup_and_a_second_request(note: Note) {
    let n = note.clone();
    let task = spawn(async move {
        if let Err(cancelled) = catch_cancel(sleep(secs(10))).await {
            n.say("cleans up");
            match catch_cancel(shield(worker(n.clone(), "cleanup", 4, 1))).await {
                Ok(_) => n.say("is clean"),
                Err(second) => {
                    n.say("the wait is cut");
                    second.resume().await
                }
            }
            cancelled.resume().await
        }
    });
    sleep(secs(1)).await;
    task.cancel();
    sleep(secs(1)).await;
    task.cancel();
    outcome(&note, "task", task).await;
    sleep(secs(5)).await;
}
