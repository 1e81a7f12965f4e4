//! Threads and the loop: a queue between them holds virtual time, and a flood from threads starves no task.

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use asyncio::sync::{ThreadEvent, thread_promise, thread_queue};
use asyncio::{call_later, on_cancel, run, running_loop, sleep, spawn, time, timeout, yield_now};
use asyncio_tests::run_virtual;
use futures::StreamExt;

const HOUR: Duration = Duration::from_secs(3600);
const LIMIT: Duration = Duration::from_secs(10);

/// A thread that is at work for a while.
fn at_work<R: Send + 'static>(then: impl FnOnce() -> R + Send + 'static) -> thread::JoinHandle<R> {
    thread::spawn(|| {
        thread::sleep(Duration::from_millis(30));
        then()
    })
}

/// An hour passes at once.
async fn time_jumps() {
    let start = time();
    sleep(HOUR).await;
    assert_eq!(time() - start, HOUR);
}

mod virtual_time {
    use super::*;

    #[test]
    fn a_task_that_waits_for_an_item_holds_it() {
        run_virtual(async |_| {
            let (here, there) = thread_queue(1);
            let worker = at_work(move || there.put("done").unwrap());
            assert_eq!(timeout(LIMIT, here.get()).await, Ok(Ok("done")));
            worker.join().unwrap();
            time_jumps().await;
        });
    }

    #[test]
    fn so_does_one_that_waits_for_an_event() {
        run_virtual(async |_| {
            let event = ThreadEvent::new();
            let there = event.clone();
            let worker = at_work(move || there.set());
            assert_eq!(timeout(LIMIT, event.wait()).await, Ok(()));
            worker.join().unwrap();
            time_jumps().await;
            event.clear();
            // Nothing is held by a wait that was given up.
            assert!(
                timeout(Duration::from_millis(1), event.wait())
                    .await
                    .is_err()
            );
            time_jumps().await;
        });
    }

    #[test]
    fn so_does_one_that_waits_for_an_answer() {
        run_virtual(async |_| {
            let (promise, answer) = thread_promise();
            let worker = at_work(move || promise.set_result(7).unwrap());
            assert_eq!(timeout(LIMIT, answer).await, Ok(Ok(7)));
            worker.join().unwrap();
            time_jumps().await;
        });
    }

    #[test]
    fn so_does_one_that_waits_for_room() {
        run_virtual(async |_| {
            let (here, there) = thread_queue(1);
            here.put_nowait(1).unwrap();
            let worker = at_work(move || [there.get(), there.get()]);
            assert_eq!(timeout(LIMIT, here.put(2)).await, Ok(Ok(())));
            assert_eq!(worker.join().unwrap(), [Ok(1), Ok(2)]);
            time_jumps().await;
        });
    }

    #[test]
    fn so_does_a_stream_of_items() {
        run_virtual(async |_| {
            let (here, there) = thread_queue(1);
            let worker = at_work(move || (1..=3).for_each(|n| there.put(n).unwrap()));
            let items = timeout(LIMIT, here.items().collect::<Vec<_>>());
            assert_eq!(items.await, Ok(vec![1, 2, 3]));
            worker.join().unwrap();
            time_jumps().await;
        });
    }

    #[test]
    fn the_end_of_the_threads_ends_the_wait() {
        run_virtual(async |_| {
            let (here, there) = thread_queue::<()>(1);
            let worker = at_work(move || drop(there));
            assert!(timeout(LIMIT, here.get()).await.unwrap().is_err());
            worker.join().unwrap();
            time_jumps().await;
        });
    }

    #[test]
    fn a_wait_that_was_given_up_holds_nothing() {
        run_virtual(async |_| {
            let (here, there) = thread_queue::<()>(1);
            let limit = Duration::from_millis(20);
            let start = time();
            assert!(timeout(limit, here.get()).await.is_err());
            assert_eq!(time() - start, limit);
            time_jumps().await;
            let waiting = spawn(async move { here.get().await });
            yield_now().await;
            drop(waiting);
            time_jumps().await;
            drop(there);
        });
    }
}

mod a_flood {
    use super::*;

    const MANY: usize = 10_000;

    /// Two counts taken beside a flood, of which `taken` counts the parts: the parts before a timer that was due at
    /// once fired, and the turns of another task.
    async fn beside(taken: Rc<Cell<usize>>) -> (usize, usize) {
        let seen = Rc::new(Cell::new(None));
        let put = seen.clone();
        call_later(Duration::from_nanos(1), {
            let taken = taken.clone();
            move || put.set(Some(taken.get()))
        });
        let mut turns = 0;
        while taken.get() < MANY {
            turns += 1;
            yield_now().await;
        }
        (seen.get().expect("the timer came before the end"), turns)
    }

    #[test]
    fn of_items_lets_timers_and_tasks_have_their_turn() {
        run(async {
            let (here, there) = thread_queue(0);
            let taken = Rc::new(Cell::new(0));
            (0..MANY).for_each(|n| there.put_nowait(n).unwrap());
            let consumer = spawn({
                let taken = taken.clone();
                async move {
                    while taken.get() < MANY {
                        assert_eq!(here.get().await, Ok(taken.get()), "in order");
                        taken.set(taken.get() + 1);
                    }
                }
            });
            let (before_the_timer, turns) = beside(taken).await;
            assert!(before_the_timer <= 192, "{before_the_timer}");
            assert!(turns >= MANY / 64, "{turns}");
            consumer.await.unwrap();
        });
    }

    #[test]
    fn of_room_does_too() {
        run(async {
            let (here, _there) = thread_queue(0);
            let put = Rc::new(Cell::new(0));
            let producer = spawn({
                let put = put.clone();
                async move {
                    while put.get() < MANY {
                        here.put(()).await.unwrap();
                        put.set(put.get() + 1);
                    }
                }
            });
            let (before_the_timer, turns) = beside(put).await;
            assert!(before_the_timer <= 192, "{before_the_timer}");
            assert!(turns >= MANY / 64, "{turns}");
            producer.await.unwrap();
        });
    }

    #[test]
    fn of_callbacks_does_too_and_keeps_their_order() {
        run(async {
            thread_local!(static CALLED: Rc<Cell<usize>> = Rc::default());
            let called = CALLED.with(Rc::clone);
            let event_loop = running_loop();
            let flood = thread::spawn(move || {
                for n in 0..MANY {
                    let callback = move || {
                        CALLED.with(|called| {
                            assert_eq!(called.get(), n, "in order");
                            called.set(n + 1);
                        });
                    };
                    event_loop.call_soon_threadsafe(callback).unwrap();
                }
            });
            flood.join().unwrap(); // all of them are in the mailbox
            let (before_the_timer, turns) = beside(called).await;
            assert!(before_the_timer <= 192, "{before_the_timer}");
            assert!(turns >= MANY / 192, "{turns}");
        });
    }
}

/// One cause is one request: the cleanup that `cancel` began is not cut by the drop, nor that of the drop by closing.
#[test]
fn a_cleanup_over_there_is_not_cut_by_dropping_the_future() {
    for cancelled_before in [false, true] {
        let trace = run_virtual(async |_| {
            thread_local!(static CLEAN: Cell<bool> = const { Cell::new(false) });
            CLEAN.set(false);
            let work = || {
                on_cancel(pending::<()>(), async {
                    sleep(HOUR).await;
                    CLEAN.set(true);
                })
            };
            let answer = running_loop().run_coroutine_threadsafe(work).unwrap();
            sleep(HOUR).await; // it has begun
            if cancelled_before {
                answer.cancel();
                sleep(HOUR / 2).await;
            }
            drop(answer);
            sleep(2 * HOUR).await;
            assert!(CLEAN.get());
        });
        assert_eq!(trace, [""; 0]);
    }
}

#[test]
fn callbacks_of_a_flood_are_all_called_when_the_loop_closes() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let called = Arc::new(AtomicUsize::new(0));
    let mut event_loop = asyncio::EventLoop::new().unwrap();
    let handle = event_loop.handle();
    for _ in 0..1000 {
        let called = called.clone();
        let count = move || {
            called.fetch_add(1, Ordering::Relaxed);
        };
        let _ = handle.call_soon_threadsafe(count).unwrap();
    }
    handle.stop();
    event_loop.run_forever();
    event_loop.close();
    assert_eq!(called.load(Ordering::Relaxed), 1000);
    assert_eq!(Arc::strong_count(&called), 1, "their closures are dropped");
}
