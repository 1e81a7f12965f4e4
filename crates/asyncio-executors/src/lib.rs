//! Structured concurrency for the asyncio event loop.

mod cancel_scope;
mod catch_cancel;
mod timeout;

pub use asyncio_task::Cancelled;
pub use cancel_scope::{CancelScope, cancel_scope};
pub use catch_cancel::{CatchCancel, catch_cancel, on_cancel, try_finally};
pub use timeout::{
    RescheduleError, TimedOut, Timeout, TimeoutHandle, move_on_after, timeout, timeout_at,
    timeout_scope, wait_for,
};
