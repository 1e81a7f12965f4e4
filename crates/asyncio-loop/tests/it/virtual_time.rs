//! Virtual time: long times pass at once, exactly, in the same order each time, and never past
//! pending work.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Trace, ms, run_virtual, secs, virtual_loop};
use asyncio_loop::{
    EventLoop, OutsideWork, Runner, call_later, running_loop, sleep, sleep_until, spawn, time,
    yield_now,
};

#[test]
fn an_hour_passes_at_once_and_exactly() {
    let began = Instant::now();
    run_virtual(async |_| {
        let start = time();
        sleep(secs(3600)).await;
        assert_eq!(time() - start, secs(3600));
        sleep(Duration::from_nanos(1)).await;
        assert_eq!(time() - start, secs(3600) + Duration::from_nanos(1));
        sleep_until(start).await;
        assert_eq!(time() - start, secs(3600) + Duration::from_nanos(1));
    });
    assert!(began.elapsed() < secs(60));
}

#[test]
fn a_day_of_many_tasks_is_deterministic() {
    let day = || {
        run_virtual(async |trace| {
            let start = time();
            let tasks: Vec<_> = (1..=50_u64)
                .map(|n| {
                    let trace = trace.clone();
                    spawn(async move {
                        for round in 0..20 {
                            sleep(secs(n * 7919 % 86_400 / 20)).await;
                            trace.note(format!("{n}.{round} at {:?}", time() - start));
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        })
    };
    let first = day();
    assert_eq!(first.len(), 1000);
    assert_eq!(first, day());
}

#[test]
fn time_stands_still_while_anything_can_run() {
    run_virtual(async |trace| {
        let start = time();
        let noted = trace.clone();
        call_later(Duration::from_nanos(1), move || noted.note("due"));
        for _ in 0..1000 {
            yield_now().await;
            assert_eq!(time(), start);
        }
        thread::sleep(ms(2));
        assert_eq!(
            time(),
            start,
            "virtual time stands still while real time passes"
        );
        assert!(trace.take().is_empty());
        sleep(ms(1)).await;
        assert_eq!(trace.take(), ["due"]);
    });
}

#[test]
fn deadlines_are_met_one_by_one() {
    let seen = run_virtual(async |trace| {
        let start = time();
        for n in [5, 3, 1, 4, 2] {
            let trace = trace.clone();
            let note = move || trace.note(format!("{n} at {:?}", time() - start));
            call_later(secs(n), note);
        }
        sleep(secs(10)).await;
    });
    assert_eq!(
        seen,
        ["1 at 1s", "2 at 2s", "3 at 3s", "4 at 4s", "5 at 5s"]
    );
}

#[test]
fn time_does_not_jump_over_outside_work() {
    let timed_out = Trace::default();
    let noted = timed_out.clone();
    run_virtual(async |_| {
        let event_loop = running_loop();
        let work = event_loop.outside_work();
        let (sender, receiver) = futures::channel::oneshot::channel();
        let worker = thread::spawn(move || {
            thread::sleep(ms(20));
            sender.send("an answer").unwrap();
            drop(work);
        });
        let timeout = call_later(secs(5), move || noted.note("timed out"));
        assert_eq!(receiver.await, Ok("an answer"));
        timeout.cancel();
        worker.join().unwrap();
    });
    assert!(timed_out.take().is_empty());
}

#[test]
fn time_passes_at_the_real_pace_during_outside_work() {
    let mut event_loop = virtual_loop();
    let began = Instant::now();
    let start = event_loop.time();
    event_loop
        .run_until_complete(async {
            let _work = running_loop().outside_work();
            sleep(ms(10)).await;
        })
        .unwrap();
    assert!(began.elapsed() >= ms(10), "{:?}", began.elapsed());
    assert_eq!(event_loop.time() - start, ms(10), "virtual time is exact");
}

#[test]
fn time_jumps_again_after_the_last_outside_work() {
    // Once, the loop waited out the hour in real time, because the end of the work did not wake it.
    let began = Instant::now();
    run_virtual(async |_| {
        let work = running_loop().outside_work();
        let copy = work.clone();
        let workers = [work, copy].map(|work: OutsideWork| {
            thread::spawn(move || {
                thread::sleep(ms(10));
                drop(work);
            })
        });
        sleep(secs(3600)).await;
        for worker in workers {
            worker.join().unwrap();
        }
    });
    assert!(began.elapsed() < secs(600), "{:?}", began.elapsed());
}

#[test]
#[cfg(unix)]
fn time_does_not_jump_while_a_source_is_registered() {
    use std::io::{Read, Write};
    let trace = run_virtual(async |trace| {
        let (mut sender, receiver) = mio::unix::pipe::new().unwrap();
        let receiver = asyncio_loop::reactor()
            .register(receiver, asyncio_reactor::Interest::READABLE)
            .unwrap();
        let writer = thread::spawn(move || {
            thread::sleep(ms(20));
            sender.write_all(b"!").unwrap();
        });
        let noted = trace.clone();
        let timeout = call_later(secs(2), move || noted.note("timed out"));
        let mut buf = [0; 8];
        receiver
            .read_with(8, |mut pipe| pipe.read(&mut buf))
            .await
            .unwrap();
        trace.note("read");
        timeout.cancel();
        drop(receiver);
        writer.join().unwrap();
        sleep(secs(3600)).await;
        trace.note("an hour later");
    });
    assert_eq!(trace, ["read", "an hour later"]);
}

#[test]
fn time_between_two_waits_is_not_added_later() {
    // Once, the clock passed on between the first wait and the second, so that the second timed out
    // at once.
    let mut event_loop = virtual_loop();
    let start = event_loop.time();
    let run = |event_loop: &mut EventLoop| {
        event_loop
            .run_until_complete(async {
                let _work = running_loop().outside_work();
                sleep(ms(1)).await;
            })
            .unwrap();
    };
    run(&mut event_loop);
    thread::sleep(ms(30));
    let before = Instant::now();
    run(&mut event_loop);
    assert!(before.elapsed() >= ms(1), "{:?}", before.elapsed());
    assert_eq!(event_loop.time() - start, ms(2));
}

#[test]
fn a_message_from_a_thread_comes_before_the_next_deadline() {
    for _ in 0..50 {
        let trace = run_virtual(async |trace| {
            let event_loop = running_loop();
            let noted = trace.clone();
            call_later(secs(1), move || noted.note("deadline"));
            // The message is in the inbox before the loop parks.
            let answer = thread::spawn(move || event_loop.run_coroutine_threadsafe(|| async {}))
                .join()
                .unwrap();
            answer.unwrap().await.unwrap();
            trace.note("mail");
            sleep(secs(2)).await;
        });
        assert_eq!(trace, ["mail", "deadline"]);
    }
}

#[test]
fn awaiting_another_loop_holds_time() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let other = thread::spawn(move || {
        let mut event_loop = EventLoop::new().unwrap();
        sender.send(event_loop.handle()).unwrap();
        event_loop.run_forever();
    });
    let other_loop = receiver.recv().unwrap();
    let trace = run_virtual(async |trace| {
        let noted = trace.clone();
        let timeout = call_later(secs(5), move || noted.note("timed out"));
        let answer = other_loop.run_coroutine_threadsafe(|| async {
            sleep(ms(20)).await;
            "an answer"
        });
        trace.note(answer.unwrap().await.unwrap());
        timeout.cancel();
        sleep(secs(3600)).await; // virtual time jumps again
    });
    assert_eq!(trace, ["an answer"]);
    other_loop.stop();
    other.join().unwrap();
}

#[test]
fn a_runner_keeps_its_time_between_runs() {
    let mut runner = Runner::builder().virtual_time(true).build().unwrap();
    let one = runner.run(async {
        sleep(secs(5)).await;
        time()
    });
    let two = runner.run(async { time() });
    assert_eq!(one.unwrap(), two.unwrap());
}

#[test]
fn a_standstill_is_reported_once_a_run_without_outside_work() {
    use futures::StreamExt;
    use std::sync::mpsc;

    /// Answers after more than the second after which a standstill is reported.
    async fn slow_thread<T: Send + 'static>(held_meanwhile: T) {
        let (send, sent) = futures::channel::oneshot::channel();
        thread::spawn(move || {
            thread::sleep(ms(1300));
            send.send(()).unwrap();
            drop(held_meanwhile);
        });
        sent.await.unwrap();
    }

    let trace = Trace::default();
    let mut event_loop = virtual_loop();
    // Without the report main would wait forever. Then a thread stops the loop, and the run is an
    // error.
    let (ended, has_ended) = mpsc::channel::<()>();
    let handle = event_loop.handle();
    let watchdog = thread::spawn(move || {
        if has_ended.recv_timeout(secs(60)) == Err(mpsc::RecvTimeoutError::Timeout) {
            handle.stop();
        }
    });
    let (wake, mut woken) = futures::channel::mpsc::unbounded();
    let noted = trace.clone();
    event_loop.set_exception_handler(move |unhandled| {
        noted.note(unhandled.message().split(':').next().unwrap());
        wake.unbounded_send(()).unwrap();
    });
    event_loop
        .run_until_complete(async {
            slow_thread(running_loop().outside_work()).await;
            trace.note("an answer");
            woken.next().await.unwrap();
            trace.note("woken by the report");
            slow_thread(()).await;
            trace.note("a late answer");
        })
        .unwrap();
    event_loop
        .run_until_complete(async {
            woken.next().await.unwrap();
            trace.note("woken by the report of another run");
        })
        .unwrap();
    assert_eq!(
        trace.take(),
        [
            "an answer",
            "virtual time stands still",
            "woken by the report",
            "a late answer",
            "virtual time stands still",
            "woken by the report of another run"
        ]
    );
    drop(ended);
    watchdog.join().unwrap();
}

#[test]
fn far_deadlines_fire_in_order() {
    let trace = run_virtual(async |trace| {
        const YEAR: u64 = 365 * 24 * 3600;
        for years in [500, 1, 100] {
            let trace = trace.clone();
            call_later(secs(years * YEAR), move || {
                trace.note(format!("{years} years"))
            });
        }
        sleep(secs(501 * YEAR)).await;
    });
    assert_eq!(trace, ["1 years", "100 years", "500 years"]);
}
