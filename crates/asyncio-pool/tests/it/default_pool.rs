//! The default pool of a loop, and its end with the loop.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::support::{Gate, Trace, eventually, panic_of};
use asyncio_loop::{EventLoop, run, running_loop, spawn, yield_now};
use asyncio_pool::{
    JobError, ThreadPool, default_executor, set_default_executor, shutdown_default_executor,
    to_thread,
};

#[test]
fn without_a_loop_there_is_none() {
    let message = panic_of(|| to_thread(|| ()));
    assert!(message.contains("no event loop"), "{message}");
}

#[test]
fn each_loop_has_one_of_its_own() {
    let pool = run(async {
        assert_eq!(to_thread(|| 7).await.unwrap(), 7);
        assert_eq!(default_executor().threads(), 1);
        default_executor()
    });
    assert!(pool.is_closed());
    run(async { assert!(!default_executor().is_closed()) });
}

#[test]
fn closing_waits_for_jobs_that_run_and_for_those_that_wait() {
    let trace = Trace::default();
    let gate = Gate::default();
    let (inside, noted) = (gate.clone(), trace.clone());
    let opener = run(async {
        set_default_executor(ThreadPool::builder().max_threads(1).build());
        let job = to_thread(move || {
            inside.pass();
            thread::sleep(Duration::from_millis(5));
            noted.note("the job that nobody awaits ends");
        });
        eventually("the job did not begin", || job.has_begun());
        drop(job);
        let noted = trace.clone();
        to_thread(move || noted.note("the detached one runs")).detach();
        let opener = thread::spawn(move || gate.open());
        trace.note("main returns");
        opener
    });
    trace.note("run returns");
    opener.join().unwrap();
    assert_eq!(
        trace.take(),
        [
            "main returns",
            "the job that nobody awaits ends",
            "the detached one runs",
            "run returns",
        ]
    );
}

#[test]
fn tasks_that_clean_up_may_still_use_it() {
    struct Cleans(Trace);
    impl Drop for Cleans {
        fn drop(&mut self) {
            let noted = self.0.clone();
            spawn(async move {
                noted.note("the cleanup");
                let inside = noted.clone();
                to_thread(move || inside.note("its job")).detach();
            })
            .detach();
        }
    }
    let trace = Trace::default();
    run(async {
        let cleans = Cleans(trace.clone());
        spawn(async move {
            std::future::pending::<()>().await;
            drop(cleans);
        })
        .detach();
        yield_now().await;
    });
    assert_eq!(trace.take(), ["the cleanup", "its job"]);
}

#[test]
fn one_that_the_last_destructor_makes_is_closed_too() {
    struct Last(Trace);
    impl Drop for Last {
        fn drop(&mut self) {
            let noted = self.0.clone();
            to_thread(move || noted.note("it ran")).detach();
        }
    }
    let trace = Trace::default();
    let event_loop = EventLoop::new().unwrap();
    let last = Last(trace.clone());
    event_loop.call_soon(move || drop(last));
    drop(event_loop);
    assert_eq!(trace.take(), ["it ran"]);
}

/// A job that waits for its loop is told that this is closed, so closing does not wait for ever.
#[test]
fn a_job_that_waits_for_its_loop_does_not_hold_its_closing_up() {
    let (sender, receiver) = mpsc::channel();
    run(async {
        let home = running_loop();
        let (begun, gate) = (Gate::default(), Gate::default());
        let (inner_begun, inner_gate) = (begun.clone(), gate.clone());
        to_thread(move || {
            inner_begun.open();
            // A call that is under way when the loop closes, and a call that comes later.
            let waits = home.run_coroutine_threadsafe(std::future::pending::<()>);
            let waited = waits.map(|waits| waits.wait().is_err());
            inner_gate.pass();
            let late = home.run_coroutine_threadsafe(std::future::pending::<()>);
            let late = late.map_or(true, |late| late.wait().is_err());
            sender.send((waited.unwrap_or(true), late)).unwrap();
        })
        .detach();
        begun.pass();
        gate.open();
    });
    assert_eq!(receiver.recv().unwrap(), (true, true));
}

#[test]
fn it_may_be_shut_down_before_and_replaced() {
    let trace = Trace::default();
    run(async {
        let noted = trace.clone();
        let gate = Gate::default();
        let inside = gate.clone();
        let job = to_thread(move || {
            inside.pass();
            noted.note("the job ends");
        });
        let opener = thread::spawn(move || gate.open());
        shutdown_default_executor().await;
        trace.note("the pool has ended");
        job.await.unwrap();
        opener.join().unwrap();
        assert!(matches!(to_thread(|| ()).await, Err(JobError::Closed)));
        set_default_executor(ThreadPool::builder().name("other").build());
        let name = to_thread(|| thread::current().name().map(str::to_owned));
        assert_eq!(name.await.unwrap().as_deref(), Some("other-0"));
    });
    assert_eq!(trace.take(), ["the job ends", "the pool has ended"]);
}

#[test]
fn one_that_is_replaced_ends_with_the_loop() {
    let (before, after) = run(async {
        let before = default_executor();
        let after = ThreadPool::new();
        set_default_executor(after.clone());
        assert!(before.is_closed());
        assert!(!after.is_closed());
        (before, after)
    });
    assert!(before.is_closed() && after.is_closed());
}

#[test]
fn a_loop_that_closes_inside_of_another_one_does_not_block_it() {
    let gate = Gate::default();
    let inside = gate.clone();
    let mut inner = EventLoop::new().unwrap();
    inner
        .run_until_complete(async { to_thread(move || inside.pass()).detach() })
        .unwrap();
    run(async move {
        drop(inner);
        gate.open(); // it would never get here
    });
}

#[test]
fn a_loop_may_close_inside_of_a_job_of_its_own_default_pool() {
    let pool = ThreadPool::builder().max_threads(2).build();
    let own = pool.clone();
    let job = pool.run(move || {
        run(async move {
            set_default_executor(own);
            to_thread(|| 7).await.unwrap()
        })
    });
    assert_eq!(job.wait().unwrap(), 7);
}
