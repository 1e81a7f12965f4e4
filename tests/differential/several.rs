//! Several at once: gather, wait, `as_completed`. `several.py` has the twins.

use asyncio::{
    BoxError, JoinError, ReturnWhen, Task, as_completed, call_later, gather, sleep, spawn,
    try_gather, wait, wait_for,
};
use futures::StreamExt;

use crate::{Note, Shown, failing, outcome, secs, try_worker, worker};

type Fallible = Task<Result<String, BoxError>>;

pub(crate) async fn results_come_in_the_order_of_the_arguments(note: Note) {
    let gathered = gather((
        worker(note.clone(), "a", 2, 1),
        worker(note.clone(), "b", 1, 1),
        worker(note.clone(), "c", 3, 1),
    ));
    let gathered = async {
        let (a, b, c) = gathered.await;
        format!("{a} {b} {c}")
    };
    outcome(&note, "gather", gathered).await;
}

pub(crate) async fn errors_as_values(note: Note) {
    let gathered = gather((
        worker(note.clone(), "a", 2, 1),
        failing(note.clone(), "b", 1),
    ));
    let gathered = async {
        let (a, b) = gathered.await;
        format!("{a}, {}", b.shown())
    };
    outcome(&note, "gather", gathered).await;
}

pub(crate) async fn one_failure_among_several(note: Note) {
    let a = try_worker(note.clone(), "a", 3, 1);
    let b = failing(note.clone(), "b", 1);
    let c = try_worker(note.clone(), "c", 4, 1);
    let gathered = async {
        let (a, b, c) = try_gather((a, b, c)).await?;
        Ok::<_, BoxError>([a, b, c].concat())
    };
    outcome(&note, "gather", gathered).await;
    sleep(secs(5)).await;
}

pub(crate) async fn a_request_goes_to_all(note: Note) {
    let workers = [
        worker(note.clone(), "a", 10, 2),
        worker(note.clone(), "b", 10, 1),
    ];
    let task = spawn(async { gather(workers).await.concat() });
    sleep(secs(1)).await;
    task.cancel();
    outcome(&note, "gather", task).await;
    sleep(secs(5)).await;
}

pub(crate) async fn a_limit_around_all(note: Note) {
    let workers = [
        worker(note.clone(), "a", 10, 1),
        worker(note.clone(), "b", 10, 1),
    ];
    let gathered = async { gather(workers).await.concat() };
    outcome(&note, "gather", wait_for(gathered, secs(1))).await;
}

pub(crate) async fn one_of_several_tasks_was_cancelled(note: Note) {
    let [a, b] = ["a", "b"].map(|name| spawn(worker(note.clone(), name, 3, 1)));
    let second = b.as_ref();
    let _timer = call_later(secs(1), move || {
        second.cancel();
    });
    let gathered = async {
        let outcomes: [Result<String, JoinError>; 2] = gather([a, b]).await;
        outcomes.map(|outcome| outcome.shown()).join(", ")
    };
    outcome(&note, "gather", gathered).await;
}

pub(crate) async fn wait_for_the_first(note: Note) {
    let work = |n| {
        spawn(try_worker(
            note.clone(),
            ["t1", "t2", "t3"][n as usize - 1],
            n,
            1,
        ))
    };
    let mut tasks: Vec<Fallible> = [2, 1, 3].map(work).into();
    let done = wait(&mut tasks, ReturnWhen::FirstCompleted).await;
    note.say(format_args!("{} done, {} not", done.len(), tasks.len()));
    let done = wait(&mut tasks, ReturnWhen::AllCompleted).await;
    note.say(format_args!("{} done, {} not", done.len(), tasks.len()));
}

pub(crate) async fn wait_for_the_first_error(note: Note) {
    let mut tasks: Vec<Fallible> = vec![
        spawn(try_worker(note.clone(), "a", 1, 1)),
        spawn(failing(note.clone(), "b", 2)),
        spawn(try_worker(note.clone(), "c", 3, 1)),
    ];
    let done = wait(&mut tasks, ReturnWhen::FirstError).await;
    note.say(format_args!("{} done, {} not", done.len(), tasks.len()));
    for task in done.into_iter().chain(tasks) {
        // An error among the values is what was waited for.
        let _ = task.await.expect("nobody is cancelled");
    }
}

pub(crate) async fn a_wait_that_is_cancelled_cancels_nobody(note: Note) {
    let mut tasks: Vec<Fallible> = ["a", "b"]
        .map(|name| spawn(try_worker(note.clone(), name, 3, 1)))
        .into();
    let n = note.clone();
    let waiter = spawn(async move {
        // The tasks stay with the waiting task, so the wait is cut here, and the rest goes on.
        outcome(&n, "wait", async {
            wait(&mut tasks, ReturnWhen::AllCompleted)
                .await
                .len()
                .to_string()
        })
        .await;
        wait(&mut tasks, ReturnWhen::AllCompleted).await;
    });
    sleep(secs(1)).await;
    waiter.cancel();
    waiter.await.expect("it swallows the request");
}

pub(crate) async fn as_they_are_completed(note: Note) {
    let tasks = [3, 1, 2].map(|n| spawn(worker(note.clone(), format!("t{n}"), n, 1)));
    let mut completed = as_completed(tasks);
    while let Some(next) = completed.next().await {
        let name = next.await.expect("nobody is cancelled");
        note.say(format_args!("got {name}"));
    }
}
