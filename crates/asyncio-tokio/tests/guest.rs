//! The loop as a guest of tokio. Each module is a promise or a trap of a loop inside another one.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::{Duration, Instant};

use asyncio_executors::{
    BoxError, TaskGroup, catch_cancel, gather, on_cancel, shield, task_group, timeout,
};
use asyncio_loop::{EventLoop, JoinError, call_later, running_loop, sleep, spawn, time, yield_now};
use asyncio_pool::to_thread;
use asyncio_testkit::{Trace, forever, ms, panic_of, secs};
use asyncio_tokio::{Guest, run, run_with};
use tokio::runtime::LocalRuntime;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{LocalSet, spawn_local};

/// Runs the host's own code in a runtime of a single thread.
fn host<F: Future>(main: F) -> F::Output {
    let runtime = LocalRuntime::new().unwrap();
    runtime.block_on(main)
}

/// Fails a test whose tasks wait for ever.
async fn soon<F: Future>(future: F) -> F::Output {
    let waited = tokio::time::timeout(secs(60), future).await;
    waited.expect("the guest stands still")
}

mod what_works {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    #[test]
    fn tasks_timers_and_jobs_of_tokio() {
        let trace = run(async {
            let trace = Trace::default();
            let theirs = tokio::spawn(async {
                tokio::time::sleep(ms(2)).await;
                "spawned"
            });
            let local = spawn_local({
                let trace = trace.clone();
                async move { trace.note("local") }
            });
            let job = tokio::task::spawn_blocking(|| "job");
            trace.note(theirs.await.unwrap());
            local.await.unwrap();
            trace.note(job.await.unwrap());
            trace.note(to_thread(|| "our job").await.unwrap());
            trace.take()
        });
        assert_eq!(trace, ["local", "spawned", "job", "our job"]);
    }

    #[test]
    fn sockets_of_tokio_and_channels_between_both() {
        let answer = run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let (sender, mut receiver) = mpsc::channel::<u8>(1);
            tokio::spawn(async move {
                let (mut client, _) = listener.accept().await.unwrap();
                while let Some(byte) = receiver.recv().await {
                    client.write_all(&[byte]).await.unwrap();
                }
            });
            let ours = spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                for n in 0..100 {
                    sender.send(n).await.unwrap();
                    assert_eq!(stream.read_u8().await.unwrap(), n);
                }
                drop(sender);
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).await.unwrap();
                rest.len()
            });
            ours.await.unwrap()
        });
        assert_eq!(answer, 0);
    }

    #[test]
    fn limits_end_futures_of_tokio_and_wait_for_cleanups() {
        let trace = run(async {
            let trace = Trace::default();
            let work = on_cancel(tokio::time::sleep(secs(3600)), async {
                tokio::time::sleep(ms(2)).await;
                trace.note("cleaned up, with a timer of tokio's");
            });
            assert!(timeout(ms(2), work).await.is_err());
            let kept = shield(async {
                tokio::time::sleep(ms(3)).await;
                trace.note("shielded");
            });
            assert!(timeout(ms(1), kept).await.is_ok());
            trace.take()
        });
        assert_eq!(trace, ["cleaned up, with a timer of tokio's", "shielded"]);
    }

    #[test]
    fn a_failing_child_cancels_the_others_in_their_futures_of_tokio() {
        let trace = run(async {
            let trace = Trace::default();
            let group = task_group(async |tg: TaskGroup<'_>| {
                for name in ["first", "second"] {
                    let trace = &trace;
                    tg.spawn(async move {
                        let (_open, closed) = oneshot::channel::<()>();
                        on_cancel(async { closed.await.unwrap() }, async {
                            tokio::task::yield_now().await;
                            trace.note(name);
                        })
                        .await;
                        Ok(())
                    });
                }
                tg.spawn(async {
                    tokio::time::sleep(ms(1)).await;
                    Err::<(), BoxError>("the third fails".into())
                });
                Ok(())
            });
            assert_eq!(group.await.unwrap_err().errors().len(), 1);
            let mut trace = trace.take();
            trace.sort();
            trace
        });
        assert_eq!(trace, ["first", "second"]);
    }

    #[test]
    fn gathered_futures_of_tokio_run_at_once() {
        run(async {
            let start = Instant::now();
            let sleeps = (0..50).map(|_| tokio::time::sleep(ms(40)));
            gather(sleeps.collect::<Vec<_>>()).await;
            assert!(start.elapsed() < ms(1000));
        });
    }

    #[test]
    fn values_need_no_send() {
        let sum = run(async {
            let sum = Rc::new(Cell::new(0));
            let tasks: Vec<_> = (1..=10)
                .map(|n| {
                    let sum = sum.clone();
                    spawn(async move {
                        tokio::task::yield_now().await;
                        sum.set(sum.get() + n);
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            sum.get()
        });
        assert_eq!(sum, 55);
    }

    #[test]
    fn a_task_of_tokio_reaches_the_loop_by_its_handle() {
        run(async {
            let handle = running_loop();
            let theirs = tokio::spawn(async move {
                let answer = handle.run_coroutine_threadsafe(|| async {
                    sleep(ms(1)).await;
                    7
                });
                answer.unwrap().await.unwrap()
            });
            assert_eq!(theirs.await.unwrap(), 7);
        });
    }

    #[test]
    fn a_panic_of_main_is_resumed() {
        assert_eq!(panic_of(|| run(async { panic!("boom") })), "boom");
    }

    #[test]
    fn a_panic_of_a_task_is_its_outcome() {
        let error = run(async { spawn(async { panic!("boom") }).await }).unwrap_err();
        assert!(error.is_panic());
    }

    #[test]
    fn one_run_follows_another_and_threads_run_at_once() {
        let threads = [(); 3]
            .map(|()| std::thread::spawn(|| (0..3).map(|n| run(async move { n })).sum::<u32>()));
        for thread in threads {
            assert_eq!(thread.join().unwrap(), 3);
        }
    }
}

/// Trap 1: tokio asks the system after each wake-up of the future of `block_on`.
mod spawned {
    use super::*;

    #[test]
    fn main_runs_in_a_task_of_the_host_and_not_in_block_on() {
        assert!(run(async { tokio::task::try_id() }).is_some());
        assert!(host(async { tokio::task::try_id() }).is_none());
    }

    #[test]
    fn round_trips_between_tasks_of_both_do_not_park_the_host() {
        const ROUNDS: u64 = 2000;
        let parks = run(async {
            let (there, mut requests) = mpsc::channel::<u64>(1);
            let (back, mut answers) = mpsc::channel::<u64>(1);
            tokio::spawn(async move {
                while let Some(request) = requests.recv().await {
                    back.send(request).await.unwrap();
                }
            });
            let metrics = tokio::runtime::Handle::current().metrics();
            let before = metrics.worker_park_count(0);
            for n in 0..ROUNDS {
                there.send(n).await.unwrap();
                assert_eq!(answers.recv().await, Some(n));
            }
            metrics.worker_park_count(0) - before
        });
        assert!(parks < ROUNDS / 4, "{parks}");
    }
}

/// Trap 2: one poll of the guest has one budget of tokio's, for all tasks of ours.
mod budget {
    use super::*;

    #[test]
    fn a_busy_task_beside_a_flood_of_messages_costs_few_polls() {
        const MESSAGES: u32 = 20_000;
        let (spins, parks) = run(async {
            let (sender, mut receiver) = mpsc::unbounded_channel();
            (0..MESSAGES).for_each(|n| sender.send(n).unwrap());
            let done = Rc::new(Cell::new(false));
            let spins = spawn({
                let done = done.clone();
                async move {
                    let mut spins = 0_u64;
                    while !done.get() {
                        spins += 1;
                        yield_now().await;
                    }
                    spins
                }
            });
            let metrics = tokio::runtime::Handle::current().metrics();
            let before = metrics.worker_park_count(0);
            for n in 0..MESSAGES {
                assert_eq!(receiver.recv().await, Some(n));
            }
            done.set(true);
            (spins.await.unwrap(), metrics.worker_park_count(0) - before)
        });
        // The budget is 128 messages. A guest that woke itself would spin on, with nothing to receive.
        let polls = u64::from(MESSAGES / 128);
        assert!(
            spins < 128 * (4 * polls + 100),
            "{spins} spins, {parks} parks"
        );
    }

    #[test]
    fn a_turn_ends_with_the_budget_of_tokio() {
        const TASKS: u32 = 600;
        // The loop's own budget of a turn is no reason to end it.
        let polls = run_with(EventLoop::builder().task_budget(10_000), async {
            let polls = Rc::new(Cell::new(0));
            let tasks: Vec<_> = (0..TASKS)
                .map(|_| {
                    let polls = polls.clone();
                    let mut spends = Box::pin(tokio::task::coop::consume_budget());
                    spawn(std::future::poll_fn(move |cx| {
                        polls.set(polls.get() + 1);
                        spends.as_mut().poll(cx)
                    }))
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            polls.get()
        });
        // The budget is 128, and a turn may have a step with nothing left of it.
        assert!(polls <= TASKS + 2 * TASKS / 128, "{polls} polls");
    }

    /// The host is asked for its turn after a slice of time, not after each turn of the loop.
    #[test]
    fn a_poll_has_many_turns() {
        const TURNS: u32 = 2000;
        let polls = host(async {
            let one_step_a_turn = EventLoop::builder().ctrl_c(false).task_budget(1);
            let guest = Guest::with(one_step_a_turn, async {
                for _ in 0..TURNS {
                    yield_now().await;
                }
            });
            let mut guest = guest.unwrap();
            let mut polls = 0;
            let counted = std::future::poll_fn(|cx| {
                polls += 1;
                std::pin::Pin::new(&mut guest).poll(cx)
            });
            counted.await.unwrap();
            polls
        });
        assert!(polls < TURNS / 2, "{polls} polls");
    }

    #[test]
    fn a_task_of_tokio_goes_on_beside_a_guest_that_is_always_ready() {
        let rounds = run(async {
            let stop = Arc::new(AtomicBool::new(false));
            let theirs = tokio::spawn({
                let stop = stop.clone();
                async move {
                    for _ in 0..100 {
                        tokio::task::yield_now().await;
                    }
                    stop.store(true, Ordering::Relaxed);
                }
            });
            let mut rounds = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                rounds += 1;
                yield_now().await;
            }
            theirs.await.unwrap();
            rounds
        });
        assert!(rounds > 0);
    }

    #[test]
    fn timers_and_sockets_of_tokio_go_on_beside_a_guest_that_is_always_ready() {
        run(async {
            let woken = Rc::new(Cell::new(0));
            let counted = woken.clone();
            let theirs = spawn(async move {
                for _ in 0..5 {
                    tokio::time::sleep(ms(2)).await;
                    counted.set(counted.get() + 1);
                }
            });
            while woken.get() < 5 {
                yield_now().await;
            }
            theirs.await.unwrap();
        });
    }

    /// A future beside the guest, in the same task, takes the whole budget of each poll.
    #[test]
    fn a_sibling_that_spends_the_budget_does_not_starve_the_guest() {
        host(async {
            let stop = Rc::new(Cell::new(false));
            let stops = stop.clone();
            let guest = Guest::new(async move {
                for _ in 0..20 {
                    yield_now().await;
                }
                stops.set(true);
            });
            let mut glutton = Box::pin(async {
                while !stop.get() {
                    // Always ready, and each one costs.
                    tokio::task::consume_budget().await;
                }
                std::future::pending::<()>().await;
            });
            let mut guest = guest.unwrap();
            // In each poll the glutton comes first.
            let both = std::future::poll_fn(|cx| {
                let _pending = glutton.as_mut().poll(cx);
                std::pin::Pin::new(&mut guest).poll(cx)
            });
            soon(both).await.unwrap();
        });
    }
}

/// Trap 3: hosts wait in milliseconds, rounded up.
mod deadlines {
    use super::*;

    /// The median of how late 40 sleeps end.
    #[cfg(target_os = "linux")]
    async fn lateness() -> Duration {
        let mut late = Vec::new();
        for n in 0..40 {
            let length = Duration::from_micros(1500 + 20 * n);
            let start = Instant::now();
            sleep(length).await;
            late.push(start.elapsed().checked_sub(length).expect("never early"));
        }
        late.sort();
        late[20]
    }

    /// A timer of tokio's is a millisecond late. On a busy machine both are late now and then.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_sleep_is_finer_than_a_millisecond() {
        let limit = Duration::from_micros(500);
        let is_fine = run(async move {
            for _ in 0..20 {
                if lateness().await < limit {
                    return true;
                }
            }
            false
        });
        assert!(is_fine);
    }

    #[test]
    fn sleeps_of_all_lengths_end_in_order_and_never_early() {
        let ended = run(async {
            let ended = Rc::new(RefCell::new(Vec::new()));
            let tasks: Vec<_> = [30, 1, 12, 4, 0, 7, 2, 20]
                .into_iter()
                .map(|n| {
                    let ended = ended.clone();
                    spawn(async move {
                        let start = time();
                        sleep(ms(n)).await;
                        assert!(time() - start >= ms(n));
                        ended.borrow_mut().push(n);
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            ended.take()
        });
        assert_eq!(ended, [0, 1, 2, 4, 7, 12, 20, 30]);
    }

    #[test]
    fn an_earlier_deadline_moves_the_timer_of_the_host() {
        let elapsed = run(async {
            let start = Instant::now();
            let late = spawn(sleep(secs(3600)));
            yield_now().await;
            tokio::time::sleep(ms(1)).await;
            sleep(ms(20)).await;
            drop(late);
            start.elapsed()
        });
        assert!(ms(20) <= elapsed && elapsed < secs(60));
    }

    #[test]
    fn a_callback_is_called_while_the_host_waits() {
        run(async {
            let (sender, receiver) = oneshot::channel();
            let _handle = call_later(ms(5), move || sender.send("called").unwrap());
            assert_eq!(receiver.await.unwrap(), "called");
        });
    }
}

/// Traps 4, 5 and 7: sources of our own.
#[cfg(unix)]
mod sources {
    use super::*;
    use asyncio_reactor::{Interest, Registered};
    use mio::unix::pipe::{self, Receiver, Sender};
    use std::future::poll_fn;
    use std::io::{Read, Write};

    fn source() -> (Sender, Registered<Receiver>) {
        let (sender, receiver) = pipe::new().unwrap();
        let reactor = asyncio_loop::reactor();
        (
            sender,
            reactor.register(receiver, Interest::READABLE).unwrap(),
        )
    }

    async fn read(source: &Registered<Receiver>) -> usize {
        let read = |mut pipe: &Receiver| pipe.read(&mut [0]);
        poll_fn(|cx| source.poll_read_with(cx, 1, read))
            .await
            .unwrap()
    }

    /// Trap 4: wakers that the reactor keeps for its next turn.
    #[test]
    fn a_task_that_stands_back_from_its_source_goes_on() {
        const BYTES: usize = 4000;
        run(async {
            let (mut sender, receiver) = source();
            sender.write_all(&[0; BYTES]).unwrap();
            for _ in 0..BYTES {
                assert_eq!(read(&receiver).await, 1);
            }
        });
    }

    /// Trap 5: an edge between the host's look and the loop's.
    #[test]
    fn no_byte_of_another_thread_is_lost() {
        const BYTES: usize = 3000;
        run(async {
            let (mut sender, receiver) = source();
            let writer = std::thread::spawn(move || {
                for n in 0..BYTES {
                    sender.write_all(&[0]).unwrap();
                    if n % 7 == 0 {
                        std::thread::yield_now();
                    }
                }
            });
            for _ in 0..BYTES {
                assert_eq!(read(&receiver).await, 1);
            }
            assert_eq!(read(&receiver).await, 0, "the end of the pipe");
            writer.join().unwrap();
        });
    }

    /// Trap 5, mixed: sources of ours, sockets of tokio's, channels and timers.
    #[test]
    fn mixed_rounds_come_to_their_end() {
        run(async {
            let tasks: Vec<_> = (0..16)
                .map(|lane| {
                    spawn(async move {
                        let (mut sender, receiver) = source();
                        let (there, mut here) = mpsc::channel(1);
                        for n in 0..100 {
                            sender.write_all(&[1]).unwrap();
                            assert_eq!(read(&receiver).await, 1);
                            let there = there.clone();
                            tokio::spawn(async move { there.send(n).await });
                            assert_eq!(here.recv().await, Some(n));
                            match (lane + n) % 5 {
                                0 => tokio::task::yield_now().await,
                                1 => yield_now().await,
                                2 if n % 20 == 0 => sleep(ms(1)).await,
                                3 if n % 20 == 0 => tokio::time::sleep(ms(1)).await,
                                _ => {}
                            }
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
    }

    /// More events than one system call returns, and one edge for tokio.
    #[test]
    fn a_burst_of_events_is_taken_whole() {
        run(async {
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..1300).map(|_| source()).unzip();
            let readers: Vec<_> = receivers
                .into_iter()
                .map(|receiver| spawn(async move { read(&receiver).await }))
                .collect();
            tokio::time::sleep(ms(1)).await;
            for mut sender in senders {
                sender.write_all(&[1]).unwrap();
            }
            for reader in readers {
                assert_eq!(reader.await.unwrap(), 1);
            }
        });
    }

    /// Trap 7: a source of ours that a task of the host polls.
    #[test]
    fn a_task_of_tokio_waits_for_a_source_of_ours() {
        run(async {
            let (mut sender, receiver) = source();
            let theirs = spawn_local(async move { read(&receiver).await });
            tokio::task::yield_now().await;
            sleep(ms(2)).await;
            sender.write_all(&[1]).unwrap();
            assert_eq!(theirs.await.unwrap(), 1);
        });
    }
}

/// An idle guest costs nothing.
#[cfg(target_os = "linux")]
mod idle {
    use super::*;
    use std::fs;
    use std::thread;

    /// How often a thread has waited in the system. A thread that makes no call and runs no code does not.
    fn waits(thread: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/self/task/{thread}/status")).unwrap();
        let waits = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        waits.unwrap().trim().parse().unwrap()
    }

    #[test]
    fn a_guest_that_waits_makes_no_system_call() {
        let (tell, told) = std_mpsc::channel();
        let (end, ended) = oneshot::channel();
        let guest = thread::spawn(move || {
            run(async move {
                let link = fs::read_link("/proc/thread-self").unwrap();
                let number = link.file_name().unwrap().to_str().unwrap().to_owned();
                // A deadline far away, a job that has ended, and a task of tokio's that waits.
                let far = spawn(sleep(secs(3600)));
                to_thread(|| ()).await.unwrap();
                let theirs = tokio::spawn(std::future::pending::<()>());
                tell.send(number).unwrap();
                ended.await.unwrap();
                theirs.abort();
                far.cancel();
            });
        });
        let number = told.recv().unwrap();
        // It comes to rest some time after it has told.
        let is_idle = (0..50).any(|_| {
            let before = waits(&number);
            thread::sleep(ms(100));
            waits(&number) == before
        });
        assert!(is_idle, "{} waits", waits(&number));
        end.send(()).unwrap();
        guest.join().unwrap();
    }
}

/// Trap 6: the host is not blocked while the loop closes.
mod closing {
    use super::*;

    #[test]
    fn a_cleanup_waits_for_a_timer_of_tokio_after_main_has_ended() {
        let trace = Trace::default();
        let noted = trace.clone();
        run(async move {
            spawn(async move {
                let Err(cancelled) = catch_cancel(forever()).await else {
                    return;
                };
                tokio::time::sleep(ms(5)).await;
                noted.note("the timer");
                tokio::task::spawn_blocking(|| ()).await.unwrap();
                noted.note("the job");
                tokio::spawn(async { tokio::task::yield_now().await })
                    .await
                    .unwrap();
                noted.note("the task");
                cancelled.resume().await
            })
            .detach();
            yield_now().await;
        });
        assert_eq!(trace.take(), ["the timer", "the job", "the task"]);
    }

    #[test]
    fn the_host_goes_on_while_a_cleanup_waits_for_it() {
        host(async {
            let (asked, asks) = oneshot::channel();
            let (answers, answer) = oneshot::channel();
            let guest = Guest::new(async move {
                spawn(async move {
                    let Err(cancelled) = catch_cancel(forever()).await else {
                        return;
                    };
                    asked.send(()).unwrap();
                    answer.await.unwrap();
                    cancelled.resume().await
                })
                .detach();
                yield_now().await;
                "main"
            });
            let ended = spawn_local(guest.unwrap());
            soon(asks).await.unwrap();
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            assert!(!ended.is_finished());
            answers.send(()).unwrap();
            assert_eq!(soon(ended).await.unwrap().unwrap(), "main");
        });
    }

    // The loop is gone while the descriptor is polled.
    // Proves F1.
    #[test]
    fn a_job_of_our_default_pool_holds_the_guest_and_not_the_host() {
        host(async {
            let (release, blocks) = std_mpsc::channel::<()>();
            let guest = Guest::new(async move {
                let (begun, begins) = oneshot::channel();
                spawn(async move {
                    let job = to_thread(move || {
                        begun.send(()).unwrap();
                        blocks.recv().unwrap();
                    });
                    job.await.unwrap();
                })
                .detach();
                begins.await.unwrap();
            });
            let ended = spawn_local(guest.unwrap());
            tokio::time::sleep(ms(20)).await;
            assert!(!ended.is_finished());
            release.send(()).unwrap();
            soon(ended).await.unwrap().unwrap();
        });
    }

    #[test]
    fn tasks_that_cleanups_spawn_are_cancelled_in_the_next_pass() {
        let trace = Trace::default();
        let noted = trace.clone();
        run(async move {
            spawn(async move {
                on_cancel(forever(), async {
                    let noted = noted.clone();
                    spawn(async move {
                        on_cancel(forever(), async {
                            tokio::time::sleep(ms(1)).await;
                            noted.note("the second pass");
                        })
                        .await;
                    })
                    .detach();
                    tokio::time::sleep(ms(1)).await;
                })
                .await;
            })
            .detach();
            yield_now().await;
        });
        assert_eq!(trace.take(), ["the second pass"]);
    }
}

/// Trap 8: a guest that is dropped, forgotten, or not polled.
mod dropping {
    use super::*;

    #[test]
    fn a_dropped_guest_drops_its_tasks_and_does_not_wait() {
        let trace = Trace::default();
        host(async {
            let guard = trace.on_drop("main");
            let guest = Guest::new(async move {
                on_cancel(forever(), async { drop(guard) }).await;
            });
            let reports = trace.clone();
            let mut guest = guest.unwrap();
            guest
                .event_loop()
                .set_exception_handler(move |report| reports.note(report));
            // Polled once.
            assert!(tokio::time::timeout(ms(1), &mut guest).await.is_err());
        });
        let trace = trace.take();
        assert!(trace[0].starts_with("a task was dropped"), "{trace:?}");
        assert_eq!(trace[1..], ["main"]);
    }

    #[test]
    fn a_guest_ends_with_its_runtime() {
        let trace = Trace::default();
        let runtime = LocalRuntime::new().unwrap();
        let guard = trace.on_drop("main");
        runtime.block_on(async {
            let guest = Guest::new(async move {
                forever().await;
                drop(guard);
            });
            let guest = guest.unwrap();
            guest.event_loop().set_exception_handler(|_| ());
            spawn_local(guest);
            tokio::task::yield_now().await;
        });
        assert!(trace.take().is_empty());
        drop(runtime);
        assert_eq!(trace.take(), ["main"]);
    }

    #[test]
    fn a_forgotten_guest_is_a_leak_and_nothing_worse() {
        host(async {
            let mut guest = Guest::new(async { sleep(secs(3600)).await }).unwrap();
            assert!(
                tokio::time::timeout(Duration::ZERO, &mut guest)
                    .await
                    .is_err()
            );
            std::mem::forget(guest);
            tokio::time::sleep(ms(3)).await;
        });
    }

    /// Trap 10: tokio's driver trusts the descriptor that it was given.
    #[cfg(unix)]
    #[test]
    fn the_number_of_the_descriptor_is_free_after_the_guest() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        host(soon(async {
            for _ in 0..20 {
                let guest = Guest::new(forever()).unwrap();
                let set = LocalSet::new();
                let task = set.spawn_local(guest);
                set.run_until(tokio::task::yield_now()).await;
                task.abort();
                drop(set);
                // The system gives the numbers of the guest's descriptors to these.
                let (mut one, mut other) = tokio::net::UnixStream::pair().unwrap();
                one.write_all(b"a").await.unwrap();
                assert_eq!(other.read_u8().await.unwrap(), b'a');
            }
        }));
    }

    #[test]
    fn a_guest_that_is_never_polled_runs_nothing() {
        let trace = Trace::default();
        let noted = trace.clone();
        host(async {
            let guest = Guest::new(async move { noted.note("ran") }).unwrap();
            guest.event_loop().set_exception_handler(|_| ());
        });
        assert!(trace.take().is_empty());
    }

    #[test]
    fn the_request_of_the_host_is_the_end_in_order() {
        let trace = Trace::default();
        let noted = trace.clone();
        let error = host(async {
            let guest = Guest::<()>::new(async move {
                on_cancel(forever(), async {
                    tokio::time::sleep(ms(1)).await;
                    noted.note("cleaned up");
                })
                .await;
            });
            let guest = guest.unwrap();
            let main = guest.main().clone();
            let ended = spawn_local(guest);
            tokio::task::yield_now().await;
            assert!(main.cancel_with("enough"));
            soon(ended).await.unwrap().unwrap_err()
        });
        assert_eq!(error.message(), Some("enough"));
        assert_eq!(trace.take(), ["cleaned up"]);
    }

    #[test]
    fn a_stopped_guest_says_so() {
        let outcome = host(async {
            let guest = Guest::<()>::new(forever()).unwrap();
            guest.handle().stop();
            soon(spawn_local(guest)).await.unwrap()
        });
        assert!(matches!(outcome, Err(JoinError::Stopped(_))));
    }
}

/// Trap 9: between two polls the loop is not the current one.
mod between_polls {
    use super::*;

    #[test]
    fn a_callback_of_the_host_wakes_tasks_and_the_guest() {
        host(async {
            let notify = Rc::new(Notify::new());
            let waits = notify.clone();
            let guest = Guest::new(async move { waits.notified().await });
            let ended = spawn_local(guest.unwrap());
            tokio::time::sleep(ms(1)).await;
            notify.notify_one();
            soon(ended).await.unwrap().unwrap();
        });
    }

    #[test]
    fn the_running_loop_is_not_there_and_the_handle_is() {
        host(async {
            let guest = Guest::new(async { sleep(ms(5)).await }).unwrap();
            let handle = guest.handle();
            let ended = spawn_local(guest);
            tokio::task::yield_now().await;
            assert!(asyncio_loop::try_running_loop().is_err());
            let (sender, receiver) = oneshot::channel();
            handle
                .spawn(move || async move { sender.send("spawned").unwrap() })
                .unwrap();
            assert_eq!(soon(receiver).await.unwrap(), "spawned");
            soon(ended).await.unwrap().unwrap();
        });
    }

    #[test]
    fn two_guests_share_a_host() {
        host(async {
            let (sender, mut receiver) = mpsc::channel(1);
            let first = Guest::new(async move {
                for n in 0..100 {
                    sender.send(n).await.unwrap();
                }
            });
            let second = Guest::new(async move {
                let mut sum = 0;
                while let Some(n) = receiver.recv().await {
                    sum += n;
                }
                sum
            });
            let (first, second) = (spawn_local(first.unwrap()), spawn_local(second.unwrap()));
            soon(first).await.unwrap().unwrap();
            assert_eq!(soon(second).await.unwrap().unwrap(), 4950);
        });
    }
}

/// Trap 8: a main task that borrows is gone before the call that runs it has ended.
mod borrowing {
    use super::*;

    #[test]
    fn main_and_its_children_borrow_and_main_returns_a_borrow() {
        let names = ["Ada".to_owned(), "Grace".to_owned(), "Bob".to_owned()];
        let mut lengths = Vec::new();
        let longest: &str = run(soon(async {
            let group = task_group(async |tg: TaskGroup<'_>| {
                let children = names.each_ref().map(|name| {
                    tg.spawn(async move {
                        tokio::time::sleep(ms(1)).await;
                        Ok::<_, BoxError>(name.len())
                    })
                });
                for child in children {
                    lengths.push(child.await?);
                }
                Ok(())
            });
            group.await.unwrap();
            names.iter().max_by_key(|name| name.len()).unwrap()
        }));
        assert_eq!((longest, &lengths[..]), ("Grace", &[3, 5, 3][..]));
    }

    #[test]
    fn main_is_dropped_where_it_ends() {
        let trace = Trace::default();
        run(async {
            let own = trace.clone();
            spawn(async move {
                on_cancel(forever(), async { own.note("the last task") }).await;
            })
            .detach();
            let _main = trace.on_drop("main");
            yield_now().await;
        });
        assert_eq!(trace.take(), ["main", "the last task"]);
    }

    #[test]
    fn a_main_that_panics_or_is_cut_short_is_dropped_first() {
        let trace = Trace::default();
        let panics = async {
            let _main = trace.on_drop("main");
            tokio::task::yield_now().await;
            panic!("the reason");
        };
        assert_eq!(panic_of(|| run(panics)), "the reason");
        trace.note("run has unwound");
        let stopped = async {
            let _main = trace.on_drop("main");
            running_loop().stop();
            forever().await;
        };
        let message = panic_of(|| run(stopped));
        assert!(message.contains("stopped"), "{message}");
        trace.note("run has unwound");
        assert_eq!(trace.take(), ["main", "run has unwound"].repeat(2));
    }

    #[test]
    fn a_report_of_main_names_the_line_of_the_call() {
        let line = line!() + 1;
        let place = run(async { asyncio_loop::current_task().unwrap().info().location });
        assert!(place.file().ends_with("guest.rs"));
        assert_eq!(place.line(), line);
    }
}

/// A guest that moves from one task of the host to another is woken where it is.
mod moving {
    use super::*;
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::sync::Mutex;
    use std::task::{Context, Poll, Wake, Waker};

    /// Polls the guest in a task that has another one's waker, then gives it to a new task.
    async fn moved<T: 'static>(mut guest: Guest<T>) -> Guest<T> {
        let polled = spawn_local(async move {
            let none = poll_fn(|cx| Poll::Ready(Pin::new(&mut guest).poll(cx).is_ready())).await;
            assert!(!none);
            (guest,)
        });
        let (guest,) = polled.await.unwrap();
        guest
    }

    #[test]
    fn by_a_message_a_timer_and_a_task_of_the_host() {
        host(async {
            let (sender, receiver) = oneshot::channel();
            let told = Rc::new(Notify::new());
            let tells = told.clone();
            let guest = Guest::new(async move {
                receiver.await.unwrap();
                tells.notify_one();
                sleep(ms(8)).await;
                "slept"
            });
            let guest = moved(guest.unwrap()).await;
            let guest = moved(guest).await;
            let ended = spawn_local(guest);
            tokio::task::yield_now().await;
            std::thread::spawn(move || sender.send(()).unwrap());
            soon(told.notified()).await;
            assert_eq!(soon(ended).await.unwrap().unwrap(), "slept");
        });
    }

    /// The waker of one poll, which is worth nothing after the next.
    struct OfOnePoll {
        number: u64,
        last: Arc<Mutex<(u64, Waker)>>,
    }

    impl Wake for OfOnePoll {
        fn wake(self: Arc<Self>) {
            let (last, waker) = self.last.lock().unwrap().clone();
            if last == self.number {
                waker.wake();
            }
        }
    }

    #[test]
    fn a_poll_counts_whose_waker_replaces_the_last() {
        host(async {
            let (ask, mut asked) = mpsc::unbounded_channel();
            let (answer, mut answers) = mpsc::unbounded_channel();
            drop(tokio::spawn(async move {
                while let Some(n) = asked.recv().await {
                    answer.send(n).unwrap();
                }
            }));
            let guest = Guest::new(async move {
                for n in 0..200 {
                    ask.send(n).unwrap();
                    assert_eq!(answers.recv().await, Some(n));
                    if n % 20 == 0 {
                        sleep(ms(n / 50)).await;
                    }
                }
            });
            let mut guest = guest.unwrap();
            let last = Arc::new(Mutex::new((0, Waker::noop().clone())));
            let with_new_wakers = poll_fn(move |cx| {
                let number = {
                    let mut last = last.lock().unwrap();
                    *last = (last.0 + 1, cx.waker().clone());
                    last.0
                };
                let last = last.clone();
                let waker = Waker::from(Arc::new(OfOnePoll { number, last }));
                Pin::new(&mut guest).poll(&mut Context::from_waker(&waker))
            });
            soon(spawn_local(with_new_wakers)).await.unwrap().unwrap();
        });
    }
}

/// Traps 11 to 13: what is the host's affair, and other hosts than a `LocalRuntime`.
mod other_hosts {
    use super::*;

    #[test]
    fn virtual_time_moves_the_clock_of_the_guest_only() {
        let real = Instant::now();
        run_with(EventLoop::builder().virtual_time(true), async {
            let start = time();
            sleep(secs(3600)).await;
            assert_eq!(time() - start, secs(3600));
            // The loop does not know of tokio's timer, so a program says that it waits for something.
            let start = time();
            let held = running_loop().outside_work();
            assert!(timeout(secs(3600), tokio::time::sleep(ms(5))).await.is_ok());
            drop(held);
            assert!(time() - start < secs(3600));
        });
        assert!(real.elapsed() < secs(600));
    }

    /// Runs the host's own code on a clock of tokio's that is paused.
    fn paused<F: Future>(main: F) -> F::Output {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().start_paused(true).build().unwrap();
        LocalSet::new().block_on(&runtime, main)
    }

    #[test]
    fn a_paused_clock_of_tokio_is_that_of_the_guest() {
        let real = Instant::now();
        paused(async {
            let trace = Trace::default();
            let (ours, theirs) = (trace.clone(), trace.clone());
            let guest = Guest::new(async move {
                let start = time();
                sleep(secs(3600)).await;
                ours.note("ours after an hour");
                sleep(ms(1)).await;
                tokio::time::sleep(secs(1200)).await;
                let late = timeout(secs(600), forever()).await;
                assert!(late.is_err());
                ours.note("ours after an hour and a half");
                let passed = time() - start;
                assert!(passed >= secs(5400) && passed < secs(5401), "{passed:?}");
            });
            let guest = spawn_local(guest.unwrap());
            for note in ["half an hour", "an hour and a quarter", "two hours"] {
                let pause = secs(if note == "half an hour" { 1800 } else { 2700 });
                tokio::time::sleep(pause).await;
                theirs.note(note);
            }
            guest.await.unwrap().unwrap();
            assert_eq!(
                trace.take(),
                [
                    "half an hour",
                    "ours after an hour",
                    "an hour and a quarter",
                    "ours after an hour and a half",
                    "two hours",
                ]
            );
        });
        assert!(real.elapsed() < secs(600));
    }

    #[test]
    fn a_clock_that_is_paused_later_does_not_hold_the_host_up() {
        run(async {
            let start = time();
            let task = spawn(async {
                sleep(secs(500)).await;
                sleep(ms(2)).await;
            });
            yield_now().await;
            tokio::time::pause();
            let before = Instant::now();
            tokio::time::sleep(secs(300)).await;
            assert!(!task.is_finished());
            tokio::time::sleep(secs(300)).await;
            assert!(task.is_finished());
            assert!(before.elapsed() < secs(60), "the host stood still");
            assert!(time() - start >= secs(600));
            tokio::time::resume();
            let start = Instant::now();
            sleep(ms(3)).await;
            assert!(start.elapsed() >= ms(3));
        });
    }

    #[test]
    fn a_guest_does_not_move_to_another_runtime() {
        let (first, second) = (LocalRuntime::new().unwrap(), LocalRuntime::new().unwrap());
        let mut kept = None;
        first.block_on(async {
            let guest = Guest::new(async { sleep(secs(60)).await });
            let _elapsed = tokio::time::timeout(ms(1), kept.insert(guest.unwrap())).await;
        });
        let guest = kept.unwrap();
        let panic = panic_of(|| second.block_on(async { guest.await.unwrap() }));
        assert!(panic.contains("await it there"), "{panic}");
    }

    #[test]
    fn block_in_place_needs_several_threads() {
        let panic = panic_of(|| run(async { tokio::task::block_in_place(|| ()) }));
        assert!(panic.contains("multi-threaded runtime"), "{panic}");
    }

    #[test]
    fn a_guest_runs_as_the_future_of_block_on() {
        let value = host(async {
            let guest = Guest::new(async {
                tokio::spawn(async { tokio::time::sleep(ms(1)).await })
                    .await
                    .unwrap();
                5
            });
            soon(guest.unwrap()).await.unwrap()
        });
        assert_eq!(value, 5);
    }

    #[test]
    fn a_guest_runs_in_a_local_set_of_several_threads() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let count = Arc::new(AtomicU32::new(0));
        let counted = count.clone();
        let tasks = tokio::task::LocalSet::new();
        runtime.block_on(tasks.run_until(async move {
            let guest = Guest::new(async move {
                let (sender, mut receiver) = mpsc::channel(1);
                tokio::spawn(async move {
                    for n in 0..100_u32 {
                        sender.send(n).await.unwrap();
                    }
                });
                while receiver.recv().await.is_some() {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                sleep(ms(2)).await;
            });
            soon(spawn_local(guest.unwrap())).await.unwrap().unwrap();
        }));
        assert_eq!(count.load(Ordering::Relaxed), 100);
    }

    #[test]
    fn a_run_inside_of_a_runtime_is_refused() {
        let panic = panic_of(|| host(async { run(async {}) }));
        assert!(panic.contains("runtime"), "{panic}");
    }

    #[test]
    fn a_guest_inside_of_a_run_of_ours_is_refused() {
        let panic = panic_of(|| {
            asyncio_loop::run(async {
                host(async { Guest::new(async {}).unwrap().await.unwrap() });
            });
        });
        assert!(
            panic.starts_with("an event loop runs on this thread already"),
            "{panic}"
        );
    }
}
