//! A busy loop still serves timers, sockets and other threads.

use std::cell::Cell;
use std::rc::Rc;

use crate::support::ms;
use asyncio_loop::{EventLoop, running_loop, sleep, spawn, yield_now};

/// Runs `wanted` beside a task that yields forever.
fn beside_a_busy_task(builder: asyncio_loop::Builder, wanted: impl Future) {
    let mut event_loop = builder.build_loop().unwrap();
    event_loop
        .run_until_complete(async {
            let busy = spawn(async {
                loop {
                    yield_now().await;
                }
            });
            wanted.await;
            drop(busy);
        })
        .unwrap();
}

#[test]
fn timers_fire_beside_a_busy_task() {
    beside_a_busy_task(EventLoop::builder(), async { sleep(ms(3)).await });
}

#[test]
fn other_threads_are_served_beside_a_busy_task() {
    beside_a_busy_task(EventLoop::builder(), async {
        let event_loop = running_loop();
        let thread = std::thread::spawn(move || {
            let answer = event_loop.run_coroutine_threadsafe(|| async { 6 * 7 });
            answer.unwrap().wait().unwrap()
        });
        while !thread.is_finished() {
            yield_now().await;
        }
        assert_eq!(thread.join().unwrap(), 42);
    });
}

#[test]
#[cfg(unix)]
fn sockets_are_served_beside_a_busy_task() {
    use std::io::{Read, Write};
    beside_a_busy_task(EventLoop::builder(), async {
        let (mut sender, receiver) = mio::unix::pipe::new().unwrap();
        let receiver = asyncio_loop::reactor()
            .register(receiver, asyncio_reactor::Interest::READABLE)
            .unwrap();
        let writer = std::thread::spawn(move || {
            std::thread::sleep(ms(2));
            sender.write_all(b"!").unwrap();
        });
        let mut buf = [0; 8];
        let n = receiver.read_with(8, |mut pipe| pipe.read(&mut buf)).await;
        assert_eq!(n.unwrap(), 1);
        writer.join().unwrap();
    });
}

#[test]
fn a_budget_of_one_step_polls_after_each_step() {
    let builder = EventLoop::builder().task_budget(1);
    beside_a_busy_task(builder, async { sleep(ms(1)).await });
}

#[test]
fn tasks_that_wake_each_other_starve_no_task() {
    let mut event_loop = EventLoop::new().unwrap();
    event_loop
        .run_until_complete(async {
            let ended = Rc::new(Cell::new(false));
            let pair = [(); 2].map(|()| {
                let ended = ended.clone();
                spawn(async move {
                    while !ended.get() {
                        let next = spawn(async {});
                        next.await.unwrap();
                    }
                })
            });
            sleep(ms(2)).await;
            ended.set(true);
            for task in pair {
                task.await.unwrap();
            }
        })
        .unwrap();
}
