//! Other threads: what they send arrives, in order, wakes the loop, and can be called off.

mod support;

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;

use asyncio_loop::{
    EventLoop, JoinError, ThreadFuture, ThreadHandle, all_tasks, current_task, run, running_loop,
    sleep, spawn, yield_now,
};
use support::{for_ever, ms, panic_of, poll_once, run_virtual, secs};

/// Runs `main` on a loop, and `other` on another thread with the loop's handle; waits for both.
fn with_thread<T: Send + 'static>(
    other: impl FnOnce(asyncio_loop::LoopHandle) -> T + Send + 'static,
) -> T {
    run(async {
        let event_loop = running_loop();
        let (tell, told) = futures::channel::oneshot::channel();
        let thread = thread::spawn(move || {
            let _ = tell.send(other(event_loop));
        });
        let value = told.await;
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
fn a_loop_that_sleeps_is_woken() {
    let arrived = with_thread(|event_loop| {
        thread::sleep(ms(5)); // by now it waits
        let (tell, told) = mpsc::channel();
        event_loop
            .call_soon_threadsafe(move || tell.send(thread::current().id()).unwrap())
            .unwrap();
        told.recv().unwrap()
    });
    assert_eq!(arrived, thread::current().id());
}

#[test]
fn a_callback_is_called_off_from_any_thread_until_it_begins() {
    let mut event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let (tell, told) = mpsc::channel::<&str>();
    let other = tell.clone();
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
    drop(tell);
    assert!(told.try_recv().is_err(), "and what it owned is gone");
}

#[test]
fn a_callback_may_be_sent_from_the_loop_itself() {
    let trace = run_virtual(async |trace| {
        let event_loop = running_loop();
        let (tell, told) = mpsc::channel();
        event_loop
            .call_soon_threadsafe(move || tell.send(()).unwrap())
            .unwrap();
        trace.note(format!("at once: {}", told.try_recv().is_ok()));
        while told.try_recv().is_err() {
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
fn a_wait_that_takes_too_long_may_be_given_up_and_the_task_cancelled() {
    with_thread(|event_loop| {
        let slow = event_loop
            .run_coroutine_threadsafe(|| async {
                for_ever().await;
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
fn a_wait_that_is_long_enough_gives_the_outcome() {
    with_thread(|event_loop| {
        let quick = event_loop.run_coroutine_threadsafe(|| async { 7 }).unwrap();
        let outcome = quick.wait_timeout(std::time::Duration::MAX);
        assert_eq!(outcome.unwrap().unwrap(), 7);
    });
}

#[test]
fn a_request_from_another_thread_may_say_why() {
    with_thread(|event_loop| {
        let (tell, told) = mpsc::channel();
        let coroutine = move || async move {
            tell.send(()).unwrap();
            for_ever().await;
        };
        let future = event_loop.run_coroutine_threadsafe(coroutine).unwrap();
        told.recv().unwrap();
        assert!(future.cancel_with("the shop closes"));
        let error = future.wait().unwrap_err();
        assert_eq!(error.message(), Some("the shop closes"));
    });
}

#[test]
fn so_may_one_that_comes_before_the_coroutine() {
    let mut event_loop = EventLoop::new().unwrap();
    let future = event_loop.handle().run_coroutine_threadsafe(for_ever);
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
fn an_outcome_may_be_taken_when_it_is_there_and_only_once() {
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
        let message = support::message_of(payload);
        assert_eq!(message, "awaited again after it gave its outcome");
    });
}

#[test]
fn dropping_the_future_cancels_the_task() {
    let (tell, told) = mpsc::channel::<()>();
    with_thread(move |event_loop| {
        let future = event_loop
            .run_coroutine_threadsafe(|| async move {
                let _tell = tell;
                for_ever().await;
            })
            .unwrap();
        drop(future);
        assert_eq!(told.recv(), Err(mpsc::RecvError), "its frame is gone");
    });
}

#[test]
fn a_coroutine_that_is_cancelled_before_it_arrives_is_never_made() {
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
    assert!(!future.cancel(), "it has ended");
    assert!(future.wait().unwrap_err().is_cancelled());
}

#[test]
fn a_task_that_is_cancelled_on_its_loop_is_cancelled_for_the_thread() {
    with_thread(|event_loop| {
        let future = event_loop
            .run_coroutine_threadsafe(|| async {
                current_task().unwrap().cancel();
                for_ever().await;
            })
            .unwrap();
        assert!(future.wait().unwrap_err().is_cancelled());
    });
}

#[test]
fn waiting_on_the_loops_own_thread_panics_instead_of_hanging() {
    let advice = "blocking on a task of this thread's own event loop would wait for ever: await it, or wait on another thread";
    run(async {
        let event_loop = running_loop();
        let future = event_loop.run_coroutine_threadsafe(|| async {}).unwrap();
        assert_eq!(panic_of(|| future.wait()), advice);
        let future = event_loop.run_coroutine_threadsafe(|| async {}).unwrap();
        assert_eq!(panic_of(|| future.wait_timeout(ms(1))), advice);
    });
    // Nor does it help to wait while the loop does not run.
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
fn on_another_loop_of_its_thread_it_is_an_error_and_no_hang() {
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
    // It is not used up, and once the outcome is there, any loop may have it.
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
fn an_outcome_that_is_there_is_taken_without_waiting_even_at_home() {
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

/// Does `f` on a thread of its own, so that a lock that is taken twice fails a test instead of hanging it.
fn without_locking_up<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(f()));
    told.recv_timeout(secs(60)).expect("it came back")
}

#[test]
fn a_waker_may_look_at_the_outcome_that_wakes_it() {
    struct Looks {
        at: Mutex<Option<ThreadFuture<i32>>>,
        seen: mpsc::Sender<bool>,
    }
    impl Wake for Looks {
        fn wake(self: Arc<Self>) {
            let at = self.at.lock().unwrap();
            let is_finished = at.as_ref().is_some_and(ThreadFuture::is_finished);
            self.seen.send(is_finished).unwrap();
        }
    }

    let seen = without_locking_up(|| {
        with_thread(|event_loop| {
            let (open, opened) = futures::channel::oneshot::channel();
            let coroutine = || async { opened.await.unwrap() };
            let mut answer = event_loop.run_coroutine_threadsafe(coroutine).unwrap();
            let (tell, seen) = mpsc::channel();
            let looks = Arc::new(Looks {
                at: Mutex::new(None),
                seen: tell,
            });
            let waker = Waker::from(looks.clone());
            let mut cx = Context::from_waker(&waker);
            assert!(Pin::new(&mut answer).poll(&mut cx).is_pending());
            *looks.at.lock().unwrap() = Some(answer);
            open.send(1).unwrap();
            seen.recv_timeout(secs(60)).expect("it was woken")
        })
    });
    assert!(seen);
}

#[test]
fn what_a_callback_owns_may_call_it_off_again() {
    struct CallsOff(Arc<OnceLock<ThreadHandle>>, mpsc::Sender<bool>);
    impl Drop for CallsOff {
        fn drop(&mut self) {
            let again = self.0.get().unwrap().cancel();
            self.1.send(again).unwrap();
        }
    }

    let again = without_locking_up(|| {
        run(async {
            let (tell, told) = mpsc::channel();
            let handle = Arc::new(OnceLock::new());
            let owns = CallsOff(handle.clone(), tell);
            let sent = running_loop().call_soon_threadsafe(move || drop(owns));
            assert!(handle.set(sent.unwrap()).is_ok());
            assert!(handle.get().unwrap().cancel());
            told.recv().unwrap()
        })
    });
    assert!(!again, "it had been called off");
}
