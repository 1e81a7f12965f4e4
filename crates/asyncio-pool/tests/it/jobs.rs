//! Single jobs: what becomes of their value, their panic, their closure and their context.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crate::support::{
    Gate, LONG, PanicsOnDrop, Trace, eventually, occupy, panic_of, pool_of, run_reporting,
};
use asyncio_loop::{ContextVar, run, spawn, yield_now};
use asyncio_pool::{Job, JobError, ThreadPool, run_in_executor};

mod outcome {
    use super::*;

    #[test]
    fn a_job_runs_once_on_another_thread_and_gives_its_value() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let there = run(async {
            let pool = pool_of(1);
            let job = pool.run(move || {
                counted.fetch_add(1, Ordering::Relaxed);
                thread::current().id()
            });
            job.await.unwrap()
        });
        assert_ne!(there, thread::current().id());
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn other_tasks_run_meanwhile() {
        run(async {
            let pool = pool_of(1);
            let gate = Gate::default();
            let inside = gate.clone();
            let job = pool.run(move || inside.pass());
            spawn(async move {
                yield_now().await;
                gate.open();
            })
            .detach();
            job.await.unwrap();
        });
    }

    #[test]
    fn a_panic_is_an_error_with_its_message_and_its_payload() {
        let error = run(async { pool_of(1).run(|| panic!("no {}", 7)).await.unwrap_err() });
        assert_eq!(error.to_string(), "the job panicked: no 7");
        let JobError::Panicked(payload) = error else {
            panic!("{error}")
        };
        assert_eq!(payload.message(), "no 7");
        assert_eq!(panic_of(|| payload.resume()), "no 7");
    }

    #[test]
    fn a_thread_outlives_the_panic_of_its_job() {
        run(async {
            let pool = pool_of(1);
            let name = || thread::current().name().map(str::to_owned);
            let before = pool.run(name).await.unwrap();
            pool.run(|| panic!("this panic is part of the test"))
                .await
                .unwrap_err();
            assert_eq!(pool.run(name).await.unwrap(), before);
        });
    }

    #[test]
    fn an_error_of_the_job_is_its_value() {
        let outcome = run(async { pool_of(1).run(|| "x".parse::<u8>()).await });
        assert!(outcome.unwrap().is_err());
    }

    #[test]
    fn a_job_may_be_waited_for_without_a_loop() {
        let pool = pool_of(1);
        assert_eq!(pool.run(|| 7).wait().unwrap(), 7);
        let (gate, job) = occupy(&pool);
        let job = job.wait_timeout(Duration::from_millis(1)).unwrap_err();
        gate.open();
        job.wait_timeout(LONG).unwrap().unwrap();
    }

    #[test]
    fn the_outcome_may_be_taken_when_it_is_there() {
        let pool = pool_of(1);
        let mut job = pool.run(|| 7);
        eventually("the job did not end", || job.is_finished());
        assert!(job.has_begun());
        assert_eq!(job.try_take().unwrap().unwrap(), 7);
        assert!(job.try_take().is_none());
        let again = panic_of(|| job.wait());
        assert_eq!(again, "a `Job` was awaited again after it gave its outcome");
    }

    #[test]
    fn it_may_be_moved_to_another_loop_and_awaited_there() {
        let pool = pool_of(1);
        let (gate, job) = run(async { occupy(&pool) });
        gate.open();
        run(async { job.await.unwrap() });
        fn is_send<T: Send>(_: &T) {}
        is_send(&pool.run(|| ()));
    }

    #[test]
    fn run_in_executor_takes_pools_and_shares() {
        run(async {
            let pool = pool_of(1);
            assert_eq!(run_in_executor(&pool, || 1).await.unwrap(), 1);
            assert_eq!(run_in_executor(&pool.share(1), || 2).await.unwrap(), 2);
        });
    }
}

mod cancelling {
    use super::*;

    // Proves J1.
    #[test]
    fn a_job_that_has_not_begun_never_runs_and_is_dropped_by_who_cancels() {
        let trace = Trace::default();
        let pool = pool_of(1);
        let (gate, first) = occupy(&pool);
        let closure = trace.on_drop("closure");
        let job = pool.run(move || {
            drop(closure);
            panic!("it runs");
        });
        assert_eq!(pool.pending(), 1);
        assert!(job.cancel());
        assert_eq!(pool.pending(), 0, "it is off the queue");
        assert_eq!(trace.take(), ["closure dropped: here"]);
        assert!(!job.cancel(), "it has ended");
        gate.open();
        first.wait().unwrap();
        assert!(matches!(job.wait(), Err(JobError::Cancelled)));
    }

    #[test]
    fn a_job_that_is_dropped_is_cancelled() {
        let trace = Trace::default();
        let pool = pool_of(1);
        let (gate, first) = occupy(&pool);
        let closure = trace.on_drop("closure");
        drop(pool.run(move || drop(closure)));
        assert_eq!(trace.take(), ["closure dropped: here"]);
        assert_eq!(pool.pending(), 0);
        gate.open();
        first.wait().unwrap();
    }

    #[test]
    fn a_task_that_is_cancelled_cancels_its_job() {
        let trace = Trace::default();
        run(async {
            let pool = pool_of(1);
            let (gate, first) = occupy(&pool);
            let closure = trace.on_drop("closure");
            let task = spawn({
                let pool = pool.clone();
                async move { pool.run(move || drop(closure)).await }
            });
            yield_now().await;
            assert_eq!(pool.pending(), 1);
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!(trace.take(), ["closure dropped: here"]);
            gate.open();
            first.await.unwrap();
        });
    }

    #[test]
    fn many_that_are_cancelled_behind_a_long_one_leave_nothing() {
        let pool = pool_of(1);
        let (gate, first) = occupy(&pool);
        for _ in 0..100_000 {
            drop(pool.run(|| ()));
        }
        assert_eq!(pool.pending(), 0);
        gate.open();
        first.wait().unwrap();
    }

    // Proves J2.
    #[test]
    fn a_job_that_runs_is_not_stopped_and_its_value_is_dropped_on_its_thread() {
        let trace = Trace::default();
        let pool = pool_of(1);
        let (begun, gate) = (Gate::default(), Gate::default());
        let (inner_begun, inner_gate) = (begun.clone(), gate.clone());
        let (said, value) = (trace.clone(), trace.on_drop("value"));
        let job = pool.run(move || {
            inner_begun.open();
            inner_gate.pass();
            said.note("it runs on");
            value
        });
        begun.pass();
        assert!(!job.cancel());
        drop(job);
        assert_eq!(trace.take(), [""; 0]);
        gate.open();
        // The next one begins when that has been dropped.
        pool.run(|| ()).wait().unwrap();
        assert_eq!(trace.take(), ["it runs on", "value dropped: asyncio-0"]);
    }

    #[test]
    fn a_value_that_nobody_took_is_dropped_with_the_handle() {
        let trace = Trace::default();
        let pool = pool_of(1);
        let value = trace.on_drop("value");
        let job = pool.run(move || value);
        eventually("the job did not end", || job.is_finished());
        drop(job);
        assert_eq!(trace.take(), ["value dropped: here"]);
    }
}

mod without_a_handle {
    use super::*;

    #[test]
    fn it_runs() {
        let trace = Trace::default();
        let pool = pool_of(1);
        let (gate, first) = occupy(&pool);
        let noted = trace.clone();
        pool.run(move || noted.note("it ran")).detach();
        let noted = trace.clone();
        pool.run(move || {
            noted.note("so did the other one");
            7
        })
        .discard();
        gate.open();
        first.wait().unwrap();
        pool.run(|| ()).wait().unwrap();
        assert_eq!(trace.take(), ["it ran", "so did the other one"]);
    }

    #[test]
    fn a_panic_goes_to_the_handler_of_the_loop_that_started_it() {
        let trace = Trace::default();
        run_reporting(&trace, async || {
            let pool = pool_of(1);
            pool.run(|| panic!("first")).detach();
            let gate = Gate::default();
            let inside = gate.clone();
            let job = pool.run(move || {
                inside.pass();
                panic!("second")
            });
            eventually("the job did not begin", || job.has_begun());
            drop(job);
            gate.open();
            pool.run(|| ()).await.unwrap();
            yield_now().await;
            yield_now().await;
        });
        let reports = trace.take();
        let message = "a job of a thread pool panicked and nobody awaits it";
        assert_eq!(
            reports,
            [format!("{message}: first"), format!("{message}: second")]
        );
    }

    #[test]
    fn an_error_of_a_detached_job_goes_there_too() {
        let trace = Trace::default();
        run_reporting(&trace, async || {
            let pool = pool_of(1);
            pool.run(|| Err::<(), _>("disk full")).detach();
            pool.run(|| Err::<(), _>("never mind")).discard();
            pool.run(|| ()).await.unwrap();
            yield_now().await;
        });
        assert_eq!(
            trace.take(),
            [r#"a job of a thread pool failed and nobody awaits it: "disk full""#]
        );
    }

    #[test]
    fn a_detached_job_that_is_refused_is_not_lost_silently() {
        let trace = Trace::default();
        run_reporting(&trace, async || {
            let pool = pool_of(1);
            pool.shutdown(asyncio_pool::Pending::Run);
            drop(pool.run(|| ())); // nobody wanted that
            pool.run(|| ()).detach();
        });
        assert_eq!(
            trace.take(),
            ["a job of a thread pool failed and nobody awaits it: the thread pool is shut down"]
        );
    }

    #[test]
    fn a_pool_may_have_a_handler_of_its_own() {
        let trace = Trace::default();
        let noted = trace.clone();
        let pool = ThreadPool::builder()
            .max_threads(1)
            .on_unhandled(move |unhandled| {
                noted.note(unhandled.to_string());
                panic!("and the handler panics as part of the test");
            })
            .build();
        pool.run(|| panic!("alas")).detach();
        pool.run(|| ()).wait().unwrap();
        assert_eq!(
            trace.take(),
            ["a job of a thread pool panicked and nobody awaits it: alas"]
        );
    }

    // Proves J3.
    #[test]
    fn destructors_that_panic_are_reported_and_end_nothing() {
        let trace = Trace::default();
        let noted = trace.clone();
        let pool = ThreadPool::builder()
            .max_threads(1)
            .on_unhandled(move |unhandled| noted.note(unhandled.message()))
            .build();
        // The closure of a job that is cancelled, here.
        let (gate, first) = occupy(&pool);
        let closure = PanicsOnDrop;
        drop(pool.run(move || drop(closure)));
        gate.open();
        first.wait().unwrap();
        // The value of one that nobody wants, there, and here.
        pool.run(|| PanicsOnDrop).discard();
        let job = pool.run(|| PanicsOnDrop);
        eventually("the job did not end", || job.is_finished());
        drop(job);
        // A payload: of no text, and with a destructor that panics.
        pool.run(|| std::panic::panic_any(7)).discard();
        pool.run(|| ()).wait().unwrap();
        assert_eq!(
            trace.take(),
            [
                "a job that did not run panicked when it was dropped",
                "the value of a job panicked when it was dropped",
                "the value of a job panicked when it was dropped",
                "a job of a thread pool panicked and nobody awaits it",
            ]
        );
    }
}

mod context {
    use super::*;

    static USER: ContextVar<String> = ContextVar::shared("user");
    static HOME: ContextVar<u32> = ContextVar::new("home");

    #[test]
    fn a_job_sees_the_values_that_may_cross_and_what_it_sets_stays_with_it() {
        run(async {
            let pool = pool_of(1);
            USER.set("ada".to_owned());
            HOME.set(1);
            let job = pool.run(|| {
                let seen = (USER.get(), HOME.get());
                USER.set("eve".to_owned());
                HOME.set(2);
                (seen, USER.get(), HOME.get())
            });
            USER.set("bob".to_owned()); // after the start: the job has its own
            let (seen, user, home) = job.await.unwrap();
            assert_eq!(seen, (Some("ada".to_owned()), None));
            assert_eq!((user.as_deref(), home), (Some("eve"), Some(2)));
            assert_eq!(USER.get().as_deref(), Some("bob"));
            // Nothing is left on the thread.
            let next = spawn(async move { pool.run(|| (USER.get(), HOME.get())).await });
            assert_eq!(next.await.unwrap().unwrap(), (Some("bob".to_owned()), None));
        });
    }

    #[test]
    fn a_job_without_a_loop_has_an_empty_context_that_can_be_set() {
        let pool = pool_of(1);
        let job = pool.run(|| {
            HOME.set(3);
            (USER.get(), HOME.get())
        });
        assert_eq!(job.wait().unwrap(), (None, Some(3)));
    }
}

mod loops {
    use super::*;
    use asyncio_loop::{EventLoop, sleep, time};
    use futures::future::{Either, select};
    use std::pin::pin;
    use std::time::Instant;

    fn on_virtual_time<R>(main: impl Future<Output = R>) -> R {
        let builder = EventLoop::builder().virtual_time(true);
        let mut event_loop = builder.build_loop().unwrap();
        event_loop.run_until_complete(main).unwrap()
    }

    // Proves J4.
    #[test]
    fn virtual_time_does_not_jump_over_a_job_that_is_awaited() {
        let answer = on_virtual_time(async {
            let pool = pool_of(1);
            let (gate, job) = occupy(&pool);
            thread::spawn(move || gate.open());
            let hour = pin!(sleep(Duration::from_secs(3600)));
            matches!(select(job, hour).await, Either::Left(_))
        });
        assert!(answer, "the clock jumped over the answer");
    }

    #[test]
    fn nor_over_one_that_was_started_elsewhere() {
        let pool = pool_of(1);
        let (gate, job) = occupy(&pool);
        let answer = on_virtual_time(async {
            let hour = pin!(sleep(Duration::from_secs(3600)));
            let answer = select(job, hour);
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(5));
                gate.open();
            });
            matches!(answer.await, Either::Left(_))
        });
        assert!(answer, "the clock jumped over the answer");
    }

    #[test]
    fn nor_over_the_end_of_a_pool() {
        on_virtual_time(async {
            let pool = pool_of(1);
            let (gate, job) = occupy(&pool);
            job.discard();
            pool.shutdown(asyncio_pool::Pending::Run);
            thread::spawn(move || gate.open());
            let hour = pin!(sleep(Duration::from_secs(3600)));
            let ended = pin!(pool.wait_closed());
            let ended = matches!(select(ended, hour).await, Either::Left(_));
            assert!(ended, "the clock jumped over the end");
        });
    }

    #[test]
    fn it_jumps_again_when_nobody_wants_what_is_out() {
        on_virtual_time(async {
            let pool = pool_of(1);
            let (gate, job) = occupy(&pool);
            drop(job);
            let (since, really) = (time(), Instant::now());
            sleep(Duration::from_secs(3600)).await;
            assert_eq!(time() - since, Duration::from_secs(3600));
            assert!(really.elapsed() < LONG);
            gate.open();
        });
    }

    #[test]
    fn a_loop_may_be_closed_while_its_jobs_are_out() {
        let pool = pool_of(1);
        let trace = Trace::default();
        let noted = trace.clone();
        let gate = run(async {
            let (gate, job) = occupy(&pool);
            spawn(job).detach();
            pool.run(move || noted.note("never: its task was cancelled"))
                .cancel();
            yield_now().await;
            gate
        });
        gate.open();
        pool.run(|| ()).wait().unwrap();
        assert_eq!(trace.take(), [""; 0]);
    }

    #[test]
    fn a_report_of_a_job_whose_loop_is_gone_harms_nobody() {
        let pool = pool_of(1);
        let gate = run(async {
            let (gate, first) = occupy(&pool);
            first.discard();
            pool.run(|| panic!("this panic is part of the test"))
                .detach();
            gate
        });
        gate.open();
        pool.run(|| ()).wait().unwrap();
    }

    #[test]
    fn many_tasks_wait_for_many_jobs() {
        run(async {
            let pool = pool_of(3);
            let tasks: Vec<_> = (0..1000)
                .map(|n| {
                    let pool = pool.clone();
                    spawn(async move { pool.run(move || n).await.unwrap() })
                })
                .collect();
            for (n, task) in tasks.into_iter().enumerate() {
                assert_eq!(task.await.unwrap(), n);
            }
        });
    }

    #[test]
    fn a_job_may_run_a_loop_that_has_jobs_of_the_same_pool() {
        let pool = pool_of(2);
        let inner = pool.clone();
        let job = pool.run(move || run(async move { inner.run(|| 7).await.unwrap() }));
        assert_eq!(job.wait().unwrap(), 7);
    }
}

#[test]
fn what_a_job_sends_arrives() {
    let (sender, receiver) = mpsc::channel();
    let pool = pool_of(2);
    let jobs: Vec<Job<()>> = (0..100)
        .map(|n| {
            let sender = sender.clone();
            pool.run(move || sender.send(n).unwrap())
        })
        .collect();
    drop(sender);
    for job in jobs {
        job.wait().unwrap();
    }
    let mut all: Vec<i32> = receiver.iter().collect();
    all.sort_unstable();
    assert_eq!(all, (0..100).collect::<Vec<_>>());
}
