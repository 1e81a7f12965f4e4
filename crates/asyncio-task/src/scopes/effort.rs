//! The effort of requests to cancel: what many branches cost that each swallow a request and open a scope again.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::Poll;

use futures::future::{FutureExt, LocalBoxFuture};
use futures::stream::{FuturesUnordered, StreamExt};

use crate::cancel::LOOKS;
use crate::{Cancelled, Interrupted, Scope, Tasks};

/// `catch_cancel`, as an executor would write it.
async fn catch<F: Future>(future: F) -> Result<F::Output, Cancelled> {
    match Scope::new(future).await {
        Ok(value) => Ok(value),
        Err(Interrupted::Outer(cancelled)) => Err(cancelled),
        Err(Interrupted::Own) => unreachable!("nobody has its handle"),
    }
}

/// Swallows a request, and waits for the next one.
fn branch(heard: Rc<Cell<usize>>) -> LocalBoxFuture<'static, ()> {
    async move {
        if let Err(cancelled) = catch(pending::<()>()).await {
            heard.set(heard.get() + 1);
            cancelled.swallow();
        }
        drop(catch(pending::<()>()).await);
    }
    .boxed_local()
}

/// How many looks at the scopes it takes until all `n` branches have heard of a request.
fn looks_to_hear<F: Future<Output = ()> + 'static>(
    n: usize,
    combine: impl Fn(Vec<LocalBoxFuture<'static, ()>>) -> F,
) -> u64 {
    let tasks = Tasks::new(|| ());
    let heard = Rc::new(Cell::new(0));
    let looks = tasks.enter(&(), || {
        let task = tasks.spawn(combine((0..n).map(|_| branch(heard.clone())).collect()));
        while tasks.run_one() {}
        let before = LOOKS.get();
        task.cancel();
        while tasks.run_one() {}
        assert_eq!(heard.get(), n);
        assert!(!task.is_finished(), "all have swallowed it");
        LOOKS.get() - before
    });
    drop(tasks);
    looks
}

/// Ten times as many take ten times as many looks, and not a hundred times.
fn assert_linear<F: Future<Output = ()> + 'static>(
    combine: impl Fn(Vec<LocalBoxFuture<'static, ()>>) -> F,
) {
    let few = looks_to_hear(1_000, &combine);
    let many = looks_to_hear(10_000, &combine);
    assert!(many < 12 * few, "{many} looks after {few}");
}

#[test]
fn and_open_again_cost_as_much_each_however_many_they_are() {
    assert_linear(async |branches| {
        let mut all: FuturesUnordered<_> = branches.into_iter().collect();
        while all.next().await.is_some() {}
    });
}

#[test]
fn and_are_polled_one_at_a_time_cost_as_much_each() {
    assert_linear(async |branches| {
        let mut branches = VecDeque::from(branches);
        let mut at_once = branches.len();
        poll_fn(|cx| {
            for _ in 0..std::mem::replace(&mut at_once, 1) {
                branches.rotate_left(1);
                if branches[0].as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
            }
            Poll::Pending
        })
        .await;
    });
}
