//! Three fetches, one of which fails: the first failure ends the others, or the caller collects all outcomes.
//!
//! - `try_gather` gives the first error, after the others have been cancelled and have ended.
//! - `gather` of futures that give a `Result` waits for all, and gives every outcome, in order.
//! - `task_group` ends the others too, and gives all errors.
//!
//! `cargo run --example one_of_three_fails`

use std::time::Duration;

use asyncio::{BoxError, TaskGroup, gather, on_cancel, sleep, task_group, try_gather};

async fn fetch(n: u32) -> Result<String, BoxError> {
    // A cancelled fetch prints a line.
    on_cancel(sleep(Duration::from_secs(n.into())), async {
        println!("  fetch {n} is cancelled");
    })
    .await;
    if n == 2 {
        return Err("no such page".into());
    }
    println!("  fetch {n} is done");
    Ok(format!("page {n}"))
}

#[asyncio::main(clock = "virtual")]
async fn main() {
    println!("the first failure ends it:");
    match try_gather([fetch(1), fetch(2), fetch(3)]).await {
        Ok(pages) => println!("all of them: {pages:?}"),
        Err(error) => println!("failed: {error}"),
    }

    println!("all outcomes:");
    for (n, outcome) in (1..).zip(gather([fetch(1), fetch(2), fetch(3)]).await) {
        match outcome {
            Ok(page) => println!("task {n} returned {page:?}"),
            Err(error) => println!("task {n} failed: {error}"),
        }
    }

    println!("as a group:");
    let all = task_group(async |tg: TaskGroup<'_>| {
        for n in 1..=3 {
            tg.spawn(fetch(n));
        }
        Ok(())
    });
    if let Err(errors) = all.await {
        println!("{errors}");
    }
}
