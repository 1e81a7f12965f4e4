//! Loops on threads of their own.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Gate, LONG, Trace, eventually, panic_of};
use asyncio_loop::{
    EventLoop, JoinError, running_loop, set_exception_handler, sleep, spawn, yield_now,
};
use asyncio_pool::{LoopThread, StopError, to_thread};

mod running {
    use super::*;

    #[test]
    fn a_coroutine_runs_there_and_its_value_comes_here() {
        let background = LoopThread::builder().name("back\0ground").start().unwrap();
        let name = background.run(|| async {
            let rc = Rc::new(RefCell::new(Vec::new())); // it need not be `Send`
            let inside = rc.clone();
            let name = move || {
                inside
                    .borrow_mut()
                    .push(thread::current().name().map(str::to_owned))
            };
            spawn(async move { name() }).await.unwrap();
            rc.take().remove(0)
        });
        assert_eq!(name.unwrap().as_deref(), Some("background"));
        background.stop(LONG).unwrap();
    }

    #[test]
    fn a_panic_and_a_cancellation_come_here_too() {
        let background = LoopThread::start().unwrap();
        let panicked = background.run(|| async { panic!("over there") });
        assert!(panicked.unwrap_err().to_string().contains("over there"));
        let cancelled = background.run(|| async {
            asyncio_loop::current_task().unwrap().cancel();
            std::future::pending::<()>().await;
        });
        assert!(cancelled.unwrap_err().is_cancelled());
        assert_eq!(background.run(|| async { 7 }).unwrap(), 7);
    }

    #[test]
    fn many_threads_use_it_at_once() {
        let background = LoopThread::start().unwrap();
        thread::scope(|scope| {
            for sender in 0..4_u64 {
                let background = &background;
                scope.spawn(move || {
                    for n in 0..500 {
                        let sum = background.run(move || async move {
                            yield_now().await;
                            sender + n
                        });
                        assert_eq!(sum.unwrap(), sender + n);
                    }
                });
            }
        });
        background.stop(LONG).unwrap();
    }

    #[test]
    fn what_is_to_be_done_first_is_done_first() {
        let trace = Trace::default();
        let noted = trace.clone();
        let background = LoopThread::builder()
            .on_start(move || {
                let reports = noted.clone();
                set_exception_handler(move |unhandled| reports.note(unhandled.to_string()));
                noted.note("first");
            })
            .start()
            .unwrap();
        let noted = trace.clone();
        background
            .run(|| async move { noted.note("second") })
            .unwrap();
        background
            .handle()
            .call_soon_threadsafe(|| panic!("reported"))
            .unwrap();
        background.stop(LONG).unwrap();
        let trace = trace.take();
        assert_eq!(trace[..2], ["first", "second"]);
        assert!(
            trace[2].starts_with("a callback panicked: reported"),
            "{trace:?}"
        );
    }

    #[test]
    fn it_has_virtual_time_if_it_is_asked_for() {
        let builder = EventLoop::builder().virtual_time(true);
        let background = LoopThread::builder().event_loop(builder).start().unwrap();
        let hour = || async { sleep(Duration::from_secs(3600)).await };
        background.run(hour).unwrap();
    }

    #[test]
    fn to_wait_on_its_own_thread_is_a_panic() {
        let background = LoopThread::start().unwrap();
        let (sender, receiver) = mpsc::channel::<LoopThread>();
        let handle = background.handle().clone();
        let message = handle
            .run_coroutine_threadsafe(move || async move {
                let own = receiver.recv().unwrap();
                let run = panic_of(|| own.run(|| async {}));
                (run, panic_of(|| own.stop(LONG)))
            })
            .unwrap();
        sender.send(background).unwrap();
        let (run, stop) = message.wait().unwrap();
        assert!(run.contains("would block forever"), "{run}");
        assert!(stop.contains("cannot wait for its own end"), "{stop}");
        eventually("the loop did not end", || handle.is_closed());
    }
}

mod the_end {
    use super::*;

    #[test]
    fn tasks_are_cancelled_and_waited_for() {
        let trace = Trace::default();
        let background = LoopThread::start().unwrap();
        let guard = trace.on_drop("the task");
        let task = background
            .handle()
            .run_coroutine_threadsafe(move || async move {
                std::future::pending::<()>().await;
                drop(guard);
            })
            .unwrap();
        background.stop(LONG).unwrap();
        assert_eq!(trace.take(), ["the task dropped: asyncio-loop"]);
        assert!(task.wait().unwrap_err().is_cancelled());
    }

    #[test]
    fn dropping_it_stops_it_and_waits() {
        let trace = Trace::default();
        let background = LoopThread::start().unwrap();
        let handle = background.handle().clone();
        let guard = trace.on_drop("the task");
        handle
            .spawn(move || async move {
                std::future::pending::<()>().await;
                drop(guard);
            })
            .unwrap();
        drop(background);
        assert_eq!(trace.take(), ["the task dropped: asyncio-loop"]);
        assert!(handle.call_soon_threadsafe(|| ()).is_err());
    }

    #[test]
    fn it_may_be_dropped_on_its_own_thread() {
        let background = LoopThread::start().unwrap();
        let handle = background.handle().clone();
        handle
            .call_soon_threadsafe(move || drop(background))
            .unwrap();
        eventually("the loop did not end", || handle.is_closed());
    }

    #[test]
    fn a_loop_that_was_stopped_refuses() {
        let background = LoopThread::start().unwrap();
        background.handle().stop();
        eventually("the loop did not end", || background.is_finished());
        let refused = background.run(|| async {});
        assert!(matches!(refused, Err(JoinError::Stopped(_))));
        background.stop(LONG).unwrap();
    }

    #[test]
    fn jobs_of_its_default_pool_are_waited_for() {
        let trace = Trace::default();
        let background = LoopThread::start().unwrap();
        let (begun, gate) = (Gate::default(), Gate::default());
        let (inner_begun, inner_gate, noted) = (begun.clone(), gate.clone(), trace.clone());
        background
            .run(move || async move {
                let job = to_thread(move || {
                    inner_begun.open();
                    inner_gate.pass();
                    noted.note("the job ends");
                });
                job.detach();
            })
            .unwrap();
        begun.pass();
        let opener = thread::spawn(move || gate.open());
        background.stop(LONG).unwrap();
        opener.join().unwrap();
        assert_eq!(trace.take(), ["the job ends"]);
    }

    #[test]
    fn one_that_is_blocked_is_left_to_itself() {
        let background = LoopThread::start().unwrap();
        let (begun, gate) = (Gate::default(), Gate::default());
        let (inner_begun, inner_gate) = (begun.clone(), gate.clone());
        let blocks = move || {
            inner_begun.open();
            inner_gate.pass();
        };
        let handle = background.handle().clone();
        handle.call_soon_threadsafe(blocks).unwrap();
        begun.pass();
        let since = Instant::now();
        let stopped = background.stop(Duration::ZERO);
        assert!(matches!(stopped, Err(StopError::Blocked(_))), "{stopped:?}");
        assert!(since.elapsed() < LONG);
        gate.open();
        eventually("the loop did not end", || handle.is_closed());
    }

    /// Thousands of calls from several threads while the loop ends: each one runs or comes back, and each wait ends.
    #[test]
    fn nothing_is_lost_in_a_storm() {
        for round in 0..10_u64 {
            let background = LoopThread::start().unwrap();
            let handle = background.handle();
            let ran = std::sync::atomic::AtomicUsize::new(0);
            let ran = &*Box::leak(Box::new(ran));
            let order = std::sync::atomic::Ordering::SeqCst;
            let sent = thread::scope(|scope| {
                let senders: Vec<_> = (0..4)
                    .map(|_| {
                        let handle = handle.clone();
                        scope.spawn(move || {
                            let mut sent = 0;
                            for n in 0..2000_u32 {
                                let call = move || {
                                    ran.fetch_add(1, order);
                                };
                                if n % 3 == 0 {
                                    let task =
                                        handle.run_coroutine_threadsafe(move || async move { n });
                                    match task.map(|task| task.wait()) {
                                        Ok(Ok(value)) => assert_eq!(value, n),
                                        Ok(Err(error)) => assert!(error.is_cancelled(), "{error}"),
                                        Err(_closed) => {}
                                    }
                                } else if handle.call_soon_threadsafe(call).is_ok() {
                                    sent += 1;
                                }
                            }
                            sent
                        })
                    })
                    .collect();
                scope.spawn(move || {
                    thread::sleep(Duration::from_micros(300 * round));
                    handle.stop();
                });
                senders
                    .into_iter()
                    .map(|s| s.join().unwrap())
                    .sum::<usize>()
            });
            background.stop(LONG).unwrap();
            assert!(ran.load(order) <= sent);
        }
    }
}

#[test]
fn loops_may_talk_to_each_other() {
    let (one, two) = (LoopThread::start().unwrap(), LoopThread::start().unwrap());
    let other = two.handle().clone();
    let answer = one.run(move || async move {
        let home = running_loop();
        let asked = other.run_coroutine_threadsafe(move || async move {
            let back = home.run_coroutine_threadsafe(|| async { 20 }).unwrap();
            back.await.unwrap() + 1
        });
        asked.unwrap().await.unwrap() * 2
    });
    assert_eq!(answer.unwrap(), 42);
}
