//! The tasks of one thread, driven as an executor drives them: one module a concept.

mod cancelling;
mod closing;
mod lifecycle;
mod odd_waker;
mod panics;
mod reentrancy;
mod schedule;
mod support;
mod threads;
