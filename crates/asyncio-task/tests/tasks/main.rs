//! The tasks of one thread, driven as an executor drives them: one module a concept.

mod odd_waker;
mod reentrancy;
mod support;
