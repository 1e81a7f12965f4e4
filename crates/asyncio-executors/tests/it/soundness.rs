//! Groups whose children borrow, at their worst: dropped, leaked and panicked in at any point, with children
//! whose destructors do all that they should not, and wakers and handles that outlive everything. To be run
//! under address sanitizer and valgrind as well.
#![allow(
    elided_lifetimes_in_paths,
    reason = "`|tg: TaskGroup|`, as users write it"
)]

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use asyncio_executors::{BoxError, Child, ErrorGroup, TaskGroup, catch_cancel, task_group};
use asyncio_loop::{EventLoop, sleep, spawn, yield_now};

fn new_loop() -> (EventLoop, Rc<RefCell<Vec<String>>>) {
    let builder = EventLoop::builder().virtual_time(true);
    let event_loop = builder.build_loop().expect("a selector");
    let reports = Rc::new(RefCell::new(Vec::new()));
    let noted = reports.clone();
    event_loop.set_exception_handler(move |unhandled| {
        noted.borrow_mut().push(unhandled.to_string());
    });
    (event_loop, reports)
}

/// Runs `main`, and gives what was reported.
fn run(main: impl Future<Output = ()>) -> Vec<String> {
    let (mut event_loop, reports) = new_loop();
    event_loop.run_until_complete(main).expect("it returns");
    drop(event_loop);
    reports.take()
}

/// Polls `future` so many times, a tick apart. `None` if that was not enough.
async fn polls<F: Future>(mut future: Pin<&mut F>, times: usize) -> Option<F::Output> {
    for _ in 0..times {
        let poll = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(output) = poll {
            return Some(output);
        }
        yield_now().await;
    }
    None
}

/// Forgets a group, and keeps its address where leak detectors look: it is lost on purpose.
fn leak<F>(group: Pin<Box<F>>) {
    static LEAKED: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    let address = std::ptr::from_ref(&*group).addr();
    LEAKED.lock().expect("nobody panics here").push(address);
    std::mem::forget(group);
}

/// Counts its drops in a counter that the children borrow.
struct Counted<'a>(&'a Cell<usize>);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Panics when it is dropped.
struct Mine;

impl Drop for Mine {
    fn drop(&mut self) {
        panic!("a destructor");
    }
}

/// A group with borrowing children in every state: waiting, ready, ended, in a cleanup, in a group of their
/// own, awaited by the body.
async fn busy(dropped: &Cell<usize>, text: &str) -> Result<usize, ErrorGroup<BoxError>> {
    task_group(async |tg: TaskGroup| {
        let waits = tg.spawn(async {
            let _counted = Counted(dropped);
            sleep(Duration::from_millis(3)).await;
            Ok(text)
        });
        tg.spawn(async {
            let _counted = Counted(dropped);
            Ok(text.len())
        });
        let inner = tg.clone();
        tg.spawn(async move {
            let _counted = Counted(dropped);
            for _ in 0..3 {
                inner.spawn(async move {
                    let _counted = Counted(dropped);
                    yield_now().await;
                    Ok(text)
                });
                yield_now().await;
            }
            Ok(())
        });
        tg.spawn(async {
            let _counted = Counted(dropped);
            let nested = task_group(async |tg: TaskGroup| {
                tg.spawn(async {
                    let _counted = Counted(dropped);
                    yield_now().await;
                    Ok(text)
                });
                Ok(text)
            });
            Ok(nested.await?)
        });
        let cancelled = tg.spawn(async {
            let _counted = Counted(dropped);
            let Err(request) = catch_cancel(pending::<()>()).await else {
                unreachable!("it never ends by itself")
            };
            yield_now().await;
            assert_eq!(text, "borrowed");
            request.resume().await
        });
        yield_now().await;
        yield_now().await;
        cancelled.cancel();
        let _ended: Result<(), _> = cancelled.await;
        Ok(waits.await?.len())
    })
    .await
}

#[test]
fn a_group_runs_to_its_end() {
    run(async {
        let (dropped, text) = (Cell::new(0), String::from("borrowed"));
        assert_eq!(busy(&dropped, &text).await.unwrap(), 8);
        assert_eq!(dropped.get(), 9);
    });
}

// Proves asyncio-task H2.
#[test]
fn a_group_may_be_dropped_at_any_point() {
    for point in 0..30 {
        run(async {
            let (dropped, text) = (Cell::new(0), String::from("borrowed"));
            let mut group = Box::pin(busy(&dropped, &text));
            let ended = polls(group.as_mut(), point).await.is_some();
            let before = dropped.get();
            drop(group);
            let after = dropped.get();
            assert!(after >= before && (!ended || after == before));
            drop(text);
            yield_now().await;
            assert_eq!(dropped.get(), after, "nobody runs on");
        });
    }
}

// Proves asyncio-task H3.
#[test]
fn a_group_may_be_leaked_at_any_point_and_its_loop_closed_over_it() {
    for point in 0..30 {
        let (mut event_loop, _) = new_loop();
        event_loop
            .run_until_complete(async {
                let (dropped, text) = (Cell::new(0), String::from("borrowed"));
                let mut group = Box::pin(busy(&dropped, &text));
                let ended = polls(group.as_mut(), point).await.is_some();
                let before = dropped.get();
                leak(group);
                for _ in 0..5 {
                    sleep(Duration::from_millis(2)).await;
                }
                assert_eq!(dropped.get(), before, "nobody polls or drops a child");
                drop((dropped, text));
                let _ = ended;
                sleep(Duration::from_millis(2)).await;
            })
            .unwrap();
    }
}

#[test]
fn a_group_may_be_dropped_between_runs_and_after_its_loop() {
    for close in [false, true] {
        for point in 2..12 {
            let (mut event_loop, _) = new_loop();
            let (dropped, text) = (Cell::new(0), String::from("borrowed"));
            let mut group = Box::pin(busy(&dropped, &text));
            event_loop
                .run_until_complete(async { polls(group.as_mut(), point).await.is_some() })
                .unwrap();
            if close {
                drop(event_loop);
                drop(group);
            } else {
                drop(group);
                drop(event_loop);
            }
            assert!(dropped.get() > 0);
        }
    }
}

#[test]
fn the_body_or_a_child_may_panic_at_any_point() {
    for point in 0..8 {
        for in_body in [false, true] {
            run(async move {
                let (dropped, text) = (Cell::new(0), String::from("borrowed"));
                let group = async {
                    task_group(async |tg: TaskGroup| {
                        for n in 0..3 {
                            let (dropped, text) = (&dropped, &text);
                            tg.spawn(async move {
                                let _counted = Counted(dropped);
                                for tick in 0..10 {
                                    assert!(in_body || n != 1 || tick != point, "at {text}");
                                    yield_now().await;
                                }
                                Ok(())
                            });
                        }
                        for tick in 0..10 {
                            assert!(!in_body || tick != point, "in the body");
                            yield_now().await;
                        }
                        Ok(())
                    })
                    .await
                };
                let outcome = Catch(Box::pin(group)).await;
                assert!(outcome.is_err());
                // A child that never began has dropped nothing that it counted.
                let begun = match (in_body, point) {
                    (true, 0) => 0,
                    (false, 0) => 2,
                    _ => 3,
                };
                assert_eq!(dropped.get(), begun);
            });
        }
    }
}

/// `catch_unwind` around each poll.
struct Catch<F>(Pin<Box<F>>);

impl<F: Future> Future for Catch<F> {
    type Output = std::thread::Result<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(payload) => Poll::Ready(Err(payload)),
        }
    }
}

#[test]
fn a_child_woken_in_its_last_step_gives_its_place_up_once() {
    run(async {
        let ended = Cell::new(0);
        task_group(async |tg: TaskGroup| {
            let last_words = || {
                tg.spawn(poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    Poll::Ready(Ok(()))
                }))
            };
            last_words();
            yield_now().await;
            yield_now().await;
            // It takes the place of the one that has ended, whose last step is still in the queue.
            last_words();
            tg.spawn(async {
                for _ in 0..5 {
                    yield_now().await;
                }
                ended.set(ended.get() + 1);
                Ok(())
            });
            for left in [2, 1, 1, 1] {
                yield_now().await;
                assert!(tg.len() <= left, "{} are left", tg.len());
            }
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(ended.get(), 1);
    });
}

#[test]
fn a_destructor_that_panics_is_a_panic_of_the_group() {
    for cancelled in [false, true] {
        run(async move {
            let cleaned = Cell::new(false);
            let group = task_group(async |tg: TaskGroup| {
                let child = tg.spawn(async move {
                    let _mine = Mine;
                    yield_now().await;
                    if cancelled {
                        pending::<()>().await;
                    }
                    Ok(())
                });
                drop::<Child<'_, ()>>(tg.spawn(async {
                    let Err(request) = catch_cancel(pending::<()>()).await else {
                        unreachable!("it never ends by itself")
                    };
                    yield_now().await;
                    cleaned.set(true);
                    request.resume().await
                }));
                yield_now().await;
                yield_now().await;
                child.cancel();
                pending().await
            });
            let outcome: Result<Result<(), _>, _> = Catch(Box::pin(group)).await;
            let payload = outcome.unwrap_err();
            assert_eq!(payload.downcast_ref(), Some(&"a destructor"));
            assert!(cleaned.get(), "the sibling was awaited");
        });
    }
}

#[test]
fn destructors_that_panic_while_a_group_is_dropped_are_reported_and_stop_nothing() {
    let reports = run(async {
        let dropped = Cell::new(0);
        {
            let mut group = pin!(task_group(async |tg: TaskGroup| {
                for _ in 0..3 {
                    drop::<Child<'_, ()>>(tg.spawn(async {
                        let _counted = Counted(&dropped);
                        let _mine = Mine;
                        pending().await
                    }));
                }
                pending().await
            }));
            let _: Option<Result<(), _>> = polls(group.as_mut(), 3).await;
        }
        assert_eq!(dropped.get(), 3);
    });
    assert_eq!(reports.len(), 3);
    assert!(reports[0].contains("a destructor"), "{}", reports[0]);
}

#[test]
fn a_destructor_may_spawn_cancel_wake_and_drop_handles() {
    /// Does it all.
    struct Busybody<'env> {
        tg: TaskGroup<'env>,
        siblings: Rc<RefCell<Vec<Child<'env, ()>>>>,
        wakers: Rc<RefCell<Vec<Waker>>>,
        dropped: &'env Cell<usize>,
    }
    impl Drop for Busybody<'_> {
        fn drop(&mut self) {
            let dropped = self.dropped;
            let counted = Counted(dropped);
            drop(self.tg.spawn(async move {
                let _counted = counted;
                Ok(())
            }));
            for sibling in &*self.siblings.borrow() {
                sibling.cancel();
            }
            for waker in &*self.wakers.borrow() {
                waker.wake_by_ref();
            }
            let all = self.siblings.take();
            drop(all);
            self.tg.cancel();
        }
    }
    for ends in ["drop", "fail", "cancel", "panic"] {
        let reports = run(async move {
            let dropped = Cell::new(0);
            {
                let group = task_group(async |tg: TaskGroup| {
                    let siblings = Rc::new(RefCell::new(Vec::new()));
                    let wakers = Rc::new(RefCell::new(Vec::new()));
                    for _ in 0..4 {
                        let busybody = Busybody {
                            tg: tg.clone(),
                            siblings: siblings.clone(),
                            wakers: wakers.clone(),
                            dropped: &dropped,
                        };
                        let wakers = wakers.clone();
                        let child = tg.spawn(async move {
                            let _busybody = busybody;
                            poll_fn(|cx| {
                                wakers.borrow_mut().push(cx.waker().clone());
                                Poll::<()>::Pending
                            })
                            .await;
                            Ok(())
                        });
                        siblings.borrow_mut().push(child);
                    }
                    yield_now().await;
                    yield_now().await;
                    match ends {
                        "fail" => Err("the body fails".into()),
                        "panic" => panic!("the body panics"),
                        "cancel" => {
                            tg.cancel();
                            Ok(())
                        }
                        _ => pending().await,
                    }
                });
                let mut group = Box::pin(Catch(Box::pin(group)));
                let outcome = polls(group.as_mut(), 20).await;
                match ends {
                    "drop" => assert!(outcome.is_none()),
                    "fail" => assert!(outcome.unwrap().unwrap().is_err()),
                    "panic" => assert!(outcome.unwrap().is_err()),
                    _ => outcome.unwrap().unwrap().unwrap(),
                }
            }
            assert_eq!(
                dropped.get(),
                4,
                "{ends}: each drops what it could not spawn"
            );
        });
        assert!(reports.is_empty(), "{ends}: {reports:?}");
    }
}

#[test]
fn handles_may_be_kept_after_the_group() {
    run(async {
        let text = String::from("borrowed");
        let (kept, children) = (RefCell::new(None), RefCell::new(Vec::new()));
        task_group(async |tg: TaskGroup| {
            kept.replace(Some(tg.clone()));
            children.borrow_mut().push(tg.spawn(async { Ok(&*text) }));
            children.borrow_mut().push(tg.spawn(async {
                pending::<()>().await;
                Ok("never")
            }));
            yield_now().await;
            yield_now().await;
            tg.cancel();
            Ok(())
        })
        .await
        .unwrap();
        let tg = kept.take().unwrap();
        assert!(tg.is_ending() && tg.is_empty());
        assert!(tg.try_spawn(async { Ok(text.len()) }).is_err());
        let refused = tg.spawn(async { Ok(text.len()) });
        assert!(refused.await.unwrap_err().is_cancelled());
        tg.cancel();
        let mut ended = children.take().into_iter();
        assert_eq!(ended.next().unwrap().await.unwrap(), "borrowed");
        let cancelled = ended.next().unwrap();
        assert!(!cancelled.cancel());
        assert!(cancelled.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_value_that_nobody_takes_is_dropped_with_its_handle() {
    run(async {
        let dropped = Cell::new(0);
        let kept = RefCell::new(None);
        task_group(async |tg: TaskGroup| {
            drop(tg.spawn(async { Ok(Counted(&dropped)) }));
            kept.replace(Some(tg.spawn(async { Ok(Counted(&dropped)) })));
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(dropped.get(), 1);
        kept.take();
        assert_eq!(dropped.get(), 2);
    });
}

#[test]
fn wakers_of_children_work_on_other_threads_and_outlive_everything() {
    let mut kept = None;
    // In real time: another thread wakes.
    let mut event_loop = EventLoop::new().unwrap();
    let wakers = RefCell::new(Vec::new());
    event_loop
        .run_until_complete(async {
            let text = String::from("borrowed");
            let polled = task_group(async |tg: TaskGroup| {
                let child = tg.spawn(async {
                    let mut polls = 0;
                    poll_fn(|cx| {
                        polls += 1;
                        wakers.borrow_mut().push(cx.waker().clone());
                        let waker = cx.waker().clone();
                        std::thread::spawn(move || waker.wake());
                        if polls < 20 {
                            Poll::Pending
                        } else {
                            Poll::Ready(())
                        }
                    })
                    .await;
                    Ok(polls + text.len())
                });
                Ok(child.await?)
            });
            assert!(polled.await.unwrap() >= 28);
        })
        .unwrap();
    kept.replace(wakers.take());
    let kept = kept.unwrap();
    kept[0].wake_by_ref();
    let in_between = kept[1].clone();
    std::thread::spawn(move || in_between.wake())
        .join()
        .unwrap();
    drop(event_loop);
    kept[0].wake_by_ref();
    std::thread::spawn(move || {
        for waker in kept {
            let another = waker.clone();
            drop(waker);
            another.wake();
        }
    })
    .join()
    .unwrap();
}

#[test]
fn wakers_of_a_leaked_groups_children_do_nothing() {
    let wakers = Rc::new(RefCell::new(Vec::new()));
    let (mut event_loop, _) = new_loop();
    let noted = wakers.clone();
    event_loop
        .run_until_complete(async move {
            let text = String::from("borrowed");
            let group = async {
                task_group(async |tg: TaskGroup| {
                    tg.spawn(async {
                        poll_fn(|cx| {
                            noted.borrow_mut().push(cx.waker().clone());
                            assert_eq!(text, "borrowed");
                            Poll::<()>::Pending
                        })
                        .await;
                        Ok(())
                    });
                    pending::<Result<(), BoxError>>().await
                })
                .await
            };
            let mut group = Box::pin(group);
            assert!(polls(group.as_mut(), 2).await.is_none());
            leak(group);
            drop(text);
            noted.borrow()[0].wake_by_ref();
            yield_now().await;
            let waker = noted.borrow()[0].clone();
            std::thread::spawn(move || waker.wake()).join().unwrap();
            yield_now().await;
            assert_eq!(noted.borrow().len(), 1, "nobody polls it any more");
        })
        .unwrap();
    wakers.borrow()[0].wake_by_ref();
    drop(event_loop);
    wakers.borrow()[0].wake_by_ref();
    let waker = wakers.take().pop().unwrap();
    std::thread::spawn(move || waker.wake()).join().unwrap();
}

#[test]
fn a_group_in_a_spawned_task_ends_when_the_loop_closes() {
    let (mut event_loop, _) = new_loop();
    let dropped = Rc::new(Cell::new(0));
    let counter = dropped.clone();
    event_loop
        .run_until_complete(async move {
            let task = spawn(async move {
                let counter = &*counter;
                let group = task_group(async |tg: TaskGroup| {
                    for _ in 0..3 {
                        tg.spawn(async {
                            let _counted = Counted(counter);
                            pending::<Result<(), BoxError>>().await
                        });
                    }
                    pending::<Result<(), BoxError>>().await
                });
                group.await.unwrap();
            });
            sleep(Duration::from_millis(1)).await;
            task.detach();
        })
        .unwrap();
    assert_eq!(dropped.get(), 0);
    drop(event_loop);
    assert_eq!(dropped.get(), 3);
}

#[test]
fn a_child_that_awaits_itself_hears_of_it() {
    run(async {
        let said = RefCell::new(String::new());
        let (noted, own) = (&said, Rc::new(RefCell::new(None)));
        task_group(async |tg: TaskGroup| {
            let handle: Rc<RefCell<Option<Child<'_, ()>>>> = own.clone();
            let child = tg.spawn(async move {
                let child = handle.take().unwrap();
                noted.replace(child.await.unwrap_err().to_string());
                Ok(())
            });
            own.replace(Some(child));
            Ok(())
        })
        .await
        .unwrap();
        assert!(said.borrow().ends_with("awaits itself"), "{said:?}");
    });
}

#[test]
fn a_group_that_is_moved_to_another_loop_says_so_and_ends_its_children() {
    for body_waits in [true, false] {
        let dropped = Cell::new(0);
        let (mut home, _) = new_loop();
        let mut group = Box::pin(task_group(async |tg: TaskGroup| {
            drop::<Child<'_, ()>>(tg.spawn(async {
                let _counted = Counted(&dropped);
                pending().await
            }));
            if body_waits {
                pending::<()>().await;
            }
            Ok(())
        }));
        home.run_until_complete(async {
            assert!(polls(group.as_mut(), 2).await.is_none());
        })
        .unwrap();
        let (mut elsewhere, _) = new_loop();
        let moved = elsewhere.run_until_complete(async {
            let outcome = Catch(group).await.map(|ended| ended.is_ok());
            let payload = outcome.unwrap_err();
            let message = payload.downcast_ref::<String>().expect("a message");
            assert!(
                message.contains("the event loop that it began on"),
                "{message}"
            );
        });
        moved.unwrap();
        assert_eq!(dropped.get(), 1);
        home.run_until_complete(async {
            assert_eq!(asyncio_loop::all_tasks().len(), 1, "nothing of it is left");
        })
        .unwrap();
    }
}

#[test]
fn a_group_without_children_that_is_moved_to_another_loop_says_so() {
    let (mut home, _) = new_loop();
    let mut group = Box::pin(task_group(async |_: TaskGroup| {
        yield_now().await;
        yield_now().await;
        Ok(())
    }));
    home.run_until_complete(async {
        assert!(polls(group.as_mut(), 1).await.is_none());
    })
    .unwrap();
    let (mut elsewhere, _) = new_loop();
    let outcome = elsewhere.run_until_complete(async { Catch(group).await.is_err() });
    assert!(outcome.unwrap());
}

/// Groups that the budget of the turn has cut short: their batch goes on in a step out of turn, which the task may not
/// live to see.
mod cut_short {
    use super::*;

    /// Runs `main` on a loop whose turns end after so many steps.
    fn run_with_budget(steps: usize, main: impl Future<Output = ()>) {
        let builder = EventLoop::builder().virtual_time(true).task_budget(steps);
        let mut event_loop = builder.build_loop().expect("a selector");
        event_loop.run_until_complete(main).expect("it returns");
    }

    async fn for_ever() -> Result<(), BoxError> {
        loop {
            yield_now().await;
        }
    }

    /// Seven children that always have more to do, three of them in a group of their own.
    async fn nested(dropped: &Cell<usize>) {
        let group = task_group(async |tg: TaskGroup| {
            for n in 0..4 {
                tg.spawn(async move {
                    let _counted = Counted(dropped);
                    if n == 1 {
                        let inner = task_group(async |tg: TaskGroup| {
                            for _ in 0..3 {
                                tg.spawn(async {
                                    let _counted = Counted(dropped);
                                    for_ever().await
                                });
                            }
                            Ok(())
                        });
                        inner.await?;
                    }
                    for_ever().await
                });
            }
            Ok(())
        });
        group.await.expect("nobody fails");
    }

    #[test]
    fn it_may_be_dropped() {
        for (steps, times) in (1..8).flat_map(|steps| (1..6).map(move |times| (steps, times))) {
            let dropped = Cell::new(0);
            run_with_budget(steps, async {
                let mut group = Box::pin(nested(&dropped));
                assert!(polls(group.as_mut(), times).await.is_none());
                drop(group);
                yield_now().await;
            });
            assert!(dropped.get() <= 7);
        }
    }

    #[test]
    fn it_may_be_leaked_and_its_loop_closed_over_it() {
        for (steps, times) in (1..8).flat_map(|steps| (1..6).map(move |times| (steps, times))) {
            let dropped = Cell::new(0);
            run_with_budget(steps, async {
                let mut group = Box::pin(nested(&dropped));
                assert!(polls(group.as_mut(), times).await.is_none());
                leak(group);
                for _ in 0..5 {
                    yield_now().await;
                }
            });
            assert_eq!(dropped.get(), 0, "what is leaked is never touched again");
        }
    }

    #[test]
    fn its_task_may_be_closed_or_cancelled_with_its_loop() {
        for (steps, times) in (1..8).flat_map(|steps| (1..6).map(move |times| (steps, times))) {
            for close_within in [Duration::ZERO, Duration::from_secs(1)] {
                let dropped = Rc::new(Cell::new(0));
                let builder = EventLoop::builder().virtual_time(true).task_budget(steps);
                let mut event_loop = builder.build_loop().expect("a selector");
                event_loop.set_exception_handler(|_| ()); // hears of those that are dropped
                let counter = dropped.clone();
                event_loop
                    .run_until_complete(async move {
                        spawn(async move { nested(&counter).await }).discard();
                        for _ in 0..times {
                            yield_now().await;
                        }
                    })
                    .expect("it returns");
                event_loop.close_within(close_within);
                drop(event_loop);
                assert_eq!(Rc::strong_count(&dropped), 1, "all are dropped");
            }
        }
    }
}
