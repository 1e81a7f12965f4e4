//! Worker processes: what they are given and give back, how they fail, and that none is left behind.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use asyncio::{
    JoinError, Pending, ProcessError, ProcessJob, ProcessPool, ProcessPoolBuilder, run,
    running_loop, sleep, spawn, time, timeout, yield_now,
};
use asyncio_testkit::poll_once;
use asyncio_tests::remote::{self, *};
use asyncio_tests::{Child, ms, run_virtual, secs};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

const PROGRAM: &str = env!("CARGO_BIN_EXE_asyncio-test-worker");

/// A pool of this many workers of the test's program.
fn builder(workers: usize) -> ProcessPoolBuilder {
    // A machine that is busy takes its time.
    let builder = ProcessPool::builder().start_timeout(secs(30));
    builder.workers(workers).program(PROGRAM)
}

fn pool(workers: usize) -> ProcessPool {
    builder(workers).build()
}

/// A pool whose workers do what the scene says.
fn scene(words: &[&str]) -> ProcessPoolBuilder {
    let all = words.iter().copied();
    all.fold(builder(2), |builder, word| builder.arg(word))
}

fn kill(pid: u32) {
    // It may have ended.
    let _ = kill_process(as_pid(pid), Signal::KILL);
}

fn as_pid(pid: u32) -> Pid {
    Pid::from_raw(pid as i32).unwrap()
}

/// Waits until no process has this number.
fn has_gone(pid: u32) {
    let since = Instant::now();
    while test_kill_process(as_pid(pid)).is_ok() {
        assert!(since.elapsed() < secs(30), "process {pid} is there");
        std::thread::sleep(ms(2));
    }
}

/// A file of this test, which is not there.
fn file(name: &str) -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_file(&path);
    let text = path.to_str().unwrap().to_owned();
    (path, text)
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < secs(30), "{what}");
        sleep(ms(2)).await;
    }
}

mod calls {
    use super::*;

    #[test]
    fn a_function_is_called_with_its_arguments_and_gives_its_value() {
        run(async {
            let pool = pool(2);
            assert_eq!(pool.run(nothing, ()).await.unwrap(), ());
            assert_eq!(pool.run(double, 21).await.unwrap(), 42);
            assert_eq!(pool.run(power, (3, 4)).await.unwrap(), 81);
            assert_eq!(pool.run(parsed, "7".to_owned()).await.unwrap(), Ok(7));
            let error = pool.run(parsed, "x".to_owned()).await.unwrap();
            assert_eq!(error.unwrap_err(), "\"x\": invalid digit found in string");
            let there = pool.run(remote::pid, ()).await.unwrap();
            assert_ne!(there, std::process::id());
        });
    }

    #[test]
    fn types_of_ones_own_go_there_and_back() {
        let shapes = [
            Shape::Named {
                name: "ä".to_owned(),
                sizes: BTreeMap::from([("a".to_owned(), 1.5), ("b".to_owned(), f64::INFINITY)]),
            },
            Shape::Unnamed(
                Some(Box::new(Shape::Unnamed(None, (-1, 'ß')))),
                (i8::MIN, '\0'),
            ),
        ];
        run(async {
            let pool = pool(1);
            for shape in shapes {
                // As it was called here.
                let expected = renamed(shape.clone());
                assert_eq!(pool.run(renamed, shape).await.unwrap(), expected);
            }
        });
    }

    #[test]
    fn an_async_function_runs_on_a_loop_there() {
        run(async {
            let pool = pool(2);
            let slow = pool.run(slept, (50, "slow".to_owned()));
            let fast = pool.run(slept, (0, "fast".to_owned()));
            assert_eq!(fast.await.unwrap(), "fast");
            assert_eq!(slow.await.unwrap(), "slow");
            // The leftovers of one call do not meet the next.
            for _ in 0..3 {
                assert_eq!(pool.run(slept, (0, String::new())).await.unwrap(), "");
            }
            assert_eq!(slept(1, "here".to_owned()).await, "here");
        });
    }

    #[test]
    fn in_its_own_process_it_is_a_function_as_before() {
        assert_eq!((double(4), power(2, 10)), (8, 1024));
        assert_eq!([1, 2].map(double), [2, 4]);
    }

    #[test]
    fn one_that_is_not_remote_is_a_panic_with_its_name() {
        fn local(n: u64) -> u64 {
            n
        }
        let message = asyncio_tests::panic_of(|| {
            run(async {
                let _ = pool(1).run(local, 1).await;
            })
        });
        assert!(message.contains("local` is no remote function: it needs `#[asyncio::remote]`"));
    }

    #[test]
    fn names_do_not_get_in_the_way() {
        run(async {
            let double = pool(1).run(double, 1).await.unwrap();
            assert_eq!(double, 2);
        });
    }

    #[test]
    fn workers_are_kept_and_calls_are_spread() {
        run(async {
            let pool = pool(2);
            pool.start_workers().await.unwrap();
            let workers = pool.worker_ids();
            assert_eq!(
                (workers.len(), pool.workers(), pool.idle_workers()),
                (2, 2, 2)
            );
            let calls: Vec<_> = (0..20).map(|_| pool.run(pid_after, 2)).collect();
            let mut seen = Vec::new();
            for call in calls {
                seen.push(call.await.unwrap());
            }
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen, workers);
            assert_eq!(pool.worker_ids(), workers);
        });
    }

    #[test]
    fn the_numbers_are_those_of_all_workers_at_every_moment() {
        run(async {
            let pool = pool(2);
            pool.start_workers().await.unwrap();
            until("they rest", || pool.idle_workers() == 2).await;
            let ids = pool.worker_ids();
            let call = pool.run(double, 1);
            assert_eq!((pool.idle_workers(), pool.workers()), (1, 2));
            assert_eq!(pool.worker_ids(), ids, "one is handed a call");
            call.await.unwrap();
            assert_eq!(pool.worker_ids(), ids);
        });
    }

    #[test]
    fn all_start_at_once_when_one_has_said_hello() {
        run(async {
            let pool = pool(5);
            pool.run(double, 1).await.unwrap();
            let mut starting = Box::pin(pool.start_workers());
            assert!(poll_once(starting.as_mut()).is_pending());
            assert_eq!(pool.workers(), 5);
            starting.await.unwrap();
        });
    }

    /// Others start when the first one says hello, which is busy from then on.
    #[test]
    fn calls_beside_the_first_one_have_workers_of_their_own() {
        run(async {
            let pool = pool(3);
            let busy = [pool.run(hangs, ()), pool.run(hangs, ())];
            let beside = timeout(secs(60), pool.run(double, 1)).await;
            assert_eq!(beside.unwrap().unwrap(), 2);
            assert!(busy.iter().all(ProcessJob::kill));
        });
    }

    #[test]
    fn workers_that_are_busy_have_started() {
        run(async {
            let pool = pool(2);
            pool.start_workers().await.unwrap();
            until("they rest", || pool.idle_workers() == 2).await;
            let busy = pool.run(hangs, ());
            until("it begins", || busy.has_begun()).await;
            assert_eq!((pool.idle_workers(), pool.workers()), (1, 2));
            timeout(secs(10), pool.start_workers())
                .await
                .unwrap()
                .unwrap();
            assert!(busy.kill());
        });
    }

    #[test]
    fn a_worker_is_replaced_after_its_share() {
        run(async {
            let pool = builder(1).max_tasks_per_worker(2).build();
            let mut seen = Vec::new();
            for _ in 0..5 {
                seen.push(pool.run(remote::pid, ()).await.unwrap());
            }
            assert!(seen[0] == seen[1] && seen[1] != seen[2], "{seen:?}");
            assert!(seen[2] == seen[3] && seen[3] != seen[4], "{seen:?}");
            has_gone(seen[0]);
        });
    }

    #[test]
    fn messages_may_be_large_up_to_a_limit() {
        run(async {
            let pool = builder(1).message_limit(3_000_000).build();
            for size in [0, 4_000, 4_096, 100_000, 2_900_000] {
                assert_eq!(pool.run(length, vec![1; size]).await.unwrap(), size);
                let bytes = pool.run(bytes, size).await.unwrap();
                assert_eq!(bytes, vec![7; size]);
            }
            let error = pool.run(length, vec![1; 3_000_000]).await.unwrap_err();
            assert!(matches!(error, ProcessError::BadArguments(_)), "{error}");
            let error = pool.run(bytes, 3_000_000).await.unwrap_err();
            assert!(matches!(error, ProcessError::BadValue(_)), "{error}");
            assert!(error.to_string().contains("more than 3000000 bytes"));
            assert_eq!(pool.run(double, 1).await.unwrap(), 2, "it goes on");
        });
    }

    #[test]
    fn what_cannot_be_read_is_an_error_of_its_call() {
        run(async {
            let pool = pool(1);
            let pid = pool.run(remote::pid, ()).await.unwrap();
            let error = pool.run(reads, Unreadable).await.unwrap_err();
            assert!(matches!(error, ProcessError::BadArguments(_)), "{error}");
            let error = pool.run(writes, ()).await.unwrap_err();
            assert!(matches!(error, ProcessError::BadValue(_)), "{error}");
            let error = pool.run(writes_what_panics, ()).await.unwrap_err();
            assert!(matches!(error, ProcessError::BadValue(_)), "{error}");
            assert_eq!(pool.run(remote::pid, ()).await.unwrap(), pid);
        });
    }

    #[test]
    fn a_function_that_the_worker_does_not_have_is_an_error() {
        #[asyncio::remote]
        fn only_here() {}
        run(async {
            let error = pool(1).run(only_here, ()).await.unwrap_err();
            assert!(matches!(error, ProcessError::Unknown(_)), "{error}");
            assert!(error.to_string().contains("only_here"), "{error}");
        });
    }

    #[test]
    fn output_goes_through_and_input_is_empty() {
        let mut program = Command::new(PROGRAM);
        let output = program.arg("own pool").stdin(Stdio::piped()).output();
        let output = output.unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "42 true\n");
        run(async {
            let pool = pool(1);
            assert_eq!(pool.run(speaks, ()).await.unwrap(), "");
        });
    }

    #[test]
    fn a_worker_may_have_a_pool_of_its_own_and_start_programs() {
        run(async {
            let pool = pool(1);
            let doubled = pool.run(doubles_in_a_pool_of_its_own, 4).await.unwrap();
            assert_eq!(doubled, Ok(8));
            // A program of asyncio is no worker only because its parent is one.
            let program = (PROGRAM.to_owned(), "prints".to_owned());
            let printed = pool.run(prints, program).await.unwrap();
            assert_eq!(printed, "a program of its own\n");
        });
    }

    #[test]
    fn a_program_that_a_call_starts_with_a_socket_as_its_input_is_no_worker() {
        run(async {
            let pool = pool(1);
            let program = (PROGRAM.to_owned(), "prints".to_owned());
            let printed = pool.run(prints_with_a_socket, program).await.unwrap();
            assert_eq!(printed, "a program of its own\n");
        });
    }
}

mod map {
    use super::*;
    use futures::StreamExt;

    #[test]
    fn outcomes_come_in_the_order_of_their_arguments() {
        run(async {
            let pool = pool(3);
            let all: Vec<_> = pool.map(double, 0..100).collect().await;
            let all: Vec<_> = all.into_iter().map(Result::unwrap).collect();
            assert_eq!(all, (0..200).step_by(2).collect::<Vec<_>>());
        });
    }

    #[test]
    fn a_bounded_number_is_under_way() {
        use std::cell::Cell;
        run(async {
            let pool = pool(2);
            let taken = Cell::new(0);
            let arguments = (0..50).inspect(|_| taken.set(taken.get() + 1));
            let mut outcomes = pool.map(double, arguments).in_flight(6);
            for n in 0..50 {
                let bound = 6 + n;
                assert!(taken.get() <= bound, "{} of {bound}", taken.get());
                assert_eq!(outcomes.next().await.unwrap().unwrap(), n as u64 * 2);
            }
            assert!(outcomes.next().await.is_none());
            assert!(outcomes.next().await.is_none());
        });
    }

    #[test]
    fn chunks_give_the_same_outcomes() {
        run(async {
            let pool = pool(2);
            let map = pool.map(exits_if_odd, (0..100).map(|n| 2 * n));
            let outcomes: Vec<u32> = map.chunk_size(7).map(Result::unwrap).collect().await;
            assert_eq!(outcomes, (0..100).map(|n| 2 * n).collect::<Vec<_>>());
            // A call that panics is an outcome like the others.
            let texts = (0..20).map(|n| {
                if n == 5 {
                    "?".to_owned()
                } else {
                    n.to_string()
                }
            });
            let map = pool.map(parsed_or_panics, texts).chunk_size(10);
            let outcomes: Vec<_> = map.collect().await;
            for (n, outcome) in outcomes.into_iter().enumerate() {
                match outcome {
                    Err(ProcessError::Panicked(text)) => {
                        assert_eq!((n, &text[..]), (5, "no number"))
                    }
                    outcome => assert_eq!(outcome.unwrap(), n as u32),
                }
            }
        });
    }

    #[test]
    fn a_worker_that_dies_ends_its_chunk_and_no_other() {
        run(async {
            let pool = pool(1);
            let map = pool.map(exits_if_odd, (0..40).map(|n| if n == 25 { 1 } else { 2 }));
            let outcomes: Vec<_> = map.in_flight(1).chunk_size(10).collect().await;
            assert_eq!(outcomes.len(), 40);
            // The first two calls were on their way alone.
            let died = |n: usize| (22..32).contains(&n);
            for (n, outcome) in outcomes.into_iter().enumerate() {
                match outcome {
                    Err(ProcessError::Died(_)) => assert!(died(n), "{n}"),
                    outcome => assert!(outcome.unwrap() == 2 && !died(n), "{n}"),
                }
            }
        });
    }

    #[test]
    fn a_chunk_ends_before_it_is_too_large() {
        run(async {
            let pool = builder(1).message_limit(10_000).build();
            let sizes = [10, 4_000, 4_000, 4_000, 20_000, 9_000, 9_000, 5];
            let arguments = sizes.map(|size| vec![7_u8; size]);
            let outcomes: Vec<_> = pool.map(length, arguments).chunk_size(8).collect().await;
            for (size, outcome) in sizes.into_iter().zip(outcomes) {
                match outcome {
                    Err(ProcessError::BadArguments(_)) => assert_eq!(size, 20_000),
                    outcome => assert_eq!(outcome.unwrap(), size),
                }
            }
            // The values of a chunk have the limit together. The first two calls were on their way alone.
            let outcomes: Vec<_> = pool
                .map(bytes, [4_000; 6])
                .in_flight(1)
                .chunk_size(5)
                .collect()
                .await;
            let lengths: Vec<_> = outcomes
                .iter()
                .map(|outcome| match outcome {
                    Ok(bytes) => bytes.len(),
                    Err(ProcessError::BadValue(_)) => 0,
                    Err(error) => panic!("{error}"),
                })
                .collect();
            assert_eq!(lengths, [4_000, 4_000, 4_000, 4_000, 0, 0]);
        });
    }

    #[test]
    fn arguments_that_cannot_be_sent_have_outcomes_of_their_own() {
        run(async {
            let pool = builder(1).message_limit(10_000).build();
            let sizes = [20_000, 20_000, 20_000, 5, 20_000, 20_000, 20_000];
            let map = pool.map(length, sizes.map(|size| vec![7_u8; size]));
            let outcomes: Vec<_> = map.chunk_size(4).collect().await;
            assert_eq!(outcomes.len(), sizes.len());
            for (size, outcome) in sizes.into_iter().zip(outcomes) {
                match outcome {
                    Err(ProcessError::BadArguments(_)) => assert_eq!(size, 20_000),
                    outcome => assert_eq!(outcome.unwrap(), size),
                }
            }
        });
    }

    #[test]
    fn several_chunks_are_under_way_and_the_size_may_change() {
        use std::cell::Cell;
        run(async {
            let pool = builder(1).message_limit(10_000).build();
            let taken = Cell::new(0);
            let sizes = (0..30).map(|n| 2_500 + n);
            let arguments = sizes.clone().inspect(|_| taken.set(taken.get() + 1));
            let map = pool.map(length, arguments.map(|size| vec![7_u8; size]));
            // One call for each of the two places that there are at first, then chunks of three, and one left over.
            let map = map.chunk_size(5).in_flight(4);
            assert_eq!(taken.get(), 2 + 2 * 3 + 1);
            let outcomes: Vec<_> = map.chunk_size(1).map(Result::unwrap).collect().await;
            assert_eq!(outcomes, sizes.collect::<Vec<_>>());
        });
    }

    #[test]
    fn one_that_fails_is_an_outcome_like_the_others() {
        run(async {
            let pool = pool(2);
            let mut outcomes = pool.map(exits_if_odd, 0..6);
            let mut seen = Vec::new();
            while let Some(outcome) = outcomes.next().await {
                seen.push(outcome.is_ok());
            }
            assert_eq!(seen, [true, false, true, false, true, false]);
        });
    }

    #[test]
    fn dropping_it_cancels_what_has_not_begun() {
        let (path, text) = file("map");
        run(async {
            let pool = pool(1);
            let arguments = (0..10).map(move |n| (text.clone(), n.to_string(), 30));
            let outcomes = pool.map(notes, arguments).in_flight(10);
            until("the first one begins", || lines(&path).len() == 1).await;
            drop(outcomes);
            assert!(!pool.is_closed());
            pool.shutdown(Pending::Run);
            assert!(pool.is_closed());
            pool.wait_closed().await;
        });
        assert_eq!(lines(&path), ["0"]);
    }
}

mod failing {
    use super::*;

    #[test]
    fn a_panic_is_an_error_of_its_call_only() {
        run(async {
            let pool = pool(1);
            let pid = pool.run(remote::pid, ()).await.unwrap();
            let error = pool.run(panics, "oh no".to_owned()).await.unwrap_err();
            assert!(matches!(&error, ProcessError::Panicked(text) if text == "oh no"));
            let long = "ä".repeat(200_000);
            let error = pool.run(panics, long).await.unwrap_err();
            assert!(matches!(&error, ProcessError::Panicked(text) if text.len() <= 64 * 1024));
            let error = pool.run(panics_on_its_loop, ()).await.unwrap_err();
            assert!(matches!(&error, ProcessError::Panicked(text) if text == "on its loop"));
            assert_eq!(pool.run(remote::pid, ()).await.unwrap(), pid);
        });
    }

    #[test]
    fn a_worker_that_dies_fails_its_call_and_is_replaced() {
        run(async {
            let pool = pool(1);
            let before = pool.run(remote::pid, ()).await.unwrap();
            // A call that waits behind it is not lost.
            let exits = pool.run(exits, 3);
            let after = pool.run(remote::pid, ());
            let error = exits.await.unwrap_err();
            let ProcessError::Died(status) = &error else {
                panic!("{error}");
            };
            assert_eq!(status.code(), Some(3));
            assert!(error.to_string().contains("exit status: 3"), "{error}");
            assert_ne!(after.await.unwrap(), before);
        });
    }

    #[test]
    fn the_error_has_the_signal() {
        use std::os::unix::process::ExitStatusExt;
        let signal_of = |error: ProcessError| match error {
            ProcessError::Died(status) => status.signal(),
            other => panic!("{other}"),
        };
        run(async {
            let pool = pool(1);
            assert_eq!(signal_of(pool.run(aborts, ()).await.unwrap_err()), Some(6));
            let killed = pool.run(kills_itself, ()).await.unwrap_err();
            assert!(killed.to_string().contains("SIGKILL"), "{killed}");
            assert_eq!(signal_of(killed), Some(9));
            assert_eq!(pool.run(double, 2).await.unwrap(), 4);
        });
    }

    #[test]
    fn one_that_somebody_else_reaps_has_died() {
        use rustix::process::{WaitOptions, waitpid};
        run(async {
            let pool = pool(1);
            let pid = pool.run(remote::pid, ()).await.unwrap();
            let (path, text) = file("reaped");
            let call = pool.run(notes, (text, "begun".to_owned(), 60_000));
            until("it has begun", || lines(&path) == ["begun"]).await;
            kill(pid);
            waitpid(Some(as_pid(pid)), WaitOptions::empty()).unwrap();
            match call.await.unwrap_err() {
                ProcessError::Died(status) => assert_eq!(status.code(), Some(255)),
                other => panic!("{other:?}"),
            }
            assert_eq!(pool.run(double, 2).await.unwrap(), 4);
        });
    }

    /// A value whose reading would take all of the stack is an error of its call, on either side.
    #[test]
    fn a_value_that_is_nested_too_deeply_harms_nobody() {
        let small = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
        let small = small.spawn(|| {
            run(async {
                let pool = pool(1);
                assert!(pool.run(chain, 200).await.is_ok());
                // The worker, with the stack of a main thread, can write what this thread cannot read.
                let error = pool.run(chain, 12_000).await.unwrap_err();
                assert!(matches!(error, ProcessError::BadValue(_)), "{error}");
                let kept = pool.run(remote::pid, ()).await.unwrap();
                let error = pool.run(chain_length, chain(8_000)).await.unwrap_err();
                assert!(matches!(error, ProcessError::BadArguments(_)), "{error}");
                assert_eq!(pool.run(remote::pid, ()).await.unwrap(), kept);
            });
        });
        small.unwrap().join().unwrap();
    }

    /// A worker that is killed before it is one, several times, fails the call that it would have had.
    #[test]
    fn replacements_that_are_killed_fail_one_call_only() {
        let (_, starts) = file("starts");
        run(async {
            let pool = scene(&["is killed from start 2 to 6", &starts]);
            let pool = pool.workers(1).build();
            let dies = pool.run(kills_itself, ());
            let calls: Vec<_> = (0..20).map(|n| pool.run(double, n)).collect();
            assert!(matches!(dies.await, Err(ProcessError::Died(_))));
            let mut outcomes = Vec::new();
            for call in calls {
                outcomes.push(call.await);
            }
            let Err(ProcessError::NoWorker(error)) = outcomes.remove(0) else {
                panic!("the first call has failed");
            };
            assert!(error.to_string().contains("SIGKILL"), "{error}");
            let doubled: Vec<u64> = outcomes.into_iter().map(Result::unwrap).collect();
            assert_eq!(doubled, (1..20).map(|n| 2 * n).collect::<Vec<_>>());
        });
    }

    #[test]
    fn one_that_is_killed_while_it_is_idle_fails_no_call() {
        run(async {
            let pool = pool(1);
            for _ in 0..5 {
                let pid = pool.run(remote::pid, ()).await.unwrap();
                kill(pid);
                // Dead, not reaped: that is its parent's to do.
                assert_ne!(pool.run(remote::pid, ()).await.unwrap(), pid);
                has_gone(pid);
            }
        });
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_has_a_limit() {
        const MIB: usize = 1024 * 1024;
        run(async {
            let pool = builder(1).memory_limit(256 * MIB as u64).build();
            let pages = pool.run(takes_memory, 32 * MIB).await.unwrap();
            assert_eq!(pages, 32 * MIB / 4096);
            let error = pool.run(takes_memory, 512 * MIB).await.unwrap_err();
            assert!(matches!(error, ProcessError::Died(_)), "{error}");
            assert_eq!(pool.run(double, 2).await.unwrap(), 4);
        });
    }

    #[test]
    fn time_has_a_limit() {
        run(async {
            let pool = builder(1).job_time_limit(ms(300)).build();
            let pid = pool.run(remote::pid, ()).await.unwrap();
            let since = Instant::now();
            let error = pool.run(hangs, ()).await.unwrap_err();
            assert!(matches!(error, ProcessError::TimeLimit(limit) if limit == ms(300)));
            assert!(since.elapsed() >= ms(300));
            has_gone(pid);
            assert_eq!(pool.run(double, 2).await.unwrap(), 4);
        });
    }

    #[test]
    fn one_that_is_stopped_and_killed_is_noticed() {
        run(async {
            let pool = pool(1);
            let pid = pool.run(remote::pid, ()).await.unwrap();
            let call = pool.run(hangs, ());
            until("it begins", || call.has_begun()).await;
            kill_process(as_pid(pid), Signal::STOP).unwrap();
            kill(pid);
            assert!(matches!(call.await, Err(ProcessError::Died(_))));
        });
    }
}

mod cancelling {
    use super::*;

    #[test]
    fn a_call_that_has_not_begun_never_runs() {
        let (path, text) = file("cancelled");
        run(async {
            let pool = pool(1);
            let first = pool.run(notes, (text.clone(), "first".to_owned(), 50));
            let second = pool.run(notes, (text.clone(), "second".to_owned(), 0));
            let third = pool.run(notes, (text.clone(), "third".to_owned(), 0));
            let dropped = pool.run(notes, (text.clone(), "dropped".to_owned(), 0));
            drop(dropped);
            assert!(second.cancel());
            assert!(!second.cancel(), "once");
            assert_eq!(pool.pending(), 2);
            assert!(matches!(second.await, Err(ProcessError::Cancelled)));
            first.await.unwrap();
            third.await.unwrap();
        });
        assert_eq!(lines(&path), ["first", "third"]);
    }

    #[test]
    fn one_that_has_begun_runs_on() {
        let (path, text) = file("runs_on");
        run(async {
            let pool = pool(1);
            let call = pool.run(notes, (text, "begun".to_owned(), 50));
            until("it begins", || call.has_begun()).await;
            assert!(!call.cancel());
            assert!(timeout(ms(5), call).await.is_err());
            // The worker is the same one, once it is done.
            assert_eq!(
                pool.worker_ids(),
                [pool.run(remote::pid, ()).await.unwrap()]
            );
        });
        assert_eq!(lines(&path), ["begun"]);
    }

    #[test]
    fn or_its_worker_is_killed() {
        run(async {
            let pool = builder(1).kill_on_cancel(true).build();
            let pid = pool.run(remote::pid, ()).await.unwrap();
            let call = pool.run(hangs, ());
            until("it begins", || call.has_begun()).await;
            assert!(timeout(ms(5), call).await.is_err());
            let next = pool.run(remote::pid, ()).await.unwrap();
            assert_ne!(next, pid);
            has_gone(pid);
            // By the handle, which then has the outcome.
            let call = pool.run(hangs, ());
            until("it begins", || call.has_begun()).await;
            assert!(call.cancel());
            assert!(matches!(call.await, Err(ProcessError::Cancelled)));
        });
    }

    #[test]
    fn one_worker_is_killed_by_hand() {
        run(async {
            let pool = pool(1);
            let call = pool.run(hangs, ());
            until("it begins", || call.has_begun()).await;
            assert!(call.kill());
            assert!(matches!(call.await, Err(ProcessError::Cancelled)));
            let mut call = pool.run(double, 1);
            until("it ends", || call.is_finished()).await;
            assert!(!call.kill() && !call.cancel());
            assert_eq!(call.try_take().unwrap().unwrap(), 2);
            assert!(call.try_take().is_none());
        });
    }

    #[test]
    fn what_goes_wrong_with_nobody_to_tell_is_reported() {
        let (path, text) = file("detached");
        let reports = run_virtual(async |trace| {
            asyncio::set_exception_handler({
                let trace = trace.clone();
                move |report| trace.note(report.to_string())
            });
            let pool = pool(1);
            pool.run(notes, (text, "ran".to_owned(), 0)).detach();
            pool.run(parsed, "7".to_owned()).detach();
            pool.run(parsed, "x".to_owned()).detach();
            pool.run(nothing, ()).detach();
            drop(pool.run(double, 1));
            let dropped = pool.run(panics, "dropped".to_owned());
            until("it begins", || dropped.has_begun()).await;
            drop(dropped);
            let ended = pool.run(panics, "at its end".to_owned());
            until("it ends", || ended.is_finished()).await;
            drop(ended);
            pool.shutdown(Pending::Run);
            pool.wait_closed().await;
        });
        assert_eq!(lines(&path), ["ran"]);
        assert_eq!(reports.len(), 3, "{reports:?}");
        assert!(reports[0].starts_with("a detached call in a worker process failed: \"\\\"x"));
        for (report, what) in reports[1..].iter().zip(["dropped", "at its end"]) {
            assert!(report.contains("nobody awaits it: "), "{report}");
            assert!(report.contains(what), "{report}");
        }
    }

    #[test]
    fn a_discarded_call_runs_and_only_its_panic_is_reported() {
        let (path, text) = file("discarded");
        let reports = run_virtual(async |trace| {
            asyncio::set_exception_handler({
                let trace = trace.clone();
                move |report| trace.note(report.to_string())
            });
            let pool = pool(1);
            pool.run(notes, (text, "ran".to_owned(), 0)).discard();
            pool.run(parsed, "x".to_owned()).discard();
            pool.run(panics, "discarded".to_owned()).discard();
            pool.shutdown(Pending::Run);
            pool.wait_closed().await;
        });
        assert_eq!(lines(&path), ["ran"]);
        assert_eq!(reports.len(), 1, "{reports:?}");
        assert!(reports[0].contains("discarded"), "{reports:?}");
    }
}

mod starting {
    use super::*;

    fn error_of(pool: &ProcessPool) -> ProcessError {
        let calls: Vec<_> = (0..10).map(|_| pool.run(nothing, ())).collect();
        run_here(async {
            let mut errors = Vec::new();
            for call in calls {
                errors.push(call.await.unwrap_err());
            }
            errors.pop().unwrap()
        })
    }

    /// The loop that runs here does so in a test of its own.
    fn run_here<F: Future>(future: F) -> F::Output {
        futures::executor::block_on(future)
    }

    /// All calls of a pool fail with this.
    fn failure(builder: ProcessPoolBuilder) -> (String, Duration) {
        run(async {
            let pool = builder.build();
            let since = Instant::now();
            let calls: Vec<_> = (0..10).map(|_| pool.run(nothing, ())).collect();
            let mut errors = Vec::new();
            for call in calls {
                errors.push(call.await.unwrap_err().to_string());
            }
            errors.push(pool.run(nothing, ()).await.unwrap_err().to_string());
            errors.push(pool.start_workers().await.unwrap_err().to_string());
            errors.dedup();
            assert_eq!(errors.len(), 1, "{errors:?}");
            (errors.remove(0), since.elapsed())
        })
    }

    #[test]
    fn a_program_that_forgot_it_and_waits_is_an_error_after_a_moment() {
        let builder = scene(&["waits"]).start_timeout(ms(200));
        let (error, after) = failure(builder);
        assert!(error.contains("did not become one within 200ms"), "{error}");
        assert!(error.contains("`asyncio::run_if_worker()` as its first line"));
        assert!(after >= ms(200));
    }

    #[test]
    fn one_that_makes_a_pool_itself_is_an_error_at_once_and_no_fork_bomb() {
        let (error, after) = failure(scene(&["makes a pool"]));
        assert!(error.contains("started a pool of its own"), "{error}");
        assert!(after < secs(25), "not when the time for the start is over");
        // As a whole program: eleven lines and no more processes.
        let ended = Child::start(Command::new(PROGRAM).arg("forgotten").stderr(Stdio::null()));
        let ended = ended.wait();
        assert!(ended.status.success(), "{ended:?}");
        assert_eq!(ended.output.lines().count(), 10);
    }

    #[test]
    fn one_that_ends_is_an_error_with_its_code() {
        let (error, _) = failure(scene(&["exits"]));
        assert!(error.contains("ended (exit status: 3)"), "{error}");
    }

    #[test]
    fn one_that_says_something_else_is_an_error() {
        let other = "has said something else than a worker of this version";
        let none = "has written what is no frame";
        for (words, told) in [
            ("zeros", none),
            ("another hello", other),
            ("a value first", other),
        ] {
            let (error, _) = failure(scene(&["writes", words]));
            let expected = format!("the program was started as a worker process and {told}");
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn one_that_is_not_there_is_an_error() {
        let (error, _) = failure(ProcessPool::builder().program("/nowhere/at/all"));
        assert!(
            error.starts_with("no worker process could be started: "),
            "{error}"
        );
    }

    #[test]
    fn one_that_takes_its_time_is_waited_for() {
        run(async {
            let pool = scene(&["is late"]).build();
            assert_eq!(pool.run(double, 1).await.unwrap(), 2);
        });
    }

    /// The limit is that of the first start. The machine may be busy later.
    #[test]
    fn a_program_that_has_been_a_worker_may_take_longer_than_the_limit() {
        let (_, starts) = file("late starts");
        run(async {
            let pool = scene(&["is late from start 2", &starts]).workers(1);
            let pool = pool.start_timeout(secs(1)).max_tasks_per_worker(1).build();
            for n in 0..2 {
                assert_eq!(pool.run(double, n).await.unwrap(), 2 * n);
            }
        });
    }

    #[test]
    fn without_a_loop_it_is_a_panic() {
        let message = asyncio_tests::panic_of(|| error_of(&pool(1)));
        assert!(message.contains("loop"), "{message}");
    }
}

mod garbage {
    use super::*;

    /// A worker that writes these words fails its call, and the pool goes on with another worker.
    fn error_after(words: &str) -> ProcessError {
        run(async {
            // One call each: it does not answer a second one.
            let pool = scene(&["writes", words]).max_tasks_per_worker(1);
            let pool = pool.message_limit(1 << 20).build();
            let first = pool.run(double, 1);
            let second = pool.run(double, 1);
            let error = first.await.unwrap_err();
            let other = second.await.unwrap_err();
            assert_eq!(
                std::mem::discriminant(&error),
                std::mem::discriminant(&other)
            );
            error
        })
    }

    #[test]
    fn what_is_no_answer_kills_the_worker() {
        for words in [
            "a long frame",
            "an endless frame",
            "an unknown kind",
            "no kind",
            "hello again",
            "two answers",
            "an answer to another call",
        ] {
            let error = error_after(words);
            assert!(
                matches!(error, ProcessError::Garbage(_)),
                "{words}: {error}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let error = error_after("no text");
        assert!(matches!(error, ProcessError::Panicked(_)), "{error}");
        let error = error_after("a bad value");
        assert!(matches!(error, ProcessError::BadValue(_)), "{error}");
    }

    #[test]
    fn the_end_in_the_middle_of_a_frame_is_a_death() {
        let error = error_after("half a frame");
        assert!(error.to_string().contains("exit status: 4"), "{error}");
    }

    /// A worker whose socket another program has kept.
    #[test]
    fn the_end_is_noticed_although_the_socket_stays_open() {
        let (path, starts) = file("starts with a heir");
        run(async {
            let pool = scene(&["writes", "nothing more, and has an heir", &starts]);
            let error = pool.workers(1).build().run(double, 1).await.unwrap_err();
            assert!(error.to_string().contains("exit status: 5"), "{error}");
        });
        assert_eq!(fs::read_to_string(path).unwrap(), ".", "the call has run");
    }

    /// Each of the workers ends before it has the whole call.
    #[test]
    fn a_call_that_no_worker_has_had_is_tried_a_few_times() {
        let (path, starts) = file("starts without a call");
        run(async {
            let pool = scene(&["writes", "hello and no more", &starts]);
            let pool = pool.workers(1).build();
            let call = pool.run(length, vec![7; 1_000_000]);
            let error = call.await.unwrap_err();
            assert!(error.to_string().contains("exit status: 6"), "{error}");
        });
        assert_eq!(fs::read_to_string(path).unwrap(), ".....");
    }

    /// Its word is noticed when it is to have the next call, which another worker has in its place.
    #[test]
    fn an_idle_worker_that_says_something_is_replaced() {
        let (path, word) = file("an unasked word");
        run(async {
            let pool = scene(&["writes", "another answer when it may", &word]);
            let pool = pool.workers(1).build();
            assert_eq!(pool.run(double, 1).await.unwrap(), 2);
            let first = pool.worker_ids();
            fs::write(&path, "").unwrap();
            until("it has said it", || !path.exists()).await;
            assert_eq!(pool.run(double, 1).await.unwrap(), 2);
            assert_ne!(pool.worker_ids(), first);
        });
    }

    /// As one that has become another program. It is killed after a moment, which is not its own end.
    #[test]
    fn a_worker_that_closes_its_socket_and_goes_on_has_not_died() {
        let error = error_after("nothing");
        assert!(matches!(error, ProcessError::Garbage(_)), "{error}");
        assert!(error.to_string().contains("closed its socket"), "{error}");
    }
}

mod the_end {
    use super::*;

    #[test]
    fn workers_end_with_their_pool() {
        run(async {
            let pool = pool(2);
            pool.start_workers().await.unwrap();
            let workers = pool.worker_ids();
            let last = pool.run(double, 4);
            assert!(!pool.is_closed());
            pool.shutdown(Pending::Run);
            assert!(pool.is_closed());
            assert!(matches!(
                pool.run(double, 1).await,
                Err(ProcessError::Closed)
            ));
            assert_eq!(last.await.unwrap(), 8, "what it was given still runs");
            pool.wait_closed().await;
            assert_eq!(pool.workers(), 0);
            workers.into_iter().for_each(has_gone);
            let started = pool.start_workers().await;
            assert!(matches!(started, Err(ProcessError::Closed)));
            assert_eq!(pool.workers(), 0);
        });
    }

    #[test]
    fn a_worker_that_has_died_is_not_replaced_at_the_end() {
        let (path, starts) = file("starts until the end");
        run(async {
            let pool = scene(&["is late from start 2", &starts]).workers(1).build();
            let pid = pool.run(remote::pid, ()).await.unwrap();
            until("it rests", || pool.idle_workers() == 1).await;
            kill(pid);
            pool.shutdown(Pending::Run);
            pool.wait_closed().await;
        });
        assert_eq!(fs::read_to_string(path).unwrap(), ".");
    }

    /// The loop goes on while an idle worker takes its time.
    #[test]
    fn a_worker_that_is_slow_to_end_holds_nothing_up() {
        run(async {
            let pool = pool(1);
            let pid = pool.run(remote::pid, ()).await.unwrap();
            until("it rests", || pool.idle_workers() == 1).await;
            kill_process(as_pid(pid), Signal::STOP).unwrap();
            pool.shutdown(Pending::Run);
            for _ in 0..5 {
                yield_now().await;
            }
            assert_eq!((pool.workers(), pool.idle_workers()), (1, 0));
            kill_process(as_pid(pid), Signal::CONT).unwrap();
            pool.wait_closed().await;
            has_gone(pid);
        });
    }

    /// In order: its output is written.
    #[test]
    fn an_idle_worker_ends_in_order_when_its_pool_is_dropped() {
        let (path, text) = file("printed");
        let pool = pool(1);
        run(async {
            let call = pool.run(prints_into, (text, "not the end of a line".to_owned()));
            call.await.unwrap();
        });
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
        drop(pool);
        assert_eq!(fs::read_to_string(&path).unwrap(), "not the end of a line");
    }

    /// The destructors of thread-locals run at the end of a process on this system.
    #[cfg(target_os = "linux")]
    #[test]
    fn an_idle_worker_has_a_moment_to_end() {
        let (path, text) = file("last words");
        let pool = pool(1);
        run(async {
            let call = pool.run(notes_at_the_end, (text, "the end".to_owned(), 20));
            call.await.unwrap();
        });
        drop(pool);
        assert_eq!(lines(&path), ["the end"]);
    }

    #[test]
    fn a_wait_for_it_that_is_given_up_leaves_the_others() {
        run(async {
            let pool = pool(1);
            pool.start_workers().await.unwrap();
            let other = pool.clone();
            let other = spawn(async move { other.wait_closed().await });
            assert!(timeout(ms(1), pool.wait_closed()).await.is_err());
            pool.shutdown(Pending::Run);
            timeout(secs(10), other).await.unwrap().unwrap();
        });
    }

    #[test]
    fn calls_that_wait_may_be_cancelled_at_the_end() {
        run(async {
            let pool = pool(1);
            let first = pool.run(pid_after, 30);
            until("it begins", || first.has_begun()).await;
            let second = pool.run(double, 1);
            pool.shutdown(Pending::Cancel);
            assert!(matches!(second.await, Err(ProcessError::Cancelled)));
            assert!(first.await.is_ok());
            pool.wait_closed().await;
        });
    }

    #[test]
    fn the_loops_end_kills_what_still_runs() {
        let (busy, idle) = run(async {
            let pool = pool(2);
            pool.start_workers().await.unwrap();
            let call = pool.run(hangs, ());
            until("it begins", || call.has_begun()).await;
            call.detach();
            let idle = pool.run(remote::pid, ()).await.unwrap();
            let busy = pool.worker_ids().into_iter().find(|id| *id != idle);
            (busy.unwrap(), idle)
        });
        // Reaped as well: their parent is this process.
        has_gone(busy);
        has_gone(idle);
    }

    #[test]
    fn calls_that_wait_when_the_loop_ends_are_told_so() {
        let reports = run_virtual(async |trace| {
            asyncio::set_exception_handler({
                let trace = trace.clone();
                move |report| trace.note(report.to_string())
            });
            let pool = pool(2);
            pool.start_workers().await.unwrap();
            // More than could be begun one within the other.
            for _ in 0..5_000 {
                pool.run(hangs, ()).detach();
            }
            until("two begin", || pool.pending() == 4_998).await;
        });
        assert_eq!(reports.len(), 5_000);
        let report =
            "a call in a worker process failed and nobody awaits it: the process pool is shut down";
        assert!(reports.iter().all(|told| told == report), "{}", reports[0]);
    }

    #[test]
    fn a_pool_may_outlive_its_loop_and_go_on_with_another_one() {
        let mut runner = asyncio::Runner::new().unwrap();
        let pool = pool(1);
        let one = runner.run(async { pool.run(remote::pid, ()).await });
        let one = one.unwrap().unwrap();
        drop(runner);
        let two = run(async { pool.run(remote::pid, ()).await.unwrap() });
        assert_eq!(one, two, "it was idle");
        drop(pool);
        has_gone(one);
    }

    #[test]
    fn workers_end_with_their_parent_also_in_the_middle_of_a_call() {
        let mut parent = Child::start(Command::new(PROGRAM).arg("workers outlive nobody"));
        let workers: Vec<u32> = parent
            .line()
            .split(' ')
            .map(|id| id.parse().unwrap())
            .collect();
        assert_eq!(workers.len(), 2);
        drop(parent); // by SIGKILL
        workers.into_iter().for_each(has_gone);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_worker_that_is_stopped_ends_with_its_parent() {
        let mut parent = Child::start(Command::new(PROGRAM).arg("workers outlive nobody"));
        let workers: Vec<u32> = parent
            .line()
            .split(' ')
            .map(|id| id.parse().unwrap())
            .collect();
        for worker in &workers {
            kill_process(as_pid(*worker), Signal::STOP).unwrap();
        }
        drop(parent); // by SIGKILL
        workers.into_iter().for_each(has_gone);
    }

    /// The descriptors that every program gets that is started here, because other code has left them open.
    #[cfg(target_os = "linux")]
    fn inheritable() -> Vec<(u32, String)> {
        let flags = |number: u32| {
            let path = format!("/proc/self/fdinfo/{number}");
            let info = fs::read_to_string(path).unwrap_or_default();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
            i32::from_str_radix(flags.unwrap_or("0").trim(), 8).unwrap()
        };
        const CLOSED_BY_EXEC: i32 = 0o2_000_000;
        let mut all = descriptors();
        all.retain(|(number, _)| *number > 2 && flags(*number) & CLOSED_BY_EXEC == 0);
        all
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn no_descriptor_of_the_parent_is_inherited() {
        let (path, _) = file("open");
        let _file = fs::File::create(&path).unwrap();
        let _listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        run(async {
            let _bound = asyncio::net::TcpListener::bind("127.0.0.1:0")
                .await
                .unwrap();
            let pool = pool(3);
            pool.start_workers().await.unwrap();
            let other = super::pool(1);
            other.start_workers().await.unwrap();
            let calls: Vec<_> = (0..6).map(|_| pool.run(descriptors, ())).collect();
            let passed_on = inheritable();
            for call in calls {
                let mut all = call.await.unwrap();
                all.retain(|descriptor| !passed_on.contains(descriptor));
                // Input, output, errors; its socket, and that of the thread that watches the parent.
                let kinds: Vec<_> = all.iter().map(|(_, target)| &target[..5]).collect();
                assert_eq!(kinds.len(), 5, "{all:?}");
                assert_eq!(all[0], (0, "/dev/null".to_owned()));
                assert_eq!([all[1].0, all[2].0], [1, 2]);
                assert_eq!(kinds[3..], ["socke", "socke"], "{all:?}");
                assert_eq!(all[3].1, all[4].1);
            }
        });
    }
}

mod virtual_time {
    use super::*;

    #[test]
    fn it_waits_for_work_that_is_out_and_jumps_otherwise() {
        run_virtual(async |_| {
            let pool = pool(1);
            let start = time();
            // An hour is longer than any call.
            let value = timeout(secs(3600), pool.run(slept, (20, "late".to_owned())));
            assert_eq!(value.await.unwrap().unwrap(), "late");
            assert!(time() - start < secs(600));
            // A worker that is idle holds nothing.
            let start = time();
            sleep(secs(3600)).await;
            assert_eq!(time() - start, secs(3600));
        });
    }
}

mod under_load {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    /// Workers are killed at random, also while they start. Each call ends with its value or its error, and has run
    /// once if it has a value.
    #[test]
    fn no_call_is_lost_while_workers_are_killed_at_random() {
        const CALLS: u64 = 1_000;
        run(async {
            let pool = pool(4);
            let done = Rc::new(Cell::new(false));
            let killing = spawn({
                let (pool, done) = (pool.clone(), done.clone());
                async move {
                    let mut seed = 1_u32;
                    let mut killed = 0;
                    while !done.get() {
                        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        let ids = pool.worker_ids();
                        if !ids.is_empty() {
                            kill(ids[seed as usize / 7 % ids.len()]);
                            killed += 1;
                        }
                        sleep(Duration::from_micros(u64::from(seed >> 20))).await;
                    }
                    killed
                }
            });
            let calls: Vec<_> = (0..CALLS).map(|n| pool.run(double, n)).collect();
            let (mut values, mut deaths) = (0, 0);
            for (n, call) in calls.into_iter().enumerate() {
                match timeout(secs(60), call).await.expect("it ends") {
                    Ok(value) => {
                        assert_eq!(value, n as u64 * 2);
                        values += 1;
                    }
                    Err(ProcessError::Died(_)) => deaths += 1,
                    Err(other) => panic!("{other}"),
                }
            }
            done.set(true);
            let killed = killing.await.unwrap();
            assert_eq!(values + deaths, CALLS);
            assert!(killed > 0 && values > 0, "{killed} {values} {deaths}");
            assert_eq!(pool.run(double, 1).await.unwrap(), 2);
            pool.shutdown(Pending::Run);
            pool.wait_closed().await;
        });
    }

    #[test]
    fn calls_and_cancellations_by_the_thousand() {
        run(async {
            let pool = pool(2);
            let mut calls = Vec::new();
            for n in 0..3_000 {
                let call = pool.run(double, n);
                if n % 3 == 0 {
                    drop(call);
                } else {
                    calls.push((n, call));
                }
            }
            assert!(pool.pending() <= 2_000);
            for (n, call) in calls {
                assert_eq!(call.await.unwrap(), n * 2);
            }
            assert_eq!(pool.pending(), 0);
        });
    }

    /// The one that awaits is cancelled with its loop, in the middle of everything.
    #[test]
    fn a_loop_that_ends_under_load_leaves_no_process() {
        let ids = run(async {
            let pool = pool(3);
            pool.start_workers().await.unwrap();
            let ids = pool.worker_ids();
            let waiting = spawn({
                let pool = pool.clone();
                async move {
                    let calls: Vec<_> = (0..100).map(|_| pool.run(pid_after, 5)).collect();
                    for call in calls {
                        call.await.unwrap();
                    }
                }
            });
            sleep(ms(10)).await;
            let _ = running_loop();
            waiting.cancel();
            let ended: Result<(), JoinError> = waiting.await;
            assert!(ended.unwrap_err().is_cancelled());
            ids
        });
        ids.into_iter().for_each(has_gone);
    }
}
