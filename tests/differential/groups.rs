//! Task groups: errors, siblings, and requests from outside. `groups.py` has the twins.

use std::future::Future;
use std::pin::Pin;

use asyncio::{BoxError, ErrorGroup, TaskGroup, catch_cancel, sleep, spawn, task_group, timeout};

use crate::{Note, failing, outcome, secs, try_worker, worker};

type Work = Pin<Box<dyn Future<Output = Result<String, BoxError>>>>;

/// A group of these.
async fn group<const N: usize>(children: [Work; N]) -> Result<&'static str, ErrorGroup> {
    task_group(async |tg: TaskGroup| {
        for child in children {
            tg.spawn(child);
        }
        Ok("all are done")
    })
    .await
}

fn works(note: &Note, name: &'static str, work: u64, cleanup: u64) -> Work {
    Box::pin(try_worker(note.clone(), name, work, cleanup))
}

fn fails(note: &Note, name: &'static str, after: u64) -> Work {
    Box::pin(failing(note.clone(), name, after))
}

/// Fails when it is cancelled.
fn careless(note: &Note, name: &'static str, after: u64) -> Work {
    let note = note.clone();
    Box::pin(async move {
        match catch_cancel(sleep(secs(10))).await {
            Ok(()) => Ok("never".to_owned()),
            Err(cancelled) => {
                let failed = failing(note, name, after).await;
                cancelled.swallow();
                failed
            }
        }
    })
}

pub(crate) async fn all_children_are_waited_for(note: Note) {
    let children = [works(&note, "a", 2, 1), works(&note, "b", 1, 1)];
    outcome(&note, "group", group(children)).await;
}

pub(crate) async fn the_first_error_cancels_siblings_which_clean_up(note: Note) {
    let children = [
        works(&note, "a", 10, 3),
        fails(&note, "b", 1),
        works(&note, "c", 10, 2),
    ];
    outcome(&note, "group", group(children)).await;
}

pub(crate) async fn errors_come_in_the_order_of_the_failures(note: Note) {
    let children = [
        careless(&note, "a", 3),
        careless(&note, "b", 2),
        fails(&note, "c", 1),
    ];
    outcome(&note, "group", group(children)).await;
}

pub(crate) async fn two_errors_in_one_turn(note: Note) {
    let children = [
        fails(&note, "a", 1),
        fails(&note, "b", 1),
        works(&note, "c", 10, 1),
    ];
    outcome(&note, "group", group(children)).await;
}

pub(crate) async fn a_cancelled_child_among_successes(note: Note) {
    let group = task_group(async |tg: TaskGroup| {
        tg.spawn(works(&note, "a", 3, 1));
        let cancelled = tg.spawn(works(&note, "b", 10, 1));
        tg.spawn(works(&note, "c", 2, 1));
        sleep(secs(1)).await;
        cancelled.cancel();
        Ok("fine")
    });
    outcome(&note, "group", group).await;
}

pub(crate) async fn the_error_of_the_body_comes_last(note: Note) {
    let group = task_group(async |tg: TaskGroup| {
        tg.spawn(fails(&note, "child", 1));
        match catch_cancel(sleep(secs(10))).await {
            Ok(()) => Ok(()),
            Err(cancelled) => {
                cancelled.swallow();
                Err("body".into())
            }
        }
    });
    outcome(&note, "group", group).await;
}

pub(crate) async fn a_body_that_fails_ends_the_children(note: Note) {
    let group = task_group(async |tg: TaskGroup| {
        tg.spawn(works(&note, "a", 10, 2));
        failing(note.clone(), "body", 1).await
    });
    outcome(&note, "group", group).await;
}

pub(crate) async fn a_child_that_fails_ends_the_body(note: Note) {
    let group = task_group(async |tg: TaskGroup| {
        tg.spawn(fails(&note, "child", 1));
        Ok(worker(note.clone(), "body", 10, 2).await)
    });
    outcome(&note, "group", group).await;
}

pub(crate) async fn groups_inside_of_groups_fail_as_a_tree(note: Note) {
    let inner = [fails(&note, "a", 1), works(&note, "b", 10, 1)];
    let inner = Box::pin(async { Ok(group(inner).await?.to_owned()) });
    let outer = group([inner, works(&note, "c", 10, 2)]);
    outcome(&note, "outer", outer).await;
}

pub(crate) async fn a_request_ends_all_children_and_goes_on(note: Note) {
    let children = [works(&note, "a", 10, 1), works(&note, "b", 10, 2)];
    let task = spawn(group(children));
    sleep(secs(1)).await;
    task.cancel();
    outcome(&note, "group", async { task.await.map(|_| "never") }).await;
}

/// A group, and a second of sleep after it, in a task that is cancelled after some seconds.
async fn cancelled_around<const N: usize>(note: Note, after: u64, children: [Work; N]) {
    let n = note.clone();
    let task = spawn(async move {
        outcome(&n, "group", group(children)).await;
        sleep(secs(1)).await;
        n.say("goes on");
    });
    sleep(secs(after)).await;
    task.cancel();
    outcome(&note, "task", task).await;
}

pub(crate) async fn a_request_while_a_child_fails(note: Note) {
    let children = [works(&note, "a", 10, 2), careless(&note, "b", 1)];
    cancelled_around(note, 1, children).await;
}

pub(crate) async fn a_request_while_siblings_of_a_failure_clean_up(note: Note) {
    let children = [fails(&note, "a", 1), works(&note, "b", 10, 5)];
    cancelled_around(note, 2, children).await;
}

pub(crate) async fn a_second_request_while_the_children_clean_up(note: Note) {
    let task = spawn(group([works(&note, "a", 10, 5)]));
    sleep(secs(1)).await;
    task.cancel();
    sleep(secs(1)).await;
    task.cancel();
    outcome(&note, "group", async { task.await.map(|_| "never") }).await;
}

pub(crate) async fn a_body_that_swallows_a_request_from_outside(note: Note) {
    let n = note.clone();
    let task = spawn(async move {
        let group = task_group(async |tg: TaskGroup| {
            tg.spawn(works(&n, "child", 4, 1));
            if let Err(cancelled) = catch_cancel(sleep(secs(10))).await {
                n.say("never mind");
                cancelled.swallow();
            }
            Ok(())
        });
        group.await.expect("no child fails");
        n.say("the group is over");
        sleep(secs(1)).await;
        "went on"
    });
    sleep(secs(1)).await;
    task.cancel();
    outcome(&note, "task", task).await;
}

pub(crate) async fn a_child_that_swallows_holds_up_a_failing_group(note: Note) {
    let n = note.clone();
    let stubborn: Work = Box::pin(async move {
        if let Err(cancelled) = catch_cancel(sleep(secs(10))).await {
            n.say("never mind");
            cancelled.swallow();
        }
        sleep(secs(3)).await;
        n.say("at last");
        Ok(String::new())
    });
    outcome(&note, "group", group([stubborn, fails(&note, "a", 1)])).await;
}

pub(crate) async fn a_group_that_ends_takes_no_more_children(note: Note) {
    let group = task_group(async |tg: TaskGroup| {
        let (late, n) = (tg.clone(), note.clone());
        tg.spawn(async move {
            if let Err(cancelled) = catch_cancel(sleep(secs(10))).await {
                if late.try_spawn(works(&n, "latecomer", 1, 1)).is_err() {
                    n.say("refused");
                }
                cancelled.resume().await
            }
            Ok(())
        });
        tg.spawn(fails(&note, "a", 1));
        Ok(())
    });
    outcome(&note, "group", group).await;
}

pub(crate) async fn children_spawn_children(note: Note) {
    let group = task_group(async |tg: TaskGroup| {
        let (inner, n) = (tg.clone(), note.clone());
        tg.spawn(async move {
            n.say("parent");
            inner.spawn(works(&n, "child", 2, 1));
            Ok(())
        });
        Ok("done")
    });
    outcome(&note, "group", group).await;
}

pub(crate) async fn a_limit_around_a_group(note: Note) {
    let children = [works(&note, "a", 10, 2), works(&note, "b", 10, 1)];
    let limited = timeout(secs(1), group(children));
    let limited = async { limited.await.map(|_| "never") };
    outcome(&note, "limited", limited).await;
}

pub(crate) async fn a_limit_that_comes_while_the_body_cleans_up(note: Note) {
    let group = task_group(async |tg: TaskGroup| {
        tg.spawn(fails(&note, "a", 1));
        timeout(secs(2), worker(note.clone(), "body", 10, 3))
            .await
            .map_err(BoxError::from)
    });
    outcome(&note, "group", group).await;
}
