//! What CPython's `test_queues.py` observes. A test for "3 kinds" runs with each kind of queue.

mod priority_queue_tests;
mod queue_basic_tests;
mod queue_get_tests;
mod queue_join_test_mixin;
mod queue_put_tests;
mod queue_shutdown_test_mixin;
