//! Python's asyncio for Rust: one event loop a thread, structured tasks, cancellation that can be cleaned up after.
