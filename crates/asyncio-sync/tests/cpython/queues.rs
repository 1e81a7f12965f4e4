//! The behaviour that CPython's `test_queues.py` observes.

mod priority_queue_tests;
mod queue_basic_tests;
mod queue_get_tests;
mod queue_join_test_mixin;
mod queue_put_tests;
mod queue_shutdown_test_mixin;
