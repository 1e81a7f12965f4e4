//! Programs and tests on a tokio runtime that lives for one run.

use std::io;
use std::panic::{Location, resume_unwind};

use asyncio_loop::testing::{Limits, Orders, TestOutcome, run_hosted_test};
use asyncio_loop::{Builder, JoinError, conclude};
use tokio::runtime::{LocalOptions, LocalRuntime};
use tokio::task::spawn_local;

use crate::guest::{Guest, unparks};
use crate::host_waker::HostWaker;
use crate::lent::lend;

/// Runs `main` on a loop of ours, as the guest of a tokio runtime on this thread. Returns the value of `main` after all
/// other tasks of the loop have ended.
///
/// All of tokio works in `main` and its tasks: `tokio::spawn`, `spawn_local`, `spawn_blocking`, `tokio::time`, sockets,
/// and the libraries built on them. Remaining tokio tasks are dropped with the runtime. Blocking jobs that have begun
/// are waited for.
///
/// Ctrl-C cancels `main`, and ends the process by SIGINT afterwards, as in `asyncio::run`. A second Ctrl-C ends the
/// process at once.
///
/// ```
/// # mod asyncio { pub use asyncio_tokio as tokio; }
/// use std::time::Duration;
///
/// let greeting = asyncio::tokio::run(async {
///     let slow = tokio::task::spawn_blocking(|| "hello");
///     tokio::time::sleep(Duration::from_millis(1)).await;
///     slow.await.unwrap()
/// });
/// assert_eq!(greeting, "hello");
/// ```
///
/// `main` may borrow: its future is dropped before this returns.
///
/// # Panics
///
/// A panic of `main` is resumed here. Also panics:
/// - inside a tokio runtime, which has [`Guest`] instead;
/// - if a loop of ours already runs on this thread;
/// - if anything other than a signal cancels `main`;
/// - if the system provides no selector.
#[track_caller]
pub fn run<F: Future>(main: F) -> F::Output {
    run_with(Builder::default(), main)
}

/// Runs `main` like [`run`], on a loop with the settings of `builder`.
///
/// # Panics
///
/// Those of [`run`].
#[track_caller]
pub fn run_with<F: Future>(builder: Builder, main: F) -> F::Output {
    let location = Location::caller();
    let mut value = None;
    // In a box, because a block keeps a future that it awaits twice.
    let main = Box::pin(main);
    let main = async { value = Some(main.await) };
    let (outcome, interrupted_by) = lend(main, |main| {
        let waker = HostWaker::default();
        let guest = asyncio_loop::Guest::at(location, unparks(builder, &waker), main);
        host(guest.unwrap_or_else(|error| cannot(error)), waker)
    });
    let outcome = outcome.map(|()| value.expect("a task that has returned has its value"));
    conclude(outcome, interrupted_by)
}

/// Runs a guest to its end, on a runtime of its own.
fn host<T: 'static>(
    guest: asyncio_loop::Guest<T>,
    waker: HostWaker,
) -> (Result<T, JoinError>, Option<i32>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_io().enable_time();
    let runtime = runtime.build_local(LocalOptions::default());
    let runtime: LocalRuntime = runtime.unwrap_or_else(|error| cannot(error));
    runtime.block_on(async {
        let mut guest = Guest::of(guest, waker).unwrap_or_else(|error| cannot(error));
        // A task of the runtime, not the future of `block_on`: for that one, tokio asks the system after each wake-up.
        let ended = spawn_local(async move {
            let outcome = (&mut guest).await;
            (outcome, guest.interrupted_by())
        });
        match ended.await {
            Ok(ended) => ended,
            Err(error) => resume_unwind(error.into_panic()),
        }
    })
}

fn cannot(error: io::Error) -> ! {
    panic!("cannot create an event loop: {error}")
}

/// Runs a program's `main`, or what a worker does. `#[asyncio::main(host = "tokio")]` expands to it.
#[doc(hidden)]
#[track_caller]
pub fn run_main<F: Future>(builder: Builder, main: F) -> F::Output {
    #[cfg(all(unix, feature = "process"))]
    asyncio_pool::run_if_worker();
    run_with(builder, main)
}

/// Runs a test body. `#[asyncio::test(host = "tokio")]` expands to it.
#[doc(hidden)]
#[track_caller]
pub fn run_test<F>(builder: impl Fn() -> Builder, orders: Orders, body: impl Fn() -> F) -> F::Output
where
    F: Future + 'static,
    F::Output: TestOutcome + 'static,
{
    run_test_within(Limits::DEFAULT, builder, orders, body)
}

/// Runs a test body within limits.
#[doc(hidden)]
#[track_caller]
pub fn run_test_within<F>(
    limits: Limits,
    builder: impl Fn() -> Builder,
    orders: Orders,
    body: impl Fn() -> F,
) -> F::Output
where
    F: Future + 'static,
    F::Output: TestOutcome + 'static,
{
    let waker = HostWaker::default();
    let builder = || unparks(builder(), &waker);
    run_hosted_test(
        |guest| host(guest, waker.clone()).0,
        limits,
        builder,
        orders,
        body,
    )
}
