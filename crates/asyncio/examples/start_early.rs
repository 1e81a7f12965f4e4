//! Start early, await later: two fetches run while other work goes on. Each await gives the outcome, a value or an
//! error.
//!
//! `cargo run --example start_early`

use std::io;
use std::time::Duration;

use asyncio::{SpawnOptions, sleep, spawn, spawn_with};

async fn fetch(page: &str) -> io::Result<String> {
    println!("fetching {page}");
    sleep(Duration::from_millis(100)).await;
    if page == "/missing" {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no such page"));
    }
    Ok(format!("<h1>{page}</h1>"))
}

#[asyncio::main]
async fn main() {
    let home = spawn(fetch("/home"));
    let missing = spawn(fetch("/missing"));
    let buggy = spawn_with(SpawnOptions::new().name("buggy"), async {
        let none: Option<u32> = std::hint::black_box(None);
        none.expect("somebody was sure of this")
    });

    for step in 1..=3 {
        println!("other work, step {step}");
        sleep(Duration::from_millis(20)).await;
    }

    // The first result says whether the task ended by itself. The second one is the task's own.
    match home.await {
        Ok(Ok(text)) => println!("home: {text}"),
        other => println!("home: {other:?}"),
    }
    match missing.await {
        Ok(Err(error)) => println!("missing: {error}"),
        other => println!("missing: {other:?}"),
    }
    match buggy.await {
        Err(error) => println!("buggy: {error}"),
        other => println!("buggy: {other:?}"),
    }
}
