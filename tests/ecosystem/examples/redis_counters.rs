//! redis in children of a task group: pipelines that count, and a subscription that hears of it.
//!
//! `redis_counters URL`, for example `redis://127.0.0.1` or `redis+unix:///run/redis.sock`

use std::time::Duration;

use asyncio::{BoxError, TaskGroup, task_group, timeout};
use futures_util::StreamExt;
use redis::{AsyncCommands, Client};

const WORKERS: u32 = 4;
const ROUNDS: u32 = 25;

/// Counts in one round trip a round: three commands in a pipeline, as one transaction.
async fn work(client: &Client, worker: u32) -> Result<u32, BoxError> {
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut last = 0;
    for _ in 0..ROUNDS {
        let mut pipeline = redis::pipe();
        pipeline
            .atomic()
            .incr("rounds", 1)
            .hincr("by worker", worker, 1)
            .ignore()
            .get("rounds");
        let (_, rounds): (u32, u32) = pipeline.query_async(&mut connection).await?;
        last = rounds;
    }
    let _: () = connection.publish("done", worker).await?;
    Ok(last)
}

/// Hears of each worker that is done.
async fn supervise(
    client: &Client,
    subscribed: tokio::sync::oneshot::Sender<()>,
) -> Result<(), BoxError> {
    let mut subscription = client.get_async_pubsub().await?;
    subscription.subscribe("done").await?;
    let _ = subscribed.send(());
    let mut messages = subscription.on_message();
    let mut done = Vec::new();
    while done.len() < WORKERS as usize {
        let message = messages.next().await.ok_or("the server has gone")?;
        done.push(message.get_payload::<u32>()?);
    }
    done.sort_unstable();
    println!("done: {done:?}");
    Ok(())
}

#[asyncio::main(host = "tokio")]
async fn main() -> Result<(), BoxError> {
    let url = std::env::args()
        .nth(1)
        .unwrap_or("redis://127.0.0.1".into());
    let client = Client::open(url)?;
    let client = &client;
    let all = task_group(async |tg: TaskGroup<'_>| {
        let (subscribed, is_subscribed) = tokio::sync::oneshot::channel();
        tg.spawn(supervise(client, subscribed));
        is_subscribed.await?;
        for worker in 0..WORKERS {
            tg.spawn(work(client, worker));
        }
        Ok(())
    });
    timeout(Duration::from_secs(30), all).await??;

    let mut connection = client.get_multiplexed_async_connection().await?;
    let rounds: u32 = connection.get("rounds").await?;
    println!("rounds: {rounds}");
    Ok(())
}
