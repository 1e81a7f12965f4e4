//! The example `job_scheduler`, on tokio.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A job is its name, and the pause between two of its runs.
type Job = (&'static str, Duration);

enum Command {
    Add(&'static str, u64),
    Remove(&'static str),
}

struct Scheduler {
    start: Instant,
    failures: AtomicU32,
}

impl Scheduler {
    fn say(&self, what: &str) {
        println!("{:>2} s: {what}", self.start.elapsed().as_secs());
    }

    /// Starts jobs as they are due, until the order to stop comes. Then waits for those that run.
    async fn run(
        self: Arc<Self>,
        mut commands: mpsc::UnboundedReceiver<Command>,
        stop: CancellationToken,
    ) -> Result<(), BoxError> {
        let mut due: BinaryHeap<Reverse<(Instant, Job)>> = BinaryHeap::new();
        let mut running = JoinSet::new();
        loop {
            let next = due.peek().map(|Reverse((when, _))| *when);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                command = commands.recv() => match command.ok_or("no one can command")? {
                    Command::Add(name, seconds) => {
                        due.push(Reverse((Instant::now(), (name, Duration::from_secs(seconds)))));
                    }
                    Command::Remove(name) => due.retain(|Reverse((_, job))| job.0 != name),
                },
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    if let Some(Reverse((when, job))) = due.pop() {
                        due.push(Reverse((when + job.1, job)));
                        running.spawn(self.clone().run_job(job.0));
                    }
                }
                Some(ended) = running.join_next() => ended?,
            }
        }
        self.say("stopping");
        while let Some(ended) = running.join_next().await {
            ended?;
        }
        self.say("stopped");
        Ok(())
    }

    /// Runs a job, again after a pause if it fails.
    async fn run_job(self: Arc<Self>, name: &'static str) {
        for pause in [1, 2, 4].map(Duration::from_secs) {
            match self.attempt(name).await {
                Ok(()) => return self.say(&format!("{name} is done")),
                Err(error) => self.say(&format!("{name} failed: {error}")),
            }
            sleep(pause).await;
        }
        self.say(&format!("{name} is given up"));
    }

    async fn attempt(&self, name: &str) -> Result<(), BoxError> {
        sleep(Duration::from_secs(name.len() as u64)).await;
        if name == "backup" && self.failures.load(Ordering::Relaxed) < 2 {
            self.failures.fetch_add(1, Ordering::Relaxed);
            return Err("disk full".into());
        }
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), BoxError> {
    let scheduler = Arc::new(Scheduler {
        start: Instant::now(),
        failures: AtomicU32::new(0),
    });
    let (commands, receiver) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    running.spawn(scheduler.run(receiver, stop.clone()));
    commands.send(Command::Add("mail", 10))?;
    commands.send(Command::Add("backup", 60))?;
    sleep(Duration::from_secs(25)).await;
    commands.send(Command::Remove("mail"))?;
    sleep(Duration::from_secs(37)).await;
    stop.cancel(); // the second backup runs
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}
