//! A job scheduler: jobs at intervals, commands while it runs, retries with growing pauses, and a graceful end.
//!
//! The loop has three sources: commands, the next job that is due, and the order to stop. Jobs are children of a group,
//! so that the end waits for those that run.
//!
//! `cargo run --example job_scheduler`

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use asyncio::sync::{Event, Queue};
use asyncio::{BoxError, TaskGroup, select, sleep, sleep_until, task_group, time};

/// A job is its name, and the pause between two of its runs.
type Job = (&'static str, Duration);

enum Command {
    Add(&'static str, u64),
    Remove(&'static str),
}

struct Scheduler {
    commands: Queue<Command>,
    stop: Event,
    start: Instant,
    failures: Cell<u32>,
}

impl Scheduler {
    fn say(&self, what: &str) {
        println!("{:>2} s: {what}", (time() - self.start).as_secs());
    }

    /// Starts jobs as they are due, until the order to stop comes. Then waits for those that run.
    async fn run(&self) -> Result<(), BoxError> {
        task_group(async |tg: TaskGroup<'_>| {
            let mut due: BinaryHeap<Reverse<(Instant, Job)>> = BinaryHeap::new();
            loop {
                let next = due.peek().map(|Reverse((when, _))| *when);
                select! {
                    () = self.stop.wait() => break,
                    command = self.commands.get() => match command? {
                        Command::Add(name, seconds) => {
                            due.push(Reverse((time(), (name, Duration::from_secs(seconds)))));
                        }
                        Command::Remove(name) => due.retain(|Reverse((_, job))| job.0 != name),
                    },
                    () = sleep_until(next.unwrap_or_else(time)), if next.is_some() => {
                        if let Some(Reverse((when, job))) = due.pop() {
                            due.push(Reverse((when + job.1, job)));
                            tg.spawn_ok(self.run_job(job.0));
                        }
                    }
                }
            }
            self.say("stopping");
            Ok(())
        })
        .await?;
        self.say("stopped");
        Ok(())
    }

    /// Runs a job, again after a pause if it fails.
    async fn run_job(&self, name: &str) {
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
        if name == "backup" && self.failures.get() < 2 {
            self.failures.set(self.failures.get() + 1);
            return Err("disk full".into());
        }
        Ok(())
    }
}

#[asyncio::main(clock = "virtual")]
async fn main() -> Result<(), BoxError> {
    let scheduler = Scheduler {
        commands: Queue::new(0),
        stop: Event::new(),
        start: time(),
        failures: Cell::new(0),
    };
    task_group(async |tg: TaskGroup<'_>| {
        tg.spawn(scheduler.run());
        scheduler.commands.put(Command::Add("mail", 10)).await?;
        scheduler.commands.put(Command::Add("backup", 60)).await?;
        sleep(Duration::from_secs(25)).await;
        scheduler.commands.put(Command::Remove("mail")).await?;
        sleep(Duration::from_secs(37)).await;
        scheduler.stop.set(); // the second backup runs
        Ok(())
    })
    .await?;
    Ok(())
}
