//! The loop of one thread, driven as its users drive it: a module a concept.

mod attachments;
mod budget;
mod callbacks;
mod closing;
mod debug;
mod exceptions;
mod forgotten;
mod grace;
#[cfg(unix)]
mod host;
mod interval;
mod limits;
mod never;
mod order;
mod outliving;
mod reentrant;
mod running;
mod seeds;
mod sleeping;
#[path = "../support/mod.rs"]
mod support;
mod threads;
#[cfg(feature = "tracing")]
mod tracing;
mod virtual_time;
