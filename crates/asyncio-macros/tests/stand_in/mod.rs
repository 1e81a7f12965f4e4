//! A facade of nothing but what the attributes name, so that this crate is tested alone.
//!
//! It polls a future in a loop and writes down what it was asked for. The surface is the one the
//! real facade has: `Runner::builder()` and, in `__private`, `run_main`, `run_test` and `Orders`.

/// Where the attributes start from.
#[derive(Debug)]
pub(crate) struct Runner;

impl Runner {
    /// A builder with nothing set.
    pub(crate) fn builder() -> Builder {
        Builder::default()
    }
}

/// What the attributes set.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Builder {
    /// `debug = …`
    pub(crate) debug: bool,
    /// `clock = "virtual"`
    pub(crate) virtual_time: bool,
    /// `budget = …`
    pub(crate) task_budget: Option<u32>,
}

impl Builder {
    /// As on the real builder.
    pub(crate) fn debug(self, debug: bool) -> Self {
        Builder { debug, ..self }
    }

    /// As on the real builder.
    pub(crate) fn virtual_time(self, virtual_time: bool) -> Self {
        Builder {
            virtual_time,
            ..self
        }
    }

    /// As on the real builder.
    pub(crate) fn task_budget(self, steps: u32) -> Self {
        Builder {
            task_budget: Some(steps),
            ..self
        }
    }
}

/// What the attributes call.
pub(crate) mod __private {
    use std::cell::RefCell;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::Builder;

    thread_local! {
        /// The builder and the orders of the last run on this thread.
        pub(crate) static LAST: RefCell<Option<(Builder, Orders)>> = const { RefCell::new(None) };
    }

    /// As in the real facade.
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub(crate) enum Orders {
        /// No `order`.
        AsQueued,
        /// `order = 10`
        Random(u64),
        /// `order = [1, 2]`
        Seeds(&'static [u64]),
    }

    /// Runs `main` to its end.
    pub(crate) fn run_main<F: Future>(runner: Builder, main: F) -> F::Output {
        LAST.set(Some((runner, Orders::AsQueued)));
        let mut main = pin!(main);
        loop {
            let context = &mut Context::from_waker(Waker::noop());
            if let Poll::Ready(output) = main.as_mut().poll(context) {
                return output;
            }
        }
    }

    /// Runs `test` once for each order; the real one stops at the first that fails.
    pub(crate) fn run_test<F, Fut>(runner: fn() -> Builder, orders: Orders, test: F) -> Fut::Output
    where
        F: Fn() -> Fut,
        Fut: Future,
    {
        let runs = match orders {
            Orders::AsQueued => 1,
            Orders::Random(count) => count,
            Orders::Seeds(seeds) => seeds.len() as u64,
        };
        for _ in 1..runs {
            run_main(runner(), test());
        }
        let output = run_main(runner(), test());
        LAST.set(Some((runner(), orders)));
        output
    }
}
