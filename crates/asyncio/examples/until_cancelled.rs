//! A loop that works until it is cancelled, cleans up with `await`s, and passes the cancellation on.
//!
//! So its canceller sees a cancelled task, and not a task that has returned.
//!
//! `cargo run --example until_cancelled`

use std::time::Duration;

use asyncio::{catch_cancel, sleep, spawn};

async fn worker() {
    let mut pieces = 0;
    let work = async {
        loop {
            sleep(Duration::from_millis(100)).await;
            pieces += 1;
            println!("piece {pieces} is done");
        }
    };
    // The work never returns by itself.
    let Err(cancelled) = catch_cancel(work).await;
    println!("told to stop; putting {pieces} pieces away");
    sleep(Duration::from_millis(50)).await;
    println!("all is put away");
    cancelled.resume().await
}

#[asyncio::main(clock = "virtual")]
async fn main() {
    let worker = spawn(worker());
    worker.set_name("worker");
    sleep(Duration::from_millis(350)).await;
    worker.cancel();
    println!("asked the worker to stop");
    match worker.await {
        Ok(()) => println!("the worker returned"),
        Err(error) => println!("{error}"),
    }
}
