//! A hierarchical timer wheel: insert, cancel and re-arm in constant time, never early, told the time.
#![forbid(unsafe_code)]

mod key;
mod rings;
mod slot;
mod store;
mod wheel;

pub use key::TimerKey;
pub use wheel::TimerWheel;
