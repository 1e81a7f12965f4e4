//! Tasks that wake themselves: the cost of an empty poll.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::Work;
use crate::effort::Effort;
use crate::figures::Figures;
use crate::meter::measure;
use crate::runtime::Runtime;
use crate::workload::{Column, Countable, Rows, Workload};

/// Lets others run once. It is the same future for all, because some runtimes treat their own `yield_now` specially.
pub(crate) fn yield_now() -> Yield {
    Yield { yielded: false }
}

/// Wakes itself and is pending once.
#[derive(Debug)]
pub(crate) struct Yield {
    yielded: bool,
}

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The main future yields, alone.
#[derive(Debug)]
pub(crate) struct YieldMain;

impl Work for YieldMain {
    const WORKLOAD: Workload = Workload {
        name: "yield-main",
        what: "yield, the main future alone",
        columns: &[Column::CPU],
        countable: Countable::Worker(20, 120),
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        Some(R::block_on(measure(effort, 1_000, async || {
            for _ in 0..1_000 {
                yield_now().await;
            }
        })))
    }
}

/// Several tasks yield in turn.
#[derive(Debug)]
pub(crate) struct Yields<const TASKS: u64>;

impl<const TASKS: u64> Yields<TASKS> {
    /// Enough yields to make the cost of the tasks negligible.
    const TURNS: u64 = match TASKS {
        1 => 10_000,
        100 => 1_000,
        1_000 => 500,
        _ => 100,
    };
}

/// The workloads of [`Yields`].
const YIELDS: &Rows = &[
    (1, "yield-1", "yield, one task alone"),
    (100, "yield-100", "yield among 100 tasks"),
    (1_000, "yield-1000", "yield among 1000 tasks"),
    (20_000, "yield-20000", "yield among 20,000 tasks"),
];

impl<const TASKS: u64> Work for Yields<TASKS> {
    const WORKLOAD: Workload = Workload {
        name: "",
        what: "",
        columns: &[Column::CPU],
        countable: Countable::Worker(1, 3),
        traffic: None,
    }
    .in_row(YIELDS, TASKS);

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        Some(R::block_on(async move {
            let unfair = f64::from(u8::from(!takes_turns::<R>().await));
            let mut tasks = Vec::with_capacity(TASKS as usize);
            measure(effort, TASKS * Self::TURNS, async || {
                for _ in 0..TASKS {
                    tasks.push(R::spawn(async {
                        for _ in 0..Self::TURNS {
                            yield_now().await;
                        }
                    }));
                }
                for task in tasks.drain(..) {
                    R::join(task).await;
                }
            })
            .await
            .with("unfair", unfair)
        }))
    }
}

/// Whether a task that yields lets another run before its own next turn. Otherwise the figure would be of something
/// else: the same task is polled again and again, warm in the cache.
async fn takes_turns<R: Runtime>() -> bool {
    let order = Rc::new(RefCell::new(Vec::new()));
    let tasks: Vec<_> = (0..3)
        .map(|number| {
            let order = Rc::clone(&order);
            R::spawn(async move {
                for _ in 0..3 {
                    order.borrow_mut().push(number);
                    yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        R::join(task).await;
    }
    let order = order.borrow();
    order.windows(2).all(|pair| pair[0] != pair[1])
}

/// A thousand tasks yield in turn by the runtime's own `yield_now`.
#[derive(Debug)]
pub(crate) struct OwnYield;

impl Work for OwnYield {
    const WORKLOAD: Workload = Workload {
        name: "yield-own-1000",
        what: "the runtime's own yield_now among 1000 tasks",
        columns: &[Column::CPU],
        countable: Countable::Worker(1, 3),
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        const TASKS: u64 = 1_000;
        const TURNS: u64 = 200;
        R::CAN.own_yield.then(|| {
            R::block_on(measure(effort, TASKS * TURNS, async || {
                let tasks: Vec<_> = (0..TASKS)
                    .map(|_| {
                        R::spawn(async {
                            for _ in 0..TURNS {
                                R::own_yield().await;
                            }
                        })
                    })
                    .collect();
                for task in tasks {
                    R::join(task).await;
                }
            }))
        })
    }
}
