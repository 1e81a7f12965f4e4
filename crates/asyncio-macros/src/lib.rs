//! The macros of asyncio: the attributes [`main`](macro@main), [`test`](macro@test) and [`remote`](macro@remote), and
//! the expansion of `asyncio::select!`.
//!
//! The first two attributes turn an `async fn` into a plain function that runs it on an event loop:
//!
//! ```
//! use std::time::Duration;
//!
//! #[asyncio::main]
//! async fn main() {
//!     asyncio::sleep(Duration::from_millis(10)).await;
//! }
//! ```
//!
//! Use the attributes through the facade: their expansion uses the absolute path `::asyncio`. This
//! crate depends on no other crate of the project. The facade's `Builder` documents the options.

mod options;

mod function;

mod expand;

mod remote;

mod select;

use proc_macro::TokenStream;

/// Runs an `async fn` on a new event loop, as `asyncio.run` does in Python.
///
/// A program that was started as a worker of a process pool becomes one instead.
///
/// The function may return any type that a plain `main` may return. It takes no arguments, and any
/// name is allowed.
///
/// ```
/// #[asyncio::main(debug = true)]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let port: u16 = "8080".parse()?;
///     println!("would listen on {port}");
///     Ok(())
/// }
/// ```
///
/// # Options
///
/// | option | meaning | default |
/// |---|---|---|
/// | `debug = true` | debug mode: reports slow steps, tasks dropped before they began, and task errors that nobody read | on if `ASYNCIO_DEBUG` is set |
/// | `clock = "virtual"` | virtual time, which jumps to the next deadline when no task can run | `"real"` |
/// | `sigterm = true` | SIGTERM cancels `main`, as Ctrl-C does; see `asyncio::Builder::sigterm` | SIGTERM ends the process |
/// | `budget = 64` | the number of steps in a turn, after which the loop polls I/O and timers | the loop's default |
/// | `host = "tokio"` | runs the loop as a guest of tokio, with the feature `tokio`; see `asyncio::tokio` | a loop that waits by itself |
/// | `crate = "path"` | the path to asyncio, if the dependency is renamed or re-exported | `"::asyncio"` |
#[proc_macro_attribute]
pub fn main(options: TokenStream, item: TokenStream) -> TokenStream {
    expand::main(options.into(), item.into()).into()
}

/// Turns an `async fn` into a test that runs on a new event loop, in virtual time.
///
/// In virtual time an hour of sleep takes no real time, and tasks run in the same order in each
/// run. The function may return any type that a plain test may return. It keeps `#[should_panic]`
/// and other attributes.
///
/// A test fails in these cases:
///
/// - It runs longer than its limits, or closing its loop does.
/// - Its virtual time stands still for a second of real time, with no ready task, no timer, and no outside work.
/// - The exception handler was called: a task panicked that nobody awaits, say. A test that expects
///   that takes the reports with `asyncio::testing::take_reports()`, or sets a handler of its own.
///
/// A run of more than five seconds on virtual time prints its progress on standard error.
///
/// The message of a test that exceeds a limit lists the tasks, the place where each was spawned, and, where known, what
/// each awaits.
///
/// Outside work is work of another thread that the test waits for. That thread must hold
/// `LoopHandle::outside_work()`. A `thread_queue` and a `ThreadFuture` hold it by themselves. While
/// outside work is pending, virtual time passes at the rate of real time.
///
/// ```
/// use std::time::Duration;
///
/// #[asyncio::test]
/// async fn an_hour_passes_at_once() {
///     asyncio::sleep(Duration::from_secs(3600)).await;
/// }
///
/// // Runs ten times, each time in another order of the ready tasks.
/// #[asyncio::test(order = 10)]
/// async fn a_task_starts_in_any_order() {
///     let sum = asyncio::spawn(async { 1 + 2 });
///     asyncio::yield_now().await;
///     assert_eq!(sum.await.unwrap(), 3);
/// }
/// # fn main() {}
/// ```
///
/// # Options
///
/// | option | meaning | default |
/// |---|---|---|
/// | `clock = "real"` | the system's clock, for sockets and threads | `"virtual"` |
/// | `order = 10` | runs the test ten times, each time with a random order of the ready tasks; a failing run prints its seed | one run, first in, first out |
/// | `order = [7, 8]` | runs the test once with each seed, to repeat a failure | |
/// | `timeout = "5 min"` | the limit on real time: a number and a unit (`ms`, `s`, `min`, `h`, `days`, `years`), or `"never"` | `"60 s"` |
/// | `virtual_timeout = "1 h"` | the limit on virtual time | `"10 years"` |
/// | `debug = true` | debug mode: reports slow steps, tasks dropped before they began, and task errors that nobody read | on if `ASYNCIO_DEBUG` is set |
/// | `budget = 64` | the number of steps in a turn, after which the loop polls I/O and timers | the loop's default |
/// | `host = "tokio"` | runs the loop as a guest of tokio, with the feature `tokio`. The clock is `"real"` then; a virtual one moves for the guest only | a loop that waits by itself |
/// | `crate = "path"` | the path to asyncio, if the dependency is renamed or re-exported | `"::asyncio"` |
#[proc_macro_attribute]
pub fn test(options: TokenStream, item: TokenStream) -> TokenStream {
    expand::test(options.into(), item.into()).into()
}

/// Lists a function as one that the workers of a `ProcessPool` can call.
///
/// The function may be `async`: it then runs on an event loop of its own in the worker. Its arguments and its value are
/// owned, and have serde's `Serialize` and `Deserialize`. A `Result` is sent as it is. The function stays as it is: a
/// plain call runs it in the calling process.
///
/// ```no_run
/// use asyncio::ProcessPool;
///
/// #[asyncio::remote]
/// fn crunch(n: u64) -> u64 {
///     (1..=n).sum()
/// }
///
/// #[asyncio::remote]
/// async fn scaled(n: u64, by: f64) -> Result<f64, String> {
///     asyncio::yield_now().await;
///     if by == 0.0 { Err("by nothing".to_owned()) } else { Ok(n as f64 * by) }
/// }
///
/// #[asyncio::main]
/// async fn main() -> Result<(), asyncio::ProcessError> {
///     let pool = ProcessPool::new();
///     assert_eq!(crunch(10), 55); // here
///     assert_eq!(pool.run(crunch, 10).await?, 55); // in a worker
///     assert_eq!(pool.run(scaled, (3, 1.5)).await?, Ok(4.5));
///     Ok(())
/// }
/// ```
///
/// # Options
///
/// | option | meaning | default |
/// |---|---|---|
/// | `crate = "path"` | the path to asyncio, if the dependency is renamed or re-exported | `"::asyncio"` |
#[proc_macro_attribute]
pub fn remote(options: TokenStream, item: TokenStream) -> TokenStream {
    remote::remote(options.into(), item.into()).into()
}

/// The expansion of the facade's `select!`, which puts its own path in front of the arms.
#[doc(hidden)]
#[proc_macro]
pub fn select(input: TokenStream) -> TokenStream {
    select::select(input.into()).into()
}

/// Compiles the examples of the README as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
