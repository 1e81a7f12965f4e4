//! A loop that a host turns: when the host must come back, what wakes it, and how the loop ends.

use std::cell::Cell;
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Trace, forever, ms, note_reports, panic_of, secs};
use asyncio_loop::{
    Attachment, Builder, EventLoop, Guest, JoinError, Next, attached, call_soon, reactor, run,
    sleep, spawn, time, yield_now,
};
use asyncio_reactor::Interest;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Never enough.
fn never() -> bool {
    false
}

/// Waits for the descriptor, and returns whether it is readable.
fn wait(host: &impl AsFd, timeout: Option<Duration>) -> bool {
    let timeout = timeout.map(|time| Timespec::try_from(time).unwrap());
    let mut descriptors = [PollFd::new(host, PollFlags::IN)];
    poll(&mut descriptors, timeout.as_ref()).unwrap();
    !descriptors[0].revents().is_empty()
}

/// Waits as the loop asks.
fn wait_for(host: &impl AsFd, next: Next) -> bool {
    match next {
        Next::Now => wait(host, Some(Duration::ZERO)),
        // A host waits in milliseconds, rounded up.
        Next::At(time) => {
            let left = time.saturating_duration_since(Instant::now());
            wait(host, Some(ms(left.as_micros().div_ceil(1000) as u64)))
        }
        Next::Event => wait(host, Some(secs(60))),
    }
}

/// A host that has nothing else to do.
fn host<T: 'static>(mut guest: Guest<T>) -> Result<T, JoinError> {
    let mut look = false;
    loop {
        match guest.turn(look, never) {
            ControlFlow::Break(outcome) => return outcome,
            ControlFlow::Continue(next) => look = wait_for(&guest, next),
        }
    }
}

/// A loop whose calls of `unpark` are counted.
fn counted() -> (EventLoop, Arc<AtomicUsize>) {
    let unparked = Arc::new(AtomicUsize::new(0));
    let counter = unparked.clone();
    let builder = EventLoop::builder().unpark(move || {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    (builder.build_loop().unwrap(), unparked)
}

mod turning {
    use super::*;

    #[test]
    fn a_loop_without_work_waits_for_events() {
        let mut event_loop = EventLoop::new().unwrap();
        assert_eq!(event_loop.turn(false, never), Next::Event);
        assert_eq!(event_loop.turn(true, never), Next::Event);
    }

    #[test]
    fn ready_tasks_run_batch_after_batch_up_to_the_budget() {
        let builder = EventLoop::builder().task_budget(10);
        let mut event_loop = builder.build_loop().unwrap();
        let task = event_loop.spawn(async {
            for _ in 0..25 {
                yield_now().await;
            }
        });
        let turns = [(); 3].map(|()| event_loop.turn(false, never));
        assert_eq!(turns, [Next::Now, Next::Now, Next::Event]);
        assert!(task.is_finished());
    }

    #[test]
    fn enough_is_asked_before_each_step_and_the_batch_goes_on_in_order() {
        let trace = Trace::default();
        let mut event_loop = EventLoop::new().unwrap();
        for name in ["a", "b", "c", "d", "e"] {
            let trace = trace.clone();
            event_loop.call_soon(move || trace.note(name));
        }
        let asked = std::cell::Cell::new(0);
        let after_two = || {
            asked.set(asked.get() + 1);
            asked.get() > 2
        };
        assert_eq!(event_loop.turn(false, after_two), Next::Now);
        assert_eq!(trace.take(), ["a", "b"]);
        let noted = trace.clone();
        event_loop.call_soon(move || noted.note("later"));
        assert_eq!(event_loop.turn(false, never), Next::Event);
        assert_eq!(trace.take(), ["c", "d", "e", "later"]);
    }

    #[test]
    fn a_stopped_loop_ends_its_turn_with_the_batch() {
        let mut event_loop = EventLoop::new().unwrap();
        let steps = Rc::new(Cell::new(0));
        let counted = steps.clone();
        let task = event_loop.spawn(async move {
            loop {
                counted.set(counted.get() + 1);
                yield_now().await;
            }
        });
        let handle = event_loop.handle();
        event_loop.call_soon(move || handle.stop());
        let _ = event_loop.turn(false, never);
        assert_eq!(steps.get(), 1);
        drop::<asyncio_loop::Task<()>>(task);
    }

    /// 3 ms are measured by the loop, unless the clock of the host differs from that of the machine.
    #[test]
    fn a_host_with_a_clock_of_its_own_waits_for_the_whole_deadline() {
        let next_after = |delay| {
            let builder = EventLoop::builder().host_clock(clock);
            let mut event_loop = builder.build_loop().unwrap();
            event_loop.spawn(async move { sleep(delay).await }).detach();
            let (start, next) = (event_loop.time(), event_loop.turn(false, never));
            let Next::At(time) = next else {
                panic!("the host must wait for the deadline: {next:?}")
            };
            time - start
        };
        assert_eq!(next_after(ms(1)), ms(1));
        assert_eq!(next_after(ms(3)), ms(3));
        let nearly = Duration::from_nanos(1);
        assert_eq!(
            next_after(ms(3) + nearly),
            Duration::from_micros(1500) + nearly
        );
    }

    #[test]
    fn a_turn_in_which_everything_is_enough_runs_nothing_and_says_so() {
        let mut event_loop = EventLoop::new().unwrap();
        let task = event_loop.spawn(async {});
        assert_eq!(event_loop.turn(false, || true), Next::Now);
        assert!(!task.is_finished());
    }

    #[test]
    fn a_later_deadline_is_the_hosts_and_a_near_one_the_loops() {
        let mut event_loop = EventLoop::new().unwrap();
        let start = event_loop.time();
        let task = event_loop.spawn(async { sleep(ms(40)).await });
        let Next::At(time) = event_loop.turn(false, never) else {
            panic!("the host must wait for the deadline")
        };
        assert!(start + ms(37) < time && time < event_loop.time() + ms(40));
        let mut look = wait_for(&event_loop, Next::At(time));
        while !task.is_finished() {
            let next = event_loop.turn(look, never);
            if !task.is_finished() {
                assert_ne!(next, Next::Now, "the loop must not spin");
                look = wait_for(&event_loop, next);
            }
        }
        assert!(event_loop.time() >= start + ms(40), "never early");
    }

    thread_local! {
        static LOOKS: Cell<u32> = const { Cell::new(0) };
    }

    /// The clock of a host that counts the looks at it. It stands still.
    fn clock() -> Instant {
        static NOW: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        LOOKS.set(LOOKS.get() + 1);
        *NOW
    }

    /// The looks at the clock in a turn for one message, with what `beside` has spawned.
    fn looks_in_a_turn(beside: impl FnOnce(&EventLoop)) -> u32 {
        let builder = EventLoop::builder().host_clock(clock);
        let mut event_loop = builder.build_loop().unwrap();
        beside(&event_loop);
        while event_loop.turn(true, never) == Next::Now {}
        event_loop.call_soon(|| ());
        LOOKS.set(0);
        assert_ne!(event_loop.turn(false, never), Next::Now);
        LOOKS.get()
    }

    #[test]
    fn a_turn_for_a_message_looks_at_the_clock_only_for_deadlines() {
        assert_eq!(looks_in_a_turn(|_| ()), 0);
        let an_hour =
            |event_loop: &EventLoop| event_loop.spawn(async { sleep(secs(3600)).await }).detach();
        assert_eq!(looks_in_a_turn(an_hour), 1);
    }

    #[test]
    fn a_spent_deadline_is_fired_by_the_turn_that_finds_it() {
        let mut event_loop = EventLoop::new().unwrap();
        let task = event_loop.spawn(async { sleep(ms(1)).await });
        let _ = event_loop.turn(false, never);
        thread::sleep(ms(2));
        assert_eq!(event_loop.turn(false, never), Next::Event);
        assert!(task.is_finished());
    }

    #[test]
    fn on_virtual_time_the_clock_jumps_and_the_host_never_waits() {
        let builder = EventLoop::builder().virtual_time(true);
        let mut event_loop = builder.build_loop().unwrap();
        let task = event_loop.spawn(async {
            let start = time();
            sleep(secs(3600)).await;
            time() - start
        });
        let real = Instant::now();
        while event_loop.turn(false, never) == Next::Now {}
        assert!(task.is_finished() && real.elapsed() < secs(60));
    }

    #[test]
    fn on_virtual_time_with_a_source_the_host_waits_in_real_time() {
        let builder = EventLoop::builder().virtual_time(true);
        let mut event_loop = builder.build_loop().unwrap();
        let task = event_loop.spawn(async {
            let (_sender, receiver) = mio::unix::pipe::new().unwrap();
            let _source = reactor().register(receiver, Interest::READABLE).unwrap();
            sleep(ms(20)).await;
        });
        let start = Instant::now();
        let mut look = false;
        while !task.is_finished() {
            let next = event_loop.turn(look, never);
            look = !task.is_finished() && wait_for(&event_loop, next);
        }
        assert!(start.elapsed() >= ms(20));
    }

    #[test]
    fn a_loop_cannot_be_turned_while_another_one_runs() {
        let mut event_loop = EventLoop::new().unwrap();
        let panic = run(async { panic_of(|| _ = event_loop.turn(false, never)) });
        assert!(panic.starts_with("an event loop runs on this thread already"));
    }

    #[test]
    fn a_stop_is_for_the_host() {
        let mut event_loop = EventLoop::new().unwrap();
        event_loop.handle().stop();
        assert_eq!(event_loop.turn(false, never), Next::Event);
        assert!(event_loop.take_stopped());
        assert!(!event_loop.take_stopped());
    }
}

mod waking {
    use super::*;

    #[test]
    fn another_thread_makes_the_descriptor_readable() {
        let mut event_loop = EventLoop::new().unwrap();
        assert_eq!(event_loop.turn(false, never), Next::Event);
        assert!(!wait(&event_loop, Some(Duration::ZERO)));
        let handle = event_loop.handle();
        let trace = crate::support::Trace::default();
        let noted = std::sync::Mutex::new(Vec::new());
        let noted = Arc::new(noted);
        let there = noted.clone();
        thread::spawn(move || {
            handle
                .call_soon_threadsafe(move || there.lock().unwrap().push("called"))
                .unwrap();
        });
        assert!(wait(&event_loop, Some(secs(60))));
        assert_eq!(event_loop.turn(true, never), Next::Event);
        assert_eq!(*noted.lock().unwrap(), ["called"]);
        assert!(
            !wait(&event_loop, Some(Duration::ZERO)),
            "the event was taken"
        );
        drop(trace);
    }

    #[test]
    fn a_burst_of_messages_unparks_the_host_once() {
        let (mut event_loop, unparked) = counted();
        assert_eq!(event_loop.turn(false, never), Next::Event);
        let handle = event_loop.handle();
        let thread = thread::spawn(move || {
            for _ in 0..100 {
                handle.call_soon_threadsafe(|| ()).unwrap();
            }
        });
        thread.join().unwrap();
        assert_eq!(unparked.load(Ordering::SeqCst), 1);
        assert!(!wait(&event_loop, Some(Duration::ZERO)), "no system call");
        while event_loop.turn(false, never) == Next::Now {}
    }

    /// A waker that the host wakes between two turns.
    fn parked_task(event_loop: &mut EventLoop) -> (Waker, asyncio_loop::Task<()>) {
        let waker = Rc::new(std::cell::RefCell::new(None));
        let kept = waker.clone();
        let task = event_loop.spawn(std::future::poll_fn(move |cx: &mut Context<'_>| match kept
            .replace(Some(cx.waker().clone()))
        {
            None => Poll::Pending,
            Some(_) => Poll::Ready(()),
        }));
        assert_eq!(event_loop.turn(false, never), Next::Event);
        (waker.borrow().clone().unwrap(), task)
    }

    #[test]
    fn a_wake_up_by_the_host_itself_unparks_it() {
        let (mut event_loop, unparked) = counted();
        let (waker, task) = parked_task(&mut event_loop);
        waker.wake_by_ref();
        waker.wake();
        assert_eq!(unparked.load(Ordering::SeqCst), 1);
        assert_eq!(event_loop.turn(false, never), Next::Event);
        assert!(task.is_finished());
    }

    #[test]
    fn a_request_by_the_host_itself_unparks_it() {
        let (mut event_loop, unparked) = counted();
        let (_waker, task) = parked_task(&mut event_loop);
        assert!(task.cancel());
        assert_eq!(unparked.load(Ordering::SeqCst), 1);
        assert_eq!(event_loop.turn(false, never), Next::Event);
        assert!(task.is_finished());
    }

    #[test]
    fn whatever_the_host_schedules_between_turns_unparks_it() {
        let schedule: [fn(&EventLoop); 4] = [
            |event_loop| event_loop.spawn(async {}).detach(),
            |event_loop| drop(event_loop.call_soon(|| ())),
            |event_loop| drop(event_loop.call_later(ms(1), || ())),
            |event_loop| drop(event_loop.call_at(Instant::now(), || ())),
        ];
        for schedule in schedule {
            let (mut event_loop, unparked) = counted();
            schedule(&event_loop);
            assert_eq!(unparked.load(Ordering::SeqCst), 0, "it has not parked");
            while event_loop.turn(true, never) == Next::Now {}
            let before = unparked.load(Ordering::SeqCst);
            schedule(&event_loop);
            assert!(unparked.load(Ordering::SeqCst) > before);

            let mut event_loop = EventLoop::new().unwrap();
            while event_loop.turn(true, never) == Next::Now {}
            schedule(&event_loop);
            assert!(wait(&event_loop, Some(Duration::ZERO)));
        }
    }

    /// The loop waits for the system while it runs by itself, so the host's closure would wake nothing.
    #[test]
    fn while_the_loop_runs_by_itself_it_is_unparked_by_its_reactor() {
        let (mut event_loop, unparked) = counted();
        for _ in 0..3 {
            assert_eq!(event_loop.turn(false, never), Next::Event);
            let handle = event_loop.handle();
            let (sender, receiver) = std::sync::mpsc::channel::<Waker>();
            let thread = thread::spawn(move || {
                let waker = receiver.recv().unwrap();
                thread::sleep(ms(5));
                waker.wake();
                drop(handle);
            });
            let mut sender = Some(sender);
            let woken = std::future::poll_fn(move |cx| match sender.take() {
                Some(sender) => {
                    sender.send(cx.waker().clone()).unwrap();
                    Poll::Pending
                }
                None => Poll::Ready(()),
            });
            event_loop.run_until_complete(woken).unwrap();
            thread.join().unwrap();
        }
        assert_eq!(unparked.load(Ordering::SeqCst), 0);
    }
}

mod sources {
    use super::*;
    use asyncio_reactor::Registered;
    use mio::unix::pipe::{self, Receiver, Sender};

    fn source() -> (Sender, Registered<Receiver>) {
        let (sender, receiver) = pipe::new().unwrap();
        let receiver = reactor().register(receiver, Interest::READABLE).unwrap();
        (sender, receiver)
    }

    fn read(cx: &mut Context<'_>, source: &Registered<Receiver>) -> Poll<std::io::Result<usize>> {
        source.poll_read_with(cx, 1, |mut pipe: &Receiver| pipe.read(&mut [0]))
    }

    /// A pipe of a task, and its other end.
    fn reading_task(event_loop: &mut EventLoop) -> (Sender, asyncio_loop::Task<()>) {
        let kept = Rc::new(std::cell::RefCell::new(None));
        let there = kept.clone();
        let task = event_loop.spawn(async move {
            let (sender, receiver) = source();
            there.replace(Some(sender));
            std::future::poll_fn(|cx| read(cx, &receiver))
                .await
                .unwrap();
        });
        assert_eq!(event_loop.turn(true, never), Next::Event);
        (kept.take().unwrap(), task)
    }

    #[test]
    fn bytes_make_the_descriptor_readable() {
        let mut event_loop = EventLoop::new().unwrap();
        let (mut sender, task) = reading_task(&mut event_loop);
        assert!(!wait(&event_loop, Some(Duration::ZERO)));
        sender.write_all(b"x").unwrap();
        assert!(wait(&event_loop, Some(secs(60))));
        assert_eq!(event_loop.turn(false, never), Next::Event);
        assert!(!task.is_finished(), "the host said that nothing was there");
        assert_eq!(event_loop.turn(true, never), Next::Event);
        assert!(task.is_finished());
    }

    #[test]
    fn a_loop_that_is_always_ready_asks_for_events_by_itself() {
        let mut event_loop = EventLoop::new().unwrap();
        let (mut sender, task) = reading_task(&mut event_loop);
        let _busy = event_loop.spawn(async {
            loop {
                yield_now().await;
            }
        });
        sender.write_all(b"x").unwrap();
        let start = Instant::now();
        while !task.is_finished() {
            assert_eq!(event_loop.turn(false, never), Next::Now);
            assert!(start.elapsed() < secs(20), "the source starves");
        }
    }

    /// Trap: a reactor at rest refuses to wait.
    #[test]
    fn the_host_polls_a_source_of_the_loop_between_turns() {
        let mut event_loop = EventLoop::new().unwrap();
        let task = event_loop.spawn(async { source() });
        let mut task = std::pin::pin!(task);
        assert_eq!(event_loop.turn(true, never), Next::Event);
        let (mut sender, receiver) = task.try_take().unwrap().unwrap();
        let (counter, waker) = asyncio_testkit::CountingWaker::new();
        let mut cx = Context::from_waker(&waker);
        assert!(read(&mut cx, &receiver).is_pending());
        sender.write_all(b"x").unwrap();
        assert_eq!(event_loop.turn(true, never), Next::Event);
        assert_eq!(counter.get(), 1);
        assert!(read(&mut cx, &receiver).is_ready());
    }

    /// Trap: the reactor has wakers for its next turn, and the system reports nothing new before it.
    #[test]
    fn a_task_that_stood_back_is_woken_without_an_event() {
        const BYTES: usize = 1000;
        let mut event_loop = EventLoop::new().unwrap();
        let task = event_loop.spawn(async {
            let (mut sender, receiver) = source();
            sender.write_all(&[0; BYTES]).unwrap();
            for _ in 0..BYTES {
                std::future::poll_fn(|cx| read(cx, &receiver))
                    .await
                    .unwrap();
            }
        });
        let mut turns = 0;
        let mut look = true;
        while !task.is_finished() {
            turns += 1;
            match event_loop.turn(look, never) {
                Next::Now => look = false,
                // The bytes themselves are the one event that there is.
                next => look = task.is_finished() || wait_for(&event_loop, next),
            }
            assert!(look || turns < 1000);
        }
        assert!(
            turns >= BYTES / 64,
            "the reactor has not made the task yield"
        );
    }

    /// Trap: one system call returns 1024 events at most, and a host that watches for edges sees no other.
    #[test]
    fn more_events_than_one_call_returns_are_taken_before_the_host_waits() {
        const SOURCES: usize = 1500;
        let mut event_loop = EventLoop::new().unwrap();
        let senders = Rc::new(std::cell::RefCell::new(Vec::new()));
        let tasks: Vec<_> = (0..SOURCES)
            .map(|_| {
                let senders = senders.clone();
                event_loop.spawn(async move {
                    let (sender, receiver) = source();
                    senders.borrow_mut().push(sender);
                    std::future::poll_fn(|cx| read(cx, &receiver))
                        .await
                        .unwrap();
                })
            })
            .collect();
        while event_loop.turn(true, never) == Next::Now {}
        for sender in senders.borrow_mut().iter_mut() {
            sender.write_all(b"x").unwrap();
        }
        // One edge: the host says only once that the descriptor was readable.
        let mut look = true;
        while event_loop.turn(std::mem::take(&mut look), never) == Next::Now {}
        let left = tasks.iter().filter(|task| !task.is_finished()).count();
        assert_eq!(left, 0);
    }
}

mod closing {
    use super::*;

    fn close(event_loop: &mut EventLoop) {
        let mut look = false;
        while let Some(next) = event_loop.close_turn(look, never) {
            look = wait_for(event_loop, next);
        }
    }

    #[test]
    fn tasks_are_cancelled_and_dropped_on_the_loop() {
        let trace = Trace::default();
        let mut event_loop = EventLoop::new().unwrap();
        note_reports(&event_loop, &trace);
        for name in ["first", "second"] {
            let guard = trace.on_drop(name);
            event_loop
                .spawn(async move {
                    forever().await;
                    drop(guard);
                })
                .detach();
        }
        let _ = event_loop.turn(false, never);
        close(&mut event_loop);
        assert_eq!(trace.take(), ["first", "second"]);
        assert!(event_loop.is_closed());
        assert_eq!(event_loop.close_turn(false, never), None);
    }

    /// Spawns a task when dropped, `links` times.
    struct SpawnsWhenDropped(Trace, u32);

    impl Drop for SpawnsWhenDropped {
        fn drop(&mut self) {
            self.0.note(self.1);
            if let Some(left) = self.1.checked_sub(1) {
                let next = SpawnsWhenDropped(self.0.clone(), left);
                spawn(async move {
                    forever().await;
                    drop(next);
                })
                .detach();
            }
        }
    }

    #[test]
    fn there_are_three_passes_and_the_rest_is_reported() {
        let trace = Trace::default();
        let mut event_loop = EventLoop::new().unwrap();
        note_reports(&event_loop, &trace);
        let first = SpawnsWhenDropped(trace.clone(), 3);
        event_loop
            .spawn(async move {
                forever().await;
                drop(first);
            })
            .detach();
        let _ = event_loop.turn(false, never);
        close(&mut event_loop);
        let trace = trace.take();
        assert_eq!(trace[..3], ["3", "2", "1"]);
        assert!(
            trace[3].starts_with("a task was dropped when its event loop closed"),
            "{trace:?}"
        );
        assert_eq!(trace[4..], ["0"]);
    }

    #[test]
    fn a_loop_that_was_turned_is_dropped_without_waiting() {
        let trace = Trace::default();
        let mut event_loop = EventLoop::new().unwrap();
        note_reports(&event_loop, &trace);
        let guard = trace.on_drop("dropped");
        event_loop
            .spawn(async move {
                forever().await;
                drop(guard);
            })
            .detach();
        let _ = event_loop.turn(false, never);
        let start = Instant::now();
        drop(event_loop);
        assert!(start.elapsed() < secs(30));
        let trace = trace.take();
        assert!(trace[0].contains("was dropped"), "{trace:?}");
        assert_eq!(trace[1..], ["dropped"]);
    }

    /// An attachment that takes three questions to close.
    #[derive(Default)]
    struct Slow(std::cell::Cell<u32>);

    impl Attachment for Slow {
        fn close(&self, _: Duration) {
            panic!("the host would be blocked");
        }

        fn has_closed(&self) -> bool {
            self.0.set(self.0.get() + 1);
            self.0.get() == 3
        }
    }

    #[test]
    fn attachments_are_waited_for_by_the_host() {
        let mut event_loop = EventLoop::new().unwrap();
        let slow = event_loop.spawn(async { attached::<Slow>().unwrap() });
        let _ = event_loop.turn(false, never);
        let slow = { slow }.try_take().unwrap().unwrap();
        let handle = event_loop.handle();
        let mut waits = 0;
        loop {
            let before = Instant::now();
            let Some(next) = event_loop.close_turn(false, never) else {
                break;
            };
            if let Next::At(time) = next {
                assert!(time >= before + ms(1), "the host would spin");
                waits += 1;
                assert!(handle.call_soon_threadsafe(|| ()).is_err());
            }
            wait_for(&event_loop, next);
        }
        assert_eq!((waits, slow.0.get()), (2, 3));
    }

    #[test]
    fn an_attachment_that_asks_for_no_time_is_closed_once_without_any() {
        #[derive(Default)]
        struct Quick(std::cell::RefCell<Vec<Duration>>);
        impl Attachment for Quick {
            fn close(&self, patience: Duration) {
                self.0.borrow_mut().push(patience);
            }
        }
        let mut event_loop = EventLoop::new().unwrap();
        let quick = event_loop.spawn(async { attached::<Quick>().unwrap() });
        let _ = event_loop.turn(false, never);
        let quick = { quick }.try_take().unwrap().unwrap();
        close(&mut event_loop);
        assert_eq!(*quick.0.borrow(), [Duration::ZERO]);
    }

    #[test]
    fn a_closed_loop_does_not_make_its_descriptor_readable() {
        let mut event_loop = EventLoop::new().unwrap();
        event_loop
            .spawn(async { drop(attached::<Slow>().unwrap()) })
            .detach();
        let _ = event_loop.turn(false, never);
        let mut rounds = 0;
        while let Some(next) = event_loop.close_turn(true, never) {
            rounds += 1;
            let _ = event_loop.handle().call_soon_threadsafe(|| ());
            if let Next::At(_) = next {
                assert!(
                    !wait(&event_loop, Some(Duration::ZERO)),
                    "the host would spin"
                );
            }
        }
        assert!(rounds >= 2);
    }
}

mod guests {
    use super::*;

    #[test]
    fn a_guest_has_the_value_of_main() {
        let guest = Guest::new(async {
            sleep(ms(2)).await;
            spawn(async { 42 }).await.unwrap()
        });
        assert_eq!(host(guest.unwrap()).unwrap(), 42);
    }

    #[test]
    fn a_guest_ends_after_its_tasks() {
        let trace = Trace::default();
        let noted = trace.clone();
        let guest = Guest::new(async move {
            let guard = noted.on_drop("task");
            let task = spawn(async move {
                forever().await;
                drop(guard);
            });
            let other = task.as_ref();
            task.detach();
            yield_now().await;
            let last = noted.clone();
            // The tasks are cancelled after it.
            call_soon(move || last.note(format!("callback: {} cancelled", other.cancelling())));
            noted.note("main returns");
        });
        host(guest.unwrap()).unwrap();
        assert_eq!(
            trace.take(),
            ["main returns", "callback: 0 cancelled", "task"]
        );
    }

    #[test]
    fn a_panic_of_main_is_its_outcome() {
        let guest = Guest::<()>::new(async { panic!("boom") }).unwrap();
        assert!(host(guest).unwrap_err().is_panic());
    }

    #[test]
    fn the_host_cancels_main() {
        let mut guest = Guest::<()>::new(forever()).unwrap();
        assert!(matches!(
            guest.turn(false, never),
            ControlFlow::Continue(Next::Event)
        ));
        assert!(guest.main().cancel());
        assert!(wait(&guest, Some(Duration::ZERO)));
        assert!(host(guest).unwrap_err().is_cancelled());
    }

    #[test]
    fn a_stopped_loop_ends_its_guest() {
        let guest = Guest::<()>::new(forever()).unwrap();
        guest.handle().stop();
        assert!(matches!(host(guest), Err(JoinError::Stopped(_))));
    }

    #[test]
    fn a_dropped_guest_drops_its_tasks_and_reports_them() {
        let trace = Trace::default();
        let guard = trace.on_drop("main");
        let mut guest = Guest::new(async move {
            forever().await;
            drop(guard);
        })
        .unwrap();
        note_reports(guest.event_loop(), &trace);
        let _ = guest.turn(false, never);
        drop(guest);
        let trace = trace.take();
        assert!(trace[0].contains("was dropped"), "{trace:?}");
        assert_eq!(trace[1..], ["main"]);
    }

    #[test]
    fn a_guest_that_is_dropped_before_its_first_turn_is_reported_once() {
        let trace = Trace::default();
        let builder: Builder = EventLoop::builder().debug(true);
        let guest = Guest::with(builder, forever()).unwrap();
        note_reports(guest.event_loop(), &trace);
        drop(guest);
        let trace = trace.take();
        assert_eq!(trace.len(), 1, "{trace:?}");
        assert!(
            trace[0].contains("was dropped when its event loop closed"),
            "{trace:?}"
        );
    }

    #[test]
    fn several_guests_share_a_thread() {
        let mut guests = [3, 1, 2].map(|n| {
            Some(
                Guest::new(async move {
                    sleep(ms(n)).await;
                    n
                })
                .unwrap(),
            )
        });
        let mut ended = Vec::new();
        while guests.iter().any(Option::is_some) {
            for guest in &mut guests {
                let outcome = guest.as_mut().map(|guest| guest.turn(true, never));
                if let Some(ControlFlow::Break(outcome)) = outcome {
                    ended.push(outcome.unwrap());
                    *guest = None;
                }
            }
            thread::sleep(Duration::from_micros(50));
        }
        ended.sort_unstable();
        assert_eq!(ended, [1, 2, 3]);
    }

    #[test]
    fn settings_are_those_of_the_builder() {
        let builder: Builder = EventLoop::builder().virtual_time(true);
        let guest = Guest::with(builder, async {
            let start = time();
            sleep(secs(3600)).await;
            time() - start
        });
        assert_eq!(host(guest.unwrap()).unwrap(), secs(3600));
    }
}
