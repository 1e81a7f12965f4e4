//! A supervisor, which starts workers again that fail or panic, each after a pause that grows. It gives up when a
//! worker fails too often. All of them share a borrowed state.
//!
//! `cargo run --example supervised_workers`

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::pending;
use std::time::Duration;

use asyncio::{BoxError, TaskGroup, catch_panic, on_cancel, sleep, task_group, time};

/// The number of starts of each worker, shared by all.
type Starts<'a> = &'a RefCell<BTreeMap<&'static str, u64>>;

/// Runs one worker again and again, until it returns or has been started five times.
async fn supervise(
    name: &'static str,
    starts: Starts<'_>,
    work: impl AsyncFn(u64) -> Result<(), BoxError>,
) -> Result<(), BoxError> {
    for start in 1..=5 {
        starts.borrow_mut().insert(name, start);
        let failure = match catch_panic(work(start)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => format!("panic: {panic}"),
        };
        println!("{name}, start {start}: {failure}");
        sleep(Duration::from_secs(start)).await;
    }
    Err(format!("{name} was started too often").into())
}

#[asyncio::main(clock = "virtual")]
async fn main() {
    std::panic::set_hook(Box::new(|_| {})); // the supervisor reports them
    let (began, starts) = (time(), RefCell::new(BTreeMap::new()));
    let supervised = task_group(async |tg: TaskGroup<'_>| {
        // Panics twice, and then does its work.
        tg.spawn(supervise("indexer", &starts, async |start| {
            sleep(Duration::from_secs(1)).await;
            assert!(start > 2, "index {start} is out of bounds");
            Ok(())
        }));
        // Serves until it is cancelled, and says goodbye.
        tg.spawn(supervise("server", &starts, async |_| {
            let goodbye = async {
                sleep(Duration::from_secs(1)).await;
                println!("server: goodbye");
            };
            on_cancel(pending::<()>(), goodbye).await;
            Ok(())
        }));
        // Fails each time.
        tg.spawn(supervise("mailer", &starts, async |_| {
            sleep(Duration::from_secs(1)).await;
            Err("no route to host".into())
        }));
        Ok(())
    });
    if let Err(errors) = supervised.await {
        println!("{errors}");
    }
    println!("{:?} after {:?}", starts.into_inner(), time() - began);
}
