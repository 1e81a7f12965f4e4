//! Several loops on threads of their own.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Gate, LONG, Trace, eventually, panic_of};
use asyncio_loop::{running_loop, set_exception_handler, sleep, spawn, yield_now};
use asyncio_pool::{LoopPool, StopError};

fn pool(loops: usize) -> LoopPool {
    LoopPool::builder().loops(loops).start().unwrap()
}

mod running {
    use super::*;

    #[test]
    fn each_loop_gets_a_value_and_runs_on_a_thread_of_its_own() {
        let pool = LoopPool::builder().loops(3).name("core").start().unwrap();
        let loops = pool.loops().clone();
        let tasks = pool.run_on_each(["a", "b", "c", "none"], move |value| {
            let loops = loops.clone();
            async move {
                let rc = Rc::new(RefCell::new(Vec::new())); // it need not be `Send`
                let inside = rc.clone();
                spawn(async move { inside.borrow_mut().push(value) })
                    .await
                    .unwrap();
                let name = thread::current().name().unwrap().to_owned();
                (loops.here().unwrap(), rc.take().remove(0), name)
            }
        });
        let seen: Vec<_> = tasks
            .unwrap()
            .into_iter()
            .map(|task| task.wait().unwrap())
            .collect();
        let expected = [(0, "a", "core-0"), (1, "b", "core-1"), (2, "c", "core-2")];
        let expected = expected.map(|(n, value, name)| (n, value, name.to_owned()));
        assert_eq!(seen, expected);
        assert_eq!((pool.len(), pool.loops().here()), (3, None));
        pool.stop(LONG).unwrap();
    }

    #[test]
    fn the_loops_run_at_the_same_time() {
        let pool = pool(3);
        let meet = Arc::new(Barrier::new(3));
        let tasks = pool.run_on_each(0..3, move |_| {
            let meet = meet.clone();
            async move { meet.wait().is_leader() }
        });
        let leaders = tasks.unwrap().into_iter().map(|task| task.wait().unwrap());
        assert_eq!(leaders.filter(|leads| *leads).count(), 1);
    }

    #[test]
    fn turns_go_round_past_loops_that_are_closed() {
        let pool = pool(3);
        let loops = pool.loops().clone();
        let number = || {
            let loops = loops.clone();
            pool.run(move || async move { loops.here().unwrap() })
                .unwrap()
        };
        assert_eq!([(); 6].map(|()| number()), [0, 1, 2, 0, 1, 2]);
        loops.get(1).unwrap().stop();
        eventually("the loop did not end", || loops.get(1).unwrap().is_closed());
        let mut seen = [(); 6].map(|()| number());
        seen.sort_unstable();
        assert!(!seen.contains(&1), "{seen:?}");
        eventually("its thread did not end", || pool.is_finished(1));
        assert!(!pool.is_finished(0) && pool.is_finished(9));
        assert!(pool.run_on_each(0..3, |_| async {}).is_err());
        assert!(pool.run_on_each(0..1, |_| async {}).is_ok());
        pool.stop(LONG).unwrap();
        assert!(loops.pick().is_closed(), "there is none left");
    }

    /// Each loop sends what it gets to the next one, round and round.
    #[test]
    fn a_job_goes_from_loop_to_loop() {
        let pool = pool(4);
        let loops = pool.loops().clone();
        let (tell, told) = mpsc::channel();
        fn hop(loops: asyncio_pool::Loops, path: Vec<usize>, tell: mpsc::Sender<Vec<usize>>) {
            let here = loops.here().unwrap();
            let path = [path, vec![here]].concat();
            if path.len() == 9 {
                return tell.send(path).unwrap();
            }
            let next = loops.get((here + 1) % loops.len()).unwrap().clone();
            let sent = next.call_soon_threadsafe(move || hop(loops, path, tell));
            sent.unwrap();
        }
        let first = loops.get(2).unwrap().clone();
        first
            .call_soon_threadsafe(move || hop(loops, Vec::new(), tell))
            .unwrap();
        let path = told.recv_timeout(LONG).unwrap();
        assert_eq!(path, [2, 3, 0, 1, 2, 3, 0, 1, 2]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn pinned_loops_stay_on_one_processor_each() {
        use rustix::thread::{CpuSet, sched_getaffinity};
        let cpus = |set: &CpuSet| {
            (0..CpuSet::MAX_CPU)
                .filter(|cpu| set.is_set(*cpu))
                .collect::<Vec<_>>()
        };
        let all = cpus(&sched_getaffinity(None).unwrap());
        let pool = LoopPool::builder()
            .loops(all.len() + 1)
            .pinned(true)
            .start()
            .unwrap();
        let seen = pool.run_on_each(0..pool.len(), move |_| async move {
            cpus(&sched_getaffinity(None).unwrap())
        });
        for (number, seen) in seen.unwrap().into_iter().enumerate() {
            assert_eq!(seen.wait().unwrap(), [all[number % all.len()]]);
        }
    }

    #[test]
    fn it_is_set_up_before_anything_else() {
        let trace = Trace::default();
        let noted = trace.clone();
        let pool = LoopPool::builder()
            .loops(2)
            .on_start(move |number| {
                let reports = noted.clone();
                set_exception_handler(move |report| reports.note(format!("{number}: {report}")));
            })
            .start()
            .unwrap();
        for event_loop in pool.loops().iter() {
            event_loop.call_soon_threadsafe(|| panic!("oh")).unwrap();
        }
        pool.stop(LONG).unwrap();
        let mut trace = trace.take();
        trace.sort();
        assert_eq!(trace.len(), 2, "{trace:?}");
        assert!(trace[0].starts_with("0: a callback panicked: oh"));
        assert!(trace[1].starts_with("1: a callback panicked: oh"));
    }

    #[test]
    fn a_report_of_its_setting_up_names_the_program() {
        let trace = Trace::default();
        let noted = trace.clone();
        let setting_up = move |_| {
            let reports = noted.clone();
            set_exception_handler(move |report| reports.note(report.to_string()));
            panic!("oh");
        };
        let builder = LoopPool::builder().loops(1).on_start(setting_up);
        builder.start().unwrap().stop(LONG).unwrap();
        let [report] = &trace.take()[..] else {
            panic!("there is one");
        };
        assert!(report.contains("tests/it/loop_pools.rs"), "{report}");
    }
}

mod the_end {
    use super::*;

    /// Starts a task on each of three loops, whose futures go away together, and ends the pool.
    fn ended_by(end: impl FnOnce(LoopPool)) {
        let pool = pool(3);
        let trace = Trace::default();
        let meet = Arc::new(Barrier::new(3));
        let (tell, told) = mpsc::channel();
        let noted = trace.clone();
        let tasks = pool.run_on_each(0..3, move |number| {
            let guard = MeetsOthers(meet.clone(), noted.clone());
            let tell = tell.clone();
            async move {
                tell.send(()).unwrap();
                std::future::pending::<()>().await;
                drop((number, guard));
            }
        });
        let tasks = tasks.unwrap();
        (0..3).for_each(|_| told.recv_timeout(LONG).unwrap());
        end(pool);
        assert_eq!(trace.take(), ["ended", "ended", "ended"]);
        for task in tasks {
            assert!(task.wait().unwrap_err().is_cancelled());
        }
    }

    #[test]
    fn all_loops_end_at_the_same_time_and_work_in_flight_is_cleaned_up() {
        ended_by(|pool| pool.stop(LONG).unwrap());
        ended_by(|pool| {
            let since = Instant::now();
            drop(pool);
            let grace = Duration::from_secs(10);
            assert!(since.elapsed() < grace, "a loop has waited for another");
        });
    }

    /// Goes away only together with those of the other loops.
    struct MeetsOthers(Arc<Barrier>, Trace);

    impl Drop for MeetsOthers {
        fn drop(&mut self) {
            self.0.wait();
            self.1.note("ended");
        }
    }

    #[test]
    fn dropping_it_stops_all_loops_and_waits() {
        let pool = pool(2);
        let loops = pool.loops().clone();
        drop(pool);
        assert!(loops.iter().all(asyncio_loop::LoopHandle::is_closed));
        assert!(loops.get(0).unwrap().spawn(|| async {}).is_err());
    }

    #[test]
    fn a_loop_that_is_blocked_is_told_of_and_keeps_no_other_from_ending() {
        let pool = pool(3);
        let loops = pool.loops().clone();
        let gate = Gate::default();
        let inner = gate.clone();
        let blocking = loops.get(1).unwrap();
        blocking.call_soon_threadsafe(move || inner.pass()).unwrap();
        let since = Instant::now();
        let error = pool.stop(Duration::from_millis(50)).unwrap_err();
        assert!(since.elapsed() < LONG);
        assert!(
            matches!(error.errors(), [(1, StopError::Blocked(_))]),
            "{error}"
        );
        assert!(error.to_string().starts_with("loop 1: "), "{error}");
        assert!(loops.get(0).unwrap().is_closed() && loops.get(2).unwrap().is_closed());
        gate.open();
        eventually("it ends all the same", || loops.get(1).unwrap().is_closed());
    }

    #[test]
    fn panics_on_one_loop_end_no_loop() {
        let pool = LoopPool::builder()
            .loops(2)
            .on_start(|_| set_exception_handler(|_| panic!("the handler, as part of the test")))
            .start()
            .unwrap();
        let bad = pool.loops().get(1).unwrap();
        let task = bad.run_coroutine_threadsafe(|| async { panic!("the task") });
        bad.call_soon_threadsafe(|| panic!("the callback, as part of the test"))
            .unwrap();
        bad.spawn(|| async { panic!("nobody awaits it, as part of the test") })
            .unwrap();
        assert!(task.unwrap().wait().unwrap_err().is_panic());
        for _ in 0..4 {
            assert_eq!(pool.run(|| async { 1 }).unwrap(), 1);
        }
        pool.stop(LONG).unwrap();
    }

    #[test]
    fn a_loop_that_ends_by_itself_leaves_the_others() {
        let pool = pool(3);
        let loops = pool.loops().clone();
        let ends = loops.get(1).unwrap();
        let waits = ends.run_coroutine_threadsafe(|| async {
            std::future::pending::<()>().await;
        });
        ends.call_soon_threadsafe(|| running_loop().stop()).unwrap();
        eventually("the loop did not end", || pool.is_finished(1));
        assert!(waits.unwrap().wait().unwrap_err().is_cancelled());
        for _ in 0..4 {
            assert_eq!(pool.run(|| async { 1 }).unwrap(), 1);
        }
        pool.stop(LONG).unwrap();
    }

    #[test]
    fn to_stop_it_on_one_of_its_loops_is_a_panic_and_to_drop_it_there_does_not_wait() {
        let pool = pool(2);
        let loops = pool.loops().clone();
        let (sender, receiver) = mpsc::channel::<LoopPool>();
        let message = loops
            .get(0)
            .unwrap()
            .run_coroutine_threadsafe(|| async move {
                let own = receiver.recv().unwrap();
                panic_of(|| own.stop(LONG))
            });
        sender.send(pool).unwrap();
        let message = message.unwrap().wait().unwrap();
        assert!(message.contains("cannot wait for the end of its own pool"));
        eventually("the loops did not end", || {
            loops.iter().all(asyncio_loop::LoopHandle::is_closed)
        });
    }
}

mod under_load {
    use super::*;

    /// Thousands of calls from several threads while the pool ends: each has its value, or is told that it has none,
    /// and none is run twice.
    #[test]
    fn calls_during_the_end_are_run_once_or_refused() {
        const THREADS: usize = 4;
        const MOST: usize = 5_000;
        for round in 0..4 {
            // Calls that come until the very end are dropped and reported. This test ignores the reports.
            let pool = LoopPool::builder()
                .loops(2)
                .on_start(|_| set_exception_handler(|_| ()))
                .start()
                .unwrap();
            let loops = pool.loops().clone();
            let run = Arc::new(Mutex::new(vec![0_u8; THREADS * MOST]));
            let begun = Arc::new(Barrier::new(THREADS + 1));
            let callers: Vec<_> = (0..THREADS)
                .map(|caller| {
                    let (loops, run, begun) = (loops.clone(), run.clone(), begun.clone());
                    thread::spawn(move || {
                        begun.wait();
                        let mut calls = Vec::new();
                        for n in caller * MOST..(caller + 1) * MOST {
                            let run = run.clone();
                            let make = move || async move {
                                yield_now().await;
                                run.lock().unwrap()[n] += 1;
                            };
                            match loops.pick().run_coroutine_threadsafe(make) {
                                Ok(call) => calls.push((n, call)),
                                Err(_closed) => break,
                            }
                        }
                        let outcomes = calls.into_iter().map(|(n, call)| (n, call.wait().is_ok()));
                        outcomes.collect::<Vec<_>>()
                    })
                })
                .collect();
            begun.wait();
            thread::sleep(Duration::from_millis(round));
            pool.stop(LONG).unwrap();
            for caller in callers {
                for (n, was_run) in caller.join().unwrap() {
                    assert_eq!(run.lock().unwrap()[n], u8::from(was_run), "call {n}");
                }
            }
            assert!(run.lock().unwrap().iter().all(|times| *times <= 1));
        }
    }

    #[test]
    fn a_timer_of_one_loop_is_not_held_up_by_another() {
        let pool = pool(2);
        let gate = Gate::default();
        let inner = gate.clone();
        let busy = pool.loops().get(0).unwrap();
        busy.call_soon_threadsafe(move || inner.pass()).unwrap();
        let slept = pool.loops().get(1).unwrap();
        let slept = slept.run_coroutine_threadsafe(|| sleep(Duration::from_millis(1)));
        assert!(slept.unwrap().wait_timeout(LONG).is_ok());
        gate.open();
    }
}
