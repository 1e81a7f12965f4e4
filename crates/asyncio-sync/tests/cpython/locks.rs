//! The behaviour that CPython's `test_locks.py` observes.

mod barrier_tests;
mod condition_tests;
mod event_tests;
mod lock_tests;
mod semaphore_tests;
