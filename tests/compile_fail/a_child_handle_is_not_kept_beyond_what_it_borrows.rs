//! The value of a child may be a borrow, so its handle ends before what the group borrows does.

use asyncio::{Child, TaskGroup, task_group};

fn main() {
    asyncio::run(async {
        let kept: Child<'_, &str>;
        {
            let name = String::from("ada");
            kept = task_group(async |tg: TaskGroup| Ok(tg.spawn(async { Ok(&*name) })))
                .await
                .unwrap();
        }
        println!("{}", kept.await.unwrap());
    });
}
