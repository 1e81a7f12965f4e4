//! A hierarchical timer wheel: insert, cancel and re-arm in constant time, never early, told the
//! time.
//!
//! A [`TimerWheel`] keeps values until their deadlines. It is a data structure and nothing else: it
//! reads no clock, starts no thread and knows no runtime, so it serves an event loop, a simulation
//! or a cache alike, and a test can let a century pass in one call.
//!
//! Times are `u64` nanoseconds on a scale of the caller's choosing, which is enough for 584 years.
//!
//! ```
//! use std::time::{Duration, Instant};
//!
//! use asyncio_timer::TimerWheel;
//!
//! // The scale: nanoseconds since now.
//! let started = Instant::now();
//! let now = || started.elapsed().as_nanos() as u64;
//!
//! let mut wheel = TimerWheel::new(now());
//! let late = wheel.insert(now() + 60_000_000_000, "in a minute");
//! wheel.insert(now() + 2_000_000, "in two milliseconds");
//! wheel.insert(now() + 1_000_000, "in one");
//!
//! assert_eq!(wheel.cancel(late), Some("in a minute"));
//!
//! let mut expired = Vec::new();
//! while let Some(next) = wheel.next_deadline() {
//!     std::thread::sleep(Duration::from_nanos(next.saturating_sub(now())));
//!     wheel.expire(now(), &mut expired);
//! }
//! assert_eq!(expired, ["in one", "in two milliseconds"]);
//! ```
//!
//! What it guarantees:
//!
//! - **Never early**, not by a nanosecond: each timer keeps its exact deadline, however coarse the
//!   slot it waits in.
//! - **In order**: of deadline, and of insertion where deadlines are equal.
//! - **Never lost**: one [`expire`](TimerWheel::expire) gives everything that is due by then,
//!   whether a nanosecond has passed or five hundred years.
//! - **A stale key is harmless**, for ever: it never reaches a timer inserted later.
//! - **No code of the values runs**, no drop and no clone, while the wheel is at work, so its owner
//!   may hold a borrow meanwhile.
//!
//! The structure is the hierarchy of timing wheels of Varghese and Lauck ("Hashed and Hierarchical
//! Timing Wheels", SOSP 1987).
#![forbid(unsafe_code)]

mod entries;
mod key;
mod slot;
mod wheel;

pub use key::TimerKey;
pub use wheel::TimerWheel;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;
