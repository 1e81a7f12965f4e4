//! A task has one handle, so a list of tasks to wait for has no duplicates.

use asyncio::{ReturnWhen, as_completed, spawn, wait};

fn main() {
    asyncio::run(async {
        let task = spawn(async {});
        wait(&mut vec![task, task], ReturnWhen::AllCompleted).await;

        let task = spawn(async {});
        let _ = as_completed([task, task]);
    });
}
