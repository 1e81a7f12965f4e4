//! A recipe is not a meal: a future does nothing until it is awaited, and a task is cooking already.
//!
//! The same dish five times, one after the other and as five children of a group. Time is virtual here, so half a
//! minute of cooking is over at once.
//!
//! `cargo run --example recipe_and_cooking`

use std::time::{Duration, Instant};

use asyncio::{BoxError, TaskGroup, sleep, task_group, time};

async fn cook(dish: u32, opened: Instant) {
    println!("{:>3} s  dish {dish} is begun", (time() - opened).as_secs());
    sleep(Duration::from_secs(5)).await;
    println!("{:>3} s  dish {dish} is done", (time() - opened).as_secs());
}

#[asyncio::main(clock = "virtual")]
async fn main() -> Result<(), BoxError> {
    let opened = time();
    let recipe = cook(0, opened);
    println!("a recipe, and nobody cooks");
    drop(recipe);

    println!("one after the other:");
    for dish in 1..=5 {
        cook(dish, opened).await;
    }
    let in_turn = time() - opened;

    println!("all at once:");
    let opened = time();
    task_group(async |tg: TaskGroup<'_>| {
        for dish in 1..=5 {
            tg.spawn(async move {
                cook(dish, opened).await;
                Ok(())
            });
        }
        Ok(())
    })
    .await?;
    let together = time() - opened;

    println!(
        "{} seconds in turn, {} together",
        in_turn.as_secs(),
        together.as_secs()
    );
    Ok(())
}
