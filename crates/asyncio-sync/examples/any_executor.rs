//! One workshop on two executors: its code does not depend on the executor.
//!
//! ```text
//! cargo run -p asyncio-sync --example any_executor
//! ```
//!
//! Each order comes over a queue, with a promise for its result. Two carpenters share one saw. The
//! function that spawns a task is an argument. (On the loop of `asyncio` it would be
//! `|task| asyncio::spawn(task).detach()`.)

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use asyncio_sync::{Lock, Promise, Queue, promise};
use futures::executor::LocalPool;
use futures::task::LocalSpawnExt;

type Task = Pin<Box<dyn Future<Output = ()>>>;

struct Order {
    what: &'static str,
    ready: Promise<String>,
}

async fn workshop(spawn: impl Fn(Task)) -> Vec<String> {
    let orders = Rc::new(Queue::new(2));
    let saw = Rc::new(Lock::new(0));
    for carpenter in ["Ada", "Bob"] {
        let (orders, saw) = (Rc::clone(&orders), Rc::clone(&saw));
        spawn(Box::pin(async move {
            while let Ok(Order { what, ready }) = orders.get().await {
                let mut cuts = saw.lock().await;
                *cuts += 4;
                let made = format!("{what} by {carpenter}, after {cuts} cuts in all");
                // An error means that the order was cancelled.
                let _ = ready.set_result(made);
            }
        }));
    }

    let mut made = Vec::new();
    for what in ["a table", "a chair", "a shelf"] {
        let (ready, delivered) = promise();
        let order = Order { what, ready };
        orders.put(order).await.expect("the workshop is open");
        made.push(delivered.await.expect("a carpenter finishes each order"));
    }
    orders.shutdown(false);
    made
}

fn main() {
    let mut pool = LocalPool::new();
    let spawner = pool.spawner();
    let on_pool = pool.run_until(workshop(move |task| {
        spawner
            .spawn_local(task)
            .expect("the pool is not dropped yet");
    }));
    println!("futures::executor::LocalPool: {on_pool:#?}");

    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without drivers");
    let tasks = tokio::task::LocalSet::new();
    let on_set = tasks.block_on(
        &runtime,
        workshop(|task| drop(tokio::task::spawn_local(task))),
    );
    println!("tokio::task::LocalSet: {on_set:#?}");

    assert_eq!(on_pool, on_set, "the order is the same on each executor");
}
