//! What these tests share: gates that hold a job up, a trace of words, and bounded waits.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "compiled once a test file, each of which uses a part"
)]

use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use asyncio_loop::EventLoop;
use asyncio_pool::{Job, ThreadPool};

/// How long anything here may take before it counts as hanging.
pub const LONG: Duration = Duration::from_secs(20);

/// What happened, in words, on any thread.
#[derive(Clone, Debug, Default)]
pub struct Trace(Arc<Mutex<Vec<String>>>);

impl Trace {
    pub fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// Notes `what` when it is dropped, and on which thread.
    pub fn on_drop(&self, what: &'static str) -> NoteOnDrop {
        NoteOnDrop(self.clone(), what)
    }
}

/// See [`Trace::on_drop`].
#[derive(Debug)]
pub struct NoteOnDrop(Trace, &'static str);

impl Drop for NoteOnDrop {
    fn drop(&mut self) {
        let thread = thread::current();
        let place = match thread.name() {
            Some(name) if name.starts_with("asyncio-") => name.to_owned(),
            _ => "here".to_owned(),
        };
        self.0.note(format!("{} dropped: {place}", self.1));
    }
}

/// Something that panics when it is dropped.
#[derive(Debug)]
pub struct PanicOnDrop;

impl Drop for PanicOnDrop {
    fn drop(&mut self) {
        panic!("this destructor panics as part of the test");
    }
}

/// A door that is shut until somebody opens it.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    pub fn pass(&self) {
        let shut = self.0.0.lock().unwrap();
        let (open, _) = self
            .0
            .1
            .wait_timeout_while(shut, LONG, |open| !*open)
            .unwrap();
        assert!(*open, "nobody opened the gate");
    }
}

/// Takes one thread of `pool` until the gate is opened. When this returns, the job runs.
pub fn occupy(pool: &ThreadPool) -> (Gate, Job<()>) {
    let (begun, gate) = (Gate::default(), Gate::default());
    let (inner_begun, inner_gate) = (begun.clone(), gate.clone());
    let job = pool.run(move || {
        inner_begun.open();
        inner_gate.pass();
    });
    begun.pass();
    (gate, job)
}

/// A pool of so many threads.
pub fn pool_of(threads: usize) -> ThreadPool {
    ThreadPool::builder().max_threads(threads).build()
}

/// Waits until `condition` holds.
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < LONG, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Runs `main` on a loop whose reports are noted, and closes that.
pub fn run_reporting<R>(trace: &Trace, main: impl AsyncFnOnce() -> R) -> R {
    let mut event_loop = EventLoop::new().unwrap();
    let trace = trace.clone();
    event_loop.set_exception_handler(move |unhandled| trace.note(unhandled.to_string()));
    event_loop.run_until_complete(main()).unwrap()
}

/// The message of a panic.
pub fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
    let payload = outcome.err().expect("it was to panic");
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast_ref::<&str>().unwrap().to_string(),
    }
}
