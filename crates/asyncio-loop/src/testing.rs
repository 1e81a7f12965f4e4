//! The runner behind `#[asyncio::test]`: runs a test body, once or in several orders of the ready
//! tasks, within limits.

use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};

use asyncio_task::JoinError;

use crate::builder::Builder;
use crate::guest::Guest;
pub use crate::limits::Limits;
use crate::runner::run_limited;

/// The orders in which a test is run.
#[derive(Clone, Copy, Debug)]
pub enum Orders {
    /// Once, first in, first out.
    AsQueued,
    /// This many times, each time shuffled with another seed. The seed is printed if the test
    /// fails.
    Random(u64),
    /// Once per seed.
    Seeds(&'static [u64]),
}

/// Runs a test body like [`run_test_within`], within the default limits.
///
/// # Panics
///
/// Those of [`run_test_within`].
#[track_caller]
pub fn run_test<F: Future>(
    builder: impl Fn() -> Builder,
    orders: Orders,
    body: impl Fn() -> F,
) -> F::Output
where
    F::Output: TestOutcome,
{
    run_test_within(Limits::DEFAULT, builder, orders, body)
}

/// Runs a test body on a loop of its own, once for each order. Returns the first failure.
///
/// # Panics
///
/// If the body panics, after printing the seed. If a run exceeds its limits, or stands still on
/// virtual time, with a list of the tasks.
#[track_caller]
pub fn run_test_within<F: Future>(
    limits: Limits,
    builder: impl Fn() -> Builder,
    orders: Orders,
    body: impl Fn() -> F,
) -> F::Output
where
    F::Output: TestOutcome,
{
    let location = Location::caller();
    let run = |builder| run_limited(builder, limits, location, body());
    run_in_orders(orders, builder, run)
}

/// Runs a test body like [`run_test_within`], on loops that a host turns. `host` turns a guest to its end, which is a
/// panic if a run exceeds its limits.
///
/// # Panics
///
/// Those of [`run_test_within`].
#[track_caller]
pub fn run_hosted_test<F>(
    host: impl Fn(Guest<F::Output>) -> Result<F::Output, JoinError>,
    limits: Limits,
    builder: impl Fn() -> Builder,
    orders: Orders,
    body: impl Fn() -> F,
) -> F::Output
where
    F: Future + 'static,
    F::Output: TestOutcome + 'static,
{
    let location = Location::caller();
    let run = |builder: Builder| {
        let guest = match Guest::at(location, builder.with_limits(limits), body()) {
            Ok(guest) => guest,
            Err(error) => panic!("cannot create an event loop: {error}"),
        };
        match host(guest) {
            Ok(output) => output,
            Err(JoinError::Panicked(_, payload)) => payload.resume(),
            Err(error) => panic!("{error}"),
        }
    };
    run_in_orders(orders, builder, run)
}

/// Calls `run` once for each order. Returns the first failure.
fn run_in_orders<T: TestOutcome>(
    orders: Orders,
    builder: impl Fn() -> Builder,
    run: impl Fn(Builder) -> T,
) -> T {
    let seeds: Vec<u64> = match orders {
        Orders::AsQueued => return run(builder()),
        Orders::Seeds(seeds) => seeds.to_vec(),
        Orders::Random(count) => (0..count).map(|n| RandomState::new().hash_one(n)).collect(),
    };
    let (last, others) = seeds.split_last().expect("a test has at least one order");
    let run = |seed: u64| {
        let once = AssertUnwindSafe(|| run(builder().order_seed(seed)));
        let outcome = catch_unwind(once);
        if outcome.as_ref().map_or(true, TestOutcome::is_failure) {
            eprintln!("this failed under `order = [{seed}]`");
        }
        outcome.unwrap_or_else(|payload| resume_unwind(payload))
    };
    for &seed in others {
        let outcome = run(seed);
        if outcome.is_failure() {
            return outcome;
        }
    }
    run(*last)
}

/// The return types of a test: `()`, a `Result`, or an `ExitCode`, as for plain tests.
#[diagnostic::on_unimplemented(
    message = "a test returns `()`, a `Result` or an `ExitCode`, not `{Self}`",
    label = "this test returns `{Self}`"
)]
pub trait TestOutcome {
    /// Whether the test failed without a panic.
    fn is_failure(&self) -> bool;
}

impl TestOutcome for () {
    fn is_failure(&self) -> bool {
        false
    }
}

impl<T, E> TestOutcome for Result<T, E> {
    fn is_failure(&self) -> bool {
        self.is_err()
    }
}

impl TestOutcome for std::process::ExitCode {
    fn is_failure(&self) -> bool {
        *self != Self::SUCCESS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn seen(orders: Orders) -> Vec<String> {
        let all = RefCell::new(Vec::new());
        run_test(
            || Builder::default().virtual_time(true),
            orders,
            async || {
                let trace = std::rc::Rc::new(RefCell::new(String::new()));
                let tasks: Vec<_> = ('a'..'g')
                    .map(|name| {
                        let trace = trace.clone();
                        crate::spawn(async move { trace.borrow_mut().push(name) })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
                all.borrow_mut().push(trace.take());
            },
        );
        all.into_inner()
    }

    #[test]
    fn tasks_run_first_in_first_out_without_a_seed() {
        assert_eq!(seen(Orders::AsQueued), ["abcdef"]);
        let shuffled = seen(Orders::Seeds(&[1, 2, 1]));
        assert_eq!(shuffled[0], shuffled[2]);
        assert_ne!(shuffled[0], shuffled[1]);
        assert_eq!(seen(Orders::Random(5)).len(), 5);
    }

    #[test]
    fn the_first_failure_is_returned() {
        let runs = std::cell::Cell::new(0);
        let outcome = run_test(Builder::default, Orders::Seeds(&[1, 2, 3]), async || {
            runs.set(runs.get() + 1);
            if runs.get() == 2 {
                Err("the second")
            } else {
                Ok(())
            }
        });
        assert_eq!((outcome, runs.get()), (Err("the second"), 2));
    }
}
