//! A program to be watched: tasks, a group, a lock and a queue, shown by tokio-console.
//!
//! ```sh
//! cargo run -p asyncio-ecosystem --bin console_tasks
//! tokio-console # in another terminal; `cargo install tokio-console` installs it
//! ```
//!
//! The subscriber has a thread and a runtime of its own, so the loop may run under any host. It must be there before
//! the loop: a task that was spawned before is not shown. Ctrl-C ends the program.

use std::rc::Rc;
use std::time::Duration;

use asyncio::sync::{Lock, Queue};
use asyncio::{BoxError, SpawnOptions, TaskGroup, sleep, spawn_with, task_group};

const TICK: Duration = Duration::from_millis(100);

fn main() -> Result<(), BoxError> {
    console_subscriber::init();
    asyncio::run(kitchen())
}

async fn kitchen() -> Result<(), BoxError> {
    let (orders, oven) = (Queue::new(2), Rc::new(Lock::new(0)));
    let clock = spawn_with(SpawnOptions::new().name("clock"), async {
        loop {
            sleep(TICK).await;
        }
    });
    task_group(async |tg: TaskGroup<'_>| {
        for name in ["Ada", "Bob"] {
            let (orders, oven) = (&orders, oven.clone());
            let cook = async move {
                while let Ok(order) = orders.get().await {
                    let mut baked = oven.lock().await; // one loaf at a time
                    sleep(TICK * order).await;
                    *baked += order;
                }
                Ok::<_, BoxError>(())
            };
            tg.spawn_with(SpawnOptions::new().name(name), cook);
        }
        for order in (1..=3).cycle() {
            orders.put(order).await?; // waits while both cooks are busy and two orders wait
        }
        Ok(())
    })
    .await?;
    clock.cancel();
    Ok(())
}
