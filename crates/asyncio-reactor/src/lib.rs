//! A readiness reactor over [`mio`]. One thread registers its sources and waits for them with
//! [`Reactor::turn`]. The reactor wakes the tasks that wait for a source through their
//! [`Waker`](std::task::Waker)s.
//!
//! It knows no executor: the code that drives the thread calls [`turn`](Reactor::turn) when no task
//! can run. Other threads end a wait with an [`Unparker`]. The event loop of `asyncio` is built on
//! it; `examples/alone.rs` drives it with an executor of thirty lines.
//!
//! ```
//! use asyncio_reactor::{Direction, Interest, Reactor};
//! use std::io::{Read, Write};
//! use std::task::{Context, Poll, Waker};
//! use std::time::Duration;
//!
//! # #[cfg(not(unix))] fn main() {}
//! # #[cfg(unix)]
//! # fn main() -> std::io::Result<()> {
//! let reactor = Reactor::new()?;
//! let (mut sender, receiver) = mio::unix::pipe::new()?;
//! let receiver = reactor.register(receiver, Interest::READABLE)?;
//!
//! let mut cx = Context::from_waker(Waker::noop()); // an executor's waker in real life
//! let mut buf = [0; 64];
//! let mut receive = || receiver.poll_read_with(&mut cx, 64, |mut pipe| pipe.read(&mut buf));
//!
//! assert!(receive().is_pending());
//! sender.write_all(b"hello")?;
//! assert_eq!(reactor.turn(Some(Duration::from_secs(5)))?, 1);
//! assert!(matches!(receive(), Poll::Ready(Ok(5))));
//! # Ok(())
//! # }
//! ```
//!
//! # What is always true
//!
//! - Everything but [`Unparker`] stays on one thread, without locks or atomics.
//! - No borrow is held while foreign code runs: a waker may register, deregister and turn the
//!   reactor when it is cloned, woken or dropped.
//! - Events are edge-triggered, and read from the system only in `turn`. A new source counts as
//!   ready, so an operation is tried before its task waits.
//! - A source is deregistered before its slot is reused. An event for an earlier user of a slot is
//!   dropped.
//!
//! The modules are listed in groups, in reading order. A module uses none of a later group.
//!
//! Not here: timers (a deadline comes in as the timeout of `turn`), sockets, tasks.

mod error;
mod readiness;

mod budget;
mod crowd;
mod fine_timer;
mod slots;
mod unparker;
mod waiters;

mod core;

mod registration;

mod one_call;
mod registered;

#[cfg(unix)]
mod fd;
mod reactor;
mod waiting;

pub use asyncio_console::Place;
pub use error::{ReactorClosed, ReactorRests, RegisterError};
#[cfg(unix)]
pub use fd::Fd;
pub use mio::Interest;
pub use mio::event::Source;
pub use one_call::parts_of_one_call;
pub use reactor::Reactor;
pub use readiness::{Direction, Readiness};
pub use registered::Registered;
pub use unparker::Unparker;
pub use waiting::{Io, Reading, Ready, Side, Transfer, Waiting, Writing};

/// Compiles and runs the program of the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
