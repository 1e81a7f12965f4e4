//! TCP: listeners, connection attempts, and connections.

mod accept;
mod connect;
mod io_traits;
pub(crate) mod listener;
pub(crate) mod shared;
pub(crate) mod socket;
pub(crate) mod split;
pub(crate) mod stream;
mod transfer;
