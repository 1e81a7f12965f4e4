//! A handle of a group may be kept after the group, but not beyond what its children borrow.

use asyncio::{TaskGroup, task_group};

fn main() {
    asyncio::run(async {
        let kept: TaskGroup;
        {
            let name = String::from("ada");
            kept = task_group(async |tg: TaskGroup| {
                tg.spawn(async { Ok(name.len()) });
                Ok(tg)
            })
            .await
            .unwrap();
        }
        assert!(kept.is_ending());
    });
}
