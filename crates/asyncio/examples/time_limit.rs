//! A slow operation under a time limit. At the limit, the operation is cancelled and awaited. So its cleanups are over
//! when the error "timed out" comes.
//!
//! `cargo run --example time_limit`

use std::time::Duration;

use asyncio::{TimeoutHandle, on_cancel, sleep, time, timeout, timeout_scope};

async fn slow_query() -> u32 {
    on_cancel(sleep(Duration::from_secs(10)), async {
        sleep(Duration::from_millis(50)).await; // tell the server to give up
        println!("the query is called off");
    })
    .await;
    42
}

#[asyncio::main(clock = "virtual")]
async fn main() {
    match timeout(Duration::from_secs(1), slow_query()).await {
        Ok(answer) => println!("the answer is {answer}"),
        Err(error) => println!("{error}"),
    }
    match timeout(Duration::from_secs(60), slow_query()).await {
        Ok(answer) => println!("the answer is {answer}"),
        Err(error) => println!("{error}"),
    }

    // A limit that moves: each sign of life adds a second.
    let start = time();
    let download = timeout_scope(
        Some(start + Duration::from_secs(1)),
        async |limit: TimeoutHandle| {
            for part in 1_u64.. {
                sleep(Duration::from_millis(300 * part)).await;
                println!("part {part} is here");
                if limit
                    .reschedule(Some(time() + Duration::from_secs(1)))
                    .is_err()
                {
                    break;
                }
            }
        },
    );
    if let Err(error) = download.await {
        println!("{error} after {:.1?}", time() - start);
    }
}
