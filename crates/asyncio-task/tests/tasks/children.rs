//! Children that borrow, where they meet the loop: what it sees of them, and what is left when they end.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use asyncio_task::{Children, Interrupted, Scope, SpawnOptions, Tasks, all_tasks};

use crate::odd_waker::odd_waker;
use crate::support::{CountingWaker, Gate, OnDrop, entered, message_of, settle, yield_now};

fn poll(children: &Children<'_>) {
    children.poll_woken(&mut Context::from_waker(Waker::noop()));
}

// Proves H4.
#[test]
fn a_child_borrows_and_is_listed_until_it_has_ended() {
    entered(|tasks, _| {
        let mut number = 1;
        {
            let children = Children::new();
            let task = children.spawn(SpawnOptions::new().name("child"), async { number += 1 });
            assert_eq!(all_tasks()[0].name(), "child");
            settle(tasks);
            assert!(!task.is_finished(), "the loop does not run it");
            poll(&children);
            assert!(task.is_finished());
            assert!(tasks.is_empty() && children.is_empty());
        }
        assert_eq!(number, 2);
    });
}

#[test]
fn a_child_wakes_the_last_one_that_polled_its_group() {
    entered(|_, _| {
        let (children, gate) = (Children::new(), Gate::default());
        let passes = gate.clone();
        let child = children.spawn(SpawnOptions::new(), async move { passes.pass().await });
        let [(first, before), (last, after)] = [(); 2].map(|()| CountingWaker::new());
        children.poll_woken(&mut Context::from_waker(&before));
        children.poll_woken(&mut Context::from_waker(&after));
        gate.open();
        assert_eq!((first.get(), last.get()), (0, 1));
        children.poll_woken(&mut Context::from_waker(&after));
        assert!(child.is_finished());
    });
}

// Proves H3.
#[test]
fn a_loop_that_closes_passes_over_children_and_they_may_outlive_it() {
    let dropped = std::cell::Cell::new(false);
    let children = Children::new();
    let tasks = Tasks::new(|| ());
    let task = tasks.enter(&(), || {
        let flag = OnDrop::new(|| dropped.set(true));
        children.spawn(SpawnOptions::new(), async move {
            let _flag = flag;
            pending::<()>().await;
        })
    });
    let waker = task.as_ref().waker();
    drop(tasks);
    assert!(!dropped.get());
    waker.wake();
    drop(children);
    assert!(dropped.get());
    assert!(task.is_finished());
}

#[test]
fn children_that_end_while_their_loop_does_not_run_are_on_its_list_no_more() {
    entered(|tasks, _| {
        let children = Children::new();
        let task = children.spawn(SpawnOptions::new(), pending::<()>());
        poll(&children);
        assert_eq!(tasks.len(), 1);
        let elsewhere = Tasks::new(|| ());
        elsewhere.enter(&(), || drop(children));
        assert!(task.is_finished());
        assert!(tasks.is_empty() && all_tasks().is_empty());
    });
}

#[test]
fn the_scope_of_a_child_that_ends_remotely_is_closed_when_its_loop_takes_in_its_messages() {
    entered(|tasks, _| {
        let children = Children::new();
        let task = children.spawn(SpawnOptions::new(), async {
            Scope::new(yield_now()).await.unwrap();
            pending::<()>().await;
        });
        poll(&children);
        assert_eq!(tasks.scopes(), 2, "its own and the one in it");
        poll(&children);
        assert_eq!(tasks.scopes(), 1);
        let elsewhere = Tasks::new(|| ());
        elsewhere.enter(&(), || drop(children));
        drop(task);
        tasks.deliver();
        assert_eq!(tasks.scopes(), 0);
    });
}

// Proves H1.
#[test]
fn a_child_that_ends_all_ends_the_others_at_once_and_itself_after_its_step() {
    entered(|tasks, trace| {
        let children = Rc::new(Children::new());
        let sibling = trace.on_drop("sibling dropped");
        let (own, all, say) = (
            trace.on_drop("itself dropped"),
            children.clone(),
            trace.clone(),
        );
        let first = children.spawn(SpawnOptions::new(), async move {
            let _own = own;
            yield_now().await;
            all.end();
            say.note("ended");
            yield_now().await;
            unreachable!("it is over");
        });
        let second = children.spawn(SpawnOptions::new(), async move {
            let _sibling = sibling;
            pending::<()>().await;
        });
        poll(&children);
        poll(&children);
        assert_eq!(trace.take(), ["sibling dropped", "ended", "itself dropped"]);
        assert!(first.is_finished() && second.is_finished());
        assert!(children.is_empty() && tasks.is_empty());
    });
}

// Proves H2.
#[test]
fn a_destructor_of_a_child_may_end_all_while_all_are_ended() {
    entered(|_, trace| {
        let children = Rc::new(Children::new());
        for words in ["first dropped", "second dropped"] {
            let (all, trace) = (children.clone(), trace.clone());
            let ends_all = OnDrop::new(move || {
                all.end();
                trace.note(words);
            });
            children
                .spawn(SpawnOptions::new(), async move {
                    let _ends_all = ends_all;
                    pending::<()>().await;
                })
                .leave();
        }
        poll(&children);
        children.end();
        assert_eq!(trace.take(), ["second dropped", "first dropped"]);
        assert!(children.is_empty());
    });
}

#[test]
fn a_child_may_run_the_others_and_is_passed_over_itself() {
    entered(|tasks, trace| {
        let children = Rc::new(Children::new());
        let (all, say) = (children.clone(), trace.clone());
        let first = children.spawn(SpawnOptions::new(), async move {
            poll_fn(|cx| {
                cx.waker().wake_by_ref();
                poll(&all);
                say.note("polled");
                Poll::Ready(())
            })
            .await;
            yield_now().await;
        });
        let say = trace.clone();
        let second = children.spawn(SpawnOptions::new(), async move { say.note("second") });
        poll(&children);
        assert_eq!(trace.take(), ["second", "polled"]);
        assert!(second.is_finished());
        poll(&children);
        assert!(first.is_finished() && children.is_empty() && tasks.is_empty());
    });
}

// Proves H5.
#[test]
fn a_child_that_woke_itself_in_its_last_step_leaves_nothing_behind() {
    entered(|tasks, _| {
        let children = Children::new();
        for _ in 0..3 {
            let wakes_itself = poll_fn(|cx| {
                cx.waker().wake_by_ref();
                Poll::Ready(())
            });
            children.spawn(SpawnOptions::new(), wakes_itself).leave();
        }
        poll(&children);
        assert!(children.is_empty() && tasks.is_empty());
        poll(&children);
        children.spawn(SpawnOptions::new(), async {}).leave();
        poll(&children);
        assert!(children.is_empty());
    });
}

#[test]
fn children_belong_to_the_loop_they_began_on() {
    entered(|_, _| {
        let dropped = Cell::new(false);
        let children = Children::new();
        let on_drop = OnDrop::new(|| dropped.set(true));
        children
            .spawn(SpawnOptions::new(), async move {
                let _on_drop = on_drop;
                pending::<()>().await;
            })
            .leave();
        let elsewhere = Tasks::new(|| ());
        elsewhere.enter(&(), || {
            let refused = |f: &dyn Fn()| {
                let payload = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
                assert!(
                    message_of(&*payload).contains("the event loop that it began on"),
                    "{}",
                    message_of(&*payload)
                );
            };
            refused(&|| poll(&children));
            refused(&|| children.spawn(SpawnOptions::new(), async {}).leave());
            assert!(elsewhere.is_empty() && children.len() == 1);
            children.end();
            assert!(dropped.get());
        });
    });
}

#[test]
fn lists_of_children_that_ended_remotely_do_not_add_up() {
    entered(|tasks, _| {
        let elsewhere = Tasks::new(|| ());
        for _ in 0..1000 {
            let children = Children::new();
            children.spawn(SpawnOptions::new(), pending::<()>()).leave();
            elsewhere.enter(&(), || drop(children));
        }
        assert!(format!("{tasks:?}").contains("groups: 4"), "{tasks:?}");
    });
}

#[test]
fn a_body_is_polled_when_it_was_woken_and_not_when_a_child_was() {
    entered(|tasks, trace| {
        let children = Rc::new(Children::new());
        let (all, say) = (children.clone(), trace.clone());
        let task = tasks.spawn(async move {
            let mut child = None;
            poll_fn(move |cx| {
                say.note("step");
                let mut end = Poll::Pending;
                let body = |cx: &mut Context<'_>| {
                    say.note("body");
                    let say = say.clone();
                    let child = child.get_or_insert_with(|| {
                        all.spawn(SpawnOptions::new(), async move {
                            say.note("child");
                            yield_now().await;
                        })
                    });
                    end = child.poll_finished(cx);
                    end
                };
                all.poll_beside(cx, body, |_, _| unreachable!("nobody panics"));
                end
            })
            .await;
        });
        settle(tasks);
        assert!(task.is_finished());
        let expected = ["step", "body", "step", "child", "step", "step", "body"];
        assert_eq!(trace.take(), expected);
        assert_eq!(tasks.len(), 0, "a body is nobody on the list");
    });
}

#[test]
fn wakers_of_a_body_may_be_kept_after_all_is_over() {
    entered(|tasks, _| {
        let kept = Rc::new(Cell::new(None));
        let keep = kept.clone();
        let task = tasks.spawn(async move {
            let children = Children::new();
            poll_fn(|cx| {
                let mut end = Poll::Pending;
                let body = |cx: &mut Context<'_>| {
                    if keep.replace(Some(cx.waker().clone())).is_some() {
                        end = Poll::Ready(());
                        return end;
                    }
                    let waker = cx.waker().clone();
                    std::thread::spawn(move || waker.wake()).join().unwrap();
                    Poll::Pending
                };
                children.poll_beside(cx, body, |_, _| unreachable!("nobody panics"));
                end
            })
            .await;
        });
        settle(tasks);
        assert!(!task.is_finished());
        tasks.deliver();
        settle(tasks);
        assert!(task.is_finished(), "another thread woke it");
        let waker: Waker = kept.take().unwrap();
        waker.wake_by_ref();
        settle(tasks);
        std::thread::spawn(move || drop(waker)).join().unwrap();
    });
}

#[test]
fn a_child_that_ends_all_from_its_cleanup_ends_after_its_step_as_well() {
    for swallows in [false, true] {
        entered(|tasks, trace| {
            let children = Rc::new(Children::new());
            let (own, all, say) = (
                trace.on_drop("itself dropped"),
                children.clone(),
                trace.clone(),
            );
            let child = children.spawn(SpawnOptions::new(), async move {
                let _own = own;
                let cancelled = Scope::new(pending::<()>()).await;
                all.end();
                say.note("ended");
                if let (true, Err(Interrupted::Outer(cancelled))) = (swallows, cancelled) {
                    cancelled.swallow();
                }
                pending::<()>().await;
            });
            poll(&children);
            child.cancel();
            poll(&children);
            assert_eq!(trace.take(), ["ended", "itself dropped"]);
            assert!(child.is_finished() && children.is_empty() && tasks.is_empty());
        });
    }
}

/// The waker of what runs the children is foreign code. If it panics once, it is woken again by the next child.
#[test]
fn a_waker_that_panics_once_does_not_silence_its_children() {
    entered(|_, _| {
        let polls = Cell::new(0);
        let children = Children::new();
        let handles: [_; 2] = std::array::from_fn(|_| {
            let polls = &polls;
            let never = poll_fn(move |_| -> Poll<()> {
                polls.set(polls.get() + 1);
                Poll::Pending
            });
            children.spawn(SpawnOptions::new(), never)
        });
        let woken = Rc::new(Cell::new(0));
        let count = woken.clone();
        let waker = odd_waker(move |event| {
            if event == "wake" {
                count.set(count.get() + 1);
                assert!(count.get() != 1, "this panic is part of the test");
            }
        });
        let mut cx = Context::from_waker(&waker);
        children.poll_woken(&mut cx);
        let [first, second] = &handles;
        let [first, second] = [first, second].map(|child| child.as_ref().waker());
        assert!(catch_unwind(AssertUnwindSafe(|| first.wake_by_ref())).is_err());
        second.wake_by_ref();
        assert_eq!(woken.get(), 2, "the second child wakes it again");
        children.poll_woken(&mut cx);
        assert_eq!(polls.get(), 4);
    });
}
