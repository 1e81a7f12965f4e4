//! Other threads: their messages arrive in order, wake the loop, and can be withdrawn.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Instant;

use crate::support::{Trace, forever, ms, note_reports, panic_of, poll_once, run_virtual, secs};
use asyncio_loop::{
    EventLoop, JoinError, ThreadFuture, ThreadHandle, all_tasks, current_task, run, running_loop,
    sleep, spawn, yield_now,
};

/// Runs `main` on a loop, and `other` on another thread with the loop's handle; waits for both.
fn with_thread<T: Send + 'static>(
    other: impl FnOnce(asyncio_loop::LoopHandle) -> T + Send + 'static,
) -> T {
    run(async {
        let event_loop = running_loop();
        let (sender, receiver) = futures::channel::oneshot::channel();
        let thread = thread::spawn(move || {
            let _ = sender.send(other(event_loop));
        });
        let value = receiver.await;
        thread.join().unwrap();
        value.unwrap()
    })
}

#[test]
fn callbacks_of_one_thread_are_called_in_the_order_it_sent_them() {
    thread_local! {
        static SEEN: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    }
    run(async {
        let event_loop = running_loop();
        let sender = thread::spawn(move || {
            for n in 0..1000 {
                let note = move || SEEN.with_borrow_mut(|seen| seen.push(n));
                event_loop.call_soon_threadsafe(note).unwrap();
            }
        });
        while SEEN.with_borrow(Vec::len) < 1000 {
            yield_now().await;
        }
        sender.join().unwrap();
    });
    assert_eq!(SEEN.take(), (0..1000).collect::<Vec<_>>());
}

#[test]
fn a_parked_loop_is_woken() {
    let arrived = with_thread(|event_loop| {
        thread::sleep(ms(5)); // the loop is parked by now
        let (sender, receiver) = mpsc::channel();
        event_loop
            .call_soon_threadsafe(move || sender.send(thread::current().id()).unwrap())
            .unwrap();
        receiver.recv().unwrap()
    });
    assert_eq!(arrived, thread::current().id());
}

#[test]
fn any_thread_may_cancel_a_callback_until_it_begins() {
    let mut event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let (sender, receiver) = mpsc::channel::<&str>();
    let other = sender.clone();
    let off = handle
        .call_soon_threadsafe(move || other.send("called").unwrap())
        .unwrap();
    let on = handle.call_soon_threadsafe(|| ()).unwrap();
    let copy = off.clone();
    assert!(thread::spawn(move || copy.cancel()).join().unwrap());
    assert!(!off.cancel(), "once");
    event_loop
        .run_until_complete(async {
            yield_now().await;
            yield_now().await;
        })
        .unwrap();
    assert!(!on.cancel(), "too late");
    drop(sender);
    assert!(
        receiver.try_recv().is_err(),
        "the callback's captures are dropped"
    );
}

#[test]
fn a_callback_may_be_sent_from_the_loop_itself() {
    let trace = run_virtual(async |trace| {
        let event_loop = running_loop();
        let (sender, receiver) = mpsc::channel();
        event_loop
            .call_soon_threadsafe(move || sender.send(()).unwrap())
            .unwrap();
        trace.note(format!("at once: {}", receiver.try_recv().is_ok()));
        while receiver.try_recv().is_err() {
            yield_now().await;
        }
        trace.note("later");
    });
    assert_eq!(trace, ["at once: false", "later"]);
}

#[test]
fn a_coroutine_gives_its_value_and_runs_on_the_loop() {
    let home = thread::current().id();
    let (value, ran_on) = with_thread(|event_loop| {
        let not_send = || {
            let rc = Rc::new(5);
            async move {
                yield_now().await;
                (*rc, thread::current().id())
            }
        };
        let future = event_loop.run_coroutine_threadsafe(not_send).unwrap();
        future.wait().unwrap()
    });
    assert_eq!((value, ran_on), (5, home));
}

#[test]
fn a_coroutine_gives_its_error_and_its_panic() {
    with_thread(|event_loop| {
        let fails = event_loop.run_coroutine_threadsafe(|| async { Err::<(), _>("no") });
        assert_eq!(fails.unwrap().wait().unwrap(), Err("no"));

        let panics = event_loop.run_coroutine_threadsafe(|| async { panic!("in the body") });
        let error = panics.unwrap().wait().unwrap_err();
        assert!(error.is_panic());
        assert!(error.to_string().ends_with("panicked: in the body"));

        fn cannot_start() -> std::future::Ready<()> {
            panic!("before it began")
        }
        let cannot = event_loop.run_coroutine_threadsafe(cannot_start).unwrap();
        let error = cannot.wait().unwrap_err();
        assert!(error.to_string().ends_with("panicked: before it began"));
    });
}

#[test]
fn a_wait_may_time_out_and_the_task_be_cancelled() {
    with_thread(|event_loop| {
        let slow = event_loop
            .run_coroutine_threadsafe(|| async {
                forever().await;
                1
            })
            .unwrap();
        let slow = slow.wait_timeout(ms(5)).unwrap_err();
        assert!(!slow.is_finished());
        assert!(slow.cancel());
        assert!(slow.wait().unwrap_err().is_cancelled());
        let left = event_loop.run_coroutine_threadsafe(|| async { all_tasks().len() });
        assert_eq!(left.unwrap().wait().unwrap(), 2, "main and this one");
    });
}

#[test]
fn a_long_enough_wait_returns_the_outcome() {
    with_thread(|event_loop| {
        let quick = event_loop.run_coroutine_threadsafe(|| async { 7 }).unwrap();
        let outcome = quick.wait_timeout(std::time::Duration::MAX);
        assert_eq!(outcome.unwrap().unwrap(), 7);
    });
}

#[test]
fn a_request_from_another_thread_may_have_a_message() {
    with_thread(|event_loop| {
        let (sender, receiver) = mpsc::channel();
        let coroutine = move || async move {
            sender.send(()).unwrap();
            forever().await;
        };
        let future = event_loop.run_coroutine_threadsafe(coroutine).unwrap();
        receiver.recv().unwrap();
        assert!(future.cancel_with("the shop closes"));
        let error = future.wait().unwrap_err();
        assert_eq!(error.message(), Some("the shop closes"));
    });
}

#[test]
fn a_request_before_the_coroutine_begins_may_have_a_message() {
    let mut event_loop = EventLoop::new().unwrap();
    let future = event_loop.handle().run_coroutine_threadsafe(forever);
    let future = future.unwrap();
    assert!(future.cancel());
    assert!(future.cancel_with("the shop closes"));
    assert!(future.cancel());
    let main = async {
        yield_now().await;
        yield_now().await;
    };
    event_loop.run_until_complete(main).unwrap();
    let error = future.wait().unwrap_err();
    assert_eq!(error.message(), Some("the shop closes"));
}

#[test]
fn an_outcome_can_be_taken_once() {
    with_thread(|event_loop| {
        let (open, gate) = mpsc::channel::<()>();
        let coroutine = move || async move {
            gate.recv().unwrap();
            7
        };
        let mut future = event_loop.run_coroutine_threadsafe(coroutine).unwrap();
        assert!(future.try_take().is_none());
        open.send(()).unwrap();
        while !future.is_finished() {
            std::thread::yield_now();
        }
        assert_eq!(future.try_take().unwrap().unwrap(), 7);
        assert!(future.try_take().is_none());
        let again = std::panic::AssertUnwindSafe(|| future.wait());
        let payload = std::panic::catch_unwind(again).unwrap_err();
        let message = crate::support::message_of(&*payload);
        assert_eq!(
            message,
            "a `ThreadFuture` was awaited again after it gave its outcome"
        );
    });
}

#[test]
fn dropping_the_future_cancels_the_task() {
    let (sender, receiver) = mpsc::channel::<()>();
    with_thread(move |event_loop| {
        let future = event_loop
            .run_coroutine_threadsafe(|| async move {
                let _sender = sender;
                forever().await;
            })
            .unwrap();
        drop(future);
        assert_eq!(
            receiver.recv(),
            Err(mpsc::RecvError),
            "the task's frame is dropped"
        );
    });
}

#[test]
fn a_coroutine_cancelled_before_it_arrives_never_begins() {
    let mut event_loop = EventLoop::new().unwrap();
    let future = event_loop
        .handle()
        .run_coroutine_threadsafe(|| -> std::future::Ready<()> { panic!("made") })
        .unwrap();
    assert!(future.cancel());
    event_loop
        .run_until_complete(async {
            yield_now().await;
            yield_now().await;
        })
        .unwrap();
    assert!(future.is_finished());
    assert!(!future.cancel(), "the task has ended");
    assert!(future.wait().unwrap_err().is_cancelled());
}

#[test]
fn a_task_cancelled_on_its_loop_is_cancelled_for_the_thread() {
    with_thread(|event_loop| {
        let future = event_loop
            .run_coroutine_threadsafe(|| async {
                current_task().unwrap().cancel();
                forever().await;
            })
            .unwrap();
        assert!(future.wait().unwrap_err().is_cancelled());
    });
}

#[test]
fn waiting_on_the_loops_own_thread_panics_instead_of_hanging() {
    let advice = "waiting for a task of this thread's own event loop would block forever: await it, or wait on another thread";
    run(async {
        let event_loop = running_loop();
        let future = event_loop.run_coroutine_threadsafe(|| async {}).unwrap();
        assert_eq!(panic_of(|| future.wait()), advice);
        let future = event_loop.run_coroutine_threadsafe(|| async {}).unwrap();
        assert_eq!(panic_of(|| future.wait_timeout(ms(1))), advice);
    });
    // A loop that does not run is no exception.
    let event_loop = EventLoop::new().unwrap();
    let future = event_loop.handle().run_coroutine_threadsafe(|| async {});
    assert_eq!(panic_of(|| future.unwrap().wait()), advice);
}

#[test]
fn on_its_own_loop_it_is_awaited() {
    let value = run(async {
        let future = running_loop().run_coroutine_threadsafe(|| async { 3 });
        future.unwrap().await.unwrap()
    });
    assert_eq!(value, 3);
}

#[test]
fn on_its_own_loop_an_await_does_not_hold_virtual_time() {
    let start = Instant::now();
    run_virtual(async |_| {
        let hour = running_loop().run_coroutine_threadsafe(|| async { sleep(secs(3600)).await });
        hour.unwrap().await.unwrap();
    });
    assert!(start.elapsed() < secs(60));
}

/// A coroutine may drop its own future, in the step in which it returns.
#[test]
fn an_error_that_nothing_can_take_is_reported_in_debug_mode() {
    fn reports<T: Send + 'static>(debug: bool, outcome: T) -> Vec<String> {
        let trace = Trace::default();
        let mut event_loop = EventLoop::builder().debug(debug).build_loop().unwrap();
        note_reports(&event_loop, &trace);
        let kept = Arc::new(Mutex::new(None::<ThreadFuture<T>>));
        let own = kept.clone();
        let coroutine = move || async move {
            drop(own.lock().unwrap().take());
            outcome
        };
        let future = event_loop.handle().run_coroutine_threadsafe(coroutine);
        *kept.lock().unwrap() = Some(future.unwrap());
        let turns = async {
            for _ in 0..5 {
                yield_now().await;
            }
        };
        event_loop.run_until_complete(turns).unwrap();
        drop(event_loop);
        trace.take()
    }
    let failed = Err::<i32, _>("lost");
    let seen = reports(true, failed);
    let message = "a task failed and nobody looked at its error";
    assert!(seen.len() == 1 && seen[0].starts_with(message), "{seen:?}");
    assert_eq!(reports(false, failed), [""; 0]);
    assert_eq!(reports(true, Ok::<i32, &str>(1)), [""; 0]);
}

#[test]
fn on_another_loop_of_its_thread_an_await_is_an_error() {
    let mut home = EventLoop::new().unwrap();
    let mut other = EventLoop::new().unwrap();
    let mut answer = home.handle().run_coroutine_threadsafe(|| async { 42 });
    let answer = answer.as_mut().unwrap();
    for _ in 0..2 {
        let elsewhere = other.run_until_complete(async { (&mut *answer).await });
        let error = elsewhere.unwrap().unwrap_err();
        assert!(matches!(error, JoinError::Elsewhere(_)), "{error}");
        assert_eq!(
            error.to_string(),
            "task behind this `ThreadFuture` belongs to another event loop, which cannot run while this one does"
        );
    }
    // The future is not used up, and any loop may take the outcome once it is set.
    assert!(!answer.is_finished());
    home.run_until_complete(async {
        while !answer.is_finished() {
            yield_now().await;
        }
    })
    .unwrap();
    assert_eq!(other.run_until_complete(answer).unwrap().unwrap(), 42);
}

#[test]
fn any_executor_may_await_it() {
    let sum = with_thread(|event_loop| {
        let one = event_loop.run_coroutine_threadsafe(|| async { 1 }).unwrap();
        let here = run(async move { one.await.unwrap() });
        let two = event_loop.run_coroutine_threadsafe(|| async {
            sleep(ms(1)).await;
            2
        });
        here + futures::executor::block_on(two.unwrap()).unwrap()
    });
    assert_eq!(sum, 3);
}

#[test]
fn many_threads_at_once() {
    const THREADS: usize = 8;
    const EACH: usize = 500;
    let mut event_loop = EventLoop::new().unwrap();
    let threads: Vec<_> = (0..THREADS)
        .map(|t| {
            let event_loop = event_loop.handle();
            thread::spawn(move || {
                let futures = (0..EACH).map(|n| {
                    let future = event_loop.run_coroutine_threadsafe(move || async move {
                        if n % 3 == 0 {
                            yield_now().await;
                        }
                        t * EACH + n
                    });
                    future.unwrap()
                });
                let futures: Vec<_> = futures.collect();
                futures
                    .into_iter()
                    .map(|f| f.wait().unwrap())
                    .sum::<usize>()
            })
        })
        .collect();
    event_loop
        .run_until_complete(async {
            while !threads.iter().all(thread::JoinHandle::is_finished) {
                sleep(ms(1)).await;
            }
        })
        .unwrap();
    let sum: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
    assert_eq!(sum, (0..THREADS * EACH).sum());
}

#[test]
fn a_set_outcome_is_taken_without_waiting_on_its_own_thread() {
    let mut event_loop = EventLoop::new().unwrap();
    let future = event_loop
        .handle()
        .run_coroutine_threadsafe(|| async { 9 })
        .unwrap();
    let spectator = event_loop.spawn(async {});
    event_loop
        .run_until_complete(async {
            for _ in 0..5 {
                yield_now().await;
            }
        })
        .unwrap();
    assert_eq!(future.wait().unwrap(), 9);
    assert!(poll_once(std::pin::pin!(spectator)).is_ready());
}

#[test]
fn the_thread_that_sends_may_die_at_once() {
    run(async {
        let event_loop = running_loop();
        let future = thread::spawn(move || event_loop.run_coroutine_threadsafe(|| async { 1 }));
        let future = future.join().unwrap().unwrap();
        assert_eq!(spawn(future).await.unwrap().unwrap(), 1);
    });
}

/// Calls `f` on a thread of its own, so that a deadlock fails the test instead of hanging it.
fn without_deadlock<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(f()));
    receiver
        .recv_timeout(secs(60))
        .expect("`f` must not deadlock")
}

#[test]
fn a_waker_may_read_the_outcome_that_wakes_it() {
    struct ReadsOutcome {
        at: Mutex<Option<ThreadFuture<i32>>>,
        seen: mpsc::Sender<bool>,
    }
    impl Wake for ReadsOutcome {
        fn wake(self: Arc<Self>) {
            let at = self.at.lock().unwrap();
            let is_finished = at.as_ref().is_some_and(ThreadFuture::is_finished);
            self.seen.send(is_finished).unwrap();
        }
    }

    let seen = without_deadlock(|| {
        with_thread(|event_loop| {
            let (open, opened) = futures::channel::oneshot::channel();
            let coroutine = || async { opened.await.unwrap() };
            let mut answer = event_loop.run_coroutine_threadsafe(coroutine).unwrap();
            let (sender, seen) = mpsc::channel();
            let reader = Arc::new(ReadsOutcome {
                at: Mutex::new(None),
                seen: sender,
            });
            let waker = Waker::from(reader.clone());
            let mut cx = Context::from_waker(&waker);
            assert!(Pin::new(&mut answer).poll(&mut cx).is_pending());
            *reader.at.lock().unwrap() = Some(answer);
            open.send(1).unwrap();
            seen.recv_timeout(secs(60))
                .expect("the waker must be woken")
        })
    });
    assert!(seen);
}

#[test]
fn captures_of_a_callback_may_cancel_it_again() {
    struct CancelsAgain(Arc<OnceLock<ThreadHandle>>, mpsc::Sender<bool>);
    impl Drop for CancelsAgain {
        fn drop(&mut self) {
            let again = self.0.get().unwrap().cancel();
            self.1.send(again).unwrap();
        }
    }

    let again = without_deadlock(|| {
        run(async {
            let (sender, receiver) = mpsc::channel();
            let handle = Arc::new(OnceLock::new());
            let owns = CancelsAgain(handle.clone(), sender);
            let sent = running_loop().call_soon_threadsafe(move || drop(owns));
            assert!(handle.set(sent.unwrap()).is_ok());
            assert!(handle.get().unwrap().cancel());
            receiver.recv().unwrap()
        })
    });
    assert!(!again, "the callback was already cancelled");
}

mod done_callbacks {
    use super::*;
    use asyncio_loop::set_exception_handler;

    type Notes = Arc<Mutex<Vec<String>>>;

    /// A callback that logs the outcome.
    fn logging(
        notes: &Notes,
        who: &'static str,
    ) -> impl FnOnce(&Result<u32, JoinError>) + Send + 'static {
        let notes = notes.clone();
        move |outcome| {
            let outcome = outcome.as_ref().map_err(ToString::to_string);
            notes.lock().unwrap().push(format!("{who}: {outcome:?}"));
        }
    }

    #[test]
    fn run_in_order_before_the_waiter_is_woken() {
        let notes = Notes::default();
        let (outcome, seen) = with_thread(move |event_loop| {
            let (open, gate) = mpsc::channel::<()>();
            let coroutine = move || async move {
                gate.recv().unwrap();
                7_u32
            };
            let mut future = event_loop.run_coroutine_threadsafe(coroutine).unwrap();
            future.add_done_callback(logging(&notes, "one"));
            future.add_done_callback(logging(&notes, "two"));
            open.send(()).unwrap();
            let outcome = future.wait().unwrap();
            let seen = notes.lock().unwrap().clone();
            (outcome, seen)
        });
        assert_eq!(outcome, 7);
        assert_eq!(seen, ["one: Ok(7)", "two: Ok(7)"]);
    }

    #[test]
    fn run_at_once_after_the_end_and_keep_the_outcome() {
        let notes = Notes::default();
        let mut event_loop = EventLoop::new().unwrap();
        let mut future = event_loop
            .handle()
            .run_coroutine_threadsafe(|| async { 3_u32 })
            .unwrap();
        let watched = async {
            while !future.is_finished() {
                yield_now().await;
            }
        };
        event_loop.run_until_complete(watched).unwrap();
        future.add_done_callback(logging(&notes, "late"));
        assert_eq!(*notes.lock().unwrap(), ["late: Ok(3)"]);
        future.add_done_callback(logging(&notes, "later"));
        assert_eq!(future.try_take().unwrap().unwrap(), 3);
        assert_eq!(*notes.lock().unwrap(), ["late: Ok(3)", "later: Ok(3)"]);
        let message = panic_of(|| future.add_done_callback(|_| ()));
        assert_eq!(
            message,
            "a `ThreadFuture` was awaited again after it gave its outcome"
        );
    }

    #[test]
    fn receive_every_other_outcome() {
        let notes = Notes::default();
        let mut event_loop = EventLoop::new().unwrap();
        let handle = event_loop.handle();
        let start = |who, coroutine: fn() -> Pin<Box<dyn Future<Output = u32>>>| {
            let future = handle.run_coroutine_threadsafe_named(who, coroutine);
            let mut future = future.unwrap();
            future.add_done_callback(logging(&notes, who));
            future
        };
        let endless = || -> Pin<Box<dyn Future<Output = u32>>> {
            Box::pin(async {
                forever().await;
                0
            })
        };
        let cancelled_before = start("before", endless);
        assert!(cancelled_before.cancel_with("not today"));
        let panics = start("panics", || Box::pin(async { panic!("no") }));
        let dropped = start("dropped", endless);
        let left = start("left", endless);
        event_loop
            .run_until_complete(async {
                yield_now().await;
                yield_now().await;
                drop(dropped);
                sleep(ms(1)).await;
            })
            .unwrap();
        drop(event_loop);
        let mut seen = notes.lock().unwrap().clone();
        seen.sort();
        assert_eq!(
            seen,
            [
                "before: Err(\"task before was cancelled: not today\")",
                "dropped: Err(\"task dropped was cancelled\")",
                "left: Err(\"task left was cancelled\")",
                "panics: Err(\"task panics panicked: no\")",
            ]
        );
        assert!(left.wait().unwrap_err().is_cancelled());
        assert!(panics.wait().unwrap_err().is_panic());
    }

    #[test]
    fn continue_after_a_panic_which_is_reported() {
        let notes = Notes::default();
        let reports = Notes::default();
        let mut event_loop = EventLoop::new().unwrap();
        let log = reports.clone();
        event_loop.set_exception_handler(move |report| {
            log.lock().unwrap().push(report.to_string());
        });
        let mut future = event_loop
            .handle()
            .run_coroutine_threadsafe(|| async { 3_u32 })
            .unwrap();
        future.add_done_callback(|_| panic!("oh no"));
        future.add_done_callback(logging(&notes, "next"));
        let outcome = event_loop.run_until_complete(future).unwrap();
        assert_eq!(outcome.unwrap(), 3);
        assert_eq!(*notes.lock().unwrap(), ["next: Ok(3)"]);
        let reports = reports.lock().unwrap();
        assert_eq!(reports.len(), 1, "{reports:?}");
        assert!(reports[0].contains("a callback for the end of a `ThreadFuture`'s task panicked"));
        assert!(reports[0].contains("oh no"));
    }

    #[test]
    fn may_panic_with_what_panics_when_it_is_dropped() {
        let (outcome, next) = with_thread(|event_loop| {
            let (open, gate) = mpsc::channel::<()>();
            let coroutine = move || async move {
                gate.recv().unwrap();
                3_u32
            };
            let notes = Notes::default();
            let mut future = event_loop.run_coroutine_threadsafe(coroutine).unwrap();
            future.add_done_callback(|_| std::panic::panic_any(HardBomb));
            future.add_done_callback(logging(&notes, "next"));
            open.send(()).unwrap();
            let outcome = future.wait();
            (outcome.unwrap(), notes.lock().unwrap().clone())
        });
        assert_eq!((outcome, &next[..]), (3, &["next: Ok(3)".to_owned()][..]));
    }

    struct HardBomb;

    impl Drop for HardBomb {
        fn drop(&mut self) {
            panic!("this panic is part of the test")
        }
    }

    #[test]
    fn report_a_panic_to_their_loop_also_after_the_end() {
        let reports = Notes::default();
        let log = reports.clone();
        let mut event_loop = EventLoop::new().unwrap();
        event_loop.set_exception_handler(move |report| {
            log.lock().unwrap().push(report.to_string());
        });
        let handle = event_loop.handle();
        let future = handle.run_coroutine_threadsafe(|| async { 3_u32 }).unwrap();
        let ended = async {
            while !future.is_finished() {
                yield_now().await;
            }
        };
        event_loop.run_until_complete(ended).unwrap();
        let adding = thread::spawn(move || {
            let mut future = future;
            future.add_done_callback(|_| panic!("too late"));
            future.wait().unwrap()
        });
        assert_eq!(adding.join().unwrap(), 3);
        event_loop
            .run_until_complete(async { sleep(ms(1)).await })
            .unwrap();
        let reports = reports.lock().unwrap();
        assert_eq!(reports.len(), 1, "{reports:?}");
        assert!(reports[0].contains("too late"));
    }

    #[test]
    fn run_once_when_added_at_the_end() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        const TIMES: usize = 2_000;
        let called = Arc::new(AtomicUsize::new(0));
        let counted = called.clone();
        with_thread(move |event_loop| {
            for _ in 0..TIMES {
                let mut future = event_loop.run_coroutine_threadsafe(|| async {}).unwrap();
                let called = counted.clone();
                future.add_done_callback(move |_| {
                    called.fetch_add(1, Ordering::Relaxed);
                });
                future.wait().unwrap();
            }
        });
        assert_eq!(called.load(Ordering::Relaxed), TIMES);
    }

    #[test]
    fn may_send_to_their_loop_and_set_the_handler() {
        let sum = with_thread(|event_loop| {
            let (sender, receiver) = mpsc::channel();
            // The task ends after the callback is added, so the loop calls the callback.
            let (let_end, may_end) = mpsc::channel();
            let mut future = event_loop
                .run_coroutine_threadsafe(|| async move { may_end.recv().unwrap() })
                .unwrap();
            let there = event_loop.clone();
            future.add_done_callback(move |_| {
                // The callback runs on the loop, while nothing is borrowed.
                set_exception_handler(|_| ());
                let sent = there.call_soon_threadsafe(move || sender.send(4).unwrap());
                sent.unwrap();
            });
            let_end.send(3_u32).unwrap();
            future.wait().unwrap() + receiver.recv().unwrap()
        });
        assert_eq!(sum, 7);
    }
}

mod names {
    use super::*;

    #[test]
    fn a_name_is_that_of_the_task_and_of_its_errors() {
        with_thread(|event_loop| {
            let named = event_loop.run_coroutine_threadsafe_named("backup", || async {
                current_task().unwrap().name().to_string()
            });
            let named = named.unwrap();
            assert_eq!(named.name(), Some("backup"));
            assert!(format!("{named:?}").contains("backup"));
            assert_eq!(named.wait().unwrap(), "backup");
            let panics = event_loop
                .run_coroutine_threadsafe_named("sync".to_owned(), || async { panic!("no") });
            let error = panics.unwrap().wait().unwrap_err();
            assert_eq!(error.to_string(), "task sync panicked: no");
            let unnamed = event_loop.run_coroutine_threadsafe(|| async {}).unwrap();
            assert_eq!(unnamed.name(), None);
            unnamed.wait().unwrap();
        });
    }

    #[test]
    fn a_task_that_never_began_has_it() {
        let event_loop = EventLoop::new().unwrap();
        let late = event_loop
            .handle()
            .run_coroutine_threadsafe_named("late", || async {});
        drop(event_loop);
        let error = late.unwrap().wait().unwrap_err();
        assert_eq!(error.to_string(), "task late was cancelled");
    }
}
