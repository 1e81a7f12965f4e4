//! A look into the loop: all tasks with their names and states, the current task, and debug mode.
//!
//! Debug mode names the step that blocked the other tasks.
//!
//! `cargo run --example who_is_running`

use std::time::Duration;

use asyncio::{
    Cause, Runner, SpawnOptions, Task, all_tasks, current_task, set_exception_handler, sleep,
    spawn_with, yield_now,
};

fn named<F>(name: &str, work: F) -> Task<()>
where
    F: Future<Output = ()> + 'static,
{
    spawn_with(SpawnOptions::new().name(name), work)
}

/// Computes without an `await`, so no other task can run meanwhile.
async fn compute() {
    std::thread::sleep(Duration::from_millis(150));
}

async fn watch() {
    set_exception_handler(|unhandled| {
        if let (Some(task), Cause::Slow(_)) = (unhandled.task(), unhandled.cause()) {
            println!("{}: {}", task.name, unhandled.message());
        }
    });

    let clock = named("clock", sleep(Duration::from_secs(3600)));
    let greeter = named("greeter", async { println!("hello") });
    yield_now().await;
    let cruncher = named("cruncher", compute());
    clock.cancel();

    let me = current_task().expect("this is a task");
    println!("asked by {}", me.name());
    for task in all_tasks() {
        let info = task.info();
        println!("{:<10}{:?}", info.name.to_string(), info.state);
    }

    println!("the greeter has ended: {}", greeter.is_finished());
    cruncher.await.expect("it computes without panicking");
    println!("the clock: {}", clock.await.expect_err("it was cancelled"));
}

fn main() {
    // Debug mode reports a step of 100 ms or more. `ASYNCIO_DEBUG=1` switches it on as well.
    asyncio::run_with(Runner::builder().debug(true), watch());
}
