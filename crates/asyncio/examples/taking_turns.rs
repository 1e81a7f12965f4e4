//! Four ways to take turns: a semaphore, an event, a condition and a barrier.
//!
//! The semaphore limits a hundred downloads. The event is a starting gun, the condition guards a shared list, and the
//! barrier separates phases.
//!
//! `cargo run --example taking_turns`

use std::cell::Cell;
use std::time::Duration;

use asyncio::sync::{Barrier, Condition, Event, Lock, Semaphore};
use asyncio::{BoxError, TaskGroup, gather, gather_iter, sleep, task_group, time};

/// Runs a hundred downloads, five at a time.
async fn downloads() {
    let slots = Semaphore::new(5);
    let (running, most) = (Cell::new(0), Cell::new(0));
    let start = time();
    gather_iter((0..100).map(async |_page| {
        let _slot = slots.acquire().await;
        running.set(running.get() + 1);
        most.set(most.get().max(running.get()));
        sleep(Duration::from_secs(1)).await;
        running.set(running.get() - 1);
    }))
    .await;
    println!(
        "100 downloads in {} s, {} at a time",
        (time() - start).as_secs(),
        most.get()
    );
}

/// Has all runners wait for one shot.
async fn starting_gun() {
    let shot = Event::new();
    let start = time();
    let runner = async |name: &str, speed| {
        shot.wait().await;
        sleep(Duration::from_millis(speed)).await;
        println!("{name} after {:?}", time() - start);
    };
    let starter = async {
        sleep(Duration::from_secs(3)).await;
        shot.set();
    };
    gather((runner("hare", 900), runner("tortoise", 100), starter)).await;
}

/// Waits until a list that another task fills is long enough.
async fn shared_list() {
    let list = Condition::new(Lock::new(Vec::new()));
    let reader = async {
        let guard = list.lock().await;
        let guard = list.wait_for(guard, |names| names.len() >= 3).await;
        println!("three are there: {}", guard.join(", "));
    };
    let writer = async {
        for name in ["Ada", "Bob", "Cleo"] {
            sleep(Duration::from_secs(1)).await;
            let mut guard = list.lock().await;
            guard.push(name);
            list.notify_all(&guard);
        }
    };
    gather((reader, writer)).await;
}

/// Has each worker begin a phase when all workers have ended the one before.
async fn phases() -> Result<(), BoxError> {
    let barrier = Barrier::new(3);
    let start = time();
    task_group(async |tg: TaskGroup<'_>| {
        for worker in 1..=3_u64 {
            let barrier = &barrier;
            tg.spawn(async move {
                for phase in 1..=2 {
                    sleep(Duration::from_secs(worker)).await;
                    // One worker, any of them, gets the index 0.
                    if barrier.wait().await? == 0 {
                        println!("phase {phase} is over at {} s", (time() - start).as_secs());
                    }
                }
                Ok(())
            });
        }
        Ok(())
    })
    .await?;
    Ok(())
}

#[asyncio::main(clock = "virtual")]
async fn main() -> Result<(), BoxError> {
    downloads().await;
    starting_gun().await;
    shared_list().await;
    phases().await
}
