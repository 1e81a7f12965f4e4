//! The example `background_tasks`, on tokio.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tiny_http::{Method, Request, Response, Server};
use tokio::runtime::{self, Handle};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The length of a step.
const STEP: Duration = Duration::from_millis(20);

/// The time that tasks have to clean up when the server ends.
const GRACE: Duration = Duration::from_secs(2);

/// Prints a line. A closed standard output does not end the server.
fn say(what: impl std::fmt::Display) {
    let _ = writeln!(io::stdout(), "{what}");
}

/// The work of a task on the runtime: its steps in order, and a cleanup if it is cancelled. Returns whether it was.
async fn work(number: u32, steps: u32, done: Arc<AtomicU32>, stop: CancellationToken) -> bool {
    let step_by_step = async {
        for step in 1..=steps {
            sleep(STEP).await;
            done.store(step, Ordering::Relaxed);
        }
    };
    tokio::select! {
        () = step_by_step => return false,
        () = stop.cancelled() => {}
    }
    sleep(STEP).await;
    let done = done.load(Ordering::Relaxed);
    say(format_args!("task {number} stops after {done} steps"));
    true
}

/// A task, as the threads of the server see it.
struct Background {
    steps: u32,
    done: Arc<AtomicU32>,
    stop: CancellationToken,
    task: State,
}

enum State {
    Running(JoinHandle<bool>),
    Ended(&'static str),
}

fn end_of(outcome: Result<bool, JoinError>) -> &'static str {
    match outcome {
        Ok(false) => "done",
        Ok(true) => "cancelled",
        Err(_) => "failed",
    }
}

impl Background {
    /// Its progress, in words.
    fn status(&mut self, runtime: &Handle) -> String {
        if let State::Running(task) = &mut self.task
            && task.is_finished()
        {
            self.task = State::Ended(end_of(runtime.block_on(task)));
        }
        let state = match &self.task {
            State::Running(_) => "running",
            State::Ended(how) => how,
        };
        let done = self.done.load(Ordering::Relaxed);
        format!("{state}, {done} of {} steps", self.steps)
    }
}

/// All tasks by number. The lock is held for a look or an insertion, never across a wait.
struct Tasks {
    runtime: Handle,
    stop: CancellationToken,
    all: Mutex<BTreeMap<u32, Background>>,
}

impl Tasks {
    fn start(&self, steps: u32) -> u32 {
        let mut all = self.all.lock().expect("nobody panics with it");
        let number = all.len() as u32 + 1;
        let (done, stop) = (Arc::new(AtomicU32::new(0)), self.stop.child_token());
        let work = work(number, steps, done.clone(), stop.clone());
        let task = State::Running(self.runtime.spawn(work));
        let background = Background {
            steps,
            done,
            stop,
            task,
        };
        all.insert(number, background);
        number
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
            .map(|(number, task)| format!("{number}: {}\n", task.status(&self.runtime)))
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
                return match steps.parse() {
                    Ok(steps) => (202, format!("{}\n", self.start(steps))),
                    Err(error) => (400, format!("{error}\n")),
                };
            }
            (Method::Get, "status") => self.with(number, |task| task.status(&self.runtime) + "\n"),
            (Method::Post, "cancel") => self.with(number, |task| match &task.task {
                State::Running(running) if !running.is_finished() => {
                    task.stop.cancel();
                    "it was told to stop\n".to_owned()
                }
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

    let mut background = runtime::Builder::new_multi_thread();
    let background = background.worker_threads(1).enable_time().build()?;
    let tasks = Tasks {
        runtime: background.handle().clone(),
        stop: CancellationToken::new(),
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
    tasks.stop.cancel();
    let mut all = tasks.all.lock().expect("nobody panics with it");
    let ended = async {
        for task in all.values_mut() {
            if let State::Running(running) = &mut task.task {
                task.task = State::Ended(end_of(running.await));
            }
        }
    };
    background.block_on(async { timeout(GRACE, ended).await })?;
    drop(all);
    say(tasks.list().trim_end());
    Ok(())
}
