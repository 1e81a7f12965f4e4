//! Pools: their threads, their order, their limits and their end.

use std::cell::RefCell;
use std::collections::HashSet;
use std::panic::panic_any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::task::Context;
use std::thread;
use std::time::Duration;

use crate::support::{Gate, LONG, Trace, eventually, occupy, panic_of, pool_of};
use asyncio_loop::{run, spawn, yield_now};
use asyncio_pool::{Job, JobError, Pending, ThreadPool, TryRunError};
use asyncio_testkit::CountingWaker;

mod threads {
    use super::*;

    #[test]
    fn none_is_started_before_a_job_needs_it() {
        let pool = ThreadPool::new();
        assert_eq!(pool.threads(), 0);
        pool.run(|| ()).wait().unwrap();
        assert_eq!(pool.threads(), 1);
    }

    #[test]
    fn who_starts_one_job_after_the_other_needs_one() {
        let pool = pool_of(8);
        run(async {
            for _ in 0..1000 {
                pool.run(|| ()).await.unwrap();
            }
        });
        for _ in 0..1000 {
            pool.run(|| ()).wait().unwrap();
        }
        assert_eq!(pool.threads(), 1);
    }

    #[test]
    fn there_are_as_many_as_jobs_up_to_the_limit() {
        let pool = pool_of(3);
        let barrier = Arc::new(Barrier::new(3));
        let meet = || {
            let barrier = barrier.clone();
            pool.run(move || {
                barrier.wait();
                thread::current().id()
            })
        };
        // Three at a time, or nobody passes.
        let jobs: Vec<_> = (0..9).map(|_| meet()).collect();
        let threads = jobs.into_iter().map(|job| job.wait().unwrap());
        assert_eq!(threads.collect::<HashSet<_>>().len(), 3);
        assert_eq!(pool.threads(), 3);
    }

    #[test]
    fn all_idle_ones_come_to_a_crowd_of_jobs_that_block() {
        let pool = pool_of(4);
        let meet = |barrier: &Arc<Barrier>| {
            let barrier = barrier.clone();
            pool.run(move || {
                barrier.wait();
            })
        };
        for _ in 0..200 {
            // Four at a time, or nobody passes. After the first round, four threads are idle or about to be.
            let barrier = Arc::new(Barrier::new(4));
            let jobs: Vec<_> = (0..4).map(|_| meet(&barrier)).collect();
            jobs.into_iter().for_each(|job| job.wait().unwrap());
        }
        assert_eq!(pool.threads(), 4);
    }

    #[test]
    fn one_that_is_slow_to_start_holds_up_no_idle_one() {
        let (gate, starts) = (Gate::default(), AtomicUsize::new(0));
        let pool = ThreadPool::builder()
            .max_threads(2)
            .on_thread_start({
                let gate = gate.clone();
                move || {
                    if starts.fetch_add(1, Ordering::SeqCst) == 1 {
                        gate.pass();
                    }
                }
            })
            .build();
        let (first, busy) = occupy(&pool);
        // The second thread is started for this job, and is held up by its handler.
        let waits = pool.run(|| ());
        first.open();
        waits.wait().unwrap();
        pool.run(|| ()).wait().unwrap();
        busy.wait().unwrap();
        gate.open();
    }

    #[test]
    fn those_that_are_idle_end_and_come_again() {
        let pool = ThreadPool::builder()
            .keep_alive(Duration::from_millis(5))
            .build();
        for _ in 0..3 {
            pool.run(|| ()).wait().unwrap();
            eventually("the thread did not end", || pool.threads() == 0);
        }
    }

    #[test]
    fn they_have_the_stack_that_is_asked_for() {
        const LARGE: usize = 32 << 20;

        #[inline(never)]
        fn sum(from: u8) -> usize {
            let bytes = std::hint::black_box([from; LARGE / 8]);
            bytes
                .iter()
                .step_by(4096)
                .map(|&byte| usize::from(byte))
                .sum()
        }

        let pool = ThreadPool::builder().stack_size(LARGE).build();
        assert_eq!(pool.run(|| sum(1)).wait().unwrap(), LARGE / 8 / 4096);
    }

    #[test]
    fn they_have_names_that_are_counted() {
        let name = || thread::current().name().map(str::to_owned);
        let pool = ThreadPool::builder()
            .name("di\0sk")
            .keep_alive(Duration::ZERO)
            .build();
        assert_eq!(pool.run(name).wait().unwrap().as_deref(), Some("disk-0"));
        eventually("the thread did not end", || pool.threads() == 0);
        assert_eq!(pool.run(name).wait().unwrap().as_deref(), Some("disk-1"));
    }

    #[test]
    fn handlers_are_called_on_each_one_and_may_panic() {
        let trace = Trace::default();
        let (starts, stops, reports) = (trace.clone(), trace.clone(), trace.clone());
        let name = || thread::current().name().unwrap_or_default().to_owned();
        let pool = ThreadPool::builder()
            .max_threads(1)
            .on_thread_start(move || {
                starts.note(format!("{} starts", name()));
                panic!("this panic is part of the test");
            })
            .on_thread_stop(move || {
                stops.note(format!("{} stops", name()));
                panic!("this panic is part of the test");
            })
            .on_unhandled(move |unhandled| reports.note(unhandled.message()))
            .build();
        pool.run(|| ()).wait().unwrap();
        pool.shutdown(Pending::Run);
        pool.wait();
        assert_eq!(
            trace.take(),
            [
                "asyncio-0 starts",
                "a pool's `on_thread_start` panicked",
                "asyncio-0 stops",
                "a pool's `on_thread_stop` panicked",
            ]
        );
    }

    #[test]
    fn handlers_may_panic_with_what_panics_when_it_is_dropped() {
        let reports = Trace::default();
        let noted = reports.clone();
        let pool = ThreadPool::builder()
            .max_threads(1)
            .on_thread_start(|| panic_any(HardBomb))
            .on_thread_stop(|| panic_any(HardBomb))
            .on_unhandled(move |unhandled| {
                noted.note(unhandled.message());
                panic_any(HardBomb)
            })
            .build();
        assert_eq!(pool.run(|| 5).wait_timeout(LONG).unwrap().unwrap(), 5);
        pool.run(|| panic_any(HardBomb)).detach();
        pool.shutdown(Pending::Run);
        assert!(pool.wait_timeout(LONG));
        assert_eq!(
            reports.take(),
            [
                "a pool's `on_thread_start` panicked",
                "a job of a thread pool panicked and nobody awaits it",
                "a pool's `on_thread_stop` panicked",
            ]
        );
    }

    struct HardBomb;

    impl Drop for HardBomb {
        fn drop(&mut self) {
            panic!("this panic is part of the test")
        }
    }

    #[test]
    fn where_none_can_be_had_jobs_end_with_an_error() {
        let trace = Trace::default();
        // More than there is address space.
        let pool = ThreadPool::builder().stack_size(1 << 60).build();
        let job = pool.run({
            let closure = trace.on_drop("closure");
            move || drop(closure)
        });
        assert!(matches!(job.wait(), Err(JobError::NoThread(_))));
        assert_eq!(trace.take(), ["closure dropped: here"]);
        // Each one gives its place in the share back.
        let share = pool.share(1);
        for _ in 0..3 {
            let job = share.run(|| ());
            assert!(matches!(
                job.wait_timeout(LONG),
                Ok(Err(JobError::NoThread(_)))
            ));
        }
        assert_eq!((pool.threads(), pool.pending()), (0, 0));
        pool.shutdown(Pending::Run);
        pool.wait();
    }
}

mod order {
    use super::*;

    // Proves C1.
    #[test]
    fn jobs_are_begun_as_they_came() {
        let pool = pool_of(1);
        let trace = Trace::default();
        let (gate, _first) = occupy(&pool);
        let note = |n: u32| {
            let trace = trace.clone();
            pool.run(move || trace.note(n.to_string()))
        };
        let mut jobs: Vec<_> = (0..6).map(note).collect();
        jobs.remove(2).cancel();
        gate.open();
        for job in jobs {
            job.wait().unwrap();
        }
        assert_eq!(trace.take(), ["0", "1", "3", "4", "5"]);
    }
}

mod bounded {
    use super::*;

    fn bounded(threads: usize, limit: usize) -> ThreadPool {
        ThreadPool::builder()
            .max_threads(threads)
            .queue_limit(limit)
            .build()
    }

    #[test]
    fn a_job_that_finds_no_room_is_given_back() {
        let pool = bounded(1, 2);
        let (gate, _first) = occupy(&pool);
        let waiting = [pool.try_run(|| 1).unwrap(), pool.try_run(|| 2).unwrap()];
        let refused = pool.try_run(|| 3).unwrap_err();
        assert!(matches!(refused, TryRunError::Full(_)));
        assert_eq!(refused.into_inner()(), 3);
        let [one, two] = waiting;
        assert!(one.cancel());
        let three = pool.try_run(|| 3).unwrap();
        gate.open();
        assert_eq!((two.wait().unwrap(), three.wait().unwrap()), (2, 3));
    }

    #[test]
    fn a_job_is_accepted_when_there_is_room() {
        let pool = bounded(1, 1);
        let trace = Trace::default();
        run(async {
            let (gate, _first) = occupy(&pool);
            let mut jobs: Vec<Job<u32>> = Vec::new();
            for n in 0..4 {
                jobs.push(pool.run(move || n));
            }
            let mut waits = Vec::new();
            for (n, mut job) in jobs.into_iter().enumerate() {
                let trace = trace.clone();
                waits.push(spawn(async move {
                    job.accepted().await;
                    trace.note(format!("{n} is accepted"));
                    job.await.unwrap()
                }));
            }
            yield_now().await;
            assert_eq!(trace.take(), ["0 is accepted"]);
            assert!(matches!(pool.try_run(|| ()), Err(TryRunError::Full(_))));
            gate.open();
            for (n, wait) in (0..).zip(waits) {
                assert_eq!(wait.await.unwrap(), n);
            }
            assert_eq!(trace.take().len(), 3);
        });
    }

    #[test]
    fn a_place_that_is_given_up_goes_to_the_next() {
        let pool = bounded(1, 1);
        let (gate, _first) = occupy(&pool);
        let [first, second, mut third] = [0, 1, 2].map(|n| pool.run(move || n));
        drop(second);
        assert!(first.cancel());
        run(async { third.accepted().await });
        assert!(!third.has_begun());
        gate.open();
        assert_eq!(third.wait().unwrap(), 2);
    }

    #[test]
    fn with_a_limit_of_none_a_job_is_accepted_when_a_thread_is_free() {
        let pool = bounded(2, 0);
        let (first_gate, first) = occupy(&pool);
        let (second_gate, second) = occupy(&pool);
        assert!(matches!(pool.try_run(|| ()), Err(TryRunError::Full(_))));
        let waiting = pool.run(|| 7);
        first_gate.open();
        assert_eq!(waiting.wait().unwrap(), 7);
        second_gate.open();
        first.wait().unwrap();
        second.wait().unwrap();
        eventually("both threads are free", || pool.idle_threads() == 2);
        assert_eq!(pool.try_run(|| 7).unwrap().wait().unwrap(), 7);
    }

    // Proves C4.
    #[test]
    fn jobs_outside_run_when_the_pool_is_shut_down() {
        let pool = bounded(1, 0);
        let (gate, first) = occupy(&pool);
        let jobs: Vec<_> = (0..5).map(|n| pool.run(move || n)).collect();
        pool.shutdown(Pending::Run);
        gate.open();
        first.wait().unwrap();
        for (n, job) in jobs.into_iter().enumerate() {
            assert_eq!(job.wait().unwrap(), n);
        }
        pool.wait();
    }
}

mod shares {
    use super::*;

    #[test]
    fn a_share_takes_so_many_threads_and_no_more() {
        let pool = pool_of(4);
        let share = pool.share(2);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let jobs: Vec<_> = (0..200)
            .map(|_| {
                let (now, most) = (now.clone(), most.clone());
                share.run(move || {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::yield_now();
                    now.fetch_sub(1, Ordering::SeqCst);
                })
            })
            .collect();
        for job in jobs {
            job.wait().unwrap();
        }
        assert!(most.load(Ordering::SeqCst) <= 2);
    }

    #[test]
    fn a_job_that_ends_leaves_one_place() {
        let pool = pool_of(4);
        let share = pool.share(2);
        let begin = || {
            let (begun, gate) = (Gate::default(), Gate::default());
            let (tells, waits) = (begun.clone(), gate.clone());
            let job = share.run(move || {
                tells.open();
                waits.pass();
            });
            begun.pass();
            (gate, job)
        };
        let [(first_gate, first), (second_gate, second)] = [begin(), begin()];
        first_gate.open();
        first.wait().unwrap();
        let (third_gate, third) = begin();
        let fourth = share.run(|| ());
        pool.run(|| ()).wait().unwrap();
        assert!(!fourth.has_begun());
        second_gate.open();
        third_gate.open();
        for job in [second, third, fourth] {
            job.wait().unwrap();
        }
    }

    #[test]
    fn jobs_of_others_pass_those_that_wait_in_a_share() {
        let pool = pool_of(2);
        let share = pool.share(1);
        let gate = Gate::default();
        let inside = gate.clone();
        let first = share.run(move || inside.pass());
        let second = share.run(|| 2);
        assert_eq!(pool.run(|| 1).wait().unwrap(), 1);
        assert!(!second.has_begun());
        gate.open();
        first.wait().unwrap();
        assert_eq!(second.wait().unwrap(), 2);
    }

    #[test]
    fn a_place_passes_on_when_its_job_is_cancelled_or_panics() {
        let pool = pool_of(1);
        let share = pool.share(1);
        let (gate, first) = occupy(&pool);
        let has_place = share.run(|| ());
        let held = share.run(|| ());
        assert_eq!(pool.pending(), 2);
        let panics = share.run(|| panic!("this panic is part of the test"));
        let last = share.run(|| 7);
        assert!(held.cancel(), "one that is held");
        assert!(has_place.cancel(), "one that is in the queue");
        gate.open();
        first.wait().unwrap();
        panics.wait().unwrap_err();
        assert_eq!(last.wait().unwrap(), 7);
        assert_eq!(pool.pending(), 0);
    }

    #[test]
    fn a_share_of_a_bounded_pool_keeps_its_line() {
        let pool = ThreadPool::builder().max_threads(1).queue_limit(1).build();
        let share = pool.share(1);
        let (gate, first) = occupy(&pool);
        let trace = Trace::default();
        let note = |what: &'static str| {
            let trace = trace.clone();
            move || trace.note(what)
        };
        let jobs = [
            share.run(note("share 1")),
            share.run(note("share 2")),
            pool.run(note("pool 1")),
            share.run(note("share 3")),
        ];
        assert!(matches!(
            share.try_run(note("no")),
            Err(TryRunError::Full(_))
        ));
        gate.open();
        first.wait().unwrap();
        for job in jobs {
            job.wait().unwrap();
        }
        // When the share has a place again, its next job stands where it came.
        assert_eq!(trace.take(), ["share 1", "share 2", "pool 1", "share 3"]);
    }

    #[test]
    fn a_share_keeps_its_pool() {
        let share = pool_of(1).share(3);
        assert_eq!(share.run(|| 7).wait().unwrap(), 7);
        assert!(!share.pool().is_closed());
        assert_eq!((share.limit(), share.pool().share(0).limit()), (3, 1));
    }
}

mod the_end {
    use super::*;

    #[test]
    fn jobs_that_wait_run_and_later_ones_are_refused() {
        let pool = pool_of(1);
        let trace = Trace::default();
        let (gate, first) = occupy(&pool);
        let second = pool.run(|| 2);
        pool.shutdown(Pending::Run);
        assert!(pool.is_closed());
        let closure = trace.on_drop("closure");
        let late = pool.run(move || drop(closure));
        assert!(matches!(late.wait(), Err(JobError::Closed)));
        assert_eq!(trace.take(), ["closure dropped: here"]);
        let late = pool.try_run(|| 3).unwrap_err();
        assert!(matches!(late, TryRunError::Closed(_)));
        assert_eq!(late.into_inner()(), 3);
        assert!(!pool.wait_timeout(Duration::from_millis(1)));
        gate.open();
        first.wait().unwrap();
        assert_eq!(second.wait().unwrap(), 2);
        pool.wait();
        assert_eq!(pool.threads(), 0);
    }

    #[test]
    fn jobs_that_wait_may_be_cancelled_and_one_that_runs_runs_on() {
        let pool = ThreadPool::builder().max_threads(1).queue_limit(2).build();
        let share = pool.share(1);
        let (gate, first) = occupy(&pool);
        let jobs = [
            pool.run(|| ()),
            share.run(|| ()),
            share.run(|| ()),
            pool.run(|| ()),
        ];
        pool.shutdown(Pending::Run);
        pool.shutdown(Pending::Cancel);
        for job in jobs {
            assert!(matches!(job.wait(), Err(JobError::Cancelled)));
        }
        assert_eq!(pool.pending(), 0);
        gate.open();
        first.wait().unwrap();
        pool.wait();
    }

    #[test]
    fn tasks_wait_for_it_and_one_may_give_up() {
        run(async {
            let pool = pool_of(2);
            let (gate, first) = occupy(&pool);
            let wait = || {
                let pool = pool.clone();
                spawn(async move { pool.wait_closed().await })
            };
            let [one, two, three] = [wait(), wait(), wait()];
            yield_now().await;
            two.cancel();
            assert!(two.await.is_err());
            pool.shutdown(Pending::Run);
            gate.open();
            one.await.unwrap();
            three.await.unwrap();
            first.await.unwrap();
            pool.wait_closed().await; // it is over
        });
    }

    #[test]
    fn a_wait_that_is_given_up_leaves_no_waker() {
        let pool = pool_of(1);
        let (counting, waker) = CountingWaker::new();
        let mut wait = Box::pin(pool.wait_closed());
        let mut cx = Context::from_waker(&waker);
        for _ in 0..2 {
            assert!(wait.as_mut().poll(&mut cx).is_pending());
        }
        assert_eq!(Arc::strong_count(&counting), 3, "the pool has one");
        drop(wait);
        assert_eq!(Arc::strong_count(&counting), 2);
    }

    /// A thread has ended only after the destructors of its thread-locals.
    #[test]
    fn a_wait_without_a_loop_is_over_after_the_last_destructor() {
        struct Slow(Trace);

        impl Drop for Slow {
            fn drop(&mut self) {
                thread::sleep(Duration::from_millis(20));
                self.0.note("destroyed");
            }
        }

        thread_local!(static SLOW: RefCell<Option<Slow>> = const { RefCell::new(None) });
        let pool = pool_of(1);
        let trace = Trace::default();
        let slow = Slow(trace.clone());
        let job = pool.run(move || SLOW.with(|place| place.replace(Some(slow)).is_none()));
        assert!(job.wait().unwrap());
        pool.shutdown(Pending::Run);
        pool.wait();
        assert_eq!(trace.take(), ["destroyed"]);
    }

    #[test]
    fn a_pool_that_is_dropped_does_what_it_was_given() {
        let trace = Trace::default();
        let pool = pool_of(1);
        let (gate, first) = occupy(&pool);
        let noted = trace.clone();
        let (sender, ended) = mpsc::channel();
        let second = pool.run(move || {
            noted.note("it runs");
            sender.send(()).unwrap();
        });
        drop(pool); // and does not wait
        gate.open();
        ended.recv_timeout(LONG).unwrap();
        first.wait().unwrap();
        second.wait().unwrap();
        assert_eq!(trace.take(), ["it runs"]);
    }

    // Proves C5.
    #[test]
    fn a_job_may_drop_the_last_handle_of_its_pool() {
        let pool = pool_of(1);
        let (gate, first) = occupy(&pool);
        let inside = pool.clone();
        let second = pool.run(move || drop(inside));
        drop(pool);
        gate.open();
        first.wait().unwrap();
        second.wait().unwrap();
    }

    #[test]
    fn a_job_may_give_its_own_pool_more_to_do() {
        let pool = pool_of(1);
        let inside = pool.clone();
        let inner = pool.run(move || inside.run(|| 7)).wait().unwrap();
        assert_eq!(inner.wait().unwrap(), 7);
    }

    #[test]
    fn a_job_that_would_wait_for_itself_panics() {
        let pool = pool_of(1);
        let inside = pool.clone();
        let message = pool.run(move || panic_of(|| inside.wait())).wait().unwrap();
        assert!(message.starts_with("a job that waits for the end of its own pool"));
        let inside = pool.clone();
        let message = pool.run(move || panic_of(|| inside.wait_timeout(LONG)));
        assert!(message.wait().unwrap().starts_with("a job that waits"));
        let inside = pool.clone();
        let on_a_loop = move || run(async move { inside.wait_closed().await });
        let message = pool.run(move || panic_of(on_a_loop));
        assert!(message.wait().unwrap().starts_with("a job that waits"));
    }

    #[test]
    fn one_without_threads_ends_at_once() {
        let pool = ThreadPool::new();
        pool.shutdown(Pending::Run);
        pool.wait();
        pool.shutdown(Pending::Cancel);
        run(async { pool.wait_closed().await });
    }
}

/// Thousands of jobs from several threads, cancelled, dropped and detached, while the pool is shut down: each one ends,
/// and each closure runs or is dropped, once.
#[test]
fn nothing_is_lost_or_done_twice_in_a_storm() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    const EACH: usize = 2000;
    for round in 0..6 {
        let mut builder = ThreadPool::builder()
            .max_threads(3)
            .keep_alive(Duration::from_micros(200))
            .on_unhandled(|_| ()); // of detached jobs that are refused
        if round % 2 == 1 {
            builder = builder.queue_limit(round);
        }
        let pool = builder.build();
        let share = pool.share(1);
        let (gone, ran) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        thread::scope(|scope| {
            for sender in 0..4 {
                let (pool, share, gone, ran) = (&pool, &share, &gone, &ran);
                scope.spawn(move || {
                    for n in 0..EACH {
                        let (counted, ran) = (Counted(gone.clone()), ran.clone());
                        let job = move || {
                            ran.fetch_add(1, Ordering::SeqCst);
                            drop(counted);
                        };
                        let job = match (n + sender) % 3 {
                            0 => share.run(job),
                            _ => pool.run(job),
                        };
                        match n % 5 {
                            0 => drop(job),
                            1 => {
                                let was_cancelled = job.cancel();
                                let outcome = job.wait();
                                assert!(!was_cancelled || outcome.is_err());
                            }
                            2 => job.discard(),
                            _ => match job.wait() {
                                Ok(()) | Err(JobError::Closed | JobError::Cancelled) => {}
                                Err(error) => panic!("{error}"),
                            },
                        }
                    }
                });
            }
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(3));
                pool.shutdown(match round % 3 {
                    0 => Pending::Cancel,
                    _ => Pending::Run,
                });
            });
        });
        pool.wait();
        assert_eq!(gone.load(Ordering::SeqCst), 4 * EACH);
        assert!(ran.load(Ordering::SeqCst) <= 4 * EACH);
        assert_eq!((pool.threads(), pool.pending()), (0, 0));
    }
}
