//! The messages of requests, and the number of open requests. `requests.py` has the twins.

use std::fmt::Display;

use asyncio::{
    BoxError, Task, TaskGroup, catch_cancel, current_task, gather, sleep, spawn, task_group,
    timeout,
};

use crate::{Note, outcome, secs};

async fn listener(note: Note, name: &'static str) {
    note.say(format_args!("{name} starts"));
    if let Err(cancelled) = catch_cancel(sleep(secs(10))).await {
        let said = cancelled.message().unwrap_or("nothing");
        note.say(format_args!("{name} hears {said}"));
        cancelled.resume().await
    }
}

/// Awaits a task that ends cancelled, and tells what was said.
async fn end(note: &Note, name: impl Display, task: Task<()>) {
    match task.await {
        Ok(()) => note.say(format_args!("{name}: returned")),
        Err(error) => {
            let said = error.message().unwrap_or("nothing");
            note.say(format_args!("{name}: cancelled with {said}"));
        }
    }
}

pub(crate) async fn a_message_is_heard_inside_and_by_who_awaits(note: Note) {
    let task = spawn(listener(note.clone(), "task"));
    sleep(secs(1)).await;
    task.cancel_with("why");
    end(&note, "task", task).await;
    let task = spawn(listener(note.clone(), "another"));
    sleep(secs(1)).await;
    task.cancel();
    end(&note, "another", task).await;
}

pub(crate) async fn two_messages_to_a_task_that_waits(note: Note) {
    let task = spawn(listener(note.clone(), "task"));
    sleep(secs(1)).await;
    task.cancel_with("first");
    task.cancel_with("last");
    note.say(format_args!("open: {}", task.cancelling()));
    end(&note, "task", task).await;
}

pub(crate) async fn two_messages_before_the_first_step(note: Note) {
    let task = spawn(listener(note.clone(), "task"));
    task.cancel_with("first");
    task.cancel_with("last");
    end(&note, "task", task).await;
}

async fn twice(note: Note, which: &'static str) {
    if let Err(first) = catch_cancel(sleep(secs(10))).await {
        note.say(format_args!(
            "hears {}",
            first.message().unwrap_or("nothing")
        ));
        if let Err(second) = catch_cancel(sleep(secs(10))).await {
            note.say(format_args!(
                "hears {}",
                second.message().unwrap_or("nothing")
            ));
            if which == "second" {
                second.resume().await
            }
            second.swallow();
        }
        first.resume().await
    }
}

pub(crate) async fn a_second_message_interrupts_the_cleanup(note: Note) {
    for which in ["first", "second"] {
        let task = spawn(twice(note.clone(), which));
        sleep(secs(1)).await;
        task.cancel_with("first");
        sleep(secs(1)).await;
        task.cancel_with("second");
        end(&note, format_args!("the {which} goes on"), task).await;
    }
}

pub(crate) async fn a_message_goes_to_the_task_that_is_awaited(note: Note) {
    let n = note.clone();
    let task = spawn(async move {
        spawn(listener(n, "inner")).await.expect("it returns");
    });
    sleep(secs(1)).await;
    task.cancel_with("why");
    end(&note, "outer", task).await;
}

pub(crate) async fn a_message_goes_to_all_that_is_gathered(note: Note) {
    let n = note.clone();
    let task = spawn(async move {
        gather((listener(n.clone(), "a"), listener(n, "b"))).await;
    });
    sleep(secs(1)).await;
    task.cancel_with("why");
    end(&note, "task", task).await;
}

pub(crate) async fn a_message_goes_to_body_and_children(note: Note) {
    let n = note.clone();
    let task = spawn(async move {
        let group = task_group(async |tg: TaskGroup| {
            tg.spawn(async {
                listener(n.clone(), "child").await;
                Ok(())
            });
            listener(n.clone(), "body").await;
            Ok(())
        });
        group.await.expect("nothing fails");
    });
    sleep(secs(1)).await;
    task.cancel_with("why");
    end(&note, "task", task).await;
}

pub(crate) async fn requests_are_counted_until_they_are_swallowed(note: Note) {
    let n = note.clone();
    let task = spawn(async move {
        let me = current_task().expect("this is a task");
        n.say(format_args!("open: {}", me.cancelling()));
        if let Err(cancelled) = catch_cancel(sleep(secs(10))).await {
            n.say(format_args!("open: {}", me.cancelling()));
            cancelled.swallow();
        }
        n.say(format_args!("open: {}", me.cancelling()));
        me.cancel();
        me.cancel();
        n.say(format_args!("open: {}", me.cancelling()));
        if let Err(cancelled) = catch_cancel(sleep(secs(10))).await {
            cancelled.swallow();
        }
        n.say(format_args!("open: {}", me.cancelling()));
        sleep(secs(10)).await;
    });
    sleep(secs(1)).await;
    task.cancel();
    sleep(secs(1)).await;
    task.cancel();
    end(&note, "task", task).await;
}

pub(crate) async fn a_time_limit_is_no_request_to_the_task(note: Note) {
    let me = current_task().expect("this is a task");
    let work = async {
        if let Err(cancelled) = catch_cancel(sleep(secs(10))).await {
            let said = cancelled.message().unwrap_or("nothing");
            note.say(format_args!("open: {}, said: {said}", me.cancelling()));
            cancelled.resume().await
        }
    };
    outcome(&note, "limited", timeout(secs(1), work)).await;
    note.say(format_args!("open: {}", me.cancelling()));
}

pub(crate) async fn a_request_that_a_failing_group_leaves_open(note: Note) {
    let n = note.clone();
    let task = spawn(async move {
        let me = current_task().expect("this is a task");
        let failed = task_group(async |tg: TaskGroup| {
            tg.spawn(async {
                sleep(secs(1)).await;
                me.cancel_with("why");
                Err::<(), BoxError>("child".into())
            });
            sleep(secs(10)).await;
            Ok(())
        });
        if failed.await.is_err() {
            n.say(format_args!("failed, open: {}", me.cancelling()));
        }
        sleep(secs(1)).await;
        n.say("not reached");
    });
    if task.await.is_err_and(|error| error.is_cancelled()) {
        note.say("task: cancelled");
    }
}
