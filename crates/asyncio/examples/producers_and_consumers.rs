//! Three producers and two consumers around a buffer for four, with a clean end. Then a queue of jobs by priority, and
//! a stack.
//!
//! When the producers are done, the queue is shut down. The consumers empty it and end.
//!
//! `cargo run --example producers_and_consumers`

use std::cell::Cell;
use std::time::Duration;

use asyncio::sync::{LifoQueue, PriorityQueue, Queue};
use asyncio::{BoxError, TaskGroup, sleep, spawn, task_group};

async fn producers_and_consumers() -> Result<(), BoxError> {
    let buffer = Queue::new(4);
    let (eaten, fullest) = (Cell::new(0), Cell::new(0));
    task_group(async |tg: TaskGroup<'_>| {
        for _consumer in 0..2 {
            tg.spawn(async {
                // Until the queue is shut down and empty.
                while let Ok(_loaf) = buffer.get().await {
                    sleep(Duration::from_millis(30)).await;
                    eaten.set(eaten.get() + 1);
                }
                Ok(())
            });
        }
        task_group(async |producers: TaskGroup<'_>| {
            for producer in 0..3 {
                let (buffer, fullest) = (&buffer, &fullest);
                producers.spawn(async move {
                    for n in 0..10 {
                        // Waits while the buffer is full, so baking is no faster than eating.
                        buffer.put((producer, n)).await?;
                        fullest.set(fullest.get().max(buffer.qsize()));
                        sleep(Duration::from_millis(10)).await;
                    }
                    Ok(())
                });
            }
            Ok(())
        })
        .await?;
        println!("the producers are done, {} in the buffer", buffer.qsize());
        buffer.shutdown(false);
        Ok(())
    })
    .await?;
    println!(
        "eaten: {}, never more than {} in the buffer",
        eaten.get(),
        fullest.get()
    );
    Ok(())
}

/// Asyncio's pattern: the workers never end by themselves. `join` waits for the last job, then they are cancelled.
async fn jobs_by_priority() -> Result<(), BoxError> {
    let jobs = std::rc::Rc::new(PriorityQueue::new(0));
    for job in [
        (3, "sweep"),
        (1, "put out the fire"),
        (2, "answer the phone"),
    ] {
        jobs.put_nowait(job)?;
    }
    let worker = spawn({
        let jobs = jobs.clone();
        async move {
            // Dropping an item calls `task_done`.
            while let Ok(job) = jobs.get_item().await {
                sleep(Duration::from_secs(1)).await;
                println!("{}: {}", job.0, job.1);
            }
        }
    });
    jobs.join().await;
    worker.cancel();
    println!("no more jobs: {}", worker.await.unwrap_err());
    Ok(())
}

async fn stack() -> Result<(), BoxError> {
    let plates = LifoQueue::new(0);
    for plate in ["first", "second", "third"] {
        plates.put(plate).await?;
    }
    println!("from the stack: {}", plates.get().await?);
    Ok(())
}

#[asyncio::main(clock = "virtual")]
async fn main() -> Result<(), BoxError> {
    producers_and_consumers().await?;
    jobs_by_priority().await?;
    stack().await
}
