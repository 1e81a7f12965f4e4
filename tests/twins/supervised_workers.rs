//! The example `supervised_workers`, on tokio.

use std::any::Any;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The state that the workers share: how often each was started.
type Starts = Arc<Mutex<BTreeMap<&'static str, u64>>>;

/// The time that workers have to end after the order to stop.
const GRACE: Duration = Duration::from_secs(10);

/// The message of a panic.
fn message(payload: &(dyn Any + Send)) -> &str {
    match payload.downcast_ref::<String>() {
        Some(message) => message,
        None => payload.downcast_ref::<&str>().unwrap_or(&"no message"),
    }
}

/// Runs one worker again and again, until it returns or has been started five times.
async fn supervise<F>(
    name: &'static str,
    starts: Starts,
    stop: CancellationToken,
    work: impl Fn(u64) -> F,
) -> Result<(), BoxError>
where
    F: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    let mut supervised = pin!(async {
        for start in 1..=5 {
            starts
                .lock()
                .expect("no panic with the lock")
                .insert(name, start);
            // In a task of its own, which catches the panic. Dropped, it is aborted.
            let mut worker = JoinSet::new();
            worker.spawn(work(start));
            let failure = match worker.join_next().await.expect("it was spawned") {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error.to_string(),
                Err(error) => format!("panic: {}", message(&*error.into_panic())),
            };
            println!("{name}, start {start}: {failure}");
            sleep(Duration::from_secs(start)).await;
        }
        Err(format!("{name} was started too often").into())
    });
    tokio::select! {
        outcome = &mut supervised => outcome,
        // A worker that listens to the order cleans up meanwhile.
        () = stop.cancelled() => timeout(GRACE, supervised).await.unwrap_or(Ok(())),
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    std::panic::set_hook(Box::new(|_| {})); // the supervisor reports them
    let (began, starts) = (Instant::now(), Starts::default());
    let stop = CancellationToken::new();
    let mut workers = JoinSet::new();
    // Panics twice, and then does its work.
    let indexer = |start| async move {
        sleep(Duration::from_secs(1)).await;
        assert!(start > 2, "index {start} is out of bounds");
        Ok(())
    };
    workers.spawn(supervise("indexer", starts.clone(), stop.clone(), indexer));
    // Serves until it is cancelled, and says goodbye.
    let stopped = stop.clone();
    let server = move |_| {
        let stopped = stopped.clone();
        async move {
            stopped.cancelled().await;
            sleep(Duration::from_secs(1)).await;
            println!("server: goodbye");
            Ok(())
        }
    };
    workers.spawn(supervise("server", starts.clone(), stop.clone(), server));
    // Fails each time.
    let mailer = |_| async {
        sleep(Duration::from_secs(1)).await;
        Err("no route to host".into())
    };
    workers.spawn(supervise("mailer", starts.clone(), stop.clone(), mailer));
    let mut errors = Vec::new();
    while let Some(ended) = workers.join_next().await {
        if let Err(error) = ended.expect("no supervisor panics") {
            stop.cancel();
            errors.push(error);
        }
    }
    if !errors.is_empty() {
        println!("{} task failed", errors.len());
        for error in errors {
            println!("└─ {error}");
        }
    }
    let starts = starts.lock().expect("no panic with the lock");
    println!("{starts:?} after {:?}", began.elapsed());
}
