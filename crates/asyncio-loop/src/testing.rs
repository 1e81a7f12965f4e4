//! The runner behind `#[asyncio::test]`: runs a test body, once or in several orders of the ready
//! tasks, within limits.

use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::pin;
use std::time::Duration;

use asyncio_task::JoinError;

use crate::builder::Builder;
use crate::clock::NEVER;
use crate::current;
use crate::guest::Guest;
pub use crate::limits::Limits;
use crate::runner::run_limited;
use crate::sleep::sleep;

/// The reports to the exception handler in this test since the last call, a line each.
///
/// A test fails if a report is left at its end. Reported are a panic that no task awaits, an error of a detached task,
/// and a task that the closing loop dropped. A test that expects such a report takes it:
///
/// ```
/// # mod asyncio { pub use asyncio_loop::*; }
/// # use asyncio_loop::Builder;
/// # use asyncio_loop::testing::{Orders, run_test};
/// use asyncio::testing::take_reports;
/// use asyncio::{spawn, yield_now};
///
/// # let builder = || Builder::default().virtual_time(true);
/// # run_test(builder, Orders::AsQueued, async || {
/// spawn(async { Err::<(), _>("no route") }).detach();
/// yield_now().await;
/// let reports = take_reports();
/// assert_eq!(reports.len(), 1);
/// assert!(reports[0].contains("no route"));
/// # });
/// ```
///
/// Each line names the task and the place where it was spawned. A test that sets a handler with
/// [`set_exception_handler`](crate::set_exception_handler) decides for itself, and has no reports here.
///
/// # Panics
///
/// Without a running loop, and outside of an `#[asyncio::test]`.
#[must_use]
#[track_caller]
pub fn take_reports() -> Vec<String> {
    let reports = current::with(|core| core.take_reports());
    reports.expect("`take_reports` works in an `#[asyncio::test]` only")
}

/// Moves virtual time forward by `duration` at once, and lets the tasks run that wait for what is due then.
///
/// A [`sleep`](crate::sleep()) on virtual time lets each timer in between come at its own time. After `advance`, all of
/// them come together and late, in the order of their deadlines, as after a step that has blocked the thread. So it is
/// for code that must cope with late timers. The tasks that wait for them run before this returns.
///
/// ```
/// # mod asyncio { pub use asyncio_loop::*; }
/// use asyncio::testing::advance;
/// use asyncio::{sleep, spawn, time};
/// use std::time::Duration;
///
/// # asyncio_loop::run_with(asyncio_loop::Builder::default().virtual_time(true), async {
/// let start = time();
/// let late = spawn(async move {
///     sleep(Duration::from_secs(1)).await;
///     time() - start
/// });
/// asyncio::yield_now().await; // it sleeps now
/// advance(Duration::from_secs(10)).await;
/// assert_eq!(late.await.unwrap(), Duration::from_secs(10));
/// # });
/// ```
///
/// # Panics
///
/// Without a running loop, and on real time. If virtual time would come to its end, 584 years after the loop began.
pub async fn advance(duration: Duration) {
    let mut reached = pin!(sleep(duration));
    let mut has_advanced = false;
    poll_fn(|cx| {
        // Its timer is set before time moves, and comes after those that are due by then.
        let poll = reached.as_mut().poll(cx);
        if !std::mem::replace(&mut has_advanced, true) {
            current::with(|core| {
                let clock = &core.timers.clock;
                assert!(
                    clock.is_virtual(),
                    "only virtual time can be advanced: `#[asyncio::test]`, `clock = \"virtual\"`"
                );
                let end = clock.after(duration);
                assert!(
                    end < NEVER,
                    "virtual time has no {duration:?} left: it ends after 584 years"
                );
                clock.advance_to(end);
            });
        }
        poll
    })
    .await;
}

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
    fn an_error_and_an_exit_code_other_than_success_are_failures() {
        use std::process::ExitCode;
        assert!(
            !().is_failure() && !Ok::<_, ()>(()).is_failure() && !ExitCode::SUCCESS.is_failure()
        );
        assert!(Err::<(), _>(()).is_failure() && ExitCode::FAILURE.is_failure());
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
