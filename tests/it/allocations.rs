//! Warm operations allocate nothing: yields, re-armed sleeps, wakes, waits for I/O. A child of a group is one
//! allocation, and a group that runs forever does not grow.
//!
//! A test binary of its own, since it counts what its whole process allocates, thread by thread.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::pending;
use std::time::Duration;

use asyncio::{
    BoxError, Interval, Ready, TaskGroup, gather, gather_iter, interval, race, run_with,
    running_loop, sleep, spawn, task_group, time, try_gather, yield_now,
};

/// The system's allocator, counting.
struct Counting;

thread_local! {
    /// How often this thread has asked for memory.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// How many bytes it has and has not given back.
    static HELD: Cell<isize> = const { Cell::new(0) };
}

/// Some more memory is asked for, which may take the place of what was there.
fn count(bytes: usize, instead_of: usize) {
    ALLOCATIONS.with(|n| n.set(n.get() + 1));
    hold(bytes.cast_signed() - instead_of.cast_signed());
}

fn hold(bytes: isize) {
    HELD.with(|n| n.set(n.get() + bytes));
}

// SAFETY: everything is the system allocator's doing. Counting touches a thread-local that needs no
// memory and has no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promises are those of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        hold(-layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// How often `work` allocates when it is done for the second time.
async fn when_warm(mut work: impl AsyncFnMut()) -> u64 {
    work().await;
    let before = ALLOCATIONS.get();
    work().await;
    ALLOCATIONS.get() - before
}

/// Runs `main` on real time and on virtual time.
fn on_both_clocks(main: impl AsyncFn()) {
    for is_virtual in [false, true] {
        run_with(asyncio::Runner::builder().virtual_time(is_virtual), main());
    }
}

#[test]
fn the_counter_counts() {
    on_both_clocks(async || {
        let counted = when_warm(async || drop(std::hint::black_box(Box::new(1)))).await;
        assert_eq!(counted, 1);
    });
}

#[test]
fn yields() {
    on_both_clocks(async || {
        let others: Vec<_> = (0..100)
            .map(|_| {
                spawn(async {
                    loop {
                        yield_now().await;
                    }
                })
            })
            .collect();
        let counted = when_warm(async || {
            for _ in 0..1_000 {
                yield_now().await;
            }
        });
        assert_eq!(counted.await, 0);
        drop(others);
    });
}

#[test]
fn selects() {
    use asyncio::{select, sync::Queue};
    on_both_clocks(async || {
        let (numbers, others) = (Queue::new(1), Queue::<u32>::new(1));
        let counted = when_warm(async || {
            for n in 0..100 {
                if n % 2 == 0 {
                    numbers.put_nowait(n).unwrap();
                }
                select! {
                    Ok(_) = others.get() => unreachable!(),
                    got = numbers.get(), if n % 2 == 0 => assert_eq!(got, Ok(n)),
                    () = sleep(Duration::from_micros(1)) => {}
                }
            }
        });
        assert_eq!(counted.await, 0);
    });
}

#[test]
fn races_and_gathers_in_place() {
    on_both_clocks(async || {
        let counted = when_warm(async || {
            for n in 0..100 {
                let later = async || {
                    yield_now().await;
                    n
                };
                assert_eq!(race((later(), pending())).await, n);
                assert_eq!(race([later(), later()]).await, n);
                assert_eq!(gather((later(), later(), later())).await, (n, n, n));
                assert_eq!(gather([later(), later()]).await, [n, n]);
                let fails = async { Err::<(), _>(later().await) };
                let other = async { Ok(pending::<u32>().await) };
                assert_eq!(try_gather((fails, other)).await, Err(n));
            }
        });
        assert_eq!(counted.await, 0);
    });
}

#[test]
fn sleeps_and_sleeps_that_are_armed_again() {
    on_both_clocks(async || {
        let counted = when_warm(async || {
            for micros in 0..100 {
                sleep(Duration::from_micros(micros)).await;
            }
        });
        assert_eq!(counted.await, 0);

        let mut again = sleep(Duration::from_micros(1));
        let counted = when_warm(async || {
            for _ in 0..100 {
                again.reset(time() + Duration::from_micros(10));
                (&mut again).await;
            }
        });
        assert_eq!(counted.await, 0);

        let mut ticks: Interval = interval(Duration::from_micros(10));
        let counted = when_warm(async || {
            for _ in 0..100 {
                ticks.tick().await;
            }
        });
        assert_eq!(counted.await, 0);
    });
}

#[test]
fn sleeps_of_many_tasks_at_once() {
    // On virtual time, where the second round wakes as many at once as the first. On real time a machine that
    // is busy elsewhere may let more come due in one turn than ever before, and the list of them grows.
    let virtual_time = asyncio::Runner::builder().virtual_time(true);
    run_with(virtual_time, async {
        let sleepers: Vec<_> = (0..200_u64)
            .map(|n| {
                spawn(async move {
                    loop {
                        sleep(Duration::from_micros(50 + n)).await;
                    }
                })
            })
            .collect();
        let counted = when_warm(async || sleep(Duration::from_millis(20)).await);
        assert_eq!(counted.await, 0);
        drop(sleepers);
    });
}

#[test]
fn wakes_between_tasks() {
    use std::rc::Rc;
    use std::task::{Poll, Waker};
    on_both_clocks(async || {
        /// A ball that two tasks throw each other.
        #[derive(Default)]
        struct Ball {
            with: Cell<usize>,
            waiting: [Cell<Option<Waker>>; 2],
        }
        async fn catch(ball: &Ball, me: usize) {
            std::future::poll_fn(|cx| {
                if ball.with.get() == me {
                    return Poll::Ready(());
                }
                ball.waiting[me].set(Some(cx.waker().clone()));
                Poll::Pending
            })
            .await;
            ball.with.set(1 - me);
            if let Some(waker) = ball.waiting[1 - me].take() {
                waker.wake();
            }
        }
        let ball = Rc::new(Ball::default());
        let other = spawn({
            let ball = ball.clone();
            async move {
                loop {
                    catch(&ball, 1).await;
                }
            }
        });
        let counted = when_warm(async || {
            for _ in 0..1_000 {
                catch(&ball, 0).await;
            }
        });
        assert_eq!(counted.await, 0);
        drop(other);
    });
}

#[test]
fn wakes_from_another_thread() {
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use std::sync::{Arc, Mutex};
    use std::task::{Poll, Waker};
    on_both_clocks(async || {
        let event_loop = running_loop();
        let _held = event_loop.outside_work();
        let waiting = Arc::new(Mutex::new(None::<Waker>));
        let ended = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (waiting, ended) = (waiting.clone(), ended.clone());
            move || {
                while !ended.load(SeqCst) {
                    let waker = waiting.lock().unwrap().take();
                    match waker {
                        Some(waker) => waker.wake(),
                        None => std::thread::yield_now(),
                    }
                }
            }
        });
        let counted = when_warm(async || {
            for _ in 0..300 {
                let mut asked = false;
                std::future::poll_fn(|cx| {
                    let mut waiting = waiting.lock().unwrap();
                    if asked && waiting.is_none() {
                        return Poll::Ready(());
                    }
                    asked = true;
                    *waiting = Some(cx.waker().clone());
                    Poll::Pending
                })
                .await;
            }
        });
        assert_eq!(counted.await, 0);
        ended.store(true, SeqCst);
        thread.join().unwrap();
    });
}

#[test]
fn waits_for_io() {
    use asyncio::net::{TcpListener, TcpStream};
    run_with(asyncio::Runner::builder(), async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let echo = spawn(async move {
            let (stream, _) = listener.accept().await?;
            let mut buf = [0; 64];
            loop {
                stream.read_exact(&mut buf).await?;
                // So that the other side has to wait.
                sleep(Duration::from_micros(50)).await;
                stream.write_all(&buf).await?;
            }
            #[expect(unreachable_code, reason = "it says what the loop may fail with")]
            Ok::<(), std::io::Error>(())
        });
        let stream = TcpStream::connect(address).await.unwrap();
        let counted = when_warm(async || {
            let mut buf = [7; 64];
            for _ in 0..100 {
                stream.write_all(&buf).await.unwrap();
                stream.read_exact(&mut buf).await.unwrap();
            }
        });
        assert_eq!(counted.await, 0);
        drop(echo);
    });
}

/// The allocations of a group for each of its children: with 1,000, and with 2,000 of them.
async fn per_child(group: impl AsyncFn(usize)) -> u64 {
    let cost = async |children| {
        let before = ALLOCATIONS.get();
        group(children).await;
        ALLOCATIONS.get() - before
    };
    cost(2_000).await; // room in the queues
    let (once, twice) = (cost(1_000).await, cost(2_000).await);
    // Lists double a few times more.
    (twice - once + 500) / 1_000
}

#[test]
fn a_child_is_one_allocation() {
    // The memory of some that have ended is kept for those that come.
    let one = 0..=1;
    on_both_clocks(async || {
        let group = async |children| {
            let sum = Cell::new(0);
            let outcome = task_group(async |tg: TaskGroup<'_>| {
                for n in 0..children {
                    let sum = &sum;
                    tg.spawn(async move {
                        yield_now().await;
                        sum.set(sum.get() + n);
                        Ok(())
                    });
                }
                Ok(())
            });
            outcome.await.unwrap();
            assert_eq!(sum.get(), children * (children - 1) / 2);
        };
        assert!(one.contains(&per_child(group).await));
        let gathered = async |children| {
            let all = gather_iter((0..children).map(async |n| {
                yield_now().await;
                n
            }));
            assert_eq!(all.await.len(), children);
        };
        assert!(one.contains(&per_child(gathered).await));
    });
}

/// A server starts a child for each that comes, in every way there is, and forgets it when it has ended.
#[test]
fn a_group_that_goes_on_for_ever_does_not_grow() {
    let virtual_time = asyncio::Runner::builder().virtual_time(true);
    run_with(virtual_time, async {
        let served = Cell::new(0);
        let serve = async || {
            sleep(Duration::from_millis(3)).await;
            served.set(served.get() + 1);
            Ok::<(), BoxError>(())
        };
        task_group(async |tg: TaskGroup<'_>| {
            tg.limit(8);
            let mut after = Vec::new();
            for _round in 0..3 {
                for n in 0..2_000 {
                    tg.spawn(serve());
                    drop(tg.spawn_when_free(serve()).await);
                    let serve = &serve;
                    let started = tg.start(async move |ready: Ready<u32>| {
                        ready.set(n);
                        serve().await
                    });
                    let (said, child) = started.await?;
                    assert_eq!(said, n);
                    match n % 3 {
                        0 => drop(child.cancel()),
                        1 => child.await?,
                        _ => {}
                    }
                    assert!(tg.len() <= 16, "{tg:?}");
                }
                sleep(Duration::from_secs(1)).await;
                assert!(tg.is_empty());
                after.push(HELD.get());
            }
            assert_eq!(after[1], after[2], "the first round is for what is kept");
            Ok(())
        })
        .await
        .unwrap();
        assert!(served.get() > 3 * 2_000 * 2);
    });
}

/// The memory of a burst is given back when it is over, while its loop goes on: of each table that grew with it a
/// bounded rest stays. Where the last of the burst stays alive, no table can be thrown away as a whole.
mod bursts {
    use super::*;
    use std::future::pending;
    use std::rc::Rc;

    use asyncio::sync::{Event, Lock, Queue, Semaphore};
    use asyncio::{Task, call_later, catch_cancel, timeout};

    const MANY: usize = 50_000;
    /// For all tables together, and what the loop keeps in any case.
    const REST: isize = 2 << 20;

    /// Lets the loop wait a few times.
    async fn settle() {
        for _ in 0..4 {
            sleep(Duration::from_millis(1)).await;
        }
    }

    fn check<F: Future<Output = ()> + 'static>(kind: &str, start: impl Fn(usize) -> F + 'static) {
        let kind = kind.to_owned();
        run_with(asyncio::Runner::builder().virtual_time(true), async move {
            settle().await;
            let before = HELD.get();
            let mut tasks: Vec<Task<()>> = (0..MANY).map(|n| spawn(start(n))).collect();
            yield_now().await;
            yield_now().await;
            let height = HELD.get() - before;
            assert!(height > 2 * REST, "{kind}: this is no burst: {height}");
            let last = tasks.pop();
            for task in tasks {
                task.await.unwrap();
            }
            settle().await;
            let left = HELD.get() - before;
            assert!(left < REST, "{kind}: {left} bytes of {height} are left");
            drop(last);
        });
    }

    /// Ends after some turns, except for the last one.
    async fn some_turns(n: usize) {
        for _ in 0..3 {
            yield_now().await;
        }
        if n == MANY - 1 {
            pending::<()>().await;
        }
    }

    #[test]
    fn of_tasks() {
        check("tasks", some_turns);
    }

    #[test]
    fn of_sleeps() {
        check("sleeps", |n| async move {
            sleep(Duration::from_millis(1 + n as u64 % 7)).await;
            some_turns(n).await;
        });
    }

    #[test]
    fn of_callbacks() {
        run_with(asyncio::Runner::builder().virtual_time(true), async move {
            settle().await;
            let before = HELD.get();
            for n in 0..MANY {
                let delay = Duration::from_millis(1 + n as u64 % 7);
                call_later(delay, move || {
                    std::hint::black_box(n);
                });
            }
            let height = HELD.get() - before;
            assert!(height > 2 * REST, "this is no burst: {height}");
            sleep(Duration::from_millis(10)).await;
            settle().await;
            let left = HELD.get() - before;
            assert!(left < REST, "{left} bytes of {height} are left");
        });
    }

    #[test]
    fn of_scopes() {
        check("scopes", |n| async move {
            let _ = catch_cancel(some_turns(n)).await;
        });
    }

    #[test]
    fn of_time_limits() {
        // A timer that stays would keep the entries of the wheel before it.
        check("time limits", |_| async move {
            let _ = timeout(Duration::from_secs(100), some_turns(0)).await;
        });
    }

    #[test]
    fn of_waiters() {
        let (event, lock, semaphore) = (Event::new(), Lock::new(()), Semaphore::new(1));
        let shared = Rc::new((event, lock, semaphore));
        check("waiters", move |n| {
            let shared = Rc::clone(&shared);
            async move {
                let (event, lock, semaphore) = &*shared;
                drop(lock.lock().await);
                drop(semaphore.acquire().await);
                if n == MANY - 2 {
                    event.set();
                }
                if n < MANY - 1 {
                    event.wait().await;
                } else {
                    pending::<()>().await;
                }
            }
        });
    }

    #[test]
    fn of_items() {
        run_with(asyncio::Runner::builder().virtual_time(true), async {
            let queue = Queue::new(0);
            let before = HELD.get();
            for n in 0..MANY * 10 {
                queue.put([n; 2]).await.unwrap();
            }
            assert!(HELD.get() - before > 2 * REST);
            while queue.qsize() > 1 {
                queue.get().await.unwrap();
            }
            assert!(HELD.get() - before < REST, "{} bytes", HELD.get() - before);
        });
    }

    /// Also if the group that had it goes on.
    #[test]
    fn of_children() {
        run_with(asyncio::Runner::builder().virtual_time(true), async {
            let before = HELD.get();
            let outcome = task_group(async |tg: TaskGroup<'_>| {
                tg.spawn(async {
                    sleep(Duration::from_secs(1)).await;
                    Ok(())
                });
                // So many that their queue alone would be more than the rest.
                for _ in 0..6 * MANY {
                    tg.spawn(async {
                        some_turns(0).await;
                        Ok(())
                    });
                }
                assert!(HELD.get() - before > 2 * REST);
                while tg.len() > 1 {
                    yield_now().await;
                }
                settle().await;
                let left = HELD.get() - before;
                assert!(left < REST, "{left} bytes are left");
                Ok::<_, BoxError>(())
            });
            outcome.await.unwrap();
        });
    }
}
