//! Helpers for the tests of all crates. They know no event loop and use no crate of the project.
//!
//! ```
//! use asyncio_testkit::{forever, poll_once};
//!
//! assert!(poll_once(std::pin::pin!(forever())).is_pending());
//! ```
#![forbid(unsafe_code)]

mod drops;
mod futures;
mod gate;
mod panics;
mod trace;
mod wakers;

pub use drops::{DropsOnOwnThread, OnDrop, PanicsOnDrop};
pub use futures::{forever, my_waker, poll_once, yield_now};
pub use gate::{Gate, LONG, ThreadGate, eventually};
pub use panics::{message_of, panic_of};
pub use trace::{Log, NoteOnDrop, ThreadTrace, Trace};
pub use wakers::{CountingWaker, panicking_waker};

use std::time::Duration;

/// `n` milliseconds.
#[must_use]
pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// `n` seconds.
#[must_use]
pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The program of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
