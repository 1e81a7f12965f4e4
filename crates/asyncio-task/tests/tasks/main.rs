//! The tasks of one thread, driven as an executor drives them: one module a concept.

mod cancelling;
mod children;
mod closing;
mod contexts;
mod lifecycle;
mod looking;
mod odd_waker;
mod panics;
mod pulse;
mod reentrancy;
mod references;
mod reports;
mod schedule;
mod support;
mod threads;
