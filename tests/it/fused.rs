//! Our futures in `futures::select!`: each knows when it has returned.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::thread;

use asyncio::sync::{
    Barrier, Event, Lock, Queue, RwLock, Semaphore, ThreadEvent, broadcast, promise,
    thread_promise, thread_queue, watch,
};
use asyncio::{
    BoxError, TaskGroup, as_completed, interval, running_loop, sleep, spawn, task_group, time,
    to_thread, yield_now,
};
use asyncio_tests::{ms, run_virtual, secs};
use futures::StreamExt;
use futures::future::{FusedFuture, poll_fn};
use futures::stream::FusedStream;

/// Awaits a future, which says after each poll whether it has returned.
async fn told<F: FusedFuture + Unpin>(mut future: F) -> F::Output {
    assert!(!future.is_terminated(), "before the first poll");
    poll_fn(|cx| {
        let polled = Pin::new(&mut future).poll(cx);
        assert_eq!(future.is_terminated(), polled.is_ready());
        polled
    })
    .await
}

/// Polls a future once.
fn once<F: FusedFuture + Unpin>(future: &mut F) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    Pin::new(future).poll(&mut context).is_ready()
}

mod futures_tell_that_they_have_returned {
    use super::*;

    #[asyncio::test]
    async fn tasks_children_and_jobs() {
        assert_eq!(told(spawn(async { 1 })).await.unwrap(), 1);
        told(spawn(sleep(secs(1)))).await.unwrap();
        let cancelled = spawn(sleep(secs(1)));
        cancelled.cancel();
        assert!(told(cancelled).await.is_err());
        task_group(async |tg: TaskGroup<'_>| {
            told(tg.spawn_ok(sleep(secs(1)))).await?;
            told(tg.spawn_ok(async {})).await?;
            Ok::<(), BoxError>(())
        })
        .await
        .unwrap();
        assert_eq!(told(to_thread(|| 2)).await.unwrap(), 2);
        let sent = running_loop().run_coroutine_threadsafe(|| async { 3 });
        assert_eq!(told(sent.unwrap()).await.unwrap(), 3);

        let mut taken = spawn(async { 4 });
        yield_now().await;
        taken.try_take().unwrap().unwrap();
        assert!(taken.is_terminated());
    }

    #[asyncio::test]
    async fn sleeps_and_ticks() {
        told(sleep(secs(0))).await;
        told(sleep(secs(1))).await;
        let mut nap = sleep(secs(1));
        told(&mut nap).await;
        nap.reset(time() + secs(1));
        told(&mut nap).await; // it waits again
        let mut ticks = interval(secs(1));
        told(ticks.tick()).await;
        told(ticks.tick()).await;
    }

    #[asyncio::test]
    async fn queues() {
        let queue = Rc::new(Queue::new(1));
        told(queue.put(1)).await.unwrap();
        let other = queue.clone();
        spawn(async move {
            sleep(secs(1)).await;
            other.get().await.unwrap();
        })
        .detach();
        told(queue.put(2)).await.unwrap(); // waits for room
        assert_eq!(told(queue.get()).await, Ok(2));
        told(queue.reserve()).await.unwrap().put(3).unwrap();
        queue.get().await.unwrap();
        let other = queue.clone();
        spawn(async move {
            sleep(secs(1)).await;
            (0..3).for_each(|_| other.task_done().unwrap());
            other.shutdown(false);
        })
        .detach();
        told(queue.join()).await;
        told(queue.join()).await;
        let mut get = queue.get();
        assert!(once(&mut get) && get.is_terminated()); // refused
        let mut put = queue.put(4);
        assert!(once(&mut put) && put.is_terminated());
    }

    #[asyncio::test]
    async fn locks_and_events() {
        let lock = Rc::new(Lock::new(0));
        let guard = told(lock.lock()).await;
        let mut second = lock.lock();
        assert!(!once(&mut second) && !second.is_terminated());
        drop(guard);
        drop(told(second).await);

        let shared = RwLock::new(0);
        drop(told(shared.read()).await);
        drop(told(shared.write()).await);
        drop(told(Semaphore::new(2).acquire_many(2)).await);
        drop(told(Semaphore::new(0).acquire_many(0)).await);

        let event = Event::new();
        let mut wait = event.wait();
        assert!(!once(&mut wait) && !wait.is_terminated());
        event.set();
        told(wait).await;
        told(event.wait()).await;

        assert_eq!(told(Barrier::new(1).wait()).await, Ok(0));
        let barrier = Barrier::new(2);
        let mut first = barrier.wait();
        assert!(!once(&mut first));
        assert_eq!(told(barrier.wait()).await, Ok(1));
        assert_eq!(told(first).await, Ok(0));
    }

    #[asyncio::test]
    async fn channels() {
        let (sender, mut receiver) = watch(0);
        let mut changed = receiver.changed();
        assert!(!once(&mut changed) && !changed.is_terminated());
        sender.set(1);
        assert_eq!(told(changed).await, Ok(1));
        drop(sender);
        assert!(told(receiver.changed()).await.is_err());

        let (sender, mut receiver) = broadcast(4);
        let mut recv = receiver.recv();
        assert!(!once(&mut recv) && !recv.is_terminated());
        sender.send(1).unwrap();
        assert_eq!(told(recv).await, Ok(1));
        drop(sender);
        assert!(told(receiver.recv()).await.is_err());

        let (setter, answer) = promise::<u32>();
        setter.set_result(1).unwrap();
        assert_eq!(told(answer).await.unwrap(), 1);
        let (setter, answer) = promise::<u32>();
        let shared = answer.shared();
        let mut other = shared.clone();
        assert!(!once(&mut other));
        setter.cancel();
        assert!(told(shared).await.is_err());
        assert!(told(other).await.is_err());
    }

    /// In real time, because threads take part.
    #[asyncio::test(clock = "real")]
    async fn channels_of_threads() {
        let (setter, answer) = thread_promise();
        let event = std::sync::Arc::new(ThreadEvent::new());
        let (queue, side) = thread_queue(1);
        let (back, from_loop) = thread_queue(1);
        let other = event.clone();
        let worker = thread::spawn(move || {
            setter.set_result(1).unwrap();
            other.set();
            side.put(2).unwrap();
            from_loop.get().unwrap()
        });
        assert_eq!(told(answer).await.unwrap(), 1);
        told(event.wait()).await;
        assert_eq!(told(queue.get()).await, Ok(2));
        told(back.put(3)).await.unwrap();
        assert_eq!(worker.join().unwrap(), 3);
    }
}

#[asyncio::test]
async fn streams_tell_that_they_have_ended() {
    let queue = Queue::new(0);
    queue.put(1).await.unwrap();
    queue.shutdown(false);
    let mut items = queue.items();
    assert_eq!(items.next().await, Some(1));
    assert!(!items.is_terminated());
    assert_eq!(items.next().await, None);
    assert!(items.is_terminated());

    let mut all = as_completed([spawn(async { 1 })]);
    assert!(all.next().await.is_some() && !all.is_terminated());
    assert!(all.next().await.is_none() && all.is_terminated());
    all.push(spawn(async { 2 }));
    assert!(!all.is_terminated());
    assert!(all.next().await.is_some());
    assert!(!interval(secs(1)).is_terminated());
}

/// The arms are polled in a random order, so no two are ready at one time.
#[test]
fn a_loop_over_several_sources() {
    let seen = run_virtual(async |trace| {
        let (jobs, stop) = (Queue::new(0), Event::new());
        task_group(async |tg: TaskGroup<'_>| {
            tg.spawn_ok(async {
                let mut ticks = interval(secs(1));
                let mut report = spawn(sleep(ms(2_200)));
                let mut stopped = stop.wait();
                loop {
                    futures::select! {
                        job = jobs.get() => trace.note(format!("job {}", job.unwrap())),
                        _ = ticks.select_next_some() => trace.note("tick"),
                        ended = report => trace.note(format!("report {ended:?}")),
                        () = stopped => break,
                    }
                }
            });
            sleep(ms(500)).await;
            jobs.put(1).await?;
            sleep(ms(1_000)).await;
            jobs.put(2).await?;
            sleep(ms(1_000)).await;
            stop.set();
            Ok::<(), BoxError>(())
        })
        .await
        .unwrap();
    });
    assert_eq!(
        seen,
        ["tick", "job 1", "tick", "job 2", "tick", "report Ok(())"]
    );
}
