//! The attributes of asyncio: [`main`](macro@main) and [`test`](macro@test).
//!
//! They turn an `async fn` into a plain function that runs it on an event loop:
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
//! Use them through the facade: what they write names it by its absolute path, `::asyncio`, and
//! this crate uses no other of ours. What a loop does with the options is told there.

mod expand;
mod function;
mod options;

use proc_macro::TokenStream;

/// Runs an `async fn` on an event loop of its own, as `asyncio.run` does in Python.
///
/// The function may return anything a plain `main` may. It takes no arguments and need not be
/// called `main`.
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
/// | option | what it sets | if left out |
/// |---|---|---|
/// | `debug = true` | debug mode: slow steps, forgotten tasks and forgotten errors are reported | as the environment says |
/// | `clock = "virtual"` | time that jumps to the next deadline when nothing can run | `"real"` |
/// | `budget = 64` | how many steps a turn runs before it looks at the system again | the loop's default |
/// | `crate = "path"` | where asyncio is found, if it was renamed or is re-exported | `"::asyncio"` |
#[proc_macro_attribute]
pub fn main(options: TokenStream, item: TokenStream) -> TokenStream {
    expand::main(options.into(), item.into()).into()
}

/// Makes an `async fn` a test that runs on an event loop of its own, in virtual time.
///
/// An hour of sleeping ends at once, and in the same order each time. The function may return
/// what a plain test may, and keeps `#[should_panic]` and other attributes.
///
/// A test fails if its virtual time stands still: for a second of real time no task could run, no timer was set and
/// nothing outside of the loop was known to be pending. It fails as well if it takes longer than its limits, and if
/// closing its loop does. The message lists the tasks, where each was spawned, and what each waits for, as far as that
/// is known. A thread that the test waits for holds `LoopHandle::outside_work()`, unless the wait is for an item of a
/// `thread_queue` or for a `ThreadFuture`, which hold it by themselves. While something outside is pending, virtual
/// time passes as real time does.
///
/// ```
/// use std::time::Duration;
///
/// #[asyncio::test]
/// async fn an_hour_passes_at_once() {
///     asyncio::sleep(Duration::from_secs(3600)).await;
/// }
///
/// // Ten times, each in another order of the tasks that are ready at once.
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
/// | option | what it sets | if left out |
/// |---|---|---|
/// | `clock = "real"` | the system's clock, for sockets and threads | `"virtual"` |
/// | `order = 10` | run the test so many times, each with its own random order of what is ready at once; the seed of a run that fails is printed | once, first in, first out |
/// | `order = [7, 8]` | the same with these seeds, to run a failure again | |
/// | `timeout = "5 min"` | how much real time the test may take: a number and one of `ms`, `s`, `min`, `h`, `days`, `years`, or `"never"` for no limit | `"60 s"` |
/// | `virtual_timeout = "1 h"` | how much virtual time it may take | `"10 years"` |
/// | `debug = true` | debug mode: slow steps, forgotten tasks and forgotten errors are reported | as the environment says |
/// | `budget = 64` | how many steps a turn runs before it looks at the system again | the loop's default |
/// | `crate = "path"` | where asyncio is found, if it was renamed or is re-exported | `"::asyncio"` |
#[proc_macro_attribute]
pub fn test(options: TokenStream, item: TokenStream) -> TokenStream {
    expand::test(options.into(), item.into()).into()
}

/// The programs of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
