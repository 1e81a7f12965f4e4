//! Many futures, some at a time: the bound, the order, errors, requests, and borrowed work.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::pending;
use std::panic::catch_unwind;
use std::time::Duration;

use asyncio::{
    TimedOut, as_completed, as_completed_bounded, for_each_bounded, gather_bounded, on_cancel,
    sleep, spawn, time, timeout, try_gather_bounded,
};
use asyncio_tests::{Trace, ms, secs};
use futures::{StreamExt, stream};

/// How many run at a time, and the most that did.
#[derive(Default)]
struct Running {
    now: Cell<usize>,
    most: Cell<usize>,
    begun: Cell<usize>,
}

impl Running {
    async fn work<T>(&self, length: Duration, value: T) -> T {
        self.begun.set(self.begun.get() + 1);
        self.now.set(self.now.get() + 1);
        self.most.set(self.most.get().max(self.now.get()));
        sleep(length).await;
        self.now.set(self.now.get() - 1);
        value
    }
}

#[asyncio::test(order = 10)]
async fn gather_keeps_the_bound_and_the_order() {
    let (running, start, taken) = (Running::default(), time(), Cell::new(0));
    let futures = (0..10_u64).map(|n| {
        taken.set(n + 1);
        running.work(secs(1 + n % 2), n)
    });
    let all = async {
        let outputs = gather_bounded(3, futures).await;
        assert_eq!(outputs, (0..10).collect::<Vec<_>>());
    };
    let watch = async {
        sleep(ms(500)).await;
        assert_eq!(taken.get(), 3); // no more than have a place
    };
    asyncio::gather((all, watch)).await;
    assert_eq!(running.most.get(), 3);
    assert!(time() - start >= secs(5));
}

#[asyncio::test]
async fn nothing_is_gathered_at_once() {
    let nothing: [std::future::Ready<()>; 0] = [];
    assert!(gather_bounded(1, nothing).await.is_empty());
}

#[asyncio::test]
async fn a_bound_of_zero_panics_at_the_call() {
    let calls: [fn(); 4] = [
        || drop(gather_bounded(0, [async {}])),
        || drop(try_gather_bounded(0, [async { Ok::<(), ()>(()) }])),
        || {
            drop(for_each_bounded(0, stream::iter([1]), async |_| {
                Ok::<(), ()>(())
            }))
        },
        || drop(as_completed_bounded(0, [async {}])),
    ];
    for call in calls {
        let payload = catch_unwind(call).unwrap_err();
        let message = payload.downcast_ref::<&str>().copied();
        assert_eq!(message, Some("`limit` must be at least 1"));
    }
}

#[asyncio::test]
async fn the_first_error_ends_the_rest_and_begins_no_more() {
    let (trace, begun) = (Trace::default(), Cell::new(0));
    let work = async |n: u64| {
        begun.set(begun.get() + 1);
        let cleanup = async {
            sleep(secs(1)).await;
            trace.note(format!("{n} cleaned up"));
        };
        match n {
            1 => Err("failed"),
            n => {
                on_cancel(sleep(secs(n)), cleanup).await;
                Ok(())
            }
        }
    };
    let futures = [9, 8, 1, 7, 6].map(work);
    let start = time();
    assert_eq!(try_gather_bounded(3, futures).await, Err("failed"));
    assert_eq!((begun.get(), time() - start), (3, secs(1)));
    assert_eq!(trace.take(), ["9 cleaned up", "8 cleaned up"]);
}

/// When the iterator is asked for each of four futures, with one place. Each takes a second.
fn asked<'a, F: Future>(
    times: &'a RefCell<Vec<Duration>>,
    work: impl Fn(usize) -> F + 'a,
) -> impl Iterator<Item = F> + 'a {
    let start = time();
    (0..4).map(move |n| {
        times.borrow_mut().push(time() - start);
        work(n)
    })
}

#[asyncio::test]
async fn the_iterator_is_asked_for_a_future_when_there_is_a_place() {
    let times = RefCell::default();
    gather_bounded(1, asked(&times, |_| sleep(secs(1)))).await;
    assert_eq!(times.take(), [0, 1, 2, 3].map(secs));
    let works = async |_| {
        sleep(secs(1)).await;
        Ok::<_, ()>(())
    };
    try_gather_bounded(1, asked(&times, works)).await.unwrap();
    assert_eq!(times.take(), [0, 1, 2, 3].map(secs));
}

#[asyncio::test]
async fn the_iterator_is_asked_for_none_that_would_not_begin() {
    let times = RefCell::default();
    let fails = async |n| {
        sleep(secs(1)).await;
        if n == 1 { Err("failed") } else { Ok(()) }
    };
    assert!(try_gather_bounded(1, asked(&times, fails)).await.is_err());
    assert_eq!(times.take(), [0, 1].map(secs));
    let is_cancelled = async |n| {
        sleep(secs(1)).await;
        if n == 1 {
            asyncio::current_task().unwrap().cancel();
            pending().await
        }
    };
    let all = gather_bounded(1, asked(&times, is_cancelled));
    assert!(asyncio::catch_cancel(all).await.is_err());
    assert_eq!(times.take(), [0, 1].map(secs));
}

#[asyncio::test]
async fn a_request_reaches_those_that_run() {
    let (trace, running) = (Trace::default(), Running::default());
    let futures = (0..5).map(|n| {
        let (trace, running) = (&trace, &running);
        on_cancel(running.work(secs(9), ()), async move {
            trace.note(format!("{n} ends"))
        })
    });
    assert_eq!(
        timeout(secs(1), gather_bounded(2, futures)).await,
        Err(TimedOut)
    );
    assert_eq!(trace.take(), ["0 ends", "1 ends"]);
    assert_eq!(running.begun.get(), 2);
}

#[asyncio::test]
async fn one_that_is_cancelled_as_a_task_cancels_all() {
    let futures = (0..9).map(async |n| {
        if n == 1 {
            asyncio::current_task().unwrap().cancel();
        }
        pending::<()>().await;
    });
    let all = timeout(secs(1), gather_bounded(2, futures));
    assert!(asyncio::catch_cancel(all).await.is_err());
}

mod streams {
    use super::*;

    #[asyncio::test(order = 10)]
    async fn are_polled_when_there_is_a_place() {
        let (running, polled) = (Running::default(), Cell::new(0));
        let items = stream::iter(0..20).inspect(|_| polled.set(polled.get() + 1));
        let sum = Cell::new(0);
        let all = for_each_bounded(4, items, async |n| {
            assert!(polled.get() <= running.begun.get() + 4);
            let n = running.work(secs(1), n).await;
            sum.set(sum.get() + n);
            Ok::<(), Infallible>(())
        });
        let start = time();
        assert_eq!(all.await, Ok(()));
        assert_eq!(
            (sum.get(), running.most.get(), time() - start),
            (190, 4, secs(5))
        );
    }

    #[asyncio::test]
    async fn that_fail_in_their_work_are_dropped_with_the_rest() {
        let items = stream::iter(0..).then(async |n| {
            sleep(secs(1)).await;
            n
        });
        let done = RefCell::new(Vec::new());
        let outcome = for_each_bounded(2, items, async |n| {
            sleep(ms(1500)).await;
            done.borrow_mut().push(n);
            if n < 3 { Ok(()) } else { Err(n) }
        });
        assert_eq!(outcome.await, Err(3));
        assert_eq!(done.into_inner(), [0, 1, 2, 3]);
    }

    #[asyncio::test]
    async fn that_wait_leave_the_work_its_places() {
        let start = time();
        let items = stream::iter(0..3).then(async |n| {
            sleep(secs(1)).await;
            n
        });
        let all = for_each_bounded(1, items, async |_| {
            sleep(secs(1)).await;
            Ok::<(), Infallible>(())
        });
        assert_eq!(all.await, Ok(()));
        assert_eq!(time() - start, secs(6)); // an item is taken when there is a place for it
    }
}

mod completed {
    use super::*;

    #[asyncio::test]
    async fn come_in_order_of_their_ends_and_few_at_a_time() {
        let mut dishes = as_completed_bounded(
            2,
            [5, 1, 3, 1].map(async |n| {
                sleep(secs(n)).await;
                n
            }),
        );
        let mut served = Vec::new();
        while let Some(dish) = dishes.next().await {
            served.push((dish.await.unwrap(), asyncio::all_tasks().len()));
        }
        assert_eq!(
            served.iter().map(|dish| dish.0).collect::<Vec<_>>(),
            [1, 3, 5, 1]
        );
        assert!(served.iter().all(|dish| dish.1 <= 3), "{served:?}"); // with main
    }

    #[asyncio::test]
    async fn can_be_added_for_ever_without_growing() {
        let mut done = as_completed([]);
        assert!(done.next().await.is_none());
        for n in 0..1000 {
            done.push(spawn(async move { n }));
            assert_eq!(done.len(), 1);
            assert_eq!(done.next().await.unwrap().await.unwrap(), n);
        }
        assert!(done.next().await.is_none());
        done.push(spawn(pending()));
        assert_eq!(done.into_remaining().len(), 1);
    }
}
