//! The table of the guide: what a value of a loop does without a running loop, on another loop of the thread, and after
//! its loop was closed. In a callback, which is a task of one step, all of them work.
#![allow(
    clippy::async_yields_async,
    reason = "a future begins on one loop, and goes on on another"
)]

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use asyncio::net::{TcpListener, TcpStream};
use asyncio::sync::{Lock, Queue, promise, thread_queue};
use asyncio::{
    BoxError, EventLoop, JoinError, LoopHandle, TaskGroup, call_soon, catch_cancel, gather,
    interval, race, select, shield, sleep, spawn, task_group, timeout, try_sleep, try_spawn,
    yield_now,
};
use asyncio_tests::secs;

/// The result of one poll, or of the call that makes a future.
#[derive(Debug, PartialEq)]
enum Seen<T> {
    Value(T),
    Waits,
    Panics(String),
}

use Seen::{Panics, Value, Waits};

type Work<T> = Pin<Box<dyn Future<Output = T>>>;

fn caught<T>(f: impl FnOnce() -> Seen<T>) -> Seen<T> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| {
        let literal = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned());
        let text = literal.or_else(|| payload.downcast_ref::<String>().cloned());
        Panics(text.unwrap_or_default())
    })
}

/// Polls a future once, where this is called.
fn poll<T>(future: &mut Work<T>) -> Seen<T> {
    caught(|| {
        match future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(value) => Value(value),
            Poll::Pending => Waits,
        }
    })
}

/// Makes a future where this is called, and polls it once.
fn made<F: Future + 'static>(make: impl FnOnce() -> F) -> Seen<F::Output> {
    caught(|| poll(&mut (Box::pin(make()) as Work<_>)))
}

fn new_loop() -> EventLoop {
    let builder = EventLoop::builder().virtual_time(true);
    builder.build_loop().expect("a selector")
}

/// Calls `f` on a running loop, in a callback.
fn in_a_callback<T: 'static>(f: impl FnOnce() -> T + 'static) -> T {
    let seen = Rc::new(RefCell::new(None));
    let place = seen.clone();
    new_loop()
        .run_until_complete(async move {
            call_soon(move || {
                place.replace(Some(f()));
            });
            yield_now().await;
            yield_now().await;
        })
        .unwrap();
    seen.take().expect("the callback has run")
}

/// Begins a future in a task of one loop, and polls it in a task of another one.
fn elsewhere<F: Future + 'static>(make: impl FnOnce() -> F + 'static) -> Seen<F::Output> {
    let (mut first, mut second) = (new_loop(), new_loop());
    let mut begun = first
        .run_until_complete(async move {
            let mut future: Work<F::Output> = Box::pin(make());
            assert!(futures::poll!(&mut future).is_pending());
            future
        })
        .unwrap();
    second
        .run_until_complete(async move { poll(&mut begun) })
        .unwrap()
}

/// Begins a future in a task of a loop, and polls it when that is closed.
fn after_closing<F: Future + 'static>(make: impl FnOnce() -> F + 'static) -> Seen<F::Output> {
    let mut first = new_loop();
    let begun = first.run_until_complete(async move {
        let mut future: Work<F::Output> = Box::pin(make());
        assert!(futures::poll!(&mut future).is_pending());
        future
    });
    drop(first);
    let mut begun = begun.unwrap();
    new_loop()
        .run_until_complete(async move { poll(&mut begun) })
        .unwrap()
}

#[track_caller]
fn is_panic<T>(seen: Seen<T>) {
    match seen {
        Panics(message) => assert!(!message.is_empty()),
        Value(_) => panic!("it gives a value"),
        Waits => panic!("it waits, perhaps for ever"),
    }
}

async fn group() {
    task_group(async |tg: TaskGroup<'_>| {
        tg.spawn_ok(pending::<()>());
        Ok::<(), BoxError>(())
    })
    .await
    .unwrap();
}

#[test]
fn sleeps_and_intervals() {
    is_panic(made(|| sleep(secs(1))));
    is_panic(made(|| async { interval(secs(1)).tick().await }));
    assert!(try_sleep(secs(1)).is_err());
    assert_eq!(in_a_callback(|| made(|| sleep(secs(1)))), Waits);
    is_panic(elsewhere(|| sleep(secs(1))));
    is_panic(after_closing(|| sleep(secs(1))));
}

#[test]
fn sockets() {
    let failed = |seen: Seen<std::io::Result<TcpListener>>| matches!(seen, Value(Err(_)));
    assert!(failed(made(|| TcpListener::bind("127.0.0.1:0"))));
    let bound = in_a_callback(|| made(|| TcpListener::bind("127.0.0.1:0")));
    assert!(matches!(bound, Value(Ok(_))));
    let accept = || async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        drop(listener.accept().await?);
        Ok::<(), std::io::Error>(())
    };
    assert!(matches!(elsewhere(accept), Value(Err(_))));
    assert!(matches!(after_closing(accept), Value(Err(_))));
    assert!(matches!(
        made(|| TcpStream::connect("127.0.0.1:1")),
        Value(Err(_))
    ));
}

#[test]
fn tasks() {
    is_panic(caught(|| {
        drop(spawn(async {}));
        Value(0)
    }));
    assert!(try_spawn(async {}).is_err());
    assert!(in_a_callback(|| try_spawn(async {}).is_ok()));
    let awaits = || spawn(pending::<()>());
    assert!(matches!(
        elsewhere(awaits),
        Value(Err(JoinError::Elsewhere(..)))
    ));
    // The loop has cancelled it.
    match after_closing(awaits) {
        Value(Err(error)) => assert!(error.is_cancelled()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn time_limits() {
    let limited = || async { timeout(secs(1), pending::<()>()).await };
    is_panic(made(limited));
    assert_eq!(in_a_callback(move || made(limited)), Waits);
    is_panic(elsewhere(limited));
    is_panic(after_closing(limited));
}

#[test]
fn groups_gathers_and_races() {
    let scoped = || async {
        drop(catch_cancel(pending::<()>()).await);
    };
    is_panic(made(group));
    is_panic(made(|| gather((ready(1), ready(2)))));
    is_panic(made(|| race(vec![ready(1)])));
    assert_eq!(in_a_callback(|| made(group)), Waits);
    assert_eq!(
        in_a_callback(|| made(|| race([ready(1), ready(2)]))),
        Value(1)
    );
    is_panic(elsewhere(group));
    is_panic(elsewhere(|| gather(vec![pending::<()>()])));
    is_panic(elsewhere(move || gather((scoped(), scoped()))));
    // No scope has opened inside of it, so it is bound to no loop.
    assert_eq!(elsewhere(|| race((pending::<()>(), pending()))), Waits);
}

#[test]
fn catches_and_shields() {
    assert!(matches!(made(|| catch_cancel(ready(1))), Value(Ok(1))));
    assert_eq!(made(|| shield(ready(1))), Value(1));
    assert_eq!(in_a_callback(|| made(|| shield(ready(1)))), Value(1));
    is_panic(elsewhere(|| async {
        drop(catch_cancel(pending::<()>()).await)
    }));
}

#[test]
fn loop_handles() {
    let mut first = new_loop();
    let handle = first.handle();
    // No loop runs: it is called when that one does.
    let called = Rc::new(Cell::new(0));
    let sends = |handle: &LoopHandle| handle.call_soon_threadsafe(|| ()).is_ok();
    assert!(sends(&handle));
    let elsewhere = handle.clone();
    let (mut second, seen) = (new_loop(), called.clone());
    second
        .run_until_complete(async move { seen.set(u32::from(sends(&elsewhere))) })
        .unwrap();
    assert_eq!(called.get(), 1);
    let local = handle.clone();
    first
        .run_until_complete(async move { assert!(in_a_task_and_a_callback(&local).await) })
        .unwrap();
    drop(first);
    // The callback comes back.
    let text = String::from("sent");
    let Err(closed) = handle.call_soon_threadsafe(move || drop(text)) else {
        panic!("the loop is closed");
    };
    (closed.0)();
    let Err(closed) = handle.run_coroutine_threadsafe(|| async { 7 }) else {
        panic!("the loop is closed");
    };
    assert_eq!(made(closed.0), Value(7));
}

/// Whether a handle of the running loop reaches it from a task and from a callback.
async fn in_a_task_and_a_callback(handle: &LoopHandle) -> bool {
    let direct = handle.run_coroutine_threadsafe(|| async { 1 }).unwrap();
    let (seen, other) = (Rc::new(RefCell::new(None)), handle.clone());
    let place = seen.clone();
    call_soon(move || {
        place.replace(other.run_coroutine_threadsafe(|| async { 2 }).ok());
    });
    yield_now().await;
    let called = seen.take().expect("it was sent");
    direct.await.unwrap() + called.await.unwrap() == 3
}

#[test]
fn thread_futures() {
    let mut first = new_loop();
    let begin = |handle: LoopHandle| -> Work<Result<u32, JoinError>> {
        let future = handle.run_coroutine_threadsafe(|| async {
            yield_now().await;
            7
        });
        Box::pin(future.expect("the loop is open"))
    };
    // Without a running loop it waits for its own one to run.
    let mut waits = begin(first.handle());
    assert!(matches!(poll(&mut waits), Waits));
    assert!(matches!(first.run_until_complete(waits), Ok(Ok(7))));
    // On another loop it would wait for ever.
    let mut stuck = begin(first.handle());
    let seen = new_loop().run_until_complete(async move { poll(&mut stuck) });
    assert!(matches!(seen, Ok(Value(Err(JoinError::Elsewhere(..))))));
    // One that has ended gives its outcome there.
    let mut ended = begin(first.handle());
    first
        .run_until_complete(async {
            for _ in 0..5 {
                yield_now().await;
            }
        })
        .unwrap();
    let seen = new_loop().run_until_complete(async move { poll(&mut ended) });
    assert!(matches!(seen, Ok(Value(Ok(7)))));
    // The closing loop cancels the task.
    let mut cut = begin(first.handle());
    drop(first);
    match new_loop()
        .run_until_complete(async move { poll(&mut cut) })
        .unwrap()
    {
        Value(Err(error)) => assert!(error.is_cancelled()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_others_work_anywhere() {
    fn check(run: impl Fn(fn() -> Work<u32>) -> Seen<u32>) {
        let all: [fn() -> Work<u32>; 5] = [
            || {
                Box::pin(async {
                    select! { n = ready(1) => n }
                })
            },
            || {
                Box::pin(async {
                    let lock = Lock::new(1);
                    let guard = lock.lock().await;
                    *guard
                })
            },
            || {
                Box::pin(async {
                    let queue = Queue::new(0);
                    queue.put_nowait(1).unwrap();
                    queue.get().await.unwrap()
                })
            },
            || {
                Box::pin(async {
                    let (promise, future) = promise();
                    promise.set_result(1).unwrap();
                    future.await.unwrap()
                })
            },
            || {
                Box::pin(async {
                    let (queue, thread) = thread_queue(0);
                    thread.put(1).unwrap();
                    queue.get().await.unwrap()
                })
            },
        ];
        all.into_iter()
            .for_each(|make| assert_eq!(run(make), Value(1)));
    }
    check(made);
    check(|make| in_a_callback(move || made(make)));
    // They go on elsewhere.
    let queue = Rc::new(Queue::<u32>::new(0));
    let (mut first, mut second) = (new_loop(), new_loop());
    let gets = queue.clone();
    let begun = first.run_until_complete(async move {
        let mut get: Work<u32> = Box::pin(async move { gets.get().await.unwrap() });
        assert!(futures::poll!(&mut get).is_pending());
        get
    });
    queue.put_nowait(7).unwrap();
    assert_eq!(second.run_until_complete(begun.unwrap()).unwrap(), 7);
    let (gets, thread) = thread_queue::<u32>(0);
    let begun = first.run_until_complete(async move {
        let mut get: Work<u32> = Box::pin(async move { gets.get().await.unwrap() });
        assert!(futures::poll!(&mut get).is_pending());
        get
    });
    drop(first);
    thread.put(8).unwrap();
    assert_eq!(second.run_until_complete(begun.unwrap()).unwrap(), 8);
}
