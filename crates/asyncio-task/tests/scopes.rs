//! Cancel scopes: where a request is heard, what holds it, what ends it. Each test is a rule of the model,
//! or an attack on it.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use asyncio_task::{
    Cancelled, Interrupted, JoinError, Listener, Scope, ScopeHandle, Task, Tasks, current_task,
    spawn,
};

type Trace = Rc<RefCell<Vec<&'static str>>>;

/// `catch_cancel`, as an executor would write it.
async fn catch<F: Future>(future: F) -> Result<F::Output, Cancelled> {
    match Scope::new(future).await {
        Ok(value) => Ok(value),
        Err(Interrupted::Outer(cancelled)) => Err(cancelled),
        Err(Interrupted::Own) => unreachable!("nobody has its handle"),
    }
}

fn run<T: 'static, F: Future<Output = T> + 'static>(
    main: impl FnOnce(Trace) -> F,
) -> (Option<Result<T, JoinError>>, Vec<&'static str>) {
    let tasks = Tasks::new(|| ());
    let trace = Trace::default();
    let result = tasks.enter(&(), || {
        let mut task = tasks.spawn(main(trace.clone()));
        let mut steps = 0;
        while tasks.run_one() {
            steps += 1;
            assert!(steps < 10_000, "it spins");
        }
        task.try_take()
    });
    drop(tasks);
    (result, trace.take())
}

async fn ticks(n: usize) {
    for _ in 0..n {
        let mut first = true;
        poll_fn(|cx| {
            if std::mem::take(&mut first) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }
}

/// Runs `work` as a task, cancels it after so many ticks each, and tells how it ended.
async fn cancelled_at<T: 'static>(
    at: &[usize],
    work: impl Future<Output = T> + 'static,
) -> Result<T, JoinError> {
    let task: Task<T> = spawn(work);
    for &n in at {
        ticks(n).await;
        task.cancel();
    }
    task.await
}

// Proves rule 3.
#[test]
fn code_that_asks_hears_of_the_request_cleans_up_and_sends_it_on() {
    let (_, trace) = run(async |trace: Trace| {
        let t = trace.clone();
        let end = cancelled_at(&[2], async move {
            t.borrow_mut().push("works");
            if let Err(cancelled) = catch(pending::<()>()).await {
                t.borrow_mut().push("cleans up");
                ticks(3).await;
                t.borrow_mut().push("is clean");
                cancelled.resume().await
            }
            t.borrow_mut().push("never");
        })
        .await;
        assert!(end.unwrap_err().is_cancelled());
        trace.borrow_mut().push("ended");
    });
    assert_eq!(trace, ["works", "cleans up", "is clean", "ended"]);
}

#[test]
fn a_swallowed_request_is_over_and_a_later_one_is_not() {
    let (_, trace) = run(async |trace: Trace| {
        let t = trace.clone();
        let end = cancelled_at(&[2, 9], async move {
            if let Err(cancelled) = catch(pending::<()>()).await {
                t.borrow_mut().push("first");
                cancelled.swallow();
            }
            ticks(2).await;
            t.borrow_mut().push("goes on");
            if let Err(cancelled) = catch(pending::<()>()).await {
                t.borrow_mut().push("second");
                drop(cancelled);
            }
            t.borrow_mut().push("until it waits");
            ticks(1).await;
            t.borrow_mut().push("never");
        })
        .await;
        assert!(end.unwrap_err().is_cancelled());
    });
    assert_eq!(trace, ["first", "goes on", "second", "until it waits"]);
}

// Proves rule 4.
#[test]
fn branches_of_a_join_finish_cleanups_of_unequal_length() {
    let (_, trace) = run(async |trace: Trace| {
        let branch = |trace: Trace, n: usize, name: &'static str| async move {
            if let Err(cancelled) = catch(pending::<()>()).await {
                ticks(n).await;
                trace.borrow_mut().push(name);
                cancelled.resume().await
            }
        };
        let work = futures::future::join(
            branch(trace.clone(), 1, "short"),
            branch(trace.clone(), 5, "long"),
        );
        let end = cancelled_at(&[2], work).await;
        assert!(end.is_err());
    });
    assert_eq!(trace, ["short", "long"]);
}

#[test]
fn one_branch_that_swallows_does_not_outweigh_one_that_does_not() {
    for first_swallows in [true, false] {
        let (_, trace) = run(async move |trace: Trace| {
            let branch = |trace: Trace, swallow: bool, n| async move {
                if let Err(cancelled) = catch(pending::<()>()).await {
                    ticks(n).await;
                    if swallow {
                        cancelled.swallow();
                        ticks(1).await;
                        trace.borrow_mut().push("went on");
                        ticks(9).await;
                        trace.borrow_mut().push("never");
                    } else {
                        cancelled.resume().await
                    }
                }
            };
            let (a, b) = (
                branch(trace.clone(), first_swallows, 1),
                branch(trace.clone(), !first_swallows, 4),
            );
            let end = cancelled_at(&[2], futures::future::join(a, b)).await;
            assert!(end.is_err());
        });
        assert_eq!(
            trace,
            if first_swallows {
                vec!["went on"]
            } else {
                vec![]
            }
        );
    }
}

#[test]
fn through_futures_unordered_every_scope_hears() {
    use futures::StreamExt;
    let heard = Rc::new(Cell::new(0));
    let h = heard.clone();
    run(async move |_| {
        let all: futures::stream::FuturesUnordered<_> = (0..500)
            .map(|n| {
                let heard = h.clone();
                async move {
                    if let Err(cancelled) = catch(pending::<()>()).await {
                        ticks(n % 5).await;
                        heard.set(heard.get() + 1);
                        cancelled.resume().await
                    }
                }
            })
            .collect();
        let end = cancelled_at(&[9], all.collect::<Vec<_>>()).await;
        assert!(end.is_err());
    });
    assert_eq!(heard.get(), 500);
}

// Proves rule 7.
#[test]
fn a_second_request_interrupts_a_cleanup() {
    let (_, trace) = run(async |trace: Trace| {
        let t = trace.clone();
        let end = cancelled_at(&[2, 2], async move {
            if let Err(cancelled) = catch(pending::<()>()).await {
                t.borrow_mut().push("cleans up");
                pending::<()>().await;
                drop(cancelled);
            }
        })
        .await;
        assert!(end.is_err());
    });
    assert_eq!(trace, ["cleans up"]);
}

#[test]
fn what_a_cleanup_opens_is_not_told_of_the_request_that_began_it_but_of_the_second() {
    let (_, trace) = run(async |trace: Trace| {
        let t = trace.clone();
        let end = cancelled_at(&[2, 5], async move {
            if let Err(first) = catch(pending::<()>()).await {
                match catch(ticks(2)).await {
                    Ok(()) => t.borrow_mut().push("not told"),
                    Err(_) => t.borrow_mut().push("told too early"),
                }
                if let Err(second) = catch(pending::<()>()).await {
                    t.borrow_mut().push("told of the second");
                    second.resume().await;
                }
                drop(first);
            }
        })
        .await;
        assert!(end.is_err());
    });
    assert_eq!(trace, ["not told", "told of the second"]);
}

// Proves rule 5.
#[test]
fn a_value_that_was_on_its_way_wins_and_the_request_takes_the_next_await() {
    let (_, trace) = run(async |trace: Trace| {
        let t = trace.clone();
        let waker = Rc::new(RefCell::new(None::<std::task::Waker>));
        let ready = Rc::new(Cell::new(false));
        let (w, r) = (waker.clone(), ready.clone());
        let task = spawn(async move {
            let got = catch(poll_fn(|cx| {
                *w.borrow_mut() = Some(cx.waker().clone());
                if r.get() {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            }))
            .await;
            t.borrow_mut()
                .push(if got.is_ok() { "value" } else { "lost" });
            if let Err(cancelled) = catch(ticks(1)).await {
                t.borrow_mut().push("then cancelled");
                cancelled.resume().await
            }
        });
        ticks(2).await;
        ready.set(true);
        waker.take().unwrap().wake();
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    });
    assert_eq!(trace, ["value", "then cancelled"]);
}

// Proves rule 2.
#[test]
fn a_scope_parked_by_a_select_loop_does_not_count_and_hears_when_it_is_polled_again() {
    let (_, trace) = run(async |trace: Trace| {
        let t = trace.clone();
        let end = cancelled_at(&[3], async move {
            let mut parked = pin!(catch(pending::<()>()));
            assert!(futures::poll!(parked.as_mut()).is_pending());
            // Only this is polled from here on.
            if let Err(cancelled) = catch(pending::<()>()).await {
                t.borrow_mut().push("the polled one");
                ticks(1).await;
                if let Err(second) = parked.await {
                    t.borrow_mut().push("the parked one");
                    drop(second);
                }
                cancelled.resume().await
            }
        })
        .await;
        assert!(end.is_err());
    });
    assert_eq!(trace[0], "the polled one");
}

#[test]
fn a_request_to_oneself_takes_the_next_await() {
    let (_, trace) = run(async |trace: Trace| {
        let t = trace.clone();
        let end = spawn(async move {
            current_task().unwrap().cancel();
            t.borrow_mut().push("still here");
            if let Err(cancelled) = catch(ticks(1)).await {
                t.borrow_mut().push("heard");
                cancelled.resume().await
            }
        })
        .await;
        assert!(end.is_err());
    });
    assert_eq!(trace, ["still here", "heard"]);
}

#[test]
fn a_loop_that_drops_its_tokens_ends_all_the_same() {
    let (_, _) = run(async |_| {
        let end = cancelled_at(&[3], async {
            loop {
                let _ = catch(ticks(2)).await;
            }
        })
        .await;
        assert!(end.unwrap_err().is_cancelled());
    });
}

// Proves rule 9.
#[test]
fn awaiting_a_task_passes_the_request_to_it_and_waits_for_its_cleanup() {
    let (_, trace) = run(async |trace: Trace| {
        let t = trace.clone();
        let end = cancelled_at(&[3], async move {
            let t2 = t.clone();
            let inner = spawn(async move {
                if let Err(cancelled) = catch(pending::<()>()).await {
                    ticks(3).await;
                    t2.borrow_mut().push("inner is clean");
                    cancelled.resume().await
                }
            });
            if let Err(cancelled) = catch(inner).await {
                t.borrow_mut().push("outer hears");
                cancelled.resume().await
            }
            t.borrow_mut().push("never");
        })
        .await;
        assert!(end.is_err());
    });
    assert_eq!(trace, ["inner is clean", "outer hears"]);
}

// Proves rule 9.
#[test]
fn an_awaited_task_that_returns_a_value_swallows_the_request() {
    let (_, trace) = run(async |trace: Trace| {
        let t = trace.clone();
        let end = cancelled_at(&[3], async move {
            let inner = spawn(async {
                if let Err(cancelled) = catch(pending::<()>()).await {
                    cancelled.swallow();
                }
                7
            });
            assert_eq!(inner.await.unwrap(), 7);
            ticks(3).await;
            t.borrow_mut().push("goes on");
        })
        .await;
        assert!(end.is_ok());
    });
    assert_eq!(trace, ["goes on"]);
}

// Proves rule 1.
#[test]
fn a_scope_cancelled_by_its_handle_ends_as_its_own_outcome() {
    let (result, trace) = run(async |trace: Trace| {
        let mut scope = pin!(Scope::new(async {
            if let Err(cancelled) = catch(pending::<()>()).await {
                trace.borrow_mut().push("inner hears");
                ticks(2).await;
                cancelled.resume().await
            }
        }));
        let mut opened = false;
        poll_fn(|cx| {
            if !std::mem::replace(&mut opened, true) {
                let handle = scope.as_mut().open().unwrap();
                spawn(async move {
                    ticks(2).await;
                    handle.cancel();
                })
                .detach();
            }
            scope.as_mut().poll(cx)
        })
        .await
    });
    assert!(
        matches!(result, Some(Ok(Err(Interrupted::Own)))),
        "{result:?}"
    );
    assert_eq!(trace, ["inner hears"]);
}

// Proves S2.
#[test]
fn nothing_is_left_of_scopes_that_are_gone() {
    let tasks = Tasks::new(|| ());
    tasks.enter(&(), || {
        for _ in 0..3 {
            let task = tasks.spawn(async {
                let _ = futures::future::select(
                    Box::pin(catch(pending::<()>())),
                    Box::pin(catch(ticks(3))),
                )
                .await;
                catch(pending::<()>()).await.ok();
            });
            for _ in 0..10 {
                tasks.run_one();
            }
            task.cancel();
            while tasks.run_one() {}
            assert!(task.is_finished());
        }
    });
    let shown = format!("{tasks:?}");
    assert!(shown.contains("0 scopes"), "{shown}");
}

#[test]
fn a_request_goes_on_after_a_second_was_swallowed_in_its_cleanup() {
    let (_, trace) = run(async |trace: Trace| {
        let t = trace.clone();
        let end = cancelled_at(&[2, 2], async move {
            if let Err(first) = catch(pending::<()>()).await {
                if let Err(second) = catch(pending::<()>()).await {
                    t.borrow_mut().push("never mind");
                    second.swallow();
                }
                ticks(2).await;
                t.borrow_mut().push("is clean");
                first.resume().await
            }
        })
        .await;
        assert!(end.unwrap_err().is_cancelled());
    });
    assert_eq!(trace, ["never mind", "is clean"]);
}

#[test]
fn a_scope_that_moved_to_another_task_hears_of_requests_there() {
    let (_, trace) = run(async |trace: Trace| {
        let t = trace.clone();
        let mut moved = Box::pin(async move {
            if let Err(cancelled) = catch(pending::<()>()).await {
                t.borrow_mut().push("heard");
                ticks(2).await;
                t.borrow_mut().push("is clean");
                cancelled.resume().await
            }
        });
        // Its first poll is in a task that then gives it away and ends.
        let first = spawn(async move {
            assert!(futures::poll!(moved.as_mut()).is_pending());
            (moved,)
        });
        let (moved,) = first.await.unwrap();
        let end = cancelled_at(&[3], moved).await;
        assert!(end.unwrap_err().is_cancelled());
    });
    assert_eq!(trace, ["heard", "is clean"]);
}

#[test]
fn a_request_to_the_task_that_a_scope_has_left_does_not_follow_it() {
    let (_, trace) = run(async |trace: Trace| {
        let slot = Rc::new(RefCell::new(None));
        let (t, out) = (trace.clone(), slot.clone());
        let first = spawn(async move {
            let mut moved = Box::pin(catch(ticks(6)));
            assert!(futures::poll!(moved.as_mut()).is_pending());
            *out.borrow_mut() = Some(moved);
            pending::<()>().await;
        });
        ticks(2).await;
        let moved = slot.take().unwrap();
        let second = spawn(async move {
            let heard = moved.await.is_err();
            t.borrow_mut()
                .push(if heard { "followed" } else { "left alone" });
        });
        ticks(2).await;
        first.cancel();
        assert!(first.await.unwrap_err().is_cancelled());
        second.await.unwrap();
    });
    assert_eq!(trace, ["left alone"]);
}

#[test]
fn a_scope_opened_while_a_sibling_cleans_up_is_told_when_that_has_finished() {
    let (_, trace) = run(async |trace: Trace| {
        let cleaning = async {
            if let Err(cancelled) = catch(pending::<()>()).await {
                ticks(6).await;
                trace.borrow_mut().push("the sibling is clean");
                cancelled.resume().await
            }
        };
        let opening = async {
            ticks(5).await; // the sibling cleans up by now
            trace.borrow_mut().push("opens");
            if let Err(cancelled) = catch(pending::<()>()).await {
                trace.borrow_mut().push("is told");
                ticks(2).await;
                trace.borrow_mut().push("is clean as well");
                cancelled.resume().await
            }
        };
        let both = Box::pin(futures::future::join(cleaning, opening));
        // Not a task of its own, as it borrows: a scope does the same.
        let mut scope = pin!(Scope::new(both));
        let handle = Rc::new(RefCell::new(None));
        let h = handle.clone();
        spawn(async move {
            ticks(3).await;
            let handle: asyncio_task::ScopeHandle = h.borrow_mut().take().unwrap();
            assert!(handle.cancel());
        })
        .detach();
        let end = poll_fn(|cx| {
            if handle.borrow().is_none() && !trace.borrow().contains(&"begins") {
                trace.borrow_mut().push("begins");
                *handle.borrow_mut() = scope.as_mut().open();
            }
            scope.as_mut().poll(cx)
        })
        .await;
        assert!(matches!(end, Err(Interrupted::Own)));
    });
    assert_eq!(
        trace,
        [
            "begins",
            "opens",
            "the sibling is clean",
            "is told",
            "is clean as well"
        ]
    );
}

// Proves rule 11.
#[test]
fn now_or_never_on_a_scope_leaves_nothing_behind() {
    use futures::FutureExt;
    let (_, trace) = run(async |trace: Trace| {
        let t = trace.clone();
        let end = cancelled_at(&[4], async move {
            // Polled once, with a waker that wakes nobody, and dropped.
            assert!(catch(pending::<()>()).now_or_never().is_none());
            assert_eq!(catch(async { 5 }).now_or_never().unwrap().unwrap(), 5);
            // A scope that is kept after such a poll is not waited for, and does not keep the task.
            let mut kept = Box::pin(catch(pending::<()>()));
            assert!((&mut kept).now_or_never().is_none());
            if let Err(cancelled) = catch(pending::<()>()).await {
                t.borrow_mut().push("heard");
                ticks(2).await;
                cancelled.resume().await
            }
        })
        .await;
        assert!(end.unwrap_err().is_cancelled());
    });
    assert_eq!(trace, ["heard"]);
}

#[test]
fn a_request_wakes_the_waker_that_a_scope_was_polled_with_last() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    // `None` is the task's own.
    let all: [&[Option<usize>]; 8] = [
        &[Some(0)],
        &[Some(0), Some(0)],
        &[Some(0), Some(1)],
        &[Some(0), Some(0), Some(1), Some(1)],
        &[Some(0), Some(1), Some(0)],
        &[None, Some(0)],
        &[Some(0), None],
        &[Some(0), None, Some(0), Some(1)],
    ];
    let (end, _) = run(async move |_| {
        for polls in all {
            let counts = [(); 2].map(|()| Arc::new(Count(AtomicUsize::new(0))));
            let mut scope = pin!(Scope::new(pending::<()>()));
            let handle = poll_fn(|cx| {
                let handle = scope.as_mut().open();
                for poll in polls {
                    let waker = match poll {
                        Some(n) => Waker::from(counts[*n].clone()),
                        None => cx.waker().clone(),
                    };
                    let poll = scope.as_mut().poll(&mut Context::from_waker(&waker));
                    assert!(poll.is_pending());
                }
                Poll::Ready(handle)
            });
            handle.await.unwrap().cancel();
            let woken = counts.map(|count| count.0.load(Ordering::Relaxed));
            let last = polls.last().copied().flatten();
            assert_eq!(
                woken,
                [0, 1].map(|n| usize::from(last == Some(n))),
                "{polls:?}"
            );
        }
    });
    end.unwrap().unwrap();
}

#[test]
fn a_token_that_is_kept_holds_until_it_goes_and_one_that_is_leaked_until_a_second_request() {
    let (_, trace) = run(async |trace: Trace| {
        let kept = Rc::new(RefCell::new(None));
        let (t, k) = (trace.clone(), kept.clone());
        let task = spawn(async move {
            *k.borrow_mut() = catch(pending::<()>()).await.err();
            t.borrow_mut().push("goes on");
            ticks(4).await;
            t.borrow_mut().push("still held");
            pending::<()>().await;
        });
        ticks(2).await;
        task.cancel();
        ticks(9).await;
        assert!(!task.is_finished());
        // From another task, without waiting: that sends it on.
        drop(kept.take());
        assert!(task.await.unwrap_err().is_cancelled());

        let t = trace.clone();
        let end = cancelled_at(&[2, 9], async move {
            std::mem::forget(catch(pending::<()>()).await);
            ticks(4).await;
            t.borrow_mut().push("held for ever");
            pending::<()>().await;
        });
        assert!(end.await.unwrap_err().is_cancelled());
    });
    assert_eq!(trace, ["goes on", "still held", "held for ever"]);
}

#[test]
fn a_token_that_outlives_its_task_is_let_go_in_peace() {
    run(async |_| {
        let kept = Rc::new(RefCell::new(None));
        let k = kept.clone();
        let end = cancelled_at(&[2], async move {
            *k.borrow_mut() = catch(pending::<()>()).await.err();
        });
        assert!(end.await.is_ok());
        drop(kept.take());

        let k = kept.clone();
        let end = cancelled_at(&[2], async move {
            *k.borrow_mut() = catch(pending::<()>()).await.err();
        });
        assert!(end.await.is_ok());
        let token: Cancelled = kept.take().unwrap();
        token.swallow();
        ticks(1).await;
    });
}

#[test]
fn a_loop_of_scopes_that_are_ready_can_be_cancelled() {
    run(async |_| {
        let end = cancelled_at(&[5], async {
            loop {
                // As a time limit around what is ready: it waits for nothing itself.
                assert!(catch(async {}).await.is_ok());
                ticks(1).await;
            }
        });
        assert!(end.await.unwrap_err().is_cancelled());
        let end = cancelled_at(&[5], async {
            loop {
                let mut scope = pin!(Scope::new(ticks(1)));
                let mut opened = false;
                let _ = poll_fn(|cx| {
                    if !std::mem::replace(&mut opened, true) {
                        scope.as_mut().open().unwrap();
                    }
                    scope.as_mut().poll(cx)
                })
                .await;
            }
        });
        assert!(end.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_scope_whose_poll_unwinds_is_left() {
    let (_, trace) = run(async |trace: Trace| {
        let t = trace.clone();
        let end = cancelled_at(&[2], async move {
            // Nested, so that a scope that was not left would be taken for the one around the next.
            let mut broken = Box::pin(catch(catch(async { panic!("in a scope") })));
            let caught = poll_fn(|cx| {
                let poll = AssertUnwindSafe(|| broken.as_mut().poll(cx));
                Poll::Ready(catch_unwind(poll).is_err())
            });
            assert!(caught.await);
            if let Err(cancelled) = catch(pending::<()>()).await {
                t.borrow_mut().push("hears");
                cancelled.resume().await
            }
            t.borrow_mut().push("never");
        })
        .await;
        assert!(end.unwrap_err().is_cancelled());
        trace.borrow_mut().push("ended");
    });
    assert_eq!(trace, ["hears", "ended"]);
}

/// A check that a type is not `Send`: such a type implements this in one way only, a `Send` type in two.
trait StaysHere<Way> {
    fn stays_here() {}
}
impl<T> StaysHere<()> for T {}
impl<T: Send> StaysHere<u8> for T {}

#[test]
fn what_knows_a_scope_stays_on_its_thread() {
    // Elsewhere the same key is another scope's. This is a test if it compiles.
    <Cancelled as StaysHere<_>>::stays_here();
    <ScopeHandle as StaysHere<_>>::stays_here();
    <Listener as StaysHere<_>>::stays_here();
    <Scope<std::future::Ready<()>> as StaysHere<_>>::stays_here();
}

// Proves rule 9.
#[test]
fn a_circle_names_its_tasks_once_in_the_order_in_which_they_wait() {
    for (n, asked) in [(1, 0), (2, 0), (2, 1), (5, 0), (5, 3)] {
        run(async move |_| {
            let slots: Rc<[RefCell<Option<Task<()>>>]> =
                (0..n).map(|_| RefCell::default()).collect();
            let found = Rc::new(RefCell::new(Vec::new()));
            let mut names = Vec::new();
            for me in 0..n {
                let (slots_of_all, found) = (slots.clone(), found.clone());
                let task = spawn(async move {
                    ticks(1).await;
                    let next = slots_of_all[(me + 1) % n].take().unwrap();
                    if let Err(JoinError::InCircle(_, circle)) = next.await {
                        let names = circle.tasks().iter().map(|(name, _)| name.to_string());
                        found.borrow_mut().extend(names);
                    }
                });
                names.push(task.name().to_string());
                slots[me].replace(Some(task));
            }
            let first = slots[asked].borrow().as_ref().map(Task::as_ref).unwrap();
            ticks(5).await;
            first.cancel();
            ticks(9).await;
            names.rotate_left(asked);
            assert_eq!(*found.borrow(), names);
        });
    }
}

#[test]
fn a_scope_keeps_the_waker_of_its_last_poll_only() {
    struct Nothing;
    impl Wake for Nothing {
        fn wake(self: Arc<Self>) {}
    }
    let (kept, _) = run(|_| async {
        let mine = Arc::new(Nothing);
        let waker = Waker::from(mine.clone());
        let mut scope = pin!(Scope::new(pending::<()>()));
        poll_fn(|cx| {
            let mut other = Context::from_waker(&waker);
            assert!(scope.as_mut().poll(&mut other).is_pending());
            let during = Arc::strong_count(&mine);
            assert!(scope.as_mut().poll(cx).is_pending());
            Poll::Ready((during, Arc::strong_count(&mine)))
        })
        .await
    });
    assert_eq!(kept.unwrap().unwrap(), (3, 2));
}
