//! The types that threads share, taken from `std` or, under `--cfg loom`, from loom. They are the lock of the crew, the
//! word of a worker that rests, and parking.

#[cfg(not(loom))]
pub(crate) use std::{
    sync::atomic::{AtomicBool, AtomicU8, Ordering},
    sync::{Mutex, MutexGuard},
    thread::{self, JoinHandle, Thread},
};

#[cfg(loom)]
pub(crate) use loom::{
    sync::atomic::{AtomicBool, AtomicU8, Ordering},
    sync::{Mutex, MutexGuard},
    thread::{self, JoinHandle, Thread},
};
