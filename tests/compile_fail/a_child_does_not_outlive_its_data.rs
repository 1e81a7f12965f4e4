//! The data that a child borrows lives until the child has ended, so it cannot be dropped while the group runs.

use asyncio::{BoxError, TaskGroup, task_group};

fn main() {
    asyncio::run(async {
        let name = String::from("ada");
        let group = task_group(async |tg: TaskGroup| {
            tg.spawn(async { Ok(name.len()) });
            Ok::<_, BoxError>(())
        });
        drop(name);
        group.await.unwrap();
    });
}
