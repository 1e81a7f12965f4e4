//! What CPython's own tests observe of asyncio's locks and queues, observed here.
//!
//! A file for each of its test files, a module for each class, a function for each test; where a
//! type or a rule of Rust's says it already, the doc comment tells.

#[path = "../shared/mod.rs"]
mod shared;

mod locks;
mod queues;
