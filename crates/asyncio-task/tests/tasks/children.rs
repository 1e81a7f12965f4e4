//! Children that borrow, where they meet the loop: what it sees of them, and what is left when they end.

use std::future::pending;
use std::task::{Context, Waker};

use asyncio_task::{Children, SpawnOptions, Tasks, all_tasks};

use crate::support::{entered, settle};

fn poll(children: &Children<'_>) {
    children.poll_woken(&Context::from_waker(Waker::noop()));
}

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
fn a_loop_that_closes_passes_over_children_and_they_may_outlive_it() {
    let dropped = std::cell::Cell::new(false);
    let children = Children::new();
    let tasks = Tasks::new(|| ());
    let task = tasks.enter(&(), || {
        let flag = crate::support::OnDrop::new(|| dropped.set(true));
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
fn a_child_that_ends_while_its_loop_does_not_run_is_forgotten_when_it_does() {
    entered(|tasks, _| {
        let children = Children::new();
        let task = children.spawn(SpawnOptions::new(), pending::<()>());
        poll(&children);
        let elsewhere = Tasks::new(|| ());
        elsewhere.enter(&(), || drop(children));
        assert!(task.is_finished());
        assert_eq!(tasks.len(), 1);
        tasks.deliver();
        assert!(tasks.is_empty());
    });
}
