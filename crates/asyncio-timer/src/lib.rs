//! A hierarchical timer wheel: insert, cancel and re-arm in constant time, never early, told the time.
#![forbid(unsafe_code)]

mod entries;
mod key;

mod slot;

mod wheel;

pub use key::TimerKey;
pub use wheel::TimerWheel;
