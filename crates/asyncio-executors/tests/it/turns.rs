//! The children of a group are to the loop what as many tasks are: each step counts against the turn's budget, is
//! ordered by the seed, and is timed and named in debug mode.
#![allow(
    elided_lifetimes_in_paths,
    clippy::unit_arg,
    reason = "`|tg: TaskGroup|` and `Ok(work.await)`, as users write them"
)]

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use asyncio_executors::{
    CancelScope, TaskGroup, cancel_scope, catch_cancel, gather, gather_iter, race, race_iter,
    staggered_race, task_group, timeout, try_gather_iter, wait_for,
};
use asyncio_loop::{
    Builder, EventLoop, SpawnOptions, call_soon, running_loop, sleep, spawn, spawn_with, yield_now,
};
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};

type Trace = Rc<RefCell<Vec<String>>>;

/// Runs `main` on a loop of that kind, and gives what it notes.
fn traced(builder: Builder, main: impl AsyncFnOnce(&Trace)) -> Vec<String> {
    let trace = Trace::default();
    let mut event_loop = builder.virtual_time(true).build_loop().expect("a selector");
    let main = event_loop.run_until_complete(main(&trace));
    main.expect("it returns");
    drop(event_loop);
    trace.take()
}

fn budget(steps: usize) -> Builder {
    EventLoop::builder().task_budget(steps)
}

/// Says its name, so many times, and lets the others go first in between.
async fn speak(trace: &Trace, name: &str, times: usize) {
    for n in 0..times {
        trace.borrow_mut().push(format!("{name}{n}"));
        yield_now().await;
    }
}

/// So many that speak, in a group.
async fn choir(trace: &Trace, names: &[&str], times: usize) {
    task_group(async |tg: TaskGroup| {
        for name in names {
            tg.spawn(async move { Ok(speak(trace, name, times).await) });
        }
        Ok(())
    })
    .await
    .expect("nobody fails");
}

/// Something that always has more to do, and counts its steps.
async fn busy(steps: &Cell<u64>, over: &Cell<bool>) {
    while !over.get() {
        steps.set(steps.get() + 1);
        yield_now().await;
    }
}

mod budget {
    use super::*;

    thread_local! {
        static ON_CALL: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
    }

    /// How many steps `work` has between the moment at which another thread calls and the call.
    fn steps_until_heard(work: impl AsyncFnOnce(&Cell<u64>, &Cell<bool>)) -> u64 {
        let (steps, over) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
        let heard = Rc::new(Cell::new(0));
        let mut event_loop = EventLoop::new().expect("a selector");
        let caller = event_loop.spawn({
            let (steps, over, heard) = (steps.clone(), over.clone(), heard.clone());
            async move {
                for _ in 0..5 {
                    yield_now().await; // all of them are under way
                }
                let before = steps.get();
                ON_CALL.set(Some(Box::new(move || {
                    heard.set(steps.get() - before);
                    over.set(true);
                })));
                let event_loop = running_loop();
                let call = || ON_CALL.take().expect("once")();
                let call = move || event_loop.call_soon_threadsafe(call).expect("it runs");
                std::thread::spawn(call).join().expect("it calls");
            }
        });
        event_loop
            .run_until_complete(work(&steps, &over))
            .expect("it returns");
        drop(caller);
        heard.get()
    }

    #[test]
    fn whatever_comes_from_outside_is_heard_between_children() {
        for n in [1, 10, 100, 1000] {
            let most = 128 + 2 * n;
            let group = steps_until_heard(async |steps, over| {
                task_group(async |tg: TaskGroup| {
                    for _ in 0..n {
                        tg.spawn(async { Ok(busy(steps, over).await) });
                    }
                    Ok(())
                })
                .await
                .expect("nobody fails");
            });
            assert!(group <= most, "{n} children: {group}");
            let gathered = steps_until_heard(async |steps, over| {
                gather_iter((0..n).map(|_| busy(steps, over))).await;
            });
            assert!(gathered <= most, "{n} gathered: {gathered}");
            let raced = steps_until_heard(async |steps, over| {
                race_iter((0..n).map(|_| busy(steps, over))).await;
            });
            assert!(raced <= most, "{n} in a race: {raced}");
            let nested = steps_until_heard(async |steps, over| {
                let parts = (0..10).map(|_| async {
                    gather_iter((0..n / 10).map(|_| busy(steps, over))).await;
                });
                gather((gather_iter(parts), busy(steps, over))).await;
            });
            assert!(nested <= most + 10, "{n} in ten groups: {nested}");
            let joined = steps_until_heard(async |steps, over| {
                let part = || gather_iter((0..n / 10).map(|_| busy(steps, over)));
                join_all((0..10).map(|_| part())).await;
                busy(steps, over).await;
            });
            assert!(joined <= most + 10, "{n} in ten branches: {joined}");
        }
    }

    #[test]
    fn it_does_not_change_the_order_in_which_children_run() {
        let names = ["a", "b", "c", "d", "e", "f", "g"];
        let order = |steps| traced(budget(steps), async |trace| choir(trace, &names, 3).await);
        let all = order(1_000_000);
        assert_eq!(all.len(), 21);
        for steps in 1..30 {
            assert_eq!(order(steps), all, "a budget of {steps}");
        }
    }

    #[test]
    fn children_that_are_cut_short_go_on_before_what_was_behind_them() {
        for steps in 1..12 {
            let seen = traced(budget(steps), async |trace| {
                let own = trace.clone();
                let group = spawn(async move { choir(&own, &["a", "b", "c", "d"], 3).await });
                let own = trace.clone();
                let other = spawn(async move {
                    yield_now().await; // behind the body
                    speak(&own, "-", 3).await;
                });
                group.await.unwrap();
                other.await.unwrap();
            });
            let expected = "a0 b0 c0 d0 -0 a1 b1 c1 d1 -1 a2 b2 c2 d2 -2";
            assert_eq!(seen.join(" "), expected, "a budget of {steps}");
        }
    }

    #[test]
    fn groups_within_groups_go_on_where_they_stopped() {
        let nested = async |trace: &Trace| {
            task_group(async |tg: TaskGroup| {
                for outer in ["1", "2", "3"] {
                    tg.spawn(async move {
                        task_group(async |tg: TaskGroup| {
                            for middle in ["x", "y"] {
                                tg.spawn(async move {
                                    let names =
                                        ["a", "b", "c"].map(|n| format!("{outer}{middle}{n}"));
                                    let names = names.each_ref().map(String::as_str);
                                    Ok(choir(trace, &names, 3).await)
                                });
                            }
                            Ok(())
                        })
                        .await?;
                        Ok(())
                    });
                }
                Ok(())
            })
            .await
            .unwrap();
        };
        let order = |steps| traced(budget(steps), nested);
        let all = order(1_000_000);
        assert_eq!(all.len(), 54);
        for steps in 1..80 {
            assert_eq!(order(steps), all, "a budget of {steps}");
        }
    }

    /// How many steps each of several parts has had when the first has had a thousand.
    fn shares(parts: usize, work: impl AsyncFnOnce(&[Cell<u64>], &Cell<bool>)) -> Vec<u64> {
        let (steps, over) = (vec![Cell::new(0); parts], Cell::new(false));
        let mut event_loop = budget(10).build_loop().expect("a selector");
        event_loop
            .run_until_complete(async {
                let watch = async {
                    while steps.iter().all(|steps| steps.get() < 1000) {
                        yield_now().await;
                    }
                    over.set(true);
                };
                gather((work(&steps, &over), watch)).await;
            })
            .expect("it returns");
        steps.iter().map(Cell::get).collect()
    }

    #[track_caller]
    fn assert_fair(shares: &[u64]) {
        let least = shares.iter().min().unwrap();
        assert!(*least >= 800, "{shares:?}");
    }

    #[test]
    fn branches_of_a_task_share_it() {
        // Each part is a group of 20, and one step of it lets all of them run.
        let part = async |steps: &Cell<u64>, over: &Cell<bool>| {
            let children = (0..20).map(|n| async move {
                let own = Cell::new(0);
                busy(if n == 0 { steps } else { &own }, over).await;
            });
            gather_iter(children).await;
        };
        assert_fair(&shares(2, async |steps, over| {
            futures::join!(part(&steps[0], over), part(&steps[1], over));
        }));
        assert_fair(&shares(5, async |steps, over| {
            join_all(steps.iter().map(|steps| part(steps, over))).await;
        }));
        assert_fair(&shares(5, async |steps, over| {
            let mut all: FuturesUnordered<_> = steps.iter().map(|s| part(s, over)).collect();
            while all.next().await.is_some() {}
        }));
        assert_fair(&shares(4, async |steps, over| {
            let one = async { futures::join!(part(&steps[0], over), part(&steps[1], over)) };
            let two = async { futures::join!(part(&steps[2], over), part(&steps[3], over)) };
            gather((one, two)).await;
        }));
    }

    #[test]
    fn of_one_step_lets_everybody_run() {
        let seen = traced(budget(1), async |trace| {
            let left = choir(trace, &["a", "b"], 2);
            let right = async {
                gather((choir(trace, &["c"], 2), choir(trace, &["d"], 2))).await;
            };
            futures::join!(left, right);
        });
        let seen: HashSet<_> = seen.into_iter().collect();
        assert_eq!(seen.len(), 8);
    }

    #[test]
    fn a_body_begins_within_the_step_that_reaches_it() {
        // As the code of an `async with` does: also when eager children have spent all there is.
        traced(budget(2), async |_| {
            for _ in 0..10 {
                task_group(async |tg: TaskGroup| {
                    for _ in 0..10 {
                        let inner = task_group(async |_: TaskGroup| Ok(5));
                        let eager = SpawnOptions::new().eager_start();
                        let child = tg.spawn_with(eager, async move { Ok(inner.await?) });
                        assert!(child.is_finished());
                    }
                    Ok(())
                })
                .await
                .unwrap();
            }
        });
    }

    #[test]
    fn a_stopped_loop_finishes_the_batch_of_a_group() {
        let mut event_loop = budget(3).build_loop().unwrap();
        let trace = Trace::default();
        let own = trace.clone();
        let task = event_loop.spawn(async move {
            call_soon(|| running_loop().stop());
            yield_now().await;
            choir(&own, &["a", "b", "c", "d", "e"], 2).await;
        });
        event_loop.run_forever();
        event_loop.run_until_complete(task).unwrap().unwrap();
        assert_eq!(trace.take().len(), 10);
    }

    #[test]
    fn a_group_that_is_cut_short_can_be_cancelled_and_dropped() {
        for steps in 1..20 {
            let seen = traced(budget(steps), async |trace| {
                let own = trace.clone();
                let task = spawn(async move {
                    let work = choir(&own, &["a", "b", "c", "d", "e"], usize::MAX);
                    let cut = catch_cancel(work).await.is_err();
                    own.borrow_mut().push(format!("cancelled: {cut}"));
                });
                for _ in 0..7 {
                    yield_now().await;
                }
                task.cancel();
                task.await.unwrap();
                let mut dropped = Box::pin(choir(trace, &["x", "y", "z"], usize::MAX));
                for _ in 0..3 {
                    poll_fn(|cx| Poll::Ready(dropped.as_mut().poll(cx).is_ready())).await;
                    yield_now().await;
                }
                drop(dropped);
                let limited = choir(trace, &["r", "s", "t"], 3);
                wait_for(limited, Duration::from_secs(1)).await.unwrap();
                trace.borrow_mut().push("the end".to_owned());
            });
            assert!(seen.contains(&"cancelled: true".to_owned()));
            assert_eq!(seen.last().unwrap(), "the end");
        }
    }

    /// Waits until the time is up, and counts who has seen that.
    #[derive(Clone, Default)]
    struct Gate {
        open: Rc<Cell<bool>>,
        waiting: Rc<RefCell<Vec<Waker>>>,
        passed: Rc<Cell<usize>>,
    }

    impl Gate {
        fn open(&self) {
            self.open.set(true);
            self.waiting.take().into_iter().for_each(Waker::wake);
        }

        async fn pass(&self) {
            poll_fn(|cx| {
                self.waiting.borrow_mut().push(cx.waker().clone());
                match self.open.get() {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            })
            .await;
            self.passed.set(self.passed.get() + 1);
        }

        /// Ten that pass, the last five in a group of their own.
        async fn pass_ten(&self) {
            let five = || gather_iter((0..5).map(|_| self.pass()));
            gather((five(), five())).await;
        }
    }

    /// Rule 5, whatever the budget: who was woken before the request came is polled once more.
    #[test]
    fn a_last_poll_reaches_all_who_were_woken_although_it_is_cut_short() {
        let second = Duration::from_secs(1);
        for steps in 1..30 {
            traced(budget(steps), async |_| {
                let gate = Gate::default();
                let own = gate.clone();
                let task = spawn(async move { own.pass_ten().await });
                sleep(second).await;
                gate.open();
                task.cancel();
                let ended = task.await;
                assert_eq!(gate.passed.get(), 10, "of a task, budget {steps}");
                assert!(ended.is_ok(), "a value counts");

                let gate = Gate::default();
                let opens = gate.clone();
                let scoped = cancel_scope(async |scope: CancelScope| {
                    spawn(async move {
                        sleep(second).await;
                        opens.open();
                        scope.cancel();
                    })
                    .detach();
                    gate.pass_ten().await;
                });
                let ended = scoped.await;
                assert_eq!(gate.passed.get(), 10, "of a scope, budget {steps}");
                assert!(ended.is_some(), "a value counts");
            });
        }
    }

    /// Groups that are always cut short put a request off no further than to the end of their batches.
    #[test]
    fn busy_groups_do_not_keep_a_request_away() {
        for steps in 1..15 {
            let (polls, over) = (Cell::new(0), Cell::new(false));
            traced(budget(steps), async |_| {
                let both = async {
                    let many = || gather_iter((0..10).map(|_| busy(&polls, &over)));
                    futures::join!(many(), catch_cancel(many()).map(drop));
                };
                let caller = async {
                    for _ in 0..10 {
                        yield_now().await;
                    }
                    polls.set(0);
                };
                race((both.map(drop), caller)).await;
            });
            assert!(polls.get() < 100, "{} polls after the end", polls.get());
            traced(budget(steps), async |_| {
                let many = || gather_iter((0..10).map(|_| busy(&polls, &over)));
                let mut limited = 0;
                let both = async {
                    let short = timeout(Duration::ZERO, many());
                    futures::join!(many(), async {
                        assert!(short.await.is_err());
                        limited = polls.replace(0);
                        over.set(true);
                    });
                };
                both.await;
                assert!(limited < 200, "{limited} polls until the limit acted");
            });
        }
    }
}

mod order {
    use super::*;

    /// How many orders 30 seeds give; each is the same the second time.
    fn orders(main: impl AsyncFn(&Trace)) -> usize {
        let under = |seed| {
            let builder = EventLoop::builder().order_seed(seed);
            traced(builder, &main).concat()
        };
        let all: Vec<_> = (0..30).map(under).collect();
        assert!((0..30).all(|seed| under(seed) == all[seed as usize]));
        all.into_iter().collect::<HashSet<_>>().len()
    }

    const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

    #[test]
    fn a_seed_shuffles_children_and_what_is_gathered_or_raced() {
        let group = orders(async |trace| choir(trace, &NAMES, 1).await);
        assert!(group > 15, "{group}");
        let gathered = orders(async |trace| {
            gather_iter(NAMES.map(|name| speak(trace, name, 1))).await;
        });
        assert!(gathered > 15, "{gathered}");
        let tuple = orders(async |trace| {
            let [a, b, c, d, e] = NAMES.map(|name| speak(trace, name, 1));
            gather((a, b, c, d, e)).await;
        });
        assert!(tuple > 15, "{tuple}");
        let tried = orders(async |trace| {
            let all = NAMES.map(|name| async move { Ok::<_, ()>(speak(trace, name, 1).await) });
            try_gather_iter(all).await.unwrap();
        });
        assert!(tried > 15, "{tried}");
        let raced = orders(async |trace| {
            race(NAMES.map(|name| speak(trace, name, 1))).await;
        });
        assert!(raced > 15, "{raced}");
    }

    #[test]
    fn a_seed_shuffles_the_body_among_its_children() {
        let both = orders(async |trace| {
            task_group(async |tg: TaskGroup| {
                tg.spawn(async { Ok(speak(trace, "child", 3).await) });
                speak(trace, "body", 3).await;
                Ok(())
            })
            .await
            .unwrap();
        });
        assert!(both > 3, "{both}");
    }

    #[test]
    fn a_seed_shuffles_groups_within_groups() {
        let inner = orders(async |trace| {
            let pair = |names: [&'static str; 2]| async move { choir(trace, &names, 1).await };
            gather((pair(["a", "b"]), pair(["c", "d"]))).await;
        });
        assert!(inner >= 6, "{inner}");
    }

    /// The order in which six children of a group with a limit begin. Each sleeps as long.
    fn begun(seed: u64, limit: usize, is_late: bool) -> Vec<String> {
        traced(EventLoop::builder().order_seed(seed), async |trace| {
            task_group(async |tg: TaskGroup| {
                if !is_late {
                    tg.limit(limit);
                }
                for n in 0..6 {
                    tg.spawn_ok(async move {
                        trace.borrow_mut().push(n.to_string());
                        sleep(Duration::from_secs(1)).await;
                    });
                }
                Ok(tg.limit(limit))
            })
            .await
            .unwrap();
        })
    }

    #[test]
    fn no_seed_changes_who_gets_the_places_of_a_group() {
        for (seed, is_late) in (0..30).flat_map(|seed| [(seed, false), (seed, true)]) {
            assert_eq!(begun(seed, 1, is_late).concat(), "012345", "seed {seed}");
            let mut by_three = begun(seed, 3, is_late);
            by_three
                .chunks_mut(3)
                .for_each(|begin_together| begin_together.sort());
            assert_eq!(by_three.concat(), "012345", "seed {seed}");
        }
    }

    #[test]
    fn without_a_seed_body_and_children_run_in_the_order_in_which_they_were_woken() {
        let seen = traced(EventLoop::builder(), async |trace| {
            task_group(async |tg: TaskGroup| {
                let say = |what: &str| trace.borrow_mut().push(what.to_owned());
                tg.spawn(async move { Ok(say("the child begins")) });
                yield_now().await;
                say("the body goes on");
                tg.spawn(async move {
                    say("the second begins");
                    yield_now().await;
                    Ok(say("the second goes on"))
                });
                yield_now().await;
                say("the body as well");
                Ok(())
            })
            .await
            .unwrap();
        });
        assert_eq!(
            seen,
            [
                "the child begins",
                "the body goes on",
                "the second begins",
                "the body as well",
                "the second goes on"
            ]
        );
    }
}

mod debug_mode {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(40);

    fn hold_up(time: Duration) {
        let start = std::time::Instant::now();
        while start.elapsed() < time {
            std::hint::spin_loop();
        }
    }

    /// The reports of debug mode about the steps of `main`.
    fn reports(main: impl AsyncFnOnce()) -> Vec<String> {
        let builder = EventLoop::builder().debug(true).slow_step(LIMIT);
        let mut event_loop = builder.build_loop().expect("a selector");
        let trace = Trace::default();
        let own = trace.clone();
        event_loop.set_exception_handler(move |report| own.borrow_mut().push(report.to_string()));
        event_loop.run_until_complete(main()).expect("it returns");
        drop(event_loop);
        trace.take()
    }

    #[test]
    fn a_slow_child_is_named_and_not_its_owner() {
        let told = reports(async || {
            let owner = spawn_with(SpawnOptions::new().name("owner"), async {
                task_group(async |tg: TaskGroup| {
                    for name in ["innocent", "culprit"] {
                        tg.spawn_with(SpawnOptions::new().name(name), async move {
                            if name == "culprit" {
                                hold_up(LIMIT);
                            }
                            Ok(())
                        });
                    }
                    Ok(())
                })
                .await
                .unwrap();
            });
            owner.await.unwrap();
        });
        let [told] = &told[..] else {
            panic!("{told:?}")
        };
        assert!(told.starts_with("a step of a task held up the event loop for "));
        assert!(
            told.contains("(culprit, spawned at ") && told.contains("turns.rs:"),
            "{told}"
        );
    }

    #[test]
    fn the_time_of_children_is_not_that_of_their_owner() {
        // Each takes less than the limit, and all of them are in one step. On a busy machine a leaf may be held up for
        // longer, and a report of it names the call that polls the leaves. Their owners are the rest: they take no
        // time, so they are hardly ever held up themselves.
        let line = Cell::new(0);
        let owners_are_innocent = || {
            let told = reports(async || {
                let part = LIMIT / 4;
                let leaf = || async move { hold_up(part) };
                line.set(line!() + 1);
                let three = || gather((leaf(), leaf(), leaf()));
                gather((three(), three())).await;
            });
            let of_leaves = format!("called at {}:{}:", file!(), line.get());
            told.iter().all(|report| report.contains(&of_leaves))
        };
        assert!((0..20).any(|_| owners_are_innocent()));
    }

    #[test]
    fn a_slow_body_is_a_slow_step_of_its_task() {
        let told = reports(async || {
            let options = SpawnOptions::new().name("owner");
            let owner = spawn_with(options, async {
                task_group(async |_: TaskGroup| {
                    yield_now().await;
                    Ok(hold_up(LIMIT))
                })
                .await
                .unwrap();
            });
            owner.await.unwrap();
        });
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("(owner, "), "{told:?}");
    }

    #[test]
    fn what_is_gathered_is_named_by_the_place_of_the_call() {
        let line = Cell::new(0);
        let told = reports(async || {
            line.set(line!() + 1);
            gather((async { hold_up(LIMIT) }, pending_once())).await;
        });
        assert_eq!(told.len(), 1, "{told:?}");
        let place = format!("called at {}:{}:", file!(), line.get());
        assert!(told[0].contains(&place), "{told:?}");
    }

    #[test]
    fn what_is_raced_is_named_by_the_place_of_the_call() {
        let slow = || async {
            yield_now().await;
            hold_up(LIMIT);
        };
        let lines = RefCell::new(Vec::new());
        let told = reports(async || {
            let note = |line: u32| lines.borrow_mut().push(line + 1);
            note(line!());
            race((slow(), pending())).await;
            note(line!());
            race([slow()]).await;
            note(line!());
            race_iter([slow()]).await;
            note(line!());
            let starts = staggered_race([|| slow().map(Ok::<(), ()>)], None);
            assert!(starts.await.winner.is_some());
        });
        assert_eq!(told.len(), 4, "{told:?}");
        // A tuple and an array are polled in place. The others run tasks.
        let verbs = ["called", "called", "spawned", "spawned"];
        for ((told, line), verb) in told.iter().zip(lines.take()).zip(verbs) {
            let place = format!("{verb} at {}:{line}:", file!());
            assert!(told.contains(&place), "{told}, not {place}");
        }
    }

    async fn pending_once() {
        yield_now().await;
    }
}

/// The soundness of groups that are cut short is tested in `soundness.rs`.
#[test]
fn a_child_that_panics_while_its_group_is_cut_short_ends_the_group() {
    for steps in 1..10 {
        let seen = traced(budget(steps), async |trace| {
            let own = trace.clone();
            let task = spawn(async move {
                let own = &own;
                task_group(async |tg: TaskGroup| {
                    for name in ["a", "b", "c", "d"] {
                        tg.spawn(async move {
                            speak(own, name, 2).await;
                            assert!(name != "b", "the {name} panics");
                            Ok(pending::<()>().await)
                        });
                    }
                    Ok(())
                })
                .await
                .unwrap();
            });
            let error = task.await.unwrap_err();
            trace.borrow_mut().push(error.to_string());
        });
        assert_eq!(seen.len(), 9);
        assert!(seen[8].contains("the b panics"), "{seen:?}");
    }
}
