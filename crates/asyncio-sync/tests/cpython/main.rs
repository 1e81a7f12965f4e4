//! The behaviour of locks and queues that CPython's own tests observe.
//!
//! There is a file for each test file of CPython, a module for each class, and a function for each
//! test with the same name. If Rust's types already guarantee the behaviour, the doc comment says
//! so.

#[path = "../shared/mod.rs"]
mod shared;

mod locks;
mod queues;
