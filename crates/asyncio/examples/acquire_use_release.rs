//! A connection that opens and closes with `await`s. It closes however the work in between ends: by returning, by
//! failing, or by being cancelled.
//!
//! `bracket` is Python's `async with`: it lends the connection to the work, and then gives it to the release.
//!
//! `cargo run --example acquire_use_release`

use std::time::Duration;

use asyncio::{bracket, shield, sleep, timeout};

struct Connection {
    name: &'static str,
}

impl Connection {
    async fn open(name: &'static str) -> Self {
        sleep(Duration::from_millis(10)).await;
        println!("{name}: opened");
        Self { name }
    }

    async fn query(&mut self, text: &str) -> Result<usize, String> {
        sleep(Duration::from_millis(10)).await;
        match text {
            "" => Err("an empty query".to_owned()),
            text => Ok(text.len()),
        }
    }

    async fn close(self) {
        sleep(Duration::from_millis(10)).await;
        println!("{}: closed", self.name);
    }
}

/// Opens a connection, has `work` use it, and closes it, however `work` ends.
async fn with_connection<T>(name: &'static str, work: impl AsyncFnOnce(&mut Connection) -> T) -> T {
    let connection = Connection::open(name).await;
    // Shielded, so that a second request to cancel does not interrupt the closing.
    let close = async |connection: Connection| shield(connection.close()).await;
    bracket(connection, work, close).await
}

#[asyncio::main(clock = "virtual")]
async fn main() {
    let length = with_connection("returns", async |c| c.query("select 1").await).await;
    println!("it returned {length:?}");

    let failed = with_connection("fails", async |c| c.query("").await).await;
    println!("it returned {failed:?}");

    let cancelled = with_connection("is cancelled", async |c| {
        sleep(Duration::from_secs(3600)).await;
        c.query("select 1").await
    });
    match timeout(Duration::from_secs(1), cancelled).await {
        Ok(length) => println!("it returned {length:?}"),
        Err(error) => println!("it {error}"),
    }
}
