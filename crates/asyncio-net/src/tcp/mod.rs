//! TCP: listeners, connection attempts, and connections.

mod connect;
pub(crate) mod listener;
pub(crate) mod shared;
pub(crate) mod socket;
pub(crate) mod stream;
