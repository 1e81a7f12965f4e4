//! Unix sockets: streams, listeners and datagrams.

pub(crate) mod datagram;
pub(crate) mod descriptors;
pub(crate) mod listener;
pub(crate) mod stream;
