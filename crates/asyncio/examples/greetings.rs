//! Two greetings, after one second and after two, started together: two seconds in all, not three.
//!
//! `cargo run --example greetings`

use std::time::Duration;

use asyncio::{sleep, spawn, time};

async fn greet(after: u64, what: &str) {
    sleep(Duration::from_secs(after)).await;
    println!("{what}");
}

#[asyncio::main]
async fn main() {
    let start = time();
    let hello = spawn(greet(1, "hello"));
    let world = spawn(greet(2, "world"));
    println!("both are started");
    // Awaiting one task does not keep the other from running.
    hello.await.unwrap();
    world.await.unwrap();
    println!("that took {} seconds", (time() - start).as_secs());
}
