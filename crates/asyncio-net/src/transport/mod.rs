//! Transports and protocols: connections whose events call methods, as in asyncio's lower layer.

pub(crate) mod create;
pub(crate) mod datagram;
mod driver;
mod driving;
pub(crate) mod hold;
pub(crate) mod kind;
mod lifecycle;
pub(crate) mod protocol;
mod slot;
pub(crate) mod stream;
