//! The crew in every order of threads that the memory model allows: handing jobs in, lying down, being called, leaving.
//!
//! A lost call shows as a deadlock, and a job that runs twice or never in its count. "Found" in a comment names
//! mistakes that were put into the code and made the model fail.

use std::sync::Arc;
use std::sync::Mutex as StdMutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use asyncio_loop::Context;
use loom::thread;

use crate::crew::{Crew, Entered, Entry, ShareOf, Ticket};
use crate::error::JobError;
use crate::settings::Settings;
use crate::work::{Aftermath, Work};

/// A job that notes when it runs and when it is refused.
#[derive(Default)]
struct Noted {
    name: &'static str,
    ran: AtomicUsize,
    refused: AtomicUsize,
    log: Log,
}

type Log = Arc<StdMutex<Vec<&'static str>>>;

impl Work for Noted {
    fn run(&self, _: &mut Context, _: &Settings) -> Aftermath {
        self.ran.fetch_add(1, Ordering::SeqCst);
        self.log.lock().unwrap().push(self.name);
        Aftermath::default()
    }

    fn accept(&self, _: &Settings) {}

    fn refuse(&self, _: JobError, _: &Settings) {
        self.refused.fetch_add(1, Ordering::SeqCst);
    }
}

impl Noted {
    fn times(&self) -> (usize, usize) {
        let (ran, refused) = (&self.ran, &self.refused);
        (ran.load(Ordering::SeqCst), refused.load(Ordering::SeqCst))
    }
}

fn job(name: &'static str, log: &Log) -> Arc<Noted> {
    Arc::new(Noted {
        name,
        log: log.clone(),
        ..Noted::default()
    })
}

/// A crew of so many threads, that never spins: loom has no time.
fn crew(max_threads: usize, keep_alive: Duration, queue_limit: Option<usize>) -> Arc<Crew> {
    Crew::new(Settings {
        max_threads,
        keep_alive,
        name: "loom".to_owned(),
        stack_size: None,
        queue_limit,
        on_start: Default::default(),
        on_stop: Default::default(),
        on_unhandled: Default::default(),
        may_spin: false,
    })
}

const FOR_EVER: Duration = Duration::from_secs(1_000_000);

fn enter(crew: &Arc<Crew>, job: &Arc<Noted>, share: Option<ShareOf>) -> Option<Ticket> {
    let work = job.clone();
    match crew.enter(Entry { work, share }, true) {
        Entered::Here { ticket, .. } => Some(ticket),
        Entered::Full | Entered::Closed => None,
    }
}

/// Found: to park over a call; a call that does not unpark; a queue one longer than the workers that come.
// Proves C1, C2.
#[test]
fn loom_jobs_that_are_handed_in_while_a_worker_lies_down_run_in_order() {
    loom::model(|| {
        let log = Log::default();
        let crew = crew(1, FOR_EVER, None);
        let (one, two) = (job("one", &log), job("two", &log));
        enter(&crew, &one, None).unwrap();
        enter(&crew, &two, None).unwrap();
        crew.shut_down(false);
        crew.join_all();
        assert_eq!((one.times(), two.times()), ((1, 0), (1, 0)));
        assert_eq!(*log.lock().unwrap(), ["one", "two"]);
    });
}

#[test]
fn loom_two_threads_hand_in_jobs() {
    loom::model(|| {
        let log = Log::default();
        let crew = crew(1, FOR_EVER, None);
        let (one, two) = (job("one", &log), job("two", &log));
        let sender = thread::spawn({
            let (crew, one) = (crew.clone(), one.clone());
            move || enter(&crew, &one, None).is_some()
        });
        enter(&crew, &two, None).unwrap();
        assert!(sender.join().unwrap());
        crew.shut_down(false);
        crew.join_all();
        assert_eq!((one.times(), two.times()), ((1, 0), (1, 0)));
    });
}

/// A worker whose time is over while it is called: it leaves, or it comes. Found: to leave without a look at the list
/// of idle workers.
// Proves R1, R2.
#[test]
fn loom_a_worker_leaves_while_it_is_called() {
    loom::model(|| {
        let log = Log::default();
        let crew = crew(1, Duration::ZERO, None);
        let (one, two) = (job("one", &log), job("two", &log));
        enter(&crew, &one, None).unwrap();
        enter(&crew, &two, None).unwrap();
        crew.shut_down(false);
        crew.join_all();
        assert_eq!((one.times(), two.times()), ((1, 0), (1, 0)));
        assert_eq!(crew.counts(), (0, 0, 0));
    });
}

#[test]
fn loom_a_shutdown_that_cancels_ends_each_job_once() {
    loom::model(|| {
        let log = Log::default();
        let crew = crew(1, FOR_EVER, None);
        let (one, two) = (job("one", &log), job("two", &log));
        enter(&crew, &one, None).unwrap();
        let sender = thread::spawn({
            let (crew, two) = (crew.clone(), two.clone());
            move || enter(&crew, &two, None).is_some()
        });
        crew.shut_down(true);
        let entered = sender.join().unwrap();
        crew.join_all();
        let (ran, refused) = one.times();
        assert_eq!(ran + refused, 1);
        let (ran, refused) = two.times();
        assert_eq!(ran + refused, usize::from(entered));
        assert_eq!(crew.counts(), (0, 0, 0));
    });
}

/// A job of a share is cancelled while a worker may be taking it: its place goes to the next one, once.
// Proves C3.
#[test]
fn loom_a_place_in_a_share_passes_on_once() {
    loom::model(|| {
        let log = Log::default();
        let crew = crew(1, FOR_EVER, None);
        let share = Some(ShareOf { id: 1, limit: 1 });
        let (one, two) = (job("one", &log), job("two", &log));
        let ticket = enter(&crew, &one, share).unwrap();
        enter(&crew, &two, share).unwrap();
        crew.forget(ticket);
        crew.shut_down(false);
        crew.join_all();
        assert!(one.times().0 <= 1);
        assert_eq!(two.times(), (1, 0));
        assert_eq!(crew.counts(), (0, 0, 0));
    });
}

#[test]
fn loom_jobs_outside_of_a_full_queue_are_taken_in() {
    loom::model(|| {
        let log = Log::default();
        let crew = crew(1, FOR_EVER, Some(0));
        let (one, two) = (job("one", &log), job("two", &log));
        enter(&crew, &one, None).unwrap();
        enter(&crew, &two, None).unwrap();
        crew.shut_down(false);
        crew.join_all();
        assert_eq!((one.times(), two.times()), ((1, 0), (1, 0)));
        assert_eq!(*log.lock().unwrap(), ["one", "two"]);
    });
}
