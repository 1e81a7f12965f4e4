//! Worker processes, for work that needs a core of its own, may crash, or takes too much memory.
//!
//! From the bottom to the top:
//! - both sides: frames over a socket ([`frame`]), read within bounds ([`bounds`]), and the list of functions
//!   ([`remote`]);
//! - the worker: how a program learns that it is a worker ([`summons`]), and its work then ([`worker`]);
//! - the parent: a process ([`link`]), a call ([`call`]), several calls in a message ([`chunk`]), the processes and
//!   calls of a pool ([`crew`]), the types for users.

mod bounds;
mod call;
mod chunk;
mod crew;
mod error;
mod frame;
mod job;
mod link;
mod map;
mod pool;
mod remote;
mod summons;
mod worker;

pub use error::ProcessError;
pub use job::ProcessJob;
pub use map::ProcessMap;
pub use pool::{ProcessPool, ProcessPoolBuilder};
pub use remote::RemoteFn;
#[doc(hidden)]
pub use remote::{Later, Registered, call, call_async, read, type_of, write};
pub use worker::run_if_worker;

/// Runs a program's `main`, or what a worker does. `#[asyncio::main]` expands to it.
#[doc(hidden)]
#[track_caller]
pub fn run_main<F: Future>(builder: asyncio_loop::Builder, main: F) -> F::Output {
    run_if_worker();
    asyncio_loop::run_with(builder, main)
}
