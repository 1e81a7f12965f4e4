//! A web server that blocks, with background work on an event loop.
//!
//! A request starts a task on the loop, and the answer is the task's number. Other requests ask for the task's
//! progress, or cancel it.
//!
//! `cargo run --example background_tasks -- 8080`, then
//!
//! ```sh
//! curl -X POST 'localhost:8080/start?steps=50'   # starts a task of fifty steps: "1"
//! curl localhost:8080/status/1                   # its progress
//! curl -X POST localhost:8080/cancel/1           # asks it to stop
//! curl localhost:8080/                           # all tasks
//! ```
//!
//! Without a port, or with port 0, the system chooses one. Ctrl-C ends the server: it takes no more requests, and
//! running tasks have two seconds to clean up.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use asyncio::{LoopHandle, LoopThread, ThreadFuture, on_cancel, sleep};
use tiny_http::{Method, Request, Response, Server};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The length of a step.
const STEP: Duration = Duration::from_millis(20);

/// The time that tasks have to clean up when the server ends.
const GRACE: Duration = Duration::from_secs(2);

/// Prints a line. A closed standard output does not end the server.
fn say(what: impl std::fmt::Display) {
    let _ = writeln!(io::stdout(), "{what}");
}

/// The work of a task on the loop: its steps in order, and a cleanup if it is cancelled.
async fn work(number: u32, steps: u32, done: Arc<AtomicU32>) -> u32 {
    let step_by_step = async {
        for step in 1..=steps {
            sleep(STEP).await;
            done.store(step, Ordering::Relaxed);
        }
    };
    let put_away = async {
        sleep(STEP).await;
        let done = done.load(Ordering::Relaxed);
        say(format_args!("task {number} stops after {done} steps"));
    };
    on_cancel(step_by_step, put_away).await;
    steps
}

/// A task, as the threads of the server see it.
struct Background {
    steps: u32,
    done: Arc<AtomicU32>,
    task: State,
}

enum State {
    Running(ThreadFuture<u32>),
    Ended(&'static str),
}

impl Background {
    /// Its progress, in words.
    fn status(&mut self) -> String {
        self.task = match std::mem::replace(&mut self.task, State::Ended("lost")) {
            State::Running(task) => match task.wait_timeout(Duration::ZERO) {
                Err(running) => State::Running(running),
                Ok(Ok(_)) => State::Ended("done"),
                Ok(Err(error)) if error.is_cancelled() => State::Ended("cancelled"),
                Ok(Err(_)) => State::Ended("failed"),
            },
            ended => ended,
        };
        let state = match &self.task {
            State::Running(_) => "running",
            State::Ended(how) => how,
        };
        let done = self.done.load(Ordering::Relaxed);
        format!("{state}, {done} of {} steps", self.steps)
    }
}

/// All tasks by number. This program has one lock, held for a look or an insertion, never across a wait.
struct Tasks {
    event_loop: LoopHandle,
    all: Mutex<BTreeMap<u32, Background>>,
}

impl Tasks {
    fn start(&self, steps: u32) -> Result<u32, BoxError> {
        let mut all = self.all.lock().expect("nobody panics with it");
        let number = all.len() as u32 + 1;
        let done = Arc::new(AtomicU32::new(0));
        let noted = done.clone();
        let work = move || work(number, steps, noted);
        let task = State::Running(self.event_loop.run_coroutine_threadsafe(work)?);
        all.insert(number, Background { steps, done, task });
        Ok(number)
    }

    /// Calls `look` with a task.
    fn with<R>(&self, number: &str, look: impl FnOnce(&mut Background) -> R) -> Option<R> {
        let mut all = self.all.lock().expect("nobody panics with it");
        all.get_mut(&number.parse().ok()?).map(look)
    }

    fn list(&self) -> String {
        let mut all = self.all.lock().expect("nobody panics with it");
        let lines = all.iter_mut();
        lines
            .map(|(number, task)| format!("{number}: {}\n", task.status()))
            .collect()
    }

    /// The answer to a request: a code and a text.
    fn answer(&self, request: &Request) -> (u16, String) {
        let (path, query) = request.url().split_once('?').unwrap_or((request.url(), ""));
        let path = path.strip_prefix('/').unwrap_or(path);
        let (what, number) = path.split_once('/').unwrap_or((path, ""));
        let found = match (request.method(), what) {
            (Method::Get, "") => Some(self.list()),
            (Method::Post, "start") => {
                let steps = query.strip_prefix("steps=").unwrap_or("50");
                return match steps
                    .parse()
                    .map_err(BoxError::from)
                    .and_then(|n| self.start(n))
                {
                    Ok(number) => (202, format!("{number}\n")),
                    Err(error) => (400, format!("{error}\n")),
                };
            }
            (Method::Get, "status") => self.with(number, |task| task.status() + "\n"),
            (Method::Post, "cancel") => self.with(number, |task| match &task.task {
                State::Running(task) if task.cancel() => "it was told to stop\n".to_owned(),
                _ => "it has ended\n".to_owned(),
            }),
            _ => None,
        };
        found.map_or_else(|| (404, "not found\n".to_owned()), |text| (200, text))
    }
}

/// Calls `end` at Ctrl-C, on a thread of its own.
#[cfg(unix)]
fn on_ctrl_c(end: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGINT])?;
    std::thread::spawn(move || {
        signals.forever().next();
        end();
    });
    Ok(())
}

/// Elsewhere Ctrl-C ends the process.
#[cfg(not(unix))]
fn on_ctrl_c(_end: impl FnOnce() + Send + 'static) -> io::Result<()> {
    Ok(())
}

fn main() -> Result<(), BoxError> {
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse())?;
    let server = Arc::new(Server::http(SocketAddr::from(([127, 0, 0, 1], port)))?);
    say(format_args!("listening on {}", server.server_addr()));

    let background = LoopThread::builder().name("background").start()?;
    let tasks = Tasks {
        event_loop: background.handle().clone(),
        all: Mutex::default(),
    };

    let unblocked = server.clone();
    on_ctrl_c(move || unblocked.unblock())?;

    // Each request takes a moment, however long the task that it starts takes.
    for request in server.incoming_requests() {
        let (code, text) = tasks.answer(&request);
        // A client that has closed its connection needs no answer.
        let _ = request.respond(Response::from_string(text).with_status_code(code));
    }

    say("ending");
    background.stop(GRACE)?;
    say(tasks.list().trim_end());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    use asyncio::{spawn, time};

    #[asyncio::test]
    async fn a_task_counts_its_steps() {
        let (start, done) = (time(), Arc::default());
        assert_eq!(work(1, 50, Arc::clone(&done)).await, 50);
        assert_eq!(
            (done.load(Ordering::Relaxed), time() - start),
            (50, STEP * 50)
        );
    }

    #[asyncio::test]
    async fn a_cancelled_task_cleans_up() {
        let (start, done) = (time(), Arc::default());
        let task = spawn(work(1, 50, Arc::clone(&done)));
        sleep(STEP * 9 / 2).await;
        task.cancel();
        assert!(task.await.is_err_and(|error| error.is_cancelled()));
        assert_eq!(done.load(Ordering::Relaxed), 4);
        assert_eq!(time() - start, STEP * 11 / 2); // with the step of the cleanup
    }
}
