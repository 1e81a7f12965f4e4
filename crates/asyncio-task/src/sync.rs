//! The few types that threads share, taken from `std` or, under `--cfg loom`, from loom. So the model checker sees
//! every access that matters: the inbox, the reference count, the state.

#[cfg(not(loom))]
pub(crate) use std::{
    cell::Cell,
    sync::Mutex,
    sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering, fence},
};

#[cfg(loom)]
pub(crate) use loom::{
    cell::Cell,
    sync::Mutex,
    sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering, fence},
};
