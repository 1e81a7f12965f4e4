//! Loops of awaits that are ready at once: others have turns, and a time limit ends them.

use std::cell::{Cell, RefCell};
use std::future::{pending, ready};
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use asyncio::sync::{
    Condition, Event, Lock, Queue, RwLock, Semaphore, ThreadEvent, promise, thread_promise, watch,
};
use asyncio::{
    BoxError, CancelScope, JoinError, Pending, ReturnWhen, Runner, SpawnOptions, Task, TaskGroup,
    ThreadPool, TimeoutHandle, as_completed, cancel_scope, catch_cancel, catch_panic, fs, gather,
    move_on_after, net, on_cancel, race, run_with, running_loop, shield, sleep, sleep_until, spawn,
    spawn_with, staggered_race, task_group, time, timeout, timeout_at, timeout_scope, to_thread,
    try_finally, try_gather, wait, wait_for, wait_with_timeout, yield_now,
};
use futures::future::{FutureExt, LocalBoxFuture, join_all};
use futures::stream::StreamExt;

const LIMIT: Duration = Duration::from_millis(10);

/// Runs `work` for ever, on real time, until a limit ends it, beside a task that counts its turns.
fn ends(name: &str, work: impl AsyncFn()) {
    run_with(Runner::builder(), async {
        let turns = Rc::new(Cell::new(0));
        let counted = turns.clone();
        let _beside = spawn(async move {
            loop {
                counted.set(counted.get() + 1);
                yield_now().await;
            }
        });
        // On a machine that is busy elsewhere the limit may come before anybody else has had a turn.
        for _ in 0..20 {
            let endless = async {
                loop {
                    work().await;
                }
            };
            assert!(timeout(LIMIT, endless).await.is_err());
            if turns.get() > 1 {
                return;
            }
        }
        panic!("{name}: nobody else had a turn");
    });
}

#[test]
fn of_the_primitives() {
    let event = Event::new();
    event.set();
    ends("event", async || event.wait().await);
    let lock = Lock::new(());
    ends("lock", async || drop(lock.lock().await));
    let lock = RwLock::new(());
    ends("read", async || drop(lock.read().await));
    let semaphore = Semaphore::new(3);
    ends("acquire", async || drop(semaphore.acquire_many(2).await));
    let queue = Queue::new(1);
    ends("put and get", async || {
        queue.put(1).await.unwrap();
        queue.get().await.unwrap();
    });
    ends("promise", async || {
        let (promise, answer) = promise::<u32>();
        promise.set_result(1).unwrap();
        answer.await.unwrap();
    });
    let (_sender, receiver) = watch(0);
    ends("watch", async || {
        receiver.clone().wait_for(|_| true).await.unwrap();
    });
    let condition = Condition::new(Rc::new(Lock::new(0)));
    ends("condition", async || {
        let mut guard = condition.lock().await;
        loop {
            guard = condition.wait_for(guard, |_| true).await;
        }
    });
}

/// An operation that is refused is ready as well.
#[test]
fn of_a_queue_that_is_shut_down() {
    let queue = Queue::new(1);
    queue.shutdown(false);
    ends("get", async || assert!(queue.get().await.is_err()));
    ends("put", async || assert!(queue.put(1).await.is_err()));
    ends("reserve", async || {
        assert!(queue.reserve().await.is_err());
    });
    ends("get_item", async || {
        assert!(queue.get_item().await.is_err());
    });
    ends("items", async || {
        assert_eq!(pin!(queue.items()).next().await, None);
    });
}

#[test]
fn of_children_that_are_refused() {
    let refused = async |tg: TaskGroup<'_>| -> Result<(), BoxError> {
        tg.cancel();
        loop {
            tg.spawn_ok(async {}).await.unwrap_err();
        }
    };
    ends("spawn_ok", async || task_group(refused).await.unwrap());
}

#[test]
fn of_an_end_that_has_come() {
    let pool = ThreadPool::new();
    pool.shutdown(Pending::Run);
    ends("threads", async || pool.wait_closed().await);
}

#[cfg(unix)]
#[test]
fn of_processes_that_have_ended() {
    use asyncio::{ProcessPool, process};

    let pool = ProcessPool::new();
    pool.shutdown(Pending::Run);
    ends("processes", async || pool.wait_closed().await);
    ends("a process", async || {
        let child = process::Command::new("true").spawn().unwrap();
        loop {
            child.wait().await.unwrap();
        }
    });
    ends("a command that cannot start", async || {
        let mut command = process::Command::new("/does/not/exist");
        command.status().await.unwrap_err();
    });
}

/// A buffer that is full leaves an empty rest.
#[test]
fn of_nothing_to_transfer() {
    ends("files", async || {
        let mut file = fs::temp_file().await.unwrap();
        loop {
            assert_eq!(file.read(&mut []).await.unwrap(), 0);
            file.read_exact_at(&mut [], 0).await.unwrap();
            file.write_all(&[]).await.unwrap();
            file.write_behind(&[]).await.unwrap();
        }
    });
    ends("sockets, read", async || {
        let listener = net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = net::TcpStream::connect(listener.local_addr().unwrap());
        let client = client.await.unwrap();
        loop {
            assert_eq!(client.read(&mut []).await.unwrap(), 0);
            client.read_exact(&mut []).await.unwrap();
        }
    });
    ends("sockets, written", async || {
        let listener = net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = net::TcpStream::connect(listener.local_addr().unwrap());
        let client = client.await.unwrap();
        loop {
            assert_eq!(client.write(&[]).await.unwrap(), 0);
            client.write_all(&[]).await.unwrap();
        }
    });
}

#[test]
fn of_addresses_without_a_lookup() {
    ends("an address", async || {
        net::getaddrinfo("127.0.0.1", 80).await.unwrap();
    });
}

/// Nothing is lost when a limit cuts such a loop: all items that were put are seen or left.
#[test]
fn what_is_cut_loses_nothing() {
    run_with(Runner::builder(), async {
        let queue = Queue::new(0);
        let (mut put, mut got) = (0_u64, 0_u64);
        for _ in 0..20 {
            let endless = async {
                loop {
                    queue.put(()).await.unwrap();
                    put += 1;
                    queue.put(()).await.unwrap();
                    put += 1;
                    queue.get().await.unwrap();
                    got += 1;
                }
            };
            assert!(timeout(Duration::from_millis(1), endless).await.is_err());
            assert_eq!(queue.qsize() as u64, put - got);
            assert_eq!((queue.getters(), queue.putters()), (0, 0));
        }
    });
}

// ---- what runs, limits and waits for others ----

const LONG: Duration = Duration::from_secs(1000);

/// One round of a loop in which every await is ready.
type Round = Rc<dyn Fn() -> LocalBoxFuture<'static, ()>>;

fn round<F: Future + 'static>(make: impl Fn() -> F + 'static) -> Round {
    Rc::new(move || make().map(|_| ()).boxed_local())
}

fn eager<T: 'static>(work: impl Future<Output = T> + 'static) -> Task<T> {
    spawn_with(SpawnOptions::new().eager_start(), work)
}

fn limits() -> Vec<(&'static str, Round)> {
    let past = Instant::now();
    vec![
        ("timeout", round(async || timeout(LONG, async {}).await)),
        (
            "timeout of zero",
            round(async || timeout(Duration::ZERO, async {}).await),
        ),
        ("timeout_at", round(move || timeout_at(past, async {}))),
        (
            "timeout_at, to come",
            round(async || timeout_at(time() + LONG, async {}).await),
        ),
        (
            "timeout_scope",
            round(async || {
                timeout_scope(None, async |_: TimeoutHandle| {})
                    .await
                    .unwrap();
            }),
        ),
        (
            "wait_for",
            round(async || wait_for(async {}, None).await.unwrap()),
        ),
        (
            "move_on_after",
            round(async || move_on_after(LONG, ready(1)).await),
        ),
        (
            "cancel_scope",
            round(async || cancel_scope(async |_: CancelScope| {}).await),
        ),
        ("catch_cancel", round(async || catch_cancel(async {}).await)),
        ("catch_panic", round(async || catch_panic(async {}).await)),
        (
            "on_cancel",
            round(async || on_cancel(async {}, async {}).await),
        ),
        (
            "try_finally",
            round(async || try_finally(async {}, async {}).await),
        ),
        (
            "nested",
            round(async || {
                let _ = timeout(LONG, try_finally(shield(async {}), async {})).await;
            }),
        ),
    ]
}

fn groups() -> Vec<(&'static str, Round)> {
    vec![
        (
            "group",
            round(async || task_group(async |_: TaskGroup<'_>| Ok(())).await.unwrap()),
        ),
        (
            "group of an eager child",
            round(async || {
                task_group(async |tg: TaskGroup<'_>| {
                    Ok(tg
                        .spawn_with(SpawnOptions::new().eager_start(), async { Ok(()) })
                        .await?)
                })
                .await
                .unwrap();
            }),
        ),
        (
            "group of a child",
            round(async || {
                task_group(async |tg: TaskGroup<'_>| Ok(tg.spawn(async { Ok(()) }).await?))
                    .await
                    .unwrap();
            }),
        ),
        ("gather of nothing", round(async || gather(()).await)),
        (
            "gather of an empty array",
            round(async || gather([(); 0].map(ready)).await),
        ),
        ("gather", round(async || gather((async {}, ready(1))).await)),
        (
            "try_gather of nothing",
            round(async || {
                try_gather(Vec::<std::future::Ready<Result<(), ()>>>::new())
                    .await
                    .unwrap();
            }),
        ),
        (
            "try_gather",
            round(async || {
                try_gather([ready(Ok::<_, ()>(1))]).await.unwrap();
            }),
        ),
        ("race", round(async || race((async {}, async {})).await)),
        (
            "staggered_race of nothing",
            round(async || {
                let nobody = [(); 0].map(|()| async || Ok::<(), ()>(()));
                assert!(staggered_race(nobody, None).await.winner.is_none());
            }),
        ),
    ]
}

fn tasks() -> Vec<(&'static str, Round)> {
    let mut own = vec![
        ("eager task", round(async || eager(async {}).await.unwrap())),
        (
            "eager task, by reference",
            round(async || {
                let mut task = eager(async {});
                (&mut task).await.unwrap();
            }),
        ),
        (
            "timeout of an eager task",
            round(async || timeout(LONG, eager(async {})).await.unwrap().unwrap()),
        ),
        (
            "wait",
            round(async || wait(&mut vec![eager(async {})], ReturnWhen::AllCompleted).await),
        ),
        (
            "wait_with_timeout",
            round(async || {
                let mut tasks = vec![eager(async {}), eager(pending())];
                let done = wait_with_timeout(&mut tasks, ReturnWhen::FirstCompleted, LONG).await;
                assert_eq!(done.len(), 1);
            }),
        ),
        (
            "as_completed",
            round(async || {
                let done: Vec<_> = as_completed([eager(async {}), eager(async {})])
                    .collect()
                    .await;
                assert_eq!(done.len(), 2);
            }),
        ),
        (
            "as_completed of nothing",
            round(async || {
                assert!(as_completed(Vec::<Task<()>>::new()).next().await.is_none());
            }),
        ),
        ("sleep of zero", round(async || sleep(Duration::ZERO).await)),
        ("sleep_until", round(async || sleep_until(time()).await)),
    ];
    let over = Rc::new(RefCell::new(None));
    own.push((
        "sleep that is over",
        round(move || {
            let over = over.clone();
            async move {
                let mut sleep = over.take().unwrap_or_else(|| sleep(Duration::ZERO));
                (&mut sleep).await;
                over.replace(Some(sleep));
            }
        }),
    ));
    own
}

fn threads() -> Vec<(&'static str, Round)> {
    let set = ThreadEvent::new();
    set.set();
    vec![
        (
            "ThreadEvent",
            round(move || {
                let set = set.clone();
                async move { set.wait().await }
            }),
        ),
        (
            "thread_promise",
            round(async || {
                let (promise, answer) = thread_promise();
                promise.set_result(1).unwrap();
                answer.await.unwrap();
            }),
        ),
    ]
}

/// As its own task, as a child of a group, among what is gathered, and in a task that has begun eagerly.
async fn at(place: &str, round: Round) {
    let endless = async move {
        loop {
            round().await;
        }
    };
    match place {
        "task" => endless.await,
        "child" => {
            let group = task_group(async |tg: TaskGroup<'_, BoxError>| {
                tg.spawn(async {
                    endless.await;
                    Ok(())
                });
                Ok(())
            });
            group.await.unwrap();
        }
        "body" => {
            let group = task_group(async |_: TaskGroup<'_, BoxError>| {
                endless.await;
                Ok(())
            });
            group.await.unwrap();
        }
        "gathered" => drop(gather((endless, pending::<()>())).await),
        "joined" => drop(futures::join!(endless, pending::<()>())),
        _ => eager(endless).await.unwrap(),
    }
}

const PLACES: [&str; 6] = ["task", "child", "body", "gathered", "joined", "eager"];

/// On real time a limit ends each; on virtual time, which stands still, another task has its turns and cancels it.
fn all_end(kinds: fn() -> Vec<(&'static str, Round)>) {
    for (n, (name, _)) in kinds().into_iter().enumerate() {
        for place in PLACES {
            let round = kinds()[n].1.clone();
            ends(&format!("{name}, {place}"), async || {
                at(place, round.clone()).await
            });
            let round = kinds()[n].1.clone();
            run_with(Runner::builder().virtual_time(true), async {
                let task = spawn(at(place, round));
                for _ in 0..5 {
                    yield_now().await;
                }
                task.cancel();
                let end = task.await;
                assert!(
                    matches!(end, Err(JoinError::Cancelled(..))),
                    "{name}, {place}"
                );
            });
        }
    }
}

#[test]
fn of_limits_and_scopes() {
    all_end(limits);
}

#[test]
fn of_groups_and_what_is_gathered() {
    all_end(groups);
}

#[test]
fn of_tasks_and_sleeps() {
    all_end(tasks);
}

#[test]
fn of_what_threads_have_set() {
    all_end(threads);
}

/// Outcomes of threads that are there when they are looked at for the first time.
#[test]
fn of_outcomes_of_threads() {
    ends("job", async || {
        let job = to_thread(|| ());
        while !job.is_finished() {
            std::thread::yield_now();
        }
        job.await.unwrap();
    });
    let (send, receive) = std::sync::mpsc::channel();
    let (stop, stopped) = thread_promise::<()>();
    let thread = std::thread::spawn(move || {
        run_with(Runner::builder(), async {
            send.send(running_loop()).unwrap();
            let _ = stopped.await;
        });
    });
    let there = receive.recv().unwrap();
    ends("ThreadFuture", async || {
        let future = there.run_coroutine_threadsafe(async || ()).unwrap();
        while !future.is_finished() {
            std::thread::yield_now();
        }
        future.await.unwrap();
    });
    stop.set_result(()).unwrap();
    thread.join().unwrap();
}

/// Spawns without a limit, which have a place at once.
#[test]
fn of_children_for_which_there_is_room() {
    ends("spawn_when_free", async || {
        let group = task_group(async |tg: TaskGroup<'_, BoxError>| {
            for _ in 0..u32::MAX {
                tg.spawn_when_free(async { Ok(()) }).await;
            }
            Ok(())
        });
        let (Ok(()) | Err(_)) = group.await;
    });
}

/// A loop of nothing but shielded awaits is never cut (rule 8), but others have turns.
#[test]
fn of_shields_goes_on_beside_others() {
    run_with(Runner::builder(), async {
        let done = Rc::new(Cell::new(false));
        let set = done.clone();
        let _beside = spawn(async move {
            for _ in 0..3 {
                yield_now().await;
            }
            set.set(true);
        });
        while !done.get() {
            shield(async {}).await;
        }
    });
}

// ---- stepping back loses nothing ----

/// In one step, so that many of them step back.
#[test]
fn each_has_its_value() {
    run_with(Runner::builder(), async {
        for n in 0..2000 {
            assert_eq!(timeout(LONG, ready(n)).await, Ok(n));
            assert_eq!(catch_cancel(ready(n)).await.unwrap(), n);
            assert_eq!(shield(ready(n)).await, n);
            assert_eq!(eager(ready(n)).await.unwrap(), n);
        }
    });
}

/// Also where the time is over when it goes on.
#[test]
fn a_limit_that_is_over_allows_one_poll() {
    run_with(Runner::builder(), async {
        let past = time();
        for n in 0..2000 {
            assert_eq!(timeout(Duration::ZERO, ready(n)).await, Ok(n));
            assert_eq!(timeout_at(past, ready(n)).await, Ok(n));
            assert_eq!(timeout(Duration::from_nanos(1), ready(n)).await, Ok(n));
            let scope = timeout_scope(Some(past), async |_: TimeoutHandle| n);
            assert_eq!(scope.await, Ok(n));
        }
    });
}

/// It has stepped back before it polled anything, and the time is over then.
#[test]
fn a_limit_that_comes_meanwhile_allows_one_poll() {
    run_with(Runner::builder(), async {
        let _beside = spawn(async {
            loop {
                std::thread::sleep(Duration::from_micros(100));
                yield_now().await;
            }
        });
        let mut seen = 0;
        for n in 0..3000 {
            let before = Instant::now();
            assert_eq!(timeout(Duration::from_micros(50), ready(n)).await, Ok(n));
            seen += usize::from(before.elapsed() > Duration::from_micros(100));
        }
        assert!(seen > 5, "{seen}");
    });
}

#[test]
fn many_at_once_all_end() {
    run_with(Runner::builder(), async {
        let limited = join_all((0..5000).map(|n| timeout(LONG, ready(n)))).await;
        assert!(limited.into_iter().eq((0..5000).map(Ok)));
        let tasks = join_all((0..5000).map(|n| eager(ready(n)))).await;
        assert!(tasks.into_iter().map(Result::unwrap).eq(0..5000));
    });
}

/// Code that asked to hear of a request does, wherever the loop is cut.
#[test]
fn a_scope_that_stepped_back_hears_of_requests() {
    run_with(Runner::builder().virtual_time(true), async {
        for before in 0..300 {
            let (begun, cleaned) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
            let counts = (begun.clone(), cleaned.clone());
            let task = spawn(async move {
                for _ in 0..before {
                    let _ = timeout(LONG, async {}).await;
                }
                loop {
                    counts.0.set(counts.0.get() + 1);
                    let clean = async { counts.1.set(counts.1.get() + 1) };
                    try_finally(async {}, clean).await;
                }
            });
            for _ in 0..before % 3 + 1 {
                yield_now().await;
            }
            task.cancel();
            assert!(task.await.is_err());
            assert_eq!(begun, cleaned);
        }
    });
}

/// Shielded work is done, wherever the loop is cut.
#[test]
fn a_shield_that_stepped_back_runs_to_its_end() {
    run_with(Runner::builder().virtual_time(true), async {
        for before in 0..300 {
            let (begun, done) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
            let counts = (begun.clone(), done.clone());
            let task = spawn(async move {
                for _ in 0..before {
                    let _ = timeout(LONG, async {}).await;
                }
                loop {
                    counts.0.set(counts.0.get() + 1);
                    shield(async { counts.1.set(counts.1.get() + 1) }).await;
                    let _ = timeout(LONG, async {}).await;
                }
            });
            for _ in 0..before % 3 + 1 {
                yield_now().await;
            }
            task.cancel();
            assert!(task.await.is_err());
            assert_eq!(begun, done);
        }
    });
}

/// The same in each run, regardless of earlier runs on the thread.
#[test]
fn a_loop_steps_back_where_it_did_in_the_last_run() {
    let trace = |before: u32| {
        run_with(Runner::builder().virtual_time(true), async move {
            for _ in 0..before {
                let _ = timeout(LONG, async {}).await;
            }
        });
        run_with(Runner::builder().virtual_time(true), async {
            let turns = Rc::new(Cell::new(0));
            let counted = turns.clone();
            let _beside = spawn(async move {
                loop {
                    counted.set(counted.get() + 1);
                    yield_now().await;
                }
            });
            let event = Event::new();
            event.set();
            let mut trace = Vec::new();
            for _ in 0..1000 {
                let _ = timeout(LONG, event.wait()).await;
                trace.push(turns.get());
            }
            trace
        })
    };
    assert_eq!(trace(0), trace(77));
}

/// A future that is polled by hand steps back now and then, and goes on when it is polled again.
#[test]
fn polled_by_hand_it_goes_on() {
    run_with(Runner::builder(), async {
        let mut stepped_back = 0;
        for n in 0..2000 {
            let mut limited = Box::pin(timeout(LONG, ready(n)));
            let mut first = limited.as_mut().now_or_never();
            if first.is_none() {
                stepped_back += 1;
                first = limited.as_mut().now_or_never();
            }
            assert_eq!(first, Some(Ok(n)));
        }
        assert!((10..20).contains(&stepped_back), "{stepped_back}");
    });
}

/// Children that began eagerly, awaited by their group's body.
#[test]
fn of_children_that_have_ended() {
    ends("children", async || {
        let group = task_group(async |tg: TaskGroup<'_, BoxError>| {
            for n in 0..u64::MAX {
                let child = tg.spawn_with(SpawnOptions::new().eager_start(), async move { Ok(n) });
                assert_eq!(child.await?, n);
            }
            Ok(())
        });
        group.await.unwrap();
    });
}

/// The turn ends with the step that steps back, so that the clock is looked at.
mod turns {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// How many operations a task has between a call from another thread and its turn.
    async fn until_called(work: impl AsyncFn()) -> usize {
        let called = Arc::new(AtomicBool::new(false));
        let (handle, call) = (running_loop(), called.clone());
        let calling = std::thread::spawn(move || {
            handle.call_soon_threadsafe(move || call.store(true, Ordering::Relaxed))
        });
        calling.join().unwrap().expect("the loop is open");
        let mut count = 0;
        while !called.load(Ordering::Relaxed) {
            work().await;
            count += 1;
        }
        count
    }

    /// Two steps that go on for long, and one that ends: the call is taken in at the next turn, and runs in a step.
    const MOST: usize = 3 * 256;

    async fn check(name: &str, work: impl AsyncFn() + Copy) {
        assert!(until_called(work).await <= MOST, "{name}");
        let in_child = task_group(async |tg: TaskGroup<'_>| {
            Ok(tg.spawn(async { Ok(until_called(work).await) }).await?)
        });
        assert!(in_child.await.unwrap() <= MOST, "{name} in a child");
        let (beside, count) = gather((until_called(work), until_called(work))).await;
        assert!(beside.max(count) <= 2 * MOST, "{name} in a gathering");
    }

    #[test]
    fn of_a_loop_of_ready_awaits() {
        asyncio::run(async {
            check("group", &async || {
                task_group(async |_: TaskGroup<'_>| Ok(())).await.unwrap();
            })
            .await;
            check("limit", &async || timeout(LONG, ready(())).await.unwrap()).await;
            check("catch", &async || drop(catch_cancel(ready(())).await)).await;
            check("task", &async || {
                let options = SpawnOptions::new().eager_start();
                spawn_with(options, ready(())).await.unwrap();
            })
            .await;
            let lock = Lock::new(());
            check("lock", &async || drop(lock.lock().await)).await;
            let queue = Queue::new(1);
            check("queue", &async || {
                queue.put(1).await.unwrap();
                queue.get().await.unwrap();
            })
            .await;
        });
    }
}
