//! Children borrow what lives longer than their group; what the body declares ends before they do.

use asyncio::{TaskGroup, task_group};

fn main() {
    asyncio::run(async {
        task_group(async |tg: TaskGroup| {
            let name = String::from("ada");
            tg.spawn(async { Ok(name.len()) });
            Ok(())
        })
        .await
        .unwrap();
    });
}
