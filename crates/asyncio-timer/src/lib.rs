//! A hierarchical timer wheel: insert, cancel and re-arm in constant time, never early.
//!
//! A [`TimerWheel`] keeps values until their deadlines. It is a plain data structure: it reads no
//! clock, starts no thread and depends on no runtime. So an event loop, a simulation and a cache
//! can all use it, and a test can let a century pass in one call.
//!
//! Times are `u64` nanoseconds since an origin of the caller's choice, which is enough for 584
//! years.
//!
//! ```
//! use std::time::{Duration, Instant};
//!
//! use asyncio_timer::TimerWheel;
//!
//! // Times are nanoseconds since this instant.
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
//! The wheel guarantees:
//!
//! - **Never early**, not by a nanosecond: each timer keeps its exact deadline, however wide the
//!   slot it waits in.
//! - **In order** of deadline, and of insertion where deadlines are equal.
//! - **Never lost**: one call of [`expire`](TimerWheel::expire) returns every timer that is due by
//!   then, whether a nanosecond has passed or five hundred years.
//! - **Stale keys are harmless** forever: a stale key never reaches a timer inserted later.
//! - **No code of the values runs** in a method of the wheel: no drop and no clone. So the caller
//!   may hold a `RefCell` borrow of the wheel during a call.
//!
//! The structure is the hierarchy of timing wheels of Varghese and Lauck ("Hashed and Hierarchical
//! Timing Wheels", SOSP 1987).
#![forbid(unsafe_code)]

mod key;
mod wheel;

mod entries;
mod slot;

pub use key::TimerKey;
pub use wheel::TimerWheel;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;
