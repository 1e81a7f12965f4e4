//! The first of several mirrors to answer wins. The others are cancelled, and have ended when the answer comes.
//!
//! `race` starts all at once. `staggered_race` starts the next mirror when the one before has failed or has taken too
//! long, as browsers do with the addresses of a host. So most of the time only one is asked.
//!
//! `cargo run --example first_mirror`

use std::time::Duration;

use asyncio::{on_cancel, race, sleep, staggered_race};

const MIRRORS: [(&str, u64); 3] = [("tokyo", 300), ("oslo", 120), ("lima", 450)];

async fn fetch((mirror, millis): (&'static str, u64)) -> Result<&'static str, String> {
    println!("  {mirror} is asked");
    on_cancel(sleep(Duration::from_millis(millis)), async {
        println!("  {mirror} is told to stop");
    })
    .await;
    Ok(mirror)
}

#[asyncio::main(clock = "virtual")]
async fn main() {
    println!("all at once:");
    let first = race(MIRRORS.map(fetch)).await;
    println!("first: {first:?}");

    println!("one after the other, 200 ms apart:");
    let patience = Some(Duration::from_millis(200));
    let outcome = staggered_race(MIRRORS.map(|mirror| move || fetch(mirror)), patience).await;
    match outcome.winner {
        Some((mirror, place)) => println!("first: {mirror}, number {}", place + 1),
        None => println!("nobody answered"),
    }
    println!("{:?}", outcome.contenders);
}
