//! The spans and events by which tokio-console sees tasks, timers, locks and queues.
//!
//! tokio-console reads `tracing`: spans and events with agreed names and fields, whatever the runtime. This crate knows
//! the names. The parts of the event loop know when something happens, and call it:
//!
//! | of a | type | span |
//! |---|---|---|
//! | task | [`TaskSpan`] | from its spawn to its end, entered for each poll |
//! | waker | [`SpanId`] | none: events that carry the number of the task's span |
//! | sleep, lock, queue, promise, socket | [`Resource`] | one for itself, from its first wait, and one for each wait |
//!
//! ```rust
//! use asyncio_console::{Place, Resource, ResourceKind};
//!
//! const KIND: &ResourceKind = &ResourceKind::sync("Door", "open");
//!
//! let door = Resource::new(KIND, Place::caller());
//! // A future that waits for the door: its first poll, and its second.
//! let watch = door.begin("open", None);
//! door.end(watch, "open", Some(0)); // pending, as the waiter with the number 0
//! let watch = door.begin("open", Some(0));
//! door.end(watch, "open", None); // ready
//! ```
//!
//! These things are always true:
//! - Without the feature `tracing`, all that tasks and primitives keep is empty, and every function does nothing.
//! - Nothing here unwinds. A panic of a subscriber is caught, and its message is the panic hook's.
//! - A subscriber is foreign code: it runs only where the caller could as well poll a future. The functions that call
//!   it say so.
//! - The tasks and locks that a subscriber uses while it is called are not shown, so it may use them.

#[cfg(feature = "tracing")]
mod emit;

mod place;

mod loop_number;

mod task;

mod resource;

pub use loop_number::LoopKey;
pub use place::Place;
pub use resource::{Resource, ResourceKind, TypeName, Watch};
pub use task::{SpanId, TaskFacts, TaskKind, TaskSpan};

/// Whether a subscriber may want to hear of new tasks and waits. One relaxed load; always `false` without the feature
/// `tracing`.
#[inline(always)]
#[must_use]
pub fn is_listening() -> bool {
    #[cfg(feature = "tracing")]
    let is_listening = emit::is_listening();
    #[cfg(not(feature = "tracing"))]
    let is_listening = false;
    is_listening
}

// The compiler checks that tasks and primitives keep nothing without the feature.
#[cfg(not(feature = "tracing"))]
const _: () = assert!(size_of::<(Resource, Watch, Place, TaskSpan, SpanId)>() == 0);

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;
